"""`horizon-ecs config`, and the settings of the commands that serve."""

from __future__ import annotations

import json
import os

import pytest

from horizon_ecs.cli import main
from horizon_ecs.configfile import EXAMPLE, KEYS
from tests.test_cli import last_json, run


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """None of the settings that this machine may have."""
    for name in [name for name in os.environ if name.startswith("HORIZON_SERVER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> str:
        (tmp_path / "config.toml").write_text(text)
        return str(tmp_path / "config.toml")

    return write


def test_the_example_is_sound(capsys, file):
    assert main(["config", "example"]) == 0
    text = capsys.readouterr().out
    assert text == EXAMPLE.read_text()
    assert main(["config", "check", file(text)]) == 0
    assert capsys.readouterr().out.endswith("is sound.\n")
    assert main(["config", "example", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == text


def test_check_tells_all_that_is_wrong(capsys, file):
    path = file("[server]\nmax_conections = 3\nmax_connections = 0\n")
    assert main(["config", "check", path]) == 1
    said = capsys.readouterr().err
    assert said.startswith("horizon-ecs: 2 settings are wrong:\n")
    assert "did you mean 'max_connections'?" in said
    assert main(["config", "check", path + ".gone"]) == 1
    assert "config.toml.gone" in capsys.readouterr().err


def test_show_tells_what_holds_and_who_said_so(capsys, file, monkeypatch):
    monkeypatch.setenv("HORIZON_SERVER_MAX_FOLLOWED", "9")
    path = file("[server]\nmax_connections = 3\nmax_followed = 8\n")
    assert main(["config", "show", "--config", path, "--set", "server.security.banned_ips=192.0.2.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"max_connections = 3  # {path}" in lines
    assert "max_followed = 9  # HORIZON_SERVER_MAX_FOLLOWED" in lines
    assert 'banned_ips = ["192.0.2.1"]  # --set' in lines
    assert "page = true  # default" in lines
    assert main(["config", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown.keys() == KEYS.keys()
    assert shown["server.max_followed"] == {"value": 9, "origin": "HORIZON_SERVER_MAX_FOLLOWED"}


@pytest.mark.parametrize("given", ["server.max_connections", "=5", ""])
def test_set_takes_a_key_and_a_value(given, capsys):
    with pytest.raises(SystemExit):
        main(["config", "show", "--set", given])
    assert "is no KEY=VALUE, such as server.max_connections=100" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["config"], ["config", "check"], ["config", "show"], ["config", "example"]])
def test_everything_has_help(command, capsys):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    assert "usage: horizon-ecs config" in capsys.readouterr().out


def test_what_serves_takes_settings_below_its_flags(file):
    path = file('[server]\nbind_address = "127.0.0.1:1"\npage = false\n[server.security]\nmax_connections_per_ip = 2\n')
    done = run("demo", "--entities", "100", "--seconds", "0.2", "--port", "0", "--config", path, "--json")
    assert last_json(done)["refusals"] == {}
    assert "http://127.0.0.1:1/" not in done.stdout
    done = run("demo", "--entities", "100", "--set", "server.max_conections=5", code=1)
    assert "--set: there is no key server.max_conections; did you mean 'max_connections'?" in done.stderr
