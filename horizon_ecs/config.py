"""Settings, frozen and checked when they are made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from datetime import timedelta
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
    adaptive_rates : bool
        Whether channels are due more seldom while the server is late, and for a client whose acknowledgements lag, and
        then by and by as often as their layers say again (`adaptive`).
    show_regions : bool
        Whether each second's statistics tell all clients in which regions of the search how many entities are, up to
        512 of them: to look at, since it tells where crowds are that a client doesn't see, and takes time.
    page : bool
        Whether to serve the page that shows the world, on the same port.
    metrics : bool
        Whether to answer `/metrics`, `/status`, `/health` and `/ready`, and to let sessions be seen and ended:
        `/sessions`, `/kick`, and with `page` at `/admin`.
    metrics_port : int, optional
        A port of their own; 0 lets the system pick one. Without, they are on the same port.
    metrics_host : str, optional
        The address of that port; by default `host`.
    metrics_token : str, optional
        Who asks for more than health must say it (`Authorization: Bearer …`); 16 characters or more. Without, only who
        asks from this machine is told, and no proxy.

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
    adaptive_rates: bool = True
    show_regions: bool = False
    page: bool = True
    metrics: bool = True
    metrics_port: int | None = None
    metrics_host: str | None = None
    metrics_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.host, str):
            raise ArgumentError(f"host must be text, not {self.host!r}")
        self._check_metrics()
        for name in ("adaptive_rates", "show_regions", "page", "metrics"):
            if not isinstance(getattr(self, name), bool):
                raise ArgumentError(f"{name} must be True or False, not {getattr(self, name)!r}")
        _whole("port", self.port, 0, MAX_PORT)
        _whole("max_connections", self.max_connections, 1, 2**20)
        _whole("max_message_bytes", self.max_message_bytes, 64, 2**20)
        _whole("max_followed", self.max_followed, 1, 2**20)
        _whole("max_catch_up", self.max_catch_up, 1, 1_000)
        _number("max_messages_per_s", self.max_messages_per_s, 1.0, 1e6)
        _number("hysteresis", self.hysteresis, 0.0, 10.0)
        for name in ("handshake_timeout_s", "window_s", "stall_timeout_s"):
            _number(name, getattr(self, name), 0.01, 3_600.0)

    def _check_metrics(self) -> None:
        if self.metrics_port is not None:
            _whole("metrics_port", self.metrics_port, 0, MAX_PORT)
        if self.metrics_host is not None and not isinstance(self.metrics_host, str):
            raise ArgumentError(f"metrics_host must be text, not {self.metrics_host!r}")
        token = self.metrics_token
        if token is not None and not (isinstance(token, str) and re.fullmatch(r"[!-~]{16,}", token)):
            # What it is stays out of logs.
            raise ArgumentError("metrics_token must be 16 or more letters, digits and signs of ASCII, without spaces")

    @classmethod
    def of(cls, **settings: Any) -> ServerConfig:
        """A configuration from keywords; an unknown one is an ArgumentError that names the nearest."""
        known = [f.name for f in fields(cls)]
        for name in settings:
            if name not in known:
                raise ArgumentError(f"there is no setting {name!r}{nearest(name, known)}")
        return cls(**settings)


@dataclass(frozen=True)
class SpatialConfig:
    """How space is divided for the search of who is near whom.

    It changes what a tick costs; of what is sent, only the order of those that enter at the same tick.

    Attributes
    ----------
    min_region_size, max_region_size : float
        World units: the edge of a region in crowded and in sparse places.
    split_threshold : int
        A region with more objects than this is split.
    merge_threshold : int
        Regions with fewer objects than this are merged; below `split_threshold`, so that none flickers.

    Raises
    ------
    ArgumentError
        Names the setting, what was expected and what came.

    Source: Horizon guide, "Spatial Partitioning Tuning".
    """

    min_region_size: float = 100.0
    max_region_size: float = 1_000.0
    split_threshold: int = 50
    merge_threshold: int = 10

    def __post_init__(self) -> None:
        _number("min_region_size", self.min_region_size, 1e-6, 1e12)
        _number("max_region_size", self.max_region_size, self.min_region_size, 1e12)
        _whole("split_threshold", self.split_threshold, 1, 2**31)
        _whole("merge_threshold", self.merge_threshold, 0, self.split_threshold - 1)


@dataclass(frozen=True)
class NetworkConfig:
    """How updates are packed for the network, in Horizon's words.

    Some of what these ask for is how frames are made in any case: all updates of an observer that are due at a tick
    travel in one frame, which leaves with that tick. So none waits for a batch, and `max_batch_delay` is always kept;
    and state is compressed by prediction, deltas and Rice codes whatever `enable_compression` says.

    Attributes
    ----------
    enable_compression : bool
        Kept for the sake of the name: what is packed how, layers say (`Layer.compression`). State frames are packed to
        the bit, and deflating them makes them longer; texts are deflated where their layer says so.
    compression_threshold : int
        Bytes; kept likewise. Texts of less than 64 bytes stay as they are.
    batch_size : int
        Updates that one packet should hold at least where it may wait for more.
    max_batch_delay : float or timedelta
        Seconds that an update may wait for others; kept as a float.
    max_bandwidth_per_player : int or None
        Bytes a second of each player who has no budget of its own (`Replicator.set_budget`); None for no limit.

    Raises
    ------
    ArgumentError
        Names the setting, what was expected and what came.

    Source: Horizon guide, "Network Optimization".
    """

    enable_compression: bool = True
    compression_threshold: int = 512
    batch_size: int = 32
    max_batch_delay: float | timedelta = 0.016
    max_bandwidth_per_player: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.enable_compression, bool):
            raise ArgumentError(f"enable_compression must be True or False, not {self.enable_compression!r}")
        _whole("compression_threshold", self.compression_threshold, 0, 2**31)
        _whole("batch_size", self.batch_size, 1, 2**20)
        if isinstance(self.max_batch_delay, timedelta):
            object.__setattr__(self, "max_batch_delay", self.max_batch_delay.total_seconds())
        _number("max_batch_delay", self.max_batch_delay, 0.0, 60.0)
        if self.max_bandwidth_per_player is not None:
            _whole("max_bandwidth_per_player", self.max_bandwidth_per_player, 1, 2**40)


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ArgumentError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def _number(name: str, value: Any, low: float, high: float) -> None:
    sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not sound or not low <= value <= high:
        raise ArgumentError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")
