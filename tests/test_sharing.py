"""Observers who share a stream: the same bytes for all, and whoever joins has what those have who were always there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import kernel
from horizon_ecs.errors import ArgumentError
from tests import kernels, naive
from tests.hidden import EVERY_SECRET, Secrets
from tests.properties import few_or_many
from tests.streams import EVERYTHING, Stage, Watcher, play, table_of

COMPILED = kernel.jit_enabled()
N_TICKS = 90 if COMPILED else 15


class Gallery(Secrets):
    """A stage on which watchers look over each other's shoulders: those of one stream have one twin, its leader's."""

    def members(self, twin: naive.Observer) -> list[Watcher]:
        return [w for w in self.watchers if w.twin is twin]

    def viewers(self) -> list[Watcher]:
        return [w for w in self.watchers if w.number == w.twin.lens.number]

    def leader(self, twin: naive.Observer) -> Watcher:
        return next(w for w in self.watchers if w.number == twin.lens.number)

    def watch(self, *args: Any, **options: Any) -> Watcher:
        watcher = super().watch(*args, **options)
        watcher.joined, watcher.since = False, 0
        return watcher

    def look_over(self, other: Watcher) -> Watcher:
        """Somebody who shares what another has."""
        number = self.replicator.add_observer(share=other.number)
        watcher = Watcher(self, number, 0, (0.0, 0.0, 0.0))
        watcher.twin = other.twin
        self.watchers.append(watcher)
        self._wait(watcher)
        return watcher

    def _wait(self, watcher: Watcher) -> None:
        watcher.joined, watcher.since = False, self.world.tick_count + 1
        self._settle(watcher.twin)

    def _settle(self, twin: naive.Observer) -> None:
        live = [w for w in self.members(twin) if not w.held]
        if live and not any(w.joined for w in live):
            self.leader(twin).wants_reset = True

    def hold(self, watcher: Watcher) -> None:
        super().hold(watcher)
        self._wait(watcher)

    def resume(self, watcher: Watcher) -> None:
        leader = self.leader(watcher.twin)
        before = leader.wants_reset
        super().resume(watcher)
        leader.wants_reset = before
        self._wait(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        twin, led = watcher.twin, self.leader(watcher.twin) is watcher
        super().unwatch(watcher)
        others = self.members(twin)
        if led and others:
            first = others[0]
            first.entity, first.position = watcher.entity, watcher.position
            made = naive.Observer(twin.schema, twin.phase, twin.hysteresis, twin.grid, twin.value)
            made.lens = copy.copy(twin.lens)
            made.lens.number, made.lens.subscribed, made.lens.groups, made.lens.owned = first.number, [], [], []
            for other in others:
                other.twin, other.joined = made, False
        if others:
            self._settle(others[0].twin)

    def crowd_around(self) -> None:
        """Spectators come; `come_and_go` holds them, lets them go on and takes them away."""
        if len(self.watchers) < 7 and self.chance(0.15):
            self.look_over(self.one_of(self.watchers))

    def come_and_go(self) -> None:
        if len(self.watchers) > 1 and self.chance(0.04):
            self.unwatch(self.one_of(self.watchers))
        for watcher in self.watchers:
            if self.chance(0.05):
                (self.resume if watcher.held else self.hold)(watcher)
        if len(self.watchers) < 3:
            self.watch(self.one_of(self.living) if self.living and self.chance(0.5) else 0)

    def step(self) -> None:
        self.world.tick()
        frames = self.replicator.step()
        scene = self._observe(frames.tick)
        sent = {
            int(o): bytes(frames.buffer[frames.payload[i] : frames.stop[i]]) for i, o in enumerate(frames.observers)
        }
        assert len(sent) == frames.n
        n_frames, built = len(sent), set()
        for twin in {id(w.twin): w.twin for w in self.watchers}.values():
            self._check_stream(twin, frames.tick, scene, sent, built)
        assert not sent
        stats = self.replicator.stats
        assert (stats.n_frames, stats.shared) == (n_frames, n_frames - len(built))
        assert stats.bytes == int((frames.stop - frames.payload).sum())

    def _check_stream(self, twin: Any, tick: int, scene: Any, sent: dict[int, bytes], built: set[Any]) -> None:
        leader, live = self.leader(twin), [w for w in self.members(twin) if not w.held]
        where = {handle: living.position for handle, living in scene.items()}
        (leader.position,) = naive.follow_entities([leader.entity], [leader.position], where)
        if not live:
            return
        overdue = kernels.max_silence(self.replicator)
        shared = len(self.members(twin)) > 1
        if shared and any(not w.joined and tick - w.since >= overdue for w in live):
            leader.wants_reset = True
        reset, silent = leader.wants_reset, tick - twin.sent >= overdue
        due = any(twin.due(kind, tick, reset) for kind in range(len(twin.schema["kinds"]))) or twin.looks(scene)
        reach = self.replicator.reach_scale[leader.number]
        needed = twin.step(tick, reset, leader.position, scene, reach) if due or reset or silent else False
        waited_for = shared and (due or reset or silent) and any(not w.joined for w in live)
        has = needed or silent or reset or waited_for
        settled = not any(
            f.stale >> j & 1 and twin.carrier(f.living.kind, j, f.mask) is not None
            for f in twin.list
            for j in range(len(twin.schema["kinds"][f.living.kind]["groups"]))
        )
        twin.sent, leader.wants_reset = (tick, False) if has else (twin.sent, reset)
        for watcher in live:
            joins = has and (reset or (settled and not watcher.joined))
            frame = sent.pop(watcher.number, None)
            assert (frame is not None) == (joins or (has and watcher.joined))
            if frame is not None:
                watcher.take(frame)
                assert watcher.replica.was_reset == joins
                assert carried(twin, table_of(watcher.replica)) == carried(twin, watcher.expected())
                watcher.joined = True
                built.add((id(twin), frame))


def carried(twin: Any, table: Any) -> Any:
    """A table without values that no followed channel carries: who has been there for long may remember some."""
    return [
        (*row[:4], [values for j, values in enumerate(row[4]) if twin.carrier(row[1], j, row[2]) is not None])
        for row in table
    ]


def gallery(**options: Any) -> Gallery:
    stage = Gallery(**options)
    for kind in range(len(stage.kinds)):
        stage.spawn(kind, 8)
    stage.watch()
    stage.watch(stage.living[0])
    return stage


@few_or_many(
    few=3,
    many=8,
    seed=st.integers(0, 2**32 - 1),
    n_threads=st.sampled_from([1, 2]),
    max_followed=st.sampled_from([12, 4096]),
)
def test_all_who_share_a_stream_have_the_same(seed, n_threads, max_followed):
    stage = gallery(seed=seed, n_threads=n_threads, max_followed=max_followed)
    play(stage, N_TICKS, *EVERY_SECRET, Gallery.crowd_around, *EVERYTHING)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_for_longer(seed):
    play(gallery(seed=seed), 250, *EVERY_SECRET, Gallery.crowd_around, *EVERYTHING)


def test_a_thousand_spectators_cost_one_frame():
    stage = Secrets(seed=3)
    player = stage.spawn(0, 1, 1.0)[0]
    stage.spawn(2, 20, 10.0)
    replicator = hz.Replicator(stage.world, position=stage.place, max_observers=1_001)
    leader = replicator.add_observer(player)
    for _ in range(10):
        stage.world.tick()
        replicator.step()
    spectators = [replicator.add_observer(share=leader) for _ in range(1_000)]
    for _ in range(30):
        stage.move()
        stage.world.tick()
        frames = replicator.step()
    while frames.n == 0:
        stage.move()
        stage.world.tick()
        frames = replicator.step()
    assert sorted(frames.observers.tolist()) == [leader, *spectators]
    assert (replicator.stats.n_frames, replicator.stats.shared) == (1_001, 1_000)
    assert len(set(frames.payload.tolist())) == 1
    assert replicator.followed(spectators[5]).tolist() == replicator.followed(leader).tolist()
    assert replicator.phase(spectators[5]) == replicator.phase(leader)


def test_who_shares_stands_nowhere_itself():
    stage = gallery(seed=1)
    with pytest.raises(ArgumentError, match="share="):
        stage.replicator.add_observer(position=(1.0, 2.0), share=0)
    with pytest.raises(ArgumentError, match="doesn't exist"):
        stage.replicator.add_observer(share=9)
    assert stage.replicator.n_observers == 2
    spectator = stage.look_over(stage.watchers[1])
    with pytest.raises(ArgumentError, match="shares what observer 1 sees"):
        stage.replicator.set_sees(spectator.number, 1)


@pytest.mark.skipif(not COMPILED, reason="too long without compiling")
def test_a_member_of_a_stream_leads_to_its_leader():
    """Who shares what somebody shares has the same stream, and goes on when all others are gone."""
    stage = gallery(seed=4)
    first = stage.watchers[0]
    second = stage.look_over(first)
    third = stage.look_over(second)
    play(stage, 70, Stage.move)
    assert all(watcher.joined for watcher in (first, second, third))
    stage.unwatch(first)
    play(stage, 5, Stage.move)
    stage.unwatch(second)
    play(stage, 70, Stage.move, Stage.turn_over)
    assert third.replica.n == len(third.twin.list)
