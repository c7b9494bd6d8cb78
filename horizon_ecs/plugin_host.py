"""The plugins of one server: brought in, watched over, switched off and on again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from horizon_ecs.config import PluginConfig, ServerConfig
from horizon_ecs.declare import System
from horizon_ecs.errors import ArgumentError, PluginError
from horizon_ecs.handlers import HandlerStats
from horizon_ecs.plugin_guard import Guard
from horizon_ecs.plugin_reload import file_of, read_again, stamp, undone_if_refused
from horizon_ecs.plugins import Plugin, find_plugins, in_order, required

if TYPE_CHECKING:
    from horizon_ecs.event_system import EventSystem
    from horizon_ecs.net.server import Server
    from horizon_ecs.world import World

log = logging.getLogger("horizon_ecs.plugins")

ON, OFF, FAILED = "on", "off", "failed"
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class PluginStats:
    """How a plugin fares.

    Attributes
    ----------
    name, version : str
    state : str
        "on"; "off", switched off since it failed too often, or by hand; "failed", when it was brought in, or since one
        that it requires has.
    failures : int
    last_failure : str
    dropped : int
        Events that its async handlers had no room for.
    ms_a_tick : float
        What its handlers and systems took a tick, on average. What is async isn't in it.
    handlers : list of HandlerStats
    systems : dict of str to float
        Milliseconds a run, on average.
    """

    name: str
    version: str
    state: str
    failures: int
    last_failure: str
    dropped: int
    ms_a_tick: float
    handlers: list[HandlerStats] = field(default_factory=list)
    systems: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return asdict(self)


class _Hosted:
    """A plugin and what belongs to it."""

    def __init__(self, plugin: Plugin, guard: Guard) -> None:
        self.plugin, self.guard = plugin, guard
        self.state = ON
        self.systems: dict[System[..., Any], int] = {}  # and how often each had failed when that was last looked at
        self.is_enabled = True  # its systems
        self.stamp: tuple[int, int] | None = None  # of its file, when that was last looked at


class Plugins:
    """Plugins for a server: `Server(plugins=Plugins([...]))`, or just the list.

    Each is brought in behind those that it requires: `register_systems`, then `register_handlers`, and when the server
    starts `on_init`. If one raises there, it is left out ("failed"), with all that require it. What its handlers and
    systems raise later is logged and counted; after `max_failures` in `window_s` seconds it is switched off: none of
    its handlers is called and none of its systems runs, until `switch_on`. The tick goes on in any case.

    In development `watch=True` reads a plugin's code again where its file was edited (`reload`), while clients stay
    connected.

    Parameters
    ----------
    plugins : iterable of Plugin
    max_failures : int
    window_s : float
    watch : bool
        Whether to look, twice a second, if files were edited.
    now : callable() -> float
        Seconds of a clock that never falls.

    Raises
    ------
    PluginError
        Requirements aren't met, names are double.
    ArgumentError
    """

    def __init__(
        self, plugins: Iterable[Plugin] = (), *, max_failures: int = 5, window_s: float = 10.0,
        watch: bool = False, now: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        if not isinstance(max_failures, int) or isinstance(max_failures, bool) or max_failures < 1:
            raise ArgumentError(f"max_failures must be a whole number from 1, not {max_failures!r}")
        if not isinstance(window_s, int | float) or not window_s > 0:
            raise ArgumentError(f"window_s must be a positive number of seconds, not {window_s!r}")
        self._hosted = {
            p.name: _Hosted(p, Guard(p.name, max_failures, window_s, now, self._silence)) for p in in_order(plugins)
        }
        self._now, self._watch, self._looked_at_s = now, watch, -LOOK_EVERY_S
        self._server: Server | None = None
        self._world: World | None = None
        self._events: EventSystem | None = None

    def __repr__(self) -> str:
        return f"Plugins({', '.join(f'{name}: {one.state}' for name, one in self._hosted.items()) or 'none'})"

    def __len__(self) -> int:
        return len(self._hosted)

    def __contains__(self, name: object) -> bool:
        return name in self._hosted

    def __getitem__(self, name: str) -> Any:
        """The plugin of a name. Raises ArgumentError."""
        return self._find(name).plugin

    @property
    def client_events(self) -> list[type]:
        """What clients may send for their sake."""
        return [event for one in self._hosted.values() for event in one.plugin.client_events]

    def state(self, name: str) -> str:
        """ "on", "off" or "failed"; see PluginStats. Raises ArgumentError."""
        return self._find(name).state

    # -- for a server --------------------------------------------------------------------------------------------------

    def register_systems(self, world: World) -> None:
        """For the server: have each add its systems to the world."""
        if self._world is not None:
            raise ArgumentError("these plugins are another server's; make others for this one")
        self._world = world
        for one in self._hosted.values():
            self._bring_in(one, "register_systems", lambda one=one: self._add_systems(one))  # type: ignore[misc]

    def register_handlers(self, events: EventSystem) -> None:
        """For the server: have each register its handlers."""
        self._events = events
        for one in self._hosted.values():
            self._bring_in(one, "register_handlers", lambda one=one: self._register(one))  # type: ignore[misc]

    def begin(self, server: Server) -> None:
        """For the server: it is about to tick."""
        self._server = server
        for one in self._hosted.values():
            self._bring_in(one, "on_init", lambda one=one: one.plugin.on_init(server))  # type: ignore[misc]

    def end(self, server: Server) -> None:
        """For the server: it ticks no more."""
        for one in reversed(self._hosted.values()):
            if one.state == ON:
                one.guard.runs("on_shutdown", lambda one=one: one.plugin.on_shutdown(server))  # type: ignore[misc]

    def check(self) -> None:
        """For the server, on the tick's thread: count failures of systems, and let those of plugins that are switched
        off no longer run."""
        if not self._hosted or self._world is None:
            return
        timings = dict(self._world.schedule.timings())
        for one in self._hosted.values():
            for system, before in one.systems.items():
                failures = timings[system].failures if system in timings else before
                for _ in range(failures - before):
                    one.guard.failed(f"system {system.name}", RuntimeError("it raised, as was logged"))
                one.systems[system] = failures
            self._enable(one, one.state == ON)
        if self._watch and self._now() - self._looked_at_s >= LOOK_EVERY_S:
            self._looked_at_s = self._now()
            self._look()

    # -- by hand -------------------------------------------------------------------------------------------------------

    def switch_off(self, name: str) -> None:
        """Let a plugin's handlers and systems rest; the latter from the next tick on. Raises ArgumentError."""
        if self._find(name).state == ON:
            self._silence(name)

    def switch_on(self, name: str) -> None:
        """Let a plugin that was switched off begin again: its handlers are registered anew. On the tick's thread.

        Raises
        ------
        ArgumentError
            There is no such plugin, it has failed when it was brought in, or one that it requires isn't on.
        """
        one = self._find(name)
        if one.state == ON:
            return
        off = [other for other in self._needs(one) if self._hosted[other].state != ON]
        if one.state == FAILED or off:
            raise ArgumentError(f"plugin {name!r} can't be switched on: {f'{off} are not' if off else 'it has failed'}")
        one.guard.forgive()
        one.state = ON
        self._bring_in(one, "register_handlers", lambda: self._register(one))

    def reload(self, name: str) -> None:
        """Read a plugin's file again, and let an instance of its class as it is now take its place: `on_shutdown` of
        the old one, then `on_reload`, `register_systems`, `register_handlers` and `on_init` of the new one. On the
        tick's thread, between ticks; the tick after it is late by what it takes.

        Only that file is run, not what it imports: components, events, resources and kinds, which the world and
        clients know already, have to be in another module, such as one of the plugin's package.

        Raises
        ------
        PluginError
            It can't be read or made, or requires what isn't there; the old one goes on.
        ArgumentError
            There is no such plugin.
        """
        one = self._find(name)
        with undone_if_refused(one.plugin):
            self._exchange(one, read_again(one.plugin))
        log.info("plugin %s is as its file has it now", name)

    def _exchange(self, one: _Hosted, new: Plugin) -> None:
        """Let another instance take a plugin's place, or raise PluginError and leave all as it was."""
        old = one.plugin
        in_order([new, *(other.plugin for other in self._hosted.values() if other is not one)])
        if self._server is not None and one.state == ON:
            server = self._server
            one.guard.runs("on_shutdown", lambda: old.on_shutdown(server))
        self._take_out(one)
        one.plugin, one.state = new, ON
        one.guard.forgive()
        if not self._put_in(one, lambda: new.on_reload(old)):
            self._take_out(one)
            one.plugin, one.state = old, ON
            self._put_in(one, lambda: None)
            raise PluginError(
                f"plugin {old.name!r} goes on as it was, since it failed as it is: {one.guard.last_failure}"
            )

    def stats(self) -> dict[str, PluginStats]:
        """How each plugin fares, by name."""
        return {name: self._stats(one) for name, one in self._hosted.items()}

    # -- within --------------------------------------------------------------------------------------------------------

    def _bring_in(self, one: _Hosted, what: str, work: Callable[[], object]) -> None:
        missing = [name for name in self._needs(one) if self._hosted[name].state == FAILED]
        if one.state != ON:
            return
        if missing:
            one.guard.last_failure = f"{what}: it requires {missing[0]!r}, which has failed"
        elif one.guard.runs(what, work):
            return
        one.state = FAILED
        self._unsubscribe(one.plugin.name)

    def _needs(self, one: _Hosted) -> list[str]:
        return required(one.plugin, {name: other.plugin for name, other in self._hosted.items()})

    def _register(self, one: _Hosted) -> None:
        assert self._events is not None
        one.plugin.register_handlers(self._events.owned_by(one.guard))

    def _add_systems(self, one: _Hosted) -> None:
        """All that it adds are its own, and none if it raises."""
        world = self._world
        assert world is not None
        before = set(world.schedule.systems)
        try:
            one.plugin.register_systems(world)
        except BaseException:
            world.remove_system(*(system for system in world.schedule.systems if system not in before))
            raise
        one.systems = dict.fromkeys((system for system in world.schedule.systems if system not in before), 0)
        one.is_enabled = True
        world.schedule.isolate(*one.systems)

    def _remove_systems(self, one: _Hosted) -> None:
        if one.systems and self._world is not None:
            self._world.remove_system(*one.systems)
        one.systems = {}

    def _put_in(self, one: _Hosted, take_over: Callable[[], object]) -> bool:
        """Bring a plugin in while the server runs; whether it went well."""
        server, steps = self._server, [("on_reload", take_over)]
        if self._world is not None:
            steps.append(("register_systems", lambda: self._add_systems(one)))
        if self._events is not None:
            steps.append(("register_handlers", lambda: self._register(one)))
        if server is not None:
            steps.append(("on_init", lambda: one.plugin.on_init(server)))
        for what, work in steps:
            self._bring_in(one, what, work)
        return one.state == ON

    def _take_out(self, one: _Hosted) -> None:
        self._unsubscribe(one.plugin.name)
        self._remove_systems(one)

    def _look(self) -> None:
        """Read again what was edited; what can't be is logged."""
        for name, one in self._hosted.items():
            now = stamp(file_of(one.plugin))
            if one.stamp in (now, None) or now == (0, 0):
                one.stamp = now
                continue
            one.stamp = now
            try:
                self.reload(name)
            except PluginError as error:
                log.error("%s", error)

    def _silence(self, name: str) -> None:
        """From any thread; its systems are let rest by the next `check`."""
        self._hosted[name].state = OFF
        self._unsubscribe(name)

    def _unsubscribe(self, name: str) -> None:
        for handler in self._events.handlers() if self._events is not None else ():
            if handler.plugin == name:
                handler.unsubscribe()

    def _enable(self, one: _Hosted, on: bool) -> None:
        if on != one.is_enabled and one.systems and self._world is not None:
            (self._world.enable if on else self._world.disable)(*one.systems)
        one.is_enabled = on

    def _stats(self, one: _Hosted) -> PluginStats:
        name = one.plugin.name
        handlers = [h for h in self._events.handler_stats() if h.plugin == name] if self._events is not None else []
        schedule = self._world.schedule if self._world is not None else None
        timings = [(s, t) for s, t in schedule.timings() if s in one.systems] if schedule is not None else []
        spent_ms = sum(h.total_ms for h in handlers if not h.is_async) + sum(t.total_ms for _, t in timings)
        ticks = self._world.tick_count if self._world is not None else 0
        return PluginStats(
            name, one.plugin.version, one.state, one.guard.n_failures, one.guard.last_failure,
            sum(h.dropped for h in handlers), spent_ms / max(1, ticks), handlers,
            {s.name: t.mean_ms for s, t in timings}
        )  # fmt: skip

    def _find(self, name: str) -> _Hosted:
        if name not in self._hosted:
            raise ArgumentError(f"there is no plugin {name!r}; there are {list(self._hosted)}")
        return self._hosted[name]


def _configured(config: ServerConfig) -> list[Plugin]:
    """The plugins that a configuration's `[plugins]` names: none where it isn't said at all and comes from no file, or
    where there is nothing at the usual place. Raises PluginError."""
    said = config.plugins
    from_file = config.source is not None and config.source.path is not None
    if not said.auto_load or not (from_file or said != PluginConfig()):
        return []
    if said == PluginConfig() and not Path(said.directory).is_dir():
        return []
    return find_plugins(said.directory, allow=said.whitelist or None)


def as_plugins(given: Plugins | Iterable[Plugin], config: ServerConfig) -> Plugins:
    """What `Server(plugins=...)` takes, and what its configuration names beside a sequence. Raises PluginError."""
    if isinstance(given, Plugins):
        return given
    try:
        return Plugins([*given, *_configured(config)])
    except TypeError:
        raise PluginError(f"plugins is a list of plugins, or Plugins, not {given!r}") from None
