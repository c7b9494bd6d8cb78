"""Tokens: whoever has the secret is believed, and nobody else."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs.tokens import Credentials, HmacTokens, Identity, JwtTokens

SECRET = "correct horse battery staple, and more of the same until it is long enough"


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def base64(data: dict) -> str:
    return urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def test_a_token_says_who_somebody_is():
    tokens = HmacTokens(SECRET, lifetime_s=60, clock=Clock())
    who = tokens.verify(tokens.issue("ada", ["admin", "archer"], team=3))
    assert who == Identity("ada", frozenset({"admin", "archer"}), {"team": 3}, 1_060.0)
    assert tokens(Credentials(tokens.issue("bob"))).user == "bob"
    assert SECRET not in repr(tokens)
    assert "secret" not in repr(Credentials("secret"))


def test_a_token_ends():
    clock = Clock()
    tokens = HmacTokens(SECRET, lifetime_s=60, clock=clock)
    token = tokens.issue("ada")
    clock.now = 1_059.0
    assert tokens.verify(token).user == "ada"
    clock.now = 1_060.0
    with pytest.raises(hz.TokenError, match="has expired"):
        tokens.verify(token)


def test_nobody_elses_token_is_accepted():
    tokens, others = HmacTokens(SECRET), HmacTokens(SECRET[::-1])
    header, said, signature = tokens.issue("ada").split(".")
    admin = base64({"sub": "ada", "roles": ["admin"], "exp": 1e12})
    none = base64({"alg": "none", "typ": "JWT"})
    for forged in (
        others.issue("ada"), f"{header}.{admin}.{signature}", f"{none}.{admin}.", f"{none}.{said}.{signature}",
        f"{header}.{said}", "...", ".", "é.é.é", signature, f"{header}.{said}.{signature}x",
    ):  # fmt: skip
        with pytest.raises(hz.TokenError, match="isn't one of this server"):
            tokens.verify(forged)
    with pytest.raises(hz.TokenError, match="a token is needed"):
        tokens.verify("")


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(max_size=60))
def test_no_text_is_a_token_by_chance(text):
    with pytest.raises(hz.TokenError):
        HmacTokens(SECRET).verify(text)


@pytest.mark.parametrize(
    ("claims", "what"),
    [
        ({"sub": ""}, "names nobody"), ({"sub": 5}, "names nobody"), ({"roles": "admin"}, "roles are no list"),
        ({"roles": [1]}, "roles are no list"), ({"exp": None}, "until when"), ({"exp": True}, "until when"),
        ({"exp": "9"}, "until when"), ({"exp": float("nan")}, "has expired"),
    ],
)  # fmt: skip
def test_signed_nonsense_is_refused_too(claims, what):
    tokens = HmacTokens(SECRET)
    signed = f"{base64({'alg': 'HS256'})}.{base64({'sub': 'ada', 'roles': [], 'exp': 1e12, **claims})}"
    token = f"{signed}.{urlsafe_b64encode(tokens._signature(signed)).rstrip(b'=').decode()}"
    with pytest.raises(hz.TokenError, match=what):
        tokens.verify(token)


def test_what_can_not_make_tokens_is_refused():
    with pytest.raises(hz.ArgumentError, match="secret must be text or bytes of at least 32"):
        HmacTokens("too short")
    with pytest.raises(hz.ArgumentError, match="lifetime_s must be a positive number, not 0"):
        HmacTokens(SECRET, lifetime_s=0)
    for roles in ("admin", [1], 5):
        with pytest.raises(hz.ArgumentError, match="roles must be a list of texts"):
            HmacTokens(SECRET).issue("ada", roles)
    with pytest.raises(hz.ArgumentError, match="user must be text"):
        HmacTokens(SECRET).issue(5)


def test_a_library_and_we_believe_each_other():
    jwt = pytest.importorskip("jwt")
    tokens, theirs = HmacTokens(SECRET), JwtTokens(SECRET, algorithms=["HS256"])
    assert theirs.verify(tokens.issue("ada", ["admin"], team=3)) == tokens.verify(
        tokens.issue("ada", ["admin"], team=3)
    )
    made = jwt.encode({"sub": "bob", "roles": ["x"], "exp": 10_000_000_000}, SECRET, algorithm="HS256")
    assert tokens.verify(made) == theirs(Credentials(made)) == Identity("bob", frozenset({"x"}), {}, 1e10)


def test_tokens_of_others_must_be_as_agreed():
    jwt = pytest.importorskip("jwt")

    def made(secret=SECRET, algorithm="HS256", **claims):
        said = {"sub": "ada", "exp": 10_000_000_000, "aud": "game", "iss": "login", "groups": ["admin"], **claims}
        return jwt.encode({key: value for key, value in said.items() if value is not None}, secret, algorithm)

    tokens = JwtTokens(SECRET, algorithms=["HS256"], audience="game", issuer="login", roles="groups")
    assert tokens.verify(made()).roles == {"admin"}
    for wrong in (
        made(aud="shop"), made(iss="other"), made(exp=5), made(exp=None), made(sub=None), made(groups="admin"),
        made(secret=SECRET[::-1]), made(algorithm="HS512"), "nonsense", "",
    ):  # fmt: skip
        with pytest.raises(hz.TokenError):
            tokens.verify(wrong)
    for algorithms in ([], "HS256", ["none"], ["HS256", "RS256"]):
        with pytest.raises(hz.ArgumentError, match="algorithms must"):
            JwtTokens(SECRET, algorithms=algorithms)


def test_without_the_library_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jwt", None)
    with pytest.raises(hz.ArgumentError, match=r"pip install horizon-ecs\[jwt\]"):
        JwtTokens(SECRET, algorithms=["HS256"])
