"""Columns: memory that is reserved once and never moves.

A column spans the whole capacity from the start. The system backs it with memory page by page as it is first written,
so a generous capacity costs address space only, and every view of it stays valid for life.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from horizon_ecs.components import nearest
from horizon_ecs.enums import understood
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import Field, attributes, stacked
from horizon_ecs.notebook import html_table
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

_SMALLEST_OS_PAGE = 4096

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
    raw = _RAW.get(column.itemsize)
    if raw is None:  # complex128, the one dtype as wide
        column[slots] = value
        return
    values = np.asarray(value, column.dtype).reshape(-1)
    storage.scatter(slots, values.view(raw), column.view(raw))


def resident_bytes(array: NDArray[Any], n_slots: int) -> int:
    """How many bytes of a column its first `n_slots` slots take."""
    return min(len(array), n_slots) * array.itemsize


def _reserve_together(columns: Sequence[Field], n_slots: int) -> dict[str, NDArray[Any]]:
    """The arrays of one name; those of a vector at equal distances, so that they can be seen as one (n, width)."""
    dtype = columns[0].dtype
    if len(columns) == 1:
        return {columns[0].name: reserve((n_slots,), dtype)}
    together = reserve((len(columns), n_slots + _STAGGER // dtype.itemsize), dtype)
    return {one.name: together[i, :n_slots] for i, one in enumerate(columns)}


class VectorColumns:
    """A vector's columns: one by one as `.x` or `[:, 0]`, and together as a read-only (n, width) without a copy.

    Assigning to a part or to `[...]` writes. In whole-array arithmetic it acts as the array (n, width).
    """

    __slots__ = ("_columns", "_name")

    def __init__(self, name: str, columns: dict[str, NDArray[Any]]) -> None:
        self._name: str
        self._columns: dict[str, NDArray[Any]]
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_columns", columns)

    @property
    def stacked(self) -> NDArray[Any]:
        """(n, width), read-only."""
        return stacked(list(self._columns.values()))

    def __getattr__(self, name: str) -> NDArray[Any]:
        found = self._columns.get(name)
        if found is None:
            raise AttributeError(f"the vector {self._name} has no {name!r}; it has {list(self._columns)}")
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        column = self.__getattr__(name)
        if value is not column:
            column[...] = value

    def __getitem__(self, index: Any) -> Any:
        return self.stacked[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        if index is not Ellipsis and index != slice(None):
            raise ArgumentError(f"write the parts of {self._name} one by one ({list(self._columns)}), or all: [...] =")
        values = np.asarray(value)
        if values.ndim == 0 or values.shape[-1] != len(self._columns):
            raise ArgumentError(f"{self._name} takes (n, {len(self._columns)}), not an array of shape {values.shape}")
        for i, column in enumerate(self._columns.values()):
            column[...] = values[..., i]

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self.stacked
        return whole.astype(dtype) if copy or (dtype is not None and dtype != whole.dtype) else whole

    def __repr__(self) -> str:
        return f"{self._name} ({len(self)}, {len(self._columns)})"


def vectors_of(fields: Sequence[Field], arrays: Mapping[str, NDArray[Any]]) -> dict[str, VectorColumns]:
    """The vectors among some columns."""
    return {
        name: VectorColumns(name, {one.name.rpartition(".")[2]: arrays[one.name] for one in columns})
        for name, columns in attributes(fields).items()
        if columns[0].vector
    }


class Columns:
    """All columns of one component, by field name: zero-copy views over every slot, valid for the world's life.

    Rows that don't have the component hold what was last there.
    """

    __slots__ = ("_arrays", "_backed", "_name", "_shown", "_vectors")

    def __init__(self, name: str, fields: Sequence[Field], n_slots: int) -> None:
        self._name: str
        self._arrays: dict[str, NDArray[Any]]
        self._shown: dict[str, NDArray[Any]]
        self._vectors: dict[str, VectorColumns]
        self._backed: NDArray[np.bool_]
        arrays: dict[str, NDArray[Any]] = {}
        for columns in attributes(fields).values():
            arrays.update(_reserve_together(columns, n_slots))
        shown = {f.name: understood(arrays[f.name], f) for f in fields}
        for f in (f for f in fields if f.fixed):
            shown[f.name] = arrays[f.name].view()
            shown[f.name].flags.writeable = False
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_arrays", arrays)
        object.__setattr__(self, "_shown", shown)
        object.__setattr__(self, "_vectors", vectors_of(fields, arrays))
        object.__setattr__(self, "_backed", np.zeros(n_slots // PAGE, np.bool_))

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every column by its full name."""
        return self._arrays

    def array(self, name: str) -> NDArray[Any]:
        """One column by its full name, such as "position.x"."""
        found = self._arrays.get(name)
        if found is None:
            names = list(self._arrays)
            raise AttributeError(f"{self._name} has no column {name!r}; it has {names}{nearest(name, names)}")
        return found

    def back(self, pages: NDArray[np.integer[Any]]) -> None:
        """Have whole pages of slots backed with memory.

        A vectorised loop leaves rows out by masked stores. Where a store's rows are all left out and no memory is there
        yet, none is fetched, and the processor helps itself out anew each time: 45 ns a row instead of one.
        """
        fresh = pages[~self._backed[pages]]
        if not len(fresh):
            return
        for array in self._arrays.values():
            rows = array.reshape(-1, PAGE)
            for row in (*range(0, PAGE, _SMALLEST_OS_PAGE // 2 // array.itemsize), PAGE - 1):
                rows[fresh, row] = rows[fresh, row]
        self._backed[fresh] = True

    def __getattr__(self, name: str) -> Any:
        if name in self._vectors:
            return self._vectors[name]
        found = self._shown.get(name)
        if found is not None:
            return found
        names = dir(self)
        raise AttributeError(f"{self._name} has no field {name!r}; it has {names}{nearest(name, names)}")

    def __setattr__(self, name: str, value: Any) -> None:
        place = self.__getattr__(name)
        if value is place:  # what `columns.x += 1` ends with
            return
        if name in self._shown and not place.flags.writeable:
            raise ArgumentError(f"{self._name}.{name} can't be written directly; world.relate does it, with checks")
        place[...] = value

    def __dir__(self) -> list[str]:
        return [*(name for name in self._arrays if "." not in name), *self._vectors]

    def __repr__(self) -> str:
        return f"Columns of {self._name}: " + ", ".join(f"{n} {a.dtype.name}" for n, a in self._arrays.items())

    def _repr_html_(self) -> str:
        rows = ((name, array.dtype.name, f"{len(array):,}") for name, array in self._arrays.items())
        return html_table(f"Columns of {self._name}", ("column", "dtype", "slots"), rows)
