"""Parts: everything that a world's state consists of, as a header of plain data and sections of columns.

What is written is a function of the state alone: no row that nothing lives in, no trace of the order in which kinds or
components became known. `World.save`, `World.digest` and `Snapshot` all stand on `parts_of`, so that they agree on what
the state is.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, fields_of, is_object, role_of
from horizon_ecs.errors import SnapshotError
from horizon_ecs.events import EventBatch
from horizon_ecs.fields import flatten
from horizon_ecs.kinds import Kind
from horizon_ecs.object_store import fields_of_instances, object_arrays, object_names
from horizon_ecs.packing import dtype_code, pack
from horizon_ecs.savefile import Section
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.world import World

_BLOCK = 64 * PAGE  # rows that are gathered at a time


def section_of(name: str, array: NDArray[Any]) -> Section:
    """A section of one array."""
    return Section(name, array.dtype, len(array), lambda: [array])


def digest_of(header: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """SHA-256 over the state: options, units, enums and `about` are none of it."""
    layout = [[s.name, dtype_code(s.dtype), s.rows] for s in sections]
    state = {name: header[name] for name in ("state", "kinds", "object_fields", "resources", "states")}
    sha = hashlib.sha256(pack([state, layout], "the state"))
    for section in sections:
        for octets in section.octets():
            sha.update(octets)
    return sha.hexdigest()


def parts_of(world: World, skip_resources: Iterable[type] = ()) -> tuple[dict[str, Any], list[Section]]:
    """A world's header and sections, which read its columns when they are asked for.

    Raises
    ------
    SnapshotError
        It holds what no file can.
    """
    kinds = kinds_in_use(world)
    components = sorted({c for kind in kinds for c in kind.components + kind.optional}, key=lambda c: c.__name__)
    header = {
        "options": {"capacity": world.capacity, "max_events": world.max_events},
        "state": _state(world),
        "kinds": {k.name: {"components": _names(k.components), "optional": _names(k.optional)} for k in kinds},
        "object_fields": {c.__name__: object_names(c) for c in components if is_object(c)},
        "resources": _resources(world, tuple(skip_resources)),
        "states": _states(world),
        **_meanings(components),
    }
    return header, [*_tables(world, kinds), *_component_sections(world, components), *_event_sections(world)]


def kinds_in_use(world: World) -> list[Kind]:
    """The kinds of living entities, by name."""
    numbers = np.unique(world.page_kind[: world.n_pages_used])
    return sorted((world.kinds[n] for n in numbers if n != storage.FREE_PAGE), key=lambda kind: kind.name)


def n_pages_touched(world: World) -> int:
    """How many pages ever had an entity: the lowest free ones are taken first, and always from their first slot."""
    first = world.generation[::PAGE]
    low, high = 0, len(first)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if first[middle] else (low, middle)
    return low


def _names(components: Iterable[Component]) -> list[str]:
    return sorted(c.__name__ for c in components)


def _meanings(components: Iterable[Component]) -> dict[str, Any]:
    """The units and enums of fields that have one."""
    fields = {f"{c.__name__}.{f.name}": f for c in components for f in fields_of(c)}
    return {
        "units": {name: f.unit for name, f in fields.items() if f.unit},
        "enums": {name: f.members for name, f in fields.items() if f.enum},
    }


def _states(world: World) -> dict[str, dict[str, Any]]:
    states = world._states
    found: dict[str, dict[str, Any]] = {}
    for kind, member in states.current.items():
        if kind.__name__ in found:
            raise SnapshotError(f"two states are called {kind.__name__}; a file tells them apart by name only")
        asked = states.asked.get(kind)
        found[kind.__name__] = {
            "current": member.name,
            "asked": asked.name if asked is not None else None,
            "entered": kind in states.entered,
        }
        if tied := _tied(world, kind):
            found[kind.__name__]["tied"] = tied
    return dict(sorted(found.items()))


def _tied(world: World, kind: type[enum.Enum]) -> dict[str, NDArray[np.uint64]]:
    """The handles of the living that end with a state, ascending, by the names of its members."""
    found = {
        member.name: np.unique(handles[world.alive(handles)])
        for member, handles in world._states.tied.items()
        if type(member) is kind
    }
    return {name: found[name] for name in sorted(found) if len(found[name])}


def _state(world: World) -> dict[str, Any]:
    return {
        "tick": world.tick_count,
        "tick_rate": world.tick_rate,
        "seed": world.seed,
        "structure_tick": world.structure_tick,
        "owed_s": world._owed_s,
        "rng": rng_state(world.rng),
    }


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """A generator as plain data: its algorithm, its state, and what `spawn` goes on from."""
    bits = rng.bit_generator
    seed = getattr(bits, "seed_seq", None)
    sequence = None
    if isinstance(seed, np.random.SeedSequence):
        sequence = {
            "entropy": seed.entropy,
            "spawn_key": list(seed.spawn_key),
            "pool_size": seed.pool_size,
            "n_children_spawned": seed.n_children_spawned,
        }
    return {"name": type(bits).__name__, "state": dict(bits.state), "sequence": sequence}


def _resources(world: World, skip: tuple[type, ...]) -> dict[str, dict[str, Any]]:
    found = {}
    for kind, value in world._resources.items():
        if kind in skip:
            continue
        name = kind.__name__
        declared = role_of(kind) == "resource"
        extra = set(vars(value)) - {f.vector or f.name for f in fields_of(kind)} if declared else set()
        if not declared or extra:
            what = f"has the attribute {min(extra)!r} beside its fields" if extra else "is not declared with @resource"
            raise SnapshotError(
                f"the resource {name} can't be saved: it {what}. Leave it out with skip_resources=[{name}] and insert "
                "it again after loading"
            )
        if name in found:
            raise SnapshotError(f"the world has two resources called {name}; a file tells them apart by name only")
        numbers = flatten(value, fields_of(kind))
        found[name] = {f.name: _number(numbers[f.name], f.dtype, f"{name}.{f.name}") for f in fields_of(kind)}
    return dict(sorted(found.items()))


def _number(value: Any, dtype: np.dtype[Any], where: str) -> Any:
    """A resource's number as a plain one."""
    if isinstance(value, np.generic) and value.dtype.kind in "biufc":
        value = value.item()
    if not isinstance(value, bool | int | float | complex | np.datetime64 | np.timedelta64):
        raise SnapshotError(f"the resource's field {where} holds {value!r}, which is no number")
    if not fits(value, dtype):
        raise SnapshotError(f"the resource's field {where} holds {value!r}, which is no {dtype.name}")
    return value


def fits(value: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a field of a resource can hold a number, as systems will take it."""
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return isinstance(value, int | np.integer) and int(bounds.min) <= int(value) <= int(bounds.max)
    return dtype.kind not in "bf" or not isinstance(value, complex | np.complexfloating)


def _tables(world: World, kinds: Sequence[Kind]) -> list[Section]:
    n_pages = n_pages_touched(world)
    n = n_pages * PAGE
    numbers = np.full(len(world.kinds) + 1, storage.FREE_PAGE, np.int16)  # the last is what -1 finds
    numbers[[world.kinds.index(kind) for kind in kinds]] = np.arange(len(kinds), dtype=np.int16)
    lives = storage.LIVE_BIT
    return [
        Section("generation", world.generation.dtype, n, lambda: [world.generation[:n]]),
        section_of("page_kind", numbers[world.page_kind[:n_pages]]),
        section_of("alive", _bits(world.signature[:n], lives)),
        section_of("hidden", _bits(world.signature[:n], storage.HIDDEN_BIT)),
        Section("born", world.born.dtype, len(world), lambda: _gathered(world, world.born, lives, n)),
    ]


def _bits(signature: NDArray[np.uint64], bit: np.uint64) -> NDArray[np.uint8]:
    """uint8[n // 8]: whether each row has a bit."""
    return np.packbits((signature & bit) != 0, bitorder="little")


def _gathered(world: World, column: NDArray[Any], bit: np.uint64, n: int) -> Iterator[NDArray[Any]]:
    """A column's values in the rows that have a bit, block by block."""
    for start in range(0, n, _BLOCK):
        has = (world.signature[start : min(start + _BLOCK, n)] & bit) != 0
        block = column[start : start + len(has)]
        yield block if has.all() else block[has]


def _component_sections(world: World, components: Iterable[Component]) -> Iterator[Section]:
    n = n_pages_touched(world) * PAGE
    for c in components:
        bit = np.uint64(world.bit(c))
        has = _bits(world.signature[:n], bit)
        yield section_of(f"has/{c.__name__}", has)
        rows = int(np.bitwise_count(has).sum()) if hasattr(np, "bitwise_count") else int(np.unpackbits(has).sum())
        for name in sorted(f.name for f in fields_of(c)):
            column = world.column(c, name)
            yield Section(
                f"columns/{c.__name__}.{name}", column.dtype, rows,
                lambda column=column, bit=bit: _gathered(world, column, bit, n),  # type: ignore[misc]
            )  # fmt: skip

        if is_object(c):
            for part, array in object_arrays(c.__name__, fields_of_instances(world[c])):
                yield section_of(f"objects/{c.__name__}/{part}", array)


def _event_sections(world: World) -> Iterator[Section]:
    """What waits and what this tick brought, of events that have any."""
    names = set()
    for event, queue in sorted(world._events.items(), key=lambda item: item[0].__name__):
        batches: dict[str, EventBatch] = {"waiting": queue.waiting, "current": queue.batch}
        if any(len(batch) for batch in batches.values()):
            if event.__name__ in names:
                raise SnapshotError(f"two events called {event.__name__} wait; a file tells them apart by name only")
            names.add(event.__name__)
            for state, batch in batches.items():
                yield section_of(f"events/{event.__name__}/{state}/sender", batch.sender)
                for name in batch.records.dtype.names or ():
                    yield section_of(f"events/{event.__name__}/{state}/{name}", batch.records[name])
