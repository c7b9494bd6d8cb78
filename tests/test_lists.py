"""Lists in one pool: what is in them, in which order, and how blocks grow and come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_ecs import lists
from horizon_ecs.errors import CapacityError
from tests import kernels, naive

quick = settings(max_examples=60, deadline=None, derandomize=True)
which = st.integers(0, 3)
values = st.integers(0, 12).map(lambda n: (1 + n % 3) << 32 | n)
masks = st.integers(1, 255)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.tuples(which, values, masks), max_size=9)),
        st.tuples(st.just("take_out"), st.lists(st.tuples(which, values, masks), max_size=9)),
        st.tuples(st.just("clear"), which),
        st.tuples(st.just("drop"), st.sets(which)),
    ),
    max_size=20,
)


def columns(pairs):
    numbers, handles, bits = zip(*pairs, strict=True) if pairs else ((), (), ())
    return np.array(numbers, np.uint32), np.array(handles, np.uint64), np.array(bits, np.uint8)


@quick
@given(acts)
def test_lists_hold_what_their_twins_hold(done):
    made, twin = lists.Lists(4), naive.Lists()
    generation, born = np.ones(16, np.uint32), np.zeros(16, np.uint32)
    born[3:7] = kernels.DEAD
    living = {1 << 32 | slot for slot in range(16) if not 3 <= slot < 7}
    for what, given_ in done:
        if what == "append":
            made.append(*columns(given_), None)
            for triple in given_:
                twin.append(*triple)
        elif what == "take_out":
            made.take_out(*columns(given_))
            for triple in given_:
                twin.take_out(*triple)
        elif what == "clear":
            made.clear(given_)
            twin.lists.pop(given_, None)
        else:
            kernels.drop_dead(sorted(given_), generation, born, made)
            for number in given_:
                twin.drop_dead(number, living)
        for number in range(4):
            known = twin.lists.get(number, {})
            assert made.of(number).tolist() == list(known)
            assert made.masks_of(number).tolist() == list(known.values())


def test_blocks_that_were_left_are_used_again():
    made = lists.Lists(2)
    for _ in range(50):
        made.replace(np.array([0, 1]), np.array([0, 3, 100]), np.arange(1, 101, dtype=np.uint64))
        assert made.of(1).tolist() == list(range(4, 101))
        made.clear(0)
        made.clear(1)
    assert len(made.used()) == 4 + 128


def test_a_full_pool_is_refused_before_anything_is_done(monkeypatch):
    monkeypatch.setattr(lists, "POOL_SIZE", 64)
    made = lists.Lists(8)
    made.append(*columns([(0, 1, 1), (1, 2, 1)]), None)
    with pytest.raises(CapacityError, match="64 entries"):
        made.append(*columns([(n % 8, v, 1) for v in range(1, 9) for n in range(8)]), None)
    assert [made.of(n).tolist() for n in range(3)] == [[1], [2], []]
