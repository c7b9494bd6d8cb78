"""Twin of `systems/interpolate.py`: entities as objects, samples as lists."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from horizon_ecs.systems.interpolate import ANGLE, HERMITE, ROTATION, STEP

Values = list[float]


@dataclass
class Sample:
    tick: float
    values: Values
    cut: bool = False


@dataclass
class Row:
    """One entity."""

    samples: list[Sample] = field(default_factory=list)
    velocity: Values = field(default_factory=list)
    offset: Values = field(default_factory=list)
    offset_at: float = -math.inf
    delay: tuple[float, float, float] = (0.0, 0.0, 0.0)  # from, to, since


class Track:
    """What travels together."""

    def __init__(self, modes: list[int], blend: float, beyond: float, speed: float, history: int) -> None:
        self.modes, self.blend, self.beyond, self.speed, self.history = modes, blend, beyond, speed, history
        self.rows: dict[int, Row] = {}

    def retime(self, place: int, entered: bool, period: float, tick: float) -> None:
        if entered:
            self.rows[place] = Row(delay=(period, period, tick), offset=[0.0] * len(self.modes))
        elif period > 0 and period != self.rows[place].delay[1]:
            self.rows[place].delay = (self._delay(self.rows[place], tick), period, tick)

    def _delay(self, row: Row, tick: float) -> float:
        start, target, since = row.delay
        change = 0.5 * max(0.0, tick - since)
        return target if abs(target - start) <= change else start + math.copysign(change, target - start)

    def push(self, place: int, sampled: float, period: float, given: Values, before: Values, tick: float) -> None:
        row = self.rows[place]
        known = bool(row.samples)
        was = [self._raw(row, f, tick) for f in range(len(self.modes))] if known else []
        drawn = (
            [value + off * self._left(row, tick) for value, off in zip(was, row.offset, strict=True)] if known else []
        )
        if row.samples and row.samples[-1].tick > sampled:
            row.samples = []
        if not row.samples or row.samples[-1].tick < sampled - period:
            last = row.samples[-1].values if row.samples else given
            if row.samples or any(not math.isnan(b) for b in before):
                line = [v if math.isnan(b) else b for b, v in zip(before, last, strict=True)]
                self._put(row, sampled - period, line, before)
        self._put(row, sampled, given, before)
        if not known:
            return
        now = [self._raw(row, f, tick) for f in range(len(self.modes))]
        if now == was:
            return
        offset = [0.0 if mode == STEP else d - n for mode, d, n in zip(self.modes, drawn, now, strict=True)]
        row.offset_at = tick
        row.offset = offset if math.hypot(*offset) <= self.speed * self.blend else [0.0] * len(offset)

    def _put(self, row: Row, tick: float, values: Values, before: Values) -> None:
        last = row.samples[-1] if row.samples else None
        if last is not None:
            values = self._near(values, last.values)
            if last.tick == tick:
                row.samples.pop()
        previous = row.samples[-1] if row.samples else None
        row.samples = [*row.samples, Sample(tick, list(values))][-self.history :]
        row.velocity = [0.0] * len(values)
        if previous is None or len(row.samples) < 2:
            return
        span = tick - previous.tick
        way = [
            v - p if mode not in (STEP, ANGLE, ROTATION) else 0.0
            for mode, v, p in zip(self.modes, values, previous.values, strict=True)
        ]
        row.samples[-1].cut = math.hypot(*way) > self.speed * span
        if not row.samples[-1].cut:
            row.velocity = [
                0.0 if mode == STEP or math.isnan(b) else (v - p) / span
                for mode, b, v, p in zip(self.modes, before, values, previous.values, strict=True)
            ]

    def _near(self, values: Values, last: Values) -> Values:
        if self.modes[0] == ROTATION and sum(a * b for a, b in zip(values, last, strict=True)) < 0:
            return [-v for v in values]
        return [
            v + math.tau * math.floor((p - v) / math.tau + 0.5) if mode == ANGLE else v
            for mode, v, p in zip(self.modes, values, last, strict=True)
        ]

    def _left(self, row: Row, tick: float) -> float:
        return min(max(1 - (tick - row.offset_at) / self.blend, 0.0), 1.0)

    def _raw(self, row: Row, f: int, tick: float) -> float:
        moment = tick - self._delay(row, tick)
        older = [s for s in row.samples if s.tick <= moment]
        if not older:
            return row.samples[0].values[f]
        a = older[-1]
        if self.modes[f] == STEP:
            return a.values[f]
        if len(older) == len(row.samples):
            return a.values[f] + row.velocity[f] * min(moment - a.tick, self.beyond)
        b = row.samples[len(older)]
        if b.cut:
            return a.values[f]
        part = (moment - a.tick) / (b.tick - a.tick)
        way = b.values[f] - a.values[f]
        if self.modes[f] != HERMITE:
            return a.values[f] + way * part
        slope = way
        if len(older) > 1 and not a.cut:
            c = older[-2]
            slope = (a.values[f] - c.values[f]) / (a.tick - c.tick) * (b.tick - a.tick)
        # Between both tangents, weighted by Bernstein's polynomials.
        points = [a.values[f], a.values[f] + slope / 3, b.values[f] - way / 3, b.values[f]]
        return sum(math.comb(3, k) * part**k * (1 - part) ** (3 - k) * p for k, p in enumerate(points))

    def sample(self, place: int, tick: float) -> Values:
        row = self.rows[place]
        if not row.samples:
            return [math.nan] * len(self.modes)
        left = self._left(row, tick)
        drawn = [self._raw(row, f, tick) + row.offset[f] * left for f in range(len(self.modes))]
        drawn = [
            d - math.tau * math.floor(d / math.tau + 0.5) if mode == ANGLE else d
            for mode, d in zip(self.modes, drawn, strict=True)
        ]
        length = math.hypot(*drawn)
        return [d / length for d in drawn] if self.modes[0] == ROTATION and length > 0 else drawn
