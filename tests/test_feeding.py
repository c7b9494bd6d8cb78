"""Recordings on the command line and as load: in process, from --record to numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import horizon_ecs as hz
from horizon_ecs import cli
from horizon_ecs.errors import ArgumentError
from horizon_ecs.feeding import decode_load, feed
from tests.streams import Position, Stage, kinds_of, table_of

N_TICKS = 60


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """Three observers of a small world."""
    path = tmp_path_factory.mktemp("recordings") / "match.hzr"
    stage = Stage(kinds_of(Position), seed=9)
    stage.spawn(0, 20)
    for x in (0.0, 5.0, 10.0):
        stage.replicator.add_observer(position=(x, 0.0, 0.0))
    with stage.replicator.record(path, about={"title": "A match"}):
        for _ in range(N_TICKS):
            stage.move()
            stage.world.tick()
            stage.replicator.step()
    return path


def run(capsys, *arguments: object, code: int = 0) -> str:
    """What a command says, run in this process."""
    assert cli.main([str(a) for a in arguments]) == code
    said = capsys.readouterr()
    return said.out if code == 0 else said.err


# -- load --------------------------------------------------------------------------------------------------------------


def test_each_client_is_fed_with_an_observers_frames(path):
    with hz.open_recording(path) as recording:
        clients = [recording.replica(i % 3) for i in range(5)]
        told: list[int] = []
        result = feed(recording, clients, lambda done, total: told.append(done))
        for i, client in enumerate(clients):
            assert table_of(client) == table_of(recording.replay(recording.replica(i % 3), i % 3))
        assert result["frames"] == sum(recording.observers[i % 3].n_frames for i in range(5))
        assert result["bytes"] == sum(recording.observers[i % 3].n_bytes for i in range(5))
        assert told == sorted(told)
        assert told[-1] == recording.last_tick - recording.first_tick
        assert [frame for _, frames in recording.ticks() for n, frame in frames if n == 1] == [
            frame for _, frame in recording.frames(1)
        ]


def test_decode_load_counts_what_clients_decoded(path):
    with hz.open_recording(path) as recording:
        one, seven = decode_load(recording, 1), decode_load(recording, 7)
        assert one["frames"] == recording.observers[0].n_frames
        assert seven["clients"] == 7
        assert seven["updates"] > one["updates"] > 100
        assert seven["entities"] > 0
        for n in (0, 2.5, 10**6):
            with pytest.raises(ArgumentError, match="n_clients must be a whole number from 1 to 100000"):
                decode_load(recording, n)
        with pytest.raises(ArgumentError, match="0 clients can't be fed"):
            feed(recording, [])


# -- the command line --------------------------------------------------------------------------------------------------


def test_a_demo_is_recorded_told_about_decoded_and_played(tmp_path, capsys):
    file = tmp_path / "demo.hzr"
    demo = ["demo", "--entities", 300, "--seconds", 0.5, "--port", 0, "--record", file, "--json"]
    assert f"Recorded into {file}\n" in run(capsys, *demo)
    told = json.loads(run(capsys, "recording", file, "--json").splitlines()[-1])
    assert told["kinds"] == ["Ship", "Pilot", "Station"]
    assert told["about"]["title"] == "Horizon ECS: ships on a current"
    assert told["complete"]
    assert told["frames"] >= 1
    decoded = json.loads(run(capsys, "bench", "decode", file, "--clients", 3, "--json").splitlines()[-1])
    assert decoded["frames"] == 3 * told["frames"]
    assert 850 < decoded["entities"] <= 900  # in its whole
    played = run(capsys, "play", file, "--port", 0, "--seconds", 0.1, "--loop").splitlines()
    assert played[0].startswith("Playing demo.hzr, ")
    assert "of 1 observers, on http://127.0.0.1:" in played[0]
    assert "is there already" in run(capsys, *demo, code=1)


def test_a_file_that_was_cut_off_is_told(path, tmp_path, capsys):
    cut = tmp_path / "cut.hzr"
    cut.write_bytes(path.read_bytes()[:-500])
    assert cli.main(["recording", str(cut)]) == 0
    said = capsys.readouterr()
    assert "cut.hzr was cut off, or is still being written; its last " in said.err
    assert "complete      no" in said.out


def test_what_cannot_be_read_is_an_error(path, tmp_path, capsys):
    assert "nowhere.hzr" in run(capsys, "play", tmp_path / "nowhere.hzr", code=1)
    other = tmp_path / "other.hzr"
    other.write_bytes(b"something else altogether")
    for command in (["play"], ["recording"], ["bench", "decode"]):
        assert "other.hzr: this is no recording" in run(capsys, *command, other, code=1)
    assert "observer must be a number below 3" in run(capsys, "play", path, "--observer", 3, code=1)


def test_a_recording_that_never_began_leaves_no_file(tmp_path, capsys):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, file = taken.getsockname()[1], tmp_path / "demo.hzr"
        run(capsys, "demo", "--entities", 100, "--port", port, "--record", file, code=1)
    assert not file.exists()
