"""Visibility: who may see what, and what observers look at besides where they stand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.columns import PAGE, reserve
from horizon_ecs.errors import ArgumentError
from horizon_ecs.handles import Handles, slots_in
from horizon_ecs.observers import FREE
from horizon_ecs.systems import observers as observer_kernels
from horizon_ecs.systems import visibility as kernels
from horizon_ecs.systems.grid import EVERYWHERE as _EVERYWHERE

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap
    from horizon_ecs.replication import Replicator
    from horizon_ecs.world import World

EVERYWHERE = int(_EVERYWHERE)
"""The room of an entity that is seen in all rooms."""

EVERYONE = 2**64 - 1  # the mask of what everyone sees, and of who sees everything
NO_OWNER, NOBODY = 0, 2**32 - 1  # what stands for an owner where there is none: whoever stands at it, or really nobody
_LOW, _HIGH_SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


class Sight:
    """Masks, rooms, owners, focuses and cones, a row an entity or observer; nothing of it is touched before it is used.

    Attributes
    ----------
    ways : int64[3]
        See `systems.visibility`.
    sight : uint64[n_slots, 2]
        Mask of who sees an entity; below its room, above its owner's number and 1.
    changed : uint32[n_slots];  turned : uint8[n_slots / 8]
        When `sight` changed last, and a bit for where it may have since any observer was evaluated.
    view : uint64[max_observers, 2]
        Mask of what an observer sees; below its room, above the tick at which either changed.
    focus : float32[max_observers, 12]
    owner_only : int64[n_kinds]
        Bit mask of channels.
    """

    def __init__(self, n_slots: int, max_observers: int, owner_only: NDArray[np.int64]) -> None:
        self.ways = np.zeros(kernels.N_WAYS, np.int64)
        self.sight = reserve((n_slots, 2), np.uint64)
        self.known = reserve((n_slots,), np.uint32)
        self.changed = reserve((n_slots,), np.uint32)
        self.turned = reserve((n_slots // 8,), np.uint8)
        self.view = reserve((max_observers, 2), np.uint64)
        self.focus = reserve((max_observers, kernels.N_FOCUS), np.float32)
        self.owner_only = owner_only
        self._settled = -1
        self.with_rooms = 0
        self.column: NDArray[Any] | None = None
        self.in_column: NDArray[np.bool_] = np.zeros(0, np.bool_)
        if owner_only.any():
            self.use()

    def use(self) -> None:
        """From now on it counts."""
        if not self.ways[kernels.IN_USE]:
            self.ways[kernels.IN_USE] = 1
            self.sight[:, 0] = self.view[:, 0] = EVERYONE

    def welcome(self, observer: int) -> None:
        """Give a new observer the defaults."""
        if self.ways[kernels.IN_USE]:
            self.view[observer] = EVERYONE, 0
            self.focus[observer] = 0

    def settle(self, world: World) -> None:
        """Forget what was said of entities that don't live any more."""
        if self.ways[kernels.IN_USE] and world.structure_version != self._settled:
            used = world.n_pages_used * PAGE
            kernels.forget_dead(
                world.generation[:used], self.known[:used], self.sight[:used], np.uint64(EVERYONE)
            )  # fmt: skip
            self._settled = world.structure_version

    def take_column(self, pages: NDArray[np.uint32], page_kind: NDArray[np.int16], tick: int) -> None:
        """Read the masks that a component has."""
        if self.column is not None:
            mine = pages[self.in_column[page_kind[pages]]]
            if kernels.take_masks(mine, self.column, np.uint32(tick), self.sight, self.changed):
                self.ways[kernels.LAST_CHANGE] = tick

    def mark_turned(self, oldest: int, n_slots: int) -> None:
        """Mark what may have changed since any list was last looked at."""
        if self.ways[kernels.LAST_CHANGE] > oldest:
            observer_kernels.mark_gone(self.changed[:n_slots], oldest, self.turned)

    def follow(self, moved: SlotMap, world: World) -> None:
        """What is said of entities goes with them to other slots."""
        if self.ways[kernels.IN_USE]:
            old, new = moved.old_slots, moved.new_slots
            told = self.known[old] == (moved.old >> _HIGH_SHIFT).astype(np.uint32)
            self.sight[new] = np.where(told[:, None], self.sight[old], np.array([EVERYONE, 0], np.uint64))
            self.changed[new] = self.changed[old]
            self.known[new] = world.generation[new]


class Visibility:
    """A replicator's masks, rooms, owners, and what its observers look at."""

    _sight: Sight

    def set_visible_to(self, handles: Handles, masks: ArrayLike) -> None:
        """Say who sees entities: an observer does where `masks & sees` isn't 0.

        What an observer may not see any more leaves with its next frame, whichever channels are due, and no byte of it
        is in any frame that is made from now on. What it may see from now on enters when a channel of it is due.

        Parameters
        ----------
        handles : uint64, uint64[n] or Query
        masks : uint64 or uint64[n]
            At first 2**64 - 1: everyone sees it. 0 hides it from everyone, the observer that stands at it included.

        Raises
        ------
        StaleHandleError, ArgumentError
        """
        slots = self._told(handles)
        values = _whole("masks", masks, len(slots), EVERYONE)
        if self._sight.column is not None:
            raise ArgumentError("set_visible_to: this replicator reads masks from a component (visible_to=)")
        self._change(slots, 0, values)

    def set_sees(self, observers: ArrayLike, masks: ArrayLike) -> None:
        """Say what observers see, see `set_visible_to`; at first 2**64 - 1.

        Parameters
        ----------
        observers : int or int[n]
        masks : uint64 or uint64[n]

        Raises
        ------
        ArgumentError
        """
        rows = self._rows(observers)
        values = _whole("masks", masks, len(rows), EVERYONE)
        self._sight.use()
        self._sight.view[rows, 0] = values
        self._change_view(rows, self._sight.view[rows, 1] & _LOW)

    def set_room(self, handles: Handles, rooms: ArrayLike) -> None:
        """Put entities into rooms: only observers in the same room see them, however near others are.

        Rooms may overlap in space by the thousand; a change of room is a leave and an enter, each in the next frame of
        whom it concerns.

        Parameters
        ----------
        handles : uint64, uint64[n] or Query
        rooms : uint32 or uint32[n]
            At first 0; `EVERYWHERE` for what is seen in all rooms.

        Raises
        ------
        StaleHandleError, ArgumentError
        """
        slots = self._told(handles)
        values = _whole("rooms", rooms, len(slots), EVERYWHERE)
        cast("Replicator", self)._readings.refuse("rooms", "set_room", slots)
        self._sight.use()
        self._sight.with_rooms = 1
        self._sight.ways[kernels.N_EVERYWHERE] |= int((values == EVERYWHERE).any())
        self._change(slots, 1, values | self._sight.sight[slots, 1] & ~_LOW)

    def set_observer_room(self, observers: ArrayLike, rooms: ArrayLike) -> None:
        """Put observers into rooms; at first 0. One that stands at an entity doesn't follow it into its room by itself,
        unless rooms are read from a component (`Replicator(rooms=...)`).

        Parameters
        ----------
        observers : int or int[n]
        rooms : uint32 or uint32[n]
            Not `EVERYWHERE`: an observer is in one.

        Raises
        ------
        ArgumentError
        """
        rows = self._rows(observers)
        values = _whole("rooms", rooms, len(rows), EVERYWHERE - 1)
        self._sight.use()
        self._change_view(rows, values)

    def set_focus(self, observers: ArrayLike, points: ArrayLike | None, scale: ArrayLike = 1.0) -> None:
        """Give observers a second centre of interest, such as what a camera looks at.

        An entity's effective distance is the lesser of that from where the observer stands and that from the focus
        divided by `scale`; on it radii and hysteresis are applied.

        Parameters
        ----------
        observers : int or int[n]
        points : float[2], float[3], float[n, 2] or float[n, 3]; or None
            None takes the focus away.
        scale : float or float[n]
            Above 0: radii around the focus are so many times as long.

        Raises
        ------
        ArgumentError
        """
        rows = self._rows(observers)
        values = np.zeros((len(rows), 5), np.float32)
        if points is not None:
            values[:, :3] = _vectors("points", points, len(rows))
            values[:, 3] = _factors("scale", scale, len(rows), positive=True)
            values[:, 4] = 1.0 / values[:, 3].astype(np.float64) ** 2
        self._sight.use()
        self._sight.focus[rows, kernels.FOCUS : kernels.FOCUS + 5] = values

    def set_view(
        self,
        observers: ArrayLike,
        directions: ArrayLike | None,
        half_angle: ArrayLike = math.pi / 4,
        *,
        inside: ArrayLike = 1.0,
        outside: ArrayLike = 1.0,
    ) -> None:
        """Let observers look into a cone: its inside has other radii than what lies beside and behind.

        The distance from where an observer stands is divided by `inside` or by `outside`; on what comes of it radii
        and hysteresis are applied.

        Parameters
        ----------
        observers : int or int[n]
        directions : float[2], float[3], float[n, 2] or float[n, 3]; or None
            Of any length but 0. None takes the cone away.
        half_angle : float or float[n]
            Radians, from 0 to pi.
        inside, outside : float or float[n]
            0 or more, not both 0; with 0 nothing there is followed (but on layers of infinite radius, which stay so).

        Raises
        ------
        ArgumentError
        """
        rows = self._rows(observers)
        values = np.zeros((len(rows), 7), np.float32)
        if directions is not None:
            values[:, :] = _cones(directions, half_angle, inside, outside, len(rows))
        self._sight.use()
        self._sight.focus[rows, kernels.DIRECTION :] = values

    def _rows(self, observers: ArrayLike) -> NDArray[np.int64]:
        """Observers as int64[n]. Raises ArgumentError."""
        given = np.atleast_1d(np.asarray(observers))
        status = cast("Replicator", self).status
        if given.ndim > 1 or (given.size and given.dtype.kind not in "iu"):
            raise ArgumentError(f"observers must be whole numbers in at most one dimension, not {observers!r}")
        rows = given.astype(np.int64)
        known = (rows >= 0) & (rows < len(status))
        known[known] = status[rows[known]] != FREE
        if not known.all():
            raise ArgumentError(f"observer {rows[~known][0]} doesn't exist")
        leader = cast("Replicator", self)._streams.leader[rows]
        if (leader != rows).any():
            at = int((leader != rows).argmax())
            raise ArgumentError(f"observer {rows[at]} shares what observer {leader[at]} sees: say it of that one")
        return rows

    def _told(self, handles: Handles) -> NDArray[np.uint32]:
        """The slots of entities of which something is about to be said. Raises StaleHandleError, ArgumentError."""
        world = cast("Replicator", self).world
        slots = world.slots_of(handles)
        self._sight.use()
        self._sight.settle(world)
        return slots

    def _next_tick(self) -> int:
        """The tick of the next step: what is said now is later than what any observer was told."""
        last = cast("Replicator", self)._last_tick
        return cast("Replicator", self).world.tick_count if last is None else last + 1

    def _change(self, slots: NDArray[np.uint32], column: int, values: NDArray[np.uint64]) -> None:
        tick = self._next_tick()
        self._sight.sight[slots, column] = values
        self._sight.changed[slots] = self._sight.ways[kernels.LAST_CHANGE] = tick

    def _change_view(self, rows: NDArray[np.int64], rooms: NDArray[np.uint64]) -> None:
        tick = self._next_tick()
        self._sight.view[rows, 1] = rooms | np.uint64(tick) << _HIGH_SHIFT
        self._sight.ways[kernels.LAST_CHANGE] = tick


def _whole(name: str, values: ArrayLike, n: int, most: int) -> NDArray[np.uint64]:
    """Whole numbers from 0 to `most`, one or `n`, as uint64[n]. Raises ArgumentError."""
    if isinstance(values, int | np.integer) and not isinstance(values, bool) and 0 <= values <= most:
        return np.full(n, values, np.uint64)
    given = np.asarray(values)
    sound = given.dtype.kind in "iu" and given.shape in ((), (n,))
    if not sound or (given.size and (given.min() < 0 or int(given.max()) > most)):
        raise ArgumentError(f"{name} must be a whole number from 0 to {most}, or {n} of them, not {values!r}")
    return np.broadcast_to(given.astype(np.uint64), (n,))


def _vectors(name: str, values: ArrayLike, n: int) -> NDArray[np.float64]:
    """Two or three finite numbers, once or `n` times, as float64[n, 3]. Raises ArgumentError."""
    given = np.asarray(values, np.float64)
    if given.shape not in ((2,), (3,), (n, 2), (n, 3)) or not np.isfinite(given).all():
        raise ArgumentError(f"{name} must be two or three finite numbers, or {n} rows of them, not {values!r}")
    out = np.zeros((n, 3))
    out[:, : given.shape[-1]] = given
    return out


def _factors(name: str, values: ArrayLike, n: int, *, positive: bool = False) -> NDArray[np.float64]:
    """Finite numbers from 0, one or `n`, as float64[n]. Raises ArgumentError."""
    given = np.asarray(values, np.float64)
    sound = given.shape in ((), (n,)) and np.isfinite(given).all() and (given <= 1e6).all()
    if not sound or not ((given >= 1e-6) | (given == 0) & (not positive)).all():
        least = "1e-6" if positive else "1e-6 (or 0)"
        raise ArgumentError(f"{name} must be a number from {least} to 1e6, or {n} of them, not {values!r}")
    return np.broadcast_to(given, (n,))


def _cones(directions: ArrayLike, half_angle: ArrayLike, inside: ArrayLike, outside: ArrayLike, n: int
           ) -> NDArray[np.float64]:  # fmt: skip
    """Direction, cosine, inverse squares of the factors, and the greater one, float64[n, 7]. Raises ArgumentError."""
    toward = _vectors("directions", directions, n)
    length = np.sqrt((toward**2).sum(axis=1))
    angle = np.asarray(half_angle, np.float64)
    near, far = _factors("inside", inside, n), _factors("outside", outside, n)
    if not (length > 0).all():
        raise ArgumentError(f"directions must have a length, not {directions!r}")
    if angle.shape not in ((), (n,)) or not ((angle >= 0) & (angle <= math.pi)).all():
        raise ArgumentError(f"half_angle must be from 0 to pi radians, or {n} such, not {half_angle!r}")
    if not (np.maximum(near, far) > 0).all():
        raise ArgumentError("inside and outside can't both be 0: nothing would be followed; hold the observer instead")
    with np.errstate(divide="ignore"):
        inverse = [1.0 / near**2, 1.0 / far**2]
    columns = [toward / length[:, None], np.broadcast_to(np.cos(angle), (n,))[:, None]]
    return np.concatenate([*columns, *(v[:, None] for v in (*inverse, np.maximum(near, far)))], axis=1)


def owners_of(sight: Sight, handles: NDArray[np.uint64]) -> NDArray[np.int64]:
    """int64[n]: the observer that each entity was given as its owner; -1 for none, -2 for nobody."""
    owner = (sight.sight[slots_in(handles), 1] >> _HIGH_SHIFT).astype(np.int64)
    return np.where(owner == NOBODY, -2, owner - 1)
