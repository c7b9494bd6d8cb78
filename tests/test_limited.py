"""Budgets beside what else there is: events, texts, zones, and streams that are shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import f4
from horizon_ecs.frames import Frames
from horizon_ecs.systems.budget import OWED


@hz.component
class Position:
    x: f4
    y: f4


@hz.event
class Boom:
    power: f4


LAYERS = [hz.Layer(0, 30.0, 20.0, [Position], 1 / 16), hz.Layer(1, 60.0, 5.0, [hz.Name])]
SHIP = hz.Kind("Ship", Position, hz.Name, layers=LAYERS)
SIGN = hz.Kind("Sign", Position, hz.Name, layers=[hz.Layer(1, 60.0, 5.0, [hz.Name])])  # nothing but texts


class Harbour:
    """Ships that move about and signs that don't, come and go, and clients of all that is sent."""

    def __init__(self, n: int, seed: int = 5) -> None:
        self.rng = np.random.RandomState(seed)
        self.world = hz.World(capacity=1_024, tick_rate=20, kinds=[SHIP, SIGN])
        self.handles = [*self.spawn(SHIP, n), *self.spawn(SIGN, n // 4)]
        self.replicator = hz.Replicator(self.world, messages={Boom: 0}, zones=True, max_observers=8)
        self.replicas: dict[int, hz.Replica] = {}
        self.followed: set[tuple[int, int, int]] = set()
        self.heard: dict[int, list[int]] = {}

    def spawn(self, kind: hz.Kind, n: int) -> list[int]:
        where = self.rng.uniform(-40, 40, (n, 2)).astype(np.float32)
        names = [f"{kind.name} {self.rng.randint(1000)}" for _ in range(n)]
        handles: list[int] = self.world.spawn(kind, n, Position=where, Name=names).tolist()
        return handles

    def watch(self, budget: float | None, **where: Any) -> int:
        number = self.replicator.add_observer(**where)
        self.replicator.set_budget(number, budget)
        self.replicas[number] = hz.Replica(self.replicator.schema, phase=self.replicator.phase(number))
        self.heard[number] = []
        return number

    def churn(self) -> None:
        """Move all, rename one, replace two."""
        for column in (self.world[Position].x, self.world[Position].y):
            column += self.rng.uniform(-3, 3, len(column)).astype(np.float32)
        self.world.get(self.handles[self.rng.randint(len(self.handles))], hz.Name).text = f"n{self.rng.randint(99)}"
        for _ in range(2):
            self.world.despawn([self.handles.pop(self.rng.randint(len(self.handles)))])
        self.handles += self.spawn(SHIP, 1) + self.spawn(SIGN, 1)

    def step(self) -> Frames:
        """One tick; both sides' lists agree, and so do the zones added up."""
        self.world.tick()
        frames = self.replicator.step()
        for o, first, last in zip(frames.observers.tolist(), frames.payload, frames.stop, strict=True):
            self.replicas[o].apply(frames.buffer[first:last])
            self.heard[o] += [h for told in self.replicas[o].messages.values() for h in told.handle.tolist()]
        for c in (0, 1):
            for pairs, change in ((self.replicator.zone_exit, set.discard), (self.replicator.zone_enter, set.add)):
                observers, handles = pairs(channel=c)
                for o, h in zip(observers.tolist(), handles.tolist(), strict=True):
                    change(self.followed, (o, c, h))
        return frames

    def lists(self, observers: list[int]) -> set[tuple[int, int, int]]:
        """(observer, channel, slot) of the server's own lists."""
        out = set()
        for o in observers:
            for entry in self.replicator.followed(o).tolist():
                out |= {(o, c, entry & 0xFFFFFFFF) for c in (0, 1) if entry >> 32 + c & 1}
        return out


@pytest.mark.parametrize("factor", [1.0, 1.5, 4.0])
def test_zones_add_up_to_who_is_followed_within_any_budget(factor: float) -> None:
    harbour = Harbour(60)
    limited = harbour.watch(factor * harbour.replicator.least_budget)
    others = [limited, harbour.watch(None)]
    n_partial = n_resets = 0
    for tick in range(120):
        harbour.churn()
        if tick in (40, 80):
            (harbour.replicator.hold if tick == 40 else harbour.replicator.resume)(limited)
        frames = harbour.step()
        for i in np.flatnonzero(frames.observers == limited).tolist():
            flags = int(frames.buffer[frames.payload[i]])
            n_partial += flags >> 6 & 1
            n_resets += flags & 1
        assert {(o, c, h & 0xFFFFFFFF) for o, c, h in harbour.followed} == harbour.lists(others)
    assert n_partial > 5
    assert n_resets >= 2


def test_texts_come_through_a_budget_also_of_who_has_nothing_else() -> None:
    harbour = Harbour(60)
    limited = harbour.watch(2.0 * harbour.replicator.least_budget)
    for _ in range(60):
        harbour.churn()
        harbour.step()
    for _ in range(200):
        harbour.step()
    replica, names = harbour.replicas[limited], {}
    for handle in replica.handle.tolist():
        names[handle] = harbour.world.get(handle, hz.Name).text
    assert {handle: replica.text(handle, "Name.text") for handle in names} == names
    places = [harbour.world.get(handle, Position) for handle in harbour.handles]
    assert {h for h, at in zip(harbour.handles, places, strict=True) if np.hypot(at.x, at.y) < 59.0} <= set(names)
    assert any(harbour.world.kind_of(handle) is SIGN for handle in names)


def test_events_are_told_whatever_the_budget_and_the_state_pays_for_them() -> None:
    harbour = Harbour(60)
    limited = harbour.watch(harbour.replicator.least_budget)
    for _ in range(40):
        harbour.churn()
        harbour.step()
    purse = harbour.replicator._table.purse
    for _ in range(20):
        known = [entry for entry in harbour.replicas[limited].handle.tolist() if harbour.world.alive(entry)]
        before = len(harbour.heard[limited])
        harbour.replicator.emit(Boom, np.array(known * 20, np.uint64), {"power": 1.0})
        followed = harbour.lists([limited])
        harbour.step()
        followed &= harbour.lists([limited])
        assert len(harbour.heard[limited]) - before >= 20 * sum((limited, 0, h & 0xFFFFFFFF) in followed for h in known)
    assert purse[limited, OWED] > 0.0
    assert harbour.replicator.stats.deferred > 0


def test_who_shares_a_stream_shares_its_budget() -> None:
    harbour = Harbour(60)
    replicator = harbour.replicator
    leader = harbour.watch(None)
    budget = 2.0 * replicator.least_budget
    harbour.step()
    follower = replicator.add_observer(share=leader)
    harbour.replicas[follower] = hz.Replica(replicator.schema, phase=replicator.phase(follower))
    harbour.heard[follower] = []
    replicator.set_budget(follower, budget)
    assert replicator.budget([leader, follower]).tolist() == [budget, budget]
    taken = 0
    for tick in range(200):
        harbour.churn()
        frames = harbour.step()
        if tick >= 100:
            taken += sum(int(frames.stop[i] - frames.payload[i]) for i in np.flatnonzero(frames.observers == leader))
    assert 0 < taken <= budget * (100 / 20 + 1)
    assert harbour.replicas[leader].handle.tolist() == harbour.replicas[follower].handle.tolist()
    replicator.remove_observer(leader)
    assert replicator.budget(follower).tolist() == [budget]
    with pytest.raises(hz.ArgumentError, match="observer 0"):
        replicator.budget(leader)


def test_a_crowd_that_stands_still_is_told_whole_in_the_end() -> None:
    harbour = Harbour(60)
    limited = harbour.watch(2.0 * harbour.replicator.least_budget)
    for _ in range(20):
        harbour.churn()
        harbour.step()
    for _ in range(200):
        harbour.step()
    stats = harbour.replicator.stats
    assert (stats.deferred, stats.not_entered, stats.bytes) == (0, 0, 0)
    for handle, x in zip(
        harbour.replicas[limited].handle.tolist(), harbour.replicas[limited].column("Position", "x"), strict=True
    ):
        at = harbour.world.get(handle, Position)
        assert np.hypot(at.x, at.y) > 30.0 or harbour.world.kind_of(handle) is SIGN or abs(at.x - x) <= 1 / 32
