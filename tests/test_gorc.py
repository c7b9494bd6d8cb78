"""Horizon's calls: objects, players, ranges and settings, against brute force and the replicator beneath."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import f4, kernel, u1
from tests import kernels

quick = settings(max_examples=25 if kernel.jit_enabled() else 3, deadline=None, derandomize=True, database=None)


@hz.component
class Position:
    x: f4
    y: f4
    z: f4


@hz.component
class Ore:
    iron: u1 = 7


class Rare(hz.Tag): ...


Rock = hz.Kind("Rock", Position, Ore, optional=[Rare], defaults=[Ore(9)], layers=[
    hz.Layer(0, 50, 30, [Position], 1 / 64), hz.Layer(2, 200, 10, [Position, Ore], 1 / 64)
])  # fmt: skip
Person = hz.Kind("Person", Position, layers=[hz.Layer(0, 100, 60, [Position], 1 / 64)])
Secret = hz.Kind("Secret", Position)


@hz.event
class Boom:
    power: f4


class Asteroid(hz.GorcObject, kind=Rock):
    def __init__(self, iron: int | None = None, rare: bool = False):
        super().__init__(*[Ore(iron)] * (iron is not None), *[Rare] * rare)


class Player(hz.GorcObject, kind=Person): ...


@pytest.fixture
def gorc():
    return hz.GorcSystem(kinds=[Asteroid, Person], capacity=4_096)


def position_of(gorc, handle):
    where = gorc.world.get(handle, Position)
    return [where.x, where.y, where.z]


# -- objects -----------------------------------------------------------------------------------------------------------


def test_objects_have_their_values_and_position(gorc):
    plain, rich = gorc.register_object(Asteroid(), (1, 2, 3)), gorc.register_object(Asteroid(50, True), [4, 5, 6])
    assert isinstance(plain, int)
    assert (gorc.world.get(plain, Ore).iron, gorc.world.get(rich, Ore).iron) == (9, 50)
    assert gorc.world.has([plain, rich], Rare).tolist() == [False, True]
    assert (position_of(gorc, plain), position_of(gorc, rich)) == ([1, 2, 3], [4, 5, 6])
    assert gorc.world.kind_of(plain) is Rock
    assert repr(Asteroid(3)) == f"Asteroid({Ore(3)!r})"
    gorc.unregister_object(plain)
    assert not gorc.world.alive(plain).any()


def test_many_objects_at_once(gorc):
    places = np.arange(30).reshape(10, 3)
    rocks = gorc.register_objects(Asteroid, places, Ore=np.arange(10))
    assert [position_of(gorc, int(r)) for r in rocks] == places.tolist()
    assert gorc.world.get(int(rocks[4]), Ore).iron == 4
    gorc.update_object_position(rocks[:2], [[1, 1, 1], [2, 2, 2]])
    gorc.update_object_position(int(rocks[2]), (3, 3, 3))
    gorc.update_object_position(rocks[3:5], (4, 4, 4))
    gorc.update_object_position(rocks[:0], (9, 9, 9))
    assert [position_of(gorc, int(r)) for r in rocks[:5]] == [[i] * 3 for i in (1, 2, 3, 4, 4)]


def test_on_one_channel_only(gorc):
    both = gorc.register_object(Asteroid(), (0, 0, 0))
    only = gorc.register_object_on_channel(Asteroid(5), 2, (0, 0, 0))
    (third,) = gorc.register_objects(Rock, [[0, 0, 0]], channel=2)
    player = gorc.add_player((0, 0, 0))
    for _ in range(10):
        gorc.tick()
    channels = {
        handle: [c.channel for c in gorc.replicator.explain(gorc.observer_of(player), handle).channels if c.followed]
        for handle in (both, only, int(third))
    }
    assert channels == {both: [0, 2], only: [2], int(third): [2]}
    assert gorc.world.get(only, Ore).iron == 5
    assert gorc.world.get(int(third), Ore).iron == 9
    assert gorc.get_stats().objects == {"Rock": 1, "Rock@2": 2}
    named = hz.GorcSystem(kinds=[(Asteroid, 2)])
    named.tick()
    named.register_object_on_channel(Asteroid(), 2, (0, 0, 0))
    with pytest.raises(hz.ArgumentError, match="kinds are fixed"):
        named.register_object(Asteroid(), (0, 0, 0))


@quick
@given(
    st.lists(st.tuples(*[st.integers(-20, 20)] * 3), max_size=40),
    st.lists(st.tuples(*[st.integers(-20, 20)] * 3), min_size=1, max_size=4),
    st.sampled_from([1.0, 5.0, 12.5, 100.0]),
)
def test_objects_in_range_are_what_brute_force_finds(places, points, radius):
    gorc = hz.GorcSystem(kinds=[Rock, Person], capacity=1_024)
    handles = [gorc.register_object(Asteroid() if i % 3 else Player(), place) for i, place in enumerate(places)]
    gorc.world.spawn(Secret, 5)  # at the origin, but no object of GORC's
    expected = [
        sorted(h for h, p in zip(handles, places, strict=True) if sum((a - b) ** 2 for a, b in zip(p, point, strict=True)) <= radius**2)
        for point in points
    ]  # fmt: skip
    assert [sorted(found.tolist()) for found in gorc.get_objects_in_ranges(points, radius)] == expected
    assert sorted(gorc.get_objects_in_range(points[0], radius).tolist()) == expected[0]


# -- players -----------------------------------------------------------------------------------------------------------


def test_players_see_what_is_near(gorc):
    early = gorc.add_player((0, 0, 0))
    ghost = gorc.add_player()
    rocks = gorc.register_objects(Rock, [[x, 0, 0] for x in (10, 150, 500)])
    gorc.remove_player(ghost)
    for _ in range(6):
        gorc.tick()
    late = gorc.add_player((500, 0, 0))
    for _ in range(6):
        frames = gorc.tick()
    assert gorc.get_subscriptions(early).tolist() == rocks[:2].tolist()
    assert gorc.get_subscriptions(late).tolist() == rocks[2:].tolist()
    assert set(frames.observers.tolist()) <= {gorc.observer_of(early), gorc.observer_of(late)}
    gorc.update_player_position([early, late], [[500, 0, 0], [0, 0, 0]])
    for _ in range(6):
        gorc.tick()
    assert gorc.get_subscriptions(early).tolist() == rocks[2:].tolist()
    gorc.unregister_object(rocks[2])
    assert gorc.register_objects(Rock, [[0, 0, 0]])[0] & 0xFFFFFFFF == rocks[2] & 0xFFFFFFFF
    assert gorc.get_subscriptions(early).tolist() == []
    assert (early, ghost, late) == (0, 1, 2)


def test_a_player_may_stand_at_an_object(gorc):
    ship = gorc.register_object(Player(), (0, 0, 0))
    before = gorc.add_player(entity=ship)
    free = gorc.add_player((900, 0, 0))
    gorc.update_player_position([before, free], [[5, 0, 0], [800, 0, 0]])
    gorc.tick()
    after = gorc.add_player(entity=ship)
    assert position_of(gorc, ship) == [5, 0, 0]
    gorc.update_player_position(after, (7, 0, 0))
    gorc.tick()
    assert position_of(gorc, ship) == [7, 0, 0]
    where = gorc.replicator.position
    assert where[gorc.observer_of(before)].tolist() == [7, 0, 0]
    assert where[gorc.observer_of(free)].tolist() == [800, 0, 0]


def test_many_players_at_once(gorc):
    players = gorc.add_players(np.zeros((50, 3)))
    gorc.update_player_position(players, np.full((50, 3), 3.0))
    gorc.tick()
    gorc.update_player_position(players[:25], (1, 2))
    assert gorc.replicator.position[gorc.observer_of(49)].tolist() == [3, 3, 3]
    assert gorc.replicator.position[gorc.observer_of(24)].tolist() == [1, 2, 3]
    assert gorc.get_stats().total_players == 50


# -- events, zones -----------------------------------------------------------------------------------------------------


def talking(**more):
    return hz.GorcSystem(kinds=[Asteroid, (Asteroid, 2), Person], capacity=4_096, messages={Boom: 0}, **more)


def told(gorc, player, ticks=1):
    """What a player hears of in some ticks, and its client."""
    replica = hz.Replica(gorc.replicator.schema, phase=gorc.replicator.phase(gorc.observer_of(player)))
    heard = []
    for _ in range(ticks):
        frames = gorc.tick()
        for who, first, last in zip(frames.observers, frames.payload, frames.stop, strict=True):
            if who == gorc.observer_of(player):
                replica.apply(frames.buffer[first:last])
                heard += [
                    (name, h, p) for name, m in replica.messages.items() for h, p in zip(m.handle, m.power, strict=True)
                ]
    return heard


def test_players_and_handlers_are_told_of_events():
    gorc = talking()
    near, far = gorc.register_objects(Asteroid, [[10, 0, 0], [120, 0, 0]]).tolist()
    only = gorc.register_object_on_channel(Asteroid(), 2, (0, 0, 0))
    person = gorc.register_object(Player(), (0, 0, 0))
    player, seen = gorc.add_player((0, 0, 0)), []

    @gorc.on_gorc_instance(Asteroid, 0, Boom)
    def crack(objects, records):
        seen.append((objects.tolist(), records["power"].tolist()))
        gorc.world.set(objects, Ore, 0)

    gorc.on_gorc_instance(Rock, 2, Boom, lambda objects, records: seen.append((2, objects.tolist())))
    gorc.emit_gorc_instance([near, far, person], 0, Boom, {"power": [1.0, 2.0, 3.0]})
    gorc.emit_gorc_instance(near, 0, Boom(power=4.0))
    gorc.emit_gorc_instance([far, only], 2, Boom(power=5.0))
    heard = told(gorc, player, 12)
    assert heard == [
        ("boom", near, 1.0),
        ("boom", person, 3.0),
        ("boom", near, 4.0),
        ("boom", far, 5.0),
        ("boom", only, 5.0),
    ]
    assert seen == [([near, far, near], [1, 2, 4]), (2, [far, only])]
    assert (gorc.world.get(near, Ore).iron, gorc.world.get(only, Ore).iron) == (0, 9)
    assert gorc.get_stats().events_sent == 5


def test_handlers_are_told_what_systems_emit_and_only_of_who_lives():
    @hz.system
    def burst(entity: hz.Entity, ore: hz.Read[Ore], boom: hz.Emit[Boom]):
        if ore.iron > 100:
            boom.emit(Boom(power=ore.iron))

    gorc = talking()
    gorc.world.add_system(burst)
    rich = gorc.register_object(Asteroid(101), (0, 0, 0))
    gone = gorc.register_object(Asteroid(102), (0, 0, 0))
    gorc.tick()
    seen = []
    gorc.on_gorc_instance(
        Asteroid, 0, Boom, lambda objects, records: seen.append((objects.tolist(), records["power"].tolist()))
    )
    gorc.emit_gorc_instance([rich, gone], 0, Boom(power=1.0))
    gorc.unregister_object(gone)
    gorc.tick()
    assert seen == [([rich, rich], [1.0, 101.0])]


def test_events_of_those_who_are_moved_together_find_their_handlers():
    gorc, seen = talking(), []
    gorc.on_gorc_instance(Asteroid, 0, Boom, lambda objects, records: seen.extend(objects.tolist()))
    rocks = gorc.register_objects(Asteroid, np.zeros((3_000, 3)))
    gorc.tick()
    gorc.unregister_object(rocks[:-1])
    gorc.tick()
    gorc.emit_gorc_instance(rocks[-1:], 0, Boom(power=1.0))
    moved = gorc.world.compact()
    gorc.tick()
    assert seen == moved.translate(rocks[-1:]).tolist() != rocks[-1:].tolist()


def test_zones_say_players_also_where_numbers_of_observers_were_given_again():
    gorc = talking(zones=True, max_observers=2)
    rocks = gorc.register_objects(Asteroid, [[10, 0, 0], [120, 0, 0]])
    first, second = gorc.add_player(), gorc.add_player((500, 0, 0))

    def zones(channel):
        return [[a.tolist() for a in pair] for pair in (gorc.gorc_zone_enter(channel), gorc.gorc_zone_exit(channel))]

    gorc.tick()
    assert zones(0) == [[[first], [rocks[0]]], [[], []]]
    gorc.remove_player(first)
    third = gorc.add_player((120, 0, 0))
    for _ in range(2):
        gorc.tick()
        if gorc.gorc_zone_enter(0)[0].size:
            break
    assert gorc.gorc_zone_enter(0)[0].tolist() == [third]
    assert gorc.gorc_zone_enter(0)[1].tolist() == [rocks[1]]
    gorc.unregister_object(rocks[1:])
    gorc.tick()
    assert zones(0) == [[[], []], [[third], [rocks[1]]]]
    assert second not in gorc.gorc_zone_exit(2)[0]


def test_the_exits_of_a_player_who_was_removed_have_its_number():
    gorc = talking(zones=True, max_observers=1)
    rock = gorc.register_object(Asteroid(), (10, 0, 0))
    first = gorc.add_player()
    gorc.tick()
    gorc.remove_player(first)
    second = gorc.add_player((9_000, 0, 0))
    gorc.tick()
    assert [a.tolist() for a in gorc.gorc_zone_exit(0)] == [[first], [rock]]
    gorc.update_player_position(second, (0, 0, 0))
    gorc.tick()
    gorc.tick()
    assert gorc.get_subscriptions(second).tolist() == [rock]


def test_events_and_zones_that_are_refused(gorc):
    rock = gorc.register_object(Asteroid(), (0, 0, 0))
    with pytest.raises(hz.ArgumentError, match="Boom isn't told to followers: list it"):
        gorc.emit_gorc_instance(rock, 0, Boom(power=1.0))
    with pytest.raises(hz.ArgumentError, match="zones=True"):
        gorc.gorc_zone_enter(0)
    with pytest.raises(hz.ArgumentError, match="a channel's number, not True"):
        gorc.on_gorc_instance(Asteroid, True, Boom, print)
    with pytest.raises(hz.ArgumentError, match="decorated with @event, not 3"):
        gorc.on_gorc_instance(Asteroid, 0, 3, print)
    with pytest.raises(hz.DefinitionError, match="has no kind"):
        gorc.on_gorc_instance("Asteroid", 0, Boom, print)
    with pytest.raises(hz.ArgumentError, match="Boom isn't told"):
        gorc.on_gorc_instance(Asteroid, 0, Boom, print)
    speaking = talking()
    rock = speaking.register_object(Asteroid(), (0, 0, 0))
    with pytest.raises(hz.ArgumentError, match="has no such layer"):
        speaking.emit_gorc_instance(rock, 1, Boom(power=1.0))


# -- settings, statistics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_settings_reach_the_replicator_before_and_after_the_first_tick(gorc, late):
    spatial, network = hz.SpatialConfig(70.0, 75.0), hz.NetworkConfig(batch_size=5)
    if late:
        gorc.tick()
    gorc.configure_spatial_partitioning(spatial)
    gorc.configure_network(network)
    gorc.tick()
    assert (gorc.replicator.spatial, gorc.replicator.network) == (spatial, network)
    assert all(70 <= 1 / inverse <= 75.01 for inverse in kernels.grid_of(gorc.replicator).inverse_size)


def test_statistics_add_up(gorc):
    assert gorc.get_stats().total_subscriptions == 0
    gorc.register_objects(Rock, np.zeros((20, 3)))
    gorc.register_object(Player(), (0, 0, 0))
    gorc.add_player((0, 0, 0))
    sizes = [int((f.stop - f.payload).sum()) for f in (gorc.tick() for _ in range(12))]
    stats = gorc.get_stats()
    assert (stats.total_objects, stats.total_players, stats.total_subscriptions, stats.tick) == (21, 1, 21, 12)
    assert (stats.objects, stats.bytes_transmitted, stats.enters) == ({"Rock": 20, "Person": 1}, sum(sizes), 21)
    assert json.loads(json.dumps(stats.to_dict()))["frames_sent"] == sum(size > 0 for size in sizes)
    assert str(stats).startswith("Tick 12: 21 objects, 1 players, 21 pairs; ")
    assert repr(gorc) == "GorcSystem(21 objects, 1 players)"


def test_it_takes_a_world_and_a_component_of_ones_own():
    @hz.component
    class Spot:
        x: f4
        y: f4

    tile = hz.Kind("Tile", Spot, layers=[hz.Layer(0, 5, 60, [Spot], 1 / 8)])
    world = hz.World(kinds=[tile], tick_rate=30)
    gorc = hz.GorcSystem(
        world, position=Spot, max_followed=3, spatial=hz.SpatialConfig(6, 7), network=hz.NetworkConfig()
    )
    tiles = gorc.register_objects(tile, np.zeros((4, 2)))
    player = gorc.add_player((1, 1))
    gorc.tick()
    assert gorc.world is world
    assert len(gorc.get_subscriptions(player)) == 3
    assert gorc.get_objects_in_range((0, 0), 1.0).tolist() == tiles.tolist()


def test_what_is_refused(gorc):
    with pytest.raises(hz.DefinitionError, match="takes a Kind, not 5"):

        class Wrong(hz.GorcObject, kind=5): ...

    with pytest.raises(hz.DefinitionError, match="has no kind"):
        hz.GorcObject()
    with pytest.raises(hz.ArgumentError, match="Player takes components of kind 'Person', each once .*not Ore"):
        Player(Ore(1))
    with pytest.raises(hz.ArgumentError, match="each once"):
        Player(Position(), Position())
    with pytest.raises(hz.ArgumentError, match="not 3"):
        gorc.register_object(3, (0, 0, 0))
    with pytest.raises(hz.ArgumentError, match=r"no layer of channel 1; it has \[0, 2\]"):
        gorc.register_object_on_channel(Asteroid(), 1, (0, 0, 0))
    with pytest.raises(hz.DefinitionError, match="nobody would ever see it"):
        gorc.register_objects(Secret, [[0, 0, 0]])
    with pytest.raises(hz.ArgumentError, match="a row an object"):
        gorc.register_objects(Rock, (0, 0, 0))
    rock = gorc.register_object(Asteroid(), (0, 0, 0))
    for position in ("here", (1,), (1, np.nan, 0), [[[0, 0, 0]]]):
        with pytest.raises(hz.ArgumentError, match="position must be"):
            gorc.add_player(position)
        with pytest.raises(hz.ArgumentError, match="position must be"):
            gorc.update_object_position(rock, position)
    player = gorc.add_player()
    with pytest.raises(hz.ArgumentError, match="2 rows for 1 players"):
        gorc.update_player_position(player, np.zeros((2, 3)))
    gorc.remove_player(player)
    with pytest.raises(hz.ArgumentError, match="player 0 was removed"):
        gorc.update_player_position(player, (0, 0, 0))
    for nobody in (7, -1, 1.5, "me"):
        with pytest.raises(hz.ArgumentError, match="no such player"):
            gorc.remove_player(nobody)
    with pytest.raises(hz.StaleHandleError):
        gorc.add_player(entity=99)
    with pytest.raises(hz.ArgumentError, match="takes a SpatialConfig"):
        gorc.configure_spatial_partitioning(None)
    with pytest.raises(hz.ArgumentError, match="takes a NetworkConfig"):
        gorc.configure_network({})
    gorc.world.despawn(rock)
    with pytest.raises(hz.StaleHandleError):
        gorc.update_object_position(rock, (0, 0, 0))
    with pytest.raises(hz.DefinitionError, match="called Position or named"):
        hz.GorcSystem().get_objects_in_range((0, 0, 0), 5)
