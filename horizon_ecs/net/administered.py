"""Administered: who is connected to a server, and how to end a session; for hooks, and over HTTP for a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

from websockets.http11 import Request, Response

from horizon_ecs.errors import ArgumentError
from horizon_ecs.net.endpoints import JSON, TEXT, answer, answer_json, queried
from horizon_ecs.net.monitored import Monitored, waiting_bytes
from horizon_ecs.net.players import Seat
from horizon_ecs.net.wire import MAX_REASON_BYTES, Close

FOLDER = Path(__file__).parent / "admin"

_FILES = {
    "/admin": ("admin.html", "text/html; charset=utf-8"),
    "/admin.js": ("admin.js", "text/javascript; charset=utf-8"),
    "/admin.css": ("admin.css", "text/css; charset=utf-8"),
}
# No other page may show it in a frame, and have somebody click there.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"


@dataclass(frozen=True)
class SessionInfo:
    """One connection.

    Attributes
    ----------
    id : str
        What `kick` takes; never given out again.
    name, address : str
        What the client calls itself, and where it comes from; "" before it has introduced itself.
    state : str
        "greeting", "joining", "live" or "ended".
    observer, entity : int
        -1 and 0 where it has none.
    held : bool
        Whether it gets nothing until it has caught up.
    behind_ticks, waiting_bytes : int
        What it has yet to acknowledge, and what it has yet to be sent.
    slowdown : int
        By how much its channels are due more seldom, for its link's sake.
    """

    id: str
    name: str
    address: str
    state: str
    observer: int
    entity: int
    held: bool
    behind_ticks: int
    waiting_bytes: int
    slowdown: int


class Administered(Monitored):
    """A server's sessions."""

    def sessions(self) -> list[SessionInfo]:
        """Who is connected, by observer; from any thread."""
        return sorted(map(_info, list(self._connections.seats)), key=lambda one: (one.observer, one.id))

    def kick(self, session: str, reason: str = "") -> None:
        """End a session with close code 4013; from any thread. Its client doesn't connect again by itself.

        Parameters
        ----------
        session : str
            As in `SessionInfo.id`.
        reason : str
            For the client to read.

        Raises
        ------
        ArgumentError
            There is no such session, or the reason is too long for a close frame: 123 bytes.
        """
        if not isinstance(reason, str) or len(reason.encode()) > MAX_REASON_BYTES:
            raise ArgumentError(f"reason must be text of at most {MAX_REASON_BYTES} bytes, not {reason!r}")
        for seat in list(self._connections.seats):
            if str(seat.connection.id) == session:
                self._post(self._connections.refuse, seat, Close.KICKED, reason or "ended by the server's operator")
                return
        raise ArgumentError(f"there is no session {session!r}")

    def _guarded(self) -> Mapping[str, Callable[[Request], Response]]:
        return {**super()._guarded(), "/sessions": self._answer_sessions, "/kick": self._answer_kick}

    def _open(self) -> Mapping[str, Callable[[Request], Response]]:
        """The page itself tells nothing: what it shows, it has to ask for."""
        return {**super()._open(), **dict.fromkeys(_FILES, _answer_file)} if self.config.page else super()._open()

    def _answer_sessions(self, request: Request) -> Response:
        return answer_json(HTTPStatus.OK, {"sessions": [asdict(one) for one in self.sessions()]})

    def _answer_kick(self, request: Request) -> Response:
        if getattr(request, "method", "GET") != "POST":
            return answer(HTTPStatus.METHOD_NOT_ALLOWED, b"POST it\n", TEXT, Allow="POST")
        if _is_foreign(request):
            return answer(HTTPStatus.FORBIDDEN, b"another site's page asks\n", TEXT)
        session, reason = (([*queried(request, name), ""])[0] for name in ("session", "reason"))
        try:
            self.kick(session, reason)
        except ArgumentError as error:
            return answer(HTTPStatus.NOT_FOUND, f"{error}\n".encode(), TEXT)
        return answer(HTTPStatus.OK, b"{}\n", JSON)


def _is_foreign(request: Request) -> bool:
    """Whether a page of another site makes a browser ask."""
    origins, hosts = request.headers.get_all("Origin"), request.headers.get_all("Host")
    return any(origin.partition("://")[2].lower() not in {host.lower() for host in hosts} for origin in origins)


def _info(seat: Seat) -> SessionInfo:
    player, session = seat.player, seat.session
    return SessionInfo(
        id=str(seat.connection.id), name=player.name if player else "", address=seat.address,
        state=session.state.value, observer=seat.observer, entity=player.entity if player else 0, held=session.held,
        behind_ticks=session.behind, waiting_bytes=waiting_bytes(seat), slowdown=1 << session.link.rate
    )  # fmt: skip


def _answer_file(request: Request) -> Response:
    name, kind = _FILES[request.path.partition("?")[0]]
    more = {"Content_Security_Policy": _POLICY, "Referrer_Policy": "no-referrer"}
    return answer(HTTPStatus.OK, (FOLDER / name).read_bytes(), kind, **more)
