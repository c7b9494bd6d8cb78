"""Intake: events of clients between the sockets and the tick, which takes all of one kind as one array and looks at
them at once: whether numbers are finite, in the range of their fields, and members of their enums.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import fields_of
from horizon_ecs.fields import Field
from horizon_ecs.net.players import Seat
from horizon_ecs.validation import breaks_rules, is_no_member


@dataclass(frozen=True)
class Batch:
    """Events of one class, as they came.

    Attributes
    ----------
    event : event class
    seats : list of Seat
        Who sent each message.
    counts : int64[n messages]
        How many records each has.
    records : structured array
    refused : list of (Seat, str)
        Who sent what can't be, and what is wrong with it; none of their messages is in the batch.
    """

    event: Any
    seats: list[Seat]
    counts: NDArray[np.int64]
    records: NDArray[Any]
    refused: list[tuple[Seat, str]]


class Intake:
    """Messages that wait, by event; put in on the event loop's thread, taken out on another.

    Parameters
    ----------
    events : mapping of int to event class
        By their number on the wire.
    """

    def __init__(self, events: Mapping[int, Any]) -> None:
        self._events = events
        self._checks = {number: Check(event) for number, event in events.items()}
        self._waiting: dict[int, deque[tuple[Seat, bytes]]] = {number: deque() for number in events}

    def put(self, event: int, seat: Seat, payload: bytes) -> None:
        """Records of an event came: whole ones."""
        self._waiting[event].append((seat, payload))

    def take(self) -> Iterator[Batch]:
        """What has come until now, by event."""
        for number, waiting in self._waiting.items():
            n = len(waiting)  # what comes meanwhile is the next one's
            if n:
                yield self._batch(number, [waiting.popleft() for _ in range(n)])

    def _batch(self, number: int, messages: list[tuple[Seat, bytes]]) -> Batch:
        event = self._events[number]
        size = event.__hz_dtype__.itemsize
        counts = np.fromiter((len(payload) // size for _, payload in messages), np.int64, len(messages))
        records = np.frombuffer(b"".join(payload for _, payload in messages), event.__hz_dtype__)
        wrong = self._checks[number].strange(records)
        if wrong is None:
            return Batch(event, [seat for seat, _ in messages], counts, records, [])
        of_message = np.repeat(np.arange(len(messages)), counts)
        first: dict[Seat, int] = {}
        for row in np.flatnonzero(wrong).tolist():
            first.setdefault(messages[of_message[row]][0], row)
        refused = [(seat, self._checks[number].explain(records[row : row + 1])) for seat, row in first.items()]
        keeps = np.array([seat not in first for seat, _ in messages])
        kept = [seat for seat, _ in messages if seat not in first]
        return Batch(event, kept, counts[keeps], records[keeps[of_message]], refused)


class Check:
    """What the fields of an event may hold."""

    def __init__(self, event: Any) -> None:
        self._event = event
        self._fields = [f for f in fields_of(event) if _says_something(f)]

    def strange(self, records: NDArray[Any]) -> NDArray[np.bool_] | None:
        """bool[n]: which records hold what they may not; None where none does."""
        found: NDArray[np.bool_] | None = None
        for f in self._fields:
            one = _strange(f, records[f.name])
            if one.any():
                found = one if found is None else found | one
        return found

    def explain(self, record: NDArray[Any]) -> str:
        """What is wrong with a record, an array of one."""
        name = self._event.__hz_event__
        for f in self._fields:
            value = record[f.name]  # a copy of a byte that is neither true nor false would be either
            if _strange(f, value).any():
                shown = value[0].item()
                if f.dtype.kind in "fcmM" and not np.isfinite(value).all():
                    return f"{name}.{f.name} is not finite"
                if f.dtype.kind == "b":
                    return f"{name}.{f.name} is neither true nor false"
                if f.enum is not None and is_no_member(f.enum, value).any():
                    return f"{name}.{f.name} is no {f.enum.__name__}: {shown}"
                return f"{name}.{f.name} must lie between {_end(f.low)} and {_end(f.high)}, not {shown}"
        return f"{name} is not as declared"


def _end(bound: Any) -> str:
    return "anything" if bound is None else f"{bound}"


def _says_something(of: Field) -> bool:
    """Whether some value of a field's type may not be in it."""
    return of.dtype.kind in "fcmMb" or of.low is not None or of.high is not None or of.enum is not None


def _strange(of: Field, values: NDArray[Any]) -> NDArray[np.bool_]:
    """bool[n]: which values a field may not have, as far as that doesn't depend on a world."""
    if of.dtype.kind == "b":
        return values.view(np.uint8) > 1  # bytes of a client may be neither
    return breaks_rules(of, values)
