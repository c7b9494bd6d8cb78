"""Frames: one observer's list, leaves, enters and records as the bytes of a state frame (docs/wire.md).

Every entity's record is coded once (`delta`); a frame only sorts the due ones by block, picks the shortest way to say which are
present and appends their bits. The WebSocket header stands in front of the payload, so that what is written can be sent as it is.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper
from horizon_ecs.systems.bits import (
    FILL,
    WORD,
    flush,
    index_bits,
    put,
    put_gamma,
    put_rice,
    put_wide,
    zigzag,
)
from horizon_ecs.systems.delta import CODE_MASK, LENGTH_MASK, LENGTH_SHIFT, LONG, MISSED, MOVED, history_row, residual
from horizon_ecs.systems.interest import ALL_STALE, BYTE_MASK, KIND_SHIFT, MASK_SHIFT, SLOT_MASK, STALE_SHIFT

FLAG_RESET, FLAG_PARAMETERS, FLAG_STRUCTURE = 1, 2, 4
MODE_NOTHING, MODE_DENSE, MODE_BITMAP, MODE_LIST = 0, 1, 2, 3

# Columns of a block's counters.
N_ABSOLUTE, N_RECORDS, N_CHANGED, UNCHANGED_BITS = 0, 1, 2, 3

HEADER_WORDS = 2  # room for the longest WebSocket header of a server (10 bytes)
_5 = np.uint64(5)
_1 = np.uint64(1)


@helper
def sort_into_blocks(row, n, due, reset, carrier, due_groups, records, counters, absolute, record, source):
    """Sort the due groups of every entry into blocks (channel * G + group).

    Absolute ones are kept by index in the list and lose their stale bit; the others by their record and index. Returns how many
    entries moved since their baseline, and how many blocks' entries have something to say.
    """
    n_per_channel = carrier.shape[1]
    counters[:] = 0
    n_moved, n_said = 0, 0
    for i in range(n):
        entry = row[i]
        kind = np.int64((entry >> KIND_SHIFT) & BYTE_MASK)
        mask = np.int64((entry >> MASK_SHIFT) & BYTE_MASK)
        groups = np.int64(due_groups[kind, due[kind], mask])
        if reset:
            row[i] = entry | (ALL_STALE << STALE_SHIFT)
        if groups == 0:
            continue
        slot = np.int64(entry & SLOT_MASK)
        absolutes = groups if reset else groups & np.int64((entry >> STALE_SHIFT) & BYTE_MASK)
        row[i] &= ~(np.uint64(absolutes) << STALE_SHIFT)
        flags = np.uint64(0)
        j = 0
        while groups >> j:
            b = np.int64(carrier[kind, j, mask]) * n_per_channel + j
            if (absolutes >> j) & 1:
                absolute[b, counters[b, N_ABSOLUTE]] = i
                counters[b, N_ABSOLUTE] += 1
                n_said += 1
            elif (groups >> j) & 1:
                coded = records[b, slot]
                at = counters[b, N_RECORDS]
                record[b, at] = coded
                source[b, at] = i
                counters[b, N_RECORDS] = at + 1
                missed = np.int64(coded >> np.uint64(63))
                counters[b, N_CHANGED] += missed
                counters[b, UNCHANGED_BITS] += (1 - missed) * np.int64((coded >> LENGTH_SHIFT) & LENGTH_MASK)
                n_said += missed
                flags |= coded
            j += 1
        n_moved += np.int64(flags & MOVED != np.uint64(0))
    return n_moved, n_said


@helper
def put_parameters(words, writer, reset, rice, rice_tick, sent_tick):
    """All Rice parameters, or those changed since the observer's last frame."""
    if reset:
        for p in range(len(rice)):
            put(words, writer, rice[p], _5)
        return
    changed = 0
    for p in range(len(rice)):
        changed += rice_tick[p] > sent_tick
    put_gamma(words, writer, changed)
    width = index_bits(len(rice))
    for p in range(len(rice)):
        if rice_tick[p] > sent_tick:
            put(words, writer, p, width)
            put(words, writer, rice[p], _5)


@helper
def put_structure(words, writer, reset, row, n_before, n_kept, n, leaves, n_leaves, moves, n_moves, generation,
                  kind_bits, slot_bits, channel_bits):  # fmt: skip
    """Leaves, moves and enters; in a reset frame the whole list enters."""
    first = n_kept
    if reset:
        first = 0
    else:
        put_gamma(words, writer, n_leaves)
        width = index_bits(n_before)
        for i in range(n_leaves):
            put(words, writer, leaves[i], width)
        put_gamma(words, writer, n_moves)
        width = index_bits(n_kept)
        for i in range(n_moves):
            put(words, writer, moves[i], width)
            put(words, writer, (row[moves[i]] >> MASK_SHIFT) & BYTE_MASK, channel_bits)
    put_gamma(words, writer, n - first)
    for i in range(first, n):
        entry = row[i]
        slot = entry & SLOT_MASK
        put(words, writer, (entry >> KIND_SHIFT) & BYTE_MASK, kind_bits)
        put(words, writer, slot, slot_bits)
        put_gamma(words, writer, generation[np.int64(slot)] - np.uint32(1))
        put(words, writer, (entry >> MASK_SHIFT) & BYTE_MASK, channel_bits)


@helper
def _put_absolute(words, writer, entry, c, j, tick, phase, reset, history, depth, track, order, period, n_fields, born,
                  reference):  # fmt: skip
    """One absolute record: the baseline and, for a linear predictor, its last difference."""
    slot = np.int64(entry & SLOT_MASK)
    kind = np.int64((entry >> KIND_SHIFT) & BYTE_MASK)
    birth = np.int64(born[slot])
    span = period[kind, c]
    baseline = tick
    if reset and order[kind, c, j, 0] != 0:
        # What one who was always there knows: the state at the channel's last due tick. (The history doesn't reach a baseline that no
        # predictor uses.)
        baseline = max(tick - (tick + phase) % span, birth)
    for f in range(n_fields[kind, j]):
        t = track[kind, c, j, f]
        q = history[history_row(t, baseline, depth), slot]
        put_wide(words, writer, zigzag(np.int32(q - reference[kind, f])))
        reference[kind, f] = q
        if order[kind, c, j, f] == 2:
            before = history[history_row(t, max(baseline - span, birth), depth), slot]
            put_wide(words, writer, zigzag(np.int32(q - before)))


@helper
def _put_record(words, writer, coded, entry, c, j, tick, history, depth, track, order, rice, period, n_fields, born):
    """One record: the shared bits, or field by field where they didn't fit a word."""
    length = (coded >> LENGTH_SHIFT) & LENGTH_MASK
    if length != LONG:
        put(words, writer, coded & CODE_MASK, length)
        return
    slot = np.int64(entry & SLOT_MASK)
    kind = np.int64((entry >> KIND_SHIFT) & BYTE_MASK)
    for f in range(n_fields[kind, j]):
        r, _ = residual(history, track[kind, c, j, f], order[kind, c, j, f], slot, tick, period[kind, c], born[slot], depth)
        put_rice(words, writer, zigzag(r), rice[kind, c, j, f])


@helper
def _shortest_mode(n, n_changed, unchanged_bits, width):
    """The cheapest way to say which of `n` entries have a record."""
    if n_changed == 0:
        return MODE_NOTHING
    # Elias gamma of the count takes at most 2 * width + 1 bits.
    in_list = n_changed * width + 2 * width + 1
    if unchanged_bits <= n and unchanged_bits <= in_list:
        return MODE_DENSE
    return MODE_BITMAP if n <= in_list else MODE_LIST


@helper
def _put_dense(words, writer, record, n):
    """Records that all fit a word, back to back: the loop that most bytes go through, its state in registers."""
    acc, fill, at = writer[0], writer[1], np.int64(writer[2])
    for i in range(n):
        coded = record[i]
        code = coded & CODE_MASK
        length = (coded >> LENGTH_SHIFT) & LENGTH_MASK
        acc |= code << fill
        fill += length
        if fill >= np.uint64(64):
            words[at] = acc
            at += 1
            fill -= np.uint64(64)
            # The bits that didn't fit; a code is shorter than 57 bits, so at least 8 of the word were taken before.
            acc = code >> (length - fill)
    writer[0], writer[1], writer[2] = acc, fill, np.uint64(at)


@helper
def _has_long(record, n):
    """Whether any record needs the long way."""
    long = False
    for i in range(n):
        long |= (record[i] >> LENGTH_SHIFT) & LENGTH_MASK == LONG
    return long


@helper
def put_blocks(words, writer, row, tick, phase, reset, counters, absolute, record, source, history, depth, track, order,
               rice, period, n_fields, born, reference):  # fmt: skip
    """Every block that has entries: absolute records first, then the shared ones."""
    n_per_channel = track.shape[2]
    for b in range(counters.shape[0]):
        c, j = b // n_per_channel, b % n_per_channel
        if counters[b, N_ABSOLUTE] > 0:
            reference[:] = 0
        for a in range(counters[b, N_ABSOLUTE]):
            _put_absolute(words, writer, row[absolute[b, a]], c, j, tick, phase, reset, history, depth, track, order, period,
                          n_fields, born, reference)  # fmt: skip
        n = counters[b, N_RECORDS]
        if n == 0:
            continue
        width = index_bits(n)
        mode = _shortest_mode(n, counters[b, N_CHANGED], counters[b, UNCHANGED_BITS], np.int64(width))
        put(words, writer, mode, 2)
        if mode == MODE_NOTHING:
            continue
        if mode == MODE_DENSE and not _has_long(record[b], n):
            _put_dense(words, writer, record[b], n)
            continue
        if mode == MODE_LIST:
            put_gamma(words, writer, counters[b, N_CHANGED])
        for i in range(n):
            changed = record[b, i] & MISSED != np.uint64(0)
            if mode == MODE_BITMAP:
                put(words, writer, np.uint64(changed), _1)
            elif mode == MODE_LIST and changed:
                put(words, writer, i, width)
            if changed or mode == MODE_DENSE:
                _put_record(words, writer, record[b, i], row[source[b, i]], c, j, tick, history, depth, track, order, rice,
                            period, n_fields, born)  # fmt: skip


@helper
def finish(words, octets, writer, first_word):
    """Close the bit stream and write the WebSocket header in front of it; return start, payload and stop in bytes."""
    payload = (first_word + HEADER_WORDS) * 8
    n = ((np.int64(writer[WORD]) * 64 + np.int64(writer[FILL])) + 7) // 8 - payload
    flush(words, writer)
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
