"""The workloads: what goes in, and what must come out, worked out by NumPy alone.

All numbers are multiples of 1/32 and small, so that float32 and float64 come to exactly the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DT = 0.25
COMPONENTS = "ABCDEFGHIJ"
WANTED = 5  # the query asks for the first five of them
KINDS = 26
STARTING_HP = 100


@dataclass(frozen=True)
class Inputs:
    """What every peer starts from.

    Attributes
    ----------
    position, velocity : float32[n, 3]
    hp : int16[n]
        A tenth of them is not positive.
    order : int64[n]
        A permutation: who is visited when at random.
    kinds : bool[26, 10]
        Which components each kind has.
    kind_of : int64[n]
        Ascending.
    values : float32[n]
        What each component of the kinds begins with.
    """

    n: int
    position: NDArray[np.float32]
    velocity: NDArray[np.float32]
    hp: NDArray[np.int16]
    order: NDArray[np.int64]
    kinds: NDArray[np.bool_]
    kind_of: NDArray[np.int64]
    values: NDArray[np.float32]

    @property
    def some(self) -> NDArray[np.int64]:
        """Every tenth: who gets a component and loses it."""
        return np.arange(0, self.n, 10)

    @property
    def targets(self) -> NDArray[np.int64]:
        """int64[n]: whom each one follows; half of them are followed by two, the others by nobody."""
        return self.order // 2

    @property
    def matching(self) -> NDArray[np.bool_]:
        """bool[n]: who has all five wanted components."""
        found: NDArray[np.bool_] = self.kinds[:, :WANTED].all(1)[self.kind_of]
        return found

    def plain(self) -> dict[str, Any]:
        """As lists and numbers, for another process."""
        arrays = ("position", "velocity", "hp", "order", "kinds", "kind_of", "values", "some", "targets")
        return {"n": self.n, "dt": DT, "wanted": WANTED, **{name: getattr(self, name).tolist() for name in arrays}}


def make_inputs(n: int, seed: int = 1) -> Inputs:
    """The same for every peer and every run; `n` is at least 26."""
    random = np.random.default_rng(seed)
    kinds = random.random((KINDS, len(COMPONENTS))) < 0.5
    kinds[::2, :WANTED] = True  # of random subsets one in 32 would do: half of them shall
    kinds[1::2, 0] = True  # no kind is empty
    eighths = random.integers(-800, 800, (2, n, 3)) / 8
    hp = np.full(n, STARTING_HP, np.int16)
    hp[random.permutation(n)[: n // 10]] = 0
    return Inputs(
        n, eighths[0].astype(np.float32), eighths[1].astype(np.float32), hp, random.permutation(n), kinds,
        np.arange(n) * KINDS // n, (random.integers(0, 64, n) / 8).astype(np.float32),
    )  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """One line of the table."""

    key: str
    title: str
    operations: Callable[[Inputs], int]
    expected: Callable[[Inputs], float]


def _sum3(array: NDArray[Any]) -> float:
    return float(array.astype(np.float64).sum(0) @ [1, 2, 3])


def _visited(i: Inputs) -> float:
    return float(i.position[:, 0].sum(dtype=np.float64) + (i.order * 0.5).sum())


def _created_some(i: Inputs) -> float:
    return _sum3(i.position[i.some]) + _sum3(i.velocity[i.some]) + float(i.hp[i.some].sum())


def _created(i: Inputs) -> float:
    return _sum3(i.position) + _sum3(i.velocity) + float(i.hp.sum())


WORKLOADS = (
    Workload(
        "integrate", "integrate", lambda i: i.n,
        lambda i: _sum3(i.position.astype(np.float64) + DT * i.velocity.astype(np.float64)),
    ),
    Workload("create", "create", lambda i: i.n, _created),
    Workload("create_one", "create, one a call", lambda i: len(i.some), _created_some),
    Workload("destroy", "destroy", lambda i: i.n, lambda i: float(i.n)),
    Workload(
        "add_remove", "add, remove", lambda i: 2 * len(i.some),
        lambda i: float(i.values[i.some].sum(dtype=np.float64)),
    ),
    Workload(
        "query", "5 of 10, 26 kinds", lambda i: int(i.matching.sum()),
        lambda i: float(i.values[i.matching].sum(dtype=np.float64) * (1 + 4 * DT)),
    ),
    Workload("random", "random, checked", lambda i: i.n, _visited),
    Workload("random_known", "random, known", lambda i: i.n, _visited),
    Workload(
        "follow", "follow references", lambda i: i.n,
        lambda i: float(i.position[:, 0].sum(dtype=np.float64) + i.velocity[i.targets, 0].sum(dtype=np.float64)),
    ),
    Workload(
        "despawn", "despawn in a system", lambda i: i.n,
        lambda i: float(i.hp[i.hp > 0].sum() + (i.hp > 0).sum()),
    ),
)  # fmt: skip
