"""Bit streams: codes written to whole 64-bit words and read back with every bound checked.

What is to be written is first listed as tokens: uint64 with the code in the lowest 55 bits and its length in the next
6; the topmost three are ignored. The reader's state is `int64[3]`: position in bits, end in bits, error (0 = none).
Least significant bit first; the codes are those of docs/wire.md. Sources: Elias 1975 (gamma), Rice and Plaunt 1971.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import bit_length, helper, inlined

POSITION, END, ERROR = 0, 1, 2  # fields of the reader's state

CODE_BITS = 55
CODE_MASK = np.uint64((1 << CODE_BITS) - 1)
LENGTH_SHIFT = np.uint64(CODE_BITS)
LENGTH_MASK = np.uint64(63)

# A quotient that takes more ones than this goes on with a parameter that is larger by COARSER; what takes more there is
# sent raw. It bounds a code to 48 bits, and a decoder's work to 16 steps a value.
MAX_ONES = 7
COARSER = 4

_1 = np.uint64(1)
_63, _64 = np.uint64(63), np.uint64(64)
_STEP = np.uint64(MAX_ONES + 1)
_COARSER = np.uint64(COARSER)
_ESCAPE_BITS = np.uint64(2 * (MAX_ONES + 1))
_ESCAPE = np.uint64((1 << (2 * (MAX_ONES + 1))) - 1)


@inlined
def index_bits(count):
    """How many bits any number below `count` needs."""
    if count <= 1:
        return np.uint64(0)
    return bit_length(np.uint64(count) - _1)


@inlined
def zigzag(value):
    """Fold the sign into the lowest bit: 0, -1, 1, -2 … become 0, 1, 2, 3 … (uint32)."""
    v = np.int32(value)
    return np.uint32((np.uint32(v) << np.uint32(1)) ^ np.uint32(v >> np.int32(31)))


@inlined
def unzigzag(value):
    """The int32 that `zigzag` folded."""
    v = np.uint32(value)
    return np.int32((v >> np.uint32(1)) ^ np.uint32(-np.int64(v & np.uint32(1))))


@inlined
def token(value, n):
    """The `n` (0–55) lowest bits of `value`, all bits above which must be 0."""
    return np.uint64(value) | (np.uint64(n) << LENGTH_SHIFT)


@inlined
def put_gamma(tokens, at, value):
    """Elias gamma of `value + 1`: short for small numbers. `value` is below 2**32 - 1."""
    v = np.uint64(value) + _1
    n = bit_length(v) - _1
    tokens[at] = token(_1 << n, n + _1)
    tokens[at + 1] = token(v & ((_1 << n) - _1), n)
    return at + 2


@inlined
def wide_token(value):
    """A 6-bit length, then the bits of a uint32 below the leading one: for numbers of unknown size."""
    v = np.uint64(value)
    n = bit_length(v)
    below = n - _1 if n != np.uint64(0) else np.uint64(0)
    return token(n | ((v & ((_1 << below) - _1)) << np.uint64(6)), below + np.uint64(6))


@inlined
def rice_token(value, k):
    """Rice code of a uint32 with parameter `k`, in two steps and raw behind 16 ones where neither reaches."""
    v, shift = np.uint64(value), np.uint64(k)
    ones = v >> shift
    if ones >= _STEP:
        v -= _STEP << shift
        shift += _COARSER
        ones = _STEP + (v >> shift)
        if ones >= _ESCAPE_BITS:
            return token(_ESCAPE | (np.uint64(value) << _ESCAPE_BITS), _ESCAPE_BITS + np.uint64(32))
    return token(((_1 << ones) - _1) | ((v & ((_1 << shift) - _1)) << (ones + _1)), ones + _1 + shift)


@inlined
def pack(words, first, tokens, n):
    """Write `n` tokens back to back from word `first` on, zeros behind them; return their bits.

    No branch depends on the data, and the state stays in registers: every byte that is sent goes through here.
    """
    acc, fill, at = np.uint64(0), np.uint64(0), np.int64(first)
    for i in range(n):
        code = tokens[i] & CODE_MASK
        total = fill + ((tokens[i] >> LENGTH_SHIFT) & LENGTH_MASK)
        acc |= code << fill
        words[at] = acc
        # In two steps: a shift by 64 is undefined, and where fill is 0 nothing crosses into the next word.
        rest = (code >> _1) >> (_63 - fill)
        acc = rest if total >= _64 else acc
        at += np.int64(total >> np.uint64(6))
        fill = total & _63
    words[at] = acc
    return (at - first) * 64 + np.int64(fill)


@helper
def fail(reader, code):
    """Note the first error; nothing is read after it."""
    if reader[ERROR] == 0:
        reader[ERROR] = code
    reader[POSITION] = reader[END]


@helper
def get(data, reader, n):
    """The next `n` (0–56) bits as uint64; 0, and error 1, where the stream ends before."""
    position = reader[POSITION]
    if position + n > reader[END]:
        fail(reader, 1)
        return np.uint64(0)
    value = np.uint64(0)
    first = position >> 3
    for i in range((((position & 7) + n + 7) >> 3)):
        value |= np.uint64(data[first + i]) << np.uint64(8 * i)
    reader[POSITION] = position + n
    return (value >> np.uint64(position & 7)) & ((_1 << np.uint64(n)) - _1)


@helper
def get_gamma(data, reader):
    """A number written by `put_gamma`; error 2 where it is longer than any number may be."""
    n = 0
    while get(data, reader, 1) == np.uint64(0):
        n += 1
        if n > 31 or reader[ERROR] != 0:
            fail(reader, 2)
            return np.int64(0)
    return np.int64(((_1 << np.uint64(n)) | get(data, reader, n)) - _1)


@helper
def get_wide(data, reader):
    """A number written by `put_wide` as uint32; error 3 where its length exceeds 32."""
    n = np.int64(get(data, reader, 6))
    if n > 32:
        fail(reader, 3)
        return np.uint32(0)
    if n == 0:
        return np.uint32(0)
    return np.uint32((_1 << np.uint64(n - 1)) | get(data, reader, n - 1))


@helper
def get_rice(data, reader, k):
    """A number written by `put_rice` as uint32; error 4 where it exceeds 32 bits."""
    ones, most = np.uint64(0), _ESCAPE_BITS
    while ones < most and get(data, reader, 1) == _1:
        ones += _1
    if ones == most:
        return np.uint32(get(data, reader, 32))
    shift, base = np.uint64(k), np.uint64(0)
    if ones >= _STEP:
        base, ones = _STEP << shift, ones - _STEP
        shift += _COARSER
    value = base + ((ones << shift) | get(data, reader, np.int64(shift)))
    if value >> np.uint64(32) != np.uint64(0):
        fail(reader, 4)
        return np.uint32(0)
    return np.uint32(value)
