"""Letters: messages as bytes, made once for all who get them, and put behind the frames of those (docs/wire.md)."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel
from horizon_ecs.systems.frames import FLAG_MESSAGES, HEADER_WORDS, put_header
from horizon_ecs.systems.messages import EVENT_BIT, TRACK_SHIFT
from horizon_ecs.systems.visibility import HIGH_SHIFT, LOW

HEADER_BYTES = 8 * HEADER_WORDS


@helper
def put_varint(out, at, value):
    """A number by seven bits a byte, the lowest first, all but the last byte with their top bit set."""
    rest = np.uint64(value)
    while rest >= np.uint64(128):
        out[at] = np.uint8(rest & np.uint64(127)) | np.uint8(128)
        rest >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(rest)
    return at + 1


@helper
def varint_length(value):
    """How many bytes `put_varint` takes."""
    n, rest = 1, np.uint64(value) >> np.uint64(7)
    while rest != np.uint64(0):
        n += 1
        rest >>= np.uint64(7)
    return n


@kernel("int64(int64, uint64[::1], uint8[:, ::1], int64, uint8[::1], int64[::1])")
def encode_events(number, handles, records, at, out, out_end):
    """Write one type's events as messages, back to back; return where the last one ends.

    Parameters
    ----------
    number : int64               in   of the event in the schema
    handles : uint64[n]          in
    records : uint8[n, size]     in
    at : int64                   in   where the first one begins
    out : uint8[m]               out  with room for 11 bytes more than a record has, for each
    out_end : int64[n]           out

    Oracle: tests/naive_wire.py::message.
    """
    for i in range(len(handles)):
        out[at] = np.uint8(number)
        at = put_varint(out, at + 1, handles[i] & LOW)
        at = put_varint(out, at, handles[i] >> HIGH_SHIFT)
        for b in range(records.shape[1]):
            out[at + b] = records[i, b]
        at += records.shape[1]
        out_end[i] = at
    return at


@helper
def _piece(note, event_end, text_start, text_length):
    """Where the bytes of a noted message begin, and how many there are."""
    if note & EVENT_BIT != np.uint64(0):
        e = np.int64(note & LOW)
        begin = event_end[e - 1] if e > 0 else np.int64(0)
        return begin, event_end[e] - begin
    track, slot = np.int64(note >> TRACK_SHIFT), np.int64(note & LOW)
    return text_start[track, slot], np.int64(text_length[track, slot])


@kernel("void(int64[:, ::1], int64[:, ::1], uint64[:, ::1], int64[::1], int64[:, ::1], uint32[:, ::1], int64[::1])")
def measure(span, told_span, told, event_end, text_start, text_length, out_bytes):
    """How much room each frame takes with its messages and the longest header.

    Parameters
    ----------
    span : int64[n, 3]                      in   see `replicate`
    told_span : int64[n, 3]                 in   see `tell`
    told : uint64[n_threads, m]             in
    event_end : int64[n_events]             in   where each event's message ends
    text_start : int64[n_tracks, capacity];  text_length : uint32 of that shape  in
    out_bytes : int64[n]                    out  0 for no frame

    Oracle: tests/naive_wire.py::attach.
    """
    for s in range(len(span)):
        out_bytes[s] = 0
        if span[s, 2] == 0:
            continue
        total = HEADER_BYTES + span[s, 2] - span[s, 1]
        if told_span[s, 2] > 0:
            total += varint_length(told_span[s, 2])
        for m in range(told_span[s, 1], told_span[s, 1] + told_span[s, 2]):
            _, length = _piece(told[told_span[s, 0], m], event_end, text_start, text_length)
            total += length
        out_bytes[s] = total


@kernel(
    "void(int64, int64, int64[:, ::1], int64[:, ::1], uint64[:, ::1], uint8[::1], int64[::1], uint8[::1], "
    "int64[:, ::1], uint32[:, ::1], uint8[::1], int64[::1], uint8[::1])"
)
def attach(
    first, last, span, told_span, told, octets, event_end, event_bytes, text_start, text_length, text_bytes, place, out
):  # fmt: skip
    """Copy some frames to another buffer, each with its messages behind it and a header of its new length.

    Parameters
    ----------
    first, last : int64               in      which frames
    span : int64[n, 3]                in/out  of one frame with messages the flag is set
    octets : uint8[m]                 in      the frames
    event_bytes, text_bytes : uint8   in      what events and texts are as messages
    place : int64[n]                  in      where the room of each frame begins
    out : uint8[k]                    out
    told_span … text_length           in      see `measure`

    Oracle: tests/naive_wire.py::attach.
    """
    for s in range(first, last):
        if span[s, 2] == 0:
            continue
        payload = at = place[s] + HEADER_BYTES
        for b in range(span[s, 1], span[s, 2]):
            out[at] = octets[b]
            at += 1
        if told_span[s, 2] > 0:
            out[payload] |= np.uint8(FLAG_MESSAGES)
            at = put_varint(out, at, told_span[s, 2])
        for m in range(told_span[s, 1], told_span[s, 1] + told_span[s, 2]):
            note = told[told_span[s, 0], m]
            begin, length = _piece(note, event_end, text_start, text_length)
            pool = event_bytes if note & EVENT_BIT != np.uint64(0) else text_bytes
            for b in range(begin, begin + length):
                out[at] = pool[b]
                at += 1
        span[s, 0], span[s, 1], span[s, 2] = put_header(out, payload, at - payload), payload, at
