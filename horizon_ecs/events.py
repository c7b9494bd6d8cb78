"""Columnar event queues: what clients sent since the last tick, as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import fields_of
from horizon_ecs.errors import ArgumentError, DefinitionError

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap


class EventBatch:
    """One tick's events of one type: `sender` uint64[n], and an array of n for every field, by name.

    In order of arrival. `records` is the same as a structured array.
    """

    def __init__(self, sender: NDArray[np.uint64], records: NDArray[Any]) -> None:
        self.sender = sender
        self.records = records

    def __len__(self) -> int:
        return len(self.sender)

    def __getattr__(self, name: str) -> NDArray[Any]:
        records = self.__dict__.get("records")
        if records is None or name not in records.dtype.names:
            raise AttributeError(f"this event has no field {name!r}")
        column: NDArray[Any] = records[name]
        return column

    def __repr__(self) -> str:
        return f"EventBatch({len(self)} × {', '.join(self.records.dtype.names or ())})"


class EventQueue:
    """Events of one type between two ticks, at most `limit`; what comes beyond is refused."""

    def __init__(self, event: type, limit: int) -> None:
        if not hasattr(event, "__hz_dtype__"):
            raise DefinitionError(f"expected a class decorated with @event, got {event!r}")
        self.event = event
        self.dtype: np.dtype[Any] = event.__hz_dtype__
        self.limit = limit
        self._senders: list[NDArray[np.uint64]] = []
        self._records: list[NDArray[Any]] = []
        self._waiting = 0
        self.batch = EventBatch(np.zeros(0, np.uint64), np.zeros(0, self.dtype))

    def push(self, sender: Any, records: Any) -> int:
        """Queue records; return how many fitted."""
        rows = np.atleast_1d(np.asarray(records))
        if rows.dtype != self.dtype:
            names = [f.name for f in fields_of(self.event)]
            raise ArgumentError(
                f"records of {self.event.__name__} must be a structured array of {names}, not {rows.dtype}"
            )
        accepted = min(len(rows), self.limit - self._waiting)
        if accepted:
            self._senders.append(np.broadcast_to(np.asarray(sender, np.uint64), len(rows))[:accepted].copy())
            self._records.append(rows[:accepted].copy())
            self._waiting += accepted
        return accepted

    def follow(self, moved: SlotMap) -> None:
        """Let senders be those that entities have become by being moved."""
        self._senders = [moved.translate(senders) for senders in self._senders]
        self.batch = EventBatch(moved.translate(self.batch.sender), self.batch.records)

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
        self.batch = EventBatch(batch.sender.copy(), batch.records.copy())

    def turn(self, alive: Callable[[NDArray[np.uint64]], NDArray[np.bool_]]) -> None:
        """Make what waits the batch of the tick that begins, without those whose sender no longer lives."""
        if self._waiting:
            senders, records = np.concatenate(self._senders), np.concatenate(self._records)
            there = (senders == 0) | alive(senders)
            self.batch = EventBatch(senders[there], records[there])
            self._senders, self._records, self._waiting = [], [], 0
        elif len(self.batch):
            self.batch = EventBatch(np.zeros(0, np.uint64), np.zeros(0, self.dtype))
