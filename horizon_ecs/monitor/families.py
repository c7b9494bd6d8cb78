"""The metrics of a running server: what each is called, what it means, and where in a sample it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from horizon_ecs.monitor.process import ProcessUse
from horizon_ecs.monitor.report import SystemReport
from horizon_ecs.monitor.sample import Flow, Sample
from horizon_ecs.net.wire import Close


@dataclass(frozen=True)
class Scrape:
    """What one scrape has to tell."""

    sample: Sample
    process: ProcessUse
    report: SystemReport


Read = Callable[[Scrape], Any]


@dataclass(frozen=True)
class Family:
    """One metric.

    Attributes
    ----------
    kind : "gauge" or "counter"
    name : str
        As it is exported.
    text : str
    read : callable(Scrape) -> number, or dict of label's value to number
    label : str
        "" for none; several are told apart by commas.
    """

    kind: str
    name: str
    text: str
    read: Read
    label: str = ""


def gauge(name: str, text: str, read: Read, label: str = "") -> Family:
    """What rises and falls."""
    return Family("gauge", name, text, read, label)


def counter(name: str, text: str, read: Read, label: str = "") -> Family:
    """What only rises, but for restarts."""
    return Family("counter", name, text, read, label)


def _flow(x: Scrape) -> Flow:
    return x.sample.flow or Flow()


def _total(name: str) -> Read:
    return lambda x: x.sample.totals[name]


def _seconds(ms: Mapping[str, float]) -> dict[str, float]:
    return {name: value / 1e3 for name, value in ms.items()}


def _of_events(name: str) -> Read:
    return lambda x: {event: getattr(line, name) for event, line in x.report.events.by_event.items()}


def _refusals(x: Scrape) -> dict[tuple[str, str], int]:
    """By code and reason."""
    known = {str(int(close)): close.name.lower() for close in Close}
    found = {}
    for key, n in _flow(x).refusals.items():
        code, _, reason = key.partition(":")
        found[code, reason or known.get(code, "other")] = n
    return found


FAMILIES = (
    # Horizon's own names, in its units.
    gauge("server_active_connections", "Connections.", lambda x: _flow(x).active),
    gauge("server_memory_usage_mb", "Resident memory of the process, in 2**20 bytes.", lambda x: x.process.resident_mb),
    gauge("memory_resident_mb", "Resident memory of the process, in 2**20 bytes.", lambda x: x.process.resident_mb),
    gauge("memory_virtual_mb", "Virtual memory of the process, in 2**20 bytes.", lambda x: x.process.virtual_mb),
    counter(
        "events_processed_total", "Events that handlers were called for, or without handlers events of clients.",
        lambda x: x.report.events.count if x.report.events.by_event else sum(x.sample.inputs.values())
    ),
    # The tick.
    counter("horizon_ticks_total", "Ticks.", lambda x: x.sample.n_ticks),
    counter("horizon_ticks_missed_total", "Ticks that began a period late, or never.", lambda x: x.sample.n_missed),
    gauge("horizon_tick_rate_hertz", "Ticks a second, as they should be.", lambda x: x.sample.tick_rate),
    counter("horizon_stage_seconds_total", "Time in parts of the tick.", lambda x: _seconds(x.sample.stages), "stage"),
    counter(
        "horizon_system_seconds_total", "Time in each system.",
        lambda x: {name: timing.total_ms / 1e3 for name, timing in x.sample.systems.items()}, "system"
    ),
    counter(
        "horizon_system_runs_total", "Runs of each system.",
        lambda x: {name: timing.runs for name, timing in x.sample.systems.items()}, "system"
    ),
    counter(
        "horizon_system_failures_total", "Failures of each system.",
        lambda x: {name: timing.failures for name, timing in x.sample.systems.items()}, "system"
    ),
    gauge(
        "horizon_system_max_seconds", "The longest run of each system.",
        lambda x: {name: timing.max_ms / 1e3 for name, timing in x.sample.systems.items()}, "system"
    ),
    # What there is.
    gauge("horizon_entities", "Entities.", lambda x: x.sample.entities),
    gauge("horizon_kind_entities", "Entities of each kind.", lambda x: x.sample.kinds, "kind"),
    gauge("horizon_observers", "Observers.", lambda x: x.sample.observers),
    gauge("horizon_followed_pairs", "Pairs of an observer and whom it follows.", lambda x: x.sample.followed_pairs),
    gauge(
        "horizon_channel_entities", "Entities that have a layer on each channel.",
        lambda x: x.sample.channel_entities, "channel"
    ),
    gauge(
        "horizon_channel_interval_seconds", "The longest time between two updates on each channel, as it is now.",
        lambda x: x.sample.channel_s, "channel"
    ),
    # What is sent.
    counter("horizon_frames_total", "State frames.", _total("n_frames")),
    counter("horizon_frames_shared_total", "State frames whose bytes another observer is sent too.", _total("shared")),
    counter("horizon_frame_bytes_total", "Bytes of state frames.", _total("bytes")),
    counter("horizon_updates_total", "Updates of entities in frames.", _total("updates")),
    counter("horizon_absolutes_total", "Updates sent whole, not as a difference.", _total("absolutes")),
    counter("horizon_enters_total", "Entities that an observer began to follow.", _total("enters")),
    counter("horizon_leaves_total", "Entities that an observer ceased to follow.", _total("leaves")),
    counter("horizon_not_followed_total", "Entities in reach beyond max_followed.", _total("refused")),
    counter("horizon_values_non_finite_total", "Values that were no numbers.", _total("non_finite")),
    counter("horizon_values_clamped_total", "Values outside what can be sent.", _total("clamped")),
    counter("horizon_messages_total", "Events and texts of entities, by who was told.", _total("messages")),
    counter("horizon_messages_dropped_total", "Those that found no room or nobody.", _total("messages_dropped")),
    counter("horizon_messages_missed_total", "Those missed by who was held.", _total("messages_missed")),
    # What waits.
    counter("horizon_deferred_total", "Updates that had to wait for an observer's budget.", _total("deferred")),
    counter("horizon_not_entered_total", "Entities that had to wait to be entered.", _total("not_entered")),
    counter("horizon_budget_refused_bytes_total", "Bytes that budgets held back.", _total("bytes_refused")),
    gauge("horizon_longest_wait_ticks", "The longest wait for a budget.", lambda x: x.sample.longest_wait_ticks),
    gauge("horizon_backlog_bytes", "Bytes that wait to be sent.", lambda x: _flow(x).backlog_bytes),
    gauge("horizon_backlog_ticks", "The furthest that any client is behind.", lambda x: _flow(x).furthest_behind),
    gauge("horizon_observers_slowed", "Observers whose channels are due more seldom.", lambda x: x.sample.slowed),
    # Who is connected.
    gauge("horizon_connections_limit", "Connections that there may be.", lambda x: _flow(x).limit),
    gauge("horizon_connections_held", "Connections that have to catch up first.", lambda x: _flow(x).held),
    counter("horizon_connections_opened_total", "Connections so far.", lambda x: _flow(x).opened),
    counter("horizon_holds_total", "How often a client was held.", lambda x: _flow(x).holds),
    counter("horizon_resyncs_total", "Reset frames to who had been held.", lambda x: _flow(x).resyncs),
    counter("horizon_rate_changes_total", "Changes of rate for a link's sake.", lambda x: _flow(x).rate_changes),
    counter("horizon_refusals_total", "Connections closed by the server.", _refusals, "code,reason"),
    counter("horizon_inputs_total", "Events of clients, by event.", lambda x: x.sample.inputs, "event"),
    counter("horizon_inputs_dropped_total", "Those that found no room.", lambda x: x.sample.inputs_dropped, "event"),
    # What handlers do.
    counter("horizon_events_total", "Events that handlers were called for.", _of_events("count"), "event"),
    counter("horizon_events_dropped_total", "Events that found no room.", _of_events("dropped"), "event"),
    counter("horizon_event_errors_total", "Handlers that raised, by event.", _of_events("errors"), "event"),
    gauge(
        "horizon_event_latency_seconds", "What the plain handlers of an event take together, of late.",
        lambda x: _seconds({name: line.latency_ms for name, line in x.report.events.by_event.items()}), "event"
    ),
    counter(
        "horizon_plugin_seconds_total", "Time in the handlers of each plugin.",
        lambda x: _seconds({name: line.total_ms for name, line in x.report.plugins.items()}), "plugin"
    ),
    counter(
        "horizon_plugin_failures_total", "Failures of each plugin.",
        lambda x: {name: line.failures for name, line in x.report.plugins.items()}, "plugin"
    ),
    gauge(
        "horizon_plugin_on", "1 where a plugin is at work, 0 where it was switched off or failed to come in.",
        lambda x: {name: float(line.state == "on") for name, line in x.report.plugins.items()}, "plugin"
    ),
    # What it comes to.
    gauge("horizon_system_health", "0 to 1: the least of the scores.", lambda x: x.report.system_health),
    gauge("horizon_health_score", "0 to 1, of what has a threshold.", lambda x: x.report.scores, "of"),
    # The process.
    counter("horizon_cpu_seconds_total", "Processor time of the process.", lambda x: x.process.cpu_s),
    gauge("horizon_memory_limit_mb", "Memory that it may use, in 2**20 bytes.", lambda x: x.process.limit_mb),
)  # fmt: skip
