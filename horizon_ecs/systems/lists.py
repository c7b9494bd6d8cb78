"""Lists: many short lists of 64-bit values with a mask each, in one pool, each in a block of its own that may grow.

Values of a list are each there once, in the order in which they came.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel


@helper
def _index_of(value, first, n, pool):
    """Where in a list a value stands; -1 for nowhere."""
    for i in range(first, first + n):
        if pool[i] == value:
            return i
    return -1


@kernel(
    "int64(int64, uint32[::1], uint64[::1], uint8[::1], int64[::1], int32[::1], int32[::1], uint64[::1], uint8[::1])"
)
def append(begin, which, value, mask, start, n, room, pool, pool_mask):
    """Put values into lists from pair `begin` on; one that is there already gets the mask's bits in addition.

    Parameters
    ----------
    begin : int64
    which : uint32[m], value : uint64[m], mask : uint8[m]  in   the list of each, what, and its bits
    start : int64[n_lists]; room : int32[n_lists]          in   where each list's block begins, and how many it holds
    n : int32[n_lists]                                     in/out  lengths
    pool : uint64[size]; pool_mask : uint8[size]           in/out

    Returns
    -------
    int64 : the first pair whose list's block is full; m where all are in.

    Oracle: tests/naive.py::Lists.
    """
    for p in range(begin, len(which)):
        a = which[p]
        at = _index_of(value[p], start[a], n[a], pool)
        if at < 0:
            if n[a] == room[a]:
                return p
            at = start[a] + n[a]
            pool[at], pool_mask[at] = value[p], 0
            n[a] += 1
        pool_mask[at] |= mask[p]
    return len(which)


@kernel("void(uint32[::1], uint64[::1], uint8[::1], int64[::1], int32[::1], uint64[::1], uint8[::1])")
def take_out(which, value, mask, start, n, pool, pool_mask):
    """Clear bits of values in lists; one without any bit left is removed, one that isn't there is passed over.

    Parameters as for `append`. Oracle: tests/naive.py::Lists.
    """
    for p in range(len(which)):
        a = which[p]
        at = _index_of(value[p], start[a], n[a], pool)
        if at < 0:
            continue
        pool_mask[at] &= ~mask[p]
        if pool_mask[at] == 0:
            n[a] -= 1
            for i in range(at, start[a] + n[a]):
                pool[i], pool_mask[i] = pool[i + 1], pool_mask[i + 1]


@kernel("void(uint32[::1], uint32[::1], uint32[::1], int64[::1], int32[::1], uint64[::1], uint8[::1])")
def drop_dead(which, generation, born, start, n, pool, pool_mask):
    """Remove from lists of handles those whose entities don't live any more, order kept.

    Parameters
    ----------
    which : uint32[m]                     in      lists, each once
    generation, born : uint32[capacity]   in
    others                                        as for `append`

    Oracle: tests/naive.py::Lists.
    """
    for a in which:
        kept = start[a]
        for i in range(start[a], start[a] + n[a]):
            slot = np.uint32(pool[i] & np.uint64(0xFFFFFFFF))
            if np.uint64(generation[slot]) == pool[i] >> np.uint64(32) and born[slot] != np.uint32(0xFFFFFFFF):
                pool[kept], pool_mask[kept] = pool[i], pool_mask[i]
                kept += 1
        n[a] = kept - start[a]
