"""Interest: whom an observer follows and why, as plain data for tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.systems import visibility as kernels
from horizon_ecs.systems.interest import KIND_SHIFT, MASK_SHIFT

if TYPE_CHECKING:
    from horizon_ecs.replication import Replicator

_SLOT, _BYTE = np.uint64(0xFFFFFFFF), np.uint64(0xFF)


def describe_interest(replicator: Replicator, observer: int) -> list[dict[str, Any]]:
    """See `Replicator.interest`."""
    listed = replicator.followed(observer)
    stream = int(replicator._streams.leader[observer])
    slots = (listed & _SLOT).astype(np.uint32)
    kinds, masks = (listed >> KIND_SHIFT & _BYTE).astype(np.intp), (listed >> MASK_SHIFT & _BYTE).astype(np.int64)
    handles = replicator.world.handles_of(slots)
    covered = [_covered(replicator, stream, slots, kinds, sq) for sq in _distances(replicator, stream, slots)]
    named = _named(replicator, stream)
    owner_only, names = replicator.tables.owner_only, [kind["name"] for kind in replicator.schema["kinds"]]
    rows = []
    for i, handle in enumerate(handles.tolist()):
        left = int(masks[i])
        why: dict[Any, list[int]] = {}
        own, public = left & int(owner_only[kinds[i]]), left & ~int(owner_only[kinds[i]])
        near = [(name, int(mask[i]) & public) for name, mask in zip(("near", "focus"), covered, strict=True)]
        for name, mask in [("owner", own), *near, *((name, mask & public) for name, mask in named.get(handle, []))]:
            if mask:
                why[name] = _channels(mask)
                left &= ~mask
        if left:
            why["kept"] = _channels(left)
        rows.append({"entity": handle, "kind": names[kinds[i]], "channels": _channels(int(masks[i])), "why": why})
    return rows


def _channels(mask: int) -> list[int]:
    return [c for c in range(8) if mask >> c & 1]


def _distances(replicator: Replicator, observer: int, slots: NDArray[np.uint32]) -> list[NDArray[np.float32]]:
    """Effective squared distances, from where an observer stands and from its focus, infinite without one."""
    places = np.stack([replicator._x[slots], replicator._y[slots], replicator._z[slots]])
    focus, here = replicator._sight.focus[observer], replicator.position[observer]
    if not replicator._sight.ways[kernels.IN_USE]:
        focus = np.zeros_like(focus)
    with np.errstate(all="ignore"):
        x, y, z = places - here[:, None]
        first = (x * x + y * y) + z * z
        if focus[kernels.FARTHEST] > 0:
            a, b, c = focus[kernels.DIRECTION : kernels.DIRECTION + 3]
            inside = (a * x + b * y) + c * z >= focus[kernels.COSINE] * np.sqrt(first)
            first *= np.where(inside, focus[kernels.INVERSE_INSIDE_SQ], focus[kernels.INVERSE_OUTSIDE_SQ])
        x, y, z = places - focus[kernels.FOCUS : kernels.FOCUS + 3, None]
        second = ((x * x + y * y) + z * z) * focus[kernels.INVERSE_SCALE_SQ]
    return [first, second if focus[kernels.SCALE] > 0 else np.full(len(slots), np.inf, np.float32)]


def _covered(replicator: Replicator, observer: int, slots: NDArray[np.uint32], kinds: NDArray[np.intp],
             distance_sq: NDArray[np.float32]) -> NDArray[np.int64]:  # fmt: skip
    """int64[n]: bit masks of the channels whose radius to leave at covers the distance."""
    scale = replicator.radius_scale(replicator.world.handles_of(slots)) * replicator.reach_scale[observer]
    limits = replicator._leave_sq[kinds] * (scale * scale)[:, None]
    covers = (distance_sq[:, None] <= limits) & np.isfinite(distance_sq)[:, None]
    masks: NDArray[np.int64] = (covers.astype(np.int64) << np.arange(limits.shape[1])).sum(axis=1)
    return masks


def _named(replicator: Replicator, observer: int) -> dict[int, list[tuple[Any, int]]]:
    """From handle to who names it, "subscription" or a group, and on which channels."""
    book = replicator._book
    named: dict[int, list[tuple[Any, int]]] = {}
    lists, groups = book.lists, 2 * book.max_observers + observer
    for handle, mask in zip(lists.of(observer).tolist(), lists.masks_of(observer).tolist(), strict=True):
        named.setdefault(handle, []).append(("subscription", mask))
    for number, mask in zip(lists.of(groups).tolist(), lists.masks_of(groups).tolist(), strict=True):
        for handle in lists.of(number).tolist():
            named.setdefault(handle, []).append((("group", book.name_of[number]), mask))
    return named
