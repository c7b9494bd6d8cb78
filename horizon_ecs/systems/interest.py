"""Interest: who follows whom, on which channels, with object-centred radii and hysteresis.

An observer's list holds one uint64 an entity: slot (bits 0–31), mask of followed channels (32–39), groups that wait for an absolute record
(40–47), kind (48–55). It stays in order: leaves close it up, enters are appended, and the client does the same.
Source: Horizon guide, "GORC System Optimization".
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper
from horizon_ecs.systems.grid import cell_coordinate

DEAD = np.uint32(0xFFFFFFFF)
NO_CHANNEL = 255

SLOT_MASK = np.uint64(0xFFFFFFFF)
BYTE_MASK = np.uint64(0xFF)
MASK_SHIFT = np.uint64(32)
STALE_SHIFT = np.uint64(40)
KIND_SHIFT = np.uint64(48)
ALL_STALE = np.uint64(0xFF)


@helper
def make_entry(slot, mask, stale, kind):
    """Pack one entry of a list."""
    return (
        np.uint64(slot)
        | (np.uint64(mask) << MASK_SHIFT)
        | (np.uint64(stale) << STALE_SHIFT)
        | (np.uint64(kind) << KIND_SHIFT)
    )


@helper
def _scan_run(first, last, ox, oy, oz, limit_sq, item_slot, item_x, item_y, item_z, out_slot, out_sq, n):
    """Append the items of one run of cells that lie within the limit; without a branch, since half of them don't."""
    for a in range(first, last):
        dx = item_x[a] - ox
        dy = item_y[a] - oy
        dz = item_z[a] - oz
        distance_sq = (dx * dx + dy * dy) + dz * dz
        out_slot[n] = item_slot[a]
        out_sq[n] = distance_sq
        n += np.int64(distance_sq <= limit_sq)
    return n


@helper
def _span(centre, reach, inverse_size, n_cells):
    """First cell and number of cells that `centre ± reach` covers on a ring of `n_cells`."""
    if not reach * inverse_size < n_cells:
        return np.int64(0), np.int64(n_cells)
    first = cell_coordinate(centre - reach, inverse_size)
    return first, min(cell_coordinate(centre + reach, inverse_size) - first + 1, np.int64(n_cells))


@helper
def scan(ox, oy, oz, reach, limit_sq, inverse_size, shape, cell_start, item_slot, item_x, item_y, item_z, out_slot,
         out_sq, n):  # fmt: skip
    """Append to `out_slot`, `out_sq` from `n` on the entities of one kind within the limit; return the new `n`.

    `shape` is the kind's row of the grid's shape; `reach` (world units) must cover the square root of `limit_sq`.
    """
    base, log_w, log_h = shape[0], shape[1], shape[2]
    width, height = np.int64(1) << log_w, np.int64(1) << log_h
    x0, nx = _span(np.float64(ox), reach, inverse_size, width)
    y0, ny = _span(np.float64(oy), reach, inverse_size, height)
    x0 &= width - 1
    for row in range(ny):
        cell = base + (((y0 + row) & (height - 1)) << log_w)
        stop = min(x0 + nx, width)
        n = _scan_run(cell_start[cell + x0], cell_start[cell + stop], ox, oy, oz, limit_sq, item_slot, item_x, item_y,
                      item_z, out_slot, out_sq, n)  # fmt: skip
        if x0 + nx > width:
            n = _scan_run(cell_start[cell], cell_start[cell + x0 + nx - width], ox, oy, oz, limit_sq, item_slot, item_x,
                          item_y, item_z, out_slot, out_sq, n)  # fmt: skip
    return n


@helper
def channels_within(distance_sq, radius_sq):
    """Bit mask of the channels of one kind whose radius covers the distance; a channel without a layer has radius -1."""
    mask = 0
    for c in range(len(radius_sq)):
        mask |= np.int64(distance_sq <= radius_sq[c]) << c
    return mask


@helper
def stale_after(carrier, n_groups, before, after, stale):
    """The stale bits after a change of mask: a group whose carrier changes needs an absolute record."""
    for j in range(n_groups):
        if carrier[j, before] != carrier[j, after]:
            stale |= 1 << j
    return stale


@helper
def _pick(row, n, due, evaluated_tick, check_deaths, born, where, base, n_near, picked):
    """Indices of the entries that may change: found by the scan, followed on a due channel, or dead. Without a branch: few are."""
    m = 0
    for i in range(n):
        entry = row[i]
        slot = np.int64(entry & SLOT_MASK)
        kind_due = due[np.int64((entry >> KIND_SHIFT) & BYTE_MASK)]
        found = np.uint64(np.int64(where[slot]) - base) < np.uint64(n_near)
        dead = check_deaths and np.int64(born[slot]) > evaluated_tick
        picked[m] = i
        m += np.int64(found | dead | ((np.int64((entry >> MASK_SHIFT) & BYTE_MASK) & kind_due) != 0))
    return m


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


@helper
def refresh(row, n, due, evaluated_tick, check_deaths, born, where, base, near_sq, near_used, n_near, enter_sq, leave_sq,
            carrier, n_groups, picked, leaves, moves):  # fmt: skip
    """Bring the entries of one observer's list up to date; return the list's new length, leaves and moves.

    Parameters
    ----------
    row : uint64[max_followed]               in/out  the list; it closes up in place
    due : int64[n_kinds]                     in      bit mask of due channels
    evaluated_tick : int64                   in      when this was last done: what was born later is a stranger
    where : uint32[capacity]                 in      base + index into near_sq for what the scan found
    near_sq, near_used                       in/out  squared distances; used is set to 1 where the list has the entity
    picked : int32[max_followed]             scratch
    leaves, moves : int32[max_followed]      out     indices before, respectively after, the leaves
    """
    n_leaves, n_moves = 0, 0
    for p in range(_pick(row, n, due, evaluated_tick, check_deaths, born, where, base, n_near, picked)):
        i = np.int64(picked[p])
        entry = row[i]
        slot = np.int64(entry & SLOT_MASK)
        kind = np.int64((entry >> KIND_SHIFT) & BYTE_MASK)
        mask = np.int64((entry >> MASK_SHIFT) & BYTE_MASK)
        after = mask
        if check_deaths and np.int64(born[slot]) > evaluated_tick:
            after = 0
        elif due[kind] != 0:
            found = np.int64(where[slot]) - base
            inside, held = 0, 0
            if 0 <= found < n_near:
                near_used[found] = 1
                inside = channels_within(near_sq[found], enter_sq[kind])
                held = mask & channels_within(near_sq[found], leave_sq[kind])
            after = (mask & ~due[kind]) | ((inside | held) & due[kind])
        if after == 0:
            leaves[n_leaves] = i
            n_leaves += 1
        elif after != mask:
            stale = np.int64((entry >> STALE_SHIFT) & BYTE_MASK)
            row[i] = make_entry(slot, after, stale_after(carrier[kind], n_groups[kind], mask, after, stale), kind)
            moves[n_moves] = i - n_leaves
            n_moves += 1
    if n_leaves > 0:
        n = _close_up(row, n, leaves, n_leaves)
    return n, n_leaves, n_moves


@helper
def admit(row, n, kind, due, near_slot, near_sq, near_used, first, last, enter_sq):
    """Append what the scan found of one kind and the list lacks; return the new length and how many found no room."""
    refused = 0
    for m in range(first, last):
        if near_used[m] != 0:
            continue
        mask = channels_within(near_sq[m], enter_sq) & due
        if mask == 0:
            continue
        if n == len(row):
            refused += 1
            continue
        row[n] = make_entry(near_slot[m], mask, ALL_STALE, kind)
        n += 1
    return n, refused
