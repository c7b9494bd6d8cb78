"""Lists: many lists of handles with channel masks in one pool, growing by blocks, so that kernels walk through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import reserve
from horizon_ecs.errors import CapacityError
from horizon_ecs.systems import lists as kernels

if TYPE_CHECKING:
    from horizon_ecs.world import World

POOL_SIZE = 2**24  # values of all lists together: 150 MB, of which only what is used is ever touched
LEAST_LOG2 = 2


class Lists:
    """Lists by number, from 0 to `n_lists - 1`, all empty at first.

    Attributes
    ----------
    start : int64[n_lists];  n : int32[n_lists];  room : int32[n_lists]
        Where each list's block begins, how long the list is, and how long it may become there.
    pool : uint64[POOL_SIZE];  mask : uint8[POOL_SIZE]
    """

    def __init__(self, n_lists: int) -> None:
        self.start = reserve((n_lists,), np.int64)
        self.n = reserve((n_lists,), np.int32)
        self.room = reserve((n_lists,), np.int32)
        self.pool = reserve((POOL_SIZE,), np.uint64)
        self.mask = reserve((POOL_SIZE,), np.uint8)
        self._free: dict[int, list[int]] = {}
        self._end = 0

    def of(self, number: int) -> NDArray[np.uint64]:
        """One list's values, a view."""
        return self.pool[self.start[number] : self.start[number] + self.n[number]]

    def masks_of(self, number: int) -> NDArray[np.uint8]:
        """One list's masks, a view."""
        return self.mask[self.start[number] : self.start[number] + self.n[number]]

    def append(self, which: NDArray[np.uint32], values: NDArray[np.uint64], masks: NDArray[np.uint8],
               world: World | None) -> None:  # fmt: skip
        """Put values into lists, each once; those there already get more bits.

        Where there is a world values are handles, and those of the dead make room first.

        Raises
        ------
        CapacityError
            The pool has no room. Nothing was done.
        """
        touched, more = np.unique(which, return_counts=True)
        longer = touched[self.n[touched] + more > self.room[touched]]
        if self._end + 2 * int((self.n[longer] + more.max(initial=0) + (1 << LEAST_LOG2)).sum()) > POOL_SIZE:
            raise CapacityError(f"subscriptions, owners and groups together would have more than {POOL_SIZE} entries")
        if world is not None and len(longer):
            kernels.drop_dead(
                longer.astype(np.uint32), world.generation, world.born, self.start, self.n, self.pool, self.mask
            )
        done, own = 0, values.copy()  # a user's array may be one that must not be written to, which is another type
        while True:
            done = kernels.append(done, which, own, masks, self.start, self.n, self.room, self.pool, self.mask)
            if done == len(which):
                return
            self._move(int(which[done]), int(self.n[which[done]]) + 1)

    def take_out(self, which: NDArray[np.uint32], values: NDArray[np.uint64], masks: NDArray[np.uint8]) -> None:
        """Clear bits of values in lists; without any bit left they are removed."""
        kernels.take_out(which, values.copy(), masks, self.start, self.n, self.pool, self.mask)

    def replace(self, numbers: NDArray[np.int64], offsets: NDArray[np.int64], values: NDArray[np.uint64]) -> None:
        """Let lists have just these values: list `numbers[i]` has `values[offsets[i]:offsets[i + 1]]`."""
        for number, first, stop in zip(numbers.tolist(), offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            if stop - first > self.room[number]:
                self._move(number, stop - first)
            at = self.start[number]
            self.pool[at : at + stop - first], self.mask[at : at + stop - first] = values[first:stop], 255
            self.n[number] = stop - first

    def clear(self, number: int) -> None:
        """Empty a list, and give its block back."""
        if self.room[number]:
            self._free.setdefault(int(self.room[number]), []).append(int(self.start[number]))
        self.start[number] = self.n[number] = self.room[number] = 0

    def _move(self, number: int, least: int) -> None:
        """Give a list a block with room for `least` values. Raises CapacityError."""
        size = 1 << max(LEAST_LOG2, (least - 1).bit_length())
        free = self._free.get(size)
        if not free and self._end + size > POOL_SIZE:
            raise CapacityError(f"subscriptions, owners and groups together have more than {POOL_SIZE} entries")
        at = free.pop() if free else self._end
        self._end += 0 if at != self._end else size
        values, masks = self.of(number).copy(), self.masks_of(number).copy()
        n = len(values)
        self.clear(number)
        self.pool[at : at + n], self.mask[at : at + n] = values, masks
        self.start[number], self.n[number], self.room[number] = at, n, size

    def used(self) -> NDArray[np.uint64]:
        """The part of the pool that blocks lie in, a view."""
        return self.pool[: self._end]
