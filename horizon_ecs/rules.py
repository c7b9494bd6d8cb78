"""Rules: a schema as docs/wire.md has it, read for the oracle.

Independent of `horizon_ecs.schema`, by which server and client read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.errors import ArgumentError

NO_CHANNEL = 255


@dataclass
class Track:
    """A column as it is quantised: how, and with which step."""

    column: str
    codec: str
    scale: float

    def quantise(
        self, values: NDArray[Any], previous: NDArray[np.int32], newborn: NDArray[np.bool_]
    ) -> NDArray[np.int32]:
        """int32[n]; what is not finite keeps what it was, or is 0 from birth on."""
        if self.codec == "bits":
            return values.view(np.int32)
        if self.codec == "integer":
            return values.view(np.int32) if values.dtype == np.uint32 else values.astype(np.int32)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.rint(values.astype(np.float64) * (1.0 / self.scale))
        finite = np.isfinite(scaled)
        bounded = np.clip(np.where(finite, scaled, 0.0), -(2.0**31), 2.0**31 - 1).astype(np.int32)
        before = np.zeros(len(values), np.int32)
        before[: len(previous)] = previous[: len(values)]
        before[newborn] = 0
        return np.where(finite, bounded, before)


@dataclass
class KindRules:
    """One kind, as arrays by channel, group and mask.

    Attributes
    ----------
    period : int64[C]                  ticks, 0 where there is no layer
    enter_sq, leave_sq : float32[C]    squared radii, -1 where there is no layer
    carrier : uint8[G, 256]            by mask: the channel that carries a group, or 255
    n_fields : int64[G]
    track : int64[C, G, 4]             index into `Rules.tracks`, -1 where nothing is sent
    unpredicted : bool[C, G]           the group's fields are of order 0
    """

    period: NDArray[np.int64]
    enter_sq: NDArray[np.float32]
    leave_sq: NDArray[np.float32]
    carrier: NDArray[np.uint8]
    n_fields: NDArray[np.int64]
    track: NDArray[np.int64]
    unpredicted: NDArray[np.bool_]
    _by_due: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """The mask of all channels."""
        return int(sum(1 << c for c, period in enumerate(self.period) if period))

    def due(self, tick: int, phase: int) -> int:
        """The mask of the channels that are due."""
        return int(sum(1 << c for c, period in enumerate(self.period) if period and (tick + phase) % period == 0))

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
        for c in range(len(self.period)):
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
        self.longest_period = max([1, *(int(kind.period.max()) for kind in self.kinds)])

    def _read(self, kind: Mapping[str, Any], n_channels: int, hysteresis: float) -> KindRules:
        period = np.array([c["period"] if c else 0 for c in kind["channels"]], np.int64)
        radius = np.array([c["radius"] if c else -1.0 for c in kind["channels"]], np.float64)
        # Radii are rounded to float32 first, and squared then.
        enter_sq, leave_sq = (
            np.where(radius > 0, r.astype(np.float32) ** 2, np.float32(-1))
            for r in (radius, radius * (1.0 + hysteresis))
        )
        carrier = np.full((self.n_groups, 256), NO_CHANNEL, np.uint8)
        track = np.full((n_channels, self.n_groups, 4), -1, np.int64)
        unpredicted = np.zeros((n_channels, self.n_groups), np.bool_)
        n_fields = np.zeros(self.n_groups, np.int64)
        for j, group in enumerate(kind["groups"]):
            fields = group["fields"]
            n_fields[j] = len(fields)
            for c in (c for c in reversed(range(n_channels)) if group["channels"] >> c & 1):
                carrier[j, np.arange(256) >> c & 1 == 1] = c  # the lowest comes last, and stays
                unpredicted[c, j] = fields[0]["params"][c][0] == 0
                track[c, j, : len(fields)] = [self._number(group["component"], f, c) for f in fields]
        return KindRules(period, enter_sq, leave_sq, carrier, n_fields, track, unpredicted)

    def _number(self, component: str, wire_field: Mapping[str, Any], channel: int) -> int:
        """The number of the track that a field is on a channel, a new one if need be."""
        scale = float(wire_field["params"][channel][1])
        wanted = Track(f"{component}.{wire_field['name']}", wire_field["codec"], scale)
        if wanted not in self.tracks:
            self.tracks.append(wanted)
        return self.tracks.index(wanted)
