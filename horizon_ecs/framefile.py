"""The file of a recording: a header, then records one behind the other, each with its checksum.

docs/recording.md describes it byte by byte. Nothing here knows of worlds or clients; `savefile` is a world's file.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.errors import ArgumentError, RecordingError, SnapshotError
from horizon_ecs.packing import pack, unpack

MAGIC = b"HZFRAMES"
VERSION = 1
MAX_HEADER_BYTES = 2**24  # what a reader takes into memory on a header's word, if the file is as long
BUFFER_BYTES = 2**20  # of a writer, before it turns to the system

FRAMES, OBSERVER, INDEX, END = 1, 2, 3, 4

_PREFIX = struct.Struct("<8sIIQ")  # magic, version, CRC-32 of the header, bytes of the header
_HEAD = struct.Struct("<IIII")  # kind, tick, bytes of the body, CRC-32 of the body
_CRC = struct.Struct("<I")  # of the head
_OFFSET = struct.Struct("<Q")
HEAD_BYTES = _HEAD.size + _CRC.size
_END_BYTES = HEAD_BYTES + _OFFSET.size


@dataclass(frozen=True)
class Record:
    """Where a record lies: its kind, its tick, its body's place and checksum."""

    kind: int
    tick: int
    body: int
    length: int
    crc: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.body + self.length


# -- writing -----------------------------------------------------------------------------------------------------------


class Writer:
    """Writes a new file, record by record, through a buffer of fixed size.

    Parameters
    ----------
    path : path of the file
    header : plain data

    Attributes
    ----------
    offset : int
        Bytes so far: where the next record begins.

    Raises
    ------
    ArgumentError
        There is such a file already, or the header is no plain data.
    OSError
    """

    def __init__(self, path: str | os.PathLike[str], header: Mapping[str, Any]) -> None:
        try:
            packed = pack(dict(header), "the header")
            unpack(packed)  # what a reader's limits refuse must not be written in the first place
        except SnapshotError as error:
            raise ArgumentError(str(error)) from None
        if len(packed) > MAX_HEADER_BYTES:
            raise ArgumentError(f"the header takes {len(packed):,} bytes; it may take {MAX_HEADER_BYTES:,}")
        try:
            self._raw = io.FileIO(path, "x")
        except FileExistsError:
            raise ArgumentError(f"{path} is there already: a recording is never written over another file") from None
        self._file = io.BufferedWriter(self._raw, BUFFER_BYTES)
        self.offset = 0
        self._put(_PREFIX.pack(MAGIC, VERSION, zlib.crc32(packed), len(packed)) + packed)
        self.flush()

    def _put(self, data: bytes | bytearray | memoryview) -> None:
        self._file.write(data)
        self.offset += len(data)

    def record(self, kind: int, tick: int, *parts: bytes | memoryview) -> int:
        """Write a record whose body is these parts; where it begins. Raises OSError."""
        begin, crc = self.offset, 0
        for part in parts:
            crc = zlib.crc32(part, crc)
        head = _HEAD.pack(kind, tick, sum(map(len, parts)), crc)
        self._put(head + _CRC.pack(zlib.crc32(head)))
        for part in parts:
            self._put(part)
        return begin

    def frames(self, tick: int, observer: NDArray[np.uint32], size: NDArray[np.uint32], data: bytes) -> int:
        """Write a tick's frames, one behind the other in `data`; where the record begins. Raises OSError."""
        table = b"".join(a.astype("<u4").tobytes() for a in (observer, size))
        return self.record(FRAMES, tick, struct.pack("<I", len(observer)), table, data)

    def flush(self) -> None:
        """Hand what was written to the system. Raises OSError."""
        self._file.flush()

    def end(self, index: Mapping[str, Any]) -> None:
        """Write the index, and have everything reach the disk. Raises OSError."""
        begin = self.record(INDEX, 0, pack(dict(index), "the index"))
        self.record(END, 0, _OFFSET.pack(begin))
        self.flush()
        os.fsync(self._raw.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, after a failure: without what the buffer may still hold."""
        self._raw.close()


# -- reading -----------------------------------------------------------------------------------------------------------


class Reader:
    """Reads a file at any place, and believes nothing that a checksum doesn't cover.

    Attributes
    ----------
    header : dict
    first : int
        Where the first record begins.

    Raises
    ------
    RecordingError
        The file is no recording, truncated within its header, corrupted there, or of a newer version.
    OSError
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._file: BinaryIO = Path(path).open("rb")  # noqa: SIM115  # lives as long as the reader
        try:
            self.header, self.first = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def size(self) -> int:
        """Bytes of the file now: it may still be growing."""
        return self._file.seek(0, io.SEEK_END)

    def fault(self, what: str) -> RecordingError:
        """An error that names the file."""
        return RecordingError(f"{self.path}: {what}")

    def _read(self, offset: int, n: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(n)

    def _read_header(self) -> tuple[dict[str, Any], int]:
        prefix = self._read(0, _PREFIX.size)
        if len(prefix) < _PREFIX.size or not prefix.startswith(MAGIC):
            raise self.fault(f"this is no recording, or cut off in its first bytes: it begins with {prefix[:8]!r}")
        _, version, crc, length = _PREFIX.unpack(prefix)
        if version > VERSION:
            raise self.fault(f"the file has version {version}; this library reads up to {VERSION}")
        if version < 1 or length > min(MAX_HEADER_BYTES, self.size() - _PREFIX.size):
            raise self.fault("the file is cut off within its header, or its first bytes are corrupted")
        packed = self._read(_PREFIX.size, length)
        if zlib.crc32(packed) != crc:
            raise self.fault("the header is corrupted: its checksum doesn't fit")
        header = self._unpack(packed, "the header")
        return header, _PREFIX.size + length

    def _unpack(self, packed: bytes, what: str) -> dict[str, Any]:
        try:
            found = unpack(packed, len(packed))
        except SnapshotError as error:
            raise self.fault(f"{what} is malformed: {error}") from None
        if not isinstance(found, dict):
            raise self.fault(f"{what} is no map")
        return found

    def record_at(self, offset: int, size: int) -> Record | None:
        """The record that begins at `offset` in a file of `size` bytes; None where the file was cut off within it.

        Raises
        ------
        RecordingError
            What is there isn't what was written.
        """
        data = self._read(offset, min(HEAD_BYTES, size - offset))
        if len(data) < HEAD_BYTES:
            return None
        head, (crc,) = data[: _HEAD.size], _CRC.unpack(data[_HEAD.size :])
        if zlib.crc32(head) != crc:
            if self._is_blank(offset, size):
                return None
            raise self.fault(f"the record at byte {offset} is corrupted: its head's checksum doesn't fit")
        kind, tick, length, body_crc = _HEAD.unpack(head)
        if not FRAMES <= kind <= END:
            raise self.fault(f"the record at byte {offset} has the unknown kind {kind}")
        record = Record(kind, tick, offset + HEAD_BYTES, length, body_crc)
        return record if record.end <= size else None

    def _is_blank(self, offset: int, size: int) -> bool:
        """Whether nothing but zeros follows: room that a file system had given when the power failed."""
        self._file.seek(offset)
        while offset < size:
            data = self._file.read(min(BUFFER_BYTES, size - offset))
            if not data or any(data):
                return False
            offset += len(data)
        return True

    def body(self, record: Record) -> bytes:
        """What a record holds. Raises RecordingError where its checksum doesn't fit."""
        data = self._read(record.body, record.length)
        if len(data) != record.length or zlib.crc32(data) != record.crc:
            raise self.fault(f"the record at byte {record.body - HEAD_BYTES} is corrupted: its checksum doesn't fit")
        return data

    def mapping(self, record: Record) -> dict[str, Any]:
        """What a record of msgpack holds. Raises RecordingError."""
        return self._unpack(self.body(record), f"the record at byte {record.body - HEAD_BYTES}")

    def frames(self, record: Record) -> tuple[NDArray[np.uint32], NDArray[np.int64], memoryview]:
        """A tick's frames: whose each is, where each begins, with the end of the last, and the bytes of all.

        Raises
        ------
        RecordingError
        """
        body = self.body(record)
        malformed = f"the record at byte {record.body - HEAD_BYTES} is malformed"
        n = int.from_bytes(body[:4], "little")
        data = memoryview(body)[4 + 8 * n :]
        if len(body) < 4 + 8 * n:
            raise self.fault(f"{malformed}: {n} frames don't fit into it")
        observer, size = np.frombuffer(body, "<u4", 2 * n, 4).reshape(2, n)
        place = np.concatenate([[0], np.cumsum(size, dtype=np.int64)])
        if place[-1] != len(data) or (n and size.min() == 0):
            raise self.fault(f"{malformed}: its lengths don't fit")
        return observer.astype(np.uint32, copy=False), place, data

    def index(self, size: int) -> tuple[dict[str, Any], int] | None:
        """The index of a file of `size` bytes, and where it begins; None where no end was written.

        Raises
        ------
        RecordingError
            There is an end, but it leads to no index.
        """
        offset = size - _END_BYTES
        if offset < self.first:
            return None
        head = self._read(offset, HEAD_BYTES)
        kind, _, length, _ = _HEAD.unpack(head[: _HEAD.size])
        if _CRC.unpack(head[_HEAD.size :])[0] != zlib.crc32(head[: _HEAD.size]) or (kind, length) != (
            END,
            _OFFSET.size,
        ):
            return None
        end = self.record_at(offset, size)
        begin = _OFFSET.unpack(self.body(end))[0] if end else size
        found = self.record_at(begin, offset) if self.first <= begin < offset else None
        if found is None or found.kind != INDEX or found.end != offset:
            raise self.fault("its end leads to no index: the file is corrupted")
        return self.mapping(found), begin
