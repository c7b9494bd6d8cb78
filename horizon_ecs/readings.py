"""Readings: fields of components that say in every step what users could also say by calls, such as an entity's room.

What stands in a column is saved with its world, is copied with it, and is written by systems.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import component_type, fields_of
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.handles import slots_in
from horizon_ecs.kinds import Kind
from horizon_ecs.levels import MAX_SCALE
from horizon_ecs.observers import FREE
from horizon_ecs.systems import visibility as kernels
from horizon_ecs.systems.grid import EVERYWHERE as _EVERYWHERE

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator
    from horizon_ecs.world import World

_EXAMPLES = {"visible_to": "Team.mask", "rooms": "Place.room", "profiles": "Mode.profile", "radius_scales": "Hull.seen"}
_TYPES = {"visible_to": "u4 u8", "rooms": "u4", "profiles": "u1", "radius_scales": "f4"}


class Reading(NamedTuple):
    """A column that is read, "Place.room", and bool[n_kinds + 1]: which schema kinds have it, the last being none."""

    name: str
    column: NDArray[Any]
    in_kind: NDArray[np.bool_]

    def pages(self, pages: NDArray[np.uint32], page_kind: NDArray[np.int16]) -> NDArray[np.uint32]:
        """Those whose entities have it."""
        return pages[self.in_kind[page_kind[pages]]]


def find_reading(world: World, kinds: Sequence[Kind], option: str, name: str) -> Reading:
    """What a replicator's option names; kinds in the schema's order. Raises DefinitionError."""
    component_name, _, field = str(name).partition(".")
    found = {c for kind in kinds for c in kind.components if c.__name__ == component_name}
    if len(found) != 1 or field not in {f.name for f in fields_of(next(iter(found)))}:
        raise DefinitionError(
            f"{option} names a field of a component that kinds with layers have, such as {_EXAMPLES[option]!r}, not "
            f"{name!r}"
        )
    component = component_type(found.pop())
    column = world.column(component, field)
    if column.dtype.str[1:] not in _TYPES[option].split():
        wanted = _TYPES[option].replace(" ", " or ")
        raise DefinitionError(f"{option}={name!r} must be a field of type {wanted}, not {column.dtype.name}")
    return Reading(name, column, np.array([component in kind.components for kind in kinds] + [False]))


class Readings:
    """What a replicator reads of components besides what it replicates.

    Parameters
    ----------
    replicator : Replicator
    kinds : sequence of Kind
        In the schema's order, one for each profile.
    **options : str or None
        By the replicator's option: "rooms", "profiles", "radius_scales".
    """

    def __init__(self, replicator: Replicator, kinds: Sequence[Kind], **options: str | None) -> None:
        self._replicator = replicator
        self._read = {
            option: find_reading(replicator.world, kinds, option, name) for option, name in options.items() if name
        }
        self._n_profiles = np.array([len(kind.every_profile) for kind in kinds], np.uint8)
        if "rooms" in self._read:
            replicator._sight.use()
            replicator._sight.with_rooms = 1
        if "profiles" in self._read or "radius_scales" in self._read:
            replicator._have_extents()

    def refuse(self, option: str, call: str, slots: NDArray[np.uint32]) -> None:
        """Raise ArgumentError where a call would say what is read for some of these entities."""
        world, reading = self._replicator.world, self._read.get(option)
        if reading is not None:
            numbers = self._replicator._kind_number[world.page_kind[slots // PAGE]]
            if reading.in_kind[numbers].any():
                raise ArgumentError(f"{call}: it is read from {reading.name} ({option}=): write there")

    def take(self, pages: NDArray[np.uint32], tick: int) -> None:
        """Read what is to hold in this step."""
        page_kind = self._replicator._page_kind
        for option, reading in self._read.items():
            mine = reading.pages(pages, page_kind)
            if option == "rooms":
                self._take_rooms(mine, reading, tick)
                self._take_observers(reading)
            elif option == "profiles":
                self._take_profiles(mine, reading, page_kind, tick)
            else:
                self._take_scales(mine, reading, tick)

    def _take_rooms(self, pages: NDArray[np.uint32], reading: Reading, tick: int) -> None:
        sight = self._replicator._sight
        # A view of the lower halves: nothing has to be computed where nothing changed.
        known = sight.sight.view("<u4")[:, 2]
        given = _rows(reading.column, pages)
        slots, values = self._differing(pages, given, given != _rows(known, pages), tick)
        if len(slots):
            known[slots] = values
            sight.ways[kernels.N_EVERYWHERE] |= int((values == _EVERYWHERE).any())
            sight.changed[slots] = sight.ways[kernels.LAST_CHANGE] = tick

    def _take_observers(self, reading: Reading) -> None:
        """Who stands at an entity is in its room; where that is in all, in the one that it was in."""
        replicator, world = self._replicator, self._replicator.world
        table = replicator._table
        entity = table.entity[: table.n_used]
        rows = np.flatnonzero((table.status[: table.n_used] != FREE) & (entity != 0))
        rows = rows[world.alive(entity[rows])]
        slots = slots_in(entity[rows])
        rooms = reading.column[slots]
        mine = reading.in_kind[replicator._page_kind[slots // PAGE]] & (rooms != _EVERYWHERE)
        mine &= replicator._sight.view[rows, 1].astype(np.uint32) != rooms
        if mine.any():
            replicator._change_view(rows[mine], rooms[mine].astype(np.uint64))

    def _take_profiles(
        self, pages: NDArray[np.uint32], reading: Reading, page_kind: NDArray[np.int16], tick: int
    ) -> None:
        extents = self._replicator._have_extents()
        given = _rows(reading.column, pages)
        given = np.where(given < self._n_profiles[page_kind[pages]][:, None], given, np.uint8(0))
        known = self._said(extents.given, pages)
        extents.set_profile(*self._differing(pages, given, ~known | (given != _rows(extents.profile, pages)), tick))

    def _take_scales(self, pages: NDArray[np.uint32], reading: Reading, tick: int) -> None:
        extents = self._replicator._have_extents()
        given = _rows(reading.column, pages)
        given = np.clip(np.where(np.isnan(given), np.float32(1), given), 1 / MAX_SCALE, MAX_SCALE).astype(np.float32)
        known = self._said(extents.given, pages)
        extents.set_scale(*self._differing(pages, given, ~known | (given != _rows(extents.scale, pages)), tick))

    def _said(self, given: NDArray[np.uint32], pages: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """bool[n, PAGE]: of whom something was said since they live."""
        said: NDArray[np.bool_] = _rows(given, pages) == _rows(self._replicator.world.generation, pages)
        return said

    def _differing(
        self, pages: NDArray[np.uint32], given: NDArray[Any], differs: NDArray[np.bool_], tick: int
    ) -> tuple[NDArray[np.uint32], NDArray[Any]]:
        """The slots, and what is given for them, where that is news and somebody lives."""
        if not differs.any():
            return np.zeros(0, np.uint32), given.reshape(-1)[:0]
        page, row = np.nonzero(differs & (_rows(self._replicator.world.born, pages) <= tick))
        return (pages[page].astype(np.int64) * PAGE + row).astype(np.uint32), given[page, row]


def _rows(column: NDArray[Any], pages: NDArray[np.uint32]) -> NDArray[Any]:
    """[n, PAGE]: what stands in some pages, a copy."""
    copied: NDArray[Any] = column[: len(column) // PAGE * PAGE].reshape(-1, PAGE)[pages]
    return copied
