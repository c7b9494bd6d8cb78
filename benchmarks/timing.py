"""How benchmarks take times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def best_s(work: Callable[[], Any], repeats: int = 150) -> float:
    """The best time of many runs, after one that isn't counted."""
    work()
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best
