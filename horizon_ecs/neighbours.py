"""Neighbours: which of a query's entities are near each other, or near points, by a grid made anew each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs import kernel, tables
from horizon_ecs.components import Component, component_type, fields_of
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import Field
from horizon_ecs.systems import neighbours as kernels

if TYPE_CHECKING:
    from horizon_ecs.handles import Handles
    from horizon_ecs.query import Query

SMALLEST, GREATEST = 1e-100, 1e100  # radii whose squares are numbers
_HAIR = 1.001  # by which cells exceed the radius, so that no rounding puts what is near two cells away
_BLOCK = 1 << 16  # finds for which there is room at first
_Axes: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclasses.dataclass(frozen=True)
class Near:
    """Entities near points, as `Query.near` finds them; iterating gives the handles near each point.

    Attributes
    ----------
    start : int64[n_points + 1]
        Where each point's handles begin; the last is how many there are in all.
    handles : uint64[n]
        Point after point; by slot within one.
    """

    start: NDArray[np.int64]
    handles: NDArray[np.uint64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """int64[n_points]: how many are near each point."""
        return np.diff(self.start)

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, point: int) -> NDArray[np.uint64]:
        """uint64[k]: the handles near one point."""
        at = range(len(self))[point]
        return self.handles[self.start[at] : self.start[at + 1]]

    def __iter__(self) -> Iterator[NDArray[np.uint64]]:
        return (self[point] for point in range(len(self)))


def pairs_within(
    query: Query, radius: float, position: Component | str | None
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """See `Query.pairs_within`."""
    component, fields = _placed_by(query, position)
    cells = _Cells(_axes([tables.values_of(query, component, f) for f in fields]), len(fields), _checked(radius))
    one, other = cells.pairs_with(cells, cells.item.astype(np.int64), once=True)
    start, j = _in_order(np.minimum(one, other), np.maximum(one, other), len(query), len(query))
    return query.slots[_keys(start)], query.slots[j]


def near(query: Query, points: ArrayLike | Handles, radius: float, position: Component | str | None) -> Near:
    """See `Query.near`."""
    component, fields = _placed_by(query, position)
    length = _checked(radius)
    where, own = _points(query, component, fields, points)
    cells = _Cells(_axes([tables.values_of(query, component, f) for f in fields]), len(fields), length)
    asked = _Cells(where, len(fields), length)
    start, items = _in_order(*cells.pairs_with(asked, own[asked.item], once=False), len(own), len(query))
    return Near(start, query.handles[items])


def _checked(radius: Any) -> float:
    if not isinstance(radius, int | float | np.number) or not SMALLEST <= radius <= GREATEST:
        raise ArgumentError(f"radius must be a number above 0, in the units of positions, not {radius!r}")
    return float(radius)


def _placed_by(query: Query, position: Component | str | None) -> tuple[Component, Sequence[Field]]:
    """The component and its two or three fields that say where entities are."""
    every = query.components + query.optional
    wanted: Any = "Position" if position is None else position
    name, _, vector = wanted.partition(".") if isinstance(wanted, str) else (component_type(wanted).__name__, "", "")
    component = next((c for c in every if c.__name__ == name), None)
    if component is None:
        hint = "; name what says where they are: position=Body, or position='Body.pos'" if position is None else ""
        raise ArgumentError(f"the query asks for no component {name}; it has {[c.__name__ for c in every]}{hint}")
    fields = [f for f in fields_of(component) if not vector or f.vector == vector]
    if not 2 <= len(fields) <= 3 or any(f.dtype.kind not in "iuf" or f.is_entity for f in fields):
        raise ArgumentError(
            f"position must have two or three numbers, x, y and maybe z; {wanted if vector else name} has "
            f"{[f.name for f in fields]}"
        )
    return component, fields


def _axes(columns: Sequence[NDArray[Any]]) -> _Axes:
    """Columns as three of float64; what has no value is nowhere."""
    out = [np.ascontiguousarray(np.ma.filled(column.astype(np.float64), np.nan)) for column in columns]
    x, y, z = [*out, np.zeros(len(out[0]))][:3]
    return x, y, z


def _points(
    query: Query, component: Component, fields: Sequence[Field], points: ArrayLike | Handles
) -> tuple[_Axes, NDArray[np.int64]]:
    """Where points are, and which of the query's entities each is, -1 for none."""
    given, world = np.asarray(getattr(points, "handles", points)), query.world
    if given.ndim == 2 and given.shape[1] == len(fields) and given.dtype.kind in "iuf":
        return _axes(list(given.T)), np.full(len(given), -1, np.int64)
    if given.ndim > 1 or (given.size and given.dtype.kind not in "iu"):
        raise ArgumentError(
            f"points must be numbers [n, {len(fields)}], or handles; got {given.dtype.name} of shape {given.shape}"
        )
    slots = world.slots_of(given)
    if not world.has(given, component).all():
        raise ArgumentError(f"not all of these entities have {component.__name__}, which says where they are")
    where = _axes([world.column(component, f.name)[slots] for f in fields])
    mine = np.append(query.slots, np.uint32(0))  # so that there is a last one
    place = np.searchsorted(query.slots, slots)
    return where, np.where(mine[place] == slots, place, -1)


def _keys(start: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The key of each value that `sort_by_key` put in order."""
    return np.repeat(np.arange(len(start) - 1, dtype=np.uint32), np.diff(start))


def _in_order(
    one: NDArray[np.uint32], other: NDArray[np.uint32], n_ones: int, n_others: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Pairs in order: where each one's others begin, and the others, ascending."""
    ends, ones = np.empty(n_others + 1, np.int64), np.empty_like(one)
    kernels.sort_by_key(other, one, ends, ones)
    start, others = np.empty(n_ones + 1, np.int64), np.empty_like(other)
    kernels.sort_by_key(ones, _keys(ends), start, others)
    return start, others


class _Cells:
    """Points sorted into cells a little wider than the radius; those that are nowhere are left out.

    Attributes
    ----------
    item : uint32[n]
        The points' numbers, cell after cell.
    where : three of float64[n]
        In the same order.
    """

    def __init__(self, where: _Axes, n_axes: int, radius: float) -> None:
        kernel.warm_up("neighbours")
        n = len(where[0])
        self._depth, self._radius_sq, self._inverse = n_axes - 2, radius * radius, 1.0 / (radius * _HAIR)
        self._start = np.empty(max(4, 1 << n.bit_length()) + 1, np.int64)
        item, row = np.empty(n, np.uint32), np.empty(n, np.int64)
        x, y, z = np.empty(n), np.empty(n), np.empty(n)
        kernels.sort_by_cell(*where, self._inverse, self._start, np.empty(n, np.int64), item, row, x, y, z)
        used = self._start[-1]
        self.item, self._row, self.where = item[:used], row[:used], (x[:used], y[:used], z[:used])

    def pairs_with(
        self, points: _Cells, own: NDArray[np.int64], *, once: bool
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Numbers of points, and of those of these that are near them; with `once` the points are these.

        `own` int64[n] is what is left out for each point, in the order of `points.item`.
        """
        done, room = 0, _BLOCK
        found = [(self.item[:0], self.item[:0])]
        while done < len(own):
            block = np.empty(room, np.uint32), np.empty(room, np.uint32)
            done, n = kernels.find(
                points.item, *points.where, own, once, done, self._depth, self._radius_sq, self._inverse, self._start,
                self.item, self._row, *self.where, *block
            )  # fmt: skip
            found.append((block[0][:n], block[1][:n]))
            room *= 2
        one, other = (np.concatenate(part) for part in zip(*found, strict=True))
        return one, other
