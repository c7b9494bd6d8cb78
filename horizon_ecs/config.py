"""Settings, frozen and checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from horizon_ecs.components import nearest
from horizon_ecs.errors import ArgumentError

MAX_PORT = 65_535


@dataclass(frozen=True)
class ServerConfig:
    """What a server listens on, and what it allows.

    Attributes
    ----------
    host : str
        Address to listen on.
    port : int
        0 lets the system pick one.
    max_connections : int
        Clients at a time; who comes beyond is refused with close code 1013. (A connection that is no WebSocket yet
        doesn't count: it ends with the handshake's timeout, and the system limits how many there are.)
    max_message_bytes : int
        Of one message from a client.
    max_messages_per_s : float
        From one client on average; twice as many may come at once. Frames that are no message of their own, such as
        pings and fragments, may be ten times as many.
    max_followed : int
        Entities that one observer follows at most.
    handshake_timeout_s : float
        For the HTTP upgrade, and again for the hello.
    window_s : float
        A client whose acknowledgements lag further behind what was sent gets nothing until it has caught up, then one
        reset frame. It bounds what waits for a client, and must exceed its round trip time.
    stall_timeout_s : float
        A client that owes acknowledgements and makes no progress for so long is closed with code 4006.
    hysteresis : float
        An observer follows from `radius` on and until `radius * (1 + hysteresis)`.
    max_catch_up : int
        A server that is late runs at most so many ticks without a pause; what it is late beyond that is dropped.
    page : bool
        Whether to serve the page that shows the world, on the same port.

    Raises
    ------
    ArgumentError
        Names the setting, what was expected and what came.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    max_connections: int = 1_000
    max_message_bytes: int = 4_096
    max_messages_per_s: float = 200.0
    max_followed: int = 4_096
    handshake_timeout_s: float = 5.0
    window_s: float = 1.0
    stall_timeout_s: float = 5.0
    hysteresis: float = 0.1
    max_catch_up: int = 8
    page: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.host, str):
            raise ArgumentError(f"host must be text, not {self.host!r}")
        _whole("port", self.port, 0, MAX_PORT)
        _whole("max_connections", self.max_connections, 1, 2**20)
        _whole("max_message_bytes", self.max_message_bytes, 64, 2**20)
        _whole("max_followed", self.max_followed, 1, 2**20)
        _whole("max_catch_up", self.max_catch_up, 1, 1_000)
        _number("max_messages_per_s", self.max_messages_per_s, 1.0, 1e6)
        _number("hysteresis", self.hysteresis, 0.0, 10.0)
        for name in ("handshake_timeout_s", "window_s", "stall_timeout_s"):
            _number(name, getattr(self, name), 0.01, 3_600.0)

    @classmethod
    def of(cls, **settings: Any) -> ServerConfig:
        """A configuration from keywords; an unknown one is an ArgumentError that names the nearest."""
        known = [f.name for f in fields(cls)]
        for name in settings:
            if name not in known:
                raise ArgumentError(f"there is no setting {name!r}{nearest(name, known)}")
        return cls(**settings)


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ArgumentError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def _number(name: str, value: Any, low: float, high: float) -> None:
    sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not sound or not low <= value <= high:
        raise ArgumentError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")
