"""Changes, queries and neighbours, in nanoseconds an entity; `python -m benchmarks.bench_changes` prints them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import horizon_ecs as hz
from benchmarks.limits import Frozen, N, Position, Ship, Velocity
from benchmarks.timing import best_s

REPEATS = 15
NEAR = 10  # neighbours within a radius of one, on average


class Changes:
    """100,000 entities of three components, one in ten of which is frozen; they fill a cube or a square evenly."""

    unit = "ns/entity"

    def setup(self) -> None:
        rng = np.random.default_rng(1)
        self.cube = rng.random((N, 3)) * (N * 4 / 3 * np.pi / NEAR) ** (1 / 3)
        self.square = rng.random((N, 3)) * [*[(N * np.pi / NEAR) ** 0.5] * 2, 0]
        self.world = hz.World(capacity=2 * N)
        self.ships = self.world.spawn(Ship, N, Position=self.cube)
        self.world.add(self.ships[::10], Frozen)
        self.query = self.world.query(Position, Velocity, without=[Frozen])

    def _ns(self, work: Callable[[], object]) -> float:
        return best_s(work, REPEATS) / N * 1e9

    # -- what is noticed ---------------------------------------------------------------------------------------

    def track_tick_that_writes_everything(self) -> float:
        """A sync of one component, all of whose values may have been written and are others."""
        self.world.track(Position)

        def once() -> None:
            self.world[Position].x[:N] += 1
            self.world.touch(Position)
            self.world.tick()

        return self._ns(once)

    def track_tick_that_writes_nothing_new(self) -> float:
        self.world.track(Position)
        return self._ns(lambda: (self.world.touch(Position), self.world.tick()))

    def track_asking_what_changed(self) -> float:
        self.world.track(Position)
        return self._ns(lambda: self.query.changed(Position, since=0))

    def track_entering_and_leaving_a_query(self) -> float:
        """One in ten leaves, and comes back: two syncs, two callbacks."""
        some = self.ships[1::10]
        self.world.on_enter(self.query, len)
        self.world.on_leave(self.query, len)

        def once() -> None:
            self.world.add(some, Frozen)
            self.world.tick()
            self.world.remove(some, Frozen)
            self.world.tick()

        return self._ns(once)

    # -- queries -----------------------------------------------------------------------------------------------

    def track_values_of_a_query(self) -> float:
        return self._ns(lambda: self.query["Position.x"])

    def track_choice_by_values(self) -> float:
        return self._ns(lambda: self.query.select(self.query["Position.x"] < 9))

    def track_pairs_in_space(self) -> float:
        every = self.world.query(Position)
        return self._ns(lambda: every.pairs_within(1.0))

    def track_pairs_in_a_plane(self) -> float:
        """Of positions in space, all of one height."""
        self.world.set(self.ships, Position, self.square)
        return self.track_pairs_in_space()

    def track_near_entities(self) -> float:
        every = self.world.query(Position)
        return self._ns(lambda: every.near(every, 1.0))


_TRACKS = [name for name in vars(Changes) if name.startswith("track_")]
for _name in _TRACKS:
    getattr(Changes, _name).unit = Changes.unit


def main() -> None:
    """Print everything."""
    for name in _TRACKS:
        bench = Changes()
        bench.setup()
        print(f"{name.removeprefix('track_').replace('_', ' '):<32}{getattr(bench, name)():>8.1f} ns an entity")


if __name__ == "__main__":
    main()
