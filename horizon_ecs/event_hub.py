"""What an event system holds while handlers can't be called, and how deep they call each other."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from horizon_ecs.errors import CapacityError
from horizon_ecs.handlers import Stop
from horizon_ecs.topics import Topic

MAX_DEPTH = 64  # events that are emitted within the handlers of others
MAX_NESTED = 65_536  # of them for one that was emitted outside: handlers that emit without end are stopped by this


class Hub:
    """The state that all views of an event system share.

    Attributes
    ----------
    thread : int
        On which handlers are called at once; 0 while on none.
    depth, n_nested : int
        How deep emitted events stand within each other now, and how many for the outermost one.
    """

    __slots__ = (
        "_batches", "_lock", "_objects", "depth", "max_waiting", "n_nested", "n_unheard", "rolled_s", "thread"
    )  # fmt: skip

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self.thread = threading.get_ident()
        self.depth = self.n_nested = self.n_unheard = 0
        self.rolled_s = time.perf_counter()
        self._lock = threading.Lock()
        self._objects: deque[tuple[Topic, Any]] = deque()
        self._batches: deque[tuple[Topic, Any, Any]] = deque()

    # -- calling -------------------------------------------------------------------------------------------------------

    def run(self, tell: Callable[[Any], Stop | None], data: Any) -> Stop | None:
        """Call handlers, from outside of any."""
        self.depth, self.n_nested = 1, 0
        try:
            return tell(data)
        finally:
            self.depth = 0

    def nest(self, tell: Callable[[Any], Stop | None], data: Any) -> Stop | None:
        """Call handlers, perhaps from within others. Raises CapacityError."""
        if self.depth == 0:
            return self.run(tell, data)
        if self.depth >= MAX_DEPTH or self.n_nested >= MAX_NESTED:
            self.n_nested = MAX_NESTED  # so that all of them end
            raise CapacityError(f"handlers go on emitting: {MAX_DEPTH} deep, or {MAX_NESTED:,} events for one")
        self.depth += 1
        self.n_nested += 1
        try:
            return tell(data)
        finally:
            self.depth -= 1

    # -- waiting -------------------------------------------------------------------------------------------------------

    def no_room(self, topic: Topic) -> CapacityError:
        """What to raise."""
        return CapacityError(f"{topic.name} has no room: {self.max_waiting:,} of them wait")

    def put_object(self, topic: Topic, data: Any) -> bool:
        """Let an object wait; whether there was room."""
        with self._lock:
            if topic.waiting >= self.max_waiting:
                topic.dropped += 1
                return False
            topic.waiting += 1
            self._objects.append((topic, data))
        return True

    def wait_object(self, topic: Topic, data: Any) -> None:
        """Let an object wait. Raises CapacityError."""
        if not self.put_object(topic, data):
            raise self.no_room(topic)

    def wait_batch(self, topic: Topic, sender: Any, records: Any) -> None:
        """Let records wait, all or none. Raises CapacityError."""
        with self._lock:
            if topic.waiting + len(records) > self.max_waiting:
                topic.dropped += len(records)
                raise self.no_room(topic)
            topic.waiting += len(records)
            self._batches.append((topic, sender, records))

    def take_objects(self) -> Iterator[tuple[Topic, Any]]:
        """What waits now; what comes meanwhile goes on waiting."""
        for _ in range(len(self._objects)):
            with self._lock:
                topic, data = self._objects.popleft()
                topic.waiting -= 1
            yield topic, data

    def take_batches(self) -> Iterator[tuple[Topic, Any, Any]]:
        """Records that wait."""
        for _ in range(len(self._batches)):
            with self._lock:
                topic, sender, records = self._batches.popleft()
                topic.waiting -= len(records)
            yield topic, sender, records
