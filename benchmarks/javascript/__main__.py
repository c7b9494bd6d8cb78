"""`python -m benchmarks.javascript`: how fast the JavaScript client decodes and draws, under Node and in Chromium."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import document
from benchmarks.document import Table, number
from benchmarks.javascript.engines import ENGINES
from benchmarks.javascript.recorded import record
from benchmarks.machine import machine, where
from benchmarks.node import Missing
from horizon_ecs.progress import reporting

CROWDS = {"calm": 0.5, "restless": 20.0}  # turns a second
MARKERS = document.markers("python -m benchmarks.javascript")


def measured(
    recordings: Mapping[str, Path], seconds: float, chromium: str | None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What every engine says of every recording; and of those that aren't here, why."""
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for name, engine in ENGINES.items():
        try:
            version, results = engine(
                {crowd: path.read_bytes() for crowd, path in recordings.items()}, seconds, chromium
            )
        except Missing as reason:
            missing[name] = str(reason)
            continue
        rows += [{"engine": f"{name} {version}", "crowd": crowd, **result} for crowd, result in results.items()]
    return rows, missing


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each engine and crowd."""
    head = ["", "followed", "M updates/s", "bytes an update", "ms to take over a frame", "ms to draw"]
    cells = [
        [f"{r['engine']}, {r['crowd']}", f"{r['followed']:,}", number(r["updates_per_s"] / 1e6),
         number(r["bytes"] / r["updates"]), number(r["update_ms"]), number(r["sample_ms"])]
        for r in rows
    ]  # fmt: skip
    return head, cells


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 where an engine is missing that was to be written down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.javascript", description=__doc__)
    parser.add_argument("--entities", type=int, default=20_000, metavar="N", help="in the crowd; default 20000")
    parser.add_argument("--ticks", type=int, default=240, metavar="N", help="recorded, at 60 Hz; default 240")
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring each; default 3")
    parser.add_argument("--chromium", metavar="FILE", help="its program; by default the one on the path")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="write the table between the markers of a document: docs/benchmarks.md")  # fmt: skip
    given = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory, reporting("javascript") as progress:
        recordings = {crowd: Path(directory, f"{c}.msgpack") for c, crowd in enumerate(CROWDS)}
        for done, (crowd, turns_per_s) in enumerate(CROWDS.items()):
            progress(done, len(CROWDS) + 1, crowd)
            record(recordings[crowd], given.entities, given.ticks, turns_per_s)
        progress(len(CROWDS), len(CROWDS) + 1, "decoding")
        rows, missing = measured(recordings, given.seconds, given.chromium)
    for name, reason in missing.items():
        print(f"{name} isn't measured: {reason}", file=sys.stderr)
    result = {**machine(), "load": load, "rows": rows}
    lines = [where(result), f"{given.entities:,} walkers, {given.ticks} ticks; load {load:.1f} before it began."]
    if given.write and not missing:
        document.write(given.write, MARKERS, document.blocks(lines, [table(rows)]))
    if given.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        document.show(lines, [table(rows)])
    return 1 if given.write and missing else 0


if __name__ == "__main__":
    sys.exit(main())
