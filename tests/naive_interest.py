"""Plain, slow twins of interest: who follows what, on which channels, and when it is due."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.naive_codes import residual
from tests.naive_grid import Grid, cell_coordinate, cell_of, part_of, scale_class, stands_somewhere
from tests.naive_storage import PAGE
from tests.naive_wire import wrap


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
