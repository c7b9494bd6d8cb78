"""One client as its server sees it: bytes in, events out, and who gets frames at all. No I/O; `now` is an argument.

    state      what comes                    next       says
    GREETING   hello                         JOINING    Hello
    GREETING   anything else                 ENDED      Refused 4000–4003
    JOINING    (welcome goes out)            LIVE
    JOINING    ping                          JOINING    Reply
    LIVE       ping                          LIVE       Reply
    LIVE       an event with its records     LIVE       Input
    LIVE       an event with an object       LIVE       Said
    LIVE       acknowledgement               LIVE
    any        text, malformed, too many     ENDED      Refused
    ENDED      anything                      ENDED

Flow: a client acknowledges the ticks that it has applied. One that is more than a window behind what was sent is held:
nothing is framed for it. When it has acknowledged the last frame, one reset frame makes it whole. One that owes an
acknowledgement and makes no progress is given up. (What waits in a socket's buffer says nothing of how old it is.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from horizon_ecs.errors import WireError
from horizon_ecs.net import wire
from horizon_ecs.net.lag import Link
from horizon_ecs.net.limits import Limits
from horizon_ecs.net.wire import Close


class State(Enum):
    """See the table above."""

    GREETING = "greeting"
    JOINING = "joining"
    LIVE = "live"
    ENDED = "ended"


class Pace(Enum):
    """What flow control asks for."""

    AS_IS = "as is"
    RATE = "rate"
    HOLD = "hold"
    RESUME = "resume"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class Hello:
    """A client has introduced itself; `token` says who it is, `session` whom it was before its connection broke."""

    name: str
    about: Mapping[str, Any] = field(default_factory=dict)
    token: str = field(default="", repr=False)
    session: str = field(default="", repr=False)


@dataclass(frozen=True)
class Input:
    """Records of a declared event: `payload` is n whole ones, packed."""

    event: int
    payload: bytes
    n: int


@dataclass(frozen=True)
class Said:
    """An event that carries an object."""

    namespace: str
    event: str
    data: Any


@dataclass(frozen=True)
class Reply:
    """Bytes to send back."""

    payload: bytes


@dataclass(frozen=True)
class Refused:
    """The connection is to be closed."""

    code: Close
    reason: str


SessionEvent = Hello | Input | Said | Reply | Refused


class Session:
    """The protocol of one connection.

    Parameters
    ----------
    schema_hash : str
        Of what the server replicates.
    record_bytes : mapping of int to int
        By event's id, the size of a record.
    declared : container of str
        Names of the events that have records, and are not sent as objects.
    limits : Limits
        It has rows in there until `ended`.
    bounds : Bounds
    window_ticks : int
        How far acknowledgements may lag behind what was sent.
    ack_every : int
        Ticks after which a client is to acknowledge at the latest.
    stall_timeout_s : float
        How long a client that owes acknowledgements may make no progress.
    now : float
        When it begins.

    Attributes
    ----------
    heard_at : float
        When its last message came.
    """

    def __init__(
        self,
        *,
        schema_hash: str,
        record_bytes: Mapping[int, int],
        declared: Container[str] = (),
        limits: Limits,
        window_ticks: int,
        ack_every: int,
        stall_timeout_s: float,
        bounds: wire.Bounds = wire.USUAL,
        now: float = 0.0,
    ) -> None:
        self.state = State.GREETING
        self.held = False
        self.sent_tick = self._latest_tick = 0
        # Ticks of frames not yet acknowledged. Not only the first and the last: after a silence two that follow each
        # other may lie a second apart, and that's nobody's lag.
        self._owed: deque[int] = deque()
        self._schema_hash = schema_hash
        self._record_bytes = record_bytes
        self._declared = declared
        self._limits, self._bounds = limits, bounds
        self._message_row, self._request_row = limits.messages.enter(now), limits.requests.enter(now)
        self._has_rows = True
        self.heard_at = now
        self._window_ticks = window_ticks
        self._stall_timeout_s = stall_timeout_s
        self._progress_at = 0.0
        self.link = Link(ack_every / window_ticks)

    def joined(self, window_ticks: int | None = None) -> None:
        """The welcome goes out; it may name another window."""
        if self.state is State.JOINING:
            self.state = State.LIVE
            self._window_ticks = window_ticks or self._window_ticks

    def ended(self) -> None:
        """The connection is gone, or is to go."""
        self.state = State.ENDED
        if self._has_rows:
            self._limits.messages.leave(self._message_row)
            self._limits.requests.leave(self._request_row)
            self._has_rows = False

    # -- what comes in -----------------------------------------------------------------------------------------

    def receive(self, data: bytes | str, tick: int, now: float) -> SessionEvent | None:
        """One message from the client.

        Parameters
        ----------
        data : bytes or str
        tick : int
            The server's, for pongs.
        now : float
            Seconds of a clock that never falls.
        """
        if self.state is State.ENDED:
            return None
        try:
            said = self._refuse_flood(now) or self._read(data, tick, now)
        except WireError as error:
            said = Refused(Close.MALFORMED, str(error))
        if isinstance(said, Refused):
            self.ended()
        return said

    def _refuse_flood(self, now: float) -> Refused | None:
        self.heard_at = now
        messages = self._limits.messages
        if messages.take(self._message_row, 1, now):
            return None
        return Refused(Close.TOO_MANY, f"more than {messages.rate:g} messages a second")

    def _read(self, data: bytes | str, tick: int, now: float) -> SessionEvent | None:
        if isinstance(data, str):
            return Refused(Close.TEXT, "a text message; all messages are binary")
        if not data:
            raise WireError("an empty message")
        if self.state is State.GREETING:
            return self._greet(data)
        if data[0] >= 0x80:
            return self._answer(data, tick, now)
        if self.state is not State.LIVE:
            raise WireError("only pings may come before the welcome")
        if data[0] == wire.ACKNOWLEDGEMENT:
            self._acknowledge(wire.read_acknowledgement(data), now)
            return None
        return self._input(data, now)

    def _greet(self, data: bytes) -> SessionEvent:
        if data[0] < 0x80:
            return Refused(Close.NO_HELLO, "the first message must be hello")
        hello = wire.unpack(data, bounds=replace(self._bounds, text=max(self._bounds.text, wire.MAX_TOKEN)))
        if hello["type"] != "hello":
            return Refused(Close.NO_HELLO, f"the first message must be hello, not {hello['type']!r}")
        if hello.get("protocol") != wire.PROTOCOL:
            return Refused(Close.PROTOCOL, f"protocol {hello.get('protocol')!r}, this server speaks {wire.PROTOCOL}")
        if hello.get("schema", self._schema_hash) != self._schema_hash:
            return Refused(Close.SCHEMA, f"schema {hello['schema']!r}, this server has {self._schema_hash}")
        name, about = hello.get("name", ""), hello.get("about", {})
        if not isinstance(name, str) or len(name) > wire.MAX_NAME:
            raise WireError(f"name must be text of at most {wire.MAX_NAME} characters")
        if not isinstance(about, dict):
            raise WireError("about must be a map")
        wire.hold(about, self._bounds.depth - 1, self._bounds.text)
        secrets = {key: hello.get(key, "") for key in ("token", "session")}
        for key, secret in secrets.items():
            if not isinstance(secret, str) or len(secret) > wire.MAX_TOKEN:
                raise WireError(f"{key} must be text of at most {wire.MAX_TOKEN} characters")
        self.state = State.JOINING
        return Hello(name, about, **secrets)

    def _answer(self, data: bytes, tick: int, now: float) -> SessionEvent:
        message = wire.unpack(data, bounds=self._bounds)
        if message["type"] == "event" and self.state is State.LIVE:
            return self._say(message, now)
        if message["type"] != "ping":
            raise WireError(f"no message of type {message['type']!r}")
        stamp = message.get("t")
        if not isinstance(stamp, int | float | str | None):
            raise WireError(f"a ping's t must be a number, text or nil, not a {type(stamp).__name__}")
        return Reply(wire.pack({"type": "pong", "t": stamp, "tick": tick}))

    def _say(self, message: Mapping[str, Any], now: float) -> SessionEvent:
        namespace, event, data = wire.read_event(message)
        name = f"{namespace}.{event}" if namespace else event
        if name in self._declared:
            return Refused(Close.NO_SUCH_EVENT, f"{name} is sent as records, not as an object")
        if not wire.is_finite(data):
            return Refused(Close.NO_SUCH_EVENT, f"{name} has a float that is not finite")
        return self._refuse_requests(1, now) or Said(namespace, event, data)

    def _refuse_requests(self, n: int, now: float) -> Refused | None:
        requests = self._limits.requests
        if requests.take(self._request_row, n, now):
            return None
        return Refused(Close.TOO_MANY, f"more than {60 * requests.rate:g} records of events a minute")

    def _input(self, data: bytes, now: float) -> SessionEvent:
        size = self._record_bytes.get(data[0])
        if size is None:
            return Refused(Close.NO_SUCH_EVENT, f"no event {data[0]}")
        n = len(data) - 1
        if n == 0 or n % size:
            return Refused(Close.NO_SUCH_EVENT, f"{n} bytes of event {data[0]}, whose records have {size}")
        return self._refuse_requests(n // size, now) or Input(data[0], data[1:], n // size)

    # -- flow --------------------------------------------------------------------------------------------------

    def sent(self, tick: int, now: float) -> None:
        """A frame of `tick` went out; one of an earlier tick where a recording is played from there again."""
        if tick < self.sent_tick:
            self._owed.clear()
        if not self._owed:
            self._progress_at = now
        self._owed.append(tick)
        self.sent_tick = tick
        self._latest_tick = max(self._latest_tick, tick)

    def _acknowledge(self, tick: int, now: float) -> None:
        if tick > self._latest_tick:
            raise WireError(f"tick {tick} is acknowledged, but {self._latest_tick} was sent last")
        while self._owed and self._owed[0] <= tick:
            self._owed.popleft()
            self._progress_at = now

    @property
    def behind(self) -> int:
        """Ticks between the oldest frame that isn't acknowledged and the newest."""
        return self.sent_tick - self._owed[0] if self._owed else 0

    def pace(self, now: float) -> Pace:
        """What is to change for this client now, said once; RATE: what `link` says."""
        if self._owed and now - self._progress_at > self._stall_timeout_s:
            return Pace.GIVE_UP
        if self.held and not self._owed:
            self.held = False
            return Pace.RESUME
        if not self.held and self.behind > self._window_ticks:
            self.held = True
            return Pace.HOLD
        changes = not self.held and self.link.note(self.behind / self._window_ticks, now)
        return Pace.RATE if changes else Pace.AS_IS
