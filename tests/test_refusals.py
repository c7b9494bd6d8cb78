"""Every limit over real sockets: it trips, says so by its documented code or status, is counted, and nobody else notices."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgpack
import numpy as np
import pytest
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import InvalidStatus

import horizon_ecs as hz
from horizon_ecs import f4
from horizon_ecs.config import ServerConfig
from horizon_ecs.net import wire
from horizon_ecs.net.link import Backoff
from horizon_ecs.net.wire import Close
from horizon_ecs.testing import serving
from tests.test_server import (
    Push,
    close_of,
    despawn_ball,
    hello,
    make_world,
    raw,
    run,
    spawn_ball,
    until,
)

SECRET = "correct horse battery staple, and more"
TLS = Path(__file__).parent / "tls"


@hz.event
class Steer:
    turn: f4 = hz.field(range=(-1.0, 1.0))


@hz.event
class Kick:
    who: f4


def steer(*turns: float) -> bytes:
    return b"\x01" + np.array(turns, "<f4").tobytes()


async def joined(link, **more) -> dict:
    """Say hello; the welcome."""
    await link.send(hello(**more))
    return msgpack.unpackb(await link.recv())


async def end_of(client) -> hz.ConnectionClosed:
    """Read until the server closes."""
    while True:
        try:
            await client.next_frame()
        except hz.ConnectionClosed as closed:
            return closed


def refusals(server) -> dict:
    return server.report()["refusals"]


async def get(server, target: str, **headers: str) -> str:
    """The first line of an answer to a plain request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    head = await reader.read()
    writer.close()
    return head.decode().splitlines()[0]


async def status_of(server, **options) -> int:
    """The status with which a WebSocket is denied."""
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(server.ws_url, compression=None, **options)
    return caught.value.response.status_code


@asynccontextmanager
async def beside(config=None, **options):
    """A server with a neighbour on it, who goes on getting frames all the time; after the block it says what must have
    been refused meanwhile, and nothing else."""
    async with serving(make_world(), config, **options) as server, hz.connect(server.ws_url) as neighbour:
        reading = asyncio.ensure_future(end_of(neighbour))
        expected: dict[str, int] = {}
        yield server, expected
        await until(server, lambda: server.n_clients == 1)
        assert refusals(server) == expected
        first = neighbour.replica.tick
        while neighbour.replica.tick < first + 20:
            assert not reading.done()
            await asyncio.sleep(0)
        reading.cancel()


# -- how many ----------------------------------------------------------------------------------------------------------


def test_max_connections():
    async def work():
        async with beside(config=ServerConfig(max_connections=2)) as (server, expected):
            async with hz.connect(server.ws_url):
                with pytest.raises(hz.ConnectionClosed, match="Server at capacity: 2 clients") as caught:
                    await hz.connect(server.ws_url)
            assert caught.value.code == Close.FULL
            assert caught.value.may_retry
            expected["1013"] = 1

    run(work())


def test_max_connections_per_ip():
    async def work():
        config = ServerConfig(max_connections_per_ip=2)
        async with beside(config=config) as (server, expected):
            async with hz.connect(server.ws_url):
                assert await status_of(server) == 429
                with pytest.raises(hz.ConnectionClosed, match="at most 2 connections from one address") as caught:
                    await hz.connect(server.ws_url)
                assert (caught.value.code, caught.value.may_retry) == (429, True)
                assert " 200 " in await get(server, "/healthz")
            await until(server, lambda: server.n_clients == 1)
            async with hz.connect(server.ws_url) as client:  # one has left: there is room
                await client.next_frame()
            expected["429:address"] = 2

    run(work())


# -- who ---------------------------------------------------------------------------------------------------------------


def test_banned_ips():
    async def work():
        async with serving(make_world(), ServerConfig(banned_ips=["127.0.0.0/8"])) as server:
            assert await status_of(server) == 403
            assert " 403 " in await get(server, "/")
            assert refusals(server) == {"403:banned": 2}

    run(work())


def test_a_ban_closes_what_is_there_and_ends():
    async def work():
        async with serving(make_world()) as server, raw(server) as link:
            await joined(link)
            server.ban("127.0.0.1", seconds=60)
            assert (await close_of(link)) == (Close.BANNED, "banned")
            assert await status_of(server) == 403
            assert 0 < server.bans["127.0.0.1/32"] <= 60
            with pytest.raises(hz.ConnectionClosed, match="banned") as caught:
                await hz.connect(server.ws_url)
            assert not caught.value.may_retry
            server.unban("127.0.0.1")
            async with hz.connect(server.ws_url) as client:
                await client.next_frame()
            assert server.bans == {}
            assert refusals(server) == {"403:banned": 2, "4011": 1}

    run(work())


def test_who_comes_through_a_proxy_is_known_by_its_own_address():
    async def work():
        config = ServerConfig(trusted_proxies=["127.0.0.1"], banned_ips=["203.0.113.0/24"], max_connections_per_ip=1)
        async with beside(config=config) as (server, expected):
            headers = [{"X-Forwarded-For": address} for address in ("192.0.2.1", "203.0.113.9", "192.0.2.2")]
            async with open_socket(server.ws_url, compression=None, additional_headers=headers[0]) as link:
                await joined(link, name="Ada")
                assert {player.address for player in server.players.values()} == {"127.0.0.1", "192.0.2.1"}
                assert await status_of(server, additional_headers=headers[0]) == 429
                assert await status_of(server, additional_headers=headers[1]) == 403
                async with open_socket(server.ws_url, compression=None, additional_headers=headers[2]) as other:
                    assert (await joined(other))["type"] == "welcome"
            expected |= {"429:address": 1, "403:banned": 1}

    run(work())


def test_bans_are_of_addresses_for_a_time():
    server = hz.Server(make_world())
    server.ban("192.0.2.0/24")
    assert server.bans == {"192.0.2.0/24": None}
    for wrong, seconds in (("nobody", None), ("192.0.2.1", 0), ("192.0.2.1", "5")):
        with pytest.raises(hz.ArgumentError):
            server.ban(wrong, seconds)
    with pytest.raises(hz.ArgumentError):
        server.unban("nobody")


def test_allowed_origins():
    async def work():
        config = ServerConfig(allowed_origins=["https://game.example", "self"])
        async with beside(config=config) as (server, expected):
            assert await status_of(server, origin="https://evil.example") == 403
            for origin in ("https://game.example", server.url.rstrip("/"), None):
                async with open_socket(server.ws_url, compression=None, origin=origin) as link:
                    assert (await joined(link))["type"] == "welcome"
            expected["403:origin"] = 1

    run(work())


# -- how long ----------------------------------------------------------------------------------------------------------


def test_connection_timeout():
    async def work():
        config = ServerConfig(connection_timeout_s=0.4, stall_timeout_s=60.0)
        async with beside(config=config) as (server, expected):
            async with raw(server) as link:
                await joined(link)
                assert await close_of(link) == (Close.IDLE, "nothing was heard for 0.4 s")
            expected["4008"] = 1

    run(work())


def test_handshake_timeout():
    async def work():
        async with beside(config=ServerConfig(handshake_timeout_s=0.2)) as (server, expected):
            async with raw(server) as link:
                assert await close_of(link) == (Close.LATE_HELLO, "no hello in 0.2 s")
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /ws HTTP/1.1\r\n")  # and no more
            assert await reader.read() == b""
            writer.close()
            expected["4004"] = 1

    run(work())


def test_who_nobody_can_tell_in_time_is_refused():
    async def work():
        async def slow(credentials):
            await asyncio.sleep(0 if credentials.name else 3_600)
            return hz.Identity("ada")

        config = ServerConfig(handshake_timeout_s=0.3)
        async with (
            serving(make_world(), config, authenticate=slow) as server,
            hz.connect(server.ws_url, name="Ada") as ada,
        ):
            with pytest.raises(hz.ConnectionClosed, match=r"no answer who this is in 0\.3 s") as caught:
                await hz.connect(server.ws_url)
            assert caught.value.code == Close.LATE_HELLO
            await ada.next_frame()
            assert refusals(server) == {"4004": 1}

    run(work())


# -- how much ----------------------------------------------------------------------------------------------------------


def test_max_message_size():
    async def work():
        config = ServerConfig(max_message_bytes=100)
        async with beside(config=config, events=[Steer]) as (server, expected):
            async with raw(server) as link:
                await joined(link)
                await link.send(steer(*[0.5] * 24))  # 97 bytes
                await link.send(steer(*[0.5] * 25))
                assert (await close_of(link))[0] == Close.TOO_LONG
            await until(server, lambda: server.report()["inputs"] == 24)
            expected["1009"] = 1

    run(work())


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"max_json_depth": 3}, {"a": [[1]]}),
        ({"max_string_length": 20}, {"a": "x" * 21}),
        ({"max_collection_size": 8}, {"a": [0] * 9}),
    ],
)
def test_what_a_message_may_hold(settings, about):
    async def work():
        async with beside(config=ServerConfig(**settings)) as (server, expected):
            async with raw(server) as link:
                await link.send(hello(about=about))
                assert (await close_of(link))[0] == Close.MALFORMED
            expected["4000"] = 1

    run(work())


def test_max_requests_per_minute():
    async def work():
        config = ServerConfig(max_requests_per_minute=60)  # ten at once
        async with beside(config=config, events=[Steer]) as (server, expected):
            async with raw(server) as link:
                await joined(link)
                for _ in range(40):
                    await link.send(wire.pack({"type": "ping", "t": 0}))  # isn't one
                await link.send(steer(*[0.5] * 9))
                await link.send(steer(*[0.5] * 9))
                code, reason = await close_of(link)
                assert (code, reason) == (Close.TOO_MANY, "more than 60 records of events a minute")
            await until(server, lambda: server.report()["inputs"] == 9)
            expected["4007"] = 1

    run(work())


def test_rate_limiting_can_be_switched_off():
    async def work():
        config = ServerConfig(max_requests_per_minute=60, max_messages_per_s=10, enable_rate_limiting=False)
        async with beside(config=config, events=[Steer]) as (server, _), raw(server) as link:
            await joined(link)
            for _ in range(500):
                await link.send(steer(0.5))
            await until(server, lambda: server.report()["inputs"] == 500)

    run(work())


def test_the_rate_of_one_event():
    async def work():
        rules = {Kick: hz.EventRule(max_per_s=0.001, burst=2)}
        async with beside(events=[Steer, Kick], rules=rules) as (server, expected):
            async with raw(server) as link:
                await joined(link)
                await link.send(steer(*[0.1] * 20))
                await link.send(b"\x02" + bytes(8))
                await link.send(b"\x02" + bytes(4))
                assert await close_of(link) == (Close.TOO_MANY, "more than 0.001 kick a second")
            await until(server, lambda: server.report()["inputs"] == 22)
            expected["4007"] = 1

    run(work())


# -- what --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "what"),
    [(1.5, "steer.turn must lie between -1.0 and 1.0, not 1.5"), (np.nan, "steer.turn is not finite")],
)
def test_values_are_held_to_their_fields(value, what):
    async def work():
        async with beside(events=[Steer]) as (server, expected):
            async with raw(server) as link:
                await joined(link)
                await link.send(steer(0.5, value, 0.5))
                assert await close_of(link) == (Close.NO_SUCH_EVENT, what)
            assert server.report()["inputs"] == 0
            expected["4005"] = 1

    run(work())


def test_objects_are_held_to_rules_and_limits():
    async def work():
        rules = {"chat.message": hz.EventRule(max_per_s=0.001, burst=2), "chat.mute": hz.EventRule(roles=["admin"])}
        async with beside(events=[Steer], rules=rules) as (server, expected):
            for event, n, code in (("message", 3, Close.TOO_MANY), ("mute", 1, Close.FORBIDDEN)):
                async with hz.connect(server.ws_url) as client:
                    for _ in range(n):
                        await client.emit("chat", event, {"text": "Hello"})
                    assert (await end_of(client)).code == code
            async with hz.connect(server.ws_url) as client:
                await client.emit("chat", "other", {"text": "Hello"})
                await client.next_frame()
            expected |= {"4007": 1, "4010": 1}

    run(work())


def test_objects_are_requests_too():
    async def work():
        config = ServerConfig(max_requests_per_minute=60)  # ten at once
        async with beside(config=config) as (server, expected), hz.connect(server.ws_url) as client:
            for _ in range(12):
                await client.emit("chat", "message", {"text": "Hello"})
            assert (await end_of(client)).code == Close.TOO_MANY
            expected["4007"] = 1

    run(work())


@pytest.mark.parametrize(("network", "n_writes"), [(None, 1), (hz.NetworkConfig(batch_size=2), 3)])
def test_batch_size_is_how_many_messages_a_socket_gets_at_once(network, n_writes, monkeypatch):
    async def work():
        async with serving(make_world(), ServerConfig(network=network)) as server:
            heard = []
            calls = hz.Callbacks()
            calls.on_server_event(lambda namespace, event, data: heard.append(data))
            async with hz.connect(server.ws_url, callbacks=calls) as client:
                writes = []
                write = server._connections._write
                monkeypatch.setattr(
                    server._connections, "_write", lambda seat, data: (writes.append(bytes(data)), write(seat, data))
                )

                def say() -> None:
                    for i in range(5):
                        server.events.broadcast("chat", "message", i)

                server._stage._inbox.append(say)
                while len(heard) < 5:
                    await client.next_frame()
                assert heard == [0, 1, 2, 3, 4]
                assert sum(b"namespace" in data for data in writes) == n_writes

    run(work())


def test_who_is_refused_twice_at_once_is_counted_once():
    async def work():
        async with beside(events=[Steer, Kick]) as (server, expected):
            async with raw(server) as link:
                await joined(link)
                for _ in range(5):
                    await link.send(steer(2.0))
                    await link.send(b"\x02" + np.array([np.nan], "<f4").tobytes())
                assert (await close_of(link))[0] == Close.NO_SUCH_EVENT
            expected["4005"] = 1

    run(work())


def test_refusals_are_logged_with_what_json_needs(caplog):
    async def work():
        async with beside(events=[Steer], config=ServerConfig(allowed_origins=["self"])) as (server, expected):
            async with raw(server) as link:
                await joined(link)
                await link.send(steer(2.0))
                await close_of(link)
            await status_of(server, origin="https://evil.example")
            expected |= {"4005": 1, "403:origin": 1}

    caplog.set_level(logging.INFO, "horizon_ecs.server")
    run(work())
    closed, answered = (record for record in caplog.records if hasattr(record, "address"))
    assert (closed.address, closed.code) == ("127.0.0.1", 4005)
    assert closed.reason == "steer.turn must lie between -1.0 and 1.0, not 2.0"
    assert answered.status == 403


def test_roles():
    async def work():
        rules = {Kick: hz.EventRule(roles=["admin"])}
        tokens = hz.HmacTokens(SECRET)

        def known(credentials):
            return tokens(credentials) if credentials.token else hz.Identity("")

        async with beside(events=[Steer, Kick], rules=rules, authenticate=known) as (server, expected):
            async with hz.connect(server.ws_url, token=tokens.issue("ada", ["admin"])) as admin:
                await admin.send("kick", who=1.0)
                await until(server, lambda: server.report()["inputs"] == 1)
                ada = next(player for player in server.players.values() if player.user)
                assert (ada.user, ada.roles, ada.auth) == ("ada", {"admin"}, hz.AuthStatus.AUTHENTICATED)
                async with raw(server) as link:
                    await joined(link)
                    await link.send(b"\x02" + bytes(4))
                    assert await close_of(link) == (Close.FORBIDDEN, "kick is for other roles")
                ada.roles = frozenset()
                await admin.send("kick", who=1.0)
                assert (await end_of(admin)).code == Close.FORBIDDEN
            expected["4010"] = 2

    run(work())


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_a_token_is_needed_where_there_is_a_secret():
    async def work():
        tokens, late = hz.HmacTokens(SECRET), hz.HmacTokens(SECRET, clock=lambda: 1.0)
        async with serving(make_world(), ServerConfig(auth_secret=SECRET)) as server:
            async with hz.connect(server.ws_url, token=tokens.issue("ada")) as ada:
                for token, why in [
                    ("", "a token is needed"),
                    ("x.y.z", "isn't one of"),
                    (late.issue("b"), "has expired"),
                ]:
                    with pytest.raises(hz.ConnectionClosed, match=why) as caught:
                        await hz.connect(server.ws_url, token=token)
                    assert (caught.value.code, caught.value.may_retry) == (Close.UNAUTHORISED, False)
                await ada.next_frame()
                assert [player.user for player in server.players.values()] == ["ada"]
            assert refusals(server) == {"4009": 3}

    run(work())


def test_who_says_who_somebody_is_may_take_time_fail_and_refuse(caplog):
    async def work():
        async def ask(credentials):
            await asyncio.sleep(0)
            if credentials.name == "odd":
                return "Ada"
            if credentials.name == "broken":
                raise KeyError("no such user")
            return hz.Identity(credentials.name, claims={"from": credentials.address}) if credentials.name else None

        async with serving(make_world(), authenticate=ask) as server, hz.connect(server.ws_url, name="Ada") as ada:
            for name, code in (("", Close.UNAUTHORISED), ("odd", Close.INTERNAL), ("broken", Close.INTERNAL)):
                with pytest.raises(hz.ConnectionClosed) as caught:
                    await hz.connect(server.ws_url, name=name)
                assert caught.value.code == code
            await ada.next_frame()
            assert [player.claims for player in server.players.values()] == [{"from": "127.0.0.1"}]
            assert refusals(server) == {"1011": 2, "4009": 1}

    caplog.set_level(logging.CRITICAL, "horizon_ecs.server")
    run(work())


def test_changes_of_who_is_known_are_told():
    async def work():
        told = []
        status = hz.AuthStatus

        def known(credentials):
            return None if credentials.name == "Eve" else hz.Identity("ada" if credentials.name == "Ada" else "")

        async with beside(authenticate=known) as (server, expected):
            server.events.on_core("auth_status_changed", lambda event: told.append((event.player.name, *event[1:])))
            async with (
                hz.connect(server.ws_url, name="Ada"),
                hz.connect(server.ws_url, name="Bob") as client,
            ):
                with pytest.raises(hz.ConnectionClosed, match="not accepted"):
                    await hz.connect(server.ws_url, name="Eve")
                (bob,) = (player for player in server.players.values() if player.name == "Bob")
                server.identify(bob, hz.Identity("bob", ["admin"]))
                assert (bob.user, bob.roles) == ("bob", {"admin"})
                while len(told) < 7:
                    await client.next_frame()
            asked = [(name, status.UNAUTHENTICATED, status.AUTHENTICATING) for name in ("Ada", "Bob", "Eve")]
            assert told == [
                asked[0], ("Ada", status.AUTHENTICATING, status.AUTHENTICATED),
                asked[1], ("Bob", status.AUTHENTICATING, status.UNAUTHENTICATED),
                asked[2], ("Eve", status.AUTHENTICATING, status.FAILED),
                ("Bob", status.UNAUTHENTICATED, status.AUTHENTICATED),
            ]  # fmt: skip
            expected["4009"] = 1

    run(work())


def test_who_is_known_for_a_time_is_closed_then():
    async def work():
        def known(credentials):
            return hz.Identity("ada", expires_at=time.time() + 0.5 if credentials.name else None)

        async with beside(authenticate=known) as (server, expected):
            async with hz.connect(server.ws_url, name="Ada") as client:
                closed = await end_of(client)
            assert (closed.code, closed.reason) == (Close.UNAUTHORISED, "the token has expired")
            expected["4009"] = 1

    run(work())


# -- coming back -------------------------------------------------------------------------------------------------------

HOOKS = {"on_join": spawn_ball, "on_leave": despawn_ball}


def test_who_lost_its_connection_comes_back_to_its_entity():
    async def work():
        async with beside(config=ServerConfig(reconnect_grace_s=60.0), events=[Push], **HOOKS) as (server, _):
            first = await hz.connect(server.ws_url, name="Ada")
            await first.next_frame()
            entity, session = first.entity, first.session
            first._connection.transport.abort()
            await until(server, lambda: server.report()["absent"] == 1)
            assert len(server.world) == 52
            async with hz.connect(server.ws_url, name="Ada II", session=session) as again:
                assert (again.entity, again.welcome["returned"]) == (entity, True)
                assert again.session not in ("", session)
                replica = await again.next_frame()
                row = int(np.flatnonzero(replica.handle == entity)[0])
                await again.send("push", x=100.0)
                while replica.column("Position", "x")[row] < 501:
                    replica = await again.next_frame()
                (player,) = (one for one in server.players.values() if one.entity == entity)
                assert (player.name, player.n_returns) == ("Ada II", 1)
                assert server.report()["absent"] == 0
                async with hz.connect(server.ws_url, session=session) as late:  # it holds once
                    assert late.entity != entity
                    assert not late.welcome["returned"]
            await until(server, lambda: len(server.world) == 51)  # who says goodbye isn't waited for

    run(work())


def test_who_does_not_come_back_in_time_has_left():
    async def work():
        async with beside(config=ServerConfig(reconnect_grace_s=0.1), **HOOKS) as (server, _):
            client = await hz.connect(server.ws_url)
            session = client.session
            client._connection.transport.abort()
            await until(server, lambda: len(server.world) == 51)
            async with hz.connect(server.ws_url, session=session) as anew:
                assert not anew.welcome["returned"]

    run(work())


def test_another_connection_takes_a_session_over():
    async def work():
        async with beside(config=ServerConfig(reconnect_grace_s=60.0), **HOOKS) as (server, expected):
            async with hz.connect(server.ws_url) as first, hz.connect(server.ws_url, session=first.session) as second:
                assert second.entity == first.entity
                closed = await end_of(first)
                assert (closed.code, closed.may_retry) == (Close.REPLACED, False)
                await second.next_frame()
                assert len(server.world) == 52
            expected["4012"] = 1

    run(work())


def test_nobody_comes_back_as_somebody_else():
    async def work():
        config = ServerConfig(reconnect_grace_s=60.0)
        known = {"on_join": spawn_ball, "authenticate": lambda said: hz.Identity(said.name)}
        async with serving(make_world(), config, **known) as server, hz.connect(server.ws_url, name="ada") as ada:
            async with hz.connect(server.ws_url, name="eve", session=ada.session) as eve:
                assert eve.entity != ada.entity
                assert not eve.welcome["returned"]
            await ada.next_frame()

    run(work())


def test_an_entity_that_died_meanwhile_is_not_come_back_to():
    async def work():
        async with beside(config=ServerConfig(reconnect_grace_s=60.0), **HOOKS) as (server, _):
            client = await hz.connect(server.ws_url)
            client._connection.transport.abort()
            await until(server, lambda: server.report()["absent"] == 1)
            (player,) = server._stage.absent
            server._stage._inbox.append(lambda: server.world.despawn(player.entity))
            async with hz.connect(server.ws_url, session=client.session) as anew:
                assert anew.entity not in (0, client.entity)
                assert not anew.welcome["returned"]

    run(work())


def test_who_is_refused_does_not_come_back():
    async def work():
        config = ServerConfig(reconnect_grace_s=60.0)
        async with beside(config=config, events=[Steer], **HOOKS) as (server, expected):
            async with raw(server) as link:
                await joined(link)
                await link.send(steer(5.0))
                assert (await close_of(link))[0] == Close.NO_SUCH_EVENT
            await until(server, lambda: len(server.world) == 51)
            assert server.report()["absent"] == 0
            expected["4005"] = 1

    run(work())


def test_a_link_comes_back_to_its_entity_by_itself():
    async def work():
        async with beside(config=ServerConfig(reconnect_grace_s=60.0), **HOOKS) as (server, _):
            link = hz.follow(server.ws_url, backoff=Backoff(0.01, 0.02))
            frames = aiter(link)
            await anext(frames)
            assert link.client is not None
            entity = link.client.entity
            link.client._connection.transport.abort()
            while link.n_connections < 2:
                await anext(frames)
            assert link.client.entity == entity
            await link.close()
            with suppress(StopAsyncIteration):
                await anext(frames)

    run(work())


# -- encryption, ports ---------------------------------------------------------------------------------------------------


def encrypted(**more) -> ServerConfig:
    return ServerConfig(tls_certificate=str(TLS / "certificate.pem"), tls_key=str(TLS / "key.pem"), **more)


def test_tls():
    async def work():
        trust = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))
        async with serving(make_world(), encrypted(), events=[Push], on_join=spawn_ball) as server:
            assert server.url.startswith("https://127.0.0.1:")
            assert server.ws_url.startswith("wss://127.0.0.1:")
            async with hz.connect(server.ws_url, tls=trust) as client:
                assert client.entity in (await client.next_frame()).handle
                await client.send("push", x=1.0)
                await until(server, lambda: server.report()["inputs"] == 1)
                with pytest.raises(OSError, match="certificate verify failed"):
                    await hz.connect(server.ws_url)
                with pytest.raises((hz.WireError, OSError)):
                    await hz.connect(server.ws_url.replace("wss", "ws"))
                await client.next_frame()

    logging.getLogger("websockets.server").disabled = True
    run(work())
    logging.getLogger("websockets.server").disabled = False


def test_a_certificate_must_be_one(tmp_path):
    async def work(config):
        await hz.Server(make_world(), config).start()

    (tmp_path / "odd.pem").write_text("no certificate")
    for config in (
        ServerConfig(tls_certificate="nowhere.pem"),
        ServerConfig(tls_certificate=str(tmp_path / "odd.pem")),
    ):
        with pytest.raises(hz.ArgumentError, match="tls_certificate and tls_key must be PEM files"):
            run(work(config))


def test_two_servers_on_one_port():
    async def work():
        config = ServerConfig(use_reuse_port=True)
        async with serving(make_world(), config) as first:
            second = hz.Server(make_world(), config.moved(port=first.port))
            await second.start()
            assert second.port == first.port
            async with hz.connect(first.ws_url) as client:
                await client.next_frame()
            await second.stop()
            with pytest.raises(hz.ListenError):
                await hz.Server(make_world(), ServerConfig(port=first.port)).start()

    run(work())


@pytest.mark.parametrize(
    ("host", "warns"), [("0.0.0.0", True), ("127.0.0.1", False), ("::1", False), ("localhost", False), ("", True)]
)
def test_plain_text_beyond_this_machine_is_warned_of(host, warns, caplog):
    async def work():
        server = hz.Server(make_world(), ServerConfig(host=host, port=0))
        with suppress(hz.ListenError):  # of a machine without IPv6
            await server.start()
            await server.stop()

    caplog.set_level(logging.WARNING, "horizon_ecs.server")
    run(work())
    assert ("without TLS" in caplog.text) == warns


def test_with_tls_nothing_is_warned_of(caplog):
    async def work():
        server = hz.Server(make_world(), encrypted(host="0.0.0.0", port=0))
        await server.start()
        await server.stop()

    run(work())
    assert "without TLS" not in caplog.text
