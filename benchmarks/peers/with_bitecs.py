"""bitECS: `bitecs.mjs` in a process of node, asked line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks import node
from benchmarks.node import Node
from benchmarks.peers.inputs import WORKLOADS as KEYS
from benchmarks.peers.inputs import Inputs

NAME = "bitECS"
PACKAGE = "bitecs@0.4.0"

_SCRIPT = Path(__file__).with_name("bitecs.mjs")
_node: _Node | None = None


def install() -> None:
    """Install bitECS by npm. Raises `Missing` where npm can't."""
    node.install(PACKAGE)


class _Node(Node):
    """The script, and the inputs it has."""

    def __init__(self) -> None:
        super().__init__(_SCRIPT, "bitecs")
        self._inputs: Inputs | None = None

    def give(self, inputs: Inputs) -> None:
        """Hand the inputs over, once."""
        if inputs is not self._inputs:
            self.ask("inputs", inputs.plain())
            self._inputs = inputs


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
