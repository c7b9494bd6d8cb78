"""Plain, slow twins of hierarchies: cycles, orders, sums and transforms along relations."""

from __future__ import annotations

import cmath
from collections.abc import Iterable, Mapping, Sequence


def on_cycle(targets: Mapping[int, int]) -> set[int]:
    """Who comes back to itself by following targets; what `hierarchy.find_cycle` finds one of."""
    found = set()
    for start in targets:
        here = targets.get(start)
        for _ in targets:
            if here is None or here == start:
                break
            here = targets.get(here)
        if here == start:
            found.add(start)
    return found


def sources_of(targets: Mapping[int, int]) -> dict[int, list[int]]:
    """Twin of `hierarchy.index_sources`: the sources of every target, ascending."""
    out: dict[int, list[int]] = {}
    for source in sorted(targets):
        out.setdefault(targets[source], []).append(source)
    return out


def descendants(targets: Mapping[int, int], of: Iterable[int]) -> set[int]:
    """Twin of `hierarchy.close_over`: these, their sources, and theirs."""
    found, sources = set(of), sources_of(targets)
    waiting = list(found)
    while waiting:
        for source in sources.get(waiting.pop(), []):
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def depth_order(targets: Mapping[int, int], members: Iterable[int]) -> list[list[int]]:
    """Twin of `hierarchy.order_by_depth`, as levels; members have the relation or are targets."""
    levels, sources = [], sources_of(targets)
    level = sorted({*members, *targets.values()} - set(targets))
    while level:
        levels.append(level)
        level = [source for target in level for source in sources.get(target, [])]
    return levels


def subtree_total(targets: Mapping[int, int], values: Mapping[int, float], of: int) -> float:
    """Twin of `hierarchy.sum_upwards`, one entry."""
    return values.get(of, 0.0) + sum(subtree_total(targets, values, s) for s in sources_of(targets).get(of, []))


def _rotate(q: Sequence[float], v: Sequence[float]) -> list[float]:
    """A vector turned by a unit quaternion, by its matrix."""
    x, y, z, w = q
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return [sum(a * b for a, b in zip(row, v, strict=True)) for row in rows]


def world_transform(local: Mapping[int, Sequence[float]], targets: Mapping[int, int], of: int) -> list[float]:
    """Twin of `hierarchy.compose`: x, y, z, quaternion, scale; a parent without a transform is none."""
    own = list(local[of])
    if targets.get(of) not in local:
        return own
    up = world_transform(local, targets, targets[of])
    (*a, aw), (*b, bw) = up[3:7], own[3:7]
    moved = _rotate(up[3:7], own[:3])
    vector = [aw * b[i] + bw * a[i] + a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]
    scalar = aw * bw - sum(p * q for p, q in zip(a, b, strict=True))
    return [*(up[i] + up[7] * moved[i] for i in range(3)), *vector, scalar, up[7] * own[7]]


def world_transform_2d(local: Mapping[int, Sequence[float]], targets: Mapping[int, int], of: int) -> list[float]:
    """Twin of `hierarchy.compose_2d`: x, y, angle, scale."""
    x, y, angle, scale = local[of]
    if targets.get(of) not in local:
        return [x, y, angle, scale]
    up = world_transform_2d(local, targets, targets[of])
    moved = complex(up[0], up[1]) + up[3] * complex(x, y) * cmath.rect(1.0, up[2])
    return [moved.real, moved.imag, up[2] + angle, up[3] * scale]


def looked_up(rows: dict[int, tuple[int, int, float]], handle: int, bit: int, default: float) -> float:
    """Twin of `storage.slot_with` and `storage.pick`: rows by slot as (generation, component bits, value)."""
    generation, bits, value = rows.get(handle % 2**32, (-1, 0, default))
    return value if generation == handle >> 32 and bits & bit else default
