"""Messages other than state frames."""

from __future__ import annotations

import struct

import msgpack
import pytest
from websockets.frames import Frame, Opcode

from horizon_ecs.errors import WireError
from horizon_ecs.net import wire


def test_maps_survive():
    message = {"type": "x", "a": [1, 2.5, None, True], "b": {"c": b"\x00"}}
    assert wire.unpack(wire.pack(message)) == message


@pytest.mark.parametrize(
    "bomb",
    [
        msgpack.packb({"type": "x", "a": [None] * 65}),
        msgpack.packb({"type": "x", "a": "y" * 1025}),
        msgpack.packb({"type": "x", "a": msgpack.ExtType(1, b"z")}),
        b"\x81\xa4type\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 4000,
        b"\x82\xa4type\xa1x\x01\x02",  # a key that is no text
        b"\x81\xa4type\xa2\xff\xfe",  # no UTF-8
    ],
)
def test_bombs_are_refused(bomb):
    with pytest.raises(WireError):
        wire.unpack(bomb)


def test_a_server_may_say_more():
    schema = {"type": "welcome", "kinds": [{"name": f"kind {i}"} for i in range(300)]}
    assert wire.unpack(wire.pack(schema), trusted=True) == schema


def test_acknowledgements():
    assert wire.acknowledgement(0x01020304) == b"\x00\x04\x03\x02\x01"
    assert wire.read_acknowledgement(wire.acknowledgement(2**32 - 1)) == 2**32 - 1
    with pytest.raises(WireError, match="4 bytes, not 5"):
        wire.read_acknowledgement(b"\x00\x01\x02\x03")


@pytest.mark.parametrize("n", [0, 1, 125, 126, 65_535, 65_536])
def test_messages_are_framed_as_the_library_does(n):
    payload = bytes(n)
    assert wire.message(payload) == Frame(Opcode.BINARY, payload).serialize(mask=False)


def test_the_schema_hash_tells_schemas_apart():
    assert wire.schema_hash({"a": 1}) == wire.schema_hash({"a": 1}) != wire.schema_hash({"a": 2})
    assert len(wire.schema_hash({})) == 16


def test_reasons_fit_a_close_frame():
    assert wire.reason("short") == "short"
    long = wire.reason("ä" * 100)
    assert len(long.encode()) == 122
    assert set(long) == {"ä"}


def test_close_codes_are_those_of_the_documentation():
    from pathlib import Path

    text = (Path(__file__).resolve().parent.parent / "docs" / "wire.md").read_text()
    table = text[text.index("## Close codes") :]
    assert {int(line.split("|")[1]) for line in table.splitlines() if line.startswith(("| 1", "| 4"))} == set(
        wire.Close
    )


def test_the_header_of_an_acknowledgement_is_no_event():
    assert struct.unpack("<BI", wire.acknowledgement(7)) == (wire.ACKNOWLEDGEMENT, 7)
