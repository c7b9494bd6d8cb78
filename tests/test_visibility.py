"""Who may not see what: random worlds against brute force, and bytes that must never be in a frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import kernel, u4, u8
from horizon_ecs.errors import ArgumentError, CapacityError, DefinitionError, StaleHandleError
from horizon_ecs.subscriptions import MAX_SUBSCRIBED_GROUPS, MAX_SUBSCRIPTIONS
from tests import kernels, naive
from tests.hidden import EVERY_SECRET, Purse, Secrets
from tests.properties import few_or_many
from tests.streams import EVERYTHING, Position, Stage, play

COMPILED = kernel.jit_enabled()
N_TICKS = 60 if COMPILED else 15


def crowd(stage: Secrets) -> Secrets:
    for kind in range(len(stage.kinds)):
        stage.spawn(kind, 8)
    stage.watch()
    stage.watch(stage.living[0])
    return stage


@few_or_many(
    few=3,
    many=8,
    seed=st.integers(0, 2**32 - 1),
    hysteresis=st.sampled_from([0.0, 0.1, 1.0]),
    max_followed=st.sampled_from([12, 4096]),
    n_threads=st.sampled_from([1, 2]),
)
def test_interest_is_what_brute_force_says(seed, hysteresis, max_followed, n_threads):
    stage = Secrets(seed=seed, hysteresis=hysteresis, max_followed=max_followed, n_threads=n_threads)
    play(crowd(stage), N_TICKS, *EVERY_SECRET, *EVERYTHING)


def test_profiles_and_scales_among_secrets():
    stage = Secrets(seed=5, hysteresis=0.1, max_followed=4096)
    stage.counts_updates = False
    play(crowd(stage), N_TICKS, Stage.change_profiles, Stage.rescale, *EVERY_SECRET, *EVERYTHING)


@pytest.mark.parametrize("act", EVERY_SECRET, ids=lambda act: act.__name__)
def test_each_reason_alone(act):
    play(crowd(Secrets(seed=17)), N_TICKS // 2, act, *EVERYTHING)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_interest_for_longer(seed):
    play(crowd(Secrets(seed=seed, max_followed=(12, 4096)[seed % 2])), 200, *EVERY_SECRET, *EVERYTHING)


def test_parts_and_threads_change_nothing(monkeypatch):
    kernels.every_stage_parallel(monkeypatch)
    play(crowd(Secrets(seed=5, n_threads=2)), N_TICKS // 2, *EVERY_SECRET, *EVERYTHING)


# -- bytes that must not be there ----------------------------------------------------------------------------------


CANARY = 0x5A5A_C3D2


def holds_canary(frame: bytes) -> bool:
    """Whether it stands anywhere in a frame, as it is or zig-zag, at any bit, with or without its leading one."""
    bits = int.from_bytes(frame, "little")
    low = {
        number & (1 << number.bit_length() - 1) - 1: number.bit_length() - 1 for number in (CANARY, naive.zz(CANARY))
    }
    return any((bits >> at) & ((1 << n) - 1) == wanted for wanted, n in low.items() for at in range(8 * len(frame)))


def test_a_canary_is_found_where_it_may_be():
    """What the tests below look for is what a frame would have, absolute or as a change."""
    stage = Secrets(seed=2)
    own = stage.spawn(0, 1, 1.0)[0]
    stage.world[Purse].gold[own & 0xFFFFFFFF] = CANARY
    watcher = stage.watch(own)
    play(stage, 4)
    assert any(holds_canary(frame) for frame in watcher.frames)
    stage.world[Purse].gold[own & 0xFFFFFFFF] = 0
    play(stage, 20)
    del watcher.frames[:]
    stage.world[Purse].gold[own & 0xFFFFFFFF] = CANARY
    play(stage, 4)
    assert any(holds_canary(frame) for frame in watcher.frames)


@pytest.mark.parametrize("seed", range(2))
def test_no_byte_of_an_owners_fields_is_in_the_frames_of_others(seed):
    stage = crowd(Secrets(seed=seed))
    stage.world[Purse].gold[:] = CANARY
    for watcher in stage.watchers:
        stage.replicator.subscribe(watcher.number, stage.living)
        watcher.twin.lens.subscribed += [[handle, 255] for handle in stage.living]
    stage.replicator.set_owner(stage.living, -1)
    for handle in stage.living:
        stage.told[handle] = {"owner": -1}
    play(stage, N_TICKS // 2, Stage.move, Secrets.hide, Secrets.change_rooms, Secrets.look_about)
    for watcher in stage.watchers:
        assert watcher.frames
        assert not any(holds_canary(frame) for frame in watcher.frames)
        assert not (watcher.replica.column("Purse", "gold") == CANARY).any()


@pytest.mark.parametrize("how", ["set_visible_to", "set_sees", "set_room", "set_observer_room", "column"])
def test_what_is_hidden_is_in_no_frame_from_then_on(how):
    """It leaves with the next frame, though its own channel isn't due for long, and what it becomes is nowhere."""

    @hz.component
    class Team:
        mask: u8 = 1

    @hz.component
    class Slow:
        value: u4

    fast = hz.Layer(0, 10.0, 60.0, [Position], 1.0)
    kind = hz.Kind("Spy", Position, Team, Slow, layers=[fast, hz.Layer(1, 100.0, 1.0, [Slow])])
    world = hz.World(capacity=64, tick_rate=60, kinds=[kind])
    spy = world.spawn(kind, 1, Position=[[50.0, 0.0, 0.0]])[0]
    world.spawn(kind, 1)
    replicator = hz.Replicator(world, visible_to="Team.mask" if how == "column" else None)
    observer = replicator.add_observer()
    replica = hz.Replica(replicator.schema, phase=replicator.phase(observer))

    def tick() -> bytes:
        world.tick()
        frames = replicator.step()
        sent = b"".join(bytes(frames.buffer[a:b]) for a, b in zip(frames.payload, frames.stop, strict=True))
        if sent:
            replica.apply(sent)
        return sent

    for _ in range(70):
        tick()
    assert spy in replica.handle
    world[Slow].value[spy & 0xFFFFFFFF] = CANARY
    if how == "column":
        world[Team].mask[spy & 0xFFFFFFFF] = 0
    else:
        value = {"set_sees": 1, "set_visible_to": 0, "set_room": 5, "set_observer_room": 5}[how]
        if how == "set_sees":
            replicator.set_visible_to(spy, 2)
        getattr(replicator, how)(observer if "bserver" in how or how == "set_sees" else spy, value)
    sent = [tick()]
    assert spy not in replica.handle
    sent += [tick() for _ in range(130)]
    assert spy not in replica.handle
    assert not any(holds_canary(frame) for frame in sent)


def test_a_slot_that_is_used_again_has_no_secrets():
    stage = Secrets(seed=1)
    watcher = stage.watch()
    old = stage.spawn(2, 1, 1.0)[0]
    stage.replicator.set_visible_to(old, 0)
    stage.replicator.set_room(old, 9)
    stage.replicator.set_owner(old, watcher.number)
    watcher.twin.lens.owned.append(old)
    stage.told[old] = {"visible_to": 0, "room": 9, "owner": watcher.number}
    play(stage, 6)
    assert not watcher.twin.list
    stage.despawn([old])
    new = stage.spawn(2, 1, 1.0)[0]
    assert new & 0xFFFFFFFF == old & 0xFFFFFFFF
    play(stage, 6)
    assert [f.living.handle for f in watcher.twin.list] == [new]


# -- calls ---------------------------------------------------------------------------------------------------------


@hz.component
class Guild:
    level: u4


class MemberOf(hz.Relation): ...


def small_world(**options):
    kind = hz.Kind("Ship", Position, Guild, optional=[MemberOf], layers=[hz.Layer(0, 10.0, 60.0, [Position], 1.0)])
    world = hz.World(capacity=2_000, tick_rate=60, kinds=[kind])
    handles = world.spawn(kind, 4, Position=np.arange(4)[:, None] * [1_000.0, 0, 0])
    return world, handles, hz.Replicator(world, max_observers=8, **options)


def followed(world, replicator, observer):
    world.tick()
    replicator.step()
    slots = [entry[0] for entry in kernels.entries_of(replicator, observer)]
    return sorted(int(h) for h in world.handles_of(np.array(slots, np.uint32)))


def test_sources_of_a_relation_are_followed_as_they_change():
    world, handles, replicator = small_world()
    a, b, c, d = handles.tolist()
    observer = replicator.add_observer(position=(-500.0, 0.0))
    world.add([b, c], MemberOf(target=d))
    replicator.subscribe_sources(observer, d, MemberOf)
    assert followed(world, replicator, observer) == [b, c]
    world.add(a, MemberOf(target=d))
    world.remove(b, MemberOf)
    assert followed(world, replicator, observer) == [a, c]
    moved = world.compact()
    assert followed(world, replicator, observer) == sorted(moved.translate([a, c]).tolist())
    replicator.unsubscribe_sources(observer, moved.translate(d).item(), MemberOf)
    assert followed(world, replicator, observer) == []
    replicator.subscribe_sources(observer, moved.translate(d).item(), MemberOf)
    world.despawn(moved.translate(d).item())
    assert followed(world, replicator, observer) == []
    with pytest.raises(ArgumentError, match="no group"):
        replicator.unsubscribe_sources(observer, moved.translate(d).item(), MemberOf)


def test_subscriptions_follow_compaction_and_end_with_either_side():
    world, handles, replicator = small_world()
    a, b, c, d = handles.tolist()
    observer = replicator.add_observer(position=(-500.0, 0.0))
    replicator.subscribe(observer, [b, d])
    replicator.join_group([c, d], "party")
    replicator.subscribe_group(observer, "party")
    replicator.set_room(d, 3)
    replicator.set_observer_room(observer, 3)
    assert followed(world, replicator, observer) == [d]
    world.despawn([a])
    moved = world.compact()
    b, c, d = moved.translate([b, c, d]).tolist()
    assert followed(world, replicator, observer) == [d]
    replicator.set_observer_room(observer, 0)
    assert followed(world, replicator, observer) == [b, c]
    assert replicator.members("party").tolist() == [c, d]
    world.despawn(c)
    assert followed(world, replicator, observer) == [b]
    replicator.remove_observer(observer)
    assert replicator.add_observer(position=(-500.0, 0.0)) == observer
    assert followed(world, replicator, observer) == []
    replicator.end_group("party")
    with pytest.raises(ArgumentError, match="no group 'party'"):
        replicator.members("party")


def test_limits_are_refused_and_nothing_is_done():
    world, handles, replicator = small_world()
    many = world.spawn(world.kinds[0], MAX_SUBSCRIPTIONS)
    observer = replicator.add_observer(position=(-500.0, 0.0))
    replicator.subscribe(observer, handles[:2])
    with pytest.raises(CapacityError, match="1026 entities; at most 1024"):
        replicator.subscribe(observer, many)
    assert followed(world, replicator, observer) == sorted(handles[:2].tolist())
    world.despawn(handles[:2])
    replicator.subscribe(observer, many)
    assert followed(world, replicator, observer) == sorted(many.tolist())
    for group in range(MAX_SUBSCRIBED_GROUPS):
        replicator.subscribe_group(observer, group)
    replicator.subscribe_group(observer, 0)
    with pytest.raises(CapacityError, match="64 groups"):
        replicator.subscribe_group(observer, "one more")


BAD = [
    (lambda r, o, h: r.set_visible_to(h, -1), "masks must be"),
    (lambda r, o, h: r.set_visible_to(h, [1, 2]), "masks must be"),
    (lambda r, o, h: r.set_sees(o, 0.5), "masks must be"),
    (lambda r, o, h: r.set_sees(o + 1, 1), "observer 1 doesn't exist"),
    (lambda r, o, h: r.set_sees([[o]], 1), "at most one dimension"),
    (lambda r, o, h: r.set_room(h, 2**32), "rooms must be"),
    (lambda r, o, h: r.set_observer_room(o, hz.EVERYWHERE), "rooms must be"),
    (lambda r, o, h: r.set_focus(o, (1.0,)), "points must be"),
    (lambda r, o, h: r.set_focus(o, (1.0, np.nan)), "points must be"),
    (lambda r, o, h: r.set_focus(o, (1.0, 2.0), scale=0), "scale must be"),
    (lambda r, o, h: r.set_view(o, (0.0, 0.0)), "directions must have a length"),
    (lambda r, o, h: r.set_view(o, (1.0, 0.0), 4.0), "half_angle must be"),
    (lambda r, o, h: r.set_view(o, (1.0, 0.0), 1.0, inside=0, outside=0), "can't both be 0"),
    (lambda r, o, h: r.subscribe([o, o], [h] * 3), "2 observers don't go with 3 handles"),
    (lambda r, o, h: r.subscribe(o, h, 8), "channels go from 0 to 7"),
    (lambda r, o, h: r.subscribe(o, h, []), "channels lists none"),
    (lambda r, o, h: r.set_owner(h, 5), "observer 5 doesn't exist"),
    (lambda r, o, h: r.join_group(h, []), "hashable"),
    (lambda r, o, h: r.leave_group(h, "none"), "no group 'none'"),
    (lambda r, o, h: r.join_group(h, (MemberOf, h)), "subscribe_sources"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_arguments_are_named(call, words):
    world, handles, replicator = small_world()
    observer = replicator.add_observer(position=(-500.0, 0.0))
    with pytest.raises(ArgumentError, match=words):
        call(replicator, observer, int(handles[0]))
    assert followed(world, replicator, observer) == []


def test_dead_handles_are_refused():
    world, handles, replicator = small_world()
    observer = replicator.add_observer()
    world.despawn(handles[0])
    for call in (
        lambda h: replicator.set_visible_to(h, 1),
        lambda h: replicator.set_room(h, 1),
        lambda h: replicator.set_owner(h, observer),
        lambda h: replicator.subscribe(observer, h),
        lambda h: replicator.join_group(h, "party"),
        lambda h: replicator.subscribe_sources(observer, h, MemberOf),
    ):
        with pytest.raises(StaleHandleError):
            call(handles[0])
    replicator.unsubscribe(observer, handles[0])


@pytest.mark.parametrize("name", ["Team", "Position.x", "Position.team", "Nobody.mask"])
def test_masks_are_read_from_fields_of_bits(name):
    with pytest.raises(DefinitionError, match=r"visible_to"):
        small_world(visible_to=name)


def test_masks_come_from_one_place():
    _, handles, replicator = small_world(visible_to="Guild.level")
    with pytest.raises(ArgumentError, match="from a component"):
        replicator.set_visible_to(handles, 1)


def test_layers_say_whether_they_are_for_owners():
    with pytest.raises(DefinitionError, match="owner_only must be True or False"):
        hz.Layer(0, 1.0, 1.0, [Position], owner_only="yes")
    assert hz.Layer(0, 1.0, 1.0, [Position], owner_only=True).owner_only


# -- why -----------------------------------------------------------------------------------------------------------


def test_interest_says_why():
    world, handles, replicator = small_world()
    a, b, c, d = handles.tolist()
    observer = replicator.add_observer(position=(0.0, 0.0))
    assert followed(world, replicator, observer) == [a]
    row = {"kind": "Ship", "channels": [0]}
    assert replicator.interest(observer) == [{"entity": a, **row, "why": {"near": [0]}}]
    replicator.subscribe(observer, [a, b])
    replicator.join_group(c, "party")
    replicator.subscribe_group(observer, "party")
    replicator.set_focus(observer, (3_000.0, 0.0))
    assert followed(world, replicator, observer) == handles.tolist()
    why = {one["entity"]: one["why"] for one in replicator.interest(observer)}
    assert why == {
        a: {"near": [0], "subscription": [0]},
        b: {"subscription": [0]},
        c: {("group", "party"): [0]},
        d: {"focus": [0]},
    }
    replicator.unsubscribe(observer, b)
    assert {one["entity"]: one["why"] for one in replicator.interest(observer)}[b] == {"kept": [0]}
    assert replicator.explain(observer, c).channels[0].reason.code == "subscribed"
    spectator = replicator.add_observer(share=observer)
    assert replicator.interest(spectator) == replicator.interest(observer)
    with pytest.raises(ArgumentError, match="doesn't exist"):
        replicator.interest(7)


def test_hidden_entities_are_explained():
    stage = Secrets(seed=1)
    own, other = stage.spawn(0, 2, 1.0)
    watcher = stage.watch(own)
    play(stage, 8)
    explain = stage.replicator.explain
    assert explain(watcher.number, other).channels[1].reason.code == "owner only"
    assert explain(watcher.number, own).channels[1].followed
    assert [r["why"]["owner"] for r in stage.replicator.interest(watcher.number) if r["entity"] == own] == [[1]]
    stage.replicator.set_visible_to(other, 0)
    assert explain(watcher.number, other).reason.code == "masked"
    stage.replicator.set_room(other, 3)
    assert explain(watcher.number, other).reason.text == "the entity is in room 3, the observer in room 0"


# -- rooms and the grid --------------------------------------------------------------------------------------------


def test_rooms_that_overlap_share_no_cells():
    """Twins of one place in many rooms lie spread over the cells, and one room's lie where their places say."""
    n = 1_000
    born, position = np.zeros(1024, np.uint32), np.full((3, 1024), 3.0, np.float32)
    born[n:] = kernels.DEAD
    shape = [[0, 6, 6, 0]]
    start, slots, *_ = kernels.build_grid([0], [0], born, position, [1 / 8], shape, 2, rooms=np.arange(1024))
    assert slots.tolist() != sorted(slots.tolist())
    assert np.diff(start).max() <= 6
    start, *_ = kernels.build_grid([0], [0], born, position, [1 / 8], shape, 2)
    assert start[1] == n
    built = kernels.build_grid([0], [0], born, position, [1 / 8], shape, 2, rooms=np.full(1024, 5))
    assert len(kernels.scan((3.0, 3.0, 3.0), 2.0, 4.0, 1 / 8, shape[0], built, room=5)) == n
    assert not kernels.scan((3.0, 3.0, 3.0), 2.0, 4.0, 1 / 8, shape[0], built, room=4)


# -- kernels -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 9), st.integers(0, 9)), max_size=20))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_defaults_are_for_whoever_is_new(rows):
    generation, known, masks, rooms = (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [], [])
    about, told = kernels.forget_dead(generation, known, list(zip(masks, rooms, strict=True)))
    assert about == generation
    assert told == naive.forget_dead(generation, known, list(zip(masks, rooms, strict=True)))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("pages", [[], [1], [0, 1]])
def test_masks_are_taken_page_by_page(dtype, pages):
    rng = np.random.RandomState(3)
    column = rng.randint(0, 3, 2048).astype(dtype)
    masks = rng.randint(0, 3, 2048).tolist()
    assert kernels.take_masks(pages, column, masks, 7) == naive.take_masks(pages, column.tolist(), masks)


def test_the_angle_of_a_cone_is_half_of_what_is_seen():
    kind = hz.Kind("Mark", Position, layers=[hz.Layer(0, 10.0, 60.0, [Position], 1.0)])
    world = hz.World(capacity=64, tick_rate=60, kinds=[kind])
    angles = np.arange(0, 360, 10)
    ring = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles)), 0 * angles], axis=1) * 8.0
    marks = world.spawn(kind, len(ring), Position=ring)
    replicator = hz.Replicator(world)
    observer = replicator.add_observer()
    replicator.set_view(observer, (0.0, 2.0), math.radians(45), outside=0.5)
    seen = followed(world, replicator, observer)
    assert seen == sorted(marks[(angles >= 45) & (angles <= 135)].tolist())
    replicator.set_view(observer, None)
    assert len(followed(world, replicator, observer)) == len(marks)
