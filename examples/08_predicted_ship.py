"""A client that draws: its own ship at once, all others smoothly. Server and client meet in one program here."""

import asyncio
import time

import numpy as np

import horizon_ecs as hz
from horizon_ecs import f4, u4
from horizon_ecs.testing import serving

RATE, SPEED = 60, 20.0 / 60  # ticks a second, and units a tick


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Done:
    number: u4  # of the last push that is in Position


@hz.event
class Push:
    number: u4
    x: f4


near = hz.Layer(channel=0, radius=100, frequency=30, fields=[Position], precision=1 / 64)
own = hz.Layer(channel=1, radius=np.inf, frequency=30, fields=[Done], owner_only=True)
Ship = hz.Kind("Ship", Position, Done, layers=[near, own])


@hz.system(form="columns")
def push(world: hz.World) -> None:
    told = world.events(Push)
    slots = world.slots_of(told.sender)
    np.add.at(world[Position].x, slots, SPEED * told.x)  # two pushes of one tick are two steps
    world[Done].number[slots] = told.number


async def play(client: hz.Client, seconds: float) -> dict[str, float]:
    replica = await client.next_frame()
    drawn = hz.Interpolator(replica, tick_rate=RATE, components=["Position"])
    mine = hz.Predictor(lambda state, x: state + SPEED * x, [0.0], tolerance=1 / 64)  # a step as `push` does it
    n_pictures, end = 0, time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        if number := mine.predict(1.0, client.clock.tick(now)):
            await client.send("push", number=number, x=1.0)
        await client.next_frame()
        tick = client.clock.playout(time.perf_counter())
        drawn.update(tick)
        n_pictures += len(drawn.sample(tick)["Position.x"]) == replica.n
        row = replica.handle == client.entity
        x, done = replica.column("Position", "x")[row], replica.column("Done", "number")[row]
        mine.reconcile(x, int(np.nan_to_num(done)[0]), client.clock.tick(now))
    return {"pushes": mine.n_predicted, "wrong": mine.n_mispredictions, "pictures": n_pictures, "x": mine.state[0]}


async def run(seconds: float) -> dict[str, float]:
    world = hz.World(capacity=1_000, tick_rate=RATE, kinds=[Ship])
    world.add_system(push)
    world.spawn(Ship, 200, Position=world.rng.uniform(-60, 60, (200, 2)))
    join = lambda world, player: int(world.spawn(Ship, 1)[0])  # noqa: E731
    async with serving(world, events=[Push], on_join=join) as server, hz.connect(server.ws_url) as client:
        return await play(client, seconds)


def main(seconds: float = 3.0) -> dict[str, float]:
    told = asyncio.run(run(seconds))
    print("{pushes} pushes, {wrong} foreseen wrongly, {pictures} pictures, and at {x:.1f} m".format(**told))
    return told


if __name__ == "__main__":
    main()
