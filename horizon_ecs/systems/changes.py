"""Changes: rows and values held against a copy of what they were, bit by bit."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel

PAGE = 1024


@helper
def _same(now, before):
    """Whether two stretches of whole numbers are equal: without branches, so that it is vectorised."""
    difference = now[0] ^ before[0]
    for i in range(1, len(now)):
        difference |= now[i] ^ before[i]
    return difference == 0


@kernel("int64(uint64[::1], uint32[::1], uint64[::1], uint32[::1], uint32[::1])")
def differing_rows(signature, generation, old_signature, old_generation, out_slot):
    """List the rows that something else lives in, or that have gained or lost components.

    Parameters
    ----------
    signature, old_signature : uint64[n]     in    whole pages
    generation, old_generation : uint32[n]   in
    out_slot : uint32[n]                     out   ascending

    Returns
    -------
    int64 : how many.

    Cost: 24 bytes read a row, allocates nothing. Oracle: tests/naive.py::differing_rows.
    """
    n = 0
    for first in range(0, len(signature), PAGE):
        last = first + PAGE
        same = _same(signature[first:last], old_signature[first:last])
        if same and _same(generation[first:last], old_generation[first:last]):
            continue
        for i in range(first, last):
            if signature[i] != old_signature[i] or generation[i] != old_generation[i]:
                out_slot[n] = i
                n += 1
    return n


@kernel(
    "void(uint32[::1], int64, uint8[::1], uint8[::1], boolean, boolean, boolean[::1])",
    "void(uint32[::1], int64, uint16[::1], uint16[::1], boolean, boolean, boolean[::1])",
    "void(uint32[::1], int64, uint32[::1], uint32[::1], boolean, boolean, boolean[::1])",
    "void(uint32[::1], int64, uint64[::1], uint64[::1], boolean, boolean, boolean[::1])",
)
def compare(pages, width, now, before, is_first, commit, flag):
    """Flag the rows of some pages in which a column is not what it was.

    Parameters
    ----------
    pages : uint32[n]                in
    width : int64                    in       words a row
    now : uintN[n_slots * width]     in       the column, read as words
    before : uintN[n_slots * width]  in/out   the copy; takes the new values if `commit`
    is_first : boolean               in       whether flags are set anew, instead of added to
    flag : boolean[n_slots]          in/out   other pages stay as they are

    Cost: both columns read once; where a page differs, written once. Oracle: tests/naive.py::changed_rows.
    """
    for page in pages:
        first = np.int64(page) * PAGE
        flags = flag[first : first + PAGE]
        if is_first:
            for i in range(PAGE):
                flags[i] = False
        a = now[first * width : (first + PAGE) * width]
        b = before[first * width : (first + PAGE) * width]
        if _same(a, b):
            continue
        if width == 1:
            for i in range(PAGE):
                flags[i] |= a[i] != b[i]
        else:
            for i in range(PAGE * width):
                flags[i // width] |= a[i] != b[i]
        if commit:
            for i in range(PAGE * width):
                b[i] = a[i]


@kernel("int64(uint32[::1], uint64[::1], uint64, boolean, uint32, boolean[::1], uint32[::1], uint32[::1])")
def settle(pages, signature, bit, commit, tick, flag, changed, out_slot):
    """Take flags back from rows that lack the component; list those that keep theirs, and stamp them if `commit`.

    Parameters
    ----------
    pages : uint32[n]               in
    signature : uint64[n_slots]     in
    bit : uint64                    in       the component's
    commit : boolean                in
    tick : uint32                   in
    flag : boolean[n_slots]         in/out   what `compare` found
    changed : uint32[n_slots]       in/out   takes the tick where something changed
    out_slot : uint32[n * 1024]     out      ascending if the pages are; without elements where no list is wanted

    Returns
    -------
    int64 : how many are listed.

    Oracle: tests/naive.py::changed_rows.
    """
    n = 0
    for page in pages:
        first = np.int64(page) * PAGE
        flags, rows = flag[first : first + PAGE], signature[first : first + PAGE]
        for i in range(PAGE):
            flags[i] &= (rows[i] & bit) != 0
        if commit:
            stamps = changed[first : first + PAGE]
            for i in range(PAGE):
                stamps[i] = tick if flags[i] else stamps[i]
        if len(out_slot) > 0:
            for i in range(PAGE):
                if flags[i]:
                    out_slot[n] = first + i
                    n += 1
    return n


@kernel(
    "void(uint64[::1], uint32[::1], uint64[::1], uint32[::1], uint64, uint64, uint64, uint32[::1], uint32, "
    "boolean[::1])"
)
def recent(signature, generation, old_signature, old_generation, need, lack, either, stamp, since, out_recent):
    """Say of each row whether it is stamped with `since` or a later tick, by what fits now as it did then.

    Oracle: tests/naive.py::recent.
    """
    for i in range(len(signature)):
        same = generation[i] == old_generation[i]
        both, some = signature[i] & old_signature[i], signature[i] | old_signature[i]
        fits = ((both & need) == need) & ((some & lack) == 0)
        fits &= ((signature[i] & either) != 0) & ((old_signature[i] & either) != 0)
        out_recent[i] = same & fits & (stamp[i] >= since)
