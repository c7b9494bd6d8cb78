"""snecs: compiled queries over component objects."""

from __future__ import annotations

import platform
from typing import Any

from benchmarks.node import Missing
from benchmarks.peers.case import Case, weighted_objects
from benchmarks.peers.inputs import COMPONENTS, DT, WANTED, Inputs

try:
    import snecs
except ImportError:
    snecs = None

NAME = "snecs"


def version() -> str:
    if snecs is None:
        raise Missing("snecs is not installed: pip install snecs")
    return f"{snecs.__version__}, Python {platform.python_version()}"


def _component(name: str, *fields: str) -> Any:
    """A registered component with slots, as its documentation writes them."""
    if snecs is None:
        return None
    lines = [f"def __init__(self, {', '.join(fields)}):", *(f"    self.{f} = {f}" for f in fields)]
    space: dict[str, Any] = {}
    exec("\n".join(lines), space)
    body = {"__slots__": fields, "__init__": space["__init__"]}
    return snecs.register_component(type(snecs.Component)(name, (snecs.Component,), body))


Position = _component("Position", "x", "y", "z")
Velocity = _component("Velocity", "x", "y", "z")
Health = _component("Health", "hp")
Fuel = _component("Fuel", "amount")
Target = _component("Target", "entity")
KINDS = [_component(name, "v") for name in COMPONENTS]


def _spawn(world: Any, inputs: Inputs) -> list[int]:
    new = snecs.new_entity
    rows = zip(inputs.position.tolist(), inputs.velocity.tolist(), inputs.hp.tolist(), strict=True)
    return [new((Position(*p), Velocity(*v), Health(hp)), world) for p, v, hp in rows]


def _each(world: Any, component: Any) -> list[Any]:
    return [found for _, (found,) in snecs.Query([component], world).compile()]


def integrate(inputs: Inputs) -> Case:
    world = snecs.World()
    _spawn(world, inputs)
    movers = snecs.Query([Position, Velocity], world).compile()

    def work() -> None:
        for _, (pos, vel) in movers:
            pos.x += vel.x * DT
            pos.y += vel.y * DT
            pos.z += vel.z * DT

    return Case(work, lambda: weighted_objects(_each(world, Position)))


def create(inputs: Inputs) -> Case:
    positions, velocities, hp = inputs.position.tolist(), inputs.velocity.tolist(), inputs.hp.tolist()
    worlds: list[Any] = []

    def reset() -> None:
        worlds[:] = [snecs.World()]

    def work() -> None:
        new, world = snecs.new_entity, worlds[0]
        for p, v, h in zip(positions, velocities, hp, strict=True):
            new((Position(*p), Velocity(*v), Health(h)), world)

    def check() -> float:
        total = weighted_objects(_each(worlds[0], Position)) + weighted_objects(_each(worlds[0], Velocity))
        return total + sum(h.hp for h in _each(worlds[0], Health))

    return Case(work, check, reset)


def destroy(inputs: Inputs) -> Case:
    world = snecs.World()
    entities: list[int] = []

    def reset() -> None:
        entities[:] = _spawn(world, inputs)

    def work() -> None:
        delete = snecs.delete_entity_immediately
        for entity in entities:
            delete(entity, world)

    return Case(work, lambda: len(entities) - len(_each(world, Health)), reset)


def add_remove(inputs: Inputs) -> Case:
    world = snecs.World()
    entities = _spawn(world, inputs)
    some = [(entities[i], float(inputs.values[i])) for i in inputs.some]

    def add() -> None:
        put = snecs.add_component
        for entity, amount in some:
            put(entity, Fuel(amount), world)

    def remove() -> None:
        drop = snecs.remove_component
        for entity, _ in some:
            drop(entity, Fuel, world)

    def check() -> float:
        add()
        total = sum(fuel.amount for fuel in _each(world, Fuel))
        remove()
        return total if not _each(world, Fuel) else -1.0

    return Case(lambda: (add(), remove()), check)


def query(inputs: Inputs) -> Case:
    world = snecs.World()
    of_kind = [[c for c, has in zip(KINDS, row, strict=True) if has] for row in inputs.kinds]
    for kind, value in zip(inputs.kind_of.tolist(), inputs.values.tolist(), strict=True):
        snecs.new_entity([c(value) for c in of_kind[kind]], world)
    wanted = snecs.Query(KINDS[:WANTED], world).compile()

    def work() -> None:
        for _, (a, b, c, d, e) in wanted:
            a.v += (b.v + c.v + d.v + e.v) * DT

    return Case(work, lambda: sum(a.v for _, (a, *_) in wanted))


def random(inputs: Inputs) -> Case:
    world = snecs.World()
    entities = _spawn(world, inputs)
    visits = [(entities[i], i * 0.5) for i in inputs.order.tolist()]

    def work() -> None:
        get = snecs.entity_component
        for entity, more in visits:
            get(entity, Position, world).x += more

    return Case(work, lambda: sum(p.x for p in _each(world, Position)))


def random_known(inputs: Inputs) -> Case:
    """Whoever comes back often keeps the component instead of looking it up."""
    world = snecs.World()
    entities = _spawn(world, inputs)
    visits = [(snecs.entity_component(entities[i], Position, world), i * 0.5) for i in inputs.order.tolist()]

    def work() -> None:
        for position, more in visits:
            position.x += more

    return Case(work, lambda: sum(p.x for p in _each(world, Position)))


def follow(inputs: Inputs) -> Case:
    world = snecs.World()
    entities = _spawn(world, inputs)
    for entity, target in zip(entities, inputs.targets.tolist(), strict=True):
        snecs.add_component(entity, Target(entities[target]), world)
    followers = snecs.Query([Position, Target], world).compile()

    def work() -> None:
        get = snecs.entity_component
        for _, (pos, target) in followers:
            pos.x += get(target.entity, Velocity, world).x

    return Case(work, lambda: sum(p.x for p in _each(world, Position)))


def despawn(inputs: Inputs) -> Case:
    worlds: list[Any] = []
    queries: list[Any] = []

    def reset() -> None:
        worlds[:] = [snecs.World()]
        queries[:] = [snecs.Query([Health], worlds[0]).compile()]
        _spawn(worlds[0], inputs)

    def work() -> None:
        world, schedule = worlds[0], snecs.schedule_for_deletion
        for entity, (health,) in queries[0]:
            if health.hp <= 0:
                schedule(entity, world)
        snecs.process_pending_deletions(world)

    return Case(work, lambda: sum(h.hp + 1 for h in _each(worlds[0], Health)), reset)


WORKLOADS = {
    f.__name__: f for f in (integrate, create, destroy, add_remove, query, random, random_known, follow, despawn)
}
