"""The outbox: what waits to be told to followers, and the arrays in which kernels note to whom it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE, reserve
from horizon_ecs.crew import Crew
from horizon_ecs.errors import CapacityError
from horizon_ecs.handles import slots_in
from horizon_ecs.kinds import Kind
from horizon_ecs.messages import MessageTables
from horizon_ecs.observers import HELD, Observers
from horizon_ecs.systems import letters as written
from horizon_ecs.systems import messages as kernels
from horizon_ecs.systems.interest import DEAD
from horizon_ecs.texts import Texts
from horizon_ecs.visibility import EVERYONE, Sight
from horizon_ecs.workspace import row_length

if TYPE_CHECKING:
    from horizon_ecs.world import World

MAX_PENDING = 65_536  # events of all types that wait at a time
_HIGH = np.uint64(32)
_PARALLEL_BYTES = 1 << 20  # below this a second thread isn't worth waking
_GROWTH = 1.5


class Letters(NamedTuple):
    """Events as the kernels read them, in the order in which they were emitted.

    rows : int64[n, N_COLUMNS];  handles : uint64[n];  sights : uint64[n, 2], who may see each
    ends : int64[n], where in `data` each one's message ends;  data : uint8[m]
    """

    rows: NDArray[np.int64]
    handles: NDArray[np.uint64]
    sights: NDArray[np.uint64]
    ends: NDArray[np.int64]
    data: NDArray[np.uint8]

    @classmethod
    def joined(cls, parts: Sequence[Letters]) -> Letters:
        """One after the other."""
        empty = cls(
            np.zeros((0, kernels.N_COLUMNS), np.int64), np.zeros(0, np.uint64), np.zeros((0, 2), np.uint64),
            np.zeros(0, np.int64), np.zeros(0, np.uint8)
        )  # fmt: skip
        whole = [empty, *parts]
        first = np.cumsum([0, *(len(part.data) for part in whole)])
        moved = [part._replace(ends=part.ends + at) for part, at in zip(whole, first[:-1].tolist(), strict=True)]
        return cls(*(np.concatenate(column) for column in zip(*moved, strict=True)))

    def without(self, gone: NDArray[np.bool_]) -> Letters:
        """Those that aren't marked."""
        sizes = np.diff(self.ends, prepend=0)
        kept = ~gone
        return Letters(
            self.rows[kept], self.handles[kept], self.sights[kept], np.cumsum(sizes[kept]),
            self.data[np.repeat(kept, sizes)]
        )  # fmt: skip


class Outbox:
    """A replicator's events that wait, its texts, and who follows whom, where somebody wants to know.

    Parameters
    ----------
    world : World
    tables : MessageTables
    kinds : sequence of Kind
        Those that are replicated.
    n_threads, max_observers, max_followed : int
    zones : bool
        Whether it is told who begins and ceases to follow whom.
    """

    def __init__(
        self, world: World, tables: MessageTables, kinds: Sequence[Kind], *, n_threads: int, max_observers: int,
        max_followed: int, zones: bool
    ) -> None:  # fmt: skip
        self._world, self.tables = world, tables
        self.texts = Texts(world, tables, kinds)
        n_slots = world.n_slots
        self.talks = np.zeros(kernels.N_TALKS, np.int64)
        self.talks[kernels.TEXTS], self.talks[kernels.ZONES] = len(tables.texts) > 0, zones
        self.talks[kernels.COMPARES] = zones or len(tables.texts) > 0 or len(tables.events) > 0
        used = bool(self.talks[kernels.COMPARES])
        self.saved = reserve((n_threads, row_length(max_followed) if used else 1), np.uint64)
        self.picks = reserve((n_threads, MAX_PENDING if tables.events else 1), np.uint32)
        self.marked = reserve((n_slots // 8 if used else 1,), np.uint8)
        self.first = reserve((n_slots if used else 1,), np.int32)
        # By stream: the last tick of which it isn't told what was emitted before; its last reset, by whom it leads.
        self.deaf, self.reset_tick = np.zeros(max_observers, np.uint32), np.zeros(max_observers, np.uint32)
        self.told = np.zeros((n_threads, 0), np.uint64)
        self.zones = np.zeros((n_threads, 0, 2), np.uint64)
        self.told_end, self.zones_end = np.zeros(n_threads, np.int64), np.zeros(n_threads, np.int64)
        self.told_span = np.zeros((2 * max_observers, 3), np.int64)  # who joins a shared stream has another
        self.tally = np.zeros((n_threads, kernels.N_TALLIES), np.int64)
        self.generations = reserve((max_observers, row_length(max_followed)) if zones else (1, 1), np.uint32)
        self._removed: list[NDArray[np.uint64]] = []
        self._born_before = reserve((n_slots if tables.events else 1,), np.uint32)
        self._generation_before = reserve((n_slots if tables.events else 1,), np.uint32)
        self._seen_version = -1
        self._buffers = [np.zeros(0, np.uint8), np.zeros(0, np.uint8)]
        self._changed_slots = np.zeros(0, np.uint32)
        self._waiting: list[Letters] = []
        self._letters = Letters.joined([])
        self._following = np.zeros(0, np.int32)
        self.changes = np.zeros((0, 2), np.uint64)
        self.n_dropped = 0
        self._used_before = 0

    @property
    def used(self) -> bool:
        """Whether there is anything that could be told."""
        return bool(self.talks[kernels.COMPARES])

    @property
    def n_pending(self) -> int:
        """Events that wait, or were told to some and may be to others."""
        return len(self._letters.rows) + sum(len(letters.rows) for letters in self._waiting)

    # -- taking in ---------------------------------------------------------------------------------------------

    def known(self, handles: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.uint32]]:
        """Which handles' entities live, or did at the last step, and when they were born."""
        world, slots = self._world, slots_in(handles)
        generation = (handles >> _HIGH).astype(np.uint32)
        inside = (slots < world.n_slots) & (generation > 0)
        slots = np.where(inside, slots, 0)
        lives = inside & (world.generation[slots] == generation) & (world.born[slots] != DEAD)
        before = self._born_before[slots]
        lived = inside & ~lives & (self._generation_before[slots] == generation) & (before != DEAD)
        return lives | lived, np.where(lives, world.born[slots], before)

    def post(
        self, number: int, handles: NDArray[np.uint64], records: NDArray[Any], channel: int, born: NDArray[np.uint32],
        kind: NDArray[np.int64], sight: Sight
    ) -> None:  # fmt: skip
        """Queue events for the next step. Raises CapacityError where too many wait; nothing was done then."""
        n = len(handles)
        if self.n_pending + n > MAX_PENDING:
            raise CapacityError(
                f"{self.n_pending} events wait to be told to followers, of at most {MAX_PENDING}: {n} more find no room"
            )
        rows = np.zeros((n, kernels.N_COLUMNS), np.int64)
        rows[:, kernels.SLOT], rows[:, kernels.CHANNEL] = slots_in(handles), channel
        rows[:, kernels.BORN], rows[:, kernels.KIND], rows[:, kernels.BEFORE] = born, kind, kind
        rows[:, kernels.DIED], rows[:, kernels.SWITCHED], rows[:, kernels.DECIDED] = kernels.NEVER, -1, -1
        sights = np.empty((n, 2), np.uint64)
        sights[:] = EVERYONE, 0
        if sight.ways[0]:
            slots, lives = slots_in(handles), self._world.alive(handles)
            told = sight.known[slots] == (handles >> _HIGH).astype(np.uint32)
            sights = np.where(told[:, None], sight.sight[slots], np.where(lives[:, None], sights, np.uint64(0)))
        size = records.dtype.itemsize
        out, ends = np.zeros(n * (size + 11), np.uint8), np.zeros(n, np.int64)
        plain, own = np.frombuffer(bytearray(records.tobytes()), np.uint8).reshape(n, size), handles.copy()
        end = written.encode_events(number, own, plain, 0, out, ends)
        self._waiting.append(Letters(rows, own, sights, ends, out[:end]))

    # -- the step ----------------------------------------------------------------------------------------------

    def begin(self, tick: int, longest: NDArray[np.int64]) -> None:
        """Let what waits be the tick's, and forget what everybody was told; `longest` has each channel's longest
        period."""
        for letters in self._waiting:
            letters.rows[:, kernels.TICK] = tick
        kernels.unlink(self._letters.rows, self._changed_slots, self.first, self.marked)
        old = self._letters
        late = old.rows[:, kernels.TICK] + longest[old.rows[:, kernels.CHANNEL]] <= tick
        if late.any():
            old = old.without(late)
        if self._waiting or old is not self._letters:
            self._letters = Letters.joined([old, *self._waiting])
            self._following = np.zeros(len(self._letters.rows), np.int32)
        self._waiting = []

    def settle(
        self, tick: int, longest_period: int, page_kind: NDArray[np.int16], slot_kind: NDArray[np.uint8], sight: Sight
    ) -> None:  # fmt: skip
        """Bring all that waits up to the tick, and lay it out for the kernels."""
        world, letters = self._world, self._letters
        if len(letters.rows):
            generations = (letters.handles >> _HIGH).astype(np.uint32)
            kernels.follow_events(
                tick, letters.rows, generations, world.generation, world.born, page_kind, slot_kind
            )  # fmt: skip
            if sight.ways[0]:
                lives = letters.rows[:, kernels.DIED] > tick
                letters.sights[lives] = sight.sight[letters.rows[lives, kernels.SLOT]]
        self._changed_slots = self.texts.take(tick, longest_period)
        kernels.link(letters.rows, self._changed_slots, self.first, self._following, self.marked)
        self.talks[kernels.PENDING] = len(letters.rows) + len(self._changed_slots) > 0
        self.told_end[:] = self.zones_end[:] = 0
        self.tally[:] = 0

    def make_room(self, n_served: int, longest_list: int) -> None:
        """Have room for all that kernels may note of so many observers."""
        n_events = kernels.MAX_EVENTS_A_FRAME if self.tables.events else 0
        most = n_served * (longest_list * int(self.tables.n_texts.max(initial=0)) + n_events)
        if most > self.told.shape[1]:
            self.told = reserve((len(self.told), int(most * _GROWTH)), np.uint64)
        most = 2 * n_served * longest_list * int(self.talks[kernels.ZONES])
        if most > self.zones.shape[1]:
            self.zones = reserve((len(self.zones), int(most * _GROWTH), 2), np.uint64)
        self.told_span[:n_served] = 0

    def arguments(self) -> dict[str, Any]:
        """What `replicate.replicate` takes of this, by name."""
        texts, tables = self.texts, self.tables
        return {
            "talks": self.talks, "saved": self.saved, "marked": self.marked, "first_event": self.first,
            "following": self._following, "events": self._letters.rows, "sights": self._letters.sights,
            "text_carrier": tables.text_carrier, "text_track": tables.text_track, "n_texts": tables.n_texts,
            "text_changed": texts.changed, "deaf": self.deaf, "reset_tick": self.reset_tick, "picks": self.picks,
            "told": self.told, "told_end": self.told_end, "told_span": self.told_span,
            "generations": self.generations, "zones": self.zones, "zones_end": self.zones_end, "messages": self.tally,
        }  # fmt: skip

    def tell_joined(self, streams: NDArray[np.uint32], first: int, table: Observers) -> None:
        """Note all texts of shared streams for who joins them, from row `first` of the spans on."""
        if len(streams) and self.talks[kernels.TEXTS]:
            kernels.tell_joined(
                streams, first, table.rows.pool, table.rows.start, table.n_followed, self.tables.text_carrier,
                self.tables.text_track, self.tables.n_texts, self.told, self.told_end, self.told_span
            )  # fmt: skip

    def attach(
        self, tick: int, span: NDArray[np.int64], octets: NDArray[np.uint8], crew: Crew
    ) -> NDArray[np.uint8]:  # fmt: skip
        """Put what was noted behind the frames; the buffer in which they all are then."""
        n, letters, texts = len(span), self._letters, self.texts
        told_span = self.told_span[:n]
        if not told_span[:, 2].any():
            return octets
        size = np.zeros(n, np.int64)
        written.measure(span, told_span, self.told, letters.ends, texts.start, texts.length, size)
        ends = np.cumsum(size)
        total = int(ends[-1])
        if len(self._buffers[tick & 1]) < total:
            self._buffers[tick & 1] = reserve((int(total * _GROWTH),), np.uint8)
        out = self._buffers[tick & 1]
        n_parts = crew.n_threads if total > _PARALLEL_BYTES else 1
        cut = np.searchsorted(ends, np.arange(n_parts + 1) * total // n_parts)
        cut[-1] = n
        crew.run(
            lambda part, thread: written.attach(
                int(cut[part]), int(cut[part + 1]), span, told_span, self.told, octets, letters.ends, letters.data,
                texts.start, texts.length, texts.pool, ends - size, out
            ),
            n_parts,
        )  # fmt: skip
        return out

    def count_missed(
        self, tick: int, table: Observers, status: NDArray[np.uint8], due_by_phase: NDArray[np.int64],
        periods: NDArray[np.int64], sight: Sight
    ) -> int:  # fmt: skip
        """How many events observers that are held don't get at this tick."""
        return int(
            kernels.count_missed(
                tick, table.n_used, HELD, status, table.phase, table.rate, table.rows.start, table.evaluated_tick,
                self.reset_tick, table.n_followed, table.rows.pool, due_by_phase, periods, self.marked, self.first,
                self._following, self._letters.rows, self._letters.sights, sight.view, sight.ways
            )
        )  # fmt: skip

    def remember(self) -> None:
        """Keep who lives at the end of a step: what ends before the next one can still be told of."""
        world = self._world
        if self.tables.events and world.structure_version != self._seen_version:
            used = world.n_pages_used * PAGE
            used, self._used_before = max(used, self._used_before), used
            self._born_before[:used] = world.born[:used]
            self._generation_before[:used] = world.generation[:used]
            self._seen_version = world.structure_version

    # -- zones -------------------------------------------------------------------------------------------------

    def forget(self, observer: int, row: NDArray[np.uint64]) -> None:
        """An observer is removed: it ceases to follow whom it followed."""
        if self.talks[kernels.ZONES]:
            slots, masks = row & np.uint64(0xFFFFFFFF), row >> _HIGH & np.uint64(0xFF)
            log = np.zeros((len(row), 2), np.uint64)
            log[:, 0] = slots | self.generations[observer, : len(row)].astype(np.uint64) << _HIGH
            log[:, 1] = np.uint64(observer << 16) | masks << np.uint64(8)
            self._removed.append(log)

    def collect_zones(self) -> None:
        """Take what the kernels noted, in an order that doesn't depend on threads."""
        if self.talks[kernels.ZONES]:
            noted = np.concatenate([log[:end] for log, end in zip(self.zones, self.zones_end, strict=True)])
            order = np.argsort(noted[:, 1] >> np.uint64(16), kind="stable")
            self.changes = np.concatenate([*self._removed, noted[order]])
            self._removed = []
