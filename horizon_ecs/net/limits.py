"""Limits on what clients may ask for. Time is an argument."""

from __future__ import annotations

import math
from array import array

from horizon_ecs.config import ServerConfig

FRAMES_A_MESSAGE = 10  # allowed for each message that is one
REQUESTS_AT_ONCE_S = 10.0


class Buckets:
    """Token buckets of many clients in two arrays, one row each: at most `rate` a second on average, `burst` at once
    (as in RFC 2697, one bucket).

    Parameters
    ----------
    rate : float
        Tokens a second; infinite for no limit.
    burst : float
        Tokens that a full bucket holds; all begin full.

    Attributes
    ----------
    tokens : float64[n], as of `at` float64[n] in seconds
        By row; rows are reused, and there are never more than were in use at a time.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.at = array("d"), array("d")
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.tokens) - len(self._free)

    def limit(self, rate: float, burst: float) -> None:
        """Hold everybody to another rate from now on."""
        self.rate, self.burst = rate, burst

    def enter(self, now: float) -> int:
        """A row for one more client, with a full bucket."""
        if not self._free:
            self._free.append(len(self.tokens))
            self.tokens.append(0.0)
            self.at.append(0.0)
        row = self._free.pop()
        self.tokens[row], self.at[row] = self.burst, now
        return row

    def leave(self, row: int) -> None:
        """Let a row be somebody else's."""
        self._free.append(row)

    def take(self, row: int, n: int, now: float) -> bool:
        """Take n tokens at `now` (seconds, never falling); False, and none taken, where there are fewer."""
        if self.rate == math.inf:
            return True
        left = min(self.burst, self.tokens[row] + max(0.0, now - self.at[row]) * self.rate)
        taken = left >= n
        self.tokens[row], self.at[row] = left - n if taken else left, now
        return taken


class Limits:
    """How much clients may send, by `ServerConfig`.

    Attributes
    ----------
    frames : Buckets
        Every frame of a connection, also those that are no message.
    messages : Buckets
        Messages of any sort.
    requests : Buckets
        Records of events.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.frames, self.messages, self.requests = (Buckets(math.inf, math.inf) for _ in range(3))
        self.configure(config)

    def configure(self, config: ServerConfig) -> None:
        """Hold everybody to other rates from now on."""
        messages, requests = config.max_messages_per_s, config.max_requests_per_minute / 60.0
        if not config.enable_rate_limiting:
            messages = requests = math.inf
        self.frames.limit(FRAMES_A_MESSAGE * messages, 2 * FRAMES_A_MESSAGE * messages)
        self.messages.limit(messages, 2 * messages)
        self.requests.limit(requests, max(1.0, REQUESTS_AT_ONCE_S * requests))
