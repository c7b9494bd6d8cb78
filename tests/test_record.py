"""Records: a tick as arrays, and the ring that takes them to another process."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing import shared_memory
from pathlib import Path

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import b1, f4, u4
from horizon_ecs.errors import ArgumentError, CapacityError, HorizonError
from horizon_ecs.oracle import Oracle
from horizon_ecs.record import Record, RecordReader, RecordWriter, capture

ROOT = Path(__file__).resolve().parent.parent


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class State:
    score: u4
    awake: b1 = True


Tree = hz.Kind("Tree", Position)
Fox = hz.Kind("Fox", Position, State, layers=[hz.Layer(0, 10.0, 60.0, [Position, State], 1 / 32)])
Hare = hz.Kind("Hare", Position, layers=[hz.Layer(0, 10.0, 30.0, [Position], 1 / 32)])


@pytest.fixture
def replicator():
    world = hz.World(3_000, kinds=[Tree, Fox, Hare])
    rng = np.random.default_rng(2)
    world.spawn(Tree, 10)
    foxes = world.spawn(Fox, 50, Position=rng.uniform(-9, 9, (50, 2)), State={"score": rng.integers(0, 2**32, 50)})
    world.spawn(Hare, 1_100, Position=rng.uniform(-20, 20, (1_100, 2)))
    world.despawn(foxes[10:20])
    return hz.Replicator(world, n_threads=1, max_observers=8)


def step(replicator: hz.Replicator) -> hz.replication.Frames:
    world = replicator.world
    world[Position].x[:4_096] += 0.25
    world.tick()
    return replicator.step()


def same(a: Record, b: Record) -> bool:
    arrays = [(a.columns[name], b.columns[name]) for name in a.columns | b.columns]
    arrays += [(getattr(a, name), getattr(b, name)) for name in ("born", "generation", "kind", "observers")]
    alike = all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in arrays)
    return alike and (a.tick, a.position) == (b.tick, b.position)


# -- capture -----------------------------------------------------------------------------------------------------------


def test_capture_copies_the_world(replicator):
    step(replicator)
    world = replicator.world
    record = capture(replicator, [])
    n = world.n_pages_used * 1_024
    assert n == 4 * 1_024
    assert record.tick == 1
    assert record.position == ("Position.x", "Position.y")
    assert list(record.columns) == ["Position.x", "Position.y", "State.score", "State.awake"]
    for name, column in record.columns.items():
        component, field = name.split(".")
        original = world.column({"Position": Position, "State": State}[component], field)
        assert np.array_equal(column, original[:n])
        assert not np.shares_memory(column, original)
    assert np.array_equal(record.born, world.born[:n])
    assert np.array_equal(record.generation, world.generation[:n])
    for number, kind in ((0, Fox), (1, Hare)):
        assert np.array_equal(np.flatnonzero(record.kind == number), world.query(Position, kind=kind).slots)
    assert np.count_nonzero(record.kind == -1) == n - 40 - 1_100
    assert len(record.observers) == 0


def test_capture_tells_what_happened_to_observers(replicator):
    foxes = replicator.world.query(State).handles
    first = replicator.add_observer(position=(1.0, 2.0, 3.0))
    second = replicator.add_observer(entity=int(foxes[3]))
    step(replicator)
    rows = capture(replicator, {70: second, -7: first}).observers
    assert rows["key"].tolist() == [70, -7]
    assert rows["entity"].tolist() == [int(foxes[3]), 0]
    assert rows["phase"].tolist() == [replicator.phase(second), replicator.phase(first)]
    assert rows["position"][1].tolist() == [1, 2, 3]
    assert rows["status"].tolist() == rows["reset"].tolist() == rows["sent"].tolist() == [1, 1]
    replicator.hold(first)
    step(replicator)
    rows = capture(replicator, [first, second]).observers
    assert rows["key"].tolist() == [first, second]
    assert rows["status"].tolist() == [2, 1]
    assert rows["reset"].tolist() == [0, 0]
    assert rows["sent"].tolist() == [0, 1]
    replicator.resume(first)
    step(replicator)
    assert capture(replicator, [first, second]).observers["reset"].tolist() == [1, 0]


def test_capture_refuses_a_stranger(replicator):
    step(replicator)
    with pytest.raises(ArgumentError, match="observer 5 doesn't exist"):
        capture(replicator, [5])


# -- the ring ----------------------------------------------------------------------------------------------------------


def test_records_come_out_as_they_went_in(replicator):
    observers: dict[int, int] = {}
    with RecordWriter(replicator, max_observers=3, n_records=2) as writer, RecordReader(writer.name) as reader:
        assert reader.schema == replicator.schema
        assert reader.hysteresis == replicator.hysteresis
        assert reader.read() is None
        for tick in range(9):
            if tick < 3:
                observers[100 + tick] = replicator.add_observer()
            if tick == 5:
                replicator.world.spawn(Tree, 900)
            if tick == 6:
                replicator.remove_observer(observers.pop(101))
            step(replicator)
            record = capture(replicator, observers)
            writer.write(record)
            read = reader.read()
            assert same(read, record)
        assert reader.read() is None
        assert not reader.ended


def test_a_record_that_was_read_is_a_copy(replicator):
    with RecordWriter(replicator, n_records=1) as writer, RecordReader(writer.name) as reader:
        step(replicator)
        first = capture(replicator, [])
        writer.write(first)
        read = reader.read()
        step(replicator)
        writer.write(capture(replicator, []))
        assert same(read, first)


def test_the_end_of_the_writer(replicator):
    writer = RecordWriter(replicator)
    with RecordReader(writer.name) as reader:
        for _ in range(3):
            step(replicator)
            writer.write(capture(replicator, []))
        writer.close()
        assert not reader.ended
        assert [record.tick for record in reader] == [1, 2, 3]
        assert reader.ended
        assert reader.read(timeout_s=60.0) is None  # at once: nothing more can come
    with pytest.raises(FileNotFoundError):
        shared_memory.SharedMemory(writer.name)
    writer.close()
    with pytest.raises(ArgumentError, match="is closed"):
        writer.write(capture(replicator, []))
    with pytest.raises(ArgumentError, match="is closed"):
        reader.read()


def test_a_full_ring_is_an_error_and_nothing_is_lost(replicator):
    with RecordWriter(replicator, n_records=2, timeout_s=0.01) as writer, RecordReader(writer.name) as reader:
        for _ in range(2):
            step(replicator)
            writer.write(capture(replicator, []))
        step(replicator)
        third = capture(replicator, [])
        with pytest.raises(CapacityError, match=r"the ring is full: nobody read any of 2 records for 0\.01 s"):
            writer.write(third)
        assert reader.read().tick == 1
        writer.write(third)
        assert [reader.read().tick, reader.read().tick, reader.read()] == [2, 3, None]


def test_another_reader_goes_on_where_one_ended(replicator):
    with RecordWriter(replicator) as writer:
        for _ in range(4):
            step(replicator)
            writer.write(capture(replicator, []))
        with RecordReader(writer.name) as reader:
            assert [reader.read().tick, reader.read().tick] == [1, 2]
        with RecordReader(writer.name) as reader:
            assert [reader.read().tick, reader.read().tick, reader.read()] == [3, 4, None]


def test_too_many_observers(replicator):
    observers = [replicator.add_observer() for _ in range(3)]
    step(replicator)
    with RecordWriter(replicator, max_observers=2) as writer:
        with pytest.raises(CapacityError, match="3 observers exceed max_observers, 2"):
            writer.write(capture(replicator, observers))
        writer.write(capture(replicator, observers[1:]))


def test_what_is_no_ring_is_refused(replicator):
    with pytest.raises(HorizonError, match="there is no ring 'hz-nothing'"):
        RecordReader("hz-nothing")
    for size in (8, 4_096):
        memory = shared_memory.SharedMemory(create=True, size=size)
        try:
            with pytest.raises(HorizonError, match="is no ring of records"):
                RecordReader(memory.name)
        finally:
            memory.close()
            memory.unlink()
    for option in ("max_observers", "n_records"):
        with pytest.raises(ArgumentError, match=f"{option} must lie between 1 and 65536, not 0"):
            RecordWriter(replicator, **{option: 0})


# -- two processes -----------------------------------------------------------------------------------------------------

READ_ALL = """
import sys
from horizon_ecs.record import RecordReader
with RecordReader(sys.argv[1]) as reader:
    for record in reader:
        print(record.tick, len(record.born), float(record.columns["Position.x"].sum()), record.observers["sent"].tolist())
"""
READ_ONE_AND_DIE = """
import os, sys
from horizon_ecs.record import RecordReader
print(RecordReader(sys.argv[1]).read(timeout_s=30.0).tick, flush=True)
os._exit(3)
"""
ATTACH_AND_FORGET = """
import sys
from horizon_ecs.record import RecordReader
reader = RecordReader(sys.argv[1])
print(reader.read(timeout_s=30.0).tick)
"""
WRITE_AND_FORGET = """
import sys
import horizon_ecs as hz
from tests.test_record import Fox
from horizon_ecs.record import RecordWriter, capture
world = hz.World(100, kinds=[Fox])
replicator = hz.Replicator(world, n_threads=1, max_observers=1)
writer = RecordWriter(replicator)
world.tick()
replicator.step()
writer.write(capture(replicator, []))
print(writer.name, flush=True)
sys.stdin.readline()
"""


def start(code: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_another_process_reads_every_record(replicator):
    observers = [replicator.add_observer() for _ in range(2)]
    expected = []
    with RecordWriter(replicator, n_records=4, timeout_s=60.0) as writer:
        process = start(READ_ALL, writer.name)
        for _ in range(25):
            step(replicator)
            record = capture(replicator, observers)
            writer.write(record)
            total = float(record.columns["Position.x"].sum())
            expected.append(f"{record.tick} {len(record.born)} {total} {record.observers['sent'].tolist()}")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines() == expected


@pytest.mark.parametrize(("code", "status"), [(READ_ONE_AND_DIE, 3), (ATTACH_AND_FORGET, 0)])
def test_a_reader_that_dies_or_forgets_leaves_the_ring_to_the_next(replicator, code, status):
    with RecordWriter(replicator) as writer:
        for _ in range(2):
            step(replicator)
            writer.write(capture(replicator, []))
        process = start(code, writer.name)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (status, "1\n", "")
        with RecordReader(writer.name) as reader:
            assert reader.read().tick == 2


def test_a_writer_that_forgets_to_close_leaves_nothing_behind():
    process = start(WRITE_AND_FORGET)
    name = process.stdout.readline().strip()
    with RecordReader(name) as reader:
        assert reader.read(timeout_s=60.0).tick == 1
        _, err = process.communicate("\n", timeout=60)
        assert (process.returncode, err) == (0, "")
        assert reader.ended
    with pytest.raises(FileNotFoundError):
        shared_memory.SharedMemory(name)


def test_an_oracle_judges_from_the_ring(replicator):
    """What crosses the ring is all that an oracle needs."""
    with RecordWriter(replicator, max_observers=8) as writer, RecordReader(writer.name) as reader:
        oracle = Oracle(reader.schema, hysteresis=reader.hysteresis)
        replicas: dict[int, hz.Replica] = {}
        checked = 0
        for tick in range(12):
            if tick < 4:
                observer = replicator.add_observer(position=(tick, 1.0))
                replicas[observer] = hz.Replica(reader.schema, phase=replicator.phase(observer))
            frames = step(replicator)
            writer.write(capture(replicator, list(replicas)))
            record = reader.read()
            for row in record.observers:
                if row["key"] not in oracle:
                    oracle.add_observer(int(row["key"]), phase=int(row["phase"]))
            assert sorted(oracle.advance(record)) == sorted(frames.observers.tolist())
            for o, first, stop in zip(frames.observers.tolist(), frames.payload, frames.stop, strict=True):
                replicas[o].apply(frames.buffer[first:stop])
                verdict = oracle.compare(o, replicas[o])
                assert verdict.mismatches == 0, verdict.first
                checked += verdict.checked
        assert checked > 10_000
