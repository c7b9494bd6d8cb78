"""Columns: memory that is reserved once and never moves.

A column spans the whole capacity from the start. The system backs it with memory page by page as it is first written, so a
generous capacity costs address space only, and every view of it stays valid for life.
"""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

PAGE = 1024
"""Slots a page: what a kind owns at a time, and what a query skips or takes whole."""

_ALIGNMENT = 64
# Columns that begin at equal offsets from a memory page compete for the same cache sets: each next one begins a few lines later.
_STAGGER = 5 * _ALIGNMENT
_STAGGER_STEPS = 12
# Linux: don't count the reservation against memory that could be promised; other systems ignore or lack it.
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000) if hasattr(mmap, "MAP_ANONYMOUS") else 0

_next_stagger = 0


def reserve(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """A zeroed array of its own mapping, aligned to 64 bytes; memory is taken as it is touched.

    Parameters
    ----------
    shape : tuple of int
    dtype : anything NumPy takes as a dtype
    """
    global _next_stagger
    kind = np.dtype(dtype)
    count = math.prod(shape)
    offset = _STAGGER * (_next_stagger % _STAGGER_STEPS)
    _next_stagger += 1
    length = max(1, count * kind.itemsize) + offset
    if hasattr(mmap, "MAP_ANONYMOUS"):
        memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
    else:
        memory = mmap.mmap(-1, length)
    return np.frombuffer(memory, kind, count, offset).reshape(shape)


def round_up(n: int) -> int:
    """`n` rounded up to whole pages of slots, at least one."""
    return max(1, -(-n // PAGE)) * PAGE


def resident_bytes(array: NDArray[Any], n_slots: int) -> int:
    """How many bytes of a column its first `n_slots` slots take."""
    return min(len(array), n_slots) * array.itemsize
