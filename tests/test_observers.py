"""Observers: where they stand, and who is served."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import kernels, naive
from tests.kernels import DEAD

quick = settings(max_examples=100, deadline=None, derandomize=True, database=None)

observers = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 2]),
        st.integers(0, 11),
        st.integers(0, 3),
        st.integers(0, 3),
        st.integers(0, 1),
        st.integers(0, 100),
        st.integers(0, 1),
    ),
    max_size=12,
)
periods = st.lists(st.lists(st.sampled_from([0, 1, 2, 3, 4, 6]), min_size=3, max_size=3), min_size=1, max_size=3)


@quick
@given(observers, periods, st.integers(100, 130), st.sampled_from([1, 7, 60, 255]))
def test_who_is_served(rows, periods, tick, silence):
    status, phase, rate, told_rate, wants_reset, sent, looks = ([row[i] for row in rows] for i in range(7))
    asked = status, phase, rate, told_rate, wants_reset, sent, tick, silence, periods, looks
    assert kernels.select_served(*asked) == naive.select_served(*asked)


@quick
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 9)), max_size=9),
    st.lists(st.sampled_from([0, 3, 4, 5, 9, DEAD]), max_size=3),
)
def test_who_may_have_died_since_a_list_was_looked_at(rows, births):
    status, n_followed, evaluated = ([row[i] for row in rows] for i in range(3))
    oldest = naive.oldest_evaluation(status, n_followed, evaluated, 9)
    assert kernels.oldest_evaluation(status, n_followed, evaluated, 9) == oldest
    born = (births + [4] * 8)[:8] + [DEAD] * 8
    assert kernels.mark_gone(born, oldest) == naive.mark_gone(born, oldest)


@quick
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 7.0, np.nan, np.inf, 3e38])), max_size=8
    )
)
def test_observers_go_where_their_entities_are(rows):
    generation, born = np.array([1, 2, 3, 1], np.uint32), np.array([1, 1, DEAD, 5], np.uint32)
    axes = np.zeros((3, 4), np.float32)
    for _, slot, x in rows:
        axes[:, slot] = x, x, 1.0
    entity = [g << 32 | slot if g else 0 for g, slot, _ in rows]
    where = {int(generation[s]) << 32 | s: axes[:, s].tolist() for s in range(4) if born[s] != DEAD}
    position = np.full((len(rows) + 1, 3), -5.0, np.float32)
    kernels.follow_entities(entity, generation, born, axes, position)
    expected = naive.follow_entities(entity, [[-5.0] * 3] * len(rows), where)
    np.testing.assert_array_equal(position, [*expected, [-5.0] * 3])


@quick
@given(st.lists(st.integers(0, 9), max_size=9), st.integers(0, 3), st.integers(1, 5), st.randoms(use_true_random=False))
def test_work_is_shared_out_in_order(work, each, n_parts, random):
    order = random.sample(range(len(work)), len(work))
    assert kernels.share_work(work, each, order, n_parts) == naive.share_work(work, each, order, n_parts)


@quick
@given(st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(0, 2), min_size=3, max_size=3)), max_size=9))
def test_only_frames_that_were_made_are_listed(rows):
    asked = [who for who, _ in rows], [span for _, span in rows]
    assert kernels.list_made(*asked) == naive.list_made(*asked)


@quick
@given(st.lists(st.tuples(st.floats(-9000, 9000), st.floats(-9000, 9000)), max_size=40))
def test_neighbours_are_served_together(positions):
    assert kernels.order_by_tile(positions, 1 / 50) == naive.order_by_tile(positions, 50.0)
