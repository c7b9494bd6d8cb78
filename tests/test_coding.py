"""Coding: what is declared, as the wire's schema has it, and what is said where it can't be."""

from __future__ import annotations

import enum
import math
from typing import Annotated

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import b1, f2, f4, f8, i2, i4, i8, u4, u8
from horizon_ecs.coding import code_component
from horizon_ecs.errors import DefinitionError


class Stance(enum.Enum):
    SIT = 3
    STAND = 4
    RUN = 7


class Can(enum.IntFlag):
    WALK = 1
    SWIM = 2
    FLY = 8


@hz.component
class Place:
    x: f4
    y: f4


@hz.component
class Heading:
    yaw: f4 = hz.field(angle=True, precision=0.01)
    pitch: f8 = hz.field(angle=True)


@hz.component
class Body:
    rotation: hz.quat
    scale: f4 = hz.field(precision=1 / 64)
    spin: hz.quat = hz.field(precision=1 / 256)


@hz.component
class Mind:
    stance: Stance = Stance.SIT
    awake: b1
    hp: i2 = 100
    can: Can = Can.WALK
    level: i8 = hz.field(range=(-3, 12))


@hz.component
class Wide:
    id: u8 = hz.field(default=2**40, range=(2**40, 2**40 + 2**20))
    far: f8 = hz.field(precision=1e-3)


def layer(component, channel=0, frequency=60.0, radius=10.0, **options):
    return hz.Layer(channel, radius, frequency, [component], **options)


def coded(component, *layers, tick_rate=60.0):
    """The wire's fields by group, on as many channels as there are layers."""
    listed = layers or [layer(component)]
    return code_component("K", component, listed, listed, len(listed), tick_rate)


def orders(component, **options):
    """Each field's order on one layer."""
    return [f["params"][0][0] for fields in coded(component, layer(component, **options)) for f in fields]


def test_floats_are_rounded_where_there_is_a_precision():
    (fields,) = coded(Place, layer(Place, precision=1 / 8), layer(Place, 1, 2.0, 20.0, precision=2.0))
    assert [f["name"] for f in fields] == ["x", "y"]
    assert fields[0] == {"name": "x", "type": "f4", "codec": "quantised", "params": [[2, 0.125], [1, 2.0]]}
    assert [f["codec"] for f in coded(Place)[0]] == ["bits", "bits"]


def test_angles_have_a_power_of_two_of_steps_a_turn():
    ((yaw, pitch),) = coded(Heading)
    assert yaw == {"name": "yaw", "type": "f4", "codec": "angle", "params": [[2, 2.0**-10]]}
    assert math.tau * 2.0**-10 <= 0.01 < math.tau * 2.0**-9
    assert pitch["params"] == [[2, 2.0**-12]]
    # A precision in world units isn't theirs; one by component is.
    assert coded(Heading, layer(Heading, precision=1.0)) == coded(Heading)
    assert coded(Heading, layer(Heading, precision={Heading: 0.1}))[0][1]["params"] == [[2, 2.0**-6]]


def test_a_rotation_is_a_group_of_its_own():
    plain, rotation, spin = coded(Body, layer(Body, precision=4.0))
    assert [(f["name"], f["codec"]) for f in plain] == [("scale", "quantised")]
    assert plain[0]["params"] == [[2, 4.0]]
    assert [f["name"] for f in rotation] == ["rotation.x", "rotation.y", "rotation.z", "rotation.w"]
    assert {f["codec"] for f in rotation + spin} == {"rotation"}
    assert [f["params"] for f in rotation] == [[[2, 1 / 1024]]] * 3 + [[[3, 1 / 1024]]]
    assert [f["params"][0][1] for f in spin] == [1 / 256] * 4
    assert Body().rotation == [0, 0, 0, 1]


def test_flags_enums_and_small_numbers_share_one_field():
    ((hp, word),) = coded(Mind)
    assert (hp["name"], hp["codec"]) == ("hp", "integer")
    assert word == {
        "name": "stance+awake+can+level", "type": "u4", "codec": "packed", "params": [[3, 1.0]],
        "parts": [
            {"name": "stance", "type": "u1", "offset": 0, "width": 3, "low": 3, "high": 7},
            {"name": "awake", "type": "b1", "offset": 3, "width": 1, "low": 0, "high": 1},
            {"name": "can", "type": "u1", "offset": 4, "width": 4, "low": 0, "high": 11},
            {"name": "level", "type": "i8", "offset": 8, "width": 4, "low": -3, "high": 12},
        ],
    }  # fmt: skip


def test_eight_booleans_cost_one_field_and_more_than_fit_a_word_two():
    eight = hz.make_component("Eight", {f"b{i}": "?" for i in range(8)})
    assert [[len(f["parts"]) for f in fields] for fields in coded(eight)] == [[8]]
    forty = hz.make_component("Forty", {f"b{i}": "?" for i in range(40)})
    assert [[len(f["parts"]) for f in fields] for fields in coded(forty)] == [[32, 8]]


def test_one_alone_travels_as_the_integer_that_it_is():
    @hz.component
    class Lone:
        stance: Stance = Stance.SIT
        hp: i4 = hz.field(range=(0, 300))

    ((stance, hp),) = coded(Lone)
    assert (stance["codec"], hp["codec"]) == ("integer", "integer")
    assert stance["params"] == hp["params"] == [[1, 1.0]]


def test_what_has_eight_bytes_needs_a_range_or_a_precision():
    ((far, number),) = coded(Wide)
    assert far["codec"] == "quantised"
    assert number["parts"] == [
        {"name": "id", "type": "u8", "offset": 0, "width": 21, "low": 2**40, "high": 2**40 + 2**20}
    ]
    assert number["params"] == [[1, 1.0]]  # a number of its own changes by differences


def test_compression_chooses_the_predictor():
    assert orders(Place, precision=1.0) == [2, 2]
    assert orders(Place, precision=1.0, compression="delta") == [1, 1]
    assert orders(Place, precision=1.0, compression="quantised") == [0, 0]
    assert orders(Place, precision=1.0, compression="linear", frequency=1.0) == [2, 2]
    assert orders(Place, precision=1.0, frequency=1.0) == [1, 1]
    assert orders(Place, precision=1.0, frequency=0.4) == [0, 0]
    assert orders(Mind, compression={Mind: "delta"}) == [1, 3]
    assert orders(Mind, frequency=0.4) == [0, 0]
    assert orders(Body, compression="quantised") == [0] * 9
    assert orders(Heading, compression={}) == [2, 2]


def test_compression_none_sends_what_is_there():
    every = coded(Body, layer(Body, compression="none", precision=1.0))
    assert [[f["codec"] for f in fields] for fields in every] == [["bits"] * 4, ["bits"] * 4, ["bits"]]
    assert {f["params"][0][0] for fields in every for f in fields} == {0}

    @hz.component
    class Bare:
        a: b1
        b: b1
        half: f2

    assert [(f["codec"], f["type"]) for f in coded(Bare, layer(Bare, compression="none"))[0]] == [
        ("integer", "b1"), ("integer", "b1"), ("bits", "f2")
    ]  # fmt: skip


@hz.component
class Numbers:
    a: i4


@hz.component
class Far:
    x: f8


@hz.component
class Long:
    n: i8


@hz.component
class Tied:
    to: hz.Entity


@hz.component
class When:
    at: Annotated[int, np.dtype("M8[ms]")]


@hz.component
class Coarse:
    yaw: f4 = hz.field(angle=True, precision=4.0)


@hz.component
class Fine:
    rotation: hz.quat = hz.field(precision=1e-9)


@hz.component
class Partly:
    a: f4 = hz.field(precision=0.1)
    b: f4


@pytest.mark.parametrize(
    ("component", "options", "says"),
    [
        (Numbers, {"compression": "linear"}, "kind 'K': component Numbers has whole numbers only: compression 'linear' on channel 0 is for floats"),
        (Numbers, {"compression": "quantised"}, "component Numbers has whole numbers only: compression 'quantised'"),
        (Place, {"compression": "quantised"}, "field Place.x needs a precision for compression 'quantised' on channel 0"),
        (Place, {"compression": "linear"}, "field Place.x needs a precision for compression 'linear'"),
        (Partly, {"compression": "linear"}, "field Partly.b needs a precision for compression 'linear'"),
        (Place, {"compression": "linear", "precision": 1.0, "frequency": 0.9}, "looks back 134 ticks, and 128 are kept"),
        (Place, {"compression": "delta", "precision": 1.0, "frequency": 0.4}, "looks back 150 ticks, and 128 are kept"),
        (Far, {}, "field Far.x is float64: needs a precision in each of its layers"),
        (Far, {"compression": "none", "precision": 1.0}, "field Far.x is float64: float64 can't travel as it is"),
        (Long, {}, r"field Long.n is int64; replicated integers have at most 32 bits unless a range says which: hz.field\(range=\(low, high\)\)"),
        (Wide, {"compression": "none"}, "field Wide.id is uint64; replicated integers have at most 32 bits with compression 'none'"),
        (Tied, {}, "field Tied.to is a reference to an entity"),
        (When, {}, r"field When.at is datetime64\[ms\]; what can be replicated are floats"),
        (Coarse, {}, "field Coarse.yaw is an angle, whose precision lies between 2π/2\\*\\*30 and π, not 4"),
        (Fine, {}, "field Fine.rotation.x is of a rotation, whose precision lies between 2\\*\\*-24 and 1/4, not 1e-09"),
    ],
)  # fmt: skip
def test_what_cannot_be(component, options, says):
    with pytest.raises(DefinitionError, match=says):
        coded(component, layer(component, **options))


def test_what_layers_must_agree_on():
    with pytest.raises(DefinitionError, match="component Place has compression 'none' in some of its layers"):
        coded(Place, layer(Place, compression="none"), layer(Place, 1, 2.0, 20.0))
    with pytest.raises(DefinitionError, match=r"needs a precision in each of its layers \(channels \[0, 1\]\)"):
        coded(Place, layer(Place, precision=1.0), layer(Place, 1, 2.0, 20.0))


def test_choices_that_are_none():
    @hz.object_component
    class Notes:
        text: str = ""

    with pytest.raises(DefinitionError, match=r"compression must be one of \['auto', 'none', .*\], not 'zip'"):
        layer(Place, compression="zip")
    with pytest.raises(DefinitionError, match="compression 'deflate' isn't for Place, a component of numbers"):
        layer(Place, compression={Place: "deflate"})
    with pytest.raises(DefinitionError, match="compression 'linear' isn't for Notes, a component of Python objects"):
        hz.Layer(0, 1.0, 1.0, [Place, Notes], compression={Notes: "linear"})
    with pytest.raises(DefinitionError, match=r"compression names .*Notes.*, which fields doesn't list"):
        layer(Place, compression={Notes: "delta"})
    assert layer(Notes, compression="deflate").compression_of(Notes) == "deflate"


@pytest.mark.parametrize(
    ("annotation", "options", "says"),
    [(u4, {"angle": True}, "an angle is an f4 or f8 of radians, not a uint32"), (f2, {"angle": True}, "not a float16"),
     (hz.quat, {"angle": True}, "not a rotation"), (f4, {"angle": 1}, "angle must be True or False, not 1")],
)  # fmt: skip
def test_angles_are_floats(annotation, options, says):
    with pytest.raises(DefinitionError, match=says):

        @hz.component
        class Odd:
            a: annotation = hz.field(**options)
