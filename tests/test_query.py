"""Queries: which rows they find, and how their batches are read and written."""

from __future__ import annotations

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs.columns import PAGE
from tests.game import Frozen, Fuel, Health, Position, Rock, Ship, Velocity


@pytest.fixture
def world() -> hz.World:
    """Two full pages and a partial one of ships, every seventh of the second page frozen; some rocks."""
    world = hz.World(capacity=8 * PAGE)
    ships = world.spawn(Ship, 2 * PAGE + 10, Position={"x": np.arange(2 * PAGE + 10)})
    world.spawn(Rock, 20)
    world.add(ships[PAGE : 2 * PAGE : 7], Frozen)
    return world


def by_rows(world: hz.World, need: list[type], lack: list[type]) -> list[int]:
    """The slots that match, row by row."""
    want, avoid = sum(world.bit(c) for c in need), sum(world.bit(c) for c in lack)
    rows = world.signature.tolist()
    return [i for i, s in enumerate(rows) if s and s & want == want and not s & avoid]


@pytest.mark.parametrize(
    ("need", "lack"),
    [
        ([Position], []),
        ([Position, Velocity], [Frozen]),
        ([Frozen], []),
        ([Position], [Velocity]),
        ([Fuel], []),
        ([], []),
    ],
)
def test_slots(world, need, lack):
    query = world.query(*need, without=lack)
    expected = by_rows(world, need, lack)
    assert query.slots.tolist() == expected
    assert np.flatnonzero(query.mask).tolist() == expected
    assert query.handles.tolist() == world.handles_of(query.slots).tolist()
    assert len(query) == len(expected)


def test_a_kind_restricts(world):
    assert len(world.query(Position, kind=Rock)) == 20
    assert len(world.query(Velocity, kind=Rock)) == 0


def test_a_query_is_cached_until_the_structure_changes(world):
    query = world.query(Position, without=[Frozen])
    assert world.query(Position, without=[Frozen]) is query
    slots = query.slots
    world[Position].x[:] += 1
    assert query.slots is slots
    world.add(world.handles_of(slots[:1]), Frozen)
    assert query.slots.tolist() == slots[1:].tolist()
    world.spawn(Rock, 5)
    assert len(query) == len(slots) + 4


def test_batches_cover_every_row_once_and_whole_pages_without_a_copy(world):
    query = world.query(Position, without=[Frozen])
    batches = [position for (position,) in query.batches()]
    assert np.shares_memory(batches[0].x, world[Position].x)
    assert [len(b) for b in batches] == [PAGE, len(query) - PAGE]
    np.testing.assert_array_equal(np.concatenate([b.x for b in batches]), world[Position].x[query.slots])


def test_only_what_is_declared_can_be_written(world):
    query = world.query(Position, Velocity, without=[Frozen])
    for position, velocity in query.batches(write=[Velocity]):
        velocity.x = position.x * 2
        velocity.y += 1
        with pytest.raises(ValueError, match="read-only"):
            position.x += 1
        with pytest.raises(hz.ArgumentError, match=r"Position\.x can't be written"):
            position.x = 0
        with pytest.raises(AttributeError, match="Velocity has no field 'w'"):
            velocity.w = 3
    slots = query.slots
    np.testing.assert_array_equal(world[Velocity].x[slots], world[Position].x[slots] * 2)
    frozen = world.query(Frozen).slots
    assert not world[Velocity].y[frozen].any()
    assert world[Velocity].y.sum() == len(slots)
    with pytest.raises(hz.ArgumentError, match=r"write lists \['Health'\]"):
        list(query.batches(write=[Health]))


def test_rows_that_died_under_a_batch_are_not_written_back():
    world = hz.World()
    ships = world.spawn(Ship, 3)
    for (health,) in world.query(Health).batches(write=[Health]):
        world.despawn(ships[0])
        world.spawn(Ship, 1, Health=55)
        health.hp = 1
    assert world[Health].hp[:3].tolist() == [55, 1, 1]


def test_arrays_and_dict_are_copies(world):
    query = world.query(Position, Velocity, kind=Ship)
    assert query.arrays(Position).shape == (len(query), 3)
    found = query.to_dict()
    assert set(found) == {"handle", *(f"{c}.{f}" for c in ("Position", "Velocity") for f in "xyz")}
    found["Position.x"][:] = -1
    assert world[Position].x.min() == 0


def test_runs_join_neighbouring_pages():
    world = hz.World(capacity=8 * PAGE)
    ships = world.spawn(Ship, 5 * PAGE)
    assert world.query(Position).runs() == [slice(0, 5 * PAGE)]
    world.add(ships[2 * PAGE], Frozen)
    query = world.query(Position, without=[Frozen])
    assert query.runs() == [slice(0, 2 * PAGE), slice(3 * PAGE, 5 * PAGE)]
    start, stop, full = query.segments
    assert (start // PAGE).tolist() == [0, 2, 3]
    assert (stop // PAGE).tolist() == [2, 3, 5]
    assert full.tolist() == [1, 0, 1]


def test_an_empty_world_has_empty_queries():
    world = hz.World()
    query = world.query(Position)
    assert len(query) == 0
    assert list(query.batches()) == []
    assert query.arrays(Position).shape == (0, 3)
    assert "0 entities" in repr(query)
