"""What moves: quantised values of every entity at every tick, the same for whoever encodes them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.tracks import Tracks

PRECISION = 1 / 512  # metres
YAW_PRECISION = 2 * math.pi / 1024
YAW_STEPS = 4  # ticks back and ahead between which a walker's direction is taken
HURT_EACH_S = 0.05  # how often somebody loses health
FULL_HEALTH = 100


@dataclass(frozen=True)
class Motion:
    """A motion at a fixed rate.

    Attributes
    ----------
    name : str
    rate : float
        Ticks a second.
    q : int32[n_ticks, n_entities, n_fields]
        x, y and z in units of `PRECISION`; perhaps yaw in units of `YAW_PRECISION`, and health.
    alive : bool[n_ticks, n_entities]
    """

    name: str
    rate: float
    q: NDArray[np.int32]
    alive: NDArray[np.bool_]

    @property
    def n_ticks(self) -> int:
        return self.q.shape[0]

    @property
    def n_entities(self) -> int:
        return self.q.shape[1]

    @property
    def n_fields(self) -> int:
        return self.q.shape[2]

    def updated(self, tick: int) -> NDArray[np.bool_]:
        """bool[n_entities]: who is there and wasn't in the tick before, or has changed since."""
        if tick == 0:
            return self.alive[0]
        changed = (self.q[tick] != self.q[tick - 1]).any(axis=1)
        return self.alive[tick] & (changed | ~self.alive[tick - 1])

    @property
    def n_updates(self) -> int:
        """How many there are for one who sees all."""
        return sum(int(self.updated(tick).sum()) for tick in range(self.n_ticks))


def recorded(tracks: Tracks, name: str, with_more: bool = False) -> Motion:
    """A recording as it is, or with yaw and health: the direction of walking, and an injury now and then."""
    shape = (tracks.n_frames, tracks.n_ids)
    rows = tracks.frame - tracks.first_frame, np.searchsorted(tracks.ids, tracks.id)
    alive = np.zeros(shape, np.bool_)
    alive[rows] = True
    place = np.zeros((*shape, 3), np.float32)
    place[rows] = np.stack([tracks.x, tracks.y, tracks.z], axis=1)
    q = np.rint(place.astype(np.float64) / PRECISION).astype(np.int32)
    if with_more:
        q = np.concatenate([q, _yaw(place, alive)[..., None], _health(alive, tracks.rate)[..., None]], axis=2)
    return Motion(name, tracks.rate, q, alive)


def _yaw(place: NDArray[np.float32], alive: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The direction from a little before to a little after, the last one where somebody stands."""
    n = len(place)
    yaw = np.zeros(alive.shape)
    for t in range(n):
        before, after = max(0, t - YAW_STEPS), min(n - 1, t + YAW_STEPS)
        before_t = np.where(alive[before, :, None], place[before], place[t])
        after_t = np.where(alive[after, :, None], place[after], place[t])
        step = after_t - before_t
        moves = alive[t] & (np.hypot(step[:, 0], step[:, 1]) > 0.05)
        yaw[t] = np.where(moves, np.arctan2(step[:, 1], step[:, 0]), yaw[max(0, t - 1)])
    return np.rint(yaw / YAW_PRECISION).astype(np.int32)


def _health(alive: NDArray[np.bool_], rate: float) -> NDArray[np.int32]:
    random = np.random.default_rng(1)
    lost = np.where(random.random(alive.shape) < HURT_EACH_S / rate, random.integers(1, 10, alive.shape), 0)
    health: NDArray[np.int32] = np.maximum(FULL_HEALTH - np.cumsum(lost, axis=0), 0).astype(np.int32)
    return health


def walkers(n: int, n_ticks: int, rate: float, density: float, seed: int = 1) -> Motion:
    """People who stroll about a square, so many a square metre, each swerving as it goes."""
    random = np.random.default_rng(seed)
    half = math.sqrt(n / density) / 2
    place = random.uniform(-half, half, (n, 2))
    heading, speed = random.uniform(-math.pi, math.pi, n), random.normal(1.3, 0.2, n)
    q = np.zeros((n_ticks, n, 3), np.int32)
    for t in range(n_ticks):
        heading += random.normal(0.0, 1.0, n) / rate
        out = np.abs(place).max(axis=1) > half
        heading[out] = np.arctan2(-place[out, 1], -place[out, 0])
        place += np.stack([np.cos(heading), np.sin(heading)], axis=1) * (speed / rate)[:, None]
        head = 1.7 + 0.02 * np.sin(t * (12.0 / rate) + heading)  # it bobs with the steps
        q[t] = np.rint(np.column_stack([place, head]) / PRECISION)
    return Motion(f"{n:,} walkers", rate, q, np.ones((n_ticks, n), np.bool_))
