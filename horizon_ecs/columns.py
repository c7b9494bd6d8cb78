"""Columns: memory that is reserved once and never moves.

A column spans the whole capacity from the start. The system backs it with memory page by page as it is first written,
so a generous capacity costs address space only, and every view of it stays valid for life.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from horizon_ecs.components import Field, nearest
from horizon_ecs.systems import storage

PAGE = 1024
"""Slots a page: what a kind owns at a time, and what a query skips or takes whole."""

_ALIGNMENT = 64
# Columns that begin at equal offsets from a memory page compete for the same cache sets: each next one begins a few
# lines later.
_STAGGER = 5 * _ALIGNMENT
_STAGGER_STEPS = 12
# Linux: don't count the reservation against memory that could be promised; other systems ignore or lack it.
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000) if hasattr(mmap, "MAP_ANONYMOUS") else 0

_RAW = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}

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


def write_rows(column: NDArray[Any], slots: NDArray[np.uint32], value: Any) -> None:
    """Write rows of a column: a value a slot, or one for all; where a slot is named twice the last stays."""
    raw = _RAW[column.itemsize]
    values = np.asarray(value, column.dtype).reshape(-1)
    storage.scatter(slots, values.view(raw), column.view(raw))


def resident_bytes(array: NDArray[Any], n_slots: int) -> int:
    """How many bytes of a column its first `n_slots` slots take."""
    return min(len(array), n_slots) * array.itemsize


class Columns:
    """All columns of one component, by field name: zero-copy views over every slot, valid for the world's life.

    Rows that don't have the component hold what was last there.
    """

    __slots__ = ("_arrays", "_name")

    def __init__(self, name: str, fields: Sequence[Field], n_slots: int) -> None:
        self._name: str
        self._arrays: dict[str, NDArray[Any]]
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_arrays", {f.name: reserve((n_slots,), f.dtype) for f in fields})

    def __getattr__(self, name: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = self._arrays[name]
        except KeyError:
            names = list(self._arrays)
            raise AttributeError(f"{self._name} has no field {name!r}; it has {names}{nearest(name, names)}") from None
        return array

    def __setattr__(self, name: str, value: Any) -> None:
        array = self.__getattr__(name)
        if value is not array:  # which `columns.x += 1` ends with
            array[...] = value

    def __dir__(self) -> list[str]:
        return list(self._arrays)

    def __repr__(self) -> str:
        return f"Columns of {self._name}: " + ", ".join(f"{n} {a.dtype.name}" for n, a in self._arrays.items())
