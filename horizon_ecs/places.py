"""Places: what a chain of attributes and indices that begins at a parameter leads to, such as `pos.x`, `t.pos[0]` and
`others[target].pos.x`.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Sequence

from horizon_ecs.components import fields_of, nearest
from horizon_ecs.fields import Field, attributes
from horizon_ecs.parameters import Parameter
from horizon_ecs.syntax import Syntax

WITH_FIELDS = ("read", "write", "resource", "lookup")


@dataclasses.dataclass(frozen=True)
class Place:
    """Columns of a parameter's type: one, or all of a vector that `index` chooses from, or that is named as a whole.

    `handle` is whose they are, in a lookup.
    """

    parameter: Parameter
    fields: tuple[Field, ...]
    handle: ast.expr | None = None
    index: ast.expr | None = None

    @property
    def is_vector(self) -> bool:
        """Whether it is a vector as a whole."""
        return len(self.fields) > 1 and self.index is None

    @property
    def text(self) -> str:
        """As the user would write it."""
        first = self.fields[0]
        whose = "[...]" if self.handle is not None else ""
        return f"{self.parameter.name}{whose}.{first.vector if len(self.fields) > 1 else first.name}"


def place_of(syntax: Syntax, node: ast.expr) -> Place | None:
    """What a node leads to; None where it begins elsewhere, or goes further than a field."""
    path: list[ast.Attribute | ast.Subscript] = []
    inner = node
    while isinstance(inner, ast.Attribute | ast.Subscript):
        path.insert(0, inner)
        inner = inner.value
    parameter = syntax.parameter(inner)
    if parameter is None or parameter.use not in WITH_FIELDS:
        return None
    handle = None
    if parameter.use == "lookup":
        if not path or not isinstance(path[0], ast.Subscript):
            syntax.fail(node, f"{parameter.name!r} is used as {parameter.name}[entity].field, or entity in it")
        handle = path.pop(0).slice  # type: ignore[union-attr]
    if not path or not isinstance(path[0], ast.Attribute):
        return None
    columns = _columns(syntax, path[0], parameter)
    if not columns[0].vector:
        return Place(parameter, columns, handle) if len(path) == 1 else None
    if len(path) == 1:
        return Place(parameter, columns, handle)
    return _part(syntax, path[1], Place(parameter, columns, handle)) if len(path) == 2 else None


def _columns(syntax: Syntax, node: ast.Attribute, parameter: Parameter) -> tuple[Field, ...]:
    if not hasattr(parameter.type, "__hz_fields__"):
        syntax.fail(node, f"{parameter.type.__name__} must be decorated with @resource to be used in a jitted system")
    named = attributes(fields_of(parameter.type))
    if node.attr not in named:
        syntax.fail(
            node,
            f"{parameter.type.__name__} has no field {node.attr!r}; it has {list(named)}{nearest(node.attr, named)}",
        )
    return named[node.attr]


def _part(syntax: Syntax, node: ast.Attribute | ast.Subscript, whole: Place) -> Place:
    """One number of a vector."""
    if isinstance(node, ast.Attribute):
        letters = [f.name.rpartition(".")[2] for f in whole.fields]
        if node.attr not in letters or node.attr.isdigit():
            what = letters if not letters[0].isdigit() else f"[0] to [{len(letters) - 1}]"
            syntax.fail(node, f"{whole.text} has no {node.attr!r}; it has {what}")
        return dataclasses.replace(whole, fields=(whole.fields[letters.index(node.attr)],))
    at = constant_index(node.slice)
    if at is None:
        return dataclasses.replace(whole, index=node.slice)
    if not -len(whole.fields) <= at < len(whole.fields):
        syntax.fail(node, f"{whole.text} has {len(whole.fields)} numbers; there is no [{at}]")
    return dataclasses.replace(whole, fields=(whole.fields[at],))


def constant_index(node: ast.expr) -> int | None:
    """An index that is a number in the source."""
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node, sign = node.operand, -1
    is_number = isinstance(node, ast.Constant) and isinstance(node.value, int)
    return sign * node.value if is_number else None  # type: ignore[attr-defined]


def parts_of(syntax: Syntax, node: ast.expr, width: int) -> Sequence[ast.expr] | None:
    """The numbers of a vector given as a tuple, a list, a vector's constructor, or a parameter's vector."""
    if isinstance(node, ast.Tuple | ast.List):
        found: Sequence[ast.expr] = node.elts
    elif isinstance(node, ast.Call) and getattr(syntax.static(node.func), "__name__", "").startswith("Vector"):
        found = node.args
    else:
        place = place_of(syntax, node) if isinstance(node, ast.Attribute) else None
        if place is None or not place.is_vector:
            return None
        found = [ast.Subscript(node, ast.Constant(i), ast.Load()) for i in range(len(place.fields))]
        found = [ast.copy_location(f, node) for f in found]
    return found if len(found) == width else None
