"""Every example runs and stays short."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

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
