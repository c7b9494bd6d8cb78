"""A client for asyncio: follows one server, keeps a Replica, acknowledges by itself.

async with connect("ws://127.0.0.1:8080/ws") as client:
    async for replica in client:
        print(replica.tick, replica.column("Position", "x"))
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
import time
from collections.abc import AsyncIterator, Generator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_connection
from websockets.exceptions import ConnectionClosed as SocketClosed
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from horizon_ecs import kernel
from horizon_ecs.callbacks import Callbacks
from horizon_ecs.components import nearest
from horizon_ecs.errors import STATUSES, ArgumentError, ConnectionClosed, WireError
from horizon_ecs.event_names import check_name, check_namespace, full_name
from horizon_ecs.net import wire
from horizon_ecs.net.clock import ServerClock
from horizon_ecs.net.gate import is_loopback
from horizon_ecs.net.wire import Close
from horizon_ecs.replica import Replica

MAX_FRAME_BYTES = 16 * 2**20
MAX_RECORDS = 256  # of one message
PING_EVERY_S = 2.0
NO_CODE = 1006  # what WebSockets say where no close code came


class Client:
    """A connection whose handshake is through; made by `connect`.

    Frames have to be read (`next_frame`, or `async for`), since what was applied is what is acknowledged: the server
    gives up a client that acknowledges nothing for long, also one that only sends.

    Attributes
    ----------
    welcome : mapping
        What the server said first (docs/wire.md, "Handshake").
    replica : Replica
        What is known, as of the last frame.
    clock : ServerClock
        The server's, by the seconds of `time.perf_counter`; kept by frames and by a ping every two seconds.
    callbacks : Callbacks
        Told of every frame, and of what the server's application says.
    stats : mapping
        What the server last said of itself.
    received_bytes, sent_bytes : int
    """

    def __init__(self, connection: ClientConnection, welcome: Mapping[str, Any], callbacks: Callbacks) -> None:
        self.welcome = welcome
        self.replica = Replica(welcome["schema"], phase=welcome["phase"])
        self.clock = ServerClock(float(welcome["tick_rate"]))
        self.callbacks = callbacks
        self.stats: Mapping[str, Any] = {}
        self.received_bytes = self.sent_bytes = 0
        self._connection = connection
        self._events = {event["name"]: event for event in welcome["schema"]["events"]}
        self._ack_every = int(welcome["ack_every"])
        self._ack_after_s = self._ack_every / float(welcome["tick_rate"])
        self._acknowledged = -1
        self._ack_timer: asyncio.TimerHandle | None = None
        self._acking: asyncio.Task[None] | None = None
        self._pinged_at = -math.inf
        self._pongs: asyncio.Queue[tuple[float, int]] = asyncio.Queue(maxsize=16)

    def __repr__(self) -> str:
        return f"Client(observer {self.observer}, tick {self.replica.tick}, {self.replica.n} entities followed)"

    @property
    def entity(self) -> int:
        """Handle of this client's own entity, 0 if it has none."""
        return int(self.welcome["entity"])

    @property
    def observer(self) -> int:
        """This client's number on the server."""
        return int(self.welcome["observer"])

    @property
    def session(self) -> str:
        """The secret with which it may come back if its connection breaks (`connect(session=)`); "" where none may."""
        return str(self.welcome.get("session", ""))

    async def next_frame(self) -> Replica:
        """Wait for the next state frame, apply it and acknowledge; everything else that comes is taken care of.

        Raises
        ------
        ConnectionClosed
            The server closed, or is gone.
        WireError
            It sent what docs/wire.md doesn't know; the connection is closed with 4000.
        """
        while True:
            data = await self._receive()
            try:
                if not isinstance(data, bytes) or not data:
                    raise WireError("a text or an empty message")
                if data[0] < 0x80:
                    self.replica.apply(data)
                    self._owe()
                    await self._keep_time()
                    self.callbacks.frame(self.replica)
                    return self.replica
                self._note(wire.unpack(data, trusted=True))
            except WireError as error:
                await self._connection.close(Close.MALFORMED, wire.reason(str(error)))
                raise

    async def _receive(self) -> bytes | str:
        try:
            data = await self._connection.recv()
        except SocketClosed as closed:
            raise _closed(closed) from None
        self.received_bytes += len(data)
        return data

    async def _keep_time(self) -> None:
        now = time.perf_counter()
        self.clock.frame(self.replica.tick, now)
        if now - self._pinged_at > PING_EVERY_S:
            self._pinged_at = now
            with contextlib.suppress(ConnectionClosed):  # who waits for the next frame is told
                await self._send(wire.pack({"type": "ping", "t": now}))

    def _owe(self) -> None:
        """Acknowledge now, or soon.

        Without the timer the last frame before a silence would stay unacknowledged, and a client that the server holds
        would never be let go.
        """
        if self.replica.was_reset or self.replica.tick - self._acknowledged >= self._ack_every:
            self._acknowledge()
        elif self._ack_timer is None:
            self._ack_timer = asyncio.get_running_loop().call_later(self._ack_after_s, self._acknowledge)

    def _acknowledge(self) -> None:
        self._forget_timer()
        if self._acking is not None and not self._acking.done():
            self._ack_timer = asyncio.get_running_loop().call_later(self._ack_after_s, self._acknowledge)
            return
        self._acknowledged = self.replica.tick
        self._acking = asyncio.ensure_future(self._send_acknowledgement(self._acknowledged))

    async def _send_acknowledgement(self, tick: int) -> None:
        with contextlib.suppress(ConnectionClosed):  # who waits for the next frame is told
            await self._send(wire.acknowledgement(tick))

    def _forget_timer(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None

    def _note(self, message: Mapping[str, Any]) -> None:
        """Take over what a message says; types that are not known come from later servers."""
        if message["type"] == "stats":
            self.stats = message
        elif message["type"] == "event":
            self.callbacks.said(*wire.read_event(message))
        elif message["type"] == "pong":
            sent_at, tick, now = message.get("t"), message.get("tick"), time.perf_counter()
            if not isinstance(sent_at, float) or not isinstance(tick, int) or not 0 <= now - sent_at < math.inf:
                raise WireError("a pong without the time that was sent, or without a tick")
            self.clock.pong(sent_at, tick, now)
            if sent_at != self._pinged_at and not self._pongs.full():
                self._pongs.put_nowait((now - sent_at, tick))

    async def send(self, event: str, records: Any = None, **values: Any) -> None:
        """Send an event that the server declares: `await client.send("steer", x=1.0, y=0.0)`.

        Parameters
        ----------
        event : str
        records : structured array, optional
            Several records at once, at most 256.
        **values
            One record; a field that isn't given is 0.

        Raises
        ------
        ArgumentError, ConnectionClosed
        """
        declared = self._events.get(event)
        if declared is None:
            raise ArgumentError(f"the server declares no event {event!r}{nearest(event, self._events)}")
        await self._send(bytes([declared["id"]]) + _pack(declared, records, values).tobytes())

    async def emit(self, namespace: str, event: str, data: Any = None) -> None:
        """Tell the server's handlers of an event: `await client.emit("chat", "message", {"text": "Hello"})`.

        One that the server declares goes as records, everything else as an object.

        Parameters
        ----------
        namespace, event : str
            At most 64 characters each, and no point in the first.
        data
            Of a declared event, a mapping from field to value, or a structured array; otherwise of numbers, text,
            bytes, lists and maps, with finite floats, and no longer than the server takes
            (`welcome["limits"]["max_message_bytes"]`).

        Raises
        ------
        ArgumentError, ConnectionClosed
        """
        name = full_name(check_namespace(namespace), check_name("event", event))
        if name in self._events:
            if data is None or isinstance(data, Mapping):
                await self.send(name, **(data or {}))
            else:
                await self.send(name, data)
            return
        packed, limit = wire.pack_event(namespace, event, data), self.welcome["limits"]["max_message_bytes"]
        if len(packed) > limit or not wire.is_finite(data):
            raise ArgumentError(f"{name} takes finite numbers, and at most {limit} bytes, not {data!r:.200}")
        await self._send(packed)

    async def ping(self) -> None:
        """Ask for a pong; `pongs` has its round trip once a frame was waited for.

        The clock needs none of these: it has its own.
        """
        await self._send(wire.pack({"type": "ping", "t": time.perf_counter()}))

    def pongs(self) -> list[tuple[float, int]]:
        """Round trips in seconds, with the server's tick, that came since this was last asked."""
        return [self._pongs.get_nowait() for _ in range(self._pongs.qsize())]

    async def _send(self, data: bytes) -> None:
        try:
            await self._connection.send(data)
        except SocketClosed as closed:
            raise _closed(closed) from None
        self.sent_bytes += len(data)

    async def close(self) -> None:
        """Close the connection; it may be closed already."""
        self._forget_timer()
        await self._connection.close()

    async def __aiter__(self) -> AsyncIterator[Replica]:
        """The replica after each frame, until the server closes normally or because it stops (1000, 1001)."""
        try:
            while True:
                yield await self.next_frame()
        except ConnectionClosed as closed:
            if closed.code not in (1000, Close.STOPPING):
                raise

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _closed(closed: SocketClosed) -> ConnectionClosed:
    received = closed.rcvd or closed.sent
    return ConnectionClosed(received.code, received.reason) if received else ConnectionClosed(NO_CODE, "no close frame")


def _pack(event: Mapping[str, Any], records: Any, values: Mapping[str, Any]) -> NDArray[Any]:
    """Records of an event, as the wire has them."""
    dtype = np.dtype([(name, f"<{code}") for name, code in event["fields"]])
    if records is None:
        for name in values:
            if name not in (dtype.names or ()):
                raise ArgumentError(f"event {event['name']!r} has no field {name!r}{nearest(name, dtype.names or ())}")
        row = np.zeros(1, dtype)
        for name, value in values.items():
            row[name] = _number(event["name"], name, value, dtype[name])
        return row
    rows = np.atleast_1d(np.asarray(records))
    if values or rows.dtype.names != dtype.names or not 1 <= len(rows) <= MAX_RECORDS:
        raise ArgumentError(
            f"records of {event['name']!r} must be a structured array of 1 to {MAX_RECORDS} rows with the fields "
            f"{list(dtype.names or ())}, not {rows.dtype} × {len(rows)}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        packed = rows.astype(dtype)
    for name in dtype.names or ():
        kept, real = packed[name], dtype[name].kind == "f"
        if not (np.isfinite(kept) if real else kept == rows[name]).all():
            raise ArgumentError(
                f"{event['name']}.{name} takes {'finite ' * real}{dtype[name].name}, not all of {rows[name]}"
            )
    return packed


def _number(event: str, name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """A value that a field can hold as it is. Raises ArgumentError."""
    sound = isinstance(value, bool | int | float | np.number | np.bool_) and math.isfinite(value)
    if sound and dtype.kind == "f" and abs(value) <= np.finfo(dtype).max:
        return value
    if sound and dtype.kind == "b" and value in (0, 1):
        return bool(value)
    if sound and dtype.kind in "iu" and int(value) == value and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return int(value)
    raise ArgumentError(f"{event}.{name} takes a finite {dtype.name}, not {value!r}")


class connect:
    """Connect to a server: `async with connect(url) as client`, or `client = await connect(url)`.

    Parameters
    ----------
    url : str
        `ws://host:port/ws`
    name : str
        Who this is, at most 64 characters.
    about : mapping, optional
        For the application.
    schema : str, optional
        The hash that this client was built for; a server with another schema refuses it with 4003.
    token : str
        Says who this is, for servers that ask (`HmacTokens`).
    session : str
        `Client.session` of a connection that broke: the entity is the same as before, if the server still keeps it.
    tls : ssl.SSLContext, optional
        For `wss`, where the certificate isn't one that this machine trusts.
    timeout_s : float
        For the whole handshake.
    callbacks : Callbacks, optional
        What is to be told of every frame; those of an earlier connection go on where they were.

    Raises
    ------
    ConnectionClosed
        The server refused; `code` says why (docs/wire.md, "Close codes").
    OSError, TimeoutError
        Nobody answers.
    WireError
        What answers isn't such a server.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        about: Mapping[str, Any] | None = None,
        schema: str | None = None,
        token: str = "",
        session: str = "",
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
        callbacks: Callbacks | None = None,
    ) -> None:
        self._url = url
        self._callbacks = callbacks or Callbacks()
        self._timeout_s = timeout_s
        hello: dict[str, Any] = {"type": "hello", "protocol": wire.PROTOCOL, "name": name, "about": dict(about or {})}
        optional = {"schema": schema, "token": token or None, "session": session or None}
        self._hello = wire.pack({**hello, **{key: value for key, value in optional.items() if value is not None}})
        self._tls = tls
        self._client: Client | None = None

    async def _connect(self) -> Client:
        if not self._url.startswith(("ws://", "wss://")):
            raise ArgumentError(f"url must be ws://host:port{wire.PATH} (or wss://), not {self._url!r}")
        # Compiled now: the server wouldn't wait for it later.
        await asyncio.get_running_loop().run_in_executor(None, kernel.warm_up, "decode")
        encryption: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls}
        async with asyncio.timeout(self._timeout_s):
            try:
                connection = await open_connection(
                    self._url, compression=None, max_size=MAX_FRAME_BYTES, ping_interval=None, open_timeout=None,
                    close_timeout=2.0, proxy=None if is_loopback(urlsplit(self._url).hostname or "") else True,
                    **encryption
                )  # fmt: skip
            except InvalidStatus as error:
                if error.response.status_code not in STATUSES:
                    raise WireError(f"{self._url} is no such server: {error}") from None
                said = (error.response.body or b"").decode(errors="replace").strip()
                raise ConnectionClosed(error.response.status_code, said) from None
            except (InvalidHandshake, InvalidURI) as error:
                raise WireError(f"{self._url} is no such server: {error}") from None
            try:
                return await self._greet(connection)
            except BaseException:
                await connection.close()
                raise

    async def _greet(self, connection: ClientConnection) -> Client:
        try:
            await connection.send(self._hello)
            data = await connection.recv()
        except SocketClosed as closed:
            raise _closed(closed) from None
        if not isinstance(data, bytes):
            raise WireError("a text message instead of the welcome")
        welcome = wire.unpack(data, trusted=True)
        if welcome["type"] != "welcome" or welcome.get("protocol") != wire.PROTOCOL:
            raise WireError(f"{welcome['type']!r} of protocol {welcome.get('protocol')!r} instead of the welcome")
        try:
            return Client(connection, welcome, self._callbacks)
        except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            raise WireError(f"the welcome is malformed: {type(error).__name__}: {error}") from error

    def __await__(self) -> Generator[Any, None, Client]:
        return self._connect().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
