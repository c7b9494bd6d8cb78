"""The World: entities, handles, values, resources, events and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import f4, i4
from horizon_ecs.columns import PAGE
from tests import naive
from tests.game import Frozen, Fuel, Health, Position, Rock, Ship, Velocity

COLUMNS = [(Position, "x"), (Position, "y"), (Health, "hp")]


@pytest.fixture
def world() -> hz.World:
    return hz.World(capacity=4 * PAGE)


# -- spawn -------------------------------------------------------------------------------------------------------


def test_handles_carry_generation_and_slot(world):
    handles = world.spawn(Ship, 3)
    assert handles.dtype == np.uint64
    assert handles.tolist() == [1 << 32, 1 << 32 | 1, 1 << 32 | 2]
    assert world.slots_of(handles).tolist() == [0, 1, 2]
    assert world.handles_of(world.slots_of(handles)).tolist() == handles.tolist()
    assert world.kind_of(handles[0]) is Ship


STRUCTURED = np.array([(1, 2, 3), (4, 5, 6)], [("x", "f4"), ("y", "f4"), ("z", "f4")])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([[1, 2, 3], [4, 5, 6]]), [[1, 2, 3], [4, 5, 6]]),
        ([[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]]),
        ((7, 8, 9), [[7, 8, 9], [7, 8, 9]]),
        ({"x": [1, 2], "z": 5}, [[1, 0, 5], [2, 0, 5]]),
        (STRUCTURED, [[1, 2, 3], [4, 5, 6]]),
        (Position(x=1, y=2, z=3), [[1, 2, 3], [1, 2, 3]]),
        ([[np.nan, np.inf, 0], [1, 1, 1]], [[np.nan, np.inf, 0], [1, 1, 1]]),
    ],
)
def test_values_come_in_many_shapes(world, value, expected):
    slots = world.slots_of(world.spawn(Ship, 2, Position=value))
    np.testing.assert_array_equal(world.query(Position).arrays(Position), expected)
    assert world[Position].x[slots].dtype == np.float32


def test_a_single_field_takes_scalars_and_flat_arrays(world):
    a = world.spawn(Ship, 2, Health=7)
    b = world.spawn(Ship, 2, Health=[8, 9])
    c = world.spawn(Ship, 1)
    assert world[Health].hp[world.slots_of(np.concatenate([a, b, c]))].tolist() == [7, 7, 8, 9, 100]


def test_giving_an_optional_component_adds_it(world):
    a = world.spawn(Ship, 1, Fuel=2.5, Frozen=True)
    b = world.spawn(Ship, 1)
    assert world.has(np.concatenate([a, b]), Fuel).tolist() == [True, False]
    assert world.has(np.concatenate([a, b]), Frozen).tolist() == [True, False]
    assert world.get(a[0], Fuel) == Fuel(2.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Positon": 1}, "kind 'Ship' has no component 'Positon'.*did you mean 'Position'"),
        ({"Position": np.zeros((3, 3))}, r"Position has the fields .* \(2, 3\) or \(3,\), got shape \(3, 3\)"),
        ({"Position": 5}, r"Position .* got shape \(\)"),
        ({"Position": [[1, 2, 3], [4]]}, "Position"),
        ({"Position": {"w": 1}}, "Position has no field 'w'; it has"),
        ({"Position": {"x": [1, 2, 3]}}, r"Position\.x expects a scalar or an array of shape \(2,\), got shape \(3,\)"),
        ({"Position": "here"}, "Position"),
        ({"Health": 1.5}, r"Health\.hp takes int16, not float64"),
        ({"Health": 40_000}, r"Health\.hp takes -32768 to 32767; the values reach from 40000 to 40000"),
        ({"Health": [[1], [2], [3]]}, r"Health .* \(2, 1\), \(2,\) or a scalar, got shape \(3, 1\)"),
        ({"Frozen": 3}, "Frozen is a tag: it takes no values"),
    ],
)
def test_wrong_values_are_refused_and_nothing_is_done(world, values, message):
    with pytest.raises(hz.ArgumentError, match=message):
        world.spawn(Ship, 2, **values)
    assert len(world) == 0
    assert world.structure_tick == 0
    assert not world.signature.any()


@pytest.mark.parametrize("n", [-1, 1.5, "3", True])
def test_a_wrong_count_is_refused(world, n):
    with pytest.raises(hz.ArgumentError, match="n must be a whole number"):
        world.spawn(Ship, n)


def test_slots_that_only_span_a_run_are_not_taken_for_one():
    world = hz.World(capacity=8 * PAGE)
    first = world.spawn(Ship, PAGE, Health=np.arange(PAGE))
    rocks = world.spawn(Rock, 2 * PAGE)
    last = world.spawn(Ship, PAGE)
    world.despawn(rocks)
    world.despawn([first[PAGE - 2], last[5]])
    new = world.spawn(Ship, 6, Health=[1, 2, 3, 4, 5, 6])
    # Six slots, and five from the first to the last of them: between the two stands one that lives.
    assert world.slots_of(new).tolist() == [PAGE - 2, 3 * PAGE + 5, PAGE, PAGE + 1, PAGE + 2, PAGE + 3]
    assert [world.get(h, Health).hp for h in new] == [1, 2, 3, 4, 5, 6]
    assert world.get(first[PAGE - 1], Health).hp == PAGE - 1


def test_spawning_none_is_fine(world):
    assert world.spawn(Ship, 0).tolist() == []
    assert world.structure_tick == 0


def test_capacity_is_a_limit_that_is_named(world):
    world.spawn(Ship, 4 * PAGE - 1)
    with pytest.raises(hz.CapacityError, match=r"2 more entities exceed the world's capacity of 4096, which leaves 1"):
        world.spawn(Ship, 2)
    assert len(world) == 4 * PAGE - 1
    world.spawn(Rock, 1)  # a kind's own page is beyond the capacity, so that it fits


# -- handles -----------------------------------------------------------------------------------------------------


def test_slots_are_reused_lowest_first_and_old_handles_are_refused(world):
    old = world.spawn(Ship, 5)
    assert world.despawn(old[[3, 1]]) == 2
    new = world.spawn(Ship, 3)
    assert world.slots_of(new).tolist() == [1, 3, 5]
    assert world.alive(old).tolist() == [True, False, True, False, True]
    with pytest.raises(hz.StaleHandleError, match=r"0x100000001 \(index 1 of 2\) names no living entity"):
        world.slots_of(old[[0, 1]])


@pytest.mark.parametrize("handle", [0, 2**32 + 5, 2**64 - 1, 2**40])
def test_a_handle_that_never_was_is_refused(world, handle):
    world.spawn(Ship, 5)
    assert not world.alive(np.uint64(handle))[0]
    with pytest.raises(LookupError):
        world.get(np.uint64(handle), Position)


@pytest.mark.parametrize("handles", [1.5, "x", np.zeros((2, 2), np.uint64), [0.0], [None]])
def test_what_is_no_handle_is_refused(world, handles):
    with pytest.raises(hz.ArgumentError, match="handles must be"):
        world.alive(handles)


def test_a_stale_handle_keeps_despawn_from_doing_anything(world):
    a = world.spawn(Ship, 4)
    world.despawn(a[2])
    signature = world.signature.copy()
    with pytest.raises(hz.StaleHandleError, match="index 2 of 4"):
        world.despawn(a)
    np.testing.assert_array_equal(world.signature, signature)
    assert len(world) == 3
    assert world.despawn(a, missing="ignore") == 3
    with pytest.raises(hz.ArgumentError, match="missing must be"):
        world.despawn(a, missing="whatever")


def test_a_handle_twice_in_one_call_counts_once(world):
    a = world.spawn(Ship, 2)
    assert world.despawn([a[0], a[0], a[1]]) == 2
    assert len(world) == 0


def test_an_empty_page_can_go_to_another_kind(world):
    ships = world.spawn(Ship, PAGE)
    rocks = world.spawn(Rock, 1)
    assert world.slots_of(rocks).tolist() == [PAGE]
    world.despawn(ships)
    assert world.page_kind[0] == -1
    assert world.slots_of(world.spawn(Rock, PAGE)).tolist()[-1] == 0
    assert world.n_pages_used == 2


# -- components of entities --------------------------------------------------------------------------------------


def test_add_and_remove_flip_a_bit_and_move_nothing(world):
    ships = world.spawn(Ship, 10)
    before = world.slots_of(ships).tolist()
    world.add(ships[::2], Frozen)
    world.add(ships[:2], Fuel, [3.0, 4.0])
    assert world.has(ships, Frozen).tolist() == [True, False] * 5
    assert world[Fuel].amount[:2].tolist() == [3.0, 4.0]
    world.remove(ships[:4], Frozen)
    assert world.has(ships, Frozen).tolist() == [False, False, False, False, True, False, True, False, True, False]
    assert world.slots_of(ships).tolist() == before


def test_only_optional_components_come_and_go(world):
    ship, rock = world.spawn(Ship, 1), world.spawn(Rock, 1)
    with pytest.raises(hz.ArgumentError, match="Health can't be .* kind 'Ship', which has it always"):
        world.remove(ship, Health)
    with pytest.raises(hz.ArgumentError, match="Fuel can't be .* kind 'Rock', which doesn't know it"):
        world.add([ship[0], rock[0]], Fuel)
    assert not world.has(ship, Fuel)[0]


def test_get_gives_a_copy_and_set_writes(world):
    ships = world.spawn(Ship, 3, Position=[[1, 2, 3]] * 3)
    one = world.get(ships[1], Position)
    one.x = 50.0
    assert world.get(ships[1], Position) == Position(1, 2, 3)
    world.set(ships[1:], Position, {"x": [7, 8]})
    assert world[Position].x[:3].tolist() == [1, 7, 8]
    with pytest.raises(hz.ArgumentError, match="this Ship has no Fuel"):
        world.get(ships[0], Fuel)
    with pytest.raises(hz.ArgumentError, match="not all of these entities have Fuel"):
        world.set(ships, Fuel, 1.0)


def test_columns_never_move(world):
    world.register(Ship)
    x = world[Position].x
    world.spawn(Ship, 4 * PAGE)
    assert world[Position].x is x
    assert x.ctypes.data % 64 == 0
    assert x.shape == (world.n_slots,)
    with pytest.raises(AttributeError, match=r"Position has no field 'xx'.*did you mean 'x'"):
        world[Position].xx
    assert world.column(Position, "x") is x


def test_columns_can_be_assigned_to(world):
    world.register(Ship)
    world[Position].x = 3
    world[Position].x += 1
    assert (world[Position].x == 4).all()
    with pytest.raises(AttributeError, match="no field 'w'"):
        world[Position].w = 1


def test_get_takes_one_handle(world):
    ships = world.spawn(Ship, 2)
    with pytest.raises(hz.ArgumentError, match="expected one handle, got 2"):
        world.get(ships, Position)
    with pytest.raises(hz.ArgumentError, match="expected one handle, got 0"):
        world.kind_of([])


def test_two_worlds_share_nothing():
    a, b = hz.World(), hz.World(kinds=[Ship])
    ships = a.spawn(Ship, 3, Position=[1, 1, 1])
    assert len(b) == 0
    assert b[Position].x.sum() == 0
    assert not b.alive(ships).any()


def test_the_stagger_keeps_columns_apart(world):
    world.register(Ship)
    offsets = {world.column(c, f).ctypes.data % 4096 for c, f in [*COLUMNS, (Position, "z"), (Velocity, "x")]}
    assert len(offsets) == 5


# -- kinds -------------------------------------------------------------------------------------------------------


def test_frozen_kinds_name_the_reason(world):
    world.register(Ship, Ship)
    world.freeze_kinds("somebody watches")
    world.spawn(Ship, 1)
    with pytest.raises(hz.ArgumentError, match="'Rock' can't be registered any more: .*somebody watches"):
        world.spawn(Rock, 1)


def test_names_are_unique_in_a_world(world):
    world.register(Ship)
    with pytest.raises(hz.ArgumentError, match="another kind called 'Ship'"):
        world.register(hz.Kind("Ship", Position))

    def other() -> type:
        @hz.component
        class Position:
            x: f4

        return Position

    with pytest.raises(hz.DefinitionError, match="another component called Position"):
        world.register(hz.Kind("Other", other()))
    assert [k.name for k in world.kinds] == ["Ship"]


def test_a_world_has_room_for_so_many_components(world):
    made = [hz.component(type(f"C{i}", (), {"__annotations__": {"x": i4}, "__module__": __name__})) for i in range(64)]
    for one in made[:62]:
        world.query(one)
    with pytest.raises(hz.CapacityError, match="C63 would be component 63; a world has at most 62"):
        world.query(made[63])


@pytest.mark.parametrize(
    "arguments",
    [
        {"capacity": 0},
        {"capacity": 2**40},
        {"capacity": "many"},
        {"tick_rate": 0},
        {"tick_rate": np.nan},
        {"max_events": 0},
    ],
)
def test_a_world_checks_its_arguments(arguments):
    with pytest.raises(hz.ArgumentError, match=next(iter(arguments))):
        hz.World(**arguments)


# -- birth -------------------------------------------------------------------------------------------------------


def test_birth_counts_from_the_tick_that_sees_it(world):
    first = world.spawn(Ship, 1)
    assert world.born[world.slots_of(first)].tolist() == [1]
    assert world.structure_tick == 1

    @hz.system(form="columns")
    def breed(world: hz.World) -> None:
        world.spawn(Ship, 1)

    world.add_system(breed)
    world.tick()
    assert world.born[:3].tolist() == [1, 1, 0xFFFFFFFF]
    world.tick()
    assert world.born[:3].tolist() == [1, 1, 2]
    assert world.structure_tick == 2
    world.despawn(first)
    assert world.structure_tick == 3
    assert world.born[0] == 0xFFFFFFFF


# -- resources, events, time -------------------------------------------------------------------------------------


def test_resources_are_by_type(world):
    @hz.resource
    class Gravity:
        y: f4 = -9.81

    with pytest.raises(hz.ArgumentError, match="no resource Gravity was inserted"):
        world.resource(Gravity)
    with pytest.raises(hz.ArgumentError, match="takes an instance"):
        world.insert(Gravity)
    with pytest.raises(hz.ArgumentError, match="Health is a component, which entities have"):
        world.insert(Health(5))
    world.insert(Gravity())
    world.resource(Gravity).y = -1.0
    assert world.resource(Gravity) == Gravity(-1.0)


@hz.event
class Steer:
    x: f4
    y: f4


def test_events_belong_to_one_tick():
    world = hz.World(max_events=3)
    assert len(world.events(Steer)) == 0
    assert world.events(Steer).x.tolist() == []
    ship, other, gone = world.spawn(Ship, 3)
    records = np.array([(1, 2), (3, 4)], Steer.__hz_dtype__)
    assert world.push_events(Steer, ship, records) == 2
    assert world.push_events(Steer, [other, ship], records) == 1  # one more fits
    assert len(world.events(Steer)) == 0
    world.tick()
    batch = world.events(Steer)
    assert batch.sender.tolist() == [ship, ship, other]
    assert batch.y.tolist() == [2, 4, 2]
    assert batch.records.dtype == Steer.__hz_dtype__
    with pytest.raises(AttributeError, match="no field 'w'"):
        batch.w
    world.tick()
    assert len(world.events(Steer)) == 0
    world.push_events(Steer, [gone, 0], records)
    world.despawn(gone)
    world.tick()
    assert world.events(Steer).sender.tolist() == [0]  # who has gone says nothing any more


def test_events_are_checked():
    world = hz.World()
    with pytest.raises(hz.ArgumentError, match=r"events are given as Steer\(\.\.\.\)"):
        world.push_events(Steer, 1, np.zeros(3))
    with pytest.raises(hz.DefinitionError, match="decorated with @event"):
        world.events(Position)


def test_less_than_no_ticks_are_refused():
    with pytest.raises(hz.ArgumentError, match="n_ticks must be a whole number of ticks, not -3"):
        hz.World().run(-3)


def test_time_is_fixed():
    world = hz.World(tick_rate=20)
    world.run(5)
    now = world.resource(hz.Time)
    assert (world.tick_count, now.tick, now.dt, now.elapsed) == (5, 5, 0.05, 0.25)


def test_advance_catches_up_within_a_limit():
    world = hz.World(tick_rate=60)
    assert sum(world.advance(1 / 144) for _ in range(144)) == 60
    assert world.advance(10.0, max_catch_up=8) == 8
    assert world.advance(0.0) == 0  # what was too much is gone
    assert world.dropped_ticks == world.stats().dropped_ticks == 592
    assert "592 ticks" in str(world)
    for elapsed_s in (-1.0, float("nan"), float("inf")):
        with pytest.raises(hz.ArgumentError, match="elapsed_s"):
            world.advance(elapsed_s)
    for max_catch_up in (0, 2.5):
        with pytest.raises(hz.ArgumentError, match="max_catch_up"):
            world.advance(1.0, max_catch_up=max_catch_up)  # type: ignore[arg-type]


def test_a_tick_that_fails_leaves_the_others_owed():
    @hz.system(form="columns")
    def trip(world: hz.World):
        if world.tick_count == 2:
            raise ValueError("trip")

    world = hz.World(tick_rate=10)
    world.add_system(trip)
    with pytest.raises(hz.SystemFailure):
        world.advance(0.55)
    assert world.tick_count == 2
    assert world.advance(0.0) == 3
    assert world.advance(0.05) == 1


def test_a_world_tells_what_it_holds(world):
    world.spawn(Ship, 5)
    world.tick()
    text = str(world)
    assert "5 of 4,096 entities, tick 1" in text
    assert "Ship" in text
    assert repr(world) == "World(5 of 4096 entities, 1 kinds, tick 1)"
    stats = world.stats()
    assert stats.kinds == {"Ship": 5}
    assert stats.component_bytes["Position"] == 3 * 4 * PAGE
    assert stats.tick_timing.runs == 1
    assert world.count() == world.count(Ship) == len(world) == 5
    assert world.count(Rock) == 0


# -- against the plain twin --------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spawn"), st.sampled_from([Ship, Rock]), st.integers(0, 1500)),
        st.tuples(st.just("despawn"), st.integers(0, 2**31), st.floats(0, 1)),
        st.tuples(st.just("add"), st.integers(0, 2**31), st.floats(0, 1)),
        st.tuples(st.just("remove"), st.integers(0, 2**31), st.floats(0, 1)),
    ),
    max_size=12,
)

QUERIES = [
    ([Position], [], []),
    ([Position], [Frozen], []),
    ([Health, Frozen], [], []),
    ([Position], [Health], []),
    ([Position], [], [Health, Frozen]),
    ([], [Health], [Frozen, Fuel]),
]


def _apply(world: hz.World, twin: naive.World, handles: list[int], step: tuple[Any, ...]) -> None:
    name, what, much = step
    if name == "spawn":
        values = np.arange(much, dtype=np.float32)
        got = world.spawn(what, much, Position={"x": values}).tolist()
        have = {c.__name__: True for c in what.components}
        assert got == twin.spawn(what.name, [{**have, "x": float(v)} for v in values])
        handles += got
        return
    picked = np.random.default_rng(what).permutation(handles)[: int(much * len(handles))].tolist() if handles else []
    if name == "despawn":
        assert world.despawn(picked, missing="ignore") == twin.despawn(picked)
        return
    living = [h for h in picked if twin.alive(h)]
    (world.add if name == "add" else world.remove)(living, Frozen)
    for handle in living:
        twin.get(handle).pop("Frozen", None)
        if name == "add":
            twin.get(handle)["Frozen"] = True


def _compare(world: hz.World, twin: naive.World, handles: list[int]) -> None:
    assert len(world) == len(twin.rows)
    assert world.alive(handles).tolist() == [twin.alive(h) for h in handles]
    assert np.flatnonzero(world.signature).tolist() == sorted(twin.rows)
    owners = {page: world.kinds[k].name for page, k in enumerate(world.page_kind) if k >= 0}
    assert owners == twin.page_kind
    assert int(world.page_live.sum()) == len(twin.rows)
    living = [h for h in handles if twin.alive(h)]
    assert world[Position].x[world.slots_of(living)].tolist() == [twin.get(h)["x"] for h in living]
    for need, lack, either in QUERIES:
        names = [{c.__name__ for c in part} for part in (need, lack, either)]
        assert world.query(*need, without=lack, any_of=either).slots.tolist() == twin.query(*names)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_storage_equals_its_plain_twin(steps):
    world = hz.World(capacity=16 * PAGE, kinds=[Ship, Rock])
    twin = naive.World(world.n_slots)
    handles: list[int] = []
    for step in steps:
        _apply(world, twin, handles, step)
    _compare(world, twin, handles)
