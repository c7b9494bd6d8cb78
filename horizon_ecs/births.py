"""Births: what new entities of a kind are given, and whether there is room for them; nothing is done yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, fields_of, nearest
from horizon_ecs.errors import ArgumentError, CapacityError
from horizon_ecs.handles import slots_in
from horizon_ecs.kinds import Kind
from horizon_ecs.systems import storage
from horizon_ecs.values import who_has

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities


class Gift(NamedTuple):
    """A component, which of the new entities get it, bool[n], or None for all; and what `_put` puts into their rows."""

    component: Component
    who: NDArray[np.bool_] | None
    made: list[Any]


def gifts(world: Entities, kind: Kind, values: Mapping[str, Any], n: int) -> Iterator[Gift]:
    """What `n` new entities of a registered kind get, of what was given by component's name, and of its defaults.

    Raises
    ------
    ArgumentError, StaleHandleError
    """
    named = {c.__name__: c for c in kind.components + kind.optional}
    for name in values:
        if name not in named:
            raise ArgumentError(
                f"kind {kind.name!r} has no component {name!r}; it has {list(named)}{nearest(name, named)}"
            )
    for name, c in named.items():
        value, is_optional = values.get(name), c in kind.optional
        if is_optional and name not in values and c not in kind.defaults:
            continue
        who, value = who_has(c, value, n) if is_optional or not fields_of(c) else (None, value)
        if who is not None and not is_optional:
            raise ArgumentError(f"every entity of kind {kind.name!r} has {name}; give it to all")
        yield Gift(c, who, world._made(c, value, n if who is None else int(who.sum()), kind.defaults.get(c)))


def check_room(world: Entities, wanted: Mapping[Kind, int], ending: NDArray[np.uint64] | None = None) -> None:
    """Refuse so many more of some registered kinds where they have no room, once some entities have ended. Raises
    CapacityError."""
    live, page_kind, left = world.page_live, world.page_kind, world.capacity - world._n_live
    if ending is not None:
        slots = slots_in(np.unique(ending[world.alive(ending)]))
        live = live - np.bincount(slots // PAGE, minlength=len(live)).astype(np.int32)
        page_kind, left = np.where(live == 0, np.int16(storage.FREE_PAGE), page_kind), left + len(slots)
    n = sum(wanted.values())
    if n > left:
        raise CapacityError(f"{n} more entities exceed the world's capacity of {world.capacity}, which leaves {left}")
    n_free = free = int((page_kind == storage.FREE_PAGE).sum())
    for kind, more in wanted.items():
        own = storage.room(world.kinds.index(kind), page_kind, live) - n_free * PAGE
        free -= max(0, -(-(more - own) // PAGE))
        if free < 0:
            raise CapacityError(
                f"no room for {more} more of kind {kind.name!r}: the world's capacity of {world.capacity} leaves "
                f"{left}, but other kinds own the free slots' pages; compact() would free some"
            )
