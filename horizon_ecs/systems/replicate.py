"""Replicate: interest and frame of every observer that has something due, each on its own, so that parts of them can be
shared out.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import bit_length, helper, inlined, kernel, prefetch
from horizon_ecs.systems.bits import token
from horizon_ecs.systems.budget import (
    BURST,
    HELD,
    RESET_SHARE,
    add_unchosen,
    fill_purse,
    fixed_bits,
    follow_leaves,
    list_all_new,
    pay,
    put_partial,
    spend,
)
from horizon_ecs.systems.crowd import classify_again, fitting_reach, next_reach
from horizon_ecs.systems.frames import (
    FLAG_PARAMETERS,
    FLAG_PARTIAL,
    FLAG_RESET,
    FLAG_STRUCTURE,
    N_ABSOLUTE,
    N_RECORDS,
    N_SAID,
    RATE_SHIFT,
    count_uses,
    finish,
    prefetch_record,
    put_blocks,
    put_parameters,
    put_structure,
    sort_into_blocks,
)
from horizon_ecs.systems.interest import (
    ALL_STALE,
    STALE_SHIFT,
    account,
    admit,
    any_gone,
    classify,
    locate,
    pick_changing,
    pick_due,
    refresh,
)
from horizon_ecs.systems.messages import COMPARES, PENDING, copy_list, take_back, tell
from horizon_ecs.systems.scan import scan, scan_levels
from horizon_ecs.systems.switching import switch
from horizon_ecs.systems.visibility import IN_USE, LAST_CHANGE, any_hidden, kind_at, look, pick_seen

# Columns of `tally`, what one thread counts in one tick.
UPDATES, ENTERS, LEAVES, ABSOLUTES, REFUSED, OVERFLOWS, WAITING, N_TALLIES = 0, 1, 2, 3, 4, 5, 6, 7

_AHEAD = 2  # observers
_PAGE_SHIFT = np.uint32(10)


@inlined
def _find(position, due, owner_only, reach, enter_sq, leave_sq, scale, most, simple, first_level, level_scale,
          inverse_size, shape, split, first_part, cell_start, item_slot, item_position, item_inverse, near_slot,
          near_sq, inside, held, where, base, first_of_kind):  # fmt: skip
    """Scan every level of every due kind around one observer; note at each slot where in the finds it stands, and what
    each enters.

    Returns how many there are, how many of them are within a due channel, and what became of the observer's scale.
    """
    n, n_inside = 0, 0
    for k in range(len(due)):
        first_of_kind[k] = n
        if due[k] != 0:
            top = np.int64(bit_length(np.uint64(due[k]))) - 1
            first, limit = n, leave_sq[k, top] * (scale * scale)
            far = reach[k, top] * np.float64(scale)
            if simple:
                n = scan(position[0], position[1], position[2], far, limit, inverse_size[k], shape[k], 0, cell_start,
                         item_slot, item_position, near_slot, near_sq, n)  # fmt: skip
            else:
                n = scan_levels(position[0], position[1], position[2], first_level[k], first_level[k + 1], far, limit,
                                level_scale, inverse_size, shape, 0, split, first_part, cell_start, item_slot,
                                item_position, item_inverse, near_slot, near_sq, n)  # fmt: skip
            n_inside += classify(near_sq, first, n, due[k], enter_sq[k], leave_sq[k], scale * scale, inside, held)
    first_of_kind[len(due)] = n
    for m in range(n):
        where[near_slot[m]] = np.uint32(base + m)
    inside[n : n + 2] = 0
    held[n : n + 2] = 0
    if n_inside > most:
        scale = fitting_reach(near_sq, first_of_kind, due, owner_only, enter_sq, scale, most)
        n_inside = classify_again(near_sq, first_of_kind, due, enter_sq, leave_sq, scale, inside, held)
    return n, n_inside, scale


@inlined
def _pick(row, n, due, dies, evaluated_tick, born, where, base, n_near, n_inside, inside, picked, place, known):
    """List the entries that may change, and where among the finds each stands; return how many, and whether some enter.

    An entry that isn't followed on a due channel changes only by entering one, and few ticks see that: only then, or
    where somebody died, the whole list is compared with what was found.
    """
    n_picked, enters = 0, dies
    if not dies:
        n_picked = pick_due(row, n, due, picked)
        enters = locate(row, n_picked, picked, where, base, n_near, inside, place) != n_inside
    if enters:
        n_picked = pick_changing(row, n, due, dies, evaluated_tick, born, where, base, n_near, picked)
        locate(row, n_picked, picked, where, base, n_near, inside, place)
        account(row, n_picked, picked, dies, evaluated_tick, born, n_near, place, known)
    return n_picked, enters


@inlined
def _fresh_stamp(stamp, where):
    """A stamp above all that stand in `where`; it starts over before it leaves 32 bits."""
    if stamp + len(where) > 0xFFFFFFFF:
        where[:] = 0
        return np.int64(1)
    return stamp


@helper
def _admit_all(row, n, max_followed, due, near_slot, inside, known, first_of_kind, plans, n_due, due_index,
               due_plan):  # fmt: skip
    """Let the new finds of every due kind in."""
    refused = 0
    for k in range(len(due)):
        if due[k] != 0:
            n, n_due, over = admit(row, n, max_followed, k, due[k], near_slot, inside, known, first_of_kind[k],
                                   first_of_kind[k + 1], plans, n_due, due_index, due_plan)  # fmt: skip
            refused += over
    return n, n_due, refused


@helper
def _admit_listed(row, n, max_followed, due, near_slot, inside, known, first, last, page_kind, slot_kind, plans, n_due,
                  due_index, due_plan):  # fmt: skip
    """Let those in that only lists name, of any kind."""
    refused = 0
    for m in range(first, last):
        k = kind_at(near_slot[m], page_kind, slot_kind)
        n, n_due, over = admit(row, n, max_followed, k, due[k], near_slot, inside, known, m, m + 1, plans, n_due,
                               due_index, due_plan)  # fmt: skip
        refused += over
    return n, n_due, refused


@inlined
def _prefetch_observer(o, row_start, n_followed, row_room, position, sent_tick, evaluated_tick, reach_scale, phase,
                       work, limited):  # fmt: skip
    """Have fetched what is known of an observer: it lies in as many places."""
    prefetch(row_start, o)
    prefetch(n_followed, o)
    prefetch(row_room, o)
    prefetch(position, 3 * np.int64(o))
    prefetch(sent_tick, o)
    prefetch(evaluated_tick, o)
    prefetch(reach_scale, o)
    prefetch(phase, o)
    prefetch(work, o)
    prefetch(limited, o)


@inlined
def _prefetch_list(rows, start, n):
    """Have an observer's list fetched: nobody has looked at it for ticks."""
    for i in range(0, np.int64(n), 8):
        prefetch(rows, start + i)


@helper
def _missing_room(n, n_found, inside, known, max_followed, room):
    """How many entries a list's row must hold for all finds that it lacks; 0 where it does."""
    for m in range(n_found):
        n += np.int64(inside[m] != 0 and known[m] == 0)
    wanted = min(n, max_followed)
    return wanted if wanted > room else 0


@helper
def _count_changed(rice_tick, newest_rice_tick, sent):
    """How many parameters changed since the observer's last frame."""
    n = 0
    if newest_rice_tick > sent:
        for p in range(len(rice_tick)):
            n += np.int64(rice_tick[p] > sent)
    return n


@helper
def _make_all_stale(row, n):
    """In a reset frame everything is said anew."""
    for i in range(n):
        row[i] |= ALL_STALE << STALE_SHIFT


@inlined
def _open_frame(tokens, flags, reset, tick, sent_tick):
    """Flags and tick, at the first byte of the payload."""
    tokens[0] = token(flags, 8)
    tokens[1] = token(tick, 32) if reset else token(tick - sent_tick, 8)
    return 2


ARGUMENTS = {
    "part": "int64",
    "thread": "int64",
    "tick": "int64",
    "cut": "int64[::1]",
    "sequence": "uint32[::1]",
    "served": "uint32[::1]",
    "reset": "uint8[::1]",
    "observer_due": "int64[:, ::1]",
    "phase": "int64[::1]",
    "position": "float32[:, ::1]",
    "evaluated_tick": "uint32[::1]",
    "sent_tick": "uint32[::1]",
    "n_followed": "int32[::1]",
    "rows": "uint64[::1]",
    "row_start": "int64[::1]",
    "row_room": "int64[::1]",
    "needs": "int64[::1]",
    "max_followed": "int64",
    "periods": "int64[:, :, ::1]",
    "reach": "float64[:, ::1]",
    "enter_sq": "float32[:, ::1]",
    "leave_sq": "float32[:, ::1]",
    "carrier": "uint8[:, :, ::1]",
    "plans": "uint32[:, :, ::1]",
    "n_groups": "int64[::1]",
    "n_fields": "int64[:, ::1]",
    "track": "int32[:, :, :, ::1]",
    "order": "uint8[:, :, :, ::1]",
    "rice": "uint8[:, :, :, ::1]",
    "rice_flat": "uint8[::1]",
    "rice_tick": "uint32[::1]",
    "newest_rice_tick": "int64",
    "history": "int32[:, ::1]",
    "changed": "uint32[:, ::1]",
    "depth": "int64",
    "loud": "uint8[::1]",
    "lead": "uint8[:, ::1]",
    "bulk": "uint8[:, ::1]",
    "records": "uint64[:, ::1]",
    "born": "uint32[::1]",
    "generation": "uint32[::1]",
    "structure_tick": "int64",
    "max_silence": "int64",
    "gone": "uint8[::1]",
    "bits": "int64[::1]",
    "reach_scale": "float32[::1]",
    "crowded": "uint8[::1]",
    "work": "int64[::1]",
    "max_interest": "int64",
    "reach_period": "int64",
    "simple": "boolean",
    "first_level": "int64[::1]",
    "level_scale": "float64[::1]",
    "inverse_size": "float64[::1]",
    "shape": "int64[:, ::1]",
    "split": "uint8[::1]",
    "first_part": "int32[::1]",
    "cell_start": "int32[::1]",
    "item_slot": "uint32[:, ::1]",
    "item_position": "float32[:, ::1]",
    "item_inverse": "float32[::1]",
    "slot_inverse": "float32[::1]",
    "near_slot": "uint32[:, ::1]",
    "near_sq": "float32[:, ::1]",
    "inside": "uint8[:, ::1]",
    "held": "uint8[:, ::1]",
    "known": "uint8[:, ::1]",
    "where": "uint32[:, ::1]",
    "stamp": "int64[::1]",
    "first_of_kind": "int64[:, ::1]",
    "picked": "uint32[:, ::1]",
    "place": "uint32[:, ::1]",
    "leaves": "uint32[:, ::1]",
    "moves": "uint32[:, ::1]",
    "due_index": "uint32[:, ::1]",
    "due_plan": "uint32[:, ::1]",
    "counters": "uint32[:, :, ::1]",
    "absolute": "uint32[:, :, ::1]",
    "record": "uint64[:, :, ::1]",
    "source": "uint32[:, :, ::1]",
    "places": "uint32[:, :, ::1]",
    "reference": "int32[:, :, ::1]",
    "tokens": "uint64[:, ::1]",
    "uses": "uint32[:, :, ::1]",
    "said": "int64[:, :, ::1]",
    "words": "uint64[::1]",
    "octets": "uint8[::1]",
    "region": "int64[::1]",
    "entry_bits": "int64",
    "out_span": "int64[:, ::1]",
    "tally": "int64[:, ::1]",
    "ways": "int64[::1]",
    "sight": "uint64[:, ::1]",
    "view": "uint64[:, ::1]",
    "changed_sight": "uint32[::1]",
    "turned": "uint8[::1]",
    "owner_only": "int64[::1]",
    "focus": "float32[:, ::1]",
    "entity": "uint64[::1]",
    "list_start": "int64[::1]",
    "list_n": "int32[::1]",
    "pool": "uint64[::1]",
    "pool_mask": "uint8[::1]",
    "page_kind": "int16[::1]",
    "slot_kind": "uint8[::1]",
    "kind_channels": "int64[::1]",
    "profiles": "int64[:, ::1]",
    "looks": "uint8[::1]",
    "x": "float32[::1]",
    "y": "float32[::1]",
    "z": "float32[::1]",
    "talks": "int64[::1]",
    "saved": "uint64[:, ::1]",
    "marked": "uint8[::1]",
    "first_event": "int32[::1]",
    "following": "int32[::1]",
    "events": "int64[:, ::1]",
    "sights": "uint64[:, ::1]",
    "text_carrier": "uint8[:, :, ::1]",
    "text_track": "int32[:, ::1]",
    "n_texts": "int64[::1]",
    "text_changed": "uint32[:, ::1]",
    "reset_tick": "uint32[::1]",
    "deaf": "uint32[::1]",
    "picks": "uint32[:, ::1]",
    "told": "uint64[:, ::1]",
    "told_end": "int64[::1]",
    "told_span": "int64[:, ::1]",
    "generations": "uint32[:, ::1]",
    "zones": "uint64[:, :, ::1]",
    "zones_end": "int64[::1]",
    "messages": "int64[:, ::1]",
    "purse": "float64[:, ::1]",
    "urgency": "int64[:, :, ::1]",
    "heap": "uint64[:, ::1]",
    "waits": "int64[:, ::1]",
    "wants_reset": "uint8[::1]",
    "rate": "uint8[::1]",
    "told_rate": "uint8[::1]",
    "no_bulk": "uint8[:, ::1]",
    "limited": "uint8[::1]",
}
"""What `replicate` takes, in its order: name and type."""


@kernel("void(" + ", ".join(ARGUMENTS.values()) + ")")
def replicate(
    part, thread, tick, cut, sequence, served, reset, observer_due, phase, position, evaluated_tick, sent_tick,
    n_followed, rows, row_start, row_room, needs, max_followed, periods, reach, enter_sq, leave_sq, carrier, plans,
    n_groups, n_fields, track, order, rice, rice_flat, rice_tick, newest_rice_tick, history, changed, depth, loud,
    lead, bulk, records, born, generation, structure_tick, max_silence, gone, bits, reach_scale, crowded, work,
    max_interest, reach_period, simple, first_level, level_scale, inverse_size, shape, split, first_part,
    cell_start, item_slot, item_position, item_inverse, slot_inverse, near_slot, near_sq, inside, held, known,
    where, stamp, first_of_kind, picked, place, leaves, moves, due_index, due_plan, counters, absolute, record,
    source, places, reference, tokens, uses, said, words, octets, region, entry_bits, out_span, tally, ways, sight,
    view, changed_sight, turned, owner_only, focus, entity, list_start, list_n, pool, pool_mask, page_kind,
    slot_kind, kind_channels, profiles, looks, x, y, z, talks, saved, marked, first_event, following, events, sights,
    text_carrier, text_track, n_texts, text_changed, reset_tick, deaf, picks, told, told_end, told_span, generations,
    zones, zones_end, messages, purse, urgency, heap, waits, wants_reset, rate, told_rate, no_bulk, limited
):  # fmt: skip
    """Evaluate interest and write the state frame of one part's share of the observers in `served`.

    Parameters
    ----------
    part, thread, tick : int64                     in
    cut : int64[n_parts + 1]                       in      where each part's share of `sequence` begins
    sequence : uint32[n]                           in      indices into `served`, in the order to work in
    served : uint32[n]                             in      observers with something due
    reset : uint8[n]                               in      1: a reset frame, 2: a frame, be it empty
    observer_due : int64[n, n_kinds]               in      bit mask of due channels (all of the kind's in a reset frame)
    phase : int64[max_observers]                   in
    position : float32[max_observers, 3]           in      where each observer stands
    evaluated_tick, sent_tick : uint32[max_observers]  in/out
    n_followed : int32[max_observers]              in/out  length of each list
    rows : uint64[n]                               in/out  the lists (`interest`, `rows`)
    max_followed : int64                           in      the longest that a list may be
    row_start, row_room : int64[max_observers]     in      where each one's row begins, and what it holds
    needs : int64[n]                               out     what the row must hold, where nothing could be done before
    periods : int64[4, n_kinds, C]                 in      ticks, by rate; 0 where the kind has no layer
    reach : float64[n_kinds, C]                    in      distance that a scan must cover
    enter_sq, leave_sq : float32[n_kinds, C]       in      squared radii, -1 where the kind has no layer
    carrier : uint8[n_kinds, G, 256]               in      channel that carries a group, by mask; 255 for none
    plans : uint32[n_kinds, 2**C, 2**C]            in      what is due, by due channels and mask (`frames`)
    n_groups : int64[n_kinds];  n_fields : int64[n_kinds, G]
    track : int32[n_kinds, C, G, 4];  order, rice : uint8 of that shape
    rice_flat : uint8[P];  rice_tick : uint32[P]   in      `rice`, those fields that exist, and when each changed last
    newest_rice_tick : int64                       in
    history : int32[n_tracks * depth, stride];  changed : uint32[n_tracks, stride]
    loud : uint8[C * G]                            in      0 for blocks whose records mostly say nothing
    lead : uint8[n_kinds, C]                       in      the group whose records tell when a quiet one has something
    bulk : uint8[n_pages, C];  records : uint64[C * G, stride]  in  where `encode_records` was, and what it wrote
    born, generation : uint32[capacity];  structure_tick : int64
    max_silence : int64                            in      ticks after which an empty frame goes out
    gone : uint8[capacity / 8]                     in      bits: who may have died since any observer was evaluated
    bits : int64[3]                                in      widths of a kind, a slot, a mask
    reach_scale : float32[max_observers]           in/out  what each observer's radii are multiplied by (`crowd`)
    crowded : uint8[max_observers]                 in/out  whether some found no room since the scale was looked at
    work : int64[max_observers]                    out     about what each took: candidates found, and entries
    max_interest, reach_period : int64             in      entities an observer should find at most; ticks from one look
                                                           at its scale to the next
    simple : bool                                  in      each kind is one flat level without scales
    first_level : int64[n_kinds + 1]               in      each kind's levels
    level_scale : float64[n_levels]                in      the largest radius scale in each
    inverse_size … item_inverse                    in      the grid (`grid`, `scan`); `split` are the cells' depths
    near_slot … tokens                             scratch, a row a thread: near_*, inside, held, known, where by find
                                                   or slot; stamp, first_of_kind; picked … due_plan by entry;
                                                   counters [C * G, 3], absolute, record, source, places [C * G,
                                                   entries], reference [n_kinds, 4]; tokens
    uses : uint32[n_threads, n_pages, C]           in/out  records that were asked for
    said : int64[n_threads, C * G, 2]              in/out  records of each block, and in quiet ones those that were said
    words : uint64[n], octets : uint8[8 n]         out     the same memory: the frames
    region : int64[n_parts + 1]                    in      where each part's words begin
    entry_bits : int64                             in      an upper bound of what one entry adds to a frame
    out_span : int64[n, 3]                         out     start, payload, stop in bytes; stop 0 where nothing is sent
    tally : int64[n_threads, 7]                    in/out  counts, see the names above
    ways : int64[3]                                in      whether any of what follows counts, see `visibility`
    sight : uint64[capacity, 2]                    in      mask of who sees each entity; room below, owner above
    view : uint64[max_observers, 2]                in      mask of what each sees; room below, tick of change above
    changed_sight : uint32[capacity];  turned : uint8[capacity / 8]  in  when `sight` changed last, and bits: where it
                                                           may have since any observer was evaluated
    owner_only : int64[n_kinds]                    in      bit mask of channels
    focus : float32[max_observers, 12]             in      other centres of interest
    entity : uint64[max_observers]                 in      handle of what each stands at
    list_start, list_n, pool, pool_mask            in      lists of explicit subscriptions (`subscriptions`)
    page_kind : int16[n_pages];  x, y, z : float32[capacity]
    slot_kind : uint8[capacity]                    in      each entity's kind and profile; empty where pages tell
    kind_channels : int64[n_kinds];  profiles : int64[n_kinds, 3]  in  see `schema.Tables`
    looks : uint8[max_observers]                   in      1 where somebody of the list may have another profile now
    talks … messages                               in/out  what is told besides fields, and to whom, see `messages`
    purse : float64[max_observers, 7]              in/out  what each observer may spend (`budget`)
    urgency : int64[2, n_kinds, C]                 in      rank of each layer's priority; waits until it is overdue
    heap : uint64[n_threads, entries]              scratch
    waits : int64[n_threads, 4]                    in/out  counts, see `budget`
    wants_reset : uint8[max_observers]             out     1 where not even leaves and moves fit
    rate : uint8[max_observers]                    in      how many times each one's periods are doubled
    told_rate : uint8[max_observers]               in/out  as of its last frame
    limited : uint8[max_observers]                 in      1 for those with a budget
    no_bulk : uint8[n_pages, C]                    in      zeros: for other rates no records are made in advance

    Cost: O(candidates + followed), allocates nothing. Oracle: tests/naive.py::Observer, `horizon_ecs.oracle`.
    """
    at = region[part]
    slots, distances, index = near_slot[thread], near_sq[thread], where[thread]
    enters, stays, firsts = inside[thread], held[thread], first_of_kind[thread]
    lost, moved, indices, due_plans = leaves[thread], moves[thread], due_index[thread], due_plan[thread]
    count, out = counters[thread], tokens[thread]
    for q in range(cut[part], cut[part + 1]):
        if q + 2 * _AHEAD < len(sequence):
            later = sequence[q + 2 * _AHEAD]
            prefetch(observer_due, np.int64(later) * len(kind_channels))
            _prefetch_observer(served[later], row_start, n_followed, row_room, position, sent_tick, evaluated_tick,
                               reach_scale, phase, work, limited)  # fmt: skip
        if q + _AHEAD < len(sequence):
            soon = served[sequence[q + _AHEAD]]
            _prefetch_list(rows, row_start[soon], n_followed[soon])
        s = sequence[q]
        o = served[s]
        row = rows[row_start[o] : row_start[o] + row_room[o]]
        due, is_reset = observer_due[s], reset[s] == 1
        sent, n_before = np.int64(sent_tick[o]), np.int64(n_followed[o])
        changes_rate, period_before = rate[o] != told_rate[o], periods[told_rate[o]]
        all_now = is_reset or changes_rate
        period, ready = periods[rate[o]], bulk if rate[o] == 0 else no_bulk
        out_span[s, 2] = 0
        has_budget = limited[o] != 0
        if has_budget:
            fill_purse(purse[o], tick)
            if is_reset and purse[o, HELD] < RESET_SHARE * purse[o, BURST]:
                continue
        base, evaluated = _fresh_stamp(stamp[thread], index), np.int64(evaluated_tick[o])
        scale_before, crowded_before = reach_scale[o], crowded[o]
        scale = scale_before
        if (tick + phase[o]) % reach_period == 0:
            scale, crowded[o] = next_reach(scale, n_before, max_interest, crowded[o] != 0), 0
        if ways[IN_USE]:
            n_found, n_inside, scale = look(
                o, tick, position[o], due, reach, enter_sq, leave_sq, scale, max_interest, simple, first_level,
                level_scale, inverse_size, shape, split, first_part, cell_start, item_slot, item_position, item_inverse,
                slots, distances, enters, stays, index, base, firsts, ways, sight, view, owner_only, focus, entity,
                list_start, list_n, pool, pool_mask, page_kind, slot_kind, slot_inverse, generation, born, x, y, z
            )  # fmt: skip
        else:
            n_found, n_inside, scale = _find(
                position[o], due, owner_only, reach, enter_sq, leave_sq, scale, max_interest, simple, first_level,
                level_scale, inverse_size, shape, split, first_part, cell_start, item_slot, item_position, item_inverse,
                slots, distances, enters, stays, index, base, firsts
            )  # fmt: skip
        reach_scale[o] = scale
        stamp[thread] = base + n_found
        dies = structure_tick > evaluated and any_gone(row, n_before, evaluated, gone, born)
        if talks[COMPARES]:
            copy_list(saved[thread], row, n_before)
        if looks[o]:
            switch(o, row, n_before, evaluated, born, slot_kind, position[o], enter_sq, leave_sq, kind_channels,
                   scale * scale, ways, owner_only, focus[o], entity, sight, list_start, list_n, pool, pool_mask,
                   slot_inverse, generation, x, y, z)  # fmt: skip
            dies = True
        if ways[LAST_CHANGE] > evaluated and any_hidden(
            row, n_before, evaluated, view[o], changed_sight, sight, turned
        ):
            n_picked, some_enter = pick_seen(row, n_before, dies, evaluated, born, view[o], sight, index, base, n_found,
                                             picked[thread], place[thread], known[thread]), True  # fmt: skip
        else:
            n_picked, some_enter = _pick(row, n_before, due, dies, evaluated, born, index, base, n_found, n_inside,
                                         enters, picked[thread], place[thread], known[thread])  # fmt: skip
        if some_enter:
            needs[s] = _missing_room(n_before, n_found, enters, known[thread], max_followed, row_room[o])
            if needs[s] != 0:
                tally[thread, WAITING] += 1
                reach_scale[o], crowded[o] = scale_before, crowded_before
                if talks[COMPARES]:
                    copy_list(row, saved[thread], n_before)
                continue
        kept, n_leaves, n_moves, n_due = refresh(row, n_before, due, n_picked, picked[thread], place[thread], n_found,
                                                 enters, stays, carrier, n_groups, plans, lost, moved, indices,
                                                 due_plans)  # fmt: skip
        n, refused = kept, 0
        if some_enter:
            n, n_due, refused = _admit_all(row, kept, max_followed, due, slots, enters, known[thread], firsts,
                                           plans, n_due, indices, due_plans)  # fmt: skip
            if firsts[len(due)] < n_found:
                n, n_due, over = _admit_listed(row, n, max_followed, due, slots, enters, known[thread],
                                               firsts[len(due)], n_found, page_kind, slot_kind, plans, n_due, indices,
                                               due_plans)  # fmt: skip
                refused += over
            crowded[o] |= np.uint8(refused > 0 and n_inside <= max_interest)
        evaluated_tick[o], n_followed[o] = tick, n
        work[o] = n_found + n
        if all_now:
            _make_all_stale(row, n)
        listed, n_lost, stays_in, n_gone, too_little = -1, 0, kept, n_leaves, False
        if has_budget:
            follow_leaves(purse[o], lost, n_leaves)
            n_old = 0 if is_reset else kept
            n_due = list_all_new(row, n_old, n, due, plans, indices, due_plans, n_due)
            fixed = fixed_bits(is_reset, len(rice_flat), _count_changed(rice_tick, newest_rice_tick, sent), n_before,
                               kept, n, n_leaves, n_moves, bits, profiles, count.shape[0])  # fmt: skip
            n_all = n
            n, n_due, listed, n_lost = spend(
                purse[o], tick, fixed, is_reset, row, n_old, n, indices, due_plans, n_due, plans,
                kind_channels, heap[thread], known[thread], picked[thread], urgency, enter_sq, position[o], x, y, z,
                generation, bits, history, changed, depth, track, order, rice, period, n_fields, carrier, born,
                waits[thread]
            )  # fmt: skip
            too_little = n < 0
            if too_little:
                n, wants_reset[o] = n_all, 1
            elif is_reset and listed >= 0:
                stays_in, n_gone = add_unchosen(lost, n_leaves, n_before, known[thread], heap[thread])
                listed = -1
            n_followed[o] = n
        n_told = np.int64(0)
        if talks[COMPARES] and (talks[PENDING] or is_reset or n_gone + n_moves + n - stays_in > 0):
            n_told = tell(o, s, thread, tick, phase[o], is_reset, all_now, evaluated, due,
                          period_before, saved[thread], n_before, row, lost, n_gone, stays_in, n, generation, ways,
                          view[o], talks, marked, first_event, following, events, sights, text_carrier, text_track,
                          n_texts, text_changed, reset_tick, deaf, picks, told, told_end, told_span, generations,
                          zones, zones_end, messages)  # fmt: skip
        if too_little:
            if n_told > 0:
                take_back(s, thread, told, told_end, told_span, messages)
            continue
        partial = listed >= 0
        for d in range(n_due):
            prefetch_record(records, ready, row[indices[d]], due_plans[d], carrier, history, track, order, n_fields,
                            tick, period, depth)  # fmt: skip
        n_moved, n_said = sort_into_blocks(
            row, n_due, indices, due_plans, carrier, loud, lead, ready, records, history, changed, depth, track, order,
            rice, period, n_fields, born, tick, count, absolute[thread], record[thread], source[thread], places[thread]
        )  # fmt: skip
        if rate[o] == 0:
            count_uses(row, n_due, indices, due_plans, uses[thread])
        tally[thread, UPDATES] += n_moved
        tally[thread, ENTERS] += max(0, n - kept)
        tally[thread, LEAVES] += n_leaves
        tally[thread, REFUSED] += refused
        structure = is_reset or n_leaves + n_moves + n - kept > 0
        nothing = n_said + n_told + n_lost == 0 and not (partial and n_due > 0)
        if not structure and nothing and not changes_rate and reset[s] == 0 and tick - sent < max_silence:
            continue
        if at + ((max(n, n_before) + 64) * entry_bits >> 6) > region[part + 1]:
            tally[thread, OVERFLOWS] += 1
            continue
        parameters = is_reset or newest_rice_tick > sent
        flags = FLAG_RESET * is_reset + FLAG_PARAMETERS * parameters + FLAG_STRUCTURE * structure
        flags += FLAG_PARTIAL * partial + (np.int64(rate[o]) << RATE_SHIFT)
        m = _open_frame(out, flags, is_reset, tick, sent)
        if parameters:
            m = put_parameters(out, m, is_reset, rice_flat, rice_tick, sent)
        if structure:
            m = put_structure(out, m, is_reset, row, n_before, kept, n, lost, n_leaves, moved, n_moves, generation,
                              bits, profiles)  # fmt: skip
        if partial:
            m = put_partial(out, m, picked[thread], n_due, listed)
        for b in range(count.shape[0]):
            tally[thread, ABSOLUTES] += np.int64(count[b, N_ABSOLUTE])
            said[thread, b, 0] += np.int64(count[b, N_RECORDS])
            said[thread, b, 1] += np.int64(count[b, N_SAID])
        m = put_blocks(out, m, row, tick, phase[o], is_reset, loud, count, absolute[thread], record[thread],
                       source[thread], places[thread], history, depth, track, order, rice, period, n_fields, born,
                       reference[thread])  # fmt: skip
        out_span[s, 0], out_span[s, 1], out_span[s, 2] = finish(words, octets, out, m, at)
        at = (out_span[s, 2] + 7) >> 3
        if has_budget:
            pay(purse[o], np.float64(out_span[s, 2] - out_span[s, 1]))
        sent_tick[o], told_rate[o] = tick, rate[o]
