"""Plain, slow twins of quantising, the grid and what is near."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.naive_wire import wrap


def quantise_float(value: float, precision: float, previous: int) -> int:
    """Twin of `quantise.quantise_float`, one value: ties to even, saturated; what is not finite keeps what it was."""
    with np.errstate(all="ignore"):
        scaled = float(np.float64(value) * (1.0 / np.float64(precision)))
    if not math.isfinite(scaled):
        return previous
    return min(max(round(scaled), -(2**31)), 2**31 - 1)


def quantise_integer(value: int) -> int:
    """Twin of `quantise.quantise_integer`: the same 32 bits, read as signed."""
    return wrap(int(value))


def quantise_angle(value: float, bits: int, previous: int) -> int:
    """Twin of `quantise.quantise_angle`, one value: of the integers that stand for its direction the one nearest to the
    previous, or of two the lower; what is not finite keeps what it was."""
    with np.errstate(all="ignore"):
        scaled = float(np.float64(value) * (2.0**bits / math.tau))
    if not math.isfinite(scaled):
        return previous
    on = (round(scaled) - previous) % 2**bits
    return wrap(previous + (on - 2**bits if on >= 2 ** (bits - 1) else on))


def quantise_rotation(values: Sequence[float], precision: float, previous: Sequence[int]) -> list[int]:
    """Twin of `quantise.quantise_rotation`, one quaternion x, y, z, w."""
    x, y, z, w = (float(v) for v in values)
    square = x * x + y * y + z * z + w * w
    if not math.isfinite(square):
        return list(previous)
    left_out = max(range(4), key=lambda i: abs((w, x, y, z)[i]))
    steps = math.copysign(1.0 / precision / (math.sqrt(square) or 1.0), (w, x, y, z)[left_out])
    places = [w if left_out == i + 1 else component for i, component in enumerate((x, y, z))]
    return [round(c * steps) for c in places] + [left_out]


def rotation_of(q: Sequence[int], precision: float) -> list[float]:
    """The quaternion x, y, z, w that four integers stand for."""
    a, b, c = (v * precision for v in q[:3])
    rest = math.sqrt(max(0.0, 1.0 - (a * a + b * b + c * c)))
    return [[a, b, c, rest], [rest, b, c, a], [a, rest, c, b], [a, b, rest, c]][q[3] & 3]


def pack(values: Sequence[int], parts: Sequence[tuple[int, int, int]]) -> int:
    """Twin of `quantise.pack_part`, a whole word: each value clamped to (lowest, highest), at its offset."""
    inside = [min(max(int(v), low), high) - low for v, (low, high, _) in zip(values, parts, strict=True)]
    return wrap(sum(bits << offset for bits, (_, _, offset) in zip(inside, parts, strict=True)))


def stamp_changes(born: int, tick: int, previous: int, now: int, changed: int) -> int:
    """Twin of `quantise.stamp_changes`, one value: the last tick of any change after birth, 0 before the first."""
    if born >= tick:
        return 0
    return changed if now == previous else tick


def stands_somewhere(position: Sequence[np.float32]) -> bool:
    """Whether a position is one: a sum of its coordinates that leaves float32 makes it none."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.float32(position[0]) + np.float32(position[1]) + np.float32(position[2])))


def cell_coordinate(value: float, inverse_size: float) -> int:
    return math.floor(min(max(float(value) * inverse_size, -1e15), 1e15))


@dataclass
class Grid:
    """Levels by number: kind, largest scale, 1 / edge, shape; depths by cell, empty where none is split."""

    kind: list[int]
    scale: list[float]
    inverse_size: list[float]
    shape: list[list[int]]
    depth: list[int]
    level_of: dict[tuple[int, int], int] = field(default_factory=dict)

    def depth_of(self, cell: int) -> int:
        return self.depth[cell] if self.depth else 0


def scale_class(scale: float) -> int:
    """0 for exactly 1; else by the power of two that isn't below it."""
    return 0 if scale == 1.0 else 9 + math.ceil(math.log2(scale))


def part_coordinate(value: float, inverse_size: float, depth: int) -> int:
    return math.floor(min(max(float(value) * inverse_size, -1e15), 1e15) * 2**depth)


def cell_of(position: Sequence[float], inverse_size: float, shape: Sequence[int]) -> int:
    """The cell on the torus of one level; `shape` is its first cell and the logarithms of its width, height and depth."""
    base, *logs = shape
    x, y, z = (cell_coordinate(p, inverse_size) % 2**log for p, log in zip(position, logs, strict=True))
    return base + (z * 2 ** logs[1] + y) * 2 ** logs[0] + x


def part_of(position: Sequence[float], inverse_size: float, shape: Sequence[int], depth: int) -> tuple[int, int, int]:
    """The part of a split cell, by layer, row and column."""
    x, y, z = (part_coordinate(p, inverse_size, depth) - cell_coordinate(p, inverse_size) * 2**depth for p in position)
    return (z if shape[3] else 0), y, x


def build_grid(slots: Iterable[int], level_of: Any, position_of: Any, grid: Grid) -> dict[Any, list[int]]:
    """Twin of `grid.build_grid`: from cell and part to the slots in it, ascending."""
    cells: dict[Any, list[int]] = {}
    for slot in sorted(slots):
        where, level = position_of(slot), level_of(slot)
        if stands_somewhere(where):
            cell = cell_of(where, grid.inverse_size[level], grid.shape[level])
            part = part_of(where, grid.inverse_size[level], grid.shape[level], grid.depth_of(cell))
            cells.setdefault((cell, part), []).append(slot)
    return cells


def adjusted_depth(
    depth: int, axes: int, parts: Mapping[tuple[int, ...], int], most: int, split: int, merge: int
) -> int:
    """Twin of `grid.adjust_depths`, of one cell; `parts` has how many lie in each, by its coordinates."""
    total, n_parts = sum(parts.values()), 2 ** (axes * depth)
    if max(parts.values(), default=0) > split and depth < most and n_parts * 2**axes <= 2 * total:
        return depth + 1
    blocks: dict[tuple[int, ...], int] = {}
    for where, n in parts.items():
        block = tuple(c // 2 for c in where)
        blocks[block] = blocks.get(block, 0) + n
    return depth - 1 if depth and (n_parts > 2 * total or max(blocks.values(), default=0) < merge) else depth


def near(points: Sequence[Sequence[float]], items: Sequence[Sequence[float]], radius: float, own: Sequence[int]
         ) -> list[tuple[int, int]]:  # fmt: skip
    """Twin of `neighbours.find`: (point, item) of all that are no further apart than the radius, in order."""

    def is_near(a: Sequence[float], b: Sequence[float]) -> bool:
        dx, dy, dz = (float(q) - float(p) for p, q in zip(a, b, strict=True))
        return math.isfinite(sum(map(abs, [*a, *b]))) and (dx * dx + dy * dy) + dz * dz <= radius * radius

    return [(p, i) for p, a in enumerate(points) for i, b in enumerate(items) if i != own[p] and is_near(a, b)]


def sort_by_key(key: Sequence[int], value: Sequence[int]) -> list[int]:
    """Twin of `neighbours.sort_by_key`."""
    return [v for _, v in sorted(zip(key, value, strict=True), key=lambda pair: pair[0])]
