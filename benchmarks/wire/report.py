"""The results as tables."""

from __future__ import annotations

from typing import Any

from benchmarks import document
from benchmarks.document import Table, number
from benchmarks.machine import where
from benchmarks.wire import ours, plain, with_colyseus

MARKERS = document.markers("python -m benchmarks.wire")
FIEDLER = "Fiedler 2015, published"


def bytes_table(result: dict[str, Any]) -> Table:
    """Bytes an update, a row a format, a column a recording; and how many times ours that is."""
    recordings = result["recordings"]
    head = ["bytes an update", *(cell for r in recordings for cell in (r["name"], "by ours"))]
    rows = []
    for name in (ours.NAME, FIEDLER, with_colyseus.NAME, *plain.FORMATS):
        cells = []
        for r in recordings:
            found = {**r["bytes_per_update"], **({} if r["with_more"] else {FIEDLER: plain.FIEDLER_BYTES})}
            value, base = found.get(name), found[ours.NAME]
            cells += ["–", "–"] if value is None else [f"{value:.2f}", f"{value / base:.1f} ×"]
        rows.append([name, *cells])
    return head, rows


def clients_table(result: dict[str, Any]) -> Table:
    """A row a number of clients: what a tick takes, by client and entity, and bytes."""
    head = ["clients", "entities each sees", "ours, ms a tick", "Colyseus, ms", "ours, ns a client and entity",
            "Colyseus, ns", "Colyseus / ours", "ours, bytes an update", "Colyseus, bytes",
            "first message, bytes"]  # fmt: skip
    return head, [_clients_row(row) for row in result["clients"]]


def _clients_row(row: dict[str, Any]) -> list[str]:
    pairs = row["clients"] * row["followed"]
    mine, theirs = (row["ms"].get(name) for name in (ours.NAME, with_colyseus.NAME))
    first = row["first_bytes"]
    return [
        f"{row['clients']:,}", number(row["followed"]), number(mine), number(theirs) if theirs else "–",
        number(mine / pairs * 1e6), number(theirs / pairs * 1e6) if theirs else "–",
        f"{theirs / mine:.1f} ×" if theirs else "–", f"{row['bytes_per_update'][ours.NAME]:.2f}",
        f"{row['bytes_per_update'][with_colyseus.NAME]:.2f}" if theirs else "–",
        " / ".join(number(first[name]) for name in (ours.NAME, with_colyseus.NAME) if name in first),
    ]  # fmt: skip


def conditions(result: dict[str, Any]) -> list[str]:
    """What was measured where: one line each."""
    updates = "; ".join(f"{r['updates']:,} of {r['name']} at {r['rate']:g} Hz" for r in result["recordings"])
    lines = [
        where(result),
        f"Recordings, updates: {updates}.",
        f"Clients: medians of {result['ticks']} ticks, the first left out; the best of {result['rounds']} rounds.",
    ]
    if result["missing"]:
        return [*lines, f"Not measured: {with_colyseus.NAME} ({result['missing']})."]
    return [*lines, f"Colyseus: {result['colyseus']}."]


def tables(result: dict[str, Any]) -> list[Table]:
    """Those that there is anything for."""
    return [table(result) for key, table in (("recordings", bytes_table), ("clients", clients_table)) if result[key]]
