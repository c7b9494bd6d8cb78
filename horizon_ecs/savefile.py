"""The file of a snapshot: sections of raw columns behind a header that says what and where they are.

docs/snapshot.md describes it byte by byte. Nothing here knows of worlds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.errors import SnapshotError
from horizon_ecs.packing import dtype_code, dtype_of, pack, unpack

MAGIC = b"HZWORLD\n"
VERSION = 1
ALIGNMENT = 64  # sections begin at multiples of it, so that a file can be mapped
MAX_HEADER_BYTES = 2**26  # what a reader takes into memory on a header's word, if the file is as long
MAX_EXPANSION = 1032  # deflate writes no byte for more than so many

_PREFIX = struct.Struct("<8sIIQ")  # magic, version, CRC-32 of the header, bytes of the header
_WIDEST = (2**64 - 1, 2**64 - 1, 2**32 - 1)  # offset, length, CRC-32: as many bytes as they may take
_READ_BYTES = 1 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Section:
    """One column: its name, dtype and rows, and a function that gives them as a sequence of arrays."""

    name: str
    dtype: np.dtype[Any]
    rows: int
    blocks: Callable[[], Iterable[NDArray[Any]]]

    def octets(self) -> Iterator[memoryview]:
        """The rows as little-endian bytes, block by block."""
        wanted = self.dtype.newbyteorder("<")
        for block in self.blocks():
            yield np.ascontiguousarray(block.astype(wanted, copy=False)).view(np.uint8).data


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


# -- writing -----------------------------------------------------------------------------------------------------------


def write(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    sections: Sequence[Section],
    compress: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a file in one step: it is there whole, and what was there before stays until then.

    Parameters
    ----------
    path : path of the file
    header : plain data
    sections : sequence of Section
    compress : bool
        Each section by zlib.
    progress : function of (bytes done, bytes in all), optional

    Raises
    ------
    SnapshotError
        The header is no plain data.
    OSError
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f"{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            _write_all(file, header, sections, compress, progress)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    """Have the new name reach the disk too, where the system can."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _packed_header(
    header: Mapping[str, Any], sections: Sequence[Section], codec: str, places: Iterable[tuple[int, int, int]]
) -> bytes:
    entries = [[s.name, dtype_code(s.dtype), s.rows, *place] for s, place in zip(sections, places, strict=True)]
    return pack({**header, "codec": codec, "sections": entries}, "the header")


def _write_all(
    file: BinaryIO, header: Mapping[str, Any], sections: Sequence[Section], compress: bool, progress: Progress | None
) -> None:
    """Sections first, behind room for the header, which is written when their places are known."""
    codec = "zlib" if compress else ""
    room = _packed_header(header, sections, codec, [_WIDEST] * len(sections))
    if len(room) > MAX_HEADER_BYTES:
        raise SnapshotError(f"the header takes {len(room):,} bytes; it may take {MAX_HEADER_BYTES:,}")
    unpack(room)  # what a reader's limits refuse must not be written in the first place
    file.write(bytes(_aligned(_PREFIX.size + len(room))))
    total = sum(s.rows * s.dtype.itemsize for s in sections)
    done, places = 0, []
    for section in sections:
        file.write(bytes(_aligned(file.tell()) - file.tell()))
        offset, crc, packer = file.tell(), 0, zlib.compressobj(6) if compress else None
        for octets in section.octets():
            stored = packer.compress(octets) if packer else octets
            crc = zlib.crc32(stored, crc)
            file.write(stored)
            done += len(octets)
            if progress:
                progress(done, total)
        if packer:
            rest = packer.flush()
            crc = zlib.crc32(rest, crc)
            file.write(rest)
        places.append((offset, file.tell() - offset, crc))
    packed = _packed_header(header, sections, codec, places)
    file.seek(0)
    file.write(_PREFIX.pack(MAGIC, VERSION, zlib.crc32(packed), len(packed)) + packed)


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    """Where a section lies, checked against the file's size."""

    name: str
    dtype: np.dtype[Any]
    rows: int
    offset: int
    length: int
    crc: int

    @property
    def n_bytes(self) -> int:
        return self.rows * self.dtype.itemsize


def read(path: str | os.PathLike[str], max_bytes: int | None = None) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A file's header and its sections by name.

    Nothing is believed: what the header says is checked against the file's size before memory is taken, and checksums
    before anything is looked at. Without compression that is at most the file's size; with it, `max_bytes` bounds it.

    Raises
    ------
    SnapshotError
        The file is no snapshot, truncated, corrupted or of a newer version.
    OSError
    """
    with open(path, "rb") as file:
        try:
            return read_from(file, os.fstat(file.fileno()).st_size, max_bytes)
        except SnapshotError as error:
            raise SnapshotError(f"{path}: {error}") from None


def read_from(
    file: BinaryIO, size: int, max_bytes: int | None = None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """`read` of an open file of `size` bytes."""
    header, end = _read_header(file, size)
    try:
        codec = header.pop("codec")
        entries = [_entry(e, codec) for e in header.pop("sections")]
    except SnapshotError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"the header is malformed: {error!r}") from None
    if codec not in ("", "zlib"):
        raise SnapshotError(f"the codec {codec!r} is unknown")
    total = sum(e.n_bytes for e in entries)
    if max_bytes is not None and total > max_bytes:
        raise SnapshotError(f"the columns take {total:,} bytes, more than max_bytes={max_bytes:,}")
    return header, _read_sections(file, entries, codec, end, size)


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header, and where it ends."""
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size or not prefix.startswith(MAGIC):
        raise SnapshotError(f"this is no snapshot of a world, or truncated: it begins with {prefix[:8]!r}")
    _, version, crc, length = _PREFIX.unpack(prefix)
    if version > VERSION:
        raise SnapshotError(f"the file has version {version}; this library reads up to {VERSION}")
    if version < 1 or length > min(MAX_HEADER_BYTES, size - _PREFIX.size):
        raise SnapshotError("the file is truncated, or its first bytes are corrupted")
    packed = file.read(length)
    if zlib.crc32(packed) != crc:
        raise SnapshotError("the header is corrupted: its checksum doesn't fit")
    header = unpack(packed)
    if not isinstance(header, dict):
        raise SnapshotError("the header is no map")
    return header, _PREFIX.size + length


def _entry(fields: Any, codec: str) -> _Entry:
    name, code, *numbers = fields
    if not isinstance(name, str) or len(numbers) != 4 or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise SnapshotError("an entry of the header is malformed")
    entry = _Entry(name, dtype_of(code), *numbers)
    possible = entry.length * MAX_EXPANSION if codec else entry.length
    if entry.n_bytes > possible or (not codec and entry.n_bytes != entry.length):
        raise SnapshotError(f"section {name!r}: {entry.rows} rows don't fit into {entry.length} bytes")
    return entry


def _read_sections(
    file: BinaryIO, entries: Sequence[_Entry], codec: str, end: int, size: int
) -> dict[str, NDArray[Any]]:
    """Every section; they follow each other with nothing but zeros between, up to the file's end."""
    found: dict[str, NDArray[Any]] = {}
    for number, entry in enumerate(entries):
        gap = entry.offset - end
        # The first gap is the room that the header's numbers might have taken.
        widest = ALIGNMENT + (20 * len(entries) if number == 0 else 0)
        if not 0 <= gap < widest or entry.offset % ALIGNMENT or entry.offset + entry.length > size:
            raise SnapshotError(f"section {entry.name!r} lies outside of the file, which is truncated or corrupted")
        if any(file.read(gap)):
            raise SnapshotError(f"the bytes before section {entry.name!r} are corrupted: they aren't zero")
        if entry.name in found:
            raise SnapshotError(f"section {entry.name!r} is there twice")
        found[entry.name] = _read_section(file, entry, codec)
        end = entry.offset + entry.length
    if end != size:
        raise SnapshotError(f"the file has {size} bytes; its sections end at {end}")
    return found


def _read_section(file: BinaryIO, entry: _Entry, codec: str) -> NDArray[Any]:
    out = np.empty(entry.rows, entry.dtype)
    octets = out.view(np.uint8).data
    crc, done, left = 0, 0, entry.length
    unpacker = zlib.decompressobj() if codec else None
    while left:
        stored = file.read(min(left, _READ_BYTES))
        if not stored:
            raise SnapshotError(f"section {entry.name!r} is truncated")
        left -= len(stored)
        crc = zlib.crc32(stored, crc)
        plain = _inflate(unpacker, stored, len(octets) - done, entry.name) if unpacker else stored
        octets[done : done + len(plain)] = plain
        done += len(plain)
    if crc != entry.crc or done != entry.n_bytes or (unpacker and (not unpacker.eof or unpacker.unused_data)):
        raise SnapshotError(f"section {entry.name!r} is corrupted: its checksum or length doesn't fit")
    if entry.dtype.kind == "b" and len(octets) and out.view(np.uint8).max() > 1:
        raise SnapshotError(f"section {entry.name!r} holds what is neither true nor false")
    return out.astype(entry.dtype.newbyteorder("="), copy=False)


def _inflate(unpacker: Any, stored: bytes, room: int, name: str) -> bytes:
    """What some stored bytes unpack to, of which there is at most so much room."""
    try:
        plain: bytes = unpacker.decompress(stored, room + 1)
    except zlib.error as error:
        raise SnapshotError(f"section {name!r} is corrupted: {error}") from None
    if len(plain) > room:
        raise SnapshotError(f"section {name!r} unpacks to more than its rows")
    return plain
