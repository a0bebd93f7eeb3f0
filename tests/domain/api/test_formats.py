from __future__ import annotations

import builtins
from typing import Any

import pytest

from domain.api.formats import has_feedparser, read
from domain.errors import BadAnswerError, BadJobError, BadJsonError, BadOptionError

needs_feedparser = pytest.mark.skipif(
    not has_feedparser(), reason="the extra feeds is not installed"
)

ATOM = b"""<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">
<title>Blog</title><id>tag:b</id>
<entry><id>tag:b,1</id><title>One</title><updated>2026-01-01T01:00:00+01:00</updated>
<link href="https://b.example/1"/><content>text</content>
<category term="news"/></entry></feed>"""
RSS = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>B</title>
<item><guid isPermaLink="false">g1</guid><title>One</title>
<pubDate>Thu, 01 Jan 2026 00:00:00 GMT</pubDate></item>
<item><link>https://b.example/2</link></item></channel></rss>"""


def test_lines_of_json() -> None:
    good, bad, last = read(b'{"id": 1}\n\nnonsense\r\n{"id": 2}', "ndjson")

    assert (good, last) == ({"id": 1}, {"id": 2})
    assert isinstance(bad, BadJsonError)
    assert bad.body == b"nonsense"


def test_rows_of_a_csv() -> None:
    body = '\ufeffid,"na""me"\r\n1,"a,\nb"\r\n\r\n2\r\n3,ü\r\n'.encode()

    first, ragged, last = read(body, "csv")

    assert first == {"id": "1", 'na"me': "a,\nb"}
    assert last == {"id": "3", 'na"me': "ü"}
    assert isinstance(ragged, BadJobError)
    assert str(ragged) == "line 5 of the CSV has 1 fields, its header 2"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"id,id\n1,2", "a column twice"),
        (b"id\n\xff", "another byte at 3"),
        (b'id\n"x', "got at line 2"),
    ],
)
def test_what_is_no_csv(body: bytes, what: str) -> None:
    with pytest.raises(BadAnswerError, match=what):
        read(body, "csv")


def test_an_empty_csv() -> None:
    assert read(b"", "csv") == []
    assert read(b"id,name\n", "csv") == []


@needs_feedparser
def test_an_atom_feed() -> None:
    assert read(ATOM, "feed") == {
        "feed": {"id": "tag:b", "title": "Blog", "link": "tag:b"},
        "entries": [
            {
                "id": "tag:b,1",
                "title": "One",
                "link": "https://b.example/1",
                "summary": "text",
                "updated": "2026-01-01T00:00:00Z",
                "content": "text",
                "tags": ["news"],
            }
        ],
    }


@needs_feedparser
def test_an_rss_feed() -> None:
    first, second = read(RSS, "feed")["entries"]

    assert first["id"] == "g1"
    assert first["published"] == "2026-01-01T00:00:00Z"
    assert second["id"] == "https://b.example/2"


@needs_feedparser
@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b"not a feed", b"https://evil.example/feed"]
)
def test_what_is_no_feed(body: bytes) -> None:
    with pytest.raises(BadAnswerError, match="expected an Atom or RSS feed"):
        read(body, "feed")


def test_a_feed_wants_an_extra_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *args: Any) -> Any:
        if name == "feedparser":
            raise ImportError(name)
        return builtins.__import__(name, *args)

    monkeypatch.setattr("importlib.import_module", refuse)

    with pytest.raises(BadOptionError, match=r"pip install 'lowtide\[feeds\]'"):
        read(ATOM, "feed")
