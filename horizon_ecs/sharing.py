"""Sharing: observers who see just what another sees, and are sent the same bytes.

A stream is the list of the observer who leads it, and has members: the leader, and who shares it. A member that is
held, or new, waits; it joins by a reset frame made of the stream's list as it is, at a tick at which nothing in it
waits for an absolute record. Where that takes longer than a client may hear nothing, or where nobody has the stream,
the stream itself is reset, for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.observers import HELD, LIVE, Observers
from horizon_ecs.systems import sharing as kernels

MUST_SEND = 2  # besides 1, reset: a frame of this tick, be it empty


class Spans(NamedTuple):
    """Frames by observer: whose, and where in the buffer they start, their payload starts, and they stop."""

    observers: NDArray[np.uint32]
    start: NDArray[np.int64]
    payload: NDArray[np.int64]
    stop: NDArray[np.int64]

    @classmethod
    def of(cls, observers: NDArray[np.uint32], span: NDArray[np.int64]) -> Spans:
        """Those that were made; `span` is int64[n, 3], its last column 0 where none was."""
        out = np.empty(len(observers), np.uint32), *np.empty((3, len(observers)), np.int64)
        n = kernels.list_made(observers, span, *out)
        return cls(*(column[:n] for column in out))


class Streams:
    """Who shares whose stream, and who of them has it so far."""

    def __init__(self, table: Observers) -> None:
        self._table = table
        self.leader = np.arange(len(table.status), dtype=np.int64)
        self._joined = np.zeros(len(table.status), np.bool_)
        self._waits_since = np.zeros(len(table.status), np.int64)
        self._followers: dict[int, list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._followers)

    def members(self, leader: int) -> list[int]:
        """The leader, and who shares its stream."""
        return [leader, *self._followers.get(leader, [])]

    def share(self, observer: int, other: int, tick: int) -> None:
        """Let a new observer share what another has."""
        leader = int(self.leader[other])
        if leader not in self._followers:
            live = self._table.status[leader] == LIVE and not self._table.wants_reset[leader]
            self._joined[leader] = live
        self._followers.setdefault(leader, []).append(observer)
        self.leader[observer] = leader
        self._table.take_phase(observer, int(self._table.phase[leader]))
        self._table.wants_reset[observer] = 0
        self.wait(observer, tick)

    def wait(self, observer: int, tick: int) -> None:
        """A member has the stream no more: it is new, held, or comes back."""
        self._joined[observer], self._waits_since[observer] = False, tick
        self._settle(int(self.leader[observer]))

    def _settle(self, leader: int) -> None:
        """A stream that none of its live members has is reset."""
        live = [m for m in self.members(leader) if self._table.status[m] == LIVE]
        if live and not self._joined[live].any():
            self._table.wants_reset[leader] = 1

    def leave(self, observer: int, copy: Callable[[int, int], None]) -> None:
        """An observer ends. Where it led, the first who shared its stream does, from where `copy(old, new)` puts it."""
        leader = int(self.leader[observer])
        others = [m for m in self.members(leader) if m != observer]
        self._followers.pop(leader, None)
        self.leader[observer], self._joined[observer] = observer, False
        if not others:
            return
        first = others[0]
        if leader == observer:
            copy(observer, first)
            self._joined[others] = False
        self.leader[others] = first
        if len(others) > 1:
            self._followers[first] = others[1:]
            self._settle(first)
        else:
            self._table.wants_reset[first] |= not self._joined[first] and self._table.status[first] == LIVE

    # -- in a step -----------------------------------------------------------------------------------------------

    def _shared(self) -> NDArray[np.int64]:
        """All members of streams that are shared."""
        return np.array([m for leader in self._followers for m in self.members(leader)], np.int64)

    def awake(self) -> NDArray[np.uint8]:
        """uint8[max_observers]: the status of streams: a leader's is LIVE while any member's is."""
        status = self._table.status
        if not self:
            return status
        out, shared = status.copy(), self._shared()
        out[shared] = HELD
        out[self.leader[shared[status[shared] == LIVE]]] = LIVE
        return out

    def reset_overdue(self, tick: int, max_wait: int) -> None:
        """Reset streams that somebody has been waiting for so long."""
        for m in self._waiting().tolist() if self else []:
            if tick - self._waits_since[m] >= max_wait:
                self._table.wants_reset[self.leader[m]] = 1

    def _waiting(self) -> NDArray[np.int64]:
        shared = self._shared()
        waiting: NDArray[np.int64] = shared[~self._joined[shared] & (self._table.status[shared] == LIVE)]
        return waiting

    def ask(self, served: NDArray[np.uint32], reset: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """Have frames made of streams that somebody waits for; which streams those are."""
        if not self:
            return np.zeros(0, np.uint32)
        asked = np.isin(served, self.leader[self._waiting()])
        reset[asked & (reset == 0)] = MUST_SEND
        return np.ascontiguousarray(served[asked & (reset != 1)])

    def spread(self, tick: int, sent: Spans, joins: Spans) -> tuple[Spans, int]:
        """Every member's frame: the stream's where it has it or the stream was reset, else that to join by; how many
        are sent what another is sent as well."""
        if not self:
            return sent, 0
        table, shared = self._table, self._shared()
        lead = self.leader[shared]
        frame, join = (_index(len(table.status), spans.observers)[lead] for spans in (sent, joins))
        live = table.status[shared] == LIVE
        anew = live & (frame >= 0) & (table.reset_tick[lead] == tick)
        along = live & (frame >= 0) & self._joined[shared] | anew
        late = live & ~along & (join >= 0)
        rows = [sent.start, sent.payload, sent.stop], [joins.start, joins.payload, joins.stop]
        own = ~np.isin(sent.observers, lead)
        columns = [
            np.concatenate([a[own], a[frame[along]], b[join[late]]]) for a, b in zip(*rows, strict=True)
        ]  # fmt: skip
        who = np.concatenate([sent.observers[own], shared[along], shared[late]]).astype(np.uint32)
        table.sent_tick[shared[along | late]] = tick
        table.reset_tick[shared[anew | late]] = tick
        self._joined[shared[anew | late]] = True
        built = len(np.unique(frame[along])) + len(np.unique(join[late]))
        return Spans(who, *columns), int(along.sum() + late.sum()) - built


def _index(n: int, observers: NDArray[np.uint32]) -> NDArray[np.int64]:
    """int64[n]: at which place an observer stands, -1 for none."""
    out = np.full(n, -1, np.int64)
    out[observers] = np.arange(len(observers))
    return out
