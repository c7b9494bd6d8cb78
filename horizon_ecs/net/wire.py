"""Messages other than state frames, as docs/wire.md has them: maps of msgpack, acknowledgements, events."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgpack

from horizon_ecs.errors import ArgumentError, WireError

PROTOCOL = 2
PATH = "/ws"
ACKNOWLEDGEMENT = 0  # the first byte of one
MAX_EVENTS = 127  # event ids are 1 to 127
MAX_NAME = 64
MAX_TOKEN = 4_096
MAX_REASON_BYTES = 123  # of a close frame (RFC 6455, 5.5.1)

MAX_EVENT_BYTES = 65_536  # of an object that a server sends; what a client sends keeps to its max_message_bytes

_ACK = struct.Struct("<BI")


class Close(IntEnum):
    """Close codes (docs/wire.md, "Close codes")."""

    STOPPING = 1001
    PROTOCOL_ERROR = 1002
    TEXT = 1003
    NOT_UTF8 = 1007
    TOO_LONG = 1009
    INTERNAL = 1011
    FULL = 1013
    MALFORMED = 4000
    NO_HELLO = 4001
    PROTOCOL = 4002
    SCHEMA = 4003
    LATE_HELLO = 4004
    NO_SUCH_EVENT = 4005
    STALLED = 4006
    TOO_MANY = 4007
    IDLE = 4008
    UNAUTHORISED = 4009
    FORBIDDEN = 4010
    BANNED = 4011
    REPLACED = 4012
    KICKED = 4013


@dataclass(frozen=True)
class Bounds:
    """What a client's message may hold: within its size limit it could still ask for a million empty maps.

    Attributes
    ----------
    depth : int
        Of lists and maps in each other.
    text : int
        Bytes of a text.
    entries : int
        Of a list or map.
    """

    depth: int = 10
    text: int = 1_024
    entries: int = 64


USUAL = Bounds()


def pack(message: Mapping[str, Any]) -> bytes:
    """A map as the bytes of one message."""
    packed: bytes = msgpack.packb(message)
    return packed


def unpack(data: bytes, *, trusted: bool = False, bounds: Bounds = USUAL) -> dict[str, Any]:
    """The map that a message holds.

    Parameters
    ----------
    data : bytes
    trusted : bool
        Whether it comes from a server, whose schema may be longer than anything a client has to say.
    bounds : Bounds
        For what doesn't.

    Raises
    ------
    WireError
        It is not a msgpack map with a text `type`, or larger than anything that is ever said.
    """
    limits: dict[str, int] = {} if trusted else {
        "max_array_len": bounds.entries, "max_map_len": bounds.entries, "max_str_len": bounds.text,
        "max_bin_len": bounds.text, "max_ext_len": 0
    }  # fmt: skip
    try:
        message = msgpack.unpackb(data, **limits)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"not msgpack within its limits: {error or type(error).__name__}") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise WireError("not a map with a type")
    if not trusted:
        hold(message, bounds.depth, bounds.text)
    return message


def hold(value: Any, depth: int, text: int) -> None:
    """Raise WireError where lists and maps lie in each other more than so deep, or a text has more characters."""
    if isinstance(value, str | bytes) and len(value) > text:
        raise WireError(f"a text of {len(value)} characters, not at most {text}")
    if isinstance(value, dict | list):
        if depth == 0:
            raise WireError("lists and maps are too deep in each other")
        for one in value.values() if isinstance(value, dict) else value:
            hold(one, depth - 1, text)


def pack_event(namespace: str, event: str, data: Any) -> bytes:
    """An object that one side tells the other. Raises ArgumentError where msgpack can't say it."""
    try:
        return pack({"type": "event", "namespace": namespace, "event": event, "data": data})
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(
            f"{namespace}.{event} carries numbers, text, bytes, lists and maps (and no NumPy values): {error}"
        ) from None


def read_event(message: Mapping[str, Any]) -> tuple[str, str, Any]:
    """Namespace, name and data of such a message. Raises WireError."""
    namespace, event = message.get("namespace"), message.get("event")
    for name in (namespace, event):
        if not isinstance(name, str) or len(name) > MAX_NAME:
            raise WireError(f"namespace and event must be text of at most {MAX_NAME} characters")
    if not event or "." in str(namespace):
        raise WireError("event must not be empty, and a namespace has no point in it")
    return str(namespace), str(event), message.get("data")


def is_finite(data: Any) -> bool:
    """Whether every float in an object is a number."""
    if isinstance(data, float):
        return math.isfinite(data)
    if isinstance(data, dict):
        return all(is_finite(value) for value in data.values())
    return not isinstance(data, list | tuple) or all(is_finite(value) for value in data)


def schema_hash(schema: Mapping[str, Any]) -> str:
    """The hash by which two sides find out whether they mean the same."""
    return hashlib.sha256(pack(schema)).hexdigest()[:16]


def acknowledgement(tick: int) -> bytes:
    """That everything up to the frame of `tick` has been applied."""
    return _ACK.pack(ACKNOWLEDGEMENT, tick)


def read_acknowledgement(data: bytes) -> int:
    """The tick that a client has applied. Raises WireError for another length."""
    if len(data) != _ACK.size:
        raise WireError(f"an acknowledgement of {len(data)} bytes, not {_ACK.size}")
    return int(_ACK.unpack(data)[1])


def message(payload: bytes) -> bytes:
    """A whole WebSocket message, unmasked, as a server sends it (RFC 6455, 5.2): for what goes to many at once."""
    n = len(payload)
    if n < 126:
        return struct.pack("!BB", 0x82, n) + payload
    if n < 65_536:
        return struct.pack("!BBH", 0x82, 126, n) + payload
    return struct.pack("!BBQ", 0x82, 127, n) + payload


def reason(text: str) -> str:
    """A close reason, cut to the bytes that a close frame has for it."""
    return text.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
