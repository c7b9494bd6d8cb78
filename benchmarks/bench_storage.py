"""Storage: spawn, despawn, handles, components and queries in bulk, in nanoseconds an entity."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import horizon_ecs as hz
from horizon_ecs import f4, i2

N = 100_000
REPEATS = 30


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


@hz.component
class Health:
    hp: i2 = 100


class Frozen(hz.Tag): ...


Ship = hz.Kind("Ship", Position, Velocity, Health, optional=[Frozen])


def best_ns(measure: Callable[[], float], n: int = N) -> float:
    """The best of several measurements in seconds, as nanoseconds an entity."""
    return min(measure() for _ in range(REPEATS)) / n * 1e9


class Storage:
    """Each `track_` is the best of several runs on warm memory."""

    unit = "ns/entity"

    def setup(self) -> None:
        self.world = hz.World(capacity=2 * N)
        self.values = np.random.default_rng(1).random((N, 3)).astype(np.float32)
        self.ships = self.spawn()

    def spawn(self) -> Any:
        return self.world.spawn(Ship, N, Position=self.values, Velocity=self.values, Health=3)

    def _timed(self, work: Callable[[], Any]) -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    def track_spawn_three_components(self) -> float:
        def once() -> float:
            self.world.despawn(self.ships)
            started = time.perf_counter()
            self.ships = self.spawn()
            return time.perf_counter() - started

        return best_ns(once)

    def track_spawn_into_fresh_memory(self) -> float:
        world = hz.World(capacity=2 * N)
        return self._timed(lambda: world.spawn(Ship, N, Position=self.values, Velocity=self.values, Health=3)) / N * 1e9

    def track_despawn(self) -> float:
        def once() -> float:
            took = self._timed(lambda: self.world.despawn(self.ships))
            self.ships = self.spawn()
            return took

        return best_ns(once)

    def track_add_and_remove_tag(self) -> float:
        def both() -> None:
            self.world.add(self.ships, Frozen)
            self.world.remove(self.ships, Frozen)

        return best_ns(lambda: self._timed(both)) / 2

    def track_check_handles(self) -> float:
        return best_ns(lambda: self._timed(lambda: self.world.slots_of(self.ships)))

    def track_set_one_component(self) -> float:
        return best_ns(lambda: self._timed(lambda: self.world.set(self.ships, Position, self.values)))

    def track_query_after_a_change(self) -> float:
        def once() -> float:
            self.world.add(self.ships[:1], Frozen)
            query = self.world.query(Position, Velocity, without=[Frozen])
            return self._timed(lambda: query.slots)

        return best_ns(once)


for _name in [n for n in vars(Storage) if n.startswith("track_")]:
    getattr(Storage, _name).unit = Storage.unit
