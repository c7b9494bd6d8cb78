"""Systems in a world: both forms, order, commands, timing and failure."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4
from horizon_ecs.carry_out import rounds
from horizon_ecs.columns import PAGE
from tests import naive
from tests.game import Frozen, Fuel, Health, Position, Rock, Ship, Velocity


@hz.system(without=[Frozen])
def move(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    pos.x += vel.x * time.dt
    pos.y += vel.y * time.dt


@hz.system(without=[Frozen], form="columns")
def move_columns(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    pos.x += vel.x * np.float32(time.dt)
    pos.y += vel.y * np.float32(time.dt)


@hz.system(without=[Frozen], form="columns", jit=True)
def move_jitted(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    for i in range(len(pos)):
        pos.x[i] += vel.x[i] * time.dt
        pos.y[i] += vel.y[i] * time.dt


def crowd(*systems: hz.System) -> hz.World:
    """Full pages, a page with frozen ships and holes, and the tail of one."""
    rng = np.random.default_rng(5)
    n = 3 * PAGE + 100
    world = hz.World(capacity=8 * PAGE, tick_rate=50)
    ships = world.spawn(Ship, n, Position=rng.random((n, 3)), Velocity=rng.random((n, 3)))
    world.spawn(Rock, 50, Position=rng.random((50, 3)))
    world.add(ships[PAGE : 2 * PAGE : 5], Frozen)
    world.despawn(ships[PAGE + 2 : 2 * PAGE : 9])
    world.add_system(*systems)
    return world


@pytest.mark.parametrize("system", [move, move_columns, move_jitted], ids=lambda s: s.name)
def test_every_form_moves_exactly_the_matching_rows(system):
    world = crowd(system)
    x, y, z = (world.column(Position, f).copy() for f in "xyz")
    rows = world.query(Position, Velocity, without=[Frozen]).slots
    x[rows] += world[Velocity].x[rows] * np.float32(1 / 50)
    y[rows] += world[Velocity].y[rows] * np.float32(1 / 50)
    world.tick()
    np.testing.assert_allclose(world[Position].x, x, rtol=1e-6)
    np.testing.assert_allclose(world[Position].y, y, rtol=1e-6)
    np.testing.assert_array_equal(world[Position].z, z)
    others = np.setdiff1d(np.arange(world.n_slots), rows)
    np.testing.assert_array_equal(world[Position].x[others], x[others])


def test_a_system_is_still_a_function():
    pos = Position(x=1.0)
    move(pos, Velocity(x=3.0, y=6.0), hz.Time(dt=0.5))
    assert pos == Position(2.5, 3.0, 0.0)
    assert move.__name__ == move.name == "move"


def test_one_system_serves_several_worlds():
    a, b = crowd(move), crowd(move)
    a.run(3)
    b.tick()
    b.run(2)
    np.testing.assert_array_equal(a[Position].x, b[Position].x)


def test_what_is_set_by_the_world_is_not_overwritten_by_a_batch():
    @hz.system(form="columns")
    def both(entity: hz.Entity, pos: Write[Position], world: hz.World):
        pos.x += 1.0
        world.set(entity[::2], Position, {"y": 9.0})

    world = crowd(both)
    rows = world.query(Position).slots
    y = world[Position].y.copy()
    x = world[Position].x[rows].copy()
    world.tick()
    np.testing.assert_array_equal(world[Position].x[rows], x + np.float32(1))
    assert (world[Position].y[rows] == 9.0).sum() >= len(rows) // 2
    untouched = world[Position].y[rows] != 9.0
    np.testing.assert_array_equal(world[Position].y[rows][untouched], y[rows][untouched])


# -- commands ----------------------------------------------------------------------------------------------------


@hz.system
def starve(entity: hz.Entity, health: Write[Health], cmd: hz.Commands):
    health.hp -= 1
    if health.hp <= 0:
        cmd.despawn(entity)


def test_despawn_takes_effect_at_the_end_of_the_phase():
    seen: list[int] = []

    @hz.system(after=[starve], form="columns")
    def look(world: hz.World):
        seen.append(len(world))

    @hz.system(phase="react", form="columns")
    def look_again(world: hz.World):
        seen.append(len(world))

    world = hz.World()
    ships = world.spawn(Ship, 2000, Health=np.arange(1, 2001))
    world.add_system(look_again, look, starve)
    world.run(2)
    assert seen == [2000, 1999, 1999, 1998]
    assert world.alive(ships[:3]).tolist() == [False, False, True]


def test_commands_are_recorded_in_a_plain_call():
    cmd, health = hz.Commands(), Health(hp=1)
    starve(77, health, cmd)
    assert health.hp == 0
    assert cmd.recorded == [("despawn", 77)]


def test_add_and_remove_as_commands_in_order():
    @hz.system
    def turn(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        if health.hp % 2 == 0:
            cmd.add(entity, Frozen)
            cmd.add(entity, Fuel)
        if health.hp % 4 == 0:
            cmd.remove(entity, Frozen)
        if health.hp % 8 == 0:
            cmd.despawn(entity)
            cmd.add(entity, Frozen)  # passed over

    world = hz.World()
    ships = world.spawn(Ship, 16, Health=np.arange(16))
    world.add_system(turn)
    world.tick()
    alive = world.alive(ships)
    assert alive.tolist() == [i % 8 != 0 for i in range(16)]
    kept = np.arange(16)[alive]
    assert world.has(ships[alive], Frozen).tolist() == [i % 4 == 2 for i in kept]
    assert world.has(ships[alive], Fuel).tolist() == [i % 2 == 0 for i in kept]
    assert world[Fuel].amount[world.slots_of(ships[2])] == 1.0  # its default


def test_commands_in_a_loop_of_the_body():
    @hz.system
    def insist(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        for i in range(3):
            if health.hp == i:
                cmd.despawn(entity)
        if health.hp == 7:
            cmd.add(entity, Frozen)

    world = hz.World()
    ships = world.spawn(Ship, 10, Health=np.arange(10))
    world.add_system(insist)
    world.tick()
    assert world.alive(ships).tolist() == [False] * 3 + [True] * 7
    assert np.flatnonzero(world.has(ships[3:], Frozen)).tolist() == [4]


def test_more_commands_than_there_is_room_for():
    @hz.system
    def flood(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        for _ in range(2 * health.hp):
            cmd.add(entity, Frozen)

    world = hz.World(capacity=PAGE)
    world.spawn(Ship, PAGE, Health=100)
    world.add_system(flood)
    with pytest.raises(hz.SystemFailure, match="'flood' failed in tick 1: CapacityError: .*204800 commands"):
        world.tick()
    assert len(world.query(Frozen)) == 0


def test_a_columns_system_commands_arrays():
    @hz.system(form="columns")
    def cull(entity: hz.Entity, pos: Read[Position], cmd: hz.Commands):
        cmd.despawn(entity[pos.x > 0.5])  # type: ignore[index]

    world = crowd(cull)
    keep = world.query(Position).handles[world[Position].x[world.query(Position).slots] <= 0.5]
    world.tick()
    assert world.query(Position).handles.tolist() == keep.tolist()


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=30))
@settings(deadline=None)
def test_rounds_equal_their_plain_twin(commands):
    columns = np.array(commands, np.int64).reshape(-1, 2).T
    groups = rounds(columns[0].astype(np.uint64), columns[1])
    assert [g.tolist() for g in groups] == naive.rounds(commands)


# -- order and time ----------------------------------------------------------------------------------------------


def recorder(log: list[str], name: str, **options) -> hz.System:
    def body(world: hz.World):
        log.append(name)

    body.__name__ = name
    return hz.system(form="columns", **options)(body)


def test_phases_then_constraints_then_the_order_of_adding():
    log: list[str] = []
    react = recorder(log, "react", phase="react")
    a = recorder(log, "a")
    b = recorder(log, "b")
    c = recorder(log, "c", before=[a])
    d = recorder(log, "d", after=[c], every=2)
    first = recorder(log, "input", phase="input", before=[react])
    world = hz.World()
    world.add_system(react, a, b)
    world.add_system(d, c, first)
    world.tick()
    assert log == ["input", "b", "c", "a", "react"]
    log.clear()
    world.tick()
    assert log == ["input", "b", "c", "a", "d", "react"]
    assert "simulate: b, c, a, d" in repr(world.schedule)


def test_seconds_become_whole_ticks_of_each_world():
    log: list[str] = []
    systems = [recorder(log, name, every=hz.seconds(s)) for name, s in (("some", 0.14), ("half", 0.5), ("least", 1e-9))]
    for tick_rate, expected in ((10, [30, 6, 30]), (60, [3, 1, 30]), (5, [30, 15, 30])):
        log.clear()
        world = hz.World(tick_rate=tick_rate)
        world.add_system(*systems)
        world.run(30)
        assert [log.count(name) for name in ("some", "half", "least")] == expected
    assert "every 0.5 s" in world.schedule.plan()


def test_an_offset_spreads_load():
    log: list[str] = []
    world = hz.World(tick_rate=10)
    options = {"a": {"every": 3}, "b": {"every": 3, "offset": 1}, "c": {"every": hz.seconds(0.3), "offset": 2}}
    world.add_system(*(recorder(log, name, **said) for name, said in options.items()))
    world.run(6)
    assert log == ["b", "c", "a", "b", "c", "a"]
    assert "every 3 ticks from 1" in world.schedule.plan()
    late = recorder(log, "late", every=hz.seconds(0.3), offset=3)
    with pytest.raises(hz.DefinitionError, match="'late': offset must be less than every, which is 3 ticks, not 3"):
        world.add_system(late)
    quick = hz.World(tick_rate=60)
    quick.add_system(late)
    quick.run(20)
    assert log[6:] == ["late"]


@pytest.mark.parametrize("s", [0, -1, math.inf, math.nan, "1", True, None])
def test_seconds_are_a_finite_number_above_zero(s):
    with pytest.raises(hz.ArgumentError, match="seconds\\(\\) takes a finite number above 0, not "):
        hz.seconds(s)


def test_a_circular_order_is_refused_and_nothing_is_added():
    log: list[str] = []
    a = recorder(log, "a")
    b = recorder(log, "b", after=[a])
    c = recorder(log, "c", after=[b], before=[a])
    world = hz.World()
    world.add_system(a)
    with pytest.raises(hz.DefinitionError, match=r"circular: \['a', 'b', 'c'\]"):
        world.add_system(b, c)
    world.tick()
    assert log == ["a"]
    with pytest.raises(hz.DefinitionError, match="added twice"):
        world.add_system(a)
    with pytest.raises(hz.DefinitionError, match="expected a function decorated"):
        world.add_system(print)  # type: ignore[arg-type]


def test_a_failure_names_system_and_tick_and_forgets_commands():
    @hz.system(form="columns")
    def doom(entity: hz.Entity, pos: Read[Position], cmd: hz.Commands):
        cmd.despawn(entity)

    @hz.system(form="columns", after=[doom])
    def fail(world: hz.World):
        if world.tick_count == 2:
            raise ValueError("no luck")

    world = hz.World()
    world.add_system(fail)
    world.tick()
    world.spawn(Ship, 1)
    world.add_system(doom)
    with pytest.raises(
        hz.SystemFailure, match=r"system 'fail' failed in tick 2 at .*test_schedule.py:\d+: ValueError: no luck"
    ) as info:
        world.tick()
    assert (info.value.system, info.value.tick) == ("fail", 2)
    assert isinstance(info.value.__cause__, ValueError)
    assert len(world) == 1
    world.tick()
    assert len(world) == 0


@hz.system
def give_up(health: Write[Health]):
    health.hp -= 1

    if health.hp < 98:
        raise ValueError("too weak")  # the line that is named


def test_a_failure_names_the_line_of_the_users_file():
    world = hz.World(capacity=10)
    world.spawn(Ship, 1)
    world.add_system(give_up)
    lines = Path(__file__).read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if text.endswith("# the line that is named"))
    with pytest.raises(
        hz.SystemFailure, match=rf"'give_up' failed in tick 3 for .*test_schedule.py:{line}: ValueError"
    ):
        world.run(5)


def test_a_tick_does_not_nest():
    @hz.system(form="columns")
    def again(world: hz.World):
        world.tick()

    world = hz.World()
    world.add_system(again)
    with pytest.raises(hz.SystemFailure, match="tick\\(\\) was called by a system"):
        world.tick()


def test_every_system_is_timed():
    world = crowd(move, starve)
    world.run(3)
    timings = world.stats().systems
    assert [timings[name].runs for name in ("move", "starve")] == [3, 3]
    assert timings["move"].max_ms >= timings["move"].mean_ms > 0
    assert "move" in str(world)

    def again():
        @hz.system
        def move(pos: Write[Position]):
            pos.x += 0.0

        return move

    world.add_system(again())
    assert set(world.stats().systems) == {"move", "starve", "move 2"}


def test_a_system_without_components_handles_events():
    @hz.event
    class Thrust:
        power: f4

    total: list[float] = []

    @hz.system(phase="input", form="columns")
    def steer(world: hz.World, time: Res[hz.Time]):
        total.append(float(world.events(Thrust).power.sum()) + time.tick)

    world = hz.World()
    world.add_system(steer)
    world.push_events(Thrust, 0, np.array([(1.5,), (2.0,)], Thrust.__hz_dtype__))
    world.run(2)
    assert total == [4.5, 2.0]


def test_resources_reach_jitted_systems_as_they_stand():
    @hz.resource
    class Wind:
        x: f4

    @hz.system
    def drift(pos: Write[Position], wind: Res[Wind]):
        pos.x += wind.x

    world = hz.World()
    world.spawn(Ship, 3)
    world.add_system(drift)
    with pytest.raises(hz.SystemFailure, match="no resource Wind was inserted"):
        world.tick()
    world.insert(Wind(2.0))
    world.tick()
    world.resource(Wind).x = 0.5
    world.tick()
    assert world[Position].x[:3].tolist() == [2.5] * 3
    changing = np.array(1.0)
    world.resource(Wind).x = changing
    world.tick()
    changing += 3.0
    world.tick()
    assert world[Position].x[:3].tolist() == [7.5] * 3


def test_a_columns_system_cannot_write_what_it_reads():
    @hz.system(form="columns")
    def cheat(vel: Read[Velocity], pos: Write[Position]):
        vel.x += 1

    world = crowd(cheat)
    before = world[Velocity].x.copy()
    with pytest.raises(hz.SystemFailure, match="read-only"):
        world.tick()
    np.testing.assert_array_equal(world[Velocity].x, before)


def test_with_takes_only_entities_that_have_a_tag():
    @hz.system(with_=[Frozen])
    def thaw(entity: hz.Entity, pos: Write[Position], cmd: hz.Commands):
        pos.z = math.inf
        cmd.remove(entity, Frozen)

    world = crowd(thaw)
    frozen = world.query(Frozen).slots
    world.tick()
    assert np.flatnonzero(np.isinf(world[Position].z)).tolist() == frozen.tolist()
    assert len(world.query(Frozen)) == 0


# -- what may be declared ----------------------------------------------------------------------------------------


def declare(**options):
    def body(pos: Write[Position]): ...

    return hz.system(**options)(body)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phase": 3}, "phase must be the name of a phase, not 3"),
        ({"form": "rows"}, "form must be"),
        ({"every": 0}, "every must be"),
        ({"every": 0.5}, r"every must be a whole number of ticks from 1 or hz.seconds\(...\), not 0.5"),
        ({"every": 4, "offset": 4}, "offset must be less than every, which is 4 ticks, not 4"),
        ({"offset": 1}, "offset must be less than every, which is 1 ticks, not 1"),
        ({"every": 4, "offset": -1}, "offset must be a whole number of ticks from 0, not -1"),
        ({"before": [3]}, "before and after list systems, groups or their names, not 3"),
        ({"with_": [int]}, "expected a component class"),
        ({"after": ["body"]}, "it is listed in its own after=; it can't be after itself"),
        ({"before": "body"}, "it can't be before itself"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(hz.DefinitionError, match=message):
        declare(**options)


def test_wrong_parameters_are_refused():
    def unannotated(pos): ...

    def unknown(pos: Position): ...

    def tag(frozen: Read[Frozen]): ...

    def no_component(x: Read[int]): ...

    def star(*pos: Write[Position]): ...

    def nothing(time: Res[hz.Time]): ...

    def wants_world(pos: Write[Position], world: hz.World): ...

    def lost(pos: Write[Nowhere]): ...  # noqa: F821

    def two(a: Write[Position], b: Read[Position]): ...

    def pair(pos: Write[Position, Velocity]): ...

    for function, message in [
        (pair, r"parameter 'pos' can't be Write\[Position, Velocity\]: .* is one component, such as Write\[Position\]"),
        (unannotated, "parameter 'pos' has no annotation"),
        (unknown, r"must be annotated Read\[...\]"),
        (tag, r"Frozen is a tag without data; write with_=\[Frozen\]"),
        (no_component, r"Read\[...\] takes a component class, not <class 'int'>"),
        (star, "plain positional parameters"),
        (nothing, "at least one component"),
        (wants_world, "can't take the World; use form='columns'"),
        (two, "two parameters are Position"),
        (lost, "an annotation can't be resolved"),
    ]:
        with pytest.raises(
            hz.DefinitionError, match=rf"test_schedule.py:\d+: system '{function.__name__}': .*{message}"
        ):
            hz.system(function)
    with pytest.raises(hz.DefinitionError, match="decorates a function"):
        hz.system(3)  # type: ignore[call-overload]


def test_the_program_of_the_design_runs():
    world = hz.World(capacity=100_000, tick_rate=60, seed=7)
    ships = world.spawn(Ship, 50_000, Position=np.random.default_rng(1).random((50_000, 3)) * 1e4, Velocity=[6, 0, 0])
    world.add(ships[::10], Frozen)
    world.add_system(move, starve)
    before = world[Position].x[:50_000].copy()
    world.tick()
    moved = world[Position].x[:50_000] - before
    assert (moved[::10] == 0).all()
    assert moved[1::10] == pytest.approx(0.1, abs=1e-3)
    assert world.get(ships[1], Health).hp == 99
    assert "50,000 of 100,000" in str(world)
