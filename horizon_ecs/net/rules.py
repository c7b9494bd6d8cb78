"""Rules: who may send an event, and how often."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from horizon_ecs.errors import ArgumentError
from horizon_ecs.net.limits import Buckets
from horizon_ecs.net.players import Player
from horizon_ecs.net.session import Refused
from horizon_ecs.net.wire import Close
from horizon_ecs.tokens import AuthStatus, as_roles

Key = int | str
"""An event's number on the wire, or the full name of one that carries an object."""


class EventRule:
    """Who may send an event, and how often: `Server(rules={Kick: hz.EventRule(roles=["admin"], max_per_s=2)})`.

    Who sends one without the right is closed with code 4010, who sends too many with 4007. What values its fields may
    have the event declares itself: `power: f4 = hz.field(range=(0, 1))`.

    Parameters
    ----------
    roles : list of str
        Any of which a player must have (`Player.roles`); none given: no role is needed.
    authenticated : bool
        Whether the server must know who the player is.
    max_per_s : float, optional
        Records of it from one client on average.
    burst : float, optional
        How many may come at once; by default those of two seconds, and at least 1.

    Raises
    ------
    ArgumentError
    """

    def __init__(
        self, *, roles: Iterable[str] = (), authenticated: bool = False, max_per_s: float | None = None,
        burst: float | None = None
    ) -> None:  # fmt: skip
        self.roles = as_roles(roles)
        self.authenticated = authenticated
        for name, value in (("max_per_s", max_per_s), ("burst", burst)):
            sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
            if value is not None and not sound:
                raise ArgumentError(f"{name} must be a positive number or None, not {value!r}")
        if burst is not None and (max_per_s is None or burst < 1):
            raise ArgumentError(f"burst must be at least 1, and goes with max_per_s, not {burst!r}")
        self.max_per_s = math.inf if max_per_s is None else float(max_per_s)
        self.burst = max(1.0, 2 * self.max_per_s) if burst is None else float(burst)

    def __repr__(self) -> str:
        return f"EventRule(roles={sorted(self.roles)}, authenticated={self.authenticated}, max_per_s={self.max_per_s})"

    def allows(self, player: Player) -> bool:
        """Whether a player may send it at all."""
        if self.authenticated and player.auth is not AuthStatus.AUTHENTICATED:
            return False
        return not self.roles or not self.roles.isdisjoint(player.roles)


class Rules:
    """The rules of a server's events, and what each client has left of them.

    Parameters
    ----------
    events : mapping of int to event class
    rules : mapping of event class, or name of an event with an object, to EventRule

    Raises
    ------
    ArgumentError
        A rule is for an event that clients can't send, or none.
    """

    def __init__(self, events: Mapping[int, Any], rules: Mapping[Any, EventRule]) -> None:
        self._names: dict[Key, str] = {number: event.__hz_event__ for number, event in events.items()}
        self._rules: dict[Key, EventRule] = {}
        numbers = {event: number for number, event in events.items()}
        for event, rule in rules.items():
            if isinstance(event, str) and event in self._names.values():
                raise ArgumentError(f"rules name {event!r}, which is sent as records: name its class")
            if not isinstance(event, str) and event not in numbers:
                raise ArgumentError(f"rules name {event!r}, which isn't among the events that clients may send")
            key = event if isinstance(event, str) else numbers[event]
            name = self._names.setdefault(key, str(event))
            if not isinstance(rule, EventRule):
                raise ArgumentError(f"the rule of {name} must be an EventRule, not {rule!r}")
            self._rules[key] = rule
        self._buckets = {key: Buckets(rule.max_per_s, rule.burst) for key, rule in self._rules.items()}

    def enter(self, now: float) -> dict[Key, int]:
        """Rows for one more client, by event."""
        return {key: buckets.enter(now) for key, buckets in self._buckets.items()}

    def leave(self, rows: Mapping[Key, int]) -> None:
        """Let its rows be somebody else's."""
        for key, row in rows.items():
            self._buckets[key].leave(row)

    def check(self, event: Key, n: int, player: Player, rows: Mapping[Key, int], now: float) -> Refused | None:
        """Why n records of an event, or an object, are refused, None where they aren't."""
        rule = self._rules.get(event)
        if rule is None:
            return None
        if not rule.allows(player):
            return Refused(Close.FORBIDDEN, f"{self._names[event]} is for other roles")
        if not self._buckets[event].take(rows[event], n, now):
            return Refused(Close.TOO_MANY, f"more than {rule.max_per_s:g} {self._names[event]} a second")
        return None
