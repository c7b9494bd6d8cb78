"""Stages on which entities speak: events and texts, and word of who came and went, beside a twin of who gets what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import horizon_ecs as hz
from horizon_ecs import f4, i2, u1
from tests import naive
from tests.streams import Heading, Hull, Position, Stage, Watcher


@hz.event
class Boom:
    power: f4
    n: i2


@hz.event(name="chat")
class Said:
    mood: u1


@hz.object_component
class Motto:
    words: str = ""
    seal: bytes = b"\0"


WORDS = ["", "a", "Ünïcode ☃", "x" * 200, " ".join(f"{i} men" for i in range(120)), "𝄞", "two\nlines"]


def _herald() -> hz.Kind:
    """Texts on the outer layers, one of which lists nothing else; in other states on other channels, or on none."""
    layers = [
        hz.Layer(0, 25.0, 60.0, [Position, Heading], {Position: 1 / 16}),
        hz.Layer(1, 45.0, 20.0, [Position, hz.Name], 1 / 16),
        hz.Layer(3, 90.0, 7.5, [hz.Name, Motto], compression={Motto: "deflate"}),
    ]
    loud = [hz.Layer(0, 80.0, 30.0, [Position, hz.Name, Motto], 1 / 4), hz.Layer(2, 90.0, 10.0, [Heading], 1 / 4)]
    states = {"loud": loud, "mute": [hz.Layer(1, 60.0, 12.0, [Position], 1.0)], "gone": []}
    return hz.Kind("Herald", Position, Heading, hz.Name, Motto, layers=layers, profiles=states)


def _sign() -> hz.Kind:
    return hz.Kind("Sign", Position, hz.Name, layers=[hz.Layer(2, 70.0, 4.0, [Position, hz.Name], 1.0)])


def _drone() -> hz.Kind:
    layers = [hz.Layer(0, 30.0, 60.0, [Position], 1 / 4), hz.Layer(2, 60.0, 6.0, [Position, Hull], 1 / 4)]
    return hz.Kind("Drone", Position, Hull, layers=layers)


def kinds() -> list[hz.Kind]:
    return [_herald(), _sign(), _drone()]


@dataclass(eq=False)
class Event:
    """One event; `sight` is what was known of who may see its entity when that was last heard of."""

    name: str
    handle: int
    channel: int
    record: bytes
    sight: dict[str, Any]
    tick: int = -1
    decided: set[int] = field(default_factory=set)


class Speaking(Stage):
    """A stage whose twins also know who is told of what."""

    def __init__(self, made: list[hz.Kind] | None = None, **options: Any) -> None:
        messages = {Boom: 0, Said: 1}
        super().__init__(kinds() if made is None else made, messages=messages, zones=True, **options)
        self.events: list[Event] = []
        self.kind_before: dict[int, int] = {}
        self.kind_now: dict[int, int] = {}
        self.born_tick: dict[int, int] = {}
        self.text_now: dict[tuple[int, str], tuple[Any, int]] = {}
        self.folded: dict[tuple[int, int], set[int]] = {}
        self.sights: dict[int, dict[str, Any]] = {}  # of those who have just ended
        self.n_told = self.n_missed = 0
        self.ever_told = self.ever_missed = self.ever_sent = 0
        layers = [kind["channels"] for kind in self.replicator.schema["kinds"]]
        self.longest = [max((c[i]["period"] for c in layers if c[i]), default=0) for i in range(len(layers[0]))]

    # -- what happens --------------------------------------------------------------------------------------------

    def watch(self, *given: Any, **options: Any) -> Watcher:
        watcher = super().watch(*given, **options)
        watcher.deaf, watcher.reset_tick, watcher.texts, watcher.told = self.replicator.stats.tick, 0, {}, []
        return watcher

    def resume(self, watcher: Watcher) -> None:
        super().resume(watcher)
        watcher.deaf = self.replicator.stats.tick

    def possible(self, handle: int) -> list[int]:
        """The channels that an entity's kind has in any profile."""
        kind = self.world.kind_of(np.uint64(handle))
        return sorted({layer.channel for _, layers in kind.every_profile for layer in layers})

    def speak(self) -> None:
        """Some entities emit, several at once or one several times; now and then they end with it."""
        if not self.living:
            return
        channel = int(self.rng.randint(4))
        chosen = [h for h in self.living if self.chance(0.1) and channel in self.possible(h)]
        ends = [h for h in chosen if self.chance(0.2)]
        dies_first = self.chance(0.5)
        possible = [h for h in ends if self.world.born[h & 0xFFFFFFFF] <= self.world.tick_count]
        self.sights = {h: dict(self.told.get(h, {})) for h in chosen}
        if dies_first:
            chosen = [h for h in chosen if h not in ends or h in possible]
            self.despawn(ends)
        sights = self.sights
        for _ in range(1 + self.chance(0.3)):
            self.sights = sights
            self.emit(chosen, channel)
        if not dies_first:
            self.despawn(ends)

    def emit(self, handles: list[int], channel: int | None = None) -> None:
        """One event of each, of one type."""
        cls = self.one_of([Boom, Said])
        if cls is Boom:
            values = {"power": self.rng.rand(len(handles)).astype(np.float32), "n": np.int16(self.rng.randint(100))}
        else:
            values = {"mood": self.rng.randint(0, 256, len(handles)).astype(np.uint8)}
        records = np.zeros(len(handles), cls.__hz_dtype__)
        for name, value in values.items():
            records[name] = value
        if handles:
            self.replicator.emit(cls, np.array(handles, np.uint64), values, channel=channel)
        on = channel if channel is not None else {Boom: 0, Said: 1}[cls]
        for handle, record in zip(handles, records, strict=True):
            sight = self.sights.get(handle, self.told.get(handle, {}))
            self.events.append(Event(cls.__hz_event__, handle, on, record.tobytes(), dict(sight)))
        self.sights = {}

    def rename(self) -> None:
        """Some texts change, in place or as a whole."""
        for handle in [h for h in self.living if self.chance(0.08)]:
            kind = self.world.kind_of(np.uint64(handle))
            if hz.Name in kind.components:
                if self.chance(0.5):
                    self.world.get(handle, hz.Name).text = self.one_of(WORDS)
                else:
                    self.world.set(handle, hz.Name(self.one_of(WORDS)))
            if Motto in kind.components:
                motto = self.world.get(handle, Motto)
                motto.seal = bytes(self.rng.randint(0, 256, 3).tolist())
                motto.words = self.one_of(WORDS)

    # -- what must be --------------------------------------------------------------------------------------------

    def step(self) -> None:
        self.n_told = self.n_missed = 0
        super().step()
        stats = self.replicator.stats
        assert (stats.messages, stats.messages_missed, stats.messages_dropped) == (self.n_told, self.n_missed, 0)
        self.ever_told += self.n_told
        self.ever_missed += self.n_missed
        self._fold()

    def _observe(self, tick: int) -> dict[int, naive.Living]:
        scene = super()._observe(tick)
        self.kind_before = dict(self.kind_now)
        self.kind_now.update({handle: one.kind for handle, one in scene.items()})
        self.events = [e for e in self.events if e.tick < 0 or e.tick + self.longest[e.channel] > tick]
        for event in self.events:
            event.tick = tick if event.tick < 0 else event.tick
            if event.handle in scene:
                event.sight = dict(self.told.get(event.handle, {}))
        for handle in scene:
            kind = self.world.kind_of(np.uint64(handle))
            for component in (c for c in (hz.Name, Motto) if c in kind.components):
                for name, value in vars(self.world.get(handle, component)).items():
                    key = handle, f"{component.__name__}.{name}"
                    if self.text_now.get(key, (None, 0))[0] != value:
                        self.text_now[key] = value, tick
        return scene

    def _turn(self, event: Event, watcher: Watcher, tick: int, scene: dict[int, naive.Living]) -> bool:
        """Whether the event is decided at this tick for whoever follows its living entity, or its profile changed."""
        kind = self.kind_before.get(event.handle, self.kind_now.get(event.handle))
        switched = event.handle in scene and kind != self.kind_now[event.handle]
        return switched or (kind is not None and event.channel in watcher.twin.due(kind, tick, False))

    def _hides(self, watcher: Watcher, event: Event) -> bool:
        return watcher.twin.lens.hides(naive.Living(event.handle, 0, 0, None, **event.sight))

    def hear(self, watcher: Watcher, tick: int, scene: dict[int, naive.Living], before: list[naive.Followed],
             served: bool) -> bool:  # fmt: skip
        reset = watcher.wants_reset
        had = {f.living.handle: (f.mask, f.living.kind) for f in before}
        has = {f.living.handle: (f.mask, f.living.kind) for f in watcher.twin.list}
        watcher.told = []
        for event in self.events:
            turn = self._turn(event, watcher, tick, scene) or (served and (reset or event.handle not in scene))
            if not turn or watcher.number in event.decided:
                continue
            event.decided.add(watcher.number)
            follows, followed = (m.get(event.handle, (0, 0))[0] >> event.channel & 1 for m in (has, had))
            if not (follows or followed) or not served or self._hides(watcher, event):
                continue
            if event.tick > watcher.deaf:
                watcher.told.append((event.name, event.handle, event.record))
            else:
                self.n_missed += followed
        self.n_told += len(watcher.told)
        sent = self._read(watcher, tick, had, has) if served else 0
        self.ever_sent += sent
        if reset:
            watcher.reset_tick = tick
        return bool(watcher.told) or sent > 0

    def hear_nothing(self, watcher: Watcher, tick: int, scene: dict[int, naive.Living]) -> None:
        has = {f.living.handle: f.mask for f in watcher.twin.list}
        for event in self.events:
            if self._turn(event, watcher, tick, scene) and watcher.number not in event.decided:
                event.decided.add(watcher.number)
                follows = has.get(event.handle, 0) >> event.channel & 1
                self.n_missed += bool(follows and not self._hides(watcher, event))

    def _read(self, watcher: Watcher, tick: int, had: Any, has: Any) -> int:
        """Bring the texts up to date that the watcher must have; returns how many it is sent."""
        schema, twin, n_sent = watcher.twin.schema["kinds"], watcher.twin, 0
        reset = watcher.wants_reset
        known = {} if reset else {h: texts for h, texts in watcher.texts.items() if h in has}
        for handle, (mask, kind) in has.items():
            was, kind_was = (0, kind) if reset else had.get(handle, (0, kind))
            for text, text_was in zip(schema[kind].get("texts", []), schema[kind_was].get("texts", []), strict=True):
                name = f"{text['component']}.{text['field']}"
                now, then = _lowest(mask & text["channels"]), _lowest(was & text_was["channels"])
                value, changed = self.text_now[handle, name]
                if now is None or not (then != now or kind != kind_was or now in twin.due(kind, tick, False)):
                    continue
                since = -1
                if then is not None:
                    period = schema[kind_was]["channels"][then]["period"]
                    since = max(tick - 1 - (tick - 1 + twin.phase) % period, watcher.reset_tick)
                if changed > since:
                    n_sent += 1
                    known.setdefault(handle, {})[name] = value
                assert known[handle][name] == value
        watcher.texts = known
        return n_sent

    def heard(self, watcher: Watcher) -> None:
        assert watcher.client.messages == watcher.told
        assert watcher.client.texts == watcher.texts

    def _fold(self) -> None:
        """Word of who came and went adds up to who follows whom."""
        lists = {watcher.number: watcher.twin.list for watcher in self.watchers}
        for channel in range(self.replicator.schema["n_channels"]):
            for log, add in ((self.replicator.zone_exit(channel), False), (self.replicator.zone_enter(channel), True)):
                for observer, handle in zip(log[0].tolist(), log[1].tolist(), strict=True):
                    followed = self.folded.setdefault((observer, channel), set())
                    assert (handle in followed) != add
                    (followed.add if add else followed.remove)(handle)
            for number in range(16):
                expected = {f.living.handle for f in lists.get(number, []) if f.mask >> channel & 1}
                assert self.folded.get((number, channel), set()) == expected


def _lowest(mask: int) -> int | None:
    return (mask & -mask).bit_length() - 1 if mask else None


SPEECH = (Speaking.turn_over, Speaking.speak, Speaking.rename, Speaking.move, Speaking.change_profiles,
          Speaking.come_and_go)  # fmt: skip
