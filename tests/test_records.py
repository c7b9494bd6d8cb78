"""Records: however they are made, the same is said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_ecs import kernel, records
from horizon_ecs.systems import replicate
from tests import kernels, naive
from tests.streams import Position, Stage, kinds_of, play
from tests.test_replication import EVERYTHING, crowd

N_TICKS = 60 if kernel.jit_enabled() else 6


def frames_of(seed: int) -> list[list[bytes]]:
    """What a crowd's watchers were sent, each frame checked by brute force."""
    stage = crowd(Stage(kinds_of(Position), seed=seed))
    stage.watch()
    play(stage, N_TICKS, *EVERYTHING)
    return [watcher.frames for watcher in stage.watchers]


@pytest.mark.parametrize("seed", [1, 2])
def test_records_made_by_page_or_one_by_one_are_the_same(monkeypatch, seed):
    made = []
    for enough in (0, 10**9):
        monkeypatch.setattr(records, "ENOUGH_FOR_A_PAGE", enough)
        made.append(frames_of(seed))
    assert made[0] == made[1]


@pytest.mark.parametrize("share", [-1.0, 2.0])
def test_blocks_may_be_quiet_or_loud(monkeypatch, share):
    """Neither is told from the other by what clients have; `play` checks that."""
    monkeypatch.setattr(records, "LOUD_SHARE", share)
    monkeypatch.setattr(records, "ENOUGH_FOR_A_PAGE", 0)
    assert any(frames_of(3))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=3, max_size=3), min_size=1, max_size=3
    ),
    st.integers(0, 9),
)
def test_pages_are_chosen_of_which_enough_was_asked_for(uses, enough):
    assert kernels.choose_pages(uses, enough, 7, [1, 2, 3]) == naive.choose_pages(uses, enough, 7, [1, 2, 3])


def test_a_block_that_talks_is_loud_until_it_falls_silent(monkeypatch):
    monkeypatch.setattr(records, "LOUD_TICKS", 4)
    stage = crowd(Stage(kinds_of(Position), seed=4))
    made = stage.replicator._records
    quiet = int((made.loud == 0).argmax())
    assert made.loud[quiet] == 0
    specs = len(made._specs)
    for tick, (said, loud) in enumerate([(9, 1), (0, 1), (0, 1), (0, 1), (0, 0), (1, 0)], start=100):
        made.said[0, quiet] = 10, said
        made.count(tick)
        assert made.loud[quiet] == loud
        assert (len(made._specs) > specs) == (loud == 1)


def test_arguments_are_listed_in_their_order():
    function = replicate.replicate.py_func if kernel.jit_enabled() else replicate.replicate
    code = function.__code__
    assert list(replicate.ARGUMENTS) == list(code.co_varnames[: code.co_argcount])
