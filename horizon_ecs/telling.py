"""Telling: what a replicator tells followers besides fields, and the server of who follows whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.errors import ArgumentError, StaleHandleError
from horizon_ecs.events import as_records
from horizon_ecs.handles import Handles, as_handles, slots_in
from horizon_ecs.outbox import MAX_PENDING, Outbox
from horizon_ecs.systems.messages import ZONES

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator

_UNKNOWN = -1  # the kind of what the last step hasn't seen


class Telling:
    """A replicator's events to followers, and its word of who came and went."""

    _outbox: Outbox
    _spoken: dict[type, tuple[int, int]]

    def emit(self, event: Any, handles: Handles, values: Any = None, *, channel: int | None = None) -> None:
        """Tell followers of entities of an event, once, with the frame of the next step or of the tick that it is due.

        It reaches who follows the entity on the channel at the first tick, from the next step's on, at which that
        channel is due for it, those who begin to at that tick included, and who followed it there until then: also
        where the entity ends meanwhile. Each gets it once, in the order of the calls, after the entity's enter and
        with the state of that tick. Who is held gets nothing that was emitted until it is resumed, and what an observer
        may not see it isn't told of.

        Parameters
        ----------
        event : class decorated with @event that `messages` lists, or an instance of one
        handles : uint64, uint64[n] or Query
            Entities of kinds with layers. They may have ended since the last step.
        values
            The events' fields, if `event` is the class: as for `World.push_events`, one event for all or n.
        channel : int, optional
            Instead of the one that was declared.

        Raises
        ------
        ArgumentError
            It isn't declared, or an entity can't be followed on that channel, in no profile of its kind.
        StaleHandleError
        CapacityError
            More than 65,536 events would wait. An event waits for the longest period that its channel has in any kind,
            at the slowest rate of any observer.
            Nothing was done, as for all of these.
        """
        cls = event if isinstance(event, type) else type(event)
        number, declared = self._declared(cls)
        given = as_handles(handles)
        records = as_records(cls, event if values is None and not isinstance(event, type) else values or {})
        if len(records) not in (1, len(given)):
            raise ArgumentError(f"values must be of one event or of {len(given)}, one an entity, not of {len(records)}")
        on = declared if channel is None else channel
        known, born = self._outbox.known(given)
        if not known.all():
            stale = int(given[~known][0])
            raise StaleHandleError(f"no entity with the handle {stale} lives, or did at the last step")
        kind, first = self._kinds_of(given, born)
        possible = self._possible(first, on)
        if not possible.all():
            number_of = int(first[~possible][0])
            name = cast("Replicator", self).schema["kinds"][number_of]["name"] if number_of >= 0 else None
            raise ArgumentError(
                f"channel {on!r}: {f'kind {name!r} has no such layer' if name else 'a kind has no layers at all'}"
            )
        r = cast("Replicator", self)
        self._outbox.post(number, given, np.broadcast_to(records, len(given)), on, born, kind, r._sight)

    @property
    def watches_zones(self) -> bool:
        """Whether it was made with `zones=True`."""
        return bool(self._outbox.talks[ZONES])

    def zone_enter(self, channel: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Who began to follow whom on a channel in the last step: observers int64[n], ascending, and handles uint64[n].

        Raises
        ------
        ArgumentError
            The replicator wasn't made with `zones=True`, or there is no such channel.
        """
        return self._zone(channel, begins=True)

    def zone_exit(self, channel: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Who ceased to follow whom on a channel in the last step, as `zone_enter`; also where the entity ended, or the
        observer was removed.

        Where an observer's number was given to another one meanwhile, exits came before enters.
        """
        return self._zone(channel, begins=False)

    def _zone(self, channel: int, begins: bool) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        n_channels = cast("Replicator", self).schema["n_channels"]
        if not self.watches_zones:
            raise ArgumentError("zones aren't watched: make the replicator with Replicator(..., zones=True)")
        if not isinstance(channel, int | np.integer) or not 0 <= channel < n_channels:
            raise ArgumentError(f"channel must lie between 0 and {n_channels - 1}, not {channel!r}")
        noted = self._outbox.changes
        before, after = (noted[:, 1] >> np.uint64(8 + channel)) & np.uint64(1), noted[:, 1] >> np.uint64(channel)
        chosen = noted[(before != after & np.uint64(1)) & (before == np.uint64(not begins))]
        return (chosen[:, 1] >> np.uint64(16)).astype(np.int64), chosen[:, 0].copy()

    def _declared(self, event: type) -> tuple[int, int]:
        """The number and the channel of an event class."""
        found = self._spoken.get(event)
        if found is None:
            raise ArgumentError(
                f"{event.__name__} isn't told to followers: list it in Replicator(..., messages={{Explosion: channel}})"
            )
        return found

    def _kinds_of(
        self, handles: NDArray[np.uint64], born: NDArray[np.uint32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Schema numbers: of what each entity was at the last step, -1 if it wasn't there; of its kind's first profile,
        -1 if it has no layers."""
        r, slots = cast("Replicator", self), slots_in(handles)
        page = slots // np.uint32(PAGE)
        seen = r._page_kind[page].astype(np.int64)
        if r._extents is not None:
            seen = np.where(seen >= 0, r._extents.kind[slots], seen)
        fresh = born > (-1 if r._last_tick is None else r._last_tick)
        first = np.where(fresh, r._kind_number[r.world.page_kind[page]], r.tables.profiles[seen, 0])
        return np.where(fresh, _UNKNOWN, seen), np.where(fresh | (seen >= 0), first, -1)

    def _possible(self, first: NDArray[np.int64], channel: Any) -> NDArray[np.bool_]:
        """Which kinds have a channel in some profile."""
        tables = cast("Replicator", self).tables
        if not isinstance(channel, int | np.integer) or not 0 <= channel < tables.period.shape[1]:
            return np.zeros(len(first), np.bool_)
        ever = np.zeros(len(tables.profiles), np.int64)
        np.bitwise_or.at(ever, tables.profiles[:, 0], tables.kind_channels[: len(ever)])
        possible: NDArray[np.bool_] = (first >= 0) & ((ever[first] >> channel) & 1 != 0)
        return possible

    def _take_emitted(self) -> None:
        """Queue what systems emitted in this tick; what can't be told, or finds no room, is dropped and counted."""
        r = cast("Replicator", self)
        for event, (number, channel) in self._spoken.items():
            senders, records = r.world.emitted_events(event)
            known, born = self._outbox.known(senders)
            senders, records, born = senders[known], records[known], born[known]
            kind, first = self._kinds_of(senders, born)
            chosen = np.flatnonzero(self._possible(first, channel))[: MAX_PENDING - self._outbox.n_pending]
            self._outbox.n_dropped += len(known) - len(chosen)
            if len(chosen):
                self._outbox.post(
                    number, senders[chosen], records[chosen], channel, born[chosen], kind[chosen], r._sight
                )  # fmt: skip
