"""States: what a world is in, such as a menu or a running game; systems can run only in some, or where one changes."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import nearest
from horizon_ecs.errors import ArgumentError

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap

State: TypeAlias = enum.Enum
Transition: TypeAlias = tuple[State | None, State]
"""What was left, None where a state begins, and what is entered."""


class States:
    """The states of one world: of each enumeration one member holds.

    A change takes effect when the next tick begins, so that all systems of a tick see the same one.

    Attributes
    ----------
    current : dict of enumeration to the member that holds
    asked : dict of enumeration to the member that the next tick begins with
    entered : set of enumerations
        Those whose first tick has begun.
    tied : dict of member to uint64[n]
        The entities that end with it.
    """

    def __init__(self) -> None:
        self.current: dict[type[State], State] = {}
        self.asked: dict[type[State], State] = {}
        self.entered: set[type[State]] = set()
        self.tied: dict[State, NDArray[np.uint64]] = {}

    def add(self, initial: Any) -> None:
        """Have a further state, which is entered when the next tick begins. Raises ArgumentError."""
        kind = kind_of(initial)
        if kind in self.current:
            raise ArgumentError(f"this world has a state {kind.__name__} already; set_state() changes it")
        self.current[kind] = self.asked[kind] = initial

    def get(self, kind: Any) -> State:
        """The member that holds. Raises ArgumentError where the world has no such state."""
        if problem := self.missing(kind):
            raise ArgumentError(problem)
        return self.current[kind]

    def set(self, member: Any) -> None:
        """Ask for a change; of several the last counts. Raises ArgumentError."""
        kind = kind_of(member)
        if problem := self.missing(kind):
            raise ArgumentError(problem)
        self.asked[kind] = member

    def take(self) -> list[Transition]:
        """The changes that were asked for, which they are no more, in the order in which the states were added."""
        if not self.asked:
            return []
        asked, self.asked = self.asked, {}
        held = {kind: self.current[kind] if kind in self.entered else None for kind in self.current if kind in asked}
        return [(old, asked[kind]) for kind, old in held.items() if old is not asked[kind]]

    def put_back(self, changes: Iterable[Transition]) -> None:
        """Ask again for changes that were taken; what was asked for since then stands."""
        self.asked = {**{type(new): new for _, new in changes}, **self.asked}

    def turn(self, changes: Iterable[Transition]) -> None:
        """Let changes take effect."""
        for _, new in changes:
            self.current[type(new)] = new
            self.entered.add(type(new))

    # -- entities that end with a state ------------------------------------------------------------------------

    def tie(
        self, handles: NDArray[np.uint64], member: Any, alive: Callable[[NDArray[np.uint64]], NDArray[np.bool_]]
    ) -> None:
        """Let entities end when a state does; of those before, the dead are forgotten. Raises ArgumentError."""
        if problem := self.missing(kind_of(member)):
            raise ArgumentError(problem)
        held = self.tied.get(member, handles[:0])
        self.tied[member] = np.concatenate([held[alive(held)], handles])

    def untie(self, members: Iterable[State | None]) -> NDArray[np.uint64]:
        """uint64[n]: who was tied to states, and is no more."""
        tied = [self.tied.pop(member) for member in members if member is not None and member in self.tied]
        return np.concatenate([np.zeros(0, np.uint64), *tied])

    def follow(self, moved: SlotMap) -> None:
        """Let those be tied that entities have become by being moved."""
        self.tied = {member: moved.translate(handles) for member, handles in self.tied.items()}

    # -- copies ------------------------------------------------------------------------------------------------

    def restore(
        self, kind: Any, current: str, asked: str | None, entered: bool, tied: Mapping[str, NDArray[np.uint64]]
    ) -> None:
        """Let one of the states that there are be as it was, by its members' names."""
        self.tied |= {kind[name]: handles for name, handles in tied.items()}
        self.current[kind] = kind[current]
        self.asked.pop(kind, None)
        self.entered.discard(kind)
        if asked is not None:
            self.asked[kind] = kind[asked]
        if entered:
            self.entered.add(kind)

    def replace(self, other: States) -> None:
        """Be in the states that another world is in."""
        self.current, self.asked, self.entered = other.current.copy(), other.asked.copy(), other.entered.copy()
        self.tied = other.tied.copy()

    def missing(self, kind: Any) -> str:
        """What is wrong about a state that the world doesn't have; nothing where it has it."""
        if kind in self.current:
            return ""
        name = kind.__name__ if isinstance(kind, type) else repr(kind)
        names = [known.__name__ for known in self.current]
        return (
            f"this world has no state {name}; it has {names}{nearest(name, names)}; "
            "say how it begins: World(states=[...]) or world.add_state(...)"
        )


def kind_of(member: Any) -> type[State]:
    """The enumeration of a member. Raises ArgumentError for what is none."""
    if not isinstance(member, enum.Enum):
        example = ""
        if isinstance(member, enum.EnumMeta) and len(member):
            example = f"; did you mean {next(iter(member))}?"
        raise ArgumentError(f"a state is a member of an enum.Enum, not {member!r}{example}")
    return type(member)
