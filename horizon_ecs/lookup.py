"""Lookup: other entities' components by handle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.batches import Batch
from horizon_ecs.components import Component, component_type, fields_of
from horizon_ecs.enums import understood
from horizon_ecs.handles import slots_in

if TYPE_CHECKING:
    from horizon_ecs.world import World

C = TypeVar("C")


class Lookup(Generic[C]):
    """Other entities' values of a component: a parameter `others: hz.Lookup[Position]` of a system.

    `others[target].x` reads a field of the entity that a handle names, and `target in others` tells whether that lives
    and has the component. An entity that doesn't reads as the fields' defaults. A system can't look up what it writes:
    then it would matter which entity comes first.

    In a columns system `others[handles].x` is an array, a copy, and `others.has(handles)` a mask. In a plain call, as
    in a test, it is made from a dict: `hz.Lookup({handle: Position(1.0)}, Position)`; the component may be left out
    where the dict isn't empty.

    Parameters
    ----------
    values : mapping from handle to instance
    component : component class, optional
    """

    def __init__(self, values: Mapping[int, C], component: type[C] | None = None) -> None:
        self._values = {int(handle): value for handle, value in values.items()}
        first: Any = component or type(next(iter(self._values.values()), None))
        self._component: Any = component_type(first)

    def __contains__(self, handle: int) -> bool:
        return int(handle) in self._values

    def __getitem__(self, handle: int) -> Any:
        found = self._values.get(int(handle))
        return self._component() if found is None else found

    def has(self, handles: ArrayLike) -> NDArray[np.bool_]:
        """bool[n]: which of the handles name an entity that lives and has the component."""
        return np.array([int(h) in self._values for h in np.atleast_1d(np.asarray(handles))], np.bool_)

    def __repr__(self) -> str:
        return f"Lookup({self._component.__name__} of {len(self._values)} entities)"


class WorldLookup(Lookup[Any]):
    """What a columns system gets: arrays of handles give arrays of values."""

    def __init__(self, world: World, component: Component) -> None:
        world._admit(component)
        self._world, self._component = world, component

    def _rows(self, handles: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """Which handles name an entity with the component, and its row, 0 for others."""
        world = self._world
        given = np.atleast_1d(np.asarray(handles)).astype(np.uint64)
        there = world.alive(given)
        rows = np.where(there, slots_in(given), 0).astype(np.intp)
        there &= world.signature[rows] & np.uint64(world.bit(self._component)) != 0
        return there, rows

    def has(self, handles: ArrayLike) -> NDArray[np.bool_]:
        return self._rows(handles)[0]

    def __contains__(self, handle: int) -> bool:
        return bool(self.has(handle)[0])

    def __getitem__(self, handles: ArrayLike) -> Any:
        there, rows = self._rows(handles)
        fields = fields_of(self._component)
        arrays = {
            f.name: understood(
                np.where(there, self._world.column(self._component, f.name)[rows], f.dtype.type(f.default)), f
            )
            for f in fields
        }
        for array in arrays.values():
            array.flags.writeable = False
        return Batch(self._component.__name__, fields, arrays)

    def __repr__(self) -> str:
        return f"Lookup({self._component.__name__} of {self._world!r})"
