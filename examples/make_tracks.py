"""Write a small synthetic recording: a plaza that two streams of walkers cross, tracked by their heads.

python examples/make_tracks.py [tracks.csv]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

BESIDE = Path(__file__).with_name("tracks.csv")
RATE_HZ = 16
SECONDS = 30
SIZE_M = 20.0  # the plaza's edge
WALKERS_A_SECOND = 2.0
STEP_HZ = 1.9
SWAY_M, BOB_M = 0.035, 0.02  # of a head: sideways once in two steps, up and down with each


def walk(rng: np.random.Generator, eastwards: bool) -> np.ndarray:
    """float64[n, 3]: one walker's way across, a row a frame."""
    speed, height, lane = rng.normal(1.35, 0.15), rng.normal(1.65, 0.08), rng.normal(SIZE_M / 2, 2.0)
    drift, phase = rng.normal(0.0, 0.06), rng.random() * 2 * math.pi
    t = np.arange(0.0, SIZE_M / speed, 1 / RATE_HZ)
    pause = (t > 5.0) & (t < 5.0 + rng.choice([0.0, 0.0, 2.0]))  # one in three stops to look around
    walked = np.cumsum(np.where(pause, 0.0, speed / RATE_HZ))
    stride = 2 * math.pi * STEP_HZ * walked / speed + phase
    ahead, aside = walked, lane + drift * walked + SWAY_M * np.sin(stride / 2)
    up = height + BOB_M * np.sin(stride)
    across = np.stack([ahead, aside, up] if eastwards else [aside, ahead, up], axis=1)
    inside: np.ndarray = np.all((across[:, :2] >= 0) & (across[:, :2] <= SIZE_M), axis=1)
    return across[: len(inside) if inside.all() else int(np.argmin(inside))]


def main(path: str | Path = BESIDE) -> Path:
    rng = np.random.default_rng(16)
    n_frames = RATE_HZ * SECONDS
    rows = []
    for number in range(round(WALKERS_A_SECOND * SECONDS)):
        begin = int(rng.integers(-n_frames // 3, n_frames))  # some are under way when it begins
        for i, (x, y, z) in enumerate(walk(rng, eastwards=number % 2 == 0)):
            if 0 <= begin + i < n_frames:
                rows.append((begin + i, number + 1, x, y, z))
    lines = [f"{i},{frame},{x:.3f},{y:.3f},{z:.3f}" for frame, i, x, y, z in sorted(rows)]
    header = [f"# rate: {RATE_HZ}", "# synthetic: made by make_tracks.py; metres", "id,frame,x,y,z"]
    Path(path).write_text("\n".join([*header, *lines]) + "\n", encoding="utf-8")
    return Path(path)


if __name__ == "__main__":
    print(main(*sys.argv[1:2]))
