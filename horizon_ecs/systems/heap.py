"""Heap: the greatest of many first, without sorting them all. Source: Williams 1964."""

from __future__ import annotations

from horizon_ecs.kernel import helper


@helper
def sink(heap, at, n):
    """Let one value that may be too low for its place sink in a heap of `n`, whose greatest is the first.

    Oracle: tests/test_budgets.py, tests/speech.py::Speaking.
    """
    while 2 * at + 1 < n:
        child = 2 * at + 1
        if child + 1 < n and heap[child + 1] > heap[child]:
            child += 1
        if heap[at] >= heap[child]:
            return
        heap[at], heap[child] = heap[child], heap[at]
        at = child


@helper
def sort(values, n):
    """Sort the first `n` in place: by heap, so that many cost no more than their share.

    Oracle: tests/speech.py::Speaking.
    """
    for at in range(n // 2 - 1, -1, -1):
        sink(values, at, n)
    for end in range(n - 1, 0, -1):
        values[0], values[end] = values[end], values[0]
        sink(values, 0, end)
