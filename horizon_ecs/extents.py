"""Extents: the profiles and radius scales that entities were given, by slot; nothing is kept until one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.errors import ArgumentError
from horizon_ecs.levels import MAX_SCALE, PLAIN, class_of
from horizon_ecs.systems import extents

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap
    from horizon_ecs.entities import Entities

PAGE = extents.PAGE


class Extents:
    """What `set_profile` and `set_radius_scale` said, and what follows for a tick.

    Parameters
    ----------
    world : Entities

    Attributes
    ----------
    kind : uint8[capacity]
        Each entity's schema kind as of the last tick.
    level : int16[capacity];  inverse : float32[capacity]
        See `systems.extents.settle`.
    page_kind : int16[n_pages]
        Of all entities of a page, `extents.MIXED` where they have several.
    switched : uint8[capacity]
        Whose kind changed in the last tick, `n_switched` of them.
    """

    def __init__(self, world: Entities) -> None:
        n = world.n_slots
        self._world = world
        self.given = np.zeros(n, np.uint32)
        self.profile, self.scale_class = np.zeros(n, np.uint8), np.full(n, PLAIN, np.uint8)
        self.scale = np.ones(n, np.float32)
        self.kind, self.switched = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        self.level, self.inverse = np.zeros(n, np.int16), np.ones(n, np.float32)
        self.page_kind = np.full(n // PAGE, -1, np.int16)
        self.n_switched = 0

    def start_from(self, first_kind: NDArray[np.int16]) -> None:
        """So far every entity has its kind's first profile; by page, -1 where nothing is replicated."""
        self.kind[: len(first_kind) * PAGE] = np.repeat(np.maximum(first_kind, 0).astype(np.uint8), PAGE)

    def _touch(self, slots: NDArray[np.uint32]) -> None:
        """Forget what was given to those who lived in these slots before."""
        new = slots[self.given[slots] != self._world.generation[slots]]
        self.given[new] = self._world.generation[new]
        self.profile[new], self.scale_class[new], self.scale[new] = 0, PLAIN, 1.0

    def set_profile(self, slots: NDArray[np.uint32], numbers: NDArray[np.uint8]) -> None:
        """Give each a profile by its number within the kind."""
        self._touch(slots)
        self.profile[slots] = numbers

    def set_scale(self, slots: NDArray[np.uint32], scales: NDArray[np.float32]) -> None:
        """Multiply each one's radii."""
        self._touch(slots)
        self.scale[slots], self.scale_class[slots] = scales, class_of(scales)

    def of(self, slots: NDArray[np.uint32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Number of the profile and radius scale that each was given."""
        given = self.given[slots] == self._world.generation[slots]
        return np.where(given, self.profile[slots], 0), np.where(given, self.scale[slots], np.float32(1.0))

    def follow(self, moved: SlotMap) -> None:
        """Entities that stand in other slots keep what they were given."""
        old, new = moved.old_slots, moved.new_slots
        mine = self.given[old] == (moved.old >> np.uint64(32)).astype(np.uint32)
        profile, scale = np.where(mine, self.profile[old], 0), np.where(mine, self.scale[old], np.float32(1.0))
        self.set_profile(new, profile.astype(np.uint8))
        self.set_scale(new, scale)

    def settle(self, pages: NDArray[np.uint32], first_kind: NDArray[np.int16], tick: int,
               level_of: NDArray[np.int16]) -> list[tuple[int, int]]:  # fmt: skip
        """Work out what follows for a tick; the kinds and scale classes that lack a level."""
        world, missing = self._world, np.zeros(level_of.shape, np.uint8)
        self.n_switched = int(extents.settle(
            pages, first_kind, world.born, np.uint32(tick), world.generation, self.given, self.profile,
            self.scale_class, self.scale, level_of, self.kind, self.level, self.inverse, self.page_kind, self.switched,
            missing
        ))  # fmt: skip
        return list(zip(*(column.tolist() for column in np.nonzero(missing)), strict=True))

    def relevel(self, pages: NDArray[np.uint32], level_of: NDArray[np.int16]) -> None:
        """Find every level again, after there have come to be others."""
        rows = (pages[:, None].astype(np.int64) * PAGE + np.arange(PAGE)).reshape(-1)
        given = self.given[rows] == self._world.generation[rows]
        self.level[rows] = level_of[self.kind[rows], np.where(given, self.scale_class[rows], PLAIN)]

    def mixed(self, pages: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """bool[n]: the pages whose entities have several kinds."""
        found: NDArray[np.bool_] = self.page_kind[pages] == extents.MIXED
        return found


def checked_scales(scales: ArrayLike, n: int) -> NDArray[np.float32]:
    """float32[n] of what was given as radius scales, one for all or one each. Raises ArgumentError."""
    low, high = 1.0 / MAX_SCALE, MAX_SCALE
    try:
        given = np.broadcast_to(np.asarray(scales, np.float32), (n,))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"scales must be a number or {n} of them, one for each handle, not {scales!r}") from error
    wrong = np.flatnonzero(~((given >= low) & (given <= high)))
    if len(wrong):
        raise ArgumentError(f"scales must lie between 1/{high:g} and {high:g}, not {float(given[wrong[0]])!r}")
    return given.copy()
