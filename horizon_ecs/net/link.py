"""A link: a connection that comes back, one Client after the other, with growing pauses between them.

async for replica in hz.follow("ws://127.0.0.1:8080/ws"):
    print(replica.tick)
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from horizon_ecs.callbacks import Callbacks
from horizon_ecs.errors import ArgumentError, ConnectionClosed, WireError
from horizon_ecs.net.client import NO_CODE, Client, connect
from horizon_ecs.replica import Replica

STABLE_S = 5.0  # what stood so long isn't one more failure


class Backoff:
    """How long to wait before the next attempt. No I/O: time and chance are arguments.

    Parameters
    ----------
    first_s, max_s : float
        The first pause and the longest.
    growth : float
        By which each is longer than the one before.
    """

    def __init__(self, first_s: float = 0.5, max_s: float = 10.0, growth: float = 1.8) -> None:
        if not (0 < first_s <= max_s and growth >= 1):
            raise ArgumentError(f"first_s must be positive, max_s no less and growth at least 1, not {first_s!r}, "
                                f"{max_s!r}, {growth!r}")  # fmt: skip
        self._first_s, self._max_s, self._growth = first_s, max_s, growth
        self._pause_s = first_s

    def pause(self, stood_s: float, chance: float) -> float:
        """Seconds to wait after a connection that stood for `stood_s` seconds (0: none was made).

        `chance`, from 0 to 1, spreads clients out, so that a server that comes back isn't met by all at once.
        """
        if stood_s > STABLE_S:
            self._pause_s = self._first_s
        pause_s = self._pause_s
        self._pause_s = min(self._max_s, self._pause_s * self._growth)
        return pause_s * (0.75 + 0.5 * chance)


class follow:
    """Follow a server through reconnections: `async for replica in follow(url)` yields the replica after each frame.

    It ends when the server closes as agreed (1000) or `close` is called. Every connection has a replica of its own,
    which begins with a reset frame; callbacks tell only who has really come and gone meanwhile. Where the server keeps
    entities of players whose connections break, it comes back to its own.

    Parameters
    ----------
    url : str
    callbacks : Callbacks, optional
    backoff : Backoff, optional
    **options
        As for `connect`.

    Attributes
    ----------
    client : Client or None
        The connection that stands.
    reason : str
        Why the last one ended.
    n_connections : int
        How many were made.

    Raises
    ------
    ConnectionClosed
        The server refused for a reason that another attempt won't change (`may_retry` is False): another version or
        schema, or an event that it doesn't take.
    """

    def __init__(
        self, url: str, *, callbacks: Callbacks | None = None, backoff: Backoff | None = None, **options: Any
    ) -> None:
        self.client: Client | None = None
        self.reason = ""
        self.n_connections = 0
        self.callbacks = callbacks or Callbacks()
        self._backoff = backoff or Backoff()
        self._session = str(options.pop("session", ""))
        self._connect: Callable[[], connect] = lambda: connect(
            url, callbacks=self.callbacks, session=self._session, **options
        )
        self._closed = asyncio.Event()
        self._connect()  # so that a bad argument is refused at once

    def __repr__(self) -> str:
        return f"follow({self.client or self.reason or 'not connected'})"

    async def __aiter__(self) -> AsyncIterator[Replica]:
        while not self._closed.is_set():
            since = time.monotonic()
            stood_s = 0.0
            try:
                async with self._connect() as self.client:
                    self.n_connections += 1
                    self._session = self.client.session
                    since = time.monotonic()
                    while not self._closed.is_set():
                        yield await self.client.next_frame()
            except ConnectionClosed as closed:
                if closed.code == 1000 or self._closed.is_set():
                    return
                self.reason = str(closed)
                if not closed.may_retry:
                    raise
            except (OSError, TimeoutError, WireError) as error:
                self.reason = f"{ConnectionClosed(NO_CODE, '').explanation}: {error}"
            if self.client is not None:
                stood_s = time.monotonic() - since
            self.client = None
            await self._wait(self._backoff.pause(stood_s, random.random()))

    async def _wait(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._closed.wait(), pause_s)
        except TimeoutError:
            return

    async def close(self) -> None:
        """End it; whoever iterates is let go."""
        self._closed.set()
        if self.client is not None:
            await self.client.close()
