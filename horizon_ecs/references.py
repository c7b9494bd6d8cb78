"""References: columns whose numbers are handles, held to name the living or nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, fields_of
from horizon_ecs.errors import StaleHandleError
from horizon_ecs.systems import storage

if TYPE_CHECKING:
    from horizon_ecs.compaction import SlotMap
    from horizon_ecs.entities import Entities


class References:
    """The reference columns of one world.

    Attributes
    ----------
    is_outdated : bool
        Entities have ended since references were last cleared.
    """

    def __init__(self, world: Entities) -> None:
        self._world = world
        self._columns: list[tuple[Component, NDArray[np.uint64]]] = []
        # A relation knows whose target ends, and needs no search.
        self._searched: list[tuple[Component, NDArray[np.uint64]]] = []
        self.is_outdated = False

    def note(self, component: Component) -> None:
        """Take in the reference fields of a component that the world has just learnt."""
        for f in fields_of(component):
            if f.is_entity:
                column = (component, self._world.column(component, f.name))
                self._columns.append(column)
                self._searched += [] if f.fixed else [column]

    def check(self, component: Component, given: Mapping[str, Any]) -> dict[str, Any]:
        """`given` as it may be written. Raises StaleHandleError where a reference names no living entity."""
        checked = dict(given)
        for f in fields_of(component):
            if f.is_entity and f.name in given:
                checked[f.name] = self._living(f"{component.__name__}.{f.name}", given[f.name])
        return checked

    def _living(self, name: str, given: Any) -> NDArray[np.uint64]:
        handles = np.asarray(given, np.uint64)
        lives = (self._world.alive(handles.reshape(-1)) | (handles.reshape(-1) == 0)).reshape(handles.shape)
        if not lives.all():
            raise StaleHandleError(f"{name}: handle {int(handles[~lives].flat[0]):#x} names no living entity")
        return handles

    def outdate(self) -> None:
        """Note that entities have ended."""
        self.is_outdated = bool(self._searched)

    def follow(self, other: References) -> None:
        """Be as outdated as another world's, whose columns were copied."""
        self.is_outdated = other.is_outdated

    def clear_dead(self) -> list[Component]:
        """Set references to entities that have ended to 0; the components in which there were some."""
        self.is_outdated = False
        n = self._world.n_pages_used * PAGE
        return [c for c, column in self._searched if storage.clear_stale(column[:n], self._world.generation,
                                                                          self._world.signature)]  # fmt: skip

    def redirect(self, slots: NDArray[np.uint32], copies: SlotMap) -> None:
        """Let references in some rows lead to copies; those to what wasn't copied become 0."""
        for _, column in self._columns:
            among = np.isin(column[slots], copies.old)
            column[slots] = np.where(among, copies.translate(column[slots]), np.uint64(0))

    def translate(self, new_of: Callable[[NDArray[np.uint64]], NDArray[np.uint64]]) -> None:
        """Let references follow entities that were given other handles."""
        n = self._world.n_pages_used * PAGE
        for _, column in self._columns:
            column[:n] = new_of(column[:n])
