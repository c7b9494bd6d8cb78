"""Texts: the strings of components of Python objects, as messages, encoded when they change and once for all."""

from __future__ import annotations

import logging
import weakref
import zlib
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import reserve
from horizon_ecs.components import Component
from horizon_ecs.errors import ArgumentError
from horizon_ecs.kinds import Kind
from horizon_ecs.messages import DEFLATE_FROM, MAX_TEXT_BYTES, RAW_DEFLATE, MessageTables, text_fields

if TYPE_CHECKING:
    from horizon_ecs.world import World

log = logging.getLogger("horizon_ecs.replication")

_LEAST_POOL = 1 << 16  # bytes


def varint(value: int) -> bytes:
    """A number by seven bits a byte, the lowest first, all but the last byte with their top bit set."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def encoded(component: Component, field: str, of_type: str, value: Any) -> bytes:
    """A text's bytes. Raises ArgumentError for another type, for surrogates, and for what is too long."""
    what = f"{component.__name__}.{field}"
    if type(value).__name__ != of_type and not isinstance(value, str if of_type == "str" else bytes):
        raise ArgumentError(f"{what} takes {of_type}, not {value!r}")
    try:
        data = value.encode() if isinstance(value, str) else bytes(value)
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{what} takes text that UTF-8 can carry: {error.reason} at {error.start}") from None
    if len(data) > MAX_TEXT_BYTES:
        raise ArgumentError(f"{what} takes at most {MAX_TEXT_BYTES} bytes of UTF-8, not {len(data)}")
    return data


def _measured(data: bytes, may_deflate: bool) -> bytes:
    """A text behind its length, deflated where that may be and makes it shorter."""
    if may_deflate:
        deflater = zlib.compressobj(9, zlib.DEFLATED, RAW_DEFLATE)
        shorter = deflater.compress(data) + deflater.flush()
        if len(shorter) < len(data):
            return varint(2 * len(shorter) + 1) + shorter
    return varint(2 * len(data)) + data


def _watch(component: Component, texts: Texts) -> None:
    """Have `texts` told whenever a field of some instance is set, and refuse what no text can be before it is."""
    listeners: weakref.WeakSet[Texts] | None = component.__dict__.get("__hz_listeners__")
    if listeners is None:
        listeners = weakref.WeakSet()
        fields: dict[str, str] = text_fields(component)
        set_before: Any = component.__setattr__

        def set_field(instance: Any, name: str, value: Any) -> None:
            if listeners and name in fields:
                encoded(component, name, fields[name], value)
            set_before(instance, name, value)
            for listener in listeners:
                listener.hear(component, instance)

        component.__hz_listeners__ = listeners  # type: ignore[attr-defined]
        component.__setattr__ = set_field  # type: ignore[method-assign, assignment]
    listeners.add(texts)


class Texts:
    """Every text of a world that layers list, as the message that brings it.

    Attributes
    ----------
    changed : uint32[n_tracks, n_slots]
        Tick of the step that first saw the text.
    start : int64[n_tracks, n_slots];  length : uint32 of that shape
        Where in `pool` the message is.
    pool : uint8[n]
    n_refused : int
        Texts that were no text when they were to be encoded, and went out empty.
    """

    def __init__(self, world: World, tables: MessageTables, kinds: Sequence[Kind]) -> None:
        shape = (max(1, len(tables.texts)), world.n_slots if tables.texts else 1)
        self.changed, self.start = reserve(shape, np.uint32), reserve(shape, np.int64)
        self.length = reserve(shape, np.uint32)
        self.pool = np.zeros(_LEAST_POOL if tables.texts else 1, np.uint8)
        self.n_refused = 0
        self._end = self._live = 0
        self._world = world
        self._recent: deque[tuple[int, NDArray[np.uint32]]] = deque()
        self._tracks: dict[Component, list[tuple[int, str, str]]] = {}
        components = {c.__name__: c for kind in kinds for c in kind.components}
        layers = [layer for kind in kinds for _, layers in kind.every_profile for layer in layers]
        self.deflate_from: float = DEFLATE_FROM
        self._deflated = {c for layer in layers for c in layer.fields if layer.compression_of(c) == "deflate"}
        for track, (name, field, of_type) in enumerate(tables.texts):
            self._tracks.setdefault(components[name], []).append((track, field, of_type))
        self._touched = {c: world[c].listen() for c in self._tracks}
        self._heard: dict[Component, dict[int, Any]] = {c: {} for c in self._tracks}
        self._slot_of: dict[int, int] = {}
        self._instances: dict[tuple[Component, int], Any] = {}
        for c in self._tracks:
            _watch(c, self)

    def hear(self, component: Component, instance: Any) -> None:
        """A field of an instance was set."""
        self._heard[component][id(instance)] = instance

    def take(self, tick: int, longest_period: int) -> NDArray[np.uint32]:
        """Encode what has changed; return the slots with a text that changed within the longest period."""
        for component, tracks in self._tracks.items():
            touched, heard = self._touched[component], self._heard[component]
            slots = touched | {self._slot_of[key] for key in heard if key in self._slot_of}
            touched.clear()
            heard.clear()
            if slots:
                changed = [slot for slot in sorted(slots) if self._look(component, tracks, slot, tick)]
                self._recent.append((tick, np.array(changed, np.uint32)))
        while self._recent and self._recent[0][0] <= tick - longest_period:
            self._recent.popleft()
        if self._end > 2 * self._live + _LEAST_POOL:
            self._close_up()
        return np.concatenate([np.zeros(0, np.uint32), *(slots for _, slots in self._recent)])

    def _look(self, component: Component, tracks: list[tuple[int, str, str]], slot: int, tick: int) -> bool:
        """Take one instance's texts; whether any of them differs."""
        instance = self._world[component].get(slot)
        before = self._instances.pop((component, slot), None)
        if before is not instance:
            self._slot_of.pop(id(before), None)
        if instance is None:
            return False
        self._instances[component, slot], self._slot_of[id(instance)] = instance, slot
        handle = varint(slot) + varint(int(self._world.generation[slot]))
        differs = False
        for track, field, of_type in tracks:
            data = self._bytes_of(component, field, of_type, getattr(instance, field))
            deflates = component in self._deflated and len(data) >= self.deflate_from
            message = varint(1 + track) + handle + _measured(data, deflates)
            at = self.start[track, slot]
            if self.pool[at : at + self.length[track, slot]].tobytes() != message:
                self._keep(track, slot, message)
                self.changed[track, slot] = tick
                differs = True
        return differs

    def _bytes_of(self, component: Component, field: str, of_type: str, value: Any) -> bytes:
        """A text's bytes; none, and a line in the log, for what was never checked and isn't one."""
        try:
            return encoded(component, field, of_type, value)
        except ArgumentError as error:
            self.n_refused += 1
            log.warning("a text is replicated as empty: %s", error)
            return b""

    def _keep(self, track: int, slot: int, message: bytes) -> None:
        if self._end + len(message) > len(self.pool):
            self.pool = np.concatenate([self.pool, np.zeros_like(self.pool)])
        self.pool[self._end : self._end + len(message)] = np.frombuffer(message, np.uint8)
        self._live += len(message) - int(self.length[track, slot])
        self.start[track, slot], self.length[track, slot] = self._end, len(message)
        self._end += len(message)

    def _close_up(self) -> None:
        """Let the pool be one piece again, without what was replaced."""
        there = np.nonzero(self.length)
        lengths = self.length[there].astype(np.int64)
        ends = np.cumsum(lengths)
        source = np.repeat(self.start[there] - (ends - lengths), lengths) + np.arange(ends[-1])
        self.pool[: ends[-1]] = self.pool[source]
        self.start[there] = ends - lengths
        self._end = self._live = int(ends[-1])
