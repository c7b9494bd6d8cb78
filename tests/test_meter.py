"""Meters: bytes by observer, kind, channel and field, from a running replicator."""

from __future__ import annotations

import json

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import meter as meters
from tests import streams


@pytest.fixture
def stage():
    made = streams.Stage(streams.kinds_of(streams.Position), seed=3)
    for kind, n in ((0, 20), (1, 10), (2, 10)):
        made.spawn(kind, n)
    for x in (0.0, 5.0, 30.0):
        made.watch(position=(x, 0, 0))
    streams.play(made, 25, streams.Stage.move)  # a meter may begin in the middle of the stream
    return made


def sizes(stage, since):
    return {w.number: [8 * len(frame) for frame in w.frames[n:]] for w, n in zip(stage.watchers, since, strict=True)}


def test_what_is_counted_is_what_was_sent_to_the_bit(stage):
    since = [len(w.frames) for w in stage.watchers]
    with stage.replicator.meter_bytes() as meter:
        streams.play(stage, 50, streams.Stage.move, streams.Stage.turn_over, streams.Stage.come_and_go)
        stage.watchers = stage.watchers[:3]
    bits = {o: sum(frames) for o, frames in sizes(stage, since).items()}
    counted = meter.bytes_by("observer").bits
    known = {(o,): n for o, n in bits.items() if o in meter.observers}
    assert {key: counted[key] for key in known if stage.watchers[key[0]].frames} == known
    assert meter.n_ticks == 50


def test_every_way_to_tell_bytes_apart_gives_the_same_sum(stage):
    since = [len(w.frames) for w in stage.watchers]
    meter = stage.replicator.meter_bytes()
    streams.play(stage, 40, streams.Stage.move)
    total = sum(map(sum, sizes(stage, since).values()))
    for by in ((), ("kind",), ("section", "channel"), ("field",), meters.DIMENSIONS):
        assert stage.replicator.bytes_by(*by).total_bits == total
    by_kind = meter.bytes_by("kind").bits
    assert {"Ship", "Rock", "Drone", None} == {key[0] for key in by_kind}
    assert list(by_kind.values()) == sorted(by_kind.values(), reverse=True)
    assert ("Position.x",) in meter.bytes_by("field").bits
    assert ("Hull",) in meter.bytes_by("group").bits
    assert {0, 1, 2, 3, None} == {key[0] for key in meter.bytes_by("channel").bits}


def test_a_table_prints_itself_and_is_plain_data(stage):
    meter = stage.replicator.meter_bytes(n=2)
    streams.play(stage, 30, streams.Stage.move)
    table = meter.bytes_by("kind", "channel")
    plain = json.loads(json.dumps(table.to_dict()))
    assert plain["total_bits"] == sum(row["bits"] for row in plain["rows"]) == table.total_bits
    assert sum(row["share"] for row in plain["rows"]) == pytest.approx(1)
    assert plain["bytes_per_s"] == pytest.approx(table.total_bits / 8 / 2 / 30 * 60)
    assert "Ship" in str(table)
    assert "2 observers over 30 ticks" in str(table)
    assert "<td>Ship</td>" in table._repr_html_()
    assert "2 observers" in repr(meter)


def test_a_stopped_meter_counts_no_more(stage):
    meter = stage.replicator.meter_bytes([1])
    streams.play(stage, 5, streams.Stage.move)
    meter.stop()
    before = meter.bytes_by().total_bits
    streams.play(stage, 5, streams.Stage.move)
    assert meter.bytes_by().total_bits == before
    assert meter.n_ticks == 5


def test_frames_that_wait_are_bounded(stage, monkeypatch):
    monkeypatch.setattr(meters, "MAX_WAITING_BYTES", 200)
    meter = stage.replicator.meter_bytes()
    streams.play(stage, 30, streams.Stage.move)
    assert sum(len(frame) for *_, frame in meter._waiting) <= 200
    assert meter.bytes_by().total_bits > 8 * 200


def test_what_can_not_be_metered(stage):
    with pytest.raises(hz.ArgumentError, match="observer 9"):
        stage.replicator.meter_bytes([0, 9])
    with pytest.raises(hz.ArgumentError, match="whole number"):
        stage.replicator.meter_bytes(n=0)
    with pytest.raises(hz.ArgumentError, match="nothing was metered"):
        stage.replicator.bytes_by("kind")
    with pytest.raises(hz.ArgumentError, match="did you mean 'kind'"):
        stage.replicator.meter_bytes().bytes_by("kinds")
    empty = hz.World(kinds=streams.kinds_of(streams.Place))
    with pytest.raises(hz.ArgumentError, match="no observer"):
        hz.Replicator(empty, position=streams.Place).meter_bytes(np.zeros(0, int))
