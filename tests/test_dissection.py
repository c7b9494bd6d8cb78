"""Frames taken apart: every bit belongs to something, and to the right thing."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import kernel
from horizon_ecs.dissection import SECTIONS, Dissector
from tests import naive_wire, streams

quick = settings(max_examples=6 if kernel.jit_enabled() else 1, deadline=None, derandomize=True, database=None)


def sums(found, *names):
    """Bits by some of a part's names."""
    out = Counter()
    for part, n in found.items():
        out[tuple(getattr(part, name) for name in names)] += n
    return out


@quick
@given(st.integers(0, 2**31 - 1))
def test_all_parts_of_every_frame_add_up_to_its_length(seed):
    stage = streams.Stage(streams.kinds_of(streams.Position, slow=True), seed=seed, max_followed=24)
    readers = {}

    class Watcher(streams.Watcher):
        def take(self, frame):
            found = hz.dissect(frame, self.replica)
            reader = readers.setdefault(id(self), Dissector(self.replica.schema, phase=self.replica.phase))
            assert reader.dissect(frame) == found
            assert found.total() == 8 * len(frame)
            assert all(n > 0 and part.section in SECTIONS for part, n in found.items())
            super().take(frame)

    stage.watch(position=(0, 0, 0)).__class__ = Watcher
    streams.play(stage, 60, streams.Stage.turn_over, streams.Stage.move, streams.Stage.disturb_places)
    assert readers


class Told(naive_wire.Reader):
    """Notes how many bits each kind of code took."""

    bits: Counter[str] = Counter()

    def wide(self):
        before = self.left
        value = super().wide()
        self.bits["absolute"] += before - self.left
        return value

    def rice(self, k):
        before = self.left
        value = super().rice(k)
        self.bits["record"] += before - self.left
        return value


def test_sections_are_what_another_reader_finds(monkeypatch):
    """Codes by their type, parameters and structure by the functions that read them, kinds by who enters."""
    told = Counter()
    monkeypatch.setattr(Told, "bits", told)
    monkeypatch.setattr(naive_wire, "Reader", Told)
    for name, section in (("_parameters", "parameters"), ("_structure", "structure")):
        read = getattr(naive_wire, name)

        def noting(client, reader, reset, read=read, section=section):
            before = reader.left
            read(client, reader, reset)
            told[section] += before - reader.left

        monkeypatch.setattr(naive_wire, name, noting)
    stage = streams.Stage(streams.kinds_of(streams.Position), seed=4)
    watcher = stage.watch(position=(0, 0, 0))
    stage.spawn(0, 20)
    stage.spawn(1, 10)
    streams.play(stage, 120, *streams.EVERYTHING[:3])
    client = naive_wire.Client(stage.replicator.schema, watcher.replica.phase)
    reader = Dissector(stage.replicator.schema, phase=watcher.replica.phase)
    for frame in watcher.frames:
        told.clear()
        naive_wire.apply_frame(client, frame)
        found = sums(reader.dissect(frame), "section")
        mine = {name: found[name,] for name in ("parameters", "absolute", "record")}
        mine["structure"] = found["leaves",] + found["moves",] + found["enters",]
        assert mine == {name: told[name] for name in mine}
        assert found["header",] == (40 if frame[0] & 1 else 16)
        assert found["padding",] < 8


def test_bits_belong_to_kinds_channels_groups_and_fields():
    @hz.component
    class Position:
        x: hz.f4
        y: hz.f4

    @hz.component
    class Health:
        hp: hz.i2

    ship = hz.Kind("Ship", Position, Health, layers=[
        hz.Layer(0, 10, 60, [Position], 1 / 8), hz.Layer(1, 20, 30, [Position, Health], 1 / 8)
    ])  # fmt: skip
    rock = hz.Kind("Rock", Position, layers=[hz.Layer(1, 20, 30, [Position], 1 / 8)])
    world = hz.World(kinds=[ship, rock])
    near, far = world.spawn(ship, 2, Position=[[1, 1], [15, 0]]).tolist()
    world.spawn(rock, 1, Position=[2, 2])
    replicator = hz.Replicator(world)
    observer = replicator.add_observer()
    reader = Dissector(replicator.schema, phase=replicator.phase(observer))

    def next_frame():
        world.tick()
        frames = replicator.step()
        return reader.dissect(frames.buffer[frames.payload[0] : frames.stop[0]])

    first = next_frame()
    # Slots are named in 17 bits, kinds in 1, a first generation in 1, masks in 2.
    width = (world.n_slots - 1).bit_length()
    assert sums(first, "section", "kind")["enters", 0] == 2 * (1 + width + 1 + 2)
    assert {part[1:] for part in first if part.section == "absolute"} == {
        (0, 0, 0, 0), (0, 0, 0, 1), (0, 1, 0, 0), (0, 1, 0, 1), (0, 1, 1, 0), (1, 1, 0, 0), (1, 1, 0, 1)
    }  # fmt: skip
    world.set(near, Position, [1, 2])
    found = next_frame()
    assert {part for part in found if part.section == "record"} == {("record", 0, 0, 0, 0), ("record", 0, 0, 0, 1)}
    assert ("presence", -1, 0, 0, -1) in found
    while world.tick_count % 2 != replicator.phase(observer) % 2:
        next_frame()
    world.set(far, Health, 7)
    found = [next_frame(), next_frame()]
    assert any(("record", 0, 1, 1, 0) in one for one in found)
    world.despawn(far)
    assert sums(next_frame(), "section", "kind")["leaves", 0] == 2


def test_frames_that_are_none_are_refused():
    stage = streams.Stage(streams.kinds_of(streams.Place), seed=9)
    stage.spawn(0, 12)
    stage.spawn(2, 4)
    watcher = stage.watch()
    streams.play(stage, 40, streams.Stage.move, streams.Stage.turn_over)
    make = random.Random(1)
    refused = 0
    for frame in watcher.frames[:25]:
        for _ in range(8):
            reader = Dissector(stage.replicator.schema, phase=watcher.replica.phase)
            mutated = bytearray(frame[: make.randrange(1, len(frame) + 1)])
            mutated[make.randrange(len(mutated))] ^= 1 << make.randrange(8)
            try:
                found = reader.dissect(mutated)
            except hz.WireError:
                refused += 1
            else:
                assert found.total() == 8 * len(mutated)
    assert refused > 100
    reader = Dissector(stage.replicator.schema, phase=0)
    with pytest.raises(hz.WireError, match="doesn't follow"):
        reader.dissect(watcher.frames[1])
    with pytest.raises(hz.WireError, match="ends early"):
        reader.dissect(b"")
