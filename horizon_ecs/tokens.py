"""Tokens: texts by which a client proves who it is, made by whoever knows a secret.

They are JSON Web Tokens (RFC 7519), so that any service can make them. `HmacTokens` takes one algorithm, HS256, and
needs nothing but the standard library; `JwtTokens` leaves them to PyJWT, with public keys too.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from horizon_ecs.config import MIN_SECRET
from horizon_ecs.errors import ArgumentError, TokenError

_HEADER = {"alg": "HS256", "typ": "JWT"}


class AuthStatus(enum.StrEnum):
    """How far it is known who a player is; each is a text as well, which can be sent."""

    UNAUTHENTICATED = "unauthenticated"
    AUTHENTICATING = "authenticating"
    AUTHENTICATED = "authenticated"
    FAILED = "failed"


@dataclass(frozen=True)
class Credentials:
    """What a client says of itself.

    Attributes
    ----------
    token : str
        "" for none.
    name : str
        Not verified.
    about : mapping
    address : str
    """

    token: str = field(repr=False)
    name: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    address: str = ""


@dataclass(frozen=True)
class Identity:
    """Who somebody is.

    Attributes
    ----------
    user : str
        "" for a guest, who is let in without being known.
    roles : frozenset of str
    claims : mapping
        What else is said of it.
    expires_at : float or None
        Until when this holds, in seconds of Unix time.
    """

    user: str
    roles: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)
    expires_at: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.user, str):
            raise ArgumentError(f"user must be text, not {self.user!r}")
        object.__setattr__(self, "roles", as_roles(self.roles))


def as_roles(given: Iterable[str]) -> frozenset[str]:
    """Names of roles as a set. Raises ArgumentError, also for a single text."""
    roles = () if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if isinstance(given, str) or not all(isinstance(role, str) for role in roles) or not isinstance(given, Iterable):
        raise ArgumentError(f"roles must be a list of texts, not {given!r}")
    return frozenset(roles)


class HmacTokens:
    """Makes and verifies tokens with a secret that only servers know: `Server(authenticate=HmacTokens(secret))`.

    Parameters
    ----------
    secret : str or bytes
        At least 32 characters, by chance: `secrets.token_urlsafe()` makes one.
    lifetime_s : float
        How long a token holds from when it was made.
    clock : callable() -> float
        Unix time in seconds.

    Raises
    ------
    ArgumentError
        The secret is too short.
    """

    def __init__(
        self, secret: str | bytes, *, lifetime_s: float = 3_600.0, clock: Callable[[], float] = time.time
    ) -> None:
        if not isinstance(secret, str | bytes) or len(secret) < MIN_SECRET:
            raise ArgumentError(f"secret must be text or bytes of at least {MIN_SECRET}")
        if not isinstance(lifetime_s, int | float) or not 0 < lifetime_s < math.inf:
            raise ArgumentError(f"lifetime_s must be a positive number, not {lifetime_s!r}")
        self._secret = secret.encode() if isinstance(secret, str) else secret
        self._lifetime_s = lifetime_s
        self._clock = clock

    def __repr__(self) -> str:
        return f"HmacTokens(lifetime_s={self._lifetime_s:g})"

    def issue(self, user: str, roles: Iterable[str] = (), **claims: Any) -> str:
        """A token for somebody, who has these roles; claims may be whatever JSON can say."""
        expires_at = int(self._clock() + self._lifetime_s)
        said = {**claims, "sub": Identity(user).user, "roles": sorted(as_roles(roles)), "exp": expires_at}
        signed = f"{_encoded(_HEADER)}.{_encoded(said)}"
        return f"{signed}.{_base64(self._signature(signed))}"

    def verify(self, token: str) -> Identity:
        """Who a token says somebody is.

        Raises
        ------
        TokenError
            It was made with another secret, changed, has expired, or is none.
        """
        if not token:
            raise TokenError("a token is needed")
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(_base64(self._signature(signed)).encode(), signature.encode()):
            raise TokenError("the token isn't one of this server")
        header, _, said = signed.partition(".")
        if _decoded(header).get("alg") != _HEADER["alg"]:
            raise TokenError("the token isn't one of this server")
        return identity_of(_decoded(said), self._clock())

    def __call__(self, credentials: Credentials) -> Identity:
        """For `Server(authenticate=)`."""
        return self.verify(credentials.token)

    def _signature(self, signed: str) -> bytes:
        return hmac.digest(self._secret, signed.encode(), hashlib.sha256)


class JwtTokens:
    """Verifies JSON Web Tokens of somebody else, such as a login service with a public key; needs PyJWT
    (`pip install horizon-ecs[jwt]`).

    Parameters
    ----------
    key : str or bytes
        The secret, or the public key in PEM format.
    algorithms : sequence of str
        Those that are accepted, such as ["RS256"]; never both such with secrets and with public keys.
    audience, issuer : str, optional
        What the token must be for, and from.
    roles : str
        The claim that lists roles.
    leeway_s : float
        By how much clocks may differ.

    Raises
    ------
    ArgumentError
        PyJWT isn't there, or no algorithm is named.
    """

    def __init__(
        self, key: str | bytes, *, algorithms: Sequence[str], audience: str | None = None, issuer: str | None = None,
        roles: str = "roles", leeway_s: float = 0.0
    ) -> None:  # fmt: skip
        try:
            import jwt
        except ImportError:
            raise ArgumentError("JwtTokens needs PyJWT: pip install horizon-ecs[jwt]") from None
        if isinstance(algorithms, str) or not algorithms or "none" in {name.lower() for name in algorithms}:
            raise ArgumentError(f"algorithms must list those that are accepted, such as ['RS256'], not {algorithms!r}")
        if len({name.startswith("HS") for name in algorithms}) > 1:
            raise ArgumentError(f"algorithms must not mix secrets and public keys, as {list(algorithms)!r} do")
        self._jwt: Any = jwt
        self._key = key
        self._roles = roles
        self._options: dict[str, Any] = {
            "algorithms": list(algorithms), "audience": audience, "issuer": issuer, "leeway": leeway_s,
            "options": {"require": ["exp", "sub"]}
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"JwtTokens({', '.join(self._options['algorithms'])})"

    def verify(self, token: str) -> Identity:
        """Who a token says somebody is. Raises TokenError."""
        if not token:
            raise TokenError("a token is needed")
        try:
            said = self._jwt.decode(token, self._key, **self._options)
        except self._jwt.InvalidTokenError as error:
            raise TokenError(f"the token isn't accepted: {error}") from None
        return identity_of({**said, "roles": said.get(self._roles, [])}, -math.inf)

    def __call__(self, credentials: Credentials) -> Identity:
        """For `Server(authenticate=)`."""
        return self.verify(credentials.token)


def identity_of(claims: Mapping[str, Any], now: float) -> Identity:
    """Who a token's claims speak of. Raises TokenError where they have expired, or aren't such."""
    user, roles, expires_at = claims.get("sub"), claims.get("roles", []), claims.get("exp")
    if not isinstance(user, str) or not user:
        raise TokenError("the token names nobody")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise TokenError("the token's roles are no list of texts")
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
        raise TokenError("the token doesn't say until when it holds")
    if not now < expires_at:
        raise TokenError("the token has expired")
    rest = {name: value for name, value in claims.items() if name not in ("sub", "roles", "exp")}
    return Identity(user, frozenset(roles), rest, float(expires_at))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encoded(said: Mapping[str, Any]) -> str:
    return _base64(json.dumps(said, separators=(",", ":")).encode())


def _decoded(text: str) -> dict[str, Any]:
    try:
        said = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise TokenError("the token isn't one of this server")
    return said
