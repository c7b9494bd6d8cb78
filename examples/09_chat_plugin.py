"""A server of two plugins: one lets clients chat, the other says who came. Server and clients meet in one program."""

import asyncio

import numpy as np

import horizon_ecs as hz
from horizon_ecs import f4
from horizon_ecs.core_events import ClientEvent, PlayerConnected
from horizon_ecs.testing import serving


@hz.component
class Position:
    x: f4
    y: f4


@hz.event(namespace="movement")
class Move:
    x: f4


Ship = hz.Kind("Ship", Position, layers=[hz.Layer(0, radius=100, frequency=60, fields=[Position], precision=1 / 64)])


class Movement(hz.Plugin):
    client_events = [Move]

    def register_handlers(self, events: hz.EventSystem) -> None:
        events.on_client("movement", Move, self.move)

    def on_init(self, server: hz.Server) -> None:
        self.world = server.world

    def move(self, moves: hz.Events[Move]) -> None:  # all of a tick, as arrays
        np.add.at(self.world[Position].x, self.world.slots_of(moves.sender), moves.x)


class Chat(hz.Plugin):
    requires = ["movement"]

    def register_handlers(self, events: hz.EventSystem) -> None:
        self.events = events
        events.on_client("chat", "message", self.say, filter=lambda event: isinstance(event.data, str))
        events.on_core("player_connected", self.greet)

    def say(self, event: ClientEvent) -> None:
        self.events.broadcast("chat", "message", f"{event.player.name}: {event.data}")

    def greet(self, event: PlayerConnected) -> None:
        self.events.broadcast("chat", "message", f"{event.player.name} is here")


async def visit(url: str, name: str, heard: list[str]) -> None:
    async with hz.connect(url, name=name) as client:
        client.callbacks.on_server_event(lambda namespace, event, text: heard.append(text), namespace="chat")
        await client.emit("movement", "move", {"x": 1.0})
        await client.emit("chat", "message", "Hello!")
        while f"{name}: Hello!" not in heard:
            await client.next_frame()


async def run() -> list[str]:
    world, heard = hz.World(capacity=1_000, tick_rate=60, kinds=[Ship]), list[str]()
    join = lambda world, player: int(world.spawn(Ship, 1)[0])  # noqa: E731
    async with serving(world, plugins=[Chat(), Movement()], on_join=join) as server:
        for name in ("Ada", "Bob"):
            await visit(server.ws_url, name, heard)
    return heard


def main() -> list[str]:
    print(*(heard := asyncio.run(run())), sep="\n")
    return heard


if __name__ == "__main__":
    main()
