"""What a replicator reads of components, against one that is told the same by calls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import f4, kernel, u1, u4

quick = settings(max_examples=6 if kernel.jit_enabled() else 1, deadline=None, derandomize=True, database=None)


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Place:
    room: u4


@hz.component
class Mode:
    profile: u1
    seen: f4 = 1.0


near, far = (hz.Layer(0, radius, 60, [Position], 1 / 16) for radius in (20, 60))
profiles = {"docked": [hz.Layer(0, 5, 20, [Position], 1 / 16)], "combat": [far]}
Ship = hz.Kind("Ship", Position, Place, Mode, layers=[near], profiles=profiles)
Rock = hz.Kind("Rock", Position, layers=[near, hz.Layer(1, 50, 10, [Position], 1 / 16)])
READ = {"rooms": "Place.room", "profiles": "Mode.profile", "radius_scales": "Mode.seen"}
NAMES = ["default", "docked", "combat"]
SCALES = np.array([0.25, 1.0, 2.0, 1.5], np.float32)


class Twins:
    """Two replicators of one world: one reads columns, the other is told what stands there."""

    def __init__(self, seed, **options):
        self.rng = np.random.default_rng(seed)
        self.world = hz.World(capacity=4_096, tick_rate=60, kinds=[Ship, Rock])
        self.reads = hz.Replicator(self.world, **READ, **options)
        self.told = hz.Replicator(self.world, **options)
        self.ships = np.zeros(0, np.uint64)
        self.observers = []

    def spawn(self, n):
        places = self.rng.uniform(-40, 40, (n, 2)).astype(np.float32)
        self.ships = np.append(self.ships, self.world.spawn(Ship, n, Position=places))
        self.world.spawn(Rock, 1 + n // 4, Position=places[: 1 + n // 4])

    def watch(self, entity):
        numbers = [r.add_observer(entity) for r in (self.reads, self.told)]
        assert len(set(numbers)) == 1
        self.observers.append((numbers[0], entity))

    def write(self):
        """Some entities get another room, profile or scale, as a system would say it."""
        slots = self.world.slots_of(self.ships)
        for column, values in (
            (self.world[Place].room, [0, 1, 2, hz.EVERYWHERE]), (self.world[Mode].profile, [0, 1, 2]),
            (self.world[Mode].seen, SCALES)
        ):  # fmt: skip
            chosen = slots[self.rng.random(len(slots)) < 0.1]
            column[chosen] = self.rng.choice(values, len(chosen))

    def tell(self):
        slots = self.world.slots_of(self.ships)
        rooms = self.world[Place].room[slots]
        self.told.set_room(self.ships, rooms)
        for number, name in enumerate(NAMES):
            self.told.set_profile(self.ships[self.world[Mode].profile[slots] == number], name)
        self.told.set_radius_scale(self.ships, self.world[Mode].seen[slots])
        for observer, entity in self.observers:
            if self.world.alive([entity])[0] and (room := self.world.get(int(entity), Place).room) != hz.EVERYWHERE:
                self.told.set_observer_room(observer, int(room))

    def step(self):
        self.world.tick()
        self.tell()
        both = [r.step() for r in (self.reads, self.told)]
        frames = [
            {o: bytes(f.buffer[a:b]) for o, a, b in zip(f.observers.tolist(), f.payload, f.stop, strict=True)}
            for f in both
        ]
        assert frames[0] == frames[1]
        return sum(map(len, frames[0].values()))


@quick
@given(seed=st.integers(0, 2**32 - 1), n_threads=st.sampled_from([1, 2]))
def test_columns_say_what_calls_would(seed, n_threads):
    twins = Twins(seed, n_threads=n_threads)
    twins.spawn(40)
    for ship in twins.ships[:4]:
        twins.watch(ship)
    n_bytes = 0
    for tick in range(30):
        twins.write()
        if tick % 5 == 4:
            gone, twins.ships = twins.ships[-3:], twins.ships[:-3]
            twins.world.despawn(gone)
            twins.spawn(2)
        n_bytes += twins.step()
    assert n_bytes > 1_000


def stand(**read):
    world = hz.World(capacity=2_048, tick_rate=60, kinds=[Ship, Rock])
    ships = world.spawn(Ship, 3, Position=[[0, 0], [10, 0], [40, 0]])
    replicator = hz.Replicator(world, **read)
    return world, ships, replicator, replicator.add_observer(ships[0])


def seen(world, replicator, observer, ticks=1):
    for _ in range(ticks):
        world.tick()
        replicator.step()
    return {one["entity"] for one in replicator.interest(observer)}


def test_a_system_moves_entities_and_who_stands_at_them_between_rooms():
    @hz.system
    def through_the_door(pos: hz.Read[Position], place: hz.Write[Place]):
        place.room = np.uint32(pos.x >= 5.0)

    world, ships, replicator, observer = stand(rooms="Place.room")
    world.add_system(through_the_door)
    (rock,) = world.spawn(Rock, 1, Position=(1, 1)).tolist()
    assert seen(world, replicator, observer) == {ships[0], rock}
    world.set(ships[:1], Position, (6, 0))
    assert seen(world, replicator, observer) == {ships[0], ships[1]}
    world.set(ships[1:2], Position, (0, 0))
    assert seen(world, replicator, observer) == {ships[0]}
    free = replicator.add_observer(position=(0, 0))
    assert seen(world, replicator, free) == {ships[1], rock}
    replicator.set_observer_room(free, 1)
    assert seen(world, replicator, free) == {ships[0]}


def test_what_columns_say_is_saved_with_the_world(tmp_path):
    world, ships, replicator, observer = stand(**READ)
    world.set(ships[1:2], Mode, Mode(profile=1))
    world.set(ships[2:], Mode, Mode(profile=2, seen=2.0))
    expected = {ships[0], ships[2]}
    assert seen(world, replicator, observer, 4) == expected
    world.save(tmp_path / "w.hzsnap")
    again = hz.World.load(tmp_path / "w.hzsnap", kinds=[Ship, Rock])
    other = hz.Replicator(again, **READ)
    assert seen(again, other, other.add_observer(ships[0]), 4) == expected
    assert other.profile(ships) == NAMES
    assert other.radius_scale(ships).tolist() == [1.0, 1.0, 2.0]


def test_values_that_cannot_be_count_as_the_nearest():
    world, ships, replicator, observer = stand(**READ)
    world.set(ships, Mode, {"profile": [3, 255, 2], "seen": [np.nan, 0.0, np.inf]})
    seen(world, replicator, observer)
    assert replicator.profile(ships) == ["default", "default", "combat"]
    assert replicator.radius_scale(ships).tolist() == [1.0, 1 / 256, 256.0]


def test_what_is_read_is_not_said_by_calls():
    world, ships, replicator, _ = stand(**READ)
    rocks = world.spawn(Rock, 1)
    for call, value in (("set_room", 1), ("set_profile", "docked"), ("set_radius_scale", 2.0)):
        with pytest.raises(hz.ArgumentError, match=rf"{call}: it is read from (Place.room|Mode.profile|Mode.seen)"):
            getattr(replicator, call)(ships, value)
    replicator.set_room(rocks, 7)
    replicator.set_radius_scale(rocks, 2.0)
    assert replicator.radius_scale(rocks).tolist() == [2.0]


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("rooms", "Place", "rooms names a field of a component that kinds with layers have, such as 'Place.room'"),
        ("rooms", "Mode.profile", "must be a field of type u4, not uint8"),
        ("profiles", "Place.room", "must be a field of type u1, not uint32"),
        ("radius_scales", "Mode.nothing", "radius_scales names a field"),
        ("radius_scales", "Place.room", "must be a field of type f4, not uint32"),
    ],
)
def test_what_cannot_be_read(option, name, words):
    with pytest.raises(hz.DefinitionError, match=words):
        stand(**{option: name})
