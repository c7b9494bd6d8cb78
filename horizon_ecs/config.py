"""Configurations, frozen and checked when they are made; what they are called in a file is in `configfile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from os import PathLike
from typing import TYPE_CHECKING, Any

from horizon_ecs.components import nearest
from horizon_ecs.errors import ArgumentError
from horizon_ecs.settings import (
    check,
    duration,
    flag,
    instance,
    matching,
    networks,
    number,
    one_of,
    optional,
    setting,
    text,
    texts,
    whole,
)

if TYPE_CHECKING:
    from horizon_ecs.configfile import Source

MAX_PORT = 65_535
MIN_SECRET = 32
"""Characters: a secret that can be guessed protects nothing (RFC 7518, 3.2 asks for 256 bits)."""
_TOKEN = r"[!-~]{16,}", "16 or more letters, digits and signs of ASCII, without spaces"
LEVELS = ("trace", "debug", "info", "warn", "error")


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

    min_region_size: float = setting(100.0, number(1e-6, 1e12), live=True)
    max_region_size: float = setting(1_000.0, number(1e-6, 1e12), live=True)
    split_threshold: int = setting(50, whole(1, 2**31), live=True)
    merge_threshold: int = setting(10, whole(0, 2**31), live=True)

    def __post_init__(self) -> None:
        check(self)
        low = self.min_region_size
        if self.max_region_size < low:
            what = number(low, 1e12).what
            raise ArgumentError(f"max_region_size must be {what}, not {self.max_region_size!r}")
        if self.merge_threshold >= self.split_threshold:
            what = whole(0, self.split_threshold - 1).what
            raise ArgumentError(f"merge_threshold must be {what}, not {self.merge_threshold!r}")


@dataclass(frozen=True)
class NetworkConfig:
    """How updates are packed for the network, in Horizon's words.

    Some of what these ask for is how frames are made in any case: all updates of an observer that are due at a tick
    travel in one frame, which leaves with that tick. So none waits for a batch, and `max_batch_delay` is always kept;
    and state is compressed by prediction, deltas and Rice codes whatever `enable_compression` says, since deflating
    what is packed to the bit makes it longer.

    Attributes
    ----------
    enable_compression : bool
        Whether texts are deflated where their layer says so (`Layer.compression`).
    compression_threshold : int
        Bytes: shorter texts stay as they are. (Without any NetworkConfig those of less than 64.)
    batch_size : int
        Messages of the application to one client (`EventSystem.emit_client`, `broadcast`) that are handed to its socket
        at once. Updates need no such number: all that are due at a tick share one frame.
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

    enable_compression: bool = setting(True, flag(), live=True)
    compression_threshold: int = setting(512, whole(0, 2**31), live=True)
    batch_size: int = setting(32, whole(1, 2**20), live=True)
    max_batch_delay: float | timedelta = setting(0.016, duration(0.0, 60.0), live=True)
    max_bandwidth_per_player: int | None = setting(None, optional(whole(1, 2**40)), live=True)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RegionConfig:
    """The part of the world that a server is for: told to clients, and what is outside is counted.

    Attributes
    ----------
    min_x, max_x, min_y, max_y, min_z, max_z : float
        World units.

    Raises
    ------
    ArgumentError
        One is no number, or a least one is not below its greatest.

    Source: Horizon's `config.toml`, "[server.region]".
    """

    min_x: float = setting(-1_000.0, number(-1e12, 1e12))
    max_x: float = setting(1_000.0, number(-1e12, 1e12))
    min_y: float = setting(-1_000.0, number(-1e12, 1e12))
    max_y: float = setting(1_000.0, number(-1e12, 1e12))
    min_z: float = setting(-100.0, number(-1e12, 1e12))
    max_z: float = setting(100.0, number(-1e12, 1e12))

    def __post_init__(self) -> None:
        check(self)
        for axis in "xyz":
            low, high = getattr(self, f"min_{axis}"), getattr(self, f"max_{axis}")
            if low >= high:
                raise ArgumentError(f"min_{axis} must be less than max_{axis}, {high:g}, not {low!r}")

    @property
    def bounds(self) -> list[float]:
        """[x0, y0, x1, y1], as clients are told."""
        return [float(self.min_x), float(self.min_y), float(self.max_x), float(self.max_y)]


@dataclass(frozen=True)
class PluginConfig:
    """Which plugins are loaded, and from where.

    Attributes
    ----------
    directory : str
    auto_load : bool
        Whether those in the directory are loaded when a server starts.
    whitelist : sequence of str
        Their names; where there are any, no others are loaded.

    Raises
    ------
    ArgumentError

    Source: Horizon's `config.toml`, "[plugins]".
    """

    directory: str = setting("plugins", text())
    auto_load: bool = setting(True, flag())
    whitelist: tuple[str, ...] = setting((), texts())

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class LoggingConfig:
    """What `Server.run` and the command line write about what happens. Left as it is, logging is the application's.

    Attributes
    ----------
    level : str
        trace, debug, info, warn or error.
    json_format : bool
        One JSON object a line, instead of text.
    file_path : str
        Where it is appended to, "" for standard error. A file that was moved away is opened anew, so that the
        platform's own tools can rotate it.

    Raises
    ------
    ArgumentError

    Source: Horizon's `config.toml`, "[logging]".
    """

    level: str = setting("warn", one_of(*LEVELS), live=True)
    json_format: bool = setting(False, flag(), live=True)
    file_path: str = setting("", text(), live=True)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ServerConfig:
    """What a server listens on, and what it allows. docs/guide/23-settings.md says what each is called in a file.

    Attributes
    ----------
    host : str
        Address to listen on.
    port : int
        0 lets the system pick one.
    max_connections : int
        Clients at a time; who comes beyond is refused with close code 1013. (A connection that is no WebSocket yet
        doesn't count: it ends with the handshake's timeout, and the system limits how many there are.)
    connection_timeout_s : float
        A client of which nothing at all was heard for so long is closed with code 4008. Who acknowledges is heard.
    use_reuse_port : bool
        Whether other processes may listen on the same port (SO_REUSEPORT), the system dealing connections out to all.
    tick_interval_ms : float, optional
        Milliseconds a tick: what the world is to be made for (`tick_rate`). A server refuses a world that ticks
        otherwise; None takes any.
    max_message_bytes : int
        Of one message from a client.
    max_messages_per_s : float
        From one client on average, of any sort; twice as many may come at once. Frames that are no message of their
        own, such as pings and fragments, may be ten times as many.
    enable_rate_limiting : bool
        Whether these two, and `max_requests_per_minute`, hold.
    max_requests_per_minute : int
        Records of events from one client on average, acknowledgements and pings not counted; as many as of ten
        seconds may come at once. Who sends more is closed with code 4007.
    max_connections_per_ip : int
        Clients at a time from one address, 0 for any number; others are answered with HTTP status 429.
    banned_ips : sequence of str
        Addresses and networks that are answered with HTTP status 403, whatever they ask for.
    trusted_proxies : sequence of str
        Addresses and networks of proxies: of who comes through one counts the address that it names last in
        `X-Forwarded-For`.
    allowed_origins : sequence of str
        Origins of pages whose scripts may connect, such as "https://example.com", and "self" for the server's own
        page; others are answered with 403. None given: all may. Programs that name no origin may always.
    max_json_depth, max_string_length, max_collection_size : int
        How deep a message may be nested, and how long a text and a list or map in it may be.
    auth_secret : str
        Of at least 32 characters: who connects needs a token made with it (`HmacTokens`), unless the server is given
        another way to tell (`Server(authenticate=)`). "" for none.
    tls_certificate, tls_key : str
        Files in PEM format; with them the server speaks `wss` and `https` only. The key may stand in the first one.
    max_followed : int
        Entities that one observer follows at most.
    handshake_timeout_s : float
        For the HTTP upgrade, and again for the hello.
    reconnect_grace_s : float
        How long a player whose connection broke keeps its entity, for whom comes back with its session's token; 0: not
        at all.
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
    region : RegionConfig, optional
    spatial, network : SpatialConfig, NetworkConfig, optional
        As for the Replicator's `configure_spatial_partitioning` and `configure_network`.
    plugins : PluginConfig
    logging : LoggingConfig

    Raises
    ------
    ArgumentError
        Names the setting, what was expected and what came.

    Source of the names: Horizon guide, "Network Layer Optimization", and Horizon's `config.toml`.
    """

    host: str = setting("127.0.0.1", text(), "server.bind_address")
    port: int = setting(8080, whole(0, MAX_PORT), "server.bind_address")
    max_connections: int = setting(1_000, whole(1, 2**20))
    connection_timeout_s: float = setting(60.0, number(0.01, 1e6), "server.connection_timeout", live=True)
    use_reuse_port: bool = setting(False, flag())
    tick_interval_ms: float | None = setting(None, optional(number(0.1, 100_000.0)))
    max_message_bytes: int = setting(4_096, whole(64, 2**20), "server.security.max_message_size")
    max_messages_per_s: float = setting(200.0, number(1.0, 1e6), "server.security.max_messages_per_s", live=True)
    enable_rate_limiting: bool = setting(True, flag(), "server.security.enable_rate_limiting", live=True)
    max_requests_per_minute: int = setting(
        12_000, whole(1, 60_000_000), "server.security.max_requests_per_minute", live=True
    )
    max_connections_per_ip: int = setting(0, whole(0, 2**20), "server.security.max_connections_per_ip", live=True)
    banned_ips: tuple[str, ...] = setting((), networks(), "server.security.banned_ips", live=True)
    trusted_proxies: tuple[str, ...] = setting((), networks(), "server.security.trusted_proxies", live=True)
    allowed_origins: tuple[str, ...] = setting((), texts(), "server.security.allowed_origins", live=True)
    max_json_depth: int = setting(10, whole(1, 100), "server.security.max_json_depth", live=True)
    max_string_length: int = setting(1_024, whole(16, 2**20), "server.security.max_string_length", live=True)
    max_collection_size: int = setting(64, whole(4, 65_536), "server.security.max_collection_size", live=True)
    auth_secret: str = setting("", text(), "server.security.auth_secret", secret=True)
    tls_certificate: str = setting("", text(), "server.security.tls_certificate")
    tls_key: str = setting("", text(), "server.security.tls_key")
    max_followed: int = setting(4_096, whole(1, 2**20))
    handshake_timeout_s: float = setting(5.0, number(0.01, 3_600.0))
    reconnect_grace_s: float = setting(0.0, number(0.0, 86_400.0), live=True)
    window_s: float = setting(1.0, number(0.01, 3_600.0))
    stall_timeout_s: float = setting(5.0, number(0.01, 3_600.0), live=True)
    hysteresis: float = setting(0.1, number(0.0, 10.0))
    max_catch_up: int = setting(8, whole(1, 1_000))
    adaptive_rates: bool = setting(True, flag())
    show_regions: bool = setting(False, flag())
    page: bool = setting(True, flag())
    metrics: bool = setting(True, flag(), "metrics.enabled")
    metrics_port: int | None = setting(None, optional(whole(0, MAX_PORT)), "metrics.port")
    metrics_host: str | None = setting(None, optional(text()), "metrics.host")
    metrics_token: str | None = setting(None, optional(matching(*_TOKEN)), "metrics.token", secret=True)
    region: RegionConfig | None = setting(None, optional(instance(RegionConfig)))
    spatial: SpatialConfig | None = setting(None, optional(instance(SpatialConfig)), live=True)
    network: NetworkConfig | None = setting(None, optional(instance(NetworkConfig)), live=True)
    plugins: PluginConfig = setting(PluginConfig(), instance(PluginConfig))
    logging: LoggingConfig = setting(LoggingConfig(), instance(LoggingConfig), live=True)
    source: Source | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check(self)
        if self.tls_key and not self.tls_certificate:
            raise ArgumentError(f"tls_certificate must be a file where tls_key is {self.tls_key!r}, not ''")
        if 0 < len(self.auth_secret) < MIN_SECRET:
            raise ArgumentError(f"auth_secret must have at least {MIN_SECRET} characters, not {len(self.auth_secret)}")

    @classmethod
    def of(cls, **settings: Any) -> ServerConfig:
        """A configuration from keywords; an unknown one is an ArgumentError that names the nearest."""
        known = [f.name for f in fields(cls) if f.name != "source"]
        for name in settings:
            if name not in known:
                raise ArgumentError(f"there is no setting {name!r}{nearest(name, known)}")
        return cls(**settings)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
        base: ServerConfig | None = None,
    ) -> ServerConfig:
        """A configuration from a TOML file, what the environment says above it, and overrides above that.

        Parameters
        ----------
        path : path, optional
            Without one only the environment and the overrides count.
        environ : mapping, optional
            Of variables such as HORIZON_SERVER_MAX_CONNECTIONS; by default the process's own.
        overrides : mapping, optional
            By key, such as {"server.max_connections": 100}; texts are read as a file's values are.
        base : ServerConfig, optional
            What holds where nobody says anything.

        Raises
        ------
        ArgumentError
            Lists all that is wrong: keys with the nearest that there is, values with what they may be.
        OSError
            The file can't be read.
        """
        from horizon_ecs.configfile import Source

        return Source.of(path, environ=environ, overrides=overrides, base=base or cls()).load()

    def moved(self, **settings: Any) -> ServerConfig:
        """The same with other settings, which are kept when its file is loaded again."""
        source = self.source.moved(settings) if self.source is not None else None
        return replace(self, **settings, source=source)

    @property
    def tick_rate(self) -> float | None:
        """Ticks a second that `tick_interval_ms` asks for, what a world is made with; None where it asks for none."""
        return None if self.tick_interval_ms is None else 1_000.0 / self.tick_interval_ms
