"""Runners: a system in parts does what it does as a whole, whatever the number of parts."""

from __future__ import annotations

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write
from horizon_ecs.columns import PAGE
from horizon_ecs.commands import CommandBuffer
from horizon_ecs.runners import make_runner
from tests.game import Frozen, Health, Position, Rock, Ship, Velocity


@hz.system(without=[Frozen])
def move(entity: hz.Entity, pos: Write[Position], health: Read[Health], cmd: hz.Commands):
    pos.x += health.hp
    if health.hp % 7 == 0:
        cmd.add(entity, Frozen)
    if health.hp % 21 == 0:
        cmd.despawn(entity)


@hz.system(without=[Frozen], form="columns", jit=True)
def move_jitted(pos: Write[Position], vel: Read[Velocity]):
    pos.x += vel.x * pos.x.sum()


def crowd() -> hz.World:
    """Pages of two kinds, some of them full and some with holes."""
    rng = np.random.default_rng(5)
    n = 34 * PAGE + 100
    world = hz.World(capacity=60 * PAGE)
    ships = world.spawn(Ship, n, Position=rng.random((n, 3)), Velocity=rng.random((n, 3)), Health=np.arange(n) % 9000)
    world.spawn(Rock, 50)
    world.add(ships[PAGE : 2 * PAGE : 5], Frozen)
    world.despawn(ships[5 * PAGE + 2 : 6 * PAGE : 9])
    return world


def outcome(system: hz.System, n_parts: int) -> list[list[float]]:
    """Everything after a run; the parts in an order of their own."""
    world = crowd()
    runner = make_runner(world, system, CommandBuffer(world))
    assert runner.parallel
    for _ in range(2):
        runner.begin()
        for part in reversed(range(n_parts)):
            runner.part(part, n_parts)
        runner.end()
        runner.commands.apply()
    return [world[Position].x.tolist(), world.signature.tolist(), world.generation.tolist()]


@pytest.mark.parametrize("system", [move, move_jitted], ids=lambda s: s.name)
@pytest.mark.parametrize("n_parts", [2, 3, 40])
def test_the_number_of_parts_changes_nothing(system, n_parts):
    assert outcome(system, n_parts) == outcome(system, 1)


def test_parts_are_even_and_keep_the_order_of_pages():
    world = crowd()
    query = world.query(Position, without=[Frozen])
    whole = [
        p for a, b, f in zip(*query.segments, strict=True) for p in zip(range(a, b, PAGE), [f] * PAGE, strict=False)
    ]
    for n_parts in (1, 2, 5, 50):
        shares = [
            [p for a, b, f in zip(*share, strict=True) for p in zip(range(a, b, PAGE), [f] * PAGE, strict=False)]
            for share in query.segments_in(n_parts)
        ]
        assert [page for share in shares for page in share] == whole
        sizes = {len(s) for s in shares}
        assert max(sizes) - min(sizes) <= 1
    before = query.segments_in(2)
    assert query.segments_in(2) is before
    world.spawn(Rock, 3 * PAGE)
    assert query.segments_in(2) is not before


def test_what_a_failed_run_asked_for_is_forgotten():
    @hz.system
    def fail(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.despawn(entity)
        if health.hp == 5:
            raise ValueError("no luck")

    world = hz.World()
    ships = world.spawn(Ship, 10, Health=np.arange(10))
    runner = make_runner(world, fail, CommandBuffer(world))
    with pytest.raises(ValueError, match="no luck"):
        runner.run()
    world.despawn(ships[:6])
    runner.run()
    runner.commands.apply()
    assert len(world) == 0
    world.spawn(Ship, 2)
    runner.run()
    runner.begin()
    runner.commands.apply()
    assert len(world) == 2
