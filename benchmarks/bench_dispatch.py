"""Systems: what a dispatch costs, and how far the loops are from hand-written ones in the same run."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

import horizon_ecs as hz
from benchmarks.timing import best_s
from horizon_ecs import Read, Res, Write, f4
from horizon_ecs.columns import PAGE, reserve

N = 100 * PAGE


@hz.component
class Position:
    x: f4
    y: f4
    z: f4


@hz.component
class Velocity:
    x: f4
    y: f4
    z: f4


class Frozen(hz.Tag): ...


Ship = hz.Kind("Ship", Position, Velocity, optional=[Frozen])


@hz.system(without=[Frozen])
def move(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    pos.x += vel.x * time.dt
    pos.y += vel.y * time.dt
    pos.z += vel.z * time.dt


@hz.system(without=[Frozen], form="columns")
def move_columns(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    dt = np.float32(time.dt)
    pos.x += vel.x * dt
    pos.y += vel.y * dt
    pos.z += vel.z * dt


@numba.njit(nogil=True, error_model="numpy")
def by_hand(dt: Any, x: Any, y: Any, z: Any, u: Any, v: Any, w: Any) -> None:
    """The limit: a plain loop over dense arrays."""
    for i in range(len(x)):
        x[i] += u[i] * dt
        y[i] += v[i] * dt
        z[i] += w[i] * dt


class Dispatch:
    """Ratios to the hand-written loop (1 is the limit), and the cost of a tick that has nothing to do."""

    def setup(self) -> None:
        self.world = hz.World(capacity=2 * N)
        values = np.random.default_rng(1).random((N, 3))
        self.ships = self.world.spawn(Ship, N, Position=values, Velocity=values)
        self.dense = [reserve((N,), np.float32) for _ in range(6)]
        for array in self.dense:
            array[:] = values[:, 0]

    def _limit(self) -> float:
        return best_s(lambda: by_hand(np.float32(1 / 60), *self.dense))

    def _ratio(self, system: hz.System[..., Any]) -> float:
        self.world.add_system(system)
        return best_s(self.world.tick) / self._limit()

    def track_entity_system_whole_pages(self) -> float:
        return self._ratio(move)

    def track_entity_system_tenth_frozen(self) -> float:
        self.world.add(self.ships[::10], Frozen)
        return self._ratio(move)

    def track_entity_system_tenth_dead(self) -> float:
        self.world.despawn(self.ships[::10])
        return self._ratio(move)

    def track_columns_system_whole_pages(self) -> float:
        return self._ratio(move_columns)

    def track_columns_system_tenth_frozen(self) -> float:
        self.world.add(self.ships[::10], Frozen)
        return self._ratio(move_columns)

    def track_hand_written_loop(self) -> float:
        return self._limit() / N * 1e9

    def track_empty_tick(self) -> float:
        world = hz.World(capacity=PAGE)
        return best_s(world.tick) * 1e6

    def track_dispatch_of_a_system(self) -> float:
        world = hz.World(capacity=PAGE)
        empty = best_s(world.tick)
        world.add_system(move)
        return (best_s(world.tick) - empty) * 1e6


for _name in [n for n in vars(Dispatch) if n.startswith("track_")]:
    getattr(Dispatch, _name).unit = "ratio"
Dispatch.track_hand_written_loop.unit = "ns/entity"  # type: ignore[attr-defined]
Dispatch.track_empty_tick.unit = "µs"  # type: ignore[attr-defined]
Dispatch.track_dispatch_of_a_system.unit = "µs"  # type: ignore[attr-defined]
