"""Systems that run for some entities only: any of some components, what changed, and what was added since the last run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import Entity, Read, Write, i4
from horizon_ecs.columns import PAGE
from tests.game import Frozen, Fuel, Health


@hz.component
class Seen:
    times: i4


Thing = hz.Kind("Thing", Seen, Health, optional=[Fuel, Frozen])


def counting(form: str, jit: bool = False, **options: Any) -> hz.System[..., Any]:
    """A system that counts how often it saw each entity."""
    if form == "columns":

        @hz.system(form="columns", jit=jit, **options)
        def count(seen: Write[Seen]) -> None:
            seen.times += 1

        return count

    @hz.system(**options)
    def count_one(seen: Write[Seen]) -> None:
        seen.times += 1

    return count_one


FORMS = [("entity", False), ("columns", False), ("columns", True)]
each_form = pytest.mark.parametrize(("form", "jit"), FORMS, ids=["entity", "columns", "jitted columns"])


def times(world: hz.World, handles: Any) -> list[int]:
    return world[Seen].times[world.slots_of(handles)].tolist()


@each_form
def test_a_system_for_entities_with_any_of_some_components(form, jit):
    world = hz.World(capacity=4 * PAGE)
    things = world.spawn(Thing, 2 * PAGE + 5)
    world.add_system(counting(form, jit, any_of=[Fuel, Frozen]))
    world.add(things[::3], Fuel)
    world.add(things[::5], Frozen)
    world.add(things[PAGE : 2 * PAGE], Fuel)  # a whole page
    world.tick()
    expected = [int(i % 3 == 0 or i % 5 == 0 or PAGE <= i < 2 * PAGE) for i in range(len(things))]
    assert times(world, things) == expected
    world.remove(things[:30], Fuel)
    world.despawn(things[PAGE:])
    world.tick()
    assert times(world, things[:PAGE]) == [
        n + int(i % 5 == 0 or (i % 3 == 0 and i >= 30)) for i, n in enumerate(expected[:PAGE])
    ]


@each_form
def test_a_system_for_what_changed_since_it_last_ran(form, jit):
    world = hz.World(capacity=4 * PAGE)
    things = world.spawn(Thing, PAGE + 40)
    world.add_system(counting(form, jit, changed=[Health, Fuel], every=2))
    world.add(things[:20], Fuel)
    world.tick()
    world.tick()
    assert sum(times(world, things)) == 0
    world.set(things[3], Health, 5)
    world.tick()
    world.set(things[3], Health, 100)  # it has changed all the same
    world.set(things[PAGE + 1], Health, 7)
    world.set(things[5], Fuel, 7.0)
    world.set(things[6], Fuel, 1.0)  # as it was
    world.tick()
    changed = [int(i in (3, 5, PAGE + 1)) for i in range(len(things))]
    assert times(world, things) == changed
    world.run(4)
    assert times(world, things) == changed


@each_form
def test_a_system_for_what_was_added_since_it_last_ran(form, jit):
    world = hz.World(capacity=4 * PAGE)
    things = world.spawn(Thing, 30)
    world.add(things[:3], Fuel)
    world.add_system(counting(form, jit, added=[Fuel], without=[Frozen]))
    world.tick()
    assert times(world, things) == [1, 1, 1, *[0] * 27]
    world.add(things[2:6], Fuel)
    world.add(things[4], Frozen)
    world.add(things[8], Fuel)
    world.remove(things[8], Fuel)
    world.tick()
    assert times(world, things)[:9] == [1, 1, 1, 1, 0, 1, 0, 0, 0]
    world.remove(things[4], Frozen)
    world.tick()
    assert times(world, things)[4] == 0  # it was looked at, and passed over
    world.remove(things[0], Fuel)
    world.tick()
    world.add(things[0], Fuel)
    world.tick()
    assert times(world, things)[:2] == [2, 1]


def test_a_system_s_own_writes_count_until_they_change_nothing():
    @hz.system(changed=[Health])
    def clamp(health: Write[Health], seen: Write[Seen]) -> None:
        seen.times += 1
        health.hp = min(health.hp, 50)

    world = hz.World()
    things = world.spawn(Thing, 2)
    world.add_system(clamp)
    world.tick()
    world.set(things[0], Health, 90)
    world.run(5)
    assert times(world, things) == [2, 0]


def test_what_another_system_did_in_the_same_phase_is_seen_in_the_next_tick():
    @hz.system
    def hurt(health: Write[Health]) -> None:
        health.hp -= 1

    world = hz.World()
    things = world.spawn(Thing, 2)
    world.add_system(hurt, counting("entity", changed=[Health]))
    world.tick()
    assert times(world, things) == [0, 0]
    world.run(3)
    assert times(world, things) == [3, 3]


def test_fresh_rows_have_their_handles_and_follow_compaction():
    got: list[int] = []

    @hz.system(form="columns", added=[Thing.components[0]])
    def note(entity: Entity, seen: Read[Seen]) -> None:
        got.extend(entity.tolist())

    @hz.system(changed=[Health])
    def gone(entity: Entity, cmd: hz.Commands) -> None:
        cmd.despawn(entity)

    world = hz.World(capacity=4 * PAGE)
    things = world.spawn(Thing, 3)
    world.add_system(note, gone)
    world.tick()
    more = world.spawn(Thing, PAGE)
    world.set(more[-1], Health, 3)
    world.despawn(things)
    moved = world.compact()
    world.tick()
    assert got == [*things.tolist(), *sorted(moved.translate(more).tolist(), key=lambda h: h & 0xFFFFFFFF)]
    assert len(world) == PAGE
    world.set(moved.translate(more[-1]), Health, 5)
    world.tick()
    assert not world.alive(moved.translate(more[-1]))[0]


def test_a_slot_s_next_entity_is_not_taken_for_the_last_one():
    world = hz.World()
    things = world.spawn(Thing, 3)
    world.add_system(counting("entity", changed=[Health], every=3))
    world.tick()
    world.set(things[:2], Health, 7)
    world.tick()
    world.despawn(things[0])
    fresh = world.spawn(Thing, 1)
    world.tick()
    assert times(world, fresh) == [0]
    assert times(world, things[1:]) == [1, 0]


def test_nor_is_one_that_takes_its_slot_just_before():
    @hz.system(form="columns")
    def replace(world: hz.World) -> None:
        if world.tick_count == 2:
            world.despawn(things[0])
            world.spawn(Thing, 1)

    world = hz.World()
    things = world.spawn(Thing, 2)
    world.add_system(replace, counting("entity", changed=[Health]))
    world.tick()
    world.set(things, Health, 7)
    world.tick()
    assert times(world, world.query(Seen).handles) == [0, 1]


def test_nothing_is_gathered_for_systems_that_were_removed():
    world = hz.World()
    things = world.spawn(Thing, 2)
    count, other = counting("entity", changed=[Health]), counting("columns", added=[Health])
    world.add_system(count, other)
    world.schedule.remove(count)
    assert [watch.owner for watch in world.changes._watches] == [other]
    world.set(things[0], Health, 1)
    world.tick()
    world.add_system(count)
    world.run(2)
    assert times(world, things) == [1, 1]


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: counting("entity", changed=[Frozen]), "changed lists Frozen, which has no values; list it in added"),
        (lambda: counting("entity", added=["Fuel"]), "expected a component class"),
        (lambda: once(changed=[Health]), "any_of, changed and added choose entities, and it goes over none"),
        (lambda: once(any_of=[Health]), "any_of, changed and added choose entities"),
    ],
)
def test_what_can_t_be_asked_for(declare, message):
    with pytest.raises(hz.DefinitionError, match=message):
        declare()


def once(**options: Any) -> hz.System[..., Any]:
    @hz.system(form="columns", **options)
    def act(world: hz.World) -> None: ...

    return act


STEP = st.one_of(
    st.tuples(st.just("spawn"), st.integers(1, 5)),
    st.tuples(st.just("despawn"), st.integers(0, 99)),
    st.tuples(st.just("set"), st.integers(0, 99), st.integers(0, 2)),
    st.tuples(st.just("add"), st.integers(0, 99)),
    st.tuples(st.just("remove"), st.integers(0, 99)),
    st.tuples(st.just("tick")),
    st.tuples(st.sampled_from(["clone", "copy"])),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(STEP, min_size=5, max_size=30))
def test_fresh_rows_equal_a_comparison_of_two_states(steps):
    """Every third tick a system looks at what has other values than when some tick since began, or Fuel newly."""
    world = hz.World()
    world.add_system(counting("entity", changed=[Health], added=[Fuel], every=3))
    rows: dict[int, tuple[int, bool]] = {}  # by handle: hp, and whether it has fuel
    before: dict[int, tuple[int, bool]] = {}
    changed: set[int] = set()
    added: set[int] = set()
    expected: dict[int, int] = {}
    for name, *rest in [*steps, *[("tick",)] * 3]:
        if name == "tick":
            olds = {handle: before.get(handle, (row[0], False)) for handle, row in rows.items()}
            changed |= {handle for handle, row in rows.items() if row[0] != olds[handle][0]}
            added |= {handle for handle, row in rows.items() if row[1] and not olds[handle][1]}
            added -= {handle for handle, row in rows.items() if not row[1]}
            before = dict(rows)
            world.tick()
            if world.tick_count % 3 == 0:
                for handle in (changed | added) & rows.keys():
                    expected[handle] += 1
                changed, added = set(), set()
        elif name in ("clone", "copy"):
            copied = world.clone() if name == "clone" else hz.World()
            if name == "copy":
                copied.add_system(*world.schedule.systems)
                copied.copy_from(world)
            world = copied
        elif name == "spawn":
            for handle in world.spawn(Thing, rest[0]).tolist():
                rows[handle], expected[handle] = (100, False), 0
        elif rows:
            handle = sorted(rows)[rest[0] % len(rows)]
            if name == "despawn":
                world.despawn(handle)
                del rows[handle], expected[handle]
            elif name == "set":
                world.set(handle, Health, rest[1])
                rows[handle] = rest[1], rows[handle][1]
            else:
                (world.add if name == "add" else world.remove)(handle, Fuel)
                rows[handle] = rows[handle][0], name == "add"
    assert times(world, sorted(rows)) == [expected[handle] for handle in sorted(rows)]
