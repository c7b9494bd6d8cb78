"""Plain, slow twins of changes between two states."""

from __future__ import annotations

from collections.abc import Sequence


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
