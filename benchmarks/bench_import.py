"""What a user waits for: the import, a first world with its kernels from the cache, and the compilation of a system."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORT = "import horizon_ecs"
WORLD = "import horizon_ecs as hz; hz.World()"
SYSTEM = """
import horizon_ecs as hz
from horizon_ecs import Write, f4

@hz.component
class Position:
    x: f4

@hz.system
def move(pos: Write[Position]):
    pos.x += 1.0

hz.World().add_system(move)
"""
REPEATS = 5


def seconds(program: str, cache: str) -> float:
    """The time that a fresh interpreter takes for a program, beyond its own start."""

    def run(path: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, path], check=True, env={**os.environ, "NUMBA_CACHE_DIR": cache})
        return time.perf_counter() - started

    with tempfile.TemporaryDirectory() as directory:
        empty, wanted = Path(directory, "empty.py"), Path(directory, "wanted.py")
        empty.write_text("")
        wanted.write_text(program)
        return max(0.0, run(str(wanted)) - run(str(empty)))


class Start:
    """Seconds, each in a fresh interpreter."""

    unit = "s"
    timeout = 600

    def setup(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.cache = self._directory.name

    def teardown(self) -> None:
        self._directory.cleanup()

    def _warm(self, program: str) -> float:
        seconds(program, self.cache)
        return min(seconds(program, self.cache) for _ in range(REPEATS))

    def track_import(self) -> float:
        return self._warm(IMPORT)

    def track_first_world_cold(self) -> float:
        return seconds(WORLD, self.cache)

    def track_first_world_warm(self) -> float:
        return self._warm(WORLD)

    def track_first_system_cold(self) -> float:
        seconds(WORLD, self.cache)
        return seconds(SYSTEM, self.cache) - self._warm(WORLD)

    def track_first_system_warm(self) -> float:
        return self._warm(SYSTEM)


for _name in [n for n in vars(Start) if n.startswith("track_")]:
    getattr(Start, _name).unit = Start.unit
