"""Commands: structural changes that a system asks for, and that take effect at the end of its phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from horizon_ecs.columns import reserve
from horizon_ecs.components import Component, component_type
from horizon_ecs.errors import CapacityError

if TYPE_CHECKING:
    from horizon_ecs.world import World

DESPAWN, ADD, REMOVE = 0, 1, 2
OPERATIONS = {"despawn": DESPAWN, "add": ADD, "remove": REMOVE}


class Commands:
    """What a system calls: `cmd.despawn(entity)`, `cmd.add(entity, Frozen)`, `cmd.remove(entity, Frozen)`.

    An added component has its defaults. An entity that no longer lives when the commands are applied is passed over. In a plain call, as
    in a test, the commands are collected in `recorded`.
    """

    def __init__(self) -> None:
        self.recorded: list[tuple[Any, ...]] = []

    def despawn(self, entity: int) -> None:
        """End an entity."""
        self.recorded.append(("despawn", int(entity)))

    def add(self, entity: int, component: Component) -> None:
        """Add an optional component."""
        self.recorded.append(("add", int(entity), component_type(component)))

    def remove(self, entity: int, component: Component) -> None:
        """Take an optional component away."""
        self.recorded.append(("remove", int(entity), component_type(component)))


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
        self.components: list[Component] = []
        self.plain = Commands()

    def make_room(self, per_entity: int) -> None:
        """Reserve room for so many commands of every entity there can be."""
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
        if n:
            key = self.operation[:n].astype(np.int64) << 8 | self.component[:n]
            for run in np.split(np.arange(n), np.flatnonzero(np.diff(key)) + 1):
                self._carry_out(int(self.operation[run[0]]), int(self.component[run[0]]), self.handle[run])
        for name, handle, *rest in self.plain.recorded:
            number = self._number(rest[0]) if rest else 0
            self._carry_out(OPERATIONS[name], number, np.array([handle], np.uint64))
        self.clear()

    def _number(self, component: Component) -> int:
        if component not in self.components:
            self.components.append(component)
        return self.components.index(component)

    def _carry_out(self, operation: int, component: int, handles: Any) -> None:
        world = self._world
        if operation == DESPAWN:
            world.despawn(handles, missing="ignore")
            return
        living = handles[world.alive(handles)]
        change = world.add if operation == ADD else world.remove
        change(living, self.components[component])
