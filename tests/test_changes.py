"""Changes: what is noticed, when, and who is told."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import Entity, Read, Write, i2, u1
from horizon_ecs.columns import PAGE
from tests import kernels, naive
from tests.game import Frozen, Fuel, Position, Rock, Ship, Velocity

PHASES = ("input", "simulate", "react")


@hz.component
class Mark:
    pos: hz.vec3
    level: i2
    flag: u1
    wide: np.complex128
    target: Entity


Marked = hz.Kind("Marked", Mark)
FastShip = hz.Kind("FastShip", extends=Ship)


@hz.system
def move(pos: Write[Position], vel: Read[Velocity]) -> None:
    pos.x += vel.x


def which(world: hz.World, mask: Any) -> list[int]:
    assert mask.shape == (world.n_slots,)
    return np.flatnonzero(mask).tolist()


def in_phase(world: hz.World, phase: str, do: Callable[[], Any]) -> None:
    """Have something done by a system of a phase, in every tick."""

    @hz.system(phase=phase, form="columns")
    def act(world: hz.World) -> None:
        do()

    world.add_system(act)


# -- kernels -----------------------------------------------------------------------------------------------------

DTYPES = [np.uint8, np.uint16, np.uint32, np.uint64]


@pytest.mark.parametrize("seed", range(4))
def test_differing_rows(seed):
    rng = np.random.default_rng(seed)
    signature, generation = rng.integers(0, 4, 3 * PAGE, np.uint64), rng.integers(1, 3, 3 * PAGE, np.uint32)
    before = signature.copy(), generation.copy()
    for column in before:
        column[rng.integers(0, 2 * PAGE, 5)] ^= column.dtype.type(1)
    expected = naive.differing_rows(list(zip(signature, generation, strict=True)), list(zip(*before, strict=True)))
    assert kernels.differing_rows(signature, generation, *before) == expected
    assert kernels.differing_rows(signature, generation, signature, generation) == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("words", [1, 3])
@pytest.mark.parametrize("commit", [False, True])
def test_changed_rows(dtype, words, commit):
    rng = np.random.default_rng(words)
    now = [rng.integers(0, 200, (4 * PAGE, words)).astype(dtype) for _ in range(2)]
    before = [column.copy() for column in now]
    for column in before:
        column[rng.integers(0, 4 * PAGE, 40)] += dtype(1)
    signature = rng.integers(0, 4, 4 * PAGE, np.uint64)
    pages = [0, 1, 3]
    looked_at = np.repeat([True, True, False, True], PAGE)
    rows = [tuple([row.tobytes() for row in column] for column in pair) for pair in zip(now, before, strict=True)]
    expected = naive.changed_rows(rows, (signature & 2 > 0) & looked_at)
    kept = [column.copy() for column in before]
    got, stamps = kernels.changed_rows(list(zip(now, before, strict=True)), pages, signature, 2, commit=commit, tick=7)
    assert got == expected
    assert np.flatnonzero(stamps == 7).tolist() == (expected if commit else [])
    for new, old, copied in zip(now, kept, before, strict=True):
        np.testing.assert_array_equal(copied, np.where((looked_at & commit)[:, None], new, old))


@pytest.mark.parametrize("masks", [(2, 0, 2), (2, 4, 2), (2, 0, 9), (0, 4, 9)])
def test_recent_rows(masks):
    need, lack, either = masks
    rng = np.random.default_rng(5)
    signature, old_signature = (rng.integers(0, 16, PAGE, np.uint64) for _ in range(2))
    generation, old_generation = (rng.integers(1, 3, PAGE, np.uint32) for _ in range(2))
    stamps = rng.integers(0, 9, PAGE).astype(np.uint32)
    same = generation == old_generation
    for bits in (signature, old_signature):
        same &= np.array([b & need == need and not b & lack and b & either > 0 for b in bits.tolist()])
    got = kernels.recent(signature, generation, old_signature, old_generation, masks, stamps, 4)
    assert got == naive.recent(same.tolist(), stamps.tolist(), 4)


# -- what is noticed ---------------------------------------------------------------------------------------------


def test_a_system_s_writes_are_noticed_where_they_changed_a_value():
    world = hz.World(track=[Position])
    ships = world.spawn(Ship, 3 * PAGE, Velocity={"x": np.arange(3 * PAGE) % 5 == 0})
    world.add_system(move)
    world.tick()
    assert which(world, world.changed(Position)) == list(range(0, 3 * PAGE, 5))
    assert world.query(Position).changed(Position).tolist() == ships[::5].tolist()
    assert not world.added(Position, since=2).any()
    assert which(world, world.added(Position)) == list(range(3 * PAGE))


@pytest.mark.parametrize("jit", [False, True])
def test_columns_systems_stamp_too(jit):
    @hz.system(form="columns", jit=jit, with_=[Frozen])
    def slide(pos: Write[Position]) -> None:
        pos.y += 1

    world = hz.World(track=[Position])
    ships = world.spawn(Ship, PAGE)
    world.add(ships[3:5], Frozen)
    world.add_system(slide)
    world.tick()
    assert which(world, world.changed(Position)) == [3, 4]


def test_what_is_not_tracked_is_refused_with_what_to_do():
    world = hz.World(track=[Velocity])
    for ask in (world.changed, world.added, world.removed, world.touch, world.query().changed):
        with pytest.raises(hz.ArgumentError, match=r"Position isn't tracked; call world.track\(Position\)"):
            ask(Position)
    with pytest.raises(hz.ArgumentError, match="Ship isn't tracked"):
        world.added(Ship)
    with pytest.raises(hz.DefinitionError, match="expected a component class"):
        world.track("Position")
    with pytest.raises(hz.ArgumentError, match="max_history must be a whole number of ticks from 1"):
        world.track(Position, max_history=0)
    for since in (-1, 1.5, True):
        with pytest.raises(hz.ArgumentError, match="since must be the number of a tick"):
            world.changed(Velocity, since=since)
    assert world.changes.tracked == [Velocity]


@pytest.mark.parametrize("what", [Frozen, Ship])
def test_tags_and_kinds_only_come_and_go(what):
    world = hz.World(track=[what])
    with pytest.raises(hz.ArgumentError, match="has no values that could change"):
        world.changed(what)
    with pytest.raises(hz.ArgumentError, match="has no values that could change; use on_add"):
        world.on_change(what, print)


def test_every_dtype_is_compared_bit_by_bit():
    world = hz.World(track=[Mark])
    marks = world.spawn(Marked, 8)
    world[Mark].array("pos.y")[2] = np.nan
    world.touch(Mark)
    world.tick()
    assert not world.changed(Mark).any()  # it was added in this tick
    world.touch(Mark)
    world[Mark].array("pos.y")[2] = np.nan
    world.tick()
    assert not world.changed(Mark).any()
    world[Mark].array("pos.x")[1] = -0.0
    world[Mark].level[3] = -7
    world[Mark].flag[4] = 1
    world[Mark].wide[5] = 1j
    world[Mark].target[6] = marks[0]
    world[Mark].level[7] = 9
    world.touch(Mark, marks[1:7])
    world.tick()
    assert which(world, world.changed(Mark)) == [1, 3, 4, 5, 6, 7]  # a whole page is looked at


def test_a_reference_that_is_cleared_has_changed():
    world = hz.World(track=[Mark])
    marks = world.spawn(Marked, 3)
    world.set(marks[1], Mark, {"target": marks[2]})
    world.tick()
    world.tick()
    world.despawn(marks[2])
    assert world[Mark].target[1] == 0
    assert which(world, world.changed(Mark)) == [1]


def test_between_ticks_answers_hold_what_was_done_since():
    world = hz.World(track=[Position, Fuel])
    ships = world.spawn(Ship, 4)
    assert which(world, world.added(Position)) == [0, 1, 2, 3]
    world.tick()
    world.set(ships[1], Position, (1, 0, 0))
    for _ in range(2):  # asking changes nothing
        assert which(world, world.changed(Position)) == [1]
        assert which(world, world.changed(Position, since=2)) == [1]
        assert not world.changed(Position, since=3).any()
    world.set(ships[1], Position, (0, 0, 0))
    assert not world.changed(Position).any()
    world.set(ships[2], Position, (1, 0, 0))
    world.tick()
    assert which(world, world.changed(Position, since=2)) == [2]
    world.despawn(ships[2])
    assert not world.changed(Position).any()
    assert world.removed(Position).tolist() == [ships[2]]
    assert world.removed(Position, since=4).tolist() == []


def test_while_a_tick_runs_answers_are_those_of_the_last_phase():
    world = hz.World(track=[Position])
    world.spawn(Ship, 4, Velocity=(1, 0, 0))
    world.add_system(move)
    seen: list[Any] = []
    for phase in PHASES:
        in_phase(world, phase, lambda: seen.append(len(which(world, world.changed(Position)))))
    world.tick()
    assert seen == [0, 0, 4]


def test_a_slot_s_next_entity_begins_anew():
    world = hz.World(track=[Position, Ship])
    ships = world.spawn(Ship, 2)
    world.tick()
    world.set(ships, Position, (1, 1, 1))
    world.tick()
    world.despawn(ships[0])
    world.spawn(Ship, 1)
    assert which(world, world.changed(Position)) == [1]
    world.tick()
    assert which(world, world.changed(Position, since=0)) == [1]
    assert which(world, world.added(Ship)) == [0]
    assert world.removed(Ship).tolist() == [ships[0]]


def test_kinds_that_extend_a_kind_count():
    world = hz.World(track=[Ship])
    world.spawn(Rock, 3)
    fast = world.spawn(FastShip, 2)
    assert world.query(Position).added(Ship).tolist() == fast.tolist()
    world.tick()
    world.despawn(world.query(Position))
    world.spawn(Rock, 4)  # takes the pages
    assert world.removed(Ship).tolist() == fast.tolist()


def test_batches_stamp_what_they_may_write():
    world = hz.World(track=[Position])
    ships = world.spawn(Ship, PAGE + 5)
    world.tick()
    for (position,) in world.query(Position).batches(write=[Position]):
        position.z[:3] = 4
    assert world.query().changed(Position).tolist() == ships[[0, 1, 2, PAGE, PAGE + 1, PAGE + 2]].tolist()


def test_removed_reaches_back_as_far_as_is_kept():
    world = hz.World()
    world.track(Frozen, max_history=3)
    world.track(Frozen)  # changes nothing
    ship = world.spawn(Ship, 1)
    for _ in range(6):
        world.add(ship, Frozen)
        world.tick()
        world.remove(ship, Frozen)
        world.tick()
    assert world.tick_count == 12
    assert len(world.removed(Frozen, since=11)) == 1
    with pytest.raises(hz.ArgumentError, match=r"since=10.* the 3 ticks that are kept; since must be at least 11"):
        world.removed(Frozen, since=10)
    world.track(Frozen, max_history=100)  # what was forgotten doesn't come back
    with pytest.raises(hz.ArgumentError, match="since must be at least 11"):
        world.removed(Frozen, since=0)


def test_what_was_before_tracking_is_not_known():
    world = hz.World(track=[Velocity])
    ships = world.spawn(Ship, 3)
    world.set(ships[0], Position, (1, 2, 3))
    world.track(Position)
    world.tick()
    assert not world.added(Position, since=0).any()
    assert not world.changed(Position, since=0).any()
    assert which(world, world.added(Velocity)) == [0, 1, 2]


def test_a_tick_that_failed_is_caught_up_with():
    world = hz.World(track=[Position])
    world.spawn(Ship, 2, Velocity=(1, 0, 0))
    world.add_system(move)
    broken = [True]
    in_phase(world, "simulate", lambda: 1 / 0 if broken.pop() else None)
    with pytest.raises(hz.SystemFailure):
        world.tick()
    assert which(world, world.changed(Position, since=2)) == [0, 1]


def test_compaction_changes_nothing_but_handles():
    world = hz.World(track=[Position, Ship, Mark])
    ships = world.spawn(Ship, 2 * PAGE)
    mark = world.spawn(Marked, 1, Mark={"target": ships[-1]})
    news: list[tuple[str, list[int]]] = []
    world.on_add(Ship, lambda h: news.append(("add", h.tolist())))
    world.on_remove(Ship, lambda h: news.append(("remove", h.tolist())))
    world.on_change(Position, lambda h: news.append(("change", h.tolist())))
    world.tick()
    world.tick()
    news.clear()
    world.set(ships[-1], Position, (1, 0, 0))
    late = world.spawn(Ship, 1)
    world.despawn(ships[:-1:2])
    moved = world.compact()
    last, fresh = moved.translate(ships[-1]), moved.translate(late[0])
    assert last != ships[-1]
    assert fresh != late[0]
    world.tick()
    assert news == [("add", [fresh]), ("remove", ships[:-1:2].tolist()), ("change", [last])]
    assert world.query().changed(Position).tolist() == [last]
    assert world.query().added(Ship).tolist() == [fresh]
    assert not world.changed(Mark).any()
    assert world.get(mark[0], Mark).target == last


def test_what_came_and_went_around_a_compaction_is_told_as_it_ended():
    world = hz.World()
    news: list[tuple[str, list[int]]] = []
    for what in (Frozen, Fuel):
        world.on_add(what, lambda h: news.append(("add", h.tolist())))
        world.on_remove(what, lambda h: news.append(("remove", h.tolist())))
    world.on_change(Fuel, lambda h: news.append(("change", h.tolist())))
    ships = world.spawn(Ship, 4, Fuel=1.0)
    world.tick()
    news.clear()
    world.add(ships[0], Frozen)
    world.remove(ships[1:3], Fuel)
    world.changes.settle()
    world.remove(ships[0], Frozen)
    world.add(ships[1], Fuel)
    world.set(ships[3], Fuel, 3.0)
    world.changes.settle()
    world.despawn(ships[3])
    world.tick()
    assert news == [("remove", ships[2:].tolist()), ("change", [ships[1]])]


def test_a_reset_forgets_everything():
    world = hz.World(track=[Position, Frozen])
    told: list[Any] = []
    world.on_add(Position, told.append)
    ships = world.spawn(Ship, 3)
    world.tick()
    world.set(ships, Position, (1, 1, 1))
    world.despawn(ships[0])
    world.changes.reset()
    assert not world.changed(Position, since=0).any()
    assert not world.added(Position, since=0).any()
    assert world.removed(Position, since=0).tolist() == []
    world.tick()
    assert len(told) == 1
    world.set(ships[1], Position, (2, 1, 1))
    assert which(world, world.changed(Position)) == [1]


def test_a_copy_knows_what_the_original_knows():
    world = hz.World()
    world.track(Position, Ship, max_history=5)
    ships = world.spawn(Ship, 6)
    world.run(3)
    world.set(ships[0], Position, (1, 0, 0))
    world.despawn(ships[5])
    world.tick()
    world.set(ships[1], Position, (1, 0, 0))
    world.despawn(ships[4])
    copied, other = world.clone(), hz.World(track=[Position, Ship])
    told: list[Any] = []
    other.on_remove(Position, lambda handles: told.append(handles.tolist()))
    other.spawn(Ship, 20)
    other.copy_from(world)
    for n_ticks in (0, 1, 2):
        for one in (world, copied, other):
            one.run(n_ticks)
        for made in (copied, other):
            for since in (2, 4, 5, None):
                assert which(made, made.changed(Position, since)) == which(world, world.changed(Position, since))
                assert which(made, made.added(Ship, since)) == which(world, world.added(Ship, since))
            for since in (4, None):
                assert made.removed(Ship, since).tolist() == world.removed(Ship, since).tolist()
    assert told == [[ships[4]]]
    for made in (copied, other):
        with pytest.raises(hz.ArgumentError, match="the 5 ticks that are kept"):
            made.removed(Ship, since=3)


# -- queries, hidden entities, objects ---------------------------------------------------------------------------


def test_who_entered_a_query_and_who_left_it():
    world = hz.World()
    ships = world.spawn(Ship, 6)
    query = world.query(Position, without=[Frozen], any_of=[Velocity, Fuel])
    world.track(query)
    assert query.entered(since=0).tolist() == []  # these matched before
    world.add(ships[:2], Frozen)
    assert query.left().tolist() == ships[:2].tolist()
    world.tick()
    world.remove(ships[0], Frozen)
    world.despawn(ships[5])
    newer = world.spawn(Ship, 1)[0]  # in the slot of who ended
    assert query.entered().tolist() == [ships[0], newer]
    assert query.left().tolist() == [*ships[:2].tolist(), ships[5]]
    assert query.left(since=2).tolist() == [ships[5]]
    world.tick()
    world.add(newer, Frozen)
    assert query.entered(since=1).tolist() == [ships[0]]  # who left again isn't named


def test_a_query_of_a_kind_sees_that_kind_only():
    world = hz.World(kinds=[Rock])
    query = world.query(Position, kind=Ship)
    world.track(query)
    world.spawn(Rock, 2)
    fast = world.spawn(FastShip, 2)
    world.tick()
    assert query.entered().tolist() == fast.tolist()
    world.despawn(world.query(Position))
    assert query.left().tolist() == fast.tolist()


def test_a_query_that_is_not_tracked_is_refused_with_what_to_do():
    world, other = hz.World(), hz.World()
    query = world.query(Position, without=[Frozen])
    for ask in (query.entered, query.left):
        with pytest.raises(hz.ArgumentError, match=r"^Query\(Position; without Frozen: 0 entities\) isn't tracked; call "
                           r"world.track\(query\)"):  # fmt: skip
            ask()
    with pytest.raises(hz.ArgumentError, match="is a query of another world"):
        other.track(query)
    with pytest.raises(hz.ArgumentError, match=r"expected a query, such as world.query\(Position\), not <class"):
        world.on_enter(Position, print)  # type: ignore[arg-type]
    with pytest.raises(hz.ArgumentError, match="on_leave takes a function of an array of handles, not 3"):
        world.on_leave(query, 3)  # type: ignore[arg-type]
    assert world.changes.tracked == []


def test_observers_of_queries():
    world = hz.World()
    news: list[tuple[str, list[int]]] = []
    query = world.query(Position, without=[Frozen])
    told = world.on_enter(query, lambda handles: news.append(("enter", handles.tolist())))
    world.on_leave(query, lambda handles: news.append(("leave", handles.tolist())))
    ships = world.spawn(Ship, 3)
    world.tick()
    world.add(ships[:2], Frozen)
    world.tick()
    world.remove(ships[0], Frozen)
    world.despawn(ships[2])
    world.tick()
    assert news == [
        ("enter", ships.tolist()), ("leave", ships[:2].tolist()), ("enter", [ships[0]]), ("leave", [ships[2]])
    ]  # fmt: skip
    assert repr(told).startswith("Subscription(on_enter(Query(Position; without Frozen), test_observers_of_queries")
    told.cancel()
    world.add(ships[0], Frozen)
    world.remove(ships[1], Frozen)
    world.tick()
    assert news[4:] == [("leave", [ships[0]])]


def test_hiding_takes_nothing_but_who_is_hidden_leaves_queries():
    world = hz.World(track=[Position, Ship])
    query, every = world.query(Position), world.query(Position, hidden=True)
    news: list[tuple[str, list[int]]] = []
    for event in ("add", "remove", "change"):
        getattr(world, f"on_{event}")(Position, lambda handles, event=event: news.append((event, handles.tolist())))
    world.on_leave(query, lambda handles: news.append(("leave", handles.tolist())))
    world.on_enter(query, lambda handles: news.append(("enter", handles.tolist())))
    world.track(every)
    ships = world.spawn(Ship, 4)
    world.tick()
    news.clear()
    world.hide(ships[:2])
    world.tick()
    assert news == [("leave", ships[:2].tolist())]
    world.set(ships[0], Position, (1, 1, 1))  # what is hidden can change
    world.tick()
    assert news[1:] == [("change", [ships[0]])]
    assert which(world, world.changed(Position)) == [0]
    assert query.changed(Position).tolist() == []
    assert every.changed(Position).tolist() == [ships[0]]
    world.despawn(ships[1])
    world.show(ships[0])
    world.tick()
    assert news[2:] == [("remove", [ships[1]]), ("enter", [ships[0]])]
    assert world.removed(Ship, since=0).tolist() == every.left(since=0).tolist() == [ships[1]]
    assert query.left(since=0).tolist() == ships[:2].tolist()
    assert query.entered().tolist() == [ships[0]]
    assert not world.added(Position).any()


@hz.object_component
class Note:
    text: str = ""


Noted = hz.Kind("Noted", Position, optional=[Note])


def test_an_object_changes_when_it_is_set():
    world = hz.World(track=[Note])
    told: list[list[int]] = []
    world.on_change(Note, lambda handles: told.append(handles.tolist()))
    some = world.spawn(Noted, 5, Note=[f"n{i}" for i in range(5)])
    world.tick()
    assert not world.changed(Note).any()  # they were added
    world.set(some[1], Note, "new")
    world.add(some[3], Note, Note("again"))
    assert which(world, world.changed(Note)) == [1, 3]
    world.tick()
    world.get(some[0], Note).text = "in place"
    world.tick()
    assert not world.changed(Note).any()
    world.touch(Note, some[0])
    world.remove(some[2], Note)
    world.add(some[2], Note)  # the phase only saw it set
    copied = world.clone()
    for made in (world, copied):
        assert which(made, made.changed(Note)) == [0, 2]
        made.tick()
        assert which(made, made.changed(Note)) == [0, 2]
        assert not made.removed(Note).any()
    assert told == [some[[1, 3]].tolist(), some[[0, 2]].tolist()]
    world.touch(Note)
    assert which(world, world.changed(Note)) == [0, 1, 2, 3, 4]


def test_a_system_for_objects_that_were_set():
    seen: list[int] = []

    @hz.system(changed=[Note], form="columns")
    def read(ids: Entity, pos: Read[Position]) -> None:
        seen.extend(ids.tolist())

    world = hz.World()
    world.add_system(read)
    some = world.spawn(Noted, 3, Note=["a", "b", "c"])
    world.run(2)
    world.set(some[1], Note, "B")
    world.run(2)
    assert seen == [some[1]]


def test_who_left_is_followed_by_compaction():
    world = hz.World(track=[Fuel])
    query = world.query(Position, without=[Frozen])
    told: list[list[int]] = []
    world.on_leave(query, lambda handles: told.append(handles.tolist()))
    ships = world.spawn(Ship, 2 * PAGE, Fuel=1)
    world.tick()
    world.add(ships[-1], Frozen)
    world.remove(ships[-2], Fuel)
    world.tick()
    told.clear()
    world.add(ships[-3], Frozen)
    world.despawn(ships[: PAGE + 5])
    moved = world.compact()
    frozen = moved.translate(ships[[-1, -3]]).tolist()
    assert frozen != ships[[-1, -3]].tolist()
    assert query.left(since=2).tolist()[:1] == frozen[:1]
    assert world.removed(Fuel, since=2)[0] == moved.translate(ships[-2])
    world.tick()
    assert told == [[*ships[: PAGE + 5].tolist(), frozen[1]]]


def test_a_copy_knows_who_entered():
    world = hz.World()
    query = world.query(Position, without=[Frozen], optional=[Fuel], kind=Ship)
    world.track(query, max_history=7)
    ships = world.spawn(Ship, 3)
    world.tick()
    world.add(ships[0], Frozen)
    copied = world.clone()
    for made in (world, copied):
        mine = query.asked_of(made)
        assert mine.world is made
        assert mine.entered(since=1).tolist() == ships[1:].tolist()
        assert mine.left().tolist() == [ships[0]]
        made.run(8)
        with pytest.raises(hz.ArgumentError, match="the 7 ticks that are kept"):
            mine.left(since=2)


# -- observers ---------------------------------------------------------------------------------------------------


def test_observers_are_told_at_the_end_of_each_phase_in_their_order():
    world = hz.World(track=[Position])
    news: list[tuple[str, list[int]]] = []

    def note(name: str) -> Callable[[Any], None]:
        return lambda handles: news.append((name, handles.tolist()))

    world.on_change(Position, note("late"))
    world.on_add(Ship, note("ship"))
    world.on_add(Position, note("position"))
    world.on_remove(Position, note("gone"))
    ships = world.spawn(Ship, 2, Velocity=[[1, 0, 0], [0, 0, 0]])
    assert news == []
    world.add_system(move)
    in_phase(world, "react", lambda: world.despawn(ships[1], missing="ignore"))
    world.tick()
    both = ships.tolist()
    assert news == [("ship", both), ("position", both), ("late", both[:1]), ("gone", both[1:])]
    assert repr(world.on_add(Frozen, news.append)) == "Subscription(on_add(Frozen, list.append))"


def test_a_cancelled_observer_is_told_no_more_also_by_an_earlier_one():
    world = hz.World()
    told: list[str] = []
    first = world.on_add(Position, lambda _: (told.append("first"), second.cancel()))
    second = world.on_add(Position, lambda _: told.append("second"))
    world.spawn(Ship, 1)
    world.tick()
    assert told == ["first"]
    first.cancel()
    first.cancel()
    world.spawn(Ship, 1)
    world.tick()
    assert told == ["first"]
    assert world.changes._subscriptions == []


def test_what_an_observer_does_is_noticed_a_phase_later():
    world = hz.World()
    told: list[tuple[int, int]] = []

    def spawn_another(handles: Any) -> None:
        told.append((world.tick_count, len(handles)))
        if len(told) < 6:
            world.spawn(Ship, len(handles) + 1)

    world.on_add(Ship, spawn_another)
    world.spawn(Ship, 1)
    world.tick()
    world.tick()
    assert told == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 5), (2, 6)]


def test_an_observer_that_fails_stops_the_world_after_the_others_were_told():
    world = hz.World()
    told: list[Any] = []

    def fail(handles: Any) -> None:
        raise ValueError("no")

    world.on_add(Ship, fail)
    world.on_add(Ship, told.append)
    ship = world.spawn(Ship, 1)
    with pytest.raises(hz.SystemFailure, match=r"'on_add\(Ship, .*fail\)' failed in tick 1.*ValueError: no") as caught:
        world.tick()
    assert isinstance(caught.value.__cause__, ValueError)
    assert [t.tolist() for t in told] == [ship.tolist()]
    world.tick()
    assert len(told) == 1


def test_an_observer_that_fails_too_often_is_disabled(caplog):
    world = hz.World(on_error=2)
    calls: list[Any] = []

    def fail(handles: Any) -> None:
        calls.append(handles)
        raise ValueError("no")

    subscription = world.on_add(Ship, fail)
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            world.spawn(Ship, 1)
            world.tick()
    assert len(calls) == 2
    assert not subscription.enabled
    assert "failed 2 times" in caplog.text


def test_what_can_t_be_called_is_refused():
    world = hz.World()
    with pytest.raises(hz.ArgumentError, match="on_add takes a function of an array of handles, not 3"):
        world.on_add(Ship, 3)  # type: ignore[arg-type]
    assert world.changes.tracked == []


# -- against the plain twin --------------------------------------------------------------------------------------

VALUES = [0.0, -0.0, 1.5, float("nan")]
PICK = st.tuples(st.integers(0, 2**31), st.sampled_from([0.1, 0.5, 1.0]))
DEED = st.one_of(
    st.tuples(st.just("spawn"), st.sampled_from([Ship, Rock]), st.integers(1, 12), st.sampled_from(VALUES)),
    st.tuples(st.just("despawn"), PICK),
    st.tuples(st.just("add"), st.sampled_from([Fuel, Frozen]), PICK, st.sampled_from(VALUES)),
    st.tuples(st.just("remove"), st.sampled_from([Fuel, Frozen]), PICK),
    st.tuples(st.just("set"), PICK, st.sampled_from(VALUES)),
    st.tuples(st.just("write"), PICK, st.sampled_from(VALUES)),
    st.tuples(st.just("batches"), st.sampled_from(VALUES)),
    st.tuples(st.just("hide"), PICK),
    st.tuples(st.just("show"), PICK),
    st.tuples(st.just("ask"), st.integers(0, 5)),
)
TICK = st.fixed_dictionaries({name: st.lists(DEED, max_size=3) for name in ("between", *PHASES)})
WATCHED: dict[str, Any] = {"Position": Position, "Fuel": Fuel, "Frozen": Frozen, "Ship": Ship}
QUERIES = {"moving": ([Velocity], [Frozen]), "seen": ([Position], [])}


def packed(value: float) -> bytes:
    return np.float32(value).tobytes()


class Play:
    """A world and its twin that do the same."""

    def __init__(self) -> None:
        self.world, self.twin = hz.World(capacity=4 * PAGE, kinds=[Ship, Rock]), naive.Changes()
        self.told: list[tuple[str, str, list[int]]] = []
        self.expected: list[tuple[str, str, list[int]]] = []
        self.order = [(event, name) for name in WATCHED for event in ("change", "add", "remove")]
        self.order = [pair for pair in self.order if pair[0] != "change" or pair[1] in ("Position", "Fuel")]
        for event, name in self.order:
            getattr(self.world, f"on_{event}")(WATCHED[name], self._note(event, name))
        for name, (need, lack) in QUERIES.items():
            query = self.world.query(*need, without=lack)
            self.order += [("add", name), ("remove", name)]
            self.world.on_enter(query, self._note("add", name))
            self.world.on_leave(query, self._note("remove", name))

        @hz.system(phase="simulate")
        def drift(pos: Write[Position], fuel: Read[Fuel]) -> None:
            pos.x = pos.x + fuel.amount

        self.world.add_system(drift)

    def _note(self, event: str, name: str) -> Callable[[Any], None]:
        return lambda handles: self.told.append((event, name, handles.tolist()))

    def do_sync(self) -> None:
        """What the world did by itself before the first system of a phase ran, and after the last."""
        self._match()
        news = self.twin.sync(self.world.tick_count)
        self.expected += [(*key, news[key]) for key in self.order if key in news]

    def _match(self) -> None:
        """Note in the twin's rows who matches the queries."""
        for row in self.twin.rows.values():
            for name in QUERIES:
                row.pop(name, None)
            fits = {"moving": "Ship" in row and "Frozen" not in row, "seen": True}
            row |= {name: b"" for name in QUERIES if fits[name] and "Hidden" not in row}

    def do_drift(self) -> None:
        """What the system did, which was added first."""
        for row in self.twin.rows.values():
            if "Fuel" in row and "Hidden" not in row:
                x, amount = (np.frombuffer(row[name], np.float32)[0] for name in ("Position", "Fuel"))
                row["Position"] = packed(x + amount)

    def pick(self, pick: tuple[int, float], having: str = "Position") -> list[int]:
        among = sorted(h for h, row in self.twin.rows.items() if having in row)
        return np.random.default_rng(pick[0]).permutation(among)[: int(np.ceil(pick[1] * len(among)))].tolist()

    def do(self, deed: tuple[Any, ...]) -> None:
        getattr(self, "do_" + deed[0])(*deed[1:])

    def do_spawn(self, kind: hz.Kind, n: int, value: float) -> None:
        row = {"Position": packed(value), **({"Ship": b""} if kind is Ship else {})}
        self.twin.rows |= {h: dict(row) for h in self.world.spawn(kind, n, Position={"x": value}).tolist()}

    def do_despawn(self, pick: tuple[int, float]) -> None:
        handles = self.pick(pick)
        self.world.despawn(handles)
        for handle in handles:
            del self.twin.rows[handle]

    def do_add(self, component: Any, pick: tuple[int, float], value: float) -> None:
        handles = self.pick(pick, "Ship")
        self.world.add(handles, component, value if component is Fuel else None)
        for handle in handles:
            self.twin.rows[handle][component.__name__] = packed(value) if component is Fuel else b""

    def do_remove(self, component: Any, pick: tuple[int, float]) -> None:
        handles = self.pick(pick, "Ship")
        self.world.remove(handles, component)
        for handle in handles:
            self.twin.rows[handle].pop(component.__name__, None)

    def do_set(self, pick: tuple[int, float], value: float) -> None:
        handles = self.pick(pick, "Fuel")
        self.world.set(handles, Fuel, value)
        for handle in handles:
            self.twin.rows[handle]["Fuel"] = packed(value)

    def do_write(self, pick: tuple[int, float], value: float) -> None:
        handles = self.pick(pick)
        self.world[Position].x[self.world.slots_of(handles)] = value
        self.world.touch(Position, handles)
        for handle in handles:
            self.twin.rows[handle]["Position"] = packed(value)

    def do_batches(self, value: float) -> None:
        for position, _ in self.world.query(Position, Fuel).batches(write=[Position]):
            position.x = value
        for row in self.twin.rows.values():
            if "Fuel" in row and "Hidden" not in row:
                row["Position"] = packed(value)

    def do_hide(self, pick: tuple[int, float]) -> None:
        handles = self.pick(pick)
        self.world.hide(handles)
        for handle in handles:
            self.twin.rows[handle]["Hidden"] = b""

    def do_show(self, pick: tuple[int, float]) -> None:
        handles = self.pick(pick)
        self.world.show(handles)
        for handle in handles:
            self.twin.rows[handle].pop("Hidden", None)

    def do_ask(self, since: int) -> None:
        self._match()
        world, twin = self.world, copy.deepcopy(self.twin)
        if not world.is_ticking:
            twin.sync(world.tick_count + 1)
        query = world.query(hidden=True)
        for name, (need, lack) in QUERIES.items():
            asked = world.query(*need, without=lack)
            assert sorted(asked.entered(since=since).tolist()) == twin.stamped("add", name, since)
            assert asked.left(since=since).tolist() == twin.lost(name, since)
        for name, what in WATCHED.items():
            assert sorted(query.added(what, since=since).tolist()) == twin.stamped("add", name, since)
            assert world.removed(what, since=since).tolist() == twin.lost(name, since)
            if name in ("Position", "Fuel"):
                assert sorted(query.changed(what, since=since).tolist()) == twin.stamped("change", name, since)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(TICK, min_size=1, max_size=4))
def test_changes_equal_their_plain_twin(ticks):
    play = Play()
    script: dict[str, list[Any]] = {}
    for phase in PHASES:
        in_phase(play.world, phase, lambda phase=phase: [play.do(deed) for deed in script[phase]])
    for tick in ticks:
        for deed in tick["between"]:
            play.do(deed)
        script = {phase: [("sync",), *tick[phase]] for phase in PHASES}
        script["simulate"].insert(1, ("drift",))
        play.world.tick()
        play.do_sync()
        assert play.told == play.expected
    for since in range(len(ticks) + 2):
        play.do_ask(since)
