"""Frames that aren't frames: refused or decoded within bounds, with the same verdict by the Replica and by the plain client."""

from __future__ import annotations

import copy
import random
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import kernel
from horizon_ecs.replica import Replica
from tests import kernels, naive, naive_wire
from tests.make_golden import STREAMS
from tests.streams import table_of
from tests.test_golden import load

COMPILED = kernel.jit_enabled()
FEW_OR_MANY = [20, pytest.param(80, marks=pytest.mark.slow)] if COMPILED else [2]
EVERY = 1 if COMPILED else 8  # of the frames


def takes(apply, refusal):
    """Whether `apply` goes through; anything but the refusal comes out."""
    try:
        apply()
    except refusal:
        return False
    return True


def verdict(replica, client, frame):
    """Both clients' verdict on a frame, which must be the same, and so must their tables where they take it."""
    replica, client = kernels.clone(replica), copy.deepcopy(client)
    taken = takes(lambda: replica.apply(frame), hz.WireError)
    assert takes(lambda: naive.apply_frame(client, frame), naive.Malformed) == taken, frame.hex()
    assert replica.n <= client.schema["max_followed"]
    if taken:
        assert table_of(replica) == [(e.handle, e.kind, e.mask, e.stale, e.q) for e in client.entries]
    return taken


def moments(name):
    """Both clients before each frame, and the frame."""
    stream = load(name)
    replica, client = Replica(stream["schema"], phase=stream["phase"]), naive.Client(stream["schema"], stream["phase"])
    for i, frame in enumerate(stream["frames"]):
        if i % EVERY == 0:
            yield replica, client, frame
        replica.apply(frame)
        naive.apply_frame(client, frame)


@pytest.mark.parametrize("name", STREAMS)
def test_every_truncation_is_refused(name):
    for i, (replica, client, frame) in enumerate(moments(name)):
        lengths = range(len(frame)) if i < 12 else (0, 1, 2, len(frame) // 2, len(frame) - 1)
        for length in {n for n in lengths if n < len(frame)}:
            assert not verdict(replica, client, frame[:length])


@pytest.mark.parametrize("name", STREAMS)
def test_what_goes_on_is_refused(name):
    for replica, client, frame in moments(name):
        assert not verdict(replica, client, frame + b"\0")
        assert not verdict(replica, client, frame + b"\1\2\3")


@pytest.mark.parametrize("n_mutants", FEW_OR_MANY)
@pytest.mark.parametrize("name", STREAMS)
def test_mutants_are_refused_or_decoded_within_bounds(name, n_mutants):
    chance = random.Random(name)
    verdicts = []
    for replica, client, frame in moments(name):
        for _ in range(n_mutants):
            mutant = bytearray(frame)
            for _ in range(chance.choice([1, 1, 2, 5])):
                mutant[chance.randrange(len(mutant))] ^= 1 << chance.randrange(8)
            if chance.random() < 0.2:
                mutant[chance.randrange(len(mutant)) :] = chance.randbytes(chance.randrange(20))
            verdicts.append(verdict(replica, client, bytes(mutant)))
    assert not COMPILED or set(verdicts) == {False, True}


@settings(max_examples=200 if COMPILED else 20, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(STREAMS)), st.binary(max_size=60), st.booleans())
def test_noise_is_no_frame(name, noise, fresh):
    replica, client, frame = next(moments(name))
    if not fresh:
        replica.apply(frame)
        naive.apply_frame(client, frame)
    verdict(replica, client, noise)


def test_after_a_malformed_frame_only_a_reset_frame_is_taken():
    stream = load("crowd")
    replica = Replica(stream["schema"], phase=stream["phase"])
    first, second, third = stream["frames"][:3]
    assert first[0] & 1
    assert not third[0] & 1
    replica.apply(first)
    with pytest.raises(hz.WireError, match=f"malformed state frame of {len(second) - 1} bytes: it ends early"):
        replica.apply(second[:-1])
    with pytest.raises(hz.WireError, match="its tick doesn't follow"):
        replica.apply(third)
    for frame in stream["frames"][:3]:
        replica.apply(frame)
    assert {str(h): mask for h, _, mask, _, _ in table_of(replica)} == {
        h: row["mask"] for h, row in stream["tables"][2].items()
    }


def test_nothing_can_begin_without_a_reset_frame():
    stream = load("crowd")
    replica = Replica(stream["schema"], phase=stream["phase"])
    with pytest.raises(hz.WireError, match="tick"):
        replica.apply(stream["frames"][1])
    with pytest.raises(hz.WireError, match="empty"):
        replica.apply(b"")


@pytest.mark.parametrize("as_type", [bytes, bytearray, memoryview, lambda frame: np.frombuffer(frame, np.uint8).data])
def test_frames_come_in_any_buffer(as_type):
    stream = load("herd")
    replica = Replica(stream["schema"], phase=stream["phase"])
    replica.apply(as_type(stream["frames"][0]))
    assert replica.n == len(stream["tables"][0])


# -- one rule at a time ------------------------------------------------------------------------------------------

SCHEMA = {
    "n_slots": 100,
    "n_channels": 2,
    "max_followed": 3,
    "kinds": [
        {
            "name": name,
            "position": "Position",
            "channels": [{"period": 1, "radius": 10.0, "frequency": 60.0}, None],
            "groups": [
                {
                    "component": "Position",
                    "channels": 1,
                    "fields": [{"name": "x", "type": "f4", "codec": "quantised", "params": [[2, 0.25], None]}],
                }
            ],
        }
        for name in ("A", "B", "C")
    ],
}
RESET, PARAMETERS, STRUCTURE = 1, 2, 4


def started(schema=SCHEMA):
    """Both clients at tick 5 with two entities of slots 7 and 8."""
    stream = naive.Writer()
    enter(stream, 0, [(0, 7, 1, 1), (2, 8, 4, 1)])
    for value in (10, 3, 20, 1):
        stream.wide(value)
    replica, client = Replica(schema, phase=0), naive.Client(schema, 0)
    frame = bytes([RESET | STRUCTURE, 5, 0, 0, 0]) + stream.octets()
    replica.apply(frame)
    naive.apply_frame(client, frame)
    return replica, client


def enter(stream, n_more, entities):
    stream.gamma(len(entities) + n_more)
    for kind, slot, generation, mask in entities:
        stream.b(kind, 2)
        stream.b(slot, 7)
        stream.gamma(generation - 1)
        stream.b(mask, 2)


def structure(leaves=(), moves=(), enters=(), n_list=2, n_more=0):
    """A frame's stream up to its blocks."""
    stream = naive.Writer()
    stream.gamma(len(leaves))
    for index in leaves:
        stream.b(index, (n_list - 1).bit_length())
    stream.gamma(len(moves))
    for index, mask in moves:
        stream.b(index, max(0, n_list - len(leaves) - 1).bit_length())
        stream.b(mask, 2)
    enter(stream, n_more, enters)
    return stream


def blocks(stream, n_absolute, n_shared):
    for _ in range(2 * n_absolute):
        stream.wide(0)
    if n_shared:
        stream.b(0, 2)
    return stream.octets()


@pytest.mark.parametrize(
    ("header", "stream", "sound"),
    [
        ([0, 1], blocks(naive.Writer(), 0, 2), True),
        ([8, 1], blocks(naive.Writer(), 0, 2), False),
        ([RESET, 6, 0, 0, 0], b"\1", False),
        ([0, 0], blocks(naive.Writer(), 0, 2), False),
        ([0, 255], blocks(naive.Writer(), 0, 2), True),
        ([STRUCTURE, 1], blocks(structure(leaves=[0]), 0, 1), True),
        ([STRUCTURE, 1], blocks(structure(leaves=[0, 1]), 0, 0), True),
        ([STRUCTURE, 1], blocks(structure(leaves=[1, 0]), 0, 0), False),
        ([STRUCTURE, 1], blocks(structure(leaves=[0, 0]), 0, 0), False),
        ([STRUCTURE, 1], blocks(structure(leaves=[0, 1, 1]), 0, 0), False),
        ([STRUCTURE, 1], blocks(structure(moves=[(1, 1)]), 0, 2), True),
        ([STRUCTURE, 1], blocks(structure(moves=[(1, 1), (0, 1)]), 0, 2), False),
        ([STRUCTURE, 1], blocks(structure(moves=[(0, 0)]), 0, 2), False),
        ([STRUCTURE, 1], blocks(structure(moves=[(0, 2)]), 0, 2), False),
        ([STRUCTURE, 1], blocks(structure(moves=[(0, 3)]), 0, 2), False),
        ([STRUCTURE, 1], blocks(structure(enters=[(1, 9, 2**32 - 1, 1)]), 1, 2), True),
        ([STRUCTURE, 1], blocks(structure(enters=[(3, 9, 1, 1)]), 1, 2), False),
        ([STRUCTURE, 1], blocks(structure(enters=[(1, 100, 1, 1)]), 1, 2), False),
        ([STRUCTURE, 1], blocks(structure(enters=[(1, 99, 1, 0)]), 1, 2), False),
        ([STRUCTURE, 1], blocks(structure(enters=[(1, 98, 1, 1), (1, 99, 1, 1)]), 2, 2), False),
        ([STRUCTURE, 1], blocks(structure(leaves=[0], enters=[(1, 98, 1, 1), (1, 99, 1, 1)]), 2, 1), True),
        ([STRUCTURE, 1], blocks(structure(n_more=2**31), 0, 2), False),
    ],
)  # fmt: skip
def test_each_rule_of_a_frame(header, stream, sound):
    assert verdict(*started(), bytes(header) + stream) == sound


def coded(*codes):
    stream = naive.Writer()
    for name, *arguments in codes:
        getattr(stream, name)(*arguments)
    return stream.octets()


@pytest.mark.parametrize(
    ("flags", "stream", "sound"),
    [
        (0, coded(("b", 1, 2), ("rice", 0, 0), ("rice", 2**32 - 1, 0)), True),
        (0, coded(("b", 2, 2), ("b", 0, 1), ("b", 1, 1), ("rice", 7, 0)), True),
        (0, coded(("b", 3, 2), ("gamma", 0)), True),
        (0, coded(("b", 3, 2), ("gamma", 2), ("b", 0, 1), ("rice", 1, 0), ("b", 1, 1), ("rice", 1, 0)), True),
        (0, coded(("b", 3, 2), ("gamma", 2), ("b", 1, 1), ("rice", 1, 0), ("b", 0, 1), ("rice", 1, 0)), False),
        (0, coded(("b", 3, 2), ("gamma", 2), ("b", 1, 1), ("rice", 1, 0), ("b", 1, 1), ("rice", 1, 0)), False),
        (0, coded(("b", 3, 2), ("gamma", 3), *[("b", 0, 1), ("rice", 1, 0)] * 3), False),
        (0, coded(("b", 0, 2), ("b", 1, 1)), False),
        (0, coded(("b", 0, 2), ("b", 0, 7)), False),
        (PARAMETERS, coded(("gamma", 1), ("b", 5, 3), ("b", 31, 5), ("b", 0, 2)), True),
        (PARAMETERS, coded(("gamma", 2), ("b", 2, 3), ("b", 9, 5), ("b", 2, 3), ("b", 9, 5), ("b", 0, 2)), True),
        (PARAMETERS, coded(("gamma", 1), ("b", 6, 3), ("b", 31, 5), ("b", 0, 2)), False),
        (PARAMETERS, coded(("gamma", 1), ("b", 0, 3), ("b", 31, 5), ("b", 1, 2), ("rice", 2**32 - 1, 31), ("rice", 0, 0)), True),
        (PARAMETERS, coded(("gamma", 1), ("b", 0, 3), ("b", 31, 5), ("b", 1, 2), ("b", 3, 3), ("b", 0, 31), ("rice", 0, 0)), False),
        (PARAMETERS, coded(("gamma", 2**32 - 2),), False),
        (PARAMETERS, coded(("b", 0, 32), ("b", 1, 1), ("b", 0, 32)), False),
    ],
)  # fmt: skip
def test_each_rule_of_a_code(flags, stream, sound):
    assert verdict(*started(), bytes([flags, 1]) + stream) == sound


def test_a_length_beyond_32_bits_is_refused():
    for length, sound in ((32, True), (33, False)):
        stream = structure(enters=[(1, 9, 1, 1)])
        stream.b(length, 6)
        stream.b(0, length - 1)
        stream.wide(0)
        stream.b(0, 2)
        assert verdict(*started(), bytes([STRUCTURE, 1]) + stream.octets()) == sound


@pytest.mark.parametrize(
    "change",
    [
        {"n_channels": 9}, {"n_channels": 0}, {"n_slots": 0}, {"max_followed": 0}, {"max_followed": 2**21}, {"kinds": [{}]}, {"kinds": 5},
        {"kinds": [{"name": "A", "position": "P", "channels": [{"period": 0, "radius": 1.0, "frequency": 1.0}, None], "groups": []}]},
        {"kinds": [{**SCHEMA["kinds"][0], "channels": [None, None]}]},
        {"n_channels": "two"},
    ],
)  # fmt: skip
def test_a_schema_that_is_none_is_refused(change):
    with pytest.raises(hz.WireError, match="schema"):
        Replica({**SCHEMA, **change}, phase=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("params", [[-1, 0.25], None]), ("params", [[300, 0.25], None]), ("name", ["x"]), ("name", None)],
)
def test_a_field_that_is_none_is_refused(field, value):
    schema = copy.deepcopy(SCHEMA)
    schema["kinds"][0]["groups"][0]["fields"][0][field] = value
    with pytest.raises(hz.WireError, match="schema"):
        Replica(schema, phase=0).column("Position", "x")


# -- messages ----------------------------------------------------------------------------------------------------

SPEAKING = copy.deepcopy(SCHEMA) | {"messages": [{"id": 2, "name": "boom", "channel": 0, "fields": [["n", "u2"]]}]}
SPEAKING["kinds"][0]["texts"] = [{"id": 1, "component": "Name", "field": "text", "type": "str", "channels": 1}]
MESSAGES = 8
LONG = b"y" * 1024


def deflated(data):
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(data) + deflater.flush()


def text(data, slot=7, generation=1, flag=0):
    return naive_wire.message(1, slot, generation) + naive_wire.varint(2 * len(data) + flag) + data


BOOM = naive_wire.message(2, 8, 4) + b"\1\2"


@pytest.mark.parametrize(
    ("section", "sound"),
    [
        (b"\1" + text(b"one"), True),
        (b"\1" + text(b""), True),
        (b"\1" + text(LONG), True),
        (b"\1" + text(LONG + b"y"), False),
        (b"\1" + text(deflated(LONG), flag=1), True),
        (b"\1" + text(deflated(LONG + b"y"), flag=1), False),
        (b"\1" + text(deflated(LONG)[:-1], flag=1), False),
        (b"\1" + text(deflated(LONG) + b"\0", flag=1), False),
        (b"\1" + text(b"\6\0", flag=1), False),
        (b"\1" + text(b"", flag=1), False),
        (b"\1" + text("ü☃𝄞".encode()), True),
        (b"\1" + text(b"\xed\xa0\x80"), False),
        (b"\1" + text(b"\xff"), False),
        (b"\1" + text(b"one", slot=6), False),
        (b"\1" + text(b"one", generation=2), False),
        (b"\1" + text(b"one", generation=0), False),
        (b"\1" + text(b"one", slot=100), False),
        (b"\1" + BOOM, True),
        (b"\2" + text(b"one") + BOOM, True),
        (b"\2" + BOOM + text(b"one"), True),
        (b"\2" + BOOM, False),
        (b"\1" + BOOM + BOOM, False),
        (b"\1" + BOOM[:-1], False),
        (b"\0", False),
        (b"", False),
        (b"\x81\0" + BOOM, True),
        (b"\x80\x80\x80\x80\x80\0" + BOOM, False),
        (b"\xff\xff\xff\xff\x0f" + BOOM, False),
        (b"\xff\xff\xff\xff\x7f" + BOOM, False),
        (b"\1" + naive_wire.message(3, 8, 4) + b"\1\2", False),
        (b"\1" + naive_wire.message(0, 8, 4) + b"\1\2", False),
        (b"\1" + naive_wire.message(2, 9, 4) + b"\1\2", False),
        (b"\1" + naive_wire.message(2, 8, 2**32) + b"\1\2", False),
        (b"\1" + naive_wire.message(2, 2**32 + 8, 4) + b"\1\2", False),
    ],
)
@pytest.mark.parametrize("leaves", [False, True])
def test_each_rule_of_messages(section, sound, leaves):
    """`leaves`: of slot 7 there is no text any more, of slot 8 an event may be told."""
    stream = blocks(structure(leaves=[0, 1]), 0, 0) if leaves else blocks(naive.Writer(), 0, 2)
    frame = bytes([MESSAGES | STRUCTURE * leaves, 1]) + stream + section
    has_text = naive_wire.message(1, 7, 1) in section
    assert verdict(*started(SPEAKING), frame) == (sound and not (leaves and has_text))


def test_padding_before_messages_is_zero():
    frame = bytes([MESSAGES, 1]) + bytes([blocks(naive.Writer(), 0, 2)[0] | 128]) + b"\1" + BOOM
    assert not verdict(*started(SPEAKING), frame)


@pytest.mark.parametrize(
    "change",
    [
        {"messages": 5}, {"messages": [{}]}, {"messages": [{"id": 1, "name": "a", "channel": 0, "fields": [["n", "u2"]]}]},
        {"messages": [{"id": 256, "name": "a", "channel": 0, "fields": [["n", "u2"]]}]},
        {"messages": [{"id": 2, "name": "a", "channel": 0, "fields": [["n", "O"]]}]},
        {"messages": [{"id": 2, "name": "a", "channel": 0, "fields": []}]},
        {"messages": [{"id": 2, "name": 5, "channel": 0, "fields": [["n", "u2"]]}]},
        {"messages": [{"id": 2, "name": "a", "channel": 0, "fields": [[f"n{i}", "f8"] for i in range(129)]}]},
        {"kinds": [{**SPEAKING["kinds"][0], "texts": 9 * SPEAKING["kinds"][0]["texts"]}]},
        {"kinds": [{**SPEAKING["kinds"][0], "texts": [{**SPEAKING["kinds"][0]["texts"][0], "id": 3}]}]},
        {"kinds": [{**SPEAKING["kinds"][0], "texts": [{**SPEAKING["kinds"][0]["texts"][0], "type": "int"}]}]},
        {"kinds": [{**SPEAKING["kinds"][0], "texts": [{**SPEAKING["kinds"][0]["texts"][0], "field": None}]}]},
    ],
)  # fmt: skip
def test_messages_of_a_schema_that_are_none_are_refused(change):
    with pytest.raises(hz.WireError, match="schema"):
        Replica({**SPEAKING, **change}, phase=0)
