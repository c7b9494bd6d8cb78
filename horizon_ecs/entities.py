"""Entities: slots of columns that never move, given out, taken back and checked.

An entity keeps its slot for life, and the slot is its row in every column. Kinds own pages of 1,024 slots; a signature
of component bits says what each row has. Handles carry a generation above the slot, so that one that outlived its
entity is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import arguments, kernel
from horizon_ecs.births import check_room, gifts
from horizon_ecs.changes import Changes
from horizon_ecs.columns import PAGE, Columns, reserve, round_up, write_rows
from horizon_ecs.compaction import SlotMap
from horizon_ecs.components import Component, component_type, fields_of, is_component, is_object, nearest
from horizon_ecs.errors import ArgumentError, CapacityError, DefinitionError, StaleHandleError
from horizon_ecs.fields import build, flatten
from horizon_ecs.handles import Handles, as_handles
from horizon_ecs.kinds import Kind
from horizon_ecs.objects import ObjectColumn, as_instances
from horizon_ecs.references import References
from horizon_ecs.systems import storage
from horizon_ecs.values import as_columns, by_component, parts_by_name

T = TypeVar("T")
D = TypeVar("D")
_REFUSE: Any = object()


Write: TypeAlias = tuple[NDArray[Any], Any]
"""A column, and the value or values for some of its rows."""

MAX_COMPONENTS = 62  # bits of a signature; one more says that the row lives, one that it is hidden
MAX_CAPACITY = 2**31
# Pages beyond the capacity, so that each of many kinds can hold a page that isn't full.
SPARE_PAGES = 64
DEAD = 0xFFFFFFFF


class Entities:
    """What lives in a world: kinds, their pages, and the columns. `World` adds time to it.

    Attributes
    ----------
    capacity : int
        At most so many entities live at a time.
    n_slots : int
        Rows of every column: the capacity in whole pages, and spare pages.
    signature : uint64[n_slots]
        Component bits; 0 where nothing lives, the highest bit set where something does.
    generation : uint32[n_slots]
        How often a slot was given out.
    born : uint32[n_slots]
        The tick that counts as an entity's first: the running one, or between ticks the next; 0xFFFFFFFF where nothing
        lives.
    page_kind : int16[n_slots // 1024];  page_live : int32[n_slots // 1024]
        Each page's index into `kinds`, or -1; how many live in it.
    structure_tick : int
        Like `born`, of the last spawn or despawn.
    changes : Changes
        What is known of tracked components.
    """

    def __init__(self, capacity: int) -> None:
        if not isinstance(capacity, int | np.integer) or not 1 <= capacity <= MAX_CAPACITY:
            raise ArgumentError(f"capacity must be a whole number from 1 to {MAX_CAPACITY}, not {capacity!r}")
        self.capacity = int(capacity)
        self.n_slots = round_up(self.capacity) + SPARE_PAGES * PAGE
        n_pages = self.n_slots // PAGE
        self.signature: NDArray[np.uint64] = reserve((self.n_slots,), np.uint64)
        self.generation: NDArray[np.uint32] = reserve((self.n_slots,), np.uint32)
        self.born: NDArray[np.uint32] = reserve((self.n_slots,), np.uint32)
        self.born[:] = DEAD
        self.page_kind = np.full(n_pages, storage.FREE_PAGE, np.int16)
        self.page_live = np.zeros(n_pages, np.int32)
        self._first_free = np.zeros(n_pages, np.int32)
        self.kinds: list[Kind] = []
        self.tick_count = 0
        self.structure_tick = 0
        self.structure_version = 0
        self._ticking = self._by_hand = False
        self._n_live = 0
        self._frozen: str | None = None
        self._bits: dict[Component, int] = {}
        self._columns: dict[Component, Columns] = {}
        self._objects: dict[Component, ObjectColumn] = {}
        self.references = References(self)
        self._when_moved: list[Callable[[SlotMap], None]] = []
        self.changes = Changes(self)
        kernel.warm_up("storage")

    # -- kinds and columns -------------------------------------------------------------------------------------

    def register(self, *kinds: Kind) -> None:
        """Make kinds known before their first entity. A kind that is known already is passed over.

        Raises
        ------
        ArgumentError, CapacityError
        """
        for kind in kinds:
            if not isinstance(kind, Kind):
                raise ArgumentError(f"expected a Kind, got {kind!r}")
            if kind in self.kinds:
                continue
            if any(k.name == kind.name for k in self.kinds):
                raise ArgumentError(f"this world has another kind called {kind.name!r}")
            if self._frozen:
                raise ArgumentError(
                    f"kind {kind.name!r} can't be registered any more: the kinds are fixed, since {self._frozen}; "
                    "name every kind when the world is made: World(kinds=[...])"
                )
            self._check_admits([c for c in kind.components + kind.optional if c not in self._bits])
            for c in kind.components + kind.optional:
                self._admit(c)
            self.kinds.append(kind)
            self.structure_version += 1

    def freeze_kinds(self, reason: str) -> None:
        """Refuse further kinds from now on; `reason` completes "since …"."""
        self._frozen = reason

    def bit(self, component: Component) -> int:
        """The component's bit in signatures; 0 where the world doesn't know it, so nobody has it."""
        known = self._bits.get(component) if isinstance(component, type) else None
        return known or self._bits.get(component_type(component), 0)

    def _admit(self, c: Component) -> int:
        """The component's bit; one that is new to the world is known from now on, and its columns are reserved."""
        if known := self.bit(c):
            return known
        self._check_admits([c])
        self._bits[c] = 1 << len(self._bits)
        self._columns[c] = Columns(c.__name__, fields_of(c), self.n_slots)
        if is_object(c):
            self._objects[c] = ObjectColumn(c)
        self.references.note(c)
        return self._bits[c]

    def _check_admits(self, fresh: Sequence[Component]) -> None:
        """Refuse components of which one is too many, or called as another."""
        room = MAX_COMPONENTS - len(self._bits)
        if len(fresh) > room:
            raise CapacityError(
                f"{fresh[room].__name__} would be component {MAX_COMPONENTS + 1}; a world has at most {MAX_COMPONENTS}"
            )
        names = {known.__name__ for known in self._bits}
        for c in fresh:
            if c.__name__ in names:
                raise DefinitionError(f"this world has another component called {c.__name__}")

    def _check_known(self, component: Component) -> None:
        """Refuse a component that nobody can have. Raises ArgumentError, DefinitionError."""
        if not self.bit(component):
            name, names = component.__name__, [c.__name__ for c in self._bits]
            raise ArgumentError(
                f"no kind of this world has {name}; its components are {names}{nearest(name, names)}; "
                "kinds are known once they are named in World(kinds=[...]), or spawned"
            )

    @property
    def components(self) -> list[Component]:
        """The components that this world knows."""
        return list(self._bits)

    def __getitem__(self, component: type[T]) -> Any:
        """The component's `Columns`, by field: `world[Position].x` is float32[n_slots], without a copy.

        Of an object component the `ObjectColumn`. Raises ArgumentError where no kind of this world has it.
        """
        self._check_known(component)
        return self._objects[component] if component in self._objects else self._columns[component]

    def arrays_of(self, component: Component) -> dict[str, NDArray[Any]]:
        """Every column of a component by its full name, such as "position.x". Raises as `column`."""
        self._check_known(component)
        return self._columns[component].arrays

    def column(self, component: Component, field: str) -> NDArray[Any]:
        """One column, an array over all slots. Raises ArgumentError where no kind of this world has the component."""
        self._check_known(component)
        array: NDArray[Any] = self._columns[component].array(field)
        return array

    @property
    def n_pages_used(self) -> int:
        """One more than the highest page that a kind owns."""
        used = np.flatnonzero(self.page_kind != storage.FREE_PAGE)
        return int(used[-1]) + 1 if len(used) else 0

    # -- entities ----------------------------------------------------------------------------------------------

    @property
    def is_ticking(self) -> bool:
        """Whether a tick is under way, or a system that is run by itself."""
        return self._ticking

    @property
    def tick_now(self) -> int:
        """The tick for which a change counts: the running one, or between ticks the next."""
        return self.tick_count + (0 if self._ticking and not self._by_hand else 1)

    def _changed(self) -> int:
        """Note a change of structure; the tick it counts for."""
        self.structure_version += 1
        self.structure_tick = self.tick_now
        return self.structure_tick

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
            raise _stale(given, stale)
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

    def slots_of(self, handles: Handles) -> NDArray[np.uint32]:
        """uint32[n]: the rows of entities. Raises StaleHandleError where one no longer lives."""
        given = as_handles(handles)
        slots = np.zeros(len(given), np.uint32)
        stale = storage.check_handles(given, self.generation, self.signature, slots)
        if stale >= 0:
            raise _stale(given, stale)
        return slots

    def _slot_of(self, handle: int) -> int:
        """The row of one entity."""
        slots = self.slots_of(handle)
        if len(slots) != 1:
            raise ArgumentError(f"expected one handle, got {len(slots)}")
        return int(slots[0])

    def handles_of(self, slots: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """uint64[n]: the handles of what lives at these rows. Raises ArgumentError where there is no such row."""
        if len(slots) and not 0 <= int(slots.max()) < self.n_slots:
            raise ArgumentError(f"slots must lie below {self.n_slots}; the highest is {slots.max()}")
        out = np.empty(len(slots), np.uint64)
        storage.handles_of(np.ascontiguousarray(slots, np.uint32), self.generation, out)
        return out

    def alive(self, handles: Handles) -> NDArray[np.bool_]:
        """bool[n]: whether each handle's entity lives; nobody's, 0, does not."""
        given = as_handles(handles)
        out = np.zeros(len(given), np.bool_)
        storage.alive(given, self.generation, self.signature, out)
        return out

    def has(self, handles: Handles, component: Component) -> NDArray[np.bool_]:
        """bool[n]: whether each entity has a component."""
        found: NDArray[np.bool_] = self.signature[self.slots_of(handles)] & np.uint64(self.bit(component)) != 0
        return found

    def kind_of(self, handle: int) -> Kind:
        """The kind of an entity."""
        return self.kinds[int(self.page_kind[self._slot_of(handle) // PAGE])]

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

    def count(self, kind: Kind | None = None) -> int:
        """How many entities live: all, or those of a kind and of kinds that extend it."""
        if kind is None:
            return self._n_live
        return sum(int(self.page_live[self.page_kind == i].sum()) for i, k in enumerate(self.kinds) if k.is_a(kind))

    def __len__(self) -> int:
        return self._n_live


def _each(given: Any, values: Any) -> list[tuple[Component, Any]]:
    """Each component that is given as a class, with its values, or as an instance, or in a sequence of these."""
    wanted = list(given) if isinstance(given, list | tuple) else [given]
    if values is not None and (len(wanted) != 1 or not isinstance(wanted[0], type)):
        raise ArgumentError("values are those of one component class; give instances instead: [Shield(3.0), ...]")
    return [(one, values) if isinstance(one, type) else (type(one), one) for one in wanted]


def _stale(handles: NDArray[np.uint64], index: int) -> StaleHandleError:
    handle = int(handles[index])
    if not handle:
        return StaleHandleError(f"handle 0 (index {index} of {len(handles)}) is nobody's: it stands for no entity")
    return StaleHandleError(f"handle {handle:#x} (index {index} of {len(handles)}) names no living entity")
