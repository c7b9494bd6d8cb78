"""The gate: who may connect at all, before anything of a WebSocket is made: bans, origins, connections an address.

No I/O; `now` is an argument.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError
from horizon_ecs.settings import is_network

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SITE_BITS = 64  # of an IPv6 address: who has one has all that begin alike (RFC 6177)


@dataclass(frozen=True)
class Denied:
    """A request is answered with this status.

    Attributes
    ----------
    status : HTTPStatus
    reason : str
        The refusal's name in `Server.report()`: "banned", "origin" or "address".
    text : str
        For who asked.
    """

    status: HTTPStatus
    reason: str
    text: str


@dataclass(frozen=True)
class Ban:
    """An address or network that is turned away, until a time (by the gate's clock); None for ever."""

    network: Network
    until: float | None

    def holds(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, now: float) -> bool:
        """Whether it is about this address, and still."""
        return address in self.network and (self.until is None or now < self.until)


class Gate:
    """Who may connect.

    Parameters
    ----------
    config : ServerConfig

    Attributes
    ----------
    bans : list of Ban
        Those that were said at run time; the configuration's are beside them.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.bans: list[Ban] = []
        self._inside: Counter[str] = Counter()
        self.configure(config)

    def configure(self, config: ServerConfig) -> None:
        """Hold whoever comes from now on to another configuration."""
        self._config = config
        self._listed = [Ban(network_of(text), None) for text in config.banned_ips]
        self._proxies = [network_of(text) for text in config.trusted_proxies]
        self._origins = {origin.lower().rstrip("/") for origin in config.allowed_origins}

    # -- requests ----------------------------------------------------------------------------------------------

    def check(
        self, address: str, *, joins: bool, origin: str | None, own_origins: Sequence[str], now: float
    ) -> Denied | None:
        """What a request is to be denied with, None where it isn't.

        Parameters
        ----------
        address : str
        joins : bool
            Whether it asks for a WebSocket.
        origin : str or None
            What its header says.
        own_origins : sequence of str
            The server's own, as this client names it.
        now : float
        """
        if self.is_banned(address, now):
            return Denied(HTTPStatus.FORBIDDEN, "banned", "this address is banned")
        if not joins:
            return None
        if origin is not None and self._origins and not self._allows(origin, own_origins):
            return Denied(HTTPStatus.FORBIDDEN, "origin", "pages of this origin may not connect")
        limit = self._config.max_connections_per_ip
        if limit and self._inside[counted(address)] >= limit:
            return Denied(HTTPStatus.TOO_MANY_REQUESTS, "address", f"at most {limit} connections from one address")
        return None

    def address(self, peer: str, forwarded: Sequence[str]) -> str:
        """Where somebody comes from: its own address, or behind trusted proxies the last one that they name and that
        isn't theirs. What others say in `X-Forwarded-For` is their own invention."""
        named = [one.strip() for header in forwarded for one in header.split(",")]
        while named and self._is_proxy(peer):
            peer = named.pop()
        return peer

    def _is_proxy(self, address: str) -> bool:
        plain = plain_address(address) if self._proxies else None
        return plain is not None and any(plain in network for network in self._proxies)

    def _allows(self, origin: str, own_origins: Sequence[str]) -> bool:
        said = origin.lower().rstrip("/")
        return said in self._origins or ("self" in self._origins and said in own_origins)

    def enter(self, address: str) -> None:
        """A client is connected from here."""
        self._inside[counted(address)] += 1

    def leave(self, address: str) -> None:
        """It isn't any more."""
        key = counted(address)
        self._inside[key] -= 1
        if self._inside[key] <= 0:
            del self._inside[key]

    # -- bans --------------------------------------------------------------------------------------------------

    def ban(self, network: str, until: float | None) -> None:
        """Turn an address or network away from now on, until then. Raises ArgumentError for what is neither."""
        self.unban(network)
        self.bans.append(Ban(network_of(network), until))

    def unban(self, network: str) -> bool:
        """Take a ban of run time back; whether there was one. Raises ArgumentError."""
        meant, before = network_of(network), len(self.bans)
        self.bans = [ban for ban in self.bans if ban.network != meant]
        return len(self.bans) < before

    def is_banned(self, address: str, now: float) -> bool:
        """Whether an address is turned away."""
        if not (self.bans or self._listed):
            return False
        self.bans = [ban for ban in self.bans if ban.until is None or now < ban.until]
        plain = plain_address(address)
        return plain is not None and any(ban.holds(plain, now) for ban in (*self._listed, *self.bans))


def network_of(text: str) -> Network:
    """The network that a text names, one of a single address too. Raises ArgumentError for what is neither."""
    if not is_network(text):
        raise ArgumentError(f"a ban is of an IP address, or a network such as '10.0.0.0/8', not {text!r}")
    return ipaddress.ip_network(text, strict=False)


def plain_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, that of IPv4 where it is one behind IPv6; None for what is none, such as a Unix socket's."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own, to itself."""
    found = plain_address(host)
    return host == "localhost" if found is None else found.is_loopback


def counted(address: str) -> str:
    """What of an address is counted as one: of IPv6 the first 64 bits."""
    found = plain_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(found) >> _SITE_BITS << _SITE_BITS, _SITE_BITS)))
    return address if found is None else str(found)
