"""Adaptation: observers' channels are due more seldom while a server is late or a client slow, and then as before.

Rising load is answered within a second, and taken back twenty times more slowly, a few observers at a time: a server
whose observers were all quickened at once would be late again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.schema import N_RATES

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator

CHECK_S = 0.25  # how often a server's load is looked at
HIGH, LOW = 0.9, 0.6  # shares of a tick's time above which observers are slowed down, and below which quickened
RISE, FALL = 0.25, 0.0125  # of all observers by one rate, at each look
_GOLDEN = 0.6180339887498949  # its multiples lie evenly within 1, however many


class Load:
    """How much a server must be relieved, from how long its ticks take.

    Parameters
    ----------
    tick_rate : float
        Hz.

    Attributes
    ----------
    level : float
        By how many rates observers are slowed down; the fraction is the share of them that is by one more.
    """

    def __init__(self, tick_rate: float) -> None:
        self.level = 0.0
        self._shares: list[float] = []
        self._n_a_look = max(1, round(CHECK_S * tick_rate))

    def note(self, share: float) -> bool:
        """Take in how much of its time a tick took; whether the level changes."""
        self._shares.append(share)
        if len(self._shares) < self._n_a_look:
            return False
        usual, before = float(np.median(self._shares)), self.level
        self._shares.clear()
        if usual > HIGH:
            self.level = min(N_RATES - 1.0, self.level + RISE)
        elif usual < LOW:
            self.level = max(0.0, self.level - FALL)
        return self.level != before

    def rates(self, n: int) -> NDArray[np.uint8]:
        """uint8[n]: each observer's rate; those that are slowed down first are spread evenly."""
        whole = int(self.level)
        more = np.arange(n) * _GOLDEN % 1.0 < self.level - whole
        return (whole + more).astype(np.uint8)


class Adaptation:
    """Sets the rates of a replicator's observers: the slower of what the server's load and each one's own link ask for.

    Parameters
    ----------
    replicator : Replicator
        What its `set_slowdown` says is the least that an observer is slowed down.
    """

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator
        self.load = Load(replicator.world.tick_rate)
        self._of_link = np.zeros(replicator.max_observers, np.uint8)

    def note_tick(self, seconds: float) -> None:
        """A tick took so long."""
        if self.load.note(seconds * self._replicator.world.tick_rate):
            self._apply()

    def set_link(self, observer: int, rate: int) -> None:
        """How many times one observer's periods are to be doubled for its link's sake: 0 to 3."""
        if self._of_link[observer] != rate:
            self._of_link[observer] = rate
            self._apply()

    def _apply(self) -> None:
        self._replicator.adapt_rates(np.maximum(self._of_link, self.load.rates(len(self._of_link))))
