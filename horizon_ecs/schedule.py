"""The schedule of one world: which system runs when, what it costs, and what becomes of a tick in which one fails."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import kernel
from horizon_ecs.bound import Bound
from horizon_ecs.changes import Subscription
from horizon_ecs.components import nearest
from horizon_ecs.crew import Crew
from horizon_ecs.declare import System
from horizon_ecs.errors import ArgumentError, DefinitionError, SystemFailure
from horizon_ecs.flowchart import plan_flowchart, plan_text
from horizon_ecs.groups import Gate, Group, check_groups
from horizon_ecs.reports import Reports
from horizon_ecs.stage import Failures, Stage, Steps
from horizon_ecs.states import States, Transition
from horizon_ecs.stats import Timing
from horizon_ecs.tick_plan import AnySystem, Plan, check_resolved, make_plan
from horizon_ecs.when import PRELUDE, OnError, Seconds, check_offset, check_on_error, check_phases

if TYPE_CHECKING:
    from horizon_ecs.world import World

_log = logging.getLogger(__name__)


class Schedule:
    """The systems of one world, in the order in which they run.

    Attributes
    ----------
    phases : tuple of str
    states : States
    on_error : "stop", "skip" or int
    timing : Timing
        Of whole ticks.
    """

    def __init__(
        self, world: World, phases: Iterable[str], states: States, on_error: OnError, n_threads: int | None
    ) -> None:
        self.phases = check_phases(phases)
        check_on_error(on_error)
        self.states, self.on_error = states, on_error
        self.timing = Timing()
        self._crew = Crew(n_threads or kernel.n_threads())
        self._world = world
        self._bound: dict[AnySystem, Bound] = {}
        self._by_hand: dict[AnySystem, Bound] = {}
        self._gates: dict[Group, Gate] = {}
        self._reports = Reports()
        self._set_plan(make_plan((), (*PRELUDE, *self.phases)), {})

    # -- which systems -----------------------------------------------------------------------------------------

    def add(self, *systems: AnySystem) -> None:
        """Add systems; nothing is added where one of them can't be."""
        for system in systems:
            self._check(system)
        together = [*self._bound, *systems]
        if len(set(together)) != len(together):
            raise DefinitionError("a system was added twice")
        check_groups(together)
        plan = make_plan(together, (*PRELUDE, *self.phases))
        try:
            bound = {s: self._by_hand.get(s) or self._bind(s) for s in systems}
        except Exception:
            self._world.changes.unwatch([s for s in systems if s not in self._by_hand])
            raise
        self._set_plan(plan, {**self._bound, **bound})
        self._by_hand = {s: bound for s, bound in self._by_hand.items() if s not in systems}

    def _bind(self, system: AnySystem) -> Bound:
        gates = [self._gates.setdefault(g, Gate(self._world, g)) for g in system.groups if g.run_if]
        return Bound(self._world, system, self.on_error, gates)

    def _check(self, system: Any) -> None:
        if not isinstance(system, System):
            raise DefinitionError(f"expected a function decorated with @system, got {system!r}")
        if system.phase not in (*PRELUDE, *self.phases):
            raise DefinitionError(
                f"{system.where}: this world has no phase {system.phase!r}; it has {list(self.phases)}"
                f"{nearest(system.phase, self.phases)}"
            )
        for kind in system.when.states:
            if problem := self.states.missing(kind):
                raise DefinitionError(f"{system.where}: {problem}")
        if isinstance(system.every, Seconds):
            check_offset(system.where, system.when.offset, system.every.ticks(self._world.tick_rate))

    def remove(self, *systems: AnySystem | Group | str) -> None:
        """Take systems out; from the next tick on."""
        gone = {b.system for system in systems for b in self._find(system)}
        kept = {system: b for system, b in self._bound.items() if system not in gone}
        self._world.changes.unwatch(gone)
        self._set_plan(make_plan(tuple(kept), (*PRELUDE, *self.phases)), kept)

    def enable(self, *systems: AnySystem | Group | str, on: bool = True) -> None:
        """Let systems run, or not any more."""
        for bound in [b for system in systems for b in self._find(system)]:
            bound.enable(on)

    def isolate(self, *systems: AnySystem) -> None:
        """Let systems that say nothing else themselves be passed over in a tick where they fail."""
        for system in systems:
            if system.when.on_error is None:
                self._bound[system].on_error = "skip"

    def is_enabled(self, system: AnySystem | Group | str) -> bool:
        """Whether a system runs when it is due; False after it failed too often."""
        return all(b.enabled for b in self._find(system))

    def follow(self, other: Schedule) -> None:
        """Let each system be enabled or not, and have failed as often, as in another world's schedule."""
        for system, bound in self._bound.items():
            bound.enabled, bound.strikes = other._bound[system].enabled, other._bound[system].strikes

    def _find(self, system: AnySystem | Group | str) -> list[Bound]:
        name = system.name if isinstance(system, System | Group) else str(system)
        itself = isinstance(system, System)
        found = [b for s, b in self._bound.items() if s is system or (not itself and name in s.names)]
        if not found:
            names = self._names
            raise ArgumentError(f"this world has no system or group {name!r}; it has {names}{nearest(name, names)}")
        return found

    @property
    def _names(self) -> list[str]:
        """Those of systems, then those of groups."""
        return list(dict.fromkeys([*(s.name for s in self._bound), *(g.name for s in self._bound for g in s.groups)]))

    def _set_plan(self, plan: Plan, bound: dict[AnySystem, Bound]) -> None:
        # A tick that is under way goes on with the lists that it began with.
        self._plan, self._bound = plan, bound
        self._steps = [Steps(phase, bound, self._crew) for phase in plan.phases]
        self._is_checked = not plan.unresolved

    def check(self) -> None:
        """Before the first tick with this plan: refuse names that no system has, warn of systems never added."""
        if not self._is_checked:
            for warning in check_resolved(self._plan, self._names):
                _log.warning(warning)
            self._is_checked = True

    @property
    def n_threads(self) -> int:
        """Threads that may share the work of a tick."""
        return self._crew.n_threads

    # -- a tick ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Every phase of one tick."""
        try:
            self._run(self._world.tick_count)
        except BaseException:
            # Also where it is interrupted: what was asked for in one tick is not done in another.
            for bound in self._bound.values():
                bound.commands.clear()
            self._world.settle()
            raise

    def _run(self, tick: int) -> None:
        startup, on_exit, on_enter, *phases = self._steps
        for gate in self._gates.values():
            gate.forget()
        self._sync(tick)
        if tick == 1 and startup.stages:
            self._run_phase(startup, tick)
        changes = self.states.take()
        if changes:
            self._change(changes, on_exit, on_enter, tick)
        for phase in phases:
            self._run_phase(phase, tick)

    def _change(self, changes: list[Transition], on_exit: Steps, on_enter: Steps, tick: int) -> None:
        """Leave states and enter others."""
        try:
            self._run_phase(on_exit, tick, {old for old, _ in changes})
            self._end(self.states.untie(old for old, _ in changes), tick)
        except BaseException:
            self.states.put_back(changes)
            raise
        self.states.turn(changes)
        self._run_phase(on_enter, tick, {new for _, new in changes})

    def _end(self, handles: NDArray[np.uint64], tick: int) -> None:
        """End entities that were tied to a state."""
        if len(handles):
            self._world.despawn(handles, missing="ignore")
            self._world.settle()
            self._sync(tick)

    def _run_phase(self, phase: Steps, tick: int, at: set[Any] | None = None) -> None:
        """Run a phase; of the changes of states only what runs at these."""
        for bound in phase.gated:
            if bound.enabled and (at is None or not at.isdisjoint(bound.system.when.at)):
                for gate in bound.gates:
                    gate.ask()
        for stage in phase.stages:
            chosen = stage.systems
            if at is not None:
                chosen = [b for b in chosen if not at.isdisjoint(b.system.when.at)]
            self._run_stage(stage, chosen, tick)
        self._apply(phase, tick)

    def _run_stage(self, stage: Stage, systems: list[Bound], tick: int) -> None:
        current = self.states.current
        due: list[Bound] = []
        failures: Failures = []
        for bound in systems:
            try:
                if bound.due(tick, current):
                    due.append(bound)
            except Exception as error:
                failures.append((bound, error))
        if due:
            failures += stage.run(due)
        if failures:
            self._settle(failures, tick)

    def _apply(self, phase: Steps, tick: int) -> None:
        """What the systems of a phase asked for, in their order."""
        for bound in phase.commanders:
            try:
                bound.commands.apply()
            except Exception as error:
                self._settle([(bound, error)], tick)
        self._world.settle()
        self._sync(tick)

    def _sync(self, tick: int) -> None:
        """Notice what changed, and tell those who observe it."""
        failures = self._world.changes.sync()
        if failures:
            self._settle(failures, tick)

    def _settle(self, failures: Sequence[tuple[Bound | Subscription, Exception]], tick: int) -> None:
        """Log failures; raise the first of a system that stops the world."""
        stopping: SystemFailure | None = None
        for bound, error in failures:
            failure = bound.failed(tick, error)
            if bound.on_error == "stop":
                stopping = stopping or failure
                continue
            self._reports.note(bound, failure, error, self._world.tick_rate)
            if bound.is_over and bound.enabled:
                bound.enabled = False
                _log.error("system %r is disabled: it failed %d times", bound.name, bound.strikes)
        if stopping is not None:
            raise stopping

    # -- by hand -----------------------------------------------------------------------------------------------

    def run_now(self, system: AnySystem) -> None:
        """See `World.run_system`."""
        if not isinstance(system, System):
            raise DefinitionError(f"expected a function decorated with @system, got {system!r}")
        bound = self._bound.get(system) or self._by_hand.get(system)
        if bound is None:
            bound = self._by_hand[system] = self._bind(system)
        tick = self._world.tick_count
        self._sync(tick)
        failures = Stage([bound], self._crew).run([bound])
        try:
            if not failures:
                bound.commands.apply()
        except Exception as error:
            failures = [(bound, error)]
        self._world.settle()
        if failures:
            raise bound.failed(tick, failures[0][1])
        self._sync(tick)

    # -- to look at --------------------------------------------------------------------------------------------

    @property
    def systems(self) -> list[AnySystem]:
        """In the order in which they were added."""
        return list(self._bound)

    def timings(self) -> Iterator[tuple[AnySystem, Timing]]:
        """Each system, in the order in which they run, with its timing."""
        for system in self._plan.systems:
            yield system, self._bound[system].timing

    @property
    def _phases(self) -> list[Steps]:
        """What there is to show: all phases, and what comes before them where something runs there."""
        n = len(PRELUDE)
        return [*(steps for steps in self._steps[:n] if steps.stages), *self._steps[n:]]

    def plan(self) -> str:
        """The plan as text: phases, stages, and of each system what it uses, when it runs and what it costs.

        The systems of a stage may run side by side; stages are numbered within their phase.
        """
        heading = f"{len(self._bound)} systems, {self.n_threads} threads, on_error={self.on_error!r}"
        return plan_text(heading, self._phases, self.on_error)

    def to_mermaid(self) -> str:
        """The plan as a Mermaid flowchart: stages in their order, and which component or option orders two systems."""
        return plan_flowchart(self._phases)

    def _repr_markdown_(self) -> str:
        """For notebooks: the flowchart, and the text below."""
        return f"```mermaid\n{self.to_mermaid()}```\n\n```text\n{self.plan()}\n```\n"

    def __str__(self) -> str:
        return self.plan()

    def __repr__(self) -> str:
        phases = self._plan.phases[len(PRELUDE) :]
        return f"Schedule({'; '.join(f'{p.name}: ' + ', '.join(s.name for s in p.order) for p in phases)})"
