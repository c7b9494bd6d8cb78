"""Values: whatever a user passes for a component, as one array a field."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import Component, fields_of, is_component, is_object, nearest
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import Field, attributes, flatten
from horizon_ecs.handles import as_whole
from horizon_ecs.relations import is_relation
from horizon_ecs.validation import is_no_member


def by_component(records: Any, values: dict[str, Any], n: int | None) -> int:
    """Sort records by "Component.field" into `values`, by component; how many there are.

    A name without a field tells who has an optional component, as bool[n].

    Raises
    ------
    ArgumentError
        No records, one name given twice, or another number of them than `n`.
    """
    names = (
        records.dtype.names if isinstance(records, np.ndarray) else records if isinstance(records, Mapping) else None
    )
    if not names:
        raise ArgumentError(f"records must be a structured array or a mapping by 'Component.field', not {records!r}")
    lengths = {len(np.atleast_1d(records[name])) for name in names}
    if len(lengths) != 1 or n not in (None, *lengths):
        raise ArgumentError(f"records must all have the length {n if n is not None else 'of the first'}, not {lengths}")
    taken: dict[str, Any] = {}
    present: dict[str, NDArray[Any]] = {}
    for name in names:
        if name == "handle":
            continue
        component, dot, field = name.partition(".") if isinstance(name, str) else ("", "", "")
        if component in values:
            raise ArgumentError(f"{component} is given both by name and in records")
        if dot:
            taken.setdefault(component, {})[field] = records[name]
        elif component and np.asarray(records[name]).dtype == np.bool_:
            present[component] = np.atleast_1d(records[name])
        else:
            raise ArgumentError(f"records are named 'Component.field', or 'Component' with bool[n], not {name!r}")
    for component, who in present.items():
        fields = taken.get(component)
        taken[component] = {f: np.ma.array(np.ma.getdata(v), mask=~who) for f, v in fields.items()} if fields else who
    values.update(taken)
    return lengths.pop()


def parts_by_name(parts: Sequence[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` by component's name, with what is given as instances, or as classes, which stand for their defaults.

    Raises
    ------
    ArgumentError
        Something else, or a component given twice.
    """
    out = dict(values)
    for part in parts:
        component = part if isinstance(part, type) else type(part)
        if not is_component(component):
            raise ArgumentError(f"expected a component (its class, or an instance of it), got {part!r}")
        if component.__name__ in out:
            raise ArgumentError(f"spawn() was given {component.__name__} twice")
        out[component.__name__] = component() if part is component else part
    return out


def who_has(component: Component, value: Any, n: int) -> tuple[NDArray[np.bool_] | None, Any]:
    """For which of `n` entities a component is given, bool[n], or None for all; and the values for these.

    True, False or bool[n] say who has it, with defaults (but are values of a component whose one field is bool); where
    an array of values is masked, it isn't given.

    Raises
    ------
    ArgumentError
    """
    fields = fields_of(component)
    if isinstance(value, component) and not fields and not is_object(component):  # a tag
        return None, None
    if _tells_who(component, value):
        given = np.asarray(value)
        if given.shape not in ((), (n,)):
            raise ArgumentError(f"{component.__name__}: who has it is bool[{n}], not of shape {given.shape}")
        return None if given.all() and n else np.broadcast_to(given, n), None
    masks = [_mask(v) for v in (value.values() if isinstance(value, Mapping) else [value]) if np.ma.isMaskedArray(v)]
    if not masks:
        return None, value
    if any(mask.shape != (n,) for mask in masks):
        raise ArgumentError(f"{component.__name__}: masked values must have a row for each of {n} entities")
    who: NDArray[np.bool_] = ~np.logical_or.reduce(masks)
    return who, rows_of(value, np.flatnonzero(who), n) if who.any() else None


def _tells_who(component: Component, value: Any) -> bool:
    """Whether a value is no value, but a truth value, or one for each entity."""
    fields = fields_of(component)
    if (len(fields) == 1 and fields[0].dtype == np.bool_) or np.ma.isMaskedArray(value):
        return False
    if isinstance(value, np.ndarray):
        return bool(value.dtype == np.bool_)
    listed = value if isinstance(value, list | tuple) and not is_object(component) else [value]
    return bool(listed) and all(isinstance(v, bool | np.bool_) for v in listed)


def _mask(values: Any) -> NDArray[np.bool_]:
    """bool[n]: which rows of a masked array have no value, or not all of them."""
    mask: NDArray[np.bool_] = np.ma.getmaskarray(values)
    return mask if mask.ndim < 2 else np.logical_or.reduce(mask, axis=-1)


def rows_of(value: Any, chosen: NDArray[np.intp], n: int) -> Any:
    """A value's part for some of `n` entities: of an array with one for each, theirs."""
    if isinstance(value, Mapping):
        return {name: rows_of(part, chosen, n) for name, part in value.items()}
    if isinstance(value, list | tuple) and len(value) == n and n > 1:
        return [value[i] for i in chosen]
    if isinstance(value, np.ndarray) and np.shape(value)[:1] == (n,) and n > 1:
        return np.ma.getdata(value)[chosen]
    return value


def as_columns(component: Component, value: Any, n: int) -> dict[str, Any]:
    """A scalar or array[n] for each field that `value` gives.

    `value` may be an instance of the component or a sequence of n of them, a mapping from field to scalar or array[n]
    (for a vector (width,) or (n, width)), a structured array[n], an array (n, columns) or, for one row or all alike,
    (columns,); for a component of one column also a scalar or an array (n,), and for a relation the target or targets.

    Raises
    ------
    ArgumentError
        Names the component, what was expected and what came.
    """
    fields = fields_of(component)
    if not fields:
        raise ArgumentError(f"{component.__name__} is a tag: it takes no values")
    given = value.values() if isinstance(value, Mapping) else (value,)
    if any(isinstance(v, np.ma.MaskedArray) and np.ma.is_masked(v) for v in given):
        raise ArgumentError(f"{component.__name__} has no value where the array is masked; everybody needs one here")
    if isinstance(value, component):
        value = flatten(value, fields)
    elif isinstance(value, list | tuple) and value and all(isinstance(v, component) for v in value):
        flat = [flatten(v, fields) for v in value]
        value = {f.name: [row[f.name] for row in flat] for f in fields}
    if isinstance(value, np.ndarray) and value.dtype.names:
        value = {name: value[name] for name in value.dtype.names}
    if isinstance(value, Mapping):
        out: dict[str, Any] = {}
        for name, given in value.items():
            out.update(_attribute(component, name, given, n))
        return out
    return _split(component, value, n)


def _attribute(component: Component, name: Any, value: Any, n: int) -> dict[str, Any]:
    """The columns that a value given for one name fills."""
    named = attributes(fields_of(component))
    columns = named.get(name, ())
    if columns and columns[0].vector:
        return _parts(component, columns, value, n)
    flat = {f.name: f for f in fields_of(component)}
    if name not in flat:
        names = list(named)
        raise ArgumentError(f"{component.__name__} has no field {name!r}; it has {names}{nearest(str(name), names)}")
    return {flat[name].name: _column(component, flat[name], value, n)}


def _parts(component: Component, columns: Sequence[Field], value: Any, n: int) -> dict[str, Any]:
    """A vector's columns from (width,) or (n, width)."""
    array, width = np.asarray(value), len(columns)
    if array.shape not in ((n, width), (width,)):
        raise ArgumentError(
            f"{component.__name__}.{columns[0].vector} expects an array of shape ({n}, {width}) or ({width},), got "
            f"shape {array.shape}"
        )
    return {one.name: _cast(component, one, array[..., i]) for i, one in enumerate(columns)}


def _cast(component: Component, of: Field, array: NDArray[Any]) -> NDArray[Any]:
    """Into the field's dtype, where that can hold such numbers and the field may have them."""
    cast = _fit(component, of, array)
    if cast.size and (of.low is not None or of.high is not None or of.enum is not None):
        _check_allowed(f"{component.__name__}.{of.name}", of, cast)
    return cast


def _check_allowed(name: str, of: Field, values: NDArray[Any]) -> None:
    """Refuse what lies outside the field's range or is none of its enum's values."""
    low, high = of.low, of.high
    if (low is not None and not (values >= low).all()) or (high is not None and not (values <= high).all()):
        unit = f" {of.unit}" if of.unit else ""
        bounds = f"{'any' if low is None else low} to {'any' if high is None else high}{unit}"
        raise ArgumentError(f"{name} takes {bounds}; the values reach from {values.min()} to {values.max()}")
    if of.enum is not None:
        strange = is_no_member(of.enum, values)
        if strange.any():
            members = ", ".join(f"{n} {number}" for n, number in of.members.items())
            raise ArgumentError(f"{name} takes values of {of.enum.__name__}, not {values[strange].flat[0]}: {members}")


@functools.cache
def _bounds(dtype: np.dtype[Any]) -> np.iinfo:
    return np.iinfo(dtype)


def _fit(component: Component, of: Field, array: NDArray[Any]) -> NDArray[Any]:
    dtype, name = of.dtype, of.name
    if array.dtype == dtype or not array.size:
        return array.astype(dtype, copy=False)
    if array.dtype.kind == "O" and of.enum is not None:
        array = np.array([getattr(v, "value", v) for v in array.flat]).reshape(array.shape)
    if array.dtype.kind in "cmM" and np.can_cast(array.dtype, dtype, "same_kind"):
        return array.astype(dtype)
    if array.dtype.kind not in "fiub" and of.enum is not None:
        members = ", ".join(of.enum.__members__)
        raise ArgumentError(f"{component.__name__}.{name} takes members of {of.enum.__name__} ({members}), not {array}")
    if array.dtype.kind not in "fiub" or dtype.kind in "mM" or (array.dtype.kind == "f" and dtype.kind not in "fc"):
        raise ArgumentError(f"{component.__name__}.{name} takes {dtype.name}, not {array.dtype.name}")
    if dtype.kind in "iu" and array.size:
        low, high = (array.min(), array.max()) if array.ndim else (array[()], array[()])
        bounds = _bounds(dtype)
        if low < bounds.min or high > bounds.max:
            raise ArgumentError(
                f"{component.__name__}.{name} takes {bounds.min} to {bounds.max}; the values reach from {low} to {high}"
            )
    return array.astype(dtype)


def _column(component: Component, of: Field, value: Any, n: int) -> NDArray[Any]:
    array = as_whole(value) if of.is_entity else np.asarray(value)
    if array.shape not in ((), (n,)):
        raise ArgumentError(
            f"{component.__name__}.{of.name} expects a scalar or an array of shape ({n},), got shape {array.shape}"
        )
    return _cast(component, of, array)


def _split(component: Component, value: Any, n: int) -> dict[str, Any]:
    fields = fields_of(component)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ArgumentError(f"{component.__name__}: the values form no array: {error}") from None
    width = len(fields)
    if is_relation(component) and array.ndim <= 1:
        return _attribute(component, "target", value, n)
    if width == 1 and array.shape in ((), (n,)):
        return {fields[0].name: _cast(component, fields[0], array)}
    if array.shape not in ((n, width), (width,)):
        one = f", ({n},) or a scalar" if width == 1 else f" or ({width},)"
        raise ArgumentError(
            f"{component.__name__} has the fields {[f.name for f in fields]} and expects an array of shape "
            f"({n}, {width}){one}, got shape {array.shape}"
        )
    return {f.name: _cast(component, f, array[..., i]) for i, f in enumerate(fields)}
