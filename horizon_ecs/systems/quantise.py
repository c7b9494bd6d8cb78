"""Quantise: whole columns to signed 32-bit integers, one row of the history a track and tick."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel

PAGE = 1024

# A float64 holds these exactly; beyond them a coordinate saturates instead of wrapping to the other end of the world.
_LOWEST = -2147483648.0
_HIGHEST = 2147483647.0


@helper
def _quantise_page(column, inverse, previous, out):
    """One page; a value that is not finite keeps what it was. Returns how many such there are."""
    held = 0
    for i in range(PAGE):
        scaled = np.rint(np.float64(column[i]) * inverse)
        finite = scaled - scaled == 0.0
        bounded = min(max(scaled, _LOWEST), _HIGHEST) if finite else np.float64(previous[i])
        out[i] = np.int32(bounded)
        held += not finite
    return held


@kernel(
    "int64(float32[::1], uint32[::1], float64, int32[::1], int32[::1])",
    "int64(float64[::1], uint32[::1], float64, int32[::1], int32[::1])",
)
def quantise_float(column, pages, inverse, previous, out):
    """Round `column / precision` to the nearest integer, ties to even, saturated to int32.

    Parameters
    ----------
    column : float32 or float64[capacity]   in   by slot
    pages : uint32[n]                       in   pages to work on; rows of other pages stay as they are
    inverse : float64                       in   1 / precision
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
        held += _quantise_page(
            column[first : first + PAGE], inverse, previous[first : first + PAGE], out[first : first + PAGE]
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
