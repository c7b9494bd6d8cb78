"""The stage: a served world on the tick's thread; what the event loop wants of it is done between two ticks."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from horizon_ecs.adaptive import Adaptation
from horizon_ecs.components import nearest
from horizon_ecs.config import ServerConfig
from horizon_ecs.core_events import ClientEvent
from horizon_ecs.errors import ArgumentError, CapacityError
from horizon_ecs.event_system import EventSystem
from horizon_ecs.frames import Frames
from horizon_ecs.monitor.totals import Totals
from horizon_ecs.net import wire
from horizon_ecs.net.absent import Absent
from horizon_ecs.net.eventing import Eventing
from horizon_ecs.net.intake import Intake
from horizon_ecs.net.players import Player, Seat
from horizon_ecs.net.region import count_outside
from horizon_ecs.net.session import Said
from horizon_ecs.net.speaker import Speaker, Told
from horizon_ecs.net.wire import Close
from horizon_ecs.replication import Replicator
from horizon_ecs.ticker import Ticker, percentile
from horizon_ecs.tokens import AuthStatus

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap
    from horizon_ecs.world import World

log = logging.getLogger("horizon_ecs.server")

STATS_INTERVAL_S = 1.0
MAX_REGIONS = 512  # told in a message
BUFFERS = 2  # what a replicator takes turns in
_RETRY_S = 0.1  # while the event loop is behind: look whether it is to stop

JoinHook = Callable[["World", Player], "int | None"]
LeaveHook = Callable[["World", Player], None]


class Audience(Protocol):
    """What a stage tells; called on its own thread, to be passed on to the event loop in this order."""

    def deliver(self, frames: Frames) -> None:
        """A tick's frames; `Stage.delivered` when their buffer is free again."""

    def welcome(self, seat: Seat, phase: int, tick: int) -> None:
        """A client has its observer; before that one's first frame."""

    def refuse(self, seat: Seat, code: Close, reason: str) -> None:
        """A client can't join."""

    def broadcast(self, message: bytes) -> None:
        """A whole message for everybody."""

    def tell_events(self, told: Sequence[Told]) -> None:
        """What the application says to clients, behind the frames of a tick."""


class Stage:
    """Ticks a world and its replicator at the world's rate.

    Attributes
    ----------
    players : dict of int to Player
        By observer.
    counters : Counter
    absent : Absent
        Players who are away, and may come back.
    n_outside : int
        Entities outside the configuration's region, as of the last second.
    totals : Totals
        Of what the replicator's steps did.
    """

    def __init__(
        self,
        world: World,
        config: ServerConfig,
        audience: Audience,
        *,
        messages: Mapping[type, int] | None,
        position: type | None,
        replication: Mapping[str, Any],
        on_join: JoinHook | None,
        on_observe: Callable[[Player], None] | None,
        on_leave: LeaveHook | None,
        after_tick: Callable[[], None] | None,
        on_end: Callable[[], None],
        intake: Intake,
        bounds: Any = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        self.world = world
        self._intake = intake
        self._grace_s = config.reconnect_grace_s
        self.absent = Absent(config.max_connections)
        self._seats: dict[str, Seat] = {}
        self.replicator = Replicator(
            world, messages=messages, position=position, hysteresis=config.hysteresis,
            max_observers=config.max_connections, max_followed=config.max_followed,
            **{"spatial": config.spatial, **checked_options(replication)}
        )  # fmt: skip
        if config.network is not None:
            self.replicator.configure_network(config.network)
        self._region = config.region
        self.n_outside = 0
        self._shows_regions = config.show_regions
        self._adaptation = Adaptation(self.replicator) if config.adaptive_rates else None
        self.players: dict[int, Player] = {}
        world.when_moved(self._follow)
        self.events = EventSystem(world, max_waiting=world.max_events)
        self.speaker = Speaker(self.players)
        self.events.link(clients=self.speaker)
        self._check = check
        self._eventing = Eventing(self.events, self.replicator, self.players, bounds)
        self.counters: Counter[str] = Counter()
        self.totals = Totals()
        self._second: Counter[str] = Counter()
        self._stats_at_s = 0.0
        self._audience = audience
        self._on_join, self._on_observe, self._on_leave = on_join, on_observe, on_leave
        self._inbox: deque[Callable[[], None]] = deque()
        self._free_buffers = threading.Semaphore(BUFFERS)
        self.ticker = Ticker(
            world.tick_rate, self._tick, max_catch_up=config.max_catch_up, on_end=on_end, after=after_tick
        )

    @property
    def tick_count(self) -> int:
        """The world's tick."""
        return self.world.tick_count

    # -- posted from the event loop ----------------------------------------------------------------------------

    def join(self, seat: Seat) -> None:
        """Let a client in, or refuse it."""
        self._inbox.append(lambda: self._join(seat))

    def leave(self, seat: Seat) -> None:
        """Let a client go, if it had joined."""
        self._inbox.append(lambda: self._leave(seat))

    def hold(self, seat: Seat) -> None:
        """Frame nothing for a client until it is resumed."""
        self._inbox.append(lambda: self.replicator.hold(seat.observer) if seat.observer >= 0 else None)

    def resume(self, seat: Seat) -> None:
        """Make a client whole by one reset frame."""
        self._inbox.append(lambda: self.replicator.resume(seat.observer) if seat.observer >= 0 else None)

    def set_link(self, seat: Seat, rate: int) -> None:
        """Let a client's channels be due more seldom, or more often again, for its link's sake."""
        self._inbox.append(lambda: self._set_link(seat.observer, rate))

    def said(self, player: Player, said: Said) -> None:
        """Have an object handled, after the systems of the next tick."""
        self.events.receive(ClientEvent(player, said.namespace, said.event, said.data))

    def auth_changed(self, player: Player, before: AuthStatus, now: AuthStatus) -> None:
        """Tell handlers, as the next tick begins, that another thing is known of who a player is; from any thread."""
        self._inbox.append(lambda: self._eventing.auth_changed(player, before, now))

    def delivered(self) -> None:
        """Frames have been handed on: their buffer may be written again."""
        self._free_buffers.release()

    def configure(self, old: ServerConfig, new: ServerConfig) -> None:
        """Take over what can change while the world ticks."""
        self._grace_s = new.reconnect_grace_s
        if new.spatial is not None and new.spatial != old.spatial:
            self._inbox.append(functools.partial(self.replicator.configure_spatial_partitioning, new.spatial))
        if new.network is not None and new.network != old.network:
            self._inbox.append(functools.partial(self.replicator.configure_network, new.network))

    # -- on the tick's thread ----------------------------------------------------------------------------------

    def _tick(self, due_s: float) -> None:
        started = time.perf_counter()
        while not self._free_buffers.acquire(timeout=_RETRY_S):
            if self.ticker.stopping:
                return
        self._eventing.begin()
        for _ in range(len(self._inbox)):
            self._inbox.popleft()()
        self._let_go()
        self._take_in()
        self._eventing.systems_begin()
        self.world.tick()
        self._eventing.systems_end()
        if self._check is not None:
            self._check()
        frames = self.replicator.step()
        self._eventing.frames_made()
        stats = self.replicator.stats
        self.totals.add(stats)
        for tally in (self.counters, self._second):
            tally["frames"] += stats.n_frames
            tally["updates"] += stats.updates
            tally["bytes"] += stats.bytes
        self._audience.deliver(frames)
        if told := self.speaker.take():
            self._audience.tell_events(told)
        if self._adaptation is not None:
            self._adaptation.note_tick(time.perf_counter() - started)
        if due_s - self._stats_at_s >= STATS_INTERVAL_S:
            self._stats_at_s = due_s
            if self._region is not None:
                self.n_outside = count_outside(self.replicator, self._region)
            self._audience.broadcast(wire.message(wire.pack(self._stats())))
            self._second.clear()

    def _regions(self) -> list[list[float]]:
        """Corners, entities and depth of the regions with most entities (docs/wire.md)."""
        found = [region for region in self.replicator.regions() if all(np.isfinite(region.low))]
        fullest = sorted(found, key=lambda region: -region.count)[:MAX_REGIONS]
        return [[*region.low[:2], *region.high[:2], region.count, region.depth] for region in fullest]

    def _stats(self) -> dict[str, Any]:
        """The message of the last second (docs/wire.md)."""
        recent = deque(list(self.ticker.tick_ms)[-max(1, round(self.world.tick_rate)) :])
        return {
            "type": "stats",
            "tick_ms": percentile(recent, 50),
            "tick_ms_p99": percentile(recent, 99),
            "entities": len(self.world),
            "observers": self.replicator.n_observers,
            "followed_pairs": self.replicator.stats.followed_pairs,
            "frame_bytes": self._second["bytes"],
            "updates": self._second["updates"],
            "slowed": self.replicator.n_slowed,
            **({"regions": self._regions()} if self._shows_regions else {}),
        }

    def _join(self, seat: Seat) -> None:
        player = seat.player
        if seat.gone or player is None:
            return
        try:
            returned = self._returned(player)
            if returned is None:
                seat.observer = self._admit(player)
            else:
                seat.player = returned
                seat.observer = self._set_up_view(returned)
        except CapacityError as error:
            self._audience.refuse(seat, Close.FULL, f"the server is at capacity: {error}")
        except Exception:
            log.exception("joining failed for %r", player.name)
            self._audience.refuse(seat, Close.INTERNAL, "joining failed")
        else:
            assert seat.player is not None
            self.players[seat.observer] = seat.player
            if returned is None and (stopped := self._eventing.joined(player)) is not None:
                self._say_goodbye(self._detach(seat))
                self._audience.refuse(seat, Close.FULL, stopped.reason or "the server is at capacity")
                return
            if seat.player.session:
                self._seats[seat.player.session] = seat
            self._audience.welcome(seat, self.replicator.phase(seat.observer), self.world.tick_count)

    def _admit(self, player: Player) -> int:
        """Give a player its entity and an observer, or neither."""
        player.entity = _one_handle(self._on_join(self.world, player) if self._on_join else None)
        return self._set_up_view(player)

    def _returned(self, player: Player) -> Player | None:
        """The player that this client was before, if it says so rightly and is still there; what it was meanwhile by
        another connection ends."""
        if not player.returns_as:
            return None
        before = self._seats.get(player.returns_as)
        if before is not None and before.player is not None and before.player.user == player.user:
            self._detach(before)
            self._audience.refuse(before, Close.REPLACED, "taken up by another connection")
            found: Player | None = before.player
        else:
            found = self.absent.take(player.returns_as, player.user)
        if found is None:
            return None
        if found.entity and not self.world.alive(np.uint64(found.entity))[0]:
            self._part(found)
            return None
        found.come_back(player)
        return found

    def _set_up_view(self, player: Player) -> int:
        """Give a player an observer, or let it go."""
        try:
            player.observer = self._observe(player)
            if self._on_observe is not None:
                self._on_observe(player)
        except Exception:
            if player.observer >= 0:
                self.replicator.remove_observer(player.observer)
            self._say_goodbye(player)
            raise
        return player.observer

    def _observe(self, player: Player) -> int:
        if player.share is not None:
            return self.replicator.add_observer(share=player.share)
        return self.replicator.add_observer(player.entity, player.position)

    def _follow(self, moved: SlotMap) -> None:
        """Players keep their entities where those were given other handles."""
        for player in (*self.players.values(), *self.absent):
            player.entity = int(moved.translate(player.entity))

    def _leave(self, seat: Seat) -> None:
        if seat.observer < 0:
            return
        player = self._detach(seat)
        if seat.may_return and player.session and self._grace_s > 0:
            self.absent.keep(player, time.perf_counter() + self._grace_s)
        else:
            self._part(player)

    def _detach(self, seat: Seat) -> Player:
        """Tell a client nothing any more, and who it was."""
        self._set_link(seat.observer, 0)
        self.replicator.remove_observer(seat.observer)
        player = self.players.pop(seat.observer)
        self._seats.pop(player.session, None)
        seat.observer = player.observer = -1
        return player

    def _part(self, player: Player) -> None:
        """Somebody who had joined is gone for good."""
        self._eventing.left(player)
        self._say_goodbye(player)

    def _let_go(self) -> None:
        """Players who have been away for too long won't come back."""
        if len(self.absent):
            for player in self.absent.gone(time.perf_counter()):
                self._part(player)

    def _set_link(self, observer: int, rate: int) -> None:
        if self._adaptation is not None and observer >= 0:
            self._adaptation.set_link(observer, rate)

    def _say_goodbye(self, player: Player) -> None:
        if self._on_leave is None:
            return
        try:
            self._on_leave(self.world, player)
        except Exception:
            log.exception("on_leave failed for %r", player.name)

    def _take_in(self) -> None:
        """Queue what clients have sent for the tick; it comes from the entities that they have now."""
        for batch in self._intake.take():
            for seat, reason in batch.refused:
                self._audience.refuse(seat, Close.NO_SUCH_EVENT, reason)
            senders = np.array([seat.player.entity if seat.player else 0 for seat in batch.seats], np.uint64)
            if len(senders):
                self._input(batch.event, np.repeat(senders, batch.counts), batch.records)

    def _input(self, event: type, sender: Any, records: Any) -> None:
        n, kept, name = len(records), self.world.push_events(event, sender, records), event.__hz_event__  # type: ignore[attr-defined]
        for key in ("inputs", f"inputs:{name}"):
            self.counters[key] += n
        if kept < n:
            for key in ("inputs_dropped", f"inputs_dropped:{name}"):
                self.counters[key] += n - kept


def checked_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the Replicator that a server leaves to its user. Raises ArgumentError."""
    own = ("world", "position", "messages", "hysteresis", "max_observers", "max_followed")
    known = [name for name in inspect.signature(Replicator).parameters if name not in own]
    for name in given:
        if name not in known:
            raise ArgumentError(f"replication has no setting {name!r}{nearest(str(name), known)} (there are {known})")
    return dict(given)


def _one_handle(given: Any) -> int:
    """What `on_join` returned, as a handle; 0 for None."""
    handles = np.atleast_1d(np.asarray(0 if given is None else given))
    if handles.shape != (1,) or handles.dtype.kind not in "iu" or int(handles[0]) < 0:
        raise ArgumentError(f"on_join must return one handle or None, not {given!r}")
    return int(handles[0])
