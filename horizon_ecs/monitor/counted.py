"""What an event system and plugins count, as a monitor reads it: any objects with these attributes will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class EventCounts(Protocol):
    """Of one event, since it was first known."""

    @property
    def count(self) -> int:
        """Events that handlers were called for."""

    @property
    def errors(self) -> int:
        """Handlers that raised."""

    @property
    def dropped(self) -> int:
        """Events that found no room."""


class HandlerCounts(Protocol):
    """Of one handler, since it was registered."""

    @property
    def event(self) -> str:
        """The name of its event, such as "client:chat.message"."""

    @property
    def name(self) -> str:
        """Its function's."""

    @property
    def plugin(self) -> str:
        """Whose it is; "" for the application's own."""

    @property
    def is_async(self) -> bool:
        """Whether its time is that of waiting, too."""

    @property
    def calls(self) -> int:
        """How often it was called."""

    @property
    def errors(self) -> int:
        """How often it raised."""

    @property
    def total_ms(self) -> float:
        """What its calls took together."""

    @property
    def max_ms(self) -> float:
        """What the longest of them took."""


class CountsEvents(Protocol):
    """An event system."""

    def stats(self) -> Mapping[str, EventCounts]:
        """By event's name."""

    def handler_stats(self) -> Sequence[HandlerCounts]:
        """Of every handler."""


class PluginCounts(Protocol):
    """Of one plugin, since it was brought in."""

    @property
    def state(self) -> str:
        """ "on" where it is at work."""

    @property
    def failures(self) -> int:
        """How often it failed, in whatever it does."""

    @property
    def last_failure(self) -> str:
        """What the last of them was; "" for none."""

    @property
    def ms_a_tick(self) -> float:
        """What its handlers and systems take a tick, on average."""


class CountsPlugins(Protocol):
    """Plugins."""

    def stats(self) -> Mapping[str, PluginCounts]:
        """By name."""
