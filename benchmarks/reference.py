"""`python -m benchmarks.reference`: Horizon's own scenario, a crowd where everybody moves and watches who is near.

Each round every mover moves, and all who watch it are told: within 50, 150, 300 and 1,000 m, on channels 0 to 3.
Horizon sends every channel on every move, whatever frequencies are declared; here that is measured, and what is
declared. Who is followed is compared with distances computed by brute force, and what some observers know with the
world.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import horizon_ecs as hz
from benchmarks import document
from benchmarks.document import Table, number
from benchmarks.machine import machine, where
from horizon_ecs import Res, Write, f4, kernel
from horizon_ecs.frames import Frames
from horizon_ecs.observed import SLOT_BITS, Checker
from horizon_ecs.progress import reporting
from horizon_ecs.replication import Replicator
from horizon_ecs.systems.interest import MASK_SHIFT

SPACING = 40.0  # metres: one mover a square of so much
RADII = (50.0, 150.0, 300.0, 1_000.0)
TICK_RATE = 60.0
PRECISION = 1 / 512
SPEED = 5.0  # metres a second, as the standard deviation of each axis at the beginning
SWERVE = 0.1  # metres a second that each axis gains or loses each round, likewise
MODES = {  # frequencies of channels 0–3 in Hz
    "every": (TICK_RATE,) * 4,
    "declared": (60.0, 30.0, 15.0, 5.0),  # the upper ends of what Horizon's guide says
}
UPSTREAM_MS = {250: 49.0, 500: 183.0, 1_000: 709.0, 2_000: 2_860.0, 4_000: 11_536.0}
SIZES = (*UPSTREAM_MS, 10_000)
MAX_CHECKED = 2_000  # observers whose recipients are checked
MAX_DECODED = 16  # observers whose frames are decoded
MAX_FOLLOWED = 4_096
WARM_ROUNDS = 12  # the longest period
MARKERS = document.markers("python -m benchmarks.reference")

_CELLS = 1_000_000  # of the distances that are computed at a time


@hz.component
class Position:
    x: f4
    y: f4
    z: f4


@hz.component
class Velocity:
    x: f4
    y: f4


@hz.resource
class Square:
    side: f4


@hz.system
def move(pos: Write[Position], vel: Write[Velocity], square: Res[Square], time: Res[hz.Time], rng: hz.Random) -> None:
    """On, swerving, and back at the edges."""
    u = vel.x + SWERVE * rng.normal()
    v = vel.y + SWERVE * rng.normal()
    pos.x += u * time.dt
    pos.y += v * time.dt
    vel.x = -u if (pos.x < 0.0 and u < 0.0) or (pos.x > square.side and u > 0.0) else u
    vel.y = -v if (pos.y < 0.0 and v < 0.0) or (pos.y > square.side and v > 0.0) else v


class Scenario:
    """The world, and an observer at every mover."""

    def __init__(self, movers: int, mode: str, threads: int | None = None) -> None:
        random = np.random.default_rng(1)
        layers = [
            hz.Layer(c, radius, hertz, [Position], PRECISION)
            for c, (radius, hertz) in enumerate(zip(RADII, MODES[mode], strict=True))
        ]
        mover = hz.Kind("Mover", Position, Velocity, layers=layers)
        self.side = math.sqrt(movers) * SPACING
        self.world = hz.World(capacity=movers, tick_rate=TICK_RATE)
        self.world.insert(Square(side=self.side))
        place = (random.random((movers, 3)) * (self.side, self.side, 0.0)).astype(np.float32)
        velocity = (random.standard_normal((movers, 2)) * SPEED).astype(np.float32)
        self.handles = self.world.spawn(mover, movers, Position=place, Velocity=velocity)
        self.world.add_system(move)
        self.replicator = Replicator(
            self.world, max_observers=movers, max_followed=min(movers, MAX_FOLLOWED), n_threads=threads
        )
        for handle in self.handles.tolist():
            self.replicator.add_observer(entity=handle)

    def round(self) -> Frames:
        """Everybody moves, and all are told."""
        self.world.tick()
        return self.replicator.step()


class Recipients:
    """Who must be followed by some observers, by the distance of everybody from everybody: what frames are held to."""

    def __init__(self, scenario: Scenario, observers: NDArray[np.int64]) -> None:
        self._replicator, self._world = scenario.replicator, scenario.world
        self._observers = observers
        self._slots = self._world.slots_of(scenario.handles)
        self._row_of = np.zeros(self._world.n_slots, np.int64)
        self._row_of[self._slots] = np.arange(len(self._slots))
        self._phase = np.array([self._replicator.phase(int(o)) for o in observers])
        self.mask = np.zeros((len(observers), len(self._slots)), np.uint8)
        self.pairs = self.wrong = 0
        self._first = True

    def check(self, tick: int) -> None:
        """Bring the masks up to date, and count where the replicator's lists differ."""
        due = self._due(tick)
        columns = self._world[Position]
        position = np.stack([column[self._slots] for column in (columns.x, columns.y, columns.z)])
        step = max(1, _CELLS // position.shape[1])
        for first in range(0, len(self._observers), step):
            some = slice(first, first + step)
            self.mask[some] = self._after(self.mask[some], due[some, None], position, self._observers[some])
        for row, observer in enumerate(self._observers.tolist()):
            found = self._listed(observer)
            self.pairs += int(np.count_nonzero(self.mask[row]))
            self.wrong += int(np.count_nonzero(found != self.mask[row]))

    def _due(self, tick: int) -> NDArray[np.uint8]:
        """The channels that each observer has due; in its first frame all."""
        period = self._replicator.tables.period[0]
        due = (tick + self._phase[:, None]) % period == 0
        due |= self._first
        self._first = False
        return (due << np.arange(len(period))).sum(axis=1).astype(np.uint8)

    def _after(self, mask: NDArray[np.uint8], due: NDArray[np.uint8], position: NDArray[np.float32],
               observers: NDArray[np.int64]) -> NDArray[np.uint8]:  # fmt: skip
        # Observer n stands at mover n. Single precision as the server's own, so that who is on the edge is on it here.
        x, y, z = (axis[None, :] - axis[observers, None] for axis in position)
        distance_sq = (x * x + y * y) + z * z
        inside, held = np.zeros_like(mask), np.zeros_like(mask)
        for c, radius in enumerate(RADII):
            leave = np.float32(radius * (1 + self._replicator.hysteresis))
            inside |= (distance_sq <= np.float32(radius) ** 2).astype(np.uint8) << np.uint8(c)
            held |= (distance_sq <= leave**2).astype(np.uint8) << np.uint8(c)
        return (mask & ~due) | (due & (inside | (mask & held)))

    def _listed(self, observer: int) -> NDArray[np.uint8]:
        """uint8[n_movers]: the replicator's own masks."""
        entries = self._replicator.followed(observer)
        found = np.zeros(len(self._slots), np.uint8)
        found[self._row_of[(entries & SLOT_BITS).astype(np.int64)]] = (entries >> MASK_SHIFT & np.uint64(0xFF)).astype(
            np.uint8
        )
        return found


def spread(n: int, most: int) -> NDArray[np.int64]:
    """At most so many of n, evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def measure(movers: int, mode: str, rounds: int, threads: int | None = None,
            progress: Callable[[int, int, str], None] = lambda done, total, what: None) -> dict[str, Any]:  # fmt: skip
    """Time so many rounds of one size.

    Returns
    -------
    dict : movers, mode, rounds; round_ms_median, round_ms_max; pairs (of the last round), updates and bytes (of all),
        bytes_per_update; checked_observers, checked_pairs, wrong_pairs; decoded_observers, decoded_values, mismatches.
    """
    scenario = Scenario(movers, mode, threads)
    recipients = Recipients(scenario, spread(movers, MAX_CHECKED))
    position = scenario.world[Position]
    decoded = Checker(
        scenario.replicator, spread(movers, MAX_DECODED), [[position.x, position.y, position.z]], PRECISION
    )
    ms, updates, n_bytes = [], 0, 0
    total = WARM_ROUNDS + rounds
    for done in range(total):
        progress(done, total, f"rounds of {movers:,} movers")
        started = time.perf_counter_ns()
        frames = scenario.round()
        took = (time.perf_counter_ns() - started) / 1e6
        recipients.check(frames.tick)
        decoded.check(frames)
        if done >= WARM_ROUNDS:
            ms.append(took)
            updates += scenario.replicator.stats.updates
            n_bytes += scenario.replicator.stats.bytes
    return {
        "movers": movers, "mode": mode, "rounds": rounds,
        "round_ms_median": float(np.median(ms)), "round_ms_max": max(ms),
        "pairs": scenario.replicator.stats.followed_pairs, "updates": updates, "bytes": n_bytes,
        "bytes_per_update": n_bytes / max(1, updates),
        "checked_observers": len(recipients.mask), "checked_pairs": recipients.pairs, "wrong_pairs": recipients.wrong,
        "decoded_observers": len(decoded.replicas), "decoded_values": decoded.values,
        "mismatches": decoded.mismatches,
    }  # fmt: skip


def is_right(row: dict[str, Any]) -> bool:
    """Whether everything that was checked was as it must be, and anything was."""
    return not (row["wrong_pairs"] or row["mismatches"]) and row["checked_pairs"] > 0 < row["decoded_values"]


def table(result: dict[str, Any]) -> Table:
    """A row a size: what Horizon measured, and ours."""
    head = ["movers", "pairs", "Horizon, ms", "ours, ms", "Horizon / ours", "as declared, ms", "bytes an update",
            "checked"]  # fmt: skip
    rows = []
    for size in dict.fromkeys(row["movers"] for row in result["sizes"]):
        by_mode = {row["mode"]: row for row in result["sizes"] if row["movers"] == size}
        upstream, every = UPSTREAM_MS.get(size), by_mode["every"]["round_ms_median"]
        checked = sum(row["checked_pairs"] + row["decoded_values"] for row in by_mode.values())
        rows.append([
            f"{size:,}", f"{by_mode['every']['pairs']:,}", f"{upstream:,.0f}" if upstream else "–",
            number(every), f"{upstream / every:,.0f} ×" if upstream else "–",
            number(by_mode["declared"]["round_ms_median"]),
            " / ".join(f"{by_mode[mode]['bytes_per_update']:.2f}" for mode in MODES),
            f"{checked:,}" if all(is_right(row) for row in by_mode.values()) else "WRONG",
        ])  # fmt: skip
    return head, rows


def conditions(result: dict[str, Any]) -> list[str]:
    """What was measured where: one line each."""
    rounds = " / ".join(str(row["rounds"]) for row in result["sizes"][:1])
    return [
        where(result),
        f"Medians of {rounds} rounds after {WARM_ROUNDS} untimed ones; at most {result['threads']} threads.",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--movers", type=int, nargs="+", default=SIZES, metavar="N",
                        help=f"sizes; default {' '.join(map(str, SIZES))}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=24, metavar="N", help="timed rounds of each size; default 24")
    parser.add_argument("--threads", type=int, metavar="N", help="at most so many; by default one a core")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="write the table between the markers of a document: docs/benchmarks.md")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 where anything that was checked is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if min(given.movers) < 2:
        parser.error("--movers must be at least 2")
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    with reporting("reference") as progress:
        sizes = [
            measure(n, mode, given.rounds, given.threads, progress) for n in sorted(set(given.movers)) for mode in MODES
        ]
    result = {**machine(), "threads": given.threads or kernel.n_threads(), "sizes": sizes}
    if given.write:
        document.write(given.write, MARKERS, document.blocks(conditions(result), [table(result)]))
    if given.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        document.show(conditions(result), [table(result)])
    return 0 if all(is_right(row) for row in sizes) else 1


if __name__ == "__main__":
    sys.exit(main())
