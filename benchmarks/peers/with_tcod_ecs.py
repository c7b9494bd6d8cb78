"""tcod-ecs: a registry of entities whose components are dictionaries."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from typing import Any

from benchmarks.node import Missing
from benchmarks.peers.case import Case, weighted_objects
from benchmarks.peers.inputs import COMPONENTS, DT, WANTED, Inputs

try:
    import tcod.ecs as ecs
except ImportError:
    ecs = None

NAME = "tcod-ecs"


def version() -> str:
    if ecs is None:
        raise Missing("tcod-ecs is not installed: pip install tcod-ecs")
    return f"{importlib.metadata.version('tcod-ecs')}, Python {platform.python_version()}"


@dataclass(slots=True)
class Position:
    x: float
    y: float
    z: float


@dataclass(slots=True)
class Velocity:
    x: float
    y: float
    z: float


@dataclass(slots=True)
class Value:
    v: float


# A component's key may be (name, type): so it is done for plain numbers.
HP = ("hp", int)
FUEL = ("fuel", float)
TARGET = ("target", object)
KINDS = [(name, Value) for name in COMPONENTS]


def _spawn(registry: Any, inputs: Inputs) -> list[Any]:
    new = registry.new_entity
    rows = zip(inputs.position.tolist(), inputs.velocity.tolist(), inputs.hp.tolist(), strict=True)
    return [new({Position: Position(*p), Velocity: Velocity(*v), HP: hp}) for p, v, hp in rows]


def _each(registry: Any, key: Any) -> list[Any]:
    return [found for (found,) in registry.Q[(key,)]]


def integrate(inputs: Inputs) -> Case:
    registry = ecs.Registry()
    _spawn(registry, inputs)

    def work() -> None:
        for pos, vel in registry.Q[Position, Velocity]:
            pos.x += vel.x * DT
            pos.y += vel.y * DT
            pos.z += vel.z * DT

    return Case(work, lambda: weighted_objects(_each(registry, Position)))


def create(inputs: Inputs) -> Case:
    positions, velocities, hp = inputs.position.tolist(), inputs.velocity.tolist(), inputs.hp.tolist()
    registries: list[Any] = []

    def reset() -> None:
        registries[:] = [ecs.Registry()]

    def work() -> None:
        new = registries[0].new_entity
        for p, v, h in zip(positions, velocities, hp, strict=True):
            new({Position: Position(*p), Velocity: Velocity(*v), HP: h})

    def check() -> float:
        total = weighted_objects(_each(registries[0], Position)) + weighted_objects(_each(registries[0], Velocity))
        return total + sum(_each(registries[0], HP))

    return Case(work, check, reset)


def destroy(inputs: Inputs) -> Case:
    registry = ecs.Registry()
    entities: list[Any] = []

    def reset() -> None:
        entities[:] = _spawn(registry, inputs)

    def work() -> None:
        for entity in entities:
            entity.clear()

    return Case(work, lambda: len(entities) - len(registry.Q.all_of(components=[HP]).get_entities()), reset)


def add_remove(inputs: Inputs) -> Case:
    registry = ecs.Registry()
    entities = _spawn(registry, inputs)
    some = [(entities[i], float(inputs.values[i])) for i in inputs.some]

    def add() -> None:
        for entity, amount in some:
            entity.components[FUEL] = amount

    def remove() -> None:
        for entity, _ in some:
            del entity.components[FUEL]

    def check() -> float:
        add()
        total = sum(_each(registry, FUEL))
        remove()
        return total if not registry.Q.all_of(components=[FUEL]).get_entities() else -1.0

    return Case(lambda: (add(), remove()), check)


def query(inputs: Inputs) -> Case:
    registry = ecs.Registry()
    of_kind = [[c for c, has in zip(KINDS, row, strict=True) if has] for row in inputs.kinds]
    rows = zip(inputs.kind_of.tolist(), inputs.values.tolist(), strict=True)
    entities = [registry.new_entity({c: Value(value) for c in of_kind[kind]}) for kind, value in rows]
    wanted = tuple(KINDS[:WANTED])

    def work() -> None:
        for a, b, c, d, e in registry.Q[wanted]:
            a.v += (b.v + c.v + d.v + e.v) * DT

    return Case(work, lambda: sum(a.v for a, *_ in registry.Q[wanted]) if entities else 0.0)


def random(inputs: Inputs) -> Case:
    registry = ecs.Registry()
    entities = _spawn(registry, inputs)
    visits = [(entities[i], i * 0.5) for i in inputs.order.tolist()]

    def work() -> None:
        for entity, more in visits:
            entity.components[Position].x += more

    return Case(work, lambda: sum(p.x for p in _each(registry, Position)))


def random_known(inputs: Inputs) -> Case:
    """Whoever comes back often keeps the component instead of looking it up."""
    registry = ecs.Registry()
    entities = _spawn(registry, inputs)
    visits = [(entities[i].components[Position], i * 0.5) for i in inputs.order.tolist()]

    def work() -> None:
        for position, more in visits:
            position.x += more

    return Case(work, lambda: sum(p.x for p in _each(registry, Position)))


def follow(inputs: Inputs) -> Case:
    """By a component: its relations can tell who follows whom both ways, and cost more."""
    registry = ecs.Registry()
    entities = _spawn(registry, inputs)
    for entity, target in zip(entities, inputs.targets.tolist(), strict=True):
        entity.components[TARGET] = entities[target]

    def work() -> None:
        for pos, target in registry.Q[Position, TARGET]:
            pos.x += target.components[Velocity].x

    return Case(work, lambda: sum(p.x for p in _each(registry, Position)))


def despawn(inputs: Inputs) -> Case:
    registries: list[Any] = []

    def reset() -> None:
        registries[:] = [ecs.Registry()]
        _spawn(registries[0], inputs)

    def work() -> None:
        dead = [entity for entity, hp in registries[0].Q[ecs.Entity, HP] if hp <= 0]
        for entity in dead:
            entity.clear()

    return Case(work, lambda: sum(hp + 1 for hp in _each(registries[0], HP)), reset)


WORKLOADS = {
    f.__name__: f for f in (integrate, create, destroy, add_remove, query, random, random_known, follow, despawn)
}
