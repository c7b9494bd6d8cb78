"""What a body asks for, rewritten: commands and events become words appended to a buffer, draws and lookups calls of
helpers.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from horizon_ecs.components import Component, fields_of, nearest, role_of
from horizon_ecs.fields import Field, attributes
from horizon_ecs.kinds import Kind
from horizon_ecs.parameters import Parameter
from horizon_ecs.places import Place, parts_of
from horizon_ecs.random import DRAWS
from horizon_ecs.sites import COMMANDS, EMIT, HEAD, SPAWN, Site

if TYPE_CHECKING:
    from horizon_ecs.rewrite import Body

Given = list[tuple[Field, ast.expr]]
BUFFERS = ("cmd_int", "cmd_float", "cmd_n")


def name(text: str) -> ast.Name:
    """A name that is read."""
    return ast.Name(text, ast.Load())


def call(function: str, *arguments: ast.expr) -> ast.Call:
    """A call of a helper."""
    return ast.Call(name(function), list(arguments), [])


# -- commands and events -----------------------------------------------------------------------------------------


def ask(body: Body, node: ast.Call, parameter: Parameter) -> list[ast.stmt]:
    """The statements that stand for a command, or for the emission of an event."""
    method = node.func.attr  # type: ignore[attr-defined]
    if parameter.use == "emit":
        return _append(body, node, EMIT, parameter.type, body.own_handle(), [_event(body, node, parameter)])
    if method not in COMMANDS:
        body.fail(node, f"there is no command {method!r}; there are {sorted(COMMANDS)}{nearest(method, COMMANDS)}")
    if COMMANDS[method] == SPAWN:
        kind, values = _spawn(body, node)
        return _append(body, node, SPAWN, kind, call(body.ours("int64"), ast.Constant(0)), values)
    return _change(body, node, method)


def _append(
    body: Body, node: ast.Call, operation: int, target: Any, asker: ast.expr, values: list[tuple[type, Given]]
) -> list[ast.stmt]:
    site = Site(operation, target, tuple((owner, tuple(f for f, _ in given)) for owner, given in values))
    given = [pair for _, pairs in values for pair in pairs]
    at = body.ours("at")
    body.speculative = False
    number = len(body.sites)
    body.sites.append(site)
    words = [(field, body.visit(value)) for field, value in given]
    record = call(
        body.ours("append_record"), name(body.ours("cmd_int")), name(body.ours("cmd_n")), name(body.ours("stride")),
        ast.Constant(number), asker
    )  # fmt: skip
    statements: list[ast.stmt] = [ast.Assign([ast.Name(at, ast.Store())], record)]
    for i, (field, value) in enumerate(words):
        is_float = field.dtype.kind == "f"
        index = ast.BinOp(name(at), ast.Add(), ast.Constant(HEAD + i))
        target = ast.Subscript(name(body.ours("cmd_float" if is_float else "cmd_int")), index, ast.Store())
        wide = call(body.ours("float64" if is_float else "int64"), body.as_dtype(field, value))
        statements.append(ast.Assign([target], wide))
    return [ast.copy_location(s, node) for s in statements]


def _change(body: Body, node: ast.Call, method: str) -> list[ast.stmt]:
    """The statements for despawn, add and remove; one for each of several components."""
    wanted = 1 if method == "despawn" else 2
    if len(node.args) != wanted or node.keywords:
        body.fail(node, f"{method}() takes an entity" + (" and a component" if wanted == 2 else ""))
    entity = call(body.ours("int64"), body.visit(node.args[0]))
    if wanted == 1:
        return _append(body, node, COMMANDS[method], None, entity, [])
    second = node.args[1]
    if not isinstance(second, ast.List | ast.Tuple):
        return _append(body, node, COMMANDS[method], *_changed(body, node, method, second, entity))
    whose = body.hoisted(node, entity)
    asked = [_changed(body, node, method, one, whose) for one in second.elts]
    return [s for one in asked for s in _append(body, node, COMMANDS[method], *one)]


def _changed(
    body: Body, node: ast.Call, method: str, given: ast.expr, entity: ast.expr
) -> tuple[Any, ast.expr, list[tuple[type, Given]]]:
    """A component, whose it is, and its values."""
    component = body.static(given)
    if role_of(component) == "component":
        return component, entity, []
    is_add = method == "add"
    if is_add and isinstance(given, ast.Call) and role_of(body.static(given.func)) == "component":
        owner, values = constructed(body, given, "component", "")
        return owner, entity, [(owner, values)] if values else []
    also = ", or a constructor with values: Poison(3.0)" if is_add else ""
    raise body.refusal(
        node, f"{method}() takes the name of a component class as its second argument{also}; or a list of them"
    )


def _spawn(body: Body, node: ast.Call) -> tuple[Kind, list[tuple[type, Given]]]:
    """Kind and values of spawn."""
    kind = body.static(node.args[0]) if node.args else None
    if not isinstance(kind, Kind) or node.keywords:
        body.fail(
            node, "spawn() takes the name of a kind, then components: cmd.spawn(Bullet, Position(pos.x), Velocity(2.0))"
        )
    values: list[tuple[type, Given]] = []
    for argument in node.args[1:]:
        owner, given = constructed(body, argument, "component", "such as Position(1.0)")
        if owner not in kind.components + kind.optional:
            names = [c.__name__ for c in kind.components + kind.optional]
            body.fail(argument, f"kind {kind.name!r} has no component {owner.__name__}; it has {names}")
        if any(owner is known for known, _ in values):
            body.fail(argument, f"spawn() is given {owner.__name__} twice")
        values.append((owner, given))
    return kind, values


def _event(body: Body, node: ast.Call, parameter: Parameter) -> tuple[type, Given]:
    wanted = parameter.type.__name__
    if node.func.attr != "emit" or len(node.args) != 1 or node.keywords:  # type: ignore[attr-defined]
        body.fail(node, f"{parameter.name!r} is used as {parameter.name}.emit({wanted}(...)); the entity is the sender")
    owner, given = constructed(body, node.args[0], "event", f"{wanted}(...)")
    if owner is not parameter.type:
        body.fail(node, f"{parameter.name!r} emits {wanted}, not {owner.__name__}")
    return owner, given


def constructed(body: Body, node: ast.expr, role: str, example: str) -> tuple[Component, Given]:
    """The class of a constructor's call, and its fields that are given a value."""
    owner: Any = body.static(node.func) if isinstance(node, ast.Call) else None
    if role_of(owner) != role or not isinstance(node, ast.Call):
        body.fail(node, f"expected the constructor of {'an' if role == 'event' else 'a'} {role}, {example}")
    named = attributes(fields_of(owner))
    if len(node.args) > len(named) or any(isinstance(a, ast.Starred) for a in node.args):
        body.fail(node, f"{owner.__name__} takes {len(named)} values at most: {list(named)}")
    pairs = list(zip(named, node.args, strict=False)) + [(str(k.arg), k.value) for k in node.keywords]
    given: Given = []
    for attribute, value in pairs:
        if attribute not in named:
            body.fail(
                node, f"{owner.__name__} has no field {attribute!r}; it has {list(named)}{nearest(attribute, named)}"
            )
        columns = named[attribute]
        if any(f is columns[0] for f, _ in given):
            body.fail(node, f"{owner.__name__} is given {attribute!r} twice")
        _check_words(body, node, owner, columns[0])
        given += zip(columns, _numbers(body, owner, attribute, columns, value), strict=True)
    return owner, given


def _check_words(body: Body, node: ast.AST, owner: type, field: Field) -> None:
    if field.dtype.kind not in "biuf":
        body.fail(
            node,
            f"{owner.__name__}.{field.vector or field.name} is {field.dtype.name}; commands and events of jitted "
            "systems carry numbers of at most 8 bytes: use form='columns'",
        )


def _numbers(body: Body, owner: type, attribute: str, columns: tuple[Field, ...], value: ast.expr) -> list[ast.expr]:
    if not columns[0].vector:
        return [value]
    parts = parts_of(body, value, len(columns))
    if parts is None:
        body.fail(
            value,
            f"{owner.__name__}.{attribute} takes {len(columns)} numbers: a tuple, a Vector or another vector field",
        )
    return list(parts)


# -- draws and lookups -------------------------------------------------------------------------------------------


def draw(body: Body, node: ast.Call, parameter: Parameter) -> ast.expr:
    """`rng.uniform(a, b)` as a local that holds what the helper draws; the number of the draw is counted in another."""
    method = node.func.attr  # type: ignore[attr-defined]
    if method not in DRAWS:
        body.fail(node, f"{parameter.name} has no {method!r}; it has {list(DRAWS)}{nearest(method, DRAWS)}")
    defaults = [ast.Constant(0.0), ast.Constant(1.0)]
    known = {"uniform": ["low", "high"], "integers": ["low", "high"], "chance": ["p"], "normal": []}[method]
    given = {**dict(zip(known, node.args, strict=False)), **{str(k.arg): k.value for k in node.keywords}}
    if len(node.args) + len(node.keywords) != len(given) or any(k not in known for k in given):
        body.fail(node, f"{parameter.name}.{method}() takes {known or 'no arguments'}")
    if method == "uniform":
        given = {**dict(zip(known, defaults, strict=True)), **given}
    if list(known) != [k for k in known if k in given]:
        body.fail(node, f"{parameter.name}.{method}() takes {known}")
    bounds = [body.visit(given[k]) for k in known]
    who = [name(body.ours("key")), name(body.ours("tick")), body.own_handle(), body.next_draw(node)]
    if method == "chance":
        drawn: ast.expr = ast.Compare(call(body.ours("uniform"), *who, *defaults), [ast.Lt()], bounds)
    else:
        drawn = call(body.ours(method), *who, *bounds)
    return body.hoisted(node, drawn)


def looked_up(body: Body, node: ast.expr, place: Place) -> ast.expr:
    """`others[target].x` as a value that is chosen without branches."""
    assert place.handle is not None
    row = found(body, place.parameter, place.handle)
    if place.is_vector:
        body.fail(node, f"{place.text} is a vector; use one of its numbers, such as {place.text}[0]")
    if place.index is not None:
        body.fail(node, f"{place.text}[...] takes a number as its index in a lookup")
    field = place.fields[0]
    column = body.lookups.setdefault((place.parameter.name, field.name), body.ours(place.parameter.name, field.name))
    picked = call(body.ours("pick"), name(column), row, body.default_of(field))
    return ast.copy_location(body.whole(field, picked), node)


def found(body: Body, parameter: Parameter, handle: ast.expr) -> ast.Call:
    """The row of an entity that has the component, or -1."""
    body.uses_world = True
    bit = body.bits.setdefault(parameter.type, body.ours(parameter.name, "bit"))
    arrays = (name(body.ours("generation")), name(body.ours("signature")))
    return call(body.ours("slot_with"), body.visit(handle), *arrays, name(bit))
