"""Grid: every replicated entity sorted by level and cell, by counting sort, anew each tick.

A level holds the entities of one kind whose radius scales are about the same, and has cells of its own size. They form
a torus of `2**log_w x 2**log_h x 2**log_d` squares (`log_d` 0) or cubes: coordinates wrap, so a world has no bounds and
an outlier costs nothing; the exact distance test sorts out what only wrapping brought near. A crowded cell may be split
into `2**depth` parts along each axis, which stand together. Within a cell or part slots ascend, so the order doesn't
depend on the number of threads. Each room's cells are shifted by an offset of its own, so that what overlaps in space
in thousands of rooms doesn't share cells. Source: counting sort as in Green, "Particle Simulation using CUDA", 2010.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, inlined, kernel

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


@helper
def part_coordinate(value, inverse_size, depth):
    """The unwrapped number of the part, `2**depth` a cell, that `value` lies in."""
    scaled = min(max(np.float64(value) * inverse_size, -_FAR), _FAR)
    return np.int64(np.floor(scaled * np.float64(np.int64(1) << np.int64(depth))))


@kernel(
    "void(uint32[::1], int16[::1], uint32[::1], uint32, float32[::1], float32[::1], float32[::1], float64[::1], "
    "int64[:, ::1], int64, uint64[:, ::1], int32[::1], int32[::1])"
)
def count_cells(pages, page_level, born, tick, x, y, z, inverse_size, shape, with_rooms, sight, out_count, out_cell):
    """Number the cell of every live entity of some pages of flat levels, and count what lies in each cell.

    Parameters
    ----------
    pages : uint32[n]                     in   a part of the pages of replicated kinds
    page_level : int16[n_pages]           in   level of all entities of each page
    born : uint32[capacity]               in   0xFFFFFFFF marks a dead slot
    tick : uint32                         in   who is born later isn't there yet
    x, y, z : float32[capacity]           in   positions; a slot whose position is not finite is in no cell
    inverse_size : float64[n_levels]      in   1 / edge of a cell
    shape : int64[n_levels, 4]            in   first cell, log2 of cells in x, in y, in z
    with_rooms : int64                    in   0: every entity is in room 0
    sight : uint64[capacity, 2]           in   the lower half of the second word is the room (`visibility`)
    out_count : int32[n_cells]            out
    out_cell : int32[capacity]            out  -1 for none

    Cost: O(1024 n + n_cells), allocates nothing. Oracle: tests/naive.py::build_grid.
    """
    out_count[:] = 0
    for p in range(len(pages)):
        page = np.int64(pages[p])
        level = page_level[page]
        inverse = inverse_size[level]
        base, log_w, log_h = shape[level, 0], shape[level, 1], shape[level, 2]
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


@inlined
def _part_of(x, y, z, inverse, shape, offset, depth, first_part):
    """The number of the cell or part that a position lies in; the last of them where `depth` is empty."""
    cx, cy, cz = cell_coordinate(x, inverse), cell_coordinate(y, inverse), cell_coordinate(z, inverse)
    log_w, log_h, log_d = shape[1], shape[2], shape[3]
    row, column = cy + (offset >> 16), cx + (offset & 0xFFFF)
    line = ((cz & ((np.int64(1) << log_d) - 1)) << log_h) + (row & ((np.int64(1) << log_h) - 1))
    cell = shape[0] + (line << log_w) + (column & ((np.int64(1) << log_w) - 1))
    if len(depth) == 0:
        return cell
    d = np.int64(depth[cell])
    part = np.int64(first_part[cell])
    if d > 0:
        line = part_coordinate(y, inverse, d) - (cy << d)
        if log_d > 0:
            line += (part_coordinate(z, inverse, d) - (cz << d)) << d
        part += (line << d) + part_coordinate(x, inverse, d) - (cx << d)
    return part


@kernel(
    "void(uint32[::1], int16[::1], int16[::1], uint32[::1], uint32, float32[::1], float32[::1], float32[::1], "
    "float64[::1], int64[:, ::1], int64, uint64[:, ::1], uint8[::1], int32[::1], int32[::1], int32[::1])"
)
def count_levels(
    pages, page_level, slot_level, born, tick, x, y, z, inverse_size, shape, with_rooms, sight, depth, first_part,
    out_count, out_cell
):  # fmt: skip
    """As `count_cells`, for levels of any shape.

    Parameters
    ----------
    slot_level : int16[capacity]          in   level of each entity; empty where the page's holds for all
    depth : uint8[n_cells]                in   a cell has `2**depth` parts along each axis; empty where none is split
    first_part : int32[n_cells + 1]       in   the number of each cell's first part, of which all have one at least
    out_count : int32[n_parts]            out

    Cost: O(1024 n + n_parts), allocates nothing. Oracle: tests/naive.py::build_grid.
    """
    out_count[:] = 0
    for p in range(len(pages)):
        page = np.int64(pages[p])
        for i in range(page * PAGE, (page + 1) * PAGE):
            where = x[i] + y[i] + z[i]
            out_cell[i] = NO_CELL
            if born[i] <= tick and where - where == np.float32(0.0):
                level = slot_level[i] if len(slot_level) > 0 else page_level[page]
                offset = room_offset(np.uint32(sight[i, 1] & np.uint64(0xFFFFFFFF))) if with_rooms else np.int64(0)
                part = _part_of(x[i], y[i], z[i], inverse_size[level], shape[level], offset, depth, first_part)
                out_cell[i] = np.int32(part)
                out_count[part] += 1


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


@kernel("void(uint32[::1], int32[::1], float32[::1], int32[::1], float32[::1])")
def fill_scales(pages, cell_of, inverse, cursor, out_inverse):
    """Put what radius scales make of squared distances beside the items, before `fill_cells` moves the cursor.

    Parameters
    ----------
    pages, cell_of                        in   as `fill_cells` has them
    inverse : float32[capacity]           in   1 / scale, squared, of each entity
    cursor : int32[n_cells]               in   this part's row of what `place_cells` wrote; it ends as it began
    out_inverse : float32[capacity]       out  by item

    Oracle: tests/naive.py::build_grid.
    """
    for p in range(len(pages)):
        first = np.int64(pages[p]) * PAGE
        for i in range(first, first + PAGE):
            if cell_of[i] != NO_CELL:
                out_inverse[np.uint32(cursor[cell_of[i]])] = inverse[i]
                cursor[cell_of[i]] += 1
    for p in range(len(pages)):
        first = np.int64(pages[p]) * PAGE
        for i in range(first, first + PAGE):
            if cell_of[i] != NO_CELL:
                cursor[cell_of[i]] -= 1


@kernel("void(int64, int64, int64, int64, int32[::1], int32[::1], int64, int64, uint8[::1])")
def adjust_depths(first, n, axes, most, first_part, part_start, split, merge, depth):
    """Split the crowded cells of a level for the next tick, and merge the sparse, by one step each.

    A cell is split further while one of its parts holds more than `split` entities, and merged while fewer than `merge`
    lie in any block of parts that would become one; but it never has more parts than twice what lies in it.

    Parameters
    ----------
    first, n : int64                      in      the level's cells
    axes : int64                          in      2 or 3: how many a cell is split along
    most : int64                          in      the greatest depth
    first_part : int32[n_cells + 1]       in      as `count_levels` has it
    part_start : int32[n_parts + 1]       in      what `place_cells` wrote
    split, merge : int64                  in
    depth : uint8[n_cells]                in/out

    Oracle: tests/naive.py::adjusted_depth.
    """
    for cell in range(first, first + n):
        d = np.int64(depth[cell])
        part = np.int64(first_part[cell])
        n_parts = np.int64(1) << (axes * d)
        total = np.int64(part_start[part + n_parts] - part_start[part])
        fullest = np.int64(0)
        for q in range(part, part + n_parts):
            fullest = max(fullest, np.int64(part_start[q + 1] - part_start[q]))
        if fullest > split and d < most and n_parts << axes <= 2 * total:
            depth[cell] = d + 1
        elif d > 0 and (n_parts > 2 * total or _fullest_block(part, d, axes, part_start) < merge):
            depth[cell] = d - 1


@helper
def _fullest_block(part, depth, axes, part_start):
    """How many lie in the fullest of the blocks of parts that merging would make one."""
    most = np.int64(0)
    half = np.int64(1) << (depth - 1)
    for z in range(half if axes == 3 else 1):
        for y in range(half):
            for x in range(half):
                block = np.int64(0)
                for corner in range(1 << axes):
                    column, line, layer = 2 * x + (corner & 1), 2 * y + ((corner >> 1) & 1), 2 * z + (corner >> 2)
                    q = part + (((layer << depth) + line) << depth) + column
                    block += np.int64(part_start[q + 1] - part_start[q])
                most = max(most, block)
    return most
