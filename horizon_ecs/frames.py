"""Frames: what one step of replication made, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class ReplicationStats:
    """What one step did: counts, bytes of state frames (payloads), milliseconds by part.

    `non_finite` are values that kept what they were, `clamped` those outside what can be sent: beyond 2**31 times the
    precision, or outside a packed field's declared range.
    `messages` counts events by who was told of them; `messages_missed` by who wasn't because it was held;
    `messages_dropped` those beyond 1,024 in one frame, and those of systems that could be told to nobody or found no
    room.
    Of budgets: `deferred` entities that were due and had to wait, `not_entered` that had to wait to be entered, about
    how many `bytes_refused` the next of them would have taken, and the `longest_wait_ticks` of any.
    """

    tick: int = 0
    n_frames: int = 0
    followed_pairs: int = 0
    updates: int = 0
    bytes: int = 0
    enters: int = 0
    leaves: int = 0
    absolutes: int = 0
    refused: int = 0
    non_finite: int = 0
    clamped: int = 0
    shared: int = 0  # frames whose bytes another observer is sent as well
    messages: int = 0
    messages_dropped: int = 0
    messages_missed: int = 0
    deferred: int = 0
    not_entered: int = 0
    bytes_refused: int = 0
    longest_wait_ticks: int = 0
    ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Frames:
    """The frames of one tick; valid until the second next step, since two buffers take turns.

    Attributes
    ----------
    tick : int
    observers : uint32[n]
    start, payload, stop : int64[n]
        `buffer[start:stop]` is a whole WebSocket message, `buffer[payload:stop]` the state frame in it.
    buffer : memoryview of bytes
    """

    tick: int
    observers: NDArray[np.uint32]
    start: NDArray[np.int64]
    payload: NDArray[np.int64]
    stop: NDArray[np.int64]
    buffer: memoryview

    @property
    def n(self) -> int:
        """How many frames there are."""
        return len(self.observers)
