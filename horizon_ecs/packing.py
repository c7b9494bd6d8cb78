"""Packing: plain values as msgpack, with what it lacks: big and complex numbers, NumPy's arrays, tuples, sets, any
keys."""

from __future__ import annotations

import re
from typing import Any

import msgpack
import numpy as np

from horizon_ecs.errors import SnapshotError

# Types of msgpack's extension.
ARRAY, BIG, TUPLE, SET, FROZEN_SET, MAP = 1, 2, 3, 4, 5, 6
_COLLECTIONS: dict[type, int] = {tuple: TUPLE, set: SET, frozenset: FROZEN_SET}

# Entries of one list or map in a header: msgpack makes room for what a list claims before it reads it.
MAX_ITEMS = 16_384
MAX_DIGITS = 4096  # bytes of a whole number's text
_DTYPE = re.compile(r"[<|][biufcmM][0-9]{1,2}(\[[0-9]{0,9}[A-Za-z]{1,2}\])?")


def dtype_code(dtype: np.dtype[Any]) -> str:
    """A column's dtype as text, little-endian: "<f4", "|b1", "<M8[ms]"."""
    return dtype.newbyteorder("<").str


def dtype_of(code: Any) -> np.dtype[Any]:
    """The little-endian dtype that a code names. Raises SnapshotError where it is none that a column has."""
    try:
        if isinstance(code, str) and _DTYPE.fullmatch(code):
            dtype = np.dtype(code)
            if dtype.str == code and dtype.itemsize <= (16 if dtype.kind == "c" else 8):
                return dtype
    except (TypeError, ValueError):
        pass
    raise SnapshotError(f"{code!r} is no dtype of a column")


def _portable(value: Any, where: str) -> Any:
    """`value` in what msgpack carries. Raises SnapshotError where it is no plain data; `where` names it."""
    kind = type(value)
    if value is None or kind in (bool, float, str, bytes):
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**64 else msgpack.ExtType(BIG, str(value).encode())
    if kind is list:
        return [_portable(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if kind is dict:
        if all(type(key) is str for key in value):
            return {key: _portable(item, f"{where}.{key}") for key, item in value.items()}
        return msgpack.ExtType(MAP, pack([list(pair) for pair in value.items()], where))
    if kind in (set, frozenset):
        # A set has no order that would be the same in another process.
        value = sorted(value, key=lambda item: pack(item, where))
    if kind in _COLLECTIONS:
        return msgpack.ExtType(_COLLECTIONS[kind], pack(list(value), where))
    return _portable_array(value, where)


def _portable_array(value: Any, where: str) -> Any:
    """NumPy's arrays and scalars, and complex numbers."""
    array = np.asarray(value) if isinstance(value, np.ndarray | np.generic | complex) else None
    if array is None or not _DTYPE.fullmatch(dtype_code(array.dtype)):
        raise SnapshotError(f"{where} is no plain data that a file can hold: {value!r}")
    shape = ",".join(map(str, array.shape)) if isinstance(value, np.ndarray) else "-"
    head = f"{shape}:{dtype_code(array.dtype)}\n".encode()
    return msgpack.ExtType(ARRAY, head + array.astype(array.dtype.newbyteorder("<")).tobytes())


def pack(value: Any, where: str) -> bytes:
    """Plain data as msgpack: numbers, texts, bytes, None, lists, tuples, sets, maps and NumPy's arrays.

    Raises
    ------
    SnapshotError
        Something else is among them; the message names it, beginning with `where`.
    """
    try:
        packed: bytes = msgpack.packb(_portable(value, where))
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{where} can't be packed: {error}") from None
    return packed


def _extended(code: int, data: bytes) -> Any:
    if code == BIG and len(data) <= MAX_DIGITS:
        return int(data)
    if code == MAP:
        return {key: value for key, value in unpack(data, len(data))}  # noqa: C416  # which refuses all but pairs
    for kind, number in _COLLECTIONS.items():
        if code == number:
            return kind(unpack(data, len(data)))
    if code == ARRAY:
        return _array(data)
    raise SnapshotError(f"an extension of type {code} is malformed")


def _array(data: bytes) -> Any:
    head, _, raw = data.partition(b"\n")
    shape, _, dtype = head.decode("ascii").partition(":")
    array = np.frombuffer(raw, dtype_of(dtype))
    array = array.astype(array.dtype.newbyteorder("="))
    if shape == "-":
        return complex(array[0]) if array.dtype == np.complex128 else array[0]
    return array.reshape([int(n) for n in shape.split(",")] if shape else [])


def unpack(data: bytes, max_items: int = MAX_ITEMS) -> Any:
    """What `pack` packed. Raises SnapshotError for any bytes that aren't that, or longer lists than `max_items`."""
    limit = min(len(data), max_items)
    try:
        return msgpack.unpackb(data, ext_hook=_extended, max_array_len=limit, max_map_len=limit)
    except SnapshotError:
        raise
    except (ValueError, TypeError, IndexError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise SnapshotError(f"the msgpack data is malformed: {error}") from None
