"""The Replicator: once a tick, whole arrays in, one frame an observer out.

It quantises every replicated field into a history, sorts the entities into a grid, codes each entity's difference once
for all who follow it, and lets every observer that has something due collect what it follows. The work is done by the
kernels in `systems/`; this file owns their arrays and decides what is worth a second thread.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import kernel, serving
from horizon_ecs.budgets import Budgets
from horizon_ecs.columns import reserve
from horizon_ecs.components import Component, component_type, fields_of
from horizon_ecs.config import NetworkConfig, SpatialConfig
from horizon_ecs.crew import Crew
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.frames import Frames, ReplicationStats
from horizon_ecs.inspected import Inspected
from horizon_ecs.messages import compile_messages
from horizon_ecs.observers import Observers
from horizon_ecs.observing import Observing
from horizon_ecs.outbox import Outbox
from horizon_ecs.quantiser import Quantiser
from horizon_ecs.rates import Rates
from horizon_ecs.readings import Readings, find_reading
from horizon_ecs.records import Records
from horizon_ecs.schema import compile_tables, describe, unbound
from horizon_ecs.sharing import Streams
from horizon_ecs.spatial import Spatial
from horizon_ecs.subscriptions import Book, Subscriptions
from horizon_ecs.systems import quantise
from horizon_ecs.telling import Telling
from horizon_ecs.visibility import Sight
from horizon_ecs.workspace import Scratch

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap
    from horizon_ecs.recorder import FrameRecorder
    from horizon_ecs.world import World

_MODULES = (
    "delta", "extents", "grid", "letters", "lists", "messages", "observers", "quantise", "replicate", "rice", "rows",
    "sharing", "visibility",
)  # fmt: skip

MAX_SILENCE_TICKS = 255  # a frame's tick is one byte on from the last
PARTS_A_THREAD = 4  # so that a thread whose core is taken away for a while doesn't hold up the others
PARALLEL_MS = 1.0  # below this a stage is about as quick as handing half of it over
MAX_PHASES = 240  # more than this, and observers couldn't spread any more evenly


def position_component(kinds: Sequence[Any], position: Any) -> Component:
    """The component that interest is measured on: the one named, or the one that is called Position."""
    if position is None:
        named = {c for kind in kinds for c in kind.components if c.__name__ == "Position"}
        if len(named) != 1:
            raise DefinitionError(
                f"interest needs one component that says where entities are: found {len(named)} called 'Position' "
                "in the kinds with layers; name it with position="
            )
        position = named.pop()
    component = component_type(position)
    fields = fields_of(component)
    if not 2 <= len(fields) <= 3 or any(np.dtype(f.dtype) != np.float32 for f in fields):
        raise DefinitionError(
            f"position component {component.__name__} must have two or three f4 fields (x, y and maybe z)"
        )
    for kind in kinds:
        if component not in kind.components:
            raise DefinitionError(
                f"kind {kind.name!r} has layers, but not the component {component.__name__} that says where it is"
            )
    return component


class Replicator(Observing, Spatial, Inspected, Subscriptions, Telling, Budgets, Rates):
    """Replicates a world's entities to observers by interest.

    Parameters
    ----------
    world : World
        Its kinds with layers are replicated; from now on no further kind can be registered.
    position : component class, optional
        The component that says where an entity is (two or three f4 fields); by default the one called `Position`.
    hysteresis : float
        An observer follows from `radius` on and until `radius * (1 + hysteresis)`.
    max_observers, max_followed : int
        Limits: observers at a time, entities an observer follows.
    n_threads : int, optional
        At most so many threads; by default what `kernel.n_threads()` says. The bytes don't depend on it.
    everywhere : bool
        Take every radius for infinite, so that observers follow all there is, each entity on its fastest channel.
    visible_to : str, optional
        A field that says who sees an entity, such as "Team.mask" (u4 or u8), read in every step instead of what
        `set_visible_to` would say; entities of kinds without it are seen by all.
    rooms, profiles, radius_scales : str, optional
        Fields that are read in every step likewise, of kinds that have them, instead of what calls would say: the room
        an entity is in (u4, such as "Place.room"; observers who stand at it are in it too); the number of its profile
        (u1; 0 is "default", then in the order of `Kind.profiles`, and numbers beyond count as 0); its radius scale (f4;
        kept within 1/256 and 256, so let its default be 1).
    max_interest : int, optional
        About so many entities an observer should find at most, by default `max_followed`: where more are near, all
        radii shrink for it (see `reach_scale`), so that the nearest stay. Infinite ones don't.
    spatial : SpatialConfig, optional
        How space is divided; by default into cells that the radii ask for.
    dimensions : 2 or 3, optional
        Whether cells have layers in height; by default where that pays, by how far entities spread.
    messages : {event class: channel}, optional
        The events that followers of an entity are told of (`emit`), and on which channel. What systems emit of them
        (`hz.Emit`) is told as well, for the entity that is the sender.
    zones : bool
        Say after each step who began and ceased to follow whom: `zone_enter`, `zone_exit`.

    Raises
    ------
    DefinitionError
        No kind has layers, or one can't be replicated as declared.
    """

    def __init__(
        self,
        world: World,
        *,
        position: Any = None,
        hysteresis: float = 0.1,
        max_observers: int = 16_384,
        max_followed: int = 4_096,
        n_threads: int | None = None,
        everywhere: bool = False,
        visible_to: str | None = None,
        rooms: str | None = None,
        profiles: str | None = None,
        radius_scales: str | None = None,
        max_interest: int | None = None,
        spatial: SpatialConfig | None = None,
        dimensions: int | None = None,
        messages: Mapping[type, int] | None = None,
        zones: bool = False,
    ) -> None:
        kinds = [kind for kind in world.kinds if kind.layers]
        if not kinds:
            raise DefinitionError(
                "no kind of this world has layers: there is nothing to replicate; declare Kind(..., layers=[...]), and "
                "name kinds that have no entity yet when the world is made: World(kinds=[...])"
            )
        if not 0.0 <= hysteresis <= 10.0:
            raise ArgumentError(f"hysteresis must lie between 0 and 10, not {hysteresis!r}")
        for name, value, most in (("max_observers", max_observers, 2**20), ("max_followed", max_followed, 2**20)):
            if not 1 <= value <= most:
                raise ArgumentError(f"{name} must lie between 1 and {most}, not {value!r}")
        self.world = world
        self.hysteresis = hysteresis
        if max_interest is not None and not 1 <= max_interest <= max_followed:
            raise ArgumentError(
                f"max_interest must lie between 1 and max_followed, {max_followed}, not {max_interest!r}"
            )
        if spatial is not None and not isinstance(spatial, SpatialConfig):
            raise ArgumentError(f"spatial must be a SpatialConfig, not {spatial!r}")
        if dimensions not in (None, 2, 3):
            raise ArgumentError(f"dimensions must be 2 or 3, not {dimensions!r}")
        self.max_observers, self.max_followed = max_observers, max_followed
        self.max_interest = max_followed if max_interest is None else max_interest
        self.spatial, self._dimensions = spatial, dimensions
        component = position_component(kinds, position)
        self.schema = describe(
            kinds, component, tick_rate=world.tick_rate, n_slots=world.n_slots, max_followed=max_followed,
            messages=messages
        )  # fmt: skip
        if everywhere:
            unbound(self.schema)
        self.tables = compile_tables(self.schema)
        world.freeze_kinds("they are being replicated, and clients know the schema")
        self._kinds = kinds
        self._set_up(component, max(1, n_threads or kernel.n_threads()))
        self._spoken = {
            event: (told["id"], told["channel"])
            for event, told in zip(messages or {}, self.schema.get("messages", ()), strict=True)
        }
        self._outbox = Outbox(
            world, compile_messages(self.schema), kinds, n_threads=self._crew.n_threads, max_observers=max_observers,
            max_followed=max_followed, zones=zones
        )  # fmt: skip
        of_schema = [kind for kind in kinds for _ in kind.every_profile]
        self._readings = Readings(self, of_schema, rooms=rooms, profiles=profiles, radius_scales=radius_scales)
        if visible_to is not None:
            _, self._sight.column, self._sight.in_column = find_reading(world, of_schema, "visible_to", visible_to)
            self._sight.use()
        world.when_moved(self._follow)
        kernel.warm_up(*_MODULES)

    def __repr__(self) -> str:
        return f"Replicator({self.n_observers} observers, {self.stats.followed_pairs} pairs, tick {self.stats.tick})"

    def _set_up(self, component: Component, n_threads: int) -> None:
        """Lay out every array."""
        world, tables = self.world, self.tables
        n_kinds = len(tables.first_parameter)
        self._crew = Crew(n_threads)
        self._kind_number = self._number_kinds()
        radius_out = np.where(tables.radius > 0, tables.radius * (1.0 + self.hysteresis), -1.0)
        self._enter_sq = np.where(tables.radius > 0, tables.radius.astype(np.float32) ** 2, np.float32(-1)).astype(
            np.float32
        )
        self._leave_sq = np.where(radius_out > 0, radius_out.astype(np.float32) ** 2, np.float32(-1)).astype(np.float32)
        # A hair more than the radius, so that rounding never hides what the exact test would find.
        self._reach = np.maximum(radius_out * (1.0 + 1e-6) + 1e-6, 0.0)
        self._depth = tables.depth
        # Rows at equal offsets from a page fight for the same cache sets: stagger them by a line and a bit.
        self._stride = world.n_slots + 80
        self._history = reserve((max(1, len(tables.tracks)) * self._depth, self._stride), np.int32)
        self._changed = reserve((max(1, len(tables.tracks)), self._stride), np.uint32)
        self._records = Records(tables, len(world.page_kind), self._stride, n_threads)
        components = {c.__name__: c for kind in self._kinds for c in kind.components}
        self._quantiser = Quantiser(world, tables, components)
        names = [f.name for f in fields_of(component)]
        flat = np.zeros(world.n_slots, np.float32)
        axes = [world.column(component, name) for name in names] + [flat] * (3 - len(names))
        self._x, self._y, self._z = axes
        self._is_flat = len(names) < 3
        self._divide_space(self.spatial)
        self.network = NetworkConfig()
        # A look at an observer's reach every so often: after all its channels were due, but not too often.
        longest = tables.longest_period
        self._reach_period = longest * max(1, math.ceil(world.tick_rate / 4 / longest))
        n_phases = min(MAX_PHASES, math.lcm(*(int(p) for p in tables.periods[-1].ravel() if p > 0)))
        self._table = Observers(self.max_observers, self.max_followed, n_kinds, n_phases)
        self._scratch = Scratch(tables, n_threads, world.n_slots, self.max_followed)
        self._sight = Sight(world.n_slots, self.max_observers, tables.owner_only)
        self._book = Book(self.max_observers)
        self._streams = Streams(self._table)
        self._set_up_budgets(self._kinds)
        self._gone = np.zeros(world.n_slots // 8, np.uint8)
        self._pages_seen = 0
        self._page_kind = np.full(len(world.page_kind), -1, np.int16)
        self._max_silence = min(MAX_SILENCE_TICKS, max(1, round(world.tick_rate)))
        self._entry_bits = self._most_bits_an_entry()
        self._words = [np.zeros(0, np.uint64), np.zeros(0, np.uint64)]
        self._last_ms: dict[str, float] = {}
        self._last_tick: int | None = None
        self._when_stepped: list[Callable[[Frames], None]] = []
        self.stats = ReplicationStats()

    def configure_network(self, config: NetworkConfig) -> None:
        """Take other settings for what is sent from the next step on; see NetworkConfig for what each does.

        Raises ArgumentError for what is no NetworkConfig, or where `max_bandwidth_per_player` is less than
        `least_budget`.
        """
        if not isinstance(config, NetworkConfig):
            raise ArgumentError(f"configure_network takes a NetworkConfig, not {config!r}")
        self._set_default_budget(config.max_bandwidth_per_player)
        self._outbox.texts.deflate_from = config.compression_threshold if config.enable_compression else math.inf
        self.network = config

    def _follow(self, moved: SlotMap) -> None:
        """Observers keep standing at, and following, entities that were given other handles."""
        self._table.entity[:] = moved.translate(self._table.entity)
        self._sight.follow(moved, self.world)
        self._book.follow(moved)
        self._keep_extents(moved)

    def _number_kinds(self) -> NDArray[np.int16]:
        """From the world's number of a kind to that of its first profile in the schema, -1 for kinds without layers."""
        numbers = np.full(len(self.world.kinds) + 1, -1, np.int16)  # one more, so that a free page (-1) reads -1
        number = 0
        for kind in self._kinds:
            numbers[self.world.kinds.index(kind)] = number
            number += len(kind.every_profile)
        return numbers

    def _most_bits_an_entry(self) -> int:
        """An upper bound of what one entry adds to a frame, the frame's fixed parts spread over 64 entries."""
        structure = 8 + 32 + 63 + 8 + 2 * 21 + 8 + 5
        widest = int(self.tables.n_fields.sum(axis=1).max(initial=1)) * 2 * 38
        lists = 2 * int(self.tables.n_groups.max(initial=1)) * (21 + 1)
        n_blocks = len(self._records.loud)
        fixed = 512 + self.tables.n_parameters * 32 + n_blocks * 64
        return int(structure + widest + lists + fixed // 64)

    # -- the step ----------------------------------------------------------------------------------------------

    def step(self) -> Frames:
        """Replicate the world as it stands at `world.tick_count`; once after every tick.

        Raises
        ------
        ArgumentError
            The last step was not one tick ago: predictions would start from what was never quantised.
        """
        tick = self.world.tick_count
        if self._last_tick is not None and tick != self._last_tick + 1:
            raise ArgumentError(
                f"step() must follow every tick: the last was of tick {self._last_tick}, the world is at {tick}"
            )
        self.stats = ReplicationStats(tick=tick)
        if self._outbox.used:
            self._take_emitted()
            self._outbox.begin(tick, serving.longest_periods(self))
        pages = self._replicated_pages()
        self._sight.settle(self.world)
        self._sight.take_column(pages, self._page_kind, tick)
        self._readings.take(pages, tick)
        self._book.take_sources(self.world, self._table.n_used)
        self._timed("quantise", lambda n_parts: self._quantise(pages, tick, n_parts))
        # Each part of the grid has counts of its own to add up: no more of them than threads.
        self._timed("grid", lambda n_parts: self._build_grid(pages, tick, min(n_parts, self._crew.n_threads)))
        self._timed(
            "records",
            lambda n_parts: self._records.encode(
                pages,
                self._page_kind,
                self._extents,
                tick,
                self._history,
                self._changed,
                self.world,
                self._crew,
                n_parts,
            ),
        )
        if self._outbox.used:
            slot_kind = self._no_kinds if self._extents is None else self._extents.kind
            self._outbox.settle(tick, int(serving.longest_periods(self).max()), self._page_kind, slot_kind, self._sight)
        frames: list[Frames] = []
        self._timed("frames", lambda n_parts: frames.append(serving.serve(self, tick, n_parts)))
        self._last_tick = tick
        self._note(frames[0])
        for tell in tuple(self._when_stepped):
            tell(frames[0])
        return frames[0]

    def record(self, path: str | os.PathLike[str], **options: Any) -> FrameRecorder:
        """Record every step's frames into a new file until the recorder is closed: `with replicator.record(path):`.

        Parameters
        ----------
        path : path of the file
        **options
            As for `FrameRecorder`: `observers`, `reset_every_s`, `flush_every_s`, `about`, `name_of`.

        Raises
        ------
        ArgumentError, OSError
        """
        from horizon_ecs.recorder import FrameRecorder

        recorder = FrameRecorder(path, self, **options)
        recorder.attach(self._when_stepped)
        return recorder

    def _timed(self, stage: str, work: Callable[[int], None]) -> None:
        """Do one stage of the step, in more than one part where the last time showed that it pays."""
        threads = self._crew.n_threads if self._last_ms.get(stage, 0.0) > PARALLEL_MS else 1
        started = time.perf_counter_ns()
        work(threads * PARTS_A_THREAD if threads > 1 else 1)
        ms = (time.perf_counter_ns() - started) / 1e6
        self.stats.ms[stage] = ms
        # All threads' time, so that a stage doesn't fall back to one thread because two made it quick.
        self._last_ms[stage] = ms * threads

    def _replicated_pages(self) -> NDArray[np.uint32]:
        """Pages of replicated kinds that hold anything; their kinds by the schema's numbers."""
        world = self.world
        used = world.n_pages_used
        self._page_kind[:used] = self._kind_number[world.page_kind[:used]]
        return np.flatnonzero((self._page_kind[:used] >= 0) & (world.page_live[:used] > 0)).astype(np.uint32)

    def _quantise(self, pages: NDArray[np.uint32], tick: int, n_parts: int) -> None:
        n, now32, quantiser = self.world.n_slots, np.uint32(tick), self._quantiser
        of_kind = self._page_kind[pages]

        def work(number: int, thread: int) -> None:
            tracks, before, now = quantiser.run(number, pages, of_kind, tick, self._history, self._depth)
            for track, previous, out in zip(tracks, before, now, strict=True):
                if self._last_tick is None:
                    # Who was there before the first step is taken to have stood still until then.
                    used = self.world.n_pages_used * quantise.PAGE
                    self._history[track * self._depth : (track + 1) * self._depth, :used] = out[:used]
                elif track in self._records.stamped:
                    quantise.stamp_changes(pages, self.world.born, now32, previous, out, self._changed[track, :n])

        if n_parts > 1:
            self._crew.run(work, quantiser.n_works)
        else:
            for number in range(quantiser.n_works):
                work(number, 0)
        self.stats.non_finite, self.stats.clamped = quantiser.counts.tolist()
