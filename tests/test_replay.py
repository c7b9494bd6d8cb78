"""Replay: the world holds exactly what was recorded, tick by tick, and so does a client."""

from __future__ import annotations

import math

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.replay import Position, Replay, replay_world
from horizon_ecs.tracks import Tracks


def make_tracks(seed: int = 1, n_ids: int = 30, n_frames: int = 40, rate: float = 16.0) -> Tracks:
    """People who come and go, some of them lost for a few frames; frames 5 to 7 are empty."""
    rng = np.random.default_rng(seed)
    rows = [
        (frame, person)
        for person in rng.permutation(1_000)[:n_ids]
        for frame in range(int(rng.integers(0, 20)), int(rng.integers(21, n_frames)))
        if rng.random() > 0.1 and not 5 <= frame <= 7
    ]
    rows = [*sorted(rows), (n_frames - 1, 5_000)]
    frame, person = np.array(rows, np.int64).T
    x, y, z = (rng.normal(0, 5, (3, len(rows)))).astype(np.float32)
    return Tracks(person.copy(), frame + 100, x, y, z, rate)


def shown(replay: Replay) -> dict[int, tuple[float, float, float]]:
    """Who is in the world and where, by id."""
    columns, slots = replay.world[Position], replay.world.query(Position).slots
    by_handle = dict(zip(replay.handle.tolist(), replay.tracks.ids.tolist(), strict=True))
    ids = [by_handle[h] for h in replay.world.handles_of(slots).tolist()]
    where = zip(columns.x[slots].tolist(), columns.y[slots].tolist(), columns.z[slots].tolist(), strict=True)
    return dict(zip(ids, where, strict=True))


def recorded(tracks: Tracks, frame: int) -> dict[int, tuple[float, float, float]]:
    rows = np.flatnonzero(tracks.frame == frame)
    return {int(tracks.id[i]): (float(tracks.x[i]), float(tracks.y[i]), float(tracks.z[i])) for i in rows}


def test_every_tick_shows_its_frame():
    tracks = make_tracks()
    replay = replay_world(tracks)
    assert (replay.world.tick_rate, len(replay.world), replay.frame) == (16.0, 0, 99)
    for frame in range(tracks.first_frame, tracks.last_frame + 1):
        replay.world.tick()
        assert replay.frame == frame
        assert shown(replay) == recorded(tracks, frame)
        assert replay.alive.tolist() == sorted(recorded(tracks, frame))
        assert not replay.done


def test_who_stays_keeps_the_entity_and_who_was_lost_comes_back_as_another():
    person, frame = np.array([1, 2, 1, 2, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 3, 3])
    zero = np.zeros(7, np.float32)
    replay = replay_world(Tracks(person, frame, zero, zero, zero, 10.0))
    handles = []
    for _ in range(4):
        replay.world.tick()
        handles.append(replay.handle.tolist())
    assert len({first for first, _ in handles}) == 1
    assert handles[0] == handles[1]
    assert handles[2][1] == 0
    assert handles[3][1] not in (0, handles[0][1])


def test_it_loops_with_everybody_new():
    tracks = make_tracks(n_frames=30)
    replay = replay_world(tracks)
    replay.world.run(tracks.n_frames)
    last = set(replay.world.query(Position).handles.tolist())
    for frame in range(tracks.first_frame, tracks.last_frame + 1):
        replay.world.tick()
        assert shown(replay) == recorded(tracks, frame)
        assert last.isdisjoint(replay.world.query(Position).handles.tolist())
    assert not replay.done


def test_without_a_loop_the_world_ends_empty():
    tracks = make_tracks()
    replay = replay_world(tracks, loop=False)
    replay.world.run(tracks.n_frames)
    assert len(replay.world) > 0
    assert not replay.done
    for _ in range(3):
        replay.world.tick()
        assert (len(replay.world), replay.done, replay.frame) == (0, True, tracks.last_frame)
        assert not replay.handle.any()


def test_a_replica_follows_everybody():
    tracks = make_tracks()
    replay = replay_world(tracks, precision=1 / 512)
    replicator = hz.Replicator(replay.world, max_observers=2)
    observer = replicator.add_observer(position=(1e6, 0.0))  # everybody is within reach
    replica = hz.Replica(replicator.schema, phase=replicator.phase(observer))
    appeared = vanished = 0
    before: set[int] = set()
    for _ in range(tracks.n_frames + 10):
        replay.world.tick()
        frames = replicator.step()
        for start, stop in zip(frames.payload, frames.stop, strict=True):  # none where nobody is there and none was
            replica.apply(frames.buffer[start:stop])
        now = set(replay.world.query(Position).handles.tolist())
        appeared, vanished, before = appeared + len(now - before), vanished + len(before - now), now
        slots = replay.world.slots_of(replica.handle)
        assert set(replica.handle.tolist()) == now
        for axis in ("x", "y", "z"):
            exact = replay.world.column(Position, axis)[slots]
            assert np.abs(replica.column("Position", axis) - exact).max(initial=0) <= 1 / 1024
    assert (replica.n_enters, replica.n_leaves) == (appeared, vanished)
    assert appeared > tracks.n_ids


def test_an_observer_may_stand_at_a_person():
    tracks = make_tracks()
    replay = replay_world(tracks, radius=4.0, loop=False)
    replay.world.run(2)
    replicator = hz.Replicator(replay.world, max_observers=2)
    person = int(replay.world.query(Position).handles[0])
    observer = replicator.add_observer(entity=person)
    while replay.world.alive(person)[0]:
        where = replay.world.get(person, Position)
        replay.world.tick()
        replicator.step()
    assert replicator.position[observer].tolist() == [where.x, where.y, where.z]


def test_speed_and_layers():
    tracks = make_tracks()
    layers = [hz.Layer(0, 5.0, 32.0, [Position], 1 / 64), hz.Layer(1, math.inf, 8.0, [Position], 1 / 16)]
    replay = replay_world(tracks, speed=2.0, layers=layers)
    assert replay.world.tick_rate == 32.0
    schema = hz.Replicator(replay.world, max_observers=1).schema
    assert [c["period"] for c in schema["kinds"][0]["channels"]] == [1, 4]
    assert replay.kind.name == "Person"


def test_a_person_whom_another_system_ended_stays_away():
    tracks = make_tracks()
    replay = replay_world(tracks)
    replay.world.tick()
    person = int(replay.alive[0])
    replay.world.despawn(replay.handle[replay.tracks.ids == person])
    while person in replay.alive:
        expected = recorded(tracks, replay.frame)
        del expected[person]
        assert shown(replay) == expected
        replay.world.tick()


@pytest.mark.parametrize("speed", [0, -1.0, math.inf, math.nan, "2"])
def test_a_bad_speed_is_refused(speed):
    with pytest.raises(ArgumentError, match="speed must be a positive number"):
        replay_world(make_tracks(), speed=speed)


def test_bad_layers_are_refused():
    with pytest.raises(DefinitionError, match="radius must be a positive number"):
        replay_world(make_tracks(), radius=-1.0)
    with pytest.raises(DefinitionError, match="precision must be a positive number"):
        replay_world(make_tracks(), precision=0.0)


def test_a_paused_recording_stands_still():
    replay = replay_world(make_tracks())
    replay.world.run(3)
    before = shown(replay)
    replay.paused = True
    replay.world.run(5)
    assert shown(replay) == before
    replay.paused = False
    replay.world.tick()
    assert shown(replay) == recorded(replay.tracks, replay.frame)
