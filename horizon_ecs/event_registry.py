"""The registry of an event system: which events there are, and who is called for each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from horizon_ecs.async_handlers import AsyncRunner
from horizon_ecs.components import fields_of
from horizon_ecs.core_events import CORE_BATCHES, CORE_EVENTS
from horizon_ecs.errors import ArgumentError
from horizon_ecs.event_hub import Hub
from horizon_ecs.event_names import check_meant, check_name, check_namespace, full_name, own_name
from horizon_ecs.events import EventBatch
from horizon_ecs.handlers import Handler, Owner, check_options
from horizon_ecs.topics import Topic

if TYPE_CHECKING:
    from horizon_ecs.kinds import Kind

F = TypeVar("F", bound=Callable[..., Any])
CORE, CLIENT, PLUGIN = "core", "client", "plugin"


class Clients(Protocol):
    """Where messages to clients go."""

    def tell(self, to: Iterable[Any] | None, namespace: str, event: str, data: Any) -> None:
        """Say something to some players, or to all."""


class Instances(Protocol):
    """GORC's objects and their events."""

    def on_gorc_instance(self, kind: Any, channel: int, event: type, handler: Any) -> Any:
        """See `GorcSystem.on_gorc_instance`."""

    def emit_gorc_instance(self, objects: Any, channel: int, event: Any, values: Any) -> None:
        """See `GorcSystem.emit_gorc_instance`."""


class Registry:
    """The part of an EventSystem that knows its events and their handlers."""

    def __init__(self, hub: Hub, runner: AsyncRunner) -> None:
        self._hub, self._runner = hub, runner
        self._owner: Owner | None = None
        self._tables: dict[str, dict[Any, Topic]] = {CORE: {}, CLIENT: {}, PLUGIN: {}}
        self._core, self._client, self._plugin = self._tables.values()
        self._gorc: dict[Any, Topic] = {}
        self._topics: list[Topic] = []
        self._batches: dict[type, Topic] = {}
        self._known: dict[str, set[str]] = {CORE: set(CORE_EVENTS), CLIENT: set(), PLUGIN: set()}
        self._impossible: dict[str, str] = {}
        self._links: dict[str, Any] = {}
        for name, event in CORE_BATCHES.items():
            self._add(Topic(f"{CORE}:{name}", event), CORE, name, event)

    # -- handlers ------------------------------------------------------------------------------------------------------

    def on_core(self, name: str | type, handler: F | None = None, **options: Any) -> Any:
        """Call a handler for a core event: one of the server's own (`horizon_ecs.core_events`), or the application's.

        Parameters
        ----------
        name : str, or class decorated with @event
        handler : callable, optional
        **options
            See above.

        Raises
        ------
        ArgumentError
            It can't occur, or is nearly the name of one that can; the handler or an option isn't what it may be.
        """
        return self._on(CORE, "", name, handler, options)

    def on_client(self, namespace: str, event: str | type, handler: F | None = None, **options: Any) -> Any:
        """Call a handler for what clients send: with a ClientEvent for each object, or with a tick's batch of records.

        Parameters
        ----------
        namespace : str
            "" for that of event classes without one.
        event : str, or class decorated with @event
            The latter, and its name, only if the server takes it: `Server(events=...)`.
        handler : callable, optional
        **options
            See above.

        Raises
        ------
        ArgumentError
            It is nearly the name of one that is declared (`Server(events=...)`, `declare_client`), or as for `on_core`.
        """
        return self._on(CLIENT, check_namespace(namespace), event, handler, options)

    def on_plugin(self, plugin: str, event: str | type, handler: F | None = None, **options: Any) -> Any:
        """Call a handler for an event of a plugin. As `on_core`; any name will do, since plugins may come later."""
        return self._on(PLUGIN, check_name("plugin", plugin), event, handler, options)

    def on_gorc_instance(
        self, kind: Kind | type, channel: int, event: type, handler: F | None = None, **options: Any
    ) -> Any:
        """Call a handler for events of objects of a kind, on a channel, with a tick's batch of them: `sender` are the
        objects. As `GorcSystem.on_gorc_instance`; the event must be one of `Server(messages=...)`.

        Raises
        ------
        ArgumentError, DefinitionError
            Also where there is no replicator, as without a server.
        """
        instances = self._link("instances", "on_gorc_instance")

        def register(function: F) -> Handler:
            topic = self._gorc.get((kind, channel, event))
            if topic is None:
                topic = Topic(f"gorc:{getattr(kind, 'name', kind)}.{channel}.{own_name('', event)[0]}", event)
                tell = topic.tell_batch
                instances.on_gorc_instance(
                    kind, channel, event, lambda who, what: self._hub.run(tell, EventBatch(who, what, fields_of(event)))
                )
                self._gorc[kind, channel, event] = topic
                self._topics.append(topic)
            return self._subscribe(topic, function, options)

        return _decorator(register) if handler is None else register(handler)

    def off(self, handler: Handler | Callable[..., Any]) -> None:
        """Call a handler no more: what `on_…` returned, or a function, wherever it was registered."""
        if isinstance(handler, Handler):
            handler.unsubscribe()
            return
        for one in self.handlers():
            if one.function == handler:
                one.unsubscribe()

    def handlers(self) -> list[Handler]:
        """All that are registered."""
        return [handler for topic in self._topics for handler in topic.handlers]

    # -- which there are -----------------------------------------------------------------------------------------------

    def declare_core(self, *names: str) -> None:
        """Make names of core events known: `on_core` then refuses what is nearly one of them, and takes these."""
        self._known[CORE].update(check_name("name", name) for name in names)

    def declare_client(self, namespace: str, *events: str | type) -> None:
        """Make names of what clients send known, as `declare_core`; classes decorated with @event as well, if the
        server takes them."""
        check_namespace(namespace)
        for event in events:
            self._known[CLIENT].add(full_name(namespace, own_name(namespace, event)[0]))
            if isinstance(event, type):
                self._topic(CLIENT, namespace, event)

    def refuse_core(self, name: str, why: str) -> None:
        """Say that a core event can't occur, and what would let it."""
        self._impossible[name] = why

    # -- within --------------------------------------------------------------------------------------------------------

    def owned_by(self, owner: Owner) -> Self:
        """The same system, seen by one whose handlers are told apart."""
        seen = copy.copy(self)
        seen._owner = owner
        return seen

    def link(self, **links: Clients | Instances | Sequence[type]) -> None:
        """Say where `clients` and `instances` are, and which classes clients may send (`taken`)."""
        self._links.update(links)

    def _link(self, name: str, call: str) -> Any:
        if name not in self._links:
            raise ArgumentError(f"{call} needs a server, which this event system has none of: use Server.events")
        return self._links[name]

    def _on(self, kind: str, scope: str, event: Any, handler: Any, options: dict[str, Any]) -> Any:
        own, _ = own_name(scope, event)
        if kind == CORE and own in self._impossible:
            raise ArgumentError(f"core event {own!r} can't occur: {self._impossible[own]}")
        if kind != PLUGIN and not isinstance(event, type):
            declare = f"declare_core({own!r})" if kind == CORE else f"declare_client({scope!r}, {own!r})"
            check_meant(kind, full_name(scope, own), self._known[kind], declare)
        if kind == CLIENT and isinstance(event, type) and event not in self._links.get("taken", (event,)):
            raise ArgumentError(f"clients can't send {event.__name__}: list it in Server(..., events=[...])")
        topic = self._topic(kind, scope, event)

        def register(function: Any) -> Handler:
            return self._subscribe(topic, function, options)

        return _decorator(register) if handler is None else register(handler)

    def _subscribe(self, topic: Topic, function: Any, options: dict[str, Any]) -> Handler:
        made = Handler(topic, function, owner=self._owner, runner=self._runner, **check_options(options))
        topic.add(made)
        return made

    def _topic(self, kind: str, scope: str, event: Any) -> Topic:
        own, cls = own_name(scope, event)
        table = self._tables[kind]
        key = own if kind == CORE else (scope, own)
        topic = table.get(key) or Topic(f"{kind}:{full_name(scope, own)}", cls)
        if cls is not None:
            if topic.event is None and not topic.handlers and not topic.waiting:
                topic.event = cls
            if topic.event is not cls:
                raise ArgumentError(f"{topic.name} is {'objects' if topic.event is None else topic.event.__name__}, "
                                    f"not {cls.__name__}: name the class where it is first used")  # fmt: skip
            if self._batches.get(cls, topic) is not topic:
                raise ArgumentError(f"{cls.__name__} is {self._batches[cls].name} already; a class is one event")
        return self._add(topic, kind, key, cls)

    def _add(self, topic: Topic, kind: str, key: Any, cls: type | None) -> Topic:
        table = self._tables[kind]
        if key not in table:
            self._topics.append(topic)
        table[key] = topic
        if cls is not None:
            table[cls if kind == CORE else (key[0], cls)] = topic
            if cls not in CORE_BATCHES.values():
                self._batches[cls] = topic
        return topic


def _decorator(register: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        register(function)
        return function

    return decorate
