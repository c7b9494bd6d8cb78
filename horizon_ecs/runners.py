"""Runners: a declared system bound to the columns and resources of one world."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import turns
from horizon_ecs.batches import Batch, OptionalBatch
from horizon_ecs.columns import PAGE
from horizon_ecs.commands import CommandBuffer
from horizon_ecs.components import fields_of
from horizon_ecs.declare import System
from horizon_ecs.events import Emit
from horizon_ecs.fields import flatten
from horizon_ecs.fresh import Fresh
from horizon_ecs.kernel import unchecked
from horizon_ecs.lookup import WorldLookup
from horizon_ecs.parameters import Parameter
from horizon_ecs.program import Program, compile_columns, compile_entity
from horizon_ecs.query import Query
from horizon_ecs.random import Random, key_of
from horizon_ecs.sites import SPAWN

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

    def failed_entity(self) -> int | None:
        """The handle of the entity at which the last run failed, the first one where several did; None for none."""
        return None

    def run(self) -> None:
        """All of it on this thread."""
        self.begin()
        self.part(0, 1)
        self.end()


def number_of(resource: Any, field: str) -> Any:
    """The number that a resource has for a field: a vector's "position.x" too, and an enum's value."""
    if "." not in field:
        value = getattr(resource, field)
        return value.value if isinstance(value, enum.Enum) else value
    return flatten(resource, fields_of(type(resource)))[field]


def make_runner(world: World, system: System[..., Any], commands: CommandBuffer) -> Runner:
    """What runs a system. Raises DefinitionError where its body can't be compiled."""
    if system.form == "entity":
        return _Entities(world, system, commands)
    if not system.components and not system.optional and not any(p.use == "entity" for p in system.parameters):
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
        return Fresh(world, system, components)
    return world.query(*components, without=system.without, optional=system.optional, any_of=system.any_of)


class _Jitted(Runner):
    """What both jitted forms have: a program, a query, and numbers that a run gathers."""

    parallel = True

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        super().__init__(world, system, commands)
        self._program, self._query = _program(system), _query(world, system)
        self._kernel: Callable[..., Any] = self._program.kernel
        self._unchecked = unchecked(self._program.kernel)
        self._fixed = tuple(self._given(*argument.what) for argument in self._program.fixed)
        self._numbers = [argument.what for argument in self._program.scalars]
        self._scalars: list[Any] = [None] * len(self._numbers)
        self._taken: list[Any] = [object()] * len(self._numbers)
        self._writes = system.writes

    def _given(self, what: str, *of: Any) -> Any:
        """What a kernel gets for an argument that stays the same."""
        world, query = self.world, self._query
        if what == "column":
            world._admit(of[0])
            return world.column(*of)
        if what == "bit":
            return np.uint64(world._admit(of[0]))
        if what == "key":
            return key_of(world.seed, self.system.name)
        simple = {
            "rows": query.signature,
            "signature": world.signature,
            "need": np.uint64(query.need),
            "lack": np.uint64(query.lack),
        }
        return world.generation if what == "generation" else simple[what]

    def _take_scalars(self) -> None:
        """The tick, and the resources' fields as they stand, in the dtypes that the kernel takes."""
        world, taken = self.world, self._taken
        for i, (what, *of) in enumerate(self._numbers):
            if what == "tick":
                self._scalars[i] = world.tick_count
                continue
            kind, field, dtype = of
            value = number_of(world.resource(kind), field)
            if value is not taken[i]:  # the cast is a tenth of a dispatch, and most numbers stay
                self._scalars[i] = dtype.type(value)
                taken[i] = value if isinstance(value, int | float | np.generic) else object()  # no array: it changes


class _Entities(_Jitted):
    """A per-entity system: one kernel over runs of pages."""

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        super().__init__(world, system, commands)
        self._sites = self._program.sites
        if self._sites:
            for kind in (site.target for site in self._sites if site.operation == SPAWN):
                world.register(kind)
            commands.make_room(self._sites)
        self._failed: dict[int, NDArray[np.int64]] = {}
        self._failed_row: int | None = None

    def begin(self) -> None:
        if self._sites:
            self.commands.clear()
        self._failed_row = None
        if self._numbers:
            self._take_scalars()
        self._query.take()
        self.world.changes.stamp_pages(self._writes, self._query)
        self._segments = self._query.segments

    def part(self, part: int, n_parts: int) -> None:
        segments = self._segments if n_parts == 1 else self._query.segments_in(n_parts)[part]
        buffers = self.commands.part(part) if self._sites else ()
        if not self._program.may_raise:
            self._kernel(*segments, *self._fixed, *self._scalars, *buffers)
            self._kernel = self._unchecked  # the arguments were right, and are made alike each time
            return
        failed = self._failed.setdefault(part, np.zeros(1, np.int64))
        try:
            self._kernel(*segments, *self._fixed, *self._scalars, *buffers, failed)
        except BaseException:
            row = int(failed[0])
            self._failed_row = row if self._failed_row is None else min(row, self._failed_row)
            raise

    def failed_entity(self) -> int | None:
        if self._failed_row is None:
            return None
        return int(self.world.handles_of(np.array([self._failed_row], np.uint32))[0])


class _JittedColumns(_Jitted):
    """A jitted columns system: one call a batch, each batch a slice of neighbouring rows or gathered ones."""

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        super().__init__(world, system, commands)
        self._columns = self._fixed
        self._written = [argument.what[1] in system.writes for argument in self._program.fixed]

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


class _Plain(Runner):
    """A plain columns system: a function that is called."""

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        super().__init__(world, system, commands)
        for parameter in system.parameters:
            if parameter.use == "emit":
                commands.emits[parameter.type] = Emit()

    def _argument(self, parameter: Parameter) -> Any:
        """What stands for a parameter that is the same for every batch."""
        use, kind = parameter.use, parameter.type
        if use == "resource":
            return self.world.resource(kind)
        if use == "emit":
            return self.commands.emits[kind]
        if use == "events":
            return self.world.events(kind)
        if use == "lookup":
            return WorldLookup(self.world, kind)
        if use == "random":
            return Random(self.world.seed, 0, self.world.tick_count, self.system.name)
        return self.world if use == "world" else self.commands.plain


class _Once(_Plain):
    """A columns system without components: one call a tick."""

    def part(self, part: int, n_parts: int) -> None:
        self.system.function(*(self._argument(p) for p in self.system.parameters))


class _Columns(_Plain):
    """A columns system with components: one call a batch."""

    def __init__(self, world: World, system: System[..., Any], commands: CommandBuffer) -> None:
        super().__init__(world, system, commands)
        self._query = _query(world, system)
        self._takes_rows = any(p.use in ("entity", "random") for p in system.parameters)
        self._takes_world = any(p.use == "world" for p in system.parameters)

    def _of_batch(self, parameter: Parameter, batch: dict[type, Batch], handles: NDArray[np.uint64] | None) -> Any:
        use, kind = parameter.use, parameter.type
        if use in ("read", "write"):
            found = batch[kind]
            return None if isinstance(found, OptionalBatch) and not found.present.any() else found
        if use == "entity":
            return handles
        if use == "random" and handles is not None:
            return Random(self.world.seed, handles, self.world.tick_count, self.system.name)
        return self._argument(parameter)

    def begin(self) -> None:
        super().begin()
        self._query.take()

    def part(self, part: int, n_parts: int) -> None:
        query, parameters, function = self._query, self.system.parameters, self.system.function
        components = [c for c in query.components + query.optional if fields_of(c)]
        for rows, batch in turns.with_rows(query, self.system.writes, guarded=self._takes_world):
            handles = self.world.handles_of(_as_slots(rows)) if self._takes_rows else None
            by_component = dict(zip(components, batch, strict=True))
            function(*(self._of_batch(p, by_component, handles) for p in parameters))


def _as_slots(rows: slice | NDArray[np.intp]) -> NDArray[np.uint32]:
    return np.arange(rows.start, rows.stop, dtype=np.uint32) if isinstance(rows, slice) else rows.astype(np.uint32)
