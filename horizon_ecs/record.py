"""Record: one tick of a replicated world as plain arrays, and a ring of shared memory that takes it to another process.

Whoever judges what clients were told (`horizon_ecs.oracle`) needs the raw world of every tick, and is better off in a
process of its own.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker, shared_memory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.closing import Closing
from horizon_ecs.columns import PAGE
from horizon_ecs.components import fields_of
from horizon_ecs.decoded import places_of
from horizon_ecs.errors import ArgumentError, CapacityError, HorizonError

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator

OBSERVER = np.dtype(
    [
        ("key", np.int64),
        ("entity", np.uint64),
        ("phase", np.int64),
        ("position", np.float32, 3),
        ("rate", np.uint8),  # its periods are doubled so many times, as far as they can be
        ("reach", np.float32),  # what its radii were multiplied by when it was looked at last
        ("status", np.uint8),  # as `replication.LIVE` or `HELD`
        ("reset", np.uint8),  # it got a reset frame in this tick
        ("sent", np.uint8),  # it got a frame in this tick
    ],
    align=True,
)


@dataclass(frozen=True, eq=False)
class Record:
    """One tick of a replicated world, by slot: n rows are the pages in use.

    Attributes
    ----------
    tick : int
    columns : {"Component.field": array[n]}
        Every replicated field, and the position's, as the world has them.
    position : tuple of str
        The names of the two or three columns that interest is measured on.
    born, generation : uint32[n]
        See `Entities`.
    kind : int16[n]
        Number of the kind, and of the profile that the entity has now, in the schema; -1 where no replicated entity
        lives.
    scale : float32[n]
        What each entity's radii are multiplied by.
    observers : structured array[m] of `OBSERVER`
    """

    tick: int
    columns: dict[str, NDArray[Any]]
    position: tuple[str, ...]
    born: NDArray[np.uint32]
    generation: NDArray[np.uint32]
    kind: NDArray[np.int16]
    scale: NDArray[np.float32]
    observers: NDArray[np.void]


def _column_names(replicator: Replicator) -> tuple[dict[str, tuple[type, str]], tuple[str, ...]]:
    """Every column that a record has, with component and field; and those that are the position."""
    by_name = {c.__name__: c for c in replicator.world.components}
    kinds = replicator.schema["kinds"]
    position = kinds[0]["position"]
    names = [(position, f.name) for f in fields_of(by_name[position])]
    names += places_of(replicator.schema)
    columns = {f"{component}.{name}": (by_name[component], name) for component, name in names}
    return columns, tuple(f"{position}.{f.name}" for f in fields_of(by_name[position]))


def _kinds_by_slot(replicator: Replicator, n: int) -> NDArray[np.int16]:
    lives: NDArray[np.bool_] = replicator.world.signature[:n] != 0
    return np.where(lives, replicator.kind_numbers(n), np.int16(-1))


def capture(replicator: Replicator, observers: Mapping[int, int] | Sequence[int]) -> Record:
    """Copy what one tick was, right after `replicator.step()` and before anything else is done to world or replicator.

    Parameters
    ----------
    replicator : Replicator
    observers : mapping from key to observer's number, or sequence of numbers
        Who is to be judged. Numbers are given out again, so keys should tell sessions apart; without a mapping the
        number is the key.
    """
    world = replicator.world
    n = world.n_pages_used * PAGE
    columns, position = _column_names(replicator)
    return Record(
        tick=world.tick_count,
        columns={name: world.column(*place)[:n].copy() for name, place in columns.items()},
        position=position,
        born=world.born[:n].copy(),
        generation=world.generation[:n].copy(),
        kind=_kinds_by_slot(replicator, n),
        scale=replicator.radius_scales(n),
        observers=_observer_rows(replicator, observers),
    )


def _observer_rows(replicator: Replicator, observers: Mapping[int, int] | Sequence[int]) -> NDArray[np.void]:
    numbers = observers if isinstance(observers, Mapping) else {o: o for o in observers}
    tick = replicator.world.tick_count
    rows = np.zeros(len(numbers), OBSERVER)
    index = np.fromiter(numbers.values(), np.int64, len(numbers))
    rows["key"] = np.fromiter(numbers, np.int64, len(numbers))
    rows["phase"] = [replicator.phase(o) for o in numbers.values()]
    rows["entity"], rows["position"] = replicator.entity[index], replicator.position[index]
    rows["rate"] = replicator._table.told_rate[index]  # another may be asked for since
    rows["reach"] = replicator.reach_scale[index]
    rows["status"] = replicator.status[index]
    rows["reset"], rows["sent"] = replicator.reset_tick[index] == tick, replicator.sent_tick[index] == tick
    return rows


# -- the ring ----------------------------------------------------------------------------------------------------------

_MAGIC = 0x485A5247  # says that the memory is laid out, so that a reader doesn't come too early
_READY, _ABOUT_BYTES, _WRITTEN, _READ, _CLOSED, _N_HEADER = 0, 1, 2, 3, 4, 8
_POLL_S = 0.0005
_ALIGNMENT = 64

_tracking = threading.Lock()


@contextlib.contextmanager
def _untracked() -> Iterator[None]:
    """Open shared memory without telling Python's resource tracker.

    Before 3.13 that takes whoever attaches for an owner: it would unlink the memory when the process ends, and warn.
    """
    with _tracking:
        before = resource_tracker.register
        resource_tracker.register = lambda name, rtype: None
        try:
            yield
        finally:
            resource_tracker.register = before


def _attach(name: str) -> shared_memory.SharedMemory:
    if sys.version_info >= (3, 13):
        return shared_memory.SharedMemory(name, track=False)
    with _untracked():
        return shared_memory.SharedMemory(name)


def _read_about(memory: shared_memory.SharedMemory) -> bytes:
    """The description of a ring, empty where it is none."""
    octets = np.ndarray(memory.size, np.uint8, memory.buf)
    header = octets[: _N_HEADER * 8].view(np.int64)
    if header[_READY] != _MAGIC:
        return b""
    return octets[_N_HEADER * 8 : _N_HEADER * 8 + int(header[_ABOUT_BYTES])].tobytes()


def _layout(about: Mapping[str, Any]) -> tuple[list[tuple[str, str, int]], int]:
    """(name, dtype, rows) of every array in a record's place, and how many bytes a place takes."""
    n = about["n_slots"]
    parts = [(name, dtype, n) for name, dtype in about["columns"].items()]
    parts += [("born", "u4", n), ("generation", "u4", n), ("kind", "i2", n), ("scale", "f4", n)]
    parts += [("observers", "", about["max_observers"]), ("head", "i8", 3)]
    return parts, sum(_padded(_dtype(dtype).itemsize * rows) for _, dtype, rows in parts)


def _dtype(code: str) -> np.dtype[Any]:
    return np.dtype(code) if code else OBSERVER


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT


class _Ring:
    """The memory that both sides see: a header of counters, a description, and places that records take in turn."""

    def __init__(self, memory: shared_memory.SharedMemory, about: dict[str, Any], n_about: int, unlink: bool) -> None:
        self.about = about
        start = _N_HEADER * 8 + _padded(n_about)
        parts, size = _layout(about)
        self.header: NDArray[np.int64] = np.ndarray(_N_HEADER, np.int64, memory.buf)
        self.places: list[dict[str, NDArray[Any]]] = []
        for number in range(about["n_records"]):
            at, views = start + number * size, {}
            for name, code, rows in parts:
                views[name] = np.ndarray(rows, _dtype(code), memory.buf, at)
                at += _padded(_dtype(code).itemsize * rows)
            self.places.append(views)
        # Views must be gone before the memory can be unmapped, also where nobody calls close().
        self.close = weakref.finalize(self, _release, memory, self.__dict__, unlink)


def _wait_while(waits: Callable[[], Any], timeout_s: float) -> bool:
    """Whether `waits()` turned false in time."""
    until = time.monotonic() + timeout_s
    while waits():
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_S)
    return True


def _release(memory: shared_memory.SharedMemory, views: dict[str, Any], unlink: bool) -> None:
    """Let go of the memory; its owner removes it."""
    if unlink:
        views["header"][_CLOSED] = 1
    views.pop("header", None)
    views.pop("places", None)
    memory.close()
    if unlink:
        memory.unlink()


class _Side(Closing):
    """What writer and reader share: closing, by hand or at the end of a `with`."""

    def __init__(self, memory: shared_memory.SharedMemory, text: bytes, unlink: bool) -> None:
        self.name = memory.name
        self._ring = _Ring(memory, json.loads(text), len(text), unlink)

    def close(self) -> None:
        """Let go of the memory. The writer's end tells the reader that nothing more comes."""
        self._ring.close()

    def _header(self) -> NDArray[np.int64]:
        if not self._ring.close.alive:
            raise ArgumentError(f"the ring {self.name!r} is closed")
        return self._ring.header


class RecordWriter(_Side):
    """Makes a ring and writes records to it.

    Parameters
    ----------
    replicator : Replicator
        Whose world the ring is laid out for, at its whole capacity; memory is taken as it is used.
    max_observers : int
        Rows of observers that a record can have.
    n_records : int
        Records that may wait for the reader.
    timeout_s : float
        How long `write` waits for room. Nobody needs to be reading until then.

    Attributes
    ----------
    name : str
        What a reader attaches by.
    """

    def __init__(
        self, replicator: Replicator, *, max_observers: int = 64, n_records: int = 16, timeout_s: float = 5.0
    ) -> None:
        for label, value in (("max_observers", max_observers), ("n_records", n_records)):
            if not isinstance(value, int) or not 1 <= value <= 65_536:
                raise ArgumentError(f"{label} must lie between 1 and 65536, not {value!r}")
        columns, position = _column_names(replicator)
        about = {
            "columns": {name: replicator.world.column(*place).dtype.str[1:] for name, place in columns.items()},
            "position": position,
            "n_slots": replicator.world.n_slots,
            "max_observers": max_observers,
            "n_records": n_records,
            "hysteresis": replicator.hysteresis,
            "schema": replicator.schema,
        }
        text = json.dumps(about).encode()
        size = _N_HEADER * 8 + _padded(len(text)) + n_records * _layout(about)[1]
        memory = shared_memory.SharedMemory(create=True, size=size)
        np.ndarray(len(text), np.uint8, memory.buf, _N_HEADER * 8)[:] = np.frombuffer(text, np.uint8)
        super().__init__(memory, text, unlink=True)
        self.timeout_s = timeout_s
        header = self._ring.header
        header[_ABOUT_BYTES] = len(text)
        header[_READY] = _MAGIC

    def write(self, record: Record) -> None:
        """Append a record; waits, and holds up its thread, while the ring is full.

        Raises
        ------
        CapacityError
            Nobody read for `timeout_s`, or the record has too many observers. Nothing was written.
        """
        header, ring = self._header(), self._ring
        n_observers, n_records = len(record.observers), ring.about["n_records"]
        if n_observers > ring.about["max_observers"]:
            raise CapacityError(f"{n_observers} observers exceed max_observers, {ring.about['max_observers']}")
        if not _wait_while(lambda: header[_WRITTEN] - header[_READ] >= n_records, self.timeout_s):
            raise CapacityError(f"the ring is full: nobody read any of {n_records} records for {self.timeout_s:g} s")
        place, n = ring.places[int(header[_WRITTEN]) % n_records], len(record.born)
        for name, column in record.columns.items():
            place[name][:n] = column
        for name in ("born", "generation", "kind", "scale"):
            place[name][:n] = getattr(record, name)
        place["observers"][:n_observers] = record.observers
        place["head"][:] = record.tick, n, n_observers
        header[_WRITTEN] += 1  # last: from now on the reader may look


class RecordReader(_Side):
    """Reads records in the order of their ticks; one reader at a time, and another may go on where one ended.

    Parameters
    ----------
    name : str
        The writer's.

    Attributes
    ----------
    schema : mapping;  hysteresis : float
        The replicator's, as an oracle wants them.

    Raises
    ------
    HorizonError
        There is no such ring, or it isn't one.
    """

    def __init__(self, name: str) -> None:
        try:
            memory = _attach(name)
        except FileNotFoundError:
            raise HorizonError(f"there is no ring {name!r}: its writer hasn't made it, or has gone") from None
        text = _read_about(memory)
        if not text:
            memory.close()
            raise HorizonError(f"shared memory {name!r} is no ring of records")
        super().__init__(memory, text, unlink=False)
        self.schema: dict[str, Any] = self._ring.about["schema"]
        self.hysteresis: float = self._ring.about["hysteresis"]

    @property
    def ended(self) -> bool:
        """Whether the writer has closed and every record was read."""
        header = self._header()
        # In this order: a writer that closes in between has written before.
        return bool(header[_CLOSED]) and bool(header[_READ] == header[_WRITTEN])

    def read(self, timeout_s: float = 0.0) -> Record | None:
        """The next record, a copy; None if none came in time (see `ended`)."""
        header, ring = self._header(), self._ring
        if not _wait_while(lambda: header[_READ] == header[_WRITTEN] and not header[_CLOSED], timeout_s) or self.ended:
            return None
        place = ring.places[int(header[_READ]) % ring.about["n_records"]]
        tick, n, n_observers = (int(v) for v in place["head"])
        record = Record(
            tick=tick,
            columns={name: place[name][:n].copy() for name in ring.about["columns"]},
            position=tuple(ring.about["position"]),
            born=place["born"][:n].copy(),
            generation=place["generation"][:n].copy(),
            kind=place["kind"][:n].copy(),
            scale=place["scale"][:n].copy(),
            observers=place["observers"][:n_observers].copy(),
        )
        header[_READ] += 1  # last: from now on the writer may use the place
        return record

    def __iter__(self) -> Iterator[Record]:
        """Every record until the writer closes."""
        while not self.ended:
            record = self.read(timeout_s=1.0)
            if record is not None:
                yield record
