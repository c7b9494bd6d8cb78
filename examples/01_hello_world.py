"""A world, some entities, and a system in plain NumPy that moves them."""

from __future__ import annotations

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Velocity:
    x: f4
    y: f4


Bird = hz.Kind("Bird", Position, Velocity)


@hz.system(form="columns")
def fly(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    pos.x += vel.x * time.dt  # arrays: every bird at once
    pos.y += vel.y * time.dt


def main() -> hz.World:
    world = hz.World(capacity=10_000, tick_rate=60)
    birds = world.spawn(Bird, 1_000, Velocity=[1.0, 0.5])  # handles; positions begin at 0
    world.add_system(fly)
    world.run(120)  # two seconds

    print(world.get(birds[0], Position))  # about x=2, y=1
    world.despawn(birds[:100])
    print(world)
    return world


if __name__ == "__main__":
    main()
