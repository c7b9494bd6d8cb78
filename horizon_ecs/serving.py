"""Serving: who is served in a tick, with what, and where their frames are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import reserve
from horizon_ecs.errors import HorizonError
from horizon_ecs.frames import Frames
from horizon_ecs.observers import HELD
from horizon_ecs.sharing import Spans
from horizon_ecs.systems import budget, observers, quantise, replicate, sharing

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator


# Arguments of `replicate.replicate` by where they are.
_OF_TABLES = ("periods", "carrier", "n_groups", "n_fields", "track", "order", "bits", "kind_channels", "profiles")
_OF_OBSERVERS = (
    "phase", "position", "evaluated_tick", "sent_tick", "n_followed", "needs", "reach_scale", "crowded", "work",
    "purse", "limited", "wants_reset", "looks", "rate", "told_rate"
)  # fmt: skip
_OF_SCRATCH = (
    "near_slot", "near_sq", "inside", "held", "known", "where", "stamp", "first_of_kind", "picked", "place", "heap",
    "leaves", "moves", "due_index", "due_plan", "counters", "absolute", "record", "source", "places", "reference",
    "tokens", "tally", "waits"
)  # fmt: skip
_OF_RECORDS = (
    "records", "rice", "rice_flat", "rice_tick", "lead", "loud", "plans", "bulk", "no_bulk", "uses", "said"
)  # fmt: skip
_OF_GRID = ("inverse_size", "shape", "cell_start", "first_part")


def serve(r: Replicator, tick: int, n_parts: int) -> Frames:
    """Evaluate interest and write the frames of all who have something due."""
    table = r._table
    n = _select(r, tick)
    cut = r._cut(n, n_parts)
    asked = r._streams.ask(table.served[:n], table.served_reset[:n])
    arguments = _prepare(r, tick, n, n + n_parts + len(asked))
    changing = np.flatnonzero(table.rate != table.told_rate)
    # Each part has room for as many of the longest frames as it has observers, and one more.
    n_words = len(arguments["words"])
    room = n_words // 2 // (n + n_parts + len(asked))
    _replicate(r, arguments, table.order[:n], cut, (cut + np.arange(n_parts + 1)) * room)
    if r._scratch.tally[:, replicate.WAITING].any():
        waiting = np.flatnonzero(table.needs[:n]).astype(np.uint32)
        table.rows.make_room(table.served[waiting], table.needs[waiting])
        cut = np.arange(n_parts + 1) * len(waiting) // n_parts
        _replicate(r, arguments, waiting, cut, n_words // 2 + (cut + np.arange(n_parts + 1)) * room)
    joins = _write_joins(r, arguments, asked, (n + n_parts) * room)
    span, octets = np.concatenate([table.span[:n], joins]) if len(asked) else table.span[:n], arguments["octets"]
    if r._outbox.used:
        octets = _finish_messages(r, tick, span, asked, octets)
    table.rows.tidy()
    r._records.count(tick)
    reset = table.served[:n][(table.served_reset[:n] == 1) & (span[:n, 2] > 0)]
    table.reset_tick[reset] = r._outbox.reset_tick[reset] = tick
    table.wants_reset[reset] = 0
    r._outbox.reset_tick[changing[table.told_rate[changing] == table.rate[changing]]] = tick
    spans, shared = r._streams.spread(tick, Spans.of(table.served[:n], span[:n]), Spans.of(asked, span[n:]))
    _count(r, n, spans, shared)
    return Frames(tick, *spans, octets.data)


def _select(r: Replicator, tick: int) -> int:
    """Move observers to their entities, and list who is served, neighbours together; return how many."""
    table, world = r._table, r.world
    observers.follow_entities(
        table.n_used, table.entity, world.generation, world.born, r._x, r._y, r._z, table.position
    )
    r._streams.reset_overdue(tick, r._max_silence)
    status = r._streams.awake()
    r._look_for_switched(status)
    n = observers.select_served(
        table.n_used, status, table.phase, table.rate, table.told_rate, table.wants_reset, table.sent_tick, tick,
        r._max_silence, _due_by_phase(r, tick), r.tables.kind_channels, table.looks, table.served, table.served_reset,
        table.due
    )  # fmt: skip
    observers.order_by_tile(
        table.served[:n], table.position, float(r._grid.inverse_size.max()), table.in_tile, table.order
    )
    _mark_gone(r, tick, status)
    return int(n)


def _prepare(r: Replicator, tick: int, n: int, n_frames: int) -> dict[str, Any]:
    """Clear what counts, and have room for so many frames of `n` observers; the kernel's arguments by name."""
    table, box = r._table, r._outbox
    words = _room(r, tick, n_frames)
    r._scratch.tally[:] = 0
    r._scratch.waits[:] = 0
    table.needs[:n] = 0
    if box.used:
        box.make_room(n_frames, min(r.max_followed, len(r.world)) + int(table.n_followed.max(initial=0)))
    return _lasting(r) | box.arguments() | {
        "tick": tick, "served": table.served[:n], "words": words, "octets": words.view(np.uint8),
        "newest_rice_tick": int(r._records.rice_tick.max(initial=0)), "structure_tick": r.world.structure_tick,
    }  # fmt: skip


def _finish_messages(
    r: Replicator, tick: int, span: NDArray[np.int64], joined: NDArray[np.uint32], octets: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Put the messages behind the frames, charge who has a budget, and count; the buffer the frames are in then."""
    table, box, stats = r._table, r._outbox, r.stats
    n = len(span) - len(joined)
    box.tell_joined(joined, n, table)
    state = span[:n, 2] - span[:n, 1]
    octets = box.attach(tick, span, octets, r._crew)
    r._charge(table.served[:n], span[:n, 2] - span[:n, 1] - state)
    box.collect_zones()
    box.remember()
    told, dropped, missed = box.tally.sum(axis=0).tolist()
    status = r._streams.awake()
    if box.n_pending and (status[: table.n_used] == HELD).any():
        missed += box.count_missed(
            tick, table, status, _due_by_phase(r, tick), r.tables.periods, r._sight
        )  # fmt: skip
    stats.messages, stats.messages_missed = told, missed
    stats.messages_dropped, box.n_dropped = dropped + box.n_dropped, 0
    return octets


def _replicate(
    r: Replicator,
    arguments: dict[str, Any],
    sequence: NDArray[np.uint32],
    cut: NDArray[np.int64],
    region: NDArray[np.int64],
) -> None:
    """Have the frames of some of the served made, each part of them in a region of the buffer."""
    passing = arguments | {"cut": cut, "sequence": sequence, "region": region}
    rest = [passing[name] for name in replicate.ARGUMENTS if name not in ("part", "thread")]
    r._crew.run(lambda part, thread: replicate.replicate(part, thread, *rest), len(cut) - 1)


def _write_joins(r: Replicator, arguments: dict[str, Any], streams: NDArray[np.uint32], first_word: int
) -> NDArray[np.int64]:  # fmt: skip
    """Reset frames of streams for who joins them, behind all others in the buffer: int64[n, 3], as `table.span`."""
    scratch = ("due_index", "due_plan", "counters", "absolute", "record", "source", "places", "reference", "tokens")
    span = np.zeros((len(streams), 3), np.int64)
    if len(streams):
        one = {name: arguments[name][0] for name in scratch}
        own = {"streams": streams, "first_word": first_word, "out_span": span, "row": r._scratch.joined_row,
               "all_channels": r.tables.kind_channels}  # fmt: skip
        sharing.write_joins(*(({**arguments, **one, **own})[name] for name in sharing.ARGUMENTS))
    return span


def _mark_gone(r: Replicator, tick: int, status: NDArray[np.uint8]) -> None:
    """Which slots may have lost their entity since any list was last looked at."""
    table, world = r._table, r.world
    # A page that lost its last entity isn't used any more, and must be looked at nevertheless.
    r._pages_seen = max(r._pages_seen, world.n_pages_used)
    oldest = observers.oldest_evaluation(table.n_used, status, table.n_followed, table.evaluated_tick, tick)
    if world.structure_tick > oldest:
        observers.mark_gone(world.born[: r._pages_seen * quantise.PAGE], oldest, r._gone)
    r._sight.mark_turned(oldest, r._pages_seen * quantise.PAGE)


def _n_rates(r: Replicator) -> int:
    """How many rates some observer has, or was told, counted from the quickest on."""
    table = r._table
    return 1 + int(max(table.rate.max(initial=0), table.told_rate.max(initial=0)))


def longest_periods(r: Replicator) -> NDArray[np.int64]:
    """int64[C]: each channel's longest period in any kind, in ticks, at the slowest rate that is in use."""
    longest: NDArray[np.int64] = r.tables.periods[_n_rates(r) - 1].max(axis=0)
    return longest


def _due_by_phase(r: Replicator, tick: int) -> NDArray[np.int64]:
    """int64[n_rates, n_phases, n_kinds]: the mask of channels due now, by rate and phase."""
    n = _n_rates(r)
    due = r._table.due_by_phase[:n]
    observers.list_due(r.tables.periods[:n], tick, due)
    return due


def _room(r: Replicator, tick: int, n: int) -> NDArray[np.uint64]:
    """The buffer whose turn it is, surely large enough: it is reserved, and only what is written costs memory."""
    most = min(r.max_followed, len(r.world)) + int(r._table.n_followed.max(initial=0)) + 64
    needed = 2 * n * (most * r._entry_bits // 64 + 8)  # the second half is for who had to wait for room
    if len(r._words[tick & 1]) < needed:
        r._words[tick & 1] = reserve((needed + needed // 2,), np.uint64)
    return r._words[tick & 1]


def _lasting(r: Replicator) -> dict[str, Any]:
    """What `replicate.replicate` takes and stays the same array or number from tick to tick, by name."""
    world, tables, table, s, g = r.world, r.tables, r._table, r._scratch, r._grid
    sight, known_lists = r._sight, r._book.lists
    return {
        **{name: getattr(tables, name) for name in _OF_TABLES},
        **{name: getattr(table, name) for name in _OF_OBSERVERS},
        "rows": table.rows.pool, "row_start": table.rows.start, "row_room": table.rows.room,
        **{name: getattr(s, name) for name in _OF_SCRATCH},
        **{name: getattr(g, name) for name in _OF_GRID},
        **{name: getattr(r._records, name) for name in _OF_RECORDS},
        "observer_due": table.due, "reset": table.served_reset, "out_span": table.span,
        "first_level": g.first, "level_scale": g.scale, "split": g.depth, "item_inverse": g.inverse,
        "slot_kind": r._no_kinds if r._extents is None else r._extents.kind,
        # Without scales that are ones, by slot as by item.
        "slot_inverse": g.inverse if r._extents is None else r._extents.inverse,
        "simple": g.simple and r._extents is None, "max_interest": r.max_interest,
        "reach_period": r._reach_period, "item_slot": g.slot, "item_position": g.position,
        "max_followed": r.max_followed,
        "reach": r._reach, "enter_sq": r._enter_sq, "leave_sq": r._leave_sq,
        "history": r._history, "changed": r._changed, "depth": r._depth,
        "born": world.born, "generation": world.generation, "max_silence": r._max_silence, "gone": r._gone,
        "entry_bits": r._entry_bits, "ways": sight.ways, "sight": sight.sight, "view": sight.view,
        "changed_sight": sight.changed, "turned": sight.turned, "owner_only": sight.owner_only,
        "focus": sight.focus, "entity": table.entity, "list_start": known_lists.start, "list_n": known_lists.n,
        "pool": known_lists.pool, "pool_mask": known_lists.mask, "page_kind": r._page_kind,
        "urgency": r._urgency, "x": r._x, "y": r._y, "z": r._z,
    }  # fmt: skip


def _count(r: Replicator, n: int, spans: Spans, shared: int) -> None:
    total = r._scratch.tally.sum(axis=0)
    if total[replicate.OVERFLOWS]:
        raise HorizonError(
            f"{total[replicate.OVERFLOWS]} frames had no room in the buffer: this is an error in Horizon ECS"
        )
    stats = r.stats
    stats.n_frames, stats.bytes, stats.shared = len(spans.stop), int((spans.stop - spans.payload).sum()), shared
    stats.followed_pairs = int(r._table.n_followed[: r._table.n_used].sum())
    stats.updates, stats.enters = int(total[replicate.UPDATES]), int(total[replicate.ENTERS])
    stats.leaves, stats.absolutes = int(total[replicate.LEAVES]), int(total[replicate.ABSOLUTES])
    stats.refused = int(total[replicate.REFUSED])
    waits = r._scratch.waits
    stats.deferred, stats.not_entered, refused_bits, _ = waits.sum(axis=0).tolist()
    stats.bytes_refused, stats.longest_wait_ticks = -(-refused_bits // 8), int(waits[:, budget.LONGEST].max())
