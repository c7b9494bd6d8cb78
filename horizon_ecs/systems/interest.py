"""Interest: who follows whom, on which channels, with object-centred radii and hysteresis.

An observer's list holds one uint64 an entity: slot (bits 0–31), mask of followed channels (32–39), groups that wait for
an absolute record (40–47), kind (48–55), how often it had to wait for a budget (56–62) and, while it is being
evaluated, whether its kind changed (63). It stays in order: leaves close it up, enters are appended, and the client
does the same.
Source: Horizon guide, "GORC System Optimization".
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, inlined

DEAD = np.uint32(0xFFFFFFFF)
NO_CHANNEL = 255

SLOT_MASK = np.uint64(0xFFFFFFFF)
BYTE_MASK = np.uint64(0xFF)
MASK_SHIFT = np.uint64(32)
STALE_SHIFT = np.uint64(40)
KIND_SHIFT = np.uint64(48)
ALL_STALE = np.uint64(0xFF)
AGE_SHIFT = np.uint64(56)
MAX_AGE = 127
AGES = np.uint64(MAX_AGE << 56)
SWITCHED = np.uint64(1 << 63)

_BYTE_SHIFT, _IN_BYTE = np.uint32(3), np.uint32(7)


@inlined
def slot_of(entry):
    """An entry's slot. Parts of an entry are unsigned: an index that might be negative costs a select for every use."""
    return np.uint32(entry & SLOT_MASK)


@inlined
def mask_of(entry):
    """The channels an entry is followed on."""
    return np.uint32((entry >> MASK_SHIFT) & BYTE_MASK)


@inlined
def stale_of(entry):
    """The groups of an entry that wait for an absolute record."""
    return np.uint32((entry >> STALE_SHIFT) & BYTE_MASK)


@inlined
def kind_of(entry):
    """An entry's kind."""
    return np.uint32((entry >> KIND_SHIFT) & BYTE_MASK)


@inlined
def make_entry(slot, mask, stale, kind):
    """Pack one entry of a list."""
    return (
        np.uint64(slot)
        | (np.uint64(mask) << MASK_SHIFT)
        | (np.uint64(stale) << STALE_SHIFT)
        | (np.uint64(kind) << KIND_SHIFT)
    )


@helper
def stale_after(carrier, n_groups, before, after, stale):
    """The stale bits after a change of mask: a group whose carrier changes needs an absolute record."""
    for j in range(n_groups):
        if carrier[j, before] != carrier[j, after]:
            stale |= 1 << j
    return stale


@inlined
def classify(near_sq, first, last, due, enter_sq, leave_sq, factor, out_inside, out_held):
    """Which due channels each find of one kind enters, and on which it stays, as bit masks; return how many enter.

    `factor` is what the observer's squared radii are multiplied by.
    """
    distances, inside, held = near_sq[first:last], out_inside[first:last], out_held[first:last]
    inside[:] = 0
    held[:] = 0
    for c in range(len(enter_sq)):
        if (due >> c) & 1:
            enter, leave, bit = enter_sq[c] * factor, leave_sq[c] * factor, np.uint8(1 << c)
            for m in range(len(distances)):
                inside[m] |= np.uint8(distances[m] <= enter) * bit
                held[m] |= np.uint8(distances[m] <= leave) * bit
    n_inside = np.uint32(0)
    for m in range(len(inside)):
        n_inside += np.uint32(inside[m] != 0)
    return np.int64(n_inside)


@inlined
def _find_of(where, slot, base, n_near):
    """Which of the finds a slot is; `n_near` for none."""
    found = np.uint64(np.int64(where[slot]) - base)
    return np.uint32(min(found, np.uint64(n_near)))


@inlined
def pick_due(row, n, due, picked):
    """Indices of the entries followed on a due channel; returns how many. Without a branch: few are."""
    m = np.uint64(0)
    for i in range(n):
        picked[m] = i
        m += np.uint64((mask_of(row[i]) & due[kind_of(row[i])]) != 0)
    return np.int64(m)


@helper
def pick_changing(row, n, due, dies, evaluated_tick, born, where, base, n_near, picked):
    """Indices of all entries that may change: followed on a due channel, found by the scan, switched, or dead."""
    m = 0
    for i in range(n):
        slot = slot_of(row[i])
        found = _find_of(where, slot, base, n_near) != n_near
        dead = dies and np.int64(born[slot]) > evaluated_tick
        picked[m] = i
        m += np.int64(found | dead | (row[i] >= SWITCHED) | ((mask_of(row[i]) & due[kind_of(row[i])]) != 0))
    return m


@inlined
def locate(row, n_picked, picked, where, base, n_near, inside, out_place):
    """Where among the finds each picked entry stands; returns how many of them are within a due channel."""
    n_inside = np.uint32(0)
    for p in range(n_picked):
        found = _find_of(where, slot_of(row[picked[p]]), base, n_near)
        out_place[p] = found
        n_inside += np.uint32(inside[found] != 0)
    return np.int64(n_inside)


@inlined
def any_gone(row, n, evaluated_tick, gone, born):
    """Whether an entity of the list died since; `gone` is quick to look at, and has a bit for each that may have."""
    for i in range(n):
        slot = slot_of(row[i])
        if (gone[slot >> _BYTE_SHIFT] >> (slot & _IN_BYTE)) & 1 and np.int64(born[slot]) > evaluated_tick:
            return True
    return False


@helper
def account(row, n_picked, picked, dies, evaluated_tick, born, n_near, place, known):
    """Tell the dead apart (`n_near + 1`), and mark the finds that the list has already."""
    known[: n_near + 2] = 0
    for p in range(n_picked):
        if dies and np.int64(born[slot_of(row[picked[p]])]) > evaluated_tick:
            place[p] = n_near + 1
        known[place[p]] = 1


@helper
def _close_up(row, n, leaves, n_leaves):
    """Remove the entries at the ascending indices `leaves`, order kept; return the new length."""
    kept, gone = 0, 0
    for i in range(n):
        if gone < n_leaves and leaves[gone] == i:
            gone += 1
            continue
        row[kept] = row[i]
        kept += 1
    return kept


@inlined
def refresh(row, n, due, n_picked, picked, place, n_near, inside, held, carrier, n_groups, plans, leaves, moves,
            out_due, out_plan):  # fmt: skip
    """Bring the picked entries of one observer's list up to date; return its new length, leaves, moves, entries due.

    Parameters
    ----------
    row : uint64[max_followed]               in/out  the list; it closes up in place
    due : int64[n_kinds]                     in      bit mask of due channels
    picked, place : uint32[n_picked]          in      indices, and where each is found: n_near for nowhere, one more for
                                                     the dead
    inside, held : uint8[n_near + 2]         in      what `classify` wrote, 0 for those not found
    leaves, moves : uint32[max_followed]      out     indices before, respectively after, the leaves
    plans : uint32[n_kinds, 2**C, 2**C]      in      what is due, by due channels and mask (`frames`), 0 for nothing
    out_due, out_plan                        out     entries, after the leaves, of which something is due, and what
    """
    n_leaves, n_moves, n_due = 0, 0, 0
    for p in range(n_picked):
        i, f = picked[p], place[p]
        entry = row[i]
        kind, mask = kind_of(entry), mask_of(entry)
        after = np.uint32((mask & ~np.uint32(due[kind])) | inside[f] | (mask & held[f]))
        if after != mask or f > n_near or entry >= SWITCHED:
            if after == 0 or f > n_near:
                leaves[n_leaves] = i
                n_leaves += 1
                continue
            stale = stale_after(carrier[kind], n_groups[kind], mask, after, np.int64(stale_of(entry)))
            entry = make_entry(slot_of(entry), after, stale, kind) | (entry & AGES)
            row[i] = entry
            moves[n_moves] = i - n_leaves
            n_moves += 1
        plan = plans[kind, np.uint32(due[kind]), after]
        out_due[n_due] = i - n_leaves
        out_plan[n_due] = plan
        n_due += np.int64(plan != 0)
    if n_leaves > 0:
        n = _close_up(row, n, leaves, n_leaves)
    return n, n_leaves, n_moves, n_due


@helper
def admit(row, n, max_followed, kind, due, near_slot, inside, known, first, last, plans, n_due, out_due,
          out_plan):  # fmt: skip
    """Append what the scan found of one kind and the list lacks; return the new length, entries due, and how many found
    no room."""
    refused = 0
    for m in range(first, last):
        mask = np.uint32(inside[m])
        if known[m] != 0 or mask == 0:
            continue
        if n == max_followed:
            refused += 1
            continue
        row[n] = make_entry(near_slot[m], mask, ALL_STALE, kind)
        plan = plans[np.uint32(kind), np.uint32(due), mask]
        out_due[n_due] = n
        out_plan[n_due] = plan
        n_due += np.int64(plan != 0)
        n += 1
    return n, n_due, refused
