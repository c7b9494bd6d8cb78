"""Async handlers: an event loop on a thread of its own, where they neither hold up the tick nor the network.

Each handler has a line of its own, of bounded length: its events are handled in order, `concurrency` at a time. What
finds the line full is dropped and counted, and what takes longer than the timeout is cancelled and counts as failed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from horizon_ecs.handlers import Handler

_clock = time.perf_counter_ns
_STOP_S = 2.0  # for what is under way when it stops

SKIPPED: Any = object()
"""What a handler's call returns that isn't one now: a filter said no, it was taken away, or it runs elsewhere."""


class Line:
    """What waits for one async handler.

    Attributes
    ----------
    handler : Handler
    waiting : deque
    since : dict of int to int
        By the number of a run, when it began: those that are under way.
    """

    def __init__(self, handler: Handler, call: Callable[[Any], Any], concurrency: int) -> None:
        self.handler, self.call, self.concurrency = handler, call, concurrency
        self.waiting: deque[Any] = deque()
        self.n_workers = 0
        self.since: dict[int, int] = {}
        self._n_runs = 0

    async def work(self, runner: AsyncRunner) -> None:
        """Handle what waits, until nothing does."""
        while runner.takes(self):
            self._n_runs += 1
            number = self._n_runs
            self.since[number] = _clock()
            try:
                async with asyncio.timeout(runner.timeout_s):
                    await self.call(self.waiting.popleft())
            except TimeoutError:
                self.handler.failed(TimeoutError(f"it took more than {runner.timeout_s:g} s"))
            except (Exception, SystemExit) as error:
                self.handler.failed(error)
            finally:
                self.handler.took(_clock() - self.since.pop(number))


class AsyncRunner:
    """Runs async handlers; its thread begins with the first event.

    Parameters
    ----------
    max_queued : int
        Events that may wait for one handler.
    timeout_s : float
        What one event may take.
    """

    def __init__(self, max_queued: int, timeout_s: float) -> None:
        self.max_queued, self.timeout_s = max_queued, timeout_s
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines: set[Line] = set()
        self._closed = False

    def submit(self, line: Line, data: Any) -> Any:
        """Have a line's handler called with an event. Says SKIPPED: its calls are counted when they end."""
        with self._lock:
            if self._closed or len(line.waiting) >= self.max_queued:
                line.handler.lost()
                return SKIPPED
            line.waiting.append(data)
            begins = line.n_workers < line.concurrency
            line.n_workers += begins
        if begins:
            self._begin().call_soon_threadsafe(self._start, line)
        return SKIPPED

    def _begin(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="horizon-async", daemon=True)
            self._thread.start()
        return self._loop

    def _start(self, line: Line) -> None:
        task = asyncio.ensure_future(line.work(self))
        self._lines.add(line)
        self._tasks.add(task)  # the loop itself keeps no hold of it
        task.add_done_callback(self._tasks.discard)

    def takes(self, line: Line) -> bool:
        """Whether a worker has something to do; if not, it ends."""
        with self._lock:
            if line.waiting:
                return True
            line.n_workers -= 1
            return False

    def overdue(self) -> list[Line]:
        """Lines of which a run goes on for twice the timeout: it doesn't let itself be cancelled."""
        limit = _clock() - int(2e9 * self.timeout_s)
        return [line for line in tuple(self._lines) if any(began < limit for began in tuple(line.since.values()))]

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        with self._lock:
            return not any(line.n_workers for line in self._lines) and not self._tasks

    def drain(self, timeout_s: float) -> bool:
        """Wait until all is done, at most so long; whether it is."""
        if self._loop is None:
            return True
        done = asyncio.run_coroutine_threadsafe(self._drain(timeout_s), self._loop)
        try:
            return done.result(timeout_s + _STOP_S)
        except TimeoutError:  # the loop itself is held up
            done.cancel()
            return False

    async def _drain(self, timeout_s: float) -> bool:
        await asyncio.sleep(0)  # what was submitted before begins
        others = self._tasks - {asyncio.current_task()}
        return not others or not (await asyncio.wait(others, timeout=timeout_s))[1]

    def close(self) -> None:
        """End: what is under way is cancelled, what waits dropped, and the thread left alone if it doesn't end."""
        with self._lock:
            self._closed = True
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop)
        thread.join(_STOP_S)
        if not thread.is_alive():
            loop.close()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_S / 2)
        asyncio.get_running_loop().stop()
