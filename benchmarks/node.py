"""JavaScript peers: a script in a process of node, asked line by line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


class Missing(Exception):
    """A peer can't be measured here; the message says what it lacks."""


def node_modules() -> Path:
    """Where packages are looked for: $HORIZON_NODE_MODULES, or a folder of ours in the user's cache."""
    chosen = os.environ.get("HORIZON_NODE_MODULES")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "horizon_ecs" / "peers"
    return Path(chosen) if chosen else cache / "node_modules"


def install(package: str) -> None:
    """Install a package by npm where `node_modules` says. Raises `Missing` where npm can't."""
    npm, folder = shutil.which("npm"), node_modules().parent
    if npm is None:
        raise Missing(f"npm is not installed, and {package} comes by it")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), package]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise Missing(f"npm could not install {package}: it ended with {done.returncode}")


class Node:
    """A running node; a request is answered by one line. Raises `Missing` where it or the package isn't there."""

    def __init__(self, script: Path, package: str) -> None:
        node = shutil.which("node")
        if node is None:
            raise Missing("node is not installed")
        if not (node_modules() / package).is_dir():
            raise Missing(f"{node_modules()} has no {package}: run with --install, or say --node-modules")
        self._script = script.name
        command = [node, str(script), str(node_modules().resolve())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, name: str, argument: Any = None) -> Any:
        """What the script answers."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([name, argument]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._script} ended with {self._process.wait()} when it was asked for {name!r}")
        return json.loads(line)

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
