"""Delta: difference and encode once per entity and channel, for all who follow it there.

On an ordered stream everybody who follows an entity on a channel has the same baseline, so the coded residual is the
same bits for all of them. A record is one uint64: a token (`bits`) with bit 62 set where the value moved since the
baseline, bit 63 where the prediction missed. Length 63 marks a code that doesn't fit; `frames` writes those field by
field.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel
from horizon_ecs.systems.bits import CODE_BITS, LENGTH_MASK, LENGTH_SHIFT, MAX_UNARY, unzigzag, zigzag

PAGE = 1024
DEAD = np.uint32(0xFFFFFFFF)

LONG = np.uint64(63)
MOVED = np.uint64(1 << 62)
MISSED = np.uint64(1 << 63)

_1 = np.uint64(1)
_TOO_LONG = np.uint64(256)  # more than any code that fits, four of which stay below uint16's end


@helper
def history_row(track, tick, depth):
    """The row of the history that holds `track` as of `tick`; `depth` is a power of two."""
    return np.int64(track) * depth + (np.int64(tick) & (depth - 1))


@helper
def last_followed(followed, page):
    """The last tick at which anybody was seen to follow an entity of the page; `followed` has a row a thread."""
    newest = np.int64(0)
    for part in range(followed.shape[0]):
        newest = max(newest, np.int64(followed[part, page]))
    return newest


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


@helper
def _moved_lately(changed, track, slot, tick, period):
    """Whether a value without a predictor changed since the baseline."""
    return np.int64(changed[track, slot]) > tick - period


@helper
def _accumulate(residual_now, moved, k, i, code, length, flags):
    """Append one field's Rice code to the record in the making of row `i` of the page."""
    z = np.uint64(zigzag(residual_now))
    quotient = z >> k
    unary = min(quotient, np.uint64(MAX_UNARY))
    bits = ((_1 << unary) - _1) | ((z & ((_1 << k) - _1)) << (unary + _1))
    used = np.uint64(length[i])
    # A record that is too long already is told by its length; masking keeps the shift defined.
    code[i] |= bits << (used & LENGTH_MASK)
    length[i] = np.uint16(used + unary + _1 + k + (_TOO_LONG if quotient > unary else np.uint64(0)))
    flags[i] |= (np.uint8(2) if z != np.uint64(0) else np.uint8(0)) | (np.uint8(1) if moved else np.uint8(0))


@helper
def _old_page(history, changed, tracks, orders, ks, n_fields, first, tick, period, depth, code, length, flags):
    """A page whose entities were all born early enough: straight loops over rows of the history."""
    for f in range(n_fields):
        k = np.uint64(ks[f])
        # Views of the page: with the page's first slot as a signed offset, every load would become a gather.
        now = history[history_row(tracks[f], tick, depth), first : first + PAGE]
        before = history[history_row(tracks[f], tick - period, depth), first : first + PAGE]
        if orders[f] == 2:
            earlier = history[history_row(tracks[f], tick - 2 * period, depth), first : first + PAGE]
            for i in range(PAGE):
                a, b, c = now[i], before[i], earlier[i]
                _accumulate(np.int32(a - b - np.int32(b - c)), a != b, k, i, code, length, flags)
        elif orders[f] == 1:
            for i in range(PAGE):
                a, b = now[i], before[i]
                _accumulate(np.int32(a - b), a != b, k, i, code, length, flags)
        elif orders[f] == 3:
            for i in range(PAGE):
                a, b = now[i], before[i]
                _accumulate(unzigzag(a ^ b), a != b, k, i, code, length, flags)
        else:
            for i in range(PAGE):
                moved = _moved_lately(changed, tracks[f], first + i, tick, period)
                _accumulate(now[i], moved, k, i, code, length, flags)
                flags[i] |= np.uint8(2)


@helper
def _young_page(
    history, changed, tracks, orders, ks, n_fields, first, tick, period, depth, born, code, length, flags
):  # fmt: skip
    """A page with an entity younger than its baseline: every row looks up its own birth."""
    for i in range(PAGE):
        birth = born[first + i]
        if birth == DEAD:
            continue
        for f in range(n_fields):
            r, moved = residual(history, tracks[f], orders[f], first + i, tick, period, birth, depth)
            if orders[f] == 0:
                moved = _moved_lately(changed, tracks[f], first + i, tick, period)
                flags[i] |= np.uint8(2)
            _accumulate(r, moved, np.uint64(ks[f]), i, code, length, flags)


@helper
def _is_young(born, first, oldest):
    """Whether any live entity of the page was born after `oldest`."""
    young = False
    for i in range(first, first + PAGE):
        young |= (born[i] != DEAD) & (np.int64(born[i]) > oldest)
    return young


@helper
def _encode_page(
    history, changed, tracks, orders, ks, n_fields, page, tick, period, depth, born, structure_tick, out, code, length,
    flags
):  # fmt: skip
    """The records of one page for one channel and group."""
    first = np.int64(page) * PAGE
    records = out[first : first + PAGE]
    code[:] = 0
    length[:] = 0
    flags[:] = 0
    oldest = tick - 2 * period
    if structure_tick > oldest and _is_young(born, first, oldest):
        _young_page(
            history, changed, tracks, orders, ks, n_fields, first, tick, period, depth, born, code, length, flags
        )
    else:
        _old_page(history, changed, tracks, orders, ks, n_fields, first, tick, period, depth, code, length, flags)
    for i in range(PAGE):
        used = np.uint64(length[i])
        short = code[i] | (used << LENGTH_SHIFT)
        body = short if used <= np.uint64(CODE_BITS) else LONG << LENGTH_SHIFT
        records[i] = body | (np.uint64(flags[i]) << np.uint64(62))


_ARGUMENTS = (
    "int64[:, ::1], uint32[::1], int16[::1], uint32[:, ::1], int64, int32[:, ::1], uint32[:, ::1], int64, "
    "int32[:, :, :, ::1], uint8[:, :, :, ::1], uint8[:, :, :, ::1], int64[:, ::1], int64[:, ::1], uint32[::1], "
    "int64, int64, uint64[:, :, ::1], uint64[::1], uint16[::1], uint8[::1]"
)


@kernel(f"void({_ARGUMENTS})")
def encode_records(
    specs, pages, page_kind, followed, tick, history, changed, depth, track, order, rice, period, n_fields, born,
    structure_tick, longest_period, out, code, length, flags
):  # fmt: skip
    """Write the record of every entity that somebody may follow, for every channel and group.

    Parameters
    ----------
    specs : int64[n, 3]                       in   (kind, channel, group) to work on
    pages : uint32[n]                         in   a part of the pages of replicated kinds
    page_kind : int16[n_pages]                in
    followed : uint32[n_parts, n_pages]       in   last tick at which an entity of the page was followed
    tick : int64                              in
    history : int32[n_tracks * depth, stride] in   quantised values; `depth` is a power of two
    changed : uint32[n_tracks, stride]        in   last tick of any change, of tracks without a predictor
    track : int32[n_kinds, C, G, 4]           in   track of each field
    order : uint8[n_kinds, C, G, 4]           in   predictor: 3 toggled bits, 2 linear, 1 previous value, 0 none
    rice : uint8[n_kinds, C, G, 4]            in   Rice parameters
    period : int64[n_kinds, C]                in   ticks
    n_fields : int64[n_kinds, G]              in
    born : uint32[capacity]                   in
    structure_tick, longest_period : int64    in   last tick of any birth or death; the longest period of all
    out : uint64[C, stride, G]                out  records
    code, length, flags                       scratch, [1024] each

    Cost: O(1024 pages specs), allocates nothing. Oracle: tests/naive.py::encode_record.
    """
    for page in pages:
        if last_followed(followed, page) + longest_period < tick:
            continue
        for s in range(specs.shape[0]):
            k, c, j = specs[s, 0], specs[s, 1], specs[s, 2]
            if k != page_kind[page]:
                continue
            _encode_page(
                history, changed, track[k, c, j], order[k, c, j], rice[k, c, j], n_fields[k, j], page, tick,
                period[k, c], depth, born, structure_tick, out[c, :, j], code, length, flags
            )  # fmt: skip
