"""The demo world keeps what it promises to who watches it."""

from __future__ import annotations

import numpy as np
import pytest

from horizon_ecs import demo
from horizon_ecs.errors import ArgumentError
from horizon_ecs.net.players import Player

N = 500


def positions(world):
    slots = world.query(demo.Position).slots
    return np.c_[world[demo.Position].x[slots], world[demo.Position].y[slots]]


def test_ships_drift_within_the_borders_and_are_replaced():
    world = demo.build(N)
    side = world.resource(demo.Space).side
    x = world[demo.Position].x.copy()
    first = world.query(demo.Hull, kind=demo.Ship).handles
    world.run(1_200)
    assert ((positions(world) >= 0) & (positions(world) <= side)).all()
    lasting = world.slots_of(first[world.alive(first)])
    assert 0 < len(lasting) < len(first)  # some were worn out
    assert np.abs(world[demo.Position].x[lasting] - x[lasting]).max() > 50
    assert world.count(demo.Ship) >= 0.95 * (N - world.count(demo.Station))
    hp = world[demo.Hull].hp[world.query(demo.Hull).slots]
    assert ((hp > 0) & (hp <= 100)).all()


def test_the_same_seed_gives_the_same_world():
    worlds = [demo.build(N, seed) for seed in (3, 3, 4)]
    for world in worlds:
        world.run(120)
    assert np.array_equal(positions(worlds[0]), positions(worlds[1]))
    assert not np.array_equal(positions(worlds[0]), positions(worlds[2]))


def test_a_pilot_goes_where_it_is_steered_and_leaves_with_its_client():
    world = demo.build(N)
    player = Player("Ada", {}, "127.0.0.1")
    player.entity = demo.on_join(world, player)
    start = world.get(player.entity, demo.Position)
    wish = np.array([(30.0, 0.0)], demo.Steer.__hz_dtype__)  # longer than 1: taken as a direction
    world.push_events(demo.Steer, player.entity, wish)
    world.run(120)
    there = world.get(player.entity, demo.Position)
    assert there.y == start.y
    assert start.x + 100 < there.x <= start.x + 2.0 * demo.PILOT_SPEED
    world.push_events(demo.Steer, player.entity, np.zeros(1, wish.dtype))
    world.run(300)
    assert abs(world.get(player.entity, demo.Velocity).x) < 0.1
    demo.on_leave(world, player)
    assert not world.alive(player.entity)[0]
    demo.on_leave(world, player)


def test_its_size_is_checked():
    with pytest.raises(ArgumentError, match="entities must lie between 10 and 1000000, not 3"):
        demo.build(3)
