"""Adaptation: relief while a server is late or a client slow, and back up smoothly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from horizon_ecs.adaptive import Adaptation, Load
from horizon_ecs.net.lag import LEAST_OF_S, MAX_RATE, Link
from horizon_ecs.schema import N_RATES
from tests.test_limited import Harbour


def test_load_rises_while_ticks_take_all_their_time_and_falls_slowly():
    load = Load(60.0)
    levels = []
    for _ in range(15 * 20):
        load.note(1.2)
    assert load.level == 3.0
    for _ in range(15 * 40):
        load.note(0.3)
        levels.append(load.level)
    assert 2.0 < load.level < 3.0
    assert levels == sorted(levels, reverse=True)
    assert max(a - b for a, b in itertools.pairwise(levels)) < 0.02
    for _ in range(15 * 300):
        load.note(0.3)
    assert load.level == 0.0


def test_a_single_long_tick_is_no_load():
    load = Load(60.0)
    assert not any(load.note(50.0 if i % 15 == 7 else 0.2) for i in range(300))
    assert load.level == 0.0


def test_between_the_limits_the_level_stays():
    load = Load(60.0)
    for _ in range(30):
        load.note(1.0)
    level = load.level
    assert level > 0.0
    assert not any(load.note(0.75) for _ in range(600))
    assert load.level == level


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 1.0, 1.75, 3.0])
def test_a_levels_fraction_is_a_share_of_the_observers_everywhere(level):
    load = Load(60.0)
    load.level = level
    rates = load.rates(1000)
    assert rates.max() <= 3
    for part in (rates, rates[:100], rates[500:600]):
        assert part.mean() == pytest.approx(level, abs=0.03)
    load.level = min(3.0, level + 0.1)
    assert (load.rates(1000) >= rates).all()


def test_an_observer_has_the_slowest_rate_that_anything_asks_for():
    harbour = Harbour(4)
    replicator = harbour.replicator
    a, b, c = (harbour.watch(None) for _ in range(3))
    adaptation = Adaptation(replicator)
    replicator.set_slowdown(b, 2)
    adaptation.set_link(c, 3)
    assert replicator.slowdown([a, b, c]).tolist() == [1, 2, 8]
    assert replicator.n_slowed == 2
    adaptation.load.level = 2.0
    for _ in range(5):
        adaptation.note_tick(1.0)
    assert replicator.slowdown([a, b, c]).min() >= 4
    for _ in range(5 * 400):
        adaptation.note_tick(0.001)
    adaptation.set_link(c, 0)
    assert replicator.slowdown([a, b, c]).tolist() == [1, 2, 1]
    replicator.set_slowdown(b, 1)
    assert replicator.n_slowed == 0


def test_who_joins_a_loaded_server_is_slowed_down_as_well():
    harbour = Harbour(4)
    harbour.replicator.adapt_rates(np.full(harbour.replicator.max_observers, 2, np.uint8))
    observer = harbour.watch(None)
    assert harbour.replicator.slowdown(observer).tolist() == [4]
    for _ in range(9):
        harbour.churn()
        harbour.step()
    assert harbour.replicas[observer].slowdown == 4


def rates(link: Link, lags: list[float], begin: float = 0.0, step: float = 0.1) -> list[int]:
    """The rates of a link whose lag is looked at every tenth of a second."""
    out = []
    for i, lag in enumerate(lags):
        link.note(lag, begin + i * step)
        out.append(link.rate)
    return out


def test_a_link_that_fills_is_slowed_down_step_by_step_and_quickened_when_it_is_empty():
    link = Link()
    assert max(rates(link, [0.05] * 50)) == 0
    slower = rates(link, [0.05 + 0.01 * i for i in range(60)], begin=5.0)
    assert slower == sorted(slower)
    assert slower[-1] >= 2
    after = rates(link, [0.05] * 200, begin=11.0)
    assert after == sorted(after, reverse=True)
    assert after[-1] == 0
    assert len(set(after)) == slower[-1] + 1  # one rate at a time


def test_a_link_asks_for_no_rate_that_there_is_not():
    assert max(rates(Link(), [0.02 * i for i in range(400)])) == MAX_RATE == N_RATES - 1


def test_a_long_way_there_and_back_is_no_strain():
    assert max(rates(Link(), [0.6, 0.62, 0.58] * 200)) == 0


def test_a_way_that_becomes_longer_is_known_after_a_while():
    link = Link()
    rates(link, [0.05] * 50)
    longer = rates(link, [0.6] * 600, begin=5.0)
    assert max(longer) > 0
    assert longer[-1] == 0
    assert longer.index(max(longer)) * 0.1 < 2 * LEAST_OF_S
