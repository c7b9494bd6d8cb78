"""Prediction: what a player sees of their own entity, against a server some ticks away."""

from __future__ import annotations

import math

import numpy as np
import pytest

import horizon_ecs as hz


def move(state, given):
    """A body on a line: position, speed; an input pushes it."""
    state[1] = 0.9 * state[1] + given
    state[0] += state[1]


class Server:
    """Steps by each input `delay` ticks after it was made, and says so `delay` ticks later."""

    def __init__(self, delay: int) -> None:
        self.delay = delay
        self.state = np.zeros(2)
        self.way_there: list[tuple[int, int, float]] = []
        self.way_back: list[tuple[int, np.ndarray, int]] = []

    def send(self, tick, sequence, given):
        self.way_there.append((tick + self.delay, sequence, given))

    def tick(self, tick, push=0.0):
        while self.way_there and self.way_there[0][0] <= tick:
            _, sequence, given = self.way_there.pop(0)
            move(self.state, given)
            self.state[0] += push
            push = 0.0
            self.way_back.append((tick + self.delay, self.state.copy(), sequence))

    def said(self, tick):
        while self.way_back and self.way_back[0][0] <= tick:
            yield self.way_back.pop(0)[1:]


def play(n, *, delay=6, pushes=None, rounding=0.0, **options):
    server = Server(delay)
    mine = hz.Predictor(move, np.zeros(2), **options)
    seen = []
    for tick in range(n):
        given = math.sin(tick / 7)
        server.send(tick, mine.predict(given, float(tick)), given)
        server.tick(tick, (pushes or {}).get(tick, 0.0))
        for state, sequence in server.said(tick):
            told = np.round(state / rounding) * rounding if rounding else state
            mine.reconcile(told, sequence, float(tick))
        seen.append(mine.shown(tick + 1.0)[0])
    return mine, server, np.array(seen)


def test_it_moves_at_once_and_is_right():
    mine, server, _ = play(200)
    assert mine.n_mispredictions == 0
    assert mine.n_pending == 12
    assert mine.n_acknowledged == 188
    assert mine.state[0] != pytest.approx(server.state[0])
    alone = np.zeros(2)
    for tick in range(200):
        move(alone, math.sin(tick / 7))
    assert mine.state == pytest.approx(alone)


def test_rounding_is_no_misprediction():
    assert play(200, rounding=1 / 64, tolerance=1 / 128)[0].n_mispredictions == 0
    assert play(200, rounding=1 / 64, tolerance=1 / 1024)[0].n_mispredictions > 50


def test_a_push_that_nobody_foresaw_is_blended_in():
    mine, _, seen = play(200, pushes={100: 3.0}, blend=20.0)
    still, _, calm = play(200)
    assert mine.n_mispredictions == 1
    assert mine.last_error == pytest.approx(3.0)
    late = seen - calm
    assert late[:105] == pytest.approx(0)
    assert late[130:] == pytest.approx(3.0)
    assert np.abs(np.diff(late)).max() < 0.2
    assert mine.state[0] == pytest.approx(still.state[0] + 3.0)


def test_what_is_too_wrong_is_shown_at_once():
    mine, _, seen = play(200, pushes={100: 30.0}, max_error=5.0)
    assert mine.n_snaps == 1
    assert np.abs(np.diff(seen)).max() > 29


def test_numbers_that_arent_replicated_stay_as_predicted():
    mine = hz.Predictor(move, [0.0, 0.0])
    mine.predict(1.0, 0.0)
    mine.predict(1.0, 1.0)
    assert mine.reconcile([1.0, math.nan], 1, 2.0) is False
    assert mine.reconcile([1.5, math.nan], 1, 2.0) is True
    assert mine.state == pytest.approx([1.5 + 1.9, 1.9])
    assert mine.reconcile([1.5, math.nan], 1, 3.0) is False  # said once


def test_old_news_is_none_and_the_future_an_error():
    mine = hz.Predictor(move, [0.0, 0.0])
    for tick in range(3):
        mine.predict(1.0, float(tick))
    mine.reconcile(mine.state, 3, 3.0)
    before = mine.state
    assert mine.reconcile([9.0, 9.0], 2, 3.0) is False
    assert mine.state == pytest.approx(before)
    with pytest.raises(hz.ArgumentError, match="input 4 is acknowledged, but 3 was the last"):
        mine.reconcile([0.0, 0.0], 4, 3.0)


def test_it_waits_for_a_server_that_says_nothing():
    mine = hz.Predictor(move, [0.0, 0.0], max_pending=3)
    assert [mine.predict(1.0, float(t)) for t in range(5)] == [1, 2, 3, 0, 0]
    assert (mine.n_refused, mine.n_pending) == (2, 3)
    mine.reconcile([1.0, 1.0], 1, 5.0)
    assert mine.predict(1.0, 6.0) == 4


def test_between_two_steps_it_glides():
    mine = hz.Predictor(lambda state, given: state + given, [0.0])
    mine.predict(4.0, 10.0)
    assert [float(mine.shown(t)[0]) for t in (10.0, 10.25, 11.0, 15.0)] == [0.0, 1.0, 4.0, 4.0]


def test_angles_are_wrong_the_short_way():
    mine = hz.Predictor(lambda state, given: state + given, [3.0], angles=[0], tolerance=0.01)
    mine.predict(0.2, 0.0)
    assert mine.reconcile([3.2 - math.tau], 1, 1.0) is False
    assert mine.reconcile([3.1 - math.tau], 1, 1.0) is True
    assert mine.last_error == pytest.approx(0.1)
    assert math.remainder(float(mine.shown(1.0)[0]) - 3.2, math.tau) == pytest.approx(0)


def test_a_new_start_forgets_what_waits():
    mine = hz.Predictor(move, [0.0, 0.0])
    mine.predict(1.0, 0.0)
    mine.restart([5.0, 0.0])
    assert (mine.n_pending, mine.state.tolist()) == (0, [5.0, 0.0])
    assert mine.predict(1.0, 1.0) == 2
    assert "1 pending" in repr(mine)


def test_nonsense_is_refused():
    with pytest.raises(hz.ArgumentError, match="must be positive"):
        hz.Predictor(move, [0.0], blend=0)
    with pytest.raises(hz.ArgumentError, match="must be known"):
        hz.Predictor(move, [math.nan])
    mine = hz.Predictor(lambda state, given: [1.0], [0.0, 0.0])
    with pytest.raises(hz.ArgumentError, match="a state must be 2 numbers"):
        mine.predict(1.0, 0.0)
    assert (mine.n_predicted, mine.n_pending) == (0, 0)
    with pytest.raises(hz.ArgumentError, match="tolerance must be one number or 2"):
        hz.Predictor(move, [0.0, 0.0], tolerance=[1.0, 2.0, 3.0])
    with pytest.raises(hz.ArgumentError, match="places 0 to 1, not \\[2\\]"):
        hz.Predictor(move, [0.0, 0.0], angles=[2])
    with pytest.raises(hz.ArgumentError, match="whole number"):
        mine.reconcile([0.0, 0.0], math.nan, 1.0)
