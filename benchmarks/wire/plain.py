"""What is written without a library for it: the values of each tick's updates, in formats that everybody knows.

Each is handed only what changed, and is decoded and folded again, so that nobody leaves anything out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from benchmarks.wire.motion import PRECISION, YAW_PRECISION, Motion
from benchmarks.wire.ours import WrongValue

FIELDS = ("x", "y", "z", "yaw", "hp")
UNITS = (PRECISION, PRECISION, PRECISION, YAW_PRECISION, 1)

FIEDLER_BYTES = (26.1 + 5.5) / 8
"""Glenn Fiedler, "Snapshot Compression", Gaffer on Games, 2015: the averages of a changed position and of its index."""

Tick = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]
"""Who changed, int64[n]; their values, int32[n, n_fields]; who is gone, int64[m]."""


def ticks(motion: Motion) -> list[Tick]:
    """What one who sees all must be told, tick by tick."""
    out = []
    for t in range(motion.n_ticks):
        who = np.flatnonzero(motion.updated(t))
        gone = np.flatnonzero(motion.alive[t - 1] & ~motion.alive[t]) if t else np.zeros(0, np.int64)
        out.append((who, motion.q[t, who], gone))
    return out


def to_json(who: Any, q: Any, gone: Any) -> bytes:
    """An object an entity, numbers in metres with three digits, as a client would want them; no spaces."""
    units, places = UNITS[: q.shape[1]], (3, 3, 3, 3, 0)
    entities = [
        {"id": i, **{name: round(v * u, p) for name, v, u, p in zip(FIELDS, values, units, places, strict=False)}}
        for i, values in zip(who.tolist(), q.tolist(), strict=True)
    ]
    return json.dumps({"set": entities, "gone": gone.tolist()}, separators=(",", ":")).encode()


def from_json(data: bytes, n_fields: int) -> Tick:
    """Back to whole units."""
    return _from_objects(json.loads(data), n_fields, UNITS)


def to_objects(who: Any, q: Any, gone: Any) -> bytes:
    """A map an entity, in whole units."""
    entities = [
        {"id": i, **dict(zip(FIELDS, values, strict=False))} for i, values in zip(who.tolist(), q.tolist(), strict=True)
    ]
    return bytes(msgpack.packb({"set": entities, "gone": gone.tolist()}))


def from_objects(data: bytes, n_fields: int) -> Tick:
    """Back."""
    return _from_objects(msgpack.unpackb(data), n_fields, (1,) * n_fields)


def _from_objects(given: Any, n_fields: int, units: Any) -> Tick:
    rows = [[round(e[name] / u) for name, u in zip(FIELDS[:n_fields], units, strict=False)] for e in given["set"]]
    who = np.array([e["id"] for e in given["set"]], np.int64)
    return who, np.array(rows, np.int32).reshape(len(who), n_fields), np.array(given["gone"], np.int64)


def to_columns(who: Any, q: Any, gone: Any) -> bytes:
    """An array a field, in whole units."""
    columns = {name: column.tolist() for name, column in zip(FIELDS, q.T, strict=False)}
    return bytes(msgpack.packb({"id": who.tolist(), **columns, "gone": gone.tolist()}))


def from_columns(data: bytes, n_fields: int) -> Tick:
    """Back."""
    given = msgpack.unpackb(data)
    q = np.array([given[name] for name in FIELDS[:n_fields]], np.int32).reshape(n_fields, -1).T
    return np.array(given["id"], np.int64), q, np.array(given["gone"], np.int64)


FORMATS: dict[str, tuple[Callable[..., bytes], Callable[[bytes, int], Tick]]] = {
    "JSON, an object an update": (to_json, from_json),
    "msgpack, a map an update": (to_objects, from_objects),
    "msgpack, an array a field": (to_columns, from_columns),
}


def n_bytes(motion: Motion, name: str) -> int:
    """What all ticks after the first take. Raises WrongValue where what is decoded isn't the motion."""
    encode, decode = FORMATS[name]
    total, known, there = 0, np.zeros_like(motion.q[0]), np.zeros(motion.n_entities, np.bool_)
    for t, tick in enumerate(ticks(motion)):
        data = encode(*tick)
        total += len(data) if t else 0
        who, q, gone = decode(data, motion.n_fields)
        known[who], there[who], there[gone] = q, True, False
        if not (np.array_equal(there, motion.alive[t]) and np.array_equal(known[there], motion.q[t, there])):
            raise WrongValue(f"{name}: something else was decoded at tick {t}")
    return total
