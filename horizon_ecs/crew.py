"""Crew: a few threads that share a stage's parts, since kernels hold no interpreter lock.

Numba's own parallel loops compile every kernel a second time, and their threading layers either need a library or abort
the process when two threads enter. Here the hand-over is two locks a worker: some 10 µs, and nobody spins in between.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray

Work = Callable[[int, int], object]


def shares(array: NDArray[Any], n_parts: int) -> list[NDArray[Any]]:
    """Views of about equal length, in order."""
    n = len(array)
    return [array[part * n // n_parts : (part + 1) * n // n_parts] for part in range(n_parts)]


class _Worker:
    """One thread, asleep until it is given parts of some work."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._work: Work | None = None
        self._parts: Iterator[int] = iter(())
        self._error: BaseException | None = None
        threading.Thread(target=self._loop, name=f"horizon-crew-{number}", daemon=True).start()

    def _loop(self) -> None:
        while True:
            self._go.acquire()
            if self._work is None:
                return
            try:
                for part in self._parts:
                    self._work(part, self._number)
            except BaseException as error:
                self._error = error
            self._done.release()

    def start(self, work: Work | None, parts: Iterator[int]) -> None:
        """Hand over the parts that others take from as well; None ends the thread."""
        self._work, self._parts, self._error = work, parts, None
        self._go.release()

    def wait(self) -> BaseException | None:
        """Wait until the parts are done; what went wrong. An interrupt is held back: kernels are still writing."""
        interrupt: BaseException | None = None
        while True:
            try:
                self._done.acquire()
                error, self._error = interrupt or self._error, None
                self._work = None  # a thread that sleeps would keep alive what it worked on, and with it the crew
                return error
            except BaseException as error:
                interrupt = error


def _dismiss(workers: list[_Worker]) -> None:
    while workers:
        workers.pop().start(None, iter(()))


class Crew:
    """The calling thread and `n_threads - 1` helpers, which are started when first needed.

    Parameters
    ----------
    n_threads : int
        With 1 every part runs in a plain loop.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = max(1, n_threads)
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _dismiss, self._workers)

    def run(self, work: Work, n_parts: int) -> None:
        """Call `work(part, thread)` for every part below `n_parts`; return when all are done.

        A thread takes the next part when it is free: with a few parts a thread, one whose core is taken away holds up
        nobody. `thread` counts from 0, the calling one. What a part raises is raised here, the calling thread's first;
        parts that nobody has begun may then be left out. One caller at a time: others wait.
        """
        n = min(self.n_threads, n_parts)
        if n <= 1:
            for part in range(n_parts):
                work(part, 0)
            return
        with self._lock:
            while len(self._workers) < n - 1:
                self._workers.append(_Worker(len(self._workers) + 1))
            busy = self._workers[: n - 1]
            errors: list[BaseException | None] = []
            parts = iter(range(n_parts))  # to take the next number of a range is one step under the interpreter's lock
            for worker in busy:
                worker.start(work, parts)
            try:
                for part in parts:
                    work(part, 0)
            except BaseException as error:
                errors.append(error)
            errors += [worker.wait() for worker in busy]
        for raised in errors:
            if raised is not None:
                raise raised

    def close(self) -> None:
        """End the threads; `run` would start new ones."""
        with self._lock:
            _dismiss(self._workers)
