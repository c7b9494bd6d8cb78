"""The event system by itself: who is called when, with what, how often, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time

import numba
import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import f4
from horizon_ecs.core_events import ZoneEnter
from horizon_ecs.errors import ArgumentError, CapacityError
from horizon_ecs.event_hub import MAX_DEPTH, MAX_NESTED
from horizon_ecs.events import EventBatch


@hz.event
class Hit:
    x: f4
    power: f4 = 1.0


@hz.event(namespace="movement")
class Move:
    x: f4


@hz.event
class Boom:
    x: f4


@pytest.fixture
def events():
    made = hz.EventSystem(max_waiting=100, max_queued=4, async_timeout_s=5.0)
    yield made
    made.close()


def listen(events, name="own", **options):
    """A list of what a handler of a core event is called with."""
    heard = []
    events.on_core(name, lambda data: heard.append(data), **options)
    return heard


# -- calling -----------------------------------------------------------------------------------------------------------


def test_whoever_emits_has_the_handlers_called(events):
    heard = listen(events)
    assert events.emit_core("own", {"id": 7}) is None
    events.emit_core("nobody listens", 1)
    assert heard == [{"id": 7}]


def test_a_call_returns_a_handle_and_a_decorator_leaves_the_function(events):
    heard = []

    @events.on_core("a")
    @events.on_core("b", priority=3)
    @events.on_plugin("combat", "hit")
    def note(data):
        heard.append(data)

    handle = events.on_core("a", note)
    assert isinstance(handle, hz.Handler)
    for emit in (
        lambda: events.emit_core("a", 1),
        lambda: events.emit_core("b", 2),
        lambda: events.emit_plugin("combat", "hit", 3),
    ):
        emit()
    assert heard == [1, 1, 2, 3]
    handle.unsubscribe()
    handle.unsubscribe()
    events.emit_core("a", 4)
    assert heard[4:] == [4]
    events.off(note)
    events.emit_core("a", 5)
    events.emit_plugin("combat", "hit", 6)
    assert len(heard) == 5
    assert events.handlers() == []


def test_priority_then_age_is_the_order(events):
    order = []
    for name, priority in (("c", 0), ("a", 5), ("d", 0), ("e", -1), ("b", 5)):
        events.on_core("own", lambda data, name=name: order.append(name), priority=priority)
    events.emit_core("own")
    assert order == ["a", "b", "c", "d", "e"]


def test_a_filter_decides_and_once_waits_for_it(events):
    big = listen(events, filter=lambda n: n > 10)
    first = listen(events, filter=lambda n: n % 2 == 0, once=True)
    for n in (5, 20, 11, 30):
        events.emit_core("own", n)
    assert (big, first) == ([20, 11, 30], [20])
    assert [handler.calls for handler in events.handlers()] == [3]


def test_a_handler_may_stop_an_event(events):
    events.on_core("own", lambda data: hz.Stop("at capacity") if data > 1 else "anything else", priority=1)
    heard = listen(events)
    assert events.emit_core("own", 1) is None
    assert events.emit_core("own", 2).reason == "at capacity"
    assert heard == [1]
    assert events.stats()["core:own"].stopped == 1


def test_what_one_raises_is_counted_and_shown_and_the_others_are_called(events, caplog):
    def broken(data):
        raise RuntimeError("no such player")

    events.on_core("own", broken)
    heard = listen(events)
    with caplog.at_level(logging.ERROR, "horizon_ecs.events"):
        for n in range(5):
            events.emit_core("own", n)
    assert heard == [0, 1, 2, 3, 4]
    assert events.stats()["core:own"].errors == 5
    shown = [record.getMessage() for record in caplog.records]
    assert len(shown) == 3  # the first, the second, the fourth
    assert "broken" in shown[0]
    assert "core:own" in shown[0]
    assert "no such player" in shown[0]
    assert caplog.records[0].exc_info is not None


def test_nobody_ends_the_server_by_leaving(events, caplog):
    async def leave(data):
        raise SystemExit(3)

    events.on_core("own", lambda data: sys.exit(3))
    events.on_core("own", leave)
    heard = listen(events)
    with caplog.at_level(logging.CRITICAL):
        for n in range(2):
            events.emit_core("own", n)
            assert events.drain()
    assert heard == [0, 1]
    assert events.stats()["core:own"].errors == 4


def test_one_that_was_taken_away_by_another_is_not_called(events):
    heard = []
    events.on_core("own", lambda data: late.unsubscribe(), priority=1)
    late = events.on_core("own", heard.append)
    events.emit_core("own", 1)
    assert heard == []


def test_handlers_may_emit(events):
    heard = listen(events, "second")
    events.on_core("own", lambda n: events.emit_plugin("p", "e", n + 1))
    events.on_plugin("p", "e", lambda n: events.emit_core("second", n + 1))
    events.emit_core("own", 1)
    assert heard == [3]


@pytest.mark.parametrize("times", [1, 2])
def test_emitting_in_circles_ends(events, caplog, times):
    calls = []

    def again(data):
        calls.append(data)
        for _ in range(times):
            events.emit_core("own", data + 1)

    events.on_core("own", again)
    with caplog.at_level(logging.CRITICAL):
        events.emit_core("own", 0)
    assert len(calls) == MAX_DEPTH
    assert events.stats()["core:own"].errors == (1 if times == 1 else MAX_DEPTH)
    events.off(again)
    heard = listen(events)
    events.emit_core("own", 1)
    assert heard == [1]


def test_emitting_without_end_ends(events, caplog):
    def forever(data):
        while True:
            events.emit_core("other")

    events.on_core("own", forever)
    events.on_core("other", lambda data: None)
    with caplog.at_level(logging.CRITICAL):
        events.emit_core("own")
    stats = events.stats()
    assert stats["core:own"].errors == 1
    assert stats["core:other"].count == MAX_NESTED


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_misspelt_core_event_is_refused_with_the_nearest(events):
    with pytest.raises(
        ArgumentError, match="no core event is called 'player_conected'; did you mean 'player_connected'"
    ):
        events.on_core("player_conected", print)
    events.emit_core("player_conected")  # nobody is hurt
    events.on_core("benchmark", print)
    events.declare_core("round_started")
    with pytest.raises(ArgumentError, match="'round_started'"):
        events.on_core("round_startet", print)
    events.declare_core("round_startet")
    events.on_core("round_startet", print)


def test_a_misspelt_client_event_is_refused_with_the_nearest(events):
    events.declare_client("chat", "message", "whisper")
    with pytest.raises(ArgumentError, match=r"no client event is called 'chat.mesage'; did you mean 'chat.message'"):
        events.on_client("chat", "mesage", print)
    with pytest.raises(ArgumentError, match=r"did you mean 'chat.whisper'"):
        events.on_client("chta", "whisper", print)
    events.on_client("chat", "message", print)
    events.on_client("trade", "offer", print)


def test_an_event_that_cannot_occur_is_refused(events):
    events.refuse_core("zone_enter", "the server was made without zones")
    with pytest.raises(ArgumentError, match="'zone_enter' can't occur: the server was made without zones"):
        events.on_core("zone_enter", print)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.on_core("own", 5), "a handler must be callable, not 5"),
        (lambda e: e.on_core("own", lambda: None), "a handler of core:own takes"),
        (lambda e: e.on_core("own", lambda a, b: None), "a handler of core:own takes"),
        (lambda e: e.on_core("", print), "event must be text"),
        (lambda e: e.on_core("own", print, priorty=1), "no option 'priorty'; did you mean 'priority'"),
        (lambda e: e.on_core("own", print, priority=1.5), "priority must be a whole number"),
        (lambda e: e.on_core("own", print, concurrency=0), "concurrency must be a whole number from 1"),
        (lambda e: e.on_core("own", print, filter=1), "filter must be callable"),
        (lambda e: e.on_core("own", print, once=1), "once must be True or False"),
        (lambda e: e.on_core("own", print, args=5), "args is a list of"),
        (lambda e: e.on_client("a.b", "c", print), "a namespace has no point in it"),
        (lambda e: e.on_client("other", Move, print), "Move belongs to 'movement', not to 'other'"),
        (lambda e: e.on_plugin("p", int, print), "a class decorated with @event"),
        (lambda e: e.on_plugin(3, "x", print), "plugin must be text"),
        (lambda e: e.emit_client(3, "a", "b"), "emit_client needs a server"),
        (lambda e: e.broadcast("a", "b"), "broadcast needs a server"),
        (lambda e: e.on_gorc_instance(None, 0, Hit, print), "on_gorc_instance needs a server"),
        (lambda e: hz.EventSystem(max_waiting=0), "max_waiting must be a whole number from 1"),
        (lambda e: hz.EventSystem(async_timeout_s=0), "async_timeout_s must be a positive number"),
    ],
)  # fmt: skip
def test_arguments_are_checked(events, call, message):
    with pytest.raises(ArgumentError, match=message):
        call(events)


# -- columnar ----------------------------------------------------------------------------------------------------------


def test_columnar_events_come_as_one_batch_a_tick(events):
    batches, pairs = [], []
    events.on_plugin("combat", Hit, batches.append)
    events.on_plugin("combat", Hit, lambda sender, records: pairs.append((sender.tolist(), records["x"].tolist())))
    events.emit_plugin("combat", "hit", Hit(x=1.0), sender=7)
    events.emit_plugin("combat", Hit, {"x": [2.0, 3.0], "power": 5.0}, sender=[8, 9])
    assert batches == []
    events.dispatch()
    events.dispatch()
    assert len(batches) == 1
    assert batches[0].x.tolist() == [1.0, 2.0, 3.0]
    assert batches[0].power.tolist() == [1.0, 5.0, 5.0]
    assert pairs == [([7, 8, 9], [1.0, 2.0, 3.0])]
    stats = events.stats()["plugin:combat.hit"]
    assert (stats.count, stats.n_handlers) == (3, 2)


def test_a_jitted_handler_gets_arrays_and_is_compiled_when_registered(events):
    total = np.zeros(2)

    @numba.njit
    def add(sender, records, total):
        for i in range(len(records)):
            total[0] += records["x"][i]
            total[1] += sender[i]

    events.on_plugin("combat", Hit, add, args=[total])
    assert not getattr(add, "signatures", None) or len(add.signatures) == 1
    events.emit_plugin("combat", Hit, {"x": np.arange(50.0)}, sender=2)
    events.dispatch()
    assert total.tolist() == [1225.0, 100.0]
    assert len(getattr(add, "signatures", [0])) == 1
    assert events.stats()["plugin:combat.hit"].errors == 0


def test_filters_of_columnar_events_choose_rows(events):
    heard = []
    events.on_plugin("c", Hit, lambda sender, records: heard.append(records["x"].tolist()), filter=lambda b: b.x > 1)
    for values in ([0.0, 5.0, 2.0], [0.0], [9.0]):
        events.emit_plugin("c", Hit, {"x": values})
        events.dispatch()
    assert heard == [[5.0, 2.0], [9.0]]
    assert events.handlers()[0].calls == 2


def test_a_class_is_one_event(events):
    events.on_plugin("combat", Hit, print)
    with pytest.raises(ArgumentError, match=r"Hit is plugin:combat.hit already"):
        events.on_plugin("other", Hit, print)
    events.on_plugin("combat", "boom", lambda data: None)
    with pytest.raises(ArgumentError, match=r"plugin:combat.boom is objects, not Boom"):
        events.on_plugin("combat", Boom, print)
    with pytest.raises(ArgumentError, match="Hit"):
        events.emit_plugin("combat", Hit, "nonsense")


def test_a_world_s_events_are_the_handlers_too():
    world = hz.World(capacity=4_096)
    events = hz.EventSystem(world)
    ship = int(world.spawn(hz.Kind("Ship", Position), 1)[0])
    seen, heard = [], []

    @hz.system(form="columns")
    def look(world: hz.World) -> None:
        seen.append(world.events(Hit).x.tolist())

    world.add_system(look)
    events.on_plugin("combat", Hit, lambda batch: heard.append((batch.sender.tolist(), batch.x.tolist())))
    events.emit_plugin("combat", Hit, Hit(x=3.0), sender=ship)
    events.emit_plugin("combat", Hit, Hit(x=4.0), sender=12345)  # who doesn't live
    world.tick()
    events.dispatch()
    assert seen == [[3.0]]
    assert heard == [([ship], [3.0])]


@hz.component
class Position:
    x: f4


# -- other threads -----------------------------------------------------------------------------------------------------


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_what_other_threads_emit_waits_in_order(events):
    heard = []
    events.on_core("own", lambda n: heard.append((n, threading.get_ident())))
    events.on_plugin("c", Hit, lambda batch: heard.extend(batch.x.tolist()))
    in_thread(lambda: [events.emit_core("own", n) for n in range(3)] and events.emit_plugin("c", Hit, Hit(x=9)))
    assert heard == []
    assert events.stats()["core:own"].waiting == 3
    events.dispatch()
    assert heard == [9.0, *((n, threading.get_ident()) for n in range(3))]


def test_while_paused_all_waits(events):
    heard = listen(events)
    events.pause()
    events.emit_core("own", 1)
    assert heard == []
    events.dispatch()
    events.emit_core("own", 2)
    assert heard == [1, 2]


def test_what_finds_no_room_is_refused_and_counted(events):
    heard = listen(events)
    events.on_plugin("c", Hit, lambda batch: heard.append(len(batch)))
    events.pause()
    for n in range(100):
        events.emit_core("own", n)
    with pytest.raises(CapacityError, match=r"core:own has no room: 100 of them wait"):
        events.emit_core("own", 100)
    events.emit_plugin("c", Hit, {"x": np.zeros(60)})
    with pytest.raises(CapacityError, match=r"plugin:c.hit"):
        events.emit_plugin("c", Hit, {"x": np.zeros(60)})
    stats = events.stats()
    assert (stats["core:own"].dropped, stats["plugin:c.hit"].dropped) == (1, 60)
    events.dispatch()
    assert heard == [60, *range(100)]


# -- async -------------------------------------------------------------------------------------------------------------


def test_async_handlers_run_elsewhere_in_order_and_answer_by_emitting(events):
    heard = []
    events.on_core("loaded", lambda data: heard.append((data, threading.get_ident())))

    async def load(data):
        await asyncio.sleep(0)
        events.emit_core("loaded", (data, threading.get_ident()))

    events.on_core("own", load)
    for n in range(4):
        assert events.emit_core("own", n) is None
    assert events.drain()
    events.dispatch()
    assert [data for (data, _), _ in heard] == [0, 1, 2, 3]
    assert {here for _, here in heard} == {threading.get_ident()}
    assert {there for (_, there), _ in heard} != {threading.get_ident()}
    handler = next(one for one in events.handler_stats() if one.is_async)
    assert (handler.calls, handler.errors, handler.waiting, handler.running) == (4, 0, 0, 0)


def test_an_async_handler_that_hangs_fills_its_own_line_only(events, caplog):
    released, others = threading.Event(), []

    async def hang(data):
        while not released.is_set():
            await asyncio.sleep(0.001)

    async def quick(data):
        others.append(data)

    events.on_core("own", hang)
    events.on_core("own", quick, concurrency=2)
    with caplog.at_level(logging.WARNING):
        for n in range(20):
            events.emit_core("own", n)
            while not len(others) > n:
                time.sleep(0.0005)
    stuck = next(one for one in events.handler_stats() if one.name.endswith("hang"))
    assert (stuck.running, stuck.waiting, stuck.dropped) == (1, 4, 15)
    assert others == list(range(20))
    assert any("hang" in record.getMessage() and "no room" in record.getMessage() for record in caplog.records)
    released.set()
    assert events.drain()


def test_what_takes_too_long_is_cancelled_and_has_failed(caplog):
    events = hz.EventSystem(async_timeout_s=0.02)
    done = []

    async def slow(data):
        if data == "slow":
            await asyncio.sleep(60)
        if data == "bad":
            raise RuntimeError("refused")
        done.append(data)

    events.on_core("own", slow)
    with caplog.at_level(logging.CRITICAL):
        for data in ("slow", "bad", "good"):
            events.emit_core("own", data)
        assert events.drain()
    assert done == ["good"]
    assert events.stats()["core:own"].errors == 2
    events.close()
    events.emit_core("own", "late")
    assert events.handlers()[0].dropped == 1


def test_one_that_blocks_the_loop_is_named(caplog):
    events = hz.EventSystem(async_timeout_s=0.001)
    released = threading.Event()

    async def block(data):
        released.wait(20)

    events.on_core("own", block)
    events.emit_core("own")
    with caplog.at_level(logging.ERROR):
        while not events._runner.overdue():
            time.sleep(0.001)
        assert events.drain(0.01) is False
        events._hub.rolled_s = -1e9
        events.dispatch()
    assert any("block" in record.getMessage() and "neither ends" in record.getMessage() for record in caplog.records)
    released.set()
    events.close()


# -- statistics --------------------------------------------------------------------------------------------------------


def test_statistics_say_how_many_how_often_and_how_long(events):
    events.on_core("own", lambda data: None)
    events.on_core("own", lambda data: sum(range(2_000)))
    for n in range(10):
        events.emit_core("own", n)
    events._hub.rolled_s = time.perf_counter() - 2.0
    stats = events.stats()["core:own"]
    assert stats.count == 10
    assert stats.rate_hz == pytest.approx(5.0, rel=0.1)
    assert 0 < stats.latency_ms <= 2 * stats.max_latency_ms
    dearest, other = events.handler_stats()
    assert dearest.total_ms > other.total_ms > 0
    assert stats.latency_ms == pytest.approx((dearest.total_ms + other.total_ms) / 10)
    assert stats.to_dict()["count"] == 10
    assert dearest.to_dict()["calls"] == 10
    assert "2 handlers" in repr(events)
    events.off(events.handlers()[1])
    assert events.stats()["core:own"].latency_ms == pytest.approx(stats.latency_ms)


def test_zone_events_are_batches(events):
    heard = []
    events.on_core("zone_enter", heard.append)
    batch = EventBatch(np.array([5], np.uint64), np.zeros(1, ZoneEnter.__hz_dtype__))
    assert events.has_handlers("zone_enter")
    assert not events.has_handlers("zone_exit")
    events.tell_batch("zone_enter", batch)
    events.tell_batch("zone_exit", batch)
    assert heard == [batch]
