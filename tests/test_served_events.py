"""Events in a running server: core events where they really occur, and what clients say and are told, over real sockets."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed as SocketClosed

import horizon_ecs as hz
from horizon_ecs import f4, kernel
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError, CapacityError, ConnectionClosed
from horizon_ecs.net import wire
from horizon_ecs.net.speaker import MAX_MESSAGES
from horizon_ecs.net.wire import Close
from horizon_ecs.testing import serving

TIMEOUT_S = 30
RATE = 120.0


@hz.component
class Position:
    x: f4
    y: f4


@hz.event(namespace="movement")
class Move:
    x: f4


@hz.event
class Steer:
    x: f4


@hz.event
class Boom:
    power: f4


Ship = hz.Kind("Ship", Position, layers=[hz.Layer(0, 100.0, RATE, [Position], 1 / 64)])


@hz.system
def drift(pos: hz.Write[Position], time: hz.Res[hz.Time]):
    pos.y = (time.tick * time.tick % 13) / 64  # what nobody foresees, so that every tick has a frame


def make_world(n=3):
    world = hz.World(capacity=1_024, tick_rate=RATE, kinds=[Ship])
    world.add_system(drift)
    world.spawn(Ship, n)
    return world


def spawn(world, player):
    return int(world.spawn(Ship, 1)[0])


def despawn(world, player):
    world.despawn(player.entity, missing="ignore")


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """What is bounded in time below is none of compiling."""
    kernel.warm_up("decode")
    world = make_world()
    hz.Replicator(world)
    world.tick()


def run(work):
    asyncio.run(asyncio.wait_for(work, TIMEOUT_S))


async def until(client, happened):
    """Frames until something is so."""
    while not happened():
        await client.next_frame()


def served(**options):
    return serving(make_world(), **{"on_join": spawn, "on_leave": despawn, "events": [Move, Steer], **options})


@asynccontextmanager
async def raw(server):
    """A joined connection without a client."""
    async with open_socket(server.ws_url, compression=None) as link:
        await link.send(wire.pack({"type": "hello", "protocol": wire.PROTOCOL}))
        await link.recv()
        yield link


async def close_of(link):
    with suppress(SocketClosed):
        while True:
            await link.recv()
    return link.close_code, link.close_reason


# -- what clients say --------------------------------------------------------------------------------------------------


def test_objects_reach_handlers_and_are_answered():
    async def work():
        heard, told = [], []
        async with served() as server:

            @server.events.on_client("chat", "message")
            def message(event):
                heard.append((event.player.name, event.sender, event.data))
                server.events.broadcast("chat", "message", {"from": event.player.name, **event.data})
                server.events.emit_client(event.player, "chat", "sent", len(heard))

            async with hz.connect(server.ws_url, name="Ada") as ada, hz.connect(server.ws_url, name="Bob") as bob:
                for name, client in (("Ada", ada), ("Bob", bob)):
                    client.callbacks.on_server_event(lambda *said, name=name: told.append((name, *said)))
                await ada.emit("chat", "message", {"text": "Hello", "to": [1, None, True, b"x", 0.5]})
                await until(ada, lambda: len(told) == 2)
                await until(bob, lambda: len(told) == 3)
                assert heard == [("Ada", ada.entity, {"text": "Hello", "to": [1, None, True, b"x", 0.5]})]
                whole = {"from": "Ada", "text": "Hello", "to": [1, None, True, b"x", 0.5]}
                assert [said for said in told if said[0] == "Ada"] == [
                    ("Ada", "chat", "message", whole),
                    ("Ada", "chat", "sent", 1),
                ]
                assert [said for said in told if said[0] == "Bob"] == [("Bob", "chat", "message", whole)]
            report = server.report()
            assert report["events_told"] == 3
            assert report["refusals"] == {}
            stats = server.events.stats()["client:chat.message"]
            assert (stats.count, stats.errors) == (1, 0)

    run(work())


def test_records_reach_columnar_handlers_and_systems_in_the_same_tick():
    async def work():
        systems, batches, pairs = [], [], []

        @hz.system(form="columns")
        def look(world: hz.World) -> None:
            if len(world.events(Move)):
                systems.append((world.tick_count, world.events(Move).x.tolist()))

        async with served() as server:
            server.world.add_system(look)
            server.events.on_client(
                "movement", Move, lambda batch: batches.append((server.world.tick_count, batch.x.tolist()))
            )
            server.events.on_client(
                "", "steer", lambda sender, records: pairs.append((sender.tolist(), records["x"].tolist()))
            )
            async with hz.connect(server.ws_url) as client:
                await client.emit("movement", "move", {"x": 2.0})
                await until(client, lambda: batches)
                await client.emit("", "steer", np.array([(1.0,), (3.0,)], [("x", "<f4")]))
                await until(client, lambda: pairs)
                assert batches == systems
                assert batches[0][1] == [2.0]
                assert pairs == [([client.entity] * 2, [1.0, 3.0])]

    run(work())


def test_what_handlers_write_is_in_the_frame_of_the_tick():
    async def work():
        async with served() as server:

            @server.events.on_client("ship", "jump")
            def jump(event):
                server.world.set(event.sender, Position, (event.data, 0.0))
                server.events.emit_client(event.player, "ship", "jumped", server.world.tick_count)

            seen = []

            async with hz.connect(server.ws_url) as client:

                @client.callbacks.on_server_event(namespace="ship", event="jumped")
                def jumped(namespace, event, tick):
                    row = client.replica.handle == client.entity
                    seen.append((client.replica.tick == tick, float(client.replica.column("Position", "x")[row][0])))

                await client.next_frame()
                for x in (5.0, 9.0):
                    await client.emit("ship", "jump", x)
                    await until(client, lambda x=x: seen and seen[-1][1] == x)
                assert seen == [(True, 5.0), (True, 9.0)]

    run(work())


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "event", "event": "message", "data": 1}, Close.MALFORMED),
        ({"type": "event", "namespace": "chat", "data": 1}, Close.MALFORMED),
        ({"type": "event", "namespace": "chat", "event": "", "data": 1}, Close.MALFORMED),
        ({"type": "event", "namespace": "a.b", "event": "c", "data": 1}, Close.MALFORMED),
        ({"type": "event", "namespace": "chat", "event": "x" * 65}, Close.MALFORMED),
        ({"type": "event", "namespace": "chat", "event": 7}, Close.MALFORMED),
        ({"type": "event", "namespace": "chat", "event": "message", "data": [0] * 65}, Close.MALFORMED),
        ({"type": "event", "namespace": "movement", "event": "move", "data": {"x": 1.0}}, Close.NO_SUCH_EVENT),
        ({"type": "event", "namespace": "", "event": "steer", "data": {"x": 1.0}}, Close.NO_SUCH_EVENT),
        (
            {"type": "event", "namespace": "chat", "event": "message", "data": {"a": [1.0, float("nan")]}},
            Close.NO_SUCH_EVENT,
        ),
    ],
)
def test_what_is_no_event_is_refused(message, code):
    async def work():
        heard = []
        async with served() as server, hz.connect(server.ws_url) as witness:
            server.events.on_client("chat", "message", heard.append)
            async with raw(server) as link:
                await link.send(wire.pack(message))
                closed = await close_of(link)
                assert closed[0] == code
                assert closed[1]
            before = witness.replica.tick
            await until(witness, lambda: witness.replica.tick > before + 5)
            assert heard == []
            assert server.report()["refusals"] == {str(int(code)): 1}

    run(work())


def test_what_nobody_listens_to_is_counted_and_hurts_nobody():
    async def work():
        async with served() as server, hz.connect(server.ws_url) as client:
            await client.emit("weather", "rain", 1)
            await until(client, lambda: server.report()["events_unheard"] == 1)
            assert server.report()["refusals"] == {}

    run(work())


def test_what_the_client_cannot_say_is_refused_where_it_is_said():
    async def work():
        async with served() as server, hz.connect(server.ws_url) as client:
            for arguments, message in (
                (("a.b", "c"), "no point"),
                (("a", ""), "event must be text"),
                (("a", "b", np.float32(1)), "no NumPy values"),
                (("a", "b", {"x": [float("inf")]}), "finite numbers"),
                (("a", "b", "x" * 5_000), "at most 4096 bytes"),
                (("movement", "move", {"y": 1.0}), "no field 'y'"),
            ):
                with pytest.raises(ArgumentError, match=message):
                    await client.emit(*arguments)
            await client.next_frame()

    run(work())


def test_registering_for_what_clients_cannot_send_is_refused():
    server = hz.Server(make_world(), events=[Move, Steer])
    with pytest.raises(ArgumentError, match=r"no client event is called 'movement.mvoe'; did you mean 'movement.move'"):
        server.events.on_client("movement", "mvoe", print)
    with pytest.raises(ArgumentError, match=r"clients can't send Boom: list it in Server"):
        server.events.on_client("", Boom, print)
    with pytest.raises(ArgumentError, match="'zone_enter' can't occur: make the server with replication="):
        server.events.on_core("zone_enter", print)


def test_what_is_said_by_one_that_leaves_is_forgotten():
    async def work():
        heard = []
        async with served() as server, hz.connect(server.ws_url) as witness:
            server.events.on_client("chat", "message", heard.append)
            server.events.on_core("player_disconnected", lambda event: server.events.receive(said(event.player)))
            async with hz.connect(server.ws_url) as client:
                await client.next_frame()
            await until(witness, lambda: len(server.players) == 1)
            first = witness.replica.tick
            await until(witness, lambda: witness.replica.tick > first + 3)
            assert heard == []

    from horizon_ecs.core_events import ClientEvent

    def said(player):
        return ClientEvent(player, "chat", "message", "bye")

    run(work())


# -- core events -------------------------------------------------------------------------------------------------------


def test_core_events_occur_where_they_should():
    async def work():
        told = []
        server = hz.Server(make_world(), ServerConfig(port=0), on_join=spawn, about={"bounds": [0, 0, 9, 9]})
        for name in ("region_started", "player_connected", "player_disconnected", "auth_status_changed"):
            server.events.on_core(name, lambda event, name=name: told.append((name, event)))
        server.events.on_core("server_tick", lambda event: told.append(("server_tick", event)), once=True)
        await server.start()
        async with hz.connect(server.ws_url, name="Ada") as client:
            await client.next_frame()
            (player,) = server.players.values()
            server.identify(player, hz.Identity("ada"))
            await until(client, lambda: any(name == "auth_status_changed" for name, _ in told))
            await client.next_frame()
        while server.players:
            await asyncio.sleep(0)
        await server.stop()
        names = [name for name, _ in told]
        assert names == [
            "region_started",
            "server_tick",
            "player_connected",
            "auth_status_changed",
            "player_disconnected",
        ]
        events = dict(told)
        assert events["region_started"] == (0, RATE, [0, 0, 9, 9])
        assert events["server_tick"].tick == 1
        assert events["player_connected"].player.name == "Ada"
        assert events["player_connected"].player.entity == client.entity
        assert events["auth_status_changed"][1:] == (hz.AuthStatus.UNAUTHENTICATED, hz.AuthStatus.AUTHENTICATED)
        assert events["player_disconnected"].player is player
        assert player.observer == -1

    run(work())


def test_who_is_stopped_at_the_door_is_refused():
    async def work():
        left, gone = [], []

        def leave(world, player):
            left.append(player.name)
            despawn(world, player)

        async with served(on_leave=leave) as server:
            server.events.on_core(
                "player_connected",
                lambda event: hz.Stop("Server at capacity") if len(server.players) > 1 else None,
                priority=10,
            )
            server.events.on_core("player_disconnected", lambda event: gone.append(event.player.name))
            async with hz.connect(server.ws_url, name="Ada") as witness:
                for _ in range(3):
                    with pytest.raises(ConnectionClosed, match="1013.*Server at capacity"):
                        async with hz.connect(server.ws_url, name="Bob"):
                            pass
                first = witness.replica.tick
                await until(witness, lambda: witness.replica.tick > first + 3)
                assert left == ["Bob"] * 3
                assert gone == []
                assert server.replicator.n_observers == 1
                assert len(server.world) == 4
                assert server.report()["refusals"] == {"1013": 3}

    run(work())


def test_zone_events_say_who_began_and_ceased_to_follow_whom():
    async def work():
        enters, exits = [], []

        def note(into):
            return lambda b: into.extend(zip(b.sender.tolist(), b.channel.tolist(), b.entity.tolist(), strict=True))

        async with served(replication={"zones": True}) as server:
            ships = server.world.query(Position).handles.tolist()
            server.events.on_core("zone_enter", note(enters))
            server.events.on_core("zone_exit", note(exits))
            server.events.on_client("ship", "end", lambda event: server.world.despawn(ships[0]))
            async with hz.connect(server.ws_url) as client:
                await until(client, lambda: len(enters) >= 4)
                assert sorted(enters) == sorted((client.entity, 0, ship) for ship in [*ships, client.entity])
                await client.emit("ship", "end")
                await until(client, lambda: exits)
                assert exits == [(client.entity, 0, ships[0])]
                entity = client.entity
            while len(exits) < 4:
                await asyncio.sleep(0)
            assert sorted(exits[1:]) == sorted((entity, 0, ship) for ship in [*ships[1:], entity])

    run(work())


def test_events_of_objects_have_handlers_too():
    async def work():
        heard = []
        async with served(messages={Boom: 0}) as server:

            @server.events.on_gorc_instance(Ship, 0, Boom)
            def boom(objects, records):
                heard.append((objects.tolist(), records["power"].tolist()))

            server.events.on_gorc_instance(Ship, 0, Boom, lambda batch: 1 / 0)
            server.events.on_client(
                "ship", "boom", lambda event: server.events.emit_gorc_instance(event.sender, 0, Boom(event.data))
            )
            async with hz.connect(server.ws_url) as client:
                told = []
                client.callbacks.on_event(lambda name, handle, values: told.append((name, handle, values)))
                await client.next_frame()
                logging.disable(logging.CRITICAL)
                await client.emit("ship", "boom", 2.5)
                await until(client, lambda: told and heard)
                logging.disable(logging.NOTSET)
                assert told == [("boom", client.entity, {"power": 2.5})]
                assert heard == [([client.entity], [2.5])]
            stats = [one for name, one in server.events.stats().items() if name.startswith("gorc:Ship")]
            assert [(one.count, one.errors) for one in stats] == [(1, 1)]

    run(work())


# -- what clients are told ---------------------------------------------------------------------------------------------


def test_an_async_handler_answers_from_elsewhere():
    async def work():
        async with served() as server:

            async def load(event):
                await asyncio.sleep(0)
                server.events.emit_client(event.player, "db", "row", event.data + 1)

            server.events.on_client("db", "load", load)
            told = []
            async with hz.connect(server.ws_url) as client:
                client.callbacks.on_server_event(lambda *said: told.append(said))
                for n in range(3):
                    await client.emit("db", "load", n)
                await until(client, lambda: len(told) == 3)
            assert told == [("db", "row", n) for n in (1, 2, 3)]

    run(work())


def test_broadcast_reaches_whom_it_names():
    async def work():
        async with served() as server:
            clients = [await hz.connect(server.ws_url, name=str(n)) for n in range(3)]
            told = [[] for _ in clients]
            for client, into in zip(clients, told, strict=True):
                client.callbacks.on_server_event(lambda *said, into=into: into.append(said))
            server.events.broadcast("a", "some", 1, to=[clients[0].observer, server.players[clients[2].observer]])
            server.events.broadcast("a", "all", 2)
            for client, into in zip(clients, told, strict=True):
                await until(client, lambda into=into: ("a", "all", 2) in into)
            assert [len(into) for into in told] == [2, 1, 2]
            for client in clients:
                await client.close()

    run(work())


def test_one_client_is_told_a_bounded_number_of_things_a_tick():
    async def work():
        refused = []
        async with served() as server:

            @server.events.on_client("flood", "all")
            def flood(event):
                try:
                    for n in range(MAX_MESSAGES - 1):
                        server.events.emit_client(event.player, "n", "n", n)
                    server.events.broadcast("n", "n", MAX_MESSAGES - 1)
                    for emit in (
                        lambda: server.events.emit_client(event.player, "n", "n"),
                        lambda: server.events.broadcast("n", "n"),
                    ):
                        with pytest.raises(CapacityError, match="256 messages"):
                            emit()
                finally:
                    refused.append(server._stage.speaker.n_refused)

            told = []
            async with hz.connect(server.ws_url) as client:
                client.callbacks.on_server_event(lambda namespace, event, n: told.append(n))
                await client.emit("flood", "all")
                await until(client, lambda: len(told) == MAX_MESSAGES)
                assert told == list(range(MAX_MESSAGES))
                assert refused == [2]
            assert server.events.stats()["client:flood.all"].errors == 0

    run(work())


def test_what_cannot_be_said_is_refused():
    server = hz.Server(make_world())
    for call, message in (
        (lambda e: e.broadcast("a", "b", {1, 2}), "numbers, text, bytes, lists and maps"),
        (lambda e: e.broadcast("a.b", "c"), "no point in it"),
        (lambda e: e.broadcast("a", ""), "event must be text"),
        (lambda e: e.broadcast("a", "b", bytes(70_000)), "too long: 70,0.. bytes, at most 65,536"),
        (lambda e: e.emit_client(5, "a", "b"), "a Player or an observer's number, not 5"),
        (lambda e: e.emit_client("Ada", "a", "b"), "not 'Ada'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            call(server.events)
