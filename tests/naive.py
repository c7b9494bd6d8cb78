"""Plain, slow twins of kernels: what they do, said in a few lines of Python each. Tests hold the kernels to them."""

from __future__ import annotations

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

    def query(self, need: set[str], lack: set[str]) -> list[int]:
        """Slots of rows that have all of `need` and none of `lack`."""
        return sorted(s for s, row in self.rows.items() if need <= row.values.keys() and not lack & row.values.keys())


def rounds(commands: list[tuple[int, int, int]]) -> list[list[int]]:
    """Twin of `commands._rounds`: every entity's first commands, then its second ones; grouped by what they do."""
    seen: dict[int, int] = {}
    groups: dict[tuple[int, int, int], list[int]] = {}
    for i, (handle, operation, component) in enumerate(commands):
        nth = seen[handle] = seen.get(handle, -1) + 1
        groups.setdefault((nth, operation, component), []).append(i)
    return [groups[key] for key in sorted(groups)]
