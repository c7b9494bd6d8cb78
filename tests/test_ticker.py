"""When ticks are due, and the thread that keeps to it."""

from __future__ import annotations

import threading
from collections import deque

import pytest

from horizon_ecs.ticker import REMEMBERED, Pacer, Ticker, percentile

PERIOD = 0.25  # exact in binary


def test_ticks_are_due_at_a_fixed_rate_however_long_each_takes():
    pacer = Pacer(PERIOD, 8)
    pacer.begin(100.0)
    now, due = 100.0, []
    for work in (0.0, 0.1, 0.2, 0.05, 0.0):
        now += pacer.wait_s(now)
        due.append(pacer.started(now))
        now += work
    assert due == [100.0, 100.25, 100.5, 100.75, 101.0]
    assert pacer.n_missed == 0


def test_a_late_tick_is_caught_up():
    pacer = Pacer(PERIOD, 8)
    pacer.begin(0.0)
    pacer.started(0.0)
    assert pacer.wait_s(1.1) == 0.0
    assert [pacer.started(1.1) for _ in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert pacer.wait_s(1.1) == pytest.approx(0.15)
    assert pacer.n_missed == 3  # that of 1.0 began less than a period late


def test_what_is_too_late_is_dropped():
    pacer = Pacer(PERIOD, 2)
    pacer.begin(0.0)
    pacer.started(2.5)  # ten periods late: two of them may be caught up
    assert pacer.due_s == 2.25
    assert pacer.n_missed == 9


def test_a_ticker_ticks_until_it_is_stopped():
    enough, ended = threading.Event(), threading.Event()
    due = []

    def step(due_s):
        due.append(due_s)
        if len(due) == 5:
            enough.set()

    ticker = Ticker(1000.0, step, max_catch_up=8, on_end=ended.set)
    ticker.start()
    assert enough.wait(10)
    ticker.stop()
    assert ended.is_set()
    assert ticker.error is None
    n = ticker.n_ticks
    assert n >= 5
    assert len(due) == n == len(ticker.tick_ms)
    ticker.forget()
    assert ticker.n_ticks == 0
    assert not ticker.late_ms


def test_what_a_step_raises_ends_the_ticker_and_is_kept():
    ended = threading.Event()

    def step(due_s):
        raise LookupError("lost")

    ticker = Ticker(1000.0, step, max_catch_up=8, on_end=ended.set)
    ticker.start()
    assert ended.wait(10)
    ticker.stop()
    assert isinstance(ticker.error, LookupError)


def test_percentiles():
    assert percentile(deque(), 50) == 0.0
    assert percentile(deque([1.0, 2.0, 3.0]), 50) == 2.0


def test_what_came_since_is_told_once():
    ticker = Ticker(1000.0, lambda due_s: None, max_catch_up=8, on_end=lambda: None)

    def note(*ticks):
        for ms in ticks:
            ticker.n_ticks += 1
            ticker.tick_ms.append(ms)
            ticker.late_ms.append(ms + 0.5)

    assert ticker.since(0) == (0, [], [])
    note(1.0, 2.0, 3.0)
    assert ticker.since(0) == (3, [1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
    assert ticker.since(2) == (3, [3.0], [3.5])
    assert ticker.since(3) == (3, [], [])
    ticker.forget()
    note(9.0)
    assert ticker.since(3) == (1, [9.0], [9.5])  # all of it has been forgotten in between
    note(*[4.0] * REMEMBERED)
    n, tick_ms, late_ms = ticker.since(0)
    assert (n, len(tick_ms), len(late_ms)) == (REMEMBERED + 1, REMEMBERED, REMEMBERED)
