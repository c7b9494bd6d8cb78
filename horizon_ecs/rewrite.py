"""A system's body, rewritten: `pos.x` becomes a local number (or, in columns systems, an array) that a kernel can work
on.

Only the tree is transformed here; what surrounds it is written by `program`.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
from typing import Any

import numpy as np

from horizon_ecs import asks
from horizon_ecs.advice import refused_call
from horizon_ecs.asks import call, name
from horizon_ecs.components import Component, fields_of
from horizon_ecs.declare import System
from horizon_ecs.fields import Field
from horizon_ecs.hoist import Hoist, as_list
from horizon_ecs.outer import MISSING
from horizon_ecs.parameters import Parameter
from horizon_ecs.places import Place, place_of
from horizon_ecs.sites import Site

# What may be computed for a row that isn't wanted, and thrown away: it neither loops over nor indexes by what it finds
# there.
_UNSAFE = (ast.While, ast.For, ast.Raise, ast.Assert, ast.ListComp, ast.SetComp, ast.DictComp)
_RAISES = (ast.Raise, ast.Assert)
_HARMLESS_CALLS = (abs, min, max, float, int, bool, round, range, len)


class Body(Hoist):
    """The rewritten body of one system, and what it was found to use.

    Attributes
    ----------
    statements : list of ast.stmt
    fields : {(parameter, field): local name}
        Fields of components, in the order of first use.
    resources : {(parameter, field): local name}
    lookups : {(parameter, field): column's name}
    bits : {component: name of its bit}
        Of lookups and optional components.
    written : list of (parameter, field)
    free : set of names that come from around the function
    sites : list of Site
        Commands and events, numbered as in the buffer.
    draws, uses_world, uses_entity : bool
        Whether it draws random numbers, takes what tells which entities live, takes the entity's handle.
    may_raise : bool
    speculative : bool
        Whether it may be computed for rows that don't match.
    """

    def __init__(self, system: System[..., Any]) -> None:
        super().__init__(system)
        self.fields: dict[tuple[str, str], str] = {}
        self.resources: dict[tuple[str, str], str] = {}
        self.lookups: dict[tuple[str, str], str] = {}
        self.bits: dict[Component, str] = {}
        self.written: list[tuple[str, str]] = []
        self.present: dict[str, str] = {}
        self.dtypes: dict[str, Any] = {}
        self.sites: list[Site] = []
        self.returns: list[ast.Return] = []
        self.uses_world = self.uses_entity = self.may_raise = False
        self.speculative = True
        self._entity = next((p.name for p in system.parameters if p.use == "entity"), self.ours("entity"))
        self.statements: list[ast.stmt] = [s for one in self.plain_statements for s in as_list(self.visit(one))]
        self.free = self._free_names()

    @property
    def entity(self) -> str:
        """The local that holds the entity's handle."""
        return self._entity

    def own_handle(self) -> ast.expr:
        """The entity's handle."""
        self.uses_entity = True
        return name(self._entity)

    def as_dtype(self, field: Field, value: ast.expr) -> ast.expr:
        """A value as a column would hold it; handles stay int64, in which every one is positive."""
        if field.is_entity:
            return call(self.ours("int64"), value)
        self.dtypes[field.dtype.name] = field.dtype.type
        return call(self.ours(field.dtype.name), value)

    def whole(self, field: Field, value: ast.expr) -> ast.expr:
        """A column's number as bodies know it: whole ones are 64 bits wide, so that they compute as Python's do."""
        wide = {"i": "int64", "u": "int64", "b": "bool"}.get(field.dtype.kind)
        return value if wide is None else call(self.ours(wide), value)

    def default_of(self, field: Field) -> ast.expr:
        """A field's default, in its column's dtype."""
        self.dtypes[field.dtype.name] = field.dtype.type
        default = field.default
        if field.dtype.kind in "cmM":
            self.fail(self.function, f"{field.name} is {field.dtype.name}, for which jitted systems have no default")
        if isinstance(default, float) and not math.isfinite(default):
            value: ast.expr = name(self.ours("nan" if default != default else "inf"))
        else:
            value = ast.Constant(abs(default))
        if default < 0:
            value = ast.UnaryOp(ast.USub(), value)
        return call(self.ours(field.dtype.name), value)

    # -- nodes -------------------------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> Any:
        """Transform one node, and note what it means for the loop."""
        if isinstance(node, _UNSAFE):
            self.speculative = False
        if isinstance(node, _RAISES):
            self.may_raise = True
        return super().visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`pos.x`, `time.dt`, `Mode.RUN`, or an attribute of something else."""
        place = place_of(self, node)
        if place is not None:
            return self._at(node, place)
        parameter = self.parameter(node.value)
        if parameter is not None and parameter.use in ("commands", "emit", "random"):
            self.fail(node, f"{parameter.name}.{node.attr} can't be used here; call it, {self._example(parameter)}")
        if parameter is not None and parameter.use == "entity":
            self.fail(node, f"{parameter.name} is a handle, a number; it has no {node.attr!r}")
        held = place_of(self, node.value) if node.attr == "value" and isinstance(node.value, ast.Attribute) else None
        if held is not None and held.fields[0].enum is not None:
            return self._at(node.value, held)  # type: ignore[arg-type]
        return super().visit_Attribute(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """`t.pos[0]`, or an element of something else."""
        place = place_of(self, node)
        if place is not None:
            return self._at(node, place)
        if not isinstance(node.ctx, ast.Load) and isinstance(self.static(node.value), np.ndarray):
            text = ast.unparse(node.value)
            self.fail(node, f"{text} is constant: arrays from around are; keep what changes in a field or a resource")
        self.speculative = False
        return self.generic_visit(node)

    def _at(self, node: ast.Attribute | ast.Subscript, place: Place) -> ast.AST:
        owner, field = place.parameter.type.__name__, place.fields[0]
        if field.dtype == np.float16:
            self.fail(
                node,
                f"{owner}.{field.name} is float16, which compiled code can't compute with; make it f4, or use "
                "form='columns'",
            )
        if place.parameter.use == "lookup":
            if not isinstance(node.ctx, ast.Load):
                self.fail(node, f"{place.text} can't be written: a lookup reads; ask for a command or emit an event")
            return asks.looked_up(self, node, place)
        if place.is_vector:
            self.fail(node, f"{place.text} is a vector; use its numbers, {self._example_of(place)}")
        if place.parameter.use == "resource" and not isinstance(node.ctx, ast.Load):
            self.fail(node, f"{place.text} can't be written: a jitted system reads resources")
        if place.index is not None:
            return self._chosen(node, place)
        return self._field(node, place)

    @staticmethod
    def _example_of(place: Place) -> str:
        letter = place.fields[0].name.rpartition(".")[2]
        return f"such as {place.text}[0]" if letter.isdigit() else f"such as {place.text}.{letter}"

    def _chosen(self, node: ast.Attribute | ast.Subscript, place: Place) -> ast.AST:
        """`t.pos[i]`: of a tuple."""
        if not isinstance(node.ctx, ast.Load):
            self.fail(node, f"{place.text}[...] is written by an index that is a number in the source, or by letter")
        assert place.index is not None
        self.speculative, self.may_raise = False, True
        # Of one type, for a tuple that is indexed: what was assigned to may have become wider than its column.
        wide = self.ours("float64" if place.fields[0].dtype.kind == "f" else "int64")
        numbers = [call(wide, name(self._local(place.parameter, f))) for f in place.fields]
        tuple_ = ast.Tuple(list(numbers), ast.Load())
        return ast.copy_location(ast.Subscript(tuple_, self.visit(place.index), ast.Load()), node)

    def _local(self, parameter: Parameter, field: Field) -> str:
        known = self.resources if parameter.use == "resource" else self.fields
        return known.setdefault((parameter.name, field.name), self.ours(parameter.name, field.name))

    def _field(self, node: ast.Attribute | ast.Subscript, place: Place) -> ast.AST:
        local = self._local(place.parameter, place.fields[0])
        if not isinstance(node.ctx, ast.Load):
            self._note_written(node, place)
            return ast.copy_location(self.store(local), node)
        read = name(local)
        return ast.copy_location(self.whole(place.fields[0], read) if place.parameter.use == "resource" else read, node)

    def _note_written(self, node: ast.AST, place: Place) -> None:
        parameter, key = place.parameter, (place.parameter.name, place.fields[0].name)
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

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A parameter by itself, which only an entity can be."""
        parameter = self.parameters.get(node.id)
        if parameter is not None:
            if not isinstance(node.ctx, ast.Load):
                self.fail(node, f"the parameter {node.id!r} can't be assigned; assign its fields")
            if parameter.use != "entity":
                what = "methods" if parameter.use in ("commands", "emit", "random") else "fields"
                self.fail(node, f"{node.id!r} can only be used by its {what}, such as {self._example(parameter)}")
            self.uses_entity = True
        return super().visit_Name(node)

    @staticmethod
    def _example(parameter: Parameter) -> str:
        by_use = {"commands": "despawn(entity)", "emit": "emit(...)", "random": "uniform()"}
        if parameter.use in by_use:
            return f"{parameter.name}.{by_use[parameter.use]}"
        fields = getattr(parameter.type, "__hz_fields__", ())
        index = "[entity]" if parameter.use == "lookup" else ""
        return f"{parameter.name}{index}.{fields[0].name if fields else '…'}"

    # -- statements --------------------------------------------------------------------------------------------

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """An annotated assignment, without the annotation."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([self.visit(node.target)], self.visit(node.value)), node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """An assignment; of a number, where it is a field's."""
        is_text = isinstance(node.value, ast.JoinedStr | ast.Constant) and not _is_number(node.value)
        place = place_of(self, node.targets[0]) if is_text else None
        if place is not None:
            self.fail(node, f"{place.text} is {_holds(place.fields[0])}, not {_what(node.value)}")
        return super().visit_Assign(node)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        """An early end; `program` fills in what is handed back."""
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.fail(node, "a system returns nothing")
        self.returns.append(node)
        node.value = None
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        """A statement that is a command, or any other."""
        parameter = self._method_of(node.value)
        if parameter is not None and parameter.use in ("commands", "emit"):
            return asks.ask(self, node.value, parameter)  # type: ignore[arg-type]
        return self.generic_visit(node)

    def _method_of(self, node: ast.expr) -> Parameter | None:
        """The parameter that a call is a method of."""
        is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        return self.parameter(node.func.value) if is_method else None  # type: ignore[attr-defined]

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A call of anything but a command."""
        parameter = self._method_of(node)
        if parameter is not None and parameter.use in ("commands", "emit"):
            self.fail(node, f"{'a command' if parameter.use == 'commands' else 'emit()'} is a statement by itself")
        if parameter is not None and parameter.use == "random":
            return asks.draw(self, node, parameter)
        if not self._is_harmless(node.func):
            self.speculative, self.may_raise = False, True
        called = self.static(node.func)
        if isinstance(called, System):
            self.fail(node, f"a system can't call the system {called.name!r}; put what they share in a plain function")
        if called is not MISSING and (said := refused_call(called)):
            self.fail(node, said)
        return super().visit_Call(node)

    def _is_harmless(self, function: ast.AST) -> bool:
        if isinstance(function, ast.Attribute):
            owner = self.static(function.value)
            return owner is math or owner is np
        called = self.static(function)
        return any(called is one for one in _HARMLESS_CALLS)

    def is_member(self, node: ast.expr) -> bool:
        """A field may hold a member too."""
        place = place_of(self, node) if isinstance(node, ast.Attribute | ast.Subscript) else None
        return (place is not None and place.fields[0].enum is not None) or super().is_member(node)

    # -- what may be absent ------------------------------------------------------------------------------------

    def _has(self, node: ast.expr) -> ast.expr | None:
        """Whether the entity has an optional component, where a node is one by itself."""
        parameter = self.parameter(node)
        if parameter is None or not parameter.optional:
            return None
        self.bits.setdefault(parameter.type, self.ours(parameter.name, "bit"))
        local = self.present.setdefault(parameter.name, self.ours(parameter.name, "has"))
        return ast.copy_location(name(local), node)

    def operand(self, node: ast.expr) -> ast.expr:
        """An expression, or whether an optional component is there."""
        return self._has(node) or super().operand(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        """`if shield:`."""
        node.test = self._has(node.test) or node.test
        return self.generic_visit(node)

    visit_Assert = visit_If  # type: ignore[assignment]

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """`not shield`, and `~Flag.A`, which is all other flags: a column may not hold the negative number."""
        flags = self.flags(node.operand) if isinstance(node.op, ast.Invert) else None
        if flags is not None:
            known = functools.reduce(operator.or_, (member.value for member in type(flags)))
            return ast.copy_location(ast.Constant(known & ~flags.value), node)
        node.operand = self.operand(node.operand) if isinstance(node.op, ast.Not) else self.visit(node.operand)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """`shield is not None`, `target in others`, or any other comparison."""
        how, right = node.ops[0], node.comparators[0]
        if len(node.ops) == 1 and isinstance(how, ast.Is | ast.IsNot):
            has = self._has(node.left)
            if has is not None and isinstance(right, ast.Constant) and right.value is None:
                is_not = isinstance(how, ast.IsNot)
                return ast.copy_location(has if is_not else ast.UnaryOp(ast.Not(), has), node)
        parameter = self.parameter(right)
        is_lookup = parameter is not None and parameter.use == "lookup"
        if len(node.ops) == 1 and is_lookup and isinstance(how, ast.In | ast.NotIn):
            found = asks.found(self, parameter, node.left)  # type: ignore[arg-type]
            test = ast.GtE() if isinstance(how, ast.In) else ast.Lt()
            return ast.copy_location(ast.Compare(found, [test], [ast.Constant(0)]), node)
        return super().visit_Compare(node)

    # -- names -------------------------------------------------------------------------------------------------

    def _free_names(self) -> set[str]:
        """Names that the user takes from around the function; ours have the separator in them."""
        nodes = [n for statement in self.statements for n in ast.walk(statement) if isinstance(n, ast.Name)]
        own = {n.id for n in nodes if not isinstance(n.ctx, ast.Load)} | set(self.parameters)
        return {n.id for n in nodes if self.separator not in n.id} - own


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float | complex)


def _holds(field: Field) -> str:
    """What a field holds, in plain words."""
    if field.is_entity:
        return "a handle, 0 for none"
    return {"f": "a float", "b": "a bool", "c": "a complex number"}.get(field.dtype.kind, "a whole number")


def _what(node: ast.expr) -> str:
    return "None" if isinstance(node, ast.Constant) and node.value is None else "a text"


class ColumnsBody(Body):
    """A columns system's body: a field is an array, so assigning to it fills it."""

    def store(self, local: str) -> ast.expr:
        """`pos.x = v` fills the array: `pos__x[:] = v`."""
        return ast.Subscript(name(local), ast.Slice(), ast.Store())

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        """`pos.x += v` works in place as it is."""
        is_field = isinstance(node.target, ast.Attribute)
        target: Any = self.visit(node.target)
        if is_field and isinstance(target, ast.Subscript):
            target = ast.Name(target.value.id, ast.Store())  # type: ignore[attr-defined]
        return ast.copy_location(ast.AugAssign(target, node.op, self.visit(node.value)), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """`pos.x[i] = v` writes the field."""
        whole = place_of(self, node.value) if isinstance(node.value, ast.Attribute) else None
        if whole is not None and whole.is_vector:
            example = self._example_of(whole)
            self.fail(node, f"{whole.text}[...]: jitted columns systems use a vector by its numbers, {example}")
        place = place_of(self, node.value)
        if place is not None and place.parameter.use in ("read", "write") and not isinstance(node.ctx, ast.Load):
            self._note_written(node, place)
        return super().visit_Subscript(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`len(pos)` is the number of rows."""
        if isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1:
            parameter = self.parameter(node.args[0])
            if parameter is not None and parameter.use in ("read", "write"):
                local = self._local(parameter, fields_of(parameter.type)[0])
                return ast.copy_location(call("len", name(local)), node)
        return super().visit_Call(node)
