"""Messages of the application to clients: what is said in a tick, until its frames are on their way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from horizon_ecs.errors import ArgumentError, CapacityError
from horizon_ecs.event_names import check_name, check_namespace
from horizon_ecs.net import wire
from horizon_ecs.net.players import Player

MAX_MESSAGES = 256
"""To one client in a tick: more is no way to tell it something."""

Told = tuple[Sequence[Player] | None, bytes]
"""To whom, None for all, and a whole message."""


class Speaker:
    """Gathers messages, from any thread.

    Parameters
    ----------
    players : mapping of int to Player
        By observer.

    Attributes
    ----------
    n_refused : int
        Calls for which a client had too many already.
    """

    def __init__(self, players: Mapping[int, Player]) -> None:
        self.n_refused = 0
        self._players = players
        self._lock = threading.Lock()
        self._told: list[Told] = []
        self._n_all = self._most = 0
        self._own: Counter[Player] = Counter()

    def tell(self, to: Iterable[Any] | None, namespace: str, event: str, data: Any) -> None:
        """Say something to some players, or to all, as `EventSystem.broadcast`. Raises ArgumentError, CapacityError."""
        packed = wire.pack_event(check_namespace(namespace), check_name("event", event), data)
        if len(packed) > wire.MAX_EVENT_BYTES:
            raise ArgumentError(
                f"{namespace}.{event} is too long: {len(packed):,} bytes, at most {wire.MAX_EVENT_BYTES:,} can be sent"
            )
        chosen = None if to is None else [p for p in dict.fromkeys(map(self._player, to)) if p.observer >= 0]
        with self._lock:
            own = self._most if chosen is None else max((self._own[p] for p in chosen), default=0)
            if self._n_all + own >= MAX_MESSAGES:
                self.n_refused += 1
                raise CapacityError(f"a client has {MAX_MESSAGES} messages in this tick already")
            if chosen is None:
                self._n_all += 1
            else:
                self._own.update(chosen)
                self._most = max(self._most, own + 1)
            self._told.append((chosen, wire.message(packed)))

    def take(self) -> list[Told]:
        """What was said since this was last called."""
        if not self._told:
            return []
        with self._lock:
            told, self._told = self._told, []
            self._n_all = self._most = 0
            self._own.clear()
        return told

    def _player(self, given: Any) -> Player:
        if isinstance(given, Player):
            return given
        found = self._players.get(given) if isinstance(given, int) else None
        if found is None:
            raise ArgumentError(f"expected a Player or an observer's number, not {given!r}")
        return found
