"""Rows: what observers follow, in one pool of rows that grow and shrink in steps.

A row of the longest list's length for everybody would take a page of memory for a list of a hundred, and a look at each
would be a walk through the system's page tables. Rows come in sizes a quarter apart; those given back hang in a chain
for each size, the next one's place in the first word.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel

NOBODY = -1


@helper
def size_for(sizes, n):
    """The number of the smallest size that holds `n` entries; the largest where none does."""
    for c in range(len(sizes)):
        if sizes[c] >= n:
            return c
    return len(sizes) - 1


@helper
def give_back(pool, at, size, chain):
    """Hang a row in the chain of its size."""
    pool[at] = np.uint64(np.int64(chain[size]))
    chain[size] = at


@kernel("int64(uint32[::1], int64[::1], uint64[::1], int64[::1], int64[::1], int32[::1], int64[::1], int64[::1])")
def make_room(waiting, needed, pool, start, size, n_followed, sizes, chain):
    """Move the lists of some observers to rows that hold what they need; stop where the pool has no room.

    Parameters
    ----------
    waiting : uint32[n]             in      observers
    needed : int64[n]               in      entries that each one's row must hold
    pool : uint64[m]                in/out
    start, size : int64[observers]  in/out  where each row begins and which size it has, -1 for none
    n_followed : int32[observers]   in      entries that are moved
    sizes : int64[n_sizes]          in      entries a row of each size holds, ascending
    chain : int64[n_sizes + 1]      in/out  first free row of each size, -1 for none; last, where the rest begins

    Returns
    -------
    int64 : for how many there was room.

    Oracle: tests/naive.py::Rows.
    """
    for w in range(len(waiting)):
        o = waiting[w]
        wanted = size_for(sizes, needed[w])
        at = chain[wanted]
        if at != NOBODY:
            chain[wanted] = np.int64(pool[at])
        elif chain[len(sizes)] + sizes[wanted] <= len(pool):
            at = chain[len(sizes)]
            chain[len(sizes)] += sizes[wanted]
        else:
            return w
        for i in range(n_followed[o]):
            pool[at + i] = pool[start[o] + i]
        if size[o] != NOBODY:
            give_back(pool, start[o], size[o], chain)
        start[o], size[o] = at, wanted
    return len(waiting)


@kernel("void(int64[::1], uint64[::1], int64[::1], int64[::1], int32[::1], int64[::1], int64[::1])")
def close_ranks(order, pool, start, size, n_followed, sizes, chain):
    """Move all rows to the pool's beginning, so that what was given back is one piece again.

    Parameters
    ----------
    order : int64[n]   in   observers that have rows, by where these begin
    pool, start, size, n_followed, sizes, chain   as for `make_room`

    Oracle: tests/naive.py::Rows.
    """
    at = 0
    for o in order:
        for i in range(n_followed[o]):
            pool[at + i] = pool[start[o] + i]
        start[o] = at
        at += sizes[size[o]]
    chain[:] = NOBODY
    chain[len(sizes)] = at
