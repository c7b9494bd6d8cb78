"""Dissect: what each bit of a state frame says, and of whom (docs/wire.md).

Plain and slow where `systems.decode` is fast, and without values: who is followed, on which channels, what is stale and
how long codes are is all that the length of a frame depends on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.errors import WireError
from horizon_ecs.schema import compile_tables
from horizon_ecs.systems.bits import COARSER, MAX_ONES
from horizon_ecs.systems.budget import PARTIAL_BITMAP, PARTIAL_LIST
from horizon_ecs.systems.frames import (
    FLAG_MESSAGES,
    FLAG_PARAMETERS,
    FLAG_PARTIAL,
    FLAG_RESET,
    FLAG_STRUCTURE,
    MODE_BITMAP,
    MODE_DENSE,
    MODE_LIST,
    RATE_BITS,
    RATE_SHIFT,
)

if TYPE_CHECKING:
    from horizon_ecs.replica import Replica

SECTIONS = (
    "header", "parameters", "leaves", "moves", "enters", "presence", "absolute", "record", "padding", "messages"
)  # fmt: skip
ANY = -1


class Part(NamedTuple):
    """What some bits of a frame say; numbers are those of the schema, -1 where the bits belong to none.

    Attributes
    ----------
    section : str
        "header" (flags and tick), "parameters", "leaves", "moves", "enters", "waiting" (who has nothing in a partial
        frame), "presence" (who has a record), "absolute", "record", "padding", "messages" (events and texts).
    kind, channel, group, field : int
    """

    section: str
    kind: int = ANY
    channel: int = ANY
    group: int = ANY
    field: int = ANY


class _Bits:
    """A frame as a row of bits, read from the front."""

    def __init__(self, frame: bytes | bytearray | memoryview) -> None:
        octets = np.frombuffer(frame, np.uint8)
        self._text = (np.unpackbits(octets, bitorder="little") + ord("0")).tobytes().decode("ascii")
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._text) - self.at

    def skip(self, n: int) -> None:
        if n > self.left:
            raise WireError("the state frame ends early")
        self.at += n

    def number(self, n: int) -> int:
        """The next n bits as an unsigned number."""
        start = self.at
        self.skip(n)
        return int(self._text[start : self.at][::-1] or "0", 2)

    def run(self, digit: str, most: int) -> int:
        """How many equal digits come next, at most `most`; the other digit that ends them is read as well."""
        end = self._text.find("1" if digit == "0" else "0", self.at, self.at + most)
        n = end - self.at if end >= 0 else most
        self.skip(n + (end >= 0))
        return n

    def gamma(self) -> int:
        n = self.run("0", 32)
        if n > 31:
            raise WireError("a number in the state frame is longer than any may be")
        return (1 << n) + self.number(n) - 1

    def skip_wide(self) -> None:
        length = self.number(6)
        if length > 32:
            raise WireError("a length in the state frame exceeds 32 bits")
        self.skip(max(length - 1, 0))

    def skip_rice(self, k: int) -> None:
        ones = self.run("1", 2 * (MAX_ONES + 1))
        self.skip(k if ones <= MAX_ONES else k + COARSER if ones <= 2 * MAX_ONES + 1 else 32)


def _width(n: int) -> int:
    """The bits needed to write any number below n."""
    return (n - 1).bit_length() if n > 1 else 0


class Dissector:
    """Dissects one observer's state frames, each in its turn.

    It begins with a reset frame, or in the middle of a stream where `start` says how things stand.

    Parameters
    ----------
    schema : mapping
        As the server's welcome has it.
    phase : int
        The observer's phase.
    """

    def __init__(self, schema: Mapping[str, Any], *, phase: int) -> None:
        self.phase = int(phase)
        self._tables = compile_tables(schema)
        self._n_slots, self._max_followed = int(schema["n_slots"]), int(schema["max_followed"])
        self._n_kinds, self._n_channels = len(schema["kinds"]), int(schema["n_channels"])
        self.start([], [], [], np.zeros(self._tables.n_parameters, np.uint8), -1)

    @classmethod
    def of(cls, replica: Replica) -> Dissector:
        """One that begins where a replica stands."""
        made = cls(replica.schema, phase=replica.phase)
        made.start(replica.kind, replica.mask, replica.stale, replica.rice, replica.tick, replica.slowdown)
        return made

    def start(
        self, kind: ArrayLike, mask: ArrayLike, stale: ArrayLike, rice: NDArray[np.uint8], tick: int, slowdown: int = 1
    ) -> None:  # fmt: skip
        """Take over what a client has: its list's kinds, masks and stale groups, its parameters, its last tick, and how
        much more seldom its channels are due."""
        self._rate = slowdown.bit_length() - 1
        self._kind, self._mask, self._stale = (np.array(column, np.int64) for column in (kind, mask, stale))
        self._rice, self._tick = rice.tolist(), int(tick)

    def dissect(self, frame: bytes | bytearray | memoryview) -> Counter[Part]:
        """The bits of one frame by what they say; they add up to the frame's length exactly.

        Raises
        ------
        WireError
            The frame is malformed, or not the next one; only a reset frame can follow.
        """
        bits, found = _Bits(frame), Counter[Part]()
        before, self._tick = self._tick, -1
        flags = bits.number(8)
        reset, structure = flags & FLAG_RESET != 0, flags & FLAG_STRUCTURE != 0
        partial = flags & FLAG_PARTIAL != 0
        known = FLAG_RESET | FLAG_PARAMETERS | FLAG_STRUCTURE | FLAG_MESSAGES | FLAG_PARTIAL | RATE_BITS << RATE_SHIFT
        if flags & ~known or (reset and (partial or not structure)):
            raise WireError("a state frame has unknown or contradictory flags")
        tick = bits.number(32) if reset else before + bits.number(8)
        if not reset and (before < 0 or tick == before):
            raise WireError("a state frame's tick doesn't follow the last frame's")
        found[Part("header")] = bits.at
        if flags & FLAG_PARAMETERS:
            self._read_parameters(bits, reset)
            found[Part("parameters")] = bits.at - found.total()
        if structure:
            self._read_structure(bits, reset, found)
        if flags >> RATE_SHIFT & RATE_BITS != self._rate:
            self._rate = flags >> RATE_SHIFT & RATE_BITS
            self._stale[:] = 0xFF
        waits = self._read_partial(bits, tick, found) if partial else np.zeros(len(self._kind), np.bool_)
        self._read_blocks(bits, tick, reset, waits, found)
        if flags & FLAG_MESSAGES:
            found[Part("messages")] = bits.left & ~7
        elif bits.left > 7:
            raise WireError("something is left over at the end of a state frame")
        found[Part("padding")] = bits.left & 7
        self._tick = tick
        return +found

    def _read_parameters(self, bits: _Bits, reset: bool) -> None:
        if reset:
            self._rice = [bits.number(5) for _ in self._rice]
            return
        width = _width(len(self._rice))
        for _ in range(bits.gamma()):
            number = bits.number(width)
            if number >= len(self._rice):
                raise WireError("a state frame names a parameter that doesn't exist")
            self._rice[number] = bits.number(5)

    def _read_structure(self, bits: _Bits, reset: bool, found: Counter[Part]) -> None:
        if reset:
            self._kind = self._mask = self._stale = np.zeros(0, np.int64)
        else:
            self._read_leaves(bits, found)
            self._read_moves(bits, found)
        self._read_enters(bits, found)

    def _count(self, bits: _Bits, section: str, most: int, found: Counter[Part]) -> int:
        """A number of things, of which there may be `most`."""
        start = bits.at
        n = bits.gamma()
        if n > most:
            raise WireError(f"a state frame has {n} {section} where at most {most} are possible")
        found[Part(section)] += bits.at - start
        return n

    def _index(self, bits: _Bits, section: str, found: Counter[Part]) -> int:
        """The index of an entry, whose kind pays for it."""
        n = len(self._kind)
        i = bits.number(_width(n))
        if i >= n:
            raise WireError(f"an index among the {section} of a state frame is out of range")
        found[Part(section, int(self._kind[i]))] += _width(n)
        return i

    def _read_leaves(self, bits: _Bits, found: Counter[Part]) -> None:
        n = self._count(bits, "leaves", len(self._kind), found)
        gone = [self._index(bits, "leaves", found) for _ in range(n)]
        self._kind, self._mask, self._stale = (np.delete(a, gone) for a in (self._kind, self._mask, self._stale))

    def _read_moves(self, bits: _Bits, found: Counter[Part]) -> None:
        carrier = self._tables.carrier
        for _ in range(self._count(bits, "moves", len(self._kind), found)):
            i = self._index(bits, "moves", found)
            before = int(self._kind[i])
            first, n_profiles, width = self._tables.profiles[before].tolist()
            number, mask = bits.number(width), bits.number(self._n_channels)
            if number >= n_profiles:
                raise WireError("an entity in a state frame moves to a profile that its kind lacks")
            kind = first + number
            found[Part("moves", kind)] += width + self._n_channels
            moved = carrier[kind, :, self._mask[i]] != carrier[kind, :, mask]
            self._stale[i] |= int((moved << np.arange(len(moved))).sum()) if kind == before else 0xFF
            self._kind[i], self._mask[i] = kind, mask

    def _read_enters(self, bits: _Bits, found: Counter[Part]) -> None:
        n = self._count(bits, "enters", self._max_followed - len(self._kind), found)
        made = np.zeros((n, 3), np.int64)
        for i in range(n):
            start = bits.at
            kind = bits.number(_width(self._n_kinds))
            if kind >= self._n_kinds:
                raise WireError(f"an entity of kind {kind} enters; the schema has {self._n_kinds}")
            bits.skip(_width(self._n_slots))
            bits.gamma()
            made[i] = kind, bits.number(self._n_channels), 0xFF
            found[Part("enters", kind)] += bits.at - start
        self._kind, self._mask, self._stale = (
            np.concatenate([a, column]) for a, column in zip((self._kind, self._mask, self._stale), made.T, strict=True)
        )

    def _due(self, tick: int) -> NDArray[np.bool_]:
        """bool[K, C]: which channels are due."""
        due: NDArray[np.bool_] = (tick + self.phase) % np.maximum(self._tables.periods[self._rate], 1) == 0
        return due

    def _carriers(self) -> list[NDArray[np.uint8]]:
        """By group, the channel that carries it for every entry."""
        carrier = self._tables.carrier
        return [carrier[self._kind, j, self._mask] for j in range(carrier.shape[1])]

    def _read_partial(self, bits: _Bits, tick: int, found: Counter[Part]) -> NDArray[np.bool_]:
        """bool[n]: who is due and has nothing in this frame; what is due of them goes stale."""
        due, start, last = self._due(tick), bits.at, self._n_channels - 1
        groups = np.zeros(len(self._kind), np.int64)
        for j, carrier in enumerate(self._carriers()):
            carried = carrier < self._n_channels
            groups |= (carried & due[self._kind, np.minimum(carrier, last)]) << j
        rows = np.flatnonzero(groups)
        mode, width = bits.number(2), _width(len(rows))
        goes = np.zeros(len(rows), np.bool_)
        if mode == PARTIAL_LIST:
            n = bits.gamma()
            for _ in range(n):
                at = bits.number(width)
                if n > len(rows) or at >= len(rows) or goes[at:].any():
                    raise WireError("a partial state frame names what isn't due, or not in order")
                goes[at] = True
        elif mode == PARTIAL_BITMAP:
            goes[:] = [bits.number(1) for _ in rows]
        elif mode != 0:
            raise WireError("a partial state frame has an unknown mode")
        waits = np.zeros(len(self._kind), np.bool_)
        waits[rows[~goes]] = True
        self._stale[waits] |= groups[waits]
        found[Part("waiting")] += bits.at - start
        return waits

    def _read_blocks(self, bits: _Bits, tick: int, reset: bool, waits: NDArray[np.bool_], found: Counter[Part]) -> None:
        due = reset | self._due(tick)
        carriers = self._carriers()
        for c in range(self._n_channels):
            for j, carrier in enumerate(carriers):
                rows = np.flatnonzero((carrier == c) & due[self._kind, c] & ~waits)
                stale = self._stale[rows] >> j & 1 == 1
                for kind in self._kind[rows[stale]].tolist():
                    self._read_absolute(bits, kind, c, j, found)
                self._stale[rows] &= ~(1 << j)
                self._read_block(bits, c, j, self._kind[rows[~stale]].tolist(), found)

    def _read_absolute(self, bits: _Bits, kind: int, c: int, j: int, found: Counter[Part]) -> None:
        for f in range(int(self._tables.n_fields[kind, j])):
            start = bits.at
            bits.skip_wide()
            if self._tables.order[kind, c, j, f] == 2:
                bits.skip_wide()
            found[Part("absolute", kind, c, j, f)] += bits.at - start

    def _read_block(self, bits: _Bits, c: int, j: int, kinds: list[int], found: Counter[Part]) -> None:
        """Shared records of one block, whose entries are of these kinds."""
        if not kinds:
            return
        shared, start = Part("presence", ANY, c, j), bits.at
        mode, width = bits.number(2), _width(len(kinds))
        n = bits.gamma() if mode == MODE_LIST else 0
        found[shared] += bits.at - start
        if mode == MODE_LIST:
            for _ in range(n):
                at = bits.number(width)
                if at >= len(kinds):
                    raise WireError("a record in a state frame belongs to no entry")
                found[Part("presence", kinds[at], c, j)] += width
                self._read_record(bits, kinds[at], c, j, found)
            return
        for kind in kinds if mode in (MODE_DENSE, MODE_BITMAP) else ():
            if mode == MODE_BITMAP:
                found[Part("presence", kind, c, j)] += 1
            if mode == MODE_DENSE or bits.number(1):
                self._read_record(bits, kind, c, j, found)

    def _read_record(self, bits: _Bits, kind: int, c: int, j: int, found: Counter[Part]) -> None:
        first = int(self._tables.first_parameter[kind, c, j])
        for f in range(int(self._tables.n_fields[kind, j])):
            start = bits.at
            bits.skip_rice(self._rice[first + f])
            found[Part("record", kind, c, j, f)] += bits.at - start


def dissect(frame: bytes | bytearray | memoryview, replica: Replica) -> Counter[Part]:
    """What each bit of a replica's next state frame says; the replica stays as it is.

    Parameters
    ----------
    frame : bytes
    replica : Replica
        Having applied every frame before this one.

    Returns
    -------
    Counter of Part : bits; they add up to the frame's length exactly.

    Raises
    ------
    WireError
    """
    return Dissector.of(replica).dissect(frame)
