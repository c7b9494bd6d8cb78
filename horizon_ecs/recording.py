"""Recordings: what clients were told, read from a file: seek, fold into any client, or look at each frame.

Not to be confused with `replay`, where recorded tracks happen again as a world.
"""

from __future__ import annotations

import bisect
import os
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np

from horizon_ecs.closing import Closing
from horizon_ecs.errors import ArgumentError, RecordingError, WireError
from horizon_ecs.framefile import END, FRAMES, INDEX, OBSERVER, Reader, Record
from horizon_ecs.net import wire
from horizon_ecs.recorder import RecordedObserver
from horizon_ecs.replica import Replica
from horizon_ecs.schema import compile_tables
from horizon_ecs.systems.frames import FLAG_RESET

Progress = Callable[[int, int], None]


class Decoder(Protocol):
    """Whatever takes state frames."""

    def apply(self, frame: bytes, /) -> Any:
        """Take one."""


D = TypeVar("D", bound=Decoder)


class Recording(Closing):
    """A recording, open for reading; made by `open_recording`.

    Attributes
    ----------
    schema : mapping
        See docs/wire.md.
    schema_hash : str
    tick_rate : float
    about : mapping
        What was said about it when it was made.
    observers : list of RecordedObserver
        By their number in the recording.
    complete : bool
        Whether it was closed. Else it is still being written, or a crash cut it off.
    lost_bytes : int
        What the file holds behind its last whole record: the beginning of one more, which is lost (or still to come).
    """

    def __init__(self, path: str | os.PathLike[str], progress: Progress | None = None, *, indexed: bool = True) -> None:
        self._reader = Reader(path)
        self._lock = threading.Lock()  # of the file's position
        try:
            self._take_header()
            self.observers: list[RecordedObserver] = []
            self._offsets, self._ticks, self._numbers = array("Q"), array("I"), array("I")
            self._last_tick = -1
            self.complete, self.lost_bytes = False, 0
            self._end = self._reader.first  # of what is known to be whole, or promised by the index
            size = self._reader.size()
            found = self._reader.index(size) if indexed else None
            if found is None:
                self._scan(size, progress)
            else:
                self._take_index(*found)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        state = "" if self.complete else ", not closed"
        return (
            f"Recording({self._reader.path}, {self.duration_s:.1f} s, {len(self.observers)} observers, "
            f"{self.n_frames} frames{state})"
        )

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def first_tick(self) -> int:
        """The first frame's tick; -1 where there is none."""
        return min((o.first_tick for o in self.observers if o.first_tick >= 0), default=-1)

    @property
    def last_tick(self) -> int:
        """The last frame's tick; -1 where there is none."""
        return max((o.last_tick for o in self.observers), default=-1)

    @property
    def duration_s(self) -> float:
        """From the first frame to the last, seconds of the world."""
        return (self.last_tick - self.first_tick) / self.tick_rate

    @property
    def n_frames(self) -> int:
        """Frames of all observers."""
        return sum(o.n_frames for o in self.observers)

    @property
    def n_bytes(self) -> int:
        """Bytes of all frames."""
        return sum(o.n_bytes for o in self.observers)

    def resets(self, observer: int = 0) -> list[int]:
        """Ticks of an observer's reset frames, ascending: where it can be played from."""
        self._check(observer)
        return [tick for tick, number in zip(self._ticks, self._numbers, strict=True) if number == observer]

    def summary(self) -> dict[str, Any]:
        """What it holds, as plain data."""
        return {
            "about": dict(self.about),
            "kinds": [kind["name"] for kind in self.schema["kinds"]],
            "schema_hash": self.schema_hash,
            "tick_rate": self.tick_rate,
            "first_tick": self.first_tick,
            "last_tick": self.last_tick,
            "duration_s": self.duration_s,
            "observers": len(self.observers),
            "reset_frames": len(self._ticks),
            "frames": self.n_frames,
            "bytes": self.n_bytes,
            "complete": self.complete,
            "lost_bytes": self.lost_bytes,
        }

    # -- reading -------------------------------------------------------------------------------------------------------

    def seek(self, tick: int, observer: int = 0) -> int:
        """The tick of an observer's last reset frame at or before `tick`.

        Raises
        ------
        ArgumentError
            There is no such observer, or it has no frame so early.
        """
        return self._ticks[self._point(tick, observer)]

    def _point(self, tick: int, observer: int) -> int:
        """Number of the entry of the index."""
        self._check(observer)
        i = bisect.bisect_right(self._ticks, tick)
        while i > 0:
            i -= 1
            if self._numbers[i] == observer:
                return i
        raise ArgumentError(
            f"observer {observer} has no frames at or before tick {tick}: its first is of tick "
            f"{self.observers[observer].first_tick}"
        )

    def _check(self, observer: Any) -> None:
        if not isinstance(observer, int | np.integer) or not 0 <= observer < len(self.observers):
            raise ArgumentError(
                f"observer must be a number below {len(self.observers)}, as many as the recording has, not {observer!r}"
            )

    def frames(
        self, observer: int = 0, start_tick: int | None = None, stop_tick: int | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """An observer's frames from `start_tick` on and before `stop_tick`, each as (tick, bytes).

        A client can begin with a reset frame only: start at what `seek` says.

        Raises
        ------
        ArgumentError
        RecordingError
            While it runs: the file is corrupted there.
        """
        self._check(observer)
        first = self.observers[observer].first_tick
        start = first if start_tick is None else max(first, start_tick)
        return self._frames(observer, start, self.observers[observer].last_tick + 1 if stop_tick is None else stop_tick)

    def _frames(self, observer: int, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        before = bisect.bisect_right(self._ticks, start) - 1
        for record in self._records(self._offsets[max(0, before)] if before >= 0 else self._reader.first):
            if record.kind != FRAMES or record.tick < start:
                continue
            if record.tick >= stop:
                return
            with self._lock:
                observers, place, data = self._reader.frames(record)
            for i in np.flatnonzero(observers == observer).tolist():
                yield record.tick, bytes(data[place[i] : place[i + 1]])

    def ticks(self) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
        """All frames, tick by tick, as (tick, [(observer, bytes), ...]).

        Raises
        ------
        RecordingError
            While it runs: the file is corrupted there.
        """
        for record in self._records(self._reader.first):
            if record.kind == FRAMES:
                with self._lock:
                    observers, place, data = self._reader.frames(record)
                spans = zip(observers.tolist(), place[:-1].tolist(), place[1:].tolist(), strict=True)
                yield record.tick, [(number, bytes(data[start:stop])) for number, start, stop in spans]

    def _records(self, offset: int) -> Iterator[Record]:
        """Heads of the records from a place on, up to what is known to be there."""
        while offset < self._end:
            with self._lock:
                record = self._reader.record_at(offset, self._end)
            if record is None:
                raise self._reader.fault(f"the record at byte {offset} goes beyond where the next begins: corrupted")
            yield record
            offset = record.end

    def replica(self, observer: int = 0) -> Replica:
        """A client's table for an observer's frames, empty."""
        self._check(observer)
        return Replica(self.schema, phase=self.observers[observer].phase)

    def at(self, tick: int, observer: int = 0) -> Replica:
        """What an observer's client knew after `tick`: from the reset frame before it on.

        Raises
        ------
        ArgumentError, RecordingError
        """
        return self.replay(self.replica(observer), observer, self.seek(tick, observer), tick + 1)

    def replay(self, into: D, observer: int = 0, start_tick: int | None = None, stop_tick: int | None = None) -> D:
        """Apply an observer's frames from `start_tick` on and before `stop_tick` to `into`, and return it.

        Parameters
        ----------
        into : Replica, or anything with `apply(frame)`
            Made for `schema` and the observer's phase, as `replica` does.
        observer, start_tick, stop_tick
            As for `frames`.

        Raises
        ------
        ArgumentError, RecordingError
        WireError
            It takes no such frames: it begins in the middle, or was made for others.
        """
        for _, frame in self.frames(observer, start_tick, stop_tick):
            into.apply(frame)
        return into

    def verify(self, progress: Progress | None = None) -> None:
        """Read everything, and hold it to the checksums and the index.

        Parameters
        ----------
        progress : function of (bytes done, bytes in all), optional

        Raises
        ------
        RecordingError
        """
        with Recording(self._reader.path, progress, indexed=False) as found:
            if self.complete and found._told() != self._told():
                raise self._reader.fault("its index doesn't say what the file holds: it is corrupted")

    def _told(self) -> tuple[Any, ...]:
        """All that an index says."""
        return self.observers, self._offsets, self._ticks, self._numbers

    def refresh(self) -> bool:
        """Take notice of what was written since; whether there was anything. For a recording that isn't complete.

        Raises
        ------
        RecordingError
        """
        if self.complete:
            return False
        before = self._end
        self._scan(self._reader.size(), None)
        return self._end > before

    # -- opening -------------------------------------------------------------------------------------------------------

    def _take_header(self) -> None:
        header = self._reader.header
        try:
            protocol, self.schema_hash = header["protocol"], str(header["schema_hash"])
            self.schema: dict[str, Any] = header["schema"]
            self.tick_rate = float(header["tick_rate"])
            self.about: Mapping[str, Any] = dict(header["about"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._reader.fault(f"the header is malformed: {error!r}") from None
        if protocol != wire.PROTOCOL:
            raise self._reader.fault(
                f"its frames are of version {protocol!r} of the wire; this library reads version {wire.PROTOCOL}"
            )
        try:
            compile_tables(self.schema)
        except WireError as error:
            raise self._reader.fault(str(error)) from None
        if not 0 < self.tick_rate < 1e6 or wire.schema_hash(self.schema) != self.schema_hash:
            raise self._reader.fault("the header is malformed: its schema's hash or its tick rate can't be")

    def _take_index(self, index: Mapping[str, Any], end: int) -> None:
        try:
            self.observers = [_observer(told, i) for i, told in enumerate(index["observers"])]
            columns = (index["offset"], np.uint64), (index["tick"], np.uint32), (index["observer"], np.uint32)
            sound = all(isinstance(c, np.ndarray) and c.dtype == t and c.ndim == 1 for c, t in columns)
            sound = sound and len({len(c) for c, _ in columns}) == 1
            offsets, ticks, numbers = (array("Q"), array("I"), array("I"))
            for target, (column, _) in zip((offsets, ticks, numbers), columns, strict=True):
                target.frombytes(column.tobytes())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._reader.fault(f"the index is malformed: {error!r}") from None
        places = np.array(offsets, np.int64)
        sound = sound and bool((places >= self._reader.first).all() and (places < end).all())
        sound = sound and bool((np.diff(np.array(ticks, np.int64)) >= 0).all())
        if not sound or max(numbers, default=0) >= max(1, len(self.observers)):
            raise self._reader.fault("the index is malformed: it names places or observers that aren't there")
        self._offsets, self._ticks, self._numbers = offsets, ticks, numbers
        self.complete, self._end = True, end

    def _scan(self, size: int, progress: Progress | None) -> None:
        """Read on from the end of what is known, record by record, and count what is there."""
        offset = self._end
        while offset < size:
            with self._lock:
                record = self._reader.record_at(offset, size)
            if record is None:
                break
            if record.kind == FRAMES:
                self._note(record, offset)
            elif record.kind == OBSERVER:
                with self._lock:
                    told = self._reader.mapping(record)
                self._meet(told)
            else:
                offset = self._pass_index(record, offset, size)
                break
            offset = self._end = record.end
            if progress:
                progress(offset, size)
        self.lost_bytes = size - offset

    def _pass_index(self, record: Record, offset: int, size: int) -> int:
        """The index and the end are the last records; where what is whole ends."""
        if record.kind == INDEX:
            with self._lock:
                self._reader.body(record)
                last = self._reader.record_at(record.end, size) if record.end < size else None
                if last is None:
                    return offset
                leads_to = int.from_bytes(self._reader.body(last), "little")
            if last.kind == END and last.end == size and leads_to == offset:
                self.complete = True
                return size
        raise self._reader.fault(f"its end is at byte {offset}, but more follows: it is corrupted")

    def _note(self, record: Record, offset: int) -> None:
        """Count a tick's frames, and remember which are reset frames."""
        with self._lock:
            observers, place, data = self._reader.frames(record)
        if record.tick <= self._last_tick or (len(observers) and int(observers.max()) >= len(self.observers)):
            raise self._reader.fault(f"the frames at byte {offset} are of a tick or an observer that can't be")
        self._last_tick = record.tick
        starts = place[:-1].tolist()
        for number, start, size in zip(observers.tolist(), starts, np.diff(place).tolist(), strict=True):
            self.observers[number].count(record.tick, size)
            if data[start] & FLAG_RESET:
                self._offsets.append(offset)
                self._ticks.append(record.tick)
                self._numbers.append(number)

    def _meet(self, told: Mapping[str, Any]) -> None:
        try:
            self.observers.append(_observer(told, len(self.observers)))
        except (KeyError, TypeError, ValueError) as error:
            raise self._reader.fault(f"an observer's record is malformed: {error!r}") from None


def _observer(told: Mapping[str, Any], number: int) -> RecordedObserver:
    """An observer as the file tells it. Raises KeyError, TypeError, ValueError."""
    found = RecordedObserver(**told)
    values = vars(found).copy()
    sound = isinstance(values.pop("name"), str) and all(type(v) is int and -1 <= v < 2**64 for v in values.values())
    if not sound or found.number != number or found.phase < 0 or found.entity < 0:
        raise ValueError(f"observer {number} is told as {told!r}")
    return found


def open_recording(
    path: str | os.PathLike[str], *, schema: str | None = None, progress: Progress | None = None
) -> Recording:
    """Open a recording.

    One that was closed is opened by its index, whatever its size. One that wasn't (it is still being written, or a
    crash cut it off) is read through, and everything before the cut is there: see `complete`, `lost_bytes`, `refresh`.

    Parameters
    ----------
    path : path of the file
    schema : str, optional
        The hash of the schema that it must have (`wire.schema_hash`).
    progress : function of (bytes done, bytes in all), optional
        Called while an unfinished one is read through.

    Raises
    ------
    RecordingError
        The file is no recording, cut off within its header, corrupted, newer or of another schema.
    OSError
    """
    recording = Recording(path, progress)
    if schema is not None and recording.schema_hash != schema:
        recording.close()
        raise RecordingError(f"{path}: it was recorded with the schema {recording.schema_hash}, not {schema}")
    return recording
