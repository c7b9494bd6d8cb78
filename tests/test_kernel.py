"""The jit policy: warm-up, refused dtypes, the cache's place and threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import kernel
from horizon_ecs.systems import storage

ROOT = Path(__file__).resolve().parent.parent
compiled_only = pytest.mark.skipif(not kernel.jit_enabled(), reason="nothing is compiled")


def run_python(code: str, **environment: str) -> str:
    """The output of a fresh interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@compiled_only
def test_a_wrong_dtype_is_an_error_and_no_compilation():
    kernel.warm_up("storage")
    with pytest.raises(TypeError, match="No matching definition"):
        storage.flip(np.zeros(3, np.float64), np.uint64(1), True, np.zeros(3, np.uint64))


def test_an_unchecked_kernel_does_the_same():
    kernel.warm_up("storage")
    kinds, live = np.array([0, -1, 1], np.int16), np.array([1000, 0, 5], np.int32)
    room = kernel.unchecked(storage.room)
    assert room(1, kinds, live) == storage.room(1, kinds, live) == 2 * storage.PAGE - 5
    assert kernel.unchecked(len) is len
    assert (room is storage.room) == (not kernel.jit_enabled())


@compiled_only
def test_warm_up_reports_and_is_done_once(monkeypatch):
    calls = []
    name = storage.room.__name__
    entry = next(k for k in kernel._kernels if k.dispatcher is storage.room)
    monkeypatch.setattr(entry, "ready", False)
    storage.room.disable_compile(False)
    assert kernel.warm_up("storage", progress=lambda *call: calls.append(call)) == 1
    assert calls == [(0, 1, f"storage.{name}"), (1, 1, "ready")]
    assert kernel.warm_up("storage", progress=lambda *call: calls.append(call)) == 0
    assert len(calls) == 2


def test_the_policy_is_the_same_for_all():
    if not kernel.jit_enabled():
        assert kernel.warm_up() == 0
        return
    for entry in kernel._kernels:
        options = entry.dispatcher.targetoptions
        assert options["nogil"] is True
        assert options["error_model"] == "numpy"
        assert not options.get("fastmath", False)
        assert entry.signatures


def test_the_cache_is_named_by_the_sources_and_lives_where_it_is_told(tmp_path):
    code = "from horizon_ecs import kernel; print(kernel.cache_directory)"
    one = Path(run_python(code, NUMBA_CACHE_DIR=str(tmp_path)))
    again = Path(run_python(code, NUMBA_CACHE_DIR=str(tmp_path)))
    checked = Path(run_python(code, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_BOUNDSCHECK="1"))
    unchecked = Path(run_python(code, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_BOUNDSCHECK="0"))
    assert one == again
    assert one.parent == checked.parent == unchecked.parent == tmp_path
    assert checked != unchecked


def test_a_directory_that_cannot_be_written_is_replaced(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = run_python(
        "from horizon_ecs import kernel; print(kernel.cache_directory)",
        NUMBA_CACHE_DIR=str(blocked),
        TMPDIR=str(tmp_path),
    )
    assert Path(found).parent.parent == tmp_path


def test_old_caches_are_pruned(tmp_path):
    for i in range(20):
        directory = tmp_path / f"build-{i:016}"
        directory.mkdir()
        os.utime(directory, (i, i))
    (tmp_path / "somebody_elses").mkdir()
    mine = tmp_path / "build-mine"
    mine.mkdir()
    kernel._prune(tmp_path, mine)
    left = sorted(d.name for d in tmp_path.iterdir())
    assert len(left) == kernel.MAX_CACHES + 1
    assert {"build-mine", "somebody_elses", f"build-{19:016}"} <= set(left)


@compiled_only
def test_generated_systems_are_loaded_from_the_cache(tmp_path):
    program = tmp_path / "game.py"
    program.write_text(
        "import horizon_ecs as hz\n"
        "from horizon_ecs import Write, f4, kernel\n"
        "@hz.component\nclass P:\n    x: f4\n"
        "def one(x):\n    return 1.0\n"
        "@hz.system\ndef go(p: Write[P]):\n    p.x += one(p.x)\n"
        "w = hz.World(capacity=10)\nw.spawn(hz.Kind('K', P), 2)\nw.add_system(go)\nw.tick()\n"
        "stats = go.program.kernel.stats\n"
        "print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), w[P].x[:2].tolist())\n"
    )
    code = f"import runpy; runpy.run_path({str(program)!r})"
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path / "cache")) == "0 1 [1.0, 1.0]"
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path / "cache")) == "1 0 [1.0, 1.0]"


def test_threads_are_counted(monkeypatch):
    monkeypatch.setenv("HORIZON_THREADS", "1")
    assert kernel.n_threads() == 1
    monkeypatch.setenv("HORIZON_THREADS", "3")
    assert kernel.n_threads() == 3
    monkeypatch.setenv("HORIZON_THREADS", "many")
    assert kernel.n_threads() >= 1


def test_a_users_own_numba_cache_stays_where_it_was():
    from numba.core import config

    assert str(kernel.cache_directory) != config.CACHE_DIR


def test_no_compilation_happens_in_a_tick():
    """A world whose systems were added ticks without ever compiling."""
    from tests.test_schedule import crowd, move, move_jitted, starve

    world = crowd(move, move_jitted, starve)
    if kernel.jit_enabled():
        assert not any(s.program.kernel._can_compile for s in (move, move_jitted, starve))
        assert not any(entry.dispatcher._can_compile for entry in kernel._kernels if entry.ready)
    world.run(2)
    assert isinstance(world, hz.World)
