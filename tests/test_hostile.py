"""What nobody should do to spawning, despawning and handles: refused with nothing done, or defined."""

from __future__ import annotations

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write
from horizon_ecs.columns import PAGE
from horizon_ecs.systems import storage
from tests.game import Frozen, Fuel, Health, Position, Rock, Ship


@pytest.fixture
def world() -> hz.World:
    return hz.World(capacity=2 * PAGE)


def state(world: hz.World) -> tuple[bytes, ...]:
    """All that spawning and despawning change."""
    arrays = (world.signature, world.generation, world.born, world.page_kind, world.page_live, world._first_free)
    return *(array.tobytes() for array in arrays), str((len(world), world.structure_tick)).encode()


# -- counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [np.int8(100), np.uint8(250), np.int16(3), np.uint64(3)])
def test_a_count_of_any_whole_type_is_one(world, n):
    world.spawn(Ship, 1000)  # more than the narrow ones hold
    assert len(world.spawn(Ship, n)) == int(n)
    assert len(world) == world.count(Ship) == len(world.query()) == 1000 + int(n)


@pytest.mark.parametrize("n", [2**31, np.int64(2**63 - 1), 2**63, np.uint64(2**64 - 1), 2**70])
def test_a_huge_count_is_refused_before_anything_is_allocated(world, n):
    world.spawn(Ship, 3)
    before = state(world)
    for values in ({}, {"Health": 5}, {"Position": (1, 2, 3), "Frozen": True}):
        with pytest.raises(
            hz.CapacityError, match=rf"{int(n)} more entities exceed the world's capacity of 2048, which leaves 2045"
        ):
            world.spawn(Ship, n, **values)
    assert state(world) == before


@pytest.mark.parametrize("n", [np.True_, False, -(2**70), np.float64(2), np.array(2), np.array([2]), [2], b"2"])
def test_what_is_no_count_is_refused(world, n):
    with pytest.raises(hz.ArgumentError, match="n must be a whole number of entities"):
        world.spawn(Ship, n)
    assert len(world) == 0


# -- handles -----------------------------------------------------------------------------------------------------

NO_HANDLES = [
    True, [True, False], np.array([True]), 1.5, [1.0], np.float32(3), 2**64, [2**64], -(2**70), [1, 2**64], [-1, 2**63],
    np.array([1], object), np.array([[1]], np.uint64), None, "x", {1: 2}, {1}, 1j, np.timedelta64(5), np.zeros(1, "u8,u8")
]  # fmt: skip


@pytest.mark.parametrize("handles", NO_HANDLES, ids=repr)
def test_what_is_no_handle_is_refused_everywhere(world, handles):
    world.spawn(Ship, 3)
    before = state(world)
    calls = [
        lambda: world.alive(handles),
        lambda: world.slots_of(handles),
        lambda: world.despawn(handles),
        lambda: world.despawn(handles, missing="ignore"),
        lambda: world.add(handles, Frozen),
        lambda: world.remove(handles, Frozen),
        lambda: world.set(handles, Health, 1),
        lambda: world.get(handles, Health),
        lambda: world.has(handles, Health),
        lambda: world.kind_of(handles),
    ]
    for call in calls:
        with pytest.raises(hz.ArgumentError, match="handles must be"):
            call()
    assert state(world) == before


@pytest.mark.parametrize(
    "handle",
    [-1, -(2**63), np.int32(-1), np.uint32(0), 1 << 32 | 1 << 63, (1 << 32) + 2**31, 2**32 + 2 * PAGE + 64 * PAGE]
)  # fmt: skip
def test_numbers_that_no_handle_has_name_nobody(world, handle):
    world.spawn(Ship, 3)
    before = state(world)
    assert not world.alive(handle).any()
    assert world.despawn([handle], missing="ignore") == 0
    for call in (world.despawn, world.slots_of, lambda h: world.add(h, Frozen), lambda h: world.get(h, Health)):
        with pytest.raises(hz.StaleHandleError):
            call(handle)
    assert state(world) == before


def test_slots_are_no_handles(world):
    world.spawn(Ship, 3)
    with pytest.raises(hz.StaleHandleError):
        world.despawn(world.query().slots)


@pytest.mark.parametrize(
    "same",
    [
        lambda h: h.astype(np.int64),
        lambda h: h.astype(">u8"),
        lambda h: np.repeat(h, 2)[::2],
        lambda h: h[::-1],
        lambda h: h.tolist(),
        lambda h: tuple(h),
        lambda h: np.concatenate([h, h]),
    ],
)
def test_handles_come_in_any_whole_type_order_and_stride(world, same):
    ships = world.spawn(Ship, 9)
    assert world.despawn(same(ships[:5])) == 5
    assert world.alive(ships).tolist() == [False] * 5 + [True] * 4


@pytest.mark.parametrize("nothing", [[], (), np.zeros(0), np.zeros((0, 3)), np.zeros(0, np.uint64)], ids=repr)
def test_no_handles_are_none(world, nothing):
    world.spawn(Ship, 3)
    before = state(world)
    assert world.despawn(nothing) == 0
    assert world.alive(nothing).shape == (0,)
    world.add(nothing, Frozen)
    world.set(nothing, Health, [])
    assert state(world) == before


def test_a_world_can_not_tell_whose_handle_it_is_but_names_nobody_it_never_made():
    ours, theirs = hz.World(capacity=64), hz.World(capacity=64)
    ours.spawn(Ship, 3)
    strangers = theirs.spawn(Ship, 10)
    assert ours.alive(strangers).tolist() == [True] * 3 + [False] * 7
    before = state(ours)
    with pytest.raises(hz.StaleHandleError, match="index 3 of 10"):
        ours.despawn(strangers)
    assert state(ours) == before


def test_of_values_for_a_handle_twice_the_last_stays(world):
    a, b = world.spawn(Ship, 2)
    world.set([a, b, a], Health, [1, 2, 3])
    world.add([b, b], Fuel, [4.0, 5.0])
    assert [world.get(h, Health).hp for h in (a, b)] == [3, 2]
    assert world.get(b, Fuel).amount == 5.0


def test_one_bad_handle_or_value_keeps_a_call_from_doing_anything(world):
    ships, rocks = world.spawn(Ship, 3), world.spawn(Rock, 1)
    before, values = state(world), world[Health].hp[:4].tolist()
    for call, error in [
        (lambda: world.set([*ships, rocks[0]], Health, 7), hz.ArgumentError),
        (lambda: world.set(ships, Health, [1, 2, 40_000]), hz.ArgumentError),
        (lambda: world.add([*ships, 0], Fuel, 7.0), hz.StaleHandleError),
        (lambda: world.add([*ships, rocks[0]], Fuel, 7.0), hz.ArgumentError),
        (lambda: world.add(ships, Fuel, [7.0, 8.0]), hz.ArgumentError),
        (lambda: world.despawn([*ships, ships[0], 0]), hz.StaleHandleError),
    ]:
        with pytest.raises(error):
            call()
    assert state(world) == before
    assert world[Health].hp[:4].tolist() == values


# -- generations -------------------------------------------------------------------------------------------------


def test_generations_wrap_around_within_31_bits(world):
    ship = world.spawn(Ship, 2)
    world.despawn(ship[0])
    world.generation[0] = storage.MAX_GENERATION  # as if it had been given out two thousand million times
    last = world.spawn(Ship, 1)
    assert last.tolist() == [0x7FFFFFFF << 32]
    assert last.astype(np.int64)[0] > 0
    assert world.despawn(last) == 1
    first = world.spawn(Ship, 1)
    assert first.tolist() == [1 << 32]  # never 0, which is no handle
    assert world.alive([*last, *first, 0]).tolist() == [False, True, False]


# -- within a tick -----------------------------------------------------------------------------------------------


def test_who_ends_within_a_batch_is_in_none_that_follows():
    world = hz.World(capacity=4 * PAGE)
    world.spawn(Ship, PAGE + 10, Health=5)
    seen: list[np.ndarray] = []
    new: list[np.ndarray] = []

    @hz.system(form="columns")
    def replace(entity: hz.Entity, health: Write[Health], cmd: hz.Commands, world: hz.World) -> None:
        seen.append(entity)
        cmd.despawn(entity)
        if len(seen) == 1:
            world.despawn(world.query())
            new.append(world.spawn(Ship, PAGE + 10, Health=77))
        else:
            health.hp[:] = 0

    world.add_system(replace)
    world.tick()
    # The newcomers have the slots of both batches, and are in neither.
    assert [len(handles) for handles in seen] == [PAGE]
    assert world.alive(new[0]).all()
    assert (world[Health].hp[world.slots_of(new[0])] == 77).all()
    world.tick()
    assert [len(handles) for handles in seen] == [PAGE, PAGE, 10]


def test_a_batch_keeps_those_who_live_on():
    world = hz.World(capacity=8 * PAGE)
    world.spawn(Ship, PAGE)
    world.spawn(Rock, 5)
    world.spawn(Ship, 2 * PAGE)
    query = world.query(Position, kind=Ship)
    assert query.runs() == [slice(0, PAGE), slice(2 * PAGE, 4 * PAGE)]
    sizes = []
    for (position,) in query.batches(write=[Position]):
        sizes.append(len(position))
        position.x = 1.0
        if len(sizes) == 1:
            world.despawn(query.handles[[0, PAGE, PAGE + 7]])
            world.spawn(Ship, 3)
    assert sizes == [PAGE, 2 * PAGE - 2]
    assert np.flatnonzero(world[Position].x == 0)[:3].tolist() == [0, *range(PAGE, PAGE + 2)]
    assert (world[Position].x[query.slots] == 0).sum() == 3


def test_the_gathered_rows_of_who_ended_are_not_written_back():
    world = hz.World(capacity=64)
    ships = world.spawn(Ship, 5, Health=5)
    for (health,) in world.query(Health).batches(write=[Health]):
        health.hp = 1
        world.despawn(ships)
        new = world.spawn(Ship, 5, Health=77)
    assert (world[Health].hp[world.slots_of(new)] == 77).all()


@pytest.mark.parametrize("call", ["tick", "run", "advance", "compact", "clone", "copy_from", "save"])
def test_what_moves_or_copies_a_world_is_refused_within_a_tick(world, call, tmp_path):
    arguments = {"run": [1], "advance": [1.0], "copy_from": [hz.World(capacity=64)], "save": [tmp_path / "world"]}
    world.spawn(Ship, 3)

    @hz.system(form="columns")
    def meddle(world: hz.World) -> None:
        getattr(world, call)(*arguments.get(call, []))

    world.add_system(meddle)
    with pytest.raises(hz.SystemFailure, match="ArgumentError"):
        world.tick()
    assert len(world) == 3
    assert not (tmp_path / "world").exists()
    world.remove_system(meddle)
    world.tick()


def test_commands_for_who_has_gone_are_passed_over(world):
    @hz.system
    def strike(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.add(entity, Frozen)
        cmd.despawn(entity)
        cmd.remove(entity, Frozen)
        cmd.despawn(entity)

    @hz.system(form="columns", after=[strike])
    def strike_again(entity: hz.Entity, health: Read[Health], cmd: hz.Commands) -> None:
        cmd.add(entity, Frozen)
        cmd.despawn(np.concatenate([entity, entity]))

    world.add_system(strike, strike_again)
    ships = world.spawn(Ship, 3)
    world.tick()
    assert not world.alive(ships).any()
    assert len(world) == 0


@pytest.mark.parametrize("strange", [1.5, True, "x", 2**64, [1.5]])
def test_commands_take_handles_only(world, strange):
    @hz.system(form="columns")
    def strike(cmd: hz.Commands) -> None:
        cmd.despawn(strange)

    world.spawn(Ship, 1)
    world.add_system(strike)
    with pytest.raises(hz.SystemFailure, match=r"at .*test_hostile\.py:\d+: ArgumentError: handles must be"):
        world.tick()
    assert len(world) == 1
