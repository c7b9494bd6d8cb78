"""Runners: a declared system bound to the columns and resources of one world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.commands import CommandBuffer
from horizon_ecs.components import fields_of
from horizon_ecs.declare import System
from horizon_ecs.program import Program, compile_columns, compile_entity
from horizon_ecs.query import Query

if TYPE_CHECKING:
    from horizon_ecs.world import World

Runner = Callable[[], None]


def make_runner(world: World, system: System[..., Any], commands: CommandBuffer) -> Runner:
    """What runs a system once. Raises DefinitionError where its body can't be compiled."""
    if system.form == "entity":
        return _entity(world, system, commands)
    if not system.components and not any(p.use == "entity" for p in system.parameters):
        return _once(world, system, commands)
    return _jitted_columns(world, system) if system.jit else _columns(world, system, commands)


def _program(system: System[..., Any]) -> Program:
    """The system's program; compiled for the first world that it is added to."""
    if system.program is None:
        system.program = compile_entity(system) if system.form == "entity" else compile_columns(system)
    found: Program = system.program
    return found


def _query(world: World, system: System[..., Any]) -> Query:
    return world.query(*dict.fromkeys([*system.components, *system.with_]), without=system.without)


def _scalars(world: World, program: Program) -> list[Any]:
    """The resources' fields as they stand, in the dtypes that the kernel takes."""
    return [dtype.type(getattr(world.resource(kind), field)) for kind, field, dtype in program.resources]


def _entity(world: World, system: System[..., Any], commands: CommandBuffer) -> Runner:
    program, query = _program(system), _query(world, system)
    need, lack = np.uint64(query.need), np.uint64(query.lack)
    buffers: list[NDArray[Any]] = []
    if program.n_commands:
        for component in program.command_components:
            world.bit(component)
        commands.make_room(program.n_commands, program.command_components or (None,))
        buffers = [commands.handle, commands.operation, commands.component, commands.n]
    generation = [world.generation] if program.takes_handles else []
    columns = [world.column(component, field) for component, field in program.columns]
    kernel = program.kernel

    def run() -> None:
        kernel(*query.segments, world.signature, need, lack, *_scalars(world, program), *buffers, *generation, *columns)

    return run


def _jitted_columns(world: World, system: System[..., Any]) -> Runner:
    program, query = _program(system), _query(world, system)
    columns = [world.column(component, field) for component, field in program.columns]
    written = [component in system.writes for component, _ in program.columns]
    kernel = program.kernel

    def run() -> None:
        scalars = _scalars(world, program)
        for rows in query.runs():
            kernel(*scalars, *(column[rows] for column in columns))
        rest = query.rest()
        if len(rest):
            gathered = [column[rest] for column in columns]
            kernel(*scalars, *gathered)
            for column, values, write in zip(columns, gathered, written, strict=True):
                if write:
                    column[rest] = values

    return run


def _argument(world: World, use: str, kind: Any, commands: CommandBuffer) -> Any:
    """What stands for a parameter that is the same for every batch."""
    if use == "resource":
        return world.resource(kind)
    return world if use == "world" else commands.plain


def _columns(world: World, system: System[..., Any], commands: CommandBuffer) -> Runner:
    query, parameters, function = _query(world, system), system.parameters, system.function
    wanted = [c for c in query.components if fields_of(c)]

    def arguments(batch: Sequence[Any], handles: NDArray[np.uint64] | None) -> list[Any]:
        by_component = dict(zip(wanted, batch, strict=True))
        return [
            by_component[p.type]
            if p.use in ("read", "write")
            else handles
            if p.use == "entity"
            else _argument(world, p.use, p.type, commands)
            for p in parameters
        ]

    takes_handles = any(p.use == "entity" for p in parameters)

    def run() -> None:
        rows: list[Any] = [*query.runs(), query.rest()] if takes_handles else []
        for number, batch in enumerate(query.batches(system.writes)):
            handles = world.handles_of(_as_slots(rows[number])) if takes_handles else None
            function(*arguments(batch, handles))

    return run


def _as_slots(rows: slice | NDArray[np.intp]) -> NDArray[np.uint32]:
    return np.arange(rows.start, rows.stop, dtype=np.uint32) if isinstance(rows, slice) else rows.astype(np.uint32)


def _once(world: World, system: System[..., Any], commands: CommandBuffer) -> Runner:
    parameters, function = system.parameters, system.function

    def run() -> None:
        function(*(_argument(world, p.use, p.type, commands) for p in parameters))

    return run
