"""Rice parameters: from a sample of this tick's residuals, the shortest code for each field on each channel.

Source: the minimum over k of the summed code lengths (Rice and Plaunt 1971), taken exactly over the sample instead of
from its mean.
"""

from __future__ import annotations

import numpy as np

from horizon_ecs.kernel import helper, kernel
from horizon_ecs.systems.bits import COARSER, MAX_ONES, zigzag
from horizon_ecs.systems.delta import DEAD, PAGE, residual

# Every second row of a page, or as many rows spread over more pages: enough to rank parameters, and some 50 µs a field.
_PAGES_A_SAMPLE = 2
_STEP = MAX_ONES + 1
_ESCAPED = 2 * _STEP + 32


@helper
def rice_length(z, k):
    """Bits of the Rice code of `z` with parameter `k`."""
    ones, shift = np.int64(z) >> k, k
    if ones >= _STEP:
        shift = k + COARSER
        ones = _STEP + ((np.int64(z) - (_STEP << k)) >> shift)
    return ones + 1 + shift if ones < 2 * _STEP else _ESCAPED


@kernel(
    "int64(uint32[::1], int16[::1], int64, int64, int32[:, ::1], int64, int32, uint8, int64, uint32[::1], int64[::1])"
)
def measure_rice(pages, page_kind, kind, tick, history, depth, track, order, period, born, cost):
    """Sum what every parameter would cost over a sample of one field's residuals.

    Parameters
    ----------
    pages, page_kind, history, depth, born            in   as for `encode_records`
    kind, tick, track, order, period                  in   the field in question
    cost : int64[32]                                  out  bits, by parameter

    Returns
    -------
    int64 : the size of the sample, at most 512 entities spread over the pages.

    Oracle: tests/naive.py::rice_costs.
    """
    cost[:] = 0
    n_eligible = 0
    for page in pages:
        if page_kind[page] == kind:
            n_eligible += 1
    stride = max(_PAGES_A_SAMPLE * n_eligible, 1)
    n = 0
    for page in pages:
        if page_kind[page] != kind:
            continue
        first = np.int64(page) * PAGE
        for i in range(first + tick % stride, first + PAGE, stride):
            if born[i] == DEAD or np.int64(born[i]) > tick - period:
                continue
            r, _ = residual(history, track, order, i, tick, period, born[i], depth)
            z = zigzag(r)
            for k in range(32):
                cost[k] += rice_length(z, k)
            n += 1
    return n
