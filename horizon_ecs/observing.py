"""Observing: a replicator's observers come, go, are held and made whole again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.errors import ArgumentError
from horizon_ecs.observers import HELD, LIVE, Observers
from horizon_ecs.sharing import Streams

if TYPE_CHECKING:
    from horizon_ecs.outbox import Outbox
    from horizon_ecs.subscriptions import Book
    from horizon_ecs.visibility import Sight
    from horizon_ecs.world import World


class Observing:
    """A replicator's observers."""

    world: World
    _table: Observers
    _streams: Streams
    _sight: Sight
    _book: Book
    _outbox: Outbox
    _own_budget: NDArray[np.bool_]
    _last_tick: int | None
    _max_silence: int

    if TYPE_CHECKING:

        def _next_tick(self) -> int: ...

        def _welcome_to_budget(self, observer: int) -> None: ...

    @property
    def n_observers(self) -> int:
        """How many observers there are."""
        return int(np.count_nonzero(self._table.status[: self._table.n_used]))

    @property
    def status(self) -> NDArray[np.uint8]:
        """uint8[max_observers]: FREE, LIVE, or HELD: nothing is framed for it while its interest is kept."""
        return self._table.status

    @property
    def max_silence_ticks(self) -> int:
        """After so many ticks without a frame an observer gets an empty one."""
        return self._max_silence

    @property
    def reset_tick(self) -> NDArray[np.uint32]:
        """uint32[max_observers]: tick of the last reset frame, 0 before the first."""
        return self._table.reset_tick

    @property
    def sent_tick(self) -> NDArray[np.uint32]:
        """uint32[max_observers]: tick of the last frame."""
        return self._table.sent_tick

    @property
    def entity(self) -> NDArray[np.uint64]:
        """uint64[max_observers]: handle of the entity that the observer stands at, 0 for none."""
        return self._table.entity

    @property
    def position(self) -> NDArray[np.float32]:
        """float32[max_observers, 3]: where each observer stands; set it for those without an entity."""
        return self._table.position

    def phase(self, observer: int) -> int:
        """The observer's phase: channel c is due at tick t where (t + phase) mod period is 0."""
        self._table.check(observer)
        return int(self._table.phase[observer])

    def followed(self, observer: int) -> NDArray[np.uint64]:
        """The observer's list as stored, uint64[n] (see `systems.interest`): for tools and tests."""
        self._table.check(observer)
        return self._table.rows.row(int(self._streams.leader[observer]))

    def add_observer(self, entity: int = 0, position: ArrayLike | None = None, *, share: int | None = None) -> int:
        """Add an observer; the next step makes it a reset frame.

        Parameters
        ----------
        entity : uint64 handle
            It stands where this entity is; 0 for an observer that stands free.
        position : float[2] or float[3], optional
            Where it stands, if free; the origin by default.
        share : int, optional
            Another observer, such as the one that a spectator looks over the shoulder of: this one sees just what that
            one sees and is sent the same bytes, made once. It joins by a reset frame of its own, within a second; its
            phase is the other's. When the other is removed, the first of those that share goes on from where it stood.

        Raises
        ------
        CapacityError, StaleHandleError, ArgumentError
        """
        if share is not None:
            self._table.check(share)
            if entity or position is not None:
                raise ArgumentError(
                    "add_observer: share= says where the observer stands; leave entity and position out"
                )
        if entity:
            self.world.slots_of(np.array([entity], np.uint64))
        observer = self._table.add(entity, position)
        if share is not None:
            self._streams.share(observer, share, self._next_tick())
        self._sight.welcome(observer)
        self._outbox.deaf[observer], self._outbox.reset_tick[observer] = self._last_tick or 0, 0
        self._welcome_to_budget(observer)
        return observer

    def remove_observer(self, observer: int) -> None:
        """Forget an observer. Raises ArgumentError if there is no such."""
        self._table.check(observer)
        self._outbox.forget(observer, self._table.rows.row(observer))
        self._streams.leave(observer, self._stand_in)
        self._table.remove(observer)
        self._book.forget(observer, self._sight)

    def _stand_in(self, old: int, new: int) -> None:
        """Let an observer stand where another stood, and see as it did."""
        table, sight = self._table, self._sight
        for rows in (
            table.entity,
            table.position,
            table.purse,
            table.limited,
            table.own_rate,
            table.rate,
            sight.view,
            sight.focus,
        ):
            rows[new] = rows[old]
        self._own_budget[new] = self._own_budget[old]
        self._outbox.deaf[new] = self._last_tick or 0

    def hold(self, observer: int) -> None:
        """Frame nothing for an observer until `resume`; its interest is kept."""
        self._table.check(observer)
        self._table.status[observer] = HELD
        if self._streams:
            self._streams.wait(observer, self._next_tick())

    def resume(self, observer: int) -> None:
        """Let the next step make one reset frame, which tells the observer all it missed, but for events."""
        self._table.check(observer)
        members = self._streams.members(int(self._streams.leader[observer]))
        if not (self._table.status[members] == LIVE).any():
            self._outbox.deaf[members[0]] = self._last_tick or 0
        self._table.status[observer] = LIVE
        if len(members) > 1:
            self._streams.wait(observer, self._next_tick())
        else:
            self._table.wants_reset[observer] = 1
