"""A server's report in a terminal, again and again: `horizon-ecs top`. It only reads."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import urlsplit

from horizon_ecs.errors import ArgumentError, HorizonError
from horizon_ecs.monitor.report import SystemReport

TIMEOUT_S = 5.0
MOST_ROWS = 8  # of systems, events and plugins: the dearest
MAX_BYTES = 2**24  # of an answer; one of a thousand events has a quarter of a megabyte
_WORDS = {
    HTTPStatus.UNAUTHORIZED: "it wants a token: give --token or set HORIZON_METRICS_TOKEN",
    HTTPStatus.FORBIDDEN: "without a metrics_token it tells only its own machine",
    HTTPStatus.NOT_FOUND: "nothing tells its status there: is it a Horizon server, and is this its metrics_port?",
}


def status_url(url: str) -> str:
    """Where the server at an address tells its status. Raises ArgumentError for what is no address of HTTP."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ArgumentError(f"expected a server's address, such as http://127.0.0.1:8080, not {url!r}")
    return f"{parts.scheme}://{parts.netloc}/status"


def fetch_status(url: str, token: str | None = None) -> dict[str, Any]:
    """A server's report and alerts, as plain data.

    Raises
    ------
    HorizonError
        It doesn't answer, or won't tell: the message says why.
    """
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            found = json.loads(answer.read(MAX_BYTES))
    except urllib.error.HTTPError as error:
        raise HorizonError(f"{url}: {_WORDS.get(HTTPStatus(error.code), str(error))}") from None
    except (OSError, ValueError) as error:
        raise HorizonError(f"{url}: {getattr(error, 'reason', error)}") from None
    if not isinstance(found, dict):
        raise HorizonError(f"{url}: this is no status of a server")
    return found


def watch(
    url: str, *, token: str | None, interval_s: float, count: int | None, as_json: bool, out: IO[str],
    sleep: Callable[[float], None] = time.sleep
) -> None:  # fmt: skip
    """Show a server's status until interrupted, or so many times: drawn anew in a terminal, else printed.

    Raises
    ------
    ArgumentError
        That is no address.
    HorizonError
        The server doesn't answer at the first time. Later that is shown, and asked again.
    """
    found = _ask(status_url(url), token, interval_s, count, sleep)
    if as_json:
        for one in found:
            print(json.dumps(one), file=out, flush=True)
    elif out.isatty():
        _draw(url, found)
    else:
        for one in found:
            print(text(one), file=out, end="\n\n", flush=True)


def _ask(
    url: str, token: str | None, interval_s: float, count: int | None, sleep: Callable[[float], None]
) -> Iterator[dict[str, Any]]:
    """One status after the other; {"lost": why} where there is none."""
    n = 0
    while count is None or n < count:
        if n:
            sleep(interval_s)
        try:
            yield fetch_status(url, token)
        except HorizonError as error:
            if n == 0:
                raise
            yield {"lost": str(error)}
        n += 1


def text(status: Mapping[str, Any]) -> str:
    """A status in lines."""
    if "lost" in status:
        return f"lost         {status['lost']}"
    lines = [str(SystemReport.from_dict(status))]
    return "\n".join([*lines, *(f"ALERT        {alert['text']}" for alert in status.get("alerts", []))])


# -- in a terminal -----------------------------------------------------------------------------------------------------


def _draw(url: str, found: Iterator[dict[str, Any]]) -> None:
    # Imported where it is needed: it takes longer to import than all of ours.
    from rich.live import Live

    with Live(auto_refresh=False, screen=False) as live:
        for status in found:
            live.update(view(url, status), refresh=True)


def view(url: str, status: Mapping[str, Any]) -> Any:
    """A status as `rich` draws it."""
    from rich.console import Group
    from rich.markup import escape
    from rich.panel import Panel
    from rich.text import Text

    if "lost" in status:
        return Panel(Text(status["lost"], style="red"), title=escape(url), border_style="red")
    report = SystemReport.from_dict(status)
    tables = [table for table in (_systems(report), _events(report), _plugins(report)) if table is not None]
    alerts = [Text(f"! {alert['text']}", style="bold red") for alert in status.get("alerts", [])]
    return Panel(
        Group(*_summary(report), *alerts, *tables), title=escape(url), border_style=_colour(report.system_health)
    )


def _colour(share: float) -> str:
    """Of 0 to 1, where 1 is well."""
    return "green" if share > 0.75 else "yellow" if share >= 0.5 else "red"


def _summary(report: SystemReport) -> list[Any]:
    """The report's own lines, with the health in colour."""
    from rich.text import Text

    first, *rest = str(report).splitlines()
    lines = [line for line in rest if not line.startswith("plugin ")]
    return [Text(first, style=_colour(report.system_health)), *map(Text, lines)]


def _systems(report: SystemReport) -> Any:
    told = report.replication
    rows = {**told.systems_ms, **{f"({name})": ms for name, ms in told.stages_ms.items()}}
    cells = [(name, f"{ms:.3f}", f"{ms / told.frame_ms:.1%}" if told.frame_ms else "") for name, ms in _dearest(rows)]
    return _table("system, (stage)", ("ms a run", "of a tick"), cells)


def _events(report: SystemReport) -> Any:
    by_event = report.events.by_event
    cells = [
        (name, f"{one.per_s:,.0f}", f"{one.latency_ms:.3f}", f"{one.max_ms:.1f}", f"{one.errors:,}", f"{one.dropped:,}")
        for name, one in sorted(by_event.items(), key=lambda item: -item[1].per_s)[:MOST_ROWS]
    ]
    return _table("event", ("a second", "ms", "max ms", "errors", "dropped"), cells)


def _plugins(report: SystemReport) -> Any:
    rows = {name: one.ms_per_s for name, one in report.plugins.items()}
    cells = [
        (
            name, report.plugins[name].state, f"{ms:.2f}", f"{report.plugins[name].max_ms:.1f}",
            f"{report.plugins[name].failures:,}"
        )
        for name, ms in _dearest(rows)
    ]  # fmt: skip
    return _table("plugin", ("", "ms a second", "max ms", "failures"), cells)


def _dearest(rows: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(rows.items(), key=lambda item: -item[1])[:MOST_ROWS]


def _table(first: str, others: tuple[str, ...], cells: Sequence[tuple[str, ...]]) -> Any:
    """None where it would be empty."""
    from rich.table import Table
    from rich.text import Text

    if not cells:
        return None
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(first, style="cyan", no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    for row in cells:
        table.add_row(*map(Text, row))  # names are the application's, and no markup
    return table
