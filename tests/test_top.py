"""The terminal view: drawn in a terminal, printed elsewhere, of a server that really runs."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import horizon_ecs as hz
from horizon_ecs import Write, f4
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError, HorizonError
from horizon_ecs.monitor import top
from horizon_ecs.monitor.report import EventLine, EventReport, PluginLine, ReplicationReport
from horizon_ecs.testing import serving

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 60
TOKEN = "correct-horse-battery"


@hz.component
class Position:
    x: f4
    y: f4


@hz.system
def move(pos: Write[Position]):
    pos.x += 1


Ship = hz.Kind("Ship", Position, layers=[hz.Layer(0, 1e6, 60.0, [Position], 1 / 64)])


def make_world() -> hz.World:
    world = hz.World(capacity=100, kinds=[Ship])
    world.add_system(move)
    world.spawn(Ship, 10, Position=(1, 2))
    return world


def run(work) -> None:
    asyncio.run(asyncio.wait_for(work, TIMEOUT_S))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "horizon_ecs", "top", *arguments]


async def started(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    """The command, while this event loop goes on serving."""
    return await asyncio.to_thread(
        subprocess.run, command(*arguments), capture_output=True, text=True, timeout=TIMEOUT_S, cwd=ROOT, **more
    )


def test_a_running_server_is_shown():
    async def work():
        async with serving(make_world()) as server, hz.connect(server.ws_url) as client:
            for _ in range(3):
                await client.next_frame()
            plain, packed = await asyncio.gather(
                started(server.url, "--count", "2", "--interval", "0.1"),
                started(f"127.0.0.1:{server.port}", "--count", "2", "--interval", "0.1", "--json"),
            )
            assert plain.returncode == packed.returncode == 0, plain.stderr + packed.stderr
            assert plain.stdout.count("connections  1 of 1,000") == 2
            assert "\x1b" not in plain.stdout
            found = [json.loads(line) for line in packed.stdout.splitlines()]
            assert [one["replication"]["entities"] for one in found] == [10, 10]
            assert found[0]["tick"] < found[1]["tick"]
            shown, code = await asyncio.to_thread(in_a_terminal, server.url, "--count", "2", "--interval", "0.1")
            assert code == 0
            for part in ("\x1b[", server.url, "health", "move", "(frames)"):
                assert part in shown, part

    run(work())


def in_a_terminal(*arguments: str) -> tuple[str, int]:
    """What is written to a terminal, and the exit code."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "120", "LINES": "40", "TERM": "xterm-256color"}
    with subprocess.Popen(command(*arguments), stdout=theirs, stderr=theirs, cwd=ROOT, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65_536):
                shown += data
        except OSError:  # the other end is closed
            pass
        code = process.wait(TIMEOUT_S)
    os.close(ours)
    return shown.decode(), code


def test_it_says_the_token():
    async def work():
        async with serving(make_world(), ServerConfig(metrics_token=TOKEN)) as server:
            said = {**os.environ, "HORIZON_METRICS_TOKEN": TOKEN}
            known, unknown = await asyncio.gather(
                started(server.url, "--count", "1", env=said), started(server.url, "--count", "1", "--token", "wrong")
            )
            assert known.returncode == 0, known.stderr
            assert unknown.returncode == 1
            assert "it wants a token: give --token or set HORIZON_METRICS_TOKEN" in unknown.stderr
            assert "Traceback" not in unknown.stderr

    run(work())


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/status"),
        ("localhost:9100", "http://localhost:9100/status"),
        ("https://game.example/metrics", "https://game.example/status"),
        ("http://[::1]:80", "http://[::1]:80/status"),
    ],
)
def test_where_it_asks(url, where):
    assert top.status_url(url) == where


@pytest.mark.parametrize("url", ["ftp://x", "", "file:///etc/passwd", "http://"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ArgumentError, match="expected a server's address"):
        top.status_url(url)


def test_a_server_that_is_not_there_at_first_ends_it_and_later_it_is_asked_again(monkeypatch):
    answers = iter([hz.HorizonMonitor().generate_report().to_dict(), HorizonError("gone"), HorizonError("gone")])

    def fetch(url, token):
        answer = next(answers)
        if isinstance(answer, HorizonError):
            raise answer
        return answer

    monkeypatch.setattr(top, "fetch_status", fetch)
    out, slept = io.StringIO(), []
    told = {"token": None, "interval_s": 2.5, "as_json": False, "out": out, "sleep": slept.append}
    top.watch("localhost:1", count=2, **told)
    assert out.getvalue().splitlines()[-2:] == ["lost         gone", ""]
    assert slept == [2.5]
    with pytest.raises(HorizonError, match="gone"):
        top.watch("localhost:1", count=2, **told)


def test_other_answers_are_explained():
    async def work():
        async with serving(make_world(), ServerConfig(metrics=False)) as server:
            with pytest.raises(HorizonError, match="is it a Horizon server"):
                await asyncio.to_thread(top.fetch_status, top.status_url(server.url))
            with pytest.raises(HorizonError, match="Expecting value"):
                await asyncio.to_thread(top.fetch_status, f"{server.url}healthz")
        with pytest.raises(HorizonError, match="refused"):
            await asyncio.to_thread(top.fetch_status, "http://127.0.0.1:9/status")

    run(work())


def test_a_report_is_read_back():
    report = replace(
        hz.HorizonMonitor().generate_report(), plugins={"chat": PluginLine("off", 2, "it", 3, 4.0, 5.0, 6.0, 7.0)},
        events=EventReport(1, 2.0, 3.0, "a", {"a": EventLine(1, 2.0, 3.0, 4.0, 5, 6)})
    )  # fmt: skip
    assert hz.SystemReport.from_dict({**json.loads(json.dumps(report.to_dict())), "alerts": []}) == report
    for wrong in ({}, {"events": 3}, {**report.to_dict(), "memory": {"much": 1}}):
        with pytest.raises(ArgumentError, match="no report of this version"):
            hz.SystemReport.from_dict(wrong)


def drawn(status, width: int = 100) -> str:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(top.view("http://[x]:1", status))
    return out.getvalue()


def test_what_is_drawn():
    report = replace(
        hz.HorizonMonitor().generate_report(),
        replication=ReplicationReport(
            frame_ms=20.0, systems_ms={"[bold]move": 5.0, "rest": 0.001}, stages_ms={"grid": 1.0}
        ),
        events=EventReport(1, 2.0, 3.0, "chat", {"chat": EventLine(10, 2_000.0, 0.25, 4.0, 5, 6)}),
        plugins={"talk": PluginLine(ms_per_s=4.5, max_ms=5.0)},
    )
    alert = asdict(hz.Alert("memory", 1.0, 0.8, "memory: [red] all of it"))
    shown = drawn({**report.to_dict(), "alerts": [alert]})
    for part in (
        "[bold]move",
        "25.0%",
        "(grid)",
        "2,000",
        "0.250",
        "talk",
        "4.50",
        "! memory: [red] all of it",
        "http://[x]:1",
    ):
        assert part in shown, part
    assert max(map(len, drawn({**report.to_dict(), "alerts": []}, width=40).splitlines())) <= 40
    assert "gone" in drawn({"lost": "gone"})
