"""Callbacks: real enters and leaves, in order, whatever the frames were."""

from __future__ import annotations

import numpy as np
import pytest

import horizon_ecs as hz
from tests.test_golden import load
from tests.test_interpolation import Game, Position, Ship


def listening(calls, **options):
    """What is told, as it is told."""
    told = []
    calls.on_enter(lambda handle, row: told.append(("enter", handle, row)), **options)
    calls.on_update(lambda handle, row: told.append(("update", handle, row)), **options)
    calls.on_leave(lambda handle: told.append(("leave", handle)), **options)
    return told


def tick(game, calls):
    before = game.replica.n_frames
    game.tick()
    if game.replica.n_frames > before:
        calls.frame(game.replica)


def test_order_within_a_frame():
    game, calls = Game(), hz.Callbacks()
    a, b = (int(h) for h in game.world.spawn(Ship, 2, Position=[[1.0, 0.0], [2.0, 0.0]]))
    told = listening(calls)
    tick(game, calls)
    tick(game, calls)
    assert told == [("enter", a, 0), ("enter", b, 1)]
    told.clear()
    game.world.despawn(a)
    c = int(game.world.spawn(Ship, 1, Position=[3.0, 0.0])[0])
    game.world.set(b, Position(5.0, 0.0))
    tick(game, calls)
    tick(game, calls)
    row = {int(h): r for r, h in enumerate(game.replica.handle)}
    assert told == [("enter", c, row[c]), ("update", b, row[b]), ("leave", a)]
    assert calls.entered.tolist() == [row[c]]
    assert calls.left.tolist() == [a]


def test_events_come_between_updates_and_leaves():
    stream = load("heralds")
    replica, calls = hz.Replica(stream["schema"], phase=stream["phase"]), hz.Callbacks()
    told, chats = listening(calls), []
    calls.on_event(lambda name, handle, values: told.append(("event", name, handle, values)))
    calls.on_event(lambda *event: chats.append(event), name="chat")
    order = ["enter", "update", "event", "leave"]
    events = 0
    for frame in stream["frames"]:
        replica.apply(frame)
        told.clear()
        chats.clear()
        calls.frame(replica)
        ranks = [order.index(what) for what, *_ in told]
        assert ranks == sorted(ranks)
        mine = [one[1:] for one in told if one[0] == "event"]
        assert len(mine) == sum(map(len, replica.messages.values()))
        assert chats == [event for event in mine if event[0] == "chat"]
        for name, came in replica.messages.items():
            of_name = [event for event in mine if event[0] == name]
            assert [handle for _, handle, _ in of_name] == came.handle.tolist()
            assert [tuple(values.values()) for *_, values in of_name] == came.records.tolist()
        events += len(mine)
    assert events > 10


def test_a_reset_frame_tells_only_what_is_new():
    game, calls = Game(), hz.Callbacks()
    ships = game.world.spawn(Ship, 30, Position=np.random.default_rng(1).uniform(-50, 50, (30, 2)))
    told = listening(calls)
    for _ in range(4):
        tick(game, calls)
    assert sorted(handle for _, handle, _ in told) == sorted(ships.tolist())
    told.clear()
    game.replicator.hold(0)
    game.world.despawn(ships[:2])
    heir = game.world.spawn(Ship, 1, Position=[9.0, 9.0])[0]
    game.tick()
    game.replicator.resume(0)
    tick(game, calls)
    tick(game, calls)
    assert game.replica.was_reset
    assert told[0][:2] == ("enter", int(heir))
    assert sorted(told[1:]) == [("leave", ship) for ship in sorted(ships[:2].tolist())]


def test_another_connection_goes_on_where_the_last_one_was():
    game, calls = Game(), hz.Callbacks()
    game.world.spawn(Ship, 5, Position=[1.0, 1.0])
    told = listening(calls)
    for _ in range(3):
        tick(game, calls)
    assert len(told) == 5
    observer = game.replicator.add_observer(position=(0.0, 0.0))
    game.replicator.remove_observer(0)
    game.replica = hz.Replica(game.replicator.schema, phase=game.replicator.phase(observer))
    for _ in range(3):
        tick(game, calls)
    assert game.replica.n == 5
    assert len(told) == 5


def test_kinds_are_told_apart():
    stream = load("crowd")
    replica = hz.Replica(stream["schema"], phase=stream["phase"])
    kinds = [kind["name"] for kind in stream["schema"]["kinds"]]
    calls, one = hz.Callbacks(), hz.Callbacks()
    every, some = listening(calls), listening(one, kind=kinds[0])
    kind_of: dict[int, str] = {}
    expected = []
    for frame in stream["frames"]:
        replica.apply(frame)
        kind_of |= {int(h): kinds[k] for h, k in zip(replica.handle, replica.kind, strict=True)}
        calls.frame(replica)
        one.frame(replica)
    expected = [told for told in every if kind_of[told[1]] == kinds[0]]
    assert some == expected
    assert {what for what, *_ in some} == {"enter", "update", "leave"}
    assert len(some) < len(every)


def test_updates_are_what_differs():
    stream = load("fleet")
    replica, calls, seen = hz.Replica(stream["schema"], phase=stream["phase"]), hz.Callbacks(), []
    calls.on_update(lambda handle, row: seen.append(handle))
    before: dict[str, list[list[int]]] = {}
    for frame, table in zip(stream["frames"], stream["tables"], strict=True):
        replica.apply(frame)
        seen.clear()
        calls.frame(replica)
        changed = {int(h) for h, entry in table.items() if h in before and before[h] != entry["q"]}
        assert set(seen) == changed
        before = {h: entry["q"] for h, entry in table.items()}


def test_decorators_and_off():
    calls = hz.Callbacks()

    @calls.on_enter(kind="Ship")
    def show(handle, row):
        raise AssertionError("it was taken off")

    assert calls.on_leave(show) is show
    assert "2 functions" in repr(calls)
    calls.off(show)
    game = Game()
    game.world.spawn(Ship, 1, Position=[1.0, 1.0])
    tick(game, calls)
    tick(game, calls)
    assert calls.entered.tolist() in ([0], [])


def test_a_kind_that_isnt_there_is_named():
    game, calls = Game(), hz.Callbacks()
    calls.on_enter(print, kind="Shp")
    game.world.spawn(Ship, 1, Position=[1.0, 1.0])
    game.tick()
    game.tick()
    with pytest.raises(hz.ArgumentError, match="no kind is called 'Shp'.*Ship"):
        calls.frame(game.replica)


def test_what_the_application_says_is_told_by_name_or_all_of_it():
    calls, told = hz.Callbacks(), []
    calls.on_server_event(lambda *said: told.append(("all", *said)))

    @calls.on_server_event(namespace="chat", event="message")
    def message(*said):
        told.append(("one", *said))

    calls.said("chat", "message", 1)
    calls.said("chat", "left", 2)
    calls.said("trade", "message", 3)
    assert [one[0] for one in told] == ["all", "one", "all", "all"]
    assert told[1] == ("one", "chat", "message", 1)
    assert repr(calls) == "Callbacks(2 functions, 0 entities)"
    calls.off(message)
    told.clear()
    calls.said("chat", "message", 4)
    assert told == [("all", "chat", "message", 4)]
