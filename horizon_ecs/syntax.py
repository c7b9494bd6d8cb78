"""Syntax of a system's body: its tree, where it stands in the user's file, and what its outer names mean."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

from horizon_ecs.advice import REFUSED
from horizon_ecs.assigned import check_assigned
from horizon_ecs.declare import System
from horizon_ecs.errors import DefinitionError
from horizon_ecs.parameters import Parameter
from horizon_ecs.resolve import Resolver


class Syntax(Resolver):
    """A system's body as a tree, and what can be said about it without rewriting."""

    def __init__(self, system: System[..., Any]) -> None:
        self.system = system
        self.parameters: dict[str, Parameter] = {p.name: p for p in system.parameters}
        self.file = system.function.__code__.co_filename
        self.function, self._first_line = _parse(system)
        super().__init__(system.function, self.function)
        for node in ast.walk(self.function):  # before their names are missed
            if isinstance(node, ast.Global | ast.Nonlocal):
                self._check_known(node)
        check_assigned(self.plain_statements, self._fail_unassigned)

    @property
    def plain_statements(self) -> list[ast.stmt]:
        """The body as it was written, without the docstring."""
        has_docstring = ast.get_docstring(self.function) is not None
        return self.function.body[1:] if has_docstring else self.function.body

    def line_of(self, node: Any) -> int:
        """The line of a node in the user's file."""
        return self._first_line + int(getattr(node, "lineno", 1)) - 1

    def fail(self, node: Any, text: str) -> NoReturn:
        """Refuse a node."""
        raise self.refusal(node, text) from None

    def fail_name(self, name: str, text: str) -> NoReturn:
        """Refuse a name where it is first used."""
        uses = (n for n in ast.walk(self.function) if isinstance(n, ast.Name) and n.id == name)
        self.fail(self.outer[name].node if name in self.outer else next(uses, self.function), text)

    def refusal(self, node: Any, text: str) -> DefinitionError:
        """What `fail` raises."""
        return DefinitionError(f"{self.file}:{self.line_of(node)}: system {self.system.name!r}: {text}")

    def _fail_unassigned(self, node: ast.Name) -> None:
        if node.id not in self.parameters:
            self.fail(node, f"{node.id!r} may have no value here: not every path assigns it; give it one before")

    def visit(self, node: ast.AST) -> Any:
        """Transform one node, if a jitted system can have it."""
        self._check_known(node)
        return super().visit(node)

    def _check_known(self, node: ast.AST) -> None:
        if type(node) in REFUSED:
            what, instead = REFUSED[type(node)]
            self.fail(node, f"{what} can't be used in a jitted system; {instead}")

    def parameter(self, node: ast.AST) -> Parameter | None:
        """The parameter that a name is."""
        return self.parameters.get(node.id) if isinstance(node, ast.Name) else None


def _parse(system: System[..., Any]) -> tuple[ast.FunctionDef, int]:
    """The function's tree, and the line at which its source begins."""
    function: Callable[..., Any] = system.function
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise DefinitionError(
            f"{system.where}: its source can't be read; define it in a file or a notebook, or use form='columns'"
        ) from None
    tree = ast.parse(textwrap.dedent("".join(lines)))
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        raise DefinitionError(f"{system.where}: a jitted system is a plain `def`")
    return node, max(1, first)
