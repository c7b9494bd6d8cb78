"""Looking at a world: schema, hash, one entity, tables."""

from __future__ import annotations

import enum
import json

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
