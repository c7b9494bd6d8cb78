"""Recordings: what recording adds to a tick, what it weighs, how fast clients decode one, and how soon one is open."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import best_s
from horizon_ecs import demo
from horizon_ecs.feeding import decode_load
from horizon_ecs.recorder import WorldRecorder
from horizon_ecs.recording import open_recording

N_ENTITIES, N_TICKS, N_CLIENTS = 10_000, 600, 20


class Recordings:
    """Ten seconds of the demo's 10,000 ships as a whole world."""

    timeout = 600

    def setup_cache(self) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            return _measure(Path(folder) / "demo.hzr")

    def track_recording(self, measured: dict[str, float]) -> float:
        return measured["step_ms"]

    def track_bytes_a_second(self, measured: dict[str, float]) -> float:
        return measured["kb_per_s"]

    def track_decoded_frames(self, measured: dict[str, float]) -> float:
        return measured["frames_per_s"]

    def track_decoded_updates(self, measured: dict[str, float]) -> float:
        return measured["updates_per_s"]

    def track_open(self, measured: dict[str, float]) -> float:
        return measured["open_ms"]

    def track_open_without_index(self, measured: dict[str, float]) -> float:
        return measured["scan_ms"]


Recordings.track_recording.unit = "ms"  # type: ignore[attr-defined]
Recordings.track_bytes_a_second.unit = "kB/s"  # type: ignore[attr-defined]
Recordings.track_decoded_frames.unit = "frames/s"  # type: ignore[attr-defined]
Recordings.track_decoded_updates.unit = "updates/s"  # type: ignore[attr-defined]
Recordings.track_open.unit = Recordings.track_open_without_index.unit = "ms"  # type: ignore[attr-defined]


def _measure(path: Path) -> dict[str, float]:
    world = demo.build(N_ENTITIES)
    ms = []
    with WorldRecorder(world, path) as recorder:
        for _ in range(N_TICKS):
            world.tick()
            started = time.perf_counter()
            recorder.step()
            ms.append((time.perf_counter() - started) * 1e3)
    with open_recording(path) as recording:
        load = decode_load(recording, N_CLIENTS)
        seconds = recording.duration_s
    opened_s = best_s(lambda: open_recording(path).close())
    cut = path.with_suffix(".cut")
    cut.write_bytes(path.read_bytes()[:-1])
    return {
        "step_ms": float(np.median(ms)),
        "kb_per_s": path.stat().st_size / seconds / 1e3,
        "frames_per_s": load["frames_per_s"],
        "updates_per_s": load["updates_per_s"],
        "open_ms": opened_s * 1e3,
        "scan_ms": best_s(lambda: open_recording(cut).close()) * 1e3,
    }
