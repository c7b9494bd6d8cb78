"""When a declared system runs: its phase, its conditions, and what becomes of the world when it fails."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from horizon_ecs.errors import ArgumentError, DefinitionError, HorizonError

PHASES = ("input", "simulate", "react")
STARTUP, ON_EXIT, ON_ENTER = "startup", "on_exit", "on_enter"
PRELUDE = (STARTUP, ON_EXIT, ON_ENTER)
"""What runs before the phases: of a world's first tick, and of a tick that begins with another state."""

Condition: TypeAlias = Callable[[Any], Any]
OnError: TypeAlias = str | int


@dataclasses.dataclass(frozen=True)
class Seconds:
    """A duration of world time; see `seconds`."""

    s: float

    def ticks(self, tick_rate: float) -> int:
        """In a world of so many ticks a second: the nearest whole number, at least 1."""
        return max(1, round(self.s * tick_rate))


def seconds(s: float) -> Seconds:
    """A duration for `@system(every=...)`: in each world as many ticks as come nearest, and at least 1.

    Raises
    ------
    ArgumentError
        It isn't a finite number above 0.
    """
    if not isinstance(s, int | float) or isinstance(s, bool) or not 0 < s < math.inf:
        raise ArgumentError(f"seconds() takes a finite number above 0, not {s!r}")
    return Seconds(s)


@dataclasses.dataclass(frozen=True)
class When:
    """When a system runs.

    Attributes
    ----------
    phase : str
        "on_enter" and "on_exit" for the systems that run at the change of a state.
    every : int, in ticks, or Seconds
    offset : int
    run_if : tuple of functions of the world
    in_state : tuple of (enumeration, members)
    at : tuple of members
        The states at whose beginning or end it runs.
    on_error : "stop", "skip", a number of failures, or None for what the world says
    """

    phase: str
    every: int | Seconds
    offset: int
    run_if: tuple[Condition, ...]
    in_state: tuple[tuple[type[enum.Enum], tuple[enum.Enum, ...]], ...]
    at: tuple[enum.Enum, ...]
    on_error: OnError | None

    @property
    def states(self) -> set[type[enum.Enum]]:
        """The enumerations that it asks about."""
        return {kind for kind, _ in self.in_state} | {type(member) for member in self.at}

    def describe(self) -> list[str]:
        """The conditions in words, such as "every 6 ticks" and "in Mode.RUNNING"."""
        often = f"every {self.every.s:g} s" if isinstance(self.every, Seconds) else f"every {self.every} ticks"
        words = [often + (f" from {self.offset}" if self.offset else "")] if self.every != 1 else []
        words += [f"in {' or '.join(map(str, members))}" for _, members in self.in_state]
        words += [f"{'entering' if self.phase == ON_ENTER else 'leaving'} {member}" for member in self.at]
        return words + [f"if {condition_name(c)}" for c in self.run_if]


def condition_name(condition: Condition) -> str:
    """What a condition is called."""
    return str(getattr(condition, "__name__", condition))


def declared_when(
    where: str, *, phase: str | None, every: Any, offset: Any, run_if: Any, in_state: Any, on_enter: Any, on_exit: Any,
    on_error: Any
) -> When:  # fmt: skip
    """What `@system` was told, checked. Raises DefinitionError."""
    _check_every(where, every, offset)
    conditions, states = as_conditions(where, run_if), as_states(where, in_state)
    if on_error is not None:
        check_on_error(on_error, DefinitionError, f"{where}: ")
    enter, leave = _members(where, "on_enter", on_enter), _members(where, "on_exit", on_exit)
    if enter or leave:
        _check_transition(where, phase, every, bool(states), bool(enter and leave))
        phase = ON_ENTER if enter else ON_EXIT
    elif phase is None:
        phase = "simulate"
    elif not isinstance(phase, str) or not phase:
        raise DefinitionError(f"{where}: phase must be the name of a phase, not {phase!r}")
    if phase == STARTUP and every != 1:
        raise DefinitionError(f"{where}: what runs at startup runs once; it takes no every")
    return When(phase, every, offset, conditions, states, enter or leave, on_error)


def _check_every(where: str, every: Any, offset: Any) -> None:
    if not isinstance(every, Seconds) and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
        raise DefinitionError(
            f"{where}: every must be a whole number of ticks from 1 or hz.seconds(...), not {every!r}"
        )
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise DefinitionError(f"{where}: offset must be a whole number of ticks from 0, not {offset!r}")
    if isinstance(every, int):
        check_offset(where, offset, every)


def check_offset(where: str, offset: int, every: int) -> None:
    """Refuse an offset of which nothing is left to wait for. Raises DefinitionError."""
    if offset >= every:
        raise DefinitionError(f"{where}: offset must be less than every, which is {every} ticks, not {offset}")


def as_conditions(where: str, run_if: Any) -> tuple[Condition, ...]:
    """What run_if= was given. Raises DefinitionError."""
    conditions = _as_tuple(run_if)
    for condition in conditions:
        if not callable(condition):
            raise DefinitionError(f"{where}: run_if takes functions of the world, not {condition!r}")
    return conditions


def as_states(where: str, in_state: Any) -> tuple[tuple[type[enum.Enum], tuple[enum.Enum, ...]], ...]:
    """What in_state= was given, by enumeration. Raises DefinitionError."""
    by_kind: dict[type[enum.Enum], tuple[enum.Enum, ...]] = {}
    for member in _members(where, "in_state", in_state):
        by_kind[type(member)] = (*by_kind.get(type(member), ()), member)
    return tuple(by_kind.items())


def _check_transition(where: str, phase: str | None, every: int | Seconds, in_state: bool, both: bool) -> None:
    if both:
        raise DefinitionError(f"{where}: a system runs on_enter or on_exit, not at both")
    if phase is not None or every != 1 or in_state:
        raise DefinitionError(
            f"{where}: what runs at the change of a state runs once, before the phases; it takes no phase, every or "
            "in_state"
        )


def check_on_error(on_error: Any, error: type[HorizonError] = ArgumentError, where: str = "") -> None:
    """Refuse what is no policy for failures, with an error of this type."""
    number = isinstance(on_error, int) and not isinstance(on_error, bool) and on_error >= 1
    if not number and not (isinstance(on_error, str) and on_error in ("stop", "skip")):
        raise error(f"{where}on_error must be 'stop', 'skip' or a whole number of failures from 1, not {on_error!r}")


def check_phases(phases: Iterable[str]) -> tuple[str, ...]:
    """The names of a world's phases. Raises ArgumentError."""
    names = (phases,) if isinstance(phases, str) else tuple(phases)
    for name in names:
        if not isinstance(name, str) or not name or name in PRELUDE:
            raise ArgumentError(f"phases are names other than {list(PRELUDE)}, not {name!r}")
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"phases must be different names, at least one, not {names!r}")
    return names


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _members(where: str, option: str, value: Any) -> tuple[enum.Enum, ...]:
    found = _as_tuple(value)
    for member in found:
        if not isinstance(member, enum.Enum):
            raise DefinitionError(f"{where}: {option} takes members of an enum.Enum, not {member!r}")
    return found
