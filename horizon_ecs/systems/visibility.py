"""Visibility: who may see what, and other centres of interest than where an observer stands.

An entity has a mask of who it is visible to, a room, and perhaps an owner; an observer a mask of what it sees, a room,
and perhaps a second centre (a focus) and a cone that it looks into. `look` finds what `replicate` finds without any of
this, and then drops what is hidden; `pick_seen` lists what must leave because it was hidden since.

A radius that is stretched by f is a distance that is divided by f: every find gets its effective squared distance, the
least that any centre gives, and is then classified as ever, hysteresis included.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import bit_length, helper, inlined, kernel
from horizon_ecs.systems.crowd import fitting_reach
from horizon_ecs.systems.grid import EVERYWHERE, PAGE, room_offset
from horizon_ecs.systems.interest import classify, slot_of
from horizon_ecs.systems.scan import scan, scan_levels

# What `ways` holds: whether any of this is in use, entities that are seen in all rooms, the tick of the last change.
IN_USE, N_EVERYWHERE, LAST_CHANGE, N_WAYS = 0, 1, 2, 3

# Columns of an observer's focus.
FOCUS, SCALE, INVERSE_SCALE_SQ, DIRECTION, COSINE, INVERSE_INSIDE_SQ, INVERSE_OUTSIDE_SQ, FARTHEST = (
    0,
    3,
    4,
    5,
    8,
    9,
    10,
    11,
)
N_FOCUS = 12

LOW = np.uint64(0xFFFFFFFF)
HIGH_SHIFT = np.uint64(32)
_ZERO = np.float32(0.0)
_PAGE_SHIFT = np.uint32(10)
_BYTE_SHIFT, _IN_BYTE = np.uint32(3), np.uint32(7)
_MARGIN = 1.0 + 1e-5  # so that rounding never hides from a scan what the exact test would find


@kernel("void(uint32[::1], uint32[::1], uint64[:, ::1], uint64)")
def forget_dead(generation, known, sight, everyone):
    """Give whoever lives in a slot in which somebody else was told of the defaults: seen by all, in room 0, no owner.

    Parameters
    ----------
    generation : uint32[n]   in
    known : uint32[n]        in/out  the generation that `sight` is about
    sight : uint64[n, 2]     in/out  mask of who sees it; room below, owner above
    everyone : uint64        in      the mask by default

    Oracle: tests/naive.py::forget_dead.
    """
    for i in range(len(known)):
        if known[i] != generation[i]:
            known[i] = generation[i]
            sight[i, 0] = everyone
            sight[i, 1] = np.uint64(0)


@kernel(
    "int64(uint32[::1], uint32[::1], uint32, uint64[:, ::1], uint32[::1])",
    "int64(uint32[::1], uint64[::1], uint32, uint64[:, ::1], uint32[::1])",
)
def take_masks(pages, column, tick, sight, changed):
    """Take the masks of who sees the entities of some pages from a column of a component; return how many changed.

    Parameters
    ----------
    pages : uint32[n]                          in
    column : uint32[capacity] or uint64[capacity]  in
    tick : uint32                              in
    sight : uint64[capacity, 2]                in/out  mask of who sees it; room and owner
    changed : uint32[capacity]                 in/out  tick of the last change

    Oracle: tests/naive.py::take_masks.
    """
    n = 0
    for p in range(len(pages)):
        first = np.int64(pages[p]) * PAGE
        for i in range(first, first + PAGE):
            if sight[i, 0] != np.uint64(column[i]):
                sight[i, 0] = np.uint64(column[i])
                changed[i] = tick
                n += 1
    return n


@inlined
def is_hidden(slot, sees, room, sight):
    """Whether an observer may not see what lives in a slot."""
    lies_in = np.uint32(sight[slot, 1] & LOW)
    return ((sight[slot, 0] & sees) == np.uint64(0)) | ((lies_in != room) & (lies_in != EVERYWHERE))


@helper
def any_hidden(row, n, evaluated_tick, view, changed, sight, turned):
    """Whether something of the list was hidden since; `turned` has a bit for each slot that may have changed."""
    sees, room, changed_tick = view[0], np.uint32(view[1] & LOW), np.int64(view[1] >> HIGH_SHIFT)
    for i in range(n):
        slot = slot_of(row[i])
        may = ((turned[slot >> _BYTE_SHIFT] >> (slot & _IN_BYTE)) & 1) != 0 and np.int64(changed[slot]) > evaluated_tick
        if (may or changed_tick > evaluated_tick) and is_hidden(slot, sees, room, sight):
            return True
    return False


@helper
def pick_seen(row, n, dies, evaluated_tick, born, view, sight, where, base, n_near, picked, place, known):
    """As `interest.pick_changing` and `account`, for a list in which something was hidden: that counts as dead."""
    sees, room = view[0], np.uint32(view[1] & LOW)
    known[: n_near + 2] = 0
    for i in range(n):
        slot = slot_of(row[i])
        found = np.uint64(np.int64(where[slot]) - base)
        gone = (dies and np.int64(born[slot]) > evaluated_tick) or is_hidden(slot, sees, room, sight)
        picked[i] = i
        place[i] = n_near + 1 if gone else min(found, np.uint64(n_near))
        known[place[i]] = 1
    return n


@inlined
def _keep_visible(near_slot, near_sq, first, stop, sees, room, sight):
    """Close up the finds from `first` on over those that are hidden, or not in just this room; return the new end."""
    at = np.uint64(first)
    for m in range(np.uint64(first), np.uint64(stop)):
        slot = near_slot[m]
        near_slot[at] = slot
        near_sq[at] = near_sq[m]
        at += np.uint64(((sight[slot, 0] & sees) != np.uint64(0)) & (np.uint32(sight[slot, 1] & LOW) == room))
    return np.int64(at)


@helper
def _scan_rooms(ox, oy, oz, first_level, last_level, reach, limit_sq, simple, level_scale, inverse_size, shape, split,
                first_part, cell_start, item_slot, item_position, item_inverse, near_slot, near_sq, n, sees, room,
                n_everywhere, sight):  # fmt: skip
    """As `scan.scan_levels`, of what may be seen: the observer's room first, then what is in all."""
    for turn in range(1 + (n_everywhere != 0)):
        wanted = EVERYWHERE if turn else room
        if simple:
            stop = scan(ox, oy, oz, reach, limit_sq, inverse_size[first_level], shape[first_level], room_offset(wanted),
                        cell_start, item_slot, item_position, near_slot, near_sq, n)  # fmt: skip
        else:
            stop = scan_levels(ox, oy, oz, first_level, last_level, reach, limit_sq, level_scale, inverse_size, shape,
                               room_offset(wanted), split, first_part, cell_start, item_slot, item_position,
                               item_inverse, near_slot, near_sq, n)  # fmt: skip
        n = _keep_visible(near_slot, near_sq, n, stop, sees, wanted, sight)
    return n


@inlined
def _through_cone(distance_sq, slot, ox, oy, oz, focus, x, y, z):
    """The squared distance, as the radii of what lives in a slot have it, stretched by where an observer looks."""
    dx, dy, dz = x[slot] - ox, y[slot] - oy, z[slot] - oz
    along = (focus[DIRECTION] * dx + focus[DIRECTION + 1] * dy) + focus[DIRECTION + 2] * dz
    inside = along >= focus[COSINE] * np.sqrt((dx * dx + dy * dy) + dz * dz)
    return distance_sq * (focus[INVERSE_INSIDE_SQ] if inside else focus[INVERSE_OUTSIDE_SQ])


@helper
def _from_focus(first, n, stop, inverse_scale_sq, near_slot, near_sq, where, base):
    """Take what a second centre found, from `n` to `stop`: the lesser distance counts; return the new end."""
    for m in range(n, stop):
        slot, distance_sq = near_slot[m], near_sq[m] * inverse_scale_sq
        at = np.int64(where[slot]) - base
        if first <= at < n:
            near_sq[at] = min(near_sq[at], distance_sq)
        else:
            near_slot[n], near_sq[n] = slot, distance_sq
            where[slot] = np.uint32(base + n)
            n += 1
    return n


@helper
def _find_kind(position, first_level, last_level, reach, limit_sq, simple, level_scale, inverse_size, shape, split,
               first_part, cell_start, item_slot, item_position, item_inverse, near_slot, near_sq, n, where, base, sees,
               room, n_everywhere, sight, focus, x, y, z):  # fmt: skip
    """Append one kind's finds with their effective distances, from one centre or two; return the new end."""
    first, far = n, np.float64(focus[FARTHEST]) if focus[FARTHEST] > _ZERO else 1.0
    wide = np.float32(far * far * _MARGIN) * limit_sq if focus[FARTHEST] > _ZERO else limit_sq
    n = _scan_rooms(position[0], position[1], position[2], first_level, last_level, reach * far, wide, simple,
                    level_scale, inverse_size, shape, split, first_part, cell_start, item_slot, item_position,
                    item_inverse, near_slot, near_sq, n, sees, room, n_everywhere, sight)  # fmt: skip
    for m in range(first, n):
        where[near_slot[m]] = np.uint32(base + m)
    if focus[FARTHEST] > _ZERO:
        for m in range(first, n):
            near_sq[m] = _through_cone(near_sq[m], near_slot[m], position[0], position[1], position[2], focus, x, y, z)
    if focus[SCALE] > _ZERO:
        scale = np.float64(focus[SCALE])
        stop = _scan_rooms(focus[0], focus[1], focus[2], first_level, last_level, reach * scale,
                           np.float32(scale * scale * _MARGIN) * limit_sq, simple, level_scale, inverse_size, shape,
                           split, first_part, cell_start, item_slot, item_position, item_inverse, near_slot, near_sq, n,
                           sees, room, n_everywhere, sight)  # fmt: skip
        n = _from_focus(first, n, stop, focus[INVERSE_SCALE_SQ], near_slot, near_sq, where, base)
    return n


@helper
def effective_sq(slot, position, slot_inverse, focus, x, y, z):
    """The effective squared distance of what lives in a slot; NaN where it stands nowhere."""
    dx, dy, dz = x[slot] - position[0], y[slot] - position[1], z[slot] - position[2]
    nearest = ((dx * dx + dy * dy) + dz * dz) * slot_inverse[slot]
    if focus[FARTHEST] > _ZERO:
        nearest = _through_cone(nearest, slot, position[0], position[1], position[2], focus, x, y, z)
    if focus[SCALE] > _ZERO:
        dx, dy, dz = x[slot] - focus[0], y[slot] - focus[1], z[slot] - focus[2]
        second = ((dx * dx + dy * dy) + dz * dz) * slot_inverse[slot]
        nearest = min(nearest, second * focus[INVERSE_SCALE_SQ])
    total = x[slot] + y[slot] + z[slot]
    return nearest if total - total == _ZERO else np.float32(np.nan)


@helper
def within(distance_sq, channels, limit_sq, factor):
    """Bit mask of those channels whose limit, times the observer's factor, covers a distance."""
    mask = np.uint8(0)
    for c in range(len(limit_sq)):
        if (channels >> c) & 1 and distance_sq <= limit_sq[c] * factor:
            mask |= np.uint8(1 << c)
    return mask


@helper
def _take(slot, enters, stays, near_slot, inside, held, where, base, n, n_inside):
    """Add channels to one find, or append it; return how many finds there are, and how many enter."""
    if enters == 0 and stays == 0:
        return n, n_inside
    m = np.int64(where[slot]) - base
    if not 0 <= m < n:
        m = n
        near_slot[n], inside[n], held[n] = slot, 0, 0
        where[slot] = np.uint32(base + n)
        n += 1
    n_inside += np.int64(inside[m] == 0 and enters != 0)
    inside[m] |= enters
    held[m] |= stays
    return n, n_inside


@inlined
def kind_at(slot, page_kind, slot_kind):
    """The kind of what lives in a slot: its own, where any entity has a profile or scale, else its page's."""
    kind = np.int64(page_kind[slot >> _PAGE_SHIFT])
    return np.int64(slot_kind[slot]) if len(slot_kind) > 0 and kind >= 0 else kind


@inlined
def lives(handle, tick, generation, born, page_kind, slot_kind):
    """The kind of a handle's entity; -1 where it doesn't live, isn't there yet, or isn't replicated."""
    slot = np.uint32(handle & LOW)
    there = np.uint64(generation[slot]) == handle >> HIGH_SHIFT and np.int64(born[slot]) <= tick
    return kind_at(slot, page_kind, slot_kind) if there else np.int64(-1)


@helper
def _take_own(handle, tick, due, owner_only, position, enter_sq, leave_sq, factor, slot_inverse, near_slot, inside,
              held, where, base, n, n_inside, sees, room, sight, focus, x, y, z, page_kind, slot_kind, generation,
              born):  # fmt: skip
    """The channels that only an owner follows, of one entity that is its own: by their radii, like all others."""
    kind = lives(handle, tick, generation, born, page_kind, slot_kind)
    slot = np.uint32(handle & LOW)
    if kind < 0 or is_hidden(slot, sees, room, sight):
        return n, n_inside
    channels = due[kind] & owner_only[kind]
    if channels == 0:
        return n, n_inside
    distance_sq = effective_sq(slot, position, slot_inverse, focus, x, y, z)
    enters = within(distance_sq, channels, enter_sq[kind], factor)
    stays = within(distance_sq, channels, leave_sq[kind], factor)
    return _take(slot, enters, stays, near_slot, inside, held, where, base, n, n_inside)


@helper
def _take_owned(o, owned, entity, tick, due, owner_only, position, enter_sq, leave_sq, factor, slot_inverse, near_slot,
                inside, held, where, base, n, n_inside, sees, room, sight, focus, x, y, z, page_kind, slot_kind,
                generation, born, list_start, list_n, pool):  # fmt: skip
    """What an observer owns: the entity it stands at, unless that was given an owner, and what was given to it."""
    if entity[o] != np.uint64(0) and sight[np.uint32(entity[o] & LOW), 1] >> HIGH_SHIFT == np.uint64(0):
        n, n_inside = _take_own(entity[o], tick, due, owner_only, position, enter_sq, leave_sq, factor, slot_inverse,
                                near_slot, inside, held, where, base, n, n_inside, sees, room, sight, focus, x, y, z,
                                page_kind, slot_kind, generation, born)  # fmt: skip
    for i in range(list_start[owned], list_start[owned] + list_n[owned]):
        n, n_inside = _take_own(pool[i], tick, due, owner_only, position, enter_sq, leave_sq, factor, slot_inverse,
                                near_slot, inside, held, where, base, n, n_inside, sees, room, sight, focus, x, y, z,
                                page_kind, slot_kind, generation, born)  # fmt: skip
    return n, n_inside


@helper
def _take_list(first, stop, pool, pool_mask, every, tick, due, owner_only, near_slot, inside, held, where, base, n,
               n_inside, sees, room, sight, page_kind, slot_kind, generation, born):  # fmt: skip
    """Every entity of one list, however far, on the channels of its own mask or of `every`, if that isn't 0."""
    for i in range(first, stop):
        kind = lives(pool[i], tick, generation, born, page_kind, slot_kind)
        slot = np.uint32(pool[i] & LOW)
        if kind < 0 or is_hidden(slot, sees, room, sight):
            continue
        mask = every if every != 0 else np.int64(pool_mask[i])
        channels = np.uint8(mask & due[kind] & ~owner_only[kind])
        n, n_inside = _take(slot, channels, channels, near_slot, inside, held, where, base, n, n_inside)
    return n, n_inside


@helper
def _find_all(position, due, owner_only, reach, enter_sq, leave_sq, scale, simple, first_level, level_scale,
              inverse_size, shape, split, first_part, cell_start, item_slot, item_position, item_inverse, near_slot,
              near_sq, inside, held, where, base, first_of_kind, sees, room, n_everywhere, sight, focus, x, y,
              z):  # fmt: skip
    """What one observer finds by space, by kind; return how many finds there are, and how many enter."""
    n, n_inside = 0, 0
    for k in range(len(due)):
        first_of_kind[k] = n
        channels = due[k] & ~owner_only[k]
        if channels != 0:
            top, first = np.int64(bit_length(np.uint64(channels))) - 1, n
            n = _find_kind(position, first_level[k], first_level[k + 1], reach[k, top] * np.float64(scale),
                           leave_sq[k, top] * (scale * scale), simple, level_scale, inverse_size, shape, split,
                           first_part, cell_start, item_slot, item_position, item_inverse, near_slot, near_sq, n, where,
                           base, sees, room, n_everywhere, sight, focus, x, y, z)  # fmt: skip
            n_inside += classify(near_sq, first, n, channels, enter_sq[k], leave_sq[k], scale * scale, inside, held)
    first_of_kind[len(due)] = n
    return n, n_inside


@helper
def _mask_in(handle, first, n, pool, pool_mask):
    """The bits that a list has for a handle."""
    for i in range(first, first + n):
        if pool[i] == handle:
            return np.int64(pool_mask[i])
    return np.int64(0)


@helper
def listed_channels(o, handle, n_observers, list_start, list_n, pool, pool_mask):
    """The channels on which an observer's lists and groups name an entity, as bits."""
    mask = _mask_in(handle, list_start[o], list_n[o], pool, pool_mask)
    groups = 2 * n_observers + o
    for i in range(list_start[groups], list_start[groups] + list_n[groups]):
        group, every = np.int64(pool[i]), np.int64(pool_mask[i])
        for a in range(list_start[group], list_start[group] + list_n[group]):
            if pool[a] == handle:
                mask |= every if every != 0 else np.int64(pool_mask[a])
    return mask


@helper
def look(o, tick, position, due, reach, enter_sq, leave_sq, scale, most, simple, first_level, level_scale, inverse_size,
         shape, split, first_part, cell_start, item_slot, item_position, item_inverse, near_slot, near_sq, inside, held,
         where, base, first_of_kind, ways, sight, view, owner_only, focus, entity, list_start, list_n, pool, pool_mask,
         page_kind, slot_kind, slot_inverse, generation, born, x, y, z):  # fmt: skip
    """What one observer finds of what it may see: by space, then what it owns, what it subscribed to, and groups.

    Returns how many finds there are, how many of them are within a due channel, and what became of the observer's
    scale; those finds from `first_of_kind[-1]` on are of any kind.
    """
    sees, room = view[o, 0], np.uint32(view[o, 1] & LOW)
    n, n_inside = _find_all(position, due, owner_only, reach, enter_sq, leave_sq, scale, simple, first_level,
                            level_scale, inverse_size, shape, split, first_part, cell_start, item_slot, item_position,
                            item_inverse, near_slot, near_sq, inside, held, where, base, first_of_kind, sees, room,
                            ways[N_EVERYWHERE], sight, focus[o], x, y, z)  # fmt: skip
    if n_inside > most:
        for m in range(n):
            where[near_slot[m]] = 0
        scale = fitting_reach(near_sq, first_of_kind, due, owner_only, enter_sq, scale, most)
        n, n_inside = _find_all(position, due, owner_only, reach, enter_sq, leave_sq, scale, simple, first_level,
                                level_scale, inverse_size, shape, split, first_part, cell_start, item_slot,
                                item_position, item_inverse, near_slot, near_sq, inside, held, where, base,
                                first_of_kind, sees, room, ways[N_EVERYWHERE], sight, focus[o], x, y, z)  # fmt: skip
    factor = scale * scale
    n_observers = len(view)
    n, n_inside = _take_owned(o, n_observers + o, entity, tick, due, owner_only, position, enter_sq, leave_sq, factor,
                              slot_inverse, near_slot, inside, held, where, base, n, n_inside, sees, room, sight,
                              focus[o], x, y, z, page_kind, slot_kind, generation, born, list_start, list_n,
                              pool)  # fmt: skip
    n, n_inside = _take_list(list_start[o], list_start[o] + list_n[o], pool, pool_mask, 0, tick, due, owner_only,
                             near_slot, inside, held, where, base, n, n_inside, sees, room, sight, page_kind, slot_kind,
                             generation, born)  # fmt: skip
    groups = 2 * n_observers + o
    for i in range(list_start[groups], list_start[groups] + list_n[groups]):
        group = np.int64(pool[i])
        n, n_inside = _take_list(list_start[group], list_start[group] + list_n[group], pool, pool_mask,
                                 np.int64(pool_mask[i]), tick, due, owner_only, near_slot, inside, held, where, base, n,
                                 n_inside, sees, room, sight, page_kind, slot_kind, generation, born)  # fmt: skip
    inside[n : n + 2] = 0
    held[n : n + 2] = 0
    return n, n_inside, scale
