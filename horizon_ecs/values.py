"""Values: whatever a user passes for a component, as one array a field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import Component, fields_of, nearest
from horizon_ecs.errors import ArgumentError


def as_columns(component: Component, value: Any, n: int) -> dict[str, Any]:
    """A scalar or array[n] for each field that `value` gives.

    `value` may be an instance of the component, a mapping from field to scalar or array[n], a structured array[n], an
    array (n, fields) or, for one row or all alike, (fields,); for a component of one field also a scalar or an array
    (n,).

    Raises
    ------
    ArgumentError
        Names the component, what was expected and what came.
    """
    fields = fields_of(component)
    if not fields:
        raise ArgumentError(f"{component.__name__} is a tag: it takes no values")
    if isinstance(value, component):
        value = {f.name: getattr(value, f.name) for f in fields}
    if isinstance(value, np.ndarray) and value.dtype.names:
        value = {name: value[name] for name in value.dtype.names}
    if isinstance(value, Mapping):
        return {_known(component, name): _column(component, name, v, n) for name, v in value.items()}
    return _split(component, value, n)


def _known(component: Component, name: Any) -> str:
    names = [f.name for f in fields_of(component)]
    if name not in names:
        raise ArgumentError(f"{component.__name__} has no field {name!r}; it has {names}{nearest(str(name), names)}")
    return str(name)


def _cast(component: Component, name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Into the field's dtype, where that can hold such numbers."""
    dtype = next(f.dtype for f in fields_of(component) if f.name == name)
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "fiub" or (array.dtype.kind == "f" and dtype.kind != "f"):
        raise ArgumentError(f"{component.__name__}.{name} takes {dtype.name}, not {array.dtype.name}")
    if dtype.kind in "iu" and array.size:
        low, high = array.min(), array.max()
        bounds = np.iinfo(dtype)
        if low < bounds.min or high > bounds.max:
            raise ArgumentError(
                f"{component.__name__}.{name} takes {bounds.min} to {bounds.max}; the values reach from {low} to {high}"
            )
    return array.astype(dtype)


def _column(component: Component, name: Any, value: Any, n: int) -> NDArray[Any]:
    array = np.asarray(value)
    if array.shape not in ((), (n,)):
        raise ArgumentError(
            f"{component.__name__}.{name} expects a scalar or an array of shape ({n},), got shape {array.shape}"
        )
    return _cast(component, _known(component, name), array)


def _split(component: Component, value: Any, n: int) -> dict[str, Any]:
    fields = fields_of(component)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ArgumentError(f"{component.__name__}: the values form no array: {error}") from None
    width = len(fields)
    if width == 1 and array.shape in ((), (n,)):
        return {fields[0].name: _cast(component, fields[0].name, array)}
    if array.shape not in ((n, width), (width,)):
        one = f", ({n},) or a scalar" if width == 1 else f" or ({width},)"
        raise ArgumentError(
            f"{component.__name__} has the fields {[f.name for f in fields]} and expects an array of shape "
            f"({n}, {width}){one}, got shape {array.shape}"
        )
    return {f.name: _cast(component, f.name, array[..., i]) for i, f in enumerate(fields)}
