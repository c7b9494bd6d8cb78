"""Recorded people walk again: tracks played as a world, replicated to one observer, and what that one knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import horizon_ecs as hz
from horizon_ecs.replay import Position, replay_world
from horizon_ecs.tracks import load_tracks

SECONDS = 10
PRECISION = 1 / 512  # metres: finer than the recording


def main() -> dict[str, float]:
    tracks = load_tracks(Path(__file__).with_name("tracks.csv"))  # or an .npz: see load_tracks
    replay = replay_world(tracks, precision=PRECISION)
    world = replay.world

    # A server does this for every client; here the frames go straight to a replica.
    replicator = hz.Replicator(world)
    observer = replicator.add_observer(position=(10.0, 10.0))
    replica = hz.Replica(replicator.schema, phase=replicator.phase(observer))

    for _ in range(round(SECONDS * world.tick_rate)):
        world.tick()
        frames = replicator.step()
        for start, stop in zip(frames.payload, frames.stop, strict=True):
            replica.apply(frames.buffer[start:stop])

    # What the client knows is the recording's frame, rounded.
    rows = tracks.rows_of(replay.frame)
    slots = world.slots_of(replica.handle)
    error = np.abs(replica.column("Position", "x") - world[Position].x[slots]).max()
    result = {
        "recorded": rows.stop - rows.start,
        "known": replica.n,
        "seen": replica.n_enters,
        "error_m": float(error),
        "bytes_per_update": replica.n_bytes / replica.n_updates,
    }
    print(tracks)
    print(f"{result['seen']} people seen in {SECONDS} s, {result['known']} of them there now")
    print(f"{result['bytes_per_update']:.2f} bytes an update, all in; off by {error * 1000:.2f} mm at most")
    return result


if __name__ == "__main__":
    main()
