"""Rates: an observer's channels are due more seldom, and its client, its events and its texts stay right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from tests.test_budgets import listen, small_stage
from tests.test_limited import SHIP, SIGN, Boom, Harbour


@settings(max_examples=3, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), limited=st.booleans())
def test_clients_stay_right_at_changing_rates(seed: int, limited: bool) -> None:
    stage, ears = small_stage(seed)
    replicator = stage.replicator
    replicator.set_budget(ears[1].number, 3.0 * replicator.least_budget if limited else None)
    n_values, factors = 0, set()
    for _ in range(60):
        if stage.chance(0.15):
            replicator.set_slowdown([ear.number for ear in ears if stage.chance(0.7)], 1 << stage.rng.randint(4))
        n_values += listen(stage, ears)
        for ear in ears:
            factors.add(ear.replica.slowdown)
            if replicator.world.tick_count in ear.sizes:
                assert ear.replica.slowdown == replicator.slowdown(ear.number)[0]
    assert n_values > 100
    assert len(factors) > 1


def frames_of(harbour: Harbour, observer: int, n_ticks: int) -> int:
    """How many frames an observer is sent while all moves."""
    count = 0
    for _ in range(n_ticks):
        for column in (harbour.world[SHIP.components[0]].x, harbour.world[SHIP.components[0]].y):
            column += harbour.rng.uniform(-0.1, 0.1, len(column)).astype(np.float32)
        count += int((harbour.step().observers == observer).sum())
    return count


@pytest.mark.parametrize(("factor", "expected"), [(1, 40), (2, 20), (4, 10), (8, 10)])
def test_a_slower_observer_is_sent_fewer_frames(factor: int, expected: int) -> None:
    harbour = Harbour(30)
    observer = harbour.watch(None)
    frames_of(harbour, observer, 8)
    harbour.replicator.set_slowdown(observer, factor)
    frames_of(harbour, observer, 8)
    assert harbour.replicator.slowdown_of(SHIP, 0) == 4  # lines over 2 ticks, a history of 16
    assert harbour.replicator.slowdown_of("Sign", 1) == 2
    assert frames_of(harbour, observer, 40) == expected
    harbour.replicator.set_slowdown(observer, 1)
    frames_of(harbour, observer, 8)
    assert frames_of(harbour, observer, 40) == 40


def test_each_event_is_told_once_and_each_text_arrives_at_changing_rates() -> None:
    harbour = Harbour(40)
    replicator = harbour.replicator
    observers = [harbour.watch(None) for _ in range(3)]
    ships = [handle for handle in harbour.handles if harbour.world.kind_of(handle) is SHIP]
    harbour.step()
    emitted: list[int] = []
    for tick in range(200):
        some = harbour.rng.choice(ships, 2)
        if tick < 190:
            emitted += some.tolist()
            replicator.emit(Boom, some, {"power": 1.0})
            harbour.world.get(int(some[0]), hz.Name).text = f"name {tick}"
        if harbour.rng.rand() < 0.2:
            replicator.set_slowdown(observers[1:], 1 << harbour.rng.randint(4))
        harbour.step()
    for o in observers:
        near = {handle for handle in ships if handle in harbour.replicas[o].handle}
        on_channel = {
            int(handle)
            for handle, mask in zip(harbour.replicas[o].handle, harbour.replicas[o].mask, strict=True)
            if mask & 1
        }
        assert harbour.heard[o] == [handle for handle in emitted if handle in on_channel]
        for handle in near:
            assert harbour.replicas[o].text(handle, "Name.text") == harbour.world.get(handle, hz.Name).text
    assert len(harbour.heard[observers[0]]) > 50


def test_who_shares_a_stream_shares_its_rate() -> None:
    harbour = Harbour(30)
    replicator = harbour.replicator
    leader = harbour.watch(None)
    harbour.step()
    follower = replicator.add_observer(share=leader)
    harbour.replicas[follower] = hz.Replica(replicator.schema, phase=replicator.phase(follower))
    harbour.heard[follower] = []
    replicator.set_slowdown(follower, 4)
    assert replicator.slowdown([leader, follower]).tolist() == [4, 4]
    for tick in range(92):
        harbour.churn()
        if tick == 50:
            replicator.hold(follower)
        if tick == 60:
            replicator.resume(follower)
        harbour.step()
    one, other = harbour.replicas[leader], harbour.replicas[follower]
    assert other.slowdown == 4
    assert other.tick == one.tick
    assert other.handle.tolist() == one.handle.tolist()
    carried = one.is_due(0)
    assert carried.any()
    np.testing.assert_array_equal(other.column("Position", "x")[carried], one.column("Position", "x")[carried])


@pytest.mark.parametrize("factor", [0, 3, 16, -1, 2.5, True, "2", None])
def test_a_factor_that_is_none_is_refused(factor: Any) -> None:
    harbour = Harbour(4)
    observer = harbour.watch(None)
    with pytest.raises(hz.ArgumentError, match="1, 2, 4 or 8"):
        harbour.replicator.set_slowdown(observer, factor)
    assert harbour.replicator.slowdown(observer).tolist() == [1]


def test_observers_and_layers_that_are_not_there_are_named() -> None:
    harbour = Harbour(4)
    with pytest.raises(hz.ArgumentError, match="observer 3"):
        harbour.replicator.set_slowdown([3], 2)
    with pytest.raises(hz.ArgumentError, match="observer 0"):
        harbour.replicator.slowdown(0)
    with pytest.raises(hz.ArgumentError, match="kind 'Sign' has no layer of channel 0"):
        harbour.replicator.slowdown_of(SIGN, 0)


def test_why_something_is_sent_seldom_is_explained() -> None:
    harbour = Harbour(4)
    observer = harbour.watch(None)
    harbour.step()
    ship = int(harbour.handles[0])
    harbour.replicator.set_slowdown(observer, 4)
    harbour.step()
    assert [channel.period for channel in harbour.replicator.explain(observer, ship).channels] == [4, 8]
