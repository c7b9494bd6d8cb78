"""Messages: what reaches followers besides fields: events on entities, texts, and word of who came and went.

Every message is one piece of bytes, made once for all who get it. While an observer's list is evaluated, `tell`
compares it with what it was and notes which messages it gets; `letters.attach` then puts their bytes behind the frames.

An event is decided for an observer once: at the first tick, from the event's own on, at which its channel is due, its
entity is found dead, or its entity has just changed its profile; then it is told to who follows the entity on that
channel, or did until now.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel
from horizon_ecs.systems.grid import EVERYWHERE
from horizon_ecs.systems.heap import sort
from horizon_ecs.systems.interest import DEAD, NO_CHANNEL, kind_of, mask_of, slot_of
from horizon_ecs.systems.visibility import HIGH_SHIFT, IN_USE, LOW, kind_at

# What `talks` holds: whether lists must be compared at all; whether somebody has a message waiting; whether there are
# texts; whether zones are told.
COMPARES, PENDING, TEXTS, ZONES, N_TALKS = 0, 1, 2, 3, 4

# Columns of `events`. An entity that lives dies at NEVER. At SWITCHED it changed its profile, before which it was of
# the kind BEFORE; DECIDED is the change before that one.
SLOT, CHANNEL, TICK, BORN, DIED, KIND, BEFORE, SWITCHED, DECIDED, N_COLUMNS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
NEVER = 2**62

MAX_EVENTS_A_FRAME = 1024  # the first of those emitted are told

EVENT_BIT = np.uint64(1 << 63)
TRACK_SHIFT = np.uint64(32)
_BYTE_SHIFT, _IN_BYTE = np.uint32(3), np.uint32(7)

# Columns of `tally`, what one thread counted.
TOLD, DROPPED, MISSED, N_TALLIES = 0, 1, 2, 3


@helper
def copy_list(target, source, n):
    """Copy a list's first `n` entries."""
    for i in range(n):
        target[i] = source[i]


@helper
def last_due(tick, phase, period):
    """The last tick before this one at which a channel was due."""
    if period <= 0:
        return np.int64(-1)
    return tick - 1 - (tick - 1 + phase) % period


@helper
def _may_see(view, sight):
    """Whether an observer may see what a mask and a room are of."""
    room, lies_in = np.uint32(view[1] & LOW), np.uint32(sight[1] & LOW)
    return (sight[0] & view[0]) != np.uint64(0) and (lies_in == room or lies_in == EVERYWHERE)


@helper
def _turn(event, tick, phase, reset_tick, due, period):
    """Whether an event's channel is due for its entity, or that has changed its profile; and when either was before."""
    switches = event[SWITCHED] == tick
    kind = event[BEFORE] if switches else event[KIND]
    turn = switches or (due[kind] >> event[CHANNEL]) & 1 != 0
    before = max(last_due(tick, phase, period[kind, event[CHANNEL]]), reset_tick)
    return turn, max(before, event[DECIDED] if switches else event[SWITCHED])


@helper
def _reaches(event, before, after, tick, phase, all_now, evaluated, reset_tick, deaf, due, period):
    """What becomes of one event for one observer that follows, or followed, its slot: 0 nothing, 1 told, 2 missed."""
    bit = np.int64(1) << event[CHANNEL]
    lives = event[DIED] > tick
    follows = (after & bit) != 0 and lives
    followed = (before & bit) != 0 and event[BORN] <= evaluated < event[DIED]
    if not follows and not followed:
        return 0
    turn, decided = _turn(event, tick, phase, reset_tick, due, period)
    if event[TICK] <= decided or not (turn or all_now or not lives):
        return 0
    if event[TICK] > deaf:
        return 1
    return 2 if followed else 0


@helper
def _pick_events(slot, before, after, first, following, events, sights, view, guarded, tick, phase, all_now,
                 evaluated, reset_tick, deaf, due, period, picks, n_picked):  # fmt: skip
    """Pick the events of one slot that an observer gets; return how many are picked, and how many were missed."""
    n_missed, e = 0, np.int64(first[slot]) - 1
    while e >= 0:
        fate = _reaches(events[e], before, after, tick, phase, all_now, evaluated, reset_tick, deaf, due, period)
        if fate != 0 and guarded and not _may_see(view, sights[e]):
            fate = 0
        picks[n_picked] = e
        n_picked += fate == 1
        n_missed += fate == 2
        e = np.int64(following[e]) - 1
    return n_picked, n_missed


@helper
def _pick_texts(slot, kind_before, before, kind, after, tick, phase, is_reset, all_now, reset_tick, due, period,
                text_carrier, text_track, n_texts, text_changed, told, at):  # fmt: skip
    """Note the texts of one slot that an observer lacks; return where the next note goes."""
    for j in range(n_texts[kind]):
        c = np.int64(text_carrier[kind, j, after])
        if c == NO_CHANNEL:
            continue
        track = text_track[kind, j]
        had = np.int64(text_carrier[kind_before, j, before]) if before != 0 and not is_reset else np.int64(NO_CHANNEL)
        lacks = had == NO_CHANNEL
        if not lacks and (had != c or kind != kind_before or all_now or (due[kind] >> c) & 1):
            known = max(last_due(tick, phase, period[kind_before, had]), reset_tick)
            lacks = np.int64(text_changed[track, slot]) > known
        told[at] = np.uint64(slot) | (np.uint64(track) << TRACK_SHIFT)
        at += lacks
    return at


@helper
def _note_zone(o, handle, before, after, log, at):
    """Note that an observer follows an entity on other channels now."""
    log[at, 0] = handle
    log[at, 1] = np.uint64(o) << np.uint64(16) | np.uint64(before) << np.uint64(8) | np.uint64(after)
    return at + 1


@helper
def tell(o, s, thread, tick, phase, is_reset, all_now, evaluated, due, period, saved, n_before, row, lost, n_leaves,
         kept, n, generation, ways, view, talks, marked, first, following, events, sights, text_carrier, text_track,
         n_texts, text_changed, reset_tick, deaf, picks, told, told_end, told_span, generations, zones, zones_end,
         tally):  # fmt: skip
    """Note what one observer is told whose list was `saved` and now is `row`; return how many messages.

    `period` is what was until now; where it changes, everything that waits is decided (`all_now`).

    Oracle: tests/speech.py::Speaking.
    """
    begin = at = np.int64(told_end[thread])
    zone_at = np.int64(zones_end[thread])
    n_picked, n_missed, gone, after_at = 0, 0, 0, 0
    since = np.int64(reset_tick[o])
    for i in range(n_before + n - kept):
        enters, leaves = i >= n_before, i < n_before and gone < n_leaves and np.int64(lost[gone]) == i
        gone += leaves
        before = row[kept + i - n_before] if enters else saved[i]
        after = before if leaves else row[after_at]
        slot = slot_of(before)
        was = np.int64(0) if enters else np.int64(mask_of(before))
        now = np.int64(0) if leaves else np.int64(mask_of(after))
        if talks[ZONES]:
            mine = generation[slot] if enters else generations[o, i]
            if was != now:
                handle = np.uint64(slot) | np.uint64(mine) << HIGH_SHIFT
                zone_at = _note_zone(o, handle, was, now, zones[thread], zone_at)
            if not leaves:
                generations[o, after_at] = mine
        is_marked = (marked[slot >> _BYTE_SHIFT] >> (slot & _IN_BYTE)) & 1 != 0
        if is_marked and first[slot] != 0:
            n_picked, missed = _pick_events(slot, was, now, first, following, events, sights, view, ways[IN_USE] != 0,
                                            tick, phase, all_now, evaluated, since, np.int64(deaf[o]), due, period,
                                            picks[thread], n_picked)  # fmt: skip
            n_missed += missed
        differs = was != now or kind_of(before) != kind_of(after)
        if talks[TEXTS] and not leaves and (is_marked or differs or is_reset):
            at = _pick_texts(slot, np.int64(kind_of(before)), was, np.int64(kind_of(after)), now, tick, phase, is_reset,
                             all_now, since, due, period, text_carrier, text_track, n_texts, text_changed, told[thread],
                             at)  # fmt: skip
        after_at += not leaves
    chosen = picks[thread]
    sort(chosen, n_picked)
    n_told = min(n_picked, MAX_EVENTS_A_FRAME)
    for p in range(n_told):
        told[thread, at + p] = EVENT_BIT | np.uint64(chosen[p])
    at += n_told
    tally[thread, TOLD] += n_told
    tally[thread, DROPPED] += n_picked - n_told
    tally[thread, MISSED] += n_missed
    told_span[s, 0], told_span[s, 1], told_span[s, 2] = thread, begin, at - begin
    told_end[thread], zones_end[thread] = at, zone_at
    return at - begin


@helper
def take_back(s, thread, told, told_end, told_span, tally):
    """Forget what was noted for one observer whose frame isn't sent; texts come anew with its reset frame."""
    begin = told_span[s, 1]
    for i in range(begin, begin + told_span[s, 2]):
        is_event = np.int64((told[thread, i] & EVENT_BIT) != np.uint64(0))
        tally[thread, TOLD] -= is_event
        tally[thread, MISSED] += is_event
    told_end[thread], told_span[s, 2] = begin, 0


@kernel(
    "void(uint32[::1], int64, uint64[::1], int64[::1], int32[::1], uint8[:, :, ::1], int32[:, ::1], int64[::1], "
    "uint64[:, ::1], int64[::1], int64[:, ::1])"
)
def tell_joined(
    streams, first, rows, row_start, n_followed, text_carrier, text_track, n_texts, told, told_end, told_span
):  # fmt: skip
    """Note all texts of some streams for who joins them.

    Parameters
    ----------
    streams : uint32[n]   in   observers whose lists they are
    first : int64         in   which row of `told_span` is the first one's
    the rest                   as for `tell`, `told` of the first thread

    Oracle: tests/speech.py::Speaking.
    """
    for i in range(len(streams)):
        o, begin = streams[i], told_end[0]
        at = begin
        for r in range(row_start[o], row_start[o] + n_followed[o]):
            kind, mask, slot = kind_of(rows[r]), mask_of(rows[r]), slot_of(rows[r])
            for j in range(n_texts[kind]):
                told[0, at] = np.uint64(slot) | (np.uint64(text_track[kind, j]) << TRACK_SHIFT)
                at += text_carrier[kind, j, mask] != NO_CHANNEL
        told_span[first + i, 0], told_span[first + i, 1], told_span[first + i, 2] = 0, begin, at - begin
        told_end[0] = at


@kernel("void(int64, int64[:, ::1], uint32[::1], uint32[::1], uint32[::1], int16[::1], uint8[::1])")
def follow_events(tick, events, generations, generation, born, page_kind, slot_kind):
    """Bring what is known of the events' entities up to a tick: who died, who is of another kind or profile.

    Parameters
    ----------
    tick : int64                      in
    events : int64[n, N_COLUMNS]      in/out  KIND is -1 where it isn't known yet
    generations : uint32[n]           in      of the events' entities
    generation, born : uint32[capacity]  in
    page_kind : int16[n_pages];  slot_kind : uint8[capacity]  in  see `replicate`

    Oracle: tests/naive.py::follow_event.
    """
    for e in range(len(events)):
        slot = events[e, SLOT]
        if generation[slot] != generations[e] or born[slot] == DEAD:
            events[e, DIED] = min(events[e, DIED], tick)
            continue
        if np.int64(born[slot]) > tick:
            continue  # it isn't there yet
        kind = np.int64(kind_at(np.uint32(slot), page_kind, slot_kind))
        if events[e, KIND] >= 0 and events[e, KIND] != kind:
            events[e, BEFORE] = events[e, KIND]
            events[e, DECIDED], events[e, SWITCHED] = events[e, SWITCHED], tick
        events[e, KIND] = kind


@kernel("void(int64[:, ::1], uint32[::1], int32[::1], int32[::1], uint8[::1])")
def link(events, changed_slots, first, following, marked):
    """Chain the events of every slot in their order, and mark the slots that anything is to be said of.

    Parameters
    ----------
    events : int64[n, N_COLUMNS]   in
    changed_slots : uint32[m]      in      those whose texts changed lately
    first : int32[capacity]        in/out  number of a slot's first event and 1; all 0 before
    following : int32[n]           out     number of the same slot's next event and 1; 0 for none
    marked : uint8[capacity / 8]   in/out  a bit a slot; all 0 before

    Oracle: tests/naive.py::link.
    """
    for e in range(len(events) - 1, -1, -1):
        slot = events[e, SLOT]
        following[e] = first[slot]
        first[slot] = e + 1
        marked[slot >> 3] |= np.uint8(1 << (slot & 7))
    for slot in changed_slots:
        marked[slot >> _BYTE_SHIFT] |= np.uint8(1) << np.uint8(slot & _IN_BYTE)


@kernel("void(int64[:, ::1], uint32[::1], int32[::1], uint8[::1])")
def unlink(events, changed_slots, first, marked):
    """Undo `link`. Oracle: tests/naive.py::link."""
    for e in range(len(events)):
        slot = events[e, SLOT]
        first[slot] = 0
        marked[slot >> 3] = 0
    for slot in changed_slots:
        marked[slot >> _BYTE_SHIFT] = 0


@kernel(
    "int64(int64, int64, int64, uint8[::1], int64[::1], uint8[::1], int64[::1], uint32[::1], uint32[::1], int32[::1], "
    "uint64[::1], int64[:, :, ::1], int64[:, :, ::1], uint8[::1], int32[::1], int32[::1], int64[:, ::1], "
    "uint64[:, ::1], uint64[:, ::1], int64[::1])"
)
def count_missed(
    tick, n_observers, held, status, phase, rate, row_start, evaluated_tick, reset_tick, n_followed, rows, due_by_phase,
    periods, marked, first, following, events, sights, view, ways
):  # fmt: skip
    """How many messages observers that are held don't get at this tick, at which they are decided.

    Parameters
    ----------
    held : int64                                  in  the status that they have
    due_by_phase : int64[n_rates, n_phases, n_kinds]  in
    marked, first, following, events, sights      in  see `link` and `tell`
    the rest                                      in  see `replicate`

    Oracle: tests/speech.py::Speaking.
    """
    n_missed = 0
    for o in range(n_observers):
        if status[o] != held:
            continue
        due, evaluated, since = due_by_phase[rate[o], phase[o]], np.int64(evaluated_tick[o]), np.int64(reset_tick[o])
        for i in range(n_followed[o]):
            entry = rows[row_start[o] + i]
            slot, mask = slot_of(entry), np.int64(mask_of(entry))
            if not (marked[slot >> _BYTE_SHIFT] >> (slot & _IN_BYTE)) & 1:
                continue
            e = np.int64(first[slot]) - 1
            while e >= 0:
                event = events[e]
                if (mask >> event[CHANNEL]) & 1 != 0 and event[BORN] <= evaluated < event[DIED]:
                    turn, decided = _turn(event, tick, phase[o], since, due, periods[rate[o]])
                    missed = turn and event[TICK] > decided
                    n_missed += missed and (not ways[IN_USE] or _may_see(view[o], sights[e]))
                e = np.int64(following[e]) - 1
    return n_missed
