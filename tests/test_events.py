"""Events: the forms in which they are given, and what becomes of entities that they name."""

from __future__ import annotations

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import f4, u1
from tests.game import Health, Position, Ship


@hz.event
class Hit:
    victim: hz.Entity = 0
    power: f4 = hz.field(default=2.0, range=(0, 100))
    kind: u1 = 0


EXACT = np.array([(5, 1.0, 2), (6, 3.0, 4)], Hit.__hz_dtype__)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Hit(), [(0, 2.0, 0)]),
        ([Hit(power=1.0), Hit(kind=3)], [(0, 1.0, 0), (0, 2.0, 3)]),
        ((Hit(),), [(0, 2.0, 0)]),
        ([], []),
        ({"power": [1, 2], "kind": 7}, [(0, 1.0, 7), (0, 2.0, 7)]),
        ({"power": 4}, [(0, 4.0, 0)]),
        (EXACT, [(5, 1.0, 2), (6, 3.0, 4)]),
        (EXACT[0], [(5, 1.0, 2)]),
    ],
)
def test_the_forms_of_events(given, expected):
    world = hz.World(capacity=10)
    assert world.push_events(Hit, 0, given) == len(expected)
    assert world._queue(Hit).waiting.records.tolist() == expected


@pytest.mark.parametrize(
    ("sender", "given", "message"),
    [
        (0, np.zeros(3), r"events are given as Hit\(\.\.\.\).*structured array of \[\('victim', '<u8'\)"),
        (0, [Hit(), 3], "events are given as"),
        (0, {"powr": 1}, "Hit has no field 'powr'.*did you mean 'power'"),
        (0, {"power": [1, 2], "kind": [1, 2, 3]}, r"Hit.power expects a scalar or an array of shape \(3,\)"),
        (0, Hit(power=200.0), "Hit.power takes 0 to 100"),
        ([0, 0], [Hit()] * 3, "sender must be one handle, or one for each of 3 events, not 2"),
        ("ann", Hit(), "handles must be whole numbers"),
    ],
)
def test_what_are_no_events_is_refused(sender, given, message):
    world = hz.World(capacity=10)
    with pytest.raises(hz.ArgumentError, match=message):
        world.push_events(Hit, sender, given)
    assert not len(world._queue(Hit).waiting)


def test_the_dead_are_named_by_nobody():
    world = hz.World(capacity=10, kinds=[Ship])
    ann, bob, tom = world.spawn(Ship, 3).tolist()
    world.despawn(tom)
    world.push_events(Hit, ann, {"victim": [ann, bob, tom, 0, 12345]})
    world.despawn(bob)
    world.tick()
    assert world.events(Hit).victim.tolist() == [ann, 0, 0, 0, 0]


def test_an_emitted_victim_that_ends_before_it_is_read():
    world = hz.World(capacity=10, kinds=[Ship])
    ann, bob = world.spawn(Ship, 2).tolist()
    seen = []

    @hz.system(form="columns")
    def read(hits: hz.Events[Hit]):
        seen.append(hits.victim.tolist())

    @hz.system(form="columns", phase="cleanup" if "cleanup" in hz.World().schedule.phases else "simulate", after=read)
    def fire(out: hz.Emit[Hit], cmd: hz.Commands, world: hz.World):
        if world.tick_count == 1:
            out.emit(Hit(victim=np.array([ann, bob], np.uint64)))
            cmd.despawn(bob)

    world.add_system(read, fire)
    world.run(2)
    assert seen == [[], [ann, 0]]


def test_events_are_applied_to_their_victims():
    world = hz.World(capacity=10, kinds=[Ship], track=[Health])
    ann, bob, tom = world.spawn(Ship, 3).tolist()

    @hz.system(form="columns")
    def suffer(hits: hz.Events[Hit], world: hz.World):
        there = world.alive(hits.victim)
        slots = world.slots_of(hits.victim[there])
        np.subtract.at(world[Health].hp, slots, hits.power[there].astype("i2"))
        world.touch(Health, hits.victim[there])

    world.add_system(suffer)
    world.run(2)
    world.push_events(Hit, 0, [Hit(ann, 3), Hit(bob, 5), Hit(ann, 4), Hit(0, 9)])
    world.tick()
    assert [world.get(h, Health).hp for h in (ann, bob, tom)] == [93, 95, 100]
    assert world.query(Position).changed(Health).tolist() == [ann, bob]
