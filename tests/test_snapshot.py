"""Worlds saved, loaded, copied and compared."""

from __future__ import annotations

import enum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import f4, i2, i4, kernel
from horizon_ecs.columns import PAGE
from tests import zoo
from tests.kernels import every_system_shared
from tests.zoo import Asleep, Beast, Bird, Body, Follows, Gravity, Label, Mind, Mode, Mood, Steer, Stone, Wave


@hz.system(with_=[Body])
def drift(body: hz.Write[Body], gravity: hz.Res[Gravity]):
    body.mass += gravity.scale
    body.awake = not body.awake


@hz.system(phase="react", form="columns")
def breed(world: hz.World):
    """Spawns, despawns, adds and removes by chance."""
    rng = world.rng
    world.spawn(Beast, int(rng.integers(1, 6)), Body={"mass": rng.random()})
    handles = world.query(Body).handles
    world.despawn(rng.choice(handles, min(3, len(handles)), replace=False))
    beasts = world.query(kind=Beast).handles
    some = beasts[rng.random(len(beasts)) < 0.2]
    world.add(some[::2], Asleep)
    world.remove(some[1::2], Asleep)


def go_on(world: hz.World, n_ticks: int) -> hz.World:
    """The world, so many ticks later."""
    if not world.schedule.systems:
        world.add_system(drift, breed)
    for tick in range(n_ticks):
        world.push_events(Steer, world.query(kind=Beast).handles[0], np.array([(tick, 1)], Steer.__hz_dtype__))
        world.tick()
    return world


# -- save and load -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_a_loaded_world_is_the_same_and_goes_on_as_it_would_have(tmp_path, compress):
    world = zoo.make()
    handles = world.query().handles
    world.save(tmp_path / "a.world", compress=compress)
    loaded = hz.World.load(tmp_path / "a.world", **zoo.EVERYTHING)
    assert loaded.diff(world).equal, str(loaded.diff(world))
    assert loaded.digest() == world.digest()
    assert loaded.alive(handles).all()
    assert loaded.sources_of(handles[3], Follows).tolist() == world.sources_of(handles[3], Follows).tolist() != []
    assert loaded.hierarchy().order.tolist() == world.hierarchy().order.tolist()
    assert loaded.get(handles[0], Label) == Label("Ann", {"likes": [1, 2.5, ("a", b"b")]})
    assert loaded.resource(Gravity) == Gravity(pull=(0.1, -9.81))
    assert loaded.state(Mode) is Mode.MENU
    go_on(world, 10)
    go_on(loaded, 10)
    assert loaded.state(Mode) is Mode.GAME
    assert loaded.diff(world).equal, str(loaded.diff(world))
    world.save(tmp_path / "a.world")
    loaded.save(tmp_path / "b.world")
    assert (tmp_path / "a.world").read_bytes() == (tmp_path / "b.world").read_bytes()


def test_waiting_and_current_events_are_kept(tmp_path):
    world = zoo.make()
    world.save(tmp_path / "a.world")
    loaded = hz.World.load(tmp_path / "a.world", **zoo.EVERYTHING)
    assert loaded.events(Steer).x.tolist() == [0.5]
    loaded.tick()
    assert loaded.events(Steer).button.tolist() == [2, 3]
    assert loaded.events(Steer).sender.tolist() == [0, 0]


def test_an_empty_world_can_be_saved(tmp_path):
    world = hz.World(capacity=10)
    world.save(tmp_path / "a.world")
    loaded = hz.World.load(tmp_path / "a.world", kinds=[])
    assert loaded.digest() == world.digest()
    assert len(loaded) == 0
    assert loaded.capacity == 10


def test_stale_handles_stay_stale_and_free_slots_are_taken_in_the_same_order(tmp_path):
    world = hz.World(capacity=4 * PAGE)
    old = world.spawn(Beast, 2 * PAGE + 5)
    world.despawn(old[PAGE : 2 * PAGE + 2])
    world.save(tmp_path / "a.world")
    loaded = hz.World.load(tmp_path / "a.world", zoo.KINDS)
    assert loaded.alive(old).tolist() == world.alive(old).tolist()
    assert loaded.count(Beast) == world.count(Beast)
    for _ in range(3):
        assert loaded.spawn(Bird, 700).tolist() == world.spawn(Bird, 700).tolist()
        assert loaded.spawn(Beast, 40).tolist() == world.spawn(Beast, 40).tolist()
    assert loaded.digest() == world.digest()


def test_bytes_are_a_function_of_the_state_alone(tmp_path):
    """Not of what dead rows held, nor of the order in which kinds and components became known."""
    first, second = hz.World(capacity=99), hz.World(capacity=99)
    second.register(Stone, Bird)
    second.query(Asleep, Wave)
    for world, junk in ((first, 1.0), (second, 2.0)):
        handles = world.spawn(Beast, 4)
        world.set(handles[2:], Body, {"mass": junk})
        world.add(handles[0], Label, Label(f"{junk}"))
        world.remove(handles[0], Label)
        world.despawn(handles[2:])
    first.save(tmp_path / "a.world")
    second.save(tmp_path / "b.world")
    assert (tmp_path / "a.world").read_bytes() == (tmp_path / "b.world").read_bytes()
    assert first.digest() == second.digest()


def test_capacity_may_grow_and_must_suffice(tmp_path):
    world = hz.World(capacity=200)
    world.spawn(Beast, 150)
    world.save(tmp_path / "a.world")
    grown = hz.World.load(tmp_path / "a.world", zoo.KINDS, capacity=5_000)
    grown.spawn(Beast, 4_000)
    assert hz.World.load(tmp_path / "a.world", zoo.KINDS, capacity=150).capacity == 150
    with pytest.raises(hz.SnapshotError, match="150 entities in 1,024 slots don't fit a capacity of 149"):
        hz.World.load(tmp_path / "a.world", zoo.KINDS, capacity=149)


def test_a_huge_capacity_must_be_confirmed(tmp_path):
    snapshot = hz.Snapshot.of(hz.World(capacity=10))
    snapshot.options["capacity"] = 2**31
    snapshot.save(tmp_path / "a.world")
    with pytest.raises(hz.SnapshotError, match="capacity of 2,147,483,648, beyond 16,777,216; confirm it"):
        hz.World.load(tmp_path / "a.world", kinds=[])
    assert hz.World.load(tmp_path / "a.world", kinds=[], capacity=20).capacity == 20


@pytest.mark.parametrize("name", ["tick_rate", "seed"])
def test_what_was_saved_is_not_given_again(tmp_path, name):
    hz.World(capacity=10).save(tmp_path / "a.world")
    with pytest.raises(hz.ArgumentError, match=f"{name} is part of what was saved"):
        hz.World.load(tmp_path / "a.world", kinds=[], **{name: 3})


@pytest.mark.parametrize("name", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
def test_every_random_generator_goes_on(tmp_path, name):
    world = hz.World(capacity=10)
    world.rng = np.random.Generator(getattr(np.random, name)(2**200 + 3))
    world.rng.spawn(2)
    world.rng.integers(0, 9, 3, dtype=np.int32)
    world.save(tmp_path / "a.world")
    loaded = hz.World.load(tmp_path / "a.world", kinds=[])
    assert (
        loaded.rng.integers(0, 9, 99, dtype=np.int32).tolist() == world.rng.integers(0, 9, 99, dtype=np.int32).tolist()
    )
    assert loaded.rng.spawn(1)[0].random() == world.rng.spawn(1)[0].random()


def test_about_and_progress(tmp_path):
    steps = []
    zoo.make().save(
        tmp_path / "a.world", about={"name": "Ann", "at": (1, 2)}, progress=lambda *step: steps.append(step)
    )
    assert hz.Snapshot.read(tmp_path / "a.world").about == {"name": "Ann", "at": (1, 2)}
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1] > 0


def test_a_system_can_not_save(tmp_path):
    @hz.system(form="columns")
    def save(world: hz.World):
        world.save(tmp_path / "a.world")

    world = hz.World(capacity=10)
    world.add_system(save)
    with pytest.raises(hz.SystemFailure, match="saved between ticks"):
        world.tick()


# -- what can't be saved -----------------------------------------------------------------------------------------


class Loose:
    """A resource that isn't declared."""


def odd_gravity() -> Gravity:
    gravity = Gravity()
    vars(gravity)["extra"] = 3
    return gravity


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        (Loose(), r"resource Loose can't be saved: it is not declared with @resource.*skip_resources=\[Loose\]"),
        (odd_gravity(), r"resource Gravity can't be saved: it has the attribute 'extra' beside its fields"),
        (Gravity(scale="much"), r"field Gravity.scale holds 'much', which is no number"),
    ],
)
def test_a_resource_that_no_file_holds_is_named(tmp_path, resource, message):
    world = hz.World(capacity=10)
    world.insert(resource)
    (tmp_path / "a.world").write_bytes(b"before")
    for call in (lambda: world.save(tmp_path / "a.world"), world.digest, lambda: world.diff(world)):
        with pytest.raises(hz.SnapshotError, match=message):
            call()
    assert (tmp_path / "a.world").read_bytes() == b"before"
    world.save(tmp_path / "a.world", skip_resources=[type(resource)])
    with pytest.raises(hz.ArgumentError, match="no resource"):
        hz.World.load(tmp_path / "a.world", kinds=[]).resource(type(resource))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (Label("x", {"deep": [object()]}), r"Label\.notes\.deep\[0\] is no plain data that a file can hold: <object"),
        (Label("x", {"mode": Mode.GAME}), r"Label\.notes\.mode is no plain data"),
    ],
)
def test_an_object_that_no_file_holds_is_named(tmp_path, label, message):
    world = hz.World(capacity=10)
    handle = world.spawn(Beast, 1, Label=True)
    world.get(handle[0], Label).notes = label.notes
    with pytest.raises(hz.SnapshotError, match=message):
        world.save(tmp_path / "a.world")
    assert list(tmp_path.iterdir()) == []


# -- another schema ----------------------------------------------------------------------------------------------


@hz.component
class Health:
    hp: i2 = 100


@hz.component
class Place:
    x: f4
    y: f4


Soldier = hz.Kind("Soldier", Health, optional=[Place])
Tank = hz.Kind("Tank", Health, Place)


def army(tmp_path):
    world = hz.World(capacity=100)
    world.spawn(Soldier, 3, Health=[1, 2, 3])
    world.spawn(Soldier, 2, Health=[4, 5], Place=[(1, 2), (3, 4)])
    world.spawn(Tank, 2, Health=[6, 7], Place=[(5, 6), (7, 8)])
    world.save(tmp_path / "army.world")
    return tmp_path / "army.world"


def variant(name: str, **annotations):
    """A component of another version of the program."""
    defaults = {key: value[1] for key, value in annotations.items() if isinstance(value, tuple)}
    types = {key: value[0] if isinstance(value, tuple) else value for key, value in annotations.items()}
    return hz.component(type(name, (), {"__annotations__": types, **defaults}))


NEWER = {
    "a field more": (
        hz.Kind("Soldier", variant("Health", hp=i2, armour=(i2, 7)), optional=[Place]),
        r"Health\.armour is not stored",
    ),
    "a field less": (
        hz.Kind("Soldier", variant("Health", life=i2), optional=[Place]),
        r"Health\.hp is stored; the component has no such field",
    ),
    "a dtype": (
        hz.Kind("Soldier", variant("Health", hp=i4), optional=[Place]),
        r"Health\.hp is stored as int16; the field is int32",
    ),
    "a component less": (hz.Kind("Soldier", Health), r"kind 'Soldier' had the optional component Place"),
    "a component more": (
        hz.Kind("Soldier", Health, optional=[Place, Asleep]),
        r"kind 'Soldier' has the optional component Asleep",
    ),
    "one required": (hz.Kind("Soldier", Health, Place), r"kind 'Soldier' has the required component Place"),
    "another kind": (
        hz.Kind("Soldiers", Health),
        r"kind 'Soldier' is not among kinds=\['Soldiers', 'Tank'\]; did you mean 'Soldiers'\?",
    ),
}


@pytest.mark.parametrize("case", NEWER)
def test_another_schema_is_refused_and_the_difference_named(tmp_path, case):
    soldier, message = NEWER[case]
    health = next(c for c in soldier.components if c.__name__ == "Health")
    with pytest.raises(hz.SnapshotError, match=rf"(?s)another schema:.*{message}.*migrate="):
        hz.World.load(army(tmp_path), [soldier, hz.Kind("Tank", health, Place)])


def test_resources_events_and_states_must_be_known_too(tmp_path):
    zoo.make().save(tmp_path / "a.world")
    with pytest.raises(hz.SnapshotError) as caught:
        hz.World.load(tmp_path / "a.world", zoo.KINDS)
    for line in ("resource Gravity is not among resources=", "events of Steer wait", "state Mode is not among"):
        assert line in str(caught.value)


def test_an_enum_that_was_numbered_anew_is_noticed(tmp_path):
    class Mood(enum.IntEnum):
        ANGRY = 0
        CALM = 3

    mind = variant("Mind", mood=Mood, target=hz.Entity, seen=zoo.i8)
    other = hz.Kind("Beast", Body, mind, optional=[Asleep, Label, Follows, hz.Parent])
    world = hz.World(capacity=10)
    world.spawn(Beast)
    world.save(tmp_path / "a.world")
    with pytest.raises(hz.SnapshotError, match=r"Mind\.mood: the member CALM was 0 and is 3"):
        hz.World.load(tmp_path / "a.world", [other])


def test_units_that_changed_are_noticed_and_ones_that_were_added_are_not(tmp_path):
    def kind(unit):
        return hz.Kind("Tank", variant("Health", hp=(i2, hz.field(default=1, unit=unit))))

    world = hz.World(capacity=10)
    world.spawn(kind("m"))
    world.save(tmp_path / "a.world")
    with pytest.raises(hz.SnapshotError, match=r"Health\.hp is stored in 'm'; the field is in 'km'"):
        hz.World.load(tmp_path / "a.world", [kind("km")])
    assert len(hz.World.load(tmp_path / "a.world", [kind("")])) == 1


# -- migrations --------------------------------------------------------------------------------------------------


def test_a_migration_renames_drops_converts_and_fills_in(tmp_path):
    class Blessed(hz.Tag): ...

    vitality = variant("Vitality", points=i4, armour=(i2, 7))
    trooper = hz.Kind("Trooper", vitality, Place, optional=[Blessed])

    def migrate(s):
        s.rename("Health", "Vitality")
        s.rename("Vitality.hp", "Vitality.points")
        s.rename_kind("Soldier", "Trooper")
        s.drop_kind("Tank")
        s.drop("Place.y")
        s.columns["Place.x"] = s.columns["Place.x"] * 10
        return s

    place = variant("Place", x=f4, z=(f4, 0.5))
    trooper = hz.Kind("Trooper", vitality, place, optional=[Blessed])
    world = hz.World.load(army(tmp_path), [trooper], migrate=migrate)
    assert world.query(vitality).arrays(vitality).tolist() == [[1, 7], [2, 7], [3, 7], [4, 7], [5, 7]]
    assert world.query(place).arrays(place).tolist() == [[0, 0.5]] * 3 + [[10, 0.5], [30, 0.5]]
    assert len(world) == 5
    assert world.spawn(trooper).tolist() == [(1 << 32) | 5]
    assert world.digest() == hz.Snapshot.of(world).digest()


def test_a_file_of_the_same_schema_needs_no_migration(tmp_path):
    path = army(tmp_path)

    def migrate(s):
        raise AssertionError("it was called")

    assert len(hz.World.load(path, [Soldier, Tank], migrate=migrate)) == 7


@pytest.mark.parametrize(
    ("soldier", "change", "message"),
    [
        (hz.Kind("Soldier", Health), lambda s: s, r"2 entities of kind 'Soldier' have Place, which it doesn't know"),
        (hz.Kind("Soldier", variant("Health", life=i2), optional=[Place]), lambda s: s, r"Health\.hp is no field of Health; use snapshot.rename or drop"),
        (hz.Kind("Soldiers", Health), lambda s: s, r"kind 'Soldier' is not among kinds=\['Soldiers'.*rename_kind or drop_kind"),
        (hz.Kind("Soldier", variant("Health", hp=hz.i1)), lambda s: s.columns.update({"Health.hp": s.columns["Health.hp"] + 200}) or s.drop("Place", kind="Soldier") or s, r"Health\.hp is stored as int16, and int8 doesn't hold its values"),
        (hz.Kind("Soldier", Health), lambda s: None, r"migrate returns the snapshot"),
        (hz.Kind("Soldier", Health), lambda s: s.rename("Helth", "x"), r"no component 'Helth'; it has \['Health', 'Place'\]; did you mean 'Health'"),
        (hz.Kind("Soldier", Health), lambda s: s.rename("Health.hp", "Place.hp"), r"stays a field of its component"),
        (hz.Kind("Soldier", Health), lambda s: s.rename("Health", "Place"), r"has a component 'Place' already"),
        (hz.Kind("Soldier", Health), lambda s: s.drop("Health.hp", kind="Soldier"), r"one column of all kinds"),
        (hz.Kind("Soldier", Health), lambda s: s.drop("Health", kind="Soldat"), r"no kind 'Soldat'"),
    ],
)  # fmt: skip
def test_what_a_migration_leaves_is_refused(tmp_path, soldier, change, message):
    health = next(c for c in soldier.components if c.__name__ == "Health")
    with pytest.raises((hz.SnapshotError, hz.ArgumentError), match=message):
        hz.World.load(army(tmp_path), [soldier, hz.Kind("Tank", health, Place)], migrate=change)


def test_dropping_a_kind_drops_references_to_it(tmp_path):
    world = hz.World(capacity=100)
    stone, beast = world.spawn(Stone), world.spawn(Beast)
    world.set(beast, Mind, {"target": stone})
    world.save(tmp_path / "a.world")
    loaded = hz.World.load(tmp_path / "a.world", [Beast], migrate=lambda s: s.drop_kind("Stone") or s)
    assert loaded.get(beast[0], Mind).target == 0
    assert not loaded.alive(stone)[0]
    assert loaded.alive(beast)[0]


def test_objects_resources_and_events_migrate_too(tmp_path):
    zoo.make().save(tmp_path / "a.world")

    @hz.object_component
    class Label:
        title: str = ""
        rank: int = 3

    @hz.resource
    class Gravity:
        pull: hz.vec2
        drag: f4 = 0.25

    def migrate(s):
        for values in s.objects["Label"]:
            values["title"] = values.pop("name")
            del values["notes"]
        del s.resources["Gravity"]["mood"], s.resources["Gravity"]["scale"]
        del s.events["Steer"]
        del s.states["Mode"]
        return s

    beast = hz.Kind("Beast", Body, Mind, optional=[Asleep, Label, Follows, hz.Parent])
    kinds = [beast, hz.Kind("Bird", Wave, extends=beast), Stone]
    loaded = hz.World.load(tmp_path / "a.world", kinds, [Gravity], migrate=migrate)
    assert [label for _, label in loaded[Label]] == [Label("Ann"), Label("nobody"), Label("Cid")]
    assert loaded.resource(Gravity) == Gravity(pull=(0.1, -9.81), drag=0.25)


# -- snapshots ---------------------------------------------------------------------------------------------------


def test_a_snapshot_is_plain_data(tmp_path):
    path = army(tmp_path)
    snapshot = hz.Snapshot.read(path)
    assert snapshot.kinds == {
        "Soldier": {"components": ["Health"], "optional": ["Place"]},
        "Tank": {"components": ["Health", "Place"], "optional": []},
    }
    assert snapshot.columns["Health.hp"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert snapshot.columns["Place.x"].tolist() == [1, 3, 5, 7]
    assert snapshot.handles("Place").tolist() == [1 << 32 | slot for slot in (3, 4, 1024, 1025)]
    assert snapshot.slots().tolist() == [0, 1, 2, 3, 4, 1024, 1025]
    assert "Health.hp" in str(snapshot)
    with pytest.raises(hz.ArgumentError, match="no component 'Helth'"):
        snapshot.slots("Helth")
    snapshot.columns["Health.hp"][:] = 9
    snapshot.save(tmp_path / "b.world")
    world = hz.World.load(tmp_path / "b.world", [Soldier, Tank])
    assert world.query(Health).arrays(Health).ravel().tolist() == [9] * 7
    assert world.digest() == snapshot.digest() == hz.Snapshot.of(world).digest()
    assert snapshot.to_world([Soldier, Tank]).diff(world).equal


def test_a_snapshot_that_contradicts_itself_makes_no_world(tmp_path):
    snapshot = hz.Snapshot.read(army(tmp_path))
    snapshot.columns["Health.hp"] = snapshot.columns["Health.hp"][1:]
    with pytest.raises(hz.SnapshotError, match=r"Health\.hp has 6 values, not 7"):
        snapshot.to_world([Soldier, Tank])
    with pytest.raises(hz.SnapshotError, match=r"Health\.hp has 6 values, not 7"):
        snapshot.save(tmp_path / "b.world")


@hz.resource
class Dial:
    notch: hz.u1
    turn: f4


@pytest.mark.parametrize(("name", "value"), [("notch", 256), ("notch", -1), ("notch", 1.0), ("turn", 1j)])
def test_a_resource_with_what_its_field_does_not_hold_makes_no_world(name, value):
    world = hz.World(capacity=100)
    world.insert(Dial())
    snapshot = hz.Snapshot.of(world)
    snapshot.resources["Dial"][name] = value
    with pytest.raises(hz.SnapshotError, match=f"resource Dial.{name} was saved as "):
        snapshot.to_world([], resources=[Dial])
    setattr(world.resource(Dial), name, value)
    with pytest.raises(hz.SnapshotError, match=f"field Dial.{name} holds .*, which is no "):
        hz.Snapshot.of(world)


@pytest.mark.parametrize(("name", "value"), [("tick", 2**32), ("structure_tick", -1), ("seed", [1]), ("seed", None)])
def test_a_state_that_no_world_is_in_makes_none(tmp_path, name, value):
    snapshot = hz.Snapshot.read(army(tmp_path))
    snapshot.state[name] = value
    with pytest.raises(hz.SnapshotError, match=f"state: {name} is "):
        snapshot.to_world([Soldier, Tank])


# -- determinism -------------------------------------------------------------------------------------------------


@hz.system
def age(mind: hz.Write[Mind], body: hz.Read[Body], entity: hz.Entity, rng: hz.Random, cmd: hz.Commands):
    mind.seen += 1
    if rng.chance(0.05):
        cmd.despawn(entity)
    elif rng.chance(0.1):
        cmd.add(entity, Asleep)
    elif body.mass > 0.5:
        cmd.remove(entity, Asleep)


@hz.system(without=[Asleep], phase="react")
def shake(body: hz.Write[Body], rng: hz.Random, gravity: hz.Res[Gravity]):
    body.mass = (body.mass + rng.uniform(0.0, gravity.scale)) % 1.0


@hz.system(form="columns", phase="react")
def replenish(world: hz.World):
    n = 3 * PAGE - len(world)
    if n > 0:
        world.spawn(Beast, n, Body={"mass": world.rng.random(n)})


def lively(n_threads: int) -> hz.World:
    """A world with births, deaths and chance, in pages enough that its systems are shared among threads."""
    world = hz.World(capacity=4 * PAGE, seed=8, n_threads=n_threads)
    world.insert(Gravity())
    world.spawn(Beast, 2 * PAGE, Body={"mass": world.rng.random(2 * PAGE)})
    world.add_system(age, shake, replenish)
    return world


@pytest.mark.parametrize("n_ticks", [40 if kernel.jit_enabled() else 6, pytest.param(1000, marks=pytest.mark.slow)])
def test_threads_and_saving_in_between_change_no_byte(tmp_path, monkeypatch, n_ticks):
    every_system_shared(monkeypatch)
    ends = {}
    for name, n_threads in (("alone", 1), ("shared", 2)):
        world = lively(n_threads)
        world.run(n_ticks // 2)
        world.save(tmp_path / "half.world")
        world.run(n_ticks - n_ticks // 2)
        again = hz.World.load(tmp_path / "half.world", zoo.KINDS, [Gravity], n_threads=n_threads)
        again.add_system(age, shake, replenish)
        again.run(n_ticks - n_ticks // 2)
        ends |= {name: world, f"{name}, saved in between": again}
    for name, world in ends.items():
        world.save(tmp_path / name)
    assert len({world.digest() for world in ends.values()}) == 1
    assert len({(tmp_path / name).read_bytes() for name in ends}) == 1
    assert int(ends["alone"].generation.max()) > 1


# -- clone and copy ----------------------------------------------------------------------------------------------


def test_a_clone_is_independent_and_runs_the_same_systems():
    world = go_on(zoo.make(), 2)
    world.insert(Loose())
    twin = world.clone()
    assert twin.diff(world, skip_resources=[Loose]).equal
    assert twin.resource(Gravity) is not world.resource(Gravity)
    assert twin.resource(Loose) is not world.resource(Loose)
    assert twin.get(twin.query().handles[0], Label) is not world.get(world.query().handles[0], Label)
    go_on(twin, 3)
    assert len(twin.diff(world, skip_resources=[Loose]).fields["Body.mass"])
    go_on(world, 3)
    assert twin.digest(skip_resources=[Loose]) == world.digest(skip_resources=[Loose])


@hz.system(changed=[Body])
def notice(mind: hz.Write[Mind]):
    mind.seen += 1


@hz.system(added=[Asleep], every=2, phase="react")
def wake(mind: hz.Write[Mind]):
    mind.seen += 1000


@hz.system(form="columns", phase="react")
def nudge(world: hz.World):
    chosen = world.query(Body).sample(3, world.rng)
    world.set(chosen[:2], Body, {"mass": world.rng.random(2)})
    if world.has(chosen[2], Asleep)[0]:
        world.remove(chosen[2:], Asleep)
    else:
        world.add(chosen[2:], Asleep)


def test_what_changed_is_known_to_clones_and_after_rolling_back():
    world = hz.World(capacity=2000, track=[Body])
    world.spawn(Beast, 50)
    world.add_system(notice, wake, nudge)
    world.run(5)
    world.set(world.query().handles[:4], Body, {"mass": 9.0})
    saved, twin = world.clone(), world.clone()
    told = []
    world.on_change(Body, lambda handles: told.append(handles.tolist()))
    for _ in range(2):
        assert twin.changed(Body, since=2).tolist() == world.changed(Body, since=2).tolist()
        assert twin.changed(Body, since=2).any()
        assert twin.added(Body, since=1).tolist() == world.added(Body, since=1).tolist()
        twin.run(6)
        world.run(6)
        assert twin.digest() == world.digest() != saved.digest()
        twin.copy_from(saved)
        world.copy_from(saved)
    assert len(told) % 2 == 0
    assert told[: len(told) // 2] == told[len(told) // 2 :] != []


def test_worlds_that_noticed_other_things_begin_anew():
    world, other = hz.World(capacity=100, track=[Body]), hz.World(capacity=100)
    other.spawn(Beast, 3)
    world.spawn(Beast, 2)
    world.copy_from(other)
    assert not world.changed(Body, since=0).any()
    world.set(world.query().handles[1], Body, {"mass": 3})
    assert np.flatnonzero(world.changed(Body)).tolist() == [1]


def test_systems_keep_the_seed_that_they_draw_with():
    world = go_on(zoo.make(), 1)
    before = world.digest()
    with pytest.raises(hz.ArgumentError, match="systems of this world draw with the seed 5; the other's is 6"):
        world.copy_from(zoo.make(seed=6))
    assert world.digest() == before


def test_a_clone_keeps_what_is_disabled():
    world = go_on(zoo.make(), 1)
    world.schedule.enable(breed, on=False)
    twin = world.clone()
    assert not twin.schedule.is_enabled(breed)
    assert twin.schedule.is_enabled(drift)


def test_rolling_back_and_going_on_gives_the_same():
    world = go_on(zoo.make(), 1)
    saved = world.clone()
    gravity, column = world.resource(Gravity), world[Body].mass
    go_on(world, 5)
    expected = world.digest()
    assert world.digest() != saved.digest()
    for _ in range(2):
        world.copy_from(saved)
        assert world.diff(saved).equal, str(world.diff(saved))
        assert world.digest() == saved.digest()
        assert world.resource(Gravity) is gravity
        assert world[Body].mass is column
        go_on(world, 5)
        assert world.digest() == expected


def test_copying_into_a_world_that_learnt_things_in_another_order():
    world, other = zoo.make(), hz.World(capacity=9000, states=[Mode.GAME])
    other.spawn(Stone, 3000, Body={"mass": 1})
    other.spawn(Bird, 2)
    other.insert(Loose())
    other.copy_from(world)
    assert other.diff(world).equal, str(other.diff(world))
    assert other.digest() == world.digest()
    assert other.query(Asleep).handles.tolist() == world.query(Asleep).handles.tolist()
    for kind in (Stone, Bird, Beast):
        assert other.spawn(kind, 1100).tolist() == world.spawn(kind, 1100).tolist()
    world.copy_from(world)
    assert other.digest() == world.digest()


def test_copying_what_does_not_fit_does_nothing():
    small, big = hz.World(capacity=10), hz.World(capacity=100)
    handles = small.spawn(Beast, 3)
    big.spawn(Beast, 11)
    before = small.digest()
    with pytest.raises(hz.CapacityError, match="11 entities in 1024 slots don't fit a world of capacity 10"):
        small.copy_from(big)
    small.freeze_kinds("the test began")
    other = hz.World(capacity=10)
    other.spawn(Bird)
    with pytest.raises(hz.ArgumentError, match="fixed, since the test began"):
        small.copy_from(other)
    with pytest.raises(hz.ArgumentError, match="has the state Mode, which the other lacks"):
        hz.World(capacity=10, states=[Mode.MENU]).copy_from(small)
    assert small.digest() == before
    assert small.alive(handles).all()


def test_worlds_are_not_copied_within_a_tick():
    @hz.system(form="columns")
    def copy(world: hz.World):
        world.clone()

    world = hz.World(capacity=10)
    world.add_system(copy)
    with pytest.raises(hz.SystemFailure, match="a world that ticks can't be copied"):
        world.tick()


# -- diff --------------------------------------------------------------------------------------------------------


def test_a_diff_says_what_differs_and_for_whom():
    world = zoo.make()
    other = world.clone()
    handles = world.query(kind=Beast).handles
    other.set(handles[1:3], Body, {"mass": [7, 8]})
    world.set(handles[3], Body, {"mass": -0.0})
    other.set(handles[3], Body, {"mass": 0.0})
    other.add(handles[5], Label, Label("Eve"))
    other.get(handles[0], Label).name = "Bob"
    gone = handles[10]
    other.despawn(gone)
    fresh = other.spawn(Beast)
    other.resource(Gravity).scale = 1.0
    diff = world.diff(other)
    assert diff
    assert not diff.equal
    assert diff.only_left.tolist() == [gone]
    assert diff.only_right.tolist() == fresh.tolist()
    assert diff.fields["Body.mass"].handles.tolist() == handles[1:4].tolist()
    assert diff.fields["Body.mass"].right.tolist() == [7, 8, 0]
    assert diff.fields["Label.name"].left.tolist() == ["Ann"]
    assert diff.fields["Label.name"].right.tolist() == ["Bob"]
    assert [h.tolist() for h in diff.components["Label"]] == [[], [handles[5]]]
    assert diff.world["Gravity.scale"] == (Gravity().scale, 1.0)
    assert set(diff.fields) <= {"Body.mass", "Label.name", "Mind.target"}
    for text in (
        "Body.mass differs in 3 entities",
        f"{int(handles[1]):#x}",
        "left one only",
        "Gravity.scale: 9.81",
    ):
        assert text in str(diff)


def test_a_long_diff_stays_readable():
    world = hz.World(capacity=5000)
    handles = world.spawn(Beast, 4000)
    other = world.clone()
    other.set(handles, Body, {"mass": 2})
    other.set(handles, Mind, {"mood": Mood.CALM})
    assert len(str(world.diff(other)).splitlines()) < 20


def test_nan_equals_itself_and_equal_worlds_say_so():
    world = zoo.make()
    assert np.isnan(world[Body].mass[: world.n_slots]).any()
    assert not world.diff(world.clone())
    assert str(world.diff(world)) == "The worlds are equal."


# -- properties --------------------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("spawn"), st.integers(0, 2), st.integers(0, 1500)),
    st.tuples(st.just("despawn"), st.integers(1, 5), st.integers(0, 4)),
    st.tuples(st.just("flip"), st.integers(1, 5), st.integers(0, 4)),
    st.tuples(st.just("tick"), st.integers(0, 3), st.just(0)),
)


def carry_out(world: hz.World, steps) -> hz.World:
    for what, a, b in steps:
        if what == "spawn" and len(world) + b <= world.capacity:
            world.spawn(zoo.KINDS[a], b)
        elif what == "despawn":
            world.despawn(world.query().handles[b::a])
        elif what == "flip":
            handles = world.query().handles[b::a]
            world.add(handles, Asleep)
            world.remove(handles[::2], Asleep)
        elif what == "tick":
            world.rng.random(a)
            world.run(a)
    return world


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(STEP, max_size=8), st.lists(STEP, max_size=4))
def test_saved_and_loaded_is_nothing_changed(tmp_path_factory, before, after):
    path = tmp_path_factory.mktemp("s") / "a.world"
    world = carry_out(hz.World(capacity=6000), before)
    world.save(path)
    loaded = hz.World.load(path, zoo.KINDS)
    copied = carry_out(hz.World(capacity=6000), after)
    copied.copy_from(world)
    for one in (loaded, copied):
        assert one.diff(world).equal, str(one.diff(world))
        assert one.digest() == world.digest()
    carry_out(world, after)
    for one in (loaded, copied):
        carry_out(one, after)
        assert one.digest() == world.digest()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(STEP, max_size=5), st.lists(STEP, max_size=5))
def test_a_diff_is_empty_exactly_where_digests_are_equal(left, right):
    a, b = (carry_out(hz.World(capacity=6000), steps) for steps in (left, right))
    assert a.diff(b).equal == (a.digest() == b.digest()) == b.diff(a).equal


# -- what is shared with nobody ----------------------------------------------------------------------------------


def test_worlds_of_one_snapshot_share_nothing():
    kind = hz.Kind("Sack", Label)
    world = hz.World(capacity=100)
    sack = world.spawn(kind, Label=Label(notes={"seen": [1]}))[0]
    snapshot = hz.Snapshot.of(world)
    one, other = snapshot.to_world([kind]), snapshot.to_world([kind])
    one.get(sack, Label).notes["seen"].append(2)
    assert other.get(sack, Label).notes == {"seen": [1]}


def test_a_migration_leaves_the_snapshot_as_it_is():
    world = hz.World(capacity=100)
    world.spawn(hz.Kind("Old", Body), Body={"mass": 2.0})
    snapshot, new = hz.Snapshot.of(world), hz.Kind("New", Body)

    def migrate(s: hz.Snapshot) -> hz.Snapshot:
        s.rename_kind("Old", "New")
        s.columns["Body.mass"] *= 2
        return s

    worlds = [snapshot.to_world([new], migrate=migrate) for _ in range(2)]
    assert [float(w[Body].mass[0]) for w in worlds] == [4.0, 4.0]


def test_seconds_of_any_kind_of_float_can_be_saved(tmp_path):
    world = hz.World(capacity=100)
    world.advance(np.float32(0.01))
    world.save(tmp_path / "world")
    assert hz.World.load(tmp_path / "world", kinds=[]).digest() == world.digest()


def test_more_events_than_this_world_lets_wait_are_kept_and_none_added():
    many, few = hz.World(capacity=100, max_events=10), hz.World(capacity=100, max_events=3)
    records = np.zeros(10, Steer.__hz_dtype__)
    many.push_events(Steer, 0, records)
    few.copy_from(many)
    assert few.push_events(Steer, 0, records[:5]) == 0
    few.tick()
    assert len(few.events(Steer)) == 10


def test_a_snapshot_in_which_a_relation_leads_nowhere_makes_no_world():
    world = hz.World(capacity=100)
    one, two = world.spawn(Bird, 2)
    world.relate(one, Follows, two)
    snapshot = hz.Snapshot.of(world)
    snapshot.columns["Follows.target"][:] += 1 << 32
    with pytest.raises(hz.SnapshotError, match="Follows: a target doesn't live"):
        snapshot.to_world([Bird])
