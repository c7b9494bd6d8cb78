"""Workspace: the arrays that a replicator's kernels read and write, laid out once."""

from __future__ import annotations

import numpy as np

from horizon_ecs.columns import reserve
from horizon_ecs.schema import MAX_GROUP_FIELDS, Tables
from horizon_ecs.systems import budget, replicate


def row_length(n: int) -> int:
    """At least `n`, so that rows of 4 or 8 bytes an entry don't begin at equal offsets from a memory page: such compete
    for the same cache sets, and most rows are used at their beginning only."""
    return -(-n // 1024) * 1024 + 48


class Scratch:
    """Working memory of the kernels, a row a thread; reserved, so that what is never touched costs nothing."""

    def __init__(self, tables: Tables, n_threads: int, n_items: int, max_followed: int) -> None:
        n_kinds, n_channels, n_groups = tables.first_parameter.shape
        n_blocks, n_entries = n_channels * n_groups, row_length(max_followed)
        # Twice as many as there are: a second centre's finds are there for a moment beside the first one's.
        self.near_slot = reserve((n_threads, 2 * n_items), np.uint32)
        self.near_sq = reserve((n_threads, 2 * n_items), np.float32)
        self.inside, self.held, self.known = (reserve((n_threads, n_items + 64), np.uint8) for _ in range(3))
        self.where = reserve((n_threads, n_items), np.uint32)
        self.stamp = np.ones(n_threads, np.int64)
        self.first_of_kind = np.zeros((n_threads, n_kinds + 1), np.int64)
        self.picked, self.place, self.leaves, self.moves, self.due_index, self.due_plan = (
            reserve((n_threads, n_entries), np.uint32) for _ in range(6)
        )
        self.counters = np.zeros((n_threads, n_blocks, 3), np.uint32)
        self.absolute = reserve((n_threads, n_blocks, n_entries), np.uint32)
        self.record = reserve((n_threads, n_blocks, n_entries), np.uint64)
        self.source, self.places = (reserve((n_threads, n_blocks, n_entries), np.uint32) for _ in range(2))
        self.reference = np.zeros((n_threads, n_kinds, MAX_GROUP_FIELDS), np.int32)
        self.tokens = reserve((n_threads, _most_tokens(tables, max_followed)), np.uint64)
        self.joined_row = reserve((n_entries,), np.uint64)
        self.heap = reserve((n_threads, n_entries), np.uint64)
        self.waits = np.zeros((n_threads, budget.N_WAITS), np.int64)
        self.tally = np.zeros((n_threads, replicate.N_TALLIES), np.int64)


def _most_tokens(tables: Tables, max_followed: int) -> int:
    """An upper bound of the tokens in a frame: 5 an enter, 2 a field or position, and what every frame may have."""
    _, n_channels, n_groups = tables.first_parameter.shape
    an_entry = 5 + 2 * int(tables.n_fields.sum(axis=1).max(initial=1)) + 2 * n_groups
    return int(2 * max_followed * an_entry + tables.n_parameters + 8 * n_channels * n_groups + 64)
