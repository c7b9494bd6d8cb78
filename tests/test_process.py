"""What the process uses, where it is read, and histograms of many values."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_ecs.frames import ReplicationStats
from horizon_ecs.monitor.histogram import Histogram
from horizon_ecs.monitor.process import memory_limit, process_use
from horizon_ecs.monitor.totals import COUNTED, Totals


def test_what_this_process_uses():
    before = process_use()
    held = np.ones(2**22)  # 32 MiB
    after = process_use()
    assert after.resident_bytes > before.resident_bytes + 2**24
    assert after.virtual_mb > after.resident_mb > 0
    assert after.cpu_s >= before.cpu_s > 0
    assert len(held)


def test_other_systems_are_asked_by_psutil(tmp_path):
    psutil = pytest.importorskip("psutil")
    found, there = process_use(tmp_path), psutil.Process().memory_info()
    assert found.resident_bytes == pytest.approx(there.rss, rel=0.2)
    assert found.virtual_bytes == pytest.approx(there.vms, rel=0.2)
    assert memory_limit(tmp_path, ()) == psutil.virtual_memory().total


def test_where_nobody_tells_it_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert process_use(tmp_path).resident_bytes == 0
    assert memory_limit(tmp_path, ()) == 0


def test_a_container_may_have_less_than_the_machine(tmp_path):
    (tmp_path / "meminfo").write_text("MemFree: 5 kB\nMemTotal:   2048 kB\n")
    new, old = tmp_path / "memory.max", tmp_path / "limit"
    limits = (str(new), str(old))
    assert memory_limit(tmp_path, limits) == 2 * 2**20
    new.write_text("max\n")
    assert memory_limit(tmp_path, limits) == 2 * 2**20
    new.write_text("1048576\n")
    assert memory_limit(tmp_path, limits) == 2**20
    old.write_text(f"{2**62}\n")
    assert memory_limit(tmp_path, limits) == 2**20


@given(batches=st.lists(st.lists(st.floats(0, 8), max_size=20), max_size=6))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_a_histogram_counts_every_value_once(batches):
    bounds = [0.5, 1.0, 4.0]
    histogram = Histogram(bounds)
    for batch in batches:
        histogram.add(batch)
    values = [value for batch in batches for value in batch]
    assert histogram.cumulative() == [(b, sum(v <= b for v in values)) for b in [*bounds, float("inf")]]
    assert histogram.total == pytest.approx(sum(values))
    histogram.clear()
    assert histogram.cumulative()[-1] == (float("inf"), 0)


def test_totals_add_up():
    totals = Totals()
    assert set(COUNTED) <= set(ReplicationStats.__dataclass_fields__)
    totals.add(ReplicationStats(updates=3, bytes=10, ms={"grid": 1.0}))
    last = ReplicationStats(updates=4, followed_pairs=9, ms={"grid": 0.5, "frames": 2.0})
    totals.add(last)
    assert (totals.counts["updates"], totals.counts["bytes"], totals.counts["leaves"]) == (7, 10, 0)
    assert totals.ms == {"grid": 1.5, "frames": 2.0}
    totals.clear()
    assert not any(totals.counts.values())
    assert totals.ms == {}
    assert totals.last is last
