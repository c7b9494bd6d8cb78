"""Systems side by side: when that is done, what may overlap, and that it changes no byte."""

from __future__ import annotations

import itertools
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import Read, Res, Write, kernel, stage, tick_plan
from horizon_ecs.bound import Bound
from horizon_ecs.columns import PAGE
from horizon_ecs.stage import Stage
from horizon_ecs.stats import Timing
from horizon_ecs.tick_plan import conflicts
from tests.game import Frozen, Fuel, Health, Position, Rock, Ship, Velocity
from tests.kernels import every_system_shared


@pytest.fixture
def shared(monkeypatch):
    every_system_shared(monkeypatch)


@hz.system
def move(pos: Write[Position], vel: Read[Velocity], time: Res[hz.Time]):
    pos.x += vel.x * time.dt
    pos.y += vel.y * time.dt


@hz.system(without=[Frozen])
def steer(vel: Write[Velocity], pos: Read[Position]):
    vel.x += pos.y * 0.5
    vel.y -= pos.x * 0.5


@hz.system
def starve(entity: hz.Entity, health: Write[Health], cmd: hz.Commands):
    health.hp -= 1
    if health.hp % 7 == 0:
        cmd.despawn(entity)
    if health.hp % 5 == 0:
        cmd.add(entity, Fuel)


@hz.system(after=["starve"])
def freeze(entity: hz.Entity, pos: Read[Position], cmd: hz.Commands):
    if pos.x > 0.5:
        cmd.add(entity, Frozen)
    else:
        cmd.remove(entity, Frozen)


@hz.system(with_=[Frozen])
def melt(entity: hz.Entity, vel: Read[Velocity], cmd: hz.Commands):
    if vel.y < 0.2:
        cmd.remove(entity, Frozen)


@hz.system(form="columns", jit=True)
def leak(fuel: Write[Fuel], vel: Read[Velocity]):
    for i in range(len(fuel)):
        fuel.amount[i] -= 0.01 * vel.x[i]


@hz.system(every=2)
def wobble(pos: Write[Position]):
    pos.z += pos.x * pos.y


@hz.system(on_error="skip")
def trip(health: Write[Health], pos: Read[Position]):
    health.hp += 1
    if pos.x > 0.99:
        raise ValueError("trip")


@hz.system(form="columns", phase="react")
def cull(entity: hz.Entity, pos: Read[Position], health: Read[Health], cmd: hz.Commands):
    cmd.despawn(entity[pos.x + health.hp > 99.0])  # type: ignore[index]


def hot(world: hz.World) -> bool:
    return bool(world[Position].x[world.query(Position).slots].sum() % 2 < 1)


@hz.system(run_if=hot)
def refuel(fuel: Write[Fuel], health: Read[Health]):
    fuel.amount += health.hp


@hz.event
class Spark:
    x: hz.f4


@hz.component
class Aim:
    target: hz.Entity


Scout = hz.Kind("Scout", Position, Aim, optional=[Frozen])


@hz.system
def breed(entity: hz.Entity, health: Read[Health], pos: Read[Position], cmd: hz.Commands, out: hz.Emit[Spark]):
    if health.hp % 11 == 0:
        cmd.spawn(Rock, Position(pos.x, health.hp))
        out.emit(Spark(pos.y))
    if health.hp % 13 == 0:
        cmd.spawn(Scout, Aim(entity))


@hz.system
def glow(pos: Read[Position], out: hz.Emit[Spark]):
    if pos.z > 0.7:
        out.emit(Spark(pos.z))


@hz.system
def jitter(vel: Write[Velocity], rng: hz.Random):
    vel.z += rng.normal()


@hz.system
def follow(pos: Write[Position], aim: Read[Aim], health: hz.Lookup[Health], vel: hz.Lookup[Velocity]):
    pos.x += health[aim.target].hp + vel[aim.target].z


@hz.system
def sip(health: Read[Health], fuel: Write[Fuel] | None):
    if fuel:
        fuel.amount *= 0.5


@hz.system(form="columns")
def burn(pos: Write[Position], world: hz.World, rng: hz.Random):
    sparks = world.events(Spark)
    pos.y += sparks.x.sum(dtype="f8") * len(sparks) + rng.uniform()


SYSTEMS = (move, steer, starve, freeze, melt, leak, wobble, trip, cull, refuel, breed, glow, jitter, follow, sip, burn)


def crowd(n_threads: int, *systems: hz.System) -> hz.World:
    """Full pages, a mixed page with holes, and the tail of one."""
    rng = np.random.default_rng(5)
    n = 2 * PAGE + 100
    world = hz.World(capacity=8 * PAGE, tick_rate=50, n_threads=n_threads)
    health = rng.integers(1, 100, n)
    ships = world.spawn(Ship, n, Position=rng.random((n, 3)), Velocity=rng.random((n, 3)), Health=health)
    world.spawn(Rock, 50, Position=rng.random((50, 3)))
    world.spawn(Scout, 200, Aim=ships[:200])
    world.add(ships[PAGE:], Fuel)
    world.add(ships[PAGE : 2 * PAGE : 5], Frozen)
    world.despawn(ships[PAGE + 2 : 2 * PAGE : 9])
    world.add_system(*systems)
    return world


@given(st.lists(st.sampled_from(SYSTEMS), unique=True, min_size=1))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_neither_stages_nor_threads_change_a_byte(systems):
    systems = [*systems, *([starve] if freeze in systems and starve not in systems else [])]
    with pytest.MonkeyPatch.context() as patch:
        every_system_shared(patch)
        worlds = [crowd(n_threads, *systems) for n_threads in (1, 3)]
        with patch.context() as ordered:
            ordered.setattr(tick_plan, "_stages", lambda order, waits: tuple((system,) for system in order))
            worlds.append(crowd(1, *systems))
        for _ in range(4):
            for world in worlds:
                world.tick()
            assert len({world.digest() for world in worlds}) == 1
        failures = [[t.failures for t in world.stats().systems.values()] for world in worlds]
        assert failures[0] == failures[1] == failures[2]


def bound_systems(world: hz.World) -> list[Bound]:
    return list(world.schedule._bound.values())


def before_each_part(world: hz.World, call) -> None:
    """Have `call(system, "begin" or "end")` called around every part that runs."""
    for bound in bound_systems(world):

        def part(number, n_parts, bound=bound, inner=bound.runner.part):
            call(bound.system, "begin")
            try:
                inner(number, n_parts)
            finally:
                call(bound.system, "end")

        bound.runner.part = part  # type: ignore[method-assign]


def test_systems_that_do_not_disturb_each_other_overlap(shared):
    both = threading.Barrier(2, timeout=60)
    world = crowd(2, move, starve)
    for bound in bound_systems(world):
        bound.splits = False
    before_each_part(world, lambda system, what: what == "begin" and both.wait())
    world.tick()  # neither begins before the other has


def test_parts_of_one_system_overlap(shared):
    both = threading.Barrier(2, timeout=60)
    world = crowd(2, move)
    before_each_part(world, lambda system, what: what == "begin" and both.wait())
    world.tick()
    assert world.stats().systems["move"].runs == 1


def test_systems_that_disturb_each_other_never_overlap(shared):
    log: list[tuple[hz.System, str]] = []  # appending is one step for all threads
    world = crowd(3, *SYSTEMS)
    before_each_part(world, lambda system, what: log.append((system, what)))
    world.run(4)
    running: list[hz.System] = []
    for system, what in log:
        if what == "end":
            running.remove(system)
        else:
            assert [s.name for s in running if s is not system and conflicts(s, system)] == []
            assert not any(system.is_plain or s.is_plain for s in running)
            running.append(system)
    assert running == []
    started = {s: [i for i, (t, what) in enumerate(log) if t is s and what == "begin"] for s in (starve, freeze)}
    assert started[starve][0] < started[freeze][0]


def checked(x):
    if x < 0:
        raise ValueError("negative")
    return x


def between(x):
    return checked(x) + 1


of_a_module = ModuleType("of_a_module")
of_a_module.checked = kernel.helper(checked)


def test_what_may_raise_is_not_split():
    @hz.system
    def asserting(health: Write[Health]):
        assert health.hp > -1000
        health.hp += 1

    @hz.system
    def calling(pos: Write[Position]):
        pos.x = between(pos.x)

    @hz.system
    def calling_of_a_module(pos: Write[Position]):
        pos.x = of_a_module.checked(pos.x)

    world = crowd(2, move, leak, trip, asserting, calling, calling_of_a_module, cull)
    splits = {b.system.name for b in bound_systems(world) if b.splits}
    assert splits == {"move", "leak"}


def test_an_error_of_any_step_is_the_systems(shared):
    @hz.resource
    class Wind:
        x: hz.f4

    @hz.system
    def drift(pos: Write[Position], wind: Res[Wind]):
        pos.x += wind.x

    world = crowd(2, drift, starve)
    with pytest.raises(hz.SystemFailure, match="'drift' failed in tick 1: ArgumentError: no resource Wind"):
        world.tick()
    world.insert(Wind(1.0))
    world.tick()
    drift_bound = bound_systems(world)[0]
    drift_bound.runner.end = lambda: 1 / 0  # type: ignore[method-assign, assignment]
    with pytest.raises(hz.SystemFailure, match="'drift' failed in tick 3 at .*: ZeroDivisionError"):
        world.tick()


def test_wrong_numbers_of_threads_are_refused():
    for n_threads in (0, -1, 1.5, True):
        with pytest.raises(hz.ArgumentError, match="n_threads must be a whole number of threads from 1, not"):
            hz.World(n_threads=n_threads)  # type: ignore[arg-type]
    assert hz.World(n_threads=3).schedule.n_threads == 3


def test_threads_are_those_of_the_environment_by_default(monkeypatch):
    monkeypatch.setenv("HORIZON_THREADS", "5")
    assert hz.World().schedule.n_threads == 5


# -- when it pays, on a clock that only the systems move ---------------------------------------------------------


class Machine:
    """A clock, and a crew of two whose threads have cores of their own or share one."""

    n_threads = 2

    def __init__(self) -> None:
        self.ns = 0
        self.cores = 2
        self.handed_over = 0

    def perf_counter_ns(self) -> int:
        return self.ns

    thread_time_ns = perf_counter_ns

    def run(self, work, n_parts: int) -> None:
        self.handed_over += 1
        begun = self.ns
        for part in range(n_parts):
            work(part, 0)
        self.ns = begun + (self.ns - begun) // self.cores + 20_000


class Fake:
    """A system that takes so many milliseconds."""

    parallel = True

    def __init__(self, machine: Machine, ms: float, *, splits: bool = True) -> None:
        self.machine, self.ms, self.splits = machine, ms, splits
        self.timing = Timing()
        self.runner = self

    def begin(self) -> None: ...

    def part(self, part: int, n_parts: int) -> None:
        self.machine.ns += int(self.ms * 1e6 / n_parts)

    def end(self) -> None: ...

    def run(self) -> None:
        self.part(0, 1)


def runs_of(monkeypatch, *costs_ms: float, splits: bool = True):
    machine = Machine()
    monkeypatch.setattr(
        stage, "time", SimpleNamespace(perf_counter_ns=machine.perf_counter_ns, thread_time_ns=machine.thread_time_ns)
    )
    systems = [Fake(machine, ms, splits=splits) for ms in costs_ms]
    tried = Stage(systems, machine)  # type: ignore[arg-type]

    def run(n: int = 1) -> list[bool]:
        out = []
        for _ in range(n):
            before = machine.handed_over
            assert tried.run(systems) == []  # type: ignore[arg-type]
            out.append(machine.handed_over > before)
        return out

    return run, systems, machine


@pytest.mark.parametrize(
    ("costs_ms", "splits", "pays"),
    [
        ([0.02] * 3, True, False),
        ([0.19], True, False),
        ([0.5], True, True),
        ([0.5], False, False),
        ([0.3, 0.3], False, True),
        ([0.6, 0.05], False, False),
    ],
)
def test_work_is_shared_where_that_saves_more_than_it_costs(monkeypatch, costs_ms, splits, pays):
    run, systems, _ = runs_of(monkeypatch, *costs_ms, splits=splits)
    assert run(4) == [False, pays, pays, pays]  # nothing is known at first
    assert [s.timing.runs for s in systems] == [4] * len(costs_ms)
    assert [s.timing.total_ms for s in systems] == pytest.approx([4 * ms for ms in costs_ms])


def test_sharing_that_saves_nothing_ends_and_is_tried_ever_more_rarely(monkeypatch):
    run, _, machine = runs_of(monkeypatch, 0.5)
    assert run(100)[1:] == [True] * 99
    machine.cores = 1
    tried = run(1_000)
    ends = [n for n, (a, b) in enumerate(itertools.pairwise(tried)) if a and not b]
    waits = [later - earlier for earlier, later in itertools.pairwise(ends)]
    assert len(waits) == 4
    assert all(later > 1.5 * earlier > 60 for earlier, later in itertools.pairwise(waits))
    machine.cores = 2
    assert run(2_000)[-1]


def test_sharing_does_not_flap_about_its_threshold(monkeypatch):
    run, (system,), _ = runs_of(monkeypatch, 0.25)
    assert run(3) == [False, True, True]
    for ms in (0.19, 0.2, 0.21, 0.19):
        system.ms = ms
        assert run(20) == [True] * 20
    system.ms = 0.12
    assert run(40)[-1] is False
    system.ms = 0.19
    assert run(100) == [False] * 100
