"""A World and its plain twin, driven side by side through everything that changes what lives: they stay equal."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import horizon_ecs as hz
from horizon_ecs.columns import PAGE
from horizon_ecs.systems import storage
from tests import twin_game
from tests.twin import Twin, Values
from tests.twin_game import (
    COMPONENTS,
    DEFAULTS,
    FATES,
    FORMS,
    KINDS,
    REFERENCES,
    SORTS,
    SYSTEMS,
    Name,
    Note,
    Ship,
    in_form,
    numbers_for,
)  # fmt: skip

seeds = st.integers(0, 2**16)
shares = st.sampled_from([0.1, 0.3, 0.5, 1.0])
few = st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.3, 1.0])
forms = st.sampled_from(FORMS)
kinds = st.sampled_from(list(KINDS))
components = st.sampled_from(list(COMPONENTS))
sets_of_components = st.sets(components, max_size=2)
relations = st.sampled_from(list(FATES))


populated = precondition(lambda self: self.twin.things)


class Machine(RuleBasedStateMachine):
    """Each rule does one thing to both; after each they are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.folder = tempfile.TemporaryDirectory()

    @initialize(crowded=st.sampled_from([False] * 5 + [True]), order=st.permutations(list(KINDS)))
    def begin(self, crowded: bool, order: list[str]) -> None:
        """A small world, in which slots are soon used again; or one with more than a page of ships."""
        capacity = PAGE + 60 if crowded else 40
        self.world = hz.World(capacity=capacity, kinds=[KINDS[name] for name in order])
        self.world.add_system(*SYSTEMS)
        self.spare = hz.World(capacity=capacity, kinds=self.world.kinds)
        self.spare.add_system(*SYSTEMS)
        self.twin = Twin(capacity, SORTS, DEFAULTS, REFERENCES, FATES)
        if crowded:
            self.twin.spawn(self.world.spawn(Ship, PAGE + 10).tolist(), "Ship", {})
        for number, kind in enumerate(order):
            self.spawn(kind, 5, "structured", number, {"Name", "Life", "Mind", "Note", "Parent", "Escort"})

    def teardown(self) -> None:
        self.folder.cleanup()

    def pick(self, seed: int, share: float, among: list[int] | None = None) -> list[int]:
        """Some of those that live, in random order."""
        among = list(self.twin.things) if among is None else among
        return (
            np.random.default_rng(seed)
            .permutation(np.array(among, np.uint64))[: math.ceil(share * len(among))]
            .tolist()
        )

    def a_dead_one(self, seed: int) -> int:
        """A handle whose entity has gone, or one that never was."""
        gone = list(self.twin.gone)
        return gone[seed % len(gone)] if gone else 1 << 32 | self.world.n_slots + seed

    def refuses(self, error: type[Exception], call: Any, *args: Any, **kwargs: Any) -> None:
        """The world refuses a call, and nothing is done."""
        before = self.world.signature.copy(), self.world.generation.copy(), self.world.structure_version
        with pytest.raises(error):
            call(*args, **kwargs)
        np.testing.assert_array_equal(self.world.signature, before[0])
        np.testing.assert_array_equal(self.world.generation, before[1])
        assert self.world.structure_version == before[2]

    # -- structure ---------------------------------------------------------------------------------------------

    @rule(kind=kinds, n=st.sampled_from([0, 1, 2, 5, 12, 30]), form=forms, seed=seeds, given=sets_of_components)
    def spawn(self, kind: str, n: int, form: str, seed: int, given: set[str]) -> None:
        rng = np.random.default_rng(seed)
        passed: dict[str, Any] = {}
        meant: dict[str, Values] = {}
        for component in sorted(given & (self.twin.required(kind) | self.twin.optional(kind))):
            passed[component], meant[component] = (
                in_form(component, form, n, rng, list(self.twin.things)) if DEFAULTS[component] else (True, {})
            )
        if len(self.twin.things) + n > self.twin.capacity:
            self.refuses(hz.CapacityError, self.world.spawn, KINDS[kind], n, **passed)
        else:
            handles = self.world.spawn(KINDS[kind], n, **passed)
            assert handles.dtype == np.uint64
            self.twin.spawn(handles.tolist(), kind, meant)

    @populated
    @rule(seed=seeds, share=few, n=st.sampled_from([0, 1, 1, 2]))
    def duplicate(self, seed: int, share: float, n: int) -> None:
        picked = self.pick(seed, share)
        if len(self.twin.things) + n * len(picked) > self.twin.capacity:
            self.refuses(hz.CapacityError, self.world.duplicate, picked, n)
        else:
            self.twin.copy(self.world.duplicate(picked, n).tolist(), [h for h in picked for _ in range(n)])

    @populated
    @rule(seed=seeds, share=few, twice=st.booleans(), stale=st.booleans())
    def despawn(self, seed: int, share: float, twice: bool, stale: bool) -> None:
        handles = self.pick(seed, share) * (1 + twice)
        if stale:
            handles.insert(seed % (len(handles) + 1), self.a_dead_one(seed))
            self.refuses(hz.StaleHandleError, self.world.despawn, handles)
        missing = "ignore" if stale else "error"
        assert self.world.despawn(handles, missing=missing) == self.twin.despawn(handles)
        self.twin.settle()

    @populated
    @rule(need=st.sets(components, min_size=1, max_size=2), kind=st.none() | kinds)
    def despawn_found(self, need: set[str], kind: str | None) -> None:
        query = self.world.query(*(COMPONENTS[c] for c in sorted(need)), kind=KINDS[kind] if kind else None)
        found = self.twin.find(need, kind=kind)
        if len(found) < 0.4 * len(self.twin.things):
            assert self.world.despawn(query) == self.twin.despawn(found)
            self.twin.settle()

    @populated
    @rule(component=components, seed=seeds, share=shares, form=st.none() | forms)
    def add(self, component: str, seed: int, share: float, form: str | None) -> None:
        rng = np.random.default_rng(seed)
        picked = self.pick(seed, share)
        fits = [h for h in picked if component in self.twin.optional(self.twin.things[h].kind)]
        passed, meant = None, None
        if form and DEFAULTS[component] and component not in FATES:
            passed, meant = in_form(component, form, len(fits), rng, list(self.twin.things))
        self.world.add(fits, COMPONENTS[component], passed)
        self.twin.add(fits, component, meant)
        if len(fits) < len(picked):
            self.refuses(hz.ArgumentError, self.world.add, picked, COMPONENTS[component])
            self.refuses(hz.ArgumentError, self.world.remove, picked, COMPONENTS[component])
        for call in (self.world.add, self.world.remove):
            self.refuses(hz.StaleHandleError, call, [*picked, self.a_dead_one(seed)], COMPONENTS[component])

    @populated
    @rule(component=components, seed=seeds, share=shares)
    def remove(self, component: str, seed: int, share: float) -> None:
        picked = self.pick(seed, share)
        fits = [h for h in picked if component in self.twin.optional(self.twin.things[h].kind)]
        self.world.remove(fits, COMPONENTS[component])
        self.twin.remove(fits, component)

    # -- values ------------------------------------------------------------------------------------------------

    @populated
    @rule(component=components, seed=seeds, share=shares, form=forms)
    def set_values(self, component: str, seed: int, share: float, form: str) -> None:
        if not DEFAULTS[component] or component in FATES:
            return
        picked = self.pick(seed, share)
        having = [h for h in picked if component in self.twin.things[h].has]
        passed, meant = in_form(component, form, len(having), np.random.default_rng(seed), list(self.twin.things))
        self.world.set(having, COMPONENTS[component], passed)
        self.twin.set(having, component, meant)
        if len(having) < len(picked):
            self.refuses(hz.ArgumentError, self.world.set, picked, COMPONENTS[component], DEFAULTS[component])

    @populated
    @rule(component=components, seed=seeds, share=shares)
    def write_columns(self, component: str, seed: int, share: float) -> None:
        if component == "Note" or component in FATES:
            return
        having = self.pick(seed, share, self.twin.having(component))
        slots = self.world.slots_of(having)
        meant = numbers_for(component, len(having), np.random.default_rng(seed), list(self.twin.things))
        for column, numbers in meant.items():
            self.world.column(COMPONENTS[component], column)[slots] = numbers
        self.twin.set(having, component, meant)

    # -- relations ---------------------------------------------------------------------------------------------

    @populated
    @rule(relation=relations, seed=seeds, share=shares, by_set=st.booleans())
    def relate(self, relation: str, seed: int, share: float, by_set: bool) -> None:
        sources = [h for h in self.pick(seed, share) if relation in self.knows(h)]
        targets = np.random.default_rng(seed).choice(np.array([0, *self.twin.things], np.uint64), len(sources)).tolist()
        if by_set:
            sources = [h for h in sources if relation in self.twin.things[h].has]
            targets = targets[: len(sources)]
            call, args = self.world.set, (sources, COMPONENTS[relation], {"target": targets})
        else:
            call, args = self.world.relate, (sources, COMPONENTS[relation], targets)
        if self.twin.relate(sources, relation, targets):
            call(*args)
        else:
            self.refuses(hz.ArgumentError, call, *args)

    def knows(self, handle: int) -> set[str]:
        """What an entity has or may have."""
        kind = self.twin.things[handle].kind
        return self.twin.required(kind) | self.twin.optional(kind)

    @populated
    @rule(relation=relations, seed=seeds)
    def ask_relation(self, relation: str, seed: int) -> None:
        target = self.pick(seed, 0.01)[0]
        tied = [h for h in self.twin.having(relation) if self.twin.things[h].has[relation]["target"] == target]
        assert sorted(self.world.sources_of(target, COMPONENTS[relation]).tolist()) == sorted(tied)
        having = self.twin.having(relation)
        targets = self.twin.column(relation, "target", having)
        assert self.world.targets_of(having, COMPONENTS[relation]).tolist() == targets

    # -- the whole world ---------------------------------------------------------------------------------------

    @rule(n=st.integers(1, 3))
    def tick(self, n: int) -> None:
        for _ in range(n):
            if len(self.twin.things) + twin_game.breeders(self.twin) > self.twin.capacity:
                crowd = self.pick(self.step, 0.5)
                assert self.world.despawn(crowd) == self.twin.despawn(crowd)
                self.twin.settle()
            self.world.tick()
            self.take_in(twin_game.tick(self.twin))

    def take_in(self, born: list[twin_game.TwinThing]) -> None:
        """Give the newborn of the twin the handles that the world gave out: they differ by their values."""
        fresh = [h for h in self.world.query().handles.tolist() if h not in self.twin.things]
        assert len(fresh) == len(born)

        def life_of(handle: int) -> tuple[Any, ...]:
            name, life = self.world.get(handle, Name), self.world.get(handle, twin_game.Life)
            return name.number, name.leader, life.hp

        def life_of_twin(thing: twin_game.TwinThing) -> tuple[Any, ...]:
            return *thing.has["Name"].values(), *thing.has["Life"].values()

        for handle, thing in zip(sorted(fresh, key=life_of), sorted(born, key=life_of_twin), strict=True):
            assert life_of(handle) == life_of_twin(thing)
            self.twin.things[handle] = thing

    @rule(compress=st.booleans())
    def save_and_load(self, compress: bool) -> None:
        path = Path(self.folder.name) / "world"
        self.world.save(path, compress=compress)
        loaded = hz.World.load(path, kinds=self.world.kinds)
        loaded.add_system(*SYSTEMS)
        assert loaded.digest() == self.world.digest()
        self.world = loaded

    @rule()
    def clone(self) -> None:
        original, self.world = self.world, self.world.clone()
        assert original.clear() == len(self.twin.things)

    @rule()
    def copy(self) -> None:
        """Over a world in which other things live."""
        self.spare.copy_from(self.world)
        assert self.world.digest() == self.spare.digest()
        self.world, self.spare = self.spare, self.world

    @rule(kind=st.none() | kinds)
    def compact(self, kind: str | None) -> None:
        before = np.array(list(self.twin.things), np.uint64)
        moved = self.world.compact(*([KINDS[kind]] if kind else []))
        self.twin.rename(dict(zip(moved.old.tolist(), moved.new.tolist(), strict=True)))
        assert moved.translate(before).tolist() == list(self.twin.things)
        assert len(self.world.compact(*([KINDS[kind]] if kind else []))) == 0
        for number in [self.world.kinds.index(KINDS[kind])] if kind else range(len(KINDS)):
            assert (self.world.page_live[self.world.page_kind == number] < PAGE).sum() <= 1

    # -- comparison --------------------------------------------------------------------------------------------

    @rule(
        need=sets_of_components, lack=sets_of_components, either=sets_of_components, optional=components,
        kind=st.none() | kinds
    )  # fmt: skip
    def ask(self, need: set[str], lack: set[str], either: set[str], optional: str, kind: str | None) -> None:
        optionals = {optional} - need - lack
        self.compare_query(need, lack - need - either, either, optionals, kind)

    def compare_query(
        self, need: set[str], lack: set[str], either: set[str], optional: set[str], kind: str | None
    ) -> None:
        needed, lacking, any_of, optionals = (
            [COMPONENTS[c] for c in sorted(some)] for some in (need, lack, either, optional)
        )
        query = self.world.query(
            *needed, without=lacking, any_of=any_of, optional=optionals, kind=KINDS[kind] if kind else None
        )
        found = sorted(self.twin.find(need, lack, either, kind), key=lambda handle: handle & 0xFFFFFFFF)
        assert query.handles.tolist() == found
        assert len(query) == len(found)
        rows = [*(np.arange(run.start, run.stop) for run in query.runs()), query.rest()]
        assert np.sort(np.concatenate(rows)).tolist() == query.slots.tolist()
        for c in optional:
            assert query.present(COMPONENTS[c]).tolist() == [c in self.twin.things[h].has for h in found]

    STANDING = [
        ({"Life"}, {"Marked"}, set(), {"Mind"}, None),
        (set(), set(), set(), set(), None),
        ({"Cargo"}, set(), set(), set(), "Ship"),
        (set(), {"Cargo"}, {"Mind", "Marked"}, set(), None),
        ({"Name"}, set(), set(), {"Cargo"}, "Thing"),
        ({"Marked"}, {"Life", "Mind"}, set(), set(), None),
        ({"Body"}, set(), {"Life"}, set(), "Carrier"),
    ]

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "twin"):
            return
        world, twin = self.world, self.twin
        handles = np.array(list(twin.things), np.uint64)
        assert len(world) == world.count() == len(twin.things)
        assert world.alive(handles).all()
        slots = world.slots_of(handles)
        self.same_structure(slots)
        self.same_values(slots)
        self.no_stranger()
        self.step += 1
        for number in (0, 1 + self.step % (len(self.STANDING) - 1)):
            self.compare_query(*self.STANDING[number])

    def same_structure(self, slots: np.ndarray) -> None:
        world, things = self.world, self.twin.things
        bit = {name: world.bit(c) for name, c in COMPONENTS.items()}
        bits = [sum(bit[c] for c in thing.has) + int(storage.LIVE_BIT) for thing in things.values()]
        assert world.signature[slots].tolist() == bits
        assert np.flatnonzero(world.signature).tolist() == sorted(slots.tolist())
        names = [world.kinds[number].name for number in world.page_kind[slots // PAGE]]
        assert names == [thing.kind for thing in things.values()]
        for name, kind in KINDS.items():
            assert world.count(kind) == sum(self.twin.is_a(thing.kind, name) for thing in things.values())
        live = np.bincount(slots // PAGE, minlength=len(world.page_live))
        assert world.page_live.tolist() == live.tolist()
        assert (world.page_kind == storage.FREE_PAGE).tolist() == (live == 0).tolist()
        for page in np.flatnonzero(world._first_free):
            assert world.signature[page * PAGE : page * PAGE + int(world._first_free[page])].all()
        assert (world.born != storage.DEAD).nonzero()[0].tolist() == sorted(slots.tolist())

    def same_values(self, slots: np.ndarray) -> None:
        world, twin = self.world, self.twin
        at = dict(zip(twin.things, slots.tolist(), strict=True))
        for name, columns in DEFAULTS.items():
            having = twin.having(name)
            rows = np.array([at[h] for h in having], np.intp)
            if name == "Note":
                notes = dict(world[Note])
                assert [dataclasses.asdict(notes.pop(row)) for row in rows] == [
                    twin.things[h].has[name] for h in having
                ]
                assert not notes
                continue
            for column in columns:
                assert world.column(COMPONENTS[name], column)[rows].tolist() == twin.column(name, column, having)

    def no_stranger(self) -> None:
        """No handle that was given out before names anybody."""
        gone = list(self.twin.gone)[-200:]
        assert not self.world.alive(gone).any()
        assert self.world.despawn(gone, missing="ignore") == 0
        if gone:
            self.refuses(hz.StaleHandleError, self.world.get, gone[self.step % len(gone)], Name)


def _drive(max_examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=max_examples, stateful_step_count=steps, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck)
        ),
    )  # fmt: skip


def test_a_world_equals_its_twin():
    _drive(25, 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_world_equals_its_twin_for_long():
    _drive(200, 50)
