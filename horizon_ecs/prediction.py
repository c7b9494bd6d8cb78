"""Prediction: one's own entity moves at once and is put right when the server has spoken. No I/O; time is an
argument."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.errors import ArgumentError

Step = Callable[[NDArray[np.float64], Any], ArrayLike | None]

MAX_PENDING = 128
BLEND_TICKS = 9.0  # in which an error is smoothed away


class _Pending(NamedTuple):
    sequence: int
    given: Any
    after: NDArray[np.float64]


class Predictor:
    """Predicts the state of one entity from inputs that the server hasn't acknowledged yet.

    An input is one step: the client steps its state by each input when it is made, the server steps the entity by
    each input that comes, in order, and replicates the number of the last one together with the state (docs/wire.md,
    "Sequence numbers").

    Parameters
    ----------
    step : function(state, given) -> state
        One step, as the server does it. It gets a copy, which it may change and needn't return then.
    state : float64[m]
        Where to begin.
    tolerance : float or float64[m]
        The server's state is rounded to the layer's precision: what differs by no more isn't wrong.
    max_error : float
        What differs by more, in any of its numbers, is shown at once instead of smoothly.
    blend : float
        Ticks in which an error is smoothed away.
    max_pending : int
        Inputs that may wait for an acknowledgement.
    angles : sequence of int
        Places in the state that are angles in radians, which differ the short way round.

    Attributes
    ----------
    n_predicted, n_acknowledged, n_mispredictions, n_snaps, n_refused : int
        Inputs predicted, acknowledged and refused; states of the server that were other than predicted, and those of
        them that were shown at once.
    last_error : float
        Of the last misprediction, the largest difference of any number.
    """

    def __init__(
        self, step: Step, state: ArrayLike, *, tolerance: ArrayLike = 0.0, max_error: float = math.inf,
        blend: float = BLEND_TICKS, max_pending: int = MAX_PENDING, angles: Sequence[int] = ()
    ) -> None:  # fmt: skip
        self._step = step
        self._size = np.size(state)
        self._tolerance = np.array(tolerance, np.float64)
        if self._tolerance.shape not in ((), (self._size,)):
            raise ArgumentError(f"tolerance must be one number or {self._size}, not {tolerance!r}")
        if not (blend > 0 and max_pending >= 1 and max_error >= 0 and (self._tolerance >= 0).all()):
            raise ArgumentError(
                f"blend and max_pending must be positive, max_error and tolerance not negative, not {blend!r}, "
                f"{max_pending!r}, {max_error!r}, {tolerance!r}"
            )
        self._max_error, self._blend, self._max_pending = max_error, blend, max_pending
        self._is_angle = np.zeros(self._size, bool)
        if not all(0 <= angle < self._size for angle in angles):
            raise ArgumentError(f"angles: a state has places 0 to {self._size - 1}, not {list(angles)}")
        self._is_angle[list(angles)] = True
        self.n_predicted = self.n_acknowledged = self.n_mispredictions = self.n_snaps = self.n_refused = 0
        self.last_error = 0.0
        self._newest = 0
        self.restart(state)

    def __repr__(self) -> str:
        return f"Predictor({len(self._pending)} pending, {self.n_mispredictions} mispredictions)"

    def restart(self, state: ArrayLike) -> None:
        """Begin at a state with nothing pending: after a connection was made anew, or a teleport."""
        self._base = self._checked(state)
        if np.isnan(self._base).any():
            raise ArgumentError("a state to begin at must be known in all its numbers")
        self._before = self._base
        self._since = -math.inf
        self._acknowledged = self._newest
        self._pending: deque[_Pending] = deque()
        self._offset, self._offset_since = np.zeros(self._size), -math.inf

    def _checked(self, state: ArrayLike) -> NDArray[np.float64]:
        checked = np.array(state, np.float64)
        if checked.shape != (self._size,):
            raise ArgumentError(f"a state must be {self._size} numbers, not {state!r}")
        return checked

    @property
    def state(self) -> NDArray[np.float64]:
        """float64[m]: as predicted, after all inputs."""
        return (self._pending[-1].after if self._pending else self._base).copy()

    @property
    def n_pending(self) -> int:
        """Inputs that aren't acknowledged."""
        return len(self._pending)

    def predict(self, given: Any, tick: float) -> int:
        """Step by an input, which then is to be sent.

        Parameters
        ----------
        given : anything
            What `step` takes.
        tick : float
            When, on the clock that `shown` is asked by.

        Returns
        -------
        int : its sequence number, from 1 on; 0 if too many wait, and nothing is to be sent: the server isn't heard of.
        """
        if len(self._pending) >= self._max_pending:
            self.n_refused += 1
            return 0
        before = self.state
        after = self._stepped(before, given)
        self._before, self._since = before, tick
        self._newest += 1
        self._pending.append(_Pending(self._newest, given, after))
        self.n_predicted += 1
        return self._newest

    def _stepped(self, state: NDArray[np.float64], given: Any) -> NDArray[np.float64]:
        copy = state.copy()
        after = self._step(copy, given)
        return self._checked(copy if after is None else after)

    def reconcile(self, state: ArrayLike, acknowledged: int, tick: float) -> bool:
        """Take over what the server says, and step by what it doesn't know yet again.

        Parameters
        ----------
        state : float64[m]
            Of the entity on the server; NaN where it isn't replicated.
        acknowledged : int
            The number of the last input in it, 0 for none.
        tick : float
            When, on the clock that `shown` is asked by.

        Returns
        -------
        bool : whether it was other than predicted.

        Raises
        ------
        ArgumentError
            The input was never made, or the state has another size.
        """
        told = self._checked(state)
        if acknowledged % 1 != 0:
            raise ArgumentError(f"acknowledged must be a whole number, not {acknowledged!r}")
        if acknowledged > self._newest:
            raise ArgumentError(f"input {acknowledged} is acknowledged, but {self._newest} was the last")
        if acknowledged < self._acknowledged:
            return False
        self.n_acknowledged += acknowledged - self._acknowledged
        self._acknowledged = acknowledged
        while self._pending and self._pending[0].sequence <= acknowledged:
            self._base = self._pending.popleft().after
        error = np.nan_to_num(np.abs(self._difference(told, self._base)))
        if (error <= self._tolerance).all():
            return False
        self.n_mispredictions += 1
        self.last_error = float(error.max())
        self._correct(np.where(np.isnan(told), self._base, told), tick)
        return True

    def _correct(self, base: NDArray[np.float64], tick: float) -> None:
        """Replay from a state; what is shown now stays, and goes over to it."""
        shown = self.shown(tick)
        self._before = self._base = base
        pending, self._pending = self._pending, deque()
        for sequence, given, _ in pending:
            self._before = self.state
            self._pending.append(_Pending(sequence, given, self._stepped(self._before, given)))
        self._offset = np.zeros(self._size)
        offset = self._difference(shown, self.shown(tick))
        if (np.abs(offset) > self._max_error).any():
            self.n_snaps += 1
        else:
            self._offset, self._offset_since = offset, tick

    def shown(self, tick: float) -> NDArray[np.float64]:
        """float64[m]: what to draw at a tick: between the last two states, and errors smoothed away."""
        part = min(max(tick - self._since, 0.0), 1.0)
        now = self._before + self._difference(self.state, self._before) * part
        left = min(max(1 - (tick - self._offset_since) / self._blend, 0.0), 1.0)
        return now + self._offset * left

    def _difference(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """a - b, the short way round for angles."""
        off = a - b
        return np.where(self._is_angle, off - math.tau * np.floor(off / math.tau + 0.5), off)
