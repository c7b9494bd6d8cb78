"""Advice: what a jitted body can't have, by its syntax or in Numba's words, and what to write instead."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from horizon_ecs.errors import CompileError

if TYPE_CHECKING:
    from horizon_ecs.syntax import Syntax

_COLUMNS = "use form='columns' for plain NumPy"
_TEXT = "print(a, b) prints numbers and texts, and form='columns' is plain Python"
_TABLE = "keep it in fields, or in an array from around the function"

REFUSED: dict[type[ast.AST], tuple[str, str]] = {
    ast.Yield: ("yield", _COLUMNS), ast.YieldFrom: ("yield", _COLUMNS), ast.Await: ("await", _COLUMNS),
    ast.AsyncFor: ("async for", _COLUMNS), ast.AsyncWith: ("with", _COLUMNS), ast.With: ("with", _COLUMNS),
    ast.Lambda: ("a lambda", "write a function beside the system"),
    ast.FunctionDef: ("a nested function", "write it beside the system"),
    ast.AsyncFunctionDef: ("a nested function", "write it beside the system"),
    ast.ClassDef: ("a class", _COLUMNS), ast.Try: ("try", _COLUMNS), ast.TryStar: ("try", _COLUMNS),
    ast.Global: ("global", "keep what changes in a resource"),
    ast.Nonlocal: ("nonlocal", "keep what changes in a resource"),
    ast.Import: ("import", "import around the function"), ast.ImportFrom: ("import", "import around the function"),
    ast.Delete: ("del", "assign another value"), ast.GeneratorExp: ("a generator", "write a loop"),
    ast.Match: ("match", "write if and elif"), ast.JoinedStr: ("an f-string", _TEXT), ast.Dict: ("a dict", _TABLE),
    ast.DictComp: ("a dict", _TABLE), ast.Set: ("a set", _TABLE), ast.SetComp: ("a set", _TABLE),
}  # fmt: skip
"""What the syntax tells: what it is, and what to do instead."""

_REFUSED_CALLS: dict[Any, tuple[str, str]] = {
    dict: ("a dict can't be used in a jitted system", _TABLE), set: ("a set can't be used in a jitted system", _TABLE),
    frozenset: ("a set can't be used in a jitted system", _TABLE),
    open: ("files can't be used in a jitted system", _COLUMNS), any: ("any() can't be compiled", "write a or b"),
    all: ("all() can't be compiled", "write a and b"),
}  # fmt: skip

_OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "and_": "&",
    "or_": "|", "xor": "^", "lshift": "<<", "rshift": ">>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
    "ne": "!=", "contains": "in", "iadd": "+=", "isub": "-=", "imul": "*=",
}  # fmt: skip

_ELSEWHERE = "compute it by hand, or use form='columns'"


def _unknown_function(found: re.Match[str]) -> str:
    function, types = found[1], found[2]
    if function == "getitem":
        if types.startswith(("Tuple", "UniTuple")):
            return "a tuple of numbers of different types is indexed by a variable; make them one type: (float(a), b)"
        return f"{words(types)[0]} can't be indexed"
    if "=" in types:
        return f"{function}() is given keyword arguments that compiled code doesn't take; {_ELSEWHERE}"
    if function in _OPERATORS:
        return f"'{_OPERATORS[function]}' isn't known for {' and '.join(words(types))}"
    return f"{function}() isn't known for ({', '.join(words(types))}); {_ELSEWHERE}"


def _wrong_call(found: re.Match[str]) -> str:
    called = re.search(r"CPUDispatcher\(<function (\w+)", found.string[found.end() :])
    name = called[1] if called else "a function"
    return f"{name}{found[1]} is called wrongly: {found[2]}"


Advice = str | Callable[[re.Match[str]], str]

ADVICE: tuple[tuple[str, Advice], ...] = (
    (r"Unknown attribute '(\w+)' of type Module\(<module '([\w.]+)'", rf"\2.\1 can't be compiled; {_ELSEWHERE}"),
    (r"Use of unsupported NumPy function '([\w.]+)'", rf"\1 can't be compiled like this; {_ELSEWHERE}"),
    (
        r"Unknown attribute '(\w+)' of type ([^\n]+)",
        lambda m: f"{words(m[2])[0]} has no {m[1]!r} in compiled code; use operators, or a function of math or np",
    ),
    (
        r"Cannot unify (.+?) and (.+?) for '([^']+?)(?:\.\d+)*'",
        lambda m: f"{m[3]!r} is {words(m[1])[0]} on one path and {words(m[2])[0]} on another; use two names",
    ),
    (r"Cannot bind 'args=.*?' to signature '(\(.*?\))' due to \"TypeError: (.*?)\.?\"", _wrong_call),
    (
        r"Casting OptionalType\((\w+)\)",
        "a function returns a number on one path and None on another; return one on all",
    ),
    (r"No implementation of function Function\(<.*?>\) found for signature:\s+>>> (\w+)\((.*?)\)\n", _unknown_function),
    (r"Untyped global name '(\w+)'", rf"\1() can't be compiled; {_ELSEWHERE}"),
    (
        r"Cannot infer the type of variable '([^']+?)(?:\.\d+)*', have imprecise type: list",
        r"the list '\1' is empty, which doesn't tell of what; begin it with a value, or use an array",
    ),
    (
        r"Keyword arguments are not supported",
        f"a function is given keyword arguments; give them by position, or {_COLUMNS}",
    ),
    (
        r"Invalid use of getiter with parameters \((.+?)\)\n",
        lambda m: f"for can't go through {words(m[1])[0]}; it goes over range(), arrays and tuples",
    ),
    (r"failed to unpack (\S+)", lambda m: f"{words(m[1])[0]} can't be unpacked"),
    (r"No type info available for (\S+) as a callable", lambda m: f"{words(m[1])[0]} can't be called"),
    (r"\*args in function call should be a tuple", "a list can't be spread over arguments by *; write them out"),
    (
        r"No implementation of function Function\((float|u?int)\d+\) found for signature:\s+>>> <\w+ function>\((.*)\)",
        lambda m: f"{words(m[2])[0]} is assigned to a field that holds {words(m[1])[0]}",
    ),
    (r"Int value is too large: (\d+)", r"\1 doesn't fit into a whole number of 64 bits"),
    (
        r"Cannot cast complex\d+ to",
        "a complex number stands where a real one is needed, as the root of a negative one",
    ),
    (
        r"No conversion from (.+?) to (.+?) for",
        lambda m: f"{words(m[1])[0]} stands where {words(m[2])[0]} is needed",
    ),
)
"""What Numba's words tell: a pattern of them, and what to say instead; the first that is found counts."""


def words(types: str) -> list[str]:
    """Numba's names of types, separated by commas, in plain words."""
    plain = (
        (r"float|Float", "a float"), (r"Literal\[str\]|unicode|str", "a text"), (r"Literal\[bool\]|bool", "a bool"),
        (r"u?int|Literal\[int\]", "a whole number"), (r"OptionalType", "a number or None"), (r"none", "None"),
        (r"complex", "a complex number"), (r"(readonly )?array|Array", "an array"), (r"(Uni)?Tuple", "a tuple"),
        (r"list|reflected list", "a list"), (r"type\(CPU", "a function"),
    )  # fmt: skip
    flat = types
    while re.search(r"\([^()]*\)", flat):
        flat = re.sub(r"\([^()]*\)", "", flat)
    found = []
    for one in flat.split(","):
        name = one.strip()
        found.append(next((word for pattern, word in plain if re.match(pattern, name)), name))
    return found


def compile_error(body: Syntax, lines: Mapping[int, int], error: BaseException) -> CompileError:
    """What to raise for an error of Numba's; `lines` maps those of the generated file to the user's."""
    message = re.sub(r"\x1b\[\d*m", "", str(error))
    mentioned = (int(n) for n in re.findall(r'system_\w+\.py"?[,(:]? ?(?:line )?\(?(\d+)', message))
    at = [lines[n] for n in mentioned if n in lines]
    if not at and "Keyword arguments" in message:  # which Numba doesn't place
        calls = (n for n in ast.walk(body.function) if isinstance(n, ast.Call) and n.keywords)
        at = [body.line_of(n) for n in calls][:1]
    where = f"{body.file}:{at[-1] if at else body.line_of(None)}: system {body.system.name!r}"
    said = _advised(message).replace(body.separator, ".")
    return CompileError(f"{where} can't be compiled: {_in_helper(message)}{said}")


def _in_helper(message: str) -> str:
    """Where it is, if that is a function that the body calls."""
    first = re.search(r'File "([^"]+)", line (\d+):', message)
    if first is None or re.search(r"system_\w+\.py$", first[1]) or "numba" in first[1]:
        return ""
    return f"in {os.path.abspath(first[1])}:{first[2]}: "


def _advised(message: str) -> str:
    for pattern, advice in ADVICE:
        found = re.search(pattern, message, re.DOTALL)
        if found:
            return advice(found) if callable(advice) else found.expand(advice)
    skipped = ("Failed in", "During:", "File ", "<source", "def ", "^")
    useful = [line.strip() for line in message.splitlines() if line.strip() and not line.strip().startswith(skipped)]
    return " ".join(useful[:4]) or "no reason is given"


def refused_call(function: Any) -> str | None:
    """What to say about a call that can't be compiled, or whose numbers nobody could draw again; None for others."""
    sources = (getattr(function, "__module__", ""), type(getattr(function, "__self__", None)).__module__)
    if any(str(source).startswith(("numpy.random", "random")) for source in sources):
        return "what np.random and random draw can't be drawn again; take a parameter rng: hz.Random"
    try:
        what, instead = _REFUSED_CALLS[function]
    except (KeyError, TypeError):
        return None
    return f"{what}; {instead}"


def may_lack_runtime(error: BaseException) -> bool:
    """Whether a body that can't be compiled might be with Numba's runtime, which takes memory; its words don't tell."""
    return bool(re.search("No implementation of function|NRT", str(error)))
