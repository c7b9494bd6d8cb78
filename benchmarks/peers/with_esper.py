"""esper: processors over lists of component objects."""

from __future__ import annotations

import itertools
import platform
from dataclasses import dataclass
from typing import Any

from benchmarks.node import Missing
from benchmarks.peers.case import Case, weighted_objects
from benchmarks.peers.inputs import COMPONENTS, DT, WANTED, Inputs

try:
    import esper
except ImportError:
    esper = None

NAME = "esper"

_worlds = itertools.count()


def version() -> str:
    if esper is None:
        raise Missing("esper is not installed: pip install esper")
    return f"{esper.version}, Python {platform.python_version()}"


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
class Health:
    hp: int


@dataclass(slots=True)
class Target:
    entity: int


@dataclass(slots=True)
class Fuel:
    amount: float


def _one_field(name: str) -> type:
    return dataclass(slots=True)(type(name, (), {"__annotations__": {"v": float}}))


KINDS = [_one_field(name) for name in COMPONENTS]


def _fresh_world() -> None:
    """esper's state is global; a world of its own for every case, and the one before is forgotten."""
    before = esper.current_world
    esper.switch_world(f"case {next(_worlds)}")
    if before != "default":
        esper.delete_world(before)


def _spawn(inputs: Inputs) -> list[int]:
    create = esper.create_entity
    rows = zip(inputs.position.tolist(), inputs.velocity.tolist(), inputs.hp.tolist(), strict=True)
    return [create(Position(*p), Velocity(*v), Health(hp)) for p, v, hp in rows]


def _positions() -> list[Any]:
    return [p for _, p in esper.get_component(Position)]


def integrate(inputs: Inputs) -> Case:
    class Move(esper.Processor):
        def process(self, dt: float) -> None:
            for _, (pos, vel) in esper.get_components(Position, Velocity):
                pos.x += vel.x * dt
                pos.y += vel.y * dt
                pos.z += vel.z * dt

    _fresh_world()
    _spawn(inputs)
    esper.add_processor(Move())
    return Case(lambda: esper.process(DT), lambda: weighted_objects(_positions()))


def create(inputs: Inputs) -> Case:
    _fresh_world()
    positions, velocities, hp = inputs.position.tolist(), inputs.velocity.tolist(), inputs.hp.tolist()

    def work() -> None:
        make = esper.create_entity
        for p, v, h in zip(positions, velocities, hp, strict=True):
            make(Position(*p), Velocity(*v), Health(h))

    def check() -> float:
        total = weighted_objects(_positions()) + weighted_objects(v for _, v in esper.get_component(Velocity))
        return total + sum(h.hp for _, h in esper.get_component(Health))

    return Case(work, check, reset=esper.clear_database)


def destroy(inputs: Inputs) -> Case:
    _fresh_world()
    entities: list[int] = []

    def reset() -> None:
        entities[:] = _spawn(inputs)

    def work() -> None:
        delete = esper.delete_entity
        for entity in entities:
            delete(entity, immediate=True)

    return Case(work, lambda: len(entities) - len(esper.get_component(Health)), reset)


def add_remove(inputs: Inputs) -> Case:
    _fresh_world()
    entities = _spawn(inputs)
    some = [(entities[i], float(inputs.values[i])) for i in inputs.some]

    def add() -> None:
        put = esper.add_component
        for entity, amount in some:
            put(entity, Fuel(amount))

    def remove() -> None:
        drop = esper.remove_component
        for entity, _ in some:
            drop(entity, Fuel)

    def check() -> float:
        add()
        total = sum(fuel.amount for _, fuel in esper.get_component(Fuel))
        remove()
        return total if not esper.get_component(Fuel) else -1.0

    return Case(lambda: (add(), remove()), check)


def query(inputs: Inputs) -> Case:
    _fresh_world()
    of_kind = [[c for c, has in zip(KINDS, row, strict=True) if has] for row in inputs.kinds]
    for kind, value in zip(inputs.kind_of.tolist(), inputs.values.tolist(), strict=True):
        esper.create_entity(*(c(value) for c in of_kind[kind]))
    wanted = KINDS[:WANTED]

    def work() -> None:
        for _, (a, b, c, d, e) in esper.get_components(*wanted):
            a.v += (b.v + c.v + d.v + e.v) * DT

    return Case(work, lambda: sum(a.v for _, (a, *_) in esper.get_components(*wanted)))


def random(inputs: Inputs) -> Case:
    _fresh_world()
    entities = _spawn(inputs)
    visits = [(entities[i], i * 0.5) for i in inputs.order.tolist()]

    def work() -> None:
        get = esper.component_for_entity
        for entity, more in visits:
            get(entity, Position).x += more

    return Case(work, lambda: sum(p.x for p in _positions()))


def random_known(inputs: Inputs) -> Case:
    """Whoever comes back often keeps the component instead of looking it up."""
    _fresh_world()
    entities = _spawn(inputs)
    visits = [(esper.component_for_entity(entities[i], Position), i * 0.5) for i in inputs.order.tolist()]

    def work() -> None:
        for position, more in visits:
            position.x += more

    return Case(work, lambda: sum(p.x for p in _positions()))


def follow(inputs: Inputs) -> Case:
    _fresh_world()
    entities = _spawn(inputs)
    for entity, target in zip(entities, inputs.targets.tolist(), strict=True):
        esper.add_component(entity, Target(entities[target]))

    def work() -> None:
        get = esper.component_for_entity
        for _, (pos, target) in esper.get_components(Position, Target):
            pos.x += get(target.entity, Velocity).x

    return Case(work, lambda: sum(p.x for p in _positions()))


def despawn(inputs: Inputs) -> Case:
    class Reap(esper.Processor):
        def process(self) -> None:
            for entity, health in esper.get_component(Health):
                if health.hp <= 0:
                    esper.delete_entity(entity)

    def reset() -> None:
        _fresh_world()
        esper.add_processor(Reap())
        _spawn(inputs)
        esper.get_component(Health)  # the list is cached from tick to tick

    def work() -> None:
        esper.process()
        esper.clear_dead_entities()  # or else the next process() does it

    def check() -> float:
        return sum(h.hp + 1 for _, h in esper.get_component(Health))

    return Case(work, check, reset)


WORKLOADS = {
    f.__name__: f for f in (integrate, create, destroy, add_remove, query, random, random_known, follow, despawn)
}
