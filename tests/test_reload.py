"""A running server with a file of settings: what it takes from it, and takes over when it is read again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal

import numpy as np
import pytest

import horizon_ecs as hz
from horizon_ecs.config import LoggingConfig, RegionConfig, ServerConfig
from horizon_ecs.logs import Logs
from horizon_ecs.net import server as server_module
from horizon_ecs.net.wire import Close
from horizon_ecs.testing import serving
from tests.test_server import Ball, Position, close_of, hello, make_world, raw, run, until


@pytest.fixture
def file(tmp_path):
    """A file of settings: called with a text it has that, and is a configuration."""
    path = tmp_path / "config.toml"

    def write(text: str) -> ServerConfig:
        path.write_text(text)
        return ServerConfig.load(path, environ={}) if "broken" not in text else ServerConfig()

    write.path = path
    return write


def test_limits_change_while_clients_are_there(file):
    async def work():
        async with serving(make_world(), file("")) as server, raw(server) as link:
            await link.send(hello())
            await link.recv()
            file('[server.security]\nmax_messages_per_s = 1\nbanned_ips = ["127.0.0.1"]\n')
            assert server.reload() == (
                ("server.security.max_messages_per_s", "server.security.banned_ips"),
                (),
            )
            for _ in range(5):
                await link.send(b"\x00\x00\x00\x00\x00")
            assert (await close_of(link))[0] == Close.TOO_MANY
            with pytest.raises(hz.ConnectionClosed, match="banned"):
                await hz.connect(server.ws_url)
            file("")
            server.reload()
            async with hz.connect(server.ws_url) as client:
                await client.next_frame()

    run(work())


def test_what_needs_a_restart_is_said_and_stays(file):
    async def work():
        async with serving(make_world(), file("[server]\nmax_connections = 5")) as server:
            file("[server]\nmax_connections = 6\nbind_address = '127.0.0.1:1'\n[plugins]\ndirectory = 'x'\n")
            assert server.reload() == ((), ("server.max_connections", "plugins.directory"))
            assert server.config.max_connections == 5
            assert server.reload().needs_restart == ("server.max_connections", "plugins.directory")

    run(work())


def test_nothing_changes_where_anything_is_wrong(file):
    async def work():
        async with serving(make_world(), file("")) as server:
            file.path.write_text("[server]\nreconnect_grace_s = 5\nmax_conections = 5\n")
            with pytest.raises(hz.ArgumentError, match="max_connections"):
                server.reload()
            file.path.unlink()
            with pytest.raises(OSError, match=r"config\.toml"):
                server.reload()
            assert server.config.reconnect_grace_s == 0
        async with serving(make_world()) as server:
            with pytest.raises(hz.ArgumentError, match="comes from no file"):
                server.reload()

    run(work())


def test_how_space_is_divided_and_what_is_deflated_changes_too(file):
    async def work():
        async with serving(make_world(), file("")) as server:
            assert server.replicator.spatial is None
            file("[gorc.spatial]\nsplit_threshold = 20\n[gorc.network]\nmax_bandwidth_per_player = 5000\n")
            assert server.reload().needs_restart == ()
            await until(server, lambda: server.replicator.network.max_bandwidth_per_player == 5_000)
            assert server.replicator.spatial == hz.SpatialConfig(split_threshold=20)
            async with hz.connect(server.ws_url) as client:
                await client.next_frame()

    run(work())


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_sighup_reads_it_again(file, caplog):
    async def work():
        config = file("").moved(port=0)
        server = hz.Server(make_world(), config)
        server.handle_signals()
        await server.start()
        for text in ("[server]\nreconnect_grace_s = 7\nmax_followed = 9\n", "[server]\nreconnect_grace = 5\n"):
            file.path.write_text(text)
            n_said = len(caplog.records)
            os.kill(os.getpid(), signal.SIGHUP)
            while len(caplog.records) == n_said:
                await asyncio.sleep(0)
        assert server.config.reconnect_grace_s == 7
        await server.stop()

    caplog.set_level(logging.INFO, "horizon_ecs.server")
    run(work())
    assert "changed: server.reconnect_grace_s" in caplog.text
    assert "these hold from the next start on: server.max_followed" in caplog.text
    assert "stays as it is" in caplog.text
    assert "did you mean 'reconnect_grace_s'" in caplog.text


# -- what a server takes from its settings -----------------------------------------------------------------------------


def test_a_world_that_ticks_otherwise_is_not_served():
    with pytest.raises(hz.ArgumentError, match=r"16, which is 62.5 Hz, but the world ticks at 120 Hz"):
        hz.Server(make_world(), ServerConfig(tick_interval_ms=16))
    config = ServerConfig(tick_interval_ms=1000 / 120)
    assert config.tick_rate == pytest.approx(120)
    hz.Server(make_world(), config)


def test_the_region_is_told_and_what_is_outside_is_counted():
    async def work():
        region = RegionConfig(min_x=0, max_x=50, min_y=0, max_y=1_000)
        world = hz.World(capacity=100, tick_rate=120.0, kinds=[Ball])
        world.spawn(Ball, 10, Position=np.arange(20.0).reshape(10, 2) * 10)
        async with serving(world, ServerConfig(region=region)) as server, hz.connect(server.ws_url) as client:
            assert client.welcome["about"]["bounds"] == [0.0, 0.0, 50.0, 1_000.0]
            await until(server, lambda: server.report()["outside_region"] == 7)
        async with serving(make_world(), ServerConfig(region=region), about={"bounds": [1, 2, 3, 4]}) as server:
            assert server.about["bounds"] == [1, 2, 3, 4]
        async with serving(make_world()) as server:
            assert "outside_region" not in server.report()

    run(work())


@pytest.mark.parametrize(
    ("network", "short", "long"),
    [
        (None, True, True),
        (hz.NetworkConfig(), False, True),
        (hz.NetworkConfig(compression_threshold=100), True, True),
        (hz.NetworkConfig(enable_compression=False, compression_threshold=0), False, False),
    ],
)
def test_texts_are_deflated_as_the_settings_say(network, short, long):
    async def work():
        Sign = hz.Kind(
            "Sign",
            Position,
            hz.Name,
            layers=[hz.Layer(0, 1e6, 60.0, [Position, hz.Name], 1 / 64, compression={hz.Name: "deflate"})],
        )
        sizes = {}
        for n in (1, 200, 900):
            world = hz.World(capacity=10, kinds=[Sign])
            world.spawn(Sign, Name=hz.Name("a" * n))
            async with serving(world, ServerConfig(network=network)) as server, hz.connect(server.ws_url) as client:
                await client.next_frame()
                sizes[n] = server.report()["bytes"]
                assert client.replica.texts("Name.text") == ["a" * n]
        assert (sizes[200] - sizes[1] < 100) == short
        assert (sizes[900] - sizes[1] < 100) == long

    run(work())


def test_serve_takes_a_file_and_keywords_above_it(file, monkeypatch):
    made = []
    monkeypatch.setattr(server_module.Server, "run", lambda self, started: made.append(self.config))
    file("[server]\nmax_connections = 5\nmax_followed = 7\n")
    hz.serve(make_world(), file.path, port=0, max_followed=8)
    hz.serve(make_world(), ServerConfig(max_connections=6), port=0)
    hz.serve(make_world(), port=0)
    assert [(c.max_connections, c.max_followed, c.port) for c in made] == [(5, 8, 0), (6, 4_096, 0), (1_000, 4_096, 0)]
    with pytest.raises(hz.ArgumentError, match="did you mean 'max_connections'"):
        hz.serve(make_world(), file.path, max_conections=5)


PLUGIN = """
import horizon_ecs as hz


class Greeter(hz.Plugin):
    name = "greeter"
    version = "1.0"
"""


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("", ["greeter"]),
        ("auto_load = false", []),
        ('whitelist = ["greeter"]', ["greeter"]),
        ('whitelist = ["x"]', None),
    ],
)
def test_plugins_are_loaded_as_the_settings_say(file, tmp_path, said, names):
    (tmp_path / "addons").mkdir()
    (tmp_path / "addons" / "greeter.py").write_text(PLUGIN)
    config = file(f"[plugins]\ndirectory = '{tmp_path / 'addons'}'\n{said}\n")
    if names is None:
        with pytest.raises(hz.PluginError, match="x"):
            hz.Server(make_world(), config)
    else:
        assert list(hz.Server(make_world(), config).plugins.stats()) == names


def test_without_a_word_no_plugin_is_loaded(tmp_path, monkeypatch):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "greeter.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    assert len(hz.Server(make_world()).plugins) == 0
    assert len(hz.Server(make_world(), ServerConfig.load(environ={})).plugins) == 0
    (tmp_path / "config.toml").write_text("")
    assert len(hz.Server(make_world(), ServerConfig.load("config.toml", environ={})).plugins) == 1


# -- logs --------------------------------------------------------------------------------------------------------------


def test_logs_are_lines_of_json_or_text(tmp_path, capsys):
    logs, log = Logs(), logging.getLogger("horizon_ecs.server")
    path = tmp_path / "server.log"
    logs.set_up(LoggingConfig("info", json_format=True, file_path=str(path)))
    log.info("client %s came", 5, extra={"player": "Ada"})
    log.debug("never")
    try:
        raise KeyError("x")
    except KeyError:
        log.exception("failed")
    logs.set_up(LoggingConfig("debug"))
    log.debug("as text")
    logs.close()
    log.info("never")
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["level"], first["logger"], first["message"]) == ("info", "horizon_ecs.server", "client 5 came")
    assert first["player"] == "Ada"
    assert "KeyError" in second["exception"]
    said = capsys.readouterr().err
    assert said.endswith("DEBUG horizon_ecs.server: as text\n")
    assert said.count("\n") == 1


def test_a_log_may_be_moved_away(tmp_path):
    logs, log = Logs(), logging.getLogger("horizon_ecs.server")
    path = tmp_path / "server.log"
    logs.set_up(LoggingConfig(file_path=str(path)))
    log.warning("one")
    path.rename(tmp_path / "server.log.1")
    log.warning("two")
    logs.close()
    assert path.read_text().endswith("two\n")
    assert "two" not in (tmp_path / "server.log.1").read_text()


def test_left_alone_logging_is_the_applications(caplog):
    logs, logger = Logs(), logging.getLogger("horizon_ecs")
    before = list(logger.handlers), logger.level, logger.propagate
    logs.set_up(LoggingConfig())
    assert (list(logger.handlers), logger.level, logger.propagate) == before
    logs.set_up(LoggingConfig("error"))
    logs.close()
    assert (list(logger.handlers), logger.level, logger.propagate) == before
