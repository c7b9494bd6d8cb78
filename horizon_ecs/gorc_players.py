"""Players of GORC's: who looks on, by a number that is never given out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.errors import ArgumentError
from horizon_ecs.gorc_objects import point
from horizon_ecs.handles import Handles

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator
    from horizon_ecs.world import World

GONE, WAITING = -1, -2  # instead of an observer's number


class GorcPlayers:
    """A GorcSystem's players."""

    if TYPE_CHECKING:
        world: World
        _replicator: Replicator | None
        _observer: NDArray[np.int64]
        _waiting: dict[int, tuple[int, ArrayLike | None]]

        @property
        def replicator(self) -> Replicator: ...

        def update_object_position(self, handles: Handles, position: ArrayLike) -> None: ...

    def add_player(self, position: ArrayLike | None = None, *, entity: int = 0) -> int:
        """Let somebody look on; returns the player's number, which is never given out again.

        Parameters
        ----------
        position : float[2] or float[3], optional
            Where the player stands.
        entity : uint64 handle
            The object that the player stands at, instead.

        Raises
        ------
        ArgumentError, StaleHandleError, CapacityError
        """
        player = len(self._observer)
        observer = WAITING
        if self._replicator is not None:
            observer = self._replicator.add_observer(entity, position)
        else:
            if entity:
                self.world.slots_of([entity])
            self._waiting[player] = entity, None if position is None else point(position)
        self._observer = np.append(self._observer, observer)
        return player

    def add_players(self, positions: ArrayLike) -> NDArray[np.int64]:
        """int64[n]: the numbers of many players, who stand free at float[n, 2] or float[n, 3]."""
        return np.array([self.add_player(position) for position in np.asarray(positions)], np.int64)

    def remove_player(self, player: int) -> None:
        """Forget a player. Raises ArgumentError if there is no such."""
        self._check(np.array([player]))
        if self._observer[player] >= 0:
            self.replicator.remove_observer(int(self._observer[player]))
        self._waiting.pop(player, None)
        self._observer[player] = GONE

    def update_player_position(self, players: ArrayLike, position: ArrayLike) -> None:
        """Let players stand elsewhere; one who stands at an object moves it.

        Parameters
        ----------
        players : one number, or int[n]
        position : float[2] or float[3], for all alike; or float[n, 2], float[n, 3]

        Raises
        ------
        ArgumentError
        """
        chosen, given = np.atleast_1d(np.asarray(players)), point(position)
        self._check(chosen)
        if given.ndim == 2 and len(given) != len(chosen):
            raise ArgumentError(f"position has {len(given)} rows for {len(chosen)} players")
        places = np.broadcast_to(given, (len(chosen), given.shape[-1]))
        standing = self._stand(chosen, places)
        if (standing != 0).any():
            self.update_object_position(standing[standing != 0], places[standing != 0])

    def _stand(self, players: NDArray[Any], places: NDArray[np.float32]) -> NDArray[np.uint64]:
        """Let players stand at these places; returns the objects that they stand at instead, 0 for none."""
        if self._replicator is None:
            waiting = [self._waiting[int(player)][0] for player in players]
            self._waiting.update({int(p): (e, place) for p, e, place in zip(players, waiting, places, strict=True)})
            return np.array(waiting, np.uint64)
        table, observers = self._replicator, self._observer[players]
        standing: NDArray[np.uint64] = table.entity[observers]
        table.position[observers[standing == 0], : places.shape[1]] = places[standing == 0]
        return standing

    def observer_of(self, player: int) -> int:
        """The number that frames and the replicator's calls know a player by. Raises ArgumentError."""
        return int(self._observers(np.array([player]))[0])

    def get_subscriptions(self, player: int) -> NDArray[np.uint64]:
        """uint64[n]: the objects that a player followed at the last tick, those that have ended since left out."""
        observer = self.observer_of(player)
        slots = (self.replicator.followed(observer) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        # A slot may have been given out anew since.
        known = self.world.born[slots] <= self.replicator._table.evaluated_tick[observer]
        return self.world.handles_of(slots[known])

    def _observers(self, players: NDArray[Any]) -> NDArray[np.int64]:
        self._check(players)
        assert self.replicator  # those who wait get their numbers
        found: NDArray[np.int64] = self._observer[players]
        return found

    def _check(self, players: NDArray[Any]) -> None:
        """Raise ArgumentError unless all of these are players."""
        whole = players.dtype.kind in "iu" and players.ndim == 1
        if not whole or not ((players >= 0) & (players < len(self._observer))).all():
            raise ArgumentError(f"there is no such player: {players!r}")
        if (self._observer[players] == GONE).any():
            raise ArgumentError(f"player {players[self._observer[players] == GONE][0]} was removed")

    def _n_players(self) -> int:
        return int((self._observer != GONE).sum())
