"""Kernels of replication, timed inside whole ticks: what `make bench-compare` holds a commit to.

A sample is one stage's time in one tick, by the replicator's own clock, of a world that lives on: caches are as cold as
in use. One thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from horizon_ecs.bench import _Crowd
from horizon_ecs.replica import Replica

# By followed pairs, about: entities, observers, entities a square unit.
SCALES = {
    "10k": (1_000, 100, 0.001),
    "100k": (10_000, 1_000, 0.001),
    "1M": (100_000, 10_000, 0.001),
    "2.5M": (100_000, 10_000, 0.0025),
}
WARM_TICKS = 40  # the reset frames, and the longest period
DECODED_TICKS = 120


def warm_crowd(scale: str) -> _Crowd:
    """A world of that scale, past its first ticks."""
    crowd = _Crowd(*SCALES[scale], 1)
    for _ in range(WARM_TICKS):
        crowd.tick()
    return crowd


class _Stage:
    """The clock runs in one stage only."""

    stage = ""
    params: tuple[list[str], ...] = (["100k", "1M"],)
    param_names = ("followed pairs",)
    timeout = 600
    rounds = 4
    number = 1
    warmup_time = 0.0
    repeat = (40, 160, 2.0)
    _crowd: _Crowd | None = None

    def setup(self, scale: str) -> None:
        # It is called before every sample, and a process measures one scale.
        self._crowd = self._crowd or warm_crowd(scale)
        self._spent_s = 0.0
        self.timer = lambda: self._spent_s

    def time_stage(self, scale: str) -> None:
        assert self._crowd
        self._crowd.tick()
        self._spent_s += self._crowd.replicator.stats.ms[self.stage] / 1e3


class Quantise(_Stage):
    stage = "quantise"


class Grid(_Stage):
    stage = "grid"


class Records(_Stage):
    stage = "records"


class Frames(_Stage):
    """Interest and frames; `bench_replication.Flatness` tells the same by pair."""

    stage = "frames"
    params = (list(SCALES),)


class Decode:
    """A client's part: all frames of an observer, one reset frame among them."""

    timeout = 600
    rounds = 4

    def setup_cache(self) -> tuple[dict[str, Any], int, list[bytes]]:
        crowd = _Crowd(*SCALES["100k"], 1)
        replicator, frames = crowd.replicator, []
        for _ in range(DECODED_TICKS):
            made = crowd.tick()
            for n in np.flatnonzero(made.observers == 0):
                frames.append(bytes(made.buffer[made.payload[n] : made.stop[n]]))
        return dict(replicator.schema), replicator.phase(0), frames

    def setup(self, stream: tuple[dict[str, Any], int, list[bytes]]) -> None:
        Replica(stream[0], phase=stream[1])

    def time_stream(self, stream: tuple[dict[str, Any], int, list[bytes]]) -> None:
        schema, phase, frames = stream
        replica = Replica(schema, phase=phase)
        for frame in frames:
            replica.apply(frame)
