"""Measuring: every format over the same recordings, and Colyseus beside ours for many clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.node import Missing, Node
from benchmarks.wire import ours, plain, with_colyseus
from benchmarks.wire.motion import Motion, recorded, walkers
from horizon_ecs.tracks import load_tracks

RATE = 20.0  # patches a second, as Colyseus has it
RADIUS = 12.0  # metres
DENSITY = 0.11  # people a square metre: about 50 within the radius
TICKS = 60
WARM_TICKS = 15  # at first node has yet to compile what runs

Progress = Callable[[int, int, str], None]


def colyseus() -> tuple[Node | None, str]:
    """A process of it with its version, or None with what it lacks."""
    try:
        process = with_colyseus.start()
    except Missing as reason:
        return None, str(reason)
    return process, with_colyseus.version(process)


def sizes(motion: Motion, process: Node | None) -> dict[str, float]:
    """Bytes an update by format, of all ticks after the first."""
    sent = ours.send(motion)
    out = {ours.NAME: sent.n_bytes / sent.n_updates}
    if process:
        out[with_colyseus.NAME] = with_colyseus.send(process, motion, sent, 1).n_bytes / sent.n_updates
    out |= {name: plain.n_bytes(motion, name) / sent.n_updates for name in plain.FORMATS}
    return out


def clients(n: int, ticks: int, rounds: int, process: Node | None) -> dict[str, Any]:
    """Milliseconds a tick for so many clients, the best median of rounds in which both take turns, and bytes.

    One thread each, and every client sees who is near its own walker. Ours finds out who that is; Colyseus is told, and
    what being told takes isn't counted.
    """
    motion = walkers(n, ticks, RATE, DENSITY)
    ms: dict[str, float] = {}
    for _ in range(rounds):
        sent = ours.send(motion, RADIUS, n)
        row = {"clients": n, "followed": _followed(sent, n), "updates": sent.n_updates}
        counted = {ours.NAME: sent}
        took = {ours.NAME: sent.ms}
        if process:
            theirs = with_colyseus.send(process, motion, sent, n)
            counted[with_colyseus.NAME] = theirs
            took[with_colyseus.NAME] = theirs.ms["encode"]
        for name, series in took.items():
            ms[name] = min(ms.get(name, np.inf), float(np.median(series[min(WARM_TICKS, ticks // 2) :])))
    row["ms"] = ms
    row["bytes_per_update"] = {name: one.n_bytes / sent.n_updates for name, one in counted.items()}
    row["first_bytes"] = {name: one.first_bytes / n for name, one in counted.items()}
    return row


def _followed(sent: ours.Sent, n: int) -> float:
    """How many entities a client sees, on average, at the end."""
    return sum(len(e) - len(g) for e, g in zip(sent.entered, sent.left, strict=True)) / n


def measure(
    paths: Sequence[Path], numbers: Sequence[int], ticks: int, rounds: int, progress: Progress
) -> dict[str, Any]:
    """Everything, as plain data."""
    process, version = colyseus()
    total = 2 * len(paths) + len(numbers)
    recordings: list[dict[str, Any]] = []
    try:
        for path in paths:
            tracks = load_tracks(path)
            for more in (False, True):
                name = f"{path.stem}, yaw and health" if more else path.stem
                progress(len(recordings), total, name)
                motion = recorded(tracks, name, more)
                recordings.append({"name": name, "with_more": more, "updates": motion.n_updates, "rate": tracks.rate,
                                   "bytes_per_update": sizes(motion, process)})  # fmt: skip
        rows = []
        for number in numbers:
            progress(len(recordings) + len(rows), total, f"{number:,} clients")
            rows.append(clients(number, ticks, rounds, process))
    finally:
        if process:
            process.stop()
    progress(total, total, "done")
    return {**machine(), "ticks": ticks, "rounds": rounds, "colyseus": version if process else None,
            "missing": None if process else version, "recordings": recordings, "clients": rows}  # fmt: skip
