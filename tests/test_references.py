"""References between entities: checked when given, 0 when what they refer to is gone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import Read, f4
from tests import kernels, naive


@hz.component
class Hunter:
    target: hz.Entity
    speed: f4 = 1.0


@hz.component
class Doomed:
    ticks: hz.i4 = 1


Hound = hz.Kind("Hound", Hunter)
Hare = hz.Kind("Hare", Doomed)


def hunt() -> tuple[hz.World, np.ndarray, np.ndarray]:
    world = hz.World(capacity=10_000)
    hares = world.spawn(Hare, 3)
    hounds = world.spawn(Hound, 3, Hunter={"target": hares})
    return world, hares, hounds


def targets(world: hz.World, hounds: np.ndarray) -> list[int]:
    return world[Hunter].target[world.slots_of(hounds)].tolist()


def test_a_reference_becomes_zero_when_its_target_dies():
    world, hares, hounds = hunt()
    assert targets(world, hounds) == hares.tolist()
    world.despawn(hares[1])
    assert targets(world, hounds) == [hares[0], 0, hares[2]]
    world.spawn(Hare)  # whoever takes the slot is a stranger
    assert targets(world, hounds)[1] == 0
    assert world.get(hounds[0], Hunter) == Hunter(target=int(hares[0]))


def test_in_a_tick_references_are_cleared_at_the_end_of_the_phase():
    seen: list[list[int]] = []

    @hz.system(form="columns")
    def kill(world: hz.World):
        world.despawn(hares[0])
        seen.append(targets(world, hounds))

    @hz.system(phase="react", form="columns")
    def look(world: hz.World):
        seen.append(targets(world, hounds))

    world, hares, hounds = hunt()
    world.add_system(kill, look)
    world.tick()
    assert seen == [hares.tolist(), [0, *hares[1:]]]


@pytest.mark.parametrize("call", ["spawn", "set"])
def test_a_reference_to_the_dead_is_refused(call):
    world, hares, hounds = hunt()
    world.despawn(hares[2])
    before = world[Hunter].speed.copy()
    values = {"target": hares, "speed": 5.0}
    with pytest.raises(hz.StaleHandleError, match=r"Hunter\.target: handle 0x\w+ names no living entity"):
        world.spawn(Hound, 3, Hunter=values) if call == "spawn" else world.set(hounds, Hunter, values)
    assert len(world) == 5
    np.testing.assert_array_equal(world[Hunter].speed, before)


def test_systems_read_references():
    @hz.system
    def count(hunter: Read[Hunter], doomed: hz.Write[Doomed]):
        doomed.ticks = 1 if hunter.target == 0 else 2

    both = hz.Kind("Both", Hunter, Doomed)
    world = hz.World(capacity=64)
    first = world.spawn(both)
    second = world.spawn(both, Hunter={"target": first})
    world.add_system(count)
    world.tick()
    assert [world.get(h[0], Doomed).ticks for h in (first, second)] == [1, 2]


@given(st.data())
def test_clearing_equals_its_twin(data):
    n = data.draw(st.integers(1, 12))
    generation = data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))
    signature = data.draw(st.lists(st.sampled_from([0, 1 << 63]), min_size=n, max_size=n))
    handle = st.builds(lambda g, s: g << 32 | s, st.integers(0, 3), st.integers(0, n + 2))
    column = data.draw(st.lists(st.one_of(st.just(0), handle), max_size=12))
    expected = naive.clear_stale(column, generation, signature)
    n_cleared = sum(a != b for a, b in zip(column, expected, strict=True))
    assert kernels.clear_stale(column, generation, signature) == (expected, n_cleared)
