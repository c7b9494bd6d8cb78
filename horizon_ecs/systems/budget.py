"""Budget: what goes into a frame where not all that is due fits into what its observer may spend.

Each observer has a purse that fills with time up to a burst and pays for every frame's payload. Costs are upper bounds,
so that a frame never exceeds the purse; what they exaggerate stays in it for the next frame. What doesn't fit waits:
who is in the list goes stale, and comes absolute when its turn comes; who isn't there yet enters later.
Source: token bucket, Turner 1986.
"""

from __future__ import annotations

import math

import numpy as np

from horizon_ecs.kernel import bit_length, helper
from horizon_ecs.systems.bits import LENGTH_MASK, LENGTH_SHIFT, index_bits, put_gamma, token
from horizon_ecs.systems.delta import LONG, encode_one
from horizon_ecs.systems.heap import sink
from horizon_ecs.systems.interest import (
    AGE_SHIFT,
    AGES,
    MAX_AGE,
    STALE_SHIFT,
    kind_of,
    mask_of,
    slot_of,
    stale_of,
)

# Columns of a purse: bytes gained a tick (0: no budget), most that it holds, what it held and when, the place in the
# list where the overdue are next, how many frames left something behind, and what messages took beyond what was held.
PER_TICK, BURST, HELD, TICK, CURSOR, TURN, OWED, N_PURSE = 0, 1, 2, 3, 4, 5, 6, 7

# Columns of `waits`, what one thread counts in one tick; ticks of the longest wait last.
DEFERRED, NOT_ENTERED, REFUSED_BITS, LONGEST, N_WAITS = 0, 1, 2, 3, 4

PARTIAL_NONE, PARTIAL_LIST, PARTIAL_BITMAP = 0, 1, 2

ENTERS_FIRST_EVERY = 4  # frames that leave something behind: else who follows more than it can hear never meets anybody
RESERVE_SHARE = 0.125  # of the burst, kept for leaves, moves and parameters
SYNCED_SHARE = 0.375  # of what a frame may take, for entities in sync: little enough that any other fits beside it
RESET_SHARE = 0.5  # of the burst, that a reset frame waits for

WIDE_BITS, RICE_BITS, GAMMA_BITS, PADDING_BITS = 37, 48, 43, 7
_GROUPS = np.uint32(0xFF)
_SCORE_MAX = (1 << 20) - 1
_INDEX = np.uint64((1 << 31) - 1)
_1, _2 = np.uint64(1), np.uint64(2)


@helper
def fill_purse(purse, tick):
    """Add what was gained since the last look: up to the reserve, then to what is owed, then up to the burst."""
    gained = purse[PER_TICK] * (tick - purse[TICK])
    first = min(gained, max(0.0, RESERVE_SHARE * purse[BURST] - purse[HELD]))
    paid = min(gained - first, purse[OWED])
    purse[OWED] -= paid
    purse[HELD] = min(purse[BURST], purse[HELD] + gained - paid)
    purse[TICK] = tick


@helper
def pay(purse, n_bytes):
    """Take what a frame cost out of a purse; what isn't there is owed."""
    purse[HELD] -= n_bytes
    if purse[HELD] < 0.0:
        purse[OWED] -= purse[HELD]
        purse[HELD] = 0.0


@helper
def _gamma_bits(most):
    """How long the code of a number up to `most` can be."""
    return 2 * np.int64(bit_length(np.uint64(most + 1)))


@helper
def fixed_bits(is_reset, n_parameters, n_changed_parameters, n_before, kept, n, n_leaves, n_moves, bits, profiles,
               n_blocks):  # fmt: skip
    """An upper bound of all of a frame but its enters and records: `kept` of its `n` entries may be there already."""
    total = PADDING_BITS + (40 if is_reset else 16) + 2 * n_blocks
    # How many leave, move, enter, and are told anything; and the two bits that say how the last are.
    total += _gamma_bits(n_leaves) + _gamma_bits(n_moves) + 2 * _gamma_bits(n) + 2
    if is_reset:
        return total + 5 * n_parameters
    total += n_changed_parameters * (np.int64(index_bits(n_parameters)) + 5)
    total += n_leaves * np.int64(index_bits(n_before))
    widest = 0
    for k in range(profiles.shape[0]):
        widest = max(widest, profiles[k, 2])
    return total + n_moves * (np.int64(index_bits(kept)) + widest + bits[2])


@helper
def _record_bits(entry, groups, tick, history, changed, depth, track, order, rice, period, n_fields, carrier, born):
    """An upper bound of what some groups of an entry take, each with the bit that may tell that it is there."""
    slot, kind = slot_of(entry), kind_of(entry)
    total = 0
    for j in range(carrier.shape[1]):
        if not (groups >> np.uint32(j)) & np.uint32(1):
            continue
        c = np.int64(carrier[kind, j, mask_of(entry)])
        if (stale_of(entry) >> np.uint32(j)) & np.uint32(1):
            for f in range(n_fields[kind, j]):
                total += 2 * WIDE_BITS if order[kind, c, j, f] == 2 else WIDE_BITS
            continue
        coded = encode_one(history, changed, track[kind, c, j], order[kind, c, j], rice[kind, c, j], n_fields[kind, j],
                           slot, tick, period[kind, c], depth, born[slot])  # fmt: skip
        length = (coded >> LENGTH_SHIFT) & LENGTH_MASK
        total += 1 + (RICE_BITS * n_fields[kind, j] if length == LONG else np.int64(length))
    return total


@helper
def _enter_bits(entry, generation, bits):
    """What it takes to say that an entry enters."""
    return bits[0] + bits[1] + bits[2] + 2 * np.int64(bit_length(np.uint64(generation[slot_of(entry)])))


@helper
def _channel(entry, groups, carrier):
    """The lowest channel that carries any of some groups; of none, the lowest that the entry is followed on."""
    lowest = 255
    for j in range(carrier.shape[1]):
        if (groups >> np.uint32(j)) & np.uint32(1):
            lowest = min(lowest, np.int64(carrier[kind_of(entry), j, mask_of(entry)]))
    if lowest == 255:
        lowest = 0
        while not (mask_of(entry) >> np.uint32(lowest)) & np.uint32(1):
            lowest += 1
    return lowest


@helper
def list_all_new(row, kept, n, due, plans, due_index, due_plan, n_due):
    """List all who enter as due: also those of whom nothing but the entry itself is to be told. Returns the number."""
    while n_due > 0 and due_index[n_due - 1] >= kept:
        n_due -= 1
    for i in range(kept, n):
        kind = kind_of(row[i])
        due_index[n_due], due_plan[n_due] = i, plans[kind, np.uint32(due[kind]), mask_of(row[i])]
        n_due += 1
    return n_due


@helper
def add_unchosen(leaves, n_leaves, n_before, chosen, scratch):
    """Count who was in the list and isn't in a reset frame among the leaves; return how many stay, and how many leave.

    `chosen` is by place in the list without `leaves`, which hold places in the list before.
    """
    for g in range(n_leaves):
        scratch[g] = leaves[g]
    g, n_stay, n_gone = 0, 0, 0
    for i in range(n_before):
        if g < n_leaves and np.int64(scratch[g]) == i:
            g += 1
        elif chosen[i - g] != 0:
            n_stay += 1
            continue
        leaves[n_gone] = i
        n_gone += 1
    return n_stay, n_gone


@helper
def age_of(entry):
    """How often an entry was due and had to wait since all of it was told."""
    return np.int64((entry & AGES) >> AGE_SHIFT)


@helper
def _score(age, distance_sq, radius_sq):
    """Grows with age, falls with distance: at the radius an entry counts half of what it counts at the centre."""
    near = 0.0
    if distance_sq < np.inf:
        near = 1.0 / (1.0 + math.sqrt(np.float64(distance_sq) / max(np.float64(radius_sq), 1e-30)))
    return min(np.int64((1 + age) * 4096 * near), _SCORE_MAX)


@helper
def _key(entry, i, n, is_new, enters_first, c, cursor, urgency, enter_sq, position, x, y, z):
    """What the heap is ordered by; the highest goes first. The lowest 31 bits are free."""
    slot, kind, age = slot_of(entry), kind_of(entry), age_of(entry)
    if not is_new and age >= urgency[1, kind, c]:
        return (_1 << np.uint64(62)) | (np.uint64(n - (i - cursor) % n) << np.uint64(31))
    dx, dy, dz = x[slot] - position[0], y[slot] - position[1], z[slot] - position[2]
    score = _score(age, dx * dx + dy * dy + dz * dz, enter_sq[kind, c])
    first = np.uint64(is_new and enters_first) << np.uint64(63)
    return (
        first | np.uint64(7 - c) << np.uint64(59) | np.uint64(urgency[0, kind, c]) << np.uint64(51)
        | np.uint64(score) << np.uint64(31)
    )  # fmt: skip


@helper
def _fits(row, kept, due_index, plans, n_due, spent, limit, tick, generation, bits, history, changed, depth, track,
          order, rice, period, n_fields, carrier, born):  # fmt: skip
    """Whether all that is due fits."""
    for d in range(n_due):
        i = np.int64(due_index[d])
        spent += _record_bits(row[i], plans[d] & _GROUPS, tick, history, changed, depth, track, order, rice, period,
                              n_fields, carrier, born)  # fmt: skip
        if i >= kept:
            spent += _enter_bits(row[i], generation, bits)
        if spent > limit:
            return False
    return True


@helper
def _list(row, kept, due_index, plans, n_due, chosen, purse, only_synced, heap, urgency, enter_sq, position, x, y, z,
          carrier):  # fmt: skip
    """Make a heap of who isn't chosen yet, of all or of those in sync; return how many they are."""
    n_new = 0
    for d in range(n_due):
        n_new += np.int64(np.int64(due_index[d]) >= kept)
    enters_first, n = n_new > 0 and np.int64(purse[TURN]) % ENTERS_FIRST_EVERY == 0, 0
    for d in range(n_due):
        i, groups = np.int64(due_index[d]), plans[d] & _GROUPS
        if chosen[d] != 0 or (only_synced and (i >= kept or stale_of(row[i]) & groups != np.uint32(0))):
            continue
        key = _key(row[i], i, max(kept, 1), i >= kept, enters_first, _channel(row[i], groups, carrier),
                   np.int64(purse[CURSOR]), urgency, enter_sq, position, x, y, z)  # fmt: skip
        heap[n] = key | (_INDEX - np.uint64(d))
        n += 1
    for at in range(n // 2 - 1, -1, -1):
        sink(heap, at, n)
    purse[TURN] += np.float64(n_new > 0 and not only_synced)
    return n


@helper
def _take(heap, n, row, kept, due_index, plans, n_due, spent, limit, purse, chosen, tick, generation, bits, history,
          changed, depth, track, order, rice, period, n_fields, carrier, born):  # fmt: skip
    """Mark what goes, the highest of the heap first, until one doesn't fit: those after it wait too, so that its turn
    comes. Returns what is spent, and what that one would have taken."""
    width, n_all = np.int64(index_bits(n_due)), n
    while n > 0:
        d = np.int64(_INDEX - (heap[0] & _INDEX))
        i = np.int64(due_index[d])
        cost = width + _record_bits(row[i], plans[d] & _GROUPS, tick, history, changed, depth, track, order, rice,
                                    period, n_fields, carrier, born)  # fmt: skip
        if i >= kept:
            cost += _enter_bits(row[i], generation, bits)
        if spent + cost > limit:
            # Who had the first turn and was too much has it again.
            purse[TURN] -= np.float64(n == n_all and i >= kept)
            return spent, cost
        spent += cost
        chosen[d] = 1
        if (heap[0] >> np.uint64(62)) == _1:
            purse[CURSOR] = i + 1
        n -= 1
        heap[0] = heap[n]
        sink(heap, 0, n)
    return spent, 0


@helper
def _choose(row, kept, due_index, plans, n_due, spent, limit, purse, heap, chosen, urgency, enter_sq, position, x, y,
            z, tick, generation, bits, history, changed, depth, track, order, rice, period, n_fields, carrier,
            born):  # fmt: skip
    """Mark what goes: of a share of what there is, those in sync, who would take much more if they were not; then all
    others. Returns what the next would have taken."""
    cost = 0
    for d in range(n_due):
        chosen[d] = 0
    for synced in range(2):
        n = _list(row, kept, due_index, plans, n_due, chosen, purse, synced == 0, heap, urgency, enter_sq, position, x,
                  y, z, carrier)  # fmt: skip
        share = spent + np.int64((limit - spent) * SYNCED_SHARE) if synced == 0 else limit
        spent, cost = _take(heap, n, row, kept, due_index, plans, n_due, spent, share, purse, chosen, tick, generation,
                            bits, history, changed, depth, track, order, rice, period, n_fields, carrier,
                            born)  # fmt: skip
    return cost


@helper
def _postpone(entry, groups):
    """Its due groups go stale and it is older by one; and whether any of them was in sync."""
    lost = groups & ~stale_of(entry) & _GROUPS
    entry |= np.uint64(groups) << STALE_SHIFT
    if age_of(entry) < MAX_AGE:
        entry += _1 << AGE_SHIFT
    return entry, lost != np.uint32(0)


@helper
def _serve(entry, groups, plan_of_all):
    """Who has been told everything is young again."""
    return entry & ~AGES if stale_of(entry) & ~groups & plan_of_all & _GROUPS == np.uint32(0) else entry


@helper
def _serve_all(row, due_index, plans, n_due, plan_all, kind_channels):
    """Nobody waits; return of how many anything is due."""
    m = 0
    for d in range(n_due):
        i = due_index[d]
        kind = kind_of(row[i])
        row[i] = _serve(row[i], plans[d] & _GROUPS, plan_all[kind, np.uint32(kind_channels[kind]), mask_of(row[i])])
        due_index[m], plans[m] = i, plans[d]
        m += np.int64(plans[d] != np.uint32(0))
    return m


@helper
def _settle(row, kept, due_index, plans, n_due, chosen, positions, plan_all, kind_channels, period, carrier,
            waits):  # fmt: skip
    """Close the due list up over who waits; return the list's new length, how many go, are due, and lost sync."""
    n, m, listed, lost = kept, 0, 0, 0
    for d in range(n_due):
        i, groups = np.int64(due_index[d]), plans[d] & _GROUPS
        entry = row[i]
        if chosen[d] == 0 and i >= kept:
            waits[NOT_ENTERED] += 1
            continue
        if chosen[d] == 0:
            row[i], was_in_sync = _postpone(entry, groups)
            lost += np.int64(was_in_sync)
            waits[DEFERRED] += 1
            waits[LONGEST] = max(
                waits[LONGEST], age_of(row[i]) * period[kind_of(entry), _channel(entry, groups, carrier)]
            )
            listed += 1
            continue
        at = i
        if i >= kept:
            at, n = n, n + 1
        if groups == np.uint32(0):
            row[at] = entry
            continue
        kind = kind_of(entry)
        row[at] = _serve(entry, groups, plan_all[kind, np.uint32(kind_channels[kind]), mask_of(entry)])
        due_index[m], plans[m], positions[m] = at, plans[d], listed
        m += 1
        listed += 1
    return n, m, listed, lost


@helper
def spend(purse, tick, spent, is_reset, row, kept, n, due_index, plans, n_due, plan_all, kind_channels, heap, chosen,
          positions, urgency, enter_sq, position, x, y, z, generation, bits, history, changed, depth, track, order,
          rice, period, n_fields, carrier, born, waits):  # fmt: skip
    """Let as much of what is due go as the purse holds.

    Parameters
    ----------
    spent : int64                       in      what `fixed_bits` says
    row : uint64[n]                     in/out  the list, `kept` of whom were there before
    due_index, plans : uint32[n_due]    in/out  what is due; those who wait are taken out
    heap : uint64[n_due], chosen : uint8[n_due]  scratch
    positions : uint32[n_due]           out     where each that goes stands among all that are due
    urgency : int64[2, n_kinds, C]      in      rank of each layer's priority; waits until one is overdue
    waits : int64[4]                    in/out  counts, see the names above

    Returns
    -------
    n, m, listed, lost : the list's length; how many go, of how many due; how many of the others were in sync. `listed`
    is -1 where all fit, and `n` -1 where not even what is fixed does.

    Oracle: tests/test_budgets.py.
    """
    limit = np.int64(8.0 * purse[HELD])
    if spent > limit and not (purse[OWED] > 0.0 and spent <= 8.0 * RESET_SHARE * purse[BURST]):
        waits[REFUSED_BITS] += spent - limit
        return -1, 0, 0, 0
    if not is_reset:
        limit -= np.int64(8.0 * RESERVE_SHARE * purse[BURST])
    if _fits(row, kept, due_index, plans, n_due, spent, limit, tick, generation, bits, history, changed, depth, track,
             order, rice, period, n_fields, carrier, born):  # fmt: skip
        return n, _serve_all(row, due_index, plans, n_due, plan_all, kind_channels), -1, 0
    waits[REFUSED_BITS] += _choose(row, kept, due_index, plans, n_due, spent, limit, purse, heap, chosen, urgency,
                                   enter_sq, position, x, y, z, tick, generation, bits, history, changed, depth, track,
                                   order, rice, period, n_fields, carrier, born)  # fmt: skip
    return _settle(row, kept, due_index, plans, n_due, chosen, positions, plan_all, kind_channels, period, carrier,
                   waits)  # fmt: skip


@helper
def follow_leaves(purse, leaves, n_leaves):
    """Keep the place of the overdue where it was, as the list closes up."""
    before = 0
    for i in range(n_leaves):
        before += np.int64(np.float64(leaves[i]) < purse[CURSOR])
    purse[CURSOR] -= before


@helper
def put_partial(tokens, at, positions, m, listed):
    """Which of those due have anything in this frame, the shorter way."""
    width = np.int64(index_bits(listed))
    if m == 0:
        tokens[at] = token(PARTIAL_NONE, 2)
        return at + 1
    if m * width + 2 * np.int64(bit_length(np.uint64(m + 1))) <= listed:
        tokens[at] = token(PARTIAL_LIST, 2)
        at = put_gamma(tokens, at + 1, m)
        for a in range(m):
            tokens[at + a] = token(positions[a], width)
        return at + m
    tokens[at] = token(PARTIAL_BITMAP, 2)
    following = 0
    for a in range(listed):
        goes = following < m and np.int64(positions[following]) == a
        tokens[at + 1 + a] = token(goes, 1)
        following += np.int64(goes)
    return at + 1 + listed
