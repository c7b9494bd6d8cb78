"""Validation: what values stand in columns that nobody could have given."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import fields_of
from horizon_ecs.fields import Field

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities


def validate(world: Entities) -> dict[str, NDArray[np.uint64]]:
    """Handles of the entities with strange values, by "Component.field"."""
    out: dict[str, NDArray[np.uint64]] = {}
    for c in world.components:
        slots = np.flatnonzero(world.signature & np.uint64(world.bit(c))).astype(np.uint32)
        for f in fields_of(c):
            strange = is_strange(world, f, world.column(c, f.name)[slots])
            if strange.any():
                out[f"{c.__name__}.{f.name}"] = world.handles_of(slots[strange])
    return out


def is_strange(world: Entities, of: Field, values: NDArray[Any]) -> NDArray[np.bool_]:
    """bool[n]: which values a field may not have."""
    strange = breaks_rules(of, values)
    if of.is_entity:
        strange |= (values != 0) & ~world.alive(values)
    return strange


def breaks_rules(of: Field, values: NDArray[Any]) -> NDArray[np.bool_]:
    """bool[n]: which values a field may not have in any world: not finite, out of its range, no member of its enum."""
    strange = ~np.isfinite(values) if of.dtype.kind in "fcmM" else np.zeros(len(values), np.bool_)
    if of.low is not None:
        strange |= values < of.low
    if of.high is not None:
        strange |= values > of.high
    return strange | is_no_member(of.enum, values) if of.enum else strange


def is_no_member(kind: type[enum.Enum], values: NDArray[Any]) -> NDArray[np.bool_]:
    """bool[n]: which values are no member of an enum, or no combination of flags."""
    known = np.array([member.value for member in kind]).astype(values.dtype)
    if issubclass(kind, enum.Flag):
        odd: NDArray[np.bool_] = values & ~np.bitwise_or.reduce(known) != 0
        return odd
    return ~np.isin(values, known)
