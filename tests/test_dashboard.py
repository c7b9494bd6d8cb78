"""The dashboard and the alert rules ask only for what a running server exports."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as read_text

import horizon_ecs as hz
from horizon_ecs import Write, f4
from horizon_ecs.config import ServerConfig
from horizon_ecs.testing import serving
from tests.asking import ask

MONITORING = Path(__file__).resolve().parent.parent / "examples" / "monitoring"
OF_PROMETHEUS = {"up": {"instance", "job"}}
WORDS = {"by", "on", "without", "ignoring", "group_left", "group_right", "and", "or", "unless", "offset", "bool"}


@hz.component
class Position:
    x: f4
    y: f4


@hz.event
class Push:
    x: f4


@hz.system
def move(pos: Write[Position]):
    pos.x += 1


Ship = hz.Kind("Ship", Position, layers=[hz.Layer(0, 1e6, 60.0, [Position], 1 / 64)])


class Events:
    """An event system."""

    def stats(self):
        return {"core:tick": SimpleNamespace(count=1, errors=0, dropped=0)}

    def handler_stats(self):
        told = {"calls": 1, "errors": 0, "total_ms": 1.0, "max_ms": 1.0, "is_async": False}
        return [SimpleNamespace(event="core:tick", name="f", plugin="chat", **told)]


async def export() -> dict[str, set[str]]:
    """Every sample's name that a busy server exports, and its labels."""
    world = hz.World(capacity=100, kinds=[Ship], max_events=1)
    world.add_system(move)
    world.spawn(Ship, 10, Position=(1, 2))
    async with (
        serving(world, ServerConfig(max_connections=1), events=[Push]) as server,
        hz.connect(server.ws_url) as client,
    ):
        server.monitor.event_system = Events()
        with pytest.raises(hz.ConnectionClosed):
            await hz.connect(server.ws_url)
        while not server.sample().inputs_dropped:
            for _ in range(4):
                await client.send("push", x=1.0)
            await client.next_frame()
        text = (await ask(server.port, "/metrics")).body.decode()
    found: dict[str, set[str]] = {}
    for family in read_text(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    found = asyncio.run(asyncio.wait_for(export(), 30))
    return {name: labels | {"instance", "job"} for name, labels in found.items()} | OF_PROMETHEUS


def asked_for(expression: str) -> tuple[set[str], set[str]]:
    """The metrics that an expression of PromQL names, and the labels."""
    bare = re.sub(r"\[[^\]]*\]", "", re.sub(r'"[^"]*"', '""', expression))
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare))
    bare = re.sub(r"\{[^}]*\}", "", bare)
    for listed in re.findall(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)", bare):
        labels |= set(re.findall(r"\w+", listed))
    bare = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    names = set(re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)) - WORDS
    return names, labels


def check(expression: str, exported: dict[str, set[str]], shown: str = "") -> None:
    names, labels = asked_for(expression)
    assert names, expression
    assert names <= exported.keys(), (names - exported.keys(), expression)
    known = set().union(*(exported[name] for name in names))
    labels |= set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", shown))
    assert labels <= known, (labels - known, expression)


def test_what_an_expression_asks_for():
    asked = asked_for('sum by (le, a) (rate(x_bucket{b=~"$c", d!="e f"}[5m])) / on (g) group_left () 1e3 * y > 0.5')
    assert asked == ({"x_bucket", "y"}, {"le", "a", "b", "d", "g"})


def test_the_dashboard(exported):
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    targets = [target for panel in panels for target in panel["targets"]]
    assert len(targets) > 40
    for target in targets:
        check(target["expr"], exported, target["legendFormat"])
    asked = set().union(*(asked_for(target["expr"])[0] for target in targets))
    own = {name for name in exported if name.startswith("horizon") and not name.endswith(("_count", "_sum"))}
    assert len(own & asked) > 0.7 * len(own)  # what there is to see is shown
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) - {"__rate_interval"}
    assert used == variables
    taken = {(x, y) for panel in dashboard["panels"] for x, y in _cells(panel["gridPos"])}
    assert len(taken) == sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in dashboard["panels"])  # none on another


def _cells(at: dict[str, int]):
    return [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]


def test_the_alert_rules(exported):
    rules = [
        rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert re.search(r"[<>=]=?", rule["expr"]), rule["alert"]
        check(rule["expr"], exported, " ".join(rule["annotations"].values()))
    text = (MONITORING / "alerts.yml").read_text()
    defaults = hz.Thresholds()
    for threshold in (defaults.memory, defaults.connections, defaults.held, defaults.event_latency_ms / 1e3):
        assert re.search(rf"expr: .*>= {threshold:g}\b", text), threshold


def test_prometheus_is_led_to_the_endpoint():
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    job = config["scrape_configs"][0]
    assert (job["job_name"], job["metrics_path"], config["rule_files"]) == ("horizon", "/metrics", ["alerts.yml"])
    assert job["static_configs"][0]["targets"] == [f"127.0.0.1:{ServerConfig().port}"]
