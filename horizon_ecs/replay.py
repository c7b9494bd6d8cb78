"""Replay: a world in which recorded tracks happen again, a frame a tick."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import component
from horizon_ecs.declare import system
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import f4
from horizon_ecs.kinds import Kind, Layer
from horizon_ecs.tracks import Tracks
from horizon_ecs.world import World

_SLOT_MASK = np.uint64(0xFFFFFFFF)


@component
class Position:
    """Where a person is, in the recording's units."""

    x: f4
    y: f4
    z: f4


class Replay:
    """Recorded tracks being played in a world; made by `replay_world`.

    Attributes
    ----------
    world : World
        Its tick rate is the recording's times `speed`; each tick shows one frame.
    tracks : Tracks
    kind : Kind
        Of everybody who walks here, "Person".
    loop : bool
    handle : uint64[n_ids]
        By the order of `tracks.ids`: the entity that is this id now, 0 where it isn't there.
    frame : int
        The frame that the world shows; one less than the first before the first tick.
    paused : bool
        Set it to have ticks show the same frame again.
    done : bool
        Without `loop`: the recording is over, and the world empty.
    """

    def __init__(self, tracks: Tracks, world: World, kind: Kind, loop: bool) -> None:
        self.tracks, self.world, self.kind, self.loop = tracks, world, kind, loop
        self.handle = np.zeros(tracks.n_ids, np.uint64)
        self.frame = tracks.first_frame - 1
        self.paused = False
        self.done = False
        self._person = np.searchsorted(tracks.ids, tracks.id)
        self._here = np.zeros(0, np.intp)  # persons of the frame that the world shows

    @property
    def alive(self) -> NDArray[np.int64]:
        """int64[n]: the ids that are there now, ascending."""
        return self.tracks.ids[self._here]

    def show_next(self) -> None:
        """Turn to the next frame; what the world's system calls once a tick."""
        if self.done or self.paused:
            return
        self.frame += 1
        if self.frame > self.tracks.last_frame:
            self._vanish(self._here)
            self.done = not self.loop
            self.frame = self.tracks.last_frame if self.done else self.tracks.first_frame
        self._show(slice(0, 0) if self.done else self.tracks.rows_of(self.frame))

    def _show(self, rows: slice) -> None:
        """End those who have no row, move those who have one, bring the new ones to life."""
        here = self._person[rows]
        present = np.zeros(len(self.handle), np.bool_)
        present[here] = True
        self._vanish(self._here[~present[self._here]])
        self._here = here
        where = np.stack([axis[rows] for axis in (self.tracks.x, self.tracks.y, self.tracks.z)], axis=1)
        new = self.handle[here] == 0
        self._move(self.handle[here[~new]], where[~new])
        self.handle[here[new]] = self.world.spawn(self.kind, int(new.sum()), Position=where[new])

    def _move(self, handles: NDArray[np.uint64], where: NDArray[np.float32]) -> None:
        alive = self.world.alive(handles)  # another system may have ended someone, who then stays away
        slots = handles[alive] & _SLOT_MASK
        columns = self.world[Position]
        columns.x[slots], columns.y[slots], columns.z[slots] = where[alive].T

    def _vanish(self, persons: NDArray[np.intp]) -> None:
        self.world.despawn(self.handle[persons], missing="ignore")
        self.handle[persons] = 0
        self._here = np.setdiff1d(self._here, persons)

    def __repr__(self) -> str:
        return f"Replay(frame {self.frame} of {self.tracks!r}, {len(self._here)} there)"


def replay_world(
    tracks: Tracks,
    *,
    precision: float = 1 / 512,
    radius: float | None = None,
    speed: float = 1.0,
    loop: bool = True,
    layers: Iterable[Layer] | None = None,
    capacity: int | None = None,
) -> Replay:
    """A world that plays a recording.

    Parameters
    ----------
    tracks : Tracks
    precision : float
        Positions are sent as multiples of it, world units.
    radius : float, optional
        Who is within it sees a person; by default everybody does.
    speed : float
        Ticks a second are the recording's rate times this.
    loop : bool
        At the end everybody vanishes and the recording starts again; else the world stays empty and `done` is True.
    layers : sequence of Layer, optional
        Of this module's `Position`, instead of one on channel 0 that sends every tick (`precision` and `radius` are
        of that one).
    capacity : int, optional
        Of the world; by default twice what the fullest frame needs, and a page.

    Returns
    -------
    Replay : its world has no entity before the first tick.

    Raises
    ------
    ArgumentError, DefinitionError
    """
    if not isinstance(speed, int | float) or not 0 < speed < math.inf:
        raise ArgumentError(f"speed must be a positive number, not {speed!r}")
    tick_rate = tracks.rate * speed
    every_tick = Layer(0, math.inf if radius is None else radius, tick_rate, [Position], precision)
    kind = Kind("Person", Position, layers=[every_tick] if layers is None else layers)
    world = World(capacity or 2 * tracks.n_alive_max + PAGE, tick_rate=tick_rate, kinds=[kind])
    replay = Replay(tracks, world, kind, loop)

    @system(form="columns")
    def show_next_frame(world: World) -> None:
        replay.show_next()

    world.add_system(show_next_frame)
    return replay
