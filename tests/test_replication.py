"""The promises of replication: random worlds, every observer held after every tick to what brute force says it must have."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import kernel
from horizon_ecs.replica import Replica
from horizon_ecs.replication import Replicator
from tests import kernels, naive_wire
from tests.properties import few_or_many
from tests.streams import EVERYTHING, Hull, Place, Position, Stage, kinds_of, play, stateful, table_of

# Interpreted kernels take a thousand times as long: then a glimpse must do.
COMPILED = kernel.jit_enabled()
N_TICKS = 60 if COMPILED else 25
compiled_only = pytest.mark.skipif(not COMPILED, reason="too long without compiling")


def crowd(stage: Stage, n: int = 10, spread: float = 60.0) -> Stage:
    for kind in range(len(stage.kinds)):
        stage.spawn(kind, n, spread)
    return stage


@few_or_many(
    few=5,
    many=15,
    seed=st.integers(0, 2**32 - 1),
    position=st.sampled_from([Position, Place]),
    hysteresis=st.sampled_from([0.0, 0.1, 1.0]),
    max_followed=st.sampled_from([1, 16, 64, 4096]),
    n_threads=st.sampled_from([1, 2]),
)
def test_clients_have_what_brute_force_says(seed, position, hysteresis, max_followed, n_threads):
    stage = Stage(kinds_of(position), seed=seed, hysteresis=hysteresis, max_followed=max_followed, n_threads=n_threads)
    crowd(stage).watch()
    play(stage, N_TICKS, *EVERYTHING)
    assert any(watcher.frames for watcher in stage.watchers)


@pytest.mark.parametrize("sizes", [(1.0, 5.0), (60.0, 80.0), (500.0, 1_000.0)])
def test_regions_of_any_size_find_the_same(sizes):
    stage = crowd(Stage(kinds_of(Position), seed=8))
    stage.replicator.configure_spatial_partitioning(hz.SpatialConfig(*sizes))
    edges = 1 / np.array(kernels.grid_of(stage.replicator).inverse_size)
    assert ((edges > sizes[0] * 0.999) & (edges < sizes[1] * 1.001)).all()
    stage.watch()
    play(stage, 40 if COMPILED else 5, *EVERYTHING)
    assert stage.replicator.spatial.min_region_size == sizes[0]


def test_only_configurations_configure():
    replicator = Stage(kinds_of(Position)).replicator
    with pytest.raises(hz.ArgumentError, match="takes a SpatialConfig, not 5"):
        replicator.configure_spatial_partitioning(5)
    with pytest.raises(hz.ArgumentError, match="takes a NetworkConfig, not None"):
        replicator.configure_network(None)
    replicator.configure_network(hz.NetworkConfig(batch_size=64))
    assert replicator.network.batch_size == 64


HEIGHTS = st.sampled_from([(Place, None), (Position, 2), (Position, 3), (Position, None)])
REGIONS = st.sampled_from([None, None, hz.SpatialConfig(4.0, 32.0, 2, 1), hz.SpatialConfig(20.0, 500.0, 8, 3)])


@few_or_many(
    few=5,
    many=15,
    seed=st.integers(0, 2**32 - 1),
    height=HEIGHTS,
    spatial=REGIONS,
    hysteresis=st.sampled_from([0.0, 0.1]),
    room=st.sampled_from([(8, 8), (64, 12), (4096, 4096)]),
    spread=st.sampled_from([4.0, 60.0, 2_000.0]),
    n_threads=st.sampled_from([1, 2]),
)
def test_scales_and_cells_of_every_shape(seed, height, spatial, hysteresis, room, spread, n_threads):
    """Radius scales, cells with layers or without, split or not, crowded or not: always what brute force finds."""
    position, dimensions = height
    stage = Stage(
        kinds_of(position), seed=seed, hysteresis=hysteresis, max_followed=room[0], max_interest=room[1], spatial=spatial,
        dimensions=dimensions, n_threads=n_threads,
    )  # fmt: skip
    crowd(stage, 14, spread).watch()
    play(stage, 5, *EVERYTHING)
    play(stage, N_TICKS, Stage.rescale, *EVERYTHING)


@few_or_many(
    few=5,
    many=15,
    seed=st.integers(0, 2**32 - 1),
    position=st.sampled_from([Position, Place]),
    hysteresis=st.sampled_from([0.0, 0.5]),
    max_followed=st.sampled_from([12, 4096]),
    n_threads=st.sampled_from([1, 2]),
)
def test_profiles_change_at_once_for_all_who_follow(seed, position, hysteresis, max_followed, n_threads):
    stage = Stage(stateful(position), seed=seed, hysteresis=hysteresis, max_followed=max_followed, n_threads=n_threads)
    stage.counts_updates = False  # see the test of what is counted
    crowd(stage, 14).watch()
    play(stage, N_TICKS, Stage.change_profiles, Stage.rescale, *EVERYTHING)


@compiled_only
def test_a_layer_too_slow_for_any_history():
    """Period 133: sent absolute each time, and its own last due tick isn't in the history."""
    stage = crowd(Stage(kinds_of(Position, slow=True)[3:], seed=5, hysteresis=0.1, max_followed=64), 6)
    stage.counts_updates = False  # see the test of what is counted
    stage.watch()
    play(stage, 40, Stage.move)
    stage.hold(stage.watch())
    play(stage, 240, Stage.turn_over, Stage.disturb_places)
    stage.resume(stage.watchers[1])
    play(stage, 280, Stage.come_and_go)


@pytest.mark.parametrize("away", [1, 2, 5, 8, 19, 40])
def test_an_observer_that_was_away_knows_what_one_knows_who_stayed(away):
    """A reset frame equals the fold of all frames: same values and differences wherever both follow on the same channel."""
    stage = crowd(Stage(kinds_of(Position), seed=away, hysteresis=0.1, max_followed=64), 14)
    stayed, gone = stage.watch(phase=away), stage.watch(phase=away)
    play(stage, 5 if COMPILED else 1, Stage.turn_over, Stage.move)
    stage.hold(gone)
    play(stage, away if COMPILED else 1, Stage.turn_over, Stage.move)
    stage.resume(gone)
    play(stage, 1, Stage.turn_over, Stage.move)
    assert compare_where_both_follow(stayed.client, gone.client, stage.world.tick_count) > 20
    play(stage, 20 if COMPILED else 2, Stage.turn_over, Stage.move)
    assert compare_where_both_follow(stayed.client, gone.client, stage.world.tick_count) > 20


def compare_where_both_follow(a, b, tick):
    """Compare value and last difference of every group that both have on the same channel; return how many there are."""
    a, b = up_to_date(a, tick), up_to_date(b, tick)
    others = {entry.handle: entry for entry in b.entries}
    compared = 0
    for entry in a.entries:
        other = others.get(entry.handle)
        for j in a.groups(entry) if other else ():
            fresh = not (entry.stale | other.stale) >> j & 1
            if fresh and a.carrier(entry, j) is not None and a.carrier(entry, j) == b.carrier(other, j):
                assert (entry.q[j], entry.d[j]) == (other.q[j], other.d[j])
                compared += 1
    return compared


def up_to_date(client, tick):
    """A copy for which every prediction since its last frame came true, as silence says."""
    client = copy.deepcopy(client)
    if client.tick < tick:
        naive_wire._silent_ticks(client, tick + 1)
    return client


# -- bytes -------------------------------------------------------------------------------------------------------


def recorded(n_threads: int, n_ticks: int) -> list[list[bytes]]:
    stage = crowd(Stage(kinds_of(Position), seed=3, hysteresis=0.1, max_followed=40, n_threads=n_threads))
    for _ in range(3):
        stage.watch(position=stage.rng.uniform(-20, 20, 3))
    play(stage, n_ticks, Stage.turn_over, Stage.move)
    return [watcher.frames for watcher in stage.watchers]


@pytest.mark.parametrize("n_threads", [2, 3])
def test_the_number_of_threads_changes_no_byte(n_threads, monkeypatch):
    n_ticks = 40 if COMPILED else 6
    one = recorded(1, n_ticks)
    kernels.every_stage_parallel(monkeypatch)
    assert recorded(n_threads, n_ticks) == one


def test_every_frame_comes_with_its_websocket_header():
    stage = crowd(Stage(kinds_of(Position), seed=4, hysteresis=0.1, max_followed=4096), 300 if COMPILED else 10)
    stage.watch()
    few = Stage(kinds_of(Position), seed=4, hysteresis=0.1, max_followed=64)
    few.watch()
    for one in (stage, few):
        one.world.tick()
        frames = one.replicator.step()
        assert frames.n == 1
        header = bytes(frames.buffer[frames.start[0] : frames.payload[0]])
        n = int(frames.stop[0] - frames.payload[0])
        long = header[1] == 126
        assert header[0] == 0x82
        assert len(header) == (4 if long else 2)
        assert (int.from_bytes(header[2:4], "big") if long else header[1]) == n
        assert one.replicator.stats.bytes == n
    assert long is False


# -- silence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [0.0, 0.25])
def test_nothing_is_sent_while_predictions_come_true(speed):
    """At rest, or at a speed that every precision divides: one empty frame in `max_silence` ticks, and the clients still agree."""
    layers = [hz.Layer(0, 1e4, 60.0, [Position], 1 / 16), hz.Layer(1, 2e4, 15.0, [Position], 1 / 16)]
    stage = Stage([hz.Kind("Ship", Position, layers=layers)], tick_rate=60.0, hysteresis=0.1, max_followed=64)
    for handle in stage.spawn(0, 5):
        slot = handle & 0xFFFFFFFF
        stage.velocity[slot] = 0
        stage.world[Position].x[slot] = round(float(stage.world[Position].x[slot]))
    watcher = stage.watch()
    settle = 9

    def go(stage):
        stage.world[Position].x[:5] += speed

    play(stage, settle, go)
    n_before = len(watcher.frames)
    silence = kernels.max_silence(stage.replicator)
    play(stage, 2 * silence + 1 if COMPILED else silence, go)
    quiet = watcher.frames[n_before:]
    assert 1 <= len(quiet) <= 3
    assert all(frame[1] == silence for frame in quiet)
    assert max(map(len, quiet)) < 16  # it may carry new parameters


def test_a_slow_world_is_never_silent_for_long():
    stage = Stage(kinds_of(Position), tick_rate=4.0, hysteresis=0.1, max_followed=64)
    watcher = stage.watch()
    play(stage, 13)
    assert [frame[1] for frame in watcher.frames[1:]] == [4, 4, 4]


# -- observers ---------------------------------------------------------------------------------------------------


def still(**options):
    """One Ship that stays where it is, and a watcher at the origin."""
    stage = Stage(kinds_of(Position), hysteresis=0.2, **options)
    (ship,) = stage.spawn(0)
    stage.velocity[:] = 0
    return stage, ship, stage.watch()


def put(stage, ship, x):
    for axis, value in zip("xyz", (x, 0.0, 0.0), strict=True):
        getattr(stage.world[Position], axis)[ship & 0xFFFFFFFF] = value


def test_hysteresis_holds_until_its_edge_and_lets_in_at_the_radius():
    stage, ship, watcher = still(max_followed=8)
    masks = []
    for x in [25.0, 25.01, 29.9, 30.1, 29.9, 25.01, 24.99]:
        put(stage, ship, x)
        stage.step()
        masks.append(int(stage.replicator.followed(watcher.number)[0]) >> 32 & 1)
    assert masks == [1, 1, 1, 0, 0, 0, 1]


def test_an_entity_reborn_in_the_same_slot_is_another():
    stage, ship, watcher = still(max_followed=8)
    put(stage, ship, 5.0)
    stage.step()
    stage.despawn([ship])
    (heir,) = stage.spawn(0)
    put(stage, heir, 6.0)
    stage.step()
    assert (heir - ship) >> 32 == 1
    assert watcher.replica.left.tolist() == [ship]
    assert watcher.replica.entered.tolist() == [heir]


def test_who_is_born_between_a_tick_and_its_step_enters_once_and_as_it_is():
    stage, _, watcher = still(max_followed=8)
    play(stage, 3)
    stage.world.tick()
    late = int(stage.world.spawn(stage.kinds[0], 1, Position=(1.0, 2.0, 3.0))[0])
    happened = []
    for _ in range(4):
        frames = stage.replicator.step()
        for i in range(frames.n):
            watcher.take(bytes(frames.buffer[frames.payload[i] : frames.stop[i]]))
            replica = watcher.replica
            happened += [("left", h) for h in replica.left.tolist()] + [
                ("entered", h) for h in replica.entered.tolist()
            ]
            if late in replica.handle:
                assert replica.column("Position", "z")[replica.handle == late] == [3.0]
        stage.world.tick()
    assert happened == [("entered", late)]


def test_an_observer_stays_where_its_entity_ended():
    stage, ship, _ = still(max_followed=8)
    put(stage, ship, 500.0)
    carried = stage.watch(entity=ship)
    stage.step()
    stage.despawn([ship])
    stage.step()
    assert kernels.observer_position(stage.replicator, carried.number) == [500.0, 0.0, 0.0]
    assert carried.replica.n == 0


def test_who_finds_no_room_is_counted_and_waits():
    stage = Stage(kinds_of(Position), hysteresis=0.1, max_followed=3)
    ships = stage.spawn(0, 5, spread=1.0)
    watcher = stage.watch()
    stage.step()
    assert (watcher.replica.n, stage.replicator.stats.refused) == (3, 2)
    stage.despawn(watcher.replica.handle.tolist()[:2])
    play(stage, 150)  # in which the observer's reach grows back
    assert (watcher.replica.n, stage.replicator.stats.refused) == (3, 0)
    assert set(watcher.replica.handle.tolist()) <= set(ships)


def test_phases_spread():
    stage = Stage(kinds_of(Position), hysteresis=0.1, max_followed=8)
    phases = [stage.watch().twin.phase for _ in range(12)]
    assert len(set(phases)) == 12


def test_a_row_is_reused_and_knows_nothing_of_who_had_it():
    stage = crowd(Stage(kinds_of(Position), hysteresis=0.1, max_followed=64))
    old = stage.watch()
    play(stage, 3, Stage.move)
    stage.unwatch(old)
    new = stage.watch(position=(10.0, 0.0, 0.0))
    assert new.number == old.number
    play(stage, 3, Stage.move)
    assert new.replica.n > 0


def test_a_replicator_that_comes_late_takes_the_past_as_still():
    world = hz.World(capacity=1024, kinds=kinds_of(Position))
    world.run(50)
    world.spawn(world.kinds[0], 1, Position=(1, 2, 3))
    world.run(50)
    replicator = Replicator(world)
    replica = Replica(replicator.schema, phase=replicator.phase(replicator.add_observer()))
    world.tick()
    frames = replicator.step()
    replica.apply(frames.buffer[frames.payload[0] : frames.stop[0]])
    assert replica.column("Position", "z").tolist() == [3.0]


def test_a_value_keeps_its_scale_until_another_channel_brings_it():
    """It falls from 1/16 to 1/2: until channel 3 is due the client has what channel 0 brought."""
    stage, ship, watcher = still(max_followed=8)
    put(stage, ship, 20.0)
    seen = []
    for _ in range(10):
        stage.step()
        put(stage, ship, 80.0)
        seen.append(float(watcher.replica.column("Position", "x")[0]))
    n_before = seen.index(80.0)
    assert n_before > 1
    assert seen == [20.0] * n_before + [80.0] * (10 - n_before)
    assert np.isnan(watcher.replica.column("Cargo", "mass")).all()


# -- what is counted ---------------------------------------------------------------------------------------------


def test_a_value_that_stands_still_on_a_slow_layer_is_no_update():
    """What is sent absolute each time moves only when it differs."""
    stage = Stage(kinds_of(Position, slow=True)[3:], hysteresis=0.1, max_followed=8)
    stage.spawn(0, spread=1.0)
    stage.velocity[:] = 0
    stage.watch()
    play(stage, 150 if COMPILED else 1)


# -- arguments ---------------------------------------------------------------------------------------------------


def test_wrong_use_is_refused_by_name():
    world = hz.World(capacity=1024, kinds=kinds_of(Position))
    replicator = Replicator(world, max_observers=1)
    with pytest.raises(hz.ArgumentError, match="position must be two or three finite numbers"):
        replicator.add_observer(position=(np.nan, 0))
    with pytest.raises(LookupError):
        replicator.add_observer(entity=1 << 32)
    assert replicator.n_observers == 0
    observer = replicator.add_observer(position=(1, 2))
    with pytest.raises(hz.CapacityError, match="max_observers"):
        replicator.add_observer()
    for method in (
        replicator.hold,
        replicator.resume,
        replicator.remove_observer,
        replicator.phase,
        replicator.followed,
    ):
        with pytest.raises(hz.ArgumentError, match="observer 1"):
            method(observer + 1)
    world.tick()
    replicator.step()
    with pytest.raises(hz.ArgumentError, match="must follow every tick"):
        replicator.step()


def test_a_second_step_at_tick_0_is_refused_as_at_any_other():
    replicator = Replicator(hz.World(capacity=1024, kinds=kinds_of(Position)))
    replicator.step()
    with pytest.raises(hz.ArgumentError, match="must follow every tick"):
        replicator.step()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (hz.Kind("Bare", Position), {}, "no kind of this world has layers"),
        (hz.Kind("Odd", Hull, layers=[hz.Layer(0, 1.0, 1.0, [Hull])]), {}, "found 0 called 'Position'"),
        (hz.Kind("Odd", Hull, layers=[hz.Layer(0, 1.0, 1.0, [Hull])]), {"position": Hull}, "two or three f4 fields"),
        (kinds_of(Position)[2], {"hysteresis": -1.0}, "hysteresis must lie between"),
        (kinds_of(Position)[2], {"max_followed": 0}, "max_followed must lie between"),
        (kinds_of(Position)[2], {"max_observers": 2**21}, "max_observers must lie between"),
    ],
)  # fmt: skip
def test_what_cant_be_replicated_is_refused(kind, options, message):
    with pytest.raises(hz.HorizonError, match=message):
        Replicator(hz.World(capacity=1024, kinds=[kind]), **options)


def test_tables_agree_with_to_dict():
    stage = crowd(Stage(kinds_of(Position), hysteresis=0.1, max_followed=64), 3)
    watcher = stage.watch()
    stage.step()
    replica = watcher.replica
    plain = replica.to_dict()
    for handle, number, mask, _, q in table_of(replica):
        row = plain[handle]
        assert (row["kind"], row["mask"]) == (stage.kinds[number].name, mask)
        first = replica._schema["kinds"][number]["groups"][0]["fields"][0]
        c = (mask & -mask).bit_length() - 1
        if replica._schema["kinds"][number]["groups"][0]["component"] == "Position":
            assert row["values"]["Position"]["x"] == q[0][0] * first["params"][c][1]
    with pytest.raises(hz.ArgumentError, match="no kind replicates a field Position.w"):
        replica.column("Position", "w")
    with pytest.raises(hz.ArgumentError, match="group must lie between"):
        replica.q(99)
