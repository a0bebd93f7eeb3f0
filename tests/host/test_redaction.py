"""What is hidden, and what is left as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from actors.host.redaction import install, redact, secrets_in, shown


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
    }

    install(secrets_in(values))

    assert redact("/home/bob") == "/home/bob"
    assert redact('tide"water') == "***"
    assert redact(json.dumps({"error": 'no tide"water'})) == '{"error": "no ***"}'
    assert redact("l@gbook and l%40gbook") == "*** and ***"
    assert redact("?q=sea%20breeze") == "?q=***"
    assert redact("Basic Ym9iOmxAZ2Jvb2s=") == "Basic ***"
    assert redact("first-key second-key") == "*** ***"


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
