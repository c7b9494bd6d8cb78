"""Totals: what a replicator's steps did, over a whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from horizon_ecs.frames import ReplicationStats

COUNTED = (
    "n_frames", "updates", "bytes", "enters", "leaves", "absolutes", "refused", "non_finite", "clamped", "shared",
    "messages", "messages_dropped", "messages_missed", "deferred", "not_entered", "bytes_refused"
)  # fmt: skip


class Totals:
    """Sums of `ReplicationStats`.

    Attributes
    ----------
    counts : dict of str to int
        By the names of its fields.
    ms : dict of str to float
        Milliseconds of the step's stages.
    last : ReplicationStats or None
        Of the last step that is over; the replicator's own may be of one that has only begun.
    """

    def __init__(self) -> None:
        self.counts = dict.fromkeys(COUNTED, 0)
        self.ms: dict[str, float] = {}
        self.last: ReplicationStats | None = None

    def add(self, stats: ReplicationStats) -> None:
        """One more step."""
        self.last = stats
        counts, ms = self.counts, self.ms
        for name in COUNTED:
            counts[name] += getattr(stats, name)
        for stage, took in stats.ms.items():
            ms[stage] = ms.get(stage, 0.0) + took

    def clear(self) -> None:
        """Begin again; what the last step found stays."""
        self.counts = dict.fromkeys(COUNTED, 0)
        self.ms = {}
