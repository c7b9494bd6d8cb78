"""Settings are checked when they are made."""

from __future__ import annotations

import dataclasses
import math

import pytest

from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError


def test_defaults_are_sound():
    config = ServerConfig()
    assert config.host == "127.0.0.1"
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", 1), ("port", -1), ("port", 65_536), ("port", True), ("port", 80.0), ("max_connections", 0),
        ("max_message_bytes", 10), ("max_messages_per_s", 0), ("max_followed", 0), ("handshake_timeout_s", 0.0),
        ("window_s", math.nan), ("stall_timeout_s", math.inf), ("stall_timeout_s", "5"), ("hysteresis", -0.1), ("max_catch_up", 0),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(ArgumentError, match=f"^{name} must be .*{value!r}$"):
        ServerConfig(**{name: value})


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(ArgumentError, match="no setting 'max_conections'; did you mean 'max_connections'"):
        ServerConfig.of(max_conections=5)
    assert ServerConfig.of(port=0).port == 0
