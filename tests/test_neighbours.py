"""Neighbours: pairs and what is near, against every distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import f4, f8, i4, kernel
from tests import kernels, naive
from tests.game import Health, Position, Rock, Ship

quick = settings(max_examples=100 if kernel.jit_enabled() else 10, deadline=None, derandomize=True, database=None)


@hz.component
class Place:
    x: f8
    y: f8


@hz.component
class Body:
    pos: hz.vec3
    mass: f4


@hz.component
class Lair:
    x: i4
    y: i4


@hz.component
class Mixed:
    x: f4
    y: f4
    owner: hz.Entity


Bird = hz.Kind("Bird", Place)
Beast = hz.Kind("Beast", Body, Mixed, optional=[Lair])

coordinates = st.one_of(
    st.floats(-20, 20),
    st.integers(-6, 6).map(float),  # exactly the radius apart
    st.sampled_from([np.nan, np.inf, -np.inf, 1e12, -1e12, 1e15, 1e150, -1e150, 5e-324, -0.0]),
    st.integers(-3, 3).map(lambda i: 2.0**39 + i),  # where cells are at their least exact
)
places = st.lists(st.tuples(coordinates, coordinates, coordinates), max_size=30)
radii = st.sampled_from([0.5, 1.0, 3.0, 1e9, 1e100])


def tuples(start, items):
    """(point, item) of what `Near` and kernels list point after point."""
    return [(p, i) for p in range(len(start) - 1) for i in items[start[p] : start[p + 1]].tolist()]


# -- kernels -----------------------------------------------------------------------------------------------------


@quick
@given(places, places, radii, st.sampled_from([4, 16, 256]), st.integers(0, 40))
def test_what_is_near_equals_every_distance(points, items, radius, n_cells, room):
    own = [p % 7 - 1 for p in range(len(points))]
    found = kernels.near(points, items, radius, own, once=False, depth=1, n_cells=n_cells, room=room)
    assert found == naive.near(points, items, radius, own)


@quick
@given(places, radii, st.sampled_from([4, 16, 256]), st.integers(0, 40), st.booleans())
def test_pairs_come_once(points, radius, n_cells, room, is_flat):
    points = [(x, y, 0.0) for x, y, _ in points] if is_flat else points
    own = list(range(len(points)))
    found = kernels.near(points, points, radius, own, once=True, depth=int(not is_flat), n_cells=n_cells, room=room)
    pairs = [(p, i) for p, i in naive.near(points, points, radius, own) if p < i]
    assert sorted((min(pair), max(pair)) for pair in found) == pairs


@quick
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=40))
def test_sorting_by_key(pairs):
    key, value = ([pair[i] for pair in pairs] for i in (0, 1))
    start, out = kernels.sort_by_key(key, value, 10)
    assert out == naive.sort_by_key(key, value)
    assert start == [sum(k < limit for k in key) for limit in range(11)]


# -- queries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [3.0, 40.0, 4000.0])
def test_pairs_of_a_query(spread):
    world, rng = hz.World(), np.random.default_rng(4)
    ships = world.spawn(Ship, 120, Position=rng.random((120, 3)) * spread)
    rocks = world.spawn(Rock, 80, Position=rng.random((80, 3)) * spread)
    world.despawn(ships[10:30])
    world.set(rocks[3], Position, (np.nan, 0, 0))
    for query in (world.query(Position), world.query(Position, kind=Rock), world.query(Health, Position)):
        where = query.arrays(Position).astype(float).tolist()
        near = naive.near(where, where, spread / 5, range(len(where)))
        i, j = query.pairs_within(spread / 5)
        assert i.dtype == j.dtype == np.uint32
        expected = [(query.slots[a], query.slots[b]) for a, b in near if a < b]
        assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected
        assert tuples(*(lambda n: (n.start, n.handles))(query.near(query, spread / 5))) == [
            (a, query.handles[b]) for a, b in near
        ]


def test_a_crowd_finds_room():
    world = hz.World()
    world.spawn(Bird, 400, Place=(1, 1))
    i, j = world.query(Place).pairs_within(1e-9, Place)
    assert len(i) == 400 * 399 // 2
    assert (i < j).all()
    near = world.query(Place).near([[1, 1]] * 500, 1e-9, Place)
    assert near.sizes.tolist() == [400] * 500
    assert (near[499] == world.query(Place).handles).all()


def test_what_says_where_entities_are():
    world = hz.World()
    body = {"pos": [[0, 0, 0], [0, 0, 1], [9, 0, 0]], "mass": 4}
    beasts = world.spawn(Beast, 3, Body=body, Mixed={"x": [0, 5, 5]})
    world.add(beasts[1:], Lair, [[7, 7], [7, 8]])
    query = world.query(Body, Mixed, optional=[Lair])
    assert [p.tolist() for p in query.pairs_within(1, "Body.pos")] == [[0], [1]]
    assert [p.tolist() for p in query.pairs_within(1, Lair)] == [[1], [2]]  # the first has none
    assert query.near([[7, 7.5]], 0.5, Lair)[0].tolist() == beasts[1:].tolist()
    with pytest.raises(hz.ArgumentError, match="not all of these entities have Lair"):
        query.near(beasts, 1, Lair)
    for position, message in (
        (None, "no component Position; it has .*; name what says where they are"),
        (Position, r"no component Position; it has \['Body', 'Mixed', 'Lair'\]$"),
        ("Body.mass", "two or three numbers, x, y and maybe z; Body.mass has"),
        (Body, r"Body has \['pos.x', 'pos.y', 'pos.z', 'mass'\]"),
        (Mixed, "Mixed has .*'owner'"),
    ):
        with pytest.raises(hz.ArgumentError, match=message):
            query.pairs_within(1, position)
    with pytest.raises(hz.DefinitionError, match="expected a component class"):
        query.pairs_within(1, 3)


def test_near_entities_and_near_points():
    world = hz.World()
    ships = world.spawn(Ship, 4, Position=[[0, 0, 0], [1, 0, 0], [2, 0, 0], [50, 0, 0]])
    rock = world.spawn(Rock, 1, Position=(1, 1, 0))
    query = world.query(Position, kind=Ship)
    near = query.near(ships[[1, 3]], 1)
    assert [n.tolist() for n in near] == [ships[[0, 2]].tolist(), []]
    assert near.sizes.tolist() == [2, 0]
    assert near[-1].tolist() == []
    assert len(near) == 2
    with pytest.raises(IndexError):
        near[2]
    assert query.near(rock, 1)[0].tolist() == [ships[1]]  # none of the query's
    assert query.near(world.query(kind=Rock), 1).handles.tolist() == [ships[1]]
    at = query.near([[0, 0, 0], [np.nan, 0, 0], [1.5, 0, 0]], 0.5)
    assert at.start.tolist() == [0, 1, 1, 3]
    assert at.handles.tolist() == ships[[0, 1, 2]].tolist()
    assert len(query.near([], 1)) == len(query.near(np.zeros((0, 3)), 1)) == 0


def test_nothing_is_near_where_nothing_is():
    query = hz.World().query(Position)
    assert [len(p) for p in query.pairs_within(5)] == [0, 0]
    assert query.near([[1, 2, 3]], 5).start.tolist() == [0, 0]


def test_questions_without_sense_are_refused():
    world = hz.World()
    ships = world.spawn(Ship, 2)
    query = world.query(Position)
    for radius in (0, -1, np.inf, np.nan, 1e-200, "1", None):
        with pytest.raises(hz.ArgumentError, match="radius must be a number above 0, in the units of positions"):
            query.pairs_within(radius)
    for points in ([[1, 2]], [1.0, 2.0, 3.0], np.zeros((1, 1, 3)), [["a", "b", "c"]], np.zeros((3, 2), bool)):
        with pytest.raises(hz.ArgumentError, match=r"points must be numbers \[n, 3\], or handles; got"):
            query.near(points, 1)
    world.despawn(ships[0])
    with pytest.raises(hz.StaleHandleError):
        query.near(ships, 1)
    with pytest.raises(hz.ArgumentError, match="not all of these entities have Position"):
        query.near(world.spawn(Bird, 1), 1)


def test_systems_may_ask():
    world = hz.World()
    ships = world.spawn(Ship, 3, Position=[[0, 0, 0], [1, 0, 0], [9, 0, 0]])

    @hz.system(form="columns")
    def collide(world: hz.World, cmd: hz.Commands) -> None:
        i, j = world.query(Position).pairs_within(2)
        cmd.despawn(world.handles_of(np.union1d(i, j)))

    world.add_system(collide)
    world.tick()
    assert world.query(Position).handles.tolist() == [ships[2]]
