"""Bytes on the wire, whole frames, and bytes of memory: what doesn't depend on how busy a machine is.

`make bench-compare` holds a commit to them.
"""

from __future__ import annotations

from typing import Any

from benchmarks.bench_kernels import SCALES
from benchmarks.wire import ours
from benchmarks.wire.__main__ import TRACKS
from benchmarks.wire.motion import Motion, recorded, walkers
from horizon_ecs.bench import _Crowd, bench_tick
from horizon_ecs.tracks import load_tracks

TICKS = 90
WALKERS = 300


def _of_crowd(scale: str, **more: Any) -> dict[str, float]:
    crowd = _Crowd(*SCALES[scale], 1, **more)
    crowd.tick()
    first, n_bytes, updates = crowd.replicator.stats, 0, 0
    for _ in range(TICKS):
        crowd.tick()
        n_bytes += crowd.replicator.stats.bytes
        updates += crowd.replicator.stats.updates
    return {"update": n_bytes / updates, "reset": first.bytes / first.n_frames}


def _of_motion(motion: Motion, *observers: Any) -> dict[str, float]:
    sent = ours.send(motion, *observers)
    return {"update": sent.n_bytes / sent.n_updates, "reset": sent.first_bytes / sent.n_first}


def _of_tracks(with_more: bool) -> dict[str, float]:
    return _of_motion(recorded(load_tracks(TRACKS), "tracks", with_more))


SCENARIOS = {
    "crowd": lambda: _of_crowd("100k"),
    "hot spot": lambda: _of_crowd("100k", hot_spot=400),
    "walkers": lambda: _of_motion(walkers(WALKERS, TICKS, 20.0, 0.11), 12.0, WALKERS),
    "tracks": lambda: _of_tracks(False),
    "tracks, yaw and health": lambda: _of_tracks(True),
}


class Wire:
    """By scenario: an update, enters and leaves and headers in it; and a reset frame, which tells everything."""

    params = (list(SCENARIOS),)
    param_names = ("scenario",)
    timeout = 600
    unit = "bytes"

    def setup_cache(self) -> dict[str, dict[str, float]]:
        return {name: measure() for name, measure in SCENARIOS.items()}

    setup_cache.timeout = 600  # type: ignore[attr-defined]

    def track_update(self, results: dict[str, dict[str, float]], scenario: str) -> float:
        return results[scenario]["update"]

    def track_reset_frame(self, results: dict[str, dict[str, float]], scenario: str) -> float:
        return results[scenario]["reset"]


class Memory:
    """What replication takes of resident memory, by followed pair: lists, histories, records, and frames' buffers."""

    params = (["100k", "1M"],)
    param_names = ("followed pairs",)
    timeout = 600
    unit = "bytes"

    def track_a_pair(self, scale: str) -> float:
        entities, observers, density = SCALES[scale]
        result = bench_tick(entities=entities, observers=observers, density=density, ticks=60, threads=1)
        return float(result["memory_bytes_per_pair"])
