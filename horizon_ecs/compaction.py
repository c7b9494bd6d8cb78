"""Compaction: entities moved together, so that every kind's pages are full but its last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.handles import slots_in
from horizon_ecs.kinds import Kind
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities

DEAD = int(storage.DEAD)


@dataclass(frozen=True)
class SlotMap:
    """Entities that were moved, and the handles they have now.

    Attributes
    ----------
    old, new : uint64[n]
        Handles, ascending by the old one; an old one is refused from now on.
    """

    old: NDArray[np.uint64]
    new: NDArray[np.uint64]

    @property
    def old_slots(self) -> NDArray[np.uint32]:
        """uint32[n]: the rows that were left."""
        return slots_in(self.old)

    @property
    def new_slots(self) -> NDArray[np.uint32]:
        """uint32[n]: the rows that were taken."""
        return slots_in(self.new)

    def translate(self, handles: ArrayLike) -> NDArray[np.uint64]:
        """uint64, of the same shape: each handle as it is now; those of entities that stayed are unchanged."""
        given = np.asarray(handles, np.uint64)
        if not len(self.old):
            return given.copy()
        at = np.minimum(np.searchsorted(self.old, given), len(self.old) - 1)
        return np.where(self.old[at] == given, self.new[at], given)

    def __len__(self) -> int:
        return len(self.old)


def plan(world: Entities, kind: Kind) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The slots that one kind's entities leave, highest first, and the free ones lower down that they take."""
    pages = np.flatnonzero(world.page_kind == world.kinds.index(kind)).astype(np.uint32)
    room = len(pages) * PAGE
    old, new = np.zeros(room, np.uint32), np.zeros(room, np.uint32)
    n = storage.plan_moves(pages, world.signature, old, new)
    return old[:n], new[:n]


def plan_order(
    world: Entities, kind: Kind, key: Callable[[NDArray[np.uint32]], NDArray[Any]]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The slots of one kind's entities that change places so that they stand together and ascend by a key."""
    rows = np.flatnonzero(world.page_kind == world.kinds.index(kind))[:, None] * PAGE + np.arange(PAGE)
    every = rows.reshape(-1).astype(np.uint32)
    living = every[world.signature[every] != 0]
    old, new = living[np.argsort(key(living), kind="stable")], every[: len(living)]
    moves = old != new
    return old[moves], new[moves]


def move(world: Entities, old: NDArray[np.uint32], new: NDArray[np.uint32], tick: int) -> SlotMap:
    """Carry rows over, with their columns, and count the pages again; rows may change places with each other."""
    before = world.handles_of(old)
    columns = [array for c in world.components for array in world.arrays_of(c).values()]
    for array in columns:
        array[new] = array[old]
    signature, hidden = world.signature[old], world.born[old] == DEAD
    world.signature[old], world.born[old] = 0, DEAD
    world.generation[old] = world.generation[old] % storage.MAX_GENERATION + 1
    world.generation[new] = np.maximum(world.generation[new], 1)
    # Who moved is somebody new to those who know rows by number.
    world.signature[new], world.born[new] = signature, np.where(hidden, DEAD, tick)
    used = world.n_pages_used
    world.page_live[:used] = (world.signature[: used * PAGE].reshape(used, PAGE) != 0).sum(axis=1)
    world.page_kind[world.page_live == 0] = storage.FREE_PAGE
    order = np.argsort(before)
    return SlotMap(before[order], world.handles_of(new)[order])
