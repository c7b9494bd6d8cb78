"""Names that a system's body takes from around it: numbers become constants, plain functions are compiled with it."""

from __future__ import annotations

import builtins
import enum
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from horizon_ecs import kernel
from horizon_ecs.errors import DefinitionError
from horizon_ecs.outer import MISSING, Fingerprint, is_constant, lookup, values_around


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
        self._fingerprint = Fingerprint()
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
        around = values_around(function)
        for name in around:
            if name.partition(".")[0] in self.namespace:
                self._fingerprint.note(name, around[name])

    @property
    def digest(self) -> str:
        """A hash of everything that was captured."""
        return self._fingerprint.digest

    def _take(self, name: str, value: Any) -> Any:
        if isinstance(value, types.FunctionType):
            return self._compile(value)
        if (
            kernel.is_jitted(value)
            or is_constant(value)
            or isinstance(value, types.ModuleType | np.ufunc | types.BuiltinFunctionType)
            or (isinstance(value, np.ndarray) and value.dtype.kind in "fiub")
            or (isinstance(value, type) and (issubclass(value, enum.Enum) or _is_scalar_type(value)))
        ):
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
            names = {n: lookup(function, n) for n in function.__code__.co_names if n in function.__globals__}
            taken = {
                n: self._take(n, v) for n, v in names.items() if isinstance(v, types.FunctionType) or is_constant(v)
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


def _is_scalar_type(value: type) -> bool:
    return issubclass(value, np.generic) or value in (bool, int, float)
