"""Notebooks: tables as HTML, and values as people read them."""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from horizon_ecs.fields import Field
from horizon_ecs.vectors import Vector

SHOWN = 20
"""Rows of a table whose length isn't known beforehand."""


def html_table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]], n_shown: int | None = None) -> str:
    """A table as HTML, its texts escaped; where there are more than `n_shown` rows, a row of dots stands for them."""
    listed = list(rows) if n_shown is None else list(itertools.islice(rows, n_shown + 1))
    if n_shown is not None and len(listed) > n_shown:
        listed[n_shown] = ["…"] * len(head)
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in row) + "</tr>" for row in listed)
    return f"<table><caption>{html.escape(title)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def shown(value: Any, of: Field) -> str:
    """A field's value: handles as everywhere in hexadecimal digits, numbers without more digits than they need."""
    if of.is_entity:
        return f"{value:#x}" if value else "0"
    if isinstance(value, float):
        return f"{value:g}"
    return f"({', '.join(f'{v:g}' for v in value)})" if isinstance(value, Vector) else str(value)
