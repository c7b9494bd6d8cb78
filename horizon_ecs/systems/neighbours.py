"""Neighbours: points sorted into the cells of a hashed grid, and who is near whom.

A row of cells, neighbours in x, begins where a hash of y and z says, so that a world has no bounds and any shape, and a
row is still read in one go. What the hash brings together by chance is told apart by its row and its distance.
Source: Teschner et al., "Optimized Spatial Hashing for Collision Detection of Deformable Objects", 2003; the hash is
multiplicative, Knuth, "The Art of Computer Programming", volume 3, 6.4.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel

NO_CELL = -1

# Up to here the rounding of a coordinate, two in 10,000 of a cell, is below the hair by which cells exceed the radius;
# what lies further out shares the outermost cell.
_FAR = 2.0**40
# Odd, and below 2**31, so that products of two fit.
_HASH_Y, _HASH_Z, _LOW = 0x4F1BBCDD, 0x63D83595, 0x7FFFFFFF


@helper
def _coordinate(value, inverse_size):
    """The number of the cell that `value` lies in."""
    return np.int64(np.floor(min(max(value * inverse_size, -_FAR), _FAR)))


@helper
def _row(cy, cz):
    """A number for the row of a y and z; rows that touch never share one."""
    return (cy & _LOW) * _HASH_Y + (cz & _LOW) * _HASH_Z


@helper
def _cell(row, cx, n_cells):
    """The cell of a row and x."""
    return ((row >> 16) + cx) & (n_cells - 1)


@helper
def _is_somewhere(x, y, z):
    """Whether a point's coordinates are finite."""
    return (abs(x) < np.inf) & (abs(y) < np.inf) & (abs(z) < np.inf)


@kernel(
    "void(float64[::1], float64[::1], float64[::1], float64, int64[::1], int64[::1], uint32[::1], int64[::1], "
    "float64[::1], float64[::1], float64[::1])"
)
def sort_by_cell(x, y, z, inverse_size, out_start, out_cell, out_item, out_row, out_x, out_y, out_z):
    """Sort points by cell, by counting.

    Parameters
    ----------
    x, y, z : float64[n]                  in   what is not finite is in no cell
    inverse_size : float64                in   1 / edge of a cell
    out_start : int64[n_cells + 1]        out  first item of each cell, then how many there are; n_cells a power of two
    out_cell : int64[n]                   out  -1 for none
    out_item : uint32[n]                  out  the points' numbers, ascending in each cell
    out_row : int64[n]                    out  what tells their rows from those around
    out_x, out_y, out_z : float64[n]      out  where they are

    Cost: O(n + n_cells), allocates nothing. Oracle: tests/naive.py::near.
    """
    n_cells = len(out_start) - 1
    out_start[:] = 0
    for i in range(len(x)):
        out_cell[i] = NO_CELL
        if _is_somewhere(x[i], y[i], z[i]):
            row = _row(_coordinate(y[i], inverse_size), _coordinate(z[i], inverse_size))
            out_cell[i] = _cell(row, _coordinate(x[i], inverse_size), n_cells)
            out_start[out_cell[i]] += 1
    for cell in range(1, n_cells + 1):
        out_start[cell] += out_start[cell - 1]
    for i in range(len(x) - 1, -1, -1):
        if out_cell[i] != NO_CELL:
            out_start[out_cell[i]] -= 1
            at = out_start[out_cell[i]]
            out_item[at] = i
            out_row[at] = _row(_coordinate(y[i], inverse_size), _coordinate(z[i], inverse_size))
            out_x[at], out_y[at], out_z[at] = x[i], y[i], z[i]


@helper
def _scan(first, last, px, py, pz, mine, own, radius_sq, item, row, x, y, z, out, n):
    """Append those of a run that are near; without a branch, since most aren't. Unsigned, so that no index might be
    negative."""
    at = np.uint64(n)
    for a in range(np.uint64(first), np.uint64(last)):
        dx, dy, dz = x[a] - px, y[a] - py, z[a] - pz
        is_near = (dx * dx + dy * dy) + dz * dz <= radius_sq
        out[at] = item[a]
        at += np.uint64(is_near & (row[a] == mine) & (item[a] != own))
    return np.int64(at)


@helper
def _scan_row(cx, mine, after, px, py, pz, own, radius_sq, start, item, row, x, y, z, out, n):
    """Append the items near a point in three cells of a row, from the place `after` on, for the new length; -1 where
    there might be no room."""
    n_cells = len(start) - 1
    first = _cell(mine, cx - 1, n_cells)
    stop, wrapped = min(first + 3, n_cells), max(first + 3 - n_cells, 0)
    if n + (start[stop] - start[first]) + start[wrapped] >= len(out):
        return np.int64(-1)
    n = _scan(max(start[first], after), start[stop], px, py, pz, mine, own, radius_sq, item, row, x, y, z, out, n)
    if wrapped > 0:
        n = _scan(after, start[wrapped], px, py, pz, mine, own, radius_sq, item, row, x, y, z, out, n)
    return n


@kernel(
    "UniTuple(int64, 2)(uint32[::1], float64[::1], float64[::1], float64[::1], int64[::1], boolean, int64, int64, "
    "float64, float64, int64[::1], uint32[::1], int64[::1], float64[::1], float64[::1], float64[::1], uint32[::1], "
    "uint32[::1])"
)
def find(point, px, py, pz, own, once, first, depth, radius_sq, inverse_size, start, item, row, x, y, z,
         out_point, out_item):  # fmt: skip
    """Pair points with the items near them, from the point at `first` on, as long as there is room.

    Parameters
    ----------
    point : uint32[m];  px, py, pz : float64[m]   in   finite; quickest in the order of their cells
    own : int64[m]                                in   the item that is left out, such as the point itself; -1 for none
    once : boolean                                in   whether points are the items, and each pair is wanted once
    first : int64                                 in
    depth : int64                                 in   0 where every z is the same, else 1
    radius_sq, inverse_size : float64             in   the radius is a hair less than the edge of a cell
    start, item, row, x, y, z                     in   what `sort_by_cell` wrote
    out_point, out_item : uint32[room]            out

    Returns
    -------
    int64, int64 : the place of the point that there was no room for any more, m where all are done; how many pairs.

    Cost: O(points + candidates), allocates nothing. Oracle: tests/naive.py::near.
    """
    n = np.int64(0)
    middle = 1 + 3 * depth
    for q in range(first, len(point)):
        begin = n
        cx, cy = _coordinate(px[q], inverse_size), _coordinate(py[q], inverse_size)
        cz = _coordinate(pz[q], inverse_size)
        for r in range(middle if once else 0, 2 * middle + 1):
            mine = _row(cy + r % 3 - 1, cz + r // 3 - depth)
            after = np.int64(q + 1 if once and r == middle else 0)
            n = _scan_row(cx, mine, after, px[q], py[q], pz[q], own[q], radius_sq, start, item, row, x, y, z, out_item,
                          n)  # fmt: skip
            if n < 0:
                return np.int64(q), begin
        out_point[begin:n] = point[q]
    return np.int64(len(point)), n


@kernel("void(uint32[::1], uint32[::1], int64[::1], uint32[::1])")
def sort_by_key(key, value, out_start, out_value):
    """Put values in the order of their keys, by counting; equals stay in order.

    Parameters
    ----------
    key, value : uint32[n]         in
    out_start : int64[n_keys + 1]  out   where the values of each key begin, then how many there are
    out_value : uint32[n]          out

    Cost: O(n + n_keys), allocates nothing. Oracle: tests/naive.py::sort_by_key.
    """
    out_start[:] = 0
    for k in key:
        out_start[k] += 1
    for k in range(1, len(out_start)):
        out_start[k] += out_start[k - 1]
    for a in range(len(key) - 1, -1, -1):
        out_start[key[a]] -= 1
        out_value[out_start[key[a]]] = value[a]
