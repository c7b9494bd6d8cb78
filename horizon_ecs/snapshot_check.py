"""What a snapshot may hold: every rule that a world's tables keep, so that none is made of what breaks them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.errors import SnapshotError
from horizon_ecs.slots import DEAD, MAX_CAPACITY
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.snapshot import Snapshot

_STATE = {"tick": int, "tick_rate": float, "structure_tick": int, "owed_s": float, "rng": dict}


def check(snapshot: Snapshot) -> None:
    """Raise SnapshotError where a snapshot contradicts itself; the message names the part."""
    _check_header(snapshot)
    alive = _check_tables(snapshot)
    _check_components(snapshot, alive)
    _check_events(snapshot)


def demand(holds: Any, message: str) -> None:
    """Raise SnapshotError with a message unless something holds."""
    if not holds:
        raise SnapshotError(message)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_header(s: Snapshot) -> None:
    names = ("options", "state", "kinds", "object_fields", "resources", "states", "units", "enums", "about")
    for name in names:
        demand(isinstance(getattr(s, name), dict), f"{name} is no map")
    demand(s.options.keys() == {"capacity", "max_events"}, f"options has the keys {list(s.options)}")
    demand(_is_whole(s.options.get("capacity"), 1, MAX_CAPACITY), "options: capacity is no count")
    demand(_is_whole(s.options.get("max_events"), 1, 2**63), "options: max_events is no count")
    demand(s.state.keys() == _STATE.keys() | {"seed"}, f"state has the keys {list(s.state)}")
    for name, kind in _STATE.items():
        demand(type(s.state[name]) is kind, f"state: {name} is {s.state[name]!r}")
    demand(type(s.state["seed"]) is int and s.state["seed"] >= 0, f"state: seed is {s.state['seed']!r}")
    for name in ("tick", "structure_tick"):
        demand(0 <= s.state[name] < DEAD, f"state: {name} is {s.state[name]}")
    demand(math.isfinite(s.state["owed_s"]) and s.state["owed_s"] >= 0, "state: owed_s is no duration")
    demand(0.01 <= s.state["tick_rate"] <= 10_000, f"state: tick_rate is {s.state['tick_rate']}")
    for name, shape in s.kinds.items():
        sound = isinstance(shape, Mapping) and shape.keys() == {"components", "optional"}
        demand(sound and all(map(_is_texts, shape.values())), f"kind {name!r} is malformed")
    for name, texts in s.object_fields.items():
        demand(_is_texts(texts), f"the fields of {name!r} are malformed")
    demand(all(isinstance(unit, str) for unit in s.units.values()), "a unit is no text")
    for name, members in s.enums.items():
        sound = isinstance(members, dict) and all(type(number) is int for number in members.values())
        demand(sound, f"the members of {name} are malformed")
    for name, held in s.states.items():
        sound = isinstance(held, dict) and held.keys() - {"tied"} == {"current", "asked", "entered"}
        sound = sound and _are_handles(held.get("tied", {}))
        sound = sound and isinstance(held["current"], str) and isinstance(held["asked"], str | None)
        demand(sound and isinstance(held["entered"], bool), f"state {name!r} is malformed")
    for name, values in s.resources.items():
        numbers = isinstance(values, dict) and all(
            isinstance(v, bool | int | float | complex | np.generic) for v in values.values()
        )
        demand(numbers, f"resource {name!r} holds what is no number")


def _are_handles(tied: Any) -> bool:
    """Whether it is a map of texts to handles."""
    return isinstance(tied, dict) and all(
        isinstance(name, str) and isinstance(handles, np.ndarray) and handles.ndim == 1 and handles.dtype == np.uint64
        for name, handles in tied.items()
    )


def column_check(name: str, array: Any, dtype: Any, rows: int) -> None:
    """Raise SnapshotError unless an array is a column of a dtype and so many rows."""
    found = isinstance(array, np.ndarray) and array.ndim == 1
    demand(found, f"{name} is no column")
    demand(dtype is None or array.dtype == dtype, f"{name} has the dtype {array.dtype}, not {np.dtype(dtype)}")
    demand(len(array) == rows, f"{name} has {len(array)} values, not {rows}")


def unpacked(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool[n]: bits, lowest first."""
    return np.unpackbits(bits, bitorder="little").view(np.bool_)


def _check_tables(s: Snapshot) -> NDArray[np.bool_]:
    """Whether each slot is alive."""
    n = len(s.generation)
    demand(n % PAGE == 0 and n <= MAX_CAPACITY + 64 * PAGE, f"generation has {n} rows, which are no whole pages")
    column_check("generation", s.generation, np.uint32, n)
    column_check("page_kind", s.page_kind, np.int16, n // PAGE)
    column_check("alive", s.alive, np.uint8, n // 8)
    alive = unpacked(s.alive)
    n_live = int(np.count_nonzero(alive))
    column_check("born", s.born, np.uint32, n_live)
    column_check("hidden", s.hidden, np.uint8, n // 8)
    hidden = unpacked(s.hidden)
    demand(not (hidden & ~alive).any(), "what is hidden doesn't live")
    demand(((s.born == DEAD) == hidden[alive]).all(), "a living entity has no tick of birth, or a hidden one has")
    demand(s.generation.max(initial=0) <= storage.MAX_GENERATION, "a generation is too high")
    demand(s.generation[::PAGE].all() and s.generation[alive].all(), "a slot that was used has generation 0")
    used = s.page_kind != storage.FREE_PAGE
    demand((alive.reshape(-1, PAGE).any(axis=1) == used).all(), "page_kind doesn't fit to alive")
    demand(((s.page_kind >= -1) & (s.page_kind < len(s.kinds))).all(), "a page has a kind that isn't there")
    return alive


def _check_components(s: Snapshot, alive: NDArray[np.bool_]) -> None:
    owner = np.repeat(s.page_kind, PAGE)
    known = set(itertools.chain.from_iterable(k["components"] + k["optional"] for k in s.kinds.values()))
    demand(known == s.has.keys(), f"the kinds' components are {sorted(known)}, the sections' {sorted(s.has)}")
    rows: dict[str, int] = {}
    for name, bits in s.has.items():
        column_check(f"has/{name}", bits, np.uint8, len(s.alive))
        has = unpacked(bits)
        may = np.array([name in k["components"] + k["optional"] for k in s.kinds.values()] + [False])
        must = np.array([name in k["components"] for k in s.kinds.values()] + [False])
        demand(not (has & ~(alive & may[owner])).any(), f"entities have {name} whose kind doesn't list it")
        demand(not (alive & must[owner] & ~has).any(), f"entities lack {name} whose kind always has it")
        rows[name] = int(np.count_nonzero(has))
    for name, array in s.columns.items():
        component, dot, _ = name.partition(".")
        demand(dot and component in rows, f"column {name!r} belongs to no component")
        column_check(name, array, None, rows[component])

    demand(s.objects.keys() == s.object_fields.keys() <= rows.keys(), "objects belong to no component")
    for name, instances in s.objects.items():
        demand(len(instances) == rows[name], f"{name} has {len(instances)} instances, not {rows[name]}")
        named = set(s.object_fields[name])
        demand(all(type(i) is dict and i.keys() == named for i in instances), f"an instance of {name} is malformed")


def _check_events(s: Snapshot) -> None:
    for name, batches in s.events.items():
        demand(set(batches) == {"waiting", "current"}, f"event {name!r} is malformed")
        for state, columns in batches.items():
            demand("sender" in columns, f"event {name!r} has no senders")
            for key, array in columns.items():
                dtype = np.uint64 if key == "sender" else None
                column_check(f"events/{name}/{state}/{key}", array, dtype, len(columns["sender"]))
