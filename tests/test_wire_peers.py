"""The wire beside other formats: all of them say the same, and who doesn't is found."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from benchmarks import document
from benchmarks.node import Missing
from benchmarks.wire import __main__ as command
from benchmarks.wire import measure, ours, plain, report, with_colyseus
from benchmarks.wire.motion import Motion, recorded, walkers
from horizon_ecs.tracks import load_tracks

ROWS = """# rate: 16
id,frame,x,y,z
1,0,0.0,1.0,1.7
2,0,3.0,1.0,1.7
1,1,0.1,1.0,1.7
2,1,3.0,1.0,1.7
1,2,0.2,1.1,1.7
3,3,5.0,5.0,1.8
"""


@pytest.fixture
def path(tmp_path):
    where = tmp_path / "few.csv"
    where.write_text(ROWS, encoding="utf-8")
    return where


@pytest.fixture
def motion(path):
    return recorded(load_tracks(path), "few")


@pytest.fixture
def process():
    try:
        started = with_colyseus.start()
    except Missing as reason:
        pytest.skip(str(reason))
    yield started
    started.stop()


def test_a_recording_says_who_is_there_and_who_has_changed(motion):
    assert motion.alive.tolist() == [
        [True, True, False],
        [True, True, False],
        [True, False, False],
        [False, False, True],
    ]
    assert [motion.updated(t).sum() for t in range(4)] == [2, 1, 1, 1]
    assert motion.n_updates == 5
    assert motion.q[1, 0].tolist() == [51, 512, 870]


def test_more_fields_are_a_direction_and_health_that_only_falls():
    more = recorded(load_tracks(command.TRACKS), "tracks", with_more=True)
    assert more.n_fields == 5
    assert np.abs(more.q[..., 3]).max() <= 512
    assert len(np.unique(more.q[..., 3])) > 100
    assert (np.diff(more.q[..., 4], axis=0) <= 0).all()
    assert more.q[..., 4].min() < 100


@pytest.mark.parametrize("more", [False, True])
def test_every_format_is_decoded_to_the_same(path, more):
    motion = recorded(load_tracks(path), "few", more)
    sent = ours.send(motion)
    assert sent.n_updates == 3
    assert sent.n_bytes > 0 < sent.first_bytes
    n_bytes = [plain.n_bytes(motion, name) for name in plain.FORMATS]
    assert sent.n_bytes < min(n_bytes)
    assert n_bytes[0] == max(n_bytes)


def test_a_format_that_leaves_something_out_is_found(motion, monkeypatch):
    encode, decode = plain.FORMATS["JSON, an object an update"]
    monkeypatch.setitem(plain.FORMATS, "short", (lambda who, q, gone: encode(who, q, gone[:0]), decode))
    monkeypatch.setitem(plain.FORMATS, "coarse", (lambda who, q, gone: encode(who, q | 1, gone), decode))
    for name in ("short", "coarse"):
        with pytest.raises(ours.WrongValue, match=f"{name}: something else was decoded"):
            plain.n_bytes(motion, name)


def test_a_wrong_value_and_a_wrong_entity_of_ours_are_found(motion, monkeypatch):
    monkeypatch.setattr(ours, "_known", lambda replica, n: np.zeros((replica.n, n), np.int32))
    with pytest.raises(ours.WrongValue, match="knows a wrong value at tick 0"):
        ours.send(motion)
    monkeypatch.setattr(ours.Show, "entities_of", lambda self, replica: np.zeros(replica.n, np.int64))
    with pytest.raises(ours.WrongValue, match="knows other entities"):
        ours.send(motion)


def test_clients_see_who_is_near():
    motion = walkers(60, 30, 20.0, 0.05)
    sent = ours.send(motion, 6.0, 60)
    seen = np.zeros((60, 60), bool)
    for t in range(30):
        seen[tuple(sent.entered[t].T)] = True
        seen[tuple(sent.left[t].T)] = False
    distance = np.linalg.norm((motion.q[-1, :, None] - motion.q[-1]).astype(float), axis=2) / 512
    assert seen[distance < 5.9].all()
    assert not seen[distance > 6.7].any()
    assert sum(map(len, sent.left)) > 0


def test_colyseus_comes_to_the_same(process, motion):
    sent = ours.send(motion)
    encoded = with_colyseus.send(process, motion, sent, 1)
    assert encoded.checked == 3 * (2 + 2 + 1 + 1)
    assert encoded.n_bytes > sent.n_bytes
    assert len(encoded.ms["encode"]) == 3


def test_clients_of_colyseus_see_the_same(process):
    motion = walkers(40, 6, 20.0, 0.05)
    encoded = with_colyseus.send(process, motion, ours.send(motion, 6.0, 40), 40)
    assert encoded.checked > 8 * 6 * 3
    assert encoded.first_bytes > 0


def test_colyseus_is_held_to_what_it_decodes(process, motion):
    process.ask("open", {"fields": [["x", "int8"]], "clients": 1, "decoded": [0], "buffer": 65536})
    answer = process.ask("tick", {"set": [[0, 300]], "gone": [], "entered": [[0, 0]], "left": []})
    assert answer["wrong"] == 1  # 300 is more than a byte holds


def test_the_narrowest_types_are_taken():
    q = np.array([[[0, -1, 40_000, -200, 255]], [[5, 1, 0, 0, 0]]], np.int32)
    motion = Motion("m", 1.0, q, np.ones((2, 1), bool))
    assert [kind for _, kind in with_colyseus.field_types(motion)] == ["uint8", "int8", "int32", "int16", "uint8"]


def test_a_process_that_ends_says_so(process):
    with pytest.raises(RuntimeError, match="colyseus.mjs ended with 1 when it was asked for 'nothing'"):
        process.ask("nothing")


def test_the_command_prints_and_writes_two_tables(path, capsys, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("\n".join(report.MARKERS), encoding="utf-8")
    small = ["--tracks", str(path), "--clients", "8", "--ticks", "4", "--rounds", "1", "--write", str(page)]
    assert command.main([*small, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [r["name"] for r in result["recordings"]] == ["few", "few, yaw and health"]
    assert ours.NAME in result["clients"][0]["ms"]
    text = page.read_text(encoding="utf-8")
    assert "| Fiedler 2015, published | 3.95 |" in text
    assert "| 8 | " in text
    assert command.main(small[:-2]) == 0
    assert "JSON" in capsys.readouterr().out


def test_what_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HORIZON_NODE_MODULES", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    result = measure.measure([], [4], 4, 1, lambda done, total, what: None)
    assert result["colyseus"] is None
    assert (
        f"Not measured: Colyseus ({tmp_path} has no @colyseus/schema: run with --install"
        in report.conditions(result)[-1]
    )
    assert "| – |" in document.markdown(report.clients_table(result))


def test_what_cannot_be_installed_or_read_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HORIZON_NODE_MODULES", "")  # the command sets it, and it must not stay so
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 7))
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert command.main(["--install", "--node-modules", str(tmp_path / "x" / "node_modules")]) == 1
    assert "npm could not install @colyseus/schema@5: it ended with 7" in capsys.readouterr().err
    assert command.main(["--tracks", str(tmp_path / "none.csv")]) == 1
    assert "none.csv: can't be read" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--clients", "1"], ["--ticks", "3"], ["--rounds", "0"]])
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert arguments[0] in capsys.readouterr().err
