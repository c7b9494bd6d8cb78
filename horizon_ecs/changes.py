"""Changes: what gained, lost or changed which component or entered and left which query, and who is told.

Declared writes stamp pages, values decide: at a sync the stamped pages of a tracked component are compared with a copy.
A sync is made when a tick begins and at the end of each of its phases; what a world is asked between two ticks counts
what happened since for the next one, as `structure_tick` does. Between two syncs only the difference counts: what comes
and goes again, or changes and changes back, isn't seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs import kernel
from horizon_ecs.columns import reserve
from horizon_ecs.components import Component
from horizon_ecs.errors import ArgumentError, SystemFailure
from horizon_ecs.handles import slots_in
from horizon_ecs.kinds import Kind
from horizon_ecs.query import Query
from horizon_ecs.reports import place_of
from horizon_ecs.tracked import MAX_HISTORY, Delta, Rows, Trackable, Tracked, follow_handles, key_of
from horizon_ecs.watch import Watch
from horizon_ecs.when import OnError

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities

Callback: TypeAlias = Callable[[NDArray[np.uint64]], Any]


class News(NamedTuple):
    """What observers of one component are told: handles uint64[n], by slot."""

    add: NDArray[np.uint64]
    remove: NDArray[np.uint64]
    change: NDArray[np.uint64]


_NO_NEWS = News(*[np.zeros(0, np.uint64)] * 3)


def _method(event: str, what: Trackable) -> str:
    """The method by which one is told."""
    of_queries = {"add": "enter", "remove": "leave"}
    return f"on_{of_queries[event] if isinstance(what, Query) else event}"


class Subscription:
    """A callback that is told of one component's, kind's or query's changes until `cancel()`.

    Attributes
    ----------
    name : str
        As errors call it.
    enabled : bool
        False after `cancel`, or after it failed as often as the world lets it.
    on_error : "stop", "skip" or a number of failures
        As the world has it.
    strikes : int
        How often it failed.
    """

    def __init__(self, event: str, tracked: Tracked, callback: Callback, on_error: OnError) -> None:
        self.event, self.tracked, self.callback, self.on_error = event, tracked, callback, on_error
        called = getattr(callback, "__qualname__", repr(callback))
        self.name = f"{_method(event, tracked.what)}({tracked.name}, {called})"
        self.enabled = True
        self.strikes = 0

    def cancel(self) -> None:
        """Be told no more, from now on."""
        self.enabled = False

    def failed(self, tick: int, error: Exception) -> SystemFailure:
        """Note a failure; what to raise or log."""
        self.strikes += 1
        code = getattr(self.callback, "__code__", None)
        failure = SystemFailure(self.name, tick, error, place_of(error, code.co_filename) if code else "")
        failure.__cause__ = error
        return failure

    @property
    def is_over(self) -> bool:
        """Whether it failed as often as it may."""
        return isinstance(self.on_error, int) and self.strikes >= self.on_error

    def __repr__(self) -> str:
        return f"Subscription({self.name})"


class Changes:
    """The changes of one world. `World` has the methods that users call.

    Attributes
    ----------
    on_error : "stop", "skip" or a number of failures
        What becomes of a callback that fails.
    """

    on_error: OnError = "stop"

    def __init__(self, world: Entities) -> None:
        self._world = world
        self._tracked: dict[Any, Tracked] = {}
        self._subscriptions: list[Subscription] = []
        self._watches: list[Watch] = []
        self._owed: dict[Tracked, News] = {}

    # -- what is tracked ---------------------------------------------------------------------------------------

    def track(self, what: Trackable, max_history: int | None = None) -> Tracked:
        """Begin to track a component, the entities of a kind or of a query; go on where that is tracked already."""
        known = self._tracked.get(key_of(what, self._world))
        if known is None:
            return self._begin(what, MAX_HISTORY if max_history is None else max_history)
        known.remember(max_history or 0, self._world.tick_now)
        return known

    def _begin(self, what: Trackable, max_history: int) -> Tracked:
        if self._tracked:
            self.settle()
        else:
            kernel.warm_up("changes")
            self._rows = Rows(self._world)
            self._flag: NDArray[np.bool_] = reserve((self._world.n_slots,), np.bool_)
        made = Tracked(self._world, what, self._world.tick_now, max_history)
        self._tracked[made.key] = made
        return made

    def of(self, what: Trackable) -> Tracked:
        """What is known of something. Raises ArgumentError where it isn't tracked."""
        found = self._tracked.get(key_of(what, self._world))
        if found is None:
            name = what.name if isinstance(what, Kind) else repr(what) if isinstance(what, Query) else what.__name__
            word = "query" if isinstance(what, Query) else name
            raise ArgumentError(f"{name} isn't tracked; call world.track({word}) before what is to be noticed happens")
        return found

    @property
    def tracked(self) -> list[Trackable]:
        """The components, kinds and queries that are tracked."""
        return [tracked.what for tracked in self._tracked.values()]

    def known(self) -> list[Tracked]:
        """What is known of all that is tracked."""
        return list(self._tracked.values())

    # -- writes ------------------------------------------------------------------------------------------------

    def stamp_rows(self, component: Component, slots: NDArray[np.uint32]) -> None:
        """Note that a component of some rows may have been written."""
        tracked = self._tracked.get(component)
        if tracked is not None:
            tracked.wrote(slots)

    def stamp_all(self, components: Iterable[Component]) -> None:
        """Note that some components of any rows may have been written."""
        for tracked in (self._tracked[c] for c in components if c in self._tracked):
            tracked.stamp(slice(0, self._world.n_pages_used))

    def stamp_pages(self, components: Iterable[Component], query: Query) -> None:
        """Note that some components of a query's rows may have been written."""
        if self._tracked:
            for tracked in (self._tracked[c] for c in components if c in self._tracked):
                tracked.stamp(query.pages)

    # -- syncing -----------------------------------------------------------------------------------------------

    def sync(self) -> list[tuple[Subscription, Exception]]:
        """Stamp what changed since the last sync, and tell who wants to know; return which callbacks failed."""
        if not self._tracked:
            return []
        news = self._commit()
        if self._owed:
            news |= {t: _together(t, owed, news.get(t)) for t, owed in self._owed.items()}
            self._owed = {}
        return self._tell(news) if self._subscriptions else []

    def _commit(self) -> dict[Tracked, News]:
        rows, tick = self._rows, self._world.tick_now
        differing, news = rows.differing(), {}
        wanted: list[Subscription | Watch] = [*self._subscriptions, *self._watches]
        listeners = {w.tracked for w in wanted if w.event == "change"}
        for tracked in self._tracked.values():
            if tracked.is_stamped or len(differing):
                delta = tracked.find(rows, differing, tick, self._flag, commit=True, listing=tracked in listeners)
                news[tracked] = self._news(delta)
                for watch in self._watches:
                    if watch.tracked is tracked:
                        watch.note(delta)
        if not rows.are_current:
            rows.take(differing)
        return news

    def _news(self, delta: Delta) -> News:
        world = self._world
        return News(world.handles_of(delta.gained), delta.removed, world.handles_of(delta.changed))

    def _tell(self, news: dict[Tracked, News]) -> list[tuple[Subscription, Exception]]:
        """Call every callback that there is something for, also after one has failed."""
        failures = []
        self._subscriptions = [s for s in self._subscriptions if s.enabled]
        for subscription in list(self._subscriptions):
            handles: NDArray[np.uint64] = getattr(news.get(subscription.tracked, _NO_NEWS), subscription.event)
            if not len(handles) or not subscription.enabled:
                continue
            try:
                subscription.callback(handles)
            except Exception as error:
                failures.append((subscription, error))
        return failures

    def settle(self) -> None:
        """Sync without telling anybody yet: before rows are moved."""
        if self._tracked:
            for tracked, news in self._commit().items():
                self._owed[tracked] = _together(tracked, self._owed[tracked], news) if tracked in self._owed else news

    def move(self, old: NDArray[np.uint32], new: NDArray[np.uint32]) -> None:
        """Follow rows that were moved since `settle`; entities stay the same under their new handles."""
        if not self._tracked:
            return
        world = self._world
        was = self._rows.handles_of(old)
        order = np.argsort(was)
        was, is_now = was[order], world.handles_of(new[order])
        for tracked in self._tracked.values():
            tracked.move(old, new, was, is_now)
        self._rows = Rows(world)
        for watch in self._watches:
            watch.move(self._rows, old, new)
        for tracked, news in self._owed.items():
            self._owed[tracked] = News(*(follow_handles(handles, was, is_now) for handles in news))

    def reset(self) -> None:
        """Begin anew with the world as it stands: nothing is known of what happened before, and nobody is told."""
        self._owed = {}
        if self._tracked:
            self._rows = Rows(self._world)
            for tracked in self._tracked.values():
                tracked.begin(self._world.tick_now)
            for watch in self._watches:
                watch.begin(self._rows)

    def follow(
        self, other: Changes, n_rows: int, translate: Callable[[NDArray[np.uint64]], NDArray[np.uint64]]
    ) -> None:
        """Know what another world knows, whose state was copied; begin anew where it noticed other things than this.

        Parameters
        ----------
        other : Changes
        n_rows : int
            The rows that one of both ever used.
        translate : callable
            From the other's signatures to this world's.
        """
        mine, theirs = self._world, other._world
        watched = [[(w.event, w.tracked.what) for w in changes._watches] for changes in (self, other)]
        alike = mine.kinds == theirs.kinds and watched[0] == watched[1]
        if not alike or not self._tracked.keys() <= other._tracked.keys():
            self.reset()
            return
        if self._tracked:
            self._rows.follow(other._rows, n_rows, translate)
        for key, tracked in self._tracked.items():
            tracked.follow(other._tracked[key], n_rows)
        for watch, one in zip(self._watches, other._watches, strict=True):
            watch.follow(one, n_rows)
        self._owed = {self._tracked[t.key]: news for t, news in other._owed.items() if t.key in self._tracked}

    # -- questions ---------------------------------------------------------------------------------------------

    def _peek(self, tracked: Tracked) -> Delta | None:
        """What the next sync will find; None while a tick runs, which shows what it did at the end of a phase."""
        if self._world.is_ticking:
            return None
        rows = self._rows
        return tracked.find(rows, rows.differing(), self._world.tick_now, self._flag, commit=False, listing=True)

    def _since(self, since: int | None) -> int:
        if since is None:
            return self._world.tick_count
        if not isinstance(since, int | np.integer) or isinstance(since, bool) or since < 0:
            raise ArgumentError(f"since must be the number of a tick, not {since!r}")
        return int(since)

    def changed(self, what: Component, since: int | None = None) -> NDArray[np.bool_]:
        """See `World.changed`."""
        tracked, first = self.of(what), self._since(since)
        if not tracked.has_values:
            raise ArgumentError(f"{tracked.name} has no values that could change; ask for what was added or removed")
        out = tracked.recent(self._rows, tracked.changed, first)
        delta = self._peek(tracked)
        if delta is not None and first <= self._world.tick_now:
            out[delta.changed] = True
        return out

    def added(self, what: Trackable, since: int | None = None) -> NDArray[np.bool_]:
        """See `World.added`."""
        tracked, first = self.of(what), self._since(since)
        out = tracked.recent(self._rows, tracked.added, first)
        delta = self._peek(tracked)
        if delta is not None and first <= self._world.tick_now:
            out[delta.gained] = True
        return out

    def removed(self, what: Trackable, since: int | None = None) -> NDArray[np.uint64]:
        """See `World.removed`."""
        tracked, first = self.of(what), self._since(since)
        oldest = tracked.oldest(self._world.tick_now)
        if first < oldest:
            raise ArgumentError(
                f"removed({tracked.name}, since={first}) reaches further back than the {tracked.max_history} ticks "
                f"that are kept; since must be at least {oldest}, or world.track be given a greater max_history"
            )
        found, delta = tracked.removed(first), self._peek(tracked)
        if delta is not None and first <= self._world.tick_now:
            found.append(delta.removed)
        return np.concatenate(found) if found else np.zeros(0, np.uint64)

    # -- observers ---------------------------------------------------------------------------------------------

    def subscribe(self, event: str, what: Trackable, callback: Callback) -> Subscription:
        """Call back at every sync in which something happened; `event` is "add", "remove" or "change"."""
        if not callable(callback):
            raise ArgumentError(f"{_method(event, what)} takes a function of an array of handles, not {callback!r}")
        tracked = self.track(what)
        if event == "change" and not tracked.has_values:
            raise ArgumentError(f"{tracked.name} has no values that could change; use on_add and on_remove")
        subscription = Subscription(event, tracked, callback, self.on_error)
        self._subscriptions.append(subscription)
        return subscription

    def watch(self, event: str, what: Component, owner: Any) -> Watch:
        """Gather in which rows something happens, for who takes them now and then; `event` is "add" or "change"."""
        tracked = self.track(what)
        watch = Watch(self._world, self._rows, event, tracked, owner)
        self._watches.append(watch)
        return watch

    def unwatch(self, owners: Collection[Any]) -> None:
        """Gather nothing any more for some owners."""
        self._watches = [watch for watch in self._watches if watch.owner not in owners]


def _together(tracked: Tracked, first: News, second: News | None) -> News:
    """What happened from before the first to after the second."""
    if second is None:
        return first
    gone, back = np.intersect1d(first.add, second.remove), np.intersect1d(first.remove, second.add)
    add = np.union1d(np.setdiff1d(first.add, gone), np.setdiff1d(second.add, back))
    remove = np.union1d(np.setdiff1d(first.remove, back), np.setdiff1d(second.remove, gone))
    change = np.union1d(np.union1d(first.change, second.change), back if tracked.has_values else gone[:0])
    change = np.setdiff1d(np.setdiff1d(change, add), second.remove)
    return News(*(handles[np.argsort(slots_in(handles))] for handles in (add, remove, change)))
