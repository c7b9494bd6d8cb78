"""Storage: slots given out and taken back in bulk, handles checked, pages matched against a query."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel

PAGE = 1024
DEAD = np.uint32(0xFFFFFFFF)
FREE_PAGE = -1
MAX_GENERATION = np.uint32(0x7FFFFFFF)

LIVE_BIT = np.uint64(1 << 63)
HIDDEN_BIT = np.uint64(1 << 62)
_SLOT_BITS = np.uint64(32)
_SLOT_MASK = np.uint64(0xFFFFFFFF)


@helper
def slot_of(handle, generation, signature):
    """The slot that a handle names, or -1 where the entity no longer lives.

    Without branches: a helper that takes arrays and leaves at several points keeps its atomic reference counts, 18 ns a
    call instead of 0.8.
    """
    slot = np.int64(handle & _SLOT_MASK)
    inside = slot < len(generation)
    row = slot if inside else 0
    found = inside & (np.uint64(generation[row]) == handle >> _SLOT_BITS) & (signature[row] != np.uint64(0))
    return slot if found else np.int64(-1)


@kernel("int64(Array(uint64, 1, 'C', readonly=True), uint32[::1], uint64[::1], uint32[::1])")
def check_handles(handles, generation, signature, out_slot):
    """Write the slots of `handles`; return the index of the first that is stale, or -1.

    Oracle: tests/naive.py::World.
    """
    for i in range(len(handles)):
        slot = slot_of(handles[i], generation, signature)
        if slot < 0:
            return i
        out_slot[i] = slot
    return -1


@kernel("void(Array(uint32, 1, 'C', readonly=True), uint32[::1], uint64[::1])")
def handles_of(slots, generation, out_handle):
    """Write the handles of what lives at some slots. Oracle: tests/naive.py::World.spawn."""
    for i in range(len(slots)):
        out_handle[i] = (np.uint64(generation[slots[i]]) << _SLOT_BITS) | np.uint64(slots[i])


@kernel("void(Array(uint64, 1, 'C', readonly=True), uint32[::1], uint64[::1], boolean[::1])")
def alive(handles, generation, signature, out_alive):
    """Write for each handle whether its entity lives."""
    for i in range(len(handles)):
        out_alive[i] = slot_of(handles[i], generation, signature) >= 0


@helper
def _next_generation(generation):
    """The highest bit stays free, so that a handle is positive as an int64 too."""
    return generation + np.uint32(1) if generation != MAX_GENERATION else np.uint32(1)


@helper
def _take_page(page, n, wanted, bits, tick, signature, generation, born, first_free, out_slot, out_handle):
    """Give out the free slots of one page, lowest first; return how many are given out by now."""
    base = page * PAGE
    i = np.int64(first_free[page])
    while i < PAGE and n < wanted:
        slot = base + i
        if signature[slot] == np.uint64(0):
            if generation[slot] == np.uint32(0):
                generation[slot] = 1
            signature[slot] = bits
            born[slot] = tick
            out_slot[n] = slot
            out_handle[n] = (np.uint64(generation[slot]) << _SLOT_BITS) | np.uint64(slot)
            n += 1
        i += 1
    first_free[page] = i
    return n


@kernel(
    "boolean(int64, int64, uint64, uint32, int16[::1], int32[::1], int32[::1], uint64[::1], uint32[::1], uint32[::1], "
    "uint32[::1], uint64[::1])"
)
def spawn(
    kind, wanted, bits, tick, page_kind, page_live, first_free, signature, generation, born, out_slot, out_handle
):
    """Give `wanted` slots to new entities of a kind: its own pages' lowest free slots first, then the lowest free
    pages.

    The caller has made sure that there are enough.

    Parameters
    ----------
    kind, wanted : int64               in
    bits : uint64                      in      the new signature, with the live bit
    tick : uint32                      in      birth
    page_kind int16, page_live int32, first_free int32 [n_pages]         in/out
    signature uint64, generation uint32, born uint32 [n_slots]           in/out
    out_slot uint32, out_handle uint64 [wanted]                          out

    Returns
    -------
    bool : whether every slot is its predecessor's neighbour.

    Cost: O(wanted + n_pages), allocates nothing. Oracle: tests/naive.py::World.
    """
    n = 0
    together = True
    for fresh in range(2):
        for page in range(len(page_kind)):
            if n == wanted:
                break
            usable = page_kind[page] == FREE_PAGE if fresh else page_kind[page] == kind and page_live[page] < PAGE
            if usable:
                page_kind[page] = kind
                before = n
                n = _take_page(
                    page, n, wanted, bits, tick, signature, generation, born, first_free, out_slot, out_handle
                )
                page_live[page] += n - before
                # Slots ascend within a page, but a fresh page may lie below the kind's own.
                together &= out_slot[before] - out_slot[0] == before and out_slot[n - 1] - out_slot[0] == n - 1
    return together


@kernel("int64(int64, int16[::1], int32[::1])")
def room(kind, page_kind, page_live):
    """How many more entities of a kind the pages hold."""
    n = 0
    for page in range(len(page_kind)):
        if page_kind[page] == FREE_PAGE:
            n += PAGE
        elif page_kind[page] == kind:
            n += PAGE - page_live[page]
    return n


@kernel(
    "int64(Array(uint64, 1, 'C', readonly=True), boolean, int16[::1], int32[::1], int32[::1], uint64[::1], "
    "uint32[::1], uint32[::1], int64[::1])"
)
def despawn(handles, ignore, page_kind, page_live, first_free, signature, generation, born, n_killed):
    """End entities; a handle that occurs twice counts once.

    Returns
    -------
    int64 : -1, or the index of the first stale handle; then nothing was done, unless stale ones are ignored.

    `n_killed[0]` receives how many ended. Oracle: tests/naive.py::World.
    """
    n_killed[0] = 0
    if not ignore:
        for i in range(len(handles)):
            if slot_of(handles[i], generation, signature) < 0:
                return i
    n = 0
    for i in range(len(handles)):
        slot = slot_of(handles[i], generation, signature)
        if slot < 0:
            continue
        page = slot // PAGE
        signature[slot] = 0
        born[slot] = DEAD
        generation[slot] = _next_generation(generation[slot])
        first_free[page] = min(first_free[page], np.int32(slot - page * PAGE))
        page_live[page] -= 1
        n += 1
        if page_live[page] == 0:
            page_kind[page] = FREE_PAGE
    n_killed[0] = n
    return -1


@kernel(
    "void(uint32[::1], Array(uint8, 1, 'A', readonly=True), uint8[::1])",
    "void(uint32[::1], Array(uint16, 1, 'A', readonly=True), uint16[::1])",
    "void(uint32[::1], Array(uint32, 1, 'A', readonly=True), uint32[::1])",
    "void(uint32[::1], Array(uint64, 1, 'A', readonly=True), uint64[::1])",
)
def scatter(slots, values, out_column):
    """Write rows of a column, as raw bits: a value a slot, or one for all; where a slot is named twice the last stays.

    NumPy's `column[slots] = values` takes seven times as long: it turns the slots into signed ones first, and checks
    them. Oracle: tests/naive.py::scatter.
    """
    each = len(values) > 1
    for i in range(len(slots)):
        out_column[slots[i]] = values[i if each else 0]


@kernel("void(uint32[::1], uint64, boolean, uint64[::1])")
def flip(slots, bit, on, signature):
    """Set or clear a component's bit."""
    for slot in slots:
        if on:
            signature[slot] |= bit
        else:
            signature[slot] &= ~bit


@kernel("void(uint32[::1], int16[::1], boolean[::1])")
def mark_kinds(slots, page_kind, out_seen):
    """Mark the kinds that living rows belong to; `out_seen` is boolean[n_kinds]."""
    for slot in slots:
        out_seen[page_kind[slot // np.uint32(PAGE)]] = True


@helper
def matches(signature, need, without, either):
    """Whether a row has all bits of `need`, none of `without` and at least one of `either`."""
    return (signature & need) == need and (signature & without) == np.uint64(0) and (signature & either) != np.uint64(0)


@kernel("int64(int16[::1], int32[::1], uint64[::1], boolean[::1], uint64, uint64, uint64, uint32[::1], uint8[::1])")
def match_pages(page_kind, page_live, signature, kind_may, need, without, either, out_page, out_full):
    """List the pages in which a query may match, and whether every row of a page does.

    Parameters
    ----------
    kind_may : boolean[n_kinds]   in   whether entities of a kind can match at all
    need, without : uint64        in   bits that a matching row has, or lacks
    either : uint64               in   bits of which it has at least one
    out_page : uint32[n_pages]    out
    out_full : uint8[n_pages]     out

    Returns
    -------
    int64 : how many pages.

    Oracle: tests/naive.py::World.query.
    """
    n = 0
    for page in range(len(page_kind)):
        if page_live[page] == 0 or not kind_may[page_kind[page]]:
            continue
        count = 0
        for i in range(page * PAGE, page * PAGE + PAGE):
            count += matches(signature[i], need, without, either)
        if count > 0:
            out_page[n] = page
            out_full[n] = count == PAGE
            n += 1
    return n


@kernel("int64(uint32[::1], uint8[::1], uint64[::1], uint64, uint64, uint64, uint32[::1])")
def match_rows(pages, full, signature, need, without, either, out_slot):
    """Write the slots of every matching row, ascending; return how many. Oracle: tests/naive.py::World.query."""
    n = 0
    for p in range(len(pages)):
        first = np.int64(pages[p]) * PAGE
        for i in range(first, first + PAGE):
            if full[p] or matches(signature[i], need, without, either):
                out_slot[n] = i
                n += 1
    return n


@helper
def append_record(out_word, out_n, stride, site, handle):
    """Append the head of a record of `stride` words to int64[n * stride]; return where it begins.

    Where there is no room the last is overwritten, and `out_n` tells that there were more.
    """
    n = out_n[0]
    out_n[0] = n + 1
    at = min(n, len(out_word) // stride - 1) * stride
    out_word[at] = site
    out_word[at + 1] = handle
    return at


@helper
def slot_with(handle, generation, signature, bit):
    """The slot that a handle names, or -1 where its entity no longer lives or lacks a component. Without branches, as
    `slot_of`. Oracle: tests/naive.py::looked_up."""
    slot = slot_of(np.uint64(handle), generation, signature)
    row = slot if slot >= 0 else 0
    return slot if (signature[row] & bit) != np.uint64(0) else np.int64(-1)


@helper
def pick(column, slot, default):
    """A column's number at a slot, or the default where that is -1; branch-free. Oracle: tests/naive.py::looked_up."""
    value = column[slot if slot >= 0 else 0]
    return value if slot >= 0 else default


@kernel("int64(uint64[::1], uint32[::1], uint64[::1])")
def clear_stale(column, generation, signature):
    """Set handles of entities that no longer live to 0; return how many there were.

    Parameters
    ----------
    column : uint64[n]                  in/out  0 for none
    generation uint32, signature uint64 [n_slots]   in

    Oracle: tests/naive.py::clear_stale.
    """
    n = 0
    for i in range(len(column)):
        if column[i] != np.uint64(0) and slot_of(column[i], generation, signature) < 0:
            column[i] = 0
            n += 1
    return n


@kernel("int64(uint32[::1], uint64[::1], uint32[::1], uint32[::1])")
def plan_moves(pages, signature, out_old, out_new):
    """List which rows of some pages go where, so that the living ones stand together in the first of them.

    Parameters
    ----------
    pages : uint32[n]                   in   ascending
    signature : uint64[n_slots]         in
    out_old, out_new : uint32[1024 n]   out  rows that are left, from the highest down; those taken, from the lowest up

    Returns
    -------
    int64 : how many move.

    Oracle: tests/naive.py::plan_moves.
    """
    n = 0
    low = 0
    high = len(pages) * PAGE - 1
    while True:
        while low < high and signature[pages[low // PAGE] * PAGE + low % PAGE] != np.uint64(0):
            low += 1
        while low < high and signature[pages[high // PAGE] * PAGE + high % PAGE] == np.uint64(0):
            high -= 1
        if low >= high:
            return n
        out_old[n] = pages[high // PAGE] * PAGE + high % PAGE
        out_new[n] = pages[low // PAGE] * PAGE + low % PAGE
        n += 1
        low += 1
        high -= 1
