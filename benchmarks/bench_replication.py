"""Replication: each stage against what NumPy needs for its core, whole ticks by size, bytes an update, warm-up."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.bench_import import seconds
from benchmarks.bench_kernels import SCALES, warm_crowd
from benchmarks.timing import best_s
from horizon_ecs.bench import MAX_CHECKED, PRECISION, _Crowd, bench_tick
from horizon_ecs.systems import grid, quantise

N_ENTITIES, N_OBSERVERS = 100_000, 10_000
TURNS = 60
WARM_UP = "from horizon_ecs import kernel, replication, replica, world; kernel.warm_up()"


class Stages:
    """The stages at 100,000 entities and 10,000 observers on one thread: milliseconds a tick, and ratios to NumPy."""

    timeout = 600

    def setup(self) -> None:
        self.crowd = _Crowd(N_ENTITIES, N_OBSERVERS, 0.001, 1)
        for _ in range(60):
            self.crowd.tick()

    def _median_ms(self, stage: str) -> float:
        ms = []
        for _ in range(60):
            self.crowd.tick()
            ms.append(self.crowd.replicator.stats.ms[stage])
        return float(np.median(ms))

    def track_quantise(self) -> float:
        return self._median_ms("quantise")

    def track_grid(self) -> float:
        return self._median_ms("grid")

    def track_records(self) -> float:
        return self._median_ms("records")

    def track_frames(self) -> float:
        return self._median_ms("frames")

    def track_quantise_to_numpy(self) -> float:
        """One column, against rint and astype with the buffers at hand."""
        r = self.crowd.replicator
        n = r.world.n_slots
        column, out, scratch = np.array(r._x), np.zeros(n, np.int32), np.zeros(n)
        pages, previous = np.arange(n // quantise.PAGE, dtype=np.uint32), np.zeros(n, np.int32)
        counts = np.zeros(2, np.int64)

        def numpy() -> None:
            np.multiply(column, 1.0 / PRECISION, out=scratch)
            np.rint(scratch, out=scratch)
            out[:] = scratch

        born, tick = r.world.born, np.uint32(r.world.tick_count)
        ours = best_s(
            lambda: quantise.quantise_float(column, pages, 1.0 / PRECISION, born, tick, previous, out, counts)
        )
        return ours / best_s(numpy)

    def track_grid_to_numpy(self) -> float:
        """The whole grid, against no more than a stable argsort of the cells' numbers."""
        r = self.crowd.replicator
        pages, g = r._replicated_pages(), r._grid
        ours = best_s(lambda: r._build_grid(pages, r.world.tick_count, 1))
        cells = np.array(g.cell_of[g.cell_of != grid.NO_CELL])
        return ours / best_s(lambda: np.argsort(cells, kind="stable"))


Stages.track_quantise.unit = Stages.track_grid.unit = "ms"  # type: ignore[attr-defined]
Stages.track_records.unit = Stages.track_frames.unit = "ms"  # type: ignore[attr-defined]
Stages.track_quantise_to_numpy.unit = Stages.track_grid_to_numpy.unit = "x"  # type: ignore[attr-defined]


class Tick:
    """Whole ticks by entities and observers; what is sent doesn't depend on the machine."""

    params = (["1000 x 1000", "10000 x 1000", "100000 x 10000"],)
    param_names = ("entities x observers",)
    timeout = 900

    def setup_cache(self) -> dict[str, dict[str, Any]]:
        sizes = {size: [int(n) for n in size.split(" x ")] for size in self.params[0]}
        return {size: bench_tick(entities=n, observers=m, ticks=200) for size, (n, m) in sizes.items()}

    setup_cache.timeout = 900  # type: ignore[attr-defined]

    def _value(self, results: dict[str, dict[str, Any]], size: str, key: str) -> float:
        result = results[size]
        if result["mismatches"] or not result["checked_values"]:
            raise AssertionError(f"{result['mismatches']} of {result['checked_values']} values of {MAX_CHECKED} differ")
        return float(result[key])

    def track_median(self, results: dict[str, dict[str, Any]], size: str) -> float:
        return self._value(results, size, "tick_ms_median")

    def track_p99(self, results: dict[str, dict[str, Any]], size: str) -> float:
        return self._value(results, size, "tick_ms_p99")

    def track_a_pair(self, results: dict[str, dict[str, Any]], size: str) -> float:
        return self._value(results, size, "ns_per_pair")

    def track_bytes_an_update(self, results: dict[str, dict[str, Any]], size: str) -> float:
        return self._value(results, size, "bytes_per_update")


Tick.track_median.unit = Tick.track_p99.unit = "ms"  # type: ignore[attr-defined]
Tick.track_a_pair.unit = "ns"  # type: ignore[attr-defined]
Tick.track_bytes_an_update.unit = "bytes"  # type: ignore[attr-defined]


class Flatness:
    """Nanoseconds a followed pair, a whole tick, on one thread; and how many times that at 100,000 pairs."""

    params = (list(SCALES),)
    param_names = ("followed pairs",)
    timeout = 900

    def setup_cache(self) -> dict[str, float]:
        crowds = {scale: warm_crowd(scale) for scale in SCALES}
        ns: dict[str, list[float]] = {scale: [] for scale in SCALES}
        for _ in range(TURNS):  # in turns, so that all see the machine's good and bad moments
            for scale, crowd in crowds.items():
                started = time.perf_counter_ns()
                crowd.tick()
                ns[scale].append((time.perf_counter_ns() - started) / crowd.replicator.stats.followed_pairs)
        return {scale: float(np.median(values)) for scale, values in ns.items()}

    setup_cache.timeout = 900  # type: ignore[attr-defined]

    def track_a_pair(self, results: dict[str, float], scale: str) -> float:
        return results[scale]

    def track_by_100k(self, results: dict[str, float], scale: str) -> float:
        return results[scale] / results["100k"]


Flatness.track_a_pair.unit = "ns"  # type: ignore[attr-defined]
Flatness.track_by_100k.unit = "x"  # type: ignore[attr-defined]


class WarmUp:
    """Seconds until every kernel is ready, in a fresh interpreter: from nothing, and from the cache."""

    timeout = 600

    def setup_cache(self) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as cache:
            cold = seconds(WARM_UP, cache)
            return cold, min(seconds(WARM_UP, cache) for _ in range(3))

    setup_cache.timeout = 600  # type: ignore[attr-defined]

    def track_cold(self, results: tuple[float, float]) -> float:
        return results[0]

    def track_warm(self, results: tuple[float, float]) -> float:
        return results[1]


WarmUp.track_cold.unit = WarmUp.track_warm.unit = "s"  # type: ignore[attr-defined]
