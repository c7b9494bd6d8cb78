"""Tables: what a query finds as plain arrays, as a structured array, as a data frame; sorted and grouped.

Columns are called "handle" and "Component.field". An optional component adds a boolean column with its own name, which
says who has it; rows without it have no value.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import Component, fields_of, nearest
from horizon_ecs.enums import understood
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import Field
from horizon_ecs.notebook import SHOWN, html_table, shown

if TYPE_CHECKING:
    from horizon_ecs.query import Query

FRAMES = ("pandas", "polars")


@dataclasses.dataclass(frozen=True, repr=False)
class Groups:
    """Entities by a value, as `Query.group_by` finds them; iterating gives each value and the handles of its group.

    Attributes
    ----------
    values : array[n_groups]
        Ascending, of the field's dtype.
    start : int64[n_groups + 1]
        Where each group's handles begin; the last is how many there are in all.
    handles : uint64[n]
        Group after group; by slot within one.
    """

    values: NDArray[Any]
    start: NDArray[np.int64]
    handles: NDArray[np.uint64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """int64[n_groups]: how many entities each group has."""
        return np.diff(self.start)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Groups({len(self)} groups of {len(self.handles)} entities)"

    def _repr_html_(self) -> str:
        return html_table(repr(self), ("value", "entities"), zip(self.values, self.sizes, strict=True), SHOWN)

    def __iter__(self) -> Iterator[tuple[Any, NDArray[np.uint64]]]:
        for i, value in enumerate(self.values.tolist()):
            yield value, self.handles[self.start[i] : self.start[i + 1]]


def table_fields(query: Query) -> list[tuple[str, Component, Field]]:
    """The columns of a query's table: "Component.field", in the query's order."""
    every = query.components + query.optional
    return [(f"{c.__name__}.{f.name}", c, f) for c in every for f in fields_of(c)]


def values_of(query: Query, component: Component, field: Field) -> NDArray[Any]:
    """array[n]: one field of every entity, a copy; a masked array where the component is optional."""
    values = query.world.column(component, field.name)[query.slots]
    if component not in query.optional:
        return values
    masked: NDArray[Any] = np.ma.masked_array(values, mask=~query.present(component), fill_value=_nothing(field))
    return masked


def _nothing(field: Field) -> Any:
    """What stands for no value in arrays without a mask."""
    if field.dtype.kind in "mM":
        return field.dtype.type("NaT")
    return np.nan if field.dtype.kind in "fc" else field.default


def named(query: Query, name: str) -> NDArray[Any]:
    """See `Query.__getitem__`."""
    every = query.components + query.optional
    vectors = {f"{c.__name__}.{f.vector}": c for c in every for f in fields_of(c) if f.vector}
    if name in vectors:
        component = vectors[name]
        fields = (f for f in fields_of(component) if f"{component.__name__}.{f.vector}" == name)
        parts = [values_of(query, component, f) for f in fields]
        stacked: NDArray[Any] = (np.ma if component in query.optional else np).stack(parts, axis=1)
        return stacked
    present = {c.__name__: c for c in query.optional}
    if name in present:
        return query.present(present[name])
    if name == "handle":
        return query.handles
    values, field = _key(query, name)
    if np.ma.isMaskedArray(values):
        return np.ma.masked_array(understood(values.data, field), values.mask, fill_value=values.fill_value)
    return understood(values, field)


def to_html(query: Query) -> str:
    """The first entities of a query, with their values, for notebooks."""
    world, slots = query.world, query.slots[: SHOWN + 1]
    has = {c: world.signature[slots] & np.uint64(world.bit(c)) != 0 for c in query.components + query.optional}
    columns = [[f"{handle:#x}" for handle in world.handles_of(slots).tolist()]]
    for _, c, f in table_fields(query):
        values = world.column(c, f.name)[slots]
        columns.append([shown(f.from_number(v), f) if there else "" for v, there in zip(values, has[c], strict=True)])
    head = ["handle", *(name for name, _, _ in table_fields(query))]
    return html_table(repr(query), head, zip(*columns, strict=True), SHOWN)


def to_dict(query: Query) -> dict[str, NDArray[Any]]:
    """See `Query.to_dict`."""
    out: dict[str, NDArray[Any]] = {"handle": query.handles}
    out |= {name: values_of(query, c, f) for name, c, f in table_fields(query)}
    out |= {c.__name__: query.present(c) for c in query.optional}
    return out


def to_records(query: Query) -> NDArray[Any]:
    """See `Query.to_records`."""
    columns = to_dict(query)
    out = np.empty(len(query), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        out[name] = np.ma.filled(column)
    return out


def to_frame(query: Query, package: str | None = None) -> Any:
    """See `Query.to_frame`."""
    if package is not None and package not in FRAMES:
        raise ArgumentError(f"to_frame makes a frame of 'pandas' or of 'polars', not of {package!r}")
    for name in FRAMES if package is None else (package,):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return (_pandas if name == "pandas" else _polars)(module, query)
    wanted = package or "pandas or polars"
    raise ArgumentError(f"to_frame needs {wanted}, which isn't installed: pip install {package or 'pandas'}")


def _pandas(pandas: Any, query: Query) -> Any:
    columns = to_dict(query)
    frame = pandas.DataFrame({name: np.ma.getdata(column) for name, column in columns.items()})
    for name, column in columns.items():
        if np.ma.isMaskedArray(column):
            frame[name] = frame[name].astype(_nullable(column.dtype)).mask(np.ma.getmaskarray(column))
    return frame


def _nullable(dtype: np.dtype[Any]) -> Any:
    """The dtype in which pandas knows a missing value without turning whole numbers into floats."""
    if dtype.kind in "iu":
        return dtype.name.replace("uint", "UInt").replace("int", "Int")
    return "boolean" if dtype.kind == "b" else dtype


def _polars(polars: Any, query: Query) -> Any:
    columns = to_dict(query)
    frame = polars.DataFrame({name: np.ma.getdata(column) for name, column in columns.items()})
    missing = [
        polars.when(polars.col(c.__name__)).then(polars.col(name)).alias(name)
        for name, c, _ in table_fields(query)
        if c in query.optional
    ]
    return frame.with_columns(missing)


def _key(query: Query, key: str) -> tuple[NDArray[Any], Field]:
    """The values of one "Component.field" of a query, and the field."""
    named = {name: (c, f) for name, c, f in table_fields(query)}
    if key not in named:
        raise ArgumentError(f"this query has no field {key!r}; it has {list(named)}{nearest(str(key), named)}")
    return values_of(query, *named[key]), named[key][1]


def sort_by(query: Query, keys: Sequence[str], descending: bool | Sequence[bool]) -> NDArray[np.uint64]:
    """See `Query.sort_by`."""
    if not keys:
        raise ArgumentError("sort_by takes at least one field, such as 'Health.hp'")
    ways = [descending] * len(keys) if isinstance(descending, bool) else list(descending)
    if len(ways) != len(keys):
        raise ArgumentError(f"descending must be one truth value, or one for each of {len(keys)} fields, not {ways}")
    order = np.arange(len(query))
    for key, falling in reversed(list(zip(keys, ways, strict=True))):
        values = _key(query, key)[0][order]
        again = np.argsort(_ranks(np.ma.getdata(values), falling), kind="stable")
        if np.ma.isMaskedArray(values):
            again = again[np.argsort(np.ma.getmaskarray(values)[again], kind="stable")]
        order = order[again]
    return query.handles[order]


def _ranks(values: NDArray[Any], falling: bool) -> NDArray[Any]:
    """What sorts like `values`, or the other way round.

    Reversing the order afterwards would turn ties around too and put NaN first.
    """
    if not falling:
        return values
    if values.dtype.kind in "fc":
        return -values
    return ~(values.view(np.int64) if values.dtype.kind in "mM" else values)


def group_by(query: Query, key: str) -> Groups:
    """See `Query.group_by`."""
    values, _ = _key(query, key)
    there = np.flatnonzero(~np.ma.getmaskarray(values))
    plain = np.ma.getdata(values)[there]
    order = np.argsort(plain, kind="stable")
    groups, start = np.unique(plain[order], return_index=True)
    return Groups(groups, np.append(start, len(order)).astype(np.int64), query.handles[there[order]])
