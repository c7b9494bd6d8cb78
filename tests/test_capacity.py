"""Capacity plans: geometry and codes against brute force, and plans against the very crowds that they speak of."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import expectation, f4, i2, kernel, u1
from horizon_ecs.capacity import CapacityPlan, Population, calibrate
from tests import naive

compiled_only = pytest.mark.skipif(not kernel.jit_enabled(), reason="too long without compiling")


@hz.component
class Position:
    x: f4
    y: f4
    z: f4


@hz.component
class Health:
    hp: u1 = 100
    shield: i2 = 0


@hz.component
class Spot:
    x: f4
    y: f4


Ship = hz.Kind("Ship", Position, Health, layers=[
    hz.Layer(0, 50, 30, [Position, Health], 1 / 64), hz.Layer(1, 100, 15, [Position, Health], 1 / 64),
    hz.Layer(3, 178, 2, [Position], 1 / 4)
])  # fmt: skip
Rock = hz.Kind("Rock", Position, layers=[hz.Layer(1, 150, 10, [Position], 1 / 16)])
Bird = hz.Kind("Bird", Spot, layers=[hz.Layer(0, 40, 60, [Spot]), hz.Layer(2, math.inf, 1, [Spot])])


# -- what is expected --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("radius", "side", "height"),
    [(10, 100, 0), (60, 100, 0), (120, 100, 0), (20, 100, 30), (5, 100, 80), (200, 100, 10)],
)
def test_as_many_are_near_as_points_say(radius, side, height):
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 300_000, 3)) * [side, side, height]
    near = (((one - other) ** 2).sum(axis=1) <= radius**2).mean()
    assert expectation.share_within(radius, side, height) == pytest.approx(near, abs=0.002)
    assert expectation.share_within(math.inf, side, height) == 1.0


@pytest.mark.parametrize("travelled", [3.0, 15.0, 500.0])
def test_as_many_are_kept_as_straight_paths_say(travelled):
    """Points in the ring, gone backwards: those that come from within the circle without having been outside the ring."""
    rng = np.random.default_rng(2)
    side, radius, hysteresis, n = 1e5, 100.0, 0.2, 40_000
    rho = np.sqrt(rng.uniform(radius**2, (radius * (1 + hysteresis)) ** 2, n))
    angle = rng.random(n) * 2 * math.pi
    place, back = np.array([rho, np.zeros(n)]), np.array([np.cos(angle), np.sin(angle)])
    was_within = np.zeros(n, bool)
    for gone in np.linspace(0, min(travelled, 120.0), 240):
        was_within |= np.hypot(*(place + back * gone)) <= radius
    ring = expectation.share_within(radius * (1 + hysteresis), side, 0) - expectation.share_within(radius, side, 0)
    assert expectation.share_kept(radius, hysteresis, travelled, side, 0) / ring == pytest.approx(
        was_within.mean(), abs=0.01
    )
    assert expectation.share_kept(radius, 0.0, travelled, side, 0) == 0.0
    assert expectation.share_kept(radius, hysteresis, 0.0, side, 0) == 0.0


def test_speeds_are_those_of_random_directions():
    rng = np.random.default_rng(3)
    angle = rng.random(200_000) * 2 * math.pi
    between = np.hypot(3.0 - 5.0 * np.cos(angle), 5.0 * np.sin(angle)).mean()
    assert expectation.mean_relative_speed(3.0, 5.0) == pytest.approx(between, rel=0.005)
    assert expectation.mean_relative_speed(0.0, 2.0) == pytest.approx(2.0)


def test_who_walks_long_gets_less_far():
    assert expectation.reach_of(2.0, 0.0, 10.0) == 20.0
    assert expectation.reach_of(2.0, 0.1, 1.0) == 2.0
    assert expectation.reach_of(2.0, 10.0, 1_000.0) == pytest.approx(20.0)
    assert expectation.reach_of(0.0, 1.0, 9.0) == 0.0
    assert expectation.reach_of(1.0, 1.0, math.inf) == math.inf


@pytest.mark.parametrize("orders", [[2, 2], [1, 2], [1], [0, 0], [3]])
def test_codes_are_as_long_as_plain_ones(orders):
    rng = np.random.default_rng(4)
    q = [np.cumsum(rng.integers(-3, 4, (3, 500)) * (rng.random(500) < 0.6), axis=0) + 1000 for _ in orders]
    code = expectation.code_of(q, orders)
    residuals = [
        [naive.residual(order, int(c), int(b), int(b - a)) for a, b, c in values.T] for values, order in zip(q, orders, strict=True)
    ]  # fmt: skip
    ks = [int(np.argmin(naive.rice_costs(each))) for each in residuals]
    lengths = [
        sum(naive.rice_length(naive.zz(r), k) for r, k in zip(row, ks, strict=True))
        for row in zip(*residuals, strict=True)
    ]
    missed = [any(row) or 0 in orders for row in zip(*residuals, strict=True)]
    assert code.missed == pytest.approx(np.mean(missed))
    assert code.missed_bits == pytest.approx(np.mean([n for n, m in zip(lengths, missed, strict=True) if m]))
    assert code.moved == pytest.approx(np.mean([any(c[i] != b[i] for _, b, c in q) for i in range(500)]))
    absolute = []
    for i in range(500):
        writer = naive.Writer()
        for (_, before, now), order in zip(q, orders, strict=True):
            writer.wide(naive.zz(int(now[i])))
            if order == 2:
                writer.wide(naive.zz(int(now[i] - before[i])))
        absolute.append(writer.n_bits)
    assert code.absolute_bits == pytest.approx(np.mean(absolute))


# -- plans -------------------------------------------------------------------------------------------------------------


SCENES = {
    "turning": ([Population(Ship, 10_000, turns_per_s=0.6, changes_per_s=0.12)], {"clients": 300, "density": 0.001}),
    "straight, fast, high": (
        [Population(Ship, 3_000, speed=30, turns_per_s=0), Population(Rock, 2_000, moving=0.0)],
        {"clients": 100, "side": 1_000.0, "height": 100.0},
    ),
    "no edge, as they are": (
        [Population(Bird, 900, speed=3, turns_per_s=0.2, moving=0.7)],
        {"clients": 60, "side": 500.0, "tick_rate": 30.0, "position": Spot, "hysteresis": 0.3},
    ),
}
TOLERANCE = {
    "pairs": 0.05, "updates_per_s": 0.05, "frames_per_s": 0.05, "arrivals_per_s": 0.25, "bytes_per_s": 0.1,
    "bytes_per_s_per_client": 0.1
}  # fmt: skip


@compiled_only
@pytest.mark.parametrize("name", SCENES)
def test_what_is_predicted_comes_true(name):
    populations, options = SCENES[name]
    checked = hz.plan(populations, **options).check(ticks=90)
    assert set(checked.rows) == {*TOLERANCE, "tick_ms"}
    wrong = {row: checked.error(row) for row in TOLERANCE if abs(checked.error(row)) > TOLERANCE[row]}
    assert not wrong, str(checked)
    assert f"{'pairs':<26}" in str(checked)
    assert json.loads(json.dumps(checked.to_dict()))["pairs"]["predicted"] == checked.rows["pairs"][0]
    assert "<td>pairs</td>" in checked._repr_html_()


def test_a_plan_grows_with_what_it_is_of():
    def made(clients=100, **options):
        return hz.plan(Population(Ship, 5_000, **options), clients=clients, density=0.001)

    one = made()
    assert made(200).pairs == pytest.approx(2 * one.pairs)
    assert made(200).bytes_per_s == pytest.approx(2 * one.bytes_per_s)
    assert made(200).bytes_per_s_per_client == pytest.approx(one.bytes_per_s_per_client)
    assert made(200).tick_ms > one.tick_ms
    assert made(200).memory_mib > one.memory_mib
    assert made(changes_per_s=2.0).bytes_per_s > one.bytes_per_s
    assert made(moving=0.5).updates_per_s < one.updates_per_s
    assert made(speed=20.0).arrivals_per_s > one.arrivals_per_s
    assert one.pairs == pytest.approx(100 * one.load.pairs)
    by_channel = one.load.pairs_by["Ship"]
    assert by_channel[0] < by_channel[1] < by_channel[3] == one.load.pairs
    assert sum(one.load.bytes_by_section.values()) == pytest.approx(one.load.bytes_per_s)
    assert one.fits
    assert not made(100_000).fits


def test_a_world_that_stands_still_sends_hardly_anything():
    still = hz.plan(Population(Rock, 500, moving=0.0), clients=5, side=400.0)
    assert still.updates_per_s == pytest.approx(0.0, abs=1e-9)
    assert still.arrivals_per_s == 0.0
    assert still.load.frames_per_s == 1.0


def test_a_plan_prints_itself_and_is_plain_data():
    plan = hz.plan([Population(Ship, 1_000)], clients=10, side=1_000)
    assert isinstance(plan, CapacityPlan)
    text = str(plan)
    assert text.startswith("10 clients among 1,000 entities on 1,000 x 1,000 at 60 Hz")
    assert "not measured" in text
    plain = json.loads(json.dumps(plan.to_dict()))
    assert (plain["pairs"], plain["clients"], plain["costs_measured"]) == (plan.pairs, 10, False)
    assert "bytes a second, a client" in plan._repr_html_()


@compiled_only
def test_costs_are_measured_on_a_part_of_the_crowd():
    crowd = Population(Ship, 500_000)
    small = hz.plan(crowd, clients=50_000, density=0.001).scene.smaller()
    assert small.clients == 512
    assert small.populations[0].n == pytest.approx(20_000, rel=0.01)
    assert small.entities / small.side**2 == pytest.approx(0.001, rel=0.01)
    costs = calibrate(hz.plan(Population(Ship, 2_000), clients=20, density=0.001).scene)
    assert costs.measured
    assert costs.entity_ns > 0
    assert costs.pair_ns > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"populations": []}, "populations must be"), ({"populations": [Ship]}, "populations must be"), ({"clients": 0}, "clients must be"),
        ({"clients": 1.5}, "clients must be"), ({"side": None}, "either side= or density="), ({"density": 1.0}, "either side= or density="),
        ({"side": -1.0}, "side must be"), ({"height": math.nan}, "height must be"), ({"tick_rate": "60"}, "tick_rate must be"),
        ({"hysteresis": 11.0}, "hysteresis must be"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(wrong, message):
    good = {"populations": Population(Ship, 10), "clients": 1, "side": 100.0}
    given = {**good, **wrong}
    with pytest.raises(hz.ArgumentError, match=message):
        hz.plan(given.pop("populations"), **given)


@pytest.mark.parametrize(
    ("name", "value"), [("kind", "Ship"), ("kind", hz.Kind("Bare", Position)), ("n", 0), ("n", True), ("moving", 1.1), ("speed", -1.0),
                        ("turns_per_s", math.inf), ("changes_per_s", None)]
)  # fmt: skip
def test_a_population_is_checked_when_it_is_made(name, value):
    with pytest.raises(hz.ArgumentError, match=f"^{name} must be "):
        Population(**{"kind": Ship, "n": 5, name: value})


def test_a_check_needs_ticks():
    plan = hz.plan(Population(Ship, 10), clients=1, side=100.0)
    for wrong in ({"ticks": 0}, {"warm_ticks": 2.5}):
        with pytest.raises(hz.ArgumentError, match="whole number from 1"):
            plan.check(**wrong)
