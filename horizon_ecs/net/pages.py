"""The page and its modules, as HTTP responses from the same port as the WebSocket."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from websockets.datastructures import Headers
from websockets.http11 import Response

FOLDER = Path(__file__).parent / "web"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
# Everything comes from here; nothing is sent elsewhere.
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:"


def plain(status: HTTPStatus, text: str) -> Response:
    """A response of one line."""
    return _response(status, f"{text}\n".encode(), "text/plain; charset=utf-8")


def _response(status: HTTPStatus, body: bytes, kind: str) -> Response:
    headers = {
        "Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close", "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff", "Content-Security-Policy": _POLICY,
    }  # fmt: skip
    return Response(status.value, status.phrase, Headers(headers), body)


class Pages:
    """The files of the page, read once.

    Parameters
    ----------
    enabled : bool
        Without, only `/healthz` is answered.
    """

    def __init__(self, enabled: bool) -> None:
        self._bodies = {"/healthz": (b"ok\n", "text/plain; charset=utf-8")}
        for path in FOLDER.iterdir() if enabled else ():
            if path.suffix in _TYPES:
                self._bodies[f"/{path.name}"] = path.read_bytes(), _TYPES[path.suffix]
        if enabled:
            self._bodies["/"] = self._bodies["/index.html"]

    def respond(self, target: str) -> Response:
        """The answer to a GET request's target: a file, or 404."""
        found = self._bodies.get(target.partition("?")[0])
        return _response(HTTPStatus.OK, *found) if found else plain(HTTPStatus.NOT_FOUND, "not found")
