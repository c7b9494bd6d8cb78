"""What core events carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from horizon_ecs.components import event
from horizon_ecs.fields import i4, u1, u8

if TYPE_CHECKING:
    from horizon_ecs.net.players import Player
    from horizon_ecs.tokens import AuthStatus


class RegionStarted(NamedTuple):
    """`region_started`: the world is served from now on, before its first tick.

    Attributes
    ----------
    tick : int
        The world's, as it was given to the server.
    tick_rate : float
    bounds : sequence or None
        What the server says of itself (`about["bounds"]`).
    """

    tick: int
    tick_rate: float
    bounds: Any


class ServerTick(NamedTuple):
    """`server_tick`: a tick's systems have run; its frames aren't made yet.

    Attributes
    ----------
    tick : int
    elapsed_s : float
        Of the world's time.
    """

    tick: int
    elapsed_s: float


class PlayerConnected(NamedTuple):
    """`player_connected`: a client has its entity and its observer, and isn't welcomed yet. Stopping it refuses the
    client, with code 1013 and the reason; then `on_leave` is called, and no `player_disconnected` follows.

    Attributes
    ----------
    player : Player
    tick : int
    """

    player: Player
    tick: int


class PlayerDisconnected(NamedTuple):
    """`player_disconnected`: a client is gone; `on_leave` wasn't called yet.

    Attributes
    ----------
    player : Player
    tick : int
    """

    player: Player
    tick: int


class AuthStatusChanged(NamedTuple):
    """`auth_status_changed`: another thing is known of who a player is (`Server(authenticate=)`, `Server.identify`). It
    comes before `player_connected`, and also for those who are refused then.

    Attributes
    ----------
    player : Player
    before, status : AuthStatus
    """

    player: Player
    before: AuthStatus
    status: AuthStatus


@event
class ZoneEnter:
    """`zone_enter`: an observer began to follow an entity on a channel, with the last tick's frame. Columnar; `sender`
    is the player's own entity, 0 if it has none. The handle is `entity`, which may have ended since."""

    observer: i4
    channel: u1
    entity: u8


@event
class ZoneExit:
    """`zone_exit`: an observer ceased to follow an entity on a channel; also where that one ended."""

    observer: i4
    channel: u1
    entity: u8


class ClientEvent:
    """What a client sent as an object: what handlers of `on_client` are given for events without a dtype.

    Attributes
    ----------
    player : Player
    namespace, event : str
    data : any
        Of numbers, text, bytes, lists and maps; its floats are finite, and nothing else of it is checked.
    """

    __slots__ = ("data", "event", "namespace", "player")

    def __init__(self, player: Player, namespace: str, event: str, data: Any) -> None:
        self.player, self.namespace, self.event, self.data = player, namespace, event, data

    @property
    def sender(self) -> int:
        """Handle of the player's entity, 0 if it has none."""
        return self.player.entity

    def __repr__(self) -> str:
        return f"ClientEvent({self.namespace}.{self.event} from {self.player.name!r}: {self.data!r})"


CORE_OBJECTS = ("region_started", "server_tick", "player_connected", "player_disconnected", "auth_status_changed")
CORE_BATCHES: dict[str, type] = {"zone_enter": ZoneEnter, "zone_exit": ZoneExit}
CORE_EVENTS = (*CORE_OBJECTS, *CORE_BATCHES)
