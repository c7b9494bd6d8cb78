"""Hierarchies: the entities of an acyclic relation in depth order, for passes over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, fields_of
from horizon_ecs.errors import ArgumentError
from horizon_ecs.notebook import SHOWN, html_table
from horizon_ecs.relations import is_acyclic
from horizon_ecs.systems import hierarchy as kernels

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities
    from horizon_ecs.links import Links


@dataclass(frozen=True, repr=False)
class Hierarchy:
    """A relation in depth order: whoever has it and whoever is a target, parents before children.

    It is as things stood when it was made; the arrays can't be written.

    Attributes
    ----------
    order : uint32[n]
        Slots: the roots, ascending, then level by level; children of one parent stand together, ascending.
    parent : int32[n]
        Each one's target as an index into `order`, -1 for roots.
    depth : int32[n]
        0 for roots.
    level_starts : int64[n_levels + 1]
        Where each level begins in `order`; the last is n.
    """

    order: NDArray[np.uint32]
    parent: NDArray[np.int32]
    depth: NDArray[np.int32]
    level_starts: NDArray[np.int64]
    _world: Entities
    _handles: NDArray[np.uint64]
    _is_source: NDArray[np.bool_]

    @property
    def parent_slot(self) -> NDArray[np.int64]:
        """int64[n]: the slot of each one's target, -1 for roots."""
        return np.where(self.parent < 0, -1, self.order[self.parent].astype(np.int64))

    @property
    def n_levels(self) -> int:
        """How many levels there are."""
        return len(self.level_starts) - 1

    def levels(self) -> Iterator[slice]:
        """The levels from the roots down, as slices of `order`, `parent` and `depth`."""
        for first, last in zip(self.level_starts[:-1], self.level_starts[1:], strict=True):
            yield slice(int(first), int(last))

    def totals(self, component: Component, name: str) -> NDArray[np.float64]:
        """float64[n], in the order of `order`: each one's own value of a column and that of all below it.

        Who lacks the component adds nothing. Raises AttributeError for a column that there isn't.
        """
        column, bit = self._world.column(component, name), np.uint64(self._world.bit(component))
        if next(f for f in fields_of(component) if f.name == name).dtype.kind not in "biuf":
            raise ArgumentError(f"{component.__name__}.{name} can't be summed: it is {column.dtype.name}")
        has = self._world.signature[self.order] & bit != 0
        out = np.where(has, column[self.order], 0).astype(np.float64)
        kernels.sum_upwards(self.parent, out)
        return out

    def __len__(self) -> int:
        return len(self.order)

    def __repr__(self) -> str:
        return f"Hierarchy({len(self)} entities on {self.n_levels} levels)"

    def _repr_html_(self) -> str:
        return html_table(repr(self), ("depth", "entities"), enumerate(np.diff(self.level_starts)), SHOWN)


def build(world: Entities, links: Links, relation: Component) -> Hierarchy:
    """The hierarchy as it stands. Raises ArgumentError for a relation that isn't acyclic."""
    if not is_acyclic(relation):
        raise ArgumentError(
            f"{relation.__name__} may have cycles and so has no order; declare it with acyclic=True: "
            f"class {relation.__name__}(hz.Relation, acyclic=True)"
        )
    index = links.index(relation, exact=True)
    room = int(np.count_nonzero(world.signature[: len(index.start) - 2] & np.uint64(world.bit(relation))))
    room += len(index.source)
    order, parent, depth = np.empty(room, np.uint32), np.empty(room, np.int32), np.empty(room, np.int32)
    n = kernels.order_by_depth(index.start, index.source, *links.columns(relation), order, parent, depth)
    if n < 0:
        raise ArgumentError(f"{relation.__name__} has a cycle: its target column was written directly")
    order, parent, depth = order[:n], parent[:n], depth[:n]
    starts = np.concatenate([np.zeros(min(n, 1), np.int64), np.flatnonzero(np.diff(depth)) + 1, [n]])
    bit = np.uint64(world.bit(relation))
    for array in (order, parent, depth, starts):
        array.flags.writeable = False
    return Hierarchy(order, parent, depth, starts, world, world.handles_of(order), world.signature[order] & bit != 0)


def is_current(found: Hierarchy, world: Entities, relation: Component) -> bool:
    """Whether a hierarchy holds still after a change of structure: the same entities have the relation, and its targets
    live."""
    bit = np.uint64(world.bit(relation))
    now = world.signature[found.order]
    n = np.count_nonzero(world.signature[: world.n_pages_used * PAGE] & bit)
    same = n == np.count_nonzero(found._is_source) and (now & bit != 0) == found._is_source
    return bool(np.all(same) and (now != 0).all() and (world.handles_of(found.order) == found._handles).all())
