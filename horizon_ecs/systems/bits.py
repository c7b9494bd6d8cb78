"""Bit streams: codes written to whole 64-bit words and read back with every bound checked.

The writer's state is `uint64[3]`: the pending bits, how many they are (0–63), the index of the next word. The reader's
is `int64[3]`: position in bits, end in bits, error (0 = none). Least significant bit first; the codes are those of
docs/wire.md. Sources: Elias 1975 (gamma), Rice and Plaunt 1971.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper

ACC, FILL, WORD = 0, 1, 2  # fields of the writer's state
POSITION, END, ERROR = 0, 1, 2  # fields of the reader's state

# A quotient above this is sent raw: it bounds a code to 48 bits, and a decoder's work to 16 steps a value.
MAX_UNARY = 15

_1 = np.uint64(1)
_64 = np.uint64(64)
_MAX_UNARY = np.uint64(MAX_UNARY)
_ESCAPE = np.uint64((1 << (MAX_UNARY + 1)) - 1)
_ESCAPE_BITS = np.uint64(MAX_UNARY + 1)


@helper
def bit_length(value):
    """How many bits the unsigned `value` needs: 0 for 0."""
    v = np.uint64(value)
    n = np.uint64(0)
    while v != np.uint64(0):
        v >>= _1
        n += _1
    return n


@helper
def index_bits(count):
    """How many bits any number below `count` needs."""
    if count <= 1:
        return np.uint64(0)
    return bit_length(np.uint64(count) - _1)


@helper
def zigzag(value):
    """Fold the sign into the lowest bit: 0, -1, 1, -2 … become 0, 1, 2, 3 … (uint32)."""
    v = np.int32(value)
    return np.uint32((np.uint32(v) << np.uint32(1)) ^ np.uint32(v >> np.int32(31)))


@helper
def unzigzag(value):
    """The int32 that `zigzag` folded."""
    v = np.uint32(value)
    return np.int32((v >> np.uint32(1)) ^ np.uint32(-np.int64(v & np.uint32(1))))


@helper
def put(words, writer, value, n):
    """Append the `n` (0–64) lowest bits of `value`, all bits above which must be 0."""
    fill = writer[FILL]
    v = np.uint64(value)
    count = np.uint64(n)
    writer[ACC] |= v << fill
    if fill + count >= _64:
        words[np.int64(writer[WORD])] = writer[ACC]
        writer[WORD] += _1
        # A shift by 64 is undefined, and nothing remains in that case.
        writer[ACC] = v >> (_64 - fill) if fill != np.uint64(0) else np.uint64(0)
        writer[FILL] = fill + count - _64
    else:
        writer[FILL] = fill + count


@helper
def put_gamma(words, writer, value):
    """Elias gamma of `value + 1`: short for small numbers. `value` is below 2**32 - 1."""
    v = np.uint64(value) + _1
    n = bit_length(v) - _1
    put(words, writer, _1 << n, n + _1)
    put(words, writer, v & ((_1 << n) - _1), n)


@helper
def put_wide(words, writer, value):
    """A 6-bit length, then the bits below the leading one: for numbers of unknown size."""
    v = np.uint64(value)
    n = bit_length(v)
    put(words, writer, n, np.uint64(6))
    if n > _1:
        put(words, writer, v & ((_1 << (n - _1)) - _1), n - _1)


@helper
def put_rice(words, writer, value, k):
    """Rice code with parameter `k`; raw 32 bits behind 16 ones where the quotient exceeds MAX_UNARY."""
    v = np.uint64(value)
    shift = np.uint64(k)
    quotient = v >> shift
    if quotient > _MAX_UNARY:
        put(words, writer, _ESCAPE, _ESCAPE_BITS)
        put(words, writer, v, np.uint64(32))
    else:
        put(words, writer, (_1 << quotient) - _1, quotient + _1)
        put(words, writer, v & ((_1 << shift) - _1), shift)


@helper
def flush(words, writer):
    """Write the pending bits as a last, zero-padded word."""
    if writer[FILL] != np.uint64(0):
        words[np.int64(writer[WORD])] = writer[ACC]


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
    quotient = 0
    while quotient <= MAX_UNARY and get(data, reader, 1) == _1:
        quotient += 1
    if quotient > MAX_UNARY:
        return np.uint32(get(data, reader, 32))
    value = (np.uint64(quotient) << np.uint64(k)) | get(data, reader, np.int64(k))
    if value >> np.uint64(32) != np.uint64(0):
        fail(reader, 4)
        return np.uint32(0)
    return np.uint32(value)
