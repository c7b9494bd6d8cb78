"""Tracking: the methods by which a world is asked what changed, and tells who wants to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs.components import Component
from horizon_ecs.entities import Entities
from horizon_ecs.errors import ArgumentError
from horizon_ecs.kinds import Kind
from horizon_ecs.query import Query
from horizon_ecs.tracked import Trackable

if TYPE_CHECKING:
    from horizon_ecs.changes import Callback, Subscription


class Tracking(Entities):
    """Entities whose changes can be asked for.

    What is tracked is compared with a copy when a tick begins and at the end of each of its phases. So only the
    difference counts: what changes and changes back in one phase didn't change. Values are compared bit by bit: NaN is
    the same as itself, and -0.0 another value than 0.0. What gains a component is *added*; it hasn't *changed* until
    its values are others than those it had when that was noticed. An object component changes when it is set, whatever
    it is set to. Hiding takes nothing from an entity, which isn't removed; but it leaves queries. While a tick runs the
    answers are those of the end of the last phase. Between ticks they hold what was done since, which counts for the
    next tick.
    """

    def track(self, *components: Trackable, max_history: int | None = None) -> None:
        """Notice from now on who gains, loses or changes some components, is spawned and despawned of some kinds, or
        enters and leaves some queries.

        Written is what systems declare with `Write`, what `set` and `add` are given, what batches of a query were
        written, and what `touch` names. Costs nothing for components that aren't tracked; for others a copy of their
        columns, 8 bytes a row, and a comparison of the pages that may have been written.

        Parameters
        ----------
        *components : component classes, kinds or queries
        max_history : int, optional
            Ticks for which `removed` and `Query.left` reach back; 128 unless given.

        Raises
        ------
        ArgumentError, DefinitionError
        """
        whole = isinstance(max_history, int | np.integer) and not isinstance(max_history, bool)
        if max_history is not None and not (whole and max_history >= 1):
            raise ArgumentError(f"max_history must be a whole number of ticks from 1, not {max_history!r}")
        for component in components:
            self.changes.track(component, max_history)

    def touch(self, component: Component, handles: ArrayLike | None = None) -> None:
        """Say that columns were written directly, of some entities or of all; values decide what changed.

        Of an object component: that instances were changed in place. These count as changed.

        Raises
        ------
        ArgumentError
            The component isn't tracked.
        StaleHandleError
        """
        self.changes.of(component).wrote(None if handles is None else self.slots_of(handles))

    def changed(self, component: Component, since: int | None = None) -> NDArray[np.bool_]:
        """bool[n_slots]: the entities whose values of a component changed in tick `since` or later.

        Parameters
        ----------
        component : component class
            A tracked one.
        since : int, optional
            By default the running tick, or between ticks the last. What happened before the component was tracked isn't
            known.

        Raises
        ------
        ArgumentError
        """
        return self.changes.changed(component, since)

    def added(self, component: Component | Kind, since: int | None = None) -> NDArray[np.bool_]:
        """bool[n_slots]: the entities that gained a component in tick `since` or later, and have it still.

        By a kind, those that were spawned. Parameters and errors as for `changed`.
        """
        return self.changes.added(component, since)

    def removed(self, component: Component | Kind, since: int | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of entities that lost a component in tick `since` or later, by `remove` or with their
        life.

        Tick after tick, by slot within a phase; one that lost it twice is named twice. By a kind, those that ended.
        Parameters as for `changed`.

        Raises
        ------
        ArgumentError
            Also where `since` lies further back than the ticks that are kept.
        """
        return self.changes.removed(component, since)

    def on_add(self, component: Component | Kind, callback: Callback) -> Subscription:
        """Call back with the handles of entities that have gained a component, or were spawned of a kind.

        At the end of each phase, when its commands were carried out, and when a tick begins, for what was done since
        the last; in the order in which callbacks were registered, each at most once. What it does to the structure is
        noticed at the end of the next phase. An earlier callback may have ended entities that it names.

        Parameters
        ----------
        component : component class or Kind
            Tracked from now on.
        callback : callable(uint64[n])
            Where it raises, the others are called all the same; then it is treated as a system that failed, by the
            world's `on_error`.

        Returns
        -------
        Subscription : `cancel()` ends it.
        """
        return self.changes.subscribe("add", component, callback)

    def on_remove(self, component: Component | Kind, callback: Callback) -> Subscription:
        """Call back with the handles of entities that have lost a component, or ended; see `on_add`."""
        return self.changes.subscribe("remove", component, callback)

    def on_change(self, component: Component, callback: Callback) -> Subscription:
        """Call back with the handles of entities whose values of a component have changed. See `on_add`."""
        return self.changes.subscribe("change", component, callback)

    def on_enter(self, query: Query, callback: Callback) -> Subscription:
        """Call back with the handles of entities that have come to match a query; see `on_add`.

        By being spawned, gaining or losing a component, or being shown. Tells nothing of those that match already.
        """
        return self.changes.subscribe("add", _query(query), callback)

    def on_leave(self, query: Query, callback: Callback) -> Subscription:
        """Call back with the handles of entities that have ceased to match a query, whether they live or not.

        By ending, gaining or losing a component, or being hidden. See `on_add`.
        """
        return self.changes.subscribe("remove", _query(query), callback)


def _query(query: Query) -> Query:
    if not isinstance(query, Query):
        raise ArgumentError(f"expected a query, such as world.query(Position), not {query!r}")
    return query
