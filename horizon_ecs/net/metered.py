"""Metered connections: every frame counts, also those that are no message: pings, pongs, fragments."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from horizon_ecs.net.limits import Buckets


def metered(frames: Buckets, flooded: Callable[[ServerConnection], None]) -> type[ServerConnection]:
    """A class of connections that report those who send too many frames.

    Parameters
    ----------
    frames : Buckets
        A row for each connection while it lasts.
    flooded : callable(connection)
        Called for a frame too many, with which nothing more is done; it is to end the connection.
    """

    class Metered(ServerConnection):
        def connection_made(self, transport: Any) -> None:
            self._row = frames.enter(time.perf_counter())
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            frames.leave(self._row)

        def process_event(self, event: Any) -> None:
            if frames.take(self._row, 1, time.perf_counter()):
                super().process_event(event)
            elif not self.transport.is_closing():
                flooded(self)

    return Metered
