"""What a replicator can do, done by a served world, and seen by real clients."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import f4, kernel, u1, u4
from horizon_ecs.config import ServerConfig
from horizon_ecs.net.wire import Close
from horizon_ecs.testing import serving

TIMEOUT_S = 30


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Place:
    room: u4
    profile: u1


@hz.event
class Walk:
    room: u4


near = hz.Layer(0, 100.0, 120.0, [Position], 1 / 64)
Ship = hz.Kind("Ship", Position, Place, layers=[near], profiles={"cloaked": []})


@hz.system(phase="input", form="columns")
def walk(world: hz.World) -> None:
    walks = world.events(Walk)
    world[Place].room[(walks.sender & np.uint64(0xFFFFFFFF)).astype(np.intp)] = walks.room


def make_world():
    world = hz.World(capacity=1_024, tick_rate=120.0, kinds=[Ship])
    world.add_system(walk)
    return world, world.spawn(Ship, 3, Position=np.arange(6.0).reshape(3, 2), Place={"room": [0, 0, 5]})


def spawn(world, player):
    return int(world.spawn(Ship, 1)[0])


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """What is bounded in time below is none of compiling."""
    kernel.warm_up("decode")
    hz.Replicator(make_world()[0])


def run(work):
    asyncio.run(asyncio.wait_for(work, TIMEOUT_S))


async def until(client, seen):
    """Frames until a client has exactly these."""
    while set(client.replica.handle.tolist()) != set(seen):
        await client.next_frame()


def test_spectators_are_sent_the_bytes_of_whom_they_watch():
    async def work():
        world, ships = make_world()
        shared = []

        def join(world, player):
            if player.name == "spectator":
                player.share = next(number for number, one in server.players.items() if one.name == "star")
                return None
            return spawn(world, player)

        options = {"on_join": join, "on_leave": lambda world, player: world.despawn(player.entity, missing="ignore")}
        options["after_tick"] = lambda server: shared.append(server.replicator.stats.shared)
        async with serving(world, events=[Walk], replication={"rooms": "Place.room"}, **options) as server:
            star = await hz.connect(server.ws_url, name="star")
            spectator = await hz.connect(server.ws_url, name="spectator")
            here = [*ships[:2].tolist(), star.entity]
            await asyncio.gather(until(star, here), until(spectator, here))
            assert spectator.entity == 0
            assert {p.observer for p in server.players.values()} == {star.observer, spectator.observer}
            await star.send("walk", room=5)
            there = [ships[2], star.entity]
            await asyncio.gather(until(star, there), until(spectator, there))
            while 1 not in shared:  # frames are sent before `after_tick` is called
                await spectator.next_frame()
            await star.close()
            await until(spectator, ships[2:])
            await spectator.close()
            assert server.report()["refusals"] == {}

    run(work())


def test_a_system_moves_a_client_between_rooms():
    async def work():
        world, ships = make_world()
        async with (
            serving(world, events=[Walk], replication={"rooms": "Place.room"}, on_join=spawn) as server,
            hz.connect(server.ws_url) as client,
        ):
            await until(client, [*ships[:2].tolist(), client.entity])
            await client.send("walk", room=5)
            await until(client, [ships[2], client.entity])
            await client.send("walk", room=0)
            await until(client, [*ships[:2].tolist(), client.entity])

    run(work())


def test_hooks_say_profiles_scales_and_masks_by_the_replicator():
    async def work():
        world, ships = make_world()
        first = []

        def observe(server, player):
            server.replicator.set_sees(player.observer, 2)
            first.append(player.observer)

        def after(server):
            if server.world.tick_count == 30:
                server.replicator.set_profile(ships[:1], "cloaked")
                server.replicator.set_radius_scale(ships[1:2], 1 / 256)

        async with serving(world, on_observe=observe, after_tick=after) as server:
            server.replicator.set_visible_to(ships[2:], 1)
            async with hz.connect(server.ws_url) as client:
                entered = set()
                while len(client.replica.handle) or client.replica.tick < 32:
                    await client.next_frame()
                    entered |= set(client.replica.handle.tolist())
                assert entered <= set(ships[:2].tolist())
                assert first == [client.observer]

    run(work())


def test_who_cannot_be_observed_leaves_nothing_behind(caplog):
    caplog.set_level(logging.CRITICAL)

    async def work():
        world, _ = make_world()

        def observe(server, player):
            raise RuntimeError("no")

        def share(world, player):
            player.share = 5

        for hooks in ({"on_observe": observe}, {"on_join": share}):
            left = []
            hooks["on_leave"] = lambda world, player, left=left: left.append(player.name)
            async with serving(world, ServerConfig(max_connections=2), **hooks) as server:
                for _ in range(3):
                    with pytest.raises(hz.errors.ConnectionClosed, match=str(int(Close.INTERNAL))):
                        async with hz.connect(server.ws_url, name="Ada"):
                            pass
                assert server.replicator.n_observers == 0
                assert left == ["Ada"] * 3

    run(work())


def test_what_a_server_does_not_hand_on():
    world, _ = make_world()
    with pytest.raises(hz.ArgumentError, match="replication has no setting 'room'; did you mean 'rooms'"):
        hz.Server(world, replication={"room": "Place.room"})
    with pytest.raises(hz.ArgumentError, match="no setting 'max_observers'"):
        hz.Server(world, replication={"max_observers": 5})
