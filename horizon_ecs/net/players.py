"""Players and seats: a client as hooks see it, and as the two threads of a server do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection

from horizon_ecs.net.session import Session
from horizon_ecs.tokens import AuthStatus


@dataclass(eq=False)
class Player:
    """A client, as hooks see it.

    Attributes
    ----------
    name : str
        As it introduced itself; not verified.
    about : mapping
        What else it said.
    address : str
    entity : int
        Handle of its own entity, 0 if it has none.
    position : two or three floats, optional
        Where it looks from, if it has no entity: set it in `on_join`.
    share : int, optional
        Another player's observer, whose view it shares, as a spectator: set it in `on_join`. Both are sent the same
        bytes, made once (`Replicator.add_observer`); an entity of its own is what it steers, not where it looks from.
    observer : int
        Its number for the replicator, -1 before it has joined, while it is away, and after it has left.
    user : str
        Who it is, as `authenticate` said; "" where nobody knows.
    roles : frozenset of str
        What it may do (`EventRule`); hooks and systems may set it at any time.
    auth : AuthStatus
        Whether that is known; `Server.identify` says so later. Handlers of `auth_status_changed` are told.
    claims : mapping
        What else `authenticate` said of it.
    expires_at : float or None
        Unix time at which that ends, and the connection with it (4009).
    session : str
        The secret with which its client may come back (`ServerConfig.reconnect_grace_s`), "" where none may.
    returns_as : str
        The secret that its client came with.
    n_returns : int
        How many times it came back.
    """

    name: str
    about: Mapping[str, Any]
    address: str
    entity: int = 0
    position: Sequence[float] | None = None
    share: int | None = None
    observer: int = -1
    user: str = ""
    roles: frozenset[str] = frozenset()
    auth: AuthStatus = AuthStatus.UNAUTHENTICATED
    claims: Mapping[str, Any] = field(default_factory=dict)
    expires_at: float | None = None
    session: str = field(default="", repr=False)
    returns_as: str = field(default="", repr=False)
    n_returns: int = 0

    def come_back(self, anew: Player) -> None:
        """Be connected again, as this client says."""
        self.name, self.about, self.address = anew.name, anew.about, anew.address
        self.roles, self.claims, self.expires_at, self.auth = anew.roles, anew.claims, anew.expires_at, anew.auth
        self.session, self.n_returns = anew.session, self.n_returns + 1


@dataclass(eq=False)
class Seat:
    """One connection: its socket, its session, and once it has joined its observer.

    `observer` and what is in `player` are the tick's thread's to write, everything else the event loop's. `player` is
    another one where a client comes back, as the tick's thread says before its welcome. `may_return` says of one that
    is gone whether its connection merely broke; `rows` are its own in the `Rules`.
    """

    connection: ServerConnection
    session: Session
    descriptor: int = -1
    player: Player | None = None
    observer: int = -1
    gone: bool = False
    refused: bool = False
    address: str = ""
    may_return: bool = False
    rows: Mapping[int | str, int] = field(default_factory=dict)
