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
from tests.streams import Hull, Position, Stage, kinds_of, play

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


def test_an_explanation_knows_scales_and_reach():
    stage, watcher = crowd_of(0, 90)
    (far,) = stage.spawn(0, 1, 0.0)
    stage.world[Position].x[far & 0xFFFFFFFF] = 150.0
    play(stage, 4)
    assert stage.replicator.explain(watcher.number, far).reason.code == "outside"
    stage.replicator.set_radius_scale([far], 2.0)
    told = stage.replicator.explain(watcher.number, far)
    assert (told.reason.code, [channel.radius for channel in told.channels]) == ("enters", [100.0, 200.0])
    play(stage, 4)
    assert stage.replicator.explain(watcher.number, far).followed


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


# -- profiles ------------------------------------------------------------------------------------------------------


def harbour(**profiles):
    """One ship at the origin, 5 away from an observer; its position travels in quarters, in combat in whole units."""
    layers = [hz.Layer(0, 50.0, 60.0, [Position], 1 / 4)]
    kind = hz.Kind("Ship", Position, Hull, layers=layers, profiles=profiles)
    stage = Stage([kind], hysteresis=0.1)
    (ship,) = stage.spawn(0, 1, 0.0)
    stage.velocity[:] = 0
    stage.world[Position].x[ship & 0xFFFFFFFF] = 5.25
    return stage, ship, stage.watch(phase=0)


def test_who_follows_learns_of_a_profile_at_once_and_keeps_what_it_knows():
    stage, ship, watcher = harbour(combat=[hz.Layer(1, 300.0, 6.0, [Position, Hull], 1.0)])
    play(stage, 2)
    stage.replicator.set_profile([ship], "combat")
    assert stage.replicator.profile([ship]) == ["combat"]
    play(stage, 1)
    replica, combat = watcher.replica, [k.get("profile") for k in stage.replicator.schema["kinds"]].index("combat")
    assert (replica.kind.tolist(), replica.mask.tolist(), replica.tick) == ([combat], [2], 3)
    assert replica.column("Position", "x").tolist() == [5.25]
    assert np.isnan(replica.column("Hull", "hp")).all()
    assert replica.to_dict()[ship]["profile"] == "combat"
    play(stage, 10)
    assert replica.column("Position", "x").tolist() == [5.0]
    assert replica.column("Hull", "hp").tolist() == [100.0]
    stage.replicator.set_profile([ship], "default")
    play(stage, 1)
    assert (replica.kind.tolist(), replica.mask.tolist()) == ([combat - 1], [1])
    assert replica.column("Position", "x").tolist() == [5.25]
    assert replica.column("Hull", "hp").tolist() == [100.0]  # as it was known last


def test_in_a_profile_without_layers_nobody_sees_it():
    stage, ship, watcher = harbour(cloaked=[])
    play(stage, 2)
    stage.replicator.set_profile([ship], "cloaked")
    play(stage, 1)
    assert watcher.replica.left.tolist() == [ship]
    stage.replicator.set_profile([ship], "default")
    play(stage, 2)
    assert watcher.replica.handle.tolist() == [ship]


def test_a_profile_ends_with_its_entity_and_moves_with_it():
    stage, ship, _ = harbour(combat=[hz.Layer(1, 300.0, 6.0, [Position], 1.0)])
    other = stage.spawn(0, 1)[0]
    stage.replicator.set_profile([ship, other], "combat")
    stage.despawn([ship])
    assert stage.replicator.profile(stage.world.spawn(stage.kinds[0], 1)) == ["default"]
    stage.world.despawn(stage.world.query(Position).handles[:1])
    moved = stage.world.compact()
    assert stage.replicator.profile(moved.translate([other])) == ["combat"]


def test_profiles_that_cannot_be():
    layers = [hz.Layer(0, 50.0, 60.0, [Position], 1 / 4)]

    def make(profiles, layers=layers):
        return hz.Kind("Ship", Position, layers=layers, profiles=profiles)

    for profiles, message in [
        ([1], "profiles is a mapping from names to layers"), ({"default": layers}, "a name other than 'default'"),
        ({3: layers}, "not 3"), ({"a": layers * 2}, "two layers of channel 0"),
        ({"a": [hz.Layer(0, 1.0, 1.0, [Hull])]}, "lists Hull, which is none of its components"),
        ({str(i): layers for i in range(31)}, "31 profiles; at most 30"),
    ]:  # fmt: skip
        with pytest.raises(hz.DefinitionError, match=message):
            make(profiles)
    with pytest.raises(hz.DefinitionError, match="has profiles, but no layers"):
        make({"a": layers}, [])
    assert hz.Kind("Barge", Hull, extends=make({"a": []}), profiles={"b": layers}).every_profile[1:] == (
        ("a", ()), ("b", tuple(layers))
    )  # fmt: skip
    stage, ship, _ = harbour(combat=layers)
    with pytest.raises(
        hz.ArgumentError, match=r"no profile 'combta'; did you mean 'combat'\? \(there are \['default', 'combat'\]\)"
    ):
        stage.replicator.set_profile([ship], "combta")
    with pytest.raises(hz.StaleHandleError):
        stage.replicator.set_profile([ship + (1 << 32)], "combat")


# -- regions -------------------------------------------------------------------------------------------------------


def test_regions_split_where_it_is_crowded_and_merge_where_it_is_not():
    config = hz.SpatialConfig(min_region_size=10.0, max_region_size=80.0, split_threshold=20, merge_threshold=5)
    stage, _ = crowd_of(0, 4096, spatial=config)
    crowded = stage.spawn(0, 200, 15.0)
    stage.world[Position].x[:200] += 40.0
    stage.world[Position].y[:200] += 40.0
    (far,) = stage.spawn(0, 1, 0.0)
    stage.world[Position].x[far & 0xFFFFFFFF] = 1e6
    play(stage, 8)
    regions = {region.low: region for region in stage.replicator.regions()}
    assert sum(region.count for region in regions.values()) == 201
    assert (regions[0.0, 0.0].high, regions[0.0, 0.0].count, regions[0.0, 0.0].kind) == ((80.0, 80.0), 200, "Ship")
    assert 1 <= regions[0.0, 0.0].depth <= 3
    assert regions[1e6, 0.0].depth == 0
    stage.despawn(crowded[3:])
    play(stage, 8)
    assert max(region.depth for region in stage.replicator.regions()) == 0


def test_cells_have_layers_where_the_world_is_tall():
    stage, _ = crowd_of(100, 4096)
    play(stage, 1)
    assert {len(region.low) for region in stage.replicator.regions()} == {2}
    stage.world[Position].z[:100] = np.linspace(-3_000, 3_000, 100)
    play(stage, 65)
    assert {len(region.low) for region in stage.replicator.regions()} == {3}


def test_who_divides_space():
    for options, message in [
        ({"spatial": 5}, "spatial must be a SpatialConfig, not 5"), ({"dimensions": 4}, "dimensions must be 2 or 3, not 4"),
    ]:  # fmt: skip
        with pytest.raises(hz.ArgumentError, match=message):
            crowd_of(1, 90, **options)
