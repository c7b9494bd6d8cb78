"""A running server's metrics and endpoints, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

import horizon_ecs as hz
from horizon_ecs import Read, Write, f4
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError, ListenError
from horizon_ecs.monitor.families import FAMILIES
from horizon_ecs.net.endpoints import is_local
from horizon_ecs.net.wire import Close
from horizon_ecs.testing import serving
from tests.asking import ask

TIMEOUT_S = 30
TOKEN = "correct-horse-battery"


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Velocity:
    x: f4
    y: f4


@hz.event
class Push:
    x: f4


Ball = hz.Kind(
    "Ball",
    Position,
    Velocity,
    layers=[hz.Layer(0, 1e6, 60.0, [Position], 1 / 64), hz.Layer(3, 1e6, 2, [Velocity], 1 / 64)],
)
Rock = hz.Kind("Rock", Position, layers=[hz.Layer(0, 1e6, 60.0, [Position], 1 / 64)])


@hz.system
def move(pos: Write[Position], vel: Read[Velocity]):
    pos.x = (1.7 * pos.x + vel.x) % 50.0  # what no straight line predicts


def make_world(tick_rate: float = 120.0) -> hz.World:
    world = hz.World(capacity=1_000, tick_rate=tick_rate, kinds=[Ball, Rock], max_events=4)
    world.add_system(move)
    world.spawn(Ball, 30, Position=np.arange(60.0).reshape(30, 2), Velocity=(1.5, -0.5))
    world.spawn(Rock, 5, Position=(3, 4))
    return world


def run(work) -> None:
    asyncio.run(asyncio.wait_for(work, TIMEOUT_S))


def samples(text: str) -> dict[str, float]:
    """ "name{label=value}" to its value."""
    found = {}
    for family in read_text(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


async def scrape(server) -> dict[str, float]:
    return samples((await ask(server.port, "/metrics")).body.decode())


async def until(server, happened) -> None:
    while not happened():
        assert not await server.wait(0.005)


def test_a_running_server_tells_what_it_does():
    async def work():
        patient = ServerConfig(adaptive_rates=False, window_s=30.0, stall_timeout_s=30.0)
        async with serving(make_world(), patient, events=[Push]) as server, hz.connect(server.ws_url) as client:
            while client.replica is None or client.replica.n < 35:
                await client.next_frame()
            await client.send("push", x=1.0)
            await until(server, lambda: server.report()["inputs"] == 1)
            first = await scrape(server)
            for _ in range(20):
                await client.next_frame()
            then = await scrape(server)

            assert first["server_active_connections"] == first["horizon_observers"] == 1
            assert first["horizon_connections_limit"] == 1_000
            assert first["horizon_entities"] == 35
            assert first["horizon_kind_entities{kind=Ball}"] == 30
            assert first["horizon_channel_entities{channel=0}"] == 35
            assert first["horizon_channel_entities{channel=3}"] == 30
            assert first["horizon_channel_interval_seconds{channel=0}"] == pytest.approx(1 / 60)
            assert first["horizon_channel_interval_seconds{channel=3}"] == pytest.approx(0.5)
            assert first["horizon_followed_pairs"] == 35
            assert first["horizon_enters_total"] == 35
            assert first["horizon_inputs_total{event=push}"] == first["events_processed_total"] == 1
            assert first["horizon_tick_rate_hertz"] == 120
            assert first["memory_virtual_mb"] > first["memory_resident_mb"] > 10
            assert first["server_memory_usage_mb"] == pytest.approx(first["memory_resident_mb"], rel=0.5)
            assert first["horizon_memory_limit_mb"] > first["memory_resident_mb"]
            assert first[f"horizon_build_info{{version={hz.__version__}}}"] == 1
            for name in (
                "horizon_ticks_total", "horizon_frames_total", "horizon_updates_total", "horizon_frame_bytes_total",
                "horizon_system_runs_total{system=move}", "horizon_system_seconds_total{system=move}",
                "horizon_stage_seconds_total{stage=world}", "horizon_stage_seconds_total{stage=frames}",
                "horizon_tick_duration_seconds_sum", "horizon_tick_lateness_seconds_sum", "horizon_cpu_seconds_total",
            ):  # fmt: skip
                assert then[name] > first[name] >= 0, name

    run(work())


def test_every_tick_is_in_the_histograms_exactly_once():
    async def work():
        async with serving(make_world(1_000.0)) as server:
            for n in (3, 50, 55, 120):
                await until(server, lambda n=n: server.report()["ticks"] >= n)
                found = await scrape(server)
                for name in ("duration", "lateness"):
                    buckets = [v for k, v in found.items() if k.startswith(f"horizon_tick_{name}_seconds_bucket")]
                    assert buckets == sorted(buckets)
                    assert buckets[-1] == found[f"horizon_tick_{name}_seconds_count"]
                assert found["horizon_tick_duration_seconds_count"] >= n
            server._stage.ticker.stop()
            await server.wait(0)
            found, ticker = samples(server.metrics.export_prometheus()), server._stage.ticker
            assert found["horizon_tick_duration_seconds_count"] == found["horizon_ticks_total"] == ticker.n_ticks
            assert found["horizon_tick_duration_seconds_sum"] == pytest.approx(sum(ticker.tick_ms) / 1e3)
            assert found["horizon_tick_lateness_seconds_sum"] == pytest.approx(sum(ticker.late_ms) / 1e3)
            within = sum(ms <= 1.0 for ms in ticker.tick_ms)
            assert found["horizon_tick_duration_seconds_bucket{le=0.001}"] == within
            server.forget_times()
            found = samples(server.metrics.export_prometheus())
            assert found["horizon_tick_duration_seconds_count"] == found["horizon_ticks_total"] == 0

    run(work())


def test_every_refusal_is_counted_by_its_reason():
    async def work():
        config = ServerConfig(max_connections=1)
        async with serving(make_world(), config) as server, hz.connect(server.ws_url):
            with pytest.raises(hz.ConnectionClosed):
                await hz.connect(server.ws_url)
            found = await scrape(server)
            assert found["horizon_refusals_total{code=1013,reason=full}"] == 1
            assert found["horizon_connections_opened_total"] == 1

    run(work())


def test_events_that_find_no_room_are_counted():
    async def work():
        world = make_world()
        stalled, go = threading.Event(), threading.Event()

        def stall(server):
            stalled.set()
            go.wait(TIMEOUT_S)

        async with serving(world, events=[Push], after_tick=stall) as server:
            await until(server, stalled.is_set)
            go.set()
            async with hz.connect(server.ws_url) as client:
                go.clear()
                stalled.clear()
                await until(server, stalled.is_set)  # all of these wait for one tick, which has room for four
                for _ in range(7):
                    await client.send("push", x=1.0)
                await client.ping()
                go.set()
                await until(server, lambda: server.report()["inputs"] == 7)
                found = await scrape(server)
        assert found["horizon_inputs_total{event=push}"] == 7
        assert found["horizon_inputs_dropped_total{event=push}"] == 3

    run(work())


def test_what_the_application_sets_replaces_what_the_server_would_say():
    async def work():
        metrics = hz.MetricsCollector()
        async with serving(make_world(), metrics=metrics) as server:
            assert server.metrics is metrics
            metrics.increment_counter("events_processed_total", 42)
            metrics.set_gauge("server_active_connections", 7)
            metrics.set_gauge("goblins", 3)
            found = await scrape(server)
            assert found["events_processed_total"] == 42
            assert found["server_active_connections"] == 7
            assert found["goblins"] == 3
            assert found["horizon_entities"] == 35
            with pytest.raises(ArgumentError, match="give each server its own"):
                hz.Server(make_world(), metrics=metrics)
        with pytest.raises(ArgumentError, match="metrics must be a MetricsCollector"):
            hz.Server(make_world(), metrics={})

    run(work())


def test_a_scrape_is_answered_as_it_asks():
    async def work():
        async with serving(make_world()) as server:
            await until(server, lambda: server.report()["ticks"] > 2)
            plain = await ask(server.port, "/metrics")
            assert plain.status == 200
            assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert plain.headers["cache-control"] == "no-store"
            asked = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
            packed = await ask(server.port, "/metrics", asked)
            assert packed.headers["content-encoding"] == "gzip"
            text = gzip.decompress(packed.body).decode()
            families = {family.name: family for family in read_openmetrics(text)}
            assert families["horizon_ticks"].samples[0].value > 2
            assert families["horizon_tick_duration_seconds"].type == "histogram"
            few = await ask(server.port, "/metrics?name[]=horizon_entities&name%5B%5D=horizon_ticks_total")
            assert {family.name for family in read_text(few.body.decode())} <= {"horizon_entities", "horizon_ticks"}

    run(work())


def test_every_family_is_exported_and_described_once():
    server = hz.Server(make_world())
    families = list(read_text(server.metrics.export_prometheus()))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert {family.name.removesuffix("_total") for family in FAMILIES} <= set(names)
    assert all(
        family.documentation.endswith((".", "bytes")) for family in families if family.name.startswith("horizon")
    )


# -- who is told what --------------------------------------------------------------------------------------------------


def test_without_a_token_only_this_machine_is_told():
    async def work():
        async with serving(make_world()) as server:
            port = server.port
            for host in (f"localhost:{port}", "127.0.0.1", f"[::1]:{port}"):
                assert (await ask(port, "/metrics", host=host)).status == 200
            for host in ("game.example", f"game.example:{port}", "10.0.0.1", "127.0.0.1.example", "x"):
                refused = await ask(port, "/metrics", host=host)  # a browser that was misled, or a proxy
                assert (refused.status, b"metrics_token" in refused.body) == (403, True), host
            for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
                assert (await ask(port, "/metrics", {name: "1.2.3.4"})).status == 403

    run(work())


def test_with_a_token_everybody_must_say_it():
    async def work():
        async with serving(make_world(), ServerConfig(metrics_token=TOKEN)) as server:
            told = await ask(server.port, "/metrics", {"Authorization": f"Bearer {TOKEN}"}, host="game.example")
            assert told.status == 200
            for headers in (
                {},
                {"Authorization": TOKEN},
                {"Authorization": f"Bearer {TOKEN}x"},
                {"Authorization": "Bearer ü"},
            ):
                refused = await ask(server.port, "/metrics", headers)
                assert refused.status == 401
                assert refused.headers["www-authenticate"].startswith("Bearer")
            assert (await ask(server.port, "/ready", host="game.example")).status in (200, 503)

    run(work())


@pytest.mark.parametrize(
    ("peer", "host", "local"),
    [
        ("127.0.0.1", "localhost", True),
        ("127.8.9.1", "127.0.0.1:80", True),
        ("::1", "[::1]:8080", True),
        ("::ffff:127.0.0.1", "localhost:1", True),
        ("10.0.0.7", "localhost", False),
        ("::ffff:10.0.0.7", "localhost", False),
        ("", "localhost", False),
        ("127.0.0.1", "", False),
    ],
)
def test_who_is_on_this_machine(peer, host, local):
    from websockets.datastructures import Headers

    assert is_local(peer, Headers({"Host": host})) is local
    assert not is_local(peer, Headers())


def test_a_port_of_its_own_serves_nothing_else():
    async def work():
        async with serving(make_world(), ServerConfig(metrics_port=0)) as server:
            own = int(server.metrics_url.split(":")[2].partition("/")[0])
            assert own != server.port
            await until(server, lambda: server.report()["ticks"] > 0)
            for target in ("/metrics", "/health", "/ready"):
                assert (await ask(own, target)).status == 200
                assert (await ask(server.port, target)).status == 404
            assert (await ask(own, "/")).status == 404
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                       "Sec-WebSocket-Key": "x" * 22 + "=="}  # fmt: skip
            assert (await ask(own, "/ws", upgrade)).status == 404
        with pytest.raises(OSError, match="refused|Connect call failed"):
            await ask(own, "/health")

    run(work())


def test_a_port_that_is_taken_is_named_and_nothing_stays_open():
    async def work():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = hz.Server(make_world(), ServerConfig(port=0, metrics_port=port))
            with pytest.raises(ListenError, match=f"127.0.0.1 port {port} for metrics"):
                await server.start()
            with pytest.raises(ArgumentError, match="isn't listening"):
                _ = server.port
            assert not server.is_ticking

    run(work())


def test_metrics_can_be_switched_off():
    async def work():
        async with serving(make_world(), ServerConfig(metrics=False)) as server:
            for target in ("/metrics", "/health", "/ready"):
                assert (await ask(server.port, target)).status == 404
            assert (await ask(server.port, "/healthz")).status == 200
            for name in ("metrics", "metrics_url"):
                with pytest.raises(ArgumentError, match="its setting metrics is off"):
                    getattr(server, name)

    run(work())


def test_without_the_extra_a_server_does_all_else(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    async def work():
        async with serving(make_world()) as server, hz.connect(server.ws_url) as client:
            await client.next_frame()
            refused = await ask(server.port, "/metrics")
            assert (refused.status, b"horizon-ecs[metrics]" in refused.body) == (501, True)
            assert (await ask(server.port, "/health")).json() == {"status": "ok"}
            with pytest.raises(ArgumentError, match=r"horizon-ecs\[metrics\]"):
                _ = server.metrics

    run(work())


# -- health ------------------------------------------------------------------------------------------------------------


def test_health_and_readiness():
    async def work():
        async with serving(make_world(), ServerConfig(max_connections=1)) as server:
            await until(server, lambda: server.report()["ticks"] > 0)
            for target in ("/health", "/ready"):
                assert (await ask(server.port, target)).json() == {"status": "ok"}
            async with hz.connect(server.ws_url):
                full = await ask(server.port, "/ready")
                assert (full.status, full.json()["reason"]) == (503, "it is at capacity")
                assert (await ask(server.port, "/health")).status == 200
            server.request_stop()
            await server.wait()
            assert (await ask(server.port, "/ready")).json()["reason"] == "it stops"
            assert (await ask(server.port, "/health")).status == 200

    run(work())


def test_a_tick_that_never_ends_and_one_that_fails_are_unhealthy():
    async def work():
        world, go = make_world(), threading.Event()

        def fail(server):
            go.wait(TIMEOUT_S)
            raise LookupError("lost")

        server = hz.Server(world, ServerConfig(port=0), after_tick=fail)
        await server.start()
        try:
            while not server.report()["ticks"]:
                await asyncio.sleep(0)
            assert (await ask(server.port, "/health")).status == 200
            server._stage.ticker.pacer.due_s -= 11
            hung = await ask(server.port, "/health")
            assert (hung.status, hung.json()["reason"]) == (503, "a tick has been going on for 11 s")
            go.set()
            await server.wait()
            failed = await ask(server.port, "/health")
            assert (failed.status, failed.json()["reason"]) == (503, "a tick failed: LookupError")
            assert (await ask(server.port, "/ready")).status == 503
        finally:
            go.set()
            with pytest.raises(LookupError):
                await server.stop()

    run(work())


def test_the_guide_names_every_metric():
    page = (Path(__file__).parent.parent / "docs" / "guide" / "22-metrics.md").read_text()
    page = page.partition("\n## Every metric\n")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| `(\w+)(?:\{([\w,]+)\})?` \|", page, re.M))
    own = {
        ("horizon_build_info", "version"),
        ("horizon_tick_duration_seconds", ""),
        ("horizon_tick_lateness_seconds", ""),
    }
    assert rows == own | {(family.name, family.label) for family in FAMILIES}


def test_close_codes_have_names_in_the_metrics():
    assert {close.name.lower() for close in Close} >= {"full", "stalled", "too_many"}
