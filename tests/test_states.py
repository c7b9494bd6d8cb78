"""States of a world, conditions, and the systems that run by them."""

from __future__ import annotations

import enum

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write
from tests.game import Frozen, Health, Ship


class Mode(enum.Enum):
    MENU = 0
    RUNNING = 1
    PAUSED = 2


class Link(enum.Enum):
    OFFLINE = "offline"
    ONLINE = "online"


def recorder(log: list, name: str, **options) -> hz.System:
    def body(world: hz.World):
        log.append((world.tick_count, name))

    body.__name__ = name
    return hz.system(form="columns", **options)(body)


def recording(log: list, *, states=(Mode.MENU, Link.OFFLINE), **systems) -> hz.World:
    world = hz.World(capacity=10, states=states)
    world.add_system(*(recorder(log, name, **options) for name, options in systems.items()))
    return world


def test_a_state_begins_as_it_was_added():
    world = hz.World(states=[Mode.MENU])
    world.add_state(Link.ONLINE)
    assert (world.state(Mode), world.state(Link)) == (Mode.MENU, Link.ONLINE)
    world.tick()
    assert (world.state(Mode), world.state(Link)) == (Mode.MENU, Link.ONLINE)


def test_a_change_takes_effect_when_the_next_tick_begins():
    seen: list[Mode] = []

    @hz.system(form="columns")
    def ask(world: hz.World):
        seen.append(world.state(Mode))
        if world.tick_count == 2:
            world.set_state(Mode.PAUSED)
        seen.append(world.state(Mode))

    world = hz.World(states=[Mode.MENU])
    world.add_system(ask)
    world.tick()
    world.set_state(Mode.RUNNING)
    assert world.state(Mode) is Mode.MENU
    world.run(2)
    assert seen == [Mode.MENU] * 2 + [Mode.RUNNING] * 2 + [Mode.PAUSED] * 2


def test_systems_run_once_where_a_state_begins_and_ends():
    log: list = []
    world = recording(
        log,
        menu={"on_enter": Mode.MENU},
        close={"on_exit": Mode.MENU},
        start={"on_enter": Mode.RUNNING},
        stop={"on_exit": [Mode.RUNNING, Mode.PAUSED]},
        play={"in_state": Mode.RUNNING, "phase": "input"},
    )
    world.tick()
    world.set_state(Mode.RUNNING)
    world.run(2)
    world.set_state(Mode.PAUSED)
    world.run(2)
    world.set_state(Mode.MENU)
    world.tick()
    assert log == [
        (1, "menu"),
        (2, "close"), (2, "start"), (2, "play"), (3, "play"),
        (4, "stop"),
        (6, "stop"), (6, "menu"),
    ]  # fmt: skip


def test_of_several_changes_the_last_counts_and_one_to_what_holds_is_none():
    log: list = []
    world = recording(log, left={"on_exit": Mode.MENU}, paused={"on_enter": Mode.PAUSED}, menu={"on_enter": Mode.MENU})
    world.tick()
    world.set_state(Mode.RUNNING)
    world.set_state(Mode.MENU)
    world.tick()
    world.set_state(Mode.RUNNING)
    world.set_state(Mode.PAUSED)
    world.tick()
    assert log == [(1, "menu"), (3, "left"), (3, "paused")]


def test_a_state_changed_before_the_first_tick_was_never_entered():
    log: list = []
    options = {f"{name}_{m.name}": {name: m} for m in Mode for name in ("on_enter", "on_exit")}
    world = recording(log, **options)
    world.set_state(Mode.RUNNING)
    world.tick()
    assert log == [(1, "on_enter_RUNNING")]


def test_states_change_together_exits_first():
    log: list = []
    world = recording(
        log,
        online={"on_enter": Link.ONLINE},
        running={"on_enter": Mode.RUNNING, "before": ["online"]},
        menu={"on_exit": Mode.MENU},
        offline={"on_exit": Link.OFFLINE, "before": "menu"},
    )
    world.tick()
    world.set_state(Link.ONLINE)
    world.set_state(Mode.RUNNING)
    world.tick()
    assert [name for _, name in log] == ["offline", "menu", "running", "online"]


def test_in_state_takes_any_member_of_each_enumeration():
    log: list = []
    world = recording(log, some={"in_state": [Mode.RUNNING, Mode.PAUSED, Link.ONLINE]})
    expected = []
    for mode in Mode:
        for link in Link:
            world.set_state(mode)
            world.set_state(link)
            world.tick()
            if mode is not Mode.MENU and link is Link.ONLINE:
                expected.append((world.tick_count, "some"))
    assert log == expected
    assert len(expected) == 2


def test_changes_of_structure_take_effect_between_exit_and_enter():
    seen: list[int] = []

    @hz.system(on_exit=Mode.MENU)
    def clear(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.despawn(entity)

    @hz.system(on_enter=Mode.RUNNING, form="columns")
    def start(world: hz.World):
        seen.append(len(world))
        assert world.state(Mode) is Mode.RUNNING
        world.set_state(Mode.PAUSED)  # of the next tick

    world = hz.World(states=[Mode.MENU])
    world.spawn(Ship, 5)
    world.add_system(clear, start)
    world.tick()
    world.set_state(Mode.RUNNING)
    world.run(2)
    assert seen == [0]
    assert world.state(Mode) is Mode.PAUSED


def test_a_change_whose_exit_fails_is_tried_again():
    log: list = []

    @hz.system(on_exit=Mode.MENU, form="columns")
    def leave(world: hz.World):
        if world.tick_count == 2:
            raise ValueError("not yet")

    world = recording(log, enter={"on_enter": Mode.RUNNING})
    world.add_system(leave)
    world.tick()
    world.set_state(Mode.RUNNING)
    with pytest.raises(hz.SystemFailure, match="'leave' failed in tick 2"):
        world.tick()
    assert world.state(Mode) is Mode.MENU
    world.run(2)
    assert (world.state(Mode), log) == (Mode.RUNNING, [(3, "enter")])


def test_unknown_states_are_refused():
    class Mood(enum.Enum):
        GOOD = 1

    world = hz.World(states=[Mode.MENU])
    for call in (lambda: world.state(Mood), lambda: world.set_state(Mood.GOOD)):
        with pytest.raises(hz.ArgumentError, match=r"no state Mood; it has \['Mode'\]; did you mean 'Mode'\?.*states="):
            call()
    with pytest.raises(hz.ArgumentError, match="has a state Mode already"):
        world.add_state(Mode.PAUSED)
    with pytest.raises(hz.ArgumentError, match=r"member of an enum.Enum, not <enum 'Mode'>; did you mean Mode.MENU\?"):
        world.set_state(Mode)  # type: ignore[arg-type]
    with pytest.raises(hz.ArgumentError, match="member of an enum.Enum, not 3"):
        hz.World(states=[3])  # type: ignore[list-item]
    for option in ("in_state", "on_enter", "on_exit"):
        with pytest.raises(
            hz.DefinitionError, match=r"test_states.py:\d+: system 'lost': this world has no state Mood"
        ):
            world.add_system(recorder([], "lost", **{option: Mood.GOOD}))
    assert list(world.schedule.timings()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_state": Mode}, "in_state takes members of an enum.Enum, not <enum 'Mode'>"),
        ({"in_state": [Mode.MENU, 3]}, "in_state takes members of an enum.Enum, not 3"),
        ({"on_enter": "menu"}, "on_enter takes members of an enum.Enum, not 'menu'"),
        ({"on_enter": Mode.MENU, "on_exit": Mode.MENU}, "on_enter or on_exit, not at both"),
        ({"on_enter": Mode.MENU, "phase": "input"}, "takes no phase, every or in_state"),
        ({"on_exit": Mode.MENU, "every": 2}, "takes no phase, every or in_state"),
        ({"on_exit": Mode.MENU, "in_state": Link.ONLINE}, "takes no phase, every or in_state"),
        ({"run_if": 3}, "run_if takes functions of the world, not 3"),
        ({"run_if": [len, "day"]}, "run_if takes functions of the world, not 'day'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(hz.DefinitionError, match=message):
        recorder([], "wrong", **options)


# -- conditions --------------------------------------------------------------------------------------------------


def test_conditions_are_asked_once_a_tick_and_only_where_needed():
    asked: list[str] = []
    log: list = []

    def odd(world: hz.World) -> bool:
        asked.append(f"odd {world.tick_count}")
        return world.tick_count % 2 == 1

    def late(world: hz.World) -> np.bool_:
        asked.append(f"late {world.tick_count}")
        return np.bool_(world.tick_count > 2)

    world = recording(log, both={"run_if": [odd, late]}, rarely={"run_if": odd, "every": 3, "phase": "react"})
    world.run(3)
    assert asked == ["odd 1", "late 1", "odd 2", "odd 3", "late 3", "odd 3"]
    assert log == [(3, "both"), (3, "rarely")]


def test_a_condition_sees_what_ran_before_its_system():
    @hz.system
    def wound(health: Write[Health]):
        health.hp -= 60

    def someone_dies(world: hz.World) -> bool:
        return bool((world[Health].hp[world.query(Health).slots] <= 0).any())

    @hz.system(run_if=someone_dies)
    def heal(entity: hz.Entity, frozen_or_not: Read[Health], cmd: hz.Commands):
        cmd.add(entity, Frozen)

    world = hz.World(capacity=10)
    world.spawn(Ship, 3)
    world.add_system(wound, heal)
    world.tick()
    assert len(world.query(Frozen)) == 0
    world.tick()
    assert len(world.query(Frozen)) == 3


def test_a_condition_that_fails_is_its_systems_failure():
    def broken(world: hz.World) -> bool:
        raise KeyError("where")

    log: list = []
    world = recording(log, gated={"run_if": broken})
    with pytest.raises(hz.SystemFailure, match=r"'gated' failed in tick 1 at .*test_states.py:\d+: KeyError: 'where'"):
        world.tick()
    assert log == []


def test_a_condition_holds_for_a_transition_too():
    log: list = []
    world = recording(log, never={"on_enter": Mode.MENU, "run_if": lambda world: False}, always={"on_enter": Mode.MENU})
    world.tick()
    assert log == [(1, "always")]


# -- entities that end with a state ------------------------------------------------------------------------------


def test_entities_end_with_their_state_between_exit_and_enter():
    seen: list = []

    @hz.system(form="columns", on_exit=Mode.RUNNING)
    def leave(world: hz.World):
        seen.append(("exit", len(world)))

    @hz.system(form="columns", on_enter=Mode.MENU)
    def enter(world: hz.World):
        seen.append(("enter", len(world)))

    world = hz.World(capacity=10, states=[Mode.RUNNING, Link.ONLINE])
    world.add_system(leave, enter)
    ships = world.spawn(Ship, 5)
    world.despawn_on_exit(ships[:3], Mode.RUNNING)
    world.despawn_on_exit(ships[2:4], Mode.RUNNING)  # one of them again
    world.despawn_on_exit(ships[4:], Link.ONLINE)
    world.despawn(ships[0])
    world.run(2)
    assert len(world) == 4
    world.set_state(Mode.MENU)
    world.tick()
    assert seen == [("exit", 4), ("enter", 1)]
    assert world.alive(ships).tolist() == [False] * 4 + [True]
    world.set_state(Mode.RUNNING)
    world.tick()
    ships = world.spawn(Ship, 2)  # in slots that were left
    world.set_state(Mode.MENU)
    world.tick()
    assert world.alive(ships).all()


def test_it_needs_not_be_the_state_that_holds():
    world = hz.World(capacity=10, states=[Mode.MENU])
    world.spawn(Ship, 2)
    world.despawn_on_exit(world.query(Health), Mode.RUNNING)
    for mode, expected in ((Mode.PAUSED, 2), (Mode.RUNNING, 2), (Mode.RUNNING, 2), (Mode.MENU, 0)):
        world.set_state(mode)
        world.tick()
        assert len(world) == expected


def test_observers_are_told_of_them_before_the_next_state_is_entered():
    told: list = []

    @hz.system(form="columns", on_enter=Mode.MENU)
    def enter(world: hz.World):
        told.append("entered")

    world = hz.World(capacity=10, states=[Mode.RUNNING])
    world.add_system(enter)
    world.on_remove(Ship, lambda handles: told.append(handles.tolist()))
    ships = world.spawn(Ship, 2)
    world.despawn_on_exit(ships, Mode.RUNNING)
    world.tick()
    world.set_state(Mode.MENU)
    world.tick()
    assert told == [ships.tolist(), "entered"]


def test_entities_that_were_moved_end_with_their_state_and_in_copies_too():
    world = hz.World(capacity=5000, states=[Mode.RUNNING])
    ships = world.spawn(Ship, 3000)
    world.despawn(ships[:2000])
    world.despawn_on_exit(ships[2500:], Mode.RUNNING)
    moved = world.compact()
    assert len(moved)
    copy, other = world.clone(), hz.World(capacity=5000, states=[Mode.PAUSED])
    other.copy_from(world)
    for each in (world, copy, other):
        each.tick()
        each.set_state(Mode.MENU)
        each.tick()
        assert each.alive(moved.translate(ships[2000:])).tolist() == [True] * 500 + [False] * 500


def tied_world() -> hz.World:
    world = hz.World(capacity=10, states=[Mode.RUNNING, Link.ONLINE])
    ships = world.spawn(Ship, 6)
    world.despawn_on_exit(ships[3:], Mode.RUNNING)
    world.despawn_on_exit(ships[1:4], Mode.RUNNING)
    world.despawn_on_exit(ships[:1], Link.OFFLINE)
    world.despawn(ships[4])
    world.tick()
    return world


def test_files_know_who_ends_with_which_state(tmp_path):
    world = tied_world()
    world.save(tmp_path / "a.world")
    given = {"kinds": [Ship], "states": [Mode.MENU, Link.OFFLINE]}
    loaded = hz.World.load(tmp_path / "a.world", **given)
    assert loaded.digest() == world.digest()
    tied = hz.Snapshot.read(tmp_path / "a.world").states["Mode"]["tied"]
    assert list(tied) == ["RUNNING"]
    assert tied["RUNNING"].tolist() == world.query(Health).handles[1:].tolist()
    for each in (world, loaded):
        each.set_state(Mode.MENU)
        each.set_state(Link.OFFLINE)
        each.tick()
        assert len(each) == 1
        each.set_state(Link.ONLINE)
        each.tick()
        assert len(each) == 0
    assert loaded.digest() == world.digest()
    assert "tied" not in hz.Snapshot.of(loaded).states["Mode"]


def test_a_file_that_ties_what_it_cannot_is_refused(tmp_path):
    snapshot = hz.Snapshot.of(tied_world())
    snapshot.states["Mode"]["tied"] = {"GONE": snapshot.states["Mode"]["tied"]["RUNNING"]}
    with pytest.raises(hz.SnapshotError, match="state Mode knew GONE, which is none of its members"):
        snapshot.to_world([Ship], states=[Mode.MENU, Link.OFFLINE])
    for wrong in ([1], {"RUNNING": [1]}, {"RUNNING": np.zeros(2, np.int64)}, {"RUNNING": np.zeros((1, 2), np.uint64)}):
        snapshot.states["Mode"]["tied"] = wrong
        with pytest.raises(hz.SnapshotError, match="state 'Mode' is malformed"):
            snapshot.save(tmp_path / "b.world")


def test_the_dead_are_not_kept_in_mind():
    world = hz.World(capacity=10, states=[Mode.RUNNING])
    for _ in range(5):
        world.despawn_on_exit(world.spawn(Ship, 2), Mode.RUNNING)
        world.despawn(world.query(Health))
    assert len(world._states.tied[Mode.RUNNING]) == 2


def test_whoever_cannot_be_tied_is_refused_and_nobody_is():
    world = hz.World(capacity=10, states=[Mode.RUNNING])
    ships = world.spawn(Ship, 2)
    with pytest.raises(hz.ArgumentError, match="no state Link"):
        world.despawn_on_exit(ships, Link.ONLINE)
    with pytest.raises(hz.ArgumentError, match="a state is a member of an enum.Enum, not 'RUNNING'"):
        world.despawn_on_exit(ships, "RUNNING")  # type: ignore[arg-type]
    world.despawn(ships[1])
    with pytest.raises(hz.StaleHandleError):
        world.despawn_on_exit(ships, Mode.RUNNING)
    world.tick()
    world.set_state(Mode.MENU)
    world.tick()
    assert world.alive(ships).tolist() == [True, False]


def test_if_an_exit_fails_they_live_until_it_does_not():
    @hz.system(form="columns", on_exit=Mode.RUNNING)
    def leave(world: hz.World):
        if world.tick_count == 2:
            raise ValueError("not yet")

    world = hz.World(capacity=10, states=[Mode.RUNNING])
    world.add_system(leave)
    world.despawn_on_exit(world.spawn(Ship, 2), Mode.RUNNING)
    world.tick()
    world.set_state(Mode.MENU)
    with pytest.raises(hz.SystemFailure):
        world.tick()
    assert len(world) == 2
    world.tick()
    assert (len(world), world.state(Mode)) == (0, Mode.MENU)
