"""Components, kinds and layers: what may be declared, and what is said where it may not."""

from __future__ import annotations

import math

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import b1, f4, f8, i8, u1
from horizon_ecs.components import fields_of
from tests.game import Fuel, Health, Position, Ship, Velocity


def test_fields_have_dtypes_and_defaults():
    @hz.component
    class Everything:
        a: f4
        b: f8 = 1.5
        c: u1 = 200
        d: b1 = True
        e: i8 = -(2**60)

    found = {f.name: (f.dtype, f.default) for f in fields_of(Everything)}
    assert found == {
        "a": (np.dtype("f4"), 0.0),
        "b": (np.dtype("f8"), 1.5),
        "c": (np.dtype("u1"), 200),
        "d": (np.dtype("?"), True),
        "e": (np.dtype("i8"), -(2**60)),
    }


def test_instances_are_plain_values():
    p = Position(1.0, y=2.0)
    assert (p.x, p.y, p.z) == (1.0, 2.0, 0.0)
    assert p == Position(1.0, 2.0, 0.0)
    assert p != Position()
    assert repr(Health()) == "Health(hp=100)"
    with pytest.raises(TypeError):
        Position(w=1)


def test_a_component_without_fields_is_refused():
    with pytest.raises(hz.DefinitionError, match=r"component Empty has no fields.*Tag"):

        @hz.component
        class Empty: ...


def test_an_unknown_type_names_class_field_and_choices():
    with pytest.raises(hz.DefinitionError, match=r"Bad\.x: a field's type must be f2, f4, .*not <class 'float'>"):

        @hz.component
        class Bad:
            x: float


def test_an_annotation_that_does_not_resolve_is_refused():
    with pytest.raises(hz.DefinitionError, match=r"component Lost: .*nowhere"):

        @hz.component
        class Lost:
            x: nowhere  # noqa: F821


@pytest.mark.parametrize("default", [[], {}, "1", None, 300, -1, 1.5, math.nan])
def test_a_default_that_the_column_cannot_hold_is_refused(default):
    with pytest.raises(hz.DefinitionError, match=r"Bad\.x: the default .* is no uint8"):

        @hz.component
        class Bad:
            x: u1 = default


def test_a_tag_has_no_fields():
    with pytest.raises(hz.DefinitionError, match="tag Wrong has fields"):

        class Wrong(hz.Tag):
            x: f4


def test_decorators_take_classes():
    with pytest.raises(hz.DefinitionError, match="decorates a class"):
        hz.component(3)  # type: ignore[type-var]


def test_events_have_a_name_and_a_little_endian_dtype():
    @hz.event
    class SteerTo:
        x: f4
        y: f4

    @hz.event(name="space.fire")
    class Fire:
        power: u1

    assert SteerTo.__hz_event__ == "steer_to"
    assert SteerTo.__hz_dtype__ == np.dtype([("x", "<f4"), ("y", "<f4")])
    assert Fire.__hz_event__ == "space.fire"


# -- layers and kinds --------------------------------------------------------------------------------------------


def layer(**changes):
    values = {"channel": 0, "radius": 10.0, "frequency": 30.0, "fields": [Position], **changes}
    return hz.Layer(**values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel": 8}, "channel must be a whole number from 0 to 7, not 8"),
        ({"channel": 0.5}, "channel must be a whole number"),
        ({"channel": True}, "channel must be a whole number"),
        ({"radius": 0}, "radius must be a positive number, not 0"),
        ({"radius": math.nan}, "radius must be a positive"),
        ({"frequency": -1}, "frequency must be a positive"),
        ({"frequency": math.inf}, "frequency must be a positive"),
        ({"precision": 0.0}, "precision must be a positive"),
        ({"precision": {Position: -1.0}}, "precision must be a positive"),
        ({"precision": {Velocity: 1.0}}, "precision names .*Velocity.*, which fields doesn't list"),
        ({"fields": []}, "at least one component"),
        ({"fields": [Position, Position]}, "each once"),
        ({"fields": ["Position"]}, "expected a component class"),
        ({"priority": "high"}, "priority must be a whole number"),
    ],
)
def test_a_wrong_layer_is_refused(changes, message):
    with pytest.raises(hz.DefinitionError, match=message):
        layer(**changes)


def test_a_layer_is_frozen_and_may_reach_everywhere():
    everywhere = layer(radius=math.inf, precision={Position: 0.5})
    assert everywhere.precision_of(Position) == 0.5
    assert everywhere.precision_of(Velocity) is None
    with pytest.raises(AttributeError):
        everywhere.radius = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "layers", "message"),
    [
        ((), [], "at least one component"),
        ((Position, Position), [], "each name once"),
        ((Position,), [layer(), layer()], "two layers of channel 0"),
        ((Position,), [layer(fields=[Velocity])], "Velocity, which is none of its components"),
        ((Position,), [layer(fields=[Fuel])], "Fuel, which is optional"),
        ((Position,), [layer(radius=20.0), layer(channel=1)], "must reach at least as far"),
        ((Position,), [layer(), layer(channel=1, frequency=60.0)], "no more frequent"),
    ],
)
def test_a_wrong_kind_is_refused(arguments, layers, message):
    with pytest.raises(hz.DefinitionError, match=message):
        hz.Kind("Thing", *arguments, optional=[Fuel] if Position in arguments else [], layers=layers)


def test_a_kind_sorts_its_layers_and_stays_as_it_is():
    kind = hz.Kind("Thing", Position, layers=[layer(channel=3, radius=99, frequency=1), layer()])
    assert [one.channel for one in kind.layers] == [0, 3]
    with pytest.raises(AttributeError):
        kind.name = "Other"  # type: ignore[misc]
    assert "Frozen?" in repr(Ship)
