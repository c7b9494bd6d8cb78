"""Outer names: whatever a body reads from around it, directly or not, is part of what its machine code is kept by."""

from __future__ import annotations

import enum
import importlib
import sys
import typing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write, f8
from horizon_ecs.capture import Capture
from horizon_ecs.program import textual
from horizon_ecs.rewrite import Body

SETTINGS = """
import enum
from types import ModuleType
import numpy as np
import numba

G = {value}
ARR = np.array([{value}, 9.0], np.float64)
BYTES = np.array([{value}, 9], np.complex128)
PAIR = ({value}, 9)
sub = ModuleType("sub")
sub.K = {value}

class Inner:
    K = {value}

class Speed(enum.Enum):
    SLOW = {value}
    FAST = 7

def reads(x):
    return x + G

def reads_all(x):
    return reads(x) + 0.0

def has_default(x, k=G):
    return x + k

def has_keyword(x, *, k=G):
    return x + k

def closing():
    k = G
    def inner(x):
        return x + k
    return inner

closed = closing()
short = lambda x: x + G

@numba.njit
def compiled(x):
    return x + G

@numba.njit
def compiled_all(x):
    return compiled(x) + 0.0
"""

USES = """
import numpy as np
import outer_settings as cfg
from outer_settings import G, closed, compiled, compiled_all, has_default, has_keyword, reads, reads_all, short
import horizon_ecs as hz
from horizon_ecs import Write

def read_through(x):
    return x + cfg.G

def read_inner(x):
    return x + cfg.sub.K + cfg.ARR[0] + cfg.Inner.K - cfg.G - cfg.G

def called_through(x):
    return cfg.reads_all(x)

def member(x):
    return x + cfg.Speed.SLOW.value

@hz.component
class P:
    x: hz.f8

def make(function):
    def body(p: Write[P]):
        p.x = function(p.x)
    return hz.system(body)
"""

READS = [
    "G", "cfg.G", "cfg.ARR[0]", "cfg.PAIR[0]", "cfg.BYTES[0].real", "cfg.sub.K", "cfg.Inner.K", "cfg.Speed.SLOW.value",
    "reads(0.0)", "reads_all(0.0)", "cfg.reads(0.0)", "cfg.reads_all(0.0)", "has_default(0.0)", "has_keyword(0.0)",
    "cfg.has_default(0.0)", "closed(0.0)", "cfg.closed(0.0)", "short(0.0)", "compiled(0.0)", "compiled_all(0.0)",
    "cfg.compiled(0.0)", "read_through(0.0)", "read_inner(0.0)", "called_through(0.0)", "member(0.0)",
]  # fmt: skip
BODIES = "".join(f"\n@hz.system\ndef body_{i}(p: Write[P]):\n    p.x = {read}\n" for i, read in enumerate(READS))
BODIES += f"\nMany = hz.make_component('Many', {{f'x{{i}}': hz.f8 for i in range({len(READS)})}})\n"
BODIES += "\n@hz.system\ndef body_of_all(m: Write[Many]):\n"
BODIES += "".join(f"    m.x{i} = {read}\n" for i, read in enumerate(READS))


def imported(directory: Path, value: int) -> ModuleType:
    """The module that uses, as a process finds it that starts with these settings."""
    (directory / "outer_settings.py").write_text(SETTINGS.format(value=value))
    (directory / "outer_uses.py").write_text(USES + BODIES)
    for name in ("outer_settings", "outer_uses"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return importlib.import_module("outer_uses")


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in ("outer_settings", "outer_uses"):
        sys.modules.pop(name, None)


def outcome(module: ModuleType, *systems: hz.System) -> list[float]:
    found = []
    for system in systems:
        world = hz.World(capacity=10)
        world.spawn(hz.Kind("Thing", module.P), 1)
        world.add_system(system)
        world.tick()
        found.append(float(world[module.P].x[0]))
    return found


def digest(system: hz.System) -> str:
    """What its machine code is kept by: the words that it is rewritten into, and what they take."""
    body = Body(system)
    return textual(body.statements) + Capture(system.function, body.free, body.outer, False, body.fail_name).digest


def test_what_is_edited_around_a_body_is_seen(directory):
    digests = []
    for value in (1, 2):
        module = imported(directory, value)
        digests.append({read: digest(getattr(module, f"body_{i}")) for i, read in enumerate(READS)})
        world = hz.World(capacity=10)
        thing = world.spawn(hz.Kind("Thing", module.Many), 1)[0]
        world.add_system(module.body_of_all)
        world.tick()
        many = world.get(thing, module.Many)
        assert {read: getattr(many, f"x{i}") for i, read in enumerate(READS)} == dict.fromkeys(READS, value)
    assert [read for read in READS if digests[0][read] == digests[1][read]] == []
    module = imported(directory, 2)  # and no address in memory is a part of it
    assert digests[1] == {read: digest(getattr(module, f"body_{i}")) for i, read in enumerate(READS)}


def test_closures_are_seen(directory):
    module = imported(directory, 3)
    functions = [module.reads_all, module.read_through, module.cfg.closed, module.compiled_all]
    assert outcome(module, *map(module.make, functions)) == [3, 3, 3, 3]


def test_what_a_module_lacks_is_told(directory):
    module = imported(directory, 1)
    (directory / "outer_uses.py").write_text(USES + "\n@hz.system\ndef odd(p: Write[P]):\n    p.x = cfg.GG\n")
    sys.modules.pop("outer_uses")
    odd = importlib.import_module("outer_uses").odd
    with pytest.raises(
        hz.DefinitionError, match=r"outer_uses.py:\d+: system 'odd': there is no outer_settings.GG; did"
    ):
        outcome(module, odd)


# -- helpers -----------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Flag(enum.IntFlag):
    A = 1
    B = 4
    C = 8


@hz.component
class State:
    colour: Colour
    other: Colour
    flags: Flag


@hz.component
class Out:
    a: f8
    b: f8
    c: f8
    d: f8
    e: f8
    f: f8


class Pair(typing.NamedTuple):
    x: float
    y: float


class Refused(Exception):
    """What a helper raises."""


def is_red(colour):
    return colour is Colour.RED


def other_than(colour, other=Colour.BLUE):
    return colour is not other and colour != Colour.RED


def blue():
    return Colour.BLUE


def limited(x, low, high):
    if low > high:
        raise Refused("crossed")
    return np.clip(x, low, high)


def has_b(flags):
    return Flag.B in flags


ALLOWED = (Colour.RED, Colour.RED)
RED = Colour.RED


@hz.system
def by_members(s: Read[State], o: Write[Out], others: hz.Lookup[State], entity: hz.Entity):
    o.a = (s.colour is Colour.RED) + 10 * (s.colour is not Colour.RED) + 100 * (s.colour is s.other)
    o.b = is_red(s.colour) + 10 * other_than(s.colour) + 100 * (s.colour == blue())
    o.c = (others[entity].colour is Colour.BLUE) + 10 * (RED is s.colour) + 100 * (s.colour == RED)
    o.d = (Flag.B in s.flags) + 10 * (Flag.A | Flag.B in s.flags) + 100 * (Flag.A not in s.flags)
    o.e = has_b(s.flags) + 10 * s.colour.value + 100 * (s.colour in ALLOWED)
    o.f = 100 * (Colour(1) == s.colour) + limited(o.a, 2, 50.0) + np.clip(o.b, None, 5) + np.clip(o.c, a_min=3, a_max=4)


def test_members_are_compared_in_bodies_and_helpers():
    world = hz.World(capacity=100)
    kind = hz.Kind("Thing", State, Out)
    colours, flags = [1, 1, 2, 2], [Flag.A | Flag.B, Flag.B, Flag.A, 0]
    things = world.spawn(kind, 4, State={"colour": colours, "other": [1, 2, 1, 2], "flags": flags})
    expected = []
    for thing in things:
        out = Out()
        by_members(world.get(thing, State), out, {int(thing): world.get(thing, State)}, int(thing))
        expected.append(out)
    world.add_system(by_members)
    world.tick()
    assert [world.get(thing, Out) for thing in things] == expected


def test_helpers_may_be_nested_and_wrapped():
    def outer(x):
        def inner(y):
            return y * 2.0

        return inner(x) + sum([inner(1.0), 0.0]) + Pair(0.0, 0.0).y

    @hz.system
    def calls(o: Write[Out]):
        o.a = outer(3.0)

    world = hz.World(capacity=10)
    world.spawn(hz.Kind("Thing", Out), 1)
    world.add_system(calls)
    world.tick()
    assert world[Out].a[0] == 8.0


def misspelt(colour):
    return colour is Colour.GREEN


def test_what_a_helper_cannot_read_names_its_line():
    @hz.system
    def calls(s: Read[State], o: Write[Out]):
        o.a = misspelt(s.colour)

    line = misspelt.__code__.co_firstlineno + 1
    with pytest.raises(hz.DefinitionError, match="'GREEN'; it has") as info:
        hz.World(capacity=10).add_system(calls)
    assert f"system 'calls': in {__file__}:{line}: the enum Colour has no 'GREEN'" in str(info.value)


def test_a_helper_that_was_made_at_run_time_is_taken_as_it_stands():
    namespace: dict = {"TWO": 2.0}
    exec("def made(x):\n    return x * TWO", namespace)
    made = namespace["made"]

    @hz.system
    def calls(o: Write[Out]):
        o.a = made(3.0)

    world = hz.World(capacity=10)
    world.spawn(hz.Kind("Thing", Out), 1)
    world.add_system(calls)
    world.tick()
    assert world[Out].a[0] == 6.0
