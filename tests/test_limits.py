"""Token buckets, the gate, events as they are taken in, and players who are away: without sockets or a clock."""

from __future__ import annotations

import enum
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import b1, f4, i2
from horizon_ecs.config import ServerConfig
from horizon_ecs.net.absent import Absent
from horizon_ecs.net.admission import Admission
from horizon_ecs.net.gate import Gate, counted
from horizon_ecs.net.intake import Intake
from horizon_ecs.net.limits import Buckets, Limits
from horizon_ecs.net.players import Player
from horizon_ecs.net.rules import EventRule, Rules
from horizon_ecs.net.wire import Close

# -- buckets -----------------------------------------------------------------------------------------------------------


def test_a_bucket_refills_to_its_burst_and_no_further():
    buckets = Buckets(rate=2.0, burst=4.0)
    row = buckets.enter(10.0)
    assert [buckets.take(row, 1, 10.0) for _ in range(5)] == [True] * 4 + [False]
    assert not buckets.take(row, 1, 10.4)
    assert buckets.take(row, 1, 10.5)
    assert [buckets.take(row, 1, 1000.0) for _ in range(5)] == [True] * 4 + [False]
    assert not buckets.take(row, 1, 999.0)  # a clock that falls gives nothing


def test_what_is_too_much_takes_nothing():
    buckets = Buckets(rate=1.0, burst=4.0)
    row = buckets.enter(0.0)
    assert not buckets.take(row, 5, 0.0)
    assert buckets.take(row, 4, 0.0)


def test_rows_are_used_again_with_full_buckets():
    buckets = Buckets(rate=1.0, burst=2.0)
    rows = [buckets.enter(0.0) for _ in range(5)]
    assert sorted(rows) == [0, 1, 2, 3, 4]
    assert buckets.take(rows[2], 2, 0.0)
    buckets.leave(rows[2])
    assert len(buckets) == 4
    assert buckets.enter(0.0) == rows[2]
    assert buckets.take(rows[2], 2, 0.0)
    assert len(buckets.tokens) == 5


def test_all_of_them_are_two_arrays():
    buckets = Buckets(rate=1.0, burst=2.0)
    for _ in range(3):
        buckets.enter(0.0)
    assert np.frombuffer(buckets.tokens).tolist() == [2.0, 2.0, 2.0]


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.floats(0, 2)), max_size=60))
def test_no_row_ever_gets_more_than_its_own(calls):
    buckets = Buckets(rate=2.0, burst=3.0)
    rows = [buckets.enter(0.0) for _ in range(3)]
    taken, now = [0, 0, 0], 0.0
    for row, n, pause in calls:
        now += pause
        taken[row] += n * buckets.take(rows[row], n, now)
    assert all(got <= 3.0 + 2.0 * now + 1e-9 for got in taken)


def test_limits_are_as_configured_and_can_change():
    limits = Limits(ServerConfig(max_messages_per_s=10, max_requests_per_minute=60))
    assert (limits.messages.rate, limits.messages.burst) == (10, 20)
    assert (limits.frames.rate, limits.frames.burst) == (100, 200)
    assert (limits.requests.rate, limits.requests.burst) == (1, 10)
    row = limits.messages.enter(0.0)
    limits.configure(ServerConfig(enable_rate_limiting=False))
    assert all(limits.messages.take(row, 1, 0.0) for _ in range(1_000))
    limits.configure(ServerConfig(max_messages_per_s=1))
    assert [limits.messages.take(row, 1, 0.0) for _ in range(3)] == [True, True, False]


# -- the gate ----------------------------------------------------------------------------------------------------------


def ask(gate, address="192.0.2.1", now=0.0, **more):
    asked = {"joins": True, "origin": None, "own_origins": ["http://game.example:8080"], **more}
    denied = gate.check(address, now=now, **asked)
    return None if denied is None else (int(denied.status), denied.reason)


def test_bans_hold_for_pages_too_and_until_their_time():
    gate = Gate(ServerConfig(banned_ips=["198.51.100.0/24"]))
    assert ask(gate, "198.51.100.7", joins=False) == (403, "banned")
    gate.ban("192.0.2.1", 10.0)
    gate.ban("2001:db8::/32", None)
    assert ask(gate, now=9.0) == ask(gate, "::ffff:192.0.2.1", now=9.0) == (403, "banned")
    assert ask(gate, "192.0.2.2") is None
    assert ask(gate, now=10.0) is None
    assert ask(gate, "2001:db8:1::5", now=1e9) == (403, "banned")
    assert gate.unban("2001:db8::/32")
    assert not gate.unban("2001:db8::/32")
    assert ask(gate, "2001:db8:1::5") is None
    gate.configure(ServerConfig())
    assert ask(gate, "198.51.100.7") is None
    with pytest.raises(hz.ArgumentError, match="not 'nobody'"):
        gate.ban("nobody", None)


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        ([], "https://evil.example", True),
        (["https://game.example"], None, True),
        (["https://game.example"], "https://game.example", True),
        (["https://game.example/"], "HTTPS://Game.example", True),
        (["https://game.example"], "https://game.example.evil", False),
        (["https://game.example"], "http://game.example", False),
        (["https://game.example"], "null", False),
        (["https://game.example"], "https://game.example, https://evil.example", False),
        (["self"], "http://game.example:8080", True),
        (["self"], "http://game.example:8081", False),
    ],
)
def test_origins(allowed, origin, may):
    gate = Gate(ServerConfig(allowed_origins=allowed))
    assert ask(gate, origin=origin) == (None if may else (403, "origin"))
    assert ask(gate, origin=origin, joins=False) is None


def test_addresses_are_counted_and_an_ipv6_site_is_one():
    gate = Gate(ServerConfig(max_connections_per_ip=2))
    for address in ("192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2"):
        assert ask(gate, address) is None
        gate.enter(address)
    assert ask(gate) == ask(gate, "::ffff:192.0.2.1") == ask(gate, "2001:db8::ffff") == (429, "address")
    assert ask(gate, joins=False) is None
    assert ask(gate, "192.0.2.2") is None
    gate.leave("192.0.2.1")
    assert ask(gate) is None
    for address in ("192.0.2.1", "2001:db8::1", "2001:db8::2"):
        gate.leave(address)
    assert not gate._inside
    assert counted("") == ""


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["10.9.9.9"], "192.0.2.1"),  # who isn't trusted says what it likes
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.5, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.5", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["nonsense"], "nonsense"),
    ],
)
def test_proxies_say_who_comes_through_them(peer, forwarded, address):
    gate = Gate(ServerConfig(trusted_proxies=["10.0.0.0/8"]))
    assert gate.address(peer, forwarded) == address
    assert Gate(ServerConfig()).address(peer, forwarded) == peer


# -- events as they come -----------------------------------------------------------------------------------------------


class Weapon(enum.IntEnum):
    SWORD = 1
    BOW = 3


@hz.event
class Shot:
    power: f4 = hz.field(range=(0.0, 1.0))
    weapon: Weapon = Weapon.SWORD
    ammo: i2 = hz.field(default=1, range=(1, None))
    aimed: b1 = False


@hz.event
class Nothing:
    number: i2


class Somebody:
    def __init__(self, name: int) -> None:
        self.name = name


def shots(*rows) -> bytes:
    return np.array(list(rows), Shot.__hz_dtype__).tobytes()


GOOD = (0.5, 1, 3, True)


def taken(*payloads):
    """The batch of what several clients sent, one message each, and what is said of those that are refused."""
    intake = Intake({1: Shot})
    seats = [Somebody(i) for i in range(len(payloads))]
    for seat, payload in zip(seats, payloads, strict=True):
        intake.put(1, seat, payload)
    (batch,) = intake.take()
    assert list(intake.take()) == []
    return batch, {seats.index(seat): reason for seat, reason in batch.refused}


def test_a_ticks_events_are_one_array():
    batch, refused = taken(shots(GOOD), shots(GOOD, (0.25, 3, 1, False)), shots((1.0, 1, 9, False)))
    assert refused == {}
    assert batch.counts.tolist() == [1, 2, 1]
    assert batch.records["power"].tolist() == [0.5, 0.5, 0.25, 1.0]
    assert [seat.name for seat in batch.seats] == [0, 1, 2]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ((np.nan, 1, 3, True), "shot.power is not finite"),
        ((np.inf, 1, 3, True), "shot.power is not finite"),
        ((1.5, 1, 3, True), "shot.power must lie between 0.0 and 1.0, not 1.5"),
        ((-0.5, 1, 3, True), "shot.power must lie between 0.0 and 1.0, not -0.5"),
        ((0.5, 2, 3, True), "shot.weapon is no Weapon: 2"),
        ((0.5, 1, 0, True), "shot.ammo must lie between 1 and anything, not 0"),
    ],
)
def test_what_a_field_can_not_have_is_refused_and_the_others_kept(row, what):
    batch, refused = taken(shots(GOOD), shots(GOOD, row, row), shots(GOOD, GOOD))
    assert refused == {1: what}
    assert batch.counts.tolist() == [1, 2]
    assert [seat.name for seat in batch.seats] == [0, 2]
    assert len(batch.records) == 3
    assert (batch.records["power"] == 0.5).all()


def test_a_byte_that_is_neither_true_nor_false_is_refused():
    odd = bytearray(shots(GOOD))
    odd[-1] = 2
    assert taken(bytes(odd))[1] == {0: "shot.aimed is neither true nor false"}


def test_all_of_somebody_who_is_refused_is_dropped():
    intake = Intake({1: Shot, 2: Nothing})
    bad, good = Somebody(0), Somebody(1)
    for seat, payload in [(bad, shots(GOOD)), (good, shots(GOOD)), (bad, shots((2.0, 1, 1, False)))]:
        intake.put(1, seat, payload)
    intake.put(2, good, b"\x01\x00")
    first, second = intake.take()
    assert first.seats == second.seats == [good]
    assert second.event is Nothing
    assert second.records["number"].tolist() == [1]


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.binary(min_size=9, max_size=9), min_size=1, max_size=8))
def test_no_bytes_get_through_that_a_world_would_not_take(payloads):
    assert Shot.__hz_dtype__.itemsize in (8, 9, 10)
    size = Shot.__hz_dtype__.itemsize
    batch, _ = taken(*((payload * 2)[:size] for payload in payloads))
    assert len(batch.seats) == len(batch.records) == len(payloads) - len(batch.refused)
    assert np.isfinite(batch.records["power"]).all()
    assert ((batch.records["power"] >= 0) & (batch.records["power"] <= 1)).all()
    assert np.isin(batch.records["weapon"], [1, 3]).all()
    assert (batch.records["ammo"] >= 1).all()


# -- rules -------------------------------------------------------------------------------------------------------------


def test_rules_know_roles_and_rates():
    rules = Rules({1: Shot, 2: Nothing}, {Shot: EventRule(roles=["admin", "archer"], max_per_s=2, burst=3)})
    rows = rules.enter(0.0)
    guest, archer = Player("", {}, ""), Player("", {}, "", roles=frozenset({"archer"}))
    assert rules.check(2, 1_000, guest, rows, 0.0) is None
    refused = rules.check(1, 1, guest, rows, 0.0)
    assert refused is not None
    assert (refused.code, refused.reason) == (Close.FORBIDDEN, "shot is for other roles")
    assert rules.check(1, 3, archer, rows, 0.0) is None
    refused = rules.check(1, 1, archer, rows, 0.1)
    assert refused is not None
    assert (refused.code, refused.reason) == (Close.TOO_MANY, "more than 2 shot a second")
    assert rules.check(1, 1, archer, rows, 0.5) is None
    rules.leave(rows)


def test_a_rule_may_ask_who_somebody_is():
    rule = EventRule(authenticated=True)
    player = Player("", {}, "")
    assert not rule.allows(player)
    assert player.auth == "unauthenticated"
    admission = Admission(ServerConfig())
    admission.identify(player, hz.Identity("ada", frozenset({"x"})))
    assert rule.allows(player)
    admission.identify(player, hz.Identity(""))
    assert not rule.allows(player)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"roles": "admin"}, "roles must be a list of texts, not 'admin'"),
        ({"roles": [1]}, "roles must be"),
        ({"max_per_s": 0}, "max_per_s must be a positive number or None, not 0"),
        ({"max_per_s": math.nan}, "max_per_s must be"),
        ({"burst": 5}, "burst must be at least 1, and goes with max_per_s, not 5"),
        ({"max_per_s": 5, "burst": 0.5}, "burst must be"),
    ],
)
def test_rules_are_checked(arguments, what):
    with pytest.raises(hz.ArgumentError, match=f"^{what}"):
        EventRule(**arguments)


def test_rules_are_for_events_that_clients_may_send():
    with pytest.raises(hz.ArgumentError, match="isn't among the events"):
        Rules({1: Shot}, {Nothing: EventRule()})
    with pytest.raises(hz.ArgumentError, match="rules name 'shot', which is sent as records: name its class"):
        Rules({1: Shot}, {"shot": EventRule()})
    with pytest.raises(hz.ArgumentError, match="the rule of shot must be an EventRule, not 5"):
        Rules({1: Shot}, {Shot: 5})


# -- who is away -------------------------------------------------------------------------------------------------------


def test_who_is_away_comes_back_once_as_the_same_user_and_in_time():
    absent = Absent(limit=10)
    ada, bob = Player("Ada", {}, "", user="ada", session="a"), Player("Bob", {}, "", session="b")
    absent.keep(ada, 10.0)
    absent.keep(bob, 11.0)
    assert absent.take("a", "") is None
    assert absent.take("c", "ada") is None
    assert absent.take("a", "ada") is ada
    assert absent.take("a", "ada") is None
    assert absent.gone(10.9) == []
    assert list(absent) == [bob]
    assert absent.gone(11.0) == [bob]
    assert len(absent) == 0


def test_not_more_are_kept_than_may_be():
    absent = Absent(limit=2)
    players = [Player("", {}, "", session=str(i)) for i in range(5)]
    for i, player in enumerate(players):
        absent.keep(player, 1.0 if i == 4 else 10.0)
    assert set(map(id, absent.gone(2.0))) == {id(players[4]), id(players[0]), id(players[1])}
    assert list(absent) == players[2:4]
