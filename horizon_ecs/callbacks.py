"""Callbacks: who entered, changed and left with a frame, told one by one or as arrays. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import nearest
from horizon_ecs.errors import ArgumentError
from horizon_ecs.replica import Replica

F = TypeVar("F", bound=Callable[..., Any])

ENTER, UPDATE, EVENT, LEAVE = range(4)  # in the order in which they are told


class Callbacks:
    """Tells of each frame who entered, who changed, what happened and who left, in this order.

    What is followed is compared with what was followed when it was last told. So a reset frame, or another
    connection to the same server, tells only who has really come and gone; and nobody is told of as changed in the
    frame that they entered with.

    Attributes
    ----------
    entered, updated : int64[...]
        Rows of the replica's table, as of the last `frame`; those updated only with an `on_update`.
    left : uint64[...]
        Handles.

    Examples
    --------
    >>> calls = Callbacks()
    >>> @calls.on_enter(kind="Ship")
    ... def show(handle, row): ...
    """

    def __init__(self) -> None:
        self._told: tuple[list[tuple[Callable[..., Any], str | None]], ...] = ([], [], [], [])
        self._said: list[tuple[Callable[..., Any], str | None, str | None]] = []
        self._handles = np.zeros(0, np.uint64)
        self._kinds: list[str] = []
        self._kind = np.zeros(0, np.uint8)
        self._q = np.zeros((0, 1, 1), np.int32)
        self.entered = self.updated = np.zeros(0, np.int64)
        self.left = np.zeros(0, np.uint64)

    def __repr__(self) -> str:
        return f"Callbacks({sum(map(len, self._told)) + len(self._said)} functions, {len(self._handles)} entities)"

    def on_enter(self, function: F | None = None, *, kind: str | None = None) -> Any:
        """Call `function(handle, row)` for each that enters, or each of a kind; also a decorator."""
        return self._on(ENTER, function, kind)

    def on_update(self, function: F | None = None, *, kind: str | None = None) -> Any:
        """Call `function(handle, row)` for each that a frame changed; also a decorator."""
        return self._on(UPDATE, function, kind)

    def on_event(self, function: F | None = None, *, name: str | None = None) -> Any:
        """Call `function(name, handle, values)` for each event of an entity, or each of a name; also a decorator.

        `values` is a dict by field.
        """
        return self._on(EVENT, function, name)

    def on_leave(self, function: F | None = None, *, kind: str | None = None) -> Any:
        """Call `function(handle)` for each that left; also a decorator."""
        return self._on(LEAVE, function, kind)

    def on_server_event(
        self, function: F | None = None, *, namespace: str | None = None, event: str | None = None
    ) -> Any:  # fmt: skip
        """Call `function(namespace, event, data)` for what the server's application says (`EventSystem.emit_client`,
        `broadcast`), or what it says under these names; also a decorator."""

        def register(function: F) -> F:
            self._said.append((function, namespace, event))
            return function

        return register if function is None else register(function)

    def said(self, namespace: str, event: str, data: Any) -> None:
        """Tell what the server's application said."""
        for function, of, name in tuple(self._said):
            if of in (None, namespace) and name in (None, event):
                function(namespace, event, data)

    def _on(self, what: int, function: F | None, of: str | None) -> Any:
        def register(function: F) -> F:
            self._told[what].append((function, of))
            return function

        return register if function is None else register(function)

    def off(self, function: Callable[..., Any]) -> None:
        """Call a function no more, wherever it was registered."""
        for told in self._told:
            told[:] = [pair for pair in told if pair[0] != function]
        self._said = [one for one in self._said if one[0] != function]

    def frame(self, replica: Replica) -> None:
        """Tell what a frame brought.

        Parameters
        ----------
        replica : Replica
            After it applied the frame.

        Raises
        ------
        ArgumentError
            A kind that was asked for doesn't exist.
        """
        kinds = [kind["name"] for kind in replica.schema["kinds"]]
        if kinds != self._kinds:
            self._require(kinds)
        kinds_before, kind_before = self._kinds, self._kind
        gone = self._compare(replica)
        self._kinds = kinds
        handles = self._handles.tolist()
        for what, rows in ((ENTER, self.entered), (UPDATE, self.updated)):
            for function, of in self._told[what]:
                for row in _of_kind(rows, self._kind[rows], kinds, of).tolist():
                    function(handles[row], row)
        for name, handle, values in _in_order(replica) if self._told[EVENT] else ():
            for function, of in self._told[EVENT]:
                if of in (None, name):
                    function(name, handle, values)
        for function, of in self._told[LEAVE]:
            for handle in _of_kind(self.left, kind_before[gone], kinds_before, of).tolist():
                function(handle)

    def _require(self, kinds: list[str]) -> None:
        for what in (ENTER, UPDATE, LEAVE):
            for _, of in self._told[what]:
                if of is not None and of not in kinds:
                    raise ArgumentError(
                        f"no kind is called {of!r}{nearest(of, kinds)} (there are {sorted(set(kinds))})"
                    )

    def _compare(self, replica: Replica) -> NDArray[np.int64]:
        """Find what entered, changed and left; return the rows that those who left had."""
        handles = replica.handle.copy()
        if np.array_equal(handles, self._handles):
            same, previous = np.arange(len(handles)), np.arange(len(handles))
            gone = self.entered = np.zeros(0, np.int64)
        else:
            _, same, previous = np.intersect1d(handles, self._handles, assume_unique=True, return_indices=True)
            self.entered = np.setdiff1d(np.arange(len(handles)), same, assume_unique=True)
            gone = np.setdiff1d(np.arange(len(self._handles)), previous, assume_unique=True)
        self.left = self._handles[gone]
        self._handles, self._kind = handles, replica.kind.copy()
        self.updated = self._changed(replica, same, previous)
        return gone

    def _changed(self, replica: Replica, same: NDArray[Any], previous: NDArray[Any]) -> NDArray[np.int64]:
        """Rows whose integers are others than they were; only looked for where anybody is to be told."""
        if not self._told[UPDATE]:
            self._q = self._q[:0]
            return np.zeros(0, np.int64)
        before, self._q = self._q, replica.integers.copy()
        if before.shape[1:] != self._q.shape[1:] or len(before) <= previous.max(initial=-1):
            return np.zeros(0, np.int64)
        changed = (self._q[same] != before[previous]).any(axis=(1, 2))
        return np.sort(same[changed])


def _in_order(replica: Replica) -> list[tuple[str, int, dict[str, Any]]]:
    """The events that came with the last frame: name, handle and values of each."""
    placed = [
        (place, name, handle, dict(zip(told.records.dtype.names or (), record, strict=True)))
        for name, told in replica.messages.items()
        for place, handle, record in zip(told.place.tolist(), told.handle.tolist(), told.records.tolist(), strict=True)
    ]
    return [one[1:] for one in sorted(placed, key=lambda one: one[0])]


def _of_kind(values: NDArray[Any], kind: NDArray[np.uint8], kinds: list[str], of: str | None) -> NDArray[Any]:
    """Those of the kind of a name, whatever its profile."""
    if of is None:
        return values
    numbers = [number for number, name in enumerate(kinds) if name == of]
    chosen: NDArray[Any] = values[np.isin(kind, numbers)]
    return chosen
