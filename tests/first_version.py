"""The world in tests/golden/first.world, as the first version of the file format kept it. The file is never written again."""

from __future__ import annotations

import enum
from dataclasses import field
from typing import Annotated

import numpy as np

import horizon_ecs as hz
from horizon_ecs import b1, f4, f8


class Power(enum.Enum):
    OFF = 0
    ON = 1


class Band(enum.IntEnum):
    LOW = 2
    HIGH = 200


@hz.component
class Reading:
    at: hz.vec2
    value: f8 = 1.5
    valid: b1 = True
    band: Band = Band.HIGH


@hz.component
class Clock:
    since: Annotated[int, np.dtype("M8[ms]")]
    phase: np.complex64


class Broken(hz.Tag): ...


class Calibrates(hz.Relation):
    gain: f4 = 2.0


@hz.object_component
class Label:
    text: str = ""
    notes: dict = field(default_factory=dict)


@hz.resource
class Site:
    altitude: f4 = 12.5
    origin: hz.vec2


@hz.event
class Ping:
    strength: f4


Probe = hz.Kind("Probe", Reading, optional=[Broken, Label, Calibrates])
Beacon = hz.Kind("Beacon", Clock, extends=Probe)

EVERYTHING = {"kinds": [Probe, Beacon], "resources": [Site], "events": [Ping], "states": [Power.OFF]}


def make() -> hz.World:
    """The world, made by today's program."""
    world = hz.World(capacity=500, tick_rate=25.0, seed=11, states=[Power.OFF])
    probes = world.spawn(Probe, 4, Reading={"value": [0.5, np.nan, -0.0, 4.0], "at": (1, 2), "band": Band.LOW})
    beacons = world.spawn(Beacon, 2, Clock={"since": np.datetime64(1234, "ms"), "phase": 1 - 2j})
    world.add(probes[:2], Broken)
    world.add(probes[0], Label, Label("first", {"list": [1, 2.5, None, True, b"x"], 3: ("tuple", {4})}))
    world.relate(beacons, Calibrates, probes[3], gain=0.25)
    world.despawn(probes[2])
    world.hide(beacons[1])
    world.insert(Site(altitude=3.0, origin=(7, 8)))
    world.run(2)
    world.push_events(Ping, probes[0], np.array([(0.5,)], Ping.__hz_dtype__))
    world.tick()
    world.push_events(Ping, 0, np.array([(2.0,), (3.0,)], Ping.__hz_dtype__))
    world.set_state(Power.ON)
    world.rng.random(5)
    return world
