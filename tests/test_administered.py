"""Who is connected, and ending a session: by calls, and over HTTP for who may."""

from __future__ import annotations

import asyncio

import pytest
import websockets

import horizon_ecs as hz
from horizon_ecs import Write, f4
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError
from horizon_ecs.testing import serving
from tests.asking import ask

TIMEOUT_S = 30
TOKEN = "correct-horse-battery"
SPEAKS_POST = int(websockets.__version__.split(".")[0]) >= 17


@hz.component
class Position:
    x: f4
    y: f4


@hz.system
def move(pos: Write[Position]):
    pos.x = -pos.x  # what no straight line predicts


Ship = hz.Kind("Ship", Position, layers=[hz.Layer(0, 1e6, 60.0, [Position], 1 / 64)])


def make_world() -> hz.World:
    world = hz.World(capacity=100, kinds=[Ship])
    world.add_system(move)  # or there would be a frame a second
    world.spawn(Ship, 10, Position=(1, 2))
    return world


def spawn_ship(world, player) -> int:
    return int(world.spawn(Ship, 1, Position=(5, 5))[0])


def run(work) -> None:
    asyncio.run(asyncio.wait_for(work, TIMEOUT_S))


async def closed(client) -> hz.ConnectionClosed:
    """Read until the server ends it."""
    while True:
        try:
            await client.next_frame()
        except hz.ConnectionClosed as ended:
            return ended


async def frames(client, n: int = 5) -> None:
    for _ in range(n):
        await client.next_frame()


def test_sessions_are_listed_and_ended():
    async def work():
        async with serving(make_world(), on_join=spawn_ship) as server:
            ada, bob = [await hz.connect(server.ws_url, name=name) for name in ("Ada", "Bob")]
            await frames(ada)
            listed = server.sessions()
            assert [(one.name, one.observer, one.entity) for one in listed] == [
                ("Ada", ada.observer, ada.entity),
                ("Bob", bob.observer, bob.entity),
            ]
            assert {(one.address, one.state) for one in listed} == {("127.0.0.1", "live")}
            assert len({one.id for one in listed}) == 2
            server.kick(listed[0].id, "you know why")
            end = await closed(ada)
            assert (end.code, end.reason, end.may_retry) == (4013, "you know why", False)
            await frames(bob)  # its neighbour goes on
            assert [one.name for one in server.sessions()] == ["Bob"]
            assert server.report()["refusals"] == {"4013": 1}
            metrics = (await ask(server.port, "/metrics")).body.decode()
            assert 'horizon_refusals_total{code="4013",reason="kicked"} 1.0' in metrics
            with pytest.raises(ArgumentError, match="there is no session"):
                server.kick(listed[0].id)
            for reason in ("x" * 124, 3):
                with pytest.raises(ArgumentError, match="reason must be text of at most 123 bytes"):
                    server.kick(listed[1].id, reason)
            await asyncio.to_thread(server.kick, listed[1].id)  # from any thread
            assert (await closed(bob)).reason == "ended by the server's operator"

    run(work())


@pytest.mark.skipif(not SPEAKS_POST, reason="this version of websockets takes GET only")
def test_over_http():
    async def work():
        async with serving(make_world()) as server, hz.connect(server.ws_url, name="Ada") as ada:
            await frames(ada, 2)
            port, local = server.port, {"Origin": f"http://127.0.0.1:{server.port}"}
            (session,) = (await ask(port, "/sessions")).json()["sessions"]
            assert session["name"] == "Ada"
            target = f"/kick?session={session['id']}&reason=a%20b"
            refused = [
                (405, await ask(port, target)),
                (403, await ask(port, target, {"Origin": "https://evil.example"}, method="POST")),
                (403, await ask(port, target, {"Origin": "null"}, method="POST")),
                (403, await ask(port, target, method="POST", host="evil.example")),
                (403, await ask(port, target, {"X-Forwarded-For": "1.2.3.4"}, method="POST")),
                (404, await ask(port, "/kick?session=nobody", method="POST")),
                (404, await ask(port, "/kick", method="POST")),
            ]
            assert [answer.status for _, answer in refused] == [status for status, _ in refused]
            await frames(ada)  # nobody was ended
            assert (await ask(port, target, local, method="POST")).status == 200
            assert (await closed(ada)).reason == "a b"

    run(work())


@pytest.mark.skipif(not SPEAKS_POST, reason="this version of websockets takes GET only")
def test_with_a_token():
    async def work():
        config = ServerConfig(metrics_token=TOKEN, metrics_port=0)
        async with serving(make_world(), config) as server, hz.connect(server.ws_url) as client:
            await frames(client, 2)
            port, said = int(server.metrics_url.split(":")[2].partition("/")[0]), {"Authorization": f"Bearer {TOKEN}"}
            for target in ("/sessions", f"/kick?session={server.sessions()[0].id}"):
                assert (await ask(port, target, method="POST")).status == 401
                assert (await ask(server.port, target, said, method="POST")).status == 404
            await frames(client)
            assert (await ask(port, "/sessions", said, host="admin.example")).json()["sessions"]
            target = f"/kick?session={server.sessions()[0].id}"
            assert (await ask(port, target, said, method="POST", host="admin.example")).status == 200
            await closed(client)

    run(work())


def test_the_page_tells_nothing_by_itself_and_stays_out_of_frames():
    async def work():
        async with serving(make_world(), ServerConfig(metrics_token=TOKEN)) as server:
            for path, kind in (("/admin", "text/html"), ("/admin.js", "text/javascript"), ("/admin.css", "text/css")):
                page = await ask(server.port, path)
                assert (page.status, page.headers["content-type"].partition(";")[0]) == (200, kind)
                assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        for config in (ServerConfig(page=False), ServerConfig(metrics=False)):
            async with serving(make_world(), config) as server:
                assert (await ask(server.port, "/admin")).status == 404

    run(work())
