"""HorizonMonitor: how a server is doing, and whether somebody should look."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np

from horizon_ecs.errors import ArgumentError
from horizon_ecs.monitor.counted import CountsEvents, CountsPlugins, EventCounts, HandlerCounts, PluginCounts
from horizon_ecs.monitor.process import ProcessUse, process_use
from horizon_ecs.monitor.report import (
    ConnectionReport,
    EventLine,
    EventReport,
    MemoryReport,
    NetworkReport,
    PluginLine,
    ReplicationReport,
    SystemReport,
)
from horizon_ecs.monitor.sample import Flow, Sample
from horizon_ecs.monitor.thresholds import Alert, Thresholds, measures
from horizon_ecs.monitor.window import Window

T = TypeVar("T")

_TRIES = 3


class Sampled(Protocol):
    """A Server, or a GorcSystem."""

    def sample(self) -> Sample:
        """What there is, and what was counted so far."""


class HorizonMonitor:
    """Reports how a server, a GorcSystem or an event system is doing. Plain calls; it costs nothing between them.

    Rates and averages are taken over the last ten seconds or somewhat more; over longer, back to the last report, where
    nobody asked for one meanwhile.

    Parameters
    ----------
    event_system : EventSystem, optional
        Or anything else that counts likewise (`monitor.counted.CountsEvents`).
    gorc_system : GorcSystem or Server, optional
    plugins : Plugins, optional
        Or anything else that counts likewise (`monitor.counted.CountsPlugins`). Without, plugins are known by their
        handlers.
    thresholds : Thresholds, optional
    clock : callable() -> float
        Seconds that never fall.

    Raises
    ------
    ArgumentError
        One of them isn't what it should be.
    """

    def __init__(
        self, event_system: CountsEvents | None = None, gorc_system: Sampled | None = None, *,
        plugins: CountsPlugins | None = None, thresholds: Thresholds | None = None,
        clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        if event_system is not None and not hasattr(event_system, "handler_stats"):
            raise ArgumentError(f"event_system must be an EventSystem, not {event_system!r}")
        if gorc_system is not None and not hasattr(gorc_system, "sample"):
            raise ArgumentError(f"gorc_system must be a GorcSystem or a Server, not {gorc_system!r}")
        if plugins is not None and not hasattr(plugins, "stats"):
            raise ArgumentError(f"plugins must be Plugins, not {plugins!r}")
        if thresholds is not None and not isinstance(thresholds, Thresholds):
            raise ArgumentError(f"thresholds must be Thresholds, not {thresholds!r}")
        self.event_system, self.plugins, self._source, self._clock = event_system, plugins, gorc_system, clock
        self.thresholds = thresholds or Thresholds()
        self._window = Window()
        self.generate_report()  # what rates are taken from

    @classmethod
    def with_gorc(cls, event_system: CountsEvents | None, gorc_system: Sampled, **more: Any) -> HorizonMonitor:
        """A monitor of both: Horizon's own call. Raises ArgumentError."""
        return cls(event_system, gorc_system, **more)

    def generate_report(self, sample: Sample | None = None) -> SystemReport:
        """How it is doing now; of a sample of its source that was taken already, if one is given."""
        sample = sample or (self._source.sample() if self._source is not None else Sample())
        events, handlers, plugins = _steady(self._counted)
        process = process_use()
        seconds, risen = self._window.note(self._clock(), _counts(sample, events, handlers, process))
        rates = _Rates(seconds, risen)
        report = SystemReport(
            tick=sample.tick, window_s=seconds, events=_events(events, handlers, rates, self.thresholds),
            replication=_replication(sample, rates), memory=_memory(process), network=_network(sample, rates),
            connections=_connections(sample.flow or Flow()), cpu_cores=rates.per_s("cpu"),
            plugins=_plugins(plugins, handlers, rates), scores={}, system_health=0.0
        )  # fmt: skip
        scores = {one.name: one.score for one in measures(report, self.thresholds)}
        return replace(report, scores=scores, system_health=0.0 if sample.unwell else min(scores.values()))

    def _counted(self) -> tuple[dict[str, EventCounts], list[HandlerCounts], dict[str, PluginCounts]]:
        """What others count."""
        system, plugins = self.event_system, self.plugins
        return (
            dict(system.stats()) if system is not None else {},
            list(system.handler_stats()) if system is not None else [],
            dict(plugins.stats()) if plugins is not None else {},
        )

    def should_alert(self, report: SystemReport | None = None) -> list[Alert]:
        """What has reached its threshold, and plugins that aren't at work, in a report or, without one, now."""
        report = report or self.generate_report()
        passed = [one for one in measures(report, self.thresholds) if one.value >= one.limit]
        off = [(name, one) for name, one in report.plugins.items() if one.state != "on"]
        return [Alert(one.name, one.value, one.limit, one.text) for one in passed] + [
            Alert(
                "plugin",
                one.failures,
                0,
                f"plugin {name} is {one.state}" + (f": {one.last_failure}" if one.last_failure else ""),
            )
            for name, one in off
        ]


class _Rates:
    """By how much things have risen in a window."""

    def __init__(self, seconds: float, risen: dict[str, float]) -> None:
        self._seconds, self.risen = seconds, risen

    def per_s(self, name: str) -> float:
        return self.risen.get(name, 0.0) / self._seconds if self._seconds else 0.0

    def mean(self, total: str, n: str) -> float:
        """What each took on average."""
        count = self.risen.get(n, 0.0)
        return self.risen.get(total, 0.0) / count if count else 0.0


def _counts(
    sample: Sample, events: dict[str, EventCounts], handlers: list[HandlerCounts], process: ProcessUse
) -> dict[str, float]:
    """Everything that rises, under one name each."""
    counts: dict[str, float] = {"cpu": process.cpu_s, "ticks": sample.n_ticks, "inputs": sum(sample.inputs.values())}
    counts |= {f"total:{name}": n for name, n in sample.totals.items()}
    counts |= {f"stage:{name}": ms for name, ms in sample.stages.items()}
    counts |= {f"event:{name}": one.count for name, one in events.items()}
    for one in handlers:
        for name, n in (("calls", one.calls), ("ms", one.total_ms)):
            counts[f"{name}:{_key(one)}"] = counts.get(f"{name}:{_key(one)}", 0.0) + n
        counts[f"plugin:{one.plugin}"] = counts.get(f"plugin:{one.plugin}", 0.0) + one.total_ms
    return counts


def _key(handler: HandlerCounts) -> str:
    """Those that share it are taken together."""
    return f"{handler.event}:{handler.plugin}:{handler.name}"


def _events(
    events: dict[str, EventCounts], handlers: list[HandlerCounts], rates: _Rates, thresholds: Thresholds
) -> EventReport:
    latency, longest = dict.fromkeys(events, 0.0), dict.fromkeys(events, 0.0)
    plain = [one for one in handlers if one.event in events and not one.is_async]
    for one in plain:
        longest[one.event] = max(longest[one.event], one.max_ms)
    for key, event in {_key(one): one.event for one in plain}.items():
        latency[event] += rates.mean(f"ms:{key}", f"calls:{key}")
    lines = {
        name: EventLine(
            one.count, rates.per_s(f"event:{name}"), latency[name], longest[name], one.errors, one.dropped
        )
        for name, one in events.items()
    }  # fmt: skip
    critical = [name for name in lines if latency[name] and thresholds.is_critical(name)]
    slowest = max(critical, key=lambda name: latency[name], default="")
    return EventReport(
        sum(line.count for line in lines.values()), sum(line.per_s for line in lines.values()),
        latency.get(slowest, 0.0), slowest, lines
    )  # fmt: skip


def _replication(sample: Sample, rates: _Rates) -> ReplicationReport:
    return ReplicationReport(
        tick_rate=sample.tick_rate, lag_ms=_percentile(sample.late_ms, 99),
        frame_ms=1e3 / sample.tick_rate if sample.tick_rate else 0.0, tick_ms=_percentile(sample.tick_ms, 50),
        tick_ms_p99=_percentile(sample.tick_ms, 99), n_missed=sample.n_missed, entities=sample.entities,
        observers=sample.observers, slowed=sample.slowed, followed_pairs=sample.followed_pairs,
        updates_per_s=rates.per_s("total:updates"),
        stages_ms={name: rates.mean(f"stage:{name}", "ticks") for name in sample.stages},
        systems_ms={name: timing.mean_ms for name, timing in sample.systems.items()}
    )  # fmt: skip


def _memory(process: ProcessUse) -> MemoryReport:
    use = process.resident_bytes / process.limit_bytes if process.limit_bytes else 0.0
    return MemoryReport(process.resident_mb, process.virtual_mb, process.limit_mb, use)


def _network(sample: Sample, rates: _Rates) -> NetworkReport:
    bytes_per_s = rates.per_s("total:bytes")
    return NetworkReport(
        bytes_per_s=bytes_per_s, bytes_per_s_each=bytes_per_s / max(1, sample.observers),
        frames_per_s=rates.per_s("total:n_frames"), messages_per_s=rates.per_s("total:messages"),
        inputs_per_s=rates.per_s("inputs"), inputs_dropped=sum(sample.inputs_dropped.values()),
        backlog_bytes=sample.flow.backlog_bytes if sample.flow else 0
    )  # fmt: skip


def _connections(flow: Flow) -> ConnectionReport:
    return ConnectionReport(
        active=flow.active, limit=flow.limit, use=flow.active / flow.limit if flow.limit else 0.0, held=flow.held,
        held_share=flow.held / flow.active if flow.active else 0.0, furthest_behind_ticks=flow.furthest_behind,
        holds=flow.holds, resyncs=flow.resyncs, refusals=dict(flow.refusals)
    )  # fmt: skip


def _plugins(
    plugins: dict[str, PluginCounts], handlers: list[HandlerCounts], rates: _Rates
) -> dict[str, PluginLine]:  # fmt: skip
    found: dict[str, PluginLine] = {}
    for name in sorted({*plugins, *(one.plugin for one in handlers if one.plugin)}):
        own = [one for one in handlers if one.plugin == name]
        line = PluginLine(
            failures=sum(one.errors for one in own), calls=sum(one.calls for one in own),
            total_ms=sum(one.total_ms for one in own), ms_per_s=rates.per_s(f"plugin:{name}"),
            max_ms=max((one.max_ms for one in own), default=0.0)
        )  # fmt: skip
        if (told := plugins.get(name)) is not None:
            line = replace(
                line, state=told.state, failures=told.failures, last_failure=told.last_failure, ms_a_tick=told.ms_a_tick
            )
        found[name] = line
    return found


def _steady(read: Callable[[], T]) -> T:
    """What is read while another thread may add to it: anew where that came between."""
    for _ in range(_TRIES):
        try:
            return read()
        except RuntimeError:  # a dictionary changed its size
            continue
    return read()


def _percentile(values: list[float], q: float) -> float:
    return float(np.percentile(values, q)) if values else 0.0
