"""The region that a server is for: whether its world ticks as it should, and what of it is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from horizon_ecs.config import RegionConfig, ServerConfig
from horizon_ecs.errors import ArgumentError
from horizon_ecs.replication import Replicator

if TYPE_CHECKING:
    from horizon_ecs.world import World

_SAME_RATE = 1e-6  # relative: 1000/16 ms is 62.5 Hz exactly, 1000/60 is not


def check_rate(world: World, config: ServerConfig) -> None:
    """Refuse a world that ticks otherwise than its server's configuration says. Raises ArgumentError."""
    wanted = config.tick_rate
    if wanted is not None and abs(world.tick_rate - wanted) > _SAME_RATE * wanted:
        raise ArgumentError(
            f"tick_interval_ms is {config.tick_interval_ms:g}, which is {wanted:g} Hz, but the world ticks at "
            f"{world.tick_rate:g} Hz; make it with World(tick_rate=config.tick_rate)"
        )


def count_outside(replicator: Replicator, region: RegionConfig) -> int:
    """How many replicated entities stand outside a region; for the tick's thread."""
    world = replicator.world
    names = {kind["position"] for kind in replicator.schema["kinds"]}
    slots = world.query(*(c for c in world.components if c.__name__ in names)).slots
    outside = np.zeros(len(slots), np.bool_)
    bounds = (region.min_x, region.max_x), (region.min_y, region.max_y), (region.min_z, region.max_z)
    for axis, (low, high) in zip((replicator._x, replicator._y, replicator._z), bounds, strict=True):
        outside |= (axis[slots] < low) | (axis[slots] > high)
    return int(outside.sum())
