"""Handles: whatever a user passes for entities as one array, and the two halves of which a handle consists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.errors import ArgumentError

_SLOT_BITS, _SLOT_MASK = np.uint64(32), np.uint64(0xFFFFFFFF)


class HasHandles(Protocol):
    """What finds entities, as a `Query` does."""

    @property
    def handles(self) -> NDArray[np.uint64]:
        """uint64[n]."""


_PLAIN = np.ndarray, np.generic, int, list, tuple
_SWAPPED = "; were arguments swapped? Handles come first"

Handles: TypeAlias = ArrayLike | HasHandles
"""One handle, an array of them, or a query."""


def as_handles(handles: Handles) -> NDArray[np.uint64]:
    """Handles as uint64[n]; of a query those that it finds. Raises ArgumentError."""
    given = getattr(handles, "handles", handles)
    if not isinstance(given, _PLAIN) and not isinstance(given, Sequence) and not hasattr(given, "__array__"):
        raise ArgumentError(f"handles must be whole numbers, an array of them or a query, not {given!r}{_SWAPPED}")
    array = as_whole(given)
    if array.size == 0:
        return np.zeros(0, np.uint64)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        came = repr(given) if array.ndim == 0 else f"{array.dtype.name} of shape {array.shape}"
        raise ArgumentError(f"handles must be whole numbers in at most one dimension, not {came}")
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise ArgumentError("some of these handles are masked; give those that aren't: handles.compressed()")
    return np.ascontiguousarray(np.atleast_1d(array), dtype=np.uint64)


def as_whole(value: Any) -> NDArray[Any]:
    """Handles as an array. (NumPy makes floats of a list of uint64 and Python's numbers, which can't hold them.)"""
    if isinstance(value, list | tuple) and value and all(_is_handle(v) for v in value):
        return np.array([int(v) for v in value], np.uint64)
    return np.asarray(value)


def _is_handle(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(0 <= value < 2**64)


def slots_in(handles: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """uint32, of the same shape: the slots that handles name, whether anybody lives there or not."""
    return (handles & _SLOT_MASK).astype(np.uint32)


def handles_at(slots: NDArray[np.integer[Any]], generation: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """uint64[n]: the handles of what lives at some slots, where all slots have these generations."""
    out: NDArray[np.uint64] = (generation[slots].astype(np.uint64) << _SLOT_BITS) | slots.astype(np.uint64)
    return out
