"""Histograms of many values at a time, which cost nothing until somebody looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TICK_BOUNDS_S = (5e-4, 0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.033, 0.05, 0.1, 0.25, 1.0)


class Histogram:
    """Values counted by the first upper bound that they don't exceed.

    Parameters
    ----------
    bounds : sequence of float
        Ascending; what exceeds the last one is counted all the same.

    Attributes
    ----------
    counts : int64[n + 1]
        By bucket; not cumulative.
    total : float
        The sum of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds: NDArray[np.float64] = np.array(bounds, np.float64)
        self.clear()

    def clear(self) -> None:
        """Begin again."""
        self.counts: NDArray[np.int64] = np.zeros(len(self.bounds) + 1, np.int64)
        self.total = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Count some values."""
        array = np.asarray(values, np.float64)
        bucket = np.searchsorted(self.bounds, array, side="left")  # a value on a bound is within it
        self.counts += np.bincount(bucket, minlength=len(self.counts))
        self.total += float(array.sum())

    def cumulative(self) -> list[tuple[float, int]]:
        """Each bound, infinity at the end, and how many values don't exceed it."""
        n = np.cumsum(self.counts).tolist()
        return list(zip([*self.bounds.tolist(), float("inf")], n, strict=True))
