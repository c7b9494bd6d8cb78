"""The limits that storage and systems must keep, with one thread, each in one run with what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

import horizon_ecs as hz
from benchmarks.timing import best_s, best_s_of
from horizon_ecs import Read, Res, Write, f4, i2
from horizon_ecs.columns import PAGE, reserve

N = 100_000
MILLION = 1_000_000
HOLES = 10  # one row in so many


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


@hz.system(without=[Frozen])
def move(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    pos.x += vel.x * time.dt
    pos.y += vel.y * time.dt
    pos.z += vel.z * time.dt


@numba.njit(nogil=True, error_model="numpy")
def by_hand(dt: Any, x: Any, y: Any, z: Any, u: Any, v: Any, w: Any) -> None:
    """What the loops are compared with: a plain one over dense arrays."""
    for i in range(len(x)):
        x[i] += u[i] * dt
        y[i] += v[i] * dt
        z[i] += w[i] * dt


def small_system() -> hz.System[..., Any]:
    """A system like any other, and no other's twin."""

    @hz.system
    def drift(pos: Write[Position], vel: Read[Velocity]):
        pos.x += vel.x

    return drift


def crowd(n: int, holes: str = "none", system: hz.System[..., Any] = move) -> hz.World:
    """A world of `n` ships, of which a tenth picked at random is "dead" or "frozen", or none is; and one system."""
    world = hz.World(capacity=n, n_threads=1)
    values = np.random.default_rng(1).random((n, 3)).astype(np.float32)
    ships = world.spawn(Ship, n, Position=values, Velocity=values)
    picked = np.random.default_rng(2).permutation(ships)[: n // HOLES]
    if holes == "dead":
        world.despawn(picked)
    elif holes == "frozen":
        world.add(picked, Frozen)
    world.add_system(system)
    return world


def dense(n: int) -> list[Any]:
    """Six arrays in memory like the columns'."""
    arrays = [reserve((n,), np.float32) for _ in range(6)]
    for array in arrays:
        array[:] = np.random.default_rng(1).random(n)
    return arrays


def ratio(world: hz.World, arrays: list[Any]) -> float:
    """A tick's time by that of the loop by hand, run in turns."""
    dt = np.float32(1 / 60)
    repeats = max(20, 30_000_000 // len(arrays[0]) // 3)
    ours, theirs = best_s_of([world.tick, lambda: by_hand(dt, *arrays)], min(repeats, 200))
    return ours / theirs


def loop_ratio(n: int, holes: str = "none") -> float:
    """How far the loop over the rows that match is from one over as many dense rows."""
    return ratio(crowd(n, holes), dense(n if holes == "none" else n - n // HOLES))


def dispatch_us() -> float:
    """What a system adds to a tick that has nothing else to do: it matches one entity."""
    empty, one = (hz.World(capacity=PAGE, n_threads=1) for _ in range(2))
    one.spawn(Ship)
    one.add_system(move)
    without, with_it = best_s_of([empty.tick, one.tick], 2_000)
    return (with_it - without) * 1e6


def thirty_systems_ms() -> float:
    """A tick of thirty systems over a hundred entities."""
    world = hz.World(capacity=PAGE, n_threads=1)
    world.spawn(Ship, 100, Velocity=(1, 1, 1))
    world.add_system(*(small_system() for _ in range(30)))
    return best_s(world.tick, 1_000) * 1e3


def spawn_and_despawn_ns() -> tuple[float, float]:
    """What an entity's birth, with values for three components, and its death take on memory that was used before."""
    world = hz.World(capacity=N, n_threads=1)
    values = np.random.default_rng(1).random((N, 3)).astype(np.float32)
    hp = np.arange(N).astype(np.int16)
    ships: list[Any] = []

    def spawn() -> None:
        ships[:] = [world.spawn(Ship, N, Position=values, Velocity=values, Health=hp)]

    times = best_s_of([spawn, lambda: world.despawn(ships[0])], 60)
    return times[0] / N * 1e9, times[1] / N * 1e9


@dataclass(frozen=True)
class Limit:
    """A measurement and what it must not exceed."""

    key: str
    title: str
    limit: float
    unit: str
    measure: Callable[[], float]


LIMITS = (
    Limit("dense_100k", "per-entity system by hand-written loop, 100,000 rows", 1.3, "×", lambda: loop_ratio(N)),
    Limit("dense_1m", "the same, 1,000,000 rows", 1.3, "×", lambda: loop_ratio(MILLION)),
    Limit("dead_100k", "a tenth despawned, 100,000 rows", 2.0, "×", lambda: loop_ratio(N, "dead")),
    Limit("dead_1m", "a tenth despawned, 1,000,000 rows", 2.0, "×", lambda: loop_ratio(MILLION, "dead")),
    Limit("frozen_100k", "a tenth with an excluded tag, 100,000 rows", 2.0, "×", lambda: loop_ratio(N, "frozen")),
    Limit("frozen_1m", "a tenth with an excluded tag, 1,000,000 rows", 2.0, "×", lambda: loop_ratio(MILLION, "frozen")),
    Limit("dispatch", "dispatch of a system", 3.0, "µs", dispatch_us),
    Limit("thirty", "a tick of 30 small systems", 0.2, "ms", thirty_systems_ms),
    Limit("create", "create, three components, warm", 20.0, "ns", lambda: spawn_and_despawn_ns()[0]),
    Limit("destroy", "destroy", 5.0, "ns", lambda: spawn_and_despawn_ns()[1]),
)
