"""Quantise: columns against single values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_ecs import kernel
from tests import kernels, naive
from tests.kernels import DEAD, PAGE

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
    counts = kernels.quantise_float(column, [0, 2], precision, previous, out)
    expected = [naive.quantise_float(v, precision, before) for v in column[: len(values)]]
    assert out[: len(values)].tolist() == out[2 * PAGE : 2 * PAGE + len(values)].tolist() == expected
    assert (out[PAGE : 2 * PAGE] == SENTINEL).all()
    assert not out[len(values) : PAGE].any()
    with np.errstate(over="ignore"):
        scaled = [np.float64(v) * (1.0 / precision) for v in column[: len(values)]]
    held = [v for v in scaled if not np.isfinite(v)]
    clamped = [v for v in scaled if np.isfinite(v) and not -(2**31) <= round(float(v)) < 2**31]
    assert counts == [2 * len(held), 2 * len(clamped)]


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
    born[:4] = 7, 8, 6, 0
    previous = np.full(PAGE, 41, np.int32)
    born[4:] = DEAD
    counts = kernels.quantise_float(np.full(PAGE, np.nan), [0], 1.0, previous, out, born, tick=8)
    assert out[:4].tolist() == [41, 0, 41, 41]
    assert counts == [4, 0]  # what doesn't live isn't counted
    assert kernels.quantise_float(np.full(PAGE, 1e30), [0], 1.0, previous, out, born, tick=8) == [0, 4]


FEW = [0.0, 1.0, -1.0, 3.2, -3.2, np.pi, -np.pi, 1e6, -1e9, 1e300, np.nan, np.inf]
integers = st.integers(-(2**31), 2**31 - 1)


@quick
@given(
    st.lists(
        st.tuples(st.one_of(st.sampled_from(FEW), st.floats(-20, 20)), integers, st.booleans()),
        min_size=1,
        max_size=30,
    ),
    st.integers(2, 30),
    st.sampled_from([np.float32, np.float64]),
)
def test_angles_are_counted_on_from_the_last(rows, bits, dtype):
    with np.errstate(over="ignore"):
        column = column_of(np.array([value for value, _, _ in rows], dtype), dtype)
    born, previous, out = np.full(3 * PAGE, DEAD, np.uint32), np.zeros(3 * PAGE, np.int32), np.zeros(3 * PAGE, np.int32)
    n = len(rows)
    previous[:n] = [before for _, before, _ in rows]
    born[:n] = [7 if young else 3 for _, _, young in rows]
    counts = kernels.quantise_angle(column, [0], bits, previous, out, born, tick=7)
    assert out[:n].tolist() == [
        naive.quantise_angle(v, bits, 0 if young else before)
        for v, (_, before, young) in zip(column, rows, strict=False)
    ]
    with np.errstate(over="ignore"):
        assert counts == [int((~np.isfinite(np.float64(column[:n]) * (2.0**bits / np.pi / 2))).sum()), 0]


coordinate = st.one_of(
    st.sampled_from([0.0, 0.5, -0.5, 1.0, -1.0, 1e-30, 1e30, np.nan, np.inf]), st.floats(-2, 2, width=32)
)


@quick
@given(
    st.lists(
        st.tuples(st.lists(coordinate, min_size=4, max_size=4), st.integers(0, 3), st.booleans()),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([1 / 1024, 2.0**-24, 0.25]),
)
def test_rotations_are_three_of_four(rows, precision):
    n = len(rows)
    columns, previous, out = (
        np.zeros((4, PAGE), np.float32),
        np.full((4, PAGE), 5, np.int32),
        np.zeros((4, PAGE), np.int32),
    )
    columns[:, :n] = np.array([values for values, _, _ in rows]).T
    previous[3, :n] = [last for _, last, _ in rows]
    born = np.full(PAGE, DEAD, np.uint32)
    born[:n] = [7 if young else 3 for _, _, young in rows]
    counts = kernels.quantise_rotation(columns, [0], precision, previous, out, born, tick=7)
    for i, (_, last, young) in enumerate(rows):
        before = [0, 0, 0, 0] if young else [5, 5, 5, last]
        q = out[:, i].tolist()
        assert q == naive.quantise_rotation(columns[:, i], precision, before)
        with np.errstate(over="ignore"):
            length = np.linalg.norm(columns[:, i].astype(np.float64))
        if np.isfinite(length):
            unit = columns[:, i].astype(np.float64) / length if length else np.array([0, 0, 0, 1.0])
            found = np.array(naive.rotation_of(q, precision))
            error = np.abs(found * np.sign(found @ unit) - unit)
            assert error.max() <= 1.5 * precision + 1.5 * precision**2 * 4 + 1e-7 or precision > 0.1
            assert np.sort(error)[2] <= precision / 2 + 1e-7
    assert counts == [int((~np.isfinite(columns[:, :n])).any(axis=0).sum()), 0]


@quick
@given(
    st.sampled_from([np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]).flatmap(
        lambda t: st.tuples(
            st.just(t), st.lists(st.integers(np.iinfo(t).min, np.iinfo(t).max), min_size=2, max_size=20)
        )
    ),
    st.integers(0, 255),
    st.integers(1, 25),
)
def test_parts_share_a_word(typed, width, offset):
    dtype, values = typed
    low = int(min(values))
    high = min(low + width % 128, int(np.iinfo(dtype).max))
    flags = np.array([value % 2 for value in values], np.uint8)
    columns = [column_of(flags, np.uint8), column_of(np.array(values, dtype), dtype)]
    parts = [(0, 1, 0), (low, high, offset)]
    born, out = np.full(3 * PAGE, DEAD, np.uint32), np.full(3 * PAGE, SENTINEL, np.int32)
    born[: len(values)] = 7
    counts = kernels.pack(columns, [0], parts, out, born, tick=7)
    assert out[: len(values)].tolist() == [naive.pack(row, parts) for row in zip(flags, values, strict=True)]
    assert counts == [0, sum(value > high for value in values)]


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
    assert kernels.quantise_float(np.zeros(PAGE, np.float32), [], 1.0, out.copy(), out) == [0, 0]
    kernels.quantise_integer(np.zeros(PAGE, np.int8), [], out)
    assert (out == SENTINEL).all()
