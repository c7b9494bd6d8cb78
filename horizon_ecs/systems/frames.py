"""Frames: one observer's list, leaves, enters and records as the bytes of a state frame (docs/wire.md).

Every entity's record is coded once (`delta`); a frame only sorts the due ones by block, picks the shortest way to say
which are present and lists the tokens (`bits`), which are then packed in one go. The WebSocket header stands in front
of the payload, so that what is written can be sent as it is.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, inlined
from horizon_ecs.systems.bits import (
    CODE_BITS,
    CODE_MASK,
    LENGTH_MASK,
    LENGTH_SHIFT,
    index_bits,
    pack,
    put_gamma,
    rice_token,
    token,
    wide_token,
    zigzag,
)
from horizon_ecs.systems.delta import LONG, MISSED, MOVED, history_row, residual
from horizon_ecs.systems.interest import STALE_SHIFT, kind_of, mask_of, slot_of, stale_of

FLAG_RESET, FLAG_PARAMETERS, FLAG_STRUCTURE = 1, 2, 4
MODE_NOTHING, MODE_DENSE, MODE_BITMAP, MODE_LIST = 0, 1, 2, 3

N_ABSOLUTE, N_RECORDS = 0, 1  # columns of a block's counters

HEADER_WORDS = 2  # room for the longest WebSocket header of a server (10 bytes)
_1 = np.uint64(1)


@inlined
def sort_into_blocks(row, n_due, due_index, due_groups, carrier, records, counters, absolute, record, source):
    """Sort the due groups of the due entries into blocks (channel * G + group).

    Absolute ones are kept by index in the list and lose their stale bit; the others by their record and index. Returns
    how many entries moved since their baseline, and how many records there are to say for sure.
    """
    n_per_channel = carrier.shape[1]
    counters[:] = 0
    n_moved, n_said = 0, 0
    for d in range(n_due):
        i = due_index[d]
        entry = row[i]
        slot, kind, mask = slot_of(entry), kind_of(entry), mask_of(entry)
        groups = np.uint32(due_groups[d])
        absolutes = groups & stale_of(entry)
        if absolutes != 0:
            row[i] = entry & ~(np.uint64(absolutes) << STALE_SHIFT)
        flags = np.uint64(0)
        j = np.uint32(0)
        while groups >> j:
            c = np.uint32(carrier[kind, j, mask])
            b = np.uint32(c * n_per_channel + j)
            if (absolutes >> j) & 1:
                absolute[b, counters[b, N_ABSOLUTE]] = i
                counters[b, N_ABSOLUTE] += np.uint32(1)
                n_said += 1
            elif (groups >> j) & 1:
                coded = records[c, slot, j]
                at = counters[b, N_RECORDS]
                record[b, at] = coded
                source[b, at] = i
                counters[b, N_RECORDS] = at + np.uint32(1)
                n_said += np.int64(coded >> np.uint64(63))
                flags |= coded
            j += np.uint32(1)
        n_moved += np.int64((flags & MOVED) != np.uint64(0))
    return n_moved, n_said


@helper
def put_parameters(tokens, at, reset, rice, rice_tick, sent_tick):
    """All Rice parameters, or those changed since the observer's last frame."""
    changed = 0
    for p in range(len(rice)):
        changed += rice_tick[p] > sent_tick
    width = np.int64(index_bits(len(rice)))
    if not reset:
        at = put_gamma(tokens, at, changed)
    for p in range(len(rice)):
        if reset:
            tokens[at] = token(rice[p], 5)
            at += 1
        elif rice_tick[p] > sent_tick:
            tokens[at] = token(p | (np.int64(rice[p]) << width), width + 5)
            at += 1
    return at


@helper
def put_structure(tokens, at, reset, row, n_before, n_kept, n, leaves, n_leaves, moves, n_moves, generation, bits):
    """Leaves, moves and enters; in a reset frame the whole list enters. `bits`: widths of a kind, a slot, a mask."""
    first = 0 if reset else n_kept
    if not reset:
        at = put_gamma(tokens, at, n_leaves)
        width = np.int64(index_bits(n_before))
        for i in range(n_leaves):
            tokens[at] = token(leaves[i], width)
            at += 1
        at = put_gamma(tokens, at, n_moves)
        width = np.int64(index_bits(n_kept))
        for i in range(n_moves):
            mask = np.int64(mask_of(row[moves[i]]))
            tokens[at] = token(np.int64(moves[i]) | (mask << width), width + bits[2])
            at += 1
    at = put_gamma(tokens, at, n - first)
    for i in range(first, n):
        slot = slot_of(row[i])
        tokens[at] = token(np.int64(kind_of(row[i])) | (np.int64(slot) << bits[0]), bits[0] + bits[1])
        at = put_gamma(tokens, at + 1, generation[slot] - np.uint32(1))
        tokens[at] = token(mask_of(row[i]), bits[2])
        at += 1
    return at


@helper
def _put_absolute(tokens, at, entry, c, j, tick, phase, reset, history, depth, track, order, period, n_fields, born,
                  reference):  # fmt: skip
    """One absolute record: the baseline and, for a linear predictor, its last difference."""
    slot, kind = slot_of(entry), kind_of(entry)
    birth = np.int64(born[slot])
    span = period[kind, c]
    baseline = tick
    if reset and order[kind, c, j, 0] != 0:
        # What one who was always there knows: the state at the channel's last due tick. (The history doesn't reach a
        # baseline that no predictor uses.)
        baseline = max(tick - (tick + phase) % span, birth)
    for f in range(n_fields[kind, j]):
        t = track[kind, c, j, f]
        q = history[history_row(t, baseline, depth), slot]
        tokens[at] = wide_token(zigzag(np.int32(q - reference[kind, f])))
        at += 1
        reference[kind, f] = q
        if order[kind, c, j, f] == 2:
            before = history[history_row(t, max(baseline - span, birth), depth), slot]
            tokens[at] = wide_token(zigzag(np.int32(q - before)))
            at += 1
    return at


@helper
def _put_record(tokens, at, coded, entry, c, j, tick, history, depth, track, order, rice, period, n_fields, born):
    """One record: the shared bits, or field by field where they didn't fit a token."""
    if (coded >> LENGTH_SHIFT) & LENGTH_MASK != LONG:
        tokens[at] = coded
        return at + 1
    slot, kind = slot_of(entry), kind_of(entry)
    for f in range(n_fields[kind, j]):
        r, _ = residual(
            history, track[kind, c, j, f], order[kind, c, j, f], slot, tick, period[kind, c], born[slot], depth
        )
        tokens[at] = rice_token(zigzag(r), rice[kind, c, j, f])
        at += 1
    return at


@inlined
def _sum_up(record, n):
    """How many records missed, the bits of the others, and the greatest length."""
    n_changed, unchanged_bits, widest = np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(n):
        missed = record[i] >> np.uint64(63)
        length = (record[i] >> LENGTH_SHIFT) & LENGTH_MASK
        n_changed += missed
        unchanged_bits += (missed - _1) & length
        widest = max(widest, length)
    return np.int64(n_changed), np.int64(unchanged_bits), np.int64(widest)


@inlined
def _shortest_mode(n, n_changed, unchanged_bits, width):
    """The cheapest way to say which of `n` entries have a record."""
    if n_changed == 0:
        return MODE_NOTHING
    # Elias gamma of the count takes at most 2 * width + 1 bits.
    in_list = n_changed * width + 2 * width + 1
    if unchanged_bits <= n and unchanged_bits <= in_list:
        return MODE_DENSE
    return MODE_BITMAP if n <= in_list else MODE_LIST


@inlined
def _put_short(tokens, at, mode, record, n, width):
    """Records that fit a token together with what says that they are there: without a branch, as half of them are."""
    if mode == MODE_DENSE:
        for i in range(n):
            tokens[at + i] = record[i]
        return at + n
    if mode == MODE_BITMAP:
        for i in range(n):
            missed = record[i] >> np.uint64(63)
            code = ((record[i] & CODE_MASK) << _1) | _1
            length = (record[i] >> LENGTH_SHIFT) & LENGTH_MASK
            tokens[at + i] = (code * missed) | ((length * missed + _1) << LENGTH_SHIFT)
        return at + n
    end, index_width = np.uint64(at), np.uint64(width)
    for i in range(n):
        length = (record[i] >> LENGTH_SHIFT) & LENGTH_MASK
        tokens[end] = np.uint64(i) | ((record[i] & CODE_MASK) << index_width) | ((length + index_width) << LENGTH_SHIFT)
        end += record[i] >> np.uint64(63)
    return np.int64(end)


@helper
def _put_long(tokens, at, mode, record, source, n, width, row, c, j, tick, history, depth, track, order, rice, period,
              n_fields, born):  # fmt: skip
    """Records of which some are too long for that."""
    for i in range(n):
        changed = record[i] & MISSED != np.uint64(0)
        if mode == MODE_BITMAP:
            tokens[at] = token(changed, 1)
            at += 1
        elif mode == MODE_LIST and changed:
            tokens[at] = token(i, width)
            at += 1
        if changed or mode == MODE_DENSE:
            at = _put_record(tokens, at, record[i], row[source[i]], c, j, tick, history, depth, track, order, rice,
                             period, n_fields, born)  # fmt: skip
    return at


@inlined
def put_blocks(tokens, at, row, tick, phase, reset, counters, absolute, record, source, history, depth, track, order,
               rice, period, n_fields, born, reference):  # fmt: skip
    """Every block that has entries: absolute records first, then the shared ones."""
    n_per_channel = track.shape[2]
    for b in range(counters.shape[0]):
        c, j = np.uint32(b // n_per_channel), np.uint32(b % n_per_channel)
        if counters[b, N_ABSOLUTE] > 0:
            reference[:] = 0
        for a in range(counters[b, N_ABSOLUTE]):
            at = _put_absolute(tokens, at, row[absolute[b, a]], c, j, tick, phase, reset, history, depth, track, order,
                               period, n_fields, born, reference)  # fmt: skip
        n = np.int64(counters[b, N_RECORDS])
        if n == 0:
            continue
        width = np.int64(index_bits(n))
        n_changed, unchanged_bits, widest = _sum_up(record[b], n)
        mode = _shortest_mode(n, n_changed, unchanged_bits, width)
        tokens[at] = token(mode, 2)
        at += 1
        if mode == MODE_NOTHING:
            continue
        prefix = width if mode == MODE_LIST else np.int64(mode == MODE_BITMAP)
        if mode == MODE_LIST:
            at = put_gamma(tokens, at, n_changed)
        if widest + prefix <= CODE_BITS:
            at = _put_short(tokens, at, mode, record[b], n, width)
        else:
            at = _put_long(tokens, at, mode, record[b], source[b], n, width, row, c, j, tick, history, depth, track,
                           order, rice, period, n_fields, born)  # fmt: skip
    return at


@inlined
def finish(words, octets, tokens, n_tokens, first_word):
    """Pack the tokens and write the WebSocket header in front of them; return start, payload and stop in bytes."""
    payload = (first_word + HEADER_WORDS) * 8
    n = (pack(words, first_word + HEADER_WORDS, tokens, n_tokens) + 7) >> 3
    if n < 126:
        start = payload - 2
        octets[start + 1] = n
    elif n < 65_536:
        start = payload - 4
        octets[start + 1] = 126
        octets[start + 2], octets[start + 3] = n >> 8, n & 255
    else:
        start = payload - 10
        octets[start + 1] = 127
        for i in range(8):
            octets[start + 2 + i] = (n >> (8 * (7 - i))) & 255
    octets[start] = 0x82
    return start, payload, payload + n
