"""Restore: a world made of a snapshot, if it is of the schema that the caller's classes declare."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import arguments
from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, Time, fields_of, is_object, nearest, role_of
from horizon_ecs.copying import written_from_outside
from horizon_ecs.errors import ArgumentError, SnapshotError
from horizon_ecs.events import EventBatch
from horizon_ecs.fields import attributes, convert
from horizon_ecs.kinds import Kind
from horizon_ecs.migrate import migrated
from horizon_ecs.object_store import instance_of, object_names
from horizon_ecs.parts import fits
from horizon_ecs.relations import is_relation
from horizon_ecs.snapshot_check import demand, unpacked
from horizon_ecs.states import kind_of
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.snapshot import Snapshot
    from horizon_ecs.world import World

W = TypeVar("W", bound="World")
Migration = Callable[["Snapshot"], "Snapshot"]

MAX_UNASKED_CAPACITY = 2**24  # a world takes 4 bytes a slot at once: a file may ask for 64 MiB, not for 8 GiB
_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


@dataclass(frozen=True)
class Classes:
    """What the caller's names stand for."""

    kinds: dict[str, Kind]
    components: dict[str, Component]
    resources: dict[str, type]
    events: dict[str, type]
    states: dict[str, type[enum.Enum]]

    @classmethod
    def of(
        cls, kinds: Iterable[Kind], resources: Iterable[type], events: Iterable[type], states: Iterable[enum.Enum]
    ) -> Classes:
        """By name, checked. Raises ArgumentError."""
        listed = arguments.sequence("kinds", kinds, "kinds, such as [Ship]")
        for kind in listed:
            if not isinstance(kind, Kind):
                raise ArgumentError(f"kinds lists Kinds, not {kind!r}")
        given = {
            "resource": arguments.sequence("resources", resources, "classes, such as [Score]"),
            "event": arguments.sequence("events", events, "classes, such as [Steer]"),
        }
        for role, types in given.items():
            for one in types:
                if role_of(one) != role:
                    raise ArgumentError(f"{role}s lists classes decorated with @{role}, not {one!r}")
        components = {c.__name__: c for kind in listed for c in kind.components + kind.optional}
        return cls(
            {k.name: k for k in listed},
            components,
            {r.__name__: r for r in [Time, *given["resource"]]},
            {e.__name__: e for e in given["event"]},
            {
                kind_of(member).__name__: type(member)
                for member in arguments.sequence("states", states, "members, such as [Screen.MENU]")
            },
        )


def build(
    cls: type[W],
    snapshot: Snapshot,
    classes: Classes,
    migrate: Migration | None,
    options: Mapping[str, Any],
) -> W:
    """A world of a snapshot; parameters and errors as for `World.load`."""
    for name in ("tick_rate", "seed"):
        if name in options:
            raise ArgumentError(
                f"{name} is part of what was saved; change it in snapshot.state and make a world of that"
            )
    found = list(differences(snapshot, classes))
    if found and migrate is not None:
        snapshot = migrated(snapshot, classes, migrate)
    elif found:
        raise SnapshotError(
            "the snapshot is of another schema:\n  "
            + "\n  ".join(found)
            + "\nGive what is missing, or migrate=: a function that changes the snapshot (see docs/snapshot.md)"
        )
    _check_numbers(snapshot, classes)
    settings = {**snapshot.options, **options}
    if "capacity" not in options and settings["capacity"] > MAX_UNASKED_CAPACITY:
        raise SnapshotError(
            f"the snapshot asks for a capacity of {settings['capacity']:,}, beyond {MAX_UNASKED_CAPACITY:,}; "
            "confirm it with capacity="
        )
    world = cls(
        tick_rate=snapshot.state["tick_rate"], seed=snapshot.state["seed"], kinds=classes.kinds.values(), **settings
    )
    _fill(world, snapshot, classes)
    return world


# -- what differs ------------------------------------------------------------------------------------------------------


def differences(s: Snapshot, classes: Classes) -> Iterator[str]:
    """What the snapshot has that the classes don't say, and the other way round, a line each."""
    for name, shape in s.kinds.items():
        kind = classes.kinds.get(name)
        if kind is None:
            yield f"kind {name!r} is not among kinds={list(classes.kinds)}{nearest(name, classes.kinds)}"
            continue
        for role, components in (("components", kind.components), ("optional", kind.optional)):
            old, new = set(shape[role]), {c.__name__ for c in components}
            what = "optional" if role == "optional" else "required"
            yield from (f"kind {name!r} had the {what} component {c}" for c in sorted(old - new))
            yield from (f"kind {name!r} has the {what} component {c}, which it hadn't" for c in sorted(new - old))
    for name in s.has:
        if name in classes.components:
            yield from _object_differences(s, classes.components[name])
            yield from _field_differences(s, classes.components[name])
    yield from _resource_differences(s, classes.resources)
    yield from _state_differences(s, classes.states)
    for name in s.events:
        if name not in classes.events:
            yield f"events of {name} wait, which is not among events={list(classes.events)}"
        else:
            yield from _event_differences(s, classes.events[name])


def _field_differences(s: Snapshot, component: Component) -> Iterator[str]:
    stored = {n.partition(".")[2] for n in s.columns if n.partition(".")[0] == component.__name__}
    fields = {f.name: f for f in fields_of(component)}
    for name in sorted(stored - fields.keys()):
        yield f"{component.__name__}.{name} is stored; the component has no such field{nearest(name, fields)}"
    for name, f in fields.items():
        full = f"{component.__name__}.{name}"
        if name not in stored:
            yield f"{full} is not stored"
        elif s.columns[full].dtype != f.dtype:
            yield f"{full} is stored as {s.columns[full].dtype}; the field is {f.dtype}"
        elif s.units.get(full, "") not in ("", f.unit) and f.unit:
            yield f"{full} is stored in {s.units.get(full)!r}; the field is in {f.unit!r}"
        else:
            yield from _enum_differences(full, s.enums.get(full, {}), f.members)


def _enum_differences(full: str, stored: Mapping[str, int], now: Mapping[str, int]) -> Iterator[str]:
    for name, value in stored.items() if now else ():
        if now.get(name) != value:
            yield f"{full}: the member {name} was {value} and is {now.get(name, 'none')}"


def _object_differences(s: Snapshot, c: Component) -> Iterator[str]:
    stored, now = s.object_fields.get(c.__name__), object_names(c) if is_object(c) else None
    if (stored is None) != (now is None):
        yield f"{c.__name__} is an object component in one of both only"
    elif stored is not None and now is not None:
        yield from (
            f"{c.__name__}.{name} is stored; the component has no such field" for name in stored if name not in now
        )
        yield from (f"{c.__name__}.{name} is not stored" for name in now if name not in stored)


def _state_differences(s: Snapshot, classes: Mapping[str, type[enum.Enum]]) -> Iterator[str]:
    for name, held in s.states.items():
        if name not in classes:
            yield f"state {name} is not among those of states={list(classes)}{nearest(name, classes)}"
            continue
        members = classes[name].__members__
        for member in (held["current"], held["asked"], *held.get("tied", ())):
            if member is not None and member not in members:
                yield f"state {name} knew {member}, which is none of its members{nearest(member, members)}"


def _resource_differences(s: Snapshot, classes: Mapping[str, type]) -> Iterator[str]:
    for name, values in s.resources.items():
        if name not in classes:
            given = [known for known in classes if known != "Time"]
            yield f"resource {name} is not among resources={given}{nearest(name, classes)}"
            continue
        fields = {f.name: f for f in fields_of(classes[name])}
        yield from (f"resource {name} was saved with {f}" for f in sorted(values.keys() - fields.keys()))
        yield from (f"resource {name} has {f}, which was not saved" for f in sorted(fields.keys() - values.keys()))


def _event_differences(s: Snapshot, event: type) -> Iterator[str]:
    declared = {f.name: f.dtype for f in fields_of(event)}
    for columns in s.events[event.__name__].values():
        stored = {name: a.dtype for name, a in columns.items() if name != "sender"}
        if stored != declared:
            yield f"events of {event.__name__} were saved with {stored}; it declares {declared}"
            return


def _check_numbers(s: Snapshot, classes: Classes) -> None:
    """Numbers of resources must be what their fields hold."""
    for name, values in s.resources.items():
        for f in fields_of(classes.resources[name]):
            value = values[f.name]
            demand(fits(value, f.dtype), f"resource {name}.{f.name} was saved as {value!r}, which is no {f.dtype.name}")


# -- filling a world ---------------------------------------------------------------------------------------------------


def _fill(world: World, s: Snapshot, classes: Classes) -> None:
    n, n_pages = len(s.generation), len(s.page_kind)
    if n > world.n_slots or len(s.born) > world.capacity:
        raise SnapshotError(
            f"the snapshot's {len(s.born):,} entities in {n:,} slots don't fit a capacity of {world.capacity:,}"
        )
    alive = unpacked(s.alive)
    signature = np.where(alive, storage.LIVE_BIT, np.uint64(0))
    signature[unpacked(s.hidden)] |= storage.HIDDEN_BIT
    for name, bits in s.has.items():
        _fill_component(world, s, classes.components[name], unpacked(bits), signature)
    for name, instances in s.objects.items():
        c = classes.components[name]
        world[c].write(s.slots(name), [instance_of(c, values) for values in instances])
    world.signature[:n] = signature
    world.generation[:n] = s.generation
    world.born[:n][alive] = s.born
    numbers = np.array([world.kinds.index(classes.kinds[name]) for name in s.kinds] + [storage.FREE_PAGE], np.int16)
    world.page_kind[:n_pages] = numbers[s.page_kind]
    free = ~alive.reshape(-1, PAGE)
    world.page_live[:n_pages] = PAGE - free.sum(axis=1)
    world._first_free[:n_pages] = np.where(free.any(axis=1), free.argmax(axis=1), PAGE)
    world._n_live = len(s.born)
    world.tick_count, world.structure_tick = s.state["tick"], s.state["structure_tick"]
    world._owed_s = s.state["owed_s"]
    world.rng = _generator(s.state["rng"])
    for name, values in s.resources.items():
        world.insert(_resource(classes.resources[name], values))
    for name, held in s.states.items():
        world._states.restore(
            classes.states[name], held["current"], held["asked"], held["entered"], held.get("tied", {})
        )
    world.references.outdate()
    written_from_outside(world)
    world.changes.reset()
    _check_relations(world, s)
    for name, batches in s.events.items():
        event = classes.events[name]
        world._queue(event).restore(_batch(event, batches["waiting"]), _batch(event, batches["current"]))


def _fill_component(
    world: World, s: Snapshot, c: Component, has: NDArray[np.bool_], signature: NDArray[np.uint64]
) -> None:
    signature[has] |= np.uint64(world.bit(c))
    together = bool(has.all())
    for f in fields_of(c):
        column = world.column(c, f.name)[: len(has)]
        if together:
            column[:] = s.columns[f"{c.__name__}.{f.name}"]
        else:
            column[has] = s.columns[f"{c.__name__}.{f.name}"]


def _check_relations(world: World, s: Snapshot) -> None:
    """What the arrays of `Links` rely on: targets live, nobody is its own, over others neither where cycles are
    refused."""
    for name in s.has:
        relation = next(c for c in world.components if c.__name__ == name)
        if is_relation(relation):
            slots = s.slots(name)
            targets = world.column(relation, "target")[slots]
            demand(((targets == 0) | world.alive(targets)).all(), f"{name}: a target doesn't live")
            try:
                world.links.check(relation, slots, targets)
            except ArgumentError as error:
                raise SnapshotError(str(error)) from None


def _resource(cls: type, values: Mapping[str, Any]) -> Any:
    made = cls()
    for name, columns in attributes(fields_of(cls)).items():
        numbers = [values[f.name] for f in columns]
        setattr(made, name, convert(columns, numbers if columns[0].vector else numbers[0]))
    return made


def _batch(event: Any, columns: Mapping[str, NDArray[Any]]) -> EventBatch:
    records = np.zeros(len(columns["sender"]), event.__hz_dtype__)
    for name in records.dtype.names or ():
        records[name] = columns[name]
    return EventBatch(columns["sender"], records)


def _generator(stored: Mapping[str, Any]) -> np.random.Generator:
    """The generator that `rng_state` described. Raises SnapshotError where it is none of NumPy's."""
    demand(stored.get("name") in _GENERATORS, f"the random generator {stored.get('name')!r} is none of {_GENERATORS}")
    make = getattr(np.random, stored["name"])
    try:
        sequence, state = stored["sequence"], stored["state"]
        inner = state["state"] if isinstance(state["state"], dict) else {}
        # NumPy believes these: the first makes room, the others are where it reads.
        sound = not sequence or 0 < sequence["pool_size"] <= 64
        sound &= 0 <= inner.get("pos", 0) <= 624 and 0 <= state.get("buffer_pos", 0) <= 4
        demand(sound, "the random generator's state is malformed")
        bits = make(np.random.SeedSequence(**sequence) if sequence else None)
        bits.state = state
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise SnapshotError(f"the random generator's state is malformed: {error!r}") from None
    return np.random.Generator(bits)
