"""Outer values: what a function takes from around it, and a fingerprint of all of it, by which machine code is kept."""

from __future__ import annotations

import builtins
import enum
import hashlib
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

MISSING = object()
CONSTANTS = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)
# What these hold doesn't change without another version of them, by which Numba and the cache's directory go.
_LIBRARIES = ("builtins", "horizon_ecs", "math", "numba", "numpy")


def lookup(function: Callable[..., Any], name: str) -> Any:
    """The value of an outer name as the function sees it, or a mark that there is none."""
    code = function.__code__
    if name in code.co_freevars and function.__closure__:
        try:
            return function.__closure__[code.co_freevars.index(name)].cell_contents
        except ValueError:
            return MISSING
    return function.__globals__.get(name, getattr(builtins, name, MISSING))


def values_around(function: Callable[..., Any]) -> dict[str, Any]:
    """What a function may take from around it, by name; of modules and classes, "settings.GRAVITY", what it may
    read of them.

    Its code has attributes among its names, so there may be more than it takes.
    """
    names = sorted(set(_names(function.__code__)))
    found: dict[str, Any] = {}
    owners: list[Any] = []
    pending = [(name, lookup(function, name)) for name in names]
    for name, value in pending:
        if value is MISSING:
            continue
        found[name] = value
        if isinstance(value, types.ModuleType | type) and value not in owners and not _is_library(_home(value)):
            owners.append(value)
            pending += [(f"{name}.{n}", getattr(value, n)) for n in names if n in vars(value)]
    return found


def _home(owner: Any) -> Any:
    return owner.__name__ if isinstance(owner, types.ModuleType) else owner.__module__


def _names(code: types.CodeType) -> Iterator[str]:
    yield from (*code.co_names, *code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _is_library(module: Any) -> bool:
    return str(module).partition(".")[0] in _LIBRARIES


def is_constant(value: Any) -> bool:
    """Whether a value is a number, a text, or a tuple of such."""
    return isinstance(value, CONSTANTS) or (isinstance(value, tuple) and all(map(is_constant, value)))


class Fingerprint:
    """A hash of values, and of what functions among them take from around them in their turn."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._functions: list[Any] = []

    @property
    def digest(self) -> str:
        """16 hexadecimal digits."""
        return self._hash.hexdigest()[:16]

    def note(self, name: str, value: Any) -> None:
        """Take in a value."""
        value = getattr(value, "py_func", value)
        if isinstance(value, types.FunctionType):
            self._note_function(value)
        elif isinstance(value, np.ndarray):
            self._add(name, value.dtype.str, value.shape, value.tobytes())
        elif isinstance(value, type) and issubclass(value, enum.Enum):
            self._add(name, list(value))
        elif isinstance(value, tuple):
            for i, part in enumerate(value):
                self.note(f"{name}[{i}]", part)
        elif isinstance(value, enum.Enum):
            self._add(name, value)
        else:  # the text of other things may say where they lie in memory
            self._add(name, value if is_constant(value) else getattr(value, "__name__", type(value)))

    def _add(self, *facts: Any) -> None:
        self._hash.update(repr(facts).encode())

    def _note_function(self, function: types.FunctionType) -> None:
        if function in self._functions or _is_library(function.__module__):
            self._add(function.__module__, function.__qualname__)
            return
        self._functions.append(function)
        self._add(_source(function))
        self.note("defaults", (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()))
        for name, value in values_around(function).items():
            self.note(name, value)


def _source(function: types.FunctionType) -> Any:
    try:
        return inspect.getsource(function)
    except OSError:
        return function.__code__.co_code, function.__code__.co_consts
