"""Reports: what a monitor finds, as plain data that prints itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from horizon_ecs.errors import ArgumentError


@dataclass(frozen=True)
class EventLine:
    """One event: how many in all, how many a second, what its plain handlers take together, and the longest call."""

    count: int
    per_s: float
    latency_ms: float
    max_ms: float
    errors: int
    dropped: int


@dataclass(frozen=True)
class EventReport:
    """Events: how many in all, how many a second, and the slowest of those that are critical."""

    count: int = 0
    per_s: float = 0.0
    critical_ms: float = 0.0
    slowest: str = ""
    by_event: dict[str, EventLine] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplicationReport:
    """The tick and what it tells.

    Attributes
    ----------
    lag_ms, frame_ms : float
        How long after it was due a tick's frames were there, of 99 in 100; and how long a tick may take.
    tick_ms, tick_ms_p99 : float
        What ticks took, as a median and of 99 in 100.
    n_missed : int
        Ticks that began a period late or were dropped, in all.
    stages_ms, systems_ms : dict of str to float
        What parts of a tick and systems take on average.
    """

    tick_rate: float = 0.0
    lag_ms: float = 0.0
    frame_ms: float = 0.0
    tick_ms: float = 0.0
    tick_ms_p99: float = 0.0
    n_missed: int = 0
    entities: int = 0
    observers: int = 0
    slowed: int = 0
    followed_pairs: int = 0
    updates_per_s: float = 0.0
    stages_ms: dict[str, float] = field(default_factory=dict)
    systems_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MemoryReport:
    """Memory in units of 2**20 bytes; `use` is the share of `limit_mb` that is resident, 0 where nobody knows it."""

    resident_mb: float = 0.0
    virtual_mb: float = 0.0
    limit_mb: float = 0.0
    use: float = 0.0


@dataclass(frozen=True)
class NetworkReport:
    """What is sent and comes in: bytes of state frames, frames, events and texts told, events of clients."""

    bytes_per_s: float = 0.0
    bytes_per_s_each: float = 0.0
    frames_per_s: float = 0.0
    messages_per_s: float = 0.0
    inputs_per_s: float = 0.0
    inputs_dropped: int = 0
    backlog_bytes: int = 0


@dataclass(frozen=True)
class ConnectionReport:
    """Who is connected: how many of how many, who is held, how far the last is behind, and who was refused for what."""

    active: int = 0
    limit: int = 0
    use: float = 0.0
    held: int = 0
    held_share: float = 0.0
    furthest_behind_ticks: int = 0
    holds: int = 0
    resyncs: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PluginLine:
    """A plugin.

    Attributes
    ----------
    state : str
        "on" where it is at work.
    failures : int
    last_failure : str
    calls, total_ms, ms_per_s, max_ms : int, float, float, float
        Of its handlers: calls and what they took in all and a second, and the longest.
    ms_a_tick : float
        What its handlers and systems take a tick, on average; 0 where only its handlers are known.
    """

    state: str = "on"
    failures: int = 0
    last_failure: str = ""
    calls: int = 0
    total_ms: float = 0.0
    ms_per_s: float = 0.0
    max_ms: float = 0.0
    ms_a_tick: float = 0.0


@dataclass(frozen=True)
class SystemReport:
    """How a server is doing; prints itself.

    Attributes
    ----------
    tick : int
    window_s : float
        Over which rates and averages are taken.
    cpu_cores : float
        How many cores the process kept busy.
    plugins : dict of str to PluginLine
    scores : dict of str to float
        0 to 1, of each thing that has a threshold.
    system_health : float
        0 to 1: the least of the scores; 0 where the server doesn't tick.
    """

    tick: int
    window_s: float
    events: EventReport
    replication: ReplicationReport
    memory: MemoryReport
    network: NetworkReport
    connections: ConnectionReport
    cpu_cores: float
    plugins: dict[str, PluginLine]
    scores: dict[str, float]
    system_health: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> SystemReport:
        """What `to_dict` made a plain thing of, such as `/status`. Raises ArgumentError for anything else."""
        try:
            events = dict(found["events"])
            events["by_event"] = {name: EventLine(**line) for name, line in events["by_event"].items()}
            return cls(
                tick=found["tick"], window_s=found["window_s"], events=EventReport(**events),
                replication=ReplicationReport(**found["replication"]), memory=MemoryReport(**found["memory"]),
                network=NetworkReport(**found["network"]), connections=ConnectionReport(**found["connections"]),
                cpu_cores=found["cpu_cores"], scores=dict(found["scores"]), system_health=found["system_health"],
                plugins={name: PluginLine(**line) for name, line in found["plugins"].items()}
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError) as error:
            raise ArgumentError(f"this is no report of this version: {error!r}") from None

    def __str__(self) -> str:
        told, net, there, memory = self.replication, self.network, self.connections, self.memory
        weak = ", ".join(f"{name} {score:.0%}" for name, score in self.scores.items() if score < 1)
        lines = [
            f"health       {self.system_health:.0%}" + (f" ({weak})" if weak else ""),
            f"tick         {self.tick:,}: {told.tick_ms:.2f} ms, p99 {told.tick_ms_p99:.2f} of {told.frame_ms:.2f} ms; "
            f"lag {told.lag_ms:.2f} ms; {told.n_missed:,} missed",
            f"connections  {there.active:,} of {there.limit:,}, {there.held:,} held, {told.slowed:,} slowed",
            f"world        {told.entities:,} entities, {told.observers:,} observers, {told.followed_pairs:,} pairs",
            f"network      {net.bytes_per_s:,.0f} B/s, {net.frames_per_s:,.0f} frames/s, "
            f"{told.updates_per_s:,.0f} updates/s, {net.inputs_per_s:,.0f} inputs/s, {net.backlog_bytes:,} B waiting",
            f"events       {self.events.per_s:,.0f}/s, {self.events.critical_ms:.3f} ms {self.events.slowest}".rstrip(),
            f"process      {memory.resident_mb:,.0f} MB of {memory.limit_mb:,.0f}, {self.cpu_cores:.2f} cores",
        ]
        for name, one in self.plugins.items():
            last = f", the last in {one.last_failure}" if one.last_failure else ""
            lines.append(
                f"plugin       {name} is {one.state}: {one.ms_per_s:.2f} ms/s, max {one.max_ms:.2f}; "
                f"{one.failures:,} failures{last}"
            )
        return "\n".join(lines)
