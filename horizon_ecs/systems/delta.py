"""Delta: difference and encode once per entity and channel, for all who follow it there.

On an ordered stream everybody who follows an entity on a channel has the same baseline, so the coded residual is the
same bits for all of them. A record is one uint64: a token (`bits`) with bit 62 set where the value moved since the
baseline, bit 63 where the prediction missed. Length 63 marks a code that doesn't fit; `frames` writes those field by
field.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, inlined, kernel
from horizon_ecs.systems.bits import COARSER, CODE_BITS, LENGTH_SHIFT, MAX_ONES, unzigzag, zigzag

PAGE = 1024
DEAD = np.uint32(0xFFFFFFFF)

LONG = np.uint64(63)
QUIET = np.uint64(1 << 61)
MOVED = np.uint64(1 << 62)
MISSED = np.uint64(1 << 63)

_1, _1W = np.uint64(1), np.uint32(1)
_IN_WORD = np.uint32(63)
_STEP, _COARSER, _MOST_ONES = np.uint32(MAX_ONES + 1), np.uint32(COARSER), np.uint32(MAX_ONES)
_TOO_LONG = np.uint32(256)  # more than any code that fits


@helper
def history_row(track, tick, depth):
    """The row of the history that holds `track` as of `tick`; `depth` is a power of two."""
    return np.int64(track) * depth + (np.int64(tick) & (depth - 1))


@helper
def residual(history, track, order, slot, tick, period, born, depth):
    """What prediction missed, and whether the value moved, of one field of one entity.

    Before its birth an entity is taken to have stood where it was born. Without a predictor (order 0) the history
    doesn't reach the baseline: whether such a value moved is told by when it changed last (see `_moved_lately`).
    Bits that toggle (order 3) are told unfolded, so that zigzag gives them back.
    """
    first = np.int64(born)
    now = history[history_row(track, tick, depth), slot]
    if order == 0:
        return now, False
    before = history[history_row(track, max(tick - period, first), depth), slot]
    if order == 1:
        return np.int32(now - before), now != before
    if order == 3:
        return unzigzag(now ^ before), now != before
    earlier = history[history_row(track, max(tick - 2 * period, first), depth), slot]
    return np.int32(now - np.int32(before) - np.int32(before - earlier)), now != before


@inlined
def _moved_lately(changed, track, slot, tick, period):
    """Whether a value without a predictor changed since the baseline."""
    return np.int64(changed[track, slot]) > tick - period


@inlined
def _rice(z, k):
    """Rice code of `z` and its length; one that doesn't fit any record is told by its length alone."""
    quotient = np.uint32(z >> k)
    far = quotient > _MOST_ONES
    rest = np.uint64(z) - (np.uint64(_STEP) << np.uint64(k) if far else np.uint64(0))
    shift = np.uint32(k + (_COARSER if far else np.uint32(0)))
    ones = np.uint32(rest >> np.uint64(shift))
    too_long = ones > _MOST_ONES
    ones = np.uint32(min(ones, _MOST_ONES) + (_STEP if far else np.uint32(0)))
    bits = ((_1 << np.uint64(ones)) - _1) | ((rest & ((_1 << np.uint64(shift)) - _1)) << np.uint64(ones + _1W))
    return bits, np.uint32(ones + _1W + shift + (_TOO_LONG if too_long else np.uint32(0)))


@inlined
def _append(z, k, i, code, used):
    """Append one field's code to the record in the making of row `i` of the page."""
    bits, n = _rice(z, k)
    # Where a record is too long already, masking keeps the shift defined.
    code[i] |= bits << np.uint64(used[i] & _IN_WORD)
    used[i] += n


@helper
def _add_field(order, k, now, before, earlier, code, used, missed, moved):
    """One field of a page whose entities were all born early enough: straight loops over rows of the history."""
    for i in range(PAGE):
        moved[i] |= np.uint32(now[i] ^ before[i])
    if order == 2:
        for i in range(PAGE):
            z = zigzag(np.int32(now[i] - before[i] - np.int32(before[i] - earlier[i])))
            missed[i] |= z
            _append(z, k, i, code, used)
    elif order == 1:
        for i in range(PAGE):
            z = zigzag(np.int32(now[i] - before[i]))
            missed[i] |= z
            _append(z, k, i, code, used)
    else:
        for i in range(PAGE):
            z = np.uint32(now[i] ^ before[i])
            missed[i] |= z
            _append(z, k, i, code, used)


@helper
def _add_unpredicted(k, now, changed, tick, period, code, used, missed, moved):
    """One field without a predictor: it is sent each time, and moved if it changed since the baseline."""
    since = np.uint32(max(tick - period, 0))
    for i in range(PAGE):
        _append(zigzag(now[i]), k, i, code, used)
        missed[i] |= _1W
        moved[i] |= np.uint32(changed[i] > since)


@inlined
def _close(code, used, missed, moved, quiet):
    """A record: code, length and flags in one word."""
    body = code | (np.uint64(used) << LENGTH_SHIFT) if used <= np.uint32(CODE_BITS) else LONG << LENGTH_SHIFT
    missed_bit = MISSED if missed != np.uint32(0) else np.uint64(0)
    return body | missed_bit | (MOVED if moved != np.uint32(0) else np.uint64(0)) | (QUIET if quiet else np.uint64(0))


@helper
def encode_one(history, changed, tracks, orders, ks, n_fields, slot, tick, period, depth, born):
    """The record of one entity for one channel and group, without what is said of quiet groups."""
    code, used, missed, moved = np.uint64(0), np.uint32(0), np.uint32(0), np.uint32(0)
    for f in range(n_fields):
        r, has_moved = residual(history, tracks[f], orders[f], slot, tick, period, born, depth)
        if orders[f] == 0:
            has_moved = _moved_lately(changed, tracks[f], slot, tick, period)
            missed |= _1W
        z = zigzag(r)
        bits, n = _rice(z, np.uint32(ks[f]))
        code |= bits << np.uint64(used & _IN_WORD)
        used += n
        missed |= z
        moved |= np.uint32(has_moved)
    return _close(code, used, missed, moved, False)


@helper
def encode_page(history, changed, tracks, orders, ks, n_fields, first, tick, period, depth, born, structure_tick,
                stamps, out, code, used, missed, moved):  # fmt: skip
    """The records of one page for one channel and group; `stamps` say when a quiet group changed last."""
    code[:] = 0
    used[:] = 0
    missed[:] = 0
    moved[:] = 0
    last = first + PAGE
    for f in range(n_fields):
        k = np.uint32(ks[f])
        # Views of the page: with the page's first slot as a signed offset, every load would become a gather.
        now = history[history_row(tracks[f], tick, depth), first:last]
        if orders[f] == 0:
            _add_unpredicted(k, now, changed[tracks[f], first:last], tick, period, code, used, missed, moved)
            continue
        before = history[history_row(tracks[f], tick - period, depth), first:last]
        earlier = history[history_row(tracks[f], tick - (2 * period if orders[f] == 2 else 0), depth), first:last]
        _add_field(orders[f], k, now, before, earlier, code, used, missed, moved)
    since = np.uint32(max(tick - period, 0))
    records = out[first:last]
    for i in range(PAGE):
        records[i] = _close(code[i], used[i], missed[i], moved[i], stamps[i] > since)
    oldest = tick - 2 * period
    if structure_tick > oldest:
        for i in range(PAGE):
            birth = np.int64(born[first + i])
            # One younger than its baseline looks up its own birth.
            if birth > oldest and birth <= tick:
                one = encode_one(history, changed, tracks, orders, ks, n_fields, first + i, tick, period, depth, birth)
                records[i] = one | (records[i] & QUIET)


@helper
def _latest(changed, tracks, first, out):
    """When any of some tracks changed last, for every slot of a page; a negative track ends the list."""
    out[:] = 0
    for track in tracks:
        if track < 0:
            break
        stamps = changed[track, first : first + PAGE]
        for i in range(PAGE):
            out[i] = max(out[i], stamps[i])


@kernel("void(uint32[:, :, ::1], int64, int64, int64[::1], uint8[:, ::1])")
def choose_pages(uses, enough, tick, followed_tick, out_bulk):
    """Choose the pages of which records are worth making in advance, a channel each.

    Parameters
    ----------
    uses : uint32[n_threads, n_pages, C]   in/out  records that were asked for in this tick; cleared
    enough : int64                         in      from so many on a page is worth it
    followed_tick : int64[n_pages]         in/out  when any record of a page was asked for last
    out_bulk : uint8[n_pages, C]           out

    Oracle: tests/naive.py::choose_pages.
    """
    for page in range(out_bulk.shape[0]):
        for c in range(out_bulk.shape[1]):
            n = 0
            for thread in range(uses.shape[0]):
                n += np.int64(uses[thread, page, c])
                uses[thread, page, c] = 0
            out_bulk[page, c] = n >= enough
            if n > 0:
                followed_tick[page] = tick


_ARGUMENTS = (
    "int64[:, ::1], uint32[::1], int16[::1], uint8[:, ::1], int64, int32[:, ::1], uint32[:, ::1], int64, "
    "int32[:, :, :, ::1], uint8[:, :, :, ::1], uint8[:, :, :, ::1], int64[:, ::1], int64[:, ::1], int32[:, ::1], "
    "uint32[::1], int64, uint64[:, ::1], uint64[::1], uint32[:, ::1]"
)


@kernel(f"void({_ARGUMENTS})")
def encode_records(
    specs, pages, page_kind, bulk, tick, history, changed, depth, track, order, rice, period, n_fields,
    quiet_tracks, born, structure_tick, out, code, scratch
):  # fmt: skip
    """Write the record of every entity of some pages, for some channels and groups.

    Parameters
    ----------
    specs : int64[n, 3]                       in   (kind, channel, group) to work on
    pages : uint32[n]                         in   a part of the pages of replicated kinds
    page_kind : int16[n_pages]                in
    bulk : uint8[n_pages, C]                  in   1 where the records of a page are wanted
    tick : int64                              in
    history : int32[n_tracks * depth, stride] in   quantised values; `depth` is a power of two
    changed : uint32[n_tracks, stride]        in   last tick of any change, of tracks without a predictor and quiet ones
    track : int32[n_kinds, C, G, 4]           in   track of each field
    order : uint8[n_kinds, C, G, 4]           in   predictor (docs/wire.md)
    rice : uint8[n_kinds, C, G, 4]            in   Rice parameters
    period : int64[n_kinds, C]                in   ticks
    n_fields : int64[n_kinds, G]              in
    quiet_tracks : int32[n_kinds, n]          in   tracks whose changes raise QUIET, -1 where there are no more
    born : uint32[capacity]                   in
    structure_tick : int64                    in   last tick of any birth or death
    out : uint64[C * G, stride]               out  records
    code : uint64[1024], scratch : uint32[4, 1024]

    Cost: O(1024 pages specs), allocates nothing. Oracle: tests/naive.py::encode_record.
    """
    used, missed, moved, stamps = scratch[0], scratch[1], scratch[2], scratch[3]
    for page in pages:
        first, begun = np.int64(page) * PAGE, False
        for s in range(specs.shape[0]):
            k, c, j = specs[s, 0], specs[s, 1], specs[s, 2]
            if k == page_kind[page] and bulk[page, c] != 0:
                if not begun:
                    _latest(changed, quiet_tracks[k], first, stamps)
                    begun = True
                encode_page(
                    history, changed, track[k, c, j], order[k, c, j], rice[k, c, j], n_fields[k, j], first, tick,
                    period[k, c], depth, born, structure_tick, stamps, out[c * track.shape[2] + j], code, used, missed,
                    moved
                )  # fmt: skip
