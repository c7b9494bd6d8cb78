"""bitECS: `bitecs.mjs` in a process of node, asked line by line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.case import Missing
from benchmarks.peers.inputs import WORKLOADS as KEYS
from benchmarks.peers.inputs import Inputs

NAME = "bitECS"
PACKAGE = "bitecs@0.4.0"

_SCRIPT = Path(__file__).with_name("bitecs.mjs")
_node: _Node | None = None


def node_modules() -> Path:
    """Where bitECS is looked for: $HORIZON_NODE_MODULES, or a folder of ours in the user's cache."""
    chosen = os.environ.get("HORIZON_NODE_MODULES")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "horizon_ecs" / "peers"
    return Path(chosen) if chosen else cache / "node_modules"


def install() -> None:
    """Install bitECS by npm into our folder of the user's cache. Raises `Missing` where npm can't."""
    npm, folder = shutil.which("npm"), node_modules().parent
    if npm is None:
        raise Missing("npm is not installed, and bitECS comes by it")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), PACKAGE]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise Missing(f"npm could not install {PACKAGE}: it ended with {done.returncode}")


class _Node:
    """A running node; a request is answered by one line."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None:
            raise Missing("node is not installed")
        if not (node_modules() / "bitecs").is_dir():
            raise Missing(f"{node_modules()} has no bitecs: run with --install, or say --node-modules")
        command = [node, str(_SCRIPT), str(node_modules().resolve())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._inputs: Inputs | None = None

    def ask(self, name: str, argument: Any = None) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([name, argument]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"bitecs.mjs ended with {self._process.wait()} when it was asked for {name!r}")
        return json.loads(line)

    def give(self, inputs: Inputs) -> None:
        """Hand the inputs over, once."""
        if inputs is not self._inputs:
            self.ask("inputs", inputs.plain())
            self._inputs = inputs

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def _running() -> _Node:
    global _node
    _node = _node or _Node()
    return _node


def stop() -> None:
    """End node, if it runs."""
    global _node
    if _node:
        _node.stop()
    _node = None


def version() -> str:
    found = _running().ask("version")
    return f"{found['version']}, node {found['node']}"


class _Remote:
    """A case in node's process."""

    def __init__(self, key: str, inputs: Inputs) -> None:
        self._node = _running()
        self._node.give(inputs)
        self._node.ask("prepare", key)

    def seconds(self, repeats: int) -> float:
        return float(self._node.ask("seconds", repeats))

    def checksum(self) -> float:
        return float(self._node.ask("checksum"))

    def close(self) -> None:
        self._node.ask("close")


def _workload(key: str) -> Callable[[Inputs], _Remote]:
    return lambda inputs: _Remote(key, inputs)


WORKLOADS = {workload.key: _workload(workload.key) for workload in KEYS if workload.key != "create_one"}
