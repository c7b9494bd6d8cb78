# ruff: noqa: B007, C408, E731, F401, F821, F841, RUF059, SIM115, UP031, UP032
"""Advice: each thing that a jitted body can't have is named with the user's line, and with what to write instead."""

from __future__ import annotations

import enum
import math
import random
import traceback
from pathlib import Path

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Write, f2, f4, f8, i4, kernel
from horizon_ecs.advice import words


@hz.component
class P:
    x: f8
    y: f4
    n: i4


@hz.component
class Half:
    h: f2


TABLE = {"a": 1}


def helper(a, b):
    return a + b


def mixed(x):
    if x > 1:
        return 1
    return None


def wrong_inside(x):
    return x.foo


def recursive(n):
    return 1 if n < 1 else recursive(n - 1)


# Each body has one line that can't be, marked where it isn't the first.


def f_string(p: Write[P]):
    print(f"{p.x}")


def dict_display(p: Write[P]):
    d = {1: 2}


def dict_call(p: Write[P]):
    d = dict()


def set_display(p: Write[P]):
    d = {p.n}


def dict_around(p: Write[P]):
    p.x = TABLE["a"]


def lambda_(p: Write[P]):
    f = lambda x: x


def imports(p: Write[P]):
    import math


def unknown_name(p: Write[P]):
    p.x = somewhere


def recursion(p: Write[P]):
    p.x = recursive(p.n)


def on_some_paths(p: Write[P]):
    if p.x > 1:
        z = 2.0
    p.x = z  # this line


def half_floats(h: Write[Half]):
    h.h += 1.0


def numpy_random(p: Write[P]):
    p.x = np.random.rand()


def module_random(p: Write[P]):
    p.x = random.random()


def any_(p: Write[P]):
    p.n = any([p.x > 1, p.y > 1])


def opens(p: Write[P]):
    f = open("x")


def missing_in_numpy(p: Write[P]):
    p.x = np.squareroot(p.y)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


ARRAY = np.array([1.0, 2.0])


def globally(p: Write[P]):
    global ARRAY  # this line
    ARRAY = 1


def text_field(p: Write[P]):
    p.x = "a"


def none_field(p: Write[P]):
    p.n = None


def none_local(p: Write[P]):
    y = None
    if p.x > 1:
        y = p.x
    p.y = y


def none_arm(p: Write[P]):
    p.x = 1.0 if p.y > 2 else None


def none_number(p: Write[P]):
    p.x = 1.0 if p.n is None else 2.0


def none_reference(p: Write[P], e: hz.Entity):
    if e != None:  # noqa: E711
        p.x = 1.0


def no_member(p: Write[P]):
    p.x = p.n == Colour.GREEN


def enum_alone(p: Write[P]):
    for colour in Colour:
        p.x = 1.0


def array_element(p: Write[P]):
    ARRAY[0] += 1


def module_attribute(p: Write[P]):
    math.pi = 3


def class_attribute(p: Write[P]):
    Colour.count = 3


def read_before_walrus(p: Write[P]):
    k = 1.0
    p.x = k + (k := p.y)  # this line


def comprehension_with_walrus(p: Write[P]):
    p.n = len([(k := i) for i in range(3)])


SYNTAX = [
    (globally, "global can't be used in a jitted system; keep what changes in a resource"),
    (text_field, "p.x is a float, not a text"),
    (none_field, "p.n is a whole number, not None"),
    (none_local, "'y' is None here, which is no number; give it one"),
    (none_arm, "None is no number; give another one, such as 0"),
    (none_number, "p.n is never None in compiled code; compare with 0"),
    (none_reference, "e is never None in compiled code; compare with 0"),
    (no_member, "the enum Colour has no 'GREEN'; it has ['RED', 'BLUE']; did you mean 'RED'?"),
    (enum_alone, "the enum Colour can only be used by its members, such as Colour.RED"),
    (array_element, "ARRAY is constant: arrays from around are; keep what changes in a field or a resource"),
    (module_attribute, "math.pi can't be written: keep what changes in a field or a resource"),
    (class_attribute, "Colour.count can't be written: keep what changes in a field or a resource"),
    (read_before_walrus, "'k' is read before := gives it a value; assign it before the statement"),
    (comprehension_with_walrus, "a comprehension can't draw, nor have := in it; write a loop"),
    (f_string, "an f-string can't be used in a jitted system; print(a, b) prints"),
    (dict_display, "a dict can't be used in a jitted system; keep it in fields"),
    (dict_call, "a dict can't be used in a jitted system; keep it in fields"),
    (set_display, "a set can't be used in a jitted system; keep it in fields"),
    (dict_around, "the name 'TABLE' is a dict; a jitted system can use numbers"),
    (lambda_, "a lambda can't be used in a jitted system; write a function"),
    (imports, "import can't be used in a jitted system; import around"),
    (unknown_name, "the name 'somewhere' is not defined"),
    (recursion, "the function 'recursive' calls itself"),
    (on_some_paths, "'z' may have no value here: not every path assigns it; give it one before"),
    (half_floats, "Half.h is float16, which compiled code can't compute with; make it f4"),
    (numpy_random, "can't be drawn again; take a parameter rng: hz.Random"),
    (module_random, "can't be drawn again; take a parameter rng: hz.Random"),
    (any_, "any() can't be compiled; write a or b"),
    (opens, "files can't be used in a jitted system"),
    (missing_in_numpy, "there is no numpy.squareroot; did you mean"),
]


def text_method(p: Write[P]):
    s = "{}".format(p.n)


def text_operator(p: Write[P]):
    s = "%d" % p.n


def unsupported_in_numpy(p: Write[P]):
    p.x = np.einsum("i->", p.y)


def unsupported_use(p: Write[P]):
    p.x = np.nanmedian(p.x)


def missing_in_math(p: Write[P]):
    p.x = math.dist((p.x,), (p.y,))


def two_types(p: Write[P]):
    a = 0
    if p.x > 1:
        a = "x"  # 'a' is a whole number on one path and a text on another; use two names
    p.n = a == "x"  # this line


def too_few_arguments(p: Write[P]):
    p.x = helper(p.y)


def too_many_arguments(p: Write[P]):
    p.x = helper(p.y, 1, 2)


def keyword_argument(p: Write[P]):
    p.x = max(p.x, key=3)


def keyword_argument_of_round(p: Write[P]):
    p.x = round(p.x, ndigits=2)


def method_of_a_number(p: Write[P]):
    p.n = p.n.bit_length()


def none_on_a_path(p: Write[P]):
    p.x = mixed(p.y)


def in_a_helper(p: Write[P]):
    p.x = wrong_inside(p.y)


def empty_list(p: Write[P]):
    found = []
    p.n = len(found)


def tuple_by_variable(p: Write[P]):
    t = (p.x, p.n)
    p.x = t[p.n]  # this line


def index_of_a_number(p: Write[P]):
    p.x = p.y[0]


def call_of_a_number(p: Write[P]):
    p.x = p.y(1)


def loop_over_a_number(p: Write[P]):
    for a in p.x:
        p.x = a


def unpacks_a_number(p: Write[P]):
    a, b = p.x


def spreads_a_list(p: Write[P]):
    p.x = max(*[p.x, p.x])


def untyped(p: Write[P]):
    p.n = id(p.x)


def text_of(x):
    return f"{x}"


def text_from_a_helper(p: Write[P]):
    p.x = text_of(p.y)


def too_large(p: Write[P]):
    p.x = 10**20


def complex_root(p: Write[P]):
    p.x = (-8.0) ** (1 / 3)


COMPILED = [
    (text_from_a_helper, "a text is assigned to a field that holds a float"),
    (too_large, "100000000000000000000 doesn't fit into a whole number of 64 bits"),
    (complex_root, "a complex number stands where a real one is needed"),
    (text_method, "a text has no 'format' in compiled code"),
    (text_operator, "'%' isn't known for a text and a whole number"),
    (unsupported_in_numpy, "numpy.einsum can't be compiled like this; compute it by hand"),
    (unsupported_use, "nanmedian() isn't known for (a float); compute it by hand"),
    (missing_in_math, "math.dist can't be compiled; compute it by hand"),
    (two_types, "'a' is a whole number on one path and a text on another; use two names"),
    (too_few_arguments, "helper(a, b) is called wrongly: missing a required argument: 'b'"),
    (too_many_arguments, "helper(a, b) is called wrongly: too many positional arguments"),
    (keyword_argument, "max() is given keyword arguments that compiled code doesn't take"),
    (keyword_argument_of_round, "a function is given keyword arguments; give them by position"),
    (method_of_a_number, "a whole number has no 'bit_length' in compiled code; use operators"),
    (none_on_a_path, "a function returns a number on one path and None on another"),
    (in_a_helper, "a float has no 'foo' in compiled code"),
    (empty_list, "the list 'found' is empty, which doesn't tell of what; begin it with a value"),
    (tuple_by_variable, "a tuple of numbers of different types is indexed by a variable"),
    (index_of_a_number, "a float can't be indexed"),
    (call_of_a_number, "a float can't be called"),
    (loop_over_a_number, "for can't go through a float; it goes over range()"),
    (unpacks_a_number, "a float can't be unpacked"),
    (spreads_a_list, "a list can't be spread over arguments by *"),
    (untyped, "id() can't be compiled; compute it by hand"),
]


def check(body, expected: str, kind: type[Exception]) -> None:
    lines = Path(__file__).read_text().splitlines()
    first = body.__code__.co_firstlineno
    marked = [n for n in range(first + 1, first + 6) if lines[n - 1].endswith("# this line")]
    with pytest.raises(kind) as info:
        hz.World().add_system(hz.system(body))
    message = str(info.value)
    assert expected in message
    assert message.partition(": system ")[0] == f"{__file__}:{marked[0] if marked else first + 1}"
    assert "__" not in message.replace(__file__, "")
    assert info.value.__cause__ is None
    assert info.value.__suppress_context__
    assert len(traceback.extract_tb(info.value.__traceback__)) == 2  # this line, and add_system


@pytest.mark.parametrize(("body", "expected"), SYNTAX)
def test_what_the_syntax_tells(body, expected):
    check(body, expected, hz.DefinitionError)


@pytest.mark.skipif(not kernel.jit_enabled(), reason="nothing is compiled")
@pytest.mark.parametrize(("body", "expected"), COMPILED)
def test_what_the_compiler_tells(body, expected):
    check(body, expected, hz.CompileError)


@pytest.mark.skipif(not kernel.jit_enabled(), reason="nothing is compiled")
def test_a_helper_is_named_with_its_line():
    with pytest.raises(hz.CompileError) as info:
        hz.World().add_system(hz.system(in_a_helper))
    assert f"in {__file__}:{wrong_inside.__code__.co_firstlineno + 1}: a float has no 'foo'" in str(info.value)


def test_numbas_types_in_plain_words():
    assert words("float32, Literal[int](0), Literal[str](a, b), bool, UniTuple(float64 x 2), array(f, 1d, C)") == [
        "a float", "a whole number", "a text", "a bool", "a tuple", "an array",
    ]  # fmt: skip
    assert words("OptionalType(int64), none, Unheard") == ["a number or None", "None", "Unheard"]


def test_locals_that_every_path_assigns_are_fine():
    def body(p: Write[P], h: Read[P] | None = None): ...

    def fine(p: Write[P]):
        if p.x > 1:
            a = 1.0
        elif p.x > 0:
            a = 2.0
        else:
            return
        for i in range(3):
            b = i * a
            if b > 5:
                break
        while True:
            c = 1.0
            if a > 0 or b > 0:
                break
        for _ in range(p.n):
            if (d := a) > 3:
                continue
            c += d
        e = [x * 2.0 for x in range(3) if x > a]
        f: float = 0.0
        g, k = (1.0, 2.0) if a > 1 else (2.0, 1.0)
        p.x = a + b + c + i + f + g + k + len(e)

    world = hz.World()
    world.spawn(hz.Kind("K", P), 3, P={"x": [0.5, 2.0, -1.0], "n": 2})
    world.add_system(hz.system(fine))
    plain = [P(x, 0, 2) for x in (0.5, 2.0, -1.0)]
    for p in plain:
        fine(p)
    world.tick()
    assert world[P].x[:3].tolist() == [p.x for p in plain]


def loop_that_may_not_run(p: Write[P]):
    for i in range(p.n):
        last = i
    p.x = last


def target_after_a_loop(p: Write[P]):
    for i in range(p.n):
        pass
    p.x = i


def after_and(p: Write[P]):
    if p.x > 1 and (y := p.x) > 2:
        pass
    p.x = y


def before_a_break(p: Write[P]):
    while True:
        if p.x > 1:
            break
        b = 1.0
    p.x = b


def adds_to_nothing(p: Write[P]):
    c += 1.0


@pytest.mark.parametrize(
    "body",
    [loop_that_may_not_run, target_after_a_loop, after_and, before_a_break, adds_to_nothing],
    ids=lambda b: b.__name__,
)
def test_locals_that_a_path_leaves_out_are_refused(body):
    with pytest.raises(hz.DefinitionError, match="may have no value here"):
        hz.World().add_system(hz.system(body))
