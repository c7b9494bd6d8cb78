"""Slots: rows of columns that never move, the kinds that own them, and the handles that name them.

An entity keeps its slot for life, and the slot is its row in every column. Kinds own pages of 1,024 slots; a signature
of component bits says what each row has. Handles carry a generation above the slot, so that one that outlived its
entity is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import kernel
from horizon_ecs.columns import PAGE, Columns, reserve, round_up
from horizon_ecs.components import Component, component_type, fields_of, is_object, nearest
from horizon_ecs.errors import ArgumentError, CapacityError, DefinitionError, StaleHandleError
from horizon_ecs.handles import Handles, as_handles
from horizon_ecs.kinds import Kind
from horizon_ecs.objects import ObjectColumn
from horizon_ecs.systems import storage

T = TypeVar("T")

MAX_COMPONENTS = 62  # bits of a signature; one more says that the row lives, one that it is hidden
MAX_CAPACITY = 2**31
# Pages beyond the capacity, so that each of many kinds can hold a page that isn't full.
SPARE_PAGES = 64
DEAD = 0xFFFFFFFF


class Slots:
    """Kinds, their pages, and the columns: which slot is whose. `Entities` fills them.

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
        kernel.warm_up("storage")

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

    def slots_of(self, handles: Handles) -> NDArray[np.uint32]:
        """uint32[n]: the rows of entities. Raises StaleHandleError where one no longer lives."""
        given = as_handles(handles)
        slots = np.zeros(len(given), np.uint32)
        stale = storage.check_handles(given, self.generation, self.signature, slots)
        if stale >= 0:
            raise stale_handle(given, stale)
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

    def count(self, kind: Kind | None = None) -> int:
        """How many entities live: all, or those of a kind and of kinds that extend it."""
        if kind is None:
            return self._n_live
        return sum(int(self.page_live[self.page_kind == i].sum()) for i, k in enumerate(self.kinds) if k.is_a(kind))

    def __len__(self) -> int:
        return self._n_live


def stale_handle(handles: NDArray[np.uint64], index: int) -> StaleHandleError:
    """What to raise about one of some handles."""
    handle = int(handles[index])
    if not handle:
        return StaleHandleError(f"handle 0 (index {index} of {len(handles)}) is nobody's: it stands for no entity")
    return StaleHandleError(f"handle {handle:#x} (index {index} of {len(handles)}) names no living entity")
