"""Systems that fail, and what becomes of the tick, the world and the system."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write
from tests.game import Fuel, Health, Position, Ship
from tests.kernels import every_system_shared


def crowd(*systems: hz.System, **options) -> hz.World:
    world = hz.World(capacity=100, **options)
    world.spawn(Ship, 4, Health=[10, 20, 30, 40])
    world.add_system(*systems)
    return world


def failing(**options) -> hz.System:
    """Writes, asks for an end and fails in every even tick."""

    @hz.system(form="columns", **options)
    def fail(entity: hz.Entity, health: Read[Health], world: hz.World, cmd: hz.Commands):
        world[Health].hp[:4] -= 1
        cmd.despawn(entity[:1])  # type: ignore[index]
        if world.tick_count % 2 == 0:
            raise ValueError("even")

    return fail


@hz.system(form="columns", phase="react")
def count(world: hz.World, pos: Write[Position]):
    pos.x += 1


def test_skip_logs_drops_the_systems_own_commands_and_goes_on(caplog):
    @hz.system(form="columns")
    def fuel(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.add(entity, Fuel)

    world = crowd(failing(), fuel, count, on_error="skip")
    world.tick_count = 1
    world.tick()
    assert len(world) == 4
    assert len(world.query(Fuel)) == 4
    assert world[Health].hp[:4].tolist() == [9, 19, 29, 39]  # what it wrote stays
    assert world[Position].x[:4].tolist() == [1] * 4
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "horizon_ecs.schedule")
    assert re.match(r"system 'fail' failed in tick 2 at .*test_failures.py:\d+: ValueError: even;", record.message)
    assert record.exc_info is not None
    assert record.exc_info[0] is ValueError
    world.tick()
    assert len(world) == 3
    timing = world.stats().systems["fail"]
    assert (timing.runs, timing.failures) == (2, 1)
    assert "2 runs, 1 failed" in str(world)


def test_a_system_has_the_last_word_over_the_world(caplog):
    world = crowd(failing(on_error="skip"))
    world.run(4)
    assert len(world) == 2
    world = crowd(failing(on_error="stop"), count, on_error="skip")
    world.tick()
    with pytest.raises(hz.SystemFailure, match="'fail' failed in tick 2") as info:
        world.tick()
    assert (info.value.system, info.value.tick, info.value.entity) == ("fail", 2, None)
    assert isinstance(info.value.__cause__, ValueError)
    assert len(world) == 3


def test_after_so_many_failures_a_system_is_disabled(caplog):
    world = crowd(failing(on_error=2), count)
    world.spawn(Ship, 6)
    world.run(3)
    assert (world.stats().disabled, len(world)) == ((), 8)
    world.run(3)
    assert world.stats().disabled == ("fail",)
    assert "4 runs, 2 failed, disabled" in str(world)
    assert caplog.messages[-1] == "system 'fail' is disabled: it failed 2 times"
    assert world.stats().systems["fail"].runs == 4
    assert world.stats().systems["count"].runs == 6

    world.enable("fail")  # forgives
    world.run(2)
    assert world.stats().systems["fail"].failures == 3
    assert world.stats().disabled == ()
    world.run(2)
    assert world.stats().disabled == ("fail",)


def test_commands_that_cannot_be_carried_out_are_a_failure_too(caplog):
    @hz.system(form="columns")
    def wrong(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.add(entity, Position)  # every ship has one

    world = crowd(wrong, count, on_error=1)
    world.run(2)
    assert "ArgumentError: Position can't be added to or removed from kind 'Ship'" in caplog.messages[0]
    assert world.stats().disabled == ("wrong",)
    assert world.stats().systems["count"].runs == 2
    with pytest.raises(hz.SystemFailure, match="'wrong' failed in tick 1"):
        crowd(wrong).tick()


def at_thirty(world: hz.World) -> bool:
    return world.tick_count < 3 or bool(1 // 0)


@hz.system(run_if=at_thirty)
def fail_at_thirty(health: Read[Health], pos: Write[Position]):
    pos.x += 1.0
    if health.hp == 30:
        raise ValueError("thirty")


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_failure_names_the_entity(monkeypatch, n_threads):
    every_system_shared(monkeypatch)
    world = crowd(fail_at_thirty, n_threads=n_threads)
    ship = int(world.query(Health).handles[2])
    with pytest.raises(
        hz.SystemFailure, match=f"'fail_at_thirty' failed in tick 1 for entity {ship:#x} at .*thirty"
    ) as info:
        world.tick()
    assert info.value.entity == ship
    assert world[Position].x[:4].tolist() == [1, 1, 0, 0]
    with pytest.raises(hz.SystemFailure, match="for entity"):
        world.tick()
    with pytest.raises(hz.SystemFailure, match="failed in tick 3 at .*ZeroDivision") as info:
        world.tick()
    assert info.value.entity is None


def test_of_two_that_fail_side_by_side_the_first_is_raised(caplog):
    @hz.system
    def first(health: Write[Health]):
        if health.hp > 0:
            raise ValueError("first")

    @hz.system
    def second(pos: Write[Position]):
        pos.x += 2.0
        if pos.x > 1:
            raise ValueError("second")

    @hz.system(after=[second])
    def third(pos: Write[Position]):
        pos.x = 3.0

    world = crowd(first, second, third)
    with pytest.raises(hz.SystemFailure, match="'first' failed"):
        world.tick()
    assert world[Position].x.max() < 3
    assert [t.failures for t in world.stats().systems.values()] == [1, 1, 0]
    world.disable(first)
    with pytest.raises(hz.SystemFailure, match="'second' failed"):
        world.tick()


@pytest.mark.parametrize("policy", ["ignore", 0, -1, True, None, 1.5])
def test_wrong_policies_are_refused(policy):
    message = r"on_error must be 'stop', 'skip' or a whole number of failures from 1, not "
    with pytest.raises(hz.ArgumentError, match=message):
        hz.World(on_error=policy)
    if policy is not None:
        with pytest.raises(hz.DefinitionError, match=rf"test_failures.py:\d+: system 'fail': {message}"):
            failing(on_error=policy)


def test_disabled_and_removed_systems_do_not_run():
    log: list[str] = []

    @hz.system(form="columns")
    def tinker(world: hz.World):
        log.append("tinker")
        if world.tick_count == 2:
            world.disable(look, "count")
            world.remove_system("fail")
            world.add_system(late)

    @hz.system(form="columns")
    def look(world: hz.World):
        log.append("look")

    @hz.system(form="columns", phase="react")
    def late(world: hz.World):
        log.append("late")

    world = crowd(tinker, look, failing(on_error="skip"), count)
    world.run(3)
    assert log == ["tinker", "look", "tinker", "tinker", "late"]
    assert world.stats().disabled == ("look", "count")
    assert set(world.stats().systems) == {"tinker", "look", "count", "late"}
    assert (world.schedule.is_enabled(late), world.schedule.is_enabled(look)) == (True, False)
    world.enable(look)
    world.remove_system(tinker, late)
    log.clear()
    world.tick()
    assert log == ["look"]
    world.add_system(late)
    for call in (world.remove_system, world.enable, world.disable):
        with pytest.raises(hz.ArgumentError, match="no system or group 'laet'; it has .*; did you mean 'late'?"):
            call("late", "laet")
    with pytest.raises(hz.ArgumentError, match="no system or group 'tinker'"):
        world.disable(tinker)
    log.clear()
    world.tick()
    assert log == ["look", "late"]


def test_commands_of_a_failed_tick_are_forgotten_by_all_systems_of_the_phase():
    world = crowd(failing(), on_error="stop")
    world.tick_count = 1
    for _ in range(2):
        with pytest.raises(hz.SystemFailure):
            world.tick()
        world.tick_count = 1
    np.testing.assert_array_equal(world.alive(world.query(Health).handles), [True] * 4)


def test_a_failure_that_repeats_is_logged_once_a_second_of_world_time(caplog):
    @hz.system(form="columns")
    def fail(world: hz.World):
        if world.tick_count == 15:
            raise KeyError("another")
        raise ValueError("the same")

    @hz.system(form="columns")
    def fail_too(world: hz.World):
        raise ValueError("of another system")

    world = crowd(fail, on_error="skip", tick_rate=10)
    before = world.clone()
    world.run(25)
    told = [(m.partition(" failed in tick ")[2].split()[0], m.partition("is dropped")[2]) for m in caplog.messages]
    assert told == [
        ("1", ""),
        ("11", " (9 more like it since tick 1)"),
        ("15", ""),  # of another type
        ("21", " (8 more like it since tick 11)"),
    ]
    assert world.stats().systems["fail"].failures == 25
    caplog.clear()
    world.add_system(fail_too)
    world.tick()
    assert [m.split()[1] for m in caplog.messages] == ["'fail_too'"]
    caplog.clear()
    world.copy_from(before)  # back in time, everything is new
    world.run(3)
    assert [m.split()[1] for m in caplog.messages] == ["'fail'", "'fail_too'"]


def test_repeated_failures_of_observers_are_logged_once_a_second_too(caplog):
    def refuse(handles):
        raise ValueError("no")

    world = crowd(on_error="skip", tick_rate=2, track=[Health])
    world.on_change(Health, refuse)
    world.tick()
    for _ in range(3):
        world[Health].hp[0] += 1
        world.touch(Health)
        world.tick()
    assert [m.partition("is dropped")[2] for m in caplog.messages] == ["", " (1 more like it since tick 2)"]


class Near(hz.Relation): ...


class Held(hz.Relation, on_target_death="remove"): ...


@hz.component
class Seen:
    who: hz.Entity


Watcher = hz.Kind("Watcher", Position, Seen, Near, optional=[Held])


def test_nobody_refers_to_who_ended_before_the_tick_stopped():
    world = hz.World(capacity=100)
    one, two = world.spawn(Watcher, 2)
    world.set(two, Seen, {"who": one})
    world.relate(two, Near, one)
    world.relate(two, Held, one)

    @hz.system(form="columns")
    def fail(world: hz.World):
        world.despawn(one)
        raise ValueError

    world.add_system(fail)
    with pytest.raises(hz.SystemFailure):
        world.tick()
    assert (world.get(two, Seen).who, world.get(two, Near).target) == (0, 0)
    assert not world.has(two, Held)[0]


def test_a_system_that_could_not_be_added_is_not_gathered_for():
    world = hz.World(capacity=100)

    @hz.system(changed=[Health])
    def notice(pos: Write[Position]):
        pos.x += 1

    @hz.system
    def broken(pos: Write[Position]):
        pos.x = unknown  # noqa: F821

    with pytest.raises(hz.DefinitionError, match="unknown"):
        world.add_system(notice, broken)
    assert not world.changes._watches


def test_what_an_interrupted_tick_asked_for_is_not_done_in_the_next():
    world = crowd()

    @hz.system(form="columns", every=3)
    def bury(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.despawn(entity)

    @hz.system(form="columns")
    def interrupt(world: hz.World):
        if world.tick_count == 3:
            raise KeyboardInterrupt

    world.add_system(bury, interrupt)
    world.run(2)
    with pytest.raises(KeyboardInterrupt):
        world.tick()
    world.tick()
    assert len(world) == 4
