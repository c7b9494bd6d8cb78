"""Entities: what brings them to life, ends them, and writes and reads what they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import arguments
from horizon_ecs.births import check_room, gifts
from horizon_ecs.changes import Changes
from horizon_ecs.columns import PAGE, write_rows
from horizon_ecs.compaction import SlotMap
from horizon_ecs.components import Component, component_type, fields_of, is_component, is_object
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import build, flatten
from horizon_ecs.handles import Handles, as_handles
from horizon_ecs.kinds import Kind
from horizon_ecs.objects import as_instances
from horizon_ecs.references import References
from horizon_ecs.slots import Slots, stale_handle
from horizon_ecs.systems import storage
from horizon_ecs.values import as_columns, by_component, parts_by_name

T = TypeVar("T")
D = TypeVar("D")
_REFUSE: Any = object()


Write: TypeAlias = tuple[NDArray[Any], Any]
"""A column, and the value or values for some of its rows."""


class Entities(Slots):
    """What lives in a world. `World` adds time to it.

    Attributes
    ----------
    references : References
    changes : Changes
        What is known of tracked components.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.references = References(self)
        self._when_moved: list[Callable[[SlotMap], None]] = []
        self.changes = Changes(self)

    def _admit(self, c: Component) -> int:
        is_new = not self.bit(c)
        bit = super()._admit(c)
        if is_new:
            self.references.note(c)
        return bit

    def spawn(self, kind: Kind, n: Any = None, *parts: Any, records: Any = None, **values: Any) -> NDArray[np.uint64]:
        """Bring `n` entities of a kind to life.

        Parameters
        ----------
        kind : Kind
        n : int, optional
            As many as there are records; without those 1. It may be left out before instances.
        *parts
            Components as instances, for all alike, or as classes, for their defaults: `spawn(Ship, 3, Position(1, 2))`.
        records : structured array or mapping, optional
            Values by "Component.field", and by "Component" who of them has an optional one, as `Query.to_records` and
            `to_dict` give them; its "handle" is passed over.
        **values
            By component's name: an instance or a sequence of n, a scalar or array for one field, (n, columns) or
            (columns,), a mapping from field to scalar or array, or a structured array. What isn't given takes its
            default. Giving an optional component adds it. It, or a tag, may also be True, with its defaults, False, or
            bool[n]: who has it; nor has it who is masked in a masked array of its values.

        Returns
        -------
        uint64[n] : handles.

        Raises
        ------
        ArgumentError, CapacityError
            Nothing was done.
        StaleHandleError
            A value refers to an entity that doesn't live; nothing was done.
        """
        if n is not None and not isinstance(n, int) and is_component(n if isinstance(n, type) else type(n)):
            n, parts = None, (n, *parts)
        values = parts_by_name(parts, values) if parts else values
        if records is not None:
            n = by_component(records, values, n)
        n = arguments.whole_count("n", 1 if n is None else n, "entities")
        self.register(kind)
        given = list(gifts(self, kind, values, n))
        check_room(self, {kind: n})
        bits = int(storage.LIVE_BIT) | sum(self.bit(c) for c, who, _ in given if who is None)
        number = self.kinds.index(kind)
        slots, handles = np.zeros(n, np.uint32), np.zeros(n, np.uint64)
        if n:
            together = storage.spawn(
                number, n, np.uint64(bits), np.uint32(self._changed()), self.page_kind, self.page_live,
                self._first_free, self.signature, self.generation, self.born, slots, handles
            )  # fmt: skip
            self._n_live += n
            for c, who, made in given:
                if who is None:
                    self._put(c, slots, made, together)
                else:
                    self._put(c, slots[who], made)
                    self._flip(slots[who], c, True)
        return handles

    def _made(
        self, c: Component, value: Any, n: int, default: Any = None, slots: NDArray[np.uint32] | None = None
    ) -> list[Any]:
        """What `_put` puts into rows of a component: instances, or what is to be written in its columns."""
        if is_object(c):
            return as_instances(c, default if value is None else value, n)
        return self._writes(c, value, n, default, slots) if fields_of(c) or value is not None else []

    def _put(self, c: Component, slots: NDArray[np.uint32], made: list[Any], together: bool = False) -> None:
        """Write into rows of a component what was made for them; `together` tells that they are neighbours."""
        if is_object(c):
            self._objects[c].write(slots, made)
        else:
            self._write(slots, made, together)

    def _writes(
        self, component: Component, value: Any, n: int, default: Any = None, slots: NDArray[np.uint32] | None = None
    ) -> list[Write]:
        """What is to be written in a component's columns: what is given, else what the default instance has."""
        fields, columns = fields_of(component), self._columns[component].arrays
        given = self._given(component, value, n, slots)
        else_ = {f.name: f.default for f in fields} if default is None else flatten(default, fields)
        return [(columns[f.name], given.get(f.name, else_[f.name])) for f in fields]

    def _given(
        self, component: Component, value: Any, n: int, slots: NDArray[np.uint32] | None = None
    ) -> dict[str, Any]:
        """A value by column, its references checked; `slots` are the rows, where these live already."""
        return {} if value is None else self.references.check(component, as_columns(component, value, n))

    @staticmethod
    def _write(slots: NDArray[np.uint32], writes: list[Write], together: bool = False) -> None:
        """Write into rows; `together` tells that they are neighbours, which are written as one slice."""
        for column, value in writes:
            if together:
                column[slots[0] : slots[0] + len(slots)] = value
            else:
                write_rows(column, slots, value)

    def despawn(self, handles: Handles, *, missing: str = "error") -> int:
        """End entities; a handle that occurs twice counts once.

        Parameters
        ----------
        handles : uint64, uint64[n] or Query
        missing : "error" or "ignore"
            What to do with handles whose entity no longer lives.

        Returns
        -------
        int : how many ended.

        Raises
        ------
        StaleHandleError
            Nothing was done.
        """
        if missing not in ("error", "ignore"):
            raise ArgumentError(f"missing must be 'error' or 'ignore', not {missing!r}")
        given = as_handles(handles)
        if self._objects and len(given):
            gone = given[self.alive(given)] if missing == "ignore" else given
            gone_slots = self.slots_of(gone)
        ended = np.zeros(1, np.int64)
        stale = storage.despawn(
            given, missing == "ignore", self.page_kind, self.page_live, self._first_free, self.signature,
            self.generation, self.born, ended
        )  # fmt: skip
        if stale >= 0:
            raise stale_handle(given, stale)
        if ended[0]:
            self._changed()
            self._n_live -= int(ended[0])
            for objects in self._objects.values():
                objects.drop(gone_slots)
            self.references.outdate()
            if not self._ticking:
                self.settle()
        return int(ended[0])

    def settle(self) -> None:
        """Do what follows from entities having ended: references to them become 0. At the end of each phase, and of a
        call between ticks."""
        if self.references.is_outdated:
            self.changes.stamp_all(self.references.clear_dead())

    def add(self, handles: Handles, component: Any, values: Any = None) -> None:
        """Add optional components to entities. Those that have one keep it and take the values.

        Parameters
        ----------
        handles : uint64, uint64[n] or Query
        component : component class, instance, or a sequence of them
            `add(ships, [Frozen, Shield(3.0)])` adds both, or neither where one can't be.
        values : optional
            Of a single class, as for `spawn`; defaults unless given.

        Raises
        ------
        StaleHandleError, ArgumentError
            Nothing was done.
        """
        additions: list[tuple[Component, NDArray[np.uint32], Any]] = []
        for c, value in _each(component, values):
            slots = self._optional_rows(handles, c)
            if self.bit(c):  # else there are no entities either
                additions.append((c, slots, self._made(c, value, len(slots), None, slots)))
        for c, slots, made in additions:
            self._put(c, slots, made)
            self.changes.stamp_rows(c, slots)
            self._flip(slots, c, True)

    def remove(self, handles: Handles, component: Component | Sequence[Component]) -> None:
        """Take optional components, one or several, from entities; those that lack one are passed over. Raises as
        `add`."""
        wanted: list[Any] = list(component) if isinstance(component, list | tuple) else [component]
        for c, slots in [(c, self._optional_rows(handles, c)) for c in wanted]:
            if c in self._objects:
                self._objects[c].drop(slots)
            self._flip(slots, c, False)

    def _flip(self, slots: NDArray[np.uint32], component: Component, on: bool) -> None:
        if len(slots):
            storage.flip(slots, np.uint64(self.bit(component)), on, self.signature)
            self.structure_version += 1

    def _optional_rows(self, handles: Handles, component: Component) -> NDArray[np.uint32]:
        """The rows of entities, all of whose kinds have the component as an optional one."""
        slots = self.slots_of(handles)
        component_type(component)
        seen = np.zeros(max(1, len(self.kinds)), np.bool_)
        storage.mark_kinds(slots, self.page_kind, seen)
        for kind in (k for k, found in zip(self.kinds, seen, strict=False) if found):
            if component not in kind.optional:
                what = "has it always" if component in kind.components else "doesn't know it"
                raise ArgumentError(
                    f"{component.__name__} can't be added to or removed from kind {kind.name!r}, which {what}; "
                    "list it in optional="
                )
        return slots

    @overload
    def get(self, handle: int, component: type[T]) -> T: ...

    @overload
    def get(self, handle: int, component: type[T], default: D) -> T | D: ...

    def get(self, handle: int, component: type[T], default: Any = _REFUSE) -> Any:
        """One entity's component, as an instance: a copy, but of an object component the instance itself.

        Raises
        ------
        StaleHandleError
        ArgumentError
            The entity doesn't have the component, and no default was given.
        """
        slot = self._slot_of(handle)
        if not int(self.signature[slot]) & self.bit(component):
            if default is not _REFUSE:
                return default
            raise ArgumentError(f"this {self.kinds[self.page_kind[slot // PAGE]].name} has no {component.__name__}")
        if is_object(component):
            return self._objects[component][slot]
        columns = self._columns[component].arrays
        return build(component, fields_of(component), {name: column[slot] for name, column in columns.items()})

    def set(self, handles: Handles, component: Any, values: Any = None) -> None:
        """Write components of entities that have them.

        Parameters
        ----------
        handles : uint64, uint64[n] or Query
        component : component class, instance, or a sequence of instances
            `set(ships, [Position(1, 2), Health(50)])` writes both, or neither where one can't be.
        values
            Of a class, as for `spawn`; what a mapping doesn't name stays.

        Raises
        ------
        StaleHandleError, ArgumentError
            Nothing was done.
        """
        slots = self.slots_of(handles)
        changes: list[tuple[Component, list[Any]]] = []
        for c, value in _each(component, values):
            if value is None:
                raise ArgumentError(f"set() was given no values of {c.__name__}; give some, or an instance of it")
            if not (self.signature[slots] & np.uint64(self.bit(c))).all():
                raise ArgumentError(f"not all of these entities have {c.__name__}")
            if not self.bit(c):  # then there are no entities either
                continue
            if is_object(c):
                changes.append((c, as_instances(c, value, len(slots))))
            else:
                given = self._given(c, value, len(slots), slots)
                changes.append((c, [(self.column(c, name), numbers) for name, numbers in given.items()]))
        for c, made in changes:
            self._put(c, slots, made)
            self.changes.stamp_rows(c, slots)


def _each(given: Any, values: Any) -> list[tuple[Component, Any]]:
    """Each component that is given as a class, with its values, or as an instance, or in a sequence of these."""
    wanted = list(given) if isinstance(given, list | tuple) else [given]
    if values is not None and (len(wanted) != 1 or not isinstance(wanted[0], type)):
        raise ArgumentError("values are those of one component class; give instances instead: [Shield(3.0), ...]")
    return [(one, values) if isinstance(one, type) else (type(one), one) for one in wanted]
