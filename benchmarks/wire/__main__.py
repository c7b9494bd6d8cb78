"""`python -m benchmarks.wire`: measure, and show, print or write what came out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import document
from benchmarks.node import Missing
from benchmarks.wire import measure, report, with_colyseus
from horizon_ecs.errors import ArgumentError
from horizon_ecs.progress import reporting

TRACKS = Path(__file__).parents[2] / "examples" / "tracks.csv"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.wire",
        description="Bytes an update of recorded motion: Horizon ECS beside JSON, msgpack, Colyseus' @colyseus/schema "
        "and a published bit-packing; and the time that Horizon ECS and Colyseus take to encode for many clients with "
        "a view each. Everything is decoded again and compared. Colyseus is left out and named where it isn't there.",
    )
    parser.add_argument("--tracks", type=Path, nargs="*", default=[TRACKS], metavar="FILE",
                        help="recordings, .npz or .csv; default examples/tracks.csv")  # fmt: skip
    parser.add_argument("--clients", type=int, nargs="*", default=[100, 300, 1_000, 1_500], metavar="N",
                        help="default 100 300 1000 1500")  # fmt: skip
    parser.add_argument("--ticks", type=int, default=measure.TICKS, metavar="N", help="of those; default 60")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of which the best counts; default 3")
    parser.add_argument("--node-modules", type=Path, metavar="FOLDER",
                        help="where @colyseus/schema is installed; default $HORIZON_NODE_MODULES or a folder in the "
                        "user's cache")  # fmt: skip
    parser.add_argument("--install", action="store_true", help="install it there first, by npm")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="write the tables between the markers of a document: docs/benchmarks.md")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 where something can't be read or installed."""
    parser = _parser()
    given = parser.parse_args(arguments)
    limits = (("clients", given.clients, 2), ("ticks", [given.ticks], 4), ("rounds", [given.rounds], 1))
    for name, values, least in limits:
        if min(values, default=least) < least:
            parser.error(f"--{name} must be at least {least}")
    if given.node_modules:
        os.environ["HORIZON_NODE_MODULES"] = str(given.node_modules)
    try:
        if given.install:
            with_colyseus.install()
        with reporting("wire") as progress:
            result = measure.measure(given.tracks, given.clients, given.ticks, given.rounds, progress)
    except (Missing, ArgumentError) as reason:
        print(reason, file=sys.stderr)
        return 1
    if given.write:
        document.write(given.write, report.MARKERS, document.blocks(report.conditions(result), report.tables(result)))
    if given.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        document.show(report.conditions(result), report.tables(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
