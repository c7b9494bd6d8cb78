"""Verdict: what a client should know held against what it knows, every difference counted and the first one told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from horizon_ecs.replica import Replica


@dataclass(frozen=True, eq=False)
class Expected:
    """What a client should know, a row an entity.

    Attributes
    ----------
    tick : int
        The last frame's.
    handle : uint64[n];  kind, mask, stale : uint8[n]
    q : int32[n, G, 4]
        By group and field; 0 where `known` is False or there is no such field. Of rotations not the integers, but x, y,
        z and w, as the bits of float32.
    known : bool[n, G]
        The group is carried, not stale, and the oracle has seen the tick that it is of.
    n_fields : int64[n_kinds, G]
    bits : uint32[n, G, 4]
        Those in which `q` and the table must agree: of angles the ones within a turn.
    step : float64[n, G]
        Of rotations the precision, which says how near the table must come; else 0.
    """

    tick: int
    handle: NDArray[np.uint64]
    kind: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    stale: NDArray[np.uint8]
    q: NDArray[np.int32]
    known: NDArray[np.bool_]
    n_fields: NDArray[np.int64]
    bits: NDArray[np.uint32]
    step: NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """How a client's table compares.

    Attributes
    ----------
    checked : int
        Field values that were compared.
    mismatches : int
        Field values, masks, stale bits and kinds that differ, and entities that only one of the two knows.
    first : str
        The first of them in words; empty where there is none.
    """

    checked: int
    mismatches: int
    first: str = ""


def judge(
    expected: Expected, replica: Replica, rows: NDArray[np.intp], missing: NDArray[np.uint64], where: str
) -> Verdict:
    """Compare the replica's `rows`, ascending, with `expected`, row by row.

    Parameters
    ----------
    rows : intp[n]
        The replica's rows that `expected` is about; it should have no others.
    missing : uint64[m]
        Who should be there and isn't.
    where : str
        What the first difference is introduced with.
    """
    whole = len(rows) == replica.n  # then they are all of them, in order
    table = [replica.q(j) if whole else replica.q(j)[rows] for j in range(expected.q.shape[1])]
    faults = [f"entity {handle:#x} is missing" for handle in missing]
    strange = np.ones(replica.n, np.bool_)
    strange[rows] = False
    faults += [f"entity {handle:#x} should not be there, or not twice" for handle in replica.handle[strange]]
    for name in ("kind", "mask", "stale"):
        want, have = getattr(expected, name), getattr(replica, name)[rows]
        for i in np.flatnonzero(want != have):
            faults.append(f"entity {expected.handle[i]:#x}: {name} {have[i]:#x} instead of {want[i]:#x}")
    checked = 0
    for j, most in enumerate(expected.n_fields.max(axis=0, initial=0).tolist()):
        n_fields = np.where(expected.known[:, j], expected.n_fields[:, j][expected.kind], 0)
        checked += int(n_fields.sum())
        rotated = expected.step[:, j] > 0.0
        for i in np.flatnonzero(rotated & (n_fields > 0)):
            wanted = expected.q[i, j].astype(np.int32).view(np.float32)
            if not _is_rotation(table[j][i], wanted, expected.step[i, j]):
                faults.append(
                    f"entity {expected.handle[i]:#x}: group {j} is {table[j][i]} instead of the rotation {wanted}"
                )
        for f in range(most):
            want, have = expected.q[:, j, f], table[j][:, f]
            differs = (want - have).view(np.uint32) & expected.bits[:, j, f] != 0
            for i in np.flatnonzero(differs & (n_fields > f) & ~rotated):
                faults.append(f"entity {expected.handle[i]:#x}: group {j} field {f} is {have[i]} instead of {want[i]}")
    return Verdict(checked, len(faults), f"{where}: {faults[0]}" if faults else "")


def _is_rotation(q: NDArray[np.int32], wanted: NDArray[np.float32], step: float) -> bool:
    """Whether four integers of a table stand for a unit quaternion (x, y, z, w), or for its negative."""
    components = list(q[:3] * step)
    left_out = (int(q[3]) - 1) & 3  # 3 is w, whose place is the last
    rest = np.sqrt(max(0.0, 1.0 - sum(c * c for c in components)))
    moved = components[left_out] if left_out < 3 else 0.0
    found = np.array([*components, moved])
    found[left_out] = -rest if q[3] & 4 else rest
    found *= np.sign(found @ wanted)
    # Three are rounded by half a step; what follows from them is off by at most three times that, times two where the
    # others' roundings add up at a component of a half; and float32 has its own.
    return bool((np.abs(found - wanted) <= 3.0 * step + 1.5 * step * step + 1e-6).all())
