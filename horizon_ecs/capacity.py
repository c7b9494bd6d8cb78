"""Capacity: what a crowd will cost, before there is one; and whether it did.

Pairs, updates and bytes follow from geometry and sampled codes (`expectation`); milliseconds from a cost an entity and
a cost a due pair, which a short run on the machine in question measures.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from horizon_ecs.columns import PAGE, round_up
from horizon_ecs.components import Component, fields_of
from horizon_ecs.errors import ArgumentError
from horizon_ecs.kinds import Kind
from horizon_ecs.load import Load, expect
from horizon_ecs.notebook import html_table
from horizon_ecs.rehearsal import WARM_TICKS, Rehearsal, rehearse
from horizon_ecs.replication import position_component
from horizon_ecs.schema import Tables, compile_tables, describe
from horizon_ecs.slots import SPARE_PAGES

MAX_CALIBRATED = 512, 20_000  # clients and entities of a calibrating run
CALIBRATED_TICKS = 90


@dataclass(frozen=True)
class Population:
    """Entities of one kind, and how they behave.

    Attributes
    ----------
    kind : Kind
    n : int
    speed : float
        World units a second of those that move, in the plane.
    moving : float
        Share of them that move.
    turns_per_s : float
        How often a second each takes another direction, at random moments.
    changes_per_s : float
        How often a second each component but the position changes, all its fields by a few of their steps.

    Raises
    ------
    ArgumentError
    """

    kind: Kind
    n: int
    speed: float = 5.0
    moving: float = 1.0
    turns_per_s: float = 0.5
    changes_per_s: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.kind, Kind) or not self.kind.layers:
            raise ArgumentError(f"kind must be a Kind with layers, not {self.kind!r}")
        if not isinstance(self.n, int) or isinstance(self.n, bool) or not 1 <= self.n <= 100_000_000:
            raise ArgumentError(f"n must be a whole number of entities from 1 to 100,000,000, not {self.n!r}")
        for name, most in (("speed", 1e9), ("moving", 1.0), ("turns_per_s", 1e4), ("changes_per_s", 1e4)):
            check_number(name, getattr(self, name), 0.0, most)


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise ArgumentError unless a value is a number between two others."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ArgumentError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")


@dataclass(frozen=True)
class Costs:
    """What work takes on a machine, all its threads together as the replicator uses them.

    Attributes
    ----------
    entity_ns : float
        Nanoseconds a tick and entity: quantising, grid, records.
    pair_ns : float
        Nanoseconds a pair that has something due: interest, and its part of a frame.
    send_ns : float
        Nanoseconds a frame in the server's sockets; not part of the tick.
    measured : bool
        Whether on this machine; else on one thread of a common server.
    """

    entity_ns: float = 30.0
    pair_ns: float = 65.0
    send_ns: float = 6_000.0
    measured: bool = False


@dataclass(frozen=True)
class Scene:
    """A crowd on a square, and the clients that look at it; each stands at an entity of the first population."""

    populations: tuple[Population, ...]
    clients: int
    side: float
    height: float
    tick_rate: float
    hysteresis: float
    position: Component

    @property
    def entities(self) -> int:
        """In all."""
        return sum(p.n for p in self.populations)

    @property
    def n_slots(self) -> int:
        """Rows of a world that holds just these."""
        return round_up(self.entities) + SPARE_PAGES * PAGE

    def schema(self) -> dict[str, Any]:
        """As the world's replicator will have it."""
        kinds = [p.kind for p in self.populations]
        return describe(kinds, self.position, tick_rate=self.tick_rate, n_slots=self.n_slots, max_followed=2**20)

    def expect(self, elapsed_s: float = math.inf) -> Load:
        """One client's load, so many seconds after the crowd was set down at random."""
        return expect(self, self.schema(), elapsed_s)

    def smaller(self) -> Scene:
        """A part of it, as dense and as large as a short run bears, in which radii still have room where they have."""
        radii = [layer.radius for p in self.populations for layer in p.kind.layers if math.isfinite(layer.radius)]
        wanted = 4.0 * max(radii, default=self.side)
        side = min(self.side, max(wanted, self.side * math.sqrt(MAX_CALIBRATED[1] / self.entities)))
        share = (side / self.side) ** 2
        populations = tuple(dataclasses.replace(p, n=max(1, round(p.n * share))) for p in self.populations)
        return dataclasses.replace(
            self, populations=populations, side=side, clients=min(self.clients, MAX_CALIBRATED[0])
        )  # fmt: skip


@dataclass(frozen=True)
class CapacityPlan:
    """What a crowd will cost; prints itself. `plan` makes it.

    Where the crowd is as it was described, spread evenly and moving straight between turns, pairs, updates and frames
    hold within 5 %, bytes within 10 %, arrivals within a quarter. Milliseconds hold within about a third where they
    were measured on the same machine and nothing else runs on it; without that they are an order of magnitude.

    Attributes
    ----------
    scene : Scene
    load : Load
        One client's part: pairs, updates, frames and bytes a second, and where they come from.
    costs : Costs
    """

    scene: Scene
    load: Load
    costs: Costs

    @property
    def pairs(self) -> float:
        """Entities followed, over all clients."""
        return self.scene.clients * self.load.pairs

    @property
    def updates_per_s(self) -> float:
        """Over all clients."""
        return self.scene.clients * self.load.updates_per_s

    @property
    def frames_per_s(self) -> float:
        """Over all clients."""
        return self.scene.clients * self.load.frames_per_s

    @property
    def arrivals_per_s(self) -> float:
        """Pairs that begin; as many end."""
        return self.scene.clients * self.load.arrivals_per_s

    @property
    def bytes_per_s_per_client(self) -> float:
        """State frames alone; WebSocket, TCP and IP add 42 bytes or more a frame."""
        return self.load.bytes_per_s

    @property
    def bytes_per_s(self) -> float:
        """Over all clients."""
        return self.scene.clients * self.load.bytes_per_s

    @property
    def tick_ms(self) -> float:
        """What replication takes of a tick; systems come on top."""
        due = self.scene.clients * self.load.due_pairs_per_s / self.scene.tick_rate
        return (self.scene.entities * self.costs.entity_ns + due * self.costs.pair_ns) / 1e6

    @property
    def send_ms(self) -> float:
        """What sending a tick's frames takes, on another thread."""
        return self.frames_per_s / self.scene.tick_rate * self.costs.send_ns / 1e6

    @property
    def memory_mib(self) -> float:
        """Of columns, history, records and lists; the interpreter and compiled code take about 250 MiB besides."""
        return _memory_bytes(self.scene, compile_tables(self.scene.schema()), self.load) / 2**20

    @property
    def fits(self) -> bool:
        """Whether replication leaves half a tick to the systems."""
        return self.tick_ms <= 500.0 / self.scene.tick_rate

    def check(self, *, ticks: int = 120, warm_ticks: int = WARM_TICKS) -> CapacityCheck:
        """Build the very crowd, run it, and compare.

        Parameters
        ----------
        ticks, warm_ticks : int
            Ticks that are measured, and those before.

        Raises
        ------
        ArgumentError
        """
        for name, value in (("ticks", ticks), ("warm_ticks", warm_ticks)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ArgumentError(f"{name} must be a whole number from 1, not {value!r}")
        measured = rehearse(self.scene, warm_ticks, ticks)
        # The ring that hysteresis keeps fills as time passes: what is expected of just these ticks.
        then = dataclasses.replace(self, load=self.scene.expect((warm_ticks + ticks / 2) / self.scene.tick_rate))
        return CapacityCheck({name: (getattr(then, name), value) for name, value in measured.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        names = (
            "pairs", "updates_per_s", "frames_per_s", "bytes_per_s_per_client", "bytes_per_s", "tick_ms", "send_ms",
            "memory_mib", "fits",
        )  # fmt: skip
        return {
            "entities": self.scene.entities, "clients": self.scene.clients, "tick_rate": self.scene.tick_rate,
            "side": self.scene.side, **{name: getattr(self, name) for name in names},
            "pairs_per_client": self.load.pairs, "bytes_by_section": self.load.bytes_by_section,
            "costs_measured": self.costs.measured,
        }  # fmt: skip

    def __str__(self) -> str:
        return "\n".join([self._title(), *(f"  {name:<26}{value}" for name, value in self._rows())])

    def _repr_html_(self) -> str:
        return html_table(self._title(), ("", ""), self._rows())

    def _title(self) -> str:
        s = self.scene
        where = f"{s.side:,.0f} x {s.side:,.0f}"
        return f"{s.clients:,} clients among {s.entities:,} entities on {where} at {s.tick_rate:g} Hz"

    def _rows(self) -> list[tuple[str, str]]:
        how = "measured here" if self.costs.measured else "not measured: an order of magnitude"
        return [
            ("pairs", f"{self.pairs:,.0f} ({self.load.pairs:,.1f} a client)"),
            ("updates a second", f"{self.updates_per_s:,.0f}"),
            ("frames a second", f"{self.frames_per_s:,.0f}"),
            ("bytes a second, a client", f"{self.bytes_per_s_per_client:,.0f}"),
            ("bytes a second, in all", f"{self.bytes_per_s:,.0f}"),
            ("replication, a tick", f"{self.tick_ms:.2f} of {1e3 / self.scene.tick_rate:.2f} ms ({how})"),
            ("sending, a tick", f"{self.send_ms:.2f} ms of another thread"),
            ("memory", f"{self.memory_mib:,.0f} MiB"),
        ]


@dataclass(frozen=True)
class CapacityCheck:
    """What was predicted beside what was measured; prints itself.

    Attributes
    ----------
    rows : dict
        From a name to (predicted, measured).
    """

    rows: Mapping[str, tuple[float, float]]

    def error(self, name: str) -> float:
        """By how much of what was measured the prediction is too high."""
        predicted, measured = self.rows[name]
        return predicted / measured - 1.0 if measured else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return {
            name: {"predicted": predicted, "measured": measured, "error": self.error(name)}
            for name, (predicted, measured) in self.rows.items()
        }

    def __str__(self) -> str:
        lines = [f"{'':<26}{'predicted':>16}{'measured':>16}{'error':>9}"]
        lines += [f"{name:<26}{p:>16,.2f}{m:>16,.2f}{self.error(name):>9.1%}" for name, (p, m) in self.rows.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [(n, f"{p:,.2f}", f"{m:,.2f}", f"{self.error(n):.1%}") for n, (p, m) in self.rows.items()]
        return html_table("Predicted and measured", ("", "predicted", "measured", "error"), rows)


def _memory_bytes(scene: Scene, tables: Tables, load: Load) -> float:
    """What is touched, to the page."""
    columns = sum(f.dtype.itemsize for p in scene.populations for c in p.kind.components for f in fields_of(c))
    mean_row = columns / len(scene.populations)
    _, n_channels, n_groups = tables.first_parameter.shape
    entity = mean_row + 24 + len(tables.tracks) * 4 * (tables.depth + 1) + n_channels * n_groups * 8 + 24
    lists = math.ceil(load.pairs * 8 / 4_096 + 0.5) * 4_096
    frames = 2.0 * load.bytes_per_s / scene.tick_rate
    return float(scene.entities * entity) + scene.clients * (lists + frames + 128)


def plan(
    populations: Population | Sequence[Population],
    *,
    clients: int,
    side: float | None = None,
    density: float | None = None,
    height: float = 0.0,
    tick_rate: float = 60.0,
    hysteresis: float = 0.1,
    position: Component | None = None,
    measure: bool = False,
) -> CapacityPlan:
    """What a crowd and its clients will cost: pairs, updates, bytes, milliseconds, memory.

    Parameters
    ----------
    populations : Population, or sequence of them
        Spread evenly. Every client stands at an entity of the first.
    clients : int
    side, density : float
        One of both: the edge of the square world in world units, or entities a square unit.
    height : float
        World units over which positions with a third field are spread.
    tick_rate : float
        Hz.
    hysteresis : float
        As for the Replicator.
    position : component class, optional
        As for the Replicator.
    measure : bool
        Calibrate milliseconds by a run of some seconds on this machine.

    Raises
    ------
    ArgumentError, DefinitionError
    """
    listed = (populations,) if isinstance(populations, Population) else tuple(populations)
    if not listed or not all(isinstance(p, Population) for p in listed):
        raise ArgumentError(f"populations must be instances of Population, not {populations!r}")
    if not isinstance(clients, int) or isinstance(clients, bool) or not 1 <= clients <= 2**20:
        raise ArgumentError(f"clients must be a whole number from 1 to {2**20}, not {clients!r}")
    if (side is None) == (density is None):
        raise ArgumentError("plan needs either side= or density=")
    for name, value, low in (("side", side, 1e-6), ("density", density, 1e-12)):
        if value is not None:
            check_number(name, value, low, 1e12)
    check_number("height", height, 0.0, 1e12)
    check_number("tick_rate", tick_rate, 0.01, 10_000.0)
    check_number("hysteresis", hysteresis, 0.0, 10.0)
    edge = float(side) if side is not None else math.sqrt(sum(p.n for p in listed) / float(density or 1.0))
    component = position_component([p.kind for p in listed], position)
    scene = Scene(listed, clients, edge, float(height), float(tick_rate), float(hysteresis), component)
    return CapacityPlan(scene, scene.expect(), calibrate(scene) if measure else Costs())


def calibrate(scene: Scene) -> Costs:
    """The costs of a crowd like this one on this machine, by a run of a small part of it."""
    small = scene.smaller()
    run = Rehearsal(small)
    for _ in range(CALIBRATED_TICKS // 3):
        run.tick()
    stages = []
    for _ in range(CALIBRATED_TICKS):
        run.tick()
        stages.append(run.replicator.stats.ms)
    frames = float(np.median([ms["frames"] for ms in stages]))
    others = float(np.median([sum(ms.values()) - ms["frames"] for ms in stages]))
    due = small.clients * small.expect(CALIBRATED_TICKS / small.tick_rate).due_pairs_per_s / small.tick_rate
    return Costs(others * 1e6 / small.entities, frames * 1e6 / max(due, 1.0), measured=True)
