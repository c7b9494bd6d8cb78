"""The oracle agrees with replicator and replica over random worlds, and sees it when they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import b1, f4, f8, i2, u4
from horizon_ecs.errors import ArgumentError
from horizon_ecs.oracle import Oracle
from horizon_ecs.record import Record, capture
from horizon_ecs.rules import Rules, Track

RATE = 60.0


@hz.component
class Position:
    x: f4
    y: f4
    z: f4


@hz.component
class Velocity:
    x: f4
    y: f4


@hz.component
class Health:
    hp: i2 = 100
    badges: u4 = 7
    awake: b1 = True


@hz.component
class Orbit:
    height: f8


def make_kinds(periods: tuple[int, int, int], far: float) -> list[hz.Kind]:
    """Three replicated kinds and one that stays on the server; rocks are sent so seldom that nothing predicts them."""
    fast, middle, slow = (RATE / p for p in periods)
    ship = hz.Kind(
        "Ship", Position, Velocity, Health, Orbit,
        layers=[
            hz.Layer(0, 20.0, fast, [Position], 1 / 64),
            hz.Layer(2, 40.0, middle, [Position, Health, Orbit], {Position: 1 / 16, Orbit: 1e-3}),
            hz.Layer(3, far, slow, [Velocity, Position], {Position: 1 / 4}),
        ],
        profiles={"docked": [hz.Layer(2, 30.0, slow, [Position, Health], 1 / 8)], "gone": []},
    )  # fmt: skip
    rock = hz.Kind("Rock", Position, layers=[hz.Layer(1, 30.0, RATE / 150, [Position], 1 / 8)])
    crate = hz.Kind("Crate", Position, Health, layers=[hz.Layer(0, 25.0, middle, [Health])])
    return [hz.Kind("Tree", Position), ship, rock, crate]


class Game:
    """A random small world with observers that come, go, are held and reset; replicas of theirs, and the oracle."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        first, second, third = sorted(int(p) for p in rng.choice([1, 2, 3, 4, 7], 3))
        self.kinds = make_kinds((first, second, third), math.inf if seed % 2 else 70.0)
        self.world = hz.World(5_000, tick_rate=RATE, kinds=self.kinds)
        hysteresis = float(rng.choice([0.0, 0.1, 0.5]))
        self.replicator = hz.Replicator(
            self.world, n_threads=1, max_observers=16, max_followed=512, hysteresis=hysteresis
        )
        self.oracle = Oracle(self.replicator.schema, hysteresis=hysteresis)
        self.clients: dict[int, tuple[int, hz.Replica]] = {}
        self.n_joined = 0
        self.handles = np.zeros(0, np.uint64)
        self.spawn(40)

    def spawn(self, most: int) -> None:
        for kind in self.kinds:
            n = int(self.rng.integers(0, most))
            where = self.rng.uniform(-50, 50, (n, 3)) * [1, 1, 0.2]
            self.handles = np.append(self.handles, self.world.spawn(kind, n, Position=where))

    def disturb(self) -> None:
        """Births, deaths, moves, values at the edges of what a field holds."""
        rng, world = self.rng, self.world
        if len(self.handles) and rng.random() < 0.5:
            keep = rng.random(len(self.handles)) > 0.03
            world.despawn(self.handles[~keep])
            self.handles = self.handles[keep]
        if rng.random() < 0.5:
            self.spawn(4)
        ships = world.query(Orbit).handles
        if len(ships) and rng.random() < 0.3:
            some = rng.choice(ships, 3)
            self.replicator.set_profile(some, str(rng.choice(["default", "docked", "gone"])))
            self.replicator.set_radius_scale(some, rng.choice([0.5, 1.0, 1.7], 3))
        slots = world.slots_of(self.handles).astype(np.intp)
        world[Position].x[slots] += rng.normal(0, 2, len(slots))
        world[Position].y[slots] += rng.normal(0, 2, len(slots))
        strange = {
            (Position, "x"): [math.nan, math.inf, 1e30, 0.0],
            (Velocity, "x"): [math.nan, -0.0, 1.5],
            (Health, "hp"): [-(2**15), 2**15 - 1, 0],
            (Health, "badges"): [2**32 - 1, 2**31, 5],
            (Health, "awake"): [True, False],
            (Orbit, "height"): [1e300, -1e7, 0.0005, math.nan],
        }
        for (component, field), values in strange.items():
            if rng.random() < 0.2:
                world.column(component, field)[rng.choice(slots)] = rng.choice(values)

    def join(self) -> None:
        entity = int(self.rng.choice(self.handles)) if self.rng.random() < 0.6 else 0
        observer = self.replicator.add_observer(entity=entity, position=self.rng.uniform(-40, 40, 3))
        phase = self.replicator.phase(observer)
        self.clients[self.n_joined] = observer, hz.Replica(self.replicator.schema, phase=phase)
        self.oracle.add_observer(self.n_joined, phase=phase)
        self.n_joined += 1

    def shuffle_observers(self) -> None:
        rng, r = self.rng, self.replicator
        if len(self.clients) < 5 and rng.random() < 0.4:
            self.join()
        for key, (observer, _) in list(self.clients.items()):
            held, chance = r.status[observer] == 2, rng.random()
            if chance < 0.01:
                r.remove_observer(observer)
                self.oracle.remove_observer(key)
                del self.clients[key]
            elif held and chance < 0.3:
                r.resume(observer)
            elif not held and chance < 0.05:
                r.hold(observer)
            elif not held and chance < 0.08:
                r.resume(observer)  # a reset frame out of turn
            elif chance < 0.11:
                r.set_slowdown(observer, int(rng.choice([1, 2, 4, 8])))
            elif r.entity[observer] == 0:
                r.position[observer, :2] += rng.normal(0, 3, 2)

    def step(self) -> Record:
        """Replicate, let every client apply its frame and the oracle take in the tick."""
        frames = self.replicator.step()
        record = capture(self.replicator, {key: observer for key, (observer, _) in self.clients.items()})
        sent = self.oracle.advance(record)
        by_number = {observer: key for key, (observer, _) in self.clients.items()}
        assert sorted(sent) == sorted(by_number[o] for o in frames.observers.tolist())
        for o, start, stop in zip(frames.observers.tolist(), frames.payload, frames.stop, strict=True):
            self.clients[by_number[o]][1].apply(frames.buffer[start:stop])
        return record

    def tick(self) -> None:
        self.disturb()
        self.world.tick()
        self.shuffle_observers()
        self.step()

    def check(self) -> int:
        """Every client against the oracle; how many values were compared."""
        checked = 0
        for key, (_, replica) in self.clients.items():
            verdict = self.oracle.compare(key, replica)
            assert (verdict.mismatches, verdict.first) == (0, "")
            checked += verdict.checked
        return checked


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_over_random_worlds(seed):
    game = Game(seed)
    checked = 0
    for _ in range(60):
        game.tick()
        checked += game.check()
    assert checked > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_it_agrees_for_longer(seed):
    game = Game(seed)
    for _ in range(400):
        game.tick()
        game.check()


class Watched:
    """A replicator, some observers of it, their replicas and the oracle."""

    def __init__(self, world: hz.World, places: list[dict], **options) -> None:
        self.world = world
        self.replicator = r = hz.Replicator(world, n_threads=1, max_observers=len(places), **options)
        self.oracle = Oracle(r.schema, hysteresis=r.hysteresis)
        self.replicas = {}
        for place in places:
            observer = r.add_observer(**place)
            self.replicas[observer] = hz.Replica(r.schema, phase=r.phase(observer))
            self.oracle.add_observer(observer, phase=r.phase(observer))

    def tick(self) -> int:
        """One tick, every frame applied; how many values all clients' tables have right."""
        self.world.tick()
        frames = self.replicator.step()
        self.oracle.advance(capture(self.replicator, list(self.replicas)))
        for o, start, stop in zip(frames.observers.tolist(), frames.payload, frames.stop, strict=True):
            self.replicas[o].apply(frames.buffer[start:stop])
        verdicts = [self.oracle.compare(o, replica) for o, replica in self.replicas.items()]
        assert [v.first for v in verdicts if v.mismatches] == []
        return sum(v.checked for v in verdicts)


def test_it_agrees_through_silence():
    """A rock is due every 150 ticks: in between come only frames that show that the server lives, and tell of deaths."""
    rock = make_kinds((1, 1, 1), 50.0)[2]
    world = hz.World(1_000, tick_rate=RATE, kinds=[rock])
    rocks = world.spawn(rock, 50)
    watched = Watched(world, [{}, {}, {}])
    known = []
    for tick in range(320):
        if tick == 100:
            world.despawn(rocks[::2])
        if tick == 105:
            world.spawn(rock, 25)
        watched.tick()
        known.append([replica.n for replica in watched.replicas.values()])
    assert max(replica.n_frames for replica in watched.replicas.values()) < 12
    assert known[0] == known[99] == [50, 50, 50]
    assert any(25 in ns for ns in known)  # a frame out of turn told of the dead before the new ones were due
    assert known[-1] == [50, 50, 50]


def test_positions_in_the_plane():
    @hz.component
    class Place:
        x: f4
        y: f4

    kind = hz.Kind("Ant", Place, layers=[hz.Layer(0, 5.0, 60.0, [Place], 1 / 100)])
    world = hz.World(1_000, kinds=[kind])
    rng = np.random.default_rng(5)
    ants = world.spawn(kind, 300, Place=rng.uniform(-10, 10, (300, 2)))
    places = [{"position": (0.0, 0.0)}, {"position": (1.0, 2.0, 3.0)}, {"entity": int(ants[0])}]
    watched = Watched(world, places, position=Place)
    for _ in range(20):
        world[Place].x[:300] += rng.normal(0, 0.3, 300)
        assert watched.tick() == 2 * sum(replica.n for replica in watched.replicas.values()) > 0
    assert watched.replicas[1].n < watched.replicas[0].n  # it stands above them


def test_an_observer_may_stand_at_what_is_not_replicated():
    tree, _, rock, _ = make_kinds((1, 1, 1), 50.0)
    world = hz.World(1_000, tick_rate=RATE, kinds=[tree, rock])
    camera = world.spawn(tree, 1)
    rng = np.random.default_rng(6)
    world.spawn(rock, 200, Position=rng.uniform(-100, 100, (200, 3)))
    watched = Watched(world, [{"entity": int(camera[0])}])
    seen = set()
    for tick in range(1_000):
        if tick == 900:
            world.despawn(camera)
        elif tick < 900:
            world.set(camera, Position, {"x": tick / 10})
        watched.tick()
        seen.add(tuple(watched.replicas[0].handle.tolist()))
    assert len(seen) > 3


def test_pages_that_empty_at_the_end():
    """What lived in pages that are no longer used is gone."""
    ship = make_kinds((1, 2, 3), 1e6)[1]
    world = hz.World(5_000, tick_rate=RATE, kinds=[ship])
    ships = world.spawn(ship, 2_500)
    watched = Watched(world, [{}, {}])
    for tick in range(12):
        if tick == 5:
            world.despawn(ships[900:])
        if tick == 8:
            world.spawn(ship, 300)
        assert watched.tick() > 0
    assert watched.replicas[0].n == 1_200


@pytest.fixture(scope="module")
def played() -> Game:
    """A game some ticks on, with a client that follows many."""
    game = Game(1)
    for _ in range(25):
        game.tick()
    return game


def crowded(game: Game) -> tuple[int, hz.Replica]:
    key = max(game.clients, key=lambda k: game.clients[k][1].n)
    return key, game.clients[key][1]


def copy_of(replica: hz.Replica) -> hz.Replica:
    """A replica that can be tampered with."""
    twin = object.__new__(hz.Replica)
    state = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in vars(replica).items()}
    vars(twin).update(state)
    return twin


def test_every_tampered_value_is_reported(played):
    key, replica = crowded(played)
    expected = played.oracle.expected(key)
    by_handle = {int(h): i for i, h in enumerate(expected.handle)}
    n = 0
    for row in range(0, replica.n, 7):
        i = by_handle[int(replica.handle[row])]
        for group in np.flatnonzero(expected.known[i]):
            for field in range(int(expected.n_fields[expected.kind[i], group])):
                twin = copy_of(replica)
                twin.q(int(group))[row, field] += 1
                verdict = played.oracle.compare(key, twin)
                assert verdict.mismatches == 1
                assert f"{int(replica.handle[row]):#x}: group {group} field {field} is " in verdict.first
                n += 1
    assert n > 10


@pytest.mark.parametrize("name", ["mask", "stale", "kind"])
def test_tampered_state_is_reported(played, name):
    key, replica = crowded(played)
    twin = copy_of(replica)
    getattr(twin, name)[3] ^= 1
    verdict = played.oracle.compare(key, twin)
    assert verdict.mismatches == 1
    assert f"{int(replica.handle[3]):#x}: {name} " in verdict.first


def test_a_missing_entity_is_reported(played):
    key, replica = crowded(played)
    twin = copy_of(replica)
    dropped = int(twin.handle[-1])
    twin._head[1] -= 1
    verdict = played.oracle.compare(key, twin)
    assert verdict.mismatches == 1
    assert f"entity {dropped:#x} is missing" in verdict.first
    assert 0 < verdict.checked < played.oracle.compare(key, replica).checked


@pytest.mark.parametrize("handle", [7 << 32, 5 << 32 | 4_000, 1 << 32 | 0xFFFFFFFF])
def test_a_strange_entity_is_reported(played, handle):
    key, replica = crowded(played)
    twin = copy_of(replica)
    assert handle not in replica.handle
    twin.handle[2] = handle
    verdict = played.oracle.compare(key, twin)
    assert verdict.mismatches == 2  # it, and the one in whose place it stands
    assert f"{int(replica.handle[2]):#x} is missing" in verdict.first


def test_an_entity_that_is_there_twice_is_reported(played):
    key, replica = crowded(played)
    twin = copy_of(replica)
    twin._head[1] += 1
    for array in (twin._identity, twin._state, twin._q):
        array[replica.n] = array[0]
    verdict = played.oracle.compare(key, twin)
    assert verdict.mismatches == 1
    assert f"{int(replica.handle[0]):#x} should not be there, or not twice" in verdict.first


def test_the_last_life_of_a_slot_is_not_this_one(played):
    key, replica = crowded(played)
    twin = copy_of(replica)
    twin.handle[0] += np.uint64(1 << 32)
    assert played.oracle.compare(key, twin).mismatches == 2


@pytest.mark.parametrize("wrong", ["hysteresis", "phase", "column", "position", "reset"])
def test_a_server_that_did_otherwise_is_reported(wrong):
    """The same as if the server were wrong: an oracle that is told something else."""
    game = Game(4)
    oracle = Oracle(game.replicator.schema, hysteresis=game.replicator.hysteresis + (wrong == "hysteresis"))
    joined: set[int] = set()
    mismatches = 0
    for _ in range(40):
        game.disturb()
        game.world.tick()
        game.shuffle_observers()
        record = game.step()
        if wrong == "column":
            record.columns["Position.x"][record.kind >= 0] += 0.5
        if wrong == "position":
            record.observers["position"] += 5
            record.observers["entity"] = 0
        if wrong == "reset":
            record.observers["reset"][record.observers["key"] > 0] = 0
        for key in set(game.clients) - joined:
            oracle.add_observer(key, phase=game.replicator.phase(game.clients[key][0]) + (wrong == "phase"))
        joined |= set(game.clients)
        oracle.advance(record)
        mismatches += sum(oracle.compare(key, replica).mismatches for key, (_, replica) in game.clients.items())
    assert mismatches > 0


def test_expected_is_sorted_and_says_what_it_knows(played):
    key, replica = crowded(played)
    expected = played.oracle.expected(key)
    order = np.argsort(replica.handle)
    assert expected.tick == replica.tick == played.oracle.sent_tick(key)
    assert expected.handle.tolist() == replica.handle[order].tolist()
    assert expected.mask.tolist() == replica.mask[order].tolist()
    assert expected.stale.tolist() == replica.stale[order].tolist()
    for group in range(expected.q.shape[1]):
        known = expected.known[:, group]
        assert (expected.q[known, group] == replica.q(group)[order][known]).all()
        assert not expected.q[~known, group].any()


def test_what_was_before_the_oracle_came_is_not_judged():
    """One that comes later hasn't seen the last due tick of slow channels, and says so instead of guessing."""
    game = Game(2)
    for _ in range(5):
        game.disturb()
        game.world.tick()
        game.replicator.step()
    game.join()
    game.world.tick()
    game.step()
    assert not game.oracle.expected(0).known.all()
    for _ in range(20):
        game.check()
        game.world.tick()
        game.step()


def test_misuse_is_refused(played):
    oracle = Oracle(played.replicator.schema, hysteresis=0.1)
    record = capture(played.replicator, [])
    oracle.add_observer(5, phase=0)
    assert 5 in oracle
    assert 6 not in oracle
    with pytest.raises(ArgumentError, match="observer 5 already"):
        oracle.add_observer(5, phase=1)
    with pytest.raises(ArgumentError, match="no observer 6"):
        oracle.remove_observer(6)
    with pytest.raises(ArgumentError, match="no observer 6"):
        oracle.expected(6)
    oracle.advance(record)
    with pytest.raises(ArgumentError, match=f"the last was of tick {record.tick}, this is of {record.tick}"):
        oracle.advance(record)
    with pytest.raises(
        ArgumentError, match=r"its client stands at tick \d+, and the last frame it was sent is of tick -1"
    ):
        oracle.compare(5, crowded(played)[1])
    with pytest.raises(ArgumentError, match="not a schema as docs/wire.md has it: KeyError"):
        Oracle({"kinds": [{"name": "Ship"}], "n_channels": 1}, hysteresis=0.1)


def test_quantising():
    def quantise(codec, values, scale=1.0, previous=(), newborn=()):
        born = np.isin(np.arange(len(values)), newborn)
        return Track(("P.x",), codec, scale).quantise([values], np.array(previous, np.int32), born).tolist()

    halves = np.array([0.5, 1.5, 2.5, -0.5, 0.3], np.float32)
    assert quantise("quantised", halves) == [0, 2, 2, 0, 0]
    assert quantise("quantised", halves, 0.5) == [1, 3, 5, -1, 1]
    assert quantise("quantised", np.array([1e30, -1e30])) == [2**31 - 1, -(2**31)]
    assert quantise("quantised", np.array([math.nan, math.inf, 3.0]), 1.0, [7]) == [7, 0, 3]
    assert quantise("quantised", np.array([math.nan, math.nan]), 1.0, [7, 8], newborn=[1]) == [7, 0]
    assert quantise("integer", np.array([2**32 - 1, 5], np.uint32)) == [-1, 5]
    assert quantise("integer", np.array([-128, 127], np.int8)) == [-128, 127]
    assert quantise("integer", np.array([True, False])) == [1, 0]
    assert quantise("bits", np.array([1.0, -0.0], np.float32)) == [0x3F800000, -(2**31)]


def test_rules_of_a_schema():
    game = Game(1)
    ship = Rules(game.replicator.schema, 0.5).kinds[0]
    assert ship.channels == 0b1101
    assert ship.enter_sq.tolist() == [400, -1, 1600, math.inf]
    assert ship.leave_sq.tolist() == [900, -1, 3600, math.inf]
    assert ship.n_fields.tolist() == [3, 2, 3, 1]
    assert ship.carrier[0, [0, 1, 4, 5, 8, 12]].tolist() == [255, 0, 2, 0, 3, 2]
    assert ship.carrier[1, [0, 1, 4, 8, 13]].tolist() == [255, 255, 255, 3, 3]
    assert ship.groups_due(0b0001)[[0, 1, 4, 13]].tolist() == [0, 1, 0, 1]
    assert ship.groups_due(0b0100)[[4, 13]].tolist() == [0b1101, 0b1100]
    assert ship.groups_moved(np.array([1, 4, 12], np.uint8), np.array([5, 12, 13], np.uint8)).tolist() == [12, 2, 1]
