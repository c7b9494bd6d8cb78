"""What runs JavaScript: Node, and Chromium without a window. Each measures recordings with decode.mjs."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.node import Missing

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = "benchmarks/javascript/decode.mjs"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
MEASURE = f"""async ([text, seconds]) => {{
    const {{ measure }} = await import("/{SCRIPT}");
    return measure(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), seconds);
}}"""

Measured = tuple[str, dict[str, dict[str, Any]]]
"""An engine's version, and by recording what decode.mjs says."""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """Serve files on loopback; modules aren't imported from a disk. Gives the address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def node(recordings: Mapping[str, bytes], seconds: float, chromium: str | None = None) -> Measured:
    """Measure under Node. Raises `Missing` where there is none."""
    program = shutil.which("node")
    if program is None:
        raise Missing("node is not installed")
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    results = {}
    for name, recording in recordings.items():
        command = [program, SCRIPT, str(seconds)]
        done = subprocess.run(command, input=recording, check=True, stdout=subprocess.PIPE, cwd=ROOT)
        results[name] = json.loads(done.stdout)
    return version.strip().lstrip("v"), results


def headless(recordings: Mapping[str, bytes], seconds: float, chromium: str | None = None) -> Measured:
    """Measure in Chromium, driven by playwright, with a new profile. Raises `Missing` where either isn't there."""
    program = chromium or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise Missing("Chromium is not installed; say --chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Missing("playwright is not installed: pip install playwright") from None
    with _serving(ROOT) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            page = browser.new_page()
            page.goto(f"{address}/{SCRIPT}")
            results = {
                name: page.evaluate(MEASURE, [base64.b64encode(recording).decode(), seconds])
                for name, recording in recordings.items()
            }
            return browser.version, results
        finally:
            browser.close()


ENGINES: dict[str, Callable[[Mapping[str, bytes], float, str | None], Measured]] = {
    "Node": node,
    "Chromium": headless,
}
