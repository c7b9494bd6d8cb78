"""What a world consists of and what it costs, as plain data that prints itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from horizon_ecs.columns import PAGE, resident_bytes
from horizon_ecs.notebook import html_table

if TYPE_CHECKING:
    from horizon_ecs.declare import System
    from horizon_ecs.world import World


@dataclass
class Timing:
    """Running times of something that runs again and again, in milliseconds, and how often it failed.

    Of a system whose work threads share it is the processor time of all its parts, otherwise the time that passed.
    """

    runs: int = 0
    failures: int = 0
    last_ms: float = 0.0
    total_ms: float = 0.0
    max_ms: float = 0.0

    def note(self, ns: int) -> None:
        """One more run, of so many nanoseconds."""
        self.last_ms = ms = ns / 1e6
        self.runs += 1
        self.total_ms += ms
        if ms > self.max_ms:
            self.max_ms = ms

    @property
    def mean_ms(self) -> float:
        """The mean over all runs."""
        return self.total_ms / self.runs if self.runs else 0.0


@dataclass(frozen=True)
class WorldStats:
    """A snapshot of a world's counts, bytes and milliseconds."""

    tick: int
    entities: int
    capacity: int
    kinds: dict[str, int]
    component_bytes: dict[str, int]
    reserved_bytes: int
    systems: dict[str, Timing] = field(default_factory=dict)
    tick_timing: Timing = field(default_factory=Timing)
    disabled: tuple[str, ...] = ()
    dropped_ticks: int = 0

    def __str__(self) -> str:
        lines = [f"World: {self.entities:,} of {self.capacity:,} entities, tick {self.tick}"]
        lines += [f"  kind       {name:<24}{n:>12,} entities" for name, n in self.kinds.items()]
        lines += [f"  component  {name:<24}{size:>12,} bytes in use" for name, size in self.component_bytes.items()]
        lines += [
            f"  system     {name:<24}{timing.mean_ms:>12.3f} ms ({self._remarks(name, timing)})"
            for name, timing in self.systems.items()
        ]
        lines.append(f"  tick       {'':<24}{self.tick_timing.mean_ms:>12.3f} ms (max {self.tick_timing.max_ms:.3f})")
        if self.dropped_ticks:
            lines.append(f"  dropped    {'':<24}{self.dropped_ticks:>12,} ticks")
        lines.append(f"  reserved   {'':<24}{self.reserved_bytes:>12,} bytes of address space")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [("kind", name, f"{n:,} entities") for name, n in self.kinds.items()]
        rows += [("component", name, f"{size:,} bytes in use") for name, size in self.component_bytes.items()]
        rows += [("system", name, f"{t.mean_ms:.3f} ms, max {t.max_ms:.3f}") for name, t in self.systems.items()]
        title = f"World: {self.entities:,} of {self.capacity:,} entities, tick {self.tick}"
        return html_table(title, ("", "name", ""), rows)

    def _remarks(self, name: str, timing: Timing) -> str:
        failed = f", {timing.failures:,} failed" if timing.failures else ""
        disabled = ", disabled" if name in self.disabled else ""
        return f"max {timing.max_ms:.3f}, {timing.runs:,} runs{failed}{disabled}"


def gather(world: World) -> WorldStats:
    """The statistics of a world as it stands."""
    used = world.n_pages_used * PAGE
    named = by_name(world.schedule.timings())
    columns = {c: world.arrays_of(c).values() for c in world.components}
    return WorldStats(
        tick=world.tick_count,
        entities=len(world),
        capacity=world.capacity,
        kinds={kind.name: world.count(kind) for kind in world.kinds},
        component_bytes={c.__name__: sum(resident_bytes(a, used) for a in arrays) for c, arrays in columns.items()},
        reserved_bytes=sum(a.nbytes for arrays in columns.values() for a in arrays) + world.n_slots * 16,
        systems={name: timing for name, (_, timing) in named.items()},
        tick_timing=world.schedule.timing,
        disabled=tuple(name for name, (system, _) in named.items() if not world.schedule.is_enabled(system)),
        dropped_ticks=world.dropped_ticks,
    )


def by_name(timings: Iterable[tuple[System[..., Any], Timing]]) -> dict[str, tuple[System[..., Any], Timing]]:
    """By the systems' names; of two with one name the second is numbered."""
    found: dict[str, tuple[System[..., Any], Timing]] = {}
    for system, timing in timings:
        n = 2
        name = system.name
        while name in found:
            name = f"{system.name} {n}"
            n += 1
        found[name] = system, timing
    return found
