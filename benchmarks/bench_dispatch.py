"""Systems: what a dispatch costs, and how far the loops are from hand-written ones in the same run."""

from __future__ import annotations

from typing import Any

import numpy as np

import horizon_ecs as hz
from benchmarks.limits import (
    HOLES,
    MILLION,
    Frozen,
    N,
    Position,
    Velocity,
    by_hand,
    crowd,
    dense,
    dispatch_us,
    loop_ratio,
    ratio,
    thirty_systems_ms,
)
from benchmarks.timing import best_s
from horizon_ecs import Read, Res, Write
from horizon_ecs.columns import PAGE


@hz.system(without=[Frozen], form="columns")
def move_columns(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    dt = np.float32(time.dt)
    pos.x += vel.x * dt
    pos.y += vel.y * dt
    pos.z += vel.z * dt


def _columns_ratio(holes: str) -> float:
    world = crowd(N, holes, move_columns)
    return ratio(world, dense(N if holes == "none" else N - N // HOLES))


class Dispatch:
    """Ratios to the hand-written loop over as many dense rows (1 is the limit), and what a tick costs without work."""

    def track_entity_system_whole_pages(self) -> float:
        return loop_ratio(N)

    def track_entity_system_tenth_frozen(self) -> float:
        return loop_ratio(N, "frozen")

    def track_entity_system_tenth_dead(self) -> float:
        return loop_ratio(N, "dead")

    def track_million_whole_pages(self) -> float:
        return loop_ratio(MILLION)

    def track_million_tenth_frozen(self) -> float:
        return loop_ratio(MILLION, "frozen")

    def track_million_tenth_dead(self) -> float:
        return loop_ratio(MILLION, "dead")

    def track_columns_system_whole_pages(self) -> float:
        return _columns_ratio("none")

    def track_columns_system_tenth_frozen(self) -> float:
        return _columns_ratio("frozen")

    def track_hand_written_loop(self) -> float:
        arrays: list[Any] = dense(N)
        return best_s(lambda: by_hand(np.float32(1 / 60), *arrays)) / N * 1e9

    def track_empty_tick(self) -> float:
        return best_s(hz.World(capacity=PAGE).tick, 1_000) * 1e6

    def track_dispatch_of_a_system(self) -> float:
        return dispatch_us()

    def track_thirty_small_systems(self) -> float:
        return thirty_systems_ms()


for _name in [n for n in vars(Dispatch) if n.startswith("track_")]:
    getattr(Dispatch, _name).unit = "ratio"
Dispatch.track_hand_written_loop.unit = "ns/entity"  # type: ignore[attr-defined]
Dispatch.track_empty_tick.unit = "µs"  # type: ignore[attr-defined]
Dispatch.track_dispatch_of_a_system.unit = "µs"  # type: ignore[attr-defined]
Dispatch.track_thirty_small_systems.unit = "ms"  # type: ignore[attr-defined]
