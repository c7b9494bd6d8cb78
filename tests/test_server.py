"""The server over real sockets: joining, following, steering, and everything a client may do wrong."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager, suppress

import msgpack
import numpy as np
import pytest
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed as SocketClosed

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError, CapacityError, ConnectionClosed, DefinitionError, SystemFailure, WireError
from horizon_ecs.net import wire
from horizon_ecs.net.wire import Close
from horizon_ecs.testing import serving

TIMEOUT_S = 30


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Velocity:
    x: f4
    y: f4


@hz.event
class Push:
    x: f4
    y: f4


Ball = hz.Kind("Ball", Position, Velocity, layers=[hz.Layer(0, 1e6, 120.0, [Position], 1 / 64)])


@hz.system
def move(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    pos.x += vel.x * time.dt
    pos.y += vel.y * time.dt


@hz.system(phase="input", form="columns")
def push(world: hz.World) -> None:
    pushes = world.events(Push)
    slots = (pushes.sender & np.uint64(0xFFFFFFFF)).astype(np.intp)
    world[Velocity].x[slots] = pushes.x
    world[Velocity].y[slots] = pushes.y


def make_world(n: int = 50) -> hz.World:
    world = hz.World(capacity=1_000, tick_rate=120.0, kinds=[Ball])
    world.add_system(push, move)
    world.spawn(Ball, n, Position=np.arange(2.0 * n).reshape(n, 2), Velocity=(1.5, -0.5))
    return world


def run(work) -> None:
    """Run a test's coroutine, bounded in time."""
    asyncio.run(asyncio.wait_for(work, TIMEOUT_S))


def spawn_ball(world, player) -> int:
    return int(world.spawn(Ball, 1, Position=(500.0, 500.0))[0])


def despawn_ball(world, player) -> None:
    world.despawn(player.entity, missing="ignore")


@asynccontextmanager
async def witnessed(world=None, config=None, **options):
    """A server with a neighbour on it, who must go on getting frames whatever the test does."""
    async with serving(world or make_world(), config, **options) as server, hz.connect(server.ws_url) as witness:
        await witness.next_frame()
        yield server
        first = witness.replica.tick
        while witness.replica.tick < first + 20:
            await witness.next_frame()


async def until(server, happened) -> None:
    """Wait until something has happened on the tick's thread, or the server has ended."""
    while not happened():
        assert not await server.wait(0.005)


async def close_of(link) -> tuple[int, str]:
    """Read until the server closes; its code and reason."""
    with suppress(SocketClosed):
        while True:
            await link.recv()
    return link.close_code, link.close_reason


def raw(server):
    return open_socket(server.ws_url, compression=None)


def hello(**more) -> bytes:
    return wire.pack({"type": "hello", "protocol": wire.PROTOCOL, **more})


# -- what clients are there for ----------------------------------------------------------------------------------------


def test_a_client_follows_the_world():
    async def work():
        world = make_world()
        async with serving(world, about={"title": "T"}) as server, hz.connect(server.ws_url, name="Ada") as client:
            assert client.welcome["about"] == {"title": "T"}
            assert client.welcome["schema_hash"] == wire.schema_hash(client.welcome["schema"])
            assert client.entity == 0
            x, ticks = [], []
            async for replica in client:
                assert replica.n == 50
                x.append(replica.column("Position", "x")[0])
                ticks.append(replica.tick)
                if len(x) == 40:
                    break
            # 1.5 units a second, 120 times a second, in steps of 1/64.
            assert np.polyfit(ticks, x, 1)[0] == pytest.approx(1.5 / 120, rel=0.1)
            assert [p.name for p in server.players.values()] == ["Ada"]
        assert server.n_clients == 0

    run(work())


def test_who_joins_steers_its_entity_and_takes_it_along():
    async def work():
        world = make_world()
        hooks = {"on_join": spawn_ball, "on_leave": despawn_ball}
        async with serving(world, events=[Push], **hooks) as server, hz.connect(server.ws_url) as other:
            async with hz.connect(server.ws_url) as client:
                assert client.entity != other.entity
                await client.send("push", x=100.0)
                replica = await client.next_frame()
                row = int(np.flatnonzero(replica.handle == client.entity)[0])
                while replica.column("Position", "x")[row] < 503:
                    replica = await client.next_frame()
                assert replica.column("Position", "y")[row] == 500
                while client.entity not in other.replica.handle:
                    await other.next_frame()
            while client.entity in other.replica.handle:
                await other.next_frame()
            assert len(world) == 51
            assert server.report()["inputs"] == 1

    run(work())


def test_clients_come_and_go_at_any_time():
    async def work():
        async with witnessed(on_join=spawn_ball, on_leave=despawn_ball) as server:
            for round_ in range(5):
                clients = await asyncio.gather(*(hz.connect(server.ws_url) for _ in range(6)))
                assert len({client.observer for client in clients}) == 6
                await asyncio.gather(*(client.next_frame() for client in clients))
                assert all(client.replica.n >= 50 for client in clients)
                await asyncio.gather(*(client.close() for client in clients[round_:]))
                for client in clients[:round_]:
                    client._connection.transport.abort()
            while server.n_clients > 1 or len(server.players) > 1:
                await asyncio.sleep(0)

    run(work())


def test_a_free_observer_looks_from_where_it_is_put():
    async def work():
        def look(world, player):
            player.position = (0.0, 0.0)

        near = hz.Kind("Near", Position, layers=[hz.Layer(0, 3.0, 60.0, [Position], 1 / 64)])
        world = hz.World(capacity=100, kinds=[near])
        world.spawn(near, 10, Position=np.arange(20.0).reshape(10, 2))
        async with serving(world, on_join=look) as server, hz.connect(server.ws_url) as client:
            assert (await client.next_frame()).n == 1

    run(work())


def test_the_page_comes_from_the_same_port():
    async def get(server, target):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head.decode(), body

    async def work():
        async with witnessed() as server:
            head, body = await get(server, "/?renderer=canvas")
            assert head.startswith("HTTP/1.1 200")
            assert "text/html" in head
            assert b"<canvas" in body
            head, body = await get(server, "/client.js")
            assert "text/javascript" in head
            assert b"export class Client" in body
            assert (await get(server, "/healthz"))[1] == b"ok\n"
            for target in ("/nothing", "/../server.py", "/%2e%2e/server.py", "/tsconfig.json", "//"):
                assert (await get(server, target))[0].startswith("HTTP/1.1 404")
        async with serving(make_world(), ServerConfig(page=False)) as server:
            assert (await get(server, "/"))[0].startswith("HTTP/1.1 404")

    run(work())


def test_the_client_can_measure_and_read_what_the_server_says_of_itself():
    async def work():
        async with serving(make_world()) as server, hz.connect(server.ws_url) as client:
            await client.ping()
            while not client.stats or client._pongs.empty():
                await client.next_frame()
            ((round_trip_s, tick),) = client.pongs()
            assert 0 < round_trip_s < TIMEOUT_S
            assert tick > 0
            assert client.stats["entities"] == 50
            assert client.stats["observers"] == 1
            assert client.received_bytes > client.sent_bytes > 0

    run(work())


def test_regions_are_told_where_they_are_to_be_shown():
    async def told(**settings):
        async with serving(make_world(), ServerConfig(**settings)) as server, hz.connect(server.ws_url) as client:
            while not client.stats:
                await client.next_frame()
            return client.stats

    async def work():
        assert "regions" not in await told()
        regions = (await told(show_regions=True))["regions"]
        assert sum(count for *_, count, _ in regions) == 50
        assert all(x0 < x1 and y0 < y1 for x0, y0, x1, y1, *_ in regions)

    run(work())


# -- what clients may do wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("hello", Close.TEXT),
        (b"\xc1\xff", Close.MALFORMED),
        (hello()[:-3], Close.MALFORMED),
        (b"\x01\x02", Close.NO_HELLO),
        (wire.pack({"type": "hello", "protocol": 99}), Close.PROTOCOL),
        (hello(schema="0123456789abcdef"), Close.SCHEMA),
        (bytes([0x81]) * 5_000, Close.TOO_LONG),
    ],
)
def test_a_wrong_handshake_is_refused(first, code):
    async def work():
        async with witnessed() as server, raw(server) as link:
            await link.send(first)
            assert (await close_of(link))[0] == code
            await until(server, lambda: server.n_clients == 1)
            assert server.report()["refusals"] == {str(int(code)): 1}

    run(work())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("text", Close.TEXT),
        (b"", Close.MALFORMED),
        (b"\x00\xff", Close.MALFORMED),
        (wire.acknowledgement(2**31), Close.MALFORMED),
        (b"\x80", Close.MALFORMED),
        (b"\x05abc", Close.NO_SUCH_EVENT),
        (b"\x01abc", Close.NO_SUCH_EVENT),
        (b"\x01" + np.array([1.0, np.nan], "<f4").tobytes(), Close.NO_SUCH_EVENT),
        (b"\x01" + np.array([1.0, np.inf], "<f4").tobytes(), Close.NO_SUCH_EVENT),
        (b"\x01" + bytes(8 * 1_000), Close.TOO_LONG),
    ],
)
def test_a_wrong_message_later_is_refused(data, code):
    async def work():
        async with witnessed(events=[Push]) as server, raw(server) as link:
            await link.send(hello())
            assert msgpack.unpackb(await link.recv())["type"] == "welcome"
            await link.send(data)
            assert (await close_of(link))[0] == code
            await until(server, lambda: server.n_clients == 1)
            assert server.report()["refusals"] == {str(int(code)): 1}
            assert server.report()["inputs"] == 0

    run(work())


def test_one_that_says_nothing_is_closed():
    async def work():
        async with witnessed(config=ServerConfig(handshake_timeout_s=0.2)) as server, raw(server) as link:
            code, reason = await close_of(link)
            assert (code, reason) == (Close.LATE_HELLO, "no hello in 0.2 s")

    run(work())


def test_a_flood_is_closed():
    async def work():
        config = ServerConfig(max_messages_per_s=50)
        async with witnessed(config=config) as server, raw(server) as link:
            await link.send(hello())
            for _ in range(200):
                try:
                    await link.send(wire.pack({"type": "ping", "t": 0}))
                except SocketClosed:
                    break
            assert (await close_of(link))[0] == Close.TOO_MANY

    run(work())


def test_more_than_may_come_are_turned_away():
    async def work():
        async with witnessed(config=ServerConfig(max_connections=2)) as server:
            async with hz.connect(server.ws_url):
                with pytest.raises(ConnectionClosed, match="at capacity") as caught:
                    await hz.connect(server.ws_url)
                assert caught.value.code == Close.FULL
            await until(server, lambda: server.n_clients == 1)
            async with hz.connect(server.ws_url) as client:
                await client.next_frame()

    run(work())


@pytest.mark.parametrize(
    ("error", "code"), [(CapacityError("no ships left"), Close.FULL), (KeyError("x"), Close.INTERNAL)]
)
def test_a_join_that_fails_is_refused(error, code, caplog):
    async def work():
        left = []

        def join(world, player):
            if player.name == "unlucky":
                raise error
            return 0

        options = {"on_join": join, "on_leave": lambda world, player: left.append(player.name)}
        async with witnessed(**options) as server:
            with pytest.raises(ConnectionClosed) as caught:
                await hz.connect(server.ws_url, name="unlucky")
            assert caught.value.code == code
            assert left == []

    caplog.set_level(logging.CRITICAL, "horizon_ecs.server")
    run(work())


@pytest.mark.parametrize("handle", ["x", [1, 2], 1.5, -1])
def test_what_on_join_returns_is_checked(handle, caplog):
    async def work():
        async with witnessed(on_join=lambda world, player: handle if player.name == "odd" else None) as server:
            with pytest.raises(ConnectionClosed) as caught:
                await hz.connect(server.ws_url, name="odd")
            assert caught.value.code == Close.INTERNAL

    run(work())
    assert "on_join must return one handle or None" in caplog.text


def test_on_join_may_return_what_spawn_returns():
    async def work():
        def spawn(world, player):
            return world.spawn(Ball, 1)

        async with witnessed(on_join=spawn) as server, hz.connect(server.ws_url) as client:
            assert client.entity in (await client.next_frame()).handle

    run(work())


def test_what_one_sent_who_has_gone_reaches_no_system():
    async def work():
        world = make_world()

        @hz.system(phase="input", form="columns")
        def strict(world: hz.World) -> None:
            world.slots_of(world.events(Push).sender)  # raises for an entity that is gone

        world.add_system(strict)
        async with witnessed(world, events=[Push], on_join=spawn_ball, on_leave=despawn_ball) as server:
            for _ in range(5):
                async with hz.connect(server.ws_url) as client:
                    for _ in range(20):
                        await client.send("push", x=1.0)
            await until(server, lambda: len(server.players) == 1)

    run(work())


def test_a_player_without_an_observer_is_let_go_again():
    async def work():
        left = []

        def join(world, player):
            player.position = (np.nan, 0.0) if player.name == "nowhere" else None
            return 0

        options = {"on_join": join, "on_leave": lambda world, player: left.append(player.name)}
        async with witnessed(**options) as server:
            with pytest.raises(ConnectionClosed):
                await hz.connect(server.ws_url, name="nowhere")
            assert left == ["nowhere"]

    logging.getLogger("horizon_ecs.server").setLevel(logging.CRITICAL)
    try:
        run(work())
    finally:
        logging.getLogger("horizon_ecs.server").setLevel(logging.NOTSET)


# -- slow clients ------------------------------------------------------------------------------------------------------


def test_one_that_stops_reading_is_held_and_made_whole_by_one_reset_frame():
    async def work():
        config = ServerConfig(window_s=0.25, stall_timeout_s=20.0)
        async with witnessed(config=config) as server, hz.connect(server.ws_url) as client:
            await client.next_frame()
            client._acknowledge = lambda: None  # from here on it looks as if it had stopped reading
            await until(server, lambda: server.report()["holds"] == 1)
            ticks = server.report()["ticks"]
            await until(server, lambda: server.report()["ticks"] >= ticks + 60)
            del client._acknowledge
            applied, resets = 0, 0
            while not resets:
                await client.next_frame()
                applied += 1
                resets += client.replica.was_reset
            # Nothing was kept for it beyond its window.
            assert applied <= 0.25 * 120 + 8
            await client.next_frame()
            assert not client.replica.was_reset
            assert client.replica.n == 50
            assert server.report()["resets"] == 1

    run(work())


def test_what_waits_for_one_that_stops_reading_is_bounded():
    async def work():
        # Large frames, so that the socket's own buffers are soon full.
        world = hz.World(capacity=6_000, tick_rate=120.0, kinds=[Ball])
        world.spawn(Ball, 5_000)

        @hz.system(form="columns")
        def shake(world: hz.World) -> None:
            world[Position].x[:] = world.rng.random(len(world[Position].x), np.float32) * 1e6

        world.add_system(shake)
        config = ServerConfig(window_s=0.5, stall_timeout_s=1.0, max_followed=6_000)
        async with serving(world, config) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            writer.write(
                f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n".encode()
            )
            await reader.readuntil(b"\r\n\r\n")
            payload = hello()
            writer.write(bytes([0x82, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
            seat, waiting = next(iter(server._connections.seats)), []
            seat.connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)

            def given_up() -> bool:
                waiting.append(seat.connection.transport.get_write_buffer_size())
                return server.report()["refusals"] == {str(int(Close.STALLED)): 1}

            await until(server, given_up)
            await until(server, lambda: server.n_clients == len(server.players) == 0)  # although it still doesn't read
            report = server.report()
            assert report["holds"] == 1
            frames = 0.5 * 120 + 8
            assert 0 < max(waiting) <= frames * report["bytes"] / report["frames"]
            writer.transport.abort()

    run(work())


def test_one_that_only_says_that_it_reads_is_cut_off(monkeypatch):
    monkeypatch.setattr("horizon_ecs.net.connections.MAX_BACKLOG_BYTES", 200_000)

    async def work():
        world = hz.World(capacity=6_000, tick_rate=120.0, kinds=[Ball])
        world.spawn(Ball, 5_000)

        @hz.system(form="columns")
        def shake(world: hz.World) -> None:
            world[Position].x[:] = world.rng.random(len(world[Position].x), np.float32) * 1e6

        world.add_system(shake)
        async with serving(world, ServerConfig(max_followed=6_000)) as server, raw(server) as link:
            await link.send(hello())
            await link.recv()
            seat = next(iter(server._connections.seats))
            link.transport.pause_reading()
            while server.report()["refusals"] != {str(int(Close.STALLED)): 1}:
                with suppress(SocketClosed):
                    await link.send(wire.acknowledgement(seat.session.sent_tick))
                assert not await server.wait(0.01)
            await until(server, lambda: server.n_clients == 0)
            link.transport.abort()

    run(work())


@pytest.mark.parametrize("frame", [b"\x8a\x80\x00\x00\x00\x00", b"\x89\x80\x00\x00\x00\x00"])
def test_a_flood_of_frames_that_are_no_messages_is_cut_off(frame):
    async def work():
        async with witnessed(config=ServerConfig(max_messages_per_s=50)) as server, raw(server) as link:
            await link.send(hello())
            await link.recv()
            link.transport.write(frame * 2_000)
            await until(server, lambda: server.n_clients == 1)
            assert server.report()["refusals"] == {str(int(Close.TOO_MANY)): 1}

    run(work())


def test_the_server_stops_although_a_client_reads_nothing():
    async def work():
        async with serving(make_world()) as server, raw(server) as link:
            await link.send(hello())
            await link.recv()
            link.transport.pause_reading()
            seat = next(iter(server._connections.seats))
            seat.connection.transport.write(bytes(8 * 2**20))  # so that no close frame reaches it
            await server.stop()
            assert server.n_clients == 0
            assert not server.is_ticking
            link.transport.abort()

    run(work())


def test_one_that_never_acknowledges_is_given_up():
    async def work():
        config = ServerConfig(stall_timeout_s=0.3)
        async with witnessed(config=config) as server, raw(server) as link:
            await link.send(hello())
            code, reason = await close_of(link)
            assert (code, reason) == (Close.STALLED, "nothing acknowledged for 0.3 s")

    run(work())


# -- the end -----------------------------------------------------------------------------------------------------------


def test_clients_are_told_that_the_server_stops():
    async def work():
        async with serving(make_world()) as server:
            client = await hz.connect(server.ws_url)
            await client.next_frame()
        async for replica in client:  # ends without an error, since the server said goodbye
            assert replica.n == 50
        with pytest.raises(ConnectionClosed) as caught:
            await client.next_frame()
        assert caught.value.code == Close.STOPPING

    run(work())


def test_a_system_that_fails_ends_the_server_with_its_name():
    async def work():
        world = make_world()

        @hz.system(form="columns")
        def fragile(world: hz.World) -> None:
            if world.tick_count == 20:
                raise ZeroDivisionError("no more")

        world.add_system(fragile)
        clients = []

        async def fail():
            async with serving(world) as server:
                clients.append(await hz.connect(server.ws_url))
                assert await server.wait(TIMEOUT_S)

        async def follow():
            async for _ in clients[0]:
                pass

        with pytest.raises(SystemFailure, match="'fragile' failed in tick 20"):
            await fail()
        with pytest.raises(ConnectionClosed, match="the server failed") as caught:
            await follow()
        assert caught.value.code == Close.INTERNAL

    run(work())


def test_run_serves_for_so_long(capsys):
    server = hz.Server(make_world(), ServerConfig(port=0))
    urls = []
    server.run(started=lambda s: urls.append(s.url), seconds=0.2)
    assert urls[0].startswith("http://127.0.0.1:")
    assert server.report()["ticks"] > 5
    with pytest.raises(ArgumentError, match="started once"):
        server.run()
    with pytest.raises(ArgumentError, match="isn't listening"):
        hz.Server(make_world()).port


def test_what_can_not_be_served_is_said_at_once():
    with pytest.raises(DefinitionError, match="nothing to replicate"):
        hz.Server(hz.World(capacity=10))
    with pytest.raises(DefinitionError, match="decorated with @event"):
        hz.Server(make_world(), events=[Position])
    with pytest.raises(ArgumentError, match=r"about\['bounds'\] must be of numbers"):
        hz.Server(make_world(), about={"bounds": [np.float32(0)]})
    with pytest.raises(ArgumentError, match="did you mean 'hysteresis'"):
        hz.serve(make_world(), histeresis=0.2)


def test_a_world_has_one_server_at_a_time():
    async def work():
        world = make_world()
        async with serving(world):
            with pytest.raises(ArgumentError, match="another server serves this world"):
                async with serving(world):
                    pass
        async with serving(world) as server, hz.connect(server.ws_url) as client:
            assert (await client.next_frame()).n == 50

    run(work())


def test_the_position_may_have_another_name():
    @hz.component
    class Place:
        x: f4
        y: f4

    kind = hz.Kind("Thing", Place, layers=[hz.Layer(0, 5.0, 60.0, [Place], 1 / 64)])

    async def work():
        world = hz.World(capacity=10, kinds=[kind])
        world.spawn(kind, 2, Place=[(1.0, 1.0), (9.0, 9.0)])
        async with serving(world, position=Place) as server, hz.connect(server.ws_url) as client:
            assert (await client.next_frame()).n == 1
            assert "2 entities" not in repr(client)
            assert "1 entities followed" in repr(client)
            assert "1 clients" in repr(server)

    run(work())


# -- the client on its own ---------------------------------------------------------------------------------------------


def test_what_a_client_may_send_is_checked_before_it_goes_out():
    async def work():
        async with serving(make_world(), events=[Push]) as server, hz.connect(server.ws_url) as client:
            with pytest.raises(ArgumentError, match="no event 'pusch'; did you mean 'push'"):
                await client.send("pusch", x=1.0)
            with pytest.raises(ArgumentError, match="no field 'z'"):
                await client.send("push", z=1.0)
            rows = np.zeros(257, [("x", "f4"), ("y", "f4")])
            with pytest.raises(ArgumentError, match="1 to 256 rows"):
                await client.send("push", rows)
            with pytest.raises(ArgumentError, match="structured array"):
                await client.send("push", np.zeros((3, 2)))
            for value in ("a", [1, 2], None, np.nan):
                with pytest.raises(ArgumentError, match="push.x takes a finite float32, not"):
                    await client.send("push", x=value)
            with pytest.raises(ArgumentError, match="push.y takes finite float32"):
                await client.send("push", np.array([(0.0, np.inf)], rows.dtype))
            await client.send("push", rows[:256])
            while server.report()["inputs"] < 256:
                await client.next_frame()

    run(work())


def test_a_client_refuses_what_is_no_server():
    async def work():
        async with serving(make_world()) as server:
            with pytest.raises(ArgumentError, match="url must be ws://host:port/ws"):
                await hz.connect(server.url)
            with pytest.raises(WireError, match="no such server"):
                await hz.connect(f"ws://127.0.0.1:{server.port}/elsewhere")
            with pytest.raises(ConnectionClosed) as caught:
                await hz.connect(server.ws_url, schema="another")
            assert caught.value.code == Close.SCHEMA
            port = server.port
        with pytest.raises(OSError, match="."):
            await hz.connect(f"ws://127.0.0.1:{port}/ws")

    run(work())


@pytest.mark.parametrize("message", [b"\x00\x01", b"\x08", b"\xc1", "text", b"\x00"])
def test_a_client_refuses_what_no_server_says(message):
    from websockets.asyncio.server import serve as listen

    closed = asyncio.Queue()

    async def work():
        world = make_world()
        async with serving(world) as server:
            welcome = {
                "type": "welcome",
                "protocol": 2,
                "schema": server.schema,
                "phase": 0,
                "ack_every": 5,
                "tick_rate": 60.0,
            }

            async def answer(connection):
                await connection.recv()
                await connection.send(wire.pack(welcome))
                await connection.send(message)
                await connection.wait_closed()
                await closed.put(connection.close_code)

            async with listen(answer, "127.0.0.1", 0) as fake:
                client = await hz.connect(f"ws://127.0.0.1:{fake.sockets[0].getsockname()[1]}/ws")
                with pytest.raises(WireError):
                    await client.next_frame()
                assert await closed.get() == Close.MALFORMED

    run(work())
