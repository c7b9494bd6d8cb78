"""Connections: sockets and sessions, on the event loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State as SocketState

from horizon_ecs.config import ServerConfig
from horizon_ecs.frames import Frames
from horizon_ecs.net import wire
from horizon_ecs.net.pages import Pages
from horizon_ecs.net.players import Player, Seat
from horizon_ecs.net.session import Hello, Input, Pace, Refused, Reply, Session, State
from horizon_ecs.net.wire import Close

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

    def input(self, event: type, player: Player, records: Any) -> None:
        """Records of an event came from a client."""

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

    Attributes
    ----------
    stage : Backstage
        What joins, leaves and inputs are posted to; set before the first connection.
    counters : Counter
        `refused:CODE`, `holds`, `resets`.
    """

    stage: Backstage

    def __init__(
        self, config: ServerConfig, schema: Mapping[str, Any], events: Mapping[int, Any], about: Mapping[str, Any],
        tick_rate: float, max_silence_ticks: int
    ) -> None:  # fmt: skip
        self.config = config
        self.counters: Counter[str] = Counter()
        self.seats: set[Seat] = set()
        self._by_observer: list[Seat | None] = [None] * config.max_connections
        self._events = events
        self._pages = Pages(config.page)
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
            "max_messages_per_s": config.max_messages_per_s,
            "window_ticks": window_ticks,
            "ack_every": ack_every,
            "stall_timeout_s": config.stall_timeout_s,
        }

    def configure(self, config: ServerConfig) -> None:
        """Take over what can change while clients are connected."""
        self.config = config
        self._session_settings |= {
            "max_messages_per_s": config.max_messages_per_s,
            "stall_timeout_s": config.stall_timeout_s,
        }

    def _flow(self, tick_rate: float) -> tuple[int, int]:
        """Ticks that a client may lag behind, and after which it is to acknowledge."""
        window_ticks = max(1, round(self.config.window_s * tick_rate))
        return window_ticks, max(1, min(round(tick_rate / ACKS_PER_S), window_ticks // 4))

    # -- what comes in -----------------------------------------------------------------------------------------

    def request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain HTTP request; None for the WebSocket's path."""
        return None if request.path.partition("?")[0] == wire.PATH else self._pages.respond(request.path)

    async def handle(self, connection: ServerConnection) -> None:
        """One connection, from its handshake to its end."""
        if len(self.seats) >= self.config.max_connections:
            self.counters[f"refused:{int(Close.FULL)}"] += 1
            await connection.close(Close.FULL, f"the server is at capacity: {self.config.max_connections} clients")
            return
        seat = Seat(connection, Session(**self._session_settings), _descriptor(connection))
        self.seats.add(seat)
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._greet(seat)
                async for data in connection:
                    self._receive(seat, data)
        finally:
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
            self.stage.leave(seat)

    async def _greet(self, seat: Seat) -> None:
        """Wait for the hello, but not for ever."""
        try:
            async with asyncio.timeout(self.config.handshake_timeout_s):
                data = await seat.connection.recv()
        except TimeoutError:
            self.refuse(seat, Close.LATE_HELLO, f"no hello in {self.config.handshake_timeout_s:g} s")
        else:
            self._receive(seat, data)

    def _receive(self, seat: Seat, data: bytes | str) -> None:
        now = time.perf_counter()
        said = seat.session.receive(data, self.stage.tick_count, now)
        if isinstance(said, Input):
            self._input(seat, said)
        elif isinstance(said, Hello):
            peer = seat.connection.remote_address
            seat.player = Player(said.name, said.about, str(peer[0]) if peer else "")
            self.stage.join(seat)
        elif isinstance(said, Reply):
            self._write(seat, memoryview(wire.message(said.payload)))
        elif isinstance(said, Refused):
            self.refuse(seat, said.code, said.reason)
        elif seat.session.held:
            self._pace(seat, now)

    def _input(self, seat: Seat, said: Input) -> None:
        event = self._events[said.event]
        records = np.frombuffer(said.payload, event.__hz_dtype__)
        for name in records.dtype.names or ():
            # A number that isn't one would spread through every system that reads it.
            if records[name].dtype.kind == "f" and not np.isfinite(records[name]).all():
                self.refuse(seat, Close.NO_SUCH_EVENT, f"{event.__hz_event__}.{name} is not finite")
                return
        if seat.player is not None:
            self.stage.input(event, seat.player, records)

    def flooded(self, connection: ServerConnection) -> None:
        """A connection sends more frames than any client has reason to: end it at once."""
        self.counters[f"refused:{int(Close.TOO_MANY)}"] += 1
        connection.transport.abort()

    # -- what goes out -----------------------------------------------------------------------------------------

    def refuse(self, seat: Seat, code: Close, reason: str) -> None:
        """Close a connection, without waiting for it."""
        seat.session.ended()
        if seat.gone:
            return
        self.counters[f"refused:{int(code)}"] += 1
        log.info("client %s closed with %d: %s", seat.connection.remote_address, code, reason)
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
        """Look now and then who of those that are told nothing owes an answer."""
        if now - self._swept_at > SWEEP_INTERVAL_S:
            self._swept_at = now
            for seat in self.seats:
                self._pace(seat, now)

    def broadcast(self, message: bytes) -> None:
        """Send a whole message to everybody who keeps up."""
        for seat in self.seats:
            if seat.session.state is State.LIVE and not seat.session.held:
                self._write(seat, memoryview(message))

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


def _descriptor(connection: ServerConnection) -> int:
    """The socket: what it takes at once need not pass through asyncio; -1 for TLS and Windows, where it must."""
    transport = connection.transport
    if sys.platform == "win32" or transport.get_extra_info("ssl_object") is not None:
        return -1
    return int(transport.get_extra_info("socket").fileno())
