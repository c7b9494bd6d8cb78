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

    A system that is split has a set of arrays a part. Parts are neighbouring rows in their order, so the commands of
    all parts, one after another, are what one part alone would have appended.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._limit = 0
        self._parts: dict[int, tuple[NDArray[Any], ...]] = {}
        self.components: tuple[Component | None, ...] = (None,)
        self.plain = Commands()

    def make_room(self, per_entity: int, components: tuple[Component | None, ...]) -> None:
        """Reserve room for so many commands of every entity; `components` are what their numbers stand for."""
        self.components = components
        self._limit = max(1, per_entity) * self._world.n_slots
        self._parts = {0: self._reserve()}

    def _reserve(self) -> tuple[NDArray[Any], ...]:
        """Every part has room for all, since one may ask for all of it; only what is touched takes memory."""
        columns = (reserve((self._limit,), dtype) for dtype in (np.uint64, np.uint8, np.uint8))
        return (*columns, np.zeros(1, np.int64))

    def part(self, part: int) -> tuple[NDArray[Any], ...]:
        """What a part appends to: handle uint64, operation uint8, component uint8, and how many int64[1].

        There are more than there is room for where some found none.
        """
        found = self._parts.get(part)
        if found is None:
            found = self._parts.setdefault(part, self._reserve())
        return found

    def clear(self) -> None:
        """Forget what was asked for."""
        for *_, n in self._parts.values():
            n[0] = 0
        self.plain.recorded.clear()

    def _taken(self) -> list[NDArray[Any]]:
        """Handles, operations and components of all parts. Raises CapacityError."""
        parts = [self._parts[number] for number in sorted(self._parts)]
        n = sum(int(part[-1][0]) for part in parts)
        if n > self._limit:
            self.clear()
            raise CapacityError(f"a system gave {n} commands in one tick; there is room for {self._limit}")
        shares = [[column[: int(part[-1][0])] for column in part[:-1]] for part in parts if part[-1][0]]
        return shares[0] if len(shares) == 1 else [np.concatenate(s) for s in zip(*shares, strict=True)]

    def apply(self) -> None:
        """Carry everything out, neighbours of the same kind at once, and clear."""
        if any(part[-1][0] for part in self._parts.values()):
            handle, operation, component = self._taken()
            for rows in _rounds(handle, operation, component):
                self._carry_out(int(operation[rows[0]]), self.components[component[rows[0]]], handle[rows])
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
