"""Observers: where each stands, and who has something due this tick."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel
from horizon_ecs.systems.grid import DEAD, cell_coordinate

FREE, LIVE, HELD = 0, 1, 2  # an observer's status
_SLOT_BITS = np.uint64(32)


@kernel("void(int64, uint64[::1], uint32[::1], uint32[::1], float32[::1], float32[::1], float32[::1], float32[:, ::1])")
def follow_entities(n, entity, generation, born, x, y, z, position):
    """Move each of the first `n` observers to its entity; one whose entity is gone, or stands nowhere, stays.

    Parameters
    ----------
    entity : uint64[max_observers]        in      handle, 0 for an observer that stands free
    generation, born : uint32[capacity]   in
    x, y, z : float32[capacity]           in
    position : float32[max_observers, 3]  in/out

    Oracle: tests/naive.py::follow_entities.
    """
    for o in range(n):
        if entity[o] == np.uint64(0):
            continue
        slot = np.int64(entity[o] & np.uint64(0xFFFFFFFF))
        if born[slot] == DEAD or np.uint64(generation[slot]) != entity[o] >> _SLOT_BITS:
            continue
        total = x[slot] + y[slot] + z[slot]
        if total - total == np.float32(0.0):
            position[o, 0], position[o, 1], position[o, 2] = x[slot], y[slot], z[slot]


@kernel("void(int64[:, :, ::1], int64, int64[:, :, ::1])")
def list_due(periods, tick, out_due):
    """Which channels are due at `tick`, by rate, phase and kind.

    Parameters
    ----------
    periods : int64[n_rates, n_kinds, C]            in   ticks; 0 where the kind has no layer
    out_due : int64[n_rates, n_phases, n_kinds]     out  bit masks

    Oracle: tests/naive.py::select_served.
    """
    out_due[:] = 0
    for rate in range(periods.shape[0]):
        for k in range(periods.shape[1]):
            for c in range(periods.shape[2]):
                period = periods[rate, k, c]
                if period > 0:
                    for phase in range((-tick) % period, out_due.shape[1], period):
                        out_due[rate, phase, k] |= 1 << c


@kernel(
    "int64(int64, uint8[::1], int64[::1], uint8[::1], uint8[::1], uint8[::1], uint32[::1], int64, int64, "
    "int64[:, :, ::1], int64[::1], "
    "uint8[::1], uint32[::1], uint8[::1], int64[:, ::1])"
)
def select_served(
    n, status, phase, rate, told_rate, wants_reset, sent_tick, tick, max_silence, due_by_phase, all_channels, looks,
    out_observer, out_reset, out_due
):  # fmt: skip
    """List the live observers that have a channel due, want a reset frame or have another rate, have heard nothing for
    long, or must look at their lists.

    Parameters
    ----------
    n : int64                                   in   observers in use
    status, wants_reset : uint8[max_observers]  in
    phase : int64[max_observers]                in
    rate, told_rate : uint8[max_observers]      in   the rate, and what the last frame said of it
    sent_tick : uint32[max_observers]           in
    tick, max_silence : int64                   in   ticks
    due_by_phase : int64[n_rates, n_phases, n_kinds]  in   bit mask of the channels due at `tick`
    all_channels : int64[n_kinds]               in   bit mask of the channels a kind has
    looks : uint8[max_observers]                in   1 where somebody of the list may have another profile
    out_observer : uint32[max_observers]        out
    out_reset : uint8[max_observers]            out
    out_due : int64[max_observers, n_kinds]     out

    Returns
    -------
    int64 : how many.

    Oracle: tests/naive.py::select_served.
    """
    m = 0
    for o in range(n):
        if status[o] != LIVE:
            continue
        some = 0
        for k in range(len(all_channels)):
            due = all_channels[k] if wants_reset[o] else due_by_phase[rate[o], phase[o], k]
            out_due[m, k] = due
            some |= due
        if (
            some != 0
            or wants_reset[o]
            or looks[o]
            or rate[o] != told_rate[o]
            or tick - np.int64(sent_tick[o]) >= max_silence
        ):
            out_observer[m] = o
            out_reset[m] = wants_reset[o]
            m += 1
    return m


@kernel("int64(int64, uint8[::1], int32[::1], uint32[::1], int64)")
def oldest_evaluation(n, status, n_followed, evaluated_tick, tick):
    """The tick at which some live observer's list was looked at longest ago; `tick` where none has anything in it.

    Parameters
    ----------
    n : int64                                          in   observers in use
    status : uint8[max_observers]                      in
    n_followed : int32[max_observers]                  in
    evaluated_tick : uint32[max_observers]             in

    Oracle: tests/naive.py::oldest_evaluation.
    """
    oldest = tick
    for o in range(n):
        if status[o] == LIVE and n_followed[o] > 0:
            oldest = min(oldest, np.int64(evaluated_tick[o]))
    return oldest


@kernel("void(uint32[::1], int64, uint8[::1])")
def mark_gone(born, oldest, out_gone):
    """Set the bit of every slot in which nobody lives, or somebody born after `oldest`: whoever was there may be dead.

    Parameters
    ----------
    born : uint32[n]         in   0xFFFFFFFF marks a dead slot
    out_gone : uint8[n / 8]  out  lowest bit first

    Oracle: tests/naive.py::mark_gone.
    """
    limit = np.uint32(oldest)
    for i in range(len(born) // 8):
        bits = np.uint32(0)
        for b in range(8):
            bits |= np.uint32(born[8 * i + b] > limit) << np.uint32(b)
        out_gone[i] = bits


@kernel("void(int64[::1], int64, uint32[::1], uint32[::1], int64[::1])")
def share_work(work, each, served, order, out_cut):
    """Cut the served, in their order, into parts of about the same work.

    Parameters
    ----------
    work : int64[max_observers]   in   what each took the last time
    each : int64                  in   what any takes besides
    served, order : uint32[n]     in   observers, and indices into them
    out_cut : int64[n_parts + 1]  out  where each part begins

    Oracle: tests/naive.py::share_work.
    """
    n, n_parts = len(order), len(out_cut) - 1
    total = each * n
    for s in range(n):
        total += work[served[s]]
    done, part = np.int64(0), 0
    for s in range(n):
        while part < n_parts and done * n_parts >= part * total:
            out_cut[part] = s
            part += 1
        done += each + work[served[order[s]]]
    out_cut[part:] = n


_TILE_LOG2 = 3  # cells a tile is wide, as log2
_TILES_LOG2 = 5  # tiles the plane is wide, as log2: further out it repeats
N_TILES = 1 << (2 * _TILES_LOG2)


@helper
def _tile(position, inverse_size):
    """The number of the tile that a position lies in."""
    side = (1 << _TILES_LOG2) - 1
    x = (cell_coordinate(position[0], inverse_size) >> _TILE_LOG2) & side
    y = (cell_coordinate(position[1], inverse_size) >> _TILE_LOG2) & side
    return (y << _TILES_LOG2) + x


@kernel("void(uint32[::1], float32[:, ::1], float64, int32[::1], uint32[::1])")
def order_by_tile(served, position, inverse_size, count, out_order):
    """Order the served observers by tiles of the plane: neighbours look at the same entities while these are cached.

    Parameters
    ----------
    served : uint32[n]                    in       observers
    position : float32[max_observers, 3]  in
    inverse_size : float64                in       1 / edge of a cell; a tile is 8 cells wide
    count : int32[N_TILES + 1]            scratch
    out_order : uint32[n]                 out      indices into `served`

    Oracle: tests/naive.py::order_by_tile.
    """
    count[:] = 0
    for s in range(len(served)):
        count[_tile(position[served[s]], inverse_size) + 1] += 1
    for tile in range(N_TILES):
        count[tile + 1] += count[tile]
    for s in range(len(served)):
        tile = _tile(position[served[s]], inverse_size)
        out_order[count[tile]] = s
        count[tile] += 1
