"""Plain, slow twins of kernels: what they do, said in a few lines of Python each. Tests hold the kernels to them."""

from __future__ import annotations

import cmath
import functools
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.naive_wire import Client, Entry, Malformed, Reader, Writer, apply_frame, unzz, values, wrap, zz

__all__ = ["Client", "Entry", "Malformed", "Reader", "Writer", "apply_frame", "unzz", "values", "wrap", "zz"]

PAGE = 1024


@dataclass
class Row:
    """One living entity."""

    kind: str
    generation: int
    values: dict[str, Any] = field(default_factory=dict)


class World:
    """Twin of `systems/storage.py`: entities as objects in a dict from slot to row."""

    def __init__(self, n_slots: int) -> None:
        self.n_pages = n_slots // PAGE
        self.rows: dict[int, Row] = {}
        self.generation: dict[int, int] = {}
        self.page_kind: dict[int, str] = {}

    def spawn(self, kind: str, values: list[dict[str, Any]]) -> list[int]:
        """Lowest free slots of the kind's pages, then of the lowest free pages; returns handles."""
        handles = []
        for row in values:
            slot = self._lowest(kind)
            self.page_kind[slot // PAGE] = kind
            generation = self.generation.setdefault(slot, 1)
            self.rows[slot] = Row(kind, generation, dict(row))
            handles.append(generation << 32 | slot)
        return handles

    def _lowest(self, kind: str) -> int:
        own = sorted(page for page, owner in self.page_kind.items() if owner == kind)
        free = [page for page in range(self.n_pages) if page not in self.page_kind]
        for page in own + free:
            for slot in range(page * PAGE, page * PAGE + PAGE):
                if slot not in self.rows:
                    return slot
        raise MemoryError("no slot is free")

    def alive(self, handle: int) -> bool:
        row = self.rows.get(handle & 0xFFFFFFFF)
        return row is not None and row.generation == handle >> 32

    def despawn(self, handles: list[int]) -> int:
        """How many ended; what doesn't live is passed over."""
        ended = 0
        for handle in handles:
            if self.alive(handle):
                slot = handle & 0xFFFFFFFF
                del self.rows[slot]
                self.generation[slot] += 1
                ended += 1
                if not any(s // PAGE == slot // PAGE for s in self.rows):
                    del self.page_kind[slot // PAGE]
        return ended

    def get(self, handle: int) -> dict[str, Any]:
        return self.rows[handle & 0xFFFFFFFF].values

    def query(self, need: set[str], lack: set[str], either: set[str] | None = None) -> list[int]:
        """Slots of rows that have all of `need`, none of `lack`, and one of `either` if there are any."""
        rows = sorted(s for s, row in self.rows.items() if need <= row.values.keys() and not lack & row.values.keys())
        return [s for s in rows if not either or either & self.rows[s].values.keys()]


def clear_stale(column: Sequence[int], generation: Sequence[int], signature: Sequence[int]) -> list[int]:
    """Twin of `storage.clear_stale`: the column afterwards."""
    lives = {(g << 32) | slot for slot, (g, bits) in enumerate(zip(generation, signature, strict=True)) if bits}
    return [handle if handle in lives else 0 for handle in column]


def plan_moves(pages: Sequence[int], living: set[int]) -> list[tuple[int, int]]:
    """Twin of `storage.plan_moves`: pairs of rows, from and to."""
    rows = [page * PAGE + i for page in pages for i in range(PAGE)]
    n = sum(row in living for row in rows)
    free = [row for row in rows[:n] if row not in living]
    outside = [row for row in rows[n:] if row in living]
    return list(zip(reversed(outside), free, strict=True))


def scatter(column: Sequence[Any], slots: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """Twin of `storage.scatter`: the column afterwards."""
    out = list(column)
    for i, slot in enumerate(slots):
        out[slot] = values[i] if len(values) > 1 else values[0]
    return out


def rounds(commands: list[tuple[int, int]]) -> list[list[int]]:
    """Twin of `carry_out.rounds`: every entity's first commands, then its second ones; grouped by their site."""
    seen: dict[int, int] = {}
    groups: dict[tuple[int, int], list[int]] = {}
    for i, (handle, site) in enumerate(commands):
        nth = seen[handle] = seen.get(handle, -1) + 1
        groups.setdefault((nth, site), []).append(i)
    return [groups[key] for key in sorted(groups)]


# -- hierarchies -------------------------------------------------------------------------------------------------


def on_cycle(targets: Mapping[int, int]) -> set[int]:
    """Who comes back to itself by following targets; what `hierarchy.find_cycle` finds one of."""
    found = set()
    for start in targets:
        here = targets.get(start)
        for _ in targets:
            if here is None or here == start:
                break
            here = targets.get(here)
        if here == start:
            found.add(start)
    return found


def sources_of(targets: Mapping[int, int]) -> dict[int, list[int]]:
    """Twin of `hierarchy.index_sources`: the sources of every target, ascending."""
    out: dict[int, list[int]] = {}
    for source in sorted(targets):
        out.setdefault(targets[source], []).append(source)
    return out


def descendants(targets: Mapping[int, int], of: Iterable[int]) -> set[int]:
    """Twin of `hierarchy.close_over`: these, their sources, and theirs."""
    found, sources = set(of), sources_of(targets)
    waiting = list(found)
    while waiting:
        for source in sources.get(waiting.pop(), []):
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def depth_order(targets: Mapping[int, int], members: Iterable[int]) -> list[list[int]]:
    """Twin of `hierarchy.order_by_depth`, as levels; members have the relation or are targets."""
    levels, sources = [], sources_of(targets)
    level = sorted({*members, *targets.values()} - set(targets))
    while level:
        levels.append(level)
        level = [source for target in level for source in sources.get(target, [])]
    return levels


def subtree_total(targets: Mapping[int, int], values: Mapping[int, float], of: int) -> float:
    """Twin of `hierarchy.sum_upwards`, one entry."""
    return values.get(of, 0.0) + sum(subtree_total(targets, values, s) for s in sources_of(targets).get(of, []))


def _rotate(q: Sequence[float], v: Sequence[float]) -> list[float]:
    """A vector turned by a unit quaternion, by its matrix."""
    x, y, z, w = q
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return [sum(a * b for a, b in zip(row, v, strict=True)) for row in rows]


def world_transform(local: Mapping[int, Sequence[float]], targets: Mapping[int, int], of: int) -> list[float]:
    """Twin of `hierarchy.compose`: x, y, z, quaternion, scale; a parent without a transform is none."""
    own = list(local[of])
    if targets.get(of) not in local:
        return own
    up = world_transform(local, targets, targets[of])
    (*a, aw), (*b, bw) = up[3:7], own[3:7]
    moved = _rotate(up[3:7], own[:3])
    vector = [aw * b[i] + bw * a[i] + a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]
    scalar = aw * bw - sum(p * q for p, q in zip(a, b, strict=True))
    return [*(up[i] + up[7] * moved[i] for i in range(3)), *vector, scalar, up[7] * own[7]]


def world_transform_2d(local: Mapping[int, Sequence[float]], targets: Mapping[int, int], of: int) -> list[float]:
    """Twin of `hierarchy.compose_2d`: x, y, angle, scale."""
    x, y, angle, scale = local[of]
    if targets.get(of) not in local:
        return [x, y, angle, scale]
    up = world_transform_2d(local, targets, targets[of])
    moved = complex(up[0], up[1]) + up[3] * complex(x, y) * cmath.rect(1.0, up[2])
    return [moved.real, moved.imag, up[2] + angle, up[3] * scale]


def looked_up(rows: dict[int, tuple[int, int, float]], handle: int, bit: int, default: float) -> float:
    """Twin of `storage.slot_with` and `storage.pick`: rows by slot as (generation, component bits, value)."""
    generation, bits, value = rows.get(handle % 2**32, (-1, 0, default))
    return value if generation == handle >> 32 and bits & bit else default


# -- random ------------------------------------------------------------------------------------------------------


def philox(counter: Sequence[int], key: Sequence[int]) -> list[int]:
    """Twin of `systems.random.philox`: Philox4x32-10 as the paper's section 3.3 writes it, in Python's whole numbers."""
    left, right, keys = [counter[0], counter[2]], [counter[1], counter[3]], list(key)
    for _ in range(10):
        high_0, low_0 = divmod(left[0] * 0xD2511F53, 2**32)
        high_1, low_1 = divmod(left[1] * 0xCD9E8D57, 2**32)
        left, right = [high_1 ^ right[0] ^ keys[0], high_0 ^ right[1] ^ keys[1]], [low_1, low_0]
        keys = [(keys[0] + 0x9E3779B9) % 2**32, (keys[1] + 0xBB67AE85) % 2**32]
    return [left[0], right[0], left[1], right[1]]


def draw_bits(key: int, tick: int, handle: int, draw: int) -> tuple[int, int]:
    """Two numbers of 64 bits for one draw."""
    a, b, c, d = philox((draw, tick, handle % 2**32, handle >> 32), (key % 2**32, key >> 32))
    return a << 32 | b, c << 32 | d


def uniform(bits: tuple[int, int], low: float, high: float) -> float:
    """Twin of `systems.random.uniform`."""
    return low + (high - low) * ((bits[0] >> 11) / 2**53)


def normal(bits: tuple[int, int]) -> float:
    """Twin of `systems.random.normal`: Box and Muller, "A note on the generation of random normal deviates", 1958."""
    u, v = ((bits[0] >> 11) + 1) / 2**53, (bits[1] >> 11) / 2**53
    return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)


def integers(bits: tuple[int, int], low: int, high: int) -> int:
    """Twin of `systems.random.integers`."""
    return low + (bits[0] * max(0, high - low) >> 64)


# -- quantise and grid -------------------------------------------------------------------------------------------


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


# -- neighbours ---------------------------------------------------------------------------------------------------


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


# -- interest ----------------------------------------------------------------------------------------------------


def distance_sq(a: Sequence[np.float32], b: Sequence[np.float32]) -> np.float32:
    """Squared, in float32 and in this order, as the kernels have it."""
    with np.errstate(all="ignore"):
        dx, dy, dz = (np.float32(p) - np.float32(q) for p, q in zip(a, b, strict=True))
        return np.float32(np.float32(dx * dx + dy * dy) + dz * dz)


def place_in_scan(position: Sequence[float], centre: Sequence[float], grid: Grid, level: int) -> Any:
    """Twin of `scan` in its order: a key by which those stand in order whom a scan around a point comes upon.

    Cells are looked through by layer, row and column, from half a ring below the point's; then by part.
    """
    inverse, shape = grid.inverse_size[level], grid.shape[level]
    cell = cell_of(position, inverse, shape)
    ring = [
        (cell_coordinate(p, inverse) - cell_coordinate(c, inverse) + 2**log // 2) % 2**log
        for p, c, log in zip(position, centre, shape[1:], strict=True)
    ]
    return ring[::-1], part_of(position, inverse, shape, grid.depth_of(cell))


def next_reach(scale: float, n: int, most: int, crowded: bool) -> np.float32:
    """Twin of `crowd.next_reach`."""
    wanted = math.sqrt(most / max(n, 1))
    if crowded or n > most:
        return np.float32(max(1 / 64, float(scale) * max(0.5, min(0.95, wanted))))
    grows = scale < 1 and n < 0.8 * most
    return np.float32(min(1.0, float(scale) * min(1.5, wanted)) if grows else scale)


def fitting_reach(finds: Sequence[tuple[np.float32, np.float32]], scale: float, most: int) -> np.float32:
    """Twin of `crowd.fitting_reach`: by every step there is; finds as (squared distance, squared radius)."""
    steps = [np.float32(max(1 / 64, float(scale) * 2.0 ** (-j / 16))) for j in range(1, 97)]
    count = [sum(d <= r * (s * s) for d, r in finds) for s in steps]
    j = next((j for j, n in enumerate(count) if n <= most), len(steps) - 1)
    larger = [np.float32(max(1 / 64, float(scale))), *steps][j]
    return larger if 2 * count[j] < most else steps[j]


def settle(first_kind: int, profile: int, scale: float, mine: bool) -> tuple[int, int, np.float32]:
    """Twin of `extents.settle`, of one entity: kind, scale class, squared inverse scale."""
    if not mine:
        return first_kind, 0, np.float32(1)
    inverse = np.float32(1) / np.float32(scale)
    return first_kind + profile, scale_class(scale), inverse * inverse


def find_switched(
    status: int, wants_reset: int, slots: Iterable[int], switched: Sequence[int], any_switched: bool
) -> bool:
    """Twin of `extents.find_switched`, of one observer; live status is 1."""
    return status == 1 and (wants_reset != 0 or (any_switched and any(switched[s] for s in slots)))


@dataclass
class Living:
    """What an observer could see of one entity at one tick; position as float32[3], what its radii are multiplied by."""

    handle: int
    kind: int
    born: int
    position: Any
    visible_to: int = 2**64 - 1
    room: int = 0
    owner: int | None = None
    scale: float = 1.0

    def distance_sq(self, position: Any) -> np.float32:
        """From a point, as its radii have it."""
        inverse = np.float32(1) / np.float32(self.scale)
        return distance_sq(self.position, position) * (inverse * inverse)


EVERYWHERE = 2**32 - 1


@dataclass
class Lens:
    """What an observer looks through: masks and rooms, what it follows and owns, a focus and a cone.

    `subscribed` lists [handle, mask]; `groups` lists [members, mask], members being a list of handles or a function that
    returns one; `owned` lists handles. `focus` is (point, scale), `cone` (direction, half angle, inside, outside).
    """

    number: int = 0
    entity: int = 0
    sees: int = 2**64 - 1
    room: int = 0
    subscribed: list[list[Any]] = field(default_factory=list)
    groups: list[list[Any]] = field(default_factory=list)
    owned: list[int] = field(default_factory=list)
    focus: Any = None
    cone: Any = None

    def hides(self, one: Living) -> bool:
        return not one.visible_to & self.sees or one.room not in (self.room, EVERYWHERE)

    def owns(self, one: Living) -> bool:
        return one.owner == self.number if one.owner is not None else one.handle == self.entity

    def listed(self) -> list[tuple[int, int | None]]:
        """Handles with the channels on which they are followed, None for an owner's, as they are looked at."""
        own: list[tuple[int, int | None]] = [(handle, None) for handle in [self.entity, *self.owned]]
        groups = [(members() if callable(members) else members, mask) for members, mask in self.groups]
        named = [(handle, mask) for handle, mask in self.subscribed]
        return own + named + [(handle, mask) for members, mask in groups for handle in members]

    def stretched(self, one: Living, position: Any) -> np.float32:
        """The effective squared distance, in float32 and in this order, as the kernels have it."""
        own = np.float32(1) / np.float32(one.scale)
        nearest = true = distance_sq(one.position, position)
        with np.errstate(all="ignore"):
            nearest = nearest * (own * own)
            if self.cone is not None:
                toward, half, inside, outside = self.cone
                toward = np.asarray(toward, np.float64) / np.sqrt((np.asarray(toward, np.float64) ** 2).sum())
                a = [np.float32(t) * (np.float32(p) - np.float32(q)) for t, p, q in
                     zip(toward, one.position, position, strict=True)]  # fmt: skip
                ahead = np.float32(a[0] + a[1]) + a[2] >= np.float32(math.cos(half)) * np.sqrt(true)
                nearest = nearest * np.float32(np.float64(1.0) / np.float64(inside if ahead else outside) ** 2)
            if self.focus is not None:
                point, scale = self.focus
                second = distance_sq(one.position, point) * (own * own)
                second *= np.float32(1.0 / np.float64(np.float32(scale)) ** 2)
                nearest = min(nearest, second)
        return np.float32(nearest)

    def scans(self, position: Any) -> list[tuple[int, Any, float, np.float32]]:
        """What is looked through, in order: room, centre, how much further than radii reach, and than their squares."""
        far = float(np.float32(max(self.cone[2:]))) if self.cone is not None else 1.0
        margin = 1.0 + 1e-5
        centres = [(position, far, np.float32(far * far * margin) if self.cone is not None else np.float32(1))]
        if self.focus is not None:
            scale = float(np.float32(self.focus[1]))
            centres.append((self.focus[0], scale, np.float32(scale * scale * margin)))
        return [(room, *centre) for centre in centres for room in (self.room, EVERYWHERE)]


@dataclass
class Followed:
    """One entry of an observer's list; `q` and `d` by group: what the observer has."""

    living: Living
    mask: int
    stale: int = 0xFF
    q: dict[int, list[int]] = field(default_factory=dict)
    d: dict[int, list[int]] = field(default_factory=dict)


class Observer:
    """Twin of `interest` and `replicate`: an observer's list, and what its client must have after each tick.

    `value(handle, kind, channel, group, tick)` gives the quantised fields of a group as of a tick; `grid()` is the grid as it
    is now, which only the order of those who enter depends on. What the observer's radii are multiplied by, `reach`, comes
    with each step.
    """

    def __init__(self, schema: Any, phase: int, hysteresis: float, grid: Any, value: Any) -> None:
        self.schema, self.phase, self.hysteresis, self.grid, self.value = schema, phase, hysteresis, grid, value
        self.list: list[Followed] = []
        self.evaluated = 0
        self.sent = 0
        self.updates = self.refused = self.enters = self.leaves = 0
        self.lens = Lens()
        self.reach = np.float32(1)
        self.rate = self.told_rate = 0

    def period(self, kind: int, c: int) -> int:
        """A channel's period at the observer's rate."""
        layer = self.schema["kinds"][kind]["channels"][c]
        return int(layer["period"] << min(self.rate, layer.get("slowest", 0)))

    def due(self, kind: int, tick: int, reset: bool) -> list[int]:
        """The due channels of a kind, ascending."""
        channels = enumerate(self.schema["kinds"][kind]["channels"])
        return [c for c, layer in channels if layer and (reset or (tick + self.phase) % self.period(kind, c) == 0)]

    def within(self, kind: int, distance: np.float32, channels: list[int], stretch: float) -> int:
        """Bit mask of those channels whose radius, stretched, covers the squared distance."""
        mask = 0
        for c in channels:
            radius = np.float32(self.schema["kinds"][kind]["channels"][c]["radius"] * stretch)
            mask |= int(distance <= radius * radius * (self.reach * self.reach)) << c
        return mask

    def public(self, kind: int, channels: list[int]) -> list[int]:
        """Those of some channels that aren't for owners only."""
        return [c for c in channels if not self.schema["kinds"][kind]["channels"][c].get("owner_only")]

    def near(self, one: Living, position: Any, channels: list[int], stretch: float) -> int:
        """Which channels' radii, stretched, cover its effective distance."""
        there = stands_somewhere(one.position)
        return self.within(one.kind, self.lens.stretched(one, position), channels, stretch) if there else 0

    def wants(self, one: Living, position: Any, due: list[int], stretch: float) -> int:
        """The due channels on which it is to be followed, by whatever there is, with radii stretched."""
        if self.lens.hides(one):
            return 0
        public = self.public(one.kind, due)
        own = [c for c in due if c not in public and self.lens.owns(one)]
        named = [mask for handle, mask in self.lens.listed() if handle == one.handle and mask is not None]
        every = sum(1 << c for c in public)
        return self.near(one, position, public + own, stretch) | every & functools.reduce(operator.or_, named, 0)

    def carrier(self, kind: int, j: int, mask: int) -> int | None:
        both = mask & self.schema["kinds"][kind]["groups"][j]["channels"]
        return (both & -both).bit_length() - 1 if both else None

    def step(self, tick: int, reset: bool, position: Any, scene: dict[int, Living], reach: float = 1.0) -> bool:
        """One tick in which it is served; whether a frame must be sent. `scene` has every replicated entity by handle."""
        self.reach = np.float32(reach)
        changed = self._leave_and_move(tick, reset, position, scene)
        changed |= self._enter(tick, reset, position, scene)
        if self.rate != self.told_rate:
            self.told_rate, changed = self.rate, True
            for followed in self.list:
                followed.stale = 0xFF
        self.evaluated = tick
        self.updates = 0
        said = [self._update(f, tick, reset) for f in self.list]
        return reset or changed or any(said)

    def looks(self, scene: dict[int, Living]) -> bool:
        """Whether somebody of its list has another profile now: then it is served whatever is due."""
        now = [(scene.get(f.living.handle), f.living) for f in self.list]
        return any(one is not None and one.born <= self.evaluated and one.kind != old.kind for one, old in now)

    def _leave_and_move(self, tick: int, reset: bool, position: Any, scene: dict[int, Living]) -> bool:
        kept, changed = [], False
        for followed in self.list:
            kind, before = followed.living.kind, followed.mask
            now = scene.get(followed.living.handle)
            due = self.due(kind, tick, reset)
            if now is None or now.born > self.evaluated or self.lens.hides(now):
                continue
            followed.living = now
            switched = now.kind != kind
            if switched:
                kind, followed.stale = now.kind, 0xFF
                channels = [c for c, layer in enumerate(self.schema["kinds"][kind]["channels"]) if layer]
                held = before & self.wants(now, position, channels, 1.0 + self.hysteresis)
                followed.mask = self.wants(now, position, channels, 1.0) | held
            elif due:
                inside = self.wants(now, position, due, 1.0)
                held = before & self.wants(now, position, due, 1.0 + self.hysteresis)
                followed.mask = before & ~sum(1 << c for c in due) | inside | held
            if followed.mask:
                kept.append(followed)
            if followed.mask != before or switched:
                changed = True
                for j in range(len(self.schema["kinds"][kind]["groups"])):
                    if self.carrier(kind, j, before) != self.carrier(kind, j, followed.mask):
                        followed.stale |= 1 << j
        self.leaves = len(self.list) - len(kept)
        changed |= self.leaves > 0
        self.list = kept
        return changed

    def _enter(self, tick: int, reset: bool, position: Any, scene: dict[int, Living]) -> bool:
        known = {f.living.handle for f in self.list}
        found = []
        for one in scene.values():
            due = self.due(one.kind, tick, reset)
            mask = 0 if one.handle in known or not due else self.wants(one, position, due, 1.0)
            if mask:
                # Who is found by space comes first, by kind; then who is only listed, in the list's order.
                place = self._place(one, position, due) or (256, self._listing(one, position, due))
                found.append((place, Followed(one, mask)))
        room = self.schema["max_followed"] - len(self.list)
        found.sort(key=lambda pair: pair[0])
        self.list += [followed for _, followed in found[:room]]
        self.refused = max(0, len(found) - room)
        self.enters = len(found) - self.refused
        return self.enters > 0

    def _listing(self, one: Living, position: Any, due: list[int]) -> int:
        """Where among all lists it is first named on a due channel."""
        public = self.public(one.kind, due)
        own = [c for c in due if c not in public and self.lens.owns(one)]
        owned = self.near(one, position, own, 1.0 + self.hysteresis)
        every = sum(1 << c for c in public)
        return next(
            i
            for i, (handle, mask) in enumerate(self.lens.listed())
            if handle == one.handle and (owned if mask is None else mask & every)
        )

    def _place(self, one: Living, position: Any, due: list[int]) -> Any:
        """When the scans come by, None for never: what their limit covers is found, whether it enters or not."""
        public = self.public(one.kind, due)
        if not public or not stands_somewhere(one.position):
            return None
        radius = self.schema["kinds"][one.kind]["channels"][public[-1]]["radius"]
        limit = np.float32(radius * (1.0 + self.hysteresis))
        grid = self.grid()
        level = grid.level_of[one.kind, scale_class(float(one.scale))]
        for turn, (room, centre, _, wide) in enumerate(self.lens.scans(position)):
            with np.errstate(all="ignore"):
                limit_sq = np.float32(limit * limit) * (self.reach * self.reach)
                covered = one.distance_sq(centre) <= np.float32(wide * limit_sq)
            if one.room == room and covered:
                key = place_in_scan([float(p) for p in one.position], [float(p) for p in centre], grid, level)
                return one.kind, turn, level, key, one.handle & 0xFFFFFFFF
        return None

    def _update(self, followed: Followed, tick: int, reset: bool) -> bool:
        """Bring the due groups of one entry up to date; whether that takes any bits."""
        one = followed.living
        said = moved = False
        if reset:
            followed.stale, followed.q, followed.d = 0xFF, {}, {}
        for j, group in enumerate(self.schema["kinds"][one.kind]["groups"]):
            c = self.carrier(one.kind, j, followed.mask)
            if c is None or c not in self.due(one.kind, tick, reset):
                continue
            period = self.period(one.kind, c)
            orders = [f["params"][c][0] for f in group["fields"]]
            absolute = followed.stale >> j & 1
            baseline = max(tick - (tick + self.phase) % period, one.born) if reset and orders[0] else tick
            now = self.value(one.handle, one.kind, c, j, baseline)
            before = (
                self.value(one.handle, one.kind, c, j, max(baseline - period, one.born)) if absolute else followed.q[j]
            )
            d = [wrap(a - b) for a, b in zip(now, before, strict=True)]
            if absolute:
                said = True
            else:
                moved |= now != before
                missed = [residual(o, a, b, e) for o, a, b, e in zip(orders, now, before, followed.d[j], strict=True)]
                said |= any(missed) or 0 in orders
            followed.q[j], followed.d[j] = now, d
            followed.stale &= ~(1 << j)
        self.updates += moved
        return said


def forget_dead(
    generation: Sequence[int], known: Sequence[int], sight: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Twin of `visibility.forget_dead`: the defaults for whoever isn't the one who is known."""
    rows = zip(generation, known, sight, strict=True)
    return [told if now == before else (2**64 - 1, 0) for now, before, told in rows]


def take_masks(pages: Sequence[int], column: Sequence[int], sight: Sequence[int]) -> tuple[list[int], list[int]]:
    """Twin of `visibility.take_masks`: the masks afterwards, and the slots in which they changed."""
    taken = [column[i] if i // PAGE in pages else mask for i, mask in enumerate(sight)]
    return taken, [i for i, (now, before) in enumerate(zip(taken, sight, strict=True)) if now != before]


class Lists:
    """Twin of `systems/lists.py`: from a list's number to its values with their masks, in the order in which they came."""

    def __init__(self) -> None:
        self.lists: dict[int, dict[int, int]] = {}

    def append(self, which: int, value: int, mask: int) -> None:
        known = self.lists.setdefault(which, {})
        known[value] = known.get(value, 0) | mask

    def take_out(self, which: int, value: int, mask: int) -> None:
        known = self.lists.get(which, {})
        if value in known:
            known[value] &= ~mask
            if not known[value]:
                del known[value]

    def drop_dead(self, which: int, living: set[int]) -> None:
        self.lists[which] = {v: mask for v, mask in self.lists.get(which, {}).items() if v in living}


def order_by_tile(positions: list[tuple[float, float]], cell: float) -> list[int]:
    """Twin of `observers.order_by_tile`: by rows of 32 x 32 tiles of 8 cells, over and over; as they came within one."""

    def tile(i: int) -> tuple[int, int]:
        x, y = (math.floor(float(np.float32(p)) * (1 / cell)) // 8 % 32 for p in positions[i])
        return y, x

    return sorted(range(len(positions)), key=tile)


def select_served(
    status: Sequence[int], phase: Sequence[int], rate: Sequence[int], told_rate: Sequence[int], wants_reset: Sequence[int],
    sent: Sequence[int], tick: int, silence: int, periods: Sequence[Sequence[int]], looks: Sequence[int],
) -> list[tuple[int, int, list[int]]]:  # fmt: skip
    """Twin of `observers.select_served`: (observer, whether a reset, mask of due channels by kind); live status is 1."""
    served = []
    for o in range(len(status)):
        due = [
            sum(1 << c for c, p in enumerate(kind) if p and (wants_reset[o] or (tick + phase[o]) % (p << rate[o]) == 0))
            for kind in periods
        ]
        must = wants_reset[o] or looks[o] or rate[o] != told_rate[o] or tick - sent[o] >= silence
        if status[o] == 1 and (any(due) or must):
            served.append((o, wants_reset[o], due))
    return served


class Rows:
    """Twin of `rows.make_room` and `rows.close_ranks`: rows never overlap, and moving one keeps what is in it."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}

    def grow(self, observer: int, n: int) -> list[int]:
        """The row with `n` entries, new ones told by observer and place."""
        row = self.rows.setdefault(observer, [])
        row += [observer << 32 | i for i in range(len(row), n)]
        return row


def oldest_evaluation(status: Sequence[int], n_followed: Sequence[int], evaluated: Sequence[int], tick: int) -> int:
    """Twin of `observers.oldest_evaluation`; live status is 1."""
    return min([tick, *(e for s, n, e in zip(status, n_followed, evaluated, strict=True) if s == 1 and n)])


def mark_gone(born: Sequence[int], oldest: int) -> list[int]:
    """Twin of `observers.mark_gone`: the slots whose bit is set."""
    return [slot for slot, birth in enumerate(born) if birth > oldest]


def follow_entities(entity: Sequence[int], positions: list[Any], where: dict[int, Any]) -> list[Any]:
    """Twin of `observers.follow_entities`; `where` has the position of every living handle."""
    return [
        where[e] if e in where and stands_somewhere(where[e]) else old for e, old in zip(entity, positions, strict=True)
    ]


# -- differences and codes ---------------------------------------------------------------------------------------


def residual(order: int, now: int, before: int, difference: int) -> int:
    """What a predictor missed, given the value before and its last difference."""
    return unzz((now ^ before) & 0xFFFFFFFF) if order == 3 else wrap(now - (0, before, before + difference)[order])


def rice_length(value: int, k: int) -> int:
    """Bits of a Rice code (docs/wire.md); 48 where it is raw, and where it isn't at most 47."""
    writer = Writer()
    writer.rice(value, k)
    return writer.n_bits


def rice_costs(residuals: Iterable[int]) -> list[int]:
    """Twin of `rice.measure_rice`: what each parameter would cost."""
    folded = [zz(r) for r in residuals]
    return [sum(rice_length(z, k) for z in folded) for k in range(32)]


def recount(residuals: Iterable[int], ks: Iterable[int]) -> list[int]:
    """Twin of `recount.recount`: the length of each field's code."""
    return [rice_length(zz(r), k) for r, k in zip(residuals, ks, strict=True)]


def encode_record(
    residuals: Sequence[int], orders: Sequence[int], moved: bool, ks: Sequence[int]
) -> tuple[int, int, bool, bool]:
    """Twin of `delta.encode_records`, one record: code and its length (0 and 63 where it has no room), moved, missed."""
    writer = Writer()
    for r, k in zip(residuals, ks, strict=True):
        writer.rice(zz(r), k)
    long = writer.n_bits > 55 or any(rice_length(zz(r), k) == 48 for r, k in zip(residuals, ks, strict=True))
    absolute = 0 in orders
    code, length = (0, 63) if long else (writer.value, writer.n_bits)
    return code, length, moved or absolute, any(residuals) or absolute


# -- changes -----------------------------------------------------------------------------------------------------


def differing_rows(now: Sequence[tuple[int, int]], before: Sequence[tuple[int, int]]) -> list[int]:
    """Twin of `changes.differing_rows`; a row is its signature and generation."""
    return [i for i, (a, b) in enumerate(zip(now, before, strict=True)) if a != b]


def changed_rows(columns: Sequence[tuple[Sequence[bytes], Sequence[bytes]]], has: Sequence[bool]) -> list[int]:
    """Twin of `changes.compare` and `changes.settle`: rows that have the component and other bytes in any column."""
    return [i for i, it in enumerate(has) if it and any(now[i] != before[i] for now, before in columns)]


def recent(same: Sequence[bool], stamps: Sequence[int], since: int) -> list[bool]:
    """Twin of `changes.recent`; `same` says where what fits now fitted then."""
    return [here and stamp >= since for here, stamp in zip(same, stamps, strict=True)]


class Changes:
    """Twin of `horizon_ecs.changes`: every entity's components as a dict, and the same as it was at the last sync.

    `rows` goes from a handle to {component: bytes of its values}; `stamps` from (what, component, handle) to a tick, where
    what is "add" or "change"; `log` has (component, tick, handle) of what was lost.
    """

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, bytes]] = {}
        self.seen: dict[int, dict[str, bytes]] = {}
        self.stamps: dict[tuple[str, str, int], int] = {}
        self.log: list[tuple[str, int, int]] = []

    def sync(self, tick: int) -> dict[tuple[str, str], list[int]]:
        """Stamp what differs; by ("add", "remove" or "change", component) the handles, by slot."""
        news: dict[tuple[str, str], list[int]] = {}
        for handle in sorted({*self.rows, *self.seen}, key=lambda h: h & 0xFFFFFFFF):
            now, before = self.rows.get(handle, {}), self.seen.get(handle, {})
            for component in sorted({*now, *before}):
                if now.get(component) != before.get(component):
                    what = "add" if component not in before else "change" if component in now else "remove"
                    news.setdefault((what, component), []).append(handle)
        for (what, component), handles in news.items():
            for handle in handles:
                if what == "remove":
                    self.log.append((component, tick, handle))
                else:
                    self.stamps[what, component, handle] = tick
                if what == "add":
                    self.stamps.pop(("change", component, handle), None)
        self.seen = {handle: dict(row) for handle, row in self.rows.items()}
        return news

    def stamped(self, what: str, component: str, since: int) -> list[int]:
        """The handles of what has had a component since the last sync and was stamped with `since` or later."""
        here = [h for h, row in self.rows.items() if component in row and component in self.seen.get(h, {})]
        return sorted(h for h in here if self.stamps.get((what, component, h), 0) >= max(since, 1))

    def lost(self, component: str, since: int) -> list[int]:
        return [h for c, tick, h in self.log if c == component and tick >= since]


# -- messages ------------------------------------------------------------------------------------------------------


def link(slots: Sequence[int], changed: Sequence[int]) -> tuple[dict[int, list[int]], set[int]]:
    """Twin of `messages.link`: the events of each slot in their order, and the slots in bytes' bits that are marked."""
    chains: dict[int, list[int]] = {}
    for number, slot in enumerate(slots):
        chains.setdefault(slot, []).append(number)
    return chains, {*slots, *changed}


def follow_event(event: Sequence[int], born: int | None, kind: int, tick: int) -> list[int]:
    """Twin of `messages.follow_events`, one event: slot, channel, tick, born, died, kind, the kind before, when it
    became another, and when before that. `born` is when whoever it is of was, None where it doesn't live."""
    slot, channel, of_tick, was_born, died, known, before, switched, decided = event
    if born is None:
        died = min(died, tick)
    elif born <= tick:
        if known not in (-1, kind):
            before, switched, decided = known, tick, switched
        known = kind
    return [slot, channel, of_tick, was_born, died, known, before, switched, decided]
