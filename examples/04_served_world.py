"""A served world: thousands of fireflies, streamed by interest. Open the printed address and press the arrow keys."""

from __future__ import annotations

import math
from typing import Any

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


@hz.event
class Steer:  # what the page sends
    x: f4
    y: f4


near = hz.Layer(channel=0, radius=150.0, frequency=20.0, fields=[Position], precision=1 / 64)
far = hz.Layer(channel=2, radius=900.0, frequency=2.0, fields=[Position], precision=1 / 8)
Firefly = hz.Kind("Firefly", Position, Orbit, layers=[near, far])


@hz.system(phase="input", form="columns")
def steer(world: hz.World) -> None:
    wishes = world.events(Steer)  # of this tick, as arrays
    slots = world.slots_of(wishes.sender)
    world[Orbit].x[slots] += 40 * wishes.x
    world[Orbit].y[slots] += 40 * wishes.y


@hz.system
def fly(pos: Write[Position], orbit: Read[Orbit], time: Res[hz.Time]) -> None:
    angle = orbit.speed * time.elapsed
    pos.x = orbit.x + orbit.radius * math.cos(angle)
    pos.y = orbit.y + orbit.radius * math.sin(2.0 * angle)


def on_join(world: hz.World, player: hz.Player) -> int:
    """Every client looks from a firefly of its own."""
    return int(world.spawn(Firefly, 1, Orbit=(SIDE / 2, SIDE / 2, 200.0, 0.2))[0])


def on_leave(world: hz.World, player: hz.Player) -> None:
    world.despawn(player.entity, missing="ignore")


def main(port: int = 8080, **options: Any) -> dict[str, Any]:
    world = hz.World(capacity=N + 1_000, tick_rate=60, seed=3, kinds=[Firefly])
    places, sizes = world.rng.random((N, 2)) * SIDE, world.rng.uniform(20, 120, N)
    world.spawn(Firefly, N, Orbit=np.c_[places, sizes, world.rng.normal(0, 0.4, N)].astype(np.float32))
    world.add_system(steer, fly)
    page = {"title": "Fireflies", "bounds": [0, 0, SIDE, SIDE]}
    config = hz.ServerConfig(port=port)
    server = hz.Server(world, config, events=[Steer], on_join=on_join, on_leave=on_leave, about=page)
    server.run(**{"started": lambda s: print(f"Open {s.url}", flush=True), **options})
    return server.report()


if __name__ == "__main__":
    print(main())
