"""Admission: who a client says it is, and whether that is so."""

from __future__ import annotations

import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable

from horizon_ecs.config import ServerConfig
from horizon_ecs.errors import TokenError
from horizon_ecs.net.players import Player
from horizon_ecs.net.session import Hello, Refused
from horizon_ecs.net.wire import Close
from horizon_ecs.tokens import AuthStatus, Credentials, HmacTokens, Identity

log = logging.getLogger("horizon_ecs.server")

Authenticate = Callable[[Credentials], Identity | Awaitable[Identity | None] | None]


AuthChange = Callable[[Player, AuthStatus, AuthStatus], None]
"""Told of a player with the status before and the one now."""


class Admission:
    """Makes players of those who introduce themselves, and tells who has become known.

    Parameters
    ----------
    config : ServerConfig
    authenticate : callable(Credentials) -> Identity or None, optional
        Says who comes; None, or a TokenError, refuses it. May be a coroutine function. Without one the configuration's
        `auth_secret` decides, and without that nobody is asked.
    told : callable(player, before, now)
        Called whenever a player's AuthStatus changes, on the thread that found out.
    """

    def __init__(
        self, config: ServerConfig, authenticate: Authenticate | None = None, *,
        told: AuthChange = lambda player, before, now: None
    ) -> None:  # fmt: skip
        self.grace_s = config.reconnect_grace_s
        self._authenticate = authenticate or (HmacTokens(config.auth_secret) if config.auth_secret else None)
        self._told = told

    async def admit(self, hello: Hello, address: str) -> Player | Refused:
        """The player that a client becomes, or why it doesn't."""
        player = Player(hello.name, hello.about, address, returns_as=hello.session)
        if self.grace_s > 0:
            player.session = secrets.token_urlsafe(24)
        if self._authenticate is None:
            return player
        self._change(player, AuthStatus.AUTHENTICATING)
        who = await self._answer(Credentials(hello.token, hello.name, hello.about, address))
        if isinstance(who, Refused):
            self._change(player, AuthStatus.FAILED)
            return who
        self.identify(player, who)
        return player

    def identify(self, player: Player, who: Identity) -> None:
        """Let a player be somebody from now on."""
        player.user, player.roles, player.claims, player.expires_at = who.user, who.roles, who.claims, who.expires_at
        self._change(player, AuthStatus.AUTHENTICATED if who.user else AuthStatus.UNAUTHENTICATED)

    def _change(self, player: Player, now: AuthStatus) -> None:
        before, player.auth = player.auth, now
        if before is not now:
            self._told(player, before, now)

    async def _answer(self, credentials: Credentials) -> Identity | Refused:
        try:
            who = await self._ask(credentials)
        except TokenError as error:
            return Refused(Close.UNAUTHORISED, str(error))
        except Exception:
            log.exception("authenticate failed for %r", credentials.name)
            return Refused(Close.INTERNAL, "nobody can say who this is")
        return Refused(Close.UNAUTHORISED, "not accepted") if who is None else who

    async def _ask(self, credentials: Credentials) -> Identity | None:
        assert self._authenticate is not None
        said = self._authenticate(credentials)
        who = await said if inspect.isawaitable(said) else said
        if who is not None and not isinstance(who, Identity):
            raise TypeError(f"authenticate must return an Identity or None, not {who!r}")
        return who
