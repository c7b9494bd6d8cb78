"""Settings are checked when they are made."""

from __future__ import annotations

import dataclasses
import datetime
import math

import pytest

from horizon_ecs.config import NetworkConfig, ServerConfig, SpatialConfig
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


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (SpatialConfig, {"min_region_size": 0.0}), (SpatialConfig, {"min_region_size": math.nan}),
        (SpatialConfig, {"max_region_size": 99.0}), (SpatialConfig, {"split_threshold": 0, "merge_threshold": 0}),
        (SpatialConfig, {"merge_threshold": 50}), (SpatialConfig, {"split_threshold": 2.5}),
        (NetworkConfig, {"enable_compression": 1}), (NetworkConfig, {"compression_threshold": -1}), (NetworkConfig, {"batch_size": 0}),
        (NetworkConfig, {"max_batch_delay": -0.1}), (NetworkConfig, {"max_batch_delay": "16ms"}),
        (NetworkConfig, {"max_bandwidth_per_player": 0}), (NetworkConfig, {"max_bandwidth_per_player": 1.5}),
    ],
)  # fmt: skip
def test_horizons_settings_are_checked_too(config, values):
    name = list(values)[-1] if config is NetworkConfig or "merge_threshold" not in values else None
    with pytest.raises(ArgumentError, match=f"^{name or '(split|merge)_threshold'} must be "):
        config(**values)


def test_horizons_settings_as_its_guide_has_them():
    spatial = SpatialConfig(min_region_size=100.0, max_region_size=1000.0, split_threshold=50, merge_threshold=10)
    assert spatial == SpatialConfig()
    network = NetworkConfig(
        compression_threshold=512, batch_size=32, max_batch_delay=datetime.timedelta(milliseconds=16)
    )
    assert network == NetworkConfig()
    assert network.max_batch_delay == 0.016
