"""Hoisting: what must happen in order is taken out of expressions and put in front of their statement.

A draw counts up a local, and Numba can't compile an assignment inside an expression that reads what it assigns. So each
draw, and each `:=`, is a statement of its own before the one that uses it; and where only one operand is evaluated, as
after `and`, an `if` stands there instead.
"""

from __future__ import annotations

import ast
from typing import Any

from horizon_ecs.syntax import Syntax


class Hoist(Syntax):
    """Statements that were taken out of the one that is being visited, and how expressions that hold some are split."""

    draws = False
    _n_hoisted = 0
    _before: list[ast.stmt]
    _read: set[str]
    """Locals that the statement has read so far."""

    def visit(self, node: ast.AST) -> Any:
        """A statement comes with those that were taken out of it in front."""
        if not isinstance(node, ast.stmt):
            return super().visit(node)
        outer, self._before, self._read = getattr(self, "_before", []), [], set()
        found = super().visit(node)
        taken, self._before = self._before, outer
        return [*taken, *as_list(found)] if taken else found

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A local, or an outer name."""
        if isinstance(node.ctx, ast.Load):
            self._read.add(node.id)
        return super().visit_Name(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        """`(k := p.x)` is assigned before its statement."""
        if node.target.id in self._read:
            self.fail(node, f"{node.target.id!r} is read before := gives it a value; assign it before the statement")
        value = self.visit(node.value)
        self._put(node, ast.Assign([self.visit(node.target)], value))
        return ast.copy_location(ast.Name(node.target.id, ast.Load()), node)

    def next_draw(self, node: ast.AST) -> ast.expr:
        """Count a draw; its number."""
        self.draws = True
        counter = self.ours("draw")
        self._put(node, ast.AugAssign(ast.Name(counter, ast.Store()), ast.Add(), ast.Constant(1)))
        return ast.Name(counter, ast.Load())

    def hoisted(self, node: ast.AST, value: ast.expr) -> ast.expr:
        """Take a value out; the local that holds it."""
        local = self._fresh()
        self._put(node, ast.Assign([ast.Name(local, ast.Store())], value))
        return ast.copy_location(ast.Name(local, ast.Load()), node)

    def _fresh(self) -> str:
        self._n_hoisted += 1
        return self.ours("held", str(self._n_hoisted))

    def _put(self, node: ast.AST, statement: ast.stmt) -> None:
        self._before.append(ast.copy_location(statement, node))

    def _apart(self, node: ast.expr) -> tuple[list[ast.stmt], ast.expr]:
        """What is taken out of an operand that may not be evaluated, and the operand."""
        outer, self._before = self._before, []
        value = self.operand(node)
        taken, self._before = self._before, outer
        return taken, value

    def operand(self, node: ast.expr) -> ast.expr:
        """Visit an expression whose truth may be asked for."""
        found: ast.expr = self.visit(node)
        return found

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """`near and rng.chance(0.1)` draws only where it is near."""
        first, *others = node.values
        value = self.operand(first)
        for other in others:
            taken, right = self._apart(other)
            if not taken:
                value = ast.BoolOp(node.op, [value, right])
                continue
            local = self._fresh()
            self._put(node, ast.Assign([ast.Name(local, ast.Store())], value))
            value = ast.Name(local, ast.Load())
            test: ast.expr = value if isinstance(node.op, ast.And) else ast.UnaryOp(ast.Not(), value)
            last = ast.copy_location(ast.Assign([ast.Name(local, ast.Store())], right), node)
            self._put(node, ast.If(test, [*taken, last], []))
        return ast.copy_location(value, node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """`rng.uniform() if wild else 0.5` draws only where it is wild."""
        if _is_none(node.body) or _is_none(node.orelse):
            self.fail(node, "None is no number; give another one, such as 0")
        test = self.operand(node.test)
        arms = [self._apart(node.body), self._apart(node.orelse)]
        if not any(taken for taken, _ in arms):
            return ast.copy_location(ast.IfExp(test, arms[0][1], arms[1][1]), node)
        local = self._fresh()
        blocks = [
            [*taken, ast.copy_location(ast.Assign([ast.Name(local, ast.Store())], value), node)]
            for taken, value in arms
        ]
        self._put(node, ast.If(test, *blocks))
        return ast.copy_location(ast.Name(local, ast.Load()), node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """The value comes before the targets."""
        if _is_none(node.value):
            self.fail(node, f"{ast.unparse(node.targets[0])!r} is None here, which is no number; give it one")
        node.value = self.visit(node.value)
        node.targets = [self.visit(t) for t in node.targets]
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        """`while rng.chance(0.5):` draws in every turn."""
        taken, test = self._apart(node.test)
        body = [s for one in node.body for s in as_list(self.visit(one))]
        otherwise = [s for one in node.orelse for s in as_list(self.visit(one))]
        if not taken:
            return ast.copy_location(ast.While(test, body, otherwise), node)
        if otherwise:
            self.fail(node, "while with a draw or := in its test can't have else")
        leave = ast.copy_location(ast.Break(), node)
        last = ast.copy_location(ast.If(ast.UnaryOp(ast.Not(), test), [leave], []), node)
        return ast.copy_location(ast.While(ast.Constant(True), [*taken, last, *body], []), node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """A chain of comparisons stops at the first that fails."""
        for one, other in zip([node.left, *node.comparators], [*node.comparators, node.left], strict=True):
            if _is_none(one):
                self.fail(node, f"{ast.unparse(other)} is never None in compiled code; compare with 0")
        node = self.by_number(node)
        node.left = self.visit(node.left)
        node.comparators = [self.visit(node.comparators[0]), *(self._whole(c) for c in node.comparators[1:])]
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        """A comprehension can't draw."""
        taken, found = self._apart_whole(node)
        if taken:
            self.fail(node, "a comprehension can't draw, nor have := in it; write a loop")
        return found

    def _whole(self, node: ast.expr) -> ast.expr:
        taken, value = self._apart(node)
        if taken:
            self.fail(node, "a chain of comparisons can't draw, nor have := in it; assign before it")
        return value

    def _apart_whole(self, node: ast.expr) -> tuple[list[ast.stmt], ast.AST]:
        outer, self._before = self._before, []
        found = self.generic_visit(node)
        taken, self._before = self._before, outer
        return taken, found


def as_list(found: Any) -> list[ast.stmt]:
    """Statements that a visit returned."""
    return found if isinstance(found, list) else [found]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
