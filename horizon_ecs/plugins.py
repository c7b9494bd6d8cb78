"""Plugins: parts of a server that are written apart from it, found, checked and put in order."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

import horizon_ecs
from horizon_ecs import arguments
from horizon_ecs.components import nearest
from horizon_ecs.errors import PluginError

if TYPE_CHECKING:
    from horizon_ecs.event_system import EventSystem
    from horizon_ecs.net.server import Server
    from horizon_ecs.world import World

log = logging.getLogger("horizon_ecs.plugins")

GROUP = "horizon_ecs.plugins"
"""The entry points of installed packages under which plugins are found; each is a class of Plugin."""
ENGINE = "horizon-ecs"


class Plugin:
    """A part of a server: its own systems, and handlers of what happens. Derive from it, and do what is needed of this.

    What it raises is logged with its name and counted; if it fails too often, it is switched off (`Plugins`).

    Attributes
    ----------
    name : str
        By which others require it; by default the class's in snake_case, without "_plugin".
    version : str
    requires : sequence of str
        Plugins that come before it, and what version of them, such as ["inventory>=1.2", "horizon-ecs>=0.1"].
    client_events : sequence of classes decorated with @event
        What clients may send as records for its sake.
    """

    name: str = ""
    version: str = "0.0.0"
    requires: Sequence[str] = ()
    client_events: Sequence[type] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower().removesuffix("_plugin")

    def __repr__(self) -> str:
        return f"<plugin {self.name} {self.version}>"

    def register_systems(self, world: World) -> None:
        """Add systems, kinds and resources; called when the server is made, before what is replicated is fixed.

        A system that fails is passed over in that tick and counts as the plugin's failure, whatever the world's
        `on_error`, unless it has one of its own.
        """

    def register_handlers(self, events: EventSystem) -> None:
        """Register handlers; called when the server is made. Keep `events` to emit or to register more later: what is
        registered by it is this plugin's."""

    def on_init(self, server: Server) -> None:
        """The server is about to tick, and clients can connect."""

    def on_reload(self, before: Plugin) -> None:
        """Its code was read again (`Plugins.reload`), and this instance stands for `before` from now on: take over from
        it what is to be kept. `before` has been told `on_shutdown`; registering and `on_init` follow."""

    def on_shutdown(self, server: Server) -> None:
        """It ticks no more; clients are still connected. Called for who was not switched off, the last one first."""


def find_plugins(
    directory: str | Path | None = None, *, entry_points: bool = False, allow: Iterable[str] | None = None
) -> list[Plugin]:
    """Plugins of a directory, and of installed packages; each class is made into an instance without arguments.

    Parameters
    ----------
    directory : path, optional
        Of which each module and package (`name.py`, `name/__init__.py`, none that begins with "_") is imported.
    entry_points : bool
        Whether those of installed packages count, in the group "horizon_ecs.plugins".
    allow : iterable of str, optional
        Names of all plugins that may be loaded. A module or entry point of another name isn't even imported.

    Raises
    ------
    PluginError
        One can't be imported or made, is called otherwise than what was allowed, or what is allowed isn't there.
    """
    allowed = None if allow is None else set(arguments.sequence("allow", allow, "names of plugins"))
    sources = [*_in_directory(directory), *(_installed() if entry_points else ())]
    found: list[Plugin] = []
    for name, load in sources:
        if allowed is not None and name not in allowed:
            log.info("plugin %s is not allowed, and wasn't loaded", name)
            continue
        made = _made(name, load)
        for plugin in made:
            if allowed is not None and plugin.name not in allowed:
                raise PluginError(f"{name} holds plugin {plugin.name!r}, which is not allowed: {sorted(allowed)}")
        found += made
    there = {plugin.name for plugin in found}
    for name in sorted((allowed or set()) - there):
        raise PluginError(f"plugin {name!r} is allowed but nowhere found{nearest(name, [n for n, _ in sources])}")
    return found


def _made(name: str, load: Load) -> list[Plugin]:
    try:
        classes = load()
        made = [cls() for cls in classes]
    except Exception as error:
        raise PluginError(f"plugin {name} can't be loaded: {type(error).__name__}: {error}") from error
    if not made:
        raise PluginError(f"plugin {name} can't be loaded: it holds no class derived from Plugin")
    return made


class Load:
    """Where plugins are, not imported yet; calling it gives their classes."""

    def __call__(self) -> list[type[Plugin]]:
        raise NotImplementedError


class _File(Load):
    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> list[type[Plugin]]:
        module = import_file(self.path)
        values = vars(module).values()
        own = [v for v in values if isinstance(v, type) and issubclass(v, Plugin) and v.__module__ == module.__name__]
        return list(dict.fromkeys(own))


class _Entry(Load):
    def __init__(self, entry: importlib.metadata.EntryPoint) -> None:
        self.entry = entry

    def __call__(self) -> list[type[Plugin]]:
        cls = self.entry.load()
        if not (isinstance(cls, type) and issubclass(cls, Plugin)):
            raise TypeError(f"{self.entry.value} is no class derived from Plugin")
        return [cls]


def _in_directory(directory: str | Path | None) -> Iterator[tuple[str, Load]]:
    if directory is None:
        return
    root = Path(directory)
    if not root.is_dir():
        raise PluginError(f"there is no directory {str(directory)!r} of plugins")
    for path in sorted(root.iterdir()):
        inside = path / "__init__.py"
        if path.name.startswith(("_", ".")):
            continue
        if path.suffix == ".py" or inside.is_file():
            yield path.stem, _File(path if path.suffix == ".py" else inside)


def _installed() -> Iterator[tuple[str, Load]]:
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        yield entry.name, _Entry(entry)


def import_file(path: Path) -> ModuleType:
    """Import a module or package from where it lies, under a name that no other module has."""
    is_package = path.name == "__init__.py"
    name = f"horizon_plugin_{path.parent.name if is_package else path.stem}"
    inner = [str(path.parent)] if is_package else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=inner)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def in_order(given: Iterable[Plugin]) -> list[Plugin]:
    """Plugins behind what they require, otherwise in the order given.

    Raises
    ------
    PluginError
        Two have one name; one has no version; one requires what isn't there, another version of it, or itself.
    """
    by_name: dict[str, Plugin] = {}
    for plugin in given:
        if not isinstance(plugin, Plugin):
            raise PluginError(f"expected an instance of a class derived from Plugin, got {plugin!r}")
        if not plugin.name or plugin.name in by_name:
            raise PluginError(f"{'two plugins are' if plugin.name else 'a plugin must not be'} called {plugin.name!r}")
        by_name[plugin.name] = plugin
    needs = {name: required(plugin, by_name) for name, plugin in by_name.items()}
    done: dict[str, Plugin] = {}

    def place(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise PluginError(
                f"plugins require each other in a circle: {' → '.join([*path[path.index(name) :], name])}"
            )
        for other in needs[name]:
            place(other, (*path, name))
        done.setdefault(name, by_name[name])

    for name in by_name:
        place(name, ())
    return list(done.values())


def required(plugin: Plugin, by_name: dict[str, Plugin]) -> list[str]:
    """Names of the plugins that one requires, whose versions will do. Raises PluginError."""
    versions = {name: other.version for name, other in by_name.items()}
    names = []
    _version(plugin.name, plugin.version)
    for text in arguments.sequence(
        "requires", plugin.requires, "requirements, such as ['inventory>=1.2']", PluginError
    ):
        try:
            asked = Requirement(text)
        except (InvalidRequirement, TypeError) as error:
            raise PluginError(f"plugin {plugin.name!r} requires {text!r}, which can't be read: {error}") from None
        version = horizon_ecs.__version__ if asked.name == ENGINE else versions.get(asked.name)
        if version is None:
            raise PluginError(
                f"plugin {plugin.name!r} requires {text!r}, and there is no such plugin{nearest(asked.name, versions)}"
            )
        if not asked.specifier.contains(_version(asked.name, version), prereleases=True):
            raise PluginError(f"plugin {plugin.name!r} requires {text!r}, but {asked.name} has version {version}")
        if asked.name != ENGINE:
            names.append(asked.name)
    return names


def _version(name: str, version: str) -> Version:
    try:
        return Version(version)
    except (InvalidVersion, TypeError):
        raise PluginError(f"plugin {name!r} must have a version such as '1.2.0', not {version!r}") from None
