"""Grid and scan: cells against a dict, what is near against every distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon_ecs import kernel
from tests import kernels, naive
from tests.kernels import DEAD, PAGE

quick = settings(max_examples=60 if kernel.jit_enabled() else 5, deadline=None, derandomize=True, database=None)

N_SLOTS = 4 * PAGE
PAGE_KIND = [0, 1, 0, -1]
coordinates = st.one_of(
    st.floats(-50, 50, width=32),
    st.integers(-12, 12).map(lambda i: i * 8.0),  # on the edges of cells
    st.sampled_from([np.nan, np.inf, -np.inf, 1e9, -1e9, 3e38, -3e38, 1e-40, -0.0]),
)
points = st.lists(
    st.tuples(st.integers(0, 3 * PAGE - 1), coordinates, coordinates, st.sampled_from([0.0, 5.0, -3.0, np.nan])),
    max_size=40,
)
# 1 / edge, shape, depths: flat, with layers, split
grids = st.sampled_from(
    [
        ([1 / 8, 1 / 8], [[0, 2, 2, 0], [16, 3, 1, 0]], []),
        ([1 / 8, 1.0], [[0, 0, 0, 0], [1, 4, 4, 0]], []),
        ([0.3, 1e-6], [[0, 1, 5, 0], [64, 2, 2, 0]], []),
        ([1 / 8, 0.3], [[0, 2, 1, 1], [16, 1, 1, 2]], []),
        ([1 / 32, 0.3], [[0, 1, 1, 0], [4, 1, 0, 0]], [3, 0, 1, 2, 0, 1]),
        ([1 / 32, 1e-3], [[0, 1, 1, 1], [8, 0, 0, 0]], [0, 0, 2, 1, 0, 1, 0, 0, 3]),
    ]
)
scales = st.lists(st.sampled_from([1.0, 0.25, 1.5]), min_size=N_SLOTS // 64, max_size=N_SLOTS // 64)


def world_of(placed):
    """born and position of a world in which these slots live."""
    born = np.full(N_SLOTS, DEAD, np.uint32)
    position = np.full((3, N_SLOTS), 1.0, np.float32)
    for slot, *where in placed:
        born[slot] = 1
        position[:, slot] = where
    return born, position


def twin_of(grid):
    inverse_size, shape, depth = grid
    return naive.Grid([0, 1], [1.0, 1.0], inverse_size, shape, depth)


@quick
@given(points, grids, st.integers(1, 3), st.booleans(), scales)
def test_every_entity_is_in_its_cell(placed, grid, n_parts, by_slot, scales):
    inverse_size, shape, depth = grid
    born, position = world_of(placed)
    inverse = np.repeat(np.array(scales, np.float32), 64)
    start, slots, where, beside = kernels.build_grid([0, 1, 2], PAGE_KIND, born, position, inverse_size, shape, n_parts,
                                                     depth=depth, inverse=inverse, by_slot=by_slot)  # fmt: skip
    expected = naive.build_grid(
        np.flatnonzero(born != DEAD).tolist(), lambda s: PAGE_KIND[s // PAGE], lambda s: position[:, s], twin_of(grid)
    )
    runs = [slots[start[part] : start[part + 1]].tolist() for part in range(len(start) - 1)]
    firsts = kernels.first_parts(shape, depth)
    found = {}
    for (cell, (z, y, x)), _ in expected.items():
        d = depth[cell] if depth else 0
        part = (firsts[cell] if depth else cell) + ((z << d) + y << d) + x
        found[cell, (z, y, x)] = runs[part]
    assert found == expected
    assert sum(map(len, runs)) == sum(map(len, expected.values()))
    np.testing.assert_array_equal(where, position[:, slots])
    np.testing.assert_array_equal(beside, inverse[slots])


def test_who_is_born_later_is_in_no_cell():
    born, position = world_of([(0, 1, 1, 0), (1, 1, 1, 0), (2, 1, 1, 0)])
    born[:3] = 4, 5, 6
    built = kernels.build_grid([0], PAGE_KIND, born, position, [1.0, 1.0], [[0, 0, 0, 0], [1, 0, 0, 0]], 1, tick=5)
    assert built[1].tolist() == [0, 1]


def test_only_the_pages_asked_for_count():
    born, position = world_of([(0, 1, 1, 0), (2 * PAGE, 1, 1, 0)])
    start, slots, *_ = kernels.build_grid([2], PAGE_KIND, born, position, [1.0, 1.0], [[0, 0, 0, 0], [1, 0, 0, 0]], 2)
    assert slots.tolist() == [2 * PAGE]
    start, slots, *_ = kernels.build_grid([], PAGE_KIND, born, position, [1.0, 1.0], [[0, 0, 0, 0], [1, 0, 0, 0]], 1)
    assert start.tolist() == [0, 0, 0]
    assert slots.tolist() == []


@quick
@given(
    points,
    grids,
    st.tuples(coordinates, coordinates, st.just(0.0)),
    st.sampled_from([0.5, 8.0, 20.0, 100.0, 1e10, np.inf]),
)
def test_a_scan_finds_what_is_within_reach_in_the_order_of_cells(placed, grid, centre, radius):
    if not naive.stands_somewhere([np.float32(c) for c in centre]):
        return
    inverse_size, shape, depth = grid
    born, position = world_of(placed)
    built = kernels.build_grid([0, 1, 2], PAGE_KIND, born, position, inverse_size, shape, 1, depth=depth)
    flat = not depth and not any(s[3] for s in shape)
    for kind in (0, 1):
        limit, reach = np.float32(radius) ** 2, radius * (1 + 1e-6) + 1e-6
        near = []
        for slot in np.flatnonzero(born != DEAD).tolist():
            distance = naive.distance_sq(position[:, slot], centre)
            if PAGE_KIND[slot // PAGE] == kind and naive.stands_somewhere(position[:, slot]) and distance <= limit:
                place = naive.place_in_scan(position[:, slot].tolist(), centre, twin_of(grid), kind)
                near.append((place, slot, float(distance)))
        expected = [(slot, distance) for _, slot, distance in sorted(near)]
        ask = centre, reach, limit, inverse_size[kind], shape[kind], built
        assert kernels.scan(*ask, depth, kernels.first_parts(shape, depth)) == expected
        assert not flat or kernels.scan(*ask) == expected


@quick
@given(
    st.sampled_from([2, 3]),
    st.integers(0, 3),
    st.lists(st.integers(0, 511), max_size=40),
    st.sampled_from([(2, 1), (5, 3), (1, 0)]),
    st.integers(0, 3),
)
def test_crowded_cells_split_and_sparse_ones_merge(axes, depth, where, thresholds, most):
    shape = [0, 0, 0, 0] if axes == 2 else [0, 0, 0, 1]
    n_parts = 1 << axes * depth
    counts = np.bincount([w % n_parts for w in where], minlength=n_parts)
    if axes == 3:  # a second cell, empty and whole
        counts = np.append(counts, 0)
    side = 1 << depth
    parts = {(p % side, p // side % side, p // side // side): int(n) for p, n in enumerate(counts[:n_parts]) if n}
    start = [0, *np.cumsum(counts).tolist()]
    found = kernels.adjust_depths(shape, [depth] + [0] * (axes == 3), start, most, *thresholds)
    assert found[0] == naive.adjusted_depth(depth, axes, parts, most, *thresholds)
    assert found[1:] == [0] * (axes == 3)


@pytest.mark.parametrize("x", [-0.01, 0.0, 7.99, 8.0, 31.99, 32.0, -32.0])
def test_coordinates_wrap_around_the_torus(x):
    born, position = world_of([(0, x, 0.0, 0.0)])
    start, *_ = kernels.build_grid([0], PAGE_KIND, born, position, [1 / 8, 1.0], [[0, 2, 0, 0], [4, 0, 0, 0]], 1)
    assert int(np.flatnonzero(np.diff(start))[0]) == int(x // 8) % 4
