"""Stages: systems that don't disturb each other, run one after another or, where that pays, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from horizon_ecs.bound import Bound
from horizon_ecs.crew import Crew
from horizon_ecs.tick_plan import AnySystem, Phase

PAYS_MS = 0.1
"""What sharing must save to begin with it, and half of that to stay: handing over and waiting cost 0.01 to 0.06 ms."""
PARTS_A_THREAD = 4  # so that a thread whose core is taken away for a while doesn't hold up the others
RETRY_RUNS, MAX_RETRY_RUNS = 60, 3_840
"""Runs until sharing is tried again after it saved nothing, as on a machine whose other cores are busy; twice as many
every time, for a thread that has no core holds everyone up."""
_WEIGHT = 0.25  # of the last run in what sharing is taken to save: one that was interrupted changes nothing

Failures: TypeAlias = list[tuple[Bound, Exception]]


class Stage:
    """Some bound systems, and how they ran the last time.

    Whether threads share the work changes only how long it takes. So that it doesn't change what is left of a run that
    failed, all systems of a stage run to their end either way.

    Attributes
    ----------
    systems : sequence of Bound
    shared : bool
        Whether threads share the work.
    """

    def __init__(self, systems: Sequence[Bound], crew: Crew) -> None:
        self.systems = list(systems)
        self.shared = False
        self._crew = crew
        self._saved_ms = 0.0
        self._rest = 0
        self._next_rest = RETRY_RUNS

    def run(self, due: Sequence[Bound]) -> Failures:
        """Run those of its systems that are due; return what was raised, in their order."""
        if self._crew.n_threads > 1:
            work_ms = 0.0
            for bound in due:
                work_ms += bound.timing.last_ms
            if work_ms > PAYS_MS and self._pays(due):
                return self._share(due)
        return self._one_by_one(due)

    def _one_by_one(self, due: Sequence[Bound]) -> Failures:
        failures: Failures = []
        clock = time.perf_counter_ns
        started = clock()
        for bound in due:
            try:
                bound.runner.run()
            except Exception as error:
                failures.append(bound.stumbled(error))
            ended = clock()
            bound.timing.note(ended - started)
            started = ended
        return failures

    def _pays(self, due: Sequence[Bound]) -> bool:
        """Whether to share, by what that saved of late or is expected to save."""
        if self._rest:
            self._rest -= 1
            return False
        if not self.shared:
            self.shared = self._expected_ms(due) > PAYS_MS
            self._saved_ms = PAYS_MS
        elif self._saved_ms <= PAYS_MS / 2:
            self.shared = False
            self._rest, self._next_rest = self._next_rest, min(2 * self._next_rest, MAX_RETRY_RUNS)
        return self.shared

    def _expected_ms(self, due: Sequence[Bound]) -> float:
        """What sharing would save if threads didn't hinder each other."""
        n_threads = self._crew.n_threads
        costs_ms = [b.timing.last_ms for b in due]
        longest_ms = max(cost / _n_parts(b, n_threads) for b, cost in zip(due, costs_ms, strict=True))
        return sum(costs_ms) - max(sum(costs_ms) / n_threads, longest_ms)

    def _share(self, due: Sequence[Bound]) -> Failures:
        begun = time.perf_counter_ns()
        runs = [_Run(bound, _n_parts(bound, self._crew.n_threads)) for bound in due]
        parts = [(run, part) for run in runs if run.begin() for part in range(run.n_parts)]
        parts.sort(key=lambda pair: -pair[0].bound.timing.last_ms / pair[0].n_parts)  # the longest first
        self._crew.run(lambda number, thread: parts[number][0].part(parts[number][1]), len(parts))
        for run in runs:
            run.end()
        saved_ms = (sum(run.ns for run in runs) - (time.perf_counter_ns() - begun)) / 1e6
        self._saved_ms += _WEIGHT * (saved_ms - self._saved_ms)
        if self._saved_ms > PAYS_MS:
            self._next_rest = RETRY_RUNS
        return [run.bound.stumbled(error) for run in runs for error in run.errors[:1]]


def _n_parts(bound: Bound, n_threads: int) -> int:
    return n_threads * PARTS_A_THREAD if bound.splits and bound.timing.last_ms > PAYS_MS else 1


class Steps:
    """A phase of the plan with its bound systems.

    Attributes
    ----------
    phase : Phase
    stages : list of Stage
    commanders : list of Bound
        Those that may ask for something that is done at the end of the phase, in their order.
    gated : list of Bound
        Those of a group that has conditions.
    """

    def __init__(self, phase: Phase, bound: Mapping[AnySystem, Bound], crew: Crew) -> None:
        self.phase = phase
        self.stages = [Stage([bound[s] for s in stage], crew) for stage in phase.stages]
        self.commanders = [b for b in (bound[s] for s in phase.order) if b.takes_commands]
        self.gated = [b for b in (bound[s] for s in phase.order) if b.gates]


class _Run:
    """One run of a system, whose parts several threads may take."""

    def __init__(self, bound: Bound, n_parts: int) -> None:
        self.bound, self.n_parts = bound, n_parts
        self._spent = [0] * n_parts
        self._errors: list[Exception | None] = [None] * n_parts
        self._outside: list[Exception] = []

    @property
    def ns(self) -> int:
        """Processor time of all parts."""
        return sum(self._spent)

    @property
    def errors(self) -> list[Exception]:
        """What was raised; of its parts that of the first rows before others."""
        return [*self._outside, *(error for error in self._errors if error is not None)]

    def begin(self) -> bool:
        """On the schedule's thread; whether there is anything to do."""
        return self._guarded(self.bound.runner.begin)

    def part(self, part: int) -> None:
        """On any thread. Processor time, for a thread that waits for a core or for the interpreter does nothing."""
        started = time.thread_time_ns()
        try:
            self.bound.runner.part(part, self.n_parts)
        except Exception as error:
            self._errors[part] = error
        self._spent[part] = time.thread_time_ns() - started

    def end(self) -> None:
        """On the schedule's thread."""
        if not self.errors:
            self._guarded(self.bound.runner.end)
        self.bound.timing.note(self.ns)

    def _guarded(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except Exception as error:
            self._outside.append(error)
        return not self._outside
