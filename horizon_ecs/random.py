"""Random: what a system draws from, the same for any number of threads, jitted or plain."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs import kernel
from horizon_ecs.errors import ArgumentError
from horizon_ecs.systems import random as kernels

DRAWS = ("chance", "integers", "normal", "uniform")


def check_seed(seed: Any) -> int:
    """A world's seed, checked: a whole number from 0."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ArgumentError(f"seed must be a whole number from 0, not {seed!r}")
    return int(seed)


def key_of(seed: int, system: str) -> np.uint64:
    """The key that a system of a world draws with."""
    digest = hashlib.blake2b(f"{seed}\0{system}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


class Random:
    """Random numbers of one entity in one tick, or of an array of entities: a parameter `rng: hz.Random` of a system.

    What is drawn depends on the world's seed, the system's name, the tick, the entity, and on how many draws it made
    before in the same run of the system; not on threads, on order, or on whether the system is jitted. The method is
    Philox4x32-10 (see `horizon_ecs.systems.random`), good for simulations and useless for secrets. In a columns system
    each draw is an array, equal to what the entities of the batch would have drawn in a per-entity one; one without
    components draws single numbers.

    Parameters
    ----------
    seed : int
        The world's.
    entity : int or uint64[n]
        Handle or handles.
    tick : int
    system : str
        The system's name. A system that is called plainly, as in a test, draws from the beginning and under its own
        name: `wander(Position(), hz.Random(seed=7, entity=ship, tick=3))` draws what the world does in tick 3.

    Raises
    ------
    ArgumentError
    """

    def __init__(self, seed: int = 0, entity: ArrayLike = 0, tick: int = 0, system: str = "") -> None:
        self._seed, self._tick = check_seed(seed), int(tick)
        handles = np.asarray(entity, np.uint64)
        self._is_one = handles.ndim == 0
        self._handles = np.ascontiguousarray(np.atleast_1d(handles))
        self._key = key_of(self._seed, system)
        self._draw = -1
        kernel.warm_up("random")

    def of_system(self, name: str) -> Random:
        """The same entities' numbers in a run of a system, from its first draw on."""
        handles = self._handles[0] if self._is_one else self._handles
        return Random(self._seed, handles, self._tick, name)

    def _drawn(self, fill: Any, dtype: Any, *bounds: ArrayLike) -> Any:
        n = len(self._handles)
        self._draw += 1
        out: NDArray[Any] = np.zeros(n, dtype)
        given = [np.full(n, b, dtype) for b in bounds]
        fill(self._key, self._tick, self._draw, self._handles, *given, out)
        return out[0].item() if self._is_one else out

    def uniform(self, low: ArrayLike = 0.0, high: ArrayLike = 1.0) -> Any:
        """A float64 from `low` to below `high`."""
        return self._drawn(kernels.fill_uniform, np.float64, low, high)

    def normal(self) -> Any:
        """A float64 of mean 0 and standard deviation 1."""
        return self._drawn(kernels.fill_normal, np.float64)

    def integers(self, low: ArrayLike, high: ArrayLike) -> Any:
        """An int64 from `low` to below `high`; `low` where there is none."""
        return self._drawn(kernels.fill_integers, np.int64, low, high)

    def chance(self, p: ArrayLike) -> Any:
        """True with probability `p`."""
        return self.uniform() < p
