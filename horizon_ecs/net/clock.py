"""The server's clock as a client reckons it: round trips and arrivals in, ticks out. No I/O; `now` is an argument.

Two readings, both in ticks with fractions. `tick` is what the server is at now: inputs are stamped with it.
`playout` is the tick whose frame has come by now unless it is among the latest few: what is drawn hangs on that,
since it asks nothing of how long the way is. Neither ever falls, and a new estimate is approached by going a little
faster or slower.
"""

from __future__ import annotations

import math
from collections import deque

from horizon_ecs.errors import ArgumentError

FRAMES = 128  # arrivals that are remembered
PONGS = 16  # round trips that are remembered: half a minute at one in two seconds
LATE = 1 / 20  # of the frames may come after their playout
SLEW = 0.05  # a reading runs so much faster or slower to where it should be
MAX_BEHIND_S = 1.0  # a reading further behind jumps: slewing would take longer than anybody watches


class ServerClock:
    """Estimates the server's tick.

    Parameters
    ----------
    tick_rate : float
        Ticks a second, from the welcome.

    Attributes
    ----------
    rtt_s, rtt_deviation_s : float
        Round trip time and its mean deviation, smoothed (RFC 6298, section 2); NaN before the first pong.
    epoch : int
        How often the server's ticks began anew, as a recording's do when it is played from an earlier point.
        Readings fall at no other time.
    """

    def __init__(self, tick_rate: float) -> None:
        if not (isinstance(tick_rate, int | float) and 0 < tick_rate < math.inf):
            raise ArgumentError(f"tick_rate must be a positive number, not {tick_rate!r}")
        self.tick_rate = float(tick_rate)
        self.epoch = -1
        self._restart()
        self.rtt_s = self.rtt_deviation_s = math.nan

    def __repr__(self) -> str:
        ways = f"rtt {self.rtt_s * 1e3:.1f} ms, jitter {self.jitter_s * 1e3:.1f} ms"
        return f"ServerClock({self.tick_rate:g} ticks/s, {ways})"

    def _restart(self) -> None:
        self.epoch += 1
        self._last_tick = -1
        self._arrivals: deque[float] = deque(maxlen=FRAMES)
        self._round_trips: deque[tuple[float, float]] = deque(maxlen=PONGS)
        self._earliest = self._playable = self._middle = -math.inf
        self._tick, self._playout = _Reading(self.tick_rate), _Reading(self.tick_rate)

    def frame(self, tick: int, now: float) -> None:
        """A state frame of `tick` came, or a welcome that names it.

        Parameters
        ----------
        tick : int
        now : float
            Seconds of any clock that never falls.
        """
        if tick < self._last_tick:
            self._restart()
        self._last_tick = tick
        self._advance(now)
        self._arrivals.append(tick - now * self.tick_rate)
        ordered = sorted(self._arrivals)
        self._earliest = ordered[-1]
        self._playable = ordered[int(LATE * len(ordered))]

    def pong(self, sent_at: float, tick: int, now: float) -> None:
        """The server answered a ping of `sent_at` when it was at `tick`."""
        rtt = now - sent_at
        if not 0 <= rtt < math.inf:
            raise ArgumentError(f"a pong at {now} can't answer a ping of {sent_at}")
        self._smooth(rtt)
        self._advance(now)
        # A tick's number holds until the next: on average half of it has passed.
        self._round_trips.append((rtt, tick + 0.5 + (rtt / 2 - now) * self.tick_rate))
        # What took long waited on one of the two ways, nobody knows which (RFC 5905, section 10).
        self._middle = min(self._round_trips)[1]

    def _smooth(self, rtt: float) -> None:
        if math.isnan(self.rtt_s):
            self.rtt_s, self.rtt_deviation_s = rtt, rtt / 2
            return
        self.rtt_deviation_s += (abs(rtt - self.rtt_s) - self.rtt_deviation_s) / 4
        self.rtt_s += (rtt - self.rtt_s) / 8

    def _advance(self, now: float) -> None:
        """Run both readings up to here, before what they aim at changes."""
        self.tick(now)
        self.playout(now)

    @property
    def jitter_s(self) -> float:
        """How much later than the earliest frames all but the latest few come; NaN before the first."""
        return (self._earliest - self._playable) / self.tick_rate if self._arrivals else math.nan

    def tick(self, now: float) -> float:
        """The tick that the server is at; NaN before the first frame. Of a `now` before an earlier one: what that
        gave."""
        # Frames prove that a tick has been, round trips tell how long ago.
        return self._tick.at(now, max(self._middle, self._earliest))

    def playout(self, now: float) -> float:
        """The tick whose frame is here by now, but for one in twenty; NaN before the first frame."""
        return self._playout.at(now, self._playable)


class _Reading:
    """A clock that is led to `now * rate + aim` without ever falling."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._now = self._value = math.nan

    def at(self, now: float, aim: float) -> float:
        if aim == -math.inf:
            return math.nan
        wanted = now * self._rate + aim
        if math.isnan(self._value):
            self._now, self._value = now, wanted
            return wanted
        passed = max(0.0, now - self._now) * self._rate
        self._now = max(now, self._now)
        off = wanted - (self._value + passed)
        behind = MAX_BEHIND_S * self._rate
        if passed > 0 and off > behind:
            self._value = wanted
        elif passed > 0:
            # Far ahead it stands still: what it should show next hasn't come, and it has shown all before.
            slowest = -passed if off < -behind else -SLEW * passed
            self._value += passed + min(max(off, slowest), SLEW * passed)
        return self._value
