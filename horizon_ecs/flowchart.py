"""A schedule's plan for readers: as text, and as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from horizon_ecs.bound import Bound
from horizon_ecs.stage import Stage, Steps
from horizon_ecs.tick_plan import AnySystem, reasons
from horizon_ecs.when import OnError, condition_name

_VERBS = {"write": "writes", "read": "reads", "resource": "takes"}


def uses(system: AnySystem) -> list[str]:
    """What a system uses, in words such as "writes Position" and "commands"."""
    found: dict[str, list[str]] = {use: [] for use in _VERBS}
    for parameter in system.parameters:
        found.setdefault(parameter.use, []).append(parameter.type.__name__)
    words = [f"{_VERBS[use]} {', '.join(names)}" if use in _VERBS else use for use, names in found.items() if names]
    words += [f"with {c.__name__}" for c in system.with_] + [f"without {c.__name__}" for c in system.without]
    for name, some in (("any of", system.any_of), ("changed", system.changed), ("added", system.added)):
        words += [f"{name} {', '.join(c.__name__ for c in some)}"] if some else []
    return [*words, *(["plain Python"] if system.is_plain else ())]


def _when(system: AnySystem) -> list[str]:
    """When it runs, in words; what its groups say too."""
    words = [f"group {', '.join(g.name for g in system.groups)}"] if system.groups else []
    return words + system.when.describe() + [f"if {condition_name(c)}" for g in system.groups for c in g.run_if]


def _state(bound: Bound, usual: OnError) -> list[str]:
    """What is special about a system as it stands."""
    words = [f"on_error={bound.on_error!r}"] if bound.on_error != usual else []
    if bound.timing.failures:
        words.append(f"{bound.timing.failures:,} failures")
    return words + (["disabled"] if not bound.enabled else [])


def _time(bound: Bound) -> str:
    timing = bound.timing
    return f"{timing.mean_ms:.3f} ms, {timing.runs:,} runs" if timing.runs else "not run"


def plan_text(heading: str, phases: Sequence[Steps], usual: OnError) -> str:
    """The plan as text, a line a system; `usual` is the policy for failures that isn't worth a word."""
    width = max((len(s.name) for steps in phases for s in steps.phase.order), default=0)
    lines = [heading]
    for steps in phases:
        lines.append(f"{steps.phase.name}:" if steps.stages else f"{steps.phase.name}: nothing")
        for number, stage in enumerate(steps.stages, 1):
            for bound in stage.systems:
                mark = f"{number}{'=' if stage.shared else ''}" if bound is stage.systems[0] else ""
                words = [*uses(bound.system), *_when(bound.system), *_state(bound, usual)]
                lines.append(f"  {mark:>3}  {bound.system.name:<{width}}  {_time(bound):>20}  {'; '.join(words)}")
    if any(stage.shared for steps in phases for stage in steps.stages):
        lines.append("=: threads share the work of this stage")
    return "\n".join(lines)


# -- Mermaid -----------------------------------------------------------------------------------------------------


def plan_flowchart(phases: Sequence[Steps]) -> str:
    """The plan as the source of a Mermaid flowchart."""
    number = itertools.count()
    names = {b.system: f"system{next(number)}" for steps in phases for stage in steps.stages for b in stage.systems}
    lines = ["flowchart TB"]
    for at, steps in enumerate(phases):
        lines += _phase(f"phase{at}", steps, names)
    lines += [f"    phase{at} --> phase{at + 1}" for at in range(len(phases) - 1)]
    off = [names[b.system] for steps in phases for stage in steps.stages for b in stage.systems if not b.enabled]
    if off:
        lines += ["    classDef disabled stroke-dasharray: 4 4,opacity: 0.5", f"    class {','.join(off)} disabled"]
    return "\n".join(lines) + "\n"


def _phase(identity: str, steps: Steps, names: dict[AnySystem, str]) -> Iterator[str]:
    if not steps.stages:
        yield f'    {identity}["{_escaped(steps.phase.name)}: nothing"]'
        return
    yield f'    subgraph {identity}["{_escaped(steps.phase.name)}"]'
    for number, stage in enumerate(steps.stages):
        yield f'        subgraph {identity}stage{number}["stage {number + 1}"]'
        yield from (f"            {names[b.system]}{_box(b)}" for b in stage.systems)
        yield "        end"
    for number in range(len(steps.stages) - 1):
        yield f"        {identity}stage{number} --> {identity}stage{number + 1}"
    for earlier, later, why in _waits(steps.stages):
        yield f'        {names[earlier]} -. "{_escaped(", ".join(why))}" .-> {names[later]}'
    yield "    end"


def _box(bound: Bound) -> str:
    system = bound.system
    lines = [system.name, *uses(system), *_when(system)]
    return f'["{"<br>".join(map(_escaped, lines))}"]'


def _waits(stages: Sequence[Stage]) -> Iterator[tuple[AnySystem, AnySystem, list[str]]]:
    """Which system waits for which other, and why; not where it follows from those between them."""
    before: dict[AnySystem, set[AnySystem]] = {}
    for number, stage in enumerate(stages):
        for later in [b.system for b in stage.systems]:
            reached = before.setdefault(later, set())
            for earlier in [b.system for s in reversed(stages[:number]) for b in s.systems]:
                why = reasons(earlier, later)
                if why and earlier not in reached:
                    reached |= {earlier} | before[earlier]
                    yield earlier, later, why


def _escaped(text: str) -> str:
    """Text between quotes in Mermaid, where entities are written #name; or #number;."""
    return "".join(c if c.isalnum() or c in " _.,:;-+*/=()[]?'" else f"#{ord(c)};" for c in text)
