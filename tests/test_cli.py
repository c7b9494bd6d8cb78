"""The command line, as a user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import horizon_ecs

ROOT = Path(__file__).resolve().parent.parent
TRACKS = ROOT / "examples" / "tracks.csv"
TIMEOUT_S = 100
KEYS = {
    "entities", "observers", "ticks", "tick_ms_median", "tick_ms_p99", "followed_pairs", "updates", "bytes", "bytes_per_update",
    "checked_values", "mismatches", "missed_ticks", "late_ms_p99",
}  # fmt: skip


def run(*arguments: str, code: int = 0, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "horizon_ecs", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=ROOT,
        **options,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def last_json(done) -> dict:
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["replay"],
        ["play"],
        ["recording"],
        ["bench"],
        ["bench", "tick"],
        ["plan"],
        ["bytes"],
        ["top"],
        ["doctor"],
    ],
)
def test_everything_has_help_and_it_is_quick(command):
    done = run(*command, "--help")
    assert "usage: horizon-ecs" in done.stdout
    assert done.stderr == ""


def test_help_imports_no_compiler():
    code = "import sys; from horizon_ecs.cli import main\ntry: main(['--help'])\nexcept SystemExit: print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "False"


def test_version():
    assert run("--version").stdout == f"horizon-ecs {horizon_ecs.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["dmo"], "invalid choice: 'dmo'"),
        (["demo", "--entities", "many"], "argument --entities: 'many' is no whole number"),
        (["demo", "--entities", "3"], "argument --entities: must lie between 10 and 1000000, not 3"),
        (["demo", "--port", "70000"], "argument --port: must lie between 0 and 65535, not 70000"),
        (["demo", "--seconds", "nan"], "argument --seconds: must lie between"),
        (["demo", "--clients", "-1"], "argument --clients: must lie between 0 and 1000"),
        (["replay"], "the following arguments are required: TRACKS"),
        (["replay", "x.npz", "--speed", "0"], "argument --speed: must lie between"),
        (["play", "x.hzr", "--speed", "101"], "argument --speed: must lie between 0 and 100, not 101"),
        (["bench", "tick", "--threads", "0"], "argument --threads: must lie between"),
    ],
)
def test_a_wrong_call_is_explained(arguments, message):
    assert message in run(*arguments, code=2).stderr


def test_a_missing_recording_is_named():
    done = run("replay", "nowhere.npz", code=1)
    assert done.stderr.startswith("horizon-ecs: ")
    assert "nowhere.npz" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("demo", "--entities", "100", "--port", str(port), code=1)
    assert f"can't listen on 127.0.0.1 port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_with_clients_checks_every_value():
    done = run("demo", "--entities", "2000", "--clients", "3", "--seconds", "2", "--port", "0", "--json")
    report = last_json(done)
    assert report.keys() >= KEYS
    assert "error" not in report
    assert report["observers"] == 3
    assert report["mismatches"] == 0
    assert report["checked_values"] > 100_000
    assert report["updates"] > 1_000
    assert report["bytes_per_update"] == pytest.approx(report["bytes"] / report["updates"])
    assert report["refusals"] == {}
    assert re.search(r"^Serving 2,000 ships and stations on http://127.0.0.1:\d+/", done.stdout, re.M)


def test_a_recording_is_played_to_clients():
    report = last_json(run("replay", str(TRACKS), "--clients", "2", "--seconds", "2", "--port", "0", "--json"))
    assert report.keys() >= KEYS
    assert report["mismatches"] == 0
    assert report["checked_values"] > 1_000


@pytest.mark.slow
def test_with_clients_a_recording_is_played_once_and_whole():
    from horizon_ecs.tracks import load_tracks

    tracks = load_tracks(TRACKS)
    report = last_json(run("replay", str(TRACKS), "--clients", "2", "--speed", "4", "--port", "0", "--json"))
    assert report["mismatches"] == 0
    assert report["ticks"] >= tracks.n_frames
    # Each row but the first of each track is an update for each of the two, if it differs from the one before.
    assert 0.8 * 2 * tracks.n_rows < report["updates"] <= 2 * tracks.n_rows


def test_a_report_for_people():
    done = run("demo", "--entities", "500", "--seconds", "0.5", "--port", "0")
    assert re.search(r"^  tick_ms_median +\d+\.\d{3}$", done.stdout, re.M)


def test_bench_tick():
    report = last_json(run("bench", "tick", "--entities", "2000", "--observers", "100", "--ticks", "30", "--json"))
    assert report.keys() >= KEYS
    assert report["entities"] == 2000
    assert report["observers"] == 100
    assert report["mismatches"] == 0
    assert report["checked_values"] > 1_000


def test_doctor():
    found = last_json(run("doctor", "--json"))
    assert found["horizon_ecs"] == horizon_ecs.__version__
    assert found["cores"] >= 1
    assert Path(found["cache_directory"]).is_dir()
    assert isinstance(found["advice"], list)
    told = run("doctor", env=os.environ | {"NUMBA_DISABLE_JIT": "1"}).stdout
    assert "NUMBA_DISABLE_JIT is set" in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number):
    command = [sys.executable, "-m", "horizon_ecs", "demo", "--entities", "500", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Serving"), line
        process.send_signal(number)
        out, error = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["entities"] > 400
    assert "Traceback" not in error


def test_plan_tells_and_checks():
    shown = run("plan", "--entities", "2000", "--clients", "20")
    assert shown.stdout.startswith("20 clients among 2,000 entities")
    checked = last_json(
        run("plan", "--entities", "2000", "--clients", "20", "--layers", "40:20,90:5", "--check", "--json")
    )
    assert checked["clients"] == 20
    assert abs(checked["check"]["updates_per_s"]["error"]) < 0.2


def test_bytes_are_told_apart_to_the_bit():
    table = last_json(
        run("bytes", "--entities", "500", "--clients", "20", "--ticks", "30", "--by", "kind,field", "--json")
    )
    assert table["by"] == ["kind", "field"]
    assert sum(row["bits"] for row in table["rows"]) == table["total_bits"] > 0
    assert table["n_ticks"] == 30
    assert "Position.x" in run("bytes", "--entities", "500", "--clients", "5", "--ticks", "10", "--by", "field").stdout
    assert (
        "told apart by 'colour'" in run("bytes", "--entities", "100", "--ticks", "1", "--by", "colour", code=1).stderr
    )
    assert "is no list of" in run("plan", "--layers", "50", code=2).stderr
