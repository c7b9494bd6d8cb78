"""How benchmarks take times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any


def best_s(work: Callable[[], Any], repeats: int = 150) -> float:
    """The best time of many runs, after one that isn't counted."""
    return best_s_of([work], repeats)[0]


def best_s_of(works: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """The best time of each of several, which run in turns, so that all see the machine's good and bad moments."""
    for work in works:
        work()
    best = [float("inf")] * len(works)
    for _ in range(repeats):
        for i, work in enumerate(works):
            started = time.perf_counter()
            work()
            best[i] = min(best[i], time.perf_counter() - started)
    return best
