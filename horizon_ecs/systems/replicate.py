"""Replicate: interest and frame of every observer that has something due, each on its own, so that parts of them can be shared out."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel
from horizon_ecs.systems.bits import ACC, FILL, WORD, put
from horizon_ecs.systems.frames import (
    FLAG_PARAMETERS,
    FLAG_RESET,
    FLAG_STRUCTURE,
    HEADER_WORDS,
    N_ABSOLUTE,
    finish,
    put_blocks,
    put_parameters,
    put_structure,
    sort_into_blocks,
)
from horizon_ecs.systems.interest import SLOT_MASK, admit, refresh, scan

# Columns of `tally`, what one thread counts in one tick.
UPDATES, ENTERS, LEAVES, ABSOLUTES, REFUSED, OVERFLOWS, N_TALLIES = 0, 1, 2, 3, 4, 5, 6

_PAGE_SHIFT = 10


@helper
def _highest(mask):
    """The number of the highest bit of a non-zero mask."""
    top = 0
    while mask >> (top + 1):
        top += 1
    return top


@helper
def _find(position, due, reach, leave_sq, inverse_size, shape, cell_start, item_slot, item_x, item_y, item_z,
          near_slot, near_sq, near_used, where, base, first_of_kind):  # fmt: skip
    """Scan every due kind around one observer; note at each slot where in the finds it stands."""
    n = 0
    for k in range(len(due)):
        first_of_kind[k] = n
        if due[k] != 0:
            top = _highest(due[k])
            n = scan(position[0], position[1], position[2], reach[k, top], leave_sq[k, top], inverse_size[k], shape[k],
                     cell_start, item_slot, item_x, item_y, item_z, near_slot, near_sq, n)  # fmt: skip
    first_of_kind[len(due)] = n
    for m in range(n):
        where[near_slot[m]] = np.uint32(base + m)
        near_used[m] = 0
    return n


@helper
def _fresh_stamp(stamp, where):
    """A stamp above all that stand in `where`; it starts over before it leaves 32 bits."""
    if stamp + len(where) > 0xFFFFFFFF:
        where[:] = 0
        return np.int64(1)
    return stamp


@helper
def _admit_all(row, n, due, near_slot, near_sq, near_used, first_of_kind, enter_sq):
    """Let the new finds of every due kind in."""
    refused = 0
    for k in range(len(due)):
        if due[k] != 0:
            n, over = admit(row, n, k, due[k], near_slot, near_sq, near_used, first_of_kind[k], first_of_kind[k + 1],
                            enter_sq[k])  # fmt: skip
            refused += over
    return n, refused


@helper
def _mark(row, n, followed, tick):
    """Remember that somebody follows an entity of these pages: their records will be wanted."""
    for i in range(n):
        followed[np.int64((row[i] & SLOT_MASK) >> np.uint64(_PAGE_SHIFT))] = tick


@helper
def _open_frame(words, writer, first_word, flags, reset, tick, sent_tick):
    """Flags and tick, at the first byte of the payload."""
    writer[ACC], writer[FILL], writer[WORD] = np.uint64(0), np.uint64(0), np.uint64(first_word + HEADER_WORDS)
    put(words, writer, flags, 8)
    if reset:
        put(words, writer, tick, 32)
    else:
        put(words, writer, tick - sent_tick, 8)


_ARGUMENTS = (
    "int64, int64, int64, uint32[::1], uint8[::1], int64[:, ::1], int64[::1], float32[:, ::1], uint32[::1], uint32[::1], int32[::1], "
    "uint64[:, ::1], int64[:, ::1], float64[:, ::1], float32[:, ::1], float32[:, ::1], uint8[:, :, ::1], uint8[:, :, ::1], int64[::1], "
    "int64[:, ::1], int32[:, :, :, ::1], uint8[:, :, :, ::1], uint8[:, :, :, ::1], uint8[::1], uint32[::1], int64, "
    "int32[:, ::1], int64, uint64[:, ::1], uint32[::1], uint32[::1], int64, int64, int64[::1], "
    "float64[::1], int64[:, ::1], int32[::1], uint32[::1], float32[::1], float32[::1], float32[::1], "
    "uint32[:, ::1], float32[:, ::1], uint8[:, ::1], uint32[:, ::1], int64[::1], int64[:, ::1], int32[:, ::1], "
    "int32[:, ::1], int32[:, ::1], int64[:, :, ::1], int32[:, :, ::1], uint64[:, :, ::1], int32[:, :, ::1], "
    "int32[:, :, ::1], uint32[:, ::1], uint64[::1], uint8[::1], int64[::1], int64, int64[:, ::1], int64[:, ::1]"
)


@kernel(f"void({_ARGUMENTS})")
def replicate(
    part, n_parts, tick, served, reset, observer_due, phase, position, evaluated_tick, sent_tick, n_followed, lists,
    period, reach, enter_sq, leave_sq, carrier, due_groups, n_groups, n_fields, track, order, rice, rice_flat, rice_tick,
    newest_rice_tick, history, depth, records, born, generation, structure_tick, max_silence, bits,
    inverse_size, shape, cell_start, item_slot, item_x, item_y, item_z,
    near_slot, near_sq, near_used, where, stamp, first_of_kind, picked, leaves, moves, counters, absolute, record, source,
    reference, followed, words, octets, region, entry_bits, out_span, tally
):  # fmt: skip
    """Evaluate interest and write the state frame of one part's share of the observers in `served`.

    Parameters
    ----------
    part, n_parts : int64                          in
    tick : int64                                   in
    served : uint32[n]                             in      observers with something due
    reset : uint8[n]                               in      1: a reset frame
    observer_due : int64[n, n_kinds]               in      bit mask of due channels (all of the kind's in a reset frame)
    phase : int64[max_observers]                   in
    position : float32[max_observers, 3]           in      where each observer stands
    evaluated_tick, sent_tick : uint32[max_observers]  in/out
    n_followed : int32[max_observers]              in/out  length of each list
    lists : uint64[max_observers, max_followed]    in/out  see `interest`
    period : int64[n_kinds, C]                     in      ticks; 0 where the kind has no layer
    reach : float64[n_kinds, C]                    in      distance that a scan must cover
    enter_sq, leave_sq : float32[n_kinds, C]       in      squared radii, -1 where the kind has no layer
    carrier : uint8[n_kinds, G, 256]               in      channel that carries a group, by mask; 255 for none
    due_groups : uint8[n_kinds, 256, 256]          in      bit mask of the groups carried on a due channel, by due channels and mask
    n_groups : int64[n_kinds];  n_fields : int64[n_kinds, G]
    track : int32[n_kinds, C, G, 4];  order, rice : uint8 of that shape
    rice_flat : uint8[P];  rice_tick : uint32[P]   in      `rice`, those fields that exist, and when each changed last
    newest_rice_tick : int64                       in
    history : int32[n_tracks * depth, stride];  records : uint64[C * G, stride]
    born, generation : uint32[capacity];  structure_tick : int64
    max_silence : int64                            in      ticks after which an empty frame goes out
    bits : int64[3]                                in      widths of a kind, a slot, a mask
    inverse_size, shape, cell_start, item_*        in      the grid (`build_grid`)
    near_* [n_parts, capacity], where uint32[n_parts, capacity], stamp int64[n_parts], first_of_kind int64[n_parts, n_kinds + 1],
    picked, leaves, moves int32[n_parts, max_followed], counters int64[n_parts, C * G, 4], absolute int32, record uint64,
    source int32 [n_parts, C * G, max_followed], reference int32[n_parts, n_kinds, 4]:  scratch
    followed : uint32[n_parts, n_pages]            in/out  last tick at which an entity of the page was followed
    words : uint64[n], octets : uint8[8 n]         out     the same memory: the frames
    region : int64[n_parts + 1]                    in      where each part's words begin
    entry_bits : int64                             in      an upper bound of what one entry adds to a frame
    out_span : int64[n, 3]                         out     start, payload, stop in bytes; stop 0 where nothing is sent
    tally : int64[n_parts, 6]                      in/out  counts, see the names above

    Cost: O(candidates + followed), allocates nothing that grows. Oracle: tests/naive.py::Observer, `horizon_ecs.oracle`.
    """
    writer = np.zeros(3, np.uint64)
    at = region[part]
    kind_bits, slot_bits, channel_bits = np.uint64(bits[0]), np.uint64(bits[1]), np.uint64(bits[2])
    near, distance, used, index = near_slot[part], near_sq[part], near_used[part], where[part]
    firsts, lost, moved, count = first_of_kind[part], leaves[part], moves[part], counters[part]
    for s in range(part * len(served) // n_parts, (part + 1) * len(served) // n_parts):
        o = np.int64(served[s])
        row, due, is_reset = lists[o], observer_due[s], reset[s] != 0
        out_span[s, 2] = 0
        base = _fresh_stamp(stamp[part], index)
        n_found = _find(position[o], due, reach, leave_sq, inverse_size, shape, cell_start, item_slot, item_x, item_y,
                        item_z, near, distance, used, index, base, firsts)  # fmt: skip
        n_before = np.int64(n_followed[o])
        kept, n_leaves, n_moves = refresh(
            row, n_before, due, np.int64(evaluated_tick[o]), structure_tick > np.int64(evaluated_tick[o]), born, index,
            base, distance, used, n_found, enter_sq, leave_sq, carrier, n_groups, picked[part], lost, moved
        )  # fmt: skip
        n, refused = _admit_all(row, kept, due, near, distance, used, firsts, enter_sq)
        stamp[part] = base + n_found
        evaluated_tick[o] = tick
        n_followed[o] = n
        _mark(row, n, followed[part], tick)
        n_moved, n_said = sort_into_blocks(row, n, due, is_reset, carrier, due_groups, records, count, absolute[part],
                                           record[part], source[part])  # fmt: skip
        tally[part, UPDATES] += n_moved
        tally[part, ENTERS] += n - kept
        tally[part, LEAVES] += n_leaves
        tally[part, REFUSED] += refused
        structure = is_reset or n_leaves + n_moves + n - kept > 0
        if not structure and n_said == 0 and tick - np.int64(sent_tick[o]) < max_silence:
            continue
        if at + ((max(n, n_before) + 64) * entry_bits >> 6) > region[part + 1]:
            tally[part, OVERFLOWS] += 1
            continue
        parameters = is_reset or newest_rice_tick > np.int64(sent_tick[o])
        flags = FLAG_RESET * is_reset + FLAG_PARAMETERS * parameters + FLAG_STRUCTURE * structure
        _open_frame(words, writer, at, flags, is_reset, tick, np.int64(sent_tick[o]))
        if parameters:
            put_parameters(words, writer, is_reset, rice_flat, rice_tick, sent_tick[o])
        if structure:
            put_structure(words, writer, is_reset, row, n_before, kept, n, lost, n_leaves, moved, n_moves, generation,
                          kind_bits, slot_bits, channel_bits)  # fmt: skip
        for b in range(count.shape[0]):
            tally[part, ABSOLUTES] += count[b, N_ABSOLUTE]
        put_blocks(words, writer, row, tick, phase[o], is_reset, count, absolute[part], record[part], source[part], history,
                   depth, track, order, rice, period, n_fields, born, reference[part])  # fmt: skip
        out_span[s, 0], out_span[s, 1], out_span[s, 2] = finish(words, octets, writer, at)
        at = (out_span[s, 2] + 7) >> 3
        sent_tick[o] = tick
