"""Colyseus: `colyseus.mjs` in a process of node, shown the same motion and the same visibility as ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import node
from benchmarks.node import Node
from benchmarks.wire.motion import Motion
from benchmarks.wire.ours import Sent, WrongValue
from benchmarks.wire.plain import FIELDS

NAME = "Colyseus"
PACKAGE = "@colyseus/schema@5"
MAX_DECODED = 8  # clients

_SCRIPT = Path(__file__).with_name("colyseus.mjs")


def install() -> None:
    """Install it by npm. Raises `Missing` where npm can't."""
    node.install(PACKAGE)


def start() -> Node:
    """A process that answers. Raises `Missing`."""
    return Node(_SCRIPT, "@colyseus/schema")


def version(process: Node) -> str:
    """Its version and node's."""
    found = process.ask("version")
    return f"@colyseus/schema {found['version']}, node {found['node']}"


@dataclass
class Encoded:
    """What came out: bytes of the first messages and of all later ones, and by later tick milliseconds of each part."""

    first_bytes: int = 0
    n_bytes: int = 0
    checked: int = 0
    ms: dict[str, list[float]] = field(default_factory=lambda: {"assign": [], "views": [], "encode": []})


def field_types(motion: Motion) -> list[tuple[str, str]]:
    """Names and the narrowest types that hold the quantised values; none of theirs is narrower."""
    types = []
    for name, values in zip(FIELDS, np.moveaxis(motion.q, 2, 0), strict=False):
        low, high = int(values.min()), int(values.max())
        fits = [f"int{bits}" for bits in (8, 16, 32) if -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1)]
        types.append((name, "uint8" if low >= 0 and high < 256 else fits[0]))
    return types


def send(process: Node, motion: Motion, sent: Sent, observers: int) -> Encoded:
    """Encode a motion for clients of whom each sees what each of ours saw, in `sent`.

    Raises
    ------
    WrongValue
        A client decoded something else than the server had.
    """
    decoded = np.unique(np.linspace(0, observers - 1, min(observers, MAX_DECODED)).astype(int)).tolist()
    process.ask("open", {"fields": field_types(motion), "clients": observers, "decoded": decoded,
                         "buffer": 64 * (motion.n_entities + 64) * (observers + 1)})  # fmt: skip
    out = Encoded()
    for t in range(motion.n_ticks):
        answer = process.ask("tick", _told(motion, sent, t))
        if answer["wrong"]:
            raise WrongValue(f"{NAME}: {answer['wrong']} of {answer['checked']} values are wrong at tick {t}")
        out.checked += answer["checked"]
        if t == 0:
            out.first_bytes = answer["bytes"]
            continue
        out.n_bytes += answer["bytes"]
        for part, ms in answer["ms"].items():
            out.ms[part].append(ms)
    return out


def _told(motion: Motion, sent: Sent, t: int) -> dict[str, Any]:
    who = np.flatnonzero(motion.updated(t))
    gone = np.flatnonzero(motion.alive[t - 1] & ~motion.alive[t]) if t else np.zeros(0, np.int64)
    return {
        "set": np.column_stack([who, motion.q[t, who]]).tolist(), "gone": gone.tolist(),
        "entered": sent.entered[t].tolist(), "left": sent.left[t].tolist(),
    }  # fmt: skip
