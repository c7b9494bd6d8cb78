"""Frames: one observer's list, leaves, enters and records as the bytes of a state frame (docs/wire.md).

Every entity's record is coded once (`delta`); a frame only sorts the due ones by block, picks the shortest way to say
which are present and lists the tokens (`bits`), which are then packed in one go. The WebSocket header stands in front
of the payload, so that what is written can be sent as it is.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, inlined, prefetch
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
from horizon_ecs.systems.delta import LONG, MISSED, QUIET, encode_one, history_row, residual
from horizon_ecs.systems.interest import STALE_SHIFT, kind_of, mask_of, slot_of, stale_of

FLAG_RESET, FLAG_PARAMETERS, FLAG_STRUCTURE, FLAG_MESSAGES, FLAG_PARTIAL = 1, 2, 4, 8, 64
RATE_SHIFT, RATE_BITS = 4, 3
MODE_NOTHING, MODE_DENSE, MODE_BITMAP, MODE_LIST = 0, 1, 2, 3

N_ABSOLUTE, N_RECORDS, N_SAID = 0, 1, 2  # columns of a block's counters
PAGE_SHIFT = np.uint32(10)

# What is due of an entry, by its kind and mask and the channels due: the groups, whether they are simple (one loud one,
# the lead of its channel, and quiet ones on the same), that block and channel, the quiet groups.
PLAN_GROUPS, PLAN_BITS = np.uint32(0xFF), np.uint32(0x3F)
PLAN_BLOCK, PLAN_CHANNEL, PLAN_QUIET = np.uint32(8), np.uint32(14), np.uint32(24)
PLAN_SIMPLE = np.uint32(1 << 20)

USES_A_SAMPLE = np.uint32(4)

HEADER_WORDS = 2  # room for the longest WebSocket header of a server (10 bytes)
_1, _62, _63 = np.uint64(1), np.uint64(62), np.uint64(63)


@helper
def _prefetch_history(history, tracks, orders, n_fields, slot, tick, period, depth):
    """Have what one entity's record is made of fetched: it lies in as many places as there are fields and ticks."""
    stride = np.int64(history.shape[1])
    for f in range(n_fields):
        for back in range(np.int64(orders[f] != 0) + np.int64(orders[f] == 2) + 1):
            row = history_row(tracks[f], tick - back * period, depth)
            prefetch(history, row * stride + np.int64(slot))


@inlined
def _is_simple(entry, plan, bulk):
    """Whether all that is due of an entry is told by one record, which is ready."""
    ready = bulk[slot_of(entry) >> PAGE_SHIFT, plan >> PLAN_CHANNEL & PLAN_BITS] != 0
    return ready and plan & PLAN_SIMPLE != 0 and plan & PLAN_GROUPS & stale_of(entry) == 0


@inlined
def prefetch_record(records, bulk, entry, plan, carrier, history, track, order, n_fields, tick, period, depth):
    """Have an entry's record fetched: it lies anywhere in memory, and will be wanted in a moment."""
    if _is_simple(entry, plan, bulk):
        stride = np.int64(records.shape[1])
        prefetch(records, np.int64(plan >> PLAN_BLOCK & PLAN_BITS) * stride + np.int64(slot_of(entry)))
    else:
        _prefetch_others(records, entry, plan, carrier, history, track, order, n_fields, tick, period, depth)


@helper
def _prefetch_others(records, entry, plan, carrier, history, track, order, n_fields, tick, period, depth):
    """Have fetched what an entry needs that isn't simple."""
    slot, kind = slot_of(entry), kind_of(entry)
    for j in range(np.uint32(carrier.shape[1])):
        if (plan & PLAN_GROUPS) >> j & 1:
            c = np.uint32(carrier[kind, j, mask_of(entry)])
            prefetch(records, (np.int64(c) * carrier.shape[1] + np.int64(j)) * records.shape[1] + np.int64(slot))
            _prefetch_history(
                history, track[kind, c, j], order[kind, c, j], n_fields[kind, j], slot, tick, period[kind, c], depth
            )


@helper
def _sort_quiet(i, entry, c, j, history, changed, depth, track, order, rice, period, n_fields, born, tick, counters,
                record, source, place):  # fmt: skip
    """One quiet group of one entry, already counted: kept if it has something to say. Returns its record."""
    kind, slot = kind_of(entry), slot_of(entry)
    b = np.uint32(c * track.shape[2] + j)
    coded = encode_one(history, changed, track[kind, c, j], order[kind, c, j], rice[kind, c, j], n_fields[kind, j],
                       slot, tick, period[kind, c], depth, born[slot])  # fmt: skip
    m = counters[b, N_SAID]
    record[b, m], source[b, m], place[b, m] = coded, i, counters[b, N_RECORDS] - np.uint32(1)
    counters[b, N_SAID] = m + np.uint32(coded >> _63)
    return coded


@helper
def _sort_entry(row, i, groups, carrier, loud, lead, bulk, records, history, changed, depth, track, order, rice, period,
                n_fields, born, tick, counters, absolute, record, source, place):  # fmt: skip
    """Sort the groups of an entry that isn't simple; returns its records' flags, and how many there are to say."""
    entry = row[i]
    slot, kind, mask = slot_of(entry), kind_of(entry), mask_of(entry)
    absolutes = groups & stale_of(entry)
    row[i] = entry & ~(np.uint64(absolutes) << STALE_SHIFT)
    flags, n_said = np.uint64(0), 0
    for j in range(np.uint32(carrier.shape[1])):
        if not (groups >> j) & 1:
            continue
        c = np.uint32(carrier[kind, j, mask])
        b = np.uint32(c * carrier.shape[1] + j)
        if (absolutes >> j) & 1:
            absolute[b, counters[b, N_ABSOLUTE]] = i
            counters[b, N_ABSOLUTE] += np.uint32(1)
            n_said += 1
            continue
        at = counters[b, N_RECORDS]
        counters[b, N_RECORDS] = at + np.uint32(1)
        ready = bulk[slot >> PAGE_SHIFT, c] != 0
        coded = np.uint64(0)
        if loud[b] != 0:
            coded = records[b, slot]
            if not ready:
                coded = encode_one(history, changed, track[kind, c, j], order[kind, c, j], rice[kind, c, j],
                                   n_fields[kind, j], slot, tick, period[kind, c], depth, born[slot])  # fmt: skip
            record[b, at] = coded
            source[b, at] = i
        elif not ready or records[c * carrier.shape[1] + lead[kind, c], slot] & QUIET != np.uint64(0):
            coded = _sort_quiet(i, entry, c, j, history, changed, depth, track, order, rice, period, n_fields, born,
                                tick, counters, record, source, place)  # fmt: skip
        flags |= coded
        n_said += np.int64(coded >> _63)
    return flags, n_said


@inlined
def sort_into_blocks(row, n_due, due_index, plans, carrier, loud, lead, bulk, records, history, changed, depth, track,
                     order, rice, period, n_fields, born, tick, counters, absolute, record, source, place):  # fmt: skip
    """Sort the due groups of the due entries into blocks (channel * G + group).

    Absolute ones are kept by index in the list and lose their stale bit; the others by their record and index. Of quiet
    blocks, most of whose records say nothing, only those that do are kept, with their place in the block. Returns how
    many entries moved since their baseline, and how many records there are to say for sure.
    """
    n_per_channel = np.uint32(carrier.shape[1])
    counters[:] = 0
    n_moved, n_said = np.uint64(0), np.uint64(0)
    for d in range(n_due):
        i, plan = due_index[d], plans[d]
        entry = row[i]
        slot = slot_of(entry)
        c = plan >> PLAN_CHANNEL & PLAN_BITS
        if _is_simple(entry, plan, bulk):
            b = plan >> PLAN_BLOCK & PLAN_BITS
            coded = records[b, slot]
            at = counters[b, N_RECORDS]
            record[b, at] = coded
            source[b, at] = i
            counters[b, N_RECORDS] = at + np.uint32(1)
            quiet, j = plan >> PLAN_QUIET, np.uint32(0)
            flags = coded
            while quiet >> j:
                if quiet >> j & 1:
                    counters[c * n_per_channel + j, N_RECORDS] += np.uint32(1)
                    if coded & QUIET != np.uint64(0):
                        other = _sort_quiet(i, entry, c, j, history, changed, depth, track, order, rice, period,
                                            n_fields, born, tick, counters, record, source, place)  # fmt: skip
                        flags |= other
                        n_said += other >> _63
                j += np.uint32(1)
            n_said += coded >> _63
        else:
            flags, more = _sort_entry(row, i, plan & PLAN_GROUPS, carrier, loud, lead, bulk, records, history, changed,
                                      depth, track, order, rice, period, n_fields, born, tick, counters, absolute,
                                      record, source, place)  # fmt: skip
            n_said += np.uint64(more)
        n_moved += flags >> _62 & _1
    return np.int64(n_moved), np.int64(n_said)


@inlined
def count_uses(row, n_due, due_index, plans, uses):
    """Count, by a sample, whose records were asked for: more is made in advance where much is asked for."""
    for d in range(0, n_due, USES_A_SAMPLE):
        uses[slot_of(row[due_index[d]]) >> PAGE_SHIFT, plans[d] >> PLAN_CHANNEL & PLAN_BITS] += USES_A_SAMPLE


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
def put_structure(tokens, at, reset, row, n_before, n_kept, n, leaves, n_leaves, moves, n_moves, generation, bits,
                  profiles):  # fmt: skip
    """Leaves, moves and enters; in a reset frame the whole list enters. `bits`: widths of a kind, a slot, a mask.

    `profiles` has each kind's first one, how many there are, and the bits that tell which.
    """
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
            mask, kind = np.int64(mask_of(row[moves[i]])), kind_of(row[moves[i]])
            said = (mask << profiles[kind, 2]) | (np.int64(kind) - profiles[kind, 0])
            tokens[at] = token(np.int64(moves[i]) | (said << width), width + profiles[kind, 2] + bits[2])
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


@helper
def _put_quiet(tokens, at, record, source, place, n, n_said, row, c, j, tick, history, depth, track, order, rice,
               period, n_fields, born):  # fmt: skip
    """A block of which only what is said was kept."""
    if n_said == 0:
        tokens[at] = token(MODE_NOTHING, 2)
        return at + 1
    width = np.int64(index_bits(n))
    in_list = n > n_said * width + 2 * width + 1
    tokens[at] = token(MODE_LIST if in_list else MODE_BITMAP, 2)
    at = put_gamma(tokens, at + 1, n_said) if in_list else at + 1
    following = 0
    for m in range(n_said):
        if in_list:
            tokens[at] = token(place[m], width)
            at += 1
        else:
            for _ in range(following, place[m]):
                tokens[at] = token(0, 1)
                at += 1
            tokens[at] = token(1, 1)
            at += 1
            following = np.int64(place[m]) + 1
        at = _put_record(tokens, at, record[m], row[source[m]], c, j, tick, history, depth, track, order, rice, period,
                         n_fields, born)  # fmt: skip
    if not in_list:
        for _ in range(following, n):
            tokens[at] = token(0, 1)
            at += 1
    return at


@inlined
def _put_loud(tokens, at, record, source, n, row, c, j, tick, history, depth, track, order, rice, period, n_fields,
              born):  # fmt: skip
    """A block of which every record was kept."""
    width = np.int64(index_bits(n))
    n_changed, unchanged_bits, widest = _sum_up(record, n)
    mode = _shortest_mode(n, n_changed, unchanged_bits, width)
    tokens[at] = token(mode, 2)
    at += 1
    if mode == MODE_NOTHING:
        return at
    prefix = width if mode == MODE_LIST else np.int64(mode == MODE_BITMAP)
    if mode == MODE_LIST:
        at = put_gamma(tokens, at, n_changed)
    if widest + prefix <= CODE_BITS:
        return _put_short(tokens, at, mode, record, n, width)
    return _put_long(tokens, at, mode, record, source, n, width, row, c, j, tick, history, depth, track, order, rice,
                     period, n_fields, born)  # fmt: skip


@inlined
def put_blocks(tokens, at, row, tick, phase, reset, loud, counters, absolute, record, source, place, history, depth,
               track, order, rice, period, n_fields, born, reference):  # fmt: skip
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
        if loud[b] != 0:
            at = _put_loud(tokens, at, record[b], source[b], n, row, c, j, tick, history, depth, track, order, rice,
                           period, n_fields, born)  # fmt: skip
        else:
            at = _put_quiet(tokens, at, record[b], source[b], place[b], n, np.int64(counters[b, N_SAID]), row, c, j,
                            tick, history, depth, track, order, rice, period, n_fields, born)  # fmt: skip
    return at


@inlined
def put_header(octets, payload, n):
    """Write the WebSocket header in front of a payload of `n` bytes; return where it begins."""
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
    return start


@inlined
def finish(words, octets, tokens, n_tokens, first_word):
    """Pack the tokens and write the WebSocket header in front of them; return start, payload and stop in bytes."""
    payload = (first_word + HEADER_WORDS) * 8
    n = (pack(words, first_word + HEADER_WORDS, tokens, n_tokens) + 7) >> 3
    return put_header(octets, payload, n), payload, payload + n
