"""The server's clock: what a client reckons over made-up ways, in virtual time."""

from __future__ import annotations

import math
import random

import pytest

import horizon_ecs as hz

RATE = 60.0


def run(seconds, there, back, *, drift=0.0, begin=100.0, seed=1):
    """Feed a clock frames and pongs over ways of `there` and `back` seconds; yield (truth, clock, now) at every reading.

    `there` and `back` are functions of a random number; frames arrive in order.
    """
    chance = random.Random(seed)
    clock = hz.ServerClock(RATE)
    events, arrived = [], 0.0
    for tick in range(int(seconds * RATE)):
        sent = tick / RATE / (1 + drift)
        arrived = max(arrived, sent + back(chance.random()))
        events.append((arrived, 0, tick, 0.0))
        if tick % 60 == 0:
            reaches = sent + there(chance.random())
            returns = reaches + back(chance.random())
            events.append((returns, 1, int(reaches * RATE * (1 + drift)), sent))
        events.append((sent, 2, 0, 0.0))
    for at, what, tick, sent in sorted(events):
        now = begin + at
        if what == 0:
            clock.frame(tick, now)
        elif what == 1:
            clock.pong(begin + sent, tick, now)
        else:
            yield at * RATE * (1 + drift), clock, now


def steady(ms):
    return lambda chance: ms / 1000


def shaky(ms, more):
    return lambda chance: (ms + more * chance**3) / 1000


@pytest.mark.parametrize(("there", "back"), [(steady(40), steady(40)), (shaky(30, 60), shaky(30, 60))])
def test_it_finds_the_servers_tick(there, back):
    off = [clock.tick(now) - truth for truth, clock, now in run(20, there, back)]
    assert max(map(abs, off[300:])) < 1.0


def test_outliers_dont_move_it():
    """One way in ten takes 400 ms more."""

    def back(chance):
        return 0.43 if chance < 0.1 else 0.03

    off = [clock.tick(now) - truth for truth, clock, now in run(30, steady(30), back, seed=4)]
    assert max(map(abs, off[300:])) < 1.0


def test_it_follows_a_clock_that_runs_faster():
    off = [clock.tick(now) - truth for truth, clock, now in run(60, steady(30), steady(30), drift=5e-4)]
    assert max(map(abs, off[300:])) < 1.2


def test_playout_lets_all_but_a_few_frames_come_in_time():
    clock, chance, arrived, late = hz.ServerClock(RATE), random.Random(3), 0.0, 0
    for tick in range(3_000):
        arrived = max(arrived, tick / RATE + 0.03 + 0.05 * chance.random())
        if tick > 600:
            late += clock.playout(arrived) > tick
        clock.frame(tick, arrived)
    assert 0.01 < late / 2_400 < 0.12
    assert clock.jitter_s == pytest.approx(0.05, abs=0.015)


def test_it_never_falls_and_is_slewed():
    """The way becomes 150 ms longer, and shorter again: speeds stay within a twentieth."""
    clock = hz.ServerClock(RATE)
    last = None
    for tick in range(2_400):
        way = 0.18 if 800 < tick < 1_600 else 0.03
        now = 5 + tick / RATE + way
        if tick != 1_600:
            clock.frame(tick, max(now, last[0] if last else 0))
        here = max(now, last[0] if last else 0)
        reading = (here, clock.tick(here), clock.playout(here))
        if last is not None and here > last[0]:
            passed = (here - last[0]) * RATE
            for before, after in zip(last[1:], reading[1:], strict=True):
                assert 0.949 * passed - 1e-9 <= after - before <= 1.051 * passed + 1e-9
        last = reading


def test_a_long_stall_is_jumped_over_and_a_long_lead_waited_for():
    clock = hz.ServerClock(RATE)
    for tick in range(200):
        clock.frame(tick, tick / RATE)
    # The machine slept for ten seconds of which its clock knows nothing.
    clock.frame(800, 200 / RATE)
    for step in range(1, 150):
        clock.frame(800 + step, (200 + step) / RATE)
    assert clock.playout(350 / RATE) == pytest.approx(950, abs=2)
    before = clock.playout(351 / RATE)
    # Frames come two seconds late from now on: what is drawn stands until they are there.
    for step in range(150):
        clock.frame(950 + step, (351 + 120 + step) / RATE)
        after = clock.playout((351 + 120 + step) / RATE)
        assert after >= before
        before = after
    assert clock.playout((351 + 271) / RATE) < 351 + 271 + 600 - 55


def test_a_recording_that_goes_back_is_another_epoch():
    clock = hz.ServerClock(RATE)
    clock.frame(1_000, 1.0)
    assert clock.epoch == 0
    clock.frame(10, 2.0)
    assert clock.epoch == 1
    assert clock.playout(2.0) == pytest.approx(10)


def test_before_anything_came_there_is_no_tick():
    clock = hz.ServerClock(RATE)
    assert all(math.isnan(value) for value in (clock.tick(1.0), clock.playout(1.0), clock.rtt_s, clock.jitter_s))
    clock.frame(5, 1.0)
    assert clock.tick(1.0) == 5
    assert clock.tick(0.5) == 5
    assert "rtt nan ms" in repr(clock)


def test_round_trips_are_smoothed():
    clock = hz.ServerClock(RATE)
    clock.pong(1.0, 60, 1.1)
    assert (clock.rtt_s, clock.rtt_deviation_s) == pytest.approx((0.1, 0.05))
    clock.pong(2.0, 120, 2.18)
    assert (clock.rtt_s, clock.rtt_deviation_s) == pytest.approx((0.11, 0.0575))


def test_nonsense_is_refused():
    for rate in (0, -1, math.nan, math.inf, "60"):
        with pytest.raises(hz.ArgumentError, match="tick_rate must be a positive number"):
            hz.ServerClock(rate)
    with pytest.raises(hz.ArgumentError, match="can't answer a ping"):
        hz.ServerClock(RATE).pong(2.0, 1, 1.0)
