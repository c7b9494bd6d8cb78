"""Every exception that Horizon ECS raises on purpose.

HorizonError
├── DefinitionError      a component, kind, layer or system is declared wrongly (also a TypeError)
│   └── CompileError     a system's body can't be compiled
├── ArgumentError        a call's argument is not what it may be (also a ValueError)
├── CapacityError        a limit that was given once is reached
├── StaleHandleError     a handle names an entity that no longer lives (also a LookupError)
├── SnapshotError        a world can't be saved as it is, or a file not be loaded (also a ValueError)
├── RecordingError       a recording is cut off, corrupted, newer or of another schema (also a ValueError)
├── PluginError          a plugin can't be found or loaded, or requires what isn't there
├── SystemFailure        a system raised while the world ticked
├── CheckFailure         a system doesn't keep its promises (also an AssertionError)
├── TokenError           a token doesn't say who somebody is (also a ValueError)
├── WireError            bytes from the network are malformed
├── ListenError          a server can't listen where it should (also an OSError)
└── ConnectionClosed     a server ended or refused a connection
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "CapacityError",
    "CheckFailure",
    "CompileError",
    "ConnectionClosed",
    "DefinitionError",
    "HorizonError",
    "ListenError",
    "PluginError",
    "RecordingError",
    "SnapshotError",
    "StaleHandleError",
    "SystemFailure",
    "TokenError",
    "WireError",
]


class HorizonError(Exception):
    """The root of all that follow; also raised where Horizon ECS itself is at fault."""


class DefinitionError(HorizonError, TypeError):
    """A component, kind, layer or system is declared wrongly."""


class CompileError(DefinitionError):
    """The body of a system can't be compiled; the message names file, line and what to write instead."""


class ArgumentError(HorizonError, ValueError):
    """An argument is not what it may be; the message names it, what was expected and what came."""


class CapacityError(HorizonError):
    """A limit is reached; the message names it. Nothing was done."""


class StaleHandleError(HorizonError, LookupError):
    """A handle names an entity that no longer lives. Nothing was done."""


class SnapshotError(HorizonError, ValueError):
    """A world holds what no file can, or a file is truncated, corrupted, newer or of another schema."""


class RecordingError(HorizonError, ValueError):
    """A recording is no such file, cut off within its header, corrupted, newer or of another schema."""


class PluginError(HorizonError):
    """A plugin can't be found or loaded, isn't allowed, or requires what isn't there; the message names it."""


class SystemFailure(HorizonError):
    """A system raised; the cause is chained.

    Attributes
    ----------
    system : str
    tick : int
    entity : int or None
        The handle of the entity at which a per-entity system failed, where that is known.
    """

    def __init__(
        self, system: str, tick: int, cause: BaseException, place: str = "", entity: int | None = None
    ) -> None:
        who = f" for entity {entity:#x}" if entity is not None else ""
        at = f" at {place}" if place else ""
        super().__init__(f"system {system!r} failed in tick {tick}{who}{at}: {type(cause).__name__}: {cause}")
        self.system = system
        self.tick = tick
        self.entity = entity


class CheckFailure(HorizonError, AssertionError):
    """`check_system` found that a system doesn't keep its promises.

    Attributes
    ----------
    system : str
    problems : list of str
    """

    def __init__(self, system: str, problems: list[str]) -> None:
        super().__init__(f"system {system!r} doesn't keep its promises:\n" + "\n".join(f"  - {p}" for p in problems))
        self.system = system
        self.problems = problems


class TokenError(HorizonError, ValueError):
    """A token is missing, malformed, expired, or not made with the key; the message is told to who came with it."""


class WireError(HorizonError):
    """Bytes from the network are not what docs/wire.md says."""


class ListenError(HorizonError, OSError):
    """A server can't listen on its address; the message names it."""


# What close codes mean (docs/wire.md, "Close codes"), and whether connecting again makes sense.
CLOSES: dict[int, tuple[str, bool]] = {
    1000: ("closed as agreed", False),
    1001: ("the server has stopped", True),
    1002: ("a frame broke RFC 6455, or was compressed", False),
    1003: ("a text message was sent", False),
    1005: ("closed without a code", True),
    1006: ("the connection is lost, or nobody answers", True),
    1007: ("a text message that isn't UTF-8 was sent", False),
    1009: ("a message was longer than the server takes", False),
    1011: ("the server's application failed", True),
    1013: ("the server is full", True),
    4000: ("something malformed was sent or received", True),
    4001: ("the first message was something else than hello", False),
    4002: ("the server speaks another version of the protocol", False),
    4003: ("the server replicates another schema", False),
    4004: ("the hello came too late", True),
    4005: ("an event was sent that the server doesn't take", False),
    4006: ("frames weren't acknowledged for too long", True),
    4007: ("messages were sent faster than the server takes", True),
    4008: ("nothing was sent for too long", True),
    4009: ("the server doesn't accept the token", False),
    4010: ("an event was sent that only other roles may send", False),
    4011: ("banned", False),
    4012: ("the same session was taken up by another connection", False),
    4013: ("the server's operator ended the session", False),
}

# The same of HTTP statuses (docs/wire.md, "What HTTP answers").
STATUSES: dict[int, tuple[str, bool]] = {
    403: ("the server lets nobody in from this address or page", False),
    429: ("the server lets no more in from this address", True),
}


class ConnectionClosed(HorizonError):
    """A server closed or refused the connection.

    Attributes
    ----------
    code : int
        The WebSocket close code, or the HTTP status where there was no WebSocket yet (docs/wire.md).
    reason : str
        What the server said.
    explanation : str
        What the code means.
    may_retry : bool
        Whether connecting again makes sense.
    """

    def __init__(self, code: int, reason: str) -> None:
        self.explanation, self.may_retry = {**CLOSES, **STATUSES}.get(code, ("for a reason of the application's", True))
        super().__init__(f"connection closed with code {code} ({self.explanation})" + (f": {reason}" if reason else ""))
        self.code = code
        self.reason = reason
