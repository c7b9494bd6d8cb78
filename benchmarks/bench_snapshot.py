"""Snapshots: saving, loading and copying a world, in nanoseconds an entity; `python -m benchmarks.bench_snapshot` for a
million of them in milliseconds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import horizon_ecs as hz
from benchmarks.limits import MILLION, N, Ship
from benchmarks.timing import best_s

REPEATS = 10


class Snapshots:
    """Entities of three components, 26 bytes each. Files are written to the disk and read from the system's cache."""

    unit = "ns/entity"
    n = N

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "a.world"
        self.world = hz.World(capacity=2 * self.n)
        values = np.random.default_rng(1).random((self.n, 3)).astype(np.float32)
        self.world.spawn(Ship, self.n, Position=values, Velocity=values, Health=3)
        self.world.save(self.path)
        self.twin = self.world.clone()

    def teardown(self) -> None:
        self.folder.cleanup()

    def _ns(self, work: Callable[[], object]) -> float:
        return best_s(work, REPEATS) / self.n * 1e9

    def track_save(self) -> float:
        return self._ns(lambda: self.world.save(self.path))

    def track_save_compressed(self) -> float:
        return self._ns(lambda: self.world.save(self.path.with_suffix(".packed"), compress=True))

    def track_load(self) -> float:
        return self._ns(lambda: hz.World.load(self.path, [Ship]))

    def track_clone(self) -> float:
        return self._ns(self.world.clone)

    def track_copy_from(self) -> float:
        return self._ns(lambda: self.twin.copy_from(self.world))

    def track_digest(self) -> float:
        return self._ns(self.world.digest)

    def track_diff(self) -> float:
        return self._ns(lambda: self.world.diff(self.twin))

    def track_bytes(self) -> float:
        return self.path.stat().st_size / self.n


Snapshots.track_bytes.unit = "bytes/entity"  # type: ignore[attr-defined]
_TRACKS = [name for name in vars(Snapshots) if name.startswith("track_")]
for _name in _TRACKS:
    _track = getattr(Snapshots, _name)
    _track.unit = getattr(_track, "unit", Snapshots.unit)


def main() -> None:
    """Print everything for a million entities."""
    bench = Snapshots()
    bench.n = MILLION
    bench.setup()
    for name in _TRACKS:
        value = getattr(bench, name)()
        scale, unit = (1.0, "bytes an entity") if name == "track_bytes" else (bench.n / 1e6, "ms")
        print(f"{name.removeprefix('track_'):<18}{value * scale:>10.1f} {unit}")
    bench.teardown()


if __name__ == "__main__":
    main()
