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


def by_rows(world: hz.World, need: list[type], lack: list[type], either: list[type]) -> list[int]:
    """The slots that match, row by row."""
    want, avoid, one = (sum(world.bit(c) for c in part) for part in (need, lack, either))
    rows = world.signature.tolist()
    return [i for i, s in enumerate(rows) if s and s & want == want and not s & avoid and (s & one or not either)]


@pytest.mark.parametrize(
    ("need", "lack", "either"),
    [
        ([Position], [], []),
        ([Position, Velocity], [Frozen], []),
        ([Frozen], [], []),
        ([Position], [Velocity], []),
        ([Fuel], [], []),
        ([], [], []),
        ([Position], [], [Frozen, Velocity]),
        ([Position], [Velocity], [Frozen, Fuel]),
        ([], [Frozen], [Velocity]),
        ([Position], [], [Fuel]),
    ],
)
def test_slots(world, need, lack, either):
    query = world.query(*need, without=lack, any_of=either)
    expected = by_rows(world, need, lack, either)
    assert query.slots.tolist() == expected
    assert np.flatnonzero(query.mask).tolist() == expected
    assert query.handles.tolist() == world.handles_of(query.slots).tolist()
    assert len(query) == len(expected)


def test_optional_components_narrow_nothing_and_say_who_has_them(world):
    query = world.query(Position, optional=[Fuel, Frozen])
    fuelled = query.handles[5:2000:9]
    world.add(fuelled, Fuel, np.arange(len(fuelled)))
    assert len(query) == len(world)
    assert query.handles[query.present(Fuel)].tolist() == fuelled.tolist()
    there, amounts = [], []
    for position, fuel in query.batches():
        assert len(position) == len(fuel.present)
        there.append(fuel.present)
        amounts.append(fuel.amount[fuel.present])
    assert np.concatenate(there).sum() == len(fuelled)
    assert np.concatenate(amounts).tolist() == list(range(len(fuelled)))


def test_optional_components_can_be_written(world):
    world.add(world.query(Velocity, without=[Frozen]).handles[::3], Fuel)
    query = world.query(optional=[Fuel])
    for (fuel,) in query.batches(write=[Fuel]):
        fuel.amount[fuel.present] = 9
    assert set(world[Fuel].amount[query.slots[query.present(Fuel)]]) == {9}


def test_a_kind_restricts(world):
    assert len(world.query(Position, kind=Rock)) == 20
    assert len(world.query(Velocity, kind=Rock)) == 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            lambda w: w.query(Position, without=Frozen),
            "without is a list of components, such as .Position., not <class",
        ),
        (lambda w: w.query(Position, optional=[3]), "expected a component class"),
        (lambda w: w.query([Position]), "expected a component class"),
        (lambda w: w.query(Position, kind="Ship"), "kind must be a Kind, not 'Ship'"),
        (lambda w: w.query(Position, without=[Position]), "asks for Position, which without excludes"),
        (lambda w: w.query(without=[Fuel], any_of=[Fuel, Frozen]), "asks for Fuel, which without excludes"),
        (lambda w: w.query(Position, optional=[Position]), "names Position twice"),
    ],
)
def test_questions_without_sense_are_refused(world, asked, message):
    with pytest.raises((hz.ArgumentError, hz.DefinitionError), match=message):
        asked(world)
    assert not world._queries


def test_queries_are_the_same_however_the_lists_are_written(world):
    first = world.query(Position, without=[Frozen], any_of=(Health, Fuel))
    assert world.query(Position, without=(c for c in [Frozen]), any_of=[Health, Fuel]) is first
    assert len(world._queries) == 1
    assert repr(first) == f"Query(Position; without Frozen; any of Health, Fuel: {len(first)} entities)"
    assert repr(world.query(optional=[Fuel], kind=Rock)) == "Query(optional Fuel; kind Rock: 20 entities)"


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


def test_whether_a_handle_is_among_those_found(world):
    query = world.query(Position, without=[Frozen], any_of=[Velocity, Fuel], kind=Ship)
    found = set(query)
    assert found == set(query.handles.tolist())
    every = world.query(Position).handles.tolist()
    assert [h in query for h in every] == [h in found for h in every]
    gone = query.handles[0]
    world.despawn(gone)
    assert gone not in query
    assert 0 not in query


def test_first_single_and_sample(world):
    query = world.query(Position, kind=Rock)
    assert query.first() == query.handles[0]
    assert world.query(Fuel).first() == 0
    with pytest.raises(hz.ArgumentError, match="exactly one entity; this is Query.Position; kind Rock: 20 entities"):
        query.single()
    world.despawn(query.handles[1:])
    assert query.single() == query.handles[0]
    ships = world.query(Velocity)
    sample = ships.sample(50, np.random.default_rng(3))
    assert sample.tolist() == ships.sample(50, np.random.default_rng(3)).tolist()
    assert len(set(sample.tolist())) == 50
    assert set(sample.tolist()) <= set(ships.handles.tolist())
    assert sorted(ships.sample(len(ships))) == ships.handles.tolist()
    for n in (-1, len(ships) + 1, 1.5, True):
        with pytest.raises(hz.ArgumentError, match="n must be a whole number of entities from 0 to"):
            ships.sample(n)


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


def test_what_was_added_under_a_batch_is_not_written_over():
    world = hz.World(capacity=100)
    ships = world.spawn(Ship, 3)
    world.add(ships[2], Fuel, 1.0)
    for _, fuel in world.query(Position, optional=[Fuel]).batches(write=[Fuel]):
        world.add(ships[:2], Fuel, 7.0)
        fuel.amount += 1
    assert [world.get(ship, Fuel).amount for ship in ships] == [7.0, 7.0, 2.0]


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
