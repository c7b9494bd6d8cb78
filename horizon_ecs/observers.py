"""Observers: points of view, a row each, and how they are spread over the ticks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from horizon_ecs.errors import ArgumentError, CapacityError
from horizon_ecs.rows import Rows
from horizon_ecs.schema import N_RATES
from horizon_ecs.systems import observers as kernels
from horizon_ecs.systems.budget import N_PURSE

FREE, LIVE, HELD = kernels.FREE, kernels.LIVE, kernels.HELD


class Observers:
    """The observers' table: one row each, as arrays, of which the first `n_used` are or were given out.

    Parameters
    ----------
    max_observers, max_followed, n_kinds : int
    n_phases : int
        Phases that observers are spread over.
    """

    def __init__(self, max_observers: int, max_followed: int, n_kinds: int, n_phases: int) -> None:
        n = max_observers
        self.n_phases = n_phases
        self._in_phase = np.zeros(n_phases, np.int64)
        self.n_used = 0
        self.status = np.zeros(n, np.uint8)
        self.wants_reset = np.zeros(n, np.uint8)
        self.reset_tick = np.zeros(n, np.uint32)
        self.sent_tick = np.zeros(n, np.uint32)
        self.evaluated_tick = np.zeros(n, np.uint32)
        self.entity = np.zeros(n, np.uint64)
        self.position = np.zeros((n, 3), np.float32)
        self.phase = np.zeros(n, np.int64)
        self.rows = Rows(n, max_followed)
        self.n_followed = self.rows.n_followed
        self.needs = np.zeros(n, np.int64)
        self.reach_scale = np.ones(n, np.float32)
        self.crowded = np.zeros(n, np.uint8)
        self.work = np.zeros(n, np.int64)
        self.looks = np.zeros(n, np.uint8)
        # How many times periods are doubled: as asked for, by adaptation, the larger of both, and as of the last frame.
        self.own_rate, self.adapted_rate, self.rate, self.told_rate = np.zeros((4, n), np.uint8)
        self.purse, self.limited = np.zeros((n, N_PURSE)), np.zeros(n, np.uint8)
        self.served = np.zeros(n, np.uint32)
        self.served_reset = np.zeros(n, np.uint8)
        self.order = np.zeros(n, np.uint32)
        self.due_by_phase = np.zeros((N_RATES, n_phases, n_kinds), np.int64)
        self.in_tile = np.zeros(kernels.N_TILES + 1, np.int32)
        self.due = np.zeros((n, n_kinds), np.int64)
        self.span = np.zeros((n, 3), np.int64)

    def check(self, observer: int) -> None:
        """Raise ArgumentError where there is no such observer."""
        if not 0 <= observer < len(self.status) or self.status[observer] == FREE:
            raise ArgumentError(f"observer {observer!r} doesn't exist")

    def add(self, entity: int, position: ArrayLike | None) -> int:
        """Give out a row. Raises CapacityError, ArgumentError."""
        free = np.flatnonzero(self.status[: self.n_used] == FREE)
        observer = int(free[0]) if len(free) else self.n_used
        if observer >= len(self.status):
            raise CapacityError(f"all {len(self.status)} observers are taken (max_observers)")
        where = np.zeros(3, np.float32)
        if position is not None:
            given = np.asarray(position, np.float32)
            if given.shape not in ((2,), (3,)) or not np.isfinite(given).all():
                raise ArgumentError(f"position must be two or three finite numbers, not {position!r}")
            where[: len(given)] = given
        self.n_used = max(self.n_used, observer + 1)
        self.status[observer], self.wants_reset[observer] = LIVE, 1
        self.reset_tick[observer] = self.sent_tick[observer] = self.evaluated_tick[observer] = 0
        self.entity[observer], self.position[observer] = entity, where
        self.crowded[observer] = self.work[observer] = 0
        self.reach_scale[observer] = 1.0
        self.purse[observer], self.limited[observer] = 0.0, 0
        self.own_rate[observer] = self.told_rate[observer] = 0
        self.rate[observer] = self.adapted_rate[observer]
        self.phase[observer] = self._emptiest_phase()
        self._in_phase[self.phase[observer]] += 1
        return observer

    def remove(self, observer: int) -> None:
        """Take a row back. Raises ArgumentError."""
        self.check(observer)
        self._in_phase[self.phase[observer]] -= 1
        self.rows.release(observer)
        self.status[observer], self.entity[observer] = FREE, 0

    def take_phase(self, observer: int, phase: int) -> None:
        """Give an observer another phase."""
        self._in_phase[self.phase[observer]] -= 1
        self._in_phase[phase] += 1
        self.phase[observer] = phase

    def _emptiest_phase(self) -> int:
        """The phase with the fewest observers; ties in golden steps, so that few observers lie far apart."""
        n = self.n_phases
        step = next(s for s in range(max(1, round(n * 0.618)), 2 * n + 2) if math.gcd(s, n) == 1)
        order = np.arange(n) * step % n
        return int(order[np.argmin(self._in_phase[order])])
