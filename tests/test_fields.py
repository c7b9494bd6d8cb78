"""Fields of every type: columns, instances, what may be given and what may be declared."""

from __future__ import annotations

import enum
from typing import Annotated

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs.components import fields_of


class Marked(hz.Tag): ...


class Extra(hz.Tag): ...


class Mode(enum.Enum):
    IDLE = 3
    RUN = 4


class Flag(enum.IntFlag):
    HOT = 1
    WET = 2
    BIG = 256


@hz.component
class Rich:
    position: hz.vec3
    weights: Annotated[hz.Vector, np.dtype(("f8", (5,)))]
    mode: Mode
    flags: Flag
    target: hz.Entity
    when: Annotated[np.datetime64, np.dtype("M8[ms]")]
    phasor: np.complex64
    half: hz.f2
    hp: hz.i2 = hz.field(default=100, unit="hp", range=(0, 200), precision=1.0)


Full = hz.Kind("Full", Rich)


def test_every_field_type_becomes_columns():
    dtypes = {f.name: f.dtype.str[1:] for f in fields_of(Rich)}
    assert dtypes == {
        "position.x": "f4", "position.y": "f4", "position.z": "f4", "weights.0": "f8", "weights.1": "f8",
        "weights.2": "f8", "weights.3": "f8", "weights.4": "f8", "mode": "u1", "flags": "u2", "target": "u8",
        "when": "M8[ms]", "phasor": "c8", "half": "f2", "hp": "i2",
    }  # fmt: skip
    hp = fields_of(Rich)[-1]
    assert (hp.default, hp.unit, hp.low, hp.high, hp.precision) == (100, "hp", 0, 200, 1.0)
    assert next(f for f in fields_of(Rich) if f.name == "target").is_entity


def test_instances_hold_vectors_and_members():
    rich = Rich(position=(1, 2, 3), flags=3)
    assert rich.position == hz.Vector3(1, 2, 3)
    assert rich.position.y == rich.position[1] == 2
    assert (rich.mode, rich.flags, rich.hp, len(rich.weights)) == (Mode.IDLE, Flag.HOT | Flag.WET, 100, 5)
    assert Rich().position is not Rich().position
    with pytest.raises(AttributeError, match="no 'q'"):
        rich.position.q = 1
    with pytest.raises(AttributeError, match="no 'w'"):
        rich.position.w


def test_values_of_every_type_go_in_and_come_back():
    world = hz.World(capacity=64)
    where = np.arange(9.0).reshape(3, 3)
    ships = world.spawn(
        Full, 3, Rich={"position": where, "weights": [1, 2, 3, 4, 5], "mode": [Mode.RUN, Mode.IDLE, Mode.RUN],
                       "flags": Flag.WET, "when": np.datetime64("2026-01-02"), "phasor": 1 + 2j, "half": 0.5},
    )  # fmt: skip
    one = world.get(ships[2], Rich)
    assert one.position == (6.0, 7.0, 8.0)
    assert one.weights == [1, 2, 3, 4, 5]
    assert (one.mode, one.flags, one.phasor, one.half, one.hp) == (Mode.RUN, Flag.WET, 1 + 2j, 0.5, 100)
    assert one.when == np.datetime64("2026-01-02")
    world.set(ships[0], Rich, one)
    assert world.get(ships[0], Rich) == one
    world.set(ships[1], Rich, {"position.y": 5.0})
    assert world.get(ships[1], Rich).position == (3.0, 5.0, 5.0)
    world.set(ships, Rich, [Rich(hp=1), Rich(hp=2), Rich(hp=3)])
    assert [world.get(s, Rich).hp for s in ships] == [1, 2, 3]


def test_a_vector_is_seen_stacked_without_a_copy():
    world = hz.World(capacity=64)
    ships = world.spawn(Full, 3, Rich={"position": np.arange(9.0).reshape(3, 3)})
    rows = world.slots_of(ships)
    stack = np.asarray(world[Rich].position)
    np.testing.assert_array_equal(stack[rows], np.arange(9.0).reshape(3, 3))
    world[Rich].position.y[rows] = 7
    assert stack[rows, 1].tolist() == [7, 7, 7]
    assert np.shares_memory(stack, world[Rich].position.x)
    assert world.column(Rich, "position.x") is world[Rich].position.x
    with pytest.raises(ValueError, match="read-only"):
        stack[0, 0] = 1
    world[Rich].position[...] = (1, 2, 3)
    assert stack[rows[0]].tolist() == [1, 2, 3]
    with pytest.raises(hz.ArgumentError, match="one by one"):
        world[Rich].position[0] = (1, 2, 3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"hp": 201}, r"Rich\.hp takes 0 to 200 hp; the values reach from 201 to 201"),
        ({"mode": 9}, r"Rich\.mode takes values of Mode, not 9"),
        ({"flags": 8}, r"Rich\.flags takes values of Flag, not 8"),
        ({"position": [1, 2]}, r"Rich\.position expects an array of shape \(1, 3\) or \(3,\), got shape \(2,\)"),
        ({"when": 5}, r"Rich\.when takes datetime64\[ms\], not int64"),
        ({"hp": 1j}, r"Rich\.hp takes int16, not complex128"),
        ({"positon": 5}, "did you mean 'position'"),
    ],
)
def test_values_that_a_field_may_not_have(value, message):
    world = hz.World(capacity=64)
    with pytest.raises(hz.ArgumentError, match=message):
        world.spawn(Full, 1, Rich=value)
    assert len(world) == 0


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (str, "object_component"),
        (Annotated[float, np.dtype("U8")], "not <U8"),
        (Annotated[int, np.dtype("M8")], "needs a unit"),
        (Annotated[hz.Vector, np.dtype(("f4", (2, 2)))], "one dimension"),
        (enum.Enum("Words", {"A": "a"}), "whole numbers"),
        (int, "write i4"),
    ],
)
def test_types_that_a_field_cannot_have(annotation, message):
    with pytest.raises(hz.DefinitionError, match=message):
        hz.component(type("Bad", (), {"__annotations__": {"x": annotation}}))


@pytest.mark.parametrize(
    "options", [{"range": 3}, {"range": (2, 1)}, {"unit": 3}, {"precision": 0}, {"precision": float("nan")}]
)
def test_options_that_a_field_cannot_have(options):
    with pytest.raises(hz.DefinitionError, match="field: "):
        hz.field(**options)


@pytest.mark.parametrize(
    ("annotation", "options", "message"),
    [
        (hz.f4, {"range": (1, 2)}, r"Bad.x: the default 0.0 lies outside the range, 1 to 2"),
        (hz.i2, {"range": (None, 9), "default": 10}, "the default 10 lies outside the range, None to 9"),
        (hz.f4, {"range": (0, 9), "default": float("nan")}, "the default nan lies outside"),
        (hz.vec3, {"range": (0, 9), "default": (1, 2, 10)}, r"Bad.x.z: the default 10.0 lies outside"),
        (np.dtype("M8[s]"), {"range": (0, 9)}, r"a datetime64\[s\] can't lie in the range 0 to 9"),
    ],
)
def test_defaults_lie_within_the_range(annotation, options, message):
    annotation = Annotated[int, annotation] if isinstance(annotation, np.dtype) else annotation
    with pytest.raises(hz.DefinitionError, match=message):
        hz.component(type("Bad", (), {"__annotations__": {"x": annotation}, "x": hz.field(**options)}))


def test_kinds_extend_kinds():
    near = hz.Layer(channel=0, radius=10, frequency=30, fields=[Rich], precision=0.1)
    wide = hz.Layer(channel=0, radius=20, frequency=30, fields=[Rich], precision=0.1)
    base = hz.Kind("Base", Rich, optional=[Marked], layers=[near])
    fighter = hz.Kind("Fighter", Marked, extends=base, layers=[wide])
    other = hz.Kind("Other", optional=[Extra], extends=base)
    assert fighter.components == (Rich, Marked)
    assert fighter.optional == ()
    assert other.optional == (Marked, Extra)
    assert (fighter.layers, other.layers) == ((wide,), (near,))
    assert fighter.is_a(base)
    assert not base.is_a(fighter)
    world = hz.World(capacity=5000)
    world.spawn(base, 2), world.spawn(fighter, 3), world.spawn(other, 4)
    assert [len(world.query(Rich, kind=k)) for k in (base, fighter, other)] == [9, 3, 4]
    with pytest.raises(hz.DefinitionError, match="each name once"):
        hz.Kind("Twice", Rich, extends=base)
    with pytest.raises(hz.DefinitionError, match="extends takes another Kind"):
        hz.Kind("Bad", extends=Rich)
