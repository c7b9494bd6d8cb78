"""Decode: one state frame applied to what a client knows. The mirror of `frames`, and as wary as that is trusting.

The client's table has a row an entity, in list order: `identity` uint64[rows] (generation above, slot below), `state`
uint8[rows, 3 + G] (kind, mask, stale, and by group the channel that its integers came on and, above 3 bits, the profile
that the entity had then, in whose steps they count)
and `q`, `d` int32[rows, G, 4]. Nothing here raises: the result is 0 or the number of an error, and every loop is
bounded by the list's limit or by bits already paid for.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel
from horizon_ecs.systems.bits import (
    END,
    ERROR,
    POSITION,
    fail,
    get,
    get_gamma,
    get_rice,
    get_wide,
    index_bits,
    unzigzag,
    zigzag,
)
from horizon_ecs.systems.budget import PARTIAL_BITMAP, PARTIAL_LIST
from horizon_ecs.systems.frames import (
    FLAG_MESSAGES,
    FLAG_PARAMETERS,
    FLAG_PARTIAL,
    FLAG_RESET,
    FLAG_STRUCTURE,
    MODE_BITMAP,
    MODE_DENSE,
    MODE_LIST,
    RATE_BITS,
    RATE_SHIFT,
)
from horizon_ecs.systems.interest import NO_CHANNEL, stale_after

KIND, MASK, STALE, UNIT = 0, 1, 2, 3  # columns of `state`
RATE = 7  # of `head`
PROFILE_SHIFT, CHANNEL_MASK = 3, 7  # of a unit

BAD_FLAGS, BAD_INDEX, BAD_MASK, TOO_MANY, LEFT_OVER, BAD_KIND, BAD_TICK, BAD_MESSAGE = 16, 17, 18, 19, 20, 21, 22, 23


@helper
def _get_parameters(data, reader, reset, rice):
    """All Rice parameters, or some by number."""
    if reset:
        for p in range(len(rice)):
            rice[p] = np.uint8(get(data, reader, 5))
        return
    n = get_gamma(data, reader)
    width = np.int64(index_bits(len(rice)))
    for _ in range(n):
        p = np.int64(get(data, reader, width))
        if p >= len(rice) or reader[ERROR] != 0:
            fail(reader, BAD_INDEX)
            return
        rice[p] = np.uint8(get(data, reader, 5))


@helper
def _move_row(source, target, identity, state, q, d):
    """Copy one row of the table."""
    identity[target] = identity[source]
    for a in range(state.shape[1]):
        state[target, a] = state[source, a]
    for j in range(q.shape[1]):
        for f in range(4):
            q[target, j, f] = q[source, j, f]
            d[target, j, f] = d[source, j, f]


@helper
def _get_leaves(data, reader, n, identity, state, q, d, out_left):
    """Close the table up over the rows that left; return its new length and how many did."""
    n_leaves = get_gamma(data, reader)
    if n_leaves > n:
        fail(reader, TOO_MANY)
        return n, 0
    width = np.int64(index_bits(n))
    kept, row = 0, 0
    for a in range(n_leaves):
        i = np.int64(get(data, reader, width))
        if i < row or i >= n or reader[ERROR] != 0:
            fail(reader, BAD_INDEX)
            return n, 0
        while row < i:
            if kept != row:
                _move_row(row, kept, identity, state, q, d)
            kept += 1
            row += 1
        out_left[a] = identity[i]
        row = i + 1
    while row < n:
        if kept != row:
            _move_row(row, kept, identity, state, q, d)
        kept += 1
        row += 1
    return kept, n_leaves


@helper
def _get_moves(data, reader, n, channel_bits, state, kind_channels, carrier, n_groups, profiles):
    """New masks for some rows, and new kinds where these have several profiles."""
    n_moves = get_gamma(data, reader)
    width = np.int64(index_bits(n))
    previous = -1
    for _ in range(n_moves):
        i = np.int64(get(data, reader, width))
        if i <= previous or i >= n or reader[ERROR] != 0:
            fail(reader, BAD_INDEX)
            return
        before = np.int64(state[i, KIND])
        number = np.int64(get(data, reader, profiles[before, 2]))
        mask = np.int64(get(data, reader, channel_bits))
        kind = profiles[before, 0] + number
        if number >= profiles[before, 1] or reader[ERROR] != 0:
            fail(reader, BAD_KIND)
            return
        if mask == 0 or mask & ~kind_channels[kind] != 0:
            fail(reader, BAD_MASK)
            return
        state[i, STALE] = stale_after(
            carrier[kind], n_groups[kind], np.int64(state[i, MASK]), mask, np.int64(state[i, STALE])
        )
        if kind != before:
            state[i, STALE] = 0xFF
        state[i, KIND], state[i, MASK] = kind, mask
        previous = i


@helper
def _get_enters(data, reader, n, bits, n_slots, max_followed, identity, state, q, d, kind_channels):
    """Append those who enter; return the new length."""
    n_enters = get_gamma(data, reader)
    if n + n_enters > max_followed:
        fail(reader, TOO_MANY)
        return n
    for _ in range(n_enters):
        kind = np.int64(get(data, reader, bits[0]))
        slot = get(data, reader, bits[1])
        generation = np.uint64(get_gamma(data, reader)) + np.uint64(1)
        mask = np.int64(get(data, reader, bits[2]))
        if reader[ERROR] != 0 or kind >= len(kind_channels) or np.int64(slot) >= n_slots:
            fail(reader, BAD_KIND)
            return n
        if mask == 0 or mask & ~kind_channels[kind] != 0:
            fail(reader, BAD_MASK)
            return n
        identity[n] = (generation << np.uint64(32)) | slot
        state[n, KIND], state[n, MASK], state[n, STALE] = kind, mask, 0xFF
        state[n, UNIT:] = NO_CHANNEL
        q[n] = 0
        d[n] = 0
        n += 1
    return n


@helper
def _step_silent(tick, phase, n, state, q, d, carrier, n_groups, n_fields, period, order):
    """Let every prediction of a tick without a frame come true."""
    for i in range(n):
        kind, mask, stale = np.int64(state[i, KIND]), np.int64(state[i, MASK]), np.int64(state[i, STALE])
        for j in range(n_groups[kind]):
            c = np.int64(carrier[kind, j, mask])
            if c == NO_CHANNEL or (stale >> j) & 1 or (tick + phase) % period[kind, c] != 0:
                continue
            for f in range(n_fields[kind, j]):
                if order[kind, c, j, f] == 2:
                    q[i, j, f] += d[i, j, f]


@helper
def _get_absolute(data, reader, i, kind, c, j, q, d, n_fields, order, reference):
    """One absolute record."""
    for f in range(n_fields[kind, j]):
        reference[kind, f] = np.int32(reference[kind, f] + unzigzag(get_wide(data, reader)))
        q[i, j, f] = reference[kind, f]
        d[i, j, f] = unzigzag(get_wide(data, reader)) if order[kind, c, j, f] == 2 else np.int32(0)


@helper
def _get_record(data, reader, i, kind, c, j, q, d, n_fields, order, rice, parameter):
    """One record, or residuals of 0 where `rice` is empty; returns whether the value moved."""
    moved = False
    for f in range(n_fields[kind, j]):
        r = np.int32(0)
        if parameter >= 0:
            r = unzigzag(get_rice(data, reader, rice[parameter + f]))
        before = q[i, j, f]
        if order[kind, c, j, f] == 2:
            d[i, j, f] = np.int32(d[i, j, f] + r)
            q[i, j, f] = np.int32(before + d[i, j, f])
        elif order[kind, c, j, f] == 1:
            q[i, j, f] = np.int32(before + r)
        elif order[kind, c, j, f] == 3:
            q[i, j, f] = before ^ np.int32(zigzag(r))
        else:
            q[i, j, f] = r
        moved |= q[i, j, f] != before
    return moved


@helper
def _get_block(data, reader, c, j, n_rows, rows, state, q, d, n_fields, order, rice, first_parameter, moved):
    """The shared records of one block: `rows[:n_rows]` are those who have one, or a residual of 0."""
    mode = np.int64(get(data, reader, 2))
    width = np.int64(index_bits(n_rows))
    left, at = 0, -1
    if mode == MODE_LIST:
        left = get_gamma(data, reader)
        if left > n_rows:
            fail(reader, TOO_MANY)
            return
    for a in range(n_rows):
        if mode == MODE_LIST and at < a and left > 0:
            following = np.int64(get(data, reader, width))
            if following <= at or following < a or following >= n_rows:
                fail(reader, BAD_INDEX)
                return
            at = following
            left -= 1
        present = mode == MODE_DENSE or (mode == MODE_LIST and at == a)
        if mode == MODE_BITMAP:
            present = get(data, reader, 1) != np.uint64(0)
        if reader[ERROR] != 0:
            return
        i = np.int64(rows[a])
        kind = np.int64(state[i, KIND])
        parameter = first_parameter[kind, c, j] if present else np.int64(-1)
        moved[i] |= _get_record(data, reader, i, kind, c, j, q, d, n_fields, order, rice, parameter)
    if left > 0:
        fail(reader, BAD_INDEX)


@helper
def _find_due(tick, phase, n, state, carrier, n_groups, period, rows):
    """Rows of which anything is due; returns how many."""
    n_rows = 0
    for i in range(n):
        kind, mask, due = np.int64(state[i, KIND]), np.int64(state[i, MASK]), False
        for j in range(n_groups[kind]):
            c = np.int64(carrier[kind, j, mask])
            if c != NO_CHANNEL and (tick + phase) % period[kind, c] == 0:
                due = True
        if due:
            rows[n_rows] = i
            n_rows += 1
    return n_rows


@helper
def _get_partial(data, reader, tick, phase, n, state, carrier, n_groups, period, rows, waits):
    """Who of those due has nothing in this frame: what is due of them goes stale, and `waits` is 1."""
    n_due = _find_due(tick, phase, n, state, carrier, n_groups, period, rows)
    mode = np.int64(get(data, reader, 2))
    width, at = np.int64(index_bits(n_due)), 0
    for a in range(n_due):
        waits[rows[a]] = 1
    if mode == PARTIAL_LIST:
        m = get_gamma(data, reader)
        if m > n_due:
            fail(reader, TOO_MANY)
            return
        for _ in range(m):
            a = np.int64(get(data, reader, width))
            if a < at or a >= n_due or reader[ERROR] != 0:
                fail(reader, BAD_INDEX)
                return
            waits[rows[a]] = 0
            at = a + 1
    elif mode == PARTIAL_BITMAP:
        for a in range(n_due):
            waits[rows[a]] = np.uint8(get(data, reader, 1) == np.uint64(0))
    elif mode != 0:
        fail(reader, BAD_FLAGS)
    for a in range(n_due):
        i = np.int64(rows[a])
        kind, mask = np.int64(state[i, KIND]), np.int64(state[i, MASK])
        for j in range(n_groups[kind] if waits[i] != 0 else 0):
            c = np.int64(carrier[kind, j, mask])
            if c != NO_CHANNEL and (tick + phase) % period[kind, c] == 0:
                state[i, STALE] |= 1 << j


@helper
def _get_blocks(data, reader, tick, phase, reset, n, state, q, d, carrier, n_groups, n_fields, period, order, rice,
                first_parameter, profiles, n_channels, rows, reference, moved, waits):  # fmt: skip
    """Every block, in order of channel and group."""
    for b in range(n_channels * carrier.shape[1]):
        c, j = b // carrier.shape[1], b % carrier.shape[1]
        reference[:] = 0
        n_rows = 0
        for i in range(n):
            kind, mask = np.int64(state[i, KIND]), np.int64(state[i, MASK])
            if j >= n_groups[kind] or np.int64(carrier[kind, j, mask]) != c:
                continue
            if waits[i] == 0 and (reset or (tick + phase) % period[kind, c] == 0):
                if (state[i, STALE] >> j) & 1:
                    _get_absolute(data, reader, i, kind, c, j, q, d, n_fields, order, reference)
                    state[i, STALE] &= ~(1 << j) & 0xFF
                    state[i, UNIT + j] = (kind - profiles[kind, 0]) << PROFILE_SHIFT | c
                else:
                    rows[n_rows] = i
                    n_rows += 1
        if n_rows > 0:
            _get_block(data, reader, c, j, n_rows, rows, state, q, d, n_fields, order, rice, first_parameter, moved)
        if reader[ERROR] != 0:
            return


@helper
def _get_tick(data, reader, reset, last_tick):
    """The frame's tick."""
    if reset:
        return np.int64(get(data, reader, 32))
    step = np.int64(get(data, reader, 8))
    if step == 0 or last_tick < 0:
        fail(reader, BAD_TICK)
    return last_tick + step


@kernel(
    "int64(Array(uint8, 1, 'C', readonly=True), int64[::1], int64, uint64[::1], uint8[:, ::1], int32[:, :, ::1], "
    "int32[:, :, ::1], uint8[::1], int64[::1], int64, int64, int64, "
    "int64[::1], uint8[:, :, ::1], int64[::1], int64[:, ::1], int64[:, :, ::1], uint8[:, :, :, ::1], "
    "int64[:, :, ::1], int64[:, ::1], int64, "
    "int32[::1], int32[:, ::1], int64[::1], uint8[::1], uint8[::1], uint64[::1])"
)
def apply_frame(
    data, head, phase, identity, state, q, d, rice, bits, n_slots, max_followed, n_channels,
    kind_channels, carrier, n_groups, n_fields, periods, order, first_parameter, profiles, max_silent_steps,
    rows, reference, reader, moved, waits, out_left
):  # fmt: skip
    """Apply one state frame to the table; return 0, or an error's number where the frame is malformed.

    Parameters
    ----------
    data : uint8[n]                              in      the frame
    head : int64[8]                              in/out  last tick (-1: none), rows, entered, left, updates, reset,
                                                         where messages begin, 0 for none, and the rate
    phase : int64                                in
    identity, state, q, d                        in/out  the table, `max_followed` rows
    rice : uint8[P]                              in/out  Rice parameters
    bits : int64[3]                              in      widths of a kind, a slot, a mask
    kind_channels : int64[n_kinds]               in      the channels a kind has
    carrier, n_groups, n_fields, periods, order  in      as for `replicate`
    first_parameter : int64[n_kinds, C, G]       in      number of the parameter of each group's first field
    profiles : int64[n_kinds, 3]                 in      see `schema.Tables`
    max_silent_steps : int64                     in      most ticks that may lie between two frames
    rows int32[max_followed], reference int32[n_kinds, 4], reader int64[3], moved, waits uint8[max_followed]:  scratch
    out_left : uint64[max_followed]              out     who left

    Oracle: tests/naive.py::apply_frame. Cost: O(rows + frame), allocates nothing.
    """
    reader[POSITION], reader[ERROR] = 0, 0
    reader[END] = len(data) * 8
    flags = np.int64(get(data, reader, 8))
    reset, structure = flags & FLAG_RESET != 0, flags & FLAG_STRUCTURE != 0
    known = FLAG_RESET | FLAG_PARAMETERS | FLAG_STRUCTURE | FLAG_MESSAGES | FLAG_PARTIAL | RATE_BITS << RATE_SHIFT
    rate = flags >> RATE_SHIFT & RATE_BITS
    if flags & ~known != 0 or (reset and (not structure or flags & FLAG_PARTIAL != 0)):
        fail(reader, BAD_FLAGS)
    tick = _get_tick(data, reader, reset, head[0])
    if reader[ERROR] != 0:
        return reader[ERROR]
    n, n_left = head[1], 0
    if reset:
        n = 0
    elif tick - head[0] > max_silent_steps:
        return BAD_TICK
    else:
        for silent in range(head[0] + 1, tick):
            _step_silent(silent, phase, n, state, q, d, carrier, n_groups, n_fields, periods[head[RATE]], order)
    if flags & FLAG_PARAMETERS != 0:
        _get_parameters(data, reader, reset, rice)
    first = n
    if structure and reader[ERROR] == 0:
        if not reset:
            n, n_left = _get_leaves(data, reader, n, identity, state, q, d, out_left)
            _get_moves(data, reader, n, bits[2], state, kind_channels, carrier, n_groups, profiles)
        first = n
        n = _get_enters(data, reader, n, bits, n_slots, max_followed, identity, state, q, d, kind_channels)
    if rate != head[RATE]:
        state[:n, STALE] = 0xFF
        head[RATE] = rate
    period = periods[rate]
    waits[:n] = 0
    if flags & FLAG_PARTIAL != 0 and reader[ERROR] == 0:
        _get_partial(data, reader, tick, phase, n, state, carrier, n_groups, period, rows, waits)
    if reader[ERROR] != 0:
        return reader[ERROR]
    moved[:n] = 0
    _get_blocks(data, reader, tick, phase, reset, n, state, q, d, carrier, n_groups, n_fields, period, order, rice,
                first_parameter, profiles, n_channels, rows, reference, moved, waits)  # fmt: skip
    left_over = reader[END] - reader[POSITION]
    head[6] = 0
    if flags & FLAG_MESSAGES != 0:
        left_over = -reader[POSITION] & 7
        head[6] = (reader[POSITION] + left_over) >> 3
    if reader[ERROR] == 0 and (left_over > 7 or get(data, reader, left_over) != np.uint64(0)):
        fail(reader, LEFT_OVER)
    if reader[ERROR] != 0:
        return reader[ERROR]
    head[0], head[1], head[2], head[3], head[5] = tick, n, n - first, n_left, np.int64(reset)
    head[4] = 0
    for i in range(n):
        head[4] += moved[i]
    return 0


@helper
def _get_varint(data, at):
    """A number below 2**32 and where the next byte is; -1 for another or one that is cut off."""
    value = np.int64(0)
    for i in range(5):
        if at + i >= len(data):
            return np.int64(-1), at
        value |= np.int64(data[at + i] & np.uint8(127)) << (7 * i)
        if data[at + i] < np.uint8(128):
            return value if value < 1 << 32 else np.int64(-1), at + i + 1
    return np.int64(-1), at


@kernel(
    "int64(Array(uint8, 1, 'C', readonly=True), int64, int64, int64[::1], int64, int64, uint8[::1], uint64[::1], "
    "int64[:, ::1], uint8[::1])"
)
def read_messages(data, at, n_slots, size, text, max_text, out_number, out_handle, out_piece, out_deflated):
    """Read the messages behind a frame's bit stream; return how many, or the negative of an error's number.

    Parameters
    ----------
    data : uint8[n]            in   the frame
    at : int64                 in   where they begin
    n_slots : int64            in
    size : int64[256]          in   by number: bytes of an event's record, `text`, or another negative number for none
    text, max_text : int64     in   what stands for a text; bytes that one may have
    out_number : uint8[m];  out_handle : uint64[m]   out  m is as many as could be in so many bytes
    out_piece : int64[m, 2]    out  where in the frame the record or the text begins and ends

    out_deflated : uint8[m]    out  1 where a text is deflated

    Oracle: tests/naive_wire.py::_messages.
    """
    n, at = _get_varint(data, at)
    if n < 1 or n > len(out_number):
        return np.int64(-TOO_MANY)
    for m in range(n):
        if at >= len(data):
            return np.int64(-1)
        number = data[at]
        slot, at = _get_varint(data, at + 1)
        generation, at = _get_varint(data, at)
        length = size[number]
        if slot < 0 or slot >= n_slots or generation < 1 or (length < 0 and length != text):
            return np.int64(-BAD_MESSAGE)
        if length == text:
            length, at = _get_varint(data, at)
            if length < 0 or length >> 1 > max_text:
                return np.int64(-BAD_MESSAGE)
            out_deflated[m] = np.uint8(length & 1)
            length >>= 1
        if at + length > len(data):
            return np.int64(-1)
        out_number[m] = number
        out_handle[m] = (np.uint64(generation) << np.uint64(32)) | np.uint64(slot)
        out_piece[m, 0], out_piece[m, 1] = at, at + length
        at += length
    return np.int64(n) if at == len(data) else np.int64(-LEFT_OVER)
