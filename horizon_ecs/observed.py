"""Observed: what some observers know, decoded from their frames and compared with the world's own columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.frames import Frames
from horizon_ecs.replica import Replica
from horizon_ecs.replication import Replicator
from horizon_ecs.schema import NO_CHANNEL

SLOT_BITS = np.uint64(0xFFFFFFFF)
WATCHED = 1.5  # of the longest radius: who is so near may be followed before we look again


class Checker:
    """Decodes every frame of some observers of one kind, and compares their tables with columns rounded by NumPy.

    Parameters
    ----------
    replicator : Replicator
        Before its first step.
    observers : int64[n]
    groups : sequence of sequences of columns
        The replicated fields, in the schema's groups.
    precision : float
        What columns of floats are rounded to; those of integers are exact.

    Attributes
    ----------
    values, mismatches : int
        How many values were compared so far, and how many of them differed.
    """

    def __init__(self, replicator: Replicator, observers: NDArray[np.int64], groups: Sequence[Sequence[NDArray[Any]]],
                 precision: float) -> None:  # fmt: skip
        self._replicator, self._groups, self._precision = replicator, groups, precision
        phases = {int(o): replicator.phase(o) for o in observers.tolist()}
        self._replicas = {o: Replica(replicator.schema, phase=phase) for o, phase in phases.items()}
        self._rows = replicator.tables.longest_period + 1
        self._past: list[list[list[NDArray[np.int32]]]] = [[] for _ in range(self._rows)]
        self._place = np.full(replicator.world.n_slots, -1, np.int32)
        self._watched = np.zeros(0, np.int64)
        self._first_tick = 0
        self.values = self.mismatches = 0

    @property
    def replicas(self) -> dict[int, Replica]:
        """What each observer knows."""
        return self._replicas

    @property
    def memory_bytes(self) -> int:
        """What it keeps itself, about."""
        past = sum(values.nbytes for row in self._past for group in row for values in group)
        tables = sum(array.nbytes for replica in self._replicas.values() for array in (replica._q, replica._d))
        return past + tables + self._place.nbytes + self._watched.nbytes

    def check(self, frames: Frames) -> None:
        """Remember this tick's columns, then decode and compare what this tick's frames brought."""
        self._first_tick = self._first_tick or frames.tick
        if frames.tick % self._rows == 0 or frames.tick == self._first_tick:
            self._watch()
        self._past[frames.tick % self._rows] = [[self._now(column) for column in group] for group in self._groups]
        for observer, start, stop in zip(frames.observers, frames.payload, frames.stop, strict=True):
            replica = self._replicas.get(int(observer))
            if replica:
                replica.apply(frames.buffer[start:stop])
                self._compare(replica, frames.tick)

    def _watch(self) -> None:
        """Begin to remember who has come near: the columns of a large world would be too much."""
        replicator = self._replicator
        reach = float(replicator.tables.radius.max()) * WATCHED
        near = np.full(len(self._place), math.isinf(reach))
        for observer in self._replicas:
            slot = int(replicator.entity[observer] & SLOT_BITS)
            x, y = self._groups[0][0], self._groups[0][1]
            near |= (x - x[slot]) ** 2 + (y - y[slot]) ** 2 <= reach**2
        new = np.flatnonzero(near & (self._place < 0))
        self._place[new] = len(self._watched) + np.arange(len(new))
        self._watched = np.concatenate([self._watched, new])

    def _now(self, column: NDArray[Any]) -> NDArray[np.int32]:
        values = column[self._watched]
        if column.dtype.kind != "f":
            return values.astype(np.int32)
        return np.rint(values.astype(np.float64) / self._precision).astype(np.int32)

    def _compare(self, replica: Replica, tick: int) -> None:
        """Every value that some channel carries, as of that channel's last due tick."""
        tables = self._replicator.tables
        place = self._place[(replica.handle & SLOT_BITS).astype(np.int64)]
        for j, group in enumerate(self._groups):
            carrier = tables.carrier[0, j, replica.mask]
            # An entry whose channel has just changed waits for its first record there.
            known = np.flatnonzero((carrier != NO_CHANNEL) & (replica.stale >> j & 1 == 0))
            period = replica.period(j)[known]
            due = np.maximum(tick - (tick + replica.phase) % period, self._first_tick)
            for then in np.unique(due):
                rows = known[due == then]
                for f in range(len(group)):
                    wrong = replica.q(j)[rows, f] != self._past[then % self._rows][j][f][place[rows]]
                    self.values += len(rows)
                    self.mismatches += int(np.count_nonzero(wrong))
