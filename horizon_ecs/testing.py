"""For tests of what is built on Horizon ECS: a server in the test's own event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from horizon_ecs.config import ServerConfig
from horizon_ecs.net.server import Server
from horizon_ecs.world import World


@asynccontextmanager
async def serving(world: World, config: ServerConfig | None = None, **options: Any) -> AsyncIterator[Server]:
    """Serve a world on loopback, on a port that the system picks, while the block lasts.

    Parameters
    ----------
    world : World
    config : ServerConfig, optional
        Its host and port are replaced.
    **options
        As for `Server`.
    """
    server = Server(world, (config or ServerConfig()).moved(host="127.0.0.1", port=0), **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
