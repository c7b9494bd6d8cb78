"""What a served world tells its event system, and when; on the tick's thread.

A tick, in this order: joins, leaves, and who has become known; the systems; handlers of `zone_enter` and `zone_exit`
(of the last tick's frames), of `server_tick`, of columnar events, and for what waited; the frames. What handlers write
is in the frames of the same tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.core_events import (
    CORE_BATCHES,
    AuthStatusChanged,
    PlayerConnected,
    PlayerDisconnected,
    RegionStarted,
    ServerTick,
)
from horizon_ecs.event_system import EventSystem
from horizon_ecs.events import EventBatch
from horizon_ecs.gorc_events import GorcEvents
from horizon_ecs.handlers import Stop
from horizon_ecs.net.players import Player
from horizon_ecs.replication import Replicator
from horizon_ecs.tokens import AuthStatus
from horizon_ecs.world import World


class Eventing:
    """The core events of a served world.

    Parameters
    ----------
    events : EventSystem
    replicator : Replicator
    players : mapping of int to Player
        Who has joined, by observer.
    bounds : sequence or None
        For `region_started`.
    """

    def __init__(self, events: EventSystem, replicator: Replicator, players: Mapping[int, Player], bounds: Any) -> None:
        self.events = events
        self._world, self._replicator, self._players, self._bounds = replicator.world, replicator, players, bounds
        self._has_begun = False
        self._zones: list[tuple[str, EventBatch]] = []
        self._entity = self._entity_before = np.zeros(replicator.max_observers, np.uint64)
        events.link(instances=_Instances(self._world, replicator))
        if not replicator.watches_zones:
            for name in CORE_BATCHES:
                events.refuse_core(name, 'make the server with replication={"zones": True}')

    def begin(self) -> None:
        """A tick begins."""
        self.events.resume()
        if not self._has_begun:
            self._has_begun = True
            self.events.emit_core(
                "region_started", RegionStarted(self._world.tick_count, self._world.tick_rate, self._bounds)
            )

    def joined(self, player: Player) -> Stop | None:
        """A client has its observer; what refuses it, if something does."""
        return self.events.emit_core("player_connected", PlayerConnected(player, self._world.tick_count))

    def left(self, player: Player) -> None:
        """A client that had joined is gone."""
        self.events.emit_core("player_disconnected", PlayerDisconnected(player, self._world.tick_count))

    def auth_changed(self, player: Player, before: AuthStatus, now: AuthStatus) -> None:
        """Another thing is known of who a player is."""
        self.events.emit_core("auth_status_changed", AuthStatusChanged(player, before, now))

    def systems_begin(self) -> None:
        """What they emit waits."""
        self.events.pause()

    def systems_end(self) -> None:
        """The point at which handlers are called."""
        events = self.events
        events.resume()
        zones, self._zones = self._zones, []
        for name, batch in zones:
            events.tell_batch(name, batch)
        events.emit_core(
            "server_tick", ServerTick(self._world.tick_count, self._world.tick_count / self._world.tick_rate)
        )
        events.dispatch()

    def frames_made(self) -> None:
        """Keep who began and ceased to follow whom, for the next tick's handlers."""
        wanted = [name for name in CORE_BATCHES if self.events.has_handlers(name)]
        if not wanted:
            return
        self._entity_before, self._entity = self._entity, np.zeros_like(self._entity)
        for observer, player in self._players.items():
            self._entity[observer] = player.entity
        for name in wanted:
            begins = name == "zone_enter"
            batch = self._zone_batch(name, self._entity if begins else self._entity_before)
            if len(batch):
                self._zones.append((name, batch))

    def _zone_batch(self, name: str, entity_of: NDArray[np.uint64]) -> EventBatch:
        """Of all channels, one behind the other."""
        look = self._replicator.zone_enter if name == "zone_enter" else self._replicator.zone_exit
        found = [look(channel) for channel in range(self._replicator.schema["n_channels"])]
        observers = np.concatenate([pair[0] for pair in found])
        records: NDArray[Any] = np.zeros(len(observers), CORE_BATCHES[name].__hz_dtype__)  # type: ignore[attr-defined]
        records["observer"] = observers
        records["channel"] = np.repeat(np.arange(len(found)), [len(pair[0]) for pair in found])
        records["entity"] = np.concatenate([pair[1] for pair in found])
        return EventBatch(entity_of[observers], records)


class _Instances(GorcEvents):
    """GORC's calls over a server's world and replicator."""

    def __init__(self, world: World, replicator: Replicator) -> None:
        self.world, self._replicator = world, replicator
        self._single = {}
        self._begin_events()

    @property
    def replicator(self) -> Replicator:
        """The server's."""
        return self._replicator
