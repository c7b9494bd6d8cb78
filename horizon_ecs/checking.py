"""Checking a system: what it promises to a schedule, tried out on sample entities."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import kernel
from horizon_ecs.bound import Bound
from horizon_ecs.commands import CommandBuffer
from horizon_ecs.components import Component, fields_of
from horizon_ecs.declare import System
from horizon_ecs.errors import ArgumentError, CheckFailure
from horizon_ecs.events import Emit
from horizon_ecs.fields import flatten
from horizon_ecs.lookup import Lookup
from horizon_ecs.random import Random
from horizon_ecs.samples import sample_world
from horizon_ecs.world import World

MAX_SHOWN = 3
SAMPLE = 1_500  # more than a page, so that a whole one and a part of one are gone over


@dataclass(frozen=True)
class SystemCheck:
    """What was checked of a system that keeps its promises.

    Attributes
    ----------
    system : str
    n_entities : int
        How many it went over.
    checks : tuple of str
        What was tried.
    notes : tuple of str
        What is no error, but may be meant otherwise.
    """

    system: str
    n_entities: int
    checks: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"system {self.system!r} keeps its promises, on {self.n_entities:,} entities"]
        lines += [f"  {check}" for check in self.checks]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


@dataclass(frozen=True)
class _Subject:
    """What is checked, and how to get at a fresh world for it."""

    system: System[..., Any]
    make: Callable[[bool], World]
    rtol: float
    atol: float


def check_system(
    system: System[..., Any],
    *,
    world: World | None = None,
    n_entities: int = SAMPLE,
    seed: int = 0,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> SystemCheck:
    """Check that a system does what a schedule relies on: for the tests of a project.

    - Compiled and as plain Python it does the same, down to the commands and events that it asks for.
    - It is compiled for one signature, and takes no memory while it runs.
    - It writes nothing that it doesn't declare; what it declares and doesn't write is noted, and what one that takes
      the World writes by it.
    - It does the same on one thread and split over several, and, over columns, however its rows are batched.

    Parameters
    ----------
    system : System
    world : World, optional
        Whose entities and resources it is tried on; the world itself stays as it is. By default a world of entities
        with random values, within their fields' ranges.
    n_entities, seed : int
        Of the sample world.
    rtol, atol : float
        How far floats of the compiled system may be from those of plain Python, which computes in 64 bits.

    Returns
    -------
    SystemCheck : prints itself.

    Raises
    ------
    CheckFailure
        Also an AssertionError; the message lists everything that was found.
    DefinitionError, CompileError
        It can't run at all.
    """
    if not isinstance(system, System):
        raise ArgumentError(f"check_system() takes a function decorated with @system, not {system!r}")
    if not isinstance(n_entities, int) or n_entities < 1:
        raise ArgumentError(f"n_entities must be a whole number from 1, not {n_entities!r}")
    scratch = World(capacity=1, n_threads=1) if world is None else world.clone()
    for kind in system.when.states:
        if scratch.schedule.states.missing(kind):
            scratch.add_state(next(iter(kind)))
    Bound(scratch, system, "stop")  # compiled for the first time: what can't be is said before anything else

    def make(holes: bool) -> World:
        made = world.clone() if world is not None else sample_world(system, n_entities, seed, holes=holes)[0]
        for one in [s for s, _ in made.schedule.timings()]:
            made.remove_system(one)
        made.tick()  # of nothing: time passes, events come in
        return made

    subject = _Subject(system, make, rtol, atol)
    tried = [_one_signature, _no_allocation, _declared_writes, _any_threads]
    tried += [_as_plain] if system.form == "entity" or system.jit else []
    tried += [_any_batches] if system.form == "columns" and system.components and world is None else []
    results = [list(check(subject)) for check in tried]
    problems = [text for found in results for is_note, text in found if not is_note]
    if problems:
        raise CheckFailure(system.name, problems)
    checks = tuple((check.__doc__ or "").strip().rstrip(".") for check in tried)
    notes = tuple(text for found in results for is_note, text in found if is_note)
    return SystemCheck(system.name, _count(make(False), system), checks, notes)


Finding = tuple[bool, str]
"""Whether it is only a note, and what was found."""


def _count(world: World, system: System[..., Any]) -> int:
    return len(_query(world, system)) if system.components or system.optional else len(world)


def _query(world: World, system: System[..., Any]) -> Any:
    components = dict.fromkeys([*system.components, *system.with_])
    return world.query(*components, without=system.without, optional=system.optional, any_of=system.any_of)


# -- the checks ----------------------------------------------------------------------------------------------------


def _one_signature(subject: _Subject) -> Iterator[Finding]:
    """Compiled for one signature."""
    program = subject.system.program
    if program is not None and kernel.jit_enabled() and len(program.kernel.signatures) != 1:
        yield False, f"it was compiled for {len(program.kernel.signatures)} signatures instead of one"


def _no_allocation(subject: _Subject) -> Iterator[Finding]:
    """Takes no memory while it runs."""
    program = subject.system.program
    if program is not None and program.allocates:
        yield False, "it takes memory while it runs: make no arrays, lists or other objects in its body or helpers"


def _declared_writes(subject: _Subject) -> Iterator[Finding]:
    """Writes what it declares, and nothing else."""
    world, system = subject.make(False), subject.system
    before = _columns(world)
    alive = world.query().handles
    bound = Bound(world, system, "stop")
    bound.runner.run()
    slots = world.slots_of(alive[world.alive(alive)])
    touched: set[Component] = set()
    for (component, name), column in before.items():
        if not _same(world.column(component, name)[slots], column[slots]):
            touched.add(component)
            if component not in system.writes:
                what = f"it writes {component.__name__}.{name}, which it doesn't declare Write"
                yield any(p.use == "world" for p in system.parameters), what  # whoever takes the World may
    for component in [c for c in system.writes if c not in touched and _count(world, system)]:
        yield True, f"it declares Write[{component.__name__}], but changed nothing of it here"


def _any_threads(subject: _Subject) -> Iterator[Finding]:
    """Does the same on one thread and split over several."""
    whole, split = (_run(subject.make(False), subject.system, n_parts) for n_parts in (1, 3))
    if whole.digest(skip_resources=_unsaved(whole)) != split.digest(skip_resources=_unsaved(split)):
        yield (
            False,
            "split into parts it does something else than as a whole:\n"
            + str(whole.diff(split, skip_resources=_unsaved(whole))),
        )


def _unsaved(world: World) -> list[type]:
    """Resources that no file could hold, and that are therefore not compared."""
    return [kind for kind in world.resources if not hasattr(kind, "__hz_fields__")]


def _as_plain(subject: _Subject) -> Iterator[Finding]:
    """Does the same compiled and as plain Python."""
    compiled, plain = _run(subject.make(False), subject.system, 1), subject.make(False)
    run_plain = _plain_entities if subject.system.form == "entity" else _plain_columns
    try:
        yield from run_plain(plain, subject.system)
    except Exception as error:
        yield False, f"as plain Python it raises {type(error).__name__}: {error}"
        return
    yield from _differences(subject, ("compiled", compiled), ("plain Python", plain))


def _any_batches(subject: _Subject) -> Iterator[Finding]:
    """Does the same however its rows are batched."""
    if any(p.use in ("entity", "random", "lookup", "events", "world") for p in subject.system.parameters):
        return  # it may well go by who an entity is, and that is another one in another row
    one, other = (_run(subject.make(holes), subject.system, 1) for holes in (False, True))
    slots, others = (_query(world, subject.system).slots for world in (one, other))
    for component in subject.system.writes:
        for name, column in one.arrays_of(component).items():
            theirs = other.column(component, name)[others]
            if len(slots) != len(others) or not _close(subject, column[slots], theirs):
                yield (
                    False,
                    (
                        f"{component.__name__}.{name} depends on how rows are batched: a batch is some of the "
                        "entities, so nothing may be computed over all of it, such as a mean"
                    ),
                )


# -- running it ----------------------------------------------------------------------------------------------------


def _run(world: World, system: System[..., Any], n_parts: int) -> World:
    """The system run once, in parts, and its commands carried out."""
    bound = Bound(world, system, "stop")
    bound.runner.begin()
    for part in range(n_parts if bound.runner.parallel else 1):
        bound.runner.part(part, n_parts if bound.runner.parallel else 1)
    bound.runner.end()
    bound.commands.apply()
    world.settle()
    return world


def _plain_columns(world: World, system: System[..., Any]) -> Iterator[Finding]:
    """A jitted columns system called as the function that it is."""
    resources = {p.type: world.resource(p.type) for p in system.parameters if p.use == "resource"}
    for batch in _query(world, system).batches(system.writes):
        given = dict(zip(_with_fields(system), batch, strict=True)) | resources
        system.function(*(given[p.type] for p in system.parameters))
    yield from ()


def _with_fields(system: System[..., Any]) -> list[Component]:
    return [c for c in dict.fromkeys([*system.components, *system.with_]) if fields_of(c)]


def _plain_entities(world: World, system: System[..., Any]) -> Iterator[Finding]:
    """A per-entity system called once for each entity, with instances; what it reads must stay as it is."""
    buffer = CommandBuffer(world)
    shared: dict[str, Any] = {p.name: _lookup(world, p.type) for p in system.parameters if p.use == "lookup"}
    shared |= {p.name: world.resource(p.type) for p in system.parameters if p.use == "resource"}
    emitted: list[tuple[int, type, Emit[Any]]] = []
    for handle in _query(world, system).handles.tolist():
        given = dict(shared)
        for p in system.parameters:
            if p.use in ("read", "write"):
                given[p.name] = world.get(handle, p.type, None)
            elif p.use == "emit":
                given[p.name] = Emit()
                emitted.append((handle, p.type, given[p.name]))
            elif p.use == "random":
                given[p.name] = Random(world.seed, handle, world.tick_count)
            elif p.use in ("entity", "commands"):
                given[p.name] = handle if p.use == "entity" else buffer.plain
        before = copy.deepcopy({p.name: given[p.name] for p in system.parameters if p.use == "read"})
        system(*(given[p.name] for p in system.parameters))
        yield from (
            (False, f"it changes {name}, which it declares Read") for name in before if before[name] != given[name]
        )
        _store(world, system, handle, given)
    buffer.apply()
    for handle, event, emit in emitted:
        for _, records in emit.records():
            world._queue(event).push(handle, records, emitted=True)
    world.settle()


def _lookup(world: World, component: Component) -> Lookup[Any]:
    handles = world.query(component).handles.tolist()
    return Lookup({handle: world.get(handle, component) for handle in handles}, component)


def _store(world: World, system: System[..., Any], handle: int, given: dict[str, Any]) -> None:
    """Write instances back; numbers that don't fit wrap, as they do in the compiled loop."""
    slot = int(world.slots_of(handle)[0])
    for p in (p for p in system.parameters if p.use == "write" and given[p.name] is not None):
        numbers = flatten(given[p.name], fields_of(p.type))
        with np.errstate(all="ignore"):
            for name, column in world.arrays_of(p.type).items():
                column[slot] = np.asarray(numbers[name]).astype(column.dtype)


# -- comparing -----------------------------------------------------------------------------------------------------


def _columns(world: World) -> dict[tuple[Component, str], NDArray[Any]]:
    return {(c, name): column.copy() for c in world.components for name, column in world.arrays_of(c).items()}


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.tobytes() == b.tobytes()


def _close(subject: _Subject, a: NDArray[Any], b: NDArray[Any]) -> bool:
    return bool(_is_close(subject, a, b).all())


def _is_close(subject: _Subject, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    floats = a.dtype.kind in "fc"
    close: NDArray[np.bool_] = np.isclose(a, b, subject.rtol, subject.atol, equal_nan=True) if floats else a == b
    return close


def _differences(subject: _Subject, one: tuple[str, World], other: tuple[str, World]) -> Iterator[Finding]:
    """What two worlds that began alike don't have in common."""
    (name, world), (other_name, twin) = one, other
    if not _same(world.signature, twin.signature):
        rows = np.flatnonzero(world.signature != twin.signature)
        yield (
            False,
            (
                f"{name} and {other_name} ask for other commands: {len(rows)} rows live or have components in one "
                f"only, such as slot {rows[0]}"
            ),
        )
        return
    for component in world.components:
        has = np.flatnonzero(world.signature & np.uint64(world.bit(component)))
        for field in fields_of(component):
            a, b = (w.column(component, field.name)[has] for w in (world, twin))
            rows = np.flatnonzero(~_is_close(subject, a, b))
            shown: Sequence[int] = rows[:MAX_SHOWN].tolist()
            if shown:
                values = ", ".join(f"{a[row]} and {b[row]}" for row in shown)
                yield (
                    False,
                    (
                        f"{component.__name__}.{field.name} differs for {len(rows)} entities between {name} and "
                        f"{other_name}: {values}"
                    ),
                )
    yield from _different_events(subject, world, twin)


def _different_events(subject: _Subject, world: World, twin: World) -> Iterator[Finding]:
    for parameter in (p for p in subject.system.parameters if p.use == "emit"):
        a, b = (w._queue(parameter.type).waiting for w in (world, twin))
        same = len(a) == len(b) and _same(a.sender, b.sender)
        names = a.records.dtype.names or ()
        if not same or not all(_close(subject, a.records[n], b.records[n]) for n in names):
            yield False, f"compiled and plain Python emit other events of {parameter.type.__name__}"
