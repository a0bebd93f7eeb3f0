"""Any answer ends in a job, in none, or in one error: it never hangs or crashes."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import KEPT_BODY_BYTES, SourceError
from domain.exchange import Limits
from domain.http import get
from domain.numbers import fetch
from tests.domain.conftest import ScriptedServer

OK = b"HTTP/1.1 200 OK\r\n"


class Echo:
    """A server that says whatever it was told to say, and closes."""

    def __init__(self) -> None:
        self.says = b""
        self._server = ScriptedServer(self._say)
        self.url = self._server.url
        self.stop = self._server.stop

    def _say(self, connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(self.says)

    def answer_with(self, body: bytes, *headers: bytes) -> None:
        """Say it as a whole answer."""
        length = b"Content-Length: %d" % len(body)
        close = b"Connection: close"
        self.says = OK + b"\r\n".join([*headers, length, close, b"", body])


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.stop()


def asked(ask: Callable[[], object]) -> object:
    """The job, or the error, of which no other kind may come."""
    try:
        return ask()
    except SourceError as error:
        return error


def outcome(ask: Callable[[], object]) -> str:
    job = asked(ask)
    if isinstance(job, SourceError):
        assert len(job.body) <= KEPT_BODY_BYTES
        return type(job).__name__
    assert job is None or (isinstance(job, dict) and {"id", "number"} <= job.keys())
    return "none" if job is None else "job"


any_bytes = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "number", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@any_bytes
@given(said=st.binary(max_size=500))
def test_any_bytes_instead_of_an_answer_are_an_error(echo: Echo, said: bytes) -> None:
    echo.says = said

    assert outcome(lambda: fetch(echo.url)).endswith("Error")


@any_bytes
@given(body=st.binary(max_size=500))
def test_any_body_is_a_job_or_an_error(echo: Echo, body: bytes) -> None:
    echo.answer_with(body)

    assert outcome(lambda: fetch(echo.url)) in {"job", "BadJsonError", "BadJobError"}


@any_bytes
@given(value=json_values)
def test_any_json_is_a_job_or_an_error_that_keeps_it(echo: Echo, value: object) -> None:
    body = json.dumps(value).encode()
    echo.answer_with(body)

    job = asked(lambda: fetch(echo.url))

    assert (job.body == body) if isinstance(job, SourceError) else (job == value)


@any_bytes
@given(head=st.binary(max_size=200), body=st.binary(max_size=200))
def test_any_headers_end_in_a_job_none_or_an_error(
    echo: Echo, head: bytes, body: bytes
) -> None:
    echo.says = OK + head + b"\r\n\r\n" + body

    outcome(lambda: fetch(echo.url))


@any_bytes
@given(packed=st.binary(max_size=200), encoding=st.sampled_from([b"gzip", b"deflate"]))
def test_any_bytes_that_claim_to_be_packed_are_an_error(
    echo: Echo, packed: bytes, encoding: bytes
) -> None:
    echo.answer_with(packed, b"Content-Encoding: " + encoding)

    assert outcome(lambda: fetch(echo.url)).endswith("Error")


#: What parsers of JSON were known to choke on, or to read in ways of their own.
CORPUS = {
    "nothing": b"",
    "blank": b" \r\n\t",
    "byte order mark": b'\xef\xbb\xbf{"id": 1, "number": 4}',
    "utf-16": '{"id": 1, "number": 4}'.encode("utf-16"),
    "latin-1": b'{"id": "\xe9", "number": 4}',
    "overlong slash": b'{"id": "\xc0\xaf", "number": 4}',
    "lone surrogate": rb'{"id": "\ud800", "number": 4}',
    "nul": b'{"id": 1, "number": 4}\x00',
    "raw control character": b'{"id": "\n", "number": 4}',
    "NaN": b'{"id": 1, "number": NaN}',
    "Infinity": b'{"id": 1, "number": -Infinity}',
    "too large a float": b'{"id": 1, "number": 1e999}',
    "too many digits": b'{"id": 1, "number": ' + b"9" * 5000 + b"}",
    "a million digits": b'{"id": 1, "number": ' + b"9" * 1_000_000 + b"}",
    "key twice": b'{"id": 1, "id": 2, "number": 4}',
    "key twice by escape": rb'{"id": 1, "\u0069d": 2, "number": 4}',
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b"[" * 500 + b"]" * 500,
    "quotes and backslashes": b'"' + b"\\" * 500_000,
    "unclosed strings": b'"\\"' * 300_000,
    "trailing comma": b'{"id": 1, "number": 4,}',
    "comment": b'{"id": 1, "number": 4} // done',
    "single quotes": b"{'id': 1, 'number': 4}",
    "two values": b'{"id": 1, "number": 4}{"id": 2, "number": 9}',
    "json lines": b'{"id": 1, "number": 4}\n{"id": 2, "number": 9}\n',
    "leading zero": b'{"id": 1, "number": 04}',
    "plus sign": b'{"id": 1, "number": +4}',
    "hexadecimal": b'{"id": 1, "number": 0x4}',
    "html": b"<!DOCTYPE html><p>Sign in</p>",
    "xml": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y "z">]><x>&y;</x>',
    "array": b'[{"id": 1, "number": 4}]',
    "string": b'"job"',
    "null": b"null",
    "id true": b'{"id": true, "number": 4}',
    "id null": b'{"id": null, "number": 4}',
    "id fraction": b'{"id": 1.5, "number": 4}',
    "id list": b'{"id": [1], "number": 4}',
    "no number": b'{"id": 1}',
}


@pytest.mark.parametrize("body", CORPUS.values(), ids=CORPUS)
def test_a_known_bad_body_is_an_error_that_keeps_it(echo: Echo, body: bytes) -> None:
    echo.answer_with(body)

    with pytest.raises(SourceError) as caught:
        fetch(echo.url)

    assert type(caught.value).__name__ in {"BadJsonError", "BadJobError"}
    assert caught.value.body == body[:KEPT_BODY_BYTES]


def packed_twice(data: bytes) -> bytes:
    return gzip.compress(gzip.compress(data))


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [
        (gzip.compress, b"gzip"),
        (packed_twice, b"gzip, gzip"),
        (zlib.compress, b"deflate"),
    ],
    ids=["gzip", "twice", "deflate"],
)
def test_a_bomb_of_any_kind_is_refused(
    echo: Echo, pack: Callable[[bytes], bytes], encoding: bytes
) -> None:
    echo.answer_with(pack(bytes(50_000_000)), b"Content-Encoding: " + encoding)

    assert outcome(lambda: get(echo.url, limits=Limits(total_s=5.0))) in {
        "TooLargeError",
        "GarbledError",
    }
