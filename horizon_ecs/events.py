"""Columnar event queues: what clients sent since the last tick, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import fields_of
from horizon_ecs.enums import understood
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.fields import Field, flatten
from horizon_ecs.handles import as_handles
from horizon_ecs.values import as_columns

E = TypeVar("E")

# In a waiting sender: the event outlives it. Handles leave this bit free.
_EMITTED = np.uint64(1 << 63)

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap


class EventBatch:
    """One tick's events of one type: `sender` uint64[n], and an array of n for every field, by name.

    In order of arrival. `records` is the same as a structured array. A columns system takes the tick's own as
    `hz.Events[Explosion]`.
    """

    def __init__(self, sender: NDArray[np.uint64], records: NDArray[Any], fields: Sequence[Field] = ()) -> None:
        self.sender = sender
        self.records = records
        self._fields = {f.name: f for f in fields}

    def __len__(self) -> int:
        return len(self.sender)

    def __getattr__(self, name: str) -> NDArray[Any]:
        records = self.__dict__.get("records")
        if records is None or name not in records.dtype.names:
            raise AttributeError(f"this event has no field {name!r}")
        column: NDArray[Any] = records[name]
        return understood(column, self._fields[name]) if name in self._fields else column

    def where(self, chosen: NDArray[np.bool_]) -> EventBatch:
        """Those of its events where bool[n] is true, in their order."""
        return EventBatch(self.sender[chosen], self.records[chosen], tuple(self._fields.values()))

    def __repr__(self) -> str:
        return f"EventBatch({len(self)} × {', '.join(self.records.dtype.names or ())})"


class Events(EventBatch, Generic[E]):
    """This tick's events of a type, as a parameter `hits: hz.Events[Explosion]` of a columns system."""


class Emit(Generic[E]):
    """What a system adds events with: a parameter `out: hz.Emit[Explosion]`.

    `out.emit(Explosion(x=pos.x, power=3.0))` queues an event at the end of the phase; readers see it in the next tick,
    with the entity as its `sender` (0 where it has gone by then), in the order of the entities that emitted. Beyond the
    world's `max_events` the last ones are dropped, and counted in `world.dropped_events(Explosion)`. In a columns
    system the fields may be arrays of one length, and `sender` says who they are from.

    In a plain call, as in a test, the events are collected in `recorded`.
    """

    def __init__(self) -> None:
        self.recorded: list[E] = []
        self._senders: list[Any] = []

    def emit(self, event: E, sender: Any = 0) -> None:
        """Queue an event, or as many as its fields' arrays have numbers.

        Parameters
        ----------
        event : instance of a class decorated with @event
        sender : uint64 or uint64[n]
            In columns systems; in a per-entity one it is the entity, and not given.
        """
        if not hasattr(type(event), "__hz_dtype__"):
            raise ArgumentError(f"emit() takes an instance of a class decorated with @event, not {event!r}")
        self.recorded.append(event)
        self._senders.append(sender)

    def records(self) -> list[tuple[Any, NDArray[Any]]]:
        """Sender and records of each call."""
        out = []
        for event, sender in zip(self.recorded, self._senders, strict=True):
            values = flatten(event, fields_of(type(event)))
            length = np.broadcast_shapes(*(np.shape(v) for v in (*values.values(), sender)))
            made = np.zeros(length or 1, type(event).__hz_dtype__)  # type: ignore[attr-defined]
            for name, value in values.items():
                made[name] = value
            out.append((sender, made))
        return out

    def clear(self) -> None:
        """Forget what was emitted."""
        self.recorded.clear()
        self._senders.clear()


def as_records(event: type, given: Any) -> NDArray[Any]:
    """Events as a structured array[n]: of an array of that dtype, which is taken as it is; of an instance or a sequence
    of them; of a mapping from field to scalar or array[n].

    Raises
    ------
    ArgumentError
    """
    dtype: np.dtype[Any] = event.__hz_dtype__  # type: ignore[attr-defined]
    if isinstance(given, np.ndarray | np.void) and given.dtype == dtype:
        return np.atleast_1d(given)
    listed = [given] if isinstance(given, event) else given
    if isinstance(listed, list | tuple) and all(isinstance(one, event) for one in listed):
        n = len(listed)
    elif isinstance(given, Mapping):
        n = max((len(value) for value in given.values() if np.ndim(value)), default=1)
    else:
        raise ArgumentError(
            f"events are given as {event.__name__}(...), a sequence of such, a mapping from field to array, or a "
            f"structured array of {dtype}; not as {given!r}"
        )
    out = np.zeros(n, dtype)
    for f in fields_of(event):
        out[f.name] = f.default
    for name, column in (as_columns(event, listed, n) if n else {}).items():
        out[name] = column
    return out


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """One behind the other; without a copy where there is only one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class EventQueue:
    """Events of one type between two ticks, at most `limit`; what comes beyond is refused, and counted in `dropped`."""

    def __init__(self, event: type, limit: int) -> None:
        if not hasattr(event, "__hz_dtype__"):
            raise DefinitionError(f"expected a class decorated with @event, got {event!r}")
        self.event = event
        self.dtype: np.dtype[Any] = event.__hz_dtype__
        self.limit = limit
        self._senders: list[NDArray[np.uint64]] = []
        self._records: list[NDArray[Any]] = []
        self._waiting = 0
        self.dropped = 0
        self.fields = fields_of(event)
        self.batch = self._batch(np.zeros(0, np.uint64), np.zeros(0, self.dtype))

    def _batch(self, sender: NDArray[np.uint64], records: NDArray[Any]) -> EventBatch:
        return EventBatch(sender, records, self.fields)

    def push(self, sender: Any, records: Any, emitted: bool = False) -> int:
        """Queue records; return how many fitted. What a system emitted outlives its sender, which is 0 then."""
        rows, senders = as_records(self.event, records), as_handles(sender)
        if len(senders) not in (1, len(rows)):
            raise ArgumentError(f"sender must be one handle, or one for each of {len(rows)} events, not {len(senders)}")
        accepted = max(0, min(len(rows), self.limit - self._waiting))
        if accepted:
            senders = np.broadcast_to(senders, len(rows))[:accepted]
            self._senders.append(senders | (_EMITTED if emitted else np.uint64(0)))
            self._records.append(rows[:accepted].copy())
            self._waiting += accepted
        self.dropped += len(rows) - accepted
        return accepted

    def follow(self, moved: SlotMap) -> None:
        """Let senders, and who is named in fields, be those that entities have become by being moved."""
        self._senders = [moved.translate(s & ~_EMITTED) | (s & _EMITTED) for s in self._senders]
        self.batch = self._batch(moved.translate(self.batch.sender), self.batch.records)
        for f in (f for f in self.fields if f.is_entity):
            for records in [*self._records, self.batch.records]:
                records[f.name] = moved.translate(records[f.name])

    @property
    def emitted(self) -> tuple[NDArray[np.uint64], NDArray[Any]]:
        """Senders and records of what systems emitted since the last turn, a copy."""
        waiting = self.waiting
        chosen = waiting.sender & _EMITTED != 0
        return waiting.sender[chosen] & ~_EMITTED, waiting.records[chosen]

    @property
    def waiting(self) -> EventBatch:
        """What waits for the next tick, a copy."""
        if not self._waiting:
            return EventBatch(np.zeros(0, np.uint64), np.zeros(0, self.dtype))
        return EventBatch(np.concatenate(self._senders), np.concatenate(self._records))

    def restore(self, waiting: EventBatch, batch: EventBatch) -> None:
        """Take copies of what waits and of the current tick's batch, in place of what is there."""
        self._senders = [waiting.sender.copy()] if len(waiting) else []
        self._records = [waiting.records.copy()] if len(waiting) else []
        self._waiting = len(waiting)
        self.batch = self._batch(batch.sender.copy(), batch.records.copy())

    def turn(self, alive: Callable[[NDArray[np.uint64]], NDArray[np.bool_]]) -> None:
        """Make what waits the batch of the tick that begins, without what was sent by those that no longer live;
        whoever is named in it and no longer lives is 0."""
        if self._waiting:
            senders, records = _joined(self._senders), _joined(self._records)
            emitted, senders = senders & _EMITTED != 0, senders & ~_EMITTED
            there = (senders == 0) | alive(senders)
            if not there.all():  # most often all are, and a copy of a million records takes as long as the rest
                senders[emitted & ~there] = 0
                there |= emitted
                senders, records = senders[there], records[there]
            self.batch = self._batch(senders, records)
            for f in (f for f in self.fields if f.is_entity):
                self.batch.records[f.name] *= alive(self.batch.records[f.name])
            self._senders, self._records, self._waiting = [], [], 0
        elif len(self.batch):
            self.batch = self._batch(np.zeros(0, np.uint64), np.zeros(0, self.dtype))
