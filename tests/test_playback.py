"""Playing recordings: a playhead by itself, and what clients get over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import horizon_ecs as hz
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError, ConnectionClosed
from horizon_ecs.net.playback import Playback
from horizon_ecs.playing import Playhead
from tests.streams import Position, Stage, kinds_of, table_of
from tests.test_javascript import _node

ROOT = Path(__file__).resolve().parent.parent
N_TICKS = 120
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """Two observers in a lively world, one of which comes late; a reset frame a half second."""
    path = tmp_path_factory.mktemp("recordings") / "match.hzr"
    stage = Stage(kinds_of(Position), seed=9)
    for kind in range(3):
        stage.spawn(kind, 10)
    stage.replicator.add_observer(stage.living[0])
    with stage.replicator.record(path, reset_every_s=0.5, name_of="player {}".format, about={"title": "A match"}):
        for tick in range(N_TICKS):
            if tick == 50:
                stage.replicator.add_observer(position=(3.0, 0.0, 0.0))
            stage.move()
            stage.world.tick()
            stage.replicator.step()
    return path


@pytest.fixture
def recording(path):
    with hz.open_recording(path) as recording:
        yield recording


def take_all(head: Playhead) -> list[tuple[int, bytes]]:
    return list(iter(head.take, None))


# -- a playhead --------------------------------------------------------------------------------------------------------


def test_time_makes_frames_due(recording):
    head = Playhead(recording)
    told = take_all(head)
    assert [tick for tick, _ in told] == [1]
    for _ in range(10):
        head.pass_time(1 / 60)
        told += take_all(head)
    assert told == list(recording.frames(0, None, 12))
    assert not head.done
    head.pass_time(1e6)
    told += take_all(head)
    assert told == list(recording.frames(0))
    assert head.done


def test_speed_is_a_factor_and_0_a_pause(recording):
    head = Playhead(recording, speed=4.0)
    head.take()
    head.pass_time(0.25)
    assert head.position == 1 + 60
    take_all(head)
    head.set_speed(0)
    head.pass_time(10.0)
    assert head.position == 1 + 60
    assert head.take() is None
    assert "speed 0" in repr(head)


def test_seeking_begins_with_a_reset_frame(recording):
    head = Playhead(recording, tick=40)
    told = take_all(head)
    assert told == list(recording.frames(0, recording.seek(40), 41))
    head.seek(10)
    assert take_all(head) == list(recording.frames(0, 1, 11))
    head.seek(10_000)
    assert take_all(head) == list(recording.frames(0, recording.seek(N_TICKS)))
    head.seek(-5)
    assert take_all(head) == list(recording.frames(0, 1, 2))


def test_who_is_slow_misses_nothing(recording):
    head = Playhead(recording)
    head.take()
    head.pass_time(1.0)
    for _ in range(100):
        head.pass_time(1.0)  # nobody took what was due
    assert head.position == 1 + 60


def test_a_loop_begins_again(recording):
    head = Playhead(recording, loop=True)
    first = take_all(head)
    head.pass_time(1e6)
    assert first + take_all(head) == list(recording.frames())
    assert not head.done
    head.pass_time(1 / 60)
    assert take_all(head) == first[:1]


def test_what_is_still_being_written_is_followed(tmp_path):
    stage = Stage(kinds_of(Position), seed=9)
    stage.spawn(0, 20)
    stage.replicator.add_observer()

    def go_on(n_ticks: int) -> None:
        for _ in range(n_ticks):
            stage.move()
            stage.world.tick()
            stage.replicator.step()

    with stage.replicator.record(tmp_path / "live.hzr", flush_every_s=1 / 60):
        go_on(10)
        with hz.open_recording(tmp_path / "live.hzr") as recording:
            head = Playhead(recording)
            told = take_all(head)
            for _ in range(3):
                head.pass_time(1.0)
                told += take_all(head)
                go_on(10)
            assert told == list(recording.frames(0, None, told[-1][0] + 1))
            assert 10 < told[-1][0] <= recording.last_tick


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": -1}, "speed must be a number from 0 to 100, not -1"),
        ({"speed": float("nan")}, "speed must be a number from 0 to 100"),
        ({"speed": "fast"}, "speed must be a number from 0 to 100"),
        ({"observer": 2}, "observer must be a number below 2"),
    ],
)
def test_what_cannot_be_played_is_refused(recording, options, message):
    with pytest.raises(ArgumentError, match=message):
        Playhead(recording, **options)
    with pytest.raises(ArgumentError, match=message):
        Playback(recording, **options)


# -- over sockets ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def playing(path: Path, **options: Any) -> AsyncIterator[Playback]:
    config = options.pop("config", ServerConfig(host="127.0.0.1", port=0))
    with hz.open_recording(path) as recording:
        playback = Playback(recording, config, **options)
        await playback.start()
        try:
            yield playback
        finally:
            await playback.stop()


async def follow(client: hz.Client, until: int) -> list[tuple[int, Any]]:
    told = []
    while not told or told[-1][0] < until:
        replica = await client.next_frame()
        told.append((replica.tick, table_of(replica)))
    return told


def expected(path: Path, observer: int, start: int, stop: int) -> list[tuple[int, Any]]:
    told = []
    with hz.open_recording(path) as recording:
        replica = recording.replica(observer)
        for tick, frame in recording.frames(observer, start, stop):
            replica.apply(frame)
            told.append((tick, table_of(replica)))
    return told


def last_of(path: Path) -> int:
    with hz.open_recording(path) as recording:
        return recording.observers[0].last_tick


def test_a_client_sees_what_was_seen(path):
    async def work():
        async with playing(path, speed=4.0) as playback:
            assert playback.url in repr(playback)
            async with hz.connect(playback.ws_url) as client:
                assert client.welcome["tick_rate"] == 240.0
                assert client.welcome["about"]["title"] == "A match"
                assert client.welcome["about"]["recording"]["observers"] == ["player 0", "player 1"]
                assert client.entity == 1 << 32
                told = await follow(client, last_of(path))
            assert playback.report()["viewers"] == 1
            assert playback.report()["frames"] == len(told)
            return told

    assert asyncio.run(work()) == expected(path, 0, 0, 1_000)


def test_each_client_goes_where_it_wants(path):
    async def work():
        async with playing(path, speed=0.0) as playback:
            async with (
                hz.connect(playback.ws_url + "?tick=40") as a,
                hz.connect(playback.ws_url + "?observer=1&tick=80&speed=50&renderer=webgl") as b,
            ):
                wanted = expected(path, 0, 30, 41)
                assert await follow(a, wanted[-1][0]) == wanted
                with hz.open_recording(path) as recording:
                    start, last = recording.seek(80, 1), recording.observers[1].last_tick
                assert await follow(b, last) == expected(path, 1, start, 1_000)
                # Back to the beginning, which is before what it has acknowledged, and on from there.
                await a.send("seek", tick=1)
                assert (await a.next_frame()).tick == 1
                await a.send("speed", value=1e9)
                assert (await follow(a, last_of(path)))[-1] == expected(path, 0, 0, 1_000)[-1]
                await b.send("seek", tick=60)
                assert (await follow(b, last))[-1] == expected(path, 1, start, 1_000)[-1]
            assert playback.report()["refusals"] == {}

    asyncio.run(asyncio.wait_for(work(), TIMEOUT_S))


def test_a_loop_goes_on(path):
    async def work():
        async with playing(path, speed=50.0, loop=True) as playback, hz.connect(playback.ws_url) as client:
            ticks = []
            while len([t for t in ticks if t == 1]) < 4:
                ticks.append((await client.next_frame()).tick)
            return ticks

    ticks = asyncio.run(asyncio.wait_for(work(), TIMEOUT_S))
    with hz.open_recording(path) as recording:
        whole = [tick for tick, _ in recording.frames()]
    assert ticks == whole * 3 + [1]


@pytest.mark.parametrize("query", ["?observer=7", "?speed=-1", "?tick=soon"])
def test_an_address_that_asks_for_what_cannot_be_is_refused(path, query):
    async def work():
        async with playing(path) as playback:
            with pytest.raises(ConnectionClosed, match=query[1:].split("=")[0]) as closed:
                await hz.connect(playback.ws_url + query)
            assert closed.value.code == 4000
            assert playback.report()["refusals"] == {"4000": 1}
            with pytest.raises(ArgumentError, match="started once"):
                await playback.start()

    asyncio.run(work())


def test_a_file_that_is_corrupted_is_told(path, tmp_path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken.hzr"
    broken.write_bytes(data)

    async def work():
        async with playing(broken, speed=50.0) as playback, hz.connect(playback.ws_url) as client:
            with pytest.raises(ConnectionClosed, match="corrupted") as closed:
                await follow(client, N_TICKS)
            assert closed.value.code == 1011

    asyncio.run(work())


def test_a_client_that_does_not_answer_is_waited_for_and_given_up(path):
    async def work():
        config = ServerConfig(host="127.0.0.1", port=0, window_s=0.1, stall_timeout_s=0.3)
        async with playing(path, config=config) as playback, hz.connect(playback.ws_url) as client:
            await client._connection.wait_closed()  # it reads nothing
            assert playback.report()["refusals"] == {"4006": 1}
            assert playback.report()["frames"] < 30
            assert client.replica.tick == -1

    asyncio.run(asyncio.wait_for(work(), TIMEOUT_S))


def test_the_javascript_client_sees_the_same(path):
    async def work():
        async with playing(path, speed=50.0) as playback:
            command = [_node(), str(ROOT / "tests/js/verify.mjs"), playback.ws_url, "1.5"]
            node = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            out, _ = await asyncio.wait_for(node.communicate(), TIMEOUT_S)
            assert node.returncode == 0, out[-2_000:]
            return [json.loads(line) for line in out.splitlines()]

    _, *frames, summary = asyncio.run(work())
    assert summary["summary"]["code"] == 1000
    told = expected(path, 0, 0, 1_000)
    assert [frame["tick"] for frame in frames] == [tick for tick, _ in told]
    for frame, (_, rows) in zip(frames, told, strict=True):
        table = {str(handle): [mask, [q[: len(q)] for q in values]] for handle, _, mask, _, values in rows}
        assert {h: [mask, q[: len(table[h][1])]] for h, (mask, q) in frame["table"].items()} == table
