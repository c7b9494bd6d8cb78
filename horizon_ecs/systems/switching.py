"""Switching: what a change of profile does to an observer's list.

Whoever follows an entity learns of it with the next frame: all channels of the new profile are looked at, hysteresis
included, and everything is said anew.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper
from horizon_ecs.systems.interest import AGES, ALL_STALE, SWITCHED, kind_of, make_entry, mask_of, slot_of
from horizon_ecs.systems.visibility import HIGH_SHIFT, IN_USE, effective_sq, listed_channels, within


@helper
def _owns(o, slot, handle, entity, sight):
    """Whether an entity is an observer's own (see `visibility`)."""
    owner = sight[slot, 1] >> HIGH_SHIFT
    return owner == np.uint64(o + 1) or (owner == np.uint64(0) and entity[o] == handle)


@helper
def switch(o, row, n, evaluated_tick, born, slot_kind, position, enter_sq, leave_sq, kind_channels, factor, ways,
           owner_only, focus, entity, sight, list_start, list_n, pool, pool_mask, slot_inverse, generation, x, y,
           z):  # fmt: skip
    """Give every entry whose entity has another kind now that kind, the channels it is followed on, and a mark.

    Oracle: tests/naive.py::Observer.
    """
    for i in range(n):
        slot, mask = slot_of(row[i]), mask_of(row[i])
        kind = np.int64(slot_kind[slot])
        if kind == np.int64(kind_of(row[i])) or np.int64(born[slot]) > evaluated_tick:
            continue
        handle = np.uint64(slot) | np.uint64(generation[slot]) << HIGH_SHIFT
        channels, inside = kind_channels[kind] & ~owner_only[kind], np.int64(0)
        if ways[IN_USE]:
            inside = channels & listed_channels(o, handle, len(entity), list_start, list_n, pool, pool_mask)
            if _owns(o, slot, handle, entity, sight):
                channels = kind_channels[kind]
        distance_sq = effective_sq(slot, position, slot_inverse, focus, x, y, z)
        inside |= np.int64(within(distance_sq, channels, enter_sq[kind], factor))
        held = np.int64(mask) & np.int64(within(distance_sq, channels, leave_sq[kind], factor))
        row[i] = make_entry(slot, inside | held, ALL_STALE, kind) | (row[i] & AGES) | SWITCHED
