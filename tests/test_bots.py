"""The recorder that feeds the bots: it writes what they can read, waits for them, and doesn't outlast them."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

import horizon_ecs as hz
from horizon_ecs import bots
from horizon_ecs.errors import CapacityError
from horizon_ecs.net.players import Player
from horizon_ecs.record import RecordReader
from horizon_ecs.replay import replay_world
from horizon_ecs.tracks import Tracks
from tests.test_replay import make_tracks

N_RECORDS = 3


class Stand:
    """A recorder over a small world, with what it needs of a server; one observer is a bot, one is not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tracks: Tracks) -> None:
        monkeypatch.setattr(bots, "N_RECORDS", N_RECORDS)
        self.replay = replay_world(tracks)
        replicator = hz.Replicator(self.replay.world)
        self.bot, other = replicator.add_observer(), replicator.add_observer()
        self.server = SimpleNamespace(replicator=replicator, players={other: Player("bot", {"record": "?"}, "")})
        self.recorder = bots.Recorder()
        self.name = self.recorder.open(self.server, 1)

    def join(self) -> None:
        self.server.players[self.bot] = Player("bot", {"record": self.name}, "")

    def tick(self) -> None:
        self.replay.world.tick()
        self.server.replicator.step()
        self.recorder.write(self.server)


@pytest.fixture
def stand(monkeypatch):
    stand = Stand(monkeypatch, make_tracks())
    yield stand
    stand.recorder.close()


def test_it_writes_from_the_first_bot_on_and_of_bots_only(stand):
    with RecordReader(stand.name) as reader:
        stand.tick()
        assert reader.read() is None  # whoever calls itself a bot is none
        stand.join()
        stand.tick()
        assert reader.read().observers["key"].tolist() == [stand.bot]
        del stand.server.players[stand.bot]
        stand.tick()
        assert reader.read().tick == 3  # ticks have to follow each other


def test_it_gives_up_waiting_for_bots_that_read_nothing(stand, monkeypatch):
    monkeypatch.setattr(bots, "LAG_TIMEOUT_S", 0.15)
    stand.join()
    for _ in range(N_RECORDS):
        stand.tick()
    with pytest.raises(CapacityError, match="the ring is full"):
        stand.tick()


def test_at_the_end_it_waits_for_nobody(stand):
    stand.join()
    for _ in range(N_RECORDS):
        stand.tick()
    ended = []
    ticking = threading.Thread(target=lambda: ended.append(stand.tick()))
    ticking.start()
    stand.recorder.end()
    ticking.join(60)
    assert ended == [None]  # it came back, and without an error
    stand.tick()
