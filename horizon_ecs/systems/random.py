"""Random numbers by counter: Philox4x32-10, so that a draw depends on who draws when, and on nothing that ran before.

A counter is (number of the draw, tick, slot, generation) and a key belongs to a world's seed and a system: any number
of threads, in any order, draw the same.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import math

import numpy as np

from horizon_ecs.kernel import helper, kernel

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
_SPARE = np.uint64(11)  # bits of 64 that a float64 has no room for
_STEP = 2.0**-53


@helper
def philox(c0, c1, c2, c3, k0, k1):
    """Four words for a counter of four words and a key of two; each word 32 bits in a uint64.

    Oracle: tests/naive.py::philox, and the vectors published with the authors' library.
    """
    for _ in range(10):
        p0, p1 = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (p1 >> _WORD) ^ c1 ^ k0, p1 & _LOW, (p0 >> _WORD) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@helper
def _block(key, tick, handle, draw):
    """Two words of 64 bits for one draw of one entity in one tick."""
    who = np.uint64(handle)
    a, b, c, d = philox(
        np.uint64(draw) & _LOW, np.uint64(tick) & _LOW, who & _LOW, who >> _WORD, key & _LOW, key >> _WORD
    )
    return (a << _WORD) | b, (c << _WORD) | d


@helper
def uniform(key, tick, handle, draw, low, high):
    """A float64 from `low` to below `high`, on a grid of 2**53 steps. Oracle: tests/naive.py::uniform."""
    first, _ = _block(key, tick, handle, draw)
    start = np.float64(low)
    return start + (np.float64(high) - start) * (np.float64(first >> _SPARE) * _STEP)


@helper
def normal(key, tick, handle, draw):
    """A float64 of mean 0 and standard deviation 1, by Box and Muller's method. Oracle: tests/naive.py::normal."""
    first, second = _block(key, tick, handle, draw)
    radius = math.sqrt(-2.0 * math.log((np.float64(first >> _SPARE) + 1.0) * _STEP))
    return radius * math.cos(2.0 * math.pi * (np.float64(second >> _SPARE) * _STEP))


@helper
def integers(key, tick, handle, draw, low, high):
    """An int64 from `low` to below `high`; `low` where that is empty. No number is preferred by more than 2**-64.

    The high word of a 64-bit draw times the width. Oracle: tests/naive.py::integers.
    """
    first, _ = _block(key, tick, handle, draw)
    start, stop = np.int64(low), np.int64(high)
    width = np.uint64(max(stop - start, np.int64(0)))
    a, b = first >> _WORD, first & _LOW
    c, d = width >> _WORD, width & _LOW
    middle = a * d + ((b * d) >> _WORD)
    carried = (middle & _LOW) + b * c
    return start + np.int64(a * c + (middle >> _WORD) + (carried >> _WORD))


@kernel("void(uint64, int64, int64, uint64[::1], float64[::1], float64[::1], float64[::1])")
def fill_uniform(key, tick, draw, handles, low, high, out):
    """One `uniform` for each handle. Oracle: tests/naive.py::uniform."""
    for i in range(len(handles)):
        out[i] = uniform(key, tick, handles[i], draw, low[i], high[i])


@kernel("void(uint64, int64, int64, uint64[::1], float64[::1])")
def fill_normal(key, tick, draw, handles, out):
    """One `normal` for each handle. Oracle: tests/naive.py::normal."""
    for i in range(len(handles)):
        out[i] = normal(key, tick, handles[i], draw)


@kernel("void(uint64, int64, int64, uint64[::1], int64[::1], int64[::1], int64[::1])")
def fill_integers(key, tick, draw, handles, low, high, out):
    """One `integers` for each handle. Oracle: tests/naive.py::integers."""
    for i in range(len(handles)):
        out[i] = integers(key, tick, handles[i], draw, low[i], high[i])
