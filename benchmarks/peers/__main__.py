"""`python -m benchmarks.peers`: measure, and show, print or write what came out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks import document
from benchmarks.node import Missing
from benchmarks.peers import report, with_bitecs
from benchmarks.peers.inputs import KINDS
from benchmarks.peers.measure import PEERS, measure
from horizon_ecs.progress import reporting


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Horizon ECS beside bitECS, esper, snecs and tcod-ecs: the same workloads, each result checked, "
        "and the limits that Horizon ECS sets itself. A peer that isn't installed is left out and named; "
        "`pip install -e '.[peers]'` and --install get them all.",
    )
    names = [peer.NAME for peer in PEERS[1:]]
    parser.add_argument("--peers", nargs="+", metavar="NAME", choices=names, default=[],
                        help=f"measure these only, beside Horizon ECS: {', '.join(names)}")  # fmt: skip
    parser.add_argument("--entities", type=int, default=100_000, metavar="N", help="default 100,000")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of which the best counts; default 5")
    parser.add_argument("--node-modules", type=Path, metavar="FOLDER",
                        help="where bitecs is installed; default $HORIZON_NODE_MODULES or a folder in the user's cache",
                        )  # fmt: skip
    parser.add_argument("--install", action="store_true", help="install bitecs there first, by npm")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="write the tables between the markers of a document: docs/benchmarks.md")  # fmt: skip
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1 where a limit isn't held or a peer can't be installed."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.entities < KINDS:
        parser.error(f"--entities must be at least {KINDS}")
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    if given.node_modules:
        os.environ["HORIZON_NODE_MODULES"] = str(given.node_modules)
    try:
        if given.install:
            with_bitecs.install()
        with reporting("peers") as progress:
            result = measure(given.entities, given.rounds, given.peers, progress)
    except Missing as reason:
        print(reason, file=sys.stderr)
        return 1
    finally:
        with_bitecs.stop()
    if given.write:
        report.write(given.write, result)
    if given.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        document.show(report.conditions(result), [report.peer_rows(result), report.limit_rows(result)])
    return 0 if all(row["value"] <= row["limit"] for row in result["limits"]) else 1


if __name__ == "__main__":
    sys.exit(main())
