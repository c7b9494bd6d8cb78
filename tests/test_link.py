"""Links: connections that come back, and what close codes mean."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import horizon_ecs as hz
from horizon_ecs.errors import CLOSES
from horizon_ecs.net.link import Backoff
from horizon_ecs.testing import serving
from tests.test_server import make_world, run

WIRE = Path(__file__).resolve().parent.parent / "docs" / "wire.md"
quick = {"first_s": 0.01, "max_s": 0.02}


def test_pauses_grow_to_a_limit_and_begin_anew_after_what_was_stable():
    backoff = Backoff(first_s=1.0, max_s=5.0, growth=2.0)
    assert [backoff.pause(0.0, 0.5) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert backoff.pause(4.0, 0.5) == 5
    assert [backoff.pause(60.0, 0.5), backoff.pause(0.0, 0.5)] == [1, 2]
    assert (backoff.pause(60.0, 0.0), backoff.pause(60.0, 1.0)) == (0.75, 1.25)
    with pytest.raises(hz.ArgumentError, match="first_s must be positive"):
        Backoff(first_s=0)


def test_every_close_code_of_the_wire_is_explained():
    section = WIRE.read_text().split("## Close codes")[1]
    codes = {int(code) for code in re.findall(r"^\| (\d{4}) \|", section, re.M)}
    assert codes <= CLOSES.keys()
    assert CLOSES.keys() - codes == {1000, 1005, 1006}


def test_a_close_says_what_it_means():
    closed = hz.ConnectionClosed(4003, "schema 'x'")
    assert str(closed) == "connection closed with code 4003 (the server replicates another schema): schema 'x'"
    assert not closed.may_retry
    assert hz.ConnectionClosed(4999, "").may_retry


def test_it_comes_back_when_the_server_does():
    async def work():
        entered, port = [], 0
        calls = hz.Callbacks()
        calls.on_enter(lambda handle, row: entered.append(handle))
        world = make_world()
        async with serving(world) as server:
            port = server.port
            link = hz.follow(server.ws_url, callbacks=calls, backoff=Backoff(**quick))
            frames = aiter(link)
            replica = await anext(frames)
            assert link.client is not None
            assert link.client.clock.tick(1e9) > 0
        again = hz.Server(world, hz.ServerConfig(host="127.0.0.1", port=port))
        await again.start()
        try:
            while link.n_connections < 2:
                latest = await anext(frames)
            assert latest is not replica
            assert "has stopped" in link.reason
            assert len(entered) == len(set(entered)) == replica.n
        finally:
            await link.close()
            assert [frame async for frame in frames] == []
            await again.stop()

    run(work())


def test_what_wont_change_is_raised():
    async def work():
        async with serving(make_world()) as server:
            link = hz.follow(server.ws_url, schema="0123", backoff=Backoff(**quick))
            with pytest.raises(hz.ConnectionClosed, match="another schema"):
                async for _ in link:
                    pass
            assert "4003" in repr(link)

    run(work())


def test_closing_ends_it_also_while_it_waits():
    async def work():
        link = hz.follow("ws://127.0.0.1:1/ws", backoff=Backoff(first_s=60, max_s=60))
        reading = asyncio.ensure_future(_all(link))
        await asyncio.sleep(0)
        await link.close()
        assert await reading == []
        assert "nobody answers" in link.reason

    run(work())


async def _all(link):
    return [replica async for replica in link]


def test_the_client_keeps_the_servers_time():
    async def work():
        async with serving(make_world()) as server, hz.connect(server.ws_url) as client:
            while not client.clock.rtt_s >= 0:
                await client.next_frame()
            assert client.pongs() == []
            assert client.clock.jitter_s >= 0

    run(work())
