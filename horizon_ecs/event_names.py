"""Names of events: what they may be, and what somebody meant who misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from horizon_ecs.errors import ArgumentError

MAX_NAME = 64
_SIMILAR = 0.9  # from which two names are taken for one: "player_conected", but not "round_started"


def check_name(what: str, name: Any, *, empty: bool = False) -> str:
    """A name as it is. Raises ArgumentError."""
    if not isinstance(name, str) or len(name) > MAX_NAME or not (name or empty):
        raise ArgumentError(f"{what} must be text of at most {MAX_NAME} characters, not {name!r}")
    return name


def check_namespace(name: Any) -> str:
    """A namespace: on the wire a point stands behind it, so it has none. "" is that of events without one."""
    if "." in check_name("namespace", name, empty=True):
        raise ArgumentError(f"a namespace has no point in it, not {name!r}")
    return str(name)


def full_name(scope: str, name: str) -> str:
    """A name with what it belongs to."""
    return f"{scope}.{name}" if scope else name


def own_name(scope: str, event: Any) -> tuple[str, type | None]:
    """The name of an event within what it belongs to, and its class if it was given by that. Raises ArgumentError."""
    if not isinstance(event, type):
        return check_name("event", event), None
    if not hasattr(event, "__hz_event__"):
        raise ArgumentError(f"an event is named by text or by a class decorated with @event, not {event!r}")
    name = str(event.__hz_event__)
    namespace, point, own = name.rpartition(".")
    if point and namespace != scope:
        raise ArgumentError(f"{event.__name__} belongs to {namespace!r}, not to {scope!r}")
    return own, event


def check_meant(what: str, name: str, known: Iterable[str], declare: str) -> None:
    """Refuse a name that nobody knows but that is nearly one that is known. Raises ArgumentError."""
    names = sorted(known)
    close = [] if name in names else difflib.get_close_matches(name, names, 1, _SIMILAR)
    if close:
        raise ArgumentError(
            f"no {what} event is called {name!r}; did you mean {close[0]!r}? If it is one of your own, say so before: "
            f"events.{declare}"
        )
