"""Rules: a schema as docs/wire.md has it, read for the oracle.

Independent of `horizon_ecs.schema`, by which server and client read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.errors import ArgumentError
from horizon_ecs.schema import N_RATES

NO_CHANNEL = 255


@dataclass
class Track:
    """Columns as they are quantised: how, and with which step.

    Of the integers that stand for an angle the one that is sent depends on all turns before, from a time that the
    oracle needn't have seen: it knows, and compares, the place within a turn.
    """

    columns: tuple[str, ...]
    codec: str
    scale: float
    parts: tuple[tuple[int, int, int], ...] = ()  # of a packed field: offset, lowest, highest
    number: int = 0  # of a rotation's component

    def quantise(
        self, columns: Sequence[NDArray[Any]], previous: NDArray[np.int32], newborn: NDArray[np.bool_]
    ) -> NDArray[np.int32]:
        """int32[n]; what is not finite keeps what it was, or is 0 from birth on."""
        values = columns[0]
        if self.codec == "bits":
            return values.view(np.int32) if values.itemsize == 4 else values.view(np.uint16).astype(np.int32)
        if self.codec == "integer":
            return values.view(np.int32) if values.dtype == np.uint32 else values.astype(np.int32)
        if self.codec == "packed":
            return self._pack(columns)
        if self.codec == "rotation":
            return _held(*self._rotate(columns), previous, newborn)
        per_step = 1.0 / self.scale if self.codec == "quantised" else 1.0 / self.scale / (2.0 * np.pi)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.rint(values.astype(np.float64) * per_step)
        finite = np.isfinite(scaled)
        known = np.where(finite, scaled, 0.0)
        if self.codec == "angle":
            known = np.fmod(known, 1.0 / self.scale)
        return _held(np.clip(known, -(2.0**31), 2.0**31 - 1).astype(np.int32), finite, previous, newborn)

    def _pack(self, columns: Sequence[NDArray[Any]]) -> NDArray[np.int32]:
        """Each part's distance from its lowest value, at its bits."""
        word = np.zeros(len(columns[0]), np.uint64)
        for values, (offset, low, high) in zip(columns, self.parts, strict=True):
            different, where = np.unique(values, return_inverse=True)
            inside = np.array([min(max(int(v), low), high) - low for v in different], np.uint64)
            word |= inside[where] << np.uint64(offset)
        return word.astype(np.uint32).view(np.int32)

    def _rotate(self, columns: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """One of the four integers of quaternions, and where they are finite."""
        x, y, z, w = (column.astype(np.float64) for column in columns)
        with np.errstate(invalid="ignore", over="ignore"):
            length = np.sqrt(x * x + y * y + z * z + w * w)
        finite = np.isfinite(length)
        wxyz = np.where(finite, np.stack([w, x, y, z]), 0.0)
        which = np.abs(wxyz).argmax(axis=0)
        if self.number == 3:
            return which.astype(np.int32), finite
        length = np.where(finite & (length > 0.0), length, 1.0)
        steps = np.where(np.take_along_axis(wxyz, which[None], 0)[0] < 0.0, -1.0, 1.0) * (1.0 / self.scale / length)
        component = np.where(which == self.number + 1, wxyz[0], wxyz[self.number + 1])
        return np.rint(component * steps).astype(np.int32), finite


def _held(
    values: NDArray[np.int32], finite: NDArray[np.bool_], previous: NDArray[np.int32], newborn: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """What was before in the place of what is not finite."""
    before = np.zeros(len(values), np.int32)
    before[: len(previous)] = previous[: len(values)]
    before[newborn] = 0
    return np.where(finite, values, before)


@dataclass
class KindRules:
    """One kind, as arrays by channel, group and mask.

    Attributes
    ----------
    periods : int64[4, C]              ticks, by rate; 0 where there is no layer
    enter_sq, leave_sq : float32[C]    squared radii, -1 where there is no layer
    carrier : uint8[G, 256]            by mask: the channel that carries a group, or 255
    n_fields : int64[G]
    track : int64[C, G, 4]             index into `Rules.tracks`, -1 where nothing is sent
    unpredicted : bool[C, G]           the group's fields are of order 0
    bits : uint32[C, G, 4]             those of the integers that count: of an angle the ones within a turn
    """

    periods: NDArray[np.int64]
    enter_sq: NDArray[np.float32]
    leave_sq: NDArray[np.float32]
    carrier: NDArray[np.uint8]
    n_fields: NDArray[np.int64]
    track: NDArray[np.int64]
    unpredicted: NDArray[np.bool_]
    bits: NDArray[np.uint32]
    _by_due: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """The mask of all channels."""
        return int(sum(1 << c for c, period in enumerate(self.periods[0]) if period))

    def due(self, tick: int, phase: int, rate: int) -> int:
        """The mask of the channels that are due."""
        of_rate = enumerate(self.periods[rate])
        return int(sum(1 << c for c, period in of_rate if period and (tick + phase) % period == 0))

    def groups_due(self, due: int) -> NDArray[np.uint8]:
        """uint8[256]: by mask, the groups whose carrier is due, as bits."""
        if due not in self._by_due:
            is_due = np.array([due >> c & 1 for c in range(256)], np.uint8)  # by carrier; none (255) never is
            bits: list[Any] = [is_due[carrier] << np.uint8(j) for j, carrier in enumerate(self.carrier)]
            self._by_due[due] = np.bitwise_or.reduce(bits)
        return self._by_due[due]

    def groups_moved(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8[n]: the groups whose carrier differs between two masks, as bits."""
        out = np.zeros(len(before), np.uint8)
        for j, carrier in enumerate(self.carrier):
            out |= (carrier[before] != carrier[after]).astype(np.uint8) << np.uint8(j)
        return out

    def interest(
        self, before: NDArray[np.uint8], due: int, distance_sq: NDArray[np.float32], reach: np.float32
    ) -> NDArray[np.uint8]:
        """uint8[n]: the masks after an evaluation of the due channels, all radii multiplied by `reach`."""
        after, factor = before & np.uint8(~due & 0xFF), reach * reach
        for c in range(self.periods.shape[1]):
            if due >> c & 1:
                bit = np.uint8(1 << c)
                held = (before & bit != 0) & (distance_sq <= self.leave_sq[c] * factor)
                after |= np.where(held | (distance_sq <= self.enter_sq[c] * factor), bit, np.uint8(0))
        return after


class Rules:
    """A schema with a replicator's hysteresis.

    Attributes
    ----------
    kinds : list of KindRules
    tracks : list of Track
    n_groups : int
        G, the most that a kind has, at least 1.
    n_fields : int64[K, G]
    longest_period : int
        Ticks.

    Raises
    ------
    ArgumentError
        It isn't a schema.
    """

    def __init__(self, schema: Mapping[str, Any], hysteresis: float) -> None:
        self.tracks: list[Track] = []
        try:
            self.n_groups = max([1, *(len(kind["groups"]) for kind in schema["kinds"])])
            self.kinds = [self._read(kind, int(schema["n_channels"]), hysteresis) for kind in schema["kinds"]]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ArgumentError(f"not a schema as docs/wire.md has it: {type(error).__name__}: {error}") from error
        self.n_fields = np.array([kind.n_fields for kind in self.kinds], np.int64).reshape(-1, self.n_groups)
        self.longest_period = max([1, *(int(kind.periods.max()) for kind in self.kinds)])

    def _read(self, kind: Mapping[str, Any], n_channels: int, hysteresis: float) -> KindRules:
        period = np.array([c["period"] if c else 0 for c in kind["channels"]], np.int64)
        slowest = np.array([c.get("slowest", 0) if c else 0 for c in kind["channels"]], np.int64)
        periods = period << np.minimum(np.arange(N_RATES)[:, None], slowest)
        radius = np.array([c["radius"] if c else -1.0 for c in kind["channels"]], np.float64)
        # Radii are rounded to float32 first, and squared then.
        enter_sq, leave_sq = (
            np.where(radius > 0, r.astype(np.float32) ** 2, np.float32(-1))
            for r in (radius, radius * (1.0 + hysteresis))
        )
        carrier = np.full((self.n_groups, 256), NO_CHANNEL, np.uint8)
        track = np.full((n_channels, self.n_groups, 4), -1, np.int64)
        unpredicted = np.zeros((n_channels, self.n_groups), np.bool_)
        bits = np.full((n_channels, self.n_groups, 4), 0xFFFFFFFF, np.uint32)
        n_fields = np.zeros(self.n_groups, np.int64)
        for j, group in enumerate(kind["groups"]):
            fields = group["fields"]
            n_fields[j] = len(fields)
            for c in (c for c in reversed(range(n_channels)) if group["channels"] >> c & 1):
                carrier[j, np.arange(256) >> c & 1 == 1] = c  # the lowest comes last, and stays
                unpredicted[c, j] = fields[0]["params"][c][0] == 0
                track[c, j, : len(fields)] = [self._number(group["component"], f, c) for f in fields]
                turns = [f["params"][c][1] if f["codec"] == "angle" else 2.0**-32 for f in fields]
                bits[c, j, : len(fields)] = [round(1.0 / turn) - 1 for turn in turns]
        return KindRules(periods, enter_sq, leave_sq, carrier, n_fields, track, unpredicted, bits)

    def _number(self, component: str, wire_field: Mapping[str, Any], channel: int) -> int:
        """The number of the track that a field is on a channel, a new one if need be."""
        scale, codec = float(wire_field["params"][channel][1]), wire_field["codec"]
        names, number = [wire_field["name"]], 0
        if codec == "rotation":
            vector = wire_field["name"].rpartition(".")[0]
            names, number = [f"{vector}.{letter}" for letter in "xyzw"], "xyzw".index(wire_field["name"][-1])
        if codec == "packed":
            names = [part["name"] for part in wire_field["parts"]]
        parts = tuple((p["offset"], p["low"], p["high"]) for p in wire_field.get("parts", ()))
        wanted = Track(tuple(f"{component}.{name}" for name in names), codec, scale, parts, number)
        if wanted not in self.tracks:
            self.tracks.append(wanted)
        return self.tracks.index(wanted)
