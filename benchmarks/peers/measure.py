"""Measuring: every workload with every peer, in turns, each checked before it is timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.limits import LIMITS, Limit
from benchmarks.machine import machine
from benchmarks.node import Missing
from benchmarks.peers import with_bitecs, with_esper, with_horizon, with_snecs, with_tcod_ecs
from benchmarks.peers.case import Measurable, Peer
from benchmarks.peers.inputs import WORKLOADS, Inputs, Workload, make_inputs

PEERS: tuple[Any, ...] = (with_horizon, with_bitecs, with_esper, with_snecs, with_tcod_ecs)

TURN_S = 0.2  # how long a peer's turn may take, unless a single run takes longer
MAX_REPEATS = 50

Progress = Callable[[int, int, str], None]


class WrongResult(Exception):
    """A peer's workload came to something else than it must."""


def ready(workload: Workload, peer: Peer, inputs: Inputs) -> tuple[Measurable, int]:
    """A case that has run once and came to the right result, and how often it may run a turn."""
    case = peer.WORKLOADS[workload.key](inputs)
    took = case.seconds(1)
    found, expected = case.checksum(), workload.expected(inputs)
    if found != expected:
        raise WrongResult(f"{peer.NAME}: {workload.key} of {inputs.n} came to {found}, not {expected}")
    return case, int(min(max(TURN_S / took, 1), MAX_REPEATS))


def compare(workload: Workload, peers: Sequence[Peer], inputs: Inputs, rounds: int) -> dict[str, float]:
    """The best nanoseconds an operation of each peer, over rounds in which they take turns."""
    cases = {peer.NAME: ready(workload, peer, inputs) for peer in peers if workload.key in peer.WORKLOADS}
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, (case, repeats) in cases.items():
            best[name] = min(best[name], case.seconds(repeats))
    for case, _ in cases.values():
        case.close()
    return {name: seconds / workload.operations(inputs) * 1e9 for name, seconds in best.items()}


def installed(names: Sequence[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """The peers that can be measured, with their versions; and the others, with what they lack."""
    versions, missing = {}, {}
    for peer in PEERS:
        if names and peer is not with_horizon and peer.NAME not in names:
            continue
        try:
            versions[peer.NAME] = peer.version()
        except Missing as reason:
            missing[peer.NAME] = str(reason)
    return versions, missing


def _limit(limit: Limit, rounds: int) -> dict[str, Any]:
    value = min(limit.measure() for _ in range(rounds))
    return {"key": limit.key, "title": limit.title, "value": value, "limit": limit.limit, "unit": limit.unit}


def measure(n: int, rounds: int, names: Sequence[str], progress: Progress) -> dict[str, Any]:
    """Everything, as plain data: machine, versions, nanoseconds by workload and peer, and the limits."""
    versions, missing = installed(names)
    peers = [peer for peer in PEERS if peer.NAME in versions]
    inputs = make_inputs(n)
    total = len(WORKLOADS) + len(LIMITS)
    rows, limits = [], []
    for done, workload in enumerate(WORKLOADS):
        progress(done, total, workload.title)
        rows.append({"key": workload.key, "title": workload.title, "ns": compare(workload, peers, inputs, rounds)})
    for done, limit in enumerate(LIMITS, len(WORKLOADS)):
        progress(done, total, limit.title)
        limits.append(_limit(limit, rounds))
    progress(total, total, "done")
    return {
        **machine(), "entities": n, "rounds": rounds, "peers": versions, "missing": missing, "workloads": rows,
        "limits": limits,
    }  # fmt: skip
