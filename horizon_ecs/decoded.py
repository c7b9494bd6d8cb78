"""Decoded: what the integers of a client's table stand for; the inverse of `quantiser`, as docs/wire.md has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Place:
    """Where a kind keeps a value: the group, the field in it, and of a packed field the bits.

    Attributes
    ----------
    kind, group, field : int
    codec, type : str
        The type is that of the column on the server.
    offset, width, low : int
        Of a part of a packed field.
    """

    kind: int
    group: int
    field: int
    codec: str
    type: str
    offset: int = 0
    width: int = 32
    low: int = 0


def places_of(schema: Mapping[str, Any]) -> dict[tuple[str, str], list[Place]]:
    """By component and name, where each kind that has the value keeps it."""
    found: dict[tuple[str, str], list[Place]] = {}
    for k, kind in enumerate(schema["kinds"]):
        for j, group in enumerate(kind["groups"]):
            for f, field in enumerate(group["fields"]):
                codec = field["codec"]
                for one in field["parts"] if codec == "packed" else [field]:
                    bits = [int(one[name]) for name in ("offset", "width", "low")] if codec == "packed" else []
                    place = Place(k, j, f, codec, one["type"], *bits)
                    found.setdefault((group["component"], one["name"]), []).append(place)
    return found


def value_of(q: NDArray[np.int32], place: Place, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the integers of one value stand for.

    Parameters
    ----------
    q : int32[n, 4]
        Of the place's group.
    place : Place
    scale : float64[n]
        The field's, of the channel that each row's integers came on.

    Returns
    -------
    float64[n] : every client computes the same, bit for bit; whole numbers above 2**53 are rounded.
    """
    mine = q[:, place.field]
    if place.codec == "quantised":
        return mine * scale
    if place.codec == "angle":
        turns = mine * scale
        return (turns - np.floor(turns + 0.5)) * math.tau
    if place.codec == "rotation":
        return _component(q, place.field, scale)
    if place.codec == "packed":
        bits = mine.view(np.uint32) >> np.uint32(place.offset) & np.uint32((1 << place.width) - 1)
        return bits.astype(np.float64) + float(place.low)
    if place.codec == "bits":
        floats = mine.view(np.float32) if place.type == "f4" else mine.astype(np.uint16).view(np.float16)
        return floats.astype(np.float64)
    return mine.view(np.uint32).astype(np.float64) if place.type == "u4" else mine.astype(np.float64)


def _component(q: NDArray[np.int32], number: int, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """x, y, z or w of rotations, by number 0 to 3."""
    a, b, c = (q[:, i] * scale for i in range(3))
    left_out = q[:, 3] & 3
    rest = np.sqrt(np.maximum(0.0, 1.0 - (a * a + b * b + c * c)))
    if number == 3:
        return np.choose(left_out, [rest, a, b, c])
    return np.where(left_out == number + 1, rest, (a, b, c)[number])
