"""Worlds that move at random before several observers, and beside each observer two clients and the twin of what they must have."""

from __future__ import annotations

import copy
import enum
from collections.abc import Callable
from typing import Any

import numpy as np

import horizon_ecs as hz
from horizon_ecs import b1, f2, f4, f8, i1, i2, i8, u1, u4
from horizon_ecs.frames import Frames
from horizon_ecs.replica import Replica
from horizon_ecs.replication import Replicator
from tests import kernels, naive


@hz.component
class Position:
    x: f4
    y: f4
    z: f4


@hz.component
class Place:
    x: f4
    y: f4


@hz.component
class Heading:
    angle: f4


@hz.component
class Hull:
    hp: i2 = 100
    shield: u4 = 0
    level: i1 = 0


@hz.component
class Limbs:
    a: f4
    b: f4
    c: f4
    d: f4
    e: f4
    f: f4


@hz.component
class Cargo:
    mass: f8
    crates: i2


class Stance(enum.Enum):
    SIT = 3
    STAND = 4
    RUN = 9


@hz.component
class Pose:
    yaw: f4 = hz.field(angle=True, precision=0.01)
    pitch: f8 = hz.field(angle=True, precision=1.6)
    rotation: hz.quat


@hz.component
class Mind:
    awake: b1
    stance: Stance = Stance.SIT
    hp: u1 = hz.field(default=100, range=(0, 200))
    level: i8 = hz.field(default=-(10**12), range=(-(10**12), -(10**12) + 50))
    warmth: f2


@hz.component
class Far:
    x: f8 = hz.field(precision=1e-3)
    half: f2 = hz.field(precision=1 / 8)


def _walker(position: type) -> hz.Kind:
    """Angles, rotations and packed fields, by every predictor and by two precisions."""
    return hz.Kind(
        "Walker", position, Pose, Mind, Far,
        layers=[
            hz.Layer(0, 25.0, 60.0, [position, Pose, Mind], {position: 1 / 16}),
            hz.Layer(1, 45.0, 20.0, [position, Pose, Mind, Far], {position: 1 / 4, Pose: 0.1},
                     compression={Pose: "delta", position: "quantised"}),
            hz.Layer(2, 90.0, 6.0, [position, Pose, Mind], {position: 1 / 4, Pose: 0.25},
                     compression={Pose: "linear", Mind: "delta"}),
        ],
    )  # fmt: skip


def _post(position: type) -> hz.Kind:
    """Everything as it is, each time; or rounded, each time."""
    return hz.Kind(
        "Post", position, Pose, Mind, Limbs,
        layers=[
            hz.Layer(0, 50.0, 15.0, [position, Limbs, Pose], 1 / 16,
                     compression={position: "none", Limbs: "none", Pose: "quantised"}),
            hz.Layer(2, 90.0, 0.4, [Pose], 0.1),
        ],
    )  # fmt: skip


def _ship(position: type) -> hz.Kind:
    """Three layers with a gap; every codec; a component of two groups; fields that only outer or inner layers list."""
    return hz.Kind(
        "Ship", position, Heading, Hull, Limbs,
        layers=[
            hz.Layer(0, 25.0, 60.0, [position, Heading], {position: 1 / 16}),
            hz.Layer(1, 45.0, 20.0, [position, Hull], 1 / 16),
            hz.Layer(3, 90.0, 7.5, [position, Limbs], {position: 1 / 2, Limbs: 1 / 64}),
        ],
    )  # fmt: skip


def _rock(position: type) -> hz.Kind:
    """No channel 0; the outer layer reaches everywhere and is too slow for a straight line."""
    return hz.Kind(
        "Rock", position, Cargo,
        layers=[
            hz.Layer(1, 30.0, 30.0, [Cargo, position], {position: 1 / 8, Cargo: 0.1}),
            hz.Layer(2, float("inf"), 3.0, [position], 1.0),
        ],
    )  # fmt: skip


def _drone(position: type) -> hz.Kind:
    """A single layer."""
    return hz.Kind("Drone", position, layers=[hz.Layer(2, 40.0, 12.0, [position], 1 / 4)])


def _lamp(position: type) -> hz.Kind:
    """A layer so slow that it is sent absolute each time."""
    return hz.Kind("Lamp", position, Hull, layers=[hz.Layer(0, 60.0, 0.45, [position, Hull], 1 / 4)])


def stateful(position: type) -> list[hz.Kind]:
    """Kinds with profiles: one of other radii, periods, precisions and codecs, one of other components, one of none."""
    ship = _ship(position)
    combat = [
        hz.Layer(0, 40.0, 60.0, [position, Hull], {position: 1 / 32}),
        hz.Layer(3, 200.0, 30.0, [position, Heading], {position: 1.0, Heading: 0.01}),
    ]
    docked = [hz.Layer(2, 12.0, 5.0, [Limbs], 1 / 4)]
    fleet = hz.Kind(
        "Fleet", *ship.components, layers=ship.layers, profiles={"combat": combat, "docked": docked, "gone": []}
    )
    rock = _rock(position)
    moon = hz.Kind(
        "Moon", *rock.components, layers=rock.layers, profiles={"near": [hz.Layer(0, 70.0, 0.45, [position], 1.0)]}
    )
    return [_drone(position), fleet, moon]


def kinds_of(position: type, slow: bool = False) -> list[hz.Kind]:
    made = [_ship(position), _rock(position), _drone(position)]
    return [*made, _lamp(position)] if slow else made


def walkers_of(position: type) -> list[hz.Kind]:
    return [_walker(position), _post(position)]


class Watcher:
    """One observer's two clients and its twin."""

    def __init__(self, stage: Stage, number: int, entity: int, position: Any) -> None:
        replicator = stage.replicator
        self.number, self.entity = number, entity
        self.position = [np.float32(p) for p in position]
        self.held, self.wants_reset = False, True
        phase = replicator.phase(number)
        self.replica = Replica(replicator.schema, phase=phase)
        self.client = naive.Client(replicator.schema, phase)
        self.twin = naive.Observer(
            replicator.schema, phase, replicator.hysteresis, lambda: kernels.grid_of(replicator), stage.value
        )
        self.twin.lens = naive.Lens(number, entity)
        self.frames: list[bytes] = []
        self.told_by_frame: list[Any] = []

    def take(self, frame: bytes) -> None:
        """Both clients apply a frame and must agree in everything."""
        self.frames.append(frame)
        self.replica.apply(frame)
        naive.apply_frame(self.client, frame)
        assert self.replica.n_updates == self.client.n_updates
        assert table_of(self.replica) == [(e.handle, e.kind, e.mask, e.stale, e.q) for e in self.client.entries]
        assert told_by(self.replica) == self.client.messages
        assert texts_of(self.replica) == self.client.texts

    def expected(self) -> list[Any]:
        """What the clients must have, from the world's columns alone."""
        rows = []
        for followed in self.twin.list:
            groups = self.twin.schema["kinds"][followed.living.kind]["groups"]
            q = [followed.q.get(j, [0] * len(group["fields"])) for j, group in enumerate(groups)]
            rows.append((followed.living.handle, followed.living.kind, followed.mask, followed.stale, q))
        return rows


def table_of(replica: Replica) -> list[tuple[int, int, int, int, list[list[int]]]]:
    """A replica's rows: handle, kind, mask, stale, q by group and field."""
    kinds = replica._schema["kinds"]
    n_groups = max(len(kind["groups"]) for kind in kinds)
    q = [replica.q(j).tolist() for j in range(n_groups)]
    rows = []
    for i in range(replica.n):
        groups = kinds[replica.kind[i]]["groups"]
        values = [q[j][i][: len(group["fields"])] for j, group in enumerate(groups)]
        rows.append((int(replica.handle[i]), int(replica.kind[i]), int(replica.mask[i]), int(replica.stale[i]), values))
    return rows


def told_by(replica: Replica) -> list[tuple[str, int, bytes]]:
    """The events of a replica's last frame, in order: name, handle, bytes of the record."""
    placed = [
        (int(told.place[i]), name, int(told.handle[i]), told.records[i].tobytes())
        for name, told in replica.messages.items()
        for i in range(len(told))
    ]
    return [(name, handle, record) for _, name, handle, record in sorted(placed)]


def texts_of(replica: Replica) -> dict[int, dict[str, str | bytes]]:
    """A replica's texts by handle and name."""
    named = {f"{t['component']}.{t['field']}" for kind in replica.schema["kinds"] for t in kind.get("texts", ())}
    found = {int(h): {name: replica.text(h, name) for name in named} for h in replica.handle}
    known = {h: {name: text for name, text in texts.items() if text is not None} for h, texts in found.items()}
    return {handle: texts for handle, texts in known.items() if texts}


class Stage:
    """A world, its replicator and its watchers; `step` moves on one tick and compares everything with everything."""

    def __init__(
        self, kinds: list[hz.Kind], *, seed: int = 1, n_threads: int = 1, tick_rate: float = 60.0, **options: Any
    ) -> None:
        # Its numbers are the same in every version of NumPy, and take no library's logarithm.
        self.rng = np.random.RandomState(seed)
        self.world = hz.World(capacity=1024, tick_rate=tick_rate, kinds=kinds)
        self.kinds = kinds
        self.place = kinds[0].components[0]
        self.replicator = Replicator(self.world, position=self.place, n_threads=n_threads, max_observers=16, **options)
        self.watchers: list[Watcher] = []
        self.values: dict[int, dict[int, dict[Any, int]]] = {}
        self.first_tick = 0
        self.velocity = np.zeros((self.world.n_slots, 3), np.float32)
        self.living: list[int] = []
        self.counts_updates = True
        self.told: dict[int, dict[str, Any]] = {}  # what was said of who sees an entity, by handle

    # -- what happens --------------------------------------------------------------------------------------------

    def spawn(self, kind: int, n: int = 1, spread: float = 60.0) -> list[int]:
        """Entities at random places, half of which stand still."""
        axes = [f.name for f in hz.components.fields_of(self.place)]
        where = {axis: self.rng.uniform(-spread, spread, n).astype(np.float32) for axis in axes}
        handles = self.world.spawn(self.kinds[kind], n, **{self.place.__name__: where}).tolist()
        for handle in handles:
            self.velocity[handle & 0xFFFFFFFF] = self.rng.uniform(-1, 1, 3) * self.rng.randint(0, 2)
        self.living += handles
        return handles

    def despawn(self, handles: list[int]) -> None:
        self.world.despawn(np.array(handles, np.uint64))
        self.living = [h for h in self.living if h not in handles]

    def watch(self, entity: int = 0, position: Any = (0.0, 0.0, 0.0), phase: int | None = None) -> Watcher:
        number = self.replicator.add_observer(entity, None if entity else position)
        if phase is not None:
            kernels.set_phase(self.replicator, number, phase)
        self.watchers.append(Watcher(self, number, entity, (0.0, 0.0, 0.0) if entity else position))
        return self.watchers[-1]

    def unwatch(self, watcher: Watcher) -> None:
        self.replicator.remove_observer(watcher.number)
        self.watchers.remove(watcher)

    def hold(self, watcher: Watcher) -> None:
        self.replicator.hold(watcher.number)
        watcher.held = True

    def resume(self, watcher: Watcher) -> None:
        self.replicator.resume(watcher.number)
        watcher.held, watcher.wants_reset = False, True

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one_of(self, options: list[Any]) -> Any:
        return options[int(self.rng.randint(len(options)))]

    def move(self) -> None:
        """Everything goes on in a straight line; some turn, jump, or change in other ways."""
        slots = np.array(sorted(h & 0xFFFFFFFF for h in self.living), np.int64)
        axes = [getattr(self.world[self.place], f.name) for f in hz.components.fields_of(self.place)]
        with np.errstate(all="ignore"):
            for axis, column in enumerate(axes):
                column[slots] += self.velocity[slots, axis]
        for slot in slots[self.rng.random(len(slots)) < 0.05].tolist():
            self.velocity[slot] = self.rng.uniform(-2, 2, 3) * self.rng.randint(0, 2)
        for slot in slots[self.rng.random(len(slots)) < 0.03].tolist():
            for column in axes:
                column[slot] = self.rng.uniform(-100, 100)
        self._change_others(slots)

    def _change_others(self, slots: Any) -> None:
        """Other fields: small steps often, any bits now and then, but never at birth: what isn't finite keeps what it was."""
        old, known = slots[self.world.born[slots] <= self.world.tick_count], self.world.components
        for component in (Heading, Hull, Limbs, Cargo):
            for f in hz.components.fields_of(component):
                there = component in known  # numbers are drawn in any case
                column = self.world.column(component, f.name) if there else np.zeros(self.world.n_slots, f.dtype)
                for slot in slots[self.rng.random(len(slots)) < 0.1].tolist():
                    with np.errstate(all="ignore"):
                        column[slot] += np.array(self.rng.randint(-2, 3)).astype(f.dtype)
                for slot in old[self.rng.random(len(old)) < 0.01].tolist():
                    column[slot] = np.frombuffer(self.rng.bytes(8), f.dtype)[0]

    def live(self) -> None:
        """Bodies of walkers turn, steadily or not; minds change; now and then there is no telling."""
        old = [h & 0xFFFFFFFF for h in self.living if self.world.born[h & 0xFFFFFFFF] <= self.world.tick_count]
        for slot in sorted(old):
            steady, spin = 0.03 * (slot % 5), self.rng.uniform(-0.5, 0.5, 4)
            self.world.column(Pose, "yaw")[slot] += steady
            self.world.column(Pose, "pitch")[slot] -= 4 * steady
            for axis, letter in enumerate("xyzw"):
                column = self.world.column(Pose, f"rotation.{letter}")
                column[slot] = np.clip(np.nan_to_num(column[slot]), -4, 4) + spin[axis] * (slot % 2)
            if self.chance(0.2):
                self._surprise(slot)

    def _surprise(self, slot: int) -> None:
        """Some field of one entity takes some value."""
        component = self.one_of([Pose, Mind, Far])
        field = self.one_of(list(hz.components.fields_of(component)))
        column = self.world.column(component, field.name)
        if column.dtype.kind == "f":
            column[slot] = self.one_of([0.0, 1.0, 3.0, -3.25, np.nan, np.inf, 6e4, -1e-7])
        elif column.dtype == np.bool_:
            column[slot] = not column[slot]
        else:
            near = int(self.rng.randint(-9, 60))
            column[slot] = near - 10**12 if column.itemsize == 8 else abs(near)

    def disturb_places(self) -> None:
        """Some that were there a tick ago are nowhere, or far out; what was far out or nowhere may come back."""
        column = getattr(self.world[self.place], hz.components.fields_of(self.place)[0].name)
        old = [h & 0xFFFFFFFF for h in self.living if self.world.born[h & 0xFFFFFFFF] <= self.world.tick_count]
        for slot in old:
            if self.chance(0.01):
                column[slot] = self.one_of([np.nan, np.inf, 1e9, -3e38])
            elif not abs(column[slot]) < 1e6 and self.chance(0.3):
                column[slot] = self.rng.uniform(-50, 50)

    def rescale(self) -> None:
        """Some are seen from further away, or less far."""
        chosen = [h for h in self.living if self.chance(0.05)]
        scales = [self.one_of([1.0, 1.0, 0.5, 0.7, 2.0, 3.9, 1 / 256, 40.0]) for _ in chosen]
        self.replicator.set_radius_scale(np.array(chosen, np.uint64), np.array(scales, np.float32))

    def change_profiles(self) -> None:
        """Some go into another state, or back; now and then twice within a tick."""
        for handle in [h for h in self.living if self.chance(0.03)]:
            names = [name for name, _ in self.world.kind_of(np.uint64(handle)).every_profile]
            for _ in range(1 + self.chance(0.2)):
                self.replicator.set_profile([handle], self.one_of(names))

    def turn_over(self) -> None:
        """Some are born, some end: now and then the one that an observer stands at, now and then a slot within a tick."""
        if self.living and self.chance(0.3):
            self.despawn([self.one_of(self.living)])
        if len(self.living) < 60 and self.chance(0.4):
            self.spawn(int(self.rng.randint(len(self.kinds))), int(self.rng.randint(1, 4)))

    def come_and_go(self) -> None:
        """Observers join, leave, fall behind and come back, and walk about."""
        if len(self.watchers) < 4 and self.chance(0.1):
            entity = self.one_of(self.living) if self.living and self.chance(0.5) else 0
            self.watch(entity, self.rng.uniform(-30, 30, 3))
        if len(self.watchers) > 1 and self.chance(0.02):
            self.unwatch(self.one_of(self.watchers))
        for watcher in self.watchers:
            if self.chance(0.05):
                (self.resume if watcher.held else self.hold)(watcher)
            if not watcher.entity and self.chance(0.2):
                watcher.position = [np.float32(p) for p in self.rng.uniform(-40, 40, 3)]
                self.replicator.position[watcher.number] = watcher.position

    # -- what must be --------------------------------------------------------------------------------------------

    def value(self, handle: int, kind: int, c: int, j: int, tick: int) -> list[int]:
        """The quantised fields of a group as of a tick, at the channel's precision."""
        group = self.replicator.schema["kinds"][kind]["groups"][j]
        known = self.values[max(tick, self.first_tick)][handle]
        return [known[group["component"], f["name"], f["params"][c][1]] for f in group["fields"]]

    def number_of(self, handle: int) -> int:
        """The schema's number of an entity's kind and profile."""
        name, (profile,) = self.world.kind_of(np.uint64(handle)).name, self.replicator.profile([handle])
        names = [(kind["name"], kind.get("profile", "default")) for kind in self.replicator.schema["kinds"]]
        return names.index((name, profile))

    def _observe(self, tick: int) -> dict[int, naive.Living]:
        """Quantise everything that lives by hand, and list it."""
        scene = {}
        self.first_tick = self.first_tick or tick
        now = self.values.setdefault(tick, {})
        axes = [f.name for f in hz.components.fields_of(self.place)]
        for handle in self.living:
            slot = handle & 0xFFFFFFFF
            number = self.number_of(handle)
            position = [self.world.column(self.place, axis)[slot] for axis in axes]
            position += [np.float32(0)] * (3 - len(axes))
            told = {"scale": float(self.replicator.radius_scale([handle])[0]), **self.told.get(handle, {})}
            scene[handle] = naive.Living(handle, number, int(self.world.born[slot]), position, **told)
            now[handle] = self._quantise(tick, handle, number, slot)
        return scene

    def _quantise(self, tick: int, handle: int, number: int, slot: int) -> dict[Any, int]:
        """By every profile that it may have, since a change of profile looks back."""
        values: dict[Any, int] = {}
        kind = self.world.kind_of(np.uint64(handle))
        components = {c.__name__: c for c in kind.components}
        every = [k for k in self.replicator.schema["kinds"] if k["name"] == kind.name]
        for group in [group for k in every for group in k["groups"]]:
            component = components[group["component"]]
            for f in group["fields"]:
                for scale in {params[1] for params in f["params"] if params}:
                    key = group["component"], f["name"], scale
                    before = self.values.get(tick - 1, {}).get(handle, {})
                    values[key] = self._quantise_field(f, component, slot, scale, before)
        return values

    def _quantise_field(self, f: Any, component: type, slot: int, scale: float, before: dict[Any, int]) -> int:
        """One integer of the wire."""
        names = [part["name"] for part in f["parts"]] if f["codec"] == "packed" else [f["name"]]
        if f["codec"] == "rotation":
            names = [f["name"][:-1] + letter for letter in "xyzw"]
        raw = [self.world.column(component, name)[slot] for name in names]
        previous = [before.get((component.__name__, name, scale), 0) for name in names]
        if f["codec"] == "packed":
            return naive.pack(raw, [(p["low"], p["high"], p["offset"]) for p in f["parts"]])
        if f["codec"] == "rotation":
            return naive.quantise_rotation(raw, scale, previous)[names.index(f["name"])]
        if f["codec"] == "angle":
            return naive.quantise_angle(raw[0], round(-np.log2(scale)), previous[0])
        if f["codec"] == "quantised":
            return naive.quantise_float(raw[0], scale, previous[0])
        bits = {2: np.uint16, 4: np.int32}[raw[0].itemsize] if f["codec"] == "bits" else raw[0].dtype
        return naive.quantise_integer(raw[0].view(bits))

    def step(self) -> None:
        """Tick, replicate, and hold every watcher to its twin."""
        self.world.tick()
        frames = self.replicator.step()
        tick = frames.tick
        scene = self._observe(tick)
        self.values.pop(tick - 300, None)
        sent = {
            int(o): bytes(frames.buffer[frames.payload[i] : frames.stop[i]]) for i, o in enumerate(frames.observers)
        }
        where = {handle: living.position for handle, living in scene.items()}
        for watcher in self.watchers:
            (watcher.position,) = naive.follow_entities([watcher.entity], [watcher.position], where)
            frame = sent.pop(watcher.number, None)
            watcher.twin.updates = watcher.twin.refused = watcher.twin.enters = watcher.twin.leaves = 0
            if watcher.held:
                assert frame is None
                self.hear_nothing(watcher, tick, scene)
                continue
            self._check(watcher, tick, scene, frame)
        assert not sent
        self._check_stats(frames)

    def _check_stats(self, frames: Frames) -> None:
        """What was counted is what the twins counted."""
        stats, twins = self.replicator.stats, [watcher.twin for watcher in self.watchers]
        assert (stats.tick, stats.n_frames) == (frames.tick, frames.n)
        assert stats.bytes == int((frames.stop - frames.payload).sum())
        assert stats.followed_pairs == sum(len(twin.list) for twin in twins)
        assert (stats.enters, stats.leaves) == (sum(t.enters for t in twins), sum(t.leaves for t in twins))
        assert stats.refused == sum(twin.refused for twin in twins)
        assert stats.updates == sum(twin.updates for twin in twins) or not self.counts_updates

    def _check(self, watcher: Watcher, tick: int, scene: dict[int, naive.Living], frame: bytes | None) -> None:
        twin, reset = watcher.twin, watcher.wants_reset
        silent_too_long = tick - twin.sent >= kernels.max_silence(self.replicator)
        twin.rate = int(self.replicator.slowdown(watcher.number)[0]).bit_length() - 1
        due = (
            twin.rate != twin.told_rate
            or any(twin.due(kind, tick, reset) for kind in range(len(twin.schema["kinds"])))
            or twin.looks(scene)
        )
        reach = self.replicator.reach_scale[watcher.number]
        served = due or reset or silent_too_long
        before = list(map(copy.copy, twin.list))
        needed = twin.step(tick, reset, watcher.position, scene, reach) if served else False
        needed |= self.hear(watcher, tick, scene, before, served)
        assert (frame is not None) == (needed or silent_too_long or reset)
        if frame is None:
            return
        twin.sent, watcher.wants_reset = tick, False
        known = {int(h) for h in watcher.replica.handle}
        watcher.take(frame)
        assert table_of(watcher.replica) == watcher.expected()
        assert watcher.replica.tick == tick
        assert watcher.replica.was_reset == reset
        self._check_structure(watcher, known)
        self.heard(watcher)

    def hear(self, watcher: Watcher, tick: int, scene: dict[int, naive.Living], before: list[naive.Followed],
             served: bool) -> bool:  # fmt: skip
        """Work out what the watcher is told besides fields; whether it is anything."""
        return False

    def hear_nothing(self, watcher: Watcher, tick: int, scene: dict[int, naive.Living]) -> None:
        """Work out what a watcher that is held misses."""

    def heard(self, watcher: Watcher) -> None:
        """Hold the watcher's clients to what `hear` worked out."""

    @staticmethod
    def _check_structure(watcher: Watcher, before: set[int]) -> None:
        """Who entered wasn't there, who left was, and nobody is there twice."""
        replica = watcher.replica
        after = replica.handle.tolist()
        entered, left = replica.entered.tolist(), replica.left.tolist()
        assert len(set(after)) == len(after)
        if not replica.was_reset:
            assert not before & set(entered)
            assert set(left) <= before
            assert len(set(left)) == len(left)
            assert set(after) == before - set(left) | set(entered)


def play(stage: Stage, n_ticks: int, *acts: Callable[[Stage], None]) -> None:
    """So many ticks, all acts before each."""
    for _ in range(n_ticks):
        for act in acts:
            act(stage)
        stage.step()


EVERYTHING = (Stage.turn_over, Stage.move, Stage.disturb_places, Stage.come_and_go)
