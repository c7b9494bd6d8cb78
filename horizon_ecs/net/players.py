"""Players and seats: a client as hooks see it, and as the two threads of a server do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection

from horizon_ecs.net.session import Session


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
        Its number for the replicator, -1 before it has joined and after it has left.
    auth : str
        Who it is taken for: "unauthenticated" until somebody sets it. Handlers of `auth_status_changed` are told.
    """

    name: str
    about: Mapping[str, Any]
    address: str
    entity: int = 0
    position: Sequence[float] | None = None
    share: int | None = None
    observer: int = -1
    auth: str = "unauthenticated"


@dataclass(eq=False)
class Seat:
    """One connection: its socket, its session, and once it has joined its observer.

    `observer` and what is in `player` are the tick's thread's to write, everything else the event loop's.
    """

    connection: ServerConnection
    session: Session
    descriptor: int = -1
    player: Player | None = None
    observer: int = -1
    gone: bool = False
