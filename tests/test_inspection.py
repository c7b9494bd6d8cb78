"""Looking at a world: schema, hash, one entity, tables."""

from __future__ import annotations

import enum
import json

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import f4, i2
from tests.game import Frozen, Health, Position, Ship


class Mode(enum.Enum):
    IDLE = 0
    RUN = 1


@hz.component
class State:
    mode: Mode
    where: hz.vec3
    heat: f4 = hz.field(default=20.0, unit="°C", range=(-50, None), precision=0.5)


@hz.object_component
class Name:
    text: str = "<b>"


Thing = hz.Kind("Thing", State, Name, optional=[Frozen, Health])


def test_the_schema_is_plain_data():
    world = hz.World(capacity=64, kinds=[Ship, Thing])
    schema = json.loads(json.dumps(world.schema()))
    state = next(c for c in schema["components"] if c["name"] == "State")
    assert state["fields"][0] == {"name": "mode", "dtype": "|u1", "default": 0, "enum": {"IDLE": 0, "RUN": 1}}
    assert state["fields"][1] == {"name": "where.x", "dtype": "<f4", "default": 0.0, "vector": "where"}
    assert state["fields"][4] == {
        "name": "heat", "dtype": "<f4", "default": 20.0, "unit": "°C", "low": -50, "precision": 0.5
    }  # fmt: skip
    assert [k["name"] for k in schema["kinds"]] == ["Ship", "Thing"]
    assert schema["kinds"][1]["optional"] == ["Frozen", "Health"]


def test_the_hash_is_of_what_values_mean():
    def world(dtype: type = i2, default: int = 1, optional: bool = True) -> hz.World:
        @hz.component
        class Armour:
            plates: dtype = default

        kinds = [hz.Kind("Tank", Position, Armour, optional=[Frozen] if optional else []), Ship]
        return hz.World(capacity=64, kinds=kinds)

    same = world().schema_hash
    assert len(same) == 16
    assert world(default=2).schema_hash == same
    assert world(dtype=hz.i4).schema_hash != same
    assert world(optional=False).schema_hash != same
    reordered = hz.World(capacity=64)
    reordered.register(Ship)
    reordered.register(world().kinds[0])
    assert reordered.schema_hash == same


def test_an_entity_prints_itself():
    world = hz.World(capacity=64)
    thing = world.spawn(Thing, State={"mode": Mode.RUN, "where": (1, 2.5, 3)}, Frozen=True)[0]
    found = world.inspect(thing)
    assert found.components["State"].mode is Mode.RUN
    assert (found.kind, found.handle, found.slot) == ("Thing", thing, 0)
    text = str(found)
    for part in ("Mode.RUN", "(1, 2.5, 3)", "20 °C", "Frozen", "without Health", "'<b>'"):
        assert part in text
    assert "&lt;b&gt;" in found._repr_html_()
    world.despawn(thing)
    with pytest.raises(hz.StaleHandleError):
        world.inspect(thing)


def test_worlds_and_their_counts_are_tables_in_notebooks():
    world = hz.World(capacity=64)
    world.spawn(Ship, 3)
    assert "<td>Ship</td><td>3 entities</td>" in world._repr_html_()


def test_references_are_shown_as_handles():
    @hz.component
    class Aim:
        at: hz.Entity = 0

    gun = hz.Kind("Gun", Aim)
    world = hz.World(capacity=64)
    one = world.spawn(gun)[0]
    two = world.spawn(gun, Aim(int(one)))[0]
    assert str(world.inspect(two)).endswith(f"Aim.at  {int(one):#x}")
    assert str(world.inspect(one)).endswith("Aim.at  0")
    assert f"<td>{int(one):#x}</td></tr></tbody>" in world.query(Aim)._repr_html_()


def test_what_is_found_shows_itself_in_short():
    world = hz.World(capacity=64)
    things = world.spawn(Thing, 30, State={"mode": [0, 1] * 15}, Health=np.ma.array(range(30), mask=[1, 0] * 15))
    query = world.query(State, optional=[Health])
    table = query._repr_html_()
    assert table.count("<tr>") == 1 + 20 + 1
    assert "<th>handle</th><th>State.mode</th>" in table
    assert (
        f"<tr><td>{int(things[1]):#x}</td><td>Mode.RUN</td><td>0</td><td>0</td><td>0</td><td>20</td><td>1</td></tr>"
        in table
    )
    assert (
        f"<tr><td>{int(things[0]):#x}</td><td>Mode.IDLE</td><td>0</td><td>0</td><td>0</td><td>20</td><td></td></tr>"
        in table
    )
    assert world.query(Position)._repr_html_().endswith("<tbody></tbody></table>")
    groups = query.group_by("State.mode")
    assert repr(groups) == "Groups(2 groups of 30 entities)"
    assert "<tr><td>1</td><td>15</td></tr>" in groups._repr_html_()
    assert query.group_by("Health.hp")._repr_html_().endswith("</tr></tbody></table>")
    assert "<td>where.y</td><td>float32</td>" in world[State]._repr_html_()


def test_differences_and_hierarchies_show_themselves_in_short():
    crew = hz.Kind("Crew", Health, optional=[hz.Parent, Frozen])
    world = hz.World(capacity=64, kinds=[crew])
    other = world.clone()
    assert repr(world.diff(other)) == "Diff(equal)"
    members = world.spawn(crew, 30)
    world.relate(members[1:], hz.Parent, members[0])
    other.copy_from(world)
    other.set(members, Health(3))
    other.add(members[0], Frozen)
    other.despawn(members[1])
    found = world.diff(other)
    assert repr(found) == "Diff(1 entities only left, 0 only right; 2 differ: Frozen, Health.hp)"
    table = found._repr_html_()
    assert "<tr><td>entities only here</td><td>1</td><td>0</td></tr>" in table
    assert f"<tr><td>Health.hp of {int(members[0]):#x}</td><td>100</td><td>3</td></tr>" in table
    assert table.count("Health.hp of") == 5
    tree = world.hierarchy()
    assert repr(tree) == "Hierarchy(30 entities on 2 levels)"
    assert "<tr><td>0</td><td>1</td></tr><tr><td>1</td><td>29</td></tr>" in tree._repr_html_()
