"""Random numbers: the published vectors, the same draws in every form and for any number of parts, and their moments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import Read, Write, f8, i8
from horizon_ecs.columns import PAGE
from horizon_ecs.commands import CommandBuffer
from horizon_ecs.runners import make_runner
from tests import kernels, naive

# The known answers for philox4x32 with 10 rounds (Random123, kat_vectors): counter, key, result.
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@hz.component
class Dice:
    flat: f8
    wide: f8
    bell: f8
    whole: i8
    lucky: hz.b1
    n: i8


Player = hz.Kind("Player", Dice)


@hz.system
def roll(d: Write[Dice], rng: hz.Random):
    if d.n % 3 == 1:
        rng.chance(0.5)
    d.flat = rng.uniform()
    for _ in range(d.n % 2):
        d.wide += rng.uniform(-3.0, high=d.n)
    d.bell = rng.normal() + rng.normal()
    d.whole = rng.integers(-5, d.n)
    d.lucky = rng.chance(0.25)


@hz.system(form="columns")
def roll_columns(d: Write[Dice], rng: hz.Random):
    d.flat = rng.uniform()
    d.wide = rng.uniform(-3.0, d.n)
    d.bell = rng.normal()
    d.whole = rng.integers(-5, d.n + 1)
    d.lucky = rng.chance(0.25)


@hz.system
def roll_each(d: Write[Dice], rng: hz.Random):
    d.flat = rng.uniform()
    d.wide = rng.uniform(-3.0, d.n)
    d.bell = rng.normal()
    d.whole = rng.integers(-5, d.n + 1)
    d.lucky = rng.chance(0.25)


@hz.system
def anywhere(d: Write[Dice], rng: hz.Random):
    """Draws where only some are made."""
    d.lucky = (d.n % 2 == 0 and rng.chance(0.5)) or rng.uniform() < 0.1
    d.flat = rng.uniform() if d.n % 3 else rng.normal() + rng.uniform(1, rng.uniform(2, 3))
    if d.n == 5:
        d.wide = 1.0
    elif rng.chance(0.5) and not (d.n % 5 == 0 or rng.chance(0.5)):
        d.wide = rng.uniform()
    while d.whole < 5 and rng.chance(0.8):
        d.whole += 1
        if d.whole == 3:
            continue
        d.bell += rng.normal()
    for _ in range(rng.integers(0, 3)):
        d.bell += 1.0
    d.wide += rng.uniform()


def players(seed: int = 7, n: int = 2 * PAGE + 30) -> tuple[hz.World, np.ndarray]:
    world = hz.World(capacity=4 * PAGE, seed=seed)
    handles = world.spawn(Player, n, Dice={"n": np.arange(n)})
    world.despawn(handles[5:9])
    world.spawn(Player, 4, Dice={"n": [1, 2, 3, 4]})  # of a later generation
    return world, world.query(Dice).handles


def table(world: hz.World) -> np.ndarray:
    return np.stack([column for name, column in world.query(Dice).to_dict().items() if name != "handle"], axis=1)


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox_gives_the_published_answers(counter, key, expected):
    words = [[int(w, 16) for w in text.split()] for text in (counter, key, expected)]
    assert naive.philox(words[0], words[1]) == words[2]
    assert kernels.philox(words[0], words[1]) == words[2]


@given(
    st.integers(0, 2**64 - 1), st.integers(0, 2**31), st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3),
    st.integers(0, 2**20), st.integers(-(2**61), 2**61), st.integers(0, 2**61),
)  # fmt: skip
@settings(deadline=None, derandomize=True, max_examples=50)
def test_draws_equal_their_plain_twins(key, tick, handles, draw, low, width):
    uniform, normal, whole = kernels.draws(key, tick, handles, draw, low, low + width)
    for i, handle in enumerate(handles):
        bits = naive.draw_bits(key, tick, handle, draw)
        assert uniform[i] == naive.uniform(bits, float(low), float(low + width))
        assert normal[i] == pytest.approx(naive.normal(bits), rel=1e-12)
        assert whole[i] == naive.integers(bits, low, low + width)


@pytest.mark.parametrize("system", [roll, anywhere], ids=lambda s: s.name)
def test_a_plain_call_draws_what_the_world_does(system):
    world, handles = players()
    world.add_system(system)
    world.run(3)
    for handle in [*handles[:40].tolist(), int(handles[2000])]:
        dice = Dice(n=world.get(handle, Dice).n)
        for tick in (1, 2, 3):
            system(dice, rng=hz.Random(seed=7, entity=handle, tick=tick))
        assert world.get(handle, Dice) == dice


def test_a_columns_system_draws_what_its_entities_would():
    each, _ = players()
    each.add_system(roll_each)
    whole, _ = players()
    roll_columns.name = "roll_each"
    whole.add_system(roll_columns)
    for world in (each, whole):
        world.run(2)
    np.testing.assert_array_equal(table(each), table(whole))
    assert len(np.unique(each[Dice].flat[: 2 * PAGE])) == 2 * PAGE


@pytest.mark.parametrize("n_parts", [2, 5])
def test_the_number_of_parts_changes_no_draw(n_parts):
    def outcome(n: int) -> np.ndarray:
        world, _ = players()
        runner = make_runner(world, roll, CommandBuffer(world))
        runner.begin()
        for part in reversed(range(n)):
            runner.part(part, n)
        runner.end()
        return table(world)

    np.testing.assert_array_equal(outcome(n_parts), outcome(1))


def test_seeds_ticks_and_names_draw_differently():
    def draws(seed: int, tick: int, name: str) -> list[float]:
        return hz.Random(seed, np.arange(100), tick, name).uniform().tolist()

    variants = [draws(1, 1, "a"), draws(2, 1, "a"), draws(1, 2, "a"), draws(1, 1, "b")]
    assert len({x for v in variants for x in v}) == 400
    assert draws(1, 1, "a") == variants[0]


def test_moments_are_those_of_the_distributions():
    n = 200_000
    rng = hz.Random(seed=3, entity=np.arange(n, dtype=np.uint64))
    flat, bell, whole = rng.uniform(), rng.normal(), rng.integers(-2, 8)
    sigma = 1 / math.sqrt(n)
    assert abs(flat.mean() - 1 / 2) < 5 * sigma * math.sqrt(1 / 12)
    assert abs(flat.var() - 1 / 12) < 5 * sigma * math.sqrt(1 / 180)
    assert (flat.min(), flat.max()) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-4))
    assert abs(bell.mean()) < 5 * sigma
    assert abs(bell.var() - 1) < 5 * sigma * math.sqrt(2)
    assert abs((bell**3).mean()) < 5 * sigma * math.sqrt(15)
    assert abs((bell**4).mean() - 3) < 5 * sigma * math.sqrt(96)
    assert abs(np.corrcoef(flat[:-1], flat[1:])[0, 1]) < 5 * sigma
    counts = np.bincount(whole + 2, minlength=10)
    assert len(counts) == 10
    assert ((counts - n / 10) ** 2 / (n / 10)).sum() < 33  # chi-squared with 9 degrees: p = 0.0001
    assert abs(rng.chance(0.3).mean() - 0.3) < 5 * sigma * math.sqrt(0.21)


def test_one_entity_draws_plain_numbers():
    rng = hz.Random(seed=1, entity=5)
    assert isinstance(rng.uniform(), float)
    assert isinstance(rng.integers(0, 3), int)
    assert rng.chance(1.0) is True
    assert rng.integers(4, 4) == 4


@pytest.mark.parametrize("seed", [-1, 1.5, "7", True, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(hz.ArgumentError, match="seed must be a whole number from 0"):
        hz.World(seed=seed)


def test_what_is_no_draw_is_refused():
    def unknown(d: Write[Dice], rng: hz.Random):
        d.flat = rng.gauss()

    def too_many(d: Write[Dice], rng: hz.Random):
        d.flat = rng.normal(1.0)

    def too_few(d: Write[Dice], rng: hz.Random):
        d.whole = rng.integers(3)

    def bare(d: Write[Dice], rng: hz.Random):
        d.flat = rng

    def uncalled(d: Read[Dice], rng: hz.Random):
        f = rng.uniform  # noqa: F841

    def chained(d: Write[Dice], rng: hz.Random):
        d.lucky = 0 < d.n < rng.uniform()

    def comprehended(d: Write[Dice], rng: hz.Random):
        d.flat = len([rng.uniform() for _ in range(3)])

    for function, message in [
        (chained, "a chain of comparisons can't draw"),
        (comprehended, "a comprehension can't draw"),
        (unknown, r"rng has no 'gauss'; it has \['chance', 'integers', 'normal', 'uniform'\]"),
        (too_many, r"rng.normal\(\) takes no arguments"),
        (too_few, r"rng.integers\(\) takes \['low', 'high'\]"),
        (bare, r"'rng' can only be used by its methods, such as rng.uniform\(\)"),
        (uncalled, r"rng.uniform can't be used here; call it"),
    ]:
        with pytest.raises(hz.DefinitionError, match=message):
            hz.World().add_system(hz.system(function))


def test_draws_and_what_is_assigned_within_a_statement_keep_their_order():
    @hz.system
    def rolls(d: Write[Dice], rng: hz.Random):
        d.flat = (x := rng.uniform(1, 2)) + rng.uniform(x, x + 1)
        while (y := rng.uniform()) < 0.5 and (z := y + rng.uniform()) < 1.2:
            d.flat += z

    world = hz.World(capacity=10, seed=3)
    things = world.spawn(hz.Kind("Roller", Dice), 6)
    expected = []
    for thing in things:
        dice = world.get(thing, Dice)
        rolls(dice, hz.Random(seed=3, tick=1, entity=int(thing)))
        expected.append(dice.flat)
    world.add_system(rolls)
    world.tick()
    assert [world.get(thing, Dice).flat for thing in things] == pytest.approx(expected, rel=1e-6)
