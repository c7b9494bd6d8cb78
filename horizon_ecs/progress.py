"""Progress of long work on standard error: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from horizon_ecs import kernel

_LINE_INTERVAL_S = 2.0  # at most one line in so long where there is no terminal


@contextmanager
def reporting(label: str) -> Iterator[kernel.Progress]:
    """A function (done, total, what) that shows how far something is, while the block lasts."""
    with _bar(label) if sys.stderr.isatty() else _lines(label) as report:
        yield report


@contextmanager
def _bar(label: str) -> Iterator[kernel.Progress]:
    # Imported where it is needed: it takes longer to import than all of ours.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn(label),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    # What others print must reach standard output as it is.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task("", total=None)

        def report(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, description=what)

        yield report


@contextmanager
def _lines(label: str) -> Iterator[kernel.Progress]:
    shown_at = time.monotonic()

    def report(done: int, total: int, what: str) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now - shown_at >= _LINE_INTERVAL_S:
            shown_at = now
            print(f"{label} {done}/{total} {what}", file=sys.stderr, flush=True)

    yield report
