"""Helpers: the plain functions that a body calls, made again from their source in words that compiled code knows."""

from __future__ import annotations

import ast
import dis
import enum
import inspect
import textwrap
import types
from typing import Any, NoReturn

from horizon_ecs.errors import DefinitionError
from horizon_ecs.outer import lookup
from horizon_ecs.resolve import Resolver, Taken, codes_of


class Helper(Resolver):
    """One function, rewritten.

    Attributes
    ----------
    made : function
        With globals of its own, which its user fills in with what `reads()` tells, and without `defaults`.
    defaults : tuple
        Those of its last arguments; Numba knows none that are given by keyword only, so these come after the others.
    """

    def __init__(self, function: types.FunctionType) -> None:
        tree = _parse(function)
        super().__init__(function, tree or ast.Pass())
        self._function = function
        code, given = function.__code__, function.__kwdefaults__ or {}
        by_keyword = [given[a.arg] for a in tree.args.args if a.arg in given] if tree else []
        self.defaults = (*(function.__defaults__ or ()), *by_keyword)
        taking = [a.arg for a in (*tree.args.posonlyargs, *tree.args.args)] if tree else []
        self._given = dict(zip(taking[::-1], self.defaults[::-1], strict=False))
        if tree is None:  # it was made at run time: as it stands
            self.made = types.FunctionType(code, {}, function.__name__, None, function.__closure__)
            return
        body: ast.FunctionDef = self.visit(tree)
        namespace: dict[str, Any] = {}
        exec(compile(ast.fix_missing_locations(ast.Module([body], [])), code.co_filename, "exec"), namespace)
        self.made = namespace.pop(body.name)

    def is_member(self, node: ast.expr) -> bool:
        """An argument may have one as its default."""
        default = self._given.get(node.id) if isinstance(node, ast.Name) else None
        return isinstance(default, enum.Enum) or super().is_member(node)

    def fail(self, node: Any, text: str) -> NoReturn:
        """Refuse a node, or the whole function."""
        line = getattr(node, "lineno", self._function.__code__.co_firstlineno)
        raise DefinitionError(f"in {self._function.__code__.co_filename}:{line}: {text}") from None

    def reads(self) -> dict[str, Taken]:
        """What it takes from around it, by the name that it has in it."""
        found = {}
        for code in codes_of(self.made.__code__):
            names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
            names.update(code.co_freevars if code is self.made.__code__ else ())
            for name in names:
                found[name] = self.outer.get(name) or Taken(name, lookup(self._function, name), None)
        return found


def _parse(function: types.FunctionType) -> ast.FunctionDef | None:
    """The function's tree without what is evaluated when it is defined, numbered as its file is."""
    try:
        # Of the code: what functools.wraps says would lead to another function.
        lines, first = inspect.getsourcelines(function.__code__)
        tree = ast.increment_lineno(ast.parse(textwrap.dedent("".join(lines))), max(1, first) - 1)
    except (OSError, TypeError, SyntaxError):
        return None
    found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.Lambda)]
    if not found or (isinstance(found[0], ast.Lambda) and len(found) > 1):
        return None
    node = found[0]
    if isinstance(node, ast.Lambda):
        made = ast.FunctionDef("lambda_", node.args, [ast.Return(node.body)], [])
        node = ast.copy_location(made, node)
        ast.fix_missing_locations(node)
    node.decorator_list, node.returns = [], None
    arguments = node.args
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        one.annotation = None
    if len(function.__kwdefaults__ or {}) == len(arguments.kwonlyargs) and arguments.vararg is None:
        arguments.args, arguments.kwonlyargs = arguments.args + arguments.kwonlyargs, []
    arguments.defaults, arguments.kw_defaults = [], [None] * len(arguments.kwonlyargs)
    return node
