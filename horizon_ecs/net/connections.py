"""Connections: sockets and sessions, on the event loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.protocol import State as SocketState

from horizon_ecs.config import NetworkConfig, ServerConfig
from horizon_ecs.event_names import full_name
from horizon_ecs.frames import Frames
from horizon_ecs.net import wire
from horizon_ecs.net.admission import Admission, Authenticate
from horizon_ecs.net.gate import Denied, Gate
from horizon_ecs.net.intake import Intake
from horizon_ecs.net.limits import Limits
from horizon_ecs.net.pages import Pages, plain
from horizon_ecs.net.players import Player, Seat
from horizon_ecs.net.rules import EventRule, Rules
from horizon_ecs.net.session import Hello, Input, Pace, Refused, Reply, Said, Session, State
from horizon_ecs.net.speaker import Told
from horizon_ecs.net.wire import Close
from horizon_ecs.tokens import AuthStatus

log = logging.getLogger("horizon_ecs.server")

ACKS_PER_S = 10
SWEEP_INTERVAL_S = 0.25
CLOSE_TIMEOUT_S = 2.0
MAX_BACKLOG_BYTES = 16 * 2**20  # as much as one frame may have: no honest client leaves more unread


class Backstage(Protocol):
    """What joins, leaves and inputs are told to."""

    @property
    def tick_count(self) -> int:
        """The tick for pongs."""

    def join(self, seat: Seat) -> None:
        """A client has introduced itself."""

    def leave(self, seat: Seat) -> None:
        """One that had introduced itself is gone."""

    def hold(self, seat: Seat) -> None:
        """Tell a client nothing until it is resumed."""

    def set_link(self, seat: Seat, rate: int) -> None:
        """Tell a client more seldom, or more often again: periods double `rate` times."""

    def resume(self, seat: Seat) -> None:
        """It has caught up."""

    def said(self, player: Player, said: Said) -> None:
        """An event with an object came from a client."""

    def auth_changed(self, player: Player, before: AuthStatus, now: AuthStatus) -> None:
        """Another thing is known of who a player is; from any thread."""

    def delivered(self) -> None:
        """A tick's frames have been handed on."""


class Connections:
    """Everybody who is connected.

    Parameters
    ----------
    config : ServerConfig
    schema : mapping
        What is replicated, and the events that clients may send.
    events : mapping of int to event class
        By their number on the wire.
    about : mapping
        For every welcome.
    tick_rate : float
    max_silence_ticks : int
    intake : Intake
        Where events are put that have come.
    authenticate, rules
        As for `Server`.

    Attributes
    ----------
    stage : Backstage
        What joins, leaves and inputs are posted to; set before the first connection.
    counters : Counter
        `refused:CODE`, `refused:STATUS:REASON`, `holds`, `resets`, `opened`, `events` (told to clients, each counted
        for each).
    admission : Admission
    gate : Gate
    limits : Limits
    endpoints : callable(connection, request) -> Response or None, optional
        Answers what is asked for before the page does.
    """

    stage: Backstage

    def __init__(
        self, config: ServerConfig, schema: Mapping[str, Any], events: Mapping[int, Any], about: Mapping[str, Any],
        tick_rate: float, max_silence_ticks: int, *, intake: Intake, authenticate: Authenticate | None = None,
        rules: Mapping[Any, EventRule] | None = None
    ) -> None:  # fmt: skip
        self.config = config
        self.counters: Counter[str] = Counter()
        self.seats: set[Seat] = set()
        self._most_clients = config.max_connections
        self._by_observer: list[Seat | None] = [None] * config.max_connections
        self._intake = intake
        self.gate = Gate(config)
        self.limits = Limits(config)
        self.admission = Admission(config, authenticate, told=lambda *change: self.stage.auth_changed(*change))
        self._rules = Rules(events, rules or {})
        self._pages = Pages(config.page)
        self.endpoints: Callable[[ServerConnection, Request], Response | None] | None = None
        self._closing: set[asyncio.Future[None]] = set()
        self._swept_at = 0.0
        window_ticks, ack_every = self._flow(tick_rate)
        self._limits = {
            "max_message_bytes": config.max_message_bytes,
            "window_ticks": window_ticks,
            "max_silence_ticks": max_silence_ticks,
        }
        self._welcome_message = {
            "type": "welcome",
            "protocol": wire.PROTOCOL,
            "schema_hash": wire.schema_hash(schema),
            "schema": schema,
            "tick_rate": tick_rate,
            "ack_every": ack_every,
            "about": about,
            "limits": self._limits,
        }
        self._session_settings: dict[str, Any] = {
            "schema_hash": self._welcome_message["schema_hash"],
            "record_bytes": {number: event.__hz_dtype__.itemsize for number, event in events.items()},
            "declared": frozenset(event.__hz_event__ for event in events.values()),
            "limits": self.limits,
            "window_ticks": window_ticks,
            "ack_every": ack_every,
        }
        self.configure(config)

    def configure(self, config: ServerConfig) -> None:
        """Take over what can change while clients are connected."""
        self.config = config
        self.gate.configure(config)
        self.limits.configure(config)
        self.admission.grace_s = config.reconnect_grace_s
        self._session_settings |= {
            "stall_timeout_s": config.stall_timeout_s,
            "bounds": wire.Bounds(config.max_json_depth, config.max_string_length, config.max_collection_size),
        }

    def _flow(self, tick_rate: float) -> tuple[int, int]:
        """Ticks that a client may lag behind, and after which it is to acknowledge."""
        window_ticks = max(1, round(self.config.window_s * tick_rate))
        return window_ticks, max(1, min(round(tick_rate / ACKS_PER_S), window_ticks // 4))

    # -- what comes in -----------------------------------------------------------------------------------------

    def request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain HTTP request, or one that is denied; None for the WebSocket's path."""
        joins = request.path.partition("?")[0] == wire.PATH
        denied = self._denied(connection, request, joins)
        if denied is not None:
            self.counters[f"refused:{denied.status.value}:{denied.reason}"] += 1
            said = {"address": self._address(connection), "status": denied.status.value, "reason": denied.text}
            log.info("%s was answered with %d: %s", *said.values(), extra=said)
            return plain(denied.status, denied.text)
        if joins:
            return None
        answer = self.endpoints(connection, request) if self.endpoints is not None else None
        return answer or self._pages.respond(request.path)

    def _denied(self, connection: ServerConnection, request: Request, joins: bool) -> Denied | None:
        origins, hosts = request.headers.get_all("Origin"), request.headers.get_all("Host")
        return self.gate.check(
            self._address(connection), joins=joins, origin=", ".join(origins) if origins else None,
            own_origins=[f"{scheme}://{host.lower()}" for scheme in ("http", "https") for host in hosts],
            now=time.perf_counter()
        )  # fmt: skip

    def _address(self, connection: ServerConnection) -> str:
        """Where a connection comes from, without the port; "" for sockets that have none."""
        peer = connection.remote_address
        said = connection.request.headers.get_all("X-Forwarded-For") if connection.request else []
        return self.gate.address(str(peer[0]) if isinstance(peer, tuple) and peer else "", said)

    async def handle(self, connection: ServerConnection) -> None:
        """One connection, from its handshake to its end."""
        if len(self.seats) >= self._most_clients:
            self.counters[f"refused:{int(Close.FULL)}"] += 1
            await connection.close(Close.FULL, f"Server at capacity: {self._most_clients} clients")
            return
        now = time.perf_counter()
        session = Session(**self._session_settings, now=now)
        address = self._address(connection)
        seat = Seat(connection, session, _descriptor(connection), address=address, rows=self._rules.enter(now))
        self.seats.add(seat)
        self.gate.enter(address)
        self.counters["opened"] += 1
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._greet(seat)
                async for data in connection:
                    self._receive(seat, data)
        finally:
            self.gate.leave(address)
            self._rules.leave(seat.rows)
            self._end(seat)

    def _end(self, seat: Seat) -> None:
        """Forget a connection that is gone."""
        self.seats.discard(seat)
        seat.gone = True
        seat.session.ended()
        sent = seat.connection.protocol.close_sent
        if sent is not None and sent.code in (Close.PROTOCOL_ERROR, Close.NOT_UTF8, Close.TOO_LONG):
            self.counters[f"refused:{sent.code}"] += 1  # the library found it out
        if seat.observer >= 0 and self._by_observer[seat.observer] is seat:
            self._by_observer[seat.observer] = None
        if seat.player is not None:
            seat.may_return = _merely_broke(seat.connection)
            self.stage.leave(seat)

    async def _greet(self, seat: Seat) -> None:
        """Wait for the hello, and for who knows whose it is, but not for ever."""
        lacks = "hello"
        try:
            async with asyncio.timeout(self.config.handshake_timeout_s):
                data = await seat.connection.recv()
                said = seat.session.receive(data, self.stage.tick_count, time.perf_counter())
                if isinstance(said, Hello):
                    lacks = "answer who this is"
                    await self._enter(seat, said)
        except TimeoutError:
            self.refuse(seat, Close.LATE_HELLO, f"no {lacks} in {self.config.handshake_timeout_s:g} s")
        else:
            if isinstance(said, Refused):
                self.refuse(seat, said.code, said.reason)

    async def _enter(self, seat: Seat, hello: Hello) -> None:
        """Let somebody who has introduced itself join, if it is who it says."""
        player = await self.admission.admit(hello, seat.address)
        if isinstance(player, Refused):
            self.refuse(seat, player.code, player.reason)
        else:
            seat.player = player
            self.stage.join(seat)

    def _receive(self, seat: Seat, data: bytes | str) -> None:
        now = time.perf_counter()
        said = seat.session.receive(data, self.stage.tick_count, now)
        if isinstance(said, Input):
            self._input(seat, said, now)
        elif isinstance(said, Said):
            self._object(seat, said, now)
        elif isinstance(said, Reply):
            self._write(seat, memoryview(wire.message(said.payload)))
        elif isinstance(said, Refused):
            self.refuse(seat, said.code, said.reason)
        elif seat.session.held:
            self._pace(seat, now)

    def _input(self, seat: Seat, said: Input, now: float) -> None:
        assert seat.player is not None  # it is live
        refused = self._rules.check(said.event, said.n, seat.player, seat.rows, now)
        if refused is not None:
            self.refuse(seat, refused.code, refused.reason)
        else:
            self._intake.put(said.event, seat, said.payload)

    def _object(self, seat: Seat, said: Said, now: float) -> None:
        assert seat.player is not None  # it is live
        name = full_name(said.namespace, said.event)
        refused = self._rules.check(name, 1, seat.player, seat.rows, now)
        if refused is not None:
            self.refuse(seat, refused.code, refused.reason)
        else:
            self.stage.said(seat.player, said)

    def flooded(self, connection: ServerConnection) -> None:
        """A connection sends more frames than any client has reason to: end it at once."""
        self.counters[f"refused:{int(Close.TOO_MANY)}"] += 1
        connection.transport.abort()

    # -- what goes out -----------------------------------------------------------------------------------------

    def refuse(self, seat: Seat, code: Close, reason: str) -> None:
        """Close a connection, without waiting for it; once."""
        seat.session.ended()
        if seat.gone or seat.refused:
            return
        seat.refused = True
        self.counters[f"refused:{int(code)}"] += 1
        said = {"address": seat.address, "code": int(code), "reason": reason}
        log.info("client %s closed with %d: %s", *said.values(), extra=said)
        closing = asyncio.ensure_future(_close(seat.connection, code, reason))
        self._closing.add(closing)  # the event loop itself keeps no hold of it
        closing.add_done_callback(self._closing.discard)

    async def close_all(self, code: Close, reason: str) -> None:
        """Close every connection, and wait for it, but not for long."""
        await asyncio.gather(*(_close(seat.connection, code, reason) for seat in self.seats))

    def welcome(self, seat: Seat, phase: int, tick: int, tick_rate: float | None = None) -> None:
        """Tell a client that it has joined, and a tick rate if it has one of its own."""
        if seat.gone or seat.player is None or seat.session.state is not State.JOINING:
            return
        self._by_observer[seat.observer] = seat
        own: dict[str, Any] = {}
        window_ticks = None
        if tick_rate is not None:
            window_ticks, ack_every = self._flow(tick_rate)
            limits = {**self._limits, "window_ticks": window_ticks}
            own = {"tick_rate": tick_rate, "ack_every": ack_every, "limits": limits}
        seat.session.joined(window_ticks)
        own |= {"tick": tick, "phase": phase, "observer": seat.observer, "entity": seat.player.entity}
        if seat.player.session:
            own |= {"session": seat.player.session, "returned": seat.player.n_returns > 0}
        self._write(seat, memoryview(wire.message(wire.pack({**self._welcome_message, **own}))))

    def deliver(self, frames: Frames) -> None:
        """Hand a tick's frames to the sockets."""
        now = time.perf_counter()
        try:
            spans = zip(frames.observers.tolist(), frames.start.tolist(), frames.stop.tolist(), strict=True)
            for observer, start, stop in spans:
                seat = self._by_observer[observer]
                if seat is not None:
                    self.tell(seat, frames.tick, frames.buffer[start:stop], now)
        finally:
            self.stage.delivered()
        self.sweep(now)

    def tell(self, seat: Seat, tick: int, message: memoryview, now: float) -> None:
        """Send one client its frame of a tick, a whole message."""
        self._write(seat, message)
        seat.session.sent(tick, now)
        self._pace(seat, now)

    def sweep(self, now: float) -> None:
        """Look now and then who of those that are told nothing owes an answer, who is silent, and whose time is up."""
        if now - self._swept_at <= SWEEP_INTERVAL_S:
            return
        self._swept_at = now
        unix_s = time.time()
        for seat in self.seats:
            if seat.session.state is not State.LIVE or seat.player is None:
                continue
            if now - seat.session.heard_at > self.config.connection_timeout_s:
                self.refuse(seat, Close.IDLE, f"nothing was heard for {self.config.connection_timeout_s:g} s")
            elif seat.player.expires_at is not None and unix_s >= seat.player.expires_at:
                self.refuse(seat, Close.UNAUTHORISED, "the token has expired")
            else:
                self._pace(seat, now)

    def ban(self, network: str, until: float | None) -> None:
        """Turn an address or network away, and close what is connected from there. Raises ArgumentError."""
        self.gate.ban(network, until)
        now = time.perf_counter()
        for seat in self.seats:
            if self.gate.is_banned(seat.address, now):
                self.refuse(seat, Close.BANNED, "banned")

    def broadcast(self, message: bytes) -> None:
        """Send a whole message to everybody who keeps up."""
        for seat in self.seats:
            if seat.session.state is State.LIVE and not seat.session.held:
                self._write(seat, memoryview(message))

    def tell_events(self, told: Sequence[Told]) -> None:
        """Send clients what the application says to them, also to those that don't keep up: all of it, or they end.
        `batch_size` messages are handed to the socket at once."""
        waiting: dict[Seat, list[bytes]] = {}
        for players, message in told:
            if players is None:
                seats = [seat for seat in self.seats if seat.session.state is State.LIVE]
            else:
                seats = [seat for player in players if (seat := self._seat_of(player)) is not None]
            self.counters["events"] += len(seats)
            for seat in seats:
                waiting.setdefault(seat, []).append(message)
        size = (self.config.network or NetworkConfig()).batch_size
        for seat, messages in waiting.items():
            for first in range(0, len(messages), size):
                self._write(seat, memoryview(b"".join(messages[first : first + size])))

    def _seat_of(self, player: Player) -> Seat | None:
        """Where a player sits, if it is still there: its number may be another's by now."""
        seat = self._by_observer[player.observer] if player.observer >= 0 else None
        return seat if seat is not None and seat.player is player else None

    def _write(self, seat: Seat, data: memoryview) -> None:
        """Send a whole message, in order with what the connection itself sends."""
        transport = seat.connection.transport
        if transport.is_closing() or seat.connection.state is not SocketState.OPEN:
            return
        if seat.descriptor >= 0 and transport.get_write_buffer_size() == 0:
            # What it doesn't take, and whatever is wrong with it, is the transport's affair.
            with contextlib.suppress(OSError):
                data = data[os.write(seat.descriptor, data) :]
        if len(data):
            transport.write(bytes(data))  # a copy: the buffer's turn comes again before this is through
        if transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            # It says that it keeps up, but doesn't read.
            self.counters[f"refused:{int(Close.STALLED)}"] += 1
            transport.abort()

    def _pace(self, seat: Seat, now: float) -> None:
        """Hold, resume or give up a client, as its acknowledgements say."""
        if seat.session.state is not State.LIVE:
            return
        pace = seat.session.pace(now)
        if pace is Pace.HOLD:
            self.counters["holds"] += 1
            self.stage.hold(seat)
        elif pace is Pace.RESUME:
            self.counters["resets"] += 1
            self.stage.resume(seat)
        elif pace is Pace.RATE:
            self.counters["rate_changes"] += 1
            self.stage.set_link(seat, seat.session.link.rate)
        elif pace is Pace.GIVE_UP:
            self.refuse(seat, Close.STALLED, f"nothing acknowledged for {self.config.stall_timeout_s:g} s")


async def _close(connection: ServerConnection, code: Close, reason: str) -> None:
    """Close a connection; one that reads nothing is cut off after a while, since no close frame reaches it either."""
    with contextlib.suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await connection.close(code, wire.reason(reason))
    connection.transport.abort()


def _merely_broke(connection: ServerConnection) -> bool:
    """Whether a connection ended without anybody meaning it to: so that its client may want to come back."""
    protocol = connection.protocol
    if protocol.close_rcvd is not None and protocol.close_rcvd_then_sent:
        return protocol.close_rcvd.code != CloseCode.NORMAL_CLOSURE
    return protocol.close_sent is None or protocol.close_sent.code in (Close.STALLED, Close.IDLE)


def _descriptor(connection: ServerConnection) -> int:
    """The socket: what it takes at once need not pass through asyncio; -1 for TLS and Windows, where it must."""
    transport = connection.transport
    if sys.platform == "win32" or transport.get_extra_info("ssl_object") is not None:
        return -1
    return int(transport.get_extra_info("socket").fileno())
