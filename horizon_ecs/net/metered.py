"""Metered connections: every frame counts, also those that are no message: pings, pongs, fragments."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from horizon_ecs.net.limits import TokenBucket

FRAMES_A_MESSAGE = 10  # allowed for each message that is


def metered(max_messages_per_s: float, flooded: Callable[[ServerConnection], None]) -> type[ServerConnection]:
    """A class of connections that report those who send too many frames.

    Parameters
    ----------
    max_messages_per_s : float
    flooded : callable(connection)
        Called for a frame too many, with which nothing more is done; it is to end the connection.
    """
    rate = FRAMES_A_MESSAGE * max_messages_per_s

    class Metered(ServerConnection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._frames = TokenBucket(rate, 2 * rate)

        def process_event(self, event: Any) -> None:
            if self._frames.take(time.perf_counter()):
                super().process_event(event)
            elif not self.transport.is_closing():
                flooded(self)

    return Metered
