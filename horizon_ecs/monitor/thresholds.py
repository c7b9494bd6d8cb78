"""Thresholds: from when on something is an alert, and how healthy it is before that."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from horizon_ecs.errors import ArgumentError

if TYPE_CHECKING:
    from horizon_ecs.monitor.report import SystemReport


@dataclass(frozen=True)
class Thresholds:
    """What each may not reach.

    Attributes
    ----------
    event_latency_ms : float
        What the plain handlers of a critical event take together, on average.
    critical : tuple of str
        Which events are critical, as patterns of their names: `("client:movement.*", "core:*")`. By default all.
    memory : float
        Share of the memory that the process may use.
    connections : float
        Share of the connections that there may be.
    replication_lag_ms : float or None
        How long after it was due a tick's frames are there, of 99 in 100. None: one tick's time (16.7 ms at 60 Hz).
    held : float
        Share of the connections that get nothing until they have caught up.

    Raises
    ------
    ArgumentError

    Source: Horizon guide, "Performance Thresholds"; `held` is ours.
    """

    event_latency_ms: float = 1.0
    critical: tuple[str, ...] = ("*",)
    memory: float = 0.8
    connections: float = 0.9
    replication_lag_ms: float | None = None
    held: float = 0.1

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "critical" or (each.name == "replication_lag_ms" and value is None):
                continue
            sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not sound or value <= 0:
                raise ArgumentError(f"{each.name} must be a number above 0, not {value!r}")
        if isinstance(self.critical, str) or not all(isinstance(pattern, str) for pattern in self.critical):
            raise ArgumentError(f"critical must be patterns of events, such as ('core:*',), not {self.critical!r}")

    def is_critical(self, event: str) -> bool:
        """Whether an event's latency counts."""
        return any(fnmatchcase(event, pattern) for pattern in self.critical)


@dataclass(frozen=True)
class Alert:
    """Something has reached its threshold; `str` of it is a sentence.

    Attributes
    ----------
    name : str
        "event_latency", "memory", "connections", "replication_lag" or "held".
    value, limit : float
    text : str
    """

    name: str
    value: float
    limit: float
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Measure:
    """What stands against a threshold."""

    name: str
    value: float
    limit: float
    text: str

    @property
    def score(self) -> float:
        """1 up to half of the limit, then falling evenly: a half at the limit, 0 at one and a half of it."""
        return min(1.0, max(0.0, 1.5 - self.value / self.limit))


def measures(report: SystemReport, thresholds: Thresholds) -> list[Measure]:
    """What a report says of everything that has a threshold."""
    events, told, memory, there = report.events, report.replication, report.memory, report.connections
    lag_limit = thresholds.replication_lag_ms or told.frame_ms or math.inf
    latency = f"event {events.slowest} takes {events.critical_ms:.3f} ms, not less than {thresholds.event_latency_ms:g}"
    return [
        Measure("event_latency", events.critical_ms, thresholds.event_latency_ms, latency),
        Measure(
            "memory", memory.use, thresholds.memory,
            f"memory: {memory.resident_mb:,.0f} of {memory.limit_mb:,.0f} MB are in use ({memory.use:.0%})"
        ),
        Measure(
            "connections", there.use, thresholds.connections,
            f"connections: {there.active:,} of {there.limit:,} ({there.use:.0%})"
        ),
        Measure(
            "replication_lag", told.lag_ms, lag_limit,
            f"replication lags by {told.lag_ms:.1f} ms, not less than {lag_limit:.1f}"
        ),
        Measure(
            "held", there.held_share, thresholds.held,
            f"{there.held:,} of {there.active:,} connections have to catch up ({there.held_share:.0%})"
        ),
    ]  # fmt: skip
