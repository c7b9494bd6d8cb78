"""Records: what every entity's difference is coded as, once for all who follow it.

They are made for whole pages where enough of a page is asked for, else one by one by whoever asks. Groups that change
now and then are quiet: one bit tells where there is anything to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import reserve
from horizon_ecs.crew import Crew, shares
from horizon_ecs.schema import MAX_CHANNELS, MAX_GROUP_FIELDS, Tables
from horizon_ecs.systems import delta, frames, rice
from horizon_ecs.systems.extents import MIXED

if TYPE_CHECKING:
    from horizon_ecs.extents import Extents
    from horizon_ecs.world import World

RICE_DEFAULT = 4
RICE_GAIN = 0.98  # a new parameter must save this much, else each change would cost more than it brings

# A page's records cost some 3 µs a channel and group, looking one up in the history 0.1: from here on the page is made.
ENOUGH_FOR_A_PAGE = 32
# Looking at every record costs no more than looking for those that say something, where so many do.
LOUD_SHARE = 0.25
LOUD_TICKS = 256  # so long a block counts as loud before it is looked at again


class Records:
    """Codes what changed, and keeps what coding needs: Rice parameters, and who asked for what.

    Parameters
    ----------
    tables : Tables
    n_pages, stride, n_threads : int
        Pages of the world; slots a row; threads that ask.

    Attributes
    ----------
    records : uint64[C * G, stride]     see `systems.delta`
    rice : uint8[K, C, G, 4]; rice_flat : uint8[P]; rice_tick : uint32[P]   parameters and when each changed last
    lead : uint8[K, C]                  the first group of a channel, whose records tell when a quiet one has something
    loud : uint8[C * G]                 0 for blocks that are quiet now
    plans : uint32[K, 2**C, 2**C]       what is due of an entry, by due channels and mask (`systems.frames`)
    bulk : uint8[n_pages, C]            1 where a page's records are made
    uses : uint32[n_threads, n_pages, C]; said : int64[n_threads, C * G, 2]   counted while frames are made
    stamped : set of int                tracks of which must be noted when they change
    """

    def __init__(self, tables: Tables, n_pages: int, stride: int, n_threads: int) -> None:
        n_kinds, n_channels, n_groups = tables.first_parameter.shape
        self._tables = tables
        self.records = reserve((n_channels * n_groups, stride), np.uint64)
        self.rice = np.full((n_kinds, n_channels, n_groups, MAX_GROUP_FIELDS), RICE_DEFAULT, np.uint8)
        self.rice_flat = np.full(tables.n_parameters, RICE_DEFAULT, np.uint8)
        self.rice_tick = np.zeros(tables.n_parameters, np.uint32)
        self.bulk, self.no_bulk = np.zeros((n_pages, n_channels), np.uint8), np.zeros((n_pages, n_channels), np.uint8)
        self.uses = np.zeros((n_threads, n_pages, n_channels), np.uint32)
        self.said = np.zeros((n_threads, n_channels * n_groups, 2), np.int64)
        self._followed_tick = np.zeros(n_pages, np.int64)
        self._code = np.zeros((n_threads, delta.PAGE), np.uint64)
        self._scratch = np.zeros((n_threads, 4, delta.PAGE), np.uint32)
        self._cost = np.zeros(32, np.int64)
        self._all_specs = np.argwhere(tables.carried().any(axis=3))
        self._find_quiet_groups()

    def _find_quiet_groups(self) -> None:
        """Which blocks may be quiet: those of fields that are told by their previous value.

        Each channel's first group isn't: in its records it is told whether a quiet one has anything to say.
        """
        tables = self._tables
        n_kinds, n_channels, n_groups = tables.first_parameter.shape
        carried = tables.carried()
        used: NDArray[np.bool_] = np.any(carried, axis=3)
        self.lead = np.where(used.any(axis=2), used.argmax(axis=2), 0).astype(np.uint8)
        leads = np.arange(n_groups) == self.lead[:, :, None]
        steady = ((tables.order == 1) | (tables.order == 3) | ~carried).all(axis=3) & ~leads
        may_be_quiet = (steady | ~used).all(axis=0) & used.any(axis=0)
        quiet = carried & may_be_quiet[None, :, :, None]
        self._may_be_quiet = may_be_quiet.ravel()
        self._loud_until = np.zeros(n_channels * n_groups, np.int64)
        self.loud = (~self._may_be_quiet).astype(np.uint8)
        self.plans = np.zeros((n_kinds, 1 << n_channels, 1 << n_channels), np.uint32)
        self._plan()
        tracks = [np.unique(tables.track[k][quiet[k]]) for k in range(n_kinds)]
        self._quiet_tracks = np.full((n_kinds, 1 + max(map(len, tracks))), -1, np.int32)
        for row, numbers in zip(self._quiet_tracks, tracks, strict=True):
            row[: len(numbers)] = numbers
        self.stamped = set(tables.track[(carried & (tables.order == 0)) | quiet].tolist())

    def _plan(self) -> None:
        """What is worth making in advance, and what is due of an entry, as blocks are loud or quiet now."""
        tables = self._tables
        n_kinds, n_channels, n_groups = tables.first_parameter.shape
        block = self._all_specs[:, 1] * n_groups + self._all_specs[:, 2]
        self._specs = np.ascontiguousarray(self._all_specs[self.loud[block] != 0])
        due, mask = np.arange(1 << n_channels)[:, None], np.arange(1 << n_channels)
        for k in range(n_kinds):
            groups, quiet, n_loud, channels = (np.zeros((len(due), len(mask)), np.int64) for _ in range(4))
            channel, leads = np.zeros_like(groups), np.zeros_like(groups)
            for j in np.flatnonzero(tables.n_fields[k]).tolist():
                carrier = tables.carrier[k, j, mask].astype(np.int64)
                on = due >> np.minimum(carrier, MAX_CHANNELS) & 1
                carrier = np.minimum(carrier, n_channels - 1)
                loud = self.loud[carrier * n_groups + j]
                groups |= on << j
                quiet |= (on & (1 - loud)) << j
                n_loud += on & loud
                leads |= on & loud & (self.lead[k, carrier] == j)
                channels |= on << carrier
                channel = np.where(on == 1, carrier, channel)
            simple = (n_loud == 1) & (leads == 1) & (channels & (channels - 1) == 0)
            block = channel * n_groups + self.lead[k, channel]
            self.plans[k] = np.where(
                simple,
                groups | block << frames.PLAN_BLOCK | frames.PLAN_SIMPLE | quiet << frames.PLAN_QUIET,
                groups,
            ) | (channel << frames.PLAN_CHANNEL)

    def encode(
        self, pages: NDArray[np.uint32], first_kind: NDArray[np.int16], extents: Extents | None, tick: int,
        history: NDArray[np.int32], changed: NDArray[np.uint32], world: World, crew: Crew, n_parts: int,
    ) -> None:  # fmt: skip
        """Make this tick's records of the pages of which enough was asked for in the last one."""
        tables = self._tables
        page_kind = first_kind if extents is None else extents.page_kind
        if extents is not None:
            self.bulk[pages[extents.mixed(pages)]] = 0  # entities of several profiles: each is looked up by itself
        self._tune(pages, first_kind, page_kind, tick, history, world)
        parts = shares(pages, n_parts)

        def encode(part: int, thread: int) -> None:
            delta.encode_records(
                self._specs, parts[part], page_kind, self.bulk, tick, history, changed, tables.depth, tables.track,
                tables.order, self.rice, tables.period, tables.n_fields, self._quiet_tracks, world.born,
                world.structure_tick, self.records, self._code[thread], self._scratch[thread]
            )  # fmt: skip

        crew.run(encode, n_parts)

    def _tune(
        self,
        pages: NDArray[np.uint32],
        first_kind: NDArray[np.int16],
        page_kind: NDArray[np.int16],
        tick: int,
        history: NDArray[np.int32],
        world: World,
    ) -> None:
        """Measure one (kind, channel, group) a tick, and change a Rice parameter where another is clearly shorter."""
        if not len(self._all_specs):
            return
        tables = self._tables
        k, c, j = (int(v) for v in self._all_specs[tick % len(self._all_specs)])
        asked_for = pages[self._followed_tick[pages] >= tick - tables.longest_period]
        # A page with several profiles is a sample of each.
        several = (page_kind == MIXED) & (first_kind == tables.profiles[k, 0])
        page_kind = np.where(several, np.int16(k), page_kind)
        for f in range(tables.n_fields[k, j]):
            n = rice.measure_rice(
                asked_for, page_kind, k, tick, history, tables.depth, tables.track[k, c, j, f],
                tables.order[k, c, j, f], tables.period[k, c], world.born, self._cost
            )  # fmt: skip
            best = int(np.argmin(self._cost))
            if n and self._cost[best] < RICE_GAIN * self._cost[self.rice[k, c, j, f]]:
                number = tables.first_parameter[k, c, j] + f
                self.rice[k, c, j, f] = self.rice_flat[number] = best
                self.rice_tick[number] = tick

    def count(self, tick: int) -> None:
        """Learn from what this tick's frames asked for what to make in advance for the next ones."""
        delta.choose_pages(self.uses, ENOUGH_FOR_A_PAGE, tick, self._followed_tick, self.bulk)
        n, n_said = self.said.sum(axis=0).T
        self.said[:] = 0
        talkative = (self.loud == 0) & (n_said > LOUD_SHARE * n)
        quiet = ~talkative & (self._loud_until <= tick) & self._may_be_quiet
        self._loud_until[talkative] = tick + LOUD_TICKS
        if talkative.any() or (self.loud[quiet] != 0).any():
            self.loud[talkative], self.loud[quiet] = 1, 0
            self._plan()
