"""MetricsCollector: Horizon's calls for counters, gauges and histograms, over `prometheus_client`."""

from __future__ import annotations

import gzip
import importlib
import itertools
import math
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from horizon_ecs.errors import ArgumentError, CapacityError
from horizon_ecs.monitor.durations import Duration

T = TypeVar("T")
Labels = Mapping[str, str | int]

MAX_SERIES = 1_000  # of one metric: who labels by player would fill the memory of whoever scrapes
DURATION_BUCKETS_S = (
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.016, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0
)  # fmt: skip
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


def prometheus() -> Any:
    """The library. Raises ArgumentError, which names the extra, where it isn't installed."""
    try:
        return importlib.import_module("prometheus_client")
    except ImportError:
        raise ArgumentError(
            "metrics need prometheus_client, which isn't installed: pip install 'horizon-ecs[metrics]'"
        ) from None


@dataclass
class _Metric:
    """One name: what it is, and its series by their labels' values."""

    kind: str
    made: Any
    labels: tuple[str, ...]
    series: dict[tuple[str, ...], Any]


class MetricsCollector:
    """Counters, gauges and histograms by name, for Prometheus. Plain calls, from any thread.

    A name is what it was first used as, with the labels that it had then. Names are Prometheus's: letters, digits, `_`
    and `:`. A counter is exported with `_total` at its end, whether its name has it or not.

    Parameters
    ----------
    registry : prometheus_client.CollectorRegistry, optional
        One of your own. By default one is made, which also tells what the process uses (`process_…`, `python_…`).
    max_series : int
        Combinations of labels' values of one name.

    Raises
    ------
    ArgumentError
        `prometheus_client` isn't installed: it comes with the extra `horizon-ecs[metrics]`.
    """

    def __init__(self, registry: Any = None, *, max_series: int = MAX_SERIES) -> None:
        if not isinstance(max_series, int) or isinstance(max_series, bool) or max_series < 1:
            raise ArgumentError(f"max_series must be a whole number from 1, not {max_series!r}")
        self._library = prometheus()
        self.registry = self._library.CollectorRegistry() if registry is None else registry
        if registry is None:
            for collector in ("ProcessCollector", "PlatformCollector", "GCCollector"):
                getattr(self._library, collector)(registry=self.registry)
        self.max_series = max_series
        self._metrics: dict[str, _Metric] = {}
        self._described: dict[str, tuple[str, tuple[float, ...] | None]] = {}
        self._making = threading.Lock()
        self._attached = False

    def __repr__(self) -> str:
        return f"MetricsCollector({len(self._metrics)} metrics)"

    @property
    def names(self) -> frozenset[str]:
        """The names in use."""
        return frozenset(self._metrics)

    def describe(self, name: str, text: str, *, buckets: Sequence[float] | None = None) -> None:
        """Say what a metric means, and the upper bounds of a histogram's buckets; before it is first used.

        Raises ArgumentError for a name that is in use, and for bounds that aren't finite and ascending.
        """
        _check_name(name)
        if not isinstance(text, str) or not text:
            raise ArgumentError(f"text must say what {name} means, not {text!r}")
        bounds = None if buckets is None else tuple(float(b) for b in buckets)
        if bounds is not None:
            rises = all(a < b for a, b in itertools.pairwise(bounds))
            if not bounds or not rises or not all(math.isfinite(b) for b in bounds):
                raise ArgumentError(f"buckets of {name} must be finite and in ascending order, not {buckets!r}")
        with self._making:
            if name in self._metrics:
                raise ArgumentError(f"metric {name!r} is in use: describe it before")
            self._described[name] = text, bounds

    # -- Horizon's calls -----------------------------------------------------------------------------------------------

    def set_gauge(self, name: str, value: float, labels: Labels | None = None) -> None:
        """Set what may rise and fall. Raises ArgumentError, CapacityError (`max_series`)."""
        self._series("gauge", name, labels).set(_number(name, value))

    def increment_counter(self, name: str, amount: float = 1, labels: Labels | None = None) -> None:
        """Add to what only rises. Raises ArgumentError, CapacityError (`max_series`)."""
        if not 0 <= _number(name, amount) < math.inf:
            raise ArgumentError(f"counter {name} can only rise by a number from 0, not by {amount!r}")
        self._series("counter", name, labels).inc(amount)

    def record_histogram(self, name: str, value: float, labels: Labels | None = None) -> None:
        """Count a value into its bucket; durations in seconds. Raises ArgumentError, CapacityError (`max_series`)."""
        if not math.isfinite(_number(name, value)):
            raise ArgumentError(f"histogram {name} takes finite values, not {value!r}")
        self._series("histogram", name, labels).observe(value)

    @overload
    def record_duration(self, name: str, work: Awaitable[T], *, labels: Labels | None = None) -> Duration[T]: ...
    @overload
    def record_duration(self, name: str, work: None = None, *, labels: Labels | None = None) -> Duration[None]: ...
    def record_duration(self, name: str, work: Any = None, *, labels: Labels | None = None) -> Duration[Any]:
        """Record into a histogram how many seconds something takes, also where it raises.

        `with metrics.record_duration("name"):` (or `async with`) around a block, `@metrics.record_duration("name")` on
        a plain or async function, or `result = await metrics.record_duration("name", coroutine())`.

        Raises
        ------
        ArgumentError, CapacityError (`max_series`)
        """
        if work is not None and not hasattr(work, "__await__"):
            raise ArgumentError(f"record_duration takes something to await, such as a coroutine, not {work!r}")
        return Duration(self._series("histogram", name, labels).observe, work)

    def record_server_metrics(self, active_connections: int, memory_mb: float) -> None:
        """Set the gauges `server_active_connections` and `server_memory_usage_mb`. Raises ArgumentError."""
        self.set_gauge("server_active_connections", active_connections)
        self.set_gauge("server_memory_usage_mb", memory_mb)

    def export_prometheus(self) -> str:
        """Everything in Prometheus's text format."""
        return str(self._library.generate_latest(self.registry).decode())

    def export(
        self, accept: str = "", accept_encoding: str = "", names: Iterable[str] = ()
    ) -> tuple[bytes, dict[str, str]]:
        """What a scrape is answered with: the body, and its headers.

        Parameters
        ----------
        accept, accept_encoding : str
            The request's headers: OpenMetrics and gzip are for who asks for them.
        names : iterable of str
            Only these series, by their exported names; by default all.
        """
        encode, kind = importlib.import_module("prometheus_client.exposition").choose_encoder(accept)
        chosen = list(names)
        body: bytes = encode(self.registry.restricted_registry(chosen) if chosen else self.registry)
        headers = {"Content-Type": kind, "Vary": "Accept, Accept-Encoding"}
        if any(coding.partition(";")[0].strip().lower() == "gzip" for coding in accept_encoding.split(",")):
            body, headers["Content-Encoding"] = gzip.compress(body, compresslevel=1), "gzip"
        return body, headers

    def attach(self, exporter: Any) -> None:
        """Export a server's own metrics beside these. Raises ArgumentError where another's are exported already."""
        if self._attached:
            raise ArgumentError("this MetricsCollector exports another server's metrics: give each server its own")
        self.registry.register(exporter)
        self._attached = True

    # -- series --------------------------------------------------------------------------------------------------------

    def _series(self, kind: str, name: str, labels: Labels | None) -> Any:
        """The series of a name and labels, made where there is none."""
        metric = self._metrics.get(name) or self._make(kind, name, labels or {})
        if metric.kind != kind:
            raise ArgumentError(f"metric {name!r} is a {metric.kind}, not a {kind}")
        if not labels and not metric.labels:
            return metric.made
        given = labels or {}
        if given.keys() != set(metric.labels):
            raise ArgumentError(f"metric {name!r} has the labels {list(metric.labels)}, not {sorted(given)}")
        values = tuple(str(given[label]) for label in metric.labels)
        return metric.series.get(values) or self._label(name, metric, values)

    def _label(self, name: str, metric: _Metric, values: tuple[str, ...]) -> Any:
        with self._making:
            if values not in metric.series:
                if len(metric.series) >= self.max_series:
                    raise CapacityError(f"metric {name!r} has {self.max_series} series, its limit: max_series")
                metric.series[values] = metric.made.labels(*values)
            return metric.series[values]

    def _make(self, kind: str, name: str, labels: Labels) -> _Metric:
        _check_name(name)
        for label in labels:
            if not isinstance(label, str) or not _LABEL.fullmatch(label) or (kind == "histogram" and label == "le"):
                raise ArgumentError(f"labels of {name} must be like {_LABEL.pattern}, and 'le' is taken: {label!r}")
        with self._making:
            if name not in self._metrics:
                self._metrics[name] = self._register(kind, name, tuple(sorted(labels)))
            return self._metrics[name]

    def _register(self, kind: str, name: str, labels: tuple[str, ...]) -> _Metric:
        text, buckets = self._described.get(name, (f"{name} of the application.", None))
        options = {"buckets": buckets or DURATION_BUCKETS_S} if kind == "histogram" else {}
        constructor: Callable[..., Any] = getattr(self._library, kind.capitalize())
        try:
            made = constructor(name, text, labels, registry=self.registry, **options)
        except ValueError as error:
            raise ArgumentError(f"{kind} {name!r} can't be exported beside the other metrics: {error}") from None
        return _Metric(kind, made, labels, {})


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError(f"a metric's name must be like {_NAME.pattern}, not {name!r}")


def _number(name: str, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} takes a number, not {value!r}") from None
