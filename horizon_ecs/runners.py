"""Runners: a declared system bound to the columns and resources of one world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.commands import CommandBuffer
from horizon_ecs.components import fields_of
from horizon_ecs.declare import System
from horizon_ecs.fresh import Fresh
from horizon_ecs.program import Program, compile_columns, compile_entity
from horizon_ecs.query import Query

if TYPE_CHECKING:
    from horizon_ecs.world import World

BATCH = 32 * PAGE
"""Rows of a jitted columns system's batch at most: a number that no number of threads changes."""


class Runner:
    """What runs a system: `begin`, every part, `end`; the first and the last on the schedule's thread.

    Attributes
    ----------
    parallel : bool
        Whether parts may run side by side, with each other and with other systems: a kernel that holds no interpreter
        lock. One that isn't has a single part.
    commands : CommandBuffer
        What it asked for, to be applied at the end of the phase.
    """

    parallel = False

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        self.world, self.system, self.commands = world, system, commands

    def begin(self) -> None:
        """Take the resources as they stand, find the rows, and forget what a run that failed left."""
        self.commands.clear()

    def part(self, part: int, n_parts: int) -> None:
        """Run over one of `n_parts` even shares of the pages; from any thread."""
        raise NotImplementedError

    def end(self) -> None:
        """Finish what the parts began."""

    def run(self) -> None:
        """All of it on this thread."""
        self.begin()
        self.part(0, 1)
        self.end()


def make_runner(world: World, system: System[..., Any], commands: CommandBuffer) -> Runner:
    """What runs a system. Raises DefinitionError where its body can't be compiled."""
    if system.form == "entity":
        return _Entities(world, system, commands)
    if not system.components and not any(p.use == "entity" for p in system.parameters):
        return _Once(world, system, commands)
    return (_JittedColumns if system.jit else _Columns)(world, system, commands)


def _program(system: System[..., Any]) -> Program:
    """The system's program; compiled for the first world that it is added to."""
    if system.program is None:
        system.program = compile_entity(system) if system.form == "entity" else compile_columns(system)
    found: Program = system.program
    return found


def _query(world: World, system: System[..., Any]) -> Query:
    components = tuple(dict.fromkeys([*system.components, *system.with_]))
    if system.changed or system.added:
        return Fresh(world, components, system.without, (), system.any_of, system.changed, system.added)
    return world.query(*components, without=system.without, any_of=system.any_of)


class _Jitted(Runner):
    """What both jitted forms have: a program, a query, and numbers from resources."""

    parallel = True

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        super().__init__(world, system, commands)
        self._program, self._query = _program(system), _query(world, system)
        self._kernel: Callable[..., Any] = self._program.kernel
        self._columns = [world.column(component, field) for component, field in self._program.columns]
        self._numbers = [(kind, field, dtype.type) for kind, field, dtype in self._program.resources]
        self._scalars: list[Any] = [None] * len(self._numbers)
        self._given: list[Any] = [object()] * len(self._numbers)
        self._writes = system.writes

    def _take_scalars(self) -> None:
        """The resources' fields as they stand, in the dtypes that the kernel takes."""
        resource, given = self.world.resource, self._given
        for i, (kind, field, cast) in enumerate(self._numbers):
            value = getattr(resource(kind), field)
            if value is not given[i]:  # the cast is a tenth of a dispatch, and most numbers stay
                self._scalars[i] = cast(value)
                given[i] = value if isinstance(value, int | float | np.generic) else object()  # no array: it changes


class _Entities(_Jitted):
    """A per-entity system: one kernel over runs of pages."""

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        super().__init__(world, system, commands)
        program, query = self._program, self._query
        self._takes_commands = program.n_commands > 0
        if self._takes_commands:
            for component in program.command_components:
                world.bit(component)
            commands.make_room(program.n_commands, program.command_components or (None,))
        self._rows = (query.signature, np.uint64(query.need), np.uint64(query.lack))
        generation = [world.generation] if program.takes_handles else []
        self._tail = (*generation, *self._columns)

    def begin(self) -> None:
        if self._takes_commands:
            self.commands.clear()
        self._take_scalars()
        self._query.take()
        self.world.changes.stamp_pages(self._writes, self._query)
        self._segments = self._query.segments

    def part(self, part: int, n_parts: int) -> None:
        segments = self._segments if n_parts == 1 else self._query.segments_in(n_parts)[part]
        buffers = self.commands.part(part) if self._takes_commands else ()
        self._kernel(*segments, *self._rows, *self._scalars, *buffers, *self._tail)


class _JittedColumns(_Jitted):
    """A jitted columns system: one call a batch, each batch a slice of neighbouring rows or gathered ones."""

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        super().__init__(world, system, commands)
        self._written = [component in system.writes for component, _ in self._program.columns]

    def begin(self) -> None:
        self._take_scalars()
        self._query.take()
        self.world.changes.stamp_pages(self._writes, self._query)
        self._batches: list[slice | NDArray[np.intp]] = [
            slice(first, min(first + BATCH, run.stop))
            for run in self._query.runs()
            for first in range(run.start, run.stop, BATCH)
        ]
        rest = self._query.rest()
        self._batches += [rest[first : first + BATCH] for first in range(0, len(rest), BATCH)]

    def part(self, part: int, n_parts: int) -> None:
        n = len(self._batches)
        for rows in self._batches[n * part // n_parts : n * (part + 1) // n_parts]:
            arrays = [column[rows] for column in self._columns]
            self._kernel(*self._scalars, *arrays)
            if not isinstance(rows, slice):
                for column, values, write in zip(self._columns, arrays, self._written, strict=True):
                    if write:
                        column[rows] = values


def _argument(world: World, use: str, kind: Any, commands: CommandBuffer) -> Any:
    """What stands for a parameter that is the same for every batch."""
    if use == "resource":
        return world.resource(kind)
    return world if use == "world" else commands.plain


class _Columns(Runner):
    """A plain columns system: one call a batch."""

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        super().__init__(world, system, commands)
        self._query = _query(world, system)
        self._wanted = [c for c in self._query.components if fields_of(c)]
        self._takes_handles = any(p.use == "entity" for p in system.parameters)

    def _arguments(self, batch: Sequence[Any], handles: NDArray[np.uint64] | None) -> list[Any]:
        by_component = dict(zip(self._wanted, batch, strict=True))
        return [
            by_component[p.type]
            if p.use in ("read", "write")
            else handles
            if p.use == "entity"
            else _argument(self.world, p.use, p.type, self.commands)
            for p in self.system.parameters
        ]

    def begin(self) -> None:
        super().begin()
        self._query.take()

    def part(self, part: int, n_parts: int) -> None:
        query, function = self._query, self.system.function
        rows: list[Any] = [*query.runs(), query.rest()] if self._takes_handles else []
        for number, batch in enumerate(query.batches(self.system.writes)):
            handles = self.world.handles_of(_as_slots(rows[number])) if self._takes_handles else None
            function(*self._arguments(batch, handles))


def _as_slots(rows: slice | NDArray[np.intp]) -> NDArray[np.uint32]:
    return np.arange(rows.start, rows.stop, dtype=np.uint32) if isinstance(rows, slice) else rows.astype(np.uint32)


class _Once(Runner):
    """A columns system without components: one call a tick."""

    def part(self, part: int, n_parts: int) -> None:
        self.system.function(*(_argument(self.world, p.use, p.type, self.commands) for p in self.system.parameters))
