"""Syntax of a system's body: its tree, where it stands in the user's file, and what its outer names mean."""

from __future__ import annotations

import ast
import enum
import inspect
import textwrap
import types
from collections.abc import Callable
from typing import Any, NoReturn

from horizon_ecs.advice import REFUSED
from horizon_ecs.assigned import check_assigned
from horizon_ecs.declare import System
from horizon_ecs.errors import DefinitionError
from horizon_ecs.outer import MISSING, lookup
from horizon_ecs.parameters import Parameter

SEPARATOR = "__"


class Syntax(ast.NodeTransformer):
    """A system's body as a tree, and what can be said about it without rewriting."""

    def __init__(self, system: System[..., Any]) -> None:
        self.system = system
        self.parameters: dict[str, Parameter] = {p.name: p for p in system.parameters}
        self.file = system.function.__code__.co_filename
        self.function, self._first_line = _parse(system)
        names = {n.id for n in ast.walk(self.function) if isinstance(n, ast.Name)}
        names |= {n.attr for n in ast.walk(self.function) if isinstance(n, ast.Attribute)}
        check_assigned(self.plain_statements, self._fail_unassigned)
        self.separator = SEPARATOR
        while any(self.separator in n for n in names):
            self.separator += "_"

    @property
    def plain_statements(self) -> list[ast.stmt]:
        """The body as it was written, without the docstring."""
        has_docstring = ast.get_docstring(self.function) is not None
        return self.function.body[1:] if has_docstring else self.function.body

    def ours(self, *names: str) -> str:
        """A name of ours, spelt so that no name of the user's can be it."""
        joined = self.separator.join(names).replace(".", self.separator)
        return joined if len(names) > 1 else joined + self.separator

    def line_of(self, node: Any) -> int:
        """The line of a node in the user's file."""
        return self._first_line + int(getattr(node, "lineno", 1)) - 1

    def fail(self, node: Any, text: str) -> NoReturn:
        """Refuse a node."""
        raise self.refusal(node, text) from None

    def fail_name(self, name: str, text: str) -> NoReturn:
        """Refuse a name where it is first used."""
        uses = (n for n in ast.walk(self.function) if isinstance(n, ast.Name) and n.id == name)
        self.fail(next(uses, self.function), text)

    def refusal(self, node: Any, text: str) -> DefinitionError:
        """What `fail` raises."""
        return DefinitionError(f"{self.file}:{self.line_of(node)}: system {self.system.name!r}: {text}")

    def _fail_unassigned(self, node: ast.Name) -> None:
        if node.id not in self.parameters:
            self.fail(node, f"{node.id!r} may have no value here: not every path assigns it; give it one before")

    def visit(self, node: ast.AST) -> Any:
        """Transform one node, if a jitted system can have it."""
        if type(node) in REFUSED:
            what, instead = REFUSED[type(node)]
            self.fail(node, f"{what} can't be used in a jitted system; {instead}")
        return super().visit(node)

    def parameter(self, node: ast.AST) -> Parameter | None:
        """The parameter that a name is."""
        return self.parameters.get(node.id) if isinstance(node, ast.Name) else None

    def static(self, node: ast.AST) -> Any:
        """What an outer name, or an attribute of a module or class, stands for; MISSING where that isn't known."""
        if isinstance(node, ast.Name):
            is_local = node.id in self.system.function.__code__.co_varnames
            return MISSING if is_local else lookup(self.system.function, node.id)
        if isinstance(node, ast.Attribute):
            owner = self.static(node.value)
            if isinstance(owner, types.ModuleType | type | enum.Enum):
                return getattr(owner, node.attr, MISSING)
        return MISSING

    def constant(self, node: ast.Attribute) -> ast.expr | None:
        """`Mode.RUN` and `Mode.RUN.value` as the number that they stand for."""
        value = self.static(node)
        is_value = node.attr == "value" and isinstance(self.static(node.value), enum.Enum)
        number = value.value if isinstance(value, enum.Enum) else value if is_value else None
        if not isinstance(number, int):
            return None
        return ast.copy_location(ast.Constant(int(number)), node)

    def flags(self, node: ast.AST) -> enum.Flag | None:
        """Flags of an enumeration that are named in the source, alone or joined by |."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            left, right = self.flags(node.left), self.flags(node.right)
            return left | right if left is not None and type(left) is type(right) else None
        value = self.static(node)
        return value if isinstance(value, enum.Flag) else None


def _parse(system: System[..., Any]) -> tuple[ast.FunctionDef, int]:
    """The function's tree, and the line at which its source begins."""
    function: Callable[..., Any] = system.function
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise DefinitionError(f"{system.where}: its source can't be read; define it in a file") from None
    tree = ast.parse(textwrap.dedent("".join(lines)))
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        raise DefinitionError(f"{system.where}: a jitted system is a plain `def`")
    return node, max(1, first)
