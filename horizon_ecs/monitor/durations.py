"""Durations: how long a block, a function or an awaitable took, told to whoever wants to know."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from horizon_ecs.errors import ArgumentError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Duration(Generic[T]):
    """Times what it is put around, once for each `with` and each call; what raises is timed as well.

    Parameters
    ----------
    note : callable(seconds)
    work : awaitable, optional
        What `await` on this waits for and returns.
    """

    def __init__(self, note: Callable[[float], None], work: Awaitable[T] | None = None) -> None:
        self._note = note
        self._work = work
        self._started_s: list[float] = []

    def __enter__(self) -> None:
        self._started_s.append(time.perf_counter())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._note(time.perf_counter() - self._started_s.pop())

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)

    def __await__(self) -> Generator[Any, None, T]:
        if self._work is None:
            raise ArgumentError("there is nothing to wait for: give record_duration an awaitable, or use `with`")
        with self:
            return (yield from self._work.__await__())

    def __call__(self, function: F) -> F:
        """The function, timed at each call. Raises ArgumentError for what isn't a function, and for generators."""
        if not callable(function) or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ArgumentError(f"record_duration times plain and async functions, not {function!r}")
        note = self._note
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waiting(*args: Any, **kwargs: Any) -> Any:
                with Duration[Any](note):
                    return await function(*args, **kwargs)

            return cast(F, waiting)

        @functools.wraps(function)
        def calling(*args: Any, **kwargs: Any) -> Any:
            with Duration[Any](note):
                return function(*args, **kwargs)

        return cast(F, calling)
