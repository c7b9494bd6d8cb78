"""Events of GORC's objects: told to players nearby and to the server's own handlers; and who came near whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.errors import ArgumentError
from horizon_ecs.events import as_records
from horizon_ecs.gorc_objects import kind_of
from horizon_ecs.handles import Handles, as_handles, slots_in
from horizon_ecs.kinds import Kind

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap
    from horizon_ecs.replication import Replicator
    from horizon_ecs.world import World

F = TypeVar("F", bound=Callable[..., Any])


class _Handler(NamedTuple):
    kind: Kind
    channel: int
    event: type
    function: Callable[[NDArray[np.uint64], NDArray[Any]], Any]


class GorcEvents:
    """A GorcSystem's events, and what it says of zones."""

    if TYPE_CHECKING:
        world: World
        _observer: NDArray[np.int64]
        _single: dict[tuple[Kind, int], Kind]

        @property
        def replicator(self) -> Replicator: ...

    def _begin_events(self) -> None:
        self._handlers: list[_Handler] = []
        self._happened: list[tuple[type, int, NDArray[np.uint64], NDArray[Any]]] = []
        self._watched, self._watched_before = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.world.when_moved(self._follow_happened)

    def _follow_happened(self, moved: SlotMap) -> None:
        self._happened = [(event, on, moved.translate(who), what) for event, on, who, what in self._happened]

    # -- events --------------------------------------------------------------------------------------------------------

    def emit_gorc_instance(self, objects: Handles, channel: int, event: Any, values: Any = None) -> None:
        """Tell the players who follow objects on a channel of an event, once, and the handlers of `on_gorc_instance`.

        Who gets it and when, `Replicator.emit` says. The first call fixes the kinds, as the first tick does.

        Parameters
        ----------
        objects : one handle, or uint64[n]
        channel : int
            Its layer says how far away and how soon the event is heard.
        event : class decorated with @event that GorcSystem(messages=...) lists, or an instance of one
        values
            The events' fields, if `event` is the class: a mapping from field to scalar or array[n], or n instances.

        Raises
        ------
        ArgumentError, StaleHandleError, CapacityError
            Then nothing was done.
        """
        self.replicator.emit(event, objects, values, channel=channel)
        cls = event if isinstance(event, type) else type(event)
        if any(one.event is cls and one.channel == channel for one in self._handlers):
            who = as_handles(objects).copy()
            records = as_records(cls, event if values is None and event is not cls else values or {})
            self._happened.append((cls, channel, who, np.broadcast_to(records, len(who)).copy()))

    def on_gorc_instance(
        self, kind: Kind | type, channel: int, event: type, handler: F | None = None
    ) -> Any:  # fmt: skip
        """Call `handler(objects, records)` in a tick for the events of objects of a kind; also a decorator.

        The first call fixes the kinds, as the first tick does.

        It is called once at most in a tick, after the systems and before frames are made, with all that was emitted
        since the last one, by `emit_gorc_instance` and by systems (`hz.Emit`; on the channel that `messages` says), of
        objects that still live: uint64[n] and a structured array[n]. What it writes players are told of in that tick.

        Parameters
        ----------
        kind : Kind, or class of GorcObject
            Kinds that extend it count as well.
        channel : int
        event : class decorated with @event that GorcSystem(messages=...) lists
        handler : callable(objects, records), optional

        Raises
        ------
        DefinitionError, ArgumentError
        """
        of = kind_of(kind)
        if isinstance(channel, bool) or channel not in range(8):
            raise ArgumentError(f"channel must be a channel's number, not {channel!r}")
        if not hasattr(event, "__hz_dtype__"):
            raise ArgumentError(f"on_gorc_instance takes a class decorated with @event, not {event!r}")
        self.replicator._declared(event)

        def register(function: F) -> F:
            self._handlers.append(_Handler(of, channel, event, function))
            return function

        return register if handler is None else register(handler)

    def _call_handlers(self) -> None:
        """Tell handlers of what has happened since the last tick."""
        happened, self._happened = self._happened, []
        for event in dict.fromkeys(one.event for one in self._handlers):
            _, declared = self.replicator._declared(event)
            happened.append((event, declared, *self.world.emitted_events(event)))
        for one in tuple(self._handlers):
            mine = [(who, what) for event, on, who, what in happened if (event, on) == (one.event, one.channel)]
            if mine:
                who, what = (np.concatenate(column) for column in zip(*mine, strict=True))
                chosen = self._are_of(who, one.kind)
                if chosen.any():
                    one.function(who[chosen], what[chosen])

    def _are_of(self, handles: NDArray[np.uint64], kind: Kind) -> NDArray[np.bool_]:
        """bool[n]: which live and are of a kind, also on one channel of it only."""
        wholes = {single: whole for (whole, _), single in self._single.items()}
        of = np.array([wholes.get(known, known).is_a(kind) for known in self.world.kinds] + [False])  # -1: no kind
        found: NDArray[np.bool_] = of[self.world.page_kind[slots_in(handles) // PAGE]] & self.world.alive(handles)
        return found

    # -- zones ---------------------------------------------------------------------------------------------------------

    def gorc_zone_enter(self, channel: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Who came within reach of whom on a channel with the last tick: players int64[n] and objects uint64[n].

        Raises
        ------
        ArgumentError
            There is no such channel, or the system wasn't made with GorcSystem(zones=True).
        """
        observers, objects = self.replicator.zone_enter(channel)
        return self._watched[observers], objects

    def gorc_zone_exit(self, channel: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Who went out of reach of whom, as `gorc_zone_enter`; also where the object ended or the player was removed,
        whose handle or number it still has."""
        observers, objects = self.replicator.zone_exit(channel)
        return self._watched_before[observers], objects

    def _note_players(self) -> None:
        """Remember whose number each observer is in this step: it may be given to another player before the next."""
        self._watched_before, self._watched = self._watched, np.full(self.replicator.max_observers, -1)
        players = np.flatnonzero(self._observer >= 0)
        self._watched[self._observer[players]] = players
