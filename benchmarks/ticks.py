"""`python -m benchmarks.ticks`: whole ticks, small to large, even and crowded, each in a process of its own."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import document
from benchmarks.document import Table, number
from benchmarks.machine import machine, where
from horizon_ecs.progress import reporting

SCENARIOS: dict[str, tuple[str, ...]] = {
    "1,000 entities, 100 observers": ("--entities", "1000", "--observers", "100"),
    "10,000 entities, 1,000 observers": ("--entities", "10000", "--observers", "1000"),
    "100,000 entities, 10,000 observers": (),
    "the same, 2.5 times as dense": ("--density", "0.0025"),
    "the same, a third around a hot spot": ("--hot-spot", "1000"),
    "1,000,000 entities, 10,000 observers": ("--entities", "1000000"),
}
MARKERS = document.markers("python -m benchmarks.ticks")


class Failed(Exception):
    """A run ended with an error, or with values that are wrong; the message says which."""


def run(options: Sequence[str]) -> dict[str, Any]:
    """What `bench tick` says with such options, in a fresh process, so that memory is that of one scenario."""
    command = [sys.executable, "-m", "horizon_ecs", "bench", "tick", *options, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failed(f"bench tick {' '.join(options)}: it ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(rows: dict[str, dict[str, Any]]) -> Table:
    """A row a scenario."""
    head = ["", "followed pairs", "most by one", "median, ms", "99 %, ms", "ns a pair", "bytes an update",
            "replication, MiB", "lists a pair, bytes", "values checked"]  # fmt: skip
    keys = ("tick_ms_median", "tick_ms_p99", "ns_per_pair", "bytes_per_update", "replication_mib",
            "list_bytes_per_pair")  # fmt: skip
    cells = [
        [name, f"{r['followed_pairs']:,}", f"{r['followed_max']:,}", *(number(r[key]) for key in keys),
         f"{r['checked_values']:,}"]
        for name, r in rows.items()
    ]  # fmt: skip
    return head, cells


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 where a run failed or any value is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ticks", description=__doc__)
    parser.add_argument("--ticks", type=int, default=300, metavar="N", help="timed ticks of each; default 300")
    parser.add_argument("--threads", type=int, metavar="N", help="at most so many; by default one a core")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="write the table between the markers of a document: docs/benchmarks.md")  # fmt: skip
    given = parser.parse_args(arguments)
    common = ["--ticks", str(given.ticks), *(["--threads", str(given.threads)] if given.threads else [])]
    rows: dict[str, dict[str, Any]] = {}
    try:
        with reporting("ticks") as progress:
            for done, (name, options) in enumerate(SCENARIOS.items()):
                progress(done, len(SCENARIOS), name)
                rows[name] = run([*options, *common])
    except Failed as reason:
        print(reason, file=sys.stderr)
        return 1
    result = {**machine(), "scenarios": rows}
    threads = max(row["threads"] for row in rows.values())
    lines = [where(result), f"{given.ticks} ticks each after 60 untimed ones; at most {threads} threads."]
    if given.write:
        document.write(given.write, MARKERS, document.blocks(lines, [table(rows)]))
    if given.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        document.show(lines, [table(rows)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
