"""Expectation: how many pairs, updates and bits a crowd that is spread evenly makes, by geometry and by sampled codes.

Where entities are spread evenly over a square, how many are within a radius of one of them follows from the square
alone, its edges included; how many stay beyond it by hysteresis and how many come and go follows from straight lines;
how long codes are, from the codes of a few thousand random walkers.
Source of the rates of crossing: the mean free flux v̄/π through a line, as in kinetic theory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.systems.bits import COARSER, MAX_ONES

N_SAMPLED = 4_096
MAX_STEP = 8  # quanta by which a field that changes does so at most
BITS_QUANTUM = 0.01  # of floats that travel as they are

Floats = NDArray[np.float64]


# -- pairs -------------------------------------------------------------------------------------------------------------


def _middles(n: int) -> Floats:
    return (np.arange(n) + 0.5) / n


def share_within(radius: float, side: float, height: float) -> float:
    """How likely two points spread evenly over a square `side` wide, and `height` high, are within a radius."""
    if math.isinf(radius):
        return 1.0
    if height:
        apart = _middles(64)
        flat = np.sqrt(np.maximum(radius**2 - (apart * height) ** 2, 0.0))
        return float(np.mean(2.0 * (1.0 - apart) * np.array([share_within(r, side, 0.0) for r in flat])))
    d = radius / side
    most = min(1.0, d)
    # u is the distance along one axis, of density 2 (1 - u); sines crowd the points where the circle is steep.
    angle = _middles(256) * (math.pi / 2)
    u = most * np.sin(angle)
    v = np.minimum(np.sqrt(np.maximum(d * d - u * u, 0.0)), 1.0)
    return float(np.mean(2.0 * (1.0 - u) * (2.0 * v - v * v) * most * np.cos(angle)) * math.pi / 2)


def share_kept(radius: float, hysteresis: float, travelled: float, side: float, height: float) -> float:
    """How likely two points are beyond the radius, but not by more than hysteresis, and were within: one of them going
    straight for so far, its path backwards meets the circle."""
    if math.isinf(radius) or hysteresis == 0.0 or travelled == 0.0:
        return 0.0
    edges = radius * (1.0 + hysteresis * np.linspace(0.0, 1.0, 17))
    total = 0.0
    for low, high in itertools.pairwise(edges.tolist()):
        rho = 0.5 * (low + high)
        widest = math.asin(radius / rho)
        angle = _middles(64) * widest
        path = rho * np.cos(angle) - np.sqrt(np.maximum(radius**2 - (rho * np.sin(angle)) ** 2, 0.0))
        met = float(np.mean(path <= travelled)) * widest / math.pi
        total += met * (share_within(high, side, height) - share_within(low, side, height))
    return total


def mean_relative_speed(one: float, other: float) -> float:
    """Of two that go in any direction each."""
    angle = _middles(256) * math.pi
    return float(np.mean(np.sqrt(one**2 + other**2 - 2.0 * one * other * np.cos(angle))))


def reach_of(speed: float, turns_per_s: float, elapsed_s: float) -> float:
    """How far one gets: straight on at first, and like any random walk after many turns."""
    if speed == 0.0 or math.isinf(elapsed_s):
        return 0.0 if speed == 0.0 else math.inf
    path = speed * elapsed_s
    return min(path, math.sqrt(path * speed / turns_per_s)) if turns_per_s else path


def arrivals_per_s(radius: float, hysteresis: float, speed: float, turns_per_s: float, reach: float, side: float,
                   height: float) -> float:  # fmt: skip
    """How often a second one of two points comes to within the radius without having been there since it was last
    beyond the ring of hysteresis; `reach` is how far it has come so far."""
    if math.isinf(radius) or speed == 0.0 or share_within(radius, side, height) >= 1.0 - 1e-9:
        return 0.0
    hair = radius * 1e-3
    slope = (share_within(radius + hair, side, height) - share_within(radius - hair, side, height)) / (2.0 * hair)
    free_path = speed / turns_per_s if turns_per_s else math.inf
    # Who turns within the ring may come back without having left: as of a layer of scatterers in the plane.
    passed = 1.0 / (1.0 + min(2.0 * radius * hysteresis, reach) / (math.pi * free_path))
    return slope * speed / math.pi * passed


# -- codes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """What records of one group on one channel look like, as means over walkers.

    Attributes
    ----------
    moved : float
        Share whose value changes from one due tick to the next.
    missed : float
        Share whose prediction misses, so that there is something to say.
    missed_bits, other_bits : float
        Length of a record that missed, and of one that didn't.
    absolute_bits : float
    """

    moved: float
    missed: float
    missed_bits: float
    other_bits: float
    absolute_bits: float

    def bits_among(self, n: float) -> float:
        """Expected bits of a block of `n` entries, by the cheapest of the ways to say who has a record."""
        if n <= 0.0:
            return 0.0
        width = math.ceil(math.log2(n)) if n > 1 else 0
        m = n * self.missed
        dense = m * self.missed_bits + (n - m) * self.other_bits
        bitmap = n + m * self.missed_bits
        listed = m * (self.missed_bits + width) + 2.0 * math.log2(m + 1.0) + 1.0
        return min(n, 1.0) * 2.0 + min(dense, bitmap, listed)


def fold(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Zigzag of int32 differences."""
    v = values.astype(np.int32).astype(np.int64)
    return ((v << 1) ^ (v >> 31)) & 0xFFFFFFFF


def _bit_length(values: NDArray[np.int64]) -> Floats:
    return np.ceil(np.log2(values.astype(np.float64) + 1.0))


def _rice_length(z: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Lengths of Rice codes (docs/wire.md): a quotient too large for one step goes on in coarser ones, and then raw."""
    step = MAX_ONES + 1
    rest, coarser = z - (step << k), k + COARSER
    far = np.where(rest >> coarser < step, step + (rest >> coarser) + 1 + coarser, 2 * step + 32)
    return np.where(z >> k < step, (z >> k) + 1 + k, far)


def _rice_lengths(z: NDArray[np.int64]) -> Floats:
    """Lengths with the parameter that suits best."""
    each = [_rice_length(z, k) for k in range(32)]
    return min(each, key=lambda lengths: float(lengths.sum())).astype(np.float64)


def code_of(q: list[NDArray[np.int64]], orders: list[int]) -> Code:
    """The code of a group's fields.

    Parameters
    ----------
    q : list of int64[3, n]
        By field, quantised values of n walkers at three due ticks.
    orders : list of int
        Predictors.
    """
    residuals = []
    for (earlier, before, now), order in zip(q, orders, strict=True):
        ahead = {0: now, 1: now - before, 2: now - 2 * before + earlier, 3: now ^ before}[order]
        residuals.append(ahead & 0xFFFFFFFF if order == 3 else fold(ahead))
    missed = np.any([z != 0 for z in residuals], axis=0) | (0 in orders)
    lengths = np.sum([_rice_lengths(z) for z in residuals], axis=0)
    moved = np.any([now != before for _, before, now in q], axis=0)
    absolute = [6.0 + np.maximum(_bit_length(fold(now)) - 1.0, 0.0) for _, _, now in q]
    absolute += [
        6.0 + np.maximum(_bit_length(fold(now - before)) - 1.0, 0.0)
        for (_, before, now), order in zip(q, orders, strict=True)
        if order == 2
    ]
    return Code(
        moved=float(moved.mean()), missed=float(missed.mean()),
        missed_bits=float(lengths[missed].mean()) if missed.any() else 0.0,
        other_bits=float(lengths[~missed].mean()) if not missed.all() else 0.0,
        absolute_bits=float(np.sum(absolute, axis=0).mean()),
    )  # fmt: skip


def quantise(field: Mapping[str, Any], channel: int, values: Mapping[str, Floats]) -> NDArray[np.int64]:
    """As the schema says a field is coded; `values` by column, those of rotations near the identity."""
    codec, scale, name = field["codec"], float(field["params"][channel][1]), str(field["name"])
    if codec == "packed":
        word: NDArray[np.int64] = np.zeros((3, N_SAMPLED), np.int64)
        for part in field["parts"]:
            inside: NDArray[np.int64] = wrapped(values[part["name"]], part).astype(np.int64) - int(part["low"])
            word |= inside << int(part["offset"])
        return word
    if codec == "rotation" and name.endswith(".w"):
        return np.zeros((3, N_SAMPLED), np.int64)
    if codec == "rotation":
        length: Floats = np.linalg.norm([values[name[:-1] + letter] for letter in "xyzw"], axis=0)
        return np.rint(values[name] / length / scale).astype(np.int64)
    if codec == "bits" and field["type"] == "f2":
        return values[name].astype(np.float16).view(np.uint16).astype(np.int64)
    if codec == "bits":
        return values[name].astype(np.float32).view(np.int32).astype(np.int64)
    return np.rint(values[name] / (scale * math.tau if codec == "angle" else scale)).astype(np.int64)


def wrapped(values: Any, part: Mapping[str, Any]) -> Any:
    """Values of a part of a packed field, from its highest on to its lowest again."""
    return part["low"] + (values - part["low"]) % (part["high"] - part["low"] + 1)


def walk(rng: np.random.Generator, step_s: float, speed: float, turns_per_s: float, moving: float, side: float
         ) -> list[Floats]:  # fmt: skip
    """x and y, float64[3, n] each, of walkers at three times, of whom some stand still and some turn on the way."""
    n = N_SAMPLED
    goes = rng.random(n) < moving
    heading = rng.random((3, n)) * 2.0 * math.pi
    place = rng.random((2, n)) * side
    path = [place]
    now = heading[0]
    for i in (1, 2):
        turns, when = rng.random(n) < -math.expm1(-turns_per_s * step_s), rng.random(n)
        part = np.where(turns, when, 1.0)
        step = [part * f(now) + (1.0 - part) * f(heading[i]) for f in (np.cos, np.sin)]
        place = place + np.array(step) * speed * step_s * goes
        now = np.where(turns, heading[i], now)
        path.append(place)
    return list(np.array(path).swapaxes(0, 1))


def change(rng: np.random.Generator, step_s: float, changes_per_s: float, quantum: float, start: float) -> Floats:
    """float64[3, n]: a field at three times, which now and then changes by up to `MAX_STEP` quanta."""
    values = [np.full(N_SAMPLED, start)]
    for _ in range(2):
        n_changes = rng.poisson(changes_per_s * step_s, N_SAMPLED)
        steps = np.zeros(N_SAMPLED)
        for k in range(int(n_changes.max(initial=0))):
            steps += np.where(n_changes > k, draw_steps(rng, N_SAMPLED), 0)
        values.append(values[-1] + steps * quantum)
    return np.array(values)


def draw_steps(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """Changes in quanta, none of them 0."""
    signs: NDArray[np.int64] = 2 * rng.integers(0, 2, n) - 1
    return rng.integers(1, MAX_STEP + 1, n) * signs


def quantum_of(field: Mapping[str, Any]) -> float:
    """The finest step of a field on any channel."""
    scales = [params[1] for params in field["params"] if params]
    unit = math.tau if field["codec"] == "angle" else 1.0
    return BITS_QUANTUM if field["codec"] == "bits" else float(min(scales)) * unit
