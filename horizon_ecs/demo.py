"""The demo world: ships drift on a slowly turning current between stations, and clients steer ships among them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from horizon_ecs.access import Entity, Read, Res, Write
from horizon_ecs.commands import Commands
from horizon_ecs.components import Tag, Time, component, event, resource
from horizon_ecs.config import ServerConfig
from horizon_ecs.declare import system
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import f4, i2, i4
from horizon_ecs.kinds import Kind, Layer
from horizon_ecs.net.players import Player
from horizon_ecs.net.server import Server
from horizon_ecs.world import World

TICK_RATE = 60.0
UNITS_PER_ENTITY = 1_600.0  # area
MIN_SIDE = 600.0
STATIONS_PER_ENTITY = 1 / 250
MAX_ENTITIES = 1_000_000
PILOTS = 4_096  # room for clients' ships

PILOT_SPEED = 160.0  # units a second
PILOT_RESPONSE = 3.0  # 1 / s
CURRENT = 55.0  # the current's strength, units a second
CURRENT_RESPONSE = 0.5  # 1 / s


@component
class Position:
    """Where something is, in units."""

    x: f4
    y: f4


@component
class Velocity:
    """Units a second; stays on the server."""

    x: f4
    y: f4


@component
class Thrust:
    """Where a pilot steers to, a vector of length 0 to 1."""

    x: f4
    y: f4


@component
class Hull:
    """What is left of a ship, 100 to 0."""

    hp: i2 = 100


class Anchored(Tag):
    """Doesn't drift."""


@resource
class Space:
    """The world's size."""

    side: f4


@event
class Steer:
    """A client's wish, a vector of length 0 to 1."""

    x: f4
    y: f4


LAYERS = [
    Layer(channel=0, radius=150.0, frequency=30.0, fields=[Position, Hull], precision=1 / 64),
    Layer(channel=1, radius=400.0, frequency=15.0, fields=[Position, Hull], precision=1 / 32),
    Layer(channel=2, radius=900.0, frequency=5.0, fields=[Position], precision=1 / 16),
    Layer(channel=3, radius=1_600.0, frequency=1.0, fields=[Position], precision=1 / 8),
]
Ship = Kind("Ship", Position, Velocity, Hull, layers=LAYERS)
Pilot = Kind("Pilot", Position, Velocity, Thrust, Hull, layers=LAYERS)
Station = Kind("Station", Position, Hull, optional=[Anchored], layers=LAYERS)


@system(phase="input", form="columns")
def obey(world: World) -> None:
    """The last wish of each client becomes its ship's thrust."""
    wishes = world.events(Steer)
    slots = world.slots_of(wishes.sender)  # where a sender wished twice, NumPy keeps the later one
    x, y = wishes.x.astype(np.float64), wishes.y.astype(np.float64)
    scale = 1.0 / np.maximum(1.0, np.hypot(x, y))
    world[Thrust].x[slots] = x * scale
    world[Thrust].y[slots] = y * scale


@system(every=6, without=[Thrust])
def drift(pos: Read[Position], vel: Write[Velocity], space: Res[Space], time: Res[Time]) -> None:
    """Follow the current: three standing eddies, each turning at its own pace, that never cross the border."""
    u = math.pi * pos.x / space.side
    v = math.pi * pos.y / space.side
    a = 0.9 * math.cos(0.031 * time.elapsed)
    b = 0.8 * math.cos(0.047 * time.elapsed + 1.0)
    c = 0.5 * math.cos(0.023 * time.elapsed + 2.0)
    flow_x = a * math.sin(u) * math.cos(v) + b * math.sin(2 * u) * math.cos(2 * v) + c * math.sin(3 * u) * math.cos(v)
    flow_y = (
        -a * math.cos(u) * math.sin(v) - b * math.cos(2 * u) * math.sin(2 * v) - 3 * c * math.cos(3 * u) * math.sin(v)
    )
    response = 6 * CURRENT_RESPONSE * time.dt
    vel.x += (CURRENT * flow_x - vel.x) * response
    vel.y += (CURRENT * flow_y - vel.y) * response


@system(every=2)
def fly(vel: Write[Velocity], thrust: Read[Thrust], time: Res[Time]) -> None:
    """A pilot's ship takes on the speed that is wished."""
    response = 2 * PILOT_RESPONSE * time.dt
    vel.x += (PILOT_SPEED * thrust.x - vel.x) * response
    vel.y += (PILOT_SPEED * thrust.y - vel.y) * response


@system(after=[drift, fly])
def move(pos: Write[Position], vel: Read[Velocity], space: Res[Space], time: Res[Time]) -> None:
    """One step, within the borders."""
    pos.x = min(max(pos.x + vel.x * time.dt, 0.0), space.side)
    pos.y = min(max(pos.y + vel.y * time.dt, 0.0), space.side)


@system(phase="react", every=30, without=[Thrust])
def wear(entity: Entity, hull: Write[Hull], vel: Read[Velocity], cmd: Commands) -> None:
    """Speed wears ships out; at the end one is gone."""
    if vel.x * vel.x + vel.y * vel.y > 900.0:
        hull.hp -= 1
    if hull.hp <= 0:
        cmd.despawn(entity)


@system(phase="react", form="columns", every=30)
def launch(world: World) -> None:
    """New ships leave the stations for those that are gone."""
    missing = world.resource(Fleet).size - world.count(Ship)
    if missing > 0:
        ports = world.query(Position, kind=Station).slots
        chosen = ports[world.rng.integers(0, len(ports), missing)]
        hp = world.rng.integers(60, 101, missing)
        world.spawn(Ship, missing, Position={"x": world[Position].x[chosen], "y": world[Position].y[chosen]}, Hull=hp)


@resource
class Fleet:
    """How many ships there are to be."""

    size: i4


def build(n_entities: int, seed: int = 1) -> World:
    """A demo world with so many ships and stations."""
    if not 10 <= n_entities <= MAX_ENTITIES:
        raise ArgumentError(f"entities must lie between 10 and {MAX_ENTITIES}, not {n_entities}")
    n_stations = max(4, round(n_entities * STATIONS_PER_ENTITY))
    n_ships = n_entities - n_stations
    side = max(MIN_SIDE, math.sqrt(n_entities * UNITS_PER_ENTITY))
    world = World(capacity=n_entities + PILOTS, tick_rate=TICK_RATE, seed=seed, kinds=[Ship, Pilot, Station])
    world.insert(Space(side=side))
    world.insert(Fleet(size=n_ships))
    world.add_system(obey, drift, fly, move, wear, launch)
    rng = world.rng
    world.spawn(Station, n_stations, Position=rng.random((n_stations, 2)) * side, Anchored=True)
    world.spawn(Ship, n_ships, Position=rng.random((n_ships, 2)) * side, Hull=rng.integers(1, 101, n_ships))
    return world


def on_join(world: World, player: Player) -> int:
    """A client gets a ship somewhere in the middle."""
    side = world.resource(Space).side
    where = side * (0.3 + 0.4 * world.rng.random(2))
    return int(world.spawn(Pilot, 1, Position=where)[0])


def on_leave(world: World, player: Player) -> None:
    """Its ship leaves with it."""
    world.despawn(player.entity, missing="ignore")


def make_server(world: World, config: ServerConfig, **more: Any) -> Server:
    """A server of a demo world."""
    side = float(world.resource(Space).side)
    about = {"title": "Horizon ECS: ships on a current", "bounds": [0.0, 0.0, side, side]}
    config = config.moved(show_regions=True)
    return Server(world, config, events=[Steer], on_join=on_join, on_leave=on_leave, about=about, **more)
