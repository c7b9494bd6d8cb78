"""Scan: the entities around a point, out of the cells of one level of the grid (`grid`).

Cells are looked through by layer, row and column, ascending, a split one by its parts in the same order; so those who
are found stand in an order that depends on the cells alone.
"""

from __future__ import annotations

import math

import numpy as np

from horizon_ecs.kernel import helper, inlined
from horizon_ecs.systems.grid import cell_coordinate, part_coordinate

_NEAR = 1e6  # cells from the origin; further out a row's edge isn't known well enough to cut it short


@inlined
def _scan_run(first, last, ox, oy, oz, limit_sq, item_slot, item_position, out_slot, out_sq, n):
    """Append the items of one run of cells that lie within the limit; without a branch, since half of them don't."""
    at = np.uint64(n)
    for a in range(np.uint64(first), np.uint64(last)):
        dx = item_position[a, 0] - ox
        dy = item_position[a, 1] - oy
        dz = item_position[a, 2] - oz
        distance_sq = (dx * dx + dy * dy) + dz * dz
        out_slot[at] = item_slot[a, 3]
        out_sq[at] = distance_sq
        at += np.uint64(distance_sq <= limit_sq)
    return np.int64(at)


@inlined
def _scan_scaled_run(first, last, ox, oy, oz, limit_sq, item_slot, item_position, item_inverse, out_slot, out_sq, n):
    """As `_scan_run`, each squared distance times what its entity's radius scale makes of it."""
    at = np.uint64(n)
    for a in range(np.uint64(first), np.uint64(last)):
        dx = item_position[a, 0] - ox
        dy = item_position[a, 1] - oy
        dz = item_position[a, 2] - oz
        distance_sq = ((dx * dx + dy * dy) + dz * dz) * item_inverse[a]
        out_slot[at] = item_slot[a, 3]
        out_sq[at] = distance_sq
        at += np.uint64(distance_sq <= limit_sq)
    return np.int64(at)


@inlined
def _span(centre, reach, inverse_size, n_cells):
    """First cell and number of cells that `centre ± reach` covers on a ring of `n_cells`; where it is all of them, they
    begin half a ring below, so that a wider reach never changes the order of those that a narrower one covers."""
    first, count = np.int64(0), np.int64(n_cells)
    if reach * inverse_size < n_cells:
        first = cell_coordinate(centre - reach, inverse_size)
        count = cell_coordinate(centre + reach, inverse_size) - first + 1
    if count >= n_cells:
        return cell_coordinate(centre, inverse_size) - (n_cells >> 1), np.int64(n_cells)
    return first, count


@inlined
def scan(ox, oy, oz, reach, limit_sq, inverse_size, shape, offset, cell_start, item_slot, item_position, out_slot,
         out_sq, n):  # fmt: skip
    """Append to `out_slot`, `out_sq` from `n` on the entities of a flat level within the limit; return the new `n`.

    `shape` is the level's row of the grid's shape, `offset` that of a room's cells; `reach` (world units) must cover
    the square root of `limit_sq`; the items are what `grid.fill_cells` wrote. Nothing in the level has a radius scale,
    and no cell is split.
    """
    base, log_w, log_h = shape[0], shape[1], shape[2]
    width, height = np.int64(1) << log_w, np.int64(1) << log_h
    x0, nx = _span(np.float64(ox), reach, inverse_size, width)
    y0, ny = _span(np.float64(oy), reach, inverse_size, height)
    x0 = (x0 + (offset & 0xFFFF)) & (width - 1)
    y0 += offset >> 16
    for row in range(ny):
        cell = base + (((y0 + row) & (height - 1)) << log_w)
        stop = min(x0 + nx, width)
        n = _scan_run(cell_start[cell + x0], cell_start[cell + stop], ox, oy, oz, limit_sq, item_slot, item_position,
                      out_slot, out_sq, n)  # fmt: skip
        if x0 + nx > width:
            n = _scan_run(cell_start[cell], cell_start[cell + x0 + nx - width], ox, oy, oz, limit_sq, item_slot,
                          item_position, out_slot, out_sq, n)  # fmt: skip
    return n


@helper
def _chord(centre, reach, inverse_size, row, whole):
    """How far a circle around `centre` reaches along a row of cells, a hair more than it does; below 0 if nowhere."""
    if whole or not abs(centre) * inverse_size < _NEAR or reach == math.inf:
        return reach
    size = 1.0 / inverse_size
    away = max(row * size - centre, centre - (row + 1) * size, 0.0) - 1e-9 * size
    if away <= 0.0:
        return reach
    return math.sqrt(reach * reach - away * away) + 1e-9 * size if away <= reach else -1.0


@helper
def _parts(centre, reach, inverse_size, cell, depth, whole):
    """First and one past the last of a cell's `2**depth` parts along an axis that `centre ± reach` covers."""
    n = np.int64(1) << depth
    if whole:
        return np.int64(0), n
    first = part_coordinate(centre - reach, inverse_size, depth) - (cell << depth)
    last = part_coordinate(centre + reach, inverse_size, depth) - (cell << depth)
    return max(first, np.int64(0)), min(last + 1, n)


@helper
def _scan_parts(ox, oy, oz, reach, limit_sq, inverse_size, x, y, z, whole_x, whole_y, whole_z, depth, deep, first,
                cell_start, item_slot, item_position, item_inverse, out_slot, out_sq, n):  # fmt: skip
    """The parts of one split cell, whose unwrapped numbers are x, y, z and whose parts begin at `first`."""
    finer = inverse_size * np.float64(np.int64(1) << depth)
    layers = depth if deep else np.int64(0)
    low_z, high_z = _parts(np.float64(oz), reach, inverse_size, z, layers, whole_z or not deep)
    for layer in range(low_z, high_z):
        across = _chord(np.float64(oz), reach, finer, (z << layers) + layer, whole_z or not deep)
        low_y, high_y = _parts(np.float64(oy), across, inverse_size, y, depth, whole_y)
        for row in range(low_y, high_y):
            along = _chord(np.float64(oy), across, finer, (y << depth) + row, whole_y)
            low_x, high_x = _parts(np.float64(ox), along, inverse_size, x, depth, whole_x)
            if low_x < high_x and along >= 0.0:
                part = first + (((layer << depth) + row) << depth)
                n = _scan_scaled_run(cell_start[part + low_x], cell_start[part + high_x], ox, oy, oz, limit_sq,
                                     item_slot, item_position, item_inverse, out_slot, out_sq, n)  # fmt: skip
    return n


@helper
def _scan_row(ox, oy, oz, reach, along, limit_sq, inverse_size, shape, offset, y, z, whole_y, whole_z, depth,
              first_part, cell_start, item_slot, item_position, item_inverse, out_slot, out_sq, n):  # fmt: skip
    """The cells of one row, split ones part by part, runs of whole ones at once."""
    width, height, layers = np.int64(1) << shape[1], np.int64(1) << shape[2], np.int64(1) << shape[3]
    line = shape[0] + ((((z & (layers - 1)) << shape[2]) + ((y + (offset >> 16)) & (height - 1))) << shape[1])
    x0, nx = _span(np.float64(ox), along, inverse_size, width)
    if len(depth) == 0:
        x0 = (x0 + (offset & 0xFFFF)) & (width - 1)
        first, stop = line + x0, line + min(x0 + nx, width)
        n = _scan_scaled_run(cell_start[first], cell_start[stop], ox, oy, oz, limit_sq, item_slot, item_position,
                             item_inverse, out_slot, out_sq, n)  # fmt: skip
        return _scan_scaled_run(cell_start[line], cell_start[line + max(x0 + nx - width, 0)], ox, oy, oz, limit_sq,
                                item_slot, item_position, item_inverse, out_slot, out_sq, n)  # fmt: skip
    run, stop = np.int64(0), np.int64(0)  # the items of cells that wait to be looked at together
    for column in range(nx):
        cell = line + ((x0 + column + (offset & 0xFFFF)) & (width - 1))
        if depth[cell] == 0:
            following = np.int64(cell_start[first_part[cell]])
            if following != stop:
                n = _scan_scaled_run(run, stop, ox, oy, oz, limit_sq, item_slot, item_position, item_inverse, out_slot,
                                     out_sq, n)  # fmt: skip
                run = following
            stop = np.int64(cell_start[first_part[cell] + 1])
            continue
        n = _scan_scaled_run(run, stop, ox, oy, oz, limit_sq, item_slot, item_position, item_inverse, out_slot, out_sq,
                             n)  # fmt: skip
        run, stop = np.int64(0), np.int64(0)
        n = _scan_parts(ox, oy, oz, reach, limit_sq, inverse_size, x0 + column, y, z, nx == width, whole_y, whole_z,
                        np.int64(depth[cell]), shape[3] > 0, np.int64(first_part[cell]), cell_start, item_slot,
                        item_position, item_inverse, out_slot, out_sq, n)  # fmt: skip
    return _scan_scaled_run(run, stop, ox, oy, oz, limit_sq, item_slot, item_position, item_inverse, out_slot, out_sq,
                            n)  # fmt: skip


@helper
def scan_level(ox, oy, oz, reach, limit_sq, inverse_size, shape, offset, depth, first_part, cell_start, item_slot,
               item_position, item_inverse, out_slot, out_sq, n):  # fmt: skip
    """As `scan`, for a level of any shape: with layers, split cells, and entities with radius scales.

    `reach` must cover the largest of them; what is written and compared with `limit_sq` is the squared distance times
    `item_inverse`, the squared inverse of an entity's scale. `depth` and `first_part` have a number for every cell of
    the grid, or none where no cell is split. Oracle: tests/naive.py::place_in_scan.
    """
    height, layers = np.int64(1) << shape[2], np.int64(1) << shape[3]
    z0, nz = _span(np.float64(oz), reach, inverse_size, layers)
    for layer in range(nz):
        across = _chord(np.float64(oz), reach, inverse_size, z0 + layer, nz == layers)
        if across < 0.0:
            continue
        y0, ny = _span(np.float64(oy), across, inverse_size, height)
        for row in range(ny):
            along = _chord(np.float64(oy), across, inverse_size, y0 + row, ny == height)
            if along >= 0.0:
                n = _scan_row(ox, oy, oz, reach, along, limit_sq, inverse_size, shape, offset, y0 + row, z0 + layer,
                              ny == height, nz == layers, depth, first_part, cell_start, item_slot, item_position,
                              item_inverse, out_slot, out_sq, n)  # fmt: skip
    return n


@helper
def scan_levels(ox, oy, oz, first, last, reach, limit_sq, level_scale, inverse_size, shape, offset, depth, first_part,
                cell_start, item_slot, item_position, item_inverse, out_slot, out_sq, n):  # fmt: skip
    """Scan those levels from `first` up to `last` that hold anybody; `reach` is that of a scale of 1."""
    for level in range(first, last):
        cell = shape[level, 0]
        behind = cell + (np.int64(1) << (shape[level, 1] + shape[level, 2] + shape[level, 3]))
        if len(depth) > 0:
            cell, behind = np.int64(first_part[cell]), np.int64(first_part[behind])
        if cell_start[cell] != cell_start[behind]:
            n = scan_level(ox, oy, oz, reach * level_scale[level], limit_sq, inverse_size[level], shape[level], offset,
                           depth, first_part, cell_start, item_slot, item_position, item_inverse, out_slot, out_sq,
                           n)  # fmt: skip
    return n
