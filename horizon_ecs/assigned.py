"""Assigned: whether every local of a body has a value wherever it is read.

Python raises where one doesn't; compiled code would go on with whatever is there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence

Names = frozenset[str] | None
"""Those that surely have a value; None where no path leads."""

Report = Callable[[ast.Name], None]


def check_assigned(statements: Sequence[ast.stmt], report: Report) -> None:
    """Call `report` for each read of a local that has no value on some path."""
    stored = {n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name) and _is_store(n)}
    _Flow(frozenset(stored), report).block(statements, frozenset())


def _is_store(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _both(one: Names, other: Names) -> Names:
    if one is None or other is None:
        return other if one is None else one
    return one & other


class _Flow:
    """One walk along the paths; a loop keeps what `break` knew."""

    def __init__(self, stored: frozenset[str], report: Report) -> None:
        self._stored, self._report = stored, report
        self._breaks: list[Names] = []

    def block(self, statements: Iterable[ast.stmt], known: Names) -> Names:
        for statement in statements:
            if known is None:
                return None
            known = self.statement(statement, known)
        return known

    def statement(self, node: ast.stmt, known: frozenset[str]) -> Names:
        if isinstance(node, ast.If):
            holds = self._holds(node.test, known)
            return _both(self.block(node.body, holds), self.block(node.orelse, self.expression(node.test, known)))
        if isinstance(node, ast.While):
            holds = self._holds(node.test, known)
            return self._loop(node, self.expression(node.test, known), _is_true(node.test), holds)
        if isinstance(node, ast.For):
            known = self.expression(node.iter, known)
            targets = [n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)]
            return self._loop(node, known, _runs(node.iter), targets)
        if isinstance(node, ast.Break):
            self._breaks.append(known)
            return None
        if isinstance(node, ast.Return | ast.Raise | ast.Continue):
            for child in ast.iter_child_nodes(node):
                self.expression(child, known)
            return None
        if isinstance(node, ast.Assign):
            return self._targets(node.targets, self.expression(node.value, known))
        if isinstance(node, ast.AugAssign):
            if isinstance(node.target, ast.Name):
                self._read(node.target, known)
            return self._targets([node.target], self.expression(node.value, known))
        if isinstance(node, ast.AnnAssign):
            return known if node.value is None else self._targets([node.target], self.expression(node.value, known))
        for child in ast.iter_child_nodes(node):
            known = self.expression(child, known)
        return known

    def _holds(self, test: ast.expr, known: frozenset[str]) -> frozenset[str]:
        """What is known where a test holds: after `and`, all that its operands assign."""
        for operand in test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]:
            known = self.expression(operand, known)
        return known

    def _loop(self, node: ast.While | ast.For, known: frozenset[str], surely: bool, targets: Iterable[str]) -> Names:
        outer, self._breaks = self._breaks, []
        through = self.block(node.body, known.union(targets))
        breaks, self._breaks = self._breaks, outer
        ended: Names
        if isinstance(node, ast.While) and surely:
            ended = None
        else:
            ended = self.block(node.orelse, through if surely and through is not None else known)
        for one in breaks:
            ended = _both(ended, one)
        return ended

    def _targets(self, targets: Iterable[ast.expr], known: frozenset[str]) -> frozenset[str]:
        for target in targets:
            known = self.expression(target, known)
        return known

    def expression(self, node: ast.AST, known: frozenset[str]) -> frozenset[str]:
        """What is known after an expression; names that only some operands assign don't count."""
        if isinstance(node, ast.Name):
            if _is_store(node):
                return known | {node.id}
            self._read(node, known)
            return known
        if isinstance(node, ast.BoolOp):
            after = self.expression(node.values[0], known)
            inner = after
            for value in node.values[1:]:
                inner = self.expression(value, inner)
            return after
        if isinstance(node, ast.IfExp):
            known = self.expression(node.test, known)
            return self.expression(node.body, known) & self.expression(node.orelse, known)
        if isinstance(node, ast.ListComp):
            inner = known
            for part in node.generators:
                inner = self.expression(part.iter, inner).union(
                    n.id for n in ast.walk(part.target) if isinstance(n, ast.Name)
                )
                for test in part.ifs:
                    inner = self.expression(test, inner)
            self.expression(node.elt, inner)
            return known
        if isinstance(node, ast.NamedExpr):
            return self.expression(node.target, self.expression(node.value, known))
        for child in ast.iter_child_nodes(node):
            known = self.expression(child, known)
        return known

    def _read(self, node: ast.Name, known: frozenset[str]) -> None:
        if node.id in self._stored and node.id not in known:
            self._report(node)


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and bool(node.value)


def _runs(node: ast.expr) -> bool:
    """Whether a loop over this runs at least once: over range() of numbers in the source."""
    is_range = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
    if not is_range or not all(isinstance(a, ast.Constant) for a in node.args):  # type: ignore[attr-defined]
        return False
    try:
        return len(range(*(a.value for a in node.args))) > 0  # type: ignore[attr-defined]
    except TypeError:
        return False
