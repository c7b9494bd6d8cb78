"""Settings from files, the environment and flags: each is held to its rule, and every mistake is told."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs.config import LoggingConfig, NetworkConfig, PluginConfig, RegionConfig, ServerConfig, SpatialConfig
from horizon_ecs.configfile import (
    ADDRESS,
    EXAMPLE,
    KEYS,
    PARTS,
    SECTIONS,
    as_toml,
    described,
    differences,
    joined_address,
    shown,
    split_address,
)
from horizon_ecs.elsewhere import ELSEWHERE
from horizon_ecs.net.wire import Close
from horizon_ecs.settings import settings_of

SECRET = "correct horse battery staple, and more"

# As Horizon's guide has it, "Network Layer Optimization".
GUIDE = """
[server]
bind_address = "0.0.0.0:8080"
max_connections = 10000        # Based on available memory
connection_timeout = 60        # Seconds before idle timeout
use_reuse_port = true         # Enable SO_REUSEPORT for Linux
tick_interval_ms = 16         # 60 FPS server tick rate

[server.security]
enable_rate_limiting = true
max_requests_per_minute = 120  # 2 requests per second per connection
max_message_size = 65536      # 64KB message limit
"""

ALL_OF_IT = """
[server]
bind_address = "[::1]:9000"
max_connections = 10
connection_timeout = 1.5
use_reuse_port = true
tick_interval_ms = 50
handshake_timeout_s = 2
reconnect_grace_s = 30
window_s = 2
stall_timeout_s = 3
max_followed = 12
hysteresis = 0.2
max_catch_up = 3
adaptive_rates = false
show_regions = true
page = false
[server.region]
min_x = -1
max_x = 1
min_y = -2
max_y = 2
min_z = -3
max_z = 3
[server.security]
enable_rate_limiting = false
max_requests_per_minute = 60
max_messages_per_s = 50
max_message_size = 65536
max_connections_per_ip = 10
banned_ips = ["10.0.0.0/8", "2001:db8::1"]
trusted_proxies = ["10.0.0.0/8"]
allowed_origins = ["self", "https://example.com"]
max_json_depth = 5
max_string_length = 100
max_collection_size = 10
auth_secret = "correct horse battery staple, and more"
tls_certificate = "certificate.pem"
tls_key = "key.pem"
[metrics]
enabled = false
port = 9090
host = "0.0.0.0"
token = "sixteen-letters-or-more"
[plugins]
directory = "addons"
auto_load = false
whitelist = ["chat"]
[logging]
level = "debug"
json_format = true
file_path = "server.log"
[gorc.spatial]
min_region_size = 1
max_region_size = 10
split_threshold = 5
merge_threshold = 1
[gorc.network]
enable_compression = false
compression_threshold = 1
batch_size = 2
max_batch_delay = 0.5
max_bandwidth_per_player = 9000
"""


@pytest.fixture
def load(tmp_path):
    """Load a file with this text; nothing of the real environment counts."""

    def load(text: str, **options) -> ServerConfig:
        (tmp_path / "config.toml").write_text(text)
        return ServerConfig.load(tmp_path / "config.toml", **{"environ": {}, **options})

    return load


@pytest.fixture
def complaints(load):
    """What is wrong with a file, without its path."""

    def complaints(text: str, **options) -> list[str]:
        with pytest.raises(hz.ArgumentError) as caught:
            load(text, **options)
        lines = str(caught.value).splitlines()
        return [re.sub(r"^ *(\S*config\.toml: )?", "", line) for line in (lines[1:] if len(lines) > 1 else lines)]

    return complaints


# -- what a file says --------------------------------------------------------------------------------------------------


def test_the_guides_own_file_is_one(load):
    config = load(GUIDE)
    assert (config.host, config.port, config.max_connections) == ("0.0.0.0", 8080, 10_000)
    assert (config.connection_timeout_s, config.use_reuse_port, config.tick_rate) == (60, True, 62.5)
    assert (config.enable_rate_limiting, config.max_requests_per_minute) == (True, 120)
    assert config.max_message_bytes == 65_536


def test_every_key_of_a_file_changes_something(load):
    config = load(ALL_OF_IT)
    usual = replace(ServerConfig(), region=RegionConfig(), spatial=SpatialConfig(), network=NetworkConfig())
    for path, key in KEYS.items():
        assert key.of(config) != key.of(usual), path
    assert config.plugins == PluginConfig("addons", False, ("chat",))
    assert config.logging == LoggingConfig("debug", True, "server.log")
    assert config.region is not None
    assert config.region.bounds == [-1.0, -2.0, 1.0, 2.0]
    assert config.network == NetworkConfig(False, 1, 2, 0.5, 9_000)
    assert config.spatial == SpatialConfig(1, 10, 5, 1)


def test_the_file_that_ships_is_the_defaults():
    text = EXAMPLE.read_text()
    assert ServerConfig.load(EXAMPLE, environ={}) == ServerConfig()
    commented = re.sub(r"^# (\[[a-z.]+\]|\w+ = )", r"\1", text, flags=re.M)
    said = tomllib.loads(commented)
    there = {f"{section}.{name}" for section in SECTIONS for name in _table(said, section)}
    assert {path for path in there if path in KEYS} == set(KEYS)
    assert {path for path in there if path not in KEYS} == {"server.region", "server.security"}
    # What is commented shows the defaults of those sections as well.
    sections = {part: cls() for part, cls in PARTS.values()}
    for path, key in KEYS.items():
        if key.part and path != "gorc.network.max_bandwidth_per_player":
            value = _table(said, key.section)[path.rpartition(".")[2]]
            assert key.rule.take(value) == getattr(sections[key.part], key.name), path


def test_the_file_that_ships_says_what_can_change_live():
    for line in re.findall(r"^(?:# )?\w+ = .*(?:\n {30,}#.*)*", EXAMPLE.read_text(), re.M):
        name = line.removeprefix("# ").split(" = ")[0]
        (key,) = (key for key in KEYS.values() if key.path.endswith(f".{name}"))
        assert ("(live" in line) == key.live, name


def _table(said: dict, section: str) -> dict:
    for name in section.split("."):
        said = said[name]
    return said


def test_every_setting_has_a_key_and_every_key_a_setting():
    parts = {part for part, _ in PARTS.values()}
    names = {one.name for one in settings_of(ServerConfig)} - parts - {"host", "port"}
    assert names == {key.name for key in KEYS.values() if not key.part and key.path != ADDRESS}
    assert {one.name for one in fields(ServerConfig)} == names | parts | {"host", "port", "source"}
    assert not KEYS.keys() & ELSEWHERE.keys()


# -- what is wrong with it ---------------------------------------------------------------------------------------------


def test_everything_wrong_is_told_at_once(complaints):
    text = """
        [server]
        max_conections = 3
        ping_interval = 30
        max_message_size = 3
        max_connections = 0
        [server.securty]
        x = 1
        [sever.security]
        [plugins]
        auto_load = "yes"
        [gorc.spatial]
        split_threshold = 3
        [server.region]
        min_x = 5
        max_x = 3
        """
    assert complaints(text) == [
        "there is no key server.max_conections; did you mean 'max_connections'?",
        "server.ping_interval isn't a setting here: frames leave at least once a second, and acknowledgements tell who "
        "is there (stall_timeout_s, connection_timeout)",
        "there is no key server.max_message_size; it belongs to [server.security]",
        "server.max_connections must be a whole number from 1 to 1048576, not 0",
        "there is no key server.securty; did you mean 'security'?",
        "there is no section [sever]; did you mean 'server'?",
        'plugins.auto_load must be true or false, not "yes"',
        "[server.region]: min_x must be less than max_x, 3, not 5",
        "[gorc.spatial]: merge_threshold must be a whole number from 0 to 2, not 10",
    ]


@pytest.mark.parametrize("path", sorted(ELSEWHERE))
def test_horizons_other_keys_say_what_stands_in_their_place(complaints, path):
    section, _, name = path.rpartition(".")
    assert complaints(f"[{section}]\n{name} = 1\n") == [f"{path} isn't a setting here: {ELSEWHERE[path]}"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('bind_address = "127.0.0.1"', 'an address such as "127.0.0.1:8080", not "127.0.0.1"'),
        ('bind_address = "::1:80"', 'an address such as "127.0.0.1:8080", not "::1:80"'),
        ('bind_address = "x:65536"', 'an address such as "127.0.0.1:8080", not "x:65536"'),
        ("max_connections = 1.5", "a whole number from 1 to 1048576, not 1.5"),
        ("max_connections = true", "a whole number from 1 to 1048576, not true"),
        ("connection_timeout = nan", "a number from 0.01 to 1e+06, not nan"),
        ('security.banned_ips = ["1.2.3"]', 'a list of IP addresses and networks, not ["1.2.3"]'),
        ('security.allowed_origins = "self"', 'a list of texts, not "self"'),
        ("security.auth_secret = 5", "text, not …"),
        ("security = 5", "is a section: write [server.security] above its keys"),
    ],
)
def test_values_are_named_with_what_they_may_be(complaints, line, what):
    key = f"server.{line.split(' = ')[0]}"
    assert complaints(f"[server]\n{line}") == [f"{key} {what}" if "is a section" in what else f"{key} must be {what}"]


def test_what_is_no_toml_is_told_with_its_line(complaints, load, tmp_path):
    assert "line 2" in complaints("[server]\nmax_connections = = 3\n")[0]
    with pytest.raises(OSError, match="nowhere"):
        ServerConfig.load(tmp_path / "nowhere.toml")


def test_what_does_not_go_together_is_told(complaints):
    assert complaints('[server.security]\ntls_key = "key.pem"') == [
        "[server]: tls_certificate must be a file where tls_key is 'key.pem', not ''"
    ]
    assert complaints('[server.security]\nauth_secret = "short"') == [
        "[server]: auth_secret must have at least 32 characters, not 5"
    ]


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text("[]server.security=_max\n\"'123#{}", max_size=60))
def test_any_text_is_taken_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text)
    try:
        ServerConfig.load(path, environ={})
    except hz.ArgumentError:
        pass


# -- the environment, and flags ----------------------------------------------------------------------------------------


def test_later_words_count(load):
    text = "[server]\nmax_connections = 1\nmax_followed = 1\nwindow_s = 2\n"
    environ = {"HORIZON_SERVER_MAX_CONNECTIONS": "2", "HORIZON_SERVER_MAX_FOLLOWED": "2"}
    config = load(text, environ=environ, overrides={"server.max_connections": "3"}, base=ServerConfig(max_catch_up=2))
    assert (config.max_connections, config.max_followed, config.window_s, config.max_catch_up) == (3, 2, 2, 2)
    origins = {path: one["origin"] for path, one in shown(config).items()}
    assert origins["server.max_connections"] == "--set"
    assert origins["server.max_followed"] == "HORIZON_SERVER_MAX_FOLLOWED"
    assert origins["server.window_s"].endswith("config.toml")
    assert origins["server.max_catch_up"] == "default"


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("HORIZON_SERVER_BIND_ADDRESS", "0.0.0.0:1", "host", "0.0.0.0"),
        ("HORIZON_SERVER_PAGE", "False", "page", False),
        ("HORIZON_SERVER_SECURITY_BANNED_IPS", "1.1.1.1, 10.0.0.0/8", "banned_ips", ("1.1.1.1", "10.0.0.0/8")),
        ("HORIZON_SERVER_SECURITY_BANNED_IPS", '["1.1.1.1"]', "banned_ips", ("1.1.1.1",)),
        ("HORIZON_SERVER_SECURITY_AUTH_SECRET", SECRET, "auth_secret", SECRET),
        ("HORIZON_SERVER_CONNECTION_TIMEOUT", "1_0.5", "connection_timeout_s", 10.5),
    ],
)
def test_the_environment_is_read_as_a_file_would_be(variable, text, name, value):
    assert getattr(ServerConfig.load(environ={variable: text}), name) == value


def test_variables_are_refused_like_keys():
    with pytest.raises(hz.ArgumentError) as caught:
        ServerConfig.load(
            environ={
                "HORIZON_SERVER_MAX_CONNECTION": "1",
                "HORIZON_GORC_SPATIAL_SPLIT_THRESHOLD": "x",
                "HORIZON_THREADS": "2",
            }
        )
    assert str(caught.value).splitlines()[1:] == [
        "  HORIZON_GORC_SPATIAL_SPLIT_THRESHOLD: gorc.spatial.split_threshold must be a whole number from 1 to "
        '2147483648, not "x"',
        "  the environment: there is no variable HORIZON_SERVER_MAX_CONNECTION; did you mean "
        "'HORIZON_SERVER_MAX_CONNECTIONS'?",
    ]


def test_what_kubernetes_sets_for_a_service_of_that_name_is_none_of_ours():
    environ = {
        "HORIZON_SERVER_SERVICE_HOST": "10.0.0.1", "HORIZON_SERVER_SERVICE_PORT_WS": "8080",
        "HORIZON_SERVER_PORT": "tcp://10.0.0.1:8080", "HORIZON_SERVER_PORT_8080_TCP_ADDR": "10.0.0.1",
    }  # fmt: skip
    assert ServerConfig.load(environ=environ) == ServerConfig()


def test_every_key_has_a_variable_of_its_own():
    assert len({key.variable for key in KEYS.values()}) == len(KEYS)


# -- addresses, what is shown, what changed ------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "[::1]:0", "localhost:65535", ":80"])
def test_addresses_are_taken_apart_and_put_together(address):
    parts = split_address(address)
    assert parts is not None
    assert joined_address(*parts) == address


def test_what_is_shown_is_a_file_that_says_the_same(load):
    config = load(ALL_OF_IT, environ={})
    text = described(config).replace('auth_secret = "…"', f'auth_secret = "{SECRET}"')
    text = text.replace('token = "…"', 'token = "sixteen-letters-or-more"')
    assert SECRET not in described(config)
    assert SECRET not in f"{shown(config)} {config!r}"
    assert load(text) == config


def test_differences_tell_what_can_change_live(load):
    old, new = (
        ServerConfig(),
        load("[server]\nmax_connections = 5\nreconnect_grace_s = 5\n[gorc.spatial]\nsplit_threshold = 60"),
    )
    live, rest = differences(old, new)
    assert rest == ["server.max_connections"]
    assert {"server.reconnect_grace_s", "gorc.spatial.split_threshold"} <= set(live)
    assert differences(new, new) == ([], [])


def test_what_a_program_decided_is_kept_when_the_file_is_read_again(load):
    config = load("[server]\nmax_connections = 5").moved(port=0, page=False)
    assert config.source is not None
    again = config.source.load()
    assert (again.port, again.page, again.max_connections) == (0, False, 5)
    assert ServerConfig().moved(port=1).source is None


# -- the guide's page --------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "guide" / "23-settings.md").read_text()


def test_the_page_lists_every_key_with_its_default_and_whether_it_is_live():
    rows = {cells[0].strip("`"): cells for cells in _rows("## Every key")}
    region = rows.pop("server.region.min_x` … `max_z")
    assert region[2] == ""
    rest = {path: key for path, key in KEYS.items() if key.section != "server.region"}
    assert rows.keys() == rest.keys()
    usual = replace(ServerConfig(), spatial=SpatialConfig(), network=NetworkConfig())
    for path, key in rest.items():
        value = key.of(usual)
        assert rows[path][1] == ("" if value is None else as_toml(value)), path
        assert (rows[path][2] == "yes") == key.live, path


def test_the_page_names_a_test_for_every_refusal():
    there = (Path(__file__).parent / "test_refusals.py").read_text() + (
        Path(__file__).parent / "test_reload.py"
    ).read_text()
    rows = _rows("## Limits, and what who passes one is told")
    assert len(rows) > 15
    for *_, test in rows:
        assert f"def {test.strip('`')}(" in there or test in ("`test_server.py`", "`test_administered.py`"), test
    counted = {int(code) for row in rows for code in re.findall(r"`(4\d\d\d)`", row[2])}
    assert counted == {close for close in Close if close > 4_003} | {Close.MALFORMED}


def _rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    table = PAGE[PAGE.index(heading) :].split("| --- |", 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
