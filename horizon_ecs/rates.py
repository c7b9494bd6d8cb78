"""Rates: how much more seldom than their layers say an observer's channels are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.errors import ArgumentError
from horizon_ecs.observers import FREE
from horizon_ecs.schema import N_RATES

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator

SLOWDOWNS = [1 << rate for rate in range(N_RATES)]


class Rates:
    """A replicator's rates."""

    def set_slowdown(self, observers: ArrayLike, factor: int) -> None:
        """From the next step on, let some observers' channels be due more seldom, or as their layers say again.

        A channel slows down as far as the history of its values reaches, so quick ones more than slow ones
        (`slowdown_of`). What an observer follows is sent whole once after each change, so change it seldom. Observers
        who share a stream share its rate.

        Parameters
        ----------
        observers : int or sequence of int
        factor : int
            1, 2, 4 or 8.

        Raises
        ------
        ArgumentError
            There is no such observer, or no such factor. Then none is changed.
        """
        if isinstance(factor, bool) or factor not in SLOWDOWNS:
            raise ArgumentError(f"set_slowdown takes a factor of 1, 2, 4 or 8, not {factor!r}")
        replicator = cast("Replicator", self)
        table = replicator._table
        table.own_rate[replicator._leaders("set_slowdown", observers)] = int(factor).bit_length() - 1
        np.maximum(table.own_rate, table.adapted_rate, out=table.rate)

    def adapt_rates(self, rates: NDArray[np.uint8]) -> None:
        """Slow all observers down by what a server's load, or their links, ask for: where that is more than
        `set_slowdown` does (`adaptive`).

        Parameters
        ----------
        rates : uint8[max_observers]
            Periods double so many times, 0 to 3.
        """
        table = cast("Replicator", self)._table
        table.adapted_rate[:] = rates
        np.maximum(table.own_rate, table.adapted_rate, out=table.rate)

    def slowdown(self, observers: ArrayLike) -> NDArray[np.int64]:
        """int64[n]: by how much some observers are slowed down, by `set_slowdown` or by adaptation.

        Raises ArgumentError where there is no such observer.
        """
        replicator = cast("Replicator", self)
        return 1 << replicator._table.rate[replicator._leaders("slowdown", observers)].astype(np.int64)

    @property
    def n_slowed(self) -> int:
        """How many observers are slowed down."""
        table = cast("Replicator", self)._table
        return int(((table.status != FREE) & (table.rate > 0)).sum())

    def slowdown_of(self, kind: Any, channel: int) -> int:
        """How much a channel of a kind, in its first profile, can be slowed down: 1, 2, 4 or 8.

        Raises ArgumentError where the kind has no such layer.
        """
        name = getattr(kind, "name", kind)
        for described in cast("Replicator", self).schema["kinds"]:
            layers = dict(enumerate(described["channels"]))
            if described["name"] == name and layers.get(channel) is not None:
                return 1 << int(layers[channel].get("slowest", 0))
        raise ArgumentError(f"kind {name!r} has no layer of channel {channel!r}")
