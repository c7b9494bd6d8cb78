"""Handlers: one function that is called for an event, how it is called, and what that cost."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from horizon_ecs import arguments
from horizon_ecs.async_handlers import SKIPPED, Line
from horizon_ecs.components import nearest
from horizon_ecs.errors import ArgumentError
from horizon_ecs.events import EventBatch
from horizon_ecs.kernel import is_jitted

if TYPE_CHECKING:
    from horizon_ecs.async_handlers import AsyncRunner
    from horizon_ecs.topics import Topic

log = logging.getLogger("horizon_ecs.events")


class Stop:
    """What a handler returns to stop an event: no handler after it is called, and whoever emitted is given it.

    Parameters
    ----------
    reason : str
        For people; a client whose `player_connected` is stopped is told.
    """

    __slots__ = ("reason",)

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Stop({self.reason!r})"


class Owner(Protocol):
    """Whose handlers they are: told of what they raise."""

    name: str

    def failed(self, what: str, error: BaseException) -> None:
        """One of them raised."""


@dataclass(frozen=True)
class HandlerStats:
    """What a handler has cost.

    Attributes
    ----------
    event, name, plugin : str
        What it is called for, its function's name, and whose it is ("": the application's own).
    is_async : bool
    calls, errors, dropped : int
    waiting, running : int
        Events of an async one that wait, and those that it is at work on.
    mean_ms, max_ms, total_ms : float
        Of its calls; of an async one from the start of each to its end.
    """

    event: str
    name: str
    plugin: str
    is_async: bool
    calls: int
    errors: int
    dropped: int
    waiting: int
    running: int
    mean_ms: float
    max_ms: float
    total_ms: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return asdict(self)


class Handler:
    """A function that is registered for an event: what `on_core` and its like return.

    Attributes
    ----------
    event : str
        What it is called for, such as "core:server_tick".
    name : str
        The function's.
    plugin : str
        Whose it is, "" for the application's own.
    priority : int
    calls, errors : int
    dropped : int
        Events for which an async handler had no room.
    line : Line or None
        What waits for an async one.
    ns, max_ns : int
        Nanoseconds that its calls took, together and at most; of an async one from its start to its end.
    """

    __slots__ = (
        "_owner", "_topic", "call", "calls", "dropped", "errors", "event", "function", "is_async", "line", "max_ns",
        "name", "ns", "plugin", "priority", "takes_arrays",
    )  # fmt: skip

    def __init__(
        self, topic: Topic, function: Callable[..., Any], *, priority: int, filter: Callable[[Any], Any] | None,
        once: bool, args: Sequence[Any], concurrency: int, owner: Owner | None, runner: AsyncRunner
    ) -> None:  # fmt: skip
        self._topic, self._owner = topic, owner
        self.function, self.priority, self.event = function, priority, topic.name
        self.name = getattr(function, "__qualname__", type(function).__qualname__)
        self.plugin = owner.name if owner else ""
        self.calls = self.errors = self.dropped = self.ns = self.max_ns = 0
        self.is_async = _is_async(function)
        self.takes_arrays = takes_arrays(topic, function, len(args))
        call = _with_args(function, tuple(args), self.takes_arrays)
        self.line: Line | None = None
        if self.is_async:
            self.line = Line(self, call, concurrency)
            call = functools.partial(runner.submit, self.line)
        elif is_jitted(function):
            self._compile(topic, args)
        if once:
            call = self._once(call)
        if filter is not None:
            call = _filtered(call, filter, topic.event is not None)
        self.call: Callable[[Any], Any] = call

    def __repr__(self) -> str:
        return f"Handler({self.name} for {self.event}, {self.calls} calls)"

    def stats(self) -> HandlerStats:
        """What it has cost so far."""
        line = self.line
        waiting, running = (len(line.waiting), len(line.since)) if line else (0, 0)
        mean_ms = self.ns / max(1, self.calls) / 1e6
        return HandlerStats(
            self.event, self.name, self.plugin, self.is_async, self.calls, self.errors, self.dropped, waiting, running,
            mean_ms, self.max_ns / 1e6, self.ns / 1e6
        )  # fmt: skip

    def unsubscribe(self) -> None:
        """Let it be called no more, from now on; it may have been taken away already."""
        self.call = _skip
        self._topic.remove(self)

    def took(self, ns: int) -> None:
        """One more call, of so many nanoseconds."""
        self.calls += 1
        self.ns += ns
        if ns > self.max_ns:
            self.max_ns = ns

    def lost(self) -> None:
        """There was no room for an event; said the first time, then ever more seldom."""
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:
            whose = f" of plugin {self.plugin!r}" if self.plugin else ""
            log.warning("handler %s%s for %s has no room: dropped %d", self.name, whose, self.event, self.dropped)

    def failed(self, error: BaseException) -> None:
        """Count what it raised, and show it: the first time, then ever more seldom."""
        self.errors += 1
        self._topic.errors += 1
        if self.errors & (self.errors - 1) == 0:
            whose = f" of plugin {self.plugin!r}" if self.plugin else ""
            log.error(
                "handler %s%s failed for %s (%d times so far): %s: %s", self.name, whose, self.event, self.errors,
                type(error).__name__, error, exc_info=error
            )  # fmt: skip
        if self._owner is not None:
            self._owner.failed(f"{self.name} for {self.event}", error)

    def _once(self, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def first(data: Any) -> Any:
            self.unsubscribe()
            return call(data)

        return first

    def _compile(self, topic: Topic, args: Sequence[Any]) -> None:
        """Compiled now, by a call for no events: a tick wouldn't wait for it."""
        assert topic.event is not None  # a jitted handler takes arrays
        self.function(np.zeros(0, np.uint64), np.zeros(0, topic.event.__hz_dtype__), *args)  # type: ignore[attr-defined]


OPTIONS: dict[str, Any] = {"priority": 0, "filter": None, "once": False, "args": (), "concurrency": 1}


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a handler, all of them. Raises ArgumentError."""
    for name in given:
        if name not in OPTIONS:
            raise ArgumentError(f"handlers have no option {name!r}{nearest(name, OPTIONS)} (there are {list(OPTIONS)})")
    options = {**OPTIONS, **given}
    for name, low in (("priority", -(2**31)), ("concurrency", 1)):
        if not isinstance(options[name], int) or isinstance(options[name], bool) or options[name] < low:
            raise ArgumentError(f"{name} must be a whole number{' from 1' * (low == 1)}, not {options[name]!r}")
    if options["filter"] is not None and not callable(options["filter"]):
        raise ArgumentError(f"filter must be callable, not {options['filter']!r}")
    if not isinstance(options["once"], bool):
        raise ArgumentError(f"once must be True or False, not {options['once']!r}")
    options["args"] = arguments.sequence("args", options["args"], "what the handler is called with besides")
    return options


def takes_arrays(topic: Topic, function: Callable[..., Any], n_args: int) -> bool:
    """Whether a handler takes (sender, records) instead of one value. Raises ArgumentError where it fits neither."""
    if not callable(function):
        raise ArgumentError(f"a handler must be callable, not {function!r}")
    try:
        parameters = inspect.signature(getattr(function, "py_func", function)).parameters.values()
    except ValueError:  # of some builtins nothing is known
        return False
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in placed) - n_args
    most = np.inf if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(placed) - n_args
    if topic.event is not None and needed <= 2 <= most and (needed == 2 or is_jitted(function)):
        return True
    if needed <= 1 <= most and not is_jitted(function):
        return False
    ways = "batch) or (sender, records" if topic.event is not None else "event"
    raise ArgumentError(f"a handler of {topic.name} takes ({ways}), and `args` behind that; not what {function!r} does")


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    called = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _with_args(function: Callable[..., Any], args: tuple[Any, ...], takes_arrays: bool) -> Callable[[Any], Any]:
    if takes_arrays:
        return lambda batch: function(batch.sender, batch.records, *args)
    return (lambda data: function(data, *args)) if args else function


def _filtered(call: Callable[[Any], Any], wanted: Callable[[Any], Any], columnar: bool) -> Callable[[Any], Any]:
    if not columnar:
        return lambda data: call(data) if wanted(data) else SKIPPED

    def some(batch: EventBatch) -> Any:
        chosen = np.broadcast_to(np.asarray(wanted(batch), bool), len(batch))
        return SKIPPED if not chosen.any() else call(batch if chosen.all() else batch.where(chosen))

    return some


def _skip(data: Any) -> Any:
    return SKIPPED
