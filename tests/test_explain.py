"""Explanations: each reason by a scene of its own, and all of them against what really happens next."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import f4, i2
from horizon_ecs.dissection import Dissector
from tests import streams


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Health:
    hp: i2 = 100


Ship = hz.Kind("Ship", Position, Health, layers=[
    hz.Layer(0, 10, 30, [Position], 1 / 8), hz.Layer(2, 40, 6, [Position, Health], 1 / 8)
])  # fmt: skip
Rock = hz.Kind("Rock", Position)


class Scene:
    """One observer at the origin."""

    def __init__(self, **options):
        self.world = hz.World(kinds=[Ship, Rock])
        self.replicator = hz.Replicator(self.world, **options)
        self.observer = self.replicator.add_observer()
        self.reader = Dissector(self.replicator.schema, phase=self.replicator.phase(self.observer))
        self.records = {}

    def ship(self, x, kind=Ship):
        return int(self.world.spawn(kind, 1, Position=[x, 0])[0])

    def step(self, n=1):
        for _ in range(n):
            self.world.tick()
            frames = self.replicator.step()
            for start, stop in zip(frames.payload, frames.stop, strict=True):
                self.found = self.reader.dissect(frames.buffer[start:stop])
                self.records[frames.tick] = self.found

    def explain(self, entity):
        return self.replicator.explain(self.observer, entity)

    def code(self, entity):
        return self.explain(entity).reason.code

    def channels(self, entity):
        return [c.reason.code for c in self.explain(entity).channels]


@pytest.fixture
def scene():
    return Scene()


def test_what_is_followed(scene):
    ship = scene.ship(5)
    scene.step(12)
    told = scene.explain(ship)
    assert (told.followed, told.kind, told.distance, told.tick) == (True, "Ship", 5.0, 12)
    assert told.reason == ("followed", "on channels 0, 2")
    assert scene.channels(ship) == ["inside", "no layer", "inside"]
    inner, missing, outer = told.channels
    assert (inner.radius, inner.leave_radius, inner.frequency, inner.period) == (10.0, pytest.approx(11.0), 30.0, 2)
    assert (missing.period, missing.next_due_tick, missing.frequency) == (0, -1, 0.0)
    assert math.isnan(missing.radius)
    assert outer.period == 10
    assert inner.next_due_tick in (13, 14)
    position, health = told.groups
    assert (position.channel, position.period, position.state) == (0, 2, "in sync")
    assert (health.channel, health.period, health.state) == (2, 10, "in sync")
    assert position.fields == {"x": "linear", "y": "linear"}
    assert health.fields == {"hp": "previous value"}


def test_whom_nobody_sends(scene):
    dead, hidden, rock, lost = (scene.ship(5, kind) for kind in (Ship, Ship, Rock, Ship))
    far, out = scene.ship(39), scene.ship(41)
    assert scene.code(far) == "unborn"
    assert "nothing has been replicated" in scene.explain(far).reason.text
    scene.world.hide(hidden)
    scene.step()
    scene.world.despawn(dead)
    scene.world.set(lost, Position, [np.nan, 0])
    scene.step(20)
    assert [scene.code(e) for e in (dead, hidden, rock, lost, far, out)] == [
        "dead", "hidden", "no layers", "nowhere", "followed", "outside"
    ]  # fmt: skip
    assert scene.explain(dead).kind is None
    assert scene.explain(dead).channels == ()
    assert scene.explain(rock).reason.text.startswith("kind 'Rock' has no layers")
    assert math.isnan(scene.explain(lost).distance)
    assert scene.code(scene.ship(1)) == "unborn"
    assert scene.code(12345 << 32 | 3) == "dead"
    assert scene.code(2**64 - 1) == "dead"
    assert scene.channels(out) == ["outside", "no layer", "outside"]


def test_edges_and_their_hysteresis(scene):
    ship = scene.ship(5)
    scene.step(12)
    codes = []
    for x in (9.9, 10.5, 11.1):
        scene.world.set(ship, Position, [x, 0])
        codes.append(scene.channels(ship)[0])
    assert codes == ["inside", "hysteresis", "leaves"]
    ends = scene.explain(ship).channels[0].next_due_tick
    assert f"ends at tick {ends}" in scene.explain(ship).channels[0].reason.text
    scene.step(ends - scene.world.tick_count)
    assert scene.channels(ship)[0] == "outside"
    assert scene.explain(ship).groups[0].state == "stale"
    scene.world.set(ship, Position, [10.5, 0])
    assert scene.channels(ship)[0] == "outside"
    scene.world.set(ship, Position, [9.5, 0])
    assert scene.channels(ship)[0] == "enters"


def test_who_comes_near_enters_when_it_is_said(scene):
    ship = scene.ship(100)
    scene.step(12)
    scene.world.set(ship, Position, [5, 0])
    told = scene.explain(ship)
    assert told.reason.code == "enters"
    first = min(c.next_due_tick for c in told.channels if c.period)
    scene.step(first - scene.world.tick_count - 1)
    assert not scene.explain(ship).followed
    scene.step()
    assert scene.explain(ship).followed


def test_a_full_list():
    scene = Scene(max_followed=1)
    one, other = scene.ship(5), scene.ship(5)
    scene.step(12)
    ((_, refused),) = [(a, b) for a, b in ((one, other), (other, one)) if scene.explain(a).followed]
    assert scene.code(refused) == "full"
    assert scene.channels(refused) == ["outside", "no layer", "full"]  # reach has shrunk as far as it helps


def test_one_that_is_too_far_in_a_crowd():
    scene = Scene(max_followed=1)
    near, far = scene.ship(5), scene.ship(9)
    scene.step(12)
    assert [scene.code(near), scene.code(far)] == ["followed", "crowded"]
    assert "its reach has shrunk to" in scene.explain(far).reason.text


def test_observers_that_are_held_or_wait(scene):
    ship = scene.ship(5)
    scene.step(12)
    scene.replicator.hold(scene.observer)
    assert scene.code(ship) == "held"
    assert scene.explain(ship).followed
    scene.replicator.resume(scene.observer)
    assert scene.code(ship) == "reset"
    assert {c.next_due_tick for c in scene.explain(ship).channels if c.period} == {13}
    scene.step()
    assert scene.code(ship) == "followed"


def test_records_are_as_long_as_in_the_frames(scene):
    ship = scene.ship(5)
    scene.step(12)
    rng = np.random.default_rng(1)
    predicted = set()
    for _ in range(40):
        if rng.random() < 0.5:
            scene.world.set(ship, Position, rng.normal(0, 2, 2))
        scene.step()
        for j, group in enumerate(scene.explain(ship).groups):
            bits = sum(
                n
                for part, n in scene.records.get(group.baseline_tick, {}).items()
                if part[:1] + part[3:4] == ("record", j)
            )
            predicted.add(group.predicted)
            if group.baseline_tick > 12 and group.record_bits is not None:
                assert bits == (0 if group.predicted else group.record_bits)
    assert predicted >= {True, False}


def test_it_is_always_what_happens():
    """Against lists, columns and the next steps of a world in which everything happens."""
    stage = streams.Stage(streams.kinds_of(streams.Position, slow=True), seed=5, max_followed=30)
    stage.spawn(0, 15)
    stage.watch(position=(0, 0, 0))
    stage.watch(entity=stage.living[0])
    codes = set()
    for _ in range(80):
        for act in streams.EVERYTHING:
            act(stage)
        stage.step()
        for watcher in stage.watchers:
            followed = {e.living.handle: e for e in watcher.twin.list}
            for handle in stage.living:
                told = stage.replicator.explain(watcher.number, handle)
                codes |= {told.reason.code, *(c.reason.code for c in told.channels)}
                mask = followed[handle].mask if handle in followed else 0
                if not stage.replicator._table.wants_reset[watcher.number]:
                    assert told.followed == bool(mask)
                    assert [c.channel for c in told.channels if c.followed] == [c for c in range(4) if mask >> c & 1]
                for group in told.groups:
                    assert group.state in ("in sync", "stale", "not carried")
    assert codes >= {"followed", "outside", "nowhere", "inside", "hysteresis", "no layer"}


def test_an_explanation_prints_itself_and_is_plain_data(scene):
    ship, rock = scene.ship(5), scene.ship(3, Rock)
    scene.step(12)
    told = scene.explain(ship)
    text = str(told)
    assert f"Observer 0 follows Ship {ship:#x} at distance 5: on channels 0, 2" in text
    assert "channel 1  -         the kind has no layer of this channel" in text
    assert "Position (x, y): in sync on channel 0, known as of tick" in text
    assert "doesn't follow Rock" in str(scene.explain(rock))
    plain = json.loads(json.dumps(told.to_dict()))
    assert plain["reason"] == {"code": "followed", "text": "on channels 0, 2"}
    assert plain["channels"][0]["reason"]["code"] == "inside"
    assert plain["groups"][0]["fields"] == {"x": "linear", "y": "linear"}
    assert "<td>Position</td>" in told._repr_html_()


def test_there_must_be_such_an_observer(scene):
    with pytest.raises(hz.ArgumentError, match="observer 7"):
        scene.replicator.explain(7, scene.ship(1))
