"""Systems written for one entity, compiled into one loop over all of them; commands, tags and resources."""

from __future__ import annotations

import math

import numpy as np

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4, i2


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Velocity:
    x: f4
    y: f4


@hz.component
class Energy:
    left: i2 = 300


class Resting(hz.Tag): ...


@hz.resource
class Field:
    size: f4 = 1_000.0


Rover = hz.Kind("Rover", Position, Velocity, Energy, optional=[Resting])


def bounce(position: float, speed: float, size: float) -> float:
    """A plain helper: it is compiled together with the systems that call it."""
    return -speed if position < 0.0 or position > size else speed


@hz.system(without=[Resting])
def drive(pos: Write[Position], vel: Write[Velocity], time: Res[hz.Time], field: Res[Field]):
    vel.x = bounce(pos.x, vel.x, field.size)
    vel.y = bounce(pos.y, vel.y, field.size)
    pos.x += vel.x * time.dt
    pos.y += vel.y * time.dt


@hz.system(after=[drive], without=[Resting])
def tire(entity: hz.Entity, energy: Write[Energy], vel: Read[Velocity], cmd: hz.Commands):
    energy.left -= 1 + int(math.hypot(vel.x, vel.y) > 10.0)
    if energy.left <= 0:
        cmd.add(entity, Resting)  # takes effect at the end of the phase


def main() -> hz.World:
    rng = np.random.default_rng(1)
    world = hz.World(capacity=20_000)
    world.insert(Field(size=500.0))
    world.spawn(Rover, 10_000, Position=rng.random((10_000, 2)) * 500, Velocity=rng.normal(0, 10, (10_000, 2)))
    world.add_system(drive, tire)
    world.run(200)
    print(len(world.query(Resting)), "rovers rest")
    print(world)

    pos = Position(1.0, 0.0)  # a system is still a function, so that a test needs no world
    drive(pos, Velocity(60.0, 0.0), hz.Time(dt=0.5), Field())
    print(pos)
    return world


if __name__ == "__main__":
    main()
