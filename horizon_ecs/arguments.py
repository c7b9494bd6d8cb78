"""Arguments: checks that several calls share, with errors that say what was expected and what came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from horizon_ecs.errors import ArgumentError, HorizonError


def sequence(name: str, value: Any, example: str, error: type[HorizonError] = ArgumentError) -> tuple[Any, ...]:
    """A parameter that lists things, as a tuple; `error` for a single thing; `example` completes "a list of …"."""
    if isinstance(value, type | str) or not isinstance(value, Iterable):
        raise error(f"{name} is a list of {example}, not {value!r}")
    return tuple(value)


def whole_count(name: str, value: Any, what: str) -> int:
    """A whole number from 0. Raises ArgumentError."""
    if not is_whole(value) or value < 0:
        raise ArgumentError(f"{name} must be a whole number of {what}, not {value!r}")
    return int(value)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, of Python or NumPy; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
