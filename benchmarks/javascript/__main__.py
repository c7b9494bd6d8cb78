"""Measure the JavaScript client under Node and, where playwright is, in Chromium: `python -m benchmarks.javascript`."""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from benchmarks.javascript.recorded import record

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = "benchmarks/javascript/decode.mjs"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
CROWDS = {"calm": 0.5, "restless": 20.0}  # turns a second


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


Quiet.extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}


def under_node(recording: Path, seconds: float) -> dict[str, Any] | None:
    """What decode.mjs says under Node; None where there is none."""
    node = shutil.which("node")
    if node is None:
        return None
    done = subprocess.run(
        [node, SCRIPT, str(recording), str(seconds)], check=True, capture_output=True, text=True, cwd=ROOT
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def in_chromium(recordings: dict[str, Path], seconds: float) -> dict[str, Any]:
    """What it says in headless Chromium; nothing where playwright or Chromium is missing."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if chromium is None:
        return {}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(ROOT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/benchmarks/javascript/decode.mjs")
            return {
                name: page.evaluate(MEASURE, [list(path.read_bytes()), seconds]) for name, path in recordings.items()
            }
    finally:
        server.shutdown()


MEASURE = f"""async ([bytes, seconds]) => {{
    const {{ measure }} = await import("/{SCRIPT}");
    return measure(Uint8Array.from(bytes), seconds);
}}"""


def show(where: str, crowd: str, measured: dict[str, Any]) -> None:
    """A line of the report."""
    print(
        f"{where:9} {crowd:9} {measured['followed']:7,} followed  {measured['updates_per_s'] / 1e6:6.2f} M updates/s  "
        f"{measured['bytes'] / measured['updates']:.2f} B/update  drawing: {measured['update_ms']:.2f} ms for a frame "
        f"that brings everything, {measured['sample_ms']:.2f} ms to sample"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.javascript", description=__doc__)
    parser.add_argument("--entities", type=int, default=20_000)
    parser.add_argument("--ticks", type=int, default=240)
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        recordings = {name: Path(directory, f"{name}.msgpack") for name in CROWDS}
        for name, turns_per_s in CROWDS.items():
            record(recordings[name], given.entities, given.ticks, turns_per_s)
            if measured := under_node(recordings[name], given.seconds):
                show("Node", name, measured)
        for name, measured in in_chromium(recordings, given.seconds).items():
            show("Chromium", name, measured)


if __name__ == "__main__":
    main()
