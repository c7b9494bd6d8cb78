"""Arguments that aren't what they should be: the error names them, what was expected and what came."""

from __future__ import annotations

import enum
import threading

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import f4
from tests.game import Frozen, Position, Ship


class Screen(enum.Enum):
    MENU = 0


@hz.component
class Stranger:
    x: f4


@pytest.fixture
def world() -> hz.World:
    world = hz.World(capacity=100)
    world.spawn(Ship, 2)
    return world


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.get(Position, 3), "not <class .*Position'>; were arguments swapped"),
        (lambda w: w.get(None, Position), "not None"),
        (lambda w: w.despawn(None), "handles must be whole numbers, an array of them or a query, not None"),
        (lambda w: w.alive(w), r"a query, not World\(2 of"),
        (lambda w: w.despawn(1.5), "handles .*not 1.5"),
        (lambda w: w.alive(np.ma.array([1, 2], mask=[0, 1])), "some of these handles are masked"),
        (lambda w: hz.World(kinds=Ship), r"kinds is a list of kinds, such as \[Ship\], not Kind\('Ship'"),
        (lambda w: hz.World(phases="simulate"), "phases is a list of names"),
        (lambda w: hz.World(track=Position), "track is a list of components or kinds"),
        (lambda w: hz.World(states=Screen.MENU), r"states is a list of members, such as \[Screen.MENU\]"),
        (lambda w: hz.World.load("none", kinds=[Ship], states=[Screen]), "did you mean Screen.MENU"),
        (lambda w: hz.World.load("none", kinds=Ship), "kinds is a list"),
        (lambda w: w.copy_from(None), "other must be a World, not None"),
        (lambda w: w.diff(None), "other must be a World, not None"),
        (lambda w: w[Stranger], r"no kind of this world has Stranger; its components are \['Position'"),
        (lambda w: w.column(Stranger, "x"), "no kind of this world has Stranger"),
        (lambda w: w.get(w.query(Position).first(), Stranger), "this Ship has no Stranger"),
        (lambda w: w.set(w.query(Position), Stranger(1)), "not all of these entities have Stranger"),
        (lambda w: w.add(w.query(Position), Stranger), "doesn't know it"),
    ],
)
def test_arguments_are_refused(world, call, message):
    with pytest.raises(hz.ArgumentError, match=message):
        call(world)
    assert Stranger not in world.components


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hz.system(without=Frozen)(lambda p: None), r"without is a list of components, such as \[Position\]"),
        (lambda: hz.Kind("D", [Position]), r"got \[<class .*unpack it: \*\[\.\.\.\]"),
        (lambda: hz.Kind("D", optional=Frozen), "kind 'D': optional is a list of components"),
        (lambda: hz.World().query([Position]), r"unpack it: \*\[\.\.\.\]"),
    ],
)
def test_declarations_are_refused(call, message):
    with pytest.raises(hz.DefinitionError, match=message):
        call()


def test_nobody_is_zero(world):
    assert world.alive(0).tolist() == [False]
    assert world.query(Position, any_of=[Stranger]).first() == 0
    assert 0 not in world.query(Position)
    with pytest.raises(hz.StaleHandleError, match="handle 0 .index 0 of 1. is nobody's"):
        world.get(0, Position)


def test_what_nobody_has_is_asked_for_in_vain(world):
    assert not world.has(world.query(Position), Stranger).any()
    assert world.get(world.query(Position).first(), Stranger, None) is None
    assert world.named("anybody") == 0
    for change in (
        lambda: world.add([], Stranger),
        lambda: world.remove([], Stranger),
        lambda: world.set([], Stranger(1)),
    ):
        change()
    assert not {Stranger, hz.Name}.intersection(world.components)


def test_a_query_may_come_before_the_kind():
    world = hz.World(capacity=10)
    query = world.query(Position)
    world.spawn(Ship, 3)
    assert len(query) == 3


def test_a_world_belongs_to_one_thread_at_a_time(world):
    said: list[str] = []

    def elsewhere():
        try:
            world.tick()
        except hz.ArgumentError as error:
            said.append(str(error))

    @hz.system(form="columns")
    def wait(world: hz.World):
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()

    world.add_system(wait)
    world.tick()
    assert "or by another thread while this world ticks" in said[0]


def test_an_observer_that_raises_names_its_line(world):
    def told(handles):
        raise ValueError("no")

    world.on_add(Position, told)
    world.spawn(Ship, 1)
    line = told.__code__.co_firstlineno + 1
    with pytest.raises(
        hz.SystemFailure, match=rf"told\).* failed in tick 1 at .*test_arguments.py:{line}: ValueError: no"
    ):
        world.tick()
