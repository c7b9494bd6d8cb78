"""HorizonMonitor: reports, scores, alerts, and what they are made of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Write, f4
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError
from horizon_ecs.monitor.process import MB
from horizon_ecs.monitor.report import ConnectionReport, EventReport, MemoryReport, ReplicationReport
from horizon_ecs.monitor.sample import Flow, Sample
from horizon_ecs.monitor.window import STEP_S, WINDOW_S, Window
from horizon_ecs.stats import Timing
from horizon_ecs.testing import serving
from tests.asking import ask

TIMEOUT_S = 30


@dataclass(frozen=True)
class Event:
    count: int
    errors: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Handler:
    event: str
    name: str
    calls: int
    total_ms: float
    max_ms: float = 0.0
    plugin: str = ""
    is_async: bool = False
    errors: int = 0


class Events:
    """An event system that has counted what it is told."""

    def __init__(self, events=None, handlers=()):
        self.events, self.handlers = events or {}, list(handlers)

    def stats(self):
        return self.events

    def handler_stats(self):
        return self.handlers


class Source:
    """A server of which everything is said."""

    def __init__(self, **said):
        self.said = said

    def sample(self) -> Sample:
        return Sample(**self.said)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_taken_over_the_last_seconds():
    window = Window()
    assert window.note(0.0, {"a": 5}) == (0.0, {"a": 0.0})
    assert window.note(2.0, {"a": 9, "b": 3}) == (2.0, {"a": 4, "b": 3})  # what wasn't there has risen from nothing
    assert window.note(2.0 + STEP_S / 2, {"a": 9}) == (2.0 + STEP_S / 2, {"a": 4})
    assert window.note(12.0, {"a": 19}) == (10.0, {"a": 10})  # from 2.0 on, since that is long enough ago
    assert window.note(500.0, {"a": 20}) == (488.0, {"a": 1})
    assert window.note(501.0, {"a": 3}) == (489.0, {"a": 3})  # it was begun anew
    for i in range(1_000):
        window.note(600.0 + i / 100, {"a": i})
    assert len(window._kept) <= WINDOW_S / STEP_S + 2


def test_events_and_plugins():
    clock, events = Clock(), Events({"core:tick": Event(100), "client:chat.say": Event(50, 1, 2)})
    events.handlers = [
        Handler("core:tick", "move", 100, 10.0, 0.5, "physics"),
        Handler("core:tick", "log", 100, 50.0, 2.0),
        Handler("client:chat.say", "send", 50, 5_000.0, 900.0, "chat", is_async=True),
    ]
    monitor = hz.HorizonMonitor(events, clock=clock)
    first = monitor.generate_report()
    assert first.events.count == 150
    assert first.events.per_s == first.events.critical_ms == 0  # nothing has passed
    clock.now += 5
    events.events = {"core:tick": Event(400), "client:chat.say": Event(60, 3, 2)}
    events.handlers = [
        Handler("client:chat.say", "send", 60, 9_000.0, 900.0, "chat", is_async=True, errors=3),
        Handler("core:tick", "log", 400, 200.0, 2.5),  # in whatever order
        Handler("core:tick", "move", 400, 460.0, 7.0, "physics"),
    ]
    report = monitor.generate_report()
    tick, chat = report.events.by_event["core:tick"], report.events.by_event["client:chat.say"]
    assert (tick.count, tick.per_s, tick.max_ms) == (400, 60.0, 7.0)
    assert tick.latency_ms == pytest.approx(450 / 300 + 150 / 300)
    assert (chat.latency_ms, chat.errors, chat.dropped) == (0.0, 3, 2)  # waiting is no work
    assert (report.events.per_s, report.events.slowest) == (62.0, "core:tick")
    assert report.plugins["physics"].ms_per_s == pytest.approx(90.0)
    assert (report.plugins["chat"].failures, report.plugins["chat"].calls) == (3, 60)
    assert "" not in report.plugins
    assert [alert.name for alert in monitor.should_alert(report)] == ["event_latency"]
    assert str(monitor.should_alert(report)[0]) == "event core:tick takes 2.000 ms, not less than 1"
    calm = hz.HorizonMonitor(events, clock=clock, thresholds=hz.Thresholds(critical=("client:*",)))
    assert calm.should_alert() == []


def test_plugins_that_tell_of_themselves():
    @dataclass(frozen=True)
    class Plugin:
        state: str
        failures: int = 0
        last_failure: str = ""
        ms_a_tick: float = 0.0

    class Plugins:
        def stats(self):
            return {"chat": Plugin("off", 9, "say: KeyError: 'x'", 0.5), "calm": Plugin("on"), "shy": Plugin("failed")}

    events = Events(
        {"a": Event(1)}, [Handler("a", "say", 4, 8.0, 3.0, "chat", errors=2), Handler("a", "f", 1, 1.0, 1.0, "other")]
    )
    monitor = hz.HorizonMonitor(events, plugins=Plugins())
    report = monitor.generate_report()
    assert list(report.plugins) == ["calm", "chat", "other", "shy"]
    chat = report.plugins["chat"]
    assert (chat.state, chat.failures, chat.calls, chat.total_ms, chat.max_ms, chat.ms_a_tick) == (
        "off",
        9,
        4,
        8.0,
        3.0,
        0.5,
    )
    assert report.plugins["other"].state == "on"
    said = [str(alert) for alert in monitor.should_alert(report) if alert.name == "plugin"]
    assert said == ["plugin chat is off: say: KeyError: 'x'", "plugin shy is failed"]
    assert "plugin       chat is off: 0.00 ms/s, max 3.00; 9 failures, the last in say: KeyError" in str(report)
    with pytest.raises(ArgumentError, match="plugins must be Plugins, not 3"):
        hz.HorizonMonitor(plugins=3)


def test_what_another_thread_adds_meanwhile_is_read_again():
    class Restless(Events):
        n = 0

        def stats(self):
            self.n += 1
            if self.n in (1, 2):
                raise RuntimeError("dictionary changed size during iteration")
            return {"a": Event(5)}

    assert hz.HorizonMonitor(Restless()).generate_report().events.count == 5


def test_what_a_server_counted():
    clock = Clock()
    source = Source(
        tick_rate=50.0, n_ticks=100, totals={"bytes": 1_000, "updates": 10, "n_frames": 5, "messages": 0}, observers=4
    )
    monitor = hz.HorizonMonitor(None, source, clock=clock)
    clock.now += 10
    source.said |= {
        "tick": 600, "n_ticks": 600, "n_missed": 7, "totals": {"bytes": 41_000, "updates": 5_010, "n_frames": 2_005, "messages": 30},
        "stages": {"world": 1_000.0}, "systems": {"move": Timing(runs=4, total_ms=2.0)},
        "tick_ms": [1.0] * 90 + [30.0] * 10, "late_ms": [2.0] * 90 + [40.0] * 10, "inputs": {"push": 20},
        "inputs_dropped": {"push": 3},
        "flow": Flow(active=8, limit=10, held=2, behind_ticks=[0, 9, 2], backlog_bytes=77, refusals={"1013": 1}),
    }  # fmt: skip
    report = monitor.generate_report()
    told, net, there = report.replication, report.network, report.connections
    assert (net.bytes_per_s, net.bytes_per_s_each, net.frames_per_s, net.messages_per_s) == (4_000, 1_000, 200, 3)
    assert (net.inputs_per_s, net.inputs_dropped, net.backlog_bytes) == (2, 3, 77)
    assert (told.tick_ms, told.tick_ms_p99, told.lag_ms, told.frame_ms) == (1.0, 30.0, 40.0, 20.0)
    assert (told.updates_per_s, told.n_missed, told.stages_ms, told.systems_ms) == (
        500,
        7,
        {"world": 2.0},
        {"move": 0.5},
    )
    assert (there.active, there.use, there.held_share, there.furthest_behind_ticks) == (8, 0.8, 0.25, 9)
    assert there.refusals == {"1013": 1}
    assert {alert.name for alert in monitor.should_alert(report)} == {"replication_lag", "held"}
    assert report.memory.resident_mb > 10
    assert report.to_dict()["replication"]["lag_ms"] == 40.0
    shown = str(report)
    for part in ("health       0% (", "lag 40.00 ms; 7 missed", "8 of 10, 2 held", "4,000 B/s"):
        assert part in shown


def healthy() -> hz.SystemReport:
    """A report of which nothing is to be said."""
    return hz.HorizonMonitor().generate_report()


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("event_latency", lambda use: {"events": EventReport(critical_ms=use * 1.0, slowest="a")}),
        ("memory", lambda use: {"memory": MemoryReport(use=use * 0.8)}),
        ("connections", lambda use: {"connections": ConnectionReport(use=use * 0.9)}),
        ("replication_lag", lambda use: {"replication": ReplicationReport(lag_ms=use * 1e3 / 60, frame_ms=1e3 / 60)}),
        ("held", lambda use: {"connections": ConnectionReport(held_share=use * 0.1)}),
    ],
)
def test_an_alert_comes_at_its_threshold_and_not_before(name, report):
    monitor = hz.HorizonMonitor()
    assert monitor.should_alert(replace(healthy(), **report(0.99))) == []
    alert = monitor.should_alert(replace(healthy(), **report(1.01)))[0]
    assert alert.name == name
    assert alert.value > alert.limit
    assert str(alert) == alert.text != ""


@pytest.mark.parametrize(
    ("use", "health"), [(0.0, 1.0), (0.5, 1.0), (0.75, 0.75), (1.0, 0.5), (1.25, 0.25), (1.5, 0.0), (9, 0.0)]
)
def test_health_is_the_least_score(use, health):
    source = Source(tick_rate=50.0, late_ms=[20.0 * use], flow=Flow(active=1, limit=1_000))
    report = hz.HorizonMonitor(None, source, thresholds=hz.Thresholds(memory=100.0)).generate_report()
    assert report.system_health == pytest.approx(health) == report.scores["replication_lag"]
    assert report.scores["connections"] == 1.0


def test_a_server_that_does_not_tick_has_no_health():
    assert hz.HorizonMonitor(None, Source(unwell="a tick failed")).generate_report().system_health == 0.0


def test_thresholds_are_configurable():
    source = Source(tick_rate=60.0, late_ms=[5.0], flow=Flow(active=3, limit=10))
    strict = hz.Thresholds(memory=1e-9, connections=0.3, replication_lag_ms=4.0)
    monitor = hz.HorizonMonitor(None, source, thresholds=strict)
    assert {alert.name for alert in monitor.should_alert()} == {"memory", "connections", "replication_lag"}
    monitor.thresholds = hz.Thresholds(memory=100.0)
    assert monitor.should_alert() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hz.Thresholds(memory=0), "memory must be a number above 0, not 0"),
        (lambda: hz.Thresholds(event_latency_ms=float("nan")), "event_latency_ms must be a number above 0"),
        (lambda: hz.Thresholds(replication_lag_ms="16"), "replication_lag_ms must be a number above 0"),
        (lambda: hz.Thresholds(critical="core:*"), "critical must be patterns"),
        (lambda: hz.HorizonMonitor(3), "event_system must be an EventSystem, not 3"),
        (lambda: hz.HorizonMonitor.with_gorc(None, 3), "gorc_system must be a GorcSystem or a Server, not 3"),
        (lambda: hz.HorizonMonitor(thresholds=0.5), "thresholds must be Thresholds"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


# -- of what really runs -----------------------------------------------------------------------------------------------


@hz.component
class Position:
    x: f4
    y: f4


@hz.event
class Push:
    x: f4


@hz.system
def move(pos: Write[Position]):
    pos.x = -pos.x  # what no straight line predicts


Ship = hz.Kind("Ship", Position, layers=[hz.Layer(0, 1e6, 60.0, [Position], 1 / 64)])


def test_a_gorc_system():
    clock, gorc = Clock(), hz.GorcSystem(kinds=[Ship], capacity=1_000)
    monitor = hz.HorizonMonitor.with_gorc(Events(), gorc, clock=clock)
    gorc.register_objects(Ship, np.arange(40.0).reshape(20, 2))  # looking hasn't fixed the kinds
    gorc.add_players(np.zeros((3, 2)))
    for _ in range(30):
        gorc.tick()
    clock.now += 2
    report = monitor.generate_report()
    assert (report.tick, report.replication.entities, report.replication.observers) == (30, 20, 3)
    assert report.replication.followed_pairs == 60
    assert report.network.frames_per_s * 2 == gorc.get_stats().frames_sent > 0
    assert report.network.bytes_per_s * 2 == gorc.get_stats().bytes_transmitted
    assert report.replication.lag_ms == report.replication.tick_ms_p99 > 0
    assert list(report.replication.stages_ms) == ["world", "quantise", "grid", "records", "frames"]
    assert 0 <= report.system_health <= 1


def test_a_server_and_its_status():
    async def work():
        world = hz.World(capacity=100, kinds=[Ship])
        world.add_system(move)
        world.spawn(Ship, 10, Position=(1, 2))
        async with (
            serving(world, ServerConfig(max_connections=1), events=[Push]) as server,
            hz.connect(server.ws_url) as client,
        ):
            for _ in range(3):
                await client.next_frame()
            server.monitor.event_system = Events(
                {"core:tick": Event(3)}, [Handler("core:tick", "f", 3, 1.0, plugin="chat")]
            )
            status = await ask(server.port, "/status")
            assert status.status == 200
            report = status.json()
            assert report["connections"]["active"] == report["connections"]["limit"] == 1
            assert report["replication"]["entities"] == 10
            assert report["replication"]["tick_ms"] > 0
            assert report["memory"]["limit_mb"] * MB > report["memory"]["resident_mb"]
            assert "connections" in [alert["name"] for alert in report["alerts"]]
            assert report["system_health"] <= report["scores"]["connections"] == pytest.approx(1.5 - 1 / 0.9)
            metrics = (await ask(server.port, "/metrics")).body.decode()
            assert 'horizon_events_total{event="core:tick"} 3.0' in metrics
            assert "events_processed_total 3.0" in metrics
            assert 'horizon_plugin_seconds_total{plugin="chat"} 0.001' in metrics
            assert 'horizon_health_score{of="connections"} 0.38' in metrics
            assert (await ask(server.port, "/status", host="game.example")).status == 403

    asyncio.run(asyncio.wait_for(work(), TIMEOUT_S))
