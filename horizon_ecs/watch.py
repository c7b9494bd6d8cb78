"""Watches: rows in which one thing happened, for who takes them now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE, reserve
from horizon_ecs.handles import slots_in
from horizon_ecs.tracked import Delta, Rows, Tracked, copy_rows

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities


class Watch:
    """Rows in which one thing happened since they were last taken: who looks now and then what became of a component.

    Attributes
    ----------
    event : "add" or "change"
    tracked : Tracked
    owner : any
        Who takes them.
    has_any : bool
        False where there is nothing to take.
    """

    def __init__(self, world: Entities, rows: Rows, event: str, tracked: Tracked, owner: Any) -> None:
        self._world = world
        self.event, self.tracked, self.owner = event, tracked, owner
        self.begin(rows)

    def begin(self, rows: Rows) -> None:
        """Begin anew: whatever has the component now counts as added, and nothing as changed."""
        self._rows = rows
        self._mask: NDArray[np.bool_] = reserve((self._world.n_slots,), np.bool_)
        n = self._world.n_pages_used * PAGE
        if self.event == "add":
            self._mask[:n] = (self._world.signature[:n] & self.tracked.need) != 0
        self.has_any = self.event == "add"

    def follow(self, other: Watch, n_rows: int) -> None:
        """Be as another world's."""
        copy_rows(self._mask, other._mask, n_rows)
        self.has_any = other.has_any

    def note(self, delta: Delta) -> None:
        """Take in what a sync found."""
        self._mask[slots_in(delta.removed)] = False
        self._mask[delta.gained] = self.event == "add"
        if self.event == "change":
            self._mask[delta.changed] = True
        self.has_any |= len(delta.gained) + len(delta.changed) > 0

    def take(self) -> NDArray[np.uint32]:
        """uint32[n]: the rows in which it happened, ascending; none has any more."""
        mask = self._mask[: self._world.n_pages_used * PAGE]
        slots: NDArray[np.uint32] = np.flatnonzero(mask).astype(np.uint32)
        mask[slots] = False
        self.has_any = False
        same: NDArray[np.bool_] = self._rows.generation[slots] == self._world.generation[slots]
        return slots[same]

    def move(self, rows: Rows, old: NDArray[np.uint32], new: NDArray[np.uint32]) -> None:
        """Follow rows that were moved."""
        self._rows = rows
        moved = self._mask[old]
        self._mask[old] = False
        self._mask[new] = moved
