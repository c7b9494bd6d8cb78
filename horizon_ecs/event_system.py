"""EventSystem: handlers of what happens in a server, by the names that Horizon gives it.

Events carry either any object, and handlers are called with that; or they are classes decorated with @event, and
handlers are called once a tick with all of them, as arrays.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from horizon_ecs.async_handlers import AsyncRunner
from horizon_ecs.core_events import ClientEvent
from horizon_ecs.errors import ArgumentError
from horizon_ecs.event_hub import Hub
from horizon_ecs.event_names import check_name, full_name, own_name
from horizon_ecs.event_registry import CORE, PLUGIN, Registry
from horizon_ecs.events import EventBatch, EventQueue, as_records
from horizon_ecs.handlers import HandlerStats, Stop
from horizon_ecs.topics import EventStats, Topic

if TYPE_CHECKING:
    from horizon_ecs.net.players import Player
    from horizon_ecs.world import World

_ROLL_S = 1.0


class EventSystem(Registry):
    """Handlers by event, and what is emitted to them.

    A server has one (`Server.events`). On its tick's thread, but not in systems, whoever emits an object has its
    handlers called before the call returns. What systems and other threads emit waits, at most `max_waiting` of each
    event, until the systems of the tick have run; then handlers of columnar events are called with the tick's batches,
    and after them those for what waits, in the order in which it came. What finds no room is refused with
    CapacityError, and counted.

    Events of a class decorated with @event are the world's own: what is emitted is in the next tick's batch, which
    systems (`hz.Events`, `World.events`) and handlers get alike; and handlers get what systems emit (`hz.Emit`).

    The `on_…` are plain calls that return a Handler, or, without a handler, decorators that leave the function as it
    is. All take these options:

    - priority (0): handlers with a higher one are called before; those of one priority in the order of registration;
    - filter: callable(event) -> bool, or for a columnar event callable(batch) -> bool[n]: whether it is called at all;
    - once (False): for one event, or one batch, only;
    - args (()): what it is called with besides, such as columns, which never move;
    - concurrency (1): of an async handler, how many events it may be at work on.

    A handler takes one value: the object, or an `EventBatch`. One of a columnar event may take (sender, records)
    instead, uint64[n] and a structured array[n], and has to if it is compiled by Numba; it is then compiled when it is
    registered. A handler that returns `hz.Stop(reason)` stops the event. What one raises is logged and counted, and the
    others are called. An `async def` runs on an event loop on a thread of its own, so that it never holds up a tick: it
    must not touch the world, and gives back what it finds by emitting. Its events wait in its own queue, at most
    `max_queued`; what comes beyond is dropped and counted.

    Parameters
    ----------
    world : World, optional
        Whose columnar events these are. Without one they wait here, for `dispatch`.
    max_waiting : int
        Of one event, from systems and other threads.
    max_queued : int
        Events that wait for one async handler.
    async_timeout_s : float
        What an async handler may take for one event; it is then cancelled, and has failed.

    Raises
    ------
    ArgumentError
    """

    def __init__(
        self, world: World | None = None, *, max_waiting: int = 65_536, max_queued: int = 1_024,
        async_timeout_s: float = 30.0
    ) -> None:  # fmt: skip
        for name, value in (("max_waiting", max_waiting), ("max_queued", max_queued)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ArgumentError(f"{name} must be a whole number from 1, not {value!r}")
        if not isinstance(async_timeout_s, int | float) or not 0 < async_timeout_s < float("inf"):
            raise ArgumentError(f"async_timeout_s must be a positive number of seconds, not {async_timeout_s!r}")
        super().__init__(Hub(max_waiting), AsyncRunner(max_queued, async_timeout_s))
        self._world = world
        self._queues: dict[type, EventQueue] = {}

    def __repr__(self) -> str:
        return f"EventSystem({len(self._topics)} events, {len(self.handlers())} handlers)"

    # -- emitting ------------------------------------------------------------------------------------------------------

    def emit_core(self, name: str | type, data: Any = None, *, sender: ArrayLike = 0) -> Stop | None:
        """Emit a core event; any name will do.

        Parameters
        ----------
        name : str, or class decorated with @event
        data
            Any object; of a columnar event what `World.push_events` takes as records.
        sender : uint64 or uint64[n]
            Of a columnar event, the entities that it is from.

        Returns
        -------
        Stop or None : what a handler stopped it with, where they were called at once.

        Raises
        ------
        CapacityError
            It found no room where it has to wait; or handlers go on emitting, deeper than 64 events within each other
            or more than 65,536 for one.
        ArgumentError
        """
        topic = self._core.get(name) or self._emitted(CORE, "", name)
        hub = self._hub
        if hub.thread == get_ident() and not hub.depth and topic.event is None:
            hub.depth, hub.n_nested = 1, 0
            topic.count += 1
            try:
                return topic.call(data)
            finally:
                hub.depth = 0
        return self._emit(topic, data, sender)

    def emit_plugin(
        self, plugin: str, event: str | type, data: Any = None, *, sender: ArrayLike = 0
    ) -> Stop | None:  # fmt: skip
        """Emit an event of a plugin; as `emit_core`."""
        topic = self._plugin.get((plugin, event)) or self._emitted(PLUGIN, check_name("plugin", plugin), event)
        return self._emit(topic, data, sender)

    def emit_gorc_instance(self, objects: Any, channel: int, event: Any, values: Any = None) -> None:
        """Tell followers of objects of an event, and its handlers; see `GorcSystem.emit_gorc_instance`."""
        self._link("instances", "emit_gorc_instance").emit_gorc_instance(objects, channel, event, values)

    def emit_client(self, player: Player | int, namespace: str, event: str, data: Any = None) -> None:
        """Send an object to one client: a message of its own, behind the state frame of this tick.

        It arrives, in the order in which it was sent, or the connection ends.

        Parameters
        ----------
        player : Player, or its observer's number
            To one that has left meanwhile nothing is sent.
        namespace, event : str
        data
            Of numbers, text, bytes, lists and maps.

        Raises
        ------
        CapacityError
            The client has 256 messages in this tick already.
        ArgumentError
            Also where msgpack can't say it, it is longer than 64 KiB, or there is no server.
        """
        self._link("clients", "emit_client").tell([player], namespace, event, data)

    def broadcast(
        self, namespace: str, event: str, data: Any = None, *, to: Iterable[Player | int] | None = None
    ) -> None:
        """Send an object to all clients, or to some; it is packed once. As `emit_client`."""
        self._link("clients", "broadcast").tell(to, namespace, event, data)

    # -- of a tick -----------------------------------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Call handlers: of columnar events with this tick's batches, then for what waits. A server does so by itself
        after the systems of a tick; without a world, it is what begins the next batch."""
        hub = self._hub
        hub.thread = get_ident()
        if self._world is None:
            self._take_batches()
            for queue in self._queues.values():
                queue.turn(lambda senders: np.ones(len(senders), bool))
        for topic in tuple(self._batches.values()):
            if topic.handlers:
                batch = self._queue(topic).batch
                if len(batch):
                    hub.run(topic.tell_batch, batch)
        if instances := self._links.get("instances"):
            instances._call_handlers()
        for topic, data in hub.take_objects():
            if type(data) is not ClientEvent or data.player.observer >= 0:
                hub.run(topic.tell, data)
        self._roll(time.perf_counter())

    def tell_batch(self, name: str, batch: EventBatch) -> None:
        """Call handlers of a core event with a batch that is no event of the world's."""
        topic = self._core[name]
        if topic.handlers and len(batch):
            self._hub.run(topic.tell_batch, batch)

    def has_handlers(self, name: str) -> bool:
        """Whether anybody listens to a core event."""
        topic = self._core.get(name)
        return topic is not None and bool(topic.handlers)

    def resume(self) -> None:
        """From now on handlers are called on this thread, where something is emitted; columnar events of other threads
        are in the world's queues, so in its next tick."""
        self._hub.thread = get_ident()
        self._take_batches()

    def pause(self) -> None:
        """From now on what is emitted waits."""
        self._hub.thread = 0

    def receive(self, event: ClientEvent) -> bool:
        """An object came from a client, on any thread; whether anybody is to be told, and there was room."""
        topic = self._client.get((event.namespace, event.event))
        if topic is None or topic.event is not None or not topic.handlers:
            self._hub.n_unheard += 1
            return False
        return self._hub.put_object(topic, event)

    @property
    def n_unheard(self) -> int:
        """Objects from clients that no handler was registered for."""
        return self._hub.n_unheard

    def drain(self, timeout_s: float = 5.0) -> bool:
        """Wait until async handlers have done what was emitted, at most so long; whether they have."""
        return self._runner.drain(timeout_s)

    def close(self) -> None:
        """End the thread of async handlers; what waits for them is dropped."""
        self._runner.close()

    # -- what it costs -------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, EventStats]:
        """What was counted of each event, by its name ("core:server_tick", "client:chat.message", "plugin:a.b")."""
        self._roll(time.perf_counter())
        return {topic.name: topic.stats() for topic in sorted(self._topics, key=lambda topic: topic.name)}

    def handler_stats(self) -> list[HandlerStats]:
        """What each handler has cost, the dearest first."""
        return sorted((handler.stats() for handler in self.handlers()), key=lambda one: -one.total_ms)

    def _roll(self, now: float) -> None:
        hub = self._hub
        if now - hub.rolled_s < _ROLL_S:
            return
        for topic in self._topics:
            topic.roll(now - hub.rolled_s)
        hub.rolled_s = now
        for line in self._runner.overdue():
            line.handler.failed(TimeoutError("it neither ends nor lets itself be cancelled"))

    # -- within --------------------------------------------------------------------------------------------------------

    def _emitted(self, kind: str, scope: str, event: Any) -> Topic:
        self._known[kind].add(full_name(scope, own_name(scope, event)[0]))
        return self._topic(kind, scope, event)

    def _emit(self, topic: Topic, data: Any, sender: ArrayLike) -> Stop | None:
        hub = self._hub
        here = hub.thread == get_ident()
        if topic.event is not None:
            records = as_records(topic.event, {} if data is None else data)
            if here:
                self._push(topic, sender, records)
            else:
                hub.wait_batch(topic, sender, records.copy())
        elif here:
            return hub.nest(topic.tell, data)
        else:
            hub.wait_object(topic, data)
        return None

    def _push(self, topic: Topic, sender: ArrayLike, records: Any) -> None:
        fitted = self._queue(topic).push(sender, records)
        topic.dropped += len(records) - fitted
        if len(records) and not fitted:
            raise self._hub.no_room(topic)

    def _take_batches(self) -> None:
        for topic, sender, records in self._hub.take_batches():
            topic.dropped += len(records) - self._queue(topic).push(sender, records)

    def _queue(self, topic: Topic) -> EventQueue:
        """Where a columnar event waits for the next tick."""
        event = topic.event
        assert event is not None
        if self._world is not None:
            return self._world._queue(event)
        if event not in self._queues:
            self._queues[event] = EventQueue(event, self._hub.max_waiting)
        return self._queues[event]
