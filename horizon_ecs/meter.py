"""Meters: where the bytes of the stream go, by observer, kind, channel and field, counted from real frames."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from horizon_ecs.components import nearest
from horizon_ecs.dissection import ANY, Dissector, Part
from horizon_ecs.errors import ArgumentError
from horizon_ecs.notebook import html_table
from horizon_ecs.systems.interest import KIND_SHIFT, MASK_SHIFT, STALE_SHIFT

if TYPE_CHECKING:
    from horizon_ecs.frames import Frames
    from horizon_ecs.replication import Replicator

DIMENSIONS = ("observer", "section", "kind", "channel", "group", "field")
MAX_WAITING_BYTES = 1 << 24  # of frames kept to be dissected when somebody asks
_BYTE = np.uint64(0xFF)


@dataclass(frozen=True)
class BytesBy:
    """What state frames consisted of, the largest part first; prints itself as a table.

    Attributes
    ----------
    by : tuple of str
        What the bits are told apart by.
    bits : dict
        From a tuple with a value for each of `by` to bits; None where they belong to none, such as a frame's header to
        no kind.
    n_observers, n_frames, n_ticks : int
        Over which they were counted.
    tick_rate : float
    """

    by: tuple[str, ...]
    bits: dict[tuple[Any, ...], int]
    n_observers: int
    n_frames: int
    n_ticks: int
    tick_rate: float

    @property
    def total_bits(self) -> int:
        """Exactly the length of the frames."""
        return sum(self.bits.values())

    def bytes_per_s(self, bits: int | None = None) -> float:
        """So many bits (by default all) as bytes a second of one observer; 0 before the first tick."""
        seconds = self.n_observers * self.n_ticks / self.tick_rate
        return (self.total_bits if bits is None else bits) / 8 / seconds if seconds else 0.0

    def rows(self) -> list[dict[str, Any]]:
        """A dict a part: a value for each of `by`, "bits", "share", "bytes_per_s" (of one observer)."""
        total = max(1, self.total_bits)
        return [
            {
                **dict(zip(self.by, key, strict=True)),
                "bits": n,
                "share": n / total,
                "bytes_per_s": self.bytes_per_s(n),
            }
            for key, n in self.bits.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return {
            "by": list(self.by),
            "rows": self.rows(),
            "total_bits": self.total_bits,
            "bytes_per_s": self.bytes_per_s(),
            "n_observers": self.n_observers,
            "n_frames": self.n_frames,
            "n_ticks": self.n_ticks,
        }

    def __str__(self) -> str:
        lines = [
            self._title(),
            " ".join(f"{name:<12}" for name in self.by) + f"{'bits':>14}{'share':>8}{'B/s each':>12}",
        ]
        for row in self.rows():
            names = " ".join(f"{_shown(row[name]):<12}" for name in self.by)
            lines.append(f"{names}{row['bits']:>14,}{row['share']:>8.1%}{row['bytes_per_s']:>12,.1f}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = (*self.by, "bits", "share", "bytes/s each")
        rows = [
            (*(_shown(r[name]) for name in self.by), f"{r['bits']:,}", f"{r['share']:.1%}", f"{r['bytes_per_s']:,.1f}")
            for r in self.rows()
        ]
        return html_table(self._title(), head, rows)

    def _title(self) -> str:
        return (
            f"{self.total_bits / 8:,.0f} bytes in {self.n_frames:,} frames of {self.n_observers:,} observers over "
            f"{self.n_ticks:,} ticks"
        )


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


class ByteMeter:
    """Keeps the frames of a sample of observers, and dissects them when it is asked; a context manager.

    A tick pays for a copy of the sampled frames, and nothing once the meter is stopped. `Replicator.meter_bytes` makes
    it.
    """

    def __init__(self, replicator: Replicator, observers: Sequence[int]) -> None:
        self._replicator = replicator
        self._readers = {o: _reader(replicator, o) for o in observers}
        self._waiting: deque[tuple[int, int, bytes]] = deque()
        self._dissecting = threading.Lock()  # whoever asks may be another thread than the tick's
        self._waiting_bytes = 0
        self._found: dict[int, Counter[Part]] = {o: Counter() for o in observers}
        self.n_frames = self.n_ticks = 0

    def __repr__(self) -> str:
        return f"ByteMeter({len(self._readers)} observers, {self.n_frames} frames of {self.n_ticks} ticks)"

    def __enter__(self) -> ByteMeter:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def observers(self) -> tuple[int, ...]:
        """Whose frames are counted."""
        return tuple(self._readers)

    def stop(self) -> None:
        """Take no further frames; what was counted can still be asked for."""
        self._replicator._forget(self)

    def take(self, frames: Frames) -> None:
        """Keep the sampled observers' frames of one tick."""
        self.n_ticks += 1
        for i in np.flatnonzero(np.isin(frames.observers, self.observers)).tolist():
            observer = int(frames.observers[i])
            frame = bytes(frames.buffer[frames.payload[i] : frames.stop[i]])
            self._waiting.append((observer, self._replicator.phase(observer), frame))
            self._waiting_bytes += len(frame)
            self.n_frames += 1
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._waiting_bytes = 0
            self._dissect()

    def _dissect(self) -> None:
        with self._dissecting:
            while self._waiting:
                observer, phase, frame = self._waiting.popleft()
                reader = self._readers[observer]
                reader.phase = phase  # another one where the observer's number was given out anew
                self._found[observer].update(reader.dissect(frame))

    def bytes_by(self, *by: str) -> BytesBy:
        """What the frames so far consisted of.

        Parameters
        ----------
        by : str
            Any of "observer", "section", "kind", "channel", "group" (component) and "field"; none for the sum.

        Raises
        ------
        ArgumentError
        """
        for name in by:
            if name not in DIMENSIONS:
                raise ArgumentError(f"bytes can't be told apart by {name!r}{nearest(name, DIMENSIONS)}; {DIMENSIONS}")
        self._dissect()
        bits: Counter[tuple[Any, ...]] = Counter()
        for observer, found in self._found.items():
            for part, n in list(found.items()):
                names = _names(self._replicator.schema, observer, part)
                bits[tuple(names[name] for name in by)] += n
        return BytesBy(
            by, dict(bits.most_common()), len(self._readers), self.n_frames, self.n_ticks,
            self._replicator.world.tick_rate
        )  # fmt: skip


def _reader(replicator: Replicator, observer: int) -> Dissector:
    """A dissector that begins where an observer's client stands. (Parameters that it has yet to be told come with its
    next frame.)"""
    made = Dissector(replicator.schema, phase=replicator.phase(observer))
    entries = replicator.followed(observer)
    kind, mask, stale = ((entries >> shift) & _BYTE for shift in (KIND_SHIFT, MASK_SHIFT, STALE_SHIFT))
    made.start(kind, mask, stale, replicator._records.rice_flat, int(replicator.sent_tick[observer]))
    return made


def _names(schema: Mapping[str, Any], observer: int, part: Part) -> dict[str, Any]:
    """What a part is called."""
    kind = schema["kinds"][part.kind] if part.kind != ANY else None
    group = kind["groups"][part.group] if kind and part.group != ANY else None
    field = group["fields"][part.field]["name"] if group and part.field != ANY else None
    return {
        "observer": observer,
        "section": part.section,
        "kind": kind and kind["name"],
        "channel": part.channel if part.channel != ANY else None,
        "group": group and group["component"],
        "field": f"{group['component']}.{field}" if group and field else None,
    }


def sample(replicator: Replicator, observers: Iterable[int] | None, n: int) -> list[int]:
    """The observers that are given, or so many spread over all. Raises ArgumentError."""
    if observers is not None:
        chosen = list(dict.fromkeys(int(o) for o in observers))
        for observer in chosen:
            replicator.phase(observer)
    else:
        there = np.flatnonzero(replicator.status)
        if n < 1:
            raise ArgumentError(f"n must be a whole number of observers from 1, not {n!r}")
        chosen = np.unique(there[np.linspace(0, len(there) - 1, min(n, len(there))).astype(np.int64)]).tolist()
    if not chosen:
        raise ArgumentError("there is no observer whose bytes could be counted")
    return chosen
