"""Commands and events that systems ask for: with values, in bulk, in an order that no number of threads changes."""

from __future__ import annotations

import enum

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write, f4, f8, i2, u1, u8, vec3
from horizon_ecs.columns import PAGE
from horizon_ecs.commands import CommandBuffer
from horizon_ecs.runners import make_runner
from tests.game import Frozen, Fuel, Health, Position, Rock, Ship, Velocity


class Mode(enum.IntEnum):
    IDLE = 0
    HUNT = 7


@hz.component
class Poison:
    strength: f4 = 2.0
    ticks: i2 = 9


@hz.component
class Shot:
    at: vec3
    owner: hz.Entity
    mode: Mode
    id: u8
    on: hz.b1
    energy: f8 = 0.5


@hz.event
class Explosion:
    x: f4
    power: i2 = 3


class AimedAt(hz.Relation): ...


Unit = hz.Kind("Unit", Health, Position, optional=[Poison, Frozen, hz.Name, AimedAt])
Bullet = hz.Kind("Bullet", Position, Shot, optional=[Poison, Frozen])


def units(*systems: hz.System, n: int = 10, **options) -> tuple[hz.World, np.ndarray]:
    world = hz.World(capacity=options.pop("capacity", 4 * PAGE), **options)
    handles = world.spawn(Unit, n, Health=np.arange(n), Position={"x": np.arange(n) * 10.0})
    world.add_system(*systems)
    return world, handles


@hz.system
def shoot(entity: hz.Entity, health: Read[Health], pos: Read[Position], cmd: hz.Commands):
    if health.hp % 3 == 0:
        cmd.spawn(
            Bullet,
            Position(pos.x, y=pos.x + 1),
            Shot((pos.x, 2.5, -1), mode=Mode.HUNT, owner=entity, id=2**63 + 5, on=True),
        )
    elif health.hp % 3 == 1:
        for i in range(2):
            cmd.spawn(Bullet, Position(z=i), Frozen(), Poison(ticks=health.hp))


@hz.system
def turn(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
    cmd.add(entity, [Frozen, Poison(3.0, ticks=health.hp)])
    if health.hp > 2:
        cmd.remove(entity, (Frozen, Poison))
        cmd.add(entity, [Poison])


def test_several_components_are_added_and_removed_at_once():
    world, handles = units(turn, n=5)
    world.tick()
    assert world.has(handles, Frozen).tolist() == [True] * 3 + [False] * 2
    assert [world.get(h, Poison) for h in handles[2:4]] == [Poison(3.0, 2), Poison()]
    asked = hz.Commands()
    turn(int(handles[3]), Health(3), asked)
    world.run_system(hz.system(form="columns")(plainly(handles[0], asked)))
    assert [(what, getattr(c, "__name__", c)) for what, _, c in asked.recorded] == [
        ("add", "Frozen"), ("add", Poison(3.0, 3)), ("remove", "Frozen"), ("remove", "Poison"), ("add", "Poison")
    ]  # fmt: skip
    assert world.get(handles[0], Poison) == Poison(8.0)
    assert not world.has(handles[0], Frozen)[0]
    with pytest.raises(hz.ArgumentError, match="expected a component"):
        asked.add(3, [Frozen, 4])
    assert len(asked.recorded) == 5


def plainly(handle, asked):
    def ask(cmd: hz.Commands):
        cmd.remove(handle, [Frozen, Poison])
        cmd.add(handle, [Poison(8.0)])

    return ask


def test_spawns_with_values_come_in_the_order_of_who_asked():
    world, handles = units(shoot, n=5)
    world.tick()
    bullets = world.query(Shot).handles
    # hp 0: one; 1: two; 2: none; 3: one; 4: two
    assert [world.get(b, Position) for b in bullets] == [
        Position(0, 1, 0), Position(0, 0, 0), Position(0, 0, 1), Position(30, 31, 0), Position(0, 0, 0),
        Position(0, 0, 1),
    ]  # fmt: skip
    shot = world.get(bullets[3], Shot)
    assert shot == Shot((30.0, 2.5, -1.0), int(handles[3]), Mode.HUNT, 2**63 + 5, True, 0.5)
    assert world.get(bullets[1], Shot) == Shot()
    assert world.has(bullets, Frozen).tolist() == [False, True, True, False, True, True]
    assert world.has(bullets, Poison).tolist() == [False, True, True, False, True, True]
    assert world.get(bullets[5], Poison) == Poison(2.0, 4)


def test_the_plain_call_asks_for_the_same():
    cmd = hz.Commands()
    shoot(5, Health(3), Position(1.0), cmd)
    shoot(6, Health(1), Position(1.0), cmd)
    spawns = [values for name, kind, n, values in cmd.recorded if (name, kind, n) == ("spawn", Bullet, 1)]
    assert all(isinstance(values.pop("Frozen"), Frozen) for values in spawns[1:])  # tags have no equality
    assert spawns == [
        {"Position": Position(1, 2), "Shot": Shot((1, 2.5, -1), 5, Mode.HUNT, 2**63 + 5, True)},
        {"Position": Position(z=0), "Poison": Poison(ticks=1)},
        {"Position": Position(z=1), "Poison": Poison(ticks=1)},
    ]


def test_values_of_added_components():
    @hz.system
    def infect(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        if health.hp == 1:
            cmd.add(entity, Poison(health.hp * 1.5))
        elif health.hp == 2:
            cmd.add(entity, Poison)
        elif health.hp == 3:
            cmd.add(entity, Poison(1.0))
            cmd.remove(entity, Poison)
        elif health.hp == 4:
            cmd.add(entity, Poison(1.0))
            cmd.add(entity, Poison(ticks=-5))
        if health.hp == 5:
            cmd.add(entity, Poison())
            cmd.add(entity, Frozen)

    world, handles = units(infect)
    world.tick()
    assert world.has(handles, Poison).tolist() == [False, True, True, False, True, True] + [False] * 4
    assert [world.get(handles[i], Poison) for i in (1, 2, 4, 5)] == [
        Poison(1.5), Poison(), Poison(2.0, -5), Poison(),
    ]  # fmt: skip
    assert world.has(handles, Frozen).tolist() == [i == 5 for i in range(10)]


def test_a_reference_to_one_that_has_gone_becomes_none():
    @hz.system
    def last_shot(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.spawn(Bullet, Shot(owner=entity))
        if health.hp == 0:
            cmd.despawn(entity)

    world, handles = units(last_shot, n=2)
    world.tick()
    assert world[Shot].owner[world.query(Shot).slots].tolist() == [0, handles[1]]


def test_plain_commands_name_who_has_gone_too():
    world, handles = units(n=4)

    @hz.system(form="columns")
    def bury(cmd: hz.Commands):
        cmd.despawn(handles[0])
        cmd.spawn(Bullet, 2, Shot(owner=int(handles[0])))
        cmd.spawn(Bullet, 2, Shot=[Shot(owner=int(handles[0])), Shot(owner=int(handles[1]))])
        cmd.add(handles[1:], AimedAt(int(handles[0])))

    world.add_system(bury)
    world.tick()
    assert world[Shot].owner[world.query(Shot).slots].tolist() == [0, 0, 0, handles[1]]
    assert world.targets_of(handles[1:], AimedAt).tolist() == [0, 0, 0]


def test_objects_are_asked_for_with_what_they_hold():
    world, handles = units(n=3)

    @hz.system(form="columns")
    def christen(cmd: hz.Commands):
        cmd.add(handles[:2], hz.Name("pair"))
        cmd.add(handles[2], hz.Name)
        cmd.spawn(Unit, 2, Name=["new", "born"])
        cmd.spawn(Unit, hz.Name("third"))

    world.add_system(christen)
    world.tick()
    assert [name.text for _, name in world[hz.Name]] == ["pair", "pair", "", "new", "born", "third"]
    assert world.get(handles[0], hz.Name) is not world.get(handles[1], hz.Name)


def test_an_object_that_a_component_can_not_hold_does_nothing():
    world, handles = units(n=1)

    @hz.system(form="columns")
    def christen(cmd: hz.Commands):
        cmd.despawn(handles)
        cmd.spawn(Unit, 2, Name=["one", 2])

    world.add_system(christen)
    with pytest.raises(hz.SystemFailure, match="Name.text takes str, not 2"):
        world.tick()
    assert world.alive(handles).all()


def test_who_is_to_be_its_own_target_makes_nothing_happen():
    world, handles = units(n=3)

    @hz.system(form="columns")
    def aim(cmd: hz.Commands):
        cmd.despawn(handles[0])
        cmd.add(handles[1:], AimedAt(int(handles[2])))

    world.add_system(aim)
    with pytest.raises(hz.SystemFailure, match="can't be its own target"):
        world.tick()
    assert len(world) == 3


def test_what_a_spawn_is_not_given_is_the_kinds_own_default():
    bomb = hz.Kind("Bomb", Position, Poison, defaults=[Poison(8.0, 1)])

    @hz.system
    def drop(health: Read[Health], cmd: hz.Commands):
        if health.hp == 0:
            cmd.spawn(bomb, Position(1.0))
        elif health.hp == 1:
            cmd.spawn(bomb, Poison(ticks=5))
        else:
            cmd.spawn(bomb, Poison())

    world, _ = units(drop, n=3)
    world.tick()
    found = [world.get(h, Poison) for h in world.query(kind=bomb)]
    assert found == [Poison(8.0, 1), Poison(ticks=5), Poison()]


# -- capacity and what may be given ------------------------------------------------------------------------------


@hz.system
def double(entity: hz.Entity, health: Write[Health], cmd: hz.Commands):
    health.hp += 1
    cmd.add(entity, Frozen)
    cmd.spawn(Unit)


def test_spawns_beyond_the_capacity_do_nothing():
    world, handles = units(double, n=6, capacity=11)
    with pytest.raises(hz.SystemFailure, match="6 more entities exceed the world's capacity of 11, which leaves 5"):
        world.tick()
    assert len(world) == 6
    assert not world.has(handles, Frozen).any()
    world.despawn(handles[:1])
    world.tick()
    assert len(world) == 10


def test_what_a_system_ends_makes_room_for_what_it_spawns():
    @hz.system
    def renew(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.spawn(Unit, Health(health.hp + 100))
        cmd.despawn(entity)
        cmd.despawn(entity)

    world, handles = units(renew, n=2000, capacity=2000)
    world.tick()
    assert not world.alive(handles).any()
    assert world[Health].hp[world.query(Health).slots].tolist() == list(range(100, 2100))


def test_pages_of_other_kinds_leave_no_room():
    @hz.system(with_=[Fuel])
    def burst(entity: hz.Entity, pos: Read[Position], cmd: hz.Commands):
        cmd.spawn(Bullet)

    world = hz.World(capacity=PAGE)
    n_pages = world.n_slots // PAGE
    kinds = [hz.Kind(f"Kind {i}", Position, optional=[Fuel]) for i in range(n_pages)]
    for kind in kinds[:-1]:
        world.spawn(kind)
    world.spawn(kinds[-1], Fuel=1.0)
    world.add_system(burst)
    with pytest.raises(hz.SystemFailure, match="1 more of kind 'Bullet': .* other kinds own the free slots' pages"):
        world.tick()
    assert len(world) == n_pages


def test_a_value_out_of_range_does_nothing():
    @hz.component
    class Charge:
        level: u1 = hz.field(range=(0, 10))

    charged = hz.Kind("Charged", Health, optional=[Charge])

    @hz.system
    def charge(entity: hz.Entity, health: Read[Health], cmd: hz.Commands):
        cmd.spawn(charged, Health(-1))
        cmd.add(entity, Charge(health.hp))

    world = hz.World()
    world.spawn(charged, 3, Health=[1, 2, 11])
    world.add_system(charge)
    with pytest.raises(hz.SystemFailure, match=r"Charge.level takes 0 to 10; the values reach from 1 to 11"):
        world.tick()
    assert len(world) == 3
    assert len(world.query(Charge)) == 0


def test_a_component_that_a_kind_does_not_know_does_nothing():
    @hz.system
    def wrong(entity: hz.Entity, pos: Read[Position], cmd: hz.Commands):
        cmd.spawn(Rock)
        cmd.add(entity, Fuel)

    world = hz.World()
    world.spawn(Ship, 2)
    world.spawn(Rock, 2)
    world.add_system(wrong)
    with pytest.raises(hz.SystemFailure, match="Fuel can't be added to or removed from kind 'Rock'"):
        world.tick()
    assert len(world) == 4
    assert len(world.query(Fuel)) == 0


@pytest.mark.parametrize("n_parts", [2, 3, 7])
def test_the_number_of_parts_changes_nothing(n_parts):
    def outcome(n: int) -> list[list[int]]:
        world = hz.World(capacity=40 * PAGE)
        world.spawn(Unit, 6 * PAGE, Health=np.arange(6 * PAGE) % 50, Position={"x": np.arange(6 * PAGE)})
        for system in (shoot, explode):
            runner = make_runner(world, system, CommandBuffer(world))
            runner.begin()
            for part in reversed(range(n)):
                runner.part(part, n)
            runner.end()
            runner.commands.apply()
        world.tick()
        events = world.events(Explosion)
        rows = [world.signature.tolist(), world[Position].x.tolist(), world[Shot].owner.tolist()]
        return [*rows, events.sender.tolist(), events.records.tolist()]

    assert outcome(n_parts) == outcome(1)


# -- columns systems ---------------------------------------------------------------------------------------------


def test_a_columns_system_asks_with_arrays():
    @hz.system(form="columns")
    def volley(entity: hz.Entity, health: Read[Health], pos: Read[Position], cmd: hz.Commands):
        who = health.hp >= 7
        cmd.spawn(Bullet, int(who.sum()), Position(x=pos.x[who], y=1.0), Shot={"owner": entity[who], "at": (1, 2, 3)})  # type: ignore[index, arg-type]
        cmd.spawn(Bullet, Frozen())
        cmd.add(entity[who], Poison(strength=pos.x[who]))  # type: ignore[index]
        cmd.remove(entity, Poison)
        cmd.add(entity[~who], Frozen)  # type: ignore[index]
        cmd.despawn(entity[:1])  # type: ignore[index]

    world, handles = units(volley)
    world.tick()
    bullets = world.query(Shot).handles
    assert [world.get(b, Position) for b in bullets] == [Position(x, 1) for x in (70, 80, 90)] + [Position()]
    assert [world.get(b, Shot).owner for b in bullets] == [*handles[7:].tolist(), 0]
    assert world.has(bullets, Frozen).tolist() == [False] * 3 + [True]
    assert world.alive(handles).tolist() == [False] + [True] * 9
    assert world.has(handles[1:], Frozen).tolist() == [True] * 6 + [False] * 3
    assert len(world.query(Poison)) == 0


def test_plain_commands_are_checked():
    cmd = hz.Commands()
    for call, message in [
        (lambda: cmd.spawn("Bullet"), "spawn\\(\\) takes a Kind first"),
        (lambda: cmd.spawn(Bullet, Velocity()), "kind 'Bullet' has no component Velocity"),
        (lambda: cmd.spawn(Bullet, Position(), Position=3), "given Position twice"),
        (lambda: cmd.spawn(Bullet, -1), "n must be a whole number"),
        (lambda: cmd.add(3, 4), "expected a component"),
        (lambda: cmd.remove(3, Poison()), "expected a component"),
    ]:
        with pytest.raises(hz.ArgumentError, match=message):
            call()
    assert cmd.recorded == []


# -- events ------------------------------------------------------------------------------------------------------


@hz.system
def explode(entity: hz.Entity, health: Read[Health], pos: Read[Position], out: hz.Emit[Explosion], cmd: hz.Commands):
    if health.hp % 2 == 0:
        out.emit(Explosion(x=pos.x, power=health.hp))
        cmd.despawn(entity)
    elif health.hp > 6:
        out.emit(Explosion(-pos.x))


def test_events_are_seen_in_the_next_tick():
    seen = []

    @hz.system(phase="input", form="columns")
    def read(hits: hz.Events[Explosion]):
        seen.append((hits.sender.tolist(), hits.x.tolist(), hits.power.tolist()))

    world, handles = units(explode, read)
    world.despawn(handles[:5])
    world.run(2)
    nobody = ([], [], [])
    # Those at 6 and 8 are gone: what they emitted remains.
    assert seen == [nobody, ([0, handles[7], 0, handles[9]], [60.0, -70.0, 80.0, -90.0], [6, 3, 8, 3])]
    out: hz.Emit[Explosion] = hz.Emit()
    explode(1, Health(4), Position(2.0), out, hz.Commands())
    assert out.recorded == [Explosion(2.0, 4)]


def test_events_beyond_the_limit_are_counted():
    @hz.system
    def always(health: Read[Health], out: hz.Emit[Explosion]):
        out.emit(Explosion(health.hp))

    world, _ = units(always, n=10, max_events=4)
    world.run(2)
    assert world.events(Explosion).x.tolist() == [0, 1, 2, 3]
    assert world.dropped_events(Explosion) == 12


def test_a_columns_system_emits_arrays():
    @hz.system(form="columns")
    def emit(entity: hz.Entity, pos: Read[Position], out: hz.Emit[Explosion]):
        out.emit(Explosion(x=pos.x, power=1), sender=entity)
        out.emit(Explosion(x=5.0))

    world, handles = units(emit, n=3)
    world.run(2)
    events = world.events(Explosion)
    assert events.sender.tolist() == [*handles.tolist(), 0]
    assert events.x.tolist() == [0, 10, 20, 5]
    assert events.power.tolist() == [1, 1, 1, 3]
