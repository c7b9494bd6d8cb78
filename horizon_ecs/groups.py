"""Groups of systems: a name for several, with an order and conditions that hold for all of them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from horizon_ecs.errors import DefinitionError
from horizon_ecs.when import Condition, When, as_conditions, as_states

if TYPE_CHECKING:
    from horizon_ecs.declare import System
    from horizon_ecs.world import World


class Group:
    """Systems that go by one name: `physics = hz.Group("physics", in_state=Game.BATTLE)`, `@system(group=physics)`.

    A group without options needs no declaration, `@system(group="physics")` is enough. Its name stands for all of its
    systems wherever systems are named. All systems of a world that are of a group must have been given the same one.

    Parameters
    ----------
    name : str
    before, after : sequence of systems, groups, or their names
        The order of all of its systems within their phases.
    run_if : function of the world, or a sequence of them
        Its systems run only where all of them say so. They are asked once a tick, when the first phase begins in which
        the group has a system, so either all of the group run or none does. Where one fails, each system of the group
        has failed.
    in_state : member of an enumeration, or a sequence of them
        Only while it is the world's state; what the systems say themselves holds too.

    Raises
    ------
    DefinitionError
    """

    def __init__(
        self,
        name: str,
        *,
        before: System[..., Any] | Group | str | Iterable[Any] = (),
        after: System[..., Any] | Group | str | Iterable[Any] = (),
        run_if: Condition | Sequence[Condition] = (),
        in_state: enum.Enum | Sequence[enum.Enum] = (),
    ) -> None:
        if not isinstance(name, str) or not name:
            raise DefinitionError(f"the name of a group must be a text, not {name!r}")
        self.name, where = name, f"group {name!r}"
        self.before, self.after = references(where, before), references(where, after)
        self.run_if, self.in_state = as_conditions(where, run_if), as_states(where, in_state)

    @property
    def says_nothing(self) -> bool:
        """Whether it is no more than a name."""
        return not (self.before or self.after or self.run_if or self.in_state)

    def __repr__(self) -> str:
        return f"Group({self.name!r})"


def references(where: str, given: Any) -> tuple[Any, ...]:
    """What before= or after= was given: systems and names, groups as their names. Raises DefinitionError."""
    from horizon_ecs.declare import System  # which builds on this module

    listed = (given,) if isinstance(given, System | Group | str) else tuple(given)
    for other in listed:
        if not isinstance(other, System | Group | str):
            raise DefinitionError(f"{where}: before and after list systems, groups or their names, not {other!r}")
    return tuple(other.name if isinstance(other, Group) else other for other in listed)


def groups_of(where: str, given: Any) -> tuple[Group, ...]:
    """What `@system(group=...)` was given. Raises DefinitionError."""
    listed = (given,) if isinstance(given, Group | str) else tuple(given)
    for one in listed:
        if not isinstance(one, Group | str) or not one:
            raise DefinitionError(f"{where}: group takes names or hz.Group(...), not {one!r}")
    return tuple(dict.fromkeys(one if isinstance(one, Group) else Group(one) for one in listed))


def check_groups(systems: Iterable[Any]) -> None:
    """Refuse systems of which not all that are of a group were given the same one. Raises DefinitionError."""
    known: dict[str, tuple[Group, Any]] = {}
    for system in systems:
        for group in system.groups:
            first, of = known.setdefault(group.name, (group, system))
            if first is not group and not (first.says_nothing and group.says_nothing):
                raise DefinitionError(
                    f"{system.where}: its group {group.name!r} is another one than that of system {of.name!r}; give "
                    "both the same hz.Group(...)"
                )


def within(when: When, groups: Iterable[Group]) -> When:
    """When a system runs that is of groups: their states are its own too."""
    return dataclasses.replace(when, in_state=when.in_state + tuple(pair for g in groups for pair in g.in_state))


class Gate:
    """The conditions of one group in one world, asked at most once a tick."""

    def __init__(self, world: World, group: Group) -> None:
        self.group = group
        self._world = world
        self._asked = self._open = False
        self._error: Exception | None = None

    def forget(self) -> None:
        """A tick begins."""
        self._asked, self._error = False, None

    def ask(self) -> None:
        """Ask the conditions, unless they were asked in this tick."""
        if self._asked:
            return
        self._asked, self._open = True, False
        try:
            self._open = all(condition(self._world) for condition in self.group.run_if)
        except Exception as error:
            self._error = error

    def is_open(self) -> bool:
        """Whether its systems may run; raises what a condition raised."""
        self.ask()  # where a system was enabled in the midst of the phase, nobody has yet
        if self._error is not None:
            raise self._error
        return self._open
