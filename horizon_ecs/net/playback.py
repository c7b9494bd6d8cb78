"""Playback: a recording over WebSockets, to any client of the wire, each with a playhead of its own.

Nobody is held to another's pace: a client that is slow sees all of it, later.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from horizon_ecs.components import event
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError, RecordingError
from horizon_ecs.fields import f4, u4
from horizon_ecs.net import wire
from horizon_ecs.net.connections import Connections
from horizon_ecs.net.intake import Intake
from horizon_ecs.net.listening import Listening
from horizon_ecs.net.players import Player, Seat
from horizon_ecs.net.server import describe_events, number_events
from horizon_ecs.net.session import Said
from horizon_ecs.net.wire import Close
from horizon_ecs.playing import Playhead
from horizon_ecs.recording import Recording
from horizon_ecs.replication import MAX_SILENCE_TICKS
from horizon_ecs.tokens import AuthStatus

BEAT_S = 1 / 60
MAX_WAITING_BYTES = 2**20  # in a socket's buffer, before a client is sent more
FASTER = 8.0  # times the speed that it joined with a client may play at: it acknowledges by the ticks of that


@event
class Seek:
    """A viewer wants to go to a tick."""

    tick: u4


@event
class Speed:
    """A viewer wants another speed, 0 to pause."""

    value: f4


@dataclass(eq=False)
class _Viewer:
    seat: Seat
    head: Playhead
    fastest: float
    held: bool = False


class Playback(Listening):
    """Serves a recording to any number of clients, which take it for a server.

    A client chooses by the address: `/ws?observer=1&tick=600&speed=0.5`, and later by the events `seek` (`tick`) and
    `speed` (`value`, 0 to pause, at most eight times what it began with), which the schema declares. In the welcome,
    `about["recording"]` tells it `first_tick`, `last_tick`, `tick_rate`, `speed` and `observers` (their names).

    Parameters
    ----------
    recording : Recording
    config : ServerConfig, optional
    observer, speed, loop
        As for `Playhead`, where a client asks for nothing else.

    Raises
    ------
    ArgumentError
        There is no such observer, or no such speed.
    """

    def __init__(
        self, recording: Recording, config: ServerConfig | None = None, *, observer: int = 0, speed: float = 1.0,
        loop: bool = False
    ) -> None:  # fmt: skip
        super().__init__(config or ServerConfig())
        self.recording = recording
        self._chosen: dict[str, Any] = {"observer": observer, "speed": speed}
        self._loop_again = loop
        Playhead(recording, **self._chosen)  # refuses what can't be
        events = number_events([Seek, Speed])
        schema = {**recording.schema, "events": describe_events(events)}
        told = {
            "first_tick": recording.first_tick,
            "last_tick": recording.last_tick,
            "tick_rate": recording.tick_rate,
            "speed": float(speed),
            "observers": [o.name for o in recording.observers],
        }
        about = {**recording.about, "recording": told}
        self._intake = Intake(events)
        self._connections = Connections(
            self.config, schema, events, about, recording.tick_rate, MAX_SILENCE_TICKS, intake=self._intake
        )
        self._connections.stage = self
        self._viewers: dict[Player, _Viewer] = {}
        self._free = set(range(self.config.max_connections))
        self._beating: asyncio.Task[None] | None = None
        self.counters: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"Playback({self._where}, {self.n_clients} clients, {self.recording!r})"

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and begin to play; once in its life.

        Raises
        ------
        ArgumentError
            It has been started before.
        ListenError
            The address can't be listened on.
        """
        if self._loop is not None:
            raise ArgumentError("a playback can be started once")
        await self._listen()
        self._beating = asyncio.ensure_future(self._beat())
        self._beating.add_done_callback(lambda _: self._stop.set())

    async def stop(self) -> None:
        """Close every connection with 1001, and end listening."""
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
        await self._end(Close.STOPPING, "the server stops")
        if beating is not None and not beating.cancelled():
            with contextlib.suppress(asyncio.CancelledError):
                await beating  # raises what it failed with

    async def _beat(self) -> None:
        before = due = time.perf_counter()
        while True:
            now = time.perf_counter()
            self._take_in()
            for viewer in tuple(self._viewers.values()):
                self._show(viewer, now - before, now)
            self._connections.sweep(now)
            before, due = now, max(now, due + BEAT_S)
            await asyncio.sleep(due - time.perf_counter())

    def _show(self, viewer: _Viewer, seconds: float, now: float) -> None:
        """Send a viewer what has become due in so many seconds."""
        if viewer.held:
            return
        try:
            viewer.head.pass_time(seconds)
            while not viewer.held and _has_room(viewer.seat) and (frame := viewer.head.take()):
                self.counters["frames"] += 1
                self.counters["bytes"] += len(frame[1])
                self._connections.tell(viewer.seat, frame[0], memoryview(wire.message(frame[1])), now)
        except RecordingError as error:
            del self._viewers[_player(viewer.seat)]
            self._connections.refuse(viewer.seat, Close.INTERNAL, str(error))

    def report(self) -> dict[str, Any]:
        """Counts of the run so far, as plain data."""
        refused = {k[8:]: n for k, n in sorted(self._connections.counters.items()) if k.startswith("refused:")}
        return {
            "viewers": self.counters["viewers"],
            "frames": self.counters["frames"],
            "bytes": self.counters["bytes"],
            "refusals": refused,
        }

    # -- for the connections -----------------------------------------------------------------------------------

    @property
    def tick_count(self) -> int:
        """The tick for pongs, of which clients make nothing: each is somewhere else."""
        return self.recording.last_tick

    def join(self, seat: Seat) -> None:
        """For the connections: a client has introduced itself."""
        player = _player(seat)
        try:
            asked = _asked(seat.connection.request.path if seat.connection.request else "")
            head = Playhead(self.recording, **{**self._chosen, **asked}, loop=self._loop_again)
        except ArgumentError as error:
            self._connections.refuse(seat, Close.MALFORMED, str(error))
            return
        seat.observer = self._free.pop()
        about = self.recording.observers[head.observer]
        player.entity = about.entity
        base = head.speed or 1.0
        self._viewers[player] = _Viewer(seat, head, base * FASTER)
        self.counters["viewers"] += 1
        self._connections.welcome(seat, about.phase, int(head.position), self.recording.tick_rate * base)

    def leave(self, seat: Seat) -> None:
        """For the connections: a client is gone."""
        if seat.observer >= 0:
            self._viewers.pop(_player(seat), None)
            self._free.add(seat.observer)
            seat.observer = -1

    def hold(self, seat: Seat) -> None:
        """For the connections: a client lags behind, so its playhead waits for it."""
        self._set_held(seat, True)

    def set_link(self, seat: Seat, rate: int) -> None:
        """For the connections: a recording is sent as it was made, however slow the client."""

    def resume(self, seat: Seat) -> None:
        """For the connections: a client has caught up, and nothing was left out."""
        self._set_held(seat, False)

    def _set_held(self, seat: Seat, held: bool) -> None:
        viewer = self._viewers.get(_player(seat))
        if viewer is not None:
            viewer.held = held

    def _take_in(self) -> None:
        """Do what clients have sent since it was last looked."""
        for batch in self._intake.take():
            for seat, reason in batch.refused:
                self._connections.refuse(seat, Close.NO_SUCH_EVENT, reason)
            for seat, end in zip(batch.seats, np.cumsum(batch.counts), strict=True):
                self._obey(_player(seat), batch.event, batch.records[end - 1])

    def _obey(self, player: Player, event: type, record: Any) -> None:
        viewer = self._viewers.get(player)
        if viewer is None:
            return
        if event is Seek:
            viewer.head.seek(int(record["tick"]))
        else:
            viewer.head.set_speed(min(max(0.0, float(record["value"])), viewer.fastest))

    def said(self, player: Player, said: Said) -> None:
        """For the connections: nobody listens to a viewer's words."""

    def auth_changed(self, player: Player, before: AuthStatus, now: AuthStatus) -> None:
        """For the connections: viewers are nobody in particular."""

    def delivered(self) -> None:
        """For the connections."""


def _player(seat: Seat) -> Player:
    assert seat.player is not None  # it joined
    return seat.player


def _has_room(seat: Seat) -> bool:
    """Whether its socket keeps up: a recording can wait."""
    return bool(seat.connection.transport.get_write_buffer_size() < MAX_WAITING_BYTES)


def _asked(target: str) -> Mapping[str, Any]:
    """What an address asks for. Raises ArgumentError."""
    kinds = {"observer": int, "tick": int, "speed": float}
    asked = {}
    for name, text in parse_qsl(urlsplit(target).query):
        if name in kinds:  # others are the page's
            try:
                asked[name] = kinds[name](text)
            except ValueError:
                raise ArgumentError(f"{name} must be a number, not {text!r}") from None
    return asked
