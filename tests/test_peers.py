"""The benchmark against peers: every peer that is installed comes to the same, and what is said of it is written down."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from benchmarks import node
from benchmarks.limits import Limit
from benchmarks.node import Missing
from benchmarks.peers import __main__ as command
from benchmarks.peers import measure, report, with_bitecs
from benchmarks.peers.case import Case
from benchmarks.peers.inputs import DT, WORKLOADS, make_inputs

N = 260

RESULT = {
    "date": "2030-01-02", "cpu": "a cpu", "system": "a system", "numba": "1", "numpy": "2", "entities": N, "rounds": 1,
    "peers": {"Horizon ECS": "1", "esper": "3"}, "missing": {"bitECS": "node is not installed"},
    "workloads": [
        {"key": "integrate", "title": "integrate", "ns": {"Horizon ECS": 0.5, "esper": 100.0}},
        {"key": "ours", "title": "ours alone", "ns": {"Horizon ECS": 1234.5}},
        {"key": "theirs", "title": "theirs alone", "ns": {"esper": 7.0}},
    ],
    "limits": [{"key": "x", "title": "a limit", "value": 2.5, "limit": 2.0, "unit": "µs"}],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _end_node():
    yield
    with_bitecs.stop()


@pytest.fixture(scope="module")
def inputs():
    return make_inputs(N)


PAIRS = [(peer, workload) for peer in measure.PEERS for workload in WORKLOADS if workload.key in peer.WORKLOADS]


@pytest.mark.parametrize(("peer", "workload"), PAIRS, ids=lambda x: getattr(x, "key", "") or x.NAME)
def test_every_peer_comes_to_the_same(peer, workload, inputs):
    try:
        peer.version()
    except Missing as reason:
        pytest.skip(str(reason))
    case, repeats = measure.ready(workload, peer, inputs)
    assert 1 <= repeats <= measure.MAX_REPEATS
    assert 0 < case.seconds(2) < float("inf")  # and it can be done again
    case.close()


def test_the_inputs_are_exact_in_single_precision(inputs):
    moved = inputs.position + np.float32(DT) * inputs.velocity
    np.testing.assert_array_equal(moved, inputs.position.astype("f8") + DT * inputs.velocity.astype("f8"))
    assert inputs.kinds.any(1).all()
    assert 0 < inputs.matching.sum() < N
    assert sorted(inputs.order) == list(range(N))


def test_a_wrong_result_is_no_measurement(inputs):
    workload = WORKLOADS[0]

    class Idle:
        NAME = "idle"
        WORKLOADS = {workload.key: lambda inputs: Case(lambda: None, lambda: 0.0)}

    with pytest.raises(measure.WrongResult, match=f"idle: {workload.key} of {N} came to 0.0, not "):
        measure.ready(workload, Idle, inputs)


def test_the_best_of_several_turns_counts(inputs):
    workload = dataclasses.replace(WORKLOADS[0], expected=lambda inputs: 1.0)
    times = iter([9.0, 5.0, 3.0, 4.0])

    class Scripted(Case):
        def seconds(self, repeats):
            return next(times)

    class Peer:
        NAME = "scripted"
        WORKLOADS = {workload.key: lambda inputs: Scripted(lambda: None, lambda: 1.0)}

    assert measure.compare(workload, [Peer], inputs, 3) == {"scripted": pytest.approx(3.0 / N * 1e9)}


def test_a_case_is_reset_before_each_run_and_only_the_work_is_run_between(inputs):
    did = []
    case = Case(lambda: did.append("work"), lambda: 0.0, reset=lambda: did.append("reset"))
    case.seconds(2)
    assert did == ["reset", "work", "reset", "work"]


def test_tables_say_what_was_measured_and_what_was_not():
    text = report.markdown(RESULT)
    assert "| integrate | 0.5 | 100 | – | 200 × |" in text
    assert "| ours alone | 1,234 | – | – | – |" in text
    assert "| theirs alone | – | 7 | – | – |" in text
    assert "| a limit | 2.5 µs | 2 µs | NO |" in text
    assert "Not measured: bitECS (node is not installed)." in text
    assert "Versions: Horizon ECS 1; esper 3." in text


def test_tables_are_written_between_the_markers_only(tmp_path):
    page = tmp_path / "page.md"
    begin, end = report.MARKERS
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n", encoding="utf-8")
    for _ in range(2):
        report.write(page, RESULT)
        text = page.read_text(encoding="utf-8")
        assert text == f"before\n{begin}\n\n{report.markdown(RESULT)}\n\n{end}\nafter\n"
    page.write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match="must contain once"):
        report.write(page, RESULT)


@pytest.mark.slow
def test_the_command_prints_json_and_fails_where_a_limit_is_not_held(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(measure, "LIMITS", (Limit("x", "a limit", 2.0, "µs", lambda: 2.5),))
    monkeypatch.setattr(measure, "TURN_S", 0.0)
    page = tmp_path / "page.md"
    page.write_text("\n".join(report.MARKERS), encoding="utf-8")
    small = ["--entities", str(N), "--rounds", "1", "--peers", "esper", "--json", "--write", str(page)]
    assert command.main(small) == 1
    result = json.loads(capsys.readouterr().out)
    assert [row["key"] for row in result["workloads"]] == [w.key for w in WORKLOADS]
    assert {*result["peers"], *result["missing"]} == {"Horizon ECS", "esper"}
    assert result["limits"] == [{"key": "x", "title": "a limit", "value": 2.5, "limit": 2.0, "unit": "µs"}]
    assert page.read_text(encoding="utf-8").count("| a limit |") == 1
    monkeypatch.setattr(measure, "LIMITS", ())
    assert command.main([*small[:-3], "--json"]) == 0


@pytest.mark.parametrize("arguments", [["--entities", "25"], ["--rounds", "0"], ["--peers", "flecs"]])
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert arguments[0].strip("-") in capsys.readouterr().err


def test_a_peer_that_is_not_there_says_what_it_lacks(monkeypatch, tmp_path):
    with_bitecs.stop()
    monkeypatch.setenv("HORIZON_NODE_MODULES", str(tmp_path))
    monkeypatch.setattr(node.shutil, "which", lambda name: f"/bin/{name}")
    with pytest.raises(Missing, match=f"{tmp_path} has no bitecs: run with --install"):
        with_bitecs.version()
    monkeypatch.setattr(node.shutil, "which", lambda name: None)
    with pytest.raises(Missing, match="node is not installed"):
        with_bitecs.version()
    with pytest.raises(Missing, match="npm is not installed"):
        with_bitecs.install()
