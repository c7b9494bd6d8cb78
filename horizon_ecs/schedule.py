"""The schedule of one world: which system runs when, and what it costs."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from horizon_ecs.commands import CommandBuffer
from horizon_ecs.declare import PHASES, System
from horizon_ecs.errors import DefinitionError, SystemFailure
from horizon_ecs.runners import make_runner
from horizon_ecs.stats import Timing

if TYPE_CHECKING:
    from horizon_ecs.world import World


class _Bound:
    """A system in one world: its query, its resources, and what runs it."""

    def __init__(self, world: World, declared: System[..., Any], number: int) -> None:
        self.system = declared
        self.number = number
        self.timing = Timing()
        self.commands = CommandBuffer(world)
        self.runner = make_runner(world, declared, self.commands)


class Schedule:
    """The systems of one world, in the order in which they run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._bound: list[_Bound] = []
        self._plan: dict[str, list[_Bound]] = {phase: [] for phase in PHASES}
        self.timing = Timing()

    def add(self, *systems: System[..., Any]) -> None:
        """Add systems; nothing is added where one of them can't be."""
        for s in systems:
            if not isinstance(s, System):
                raise DefinitionError(f"expected a function decorated with @system, got {s!r}")
        known = [b.system for b in self._bound]
        if len(set(map(id, [*known, *systems]))) != len(known) + len(systems):
            raise DefinitionError("a system was added twice")
        fresh = [_Bound(self._world, s, len(known) + i) for i, s in enumerate(systems)]
        plan = {phase: _ordered([b for b in self._bound + fresh if b.system.phase == phase]) for phase in PHASES}
        self._bound += fresh
        self._plan = plan

    def run(self) -> None:
        """Every phase of one tick."""
        tick = self._world.tick_count
        for phase in PHASES:
            plan = self._plan[phase]
            for bound in plan:
                if tick % bound.system.every == 0:
                    self._run_one(bound, tick)
            for bound in plan:
                self._guarded(bound, bound.commands.apply, tick)

    def _run_one(self, bound: _Bound, tick: int) -> None:
        started = time.perf_counter_ns()
        self._guarded(bound, bound.runner.run, tick)
        bound.timing.note(time.perf_counter_ns() - started)

    def _guarded(self, bound: _Bound, step: Callable[[], None], tick: int) -> None:
        """Run a step; where it fails, forget what the phase asked for and say which system and tick it was."""
        try:
            step()
        except Exception as error:
            for other in self._bound:
                other.commands.clear()
            raise SystemFailure(bound.system.name, tick, error, _place(bound.system, error)) from error

    def timings(self) -> Iterator[tuple[System[..., Any], Timing]]:
        """Each system, in the order in which they run, with its timing."""
        for phase in PHASES:
            for bound in self._plan[phase]:
                yield bound.system, bound.timing

    def __repr__(self) -> str:
        return "Schedule(" + "; ".join(f"{p}: {', '.join(b.system.name for b in self._plan[p])}" for p in PHASES) + ")"


def _place(system: System[..., Any], error: BaseException) -> str:
    """File and line of the user's function at which it failed; empty where it wasn't in that file."""
    place, code, program = "", system.function.__code__, system.program
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == code.co_filename:
            place = f"{code.co_filename}:{line}"
        elif program is not None and frame.f_code.co_filename == program.path and line in program.lines:
            place = f"{code.co_filename}:{program.lines[line]}"
    return place


def _ordered(systems: Sequence[_Bound]) -> list[_Bound]:
    """Topological order; among those free to run, the one that was added first."""
    by_system = {b.system: b for b in systems}
    waits: dict[_Bound, set[_Bound]] = {b: {by_system[a] for a in b.system.after if a in by_system} for b in systems}
    for b in systems:
        for other in b.system.before:
            if other in by_system:
                waits[by_system[other]].add(b)
    done: list[_Bound] = []
    while len(done) < len(systems):
        ready = [b for b in systems if b not in done and waits[b] <= set(done)]
        if not ready:
            names = [b.system.name for b in systems if b not in done]
            raise DefinitionError(f"the order of these systems is circular: {names}")
        done.append(min(ready, key=lambda b: b.number))
    return done
