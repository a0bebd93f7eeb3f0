# ruff: noqa: S105, S106 - canaries
from __future__ import annotations

import json
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qs

import pytest

from domain.api.auth import OAuth2
from domain.api.tokens import Tokens, granted, token_request
from domain.errors import (
    BadAnswerError,
    BadStatusError,
    SourceError,
    ThrottledError,
    UnreachableError,
)
from domain.http import Answer, Request


def oauth(**options: Any) -> OAuth2:
    return OAuth2(
        **{
            "token_url": "https://login.example/token?x=1",
            "client_id": "me",
            "client_secret": "s3cret-canary",
            **options,
        }
    )


def form(request: Request) -> dict[str, str]:
    return {
        name: each[0] for name, each in parse_qs((request.body or b"").decode()).items()
    }


class Endpoint:
    def __init__(self, *said: Any) -> None:
        self.said = list(said)
        self.asked: list[Request] = []
        self.now = 0.0

    def send(self, request: Request) -> Answer:
        self.asked.append(request)
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return Answer(status=200, headers={}, body=json.dumps(said).encode())

    def tokens(self, **options: Any) -> Tokens:
        return Tokens(oauth(**options), self.send, lambda: self.now)


def refused(status: int, error: str = "", text: str = "", **headers: str) -> Exception:
    body = json.dumps({"error": error, "error_description": text}).encode()
    named = {name.replace("_", "-"): each for name, each in headers.items()}
    return BadStatusError("no", status=status, body=body, headers=named)


def test_client_credentials() -> None:
    request = token_request(oauth(scope="a b", audience="api"), None)

    assert form(request) == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "audience": "api",
    }
    basic = request.headers["Authorization"].removeprefix("Basic ")
    assert b64decode(basic) == b"me:s3cret-canary"
    assert "s3cret" not in repr(request)


def test_the_secret_may_stand_in_the_form() -> None:
    request = token_request(oauth(style="post"), None)

    assert "Authorization" not in request.headers
    assert form(request)["client_secret"] == "s3cret-canary"


def test_a_public_client_says_who_it_is() -> None:
    assert form(token_request(oauth(client_secret=""), "r"))["client_id"] == "me"


def test_what_a_header_splits_at_is_encoded() -> None:
    request = token_request(oauth(client_id="a:b", client_secret="c d"), None)

    basic = request.headers["Authorization"].removeprefix("Basic ")
    assert b64decode(basic) == b"a%3Ab:c+d"


def test_a_token_is_fetched_anew_before_its_end() -> None:
    endpoint = Endpoint(
        {"access_token": "a", "expires_in": 3600},
        {"access_token": "b", "expires_in": "100"},
        {"access_token": "c"},
    )
    tokens = endpoint.tokens()
    assert tokens.current() is None

    tokens.renew(None)
    assert tokens.current() == "a"
    endpoint.now = 3539.0
    assert tokens.current() == "a"
    endpoint.now = 3540.0
    assert tokens.current() is None
    tokens.renew(None)
    endpoint.now += 89.0
    assert tokens.current() == "b"
    endpoint.now += 2.0
    assert tokens.current() is None
    tokens.renew(None)
    endpoint.now += 1e9
    assert tokens.current() == "c"
    tokens.refuse("b")
    assert tokens.current() == "c"
    tokens.refuse("c")
    assert tokens.current() is None


def test_a_rotated_refresh_token_is_to_be_kept_and_used() -> None:
    endpoint = Endpoint(
        {"access_token": "a", "refresh_token": "r1"},
        {"access_token": "b", "refresh_token": "r2"},
        {"access_token": "c", "refresh_token": "r2"},
        {"access_token": "d"},
    )
    tokens = endpoint.tokens(refresh_token="r0")

    first = tokens.renew(None)
    second = tokens.renew(first)
    third = tokens.renew(second)
    fourth = tokens.renew(third)

    used = [form(each)["refresh_token"] for each in endpoint.asked]
    assert used == ["r0", "r1", "r2", "r2"]
    assert (second or {})["token"] == "r2"
    assert third == second == fourth


def test_a_refresh_token_that_was_put_into_the_options_beats_a_kept_one() -> None:
    endpoint = Endpoint(
        {"access_token": "a", "refresh_token": "r1"}, {"access_token": "b"}
    )
    kept = endpoint.tokens(refresh_token="r0").renew(None)

    endpoint.tokens(refresh_token="new").renew(kept)

    assert form(endpoint.asked[1])["refresh_token"] == "new"


def test_where_the_kept_one_is_refused_the_configured_one_is_tried() -> None:
    endpoint = Endpoint(
        {"access_token": "a", "refresh_token": "r1"},
        refused(400, "invalid_grant"),
        {"access_token": "b"},
    )
    tokens = endpoint.tokens(refresh_token="r0")

    tokens.renew(tokens.renew(None))

    used = [form(each)["refresh_token"] for each in endpoint.asked]
    assert used == ["r0", "r1", "r0"]
    assert tokens.current() == "b"


@pytest.mark.parametrize(
    ("error", "text", "permanent"),
    [
        (refused(401, "invalid_client"), "got status 401 invalid_client", True),
        (
            refused(400, "invalid_grant", "gone"),
            "status 400 invalid_grant (gone)",
            True,
        ),
        (refused(400, "invalid_request"), "got status 400 invalid_request", False),
        (refused(500), "got status 500", False),
        (
            refused(400, "x\ny", "the s3cret-canary is bad"),
            "x y (the *** is bad)",
            False,
        ),
        (UnreachableError("no connection"), "auth: token_url: no connection", False),
    ],
)
def test_a_token_endpoint_that_says_no_is_told_in_one_line(
    error: Exception, text: str, permanent: object
) -> None:
    with pytest.raises(BadAnswerError) as caught:
        Endpoint(error).tokens().renew(None)

    assert text in str(caught.value)
    assert str(caught.value).startswith("auth: token_url")
    assert "\n" not in str(caught.value)
    assert "x=1" not in str(caught.value)
    assert caught.value.permanent is permanent
    assert caught.value.body == b""
    assert not caught.value.unknown_outcome


def test_a_token_endpoint_that_wants_to_be_left_alone_is_no_error() -> None:
    with pytest.raises(ThrottledError) as caught:
        Endpoint(refused(429, Retry_After="9")).tokens().renew(None)

    assert caught.value.retry_after_s == 9.0


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b"{}", b'{"access_token": ""}', b'{"access_token": "a\\nb"}'],
)
def test_what_is_no_token_is_told(body: bytes) -> None:
    with pytest.raises(SourceError, match=r"^auth: token_url \(https://login\.example"):
        granted(Answer(status=200, headers={}, body=body), oauth())


def test_a_token_of_another_type_is_told() -> None:
    body = json.dumps({"access_token": "a", "token_type": "mac"}).encode()

    with pytest.raises(SourceError, match="of the type Bearer, got 'mac'"):
        granted(Answer(status=200, headers={}, body=body), oauth())
