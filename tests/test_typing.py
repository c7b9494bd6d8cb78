"""What an editor understands: types of fields in systems, and of what the world gives back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import snippets

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
import enum
from typing import assert_type

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4, i2, vec3


class Mode(enum.Enum):
    IDLE = 0


@hz.component
class Pose:
    at: vec3
    heading: f4 = 0.0
    mode: Mode = Mode.IDLE
    hp: i2 = hz.field(default=100, unit="hp")


@hz.system(phase="simulate")
def turn(pose: Write[Pose], seen: Read[Pose], entity: hz.Entity, time: Res[hz.Time]) -> None:
    assert_type(pose.at.x, float)
    assert_type(pose.heading, float)
    assert_type(pose.hp, int)
    assert_type(pose.mode, Mode)
    assert_type(entity, int)
    assert_type(time.dt, float)
    pose.heading += seen.heading * time.dt


world = hz.World(capacity=10)
ships = world.spawn(hz.Kind("Ship", Pose), 3)
assert_type(world.get(int(ships[0]), Pose), Pose)
assert_type(world.resource(hz.Time), hz.Time)
Pose(hz.Vector3(1, 2, 3), hp=5)
world.add_system(turn)
"""

MISTAKES = {
    "pose.heading.x": "x",
    "pose.heating": "heating",
    'world.spawn("Ship", 3)': "spawn",
    'hz.World(capacity="many")': "capacity",
    "Pose()": "at",
}


def mypy(*paths: Path) -> tuple[int, str]:
    loosely = ["--allow-untyped-defs", "--allow-incomplete-defs", "--allow-untyped-calls"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *loosely, *map(str, paths)],
        capture_output=True, text=True, cwd=ROOT, timeout=110,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def pyright(*paths: Path) -> tuple[int, str]:
    program = shutil.which("pyright")
    if program is None:
        pytest.skip("pyright is not installed (npm install pyright)")
    done = subprocess.run(
        [program, "--pythonpath", sys.executable, *map(str, paths)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=110,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("check", [mypy, pyright])
def test_types_are_what_they_seem(check, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    code, output = check(path)
    assert code == 0, output


@pytest.mark.slow
@pytest.mark.parametrize("check", [mypy, pyright])
def test_mistakes_are_found(check, tmp_path):
    lines = [f"def mistake_{i}(pose: Pose) -> None:\n    {mistake}\n" for i, mistake in enumerate(MISTAKES)]
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + "\n\n" + "\n\n".join(lines))
    code, output = check(path)
    assert code != 0
    found = [line for line in output.splitlines() if " error: " in line or " - error" in line]
    for word in MISTAKES.values():
        assert any(word in line for line in found), (word, output)
    assert len(found) == len(MISTAKES), output


@pytest.mark.slow
def test_mypy_passes_the_guide(tmp_path):
    for page in sorted((ROOT / "docs" / "guide").glob("*.md")):
        lines: list[str] = []
        for s in (s for s in snippets(page) if s.runs and "raises" not in s.options):
            lines += [""] * (s.line - 1 - len(lines)) + s.code.splitlines()
        (tmp_path / f"page_{page.stem.replace('-', '_')}.py").write_text("\n".join(lines) + "\n")
    code, output = mypy(*sorted(tmp_path.glob("*.py")))
    assert code == 0, output


@pytest.mark.slow
def test_pyright_passes_the_examples():
    code, output = pyright(ROOT / "examples")
    assert code == 0, output
