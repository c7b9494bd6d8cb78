"""Budgets: how many bytes a second an observer's frames may take, and how long anything may wait for that.

What doesn't fit into a frame waits, and goes later (`systems.budget`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.errors import ArgumentError
from horizon_ecs.observers import FREE
from horizon_ecs.systems import budget as kernels

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator

BURST_S = 1.0  # an observer's purse holds what its budget gives in so many seconds
DEFAULT_MAX_WAIT_S = 1.0


class Budgets:
    """A replicator's budgets."""

    _urgency: NDArray[np.int64]
    _own_budget: NDArray[np.bool_]
    _default_budget: int | None = None

    def set_budget(self, observers: ArrayLike, bytes_per_second: float | None) -> None:
        """Limit what some observers' frames take from the next step on.

        Payloads of state frames count, messages in them too; the headers of WebSocket (2 to 10 bytes a frame), TLS, TCP
        and IP don't. What isn't used is saved up for at most a second. An observer with a budget of its own keeps it
        whatever `NetworkConfig.max_bandwidth_per_player` says. Observers who share a stream share its budget; who joins
        it is sent the whole list at once. Events and texts aren't held back: what they take is gone for the state
        behind them.

        Parameters
        ----------
        observers : int or sequence of int
        bytes_per_second : float or None
            At least `least_budget`; None for no limit.

        Raises
        ------
        ArgumentError
            There is no such observer, or the budget is less than the least. Then none is changed.
        """
        leaders = self._leaders("set_budget", observers)
        self._check_budget("bytes_per_second", bytes_per_second)
        self._own_budget[leaders] = True
        self._fill_purses(leaders, bytes_per_second)

    def budget(self, observers: ArrayLike) -> NDArray[np.float64]:
        """float64[n]: bytes a second that some observers' frames may take, infinite without a budget.

        Raises ArgumentError where there is no such observer.
        """
        replicator = cast("Replicator", self)
        rows = self._leaders("budget", observers)
        rate = replicator._table.purse[rows, kernels.PER_TICK] * replicator.world.tick_rate
        return np.where(rate > 0, rate, np.inf)

    @property
    def least_budget(self) -> int:
        """Bytes a second that a budget must have: half a second's must hold a reset frame with one entity."""
        replicator = cast("Replicator", self)
        tables = replicator.tables
        n_blocks = tables.carrier.shape[1] * tables.period.shape[1]
        fixed = kernels.PADDING_BITS + 5 * kernels.GAMMA_BITS + 2 * n_blocks + 40 + 5 * tables.n_parameters
        enter = int(tables.bits.sum()) + 2 * 32 + 32
        absolute = int(tables.n_fields.sum(axis=1).max(initial=0)) * 2 * kernels.WIDE_BITS
        bits = float(fixed + enter + absolute)
        return math.ceil(bits / 8 / kernels.RESET_SHARE / BURST_S)

    def set_max_wait(self, seconds: float) -> None:
        """From the next step on, let nothing that is due wait longer than this while something less urgent goes.

        An entity that has waited so long is overdue, and the overdue take turns, before all others. So none waits
        longer than `seconds`, and a period of its channel, and 3.2 times the time that the observer's budget needs for
        one record of each entity it follows. Waits are counted up to 127 periods of a channel: longer ones are overdue.
        For an observer that is slowed down (`set_slowdown`) a period is longer, and so is what it waits.

        Raises ArgumentError where `seconds` isn't a number above 0 and at most 3600.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 3600:
            raise ArgumentError(f"set_max_wait takes seconds above 0 and at most 3600, not {seconds!r}")
        replicator = cast("Replicator", self)
        waits = np.ceil(seconds * replicator.world.tick_rate / np.maximum(replicator.tables.period, 1))
        self._urgency[1] = np.clip(waits, 1, 127)

    def _set_up_budgets(self, kinds: Any) -> None:
        """No budgets, and how urgent each layer is."""
        replicator = cast("Replicator", self)
        layers = [{x.channel: x.priority for x in listed} for kind in kinds for _, listed in kind.every_profile]
        ranks = sorted({p for row in layers for p in row.values()})
        self._urgency = np.zeros((2, *replicator.tables.period.shape), np.int64)
        for k, row in enumerate(layers):
            for c, priority in row.items():
                self._urgency[0, k, c] = min(255, ranks.index(priority))
        self._own_budget = np.zeros(replicator.max_observers, np.bool_)
        self.set_max_wait(DEFAULT_MAX_WAIT_S)

    def _leaders(self, call: str, observers: ArrayLike) -> NDArray[np.int64]:
        """Whose streams some observers have."""
        rows = np.atleast_1d(np.asarray(observers))
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise ArgumentError(f"{call} takes observers as whole numbers, not {observers!r}")
        replicator = cast("Replicator", self)
        for observer in rows.tolist():
            replicator._table.check(observer)
        return replicator._streams.leader[rows.astype(np.int64)]

    def _check_budget(self, name: str, bytes_per_second: float | None) -> None:
        if bytes_per_second is None:
            return
        sound = isinstance(bytes_per_second, int | float | np.number) and not isinstance(bytes_per_second, bool)
        if not sound or not self.least_budget <= bytes_per_second <= 2**40:
            raise ArgumentError(
                f"{name} must be a number from {self.least_budget} to {2**40}, not {bytes_per_second!r}: half a "
                "second's must hold a reset frame with one entity of these kinds"
            )

    def _fill_purses(self, observers: NDArray[np.int64], bytes_per_second: float | None) -> None:
        replicator = cast("Replicator", self)
        purse = np.zeros(kernels.N_PURSE)
        if bytes_per_second is not None:
            purse[kernels.PER_TICK] = bytes_per_second / replicator.world.tick_rate
            purse[kernels.BURST] = purse[kernels.HELD] = bytes_per_second * BURST_S
            purse[kernels.TICK] = replicator.world.tick_count
        replicator._table.purse[observers] = purse
        replicator._table.limited[observers] = bytes_per_second is not None

    def _charge(self, observers: NDArray[np.uint32], n_bytes: NDArray[np.int64]) -> None:
        """Let messages, which don't wait, be paid for: with what is held but the reserve, else from what is gained."""
        purse = cast("Replicator", self)._table.purse
        mine = purse[observers]
        at_once = np.clip(mine[:, kernels.HELD] - kernels.RESERVE_SHARE * mine[:, kernels.BURST], 0.0, n_bytes)
        limited = mine[:, kernels.PER_TICK] > 0
        purse[observers, kernels.HELD] -= at_once * limited
        purse[observers, kernels.OWED] += (n_bytes - at_once) * limited

    def _welcome_to_budget(self, observer: int) -> None:
        self._own_budget[observer] = False
        self._fill_purses(np.array([observer]), self._default_budget)

    def _set_default_budget(self, bytes_per_second: int | None) -> None:
        """For all observers without one of their own, those who come later included."""
        if bytes_per_second == self._default_budget:
            return
        self._check_budget("max_bandwidth_per_player", bytes_per_second)
        self._default_budget = bytes_per_second
        table = cast("Replicator", self)._table
        self._fill_purses(np.flatnonzero((table.status != FREE) & ~self._own_budget), bytes_per_second)
