"""Bench: a crowded world ticked without sockets, timed by stage, a sample of its observers checked value by value."""

from __future__ import annotations

import math
import mmap
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4, kernel, u1
from horizon_ecs.errors import ArgumentError
from horizon_ecs.frames import Frames
from horizon_ecs.observed import Checker
from horizon_ecs.replication import Replicator

TICK_RATE = 60.0
PRECISION = 1 / 64
LAYERS = ((50.0, 30.0), (100.0, 15.0), (140.0, 10.0), (178.0, 2.0))  # radius, frequency in Hz of channels 0–3
SPEED = 5.0  # world units a second, as the standard deviation of each axis
TURNING = 0.01  # of the entities, each tick
HURT = 0.002
HOT_SHARE = 0.33  # of the entities stand around a hot spot
MAX_CHECKED = 16  # observers

Progress = Callable[[int, int, str], None]


@hz.component
class Position:
    x: f4
    y: f4
    z: f4


@hz.component
class Velocity:
    x: f4
    y: f4


@hz.component
class Health:
    hp: u1 = 100


@hz.resource
class Square:
    side: f4


@hz.system
def move(pos: Write[Position], vel: Write[Velocity], square: Res[Square], time: Res[hz.Time]) -> None:
    """Straight on, and back at the edges."""
    x = pos.x + vel.x * time.dt
    y = pos.y + vel.y * time.dt
    vel.x = -vel.x if (x < 0.0 and vel.x < 0.0) or (x > square.side and vel.x > 0.0) else vel.x
    vel.y = -vel.y if (y < 0.0 and vel.y < 0.0) or (y > square.side and vel.y > 0.0) else vel.y
    pos.x = x
    pos.y = y


@hz.system
def bob(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]) -> None:
    """Up and down, so that the third axis has something to say."""
    pos.z += 0.1 * vel.x * time.dt


def ship(layers: Sequence[tuple[float, float]], precision: float) -> hz.Kind:
    """A kind whose position and health travel on channels 0, 1, … of some radii and frequencies."""
    fields = [Position, Health]
    made = [hz.Layer(c, radius, hertz, fields, precision) for c, (radius, hertz) in enumerate(layers)]
    return hz.Kind("Ship", Position, Velocity, Health, layers=made)


class _Crowd:
    """The world that is measured: every entity moves, some turn and some are hurt each tick."""

    def __init__(self, entities: int, observers: int, density: float, threads: int | None, hot_spot: int = 0,
                 hot_share: float = HOT_SHARE) -> None:  # fmt: skip
        self._random = np.random.default_rng(1)
        side = math.sqrt(entities / density)
        place = np.zeros((entities, 3), np.float32)
        place[:, :2] = self._random.random((entities, 2), np.float32) * np.float32(side)
        if hot_spot:
            self._crowd_together(place, side, density, hot_spot, hot_share)
        self.world = hz.World(capacity=entities, tick_rate=TICK_RATE)
        self.world.insert(Square(side=side))
        handles = self.world.spawn(ship(LAYERS, PRECISION), entities, Position=place, Velocity=self._headings(entities))
        self._slots = self.world.slots_of(handles)
        self.world.add_system(move, bob)
        kernel.warm_up()  # machine code is no part of what replication takes
        self.bytes_before = _resident_bytes()
        self.replicator = Replicator(self.world, max_observers=observers, n_threads=threads)
        for entity in handles[np.linspace(0, entities - 1, observers).astype(np.int64)]:
            self.replicator.add_observer(entity=int(entity))

    def _crowd_together(self, place: NDArray[np.float32], side: float, density: float, hot_spot: int,
                        hot_share: float) -> None:  # fmt: skip
        """Move some of the entities around the middle, so that who stands there follows so many."""
        picked = np.flatnonzero(self._random.random(len(place)) < hot_share)
        more = hot_spot / (math.pi * LAYERS[-1][0] ** 2) - density
        spread = math.sqrt(len(picked) / (2 * math.pi * more))
        place[picked, :2] = np.clip(self._random.normal(side / 2, spread, (len(picked), 2)), 0, side)

    def _headings(self, n: int) -> NDArray[np.float32]:
        return (self._random.standard_normal((n, 2), np.float32) * np.float32(SPEED)).astype(np.float32)

    def _some(self, share: float) -> NDArray[Any]:
        n = max(1, round(len(self._slots) * share))
        return self._slots[self._random.integers(0, len(self._slots), n)]

    def checker(self, observers: NDArray[np.int64]) -> Checker:
        """What holds the frames of some observers against the columns."""
        position = self.world[Position]
        fields = [[position.x, position.y, position.z], [self.world[Health].hp]]
        return Checker(self.replicator, observers, fields, PRECISION)

    def replication_bytes(self, checker: Checker) -> float:
        """The memory in use now that wasn't before there was a replicator, and that isn't the checker's."""
        return max(0.0, _resident_bytes() - self.bytes_before - checker.memory_bytes)

    def followed_max(self) -> int:
        """The most entities that one observer follows."""
        return max(len(self.replicator.followed(o)) for o in range(self.replicator.n_observers))

    def tick(self) -> Frames:
        """One whole tick: some turn, some are hurt, the systems run, and the replicator makes its frames."""
        turning = self._some(TURNING)
        velocity = self.world[Velocity]
        velocity.x[turning], velocity.y[turning] = self._headings(len(turning)).T
        self.world[Health].hp[self._some(HURT)] -= 1
        self.world.tick()
        return self.replicator.step()


def _check_arguments(entities: int, observers: int, density: float, ticks: int, threads: int | None, warm_ticks: int,
                     hot_spot: int, hot_share: float) -> None:  # fmt: skip
    for name, value, least, most in (
        ("entities", entities, 1, 10_000_000),
        ("observers", observers, 1, min(entities, 2**20) if isinstance(entities, int) else 1),
        ("ticks", ticks, 1, 10_000_000),
        ("threads", 1 if threads is None else threads, 1, 1024),
        ("warm_ticks", warm_ticks, 0, 10_000_000),
        ("hot_spot", hot_spot, 0, 4_000),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ArgumentError(f"bench_tick: {name} must be a whole number from {least} to {most}, not {value!r}")
    if not isinstance(density, int | float) or not 0.0 < density < math.inf:
        raise ArgumentError(f"bench_tick: density must be a positive number of entities a square unit, not {density!r}")
    if not isinstance(hot_share, int | float) or not 0.0 < hot_share <= 1.0:
        raise ArgumentError(f"bench_tick: hot_share must be a number above 0 and at most 1, not {hot_share!r}")
    elsewhere = density * math.pi * LAYERS[-1][0] ** 2
    if hot_spot and hot_spot <= elsewhere:
        raise ArgumentError(f"bench_tick: hot_spot must be more than the {elsewhere:.0f} that are followed elsewhere "
                            f"at this density, not {hot_spot!r}")  # fmt: skip


def _resident_bytes() -> float:
    """The memory that this process has in use now; NaN where the system doesn't tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return math.nan
    return float(pages * mmap.PAGESIZE)


def _peak_memory_mib() -> float:
    """The most memory this process ever had in use; NaN where the system doesn't tell."""
    try:
        import resource
    except ImportError:
        return math.nan
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _lateness_ms(tick_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """How late each tick would begin on a fixed schedule: what a long one leaves over, the next ones make good."""
    late, behind = np.zeros(len(tick_ms)), 0.0
    for i, ms in enumerate(tick_ms):
        late[i] = behind
        behind = max(0.0, behind + ms - 1e3 / TICK_RATE)
    return late


def _run(crowd: _Crowd, checker: Checker, warm_ticks: int, ticks: int, report: Progress) -> list[dict[str, float]]:
    """What each timed tick did: milliseconds by stage, and counts."""
    rows = []
    for number in range(warm_ticks + ticks):
        if number % 10 == 0:
            report(number, warm_ticks + ticks, "ticks" if number >= warm_ticks else "ticks to warm up")
        started = time.perf_counter_ns()
        frames = crowd.tick()
        ms = (time.perf_counter_ns() - started) / 1e6
        checker.check(frames)
        if number >= warm_ticks:
            stats = crowd.replicator.stats
            systems = ms - sum(stats.ms.values())
            counts = {"updates": stats.updates, "bytes": stats.bytes, "followed_pairs": stats.followed_pairs}
            rows.append({"tick": ms, "systems": systems, **stats.ms, **counts})
    report(warm_ticks + ticks, warm_ticks + ticks, "done")
    return rows


def bench_tick(
    *,
    entities: int = 100_000,
    observers: int = 10_000,
    density: float = 0.001,
    ticks: int = 300,
    threads: int | None = None,
    warm_ticks: int = 60,
    hot_spot: int = 0,
    hot_share: float = HOT_SHARE,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Time whole ticks, systems and replication, of a world full of movers, without sockets.

    Every entity moves and some turn or are hurt each tick. Each observer stands at an entity of its own and follows all
    within 50, 100, 140 and 178 world units at 30, 15, 10 and 2 Hz. Up to 16 observers' frames are decoded between the
    timed parts, and every value they know is compared bit for bit with the world's columns rounded by NumPy.

    Parameters
    ----------
    entities, observers : int
        At most 10,000,000 entities, and no more observers than entities.
    density : float
        Entities a square unit.
    ticks, warm_ticks : int
        Timed ticks, and untimed ones before them.
    threads : int, optional
        As for the Replicator.
    hot_spot : int
        How many an observer follows in the middle of a crowd that `hot_share` of the entities form, thinning out like a
        bell curve; 0 for entities spread evenly.
    hot_share : float
    progress : callable(done, total, text), optional

    Returns
    -------
    dict : entities, observers, density, hot_spot, ticks, threads; tick_ms_median, tick_ms_p99, tick_ms_max; systems_ms,
        quantise_ms, grid_ms, records_ms, frames_ms (medians);
        followed_pairs, followed_max (by one observer), updates, bytes, bytes_per_update (state frames over all timed
        ticks; pairs of the last);
        ns_per_pair; missed_ticks (longer than 1/60 s); late_ms_p99 (how late ticks would begin at 60 Hz);
        checked_observers, checked_values, mismatches (all ticks); peak_memory_mib, replication_mib (resident at the
        end, above what the world and machine code took before), memory_bytes_per_pair (of the latter),
        list_bytes_per_pair (of what grows with the pairs: the lists of who follows whom, their slack included).

    Raises
    ------
    ArgumentError
    """
    _check_arguments(entities, observers, density, ticks, threads, warm_ticks, hot_spot, hot_share)
    report: Progress = progress or (lambda done, total, text: None)
    report(0, warm_ticks + ticks, "compiling")
    crowd = _Crowd(entities, observers, density, threads, hot_spot, hot_share)
    checker = crowd.checker(np.unique(np.linspace(0, observers - 1, MAX_CHECKED).astype(np.int64)))
    rows = _run(crowd, checker, warm_ticks, ticks, report)
    memory = crowd.replication_bytes(checker)
    tick_ms = np.array([row["tick"] for row in rows])
    median = float(np.median(tick_ms))
    pairs, updates = int(rows[-1]["followed_pairs"]), int(sum(row["updates"] for row in rows))
    n_bytes = int(sum(row["bytes"] for row in rows))
    stages = ("systems", *crowd.replicator.stats.ms)
    return {
        "entities": entities,
        "observers": observers,
        "density": density,
        "hot_spot": hot_spot,
        "ticks": ticks,
        "threads": threads or kernel.n_threads(),
        "tick_ms_median": median,
        "tick_ms_p99": float(np.percentile(tick_ms, 99)),
        "tick_ms_max": float(tick_ms.max()),
        **{f"{stage}_ms": float(np.median([row[stage] for row in rows])) for stage in stages},
        "followed_pairs": pairs,
        "followed_max": crowd.followed_max(),
        "updates": updates,
        "bytes": n_bytes,
        "bytes_per_update": n_bytes / max(1, updates),
        "ns_per_pair": median * 1e6 / max(1, pairs),
        "missed_ticks": int(np.count_nonzero(tick_ms > 1e3 / TICK_RATE)),
        "late_ms_p99": float(np.percentile(_lateness_ms(tick_ms), 99)),
        "checked_observers": min(observers, MAX_CHECKED),
        "checked_values": checker.values,
        "mismatches": checker.mismatches,
        "peak_memory_mib": _peak_memory_mib(),
        "replication_mib": memory / 2**20,
        "memory_bytes_per_pair": memory / max(1, pairs),
        "list_bytes_per_pair": crowd.replicator._table.rows.used_bytes / max(1, pairs),
    }
