"""The one place where tests know how kernels and the Replicator's insides are called."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from horizon_ecs import kernel, replication, stage
from horizon_ecs.levels import class_of
from horizon_ecs.systems import (  # fmt: skip
    bits,
    changes,
    crowd,
    delta,
    extents,
    grid,
    hierarchy,
    interpolate,
    lists,
    neighbours,
    observers,
    quantise,
    random,
    recount,
    rice,
    sharing,
    storage,
    visibility,
)
from horizon_ecs.systems import scan as interest_scan
from tests import naive

PAGE = 1024
DEAD = 0xFFFFFFFF

kernel.warm_up(
    "changes",
    "delta",
    "extents",
    "grid",
    "hierarchy",
    "lists",
    "neighbours",
    "observers",
    "quantise",
    "recount",
    "rice",
    "storage",
    "visibility",
)


def every_stage_parallel(monkeypatch: Any) -> None:
    """Have the Replicator use its threads however little there is to do."""
    monkeypatch.setattr(replication, "PARALLEL_MS", -1.0, raising=False)


def every_system_shared(monkeypatch: Any) -> None:
    """Have every schedule's threads share whatever may be shared."""
    monkeypatch.setattr(stage, "PAYS_MS", -1.0)
    monkeypatch.setattr(stage.Stage, "_pays", lambda self, due: True)


def grid_of(replicator: Any) -> naive.Grid:
    """The grid's levels and split cells, as the twins have them."""
    g = replicator._grid
    return naive.Grid(
        g.kind.tolist(), g.scale.tolist(), g.inverse_size.tolist(), g.shape.tolist(), g.depth.tolist(),
        {(k, c): int(level) for (k, c), level in np.ndenumerate(g.level_of) if level >= 0}
    )  # fmt: skip


def rice_of(replicator: Any) -> list[int]:
    """The Rice parameters in the wire's order."""
    return list(replicator._records.rice_flat)


def max_silence(replicator: Any) -> int:
    """Ticks after which an empty frame goes out."""
    return int(replicator._max_silence)


def set_phase(replicator: Any, observer: int, phase: int) -> None:
    """Give an observer that hasn't been served yet another phase."""
    replicator._table.phase[observer] = phase % replicator._table.n_phases


def observer_position(replicator: Any, observer: int) -> list[np.float32]:
    return list(replicator.position[observer])


def entries_of(replicator: Any, observer: int) -> list[tuple[int, int, int, int]]:
    """(slot, mask, stale, kind) of what an observer follows."""
    packed = replicator.followed(observer).tolist()
    return [(e & 0xFFFFFFFF, e >> 32 & 255, e >> 40 & 255, e >> 48 & 255) for e in packed]


def clone(replica: Any) -> Any:
    """A replica that knows the same and shares nothing."""
    twin = copy.copy(replica)
    for name, value in vars(replica).items():
        if isinstance(value, np.ndarray):
            setattr(twin, name, value.copy())
    return twin


# -- bits --------------------------------------------------------------------------------------------------------

READERS = {"b": bits.get, "gamma": bits.get_gamma, "wide": bits.get_wide, "rice": bits.get_rice}
TOKENS = {"b": bits.token, "wide": bits.wide_token, "rice": bits.rice_token}


def write_codes(codes: list[tuple[Any, ...]]) -> bytes:
    """The stream of codes given as (name, value) or (name, value, n or k)."""
    tokens, n = np.zeros(2 * len(codes), np.uint64), 0
    for name, value, *rest in codes:
        if name == "gamma":
            n = bits.put_gamma(tokens, n, np.uint64(value))
        else:
            tokens[n] = TOKENS[name](np.uint64(value), *(np.uint64(r) for r in rest))
            n += 1
    words = np.full(len(tokens) + 2, 2**64 - 1, np.uint64)
    n_bits = bits.pack(words, 0, tokens, n)
    return words.tobytes()[: (n_bits + 7) // 8]


def read_codes(data: bytes, codes: list[tuple[Any, ...]]) -> tuple[list[int], int]:
    """The values of codes given as (name,) or (name, n or k), and the error that ended it, 0 for none."""
    octets, reader = np.frombuffer(data, np.uint8).copy(), np.array([0, 8 * len(data), 0], np.int64)
    values = []
    for name, *rest in codes:
        value = READERS[name](octets, reader, *rest)
        if reader[bits.ERROR]:
            break
        values.append(int(value))
    return values, int(reader[bits.ERROR])


def zigzag(value: int) -> int:
    return int(bits.zigzag(np.int32(value)))


def unzigzag(value: int) -> int:
    return int(bits.unzigzag(np.uint32(value)))


def index_bits(count: int) -> int:
    return int(bits.index_bits(count))


# -- storage -----------------------------------------------------------------------------------------------------


def scatter(column: list[int], slots: list[int], values: Any) -> list[int]:
    """A column of the values' dtype after rows of it were written."""
    out = np.array(column, values.dtype)
    storage.scatter(np.array(slots, np.uint32), values, out)
    return out.tolist()


def clear_stale(column: list[int], generation: list[int], signature: list[int]) -> tuple[list[int], int]:
    """The column afterwards, and how many were cleared."""
    out = np.array(column, np.uint64)
    n = storage.clear_stale(out, np.array(generation, np.uint32), np.array(signature, np.uint64))
    return out.tolist(), int(n)


def plan_moves(pages: list[int], signature: Any) -> tuple[list[int], list[int]]:
    """Rows that are left, and those taken."""
    old, new = (np.zeros(len(pages) * storage.PAGE, np.uint32) for _ in range(2))
    n = storage.plan_moves(np.array(pages, np.uint32), np.asarray(signature, np.uint64), old, new)
    return old[:n].tolist(), new[:n].tolist()


# -- hierarchy ---------------------------------------------------------------------------------------------------

TIED = np.uint64(1)


def _tied(targets: dict[int, int], n: int, members: Iterable[int] = ()) -> tuple[Any, ...]:
    """Slots that have the relation; bit, target, signature and generation of `n` slots in which somebody lives."""
    slots = sorted({*targets, *members})
    signature, target = np.full(n, 1 << 63, np.uint64), np.zeros(n, np.uint64)
    signature[slots] |= TIED
    for source, above in targets.items():
        target[source] = 1 << 32 | above
    return np.array(slots, np.uint32), TIED, target, signature, np.ones(n, np.uint32)


def find_cycle(targets: dict[int, int], changes: list[tuple[int, int | None]], n: int) -> int:
    """A slot on a cycle that there would be, or -1; `changes` are (slot, new target)."""
    slots = np.array([slot for slot, _ in changes], np.uint32)
    new = np.array([0 if above is None else 1 << 32 | above for _, above in changes], np.uint64)
    pending, mark = np.zeros(n, np.uint32), np.zeros(n, np.int64)
    found = hierarchy.find_cycle(slots, new, *_tied(targets, n)[1:], pending, mark, 1)
    assert not pending.any()
    return int(found)


def _indexed(targets: dict[int, int], n: int, members: Iterable[int] = ()) -> tuple[Any, ...]:
    slots, *columns = _tied(targets, n, members)
    start, source = np.zeros(n + 2, np.uint32), np.zeros(len(slots), np.uint32)
    count = hierarchy.index_sources(slots, *columns, start, source)
    return start, source[:count], *columns


def sources_of(targets: dict[int, int], n: int) -> dict[int, list[int]]:
    start, source, *_ = _indexed(targets, n)
    return {t: source[start[t] : start[t + 1]].tolist() for t in range(n) if start[t] < start[t + 1]}


def close_over(targets: dict[int, int], of: Iterable[int], n: int) -> list[int]:
    first = sorted(set(of))
    queue, reached = np.zeros(n, np.uint32), np.zeros(n, np.bool_)
    queue[: len(first)], reached[first] = first, True
    return queue[: hierarchy.close_over(queue, 0, len(first), *_indexed(targets, n), reached)].tolist()


def order_by_depth(targets: dict[int, int], members: Iterable[int], n: int) -> tuple[list[int], list[int], list[int]] | None:  # fmt: skip
    """Order, index of the parent, and depth; None where there is a cycle."""
    order, parent, depth = np.zeros(n, np.uint32), np.zeros(n, np.int32), np.zeros(n, np.int32)
    count = hierarchy.order_by_depth(*_indexed(targets, n, members), order, parent, depth)
    return None if count < 0 else (order[:count].tolist(), parent[:count].tolist(), depth[:count].tolist())


def sum_upwards(parent: list[int], values: list[float]) -> list[float]:
    totals = np.array(values, np.float64)
    hierarchy.sum_upwards(np.array(parent, np.int32), totals)
    return totals.tolist()


def compose(order: list[int], parent: list[int], local: Any) -> Any:
    """World transforms [n, 8] or in the plane [n, 4], from local ones by slot."""
    n, width = local.shape
    columns = [local[:, i].astype(np.float32) for i in range(width)]
    out = [c.copy() for c in columns]
    run = hierarchy.compose if width == 8 else hierarchy.compose_2d
    run(np.array(order, np.uint32), np.array(parent, np.int32), sum(p < 0 for p in parent), np.ones(n, np.uint64), TIED,
        *columns, *out)  # fmt: skip
    return np.stack(out, axis=1)


def looked_up(rows: dict[int, tuple[int, int, float]], n_slots: int, handle: int, bit: int, default: float) -> float:
    """A number of one entity by handle; rows by slot as (generation, component bits, value)."""
    generation, signature = np.zeros(n_slots, np.uint32), np.zeros(n_slots, np.uint64)
    column = np.full(n_slots, 77.0)
    for slot, (count, components, value) in rows.items():
        generation[slot], signature[slot], column[slot] = count, components | 1 << 63, value
    slot = storage.slot_with(np.uint64(handle), generation, signature, np.uint64(bit))
    return float(storage.pick(column, slot, default))


# -- random ------------------------------------------------------------------------------------------------------


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Four words of 32 bits."""
    return [int(w) for w in random.philox(*(np.uint64(w) for w in (*counter, *key)))]


def draws(key: int, tick: int, handles: list[int], draw: int, low: int, high: int) -> tuple[Any, Any, Any]:
    """A uniform number, a normal one and a whole one for each handle."""
    n = len(handles)
    who, out = np.array(handles, np.uint64), (np.zeros(n), np.zeros(n), np.zeros(n, np.int64))
    bounds = [np.full(n, b, np.float64) for b in (low, high)]
    random.fill_uniform(np.uint64(key), tick, draw, who, *bounds, out[0])
    random.fill_normal(np.uint64(key), tick, draw, who, out[1])
    random.fill_integers(np.uint64(key), tick, draw, who, *(np.full(n, b, np.int64) for b in (low, high)), out[2])
    return out


# -- quantise, grid, observers -----------------------------------------------------------------------------------


def quantise_float(
    column: Any, pages: list[int], precision: float, previous: Any, out: Any, born: Any = None, tick: int = 1
) -> list[int]:
    """How many were held and clamped. Without `born` every slot is older than the tick."""
    born, counts = np.zeros(len(column), np.uint32) if born is None else born, np.zeros(2, np.int64)
    at = np.array(pages, np.uint32)
    quantise.quantise_float(column, at, 1.0 / precision, born, np.uint32(tick), previous, out, counts)
    return counts.tolist()


def quantise_angle(
    column: Any, pages: list[int], bits: int, previous: Any, out: Any, born: Any, tick: int = 1
) -> list[int]:
    """How many were held and clamped."""
    counts, steps = np.zeros(2, np.int64), 2.0**bits / math.tau
    at = np.array(pages, np.uint32)
    quantise.quantise_angle(column, at, steps, bits, born, np.uint32(tick), previous, out, counts)
    return counts.tolist()


def quantise_rotation(
    columns: Any, pages: list[int], precision: float, previous: Any, out: Any, born: Any, tick: int = 1
) -> list[int]:
    """How many were held and clamped; columns, `previous` and `out` have four rows."""
    counts, at = np.zeros(2, np.int64), np.array(pages, np.uint32)
    factor = np.zeros(PAGE)
    quantise.quantise_rotation(*columns, at, 1.0 / precision, born, np.uint32(tick), *previous, *out, factor, counts)
    return counts.tolist()


def pack(columns: Any, pages: list[int], parts: list[tuple[int, int, int]], out: Any, born: Any, tick: int = 1
         ) -> list[int]:  # fmt: skip
    """Fill a word with parts (lowest, highest, offset); how many were held and clamped."""
    counts, at = np.zeros(2, np.int64), np.array(pages, np.uint32)
    for number, (column, (low, high, offset)) in enumerate(zip(columns, parts, strict=True)):
        low, high = column.dtype.type(low), column.dtype.type(high)
        quantise.pack_part(column, at, low, high, offset, born, np.uint32(tick), number == 0, out, counts)
    return counts.tolist()


def stamp_changes(pages: list[int], born: Any, tick: int, previous: Any, now: Any, changed: Any) -> None:
    quantise.stamp_changes(np.array(pages, np.uint32), born, np.uint32(tick), previous, now, changed)


def quantise_integer(column: Any, pages: list[int], out: Any) -> None:
    quantise.quantise_integer(column, np.array(pages, np.uint32), out)


def build_grid(pages: list[int], page_kind: list[int], born: Any, position: Any, inverse_size: list[float], shape: list[list[int]],
               n_parts: int, tick: int = 1, depth: Any = None, inverse: Any = None, by_slot: bool = False,
               rooms: Any = None) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """Where each cell or part begins, and its items: slots, positions as float32[3, n], squared inverse scales.

    Flat ones without depths are counted by the kernel for those, unless levels are given by slot; `rooms` has each
    slot's, if any."""
    seen = (
        np.zeros((1, 2), np.uint64)
        if rooms is None
        else np.stack([np.zeros(len(born)), rooms], axis=1).astype(np.uint64)
    )
    sight = int(rooms is not None), seen
    depths = np.array([] if depth is None else depth, np.uint8)
    first_part = first_parts(shape, depths)
    n_cells = int(first_part[-1]) if len(depths) else sum(1 << sum(s[1:]) for s in shape)
    start, cell_of = np.zeros(n_cells + 1, np.int32), np.zeros(len(born), np.int32)
    item, item_inverse = np.zeros((len(born), 4), np.uint32), np.ones(len(born), np.float32)
    place = item.view(np.float32)
    shares, counts = np.array_split(np.array(pages, np.uint32), n_parts), np.zeros((n_parts, n_cells), np.int32)
    page_level, sizes, shapes = np.array(page_kind, np.int16), np.array(inverse_size), np.array(shape, np.int64)
    slot_level = np.repeat(page_level, PAGE) if by_slot else np.zeros(0, np.int16)
    for share, count in zip(shares, counts, strict=True):
        if by_slot or len(depths) or shapes[:, 3].any():
            grid.count_levels(share, page_level, slot_level, born, np.uint32(tick), *position, sizes, shapes, *sight, depths,
                              first_part, count, cell_of)  # fmt: skip
        else:
            grid.count_cells(share, page_level, born, np.uint32(tick), *position, sizes, shapes, *sight, count, cell_of)
    grid.place_cells(counts, start)
    for share, cursor in zip(shares, counts, strict=True):
        if inverse is not None:
            grid.fill_scales(share, cell_of, np.array(inverse, np.float32), cursor, item_inverse)
        grid.fill_cells(share, *position, cell_of, cursor, item, place)
    return start, item[: start[-1], 3], place[: start[-1], :3].T, item_inverse[: start[-1]]


def first_parts(shape: list[list[int]], depth: Any) -> Any:
    """The number of each cell's first part, and how many there are."""
    deep = np.repeat([s[3] > 0 for s in shape], [1 << sum(s[1:]) for s in shape])
    counts = [1 << int(d) * (3 if three else 2) for d, three in zip(depth, deep, strict=True)] if len(depth) else []
    return np.append(0, np.cumsum(counts)).astype(np.int32)


def adjust_depths(shape: list[int], depth: list[int], start: list[int], most: int, split: int, merge: int) -> list[int]:
    """The depths of one level's cells for the next tick."""
    out = np.array(depth, np.uint8)
    grid.adjust_depths(0, len(depth), 3 if shape[3] else 2, most, first_parts([shape], depth), np.array(start, np.int32), split,
                       merge, out)  # fmt: skip
    return out.tolist()


def scan(centre: Any, reach: float, limit_sq: Any, inverse_size: float, shape: list[int], built: tuple[Any, ...],
         depth: Any = None, first_part: Any = None, room: int = 0) -> list[tuple[int, float]]:  # fmt: skip
    """(slot, squared distance) of what one level has within the limit; flat ones without depths by the kernel for those."""
    start, slot, position, inverse = built
    out_slot, out_sq = np.zeros(len(slot) + 1, np.uint32), np.zeros(len(slot) + 1, np.float32)
    item = np.zeros((len(slot) + 1, 4), np.uint32)
    place = item.view(np.float32)
    item[:-1, 3], place[:-1, :3] = slot, position.T
    centre, shape = [np.float32(c) for c in centre], np.array(shape, np.int64)
    ask = *centre, float(reach), np.float32(limit_sq), float(inverse_size), shape, grid.room_offset(np.uint32(room))
    if depth is None and first_part is None:
        n = interest_scan.scan(*ask, start, item, place, out_slot, out_sq, 0)
    else:
        depths = np.array([] if depth is None else depth, np.uint8)
        n = interest_scan.scan_level(*ask, depths, first_part, start, item, place, inverse, out_slot, out_sq, 0)
    return list(zip(out_slot[:n].tolist(), out_sq[:n].tolist(), strict=True))


def next_reach(scale: float, n: int, most: int, crowded: bool) -> np.float32:
    return np.float32(crowd.next_reach(np.float32(scale), n, most, crowded))


def fitting_reach(
    finds: list[tuple[int, Any]], n_kinds: int, enter_sq: Any, due: list[int], scale: float, most: int
) -> Any:
    """Finds as (kind, squared distance), ascending by kind."""
    near = np.array([d for _, d in finds], np.float32)
    first = np.searchsorted([k for k, _ in finds], np.arange(n_kinds + 1)).astype(np.int64)
    found = crowd.fitting_reach(
        near, first, np.array(due, np.int64), np.zeros(n_kinds, np.int64), np.array(enter_sq, np.float32),
        np.float32(scale), most
    )  # fmt: skip
    return np.float32(found)


def settle(
    first_kind: int, rows: list[tuple[int, int, int, float, int]], level_of: Any, kind: Any, tick: int
) -> tuple[Any, ...]:
    """One page whose first rows are (born, generation, given, scale, profile), the others dead: number switched, and all outputs."""
    born, generation, given = np.full(PAGE, DEAD, np.uint32), np.ones(PAGE, np.uint32), np.zeros(PAGE, np.uint32)
    profile, classes, scale = np.zeros(PAGE, np.uint8), np.zeros(PAGE, np.uint8), np.ones(PAGE, np.float32)
    for i, (b, g, mine, factor, number) in enumerate(rows):
        born[i], generation[i], given[i], scale[i], profile[i] = b, g, mine, factor, number
        classes[i] = class_of(np.float32([factor]))[0]
    out_level, inverse = np.full(PAGE, -7, np.int16), np.ones(PAGE, np.float32)
    page_kind, switched, missing = np.zeros(1, np.int16), np.full(PAGE, 7, np.uint8), np.zeros(level_of.shape, np.uint8)
    n = extents.settle(np.zeros(1, np.uint32), np.array([first_kind], np.int16), born, np.uint32(tick), generation, given, profile,
                       classes, scale, level_of, kind, out_level, inverse, page_kind, switched, missing)  # fmt: skip
    return int(n), kind, out_level, inverse, int(page_kind[0]), switched, missing


def find_switched(rows: list[tuple[int, int, list[int]]], switched: list[int], any_switched: bool) -> list[bool]:
    """Observers as (status, wants_reset, slots that it follows)."""
    lists, looks = np.zeros((len(rows), 8), np.uint64), np.full(len(rows), 7, np.uint8)
    for o, (_, _, slots) in enumerate(rows):
        lists[o, : len(slots)] = [s | 0xFFFF << 32 for s in slots]
    extents.find_switched(
        len(rows), np.array([r[0] for r in rows], np.uint8), np.array([r[1] for r in rows], np.uint8), any_switched,
        np.array([len(r[2]) for r in rows], np.int32), lists.reshape(-1), np.arange(len(rows)) * 8, np.array(switched, np.uint8), looks
    )  # fmt: skip
    return looks.astype(bool).tolist()


def cells(points: Any, inverse_size: float, n_cells: int) -> tuple[Any, Any, Any, Any]:
    """Where each cell begins; in the order of cells the points' numbers, their rows, and where they are, float64[3, n]."""
    x, y, z = np.array(points, np.float64).reshape(-1, 3).T.copy()
    start, item, where = np.zeros(n_cells + 1, np.int64), np.zeros(len(x), np.uint32), np.zeros((3, len(x)))
    cell, row = np.zeros((2, len(x)), np.int64)
    neighbours.sort_by_cell(x, y, z, inverse_size, start, cell, item, row, *where)
    return start, item[: start[-1]], row[: start[-1]], where[:, : start[-1]].copy()


def near(points: Any, items: Any, radius: float, own: Any, *, once: bool, depth: int, n_cells: int, room: int
         ) -> list[tuple[int, int]]:  # fmt: skip
    """(point, item) of what is near each other, in order, found in blocks of `room` that grow where one is too small."""
    inverse_size = 1 / (radius * 1.001)
    start, item, row, where = cells(items, inverse_size, n_cells)
    _, point, _, at = cells(points, inverse_size, n_cells)
    mine, done, found = np.array(own, np.int64)[point], 0, []
    while done < len(point):
        out = np.zeros((2, room), np.uint32)
        done, n = neighbours.find(point, *at, mine, once, done, depth, radius * radius, inverse_size, start, item, row,
                                  *where, *out)  # fmt: skip
        found += list(zip(*out[:, :n].tolist(), strict=True))
        room += 1
    return sorted(found)


def sort_by_key(key: list[int], value: list[int], n_keys: int) -> tuple[list[int], list[int]]:
    """Where each key's values begin, and the values."""
    start, out = np.zeros(n_keys + 1, np.int64), np.zeros(len(key), np.uint32)
    neighbours.sort_by_key(np.array(key, np.uint32), np.array(value, np.uint32), start, out)
    return start.tolist(), out.tolist()


def follow_entities(entity: list[int], generation: Any, born: Any, axes: Any, position: Any) -> None:
    observers.follow_entities(len(entity), np.array(entity, np.uint64), generation, born, *axes, position)


def select_served(status: list[int], phase: list[int], rate: list[int], told_rate: list[int], wants_reset: list[int],
                  sent: list[int], tick: int, silence: int, periods: list[list[int]], looks: list[int]) -> list[tuple[int, int, list[int]]]:  # fmt: skip
    """(observer, whether a reset, mask of due channels by kind)."""
    n, n_kinds = len(status), len(periods)
    due = np.full((4, max(phase, default=0) + 1, n_kinds), -1)
    observers.list_due(np.array([[[p << r for p in k] for k in periods] for r in range(4)]), tick, due)
    every = [sum(1 << c for c, p in enumerate(k) if p) for k in periods]
    out_observer, out_reset, out_due = np.zeros(n, np.uint32), np.zeros(n, np.uint8), np.zeros((n, n_kinds), np.int64)
    m = observers.select_served(
        n, np.array(status, np.uint8), np.array(phase, np.int64), np.array(rate, np.uint8), np.array(told_rate, np.uint8),
        np.array(wants_reset, np.uint8), np.array(sent, np.uint32), tick, silence, due,
        np.array(every, np.int64), np.array(looks, np.uint8), out_observer, out_reset, out_due
    )  # fmt: skip
    return list(zip(out_observer[:m].tolist(), out_reset[:m].tolist(), out_due[:m].tolist(), strict=True))


def share_work(work: list[int], each: int, order: list[int], n_parts: int) -> list[int]:
    """Where each part begins, of observers that are all served, in some order."""
    cut = np.full(n_parts + 1, -1)
    served = np.arange(len(work), dtype=np.uint32)[::-1].copy()
    places = np.array([len(work) - 1 - o for o in order], np.uint32)
    observers.share_work(np.array(work, np.int64), each, served, places, cut)
    return cut.tolist()


def list_made(who: list[int], span: list[list[int]]) -> list[tuple[int, ...]]:
    """(observer, start, payload, stop) of the frames that were made."""
    out = np.zeros(len(who), np.uint32), *np.zeros((3, len(who)), np.int64)
    n = sharing.list_made(np.array(who, np.uint32), np.array(span, np.int64).reshape(-1, 3), *out)
    return list(zip(*(column[:n].tolist() for column in out), strict=True))


def choose_pages(uses: Any, enough: int, tick: int, followed: list[int]) -> tuple[list[int], list[list[bool]]]:
    """When each page was asked for last, and whether its records are worth making."""
    counts, since = np.array(uses, np.uint32), np.array(followed, np.int64)
    bulk = np.full(counts.shape[1:], 7, np.uint8)
    delta.choose_pages(counts, enough, tick, since, bulk)
    assert not counts.any()
    return since.tolist(), bulk.astype(bool).tolist()


def oldest_evaluation(status: list[int], n_followed: list[int], evaluated: list[int], tick: int) -> int:
    return int(
        observers.oldest_evaluation(
            len(status),
            np.array(status, np.uint8),
            np.array(n_followed, np.int32),
            np.array(evaluated, np.uint32),
            tick,
        )
    )


def mark_gone(born: Any, oldest: int) -> list[int]:
    """The slots whose bit is set."""
    bits = np.full(len(born) // 8, 0xFF, np.uint8)
    observers.mark_gone(np.array(born, np.uint32), oldest, bits)
    return np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist()


def order_by_tile(positions: list[tuple[float, float]], inverse_size: float) -> list[int]:
    """Indices of the observers in the order in which they are served."""
    n = len(positions)
    position, out = np.zeros((n, 3), np.float32), np.zeros(n, np.uint32)
    position[:, :2] = np.array(positions).reshape(n, 2)
    count = np.full(observers.N_TILES + 1, 7, np.int32)
    observers.order_by_tile(np.arange(n, dtype=np.uint32), position, inverse_size, count, out)
    return out.tolist()


# -- visibility and lists ----------------------------------------------------------------------------------------


def forget_dead(generation: list[int], known: list[int], told: list[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:  # fmt: skip
    """Whom the rows are about afterwards, and the rows: mask; room and owner."""
    about, sight = np.array(known, np.uint32), np.array(told, np.uint64).reshape(-1, 2)
    visibility.forget_dead(np.array(generation, np.uint32), about, sight, np.uint64(2**64 - 1))
    return about.tolist(), [tuple(row) for row in sight.tolist()]


def take_masks(pages: list[int], column: Any, masks: Any, tick: int) -> tuple[list[int], list[int]]:
    """The masks afterwards, and the slots that are stamped with the tick."""
    sight, changed = np.zeros((len(masks), 2), np.uint64), np.zeros(len(masks), np.uint32)
    sight[:, 0] = masks
    n = visibility.take_masks(np.array(pages, np.uint32), column, np.uint32(tick), sight, changed)
    assert n == np.count_nonzero(changed == tick)
    return sight[:, 0].tolist(), np.flatnonzero(changed == tick).tolist()


def drop_dead(which: list[int], generation: Any, born: Any, known: Any) -> None:
    """Remove the dead from some of the lists of a `horizon_ecs.lists.Lists`."""
    lists.drop_dead(np.array(which, np.uint32), generation, born, known.start, known.n, known.pool, known.mask)


# -- differences -------------------------------------------------------------------------------------------------


def encode_records(history: Any, depth: int, orders: list[int], ks: list[int], tick: int, period: int, born: Any, structure_tick: int,
                   pages: list[int], wanted: list[int], n_parts: int = 1, changed: Any = None
                   ) -> list[tuple[int, int, bool, bool]]:  # fmt: skip
    """Every slot's (code, length, moved, missed) for one kind, channel and group of the wanted pages; field f is track f."""
    changed = np.full((len(orders), history.shape[1]), tick, np.uint32) if changed is None else changed
    n, n_slots = len(orders), len(born)
    shape = (1, 1, 1, 4)
    track, order, rices = np.zeros(shape, np.int32), np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    track[..., :n], order[..., :n], rices[..., :n] = range(n), orders, ks
    out = np.zeros((1, history.shape[1]), np.uint64)
    bulk = np.isin(np.arange(n_slots // PAGE), wanted).astype(np.uint8)[:, None]
    for share in np.array_split(np.array(pages, np.uint32), n_parts):
        delta.encode_records(
            np.zeros((1, 3), np.int64), share, np.zeros(n_slots // PAGE, np.int16), bulk, tick, history, changed, depth, track,
            order, rices, np.array([[period]], np.int64), np.array([[n]], np.int64), np.full((1, 1), -1, np.int32), born,
            structure_tick, out, np.zeros(PAGE, np.uint64), np.zeros((4, PAGE), np.uint32)
        )  # fmt: skip
    records = []
    for packed in out[0, :n_slots].tolist():
        length = packed >> 55 & 63
        code = packed & ((1 << 55) - 1)
        records.append((0 if length == 63 else code, length, bool(packed >> 62 & 1), bool(packed >> 63)))
    return records


def measure_rice(history: Any, depth: int, order: int, tick: int, period: int, born: Any, pages: list[int]
                 ) -> tuple[int, list[int]]:  # fmt: skip
    """The sample's size and every parameter's cost; the field is track 0."""
    cost = np.zeros(32, np.int64)
    n = rice.measure_rice(
        np.array(pages, np.uint32), np.zeros(len(born) // PAGE, np.int16), 0, tick, history, depth, np.int32(0), np.uint8(order),
        period, born, cost
    )  # fmt: skip
    return int(n), cost.tolist()


def recount_record(history: Any, depth: int, orders: list[int], ks: list[int], slot: int, tick: int, period: int, born: int
                   ) -> tuple[list[int], list[int]]:  # fmt: skip
    """Residual and code length of each field of one entity; field f is track f."""
    n = len(orders)
    missed, n_bits = np.zeros(n, np.int64), np.zeros(n, np.int64)
    recount.recount(
        history, depth, np.arange(n, dtype=np.int32), np.array(orders, np.uint8), np.array(ks, np.uint8), slot, tick, period,
        born, missed, n_bits
    )  # fmt: skip
    return missed.tolist(), n_bits.tolist()


# -- changes -----------------------------------------------------------------------------------------------------


def differing_rows(signature: Any, generation: Any, old_signature: Any, old_generation: Any) -> list[int]:
    out = np.zeros(len(signature), np.uint32)
    return out[: changes.differing_rows(signature, generation, old_signature, old_generation, out)].tolist()


def changed_rows(columns: list[tuple[Any, Any]], pages: list[int], signature: Any, bit: int, *, commit: bool, tick: int
                 ) -> tuple[list[int], Any]:  # fmt: skip
    """The rows that changed, and every row's stamp; `columns` has pairs of what is and what was, (n,) or (n, words)."""
    flag, stamps = np.ones(len(signature), np.bool_), np.zeros(len(signature), np.uint32)
    at = np.array(pages, np.uint32)
    for i, (now, before) in enumerate(columns):
        changes.compare(at, now.size // len(now), now.reshape(-1), before.reshape(-1), i == 0, commit, flag)
    out = np.zeros(len(pages) * PAGE, np.uint32)
    n = changes.settle(at, signature, np.uint64(bit), commit, np.uint32(tick), flag, stamps, out)
    assert changes.settle(at, signature, np.uint64(bit), commit, np.uint32(tick), flag, stamps, out[:0]) == 0
    return out[:n].tolist(), stamps


def recent(signature: Any, generation: Any, old_signature: Any, old_generation: Any, masks: tuple[int, int, int], stamps: Any,
           since: int) -> list[bool]:  # fmt: skip
    out = np.zeros(len(signature), np.bool_)
    need, lack, either = (np.uint64(bits) for bits in masks)
    changes.recent(
        signature, generation, old_signature, old_generation, need, lack, either, stamps, np.uint32(since), out
    )
    return out.tolist()


class Track:
    """A track of `systems/interpolate.py` with two rows, called for one at a time."""

    def __init__(self, modes: list[int], blend: float, beyond: float, speed: float, history: int) -> None:
        n = len(modes)
        self._arrays: list[Any] = [
            np.zeros((2, history)), np.zeros((2, history, n)), np.zeros((2, history), np.uint8), np.zeros(2, np.int64),
            np.zeros(2, np.int64), np.zeros((2, n)), np.zeros((2, n)), np.zeros(2), np.zeros((2, 3)),
            np.array(modes, np.uint8), np.array([blend, beyond, speed])
        ]  # fmt: skip
        self._entered = np.zeros(1, np.uint8)

    def retime(self, place: int, entered: bool, period: float, tick: float) -> None:
        self._entered[0] = entered
        interpolate.retime(np.array([place]), self._entered, np.array([period]), tick, self._arrays[8])

    def push(self, place: int, sampled: float, period: float, given: Any, before: Any, tick: float) -> None:
        interpolate.push(
            np.array([place]), self._entered, np.array([sampled]), np.array([period]), np.array([given]),
            np.array([before]), tick, *self._arrays, np.zeros((4, 4))
        )  # fmt: skip

    def sample(self, place: int, tick: float) -> Any:
        out = np.empty((len(self._arrays[9]), 1))
        interpolate.sample(np.array([place]), tick, *self._arrays, out)
        return out[:, 0]
