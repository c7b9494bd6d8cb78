"""Reports of failures that stop nothing: each at first, and then not more often than anybody reads them."""

from __future__ import annotations

import dataclasses
import logging
import traceback
import weakref
from typing import TYPE_CHECKING, Any

from horizon_ecs.errors import SystemFailure

if TYPE_CHECKING:
    from horizon_ecs.program import Program

_log = logging.getLogger("horizon_ecs.schedule")

PERIOD_S = 1.0
"""World time between two reports of the same: a system that fails in every tick would fill a disk."""


def place_of(error: BaseException, path: str, program: Program | None = None) -> str:
    """File and line of the user's at which it failed, also where that ran as a program made of it; empty where it
    wasn't in that file."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == path:
            place = f"{path}:{line}"
        elif program is not None and frame.f_code.co_filename == program.path and line in program.lines:
            place = f"{path}:{program.lines[line]}"
    return place


@dataclasses.dataclass
class _Told:
    """When something was last reported, and how often it happened since."""

    tick: int
    since: int = 0


class Reports:
    """What one schedule logs. The same is an exception of one type from one system or observer."""

    def __init__(self) -> None:
        self._told: weakref.WeakKeyDictionary[Any, dict[type, _Told]] = weakref.WeakKeyDictionary()

    def note(self, who: Any, failure: SystemFailure, error: Exception, tick_rate: float) -> None:
        """Log a failure of a system or observer, or count it to be told with the next one that is logged."""
        told = self._told.setdefault(who, {})
        last = told.get(type(error))
        # After a step back in time, as by World.copy_from, everything is new.
        if last is not None and last.tick <= failure.tick < last.tick + PERIOD_S * tick_rate:
            last.since += 1
            return
        more = f" ({last.since:,} more like it since tick {last.tick})" if last is not None and last.since else ""
        _log.error("%s; what it asked for in this tick is dropped%s", failure, more, exc_info=error)
        told[type(error)] = _Told(failure.tick)
