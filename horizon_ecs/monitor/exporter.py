"""The exporter: a server's metrics, read when they are scraped from what it counts anyway."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from horizon_ecs import __version__
from horizon_ecs.monitor.families import FAMILIES, Family, Scrape
from horizon_ecs.monitor.histogram import TICK_BOUNDS_S, Histogram
from horizon_ecs.monitor.process import process_use

if TYPE_CHECKING:
    from horizon_ecs.monitor.monitor import HorizonMonitor
    from horizon_ecs.monitor.sample import Sample
    from horizon_ecs.ticker import Ticker


class TickHistograms:
    """Durations and lateness of every tick of a ticker, taken over from what it remembers.

    `fold` must be called before it forgets them: once in `ticker.REMEMBERED` ticks.
    """

    def __init__(self, ticker: Ticker, tick_rate: float) -> None:
        self._ticker = ticker
        self._n_seen = 0
        self._folding = threading.Lock()
        # So that how many ticks took longer than they may can be told exactly.
        bounds = sorted({*TICK_BOUNDS_S, round(1 / tick_rate, 9)})
        self.duration, self.late = Histogram(bounds), Histogram(bounds)

    def fold(self) -> None:
        """Count the ticks since the last time; from any thread."""
        with self._folding:
            n, tick_ms, late_ms = self._ticker.since(self._n_seen)
            if n < self._n_seen:
                self.duration.clear()
                self.late.clear()
            self._n_seen = n
            self.duration.add([ms / 1e3 for ms in tick_ms])
            self.late.add([ms / 1e3 for ms in late_ms])


class Watched(Protocol):
    """A server."""

    monitor: HorizonMonitor

    def sample(self) -> Sample:
        """What there is, and what was counted so far."""


class Exporter:
    """A collector of `prometheus_client` that asks for one sample a scrape.

    Parameters
    ----------
    server : Watched
    ticks : TickHistograms
    replaced : callable() -> names
        What the application sets itself; those of the server's own are left out.
    """

    def __init__(self, server: Watched, ticks: TickHistograms, replaced: Callable[[], Collection[str]]) -> None:
        self._server, self._ticks, self._replaced = server, ticks, replaced
        self._core = importlib.import_module("prometheus_client.core")

    def describe(self) -> list[Any]:
        """Nothing, so that registering takes no sample."""
        return []

    def collect(self) -> Iterator[Any]:
        """For `prometheus_client`: every family, with its samples."""
        self._ticks.fold()
        sample, replaced = self._server.sample(), set(self._replaced())
        scrape = Scrape(sample, process_use(), self._server.monitor.generate_report(sample))
        build = self._core.GaugeMetricFamily("horizon_build_info", "What is running.", labels=("version",))
        build.add_metric([__version__], 1)
        yield build
        ticks = self._ticks
        yield self._histogram("horizon_tick_duration_seconds", "How long ticks took.", ticks.duration)
        yield self._histogram("horizon_tick_lateness_seconds", "How long after it was due a tick ended.", ticks.late)
        for family in FAMILIES:
            if family.name not in replaced:
                yield self._family(family, scrape)

    def _family(self, family: Family, scrape: Scrape) -> Any:
        labels = tuple(family.label.split(",")) if family.label else ()
        kind = self._core.CounterMetricFamily if family.kind == "counter" else self._core.GaugeMetricFamily
        made = kind(family.name, family.text, labels=labels)
        found = family.read(scrape)
        for key, value in found.items() if labels else [((), found)]:
            made.add_metric([str(part) for part in key] if isinstance(key, tuple) else [str(key)], value)
        return made

    def _histogram(self, name: str, text: str, values: Histogram) -> Any:
        buckets = [("+Inf" if bound == float("inf") else repr(bound), n) for bound, n in values.cumulative()]
        return self._core.HistogramMetricFamily(name, text, buckets=buckets, sum_value=values.total)
