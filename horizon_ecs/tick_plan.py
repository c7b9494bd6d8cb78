"""The plan of a schedule: phases, the order of the systems in each, and stages whose systems may run side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from horizon_ecs.components import Component, nearest
from horizon_ecs.declare import System
from horizon_ecs.errors import DefinitionError

AnySystem: TypeAlias = System[..., Any]


@dataclasses.dataclass(frozen=True)
class Phase:
    """The systems of one phase.

    Attributes
    ----------
    name : str
    order : tuple of System
        The result is as if they ran one after the other like this.
    stages : tuple of tuples of System
        No two systems of a stage disturb each other. Whatever does stands in different stages, in the order of `order`.
    """

    name: str
    order: tuple[AnySystem, ...]
    stages: tuple[tuple[AnySystem, ...], ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """All phases in the order in which they run, and the references of before= and after= to what wasn't added."""

    phases: tuple[Phase, ...]
    unresolved: tuple[tuple[AnySystem, AnySystem | str], ...]

    @property
    def systems(self) -> list[AnySystem]:
        """Every system, phase by phase."""
        return [system for phase in self.phases for system in phase.order]


def make_plan(systems: Sequence[AnySystem], phases: Sequence[str]) -> Plan:
    """Plan systems, which are given in the order in which they were added, for phases in the order in which they run.

    Raises
    ------
    DefinitionError
        The order is circular, or contradicts that of the phases.
    """
    rank = {phase: number for number, phase in enumerate(phases)}
    waits: dict[AnySystem, set[AnySystem]] = {s: set() for s in systems}
    unresolved: list[tuple[AnySystem, AnySystem | str]] = []
    for system in systems:
        for reference, is_after in [*((r, True) for r in system.after), *((r, False) for r in system.before)]:
            targets = _targets(system, reference, systems)
            if not targets:
                unresolved.append((system, reference))
            for target in targets:
                first, second = (target, system) if is_after else (system, target)
                _check_phases(first, second, system, rank)
                if first.phase == second.phase:
                    waits[second].add(first)
    return Plan(tuple(_phase(phase, systems, waits) for phase in phases), tuple(unresolved))


def _targets(system: AnySystem, reference: AnySystem | str, systems: Sequence[AnySystem]) -> list[AnySystem]:
    if isinstance(reference, str):
        return [s for s in systems if reference in s.names and s is not system]
    return [reference] if reference in systems else []


def _check_phases(first: AnySystem, second: AnySystem, asking: AnySystem, rank: dict[str, int]) -> None:
    if rank[first.phase] > rank[second.phase]:
        raise DefinitionError(
            f"{asking.where}: {first.name!r} is to run before {second.name!r}, but its phase {first.phase!r} comes "
            f"after {second.phase!r}"
        )


def _phase(name: str, systems: Sequence[AnySystem], waits: dict[AnySystem, set[AnySystem]]) -> Phase:
    order = _ordered([s for s in systems if s.phase == name], waits)
    return Phase(name, tuple(order), _stages(order, waits))


def _ordered(systems: Sequence[AnySystem], waits: dict[AnySystem, set[AnySystem]]) -> list[AnySystem]:
    """Topological order; among those free to run, the one that was added first."""
    left, done = list(systems), set[AnySystem]()
    order: list[AnySystem] = []
    while left:
        ready = next((s for s in left if waits[s] <= done), None)
        if ready is None:
            raise DefinitionError(f"the order of these systems is circular: {[s.name for s in left]}")
        left.remove(ready)
        done.add(ready)
        order.append(ready)
    return order


def _stages(order: Sequence[AnySystem], waits: dict[AnySystem, set[AnySystem]]) -> tuple[tuple[AnySystem, ...], ...]:
    """Each system in the first stage after all that it must not disturb.

    A plain Python system has a stage to itself, for nobody knows what it does. A condition may look at anything: its
    system opens a stage after all that came before, and is its first.
    """
    stages: list[list[AnySystem]] = []
    first_open = 0
    for system in order:
        if system.is_plain or system.when.run_if:
            at = first_open = len(stages)
        else:
            blocked = (n for n, stage in enumerate(stages) if any(_apart(s, system, waits) for s in stage))
            at = max(first_open, max(blocked, default=-1) + 1)
        if at == len(stages):
            stages.append([])
        stages[at].append(system)
        first_open += system.is_plain
    return tuple(map(tuple, stages))


def _apart(earlier: AnySystem, later: AnySystem, waits: dict[AnySystem, set[AnySystem]]) -> bool:
    return earlier in waits[later] or bool(conflicts(earlier, later))


def reasons(earlier: AnySystem, later: AnySystem) -> list[str]:
    """Why one of two systems of a phase waits for the other: components' names, "order" where that was asked for."""
    asked = {earlier, *earlier.names} & {*later.after} or {later, *later.names} & {*earlier.before}
    return [c.__name__ for c in conflicts(earlier, later)] + ["order"] * bool(asked)


def conflicts(one: AnySystem, other: AnySystem) -> list[Component]:
    """The components that one of two systems writes and the other reads or writes."""
    shared = _uses(one) & _uses(other)
    written = {*one.writes, *other.writes}
    return sorted(shared & written, key=lambda c: c.__name__)


def _uses(system: AnySystem) -> set[Component]:
    return set(system.reads)


def check_resolved(plan: Plan, names: Iterable[str]) -> list[str]:
    """Warnings about systems that before= and after= name and that were never added.

    Raises
    ------
    DefinitionError
        About names that no system has.
    """
    warnings: list[str] = []
    known = list(names)
    for system, reference in plan.unresolved:
        if isinstance(reference, str):
            raise DefinitionError(
                f"{system.where}: before or after names {reference!r}, but no system or group of this world has it"
                f"{nearest(reference, known)}"
            )
        warnings.append(
            f"{system.where}: before or after lists {reference.name!r}, which was not added to this world; it has no "
            "effect"
        )
    return warnings
