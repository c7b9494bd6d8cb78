"""Systems that run once: by hand, or at startup."""

from __future__ import annotations

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4
from tests.game import Frozen, Fuel, Health, Position, Ship


@hz.event
class Seen:
    hp: f4


@hz.system
def harm(entity: hz.Entity, health: Write[Health], cmd: hz.Commands, out: hz.Emit[Seen]):
    health.hp -= 50
    out.emit(Seen(health.hp))
    if health.hp <= 0:
        cmd.despawn(entity)


def crowd(*systems: hz.System, **options) -> hz.World:
    world = hz.World(capacity=100, **options)
    world.spawn(Ship, 4, Health=[10, 20, 80, 90])
    world.add_system(*systems)
    return world


def test_a_system_runs_now_with_its_commands_and_events():
    world = crowd()
    for expected in ([30, 40], []):
        world.run_system(harm)
        assert world[Health].hp[world.query(Health).slots].tolist() == expected
    assert world.tick_count == 0
    assert len(world.events(Seen)) == 0
    world.tick()
    assert world.events(Seen).hp.tolist() == [-40, -30, 30, 40, -20, -10]
    assert world.schedule.systems == []


def test_conditions_do_not_count_when_it_is_run_by_hand():
    log: list[int] = []

    @hz.system(form="columns", every=7, run_if=lambda world: False)
    def note(time: Res[hz.Time]):
        log.append(time.tick)

    world = crowd(note)
    world.disable(note)
    world.run(3)
    world.run_system(note)
    assert log == [3]
    assert world.stats().systems["note"].runs == 1
    world.remove_system(note)
    world.run_system(note)
    assert log == [3, 3]


def test_since_it_last_ran_counts_runs_by_hand():
    log: list[list[int]] = []

    @hz.system(form="columns", added=[Health])
    def greet(entity: hz.Entity, health: Read[Health]):
        log.append(health.hp.tolist())  # type: ignore[attr-defined]

    world = crowd()
    world.run_system(greet)
    world.spawn(Ship, 1, Health=7)
    world.run_system(greet)
    world.spawn(Ship, 1, Health=8)
    world.add_system(greet)
    world.run(2)
    assert log == [[10, 20, 80, 90], [7], [8]]
    world.disable(greet)
    world.remove_system(greet)
    world.add_system(greet)  # anew
    world.tick()
    assert log[3:] == [[10, 20, 80, 90, 7, 8]]


def test_what_it_changes_counts_for_the_next_tick():
    told: list[int] = []
    world = crowd(track=[Health])
    world.on_remove(Health, lambda handles: told.append(len(handles)))
    world.tick()
    world.run_system(harm)
    assert told == [2]
    for _ in range(2):
        assert world.changed(Health, since=2)[world.query(Health).slots].all()
        assert not world.changed(Health, since=3).any()
        world.tick()
    assert told == [2]


def test_references_to_what_it_ended_are_none_at_once():
    @hz.component
    class Aim:
        at: hz.Entity

    Gun = hz.Kind("Gun", Aim)
    world = crowd()
    guns = world.spawn(Gun, 2, Aim=world.query(Health).handles[[0, 3]])
    world.run_system(harm)
    assert (world[Aim].at[world.slots_of(guns)] != 0).tolist() == [False, True]


def test_its_failure_is_raised_whatever_the_policy_and_what_it_asked_for_forgotten():
    @hz.system(form="columns")
    def fail(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.despawn(entity)
        raise ValueError("no")

    @hz.system(form="columns")
    def wrong(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.add(entity, Position)

    world = crowd(fail, on_error="skip")
    world.tick_count = 4
    with pytest.raises(hz.SystemFailure, match=r"'fail' failed in tick 4 at .*test_run_system.py:\d+: ValueError"):
        world.run_system(fail)
    with pytest.raises(hz.SystemFailure, match="'wrong' failed in tick 4: ArgumentError: Position can't be added"):
        world.run_system(wrong)
    assert len(world) == 4
    assert not world.is_ticking
    world.run_system(harm)
    assert len(world) == 2


def test_it_can_be_run_between_ticks_only():
    world = crowd()

    @hz.system(form="columns")
    def nest(world: hz.World):
        world.run_system(harm)

    @hz.system(form="columns")
    def tick(world: hz.World):
        world.tick()

    with pytest.raises(hz.SystemFailure, match="run_system\\(\\) was called by a system"):
        world.run_system(nest)
    with pytest.raises(hz.SystemFailure, match="tick\\(\\) was called by a system"):
        world.run_system(tick)
    world.add_system(nest)
    with pytest.raises(hz.SystemFailure, match="run_system\\(\\) was called by a system"):
        world.tick()
    with pytest.raises(hz.DefinitionError, match="expected a function decorated"):
        world.run_system(len)  # type: ignore[arg-type]


def test_startup_comes_before_all_else_in_the_first_tick_only():
    log: list[str] = []

    def recorder(name: str, **options) -> hz.System:
        def body(world: hz.World):
            log.append(f"{name} {world.tick_count} {len(world)}")

        body.__name__ = name
        return hz.system(form="columns", **options)(body)

    @hz.system(form="columns", phase="startup")
    def settle_in(cmd: hz.Commands):
        cmd.spawn(Ship, 3, Position(x=np.arange(3)))

    world = hz.World(capacity=10, phases=["update"])
    first = recorder("first", phase="startup", before=["settle_in"])
    world.add_system(recorder("update", phase="update", after=[settle_in]), settle_in, first)
    assert world.schedule.plan().splitlines()[1] == "startup:"
    copy = world.clone()
    world.run(2)
    assert log == ["first 1 0", "update 1 3", "update 2 3"]
    later = recorder("later", phase="startup")
    world.add_system(later)
    world.tick()
    assert log[3:] == ["update 3 3"]

    log.clear()
    copy.tick()  # a copy of a world that hasn't begun begins
    assert log == ["first 1 0", "update 1 3"]
    log.clear()
    world.clone().tick()
    assert log == ["update 4 3"]


def test_startup_is_no_phase_to_be_given_and_takes_no_every():
    with pytest.raises(hz.ArgumentError, match="phases are names other than .*'startup'.*, not 'startup'"):
        hz.World(phases=["startup", "simulate"])
    with pytest.raises(hz.DefinitionError, match="what runs at startup runs once; it takes no every"):
        hz.system(phase="startup", every=2)(lambda: None)

    @hz.system(form="columns", phase="startup", after=["late"])
    def early(world: hz.World): ...

    @hz.system(form="columns")
    def late(world: hz.World): ...

    with pytest.raises(hz.DefinitionError, match="'late' is to run before 'early', but its phase"):
        crowd(early, late)


def test_a_system_of_startup_is_checked_like_any_other():
    @hz.system(phase="startup", without=[Frozen])
    def fill(fuel: Write[Fuel]):
        fuel.amount = 2.0

    assert hz.check_system(fill).system == "fill"
