"""Tracks: recorded positions over time, read from `.npz` or `.csv` and checked.

A recording is rows of (id, frame, x, y[, z]) at a fixed rate. Whoever has no row in a frame isn't there: one who is
lost for a while vanishes, and comes back as someone new.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.errors import ArgumentError

RATE_KEYS = ("hz", "rate", "fps")
MAX_FRAMES = 10_000_000  # a week at 16 Hz
_WHOLE, _REAL = ("id", "frame"), ("x", "y", "z")
_REQUIRED = ("id", "frame", "x", "y")


@dataclass(frozen=True, eq=False)
class Tracks:
    """A recording, sorted by frame, then id.

    Attributes
    ----------
    id, frame : int64[n_rows]
    x, y, z : float32[n_rows]
        World units; z is 0 where the recording has none.
    rate : float
        Frames a second.
    """

    id: NDArray[np.int64]
    frame: NDArray[np.int64]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32]
    rate: float

    @property
    def n_rows(self) -> int:
        """How many positions there are."""
        return len(self.id)

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """int64[n_ids]: everybody who occurs, ascending."""
        return np.unique(self.id)

    @property
    def n_ids(self) -> int:
        """How many ids occur."""
        return len(self.ids)

    @property
    def first_frame(self) -> int:
        """The number of the first frame."""
        return int(self.frame[0])

    @property
    def last_frame(self) -> int:
        """The number of the last frame."""
        return int(self.frame[-1])

    @property
    def n_frames(self) -> int:
        """Frames from the first to the last, empty ones included."""
        return self.last_frame - self.first_frame + 1

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.n_frames / self.rate

    @cached_property
    def n_alive_max(self) -> int:
        """The most rows that one frame has."""
        return int(np.unique(self.frame, return_counts=True)[1].max())

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """Lowest x, lowest y, highest x, highest y."""
        return float(self.x.min()), float(self.y.min()), float(self.x.max()), float(self.y.max())

    def rows_of(self, frame: int) -> slice:
        """The rows of one frame."""
        first, last = np.searchsorted(self.frame, [frame, frame + 1])
        return slice(int(first), int(last))

    def __repr__(self) -> str:
        return f"Tracks({self.n_rows} rows, {self.n_ids} ids, {self.n_frames} frames at {self.rate:g} Hz)"


def load_tracks(path: str | Path, rate: float | None = None) -> Tracks:
    """Read a recording.

    Parameters
    ----------
    path : str or Path
        `.npz` with arrays `id`, `frame`, `x`, `y` and perhaps `z`, all of one length, and a number `hz`, `rate` or
        `fps`. Or `.csv` with a header that names these columns in any order and case (others are ignored); its rate
        stands in a comment line `# rate: 16`.
    rate : float, optional
        Frames a second, instead of what the file says.

    Raises
    ------
    ArgumentError
        The file can't be read, or isn't a sound recording; the message names file, line or row, and column.
    """
    where = Path(path)
    readers = {".npz": _read_npz, ".csv": _read_csv}
    if where.suffix.lower() not in readers:
        raise ArgumentError(f"{where}: tracks are read from .npz or .csv, not {where.suffix!r}")
    try:
        columns, found, place = readers[where.suffix.lower()](where)
    except OSError as error:
        raise ArgumentError(f"{where}: can't be read: {error.strerror or error}") from None
    return _checked(where, columns, _sound_rate(where, found if rate is None else rate), place)


Read = tuple[dict[str, NDArray[Any]], Any, Callable[[int], str]]
"""Columns by name, the rate or None, and what names a row in messages."""


# -- .npz --------------------------------------------------------------------------------------------------------------


def _read_npz(path: Path) -> Read:
    try:
        opened = np.load(path, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise ArgumentError(f"{path}: not an .npz archive of arrays, but a single array")
        with opened as archive:
            arrays = {name: archive[name] for name in (*_WHOLE, *_REAL, *RATE_KEYS) if name in archive.files}
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"{path}: not a readable .npz archive of plain arrays: {error}") from None
    rate = next((arrays.pop(key) for key in RATE_KEYS if key in arrays), None)
    columns = {name: arrays[name] for name in (*_WHOLE, *_REAL) if name in arrays}
    _require(path, columns)
    for name, array in columns.items():
        if array.ndim != 1 or array.dtype.kind not in "iuf":
            raise ArgumentError(
                f"{path}: {name!r} must be a one-dimensional array of numbers, not {array.dtype} of shape {array.shape}"
            )
    lengths = {name: len(array) for name, array in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ArgumentError(f"{path}: the arrays have different lengths: {lengths}")
    return columns, rate, lambda row: f"row {row}"


def _require(path: Path, names: Iterable[str]) -> None:
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise ArgumentError(f"{path}: {missing[0]!r} is missing; a recording has {', '.join(_REQUIRED)} and perhaps z")


# -- .csv --------------------------------------------------------------------------------------------------------------


def _read_csv(path: Path) -> Read:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{path}: not UTF-8 text: byte {error.start}") from None
    numbered = [(number, line) for number, line in enumerate(io.StringIO(text), 1) if line.strip()]
    comments = [(number, line) for number, line in numbered if line.lstrip().startswith("#")]
    rows = [(number, line) for number, line in numbered if not line.lstrip().startswith("#")]
    if not rows:
        raise ArgumentError(f"{path}: no header and no rows")
    lines = [number for number, _ in rows[1:]]
    header, *cells = csv.reader(line for _, line in rows)
    names = [name.strip().lower() for name in header]
    twice = [name for name in (*_WHOLE, *_REAL) if names.count(name) > 1]
    if twice:
        raise ArgumentError(f"{path}: line {rows[0][0]}: the header has {twice[0]!r} more than once")
    _require(path, names)
    for line, row in zip(lines, cells, strict=False):
        if len(row) != len(names):
            raise ArgumentError(f"{path}: line {line}: {len(row)} cells where the header has {len(names)}")
    if len(cells) != len(lines):
        raise ArgumentError(f"{path}: a quoted cell runs over the end of its line; a recording holds numbers only")
    texts = dict(zip(names, zip(*cells, strict=True), strict=True)) if cells else dict.fromkeys(names, ())
    columns = {name: _parse(path, name, texts[name], lines) for name in (*_WHOLE, *_REAL) if name in texts}
    return columns, _comment_rate(comments), lambda row: f"line {lines[row]}"


def _comment_rate(comments: list[tuple[int, str]]) -> str | None:
    """What stands behind `# rate:`; a number or not."""
    for _, line in comments:
        key, colon, value = line.strip().lstrip("#").partition(":")
        if colon and key.strip().lower() in RATE_KEYS:
            return value.strip()
    return None


def _parse(path: Path, name: str, cells: Iterable[str], lines: list[int]) -> NDArray[Any]:
    """One column as numbers: whole ones stay exact where they are written so."""
    texts = list(cells)
    for dtype in (np.int64, np.float64) if name in _WHOLE else (np.float64,):
        try:
            return np.array(texts, dtype)
        except (ValueError, OverflowError):
            continue
    for line, text in zip(lines, texts, strict=True):
        try:
            float(text)
        except ValueError:
            raise ArgumentError(f"{path}: line {line}: {name} is {text.strip()!r}, not a number") from None
    raise ArgumentError(f"{path}: column {name!r} can't be read as numbers")


# -- checks ------------------------------------------------------------------------------------------------------------


def _sound_rate(path: Path, rate: Any) -> float:
    if rate is None:
        raise ArgumentError(
            f"{path}: no rate: the frames a second stand under 'hz', 'rate' or 'fps' in an .npz, "
            "in a comment '# rate: 16' in a .csv, or are given by rate= (--rate on the command line)"
        )
    try:
        value = float(np.asarray(rate).reshape(()))
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentError(f"{path}: the rate must be a positive number of frames a second, not {rate!r}")
    return value


def _checked(path: Path, columns: dict[str, NDArray[Any]], rate: float, place: Callable[[int], str]) -> Tracks:
    """Sound columns in order, or an ArgumentError about the first row that isn't."""
    n = len(columns["id"])
    if n == 0:
        raise ArgumentError(f"{path}: no rows")
    whole = {name: _as_whole(path, name, columns[name], place) for name in _WHOLE}
    real = {name: _as_real(path, name, columns.get(name, np.zeros(n)), place) for name in _REAL}
    negative = np.flatnonzero(whole["frame"] < 0)
    if len(negative):
        raise ArgumentError(f"{path}: {place(int(negative[0]))}: frame is {whole['frame'][negative[0]]}, below 0")
    span = int(whole["frame"].max()) - int(whole["frame"].min())
    if span > MAX_FRAMES:
        raise ArgumentError(f"{path}: frames reach over {span}, more than {MAX_FRAMES}: most of it would be empty")
    order = np.lexsort((whole["id"], whole["frame"]))
    ids, frames = whole["id"][order], whole["frame"][order]
    twice = np.flatnonzero((ids[1:] == ids[:-1]) & (frames[1:] == frames[:-1]))
    if len(twice):
        first, second = (place(int(order[twice[0] + step])) for step in (0, 1))
        raise ArgumentError(f"{path}: {second}: id {ids[twice[0]]} is in frame {frames[twice[0]]} already, at {first}")
    x, y, z = (real[name][order] for name in _REAL)
    for array in (ids, frames, x, y, z):
        array.flags.writeable = False
    return Tracks(ids, frames, x, y, z, rate)


def _as_whole(path: Path, name: str, values: NDArray[Any], place: Callable[[int], str]) -> NDArray[np.int64]:
    # Doubles hold these exactly; a larger one may have lost its last digits, and two ids become one.
    limit = 2**53 if values.dtype.kind == "f" else 2**63 - 1
    with np.errstate(invalid="ignore"):
        sound = (values == np.rint(values)) & (values <= limit) & (values >= -limit)
    bad = np.flatnonzero(~sound)
    if len(bad):
        raise ArgumentError(f"{path}: {place(int(bad[0]))}: {name} is {values[bad[0]]}, not a whole number")
    return values.astype(np.int64)


def _as_real(path: Path, name: str, values: NDArray[Any], place: Callable[[int], str]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        out = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(out))
    if len(bad):
        raise ArgumentError(f"{path}: {place(int(bad[0]))}: {name} is {values[bad[0]]}, not a finite float32")
    return out
