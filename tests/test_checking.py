"""check_system: what it lets pass, and everything that it finds."""

from __future__ import annotations

import enum
import math

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4, i2, kernel
from tests.game import Frozen, Fuel, Health, Position, Ship, Velocity

jitted = pytest.mark.skipif(not kernel.jit_enabled(), reason="nothing is compiled")


class Mode(enum.Enum):
    IDLE = 0
    RUN = 1


@hz.component
class Pilot:
    aim: hz.vec2
    target: hz.Entity
    mode: Mode
    skill: f4 = hz.field(default=0.5, range=(0, 1))


@hz.component
class Shield:
    left: f4 = 1.0


@hz.event
class Shot:
    power: f4


@hz.resource
class Rules:
    limit: i2 = 40


class Bag:
    """A resource that no file holds."""

    def __init__(self) -> None:
        self.seen = 0


Spark = hz.Kind("Spark", Position, optional=[Frozen])


@hz.system(without=[Frozen])
def everything(
    entity: hz.Entity,
    pilot: Write[Pilot],
    pos: Read[Position],
    shield: Write[Shield] | None,
    rules: Res[Rules],
    time: Res[hz.Time],
    cmd: hz.Commands,
    rng: hz.Random,
    velocity: hz.Lookup[Velocity],
    shots: hz.Emit[Shot],
) -> None:
    pilot.aim.x += velocity[pilot.target].x * time.dt
    pilot.aim[1] = rng.uniform(0.0, 2.0)
    if pilot.target not in velocity:
        pilot.mode = Mode.RUN
    if shield is not None:
        shield.left -= pilot.skill * 0.5
        if shield.left < 0.0:
            cmd.remove(entity, Shield)
    if pos.x > rules.limit:
        cmd.spawn(Spark, Position(pos.x, math.sqrt(abs(pos.y))))
        shots.emit(Shot(power=pilot.skill))
    elif rng.chance(0.1):
        cmd.despawn(entity)
    elif pos.x < -50.0:
        cmd.add(entity, Frozen)


def test_a_sound_system_passes_with_all_that_it_uses():
    found = hz.check_system(everything, n_entities=300)
    assert 200 < found.n_entities < 300
    assert len(found.checks) == 5
    assert found.notes == ()
    assert "keeps its promises" in str(found)


@hz.system(form="columns", jit=True)
def jitted_columns(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]) -> None:
    for i in range(len(pos)):
        pos.x[i] += vel.x[i] * time.dt


@hz.system(form="columns")
def plain_columns(pos: Write[Position], vel: Read[Velocity]) -> None:
    pos.x += vel.x


@hz.system(form="columns")
def once(world: hz.World, bag: Res[Bag]) -> None:
    bag.seen += len(world)


@pytest.mark.parametrize("system", [jitted_columns, plain_columns, once], ids=lambda s: s.name)
def test_other_forms_pass(system):
    assert hz.check_system(system).system == system.name


@hz.system(form="columns")
def by_the_mean(pos: Write[Position]) -> None:
    pos.x -= pos.x.mean()


@hz.system(form="columns")
def openly(pos: Read[Position], world: hz.World) -> None:
    world[Health].hp[:] -= 1


@hz.system(form="columns")
def secretly(pos: Read[Position], health: Read[Health]) -> None:
    base = health.hp.base if health.hp.base is not None else health.hp
    base.flags.writeable = True
    base[:] -= 1


@hz.system(form="columns")
def lazy(pos: Write[Position], vel: Write[Velocity]) -> None:
    vel.x += 1.0


@hz.system
def clumsy(pos: Read[Position], health: Write[Health]) -> None:
    health.hp = int(100 / max(0.0, pos.x))


@hz.system
def forgets(pos: Read[Position], health: Write[Health]) -> None:
    kept = np.zeros(3)
    kept[0] = pos.x
    health.hp = int(kept[0])


@pytest.mark.parametrize(
    ("system", "problem"),
    [
        (by_the_mean, r"Position\.x depends on how rows are batched"),
        pytest.param(clumsy, "as plain Python it raises ZeroDivisionError", marks=jitted),
        pytest.param(forgets, "it takes memory while it runs", marks=jitted),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_what_is_found(system, problem):
    with pytest.raises(hz.CheckFailure, match=problem) as failed:
        hz.check_system(system)
    assert failed.value.system == system.name
    assert isinstance(failed.value, AssertionError)


def test_undeclared_writes_are_found():
    with pytest.raises(hz.CheckFailure, match=r"writes Health\.hp, which it doesn't declare"):
        hz.check_system(secretly)


def test_a_world_of_ones_own_stays_as_it_is():
    world = hz.World(capacity=5_000)
    world.spawn(Ship, 20)
    before = world.digest()
    assert "it writes Health.hp, which it doesn't declare Write" in hz.check_system(openly, world=world).notes
    assert world.digest() == before


@hz.system
def burn_out(entity: hz.Entity, fuel: Write[Fuel], cmd: hz.Commands) -> None:
    fuel.amount -= 60.0
    if fuel.amount < 0.0:
        cmd.remove(entity, Fuel)


@hz.system(on_enter=Mode.RUN)
def begin(pos: Write[Position]) -> None:
    pos.x = 0.0


@pytest.mark.parametrize("system", [burn_out, begin], ids=lambda s: s.name)
def test_systems_that_change_what_they_go_over_or_run_at_times(system):
    assert hz.check_system(system).n_entities > 1_000


def test_what_is_declared_and_not_written_is_noted():
    assert hz.check_system(lazy).notes == ("it declares Write[Position], but changed nothing of it here",)


FACTOR = 1


@hz.system
def scale(health: Write[Health]) -> None:
    health.hp = FACTOR


@jitted
def test_compiled_and_plain_differences_are_shown(monkeypatch):
    hz.check_system(scale)
    monkeypatch.setitem(globals(), "FACTOR", 2)  # which a system that is compiled already doesn't see
    with pytest.raises(hz.CheckFailure, match=r"Health\.hp differs for \d+ entities.* plain Python: 1 and 2, 1 and 2"):
        hz.check_system(scale)


def outside() -> None: ...


def test_arguments_are_checked():
    with pytest.raises(hz.ArgumentError, match="decorated with @system"):
        hz.check_system(outside)
    with pytest.raises(hz.ArgumentError, match="n_entities"):
        hz.check_system(everything, n_entities=0)

    class Closed:
        def __init__(self, needed: int) -> None:
            self.needed = needed

    @hz.system(form="columns")
    def needs(pos: Read[Position], closed: Res[Closed]) -> None: ...

    with pytest.raises(hz.ArgumentError, match="resource Closed can't be made without arguments"):
        hz.check_system(needs)
