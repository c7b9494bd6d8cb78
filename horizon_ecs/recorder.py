"""Recorders: what a replicator sends to some observers, or a whole world, into a file while it happens.

Not to be confused with `record`, whose records are a world's columns, by which clients are checked.
"""

from __future__ import annotations

import logging
import math
import os
from array import array
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.closing import Closing
from horizon_ecs.errors import ArgumentError
from horizon_ecs.framefile import OBSERVER, Writer
from horizon_ecs.frames import Frames
from horizon_ecs.net import wire
from horizon_ecs.observers import FREE, LIVE
from horizon_ecs.packing import pack

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator
    from horizon_ecs.world import World

log = logging.getLogger("horizon_ecs.recorder")

MAX_FOLLOWED = 2**20  # what a replicator allows
JOINING_A_TICK = 64  # of who is there when recording begins: a reset frame is long
Chosen = Literal["all"] | Collection[int]


@dataclass
class RecordedObserver:
    """A point of view in a recording.

    Attributes
    ----------
    number : int
        In the recording, from 0 on.
    observer : int
        Its number on the server, which another may have had before or after.
    phase : int
        See `Replicator.phase`.
    entity : int
        Handle of the entity that it stood at, 0 for none.
    name : str
        Of the player, or "".
    first_tick, last_tick : int
        Of its frames; -1 where there are none.
    n_frames, n_bytes : int
    """

    number: int
    observer: int
    phase: int
    entity: int
    name: str
    first_tick: int = -1
    last_tick: int = -1
    n_frames: int = 0
    n_bytes: int = 0

    def count(self, tick: int, n_bytes: int) -> None:
        """One more frame."""
        if self.first_tick < 0:
            self.first_tick = tick
        self.last_tick = tick
        self.n_frames += 1
        self.n_bytes += n_bytes


class FrameRecorder(Closing):
    """Writes the frames of observers to a file, tick by tick; usually made by `Replicator.record`.

    Memory is bounded but for the index of reset frames, 16 bytes each. A disk that fails doesn't stop the game: the
    recording ends there, that is logged, and `close` raises.

    Parameters
    ----------
    path : path of the file
        There must be none.
    replicator : Replicator
    observers : "all" or collection of int
        All, those included that come later; or these.
    reset_every_s : float, optional
        So often an observer gets a reset frame, its client as well, from where a recording can be played; None asks for
        none but the first.
    flush_every_s : float
        So much a crash may cost.
    about : mapping, optional
        Plain data for who plays it; the page reads `title` and `bounds` ([x0, y0, x1, y1]).
    name_of : callable(observer) -> str, optional
        Who looks from an observer.

    Attributes
    ----------
    n_frames : int
        Frames recorded.
    error : OSError or None
        Why recording ended early.

    Raises
    ------
    ArgumentError
        Names the argument.
    OSError
        The file can't be made.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        replicator: Replicator,
        *,
        observers: Chosen = "all",
        reset_every_s: float | None = 5.0,
        flush_every_s: float = 1.0,
        about: Mapping[str, Any] | None = None,
        name_of: Callable[[int], str] = lambda observer: "",
    ) -> None:
        rate = replicator.world.tick_rate
        self._reset_every = _ticks("reset_every_s", reset_every_s, rate) if reset_every_s is not None else 0
        self._flush_every = _ticks("flush_every_s", flush_every_s, rate)
        self._replicator, self._name_of = replicator, name_of
        self._wanted = None if isinstance(observers, str) else _wanted(observers, replicator)
        if isinstance(observers, str) and observers != "all":
            raise ArgumentError(f'observers must be "all" or a collection of numbers, not {observers!r}')
        self.path = path
        self._observers: list[RecordedObserver] = []
        self._last, self._counted, self._sized = (np.zeros(64, np.int64) for _ in range(3))
        self.n_frames = 0
        self.error: OSError | None = None
        self._number = np.full(replicator.max_observers, -1, np.int64)  # in the recording, by the replicator's
        self._offsets, self._ticks, self._numbers = array("Q"), array("I"), array("I")
        self._detach: Callable[[], None] = lambda: None
        self._closed = False
        self._flushed_at = replicator.world.tick_count
        header = {
            "protocol": wire.PROTOCOL,
            "schema_hash": wire.schema_hash(replicator.schema),
            "schema": replicator.schema,
            "tick_rate": float(rate),
            "about": dict(about or {}),
        }
        self._writer = Writer(path, header)
        self._joining = self._chosen()
        self._ask(replicator.world.tick_count + 1)

    def __repr__(self) -> str:
        return f"FrameRecorder({self.path}, {len(self._observers)} observers, {self.n_frames} frames)"

    @property
    def n_bytes(self) -> int:
        """Bytes of the file so far."""
        return self._writer.offset

    @property
    def observers(self) -> list[RecordedObserver]:
        """Who was recorded, by number, as of now."""
        for o in self._observers:
            o.last_tick, o.n_frames, o.n_bytes = (int(a[o.number]) for a in (self._last, self._counted, self._sized))
        return self._observers

    def attach(self, told: list[Callable[[Frames], None]]) -> None:
        """Be among those that are told of every step, until closed."""
        told.append(self.write)
        self._detach = lambda: told.remove(self.write)

    # -- each tick -----------------------------------------------------------------------------------------------------

    def write(self, frames: Frames) -> None:
        """Record a step's frames; what an observer gets before its first reset frame is left out.

        Raises
        ------
        ArgumentError
            The recorder is closed.
        """
        if self._closed:
            raise ArgumentError(f"the recording {self.path} is closed")
        if self.error is None:
            try:
                self._write(frames)
            except OSError as error:
                self.error = error
                self._writer.abandon()
                log.error("recording to %s ended in tick %d: %s", self.path, frames.tick, error)
        self._ask(frames.tick + 1)

    def _write(self, frames: Frames) -> None:
        reset = self._replicator.reset_tick[frames.observers] == frames.tick
        self._admit(frames, reset)
        number = self._number[frames.observers]
        rows = np.flatnonzero(number >= 0)
        if len(rows):
            numbers = number[rows].astype(np.uint32)
            start, stop = frames.payload[rows].tolist(), frames.stop[rows].tolist()
            parts = [frames.buffer[a:b] for a, b in zip(start, stop, strict=True)]
            sizes = (frames.stop[rows] - frames.payload[rows]).astype(np.uint32)
            offset = self._writer.frames(frames.tick, numbers, sizes, b"".join(parts))
            self._index(frames.tick, offset, numbers, sizes, reset[rows])
        if frames.tick - self._flushed_at >= self._flush_every:
            self._flushed_at = frames.tick
            self._writer.flush()

    def _index(
        self, tick: int, offset: int, numbers: NDArray[np.uint32], sizes: NDArray[np.uint32], reset: NDArray[np.bool_]
    ) -> None:
        self._last[numbers] = tick
        self._counted[numbers] += 1
        self._sized[numbers] += sizes
        for number in numbers[reset].tolist():
            self._offsets.append(offset)
            self._ticks.append(tick)
            self._numbers.append(number)
        self.n_frames += len(numbers)

    def _admit(self, frames: Frames, reset: NDArray[np.bool_]) -> None:
        """Whoever begins with a reset frame is recorded from it on; under a new number if it is somebody else."""
        for observer in frames.observers[reset].tolist():
            if self._wanted is not None and observer not in self._wanted:
                continue
            found = self._describe(observer)
            known = self._number[observer]
            if known >= 0 and _same(self._observers[known], found):
                continue
            self._writer.record(OBSERVER, frames.tick, pack(_told(found), "an observer"))
            self._number[observer] = found.number
            self._make_room(found.number)
            found.first_tick = frames.tick
            self._observers.append(found)

    def _make_room(self, number: int) -> None:
        """Have a row in the counts for an observer."""
        if number >= len(self._last):
            self._last, self._counted, self._sized = (
                np.concatenate([a, np.zeros(len(a), np.int64)]) for a in (self._last, self._counted, self._sized)
            )

    def _describe(self, observer: int) -> RecordedObserver:
        r = self._replicator
        entity, name = int(r.entity[observer]), str(self._name_of(observer))
        return RecordedObserver(len(self._observers), observer, r.phase(observer), entity, name)

    def _chosen(self) -> NDArray[np.int64]:
        """The observers that are to be recorded and exist now."""
        status = self._replicator.status
        if self._wanted is None:
            return np.flatnonzero(status)
        chosen = np.array(sorted(self._wanted), np.int64)
        there: NDArray[np.int64] = chosen[status[chosen] != FREE]
        return there

    def _ask(self, tick: int) -> None:
        """Ask for the next tick's reset frames, spread over the ticks so that they don't come all at once."""
        if self.error is not None:
            return
        asked, self._joining = self._joining[:JOINING_A_TICK], self._joining[JOINING_A_TICK:]
        if self._reset_every:
            chosen = self._chosen()
            asked = np.union1d(asked, chosen[(tick + chosen * _SPREAD) % self._reset_every == 0])
        status = self._replicator.status
        for observer in asked[status[asked] == LIVE].tolist():  # one that is held gets its own when it is let go
            self._replicator.resume(observer)

    # -- its end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write the index and close the file; again it does nothing.

        Raises
        ------
        OSError
            The disk failed, now or before: the recording ends where it did.
        """
        if self._closed:
            return
        self._closed = True
        self._detach()
        if self.error is None:
            try:
                self._writer.end(self._contents())
            except OSError as error:
                self.error = error
                self._writer.abandon()
        if self.error is not None:
            raise self.error

    def _contents(self) -> dict[str, Any]:
        return {
            "observers": [asdict(o) for o in self.observers],
            "offset": np.array(self._offsets, np.uint64),
            "tick": np.array(self._ticks, np.uint32),
            "observer": np.array(self._numbers, np.uint32),
        }


_SPREAD = 17  # ticks between the reset frames of observers that follow each other


class WorldRecorder(Closing):
    """Records a whole world: everything in it, whoever looks where, by a replicator of its own.

    It follows each entity on its fastest channel at any distance, whatever the limits of a server are, and costs
    clients nothing. Call `step` after every tick.

    Parameters
    ----------
    world : World
    path : path of the file
    position : component class, optional
        As for `Replicator`.
    reset_every_s, flush_every_s, about
        As for `FrameRecorder`.

    Raises
    ------
    ArgumentError, DefinitionError, OSError
    """

    def __init__(
        self,
        world: World,
        path: str | os.PathLike[str],
        *,
        position: Any = None,
        reset_every_s: float = 5.0,
        flush_every_s: float = 1.0,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        from horizon_ecs.replication import Replicator

        self.replicator = Replicator(
            world, position=position, max_observers=1, max_followed=min(world.n_slots, MAX_FOLLOWED), everywhere=True
        )
        self.replicator.add_observer()
        self._frames = FrameRecorder(
            path, self.replicator, reset_every_s=reset_every_s, flush_every_s=flush_every_s, about=about
        )

    def __repr__(self) -> str:
        return f"WorldRecorder({self._frames.path}, {self.n_frames} frames, {self.n_bytes} bytes)"

    @property
    def n_frames(self) -> int:
        """Frames recorded."""
        return self._frames.n_frames

    @property
    def n_bytes(self) -> int:
        """Bytes of the file so far."""
        return self._frames.n_bytes

    @property
    def error(self) -> OSError | None:
        """Why recording ended early."""
        return self._frames.error

    def step(self) -> None:
        """Record the world as it stands; once after every tick. Raises ArgumentError."""
        if self.error is None:
            self._frames.write(self.replicator.step())

    def close(self) -> None:
        """As `FrameRecorder.close`."""
        self._frames.close()


def _ticks(name: str, seconds: float, rate: float) -> int:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < math.inf:
        raise ArgumentError(f"{name} must be a positive number of seconds, not {seconds!r}")
    return max(1, round(seconds * rate))


def _wanted(observers: Any, replicator: Replicator) -> frozenset[int]:
    try:
        wanted = frozenset(int(o) for o in observers)
    except (TypeError, ValueError):
        raise ArgumentError(f'observers must be "all" or a collection of numbers, not {observers!r}') from None
    for observer in wanted:
        replicator.phase(observer)  # raises where there is no such
    return wanted


def _same(a: RecordedObserver, b: RecordedObserver) -> bool:
    return (a.phase, a.entity, a.name) == (b.phase, b.entity, b.name)


def _told(o: RecordedObserver) -> dict[str, Any]:
    """What is known of an observer when it begins."""
    return {"number": o.number, "observer": o.observer, "phase": o.phase, "entity": o.entity, "name": o.name}
