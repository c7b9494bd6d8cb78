"""What is given for entities: components as instances, classes, truth values and masked arrays, all or nothing."""

from __future__ import annotations

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import b1, f4
from tests.game import Frozen, Fuel, Health, Position, Rock, Ship, Velocity


@hz.component
class Switch:
    on: b1 = True


@hz.object_component
class Script:
    text: str = "empty"


Lamp = hz.Kind("Lamp", Health, optional=[Switch, Script, Fuel, Frozen], defaults=[Fuel(7.0)])


@pytest.fixture
def world() -> hz.World:
    return hz.World(capacity=1000, kinds=[Ship, Rock, Lamp])


def test_spawn_takes_instances_and_classes(world):
    one = world.spawn(Ship, Position(1, 2), Frozen)
    two = world.spawn(Ship, 2, Health(7), Fuel, Position=[[1, 1, 1], [2, 2, 2]])
    assert world.get(one[0], Position) == Position(1, 2, 0)
    assert world.has(one, Frozen).all()
    assert not world.has(two, Frozen).any()
    assert [world.get(h, Health).hp for h in two] == [7, 7]
    assert [world.get(h, Fuel).amount for h in two] == [1, 1]
    assert world[Position].x[world.slots_of(two)].tolist() == [1, 2]
    assert world.get(world.spawn(Lamp, Script("x"), Frozen())[0], Script).text == "x"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.spawn(Ship, 1, Health(), Health=3), r"spawn\(\) was given Health twice"),
        (lambda w: w.spawn(Ship, 1, 3), "expected a component .its class, or an instance of it., got 3"),
        (lambda w: w.spawn(Rock, Health(3)), "kind 'Rock' has no component 'Health'"),
        (lambda w: w.spawn(Ship, "two"), "n must be a whole number of entities, not 'two'"),
        (lambda w: w.spawn(Ship, 2, Frozen=[True]), r"Frozen: who has it is bool\[2\], not of shape \(1,\)"),
        (lambda w: w.spawn(Ship, 2, Fuel=np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])), "a row for each of 2 entities"),
        (lambda w: w.spawn(Ship, 2, Health=np.ma.array([1, 2], mask=[0, 1])), "Health has no value where the array is"),
        (lambda w: w.spawn(Ship, records={"Fuel": [1]}), r"or 'Component' with bool\[n\], not 'Fuel'"),
    ],
)
def test_spawn_refuses_and_does_nothing(world, call, message):
    with pytest.raises(hz.ArgumentError, match=message):
        call(world)
    assert len(world) == 0


def test_truth_values_say_who_has_it(world):
    all_, none = world.spawn(Ship, 2, Frozen=True, Fuel=True), world.spawn(Ship, 2, Frozen=False, Fuel=False)
    some = world.spawn(Ship, 3, Frozen=[True, False, True], Fuel=np.array([False, True, True]))
    for component, expected in ((Frozen, [True, False, True]), (Fuel, [False, True, True])):
        assert world.has(all_, component).all()
        assert not world.has(none, component).any()
        assert world.has(some, component).tolist() == expected
    assert world.get(some[1], Fuel) == world.get(all_[0], Fuel) == Fuel(1.0)
    assert len(world.query(Frozen)) == 4


def test_where_masks_meet_defaults_objects_and_truth_values(world):
    lamps = world.spawn(
        Lamp, 3, Fuel=[True, False, False], Script=np.array([False, True, False]), Switch=[True, False, True]
    )
    assert world.has(lamps, Fuel).tolist() == [True, False, False]
    assert world.get(lamps[0], Fuel).amount == 7.0
    assert world.has(lamps, Script).tolist() == [False, True, False]
    assert len(world[Script]) == 1
    assert world.has(lamps, Switch).all()
    assert [world.get(h, Switch).on for h in lamps] == [True, False, True]


def test_who_is_masked_lacks_it(world):
    fuel = np.ma.array([3.0, np.nan, 5.0], mask=[0, 1, 0])
    for given in (fuel, {"amount": fuel}, fuel[:, None]):
        made = world.spawn(Ship, 3, Fuel=given)
        assert world.has(made, Fuel).tolist() == [True, False, True]
        assert [world.get(h, Fuel).amount for h in made[::2]] == [3, 5]
    assert not world.has(world.spawn(Ship, 1, Fuel={"amount": fuel[1:2]}), Fuel).any()


@pytest.mark.parametrize("form", ["to_dict", "to_records"])
def test_tables_make_the_same_entities_again(world, form):
    ships = world.spawn(
        Ship, 6, Position={"x": np.arange(6)}, Fuel=np.ma.array(np.arange(6.0), mask=[1, 0, 1, 0, 0, 1])
    )
    world.add(ships[:2], Frozen)
    query = world.query(*Ship.components, optional=Ship.optional)
    other = hz.World(capacity=100)
    other.spawn(Ship, records=getattr(query, form)())
    assert world.digest() == other.digest()
    assert len(other.query(Fuel, without=[Frozen])) == 2


@hz.component
class Aim:
    at: hz.Entity = 0
    far: f4 = 1.0


def test_who_is_named_in_a_command_lives_or_is_nobody():
    kind = hz.Kind("Gun", Health, optional=[Aim])
    world = hz.World(capacity=10)
    ann, bob = world.spawn(kind, 2).tolist()

    @hz.system(form="columns")
    def make(cmd: hz.Commands, world: hz.World):
        cmd.spawn(kind, 3, Aim={"at": np.ma.array([ann, bob, ann], np.uint64, mask=[0, 0, 1]), "far": 2})
        cmd.spawn(kind, 2, Aim(bob))
        cmd.spawn(kind, 2, Aim=[True, False])
        cmd.despawn(bob)

    world.run_system(make)
    guns = world.query(kind=kind).handles[1:]
    found = [world.get(h, Aim, None) for h in guns]
    assert found == [Aim(ann, 2), Aim(0, 2), None, Aim(0), Aim(0), Aim(0), None]


def test_commands_take_the_same(world):
    @hz.system(form="columns")
    def make(cmd: hz.Commands, world: hz.World):
        cmd.spawn(
            Ship, 3, Position(1, 2), Health, Frozen=[True, False, True], Fuel=np.ma.array([1.0, 2, 3], mask=[1, 0, 0])
        )
        cmd.spawn(Lamp, 2, Frozen, Fuel=[True, False], Script=np.array([True, False]))
        cmd.spawn(Lamp, Fuel=True)

    world.run_system(make)
    ships, lamps = world.query(kind=Ship).handles, world.query(kind=Lamp).handles
    assert world.has(ships, Frozen).tolist() == [True, False, True]
    assert world.has(ships, Fuel).tolist() == [False, True, True]
    assert [world.get(h, Fuel).amount for h in ships[1:]] == [2, 3]
    assert world.has(lamps, Fuel).tolist() == [True, False, True]
    assert [world.get(h, Fuel).amount for h in lamps[::2]] == [7, 7]
    assert world.has(lamps, Script).tolist() == [True, False, False]
    assert world.has(lamps, Frozen).tolist() == [True, True, False]


def test_set_takes_instances_all_or_nothing(world):
    ships = world.spawn(Ship, 2)
    world.set(ships, Position(1, 2, 3))
    world.set(ships[0], [Velocity(4, 5, 6), Health(7)])
    assert world.get(ships[1], Position) == Position(1, 2, 3)
    assert (world.get(ships[0], Velocity), world.get(ships[0], Health)) == (Velocity(4, 5, 6), Health(7))
    lamp = world.spawn(Lamp, Script)
    world.set(lamp, [Script("new"), Health(1)])
    assert world.get(lamp[0], Script).text == "new"
    for call, message in [
        (lambda: world.set(ships, [Health(9), Fuel(1.0)]), "not all of these entities have Fuel"),
        (lambda: world.set(ships, [Health(9), Health(99_999)]), "takes -32768 to 32767"),
        (lambda: world.set(ships, Health), r"set\(\) was given no values of Health"),
        (lambda: world.set(ships, Health(3), 4), "values are those of one component class"),
    ]:
        with pytest.raises(hz.ArgumentError, match=message):
            call()
    assert [world.get(h, Health).hp for h in ships] == [7, 100]


def test_instances_know_their_fields():
    for make in (Position, hz.Time, Script):
        one = make()
        with pytest.raises(AttributeError, match="has no field 'zz'; it has"):
            one.zz = 3
    with pytest.raises(AttributeError, match="did you mean 'amount'"):
        Fuel().amunt = 3
    one = Position(1)
    one.x, one.y = 5, 6
    assert one == Position(5, 6)
