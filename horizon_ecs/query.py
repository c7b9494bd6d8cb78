"""Queries: which rows have some components and lack others, cached until the structure changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE, VectorColumns, vectors_of
from horizon_ecs.components import Component, component_type, fields_of
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import Field
from horizon_ecs.kinds import Kind
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.world import World


Segments: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]


class Batch:
    """Some rows of one component: an array a field, by name. Assigning to a field writes into its array."""

    __slots__ = ("_arrays", "_name", "_vectors")

    def __init__(self, name: str, fields: Sequence[Field], arrays: dict[str, NDArray[Any]]) -> None:
        self._name: str
        self._arrays: dict[str, NDArray[Any]]
        self._vectors: dict[str, VectorColumns]
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_arrays", arrays)
        object.__setattr__(self, "_vectors", vectors_of(fields, arrays))

    def __getattr__(self, name: str) -> Any:
        found = self._arrays.get(name)
        if found is not None:
            return found
        if name in self._vectors:
            return self._vectors[name]
        raise AttributeError(f"{self._name} has no field {name!r}; it has {[*self._arrays, *self._vectors]}")

    def __setattr__(self, name: str, value: Any) -> None:
        place = self.__getattr__(name)
        if value is place:  # what `batch.x += 1` ends with
            return
        if not next(iter(self._arrays.values())).flags.writeable:
            raise ArgumentError(f"{self._name}.{name} can't be written: it was declared Read")
        place[...] = value

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values()), ()))

    def __repr__(self) -> str:
        return f"{self._name}({len(self)} rows: {', '.join(self._arrays)})"


class Query:
    """Rows that have all of some components and none of others; made by `World.query`.

    What it found is kept until an entity is spawned or despawned or a component added or removed.
    """

    def __init__(
        self, world: World, components: Sequence[Component], without: Sequence[Component] = (), kind: Kind | None = None
    ) -> None:
        self._world = world
        self.components = tuple(component_type(c) for c in components)
        self.without = tuple(component_type(c) for c in without)
        self.kind = kind
        self.need = int(storage.LIVE_BIT)
        for c in self.components:
            self.need |= world.bit(c)
        self.lack = 0
        for c in self.without:
            self.lack |= world.bit(c)
        self._version = -1
        self._slots: NDArray[np.uint32] | None = None
        self._pages = np.zeros(0, np.uint32)
        self._full = np.zeros(0, np.uint8)
        self._segments: Segments | None = None
        self._rest: NDArray[np.intp] | None = None

    def _refresh(self) -> None:
        world = self._world
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
            np.uint64(self.need),
            np.uint64(self.lack),
            pages,
            full,
        )
        self._pages, self._full = pages[:n], full[:n]
        self._slots = None
        self._segments = None
        self._rest = None
        self._version = world.structure_version

    def _may(self, kind: Kind) -> bool:
        every = kind.components + kind.optional
        fits = all(c in every for c in self.components) and not any(c in kind.components for c in self.without)
        return fits and (self.kind is None or kind.is_a(self.kind))

    @property
    def segments(self) -> Segments:
        """Runs of neighbouring pages that are alike.

        First row int64[n], the one after the last int64[n], whether every row matches uint8[n].
        """
        self._refresh()
        if self._segments is None:
            pages, full = self._pages.astype(np.int64), self._full
            begins = np.ones(len(pages), np.bool_)
            begins[1:] = (np.diff(pages) != 1) | (full[1:] != full[:-1])
            first = np.flatnonzero(begins)
            last = np.append(first[1:], len(pages))[: len(first)] - 1
            self._segments = pages[first] * PAGE, (pages[last] + 1) * PAGE, full[first]
        return self._segments

    @property
    def slots(self) -> NDArray[np.uint32]:
        """uint32[n]: the matching rows, ascending; indices into every column."""
        self._refresh()
        if self._slots is None:
            out = np.zeros(len(self._pages) * PAGE, np.uint32)
            n = storage.match_rows(
                self._pages, self._full, self._world.signature, np.uint64(self.need), np.uint64(self.lack), out
            )
            self._slots = out[:n]
        return self._slots

    @property
    def handles(self) -> NDArray[np.uint64]:
        """uint64[n]: the matching entities."""
        return self._world.handles_of(self.slots)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool[n_slots]: True where a row matches."""
        out = np.zeros(self._world.n_slots, np.bool_)
        out[self.slots] = True
        return out

    def __len__(self) -> int:
        return len(self.slots)

    def __repr__(self) -> str:
        lacking = "".join(f", without {c.__name__}" for c in self.without)
        return f"Query({', '.join(c.__name__ for c in self.components)}{lacking}: {len(self)} entities)"

    def arrays(self, component: Component) -> NDArray[Any]:
        """A component's values as an array [n, fields], a copy."""
        return np.stack([column[self.slots] for column in self._world[component]._arrays.values()], axis=1)

    def to_dict(self) -> dict[str, NDArray[Any]]:
        """Everything as copies: "handle", and "Component.field" for each field of each component of the query."""
        out: dict[str, NDArray[Any]] = {"handle": self.handles}
        for c in self.components:
            for field in fields_of(c):
                out[f"{c.__name__}.{field.name}"] = self._world.column(c, field.name)[self.slots]
        return out

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
            n = storage.match_rows(mixed, none, self._world.signature, np.uint64(self.need), np.uint64(self.lack), out)
            self._rest = out[:n].astype(np.intp)
        return self._rest

    def batches(self, write: Sequence[Component] = ()) -> Iterator[tuple[Batch, ...]]:
        """All matching rows in a few batches, a `Batch` a component, in the query's order; tags are left out.

        Runs of whole pages come without a copy. The rest comes gathered in one batch, which is written back after it
        was used. Only the components in `write` can be written.
        """
        wanted = [c for c in self.components if fields_of(c)]
        strangers = [c.__name__ for c in write if c not in wanted]
        if strangers:
            raise ArgumentError(f"write lists {strangers}, which the query doesn't read")
        # Both are taken now: who uses the batches may change the structure.
        runs, rest = self.runs(), self.rest()
        for rows in runs:
            yield tuple(self._batch(c, rows, c in write) for c in wanted)
        if len(rest):
            yield from self._gathered(wanted, rest, write)

    def _gathered(
        self, wanted: Sequence[Component], rest: NDArray[np.intp], write: Sequence[Component]
    ) -> Iterator[tuple[Batch, ...]]:
        world = self._world
        version, generation = world.structure_version, world.generation[rest]
        batches = tuple(self._batch(c, rest, c in write) for c in wanted)
        yield batches
        same = slice(None) if world.structure_version == version else world.generation[rest] == generation
        for c, batch in zip(wanted, batches, strict=True):
            if c in write:
                for name, values in batch._arrays.items():
                    world.column(c, name)[rest[same]] = values[same]

    def _batch(self, component: Component, rows: slice | NDArray[np.intp], writable: bool) -> Batch:
        arrays = {f.name: self._world.column(component, f.name)[rows] for f in fields_of(component)}
        for array in arrays.values():
            array.flags.writeable = writable
        return Batch(component.__name__, fields_of(component), arrays)
