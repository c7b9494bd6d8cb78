"""Enums in arrays: members are compared with and written as their numbers, wherever users see columns."""

from __future__ import annotations

import enum
import pickle

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Write, f4
from horizon_ecs.enums import EnumArray, understood
from horizon_ecs.fields import Field


class Stance(enum.Enum):
    IDLE = 0
    GUARD = 1
    ATTACK = 2


class Can(enum.IntFlag):
    WALK = 1
    SWIM = 2


@hz.component
class Mind:
    stance: Stance = Stance.GUARD
    can: Can = Can.WALK
    fear: f4 = 0.0


@hz.event
class Order:
    stance: Stance = Stance.ATTACK


Guard = hz.Kind("Guard", optional=[Mind])
NUMBERS = [0, 1, 2, 1]


@pytest.fixture
def world() -> hz.World:
    world = hz.World(capacity=100)
    world.spawn(Guard, 4, Mind={"stance": NUMBERS})
    return world


def test_members_are_compared_with(world):
    stance = world[Mind].stance[:4]
    expected = [n == 1 for n in NUMBERS]
    assert (stance == Stance.GUARD).tolist() == expected
    assert (stance != Stance.GUARD).tolist() == [not e for e in expected]
    assert (stance == [Stance.IDLE, Stance.IDLE, Stance.ATTACK, Stance.ATTACK]).tolist() == [True, False, True, False]
    assert (world.query(Mind)["Mind.stance"] == Stance.GUARD).tolist() == expected
    assert (world.query(optional=[Mind])["Mind.stance"] == Stance.GUARD).tolist() == expected
    assert np.isin(stance, [Stance.IDLE, Stance.ATTACK]).tolist() == [not e for e in expected]
    assert np.where(expected, stance, Stance.ATTACK).tolist() == [2, 1, 2, 1]
    assert np.concatenate([stance, stance], dtype=np.int64).tolist() == NUMBERS * 2
    assert np.take(stance, [1], out=np.zeros(1, np.uint8)).tolist() == [1]
    assert type(world[Mind].can) is np.ndarray
    assert (world[Mind].can[:4] == Can.WALK).all()


def test_members_are_written(world):
    stance = world[Mind].stance
    stance[:2] = Stance.ATTACK
    stance[2:4] = [Stance.IDLE, Stance.GUARD]
    assert world.column(Mind, "stance")[:4].tolist() == [2, 2, 0, 1]
    stance[:4] = np.where(stance[:4] == Stance.ATTACK, Stance.IDLE, Stance.GUARD)
    assert world.column(Mind, "stance")[:4].tolist() == [0, 0, 1, 1]
    world[Mind].stance = Stance.ATTACK
    assert (world.column(Mind, "stance") == 2).all()


def test_in_columns_systems(world):
    seen = []

    @hz.system(form="columns")
    def rage(mind: Write[Mind], orders: hz.Events[Order]):
        seen.append((orders.stance == Stance.ATTACK).tolist())
        mind.fear = mind.stance == Stance.GUARD
        mind.stance[mind.stance == Stance.GUARD] = Stance.ATTACK

    world.add_system(rage)
    world.push_events(Order, 0, [Order(), Order(Stance.IDLE)])
    world.tick()
    assert seen == [[True, False]]
    assert world[Mind].fear[:4].tolist() == [0, 1, 0, 1]
    assert world.column(Mind, "stance")[:4].tolist() == [0, 2, 2, 2]


def test_everything_else_is_a_plain_array(world):
    stance = world[Mind].stance[:4]
    assert isinstance(stance, EnumArray)
    assert type(stance + 1) is np.ndarray
    assert type(pickle.loads(pickle.dumps(stance))) is np.ndarray
    assert type(stance.max()) is np.uint8
    assert repr(stance) == "array([0, 1, 2, 1], dtype=uint8)"
    before = stance
    stance += 1
    assert stance is before
    assert stance.tolist() == [1, 2, 3, 2]
    assert np.modf(stance.astype("f4"), out=(np.zeros(4, "f4"), np.zeros(4, "f4")))[1].tolist() == [1, 2, 3, 2]
    assert type(world.query(Mind).to_dict()["Mind.stance"]) is np.ndarray
    plain = np.zeros(3)
    assert understood(plain, Field("x", plain.dtype)) is plain


def test_texts_and_strangers_are_refused_by_name(world):
    with pytest.raises(hz.ArgumentError, match=r"Mind.stance takes members of Stance \(IDLE, GUARD, ATTACK\), not"):
        world.spawn(Guard, Mind={"stance": "GUARD"})
    with pytest.raises(hz.ArgumentError, match="takes values of Stance, not 7: IDLE 0, GUARD 1, ATTACK 2"):
        world.spawn(Guard, Mind(7))
