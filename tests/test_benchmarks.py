"""What is tracked from commit to commit: each benchmark gives what it says, and a comparison judges the right commits."""

from __future__ import annotations

import json
import subprocess

import pytest

from benchmarks import bench_bytes, bench_events, bench_kernels, bench_replication, compare
from horizon_ecs import bench

TINY = {"10k": (60, 6, 0.001), "100k": (80, 8, 0.001), "1M": (100, 10, 0.001), "2.5M": (80, 8, 0.002)}
FRAMES = 32  # of a recording


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    for module in (bench_bytes, bench_kernels, bench_replication):
        monkeypatch.setattr(module, "SCALES", TINY)
    lines = bench_bytes.TRACKS.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line[0].isdigit() or int(line.split(",")[1]) < FRAMES]
    (tmp_path / "few.csv").write_text("\n".join(kept), encoding="utf-8")
    monkeypatch.setattr(bench_bytes, "TRACKS", tmp_path / "few.csv")
    for module, name, value in (
        (bench_bytes, "TICKS", 8), (bench_bytes, "WALKERS", 30), (bench_kernels, "WARM_TICKS", 3),
        (bench_kernels, "DECODED_TICKS", 31), (bench_replication, "TURNS", 2),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("name", ["Quantise", "Grid", "Records", "Frames"])
def test_the_clock_runs_in_one_stage_only(name):
    stage = getattr(bench_kernels, name)()
    stage.setup("10k")
    started = stage.timer()
    stage.time_stage("10k")
    ms = stage._crowd.replicator.stats.ms
    assert stage.timer() - started == pytest.approx(ms[name.lower()] / 1e3)
    crowd = stage._crowd
    stage.setup("10k")
    assert stage._crowd is crowd  # it lives on from sample to sample


def test_a_client_decodes_a_reset_frame_and_all_others():
    decode = bench_kernels.Decode()
    stream = decode.setup_cache()
    assert len(stream[2]) > 10
    assert stream[2][0][0] & 1  # flags: reset
    decode.setup(stream)
    decode.time_stream(stream)


def test_bytes_are_of_whole_frames(monkeypatch):
    monkeypatch.delitem(bench_bytes.SCENARIOS, "hot spot")
    wire = bench_bytes.Wire()
    results = wire.setup_cache()
    for scenario in bench_bytes.SCENARIOS:
        assert 0.5 < wire.track_update(results, scenario) < 20
        assert wire.track_reset_frame(results, scenario) > 10
    assert wire.track_update(results, "tracks") < wire.track_update(results, "tracks, yaw and health")


def test_memory_a_pair_is_what_bench_tick_says(monkeypatch):
    monkeypatch.setattr(bench_bytes, "bench_tick", lambda **given: {"memory_bytes_per_pair": given["observers"]})
    assert bench_bytes.Memory().track_a_pair("1M") == 10


def test_flatness_is_one_where_it_is_compared_with():
    flatness = bench_replication.Flatness()
    results = flatness.setup_cache()
    assert set(results) == set(TINY)
    assert flatness.track_by_100k(results, "100k") == 1.0
    assert all(flatness.track_a_pair(results, scale) > 0 for scale in TINY)


def test_every_tracked_value_has_a_unit():
    for cls in (bench_bytes.Wire, bench_bytes.Memory, bench_replication.Flatness, bench_replication.Tick):
        for name in [n for n in vars(cls) if n.startswith("track_")]:
            assert getattr(getattr(cls, name), "unit", getattr(cls, "unit", None)), f"{cls.__name__}.{name}"


def test_scales_are_named_by_their_pairs(monkeypatch):
    monkeypatch.undo()
    for name, (entities, observers, density) in bench_kernels.SCALES.items():
        pairs = observers * min(entities, density * 3.1416 * bench.LAYERS[-1][0] ** 2)
        assert pairs == pytest.approx(float(name.replace("k", "e3").replace("M", "e6")), rel=0.05)


def keep_result(commit, results):
    """Leave a result as asv does."""
    path = compare._RESULTS / "machine" / f"{commit[:8]}-virtualenv.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {name: [1, values] for name, values in results.items()}
    path.write_text(json.dumps({"result_columns": ["version", "result"], "results": rows}), encoding="utf-8")


@pytest.fixture
def repository(monkeypatch, tmp_path):
    """Two commits; what asv is asked to do is noted, and it answers what `codes` holds."""

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True,
                       capture_output=True)  # fmt: skip

    git("init")
    for message in ("one", "two"):
        (tmp_path / "file").write_text(message, encoding="utf-8")
        git("add", "file")
        git("commit", "-m", message)
    monkeypatch.setattr(compare, "_HERE", tmp_path)
    monkeypatch.setattr(compare, "_RESULTS", tmp_path / "results")
    keep_result(compare._git("rev-parse", "HEAD"), {"x.time_it": [0.5, 0.25], "y.track_it": None})
    asked, codes = [], [0, 0]
    monkeypatch.setattr(compare, "asv", lambda *arguments: asked.append(arguments) or codes.pop(0))
    return asked, codes


def test_the_base_comes_first_and_asv_judges(repository):
    asked, codes = repository
    assert compare.main(["HEAD~1", "--factor", "1.2", "--bench", "x"]) == 0
    assert asked[0][0] == "machine"
    assert asked[1][0] == "continuous"
    assert "--interleave-rounds" in asked[1]
    assert asked[1][-6:-2] == ("--factor", "1.2", "--bench", "x")
    assert asked[1][-2:] == (compare._git("rev-parse", "HEAD~1"), compare._git("rev-parse", "HEAD"))
    codes[:] = [0, 1]
    assert compare.main(["HEAD~1"]) == 1
    codes[:] = [2]
    assert compare.main(["HEAD~1"]) == 2


@pytest.mark.parametrize(
    ("bench", "lacking"), [("x", None), ("y", "y.track_it"), ("x|y", "y.track_it"), ("z", "all of them")]
)
def test_what_does_not_run_any_more_fails(repository, capsys, bench, lacking):
    assert compare.main(["HEAD~1", "--bench", bench]) == int(lacking is not None)
    assert (f"No result on HEAD: {lacking}\n" if lacking else "") == capsys.readouterr().err


def test_one_scale_that_does_not_run_any_more_fails(repository):
    keep_result(compare._git("rev-parse", "HEAD"), {"x.time_it": [0.5, None]})
    assert compare.main(["HEAD~1", "--bench", "x"]) == 1


def test_a_commit_against_itself_is_one_against_its_twin(repository):
    base, head = compare.commits("HEAD", "HEAD")
    assert base != head
    assert compare._git("rev-parse", f"{base}^{{tree}}") == compare._git("rev-parse", f"{head}^{{tree}}")
    assert compare._git("rev-parse", f"{base}^") == head
    assert compare._git("log", "--format=%s", "HEAD") == "two\none"  # and no branch has it


def test_what_cannot_be_compared_is_refused(repository, capsys):
    with pytest.raises(SystemExit, match="git rev-parse: fatal"):
        compare.main(["nowhere"])
    with pytest.raises(SystemExit):
        compare.main(["HEAD", "--factor", "1"])
    assert "--factor must be more than 1" in capsys.readouterr().err


def test_events_are_all_heard(monkeypatch):
    monkeypatch.setattr(bench_events, "N", 50)
    monkeypatch.setattr(bench_events, "ROWS", 80)
    found = bench_events.measure()
    assert len(found) == 9
    assert min(found.values()) > 0
    head, rows = bench_events.table(found)
    assert len(rows) == 9
    assert all(len(row) == len(head) for row in rows)
