"""Enums in arrays: whole numbers that can be compared with members and be given some."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.fields import Field


class EnumArray(np.ndarray[Any, Any]):
    """An array of an enum's numbers in which members stand for theirs: `stance == Stance.GUARD`, `stance[:] = ...`.

    In everything else, and to Numba, it is the array of whole numbers that it shows; what is computed of it is plain.
    """

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.get("out")
        if out is not None:
            options["out"] = tuple(_plain(a) for a in out)
        found = getattr(ufunc, method)(*map(_plain, inputs), **options)
        return found if out is None else out[0] if len(out) == 1 else out

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Any:
        return function(*_plain(inputs), **{name: _plain(value) for name, value in options.items()})

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, _plain(value))

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()

    def __repr__(self) -> str:
        return repr(self.view(np.ndarray))


def _plain(value: Any) -> Any:
    """Numbers in place of members, as NumPy takes them."""
    if isinstance(value, EnumArray):
        return value.view(np.ndarray)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list | tuple):
        return type(value)([_plain(v) for v in value])
    if isinstance(value, np.ndarray) and value.dtype == object:
        return np.array([_plain(v) for v in value.flat]).reshape(value.shape)
    return value


def understood(array: NDArray[Any], of: Field) -> NDArray[Any]:
    """A column as users see it. (Members of IntEnum and IntFlag are numbers already.)"""
    if of.enum is None or issubclass(of.enum, int):
        return array
    return array.view(EnumArray)
