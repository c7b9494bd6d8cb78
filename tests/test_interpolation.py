"""Interpolation: the kernels against their twin, and what a player would see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import f4, i2
from horizon_ecs.systems.interpolate import ANGLE, HERMITE, LINEAR, ROTATION, STEP
from tests import kernels, naive_interpolate
from tests.test_golden import load

RATE = 60
quick = settings(max_examples=30, deadline=None, derandomize=True, database=None)
values = st.floats(-20, 20, width=16)
ticks = st.floats(0, 3, width=16)


@quick
@given(
    st.sampled_from([[LINEAR], [HERMITE, STEP], [ANGLE, LINEAR], [ROTATION] * 4]),
    st.sampled_from([1.0, 3.0, math.inf]),
    st.lists(
        st.tuples(
            st.sampled_from([1, 2, 6]), st.integers(-1, 9), st.lists(values, min_size=4, max_size=4),
            st.lists(st.one_of(st.just(math.nan), values), min_size=4, max_size=4), ticks, st.booleans()
        ),
        max_size=25,
    ),
)  # fmt: skip
def test_the_kernels_do_what_their_twin_does(modes, speed, script):
    fast, plain = kernels.Track(modes, 5.0, 8.0, speed, 4), naive_interpolate.Track(modes, 5.0, 8.0, speed, 4)
    sampled, now = 10.0, 0.0
    plain.retime(1, True, 2.0, now)
    fast.retime(1, True, 2.0, now)
    for period, step, given_, before, late, entered in script:
        sampled += step * period
        now = max(now, sampled + late)
        fresh = entered and step == 0
        for track in (fast, plain):
            track.retime(1, fresh, float(period), now)
            track.push(1, sampled, float(period), given_[: len(modes)], before[: len(modes)], now)
        for moment in (now, now + 0.7, now + 2.9, now + 20):
            np.testing.assert_allclose(fast.sample(1, moment), plain.sample(1, moment), rtol=1e-9, atol=1e-7)


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Health:
    hp: i2


NEAR = hz.Layer(channel=0, radius=100, frequency=30, fields=[Position, Health], precision=1 / 64)
FAR = hz.Layer(channel=3, radius=900, frequency=2, fields=[Position], precision=1 / 8)
Ship = hz.Kind("Ship", Position, Health, layers=[NEAR, FAR])


class Game:
    """A world, one observer at the origin, and what is drawn for it: frames arrive `late` ticks after their own."""

    def __init__(self, late: float = 0.0, **options) -> None:
        self.world = hz.World(capacity=1_000, tick_rate=RATE, kinds=[Ship], seed=1)
        self.replicator = hz.Replicator(self.world)
        observer = self.replicator.add_observer(position=(0.0, 0.0))
        self.replica = hz.Replica(self.replicator.schema, phase=self.replicator.phase(observer))
        self.drawn = hz.Interpolator(self.replica, tick_rate=RATE, **options)
        self.late = late

    def tick(self) -> None:
        self.world.tick()
        frames = self.replicator.step()
        for start, stop in zip(frames.payload, frames.stop, strict=True):
            self.replica.apply(bytes(frames.buffer[start:stop]))
            self.drawn.update(self.replica.tick + self.late)

    def place(self, ship, tick: float, column: str = "Position.x") -> float:
        (row,) = np.flatnonzero(self.replica.handle == ship)
        return float(self.drawn.sample(tick)[column][row])

    def fly(self, ship, path, n: int, parts: int = 4):
        """Move a ship along x by ticks, and return [(tick, x drawn)] in between."""
        seen = []
        for _ in range(n):
            self.world.set(ship, Position(path(self.world.tick_count + 1), 0))
            self.tick()
            at = self.world.tick_count + self.late
            seen += [(at + p / parts, self.place(ship, at + p / parts)) for p in range(parts)]
        return seen


def straight(speed):
    return lambda tick: speed * tick / RATE


@pytest.mark.parametrize(("begin", "period"), [(0.0, 2), (300.0, 30)])
def test_it_is_drawn_a_period_of_its_channel_behind(begin, period):
    """30 Hz two ticks, 2 Hz thirty: the same line, each as late as its own samples ask."""
    game = Game()
    ship = game.world.spawn(Ship, 1, Position=[begin, 0.0])[0]
    seen = game.fly(ship, lambda tick: begin + 3 * tick / RATE, 130)
    for tick, x in seen[4 * 70 :]:
        assert x == pytest.approx(begin + 3 * (tick - period) / RATE, abs=0.15)


def test_what_enters_is_there_at_once_and_moves():
    game = Game()
    game.tick()
    ship = game.world.spawn(Ship, 1, Position=[50.0, 7.0])[0]
    while game.replica.n == 0:
        game.tick()
    assert game.place(ship, game.replica.tick) == 50.0
    assert game.place(ship, game.replica.tick, "Position.y") == 7.0
    game.world.despawn(ship)
    game.tick()
    game.tick()
    assert game.drawn.n == 0
    assert len(game.drawn.sample(99.0)["Position.x"]) == 0


def test_nobody_inherits_anothers_place():
    """Rows of those that leave are given to those that enter, without a slide between the two."""
    game = Game()
    ships = game.world.spawn(Ship, 3, Position=[[10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
    for _ in range(6):
        game.tick()
    game.world.despawn(ships[1])
    heir = game.world.spawn(Ship, 1, Position=[-90.0, 0.0])[0]
    for _ in range(2):
        game.tick()
    for ship, x in zip([ships[0], ships[2], heir], [10.0, 30.0, -90.0], strict=True):
        assert game.place(ship, game.replica.tick) == pytest.approx(x)


def steps_of(seen):
    return np.abs(np.diff([x for _, x in seen]))


def test_a_move_between_channels_is_smooth():
    """Away from 30 Hz to 2 Hz and back: no step is much more than the way of that time, and none goes back."""
    game = Game()
    speed = 90.0
    ship = game.world.spawn(Ship, 1, Position=[80.0, 0.0])[0]
    out = game.fly(ship, lambda tick: 80 + speed * tick / RATE, 130)
    back = game.fly(ship, lambda tick: 80 + speed * (260 - tick) / RATE, 170)
    channels = game.replica.carrier(0)
    assert channels.tolist() == [0]
    allowed = 2.5 * speed / RATE / 4
    assert steps_of(out).max() < allowed
    assert steps_of(back[80 * 4 :]).max() < allowed
    assert (np.diff([x for _, x in out]) > -0.1).all()


def test_a_teleport_is_no_way():
    game = Game(max_speed={"Position": 200.0})
    ship = game.world.spawn(Ship, 1, Position=[0.0, 0.0])[0]
    seen = game.fly(ship, lambda tick: tick / RATE + (60 if tick > 40 else 0), 80)
    assert max(steps_of(seen)) > 59
    assert not [x for _, x in seen if 2 < x < 59]
    smooth = Game()
    ship = smooth.world.spawn(Ship, 1, Position=[0.0, 0.0])[0]
    slid = smooth.fly(ship, lambda tick: tick / RATE + (60 if tick > 40 else 0), 80)
    assert [x for _, x in slid if 2 < x < 59]


def test_it_goes_on_straight_for_a_while_and_then_stands():
    game = Game(max_beyond_s=0.5)
    ship = game.world.spawn(Ship, 1, Position=[0.0, 0.0])[0]
    game.fly(ship, straight(30), 30)
    newest = game.replica.tick
    assert newest < 10  # all went on straight: nothing was said
    late = [game.place(ship, newest + 2 + t) - newest / 2 for t in (0, 15, 30, 60, 600)]
    assert late == pytest.approx([0.0, 7.5, 15.0, 15.0, 15.0], abs=0.1)


def test_it_glides_back_after_it_went_too_far():
    """It stops while frames are late: what was drawn further comes back over the time of blending, without a jump."""
    game = Game(late=8.0, blend_s=0.2)
    ship = game.world.spawn(Ship, 1, Position=[0.0, 0.0])[0]
    seen = game.fly(ship, lambda tick: 60 * min(tick, 40) / RATE, 80)
    highest = max(x for _, x in seen)
    assert highest > 42
    assert seen[-1][1] == pytest.approx(40, abs=0.1)
    assert steps_of(seen).max() < 1.0


def test_whole_numbers_step():
    game = Game()
    ship = game.world.spawn(Ship, 1, Position=[1.0, 0.0], Health=100)[0]
    seen = set()
    for hp in (100, 100, 40, 40, 40, 40, 40):
        game.world.set(ship, Health(hp))
        game.tick()
        seen |= {game.place(ship, game.world.tick_count + p / 4, "Health.hp") for p in range(4)}
    assert seen == {100.0, 40.0}


def test_a_reset_frame_goes_on_where_things_were():
    game = Game()
    ships = game.world.spawn(Ship, 40, Position=np.random.default_rng(1).uniform(-50, 50, (40, 2)))
    for _ in range(10):
        game.tick()
    before = [game.place(ship, game.replica.tick) for ship in ships]
    game.replicator.hold(0)
    game.replicator.resume(0)
    for _ in range(3):
        game.tick()
    assert game.replica.was_reset
    assert [game.place(ship, game.replica.tick) for ship in ships] == before


def test_names_and_numbers_are_checked():
    stream = load("herd")
    replica = hz.Replica(stream["schema"], phase=0)
    for options, words in [
        ({"modes": {"Plaze": "linear"}}, "no kind replicates Plaze; did you mean Place|no kind replicates Plaze"),
        ({"modes": {"Place.x": "cubic"}}, "is 'cubic', must be one of"),
        ({"modes": {"Place": "rotation"}}, "four fields"),
        ({"max_speed": {"Pl": 1.0}}, "max_speed: no kind replicates Pl"),
        ({"max_speed": {"Place": 0.0}}, "must be positive"),
        ({"components": ["Pace"]}, "components: no kind replicates Pace"),
        ({"history": 1}, "at least 2"),
        ({"blend_s": 0}, "must be positive"),
    ]:
        with pytest.raises(hz.ArgumentError, match=words):
            hz.Interpolator(replica, tick_rate=RATE, **options)
    assert "0 entities" in repr(hz.Interpolator(replica, tick_rate=RATE))


def test_one_row_and_some_components():
    stream = load("fleet")
    replica = hz.Replica(stream["schema"], phase=stream["phase"])
    drawn, some = (hz.Interpolator(replica, tick_rate=RATE, components=c) for c in (None, ["Position"]))
    for frame in stream["frames"][:20]:
        replica.apply(frame)
        drawn.update(replica.tick)
        some.update(replica.tick)
    columns = drawn.sample(replica.tick + 1.5)
    assert list(some.sample(replica.tick)) == ["Position.x", "Position.y", "Position.z"]
    for row in range(replica.n):
        np.testing.assert_equal(drawn.sample_row(row, replica.tick + 1.5), {n: c[row] for n, c in columns.items()})
    with pytest.raises(hz.ArgumentError, match="row must lie between"):
        drawn.sample_row(replica.n, 0.0)
