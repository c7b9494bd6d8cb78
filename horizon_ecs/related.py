"""Related entities: what a world offers of relations, and what they make of the end of a target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import write_rows
from horizon_ecs.components import Component, fields_of
from horizon_ecs.entities import Handles, _as_handles
from horizon_ecs.hierarchy import Hierarchy, build
from horizon_ecs.links import Links, rows_with
from horizon_ecs.relations import Parent, is_relation, relation_type
from horizon_ecs.structure import Structure
from horizon_ecs.systems import storage


class RelatedEntities(Structure):
    """Entities, and the relations between them."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.links = Links(self)
        self.when_moved(lambda moved: self.links.outdate())
        self._hierarchies: dict[Component, tuple[tuple[int, int], Hierarchy]] = {}
        self._targets_died = False

    # -- ties --------------------------------------------------------------------------------------------------

    def relate(self, sources: Handles, relation: type, targets: Handles, **data: Any) -> None:
        """Tie entities to targets: those that have the relation get another target, the others get the relation.

        Parameters
        ----------
        sources : uint64, uint64[n] or Query
        relation : a subclass of hz.Relation
        targets : uint64 or uint64[n]
            One for all, or one each; 0 for none. Where a source is named twice, the last counts.
        **data
            Values of the relation's other fields, a scalar or array[n] each. What isn't given stays, or is the default
            where the relation is new.

        Raises
        ------
        StaleHandleError, ArgumentError
            Nothing was done: someone doesn't live, is its own target, would close a cycle of an acyclic relation (the
            message names a handle on it), or is of a kind without the relation.
        """
        handles = _as_handles(sources)
        lacking = handles[~self.has(handles, relation_type(relation))]
        fresh = self._optional_rows(lacking, relation)
        slots = self.slots_of(handles)
        value = {"target": getattr(targets, "handles", targets), **data}
        given = self._given(relation, value, len(slots), slots)
        for f in fields_of(relation)[1:]:
            if (f.vector or f.name) not in data:
                write_rows(self.column(relation, f.name), fresh, f.default)
        self.changes.stamp_rows(relation, slots)
        self._write(slots, [(self.column(relation, name), values) for name, values in given.items()])
        self._flip(fresh, relation, True)

    def _given(
        self, component: Component, value: Any, n: int, slots: NDArray[np.uint32] | None = None
    ) -> dict[str, Any]:
        given = super()._given(component, value, n, slots)
        if is_relation(component) and "target" in given:
            self.links.check(component, slots, given["target"])
        return given

    def _copy_rows(self, source: Structure, slots: NDArray[np.uint32], values: dict[str, Any]) -> NDArray[np.uint64]:
        self.links.outdate()
        return super()._copy_rows(source, slots, values)

    def targets_of(self, sources: Handles, relation: type) -> NDArray[np.uint64]:
        """uint64[n]: what each is tied to; 0 where it lacks the relation or its target ended."""
        slots = self.slots_of(sources)
        has = self.signature[slots] & np.uint64(self.bit(relation_type(relation))) != 0
        found = np.where(has, self.column(relation, "target")[slots], np.uint64(0))
        found[~self.alive(found)] = 0
        return found

    def sources_of(self, targets: Handles, relation: type) -> Any:
        """Who is tied to a target, ascending by slot.

        Parameters
        ----------
        targets : uint64, uint64[n] or Query
        relation : a subclass of hz.Relation

        Returns
        -------
        uint64[m]
            For one handle.
        (int64[n + 1], uint64[m])
            For an array: the sources of targets[i] are handles[offsets[i]:offsets[i + 1]].

        Cost: O(rows) after a change of structure or of a target, else O(m). Raises StaleHandleError, ArgumentError.
        """
        index = self.links.index(relation_type(relation), exact=True)
        slots = self.slots_of(targets)
        first, last = index.start[slots].astype(np.int64), index.start[slots + 1].astype(np.int64)
        given: Any = getattr(targets, "handles", targets)
        if np.ndim(given) == 0:
            return self.handles_of(index.source[first[0] : last[0]])
        offsets = np.concatenate([[0], np.cumsum(last - first)])
        at = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], last - first)
        return offsets, self.handles_of(index.source[at])

    def roots(self, relation: type = Parent) -> NDArray[np.uint64]:
        """uint64[n]: the roots of an acyclic relation, ascending by slot: who has the relation without a target, and
        who is a target without the relation. Raises ArgumentError."""
        found = self.hierarchy(relation)
        return self.handles_of(found.order[found.parent < 0])

    def hierarchy(self, relation: type = Parent) -> Hierarchy:
        """An acyclic relation in depth order; kept until structure or targets change. Raises ArgumentError.

        Cost: O(rows) after a change.
        """
        version = (self.structure_version, self.links.version)
        known = self._hierarchies.get(relation_type(relation))
        if known is None or known[0] != version:
            known = self._hierarchies[relation] = version, build(self, self.links, relation)
        return known[1]

    # -- the built-in hierarchy --------------------------------------------------------------------------------

    def children_of(self, handle: int) -> NDArray[np.uint64]:
        """uint64[n]: the children of an entity, ascending by slot; for many at once see `sources_of`."""
        self._slot_of(handle)
        found: NDArray[np.uint64] = self.sources_of(int(handle), Parent)
        return found

    def parent_of(self, handle: int) -> int:
        """The parent of an entity, 0 for none; for many at once see `targets_of`."""
        self._slot_of(handle)
        return int(self.targets_of(handle, Parent)[0])

    def descendants_of(self, handles: Handles, relation: type = Parent) -> NDArray[np.uint64]:
        """uint64[n]: the children of entities, and theirs, each once, a level after the other; not those given."""
        slots = self.slots_of(handles)
        found = self.links.closure(slots, [relation_type(relation)])
        return self.handles_of(found[len(np.unique(slots)) :])

    # -- ends --------------------------------------------------------------------------------------------------

    def despawn(self, handles: Handles, *, missing: str = "error") -> int:
        """End entities, and with them the sources of relations that are declared `on_target_death="despawn"`, such as
        children, and theirs. A handle that occurs twice counts once.

        Parameters
        ----------
        handles : uint64, uint64[n] or Query
        missing : "error" or "ignore"
            What to do with handles whose entity no longer lives.

        Returns
        -------
        int : how many ended, sources included.

        Raises
        ------
        StaleHandleError
            Nothing was done.
        """
        cascading = self.links.relations("despawn")
        given = _as_handles(handles)
        if cascading and len(given):
            living = given[self.alive(given)] if missing == "ignore" else given
            given = self.handles_of(self.links.closure(self.slots_of(living), cascading))
        self._targets_died = True
        return super().despawn(given, missing=missing)

    def settle(self) -> None:
        """As for `Entities`; relations that are declared `on_target_death="remove"` go where their target has ended."""
        if self._targets_died:
            self._targets_died = False
            for relation in self.links.relations("remove"):
                self._remove_dead(relation)
        super().settle()

    def _remove_dead(self, relation: Component) -> None:
        """Take a relation from whose target has ended, where the kind allows."""
        optional = np.array([relation in kind.optional for kind in self.kinds], np.bool_)
        slots = rows_with(self, relation)
        slots = slots[optional[self.page_kind[slots // storage.PAGE]]]
        targets = self.column(relation, "target")[slots]
        dead = (targets != 0) & ~self.alive(targets)
        if dead.any():
            self.remove(self.handles_of(slots[dead]), relation)
