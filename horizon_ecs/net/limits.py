"""Limits on what one client may ask for. Time is an argument."""

from __future__ import annotations


class TokenBucket:
    """At most `rate` a second on average, `burst` at once (as in RFC 2697, one bucket).

    Parameters
    ----------
    rate : float
        Tokens a second.
    burst : float
        Tokens that a full bucket holds; it begins full.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Take one token at `now` (seconds, never falling); False where there is none."""
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
