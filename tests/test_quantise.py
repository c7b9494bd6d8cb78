"""Quantise: columns against single values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_ecs import kernel
from tests import kernels, naive
from tests.kernels import PAGE

quick = settings(max_examples=60 if kernel.jit_enabled() else 5, deadline=None, derandomize=True, database=None)

SENTINEL = -77


def column_of(values, dtype):
    """Three pages, of which the first and the last hold the values."""
    column = np.zeros(3 * PAGE, dtype)
    column[: len(values)] = column[2 * PAGE : 2 * PAGE + len(values)] = values
    return column


@quick
@given(
    st.sampled_from([(np.float32, 32), (np.float64, 64)]).flatmap(
        lambda t: st.tuples(st.just(t[0]), st.lists(st.floats(width=t[1]), min_size=1, max_size=30))
    ),
    st.sampled_from([1 / 512, 1 / 16, 0.1, 1.0, 3.0, 1e-9, 1e9]),
    st.integers(-(2**31), 2**31 - 1),
)
def test_floats_are_rounded_saturated_or_kept(typed, precision, before):
    dtype, values = typed
    column = column_of(np.array(values, dtype), dtype)
    previous, out = np.full(3 * PAGE, before, np.int32), np.full(3 * PAGE, SENTINEL, np.int32)
    held = kernels.quantise_float(column, [0, 2], precision, previous, out)
    expected = [naive.quantise_float(v, precision, before) for v in column[: len(values)]]
    assert out[: len(values)].tolist() == out[2 * PAGE : 2 * PAGE + len(values)].tolist() == expected
    assert (out[PAGE : 2 * PAGE] == SENTINEL).all()
    assert not out[len(values) : PAGE].any()
    with np.errstate(over="ignore"):
        assert held == 2 * sum(not np.isfinite(np.float64(v) * (1.0 / precision)) for v in column[: len(values)])


@pytest.mark.parametrize(
    ("value", "q"),
    [(0.5, 0), (1.5, 2), (-0.5, 0), (-2.5, -2), (2147483646.6, 2**31 - 1), (1e30, 2**31 - 1), (-1e30, -(2**31)),
     (np.nan, 9), (np.inf, 9), (-np.inf, 9)],
)  # fmt: skip
def test_edges_of_rounding(value, q):
    previous, out = np.full(PAGE, 9, np.int32), np.zeros(PAGE, np.int32)
    kernels.quantise_float(np.full(PAGE, value), [0], 1.0, previous, out)
    assert set(out.tolist()) == {q} == {naive.quantise_float(value, 1.0, 9)}


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32, np.bool_])
def test_integers_keep_their_bits(dtype):
    if dtype is np.bool_:
        values = np.array([False, True])
    else:
        limits = np.iinfo(dtype)
        values = np.array([limits.min, limits.min + 1, 0, 1, limits.max // 2 + 1, limits.max], dtype)
    out = np.full(3 * PAGE, SENTINEL, np.int32)
    kernels.quantise_integer(column_of(values, dtype), [2], out)
    assert out[2 * PAGE :][: len(values)].tolist() == [naive.quantise_integer(v) for v in values]
    assert (out[: 2 * PAGE] == SENTINEL).all()


def test_what_is_not_finite_from_birth_shows_nothing_of_who_was_there_before():
    born, out = np.zeros(PAGE, np.uint32), np.full(PAGE, SENTINEL, np.int32)
    born[:3] = 7, 8, 6
    previous = np.full(PAGE, 41, np.int32)
    kernels.quantise_float(np.full(PAGE, np.nan), [0], 1.0, previous, out, born, tick=7)
    assert out[:4].tolist() == [0, 0, 41, 41]


@quick
@given(
    st.lists(
        st.tuples(st.integers(5, 12), st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 9)),
        min_size=1,
        max_size=30,
    )
)
def test_changes_are_stamped(rows):
    born, previous, now, changed = np.zeros((4, 2 * PAGE), np.int32)
    n = len(rows)
    born[:n], previous[:n], now[:n], changed[:n] = zip(*rows, strict=True)
    born, stamps = born.astype(np.uint32), changed.astype(np.uint32)
    now[PAGE:] = 5
    kernels.stamp_changes([0], born, 10, previous, now, stamps)
    assert stamps[:n].tolist() == [naive.stamp_changes(b, 10, before, after, c) for b, before, after, c in rows]
    assert not stamps[PAGE:].any()


def test_no_pages_is_fine():
    out = np.full(PAGE, SENTINEL, np.int32)
    assert kernels.quantise_float(np.zeros(PAGE, np.float32), [], 1.0, out.copy(), out) == 0
    kernels.quantise_integer(np.zeros(PAGE, np.int8), [], out)
    assert (out == SENTINEL).all()
