"""Listening: what a server of any kind does to be there: an address, a page, connections, and an end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Self

from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import serve as listen

from horizon_ecs.config import ServerConfig
from horizon_ecs.configfile import KEYS, differences, joined_address
from horizon_ecs.errors import ArgumentError, ListenError
from horizon_ecs.logs import Logs
from horizon_ecs.net import wire
from horizon_ecs.net.connections import CLOSE_TIMEOUT_S, Connections
from horizon_ecs.net.gate import network_of
from horizon_ecs.net.metered import metered
from horizon_ecs.net.tls import load_certificate, server_context, warn_of_plain_text
from horizon_ecs.net.wire import Close

log = logging.getLogger("horizon_ecs.server")


class Reloaded(NamedTuple):
    """What reading a configuration again has changed, and what differs but needs the server to start anew: keys."""

    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


class Listening:
    """The part of a server that listens; `start` and `stop` are made of `_listen` and `_end`.

    Parameters
    ----------
    config : ServerConfig
    """

    _connections: Connections

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self._listener: WebSocketServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._logs = Logs()
        self._owns_process = False
        self._tls: ssl.SSLContext | None = None

    def run(self, *, started: Callable[[Self], None] | None = None, seconds: float | None = None) -> None:
        """Serve until SIGINT or SIGTERM, or for so many seconds; clients are then closed with code 1001.

        Parameters
        ----------
        started : callable(server), optional
            Called when clients can connect.
        seconds : float, optional

        Raises
        ------
        SystemFailure
            A system raised.
        ListenError
            The address can't be listened on.
        """
        asyncio.run(self._run(started, seconds))

    async def _run(self, started: Callable[[Self], None] | None, seconds: float | None) -> None:
        self.handle_signals()
        await self.start()
        try:
            if started:
                started(self)
            await self.wait(seconds)
        finally:
            await self.stop()

    def handle_signals(self) -> None:
        """For who owns the process: let SIGINT and SIGTERM end `wait`, SIGHUP `reload`, and logs be as configured."""
        self._logs.set_up(self.config.logging)
        self._owns_process = True
        loop = asyncio.get_running_loop()
        handlers = {"SIGINT": self._stop.set, "SIGTERM": self._stop.set, "SIGHUP": self._reload}
        for name, handler in handlers.items():
            # Windows, and threads other than the main one, have no such handlers.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError, AttributeError):
                loop.add_signal_handler(getattr(signal, name), handler)

    def reload(self) -> Reloaded:
        """Read the configuration's file and environment again, and take over what can change while the server runs.

        On the event loop's thread. Where anything is wrong, nothing changes.

        Raises
        ------
        ArgumentError
            Lists all that is wrong; or the configuration wasn't made by `ServerConfig.load`.
        OSError
            The file can't be read.
        """
        source = self.config.source
        if source is None:
            raise ArgumentError("the configuration comes from no file: make it with ServerConfig.load")
        loaded = source.load()
        live, rest = differences(self.config, loaded)
        if self._tls is not None:
            load_certificate(self._tls, self.config)  # which may have been renewed under the same name
        names = {KEYS[key].part or KEYS[key].name for key in live}
        self.configure(replace(self.config, **{name: getattr(loaded, name) for name in names}))
        return Reloaded(tuple(live), tuple(rest))

    def _reload(self) -> None:
        """For the signal: tell the log."""
        try:
            done = self.reload()
        except (ArgumentError, OSError) as error:
            log.error("the configuration stays as it is: %s", error)
            return
        log.info("the configuration was read again; changed: %s", ", ".join(done.changed) or "nothing")
        if done.needs_restart:
            log.warning("these hold from the next start on: %s", ", ".join(done.needs_restart))

    def configure(self, config: ServerConfig) -> None:
        """Take over another configuration, of which only what can change while it runs differs (`reload`)."""
        if self._owns_process and config.logging != self.config.logging:
            self._logs.set_up(config.logging)
        self.config = config
        self._connections.configure(config)

    def ban(self, network: str, seconds: float | None = None) -> None:
        """Turn an address or network away, such as "203.0.113.7" or "2001:db8::/32", and close what is connected from
        there with code 4011; from any thread.

        Parameters
        ----------
        network : str
        seconds : float, optional
            For how long; by default until it is stopped.

        Raises
        ------
        ArgumentError
        """
        network_of(network)  # refused here, not on the event loop's thread
        if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
            raise ArgumentError(f"seconds must be a positive number or None, not {seconds!r}")
        self._call(self._connections.ban, network, None if seconds is None else time.perf_counter() + seconds)

    def unban(self, network: str) -> None:
        """Take a ban back; from any thread. Raises ArgumentError for what is no address or network."""
        network_of(network)
        self._call(self._connections.gate.unban, network)

    @property
    def bans(self) -> dict[str, float | None]:
        """For how many seconds more each address or network is banned, None for ever: those by `ban`."""
        now = time.perf_counter()
        listed = tuple(self._connections.gate.bans)
        return {str(one.network): None if one.until is None else max(0.0, one.until - now) for one in listed}

    def _call(self, function: Callable[..., Any], *args: Any) -> None:
        """Have the event loop call a function, or call it now where none runs yet."""
        if self._loop is None:
            function(*args)
        else:
            self._post(function, *args)

    async def start(self) -> None:
        """Listen, and begin; once in a server's life. Raises ArgumentError, ListenError."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Close every connection, and end listening."""
        raise NotImplementedError

    async def _listen(self) -> None:
        """Let clients connect. Raises ListenError, and ArgumentError for a certificate that is none."""
        config = self.config
        self._tls = server_context(config)
        if self._tls is None:
            warn_of_plain_text(config.host)
        listening = listen(
            self._connections.handle, config.host, config.port, process_request=self._connections.request,
            compression=None, open_timeout=config.handshake_timeout_s, ping_interval=None,
            close_timeout=CLOSE_TIMEOUT_S, max_size=config.max_message_bytes, server_header="Horizon ECS",
            create_connection=metered(self._connections.limits.frames, self._connections.flooded),
            ssl=self._tls, reuse_port=config.use_reuse_port or None
        )  # fmt: skip
        try:
            self._listener = await listening
        except OSError as error:
            reason = error.strerror or str(error)
            raise ListenError(error.errno, f"can't listen on {config.host} port {config.port}: {reason}") from None
        self._loop = asyncio.get_running_loop()

    async def _end(self, code: Close, reason: str) -> None:
        """Close every connection with this code, and end listening."""
        if self._listener is not None:
            self._listener.close(close_connections=False)  # it would close them with 1001 in any case
            await self._connections.close_all(code, reason)
            await self._listener.wait_closed()
        self._logs.close()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is to stop, at most so long; whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        return self._stop.is_set()

    def request_stop(self) -> None:
        """Let `wait` and `run` end; from any thread, once the server was started."""
        self._post(self._stop.set)

    def _post(self, function: Callable[..., Any], *args: Any) -> None:
        """Have the event loop call a function; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    @property
    def n_clients(self) -> int:
        """Connections, those included that have not joined yet."""
        return len(self._connections.seats)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return port_of(self._listener)

    @property
    def url(self) -> str:
        """Where the page is."""
        return url_of(self._listener, self.config.host, "https" if self.config.tls_certificate else "http")

    @property
    def ws_url(self) -> str:
        """Where clients connect to."""
        return self.url.replace("http", "ws", 1).rstrip("/") + wire.PATH

    @property
    def _where(self) -> str:
        """Its address, for a repr."""
        return self.url if self._listener is not None and self._listener.sockets else "not listening"


def port_of(listener: WebSocketServer | None) -> int:
    """The port that is listened on."""
    if listener is None or not listener.sockets:
        raise ArgumentError("the server isn't listening")
    return int(next(iter(listener.sockets)).getsockname()[1])


def url_of(listener: WebSocketServer | None, host: str, scheme: str = "http") -> str:
    """How whoever is on this machine reaches what listens."""
    if host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return f"{scheme}://{joined_address(host, port_of(listener))}/"
