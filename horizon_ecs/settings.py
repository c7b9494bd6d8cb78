"""Settings: what each may be, checked alike wherever it comes from: a call, a file, the environment, a flag."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from horizon_ecs.errors import ArgumentError

HIDDEN = "…"
"""What is shown of a secret."""


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Rule:
    """What a setting may be.

    Attributes
    ----------
    what : str
        Completes "… must be".
    fits : callable(value) -> bool
    take : callable(value) -> value
        How one that fits is kept.
    """

    what: str
    fits: Callable[[Any], bool]
    take: Callable[[Any], Any] = _as_it_is


def whole(low: int, high: int) -> Rule:
    """A whole number."""
    return Rule(
        f"a whole number from {low} to {high}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high,
    )


def number(low: float, high: float) -> Rule:
    """A finite number, kept as it is."""

    def fits(value: Any) -> bool:
        sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return sound and low <= value <= high

    return Rule(f"a number from {low:g} to {high:g}", fits)


def duration(low: float, high: float) -> Rule:
    """Seconds as a number, or a timedelta; kept as a number."""
    plain = number(low, high)

    def seconds(value: Any) -> Any:
        return value.total_seconds() if isinstance(value, timedelta) else value

    return Rule(plain.what, lambda value: plain.fits(seconds(value)), seconds)


def flag() -> Rule:
    """True or False."""
    return Rule("True or False", lambda value: isinstance(value, bool))


def text() -> Rule:
    """Any text."""
    return Rule("text", lambda value: isinstance(value, str))


def matching(pattern: str, what: str) -> Rule:
    """A text of a certain form, of which `what` speaks."""
    return Rule(what, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None)


def one_of(*names: str) -> Rule:
    """One of a few words."""
    return Rule(f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names)


def texts() -> Rule:
    """A list of texts, kept as a tuple."""
    return _listed("a list of texts", lambda one: isinstance(one, str))


def networks() -> Rule:
    """A list of IP addresses and networks such as "10.0.0.0/8", kept as a tuple."""
    return _listed("a list of IP addresses and networks", is_network)


def is_network(value: Any) -> bool:
    """Whether a text is an IP address, or a network such as "10.0.0.0/8"."""
    try:
        ipaddress.ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        return False
    return True


def _listed(what: str, fits: Callable[[Any], bool]) -> Rule:
    return Rule(what, lambda value: isinstance(value, list | tuple) and all(fits(one) for one in value), tuple)


def optional(rule: Rule) -> Rule:
    """None, or what another rule says."""
    return Rule(
        f"{rule.what}, or None",
        lambda value: value is None or rule.fits(value),
        lambda value: None if value is None else rule.take(value),
    )


def instance(of: type) -> Rule:
    """An object of a class."""
    return Rule(f"a {of.__name__}", lambda value: isinstance(value, of))


def setting(default: Any, rule: Rule, key: str = "", *, live: bool = False, secret: bool = False) -> Any:
    """A field of a configuration.

    Parameters
    ----------
    default : value
    rule : Rule
    key : str
        Where it stands in a file, such as "server.max_connections"; by default its section's with the field's name.
    live : bool
        Whether it can change while a server runs.
    secret : bool
        Whether it is never shown.
    """
    return field(default=default, repr=not secret, metadata={"rule": rule, "key": key, "live": live, "secret": secret})


def settings_of(config: type) -> list[dataclasses.Field[Any]]:
    """The fields of a configuration that are settings."""
    return [one for one in dataclasses.fields(config) if "rule" in one.metadata]


def complaint(name: str, one: dataclasses.Field[Any], value: Any) -> str:
    """What is wrong with a value, under the name by which it was given; "" where nothing is."""
    rule: Rule = one.metadata["rule"]
    if rule.fits(value):
        return ""
    return f"{name} must be {rule.what}, not {HIDDEN if one.metadata['secret'] else repr(value)}"


def check(config: Any) -> None:
    """Hold each setting of a new configuration to its rule, and keep it as the rule says.

    Raises
    ------
    ArgumentError
        Names the setting, what was expected and what came.
    """
    for one in settings_of(type(config)):
        value = getattr(config, one.name)
        if wrong := complaint(one.name, one, value):
            raise ArgumentError(wrong)
        object.__setattr__(config, one.name, one.metadata["rule"].take(value))


def listed(lines: Iterable[str]) -> str:
    """Several complaints as one."""
    found = list(lines)
    return found[0] if len(found) == 1 else "\n".join([f"{len(found)} settings are wrong:", *(f"  {f}" for f in found)])
