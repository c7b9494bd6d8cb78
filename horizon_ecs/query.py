"""Queries: which rows have some components and lack others, cached until the structure changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import tables
from horizon_ecs.batches import Batch, OptionalBatch
from horizon_ecs.columns import PAGE, reserve
from horizon_ecs.components import Component, component_type, fields_of
from horizon_ecs.errors import ArgumentError
from horizon_ecs.kinds import Kind
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.world import World


Segments: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]


def _cut(
    start: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64], full: NDArray[np.uint8], a: int, b: int
) -> Segments:
    """Of runs that begin at row `start` and hold the pages from `first` to below `last`, what lies in pages a to b."""
    mine = np.flatnonzero((last > a) & (first < b))
    low, high = np.maximum(first[mine], a), np.minimum(last[mine], b)
    begin = start[mine] + (low - first[mine]) * PAGE
    return begin, begin + (high - low) * PAGE, full[mine]


def listed(what: str, components: Iterable[Component]) -> tuple[Component, ...]:
    """A parameter that lists components, checked."""
    if components == ():
        return ()
    if isinstance(components, type) or not isinstance(components, Iterable):
        raise ArgumentError(f"{what} is a list of components, such as [Position], not {components!r}")
    return tuple(component_type(c) for c in components)


class Query:
    """Rows that have all of some components and none of others; made by `World.query`.

    What it found is kept until an entity is spawned or despawned or a component added or removed. A query stands for
    its handles wherever a world takes some: `world.despawn(query)`.

    Attributes
    ----------
    world : World
    components, without, optional, any_of : tuple of component classes
    kind : Kind, or None for all
    need, lack, either : int
        Bits of a signature of which a matching row has all, none, and at least one.
    """

    def __init__(
        self,
        world: World,
        components: tuple[Component, ...],
        without: tuple[Component, ...] = (),
        optional: tuple[Component, ...] = (),
        any_of: tuple[Component, ...] = (),
        kind: Kind | None = None,
        hidden: bool = False,
    ) -> None:
        if kind is not None and not isinstance(kind, Kind):
            raise ArgumentError(f"kind must be a Kind, not {kind!r}")
        self.world = world
        self.components, self.without, self.optional, self.any_of = components, without, optional, any_of
        self.kind, self.hidden = kind, hidden
        self._check()
        self.need = int(storage.LIVE_BIT) | self._bits(self.components)
        self.lack = self._bits(self.without) | (0 if hidden else int(storage.HIDDEN_BIT))
        # Every row that lives has this bit: where there is nothing to choose from, nothing is asked.
        self.either = self._bits(self.any_of) or int(storage.LIVE_BIT)
        self._version = -1
        self._slots: NDArray[np.uint32] | None = None
        self._pages = np.zeros(0, np.uint32)
        self._full = np.zeros(0, np.uint8)
        self._segments: Segments | None = None
        self._shares: dict[int, list[Segments]] = {}
        self._rest: NDArray[np.intp] | None = None
        self._signature: NDArray[np.uint64] | None = None

    def _bits(self, components: Iterable[Component]) -> int:
        bits = 0
        for c in components:
            bits |= self.world.bit(c)
        return bits

    def _check(self) -> None:
        every = self.components + self.optional
        for c in every + self.any_of:
            if c in self.without:
                raise ArgumentError(f"the query asks for {c.__name__}, which without excludes")
        twice = [c.__name__ for c in every if every.count(c) > 1]
        if twice:
            raise ArgumentError(f"the query names {twice[0]} twice")

    def _refresh(self) -> None:
        world = self.world
        if self._version == world.structure_version:
            return
        may = np.array([self._may(k) for k in world.kinds], np.bool_).reshape(-1)
        pages, full = np.zeros(world.n_pages_used, np.uint32), np.zeros(world.n_pages_used, np.uint8)
        used = world.n_pages_used
        n = storage.match_pages(
            world.page_kind[:used],
            world.page_live[:used],
            world.signature,
            may,
            *self._masks,
            pages,
            full,
        )
        self._pages, self._full = pages[:n], full[:n]
        self._slots = None
        self._segments = None
        self._shares = {}
        self._rest = None
        self._version = world.structure_version

    def _may(self, kind: Kind) -> bool:
        every = kind.components + kind.optional
        fits = all(c in every for c in self.components) and not any(c in kind.components for c in self.without)
        fits = fits and (not self.any_of or any(c in every for c in self.any_of))
        return fits and (self.kind is None or kind.is_a(self.kind))

    @property
    def _masks(self) -> tuple[np.uint64, np.uint64, np.uint64]:
        return np.uint64(self.need), np.uint64(self.lack), np.uint64(self.either)

    @property
    def signature(self) -> NDArray[np.uint64]:
        """uint64[n_slots]: the signatures by which a kernel tests rows of mixed pages for `need` and `lack`.

        With `any_of` a copy of those of matching rows, which `segments` brings up to date.
        """
        if self.any_of and self._signature is None:
            self._signature = reserve((self.world.n_slots,), np.uint64)
        return self.world.signature if self._signature is None else self._signature

    def take(self) -> None:
        """Find the rows as they are now: what a system's run begins with."""
        self._refresh()

    @property
    def pages(self) -> NDArray[np.uint32]:
        """uint32[n]: the pages that hold matching rows, ascending."""
        self._refresh()
        return self._pages

    @property
    def segments(self) -> Segments:
        """Runs of neighbouring pages that are alike.

        First row int64[n], the one after the last int64[n], whether every row matches uint8[n].
        """
        self._refresh()
        if self._segments is None:
            pages, full = self._pages.astype(np.int64), self._full
            for c in (c for c in self.components + self.optional if fields_of(c)):
                self.world[c].back(pages[full == 0])
            if self.any_of:
                self.signature.reshape(-1, PAGE)[pages] = 0
                self.signature[self.rest()] = self.world.signature[self.rest()]
            begins = np.ones(len(pages), np.bool_)
            begins[1:] = (np.diff(pages) != 1) | (full[1:] != full[:-1])
            first = np.flatnonzero(begins)
            last = np.append(first[1:], len(pages))[: len(first)] - 1
            self._segments = pages[first] * PAGE, (pages[last] + 1) * PAGE, full[first]
        return self._segments

    def segments_in(self, n_parts: int) -> list[Segments]:
        """`segments` in so many parts of neighbouring pages, which differ by one page at most."""
        start, stop, full = self.segments
        if n_parts not in self._shares:
            n_pages = (stop - start) // PAGE
            ends = np.cumsum(n_pages)
            cuts = len(self._pages) * np.arange(n_parts + 1) // n_parts
            self._shares[n_parts] = [
                _cut(start, ends - n_pages, ends, full, int(a), int(b)) for a, b in pairwise(cuts.tolist())
            ]
        return self._shares[n_parts]

    @property
    def slots(self) -> NDArray[np.uint32]:
        """uint32[n]: the matching rows, ascending; indices into every column."""
        self._refresh()
        if self._slots is None:
            out = np.zeros(len(self._pages) * PAGE, np.uint32)
            n = storage.match_rows(self._pages, self._full, self.world.signature, *self._masks, out)
            self._slots = out[:n]
        return self._slots

    @property
    def handles(self) -> NDArray[np.uint64]:
        """uint64[n]: the matching entities."""
        return self.world.handles_of(self.slots)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool[n_slots]: True where a row matches."""
        out = np.zeros(self.world.n_slots, np.bool_)
        out[self.slots] = True
        return out

    def present(self, component: Component) -> NDArray[np.bool_]:
        """bool[n]: which of the matching entities have a component."""
        found: NDArray[np.bool_] = (self.world.signature[self.slots] & np.uint64(self.world.bit(component))) != 0
        return found

    def __repr__(self) -> str:
        parts = [", ".join(c.__name__ for c in self.components)]
        for word, some in (("without", self.without), ("optional", self.optional), ("any of", self.any_of)):
            parts += [f"{word} {', '.join(c.__name__ for c in some)}"] if some else []
        parts += [f"kind {self.kind.name}"] if self.kind else []
        return f"Query({'; '.join(p for p in parts if p)}: {len(self)} entities)"

    # -- entities ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.slots)

    def __iter__(self) -> Iterator[int]:
        """Handles, one by one; whole arrays are faster: `handles`, `batches`."""
        return iter(self.handles.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The handles: so a query stands for them, `world.despawn(query)`."""
        return np.asarray(self.handles, dtype)

    def __contains__(self, handle: Any) -> bool:
        """Whether a handle's entity lives and matches."""
        if not self.world.alive(handle).all():
            return False
        slot = self.world._slot_of(handle)
        signature = int(self.world.signature[slot])
        fits = signature & self.need == self.need and not signature & self.lack and bool(signature & self.either)
        return fits and (self.kind is None or self.world.kind_of(handle).is_a(self.kind))

    def first(self) -> int | None:
        """The handle of the matching entity with the lowest slot; None where none matches."""
        return int(self.handles[0]) if len(self) else None

    def single(self) -> int:
        """The handle of the one matching entity. Raises ArgumentError where there are none or several."""
        if len(self) != 1:
            raise ArgumentError(f"single() takes a query of exactly one entity; this is {self!r}")
        return int(self.handles[0])

    def sample(self, n: int, rng: np.random.Generator | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of `n` different entities, chosen at random, in random order.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator, optional
            By default the world's own.

        Raises
        ------
        ArgumentError
            Fewer than `n` match.
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or not 0 <= n <= len(self):
            raise ArgumentError(f"n must be a whole number of entities from 0 to {len(self)}, not {n!r}")
        chosen = (self.world.rng if rng is None else rng).choice(len(self), n, replace=False)
        return self.handles[chosen]

    def sort_by(self, *keys: str, descending: bool | Sequence[bool] = False) -> NDArray[np.uint64]:
        """uint64[n]: the handles in the order of fields, such as "Health.hp"; the first counts most.

        Stable: equals stay in the order of their slots. NaN and missing values come last, whichever way.

        Parameters
        ----------
        *keys : str
            "Component.field" of the query's components.
        descending : bool, or one for each key

        Raises
        ------
        ArgumentError
        """
        return tables.sort_by(self, keys, descending)

    def group_by(self, key: str) -> tables.Groups:
        """Entities by the value of a field, such as "Team.id"; those without a value belong to no group.

        `for team, members in query.group_by("Team.id")` goes through them. Raises ArgumentError as `sort_by`.
        """
        return tables.group_by(self, key)

    def changed(self, component: Component, since: int | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of those whose values of a component changed in tick `since` or later.

        The component must be tracked, but needn't be one of the query's; see `World.changed`.
        """
        return self._masked(self.world.changed(component, since))

    def added(self, component: Component | Kind, since: int | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of those that gained a component in tick `since` or later; see `World.added`."""
        return self._masked(self.world.added(component, since))

    def _masked(self, mask: NDArray[np.bool_]) -> NDArray[np.uint64]:
        return self.world.handles_of(self.slots[mask[self.slots]])

    # -- values ------------------------------------------------------------------------------------------------

    def arrays(self, component: Component) -> NDArray[Any]:
        """A component's values as an array [n, fields], a copy; a masked one where the component is optional."""
        fields = fields_of(component_type(component))
        if not fields:
            raise ArgumentError(f"{component.__name__} has no fields that would make an array")
        stack = np.ma.stack if component in self.optional else np.stack
        out: NDArray[Any] = stack([tables.values_of(self, component, f) for f in fields], axis=1)
        return out

    def to_dict(self) -> dict[str, NDArray[Any]]:
        """Everything as copies: "handle", and "Component.field" for each field of each component of the query.

        An optional component's fields are masked arrays, and "Component" is bool[n]: who has it. What is an enum in
        components is its whole number here, and in records and frames.
        """
        return tables.to_dict(self)

    def to_records(self) -> NDArray[Any]:
        """The same as a structured array[n], for `numpy.save` or `query.to_records()[["handle", "Health.hp"]]`.

        Where an optional component is missing its floats are NaN, and other fields have their default: "Component"
        tells.
        """
        return tables.to_records(self)

    def to_frame(self, package: str | None = None) -> Any:
        """The same as a data frame, one row an entity.

        Parameters
        ----------
        package : "pandas" or "polars", optional
            By default the first of them that is installed.

        Returns
        -------
        pandas.DataFrame or polars.DataFrame : missing values are NaN or NA in pandas, null in polars.

        Raises
        ------
        ArgumentError
            It isn't installed; the message tells what to install.
        """
        return tables.to_frame(self, package)

    # -- batches -----------------------------------------------------------------------------------------------

    def runs(self) -> list[slice]:
        """Slices of columns in which every row matches: whole pages, neighbours joined."""
        start, stop, full = self.segments
        return [slice(int(a), int(b)) for a, b, whole in zip(start, stop, full, strict=True) if whole]

    def rest(self) -> NDArray[np.intp]:
        """intp[n]: the matching rows of pages in which not every row matches. (NumPy gathers fastest by intp.)"""
        self._refresh()
        if self._rest is None:
            mixed = np.ascontiguousarray(self._pages[self._full == 0])
            out = np.zeros(len(mixed) * PAGE, np.uint32)
            none = np.zeros(len(mixed), np.uint8)
            n = storage.match_rows(mixed, none, self.world.signature, *self._masks, out)
            self._rest = out[:n].astype(np.intp)
        return self._rest

    def batches(self, write: Sequence[Component] = ()) -> Iterator[tuple[Batch, ...]]:
        """All matching rows in a few batches, a `Batch` a component, in the query's order; tags are left out.

        Optional components come after the others, and their batches have `present`, bool[n]. Runs of whole pages come
        without a copy. The rest comes gathered in one batch, which is written back after it was used. Only the
        components in `write` can be written. Who ends while one batch is used is in none that follows.
        """
        for _, batch in self._with_rows(write):
            yield batch

    def _with_rows(
        self, write: Sequence[Component], *, guarded: bool = True
    ) -> Iterator[tuple[slice | NDArray[np.intp], tuple[Batch, ...]]]:
        """Each of `batches` with its rows; not `guarded` where nobody can change the structure meanwhile."""
        wanted = [c for c in self.components + self.optional if fields_of(c)]
        strangers = [c.__name__ for c in write if c not in wanted]
        if strangers:
            raise ArgumentError(f"write lists {strangers}, which the query doesn't read")
        turns = self._in_turn(guarded)
        self.world.changes.stamp_pages(write, self)
        for rows in turns:
            if not isinstance(rows, slice):
                yield from self._gathered(wanted, rows, write)
            else:
                yield rows, tuple(self._batch(c, rows, c in write) for c in wanted)

    def _in_turn(self, guarded: bool) -> Iterator[slice | NDArray[np.intp]]:
        """The rows of each batch, as they are when the first is asked for.

        Who uses the batches may change the structure: rows whose entity has ended by a later batch's turn are left out
        of it, whoever lives there then.

        Cost where it is `guarded`: a copy of the generations of all but the first batch's rows.
        """
        world = self.world
        every: list[slice | NDArray[np.intp]] = [*self.runs(), self.rest()]
        generations = [world.generation[rows].copy() if guarded else None for rows in every[1:]]
        version = world.structure_version
        for rows, generation in zip(every, [None, *generations], strict=True):
            if generation is not None and world.structure_version != version:
                same = world.generation[rows] == generation
                if not same.all():
                    rows = (np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)[same]
            yield rows

    def _gathered(
        self, wanted: Sequence[Component], rest: NDArray[np.intp], write: Sequence[Component]
    ) -> Iterator[tuple[NDArray[np.intp], tuple[Batch, ...]]]:
        if not len(rest):
            return
        world = self.world
        version, generation = world.structure_version, world.generation[rest]
        batches = tuple(self._batch(c, rest, c in write) for c in wanted)
        yield rest, batches
        same = slice(None) if world.structure_version == version else world.generation[rest] == generation
        for c, batch in zip(wanted, batches, strict=True):
            if c in write:
                for name, values in batch._arrays.items():
                    if values.flags.writeable:
                        world.column(c, name)[rest[same]] = values[same]

    def _batch(self, component: Component, rows: slice | NDArray[np.intp], writable: bool) -> Batch:
        arrays = {f.name: self.world.column(component, f.name)[rows] for f in fields_of(component)}
        for f in fields_of(component):
            arrays[f.name].flags.writeable = writable and not f.fixed
        if component not in self.optional:
            return Batch(component.__name__, fields_of(component), arrays)
        has = (self.world.signature[rows] & np.uint64(self.world.bit(component))) != 0
        return OptionalBatch(component.__name__, fields_of(component), arrays, has)
