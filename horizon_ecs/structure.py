"""What can be done to entities as a population: copying, hiding, moving together, clearing, checking."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import arguments
from horizon_ecs.births import check_room
from horizon_ecs.columns import PAGE
from horizon_ecs.compaction import SlotMap, move, plan, plan_order
from horizon_ecs.components import Component, Name, is_object
from horizon_ecs.describe import describe_world, hash_of
from horizon_ecs.entities import Entities
from horizon_ecs.errors import ArgumentError
from horizon_ecs.handles import Handles
from horizon_ecs.inspection import Inspection, inspect_entity
from horizon_ecs.kinds import Kind
from horizon_ecs.slots import DEAD
from horizon_ecs.systems import storage
from horizon_ecs.validation import validate
from horizon_ecs.values import rows_of


class Structure(Entities):
    """Entities, with what concerns many of them at once."""

    def duplicate(self, handles: Handles, n: int = 1, **values: Any) -> NDArray[np.uint64]:
        """Bring copies of entities to life: of the same kind, with the same components and values.

        Parameters
        ----------
        handles : uint64, uint64[m] or Query
        n : int
            Copies of each.
        **values
            What the copies have instead, as for `spawn`, for all `m * n` of them.

        Returns
        -------
        uint64[m * n] : handles; the copies of one entity stand together. Instances of object components are deep
        copies.

        Raises
        ------
        StaleHandleError, ArgumentError, CapacityError
            Nothing was done.
        """
        copies = np.repeat(self.slots_of(handles), arguments.whole_count("n", n, "copies"))
        return self._copy_rows(self, copies, values)

    def spawn_from(self, other: Structure, handles: Handles) -> SlotMap:
        """Bring copies of another world's entities to life.

        References among them lead to the copies; those to others become 0. Kinds that this world doesn't know are
        registered.

        Returns
        -------
        SlotMap : from the other world's handles to this one's.

        Raises
        ------
        StaleHandleError, ArgumentError, CapacityError
            Nothing was done.
        """
        slots = np.unique(other.slots_of(handles))
        old, new = other.handles_of(slots), self._copy_rows(other, slots, {})
        order = np.argsort(old)
        copies = SlotMap(old[order], new[order])
        self.references.redirect(self.slots_of(new), copies)
        return copies

    def _copy_rows(self, source: Structure, slots: NDArray[np.uint32], values: dict[str, Any]) -> NDArray[np.uint64]:
        """Copies of a world's rows, of any kinds, as new entities of this one."""
        numbers = source.page_kind[slots // PAGE]
        kinds = [source.kinds[number] for number in np.unique(numbers)]
        self.register(*kinds)
        check_room(self, {kind: int((numbers == source.kinds.index(kind)).sum()) for kind in kinds})
        out = np.zeros(len(slots), np.uint64)
        for kind in kinds:
            chosen = np.flatnonzero(numbers == source.kinds.index(kind))
            given = {name: rows_of(value, chosen, len(slots)) for name, value in values.items()}
            out[chosen] = self.spawn(kind, len(chosen), **given)
            self._copy_components(source, kind, slots[chosen], out[chosen], given)
        return out

    def _copy_components(
        self, source: Structure, kind: Kind, old: NDArray[np.uint32], handles: NDArray[np.uint64], given: dict[str, Any]
    ) -> None:
        new = self.slots_of(handles)
        for c in kind.components + kind.optional:
            if c.__name__ in given:
                continue
            has = source.signature[old] & np.uint64(source.bit(c)) != 0
            if is_object(c):
                kept = [copy.deepcopy(source[c][slot]) for slot in old[has].tolist()]
                self[c].drop(new[~has])
                self[c].write(new[has], kept)
            for name, column in source.arrays_of(c).items():
                self.column(c, name)[new[has]] = column[old[has]]
            if c in kind.optional:
                self._flip(new[has], c, True)
                self._flip(new[~has], c, False)  # what the kind's defaults gave

    def hide(self, handles: Handles) -> None:
        """Keep entities out of queries, systems and what clients see, with all that they have, until `show`.

        Handles, `get`, `set`, `add`, `remove` and `despawn` go on working. Raises StaleHandleError.
        """
        self._veil(handles, True)

    def show(self, handles: Handles) -> None:
        """Let hidden entities take part again. Raises StaleHandleError."""
        self._veil(handles, False)

    def is_hidden(self, handles: Handles) -> NDArray[np.bool_]:
        """bool[n]: whether each entity is hidden. Raises StaleHandleError."""
        hidden: NDArray[np.bool_] = self.signature[self.slots_of(handles)] & storage.HIDDEN_BIT != 0
        return hidden

    def _veil(self, handles: Handles, hidden: bool) -> None:
        slots = self.slots_of(handles)
        slots = slots[(self.signature[slots] & storage.HIDDEN_BIT != 0) != hidden]
        if len(slots):
            storage.flip(slots, storage.HIDDEN_BIT, hidden, self.signature)
            tick = self._changed()
            # Whoever goes by births, as replication does, sees it end and begin.
            self.born[slots] = DEAD if hidden else tick

    def named(self, text: str) -> int:
        """The handle of the entity whose `Name` has this text; 0 if there is none. Looks at every name.

        Raises
        ------
        ArgumentError
            Several have it.
        """
        slots = [slot for slot, name in self._objects.get(Name, ()) if name.text == text]
        if len(slots) > 1:
            raise ArgumentError(f"{len(slots)} entities are called {text!r}")
        return int(self.handles_of(np.array(slots, np.uint32))[0]) if slots else 0

    def clear(self) -> int:
        """End every entity; kinds, systems, resources and time stay. Returns how many ended."""
        return self.despawn(self.handles_of(np.flatnonzero(self.signature).astype(np.uint32)))

    def components_of(self, handle: int) -> tuple[Component, ...]:
        """The components that an entity has. Raises StaleHandleError."""
        bits = int(self.signature[self._slot_of(handle)])
        return tuple(c for c in self.components if bits & self.bit(c))

    def validate(self) -> dict[str, NDArray[np.uint64]]:
        """The entities with values that nobody could have given: outside a field's range, not finite, of no member of
        an enum, or referring to the dead; by "Component.field", empty where all is well.

        Systems write without checks; this is for tests and for finding out.
        """
        return validate(self)

    def compact(self, *kinds: Kind, order: str | None = None) -> SlotMap:
        """Move entities together, so that pages that were left half empty by despawning are free or full again.

        For quiet moments: whoever moves gets another handle, and the old one is refused. References in components,
        observers and players follow by themselves; handles that you keep are yours to translate. Clients see what
        moved leave and enter.

        Parameters
        ----------
        *kinds : Kind
            Whose entities; all kinds unless given.
        order : str, optional
            "Component.field" of all these kinds: they then stand in ascending order of its values, so that what
            belongs together is read together. More of them move.

        Returns
        -------
        SlotMap : who moved: `translate(handles)` gives the new ones.

        Raises
        ------
        ArgumentError
            While the world ticks, or for a kind that it doesn't know.
        """
        if self._ticking:
            raise ArgumentError("compact() was called by a system; entities can move between ticks only")
        chosen = dict.fromkeys(kinds or self.kinds)
        for kind in chosen:
            if kind not in self.kinds:
                raise ArgumentError(f"this world knows no kind {kind!r}")
        plans = [plan_order(self, k, self._key(k, order)) if order else plan(self, k) for k in chosen]
        old, new = (np.concatenate([p[i] for p in plans] or [np.zeros(0, np.uint32)]) for i in (0, 1))
        if not len(old):
            return SlotMap(np.zeros(0, np.uint64), np.zeros(0, np.uint64))
        self.changes.settle()
        moved = move(self, old, new, self._changed())
        self._first_free[:] = 0
        for objects in self._objects.values():
            objects.move(old, new)
        self.references.translate(moved.translate)
        self.changes.move(old, new)
        for tell in self._when_moved:
            tell(moved)
        return moved

    def _key(self, kind: Kind, order: str) -> Callable[[NDArray[np.uint32]], NDArray[Any]]:
        """What gives rows of a kind their values of "Component.field"."""
        name, _, field = order.partition(".")
        named = {c.__name__: c for c in kind.components}
        if name not in named or field not in self.arrays_of(named[name]):
            raise ArgumentError(f"order must be a 'Component.field' that all of kind {kind.name!r} have, not {order!r}")
        column = self.column(named[name], field)
        return lambda slots: column[slots]

    def when_moved(self, tell: Callable[[SlotMap], None]) -> None:
        """Have `tell` called after every `compact` that moved something: for what keeps handles."""
        self._when_moved.append(tell)

    def schema(self) -> dict[str, Any]:
        """The components and kinds that this world knows, as plain data: names, dtypes, defaults, units, ranges."""
        return describe_world(self)

    @property
    def schema_hash(self) -> str:
        """A hash of what values mean: names, dtypes and kinds; not of defaults, units and ranges."""
        return hash_of(self.schema())

    def inspect(self, handle: int) -> Inspection:
        """All that is known of one entity, for people: prints itself. Raises StaleHandleError."""
        return inspect_entity(self, self._slot_of(handle))
