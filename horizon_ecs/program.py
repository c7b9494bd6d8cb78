"""Programs: a system's rewritten body inside the loop over pages, as one kernel.

A run of whole pages is a plain loop, which is vectorised. In a mixed run the body is computed for every row and the
result is stored or thrown away by a select, which is vectorised too; a body with side effects, or one that loops or
indexes by what it finds in a row, branches instead.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from horizon_ecs import kernel
from horizon_ecs.capture import Capture
from horizon_ecs.components import Component, fields_of
from horizon_ecs.declare import System
from horizon_ecs.errors import CompileError, DefinitionError
from horizon_ecs.rewrite import COMMAND_BUFFERS, Body, ColumnsBody
from horizon_ecs.systems import storage

_BUFFER_TYPES = tuple(np.dtype(t) for t in (np.uint64, np.uint8, np.uint8, np.int64))
_INDENT = "    "


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled system.

    Attributes
    ----------
    kernel : the function
    source : str
    resources : (type, field, dtype) of each scalar argument, in order
    columns : (component, field) of each array argument, in order
    n_commands : int
        Commands in the source, which an entity can give once a tick each unless they are in a loop.
    command_components : what the numbers in the command buffer stand for
    takes_handles : bool
    path : str
        Of the file that holds the source.
    lines : dict of int to int
        From its lines to those of the user's file.
    """

    kernel: Callable[..., Any]
    source: str
    resources: tuple[tuple[type, str, np.dtype[Any]], ...]
    columns: tuple[tuple[Component, str], ...]
    n_commands: int = 0
    command_components: tuple[Component, ...] = ()
    takes_handles: bool = False
    path: str = ""
    lines: Mapping[int, int] = dataclasses.field(default_factory=dict)


def compile_entity(system: System[..., Any]) -> Program:
    """The program of a per-entity system.

    Raises
    ------
    DefinitionError, CompileError
        With file, line and the system's name.
    """
    body = Body(system)
    buffers = dict(zip(COMMAND_BUFFERS, _BUFFER_TYPES, strict=True)) if body.n_commands else {}
    handed_on = [*body.resources.values(), *(buffers if body.appends else ())]
    entity = [p.name for p in system.parameters if p.use == "entity"] if body.uses_entity else []
    inner = (
        f"@{body.ours('inlined')}\ndef {body.ours('row')}({', '.join([*body.fields.values(), *handed_on, *entity])}):\n"
    )
    ending = _ending(body)
    for node in body.returns:
        node.value = ending.value
    body.statements = [*_unasked(body), *body.statements, ending]
    heads = [*body.resources.values(), *buffers, *(["generation"] if entity else ())]
    outer = _entity_loop(body, heads, handed_on)
    kinds = [*_loop_types(), *_resource_types(body), *(kernel.array_type(t) for t in buffers.values())]
    kinds += [kernel.array_type(np.dtype(np.uint32))] if entity else []
    kinds += [kernel.array_type(_dtype(body, key)) for key in body.fields]
    return _finish(body, inner, outer, kinds)


def compile_columns(system: System[..., Any]) -> Program:
    """The program of a jitted columns system: one call a batch. Raises as `compile_entity`."""
    body = ColumnsBody(system)
    uses = {p.name: p.use for p in system.parameters}
    body.statements = body.statements or [ast.Pass()]
    opening = f"def {body.ours(system.name)}({', '.join([*body.resources.values(), *body.fields.values()])}):\n"
    kinds = [kernel.array_type(_dtype(body, key), readonly=uses[key[0]] == "read") for key in body.fields]
    return _finish(body, opening, "", [*_resource_types(body), *kinds])


def _dtype(body: Body, key: tuple[str, str]) -> np.dtype[Any]:
    return next(f.dtype for f in fields_of(body.parameters[key[0]].type) if f.name == key[1])


def _resource_types(body: Body) -> list[Any]:
    return [kernel.scalar_type(_dtype(body, key)) for key in body.resources]


def _loop_types() -> list[Any]:
    """Types of start, stop, full, signature, need, lack."""
    arrays = [kernel.array_type(np.dtype(t)) for t in (np.int64, np.int64, np.uint8, np.uint64)]
    return [*arrays, *[kernel.scalar_type(np.dtype(np.uint64))] * 2]


def _ending(body: Body) -> ast.Return:
    """The return of the written fields, each in its column's dtype, so that the loop stays as narrow as the columns."""
    results: list[ast.expr] = []
    for key in body.written:
        cast = ast.Name(body.ours(_dtype(body, key).name), ast.Load())
        results.append(ast.Call(cast, [ast.Name(body.fields[key], ast.Load())], []))
    results += [ast.Name(name, ast.Load()) for asked in body.asked for name in asked[:2]]
    return ast.Return(ast.Tuple(results, ast.Load()) if len(results) > 1 else results[0] if results else None)


def _unasked(body: Body) -> list[ast.stmt]:
    """No command is asked for at first."""
    pairs = (((flag, ast.Constant(False)), (entity, _int64(body, ast.Constant(0)))) for flag, entity, *_ in body.asked)
    return [ast.Assign([ast.Name(name, ast.Store())], value) for pair in pairs for name, value in pair]


def _int64(body: Body, node: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(body.ours("int64"), ast.Load()), [node], [])


def _store_asked(body: Body) -> list[str]:
    """Append the commands that the body asked for."""
    lines: list[str] = []
    for flag, entity, operation, component in body.asked:
        lines += [
            f"if {flag}:",
            f"{_INDENT}at = min(n, len(cmd_handle) - 1)",
            f"{_INDENT}cmd_handle[at] = {body.ours('uint64')}({entity})",
            f"{_INDENT}cmd_operation[at], cmd_component[at] = {operation}, {component}",
            f"{_INDENT}n += 1",
        ]
    return lines


def _entity_loop(body: Body, heads: list[str], handed_on: list[str]) -> str:
    """The loop over runs and rows, as source."""
    columns, none = list(body.fields.values()), body.ours("none")
    row = {c: f"{c}_rows[i]" for c in columns}
    results = [body.fields[key] for key in body.written]
    asked = [name for command in body.asked for name in command[:2]]
    entity = [f"({body.ours('int64')}(generation[first + i]) << 32) | (first + i)"] if body.uses_entity else []
    call = f"{body.ours('row')}({', '.join([*row.values(), *handed_on, *entity])})"

    def taken(names: list[str]) -> str:
        return f"{', '.join([*names, *asked])} = {call}" if names or asked else call

    plain = [taken([row[r] for r in results]), *_store_asked(body)]
    if body.speculative and kernel.jit_enabled():
        mixed = [
            f"keep = ((bits[i] & need) == need) & ((bits[i] & lack) == {none})",
            taken([f"{r}_new" for r in results]),
            *(f"{row[r]} = {r}_new if keep else {row[r]}" for r in results),
        ]
    else:
        mixed = [f"if (bits[i] & need) == need and (bits[i] & lack) == {none}:", *(_INDENT + line for line in plain)]
    arguments = ["start", "stop", "full", "signature", "need", "lack", *heads, *columns]
    lines = [
        f"def {body.ours(body.system.name)}({', '.join(arguments)}):",
        *(["    n = cmd_n[0]"] if asked else ()),
        "    for run in range(len(start)):",
        "        first, last = start[run], stop[run]",
        *(f"        {c}_rows = {c}[first:last]" for c in columns),
        "        if full[run]:",
        "            for i in range(last - first):",
        *(f"                {line}" for line in plain),
        "        else:",
        "            bits = signature[first:last]",
        "            for i in range(last - first):",
        *(f"                {line}" for line in mixed),
        *(["    cmd_n[0] = n"] if asked else ()),
    ]
    return "\n".join(lines) + "\n"


def _finish(body: Body, opening: str, outer: str, kinds: list[Any]) -> Program:
    """Put the source together and compile it."""
    system = body.system
    try:
        capture = Capture(system.function, body.free)
    except DefinitionError as error:
        raise DefinitionError(f"{system.where}: {error}") from None
    header = f"# What {system.name!r} was rewritten into; it takes {capture.digest} from around it.\n\n\n"
    text = textual(body.statements)
    source = header + opening + text + ("\n\n" + outer if outer else "")
    first_line = (header + opening).count("\n") + 1
    function = _compile(body, capture.namespace, source, kinds, text, first_line)
    return Program(
        function,
        source,
        tuple((body.parameters[p].type, f, _dtype(body, (p, f))) for p, f in body.resources),
        tuple((body.parameters[p].type, f) for p, f in body.fields),
        body.n_commands,
        tuple(body.command_components),
        body.uses_entity,
        str(kernel.write_source(source)),
        {first_line + line: place for line, place in _line_map(body, text).items()},
    )


def _compile(
    body: Body, namespace: dict[str, Any], source: str, kinds: list[Any], text: str, first_line: int
) -> Callable[..., Any]:
    dtypes = {_dtype(body, key) for key in body.written}
    ours = {
        **{dtype.name: dtype.type for dtype in dtypes}, "int64": np.int64, "uint64": np.uint64, "none": np.uint64(0),
        "append_command": storage.append_command, "inlined": kernel.inlined,
    }  # fmt: skip
    names = {**namespace, **{body.ours(name): value for name, value in ours.items()}}
    try:
        return kernel.compile_source(source, body.ours(body.system.name), names, tuple(kinds), body.system.name)
    except kernel.compile_errors() as error:
        raise _compile_error(body, text, first_line, error) from error


def textual(statements: Iterable[ast.stmt]) -> str:
    """Statements as an indented block of source."""
    module = ast.fix_missing_locations(ast.Module(list(statements), []))
    return "".join(f"{_INDENT}{line}\n" for line in ast.unparse(module).splitlines())


def _compile_error(body: Body, text: str, first_line: int, error: BaseException) -> CompileError:
    """Numba's words, with the line of the user's file instead of the generated one."""
    message = re.sub(r"\x1b\[\d*m", "", str(error))
    lines = _line_map(body, text)
    mentioned = (int(n) - first_line for n in re.findall(r'system_\w+\.py"?[,(:]? ?(?:line )?(\d+)', message))
    at = [lines[n] for n in mentioned if n in lines]
    useful = [
        line.strip()
        for line in message.splitlines()
        if line.strip() and not line.strip().startswith(("Failed in", "During:", "File "))
    ]
    where = f"{body.file}:{at[-1] if at else body.line_of(None)}"
    return CompileError(f"{where}: system {body.system.name!r} can't be compiled: {' '.join(useful[:4])}")


def _line_map(body: Body, text: str) -> dict[int, int]:
    """From a line of the written block, counted from 0, to the line of the user's file; both have the same tree."""
    original = (n for statement in body.statements for n in ast.walk(statement))
    again = (n for statement in ast.parse("if 1:\n" + text).body[0].body for n in ast.walk(statement))  # type: ignore[attr-defined]
    pairs = ((old, new) for old, new in zip(original, again, strict=False) if isinstance(new, ast.stmt))
    return {new.lineno - 2: body.line_of(old) for old, new in pairs}
