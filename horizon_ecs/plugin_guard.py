"""A guard: counts what one plugin raises, and says when that was too often (a circuit breaker)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

log = logging.getLogger("horizon_ecs.plugins")


class Guard:
    """Watches over one plugin. Time is an argument: `now` gives seconds of a clock that never falls.

    Attributes
    ----------
    name : str
        The plugin's.
    n_failures : int
    last_failure : str
    is_tripped : bool
        It failed `max_failures` times in `window_s` seconds.
    """

    def __init__(
        self, name: str, max_failures: int, window_s: float, now: Callable[[], float], trip: Callable[[str], None]
    ) -> None:  # fmt: skip
        self.name = name
        self.n_failures = 0
        self.last_failure = ""
        self.is_tripped = False
        self._max_failures, self._window_s = max_failures, window_s
        self._now, self._trip = now, trip
        self._times: deque[float] = deque(maxlen=max_failures)

    def failed(self, what: str, error: BaseException) -> None:
        """Something of the plugin raised; from any thread."""
        self.n_failures += 1
        self.last_failure = f"{what}: {type(error).__name__}: {error}"
        self._times.append(self._now())
        full = len(self._times) == self._max_failures
        if full and not self.is_tripped and self._times[-1] - self._times[0] <= self._window_s:
            self.is_tripped = True
            log.error(
                "plugin %r is switched off: it failed %d times in %g s, the last time in %s", self.name,
                self._max_failures, self._window_s, self.last_failure
            )  # fmt: skip
            self._trip(self.name)

    def forgive(self) -> None:
        """Begin anew; what was counted stays."""
        self._times.clear()
        self.is_tripped = False

    def runs(self, what: str, work: Callable[[], object]) -> bool:
        """Call a function of the plugin's; whether it went well."""
        try:
            work()
        except (Exception, SystemExit) as error:
            log.exception("plugin %r failed in %s", self.name, what)
            self.failed(what, error)
            return False
        return True
