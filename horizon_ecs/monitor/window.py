"""Windows: rates over the last seconds, of whatever only counts up."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

WINDOW_S = 10.0  # a rate is taken over at least so long, once there has been so much time
STEP_S = 0.5  # between two that are remembered, however often somebody asks


class Window:
    """Counts of the last seconds; time is an argument."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, dict[str, float]]] = deque()

    def note(self, now: float, counts: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """Take counts in; return over how many seconds, and by how much each has risen since the oldest that is kept.

        What has fallen was begun anew, and has risen by what it is; so has what wasn't there.
        """
        kept = self._kept
        while len(kept) > 1 and now - kept[1][0] >= WINDOW_S:
            kept.popleft()
        before_s, before = kept[0] if kept else (now, {})
        if not kept or now - kept[-1][0] >= STEP_S:
            kept.append((now, dict(counts)))
        if not before:
            return 0.0, dict.fromkeys(counts, 0.0)
        risen = {name: n - before.get(name, 0) if n >= before.get(name, 0) else n for name, n in counts.items()}
        return now - before_s, risen
