"""`python -m benchmarks.compare BASE`: has this commit become slower, or its frames longer?

airspeed velocity runs the kernels' times and the bytes of both commits, in rounds that take turns, each commit
installed in turn in an environment of its own. One whose median is more than a tenth worse fails it; of times only
where the samples show that it is no chance.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FACTOR = 1.1
SUITE = r"^bench_(kernels|bytes)\."

_HERE = Path(__file__).parent
_RESULTS = _HERE.parent / ".asv" / "results"  # as asv.conf.json has it


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_HERE, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def commits(base: str, head: str) -> tuple[str, str]:
    """Two hashes; a commit against itself becomes one against its twin, for asv keeps results by hash."""
    found = [_git("rev-parse", "--verify", f"{name}^{{commit}}") for name in (base, head)]
    if found[0] == found[1]:
        who = ("-c", "user.name=twin", "-c", "user.email=twin@localhost")
        found[0] = _git(*who, "commit-tree", "-m", "The same again", "-p", found[1], f"{found[1]}^{{tree}}")
    return found[0], found[1]


def asv(*arguments: str) -> int:
    """Run asv beside its configuration."""
    return subprocess.run([sys.executable, "-m", "asv", *arguments], cwd=_HERE, check=False).returncode


def failed(commit: str, bench: str) -> list[str]:
    """What has no result on a commit though it was run; asv lets pass what fails on both."""
    found: dict[str, list[float | None] | None] = {}
    for path in sorted(_RESULTS.glob(f"*/{commit[:8]}-*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        column = kept["result_columns"].index("result")
        found |= {name: row[column] for name, row in kept["results"].items() if re.search(bench, name)}
    if not found:
        return ["all of them"]
    return [name for name, values in found.items() if values is None or None in values]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 where something has become worse, or doesn't run any more."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("base", metavar="BASE", help="the commit to compare with; HEAD itself tells how much is noise")
    parser.add_argument("--head", default="HEAD", metavar="COMMIT", help="the commit that is judged; default HEAD")
    parser.add_argument("--factor", type=float, default=FACTOR, metavar="F", help="what counts as worse; default 1.1")
    parser.add_argument("--bench", default=SUITE, metavar="REGEX", help=f"which benchmarks; default {SUITE}")
    given = parser.parse_args(arguments)
    if not given.factor > 1.0:
        parser.error("--factor must be more than 1")
    base, head = commits(given.base, given.head)
    code = asv("machine", "--yes") or asv(
        "continuous", "--interleave-rounds", "--show-stderr", "--split", "--no-only-changed",
        "--factor", str(given.factor), "--bench", given.bench, base, head,
    )  # fmt: skip
    lacking = [] if code else failed(head, given.bench)
    if lacking:
        print(f"No result on {given.head}: {', '.join(lacking)}", file=sys.stderr)
    return code or int(bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
