"""Coding: how a component's fields are coded on its layers, from what was declared to fields of the wire's schema.

Nothing here touches values: `quantiser` turns columns into what this describes, `decoded` turns that back.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from horizon_ecs.components import Component, fields_of
from horizon_ecs.errors import DefinitionError
from horizon_ecs.fields import Field
from horizon_ecs.kinds import Layer

MAX_GROUP_FIELDS = 4  # four Rice codes usually fit the 56 bits of a shared record
MAX_HISTORY = 128  # ticks of quantised history kept: a longer period is sent absolute each time
WORD_BITS = 32
MAX_PART_BITS = 8  # numbers of a wider range change by little, of which a difference is shorter than toggled bits

# A straight line predicts well over a quarter of a second; over longer steps it overshoots each turn and costs more
# than it saves.
LINEAR_HORIZON_S = 0.25

ANGLE_PRECISION = math.tau / 4096
ANGLE_BITS = (2, 30)  # steps a turn, as powers of two: q wraps at 32 bits, and every step is to be one
ROTATION_PRECISION = 1 / 1024
FINEST_ROTATION, COARSEST_ROTATION = 2.0**-24, 0.25

_ABSOLUTE, _PREVIOUS, _LINEAR, _TOGGLED = range(4)
_ROUNDED = ("quantised", "angle", "rotation")


def period_of(layer: Layer, tick_rate: float) -> int:
    """The layer's period in ticks: at least 1, the nearest to what its frequency asks for."""
    return max(1, round(tick_rate / layer.frequency))


def code_component(
    kind: str,
    component: Component,
    layers: Sequence[Layer],
    every_layer: Sequence[Layer],
    n_channels: int,
    tick_rate: float,
) -> list[list[dict[str, Any]]]:
    """A component's fields as docs/wire.md has them, in groups that travel together.

    Parameters
    ----------
    kind : str
        For messages.
    layers : sequence of Layer
        Those of the profile that list the component; there may be none.
    every_layer : sequence of Layer
        Those of all profiles, at least one: in all of them groups and fields are the same.

    Raises
    ------
    DefinitionError
        A field can't be replicated, or not as its layers say; the message names kind, component and field.
    """
    return _Coder(kind, component, layers, every_layer, n_channels, tick_rate).groups()


class _Coder:
    """One component of one kind."""

    def __init__(
        self,
        kind: str,
        component: Component,
        layers: Sequence[Layer],
        every_layer: Sequence[Layer],
        n_channels: int,
        tick_rate: float,
    ) -> None:
        self.kind, self.component, self.layers, self.n_channels = kind, component, layers, n_channels
        self.periods = {layer.channel: period_of(layer, tick_rate) for layer in layers}
        self.longest_line = LINEAR_HORIZON_S * tick_rate
        choices = {layer.compression_of(component) for layer in every_layer}
        self.bare = choices == {"none"}
        if "none" in choices and not self.bare:
            raise self._error("", "has compression 'none' in some of its layers; it is for all of them or for none")

    def groups(self) -> list[list[dict[str, Any]]]:
        """Plain fields and packed ones in their order, four a group; each rotation is a group of its own."""
        plain, rotations = [], []
        fields = fields_of(self.component)
        packed = self._words([f for f in fields if self._is_part(f)])
        inside = {part["name"] for word in packed for part in word["parts"]}
        for f in fields:
            if f.rotation and not self.bare:
                rotations.append(self._rotation_field(f))
            elif f.name not in inside:
                plain.append(self._plain_field(f))
        every = plain + packed
        self._check_choices(every + rotations)
        n = MAX_GROUP_FIELDS
        return [each[i : i + n] for each in (every, rotations) for i in range(0, len(each), n)]

    def _error(self, field: str, what: str) -> DefinitionError:
        name = f"{self.component.__name__}.{field}" if field else self.component.__name__
        return DefinitionError(f"kind {self.kind!r}: {'field' if field else 'component'} {name} {what}")

    # -- codecs --------------------------------------------------------------------------------------------------------

    def _plain_field(self, f: Field) -> dict[str, Any]:
        """A field with an integer of its own."""
        if f.dtype.kind not in "fiub":
            raise self._error(f.name, f"is {f.dtype.name}; what can be replicated are floats, integers and booleans")
        if f.dtype.kind != "f":
            return self._integer_field(f)
        if f.angle and not self.bare:
            return self._field(f.name, f.dtype, "angle", {c: self._turn(f, p) for c, p in self._precisions(f).items()})
        precisions = self._precisions(f)
        if self.bare or all(p is None for p in precisions.values()):
            if f.dtype.itemsize == 8 and self.layers:
                hint = "float64 can't travel as it is" if self.bare else self._missing(precisions)
                raise self._error(f.name, f"is float64: {hint}")
            return self._field(f.name, f.dtype, "bits", dict.fromkeys(precisions, 1.0))
        if None in precisions.values():
            raise self._error(f.name, self._missing(precisions))
        return self._field(f.name, f.dtype, "quantised", {c: float(p or 0) for c, p in precisions.items()})

    @staticmethod
    def _missing(precisions: dict[int, float | None]) -> str:
        return (
            f"needs a precision in each of its layers (channels {sorted(precisions)}); only float32 and float16 fields "
            "may travel as they are, and then on every channel"
        )

    def _integer_field(self, f: Field) -> dict[str, Any]:
        if f.is_entity:
            raise self._error(f.name, "is a reference to an entity, which clients can't be told")
        if f.dtype.itemsize == 8:
            what = "with compression 'none'" if self.bare else "unless a range says which: hz.field(range=(low, high))"
            raise self._error(f.name, f"is {f.dtype.name}; replicated integers have at most 32 bits {what}")
        return self._field(f.name, f.dtype, "integer", dict.fromkeys(self.periods, 1.0))

    def _rotation_field(self, f: Field) -> dict[str, Any]:
        """One of a quaternion's four: three of its components, and which is the fourth."""
        precisions = {c: p or ROTATION_PRECISION for c, p in self._precisions(f).items()}
        for p in precisions.values():
            if not FINEST_ROTATION <= p <= COARSEST_ROTATION:
                raise self._error(f.name, f"is of a rotation, whose precision lies between 2**-24 and 1/4, not {p:g}")
        return self._field(f.name, f.dtype, "rotation", precisions)

    def _turn(self, f: Field, precision: float | None) -> float:
        """A step as a part of a turn, a power of two."""
        bits = math.ceil(math.log2(math.tau / (precision or ANGLE_PRECISION)) - 1e-9)
        if not ANGLE_BITS[0] <= bits <= ANGLE_BITS[1]:
            raise self._error(f.name, f"is an angle, whose precision lies between 2π/2**30 and π, not {precision:g}")
        return float(2.0**-bits)

    def _precisions(self, f: Field) -> dict[int, float | None]:
        """By channel; a layer's single number is of world units, which angles and rotations don't have."""
        own_unit = f.angle or f.rotation
        return {
            layer.channel: (None if own_unit and isinstance(layer.precision, int | float) else
                            layer.precision_of(self.component)) or f.precision
            for layer in self.layers
        }  # fmt: skip

    # -- packed fields -------------------------------------------------------------------------------------------------

    def _is_part(self, f: Field) -> bool:
        """Whether a field may share an integer with others."""
        if self.bare or f.is_entity or bounds(f) is None:
            return False
        return part_width(f) <= (WORD_BITS if f.dtype.itemsize == 8 else MAX_PART_BITS)

    def _words(self, parts: Sequence[Field]) -> list[dict[str, Any]]:
        """The parts side by side, each word filled in their order. One alone travels as the integer that it is."""
        if len(parts) == 1 and parts[0].dtype.itemsize < 8:
            return []
        words: list[list[dict[str, Any]]] = []
        offset = WORD_BITS
        for f in parts:
            width = part_width(f)
            if offset + width > WORD_BITS:
                words.append([])
                offset = 0
            low, high = bounds(f) or (0, 0)
            part = {"name": f.name, "type": f.dtype.str[1:], "offset": offset, "width": width}
            words[-1].append(part | {"low": low, "high": high})
            offset += width
        return [
            self._field("+".join(part["name"] for part in word), np.dtype(np.uint32), "packed",
                        dict.fromkeys(self.periods, 1.0), word)
            for word in words
        ]  # fmt: skip

    # -- predictors ----------------------------------------------------------------------------------------------------

    def _field(
        self, name: str, dtype: np.dtype[Any], codec: str, scales: dict[int, float], parts: Any = None
    ) -> dict[str, Any]:
        params: list[list[Any] | None] = [None] * self.n_channels
        which = codec == "rotation" and name.endswith(".w")  # which component is left out: no line leads there
        straight = codec in _ROUNDED and not which
        bits = which or (codec == "packed" and len(parts) > 1)
        for layer in self.layers:
            order = self._order(layer, straight, _TOGGLED if bits else _PREVIOUS)
            params[layer.channel] = [order, scales[layer.channel]]
        found = {"name": name, "type": dtype.str[1:], "codec": codec, "params": params}
        return found | ({"parts": parts} if parts else {})

    def _order(self, layer: Layer, straight: bool, previous: int) -> int:
        """The predictor of one field on one layer."""
        choice, period = layer.compression_of(self.component), self.periods[layer.channel]
        if choice in ("none", "quantised") or (choice == "auto" and period >= MAX_HISTORY):
            return _ABSOLUTE
        line = choice == "linear" or (choice == "auto" and 2 * period < MAX_HISTORY and period <= self.longest_line)
        return _LINEAR if line and straight else previous

    def _check_choices(self, coded: Sequence[dict[str, Any]]) -> None:
        """Refuse a compression that these fields, or the layer's period, can't have."""
        for layer in self.layers:
            choice, period = layer.compression_of(self.component), self.periods[layer.channel]
            where = f"on channel {layer.channel}"
            if choice in ("quantised", "linear"):
                for field in coded:
                    if field["codec"] == "bits":
                        raise self._error(field["name"], f"needs a precision for compression {choice!r} {where}")
                if not any(field["codec"] in _ROUNDED for field in coded):
                    raise self._error(
                        "", f"has whole numbers only: compression {choice!r} {where} is for floats with a precision"
                    )
            reach = {"delta": period, "linear": 2 * period}.get(choice, 0)
            if reach >= MAX_HISTORY:
                raise self._error(
                    "", f"can't have compression {choice!r} {where}: it looks back {reach} ticks, and {MAX_HISTORY} "
                    "are kept; raise the frequency, or leave it to 'auto'"
                )  # fmt: skip


def bounds(f: Field) -> tuple[int, int] | None:
    """The lowest and the highest value of a boolean, an enum or flags, or an integer with a declared range."""
    if f.dtype.kind == "b":
        return 0, 1
    if f.dtype.kind not in "iu":
        return None
    info = np.iinfo(f.dtype)
    numbers = list(f.members.values())
    if f.enum is not None:
        whole = int(np.bitwise_or.reduce(numbers)) if issubclass(f.enum, enum.Flag) else max(numbers)
        return min(0 if issubclass(f.enum, enum.Flag) else whole, *numbers), whole
    if f.low is None and f.high is None:
        return None
    low = info.min if f.low is None else max(int(info.min), math.ceil(f.low))
    high = info.max if f.high is None else min(int(info.max), math.floor(f.high))
    return int(low), int(high)


def part_width(f: Field) -> int:
    """The bits that a field's values take; more than 64 where it has no bounds."""
    low, high = bounds(f) or (0, 1 << 64)
    return max(1, (high - low).bit_length())
