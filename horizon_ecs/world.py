"""The World: entities, and the systems, resources and events that move them on, one fixed step at a time."""

from __future__ import annotations

import enum
import time
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from horizon_ecs import arguments
from horizon_ecs.components import Component, Time, role_of
from horizon_ecs.declare import System
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.events import EventBatch, EventQueue
from horizon_ecs.groups import Group
from horizon_ecs.handles import Handles
from horizon_ecs.kinds import Kind
from horizon_ecs.matching import listed
from horizon_ecs.query import Query
from horizon_ecs.random import check_seed
from horizon_ecs.related import RelatedEntities
from horizon_ecs.saving import Saving
from horizon_ecs.schedule import Schedule
from horizon_ecs.states import States
from horizon_ecs.stats import WorldStats, gather
from horizon_ecs.tracking import Tracking
from horizon_ecs.when import PHASES, OnError

S = TypeVar("S", bound=enum.Enum)
T = TypeVar("T")


class World(Saving, Tracking, RelatedEntities):
    """A world of entities, and the systems that move them.

    Parameters
    ----------
    capacity : int
        At most so many entities. Memory is taken as it is used, so be generous.
    tick_rate : float
        Ticks a second; a tick is a fixed step of 1 / tick_rate seconds.
    seed : int
        Of `world.rng`, and of what systems draw from `hz.Random`; a whole number from 0.
    kinds : sequence of Kind
        Registered at once; others are when first spawned.
    max_events : int
        Events of one type that may wait for a tick.
    phases : sequence of str
        The phases of a tick, in the order in which they run. A system that names none is of "simulate".
    states : sequence of members of different enumerations
        What the world is in at first; see `add_state`.
    on_error : "stop", "skip" or int
        What happens where a system fails. "stop": `tick` raises SystemFailure, and what the systems of the phase asked
        of Commands is forgotten. "skip": it is logged, with the traceback, the system's own commands of this tick are
        forgotten, and the tick goes on. A whole number: the same, and after so many failures the system is disabled.
        What it had written by then stays in any case. `@system(on_error=...)` says otherwise for one system.
    n_threads : int, optional
        Threads that may share the work of a tick, where its times show that it pays: systems that don't disturb each
        other run side by side, and the rows of a big one are split. It changes no byte of the result. By default
        HORIZON_THREADS, else the number of cores this process may use.
    track : sequence of component classes or kinds
        What is tracked from the start; see `World.track`.

    Raises
    ------
    ArgumentError
    """

    def __init__(
        self,
        capacity: int = 65_536,
        tick_rate: float = 60.0,
        seed: int = 0,
        kinds: Iterable[Kind] = (),
        max_events: int = 65_536,
        phases: Iterable[str] = PHASES,
        states: Iterable[enum.Enum] = (),
        on_error: OnError = "stop",
        n_threads: int | None = None,
        track: Iterable[Component | Kind] = (),
    ) -> None:
        if not isinstance(tick_rate, int | float) or not 0.01 <= tick_rate <= 10_000:
            raise ArgumentError(f"tick_rate must lie between 0.01 and 10,000 Hz, not {tick_rate!r}")
        if not isinstance(max_events, int) or max_events < 1:
            raise ArgumentError(f"max_events must be a whole number from 1, not {max_events!r}")
        if n_threads is not None and (not isinstance(n_threads, int) or isinstance(n_threads, bool) or n_threads < 1):
            raise ArgumentError(f"n_threads must be a whole number of threads from 1, not {n_threads!r}")
        super().__init__(capacity)
        self.tick_rate = float(tick_rate)
        self.seed = check_seed(seed)
        self.rng = np.random.default_rng(self.seed)
        self.max_events = max_events
        self._queries: dict[Any, Query] = {}
        self._resources: dict[type, Any] = {}
        self._events: dict[type, EventQueue] = {}
        self._states = States()
        for state in arguments.sequence("states", states, "members, such as [Screen.MENU]"):
            self._states.add(state)
        self.when_moved(self._states.follow)
        phases = arguments.sequence("phases", phases, "names, such as ['simulate', 'react']")
        self._schedule = Schedule(self, phases, self._states, on_error, n_threads)
        self.changes.on_error = on_error
        self._owed_s = 0.0
        self.dropped_ticks = 0
        self.insert(Time(dt=1.0 / self.tick_rate, tick=0, elapsed=0.0))
        self.register(*arguments.sequence("kinds", kinds, "kinds, such as [Ship]"))
        self.track(*arguments.sequence("track", track, "components or kinds, such as [Position]"))

    def query(
        self,
        *components: Component,
        without: Iterable[Component] = (),
        optional: Iterable[Component] = (),
        any_of: Iterable[Component] = (),
        kind: Kind | None = None,
        hidden: bool = False,
    ) -> Query:
        """The entities that have some components and lack others. The same question gives the same query.

        Parameters
        ----------
        *components : component classes
            What each entity has.
        without : sequence of component classes
            What none of them has.
        optional : sequence of component classes
            What doesn't matter, but whose values are wanted where there are some.
        any_of : sequence of component classes
            Of which each has at least one.
        kind : Kind, optional
            Only entities of this kind, or of one that extends it.
        hidden : bool
            Also entities that `hide` keeps out of everything else.

        Raises
        ------
        ArgumentError, DefinitionError
        """
        if kind is not None and not isinstance(kind, Kind):
            raise ArgumentError(f"kind must be a Kind, not {kind!r}")
        asked = (
            listed("query()", components), listed("without", without), listed("optional", optional),
            listed("any_of", any_of), kind, hidden,
        )  # fmt: skip
        if asked not in self._queries:
            self._queries[asked] = Query(self, *asked)
        return self._queries[asked]

    # -- resources and events ----------------------------------------------------------------------------------

    def insert(self, resource: Any) -> None:
        """Set a resource, a value of the whole world; it replaces another of the same type."""
        if isinstance(resource, type):
            raise ArgumentError(f"insert() takes an instance, not the class {resource.__name__}")
        if role_of(type(resource)) in ("component", "event"):
            name = type(resource).__name__
            raise ArgumentError(
                f"{name} is a {role_of(type(resource))}, which entities have; a resource is declared @resource"
            )
        self._resources[type(resource)] = resource

    @property
    def resources(self) -> tuple[type, ...]:
        """The types of which there is a resource."""
        return tuple(self._resources)

    def resource(self, kind: type[T]) -> T:
        """The resource of a type. Raises ArgumentError where none was inserted."""
        try:
            found: T = self._resources[kind]
        except KeyError:
            raise ArgumentError(
                f"no resource {kind.__name__} was inserted; call world.insert({kind.__name__}(...)) first"
            ) from None
        return found

    def _queue(self, event: type) -> EventQueue:
        if event not in self._events:
            self._events[event] = EventQueue(event, self.max_events)
            self.when_moved(self._events[event].follow)
        return self._events[event]

    def events(self, event: type) -> EventBatch:
        """This tick's events of a type, as arrays with a `sender` column: the entity that each comes from, or 0.

        Every sender lives when the tick begins, and so does whoever is named in an event: what was sent by one that has
        gone since is dropped, and a name of one is 0. A system of a later phase may find that an earlier one ended it.
        """
        return self._queue(event).batch

    def emitted_events(self, event: type) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Senders uint64[n] and records of what systems emitted in this tick, which readers see in the next one."""
        return self._queue(event).emitted

    def dropped_events(self, event: type) -> int:
        """How many events of a type found no room below `max_events` since the world was made."""
        return self._queue(event).dropped

    def push_events(self, event: type, sender: ArrayLike, records: Any) -> int:
        """Queue events for the next tick; return how many fitted below `max_events`.

        Parameters
        ----------
        event : class decorated with @event
        sender : uint64 or uint64[n]
            Handles of the entities that they come from; 0 for none.
        records
            An instance or a sequence of n, a mapping from field to scalar or array[n], or a structured array[n] of the
            event's own dtype, whose values aren't checked. Entities that they name and that don't live are 0 when the
            tick begins: who pushes can't know.

        Raises
        ------
        ArgumentError
        """
        return self._queue(event).push(sender, records)

    # -- time --------------------------------------------------------------------------------------------------

    def add_system(self, *systems: System[..., Any]) -> None:
        """Add systems to the schedule; in a tick, from the next one on. States that they name are added before.

        What they name in before= and after= may be added later: a name that no system has by the next tick is an error
        then, a system that wasn't added by then a warning in the log.

        Raises
        ------
        DefinitionError
            One can't run here, or the order is circular or contradicts that of the phases. None was added.
        """
        try:
            self._schedule.add(*systems)
        except DefinitionError as error:
            raise error.with_traceback(None) from None  # how it was found out says nothing about the system

    def run_system(self, system: System[..., Any]) -> None:
        """Run a system once, now, between two ticks, whether it was added or not and whatever its conditions say.

        What it asks for is done before the call returns, and observers are told. Time stands still: it sees the last
        tick's number and events, and draws from `hz.Random` what it draws in that tick; what it changes counts for the
        next one. A system is compiled and bound to the world when it is first run, and then kept.

        Raises
        ------
        SystemFailure
            It raised, whatever on_error says; what it asked for is forgotten.
        DefinitionError
            It can't run here.
        ArgumentError
            It was called by a system.
        """
        if self._ticking:
            raise ArgumentError(
                "run_system() was called by a system, or by another thread while this world ticks; systems run by "
                "themselves between ticks only"
            )
        self._ticking = self._by_hand = True
        try:
            self._schedule.run_now(system)
        finally:
            self._ticking = self._by_hand = False

    def remove_system(self, *systems: System[..., Any] | Group | str) -> None:
        """Take systems out of the schedule, themselves or all of a name or group; in a tick, from the next one on.

        Raises ArgumentError where one isn't there; then none is taken out.
        """
        self._schedule.remove(*systems)

    def disable(self, *systems: System[..., Any] | Group | str) -> None:
        """Let systems no longer run, from now on. Raises as `remove_system`."""
        self._schedule.enable(*systems, on=False)

    def enable(self, *systems: System[..., Any] | Group | str) -> None:
        """Let systems run again that were disabled, also by their failures, which are forgiven. Raises as
        `remove_system`."""
        self._schedule.enable(*systems)

    def add_state(self, initial: enum.Enum) -> None:
        """Have a state: an enumeration of which one member holds at a time, at first `initial`.

        The systems on_enter of what holds then run when the next tick begins. A world has any number of states.

        Raises
        ------
        ArgumentError
            It is no member of an enumeration, or the world has that state.
        """
        self._states.add(initial)

    def state(self, kind: type[S]) -> S:
        """The member of an enumeration that holds. Raises ArgumentError where the world has no such state."""
        return cast(S, self._states.get(kind))

    def set_state(self, member: enum.Enum) -> None:
        """Change a state when the next tick begins, whether asked for in a tick or between two.

        Of several changes the last counts; one to what holds then is none. The next tick runs the systems on_exit,
        changes the state, and runs the systems on_enter, all before its first phase.

        Raises
        ------
        ArgumentError
            The world has no such state.
        """
        self._states.set(member)

    def despawn_on_exit(self, handles: Handles, member: enum.Enum) -> None:
        """Let entities end when a state does: after the systems on_exit, which still find them, before those on_enter.

        It needs not be the state that holds. Those that have ended by then are passed over. Copies, clones and files
        know of it.

        Parameters
        ----------
        handles : uint64[n], or a Query
        member : member of an enumeration
            At whose end they end.

        Raises
        ------
        ArgumentError
            The world has no such state.
        StaleHandleError
            One no longer lives; none of them was tied.
        """
        self._states.tie(self.handles_of(self.slots_of(handles)), member, self.alive)

    @property
    def schedule(self) -> Schedule:
        """The systems, in the order in which they run, with their timings; `str` of it is a readable plan."""
        return self._schedule

    def tick(self) -> None:
        """One fixed step: every phase's systems in order, structural changes at the end of each phase.

        Raises
        ------
        SystemFailure
            A system raised; the systems after it did not run, except those that may run side by side with it.
        DefinitionError
            A system is to run before or after one whose name nobody has; nothing was done.
        """
        if self._ticking:
            raise ArgumentError(
                "tick() was called by a system, or by another thread while this world ticks; a world ticks one step at "
                "a time, and belongs to one thread at a time"
            )
        self._schedule.check()
        started = time.perf_counter_ns()
        self.tick_count += 1
        now = self.resource(Time)
        now.tick, now.elapsed = self.tick_count, self.tick_count / self.tick_rate
        for queue in self._events.values():
            queue.turn(self.alive)
        self._ticking = True
        try:
            self._schedule.run()
        finally:
            self._ticking = False
        self._schedule.timing.note(time.perf_counter_ns() - started)

    def run(self, n_ticks: int) -> None:
        """So many ticks, as fast as they go. Raises ArgumentError for less than none."""
        if not isinstance(n_ticks, int | np.integer) or n_ticks < 0:
            raise ArgumentError(f"n_ticks must be a whole number of ticks, not {n_ticks!r}")
        for _ in range(n_ticks):
            self.tick()

    def advance(self, elapsed_s: float, *, max_catch_up: int = 8) -> int:
        """Let time pass: as many fixed steps as fit into it and what was left over before.

        Beyond `max_catch_up` steps the rest is dropped, so that a world that can't keep up slows down instead of
        falling ever further behind; `dropped_ticks` counts how many ticks that was.

        Parameters
        ----------
        elapsed_s : float
            Seconds since the last call.
        max_catch_up : int
            At most so many ticks.

        Returns
        -------
        int : how many ticks were run.

        Raises
        ------
        ArgumentError
        SystemFailure
            The ticks that remained are still owed.
        """
        if not 0 <= elapsed_s < float("inf"):
            raise ArgumentError(f"elapsed_s must be a number of seconds from 0, not {elapsed_s!r}")
        if not isinstance(max_catch_up, int) or max_catch_up < 1:
            raise ArgumentError(f"max_catch_up must be a whole number of ticks from 1, not {max_catch_up!r}")
        self._owed_s += float(elapsed_s)
        # A hair's tolerance, so that sixty times a sixtieth is a second.
        due = int(self._owed_s * self.tick_rate + 1e-9)
        n = min(due, max_catch_up)
        self.dropped_ticks += due - n
        self._owed_s -= (due - n) / self.tick_rate
        for _ in range(n):
            self._owed_s = max(0.0, self._owed_s - 1 / self.tick_rate)
            self.tick()
        return n

    def stats(self) -> WorldStats:
        """Counts, bytes and milliseconds, as plain data."""
        return gather(self)

    def __str__(self) -> str:
        return str(self.stats())

    def _repr_html_(self) -> str:
        return self.stats()._repr_html_()

    def __repr__(self) -> str:
        return f"World({self._n_live} of {self.capacity} entities, {len(self.kinds)} kinds, tick {self.tick_count})"
