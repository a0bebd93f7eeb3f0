from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain import api
from domain.api.source_settings import Rate, read_settings
from domain.errors import BadOptionError

URL = "https://api.example/items"


def problems(**options: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return read_settings({"url": URL, **options}, {"TOKEN": "s3cret-canary"})[1]


@pytest.mark.parametrize(
    ("options", "path", "what"),
    [
        ({"items": "a[?b"}, ("items",), "expected a JMESPath expression, got 'a[?b'"),
        ({"items": 7}, ("items",), "expected a JMESPath expression, got 7"),
        ({"more": "x"}, ("more",), "next says where"),
        ({"next": "links"}, ("next",), 'expected "link", or a table'),
        ({"next": {}}, ("next",), "expected one of url, token, page, offset, last_id"),
        ({"next": {"page": "p", "url": "u"}}, ("next",), "expected one of url, token"),
        ({"next": {"token": "t"}}, ("next",), "param is missing"),
        ({"next": {"page": "p", "siez": 1}}, ("next", "siez"), "did you mean size?"),
        ({"next": {"page": "p", "size": 0}}, ("next", "size"), "a whole number from 1"),
        ({"next": {"page": "p", "size_param": "x"}}, ("next", "size_param"), "size"),
        ({"cursor": {}}, ("cursor",), "expected one of value, max, last, first"),
        ({"cursor": {"max": "a..b"}}, ("cursor", "max"), "expected a JMESPath"),
        ({"cursor": {"max": "a", "start": []}}, ("cursor", "start"), "a text or a"),
        (
            {"cursor": {"max": "a", "start_param": "x"}},
            ("cursor", "start_param"),
            "goes with start",
        ),
        ({"params": {"a": {}}}, ("params",), "expected texts, numbers"),
        ({"params": {"a": "{cursor}"}}, (), "there is no cursor"),
        ({"headers": {"A": "a\nb"}}, ("headers", "A"), "a character no header may"),
        ({"headers": {"A b": "a"}}, ("headers", "A b"), "a character no header may"),
        ({"auth": {"type": "basic"}}, ("auth",), "user is missing"),
        (
            {"auth": {"type": "magic"}},
            ("auth", "type"),
            "expected one of bearer, basic",
        ),
        ({"auth": {"type": "bearer", "token": 7}}, ("auth", "token"), "got int"),
        (
            {"auth": {"type": "bearer", "token": "{env:NOPE}"}},
            ("auth", "token"),
            "wants NOPE from the environment, where it is not set",
        ),
        ({"auth": "nothing:here"}, ("auth",), "cannot import 'nothing:here'"),
        ({"auth": "json:nothing"}, ("auth",), "'json:nothing' is no function"),
        ({"auth": 7}, ("auth",), "expected a table, got 7"),
        (
            {
                "auth": {"type": "bearer", "token": "x"},
                "headers": {"authorization": "y"},
            },
            ("headers", "Authorization"),
            "as well as auth does",
        ),
        ({"rules": {}}, ("rules",), "expected a list of tables"),
        ({"rules": [7]}, ("rules", 0), "expected a table, got 7"),
        ({"rules": [{"do": "run", "status": 1}]}, ("rules", 0, "do"), "none, wait"),
        ({"rules": [{"do": "none"}]}, ("rules", 0), "what it is about"),
        (
            {"rules": [{"do": "none", "status": 404}, {"do": "none", "when": "[?"}]},
            ("rules", 1, "when"),
            "expected a JMESPath expression",
        ),
        ({"read_s": 0}, ("read_s",), "seconds, above 0"),
        ({"read_s": "3"}, ("read_s",), "seconds, from 0 on"),
        ({"max_bytes": 0}, ("max_bytes",), "a whole number from 1 on"),
        ({"proxy": "https://p"}, ("proxy",), "the scheme http"),
        ({"proxy": "socks5://p"}, ("proxy",), "expected a URL"),
        ({"ca_file": "/nowhere"}, ("ca_file",), "a file that can be read"),
        ({"redirects": -1}, ("redirects",), "a whole number from 0 on"),
        ({"format": "xml"}, ("format",), "expected one of json, ndjson, csv, feed"),
        ({"requests_per": "10"}, ("requests_per",), "as 10/min or 2/s"),
        ({"ack": {"method": "PATCH"}}, ("ack",), "url is missing"),
        ({"ack": {"url": "https://{id}.example/"}}, ("ack", "url"), "behind its host"),
        (
            {"ack": {"url": URL}, "ack_url": URL},
            ("ack_url",),
            "is the short form of ack",
        ),
        ({"job": "a", "items": "b"}, ("job",), "goes with one job only"),
        ({"none": ["nothing"]}, ("none",), "expected null, empty, missing"),
        ({"itms": "a"}, ("itms",), "unknown option 'itms'; did you mean items?"),
        ({"etag": 1}, ("etag",), "expected true or false, got 1"),
        ({"method": "GE T"}, ("method",), "expected a method such as GET"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    options: dict[str, Any], path: tuple[str | int, ...], what: str
) -> None:
    found = problems(**options)

    assert [each for each, text in found if what in text] == [path], found


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(problems(items="[?", next="x", read_s=0, foo=1)) == 4


def test_a_url_that_is_missing_is_told() -> None:
    assert read_settings({}, {})[1] == [((), "url is missing")]


@pytest.mark.parametrize(
    "options",
    [
        {"proxy": "https://me:s3cret-canary@proxy.example"},
        {"url": "ftp://me:s3cret-canary@api.example"},
        {"headers": {"A": "s3cret-canary\n"}},
        {"auth": {"type": "header", "name": "X", "value": "s3cret-canary\n"}},
        {"auth": {"type": "bearer", "token": "{env:TOKEN}\n"}},
        {"auth": {"type": "oauth2", "client_secret": ["s3cret-canary"]}},
        {"ack_url": "https://me:s3cret-canary@{id}/"},
    ],
)
def test_a_secret_that_is_wrong_is_not_shown(options: dict[str, Any]) -> None:
    found = problems(**options)

    assert found
    assert "s3cret" not in repr(found)


def test_what_the_environment_has_is_filled_in_everywhere() -> None:
    settings, found = read_settings(
        {
            "url": "https://{env:HOST}/items",
            "headers": {"A": "env:TOKEN", "B": "x {env:TOKEN} y"},
            "params": {"key": "{env:TOKEN}", "env": "env:TOKEN"},
            "body": {"a": [{"b": "{env:TOKEN}"}]},
        },
        {"HOST": "api.example", "TOKEN": "abc\n"},
    )

    assert settings is not None, found
    assert settings.url == URL
    assert settings.headers == {"A": "abc", "B": "x abc y"}
    assert settings.params == {"key": "abc", "env": "env:TOKEN"}
    assert settings.body == {"a": [{"b": "abc"}]}


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/min", Rate(10, 60.0)),
        ("2/s", Rate(2, 1.0)),
        ("100 / 15 minutes", Rate(100, 900.0)),
        ("5000/hour", Rate(5000, 3600.0)),
        ("1/d", Rate(1, 86400.0)),
    ],
)
def test_a_budget(text: str, rate: Rate) -> None:
    settings, found = read_settings({"url": URL, "requests_per": text}, {})

    assert settings is not None, found
    assert settings.requests_per == rate


def test_files_of_the_transport(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("x")

    assert not problems(cert_file=str(file), key_file=str(file), ca_file=str(file))
    assert problems(key_file=str(file))[0][0] == ("key_file",)


def test_fetch_refuses_what_check_options_tells() -> None:
    options: dict[str, Any] = {"url": URL, "items": "[?", "read_s": 0}

    assert [path for path, _ in api.check_options(**options)] == [
        ("items",),
        ("read_s",),
    ]
    with pytest.raises(BadOptionError, match=r"^items: .*; read_s: "):
        api.fetch(**options)


def test_the_options_of_the_settle_are_checked_alike() -> None:
    with pytest.raises(BadOptionError, match="did you mean items"):
        api.settle({"id": 1}, {"state": "done"}, url=URL, ack_url=URL, itms="x")
