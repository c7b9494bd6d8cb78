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
        By group and field; 0 where `known` is False or there is no such field.
    known : bool[n, G]
        The group is carried, not stale, and the oracle has seen the tick that it is of.
    n_fields : int64[n_kinds, G]
    bits : uint32[n, G, 4]
        Those in which `q` and the table must agree: of angles the ones within a turn.
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
        for f in range(most):
            want, have = expected.q[:, j, f], table[j][:, f]
            differs = (want - have).view(np.uint32) & expected.bits[:, j, f] != 0
            for i in np.flatnonzero(differs & (n_fields > f)):
                faults.append(f"entity {expected.handle[i]:#x}: group {j} field {f} is {have[i]} instead of {want[i]}")
    return Verdict(checked, len(faults), f"{where}: {faults[0]}" if faults else "")
