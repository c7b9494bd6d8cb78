"""Declared systems: a plain function whose annotations say what it reads and writes.

`@system` keeps the function callable as it is; adding it to a world binds it to that world's columns (see `schedule`).
Per-entity systems become one jitted loop (see `rewrite`), columns systems get batches of arrays.
"""

from __future__ import annotations

import enum
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, overload

from horizon_ecs import arguments
from horizon_ecs.components import Component, component_type, fields_of, is_object, nearest
from horizon_ecs.errors import DefinitionError
from horizon_ecs.groups import Group, groups_of, references, within
from horizon_ecs.parameters import read_parameters
from horizon_ecs.random import Random
from horizon_ecs.when import Condition, OnError, Seconds, declared_when

P = ParamSpec("P")
R = TypeVar("R")


class System(Generic[P, R]):
    """A declared system; calling it calls the plain function.

    Attributes
    ----------
    name : str
    function : the plain function
    phase, every, form, jit
    groups : tuple of Group
    when : When
        When it runs: phase, conditions, states, and what becomes of the world when it fails.
    before, after : tuple of System and names
    with_, without, any_of, changed, added : tuple of component classes
    parameters : tuple of Parameter
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        phase: str | None,
        group: Any,
        before: Any,
        after: Any,
        with_: Iterable[Component],
        without: Iterable[Component],
        any_of: Iterable[Component],
        changed: Iterable[Component],
        added: Iterable[Component],
        every: int | Seconds,
        offset: int,
        run_if: Any,
        in_state: Any,
        on_enter: Any,
        on_exit: Any,
        on_error: OnError | None,
        form: str,
        jit: bool,
        localns: dict[str, Any],
    ) -> None:
        self.name = function.__name__
        self.function = function
        self.where = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}: system {self.name!r}"
        if form not in ("entity", "columns"):
            raise DefinitionError(f"{self.where}: form must be 'entity' or 'columns', not {form!r}")
        self.form, self.jit = form, jit
        self.groups = groups_of(self.where, group)
        self.when = within(declared_when(
            self.where, phase=phase, every=every, offset=offset, run_if=run_if, in_state=in_state, on_enter=on_enter,
            on_exit=on_exit, on_error=on_error
        ), self.groups)  # fmt: skip
        self.phase, self.every = self.when.phase, self.when.every
        self.before = references(self.where, before) + tuple(other for g in self.groups for other in g.before)
        self.after = references(self.where, after) + tuple(other for g in self.groups for other in g.after)
        for option, others in (("before", self.before), ("after", self.after)):
            if self.name in others:
                raise DefinitionError(f"{self.where}: it is listed in its own {option}=; it can't be {option} itself")
        self.with_, self.without = self._listed("with_", with_), self._listed("without", without)
        self.any_of = self._listed("any_of", any_of)
        self.changed, self.added = self._listed("changed", changed), self._listed("added", added)
        self.parameters = read_parameters(function, localns, self.where)
        self._draws = any(p.use == "random" for p in self.parameters)
        self.program: Any = None
        self._check_form()
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__wrapped__ = function

    @property
    def names(self) -> tuple[str, ...]:
        """What it goes by: its own name and those of its groups."""
        return (self.name, *(g.name for g in self.groups))

    def _listed(self, name: str, components: Iterable[Component]) -> tuple[Component, ...]:
        """A parameter that lists components, checked."""
        given = arguments.sequence(
            f"{self.where}: {name}", components, "components, such as [Position]", DefinitionError
        )
        return tuple(component_type(c) for c in given)

    def _check_form(self) -> None:
        uses = {p.use for p in self.parameters}
        own = [*self.components, *self.optional]
        twice = [c.__name__ for c in own if own.count(c) > 1]
        if twice:
            raise DefinitionError(
                f"{self.where}: two parameters are {twice[0]}; one system works on one entity at a time"
            )
        valueless = [c.__name__ for c in self.changed if not fields_of(c) and not is_object(c)]
        if valueless:
            raise DefinitionError(f"{self.where}: changed lists {valueless[0]}, which has no values; list it in added")
        narrowed = [*self.any_of, *self.changed, *self.added]
        if narrowed and not self.components and "entity" not in uses:
            raise DefinitionError(f"{self.where}: any_of, changed and added choose entities, and it goes over none")
        for parameter in self.parameters:
            if parameter.use == "lookup" and parameter.type in self.writes:
                raise DefinitionError(
                    f"{self.where}: {parameter.name!r} looks up {parameter.type.__name__}, which the system writes; "
                    "then it would matter which entity comes first. Write what others are to see into another "
                    "component, or split the system in two"
                )
        if self.form == "entity" and uses & {"world", "events"}:
            what = "the World" if "world" in uses else "a tick's events"
            raise DefinitionError(f"{self.where}: a per-entity system can't take {what}; use form='columns'")
        if self.form == "columns" and self.jit and (uses - {"read", "write", "resource"} or self.optional):
            raise DefinitionError(
                f"{self.where}: a jitted columns system takes components that are not optional, and resources only"
            )
        if self.form == "entity" and not self.components and "entity" not in uses:
            raise DefinitionError(f"{self.where}: a per-entity system reads or writes at least one component")

    @property
    def is_plain(self) -> bool:
        """Whether it is plain Python: what it does isn't known, and nothing may run beside it."""
        return self.form == "columns" and not self.jit

    @property
    def components(self) -> tuple[Component, ...]:
        """The components that its parameters name and that an entity must have."""
        return tuple(p.type for p in self.parameters if p.use in ("read", "write") and not p.optional)

    @property
    def optional(self) -> tuple[Component, ...]:
        """The components that its parameters name and that an entity may lack."""
        return tuple(p.type for p in self.parameters if p.optional)

    @property
    def reads(self) -> tuple[Component, ...]:
        """Every component that it declares to read or write, of any entity."""
        return tuple(p.type for p in self.parameters if p.use in ("read", "write", "lookup"))

    @property
    def asks(self) -> bool:
        """Whether it can ask for something that is done at the end of the phase: commands or events."""
        return any(p.use in ("commands", "emit") for p in self.parameters)

    @property
    def writes(self) -> tuple[Component, ...]:
        """Those that it declares to write."""
        return tuple(p.type for p in self.parameters if p.use == "write")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self._draws:
            return self.function(*args, **kwargs)
        # What is drawn depends on the system's name, which the caller shouldn't have to say.
        given: Any = (self._named(a) for a in args)
        named: Any = {name: self._named(a) for name, a in kwargs.items()}
        return self.function(*given, **named)

    def _named(self, argument: Any) -> Any:
        return argument.of_system(self.name) if isinstance(argument, Random) else argument

    def __repr__(self) -> str:
        return f"System({self.name!r}, phase={self.phase!r})"


@overload
def system(function: Callable[P, R]) -> System[P, R]: ...
@overload
def system(
    *,
    phase: str | None = None,
    group: Group | str | Iterable[Group | str] = (),
    before: System[..., Any] | Group | str | Iterable[Any] = (),
    after: System[..., Any] | Group | str | Iterable[Any] = (),
    with_: Iterable[Component] = (),
    without: Iterable[Component] = (),
    any_of: Iterable[Component] = (),
    changed: Iterable[Component] = (),
    added: Iterable[Component] = (),
    every: int | Seconds = 1,
    offset: int = 0,
    run_if: Condition | Sequence[Condition] = (),
    in_state: enum.Enum | Sequence[enum.Enum] = (),
    on_enter: enum.Enum | Sequence[enum.Enum] = (),
    on_exit: enum.Enum | Sequence[enum.Enum] = (),
    on_error: OnError | None = None,
    form: str = "entity",
    jit: bool = False,
) -> Callable[[Callable[P, R]], System[P, R]]: ...
def system(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Declare a system.

    Parameters
    ----------
    phase : str
        One of the world's, by default "simulate"; they run in the order of `World(phases=...)`, which by default is
        "input", "simulate", "react". Structural changes take effect at the end of each. "startup", which every world
        has, comes before all else in a world's first tick, and never again: not in a world that was loaded or copied
        later on, and not for systems that are added later.
    group : name or Group, or a sequence of them
        What the system also goes by, together with others; a Group has options that hold for all of them.
    before, after : sequence of systems, groups, or their names
        Order within the phase; otherwise the result is as if systems ran in the order in which they were added. A name
        stands for every system that has it, and for every system of the group that has it.
    with_, without : sequence of components
        Only entities that have, or lack, these.
    any_of : sequence of components
        Only entities that have at least one of these.
    changed, added : sequence of components
        Only entities of which a value of any of `changed` has changed, or that have gained any of `added`, since the
        system last ran; before its first run all that have one count as added, and none as changed. By what was noticed
        at the end of the last phase (see `World.track`), so the system's own writes count for its next run.
    every : int, or seconds(...)
        Only in ticks that it divides; `hz.seconds(0.5)` stands for the number of ticks that comes nearest, at least 1.
    offset : int
        So many ticks later than others with the same `every`, to spread their load; less than it.
    run_if : function of the world, or a sequence of them
        Only where all of them say so. They are asked just before the system would run, at most once a tick.
    in_state : member of an enumeration, or a sequence of them
        Only while it is the world's state: of each enumeration that is named, one of its members.
    on_enter, on_exit : member of an enumeration, or a sequence of them
        Once when the state begins or ends, before the phases of the tick that begins with the change. Of one tick first
        all systems on_exit run, then the states change, then all systems on_enter run.
    on_error : "stop", "skip" or int
        What becomes of the world where it fails; by default what `World(on_error=...)` says, and there it is explained.
    form : "entity" or "columns"
        "entity": the body is written for one entity, `pos.x += vel.x * time.dt`, and becomes one jitted loop over all
        of them. "columns": the function gets, for each batch of matching entities, an object with an array a field;
        NumPy works on them in place.
    jit : bool
        Compile a columns system with Numba.

    The parameters' annotations say what it works on:

    `Read[C]`, `Write[C]`
        The fields of a component: numbers, or in columns systems arrays. `t.pos.x` and `t.pos[0]` are a vector's.
    `Read[C] | None`, `Write[C] | None`
        Entities without it are worked on too: `if shield is not None:`. In a columns system it is None where no row of
        the batch has it, and otherwise has `present`, a mask. What it has not reads as its default in a per-entity
        system, and means nothing in a columns system; what is written to it is lost.
    `Res[R]`
        A resource of the world.
    `Entity`
        The handle; in columns systems uint64[n].
    `Commands`
        Spawn, despawn, add and remove, at the end of the phase.
    `Random`
        Random numbers that depend on the entity, the tick, the world's seed and the system's name only.
    `Lookup[C]`
        Other entities' components by handle: `others[target].x`, `target in others`.
    `Emit[E]`, and in columns systems `Events[E]`
        Events to come, and this tick's.
    `World`
        In columns systems; what they do to it happens at once.

    A columns system gets its rows in batches, whose sizes mean nothing; one without components runs once a tick. A
    jitted columns system takes components and resources only.

    A jitted body sees the numbers and helper functions around it, also those that it names through a module, as they
    are when it is first added to a world. Whole numbers are 64 bits wide with a sign, whatever their column's width and
    sign, so that `-s.k` and `s.k - s.m` are what they are in Python. It computes without checks: a field wraps where a
    number doesn't fit, a float divided by zero is infinite, an integer divided by zero is 0, and an index into an array
    from around it isn't checked (NUMBA_BOUNDSCHECK=1 does); docs/guide/05-systems.md has a table of all that is
    different. Members of enums with whole numbers are these numbers; handles are whole numbers, 0 for none. A body that
    takes memory, for a list or an array, is slower than one that doesn't.

    Raises
    ------
    DefinitionError
        With file, line and name.
    """
    frame = sys._getframe(1)
    localns = dict(frame.f_locals)
    defaults: dict[str, Any] = {
        "phase": None, "group": (), "before": (), "after": (), "with_": (), "without": (), "any_of": (),
        "changed": (), "added": (), "every": 1, "offset": 0, "run_if": (), "in_state": (),
        "on_enter": (), "on_exit": (), "on_error": None, "form": "entity", "jit": False,
    }  # fmt: skip

    for name in options:
        if name not in defaults:
            raise DefinitionError(f"@system has no option {name!r}{nearest(name, defaults)}")

    def decorate(function: Callable[..., Any]) -> System[..., Any]:
        if not inspect.isfunction(function):
            raise DefinitionError(f"@system decorates a function, not {function!r}")
        return System(function, localns=localns, **{**defaults, **options})

    return decorate if function is None else decorate(function)
