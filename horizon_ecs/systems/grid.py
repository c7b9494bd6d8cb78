"""Grid: every replicated entity sorted by kind and cell, by counting sort, anew each tick.

The cells of a kind form a torus of `2**log_w x 2**log_h` squares: coordinates wrap, so a world has no bounds and an
outlier costs nothing; the exact distance test sorts out what only wrapping brought near. Within a cell slots ascend, so
the order doesn't depend on the number of threads. Each room's cells are shifted by an offset of its own, so that what
overlaps in space in thousands of rooms doesn't share cells. Source: counting sort as in Green, "Particle Simulation
using CUDA", 2010.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel

PAGE = 1024
DEAD = np.uint32(0xFFFFFFFF)
NO_CELL = np.int32(-1)
EVERYWHERE = np.uint32(0xFFFFFFFF)  # the room of what is seen in all rooms

# Cell numbers stay exact in float64 and far inside int64; what lies further out shares the outermost cell.
_FAR = 1e15


@helper
def cell_coordinate(value, inverse_size):
    """The unwrapped number of the cell that `value` lies in."""
    return np.int64(np.floor(min(max(np.float64(value) * inverse_size, -_FAR), _FAR)))


@helper
def room_offset(room):
    """How far a room's cells are shifted: across in the lower half of the bits, along in the upper; 0 for room 0.

    Source: the finaliser of MurmurHash3.
    """
    h = np.uint64(room)
    h = ((h ^ (h >> np.uint64(16))) * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0xC2B2AE35)) & np.uint64(0xFFFFFFFF)
    return np.int64(h ^ (h >> np.uint64(16)))


@helper
def _shift_cells(cells, sight, base, log_w, log_h):
    """Shift the numbered cells of one page's entities by their rooms."""
    for i in range(len(cells)):
        room = np.uint32(sight[i, 1] & np.uint64(0xFFFFFFFF))
        if room != 0 and cells[i] != NO_CELL:
            offset = room_offset(room)
            cx = (np.int64(cells[i]) - base + (offset & 0xFFFF)) & ((1 << log_w) - 1)
            cy = (((np.int64(cells[i]) - base) >> log_w) + (offset >> 16)) & ((1 << log_h) - 1)
            cells[i] = np.int32(base + (cy << log_w) + cx)


@kernel(
    "void(uint32[::1], int16[::1], uint32[::1], uint32, float32[::1], float32[::1], float32[::1], float64[::1], "
    "int64[:, ::1], int64, uint64[:, ::1], int32[::1], int32[::1])"
)
def count_cells(pages, page_kind, born, tick, x, y, z, inverse_size, shape, with_rooms, sight, out_count, out_cell):
    """Number the cell of every live entity of some pages, and count what lies in each cell.

    Parameters
    ----------
    pages : uint32[n]                     in   a part of the pages of replicated kinds
    page_kind : int16[n_pages]            in   kind of each page
    born : uint32[capacity]               in   0xFFFFFFFF marks a dead slot
    tick : uint32                         in   who is born later isn't there yet
    x, y, z : float32[capacity]           in   positions; a slot whose position is not finite is in no cell
    inverse_size : float64[n_kinds]       in   1 / edge of a cell
    shape : int64[n_kinds, 3]             in   first cell, log2 of cells in x, log2 of cells in y
    with_rooms : int64                    in   0: every entity is in room 0
    sight : uint64[capacity, 2]           in   the lower half of the second word is the room (`visibility`)
    out_count : int32[n_cells]            out
    out_cell : int32[capacity]            out  -1 for none

    Cost: O(1024 n + n_cells), allocates nothing. Oracle: tests/naive.py::build_grid.
    """
    out_count[:] = 0
    for p in range(len(pages)):
        page = np.int64(pages[p])
        kind = page_kind[page]
        inverse = inverse_size[kind]
        base, log_w, log_h = shape[kind, 0], shape[kind, 1], shape[kind, 2]
        mask_x, mask_y = (1 << log_w) - 1, (1 << log_h) - 1
        first = page * PAGE
        px, py, pz = x[first : first + PAGE], y[first : first + PAGE], z[first : first + PAGE]
        page_born, cells = born[first : first + PAGE], out_cell[first : first + PAGE]
        for i in range(PAGE):
            where = px[i] + py[i] + pz[i]
            lives = (page_born[i] <= tick) & (where - where == np.float32(0.0))
            cx = cell_coordinate(px[i] if lives else np.float32(0.0), inverse) & mask_x
            cy = cell_coordinate(py[i] if lives else np.float32(0.0), inverse) & mask_y
            cells[i] = np.int32(base + (cy << log_w) + cx) if lives else NO_CELL
        if with_rooms:
            _shift_cells(cells, sight[first : first + PAGE], base, log_w, log_h)
        for i in range(PAGE):
            if cells[i] != NO_CELL:
                out_count[np.uint32(cells[i])] += 1


@kernel("void(int32[:, ::1], int32[::1])")
def place_cells(counts, out_start):
    """Turn the counts of every part into where it writes its first item of each cell.

    Parameters
    ----------
    counts : int32[n_parts, n_cells]      in/out
    out_start : int32[n_cells + 1]        out  first item of each cell; the last entry is the number of items

    Oracle: tests/naive.py::build_grid.
    """
    total = np.int32(0)
    for cell in range(counts.shape[1]):
        out_start[cell] = total
        for part in range(counts.shape[0]):
            n = counts[part, cell]
            counts[part, cell] = total
            total += n
    out_start[counts.shape[1]] = total


@kernel(
    "void(uint32[::1], float32[::1], float32[::1], float32[::1], int32[::1], int32[::1], uint32[:, ::1], "
    "float32[:, ::1])"
)
def fill_cells(pages, x, y, z, cell_of, cursor, out_slot, out_position):
    """Put the entities of some pages in their places, four words each: who looks at one finds all of it in one line.

    Parameters
    ----------
    pages, x, y, z, cell_of               in      as `count_cells` had and wrote them
    cursor : int32[n_cells]               in/out  this part's row of what `place_cells` wrote
    out_slot : uint32[capacity, 4]        out     the items, sorted by cell, slots ascending in each: the last of four
                                                  words is the slot
    out_position : float32[capacity, 4]   out     the same memory: the first three are x, y, z

    Oracle: tests/naive.py::build_grid.
    """
    for p in range(len(pages)):
        first = np.int64(pages[p]) * PAGE
        for i in range(first, first + PAGE):
            if cell_of[i] == NO_CELL:
                continue
            cell = np.uint32(cell_of[i])
            at = np.uint32(cursor[cell])
            cursor[cell] += 1
            out_position[at, 0] = x[i]
            out_position[at, 1] = y[i]
            out_position[at, 2] = z[i]
            out_slot[at, 3] = np.uint32(i)
