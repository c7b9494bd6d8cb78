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
from numpy.typing import ArrayLike, NDArray

from horizon_ecs import kernel
from horizon_ecs.budgets import Budgets
from horizon_ecs.columns import reserve
from horizon_ecs.components import Component, component_type, fields_of
from horizon_ecs.config import NetworkConfig, SpatialConfig
from horizon_ecs.crew import Crew
from horizon_ecs.errors import ArgumentError, DefinitionError, HorizonError
from horizon_ecs.frames import Frames, ReplicationStats
from horizon_ecs.inspected import Inspected
from horizon_ecs.messages import compile_messages
from horizon_ecs.observers import HELD, LIVE, Observers
from horizon_ecs.outbox import Outbox
from horizon_ecs.quantiser import Quantiser
from horizon_ecs.rates import Rates
from horizon_ecs.records import Records
from horizon_ecs.schema import compile_tables, describe, unbound
from horizon_ecs.sharing import Spans, Streams
from horizon_ecs.spatial import Spatial
from horizon_ecs.subscriptions import Book, Subscriptions
from horizon_ecs.systems import budget, observers, quantise, replicate, sharing
from horizon_ecs.telling import Telling
from horizon_ecs.visibility import Sight, masks_in
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


class Replicator(Spatial, Inspected, Subscriptions, Telling, Budgets, Rates):
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
        if visible_to is not None:
            self._sight.column, self._sight.in_column = masks_in(
                world, [kind for kind in kinds for _ in kind.every_profile], visible_to
            )
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

    # -- observers ---------------------------------------------------------------------------------------------

    @property
    def n_observers(self) -> int:
        """How many observers there are."""
        return int(np.count_nonzero(self._table.status[: self._table.n_used]))

    @property
    def status(self) -> NDArray[np.uint8]:
        """uint8[max_observers]: FREE, LIVE, or HELD: nothing is framed for it while its interest is kept."""
        return self._table.status

    @property
    def max_silence_ticks(self) -> int:
        """After so many ticks without a frame an observer gets an empty one."""
        return self._max_silence

    @property
    def reset_tick(self) -> NDArray[np.uint32]:
        """uint32[max_observers]: tick of the last reset frame, 0 before the first."""
        return self._table.reset_tick

    @property
    def sent_tick(self) -> NDArray[np.uint32]:
        """uint32[max_observers]: tick of the last frame."""
        return self._table.sent_tick

    @property
    def entity(self) -> NDArray[np.uint64]:
        """uint64[max_observers]: handle of the entity that the observer stands at, 0 for none."""
        return self._table.entity

    @property
    def position(self) -> NDArray[np.float32]:
        """float32[max_observers, 3]: where each observer stands; set it for those without an entity."""
        return self._table.position

    def phase(self, observer: int) -> int:
        """The observer's phase: channel c is due at tick t where (t + phase) mod period is 0."""
        self._table.check(observer)
        return int(self._table.phase[observer])

    def followed(self, observer: int) -> NDArray[np.uint64]:
        """The observer's list as stored, uint64[n] (see `systems.interest`): for tools and tests."""
        self._table.check(observer)
        return self._table.rows.row(int(self._streams.leader[observer]))

    def add_observer(self, entity: int = 0, position: ArrayLike | None = None, *, share: int | None = None) -> int:
        """Add an observer; the next step makes it a reset frame.

        Parameters
        ----------
        entity : uint64 handle
            It stands where this entity is; 0 for an observer that stands free.
        position : float[2] or float[3], optional
            Where it stands, if free; the origin by default.
        share : int, optional
            Another observer, such as the one that a spectator looks over the shoulder of: this one sees just what that
            one sees and is sent the same bytes, made once. It joins by a reset frame of its own, within a second; its
            phase is the other's. When the other is removed, the first of those that share goes on from where it stood.

        Raises
        ------
        CapacityError, StaleHandleError, ArgumentError
        """
        if share is not None:
            self._table.check(share)
            if entity or position is not None:
                raise ArgumentError(
                    "add_observer: share= says where the observer stands; leave entity and position out"
                )
        if entity:
            self.world.slots_of(np.array([entity], np.uint64))
        observer = self._table.add(entity, position)
        if share is not None:
            self._streams.share(observer, share, self._next_tick())
        self._sight.welcome(observer)
        self._outbox.deaf[observer], self._outbox.reset_tick[observer] = self._last_tick or 0, 0
        self._welcome_to_budget(observer)
        return observer

    def remove_observer(self, observer: int) -> None:
        """Forget an observer. Raises ArgumentError if there is no such."""
        self._table.check(observer)
        self._outbox.forget(observer, self._table.rows.row(observer))
        self._streams.leave(observer, self._stand_in)
        self._table.remove(observer)
        self._book.forget(observer, self._sight)

    def _stand_in(self, old: int, new: int) -> None:
        """Let an observer stand where another stood, and see as it did."""
        table, sight = self._table, self._sight
        for rows in (table.entity, table.position, table.purse, table.own_rate, table.rate, sight.view, sight.focus):
            rows[new] = rows[old]
        self._own_budget[new] = self._own_budget[old]
        self._outbox.deaf[new] = self._last_tick or 0

    def hold(self, observer: int) -> None:
        """Frame nothing for an observer until `resume`; its interest is kept."""
        self._table.check(observer)
        self._table.status[observer] = HELD
        if self._streams:
            self._streams.wait(observer, self._next_tick())

    def resume(self, observer: int) -> None:
        """Let the next step make one reset frame, which tells the observer all it missed, but for events."""
        self._table.check(observer)
        members = self._streams.members(int(self._streams.leader[observer]))
        if not (self._table.status[members] == LIVE).any():
            self._outbox.deaf[members[0]] = self._last_tick or 0
        self._table.status[observer] = LIVE
        if len(members) > 1:
            self._streams.wait(observer, self._next_tick())
        else:
            self._table.wants_reset[observer] = 1

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
            self._outbox.begin(tick, self._longest_periods())
        pages = self._replicated_pages()
        self._sight.settle(self.world)
        self._sight.take_column(pages, self._page_kind, tick)
        self._book.take_sources(self.world, self._table.n_used)
        self._timed("quantise", lambda n_parts: self._quantise(pages, tick))
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
            self._outbox.settle(tick, int(self._longest_periods().max()), self._page_kind, slot_kind, self._sight)
        frames: list[Frames] = []
        self._timed("frames", lambda n_parts: frames.append(self._serve(tick, n_parts)))
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

    def _quantise(self, pages: NDArray[np.uint32], tick: int) -> None:
        n, now32 = self.world.n_slots, np.uint32(tick)
        self._quantiser.run(pages, self._page_kind, tick, self._history, self._depth)
        self.stats.non_finite, self.stats.clamped = self._quantiser.counts.tolist()
        for number in range(len(self.tables.tracks)):
            rows = self._history[number * self._depth : (number + 1) * self._depth, :n]
            out, previous = rows[tick % self._depth], rows[(tick - 1) % self._depth]
            if self._last_tick is None:
                # Who was there before the first step is taken to have stood still until then.
                used = self.world.n_pages_used * quantise.PAGE
                rows[:, :used] = out[:used]
            elif number in self._records.stamped:
                quantise.stamp_changes(pages, self.world.born, now32, previous, out, self._changed[number, :n])

    def _serve(self, tick: int, n_parts: int) -> Frames:
        table, world = self._table, self.world
        observers.follow_entities(
            table.n_used, table.entity, world.generation, world.born, self._x, self._y, self._z, table.position
        )
        self._streams.reset_overdue(tick, self._max_silence)
        status = self._streams.awake()
        self._look_for_switched(status)
        n = observers.select_served(
            table.n_used, status, table.phase, table.rate, table.told_rate, table.wants_reset, table.sent_tick, tick,
            self._max_silence,
            self._due_by_phase(tick), self.tables.kind_channels, table.looks, table.served, table.served_reset,
            table.due
        )  # fmt: skip
        observers.order_by_tile(
            table.served[:n], table.position, float(self._grid.inverse_size.max()), table.in_tile, table.order
        )
        self._mark_gone(tick, status)
        cut = self._cut(n, n_parts)
        asked = self._streams.ask(table.served[:n], table.served_reset[:n])
        words = self._room(tick, n + n_parts + len(asked))
        self._scratch.tally[:] = 0
        self._scratch.waits[:] = 0
        table.needs[:n] = 0
        if self._outbox.used:
            self._outbox.make_room(
                n + len(asked), min(self.max_followed, len(self.world)) + int(table.n_followed.max(initial=0))
            )
        arguments = self._lasting() | self._outbox.arguments() | {
            "tick": tick, "served": table.served[:n], "words": words, "octets": words.view(np.uint8),
            "newest_rice_tick": int(self._records.rice_tick.max(initial=0)), "structure_tick": world.structure_tick,
        }  # fmt: skip
        changing = np.flatnonzero(table.rate != table.told_rate)
        # Each part has room for as many of the longest frames as it has observers, and one more.
        room = len(words) // 2 // (n + n_parts + len(asked))
        self._replicate(arguments, table.order[:n], cut, (cut + np.arange(n_parts + 1)) * room)
        waiting = np.flatnonzero(table.needs[:n]).astype(np.uint32)
        if len(waiting):
            table.rows.make_room(table.served[waiting], table.needs[waiting])
            cut = np.arange(n_parts + 1) * len(waiting) // n_parts
            self._replicate(arguments, waiting, cut, len(words) // 2 + (cut + np.arange(n_parts + 1)) * room)
        joins = self._write_joins(arguments, asked, (n + n_parts) * room)
        span, octets = np.concatenate([table.span[:n], joins]), words.view(np.uint8)
        if self._outbox.used:
            octets = self._finish_messages(tick, span, asked, octets)
        table.rows.tidy()
        self._records.count(tick)
        reset = table.served[:n][(table.served_reset[:n] == 1) & (span[:n, 2] > 0)]
        table.reset_tick[reset] = self._outbox.reset_tick[reset] = tick
        table.wants_reset[reset] = 0
        self._outbox.reset_tick[changing[table.told_rate[changing] == table.rate[changing]]] = tick
        frames = Spans.of(table.served[:n], span[:n])
        spans, shared = self._streams.spread(tick, frames, Spans.of(asked, span[n:]))
        self._count(n, spans, shared)
        return Frames(tick, *spans, octets.data)

    def _finish_messages(
        self, tick: int, span: NDArray[np.int64], joined: NDArray[np.uint32], octets: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Put the messages behind the frames, charge who has a budget, and count; the buffer the frames are in then."""
        table, box, stats = self._table, self._outbox, self.stats
        n = len(span) - len(joined)
        box.tell_joined(joined, n, table)
        state = span[:n, 2] - span[:n, 1]
        octets = box.attach(tick, span, octets, self._crew)
        self._charge(table.served[:n], span[:n, 2] - span[:n, 1] - state)
        box.collect_zones()
        box.remember()
        told, dropped, missed = box.tally.sum(axis=0).tolist()
        status = self._streams.awake()
        if box.n_pending and (status[: table.n_used] == HELD).any():
            missed += box.count_missed(
                tick, table, status, self._due_by_phase(tick), self.tables.periods, self._sight
            )  # fmt: skip
        stats.messages, stats.messages_missed = told, missed
        stats.messages_dropped, box.n_dropped = dropped + box.n_dropped, 0
        return octets

    def _replicate(
        self, arguments: dict[str, Any], sequence: NDArray[np.uint32], cut: NDArray[np.int64], region: NDArray[np.int64]
    ) -> None:
        """Have the frames of some of the served made, each part of them in a region of the buffer."""
        passing = arguments | {"cut": cut, "sequence": sequence, "region": region}
        rest = [passing[name] for name in replicate.ARGUMENTS if name not in ("part", "thread")]
        self._crew.run(lambda part, thread: replicate.replicate(part, thread, *rest), len(cut) - 1)

    def _write_joins(
        self, arguments: dict[str, Any], streams: NDArray[np.uint32], first_word: int
    ) -> NDArray[np.int64]:  # fmt: skip
        """Reset frames of streams for who joins them, behind all others in the buffer: int64[n, 3], as `table.span`."""
        scratch = ("due_index", "due_plan", "counters", "absolute", "record", "source", "places", "reference", "tokens")
        span = np.zeros((len(streams), 3), np.int64)
        if len(streams):
            one = {name: arguments[name][0] for name in scratch}
            own = {"streams": streams, "first_word": first_word, "out_span": span, "row": self._scratch.joined_row,
                   "all_channels": self.tables.kind_channels}  # fmt: skip
            sharing.write_joins(*(({**arguments, **one, **own})[name] for name in sharing.ARGUMENTS))
        return span

    def _mark_gone(self, tick: int, status: NDArray[np.uint8]) -> None:
        """Which slots may have lost their entity since any list was last looked at."""
        table, world = self._table, self.world
        # A page that lost its last entity isn't used any more, and must be looked at nevertheless.
        self._pages_seen = max(self._pages_seen, world.n_pages_used)
        oldest = observers.oldest_evaluation(table.n_used, status, table.n_followed, table.evaluated_tick, tick)
        if world.structure_tick > oldest:
            observers.mark_gone(world.born[: self._pages_seen * quantise.PAGE], oldest, self._gone)
        self._sight.mark_turned(oldest, self._pages_seen * quantise.PAGE)

    def _n_rates(self) -> int:
        """How many rates some observer has, or was told, counted from the quickest on."""
        table = self._table
        return 1 + int(max(table.rate.max(initial=0), table.told_rate.max(initial=0)))

    def _longest_periods(self) -> NDArray[np.int64]:
        """int64[C]: each channel's longest period in any kind, in ticks, at the slowest rate that is in use."""
        longest: NDArray[np.int64] = self.tables.periods[self._n_rates() - 1].max(axis=0)
        return longest

    def _due_by_phase(self, tick: int) -> NDArray[np.int64]:
        """int64[n_rates, n_phases, n_kinds]: the mask of channels due now, by rate and phase."""
        period = self.tables.periods[: self._n_rates(), None]
        phases = np.arange(self._table.n_phases)[:, None, None]
        due = ((tick + phases) % np.maximum(period, 1) == 0) & (period > 0)
        masks: NDArray[np.int64] = (due << np.arange(period.shape[-1])).sum(axis=-1)
        return masks

    def _room(self, tick: int, n: int) -> NDArray[np.uint64]:
        """The buffer whose turn it is, surely large enough: it is reserved, and only what is written costs memory."""
        most = min(self.max_followed, len(self.world)) + int(self._table.n_followed.max(initial=0)) + 64
        needed = 2 * n * (most * self._entry_bits // 64 + 8)  # the second half is for who had to wait for room
        if len(self._words[tick & 1]) < needed:
            self._words[tick & 1] = reserve((needed + needed // 2,), np.uint64)
        return self._words[tick & 1]

    def _lasting(self) -> dict[str, Any]:
        """What `replicate.replicate` takes and stays the same array or number from tick to tick, by name."""
        world, tables, table, s, g = self.world, self.tables, self._table, self._scratch, self._grid
        sight, known_lists = self._sight, self._book.lists
        of_tables = (
            "periods",
            "carrier",
            "n_groups",
            "n_fields",
            "track",
            "orders",
            "bits",
            "kind_channels",
            "profiles",
        )
        of_observers = (
            "phase", "position", "evaluated_tick", "sent_tick", "n_followed", "needs", "reach_scale", "crowded", "work",
            "purse", "wants_reset", "looks", "rate", "told_rate"
        )  # fmt: skip
        of_scratch = (
            "near_slot", "near_sq", "inside", "held", "known", "where", "stamp", "first_of_kind", "picked", "place",
            "heap", "leaves", "moves", "due_index", "due_plan", "counters", "absolute", "record", "source", "places",
            "reference", "tokens", "tally", "waits"
        )  # fmt: skip
        of_records = (
            "records",
            "rice",
            "rice_flat",
            "rice_tick",
            "lead",
            "loud",
            "plans",
            "bulk",
            "no_bulk",
            "uses",
            "said",
        )
        of_grid = ("inverse_size", "shape", "cell_start", "first_part")
        return {
            **{name: getattr(tables, name) for name in of_tables},
            **{name: getattr(table, name) for name in of_observers},
            "rows": table.rows.pool, "row_start": table.rows.start, "row_room": table.rows.room,
            **{name: getattr(s, name) for name in of_scratch},
            **{name: getattr(g, name) for name in of_grid},
            **{name: getattr(self._records, name) for name in of_records},
            "observer_due": table.due, "reset": table.served_reset, "out_span": table.span,
            "first_level": g.first, "level_scale": g.scale, "split": g.depth, "item_inverse": g.inverse,
            "slot_kind": self._no_kinds if self._extents is None else self._extents.kind,
            # Without scales that are ones, by slot as by item.
            "slot_inverse": g.inverse if self._extents is None else self._extents.inverse,
            "simple": g.simple and self._extents is None, "max_interest": self.max_interest,
            "reach_period": self._reach_period, "item_slot": g.slot, "item_position": g.position,
            "max_followed": self.max_followed,
            "reach": self._reach, "enter_sq": self._enter_sq, "leave_sq": self._leave_sq,
            "history": self._history, "changed": self._changed, "depth": self._depth,
            "born": world.born, "generation": world.generation, "max_silence": self._max_silence, "gone": self._gone,
            "entry_bits": self._entry_bits, "ways": sight.ways, "sight": sight.sight, "view": sight.view,
            "changed_sight": sight.changed, "turned": sight.turned, "owner_only": sight.owner_only,
            "focus": sight.focus, "entity": table.entity, "list_start": known_lists.start, "list_n": known_lists.n,
            "pool": known_lists.pool, "pool_mask": known_lists.mask, "page_kind": self._page_kind,
            "urgency": self._urgency, "x": self._x, "y": self._y, "z": self._z,
        }  # fmt: skip

    def _count(self, n: int, spans: Spans, shared: int) -> None:
        total = self._scratch.tally.sum(axis=0)
        if total[replicate.OVERFLOWS]:
            raise HorizonError(
                f"{total[replicate.OVERFLOWS]} frames had no room in the buffer: this is an error in Horizon ECS"
            )
        stats = self.stats
        stats.n_frames, stats.bytes, stats.shared = len(spans.stop), int((spans.stop - spans.payload).sum()), shared
        stats.followed_pairs = int(self._table.n_followed[: self._table.n_used].sum())
        stats.updates, stats.enters = int(total[replicate.UPDATES]), int(total[replicate.ENTERS])
        stats.leaves, stats.absolutes = int(total[replicate.LEAVES]), int(total[replicate.ABSOLUTES])
        stats.refused = int(total[replicate.REFUSED])
        waits = self._scratch.waits
        stats.deferred, stats.not_entered, refused_bits, _ = waits.sum(axis=0).tolist()
        stats.bytes_refused, stats.longest_wait_ticks = -(-refused_bits // 8), int(waits[:, budget.LONGEST].max())
