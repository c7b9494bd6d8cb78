"""Quantise: whole columns to signed 32-bit integers, one row of the history a track and tick."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel

PAGE = 1024

# A float64 holds these exactly; beyond them a coordinate saturates instead of wrapping to the other end of the world.
_LOWEST = -2147483648.0
_HIGHEST = 2147483647.0


@helper
def _quantise_page(column, inverse, born, tick, previous, out):
    """One page. A value that is not finite keeps what it was, or is 0 if its entity never had another: what the slot
    held before was somebody else's. Returns how many such there are."""
    held = 0
    for i in range(PAGE):
        scaled = np.rint(np.float64(column[i]) * inverse)
        finite = scaled - scaled == 0.0
        kept = np.float64(previous[i]) if born[i] < tick else 0.0
        bounded = min(max(scaled, _LOWEST), _HIGHEST) if finite else kept
        out[i] = np.int32(bounded)
        held += not finite
    return held


@kernel(
    "int64(float32[::1], uint32[::1], float64, uint32[::1], uint32, int32[::1], int32[::1])",
    "int64(float64[::1], uint32[::1], float64, uint32[::1], uint32, int32[::1], int32[::1])",
)
def quantise_float(column, pages, inverse, born, tick, previous, out):
    """Round `column / precision` to the nearest integer, ties to even, saturated to int32.

    Parameters
    ----------
    column : float32 or float64[capacity]   in   by slot
    pages : uint32[n]                       in   pages to work on; rows of other pages stay as they are
    inverse : float64                       in   1 / precision
    born : uint32[capacity]                 in   the first tick of what lives in a slot
    tick : uint32                           in
    previous : int32[capacity]              in   the row of the tick before: kept where a value is not finite
    out : int32[capacity]                   out

    Returns
    -------
    int64 : how many values (dead rows included) were not finite.

    Cost: O(1024 n), allocates nothing. Oracle: tests/naive.py::quantise_float.
    """
    held = 0
    for page in pages:
        first = np.int64(page) * PAGE
        last = first + PAGE
        held += _quantise_page(
            column[first:last], inverse, born[first:last], tick, previous[first:last], out[first:last]
        )
    return held


@kernel(
    *(
        f"void({dtype}[::1], uint32[::1], int32[::1])"
        for dtype in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "boolean")
    )
)
def quantise_integer(column, pages, out):
    """Widen integers of up to 32 bits to int32, bit for bit (uint32 wraps).

    Oracle: tests/naive.py::quantise_integer.
    """
    for page in pages:
        first = np.int64(page) * PAGE
        for i in range(first, first + PAGE):
            out[i] = np.int32(column[i])


@kernel("void(uint32[::1], uint32[::1], uint32, int32[::1], int32[::1], uint32[::1])")
def stamp_changes(pages, born, tick, previous, now, out_changed):
    """Note `tick` for every value that is another than in the tick before: for those that are sent so seldom that no
    history reaches back to what an observer has. A value that its entity was born with has never changed.

    Parameters
    ----------
    pages : uint32[n]                  in
    born : uint32[capacity]            in      the first tick of what lives in a slot
    tick : uint32                      in
    previous, now : int32[capacity]    in      rows of the history
    out_changed : uint32[capacity]     in/out  0 where there was no change

    Oracle: tests/naive.py::stamp_changes.
    """
    for page in pages:
        first = np.int64(page) * PAGE
        for i in range(first, first + PAGE):
            if born[i] >= tick:
                out_changed[i] = 0
            elif now[i] != previous[i]:
                out_changed[i] = tick
