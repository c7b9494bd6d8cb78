"""What per-entity bodies can do beyond numbers: vectors, enums, references, what may be absent, other entities."""

from __future__ import annotations

import enum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, b1, f4, f8, i1, i4, kernel, u1, u2, u4, u8, vec2, vec3
from horizon_ecs.columns import PAGE
from horizon_ecs.commands import CommandBuffer
from horizon_ecs.components import fields_of
from horizon_ecs.program import compile_entity
from horizon_ecs.runners import make_runner
from tests import kernels, naive


class Mode(enum.IntEnum):
    IDLE = 0
    RUN = 3
    BACK = -2


class Flag(enum.IntFlag):
    A = 1
    B = 4


@hz.component
class Transform:
    pos: vec3
    size: vec2 = hz.field(default=(1, 2))


@hz.component
class State:
    mode: Mode
    bits: Flag
    target: hz.Entity
    level: i4 = 5


@hz.component
class Shield:
    hp: f4 = 7.0
    rate: f8 = -np.inf


@hz.component
class Note:
    a: f8
    b: f8


class Marked(hz.Tag): ...


Thing = hz.Kind("Thing", Transform, State, Note, optional=[Shield, Marked])


def things(system: hz.System, n: int = 4, **values) -> tuple[hz.World, np.ndarray]:
    world = hz.World(capacity=4 * PAGE)
    handles = world.spawn(Thing, n, **values)
    world.add_system(system)
    return world, handles


def referring(handles: np.ndarray, *targets: int | None) -> np.ndarray:
    return np.array([0 if t is None else int(handles[t]) for t in targets], np.uint64)


def compare(system: hz.System, world: hz.World, handles: np.ndarray, **others) -> None:
    """A tick leaves each entity as a plain call would have done."""
    expected = {}
    for handle in handles.tolist():
        given = []
        for p in system.parameters:
            if p.use in ("read", "write"):
                given.append(world.get(handle, p.type) if world.has(handle, p.type)[0] else None)
            else:
                given.append(handle if p.use == "entity" else others[p.name])
        system(*given)
        expected[handle] = given
    world.tick()
    for handle, given in expected.items():
        for p, value in zip(system.parameters, given, strict=True):
            if p.use in ("read", "write") and value is not None and fields_of(p.type):
                assert world.get(handle, p.type) == value


@hz.system
def vectors(t: Write[Transform], n: Write[Note], state: Read[State], time: Res[hz.Time]):
    t.pos.x += t.size.y * 2
    t.pos[1] = t.pos.x + t.size[-1]
    t.pos.z -= t.pos[state.level % 3]
    n.a = t.pos[0] + time.tick


def test_vectors_are_used_by_letter_and_index():
    world, handles = things(vectors, Transform={"pos": np.arange(12).reshape(4, 3)}, State={"level": [0, 1, 2, 5]})
    compare(vectors, world, handles, time=hz.Time(tick=1))


@hz.system
def modes(s: Write[State], n: Write[Note]):
    if s.mode == Mode.RUN and s.bits & Flag.A:
        s.mode = Mode.BACK
        s.bits |= Flag.B
    elif s.mode == Mode.BACK:
        s.bits &= ~(Flag.B | Flag.B)
        s.bits &= ~Flag.B
        n.a = Mode.RUN.value
    n.b = s.mode + (Flag.A | Flag.B)


def test_enums_are_numbers():
    world, handles = things(modes, State={"mode": [0, 3, 3, -2], "bits": [Flag.A, Flag.A, Flag.B, Flag.A | Flag.B]})
    compare(modes, world, handles)
    assert [world.get(h, State).mode for h in handles] == [Mode.IDLE, Mode.BACK, Mode.RUN, Mode.BACK]


@hz.system
def chase(entity: hz.Entity, s: Write[State], n: Write[Note], t: Read[Transform], others: hz.Lookup[Shield]):
    if s.target in others:
        n.a = others[s.target].hp + t.pos.x
        s.target = entity
    elif s.target not in others and s.target == 0:
        n.a = others[s.target].rate
    target = s.target if s.level > 1 else entity
    n.b = others[target].hp


def test_other_entities_are_looked_up_by_handle():
    world, handles = things(chase)
    world.add(handles[1:3], Shield, {"hp": [10, 20], "rate": 1.5})
    gone = world.spawn(Thing, 1, Shield={"hp": 99})
    world.set(handles, State, {"target": referring(handles, 1, None, 2, 3), "level": [1, 2, 1, 2]})
    shields = {int(h): world.get(h, Shield) for h in handles[1:3]}
    compare(chase, world, handles, others=hz.Lookup(shields))
    assert world[Note].a[:4].tolist() == [10.0, -np.inf, 20.0, 0.0]

    @hz.system
    def stale(n: Write[Note], others: hz.Lookup[Shield], t: Read[Transform]):
        n.a = others[GONE].hp
        n.b = others[2**62 + 7].hp + (GONE in others)

    GONE = int(gone[0])
    world.despawn(gone)
    world.add_system(stale)
    world.tick()
    assert world[Note].a[:4].tolist() == [7.0] * 4
    assert world[Note].b[:4].tolist() == [7.0] * 4


@given(
    st.dictionaries(st.integers(0, 7), st.tuples(st.integers(1, 2), st.integers(0, 3), st.floats(-9, 9)), max_size=6),
    st.integers(0, 9), st.integers(0, 3), st.sampled_from([1, 2]),
)  # fmt: skip
@settings(deadline=None, derandomize=True)
def test_lookups_equal_their_plain_twin(rows, slot, generation, bit):
    handle = generation << 32 | slot
    assert kernels.looked_up(rows, 8, handle, bit, 5.0) == naive.looked_up(rows, handle, bit, 5.0)


def test_a_tag_can_be_looked_up():
    @hz.system
    def look(s: Read[State], n: Write[Note], marked: hz.Lookup[Marked], at: hz.Lookup[Transform]):
        n.a = s.target in marked
        n.b = at[s.target].pos.y + at[s.target].size[1]

    world, handles = things(look, Transform={"pos": np.arange(12).reshape(4, 3)})
    world.add(handles[2:3], Marked)
    world.set(handles, State, {"target": referring(handles, None, 2, 1, 2)})
    world.tick()
    assert world[Note].a[:4].tolist() == [0, 1, 0, 1]
    assert world[Note].b[:4].tolist() == [2.0, 9.0, 6.0, 9.0]


def test_columns_systems_look_up_arrays():
    seen = []

    @hz.system(form="columns")
    def look(s: Read[State], others: hz.Lookup[Shield]):
        seen.append((others[s.target].hp.tolist(), others.has(s.target).tolist(), int(s.target[1]) in others))

    world, handles = things(look)
    world.add(handles[2:3], Shield, {"hp": 4.0})
    world.set(handles, State, {"target": referring(handles, None, 2, 1, 2)})
    world.tick()
    assert seen == [([7, 4, 7, 4], [False, True, False, True], True)]
    empty = hz.Lookup({}, Shield)
    assert (5 in empty, empty[5].hp, empty.has([5]).tolist()) == (False, 7.0, [False])


def test_a_system_cannot_look_up_what_it_writes():
    with pytest.raises(hz.DefinitionError, match="'others' looks up Shield, which the system writes"):

        @hz.system
        def wrong(s: Write[Shield], others: hz.Lookup[Shield]): ...


@hz.system
def protect(n: Write[Note], shield: Write[Shield] | None, marked: Read[Marked] | None, s: Read[State]):
    if shield is not None:
        shield.hp -= 1
        n.a = shield.hp
    if not shield:
        n.b = 2.0
    if shield and shield.hp > 3 and marked:
        n.b = 3.0
    if shield is None or s.level > 100:
        n.a = 1.0 if marked else -1.0


@pytest.mark.parametrize("full", [False, True])
def test_what_may_be_absent(full):
    n = PAGE if full else 6
    world, handles = things(protect, n)
    world.add(handles[1::2], Shield, {"hp": np.arange(n // 2), "rate": 0.0})
    world.add(handles[::3], Marked)
    world[Shield].hp[handles[0] & 0xFFFFFFFF] = 55.0  # whoever lacks it keeps what is there
    compare(protect, world, handles[:12])
    assert world[Shield].hp[0] == 55.0


def test_columns_systems_get_masks_of_what_may_be_absent():
    seen = []

    @hz.system(form="columns")
    def look(n: Write[Note], shield: Write[Shield] | None):
        if shield is None:
            seen.append(None)
            return
        seen.append(shield.present.tolist())
        shield.hp[shield.present] += 1
        n.a = np.where(shield.present, shield.hp, -1)

    world, handles = things(look)
    world.tick()
    world.add(handles[1:2], Shield)
    world.tick()
    assert seen == [None, [False, True, False, False]]
    assert world[Note].a[:4].tolist() == [-1, 8, -1, -1]


def test_what_bodies_may_not_do():
    def refused(function, message, **options):
        with pytest.raises(hz.DefinitionError, match=rf"test_bodies.py:\d+: system '{function.__name__}': .*{message}"):
            hz.World().add_system(hz.system(**options)(function))

    def whole(t: Write[Transform], n: Write[Note]):
        n.a = t.pos

    def letter(t: Write[Transform]):
        t.size.z = 1

    def outside(t: Write[Transform]):
        t.size[2] = 1

    def variable(t: Write[Transform], s: Read[State]):
        t.pos[s.level] = 1

    def bare(n: Write[Note], others: hz.Lookup[Shield]):
        n.a = others

    def unasked(n: Write[Note], shield: Read[Shield] | None):
        n.a = shield.hp

    def writes(s: Read[State], others: hz.Lookup[Shield]):
        others[s.target].hp = 3

    def optional_value(n: Write[Note], shield: Read[Shield] | None):
        n.a = shield

    def handle(entity: hz.Entity, n: Write[Note]):
        n.a = entity.x

    def jitted(n: Write[Note], shield: Read[Shield] | None): ...

    def columns_vector(t: Write[Transform]):
        t.pos[0] = 1

    refused(whole, r"t.pos is a vector; use its numbers, such as t.pos.x")
    refused(letter, r"t.size has no 'z'; it has \['x', 'y'\]")
    refused(outside, r"t.size has 2 numbers; there is no \[2\]")
    refused(variable, "written by an index that is a number in the source")
    refused(bare, r"'others' can only be used by its fields, such as others\[entity\]\.hp")
    refused(unasked, "'shield' may be None; ask before its fields are used: if shield is not None")
    refused(writes, "a lookup reads")
    refused(optional_value, "'shield' can only be used by its fields")
    refused(handle, "entity is a handle, a number")
    refused(jitted, "components that are not optional", form="columns", jit=True)
    refused(columns_vector, "by its numbers, such as t.pos.x", form="columns", jit=True)


def test_jitted_columns_use_vectors_by_letter():
    @hz.system(form="columns", jit=True)
    def scale(t: Write[Transform], s: Read[State]):
        t.pos.x = t.size.y * s.level
        t.pos.y += 1.0
        t.pos.z[0] = 4.0

    world, handles = things(scale)
    world.tick()
    assert world.get(handles[0], Transform).pos == (10.0, 1.0, 4.0)
    assert world.get(handles[1], Transform).pos == (10.0, 1.0, 0.0)


def test_a_failure_tells_the_entity():
    @hz.system
    def check(s: Read[State]):
        if s.level > 6:
            raise ValueError("too high")

    @hz.system
    def calls(s: Read[State], n: Write[Note]):
        n.a = checked(s.level)

    world, handles = things(check, 3 * PAGE, State={"level": np.arange(3 * PAGE) - PAGE})
    for system in (check, calls):
        runner = make_runner(world, system, CommandBuffer(world))
        runner.begin()
        for part in (2, 1, 0):
            if part:
                with pytest.raises(ValueError, match="too high"):
                    runner.part(part, 3)
            else:
                runner.part(part, 3)
        assert runner.failed_entity() == handles[PAGE + 7]
        world.set(handles, State, {"level": 0}) if system is calls else None
    runner.run()
    assert runner.failed_entity() is None
    world.set(handles[5], State, {"level": 9})
    with pytest.raises(hz.SystemFailure, match=rf"for entity {int(handles[5]):#x} at .*test_bodies.py") as info:
        world.tick()
    assert info.value.entity == handles[5]


def checked(level):
    if level > 6:
        raise ValueError("too high")
    return level * 2.0


def test_bodies_may_take_memory():
    @hz.system
    def gather(n: Write[Note], s: Read[State]):
        table = [i * 2.0 for i in range(s.level)]
        n.a = table[2]

    @hz.system
    def plain(n: Write[Note], s: Read[State]):
        n.a = s.level

    world, _ = things(gather)
    world.tick()
    assert world[Note].a[:4].tolist() == [4.0] * 4
    assert compile_entity(gather).allocates == kernel.jit_enabled()
    assert not compile_entity(plain).allocates


@hz.component
class Narrow:
    k: u1
    m: u1
    q: u4
    tiny: i1
    i: i4
    big: u8
    on: b1


@hz.component
class Sums:
    a: f8
    b: f8
    c: f8
    d: f8
    e: f8
    f: f8
    g: f8
    h: f8


@hz.resource
class Base:
    k: u2 = 7


def minus(value):
    return -value


@hz.system
def arithmetic(n: Read[Narrow], s: Write[Sums], base: Res[Base], others: hz.Lookup[Narrow], entity: hz.Entity):
    k = n.k
    s.a = -n.k + 1000 * (n.k - n.m) - base.k
    s.b = abs(n.k - n.m) + minus(k) - 1000 * ~n.m
    s.c = n.q - n.k - n.m * n.q
    s.d = -n.tiny + 1000 * abs(n.tiny) + (n.tiny << 8)
    s.e = n.i // n.tiny - 1000 * (n.i % n.tiny) if n.tiny else minus(base.k)
    s.f = n.big - 2 * n.m - others[entity].k + -others[entity].m
    s.g = (n.k or n.i) + 1000 * (n.k and n.tiny) + 1e6 * (-5 < n.tiny < n.k) + float(n.on) + float(n.k > n.m)
    s.h = 2**-1 + n.m**-2 + (-2) ** 2 + min(n.k, n.i) + round(n.i / 2) + int(n.i / 3) if n.m else n.on + n.on


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.tuples(*(st.integers(low, high) for low, high in [
            (0, 255), (0, 255), (0, 2**20), (-128, 127), (-(2**20), 2**20), (0, 2**50), (0, 1)
        ])),
        min_size=1,
        max_size=20,
    )
)  # fmt: skip
def test_whole_numbers_are_those_of_python(rows):
    """However narrow, and signed or not, their columns are."""
    world = hz.World(capacity=2 * PAGE)
    world.insert(Base())
    values = dict(zip(["k", "m", "q", "tiny", "i", "big"], np.array(rows, np.int64).T, strict=False))
    values["on"] = np.array([row[6] for row in rows], np.bool_)
    things = world.spawn(hz.Kind("Thing", Narrow, Sums), len(rows), Narrow=values)
    expected = []
    for thing in things:
        mine, sums = world.get(thing, Narrow), Sums()
        arithmetic(mine, sums, Base(), {int(thing): mine}, int(thing))
        expected.append(sums)
    world.add_system(arithmetic)
    world.tick()
    assert [world.get(thing, Sums) for thing in things] == expected


def test_a_narrow_column_takes_what_others_hold():
    @hz.component
    class Small:
        n: u2

    kind = hz.Kind("Small thing", Small)

    @hz.system
    def grow(s: Write[Small]):
        s.n += 65535

    world = hz.World()
    world.spawn(kind, 2, Small=[1, 5])
    world.add_system(grow)
    world.tick()
    assert world[Small].n[:2].tolist() == [0, 4]
