"""A million entities of which a tenth is replaced every tick: memory stays flat, and no handle names a stranger."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, f4, i2, u8
from horizon_ecs.columns import PAGE

N = 1_000_000
N_TICKS = 600
SETTLED = 60
GROWTH_BYTES = 4 * 2**20  # a bit for every entity that came and went would be 7 MiB


@hz.component
class Id:
    number: u8


@hz.component
class Place:
    x: f4
    y: f4


@hz.component
class Age:
    ticks: i2


Plant = hz.Kind("Plant", Id, Place)
Animal = hz.Kind("Animal", Id, Age)


@hz.system
def grow(age: Write[Age]):
    age.ticks += 1


def resident_bytes() -> int:
    """What of this process lies in memory, without what its allocator only keeps for later."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


class Reservoir:
    """A bounded sample of every handle that was ever given out, with the number that its entity carries."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self.handles, self.numbers = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
        self.n = self._seen = 0

    def take(self, handles: np.ndarray, numbers: np.ndarray) -> None:
        """Each of them replaces an older one with the chance that keeps the sample even."""
        fits = min(len(handles), len(self.handles) - self.n)
        places = np.arange(self.n, self.n + fits)
        seen = self._seen + np.arange(fits, len(handles)) + 1
        late = (self._rng.random(len(seen)) * seen).astype(np.int64)
        keep = late < len(self.handles)
        for where, some in ((places, slice(0, fits)), (late[keep], np.flatnonzero(keep) + fits)):
            self.handles[where], self.numbers[where] = handles[some], numbers[some]
        self.n, self._seen = self.n + fits, self._seen + len(handles)


class Turnover:
    """A world; the number that lives in each slot, by what we did; and a sample of all handles."""

    def __init__(self, n: int) -> None:
        # A quarter more, as both kinds keep pages that aren't full.
        self.world = hz.World(capacity=n + n // 4)
        self.world.add_system(grow)
        self.rng = np.random.default_rng(11)
        self.living = {kind: np.zeros(0, np.uint64) for kind in (Plant, Animal)}
        self.numbers = np.zeros(self.world.n_slots, np.uint64)
        self.given_out = 0
        self.sample = Reservoir(n, self.rng)
        for kind in self.living:
            self.spawn(kind, n // 2)

    def spawn(self, kind: hz.Kind, n: int) -> None:
        """So many, each with a number of its own."""
        numbers = np.arange(self.given_out + 1, self.given_out + n + 1, dtype=np.uint64)
        handles = self.world.spawn(kind, n, Id=numbers)
        self.given_out += n
        slots = slots_in(handles)
        assert not self.numbers[slots].any(), "a slot was given out twice"
        self.numbers[slots] = numbers
        self.living[kind] = np.concatenate([self.living[kind], handles])
        self.sample.take(handles, numbers)

    def replace(self, share: float) -> None:
        """A random share of each kind ends, and as many are born, not always of the same kind."""
        n_ended = 0
        for kind, handles in self.living.items():
            keep = self.rng.random(len(handles)) >= share
            ended = handles[~keep]
            n_ended += self.world.despawn(ended)
            self.numbers[slots_in(ended)] = 0
            self.living[kind] = handles[keep]
        n_plants = int(n_ended * self.rng.uniform(0.4, 0.6))
        self.spawn(Plant, n_plants)
        self.spawn(Animal, n_ended - n_plants)

    def check(self) -> None:
        """Whoever of the sample lives has its number; every other handle is refused."""
        world, n = self.world, self.sample.n
        handles, numbers = self.sample.handles[:n], self.sample.numbers[:n]
        slots = slots_in(handles)
        lives = self.numbers[slots] == numbers
        np.testing.assert_array_equal(world.alive(handles), lives)
        np.testing.assert_array_equal(world[Id].number[slots[lives]], numbers[lives])
        assert len(world) == sum(len(handles) for handles in self.living.values())


@hz.resource
class Share:
    """Which tenth of the numbers ends in a tick."""

    tenth: u8


@hz.system
def renew(entity: hz.Entity, one: Read[Id], share: Res[Share], cmd: hz.Commands):
    """Who is of that tenth ends, and leaves one with a new number of the same tenth."""
    if one.number % 10 == share.tenth:
        cmd.despawn(entity)
        cmd.spawn(Plant, Id(one.number + 10 * N), Place(1.0, 2.0))


def slots_in(handles: np.ndarray) -> np.ndarray:
    """The slot that each handle names, whoever lives there."""
    return (handles & np.uint64(0xFFFFFFFF)).astype(np.intp)


def run(n: int, n_ticks: int, measure: Callable[[], int] = lambda: 0) -> list[int]:
    """Replace a tenth of `n` entities a tick; what was measured after every twentieth tick."""
    turnover = Turnover(n)
    memory = []
    for number in range(n_ticks):
        turnover.replace(0.1)
        turnover.world.tick()
        turnover.check()
        if number % 20 == 19:
            memory.append(measure())
    assert turnover.given_out > n * (1 + n_ticks // 11)
    for kind, handles in turnover.living.items():
        assert turnover.world.query(kind=kind).handles.tolist() == sorted(
            handles.tolist(), key=lambda h: h & 0xFFFFFFFF
        )
    return memory


def renew_all(n: int, n_ticks: int, measure: Callable[[], int] = lambda: 0) -> list[int]:
    """The same by a jitted system's commands; what was measured after every twentieth tick."""
    world = hz.World(capacity=n + n // 4)
    world.insert(Share(0))
    sample = Reservoir(n, np.random.default_rng(11))
    sample.take(world.spawn(Plant, n, Id=np.arange(n)), np.arange(n, dtype=np.uint64))
    world.tick()
    world.add_system(renew)
    memory = []
    for number in range(n_ticks):
        world.resource(Share).tenth = number % 10
        world.tick()
        handles = world.query().handles
        numbers = world[Id].number[world.slots_of(handles)]
        assert len(numbers) == len(world) == n
        assert np.diff(np.sort(numbers)).all()
        fresh = world.born[world.slots_of(handles)] == world.tick_count
        assert n // 10 <= fresh.sum() <= n // 10 + 1
        sample.take(handles[fresh], numbers[fresh])
        lives = np.isin(sample.numbers, numbers, assume_unique=True)
        np.testing.assert_array_equal(world.alive(sample.handles), lives)
        np.testing.assert_array_equal(world[Id].number[slots_in(sample.handles[lives])], sample.numbers[lives])
        if number % 20 == 19:
            memory.append(measure())
    return memory


def test_no_handle_names_a_stranger():
    run(12 * PAGE, 20)
    renew_all(3 * PAGE, 20)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc, and trims glibc's heap")
@pytest.mark.parametrize(("turnover", "n"), [(run, N), (renew_all, N // 10)], ids=["by arrays", "by commands"])
def test_turnover_takes_no_more_memory(turnover, n):
    memory = turnover(n, N_TICKS, resident_bytes)[SETTLED // 20 - 1 :]
    assert max(memory) - memory[0] < GROWTH_BYTES
