"""Levels: how space is divided for each kind and size of entity, and the arrays that the grid's kernels write.

A level holds the entities of one schema kind whose radius scale is 1, or one class of scales, a power of two and what
lies down to half of it. Its cells are as wide as its shortest radius asks for, or as a SpatialConfig says, then split
where it is crowded. They are laid out anew where the number of entities or their spread in height has become another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import reserve
from horizon_ecs.config import SpatialConfig
from horizon_ecs.schema import Tables
from horizon_ecs.systems import grid

MAX_CELLS_ACROSS = 8  # of the longest radius: more of them, and finding the cells costs more than looking into them
MIN_LOG2, MAX_LOG2 = 6, 18  # cells a level
MAX_DEPTH = 8  # a split cell's parts along an axis, as log2
# Cells need layers where the entities' middle nine tenths are so many cells high, and no more where they are lower than
# half that: each layer costs a look at its rows.
TALL = 6.0
PLAIN = 0  # the class of those whose scale is exactly 1
MAX_SCALE = 256.0
N_CLASSES = 18  # and one for each power of two from 1/256 to 256


def class_of(scale: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8[n]: the class of each radius scale, 1 + 8 + log2 of the power of two above it; `PLAIN` for exactly 1."""
    mantissa, exponent = np.frexp(scale)
    above = exponent - (mantissa == 0.5)
    return np.where(scale == 1.0, PLAIN, 9 + above).astype(np.uint8)


def largest_scale(number: int) -> float:
    """The largest scale in a class."""
    return 1.0 if number == PLAIN else 2.0 ** (number - 9)


@dataclass(frozen=True)
class Region:
    """A part of space as the search has it: one cell of one level, with what lies in it.

    Attributes
    ----------
    kind : str
    profile : str or None
    scale : float
        The largest radius scale of its level.
    low, high : tuple of float
        Corners, two coordinates each, or three where cells have layers.
    count : int
        Entities.
    depth : int
        It is split into `2**depth` parts along each axis.
    """

    kind: str
    profile: str | None
    scale: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    count: int
    depth: int


class Levels:
    """The levels there are, and the grid's arrays.

    Parameters
    ----------
    tables : Tables
    capacity : int
    n_threads : int
    spatial : SpatialConfig, optional
        Without one cells are never split.
    dimensions : 2, 3 or None
        Whether cells have layers; None to decide by how far entities spread.

    Attributes
    ----------
    kind, number : int64[L]
        Schema kind and class of each level, ascending.
    level_of : int16[K, N_CLASSES]
        -1 where there is no such level.
    first : int64[K + 1]
        Each kind's first level.
    scale : float64[L];  inverse_size : float64[L];  shape : int64[L, 4]
        The largest scale; see `systems.grid`.
    simple : bool
        All levels are flat, no cell is split, and no entity has a radius scale.
    """

    def __init__(self, tables: Tables, capacity: int, n_threads: int, spatial: SpatialConfig | None = None,
                 dimensions: int | None = None) -> None:  # fmt: skip
        self._tables, self._n_threads = tables, n_threads
        self.spatial, self._dimensions = spatial, dimensions
        n_kinds = len(tables.radius)
        self.level_of = np.full((n_kinds, N_CLASSES), -1, np.int16)
        self.cell_of = reserve((capacity,), np.int32)
        self.slot = reserve((capacity, 4), np.uint32)
        self.position = self.slot.view(np.float32)
        self.inverse = np.ones(capacity, np.float32)
        self._spread = 0.0
        self._population = np.zeros(0, np.int64)
        self.hold([(kind, PLAIN) for kind in range(n_kinds)])

    def hold(self, wanted: list[tuple[int, int]]) -> None:
        """Have a level for each of these kinds and classes, and those there were."""
        known = {(k, c) for k, c in zip(*np.nonzero(self.level_of >= 0), strict=True)}
        if known >= set(wanted):
            return
        pairs = sorted(known | set(wanted))
        self.kind, self.number = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
        self.level_of[self.kind, self.number] = np.arange(len(pairs))
        self.first = np.searchsorted(self.kind, np.arange(len(self.level_of) + 1)).astype(np.int64)
        self.scale = np.array([largest_scale(c) for c in self.number.tolist()])
        self._population = np.zeros(len(pairs), np.int64)
        self._log2 = np.zeros(len(pairs), np.int64)
        self.shape = np.zeros((len(pairs), 4), np.int64)
        self.review(self._population, self._spread)

    def edge(self, level: int) -> float:
        """World units that a level's cells are wide; infinite for one that nobody needs to be looked for in."""
        radii = self._tables.radius[self.kind[level]] * self.scale[level]
        finite = radii[(radii > 0) & np.isfinite(radii)]
        if not len(finite):
            return math.inf
        if self.spatial is not None:
            return self.spatial.max_region_size
        return float(max(finite.min(), finite.max() / MAX_CELLS_ACROSS))

    def review(self, population: NDArray[np.int64], spread: float) -> None:
        """Lay out the cells anew where entities have become many more or far fewer, or where they spread otherwise.

        Parameters
        ----------
        population : int64[L]
            Entities in each level.
        spread : float
            World units between the lowest and the highest, outliers left out.
        """
        edges = [self.edge(level) for level in range(len(self.kind))]
        deep = np.array([self._is_deep(level, edge, spread) for level, edge in enumerate(edges)])
        wanted = np.array([_log2_cells(n, edge) for n, edge in zip(population.tolist(), edges, strict=True)])
        grown = (wanted > self._log2) | (wanted < self._log2 - 4)
        if not grown.any() and np.array_equal(deep, self.shape[:, 3] > 0) and self._log2.any():
            return
        self._spread = spread
        self._log2 = np.where(grown, wanted, self._log2)
        self._lay_out(np.array(edges), deep)

    def _is_deep(self, level: int, edge: float, spread: float) -> bool:
        if self._dimensions is not None:
            return self._dimensions == 3 and edge < math.inf
        return spread > edge * (TALL / 2 if self.shape[level, 3] > 0 else TALL)

    def _lay_out(self, edges: NDArray[np.float64], deep: NDArray[np.bool_]) -> None:
        self.inverse_size = np.where(np.isfinite(edges), 1.0 / edges, 1.0)
        n_cells = 0
        for level, log2 in enumerate(self._log2.tolist()):
            layers = log2 // 3 if deep[level] else 0
            lines = (log2 - layers) // 2
            self.shape[level] = n_cells, log2 - layers - lines, lines, layers
            n_cells += 1 << log2
        self.n_cells = n_cells
        self.depth = np.zeros(n_cells if self.spatial is not None else 0, np.uint8)
        self.simple = not len(self.depth) and not deep.any() and bool((self.number == PLAIN).all())
        self.divide()

    def divide(self) -> None:
        """Number the parts of every cell, after depths have changed."""
        if not len(self.depth):
            self.first_part, n_parts = np.zeros(0, np.int32), self.n_cells
        else:
            deep = np.repeat(self.shape[:, 3] > 0, 1 << self.shape[:, 1:].sum(axis=1))
            counts = 1 << (self.depth.astype(np.int64) * np.where(deep, 3, 2))
            self.first_part = np.append(0, np.cumsum(counts)).astype(np.int32)
            n_parts = int(counts.sum())
        self.cell_start = np.zeros(n_parts + 1, np.int32)
        self.counts = np.zeros((self._n_threads, n_parts), np.int32)

    def adapt(self) -> None:
        """Split and merge cells for the next tick, by what this tick's grid holds."""
        if self.spatial is None:
            return
        before = self.depth.copy()
        most = self._greatest_depth()
        for first, log_w, log_h, log_d in self.shape.tolist():
            grid.adjust_depths(
                first, 1 << (log_w + log_h + log_d), 3 if log_d else 2, most, self.first_part, self.cell_start,
                self.spatial.split_threshold, self.spatial.merge_threshold, self.depth
            )  # fmt: skip
        if not np.array_equal(before, self.depth):
            self.divide()

    def _greatest_depth(self) -> int:
        assert self.spatial is not None
        quarters = math.log2(self.spatial.max_region_size / self.spatial.min_region_size)
        return min(MAX_DEPTH, math.floor(quarters + 1e-9))


def _log2_cells(n: int, edge: float) -> int:
    """How many cells a level of n entities should have: about as many."""
    if edge == math.inf:
        return 0
    return min(MAX_LOG2, max(MIN_LOG2, 2 * math.ceil(math.log2(max(n, 2) / 2) / 2)))
