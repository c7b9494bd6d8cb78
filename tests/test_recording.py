"""Recordings: what is read is what was sent, from any point on, and whatever became of the file."""

from __future__ import annotations

import contextlib
import errno
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import framefile
from horizon_ecs.errors import ArgumentError, RecordingError, WireError
from horizon_ecs.framefile import Reader, Writer
from horizon_ecs.net import wire
from tests.streams import Position, Stage, kinds_of, table_of

N_TICKS = 150
RESET_S = 0.5
PROPERTY = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


class Match:
    """A lively world with observers that come, go, fall behind and come back, and what each was sent."""

    def __init__(self, path: Path, n_ticks: int, **options: Any) -> None:
        self.path = path
        self.stage = Stage(kinds_of(Position), seed=5)
        self.replicator = self.stage.replicator
        for kind in range(3):
            self.stage.spawn(kind, 8)
        self.here = [self.replicator.add_observer(self.stage.living[0]), self.replicator.add_observer()]
        self.sent: dict[int, list[tuple[int, bytes]]] = {}
        self.tables: dict[tuple[int, int], Any] = {}
        self.replicas: dict[int, hz.Replica] = {}
        with self.replicator.record(path, reset_every_s=RESET_S, flush_every_s=0.1, **options) as self.recorder:
            for tick in range(n_ticks):
                self.tick(tick)

    def tick(self, number: int) -> None:
        self.stage.turn_over()
        self.stage.move()
        self.observe(number)
        self.stage.world.tick()
        frames = self.replicator.step()
        numbers = {o.observer: o.number for o in self.recorder.observers}  # the last one that has it
        for observer, start, stop in zip(frames.observers.tolist(), frames.payload, frames.stop, strict=True):
            self.take(numbers[observer], frames.tick, bytes(frames.buffer[start:stop]))

    def take(self, number: int, tick: int, frame: bytes) -> None:
        self.sent.setdefault(number, []).append((tick, frame))
        phase = self.recorder.observers[number].phase
        replica = self.replicas.setdefault(number, hz.Replica(self.replicator.schema, phase=phase))
        replica.apply(frame)
        self.tables[number, tick] = table_of(replica)

    def observe(self, number: int) -> None:
        r = self.replicator
        if number % 40 == 20:
            self.here.append(r.add_observer(position=(5.0, 0.0, 0.0)))
        if number % 40 == 39:
            r.remove_observer(self.here.pop(0))
        if number % 40 == 25:
            r.hold(self.here[-1])
        if number % 40 == 35:
            r.resume(self.here[-1])


@pytest.fixture(scope="module")
def match(tmp_path_factory) -> Match:
    return Match(tmp_path_factory.mktemp("recordings") / "match.hzr", N_TICKS)


@pytest.fixture
def recording(match) -> Iterator[hz.Recording]:
    with hz.open_recording(match.path) as recording:
        yield recording


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> bytes:
    """The bytes of a short recording."""
    match = Match(tmp_path_factory.mktemp("recordings") / "short.hzr", 25)
    return match.path.read_bytes()


def frames_of(recording: hz.Recording) -> dict[int, list[tuple[int, bytes]]]:
    return {o.number: list(recording.frames(o.number)) for o in recording.observers}


def places_of(path: Path) -> list[int]:
    """Where each record begins, and the last one ends."""
    reader, size, places = Reader(path), path.stat().st_size, []
    offset = reader.first
    while offset < size:
        places.append(offset)
        record = reader.record_at(offset, size)
        assert record is not None
        offset = record.end
    reader.close()
    return [*places, offset]


# -- what is read ------------------------------------------------------------------------------------------------------


def test_what_is_read_is_what_was_sent(match, recording):
    assert frames_of(recording) == match.sent
    assert recording.schema == match.replicator.schema
    assert recording.tick_rate == match.stage.world.tick_rate
    assert recording.n_frames == match.recorder.n_frames == sum(map(len, match.sent.values()))
    assert recording.n_bytes == sum(len(frame) for sent in match.sent.values() for _, frame in sent)
    assert recording.complete
    assert recording.lost_bytes == 0
    assert (recording.first_tick, recording.last_tick) == (1, N_TICKS)
    assert recording.duration_s == (N_TICKS - 1) / recording.tick_rate
    assert match.path.stat().st_size == match.recorder.n_bytes
    recording.verify()


def test_observers_that_come_and_go_are_told_apart(match, recording):
    assert len(recording.observers) > len({o.observer for o in recording.observers})  # numbers are given out again
    for o in recording.observers:
        sent = match.sent[o.number]
        assert (o.first_tick, o.last_tick, o.n_frames) == (sent[0][0], sent[-1][0], len(sent))
        assert sent[0][0] in recording.resets(o.number)
    assert recording.observers[0].entity == 1 << 32
    assert [o.number for o in recording.observers] == list(range(len(recording.observers)))


def test_reset_frames_are_regular_and_not_all_at_once(match, recording):
    every = round(RESET_S * recording.tick_rate)
    for o in recording.observers:
        gaps = np.diff([*recording.resets(o.number), o.last_tick])
        assert gaps.max() <= every + 12  # a held one's comes when it is let go
    later = [tick for o in recording.observers for tick in recording.resets(o.number)[1:]]
    assert len(set(later)) > len(later) / 2


@PROPERTY
@given(data=st.data())
def test_a_table_at_any_tick_is_that_of_who_was_there_from_the_start(match, data):
    with hz.open_recording(match.path) as recording:
        o = recording.observers[data.draw(st.integers(0, len(recording.observers) - 1))]
        tick = data.draw(st.integers(o.first_tick, o.last_tick))
        there = recording.at(tick, o.number)
        folded = recording.replay(recording.replica(o.number), o.number, None, tick + 1)
        assert there.tick == folded.tick <= tick
        assert table_of(there) == table_of(folded) == match.tables[o.number, there.tick]
        start = recording.seek(tick, o.number)
        assert start == max(t for t in recording.resets(o.number) if t <= tick)


@PROPERTY
@given(start=st.integers(-5, N_TICKS + 5), length=st.integers(0, N_TICKS))
def test_a_range_of_frames(match, start, length):
    with hz.open_recording(match.path) as recording:
        wanted = [(t, f) for t, f in match.sent[1] if start <= t < start + length]
        assert list(recording.frames(1, start, start + length)) == wanted


def test_a_replica_in_the_middle_refuses(recording):
    with pytest.raises(WireError):
        recording.replay(recording.replica(), 0, recording.resets()[0] + 1)


def test_wrong_questions_are_explained(recording):
    with pytest.raises(ArgumentError, match="observer must be a number below"):
        recording.frames(99)
    with pytest.raises(ArgumentError, match="observer 0 has no frames at or before tick 0: its first is of tick 1"):
        recording.seek(0)
    assert "Recording(" in repr(recording)


# -- a world -----------------------------------------------------------------------------------------------------------


def test_a_whole_world_is_recorded_at_any_distance(tmp_path):
    stage = Stage(kinds_of(Position), seed=3)
    stage.spawn(0, 30, spread=1e5)
    with hz.WorldRecorder(stage.world, tmp_path / "world.hzr", about={"title": "far"}) as recorder:
        for _ in range(30):
            stage.move()
            stage.world.tick()
            recorder.step()
        assert "30 frames" in repr(recorder)
    with hz.open_recording(tmp_path / "world.hzr") as recording:
        assert recording.about == {"title": "far"}
        replica = recording.at(recording.last_tick)
    assert sorted(replica.handle.tolist()) == sorted(stage.living)
    order = np.argsort(replica.handle)
    known = replica.column("Position", "x")[order]
    real = stage.world[Position].x[np.array(sorted(stage.living), np.uint64) & np.uint64(0xFFFFFFFF)]
    fastest = replica.q(0).shape  # every entity is followed on all its channels
    assert fastest[0] == 30
    assert len(set(replica.mask.tolist())) == 1
    assert np.abs(known - real).max() < 3.0  # one period of the fastest channel


# -- a file that ended early -------------------------------------------------------------------------------------------


def check_cut(path: Path, whole: dict[int, list[tuple[int, bytes]]], places: list[int]) -> None:
    """What is left is a beginning of what was there, whole records all of it, and what is lost is told."""
    size = path.stat().st_size
    with hz.open_recording(path) as recording:
        last = max(place for place in places if place <= size)
        assert recording.lost_bytes == size - last
        assert not recording.complete
        for number, frames in frames_of(recording).items():
            assert frames == whole[number][: len(frames)]
            later = whole[number][len(frames) :]
            assert all(tick > recording.last_tick for tick, _ in later)


def test_a_file_cut_off_keeps_all_before(tmp_path, short):
    path = tmp_path / "cut.hzr"
    path.write_bytes(short)
    places = places_of(path)
    with hz.open_recording(path) as recording:
        whole = frames_of(recording)
    # Before the end and the index, which aren't there when the power fails: the last two ticks, byte by byte.
    rng = np.random.default_rng(1)
    cuts = {*range(places[-5], len(short)), *rng.integers(places[0], places[-5], 60).tolist()}
    for cut in sorted(cuts):
        path.write_bytes(short[:cut])
        check_cut(path, whole, places[:-2])


def test_a_file_cut_off_in_its_header_is_refused(tmp_path, short):
    path = tmp_path / "cut.hzr"
    path.write_bytes(short)
    first = places_of(path)[0]
    for cut in [*range(40), *range(40, first, 29), first - 1]:
        path.write_bytes(short[:cut])
        with pytest.raises(RecordingError, match=r"cut\.hzr: .*cut off"):
            hz.open_recording(path)


@pytest.mark.parametrize("n_zeros", [1, 19, 20, 21, 5_000])
def test_room_that_was_never_written_is_no_corruption(tmp_path, short, n_zeros):
    path = tmp_path / "zeros.hzr"
    path.write_bytes(short)
    end = places_of(path)[-3]
    path.write_bytes(short[:end] + bytes(n_zeros))
    with hz.open_recording(path) as recording:
        assert recording.lost_bytes == n_zeros
        assert recording.n_frames > 20
        recording.verify()


@PROPERTY
@given(data=st.data())
def test_mutated_bytes_are_refused(tmp_path_factory, short, data):
    path = tmp_path_factory.getbasetemp() / "mutated.hzr"
    path.write_bytes(short)
    finished = data.draw(st.booleans())
    size = len(short) if finished else places_of(path)[-3]
    at = data.draw(st.integers(0, size - 1))
    mutated = bytearray(short[:size])
    mutated[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(mutated)
    with pytest.raises(RecordingError), hz.open_recording(path) as recording:
        recording.verify()


@PROPERTY
@given(data=st.binary(max_size=200))
def test_anything_else_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "anything.hzr"
    for prefix in (b"", framefile.MAGIC):
        path.write_bytes(prefix + data)
        with pytest.raises(RecordingError):
            hz.open_recording(path)


@PROPERTY
@given(kind=st.integers(0, 6), tick=st.integers(0, 2**32 - 1), body=st.binary(max_size=64))
def test_a_record_of_anything_is_refused_or_read(tmp_path_factory, short, kind, tick, body):
    """Its checksums are right, what it says is anything."""
    path = tmp_path_factory.getbasetemp() / "crafted.hzr"
    path.write_bytes(short)
    end = places_of(path)[-3]
    with hz.open_recording(path) as recording:
        last = recording.last_tick + 1
        before = [list(recording.frames(o.number)) for o in recording.observers]
    head = struct.pack("<IIII", kind, tick, len(body), zlib.crc32(body))
    path.write_bytes(short[:end] + head + struct.pack("<I", zlib.crc32(head)) + body)
    with contextlib.suppress(RecordingError), hz.open_recording(path) as recording:
        told = [list(recording.frames(o.number, None, last)) for o in recording.observers]
        assert told[: len(before)] == before


HEADER = {"protocol": wire.PROTOCOL, "tick_rate": 60.0, "about": {}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": 99}, "version 99 of the wire"),
        ({"tick_rate": 0.0}, "tick rate can't be"),
        ({"tick_rate": "fast"}, "the header is malformed"),
        ({"schema": {"kinds": 3}}, "the schema is malformed"),
        ({"schema_hash": "0" * 16}, "schema's hash"),
        ({"about": 3}, "the header is malformed"),
    ],
)
def test_a_header_that_says_what_cannot_be_is_refused(tmp_path, match, change, message):
    schema = match.replicator.schema
    header = {**HEADER, "schema": schema, "schema_hash": wire.schema_hash(schema), **change}
    Writer(tmp_path / "a.hzr", header).end({})
    with pytest.raises(RecordingError, match=message):
        hz.open_recording(tmp_path / "a.hzr")


INDEX = {
    "observers": [],
    "offset": np.zeros(0, np.uint64),
    "tick": np.zeros(0, np.uint32),
    "observer": np.zeros(0, np.uint32),
}


@pytest.mark.parametrize(
    "change",
    [
        {"observers": 3},
        {"observers": [{"number": 1}]},
        {"observers": [{"number": 1, "observer": 0, "phase": 0, "entity": 0, "name": ""}]},
        {"observers": [{"number": 0, "observer": 0, "phase": -1, "entity": 0, "name": ""}]},
        {"observers": [{"number": 0, "observer": 0, "phase": 0, "entity": 0, "name": 7}]},
        {"offset": np.ones(1, np.uint64), "tick": np.ones(1, np.uint32), "observer": np.zeros(1, np.uint32)},
        {"offset": np.ones(1, np.uint64)},
        {"offset": [1]},
        {"tick": np.zeros(0, np.float64)},
    ],
)
def test_an_index_that_says_what_cannot_be_is_refused(tmp_path, match, change):
    schema = match.replicator.schema
    header = {**HEADER, "schema": schema, "schema_hash": wire.schema_hash(schema)}
    Writer(tmp_path / "a.hzr", header).end({**INDEX, **change})
    with pytest.raises(RecordingError, match=r"the index is malformed"):
        hz.open_recording(tmp_path / "a.hzr")


def test_an_index_that_leaves_something_out_is_found(tmp_path, short):
    path = tmp_path / "a.hzr"
    path.write_bytes(short)
    index = places_of(path)[-3]
    path.write_bytes(short[:index])
    reader = Reader(path)
    writer = Writer(tmp_path / "b.hzr", reader.header)
    writer._put(short[reader.first : index])
    writer.end(INDEX)
    reader.close()
    with hz.open_recording(tmp_path / "b.hzr") as recording, pytest.raises(RecordingError, match="doesn't say what"):
        recording.verify()


def test_newer_versions_and_other_schemas_are_refused(tmp_path, short, match):
    path = tmp_path / "new.hzr"
    path.write_bytes(short[:8] + struct.pack("<I", 2) + short[12:])
    with pytest.raises(RecordingError, match="has version 2; this library reads up to 1"):
        hz.open_recording(path)
    with pytest.raises(RecordingError, match=r"recorded with the schema \w+, not 0123"):
        hz.open_recording(match.path, schema="0123")
    hz.open_recording(match.path, schema=wire.schema_hash(match.replicator.schema)).close()


# -- while it is written -----------------------------------------------------------------------------------------------


def step(stage: Stage) -> int:
    """Move everything and replicate; the tick of the last frame so far."""
    stage.move()
    stage.world.tick()
    stage.replicator.step()
    return int(stage.replicator.sent_tick.max())


def test_a_file_that_is_being_written_is_read_up_to_its_last_whole_record(tmp_path):
    stage = Stage(kinds_of(Position), seed=3)
    stage.spawn(0, 5)
    stage.replicator.add_observer()
    path = tmp_path / "live.hzr"
    with stage.replicator.record(path, flush_every_s=0.1) as recorder, hz.open_recording(path) as recording:
        assert recording.n_frames == 0
        assert recording.duration_s == 0.0
        assert not recording.refresh()
        told = -1
        for n in range(1, 61):
            sent, before = step(stage), told
            told = sent if n % 6 == 0 else told
            assert recording.refresh() == (told > before)
            assert recording.last_tick == told
        assert told > 50
        table = table_of(recording.at(60))
        recorder.close()
        assert not recording.refresh()  # nothing but the index is new
        assert recording.complete
        recording.verify()
        assert table_of(recording.at(60)) == table


def test_a_file_that_is_there_is_never_written_over(tmp_path, match):
    with pytest.raises(ArgumentError, match="is there already"):
        match.replicator.record(match.path)


def test_a_disk_that_is_full_ends_the_recording_and_nothing_else(tmp_path, caplog):
    stage = Stage(kinds_of(Position), seed=3)
    stage.spawn(0, 5)
    stage.replicator.add_observer()
    path = tmp_path / "full.hzr"
    recorder = stage.replicator.record(path, flush_every_s=0.01)
    full = OSError(errno.ENOSPC, "No space left on device")
    for n in range(20):
        if n == 10:
            last = int(stage.replicator.sent_tick.max())
            recorder._writer.flush = lambda: (_ for _ in ()).throw(full)
        step(stage)
    assert recorder.error is full
    assert [record.message for record in caplog.records] == [
        f"recording to {path} ended in tick 11: [Errno 28] No space left on device"
    ]
    with pytest.raises(OSError, match="No space left"):
        recorder.close()
    with hz.open_recording(path) as recording:
        assert recording.last_tick == last > 5
        assert table_of(recording.at(last))
    recorder.close()


def test_recorders_refuse_what_they_cannot_take(tmp_path):
    stage = Stage(kinds_of(Position), seed=3)
    stage.replicator.add_observer()
    for options, message in [
        ({"observers": "some"}, "observers must be"),
        ({"observers": 3}, "observers must be"),
        ({"observers": [7]}, "observer 7 doesn't exist"),
        ({"reset_every_s": 0}, "reset_every_s must be a positive number"),
        ({"flush_every_s": float("nan")}, "flush_every_s must be a positive number"),
        ({"about": {"what": object()}}, "is no plain data"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            stage.replicator.record(tmp_path / "a.hzr", **options)
        assert not (tmp_path / "a.hzr").exists()
    recorder = stage.replicator.record(tmp_path / "a.hzr")
    recorder.close()
    stage.world.tick()
    frames = stage.replicator.step()
    with pytest.raises(ArgumentError, match="is closed"):
        recorder.write(frames)


def test_chosen_observers_alone_are_recorded_and_named(tmp_path):
    stage = Stage(kinds_of(Position), seed=3, tick_rate=12.0)
    stage.spawn(0, 5)
    _, b = stage.replicator.add_observer(), stage.replicator.add_observer()
    options = {"observers": [b], "name_of": "player {}".format, "reset_every_s": None}
    with stage.replicator.record(tmp_path / "a.hzr", **options) as recorder:
        for _ in range(70):
            step(stage)
        assert "1 observers" in repr(recorder)
    with hz.open_recording(tmp_path / "a.hzr") as recording:
        assert [(o.observer, o.name) for o in recording.observers] == [(b, f"player {b}")]
        assert len(recording.resets()) == 1
