"""Samples: what a server, or a replicator without one, has counted so far, as plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from horizon_ecs import serving
from horizon_ecs.stats import Timing, by_name

if TYPE_CHECKING:
    from horizon_ecs.monitor.totals import Totals
    from horizon_ecs.replication import Replicator
    from horizon_ecs.world import World


@dataclass(frozen=True)
class Flow:
    """Who is connected to a server, and how they keep up.

    Attributes
    ----------
    active, limit : int
        Connections, and how many there may be.
    opened : int
        Connections so far.
    held : int
        Who gets nothing until it has caught up.
    behind_ticks : list of int
        For each: between the oldest frame that it hasn't acknowledged and the newest.
    backlog_bytes : int
        What waits in this process to be sent.
    holds, resyncs, rate_changes : int
        How often somebody was held, made whole by a reset frame, and slowed down or quickened for its link's sake.
    refusals : dict of str to int
        By what was said: a close code, or what stands before a colon and a reason.
    """

    active: int = 0
    limit: int = 0
    opened: int = 0
    held: int = 0
    behind_ticks: list[int] = field(default_factory=list)
    backlog_bytes: int = 0
    holds: int = 0
    resyncs: int = 0
    rate_changes: int = 0
    refusals: dict[str, int] = field(default_factory=dict)

    @property
    def furthest_behind(self) -> int:
        """Ticks, of whoever is furthest behind."""
        return max(self.behind_ticks, default=0)


@dataclass(frozen=True)
class Sample:
    """What there is, and what was counted since the run began.

    Attributes
    ----------
    tick, tick_rate : int, float
    n_ticks, n_missed : int
    tick_ms, late_ms : list of float
        Of the last seconds: how long each tick took, and how long after it was due it ended.
    entities : int
    kinds : dict of str to int
        Entities of each very kind.
    observers, slowed, followed_pairs, longest_wait_ticks : int
    totals : dict of str to int
        As `Totals.counts`.
    stages : dict of str to float
        Milliseconds in all: "world", and the stages of replication.
    systems : dict of str to Timing
    channel_entities : dict of int to int
        Entities that have a layer on each channel.
    channel_s : dict of int to float
        The longest time between two updates on each channel in use, as slowed down as observers are now.
    inputs, inputs_dropped : dict of str to int
        Of each event that clients send.
    flow : Flow or None
        None without a server.
    unwell : str
        Why the server should be started again; "" where it isn't so.
    """

    tick: int = 0
    tick_rate: float = 0.0
    n_ticks: int = 0
    n_missed: int = 0
    tick_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    entities: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    observers: int = 0
    slowed: int = 0
    followed_pairs: int = 0
    longest_wait_ticks: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    systems: dict[str, Timing] = field(default_factory=dict)
    channel_entities: dict[int, int] = field(default_factory=dict)
    channel_s: dict[int, float] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    inputs_dropped: dict[str, int] = field(default_factory=dict)
    flow: Flow | None = None
    unwell: str = ""


def sample(replicator: Replicator, totals: Totals, ticks: tuple[int, int, list[float], list[float]]) -> Sample:
    """A sample of a replicator and its world; from any thread, while they may be in the middle of a tick.

    Parameters
    ----------
    replicator : Replicator
    totals : Totals
        Of its steps.
    ticks : (n_ticks, n_missed, tick_ms, late_ms)
    """
    world, last = replicator.world, totals.last
    kinds = {kind.name: int(world.page_live[world.page_kind == i].sum()) for i, kind in enumerate(world.kinds)}
    channels: Counter[int] = Counter()
    for kind in world.kinds:
        channels.update({layer.channel: kinds[kind.name] for layer in kind.layers})
    return Sample(
        tick=world.tick_count, tick_rate=world.tick_rate, n_ticks=ticks[0], n_missed=ticks[1], tick_ms=ticks[2],
        late_ms=ticks[3], entities=len(world),
        kinds=kinds, channel_entities=dict(channels), observers=replicator.n_observers,
        slowed=replicator.n_slowed, followed_pairs=last.followed_pairs if last else 0,
        longest_wait_ticks=last.longest_wait_ticks if last else 0,
        totals=dict(totals.counts), stages={"world": world.schedule.timing.total_ms, **totals.ms},
        systems=system_times(world), channel_s=channel_intervals(replicator)
    )  # fmt: skip


def system_times(world: World) -> dict[str, Timing]:
    """Of each system by its name; none at the moment at which another thread adds or removes one."""
    try:
        return {name: timing for name, (_, timing) in by_name(world.schedule.timings()).items()}
    except KeyError:
        return {}


def channel_intervals(replicator: Replicator) -> dict[int, float]:
    """Seconds between two updates at most, by channel."""
    periods = serving.longest_periods(replicator).tolist()
    return {channel: n / replicator.world.tick_rate for channel, n in enumerate(periods) if n}
