"""Quantise: whole columns to signed 32-bit integers, one row of the history a track and tick."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel

PAGE = 1024
WORD_BITS = 32

HELD, CLAMPED = 0, 1  # what is counted

_WORD, _HALF = (1 << WORD_BITS) - 1, 1 << (WORD_BITS - 1)

# A float64 holds these exactly; beyond them a coordinate saturates instead of wrapping to the other end of the world.
_LOWEST = -2147483648.0
_HIGHEST = 2147483647.0


@helper
def _quantise_page(column, inverse, born, tick, previous, out, counts):
    """One page. A value that is not finite keeps what it was, or is 0 if its entity never had another: what the slot
    held before was somebody else's."""
    held, clamped = 0, 0
    for i in range(PAGE):
        scaled = np.rint(np.float64(column[i]) * inverse)
        finite = scaled - scaled == 0.0
        kept = np.float64(previous[i]) if born[i] < tick else 0.0
        bounded = min(max(scaled, _LOWEST), _HIGHEST) if finite else kept
        out[i] = np.int32(bounded)
        alive = born[i] <= tick
        held += alive & (not finite)
        clamped += alive & finite & (bounded != scaled)
    counts[HELD] += held
    counts[CLAMPED] += clamped


@kernel(
    "void(float32[::1], uint32[::1], float64, uint32[::1], uint32, int32[::1], int32[::1], int64[::1])",
    "void(float64[::1], uint32[::1], float64, uint32[::1], uint32, int32[::1], int32[::1], int64[::1])",
)
def quantise_float(column, pages, inverse, born, tick, previous, out, counts):
    """Round `column / precision` to the nearest integer, ties to even, saturated to int32.

    Parameters
    ----------
    column : float32 or float64[capacity]   in   by slot
    pages : uint32[n]                       in   pages to work on; rows of other pages stay as they are
    inverse : float64                       in   1 / precision
    born : uint32[capacity]                 in   the first tick of what lives in a slot, the highest number if nothing
    tick : uint32                           in
    previous : int32[capacity]              in   the row of the tick before: kept where a value is not finite
    out : int32[capacity]                   out
    counts : int64[2]                       in/out  HELD: living values not finite; CLAMPED: saturated ones

    Cost: O(1024 n), allocates nothing. Oracle: tests/naive.py::quantise_float.
    """
    for page in pages:
        first = np.int64(page) * PAGE
        last = first + PAGE
        _quantise_page(
            column[first:last], inverse, born[first:last], tick, previous[first:last], out[first:last], counts
        )


@helper
def _turn_page(column, inverse, bits, born, tick, previous, out):
    """One page of angles; returns how many living ones are not finite."""
    held = 0
    part, whole = 2.0**-bits, 2.0**bits
    mask, half = (1 << bits) - 1, 1 << (bits - 1)
    for i in range(PAGE):
        scaled = np.rint(np.float64(column[i]) * inverse)
        finite = scaled - scaled == 0.0
        before = np.int64(previous[i]) if born[i] < tick else np.int64(0)
        # Exact: a step's place within its turn, of however many turns.
        within = np.int64(scaled - np.floor(scaled * part) * whole) if finite else before
        on = before + ((within - before + half) & mask) - half
        out[i] = np.int32(((on + _HALF) & _WORD) - _HALF)
        held += (born[i] <= tick) & (not finite)
    return held


@kernel(
    "void(float32[::1], uint32[::1], float64, int64, uint32[::1], uint32, int32[::1], int32[::1], int64[::1])",
    "void(float64[::1], uint32[::1], float64, int64, uint32[::1], uint32, int32[::1], int32[::1], int64[::1])",
)
def quantise_angle(column, pages, inverse, bits, born, tick, previous, out, counts):
    """Round angles to the nearest of 2**bits steps a turn, and count turns on from the tick before, modulo 2**32: of
    the integers that stand for the same direction the one nearest to the last.

    Parameters
    ----------
    column, pages, born, tick, previous, out, counts   as for `quantise_float`; nothing is clamped
    inverse : float64                                  in   steps a radian
    bits : int64                                       in   2 to 30

    Cost: O(1024 n), allocates nothing. Oracle: tests/naive.py::quantise_angle.
    """
    for page in pages:
        first = np.int64(page) * PAGE
        last = first + PAGE
        counts[HELD] += _turn_page(
            column[first:last], inverse, bits, born[first:last], tick, previous[first:last], out[first:last]
        )


@helper
def _find_largest(x, y, z, w, inverse, born, tick, before, out, factor):
    """Which component of one page's quaternions is the largest, and what rounds the others: steps by its sign and their
    length, NaN where they are not finite. Returns how many such there are. Selects instead of branches: which one it is
    is anybody's guess."""
    held = 0
    for i in range(PAGE):
        a, b, c, d = np.float64(x[i]), np.float64(y[i]), np.float64(z[i]), np.float64(w[i])
        square = a * a + b * b + c * c + d * d
        finite = square - square == 0.0
        most, number = abs(d), 0
        largest = d
        number, largest = (1, a) if abs(a) > most else (number, largest)
        most = max(most, abs(a))
        number, largest = (2, b) if abs(b) > most else (number, largest)
        most = max(most, abs(b))
        number, largest = (3, c) if abs(c) > most else (number, largest)
        length = np.sqrt(square if square > 0.0 else 1.0)
        steps = inverse / length
        factor[i] = np.nan if not finite else (-steps if largest < 0.0 else steps)
        kept = before[i] if born[i] < tick else np.int32(0)
        out[i] = np.int32(number) if finite else kept
        held += (born[i] <= tick) & (not finite)
    return held


@helper
def _round_component(number, component, w, left_out, factor, born, tick, before, out):
    """One component of one page, or w in its place where it is left out."""
    for i in range(PAGE):
        scaled = np.rint(np.float64(w[i] if left_out[i] == number else component[i]) * factor[i])
        kept = np.float64(before[i]) if born[i] < tick else 0.0
        out[i] = np.int32(scaled if scaled - scaled == 0.0 else kept)


@kernel(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], uint32[::1], float64, uint32[::1], uint32, "
    "int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], float64[::1], "
    "int64[::1])"
)
def quantise_rotation(
    x, y, z, w, pages, inverse, born, tick, before_0, before_1, before_2, before_3, out_0, out_1, out_2, out_3, factor,
    counts
):  # fmt: skip
    """Quaternions, normalised, as three rounded components and the number of the largest, which is left out.

    `out_0`, `out_1`, `out_2` hold x, y and z, but w in the place of what is left out, so that hardly anything jumps
    when another becomes the largest; `out_3` is 0 where that is w, 1 x, 2 y, 3 z. Its sign is made positive. One
    without length is the identity; one that is not finite stays what it was.

    Keeping what is left out for as long as it is at least a half was measured, and is no shorter: it changes as often,
    and the others move faster. Keeping its sign is shorter only for bodies that tumble fast.

    Parameters
    ----------
    x, y, z, w : float32[capacity]             in   by slot
    pages, born, tick, counts                       as for `quantise_float`; nothing is clamped
    inverse : float64                          in   1 / precision
    before_0 … before_3, out_0 … out_3 : int32[capacity]   rows of the tick before, and of this
    factor : float64[1024]                     scratch

    Cost: O(1024 n), allocates nothing. Oracle: tests/naive.py::quantise_rotation.
    Source: smallest three (Fiedler 2015, "Snapshot Compression").
    """
    for page in pages:
        first = np.int64(page) * PAGE
        last = first + PAGE
        young, which, page_w = born[first:last], out_3[first:last], w[first:last]
        counts[HELD] += _find_largest(
            x[first:last],
            y[first:last],
            z[first:last],
            page_w,
            inverse,
            young,
            tick,
            before_3[first:last],
            which,
            factor,
        )
        _round_component(1, x[first:last], page_w, which, factor, young, tick, before_0[first:last], out_0[first:last])
        _round_component(2, y[first:last], page_w, which, factor, young, tick, before_1[first:last], out_1[first:last])
        _round_component(3, z[first:last], page_w, which, factor, young, tick, before_2[first:last], out_2[first:last])


@kernel(
    *(
        f"void({dtype}[::1], uint32[::1], {dtype}, {dtype}, int64, uint32[::1], uint32, boolean, int32[::1], "
        "int64[::1])"
        for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    )
)
def pack_part(column, pages, low, high, offset, born, tick, begin, out, counts):
    """Put the numbers of a small range side by side with others into 32 bits.

    Parameters
    ----------
    column : integers[capacity]             in      by slot
    pages, born, tick                       in      as for `quantise_float`
    low, high : of the column's type        in      what lies outside is clamped
    offset : int64                          in      of the lowest bit
    begin : bool                            in      whether this is the word's first part
    out : int32[capacity]                   in/out
    counts : int64[2]                       in/out  CLAMPED: living values that were outside

    Cost: O(1024 n), allocates nothing. Oracle: tests/naive.py::pack.
    """
    for page in pages:
        first = np.int64(page) * PAGE
        clamped = 0
        for i in range(first, first + PAGE):
            value = column[i]
            bounded = min(max(value, low), high)
            bits = np.uint32((np.uint64(bounded) - np.uint64(low)) << np.uint64(offset) & np.uint64(_WORD))
            out[i] = np.int32(bits) if begin else np.int32(np.uint32(out[i]) | bits)
            clamped += (born[i] <= tick) & (value != bounded)
        counts[CLAMPED] += clamped


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
