"""Groups of systems: a name for several, with an order and conditions that hold for all."""

from __future__ import annotations

import enum

import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write
from tests.game import Health, Position, Ship, Velocity


class Game(enum.Enum):
    LOBBY = 0
    BATTLE = 1


def recorder(log: list[str], name: str, **options) -> hz.System:
    def body(world: hz.World):
        log.append(name)

    body.__name__ = name
    return hz.system(form="columns", **options)(body)


def recording(log: list[str], *, options=None, **systems) -> hz.World:
    world = hz.World(capacity=10, **(options or {}))
    world.add_system(*(recorder(log, name, **said) for name, said in systems.items()))
    return world


def test_a_name_stands_for_all_of_a_group():
    log: list[str] = []
    world = recording(
        log,
        last={"after": ["physics"]},
        push={"group": "physics"},
        collide={"group": ["physics", "costly"], "before": ["push"]},
        first={"before": "physics"},
        draw={"phase": "react", "group": "costly"},
    )
    world.tick()
    assert log == ["first", "collide", "push", "last", "draw"]


def test_groups_are_switched_and_removed_as_one():
    log: list[str] = []
    world = recording(log, a={"group": "some"}, b={"group": "some"}, c={})
    world.disable("some")
    world.tick()
    assert log == ["c"]
    assert not world.schedule.is_enabled("some")
    world.enable("some", "c")
    world.tick()
    assert log == ["c", "a", "b", "c"]
    world.remove_system("some")
    world.tick()
    assert log[4:] == ["c"]
    with pytest.raises(hz.ArgumentError, match=r"no system or group 'some'; it has \['c'\]"):
        world.disable("some")


def test_a_group_is_named_in_errors_as_systems_are():
    world = recording([], a={"group": "physics"}, b={"after": ["phisics"]})
    with pytest.raises(hz.DefinitionError, match="names 'phisics', but no system or group .*mean 'physics'"):
        world.tick()
    with pytest.raises(hz.DefinitionError, match=r"circular: \['b', 'a'\]"):
        recording([], b={"group": "some"}, a={"before": ["some"], "after": ["b"]})


def test_a_group_has_an_order_of_its_own():
    log: list[str] = []
    ai = hz.Group("ai")
    physics = hz.Group("physics", after=[ai], before="draw")
    world = recording(
        log, draw={}, push={"group": physics}, think={"group": ai}, pull={"group": physics}, look={"before": [ai]}
    )
    world.tick()
    assert log == ["look", "think", "push", "pull", "draw"]
    world.disable(physics)
    log.clear()
    world.tick()
    assert log == ["look", "think", "draw"]


def test_a_group_runs_in_some_states_only_beside_what_its_systems_say():
    log: list[str] = []
    battle = hz.Group("battle", in_state=Game.BATTLE)
    systems = {"fight": {"group": battle}, "never": {"group": battle, "in_state": Game.LOBBY}}
    with pytest.raises(hz.DefinitionError, match="no state Game"):
        recording(log, **systems)
    world = recording(log, options={"states": [Game.LOBBY]}, **systems)
    world.tick()
    world.set_state(Game.BATTLE)
    world.run(2)
    assert log == ["fight", "fight"]


def test_conditions_of_a_group_are_asked_once_a_tick_before_its_first_phase():
    log: list[str] = []

    def odd(world: hz.World) -> bool:
        log.append("?")
        return world.tick_count % 2 == 1

    group = hz.Group("group", run_if=odd)
    world = recording(
        log,
        always={"phase": "input"},
        before={},
        rare={"group": group, "every": 3},
        a={"group": group},
        b={"group": group, "phase": "react"},
    )
    world.tick()
    assert log == ["always", "?", "before", "a", "b"]
    log.clear()
    world.tick()
    assert log == ["always", "?", "before"]
    log.clear()
    world.tick()
    assert log == ["always", "?", "before", "rare", "a", "b"]
    log.clear()
    world.disable(group)
    world.tick()
    assert log == ["always", "before"]


def test_a_group_of_which_a_system_is_enabled_late_is_asked_then():
    log: list[str] = []
    group = hz.Group("group", run_if=lambda world: True)

    @hz.system(form="columns")
    def wake(world: hz.World):
        world.enable(group)

    world = hz.World()
    world.add_system(wake, recorder(log, "sleeper", group=group))
    world.disable(group)
    world.tick()
    assert log == ["sleeper"]


def test_rolled_back_to_the_same_tick_conditions_are_asked_again():
    log: list[str] = []
    allowed = [True]
    world = recording(log, a={"group": hz.Group("group", run_if=lambda world: allowed[0])})
    before = world.clone()
    world.tick()
    allowed[0] = False
    world.copy_from(before)
    world.tick()
    assert log == ["a"]
    allowed[0] = True
    before.tick()
    assert log == ["a", "a"]


def test_a_condition_that_fails_is_a_failure_of_each_of_its_systems(caplog):
    log: list[str] = []
    group = hz.Group("group", run_if=[lambda world: True, lambda world: 1 // 0])
    systems = {"a": {"group": group}, "b": {"group": group}, "c": {}}
    world = recording(log, options={"on_error": "skip"}, **systems)
    world.tick()
    assert log == ["c"]
    assert {name: t.failures for name, t in world.stats().systems.items()} == {"a": 1, "b": 1, "c": 0}
    with pytest.raises(hz.SystemFailure, match="'a' failed in tick 1.*ZeroDivisionError"):
        recording(log, **systems).tick()


def test_conditions_hold_at_changes_of_states_too():
    log: list[str] = []
    group = hz.Group("group", run_if=lambda world: world.tick_count > 1)
    world = recording(
        log,
        options={"states": [Game.LOBBY]},
        lobby={"on_enter": Game.LOBBY, "group": group},
        battle={"on_enter": Game.BATTLE, "group": group},
    )
    world.tick()
    world.set_state(Game.BATTLE)
    world.tick()
    assert log == ["battle"]


def test_conditions_of_a_group_keep_nothing_apart():
    group = hz.Group("motion", run_if=lambda world: True)

    @hz.system(group=group)
    def move(pos: Write[Position], vel: Read[Velocity]):
        pos.x += vel.x

    @hz.system(group=group)
    def heal(health: Write[Health]):
        health.hp += 1

    world = hz.World(capacity=10)
    world.spawn(Ship, 1, Velocity=[2, 0, 0])
    world.add_system(move, heal)
    world.tick()
    assert (world[Position].x[0], world[Health].hp[0]) == (2, 101)
    simulate = world.schedule.plan().partition("simulate:\n")[2].splitlines()
    assert simulate[0].endswith("writes Position; reads Velocity; group motion; if <lambda>")
    assert simulate[0].startswith("    1  move")
    assert simulate[1].startswith("       heal")  # of the same stage
    assert "group motion<br>if #60;lambda#62;" in world.schedule.to_mermaid()


def test_an_order_by_group_is_drawn():
    world = recording([], a={"group": "some"}, b={"after": ["some"]})
    assert 'system0 -. "order" .-> system1' in world.schedule.to_mermaid()


def test_two_groups_of_a_name_are_refused_unless_they_say_nothing():
    strict = hz.Group("physics", run_if=lambda world: True)
    for other in ("physics", hz.Group("physics", before=["draw"])):
        world = recording([], a={"group": strict})
        with pytest.raises(hz.DefinitionError, match=r"'b': its group 'physics' is another one than .* 'a'"):
            world.add_system(recorder([], "b", group=other))
        assert [s.name for s in world.schedule.systems] == ["a"]
    recording([], a={"group": "physics"}, b={"group": hz.Group("physics")}).tick()
    assert repr(strict) == "Group('physics')"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hz.Group(""), "the name of a group must be a text, not ''"),
        (lambda: hz.Group(3), "the name of a group must be a text, not 3"),  # type: ignore[arg-type]
        (lambda: hz.Group("g", run_if=3), "group 'g': run_if takes functions of the world, not 3"),  # type: ignore[arg-type]
        (lambda: hz.Group("g", in_state=Game), "group 'g': in_state takes members"),  # type: ignore[arg-type]
        (lambda: hz.Group("g", after=[3]), "group 'g': before and after list systems, groups or their names, not 3"),
        (lambda: recorder([], "a", group=[3]), "'a': group takes names or hz.Group"),
        (lambda: recorder([], "a", group=""), "'a': group takes names or hz.Group"),
    ],
)
def test_wrong_groups_are_refused(make, message):
    with pytest.raises(hz.DefinitionError, match=message):
        make()
