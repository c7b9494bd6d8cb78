"""Hierarchies: who is tied to whom, by target; what follows from an end; depth order, and transforms down it."""

from __future__ import annotations

import math

import numpy as np

from horizon_ecs.kernel import helper, kernel
from horizon_ecs.systems.storage import slot_of

_SLOT_BITS = np.uint64(32)
_NONE = np.uint64(0)
_ORDER = "Array(uint32, 1, 'C', readonly=True), Array(int32, 1, 'C', readonly=True)"
_F4 = "float32[::1]"


@helper
def _target_slot(slot, bit, target, signature, generation):
    """The slot of what a row is tied to, or -1."""
    handle = target[slot] if (signature[slot] & bit) != _NONE else _NONE
    return slot_of(handle, generation, signature)


@helper
def _is_source(source, slot, bit, target, signature, generation):
    """Whether a row is tied to the entity that lives in a slot."""
    handle = (np.uint64(generation[slot]) << _SLOT_BITS) | np.uint64(slot)
    return (signature[source] & bit) != _NONE and target[source] == handle


@kernel(
    "int64(uint32[::1], uint64[::1], uint64, uint64[::1], uint64[::1], uint32[::1], uint32[::1], int64[::1], int64)"
)
def find_cycle(slots, new_target, bit, target, signature, generation, pending, mark, first_mark):
    """Whether rows could be tied to new targets without a cycle; where a row is named twice the last target counts.

    Every changed row is followed upwards until there is nobody, or a row that an earlier walk came by.

    Parameters
    ----------
    slots : uint32[n];  new_target : uint64[n]       in      the targets live, or are 0
    bit : uint64                                     in      of the relation
    target uint64, signature uint64, generation uint32 [n_slots]   in   as they are
    pending : uint32[n_slots]                        in/out  zeros
    mark : int64[n_slots]                            in/out  numbers below `first_mark`; now below first_mark + n
    first_mark : int64                               in

    Returns
    -------
    int64 : a slot on the cycle, or -1.

    Cost: O(rows on the way up). Oracle: tests/naive.py::on_cycle.
    """
    for i in range(len(slots)):
        pending[slots[i]] = i + 1
    found = np.int64(-1)
    for i in range(len(slots)):
        slot = np.int64(slots[i])
        while slot >= 0 and mark[slot] < first_mark:
            mark[slot] = first_mark + i
            change = pending[slot]
            if change > 0:
                slot = slot_of(new_target[change - 1], generation, signature)
            else:
                slot = _target_slot(slot, bit, target, signature, generation)
        if slot >= 0 and mark[slot] == first_mark + i and found < 0:
            found = slot
    for slot in slots:
        pending[slot] = 0
    return found


@kernel("int64(uint32[::1], uint64, uint64[::1], uint64[::1], uint32[::1], uint32[::1], uint32[::1])")
def index_sources(slots, bit, target, signature, generation, out_start, out_source):
    """Sort rows by what they are tied to: a counting sort.

    Parameters
    ----------
    slots : uint32[n]                 in   ascending: the rows that have the relation
    bit, target, signature, generation     as for `find_cycle`
    out_start : uint32[n_rows + 2]    out  zeros before; the sources of slot t begin at out_start[t] and end at the next
    out_source : uint32[n]            out  ascending for each target

    Returns
    -------
    int64 : how many rows are tied to somebody.

    Cost: O(n + n_rows). Oracle: tests/naive.py::sources_of.
    """
    n = 0
    for slot in slots:
        above = _target_slot(slot, bit, target, signature, generation)
        if above >= 0:
            out_start[above + 2] += np.uint32(1)
            n += 1
    for i in range(2, len(out_start)):
        out_start[i] += out_start[i - 1]
    for slot in slots:
        above = _target_slot(slot, bit, target, signature, generation)
        if above >= 0:
            out_source[out_start[above + 1]] = slot
            out_start[above + 1] += np.uint32(1)
    return n


@kernel(
    "int64(uint32[::1], int64, int64, uint32[::1], uint32[::1], uint64, uint64[::1], uint64[::1], uint32[::1], "
    "boolean[::1])"
)
def close_over(queue, done, n, start, source, bit, target, signature, generation, reached):
    """Append the sources of queued rows, and theirs, to a queue, each once.

    The index may be older than the last end of an entity or of a tie, not than the last new tie.

    Parameters
    ----------
    queue : uint32[n_live]       in/out  slots
    done, n : int64              in      so many of them were looked at, and so many there are
    start, source                in      from `index_sources`
    bit, target, signature, generation   as for `find_cycle`
    reached : boolean[n_slots]   in/out  True for what is queued

    Returns
    -------
    int64 : how many are queued.

    Cost: O(what is found). Oracle: tests/naive.py::descendants.
    """
    i = done
    while i < n:
        slot = np.int64(queue[i])
        i += 1
        if slot + 2 >= len(start):
            continue
        for at in range(start[slot], start[slot + 1]):
            below = source[at]
            if not reached[below] and _is_source(below, slot, bit, target, signature, generation):
                reached[below] = True
                queue[n] = below
                n += 1
    return n


@kernel(
    "int64(uint32[::1], uint32[::1], uint64, uint64[::1], uint64[::1], uint32[::1], uint32[::1], int32[::1], "
    "int32[::1])"
)
def order_by_depth(start, source, bit, target, signature, generation, out_order, out_parent, out_depth):
    """Breadth first: those without a target, then their sources, then theirs.

    Who has the relation is a member, and who is a target.

    Parameters
    ----------
    start, source                in   from `index_sources`, up to date
    bit, target, signature, generation   as for `find_cycle`
    out_order : uint32[n]        out  slots; roots ascending, then each one's sources together, ascending
    out_parent : int32[n]        out  index into the order of each one's target, or -1
    out_depth : int32[n]         out

    Returns
    -------
    int64 : how many; -1 where somebody is reached from no root, which is a cycle.

    Cost: O(n_rows). Oracle: tests/naive.py::depth_order.
    """
    n = 0
    members = 0
    for slot in range(len(start) - 2):
        if (signature[slot] & bit) != _NONE or start[slot + 1] > start[slot]:
            members += 1
            if _target_slot(slot, bit, target, signature, generation) < 0:
                out_order[n] = slot
                out_parent[n] = -1
                out_depth[n] = 0
                n += 1
    i = 0
    while i < n:
        slot = out_order[i]
        for at in range(start[slot], start[slot + np.uint32(1)]):
            out_order[n] = source[at]
            out_parent[n] = i
            out_depth[n] = out_depth[i] + 1
            n += 1
        i += 1
    return n if n == members else -1


@kernel("void(Array(int32, 1, 'C', readonly=True), float64[::1])")
def sum_upwards(parent, totals):
    """Add each entry to its parent's, the deepest first; `totals` float64[n] in depth order is in/out.

    Oracle: tests/naive.py::subtree_total.
    """
    for i in range(len(parent) - 1, -1, -1):
        if parent[i] >= 0:
            totals[parent[i]] += totals[i]


@kernel(f"void({_ORDER}, int64, uint64[::1], uint64, {', '.join([_F4] * 16)})")
def compose(order, parent, first, signature, need, x, y, z, qx, qy, qz, qw, s,
            world_x, world_y, world_z, world_qx, world_qy, world_qz, world_qw, world_s):  # fmt: skip
    """World transforms from local ones, down a hierarchy: position + scale * rotated local position, and so on.

    Parameters
    ----------
    order uint32[n], parent int32[n]   in   from `order_by_depth`
    first : int64                      in   where those begin that have a parent
    signature : uint64[n_slots]        in
    need : uint64                      in   bits that an entry and its parent have; others stay as they are
    x … s : float32[n_slots]           in   local position, unit quaternion, scale
    world_x … world_s                  out  the same in the world; those of entries without a parent are in

    Source: v' = v + 2 w (q × v) + 2 q × (q × v), for unit quaternions. Oracle: tests/naive.py::world_transform.
    """
    two = np.float32(2)
    for i in range(first, len(order)):
        row = order[i]
        up = order[parent[i]]
        if (signature[row] & signature[up] & need) != need:
            continue
        ax, ay, az, aw = world_qx[up], world_qy[up], world_qz[up], world_qw[up]
        bx, by, bz, bw = qx[row], qy[row], qz[row], qw[row]
        px, py, pz = x[row], y[row], z[row]
        tx = two * (ay * pz - az * py)
        ty = two * (az * px - ax * pz)
        tz = two * (ax * py - ay * px)
        scale = world_s[up]
        world_x[row] = world_x[up] + scale * (px + aw * tx + (ay * tz - az * ty))
        world_y[row] = world_y[up] + scale * (py + aw * ty + (az * tx - ax * tz))
        world_z[row] = world_z[up] + scale * (pz + aw * tz + (ax * ty - ay * tx))
        world_qx[row] = aw * bx + ax * bw + ay * bz - az * by
        world_qy[row] = aw * by - ax * bz + ay * bw + az * bx
        world_qz[row] = aw * bz + ax * by - ay * bx + az * bw
        world_qw[row] = aw * bw - ax * bx - ay * by - az * bz
        world_s[row] = scale * s[row]


@kernel(f"void({_ORDER}, int64, uint64[::1], uint64, {', '.join([_F4] * 8)})")
def compose_2d(order, parent, first, signature, need, x, y, angle, s, world_x, world_y, world_angle, world_s):
    """As `compose`, in the plane; angles in radians, counter-clockwise. Oracle: tests/naive.py::world_transform_2d."""
    for i in range(first, len(order)):
        row = order[i]
        up = order[parent[i]]
        if (signature[row] & signature[up] & need) != need:
            continue
        c = np.float32(math.cos(world_angle[up]))
        d = np.float32(math.sin(world_angle[up]))
        scale = world_s[up]
        world_x[row] = world_x[up] + scale * (c * x[row] - d * y[row])
        world_y[row] = world_y[up] + scale * (d * x[row] + c * y[row])
        world_angle[row] = world_angle[up] + angle[row]
        world_s[row] = scale * s[row]
