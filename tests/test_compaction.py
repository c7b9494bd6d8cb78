"""Compaction: who moves where, and that everything which knows an entity follows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs.columns import PAGE
from tests import kernels, naive
from tests.game import Fuel, Position, Rock, Ship


@hz.component
class Follower:
    leader: hz.Entity


@hz.object_component
class Name:
    text: str = ""


Pet = hz.Kind("Pet", Position, Follower, Name)


def scattered() -> tuple[hz.World, np.ndarray, np.ndarray]:
    """Ships and rocks over several pages, nine in ten of them gone again."""
    world = hz.World(capacity=20 * PAGE)
    n = 4 * PAGE
    ships = world.spawn(Ship, n, Position={"x": np.arange(n)})
    rocks = world.spawn(Rock, n, Position={"x": np.arange(n) + 0.5})
    world.add(ships[::10], Fuel, np.arange(len(ships[::10])))
    gone = np.arange(n) % 10 != 0
    world.despawn(np.concatenate([ships[gone], rocks[gone]]))
    return world, ships[~gone], rocks[~gone]


def test_entities_stand_together_and_keep_their_values():
    world, ships, rocks = scattered()
    pages = int((world.page_kind >= 0).sum())
    moved = world.compact()
    assert int((world.page_kind >= 0).sum()) == 2 < pages
    ships_now, rocks_now = moved.translate(ships), moved.translate(rocks)
    assert world.alive(ships_now).all()
    assert world[Position].x[world.slots_of(ships_now)].tolist() == list(range(0, 4 * PAGE, 10))
    assert world[Position].x[world.slots_of(rocks_now)].tolist() == [i + 0.5 for i in range(0, 4 * PAGE, 10)]
    assert world[Fuel].amount[world.slots_of(ships_now)].tolist() == list(range(len(ships)))
    assert not world.alive(moved.old).any()
    assert np.array_equal(np.sort(world.query(Position, kind=Ship).handles), np.sort(ships_now))
    stayed = np.setdiff1d(ships, moved.old)
    assert np.array_equal(moved.translate(stayed), stayed)
    assert len(world.compact()) == 0
    world.spawn(Ship, 3 * PAGE)
    assert len(world) == len(ships) + len(rocks) + 3 * PAGE


def test_one_kind_may_be_compacted():
    world, _, rocks = scattered()
    moved = world.compact(Ship)
    assert len(moved) > 0
    assert world.alive(rocks).all()
    with pytest.raises(hz.ArgumentError, match="knows no kind"):
        world.compact(Pet)


def test_references_objects_and_events_follow():
    @hz.event
    class Bark:
        volume: hz.i2

    world, ships, _ = scattered()
    pets = world.spawn(Pet, len(ships), Follower={"leader": ships}, Name=[f"pet {i}" for i in range(len(ships))])
    world.despawn(pets[: PAGE // 8])
    world.push_events(Bark, pets[-1], np.zeros(1, Bark.__hz_dtype__))
    moved = world.compact()
    last = int(moved.translate(pets[-1]))
    assert world.get(last, Follower).leader == moved.translate(ships[-1])
    assert world.get(last, Name).text == f"pet {len(ships) - 1}"
    world.tick()
    assert world.events(Bark).sender.tolist() == [last]


def test_observers_keep_their_entities():
    near = hz.Layer(channel=0, radius=1e6, frequency=60, fields=[Position])
    boat = hz.Kind("Boat", Position, layers=[near])
    world = hz.World(capacity=8 * PAGE, kinds=[boat])
    boats = world.spawn(boat, 2 * PAGE, Position={"x": np.arange(2 * PAGE)})
    replicator = hz.Replicator(world)
    observer = replicator.add_observer(int(boats[-1]))
    replica = hz.Replica(replicator.schema, phase=replicator.phase(observer))
    world.tick()
    frames = replicator.step()
    replica.apply(bytes(frames.buffer[frames.payload[0] : frames.stop[0]]))
    world.despawn(boats[5:-5])
    moved = world.compact()
    assert replicator.entity[observer] == moved.translate(boats[-1])
    world.tick()
    frames = replicator.step()
    replica.apply(bytes(frames.buffer[frames.payload[0] : frames.stop[0]]))
    assert sorted(replica.column("Position", "x")) == [0, 1, 2, 3, 4, *range(2 * PAGE - 5, 2 * PAGE)]


def test_nobody_moves_while_the_world_ticks():
    @hz.system(form="columns")
    def rearrange(world: hz.World):
        world.compact()

    world = hz.World(capacity=64)
    world.add_system(rearrange)
    with pytest.raises(hz.SystemFailure, match="between ticks only"):
        world.tick()


@given(st.sets(st.integers(0, 3 * PAGE - 1), max_size=40), st.booleans())
@settings(derandomize=True, max_examples=40)
def test_the_plan_equals_its_twin(holes, many):
    rows = set(range(5 * PAGE)) - {h + PAGE for h in holes} if many else {h + PAGE for h in holes}
    pages = [1, 3, 4]
    signature = np.zeros(5 * PAGE, np.uint64)
    signature[sorted(rows)] = 1 << 63
    old, new = kernels.plan_moves(pages, signature)
    assert list(zip(old, new, strict=True)) == naive.plan_moves(pages, rows)


@hz.event
class Hit:
    by: hz.Entity


def test_whom_events_name_follows_too():
    world = hz.World(capacity=100)
    first, second = world.spawn(Ship, 2)
    world.push_events(Hit, second, np.array([(second,)], Hit.__hz_dtype__))
    world.tick()
    world.push_events(Hit, 0, np.array([(second,), (0,)], Hit.__hz_dtype__))
    world.despawn(first)
    (now,) = world.compact().translate([second])
    assert world.events(Hit).by.tolist() == [now]
    world.tick()
    assert world.events(Hit).by.tolist() == [now, 0]


def test_a_kind_that_is_named_twice_moves_once():
    world = hz.World(capacity=100)
    first, _ = world.spawn(Ship, 2)
    world.despawn(first)
    assert len(world.compact(Ship, Ship)) == 1
