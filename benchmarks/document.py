"""What commands write into the documentation: tables between markers, never by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Titles, and rows of cells."""


def number(value: float) -> str:
    """Three digits, or whole where it is larger."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(table: Table) -> str:
    """A table whose first column is text and whose others are numbers."""
    head, rows = table
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show(lines: Sequence[str], tables: Sequence[Table]) -> None:
    """Print conditions and tables in a terminal."""
    from rich.console import Console
    from rich.table import Table as Grid

    console = Console()
    for line in lines:
        console.print(line, highlight=False, markup=False)
    for head, rows in tables:
        grid = Grid(*head)
        for column in grid.columns[1:]:
            column.justify = "right"
        for row in rows:
            grid.add_row(*row)
        console.print(grid)


def blocks(lines: Sequence[str], tables: Sequence[Table]) -> str:
    """Conditions, a line each, and the tables below them."""
    return "\n\n".join(["  \n".join(lines), *(markdown(table) for table in tables)])


def markers(command: str) -> tuple[str, str]:
    """The comments between which a command (`python -m benchmarks.…`) writes."""
    return f"<!-- measured: begin ({command} --write) -->", f"<!-- measured: end ({command}) -->"


def write(path: Path, between: tuple[str, str], text: str) -> None:
    """Put a text between two markers of a document. Raises ValueError where it hasn't each once, in order."""
    begin, end = between
    old = path.read_text(encoding="utf-8")
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        raise ValueError(f"{path} must contain once {begin!r}, and after it {end!r}")
    before, after = old[: old.index(begin)], old[old.index(end) :]
    path.write_text(f"{before}{begin}\n\n{text}\n\n{after}", encoding="utf-8")
