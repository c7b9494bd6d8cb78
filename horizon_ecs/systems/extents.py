"""Extents: which profile each entity has now and what its radii are multiplied by, settled once a tick by slot."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import kernel

PAGE = 1024
MIXED = np.int16(-2)


@kernel(
    "int64(uint32[::1], int16[::1], uint32[::1], uint32, uint32[::1], uint32[::1], uint8[::1], uint8[::1], "
    "float32[::1], int16[:, ::1], uint8[::1], int16[::1], float32[::1], int16[::1], uint8[::1], uint8[:, ::1])"
)
def settle(
    pages, first_kind, born, tick, generation, given, profile, scale_class, scale, level_of, out_kind, out_level,
    out_inverse, out_page_kind, out_switched, out_missing
):  # fmt: skip
    """Find every entity's schema kind, level and squared inverse scale; say who has another kind than a tick ago.

    Parameters
    ----------
    pages : uint32[n]                         in      pages of replicated kinds
    first_kind : int16[n_pages]               in      the schema kind of the first profile of each page's entities
    born, generation : uint32[capacity]       in
    tick : uint32                             in      who is born later isn't there yet
    given : uint32[capacity]                  in      the generation that the next three were given to
    profile, scale_class : uint8[capacity]    in      number of the profile; see `levels.class_of`
    scale : float32[capacity]                 in
    level_of : int16[n_kinds, n_classes]      in      see `levels.Levels`
    out_kind : uint8[capacity]                in/out  schema kind
    out_level : int16[capacity]               out
    out_inverse : float32[capacity]           out     (1 / scale) squared
    out_page_kind : int16[n_pages]            out     schema kind of all entities of a page; -2 where they have several
    out_switched : uint8[capacity]            out     1 for those whose kind changed
    out_missing : uint8[n_kinds, n_classes]   in/out  1 where somebody lacks a level

    Returns
    -------
    int64 : how many changed.

    Oracle: tests/naive.py::settle.
    """
    n_switched = 0
    for page in pages:
        first, common = np.int64(page) * PAGE, np.int64(-1)
        for i in range(first, first + PAGE):
            out_switched[i] = 0
            if born[i] > tick:
                continue
            kind, number, factor = np.int64(first_kind[page]), np.int64(0), np.float32(1.0)
            if given[i] == generation[i]:
                kind += np.int64(profile[i])
                number = np.int64(scale_class[i])
                factor = np.float32(1.0) / scale[i]
            switched = born[i] < tick and np.int64(out_kind[i]) != kind
            out_switched[i] = switched
            n_switched += switched
            out_kind[i] = kind
            out_level[i] = level_of[kind, number]
            out_missing[kind, number] |= np.uint8(level_of[kind, number] < 0)
            out_inverse[i] = factor * factor
            common = kind if common == -1 or common == kind else np.int64(MIXED)
        out_page_kind[page] = first_kind[page] if common == -1 else common
    return n_switched


@kernel("void(int64, uint8[::1], uint8[::1], boolean, int32[::1], uint64[::1], int64[::1], uint8[::1], uint8[::1])")
def find_switched(n, status, wants_reset, any_switched, n_followed, rows, row_start, switched, out_looks):
    """Mark the observers that follow somebody whose kind changed, and those whose list may be older than that.

    Parameters
    ----------
    n : int64                                          in   observers in use
    status, wants_reset : uint8[max_observers]         in
    any_switched : bool                                in
    n_followed : int32[max_observers]                  in
    rows : uint64[n], row_start : int64[max_observers] in   see `rows`
    switched : uint8[capacity]                         in   what `settle` wrote
    out_looks : uint8[max_observers]                   out

    Oracle: tests/naive.py::find_switched.
    """
    for o in range(n):
        looks = np.uint8(0)
        if status[o] == 1:
            looks = wants_reset[o]
            if any_switched and looks == 0:
                for i in range(row_start[o], row_start[o] + n_followed[o]):
                    looks |= switched[np.uint32(rows[i] & np.uint64(0xFFFFFFFF))]
        out_looks[o] = looks
