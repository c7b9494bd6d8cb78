"""The results as tables, for the terminal and for the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import document
from benchmarks.document import Table, number
from benchmarks.machine import where

MARKERS = document.markers("python -m benchmarks.peers")
OURS = "Horizon ECS"
RATIOS = ("bitECS", "esper")


def _ratio(ns: dict[str, float], name: str) -> str:
    return f"{number(ns[name] / ns[OURS])} ×" if {OURS, name} <= ns.keys() else "–"


def peer_rows(result: dict[str, Any]) -> Table:
    """Titles and cells of the first table."""
    names = [*result["peers"], *result["missing"]]
    ratios = [name for name in RATIOS if name in result["peers"]]
    head = ["ns an operation", *names, *(f"{name} / ours" for name in ratios)]
    rows = []
    for row in result["workloads"]:
        ns = row["ns"]
        cells = [number(ns[name]) if name in ns else "–" for name in names]
        rows.append([row["title"], *cells, *(_ratio(ns, name) for name in ratios)])
    return head, rows


def limit_rows(result: dict[str, Any]) -> Table:
    """Titles and cells of the second table."""
    rows = []
    for row in result["limits"]:
        unit, held = row["unit"], "yes" if row["value"] <= row["limit"] else "NO"
        rows.append([row["title"], f"{row['value']:.3g} {unit}", f"{row['limit']:g} {unit}", held])
    return ["", "measured", "limit", "held"], rows


def conditions(result: dict[str, Any]) -> list[str]:
    """What was measured where: one line each."""
    lines = [
        where(result),
        f"{result['entities']:,} entities; the best of {result['rounds']} rounds in which the peers took turns.",
        "Versions: " + "; ".join(f"{name} {version}" for name, version in result["peers"].items()) + ".",
    ]
    return lines + [f"Not measured: {name} ({reason})." for name, reason in result["missing"].items()]


def markdown(result: dict[str, Any]) -> str:
    """Both tables, with the conditions above them."""
    return document.blocks(conditions(result), [peer_rows(result), limit_rows(result)])


def write(path: Path, result: dict[str, Any]) -> None:
    """Put the tables between the markers of a document. Raises ValueError where it hasn't each once, in order."""
    document.write(path, MARKERS, markdown(result))
