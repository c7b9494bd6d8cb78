"""MetricsCollector: Horizon's calls, and what Prometheus reads of them."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

import horizon_ecs as hz
from horizon_ecs.errors import ArgumentError, CapacityError


def samples(metrics: hz.MetricsCollector) -> dict[str, float]:
    """What is exported: "name{label=value}" to its value."""
    found = {}
    for family in read_text(metrics.export_prometheus()):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


@pytest.fixture
def metrics():
    return hz.MetricsCollector()


def test_gauges_and_counters(metrics):
    metrics.set_gauge("server_active_connections", 7.0)
    metrics.set_gauge("server_active_connections", 5.0)
    metrics.increment_counter("events_processed_total", 3)
    metrics.increment_counter("events_processed_total")
    metrics.increment_counter("boots", 2)
    metrics.record_server_metrics(active_connections=9, memory_mb=12.5)
    found = samples(metrics)
    assert found["server_active_connections"] == 9
    assert found["server_memory_usage_mb"] == 12.5
    assert found["events_processed_total"] == 4
    assert found["boots_total"] == 2
    assert found["process_cpu_seconds_total" if sys.platform == "linux" else "python_info"] > 0
    assert metrics.names == {
        "server_active_connections",
        "server_memory_usage_mb",
        "events_processed_total",
        "boots",
    }


def test_labels_tell_series_apart_in_any_order(metrics):
    metrics.increment_counter("hits_total", 1, {"zone": "a", "team": 1})
    metrics.increment_counter("hits_total", 1, {"team": 1, "zone": "a"})
    metrics.increment_counter("hits_total", 5, {"team": 2, "zone": "a"})
    found = samples(metrics)
    assert found["hits_total{team=1,zone=a}"] == 2
    assert found["hits_total{team=2,zone=a}"] == 5


@given(values=st.lists(st.floats(0, 20, allow_nan=False), max_size=40))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_histograms_are_cumulative(values):
    metrics = hz.MetricsCollector()
    bounds = [0.5, 1.0, 4.0]
    metrics.describe("wait", "How long they waited.", buckets=bounds)
    for value in values:
        metrics.record_histogram("wait", value)
    metrics.record_histogram("wait", 0.5)  # on a bound, which is in its bucket
    found, values = samples(metrics), [*values, 0.5]
    for bound in bounds:
        assert found[f"wait_bucket{{le={bound}}}"] == sum(value <= bound for value in values)
    assert found["wait_bucket{le=+Inf}"] == found["wait_count"] == len(values)
    assert found["wait_sum"] == pytest.approx(sum(values))
    assert "# HELP wait How long they waited.\n# TYPE wait histogram" in metrics.export_prometheus()


def test_durations_of_blocks_and_functions(metrics):
    with metrics.record_duration("block", labels={"of": "test"}):
        pass
    with pytest.raises(LookupError), metrics.record_duration("failing"):
        raise LookupError

    @metrics.record_duration("depth")
    def sink(n: int) -> int:
        return n and 1 + sink(n - 1)

    assert sink(3) == 3
    assert sink.__name__ == "sink"
    found = samples(metrics)
    assert found["block_count{of=test}"] == found["failing_count"] == 1
    assert found["depth_count"] == 4
    assert found["depth_sum"] > 0


def test_durations_of_what_is_awaited(metrics):
    async def work(gate: asyncio.Event) -> int:
        await gate.wait()
        return 42

    async def both() -> None:
        gate = asyncio.Event()
        timed = metrics.record_duration("decorated")(work)
        assert inspect.iscoroutinefunction(timed)
        first = asyncio.ensure_future(timed(gate))
        await asyncio.sleep(0)
        assert samples(metrics)["decorated_count"] == 0  # it isn't over
        gate.set()
        assert await first == 42
        assert await metrics.record_duration("given", work(gate)) == 42
        async with metrics.record_duration("block"):
            await asyncio.sleep(0)
        with pytest.raises(ArgumentError, match="nothing to wait for"):
            await metrics.record_duration("given")

    asyncio.run(both())
    found = samples(metrics)
    assert found["decorated_count"] == found["given_count"] == found["block_count"] == 1


def test_many_threads_lose_nothing(metrics):
    def count() -> None:
        for i in range(500):
            metrics.increment_counter("n_total", 1, {"i": i % 3})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(v for k, v in samples(metrics).items() if k.startswith("n_total{")) == 2_000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.set_gauge("two words", 1), "a metric's name must be like"),
        (lambda m: m.set_gauge(7, 1), "a metric's name must be like"),
        (lambda m: m.set_gauge("used_total", 1), "is a counter, not a gauge"),
        (lambda m: m.set_gauge("g", "much"), "g takes a number, not 'much'"),
        (lambda m: m.increment_counter("used_total", -1), "can only rise by a number from 0"),
        (lambda m: m.increment_counter("used_total", 1, {"a": 1}), r"has the labels \[\], not \['a'\]"),
        (lambda m: m.increment_counter("labelled_total"), r"has the labels \['a'\], not \[\]"),
        (lambda m: m.increment_counter("used"), "can't be exported beside the other metrics"),
        (lambda m: m.set_gauge("x", 1, {"__a": 1}), "labels of x must be like"),
        (lambda m: m.record_histogram("h", float("nan")), "takes finite values"),
        (lambda m: m.record_histogram("h", 1, {"le": 1}), "'le' is taken"),
        (lambda m: m.record_duration("h", 3), "takes something to await"),
        (lambda m: m.record_duration("h")(3), "times plain and async functions"),
        (lambda m: m.describe("used_total", "Late."), "is in use: describe it before"),
        (lambda m: m.describe("h", "Text.", buckets=[2, 1]), "ascending order"),
        (lambda m: m.describe("h", ""), "text must say what h means"),
        (lambda m: hz.MetricsCollector(max_series=0), "max_series must be a whole number from 1"),
    ],
)
def test_what_cannot_be_is_refused(metrics, call, message):
    metrics.increment_counter("used_total")
    metrics.increment_counter("labelled_total", 1, {"a": 1})
    before = metrics.export_prometheus().partition("# HELP used")[2]
    with pytest.raises(ArgumentError, match=message):
        call(metrics)
    assert metrics.export_prometheus().partition("# HELP used")[2].startswith(before)


def test_generators_are_not_timed(metrics):
    def count():
        yield 1

    with pytest.raises(ArgumentError, match="not <function"):
        metrics.record_duration("h")(count)


def test_labels_do_not_grow_without_end():
    metrics = hz.MetricsCollector(max_series=2)
    for player in range(2):
        metrics.set_gauge("health", 1, {"player": player})
    with pytest.raises(CapacityError, match="has 2 series, its limit: max_series"):
        metrics.set_gauge("health", 1, {"player": 2})
    metrics.set_gauge("health", 0, {"player": 1})
    assert samples(metrics)["health{player=1}"] == 0


def test_a_scrape_gets_the_format_that_it_asks_for(metrics):
    metrics.increment_counter("hits_total", 2)
    plain, headers = metrics.export()
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    body, headers = metrics.export("application/openmetrics-text; version=1.0.0,text/plain;q=0.5", "deflate, gzip;q=1")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert headers["Content-Encoding"] == "gzip"
    families = {family.name: family for family in read_openmetrics(gzip.decompress(body).decode())}
    assert families["hits"].samples[0].value == 2
    assert b"process_" in plain or sys.platform != "linux"
    only, _ = metrics.export(names=["hits_total"])
    assert [family.name for family in read_text(only.decode())] == ["hits"]


def test_a_registry_of_ones_own():
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    hz.MetricsCollector(registry).set_gauge("g", 3)
    assert registry.get_sample_value("g") == 3
    assert registry.get_sample_value("python_info") is None


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ArgumentError, match=r"pip install 'horizon-ecs\[metrics\]'"):
        hz.MetricsCollector()
