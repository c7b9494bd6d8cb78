"""Plain, slow twins of storage: handles, pages, queries, commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
