"""A third client, written from docs/wire.md alone: plain Python, whole numbers, nothing of horizon_ecs."""

from __future__ import annotations

import copy
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

RESET, PARAMETERS, STRUCTURE, MESSAGES = 1, 2, 4, 8
MAX_TEXT_BYTES = 1024
NOTHING, DENSE, BITMAP, LIST = range(4)


class Malformed(Exception):
    """The frame isn't what docs/wire.md says."""


def require(sound: bool, what: str) -> None:
    if not sound:
        raise Malformed(what)


def wrap(value: int) -> int:
    """Modulo 2**32, as a signed number."""
    return (value + 2**31) % 2**32 - 2**31


def zz(value: int) -> int:
    return ((value << 1) ^ (value >> 31)) & 0xFFFFFFFF


def unzz(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def w(n: int) -> int:
    """The bits needed to write any number below n."""
    return (n - 1).bit_length() if n > 1 else 0


class Writer:
    """The bit stream as one whole number that grows at its upper end."""

    def __init__(self) -> None:
        self.value, self.n_bits = 0, 0

    def b(self, value: int, n: int) -> None:
        assert 0 <= value < 1 << n
        self.value |= value << self.n_bits
        self.n_bits += n

    def gamma(self, value: int) -> None:
        n = (value + 1).bit_length() - 1
        self.b(1 << n, n + 1)
        self.b((value + 1) - (1 << n), n)

    def wide(self, value: int) -> None:
        length = value.bit_length()
        self.b(length, 6)
        if length > 1:
            self.b(value - (1 << (length - 1)), length - 1)

    def rice(self, value: int, k: int) -> None:
        rest = value - (8 << k)
        if value >> k < 8:
            self.b((1 << (value >> k)) - 1, (value >> k) + 1)
            self.b(value % (1 << k), k)
        elif rest >> (k + 4) < 8:
            self.b(0xFF, 8)
            self.b((1 << (rest >> (k + 4))) - 1, (rest >> (k + 4)) + 1)
            self.b(rest % (1 << (k + 4)), k + 4)
        else:
            self.b(0xFFFF, 16)
            self.b(value, 32)

    def octets(self) -> bytes:
        return self.value.to_bytes((self.n_bits + 7) // 8, "little")


class Reader:
    """Reads what `Writer` writes."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def b(self, n: int) -> int:
        require(n <= self.left, "ends early")
        taken = self.value & ((1 << n) - 1)
        self.value >>= n
        self.left -= n
        return taken

    def gamma(self) -> int:
        n = 0
        while self.b(1) == 0:
            n += 1
            require(n <= 31, "gamma too long")
        return (1 << n) + self.b(n) - 1

    def wide(self) -> int:
        length = self.b(6)
        require(length <= 32, "wide too long")
        return (1 << (length - 1)) + self.b(length - 1) if length else 0

    def rice(self, k: int) -> int:
        ones = 0
        while ones < 16 and self.b(1):
            ones += 1
        if ones < 8:
            value = (ones << k) + self.b(k)
        elif ones < 16:
            value = (8 << k) + ((ones - 8) << (k + 4)) + self.b(k + 4)
        else:
            value = self.b(32)
        require(value < 2**32, "rice too long")
        return value

    def index(self, n: int) -> int:
        """b(w(n)), which must be below n."""
        i = self.b(w(n))
        require(i < n, "index out of range")
        return i

    def ascending(self, count: int, n: int) -> Iterator[int]:
        """`count` times an index below n, above the one before."""
        last = -1
        for _ in range(count):
            i = self.index(n)
            require(i > last, "not ascending")
            yield i
            last = i


@dataclass
class Entry:
    """One followed entity; q and d by group and field."""

    slot: int
    generation: int
    kind: int
    mask: int
    stale: int
    q: list[list[int]]
    d: list[list[int]]
    came: dict[int, tuple[int, int]] = field(default_factory=dict)  # by group: the kind and the channel it last came on

    @property
    def handle(self) -> int:
        return self.generation << 32 | self.slot

    def __deepcopy__(self, memo: dict[int, Any]) -> Entry:
        q, d = [[*values] for values in self.q], [[*values] for values in self.d]
        return replace(self, q=q, d=d, came=dict(self.came))


class Client:
    """What a client keeps."""

    def __init__(self, schema: dict[str, Any], phase: int) -> None:
        self.schema, self.phase = schema, phase
        self.kinds, self.n_channels = schema["kinds"], schema["n_channels"]
        self.entries: list[Entry] = []
        self.entries_before: list[Entry] = []
        self.tick = -1
        self.number: dict[tuple[int, int, int, int], int] = {}
        for kind, description in enumerate(self.kinds):
            for c in range(self.n_channels):
                for j, group in enumerate(description["groups"]):
                    for f in range(len(group["fields"])):
                        self.number[kind, c, j, f] = len(self.number)
        self.k = [0] * len(self.number)
        self.rate = 0
        self.texts: dict[int, dict[str, str | bytes]] = {}
        self.messages: list[tuple[str, int, bytes]] = []
        self.n_updates = 0
        self.n_modes = [0, 0, 0, 0]

    def __deepcopy__(self, memo: dict[int, Any]) -> Client:
        """What no frame changes is shared: tests copy clients for every frame that they try."""
        for constant in (self.schema, self.kinds, self.number):
            memo[id(constant)] = constant
        twin = copy.copy(self)
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def carrier(self, entry: Entry, j: int, mask: int | None = None) -> int | None:
        """The lowest channel in mask & group.channels."""
        both = (entry.mask if mask is None else mask) & self.kinds[entry.kind]["groups"][j]["channels"]
        return (both & -both).bit_length() - 1 if both else None

    def is_due(self, entry: Entry, j: int, tick: int) -> bool:
        c = self.carrier(entry, j)
        return c is not None and (tick + self.phase) % self.period(entry.kind, c) == 0

    def period(self, kind: int, c: int) -> int:
        """A channel's period, which doubles with the rate."""
        channel = self.kinds[kind]["channels"][c]
        return int(channel["period"] << min(self.rate, channel.get("slowest", 0)))

    def orders(self, entry: Entry, j: int) -> list[int]:
        """Each field's predictor on the group's carrier."""
        c = self.carrier(entry, j)
        return [field["params"][c][0] for field in self.kinds[entry.kind]["groups"][j]["fields"]]

    def groups(self, entry: Entry) -> range:
        return range(len(self.kinds[entry.kind]["groups"]))

    def profiles(self, kind: int) -> list[int]:
        """The numbers of a kind's profiles."""
        name = self.kinds[kind]["name"]
        if "profile" not in self.kinds[kind]:
            return [kind]
        return [k for k, other in enumerate(self.kinds) if other["name"] == name and "profile" in other]

    def mask(self, reader: Reader, kind: int) -> int:
        mask = reader.b(self.n_channels)
        allowed = sum(1 << c for c, channel in enumerate(self.kinds[kind]["channels"]) if channel is not None)
        require(mask != 0 and mask & ~allowed == 0, "bad mask")
        return mask


def apply_frame(client: Client, frame: bytes) -> None:
    """Apply one state frame; Malformed where it isn't one."""
    require(len(frame) >= 2, "no header")
    flags = frame[0]
    reset = flags & RESET != 0
    require(flags & ~127 == 0 and (not reset or flags & (STRUCTURE | 64) == STRUCTURE), "flags")
    header = 5 if reset else 2
    require(len(frame) >= header, "no header")
    tick = int.from_bytes(frame[1:5], "little") if reset else client.tick + frame[1]
    require(reset or (client.tick >= 0 and frame[1] > 0), "tick")
    reader = Reader(frame[header:])
    client.entries_before = list(client.entries)
    if not reset:
        _silent_ticks(client, tick)
    if flags & PARAMETERS:
        _parameters(client, reader, reset)
    if flags & STRUCTURE:
        _structure(client, reader, reset)
    before = {entry.handle for entry in client.entries_before}
    if flags >> 4 & 3 != client.rate:
        client.rate = flags >> 4 & 3
        for entry in client.entries:
            entry.stale = 0xFF
    waiting = _partial(client, reader, tick) if flags & 64 else set()
    _blocks(client, reader, tick, reset, waiting)
    client.messages = []
    if flags & MESSAGES:
        require(reader.b(reader.left % 8) == 0, "padding")
        _messages(client, frame[len(frame) - reader.left // 8 :], None if reset else before)
    else:
        require(reader.left < 8 and reader.value == 0, "left over")
    here = {entry.handle for entry in client.entries}
    client.texts = {handle: texts for handle, texts in client.texts.items() if handle in here}
    client.tick = tick


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have their top bit set."""
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def message(number: int, slot: int, generation: int) -> bytes:
    """How a message begins."""
    return bytes([number]) + varint(slot) + varint(generation)


def attach(frame: bytes, messages: list[bytes]) -> bytes:
    """A frame with messages behind it, as a whole WebSocket message."""
    if messages:
        frame = bytes([frame[0] | MESSAGES]) + frame[1:] + varint(len(messages)) + b"".join(messages)
    n = len(frame)
    length = (
        bytes([n])
        if n < 126
        else bytes([126]) + n.to_bytes(2, "big")
        if n < 65_536
        else bytes([127]) + n.to_bytes(8, "big")
    )
    return bytes([0x82]) + length + frame


class Octets:
    """Reads whole bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, n: int) -> bytes:
        require(n <= len(self.data), "ends early")
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def varint(self) -> int:
        value = 0
        for i in range(5):
            byte = self.take(1)[0]
            value |= (byte & 127) << 7 * i
            if byte < 128:
                require(value < 2**32, "number too large")
                return value
        raise Malformed("number too long")


def _messages(client: Client, data: bytes, before: set[int] | None) -> None:
    """Texts and events; `before` are those who were in the list before this frame, None in a reset frame."""
    octets, schema = Octets(data), client.schema
    texts = {text["id"]: text for kind in schema["kinds"] for text in kind.get("texts", ())}
    events = {event["id"]: event for event in schema.get("messages", ())}
    here = {entry.handle for entry in client.entries}
    n = octets.varint()
    require(n > 0, "no messages")
    for _ in range(n):
        number, slot, generation = octets.take(1)[0], octets.varint(), octets.varint()
        require(slot < schema["n_slots"] and generation > 0, "bad handle")
        handle = generation << 32 | slot
        if number in texts:
            length, deflated = divmod(octets.varint(), 2)
            require(length <= MAX_TEXT_BYTES and handle in here, "bad text")
            data = octets.take(length)
            _text(client, handle, texts[number], _inflate(data) if deflated else data)
        else:
            require(number in events, "no such message")
            require(before is None or handle in here | before, "event of a stranger")
            size = sum(int(of_type[1:]) for _, of_type in events[number]["fields"])
            client.messages.append((events[number]["name"], handle, octets.take(size)))
    require(not octets.data, "left over")


def _inflate(data: bytes) -> bytes:
    """Raw deflate undone; a text of more than 1,024 bytes is none."""
    inflater = zlib.decompressobj(-15)
    try:
        out = inflater.decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error:
        raise Malformed("not deflated") from None
    require(len(out) <= MAX_TEXT_BYTES and inflater.eof and not inflater.unused_data, "deflated text too long")
    return out


def _text(client: Client, handle: int, text: dict[str, Any], data: bytes) -> None:
    try:
        value = data.decode() if text["type"] == "str" else data
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    client.texts.setdefault(handle, {})[f"{text['component']}.{text['field']}"] = value


def _silent_ticks(client: Client, tick: int) -> None:
    for silent in range(client.tick + 1, tick):
        for entry in client.entries:
            for j in client.groups(entry):
                if not entry.stale >> j & 1 and client.is_due(entry, j, silent):
                    for f, order in enumerate(client.orders(entry, j)):
                        if order == 2:
                            entry.q[j][f] = wrap(entry.q[j][f] + entry.d[j][f])


def _parameters(client: Client, reader: Reader, reset: bool) -> None:
    if reset:
        client.k = [reader.b(5) for _ in client.k]
    else:
        for _ in range(reader.gamma()):
            number = reader.index(len(client.k))
            client.k[number] = reader.b(5)


def _structure(client: Client, reader: Reader, reset: bool) -> None:
    if reset:
        client.entries, client.texts = [], {}
    else:
        n = len(client.entries)
        left = set(reader.ascending(reader.gamma(), n))
        client.entries = [entry for i, entry in enumerate(client.entries) if i not in left]
        for i in reader.ascending(reader.gamma(), len(client.entries)):
            entry = client.entries[i]
            profiles = client.profiles(entry.kind)
            kind = profiles[reader.index(len(profiles))]
            mask = client.mask(reader, kind)
            for j in client.groups(entry):
                if kind != entry.kind or client.carrier(entry, j) != client.carrier(entry, j, mask):
                    entry.stale |= 1 << j
            if kind != entry.kind:
                entry.kind, entry.stale = kind, 0xFF
            entry.mask = mask
    n_enters = reader.gamma()
    require(len(client.entries) + n_enters <= client.schema["max_followed"], "list too long")
    for _ in range(n_enters):
        kind = reader.index(len(client.kinds))
        slot = reader.index(client.schema["n_slots"])
        generation = reader.gamma() + 1
        mask = client.mask(reader, kind)
        q, d = ([[0] * len(group["fields"]) for group in client.kinds[kind]["groups"]] for _ in range(2))
        client.entries.append(Entry(slot, generation, kind, mask, 0xFF, q, d))


def _partial(client: Client, reader: Reader, tick: int) -> set[int]:
    """Who of those due has nothing in this frame; what is due of them is stale from now on."""
    due = {
        i: [j for j in client.groups(entry) if client.is_due(entry, j, tick)] for i, entry in enumerate(client.entries)
    }
    rows = [i for i, groups in due.items() if groups]
    mode = reader.b(2)
    require(mode < 3, "partial mode")
    goes: set[int] = set()
    if mode == 1:
        goes = {rows[a] for a in reader.ascending(reader.gamma(), len(rows))}
    elif mode == 2:
        goes = {i for i in rows if reader.b(1)}
    waiting = set(rows) - goes
    for i in waiting:
        client.entries[i].stale |= sum(1 << j for j in due[i])
    return waiting


def _blocks(client: Client, reader: Reader, tick: int, reset: bool, waiting: set[int]) -> None:
    updated = set()
    for c in range(client.n_channels):
        for j in range(8):
            members = [
                (i, entry)
                for i, entry in enumerate(client.entries)
                if i not in waiting
                and j in client.groups(entry)
                and client.carrier(entry, j) == c
                and (reset or client.is_due(entry, j, tick))
            ]
            shared = [(i, entry) for i, entry in members if not entry.stale >> j & 1]
            references: dict[int, list[int]] = {}
            for _, entry in members:
                if entry.stale >> j & 1:
                    _absolute(client, reader, entry, j, references)
            residuals = _residuals(client, reader, [entry for _, entry in shared], c, j)
            for at, (i, entry) in enumerate(shared):
                if _predict(entry, j, client.orders(entry, j), residuals.get(at)):
                    updated.add(i)
    client.n_updates += len(updated)


def _absolute(client: Client, reader: Reader, entry: Entry, j: int, references: dict[int, list[int]]) -> None:
    orders = client.orders(entry, j)
    before = references.get(entry.kind, [0] * len(orders))
    for f, order in enumerate(orders):
        entry.q[j][f] = wrap(before[f] + unzz(reader.wide()))
        entry.d[j][f] = unzz(reader.wide()) if order == 2 else 0
    references[entry.kind] = list(entry.q[j])
    entry.came[j] = entry.kind, client.carrier(entry, j) or 0
    entry.stale &= ~(1 << j)


def _residuals(client: Client, reader: Reader, shared: list[Entry], c: int, j: int) -> dict[int, list[int]]:
    """The residuals of those who have a record, by position."""

    def record(at: int) -> list[int]:
        kind = shared[at].kind
        n_fields = len(client.kinds[kind]["groups"][j]["fields"])
        return [unzz(reader.rice(client.k[client.number[kind, c, j, f]])) for f in range(n_fields)]

    n = len(shared)
    if n == 0:
        return {}
    mode = reader.b(2)
    client.n_modes[mode] += 1
    if mode == DENSE:
        return {at: record(at) for at in range(n)}
    if mode == BITMAP:
        return {at: record(at) for at in range(n) if reader.b(1)}
    if mode == LIST:
        return {at: record(at) for at in reader.ascending(reader.gamma(), n)}
    return {}


def _predict(entry: Entry, j: int, orders: list[int], residuals: list[int] | None) -> bool:
    """Step the predictors and add the residuals, if any; whether the value moved."""
    before = list(entry.q[j])
    for f, order in enumerate(orders):
        r = residuals[f] if residuals else 0
        if order == 2:
            entry.d[j][f] = wrap(entry.d[j][f] + r)
            entry.q[j][f] = wrap(entry.q[j][f] + entry.d[j][f])
        elif order == 1:
            entry.q[j][f] = wrap(entry.q[j][f] + r)
        elif order == 3:
            entry.q[j][f] = wrap(entry.q[j][f] ^ zz(r))
        else:
            entry.q[j][f] = wrap(r)
    return entry.q[j] != before


def values(client: Client, entry: Entry) -> dict[str, dict[str, float]]:
    """What an entry's integers stand for, by component and name; NaN where none came yet."""
    found: dict[str, dict[str, float]] = {}
    for j in client.groups(entry):
        kind, c = entry.came.get(j, (entry.kind, -1))
        group = client.kinds[kind]["groups"][j]
        here = found.setdefault(group["component"], {})
        for f, described in enumerate(group["fields"]):
            for one in described.get("parts", [described]):
                here[one["name"]] = _value(described, one, c, entry.q[j], f) if c >= 0 else math.nan
    return found


def _value(described: dict[str, Any], part: dict[str, Any], c: int, q: list[int], f: int) -> float:
    codec, kind, scale = described["codec"], part["type"], described["params"][c][1]
    if codec == "quantised":
        return q[f] * scale
    if codec == "angle":
        turns = q[f] * scale
        return (turns - math.floor(turns + 0.5)) * 2 * math.pi
    if codec == "rotation":
        a, b, x = (v * scale for v in q[:3])
        r = math.sqrt(max(0.0, 1 - (a * a + b * b + x * x)))
        return [[a, b, x, r], [r, b, x, a], [a, r, x, b], [a, b, r, x]][q[3] & 3][f]
    if codec == "packed":
        return float(part["low"] + (q[f] % 2**32 >> part["offset"]) % 2 ** part["width"])
    if codec == "bits":
        code, size = ("e", 2) if kind == "f2" else ("f", 4)
        (number,) = struct.unpack(f"<{code}", (q[f] % 2**32).to_bytes(4, "little")[:size])
        return float(number)
    return float(q[f] % 2**32 if kind == "u4" else q[f])
