"""Grid: every replicated entity sorted by kind and cell, by counting sort, anew each tick.

The cells of a kind form a torus of `2**log_w x 2**log_h` squares: coordinates wrap, so a world has no bounds and an outlier costs
nothing; the exact distance test sorts out what only wrapping brought near. Within a cell slots ascend, so the order doesn't
depend on the number of threads. Source: counting sort as in Green, "Particle Simulation using CUDA", 2010.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from horizon_ecs.kernel import helper, kernel

PAGE = 1024
DEAD = np.uint32(0xFFFFFFFF)
NO_CELL = np.int32(-1)

# Cell numbers stay exact in float64 and far inside int64; what lies further out shares the outermost cell.
_FAR = 1e15

_ARGUMENTS = (
    "uint32[::1], int16[::1], uint32[::1], float32[::1], float32[::1], float32[::1], float64[::1], int64[:, ::1], "
    "int32[::1], int32[:, ::1], int32[::1], uint32[::1], float32[::1], float32[::1], float32[::1]"
)


@helper
def cell_coordinate(value, inverse_size):
    """The unwrapped number of the cell that `value` lies in."""
    return np.int64(np.floor(min(max(np.float64(value) * inverse_size, -_FAR), _FAR)))


@helper
def _count(part, n_parts, pages, page_kind, born, x, y, z, inverse_size, shape, counts, cell_of):
    """Number the cells of this part's pages and count what lies in each."""
    tally = counts[part]
    tally[:] = 0
    for p in range(part * len(pages) // n_parts, (part + 1) * len(pages) // n_parts):
        page = np.int64(pages[p])
        kind = page_kind[page]
        inverse = inverse_size[kind]
        base, log_w, log_h = shape[kind, 0], shape[kind, 1], shape[kind, 2]
        mask_x, mask_y = (1 << log_w) - 1, (1 << log_h) - 1
        for i in range(page * PAGE, page * PAGE + PAGE):
            where = x[i] + y[i] + z[i]
            if born[i] == DEAD or where - where != np.float32(0.0):
                cell_of[i] = NO_CELL
                continue
            cx = cell_coordinate(x[i], inverse) & mask_x
            cy = cell_coordinate(y[i], inverse) & mask_y
            cell = base + (cy << log_w) + cx
            cell_of[i] = np.int32(cell)
            tally[cell] += 1


@helper
def _prefix(counts, cell_start):
    """Turn counts into where each part writes its first item of each cell."""
    total = np.int32(0)
    for cell in range(counts.shape[1]):
        cell_start[cell] = total
        for part in range(counts.shape[0]):
            n = counts[part, cell]
            counts[part, cell] = total
            total += n
    cell_start[counts.shape[1]] = total


@helper
def _scatter(part, n_parts, pages, x, y, z, counts, cell_of, out_slot, out_x, out_y, out_z):
    """Put this part's entities in their places."""
    cursor = counts[part]
    for p in range(part * len(pages) // n_parts, (part + 1) * len(pages) // n_parts):
        first = np.int64(pages[p]) * PAGE
        for i in range(first, first + PAGE):
            cell = cell_of[i]
            if cell == NO_CELL:
                continue
            at = cursor[cell]
            cursor[cell] = at + 1
            out_slot[at] = np.uint32(i)
            out_x[at] = x[i]
            out_y[at] = y[i]
            out_z[at] = z[i]


@kernel(f"void({_ARGUMENTS})")
def build_grid(
    pages, page_kind, born, x, y, z, inverse_size, shape, cell_start, counts, cell_of, out_slot, out_x, out_y, out_z
):
    """Sort the live entities of `pages` by cell.

    Parameters
    ----------
    pages : uint32[n]                     in   pages of replicated kinds, ascending
    page_kind : int16[n_pages]            in   kind of each page
    born : uint32[capacity]               in   0xFFFFFFFF marks a dead slot
    x, y, z : float32[capacity]           in   positions; a slot whose position is not finite is in no cell
    inverse_size : float64[n_kinds]       in   1 / edge of a cell
    shape : int64[n_kinds, 3]             in   first cell, log2 of cells in x, log2 of cells in y
    cell_start : int32[n_cells + 1]       out  first item of each cell; the last entry is the number of items
    counts : int32[n_parts, n_cells]      scratch, one row a thread
    cell_of : int32[capacity]             scratch
    out_slot, out_x, out_y, out_z         out  the items, sorted

    Cost: O(1024 n + n_parts n_cells), allocates nothing. Oracle: tests/naive.py::build_grid.
    """
    n_parts = counts.shape[0]
    for part in range(n_parts):
        _count(part, n_parts, pages, page_kind, born, x, y, z, inverse_size, shape, counts, cell_of)
    _prefix(counts, cell_start)
    for part in range(n_parts):
        _scatter(part, n_parts, pages, x, y, z, counts, cell_of, out_slot, out_x, out_y, out_z)


@kernel(f"void({_ARGUMENTS})", parallel=True)
def build_grid_parallel(
    pages, page_kind, born, x, y, z, inverse_size, shape, cell_start, counts, cell_of, out_slot, out_x, out_y, out_z
):
    """`build_grid` with a thread for every row of `counts`; the same result."""
    n_parts = counts.shape[0]
    for part in prange(n_parts):
        _count(part, n_parts, pages, page_kind, born, x, y, z, inverse_size, shape, counts, cell_of)
    _prefix(counts, cell_start)
    for part in prange(n_parts):
        _scatter(part, n_parts, pages, x, y, z, counts, cell_of, out_slot, out_x, out_y, out_z)
