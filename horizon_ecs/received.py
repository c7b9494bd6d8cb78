"""Received: what a client was told besides fields, by the section of messages behind a state frame."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.errors import WireError
from horizon_ecs.messages import MAX_TEXT_BYTES, RAW_DEFLATE, TEXT, MessageTables
from horizon_ecs.systems import decode

_LEAST_MESSAGE = 3  # bytes: number, slot, generation
_NOTHING = np.zeros(0, np.uint64)


class Told:
    """The events of one type that came with a frame, in their order.

    Attributes
    ----------
    handle : uint64[n]
        The entity that each is of; it may have left with the same frame.
    place : int64[n]
        Where each stands among all of the frame's events.
    records : structured array[n]
        The fields; each is also an attribute: `told.power`.
    """

    def __init__(self, handle: NDArray[np.uint64], place: NDArray[np.int64], records: NDArray[Any]) -> None:
        self.handle, self.place, self.records = handle, place, records

    def __len__(self) -> int:
        return len(self.handle)

    def __getattr__(self, name: str) -> NDArray[Any]:
        records = self.__dict__.get("records")
        if records is None or name not in records.dtype.names:
            raise AttributeError(f"this event has no field {name!r}")
        column: NDArray[Any] = records[name]
        return column

    def __repr__(self) -> str:
        return f"Told({len(self)} × {', '.join(self.records.dtype.names or ())})"


class Received:
    """The events of the last frame, and the texts of all entities that are followed.

    Attributes
    ----------
    messages : dict of str to Told
        By the event's name on the wire; only those that came.
    """

    def __init__(self, tables: MessageTables, n_slots: int) -> None:
        self.tables = tables
        self.messages: dict[str, Told] = {}
        self._texts: dict[int, dict[int, str | bytes]] = {}
        self._n_slots = n_slots

    def take(
        self, data: NDArray[np.uint8], at: int, here: NDArray[np.uint64], left: NDArray[np.uint64], was_reset: bool
    ) -> None:  # fmt: skip
        """Take the section of a frame that was applied; `at` is where it begins, 0 for none.

        Raises
        ------
        WireError
            It is malformed.
        """
        self.messages = {}
        if was_reset:
            self._texts.clear()
        if at:
            self._read(data, at, here, _NOTHING if was_reset else left, was_reset)
        if self._texts:
            for handle in left.tolist():
                self._texts.pop(handle, None)

    def _read(
        self, data: NDArray[np.uint8], at: int, here: NDArray[np.uint64], left: NDArray[np.uint64], was_reset: bool
    ) -> None:  # fmt: skip
        most = (len(data) - at) // _LEAST_MESSAGE
        number, handle, piece = np.zeros(most, np.uint8), np.zeros(most, np.uint64), np.zeros((most, 2), np.int64)
        deflated = np.zeros(most, np.uint8)
        n = decode.read_messages(
            data, at, self._n_slots, self.tables.size, TEXT, MAX_TEXT_BYTES, number, handle, piece, deflated
        )  # fmt: skip
        if n < 0:
            raise WireError(f"malformed messages in a state frame of {len(data)} bytes")
        number, handle, piece = number[:n], handle[:n], piece[:n]
        is_text = self.tables.size[number] == TEXT
        if not np.isin(handle[is_text], here).all():
            raise WireError("a state frame has a text of an entity that isn't followed")
        if not was_reset and not (np.isin(handle[~is_text], here) | np.isin(handle[~is_text], left)).all():
            raise WireError("a state frame has an event of an entity that is neither followed nor leaves")
        for i in np.flatnonzero(is_text).tolist():
            text = data[piece[i, 0] : piece[i, 1]].tobytes()
            self._keep(int(handle[i]), int(number[i]), _inflated(text) if deflated[i] else text)
        place = np.cumsum(~is_text) - 1
        for which, (name, dtype) in self.tables.events.items():
            rows = np.flatnonzero(number == which)
            if len(rows):
                raw = b"".join(data[a:b].tobytes() for a, b in piece[rows].tolist())
                self.messages[name] = Told(handle[rows], place[rows], np.frombuffer(raw, dtype))

    def _keep(self, handle: int, number: int, data: bytes) -> None:
        of_type = self.tables.texts[number - 1][2]
        try:
            self._texts.setdefault(handle, {})[number] = data.decode() if of_type == "str" else data
        except UnicodeDecodeError as error:
            raise WireError(f"a text that isn't UTF-8: {error}") from None

    def text(self, handle: int, name: str) -> str | bytes | None:
        """An entity's text; None where it isn't followed on a channel that lists the text. Raises ArgumentError."""
        return self._texts.get(int(handle), {}).get(self.tables.number(name))


def _inflated(data: bytes) -> bytes:
    """A deflated text. Raises WireError where it is none, goes on, or would be too long."""
    inflater = zlib.decompressobj(wbits=RAW_DEFLATE)
    try:
        out = inflater.decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error as error:
        raise WireError(f"a text that isn't deflated as it says: {error}") from None
    if len(out) > MAX_TEXT_BYTES or not inflater.eof or inflater.unused_data:
        raise WireError(f"a deflated text that has no end within {MAX_TEXT_BYTES} bytes")
    return out


class HasReceived:
    """A replica's events and texts."""

    _received: Received
    handle: Any

    @property
    def messages(self) -> Mapping[str, Told]:
        """The events that came with the last frame, by name on the wire."""
        return self._received.messages

    def text(self, handle: int, name: str) -> str | bytes | None:
        """A text of one entity, such as "Name.text"; None where none has come.

        Raises
        ------
        ArgumentError
            No kind replicates this text.
        """
        return self._received.text(handle, name)

    def texts(self, name: str) -> list[str | bytes | None]:
        """A text of every followed entity, in the table's order. Raises ArgumentError."""
        return [self._received.text(handle, name) for handle in self.handle.tolist()]
