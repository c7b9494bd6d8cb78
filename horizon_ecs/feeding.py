"""Feeding: what a recording holds as load for clients, as many as wanted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from horizon_ecs.errors import ArgumentError
from horizon_ecs.recording import Decoder, Progress, Recording

MAX_CLIENTS = 100_000


def feed(recording: Recording, clients: Sequence[Decoder], progress: Progress | None = None) -> dict[str, Any]:
    """Feed clients with a recording as fast as they take it, tick by tick: client i with observer i's frames.

    Where there are more clients than observers, several get the same.

    Parameters
    ----------
    recording : Recording
    clients : sequence of Replica, or of anything with `apply(frame)`
    progress : function of (ticks done, ticks in all), optional

    Returns
    -------
    dict : `clients`, `frames` and `bytes` that they took, `decode_s` that they took for it, and what follows from
        these: `frames_per_s`, `mb_per_s`, `us_per_frame`. Reading the file is not in the time.

    Raises
    ------
    ArgumentError
        The recording has no frames, or there are no clients.
    RecordingError, WireError
    """
    n_observers = len(recording.observers)
    if not clients or not recording.n_frames:
        raise ArgumentError(f"{len(clients)} clients can't be fed with {recording.n_frames} frames")
    fed = [list(clients[number::n_observers]) for number in range(n_observers)]
    n_frames = n_bytes = spent_ns = 0
    for tick, frames in recording.ticks():
        started = time.perf_counter_ns()
        for number, frame in frames:
            for client in fed[number]:
                client.apply(frame)
        spent_ns += time.perf_counter_ns() - started
        n_frames += sum(len(fed[number]) for number, _ in frames)
        n_bytes += sum(len(fed[number]) * len(frame) for number, frame in frames)
        if progress:
            progress(tick - recording.first_tick, recording.last_tick - recording.first_tick)
    seconds = max(spent_ns, 1) / 1e9
    return {
        "clients": len(clients),
        "frames": n_frames,
        "bytes": n_bytes,
        "decode_s": seconds,
        "frames_per_s": n_frames / seconds,
        "mb_per_s": n_bytes / seconds / 1e6,
        "us_per_frame": seconds * 1e6 / n_frames if n_frames else 0.0,
    }


def decode_load(recording: Recording, n_clients: int, progress: Progress | None = None) -> dict[str, Any]:
    """`feed` so many Replicas; the answer has also `updates`, `updates_per_s`, and `entities` known at the end.

    Parameters
    ----------
    recording : Recording
    n_clients : int
    progress : function of (ticks done, ticks in all), optional

    Raises
    ------
    ArgumentError, RecordingError, WireError
    """
    if not isinstance(n_clients, int) or not 1 <= n_clients <= MAX_CLIENTS:
        raise ArgumentError(f"n_clients must be a whole number from 1 to {MAX_CLIENTS}, not {n_clients!r}")
    n_observers = max(1, len(recording.observers))
    replicas = [recording.replica(i % n_observers) for i in range(n_clients)] if recording.n_frames else []
    result = feed(recording, replicas, progress)
    updates = sum(replica.n_updates for replica in replicas)
    more = {"updates": updates, "updates_per_s": updates / result["decode_s"]}
    return {**result, **more, "entities": sum(replica.n for replica in replicas)}
