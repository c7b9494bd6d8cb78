"""Rewriting: what a jitted body may say, that it means the same as in plain Python, and what is said where it doesn't."""

from __future__ import annotations

import enum
import importlib
import linecache
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, b1, f4, f8, i4, kernel
from horizon_ecs.rewrite import Body
from tests.game import Position, Ship, Velocity

SPEED = 3.0
TABLE = np.array([1.0, 2.0, 4.0])


class Team(enum.IntEnum):
    RED = 1
    BLUE = 2


@hz.component
class Point:
    x: f8
    y: f8


@hz.component
class Unit:
    team: i4
    level: i4
    on: b1


@hz.event
class Hit:
    power: f4


Thing = hz.Kind("Thing", Point, Unit)


def twice(value):
    return double(value) * SPEED / SPEED


def double(value):
    return 2.0 * value


@hz.system
def branches(p: Write[Point], u: Read[Unit]):
    """Both arms, an early return, and a local."""
    far = math.hypot(p.x, p.y) > 50.0
    if far:
        p.x *= 0.5
        return
    elif u.level > 2:
        p.y = p.x if u.on else -p.x
    p.x, p.y = p.y, p.x


@hz.system
def loops(p: Write[Point], u: Write[Unit]):
    total = 0.0
    for i in range(u.level % 5):
        if i == 3:
            continue
        total += i * SPEED
    while total > 10.0:
        total -= 7.0
    p.x += total
    u.level += 1


@hz.system
def helpers(p: Write[Point], u: Read[Unit]):
    p.x = twice(p.x) + TABLE[u.level % 3]
    p.y = max(min(p.y, 10.0), -10.0) + abs(p.x)
    if u.team == Team.BLUE:
        p.y = np.sqrt(abs(p.y))


@hz.system
def annotated(p: Write[Point], time: Res[hz.Time]):
    step: float = 2.0
    unused: float  # noqa: F842
    p.x: float = p.x + step * time.tick
    p.y += 0 if (n := p.x) > 3 else n


@hz.system
def walrus(p: Write[Point], u: Read[Unit]):
    if (k := p.x + 2.0) > 1.0 and (m := p.y) < 20.0:
        p.y = k + m
    elif u.on and (m := k * 2.0) > 3.0:
        p.y = m
    while (z := p.x) < 3.0:
        p.x = z + 10.0
    p.x = (z := z + 1.0) + (w if (w := p.y) > 5.0 else z)


CLOSED_OVER = 5.0


def closing(n: int) -> hz.System:
    def inner(p: Write[Point]):
        p.x += n + CLOSED_OVER

    return hz.system(inner)


SYSTEMS = [walrus, branches, loops, helpers, annotated, closing(3)]
ROWS = st.lists(
    st.tuples(st.floats(-100, 100), st.floats(-100, 100), st.integers(1, 2), st.integers(0, 9), st.booleans()),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s.name)
@settings(max_examples=15, deadline=None)
@given(rows=ROWS)
def test_the_loop_does_what_the_plain_function_does(system, rows):
    world = hz.World(capacity=1024)
    table = np.array(rows, np.float64).reshape(-1, 5)
    units = {"team": table[:, 2].astype("i4"), "level": table[:, 3].astype("i4"), "on": table[:, 4] != 0}
    things = world.spawn(Thing, len(rows), Point=table[:, :2], Unit=units)
    expected = [(world.get(h, Point), world.get(h, Unit)) for h in things]
    for point, unit in expected:
        values = {"p": point, "u": unit, "time": hz.Time(dt=1 / 60, tick=1)}
        system(*(values[p.name] for p in system.parameters))
    world.add_system(system)
    world.tick()
    for handle, (point, unit) in zip(things, expected, strict=True):
        got = world.get(handle, Point)
        assert (got.x, got.y) == pytest.approx((point.x, point.y), rel=1e-12)
        assert world.get(handle, Unit) == unit


def test_a_body_that_looks_up_by_its_rows_never_sees_other_rows():
    """Rows that don't match hold anything; one that indexes by it must not be computed and thrown away."""

    @hz.system
    def index(p: Write[Point], u: Read[Unit]):
        p.x = TABLE[u.level]

    world = hz.World(capacity=1024)
    things = world.spawn(Thing, 4, Unit={"level": [0, 1, 2, 0]})
    world[Unit].level[10:20] = 10**9
    world[Unit].level[1] = 10**9
    world.despawn(things[1])
    world.add_system(index)
    world.tick()
    assert world[Point].x[[0, 2, 3]].tolist() == [1.0, 4.0, 1.0]
    assert not Body(index).speculative
    assert Body(branches).speculative
    assert not Body(loops).speculative


def positive(x):
    if x < 0:
        raise ValueError("negative")
    return x


def test_a_helper_with_the_name_of_a_builtin_is_not_taken_for_it():
    abs = positive

    @hz.system
    def check(pos: Write[Position]):
        pos.x = abs(pos.x)

    world = hz.World(capacity=100)
    ships = world.spawn(Ship, 3, Position={"x": [1, -1, 2]})
    world.despawn(ships[1])
    world.add_system(check)
    world.tick()
    world.set(ships[2], Position, {"x": -3})
    with pytest.raises(hz.SystemFailure, match=f"{int(ships[2]):#x}"):
        world.tick()


def test_an_entity_is_its_handle():
    @hz.system
    def note(entity: hz.Entity, p: Write[Point]):
        p.x = entity % 4294967296
        p.y = entity // 4294967296

    world = hz.World()
    world.despawn(world.spawn(Thing, 2)[0])
    world.spawn(Thing, 1)
    world.add_system(note)
    world.tick()
    assert world[Point].x[:2].tolist() == [0, 1]
    assert world[Point].y[:2].tolist() == [2, 1]


def test_narrow_fields_wrap_and_stay_narrow():
    @hz.component
    class Small:
        value: f4
        count: i4

    @hz.system
    def grow(s: Write[Small]):
        s.value = s.value * 0.1
        s.count = s.count + 1

    world = hz.World()
    world.spawn(hz.Kind("Speck", Small), 2, Small={"value": [1.0, 3.0], "count": [5, 6]})
    world.add_system(grow)
    world.tick()
    np.testing.assert_array_equal(world[Small].value[:2], np.array([0.1, 0.3], np.float32))
    assert world[Small].count[:2].tolist() == [6, 7]


def test_names_that_look_like_ours_do_not_collide():
    @hz.system
    def collide(p: Write[Point], u: Read[Unit]):
        p__x = 5.0
        first, run, i, bits, keep, n = 1, 2, 3, 4, 5, 6
        p.x = p__x + first + run + i + bits + keep + n + u.level

    world = hz.World()
    world.spawn(Thing, 1)
    world.add_system(collide)
    world.tick()
    assert world[Point].x[0] == 26.0


def test_columns_assign_arrays_and_scalars():
    @hz.system(form="columns", jit=True)
    def fill(p: Write[Point], u: Read[Unit], time: Res[hz.Time]):
        p.x = u.level * 2.0
        p.y = 1.5
        p.y += p.x
        p.y[0] = time.tick

    world = hz.World()
    world.spawn(Thing, 3, Unit={"level": [1, 2, 3]})
    world.add_system(fill)
    world.tick()
    assert world[Point].x[:4].tolist() == [2, 4, 6, 0]
    assert world[Point].y[:3].tolist() == [1, 5.5, 7.5]


# -- refusals ----------------------------------------------------------------------------------------------------


def refused(function, message, **options):
    line = function.__code__.co_firstlineno
    with pytest.raises(hz.DefinitionError, match=message) as info:
        hz.World().add_system(hz.system(**options)(function))
    where, _, text = str(info.value).partition(": system ")
    assert where.startswith(__file__)
    assert line <= int(where.rpartition(":")[2]) <= line + 3
    assert text.startswith(repr(function.__name__))


def test_what_a_body_may_not_do():
    def writes_read(p: Read[Point]):
        p.x += 1

    def no_field(p: Write[Point]):
        p.xx = 1

    def whole(p: Write[Point], u: Read[Unit]):
        p.x = u

    def rebinds(p: Write[Point]):
        p = 3  # noqa: F841

    def gives_back(p: Write[Point]):
        return p.x

    def nested(p: Write[Point]):
        def inner(): ...

    def tries(p: Write[Point]):
        try:
            p.x = 1
        except ValueError:
            pass

    def yields(p: Write[Point]):
        yield p.x

    def globally(p: Write[Point]):
        global SPEED
        SPEED = 1

    def writes_resource(p: Write[Point], time: Res[hz.Time]):
        time.dt = p.x

    def unknown_name(p: Write[Point]):
        p.x = somewhere  # noqa: F821

    def object_around(p: Write[Point]):
        p.x = Thing.layers

    def calls_system(p: Write[Point]):
        branches(p)

    def deletes(p: Write[Point]):
        del p.x

    cases = [
        (writes_read, r"p\.x is written, but 'p' is declared Read\[Point\]; declare it Write"),
        (no_field, r"Point has no field 'xx'; it has \['x', 'y'\]; did you mean 'x'"),
        (whole, r"'u' can only be used by its fields, such as u\.team"),
        (rebinds, "the parameter 'p' can't be assigned"),
        (gives_back, "a system returns nothing"),
        (nested, "a nested function can't be used"),
        (tries, "try can't be used in a jitted system; use form='columns'"),
        (yields, "yield can't be used"),
        (globally, "global can't be used"),
        (writes_resource, r"time\.dt can't be written: a jitted system reads resources"),
        (unknown_name, "the name 'somewhere' is not defined"),
        (object_around, "the name 'Thing' is a Kind; .* Res"),
        (calls_system, "a system can't call the system 'branches'"),
        (deletes, "del can't be used"),
    ]
    for function, message in cases:
        refused(function, message)


def test_what_commands_may_not_do():
    def unknown(entity: hz.Entity, cmd: hz.Commands):
        cmd.destroy(entity)

    def too_few(entity: hz.Entity, cmd: hz.Commands):
        cmd.add(entity)

    def no_component(entity: hz.Entity, cmd: hz.Commands):
        cmd.add(entity, SPEED)

    def value(entity: hz.Entity, cmd: hz.Commands):
        x = cmd.despawn(entity)  # noqa: F841

    def bare(entity: hz.Entity, cmd: hz.Commands):
        print(cmd)

    def other(e: hz.Entity, out: hz.Emit[Hit]):
        out.emit(3.0)

    refused(other, r"expected the constructor of an event, Hit\(\.\.\.\)")
    refused(unknown, "there is no command 'destroy'")
    refused(too_few, r"add\(\) takes an entity and a component")
    refused(no_component, "the name of a component class")
    refused(value, "a command is a statement by itself")
    refused(bare, r"such as cmd\.despawn\(entity\)")


def test_columns_are_checked_too():
    def assigns(p: Read[Point]):
        p.x = 1.0

    def fills(p: Read[Point]):
        p.x[0] = 1.0

    refused(assigns, "declared Read", form="columns", jit=True)
    refused(fills, "declared Read", form="columns", jit=True)


def test_a_helper_that_calls_itself_is_refused():
    def uses(p: Write[Point]):
        p.x = loops_forever(p.x)

    refused(uses, "calls itself")


def loops_forever(x):
    return loops_forever(x)


@pytest.mark.skipif(not kernel.jit_enabled(), reason="nothing is compiled")
def test_what_numba_cannot_compile_names_the_line():
    def odd(p: Write[Point]):
        p.y = 1.0
        p.x = p.x.real_part_of_it()

    with pytest.raises(hz.CompileError, match="real_part_of_it") as info:
        hz.World().add_system(hz.system(odd))
    line = odd.__code__.co_firstlineno + 2
    assert str(info.value).startswith(f"{__file__}:{line}: system 'odd' can't be compiled: ")


def test_a_system_needs_source():
    namespace = {"hz": hz, "Write": Write, "Point": Point}
    exec("def typed(p: Write[Point]):\n    p.x = 1.0", namespace)
    with pytest.raises(hz.DefinitionError, match="in a file or a notebook, or use form='columns'"):
        hz.World().add_system(hz.system(namespace["typed"]))


def test_constants_are_part_of_what_is_kept():
    """Two systems that differ only in a captured number must not share machine code."""
    a, b = closing(1), closing(2)
    world = hz.World()
    world.spawn(Thing, 1)
    world.add_system(a, b)
    world.tick()
    assert world[Point].x[0] == 1 + 2 + 2 * CLOSED_OVER


none, int64, uint64, float64, inlined, row = 1.0, 2.0, 4.0, 8.0, 16.0, 32.0


def test_names_around_it_may_be_any():
    @hz.system
    def body(p: Write[Point]):
        p.x = none + int64 + uint64 + float64 + inlined + row

    @hz.system
    def range(start: Write[Point], stop: Read[Unit]):
        start.y = stop.level + 1.0

    world = hz.World()
    world.spawn(Thing, 1, Unit={"level": 3})
    world.add_system(body, range)
    world.tick()
    assert world.get(world.query(Point).handles[0], Point) == Point(63.0, 4.0)


SETTINGS = """
import numpy as np
import numba

GRAVITY = {value}
TABLE = np.full(3, {value})


@numba.njit
def jitted():
    return GRAVITY


def plain(scale=GRAVITY):
    return scale
"""

FALLING = """
import numpy as np

import horizon_ecs as hz
import {settings} as settings
from {settings} import TABLE, jitted, plain
from tests.game import Position, Velocity


def enclose(numbers):
    def enclosed():
        return numbers[2000]

    return enclosed


enclosed = enclose(np.concatenate([np.zeros(2000), TABLE, np.zeros(2000)]))


def table():
    return TABLE[1]


def attribute():
    return settings.GRAVITY


@hz.system
def fall(pos: hz.Write[Position], vel: hz.Write[Velocity]):
    pos.x, pos.y, pos.z = settings.GRAVITY, table(), attribute()
    vel.x, vel.y, vel.z = jitted(), plain(), enclosed()
"""


def test_machine_code_is_kept_by_all_that_is_around(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "falling.py").write_text(FALLING.format(settings="settings_of_falling"))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    for value in (2.0, 3.0):
        (tmp_path / "settings_of_falling.py").write_text(SETTINGS.format(value=value))
        for name in ("falling", "settings_of_falling"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        linecache.checkcache()
        world = hz.World(capacity=100)
        world.spawn(Ship)
        world.add_system(importlib.import_module("falling").fall)
        world.tick()
        found = world.query(Position, Velocity).to_dict()
        assert {name: values[0] for name, values in found.items() if name != "handle"} == dict.fromkeys(
            (f"{c}.{f}" for c in ("Position", "Velocity") for f in "xyz"), value
        )
    for name in ("falling", "settings_of_falling"):
        monkeypatch.delitem(sys.modules, name, raising=False)
