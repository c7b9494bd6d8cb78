"""What every peer speaks: prepared cases."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks.peers.inputs import Inputs


class Measurable(Protocol):
    """A workload made ready for one peer."""

    def seconds(self, repeats: int) -> float:
        """The best time of so many runs."""

    def checksum(self) -> float:
        """What the workload must have come to; asked for after exactly one run."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass
class Case:
    """A workload in this process: `work` is timed, `reset` runs before each time and isn't."""

    work: Callable[[], Any]
    check: Callable[[], float]
    reset: Callable[[], Any] = lambda: None

    def seconds(self, repeats: int) -> float:
        best = float("inf")
        # As timeit does: whoever makes 100,000 objects would otherwise mostly measure the collector.
        gc.collect()
        gc.disable()
        try:
            for _ in range(repeats):
                self.reset()
                spent, started = time.thread_time(), time.perf_counter()
                self.work()
                took = time.perf_counter() - started
                # A long run has no chance of being left alone on a busy machine: what others took isn't counted.
                best = min(best, took, time.thread_time() - spent)
        finally:
            gc.enable()
        return best

    def checksum(self) -> float:
        return float(self.check())

    def close(self) -> None:
        """Nothing is held but memory."""


class Peer(Protocol):
    """What a peer's module offers."""

    NAME: str
    WORKLOADS: dict[str, Callable[[Inputs], Measurable]]

    def version(self) -> str:
        """Its version and its language's; raises `Missing`."""


def weighted(x: Any, y: Any, z: Any) -> float:
    """A sum that tells three columns apart."""
    return float(np.sum(x, dtype=np.float64) + 2 * np.sum(y, dtype=np.float64) + 3 * np.sum(z, dtype=np.float64))


def weighted_objects(items: Any) -> float:
    """The same over objects with x, y and z."""
    return float(sum(p.x + 2 * p.y + 3 * p.z for p in items))
