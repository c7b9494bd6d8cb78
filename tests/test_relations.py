"""Relations: declared, written, followed back, and what they make of the end of a target."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import horizon_ecs as hz
from horizon_ecs import Read, Write, f4, kernel, vec2
from horizon_ecs.columns import PAGE
from horizon_ecs.components import fields_of
from tests import naive


@hz.component
class Mass:
    kg: f4 = 1.0


class DockedAt(hz.Relation):
    since: f4 = -1.0
    offset: vec2


class Follows(hz.Relation, on_target_death="remove"): ...


class Fuels(hz.Relation, on_target_death="despawn"): ...


class BuiltOn(hz.Relation, acyclic=True): ...


Station = hz.Kind("Station", Mass)
Ship = hz.Kind("Ship", Mass, optional=[DockedAt, Follows, hz.Parent, BuiltOn])
Drone = hz.Kind("Drone", hz.Parent, Follows, optional=[Fuels, Mass])


@pytest.fixture
def world() -> hz.World:
    return hz.World(capacity=8 * PAGE, kinds=[Station, Ship, Drone])


# -- declaring ---------------------------------------------------------------------------------------------------


def test_a_relation_is_a_component_with_a_target_before_its_data():
    assert [f.name for f in fields_of(DockedAt)] == ["target", "since", "offset.x", "offset.y"]
    target, since, *_ = fields_of(DockedAt)
    assert target.is_entity
    assert target.fixed
    assert not since.fixed
    one = DockedAt(7, since=2.0)
    assert one == DockedAt(target=7, since=2.0, offset=(0, 0))
    assert copy.copy(one) == one == pickle.loads(pickle.dumps(one))
    assert hz.Parent() == hz.Parent(target=0)


def test_what_can_only_be_read_serves_as_handles(world):
    ships = world.spawn(Ship, 2)
    world.relate(ships[1], DockedAt, ships[0])
    targets = world[DockedAt].target[1:2]
    assert not targets.flags.writeable
    assert world.alive(targets).all()
    assert world.slots_of(targets).tolist() == [0]
    assert world.despawn(targets) == 1


def test_wrong_declarations_are_refused():
    with pytest.raises(hz.DefinitionError, match=r"on_target_death must be one of .*not 'explode'"):

        class Wrong1(hz.Relation, on_target_death="explode"): ...

    with pytest.raises(hz.DefinitionError, match="acyclic must be True or False, not 1"):

        class Wrong2(hz.Relation, acyclic=1): ...

    with pytest.raises(hz.DefinitionError, match="every relation has the field target; leave it out"):

        class Wrong3(hz.Relation):
            target: hz.Entity

    with pytest.raises(hz.DefinitionError, match=r"must derive from hz\.Relation alone"):

        class Wrong4(DockedAt): ...

    with pytest.raises(hz.DefinitionError, match=r"Wrong5\.name: a field's type must be"):

        class Wrong5(hz.Relation):
            name: str

    with pytest.raises(hz.DefinitionError, match="expected a component class"):
        hz.Kind("K", hz.Relation)


# -- writing -----------------------------------------------------------------------------------------------------


def test_targets_are_given_in_many_ways(world):
    stations = world.spawn(Station, 3)
    ships = world.spawn(Ship, 3, DockedAt=stations)
    assert world.targets_of(ships, DockedAt).tolist() == stations.tolist()
    world.set(ships, DockedAt, {"target": stations[::-1], "since": [1, 2, 3]})
    assert world.get(ships[2], DockedAt) == DockedAt(int(stations[0]), since=3.0)
    world.set(ships[0], DockedAt, 0)
    assert world.targets_of(ships, DockedAt).tolist() == [0, stations[1], stations[0]]
    drones = world.spawn(Drone, 2, Parent=ships[0], Follows=[int(ships[1]), 0])
    world.add(drones[:1], Fuels, Fuels(int(ships[0])))
    assert world.targets_of(drones, hz.Parent).tolist() == [ships[0]] * 2
    assert world.targets_of(drones, Fuels).tolist() == [ships[0], 0]
    assert world.get(drones[0], Follows).target == ships[1]


def test_relate_adds_or_sets_and_keeps_data(world):
    stations, ships = world.spawn(Station, 2), world.spawn(Ship, 4)
    world.relate(ships[:2], DockedAt, stations[0], since=5.0, offset=[[1, 2], [3, 4]])
    world.relate(ships, DockedAt, stations[1])
    assert world.query(DockedAt).to_dict()["DockedAt.since"].tolist() == [5.0, 5.0, -1.0, -1.0]
    assert world.query(DockedAt).to_dict()["DockedAt.offset.y"].tolist() == [2.0, 4.0, 0.0, 0.0]
    world.relate(world.query(DockedAt), DockedAt, stations[0])
    assert world.sources_of(stations[0], DockedAt).tolist() == ships.tolist()
    world.relate(world.spawn(Drone, 1), hz.Parent, ships[0])  # which drones always have
    world.relate(ships[[1, 1]], DockedAt, stations)  # the last counts
    assert world.targets_of(ships[1], DockedAt).tolist() == [stations[1]]
    world.relate(np.zeros(0, np.uint64), DockedAt, stations[0])


def test_what_was_in_a_row_before_is_forgotten(world):
    station, ships = world.spawn(Station, 1)[0], world.spawn(Ship, 1)
    world.relate(ships, DockedAt, station, since=5.0)
    world.remove(ships, DockedAt)
    assert world.targets_of(ships, DockedAt).tolist() == [0]
    assert world.sources_of(station, DockedAt).tolist() == []
    world.relate(ships, DockedAt, station)
    assert world.get(ships[0], DockedAt).since == -1.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda w, s, d: w.relate(s, DockedAt, 99 << 32), hz.StaleHandleError, r"DockedAt\.target: handle 0x63"),
        (lambda w, s, d: w.relate(99 << 32, DockedAt, s[0]), hz.StaleHandleError, "names no living entity"),
        (lambda w, s, d: w.relate(d, DockedAt, s[0]), hz.ArgumentError, "kind 'Drone', which doesn't know it"),
        (lambda w, s, d: w.relate(s, DockedAt, s[:2]), hz.ArgumentError, r"DockedAt\.target .*got shape \(2,\)"),
        (lambda w, s, d: w.relate(s, DockedAt, d[0], sinc=1), hz.ArgumentError, "no field 'sinc'.*'since'"),
        (lambda w, s, d: w.relate(s, DockedAt, d[0], since="x"), hz.ArgumentError, r"DockedAt\.since takes float32"),
        (lambda w, s, d: w.relate(s, Mass, d[0]), hz.ArgumentError, r"expected a relation .*Mass"),
        (lambda w, s, d: w.relate(s, hz.Relation, d[0]), hz.ArgumentError, "expected a relation"),
        (lambda w, s, d: w.relate(s, DockedAt, s[[1, 1, 0]]), hz.ArgumentError, "can't be its own target"),
        (lambda w, s, d: w.add(s, DockedAt, s), hz.ArgumentError, "DockedAt: entity 0x1.* can't be its own target"),
        (lambda w, s, d: w.set(d, hz.Parent, [0, int(d[1])]), hz.ArgumentError, "can't be its own target"),
        (lambda w, s, d: w.relate(s[:2], hz.Parent, s[[1, 0]]), hz.ArgumentError, "close a cycle through entity 0x1"),
        (lambda w, s, d: w.relate([*s], BuiltOn, s[[1, 2, 0]]), hz.ArgumentError, "BuiltOn: these .* close a cycle"),
        (lambda w, s, d: w.set(d, hz.Parent, d[::-1]), hz.ArgumentError, "close a cycle"),
    ],
)
def test_wrong_ties_are_refused_and_nothing_is_done(world, call, error, message):
    ships, drones = world.spawn(Ship, 3), world.spawn(Drone, 2)
    world.relate(ships[0], DockedAt, drones[0], since=3.0)
    before, signature = world.query(DockedAt).to_dict(), world.signature.copy()
    with pytest.raises(error, match=message):
        call(world, ships, drones)
    np.testing.assert_array_equal(world.signature, signature)
    for name, values in world.query(DockedAt).to_dict().items():
        np.testing.assert_array_equal(values, before[name])
    assert not world.targets_of(drones, hz.Parent).any()
    assert not world.hierarchy(BuiltOn).order.size


def test_cycles_are_refused_only_where_they_are_declared_to_be(world):
    ships = world.spawn(Ship, 3)
    world.relate(ships, Follows, ships[[1, 2, 0]])
    assert world.sources_of(ships[0], Follows).tolist() == [ships[2]]
    assert set(world.descendants_of(ships[0], Follows)) == set(ships[1:])
    with pytest.raises(hz.ArgumentError, match=r"Follows may have cycles .*acyclic=True"):
        world.hierarchy(Follows)


def test_a_cycle_is_found_over_old_and_new_ties_and_a_reversal_is_none(world):
    ships = world.spawn(Ship, 5)
    world.relate(ships[1:], hz.Parent, ships[:-1])
    with pytest.raises(hz.ArgumentError, match="cycle through entity"):
        world.relate(ships[0], hz.Parent, ships[4])
    assert world.parent_of(ships[0]) == 0
    world.relate(ships, hz.Parent, [*ships[1:], 0])
    assert world.roots().tolist() == [ships[4]]


def test_targets_are_read_only_but_data_is_not(world):
    ships = world.spawn(Ship, 2, DockedAt=world.spawn(Station, 1)[0])
    with pytest.raises(hz.ArgumentError, match=r"DockedAt\.target can't be written directly; world\.relate"):
        world[DockedAt].target = 0
    with pytest.raises(ValueError, match="read-only"):
        world[DockedAt].target[0] = 0
    world[DockedAt].since = 4.0
    for (batch,) in world.query(DockedAt).batches(write=[DockedAt]):
        batch.since += 1.0
        batch.offset[...] = (1, 2)
        with pytest.raises(hz.ArgumentError, match=r"DockedAt\.target can't be written"):
            batch.target = 0
    assert world.get(ships[1], DockedAt) == DockedAt(world.targets_of(ships, DockedAt)[1].item(), 5.0, (1, 2))


# -- systems -----------------------------------------------------------------------------------------------------


@hz.system
def age(docked: Write[DockedAt], mass: Write[Mass]):
    docked.since += 1.0
    mass.kg = float(docked.target & 0xFFFFFFFF)


@hz.system(with_=[DockedAt], form="columns")
def count_docked(entity: hz.Entity, mass: Write[Mass], world: hz.World):
    mass.kg += len(entity) * 1000


def test_systems_read_targets_and_write_data(world):
    stations = world.spawn(Station, 3)
    ships = world.spawn(Ship, 2, DockedAt=stations[2])
    world.spawn(Ship, 1)
    world.add_system(age, count_docked)
    world.tick()
    assert [world.get(s, DockedAt).since for s in ships] == [0.0, 0.0]
    assert [world.get(s, Mass).kg for s in ships] == [2002.0, 2002.0]


def zero(array):
    array[:] = 0


def test_no_system_writes_a_target(world):
    with pytest.raises(hz.DefinitionError, match=r"Parent has only a target.*cmd\.add\(entity, Parent\(target\)\)"):

        @hz.system
        def adopt(parent: Write[hz.Parent]):
            parent.target = 0

    @hz.system
    def undock(docked: Write[DockedAt]):
        docked.target = 0

    @hz.system(form="columns", jit=True)
    def undock_all(docked: Write[DockedAt]):
        docked.target[:] = 0

    for declared in (undock, undock_all):
        with pytest.raises(hz.DefinitionError, match=r"docked\.target can't be written.*cmd\.add\(entity, DockedAt"):
            world.add_system(declared)


@hz.system(with_=[Mass], without=[DockedAt])
def dock(entity: hz.Entity, follows: Read[Follows], cmd: hz.Commands):
    cmd.add(entity, DockedAt(follows.target, since=2.0))


@hz.system(without=[DockedAt], form="columns")
def dock_plainly(entity: hz.Entity, follows: Read[Follows], cmd: hz.Commands):
    cmd.add(entity, DockedAt(follows.target, since=2.0))


@pytest.mark.parametrize("system", [dock, dock_plainly])
def test_commands_tie(world, system):
    ships = world.spawn(Ship, 4)
    world.relate(ships[1:3], Follows, ships[[0, 3]])
    world.add_system(system)
    world.tick()
    assert world.query(DockedAt).handles.tolist() == ships[1:3].tolist()
    assert world.targets_of(ships[1:3], DockedAt).tolist() == ships[[0, 3]].tolist()
    assert world.get(ships[1], DockedAt).since == 2.0


@hz.system
def adopt_oneself(entity: hz.Entity, parent: Read[hz.Parent], cmd: hz.Commands):
    if parent.target == 0:
        cmd.add(entity, hz.Parent(entity))


def test_commands_make_nobody_its_own_target(world):
    world.spawn(Drone, 1)
    world.add_system(adopt_oneself)
    with pytest.raises(hz.SystemFailure, match="'adopt_oneself'.*can't be its own target"):
        world.tick()


@hz.system
def adopt(entity: hz.Entity, follows: Read[Follows], cmd: hz.Commands):
    cmd.add(entity, hz.Parent(follows.target))


def test_commands_give_another_parent_and_refuse_cycles(world):
    ships = world.spawn(Ship, 3)
    drones = world.spawn(Drone, 2, Parent=ships[0], Follows=ships[1:])  # whose kind always has a parent
    world.add_system(adopt)
    world.tick()
    assert world.targets_of(drones, hz.Parent).tolist() == ships[1:].tolist()
    world.set(drones, Follows, drones[::-1])
    with pytest.raises(hz.SystemFailure, match=r"'adopt'.*ArgumentError: Parent: .*cycle through entity 0x"):
        world.tick()
    assert world.targets_of(drones, hz.Parent).tolist() == ships[1:].tolist()


def test_a_command_may_name_a_target_that_ends_in_the_same_phase(world):
    @hz.system(form="columns")
    def late(world: hz.World, cmd: hz.Commands):
        cmd.despawn(hub)
        cmd.add(ships[0], DockedAt(hub))
        cmd.add(ships[1], Follows(hub))
        cmd.add(drones[:2], hz.Parent(hub))
        cmd.add(drones[2], Follows(hub))
        cmd.add(hub, Follows(ships[0]))

    (hub,), ships, drones = world.spawn(Ship, 1), world.spawn(Ship, 2), world.spawn(Drone, 3)
    world.relate(drones[0], hz.Parent, ships[0])
    world.relate(ships[1], Follows, ships[0])
    world.add_system(late)
    world.tick()
    assert world.get(ships[0], DockedAt).target == 0  # "clear"
    assert not world.has(ships[1], Follows).any()  # "remove"
    assert world.alive(drones).tolist() == [False, False, True]  # "despawn"
    assert world.get(drones[2], Follows).target == 0  # which drones always have


@pytest.mark.skipif(not kernel.jit_enabled(), reason="nothing is compiled")
def test_no_helper_writes_a_target_either(world):
    @hz.system(form="columns", jit=True)
    def undock(docked: Write[DockedAt]):
        zero(docked.target)

    with pytest.raises(hz.CompileError, match=r"test_relations\.py.* setitem\(\) isn't known"):
        world.add_system(undock)


# -- following back ----------------------------------------------------------------------------------------------


def test_sources_come_ascending_and_for_many_targets_at_once(world):
    ships = world.spawn(Ship, 6)
    world.relate(ships[[5, 1, 3]], Follows, ships[0])
    world.relate(ships[2], Follows, ships[4])
    assert world.sources_of(ships[0], Follows).tolist() == ships[[1, 3, 5]].tolist()
    offsets, handles = world.sources_of(ships[[4, 1, 0, 4]], Follows)
    assert offsets.tolist() == [0, 1, 1, 4, 5]
    assert handles.tolist() == ships[[2, 1, 3, 5, 2]].tolist()
    offsets, handles = world.sources_of(world.spawn(Ship, 0), Follows)
    assert offsets.tolist() == [0]
    assert handles.tolist() == []
    with pytest.raises(hz.StaleHandleError):
        world.sources_of(99 << 32, Follows)


def test_parents_children_descendants_and_roots(world):
    ships = world.spawn(Ship, 7)
    world.relate(ships[[1, 2]], hz.Parent, ships[0])
    world.relate(ships[[3, 4]], hz.Parent, ships[[1, 1]])
    world.relate(ships[5], hz.Parent, 0)
    assert world.children_of(ships[0]).tolist() == ships[[1, 2]].tolist()
    assert world.parent_of(ships[3]) == ships[1]
    assert world.parent_of(ships[6]) == 0
    assert world.descendants_of(ships[0]).tolist() == ships[[1, 2, 3, 4]].tolist()
    assert world.descendants_of(ships[[1, 0, 1]]).tolist() == ships[[3, 4, 2]].tolist()
    assert world.roots().tolist() == ships[[0, 5]].tolist()  # the last has nothing to do with parents


def test_relations_in_queries(world):
    stations, ships = world.spawn(Station, 2), world.spawn(Ship, 4)
    world.relate(ships[1:3], DockedAt, stations)
    assert world.query(DockedAt).handles.tolist() == ships[1:3].tolist()
    assert world.query(Mass, without=[DockedAt], kind=Ship).handles.tolist() == ships[[0, 3]].tolist()
    assert world.query(DockedAt).to_dict()["DockedAt.target"].tolist() == stations.tolist()


# -- ends --------------------------------------------------------------------------------------------------------


def test_clear_remove_and_despawn(world):
    hub, other = world.spawn(Station, 2)
    ships = world.spawn(Ship, 2, DockedAt=hub, Follows=hub)
    drones = world.spawn(Drone, 4, Parent=[0, 0, int(ships[0]), 0], Follows=hub)
    world.add(drones[:2], Fuels, [int(hub), int(other)])
    assert world.despawn(hub) == 2  # with the drone that fuels it
    assert world.alive(drones).tolist() == [False, True, True, True]
    assert world.has(ships, DockedAt).all()
    assert world.targets_of(ships, DockedAt).tolist() == [0, 0]
    assert not world.has(ships, Follows).any()
    assert world.has(drones[1:], Follows).all()  # which drones always have
    assert not world.targets_of(drones[1:], Follows).any()


def test_a_cascade_goes_all_the_way_down_over_every_relation(world):
    ships, drones = world.spawn(Ship, 3), world.spawn(Drone, 6)
    world.relate(ships[1:], hz.Parent, ships[:-1])
    world.relate(drones[:3], hz.Parent, ships[2])
    world.relate(drones[[3, 4, 5]], Fuels, drones[[0, 3, 1]])
    world.relate(drones[0], Fuels, drones[4])  # in a circle, which this relation may have
    assert world.despawn(ships[1]) == 8
    assert world.alive(ships).tolist() == [True, False, False]
    assert not world.alive(drones).any()
    assert len(world) == 1


def test_wrong_despawns_end_nobody(world):
    ships = world.spawn(Ship, 3)
    world.relate(ships[1], hz.Parent, ships[0])
    with pytest.raises(hz.StaleHandleError, match="index 1 of 2"):
        world.despawn([ships[0], 99 << 32])
    with pytest.raises(hz.ArgumentError, match="missing"):
        world.despawn(ships, missing="maybe")
    assert len(world) == 3
    assert world.despawn([99 << 32, ships[0], ships[0], ships[1]], missing="ignore") == 2


def test_who_takes_the_slot_of_a_target_inherits_nobody(world):
    ships = world.spawn(Ship, 3)
    world.relate(ships[1:], Follows, ships[0])
    world.relate(ships[2], hz.Parent, ships[1])
    assert world.sources_of(ships[0], Follows).size == 2
    world.relate(ships[2], hz.Parent, 0)
    world.despawn(ships[0])
    (again,) = world.spawn(Ship, 1)
    assert world.slots_of(again) == 0
    assert world.sources_of(again, Follows).size == 0
    assert world.despawn([again, ships[1]]) == 2
    assert world.alive(ships[2])


@hz.system
def sink(entity: hz.Entity, mass: Read[Mass], cmd: hz.Commands):
    if mass.kg > 5.0:
        cmd.despawn(entity)


def test_commands_cascade_at_the_end_of_the_phase(world):
    ships = world.spawn(Ship, 4, Mass=[9.0, 1.0, 1.0, 1.0])
    world.relate(ships[[1, 2]], hz.Parent, ships[[0, 1]])
    world.relate(ships[3], Follows, ships[2])
    world.add_system(sink)
    world.tick()
    assert world.alive(ships).tolist() == [False, False, False, True]
    assert not world.has(ships[3], Follows).any()


def test_new_targets_and_lost_ones_are_changes(world):
    ships = world.spawn(Ship, 4)
    world.relate(ships[2:], DockedAt, ships[0])
    world.track(DockedAt, Follows)
    world.relate(ships[3], DockedAt, ships[1])
    assert world.query().changed(DockedAt).tolist() == [ships[3]]
    world.relate(ships[3], Follows, ships[0])
    world.run(2)
    world.despawn(ships[0])
    world.tick()
    assert world.query().changed(DockedAt).tolist() == [ships[2]]
    assert world.removed(Follows).tolist() == [ships[3]]


def test_copies_keep_their_targets_and_are_sources_too(world):
    ships = world.spawn(Ship, 3)
    world.relate(ships[1:], hz.Parent, ships[0])
    assert world.children_of(ships[0]).size == 2
    (twin,) = world.duplicate(ships[1])
    assert set(world.children_of(ships[0])) == {*ships[1:], twin}
    other = hz.World(capacity=PAGE)
    copies = other.spawn_from(world, ships)
    assert other.children_of(copies.new[0]).tolist() == copies.new[1:].tolist()
    clone = world.clone()
    assert clone.despawn(ships[0]) == 4
    assert len(world) == 4


def test_the_defaults_of_a_kind_name_nobody():
    with pytest.raises(hz.DefinitionError, match=r"kind 'K': defaults can't refer to an entity, .*Parent\(target=5\)"):
        hz.Kind("K", hz.Parent, defaults=[hz.Parent(5)])


def test_a_failed_phase_leaves_nobody_tied_to_the_dead(world):
    ships = world.spawn(Ship, 2, Mass=[9.0, 1.0])
    world.relate(ships[1], DockedAt, ships[0])

    @hz.system(form="columns", phase="react")
    def fail(world: hz.World):
        world.despawn(ships[0])
        raise RuntimeError("late")

    world.add_system(fail)
    with pytest.raises(hz.SystemFailure):
        world.tick()
    assert world.targets_of(ships[1], DockedAt).tolist() == [0]
    world.despawn(world.spawn(Ship, 1))
    assert world.get(ships[1], DockedAt).target == 0


def test_compaction_takes_relations_along(world):
    ships = world.spawn(Ship, 3 * PAGE)
    world.relate(ships[1:], hz.Parent, ships[0])
    world.despawn(ships[1 : 2 * PAGE])
    assert world.children_of(ships[0]).size == PAGE
    moved = world.compact()
    assert len(moved)
    assert world.children_of(ships[0]).tolist() == sorted(moved.translate(ships[2 * PAGE :]).tolist(), key=_slot)
    assert world.despawn(ships[0]) == PAGE + 1


def _slot(handle: int) -> int:
    return handle & 0xFFFFFFFF


# -- everything, against the plain twin --------------------------------------------------------------------------


class Ties(RuleBasedStateMachine):
    """Random ties, ends and returns, in a world and in plain dicts."""

    @initialize(n=st.integers(3, 8))
    def begin(self, n):
        self.world = hz.World(capacity=64)
        self.alive = self.world.spawn(Ship, n).tolist()
        self.parents: dict[int, int] = {}
        self.follows: dict[int, int] = {}

    def pick(self, data: st.DataObject, at_least: int = 0) -> list[int]:
        return data.draw(st.lists(st.sampled_from(self.alive), min_size=at_least, max_size=6)) if self.alive else []

    @rule(data=st.data(), parent=st.booleans())
    def relate(self, data, parent):
        sources = self.pick(data)
        targets = [data.draw(st.sampled_from([0, *self.alive])) for _ in sources]
        known, relation = (self.parents, hz.Parent) if parent else (self.follows, Follows)
        after = {s: t for s, t in {**known, **dict(zip(sources, targets, strict=True))}.items() if t}
        wrong = any(s == t for s, t in zip(sources, targets, strict=True)) or (parent and naive.on_cycle(after))
        if wrong:
            with pytest.raises(hz.ArgumentError):
                self.world.relate(sources, relation, targets)
        else:
            self.world.relate(sources, relation, targets)
            known.clear()
            known.update(after)

    @rule(data=st.data())
    def despawn(self, data):
        doomed = naive.descendants(self.parents, self.pick(data, at_least=1) if self.alive else [])
        given = [h for h in doomed if self.parents.get(h) not in doomed]
        assert self.world.despawn(given) == len(doomed)
        self.alive = [h for h in self.alive if h not in doomed]
        for known in (self.parents, self.follows):
            for source in [s for s, t in known.items() if s in doomed or t in doomed]:
                del known[source]

    @rule(n=st.integers(1, 3))
    def spawn(self, n):
        if len(self.alive) + n <= 20:
            self.alive += self.world.spawn(Ship, n).tolist()

    @rule(data=st.data())
    def remove(self, data):
        gone = self.pick(data)
        self.world.remove(gone, hz.Parent)
        for source in gone:
            self.parents.pop(source, None)

    @invariant()
    def same(self):
        if not hasattr(self, "world"):
            return
        for known, relation in ((self.parents, hz.Parent), (self.follows, Follows)):
            assert self.world.targets_of(self.alive, relation).tolist() == [known.get(h, 0) for h in self.alive]
            offsets, handles = self.world.sources_of(self.alive, relation)
            for i, target in enumerate(self.alive):
                expected = sorted((s for s, t in known.items() if t == target), key=_slot)
                assert handles[offsets[i] : offsets[i + 1]].tolist() == expected
        found = self.world.hierarchy()
        order = self.world.handles_of(found.order).tolist()
        assert {h: order[p] for h, p in zip(order, found.parent, strict=True) if p >= 0} == self.parents
        assert self.world.despawn([], missing="ignore") == 0


TestTies = Ties.TestCase
TestTies.settings = settings(derandomize=True, deadline=None, max_examples=25, stateful_step_count=20)
