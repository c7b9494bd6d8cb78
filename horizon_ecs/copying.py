"""Copying: one world taking over the state of another, in memory and in place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, fields_of, role_of
from horizon_ecs.entities import Entities
from horizon_ecs.errors import ArgumentError, CapacityError
from horizon_ecs.parts import n_pages_touched, rng_state
from horizon_ecs.query import Query
from horizon_ecs.slots import DEAD
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.world import World

W = TypeVar("W", bound="World")


def copy_into(world: World, other: World) -> None:
    """See `World.copy_from`."""
    check_world("other", other)
    if world is other:
        return
    _check_idle(world, other)
    n_pages = n_pages_touched(other)
    if n_pages * PAGE > world.n_slots or len(other) > world.capacity:
        raise CapacityError(
            f"{len(other)} entities in {n_pages * PAGE} slots don't fit a world of capacity {world.capacity}"
        )
    _check_states(world, other)
    if world.seed != other.seed and world.schedule.systems:
        raise ArgumentError(f"systems of this world draw with the seed {world.seed}; the other's is {other.seed}")
    n_rows = max(n_pages, n_pages_touched(world)) * PAGE
    resources = {kind: copy.deepcopy(value) for kind, value in other._resources.items()}
    objects = {c: copy.deepcopy(column._by_slot) for c, column in other._objects.items()}
    world.register(*(other.kinds[n] for n in np.unique(other.page_kind[:n_pages]) if n != storage.FREE_PAGE))
    _copy_tables(world, other, n_pages)
    for component in other.components:
        _copy_columns(world, other, component)
    for column in world._objects.values():
        column.replace(objects.get(column.component, {}))
    _copy_resources(world, resources)
    _copy_rest(world, other)
    written_from_outside(world)
    world.changes.follow(other.changes, n_rows, lambda signature: _in_bits_of(world, other, signature))


def check_world(name: str, value: Any) -> None:
    """Refuse what is no world. Raises ArgumentError."""
    if not isinstance(value, Entities):
        raise ArgumentError(f"{name} must be a World, not {value!r}")


def _check_idle(*worlds: World) -> None:
    if any(world._ticking for world in worlds):
        raise ArgumentError("a world that ticks can't be copied: what its systems asked for is not carried out yet")


def _check_states(world: World, other: World) -> None:
    for kind in world._states.current:
        if kind not in other._states.current:
            raise ArgumentError(f"this world has the state {kind.__name__}, which the other lacks")


def _copy_tables(world: World, other: World, n_pages: int) -> None:
    n, before = n_pages * PAGE, n_pages_touched(world) * PAGE
    world.signature[:n] = _in_bits_of(world, other, other.signature[:n])
    world.generation[:n] = other.generation[:n]
    world.born[:n] = other.born[:n]
    world.page_kind[:n_pages] = _page_kinds(world, other, n_pages)
    world.page_live[:n_pages] = other.page_live[:n_pages]
    world._first_free[:n_pages] = other._first_free[:n_pages]
    # Slots that the other never used: as if they had never been used here.
    world.signature[n:before] = 0
    world.generation[n:before] = 0
    world.born[n:before] = DEAD
    world.page_kind[n_pages:] = storage.FREE_PAGE
    world.page_live[n_pages:] = 0
    world._first_free[n_pages:] = 0
    world._n_live = other._n_live


def _page_kinds(world: World, other: World, n_pages: int) -> NDArray[np.int16]:
    numbers = [world.kinds.index(kind) if kind in world.kinds else storage.FREE_PAGE for kind in other.kinds]
    return np.array([*numbers, storage.FREE_PAGE], np.int16)[other.page_kind[:n_pages]]


def _in_bits_of(world: World, other: World, theirs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The other's signatures in this world's bits: the very same where both learnt of components in one order."""
    if all(world._bits.get(c) == bit for c, bit in other._bits.items()):
        return theirs
    out = theirs & (storage.LIVE_BIT | storage.HIDDEN_BIT)
    for c, bit in other._bits.items():
        out |= np.where(theirs & np.uint64(bit), np.uint64(world._admit(c)), np.uint64(0))
    return out


def _copy_columns(world: World, other: World, c: Component) -> None:
    """The pages of the kinds that have a component."""
    lists = np.array([c in kind.components or c in kind.optional for kind in other.kinds] + [False])
    runs = list(_runs(lists[other.page_kind]))
    for f in fields_of(c):
        mine, theirs = world.column(c, f.name), other.column(c, f.name)
        for rows in runs:
            mine[rows] = theirs[rows]


def _runs(pages: NDArray[np.bool_]) -> Iterator[slice]:
    """Slices of slots: neighbouring pages that are marked, joined."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], pages, [False])).astype(np.int8))) * PAGE
    yield from (slice(int(a), int(b)) for a, b in edges.reshape(-1, 2))


def _copy_rest(world: World, other: World) -> None:
    world.tick_rate, world.seed = other.tick_rate, other.seed
    world.tick_count, world.structure_tick, world._owed_s = other.tick_count, other.structure_tick, other._owed_s
    mine, theirs = world.rng.bit_generator, other.rng.bit_generator
    if type(mine) is type(theirs) and rng_state(world.rng)["sequence"] == rng_state(other.rng)["sequence"]:
        mine.state = theirs.state  # in place, for those who keep a reference to the generator
    else:
        world.rng = copy.deepcopy(other.rng)
    world._states.replace(other._states)
    world.references.follow(other.references)
    world.links.follow(other.links)
    for event in world._events.keys() | other._events.keys():
        queue = other._queue(event)
        world._queue(event).restore(queue.waiting, queue.batch)


def written_from_outside(world: World) -> None:
    """Let go of what was worked out from tables and columns."""
    world.structure_version += 1
    world.links.outdate()


def _copy_resources(world: World, resources: dict[type, Any]) -> None:
    """Values of declared resources go into the instances that are there; all else is replaced."""
    for kind in world._resources.keys() - resources.keys():
        del world._resources[kind]
    for kind, value in resources.items():
        mine = world._resources.get(kind)
        if mine is not None and role_of(kind) == "resource":
            vars(mine).clear()
            vars(mine).update(vars(value))
        else:
            world._resources[kind] = value


def clone(world: W) -> W:
    """See `World.clone`."""
    made = type(world)(
        capacity=world.capacity, tick_rate=world.tick_rate, seed=world.seed, kinds=world.kinds,
        max_events=world.max_events, phases=world.schedule.phases, states=world._states.current.values(),
        on_error=world.schedule.on_error, n_threads=world.schedule.n_threads,
    )  # fmt: skip
    for component in world.components:
        made._admit(component)
    for tracked in world.changes.known():
        what = tracked.what
        made.changes.track(what.asked_of(made) if isinstance(what, Query) else what, tracked.max_history)
    made.add_system(*world.schedule.systems)
    copy_into(made, world)
    made.schedule.follow(world.schedule)
    return made
