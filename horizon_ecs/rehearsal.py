"""Rehearsal: the crowd that a capacity plan speaks of, made and run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from horizon_ecs import expectation
from horizon_ecs.components import fields_of
from horizon_ecs.replication import Replicator
from horizon_ecs.world import World

if TYPE_CHECKING:
    from horizon_ecs.capacity import Population, Scene
    from horizon_ecs.frames import Frames

WARM_TICKS = 120  # in which Rice parameters settle, and observers have had their reset frames


class _Crowd:
    """One population, moved by NumPy."""

    def __init__(self, scene: Scene, world: World, p: Population, rng: np.random.Generator) -> None:
        self.p, self._rng, self._dt, self._side = p, rng, 1.0 / world.tick_rate, scene.side
        names = [f.name for f in fields_of(scene.position)]
        self.handles = world.spawn(p.kind, p.n)
        self.slots = world.slots_of(self.handles)
        self._columns = [world.column(scene.position, name) for name in names]
        self._place = rng.random((p.n, 2)) * scene.side
        if len(names) > 2:
            self._columns[2][self.slots] = rng.random(p.n) * scene.height
        self._goes = (rng.random(p.n) < p.moving) * p.speed
        self._velocity = np.zeros((p.n, 2))
        self._turn(np.arange(p.n))
        self._others = [
            [
                (world.column(c, one["name"]), expectation.quantum_of(f), one if "parts" in f else None)
                for f in fields
                for one in f.get("parts", [f])
            ]
            for c, fields in _changing(scene, p)
        ]

    def _turn(self, who: Any) -> None:
        angle = self._rng.random(len(who)) * 2.0 * math.pi
        self._velocity[who] = np.array([np.cos(angle), np.sin(angle)]).T * self._goes[who, None]

    def _some(self, per_s: float) -> Any:
        return np.flatnonzero(self._rng.random(self.p.n) < -math.expm1(-per_s * self._dt))

    def move(self) -> None:
        """One tick: straight on and back at the edges, some turn, some change."""
        self._turn(self._some(self.p.turns_per_s))
        self._place += self._velocity * self._dt
        out = ((self._place < 0) & (self._velocity < 0)) | ((self._place > self._side) & (self._velocity > 0))
        self._velocity[out] *= -1
        for axis in (0, 1):
            self._columns[axis][self.slots] = self._place[:, axis]
        for columns in self._others:
            who = self._some(self.p.changes_per_s)
            steps = expectation.draw_steps(self._rng, len(who))
            for column, quantum, part in columns:
                changed = column[self.slots[who]] + steps * quantum
                if part is not None:
                    changed = expectation.wrapped(changed, part)
                column[self.slots[who]] = changed.astype(column.dtype)


def _changing(scene: Scene, p: Population) -> list[tuple[Any, list[dict[str, Any]]]]:
    """The replicated components of a kind but its position, with their fields as the schema has them."""
    groups = scene.schema()["kinds"][scene.populations.index(p)]["groups"]
    found = [(c, [f for g in groups if g["component"] == c.__name__ for f in g["fields"]]) for c in p.kind.components]
    return [(c, fields) for c, fields in found if fields and c is not scene.position]


class Rehearsal:
    """A scene's world, its replicator and its observers."""

    def __init__(self, scene: Scene) -> None:
        rng = np.random.default_rng(1)
        self.world = World(
            capacity=scene.entities, tick_rate=scene.tick_rate, kinds=[p.kind for p in scene.populations]
        )
        self._crowds = [_Crowd(scene, self.world, p, rng) for p in scene.populations]
        most = min(scene.entities, 2**20, 4 * round(scene.expect().pairs) + 256)
        self.replicator = Replicator(
            self.world, position=scene.position, hysteresis=scene.hysteresis, max_observers=scene.clients,
            max_followed=most
        )  # fmt: skip
        first = self._crowds[0].handles
        for entity in first[np.linspace(0, len(first) - 1, scene.clients).astype(np.int64)].tolist():
            self.replicator.add_observer(entity)

    def tick(self) -> Frames:
        """One step."""
        for crowd in self._crowds:
            crowd.move()
        self.world.tick()
        return self.replicator.step()


def rehearse(scene: Scene, warm_ticks: int, ticks: int) -> dict[str, float]:
    """What a plan predicts, measured."""
    run = Rehearsal(scene)
    for _ in range(warm_ticks):
        run.tick()
    stats = []
    for _ in range(ticks):
        run.tick()
        stats.append(run.replicator.stats)
    rate = scene.tick_rate / ticks
    n_bytes = sum(s.bytes for s in stats) * rate
    return {
        "pairs": float(np.mean([s.followed_pairs for s in stats])),
        "updates_per_s": sum(s.updates for s in stats) * rate,
        "frames_per_s": sum(s.n_frames for s in stats) * rate,
        "arrivals_per_s": sum(s.enters for s in stats) * rate,
        "bytes_per_s": n_bytes,
        "bytes_per_s_per_client": n_bytes / scene.clients,
        "tick_ms": float(np.median([sum(s.ms.values()) for s in stats])),
    }
