"""A schedule's plan as text and as a flowchart."""

from __future__ import annotations

import enum
import re

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write
from tests.game import Frozen, Health, Position, Ship, Velocity


class Mode(enum.Enum):
    MENU = 0
    RUNNING = 1


@hz.system(without=[Frozen])
def move(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    pos.x += vel.x * time.dt


@hz.system(every=6, on_error="skip")
def starve(entity: hz.Entity, health: Write[Health], cmd: hz.Commands):
    health.hp -= 1


@hz.system(in_state=[Mode.RUNNING, Mode.MENU])
def slow_down(vel: Write[Velocity], pos: Read[Position]):
    vel.x *= 0.5


def ready(world: hz.World) -> bool:
    return True


@hz.system(form="columns", run_if=ready, after=["starve"])
def look(world: hz.World): ...


@hz.system(form="columns", on_enter=Mode.RUNNING)
def start(world: hz.World): ...


def scheduled() -> hz.World:
    world = hz.World(capacity=10, states=[Mode.MENU], n_threads=2)
    world.add_system(move, starve, slow_down, look, start)
    return world


def test_the_plan_as_text():
    world = scheduled()
    assert world.schedule.plan() == str(world.schedule)
    assert world.schedule.plan().splitlines() == [
        "5 systems, 2 threads, on_error='stop'",
        "on_enter:",
        "    1  start                   not run  world; plain Python; entering Mode.RUNNING",
        "input: nothing",
        "simulate:",
        "    1  move                    not run  writes Position; reads Velocity; takes Time; without Frozen",
        "       starve                  not run  writes Health; entity; commands; every 6 ticks; on_error='skip'",
        "    2  slow_down               not run  writes Velocity; reads Position; in Mode.RUNNING or Mode.MENU",
        "    3  look                    not run  world; plain Python; if ready",
        "react: nothing",
    ]


def test_the_plan_tells_what_ran_and_what_does_not(caplog):
    @hz.system(form="columns", phase="react", on_error=1)
    def fail(world: hz.World):
        raise ValueError("once")

    world = scheduled()
    world.spawn(Ship, 3)
    world.add_system(fail)
    world.disable(look)
    world.run(2)
    text = world.schedule.plan()
    assert re.search(r"move +\d+\.\d{3} ms, 2 runs  writes", text)
    assert re.search(r"look +not run  world; plain Python; if ready; disabled\n", text)
    assert re.search(r"fail +\d+\.\d{3} ms, 1 runs  world; plain Python; on_error=1; 1 failures; disabled\n?", text)


def test_the_plan_marks_what_threads_share():
    world = scheduled()
    assert "=" not in world.schedule.plan().replace("on_error=", "")
    world.schedule._steps[-2].stages[0].shared = True
    lines = world.schedule.plan().splitlines()
    assert lines[5].startswith("   1=  move")
    assert lines[-1] == "=: threads share the work of this stage"


def test_the_plan_as_a_flowchart():
    world = scheduled()
    world.disable(look)
    assert (
        world.schedule.to_mermaid()
        == """\
flowchart TB
    subgraph phase0["on_enter"]
        subgraph phase0stage0["stage 1"]
            system0["start<br>world<br>plain Python<br>entering Mode.RUNNING"]
        end
    end
    phase1["input: nothing"]
    subgraph phase2["simulate"]
        subgraph phase2stage0["stage 1"]
            system1["move<br>writes Position<br>reads Velocity<br>takes Time<br>without Frozen"]
            system2["starve<br>writes Health<br>entity<br>commands<br>every 6 ticks"]
        end
        subgraph phase2stage1["stage 2"]
            system3["slow_down<br>writes Velocity<br>reads Position<br>in Mode.RUNNING or Mode.MENU"]
        end
        subgraph phase2stage2["stage 3"]
            system4["look<br>world<br>plain Python<br>if ready"]
        end
        phase2stage0 --> phase2stage1
        phase2stage1 --> phase2stage2
        system1 -. "Position, Velocity" .-> system3
        system2 -. "order" .-> system4
    end
    phase3["react: nothing"]
    phase0 --> phase1
    phase1 --> phase2
    phase2 --> phase3
    classDef disabled stroke-dasharray: 4 4,opacity: 0.5
    class system4 disabled
"""
    )


def test_a_flowchart_escapes_names():
    strange = hz.system(form="columns", phase='a "b" <c> #1')(lambda: None)
    world = hz.World(phases=('a "b" <c> #1',))
    world.add_system(strange)
    chart = world.schedule.to_mermaid()
    assert 'phase0["a #34;b#34; #60;c#62; #35;1"]' in chart
    assert 'system0["#60;lambda#62;<br>plain Python"]' in chart
    for label in re.findall(r'\["(.*)"\]', chart):
        assert not re.search(r'["<>&]', label.replace("<br>", ""))


def test_only_the_nearest_reason_to_wait_is_drawn():
    def writer(name: str) -> hz.System:
        space = {"Write": Write, "Position": Position}
        exec(f"def {name}(pos: Write[Position]): pos.x", space)
        return hz.system(form="columns")(space[name])  # type: ignore[call-overload]

    world = hz.World()
    world.add_system(*map(writer, "abc"))
    arrows = [line.split() for line in world.schedule.to_mermaid().splitlines() if "-." in line]
    assert arrows == [
        ["system0", "-.", '"Position"', ".->", "system1"],
        ["system1", "-.", '"Position"', ".->", "system2"],
    ]


def test_notebooks_show_both():
    world = scheduled()
    assert world.schedule._repr_markdown_() == (
        f"```mermaid\n{world.schedule.to_mermaid()}```\n\n```text\n{world.schedule.plan()}\n```\n"
    )
