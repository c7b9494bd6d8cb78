"""What is done to a population: copies, hiding, clearing, checking, names, defaults of kinds."""

from __future__ import annotations

import enum

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write, f4, i2
from horizon_ecs.columns import PAGE
from tests.game import Frozen, Fuel, Health, Position, Rock, Ship, Velocity


class Mode(enum.Enum):
    IDLE = 0
    RUN = 1


@hz.component
class Link:
    to: hz.Entity
    mode: Mode
    load: f4 = hz.field(default=0.5, range=(0, 1))


Node = hz.Kind("Node", Position, Link, hz.Name, optional=[Frozen, Health])


# -- copies ------------------------------------------------------------------------------------------------------


def test_duplicates_have_everything_that_the_originals_have():
    world = hz.World(capacity=5_000)
    nodes = world.spawn(Node, 2, Position=[[1, 2, 3], [4, 5, 6]], Name=["a", "b"])
    world.set(nodes[1], Link, {"to": nodes[0], "mode": Mode.RUN})
    world.add(nodes[1], Health, 7)
    ship = world.spawn(Ship, Fuel=3.0)
    copies = world.duplicate(np.concatenate([nodes, ship]), 2, Position={"x": np.arange(6)})
    assert [world.kind_of(int(h)).name for h in copies] == ["Node"] * 4 + ["Ship"] * 2
    assert world[Position].x[world.slots_of(copies)].tolist() == [0, 1, 2, 3, 4, 5]
    assert world.get(copies[3], Link) == world.get(nodes[1], Link) == Link(int(nodes[0]), Mode.RUN)
    assert world.has(copies, Health).tolist() == [False, False, True, True, True, True]
    assert world.get(copies[2], Health).hp == 7
    assert [world.get(h, hz.Name).text for h in copies[:4]] == ["a", "a", "b", "b"]
    assert world.get(copies[0], hz.Name) is not world.get(nodes[0], hz.Name)
    assert world.get(copies[5], Fuel).amount == 3.0


def test_duplicates_lack_what_the_originals_have_lost():
    kind = hz.Kind("Iced", Position, optional=[Frozen, hz.Name], defaults=[Frozen, hz.Name("ice")])
    world = hz.World(capacity=100)
    kept, thawed = world.spawn(kind, 2)
    world.remove(thawed, [Frozen, hz.Name])
    copies = world.duplicate([kept, thawed])
    assert world.has(copies, Frozen).tolist() == world.has(copies, hz.Name).tolist() == [True, False]
    assert len(world[hz.Name]) == 2


def test_too_many_copies_are_refused_whole():
    world = hz.World(capacity=10)
    mixed = np.concatenate([world.spawn(Ship, 3), world.spawn(Rock, 3)])
    with pytest.raises(hz.CapacityError, match="6 more entities exceed the world's capacity of 10, which leaves 4"):
        world.duplicate(mixed)
    assert len(world) == 6


def test_kinds_that_have_no_page_left_are_refused_together():
    old, new = hz.World(capacity=PAGE), hz.World(capacity=PAGE)
    strangers = [old.spawn(hz.Kind(name, Position))[0] for name in "XY"]
    for i in range(new.n_slots // PAGE - 1):
        new.spawn(hz.Kind(f"Kind {i}", Position))
    n = len(new)
    with pytest.raises(hz.CapacityError, match="no room for 1 more of kind 'Y'"):
        new.spawn_from(old, strangers)
    assert len(new) == n


def test_entities_are_copied_from_another_world():
    old, new = hz.World(capacity=100), hz.World(capacity=100)
    new.spawn(Node, 5)
    nodes = old.spawn(Node, 3, Name=["a", "b", "c"])
    old.set(nodes, Link, {"to": [nodes[1], nodes[2], 0]})
    copies = new.spawn_from(old, nodes[:2])
    first, second = copies.translate(nodes[:2])
    assert new.get(first, Link).to == second
    assert new.get(second, Link).to == 0
    assert len(new) == 7
    assert new.named("b") == second


# -- hiding ------------------------------------------------------------------------------------------------------


@hz.system
def drift(pos: Write[Position], vel: Read[Velocity]):
    pos.x += vel.x


def test_hidden_entities_are_kept_out_of_queries_and_systems():
    world = hz.World(capacity=100)
    ships = world.spawn(Ship, 4, Velocity=[1, 0, 0])
    world.add_system(drift)
    world.hide(ships[1:3])
    world.tick()
    assert world[Position].x[world.slots_of(ships)].tolist() == [1, 0, 0, 1]
    assert len(world.query(Position)) == 2
    assert len(world.query(Position, hidden=True)) == len(world) == 4
    assert world.is_hidden(ships).tolist() == [False, True, True, False]
    world.set(ships[1], Position, [5, 0, 0])
    world.show(ships)
    world.tick()
    assert world[Position].x[world.slots_of(ships)].tolist() == [2, 6, 1, 2]
    world.hide(ships)
    assert world.clear() == 4


def test_clients_see_hidden_entities_leave_and_come_back():
    boat = hz.Kind("Boat", Position, layers=[hz.Layer(channel=0, radius=1e6, frequency=60, fields=[Position])])
    world = hz.World(capacity=100, kinds=[boat])
    boats = world.spawn(boat, 3, Position={"x": [1, 2, 3]})
    replicator = hz.Replicator(world)
    observer = replicator.add_observer()
    replica = hz.Replica(replicator.schema, phase=replicator.phase(observer))
    seen = []
    for change in (lambda: None, lambda: world.hide(boats[1]), lambda: None, lambda: world.show(boats[1])):
        change()
        world.tick()
        frames = replicator.step()
        for payload, stop in zip(frames.payload, frames.stop, strict=True):
            replica.apply(bytes(frames.buffer[payload:stop]))
        seen.append(sorted(replica.column("Position", "x").tolist()))
    assert seen == [[1, 2, 3], [1, 3], [1, 3], [1, 2, 3]]


# -- compaction in order -----------------------------------------------------------------------------------------


def test_compaction_can_put_entities_in_order():
    world = hz.World(capacity=5_000)
    rng = np.random.default_rng(1)
    hp = rng.permutation(3_000)
    ships = world.spawn(Ship, 3_000, Health=hp, Position={"x": hp})
    world.despawn(ships[::7])
    kept = np.delete(ships, np.s_[::7])
    moved = world.compact(Ship, order="Health.hp")
    rows = world.query(Position, kind=Ship).slots
    assert (np.diff(world[Health].hp[rows].astype(int)) > 0).all()
    np.testing.assert_array_equal(world[Position].x[rows], world[Health].hp[rows])
    now = world.slots_of(moved.translate(kept))
    np.testing.assert_array_equal(world[Health].hp[now], np.delete(hp, np.s_[::7]))
    assert not world.alive(moved.old).any()
    with pytest.raises(hz.ArgumentError, match="order must be a 'Component.field'"):
        world.compact(Ship, order="Health.speed")


# -- small things ------------------------------------------------------------------------------------------------


def test_names_are_found():
    world = hz.World(capacity=100)
    nodes = world.spawn(Node, 3, Name=["a", "b", "b"])
    assert world.named("a") == nodes[0]
    assert world.named("nobody") == 0
    with pytest.raises(hz.ArgumentError, match="2 entities are called 'b'"):
        world.named("b")


def test_what_nobody_could_have_given_is_found():
    world = hz.World(capacity=100)
    nodes = world.spawn(Node, 4)
    assert world.validate() == {}
    rows = world.slots_of(nodes)
    world[Link].load[rows[0]] = 2.0
    world[Link].mode[rows[1]] = 9
    world[Link].to[rows[2]] = 12345
    world[Position].y[rows[3]] = np.nan
    found = world.validate()
    assert {name: handles.tolist() for name, handles in found.items()} == {
        "Link.load": [nodes[0]], "Link.mode": [nodes[1]], "Link.to": [nodes[2]], "Position.y": [nodes[3]],
    }  # fmt: skip


def test_kinds_have_defaults_of_their_own():
    tank = hz.Kind("Tank", Health, Position, optional=[Fuel, Frozen], defaults=[Health(300), Fuel(9.0), Frozen])
    heavy = hz.Kind("Heavy", extends=tank, defaults=[Health(900)])
    world = hz.World(capacity=100)
    a, b = world.spawn(tank)[0], world.spawn(heavy, Fuel=1.0)[0]
    assert [(world.get(h, Health).hp, world.get(h, Fuel).amount) for h in (a, b)] == [(300, 9.0), (900, 1.0)]
    assert world.has([a, b], Frozen).all()
    for bad in ([Velocity()], [Health], [Health(1), Health(2)], [3]):
        with pytest.raises(hz.DefinitionError, match="kind 'Bad': defaults"):
            hz.Kind("Bad", Health, defaults=bad)


def test_several_components_are_added_at_once_or_none():
    world = hz.World(capacity=100)
    ships, rocks = world.spawn(Ship, 3), world.spawn(Rock, 3)
    world.add(ships, [Frozen, Fuel(2.0)])
    assert world.components_of(ships[0]) == (Position, Velocity, Health, Frozen, Fuel)
    with pytest.raises(hz.ArgumentError, match="Fuel can't be added"):
        world.add(rocks, [Frozen, Fuel(2.0)])
    assert not world.has(rocks, Frozen).any()
    world.remove(ships, [Frozen, Fuel])
    assert world.get(ships[0], Fuel, None) is None
    assert world.get(ships[0], Health, None) == Health()
    world.add(ships[0], Fuel(4.0))
    assert world.get(ships[0], Fuel).amount == 4.0
    with pytest.raises(hz.ArgumentError, match="give instances instead"):
        world.add(ships, [Frozen, Fuel], 3)


def test_components_are_made_at_run_time():
    made = hz.make_component("Mass", {"kg": "f8", "at": ("f4", 3), "mode": Mode, "count": np.int16})
    world = hz.World(capacity=100)
    thing = world.spawn(hz.Kind("Thing", made), Mass={"kg": 5, "at": [1, 2, 3]})
    assert world.get(thing[0], made).at == (1, 2, 3)
    assert world[made].count.dtype == i2.__metadata__[0]
    with pytest.raises(hz.DefinitionError, match=r"Mass\.kg: 'heavy' is no dtype"):
        hz.make_component("Mass", {"kg": "heavy"})
    with pytest.raises(hz.DefinitionError, match="name must be an identifier"):
        hz.make_component("Mass kg", {"kg": "f8"})


def test_showing_what_is_not_hidden_does_nothing():
    world = hz.World(capacity=100)
    ship = world.spawn(Ship)
    world.run(2)
    born, version = world.born[0], world.structure_version
    world.show(ship)
    assert (world.born[0], world.structure_version) == (born, version)


def test_a_kind_with_too_many_components_leaves_nothing_behind():
    world = hz.World(capacity=100, kinds=[Node])
    known = world.components
    with pytest.raises(hz.CapacityError, match="C57 would be component 63; a world has at most 62"):
        world.register(hz.Kind("Wide", *(hz.make_component(f"C{i}", {"x": "f4"}) for i in range(60))))
    another = hz.make_component("Link", {"x": "f4"})
    with pytest.raises(hz.DefinitionError, match="another component called Link"):
        world.register(hz.Kind("Twice", Fuel, another))
    assert world.components == known
