"""The Quantiser: once a tick, every replicated column into integers, one row of the history a track."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import reserve
from horizon_ecs.components import Component
from horizon_ecs.schema import Tables, Track
from horizon_ecs.systems import quantise

if TYPE_CHECKING:
    from horizon_ecs.world import World

Rows: TypeAlias = Sequence[NDArray[np.int32]]
Work: TypeAlias = Callable[[NDArray[np.uint32], np.uint32, Rows, Rows, NDArray[np.int64]], None]

_N_OF_ROTATION = 4


class Quantiser:
    """Turns columns into the integers of their tracks.

    Parameters
    ----------
    world : World
    tables : Tables
    components : mapping from name to component class

    Attributes
    ----------
    n_works : int
        Pieces of work that share nothing: a track each, or the four of a rotation.
    """

    def __init__(self, world: World, tables: Tables, components: Mapping[str, Component]) -> None:
        tracks = tables.tracks
        self._world, self._components = world, components
        self._kinds = np.zeros((len(tracks), len(tables.period)), np.bool_)
        for k, c, j, f in np.argwhere(tables.carried()):
            # An entity that changes its profile has a history in those of the other as well.
            self._kinds[tables.track[k, c, j, f], tables.profiles[k, 0]] = True
        self._work: list[tuple[int, int, Work]] = []  # first track, number of tracks, what to do
        number = 0
        while number < len(tracks):
            n = _N_OF_ROTATION if tracks[number].codec == "rotation" else 1
            self._work.append((number, n, self._work_of(tracks[number : number + n])))
            number += n
        self.n_works = len(self._work)
        self._of_all_kinds = [bool(self._kinds[first].all()) for first, _, _ in self._work]
        self._counts = np.zeros((self.n_works, 8), np.int64)  # a line of cache each, of which two are used

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64[2]: `quantise.HELD` and `CLAMPED` of the last tick."""
        total: NDArray[np.int64] = self._counts[:, :2].sum(axis=0)
        return total

    def run(
        self,
        number: int,
        pages: NDArray[np.uint32],
        of_kind: NDArray[np.int16],
        tick: int,
        history: NDArray[np.int32],
        depth: int,
    ) -> tuple[range, Rows, Rows]:
        """Do one of `n_works`: write the tick's row of its tracks, from the columns and the row before.

        Parameters
        ----------
        pages : uint32[n]                            in      pages of replicated kinds
        of_kind : int16[n]                           in      number of their kinds' first profiles in the schema
        history : int32[n_tracks * depth, stride]    in/out

        Returns
        -------
        tracks, and their rows of the tick before and of this one.
        """
        first, n_tracks, work = self._work[number]
        counts, n = self._counts[number, :2], self._world.n_slots
        counts[:] = 0
        tracks = range(first, first + n_tracks)
        before = [history[track * depth + (tick - 1) % depth, :n] for track in tracks]
        out = [history[track * depth + tick % depth, :n] for track in tracks]
        mine = pages if self._of_all_kinds[number] else pages[self._kinds[first][of_kind]]
        work(mine, np.uint32(tick), before, out, counts)
        return tracks, before, out

    def _work_of(self, tracks: Sequence[Track]) -> Work:
        """How a track is filled, or the four of a rotation."""
        one = tracks[0]
        if one.codec == "packed":
            return self._pack(one)
        columns = [self._world.column(self._components[track.component], track.name) for track in tracks]
        if one.codec == "rotation":
            return self._rotate(columns, one.scale)
        if one.codec in ("quantised", "angle"):
            return self._round(columns[0], one)
        return self._copy(columns[0], one.codec)

    def _round(self, column: NDArray[Any], track: Track) -> Work:
        """Floats; those of two bytes by way of four, since kernels don't know them."""
        wide = reserve((len(column),), np.float32) if column.dtype == np.float16 else column
        bits = -round(math.log2(track.scale))
        born = self._world.born

        def work(
            pages: NDArray[np.uint32], tick: np.uint32, before: Rows, out: Rows, counts: NDArray[np.int64]
        ) -> None:  # fmt: skip
            if wide is not column:
                used = self._world.n_pages_used * quantise.PAGE
                wide[:used] = column[:used]
            if track.codec == "angle":
                steps = 1.0 / track.scale / math.tau
                quantise.quantise_angle(wide, pages, steps, bits, born, tick, before[0], out[0], counts)
            else:
                quantise.quantise_float(wide, pages, 1.0 / track.scale, born, tick, before[0], out[0], counts)

        return work

    def _copy(self, column: NDArray[Any], codec: str) -> Work:
        """Integers as they are, and floats bit for bit."""
        plain = column.view(np.uint16 if column.itemsize == 2 else np.int32) if codec == "bits" else column

        def work(
            pages: NDArray[np.uint32], tick: np.uint32, before: Rows, out: Rows, counts: NDArray[np.int64]
        ) -> None:  # fmt: skip
            quantise.quantise_integer(plain, pages, out[0])

        return work

    def _rotate(self, columns: Sequence[NDArray[Any]], precision: float) -> Work:
        """The four components of a quaternion."""
        born, factor = self._world.born, np.zeros(quantise.PAGE)

        def work(
            pages: NDArray[np.uint32], tick: np.uint32, before: Rows, out: Rows, counts: NDArray[np.int64]
        ) -> None:  # fmt: skip
            quantise.quantise_rotation(*columns, pages, 1.0 / precision, born, tick, *before, *out, factor, counts)

        return work

    def _pack(self, track: Track) -> Work:
        """The parts of one word."""
        parts = []
        for name, offset, low, high in track.parts:
            column = self._world.column(self._components[track.component], name)
            plain = column.view(np.uint8) if column.dtype == np.bool_ else column
            parts.append((plain, plain.dtype.type(low), plain.dtype.type(high), offset))
        born = self._world.born

        def work(
            pages: NDArray[np.uint32], tick: np.uint32, before: Rows, out: Rows, counts: NDArray[np.int64]
        ) -> None:  # fmt: skip
            for number, (column, low, high, offset) in enumerate(parts):
                quantise.pack_part(column, pages, low, high, offset, born, tick, number == 0, out[0], counts)

        return work
