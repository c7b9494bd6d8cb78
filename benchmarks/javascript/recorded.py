"""Frames that one observer in a crowd gets, as a replicator makes them, in a file for JavaScript."""

from __future__ import annotations

from pathlib import Path

import msgpack
import numpy as np

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4, i2

TICK_RATE = 60
SIDE = 1_000.0


@hz.resource
class Restlessness:
    """How often one of the crowd turns."""

    turns_per_s: f4


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
    hp: i2


NEAR = hz.Layer(channel=0, radius=150, frequency=60, fields=[Position, Health], precision=1 / 128)
MIDDLE = hz.Layer(channel=1, radius=400, frequency=20, fields=[Position, Health], precision=1 / 64)
FAR = hz.Layer(channel=2, radius=1_500, frequency=5, fields=[Position], precision=1 / 16)
Walker = hz.Kind("Walker", Position, Velocity, Health, layers=[NEAR, MIDDLE, FAR])


@hz.system(form="columns")
def wander(world: hz.World) -> None:
    """Turn now and then; one in a hundred is hurt each tick."""
    slots = world.query(Velocity).slots
    turning = slots[world.rng.random(len(slots)) < world.resource(Restlessness).turns_per_s / TICK_RATE]
    for column in (world[Velocity].x, world[Velocity].y):
        column[turning] = world.rng.uniform(-8, 8, len(turning))
    world[Health].hp[slots] -= world.rng.random(len(slots)) < 0.01


@hz.system(after=[wander])
def move(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]) -> None:
    """Straight on."""
    pos.x += vel.x * time.dt
    pos.y += vel.y * time.dt


def record(path: Path, n_entities: int, n_ticks: int, turns_per_s: float) -> None:
    """Write schema, phase and frames of the observer in the middle, as msgpack."""
    world = hz.World(capacity=n_entities + 1_024, tick_rate=TICK_RATE, kinds=[Walker], seed=1)
    random = np.random.default_rng(1)
    places = np.column_stack([random.uniform(-SIDE, SIDE, (n_entities, 2)), np.zeros(n_entities)])
    speeds = np.column_stack([random.uniform(-8, 8, (n_entities, 2)), np.zeros(n_entities)])
    world.spawn(Walker, n_entities, Position=places, Velocity=speeds, Health=1_000)
    world.insert(Restlessness(turns_per_s))
    world.add_system(wander, move)
    replicator = hz.Replicator(world, max_followed=1 << 17)
    observer = replicator.add_observer(position=(0.0, 0.0, 0.0))
    frames = []
    for _ in range(n_ticks):
        world.tick()
        made = replicator.step()
        frames += [bytes(made.buffer[start:stop]) for start, stop in zip(made.payload, made.stop, strict=True)]
    phase = replicator.phase(observer)
    path.write_bytes(msgpack.packb({"schema": replicator.schema, "phase": phase, "frames": frames}))
