"""Records and Rice parameters: pages against single entities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_ecs import kernel
from tests import kernels, naive
from tests.kernels import DEAD, PAGE

quick = settings(max_examples=50 if kernel.jit_enabled() else 3, deadline=None, derandomize=True, database=None)

DEPTH, TICK = 16, 40
N_SLOTS = 2 * PAGE
SAMPLED = [0, 1, 2, 3, 500, PAGE - 1]

EXTREMES = [0, 1, -1, 7, -8, 100, 2**31 - 1, -(2**31), 2**30]
steps = st.one_of(st.sampled_from(EXTREMES), st.integers(-3, 3), st.integers(-(2**31), 2**31 - 1))
rows = st.lists(
    st.tuples(st.lists(steps, min_size=12, max_size=12), st.integers(1, TICK)), min_size=1, max_size=len(SAMPLED)
)
fields = st.lists(st.tuples(st.sampled_from([1, 2, 2, 3]), st.integers(0, 31)), min_size=1, max_size=4)


def history_of(rows, n_fields):
    """A ring in which every field of the sampled slots walks by the given steps, each field a bit differently."""
    history = np.zeros((4 * DEPTH, N_SLOTS), np.int32)
    born = np.full(N_SLOTS, DEAD, np.uint32)
    for slot, (walk, birth) in zip(SAMPLED, rows, strict=False):
        born[slot] = birth
        for f in range(n_fields):
            value = 0
            for tick in range(TICK - DEPTH + 1, TICK + 1):
                value = naive.wrap(value + walk[(tick + f) % len(walk)])
                history[f * DEPTH + tick % DEPTH, slot] = value
    return history, born


def at(history, born, f, slot, tick):
    """The value as of a tick; before birth that of birth."""
    return int(history[f * DEPTH + max(tick, int(born[slot])) % DEPTH, slot])


def residual_of(history, born, f, slot, order, period):
    now, before, earlier = (at(history, born, f, slot, t) for t in (TICK, TICK - period, TICK - 2 * period))
    return naive.residual(order, now, before, naive.wrap(before - earlier)), now != before


@quick
@given(rows, fields, st.sampled_from([1, 3, 7]), st.integers(1, 2), st.booleans())
def test_a_record_is_what_it_says(rows, fields, period, n_parts, absolute):
    orders, ks = [0 if absolute else order for order, _ in fields], [k for _, k in fields]
    history, born = history_of(rows, len(fields))
    newest = max(int(b) for b in born if b != DEAD)
    records = kernels.encode_records(history, DEPTH, orders, ks, TICK, period, born, newest, [0, 1], [0, 1], n_parts)
    for slot in SAMPLED[: len(rows)]:
        each = [residual_of(history, born, f, slot, order, period) for f, order in enumerate(orders)]
        moved = any(m for _, m in each)
        assert records[slot] == naive.encode_record([r for r, _ in each], orders, moved, ks)


@pytest.mark.parametrize(("wanted", "written"), [([0], True), ([0, 1], True), ([1], False), ([], False)])
def test_pages_that_nobody_wants_are_passed_over(wanted, written):
    history, born = history_of([([5] * 12, 1)], 1)
    records = kernels.encode_records(history, DEPTH, [1], [3], TICK, 3, born, 1, [0], wanted)
    assert (records[0][1] > 0) == written
    assert records[PAGE] == (0, 0, False, False)


@pytest.mark.parametrize(
    ("residual", "k", "n", "long"),
    [(0, 12, 4, False), (0, 13, 4, True), (-68, 0, 1, False), (68, 0, 1, True), (2**31 - 1, 31, 1, False), (-(2**31), 29, 1, False),
     (-(2**31), 25, 1, False), (-(2**31), 24, 1, True)],
)  # fmt: skip
def test_what_fits_a_word_and_what_does_not(residual, k, n, long):
    history = np.zeros((4 * DEPTH, N_SLOTS), np.int32)
    history[[f * DEPTH + TICK % DEPTH for f in range(4)], 0] = residual
    born = np.full(N_SLOTS, DEAD, np.uint32)
    born[0] = 1
    record = kernels.encode_records(history, DEPTH, [1] * n, [k] * n, TICK, 1, born, 1, [0], [0])[0]
    assert (record[1] == 63) == long
    assert record == naive.encode_record([residual] * n, [1] * n, residual != 0, [k] * n)


@quick
@given(rows, st.sampled_from([1, 2, 3]), st.sampled_from([1, 3]))
def test_costs_are_the_summed_lengths(rows, order, period):
    """With two pages every fourth row is in the sample, which begins at the tick's remainder."""
    history, born = history_of(rows, 1)
    n, cost = kernels.measure_rice(history, DEPTH, order, TICK, period, born, [0, 1])
    sample = [s for s in SAMPLED[: len(rows)] if s % 4 == TICK % 4 and born[s] <= TICK - period]
    assert n == len(sample)
    assert cost == naive.rice_costs(residual_of(history, born, 0, s, order, period)[0] for s in sample)


def test_no_pages_no_sample():
    history, born = history_of([([5] * 12, 1)], 1)
    assert kernels.measure_rice(history, DEPTH, 1, TICK, 3, born, [0])[0] == 1
    assert kernels.measure_rice(history, DEPTH, 1, TICK, 3, born, []) == (0, [0] * 32)


@quick
@given(rows, fields, st.sampled_from([1, 3, 7]), st.booleans())
def test_a_record_is_measured_again_later(rows, fields, period, absolute):
    orders, ks = [0 if absolute else order for order, _ in fields], [k for _, k in fields]
    history, born = history_of(rows, len(fields))
    for slot in SAMPLED[: len(rows)]:
        each = [residual_of(history, born, f, slot, order, period)[0] for f, order in enumerate(orders)]
        measured = kernels.recount_record(history, DEPTH, orders, ks, slot, TICK, period, int(born[slot]))
        assert measured == (each, naive.recount(each, ks))
