"""Carrying out: what a system asked for, in bulk and in an order that no number of threads changes.

First the changes of entities that exist, an entity's own in the order in which it asked; then spawns, of each kind in
the order of those who asked; then events. Whether there is room, and whether everything given may be so, is checked
before any of it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.births import check_room
from horizon_ecs.components import Component, fields_of, is_object
from horizon_ecs.fields import flatten
from horizon_ecs.handles import as_handles
from horizon_ecs.kinds import Kind
from horizon_ecs.links import check_others
from horizon_ecs.objects import as_instances
from horizon_ecs.relations import is_relation
from horizon_ecs.sites import ADD, COMMANDS, DESPAWN, EMIT, SPAWN, Site
from horizon_ecs.values import as_columns, who_has

if TYPE_CHECKING:
    from horizon_ecs.world import World

Change = tuple[int, Component | None, Any, NDArray[np.uint64]]
"""Operation, component, values or None, handles."""

Spawn = tuple[Kind, int, dict[Component, tuple[Any, Any]]]
"""Kind, how many, and by component which of them get it (a mask, or ... for all) and its values."""


class Wanted:
    """Everything that one system asked for in one tick, ready to be carried out."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.changes: list[Change] = []
        self.spawns: list[Spawn] = []
        self.events: list[tuple[type, Any, Any]] = []

    def take_records(self, sites: tuple[Site, ...], records: NDArray[np.int64]) -> None:
        """What a kernel appended: int64[n, words]."""
        number, handle = records[:, 0], np.ascontiguousarray(records[:, 1]).view(np.uint64)
        operation = np.array([site.operation for site in sites])[number]
        rows = np.flatnonzero(operation < SPAWN)
        for group in rounds(handle[rows], number[rows]):
            mine = rows[group]
            site = sites[number[mine[0]]]
            values = site.decode(records[mine]).get(site.target) if site.values else None
            self.changes.append((site.operation, site.target, values, handle[mine]))
        used = np.flatnonzero(np.bincount(number, minlength=len(sites))).tolist()
        used.sort(key=lambda i: int(np.argmax(number == i)))  # by who asked first
        for what, take in ((SPAWN, self._take_spawns), (EMIT, self._take_events)):
            for target in dict.fromkeys(sites[i].target for i in used if sites[i].operation == what):
                known = {i: site for i, site in enumerate(sites) if site.operation == what and site.target is target}
                wanted = np.array([i in known for i in range(len(sites))])
                take(target, known, records[wanted[number]])

    def _take_spawns(self, kind: Kind, sites: dict[int, Site], records: NDArray[np.int64]) -> None:
        """All sites' spawns of a kind, in the order of their records."""
        values: dict[Component, tuple[Any, Any]] = {}
        for owner in dict.fromkeys(owner for site in sites.values() for owner, _ in site.values):
            given, columns = _merged(owner, sites, records, kind.defaults.get(owner))
            values[owner] = (... if owner in kind.components else given, columns or True)  # True for a tag
        self.spawns.append((kind, len(records), values))

    def _take_events(self, event: Any, sites: dict[int, Site], records: NDArray[np.int64]) -> None:
        _, columns = _merged(event, sites, records)
        out = np.zeros(len(records), event.__hz_dtype__)
        for name, column in columns.items():
            out[name] = column
        self.events.append((event, np.ascontiguousarray(records[:, 1]).view(np.uint64), out))

    def carry_out(self) -> None:
        """All of it. Raises CapacityError or ArgumentError; then nothing was done."""
        world = self._world
        if self.spawns or self.changes:
            self._check()
        for operation, component, values, handles in self.changes:
            _change(world, operation, component, values, handles)
        for kind, n, values in self.spawns:
            _spawn(world, kind, n, values)
        for event, sender, records in self.events:
            world._queue(event).push(sender, records, emitted=True)

    def _check(self) -> None:
        world = self._world
        for operation, component, values, handles in self.changes:
            if component is not None:
                there = handles[world.alive(handles)]
                if operation == ADD:
                    _check_values(component, values, len(handles))
                    if is_relation(component) and values is not None:
                        there = there[~world.has(there, component)]  # the others get another target
                        check_others(component, handles, as_columns(component, values, len(handles)).get("target", 0))
                world._optional_rows(there, component)
        wanted: dict[Kind, int] = {}
        for kind, n, values in self.spawns:
            world.register(kind)
            wanted[kind] = wanted.get(kind, 0) + n
            for component, (who, value) in values.items():
                _, given, n_given = _given_to(kind, component, value, n) if who is ... else (who, value, n)
                _check_values(component, given, n_given)
        if wanted:
            ending = [handles for operation, _, _, handles in self.changes if operation == DESPAWN]
            check_room(world, wanted, np.concatenate(ending) if ending else None)


def rounds(handle: NDArray[Any], site: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Split commands into groups of one site each, keeping the order of those of one entity.

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
    key = nth << 16 | site.astype(np.int64)
    order = np.argsort(key, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(key[order])) + 1)


def _merged(
    owner: type, sites: dict[int, Site], records: NDArray[np.int64], default: Any = None
) -> tuple[NDArray[np.bool_], dict[str, NDArray[Any]]]:
    """Which records give an owner's values, and its columns over all of them.

    Where nothing is given they are those of the default instance; in what is constructed a field's own default counts.
    """
    n, fields = len(records), fields_of(owner)
    else_ = {f.name: f.default for f in fields} if default is None else flatten(default, fields)
    columns = {f.name: np.full(n, else_[f.name], f.dtype) for f in fields}
    given = np.zeros(n, np.bool_)
    for number, site in sites.items():
        rows = np.flatnonzero(records[:, 0] == number)
        values = site.decode(records[rows]).get(owner)
        if values is not None:
            given[rows] = True
            for f in fields:
                columns[f.name][rows] = values.get(f.name, f.default)
    return given, columns


def _check_values(component: Component, values: Any, n: int) -> None:
    """Refuse values that a component of `n` entities can't have. Raises ArgumentError."""
    if is_object(component):
        as_instances(component, values, n)
    elif values is not None and fields_of(component):
        as_columns(component, values, n)


def _without_dead(world: World, component: Component, values: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Values with 0 in place of references to entities that have gone since they were given."""
    out = dict(values)
    for f in (f for f in fields_of(component) if f.is_entity and f.name in values):
        given = values[f.name]
        out[f.name] = np.where(world.alive(given).reshape(given.shape), given, np.uint64(0))
    return out


def _given_to(kind: Kind, component: Component, value: Any, n: int) -> tuple[Any, Any, int]:
    """As `who_has`, and how many these are."""
    who, given = who_has(component, value, n) if component in kind.optional else (None, value)
    return who, given, n if who is None else int(who.sum())


def _among_the_living(world: World, kind: Kind, component: Component, value: Any, n: int) -> Any:
    """What `n` new entities are given of a component, with 0 in place of references to the dead."""
    if not any(f.is_entity for f in fields_of(component)):
        return value
    who, given, n_given = _given_to(kind, component, value, n)
    if given is None:
        return value
    columns = _without_dead(world, component, as_columns(component, given, n_given))
    if who is None:
        return columns
    spread = {name: np.ma.array(np.zeros(n, np.asarray(column).dtype), mask=True) for name, column in columns.items()}
    for name, column in columns.items():
        spread[name][who] = column
    return spread


def _some(values: Any, rows: Any) -> Any:
    return {name: v[rows] if np.ndim(v) else v for name, v in values.items()}


def _change(
    world: World, operation: int, component: Component | None, values: Any, handles: NDArray[np.uint64]
) -> None:
    if operation == DESPAWN or component is None:
        world.despawn(handles, missing="ignore")
        return
    there = world.alive(handles)
    if operation != ADD:
        world.remove(handles[there], component)
    elif values is None or not fields_of(component):
        world.add(handles[there], component, values if is_object(component) else None)
    else:
        columns = as_columns(component, values, len(handles))
        if is_relation(component):
            world.relate_late(handles[there], component, _some(columns, there))
            return
        world.add(handles[there], component, _without_dead(world, component, _some(columns, there)))


def _spawn(world: World, kind: Kind, n: int, values: dict[Component, tuple[Any, Any]]) -> None:
    of_all: dict[str, Any] = {}
    for c, (who, given) in values.items():
        if who is ...:
            of_all[c.__name__] = _among_the_living(world, kind, c, given, n)
    handles = world.spawn(kind, n, **of_all)
    for component, (who, given) in values.items():
        if who is not ... and who.any():
            some = _without_dead(world, component, _some(given, who)) if fields_of(component) else None
            world.add(handles[who], component, some)


def take_recorded(wanted: Wanted, recorded: Sequence[tuple[Any, ...]]) -> None:
    """What a plain system asked for, as `Commands` recorded it."""
    for name, *rest in recorded:
        if name == "spawn":
            kind, n, values = rest
            named = {c.__name__: c for c in kind.components + kind.optional}
            by_component = {named[c]: (..., v) for c, v in values.items()}
            wanted.spawns.append((kind, n, by_component))
            continue
        handles, what = as_handles(rest[0]), rest[1] if len(rest) > 1 else None
        component = what if isinstance(what, type) or what is None else type(what)
        values = None if component is what else what
        wanted.changes.append((COMMANDS[name], component, values, handles))
