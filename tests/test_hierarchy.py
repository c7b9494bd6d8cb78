"""Hierarchies and transforms: their kernels, depth order, sums, and where things are in the world."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import f4
from tests import kernels, naive

N = 12


@st.composite
def forests(draw, n: int = N) -> dict[int, int]:
    """Sources and targets without a cycle: everybody's target has a lower rank in a random order."""
    rank = draw(st.permutations(range(n)))
    ties = draw(st.lists(st.tuples(st.integers(1, n - 1), st.integers(0, n - 1)), max_size=n))
    return {rank[i]: rank[j] for i, j in ties if j < i}


graphs = st.dictionaries(st.integers(0, N - 1), st.integers(0, N - 1), max_size=N)
members = st.sets(st.integers(0, N - 1), max_size=N)

# -- kernels -----------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(forests(), st.lists(st.tuples(st.integers(0, N - 1), st.none() | st.integers(0, N - 1)), max_size=8))
def test_find_cycle_is_its_twin(forest, changes):
    after = {s: t for s, t in {**forest, **dict(changes)}.items() if t is not None}
    found = kernels.find_cycle(forest, changes, N)
    assert found in naive.on_cycle(after) if naive.on_cycle(after) else found == -1


@settings(derandomize=True, deadline=None)
@given(graphs, members)
def test_sources_and_closures_are_their_twins(targets, of):
    assert kernels.sources_of(targets, N) == naive.sources_of(targets)
    found = kernels.close_over(targets, of, N)
    assert len(set(found)) == len(found)
    assert set(found) == naive.descendants(targets, of)


@settings(derandomize=True, deadline=None)
@given(graphs | forests(), members)
def test_depth_order_is_its_twin(targets, who):
    found = kernels.order_by_depth(targets, who, N)
    if naive.on_cycle(targets):
        assert found is None
        return
    order, parent, depth = found
    levels = naive.depth_order(targets, who)
    assert order == [slot for level in levels for slot in level]
    assert depth == [i for i, level in enumerate(levels) for _ in level]
    assert [order[p] if p >= 0 else None for p in parent] == [targets.get(slot) for slot in order]


@settings(derandomize=True, deadline=None)
@given(forests(), st.lists(st.integers(-100, 100), min_size=N, max_size=N))
def test_sums_are_those_of_subtrees(targets, values):
    order, parent, _ = kernels.order_by_depth(targets, range(N), N)
    by_slot = dict(enumerate(map(float, values)))
    expected = [naive.subtree_total(targets, by_slot, slot) for slot in order]
    assert kernels.sum_upwards(parent, [by_slot[slot] for slot in order]) == expected


def random_local(rng, n: int) -> np.ndarray:
    """Local transforms [n, 8] with unit quaternions and scales about 1."""
    q = rng.normal(size=(n, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    return np.hstack([rng.normal(0, 10, (n, 3)), q, rng.uniform(0.5, 1.5, (n, 1))])


@settings(derandomize=True, deadline=None)
@given(forests(), st.integers(0, 2**32 - 1))
def test_compose_is_its_twin(targets, seed):
    rng = np.random.default_rng(seed)
    order, parent, _ = kernels.order_by_depth(targets, range(N), N)
    for local, twin in (
        (random_local(rng, N), naive.world_transform),
        (random_local(rng, N)[:, [0, 1, 3, 7]], naive.world_transform_2d),
    ):
        expected = [twin(dict(enumerate(local.tolist())), targets, slot) for slot in range(N)]
        np.testing.assert_allclose(kernels.compose(order, parent, local), expected, rtol=1e-4, atol=1e-3)


# -- in a world --------------------------------------------------------------------------------------------------


@hz.component
class Mass:
    kg: f4 = 1.0


Part = hz.Kind("Part", hz.Transform, hz.WorldTransform, optional=[hz.Parent, Mass])
Card = hz.Kind("Card", hz.Transform2D, hz.WorldTransform2D, optional=[hz.Parent])
Crate = hz.Kind("Crate", Mass, optional=[hz.Parent])


@pytest.fixture
def world() -> hz.World:
    return hz.World(capacity=4_096, kinds=[Part, Card, Crate])


def test_a_hierarchy_lists_parents_before_children(world):
    crates = world.spawn(Crate, 6)
    world.relate(crates[[1, 2, 4]], hz.Parent, crates[[3, 3, 1]])
    world.relate(crates[5], hz.Parent, 0)
    found = world.hierarchy()
    assert found.order.tolist() == [3, 5, 1, 2, 4]
    assert found.parent.tolist() == [-1, -1, 0, 0, 2]
    assert found.parent_slot.tolist() == [-1, -1, 3, 3, 1]
    assert found.depth.tolist() == [0, 0, 1, 1, 2]
    assert found.level_starts.tolist() == [0, 2, 4, 5]
    assert [found.order[level].tolist() for level in found.levels()] == [[3, 5], [1, 2], [4]]
    assert (len(found), found.n_levels) == (5, 3)
    with pytest.raises(ValueError, match="read-only"):
        found.order[0] = 1


def test_a_hierarchy_is_kept_until_something_changes(world):
    crates = world.spawn(Crate, 4)
    world.relate(crates[1:], hz.Parent, crates[0])
    first = world.hierarchy()
    world.set(crates, Mass, 2.0)
    assert world.hierarchy() is first
    world.relate(crates[3], hz.Parent, crates[2])
    second = world.hierarchy()
    assert second.n_levels == 3
    others = world.spawn(Part, 2)
    assert world.hierarchy() is second
    world.despawn(others)
    assert world.hierarchy() is second
    world.add(crates[3], hz.Parent)  # as for every component, what isn't given takes its default
    assert world.hierarchy().n_levels == 2
    assert world.parent_of(crates[3]) == 0
    world.relate(crates[3], hz.Parent, crates[2])
    assert world.hierarchy().n_levels == 3
    world.remove(crates[3], hz.Parent)
    assert world.hierarchy().n_levels == 2
    world.despawn(crates[0])
    assert len(world.hierarchy()) == 0
    assert world.hierarchy().n_levels == 0
    assert list(world.hierarchy().levels()) == []
    assert len(first) == 4


def test_totals_are_sums_over_subtrees(world):
    crates, part = world.spawn(Crate, 4, Mass=[1, 2, 4, 8]), world.spawn(Part, 1)[0]
    world.relate(crates[:2], hz.Parent, part)  # which weighs nothing itself
    world.relate(crates[2], hz.Parent, crates[0])
    found = world.hierarchy()
    assert dict(zip(world.handles_of(found.order).tolist(), found.totals(Mass, "kg"), strict=True)) == {
        part: 7.0, crates[0]: 5.0, crates[1]: 2.0, crates[2]: 4.0
    }  # fmt: skip
    with pytest.raises(AttributeError, match="Mass has no column 'lb'"):
        found.totals(Mass, "lb")


def test_children_are_placed_by_their_parents(world):
    half = math.sqrt(0.5)
    turned = {"position": (10, 0, 0), "rotation": (0, 0, half, half), "scale": 2.0}  # a quarter turn about z
    root = world.spawn(Part, 1, Transform=turned)[0]
    child = world.spawn(Part, 1, Parent=root, Transform={"position": (1, 0, 3)})[0]
    lone = world.spawn(Part, 1, Transform={"position": (5, 6, 7)})[0]
    world.add_system(hz.propagate_transforms)
    world.tick()
    np.testing.assert_allclose(list(world.get(child, hz.WorldTransform).position), [10, 2, 6], atol=1e-5)
    np.testing.assert_allclose(list(world.get(child, hz.WorldTransform).rotation), [0, 0, half, half], atol=1e-6)
    assert world.get(child, hz.WorldTransform).scale == 2.0
    assert list(world.get(lone, hz.WorldTransform).position) == [5, 6, 7]
    world.remove(child, hz.Parent)
    world.tick()
    assert list(world.get(child, hz.WorldTransform).position) == [1, 0, 3]


def test_a_parent_without_a_transform_places_nobody(world):
    crate, root = world.spawn(Crate, 1)[0], world.spawn(Part, 1, Transform={"position": (100, 0, 0)})[0]
    part = world.spawn(Part, 1, Parent=crate, Transform={"position": (1, 0, 0)})[0]
    world.relate(crate, hz.Parent, root)
    below = world.spawn(Part, 1, Parent=part, Transform={"position": (1, 0, 0)})[0]
    hz.propagate_transforms(world)
    assert world.get(part, hz.WorldTransform).position.x == 1.0
    assert world.get(below, hz.WorldTransform).position.x == 2.0


def test_hidden_parents_go_on_placing_their_children(world):
    root = world.spawn(Part, 1, Transform={"position": (100, 0, 0)})[0]
    child = world.spawn(Part, 1, Parent=root, Transform={"position": (1, 0, 0)})[0]
    world.hide(root)
    hz.propagate_transforms(world)
    assert world.get(child, hz.WorldTransform).position.x == 101.0


def test_placing_somebody_elsewhere_is_a_change(world):
    root = world.spawn(Card, 2)[0]
    child = world.spawn(Card, 1, Parent=root)[0]
    world.track(hz.WorldTransform2D)
    world.add_system(hz.propagate_transforms_2d)
    world.run(2)
    world.set(root, hz.Transform2D, {"x": 5.0})
    world.tick()
    assert world.query().changed(hz.WorldTransform2D).tolist() == [root, child]


def test_a_long_chain_is_placed_in_one_pass(world):
    cards = world.spawn(Card, 2_000, Transform2D={"x": 1.0})
    world.relate(cards[:-1], hz.Parent, cards[1:])
    hz.propagate_transforms_2d(world)
    assert world.hierarchy().n_levels == 2_000
    assert world[hz.WorldTransform2D].x[world.slots_of(cards)].tolist() == list(range(2_000, 0, -1))


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.data(), forests(), forests(), st.integers(0, 2**32 - 1))
def test_transforms_are_their_twins_after_changes(data, before, after, seed):
    rng, world = np.random.default_rng(seed), hz.World(capacity=64)
    kinds = [data.draw(st.sampled_from([Part, Crate])) for _ in range(N)]
    handles = np.array([world.spawn(kind, 1)[0] for kind in kinds])
    for forest in (before, after):
        world.relate(handles, hz.Parent, [int(handles[forest[i]]) if i in forest else 0 for i in range(N)])
        local = random_local(rng, N)
        parts = [i for i in range(N) if kinds[i] is Part]
        world.set(handles[parts], hz.Transform, local[parts])
        hz.propagate_transforms(world)
        _assert_placed(world, handles, forest, {i: local[i].tolist() for i in parts})
    doomed = data.draw(members)
    gone = naive.descendants(after, doomed)
    assert world.despawn(handles[sorted(doomed)]) == len(gone)
    hz.propagate_transforms(world)
    _assert_placed(world, handles, after, {i: local[i].tolist() for i in parts if i not in gone})


def _assert_placed(world, handles, targets, local) -> None:
    for i in local:
        found = world.get(handles[i], hz.WorldTransform)
        expected = naive.world_transform(local, targets, i)
        np.testing.assert_allclose([*found.position, *found.rotation, found.scale], expected, rtol=1e-4, atol=1e-3)
