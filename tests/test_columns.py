"""Columns: rows written in bulk."""

from __future__ import annotations

import mmap
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs.columns import PAGE, write_rows
from tests import kernels, naive
from tests.game import Fuel, Position, Ship

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


def has_memory(array):
    """Of each page of the system's that an array spans, whether there is memory of our own behind it."""
    first, last = (array.ctypes.data // mmap.PAGESIZE, (array.ctypes.data + array.nbytes - 1) // mmap.PAGESIZE)
    with open("/proc/self/pagemap", "rb") as pagemap:
        pagemap.seek(8 * first)
        return [
            bool(entry >> 63 & entry >> 56 & 1)
            for (entry,) in struct.iter_unpack("<Q", pagemap.read(8 * (last + 1 - first)))
        ]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which pages have memory")
def test_what_a_loop_goes_over_has_memory_and_nothing_else():
    world = hz.World(capacity=4 * PAGE)
    ships = world.spawn(Ship, PAGE + 3, Position=(1, 2, 3))
    world.add(ships[-1:], Fuel, 5)
    columns = [world[Position].z, world[Fuel].amount]
    before = [column.copy() for column in columns]
    world.query(Position, Fuel).segments
    for column, values in zip(columns, before, strict=True):
        assert all(has_memory(column[PAGE : 2 * PAGE]))
        assert not any(has_memory(column[3 * PAGE : 4 * PAGE]))
        np.testing.assert_array_equal(column, values)
