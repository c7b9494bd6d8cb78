"""Commands: structural changes that a system asks for, and that take effect at the end of its phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.carry_out import Wanted, take_recorded
from horizon_ecs.columns import reserve
from horizon_ecs.components import is_component
from horizon_ecs.errors import ArgumentError, CapacityError
from horizon_ecs.events import Emit
from horizon_ecs.handles import as_handles
from horizon_ecs.kinds import Kind
from horizon_ecs.sites import Site, stride_of
from horizon_ecs.values import parts_by_name

if TYPE_CHECKING:
    from horizon_ecs.world import World

Entities: TypeAlias = int | NDArray[np.integer[Any]]
"""One handle, or in columns systems an array of them."""


class Commands:
    """What a system asks for at the end of its phase.

    `cmd.despawn(entity)`, `cmd.add(entity, Frozen)`, `cmd.add(entity, [Frozen, Poison(3.0)])`, `cmd.remove(entity,
    Frozen)`, and `cmd.spawn(Bullet, Position(pos.x, pos.y), Velocity(x=2.0))`. In a jitted system the kind and the
    components stand there by name; in a columns system everything may be an array. What is spawned has no handle before
    the end of the phase.

    An entity's own commands are carried out in the order in which it gave them; one that no longer lives by then is
    passed over. Spawns come last, those of one kind in the order of the entities that asked. A reference among the
    values to an entity that has gone by then becomes 0. If the spawns of a system together exceed the world's capacity,
    or a value isn't one that the component may have, nothing of what the system asked for is done.

    `cmd.add(entity, Parent(target))` also gives one that has the relation another target. If the target has gone by
    then, the entity fares as the relation's `on_target_death` says. A cycle is refused when it would arise: what the
    system asked for before that is done.

    In a plain call, as in a test, the commands are collected in `recorded`: ("despawn", entity), ("add", entity,
    component class or instance), ("remove", entity, component class), ("spawn", kind, n, {name: values}).
    """

    def __init__(self) -> None:
        self.recorded: list[tuple[Any, ...]] = []

    def despawn(self, entity: Entities) -> None:
        """End an entity, or an array of them. Raises ArgumentError, as `add` and `remove`, for what is no handle."""
        as_handles(entity)
        self.recorded.append(("despawn", entity))

    def add(self, entity: Entities, component: Any) -> None:
        """Add an optional component: a class for its defaults, or an instance, whose fields may be arrays[n]; or
        several in a list."""
        as_handles(entity)
        listed = component if isinstance(component, list | tuple) else [component]
        for one in listed:
            self._check(one, one if isinstance(one, type) else type(one))
        self.recorded += [("add", entity, one) for one in listed]

    def remove(self, entity: Entities, component: Any) -> None:
        """Take an optional component away, or several in a list."""
        as_handles(entity)
        listed = component if isinstance(component, list | tuple) else [component]
        for one in listed:
            self._check(one, one)
        self.recorded += [("remove", entity, one) for one in listed]

    def spawn(self, kind: Kind, *parts: Any, **values: Any) -> None:
        """Bring an entity of a kind to life, or several.

        Parameters
        ----------
        kind : Kind
        *parts
            Component instances: `cmd.spawn(Bullet, Position(1.0, 2.0))`. What isn't given has its default; optional
            components are added. In a columns system a number of entities may come first, the instances' fields may be
            arrays of so many, and a class stands for its defaults.
        **values
            As for `World.spawn`, in columns systems: `cmd.spawn(Bullet, n, Position=array)`.

        Raises
        ------
        ArgumentError
        """
        if not isinstance(kind, Kind):
            raise ArgumentError(f"spawn() takes a Kind first, not {kind!r}")
        n = parts[0] if parts and isinstance(parts[0], int | np.integer) else None
        known = {c.__name__: c for c in kind.components + kind.optional}
        given = parts_by_name(parts if n is None else parts[1:], values)
        for name in given:
            if name not in known:
                raise ArgumentError(f"kind {kind.name!r} has no component {name}; it has {list(known)}")
        if n is not None and (isinstance(n, bool) or n < 0):
            raise ArgumentError(f"n must be a whole number of entities, not {n!r}")
        self.recorded.append(("spawn", kind, 1 if n is None else int(n), given))

    @staticmethod
    def _check(given: Any, component: Any) -> None:
        if not is_component(component):
            raise ArgumentError(f"expected a component (its class, or an instance of it), got {given!r}")


class CommandBuffer:
    """What one system asked for in one tick: arrays that its kernel appends to, or what a plain one called.

    A system that is split has an array a part. Parts are neighbouring rows in their order, so the records of all parts,
    one after another, are what one part alone would have appended.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._limit = 0
        self._stride = 1
        self._sites: tuple[Site, ...] = ()
        self._parts: dict[int, tuple[NDArray[Any], ...]] = {}
        self.plain = Commands()
        self.emits: dict[type, Emit[Any]] = {}

    def make_room(self, sites: tuple[Site, ...]) -> None:
        """Reserve room for what a body's sites can ask for, each once for every entity."""
        self._sites, self._stride = sites, stride_of(sites)
        self._limit = max(1, len(sites)) * self._world.n_slots
        self._parts = {0: self._reserve()}

    def _reserve(self) -> tuple[NDArray[Any], ...]:
        """Every part has room for all, since one may ask for all of it; only what is touched takes memory."""
        words = reserve((self._limit * self._stride,), np.int64)
        return words, words.view(np.float64), np.zeros(1, np.int64)

    def part(self, part: int) -> tuple[NDArray[Any], ...]:
        """What a part appends to: words as int64, the same as float64, and how many records there are, int64[1].

        There are more than there is room for where some found none.
        """
        found = self._parts.get(part)
        if found is None:
            found = self._parts.setdefault(part, self._reserve())
        return found

    def clear(self) -> None:
        """Forget what was asked for."""
        for _, _, n in self._parts.values():
            n[0] = 0
        self.plain.recorded.clear()
        for emit in self.emits.values():
            emit.clear()

    def _records(self) -> NDArray[np.int64]:
        """int64[n, words]: the records of all parts. Raises CapacityError."""
        parts = [self._parts[number] for number in sorted(self._parts)]
        n = sum(int(part[2][0]) for part in parts)
        if n > self._limit:
            raise CapacityError(f"a system gave {n} commands in one tick; there is room for {self._limit}")
        shares = [words[: int(n[0]) * self._stride] for words, _, n in parts if n[0]]
        return (shares[0] if len(shares) == 1 else np.concatenate(shares)).reshape(-1, self._stride)

    def apply(self) -> None:
        """Carry everything out, and clear. Raises CapacityError or ArgumentError, with nothing done."""
        wanted = Wanted(self._world)
        try:
            if any(n[0] for _, _, n in self._parts.values()):
                wanted.take_records(self._sites, self._records())
            take_recorded(wanted, self.plain.recorded)
            for event, emit in self.emits.items():
                wanted.events += [(event, *one) for one in emit.records()]
            wanted.carry_out()
        finally:
            self.clear()
