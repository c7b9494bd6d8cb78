"""What `bench tick` measures is checked, and its arguments are."""

from __future__ import annotations

import numpy as np
import pytest

from horizon_ecs import bench, observed
from horizon_ecs.errors import ArgumentError

SMALL = {"entities": 400, "observers": 40, "ticks": 20, "warm_ticks": 5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entities": 0}, "entities must be a whole number from 1"),
        ({"observers": 401}, "observers must be a whole number from 1 to 400, not 401"),
        ({"ticks": 1.5}, "ticks must be a whole number"),
        ({"threads": 0}, "threads must be a whole number"),
        ({"density": 0.0}, "density must be a positive number"),
        ({"density": float("nan")}, "density must be a positive number"),
        ({"warm_ticks": -1}, "warm_ticks must be a whole number"),
        ({"hot_spot": 5_000}, "hot_spot must be a whole number from 0 to 4000, not 5000"),
        ({"hot_spot": 99}, "hot_spot must be more than the 100 that are followed elsewhere at this density, not 99"),
        ({"hot_share": 0.0}, "hot_share must be a number above 0 and at most 1"),
    ],
)
def test_arguments_are_checked(changes, message):
    with pytest.raises(ArgumentError, match=message):
        bench.bench_tick(**{**SMALL, **changes})


def test_every_value_that_is_checked_is_right():
    told = []
    result = bench.bench_tick(**SMALL, progress=lambda done, total, text: told.append((done, total)))
    assert result["mismatches"] == 0
    assert result["checked_values"] > 1_000
    assert result["bytes_per_update"] == pytest.approx(result["bytes"] / result["updates"])
    assert result["tick_ms_median"] <= result["tick_ms_p99"] <= result["tick_ms_max"]
    assert told[-1] == (25, 25)
    a_pair = result["replication_mib"] * 2**20 / result["followed_pairs"]
    assert result["memory_bytes_per_pair"] == pytest.approx(a_pair, nan_ok=True)
    assert 8.0 <= result["list_bytes_per_pair"] < 16.0
    assert not result["replication_mib"] > result["peak_memory_mib"]


def test_a_hot_spot_is_as_crowded_as_asked_for():
    even, hot = (
        bench.bench_tick(**{**SMALL, "entities": 5_000, "observers": 100, "ticks": 1, "warm_ticks": 0}, hot_spot=n)
        for n in (0, 300)
    )
    assert even["hot_spot"] == 0
    assert even["followed_max"] < 160 < 240 < hot["followed_max"] < 360
    assert hot["mismatches"] == 0
    assert hot["followed_pairs"] > 1.2 * even["followed_pairs"]


def test_a_wrong_value_is_found(monkeypatch):
    apply = observed.Replica.apply

    def tampered(self, frame):
        apply(self, frame)
        self._q[: self.n // 2] += np.int32(1)

    monkeypatch.setattr(observed.Replica, "apply", tampered)
    assert bench.bench_tick(**SMALL)["mismatches"] > 0
