"""Names that a system's body takes from around it: numbers become constants, plain functions are compiled with it."""

from __future__ import annotations

import builtins
import enum
import hashlib
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from horizon_ecs import kernel
from horizon_ecs.errors import DefinitionError

MISSING = object()
_CONSTANTS = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)


class Capture:
    """The outer names of one function, as a namespace to compile it in.

    Attributes
    ----------
    namespace : dict
    digest : str
        Changes whenever one of the values does, so that machine code can be kept by it.
    allocates : bool
        Whether functions may take memory.

    `fail(name, text)` raises for a name that can't be taken.
    """

    def __init__(
        self, function: Callable[..., Any], names: Iterable[str], allocates: bool, fail: Callable[[str, str], NoReturn]
    ) -> None:
        self.allocates = allocates
        self.namespace: dict[str, Any] = {}
        self._hash = hashlib.sha256()
        self._helpers: dict[Callable[..., Any], Any] = {}
        self._compiling: list[Callable[..., Any]] = []
        for name in sorted(names):
            value = lookup(function, name)
            if value is MISSING:
                fail(name, f"the name {name!r} is not defined")
            if hasattr(builtins, name) and value is getattr(builtins, name):
                continue
            try:
                self.namespace[name] = self._take(name, value)
            except DefinitionError as error:
                fail(name, str(error))

    @property
    def digest(self) -> str:
        """A hash of everything that was captured."""
        return self._hash.hexdigest()[:16]

    def _note(self, *facts: Any) -> None:
        self._hash.update(repr(facts).encode())

    def _take(self, name: str, value: Any) -> Any:
        if isinstance(value, types.FunctionType):
            return self._compile(value)
        if kernel.is_jitted(value):
            self._note(name, _source(value.py_func))
            return value
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            self._note(name, value.dtype.str, value.shape, value.tobytes())
            return value
        if isinstance(value, type) and issubclass(value, enum.Enum):
            self._note(name, list(value))
            return value
        if (
            self._is_constant(value)
            or isinstance(value, types.ModuleType | np.ufunc | types.BuiltinFunctionType)
            or _is_scalar_type(value)
        ):
            self._note(name, value)
            return value
        raise DefinitionError(
            f"the name {name!r} is a {type(value).__name__}; a jitted system can use numbers, arrays, enums, modules "
            "and functions from around it, and everything that changes as a resource: Res[...]"
        )

    @classmethod
    def _is_constant(cls, value: Any) -> bool:
        return isinstance(value, _CONSTANTS) or (isinstance(value, tuple) and all(cls._is_constant(v) for v in value))

    def _compile(self, function: types.FunctionType) -> Any:
        """A helper function, jitted, and those that it calls with it."""
        if function in self._compiling:
            raise DefinitionError(f"the function {function.__name__!r} calls itself; a jitted system's helpers can't")
        if function not in self._helpers:
            self._note(function.__name__, _source(function))
            self._compiling.append(function)
            names = {n: lookup(function, n) for n in function.__code__.co_names if n in function.__globals__}
            taken = {
                n: self._take(n, v)
                for n, v in names.items()
                if isinstance(v, types.FunctionType) or self._is_constant(v)
            }
            # Under our name: cached machine code imports the module it came from, and the user's may be a script.
            copy = types.FunctionType(
                function.__code__,
                {**function.__globals__, **taken, "__name__": __name__},
                function.__name__,
                function.__defaults__,
                function.__closure__,
            )
            self._helpers[function] = kernel.helper(copy, allocates=self.allocates)
            self._compiling.pop()
        return self._helpers[function]


def lookup(function: Callable[..., Any], name: str) -> Any:
    """The value of an outer name as the function sees it, or a mark that there is none."""
    code = function.__code__
    if name in code.co_freevars and function.__closure__:
        try:
            return function.__closure__[code.co_freevars.index(name)].cell_contents
        except ValueError:
            return MISSING
    return function.__globals__.get(name, getattr(builtins, name, MISSING))


def _is_scalar_type(value: Any) -> bool:
    return isinstance(value, type) and (issubclass(value, np.generic) or value in (bool, int, float))


def _source(function: types.FunctionType) -> Any:
    try:
        return inspect.getsource(function), [c.cell_contents for c in function.__closure__ or ()]
    except (OSError, ValueError):
        return function.__code__.co_code, function.__code__.co_consts
