"""Plugins: found, checked, put in order; watched over while they run, and switched off where they fail too often."""

from __future__ import annotations

import asyncio
import logging
import sys
import textwrap
import threading

import pytest

import horizon_ecs as hz
from horizon_ecs import f4
from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import ArgumentError, PluginError
from horizon_ecs.plugin_guard import Guard
from horizon_ecs.plugins import in_order
from horizon_ecs.testing import serving

TIMEOUT_S = 30


@hz.component
class Position:
    x: f4
    y: f4


Ship = hz.Kind("Ship", Position, layers=[hz.Layer(0, 100.0, 120.0, [Position], 1 / 64)])


def make_world():
    world = hz.World(capacity=1_024, tick_rate=120.0, kinds=[Ship])
    world.spawn(Ship, 3)
    return world


def plugin(name, version="1.0.0", requires=(), **methods):
    """An instance of a class of its own."""
    members = {"name": name, "version": version, "requires": requires, **methods}
    return type(f"{name.title()}Plugin", (hz.Plugin,), members)()


def names(plugins):
    return [one.name for one in plugins]


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL + 1)


# -- order and versions ------------------------------------------------------------------------------------------------


def test_a_class_names_its_plugin():
    class BigChatPlugin(hz.Plugin): ...

    class Weather(hz.Plugin):
        name = "rain"

    assert (BigChatPlugin().name, Weather().name) == ("big_chat", "rain")
    assert repr(Weather()) == "<plugin rain 0.0.0>"


def test_plugins_come_behind_what_they_require():
    a, b = plugin("a", requires=["c>=1,<2", "b"]), plugin("b", requires=["c"])
    c, d = plugin("c", "1.5"), plugin("d", requires=["horizon-ecs>=0.1"])
    assert names(in_order([a, b, c, d])) == ["c", "b", "a", "d"]
    assert names(in_order([d, c, b, a])) == ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([plugin("a", requires=["inventry"]), plugin("inventory")], "'a' requires 'inventry', and there is no such plugin; did you mean 'inventory'"),
        ([plugin("a", requires=["b>=2"]), plugin("b", "1.9")], "'a' requires 'b>=2', but b has version 1.9"),
        ([plugin("a", requires=["horizon-ecs>=99"])], "requires 'horizon-ecs>=99', but horizon-ecs has version"),
        ([plugin("a", requires=["b"]), plugin("b", requires=["a"])], "in a circle: a → b → a"),
        ([plugin("a"), plugin("a")], "two plugins are called 'a'"),
        ([plugin("a", version="new")], "plugin 'a' must have a version such as '1.2.0', not 'new'"),
        ([plugin("a", requires=["b >> 1"]), plugin("b")], "'b >> 1', which can't be read"),
        ([plugin("a", requires="b"), plugin("b")], "requires is a list of"),
        ([plugin("")], "must not be called ''"),
        ([hz.Plugin], "expected an instance of a class derived from Plugin"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(given, message):
    with pytest.raises(PluginError, match=message):
        hz.Plugins(given)


def test_arguments_are_checked():
    with pytest.raises(ArgumentError, match="max_failures must be a whole number from 1"):
        hz.Plugins(max_failures=0)
    with pytest.raises(ArgumentError, match="window_s must be a positive number"):
        hz.Plugins(window_s=0)
    with pytest.raises(PluginError, match="plugins is a list of plugins"):
        hz.Server(make_world(), plugins=5)
    plugins = hz.Plugins([plugin("a")])
    with pytest.raises(ArgumentError, match=r"there is no plugin 'b'; there are \['a'\]"):
        plugins.state("b")
    hz.Server(make_world(), plugins=plugins)
    with pytest.raises(ArgumentError, match="another server's"):
        hz.Server(make_world(), plugins=plugins)
    assert (len(plugins), "a" in plugins, plugins["a"].name, repr(plugins)) == (1, True, "a", "Plugins(a: on)")


# -- finding -----------------------------------------------------------------------------------------------------------

CHAT = """
    import horizon_ecs as hz
    from horizon_ecs import Plugin


    class Chat(Plugin):
        version = "1.2.0"
"""


@pytest.fixture
def directory(tmp_path):
    files = {
        "chat.py": CHAT,
        "combat/__init__.py": "from horizon_ecs import Plugin\nfrom .rules import POWER\n\n\nclass Combat(Plugin):\n    version = POWER\n",
        "combat/rules.py": 'POWER = "3.0"\n',
        "_helpers.py": "raise RuntimeError('not to be imported')\n",
        "notes.txt": "no plugin\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("horizon_plugin_")]:
        del sys.modules[name]


def test_a_directory_holds_modules_and_packages(directory):
    found = hz.find_plugins(directory)
    assert [(one.name, one.version) for one in found] == [("chat", "1.2.0"), ("combat", "3.0")]
    hz.Plugins(found)


def test_what_is_not_allowed_is_not_even_imported(directory):
    (directory / "evil.py").write_text("raise RuntimeError('imported')\n")
    assert names(hz.find_plugins(directory, allow=["chat", "combat"])) == ["chat", "combat"]
    with pytest.raises(PluginError, match="plugin evil can't be loaded: RuntimeError: imported"):
        hz.find_plugins(directory)
    with pytest.raises(PluginError, match="plugin 'cht' is allowed but nowhere found; did you mean 'chat'"):
        hz.find_plugins(directory, allow=["cht"])
    (directory / "chat.py").write_text("import horizon_ecs as hz\nclass Other(hz.Plugin): ...\n")
    with pytest.raises(PluginError, match="chat holds plugin 'other', which is not allowed"):
        hz.find_plugins(directory, allow=["chat"])
    with pytest.raises(ArgumentError, match="allow is a list of"):
        hz.find_plugins(directory, allow="chat")


def test_what_cannot_be_loaded_is_named(directory):
    (directory / "empty.py").write_text("import horizon_ecs as hz\nfrom horizon_ecs import Plugin\n")
    with pytest.raises(PluginError, match="plugin empty can't be loaded: it holds no class derived from Plugin"):
        hz.find_plugins(directory, allow=["empty"])
    (directory / "empty.py").write_text(
        "import horizon_ecs as hz\nclass Empty(hz.Plugin):\n    def __init__(self, x): ...\n"
    )
    with pytest.raises(PluginError, match="plugin empty can't be loaded: TypeError"):
        hz.find_plugins(directory, allow=["empty"])
    with pytest.raises(PluginError, match="there is no directory"):
        hz.find_plugins(directory / "nowhere")


def test_installed_packages_have_entry_points(tmp_path, monkeypatch):
    (tmp_path / "my_weather.py").write_text("import horizon_ecs as hz\nclass Weather(hz.Plugin): ...\nRAIN = 3\n")
    info = tmp_path / "my_weather-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-weather\nVersion: 1.0\n")
    points = "[horizon_ecs.plugins]\nweather = my_weather:Weather\nrain = my_weather:RAIN\n"
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert names(hz.find_plugins(entry_points=True, allow=["weather"])) == ["weather"]
    assert hz.find_plugins() == []
    with pytest.raises(PluginError, match="plugin rain can't be loaded: TypeError: my_weather:RAIN is no class"):
        hz.find_plugins(entry_points=True, allow=["rain"])


# -- the circuit breaker -----------------------------------------------------------------------------------------------


def test_so_many_failures_in_so_much_time_trip_it():
    now, tripped = [0.0], []
    guard = Guard("chat", 3, 10.0, lambda: now[0], tripped.append)
    for at in (0.0, 6.0, 12.0, 18.0, 18.5):
        now[0] = at
        guard.failed("message", ValueError("no"))
        assert guard.is_tripped == (at == 18.5)
    guard.failed("message", ValueError("again"))
    assert tripped == ["chat"]
    assert guard.n_failures == 6
    assert guard.last_failure == "message: ValueError: again"
    guard.forgive()
    assert not guard.is_tripped
    assert guard.runs("on_init", lambda: None)
    assert not guard.runs("on_init", lambda: 1 / 0)
    assert guard.last_failure.startswith("on_init: ZeroDivisionError")


# -- in a server -------------------------------------------------------------------------------------------------------


def run(work):
    asyncio.run(asyncio.wait_for(work, TIMEOUT_S))


async def ticks(server, n):
    """Wait until so many more ticks are over."""
    until = server.report()["ticks"] + n
    while server.report()["ticks"] < until:
        assert not await server.wait(0.002)


def recorder(told, name, requires=()):
    """A plugin that notes when it is called."""

    def note(what):
        return lambda self, given: told.append((what, name, type(given).__name__))

    hooks = ("register_systems", "register_handlers", "on_init", "on_shutdown")
    return plugin(name, requires=requires, **{hook: note(hook) for hook in hooks})


def test_plugins_live_with_their_server():
    async def work():
        told = []
        async with serving(make_world(), plugins=[recorder(told, "b", ["a"]), recorder(told, "a")]):
            pass
        assert told == [
            ("register_systems", "a", "World"), ("register_systems", "b", "World"),
            ("register_handlers", "a", "EventSystem"), ("register_handlers", "b", "EventSystem"),
            ("on_init", "a", "Server"), ("on_init", "b", "Server"),
            ("on_shutdown", "b", "Server"), ("on_shutdown", "a", "Server"),
        ]  # fmt: skip

    run(work())


def test_a_plugin_brings_kinds_systems_events_and_handlers():
    @hz.component
    class Height:
        z: f4

    Cloud = hz.Kind("Cloud", Position, Height, layers=[hz.Layer(0, 100.0, 120.0, [Height], 1 / 64)])

    @hz.event(namespace="weather")
    class Blow:
        z: f4

    @hz.system
    def rise(height: hz.Write[Height]):
        height.z += 1.0

    class Weather(hz.Plugin):
        client_events = [Blow]

        def register_systems(self, world):
            world.register(Cloud)
            world.add_system(rise)
            self.cloud = int(world.spawn(Cloud, 1)[0])

        def register_handlers(self, events):
            self.blown = []
            events.on_client("weather", Blow, lambda batch: self.blown.extend(batch.z.tolist()))

    async def work():
        weather = Weather()
        world = make_world()
        async with serving(world, plugins=[weather]) as server, hz.connect(server.ws_url) as client:
            await client.emit("weather", "blow", {"z": 2.5})
            while weather.blown != [2.5] or weather.cloud not in client.replica.handle:
                await client.next_frame()
            assert world.get(weather.cloud, Height).z > 0
            stats = server.plugins.stats()["weather"]
            assert stats.state == "on"
            assert [(one.event, one.plugin, one.calls) for one in stats.handlers] == [
                ("client:weather.blow", "weather", 1)
            ]
            assert list(stats.systems) == ["rise"]
            assert stats.ms_a_tick > 0
            assert stats.to_dict()["handlers"][0]["calls"] == 1
            assert server.report()["plugins"]["weather"].startswith("0.0.0 on")

    run(work())


def test_one_whose_handler_raises_is_switched_off_and_the_rest_goes_on():
    async def work():
        heard, broken = [], []

        def fail(event):
            broken.append(event.tick)
            raise KeyError("no such player")

        bad = plugin("bad", register_handlers=lambda self, events: events.on_core("server_tick", fail))
        good = plugin("good", register_handlers=lambda self, events: events.on_core("server_tick", heard.append))
        async with serving(make_world(), plugins=hz.Plugins([bad, good], max_failures=3, window_s=1e6)) as server:
            await ticks(server, 10)
            assert len(broken) == 3
            assert len(heard) >= 10
            assert (server.plugins.state("bad"), server.plugins.state("good")) == ("off", "on")
            stats = server.plugins.stats()["bad"]
            assert stats.failures == 3
            assert "server_tick" in stats.last_failure
            assert "no such player" in stats.last_failure
            assert "bad" in server.report()["plugins"]
            assert "off, " in server.report()["plugins"]["bad"]

    run(work())


def test_a_plugin_that_was_switched_off_can_be_switched_on_again():
    world = make_world()
    ran, heard = [], []

    @hz.system(form="columns")
    def step(world: hz.World) -> None:
        ran.append(world.tick_count)
        if world.tick_count <= 2:
            raise RuntimeError("not yet")

    class Stubborn(hz.Plugin):
        def register_systems(self, world):
            world.add_system(step)

        def register_handlers(self, events):
            events.on_core("server_tick", heard.append)

    server = hz.Server(world, plugins=hz.Plugins([Stubborn()], max_failures=2, window_s=1e6))

    def tick():
        world.tick()
        server.events.emit_core("server_tick", world.tick_count)
        server.plugins.check()

    for _ in range(4):
        tick()
    assert (ran, heard) == ([1, 2], [1, 2])
    stats = server.plugins.stats()["stubborn"]
    assert (stats.state, stats.failures, stats.last_failure[:11]) == ("off", 2, "system step")
    server.plugins.switch_on("stubborn")
    tick()
    tick()
    assert (ran, heard) == ([1, 2, 6], [1, 2, 5, 6])
    server.plugins.switch_off("stubborn")
    server.plugins.switch_off("stubborn")
    tick()
    tick()
    assert (ran, heard) == ([1, 2, 6, 7], [1, 2, 5, 6])
    assert server.plugins.state("stubborn") == "off"


def test_a_system_with_an_answer_of_its_own_keeps_it():
    @hz.system(form="columns", on_error="stop")
    def strict(world: hz.World) -> None:
        raise RuntimeError("stop")

    world = make_world()
    hz.Server(world, plugins=[plugin("a", register_systems=lambda self, world: world.add_system(strict))])
    with pytest.raises(hz.SystemFailure):
        world.tick()


@pytest.mark.parametrize("hook", ["register_systems", "register_handlers", "on_init"])
def test_one_that_cannot_be_brought_in_is_left_out_with_all_that_require_it(hook):
    @hz.system(form="columns")
    def step(world: hz.World) -> None:
        ran.append(1)

    ran, heard, told = [], [], []

    def systems(self, world):
        world.add_system(step)
        if hook == "register_systems":
            raise RuntimeError("no table")

    def handlers(self, events):
        events.on_core("server_tick", heard.append)
        if hook == "register_handlers":
            raise RuntimeError("no table")

    def init(self, server):
        if hook == "on_init":
            raise RuntimeError("no table")

    bad = plugin("bad", register_systems=systems, register_handlers=handlers, on_init=init)

    async def work():
        given = [recorder(told, "user", ["bad"]), bad, recorder(told, "other")]
        async with serving(make_world(), plugins=given) as server:
            await ticks(server, 3)
            ran.clear()
            await ticks(server, 2)
            states = [server.plugins.state(name) for name in ("bad", "user", "other")]
            assert states == ["failed", "failed", "on"]
            assert server.plugins.stats()["bad"].last_failure == f"{hook}: RuntimeError: no table"
            assert "requires 'bad'" in server.plugins.stats()["user"].last_failure
            for name in ("bad", "user"):
                with pytest.raises(ArgumentError, match="can't be switched on"):
                    server.plugins.switch_on(name)
        assert (ran, heard) == ([], [])
        assert [one[:2] for one in told if one[1] == "user"] == [
            (one, "user")
            for one in ("register_systems", "register_handlers")[
                : ["register_systems", "register_handlers", "on_init"].index(hook)
            ]
        ]
        assert ("on_shutdown", "other", "Server") in told
        assert ("on_shutdown", "user", "Server") not in told

    run(work())


def test_what_hangs_or_emits_without_end_does_not_stop_the_tick():
    """Each does what it can to hold up the others, and is named."""
    released = threading.Event()

    def hang(self, events):
        async def handler(event):
            while not released.is_set():
                await asyncio.sleep(0.001)

        events.on_core("server_tick", handler)

    def flood(self, events):
        async def handler(event):
            while True:
                events.emit_plugin("flood", "drop", event)

        events.on_core("server_tick", handler)
        events.on_plugin("flood", "drop", lambda event: None)

    def circle(self, events):
        events.on_plugin("circle", "again", lambda event: events.emit_plugin("circle", "again"))
        events.on_core("server_tick", lambda event: events.emit_plugin("circle", "again"))

    def forever(self, events):
        def handler(event):
            while True:
                events.emit_plugin("forever", "drop")

        events.on_core("server_tick", handler)

    async def work():
        given = [plugin(f.__name__, register_handlers=f) for f in (hang, flood, circle, forever)]
        heard = []
        given.append(plugin("good", register_handlers=lambda self, events: events.on_core("server_tick", heard.append)))
        world = hz.World(capacity=1_024, tick_rate=120.0, kinds=[Ship], max_events=100)
        server = hz.Server(world, ServerConfig(port=0), plugins=hz.Plugins(given, max_failures=2, window_s=1e6))
        server.events._runner.max_queued = 3
        await server.start()
        try:
            off = ("flood", "circle", "forever")
            while any(server.plugins.state(name) == "on" for name in off):
                await ticks(server, 1)
            await ticks(server, 5)
            assert heard[-1].tick - heard[0].tick == len(heard) - 1
            stats = server.plugins.stats()
            assert stats["good"].state == "on"
            assert stats["hang"].handlers[0].running == 1
            assert stats["hang"].handlers[0].waiting == 3
            assert stats["hang"].dropped > 0
            for name in off:
                assert "CapacityError" in stats[name].last_failure
            assert server._stage.ticker.error is None
        finally:
            released.set()
            await server.stop()

    run(work())
