"""Topics: an event by its name, who is called for it, and how often and how long that was."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from horizon_ecs.async_handlers import SKIPPED
from horizon_ecs.events import EventBatch
from horizon_ecs.handlers import Handler, Stop

_clock = time.perf_counter_ns


@dataclass(frozen=True)
class EventStats:
    """What is counted of an event.

    Attributes
    ----------
    name : str
        Such as "core:server_tick", "client:chat.message", "plugin:combat.hit".
    count : int
        Events that handlers were called for; of a columnar one, rows.
    rate_hz : float
        Events a second, over the last second or somewhat more.
    latency_ms, max_latency_ms : float
        What its handlers took, all together on average, and one of them at most; of a columnar event, for a batch. An
        async handler's time, from the start of a call to its end, counts in the second only.
    errors, stopped, dropped : int
        Handlers that raised; events that one stopped; events that found no room.
    waiting, n_handlers : int
    """

    name: str
    count: int
    rate_hz: float
    latency_ms: float
    max_latency_ms: float
    errors: int
    stopped: int
    dropped: int
    waiting: int
    n_handlers: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return asdict(self)


class Topic:
    """One event.

    Attributes
    ----------
    name : str
    event : class decorated with @event, or None
        Whose records it carries; any object where that is None.
    handlers : tuple of Handler
        By priority, the highest first, and where they are equal by age; never changed in place.
    """

    __slots__ = (
        "_counted", "_gone_max_ns", "_gone_ns", "_n_batches", "count", "dropped", "errors", "event", "handlers", "name",
        "rate_hz", "stopped", "waiting",
    )  # fmt: skip

    def __init__(self, name: str, event: type | None = None) -> None:
        self.name, self.event = name, event
        self.handlers: tuple[Handler, ...] = ()
        self.count = self.errors = self.stopped = self.dropped = self.waiting = 0
        self._counted = self._n_batches = self._gone_ns = self._gone_max_ns = 0
        self.rate_hz = 0.0

    def add(self, handler: Handler) -> None:
        """Call it too, from the next event on."""
        self.handlers = tuple(sorted((*self.handlers, handler), key=lambda one: -one.priority))

    def remove(self, handler: Handler) -> None:
        """Call it no more; what it took goes on counting."""
        if handler in self.handlers:
            self._gone_ns += 0 if handler.is_async else handler.ns
            self._gone_max_ns = max(self._gone_max_ns, handler.max_ns)
        self.handlers = tuple(one for one in self.handlers if one is not handler)

    def tell(self, data: Any) -> Stop | None:
        """Call the handlers with an object; what stopped it, if one did. Nothing that they raise comes out."""
        self.count += 1
        return self.call(data)

    def tell_batch(self, batch: EventBatch) -> Stop | None:
        """Call the handlers with a tick's events."""
        self.count += len(batch)
        self._n_batches += 1
        return self.call(batch)

    def call(self, data: Any) -> Stop | None:
        """Call the handlers; the count is the caller's."""
        started = _clock()
        for handler in self.handlers:
            said = None
            try:
                said = handler.call(data)
            except (Exception, SystemExit) as error:  # a plugin isn't the one to end the server
                handler.failed(error)
            ended = _clock()
            if said is not SKIPPED:
                # Written out: a call of a method would be a tenth of what an event costs.
                spent = ended - started
                handler.calls += 1
                handler.ns += spent
                if spent > handler.max_ns:
                    handler.max_ns = spent
                if said is not None and isinstance(said, Stop):
                    self.stopped += 1
                    return said
            started = ended
        return None

    def roll(self, seconds: float) -> None:
        """So much time has passed since this was last called: what the rate is taken over."""
        self.rate_hz = (self.count - self._counted) / seconds
        self._counted = self.count

    def stats(self) -> EventStats:
        """What was counted so far."""
        calls = self.count if self.event is None else self._n_batches
        ns = self._gone_ns + sum(one.ns for one in self.handlers if not one.is_async)
        max_ns = max([self._gone_max_ns, *(one.max_ns for one in self.handlers)])
        return EventStats(
            self.name, self.count, self.rate_hz, ns / max(1, calls) / 1e6, max_ns / 1e6, self.errors, self.stopped,
            self.dropped, self.waiting, len(self.handlers)
        )  # fmt: skip
