"""Whole ticks by scenario: each in a process of its own, written as a table, and what fails is said."""

from __future__ import annotations

import json

import pytest

from benchmarks import ticks


def test_a_scenario_runs_in_a_process_of_its_own():
    found = ticks.run(["--entities", "300", "--observers", "10", "--ticks", "10", "--threads", "1"])
    assert (found["entities"], found["ticks"], found["mismatches"]) == (300, 10, 0)
    assert found["checked_values"] > 0


def test_the_command_writes_a_row_a_scenario(monkeypatch, capsys, tmp_path):
    asked = []
    keys = (
        "tick_ms_median",
        "tick_ms_p99",
        "ns_per_pair",
        "bytes_per_update",
        "replication_mib",
        "list_bytes_per_pair",
    )
    row = dict.fromkeys(keys, 1.5) | {"followed_pairs": 1234, "followed_max": 99, "checked_values": 5, "threads": 2}
    monkeypatch.setattr(ticks, "run", lambda options: asked.append(options) or row)
    page = tmp_path / "page.md"
    page.write_text("\n".join(ticks.MARKERS), encoding="utf-8")
    assert ticks.main(["--ticks", "7", "--threads", "2", "--write", str(page), "--json"]) == 0
    assert asked == [[*options, "--ticks", "7", "--threads", "2"] for options in ticks.SCENARIOS.values()]
    assert list(json.loads(capsys.readouterr().out)["scenarios"]) == list(ticks.SCENARIOS)
    lines = page.read_text(encoding="utf-8").splitlines()
    assert sum("| 1,234 | 99 | 1.5 |" in line for line in lines) == len(ticks.SCENARIOS)
    assert ticks.main([]) == 0
    assert "1,234" in capsys.readouterr().out


def test_a_run_that_fails_is_said(monkeypatch, capfd):
    monkeypatch.setattr(ticks, "SCENARIOS", {"none": ("--entities", "1")})
    assert ticks.main([]) == 1
    assert "bench tick --entities 1 --ticks 300: it ended with 2" in capfd.readouterr().err


@pytest.mark.parametrize("options", ticks.SCENARIOS.values(), ids=str)
def test_every_scenario_is_one_that_the_command_line_takes(options):
    from horizon_ecs.cli import _parser

    assert vars(_parser().parse_args(["bench", "tick", *options]))["ticks"] == 300
