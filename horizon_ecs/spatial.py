"""Spatial: what a replicator does about where entities are and how far they are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import nearest
from horizon_ecs.config import SpatialConfig
from horizon_ecs.crew import Crew, shares
from horizon_ecs.errors import ArgumentError
from horizon_ecs.extents import Extents, checked_scales
from horizon_ecs.handles import as_handles
from horizon_ecs.levels import Levels, Region
from horizon_ecs.schema import Tables
from horizon_ecs.systems import extents, grid, observers

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap
    from horizon_ecs.observers import Observers
    from horizon_ecs.readings import Readings
    from horizon_ecs.visibility import Sight
    from horizon_ecs.world import World

REVIEW_TICKS = 64  # how often levels are laid out anew, if need be
N_SAMPLED = 2048  # entities, for how far they spread in height
WORK_OF_OBSERVER = 64  # what an observer takes beside its candidates and entries, in their unit


class Spatial:
    """A replicator's grid, its entities' profiles and radius scales, and its observers' shares."""

    world: World
    tables: Tables
    schema: dict[str, Any]
    spatial: SpatialConfig | None
    _table: Observers
    _crew: Crew
    _x: NDArray[np.float32]
    _y: NDArray[np.float32]
    _z: NDArray[np.float32]
    _page_kind: NDArray[np.int16]
    _kind_number: NDArray[np.int16]
    _grid: Levels
    _sight: Sight
    _readings: Readings
    _extents: Extents | None = None
    _dimensions: int | None = None
    _is_flat: bool
    _no_kinds: NDArray[np.uint8] = np.zeros(0, np.uint8)
    _reviewed: tuple[int, int]  # tick, and how many there were

    # -- what users say --------------------------------------------------------------------------------------------

    def configure_spatial_partitioning(self, config: SpatialConfig) -> None:
        """Divide space otherwise from the next step on: into regions that split where they are crowded.

        Raises ArgumentError for what is no SpatialConfig.
        """
        if not isinstance(config, SpatialConfig):
            raise ArgumentError(f"configure_spatial_partitioning takes a SpatialConfig, not {config!r}")
        self._divide_space(config)

    def _divide_space(self, config: SpatialConfig | None) -> None:
        self.spatial = config
        self._grid = Levels(self.tables, self.world.n_slots, self._crew.n_threads, config, self._dimensions)
        self._reviewed = -REVIEW_TICKS, 0

    def regions(self) -> list[Region]:
        """The parts of space that hold anybody, as the last step had them: for tools."""
        return find_regions(self)

    @property
    def reach_scale(self) -> NDArray[np.float32]:
        """float32[max_observers], a view to read: what all radii were multiplied by when each observer was looked at
        last; below 1 where more was near than `max_interest`."""
        view = self._table.reach_scale.view()
        view.flags.writeable = False
        return view

    def set_radius_scale(self, handles: ArrayLike, scales: ArrayLike) -> None:
        """Multiply all radii of some entities, to enter at and to leave at, from the next step on.

        An observer at distance d is within a radius r where `d² × (1 / scale)² <= r²`, in float32. It takes effect
        where a channel is due, as with any movement.

        Parameters
        ----------
        handles : uint64[n]
        scales : float or float[n]
            From 1/256 to 256; 1 is how it begins.

        Raises
        ------
        StaleHandleError, ArgumentError
        """
        slots = self._replicated(handles)
        self._readings.refuse("radius_scales", "set_radius_scale", slots)
        self._have_extents().set_scale(slots, checked_scales(scales, len(slots)))

    def radius_scale(self, handles: ArrayLike) -> NDArray[np.float32]:
        """float32[n]: the radius scales of some entities. Raises StaleHandleError."""
        slots = self.world.slots_of(as_handles(handles))
        return np.ones(len(slots), np.float32) if self._extents is None else self._extents.of(slots)[1]

    def radius_scales(self, n: int) -> NDArray[np.float32]:
        """float32[n]: the radius scales of the first n slots."""
        slots = np.arange(n, dtype=np.uint32)
        return np.ones(n, np.float32) if self._extents is None else self._extents.of(slots)[1]

    def kind_numbers(self, n: int) -> NDArray[np.int16]:
        """int16[n]: of the first n slots, a multiple of 1,024, the schema's number of the kind and profile that an
        entity in each has, as of the last step; -1 for kinds without layers."""
        by_page = self._kind_number[self.world.page_kind[: n // PAGE]]
        numbers: NDArray[np.int16] = np.repeat(by_page, PAGE)
        return numbers if self._extents is None else np.where(numbers < 0, numbers, self._extents.kind[:n])

    def _replicated(self, handles: ArrayLike) -> NDArray[np.uint32]:
        """The slots of some entities, all of kinds with layers."""
        given = as_handles(handles)
        slots = self.world.slots_of(given)
        numbers = self._kind_number[self.world.page_kind[slots // PAGE]]
        if len(wrong := np.flatnonzero(numbers < 0)):
            kind = self.world.kind_of(given[wrong[0]])
            raise ArgumentError(f"kind {kind.name!r} of entity {int(given[wrong[0]]):#x} has no layers")
        return slots

    def set_profile(self, handles: ArrayLike, profile: str) -> None:
        """Give some entities other layers, from the next step on: those that their kinds have under this name.

        Whoever follows one learns of it with the next frame, whatever is due: it is followed on those channels of the
        new profile whose radii cover the observer (with hysteresis for a channel of the same number), or on none any
        more, and all its values come anew as each is due; until then those known stay. Whoever doesn't follow it finds
        it where a channel of the new profile is due.

        Parameters
        ----------
        handles : uint64[n]
        profile : str
            "default" is what `Kind(layers=...)` says.

        Raises
        ------
        StaleHandleError, ArgumentError
        """
        slots = self._replicated(handles)
        self._readings.refuse("profiles", "set_profile", slots)
        kinds, numbers = self.world.page_kind[slots // PAGE], np.zeros(len(slots), np.uint8)
        for number in np.unique(kinds).tolist():
            names = [name for name, _ in self.world.kinds[number].every_profile]
            if profile not in names:
                raise ArgumentError(
                    f"kind {self.world.kinds[number].name!r} has no profile {profile!r}{nearest(str(profile), names)} "
                    f"(there are {names})"
                )
            numbers[kinds == number] = names.index(profile)
        self._have_extents().set_profile(slots, numbers)

    def profile(self, handles: ArrayLike) -> list[str]:
        """The profiles of some entities, "default" for most. Raises StaleHandleError."""
        slots = self.world.slots_of(as_handles(handles))
        numbers = np.zeros(len(slots), np.uint8) if self._extents is None else self._extents.of(slots)[0]
        kinds = [self.world.kinds[k] for k in self.world.page_kind[slots // PAGE].tolist()]
        return [kind.every_profile[n][0] for kind, n in zip(kinds, numbers.tolist(), strict=True)]

    def _have_extents(self) -> Extents:
        if self._extents is None:
            self._extents = Extents(self.world)
            self._extents.start_from(self._kind_number[self.world.page_kind])
        return self._extents

    def _keep_extents(self, moved: SlotMap) -> None:
        if self._extents is not None:
            self._extents.follow(moved)

    # -- the grid --------------------------------------------------------------------------------------------------

    def _settle(self, pages: NDArray[np.uint32], tick: int) -> None:
        """Find every entity's kind and level, and have cells for each level."""
        self._grid.adapt()
        if self._extents is not None:
            missing = self._extents.settle(pages, self._page_kind, tick, self._grid.level_of)
            if missing:
                self._grid.hold(missing)
                self._extents.relevel(pages, self._grid.level_of)
                self._reviewed = tick - REVIEW_TICKS, 0
        n_live = int(self.world.page_live[pages].sum())
        if tick - self._reviewed[0] >= REVIEW_TICKS or n_live > 2 * self._reviewed[1]:
            self._reviewed = tick, n_live
            self._grid.review(self._population(pages), self._spread(pages))

    def _population(self, pages: NDArray[np.uint32]) -> NDArray[np.int64]:
        """int64[L]: how many entities each level has."""
        live, n = self.world.page_live[pages], len(self._grid.kind)
        if self._extents is None:
            return np.bincount(self._page_kind[pages], live, n).astype(np.int64)
        rows = _rows_of(pages)
        rows = rows[self.world.born[rows] <= self.world.tick_count]
        return np.bincount(self._extents.level[rows], minlength=n).astype(np.int64)

    def _spread(self, pages: NDArray[np.uint32]) -> float:
        """World units that the middle nine tenths of the entities are apart in height, by a sample."""
        if self._is_flat or not len(pages):
            return 0.0
        rows = _rows_of(pages)
        rows = rows[self.world.born[rows] <= self.world.tick_count]
        z = self._z[rows[:: max(1, len(rows) // N_SAMPLED)]]
        z = z[np.isfinite(z)]
        return float(np.subtract(*np.percentile(z, [95.0, 5.0]))) if len(z) else 0.0

    def _build_grid(self, pages: NDArray[np.uint32], now: int, n_parts: int) -> None:
        self._settle(pages, now)
        tick, g, places = np.uint32(now), self._grid, (self._x, self._y, self._z)
        born, slot_level = self.world.born, np.zeros(0, np.int16) if self._extents is None else self._extents.level
        parts, counts = shares(pages, n_parts), g.counts[:n_parts]
        rooms = self._sight.with_rooms, self._sight.sight
        page_level = self._page_kind  # where no entity has a scale or profile, levels are kinds

        def count(part: int, thread: int) -> None:
            if g.simple and self._extents is None:
                grid.count_cells(
                    parts[part], page_level, born, tick, *places, g.inverse_size, g.shape, *rooms, counts[part],
                    g.cell_of
                )  # fmt: skip
            else:
                grid.count_levels(
                    parts[part], page_level, slot_level, born, tick, *places, g.inverse_size, g.shape, *rooms,
                    g.depth, g.first_part, counts[part], g.cell_of
                )  # fmt: skip

        def fill(part: int, thread: int) -> None:
            if self._extents is not None:
                grid.fill_scales(parts[part], g.cell_of, self._extents.inverse, counts[part], g.inverse)
            grid.fill_cells(parts[part], *places, g.cell_of, counts[part], g.slot, g.position)

        self._crew.run(count, n_parts)
        grid.place_cells(counts, g.cell_start)
        self._crew.run(fill, n_parts)

    def _look_for_switched(self, status: NDArray[np.uint8]) -> None:
        """Mark the observers that follow somebody whose profile changed."""
        table, e = self._table, self._extents
        if e is not None:
            extents.find_switched(
                table.n_used, status, table.wants_reset, e.n_switched > 0, table.n_followed,
                table.rows.pool, table.rows.start, e.switched, table.looks
            )  # fmt: skip

    # -- shares ----------------------------------------------------------------------------------------------------

    def _cut(self, n: int, n_parts: int) -> NDArray[np.int64]:
        """int64[n_parts + 1]: where each part of the served begins, so that all have about the same work."""
        table, cut = self._table, np.zeros(n_parts + 1, np.int64)
        observers.share_work(table.work, WORK_OF_OBSERVER, table.served[:n], table.order[:n], cut)
        return cut


def _rows_of(pages: NDArray[np.uint32]) -> NDArray[np.int64]:
    return (pages[:, None].astype(np.int64) * PAGE + np.arange(PAGE)).reshape(-1)


def find_regions(replicator: Any) -> list[Region]:
    """See `Replicator.regions`."""
    g, n_items = replicator._grid, int(replicator._grid.cell_start[-1])
    slots, place = g.slot[:n_items, 3], g.position[:n_items, :3].astype(np.float64)
    number = replicator._extents.level[slots] if replicator._extents else replicator._page_kind[slots // PAGE]
    part = g.cell_of[slots]
    cell = np.searchsorted(g.first_part, part, "right") - 1 if len(g.depth) else part
    depth = g.depth[cell] if len(g.depth) else np.zeros(n_items, np.uint8)
    out = []
    for level in np.unique(number).tolist():
        axes, mine = 3 if g.shape[level, 3] else 2, number == level
        kind, edge = replicator.schema["kinds"][int(g.kind[level])], g.edge(level)
        scaled = np.clip(place[mine, :axes] * (1.0 / edge), -1e15, 1e15)
        found, first, counts = np.unique(np.floor(scaled), axis=0, return_index=True, return_counts=True)
        depths = depth[mine][first].tolist()
        for where, count, d in zip(found.tolist(), counts.tolist(), depths, strict=True):
            low = tuple(c * edge if edge < np.inf else -np.inf for c in where)
            high = tuple((c + 1) * edge for c in where)
            out.append(Region(kind["name"], kind.get("profile"), float(g.scale[level]), low, high, count, d))
    return out
