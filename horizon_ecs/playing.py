"""Playing: a place in a recording that moves on with time. Time is an argument; frames come out."""

from __future__ import annotations

import math
from collections.abc import Iterator

from horizon_ecs.errors import ArgumentError
from horizon_ecs.recording import Recording

MAX_SPEED = 100.0


class Playhead:
    """One viewer's place in a recording.

    Parameters
    ----------
    recording : Recording
    observer : int
        In the recording: whose frames.
    tick : int, optional
        Where to begin; by default with the observer's first frame. Later than its last is its last.
    speed : float
        Seconds of the recording a second, 0 to 100; 0 pauses.
    loop : bool
        Whether to begin again at the end.

    Attributes
    ----------
    position : float
        In ticks: frames up to it are due.
    speed, loop
        May be set at any time; `set_speed` checks.

    Raises
    ------
    ArgumentError
        Names the argument.
    """

    def __init__(
        self, recording: Recording, observer: int = 0, tick: int | None = None, speed: float = 1.0, loop: bool = False
    ) -> None:
        self._recording, self.observer, self.loop = recording, observer, loop
        self.set_speed(speed)
        recording.frames(observer)  # refuses an observer that isn't there
        self.seek(recording.observers[observer].first_tick if tick is None else tick)

    def __repr__(self) -> str:
        return f"Playhead(observer {self.observer}, tick {self.position:.1f}, speed {self.speed:g})"

    @property
    def done(self) -> bool:
        """Whether the end is reached, and stays."""
        return self._next is None and not self.loop

    def set_speed(self, speed: float) -> None:
        """Play at another speed. Raises ArgumentError."""
        if not isinstance(speed, int | float) or not math.isfinite(speed) or not 0.0 <= speed <= MAX_SPEED:
            raise ArgumentError(f"speed must be a number from 0 to {MAX_SPEED:g}, not {speed!r}")
        self.speed = float(speed)

    def seek(self, tick: int) -> None:
        """Go elsewhere: the frames from the reset frame before `tick` up to it are due at once.

        Before the observer's first frame is its first, behind its last its last.
        """
        about = self._recording.observers[self.observer]
        tick = min(max(int(tick), about.first_tick), about.last_tick)
        self.position = float(tick)
        start = self._recording.seek(tick, self.observer)
        self._frames: Iterator[tuple[int, bytes]] = self._recording.frames(self.observer, start)
        self._taken = start - 1
        self._next = next(self._frames, None)

    def pass_time(self, seconds: float) -> None:
        """Move on, unless frames that were due before haven't been taken: whoever is slow misses nothing.

        At the end of a recording that is still being written this looks for more.

        Raises
        ------
        RecordingError
        """
        if self._next is None and self._recording.refresh():  # it is still being written
            self._frames = self._recording.frames(self.observer, self._taken + 1)
            self._next = next(self._frames, None)
        if self._next is None and self.loop and self.speed:
            self.seek(self._recording.observers[self.observer].first_tick)
        elif self._next is not None and self._next[0] > self.position:
            self.position += seconds * self._recording.tick_rate * self.speed

    def take(self) -> tuple[int, bytes] | None:
        """The next frame that is due, as (tick, bytes); None where there is none.

        Raises
        ------
        RecordingError
            The file is corrupted there.
        """
        if self._next is None or self._next[0] > self.position:
            return None
        frame, self._next = self._next, next(self._frames, None)
        self._taken = frame[0]
        return frame
