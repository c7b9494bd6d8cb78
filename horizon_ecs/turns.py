"""Turns: a query's rows batch by batch, while who uses them may change the structure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.batches import Batch, OptionalBatch
from horizon_ecs.components import Component, fields_of
from horizon_ecs.enums import understood
from horizon_ecs.errors import ArgumentError

if TYPE_CHECKING:
    from horizon_ecs.query import Query

Rows: TypeAlias = slice | NDArray[np.intp]
"""Whole pages as a slice of every column, or single rows."""


def with_rows(
    query: Query, write: Sequence[Component], *, guarded: bool = True
) -> Iterator[tuple[Rows, tuple[Batch, ...]]]:
    """Each of `Query.batches` with its rows; not `guarded` where nobody can change the structure meanwhile."""
    wanted = [c for c in query.components + query.optional if fields_of(c)]
    strangers = [c.__name__ for c in write if c not in wanted]
    if strangers:
        raise ArgumentError(f"write lists {strangers}, which the query doesn't read")
    turns = _in_turn(query, guarded)
    query.world.changes.stamp_pages(write, query)
    for rows in turns:
        if not isinstance(rows, slice):
            yield from _gathered(query, wanted, rows, write, guarded)
        else:
            yield rows, tuple(_batch(query, c, rows, c in write) for c in wanted)


def _in_turn(query: Query, guarded: bool) -> Iterator[Rows]:
    """The rows of each batch, as they are when the first is asked for.

    Who uses the batches may change the structure: rows whose entity has ended by a later batch's turn are left out of
    it, whoever lives there then.

    Cost where it is `guarded`: a copy of the generations of all but the first batch's rows.
    """
    world = query.world
    every: list[Rows] = [*query.runs(), query.rest()]
    generations = [world.generation[rows].copy() if guarded else None for rows in every[1:]]
    version = world.structure_version
    for rows, generation in zip(every, [None, *generations], strict=True):
        if generation is not None and world.structure_version != version:
            same = world.generation[rows] == generation
            if not same.all():
                rows = (np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)[same]
        yield rows


def _gathered(
    query: Query, wanted: Sequence[Component], rest: NDArray[np.intp], write: Sequence[Component], guarded: bool
) -> Iterator[tuple[Rows, tuple[Batch, ...]]]:
    """A batch of single rows, which is written back: where it is `guarded` only what was written in it, for the world
    may have been written meanwhile."""
    if not len(rest):
        return
    world = query.world
    version, generation = world.structure_version, world.generation[rest]
    batches = tuple(_batch(query, c, rest, c in write) for c in wanted)
    before = [{n: a.copy() for n, a in b._arrays.items()} if guarded else {} for b in batches]
    yield rest, batches
    changed = world.structure_version != version
    same: Any = world.generation[rest] == generation if changed else np.ones(len(rest), np.bool_) if guarded else ...
    for c, batch, old in zip(wanted, batches, before, strict=True):
        if c in write:
            # Who has gained it meanwhile has values that weren't there to be read.
            kept = same & batch.present if changed and isinstance(batch, OptionalBatch) else same
            for name, values in batch._arrays.items():
                if values.flags.writeable:
                    some = kept & _written(values, old[name]) if guarded else kept
                    world.column(c, name)[rest[some]] = values[some]


def _written(values: NDArray[Any], before: NDArray[Any]) -> NDArray[np.bool_]:
    """bool[n]: which values are others, to the bit."""
    raw = f"V{values.itemsize}"
    other: NDArray[np.bool_] = values.view(raw) != before.view(raw)
    return other


def _batch(query: Query, component: Component, rows: Rows, writable: bool) -> Batch:
    world = query.world
    arrays = {f.name: world.column(component, f.name)[rows] for f in fields_of(component)}
    for f in fields_of(component):
        arrays[f.name] = understood(arrays[f.name], f)
        arrays[f.name].flags.writeable = writable and not f.fixed
    if component not in query.optional:
        return Batch(component.__name__, fields_of(component), arrays)
    has = (world.signature[rows] & np.uint64(world.bit(component))) != 0
    return OptionalBatch(component.__name__, fields_of(component), arrays, has)
