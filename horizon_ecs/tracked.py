"""Tracked components: copies of values as they were, and when which row changed."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE, reserve
from horizon_ecs.components import Component, component_type, fields_of, is_object
from horizon_ecs.errors import ArgumentError
from horizon_ecs.handles import handles_at
from horizon_ecs.kinds import Kind
from horizon_ecs.query import Query
from horizon_ecs.systems import changes as kernels
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities

Trackable: TypeAlias = Component | Kind | Query
"""A component that entities have, a kind that they are of, or a query that they match."""

MAX_HISTORY = 128
"""Ticks for which handles of what lost a component are kept, unless a world is told otherwise."""

_NO_SLOTS = np.zeros(0, np.uint32)
_NO_HANDLES = np.zeros(0, np.uint64)


def key_of(what: Trackable, world: Entities) -> Any:
    """What is the same for the same thing, in any world. Raises DefinitionError or ArgumentError where it is none."""
    if isinstance(what, Query):
        if what.world is not world:
            raise ArgumentError(f"{what!r} is a query of another world")
        return what.question
    return what if isinstance(what, Kind) else component_type(what)


def follow_handles(handles: NDArray[np.uint64], old: NDArray[np.uint64], new: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Handles with those replaced whose entities were moved; `old` ascends."""
    if not len(old):
        return handles
    at = np.minimum(np.searchsorted(old, handles), len(old) - 1)
    return np.where(old[at] == handles, new[at], handles)


class Delta(NamedTuple):
    """What happened to one component: the slots of what gained it, the handles of what lost it, the slots of what has
    other values."""

    gained: NDArray[np.uint32]
    removed: NDArray[np.uint64]
    changed: NDArray[np.uint32]


def copy_rows(to: NDArray[Any], source: NDArray[Any], n_rows: int) -> None:
    """Copy rows, and clear those that the source is too short for."""
    n = min(n_rows, len(source))
    to[:n] = source[:n]
    to[n:n_rows] = 0


class Rows:
    """Who lived where with which components at the last sync, and what differs since.

    Attributes
    ----------
    signature : uint64[n_slots];  generation : uint32[n_slots];  page_kind : int16[n_pages]
        As they were.
    """

    def __init__(self, world: Entities) -> None:
        self._world = world
        self.signature: NDArray[np.uint64] = reserve((world.n_slots,), np.uint64)
        self.generation: NDArray[np.uint32] = reserve((world.n_slots,), np.uint32)
        self.page_kind: NDArray[np.int16]
        self._n_pages: int
        self.take(slice(0, world.n_pages_used * PAGE))

    def follow(self, other: Rows, n_rows: int, translate: Callable[[NDArray[np.uint64]], NDArray[np.uint64]]) -> None:
        """Be as another world's, whose tables were copied; its signatures are translated."""
        copy_rows(self.signature, translate(other.signature[:n_rows]), n_rows)
        copy_rows(self.generation, other.generation, n_rows)
        n_pages = min(len(other.page_kind), len(self.page_kind))
        self.page_kind = np.full(len(self.page_kind), storage.FREE_PAGE, np.int16)
        self.page_kind[:n_pages] = other.page_kind[:n_pages]
        self._n_pages = other._n_pages
        self._version = self._world.structure_version - (0 if other.are_current else 1)

    @property
    def are_current(self) -> bool:
        """Whether the structure is as it was."""
        return self._version == self._world.structure_version

    def take(self, rows: slice | NDArray[np.uint32]) -> None:
        """Take some rows as they stand, and note that no others differ."""
        world = self._world
        self.signature[rows], self.generation[rows] = world.signature[rows], world.generation[rows]
        self.page_kind = world.page_kind.copy()
        self._n_pages = world.n_pages_used
        self._version = world.structure_version

    def differing(self) -> NDArray[np.uint32]:
        """uint32[n]: the rows in which something else lives, or has other components."""
        world = self._world
        if self.are_current:
            return _NO_SLOTS
        n = max(self._n_pages, world.n_pages_used) * PAGE
        out = np.empty(n, np.uint32)
        found = kernels.differing_rows(
            world.signature[:n], world.generation[:n], self.signature[:n], self.generation[:n], out
        )
        return out[:found]

    def handles_of(self, slots: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """uint64[n]: the handles of what lived at these rows."""
        return handles_at(slots, self.generation)


class _Column:
    """A column read as words, and a copy of it as it was."""

    def __init__(self, column: NDArray[Any]) -> None:
        word = next(n for n in (8, 4, 2, 1) if column.itemsize % n == 0)
        self.width = column.itemsize // word
        self.now: NDArray[Any] = column.view(f"u{word}")
        self.before: NDArray[Any] = reserve(self.now.shape, self.now.dtype)

    def follow(self, other: _Column, n_rows: int) -> None:
        """Be as another world's."""
        copy_rows(self.before, other.before, n_rows * self.width)

    def take(self, rows: slice | NDArray[np.uint32]) -> None:
        """Take some rows as they stand."""
        self.before.reshape(-1, self.width)[rows] = self.now.reshape(-1, self.width)[rows]


class Tracked:
    """What is known of one component, or of the entities of one kind, or of those that match one query.

    Attributes
    ----------
    what : component class, Kind or Query
    key : hashable
        The same in any world.
    need, lack, either : uint64
        Bits of a signature of which who has it has all, none, and at least one.
    kind : Kind, or None for all
    added, changed : uint32[n_slots]
        The tick in which what lives in a row gained the component, and that in which a value last changed; 0 for never.
    is_stamped : bool
        Whether any page may have been written since the last sync.
    max_history : int
        Ticks for which `removed` reaches back.
    """

    def __init__(self, world: Entities, what: Trackable, tick: int, max_history: int) -> None:
        self._world, self.what, self.key = world, what, key_of(what, world)
        self.kind = what if isinstance(what, Kind) else what.kind if isinstance(what, Query) else None
        self.need, self.lack, self.either = self._masks()
        self._columns: list[_Column] = []
        self._writes: NDArray[np.uint32] | None = None
        self.refers = False
        if not isinstance(what, Kind | Query):
            self._columns = [_Column(world.column(what, f.name)) for f in fields_of(what)]
            self.refers = any(f.is_entity for f in fields_of(what))
            if is_object(what):  # objects can't be compared with what they were: how often each was set is their value
                self._writes = reserve((world.n_slots,), np.uint32)
                self._columns = [_Column(self._writes)]
        self.max_history = max_history
        self.begin(tick)

    def _masks(self) -> tuple[np.uint64, np.uint64, np.uint64]:
        if isinstance(self.what, Query):
            return self.what.masks
        bit = storage.LIVE_BIT if isinstance(self.what, Kind) else np.uint64(self._world._admit(self.what))
        return bit, np.uint64(0), bit

    @property
    def name(self) -> str:
        """Of the component or kind; the wording of a query."""
        if isinstance(self.what, Query):
            return f"Query({self.what.wording})"
        return self.what.name if isinstance(self.what, Kind) else self.what.__name__

    @property
    def has_values(self) -> bool:
        """Whether there is anything that could change: tags, kinds and queries only have comings and goings."""
        return bool(self._columns)

    def begin(self, tick: int) -> None:
        """Take all values as they stand, and know of nothing that happened before."""
        n_slots = self._world.n_slots
        for column in self._columns:
            column.take(slice(0, self._world.n_pages_used * PAGE))
        self.added: NDArray[np.uint32] = reserve((n_slots,), np.uint32)
        self.changed: NDArray[np.uint32] = reserve((n_slots,), np.uint32)
        self._dirty = np.zeros(n_slots // PAGE, np.bool_)
        self.is_stamped = False
        self._log: collections.deque[tuple[int, NDArray[np.uint64]]] = collections.deque()
        self._first_tick = self._known_from = tick

    def follow(self, other: Tracked, n_rows: int) -> None:
        """Know what another world knows, whose columns were copied."""
        for mine, theirs in zip(self._columns, other._columns, strict=True):
            mine.follow(theirs, n_rows)
        if self._writes is not None and other._writes is not None:
            copy_rows(self._writes, other._writes, n_rows)
        copy_rows(self.added, other.added, n_rows)
        copy_rows(self.changed, other.changed, n_rows)
        copy_rows(self._dirty, other._dirty, len(self._dirty))
        self.is_stamped, self.max_history, self._log = other.is_stamped, other.max_history, other._log.copy()
        self._first_tick, self._known_from = other._first_tick, other._known_from

    def stamp(self, pages: NDArray[np.integer[Any]] | slice) -> None:
        """Note that values in some pages may have been written."""
        self._dirty[pages] = True
        self.is_stamped = True

    def wrote(self, slots: NDArray[np.uint32] | None) -> None:
        """Note that values in some rows may have been written, or in any."""
        n_pages = self._world.n_pages_used
        if self._writes is not None:
            self._writes[slice(0, n_pages * PAGE) if slots is None else slots] += np.uint32(1)
        self.stamp(slice(0, n_pages) if slots is None else slots // np.uint32(PAGE))

    # -- between two syncs -------------------------------------------------------------------------------------

    def find(
        self,
        rows: Rows,
        differing: NDArray[np.uint32],
        tick: int,
        flag: NDArray[np.bool_],
        *,
        commit: bool,
        listing: bool,
    ) -> Delta:
        """What happened since the last sync; with `commit` this is one.

        Parameters
        ----------
        rows : Rows
            As they were then.
        differing : uint32[n]
            The rows that differ from it.
        tick : int
        flag : bool[n_slots]
            Scratch.
        commit, listing : bool
            Whether to stamp what changed, and whether to list it.
        """
        gained, removed = self._moves(rows, differing) if len(differing) else (_NO_SLOTS, _NO_HANDLES)
        changed = _NO_SLOTS
        if self.is_stamped and self._columns:
            changed = self._compare(gained, tick, flag, commit, listing)
        if commit:
            self._take(gained, removed, tick)
        return Delta(gained, removed, changed)

    def _moves(self, rows: Rows, slots: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """The slots of what has it newly, and the handles of what has it no more."""
        world, page = self._world, slots // np.uint32(PAGE)
        had = self._has(rows.signature[slots], rows.page_kind[page])
        has = self._has(world.signature[slots], world.page_kind[page])
        same = rows.generation[slots] == world.generation[slots]
        return slots[has & ~(had & same)], rows.handles_of(slots[had & ~(has & same)])

    def _has(self, signature: NDArray[np.uint64], page_kind: NDArray[np.int16]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = ((signature & self.need) == self.need) & ((signature & self.either) != 0)
        found &= (signature & self.lack) == 0
        return found if self.kind is None else found & self._of_kind(page_kind)

    def _of_kind(self, number: NDArray[np.int16]) -> NDArray[np.bool_]:
        """Whether the world's kinds of some numbers are this one; -1 is the number of none."""
        assert self.kind is not None
        is_it: NDArray[np.bool_] = np.array([*(k.is_a(self.kind) for k in self._world.kinds), False])[number]
        return is_it

    def _compare(
        self, gained: NDArray[np.uint32], tick: int, flag: NDArray[np.bool_], commit: bool, listing: bool
    ) -> NDArray[np.uint32]:
        """The slots of what has had it all along and now has another value."""
        pages = np.flatnonzero(self._dirty).astype(np.uint32)
        for i, column in enumerate(self._columns):
            kernels.compare(pages, column.width, column.now, column.before, i == 0, commit, flag)
        flag[gained] = False
        out = np.empty(len(pages) * PAGE if listing else 0, np.uint32)
        n = kernels.settle(pages, self._world.signature, self.need, commit, np.uint32(tick), flag, self.changed, out)
        return out[:n]

    def _take(self, gained: NDArray[np.uint32], removed: NDArray[np.uint64], tick: int) -> None:
        if len(gained):
            self.added[gained], self.changed[gained] = tick, 0
            for column in self._columns:
                column.take(gained)
        if self.is_stamped:
            self._dirty[:] = False
            self.is_stamped = False
        while self._log and self._log[0][0] <= tick - self.max_history:
            self._log.popleft()
        if len(removed):
            self._log.append((tick, removed))

    # -- what is known -----------------------------------------------------------------------------------------

    def recent(self, rows: Rows, stamps: NDArray[np.uint32], since: int) -> NDArray[np.bool_]:
        """bool[n_slots]: which rows are stamped with `since` or later, by what has had it since the last sync."""
        world, out = self._world, np.zeros(self._world.n_slots, np.bool_)
        n = world.n_pages_used * PAGE
        kernels.recent(
            world.signature[:n], world.generation[:n], rows.signature[:n], rows.generation[:n], self.need, self.lack,
            self.either, stamps[:n], np.uint32(max(since, 1)), out[:n],
        )  # fmt: skip
        if self.kind is not None:
            out.reshape(-1, PAGE)[~self._of_kind(world.page_kind)] = False
        return out

    def remember(self, max_history: int, tick: int) -> None:
        """Keep what was lost for more ticks; what is forgotten by now stays so."""
        self._known_from = max(self._known_from, tick - self.max_history + 1)
        self.max_history = max(self.max_history, max_history)

    def oldest(self, tick: int) -> int:
        """The first tick of which all is kept that was lost: 0 if nothing is forgotten yet."""
        known_from = max(self._known_from, tick - self.max_history + 1)
        return 0 if known_from == self._first_tick else known_from

    def removed(self, since: int) -> list[NDArray[np.uint64]]:
        """Handles of what lost it, by sync."""
        return [handles for tick, handles in self._log if tick >= since]

    def move(
        self, old: NDArray[np.uint32], new: NDArray[np.uint32], was: NDArray[np.uint64], is_now: NDArray[np.uint64]
    ) -> None:
        """Follow rows that were moved, values and all; references by other handles are the same values.

        Handles that `was`, ascending, are what `is_now`.
        """
        self.added[new], self.changed[new] = self.added[old], self.changed[old]
        for column in self._columns:
            column.take(slice(0, self._world.n_pages_used * PAGE) if self.refers else new)
        self._log = collections.deque((tick, follow_handles(lost, was, is_now)) for tick, lost in self._log)
