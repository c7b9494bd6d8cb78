"""What a system's body takes from around it: numbers become constants, plain functions are compiled with it."""

from __future__ import annotations

import builtins
import enum
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from horizon_ecs import kernel
from horizon_ecs.errors import DefinitionError
from horizon_ecs.helpers import Helper
from horizon_ecs.outer import MISSING, Fingerprint, is_constant, lookup
from horizon_ecs.resolve import Taken, is_known

_TABLES = (dict, set, frozenset, list)


class Capture:
    """The outer names of one function, as a namespace to compile it in.

    Attributes
    ----------
    namespace : dict
    digest : str
        Changes whenever one of the values does, so that machine code can be kept by it; those that the functions read
        which it calls are among them.
    allocates : bool
        Whether functions may take memory.

    `outer` are attributes of modules and classes, by the names that stand for them; `fail(name, text)` raises for a
    name that can't be taken.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        names: Iterable[str],
        outer: Mapping[str, Taken],
        allocates: bool,
        fail: Callable[[str, str], NoReturn],
    ) -> None:
        self.allocates = allocates
        self.namespace: dict[str, Any] = {}
        self._fingerprint = Fingerprint()
        self._helpers: dict[Callable[..., Any], Any] = {}
        self._compiling: list[Callable[..., Any]] = []
        found = {name: Taken(name, lookup(function, name), None) for name in names} | dict(outer)
        for name, taken in sorted(found.items(), key=lambda item: item[0]):
            if taken.value is MISSING:
                fail(name, f"the name {name!r} is not defined")
            try:
                self._put(self.namespace, name, taken)
            except DefinitionError as error:
                fail(name, str(error))

    @property
    def digest(self) -> str:
        """A hash of everything that was captured."""
        return self._fingerprint.digest

    def _put(self, namespace: dict[str, Any], name: str, taken: Taken) -> None:
        """Take a value into a namespace, if Python doesn't have it there anyway."""
        if not (hasattr(builtins, name) and taken.value is getattr(builtins, name)):
            namespace[name] = self._take(taken.text, taken.value)

    def _take(self, name: str, value: Any) -> Any:
        value = _as_number(value)
        self._fingerprint.note(name, value)
        if isinstance(value, types.FunctionType) and not _is_numpys(value):
            return self._compile(value)
        if isinstance(value, types.ModuleType) and not is_known(value):
            raise DefinitionError(f"the module {name!r} can't be used by itself; use what is in it: {name}.…")
        is_array = isinstance(value, np.ndarray) and not value.dtype.hasobject
        if kernel.is_jitted(value) or is_array or is_constant(value) or _is_compiled_in(value):
            return value
        raise DefinitionError(
            f"the name {name!r} is a {type(value).__name__}; a jitted system can use numbers, arrays, enums, modules "
            "and functions from around it, and everything that changes as a resource: Res[...]"
        )

    def _compile(self, function: types.FunctionType) -> Any:
        """A helper function, jitted, and those that it calls with it."""
        if function in self._compiling:
            raise DefinitionError(f"the function {function.__name__!r} calls itself; a jitted system's helpers can't")
        if function not in self._helpers:
            self._compiling.append(function)
            helper = Helper(function)
            namespace = helper.made.__globals__
            for name, taken in sorted(helper.reads().items()):
                if taken.value is MISSING:
                    helper.fail(taken.node, f"the name {name!r} is not defined")
                try:
                    self._put(namespace, name, taken)
                except DefinitionError as error:
                    helper.fail(taken.node, str(error))
            where = f"a default of {function.__name__}"
            helper.made.__defaults__ = tuple(self._take(where, value) for value in helper.defaults)
            # Under our name: cached machine code imports the module it came from, and the user's may be a script.
            namespace["__name__"] = helper.made.__module__ = __name__
            self._helpers[function] = kernel.helper(helper.made, allocates=self.allocates)
            self._compiling.pop()
        return self._helpers[function]


def _as_number(value: Any) -> Any:
    """A member of an enum, alone or in a tuple, as its number; anything else as it is."""
    if isinstance(value, enum.Enum) and isinstance(value.value, int | float):
        return value.value
    return tuple(map(_as_number, value)) if type(value) is tuple else value


def _is_numpys(function: types.FunctionType) -> bool:
    """Whether Numba has a function of its own in its place."""
    return str(function.__globals__.get("__name__")).partition(".")[0] == "numpy"


def _is_compiled_in(value: Any) -> bool:
    """Whether it is something that Numba knows by itself: a type of numbers or a namedtuple, a module, an
    exception to be raised."""
    if isinstance(value, type):
        return (
            issubclass(value, BaseException)
            or (issubclass(value, tuple) and hasattr(value, "_fields"))
            or (is_known(value) and value not in _TABLES)
        )
    return is_known(value) and (callable(value) or isinstance(value, types.ModuleType))
