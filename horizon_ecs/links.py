"""Links: the relations of one world as arrays: checks of new targets, and who is tied to whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import kernel
from horizon_ecs.columns import PAGE, reserve
from horizon_ecs.components import Component
from horizon_ecs.errors import ArgumentError
from horizon_ecs.relations import is_acyclic, is_relation, on_target_death
from horizon_ecs.systems import hierarchy as kernels

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities


@dataclass(frozen=True)
class Index:
    """The sources of every target, as they were at some version of links and structure.

    Attributes
    ----------
    start : uint32[n_rows + 2]
        The sources of slot t are source[start[t]:start[t + 1]], ascending.
    source : uint32[n]
    """

    links: int
    structure: int
    start: NDArray[np.uint32]
    source: NDArray[np.uint32]

    def of(self, slots: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Where the sources of each of some slots begin and the last ones end, int64[n + 1], and their slots."""
        known = np.minimum(slots, len(self.start) - 2)  # rows that are newer than this have no sources
        first, last = self.start[known].astype(np.int64), self.start[known + 1].astype(np.int64)
        offsets = np.zeros(len(slots) + 1, np.int64)
        np.cumsum(last - first, out=offsets[1:])
        return offsets, self.source[np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], last - first)]


class Links:
    """What a world keeps of its relations.

    Attributes
    ----------
    version : int
        Changes whenever an entity may have got another target; entities and relations that end don't change it.
    bereaved : list of (relation, uint32[n])
        Rows whose target may have ended since they were last seen to.
    """

    def __init__(self, world: Entities) -> None:
        self._world = world
        self.version = 0
        self.bereaved: list[tuple[Component, NDArray[np.uint32]]] = []
        self._indexes: dict[Component, Index] = {}
        self._pending: NDArray[np.uint32] = reserve((world.n_slots,), np.uint32)
        self._mark: NDArray[np.int64] = reserve((world.n_slots,), np.int64)
        self._first_mark = 1
        self._reached: NDArray[np.bool_] = reserve((world.n_slots,), np.bool_)

    def outdate(self) -> None:
        """Note that targets are about to be written."""
        self.version += 1

    def follow(self, other: Links) -> None:
        """Be as another world's, whose columns were copied."""
        self.outdate()
        self.bereaved = list(other.bereaved)

    def relations(self, *fates: str) -> list[Component]:
        """The relations that the world knows and whose sources fare so when a target ends."""
        return [c for c in self._world.components if is_relation(c) and on_target_death(c) in fates]

    def columns(self, relation: Component) -> tuple[Any, ...]:
        """What kernels take of a relation: bit, target, signature, generation."""
        world = self._world
        bit = np.uint64(world._admit(relation))
        return bit, world.column(relation, "target"), world.signature, world.generation

    def check(self, relation: Component, slots: NDArray[np.uint32] | None, target: Any) -> None:
        """Refuse targets, living or 0, that would tie an entity to itself, or over others where cycles are refused.

        Whoever calls this writes them next. `slots` is None for entities that are yet to be spawned, which nobody can
        be tied to.

        Raises
        ------
        ArgumentError
            Names a handle on the cycle; nothing was done.
        """
        self.outdate()
        if slots is None:
            return
        targets = np.broadcast_to(np.asarray(target, np.uint64), slots.shape).copy()
        check_others(relation, self._world.handles_of(slots), targets)
        if not is_acyclic(relation) or not len(slots):
            return
        kernel.warm_up("hierarchy")
        first, self._first_mark = self._first_mark, self._first_mark + len(slots)
        found = kernels.find_cycle(slots, targets, *self.columns(relation), self._pending, self._mark, first)
        if found >= 0:
            handle = int(self._world.handles_of(np.array([found], np.uint32))[0])
            raise ArgumentError(
                f"{relation.__name__}: these targets would close a cycle through entity {handle:#x}; nothing was done"
            )

    def index(self, relation: Component, *, exact: bool = False) -> Index:
        """The sources of every target; unless it is to be exact it may still list what has ended since."""
        world = self._world
        known = self._indexes.get(relation)
        if known and known.links == self.version and (known.structure == world.structure_version or not exact):
            return known
        kernel.warm_up("hierarchy")
        slots = rows_with(world, relation)
        start = np.zeros(world.n_pages_used * PAGE + 2, np.uint32)
        source = np.zeros(len(slots), np.uint32)
        n = kernels.index_sources(slots, *self.columns(relation), start, source)
        made = self._indexes[relation] = Index(self.version, world.structure_version, start, source[:n])
        return made

    def sources_of(
        self, relation: Component, slots: NDArray[np.uint32]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """As `Index.of`, as things stand."""
        offsets, sources = self.index(relation).of(slots)
        bit, target, signature, _ = self.columns(relation)
        whose = np.repeat(self._world.handles_of(slots), np.diff(offsets))
        still = (target[sources] == whose) & (signature[sources] & bit != 0)
        if not still.all():
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(still)])[offsets]
            sources = sources[still]
        return offsets, sources

    def bereaved_by(self, slots: NDArray[np.uint32], relation: Component) -> NDArray[np.uint32]:
        """uint32[n]: rows that may be tied to some rows that are about to end; all that have the relation where there
        is no index of them: to make one takes longer than to look at them all."""
        known = self._indexes.get(relation)
        if known is not None and known.links == self.version:
            return known.of(slots)[1]
        return rows_with(self._world, relation)

    def closure(self, slots: NDArray[np.uint32], relations: Iterable[Component]) -> NDArray[np.uint32]:
        """uint32[n]: rows, each once, then their sources by any of the relations, and theirs."""
        world = self._world
        indexes = [(self.index(r), self.columns(r)) for r in relations]
        indexes = [(index, columns) for index, columns in indexes if len(index.source)]
        first = distinct(slots)
        if not indexes or not len(first):
            return first
        queue = np.empty(len(world), np.uint32)
        queue[: len(first)] = first
        self._reached[first] = True
        n, done = len(first), [0] * len(indexes)
        while min(done) < n:
            for i, (index, columns) in enumerate(indexes):
                before, done[i] = done[i], n
                n = done[i] = int(
                    kernels.close_over(queue, before, n, index.start, index.source, *columns, self._reached)
                )
        self._reached[queue[:n]] = False
        return queue[:n]


def check_others(relation: Component, handles: NDArray[np.uint64], targets: Any) -> None:
    """Refuse entities as their own targets. Raises ArgumentError."""
    own = handles[handles == targets]
    if len(own):
        raise ArgumentError(f"{relation.__name__}: entity {int(own[0]):#x} can't be its own target")


def distinct(slots: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Rows without repetitions, in the order in which they first occur."""
    return slots if len(slots) < 2 else slots[np.sort(np.unique(slots, return_index=True)[1])]


def rows_with(world: Entities, component: Component) -> NDArray[np.uint32]:
    """uint32[n]: the living rows that have a component, ascending."""
    used = world.n_pages_used * PAGE
    bit = np.uint64(world.bit(component))
    return np.flatnonzero(world.signature[:used] & bit).astype(np.uint32)
