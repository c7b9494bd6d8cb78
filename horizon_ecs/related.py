"""Related entities: what a world offers of relations, and what they make of the end of a target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import write_rows
from horizon_ecs.components import Component, fields_of
from horizon_ecs.entities import Write
from horizon_ecs.handles import Handles, as_handles
from horizon_ecs.hierarchy import Hierarchy, build, is_current
from horizon_ecs.links import Links, distinct
from horizon_ecs.relations import ON_TARGET_DEATH, Parent, is_relation, on_target_death, relation_type
from horizon_ecs.structure import Structure
from horizon_ecs.systems import storage


class RelatedEntities(Structure):
    """Entities, and the relations between them."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.links = Links(self)
        self.when_moved(lambda moved: self.links.outdate())
        self._hierarchies: dict[Component, tuple[tuple[int, int], Hierarchy]] = {}

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
        handles = as_handles(sources)
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

    def relate_late(self, handles: NDArray[np.uint64], relation: Component, values: dict[str, Any]) -> None:
        """Carry a command out: `values` by column, 0 and defaults where there are none. Raises as `relate`.

        Targets may have ended since they were named; then their sources fare as if they had been tied before.
        """
        given = {**{f.name: f.default for f in fields_of(relation)}, **values}
        targets = np.broadcast_to(given.pop("target"), handles.shape)
        dead = (targets != 0) & ~self.alive(targets)
        self.relate(handles, relation, np.where(dead, np.uint64(0), targets), **given)
        if on_target_death(relation) == "despawn":
            self.despawn(handles[dead])
        elif on_target_death(relation) == "remove":
            self._lose(relation, self.slots_of(handles[dead]))

    def _writes(
        self, component: Component, value: Any, n: int, default: Any = None, slots: NDArray[np.uint32] | None = None
    ) -> list[Write]:
        if is_relation(component) and slots is not None:
            self.links.outdate()  # a target that isn't given becomes 0
        return super()._writes(component, value, n, default, slots)

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
        has = self.signature[slots] & np.uint64(self._admit(relation_type(relation))) != 0
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

        Cost: O(rows) after a target was given, else O(m). Raises StaleHandleError, ArgumentError.
        """
        offsets, sources = self.links.sources_of(relation_type(relation), self.slots_of(targets))
        given: Any = getattr(targets, "handles", targets)
        return self.handles_of(sources) if np.ndim(given) == 0 else (offsets, self.handles_of(sources))

    def roots(self, relation: type = Parent) -> NDArray[np.uint64]:
        """uint64[n]: the roots of an acyclic relation, ascending by slot: who has the relation without a target, and
        who is a target without the relation. Raises ArgumentError."""
        found = self.hierarchy(relation)
        return self.handles_of(found.order[found.parent < 0])

    def hierarchy(self, relation: type = Parent) -> Hierarchy:
        """An acyclic relation in depth order; kept until structure or targets change. Raises ArgumentError.

        Cost: O(rows) after a change; a tenth of it where only others came and went.
        """
        version = (self.structure_version, self.links.version)
        known = self._hierarchies.get(relation_type(relation))
        if known is not None and known[0] == version:
            return known[1]
        if known is not None and known[0][1] == version[1] and is_current(known[1], self, relation):
            found = known[1]  # others came and went
        else:
            found = build(self, self.links, relation)
        self._hierarchies[relation] = version, found
        return found

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
        slots = distinct(self.slots_of(handles))
        return self.handles_of(self.links.closure(slots, [relation_type(relation)])[len(slots) :])

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
        given = as_handles(handles)
        if len(given) and self.links.relations(*ON_TARGET_DEATH):
            slots = self.slots_of(given[self.alive(given)] if missing == "ignore" else given)
            slots = self.links.closure(slots, self.links.relations("despawn"))
            # Sources by relations that cascade end too; except for those there are others to be seen to.
            self.links.bereaved += [
                (r, self.links.bereaved_by(slots, r)) for r in self.links.relations("clear", "remove")
            ]
            given = self.handles_of(slots)
        return super().despawn(given, missing=missing)

    def settle(self) -> None:
        """As for `Entities`; sources whose target has ended lose the relation or have target 0, as it is declared."""
        if self.links.bereaved:
            for relation, slots in self.links.bereaved:
                self._let_go(relation, slots)
            self.links.bereaved.clear()
        super().settle()

    def _let_go(self, relation: Component, slots: NDArray[np.uint32]) -> None:
        """Take from some rows the targets that have ended, or the relation, where the kind allows."""
        target = self.column(relation, "target")
        slots = slots[(target[slots] != 0) & ~self.alive(target[slots])]
        if not len(slots):
            return
        self.changes.stamp_rows(relation, slots)
        target[slots] = 0
        if on_target_death(relation) == "remove":
            self._lose(relation, slots[self.signature[slots] != 0])

    def _lose(self, relation: Component, slots: NDArray[np.uint32]) -> None:
        """Take a relation from living rows, where the kind allows."""
        optional = np.array([relation in kind.optional for kind in self.kinds], np.bool_)
        self.remove(self.handles_of(slots[optional[self.page_kind[slots // storage.PAGE]]]), relation)
