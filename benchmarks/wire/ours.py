"""Horizon ECS: a world that shows the motion, and its replicator's frames, decoded and compared."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import horizon_ecs as hz
from benchmarks.wire.motion import PRECISION, YAW_PRECISION, Motion
from horizon_ecs import f4, u1
from horizon_ecs.observed import SLOT_BITS
from horizon_ecs.replica import Replica
from horizon_ecs.replication import Replicator

NAME = "Horizon ECS"


@hz.component
class Position:
    x: f4
    y: f4
    z: f4


@hz.component
class Heading:
    yaw: f4


@hz.component
class Health:
    hp: u1 = 100


class WrongValue(Exception):
    """A client knows something else than what was shown."""


@dataclass
class Sent:
    """What came out: frames in all, and who was sent what.

    Attributes
    ----------
    first_bytes, n_first : int
        Bytes and number of the first frames, which tell everything.
    n_bytes, n_updates : int
        Of all later ones; an update is an entity that an observer follows, and that has just come or has changed.
    ms : list of float
        Each later tick's replication.
    entered, left : list of (observer, entity) arrays, int64[n, 2]
        By tick.
    """

    first_bytes: int = 0
    n_first: int = 0
    n_bytes: int = 0
    n_updates: int = 0
    ms: list[float] = field(default_factory=list)
    entered: list[NDArray[np.int64]] = field(default_factory=list)
    left: list[NDArray[np.int64]] = field(default_factory=list)


class Show:
    """A motion in a world, with observers who see all, or each its own entity's surroundings."""

    def __init__(self, motion: Motion, radius: float = math.inf, observers: int = 1, threads: int | None = 1) -> None:
        self.motion = motion
        self._components = [Position, Heading, Health] if motion.n_fields == 5 else [Position]
        precision = {Position: PRECISION, Heading: YAW_PRECISION}
        listed = {c: precision[c] for c in self._components if c in precision}
        layer = hz.Layer(0, radius, motion.rate, self._components, listed)
        walker = hz.Kind("Walker", *self._components, layers=[layer])
        self.world = hz.World(capacity=motion.n_entities, tick_rate=motion.rate, kinds=[walker])
        self._walker = walker
        self._handle = np.zeros(motion.n_entities, np.uint64)
        self._entity_at = np.zeros(self.world.n_slots, np.int64)
        self.replicator = Replicator(
            self.world, max_observers=observers, max_followed=motion.n_entities, n_threads=threads
        )
        self._stands_free = math.isinf(radius)
        self._observers = observers
        self.tick = -1

    def show_next(self) -> None:
        """Turn the world to the next tick."""
        self.tick += 1
        alive = self.motion.alive[self.tick]
        before = self.motion.alive[self.tick - 1] if self.tick else np.zeros_like(alive)
        self.world.despawn(self._handle[before & ~alive])
        new = np.flatnonzero(alive & ~before)
        self._handle[new] = self.world.spawn(self._walker, len(new))
        self._entity_at[self.world.slots_of(self._handle[new])] = new
        here = np.flatnonzero(alive)
        slots, q = self.world.slots_of(self._handle[here]), self.motion.q[self.tick, here]
        position = self.world[Position]
        position.x[slots], position.y[slots], position.z[slots] = (q[:, :3] * PRECISION).T
        if self.motion.n_fields == 5:
            self.world[Heading].yaw[slots] = q[:, 3] * YAW_PRECISION
            self.world[Health].hp[slots] = q[:, 4]
        if self.tick == 0:
            for entity in range(self._observers):
                self.replicator.add_observer(entity=0 if self._stands_free else int(self._handle[entity]))

    def followed(self, observer: int) -> NDArray[np.int64]:
        """The entities that an observer follows, by their number in the motion, ascending."""
        slots = (self.replicator.followed(observer) & SLOT_BITS).astype(np.int64)
        return np.sort(self._entity_at[slots])

    def entities_of(self, replica: Replica) -> NDArray[np.int64]:
        """The same of those that a client knows, in its own order."""
        return self._entity_at[(replica.handle & SLOT_BITS).astype(np.int64)]


def send(motion: Motion, radius: float = math.inf, observers: int = 1, threads: int | None = 1,
         checked: int = 8) -> Sent:  # fmt: skip
    """Show a motion from beginning to end; every value that some of the observers know is compared with it.

    Raises
    ------
    WrongValue
    """
    show, sent = Show(motion, radius, observers, threads), Sent()
    known = [np.zeros(0, np.int64)] * observers
    replicas: dict[int, Replica] = {}
    for tick in range(motion.n_ticks):
        show.show_next()
        if tick == 0:
            some = np.unique(np.linspace(0, observers - 1, min(observers, checked)).astype(int))
            replicas = {
                int(o): Replica(show.replicator.schema, phase=show.replicator.phase(int(o))) for o in some.tolist()
            }
        show.world.tick()
        spent, started = time.thread_time_ns(), time.perf_counter_ns()
        frames = show.replicator.step()
        # What others took of a busy machine isn't counted; with one thread all of it is this thread's.
        took = min(time.perf_counter_ns() - started, time.thread_time_ns() - spent if threads == 1 else 2**62) / 1e6
        after = [show.followed(o) for o in range(observers)]
        _count(sent, motion, tick, frames, took, after)
        sent.entered.append(_pairs(after, known))
        sent.left.append(_pairs(known, after))
        known = after
        _check(show, replicas, frames, known)
    return sent


def _count(sent: Sent, motion: Motion, tick: int, frames: Any, took: float, followed: list[NDArray[np.int64]]) -> None:
    n_bytes = int((frames.stop - frames.payload).sum())
    if tick == 0:
        sent.first_bytes, sent.n_first = n_bytes, frames.n
        return
    updated = motion.updated(tick)
    sent.n_bytes += n_bytes
    sent.n_updates += sum(int(updated[f].sum()) for f in followed)
    sent.ms.append(took)


def _pairs(these: list[NDArray[np.int64]], those: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """int64[n, 2]: observer and entity of what is in these and not in those."""
    found = [np.setdiff1d(a, b, assume_unique=True) for a, b in zip(these, those, strict=True)]
    observers = np.repeat(np.arange(len(found)), [len(f) for f in found])
    return np.column_stack([observers, np.concatenate(found)])


def _check(show: Show, replicas: dict[int, Replica], frames: Any, followed: list[NDArray[np.int64]]) -> None:
    for observer, start, stop in zip(frames.observers.tolist(), frames.payload, frames.stop, strict=True):
        replica = replicas.get(observer)
        if replica is None:
            continue
        replica.apply(frames.buffer[start:stop])
        entities = show.entities_of(replica)
        found = _known(replica, show.motion.n_fields)
        if not np.array_equal(np.sort(entities), followed[observer]):
            raise WrongValue(f"{NAME}: observer {observer} knows other entities than it follows at tick {show.tick}")
        if not np.array_equal(found, show.motion.q[show.tick, entities]):
            raise WrongValue(f"{NAME}: observer {observer} knows a wrong value at tick {show.tick}")


def _known(replica: Replica, n_fields: int) -> NDArray[np.int32]:
    """int32[n, n_fields]: a client's quantised values, in the motion's order."""
    groups = [replica.q(0)[:, :3]] if n_fields == 3 else [replica.q(0)[:, :3], replica.q(1)[:, :1], replica.q(2)[:, :1]]
    return np.concatenate(groups, axis=1)
