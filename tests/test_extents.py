"""Radius scales and profiles by slot, and interest that shrinks in a crowd: what kernels settle against plain words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs.levels import N_CLASSES, class_of, largest_scale
from horizon_ecs.replication import Replicator
from tests import kernels, naive
from tests.kernels import DEAD
from tests.streams import Position, Stage, kinds_of, play

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
scales = st.sampled_from([1.0, 0.5, 0.7, 2.0, 3.9, 1 / 256, 256.0])


@given(st.floats(1 / 256, 256, width=32))
@quick
def test_a_class_holds_scales_down_to_half(scale):
    (number,) = class_of(np.float32([scale])).tolist()
    assert number == naive.scale_class(scale)
    assert number < N_CLASSES
    assert largest_scale(number) >= scale
    assert number == 0 or largest_scale(number) / 2 < scale


@quick
@given(
    st.lists(
        st.tuples(st.sampled_from([3, 4, 5, DEAD]), st.integers(1, 2), st.integers(0, 2), scales, st.integers(0, 2)),
        max_size=6,
    ),
    st.integers(0, 2),
)
def test_what_holds_for_each_entity(rows, first_kind):
    """Those that were given to an earlier entity of the slot don't count; who is born later, or dead, isn't looked at."""
    level_of = np.arange(5 * N_CLASSES, dtype=np.int16).reshape(5, N_CLASSES)
    level_of[4] = -1
    before = np.full(kernels.PAGE, 9, np.uint8)
    before[: len(rows)] = [i % 3 for i in range(len(rows))]
    n, kind, level, inverse, page_kind, switched, missing = kernels.settle(first_kind, rows, level_of, before.copy(), 4)
    there, kinds = 0, set()
    for i, (born, generation, mine, scale, profile) in enumerate(rows):
        if born > 4:
            assert (kind[i], level[i], switched[i]) == (before[i], -7, 0)
            continue
        now, number, factor = naive.settle(first_kind, profile, scale, mine == generation)
        assert (kind[i], level[i], inverse[i]) == (now, level_of[now, number], factor)
        assert switched[i] == (born < 4 and before[i] != now)
        assert missing[now, number] == (now == 4)
        there, kinds = there + int(switched[i]), kinds | {now}
    assert n == there
    assert page_kind == (first_kind if not kinds else kinds.pop() if len(kinds) == 1 else -2)


@quick
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.lists(st.integers(0, 5), max_size=4)), max_size=5),
    st.lists(st.integers(0, 1), min_size=6, max_size=6),
    st.booleans(),
)
def test_who_follows_somebody_that_switched(rows, switched, any_switched):
    expected = [naive.find_switched(*row, switched, any_switched) for row in rows]
    assert kernels.find_switched(rows, switched, any_switched) == expected


@quick
@given(st.sampled_from([1.0, 0.5, 1 / 64]), st.integers(0, 40), st.integers(1, 20), st.booleans())
def test_the_next_reach(scale, n, most, crowded):
    assert kernels.next_reach(scale, n, most, crowded) == naive.next_reach(scale, n, most, crowded)


@quick
@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(0, 900, width=32)), max_size=30).map(sorted),
    st.sampled_from([1.0, 0.3125, 1 / 64]),
    st.integers(1, 12),
    st.sampled_from([(1, 3), (3, 0), (2, 2)]),
)
def test_the_reach_that_fits(finds, scale, most, due):
    enter_sq = np.float32([[100, 900], [400, np.inf]])
    finds = [(k, np.float32(d)) for k, d in finds if due[k]]
    pairs = [(d, enter_sq[k, due[k].bit_length() - 1]) for k, d in finds]
    assert kernels.fitting_reach(finds, 2, enter_sq, due, scale, most) == naive.fitting_reach(pairs, scale, most)


def crowd_of(n, most, **options):
    kind = hz.Kind(
        "Ship", Position, layers=[hz.Layer(0, 50.0, 60.0, [Position], 1 / 4), hz.Layer(1, 100.0, 20.0, [Position], 1.0)]
    )
    stage = Stage([kind], hysteresis=0.1, max_followed=most, **options)
    stage.spawn(0, n, 30.0)
    stage.velocity[:] = 0
    return stage, stage.watch()


def test_in_a_crowd_the_nearest_stay():
    stage, watcher = crowd_of(200, 40)
    play(stage, 100)
    slots = (watcher.replica.handle & np.uint64(0xFFFFFFFF)).astype(int)
    distances = [
        naive.distance_sq([getattr(stage.world[Position], a)[s] for a in "xyz"], [0, 0, 0]) for s in range(200)
    ]
    farthest, others = max(distances[s] for s in slots), [d for s, d in enumerate(distances) if s not in slots]
    assert 30 <= len(slots) <= 40
    assert min(others) >= farthest
    assert 0.1 < stage.replicator.reach_scale[watcher.number] < 0.5
    assert stage.replicator.stats.refused == 0


def test_the_reach_grows_back_when_the_crowd_has_gone():
    stage, watcher = crowd_of(200, 40)
    play(stage, 20)
    stage.despawn(stage.living[20:])
    before = stage.replicator.reach_scale[watcher.number]
    seen = []
    for _ in range(150):
        stage.step()
        seen.append(float(stage.replicator.reach_scale[watcher.number]))
    assert before < 0.5
    assert sorted(seen) == seen
    assert seen[-1] == 1.0
    assert watcher.replica.n == 20


def test_less_may_be_wanted_than_there_is_room_for():
    stage, watcher = crowd_of(100, 90, max_interest=30)
    play(stage, 60)
    assert 24 <= watcher.replica.n <= 40
    assert stage.replicator.stats.refused == 0
    with pytest.raises(hz.ArgumentError, match="max_interest must lie between 1 and max_followed, 90, not 91"):
        crowd_of(1, 90, max_interest=91)
    with pytest.raises(ValueError, match="read-only"):
        stage.replicator.reach_scale[0] = 1.0


def test_a_scale_widens_every_radius():
    stage, watcher = crowd_of(0, 90)
    near, far = stage.spawn(0, 1, 0.0) + stage.spawn(0, 1, 0.0)
    stage.world[Position].x[far & 0xFFFFFFFF] = 299.0
    play(stage, 4)
    assert watcher.replica.handle.tolist() == [near]
    stage.replicator.set_radius_scale([near, far], [1.0, 3.0])
    play(stage, 4)
    assert watcher.replica.handle.tolist() == [near, far]
    assert watcher.replica.mask.tolist() == [3, 2]
    assert stage.replicator.radius_scale([far, near]).tolist() == [3.0, 1.0]
    stage.replicator.set_radius_scale([near, far], 0.5)
    play(stage, 4)
    assert watcher.replica.handle.tolist() == [near]


def test_a_scale_ends_with_its_entity_and_moves_with_it():
    stage, _ = crowd_of(3, 90)
    first, *others = stage.living
    stage.replicator.set_radius_scale(stage.living, [2.0, 3.0, 4.0])
    stage.despawn([first])
    (born,) = stage.world.spawn(stage.kinds[0], 1).tolist()
    assert born & 0xFFFFFFFF == first & 0xFFFFFFFF
    assert stage.replicator.radius_scale([born]).tolist() == [1.0]
    stage.world.despawn([born])
    moved = stage.world.compact()
    assert len(moved) == 1
    assert sorted(stage.replicator.radius_scale(moved.translate(others)).tolist()) == [3.0, 4.0]


def test_scales_that_cannot_be():
    stage, _ = crowd_of(2, 90)
    give = stage.replicator.set_radius_scale
    for scales in (0.0, -1.0, np.nan, 257.0, [1.0, 1 / 257]):
        with pytest.raises(hz.ArgumentError, match="scales must lie between 1/256 and 256, not"):
            give(stage.living, scales)
    for scales in ([1.0, 2.0, 3.0], "wide"):
        with pytest.raises(hz.ArgumentError, match="scales must be a number or 2 of them, one for each handle"):
            give(stage.living, scales)
    with pytest.raises(hz.StaleHandleError):
        give([5 << 32 | 1], 1.0)
    assert stage.replicator.radius_scale(stage.living).tolist() == [1.0, 1.0]


def test_only_what_is_replicated_has_a_radius():
    stone, lamp = hz.Kind("Stone", Position), kinds_of(Position)[0]
    world = hz.World(capacity=4096, kinds=[stone, lamp])
    replicator = Replicator(world)
    with pytest.raises(hz.ArgumentError, match="kind 'Stone' of entity 0x100000000 has no layers"):
        replicator.set_radius_scale(world.spawn(stone, 1), 2.0)
