"""Object components: Python values beside the columns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write
from horizon_ecs.columns import PAGE
from tests.game import Position


@hz.object_component
class Name:
    text: str = "nobody"


@hz.object_component
class Diary:
    pages: list[str] = dataclasses.field(default_factory=list)
    owner: str = ""


Person = hz.Kind("Person", Position, Name, optional=[Diary])


def test_what_is_given_is_copied():
    world, diary = hz.World(capacity=64), Diary(["Monday"])
    a, b = world.spawn(Person, 2, Diary=[diary, diary])
    c = world.spawn(Person, 1, Diary=[world.get(a, Diary)])[0]
    diary.pages.append("Tuesday")
    world.get(b, Diary).pages.append("Wednesday")
    assert [world.get(h, Diary).pages for h in (a, b, c)] == [["Monday"], ["Monday", "Wednesday"], ["Monday"]]


def test_instances_are_given_in_every_way():
    world = hz.World(capacity=64)
    a = world.spawn(Person, 2)
    b = world.spawn(Person, 2, Name="Ada")
    c = world.spawn(Person, 2, Name=["Bob", Name("Cleo")], Diary=Diary(["Monday"]))
    d = world.spawn(Person, Name={"text": "Dan"}, Diary={"owner": "Dan"})
    names = [world.get(h, Name).text for h in np.concatenate([a, b, c, d])]
    assert names == ["nobody", "nobody", "Ada", "Ada", "Bob", "Cleo", "Dan"]
    world.get(c[0], Diary).pages.append("Tuesday")
    assert [world.get(h, Diary).pages for h in c] == [["Monday", "Tuesday"], ["Monday"]]
    world.set(a, Name, ["Eve", "Finn"])
    assert [world.get(h, Name).text for h in a] == ["Eve", "Finn"]


def test_they_come_and_go_like_other_components():
    world = hz.World(capacity=64)
    people = world.spawn(Person, 4)
    world.add(people[:2], Diary)
    assert len(world.query(Diary)) == len(world[Diary]) == 2
    world.remove(people[0], Diary)
    assert world.has(people, Diary).tolist() == [False, True, False, False]
    world.despawn(people[1:3])
    assert len(world[Diary]) == 0
    assert len(world[Name]) == 2
    newcomer = world.spawn(Person)
    assert world.get(newcomer[0], Name).text == "nobody"
    assert [slot for slot, _ in world[Name]] == sorted(world.query(Name).slots.tolist())
    assert repr(world[Name]) == "ObjectColumn(Name: 3 instances)"


def test_a_query_of_them_tells_runs_and_rows():
    world = hz.World(capacity=PAGE + 64)
    world.spawn(Person, PAGE + 2, Diary=Diary())
    for query in (world.query(Name, Diary), world.query(Position, optional=[Diary])):
        assert query.runs() == [slice(0, PAGE)]
        assert query.rest().tolist() == [PAGE, PAGE + 1]
        assert query.segments[2].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Name": 5}, r"Name\.text takes str, not 5"),
        ({"Name": ["a", "b", "c"]}, "Name expects 2 instances or one, got 3"),
        ({"Diary": {"owener": ""}}, "Diary has no field 'owener'.*did you mean 'owner'"),
        ({"Diary": "Monday"}, "Diary takes an instance or a mapping"),
    ],
)
def test_what_they_do_not_take(values, message):
    world = hz.World(capacity=64)
    with pytest.raises(hz.ArgumentError, match=message):
        world.spawn(Person, 2, **values)
    assert len(world) == 0


def test_a_field_needs_a_default():
    with pytest.raises(hz.DefinitionError, match=r"Bad\.text needs a default"):

        @hz.object_component
        class Bad:
            text: str


@pytest.mark.parametrize("access", [Read, Write])
def test_jitted_systems_can_ask_for_them_but_not_read_them(access):
    with pytest.raises(hz.DefinitionError, match="Name"):

        @hz.system
        def shout(name: access[Name]): ...
