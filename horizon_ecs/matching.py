"""Matching: which rows have some components and lack others, cached until the structure changes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import arguments
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
    return tuple(component_type(c) for c in arguments.sequence(what, components, "components, such as [Position]"))


class Matching:
    """Rows that have all of some components and none of others.

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
            bits |= self.world._admit(c)
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
        used = world.n_pages_used
        pages, full = np.zeros(used, np.uint32), np.zeros(used, np.uint8)
        n = storage.match_pages(
            world.page_kind[:used], world.page_live[:used], world.signature, may, *self.masks, pages, full
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
    def masks(self) -> tuple[np.uint64, np.uint64, np.uint64]:
        """`need`, `lack` and `either`, as kernels take them."""
        return np.uint64(self.need), np.uint64(self.lack), np.uint64(self.either)

    @property
    def question(self) -> tuple[Any, ...]:
        """What decides who matches: the same for the same question to any world."""
        return self.components, self.without, self.any_of, self.kind, self.hidden

    def fits(self, signature: Any) -> Any:
        """bool[n]: whether rows with these signatures, uint64[n], have and lack what they should; of any kind."""
        need, lack, either = self.masks
        return ((signature & need) == need) & ((signature & lack) == 0) & ((signature & either) != 0)

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
            n = storage.match_rows(self._pages, self._full, self.world.signature, *self.masks, out)
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
            n = storage.match_rows(mixed, none, self.world.signature, *self.masks, out)
            self._rest = out[:n].astype(np.intp)
        return self._rest
