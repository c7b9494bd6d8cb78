"""Recount: how long one entity's record is, field by field, long after its bits were written."""

from __future__ import annotations

from horizon_ecs.kernel import kernel
from horizon_ecs.systems.bits import zigzag
from horizon_ecs.systems.delta import residual
from horizon_ecs.systems.rice import rice_length


@kernel(
    "void(int32[:, ::1], int64, int32[::1], uint8[::1], uint8[::1], int64, int64, int64, int64, int64[::1], int64[::1])"
)
def recount(history, depth, tracks, orders, rice, slot, tick, period, born, out_residual, out_bits):
    """Residual and code length of each field of one group of one entity, as of a tick that the history reaches.

    Parameters
    ----------
    history : int32[n_tracks * depth, stride]  in   quantised values; `depth` is a power of two
    tracks : int32[n];  orders, rice : uint8[n]  in   of the group's fields on its channel
    slot, tick, period, born : int64           in
    out_residual, out_bits : int64[n]          out

    Oracle: tests/naive.py::recount.
    """
    for f in range(len(out_bits)):
        missed, _ = residual(history, tracks[f], orders[f], slot, tick, period, born, depth)
        out_residual[f] = missed
        out_bits[f] = rice_length(zigzag(missed), rice[f])
