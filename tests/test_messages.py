"""What travels besides fields: random worlds whose entities speak, every observer held to what brute force says it is told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import f4, kernel, outbox
from horizon_ecs.received import Told
from horizon_ecs.replica import Replica
from horizon_ecs.replication import Replicator
from horizon_ecs.systems import letters
from horizon_ecs.systems import messages as kernels
from tests import naive, naive_wire
from tests.hidden import EVERY_SECRET, Secrets
from tests.properties import few_or_many
from tests.speech import SPEECH, Boom, Motto, Said, Speaking
from tests.streams import Position, play

COMPILED = kernel.jit_enabled()
N_EXAMPLES, N_TICKS = (10, 80) if COMPILED else (1, 15)
examples = settings(
    max_examples=N_EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


def crowd(stage: Speaking, n: int = 8) -> Speaking:
    for kind in range(len(stage.kinds)):
        stage.spawn(kind, n, 50.0)
    return stage


@few_or_many(
    few=4,
    many=10,
    seed=st.integers(0, 2**32 - 1),
    hysteresis=st.sampled_from([0.0, 0.1, 1.0]),
    max_followed=st.sampled_from([3, 16, 64]),
    n_threads=st.sampled_from([1, 2]),
)
def test_followers_are_told_what_brute_force_says(seed, hysteresis, max_followed, n_threads):
    stage = crowd(Speaking(seed=seed, hysteresis=hysteresis, max_followed=max_followed, n_threads=n_threads))
    stage.watch()
    play(stage, N_TICKS, *SPEECH)
    assert stage.ever_told > 0
    assert stage.ever_sent > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_followers_are_told_for_longer(seed):
    stage = crowd(Speaking(seed=seed))
    stage.watch()
    play(stage, 400, *SPEECH)
    assert stage.ever_missed > 0


class SecretSpeech(Secrets, Speaking):
    """Entities that speak, and hide."""


@pytest.mark.parametrize("seed", range(4 if COMPILED else 1))
def test_no_one_is_told_of_what_it_may_not_see(seed):
    stage = SecretSpeech(seed=seed)
    stage.counts_updates = False
    crowd(stage).watch()
    stage.watch(stage.living[0])
    play(stage, N_TICKS, *SPEECH, *EVERY_SECRET)
    assert stage.ever_told > 0


def test_threads_and_parts_change_no_byte(monkeypatch):
    """Also where lists must be made again because they found no room."""
    streams = []
    for n_threads, parts in ((1, 1), (2, 3)):
        monkeypatch.setattr("horizon_ecs.replication.PARALLEL_MS", -1.0)
        monkeypatch.setattr("horizon_ecs.replication.PARTS_A_THREAD", parts)
        monkeypatch.setattr("horizon_ecs.outbox._PARALLEL_BYTES", -1)
        stage = crowd(Speaking(seed=9, n_threads=n_threads, max_followed=64), 12)
        watchers = [stage.watch() for _ in range(3)]
        play(stage, N_TICKS // 2, Speaking.speak, Speaking.rename, Speaking.change_profiles, Speaking.move)
        streams.append([watcher.frames for watcher in watchers])
    assert streams[0] == streams[1]


# -- one at a time -----------------------------------------------------------------------------------------------


@hz.event
class Shot:
    power: f4
    by: hz.Entity


def ship(*more: type, **options: object) -> hz.Kind:
    fields = [Position, *more]
    layers = [hz.Layer(0, 20.0, 60.0, [Position], 1.0), hz.Layer(2, 50.0, 10.0, fields, {Position: 1.0}, **options)]
    return hz.Kind("Ship", Position, *more, layers=layers)


class Small:
    """A world of ships in a row, one observer at the first, and its client."""

    def __init__(self, kind: hz.Kind | None = None, n: int = 5, **options: object) -> None:
        self.world = hz.World(capacity=1024, kinds=[kind or ship()])
        self.ships = self.world.spawn(self.world.kinds[0], n, Position={"x": np.arange(n) * 3.0, "y": 0.0})
        self.replicator = Replicator(self.world, messages={Shot: 0, Said: 2}, max_observers=8, **options)
        self.observer = self.replicator.add_observer(int(self.ships[0]))
        self.replica = self.client(self.observer)
        self.frames: list[tuple[int, bytes]] = []

    def client(self, observer: int) -> Replica:
        return Replica(self.replicator.schema, phase=self.replicator.phase(observer))

    def step(self, n: int = 1) -> Replica:
        for _ in range(n):
            self.world.tick()
            frames = self.replicator.step()
            self.told: dict[str, Told] = {}
            for i, observer in enumerate(frames.observers.tolist()):
                if observer == self.observer:
                    self.frames.append((frames.tick, bytes(frames.buffer[frames.payload[i] : frames.stop[i]])))
                    self.replica.apply(self.frames[-1][1])
                    self.told = dict(self.replica.messages)
        return self.replica


def test_an_explosion_that_ends_its_entity_arrives_with_its_leave():
    small = Small()
    small.step(3)
    last = small.ships[3]
    small.replicator.emit(Shot(power=2.5), last)
    small.world.despawn([last])
    replica = small.step()
    assert replica.left.tolist() == [last]
    told = replica.messages["shot"]
    assert (told.handle.tolist(), told.power.tolist(), len(told)) == ([last], [2.5], 1)
    assert "1 × power, by" in repr(told)
    with pytest.raises(AttributeError, match="no field 'powr'"):
        _ = told.powr
    small.step()
    assert small.told == {}


def test_what_is_emitted_of_one_that_has_just_ended_arrives_as_well():
    small = Small()
    small.step(2)
    small.world.despawn(small.ships[2:3])
    small.replicator.emit(Shot, small.ships[1:3], {"power": [1.0, 2.0]})
    replica = small.step()
    assert replica.messages["shot"].handle.tolist() == small.ships[1:3].tolist()
    with pytest.raises(hz.StaleHandleError, match=f"no entity with the handle {small.ships[2]} lives"):
        small.replicator.emit(Shot, small.ships[2:3])


def test_events_wait_for_their_channel():
    small = Small()
    small.step(2)
    small.replicator.emit(Said, small.ships, {"mood": np.arange(5)})
    small.replicator.emit(Said, small.ships[:1], {"mood": 9}, channel=0)
    assert small.step().messages["chat"].mood.tolist() == [9]
    heard = []
    for _ in range(12):
        small.step()
        heard += [m.mood.tolist() for m in small.told.values()]
    assert heard == [[0, 1, 2, 3, 4]]
    tick = next(tick for tick, frame in small.frames if frame[0] & 8 and tick > 3)
    assert (tick + small.replica.phase) % 6 == 0


@hz.system
def shoot(entity: hz.Entity, place: hz.Read[Position], out: hz.Emit[Shot]):
    if place.x > 4.0:
        out.emit(Shot(power=place.x, by=entity))


def test_systems_emit():
    small = Small()
    small.world.add_system(shoot)
    told = small.step().messages["shot"]
    assert told.handle.tolist() == small.ships[2:].tolist()
    assert told.by.tolist() == small.ships[2:].tolist()
    assert told.power.tolist() == [6.0, 9.0, 12.0]
    assert small.replicator.stats.messages == 3


def test_what_systems_emit_of_what_nobody_can_follow_is_counted():
    stone = hz.Kind("Stone", Position)
    world = hz.World(capacity=1024, kinds=[ship(), stone])
    world.spawn(stone, 2, Position={"x": 9.0})
    world.add_system(shoot)
    replicator = Replicator(world, messages={Shot: 0})
    world.tick()
    replicator.step()
    assert (replicator.stats.messages, replicator.stats.messages_dropped) == (0, 2)


def test_order_is_that_of_emission_across_types_and_entities():
    small = Small()
    small.step(2)
    said = [(Shot, 3), (Said, 1), (Shot, 0), (Said, 4), (Said, 0), (Shot, 3)]
    for event, which in said:
        small.replicator.emit(event, small.ships[which], channel=0)
    messages = small.step().messages
    found = {int(p): (name, int(h)) for name, m in messages.items() for p, h in zip(m.place, m.handle, strict=True)}
    names = {Shot: "shot", Said: "chat"}
    assert [found[i] for i in range(6)] == [(names[event], int(small.ships[which])) for event, which in said]


def test_whoever_is_held_misses_what_was_emitted_and_it_is_counted():
    small = Small()
    small.step(2)
    small.replicator.hold(small.observer)
    small.replicator.emit(Shot, small.ships)
    small.step()
    assert small.replicator.stats.messages_missed == 5
    small.replicator.emit(Said, small.ships[:2])
    small.step()
    small.replicator.resume(small.observer)
    small.replicator.emit(Shot, small.ships[4])
    replica = small.step()
    assert replica.was_reset
    assert {name: m.handle.tolist() for name, m in replica.messages.items()} == {"shot": [small.ships[4]]}
    assert small.replicator.stats.messages_missed in (0, 2)  # by whether its channel was due meanwhile
    for _ in range(12):
        small.step()
        assert small.told == {}


def test_a_reset_without_a_hold_loses_nothing():
    small = Small()
    small.step(7)
    phase = small.replica.phase
    while (small.world.tick_count + 1 + phase) % 6 != 1:
        small.step()
    small.replicator.emit(Said, small.ships[:3])  # due in five ticks
    small.step(2)
    small.replicator.resume(small.observer)
    assert small.step().messages["chat"].handle.tolist() == small.ships[:3].tolist()
    assert small.replicator.stats.messages_missed == 0
    for _ in range(12):
        small.step()
        assert small.told == {}


def test_a_frame_has_room_for_so_many(monkeypatch):
    small = Small()
    small.step(2)
    for _ in range(kernels.MAX_EVENTS_A_FRAME // 4):
        small.replicator.emit(Shot, small.ships)
    assert len(small.step().messages["shot"]) == kernels.MAX_EVENTS_A_FRAME
    assert small.replicator.stats.messages_dropped == kernels.MAX_EVENTS_A_FRAME // 4
    monkeypatch.setattr(outbox, "MAX_PENDING", 8)
    small.step(3)
    small.replicator.emit(Shot, small.ships)
    with pytest.raises(hz.CapacityError, match=r"5 events wait .* of at most 8: 5 more"):
        small.replicator.emit(Shot, small.ships)
    assert len(small.step().messages["shot"]) == 5


@pytest.mark.parametrize(
    ("event", "given", "options", "message"),
    [
        (Boom, {}, {}, "Boom isn't told to followers: list it"),
        (5, {}, {}, "int isn't told"),
        (Shot, {"power": [1.0, 2.0]}, {}, "values must be of one event or of 5, one an entity, not of 2"),
        (Shot, {}, {"channel": 1}, "channel 1: kind 'Ship' has no such layer"),
        (Shot, {}, {"channel": 9}, "channel 9: kind 'Ship' has no such layer"),
        (Shot, {}, {"channel": "x"}, "channel 'x'"),
        (Shot, {"powr": 1.0}, {}, "powr"),
    ],
)
def test_what_cannot_be_emitted_is_refused_and_nothing_is_done(event, given, options, message):
    small = Small()
    with pytest.raises(hz.ArgumentError, match=message):
        small.replicator.emit(event, small.ships, given, **options)
    assert small.step().messages == {}


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ({Shot: 3}, "Shot is to be told on a channel"),
        ({Position: 0}, "decorated with @event"),
        ({Shot: "a"}, "channel"),
    ],
)
def test_messages_that_are_none_are_refused(messages, message):
    with pytest.raises(hz.DefinitionError, match=message):
        Replicator(hz.World(capacity=1024, kinds=[ship()]), messages=messages)


# -- texts -------------------------------------------------------------------------------------------------------


def test_texts_come_with_enters_and_changes_once():
    small = Small(ship(hz.Name))
    small.world.get(small.ships[1], hz.Name).text = "Ünterseeboot ☃"
    replica = small.step()
    assert replica.texts("Name.text") == ["", "Ünterseeboot ☃", "", "", ""]
    assert replica.text(1, "Name.text") is None
    with pytest.raises(hz.ArgumentError, match=r"no kind has a text Name.txt; did you mean .*Name.text"):
        replica.text(small.ships[0], "Name.txt")
    small.step(12)
    n_frames = len(small.frames)
    small.world.get(small.ships[2], hz.Name).text = "new"
    small.world.set(small.ships[3], hz.Name("other"))
    replica = small.step(13)
    assert replica.texts("Name.text")[2:4] == ["new", "other"]
    assert sum(frame[0] & 8 > 0 for _, frame in small.frames[n_frames:]) == 1
    late = small.world.spawn(small.world.kinds[0], 1, Position={"x": 1.0}, Name="late")
    assert small.step(7).text(late[0], "Name.text") == "late"
    small.world.despawn(late)
    assert small.step(2).text(late[0], "Name.text") is None


def test_a_slot_used_again_has_its_own_text():
    small = Small(ship(hz.Name))
    small.step(2)
    small.world.despawn(small.ships[4:])
    again = small.world.spawn(small.world.kinds[0], 1, Position={"x": 12.0}, Name="second")
    assert again[0] & 0xFFFFFFFF == small.ships[4] & 0xFFFFFFFF
    replica = small.step(7)
    assert replica.text(again[0], "Name.text") == "second"
    assert replica.text(small.ships[4], "Name.text") is None


def test_texts_and_events_of_one_that_is_moved():
    """It leaves and enters by its new handle, with its text; what was said of the old one arrives with the leave."""
    small = Small(ship(hz.Name))
    small.world.get(small.ships[4], hz.Name).text = "moved"
    small.step(7)
    small.world.despawn(small.ships[1:2])
    small.replicator.emit(Shot, small.ships[4:])
    moved = small.world.compact(small.world.kinds[0])
    (now,) = moved.translate(small.ships[4:]).tolist()
    assert now != small.ships[4]
    replica = small.step()
    assert small.told["shot"].handle.tolist() == small.ships[4:].tolist()
    assert small.ships[4] in replica.left
    small.step(6)
    assert replica.text(now, "Name.text") == "moved"
    assert replica.text(small.ships[4], "Name.text") is None


@pytest.mark.parametrize(
    ("value", "message"),
    [("\ud800", "text that UTF-8 can carry: surrogates not allowed at 0"), ("ü" * 513, "at most 1024 bytes of UTF-8, not 1026"), (5, "takes str, not 5")],
)  # fmt: skip
def test_what_no_text_can_be_is_refused_when_it_is_set(value, message):
    small = Small(ship(hz.Name))
    name = small.world.get(small.ships[0], hz.Name)
    name.text = "kept"
    with pytest.raises(hz.ArgumentError, match=message):
        name.text = value
    with pytest.raises(hz.ArgumentError, match=message):
        small.world.set(small.ships[0], hz.Name(value))
    assert small.step().texts("Name.text")[0] == "kept"


def test_what_was_no_text_before_anybody_listened_harms_nobody(caplog):
    world = hz.World(capacity=1024, kinds=[ship(Motto)])
    (handle, other) = world.spawn(world.kinds[0], 2)
    world.get(handle, Motto).__dict__["words"] = "\ud800"
    world.get(other, Motto).words = "fine"
    replicator = Replicator(world)
    observer = replicator.add_observer(int(handle))
    world.tick()
    frames = replicator.step()
    replica = Replica(replicator.schema, phase=replicator.phase(observer))
    replica.apply(frames.buffer[frames.payload[0] : frames.stop[0]])
    assert replica.texts("Motto.words") == ["", "fine"]
    assert replica.texts("Motto.seal") == [b"\0", b"\0"]
    assert "replicated as empty" in caplog.text


def test_deflated_texts_are_shorter_and_the_same():
    words = " ".join(f"barrel {i}" for i in range(90))
    sizes = []
    for compression in ("auto", "deflate"):
        small = Small(ship(Motto, compression={Motto: compression}))
        motto = small.world.get(small.ships[0], Motto)
        motto.words, motto.seal = words, bytes(range(200))
        replica = small.step()
        assert replica.text(small.ships[0], "Motto.words") == words
        assert replica.text(small.ships[0], "Motto.seal") == bytes(range(200))
        sizes.append(len(small.frames[0][1]))
    assert sizes[1] < sizes[0] - len(words) // 2


@hz.object_component
class Bag:
    items: list = dataclasses.field(default_factory=list)


def test_only_texts_are_texts():
    with pytest.raises(hz.DefinitionError, match="lists Bag, whose field items"):
        Replicator(hz.World(capacity=1024, kinds=[ship(Bag)]))


def test_the_pool_of_texts_is_closed_up():
    small = Small(ship(hz.Name))
    for i in range(600):
        for handle in small.ships:
            small.world.get(handle, hz.Name).text = f"{i} {handle} " + "x" * 100
        small.step()
    texts = small.replicator._outbox.texts
    assert len(texts.pool) <= 4 << 16
    small.step(7)
    assert small.replica.texts("Name.text") == [f"599 {handle} " + "x" * 100 for handle in small.ships]


def test_who_joins_a_shared_stream_has_its_texts():
    small = Small(ship(hz.Name))
    small.world.get(small.ships[1], hz.Name).text = "one"
    small.step(9)
    guest = small.replicator.add_observer(share=small.observer)
    replica = small.client(guest)
    for _ in range(90):
        small.world.tick()
        small.replicator.emit(Shot, small.ships[:1])
        frames = small.replicator.step()
        for i, observer in enumerate(frames.observers.tolist()):
            payload = frames.buffer[frames.payload[i] : frames.stop[i]]
            (replica if observer == guest else small.replica).apply(payload)
    assert replica.n_frames > 10
    assert replica.texts("Name.text") == small.replica.texts("Name.text") == ["", "one", "", "", ""]
    assert replica.messages.keys() == small.replica.messages.keys() == {"shot"}


def test_a_stream_that_somebody_has_goes_on_while_its_leader_is_held():
    small = Small(ship(hz.Name))
    guest = small.replicator.add_observer(share=small.observer)
    replicas = {small.observer: small.replica, guest: small.client(guest)}
    heard: dict[int, list[int]] = {observer: [] for observer in replicas}
    last: dict[int, int] = {}
    for tick in range(1, 121):
        if tick in (40, 70):
            (small.replicator.hold if tick == 40 else small.replicator.resume)(small.observer)
        small.replicator.emit(Said, small.ships[:1], {"mood": tick})  # waits for its channel
        small.world.get(small.ships[1], hz.Name).text = f"as of {tick}"
        small.world.tick()
        frames = small.replicator.step()
        for i, observer in enumerate(frames.observers.tolist()):
            replicas[observer].apply(frames.buffer[frames.payload[i] : frames.stop[i]])
            heard[observer] += [mood for told in replicas[observer].messages.values() for mood in told.mood.tolist()]
            last[observer] = frames.tick
    assert heard[guest] == list(range(heard[guest][0], heard[guest][-1] + 1))
    assert heard[guest][-1] >= 114
    assert small.replicator.stats.messages_missed == 0
    assert set(heard[small.observer]) < set(heard[guest])
    assert heard[small.observer] == sorted(set(heard[small.observer]))
    assert last[guest] == last[small.observer]
    assert replicas[guest].texts("Name.text") == small.replica.texts("Name.text")


# -- zones -------------------------------------------------------------------------------------------------------


def test_zones_tell_who_came_and_went():
    small = Small(zones=True)
    small.step()
    observers, handles = small.replicator.zone_enter(0)
    assert (observers.tolist(), handles.tolist()) == ([small.observer] * 5, small.ships.tolist())
    small.world.despawn(small.ships[:1])
    small.step()
    assert [a.tolist() for a in small.replicator.zone_exit(2)] == [[small.observer], [small.ships[0]]]
    small.replicator.remove_observer(small.observer)
    small.step()
    assert small.replicator.zone_exit(0)[1].tolist() == small.ships[1:].tolist()
    assert len(small.replicator.zone_enter(0)[0]) == 0
    for channel in (3, -1, "x"):
        with pytest.raises(hz.ArgumentError, match="channel must lie between 0 and 2"):
            small.replicator.zone_enter(channel)
    with pytest.raises(hz.ArgumentError, match="zones aren't watched"):
        Small().replicator.zone_exit(0)


# -- the kernels by themselves -----------------------------------------------------------------------------------

slots = st.lists(st.integers(0, 40), max_size=12)


@examples
@given(slots, slots)
def test_events_are_chained_by_slot(of, changed):
    events, texts = np.zeros((len(of), kernels.N_COLUMNS), np.int64), np.array(changed, np.uint32)
    events[:, kernels.SLOT] = of
    first, following, marked = np.zeros(48, np.int32), np.zeros(len(of), np.int32), np.zeros(6, np.uint8)
    kernels.link(events, texts, first, following, marked)
    chains, marks = naive.link(of, changed)
    for slot in range(48):
        chain, e = [], first[slot] - 1
        while e >= 0:
            chain.append(e)
            e = following[e] - 1
        assert chain == chains.get(slot, [])
    assert set(np.flatnonzero(np.unpackbits(marked, bitorder="little")).tolist()) == marks
    kernels.unlink(events, texts, first, marked)
    assert not first.any()
    assert not marked.any()


@examples
@given(
    st.lists(
        st.tuples(st.integers(-1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(5, 11), st.booleans()),
        max_size=8,
    )
)
def test_events_know_what_became_of_their_entities(rows):
    n, tick = len(rows), 9
    events = np.zeros((n, kernels.N_COLUMNS), np.int64)
    born = np.full(1024, 0xFFFFFFFF, np.uint32)
    generation, slot_kind = np.ones(1024, np.uint32), np.zeros(1024, np.uint8)
    expected = []
    for e, (kind, of, now, when, lives) in enumerate(rows):
        events[e] = e, 0, 5, 1, kernels.NEVER, kind, kind, -1, -1
        generation[e], slot_kind[e] = now, (e + now) % 3
        born[e] = when if lives else born[e]
        there = when if lives and of == now else None
        expected.append(naive.follow_event(events[e].tolist(), there, int(slot_kind[e]), tick))
    made = np.array([row[1] for row in rows], np.uint32)
    kernels.follow_events(tick, events, made, generation, born, np.zeros(1, np.int16), slot_kind)
    assert events.tolist() == expected


@examples
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1), st.binary(min_size=3, max_size=3)), max_size=8
    )
)
def test_events_are_encoded_as_the_wire_says(events):
    handles = np.array([slot | generation << 32 for slot, generation, _ in events], np.uint64)
    records = np.frombuffer(bytearray(b"".join(record for _, _, record in events)), np.uint8).reshape(-1, 3)
    out, ends = np.zeros(14 * len(events) + 1, np.uint8), np.zeros(len(events), np.int64)
    end = letters.encode_events(7, handles, records, 0, out, ends)
    made = [naive_wire.message(7, slot, generation) + record for slot, generation, record in events]
    assert out[:end].tobytes() == b"".join(made)
    assert ends.tolist() == np.cumsum([len(message) for message in made]).tolist()


@examples
@given(st.lists(st.tuples(st.integers(0, 300), st.lists(st.integers(0, 5), max_size=5)), max_size=5))
def test_messages_are_put_behind_frames(frames):
    events, texts = [b"", b"aa", b"b" * 200], [b"t", b"", b"x" * 70_000]
    octets = np.frombuffer(bytearray(b"".join(bytes(1 + size) for size, _ in frames) + b"\0"), np.uint8)
    span, told_span = np.zeros((len(frames), 3), np.int64), np.zeros((len(frames), 3), np.int64)
    notes, at = [], 0
    for s, (size, wanted) in enumerate(frames):
        span[s] = at + 1, at + 1, (at + 1 + size) if size else 0
        told_span[s] = 0, len(notes), len(wanted) if size else 0
        notes += [w if w >= 3 else w | 1 << 63 for w in wanted]
        at += 1 + size
    told = np.array([[note if note >> 63 else note - 3 for note in notes] + [0]], np.uint64)
    ends = np.cumsum([len(event) for event in events])
    start = np.array([[0, 1, 1]])
    length = np.array([[len(text) for text in texts]], np.uint32)
    pools = [np.frombuffer(bytearray(b"".join(pieces)), np.uint8) for pieces in (events, texts)]
    room = np.zeros(len(frames), np.int64)
    letters.measure(span, told_span, told, ends, start, length, room)
    out, place = np.zeros(int(room.sum()) + 1, np.uint8), np.cumsum(room) - room
    letters.attach(0, len(frames), span, told_span, told, octets, ends, pools[0], start, length, pools[1], place, out)
    for s, (size, wanted) in enumerate(frames):
        assert (span[s, 2] > 0) == (size > 0)
        if size:
            expected = naive_wire.attach(bytes(size), [(events + texts)[w] for w in wanted])
            assert out[span[s, 0] : span[s, 2]].tobytes() == expected
            assert out[span[s, 1] : span[s, 2]].tobytes() == expected[span[s, 1] - span[s, 0] :]
