"""The plan of a schedule: phases, order, stages."""

from __future__ import annotations

import itertools
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import Read, Write
from horizon_ecs.tick_plan import conflicts, make_plan
from tests.game import Fuel, Health, Position, Velocity

PHASES = ("input", "simulate", "react")


def declare(name: str, reads=(), writes=(), **options) -> hz.System:
    """A per-entity system that is never compiled."""
    parameters = [f"r{i}: Read[{c.__name__}]" for i, c in enumerate(reads)]
    parameters += [f"w{i}: Write[{c.__name__}]" for i, c in enumerate(writes)]
    space = {"Read": Read, "Write": Write, **{c.__name__: c for c in (*reads, *writes)}}
    exec(f"def {name}({', '.join(parameters)}): ...", space)
    return hz.system(**options)(space[name])  # type: ignore[call-overload]


def python(name: str, **options) -> hz.System:
    space = {"World": hz.World}
    exec(f"def {name}(world: World): ...", space)
    return hz.system(form="columns", **options)(space[name])  # type: ignore[call-overload]


def stages(*systems: hz.System) -> list[list[str]]:
    (phase,) = (p for p in make_plan(systems, PHASES).phases if p.name == "simulate")
    return [[s.name for s in stage] for stage in phase.stages]


def test_systems_share_a_stage_unless_they_disturb_each_other():
    move = declare("move", [Velocity], [Position])
    regen = declare("regen", [], [Health])
    steer = declare("steer", [Position], [Velocity])
    burn = declare("burn", [Position], [Fuel])
    watch = declare("watch", [Position, Fuel])
    assert stages(move, regen, steer, burn, watch) == [["move", "regen"], ["steer", "burn"], ["watch"]]
    assert stages(watch, burn) == [["watch"], ["burn"]]
    assert conflicts(move, steer) == [Position, Velocity]
    assert conflicts(watch, steer) == []


def test_an_order_that_was_asked_for_separates_too():
    a, b = declare("a", [], [Position]), declare("b", [], [Health])
    c = declare("c", [], [Fuel], after=["a"], before=[b])
    assert stages(a, b, c) == [["a"], ["c"], ["b"]]


def test_plain_python_runs_alone_and_a_condition_opens_a_stage():
    one, two, three = (
        declare(n, [], [c]) for n, c in zip(("one", "two", "three"), (Position, Health, Fuel), strict=True)
    )
    assert stages(one, python("alone"), two, three) == [["one"], ["alone"], ["two", "three"]]
    gated = declare("gated", [], [Health], run_if=lambda world: True)
    assert stages(one, gated, three) == [["one"], ["gated", "three"]]
    gated_python = python("gated_python", run_if=lambda world: True)
    assert stages(one, gated_python, gated, three) == [["one"], ["gated_python"], ["gated", "three"]]


# -- references --------------------------------------------------------------------------------------------------


def test_names_stand_for_every_system_that_has_them():
    late = python("late", after=["twin"])
    world = hz.World()
    world.add_system(late, python("twin"))
    world.add_system(python("twin"))
    world.tick()
    assert "simulate: twin, twin, late" in repr(world.schedule)


def test_one_system_may_be_given_without_a_list():
    first = python("first")
    assert python("second", after=first).after == (first,)
    assert python("second", before="first").before == ("first",)


def test_a_name_that_nobody_has_is_refused_at_the_next_tick():
    world = hz.World()
    world.add_system(python("hasty", after=["mvoe"]))
    world.add_system(python("move"))
    with pytest.raises(hz.DefinitionError, match=r"'hasty': .* names 'mvoe'.*; did you mean 'move'\?"):
        world.tick()
    assert world.tick_count == 0
    world.add_system(python("mvoe"))
    world.tick()


def test_a_system_that_was_never_added_is_warned_of_once(caplog):
    ghost = python("ghost")
    world = hz.World()
    world.add_system(python("hasty", after=[ghost]))
    world.run(2)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "'hasty': before or after lists 'ghost', which was not added" in record.message
    world.add_system(ghost)
    world.tick()
    world.remove_system(ghost)
    world.tick()
    assert len(caplog.records) == 2


def test_an_order_against_the_phases_is_refused():
    react = python("react_", phase="react")
    assert make_plan([react, python("fine", before=[react])], PHASES).unresolved == ()
    for options in ({"phase": "input", "after": [react]}, {"after": "react_"}):
        world = hz.World()
        world.add_system(react)
        with pytest.raises(hz.DefinitionError, match="'react_' is to run before 'wrong', but its phase 'react' comes"):
            world.add_system(python("wrong", **options))
        assert [s.name for s, _ in world.schedule.timings()] == ["react_"]


# -- phases ------------------------------------------------------------------------------------------------------


def test_a_world_has_the_phases_that_it_is_given():
    world = hz.World(phases=("input", "physics", "ai"))
    world.add_system(python("think", phase="ai"), python("fall", phase="physics"))
    assert repr(world.schedule) == "Schedule(input: ; physics: fall; ai: think)"
    with pytest.raises(
        hz.DefinitionError,
        match=r"system 'roll': this world has no phase 'phisics'; it has \['input', 'physics', 'ai'\]; did you mean 'ph",
    ):
        world.add_system(python("roll", phase="phisics"))
    with pytest.raises(hz.DefinitionError, match="no phase 'simulate'"):
        world.add_system(python("roll"))


@pytest.mark.parametrize("phases", [(), ("a", "a"), ("a", ""), ("a", 3), ("on_enter",)])
def test_wrong_phases_are_refused(phases):
    with pytest.raises(hz.ArgumentError, match="phases"):
        hz.World(phases=phases)


# -- any plan ----------------------------------------------------------------------------------------------------

COMPONENTS = (Position, Velocity, Health, Fuel)
subsets = st.lists(st.sampled_from(COMPONENTS), unique=True, max_size=2)


@st.composite
def declared_systems(draw):
    """Systems whose before= and after= refer only to those before them, so that some order exists."""
    systems: list[hz.System] = []
    for number in range(draw(st.integers(0, 9))):
        name, phase = f"s{number}", draw(st.sampled_from(PHASES[:2]))
        same = [s for s in systems if s.phase == phase]
        after = draw(st.lists(st.sampled_from(same), max_size=2)) if same else []
        options = {"phase": phase, "after": [draw(st.sampled_from([s, s.name])) for s in after]}
        if draw(st.booleans()):
            options["run_if"] = bool
        if draw(st.integers(0, 4)) == 0:
            systems.append(python(name, **options))
            continue
        reads = draw(subsets)
        writes = [c for c in draw(subsets) if c not in reads]
        if not reads and not writes:
            reads = [Position]
        systems.append(declare(name, reads, writes, **options))
    return systems, draw(st.permutations(systems))


@given(declared_systems())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_plan_respects_order_and_conflicts(drawn):
    systems, added = drawn
    plan = make_plan(added, PHASES)
    assert sorted(s.name for s in plan.systems) == sorted(s.name for s in systems)
    assert plan.unresolved == ()
    for phase in plan.phases:
        assert sorted(s.name for stage in phase.stages for s in stage) == sorted(s.name for s in phase.order)
        at = {s: n for n, stage in enumerate(phase.stages) for s in stage}
        for first, second in itertools.combinations(phase.order, 2):
            assert not {second, second.name} & {*first.after}
            ordered = first in second.after or first.name in second.after
            if ordered or conflicts(first, second) or first.is_plain or second.is_plain:
                assert at[first] < at[second]
            if second.when.run_if:
                assert at[first] < at[second]
            if first.when.run_if:
                assert at[first] <= at[second]
