"""Programs: a system's rewritten body inside the loop over pages, as one kernel.

A run of whole pages is a plain loop, which is vectorised. In a mixed run the body is computed for every row and the
result is stored or thrown away by a select, which is vectorised too; a body with side effects, or one that loops or
indexes by what it finds in a row, branches instead.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from horizon_ecs import kernel
from horizon_ecs.advice import compile_error, may_lack_runtime
from horizon_ecs.asks import BUFFERS, call, name
from horizon_ecs.capture import Capture
from horizon_ecs.components import Component, fields_of
from horizon_ecs.declare import System
from horizon_ecs.errors import DefinitionError
from horizon_ecs.fields import Field
from horizon_ecs.rewrite import Body, ColumnsBody
from horizon_ecs.sites import Site, stride_of
from horizon_ecs.systems import random, storage

_INDENT = "    "


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a kernel: its name and type in the source, and what a runner gives for it.

    `what` is ("rows",) for the signatures by which rows are tested, ("signature",), ("need",), ("lack",),
    ("generation",), ("key",), ("bit", component), ("column", component, field), ("tick",), ("resource", type, field,
    dtype), ("commands",) for each of three arrays, or ("failed",).
    """

    name: str
    type: Any
    what: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled system.

    Attributes
    ----------
    kernel : the function
    source : str
    fixed, scalars : tuple of Argument
        Those that stay the same for a world, and those that a run gathers; in the kernel's order. A per-entity kernel
        takes start, stop and full before them; after them the command buffer, if there are sites, and failed, if it may
        raise. A columns kernel takes the scalars, then its columns.
    sites : tuple of Site
        Commands and events in the source.
    may_raise : bool
        The kernel notes the row that it is at in `failed`, int64[1].
    allocates : bool
        It takes memory while it runs, and has Numba's runtime to do so.
    path : str
        Of the file that holds the source.
    lines : dict of int to int
        From its lines to those of the user's file.
    """

    kernel: Callable[..., Any]
    source: str
    fixed: tuple[Argument, ...]
    scalars: tuple[Argument, ...]
    sites: tuple[Site, ...] = ()
    may_raise: bool = False
    allocates: bool = False
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
    body.may_raise = body.may_raise or kernel.may_raise_anywhere()
    fixed, scalars, parts = _fixed(body), _scalars(body), _parts(body)
    handed_on = [a.name for a in (*fixed, *scalars, *parts) if a.what[0] in _HANDED_ON]
    handed_on += list(body.lookups.values())
    entity = [body.entity] if body.uses_entity else []
    taken = [*body.fields.values(), *body.present.values(), *entity, *handed_on]
    inner = f"@{body.ours('inlined')}\ndef {body.ours('row')}({', '.join(taken)}):\n"
    ending = _ending(body)
    for node in body.returns:
        node.value = ending.value
    body.statements = [*_beginning(body), *body.statements, ending]
    runs = [(body.ours(n), _array(t)) for n, t in (("start", np.int64), ("stop", np.int64), ("full", np.uint8))]
    arguments = [*runs, *((a.name, a.type) for a in (*fixed, *scalars, *parts))]
    outer = _entity_loop(body, [n for n, _ in arguments], handed_on)
    return _finish(body, inner, outer, [t for _, t in arguments], fixed, scalars)


_HANDED_ON = ("generation", "signature", "key", "bit", "tick", "resource", "commands")


def compile_columns(system: System[..., Any]) -> Program:
    """The program of a jitted columns system: one call a batch. Raises as `compile_entity`."""
    body = ColumnsBody(system)
    uses = {p.name: p.use for p in system.parameters}
    body.statements = body.statements or [ast.Pass()]
    scalars = _scalars(body)
    opening = f"def {body.ours(system.name)}({', '.join([*(a.name for a in scalars), *body.fields.values()])}):\n"
    fixed = _columns(body)
    fields = {key: _field(body, key) for key in body.fields}
    kinds = [kernel.array_type(f.dtype, readonly=f.fixed or uses[owner] == "read") for (owner, _), f in fields.items()]
    return _finish(body, opening, "", [*(a.type for a in scalars), *kinds], fixed, scalars)


# -- arguments ---------------------------------------------------------------------------------------------------


def _array(dtype: Any) -> Any:
    return kernel.array_type(np.dtype(dtype))


def _number(dtype: Any) -> Any:
    return kernel.scalar_type(np.dtype(dtype))


def _field(body: Body, key: tuple[str, str]) -> Field:
    return next(f for f in fields_of(body.parameters[key[0]].type) if f.name == key[1])


def _columns(body: Body) -> tuple[Argument, ...]:
    found = []
    for key, local in body.fields.items():
        owner: Component = body.parameters[key[0]].type
        found.append(Argument(local, _array(_field(body, key).dtype), ("column", owner, key[1])))
    return tuple(found)


def _fixed(body: Body) -> tuple[Argument, ...]:
    """What stays the same for a world."""
    found = [Argument(body.ours("rows"), _array(np.uint64), ("rows",))]
    if body.uses_world or body.present:
        found.append(Argument(body.ours("signature"), _array(np.uint64), ("signature",)))
    found += [Argument(body.ours(n), _number(np.uint64), (n,)) for n in ("need", "lack")]
    if body.uses_entity or body.uses_world:
        found.append(Argument(body.ours("generation"), _array(np.uint32), ("generation",)))
    if body.draws:
        found.append(Argument(body.ours("key"), _number(np.uint64), ("key",)))
    found += [Argument(local, _number(np.uint64), ("bit", component)) for component, local in body.bits.items()]
    found += _columns(body)
    for key, local in body.lookups.items():
        found.append(Argument(local, _array(_field(body, key).dtype), ("column", body.parameters[key[0]].type, key[1])))
    return tuple(found)


def _scalars(body: Body) -> tuple[Argument, ...]:
    """What a run gathers."""
    found = [Argument(body.ours("tick"), _number(np.int64), ("tick",))] if body.draws else []
    for key, local in body.resources.items():
        dtype = _field(body, key).dtype
        what = ("resource", body.parameters[key[0]].type, key[1], dtype)
        found.append(Argument(local, _number(dtype), what))
    return tuple(found)


def _parts(body: Body) -> tuple[Argument, ...]:
    """What a part has of its own."""
    kinds = (np.int64, np.float64, np.int64) if body.sites else ()
    found = [Argument(body.ours(n), _array(t), ("commands",)) for n, t in zip(BUFFERS, kinds, strict=False)]
    if body.may_raise:
        found.append(Argument(body.ours("failed"), _array(np.int64), ("failed",)))
    return tuple(found)


# -- source ------------------------------------------------------------------------------------------------------


def _beginning(body: Body) -> list[ast.stmt]:
    """No number is drawn yet."""
    if not body.draws:
        return []
    return [ast.Assign([ast.Name(body.ours("draw"), ast.Store())], ast.UnaryOp(ast.USub(), ast.Constant(1)))]


def _ending(body: Body) -> ast.Return:
    """The return of the written fields, each in its column's dtype, so that the loop stays as narrow as the columns."""
    results: list[ast.expr] = []
    for key in body.written:
        dtype = _field(body, key).dtype
        body.dtypes[dtype.name] = dtype.type
        results.append(call(body.ours(dtype.name), name(body.fields[key])))
    ending = ast.Return(ast.Tuple(results, ast.Load()) if len(results) > 1 else results[0] if results else None)
    return ast.copy_location(ending, body.plain_statements[-1]) if body.plain_statements else ending


def _entity_loop(body: Body, arguments: list[str], handed_on: list[str]) -> str:
    """The loop over runs and rows, as source."""
    ours = body.ours
    columns = list(body.fields.values())
    plain = _row(body, handed_on, None)
    if body.speculative and kernel.jit_enabled():
        keep = f"keep = ((bits[i] & {ours('need')}) == {ours('need')}) & ((bits[i] & {ours('lack')}) == {ours('none')})"
        mixed = [keep, *_row(body, handed_on, "keep")]
    else:
        test = f"if (bits[i] & {ours('need')}) == {ours('need')} and (bits[i] & {ours('lack')}) == {ours('none')}:"
        mixed = [test, *(_INDENT + line for line in plain)]
    lines = [
        f"def {ours(body.system.name)}({', '.join(arguments)}):",
        f"    for run in range(len({ours('start')})):",
        f"        first, last = {ours('start')}[run], {ours('stop')}[run]",
        *(f"        {c}_rows = {c}[first:last]" for c in columns),
        f"        bits = {ours('rows')}[first:last]",
        f"        if {ours('full')}[run]:",
        "            for i in range(last - first):",
        *(f"                {line}" for line in plain),
        "        else:",
        "            for i in range(last - first):",
        *(f"                {line}" for line in mixed),
    ]
    return "\n\n" + "\n".join(lines) + "\n"


def _row(body: Body, handed_on: list[str], keep: str | None) -> list[str]:
    """One row: call the body and store what it wrote, where `keep` holds and the entity has the component."""
    ours = body.ours
    lines = [f"{ours('failed')}[0] = first + i"] if body.may_raise else []
    for parameter, has in body.present.items():
        bit = body.bits[body.parameters[parameter].type]
        lines.append(f"{has} = ({ours('signature')}[first + i] & {bit}) != {ours('none')}")
    entity = [f"({ours('int64')}({ours('generation')}[first + i]) << 32) | (first + i)"] if body.uses_entity else []
    values = [_value(body, key, local) for key, local in body.fields.items()]
    row_call = f"{ours('row')}({', '.join([*values, *body.present.values(), *entity, *handed_on])})"
    if not body.written:
        return [*lines, row_call]
    stores = []
    for key in body.written:
        place = f"{body.fields[key]}_rows[i]"
        stores.append((place, " & ".join(test for test in (keep, body.present.get(key[0])) if test)))
    if not any(tests for _, tests in stores):
        return [*lines, f"{', '.join(place for place, _ in stores)} = {row_call}"]
    fresh = [f"{body.fields[key]}_new" for key in body.written]
    lines.append(f"{', '.join(fresh)} = {row_call}")
    for new, (place, tests) in zip(fresh, stores, strict=True):
        lines.append(f"{place} = {new} if {tests} else {place}" if tests else f"{place} = {new}")
    return lines


def _value(body: Body, key: tuple[str, str], local: str) -> str:
    """What the body gets for a field: the default where the entity lacks the component."""
    field, value = _field(body, key), f"{local}_rows[i]"
    if body.parameters[key[0]].optional:
        default = _text(body.default_of(field))
        has = body.present.get(key[0])
        if has is None:
            raise DefinitionError(
                f"{body.system.where}: {key[0]!r} may be None; ask before its fields are used: if {key[0]} is not None"
            )
        value = f"({value} if {has} else {default})"
    return _text(body.whole(field, ast.parse(value, mode="eval").body))


def _text(node: ast.expr) -> str:
    return ast.unparse(ast.fix_missing_locations(ast.Expression(node)))


# -- compilation -------------------------------------------------------------------------------------------------


def _finish(
    body: Body, opening: str, outer: str, kinds: list[Any], fixed: tuple[Argument, ...], scalars: tuple[Argument, ...]
) -> Program:
    """Put the source together and compile it: without Numba's runtime, or with it where the body takes memory."""
    text = textual(body.statements)
    taking_memory = Capture(body.system.function, body.free, body.outer, True, body.fail_name)
    with_runtime = _source(body, opening + text + outer, taking_memory)
    for allocates in (False, True):
        capture = Capture(body.system.function, body.free, body.outer, allocates, body.fail_name)
        source = _source(body, opening + text + outer, capture)
        if not allocates and kernel.was_written(with_runtime):
            continue
        first_line = source[: source.index(text)].count("\n") + 1
        lines = {first_line + line: place for line, place in _line_map(body, text).items()}
        try:
            function = kernel.compile_source(
                source, body.ours(body.system.name), _names(body, capture), tuple(kinds), body.system.name,
                allocates=allocates
            )  # fmt: skip
        except Exception as error:
            # Numba lets out whatever its own functions raise.
            if not allocates and may_lack_runtime(error):
                continue
            failure = compile_error(body, lines, error)
            break
        return Program(
            function, source, fixed, scalars, tuple(body.sites), body.may_raise, allocates,
            str(kernel.write_source(source)), lines
        )  # fmt: skip
    raise failure


def _source(body: Body, text: str, capture: Capture) -> str:
    """The source with a first line that tells it from others like it."""
    runtime = " and allocates" if capture.allocates else ""
    what = f"# What {body.system.name!r} was rewritten into; it takes {capture.digest} from around it{runtime}."
    return f"{what}\n\n\n{text}"


def _names(body: Body, capture: Capture) -> dict[str, Any]:
    """What the generated source finds around it."""
    ours = {
        **body.dtypes, "int64": np.int64, "uint64": np.uint64, "float64": np.float64, "none": np.uint64(0),
        "bool": bool, "nan": np.nan, "inf": np.inf, "stride": stride_of(tuple(body.sites)),
        "append_record": storage.append_record,
        "slot_with": storage.slot_with, "pick": storage.pick, "uniform": random.uniform, "normal": random.normal,
        "integers": random.integers,
        "inlined": kernel.inlined_allocating if capture.allocates else kernel.inlined,
    }  # fmt: skip
    return {**capture.namespace, **{body.ours(key): value for key, value in ours.items()}}


def textual(statements: Iterable[ast.stmt]) -> str:
    """Statements as an indented block of source."""
    module = ast.fix_missing_locations(ast.Module(list(statements), []))
    return "".join(f"{_INDENT}{line}\n" for line in ast.unparse(module).splitlines())


def _line_map(body: Body, text: str) -> dict[int, int]:
    """From a line of the written block, counted from 0, to the line of the user's file: statement by statement."""
    original = (n for one in body.statements for n in _statements(one))
    again = (n for one in ast.parse("if 1:\n" + text).body[0].body for n in _statements(one))  # type: ignore[attr-defined]
    return {new.lineno - 2: body.line_of(old) for old, new in zip(original, again, strict=True)}


def _statements(node: ast.stmt) -> list[ast.stmt]:
    return [n for n in ast.walk(node) if isinstance(n, ast.stmt)]
