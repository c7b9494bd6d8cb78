"""What a replicator tells about itself: why something is sent or isn't, and where the bytes go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from horizon_ecs.errors import ArgumentError
from horizon_ecs.explain import Explanation, explain
from horizon_ecs.interest import describe_interest
from horizon_ecs.meter import ByteMeter, BytesBy, sample

if TYPE_CHECKING:
    from horizon_ecs.frames import Frames
    from horizon_ecs.replication import Replicator


class Inspected:
    """A replicator's questions and answers."""

    _meters: tuple[ByteMeter, ...] = ()
    _last_meter: ByteMeter | None = None

    def explain(self, observer: int, entity: int) -> Explanation:
        """Why an entity is sent to an observer, or isn't: print it.

        It speaks of the state after the last step and of the positions that the world has now, by channel (followed or
        not, and why) and by group of fields (on which channel, how often, what the client has, how long a record is).

        Parameters
        ----------
        observer : int
        entity : uint64 handle
            May be one that doesn't live any more.

        Raises
        ------
        ArgumentError
            There is no such observer.
        """
        return explain(cast("Replicator", self), observer, entity)

    def interest(self, observer: int) -> list[dict[str, Any]]:
        """Whom an observer follows and why, as plain data, by the positions that the world has now.

        Returns
        -------
        list of {"entity": handle, "kind": name, "channels": [int, …], "why": {reason: [int, …]}}
            In the order of its list. Reasons are "owner", "near", "focus", "subscription", ("group", name) and, for
            the sources of a relation, ("group", (relation, target)), each with the channels that it is good for; a
            channel of which none holds any more is "kept" until it is due.

        Raises
        ------
        ArgumentError
            There is no such observer.
        """
        return describe_interest(cast("Replicator", self), observer)

    def meter_bytes(self, observers: Iterable[int] | None = None, *, n: int = 16) -> ByteMeter:
        """Begin to count, from the next step on, what the frames of some observers consist of; a context manager.

        Parameters
        ----------
        observers : sequence of int, optional
            By default `n` of those there are, spread over all.

        Raises
        ------
        ArgumentError
            There is no observer, or not one of the given.
        """
        replicator = cast("Replicator", self)
        meter = ByteMeter(replicator, sample(replicator, observers, n))
        self._meters = (*self._meters, meter)
        self._last_meter = meter
        return meter

    def bytes_by(self, *by: str) -> BytesBy:
        """What the frames that the latest meter saw consisted of, exactly, to the bit: print it.

        Parameters
        ----------
        by : str
            Any of "observer", "section", "kind", "channel", "group" (component) and "field"; none for the sum.

        Raises
        ------
        ArgumentError
            Nothing was metered, or bytes can't be told apart by that.
        """
        if self._last_meter is None:
            raise ArgumentError("nothing was metered yet: call meter_bytes() and let some ticks pass")
        return self._last_meter.bytes_by(*by)

    def _note(self, frames: Frames) -> None:
        for meter in self._meters:
            meter.take(frames)

    def _forget(self, meter: ByteMeter) -> None:
        self._meters = tuple(m for m in self._meters if m is not meter)
