"""Endpoints: what a server tells about itself over HTTP, and to whom."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from horizon_ecs.errors import ArgumentError
from horizon_ecs.net.gate import is_loopback

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
_FORWARDING = ("Forwarded", "Via", "X-Forwarded-For", "X-Real-IP")


Answers = Mapping[str, Callable[[Request], Response]]


class Endpoints:
    """Answers requests by their path.

    Parameters
    ----------
    open_, guarded : mapping of str to callable(Request) -> Response
        What everybody is told, and what only who may know.
    token : callable() -> str or None
        What `Authorization: Bearer …` must say for the latter; where it is None, only this machine is told.
    """

    def __init__(self, open_: Answers, guarded: Answers, token: Callable[[], str | None]) -> None:
        self._open, self._guarded, self._token = open_, guarded, token

    def respond(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer, or None where none of these is asked for."""
        path = request.path.partition("?")[0]
        if path in self._open:
            return self._open[path](request)
        if path not in self._guarded:
            return None
        peer = connection.remote_address
        refused = self._refuse(str(peer[0]) if peer else "", request.headers)
        if refused is not None:
            return refused
        try:
            return self._guarded[path](request)
        except ArgumentError as error:  # the extra isn't installed
            return answer(HTTPStatus.NOT_IMPLEMENTED, f"{error}\n".encode(), TEXT)

    def only(self, connection: ServerConnection, request: Request) -> Response:
        """The same for a port of their own: whatever else is asked for isn't there."""
        return self.respond(connection, request) or answer(HTTPStatus.NOT_FOUND, b"not found\n", TEXT)

    def _refuse(self, peer: str, headers: Headers) -> Response | None:
        """The refusal of whoever may not know."""
        token = self._token()
        if token is not None:
            said = headers.get_all("Authorization")
            if len(said) == 1 and hmac.compare_digest(said[0].encode(), f"Bearer {token}".encode()):
                return None
            refusal = answer(HTTPStatus.UNAUTHORIZED, b"say the token: Authorization: Bearer ...\n", TEXT)
            refusal.headers["WWW-Authenticate"] = 'Bearer realm="Horizon ECS"'
            return refusal
        if is_local(peer, headers):
            return None
        return answer(HTTPStatus.FORBIDDEN, b"only this machine is told; set metrics_token for others\n", TEXT)


def is_local(peer: str, headers: Headers) -> bool:
    """Whether somebody on this machine asks, and neither for others nor misled by a name that leads here."""
    hosts = headers.get_all("Host")
    return (
        is_loopback(peer)
        and len(hosts) == 1
        and is_loopback(urlsplit(f"//{hosts[0]}").hostname or "")
        and not any(name in headers for name in _FORWARDING)
    )


def queried(request: Request, name: str) -> list[str]:
    """What an address says after `?` under a name."""
    return parse_qs(request.path.partition("?")[2], max_num_fields=64).get(name, [])


def answer(status: HTTPStatus, body: bytes, kind: str, **more: str) -> Response:
    """A response that nobody keeps."""
    headers = {
        "Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close", "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff"
    } | {name.replace("_", "-"): value for name, value in more.items()}  # fmt: skip
    return Response(status.value, status.phrase, Headers(headers), body)


def answer_json(status: HTTPStatus, found: Mapping[str, Any]) -> Response:
    """The same, of plain data."""
    return answer(status, json.dumps(found).encode() + b"\n", JSON)
