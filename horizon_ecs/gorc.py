"""GorcSystem: Horizon's own calls, for people who come from there, over a world and its replicator.

Each call has a form for one and a form for arrays; the latter is what is quick.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, component_type
from horizon_ecs.config import NetworkConfig, SpatialConfig
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.frames import Frames
from horizon_ecs.gorc_events import GorcEvents
from horizon_ecs.gorc_objects import GorcObject, kind_of, only, point
from horizon_ecs.gorc_players import GorcPlayers
from horizon_ecs.handles import Handles
from horizon_ecs.kinds import Kind
from horizon_ecs.monitor.sample import Sample, sample
from horizon_ecs.monitor.totals import Totals
from horizon_ecs.monitor.window import WINDOW_S
from horizon_ecs.neighbours import Near
from horizon_ecs.replication import Replicator
from horizon_ecs.ticker import REMEMBERED
from horizon_ecs.world import World


@dataclass(frozen=True)
class GorcStats:
    """What a GorcSystem holds and has sent; prints itself.

    Attributes
    ----------
    tick : int
    total_objects, total_players, total_subscriptions : int
        Objects by kind in `objects`; a subscription is an object that a player follows.
    frames_sent, updates_sent, events_sent, bytes_transmitted, enters, leaves, refused : int
        Over all ticks. Events count once for each player who was told; bytes are those of state frames.
    tick_ms : dict
        What the stages of the last tick took.
    """

    tick: int
    total_objects: int
    total_players: int
    total_subscriptions: int
    frames_sent: int
    updates_sent: int
    events_sent: int
    bytes_transmitted: int
    enters: int
    leaves: int
    refused: int
    objects: dict[str, int] = field(default_factory=dict)
    tick_ms: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return asdict(self)

    def __str__(self) -> str:
        held = f"{self.total_objects:,} objects, {self.total_players:,} players, {self.total_subscriptions:,} pairs"
        sent = f"{self.frames_sent:,} frames, {self.updates_sent:,} updates, {self.bytes_transmitted:,} bytes sent"
        return f"Tick {self.tick}: {held}; {sent}; {sum(self.tick_ms.values()):.3f} ms"


class GorcSystem(GorcPlayers, GorcEvents):
    """Objects that players see by distance, with the calls of Horizon's `gorc_system`.

    Clients know what kinds there are, so those are fixed with the first `tick` (or the first look at `replicator`):
    name in `kinds` what comes later.

    Parameters
    ----------
    world : World, optional
        One to act on; otherwise one is made, of `capacity` and `tick_rate`.
    kinds : sequence of Kind or classes of GorcObject
        Besides those of objects registered before the first tick. (Kind, channel) is one on a single channel, as
        `register_object_on_channel` needs it.
    position : component class, optional
        Says where an object is; by default the one called `Position`.
    spatial, network : SpatialConfig, NetworkConfig, optional
    **settings
        As for the Replicator: `messages`, which `emit_gorc_instance` needs, `zones`, which `gorc_zone_enter` does,
        hysteresis, max_observers, max_followed, n_threads and so on.

    Raises
    ------
    DefinitionError, ArgumentError
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        kinds: Iterable[Any] = (),
        capacity: int = 65_536,
        tick_rate: float = 60.0,
        position: Component | None = None,
        spatial: SpatialConfig | None = None,
        network: NetworkConfig | None = None,
        **settings: Any,
    ) -> None:
        self.world = World(capacity=capacity, tick_rate=tick_rate) if world is None else world
        self._position = position if position is None else component_type(position)
        self._settings = settings
        self._replicator: Replicator | None = None
        self._spatial, self._network = spatial or SpatialConfig(), network or NetworkConfig()
        self._is_tuned = spatial is not None
        self._single: dict[tuple[Kind, int], Kind] = {}
        self._observer = np.zeros(0, np.int64)  # by player: its number, or why it has none
        self._waiting: dict[int, tuple[int, ArrayLike | None]] = {}
        self._totals = Totals()
        self._tick_ms: deque[float] = deque(maxlen=REMEMBERED)
        self._n_ticks = 0
        self._begin_events()
        for given in kinds:
            kind, channel = given if isinstance(given, tuple) else (given, None)
            self.world.register(self._resolve(kind, channel))

    def __repr__(self) -> str:
        return f"GorcSystem({len(self.world)} objects, {self._n_players()} players)"

    # -- objects -------------------------------------------------------------------------------------------------------

    def register_object(self, obj: GorcObject, position: ArrayLike) -> int:
        """Bring an object to life at a position; returns its handle. Raises ArgumentError, CapacityError."""
        return self._register(obj, None, position)

    def register_object_on_channel(self, obj: GorcObject, channel: int, position: ArrayLike) -> int:
        """The same, replicated on one channel of its kind only. Raises ArgumentError, CapacityError."""
        return self._register(obj, channel, position)

    def _register(self, obj: GorcObject, channel: int | None, position: ArrayLike) -> int:
        if not isinstance(obj, GorcObject):
            raise ArgumentError(f"an instance of a class of GorcObject can be registered, not {obj!r}")
        kind = self._resolve(type(obj), channel)
        where = self._position_of(kind)
        parts = [v for v in obj.values if type(v) is not where]
        return int(self.world.spawn(kind, 1, *parts, **{where.__name__: np.asarray(position)})[0])

    def register_objects(
        self, kind: Kind | type[GorcObject], positions: ArrayLike, *, channel: int | None = None, **values: Any
    ) -> NDArray[np.uint64]:
        """Bring many objects of a kind to life.

        Parameters
        ----------
        kind : Kind, or class of GorcObject
        positions : float[n, 2] or float[n, 3]
        channel : int, optional
            The only one that they are replicated on.
        **values
            By component's name, as for `World.spawn`.

        Returns
        -------
        uint64[n] : handles.

        Raises
        ------
        ArgumentError, CapacityError
        """
        resolved, places = self._resolve(kind, channel), np.asarray(positions)
        if places.ndim != 2:
            raise ArgumentError(f"positions must have a row an object, not the shape {places.shape}")
        values = {**values, self._position_of(resolved).__name__: places}
        return self.world.spawn(resolved, len(places), **values)

    def unregister_object(self, handles: Handles) -> None:
        """End one object or many. Raises StaleHandleError; then nothing was done."""
        self.world.despawn(handles)

    def update_object_position(self, handles: Handles, position: ArrayLike) -> None:
        """Move objects to where they are now.

        Parameters
        ----------
        handles : one handle, or uint64[n]
        position : float[2] or float[3], for all alike; or float[n, 2], float[n, 3]

        Raises
        ------
        StaleHandleError, ArgumentError
        """
        slots = self.world.slots_of(handles)
        if len(slots):
            kind = self.world.kinds[self.world.page_kind[slots[0] // PAGE]]
            self.world.set(handles, self._position_of(kind), point(position))

    def get_objects_in_range(self, position: ArrayLike, radius: float) -> NDArray[np.uint64]:
        """uint64[n]: the objects no further than a radius from a point, by slot. Raises ArgumentError."""
        return self.get_objects_in_ranges(np.asarray(position)[None], radius)[0]

    def get_objects_in_ranges(self, positions: ArrayLike, radius: float) -> Near:
        """The objects near each of many points, as `Query.near` has them. Raises ArgumentError.

        Parameters
        ----------
        positions : float[m, 2] or float[m, 3]
        radius : float
        """
        where = self._position_of(*(kind for kind in self.world.kinds if kind.layers))
        found = self.world.query(where).near(positions, radius, where)
        numbers = self.world.page_kind[(found.handles & np.uint64(0xFFFFFFFF)).astype(np.int64) // PAGE]
        mine = np.array([bool(kind.layers) for kind in self.world.kinds])[numbers]
        start = np.concatenate([np.zeros(1, np.int64), np.cumsum(mine)])[found.start]
        return Near(start, found.handles[mine])

    # -- settings ------------------------------------------------------------------------------------------------------

    def configure_spatial_partitioning(self, config: SpatialConfig) -> None:
        """Divide space otherwise from the next tick on; see SpatialConfig. Raises ArgumentError."""
        if not isinstance(config, SpatialConfig):
            raise ArgumentError(f"configure_spatial_partitioning takes a SpatialConfig, not {config!r}")
        self._spatial, self._is_tuned = config, True
        if self._replicator is not None:
            self._replicator.configure_spatial_partitioning(config)

    def configure_network(self, config: NetworkConfig) -> None:
        """Send otherwise from the next tick on; see NetworkConfig. Raises ArgumentError."""
        if not isinstance(config, NetworkConfig):
            raise ArgumentError(f"configure_network takes a NetworkConfig, not {config!r}")
        self._network = config
        if self._replicator is not None:
            self._replicator.configure_network(config)

    # -- ticks ---------------------------------------------------------------------------------------------------------

    @property
    def replicator(self) -> Replicator:
        """The Replicator beneath, which fixes the kinds when it is first asked for."""
        if self._replicator is None:
            made = Replicator(self.world, position=self._position, **self._settings)
            made.configure_network(self._network)
            if self._is_tuned:
                made.configure_spatial_partitioning(self._spatial)
            self._replicator = made
            for player, (entity, position) in self._waiting.items():
                there = entity if entity and self.world.alive([entity])[0] else 0
                self._observer[player] = made.add_observer(there, position)
            self._waiting.clear()
        return self._replicator

    def tick(self) -> Frames:
        """One step of the world, and a frame for every player who has something due.

        Raises
        ------
        SystemFailure, DefinitionError, ArgumentError
        """
        replicator, started = self.replicator, time.perf_counter()
        self.world.tick()
        self._call_handlers()
        frames = replicator.step()
        self._note_players()
        self._totals.add(replicator.stats)
        self._tick_ms.append(1e3 * (time.perf_counter() - started))
        self._n_ticks += 1
        return frames

    def get_stats(self) -> GorcStats:
        """What there is, and what has been sent."""
        stats = self._replicator.stats if self._replicator else None
        sent = self._totals.counts
        objects = {k.name: n for k in self.world.kinds if k.layers and (n := self._count(k))}
        return GorcStats(
            tick=self.world.tick_count, total_objects=sum(objects.values()), total_players=self._n_players(),
            total_subscriptions=stats.followed_pairs if stats else 0, frames_sent=sent["n_frames"],
            updates_sent=sent["updates"], events_sent=sent["messages"], bytes_transmitted=sent["bytes"],
            enters=sent["enters"], leaves=sent["leaves"], refused=sent["refused"], objects=objects,
            tick_ms=dict(stats.ms) if stats else {}
        )  # fmt: skip

    def sample(self) -> Sample:
        """What there is, and what was counted so far, for a HorizonMonitor; a tick is due when it is asked for."""
        if self._replicator is None:  # kinds may yet come
            return Sample(tick=self.world.tick_count, tick_rate=self.world.tick_rate, entities=len(self.world))
        recent = list(self._tick_ms)[-math.ceil(WINDOW_S * self.world.tick_rate) :]
        return sample(self.replicator, self._totals, (self._n_ticks, 0, recent, recent))

    def _count(self, kind: Kind) -> int:
        """How many objects are of this very kind."""
        pages = self.world.page_kind == self.world.kinds.index(kind)
        return int(self.world.page_live[pages].sum())

    # -- kinds ---------------------------------------------------------------------------------------------------------

    def _resolve(self, given: Any, channel: int | None) -> Kind:
        """The kind to register under."""
        kind = kind_of(given)
        if not kind.layers:
            raise DefinitionError(f"kind {kind.name!r} has no layers: nobody would ever see it")
        if channel is None:
            return kind
        if (kind, channel) not in self._single:
            self._single[kind, channel] = only(kind, channel)
        return self._single[kind, channel]

    def _position_of(self, *kinds: Kind) -> Component:
        """The component that says where objects of these kinds are. Raises DefinitionError."""
        found = {c for kind in kinds for c in kind.components if c is self._position or c.__name__ == "Position"}
        found = {self._position} & found if self._position else found
        if len(found) != 1:
            raise DefinitionError(
                f"{[kind.name for kind in kinds]} need one component that says where objects are, called Position or "
                "named in GorcSystem(position=...)"
            )
        return found.pop()
