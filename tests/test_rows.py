"""The memory of lists: rows that grow, move, are given back and close ranks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_ecs import kernel
from horizon_ecs.rows import SMALLEST, Rows
from tests import naive

kernel.warm_up("rows")

N_OBSERVERS, LONGEST = 6, 100

quick = settings(max_examples=100, deadline=None, derandomize=True, database=None)
acts = st.one_of(
    st.tuples(
        st.just("grow"), st.lists(st.tuples(st.integers(0, N_OBSERVERS - 1), st.integers(1, LONGEST)), max_size=4)
    ),
    st.tuples(st.just("release"), st.integers(0, N_OBSERVERS - 1)),
    st.tuples(st.just("close"), st.none()),
)


def grow(lists: Rows, twin: naive.Rows, wishes: dict[int, int]) -> None:
    """Give rows to those whose own is too short, and fill them."""
    short = {o: n for o, n in wishes.items() if n > lists.room[o]}
    lists.make_room(np.array(list(short), np.uint32), np.array(list(short.values()), np.int64))
    for o, n in wishes.items():
        row = twin.grow(o, n)
        assert lists.room[o] >= len(row)
        lists.pool[lists.start[o] : lists.start[o] + len(row)] = row
        lists.n_followed[o] = len(row)


def check(lists: Rows, twin: naive.Rows) -> None:
    assert [lists.row(o).tolist() for o in range(N_OBSERVERS)] == [twin.rows.get(o, []) for o in range(N_OBSERVERS)]
    spans = sorted((int(lists.start[o]), int(lists.room[o])) for o in range(N_OBSERVERS) if lists.room[o])
    for (first, room), (following, _) in itertools.pairwise(spans):
        assert first + room <= following


@quick
@given(st.lists(acts, max_size=30))
def test_rows_keep_what_is_in_them(done):
    lists, twin = Rows(N_OBSERVERS, LONGEST), naive.Rows()
    for act, what in done:
        if act == "grow":
            grow(lists, twin, dict(what))
        elif act == "release":
            lists.release(what)
            twin.rows.pop(what, None)
        else:
            lists._close_ranks()
        check(lists, twin)


def test_there_is_room_for_everybodys_longest_list():
    """Whatever grew before: when the rest of the pool is used up, ranks are closed."""
    lists, twin = Rows(N_OBSERVERS, LONGEST), naive.Rows()
    for n in range(1, LONGEST + 1):
        grow(lists, twin, dict.fromkeys(range(N_OBSERVERS), n))
        check(lists, twin)
    assert lists.used_bytes <= lists.pool.nbytes


def test_what_was_given_back_is_used_again():
    lists, twin = Rows(N_OBSERVERS, LONGEST), naive.Rows()
    for _ in range(50):
        grow(lists, twin, {0: 40, 1: 7})
        for o in (0, 1):
            lists.release(o)
            twin.rows.pop(o)
    assert lists.used_bytes == (lists.sizes[lists.sizes > 40][0] + SMALLEST) * 8


@pytest.mark.parametrize(("n_gone", "tidied"), [(3, True), (2, False)])
def test_idle_memory_is_taken_back(n_gone, tidied):
    lists = Rows(4, 60_000)
    for o in range(4):
        lists.make_room(np.array([o], np.uint32), np.array([60_000], np.int64))
    for o in range(n_gone):
        lists.release(o)
    used = lists.used_bytes
    lists.tidy()
    assert (lists.used_bytes < used) == tidied


def test_sizes_lie_a_quarter_apart():
    sizes = Rows(1, 4096).sizes
    assert sizes[0] == SMALLEST
    assert sizes[-1] >= 4096
    assert (sizes % 8 == 0).all()
    assert (np.diff(sizes) <= sizes[:-1] * 0.25 + 8).all()
