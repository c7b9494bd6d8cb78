"""Crowd: interest that shrinks where more is near than an observer may follow, so that the nearest stay.

Every observer has a scale, at most 1, that all radii are multiplied by for it. It falls at once where an evaluation
finds too many, and grows back in steps.
"""

from __future__ import annotations

import math

import numpy as np

from horizon_ecs.kernel import bit_length, helper
from horizon_ecs.systems.interest import classify

SMALLEST = 1.0 / 64.0
_STEPS_AN_OCTAVE, _STEPS = 16, 96
_SLOWEST, _FASTEST = 0.95, 0.5  # what a scale shrinks to in one step, at most and at least
_GROWTH = 1.5
_ROOM = 0.8  # a list shorter than this part of what it may be lets interest grow


@helper
def next_reach(scale, n, most, crowded):
    """An observer's scale after a look at its list of `n`: smaller where it is longer than `most`, or some found no
    room; larger where much room is left.

    The number within a radius is taken to grow with its square. Oracle: tests/naive.py::next_reach.
    """
    if crowded or n > most:
        wanted = math.sqrt(most / np.float64(max(n, 1)))
        return np.float32(max(SMALLEST, scale * max(_FASTEST, min(_SLOWEST, wanted))))
    if scale < np.float32(1.0) and n < _ROOM * most:
        return np.float32(min(1.0, scale * min(_GROWTH, math.sqrt(most / np.float64(max(n, 1))))))
    return np.float32(scale)


@helper
def _count(near_sq, first_of_kind, due, owner_only, enter_sq, scale):
    """How many finds are within the outermost due channel at a scale."""
    n = np.int64(0)
    for k in range(len(due)):
        channels = due[k] & ~owner_only[k]
        if channels != 0:
            top = np.int64(bit_length(np.uint64(channels))) - 1
            limit = enter_sq[k, top] * (scale * scale)
            for m in range(first_of_kind[k], first_of_kind[k + 1]):
                n += np.int64(near_sq[m] <= limit)
    return n


@helper
def fitting_reach(near_sq, first_of_kind, due, owner_only, enter_sq, scale, most):
    """The largest scale below the present one, in steps of a sixteenth of an octave, at which at most `most` finds are
    within a due channel that isn't for owners only; the smallest there is where none will do. Where that leaves fewer
    than half of `most`, since many are equally far, it is one step larger, and those who find no room are refused.

    Oracle: tests/naive.py::fitting_reach.
    """
    low, high = 1, _STEPS
    while low < high:
        middle = (low + high) // 2
        tried = np.float32(max(SMALLEST, scale * 2.0 ** (-middle / _STEPS_AN_OCTAVE)))
        if _count(near_sq, first_of_kind, due, owner_only, enter_sq, tried) <= most:
            high = middle
        else:
            low = middle + 1
    fits = np.float32(max(SMALLEST, scale * 2.0 ** (-low / _STEPS_AN_OCTAVE)))
    if 2 * _count(near_sq, first_of_kind, due, owner_only, enter_sq, fits) < most:
        return np.float32(max(SMALLEST, scale * 2.0 ** ((1 - low) / _STEPS_AN_OCTAVE)))
    return fits


@helper
def classify_again(near_sq, first_of_kind, due, enter_sq, leave_sq, scale, out_inside, out_held):
    """As `classify`, for the finds of every due kind at another scale."""
    n_inside = np.int64(0)
    for k in range(len(due)):
        if due[k] != 0:
            n_inside += classify(near_sq, first_of_kind[k], first_of_kind[k + 1], due[k], enter_sq[k], leave_sq[k],
                                 scale * scale, out_inside, out_held)  # fmt: skip
    return n_inside
