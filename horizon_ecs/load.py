"""Load: what one client of a crowd gets, put together from expectations of pairs and codes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from horizon_ecs import expectation
from horizon_ecs.components import fields_of
from horizon_ecs.expectation import Code
from horizon_ecs.schema import NO_CHANNEL, Tables, compile_tables
from horizon_ecs.systems.bits import index_bits

if TYPE_CHECKING:
    from horizon_ecs.capacity import Population, Scene

MAX_TICKS = 2_000  # over which due ticks are averaged, where their common period is longer
PADDING_BITS = 3.5
GAMMAS_BITS = 5.0  # the counts of leaves, moves and enters
HEADER_BITS = 16


@dataclass(frozen=True)
class Load:
    """What one client gets.

    Attributes
    ----------
    pairs : float
        Entities followed; `pairs_by` by kind and channel.
    updates_per_s, frames_per_s, arrivals_per_s, bytes_per_s : float
        Arrivals are entities that enter; as many leave.
    due_pairs_per_s : float
        How often a second a followed entity has something due.
    bytes_by_section : dict
    """

    pairs: float
    updates_per_s: float
    frames_per_s: float
    arrivals_per_s: float
    bytes_per_s: float
    due_pairs_per_s: float
    pairs_by: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    bytes_by_section: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Shell:
    """The pairs of one kind that are followed on the same channels."""

    kind: int
    mask: int
    n: float
    carriers: dict[int, int]  # by group


class _Expecting:
    """One scene's numbers on the way to its load."""

    def __init__(self, scene: Scene, schema: dict[str, Any], elapsed_s: float) -> None:
        self.scene, self.schema, self.elapsed_s = scene, schema, elapsed_s
        self.tables: Tables = compile_tables(schema)
        self.pairs = [self._pairs(k, p) for k, p in enumerate(scene.populations)]
        self.arrivals = [self._arrivals(k, p) for k, p in enumerate(scene.populations)]
        self.shells = [shell for k in range(len(scene.populations)) for shell in self._shells(k)]
        self.codes: dict[tuple[int, int, int], Code] = {}

    def _channels(self, k: int) -> list[int]:
        return [c for c in range(self.tables.period.shape[1]) if self.tables.period[k, c]]

    def _relative(self, p: Population) -> Iterator[tuple[float, float]]:
        """Speeds at which an entity goes by a client, each with its share."""
        client = self.scene.populations[0]
        for one, other in itertools.product(((client.moving, client.speed), (1 - client.moving, 0.0)),
                                            ((p.moving, p.speed), (1 - p.moving, 0.0))):  # fmt: skip
            if one[0] * other[0] > 0.0:
                yield one[0] * other[0], expectation.mean_relative_speed(one[1], other[1])

    def _pairs(self, k: int, p: Population) -> dict[int, float]:
        """Entities followed on each channel; the client's own among them."""
        s, own = self.scene, int(k == 0)
        out = {}
        for c in self._channels(k):
            radius = float(self.tables.radius[k, c])
            share = expectation.share_within(radius, s.side, s.height)
            for weight, speed in self._relative(p):
                reach = self._reach(p, speed)
                share += weight * expectation.share_kept(radius, s.hysteresis, reach, s.side, s.height)
            out[c] = (p.n - own) * min(share, 1.0) + own
        return out

    def _arrivals(self, k: int, p: Population) -> dict[int, float]:
        s, turns = self.scene, self._turns(p)
        return {
            c: (p.n - int(k == 0)) * sum(
                weight * expectation.arrivals_per_s(
                    float(self.tables.radius[k, c]), s.hysteresis, speed, turns, self._reach(p, speed), s.side, s.height
                )
                for weight, speed in self._relative(p)
            )
            for c in self._channels(k)
        }  # fmt: skip

    def _turns(self, p: Population) -> float:
        return max(p.turns_per_s, self.scene.populations[0].turns_per_s)

    def _reach(self, p: Population, speed: float) -> float:
        return expectation.reach_of(speed, self._turns(p), self.elapsed_s)

    def _shells(self, k: int) -> Iterator[_Shell]:
        inside, mask = 0.0, int(self.tables.kind_channels[k])
        for c in self._channels(k):
            yield _Shell(k, mask, max(self.pairs[k][c] - inside, 0.0), self._carriers(k, mask))
            inside, mask = self.pairs[k][c], mask & ~(1 << c)

    def _carriers(self, k: int, mask: int) -> dict[int, int]:
        carriers = {j: int(self.tables.carrier[k, j, mask]) for j in range(self.tables.n_groups[k])}
        return {j: c for j, c in carriers.items() if c != NO_CHANNEL}

    def code(self, k: int, c: int, j: int) -> Code:
        """What records of a group look like on a channel."""
        if (k, c, j) not in self.codes:
            self.codes[k, c, j] = self._sample(k, c, j)
        return self.codes[k, c, j]

    def _sample(self, k: int, c: int, j: int) -> Code:
        p, group = self.scene.populations[k], self.schema["kinds"][k]["groups"][j]
        rng = np.random.default_rng([k, c, j])
        step_s = float(self.tables.period[k, c]) / self.scene.tick_rate
        if group["component"] == self.schema["kinds"][k]["position"]:
            axes = expectation.walk(rng, step_s, p.speed, p.turns_per_s, p.moving, self.scene.side)
            axes += [np.full((3, expectation.N_SAMPLED), self.scene.height / 2)]
            values = {f["name"]: axis for f, axis in zip(group["fields"], axes, strict=False)}
        else:
            # All fields of a group change together.
            started = rng.bit_generator.state
            component = next(x for x in p.kind.components if x.__name__ == group["component"])
            defaults = {f.name: float(f.default or 0) for f in fields_of(component)}
            values = {}
            parts = [(expectation.quantum_of(f), one["name"]) for f in group["fields"] for one in f.get("parts", [f])]
            for quantum, name in parts:
                rng.bit_generator.state = started
                values[name] = expectation.change(rng, step_s, p.changes_per_s, quantum, defaults[name])
        q = [expectation.quantise(f, c, values) for f in group["fields"]]
        return expectation.code_of(q, [f["params"][c][0] for f in group["fields"]])

    # -- a client's ticks ----------------------------------------------------------------------------------------------

    def load(self) -> Load:
        rate = self.scene.tick_rate
        blocks = self._blocks()
        arrivals = sum(rates[max(rates)] for rates in self.arrivals)
        changes = 2.0 * sum(sum(rates.values()) for rates in self.arrivals)
        frames = self._frames_per_s(blocks)
        due, updates = self._due_and_updates()
        bits = {
            "header": frames * (HEADER_BITS + PADDING_BITS),
            "records": sum(
                self.code(k, c, j).bits_among(n) * rate / self.tables.period[k, c] for (k, c, j), n in blocks.items()
            ),
            "structure": self._structure_bits_per_s() + GAMMAS_BITS * min(changes, frames),
        }
        by_section = {name: float(value) / 8.0 for name, value in bits.items()}
        names = [kind["name"] for kind in self.schema["kinds"]]
        pairs = sum(by_channel[max(by_channel)] for by_channel in self.pairs)
        return Load(
            pairs=pairs,
            updates_per_s=updates * rate - self._absolutes_per_s(),
            frames_per_s=frames,
            arrivals_per_s=arrivals,
            bytes_per_s=sum(by_section.values()),
            due_pairs_per_s=due * rate,
            pairs_by=dict(zip(names, self.pairs, strict=True)),
            bytes_by_section=by_section,
        )

    def _blocks(self) -> dict[tuple[int, int, int], float]:
        """How many entries each kind, channel and group has."""
        out: dict[tuple[int, int, int], float] = {}
        for shell in self.shells:
            for j, c in shell.carriers.items():
                out[shell.kind, c, j] = out.get((shell.kind, c, j), 0.0) + shell.n
        return out

    def _n_ticks(self) -> int:
        return min(MAX_TICKS, math.lcm(*(int(period) for period in self.tables.period.ravel() if period)))

    def _frames_per_s(self, blocks: Mapping[tuple[int, int, int], float]) -> float:
        """Ticks in which there is something to say; at least one a second."""
        n_ticks, rate = self._n_ticks(), self.scene.tick_rate
        said = np.zeros(n_ticks)
        for k, rates in enumerate(self.arrivals):
            for c, arrivals in rates.items():
                period = int(self.tables.period[k, c])
                said[::period] += 2.0 * arrivals * period / rate
        for (k, c, j), n in blocks.items():
            said[:: int(self.tables.period[k, c])] += n * self.code(k, c, j).missed
        return max(1.0, float(np.mean(-np.expm1(-said))) * rate)

    def _due_and_updates(self) -> tuple[float, float]:
        """Entities that have something due, and those of them whose values changed; a tick."""
        n_ticks = self._n_ticks()
        due, updates = 0.0, 0.0
        for shell in self.shells:
            idle, still = np.ones(n_ticks), np.ones(n_ticks)
            for j, c in shell.carriers.items():
                period = int(self.tables.period[shell.kind, c])
                idle[::period] = 0.0
                still[::period] *= 1.0 - self.code(shell.kind, c, j).moved
            due += shell.n * float(np.mean(1.0 - idle))
            updates += shell.n * float(np.mean(1.0 - still))
        return due, updates

    def _absolutes_per_s(self) -> float:
        """Records that come absolute, and count as no update: on entering, and on each change of carrier."""
        return sum(2.0 * sum(rates.values()) - rates[max(rates)] for rates in self.arrivals)

    def _structure_bits_per_s(self) -> float:
        """Enters with their absolute records, leaves, and moves from channel to channel and back."""
        bits = self.tables.bits
        n_listed = max(1, round(sum(by_channel[max(by_channel)] for by_channel in self.pairs)))
        index = int(index_bits(n_listed))
        total = 0.0
        for k, rates in enumerate(self.arrivals):
            outer, *inner = sorted(rates, reverse=True)
            mask = 1 << outer
            entering = int(bits.sum()) + 1 + self._absolute_bits(k, 0, mask)
            total += rates[outer] * (entering + index)
            for c in inner:
                there, back = self._absolute_bits(k, mask, mask | 1 << c), self._absolute_bits(k, mask | 1 << c, mask)
                total += rates[c] * (2.0 * (index + int(bits[2])) + there + back)
                mask |= 1 << c
        return total

    def _absolute_bits(self, k: int, before: int, after: int) -> float:
        """Of the groups that get another carrier, beyond the records that would have come otherwise."""
        was = self._carriers(k, before) if before else {}
        return sum(
            self.code(k, c, j).absolute_bits - self.code(k, c, j).bits_among(1.0)
            for j, c in self._carriers(k, after).items()
            if was.get(j) != c
        )


def expect(scene: Scene, schema: dict[str, Any], elapsed_s: float) -> Load:
    """See `Scene.expect`."""
    return _Expecting(scene, schema, elapsed_s).load()
