"""Interpolation: what a Replica knows, drawn smoothly. Whole columns; no I/O, time is an argument."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import kernel
from horizon_ecs.components import nearest
from horizon_ecs.decoded import Place, places_of
from horizon_ecs.errors import ArgumentError
from horizon_ecs.replica import Replica
from horizon_ecs.schema import MAX_GROUP_FIELDS
from horizon_ecs.systems import interpolate

MODES = {
    "step": interpolate.STEP,
    "linear": interpolate.LINEAR,
    "hermite": interpolate.HERMITE,
    "angle": interpolate.ANGLE,
    "rotation": interpolate.ROTATION,
}
BLEND_S = 0.15
MAX_BEYOND_S = 1.0
HISTORY = 8

_Names = tuple[str, tuple[str, ...]]


class Interpolator:
    """Draws what a replica knows between its samples, a period of each one's channel behind.

    Call `update` after every frame that the replica applied, and `sample` whenever something is drawn.

    Parameters
    ----------
    replica : Replica
    tick_rate : float
        Ticks a second, from the welcome.
    components : sequence of str, optional
        What to draw; everything by default.
    modes : mapping of str to str
        By "Component" or "Component.field" how it is drawn: "linear"; "hermite", smooth through corners; "angle",
        radians the short way round; "rotation", a component of four fields that is a unit quaternion; "step", the
        last value that was due. Floats are linear, everything else steps.
    max_speed : mapping of str to float
        By component, in units a second: a step that would take more is a teleport, and isn't drawn as a way.
    max_beyond_s : float
        How long something goes on in a straight line when no frame comes; then it stands. The server is silent for
        no longer than the welcome's `max_silence_ticks` while all goes on straight.
    blend_s : float
        In which time something glides to where it should be, after it went on too far or changed its channel.
    history : int
        Samples kept of each entity: enough for the longest lateness of frames in periods, and two.

    Raises
    ------
    ArgumentError
    """

    def __init__(
        self, replica: Replica, *, tick_rate: float, components: Sequence[str] | None = None,
        modes: Mapping[str, str] | None = None, max_speed: Mapping[str, float] | None = None,
        max_beyond_s: float = MAX_BEYOND_S, blend_s: float = BLEND_S, history: int = HISTORY
    ) -> None:  # fmt: skip
        if not (tick_rate > 0 and max_beyond_s >= 0 and blend_s > 0 and history >= 2):
            raise ArgumentError(
                f"tick_rate and blend_s must be positive, max_beyond_s not negative and history at least 2, not "
                f"{tick_rate!r}, {blend_s!r}, {max_beyond_s!r}, {history!r}"
            )
        self._replica = replica
        self._max_beyond_s, self._blend_s = max_beyond_s, blend_s
        groups = _groups_of(replica.schema)
        chosen = _modes_of(groups, modes or {}, replica.schema)
        speeds = _speeds_of(groups, max_speed or {})
        _require(groups, "components", components or ())
        self._tracks = [
            _Track(names, where, chosen[names], [blend_s * tick_rate, max_beyond_s * tick_rate,
                   speeds.get(names[0], math.inf) / tick_rate], history)
            for names, where in groups.items() if components is None or names[0] in components
        ]  # fmt: skip
        self._places = np.zeros(0, np.int64)
        self._free = np.zeros(0, np.int64)
        kernel.warm_up("interpolate")

    def __repr__(self) -> str:
        return f"Interpolator({self.n} entities, {[name for track in self._tracks for name in track.columns]})"

    @property
    def n(self) -> int:
        """How many entities a sample has."""
        return len(self._places)

    def update(self, tick: float) -> None:
        """Take over what the last frame brought.

        Parameters
        ----------
        tick : float
            What is drawn now: `ServerClock.playout`.
        """
        entered = self._follow()
        for track in self._tracks:
            track.update(self._replica, self._places, entered, tick)

    def _follow(self) -> NDArray[np.uint8]:
        """Give every entity a place that it keeps, and say who is new."""
        previous = self._replica.previous
        entered = (previous < 0) | (previous >= len(self._places))
        if not entered.any() and len(previous) == len(self._places) and (previous == np.arange(len(previous))).all():
            return entered.astype(np.uint8)
        left = np.ones(len(self._places), bool)
        left[previous[~entered]] = False
        places = np.empty(len(previous), np.int64)
        places[~entered] = self._places[previous[~entered]]
        free = np.concatenate([self._free, self._places[left]])
        n = int(entered.sum())
        if n > len(free):
            free = np.concatenate([free, self._grow(n - len(free))])
        places[entered], self._free = free[:n], free[n:]
        self._places = places
        return entered.astype(np.uint8)

    def _grow(self, missing: int) -> NDArray[np.int64]:
        """Make more places than are missing."""
        before = self._tracks[0].capacity if self._tracks else 0
        capacity = before + max(missing, before, 64)
        for track in self._tracks:
            track.grow(capacity)
        return np.arange(before, capacity, dtype=np.int64)

    def sample(self, tick: float) -> dict[str, NDArray[np.float64]]:
        """What is to be drawn.

        Parameters
        ----------
        tick : float
            `ServerClock.playout`.

        Returns
        -------
        dict of str to float64[n] : by "Component.field" its values in the order of the replica's table as of the
        last `update`, NaN where a kind lacks it or nothing has come.
        """
        columns: dict[str, NDArray[np.float64]] = {}
        for track in self._tracks:
            columns |= zip(track.columns, track.sample(self._places, tick), strict=True)
        return columns

    def sample_row(self, row: int, tick: float) -> dict[str, float]:
        """What is to be drawn of one entity, by "Component.field". Raises ArgumentError where there is no such row."""
        if not 0 <= row < self.n:
            raise ArgumentError(f"row must lie between 0 and {self.n - 1}, not {row!r}")
        places = self._places[row : row + 1]
        return {
            name: float(value)
            for track in self._tracks
            for name, value in zip(track.columns, track.sample(places, tick)[:, 0], strict=True)
        }


class _Track:
    """The rings of what travels together (see systems/interpolate.py)."""

    def __init__(
        self, names: _Names, where: dict[int, int], modes: list[int], settings: list[float], history: int
    ) -> None:
        self.component, self.fields = names
        self.columns = [f"{self.component}.{field}" for field in self.fields]
        self._group = np.full(256, -1, np.int64)
        self._group[list(where)] = list(where.values())
        self._mode = np.array(modes, np.uint8)
        self._settings = np.array(settings)
        n = len(modes)
        self._arrays: list[NDArray[Any]] = [
            np.zeros((0, history)), np.zeros((0, history, n)), np.zeros((0, history), np.uint8), np.zeros(0, np.int64),
            np.zeros(0, np.int64), np.zeros((0, n)), np.zeros((0, n)), np.zeros(0), np.zeros((0, 3))
        ]  # fmt: skip

    @property
    def capacity(self) -> int:
        return len(self._arrays[0])

    def grow(self, capacity: int) -> None:
        for a, array in enumerate(self._arrays):
            more = np.zeros((capacity - len(array), *array.shape[1:]), array.dtype)
            self._arrays[a] = np.concatenate([array, more])

    def update(self, replica: Replica, places: NDArray[np.int64], entered: NDArray[np.uint8], tick: float) -> None:
        group = self._group[replica.kind]
        period = replica.period(group).astype(np.float64)
        interpolate.retime(places, entered, period, tick, self._arrays[-1])
        self._arrays[4][places[entered != 0]] = 0
        fresh = np.flatnonzero(replica.is_due(group))
        sampled = replica.tick - (replica.tick + replica.phase) % np.maximum(period[fresh], 1)
        given, before = (
            np.stack([column(self.component, field)[fresh] for field in self.fields], axis=-1)
            for column in (replica.column, replica.column_before)
        )
        interpolate.push(
            places[fresh], entered[fresh], sampled, period[fresh], given, before, tick, *self._arrays, self._mode,
            self._settings, np.zeros((4, 4))
        )  # fmt: skip

    def sample(self, places: NDArray[np.int64], tick: float) -> NDArray[np.float64]:
        out = np.empty((len(self.fields), len(places)))
        interpolate.sample(places, tick, *self._arrays, self._mode, self._settings, out)
        return out


def _groups_of(schema: Mapping[str, Any]) -> dict[_Names, dict[int, int]]:
    """By component and names of values that travel together: the number of the group in each kind."""
    found: dict[_Names, dict[int, int]] = {}
    for k, kind in enumerate(schema["kinds"]):
        for j, group in enumerate(kind["groups"]):
            for names in _chunks(group["fields"]):
                found.setdefault((group["component"], tuple(names)), {})[k] = j
    return found


def _chunks(fields: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """The values of a group, at most four together: those that have a field of their own, and those that share one."""
    own = [field["name"] for field in fields if field["codec"] != "packed"]
    if own:
        yield own
    packed = [part["name"] for field in fields if field["codec"] == "packed" for part in field["parts"]]
    for first in range(0, len(packed), MAX_GROUP_FIELDS):
        yield packed[first : first + MAX_GROUP_FIELDS]


def _modes_of(
    groups: Mapping[_Names, dict[int, int]], asked: Mapping[str, str], schema: Mapping[str, Any]
) -> dict[_Names, list[int]]:
    """How each number of each group is drawn."""
    known = {name for component, fields in groups for name in (component, *(f"{component}.{f}" for f in fields))}
    for name, mode in asked.items():
        if name not in known:
            raise ArgumentError(f"modes: no kind replicates {name}{nearest(name, known)} (there are {sorted(known)})")
        if mode not in MODES:
            raise ArgumentError(f"modes: {name} is {mode!r}, must be one of {sorted(MODES)}")
    chosen = {}
    places = places_of(schema)
    for names in groups:
        component, fields = names
        words = [
            asked.get(f"{component}.{field}", asked.get(component, _usual(places[component, field][0])))
            for field in fields
        ]
        if "rotation" in words and words != ["rotation"] * 4:
            raise ArgumentError(
                f"modes: {component} must have four fields to be a rotation, not {list(fields)} as {words}"
            )
        chosen[names] = [MODES[word] for word in words]
    return chosen


def _usual(place: Place) -> str:
    """How a value is drawn that nothing is said of."""
    if place.codec in ("angle", "rotation"):
        return place.codec
    return "linear" if place.codec != "packed" and place.type.startswith("f") else "step"


def _speeds_of(groups: Mapping[_Names, Any], asked: Mapping[str, float]) -> dict[str, float]:
    _require(groups, "max_speed", asked)
    for component, speed in asked.items():
        if not speed > 0:
            raise ArgumentError(f"max_speed: that of {component} must be positive, not {speed!r}")
    return dict(asked)


def _require(groups: Mapping[_Names, Any], argument: str, asked: Iterable[str]) -> None:
    """Refuse components that no kind replicates."""
    known = {component for component, _ in groups}
    for component in asked:
        if component not in known:
            raise ArgumentError(
                f"{argument}: no kind replicates {component}{nearest(component, known)} (there are {sorted(known)})"
            )
