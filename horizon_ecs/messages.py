"""Messages in a schema: which events followers are told of, and which texts they have (docs/wire.md, "Messages")."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import Component, is_object, nearest
from horizon_ecs.errors import ArgumentError, DefinitionError, WireError
from horizon_ecs.kinds import Kind, Layer

MAX_NUMBER = 255  # a message's number is one byte; texts come first, then events
MAX_EVENT_BYTES = 1024  # of one record
MAX_TEXT_BYTES = 1024  # as UTF-8
MAX_TEXTS = 8  # of a kind
DEFLATE_FROM = 64  # bytes: shorter texts hardly ever get shorter
RAW_DEFLATE = -15  # zlib's word for RFC 1951 without a header
NO_SUCH, TEXT = -1, -2  # in `MessageTables.size`
_TYPES = {str: "str", bytes: "bytes"}


def text_fields(component: Component) -> dict[str, str]:
    """The fields of an object component that a layer lists, with their types, "str" or "bytes".

    Raises
    ------
    DefinitionError
        One is neither.
    """
    hints = typing.get_type_hints(component)
    names = [f.name for f in dataclasses.fields(typing.cast(Any, component))]
    strange = next((name for name in names if hints[name] not in _TYPES), None)
    if strange is not None or not names:
        raise DefinitionError(
            f"a layer lists {component.__name__}, whose field {strange} is {hints.get(strange or '')!r}: of components "
            "of Python objects those can be replicated whose fields are str or bytes"
        )
    return {name: _TYPES[hints[name]] for name in names}


def describe_texts(kind: Kind, of_profile: Sequence[Layer]) -> list[dict[str, Any]]:
    """The texts of a kind in one of its profiles, without their numbers."""
    texts = []
    for component in kind.components:
        listed = [layer for _, layers in kind.every_profile for layer in layers if component in layer.fields]
        if listed and is_object(component):
            channels = sum(1 << layer.channel for layer in of_profile if component in layer.fields)
            for name, of_type in text_fields(component).items():
                texts.append({"component": component.__name__, "field": name, "type": of_type, "channels": channels})
    if len(texts) > MAX_TEXTS:
        raise DefinitionError(f"kind {kind.name!r} replicates {len(texts)} texts; at most {MAX_TEXTS} are possible")
    return texts


def name_of(event: Any) -> str:
    """An event class's name on the wire."""
    return str(event.__hz_event__)


def describe_messages(schema: dict[str, Any], events: Mapping[type, int] | None) -> None:
    """Number the texts of a schema, and add the events that followers are told of, each with its channel.

    Raises
    ------
    DefinitionError
    """
    numbers: dict[tuple[str, str], int] = {}
    for kind in schema["kinds"]:
        for text in kind.get("texts", ()):
            text["id"] = numbers.setdefault((text["component"], text["field"]), 1 + len(numbers))
    told: list[dict[str, Any]] = []
    for number, (event, channel) in enumerate((events or {}).items(), 1 + len(numbers)):
        if not hasattr(event, "__hz_dtype__"):
            raise DefinitionError(f"messages are classes decorated with @event, not {event!r}")
        dtype = event.__hz_dtype__
        if not isinstance(channel, int) or not 0 <= channel < schema["n_channels"]:
            raise DefinitionError(
                f"messages: {event.__name__} is to be told on a channel that layers have, 0 to "
                f"{schema['n_channels'] - 1}, not {channel!r}"
            )
        if dtype.itemsize > MAX_EVENT_BYTES:
            raise DefinitionError(
                f"messages: {event.__name__} has {dtype.itemsize} bytes, and may have {MAX_EVENT_BYTES}"
            )
        fields = [[name, dtype[name].str[1:]] for name in dtype.names]
        told.append({"id": number, "name": name_of(event), "channel": channel, "fields": fields})
    names = [str(one["name"]) for one in told]
    if len(set(names)) != len(names):
        raise DefinitionError(f"messages: two events have the same name on the wire, of {sorted(names)}")
    if len(numbers) + len(told) > MAX_NUMBER:
        raise DefinitionError(f"{len(numbers) + len(told)} texts and messages; at most {MAX_NUMBER} can be declared")
    if told:
        schema["messages"] = told


@dataclass(frozen=True)
class MessageTables:
    """What kernels and clients read of a schema's messages: K kinds, T texts at most.

    Attributes
    ----------
    n_texts : int64[K]
    text_track : int32[K, T]           index into `texts`: the text's number less 1
    text_carrier : uint8[K, T, 256]    by mask: the lowest followed channel that lists it, or 255
    texts : list of (component, field, type)
    size : int64[256]                  by number: bytes of an event's record, TEXT, or NO_SUCH
    events : dict of number to (name, dtype)
    """

    n_texts: NDArray[np.int64]
    text_track: NDArray[np.int32]
    text_carrier: NDArray[np.uint8]
    texts: list[tuple[str, str, str]]
    size: NDArray[np.int64]
    events: dict[int, tuple[str, np.dtype[Any]]]

    def number(self, name: str) -> int:
        """The number of the text of that name, "Name.text". Raises ArgumentError."""
        known = [f"{component}.{field}" for component, field, _ in self.texts]
        if name not in known:
            raise ArgumentError(f"no kind has a text {name}{nearest(name, known)} (there are {known})")
        return 1 + known.index(name)


def compile_messages(schema: Mapping[str, Any]) -> MessageTables:
    """The tables of a schema's messages. Raises WireError where it isn't what docs/wire.md says."""
    try:
        return _compile(schema)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise WireError(f"the schema's messages are malformed: {type(error).__name__}: {error}") from error


def _compile(schema: Mapping[str, Any]) -> MessageTables:
    kinds = schema["kinds"]
    widest = max([1, *(len(kind.get("texts", ())) for kind in kinds)])
    shape = (max(1, len(kinds)), widest)
    tables = MessageTables(
        np.zeros(shape[0], np.int64), np.zeros(shape, np.int32), np.full((*shape, 256), 255, np.uint8), [],
        np.full(256, NO_SUCH, np.int64), {}
    )  # fmt: skip
    found: dict[int, tuple[str, str, str]] = {}
    for k, kind in enumerate(kinds):
        texts = kind.get("texts", ())
        _require(len(texts) <= MAX_TEXTS, "a kind has too many texts")
        tables.n_texts[k] = len(texts)
        for j, text in enumerate(texts):
            number, named = text["id"], (text["component"], text["field"], text["type"])
            _require(all(isinstance(part, str) for part in named), f"text {number} has a name that is no text")
            _require(named[2] in _TYPES.values(), f"text {number} is {named[2]}")
            _require(1 <= number <= MAX_NUMBER and found.setdefault(number, named) == named, f"text {number} is two")
            tables.text_track[k, j] = number - 1
            both = np.arange(256) & text["channels"]
            lowest = np.log2(np.maximum(both & -both, 1)).astype(np.uint8)
            tables.text_carrier[k, j] = np.where(both != 0, lowest, 255)
    _require(sorted(found) == list(range(1, len(found) + 1)), "the numbers of texts have gaps")
    tables.texts.extend(found[number] for number in sorted(found))
    tables.size[list(found)] = TEXT
    for event in schema.get("messages", ()):
        number, dtype = event["id"], np.dtype([(name, f"<{of_type}") for name, of_type in event["fields"]])
        _require(1 <= number <= MAX_NUMBER and tables.size[number] == NO_SUCH, f"number {number} is taken, or none")
        _require(isinstance(event["name"], str) and dtype.kind == "V" and not dtype.hasobject, "an event is malformed")
        _require(0 < dtype.itemsize <= MAX_EVENT_BYTES, f"{event['name']} has {dtype.itemsize} bytes")
        tables.size[number] = dtype.itemsize
        tables.events[number] = event["name"], dtype
    return tables


def _require(sound: bool, what: str) -> None:
    if not sound:
        raise ValueError(what)
