"""What is hidden, and what is left as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from actors.host.redaction import (
    has_secret_name,
    install,
    is_secret_name,
    masked,
    redact,
    secrets_in,
    secrets_of_environment,
    shown,
)
from actors.host.texts import plain_json


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    yield
    install(())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET http://host/path?page=2", "GET http://host/path?page=2"),
        ("GET http://bob:hunter2@host/", "GET http://***@host/"),
        ("GET http://host/?token=abc&page=2", "GET http://host/?token=***&page=2"),
        ("mail to bob@example.org", "mail to bob@example.org"),
        ('{"url": "ftp://a:b@c", "key": 1}', '{"url": "ftp://***@c", "key": 1}'),
        # What people write who do not quote their password.
        ("GET https://u:p@ss@h/", "GET https://***@h/"),
        ("GET https://u:p@s@s@h/a@b", "GET https://***@h/a@b"),
        ("GET https://u:p/ss@h/", "GET https://***@h/"),
        ("GET https://u:p?s#s@h/", "GET https://***@h/"),
        ("GET http://h:8080/@user", "GET http://h:8080/@user"),
        ("GET http://h/?sig=abc&se=1", "GET http://h/?sig=***&se=1"),
        ("Authorization: Bearer abcdef.ghi", "Authorization: Bearer ***"),
    ],
)
def test_secrets_are_known_by_their_place(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_secrets_are_known_by_value_in_every_form_they_take() -> None:
    values = {
        "HOME": "/home/bob",
        "API_TOKEN": 'tide"water',
        "options": {"url": "https://bob:l%40gbook@host", "password": "sea breeze"},
        "FRONT_KEYS": ["first-key", "second-key"],
        "other": {"password": 'pässwört"\x9b'},
    }

    install(secrets_in(values))

    assert redact("/home/bob") == "/home/bob"
    assert redact('tide"water') == "***"
    assert redact(json.dumps({"error": 'no tide"water'})) == '{"error": "no ***"}'
    assert redact("l@gbook and l%40gbook") == "*** and ***"
    assert redact("?q=sea%20breeze") == "?q=***"
    assert redact("Basic Ym9iOmxAZ2Jvb2s=") == "Basic ***"
    assert redact("first-key second-key") == "*** ***"
    assert redact('pässwört"\x9b') == "***"
    assert (
        redact(plain_json(json.dumps('pässwört"\x9b', ensure_ascii=False))) == '"***"'
    )


def test_short_values_hide_nothing() -> None:
    install(secrets_in({"TOKEN": "on", "PASSWORD": ""}))

    assert redact("on and on") == "on and on"


def test_a_configured_value_is_masked_by_its_name() -> None:
    options = {"url": "http://u:p@h", "api_key": 7, "nested": {"token": "x", "n": [1]}}

    assert shown("options", options) == {
        "url": "http://***@h",
        "api_key": "***",
        "nested": {"token": "***", "n": [1]},
    }


@pytest.mark.parametrize(
    "name",
    [
        *("PGPASSWORD", "sig", "auth", "jwt", "session", "pwd", "MYSQL_PWD"),
        *("accessToken", "clientSecret", "X-Amz-Signature", "api.key", "db_password2"),
    ],
)
def test_a_name_says_that_its_value_is_secret(name: str) -> None:
    assert is_secret_name(name)
    assert shown(name, "something") == "***"
    assert masked([{"a": {name: "something"}}]) == [{"a": {name: "***"}}]


@pytest.mark.parametrize("name", ["design", "author", "monkey", "passenger", "sign"])
def test_a_name_that_only_looks_like_it_hides_nothing(name: str) -> None:
    assert not is_secret_name(name)


def test_everything_in_a_table_of_secrets_is_one() -> None:
    table = {"secrets": {"first": "hunter2", "more": ["hunter3"]}}

    install(secrets_in(table))

    assert shown("options", table) == {"secrets": "***"}
    assert masked(table) == {"secrets": "***"}
    assert redact("hunter2 hunter3") == "*** ***"


def test_variables_that_say_where_something_is_hide_nothing() -> None:
    environment = {
        "PWD": "/home/bob",
        "SSH_AUTH_SOCK": "/tmp/agent",  # noqa: S108 - never made
        "DESKTOP_SESSION": "ubuntu",
        "XDG_SESSION_TYPE": "wayland",
        "LOWTIDE_CLUSTER_KEY_FILE": "/etc/cluster.key",
        "PGPASSWORD": "hunter2",
    }

    assert [*secrets_of_environment(environment)] == ["hunter2"]


def test_many_urls_in_a_long_text_take_no_time() -> None:
    redact("://a:b" * 100_000)


@pytest.mark.parametrize(
    "value",
    [
        {"id": 1},
        {"id": 1, "token": None},
        {"id": 1, "token": "t"},
        {"id": 1, "of": {"token": "t"}},
        {"id": 1, "of": {"id": 1}},
        {"id": 1, "of": [{"id": 1}, {"password": 0}]},
        [{"id": 1}, [{"apiKey": ""}]],
        {f"{'k' * 5000}": 1},
        "token",
        None,
    ],
)
def test_what_has_a_secrets_name_is_told_however_often_its_like_came(
    value: Any,
) -> None:
    hides = masked(value) != value

    assert [has_secret_name(value) for _ in range(3)] == [hides] * 3


def test_a_shape_that_was_harmless_with_null_is_looked_at_with_a_value() -> None:
    assert not has_secret_name({"id": 1, "session": None})
    assert has_secret_name({"id": 1, "session": "s"})


def test_more_shapes_than_are_kept_are_told_as_well() -> None:
    shapes = [{f"name{number}": 1, "id": 2} for number in range(1000)]

    assert not any(map(has_secret_name, shapes))
    assert not any(map(has_secret_name, shapes))
    assert has_secret_name(shapes[0] | {"secret": 1})
