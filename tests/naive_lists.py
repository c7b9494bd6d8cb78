"""Plain, slow twins of lists that are kept between ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.naive_grid import stands_somewhere


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


def share_work(work: Sequence[int], each: int, order: Sequence[int], n_parts: int) -> list[int]:
    """Twin of `observers.share_work`: a part begins with the first before whom its share of the work was done."""
    costs = [each + work[o] for o in order]
    cut = [next((s for s in range(len(order)) if sum(costs[:s]) * n_parts >= part * sum(costs)), len(order))
           for part in range(n_parts)]  # fmt: skip
    return [*cut, len(order)]


def list_made(observers: Sequence[int], span: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Twin of `sharing.list_made`."""
    return [(o, *where) for o, where in zip(observers, span, strict=True) if where[2] > 0]


def choose_pages(uses: Any, enough: int, tick: int, followed: Sequence[int]) -> tuple[list[int], list[list[bool]]]:
    """Twin of `delta.choose_pages`: when each page was asked for last, and whether its records are worth making."""
    asked = [
        [sum(thread[page][c] for thread in uses) for c in range(len(uses[0][page]))] for page in range(len(followed))
    ]
    return ([tick if any(n) else last for n, last in zip(asked, followed, strict=True)],
            [[n >= enough for n in page] for page in asked])  # fmt: skip


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
