"""The World: entities, and the systems, resources and events that move them on, one fixed step at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from horizon_ecs.components import Component, Time, role_of
from horizon_ecs.declare import System
from horizon_ecs.entities import Entities
from horizon_ecs.errors import ArgumentError
from horizon_ecs.events import EventBatch, EventQueue
from horizon_ecs.kinds import Kind
from horizon_ecs.query import Query, listed
from horizon_ecs.schedule import Schedule
from horizon_ecs.stats import WorldStats, gather

T = TypeVar("T")


class World(Entities):
    """A world of entities, and the systems that move them.

    Parameters
    ----------
    capacity : int
        At most so many entities. Memory is taken as it is used, so be generous.
    tick_rate : float
        Ticks a second; a tick is a fixed step of 1 / tick_rate seconds.
    seed : int
        Of `world.rng`.
    kinds : sequence of Kind
        Registered at once; others are when first spawned.
    max_events : int
        Events of one type that may wait for a tick.

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
    ) -> None:
        if not isinstance(tick_rate, int | float) or not 0.01 <= tick_rate <= 10_000:
            raise ArgumentError(f"tick_rate must lie between 0.01 and 10,000 Hz, not {tick_rate!r}")
        if not isinstance(max_events, int) or max_events < 1:
            raise ArgumentError(f"max_events must be a whole number from 1, not {max_events!r}")
        super().__init__(capacity)
        self.tick_rate = float(tick_rate)
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.max_events = max_events
        self._queries: dict[Any, Query] = {}
        self._resources: dict[type, Any] = {}
        self._events: dict[type, EventQueue] = {}
        self._schedule = Schedule(self)
        self._owed_s = 0.0
        self.insert(Time(dt=1.0 / self.tick_rate, tick=0, elapsed=0.0))
        self.register(*kinds)

    def query(
        self,
        *components: Component,
        without: Iterable[Component] = (),
        optional: Iterable[Component] = (),
        any_of: Iterable[Component] = (),
        kind: Kind | None = None,
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

        Raises
        ------
        ArgumentError, DefinitionError
        """
        asked = (
            listed("query()", components), listed("without", without), listed("optional", optional),
            listed("any_of", any_of), kind,
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
        return self._events[event]

    def events(self, event: type) -> EventBatch:
        """This tick's events of a type, as arrays with a `sender` column: the entity that each comes from, or 0.

        Every sender lives when the tick begins; what one sent that has gone since is dropped. A system of a later phase
        may find that an earlier one ended it.
        """
        return self._queue(event).batch

    def push_events(self, event: type, sender: ArrayLike, records: Any) -> int:
        """Queue events for the next tick; return how many fitted below `max_events`.

        Parameters
        ----------
        event : class decorated with @event
        sender : uint64 or uint64[n]
            Handles of the entities that they come from.
        records : structured array[n] of the event's fields
        """
        return self._queue(event).push(sender, records)

    # -- time --------------------------------------------------------------------------------------------------

    def add_system(self, *systems: System[..., Any]) -> None:
        """Add systems to the schedule. Raises DefinitionError where one can't run here, or the order is circular."""
        self._schedule.add(*systems)

    @property
    def schedule(self) -> Schedule:
        """The systems, in the order in which they run, with their timings."""
        return self._schedule

    def tick(self) -> None:
        """One fixed step: every phase's systems in order, structural changes at the end of each phase.

        Raises
        ------
        SystemFailure
            A system raised; the systems after it did not run.
        """
        if self._ticking:
            raise ArgumentError("tick() was called by a system; a world ticks one step at a time")
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
        falling ever further behind.

        Returns
        -------
        int : how many ticks were run.
        """
        if not elapsed_s >= 0:
            raise ArgumentError(f"elapsed_s must not be negative: {elapsed_s!r}")
        self._owed_s += elapsed_s
        # A hair's tolerance, so that sixty times a sixtieth is a second.
        due = int(self._owed_s * self.tick_rate + 1e-9)
        n = min(due, max_catch_up)
        self._owed_s = max(0.0, self._owed_s - due / self.tick_rate)
        self.run(n)
        return n

    def stats(self) -> WorldStats:
        """Counts, bytes and milliseconds, as plain data."""
        return gather(self)

    def __str__(self) -> str:
        return str(self.stats())

    def __repr__(self) -> str:
        return f"World({self._n_live} of {self.capacity} entities, {len(self.kinds)} kinds, tick {self.tick_count})"
