"""A system's body, rewritten: `pos.x` becomes a local number (or, in columns systems, an array) that a kernel can work
on.

Only the tree is transformed here; what surrounds it is written by `program`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

from horizon_ecs.capture import lookup
from horizon_ecs.commands import OPERATIONS
from horizon_ecs.components import Component, fields_of, is_component, nearest
from horizon_ecs.declare import Parameter, System
from horizon_ecs.errors import DefinitionError

SEPARATOR = "__"
COMMAND_BUFFERS = ("cmd_handle", "cmd_operation", "cmd_component", "cmd_n")

_REFUSED: dict[type[ast.AST], str] = {
    ast.Yield: "yield", ast.YieldFrom: "yield", ast.Await: "await", ast.AsyncFor: "async for", ast.Lambda: "a lambda",
    ast.FunctionDef: "a nested function", ast.AsyncFunctionDef: "a nested function", ast.ClassDef: "a class",
    ast.Try: "try", ast.TryStar: "try", ast.With: "with", ast.AsyncWith: "with", ast.Global: "global",
    ast.Nonlocal: "nonlocal", ast.Import: "import", ast.ImportFrom: "import", ast.Delete: "del",
    ast.GeneratorExp: "a generator", ast.Match: "match",
}  # fmt: skip
# What may be computed for a row that isn't wanted, and thrown away: it neither loops over nor indexes by what it finds
# there.
_UNSAFE = (ast.While, ast.For, ast.Subscript, ast.Raise, ast.Assert, ast.ListComp, ast.SetComp, ast.DictComp)
_HARMLESS_CALLS = {"abs", "min", "max", "float", "int", "bool", "round"}


class Body(ast.NodeTransformer):
    """The rewritten body of one system, and what it was found to use.

    Attributes
    ----------
    statements : list of ast.stmt
    fields : {(parameter, field): local name}
        Fields of components, in the order of first use.
    resources : {(parameter, field): local name}
    written : list of (parameter, field)
    free : set of names that come from around the function
    n_commands : int
    asked : list of (flag, entity, operation, component)
        Commands that the body hands back as locals instead of appending them: its loop stores them. (A call that takes
        arrays would keep its atomic reference counts: 36 ns an entity instead of 1.) Only a command inside a loop of
        the body appends by itself.
    """

    def __init__(self, system: System[..., Any]) -> None:
        self.system = system
        self.parameters: dict[str, Parameter] = {p.name: p for p in system.parameters}
        self.fields: dict[tuple[str, str], str] = {}
        self.resources: dict[tuple[str, str], str] = {}
        self.written: list[tuple[str, str]] = []
        self.command_components: list[Component] = []
        self.n_commands = 0
        self.asked: list[tuple[str, str, int, int]] = []
        self.returns: list[ast.Return] = []
        self.speculative = True
        self.uses_entity = False
        self.file = system.function.__code__.co_filename
        function, self._first_line = _parse(system)
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
        self._separator = SEPARATOR
        while any(self._separator in n for n in names):
            self._separator += "_"
        self.appends = self._has_command_in_loop(function)
        self.statements: list[ast.stmt] = [s for statement in body for s in _as_list(self.visit(statement))]
        self.free = self._free_names()

    def ours(self, name: str) -> str:
        """A name of ours, spelt so that no name of the user's can be it."""
        return name + self._separator

    # -- errors ------------------------------------------------------------------------------------------------

    def line_of(self, node: Any) -> int:
        """The line of a node in the user's file."""
        return self._first_line + int(getattr(node, "lineno", 1)) - 1

    def fail(self, node: ast.AST, text: str) -> NoReturn:
        """Refuse a node."""
        raise DefinitionError(f"{self.file}:{self.line_of(node)}: system {self.system.name!r}: {text}")

    # -- nodes -------------------------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> Any:
        """Transform one node, if a jitted system can have it."""
        if type(node) in _REFUSED:
            self.fail(
                node, f"{_REFUSED[type(node)]} can't be used in a jitted system; use form='columns' for plain NumPy"
            )
        if isinstance(node, _UNSAFE):
            self.speculative = False
        return super().visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`pos.x`, `time.dt`, or an attribute of something else."""
        parameter = self._parameter(node.value)
        if parameter is None:
            return self.generic_visit(node)
        if parameter.use in ("read", "write"):
            return self._field(node, parameter)
        if parameter.use != "resource":
            self.fail(node, f"{parameter.name}.{node.attr} can't be used here")
        return self._resource(node, parameter)

    def _parameter(self, node: ast.AST) -> Parameter | None:
        return self.parameters.get(node.id) if isinstance(node, ast.Name) else None

    def _check_field(self, node: ast.Attribute, parameter: Parameter) -> None:
        names = [f.name for f in fields_of(parameter.type)]
        if node.attr not in names:
            self.fail(
                node, f"{parameter.type.__name__} has no field {node.attr!r}; it has {names}{nearest(node.attr, names)}"
            )

    def _field(self, node: ast.Attribute, parameter: Parameter) -> ast.AST:
        self._check_field(node, parameter)
        key = (parameter.name, node.attr)
        local = self.fields.setdefault(key, self._separator.join(key))
        if not isinstance(node.ctx, ast.Load):
            self._note_written(node, parameter, key)
            return ast.copy_location(self.store(local), node)
        return ast.copy_location(ast.Name(local, node.ctx), node)

    def _note_written(self, node: ast.AST, parameter: Parameter, key: tuple[str, str]) -> None:
        if parameter.use != "write":
            self.fail(
                node,
                f"{'.'.join(key)} is written, but {parameter.name!r} is declared "
                f"Read[{parameter.type.__name__}]; declare it Write",
            )
        if any(f.fixed and f.name == key[1] for f in fields_of(parameter.type)):
            self.fail(
                node,
                f"{'.'.join(key)} can't be written: it is the target of a relation; ask for another one by "
                f"cmd.add(entity, {parameter.type.__name__}(target)), or by world.relate",
            )
        if key not in self.written:
            self.written.append(key)

    def store(self, local: str) -> ast.expr:
        """What is assigned to where a field is."""
        return ast.Name(local, ast.Store())

    def _resource(self, node: ast.Attribute, parameter: Parameter) -> ast.AST:
        if not hasattr(parameter.type, "__hz_fields__"):
            self.fail(node, f"{parameter.type.__name__} must be decorated with @resource to be used in a jitted system")
        self._check_field(node, parameter)
        if not isinstance(node.ctx, ast.Load):
            self.fail(node, f"{parameter.name}.{node.attr} can't be written: a jitted system reads resources")
        key = (parameter.name, node.attr)
        return ast.copy_location(ast.Name(self.resources.setdefault(key, self._separator.join(key)), ast.Load()), node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A parameter by itself, which only an entity can be."""
        parameter = self.parameters.get(node.id)
        if parameter is not None:
            if not isinstance(node.ctx, ast.Load):
                self.fail(node, f"the parameter {node.id!r} can't be assigned; assign its fields")
            if parameter.use != "entity":
                self.fail(node, f"{node.id!r} can only be used by its fields, such as {self._example(parameter)}")
            self.uses_entity = True
        return node

    @staticmethod
    def _example(parameter: Parameter) -> str:
        if parameter.use == "commands":
            return f"{parameter.name}.despawn(entity)"
        fields = getattr(parameter.type, "__hz_fields__", ())
        return f"{parameter.name}.{fields[0].name if fields else '…'}"

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """An annotated assignment, without the annotation."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([self.visit(node.target)], self.visit(node.value)), node)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        """An early end; `program` fills in what is handed back."""
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.fail(node, "a system returns nothing")
        self.returns.append(node)
        node.value = None
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A call of anything but a command."""
        if self._command_target(node) is not None:
            self.fail(node, "a command is a statement by itself")
        if not self._is_harmless(node.func):
            self.speculative = False
        if isinstance(node.func, ast.Name) and isinstance(lookup(self.system.function, node.func.id), System):
            self.fail(node, f"a system can't call the system {node.func.id!r}; put what they share in a plain function")
        return self.generic_visit(node)

    @staticmethod
    def _is_harmless(function: ast.AST) -> bool:
        if isinstance(function, ast.Attribute):
            return isinstance(function.value, ast.Name) and function.value.id in ("math", "np", "numpy")
        return isinstance(function, ast.Name) and function.id in _HARMLESS_CALLS

    def _command(self, node: ast.Call, function: ast.Attribute) -> tuple[ast.expr, int, int]:
        """The entity, operation and component of a command."""
        if function.attr not in OPERATIONS:
            self.fail(
                node,
                f"there is no command {function.attr!r}; there are {sorted(OPERATIONS)}"
                + nearest(function.attr, OPERATIONS),
            )
        wanted = 1 if function.attr == "despawn" else 2
        if len(node.args) != wanted or node.keywords:
            self.fail(node, f"{function.attr}() takes an entity" + (" and a component" if wanted == 2 else ""))
        self.n_commands += 1
        self.speculative = False
        number = 0 if wanted == 1 else self._component_number(node.args[1])
        return self.visit(node.args[0]), OPERATIONS[function.attr], number

    def visit_Expr(self, node: ast.Expr) -> Any:
        """A statement that is a command, or any other."""
        if not isinstance(node.value, ast.Call) or self._command_target(node.value) is None:
            return self.generic_visit(node)
        entity, operation, number = self._command(node.value, node.value.func)  # type: ignore[arg-type]
        if self.appends:
            buffers = [ast.Name(name, ast.Load()) for name in COMMAND_BUFFERS]
            call = ast.Call(
                ast.Name(self.ours("append_command"), ast.Load()),
                [*buffers, entity, ast.Constant(operation), ast.Constant(number)],
                [],
            )
            return ast.copy_location(ast.Expr(call), node)
        flag = f"asked{self._separator}{len(self.asked)}"
        self.asked.append((flag, f"{flag}_entity", operation, number))
        pair = (
            (flag, ast.Constant(True)),
            (f"{flag}_entity", ast.Call(ast.Name(self.ours("int64"), ast.Load()), [entity], [])),
        )
        return [ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), node) for name, value in pair]

    def _command_target(self, node: ast.Call) -> Parameter | None:
        target = self._parameter(node.func.value) if isinstance(node.func, ast.Attribute) else None
        return target if target is not None and target.use == "commands" else None

    def _has_command_in_loop(self, function: ast.AST) -> bool:
        inside = (n for loop in ast.walk(function) if isinstance(loop, ast.For | ast.While) for n in ast.walk(loop))
        return any(isinstance(n, ast.Call) and self._command_target(n) is not None for n in inside)

    def _component_number(self, node: ast.expr) -> int:
        value: Any = lookup(self.system.function, node.id) if isinstance(node, ast.Name) else None
        if not is_component(value):
            self.fail(node, "add() and remove() take the name of a component class as their second argument")
        if value not in self.command_components:
            self.command_components.append(value)
        return self.command_components.index(value)

    # -- names -------------------------------------------------------------------------------------------------

    def _free_names(self) -> set[str]:
        nodes = [n for statement in self.statements for n in ast.walk(statement) if isinstance(n, ast.Name)]
        own = {n.id for n in nodes if not isinstance(n.ctx, ast.Load)} | set(self.parameters)
        own |= {
            *self.fields.values(),
            *self.resources.values(),
            self.ours("append_command"),
            self.ours("int64"),
            *COMMAND_BUFFERS,
        }
        return {n.id for n in nodes} - own


class ColumnsBody(Body):
    """A columns system's body: a field is an array, so assigning to it fills it."""

    def store(self, local: str) -> ast.expr:
        """`pos.x = v` fills the array: `pos__x[:] = v`."""
        return ast.Subscript(ast.Name(local, ast.Load()), ast.Slice(), ast.Store())

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        """`pos.x += v` works in place as it is."""
        target: Any = self.visit(node.target)
        if isinstance(node.target, ast.Attribute) and isinstance(target, ast.Subscript):
            target = ast.Name(target.value.id, ast.Store())  # type: ignore[attr-defined]
        return ast.copy_location(ast.AugAssign(target, node.op, self.visit(node.value)), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """`pos.x[i] = v` writes the field."""
        inner: ast.AST = node.value
        parameter = self._parameter(inner.value) if isinstance(inner, ast.Attribute) else None
        if parameter is not None and parameter.use in ("read", "write") and not isinstance(node.ctx, ast.Load):
            self._check_field(inner, parameter)  # type: ignore[arg-type]
            self._note_written(node, parameter, (parameter.name, inner.attr))  # type: ignore[attr-defined]
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`len(pos)` is the number of rows."""
        if isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1:
            parameter = self._parameter(node.args[0])
            if parameter is not None and parameter.use in ("read", "write"):
                first = fields_of(parameter.type)[0].name
                node.args = [ast.copy_location(ast.Attribute(node.args[0], first, ast.Load()), node)]
        return super().visit_Call(node)


def _as_list(found: Any) -> list[ast.stmt]:
    return found if isinstance(found, list) else [found]


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
