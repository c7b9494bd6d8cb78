"""Rows: the memory of what observers follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import reserve
from horizon_ecs.systems import rows as kernels

SMALLEST = 16  # entries: two lines of cache
SLACK = 1.125  # of what is needed, so that a list that grows by one now and then doesn't move each time
IDLE_SHARE = 0.5  # of the memory ever used, that may hang in chains before ranks are closed


class Rows:
    """A pool of rows, one for each observer that follows anybody.

    Parameters
    ----------
    max_observers, max_followed : int

    Attributes
    ----------
    pool : uint64[n]                        all rows (see `systems.interest` for an entry)
    start, size : int64[max_observers]      where each row begins; which of `sizes` it has, -1 for none
    room : int64[max_observers]             entries that each row holds
    n_followed : int32[max_observers]       entries in use
    """

    def __init__(self, max_observers: int, max_followed: int) -> None:
        sizes = [SMALLEST]
        while sizes[-1] < max_followed:
            sizes.append(-(-sizes[-1] * 5 // 32) * 8)
        self.sizes = np.array(sizes, np.int64)
        # Reserved: enough for everybody's longest list at once and one that moves; only what is written costs memory.
        self.pool = reserve(((max_observers + 1) * sizes[-1],), np.uint64)
        self.start = np.zeros(max_observers, np.int64)
        self.size = np.full(max_observers, kernels.NOBODY, np.int64)
        self.room = np.zeros(max_observers, np.int64)
        self.n_followed = np.zeros(max_observers, np.int32)
        self._chain = np.full(len(sizes) + 1, kernels.NOBODY, np.int64)
        self._chain[-1] = 0
        self._in_rows = 0  # entries that all rows hold
        self._max_followed = max_followed

    @property
    def used_bytes(self) -> int:
        """How much of the pool was ever written since ranks were closed."""
        return int(self._chain[-1]) * self.pool.itemsize

    def row(self, observer: int) -> NDArray[np.uint64]:
        """An observer's list, uint64[n], a view until the next step."""
        first = self.start[observer]
        return self.pool[first : first + self.n_followed[observer]]

    def make_room(self, observers: NDArray[np.uint32], needed: NDArray[np.int64]) -> None:
        """Give some observers rows that hold what they need, and a little more."""
        wanted = np.minimum((needed * SLACK).astype(np.int64) + 1, self._max_followed)
        done = 0
        while done < len(observers):
            done += kernels.make_room(
                observers[done:], wanted[done:], self.pool, self.start, self.size, self.n_followed, self.sizes,
                self._chain
            )  # fmt: skip
            if done < len(observers):
                self._close_ranks()
        room = self.sizes[self.size[observers]]
        self._in_rows += int(room.sum() - self.room[observers].sum())
        self.room[observers] = room

    def release(self, observer: int) -> None:
        """Take an observer's row back."""
        if self.size[observer] != kernels.NOBODY:
            size = self.size[observer]
            self.pool.view(np.int64)[self.start[observer]] = self._chain[size]
            self._chain[size] = self.start[observer]
            self._in_rows -= int(self.room[observer])
        self.size[observer], self.room[observer], self.n_followed[observer] = kernels.NOBODY, 0, 0

    def tidy(self) -> None:
        """Close ranks where more than half of the memory is idle."""
        if self._chain[-1] * IDLE_SHARE > max(self._in_rows, 1 << 16):
            self._close_ranks()

    def _close_ranks(self) -> None:
        have = np.flatnonzero(self.size != kernels.NOBODY)
        order = have[np.argsort(self.start[have], kind="stable")]
        kernels.close_ranks(
            order, self.pool, self.start, self.size, self.n_followed, self.sizes, self._chain
        )  # fmt: skip
