"""Fresh rows: those of a query whose components changed or were added since it was last asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE, reserve
from horizon_ecs.components import Component
from horizon_ecs.query import Query

if TYPE_CHECKING:
    from horizon_ecs.declare import System
    from horizon_ecs.world import World


class Fresh(Query):
    """A query of one system that finds only what is fresh to it: any of some components changed, or any was added.

    It finds what `take` took, until that is called again. Every row is one of a mixed page, and `signature` shows no
    other rows, so that kernels that test rows by it pass over them.
    """

    def __init__(self, world: World, system: System[..., Any], components: tuple[Component, ...]) -> None:
        super().__init__(world, components, system.without, system.optional, system.any_of)
        wanted = [("change", c) for c in system.changed] + [("add", c) for c in system.added]
        self._watches = [world.changes.watch(event, c, system) for event, c in wanted]
        self._shown: NDArray[np.uint64] = reserve((world.n_slots,), np.uint64)
        self._find(np.zeros(0, np.uint32))

    @property
    def signature(self) -> NDArray[np.uint64]:
        """uint64[n_slots]: those of the rows that were taken, 0 elsewhere."""
        return self._shown

    def take(self) -> None:
        """Find what became fresh since the last time."""
        found = [watch.take() for watch in self._watches if watch.has_any]
        if not found and not len(self.slots):
            return
        slots = np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint32)
        fits = self.fits(self.world.signature[slots])
        self._shown[self.slots] = 0
        self._find(slots[fits])
        self._shown[self.slots] = self.world.signature[self.slots]

    def _find(self, slots: NDArray[np.uint32]) -> None:
        self._slots, self._rest = slots, slots.astype(np.intp)
        self._pages = np.unique(slots // np.uint32(PAGE))
        self._full = np.zeros(len(self._pages), np.uint8)
        self._segments, self._shares = None, {}

    def _refresh(self) -> None:
        """What was taken stays as it is."""
