"""Lag: how much more seldom a client should be sent anything, from how late it acknowledges. No I/O.

A queue that fills shows in acknowledgements that come later than they could: later than the least lag of the last
seconds, which is the way there and back (the base delay of LEDBAT, RFC 6817).
"""

from __future__ import annotations

MAX_RATE = 3  # periods double so many times at most
STRAINED, CALM = 0.25, 0.0625  # of the window, beyond the least lag of late
SLOWER_AFTER_S, SLOWER_EVERY_S, FASTER_EVERY_S = 0.5, 1.0, 3.0
LEAST_OF_S = 10.0  # how long a lag is remembered as the least: the rest of it is the way there and back


class Link:
    """How much more seldom a client should be sent anything, from how far its acknowledgements lag behind.

    Parameters
    ----------
    slack : float
        By how much of the window a client may acknowledge late, so as to do so seldom.

    Attributes
    ----------
    rate : int
        Periods double so many times.
    """

    def __init__(self, slack: float = 0.0) -> None:
        self.rate = 0
        self._strained, self._calm = slack + STRAINED, slack + CALM
        self._changed_at = self._calm_since = self._eased_at = self._turned_at = float("-inf")
        self._least = self._least_before = float("inf")

    def note(self, lag: float, now: float) -> bool:
        """Take in a lag, as a share of the window; whether the rate changes."""
        if now - self._turned_at > LEAST_OF_S:
            self._turned_at, self._least_before, self._least = now, self._least, lag
        self._least = min(self._least, lag)
        strain = lag - min(self._least, self._least_before)
        if strain > self._calm:
            self._calm_since = now
        if strain <= self._strained:
            self._eased_at = now
        before = self.rate
        if now - self._eased_at > SLOWER_AFTER_S and now - self._changed_at > SLOWER_EVERY_S:
            self.rate = min(MAX_RATE, self.rate + 1)
        elif now - max(self._calm_since, self._changed_at) > FASTER_EVERY_S:
            self.rate = max(0, self.rate - 1)
        if self.rate != before:
            self._changed_at = now
        return self.rate != before
