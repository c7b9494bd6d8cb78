"""Bit streams: the kernels' codes against whole numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import kernels, naive
from tests.naive_wire import unzz, w

quick = settings(max_examples=150, deadline=None, derandomize=True, database=None)

EDGES = [0, 1, 2, 3, 7, 8, 15, 16, 17, 255, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]
words = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**32 - 1), st.integers(0, 200))
codes = st.one_of(
    st.integers(0, 55).flatmap(lambda n: st.tuples(st.just("b"), st.integers(0, 2**n - 1), st.just(n))),
    st.tuples(st.just("gamma"), words.filter(lambda v: v < 2**32 - 1)),
    st.tuples(st.just("wide"), words),
    st.tuples(st.just("rice"), words, st.integers(0, 31)),
)


def write_naively(stream):
    writer = naive.Writer()
    for name, *arguments in stream:
        getattr(writer, name)(*arguments)
    return writer.octets()


@quick
@given(st.lists(codes, max_size=40))
def test_codes_are_written_and_read_as_the_page_says(stream):
    data = kernels.write_codes(stream)
    assert data == write_naively(stream)
    values = [value for _, value, *_ in stream]
    assert kernels.read_codes(data, [(name, *rest) for name, _, *rest in stream]) == (values, 0)
    reader = naive.Reader(data)
    assert [getattr(reader, name)(*rest) for name, _, *rest in stream] == values


@quick
@given(st.binary(max_size=24), st.lists(codes, max_size=20))
def test_any_bytes_are_read_alike_or_refused_alike(data, stream):
    asked = [(name, *rest) for name, _, *rest in stream]
    reader, expected = naive.Reader(data), []
    try:
        for name, *rest in asked:
            expected.append(getattr(reader, name)(*rest))
    except naive.Malformed:
        pass
    values, error = kernels.read_codes(data, asked)
    assert values == expected
    assert (error == 0) == (len(values) == len(asked))


def test_a_word_filled_to_the_last_bit_leaves_nothing_behind():
    for n in range(1, 56):
        stream = [("b", 2**n - 1, n)] * 130 + [("b", 0, 1), ("b", 1, 1)]
        assert kernels.write_codes(stream) == write_naively(stream)
    full = [("b", 2**55 - 1, 55), ("b", 511, 9), ("b", 5, 3)]
    assert kernels.write_codes(full) == write_naively(full)


@pytest.mark.parametrize("value", [0, 1, -1, 2, -2, 2**31 - 1, -(2**31), 12345, -54321])
def test_zigzag_folds_the_sign(value):
    assert kernels.zigzag(value) == naive.zz(value)
    assert kernels.unzigzag(naive.zz(value)) == value == unzz(naive.zz(value))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 255, 256, 257, 2**31, 2**32])
def test_an_index_takes_no_more_bits_than_it_needs(count):
    assert kernels.index_bits(count) == w(count)
