"""Outer names: what a body, or a function that it calls, names from around it, put so that compiled code knows it.

`cfg.G` becomes a name of its own, so that its value is taken once and is part of what machine code is kept by; members
of enums become their numbers.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from horizon_ecs.components import nearest
from horizon_ecs.outer import MISSING, lookup

SEPARATOR = "__"
_KNOWN_TO_NUMBA = ("numpy", "math", "cmath", "operator", "builtins", "numba")


@dataclasses.dataclass(frozen=True)
class Taken:
    """An attribute that is taken from around: as it is written, its value, and where."""

    text: str
    value: Any
    node: ast.AST | None


class Resolver(ast.NodeTransformer):
    """A function's tree, in which outer names are looked up.

    Attributes
    ----------
    outer : {name: Taken}
        The names that stand for attributes of modules and classes.
    separator : str
        In every name of ours, and in no name of the user's.
    """

    def __init__(self, function: Callable[..., Any], tree: ast.AST) -> None:
        self._of = function
        self._locals = {name for code in codes_of(function.__code__) for name in code.co_varnames + code.co_cellvars}
        self.outer: dict[str, Taken] = {}
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        self.separator = SEPARATOR
        while any(self.separator in n for n in names):
            self.separator += "_"

    def ours(self, *names: str) -> str:
        """A name of ours, spelt so that no name of the user's can be it."""
        joined = self.separator.join(names).replace(".", self.separator)
        return joined if len(names) > 1 else joined + self.separator

    def fail(self, node: Any, text: str) -> NoReturn:
        """Refuse a node."""
        raise NotImplementedError

    def static(self, node: ast.AST) -> Any:
        """What an outer name, or an attribute of a module or class, stands for; MISSING where that isn't known."""
        if isinstance(node, ast.Name):
            return MISSING if node.id in self._locals else lookup(self._of, node.id)
        if isinstance(node, ast.Attribute):
            owner = self.static(node.value)
            if isinstance(owner, types.ModuleType | type | enum.Enum):
                return getattr(owner, node.attr, MISSING)
        return MISSING

    def flags(self, node: ast.AST) -> enum.Flag | None:
        """Flags of an enumeration that are named in the source, alone or joined by |."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            left, right = self.flags(node.left), self.flags(node.right)
            return left | right if left is not None and type(left) is type(right) else None
        value = self.static(node)
        return value if isinstance(value, enum.Flag) else None

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A name by itself."""
        value = self.static(node)
        if isinstance(value, type) and issubclass(value, enum.Enum):
            members = list(value.__members__) or ["…"]
            self.fail(node, f"the enum {node.id} can only be used by its members, such as {node.id}.{members[0]}")
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`cfg.G`, `Mode.RUN`, `Mode.RUN.value`, or an attribute of what isn't known before."""
        owner = self.static(node.value)
        if not isinstance(owner, types.ModuleType | type | enum.Enum):
            return self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            self.fail(node, f"{ast.unparse(node)} can't be written: keep what changes in a field or a resource")
        value = self.static(node)
        if value is MISSING:
            self.fail(node, _unknown(owner, node.attr))
        if isinstance(owner, enum.Enum) and node.attr == "value":
            value = owner
        if isinstance(value, enum.Enum) and isinstance(value.value, int | float):
            return ast.copy_location(number(value.value), node)
        if is_known(self.static(_root(node))):
            return node
        local = self.ours(*ast.unparse(node).split("."))
        self.outer[local] = Taken(ast.unparse(node), value, node)
        return ast.copy_location(ast.Name(local, ast.Load()), node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """A comparison; members of enums are compared as numbers."""
        return self.generic_visit(self.by_number(node))

    def by_number(self, node: ast.Compare) -> ast.Compare:
        """`mode is Mode.RUN` as ==, and `Flag.A in flags` by its bits: numbers have no identity, and no members."""
        sides = [node.left, *node.comparators]
        same = {ast.Is: ast.Eq, ast.IsNot: ast.NotEq}
        node.ops = [
            same[type(how)]() if type(how) in same and (self.is_member(left) or self.is_member(right)) else how  # type: ignore[index]
            for how, left, right in zip(node.ops, sides, sides[1:], strict=False)
        ]
        flags = self.flags(node.left) if len(node.ops) == 1 else None
        if flags is None or not isinstance(node.ops[0], ast.In | ast.NotIn) or self._is_table(sides[1]):
            return node
        test = ast.Eq() if isinstance(node.ops[0], ast.In) else ast.NotEq()
        common = ast.BinOp(sides[1], ast.BitAnd(), number(flags.value))
        return ast.copy_location(ast.Compare(common, [test], [number(flags.value)]), node)

    def is_member(self, node: ast.expr) -> bool:
        """Whether a node stands for a member of an enum."""
        return isinstance(self.static(node), enum.Enum)

    def _is_table(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Tuple | ast.List | ast.Set) or isinstance(self.static(node), tuple | np.ndarray)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """`n ** -1` is a float, of whole numbers too."""
        power = node.right.operand if isinstance(node.right, ast.UnaryOp) else None
        if isinstance(node.op, ast.Pow) and isinstance(power, ast.Constant) and isinstance(power.value, int):
            power.value = float(power.value)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`np.clip(x, low, high)` as the two that it is made of, which take numbers and arrays alike; and `Mode(n)`,
        which is a number."""
        called = self.static(node.func)
        if called is float and len(node.args) == 1 and not node.keywords:  # Numba's takes no bool
            return ast.copy_location(self._numpy("float64", node, self.visit(node.args[0])), node)
        if isinstance(called, type) and issubclass(called, enum.Enum) and len(node.args) == 1:
            return self.visit(node.args[0])  # type: ignore[no-any-return]
        if called is not np.clip:
            return self.generic_visit(node)
        names = {"a_min": "min", "a_max": "max"}
        given = dict(zip(("a", "min", "max"), node.args, strict=False))
        given |= {names.get(str(k.arg), str(k.arg)): k.value for k in node.keywords}
        if set(given) - {"a", "min", "max"} or "a" not in given or len(node.args) > 3:
            self.fail(node, "np.clip() takes a value, the lowest and the highest in compiled code")
        made: ast.expr = self.visit(given["a"])
        for key, name in (("min", "maximum"), ("max", "minimum")):
            bound = given.get(key, ast.Constant(None))
            if not (isinstance(bound, ast.Constant) and bound.value is None):
                made = self._numpy(name, node, made, self.visit(bound))
        return ast.copy_location(made, node)

    def _numpy(self, name: str, node: ast.AST, *arguments: ast.expr) -> ast.Call:
        local = self.ours("np", name)
        self.outer[local] = Taken(f"np.{name}", getattr(np, name), node)
        return ast.Call(ast.Name(local, ast.Load()), list(arguments), [])


def number(value: Any) -> ast.expr:
    """A number in the source; a negative one so that `**` after it takes its sign too."""
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)


def codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code, and that of what is nested in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from codes_of(inner)


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def is_known(value: Any) -> bool:
    """Whether Numba itself knows a module, or what a module has: one of numbers, or Numba's own."""
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return str(name or type(value).__module__).partition(".")[0] in _KNOWN_TO_NUMBA


def _unknown(owner: Any, name: str) -> str:
    if isinstance(owner, type) and issubclass(owner, enum.Enum):
        members = list(owner.__members__)
        return f"the enum {owner.__name__} has no {name!r}; it has {members}{nearest(name, members)}"
    what = str(owner) if isinstance(owner, enum.Enum) else owner.__name__
    return f"there is no {what}.{name}{nearest(name, dir(owner))}"
