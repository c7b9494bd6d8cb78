"""The server's side of the protocol, without sockets and without a clock."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon_ecs.config import ServerConfig
from horizon_ecs.net import wire
from horizon_ecs.net.limits import Limits
from horizon_ecs.net.session import Hello, Input, Pace, Refused, Reply, Said, Session, State
from horizon_ecs.net.wire import Close

WINDOW = 10
STALL_S = 5.0


def hello(**more):
    return wire.pack({"type": "hello", "protocol": wire.PROTOCOL, **more})


def greeting(rate=100.0, **settings) -> Session:
    return Session(
        schema_hash="abc",
        record_bytes={1: 8, 3: 1},
        declared={"game.steer", "push"},
        limits=Limits(ServerConfig(max_messages_per_s=rate, **settings)),
        window_ticks=WINDOW,
        ack_every=WINDOW // 4,
        stall_timeout_s=STALL_S,
    )


def live(rate=100.0) -> Session:
    session = greeting(rate)
    assert session.receive(hello(), 0, 0.0) == Hello("")
    session.joined()
    assert session.state is State.LIVE
    return session


# -- handshake ---------------------------------------------------------------------------------------------------------


def test_a_hello_leads_to_joining():
    session = greeting()
    assert session.receive(hello(name="Ada", about={"team": 2}, schema="abc"), 0, 0.0) == Hello("Ada", {"team": 2})
    assert session.state is State.JOINING


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("text", Close.TEXT),
        (b"", Close.MALFORMED),
        (b"\xc1", Close.MALFORMED),
        (b"\xff\xff", Close.MALFORMED),
        (msgpack.packb([1, 2]), Close.MALFORMED),
        (msgpack.packb({"no": "type"}), Close.MALFORMED),
        (b"\x01abcdefgh", Close.NO_HELLO),
        (wire.acknowledgement(1), Close.NO_HELLO),
        (wire.pack({"type": "ping", "t": 1}), Close.NO_HELLO),
        (wire.pack({"type": "hello"}), Close.PROTOCOL),
        (wire.pack({"type": "hello", "protocol": 1}), Close.PROTOCOL),
        (hello(schema="other"), Close.SCHEMA),
        (hello(name="x" * 65), Close.MALFORMED),
        (hello(name=7), Close.MALFORMED),
        (hello(about=[1]), Close.MALFORMED),
        (hello() + b"\x00", Close.MALFORMED),
        (hello()[:-1], Close.MALFORMED),
        (wire.pack({"type": "hello", "protocol": 2, "about": {str(i): i for i in range(100)}}), Close.MALFORMED),
    ],
)
def test_a_wrong_first_message_is_refused(data, code):
    session = greeting()
    refused = session.receive(data, 0, 0.0)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert refused.reason
    assert session.state is State.ENDED
    assert session.receive(hello(), 0, 0.0) is None


def test_nothing_but_pings_before_the_welcome():
    session = greeting()
    session.receive(hello(), 0, 0.0)
    assert isinstance(session.receive(wire.pack({"type": "ping", "t": 1}), 5, 0.0), Reply)
    assert session.receive(b"\x01" + bytes(8), 0, 0.0).code == Close.MALFORMED


# -- live --------------------------------------------------------------------------------------------------------------


def test_a_ping_is_answered():
    reply = live().receive(wire.pack({"type": "ping", "t": "x"}), 77, 0.0)
    assert msgpack.unpackb(reply.payload) == {"type": "pong", "t": "x", "tick": 77}


def test_events_come_as_whole_records():
    session = live()
    assert session.receive(b"\x01" + b"abcdefgh" * 2, 0, 0.0) == Input(1, b"abcdefgh" * 2, 2)
    assert session.receive(b"\x03x", 0, 0.0) == Input(3, b"x", 1)


def test_events_come_as_objects_too():
    session = live()
    whole = {"type": "event", "namespace": "chat", "event": "message", "data": {"text": "Hi", "n": [1, 0.5]}}
    assert session.receive(wire.pack(whole), 0, 0.0) == Said("chat", "message", {"text": "Hi", "n": [1, 0.5]})
    assert session.receive(wire.pack({"type": "event", "namespace": "", "event": "x"}), 0, 0.0) == Said("", "x", None)
    early = greeting()
    early.receive(hello(), 0, 0.0)
    assert early.receive(wire.pack(whole), 0, 0.0).code == Close.MALFORMED


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (wire.pack({"type": "event", "namespace": "game", "event": "steer"}), Close.NO_SUCH_EVENT),
        (wire.pack({"type": "event", "namespace": "", "event": "push"}), Close.NO_SUCH_EVENT),
        (
            wire.pack({"type": "event", "namespace": "", "event": "x", "data": {"a": [float("inf")]}}),
            Close.NO_SUCH_EVENT,
        ),
        (wire.pack({"type": "event", "event": "x"}), Close.MALFORMED),
        (wire.pack({"type": "event", "namespace": "a.b", "event": "x"}), Close.MALFORMED),
        (wire.pack({"type": "event", "namespace": "a", "event": "x" * 65}), Close.MALFORMED),
        (b"\x02abcdefgh", Close.NO_SUCH_EVENT),
        (b"\x7f", Close.NO_SUCH_EVENT),
        (b"\x01", Close.NO_SUCH_EVENT),
        (b"\x01abcdefg", Close.NO_SUCH_EVENT),
        (b"\x01abcdefghi", Close.NO_SUCH_EVENT),
        (hello(), Close.MALFORMED),
        (wire.pack({"type": "bye"}), Close.MALFORMED),
        (wire.pack({"type": "ping", "t": [1]}), Close.MALFORMED),
        (b"\x82\xa4type\xa4ping\xa1t" + b"\x91" * 600 + b"\xc0", Close.MALFORMED),
        (b"\x00\x01\x00\x00", Close.MALFORMED),
        (b"\x00\x01\x00\x00\x00\x00", Close.MALFORMED),
        (wire.acknowledgement(1), Close.MALFORMED),
        ("", Close.TEXT),
    ],
)
def test_what_a_live_client_may_not_say(data, code):
    session = live()
    assert session.receive(data, 0, 0.0).code == code
    assert session.state is State.ENDED


def test_a_flood_is_refused():
    session = live(rate=10.0)
    ping = wire.pack({"type": "ping", "t": 0})
    said = [session.receive(ping, 0, 0.0) for _ in range(20)]
    assert [type(s) for s in said[:19]] == [Reply] * 19  # the hello took one of 20
    assert said[19].code == Close.TOO_MANY


def test_the_allowed_rate_is_never_refused():
    session = live(rate=10.0)
    ping = wire.pack({"type": "ping", "t": 0})
    assert all(isinstance(session.receive(ping, 0, i * 0.1 + 1.0), Reply) for i in range(1000))


@given(st.binary(max_size=64) | st.text(max_size=8), st.booleans())
def test_any_input_is_taken_or_refused(data, is_live):
    session = live() if is_live else greeting()
    said = session.receive(data, 0, 0.0)
    assert said is None or isinstance(said, Hello | Input | Reply | Refused)
    assert isinstance(said, Refused) == (session.state is State.ENDED)


# -- flow --------------------------------------------------------------------------------------------------------------


def acknowledge(session, tick, now=0.0):
    assert session.receive(wire.acknowledgement(tick), 0, now) is None


def test_one_that_keeps_up_is_left_alone():
    session = live(rate=1000.0)
    for tick in range(1, 200):
        session.sent(tick, tick / 60)
        acknowledge(session, tick - min(tick, 3) if tick > 3 else 0, tick / 60)
        assert session.pace(tick / 60) is Pace.AS_IS
    assert session.behind == 2


def test_one_that_lags_is_held_once_and_resumed_when_it_has_caught_up():
    session = live()
    paces = []
    for tick in range(1, WINDOW + 5):
        session.sent(tick, 0.0)
        paces.append(session.pace(0.0))
    assert paces.count(Pace.HOLD) == 1
    assert paces[WINDOW + 1] is Pace.HOLD
    assert session.held
    acknowledge(session, WINDOW + 3)
    assert session.pace(0.1) is Pace.AS_IS
    acknowledge(session, WINDOW + 4)
    assert session.pace(0.1) is Pace.RESUME
    assert session.pace(0.1) is Pace.AS_IS
    assert not session.held


def test_a_silence_of_the_server_is_no_lag():
    session = live()
    session.sent(1, 0.0)
    acknowledge(session, 1)
    session.sent(200, 3.0)
    session.sent(201, 3.1)
    assert session.behind == 1
    assert session.pace(3.1) is Pace.AS_IS


def test_one_that_makes_no_progress_is_given_up():
    session = live()
    session.sent(1, 100.0)
    assert session.pace(100.0 + STALL_S) is Pace.AS_IS
    session.sent(2, 104.0)
    assert session.pace(100.1 + STALL_S) is Pace.GIVE_UP


def test_progress_counts_and_owing_nothing_is_no_stall():
    session = live()
    session.sent(1, 0.0)
    session.sent(2, 1.0)
    acknowledge(session, 1, 4.0)
    assert session.pace(4.0 + STALL_S) is Pace.AS_IS
    assert session.pace(4.1 + STALL_S) is Pace.GIVE_UP
    acknowledge(session, 2, 50.0)
    assert session.pace(500.0) is Pace.AS_IS
    session.sent(3, 500.0)
    assert session.pace(500.0 + STALL_S) is Pace.AS_IS


def test_an_old_acknowledgement_changes_nothing():
    session = live()
    for tick in (5, 6, 7):
        session.sent(tick, 0.0)
    acknowledge(session, 6)
    acknowledge(session, 5)
    assert session.behind == 0
    acknowledge(session, 7)
    assert session._owed == type(session._owed)()


def test_what_was_told_before_a_jump_back_is_not_owed():
    session = live()
    for tick in (100, 200):
        session.sent(tick, 0.0)
    session.sent(5, 1.0)  # a recording is played again
    assert session.behind == 0
    acknowledge(session, 200)  # was on its way
    session.sent(6, 1.0)
    assert session.pace(1.0 + STALL_S) is Pace.AS_IS
    assert session.pace(1.1 + STALL_S) is Pace.GIVE_UP
    acknowledge(session, 6)
    assert isinstance(session.receive(wire.acknowledgement(201), 0, 0.0), Refused)


def test_a_welcome_may_name_another_window():
    session = greeting()
    session.receive(hello(), 0, 0.0)
    session.joined(3 * WINDOW)
    session.sent(1, 0.0)
    session.sent(1 + 3 * WINDOW, 0.0)
    assert session.pace(0.0) is Pace.AS_IS
    session.sent(2 + 3 * WINDOW, 0.0)
    assert session.pace(0.0) is Pace.HOLD
