"""The oracle: what a client should know, by brute force from the raw world and docs/wire.md alone.

It shares no code with what it judges. Every distance is computed, every value quantised anew, whole arrays at a time,
and a client's table (`horizon_ecs.replica`) is held against the result bit for bit. It can't know whom an observer with
a full list (`max_followed`) turns away, since that depends on the order in which they were found: those count as
missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.errors import ArgumentError
from horizon_ecs.rules import NO_CHANNEL, KindRules, Rules
from horizon_ecs.verdict import Expected, Verdict, judge

if TYPE_CHECKING:
    from horizon_ecs.record import Record
    from horizon_ecs.replica import Replica

_LIVE = 1
_DEAD = 0xFFFFFFFF
_MAX_SILENT_TICKS = 255  # a frame's tick is one byte on from the last


@dataclass
class _Observer:
    """One observer's interest, by slot; a mask of 0 where it doesn't follow."""

    phase: int
    rate: int = 0
    position: NDArray[np.float32] = field(default_factory=lambda: np.zeros(3, np.float32))
    placed: bool = False
    reset_tick: int = -1
    sent_tick: int = -1
    evaluated_tick: int = -1
    mask: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    stale: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    kind: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    generation: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    born: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))

    def handles(self, slots: NDArray[np.intp]) -> NDArray[np.uint64]:
        """uint64[n]: of those who are followed at these slots."""
        return self.generation[slots].astype(np.uint64) << np.uint64(32) | slots.astype(np.uint64)

    def rows_followed(self, slots: NDArray[np.intp], handles: NDArray[np.uint64]) -> NDArray[np.intp]:
        """intp[n]: the indices of those who are followed; of one that is there twice, the first."""
        known = np.flatnonzero(slots < len(self.mask))
        inside = slots[known]
        first = np.zeros(len(self.mask), np.intp)
        first[inside[::-1]] = known[::-1]
        right = (self.mask[inside] != 0) & (self.handles(inside) == handles[known]) & (first[inside] == known)
        followed: NDArray[np.intp] = known[right]
        return followed

    def make_room(self, n: int) -> None:
        """Have at least `n` rows."""
        if n > len(self.mask):
            for name in ("mask", "stale", "kind", "generation", "born"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros(n - len(old), old.dtype)]))


class Oracle:
    """Follows a world's records and tells what each observer's client should know.

    Parameters
    ----------
    schema : mapping
        As the server's welcome has it (docs/wire.md).
    hysteresis : float
        The replicator's.

    Raises
    ------
    ArgumentError
        The schema isn't one.
    """

    def __init__(self, schema: Mapping[str, Any], *, hysteresis: float) -> None:
        self._rules = Rules(schema, hysteresis)
        self._observers: dict[int, _Observer] = {}
        self._q: dict[int, list[NDArray[np.int32]]] = {}  # by tick, the newest last
        self.tick = -1

    # -- observers -----------------------------------------------------------------------------------------------------

    def add_observer(self, key: int, *, phase: int) -> None:
        """Begin to judge an observer; before the record in which it gets its first reset frame.

        Parameters
        ----------
        key : int
            As in the records; `phase` as in the welcome.
        """
        if key in self._observers:
            raise ArgumentError(f"the oracle has an observer {key!r} already")
        self._observers[key] = _Observer(int(phase))

    def remove_observer(self, key: int) -> None:
        """Forget an observer."""
        self._known(key)
        del self._observers[key]

    def __contains__(self, key: int) -> bool:
        return key in self._observers

    def _known(self, key: int) -> _Observer:
        if key not in self._observers:
            raise ArgumentError(f"the oracle has no observer {key!r}")
        return self._observers[key]

    def sent_tick(self, key: int) -> int:
        """The tick of the last frame that the observer was sent, -1 before the first: where its client must stand."""
        return self._known(key).sent_tick

    # -- time ----------------------------------------------------------------------------------------------------------

    def advance(self, record: Record) -> list[int]:
        """Take in the next tick.

        Returns
        -------
        list of int : the keys of those who were sent a frame in it, as far as they are judged.

        Raises
        ------
        ArgumentError
            The record isn't of the next tick.
        """
        if self.tick >= 0 and record.tick != self.tick + 1:
            raise ArgumentError(
                f"records must follow each other: the last was of tick {self.tick}, this is of {record.tick}"
            )
        before = self._q.get(self.tick, [np.zeros(0, np.int32)] * len(self._rules.tracks))
        self.tick = record.tick
        self._q[record.tick] = [
            track.quantise([record.columns[name] for name in track.columns], previous, record.born >= record.tick)
            for track, previous in zip(self._rules.tracks, before, strict=True)
        ]
        present = _Present(record, len(self._rules.kinds))
        sent = [
            int(row["key"])
            for row in record.observers
            if row["key"] in self._observers and self._follow(record, row, present)
        ]
        self._forget()
        return sent

    def _follow(self, record: Record, row: Any, present: _Present) -> bool:
        """Move one observer, and evaluate its interest if the server did; whether it was sent a frame."""
        observer = self._observers[int(row["key"])]
        self._move(observer, record, row)
        reset, sent = bool(row["reset"]), bool(row["sent"])
        if reset:
            observer.reset_tick = record.tick
        if row["rate"] != observer.rate:
            observer.rate = int(row["rate"])
            observer.stale[:] = 0xFF
        due = [
            kind.channels if reset else kind.due(record.tick, observer.phase, observer.rate)
            for kind in self._rules.kinds
        ]
        # One who has heard nothing for long is served without anything due, which shows only in the frame.
        if observer.reset_tick >= 0 and row["status"] == _LIVE and (any(due) or sent):
            self._evaluate(observer, record, due, reset, present, np.float32(row["reach"]))
        if sent:
            observer.sent_tick = record.tick
        return sent

    def _move(self, observer: _Observer, record: Record, row: Any) -> None:
        """The observer stands at its entity; where that is gone or nowhere, it stays."""
        entity = int(row["entity"])
        slot, generation = entity & 0xFFFFFFFF, entity >> 32
        there = (
            entity and slot < len(record.born) and record.born[slot] != _DEAD and record.generation[slot] == generation
        )
        where = np.zeros(3, np.float32)
        if there:
            where[: len(record.position)] = [record.columns[name][slot] for name in record.position]
        if there and np.isfinite((where[0] + where[1]) + where[2]):
            observer.position = where
        elif not entity or not observer.placed:
            observer.position = row["position"].copy()
        observer.placed = True

    def _evaluate(
        self, observer: _Observer, record: Record, due: list[int], reset: bool, present: _Present, reach: np.float32
    ) -> None:
        """Interest anew on the due channels, and which groups the client then has."""
        n = len(record.born)
        observer.make_room(n)
        observer.mask[n:] = 0  # beyond the used pages nothing lives
        if observer.evaluated_tick >= 0:
            observer.mask[:n][record.born > observer.evaluated_tick] = 0  # the dead too: theirs is the highest number
        self._switch(observer, record, present, reach)
        if reset:
            observer.stale[:] = 0xFF
        for number, kind in enumerate(self._rules.kinds):
            if not due[number]:
                continue
            slots, rows = present.slots[number], present.rows[number]
            before = observer.mask[rows].copy()
            after = kind.interest(before, due[number], present.distance_sq(number, observer.position), reach)
            changed = np.flatnonzero(before != after)
            old, new, where = before[changed], after[changed], slots[changed]
            observer.mask[where] = new
            observer.stale[where] = np.where(old == 0, 0xFF, observer.stale[where] | kind.groups_moved(old, new))
            observer.stale[rows] &= ~kind.groups_due(due[number])[after]
            entered = where[old == 0]
            observer.kind[entered] = number
            observer.generation[entered], observer.born[entered] = record.generation[entered], record.born[entered]
        observer.evaluated_tick = record.tick

    def _switch(self, observer: _Observer, record: Record, present: _Present, reach: np.float32) -> None:
        """Those who are followed and have another profile now: all its channels anew, and everything is stale."""
        n = len(record.born)
        switched = np.flatnonzero((observer.mask[:n] != 0) & (observer.kind[:n] != record.kind))
        for number in np.unique(record.kind[switched]).tolist():
            slots, kind = present.slots[number], self._rules.kinds[number]
            mine = np.flatnonzero(np.isin(slots, switched))
            distance_sq = present.distance_sq(number, observer.position)[mine]
            where = slots[mine]
            observer.mask[where] = kind.interest(
                observer.mask[where] & np.uint8(kind.channels), kind.channels, distance_sq, reach
            )
            observer.kind[where], observer.stale[where] = number, 0xFF

    def _forget(self) -> None:
        """Drop quantised ticks that no client can be compared with any more."""
        oldest = min([self.tick, *(o.sent_tick for o in self._observers.values() if o.sent_tick >= 0)])
        oldest = max(oldest, self.tick - _MAX_SILENT_TICKS) - self._rules.longest_period
        for tick in [t for t in self._q if t < oldest]:
            del self._q[tick]

    # -- judgement -----------------------------------------------------------------------------------------------------

    def expected(self, key: int) -> Expected:
        """What the observer's client should know, all frames so far being applied; sorted by handle."""
        o = self._known(key)
        slots = np.flatnonzero(o.mask)
        return self._at(o, slots[np.argsort(o.handles(slots))])

    def _at(self, o: _Observer, slots: NDArray[np.intp]) -> Expected:
        """What the client should know of the entities at some slots, in their order."""
        kind, mask, stale = o.kind[slots].astype(np.uint8), o.mask[slots], o.stale[slots]
        q = np.zeros((self._rules.n_groups, 4, len(slots)), np.int32)  # by field: NumPy is quickest along long axes
        known = np.zeros((len(slots), self._rules.n_groups), np.bool_)
        bits = np.full(q.shape, 0xFFFFFFFF, np.uint32)
        for number, rules in enumerate(self._rules.kinds):
            of_kind = np.flatnonzero(kind == number)
            for j in np.flatnonzero(rules.n_fields).tolist() if len(of_kind) else ():
                carrier = np.where(stale[of_kind] & (1 << j), np.uint8(NO_CHANNEL), rules.carrier[j][mask[of_kind]])
                for c in np.flatnonzero(rules.track[:, j, 0] >= 0).tolist():
                    rows = of_kind[carrier == c]
                    bits[j][:, rows] = rules.bits[c, j][:, None]
                    for tick, some in self._baselines(o, rules, c, j, slots, rows):
                        known[some, j] = self._look_up(tick, slots[some], rules.track[c, j], q[j], some)
        return Expected(
            o.sent_tick, o.handles(slots), kind, mask, stale, np.moveaxis(q, 2, 0), known, self._rules.n_fields,
            np.moveaxis(bits, 2, 0)
        )  # fmt: skip

    @staticmethod
    def _baselines(
        o: _Observer, rules: KindRules, c: int, j: int, slots: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> list[tuple[int, NDArray[np.intp]]]:
        """The ticks whose state the client has of a group that channel `c` carries, each with its rows."""
        due = o.sent_tick - (o.sent_tick + o.phase) % int(rules.periods[o.rate, c])
        if due >= o.reset_tick:
            return [(due, rows)]
        if rules.unpredicted[c, j]:
            return [(o.reset_tick, rows)]
        # A reset frame speaks of the last due tick, but not of one before the entity's birth.
        ticks = np.maximum(o.born[slots[rows]].astype(np.int64), due)
        return [(int(tick), rows[ticks == tick]) for tick in np.unique(ticks)]

    def _look_up(
        self,
        tick: int,
        slots: NDArray[np.intp],
        tracks: NDArray[np.int64],
        out: NDArray[np.int32],
        rows: NDArray[np.intp],
    ) -> bool:
        """Write what the fields of a group were at `tick`; False where the oracle wasn't there."""
        if tick not in self._q:
            return False
        for f, track in enumerate(tracks):
            if track >= 0:
                out[f, rows] = self._q[tick][track][slots]
        return True

    def compare(self, key: int, replica: Replica) -> Verdict:
        """Hold a client's table against what it should be.

        Parameters
        ----------
        key : int
        replica : Replica
            Having applied every frame up to the last that the records know of.

        Raises
        ------
        ArgumentError
            It stands at another tick.
        """
        o = self._known(key)
        if replica.tick != o.sent_tick:
            raise ArgumentError(
                f"observer {key!r}: its client stands at tick {replica.tick}, "
                f"and the last frame it was sent is of tick {o.sent_tick}"
            )
        slots = (replica.handle & np.uint64(0xFFFFFFFF)).astype(np.intp)
        rows = o.rows_followed(slots, replica.handle)
        unseen = o.mask != 0
        unseen[slots[rows]] = False
        missing = o.handles(np.flatnonzero(unseen))
        return judge(self._at(o, slots[rows]), replica, rows, missing, f"tick {replica.tick}, observer {key}")


class _Present:
    """What lives in a record, by kind; shared by all observers of a tick."""

    def __init__(self, record: Record, n_kinds: int) -> None:
        axes = [record.columns[name] for name in record.position]
        # Who was born after this tick isn't there yet.
        there = record.born <= record.tick
        self.slots = [np.flatnonzero((record.kind == number) & there) for number in range(n_kinds)]
        self.rows = [_as_slice(slots) for slots in self.slots]
        with np.errstate(divide="ignore"):
            inverse = np.float32(1.0) / record.scale
        self.inverse_sq = [(inverse * inverse)[rows] for rows in self.rows]
        self.axes = [[_placed(axes, axis[rows], rows) for axis in axes] for rows in self.rows]

    def distance_sq(self, kind: int, position: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[n]: from a point to each entity of a kind, as its radii have it; NaN where it stands nowhere."""
        with np.errstate(over="ignore", invalid="ignore"):
            squares = [(axis - position[a]) ** 2 for a, axis in enumerate(self.axes[kind])]
            plane = squares[0] + squares[1]
            # The third axis is 0 where a position has two, and a free observer may still stand above them.
            above = squares[2] if len(squares) > 2 else position[2] * position[2]
            total: NDArray[np.float32] = (plane + above) * self.inverse_sq[kind]
            return total


def _placed(
    axes: list[NDArray[np.float32]], values: NDArray[np.float32], slots: NDArray[np.intp]
) -> NDArray[np.float32]:
    """One axis of a kind, NaN where the position isn't finite: nothing is near that."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = axes[0][slots] + axes[1][slots]
        total = total + axes[2][slots] if len(axes) > 2 else total
    return np.where(np.isfinite(total), values, np.float32(np.nan))


def _as_slice(slots: NDArray[np.intp]) -> Any:
    """The slots, as a slice where they are neighbours: NumPy is much quicker with that."""
    together = len(slots) and slots[-1] - slots[0] == len(slots) - 1
    return slice(int(slots[0]), int(slots[-1]) + 1) if together else slots
