"""Storage: spawn, despawn, handles, components and queries in bulk, in nanoseconds an entity."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import horizon_ecs as hz
from benchmarks.limits import Frozen, N, Position, Ship, Velocity

REPEATS = 30


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

    def track_spawn_from_doubles(self) -> float:
        """Values in another dtype are cast on their way."""
        values = self.values.astype(np.float64)

        def once() -> float:
            self.world.despawn(self.ships)
            started = time.perf_counter()
            self.ships = self.world.spawn(Ship, N, Position=values, Velocity=values, Health=3)
            return time.perf_counter() - started

        return best_ns(once)

    def track_spawn_defaults(self) -> float:
        def once() -> float:
            self.world.despawn(self.ships)
            started = time.perf_counter()
            self.ships = self.world.spawn(Ship, N)
            return time.perf_counter() - started

        return best_ns(once)

    def track_spawn_into_holes(self) -> float:
        """Slots that are no run: a row in ten."""
        few = self.values[: N // 10]

        def once() -> float:
            self.world.despawn(self.ships[::10])
            started = time.perf_counter()
            self.ships[::10] = self.world.spawn(Ship, N // 10, Position=few, Velocity=few, Health=3)
            return time.perf_counter() - started

        return best_ns(once, N // 10)

    def track_spawn_one(self) -> float:
        """What a call costs, whatever it brings."""
        one = hz.World(capacity=1)

        def once() -> float:
            took = self._timed(lambda: ships.append(one.spawn(Ship, Position=(1, 2, 3), Velocity=(1, 2, 3))))
            one.despawn(ships.pop())
            return took

        ships: list[Any] = []
        return best_ns(once, 1)

    def track_spawn_into_fresh_memory(self) -> float:
        world = hz.World(capacity=2 * N)
        return self._timed(lambda: world.spawn(Ship, N, Position=self.values, Velocity=self.values, Health=3)) / N * 1e9

    def track_despawn(self) -> float:
        def once() -> float:
            took = self._timed(lambda: self.world.despawn(self.ships))
            self.ships = self.spawn()
            return took

        return best_ns(once)

    def track_despawn_in_random_order(self) -> float:
        def once() -> float:
            doomed = np.random.default_rng(1).permutation(self.ships)
            took = self._timed(lambda: self.world.despawn(doomed))
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

    def track_set_at_random(self) -> float:
        ships = np.random.default_rng(1).permutation(self.ships)
        return best_ns(lambda: self._timed(lambda: self.world.set(ships, Velocity, self.values)))

    def track_query_after_a_change(self) -> float:
        def once() -> float:
            self.world.add(self.ships[:1], Frozen)
            query = self.world.query(Position, Velocity, without=[Frozen])
            return self._timed(lambda: query.slots)

        return best_ns(once)


for _name in [n for n in vars(Storage) if n.startswith("track_")]:
    getattr(Storage, _name).unit = Storage.unit
