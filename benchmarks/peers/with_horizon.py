"""Horizon ECS itself: systems per entity, handles in bulk; one thread, as the others have."""

from __future__ import annotations

import platform

import numpy as np

import horizon_ecs as hz
from benchmarks.peers.case import Case, weighted
from benchmarks.peers.inputs import COMPONENTS, DT, WANTED, Inputs
from horizon_ecs import Read, Res, Write, f4, i2

NAME = "Horizon ECS"


def version() -> str:
    return f"{hz.__version__}, Python {platform.python_version()}"


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


@hz.component
class Fuel:
    amount: f4


@hz.component
class Target:
    entity: hz.Entity


KINDS = [hz.component(type(name, (), {"__annotations__": {"v": f4}})) for name in COMPONENTS]
A, B, C, D, E = KINDS[:WANTED]
Ship = hz.Kind("Ship", Position, Velocity, Health, optional=[Fuel, Target])


@hz.system
def move(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    pos.x += vel.x * time.dt
    pos.y += vel.y * time.dt
    pos.z += vel.z * time.dt


@hz.system
def combine(a: Write[A], b: Read[B], c: Read[C], d: Read[D], e: Read[E], time: Res[hz.Time]):
    a.v += (b.v + c.v + d.v + e.v) * time.dt


@hz.system
def reap(entity: hz.Entity, health: Read[Health], commands: hz.Commands):
    if health.hp <= 0:
        commands.despawn(entity)


@hz.system
def chase(pos: Write[Position], target: Read[Target], velocities: hz.Lookup[Velocity]):
    pos.x += velocities[target.entity].x


def _world(inputs: Inputs, *systems: hz.System) -> hz.World:
    world = hz.World(capacity=inputs.n, tick_rate=1 / DT, kinds=[Ship], n_threads=1)
    world.add_system(*systems)
    return world


def _spawn(world: hz.World, inputs: Inputs) -> np.ndarray:
    return world.spawn(Ship, inputs.n, Position=inputs.position, Velocity=inputs.velocity, Health=inputs.hp)


def _weighted(world: hz.World, component: type) -> float:
    return weighted(*world.query(component).arrays(component).T)


def integrate(inputs: Inputs) -> Case:
    world = _world(inputs, move)
    _spawn(world, inputs)
    return Case(world.tick, lambda: _weighted(world, Position))


def create(inputs: Inputs) -> Case:
    world = _world(inputs)

    def check() -> float:
        return _weighted(world, Position) + _weighted(world, Velocity) + world.query(Health).arrays(Health).sum()

    return Case(lambda: _spawn(world, inputs), check, reset=lambda: world.despawn(world.query(Health).handles))


def create_one(inputs: Inputs) -> Case:
    """The way that this library isn't made for."""
    world = _world(inputs)
    rows = [(inputs.position[i], inputs.velocity[i], inputs.hp[i]) for i in inputs.some]

    def work() -> None:
        for position, velocity, hp in rows:
            world.spawn(Ship, Position=position, Velocity=velocity, Health=hp)

    def check() -> float:
        return _weighted(world, Position) + _weighted(world, Velocity) + world.query(Health).arrays(Health).sum()

    return Case(work, check, reset=lambda: world.despawn(world.query(Health).handles))


def destroy(inputs: Inputs) -> Case:
    world = _world(inputs)
    ships = [_spawn(world, inputs)]

    def reset() -> None:
        world.despawn(world.query(Health).handles)
        ships[0] = _spawn(world, inputs)

    return Case(lambda: world.despawn(ships[0]), lambda: inputs.n - len(world.query(Health)), reset)


def add_remove(inputs: Inputs) -> Case:
    world = _world(inputs)
    some, amounts = _spawn(world, inputs)[inputs.some], inputs.values[inputs.some]

    def work() -> None:
        world.add(some, Fuel, amounts)
        world.remove(some, Fuel)

    def check() -> float:
        world.add(some, Fuel, amounts)
        total = world.query(Fuel).arrays(Fuel).sum(dtype=np.float64)
        world.remove(some, Fuel)
        return total if not len(world.query(Fuel)) else -1.0

    return Case(work, check)


def query(inputs: Inputs) -> Case:
    world = hz.World(capacity=inputs.n, tick_rate=1 / DT, n_threads=1)
    for number, row in enumerate(inputs.kinds):
        components = [c for c, has in zip(KINDS, row, strict=True) if has]
        values = inputs.values[inputs.kind_of == number]
        kind = hz.Kind(f"Kind{number}", *components)
        world.spawn(kind, len(values), **{c.__name__: values for c in components})
    world.add_system(combine)
    return Case(world.tick, lambda: world.query(A, B, C, D, E).arrays(A).sum(dtype=np.float64))


def random(inputs: Inputs) -> Case:
    """The handles are checked each time: that is what they are for."""
    world = _world(inputs)
    visits, more = _spawn(world, inputs)[inputs.order], (inputs.order * 0.5).astype(np.float32)

    def work() -> None:
        rows = world.slots_of(visits).astype(np.intp)  # NumPy gathers fastest by intp
        world[Position].x[rows] += more

    return Case(work, lambda: world.query(Position).arrays(Position)[:, 0].sum(dtype=np.float64))


def random_known(inputs: Inputs) -> Case:
    """Rows stay what they are for life, so a system may keep them instead of handles."""
    world = _world(inputs)
    rows = world.slots_of(_spawn(world, inputs)[inputs.order]).astype(np.intp)
    x, more = world[Position].x, (inputs.order * 0.5).astype(np.float32)

    def work() -> None:
        x[rows] += more

    return Case(work, lambda: world.query(Position).arrays(Position)[:, 0].sum(dtype=np.float64))


def follow(inputs: Inputs) -> Case:
    world = _world(inputs, chase)
    ships = _spawn(world, inputs)
    world.add(ships, Target, {"entity": ships[inputs.targets]})
    return Case(world.tick, lambda: world.query(Position).arrays(Position)[:, 0].sum(dtype=np.float64))


def despawn(inputs: Inputs) -> Case:
    world = _world(inputs, reap)

    def reset() -> None:
        world.despawn(world.query(Health).handles)
        _spawn(world, inputs)

    return Case(world.tick, lambda: (world.query(Health).arrays(Health).astype(np.int64) + 1).sum(), reset)


WORKLOADS = {
    f.__name__: f
    for f in (integrate, create, create_one, destroy, add_remove, query, random, random_known, follow, despawn)
}
