"""Commands: structural changes that a system asks for, and that take effect at the end of its phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import reserve
from horizon_ecs.components import Component, component_type
from horizon_ecs.errors import CapacityError

if TYPE_CHECKING:
    from horizon_ecs.world import World

DESPAWN, ADD, REMOVE = 0, 1, 2
OPERATIONS = {"despawn": DESPAWN, "add": ADD, "remove": REMOVE}


Entities: TypeAlias = int | NDArray[np.integer[Any]]
"""One handle, or in columns systems an array of them."""


class Commands:
    """What a system calls: `cmd.despawn(entity)`, `cmd.add(entity, Frozen)`, `cmd.remove(entity, Frozen)`.

    An added component has its defaults. An entity that no longer lives when the commands are applied is passed over. In
    a plain call, as in a test, the commands are collected in `recorded`.
    """

    def __init__(self) -> None:
        self.recorded: list[tuple[Any, ...]] = []

    def despawn(self, entity: Entities) -> None:
        """End an entity, or an array of them."""
        self.recorded.append(("despawn", entity))

    def add(self, entity: Entities, component: Component) -> None:
        """Add an optional component."""
        self.recorded.append(("add", entity, component_type(component)))

    def remove(self, entity: Entities, component: Component) -> None:
        """Take an optional component away."""
        self.recorded.append(("remove", entity, component_type(component)))


class CommandBuffer:
    """One system's commands of one tick: arrays that its kernel appends to, applied in the order of entities.

    Attributes
    ----------
    handle : uint64[limit];  operation, component : uint8[limit]
    n : int64[1]
        How many there are; more than `limit` where some found no room.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._limit = 0
        self.handle = np.zeros(0, np.uint64)
        self.operation = np.zeros(0, np.uint8)
        self.component = np.zeros(0, np.uint8)
        self.n = np.zeros(1, np.int64)
        self.components: tuple[Component | None, ...] = (None,)
        self.plain = Commands()

    def make_room(self, per_entity: int, components: tuple[Component | None, ...]) -> None:
        """Reserve room for so many commands of every entity; `components` are what their numbers stand for."""
        self.components = components
        self._limit = max(1, per_entity) * self._world.n_slots
        self.handle = reserve((self._limit,), np.uint64)
        self.operation = reserve((self._limit,), np.uint8)
        self.component = reserve((self._limit,), np.uint8)

    def clear(self) -> None:
        """Forget what was asked for."""
        self.n[0] = 0
        self.plain.recorded.clear()

    def apply(self) -> None:
        """Carry everything out, neighbours of the same kind at once, and clear."""
        n = int(self.n[0])
        if n > self._limit:
            self.clear()
            raise CapacityError(f"a system gave {n} commands in one tick; there is room for {self._limit}")
        for rows in _rounds(self.handle[:n], self.operation[:n], self.component[:n]):
            self._carry_out(int(self.operation[rows[0]]), self.components[self.component[rows[0]]], self.handle[rows])
        for name, handles, *rest in self.plain.recorded:
            self._carry_out(
                OPERATIONS[name], rest[0] if rest else None, np.atleast_1d(np.asarray(handles)).astype(np.uint64)
            )
        self.clear()

    def _carry_out(self, operation: int, component: Component | None, handles: NDArray[np.uint64]) -> None:
        world = self._world
        if operation == DESPAWN or component is None:
            world.despawn(handles, missing="ignore")
            return
        change = world.add if operation == ADD else world.remove
        change(handles[world.alive(handles)], component)


def _rounds(handle: NDArray[Any], operation: NDArray[Any], component: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Split commands into groups of one operation and component each, keeping the order of those of one entity.

    Commands of different entities don't disturb each other, so an entity's first ones can be carried out together, then
    its second.
    """
    n = len(handle)
    if n == 0:
        return []
    by_handle = np.argsort(handle, kind="stable")
    begins = np.ones(n, np.bool_)
    begins[1:] = np.diff(handle[by_handle]) != 0
    nth = np.empty(n, np.int64)
    nth[by_handle] = np.arange(n) - np.maximum.accumulate(np.where(begins, np.arange(n), 0))
    key = nth << 16 | operation.astype(np.int64) << 8 | component
    order = np.argsort(key, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(key[order])) + 1)
