"""Columns: rows written in bulk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_ecs.columns import write_rows
from tests import kernels, naive

SIZES = [np.uint8, np.uint16, np.uint32, np.uint64]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 255))), st.sampled_from(SIZES), st.booleans(), st.booleans()
)
def test_scatter_equals_its_plain_twin(rows, dtype, strided, one_for_all):
    slots = [slot for slot, _ in rows]
    values = [7] if one_for_all else [value for _, value in rows]
    block = np.zeros((len(values), 3), dtype)
    block[:, 1] = values
    given = block[:, 1] if strided else np.array(values, dtype)
    given.flags.writeable = False
    before = list(range(10))
    assert kernels.scatter(before, slots, given) == naive.scatter(before, slots, values)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
def test_every_dtype_is_written_bit_for_bit(dtype):
    column = np.zeros(6, dtype)
    slots = np.array([4, 1, 4], np.uint32)
    write_rows(column, slots, np.array([1, 0, 1], dtype))
    assert column.tolist() == [0, 0, 0, 0, 1, 0]
    write_rows(column, slots, np.array(1, dtype))
    assert column.tolist() == [0, 1, 0, 0, 1, 0]
    write_rows(column, slots[:1], 0)
    assert column.tolist() == [0, 1, 0, 0, 0, 0]
    write_rows(column, slots[:0], np.zeros(0, dtype))
    assert column.tolist() == [0, 1, 0, 0, 0, 0]


def test_times_are_written_too():
    column = np.zeros(3, "M8[s]")
    write_rows(column, np.array([2], np.uint32), np.datetime64(5, "s"))
    assert column.astype(np.int64).tolist() == [0, 0, 5]


def test_nan_and_negative_zero_keep_their_bits():
    column = np.zeros(4, np.float32)
    values = np.array([0x7FC12345, 0x80000000], np.uint32).view(np.float32)
    write_rows(column, np.array([2, 0], np.uint32), values)
    assert column.view(np.uint32).tolist() == [0x80000000, 0, 0x7FC12345, 0]
