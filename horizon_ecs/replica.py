"""The Replica: what a client knows, kept by applying state frames. Bytes in, table out; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import kernel
from horizon_ecs.components import nearest
from horizon_ecs.decoded import places_of, value_of
from horizon_ecs.errors import ArgumentError, WireError
from horizon_ecs.messages import compile_messages
from horizon_ecs.received import HasReceived, Received
from horizon_ecs.schema import MAX_GROUP_FIELDS, NO_CHANNEL, compile_tables
from horizon_ecs.systems import decode
from horizon_ecs.systems.frames import FLAG_STRUCTURE

_TICK, _ROWS, _ENTERED, _LEFT, _UPDATES, _RESET, _MESSAGES = range(7)
_MAX_SILENT_STEPS = 255
LINEAR = 2  # an order of the wire's predictors

_REASONS = {
    1: "it ends early",
    2: "a number is longer than any may be",
    3: "a length exceeds 32 bits",
    4: "a residual exceeds 32 bits",
    decode.BAD_FLAGS: "unknown or contradictory flags",
    decode.BAD_INDEX: "an index is out of range or not ascending",
    decode.BAD_MASK: "a mask is empty or names channels that the kind lacks",
    decode.TOO_MANY: "more entities than the limit, or more changes than entities",
    decode.LEFT_OVER: "something is left over at its end",
    decode.BAD_KIND: "an entering entity has no such kind or slot",
    decode.BAD_TICK: "its tick doesn't follow the last frame's",
}


class Replica(HasReceived):
    """A client's table: a row for every entity it follows, in the order of docs/wire.md's list.

    Parameters
    ----------
    schema : mapping
        As the server's welcome has it.
    phase : int
        This observer's phase, from the welcome.

    Attributes
    ----------
    n_frames, n_bytes, n_updates, n_enters, n_leaves : int
        Counted over all frames applied. An update is an entity due in a frame whose quantised value changed, whether by
        bits or by prediction.

    Raises
    ------
    WireError
        The schema isn't what docs/wire.md says.
    """

    def __init__(self, schema: Mapping[str, Any], *, phase: int) -> None:
        self._tables = compile_tables(schema)
        self._received = Received(compile_messages(schema), int(schema["n_slots"]))
        self._schema = schema
        self._places = places_of(schema)
        self._phase = int(phase)
        rows = int(schema["max_followed"])
        n_groups = self._tables.first_parameter.shape[2]
        # np.zeros leaves large arrays untouched until used, so that a short list costs little memory.
        self._identity = np.zeros(rows, np.uint64)
        self._state = np.zeros((rows, decode.UNIT + n_groups), np.uint8)
        self._q = np.zeros((rows, n_groups, MAX_GROUP_FIELDS), np.int32)
        self._d = np.zeros_like(self._q)
        self._rice = np.zeros(self._tables.n_parameters, np.uint8)
        self._head = np.array([-1, 0, 0, 0, 0, 0, 0, 0], np.int64)
        self._rows = np.zeros(rows, np.int32)
        self._reference = np.zeros((len(self._tables.period), MAX_GROUP_FIELDS), np.int32)
        self._reader = np.zeros(3, np.int64)
        self._moved, self._waits = np.zeros(rows, np.uint8), np.zeros(rows, np.uint8)
        self._left = np.zeros(rows, np.uint64)
        self._followed_before: NDArray[np.uint64] | None = self._identity[:0]
        self.n_frames = self.n_bytes = self.n_updates = self.n_enters = self.n_leaves = 0
        kernel.warm_up("decode")

    def __repr__(self) -> str:
        return f"Replica({self.n} entities followed, tick {self.tick})"

    def apply(self, frame: bytes | bytearray | memoryview) -> None:
        """Apply one state frame.

        Raises
        ------
        WireError
            The frame is malformed; until the next reset frame the table means nothing and every other frame is refused.
        """
        data = np.frombuffer(frame, np.uint8)
        if len(data) == 0:
            raise WireError("the state frame is empty")
        t = self._tables
        self._followed_before = self.handle.copy() if data[0] & FLAG_STRUCTURE else None
        error = decode.apply_frame(
            data, self._head, self._phase, self._identity, self._state, self._q, self._d, self._rice, t.bits,
            int(self._schema["n_slots"]), len(self._identity), int(self._schema["n_channels"]), t.kind_channels,
            t.carrier, t.n_groups, t.n_fields, t.periods, t.order, t.first_parameter, t.profiles, _MAX_SILENT_STEPS,
            self._rows, self._reference, self._reader, self._moved, self._waits, self._left
        )  # fmt: skip
        if error:
            # There is nothing left to build on: whatever follows but a reset frame is refused as well.
            self._head[_TICK] = -1
            raise WireError(f"malformed state frame of {len(data)} bytes: {_REASONS.get(int(error), error)}")
        try:
            self._received.take(data, int(self._head[_MESSAGES]), self.handle, self.left, self.was_reset)
        except WireError:
            self._head[_TICK] = -1
            raise
        self.n_frames += 1
        self.n_bytes += len(data)
        self.n_updates += int(self._head[_UPDATES])
        self.n_enters += int(self._head[_ENTERED])
        self.n_leaves += int(self._head[_LEFT])

    @property
    def schema(self) -> Mapping[str, Any]:
        """As the welcome had it."""
        return self._schema

    @property
    def phase(self) -> int:
        """This observer's phase: channel c is due at tick t where (t + phase) mod period is 0."""
        return self._phase

    @property
    def rice(self) -> NDArray[np.uint8]:
        """uint8[n_parameters]: the Rice parameters, in the order of docs/wire.md, a view."""
        return self._rice

    @property
    def _rate(self) -> int:
        return int(self._head[decode.RATE])

    @property
    def slowdown(self) -> int:
        """1, 2, 4 or 8: how much more seldom channels are due than their layers say, so far as they can be."""
        return 1 << self._rate

    @property
    def tick(self) -> int:
        """The last frame's tick; -1 before the first, and after a malformed one."""
        return int(self._head[_TICK])

    @property
    def n(self) -> int:
        """How many entities are followed."""
        return int(self._head[_ROWS])

    @property
    def was_reset(self) -> bool:
        """Whether the last frame was a reset frame: then everything in the table has just entered."""
        return bool(self._head[_RESET])

    @property
    def handle(self) -> NDArray[np.uint64]:
        """uint64[n]: the followed entities, a view."""
        return self._identity[: self.n]

    @property
    def kind(self) -> NDArray[np.uint8]:
        """uint8[n]: each entity's kind and profile, an index into the schema's kinds."""
        return self._state[: self.n, decode.KIND]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """uint8[n]: the channels each entity is followed on, as bits."""
        return self._state[: self.n, decode.MASK]

    @property
    def stale(self) -> NDArray[np.uint8]:
        """uint8[n]: the groups that wait for an absolute record, as bits."""
        return self._state[: self.n, decode.STALE]

    @property
    def entered(self) -> NDArray[np.uint64]:
        """uint64: who entered with the last frame, a view."""
        return self._identity[self.n - int(self._head[_ENTERED]) : self.n]

    @property
    def left(self) -> NDArray[np.uint64]:
        """uint64: who left with the last frame, a view. A reset frame names nobody: compare handles."""
        return self._left[: int(self._head[_LEFT])]

    @property
    def previous(self) -> NDArray[np.int64]:
        """int64[n]: each entity's row before the last frame, -1 for those that weren't followed. Unlike `entered`
        and `left` it tells after a reset frame, too, who is new."""
        before = self._followed_before
        if before is None:
            return np.arange(self.n)
        order = np.argsort(before)
        at = np.searchsorted(before, self.handle, sorter=order)
        row = order[np.minimum(at, len(before) - 1)] if len(before) else at
        same = before[row] == self.handle if len(before) else np.zeros(self.n, bool)
        return np.where(same, row, -1)

    def carrier(self, group: int | NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8[n]: the channel that carries a group, by its number or each row's own; `NO_CHANNEL` (255) where none
        does, or where the kind has no such group."""
        rows = np.broadcast_to(group, self.n)
        exists = (rows >= 0) & (rows < self._tables.n_groups[self.kind])
        carrier = self._tables.carrier[self.kind, np.where(exists, rows, 0), self.mask]
        return np.where(exists, carrier, np.uint8(NO_CHANNEL))

    def period(self, group: int | NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[n]: ticks between two due ones of the channel that carries a group, 0 where none does."""
        carrier = self.carrier(group)
        carried = carrier != NO_CHANNEL
        return np.where(carried, self._tables.periods[self._rate, self.kind, np.where(carried, carrier, 0)], 0)

    def is_due(self, group: int | NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool[n]: whether the last frame brought a group up to its own tick, be it by a record or by a prediction
        that came true."""
        period = self.period(group)
        due = self.was_reset | ((self.tick + self._phase) % np.maximum(period, 1) == 0)
        stale = (self.stale >> np.maximum(group, 0).astype(np.uint8)) & 1 == 1
        fresh: NDArray[np.bool_] = (period > 0) & due & ~stale
        return fresh

    @property
    def integers(self) -> NDArray[np.int32]:
        """int32[n, G, 4]: the quantised values of every group, a view; unused fields and groups hold 0."""
        return self._q[: self.n]

    def q(self, group: int = 0) -> NDArray[np.int32]:
        """int32[n, 4]: the quantised values of a group by its number, a view; unused fields and groups hold 0."""
        if not 0 <= group < self._q.shape[1]:
            raise ArgumentError(f"group must lie between 0 and {self._q.shape[1] - 1}, not {group!r}")
        return self._q[: self.n, group]

    def column(self, component: str, name: str) -> NDArray[np.float64]:
        """float64[n]: a field's last value of every followed entity, NaN where its kind lacks it or none has come yet.

        A number of a vector or rotation is asked for by its name, "position.x"; angles lie between -π and π.

        Raises
        ------
        ArgumentError
            No kind replicates this field.
        """
        return self._read(component, name)

    def column_before(self, component: str, name: str) -> NDArray[np.float64]:
        """float64[n]: what `column` was one due tick earlier, as the wire's predictor has it; NaN where that isn't
        linear.

        Raises
        ------
        ArgumentError
            No kind replicates this field.
        """
        return self._read(component, name, before=True)

    def _read(self, component: str, name: str, *, before: bool = False) -> NDArray[np.float64]:
        """A field, as it is or as it was one due tick earlier."""
        out = np.full(self.n, np.nan)
        places = self._places.get((component, name))
        if places is None:
            known = sorted(".".join(key) for key in self._places)
            wanted = f"{component}.{name}"
            raise ArgumentError(f"no kind replicates a field {wanted}{nearest(wanted, known)} (there are {known})")
        unit = self._state[: self.n, decode.UNIT :]
        first = self._tables.profiles[self.kind, 0]
        for place in places:
            k, j = place.kind, place.group
            # What came in another profile counts in that one's steps.
            came_as = first + (unit[:, j] >> decode.PROFILE_SHIFT)
            rows = np.flatnonzero((came_as == k) & (unit[:, j] != NO_CHANNEL))
            if before:
                rows = rows[self._tables.order[k, unit[rows, j] & decode.CHANNEL_MASK, j, place.field] == LINEAR]
            channel = unit[rows, j] & decode.CHANNEL_MASK
            q = self._q[rows, j] - self._d[rows, j] if before else self._q[rows, j]
            out[rows] = value_of(q, place, self._tables.scale[k, channel, j, place.field])
        return out

    def to_dict(self) -> dict[int, dict[str, Any]]:
        """The table as plain data: {handle: {"kind", "mask", "values": {component: {field: value}}}}, and "profile" of
        those whose kinds have several."""
        out: dict[int, dict[str, Any]] = {}
        columns = {key: self.column(*key) for key in self._places}
        for i in range(self.n):
            values: dict[str, dict[str, float]] = {}
            for (component, name), places in self._places.items():
                if any(place.kind == self.kind[i] for place in places):
                    values.setdefault(component, {})[name] = float(columns[component, name][i])
            kind = self._schema["kinds"][self.kind[i]]
            profile = {"profile": kind["profile"]} if "profile" in kind else {}
            out[int(self.handle[i])] = {"kind": kind["name"], **profile, "mask": int(self.mask[i]), "values": values}
        return out
