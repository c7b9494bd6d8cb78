"""Sharing: reset frames for who joins a stream that others have already, with the stream's own list as it is."""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel
from horizon_ecs.systems.bits import token
from horizon_ecs.systems.frames import (
    FLAG_PARAMETERS,
    FLAG_RESET,
    FLAG_STRUCTURE,
    PLAN_GROUPS,
    RATE_SHIFT,
    finish,
    put_blocks,
    put_parameters,
    put_structure,
    sort_into_blocks,
)
from horizon_ecs.systems.interest import ALL_STALE, STALE_SHIFT, kind_of, mask_of, stale_of
from horizon_ecs.systems.replicate import ARGUMENTS as _SAME


@helper
def _copy_if_settled(row, n, all_channels, plans, out_row, out_due, out_plan):
    """Copy a list as a reset frame has it, all stale; return how many entries are carried, -1 where one is stale.

    Who joins can't be told that a group still waits for its absolute record.
    """
    n_due = 0
    for i in range(n):
        plan = plans[kind_of(row[i]), np.uint32(all_channels[kind_of(row[i])]), mask_of(row[i])]
        if stale_of(row[i]) & (plan & PLAN_GROUPS) != 0:
            return -1
        out_row[i] = row[i] | (ALL_STALE << STALE_SHIFT)
        out_due[n_due], out_plan[n_due] = i, plan
        n_due += np.int64(plan != 0)
    return n_due


@kernel("int64(uint32[::1], int64[:, ::1], uint32[::1], int64[::1], int64[::1], int64[::1])")
def list_made(observers, span, out_observer, out_start, out_payload, out_stop):
    """List the frames that were made; returns how many.

    Parameters
    ----------
    observers : uint32[n]                            in
    span : int64[n, 3]                               in   start, payload, stop in bytes; stop 0 where none was made
    out_observer : uint32[n]; out_start, out_payload, out_stop : int64[n]  out

    Oracle: tests/naive.py::list_made.
    """
    m = 0
    for s in range(len(observers)):
        out_observer[m] = observers[s]
        out_start[m], out_payload[m], out_stop[m] = span[s, 0], span[s, 1], span[s, 2]
        m += np.int64(span[s, 2] > 0)
    return m


ARGUMENTS = {
    "tick": _SAME["tick"],
    "streams": "uint32[::1]",
    "phase": _SAME["phase"],
    "rows": _SAME["rows"],
    "row_start": _SAME["row_start"],
    "n_followed": _SAME["n_followed"],
    "all_channels": "int64[::1]",
    "carrier": _SAME["carrier"],
    "plans": _SAME["plans"],
    "loud": _SAME["loud"],
    "lead": _SAME["lead"],
    "bulk": _SAME["bulk"],
    "records": _SAME["records"],
    "history": _SAME["history"],
    "changed": _SAME["changed"],
    "depth": _SAME["depth"],
    "track": _SAME["track"],
    "order": _SAME["order"],
    "rice": _SAME["rice"],
    "rice_flat": _SAME["rice_flat"],
    "rice_tick": _SAME["rice_tick"],
    "periods": _SAME["periods"],
    "n_fields": _SAME["n_fields"],
    "born": _SAME["born"],
    "generation": _SAME["generation"],
    "bits": _SAME["bits"],
    "profiles": _SAME["profiles"],
    "row": "uint64[::1]",
    "due_index": "uint32[::1]",
    "due_plan": "uint32[::1]",
    "counters": "uint32[:, ::1]",
    "absolute": "uint32[:, ::1]",
    "record": "uint64[:, ::1]",
    "source": "uint32[:, ::1]",
    "places": "uint32[:, ::1]",
    "reference": "int32[:, ::1]",
    "tokens": "uint64[::1]",
    "words": _SAME["words"],
    "octets": _SAME["octets"],
    "first_word": "int64",
    "out_span": "int64[:, ::1]",
    "rate": _SAME["rate"],
    "no_bulk": _SAME["no_bulk"],
}
"""What `write_joins` takes, in its order: name and type."""


@kernel("void(" + ", ".join(ARGUMENTS.values()) + ")")
def write_joins(
    tick, streams, phase, rows, row_start, n_followed, all_channels, carrier, plans, loud, lead, bulk, records, history,
    changed, depth, track, order, rice, rice_flat, rice_tick, periods, n_fields, born, generation, bits, profiles, row,
    due_index, due_plan, counters, absolute, record, source, places, reference, tokens, words, octets, first_word,
    out_span, rate, no_bulk
):  # fmt: skip
    """Write one reset frame for each of some streams that were told of this tick; none where something in it is stale.

    Parameters
    ----------
    tick : int64                   in
    streams : uint32[n]            in       observers whose lists they are
    all_channels : int64[n_kinds]  in       bit mask of the channels a kind has
    row : uint64[max_followed]     scratch
    first_word : int64             in       where in `words` they begin
    out_span : int64[n, 3]         out      start, payload, stop in bytes; stop 0 where none could be written
    others                                  as for `replicate.replicate`; scratch is one thread's

    Oracle: tests/streams.py: the client that joins has what those have who were always there.
    """
    at = first_word
    for s in range(len(streams)):
        o = streams[s]
        n = np.int64(n_followed[o])
        period, ready = periods[rate[o]], bulk if rate[o] == 0 else no_bulk
        out_span[s, 2] = 0
        n_due = _copy_if_settled(
            rows[row_start[o] : row_start[o] + n], n, all_channels, plans, row, due_index, due_plan
        )
        if n_due < 0:
            continue
        sort_into_blocks(row, n_due, due_index, due_plan, carrier, loud, lead, ready, records, history, changed, depth,
                         track, order, rice, period, n_fields, born, tick, counters, absolute, record, source,
                         places)  # fmt: skip
        tokens[0] = token(FLAG_RESET + FLAG_PARAMETERS + FLAG_STRUCTURE + (np.int64(rate[o]) << RATE_SHIFT), 8)
        tokens[1] = token(tick, 32)
        m = put_parameters(tokens, 2, True, rice_flat, rice_tick, 0)
        m = put_structure(tokens, m, True, row, 0, 0, n, due_index, 0, due_index, 0, generation, bits, profiles)
        m = put_blocks(tokens, m, row, tick, phase[o], True, loud, counters, absolute, record, source, places, history,
                       depth, track, order, rice, period, n_fields, born, reference)  # fmt: skip
        out_span[s, 0], out_span[s, 1], out_span[s, 2] = finish(words, octets, tokens, m, at)
        at = (out_span[s, 2] + 7) >> 3
