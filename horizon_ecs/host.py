"""Hosting: a server for a while, with simulated clients if wanted, and a report at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from horizon_ecs.bots import Bots, Recorder
from horizon_ecs.net.server import Server

Announce = Callable[[Server], None]


def host(
    make_server: Callable[..., Server], *, n_clients: int = 0, seconds: float | None = None,
    announce: Announce = lambda server: None, ready: Callable[[], None] = lambda: None
) -> dict[str, Any]:  # fmt: skip
    """Serve until SIGINT, SIGTERM or the end of `seconds`, and report.

    Parameters
    ----------
    make_server : callable(after_tick=...) -> Server
    n_clients : int
        Simulated clients over real sockets, each of which checks every value that it decodes.
    seconds : float, optional
        Counted from when everybody has joined.
    announce : callable(server)
        Called when clients can connect.
    ready : callable()
        Called when the simulated clients have joined, at once where there are none.

    Returns
    -------
    dict : `Server.report()`, and what the clients counted: `checked_values`, `mismatches`, `first_mismatch`.

    Raises
    ------
    HorizonError
        The clients could not start, or a system raised.
    ListenError
        The address can't be listened on.
    """
    recorder = Recorder()
    server = make_server(after_tick=recorder.write if n_clients else None)
    try:
        return asyncio.run(_host(server, recorder, n_clients, seconds, announce, ready))
    finally:
        if not server.is_ticking:  # else a tick may still be writing
            recorder.close()


async def _host(
    server: Server, recorder: Recorder, n_clients: int, seconds: float | None, announce: Announce,
    ready: Callable[[], None]
) -> dict[str, Any]:  # fmt: skip
    server.handle_signals()
    record = recorder.open(server, n_clients) if n_clients else ""
    await server.start()
    try:
        announce(server)
        if n_clients:
            return await _with_bots(server, recorder, Bots(server.ws_url, n_clients, record), seconds, ready)
        ready()
        await server.wait(seconds)
        return {**server.report(), "checked_values": 0, "mismatches": 0, "first_mismatch": ""}
    finally:
        await server.stop()


async def _with_bots(
    server: Server, recorder: Recorder, bots: Bots, seconds: float | None, ready: Callable[[], None]
) -> dict[str, Any]:
    """Wait as long as asked while the bots play; they end before the server does, so that nothing is in flight."""
    said: dict[str, Any] = {}
    if await _first(bots.start(), server.wait()):
        server.forget_times()  # of the ticks in which everybody joined and machine code was loaded
        ready()
        await _first(bots.wait(), server.wait(seconds))
        report = server.report()
        recorder.end()
        said = await bots.finish()
        if not said.get("checked_values") and report["frames"]:
            said.setdefault("error", "they checked nothing")
    else:  # told to stop while they join
        report = server.report()
        recorder.end()
        bots.kill()
    report |= {
        "checked_values": said.get("checked_values", 0),
        "mismatches": said.get("mismatches", 0),
        "first_mismatch": said.get("first", ""),
    }
    return {**report, "error": said["error"]} if "error" in said else report


async def _first(work: Awaitable[Any], other: Awaitable[Any]) -> bool:
    """Wait for either and cancel what isn't done; whether it was the first one. Raises what that one raised."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(other)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    done = tasks[0].done()
    for task in tasks:
        if not task.done():
            task.cancel()
    if done:
        tasks[0].result()
    return done
