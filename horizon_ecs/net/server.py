"""The server: ticks a world on a thread, and streams what its replicator made to clients over WebSockets.

Two threads share the work: the tick's owns world and replicator (`stage`), the event loop's sockets and sessions
(`connections`). What one wants of the other it posts, and each queue keeps its order: so a welcome precedes its
observer's first frame, and a frame never reaches who came later.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.event_system import EventSystem
from horizon_ecs.frames import Frames
from horizon_ecs.net import wire
from horizon_ecs.net.administered import Administered
from horizon_ecs.net.admission import Authenticate
from horizon_ecs.net.connections import Connections
from horizon_ecs.net.intake import Intake
from horizon_ecs.net.players import Player, Seat
from horizon_ecs.net.region import check_rate
from horizon_ecs.net.rules import EventRule
from horizon_ecs.net.speaker import Told
from horizon_ecs.net.stage import JoinHook, LeaveHook, Stage
from horizon_ecs.net.wire import Close
from horizon_ecs.plugin_host import Plugins, PluginStats, as_plugins
from horizon_ecs.plugins import Plugin
from horizon_ecs.replication import Replicator
from horizon_ecs.ticker import percentile
from horizon_ecs.tokens import Identity

if TYPE_CHECKING:
    from horizon_ecs.monitor.collector import MetricsCollector
    from horizon_ecs.world import World

ObserveHook = Callable[["Server", Player], None]

_served: weakref.WeakSet[World] = weakref.WeakSet()
"""Worlds that are being served in this process."""


class Server(Administered):
    """Serves a world.

    Parameters
    ----------
    world : World
        With at least one kind that has layers. While it is served only hooks and systems may touch it.
    config : ServerConfig, optional
    events : sequence of event classes
        What clients may send; systems find them in `world.events(Class)`, with the player's entity as `sender`.
    messages : {event class: channel}
        What followers of an entity are told of: as for `Replicator`, whose `emit` is for hooks and `after_tick`.
    position : component class, optional
        The one that says where an entity is; by default that called `Position`.
    replication : mapping, optional
        What else the Replicator is made with, such as {"rooms": "Place.room", "zones": True}.
    on_join : callable(world, player) -> handle or None
        Between two ticks, when a client joins: returns the entity that it looks from and steers. Without one it looks
        from `player.position`, or shares the view of `player.share`. A CapacityError refuses it with code 1013.
    on_observe : callable(server, player)
        Between two ticks, when a client that joins has its observer, before its first frame: says by
        `server.replicator` what `player.observer` sees (`set_sees`, `set_observer_room`, `set_budget`, …).
    on_leave : callable(world, player)
        Between two ticks, when it has left. Not for those who are there when the server stops.
    after_tick : callable(server)
        On the tick's thread after every tick.
    about : mapping
        Sent to every client; the page reads `title` and `bounds` ([x0, y0, x1, y1]).
    authenticate : callable(Credentials) -> Identity or None, optional
        Says who a client is, on the event loop's thread, such as `HmacTokens(secret)`; may be a coroutine function.
        None and a TokenError refuse it with code 4009. Without one `ServerConfig.auth_secret` decides.
    rules : {event class or full name: EventRule}, optional
        Who may send which event, and how often; by name, such as "chat.message", those that carry objects.
    metrics : MetricsCollector, optional
        What it exports its own metrics by, beside those that are set there; by default one is made (`Server.metrics`).
    plugins : Plugins, or sequence of Plugin
        A sequence is joined by those that the configuration's `[plugins]` names.

    Attributes
    ----------
    plugins : Plugins

    Raises
    ------
    DefinitionError
        The world has nothing to replicate, or an event isn't one.
    ArgumentError
        `about` holds what msgpack can't say.
    PluginError
        A plugin requires what isn't there.
    """

    def __init__(
        self,
        world: World,
        config: ServerConfig | None = None,
        *,
        events: Sequence[type] = (),
        messages: Mapping[type, int] | None = None,
        position: type | None = None,
        replication: Mapping[str, Any] | None = None,
        on_join: JoinHook | None = None,
        on_observe: ObserveHook | None = None,
        on_leave: LeaveHook | None = None,
        after_tick: Callable[[Server], None] | None = None,
        about: Mapping[str, Any] | None = None,
        authenticate: Authenticate | None = None,
        rules: Mapping[Any, EventRule] | None = None,
        metrics: MetricsCollector | None = None,
        plugins: Plugins | Sequence[Plugin] = (),
    ) -> None:
        super().__init__(config or ServerConfig())
        check_rate(world, self.config)
        region = self.config.region
        self.about = checked_about({**({"bounds": region.bounds} if region else {}), **(about or {})})
        self.plugins = as_plugins(plugins, self.config)
        self.plugins.register_systems(world)
        events = [*events, *self.plugins.client_events]
        numbered = number_events(events)
        intake = Intake(numbered)
        self._stage = Stage(
            world, self.config, self, messages=messages, position=position, replication=replication or {},
            on_join=on_join, on_observe=(lambda player: on_observe(self, player)) if on_observe else None,
            on_leave=on_leave, after_tick=(lambda: after_tick(self)) if after_tick else None, on_end=self.request_stop,
            intake=intake, bounds=self.about.get("bounds"), check=self.plugins.check
        )  # fmt: skip
        declare(self.events, events)
        self.plugins.register_handlers(self.events)
        self.schema = {**self.replicator.schema, "events": describe_events(numbered)}
        self._connections = Connections(
            self.config, self.schema, numbered, self.about, world.tick_rate, self.replicator.max_silence_ticks,
            intake=intake, authenticate=authenticate, rules=rules
        )  # fmt: skip
        self._connections.stage = self._stage
        self._set_up_monitoring(metrics)

    def __repr__(self) -> str:
        return f"Server({self._where}, {self.n_clients} clients, {self._stage.ticker.n_ticks} ticks)"

    @property
    def is_ticking(self) -> bool:
        """Whether its world may be in the middle of a tick."""
        return self._stage.ticker.is_alive

    @property
    def world(self) -> World:
        """The world that is served."""
        return self._stage.world

    @property
    def replicator(self) -> Replicator:
        """What makes the frames; the tick's thread's, like the world: for hooks, systems and `after_tick`."""
        return self._stage.replicator

    @property
    def events(self) -> EventSystem:
        """Handlers of what happens, and what is emitted to them and to clients."""
        return self._stage.events

    @property
    def players(self) -> Mapping[int, Player]:
        """Who has joined, by observer; for `after_tick`, hooks and systems."""
        return self._stage.players

    def identify(self, player: Player, who: Identity) -> None:
        """Say who a player is, where that is found out after it has joined; from hooks, systems and handlers."""
        self._connections.admission.identify(player, who)

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and begin to tick; once in a server's life.

        Raises
        ------
        ArgumentError
            It has been started before.
        ListenError
            The address can't be listened on.
        """
        if self._loop is not None:
            raise ArgumentError("a server can be started once; make another for the same world")
        if self.world in _served:
            raise ArgumentError("another server serves this world: it would tick twice as fast")
        await self._listen()
        await self._begin_monitoring()
        _served.add(self.world)
        self.plugins.begin(self)
        self.events.pause()  # handlers are the tick's thread's from now on
        self._stage.ticker.start()

    async def stop(self) -> None:
        """Stop ticking, close every connection, and end listening.

        Connections are closed with 1001, or with 1011 if a tick raised, which is then raised here.
        """
        ticker = self._stage.ticker
        await asyncio.get_running_loop().run_in_executor(None, ticker.stop)
        if self._loop is not None:
            self.plugins.end(self)
        await asyncio.get_running_loop().run_in_executor(None, self.events.close)
        failed = ticker.error is not None
        await self._end_monitoring()
        await self._end(
            Close.INTERNAL if failed else Close.STOPPING, "the server failed" if failed else "the server stops"
        )
        _served.discard(self.world)
        if ticker.error is not None:
            raise ticker.error

    def configure(self, config: ServerConfig) -> None:
        """Take over another configuration, of which only what can change while it runs differs (`reload`)."""
        self._stage.configure(self.config, config)
        super().configure(config)

    # -- what it costs -----------------------------------------------------------------------------------------

    def forget_times(self) -> None:
        """Let times and counts of the report begin now."""
        self._stage.ticker.forget()
        self._stage.counters.clear()
        self._stage.totals.clear()
        self._connections.counters.clear()

    def report(self) -> dict[str, Any]:
        """Counts and times of the run so far, as plain data.

        Times are in milliseconds, over the last ticks that are remembered (`ticker.REMEMBERED`); `late_ms` is how long
        after it was due a tick's frames were there. `bytes` are those of state frames.
        """
        ticker, counted, connected = self._stage.ticker, self._stage.counters, self._connections.counters
        updates = counted["updates"]
        return {
            "entities": len(self.world),
            "observers": self.replicator.n_observers,
            "ticks": ticker.n_ticks,
            "tick_ms_median": percentile(ticker.tick_ms, 50),
            "tick_ms_p99": percentile(ticker.tick_ms, 99),
            "late_ms_p99": percentile(ticker.late_ms, 99),
            "missed_ticks": ticker.n_missed,
            "followed_pairs": self.replicator.stats.followed_pairs,
            "frames": counted["frames"],
            "updates": updates,
            "bytes": counted["bytes"],
            "bytes_per_update": counted["bytes"] / updates if updates else 0.0,
            "inputs": counted["inputs"],
            "inputs_dropped": counted["inputs_dropped"],
            "absent": len(self._stage.absent),
            "events_told": connected["events"],
            "events_unheard": self.events.n_unheard,
            "holds": connected["holds"],
            "resets": connected["resets"],
            "rate_changes": connected["rate_changes"],
            "slowed": self.replicator.n_slowed,
            **({"outside_region": self._stage.n_outside} if self.config.region else {}),
            "plugins": {name: _told_of(one) for name, one in self.plugins.stats().items()},
            "refusals": {key[8:]: n for key, n in sorted(connected.items()) if key.startswith("refused:")},
        }

    # -- from the tick's thread to the event loop --------------------------------------------------------------

    def deliver(self, frames: Frames) -> None:
        """For the stage."""
        self._post(self._connections.deliver, frames)

    def welcome(self, seat: Seat, phase: int, tick: int) -> None:
        """For the stage."""
        self._post(self._connections.welcome, seat, phase, tick)

    def refuse(self, seat: Seat, code: Close, reason: str) -> None:
        """For the stage."""
        self._post(self._connections.refuse, seat, code, reason)

    def broadcast(self, message: bytes) -> None:
        """For the stage."""
        self._post(self._connections.broadcast, message)

    def tell_events(self, told: Sequence[Told]) -> None:
        """For the stage."""
        self._post(self._connections.tell_events, told)


def _told_of(plugin: PluginStats) -> str:
    """A plugin in a line of the report."""
    said = f"{plugin.version} {plugin.state}, {plugin.ms_a_tick:.3f} ms a tick, {plugin.failures} failures"
    return f"{said}, the last in {plugin.last_failure}" if plugin.last_failure else said


def checked_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """A copy; what would fail with every welcome is refused now."""
    for key, value in about.items():
        try:
            wire.pack({key: value})
        except (TypeError, ValueError, OverflowError) as error:
            raise ArgumentError(
                f"about[{key!r}] must be of numbers, text, lists and maps (and no NumPy values), not {value!r}: {error}"
            ) from None
    return dict(about)


def number_events(events: Sequence[type]) -> dict[int, Any]:
    """Events by their number on the wire."""
    if len(events) > wire.MAX_EVENTS:
        raise DefinitionError(f"{len(events)} events; at most {wire.MAX_EVENTS} can be declared")
    for event in events:
        if not hasattr(event, "__hz_dtype__"):
            raise DefinitionError(f"expected a class decorated with @event, got {event!r}")
    return dict(enumerate(events, 1))


def declare(system: EventSystem, events: Sequence[type]) -> None:
    """Tell an event system what clients may send as records."""
    system.link(taken=tuple(events))
    for event in events:
        system.declare_client(str(event.__hz_event__).rpartition(".")[0], event)  # type: ignore[attr-defined]


def describe_events(events: Mapping[int, Any]) -> list[dict[str, Any]]:
    """Events as the wire's schema has them."""
    return [
        {
            "id": number,
            "name": event.__hz_event__,
            "fields": [[name, event.__hz_dtype__[name].str[1:]] for name in event.__hz_dtype__.names],
        }
        for number, event in events.items()
    ]


def serve(
    world: World, config: ServerConfig | str | PathLike[str] | None = None, *, events: Sequence[type] = (),
    messages: Mapping[type, int] | None = None,
    position: type | None = None, replication: Mapping[str, Any] | None = None, on_join: JoinHook | None = None,
    on_observe: ObserveHook | None = None, on_leave: LeaveHook | None = None,
    about: Mapping[str, Any] | None = None, authenticate: Authenticate | None = None,
    rules: Mapping[Any, EventRule] | None = None, plugins: Plugins | Sequence[Plugin] = (), **settings: Any
) -> None:  # fmt: skip
    """Serve a world until SIGINT or SIGTERM: `serve(world, port=8080)`, `serve(world, "config.toml")`.

    Parameters
    ----------
    config : ServerConfig or path, optional
        A file is read by `ServerConfig.load`.
    world, events, messages, position, replication, on_join, on_observe, on_leave, about, authenticate, rules, plugins
        As for `Server`.
    **settings
        As for `ServerConfig`; they count more than the file.
    """
    server = Server(
        world, _configured(config, settings), events=events, messages=messages, position=position,
        replication=replication, on_join=on_join, on_observe=on_observe, on_leave=on_leave, about=about,
        authenticate=authenticate, rules=rules, plugins=plugins
    )  # fmt: skip
    server.run(started=lambda s: print(f"Serving on {s.url} (stop with Ctrl+C)", flush=True))


def _configured(config: ServerConfig | str | PathLike[str] | None, settings: Mapping[str, Any]) -> ServerConfig:
    """A configuration with some settings of a call above it."""
    ServerConfig.of(**settings)  # refuses what there isn't
    if config is None or isinstance(config, ServerConfig):
        return (config or ServerConfig()).moved(**settings)
    return ServerConfig.load(config).moved(**settings)
