"""GorcSystem: Horizon's own calls, for people who come from there, over a world and its replicator.

Each call has a form for one and a form for arrays; the latter is what is quick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, component_type, is_component
from horizon_ecs.config import NetworkConfig, SpatialConfig
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.frames import Frames
from horizon_ecs.handles import Handles
from horizon_ecs.kinds import Kind
from horizon_ecs.neighbours import Near
from horizon_ecs.replication import Replicator
from horizon_ecs.world import World

_GONE, _WAITING = -1, -2  # instead of an observer's number


class GorcObject:
    """An object to be registered: components as instances, of a kind that its class names.

    `class Asteroid(hz.GorcObject, kind=Rock)`; then `Asteroid(Ore(iron=5))`. What isn't given takes its default; a
    class may take other arguments in an `__init__` of its own and hand components on.

    Parameters
    ----------
    *values : instances of the kind's components, or its tags

    Raises
    ------
    DefinitionError
        The class names no kind.
    ArgumentError
        A value isn't of the kind's components, or there are two of one.
    """

    kind: ClassVar[Kind]
    values: tuple[Any, ...] = ()

    def __init_subclass__(cls, kind: Kind | None = None) -> None:
        if kind is not None:
            if not isinstance(kind, Kind):
                raise DefinitionError(f"class {cls.__name__}: kind= takes a Kind, not {kind!r}")
            cls.kind = kind

    def __init__(self, *values: Any) -> None:
        kind = _kind_of(type(self))
        known = kind.components + kind.optional
        given = [v if isinstance(v, type) else type(v) for v in values]
        for value, c in zip(values, given, strict=True):
            if not is_component(c) or c not in known or given.count(c) > 1:
                raise ArgumentError(
                    f"{type(self).__name__} takes components of kind {kind.name!r}, each once "
                    f"({[c.__name__ for c in known]}), not {value!r}"
                )
        self.values = values

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.values))})"


def _kind_of(given: Any) -> Kind:
    """The kind of a class of objects, or the kind itself."""
    kind = getattr(given, "kind", None) if isinstance(given, type) and issubclass(given, GorcObject) else given
    if not isinstance(kind, Kind):
        raise DefinitionError(f"{given!r} has no kind: declare class Asteroid(hz.GorcObject, kind=Rock)")
    return kind


def _only(kind: Kind, channel: int) -> Kind:
    """A kind of the same components with one of its layers."""
    layers = [layer for layer in kind.layers if layer.channel == channel]
    if not layers:
        raise ArgumentError(
            f"kind {kind.name!r} has no layer of channel {channel!r}; it has {[layer.channel for layer in kind.layers]}"
        )
    defaults = [c if value is True else value for c, value in kind.defaults.items()]
    return Kind(
        f"{kind.name}@{channel}", *kind.components, optional=kind.optional, layers=layers, defaults=defaults
    )  # fmt: skip


@dataclass(frozen=True)
class GorcStats:
    """What a GorcSystem holds and has sent; prints itself.

    Attributes
    ----------
    tick : int
    total_objects, total_players, total_subscriptions : int
        Objects by kind in `objects`; a subscription is an object that a player follows.
    frames_sent, updates_sent, bytes_transmitted, enters, leaves, refused : int
        Over all ticks. Bytes are those of state frames.
    tick_ms : dict
        What the stages of the last tick took.
    """

    tick: int
    total_objects: int
    total_players: int
    total_subscriptions: int
    frames_sent: int
    updates_sent: int
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


class GorcSystem:
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
        As for the Replicator: hysteresis, max_observers, max_followed, n_threads.

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
        self._sent = dict.fromkeys(("n_frames", "updates", "bytes", "enters", "leaves", "refused"), 0)
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
            self.world.set(handles, self._position_of(kind), _point(position))

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

    # -- players -------------------------------------------------------------------------------------------------------

    def add_player(self, position: ArrayLike | None = None, *, entity: int = 0) -> int:
        """Let somebody look on; returns the player's number, which is never given out again.

        Parameters
        ----------
        position : float[2] or float[3], optional
            Where the player stands.
        entity : uint64 handle
            The object that the player stands at, instead.

        Raises
        ------
        ArgumentError, StaleHandleError, CapacityError
        """
        player = len(self._observer)
        observer = _WAITING
        if self._replicator is not None:
            observer = self._replicator.add_observer(entity, position)
        else:
            if entity:
                self.world.slots_of([entity])
            self._waiting[player] = entity, None if position is None else _point(position)
        self._observer = np.append(self._observer, observer)
        return player

    def add_players(self, positions: ArrayLike) -> NDArray[np.int64]:
        """int64[n]: the numbers of many players, who stand free at float[n, 2] or float[n, 3]."""
        return np.array([self.add_player(position) for position in np.asarray(positions)], np.int64)

    def remove_player(self, player: int) -> None:
        """Forget a player. Raises ArgumentError if there is no such."""
        self._check(np.array([player]))
        if self._observer[player] >= 0:
            self.replicator.remove_observer(int(self._observer[player]))
        self._waiting.pop(player, None)
        self._observer[player] = _GONE

    def update_player_position(self, players: ArrayLike, position: ArrayLike) -> None:
        """Let players stand elsewhere; one who stands at an object moves it.

        Parameters
        ----------
        players : one number, or int[n]
        position : float[2] or float[3], for all alike; or float[n, 2], float[n, 3]

        Raises
        ------
        ArgumentError
        """
        chosen, given = np.atleast_1d(np.asarray(players)), _point(position)
        self._check(chosen)
        if given.ndim == 2 and len(given) != len(chosen):
            raise ArgumentError(f"position has {len(given)} rows for {len(chosen)} players")
        places = np.broadcast_to(given, (len(chosen), given.shape[-1]))
        standing = self._stand(chosen, places)
        if (standing != 0).any():
            self.update_object_position(standing[standing != 0], places[standing != 0])

    def _stand(self, players: NDArray[Any], places: NDArray[np.float32]) -> NDArray[np.uint64]:
        """Let players stand at these places; returns the objects that they stand at instead, 0 for none."""
        if self._replicator is None:
            waiting = [self._waiting[int(player)][0] for player in players]
            self._waiting.update({int(p): (e, place) for p, e, place in zip(players, waiting, places, strict=True)})
            return np.array(waiting, np.uint64)
        table, observers = self._replicator, self._observer[players]
        standing: NDArray[np.uint64] = table.entity[observers]
        table.position[observers[standing == 0], : places.shape[1]] = places[standing == 0]
        return standing

    def observer_of(self, player: int) -> int:
        """The number that frames and the replicator's calls know a player by. Raises ArgumentError."""
        return int(self._observers(np.array([player]))[0])

    def get_subscriptions(self, player: int) -> NDArray[np.uint64]:
        """uint64[n]: the objects that a player followed at the last tick, those that have ended since left out."""
        observer = self.observer_of(player)
        slots = (self.replicator.followed(observer) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        # A slot may have been given out anew since.
        known = self.world.born[slots] <= self.replicator._table.evaluated_tick[observer]
        return self.world.handles_of(slots[known])

    def _observers(self, players: NDArray[Any]) -> NDArray[np.int64]:
        self._check(players)
        assert self.replicator  # those who wait get their numbers
        found: NDArray[np.int64] = self._observer[players]
        return found

    def _check(self, players: NDArray[Any]) -> None:
        """Raise ArgumentError unless all of these are players."""
        whole = players.dtype.kind in "iu" and players.ndim == 1
        if not whole or not ((players >= 0) & (players < len(self._observer))).all():
            raise ArgumentError(f"there is no such player: {players!r}")
        if (self._observer[players] == _GONE).any():
            raise ArgumentError(f"player {players[self._observer[players] == _GONE][0]} was removed")

    def _n_players(self) -> int:
        return int((self._observer != _GONE).sum())

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
        replicator = self.replicator
        self.world.tick()
        frames = replicator.step()
        for name in self._sent:
            self._sent[name] += getattr(replicator.stats, name)
        return frames

    def get_stats(self) -> GorcStats:
        """What there is, and what has been sent."""
        stats = self._replicator.stats if self._replicator else None
        sent = dict(self._sent)
        objects = {k.name: n for k in self.world.kinds if k.layers and (n := self._count(k))}
        return GorcStats(
            tick=self.world.tick_count, total_objects=sum(objects.values()), total_players=self._n_players(),
            total_subscriptions=stats.followed_pairs if stats else 0, frames_sent=sent.pop("n_frames"),
            updates_sent=sent.pop("updates"), bytes_transmitted=sent.pop("bytes"), objects=objects,
            tick_ms=dict(stats.ms) if stats else {}, **sent
        )  # fmt: skip

    def _count(self, kind: Kind) -> int:
        """How many objects are of this very kind."""
        pages = self.world.page_kind == self.world.kinds.index(kind)
        return int(self.world.page_live[pages].sum())

    # -- kinds ---------------------------------------------------------------------------------------------------------

    def _resolve(self, given: Any, channel: int | None) -> Kind:
        """The kind to register under."""
        kind = _kind_of(given)
        if not kind.layers:
            raise DefinitionError(f"kind {kind.name!r} has no layers: nobody would ever see it")
        if channel is None:
            return kind
        if (kind, channel) not in self._single:
            self._single[kind, channel] = _only(kind, channel)
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


def _point(position: ArrayLike) -> NDArray[np.float32]:
    """A position or several. Raises ArgumentError."""
    given = np.asarray(position)
    if given.dtype.kind not in "iuf" or given.ndim not in (1, 2) or given.shape[-1] not in (2, 3):
        raise ArgumentError(f"position must be two or three numbers, or a row of them each, not {position!r}")
    if not np.isfinite(given).all():
        raise ArgumentError(f"position must be finite, not {position!r}")
    return given.astype(np.float32)
