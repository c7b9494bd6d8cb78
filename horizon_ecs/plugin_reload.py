"""A plugin's code read again while its server runs: for development."""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from horizon_ecs.components import role_of
from horizon_ecs.errors import PluginError
from horizon_ecs.kinds import Kind
from horizon_ecs.plugins import Plugin


def file_of(plugin: Plugin) -> Path | None:
    """The file that a plugin's class stands in; None where it stands in none, as in a notebook."""
    module = sys.modules.get(type(plugin).__module__)
    file = getattr(module, "__file__", None)
    return Path(file) if file and type(plugin).__qualname__ == type(plugin).__name__ else None


def stamp(path: Path | None) -> tuple[int, int]:
    """By which it is seen that a file was edited: when, and its size; zeros where there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        found = None
    return (found.st_mtime_ns, found.st_size) if found else (0, 0)


def read_again(plugin: Plugin) -> Plugin:
    """An instance of a plugin's class as its file has it now; the modules that it imports stay as they are. Within
    `undone_if_refused`.

    Raises
    ------
    PluginError
        The file can't be run, hasn't the class any more, or declares what the world keeps.
    """
    path, old = file_of(plugin), sys.modules.get(type(plugin).__module__)
    if path is None or old is None:
        raise PluginError(f"plugin {plugin.name!r} has no file of its own to be read again")
    try:
        module = _run_again(old, path)
    except Exception as error:
        raise PluginError(f"plugin {plugin.name!r} can't be read again: {type(error).__name__}: {error}") from error
    _refuse_kept(plugin.name, module)
    return _instance(plugin, module)


@contextlib.contextmanager
def undone_if_refused(plugin: Plugin) -> Iterator[None]:
    """Let a plugin's module be what it was where the block raises."""
    name = type(plugin).__module__
    old = sys.modules.get(name)
    try:
        yield
    except BaseException:
        if old is not None:
            sys.modules[name] = old
        raise


def _run_again(old: ModuleType, path: Path) -> ModuleType:
    """From its source, whatever bytecode is about: that is told apart by seconds only."""
    linecache.cache.pop(str(path), None)
    module = ModuleType(old.__name__)
    for name in ("__file__", "__path__", "__package__", "__spec__", "__loader__"):
        if hasattr(old, name):
            setattr(module, name, getattr(old, name))
    sys.modules[old.__name__] = module
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


def _refuse_kept(name: str, module: ModuleType) -> None:
    """What the world and the wire know by now would be another thing of the same name."""
    for key, value in vars(module).items():
        own = isinstance(value, type) and value.__module__ == module.__name__ and bool(role_of(value))
        if own or (isinstance(value, Kind) and not _is_imported(module, key, value)):
            raise PluginError(
                f"plugin {name!r} declares {key}, which the world keeps as it was: to read a plugin again, have its "
                "components, events, resources and kinds in a module that it imports"
            )


def _is_imported(module: ModuleType, key: str, value: object) -> bool:
    """Whether a value stands in another module too."""
    others = [other for name, other in list(sys.modules.items()) if name != module.__name__]
    return any(getattr(other, "__dict__", {}).get(key) is value for other in others)


def _instance(plugin: Plugin, module: ModuleType) -> Plugin:
    cls = getattr(module, type(plugin).__name__, None)
    if not (isinstance(cls, type) and issubclass(cls, Plugin) and cls.name == plugin.name):
        raise PluginError(f"plugin {plugin.name!r} can't be read again: its file has no such class any more")
    try:
        return cls()
    except Exception as error:
        raise PluginError(f"plugin {plugin.name!r} can't be made again: {type(error).__name__}: {error}") from error
