"""A world that has one of everything that a snapshot must keep; several tests share it."""

from __future__ import annotations

import enum
from dataclasses import field
from typing import Annotated

import numpy as np

import horizon_ecs as hz
from horizon_ecs import b1, f4, f8, i8, u1


class Mode(enum.Enum):
    MENU = 1
    GAME = 2


class Mood(enum.IntEnum):
    CALM = 0
    ANGRY = 3


@hz.component
class Body:
    at: hz.vec3
    mass: f8 = 1.5
    awake: b1 = True


@hz.component
class Mind:
    mood: Mood = Mood.ANGRY
    target: hz.Entity
    seen: i8 = -1


@hz.component
class Wave:
    phase: np.complex64
    since: Annotated[int, np.dtype("M8[ms]")]


class Asleep(hz.Tag): ...


@hz.object_component
class Label:
    name: str = "nobody"
    notes: dict = field(default_factory=dict)


@hz.resource
class Gravity:
    pull: hz.vec2
    mood: Mood = Mood.CALM
    scale: f4 = 9.81


@hz.event
class Steer:
    x: f4
    button: u1


class Follows(hz.Relation, on_target_death="remove"):
    distance: f4 = 2.0


Beast = hz.Kind("Beast", Body, Mind, optional=[Asleep, Label, Follows, hz.Parent])
Bird = hz.Kind("Bird", Wave, extends=Beast)
Stone = hz.Kind("Stone", optional=[Body, Asleep])

KINDS = [Beast, Bird, Stone]
EVERYTHING = {"kinds": KINDS, "resources": [Gravity], "events": [Steer], "states": [Mode.MENU]}


def make(seed: int = 5, capacity: int = 4096) -> hz.World:
    """A world of all of it, some ticks old, with holes."""
    world = hz.World(capacity=capacity, seed=seed, tick_rate=20.0, states=[Mode.MENU])
    world.query(Asleep)  # learnt before the others: bits aren't in the order of kinds
    beasts = world.spawn(Beast, 40, Body={"at": world.rng.random((40, 3)), "mass": world.rng.random(40)})
    birds = world.spawn(Bird, 30, Wave={"phase": 1 + 2j, "since": np.datetime64(7, "ms")})
    stones = world.spawn(Stone, 20)
    world.add(stones[::3], Body, {"mass": np.nan})
    world.add(beasts[::2], Asleep)
    world.relate(beasts[10:20], Follows, beasts[3], distance=0.5)
    world.relate(beasts[21:30], hz.Parent, beasts[20:29])
    world.set(birds, Mind, {"target": beasts[:30], "mood": 0})
    world.add(beasts[:3], Label, [Label("Ann", {"likes": [1, 2.5, ("a", b"b")]}), Label(), Label("Cid", {3: {4, 5}})])
    world.despawn(np.concatenate([beasts[5:9], birds[::7], stones[3:5]]))
    world.hide(birds[1:3])
    world.insert(Gravity(pull=(0.1, -9.81)))
    world.run(3)
    world.push_events(Steer, beasts[0], np.array([(0.5, 1)], Steer.__hz_dtype__))
    world.tick()
    world.push_events(Steer, 0, np.array([(1.5, 2), (2.5, 3)], Steer.__hz_dtype__))
    world.set_state(Mode.GAME)
    world.rng.random(3)
    return world
