"""Every example runs and stays short."""

from __future__ import annotations

import asyncio
import re
import runpy
from pathlib import Path

import pytest

import horizon_ecs as hz

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MAX_LINES = 80


def run(name: str):
    """What an example's main() returns."""
    return runpy.run_path(str(EXAMPLES / name))["main"]()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("0*.py")), ids=lambda p: p.name)
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) < MAX_LINES


def test_hello_world(capsys):
    world = run("01_hello_world.py")
    assert len(world) == 900
    x, y = re.findall(r"[\d.]+", capsys.readouterr().out.splitlines()[0])
    assert float(x) == pytest.approx(2.0, rel=1e-4)
    assert float(y) == pytest.approx(1.0, rel=1e-4)


def test_jitted_system(capsys):
    world = run("02_jitted_system.py")
    out = capsys.readouterr().out
    assert "rovers rest" in out
    assert "Position(x=31.0, y=0.0)" in out
    assert len(world) == 10_000


def test_numpy_query():
    result = run("03_numpy_query.py")
    assert result["dead"] + result["living"] == 20_000
    assert 0 < result["dead"] < 6_500
    assert 450 < result["mean_x"] < 550


def test_hierarchy(capsys):
    result = run("07_hierarchy.py")
    assert result["tip"] == pytest.approx((10.0, 1.0), abs=1e-4)
    assert result["kg"] == [1150.0, 150.0, 50.0]
    assert result["ended"] == 4
    assert result["left"] == 8
    assert "10.0 m east, 1.0 m north" in capsys.readouterr().out


def test_a_served_world(capsys):
    told = []

    def follow(server):
        async def look():
            async with hz.connect(server.ws_url) as client:
                await client.send("steer", x=1.0)
                replica = await client.next_frame()
                told.append((client.entity in replica.handle, replica.n))
                server.request_stop()

        told.append(asyncio.ensure_future(look()))

    main = runpy.run_path(str(EXAMPLES / "04_served_world.py"))["main"]
    report = main(port=0, seconds=60, started=follow)
    assert told[1][0]
    assert 500 < told[1][1] < 4_000
    assert report["frames"] >= 1


def test_replayed_tracks(capsys):
    result = run("05_replayed_tracks.py")
    assert result["known"] == result["recorded"] > 10
    assert result["seen"] > result["known"]
    assert result["error_m"] <= 0.5 / 512
    assert result["bytes_per_update"] < 3.0
    assert "people seen in 10 s" in capsys.readouterr().out


def test_predicted_ship(capsys):
    main = runpy.run_path(str(EXAMPLES / "08_predicted_ship.py"))["main"]
    result = main(seconds=0.5)
    assert result["pushes"] == result["pictures"] > 3
    assert result["wrong"] == 0
    assert result["x"] == pytest.approx(result["pushes"] / 3)
    assert "0 foreseen wrongly" in capsys.readouterr().out


def test_chat_plugin(capsys):
    heard = run("09_chat_plugin.py")
    assert heard == ["Ada is here", "Ada: Hello!", "Bob is here", "Bob: Hello!"]
    assert capsys.readouterr().out.splitlines() == heard


def test_save_and_load(capsys):
    assert run("06_save_and_load.py") == {"same": True, "wolves": 1_000, "armour": 0.25}
    out = capsys.readouterr().out
    assert "both come to the same: True" in out
    assert "1000 wolves stand elsewhere" in out


def test_the_recording_is_what_its_script_writes(tmp_path):
    written = runpy.run_path(str(EXAMPLES / "make_tracks.py"))["main"]
    written(tmp_path / "tracks.csv")
    assert (tmp_path / "tracks.csv").read_bytes() == (EXAMPLES / "tracks.csv").read_bytes()
