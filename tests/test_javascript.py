"""The JavaScript client: its own tests under Node, msgpack against Python's, and a live stream against the Python client."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import demo
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import CLOSES
from horizon_ecs.oracle import Oracle
from horizon_ecs.record import capture
from horizon_ecs.testing import serving
from tests import pages

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "horizon_ecs" / "net" / "web"
MIN_NODE = 18
TIMEOUT_S = 120


def _run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end, within bounds; the caller looks at the exit code."""
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S, **options)


def _node() -> str:
    """Path of a Node that is new enough, or skip."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    version = _run(node, "--version").stdout
    if int(version.lstrip("v").split(".")[0]) < MIN_NODE:
        pytest.skip(f"node is {version.strip()}, at least {MIN_NODE} is needed")
    return node


def _plain(value: Any) -> Any:
    """What msgpack.test.mjs makes of a decoded value in JSON."""
    if isinstance(value, bytes):
        return {"bin": value.hex()}
    if isinstance(value, bool) or not isinstance(value, int | list | dict):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else {"int": str(value)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()}


VALUES: list[Any] = [
    None, True, False, 0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1, 2**53 + 1, 2**64 - 1,
    -1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63), 0.5, -1e300, "", "ä€𝄞", "x" * 31, "x" * 32, "x" * 256, "x" * 70_000,
    b"", b"abc", bytes(300), bytes(70_000), [], [1, [2, [3]]], [0] * 16, [None] * 70_000, {}, {f"key {i}": i for i in range(20)},
    {"type": "welcome", "schema": {"kinds": [{"name": "Ship", "channels": [None, {"period": 2}], "groups": []}]}, "entity": 5 << 32 | 7},
]  # fmt: skip


def test_under_node(tmp_path: Path) -> None:
    """Everything in tests/js, with vectors that Python's msgpack wrote."""
    vectors = tmp_path / "vectors.json"
    packed = [(msgpack.packb(value), value) for value in VALUES]
    packed.append((msgpack.packb(0.25, use_single_float=True), 0.25))
    vectors.write_text(json.dumps([{"packed": data.hex(), "json": _plain(value)} for data, value in packed]))
    tests = sorted(str(path) for path in (ROOT / "tests" / "js").glob("*.test.mjs"))
    environment = os.environ | {"MSGPACK_VECTORS": str(vectors)}
    run = _run(_node(), "--test", *tests, env=environment)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
    assert re.search(r"pass [1-9]", run.stdout)


def test_python_reads_what_javascript_writes() -> None:
    values = [*VALUES, math.inf, -math.inf, -0.0]
    lines = "\n".join(msgpack.packb(value).hex() for value in values)
    run = _run(_node(), str(ROOT / "tests/js/encode.mjs"), input=lines)
    assert run.returncode == 0, run.stderr
    back = [msgpack.unpackb(bytes.fromhex(line)) for line in run.stdout.split()]
    assert back == values
    assert math.copysign(1, back[-1]) == -1


def _follow_with_node(seconds: float) -> tuple[list[dict[str, Any]], list[Any], Any]:
    """What Node made of a live stream, line by line; every tick's record; and the server."""
    records = []

    def keep(server: Any) -> None:
        if server.players:
            records.append(capture(server.replicator, list(server.players)))

    async def work() -> tuple[bytes, Any]:
        world = demo.build(1_500)
        config = ServerConfig(host="127.0.0.1", port=0, max_followed=4_096)
        server = demo.make_server(world, config, after_tick=keep)
        await server.start()
        command = [_node(), str(ROOT / "tests/js/verify.mjs"), server.ws_url, str(seconds), "--steer"]
        node = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            out, _ = await asyncio.wait_for(node.communicate(), TIMEOUT_S)
        finally:
            await server.stop()
        assert node.returncode == 0, out[-2_000:]
        return out, server

    out, server = asyncio.run(work())
    return [json.loads(line) for line in out.splitlines()], records, server


def test_node_decodes_a_live_stream_as_the_oracle_says() -> None:
    """Every table that Node had after a frame, against brute force over the recorded world."""
    (welcome, *frames, summary), records, server = _follow_with_node(3.0)
    observer = welcome["welcome"]["observer"]
    oracle = Oracle(server.schema, hysteresis=server.replicator.hysteresis)
    oracle.add_observer(observer, phase=welcome["welcome"]["phase"])
    told = iter(frames)
    checked = 0
    for record in records:
        if observer not in oracle.advance(record):
            continue
        frame = next(told, None)
        if frame is None:
            break  # the connection was closing
        assert frame["tick"] == record.tick
        expected = oracle.expected(observer)
        assert sorted(map(int, frame["table"])) == expected.handle.tolist()
        for row, handle in enumerate(expected.handle.tolist()):
            mask, q = frame["table"][str(handle)]
            assert mask == expected.mask[row]
            for group in np.flatnonzero(expected.known[row]):
                n_fields = expected.n_fields[expected.kind[row], group]
                assert q[group] == expected.q[row, group, :n_fields].tolist(), (record.tick, handle, group)
                checked += n_fields
    assert checked > 100_000
    assert len(frames) > 40
    assert summary["summary"]["enters"] > 100
    assert summary["summary"]["leaves"] > 0


@hz.event(namespace="ship")
class Turn:
    x: hz.f4
    y: hz.f4


def test_node_and_a_server_s_handlers_talk() -> None:
    """Objects and records from JavaScript, and what is said to it, over a real socket."""
    heard: list[Any] = []

    async def work() -> dict[str, Any]:
        world = demo.build(50)
        async with serving(world, events=[Turn]) as server:
            events = server.events
            events.on_client("chat", "message", lambda event: heard.append(event.data))
            events.on_client("ship", Turn, lambda batch: heard.extend(batch.records.tolist()))
            events.on_client("chat", "message", lambda event: events.broadcast("chat", "message", event.data))
            events.on_client("chat", "leave", lambda event: events.emit_client(event.player, "chat", "bye", [1, 0.5]))
            said = [
                ["chat", "message", {"text": "Grüße", "n": [1, None]}],
                ["ship", "turn", {"x": 1, "y": -0.5}],
                ["chat", "leave", None],
            ]
            command = [_node(), str(ROOT / "tests/js/talk.mjs"), server.ws_url, json.dumps(said)]
            node = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            out, _ = await asyncio.wait_for(node.communicate(), TIMEOUT_S)
        result: dict[str, Any] = json.loads(out)
        return result

    told = asyncio.run(work())
    message = {"text": "Grüße", "n": [1, None]}
    assert told == {"heard": [["chat", "message", message], ["chat", "bye", [1, 0.5]]], "code": 1000, "reason": ""}
    assert message in heard
    assert (1.0, -0.5) in heard


def test_types() -> None:
    """The JSDoc types hold, where a TypeScript compiler is at hand."""
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip(
            "tsc is not installed (npx -p typescript tsc --checkJs --noEmit in horizon_ecs/net/web does the same)"
        )
    run = _run(compiler, "--checkJs", "--noEmit", "--skipDefaultLibCheck", cwd=WEB)
    assert run.returncode == 0, run.stdout


def test_nothing_is_fetched_from_elsewhere() -> None:
    """The page works without a network: no address in it but the name of a namespace."""
    for path in WEB.iterdir():
        if path.suffix in {".html", ".js", ".css"}:
            urls = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s'\"]*", path.read_text()))
            assert urls <= {"http://www.w3.org/2000/svg"}, path.name


PACKAGE = json.loads((WEB / "package.json").read_text())
PAGE = {
    "page.js",
    "motion.js",
    "camera.js",
    "overlay.js",
    "panel.js",
    "points.js",
    "shares.js",
    "steering.js",
    "timeline.js",
}


def test_the_package_is_whole() -> None:
    """It lists every module that its entries import, and only those; it is of the same version and licence as ours."""
    listed = {name for name in PACKAGE["files"] if "*" not in name}
    wanted = {"horizon.js", "msgpack.js"}
    while missing := {m for name in wanted for m in re.findall(r'from "\./(.+?)"', (WEB / name).read_text())} - wanted:
        wanted |= missing
    assert wanted == listed
    assert {path.name for path in WEB.glob("*.js")} == listed | PAGE
    assert PACKAGE["type"] == "module"
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & PACKAGE.keys()
    assert PACKAGE["version"] == re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]  # type: ignore[index]
    assert (WEB / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in its node_modules, as npm packs and installs it."""
    npm, compiler = shutil.which("npm"), shutil.which("tsc")
    _node()
    if npm is None or compiler is None:
        pytest.skip("npm and tsc are needed to pack, and one isn't installed")
    folder = tmp_path_factory.mktemp("packed")
    source, target = folder / "source", folder / "node_modules" / "horizon-ecs"
    shutil.copytree(WEB, source)
    run = _run(npm, "pack", "--dry-run", "--json", cwd=source)
    assert run.returncode == 0, run.stderr
    (told,) = json.loads(run.stdout[run.stdout.index("[") :])
    for file in told["files"]:
        (target / file["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file["path"], target / file["path"])
    return folder


def test_what_npm_packs(packed: Path) -> None:
    names = {path.name for path in (packed / "node_modules" / "horizon-ecs").iterdir()}
    modules = {name for name in PACKAGE["files"] if "*" not in name}
    assert names == modules | {f"{name[:-3]}.d.ts" for name in modules} | {"package.json", "README.md", "LICENSE"}


def test_the_package_is_imported_by_its_name(packed: Path) -> None:
    program = "import * as hz from 'horizon-ecs'; import { decode } from 'horizon-ecs/msgpack'; console.log(hz.decode === decode)"
    run = _run(_node(), "--input-type=module", "-e", program, cwd=packed)
    assert run.stdout == "true\n", run.stderr


def test_the_packages_types(packed: Path) -> None:
    """A program in strict TypeScript compiles against them, and misuse in it doesn't."""
    shutil.copy(ROOT / "tests/js/consumer.ts", packed / "consumer.mts")
    flags = [
        "--noEmit",
        "--skipDefaultLibCheck",
        "--strict",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--lib",
        "es2022,dom",
    ]
    run = _run(str(shutil.which("tsc")), *flags, "consumer.mts", cwd=packed)
    assert run.returncode == 0, run.stdout


def test_the_readme_uses_what_there_is() -> None:
    """Its modules parse, and what they import is exported."""
    exported = set(
        re.findall(r"\w+", " ".join(re.findall(r"^export \{(.+?)\}", (WEB / "horizon.js").read_text(), re.M)))
    )
    readme = (WEB / "README.md").read_text()
    imported = {
        name for names in re.findall(r"import \{(.+?)\} from \"horizon-ecs\"", readme) for name in names.split(",")
    }
    assert {name.strip() for name in imported} <= exported
    named = re.findall(r"`(?:new )?(\w+)\(", readme)
    assert {name for name in named if name[0].isupper()} <= exported


def test_both_libraries_explain_closes_alike() -> None:
    program = "import { CLOSES } from './closes.js'; console.log(JSON.stringify(CLOSES))"
    run = _run(_node(), "--input-type=module", "-e", program, cwd=WEB)
    assert {int(code): tuple(meaning) for code, meaning in json.loads(run.stdout).items()} == CLOSES


GUIDE = ROOT / "docs" / "guide" / "13-clients.md"
BROWSER = f"""
import {{ Socket }} from {json.dumps((ROOT / "tests/js/socket.mjs").as_uri())};
globalThis.WebSocket = Socket;
globalThis.requestAnimationFrame = (draw) => setTimeout(draw, 16);
"""


def test_the_guides_program_does_what_its_page_says(tmp_path: Path) -> None:
    """Under Node, against the world that the page serves."""
    _node()
    [(program, shown)] = pages.programs(GUIDE, "js")
    world, *_ = pages.snippets(GUIDE)
    (tmp_path / "guide.py").write_text(world.code)
    made = runpy.run_path(str(tmp_path / "guide.py"))

    async def work() -> str:
        options = {"events": [made["Push"]], "messages": {made["Horn"]: 0}, "on_join": made["on_join"]}
        async with serving(made["make_world"](), **options) as server:
            code = program.replace('"horizon-ecs"', json.dumps((WEB / "horizon.js").as_uri()))
            code = code.replace("ws://127.0.0.1:8080/ws", server.ws_url)
            (tmp_path / "guide.mjs").write_text(BROWSER + code)
            command = [_node(), str(tmp_path / "guide.mjs")]
            node = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            out, _ = await asyncio.wait_for(node.communicate(), TIMEOUT_S)
            return out.decode()

    assert asyncio.run(work()) == shown
