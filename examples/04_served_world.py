"""A served world: thousands of fireflies, streamed by interest. Run it and open the printed address."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4

N, SIDE = 4_000, 2_000.0


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Orbit:
    x: f4
    y: f4
    radius: f4
    speed: f4


Firefly = hz.Kind(
    "Firefly", Position, Orbit,
    layers=[
        hz.Layer(channel=0, radius=150.0, frequency=20.0, fields=[Position], precision=1 / 64),
        hz.Layer(channel=1, radius=400.0, frequency=10.0, fields=[Position], precision=1 / 16),
        hz.Layer(channel=2, radius=900.0, frequency=2.0, fields=[Position], precision=1 / 8),
    ],
)  # fmt: skip


@hz.system
def fly(pos: Write[Position], orbit: Read[Orbit], time: Res[hz.Time]) -> None:
    angle = orbit.speed * time.elapsed
    pos.x = orbit.x + orbit.radius * math.cos(angle)
    pos.y = orbit.y + orbit.radius * math.sin(2.0 * angle)


def make_world() -> hz.World:
    world = hz.World(capacity=N + 1_000, tick_rate=60, seed=3)
    rng = world.rng
    orbits = np.c_[rng.random((N, 2)) * SIDE, rng.uniform(20, 120, N), rng.normal(0, 0.4, N)]
    world.spawn(Firefly, N, Orbit=orbits.astype(np.float32))
    world.add_system(fly)
    return world


def on_join(world: hz.World, player: hz.Player) -> int:
    """Every client looks from a firefly of its own."""
    centre = (SIDE / 2, SIDE / 2, 200.0, 0.2)
    return int(world.spawn(Firefly, 1, Orbit=centre)[0])


def on_leave(world: hz.World, player: hz.Player) -> None:
    world.despawn(player.entity, missing="ignore")


def main(port: int = 8080, seconds: float | None = None, started: Callable[[hz.Server], None] | None = None) -> dict:
    about = {"title": "Fireflies", "bounds": [0.0, 0.0, SIDE, SIDE]}
    config = hz.ServerConfig(port=port)
    server = hz.Server(make_world(), config, on_join=on_join, on_leave=on_leave, about=about)
    server.run(started=started or (lambda s: print(f"Open {s.url}", flush=True)), seconds=seconds)
    return server.report()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    print(main(parser.parse_args().port))
