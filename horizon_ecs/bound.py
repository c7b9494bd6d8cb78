"""A system in one world: what runs it, when it is due, what it cost and how often it failed."""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from horizon_ecs.commands import CommandBuffer
from horizon_ecs.declare import System
from horizon_ecs.errors import SystemFailure
from horizon_ecs.groups import Gate
from horizon_ecs.outer import values_around
from horizon_ecs.reports import place_of
from horizon_ecs.runners import make_runner
from horizon_ecs.states import State
from horizon_ecs.stats import Timing
from horizon_ecs.when import OnError, Seconds

if TYPE_CHECKING:
    from horizon_ecs.world import World


class Bound:
    """A system bound to a world.

    Attributes
    ----------
    system : System
    name : str
    on_error : "stop", "skip" or a number of failures
    enabled : bool
    strikes : int
        Failures since it was last enabled.
    splits : bool
        Whether threads may share its rows: not those of one that may raise, for what it has written by then would
        depend on how many there are.
    timing : Timing
    gates : sequence of Gate
        Those of its groups that have conditions.
    """

    def __init__(self, world: World, declared: System[..., Any], on_error: OnError, gates: Sequence[Gate] = ()) -> None:
        self.system, self.name = declared, declared.name
        self.on_error = declared.when.on_error if declared.when.on_error is not None else on_error
        self.enabled = True
        self.strikes = 0
        self.timing = Timing()
        self.commands = CommandBuffer(world)
        self.takes_commands = declared.asks
        self.runner = make_runner(world, declared, self.commands)
        self.splits = self.runner.parallel and not _may_raise(declared.function)
        self._world = world
        self.gates = gates
        self._every, self._offset = declared.every, declared.when.offset
        self._in_state = declared.when.in_state
        self._run_if = declared.when.run_if
        self._entity: int | None = None
        self._always = self._every == 1 and not self._in_state and not self._run_if and not gates

    def due(self, tick: int, current: Mapping[type[State], State]) -> bool:
        """Whether it runs in a tick; asks its conditions, which may raise."""
        if self._always or not self.enabled:
            return self.enabled
        if tick % self.every_ticks != self._offset:
            return False
        for kind, members in self._in_state:
            if current[kind] not in members:
                return False
        return all(gate.is_open() for gate in self.gates) and all(ask(self._world) for ask in self._run_if)

    @property
    def every_ticks(self) -> int:
        """Ticks from one in which it may run to the next; by the rate that the world has, which a copy may change."""
        return self._every.ticks(self._world.tick_rate) if isinstance(self._every, Seconds) else self._every

    def enable(self, on: bool) -> None:
        """Let it run again, with all its failures forgiven; or not any more."""
        self.enabled = on
        if on:
            self.strikes = 0

    def stumbled(self, error: Exception) -> tuple[Bound, Exception]:
        """What a run raised, with a note of the entity at which it was: conditions and commands fail at none."""
        self._entity = self.runner.failed_entity()
        return self, error

    def failed(self, tick: int, error: Exception) -> SystemFailure:
        """Note a failure and forget its commands; what to raise or log."""
        self.timing.failures += 1
        self.strikes += 1
        self.commands.clear()
        place = place_of(error, self.system.function.__code__.co_filename, self.system.program)
        failure = SystemFailure(self.system.name, tick, error, place, self._entity)
        self._entity = None
        failure.__cause__ = error
        return failure

    @property
    def is_over(self) -> bool:
        """Whether it failed as often as it may."""
        return isinstance(self.on_error, int) and self.strikes >= self.on_error


def _may_raise(function: Callable[..., Any]) -> bool:
    """Whether a function, or one that it may call by name, has `raise` or `assert` in it."""
    known: list[Any] = [function]
    for caller in known:
        if any(i.opname == "RAISE_VARARGS" for i in dis.get_instructions(caller)):
            return True
        called = [getattr(value, "py_func", value) for value in values_around(caller).values()]
        known += [f for f in called if isinstance(f, types.FunctionType) and f not in known]
    return False
