"""The results as tables, for the terminal and for the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BEGIN = "<!-- measured: begin (python -m benchmarks.peers --write) -->"
END = "<!-- measured: end -->"
OURS = "Horizon ECS"
RATIOS = ("bitECS", "esper")


def number(value: float) -> str:
    """Three digits, or whole where it is larger."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(ns: dict[str, float], name: str) -> str:
    return f"{number(ns[name] / ns[OURS])} ×" if {OURS, name} <= ns.keys() else "–"


def peer_rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
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


def limit_rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Titles and cells of the second table."""
    rows = []
    for row in result["limits"]:
        unit, held = row["unit"], "yes" if row["value"] <= row["limit"] else "NO"
        rows.append([row["title"], f"{row['value']:.3g} {unit}", f"{row['limit']:g} {unit}", held])
    return ["", "measured", "limit", "held"], rows


def conditions(result: dict[str, Any]) -> list[str]:
    """What was measured where: one line each."""
    lines = [
        f"{result['date']}, {result['cpu']}, {result['system']}; Numba {result['numba']}, NumPy {result['numpy']}.",
        f"{result['entities']:,} entities; the best of {result['rounds']} rounds in which the peers took turns.",
        "Versions: " + "; ".join(f"{name} {version}" for name, version in result["peers"].items()) + ".",
    ]
    return lines + [f"Not measured: {name} ({reason})." for name, reason in result["missing"].items()]


def markdown(result: dict[str, Any]) -> str:
    """Both tables, with the conditions above them."""
    blocks = ["  \n".join(conditions(result))]
    for head, rows in (peer_rows(result), limit_rows(result)):
        lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
        blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(blocks)


def write(path: Path, result: dict[str, Any]) -> None:
    """Put the tables between the markers of a document. Raises ValueError where it hasn't each once, in order."""
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{path} must contain once {BEGIN!r}, and after it {END!r}")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    path.write_text(f"{before}{BEGIN}\n\n{markdown(result)}\n\n{after}", encoding="utf-8")
