"""A fixed rate on a thread of its own, and how well it was kept."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

import numpy as np

REMEMBERED = 16_384  # ticks whose lateness and duration are kept


class Pacer:
    """When ticks are due. Time is an argument: seconds of a clock that never falls.

    Parameters
    ----------
    period_s : float
    max_catch_up : int
        Ticks by which it may be late before the rest is dropped.
    """

    def __init__(self, period_s: float, max_catch_up: int) -> None:
        self.period_s = period_s
        self.max_catch_up = max_catch_up
        self.due_s = 0.0
        self.n_missed = 0

    def begin(self, now: float) -> None:
        """The first tick is due now."""
        self.due_s = now

    def wait_s(self, now: float) -> float:
        """How long until the next tick is due; 0 where it is late."""
        return max(0.0, self.due_s - now)

    def started(self, now: float) -> float:
        """A tick begins; the moment at which it was due. One that begins a whole period late has missed its turn."""
        due = self.due_s
        late = int((now - due) / self.period_s)
        dropped = max(0, late - self.max_catch_up)
        self.n_missed += dropped + (late > 0)
        self.due_s = due + (dropped + 1) * self.period_s
        return due


class Ticker:
    """Calls `step(due_s)`, then `after()` which isn't timed, at a fixed rate on a thread, until stopped or one raises.

    Attributes
    ----------
    error : Exception or None
        What `step` raised.
    late_ms, tick_ms : deque of float
        Of the last ticks: how long after it was due each ended, and how long it took.
    """

    def __init__(
        self, rate_hz: float, step: Callable[[float], None], *, max_catch_up: int, on_end: Callable[[], None],
        after: Callable[[], None] | None = None
    ) -> None:  # fmt: skip
        self.pacer = Pacer(1.0 / rate_hz, max_catch_up)
        self.error: Exception | None = None
        self.n_ticks = 0
        self.late_ms: deque[float] = deque(maxlen=REMEMBERED)
        self.tick_ms: deque[float] = deque(maxlen=REMEMBERED)
        self._noting = threading.Lock()
        self._step = step
        self._on_end = on_end
        self._after = after
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="horizon-tick", daemon=True)

    @property
    def n_missed(self) -> int:
        """Ticks that began a whole period late, and those that were dropped."""
        return self.pacer.n_missed

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin, with the first tick due at once."""
        self.pacer.begin(time.perf_counter())
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """End after the running tick; whether it is over."""
        self._stopping.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def forget(self) -> None:
        """Let what is remembered begin now."""
        with self._noting:
            self.late_ms.clear()
            self.tick_ms.clear()
            self.n_ticks = self.pacer.n_missed = 0

    def since(self, n_seen: int) -> tuple[int, list[float], list[float]]:
        """How many ticks there were, and `tick_ms` and `late_ms` of those after the first `n_seen`, as far as they are
        remembered; from any thread. Where there were fewer, all has been forgotten in between, and all count."""
        with self._noting:
            n = self.n_ticks - n_seen if n_seen <= self.n_ticks else self.n_ticks
            return self.n_ticks, _last(self.tick_ms, n), _last(self.late_ms, n)

    def _run(self) -> None:
        clock, pacer = time.perf_counter, self.pacer
        try:
            while not self._stopping.wait(pacer.wait_s(clock())):
                started = clock()
                due = pacer.started(started)
                self._step(due)
                ended = clock()
                with self._noting:
                    self.n_ticks += 1
                    self.tick_ms.append(1e3 * (ended - started))
                    self.late_ms.append(1e3 * (ended - due))
                if self._after is not None:
                    self._after()
        except Exception as error:
            self.error = error
        finally:
            self._on_end()


def _last(values: deque[float], n: int) -> list[float]:
    """The last n, without a walk over the others."""
    return list(islice(reversed(values), n))[::-1]


def percentile(values: deque[float], q: float) -> float:
    """The q-th percentile of what a ticker remembers; 0 before its first tick."""
    kept = list(values)
    return float(np.percentile(kept, q)) if kept else 0.0
