"""A plugin's code read again while its server runs."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

import horizon_ecs as hz
from horizon_ecs import f4
from horizon_ecs.errors import ArgumentError, PluginError
from horizon_ecs.testing import serving

TIMEOUT_S = 30

PARTS = """
import horizon_ecs as hz


@hz.component
class Counter:
    n: hz.f4


Cell = hz.Kind("Cell", Counter)
"""
CODE = """
import horizon_ecs as hz
from .parts import Counter, Cell

STEP = {step}


@hz.system
def count(counter: hz.Write[Counter]):
    counter.n += STEP


class Cells(hz.Plugin):
    version = "1.{step}"
    heard = 0

    def register_systems(self, world):
        world.register(Cell)
        world.add_system(count)

    def register_handlers(self, events):
        self.events = events
        events.on_client("cells", "ask", self.ask)

    def ask(self, event):
        self.heard += 1
        self.events.emit_client(event.player, "cells", "told", [self.version, self.heard])

    def on_reload(self, before):
        self.heard = before.heard
{more}
"""


@hz.component
class Position:
    x: f4
    y: f4


Ship = hz.Kind("Ship", Position, layers=[hz.Layer(0, 100.0, 120.0, [Position], 1 / 64)])


@hz.system
def drift(pos: hz.Write[Position], time: hz.Res[hz.Time]):
    pos.y = (time.tick * time.tick % 13) / 64


class Cells:
    """The directory of a plugin, and a server that isn't started."""

    def __init__(self, root):
        self.now = 0.0
        (root / "cells").mkdir()
        self.path = root / "cells" / "__init__.py"
        (root / "cells" / "parts.py").write_text(PARTS)
        self.write(1)
        self.plugins = hz.Plugins(hz.find_plugins(root), watch=True, now=lambda: self.now)
        self.world = hz.World(capacity=1_024, tick_rate=120.0, kinds=[Ship])
        self.world.add_system(drift)

    def write(self, step, more=""):
        self.path.write_text(CODE.format(step=step, more=more))

    def serve(self):
        server = hz.Server(self.world, plugins=self.plugins)
        parts = sys.modules["horizon_plugin_cells.parts"]
        cell = self.world.spawn(parts.Cell, 1)
        return server, lambda: float(self.world[parts.Counter].n[self.world.slots_of(cell)][0])

    def tick(self, look=True):
        self.now += 1.0 * look
        self.world.tick()
        self.plugins.check()


@pytest.fixture
def cells(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL + 1)
    yield Cells(tmp_path)
    for name in [name for name in sys.modules if name.startswith("horizon_plugin_")]:
        del sys.modules[name]


def test_what_was_edited_is_read_again(cells):
    server, counted = cells.serve()
    cells.tick()
    assert counted() == 1
    cells.write(5)
    cells.tick(look=False)
    assert counted() == 2
    cells.tick()  # notices, after its systems
    cells.tick()
    assert counted() == 8
    assert cells.plugins["cells"].version == "1.5"
    assert [system.name for system in cells.world.schedule.systems] == ["drift", "count"]
    assert len(server.events.handlers()) == 1


@pytest.mark.parametrize(
    ("step", "more", "message"),
    [
        (2, "    def nonsense(", "can't be read again: SyntaxError"),
        (2, "raise RuntimeError('no')", "can't be read again: RuntimeError: no"),
        (2, "    def __init__(self, x): ...", "can't be made again: TypeError"),
        (2, "    requires = ['nobody']", "requires 'nobody', and there is no such plugin"),
        (2, "        raise ValueError('mine')", "goes on as it was, since it failed as it is: on_reload: ValueError: mine"),
        (2, "    def on_init(self, server): ...\n    def register_systems(self, world):\n        world.add_system(count)\n        raise ValueError('mine')", "register_systems: ValueError"),
        (2, "del Cells", "no such class any more"),
        (2, "@hz.component\nclass New:\n    x: hz.f4", "declares New, which the world keeps"),
        (2, "@hz.event\nclass New:\n    x: hz.f4", "declares New, which the world keeps"),
        (2, "Other = hz.Kind('Other', Counter)", "declares Other, which the world keeps"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_again_leaves_all_as_it_was(cells, step, more, message):
    server, counted = cells.serve()
    cells.tick()
    old, module = cells.plugins["cells"], sys.modules["horizon_plugin_cells"]
    cells.write(step, more)
    with pytest.raises(PluginError, match=message):
        cells.plugins.reload("cells")
    cells.tick()
    cells.tick()
    assert counted() == 3
    assert cells.plugins["cells"] is old
    assert cells.plugins.state("cells") == "on"
    assert len(server.events.handlers()) == 1
    assert sys.modules["horizon_plugin_cells"] is module
    cells.write(4)
    cells.tick()
    cells.tick()
    assert counted() == 8


def test_a_plugin_without_a_file_is_not_read_again():
    class Local(hz.Plugin): ...

    plugins = hz.Plugins([Local()])
    with pytest.raises(PluginError, match="plugin 'local' has no file of its own"):
        plugins.reload("local")
    with pytest.raises(ArgumentError, match="there is no plugin 'other'"):
        plugins.reload("other")


def test_clients_stay_while_a_plugin_is_read_again(cells):
    async def work():
        told, done = [], []
        async with serving(cells.world, plugins=cells.plugins) as server, hz.connect(server.ws_url) as client:
            client.callbacks.on_server_event(lambda namespace, event, data: told.append(data))

            @server.events.on_client("test", "reload")
            def reload(event):
                cells.plugins.reload("cells")
                done.append(True)

            await client.emit("cells", "ask")
            while not told:
                await client.next_frame()
            cells.write(7)
            await client.emit("test", "reload")
            while not done:
                await client.next_frame()
            await client.emit("cells", "ask")
            while len(told) < 2:
                await client.next_frame()
            assert told == [["1.1", 1], ["1.7", 2]]
            assert server.n_clients == 1
            assert server.report()["refusals"] == {}

    cells.world.spawn(Ship, 3)
    asyncio.run(asyncio.wait_for(work(), TIMEOUT_S))
