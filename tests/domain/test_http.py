from __future__ import annotations

import gzip
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from traceback import TracebackException
from typing import TYPE_CHECKING

import pytest
import requests

from domain import http_transport
from domain.errors import (
    BadStatusError,
    BadUrlError,
    CutOffError,
    GarbledError,
    RedirectedError,
    TimedOutError,
    TooLargeError,
    UnreachableError,
)
from domain.exchange import Limits
from domain.http import CA_VARIABLES, Answer, Request, get, send
from domain.http_transport import new_session, thread_session

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from tests.domain.conftest import ScriptedServer, Serve

Answering = Callable[[bytes], "ScriptedServer"]

SHORT = Limits(connect_s=0.4, read_s=0.4, total_s=0.5)
OK = b"HTTP/1.1 200 OK\r\n"
JOB = b'{"id": 17, "number": 1764}'
WHOLE = OK + b"Content-Length: %d\r\n\r\n%b" % (len(JOB), JOB)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Less than the default limits would let it take, 10 s."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def keep_saying(data: bytes) -> Callable[[socket.socket, threading.Event], bool]:
    def script(connection: socket.socket, _: threading.Event) -> bool:
        connection.sendall(data)
        return True

    return script


def drip(first: bytes, each: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def script(connection: socket.socket, stopping: threading.Event) -> None:
        connection.sendall(first)
        while not stopping.wait(0.05):
            connection.sendall(each)

    return script


def test_a_whole_answer_is_returned(answer: Answering) -> None:
    server = answer(OK + b"X-Some: thing\r\nContent-Length: 2\r\n\r\nhi")

    got = get(server.url)

    assert got == Answer(
        status=200, headers={"X-Some": "thing", "Content-Length": "2"}, body=b"hi"
    )


def test_the_request_says_who_asks_and_for_what(answer: Answering) -> None:
    server = answer(WHOLE)

    get(f"{server.url}/number?a=b")

    [request] = server.requests
    lines = request.split(b"\r\n")
    assert lines[0] == b"GET /number?a=b HTTP/1.1"
    assert {b"Accept: application/json", b"User-Agent: lowtide"} <= set(lines)


def test_one_connection_serves_many_requests(serve: Serve) -> None:
    server = serve(keep_saying(WHOLE))

    bodies = [get(server.url).body for _ in range(3)]

    assert bodies == [JOB, JOB, JOB]
    assert server.connections == 1


def test_a_connection_idle_for_long_is_not_used_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(keep_saying(WHOLE))
    get(server.url)
    monkeypatch.setattr(http_transport, "MAX_IDLE_S", 0.0)

    get(server.url)

    assert server.connections == 2


def test_each_thread_has_a_session_of_its_own() -> None:
    sessions = [thread_session(), thread_session()]
    thread = threading.Thread(target=lambda: sessions.append(thread_session()))
    thread.start()
    thread.join()

    assert sessions[0] is sessions[1]
    assert sessions[0] is not sessions[2]


def test_a_forked_process_does_not_share_its_parents_connections() -> None:
    program = """
import os
from domain.http_transport import thread_session
before = thread_session()
pid = os.fork()
if pid == 0:
    os._exit(0 if thread_session() is not before else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

    done = subprocess.run([sys.executable, "-c", program], check=False)

    assert done.returncode == 0


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1", OK, OK + b"X: 1\r\n\r\n"])
def test_a_silent_server_is_given_up(serve: Serve, head: bytes) -> None:
    def script(connection: socket.socket, stopping: threading.Event) -> None:
        connection.sendall(head)
        stopping.wait()

    server = serve(script)

    with at_most(8.0), pytest.raises(TimedOutError):
        get(server.url, limits=SHORT)


@pytest.mark.parametrize(
    ("first", "each"),
    [
        (b"HTTP/1.1 200 ", b"O"),
        (OK + b"X-Long: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + b"Content-Length: 9999\r\n\r\n", b"x"),
        (OK + b"\r\n", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: x\r\n"),
    ],
    ids=["status", "header", "1xx", "body", "endless", "chunks", "size", "trailers"],
)
def test_a_dripping_answer_is_given_up_in_total(
    serve: Serve, first: bytes, each: bytes
) -> None:
    server = serve(drip(first, each))

    with at_most(8.0), pytest.raises(TimedOutError, match=r"0\.5 s in all"):
        get(server.url, limits=SHORT)


def test_a_dripping_body_is_given_up_on_a_foreign_session_too(serve: Serve) -> None:
    server = serve(drip(OK + b"Content-Length: 9999\r\n\r\n", b"x"))

    with requests.Session() as session, at_most(8.0), pytest.raises(TimedOutError):
        get(server.url, session=session, limits=SHORT)


def test_what_came_before_the_deadline_is_kept(serve: Serve) -> None:
    server = serve(drip(OK + b"Content-Length: 9999\r\n\r\nabc", b"x"))

    with pytest.raises(TimedOutError) as caught:
        get(server.url, limits=SHORT)

    assert caught.value.body.startswith(b"abcx")


def test_a_refused_connection_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(UnreachableError, match="Connection refused"):
        get(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_own_authority_is_trusted_where_the_environment_names_it(
    serve: Serve,
    certificate: tuple[Path, Path],
    tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    server = serve(keep_saying(WHOLE), tls)

    for each in CA_VARIABLES:
        monkeypatch.delenv(each, raising=False)
    with new_session() as session:
        with pytest.raises(UnreachableError):
            get(server.url, session=session)
        monkeypatch.setenv(name, str(certificate[0]))
        assert get(server.url, session=session).body == JOB
        monkeypatch.setenv(name, "/nowhere.pem")
        with pytest.raises(UnreachableError):
            get(server.url, session=session)


def test_an_unknown_name_is_unreachable() -> None:
    with pytest.raises(UnreachableError, match=r"GET http://nowhere\.invalid/number"):
        get("http://nowhere.invalid/number")


def test_connecting_too_long_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as all_:
        address = full.getsockname()
        for _ in range(3):
            waiting = all_.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003
            waiting.connect_ex(address)

        with at_most(8.0), pytest.raises(UnreachableError):
            get(f"http://127.0.0.1:{address[1]}", limits=SHORT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Some",
        OK + b"Content-Length: 99\r\n\r\n" + JOB,
        OK + b"Transfer-Encoding: chunked\r\n\r\n1a\r\n" + JOB + b"\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1a\r\n" + JOB + b"\r\nzz\r\n",
    ],
    ids=["nothing", "headers", "length", "chunks", "chunk size"],
)
def test_an_answer_that_breaks_off_is_cut_off(answer: Answering, data: bytes) -> None:
    server = answer(data)

    with pytest.raises(CutOffError) as caught:
        get(server.url)

    assert caught.value.body == (JOB if JOB in data else b"")


def test_a_request_that_was_sent_is_never_sent_again(answer: Answering) -> None:
    server = answer(b"")

    with pytest.raises(CutOffError):
        get(server.url)

    assert len(server.requests) == 1


def test_an_error_with_retry_after_is_not_tried_again(answer: Answering) -> None:
    server = answer(
        b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy"
    )

    with pytest.raises(BadStatusError) as caught:
        get(server.url)

    error = caught.value
    assert (error.status, error.retry_after_s, error.body) == (503, 7.0, b"busy")
    assert len(server.requests) == 1


def test_a_status_counts_even_if_its_body_is_unusable(answer: Answering) -> None:
    server = answer(
        b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nx"
    )

    with pytest.raises(BadStatusError) as caught:
        get(server.url)

    assert (caught.value.retry_after_s, caught.value.body) == (7.0, b"x")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        OK + b"X: y\r\n" * 200 + b"\r\n",
        OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        OK + b"Content-Length: 3, 4\r\n\r\nabc",
    ],
    ids=["not http", "many headers", "long header", "two lengths"],
)
def test_an_answer_that_is_not_http_is_garbled(answer: Answering, data: bytes) -> None:
    server = answer(data)

    with pytest.raises(GarbledError, match="expected an HTTP answer"):
        get(server.url)


@pytest.mark.parametrize("session", [None, requests.Session()])
def test_a_redirect_is_not_followed_nor_read_for_long(
    serve: Serve, session: requests.Session | None
) -> None:
    head = b"HTTP/1.1 302 Go\r\nLocation: http://u:p@other/x?key=1\r\n"
    server = serve(drip(head + b"\r\n", b"x"))

    with (
        at_most(8.0),
        pytest.raises(
            RedirectedError, match="302 pointing to http://other/x,"
        ) as caught,
    ):
        get(server.url, session=session, limits=SHORT)

    assert caught.value.status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
@pytest.mark.parametrize("session", [None, requests.Session()])
def test_a_job_beside_a_redirect_is_kept(
    answer: Answering, status: int, session: requests.Session | None
) -> None:
    head = b"HTTP/1.1 %d Go\r\nLocation: /x\r\nContent-Length: %d\r\n\r\n"
    server = answer(head % (status, len(JOB)) + JOB)

    with pytest.raises(RedirectedError) as caught:
        get(server.url, session=session)

    # By definition a 304 has none, whatever follows it.
    assert caught.value.body == (b"" if status == 304 else JOB)
    assert not caught.value.unknown_outcome
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("head", "unknown"),
    [
        (b"Content-Length: 0\r\n", False),
        (b"Content-Length: 9\r\nContent-Type: text/html; charset=utf-8\r\n", False),
        (b"Content-Length: 9\r\nContent-Type: application/json\r\n", True),
        (b"Content-Length: 9\r\n", True),
    ],
)
def test_a_body_that_did_not_come_with_its_redirect_may_have_been_a_job(
    answer: Answering, head: bytes, *, unknown: bool
) -> None:
    server = answer(b"HTTP/1.1 302 Go\r\nLocation: /x\r\n" + head + b"\r\n")

    with pytest.raises(RedirectedError) as caught:
        get(server.url)

    assert caught.value.unknown_outcome is unknown
    assert caught.value.body == b""


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\nLink: </x>\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\nConnection: close\r\n\r\nHTTP/1.1 102 P\r\n\r\n",
        b"HTTP/1.1 199 Whatever\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_the_answer_after_interim_ones_is_the_answer(
    serve: Serve, interim: bytes
) -> None:
    # Source: RFC 9110, section 15.2.
    server = serve(keep_saying(interim + WHOLE))

    answers = [get(server.url) for _ in range(2)]

    assert [(each.status, each.body) for each in answers] == [(200, JOB), (200, JOB)]
    assert dict(answers[0].headers) == {"Content-Length": str(len(JOB))}
    assert server.connections == 1


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 103 Hints\r\n", b"HTTP/1.1 102 P\r\n\r\n"]
)
def test_nothing_after_an_interim_answer_may_have_been_a_job(
    answer: Answering, interim: bytes
) -> None:
    server = answer(interim)

    with pytest.raises(CutOffError) as caught:
        get(server.url)

    assert caught.value.unknown_outcome


@pytest.mark.parametrize(
    ("status", "unknown"),
    [(101, True), (404, False), (429, False), (502, True), (503, False), (504, True)],
)
def test_a_status_says_whether_a_job_may_be_lost(
    serve: Serve, status: int, *, unknown: bool
) -> None:
    data = b"HTTP/1.1 %d Some\r\nContent-Length: 0\r\n\r\n" % status
    server = serve(keep_saying(data))

    for _ in range(2):
        with pytest.raises(BadStatusError, match=f"got {status}") as caught:
            get(server.url)
        assert caught.value.unknown_outcome is unknown

    # After a 101 another protocol is spoken.
    assert server.connections == (2 if status == 101 else 1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (b"Retry-After: 30.5\r\n", 30.5),
        (
            (
                b"Date: Thu, 01 Jan 2015 12:00:00 GMT\r\n"
                b"Retry-After: Thu, 01 Jan 2015 12:01:30 GMT\r\n"
            ),
            90.0,
        ),
        (
            (
                b"Date: Thu, 01 Jan 2099 12:00:00 GMT\r\n"
                b"Retry-After: Thu, 01 Jan 2099 12:01:30 GMT\r\n"
            ),
            90.0,
        ),
        (b"Date: soon\r\nRetry-After: Thu, 01 Jan 2015 12:01:30 GMT\r\n", 0.0),
    ],
)
def test_how_long_to_wait_is_told_by_the_servers_own_clock(
    answer: Answering, headers: bytes, seconds: float
) -> None:
    server = answer(b"HTTP/1.1 503 Busy\r\n" + headers + b"\r\n")

    with pytest.raises(BadStatusError) as caught:
        get(server.url)

    assert caught.value.retry_after_s == seconds


def test_a_body_as_large_as_allowed_is_read(answer: Answering) -> None:
    server = answer(OK + b"\r\n" + b"x" * 100_000)

    got = get(server.url, limits=Limits(max_bytes=100_000))

    assert len(got.body) == 100_000


def test_a_length_above_the_limit_is_refused_though_nothing_follows(
    serve: Serve,
) -> None:
    server = serve(drip(OK + b"Content-Length: 1001\r\n\r\n", b""))

    with at_most(8.0), pytest.raises(TooLargeError, match="at most 1000 bytes"):
        get(server.url, limits=Limits(max_bytes=1000, read_s=0.1))


def test_of_a_length_above_the_limit_the_beginning_is_kept(serve: Serve) -> None:
    head = OK + b"Content-Length: 100000000\r\n\r\n"
    server = serve(drip(head + JOB, b"x" * 10_000))

    with pytest.raises(TooLargeError, match="at most 1048576 bytes") as caught:
        get(server.url)

    assert caught.value.body.startswith(JOB)
    assert len(caught.value.body) == 64 * 1024


def test_a_body_without_a_length_is_read_up_to_the_limit(serve: Serve) -> None:
    server = serve(drip(OK + b"\r\n", b"x" * 10_000))

    with pytest.raises(TooLargeError) as caught:
        get(server.url, limits=Limits(max_bytes=15_000))

    assert len(caught.value.body) == 20_000


def test_a_compressed_body_is_decoded(answer: Answering) -> None:
    server = answer(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(JOB))

    got = get(server.url)

    assert got.body == JOB


def test_a_compression_bomb_is_refused(answer: Answering) -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(20))
    head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    server = answer(OK + head + bomb)

    with pytest.raises(TooLargeError) as caught:
        get(server.url)

    assert caught.value.body == bytes(64 * 1024)


def test_endless_headers_are_refused(serve: Serve) -> None:
    server = serve(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000))

    with pytest.raises(TooLargeError, match="too much around its body"):
        get(server.url, limits=Limits(max_bytes=1000))


def test_tls_with_a_trusted_certificate_works(
    serve: Serve, tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    server = serve(keep_saying(WHOLE), tls)

    with new_session() as session:
        session.verify = str(certificate[0])
        bodies = [get(server.url, session=session).body for _ in range(2)]

    assert bodies == [JOB, JOB]
    assert server.connections == 1


@pytest.mark.parametrize("verify", [True, False])
def test_tls_with_an_unknown_certificate_is_unreachable(
    serve: Serve, tls: ssl.SSLContext, *, verify: bool
) -> None:
    server = serve(keep_saying(WHOLE), tls)

    for session in (new_session(), requests.Session()):
        session.verify = verify
        with (
            session,
            pytest.raises(UnreachableError, match="certificate verify failed"),
        ):
            get(server.url, session=session)

    assert server.requests == []


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nX: ", OK + b"\r\n"])
def test_a_dripping_answer_over_tls_is_given_up_in_total(
    serve: Serve, tls: ssl.SSLContext, certificate: tuple[Path, Path], first: bytes
) -> None:
    server = serve(drip(first, b"x"), tls)

    with new_session() as session:
        session.verify = str(certificate[0])
        with at_most(8.0), pytest.raises(TimedOutError, match=r"0\.5 s in all"):
            get(server.url, session=session, limits=SHORT)


def test_a_handshake_that_never_ends_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        with at_most(8.0), pytest.raises(UnreachableError):
            get(f"https://127.0.0.1:{port}", limits=SHORT)


def test_proxies_of_the_environment_are_ignored(
    answer: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = answer(WHOLE)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    got = get(server.url)

    assert got.body == JOB


def test_what_netrc_knows_of_the_host_is_not_sent(
    answer: Answering, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bob password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = answer(WHOLE)

    get(server.url)

    [request] = server.requests
    assert b"authorization" not in request.lower()


def test_an_error_handled_by_the_caller_is_not_taken_for_a_cause(
    answer: Answering,
) -> None:
    server = answer(b"")

    try:
        raise TimeoutError  # noqa: TRY301
    except TimeoutError:
        with pytest.raises(CutOffError):
            get(server.url)


def test_no_traceback_shows_credentials_or_the_query() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(UnreachableError) as caught:
        get(f"http://user:s3cret@127.0.0.1:{port}/number?token=s3cret")

    assert f"GET http://127.0.0.1:{port}/number:" in str(caught.value)
    said = TracebackException.from_exception(caught.value, lookup_lines=False)
    messages = [line for line in said.format() if not line.startswith("  File")]
    assert "s3cret" not in "".join(messages)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:4567",
        "ftp://host/number",
        "file:///etc/passwd",
        "http://",
        "http:///number",
        "http://:4567",
        "http://host:0",
        "http://host:99999",
        "http://[::1",
        "http://ho st/",
        "http://host/\r\nX: y",
        "http://host\\@other/",
        f"http://{'a' * 70}.example/",
        "http://*.example/",
        b"http://host",
        None,
    ],
)
def test_a_url_that_may_not_be_asked_is_refused(url: str) -> None:
    with pytest.raises(BadUrlError) as caught:
        get(url)

    assert caught.value.permanent
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["connect_s", "read_s", "total_s", "max_bytes"])
def test_a_limit_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_hooks_of_a_given_session_still_run(answer: Answering) -> None:
    server = answer(WHOLE)
    seen: list[int] = []

    with new_session() as session:
        session.hooks["response"] = lambda response, **_: seen.append(
            response.status_code
        )
        get(server.url, session=session)

    assert seen == [200]


def test_an_error_survives_the_way_to_another_process(answer: Answering) -> None:
    server = answer(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\nbusy")
    with pytest.raises(BadStatusError) as caught:
        get(server.url)

    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301

    assert type(copy) is BadStatusError
    assert str(copy) == str(caught.value)
    assert vars(copy) == vars(caught.value)


def test_each_request_is_sent_as_it_is_asked_whatever_was_asked_before(
    serve: Serve,
) -> None:
    server = serve(keep_saying(WHOLE))
    host = server.url.removeprefix("http://")
    first = Request(url=f"{server.url}/a", headers={"X-Key": "one"})
    asked = [
        *(first, first, Request(url=f"{server.url}/b", headers={"X-Key": "one"})),
        Request(url=f"{server.url}/b", headers={"X-Key": "two"}),
        Request(url=f"{server.url}/b", headers={"X-Key": "two"}, method="POST"),
        Request(url=f"{server.url}/b", method="POST", body=b"say"),
        Request(url=f"{server.url}/b", method="POST", body=b"other"),
        Request(url=f"http://me:secret@{host}/b"),
        first,
    ]

    for each in asked:
        assert send(each).body == JOB

    # The server takes what comes after a head for the beginning of the next one.
    said = b"".join(server.requests) + b"\r\n"
    assert re.findall(rb"(GET|POST) (/.) HTTP", said) == [
        *((b"GET", b"/a"), (b"GET", b"/a"), (b"GET", b"/b"), (b"GET", b"/b")),
        *((b"POST", b"/b"), (b"POST", b"/b"), (b"POST", b"/b")),
        *((b"GET", b"/b"), (b"GET", b"/a")),
    ]
    assert re.findall(rb"X-Key: (\w+)", said) == [*[b"one"] * 3, b"two", b"two", b"one"]
    assert b"\r\n\r\nsayPOST" in said
    assert b"\r\n\r\notherGET" in said
    assert re.findall(rb"Authorization: (.*)\r\n", said) == [b"Basic bWU6c2VjcmV0"]
    assert server.connections == 1


def test_a_session_that_was_closed_connects_anew(serve: Serve) -> None:
    server = serve(keep_saying(WHOLE))
    get(server.url)
    thread_session().close()

    assert get(server.url).body == JOB
    assert server.connections == 2


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
@pytest.mark.parametrize("body", [b'{"id":77}', b"{}", b"7"])
def test_what_is_not_packed_as_it_says_is_kept_as_it_came(
    answer: Answering, encoding: str, body: bytes
) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    server = answer(OK + f"Content-Encoding: {encoding}\r\n".encode() + length + body)

    with pytest.raises(GarbledError, match=f"expected a body in {encoding}, as") as got:
        get(server.url)

    assert got.value.body == body


def packed_bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


ROWS = b"id,amount\n" + b"".join(b"%d,%d\n" % (n, n * 7919) for n in range(30_000))
PACKED = {
    "gzip": (gzip.compress(ROWS), "gzip"),
    "two streams": (gzip.compress(ROWS[:99]) + gzip.compress(ROWS[99:]), "gzip"),
    "zlib": (zlib.compress(ROWS), "deflate"),
    "bare": (packed_bare(ROWS), "deflate"),
}


@pytest.mark.parametrize(("packed", "encoding"), PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_packed_body_is_read_whole(
    answer: Answering, packed: bytes, encoding: str, *, chunked: bool
) -> None:
    head = OK + f"Content-Encoding: {encoding}\r\n".encode()
    if chunked:
        parts = [packed[at : at + 1] for at in range(3)] + [
            packed[at : at + 1000] for at in range(3, len(packed), 1000)
        ]
        body = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in parts)
        data = head + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
    else:
        data = head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed

    assert get(answer(data).url).body == ROWS


@pytest.mark.parametrize("name", ["gzip", "two streams", "zlib"])
def test_a_packed_body_that_ends_in_the_middle_is_cut_off(
    answer: Answering, name: str
) -> None:
    packed, encoding = PACKED[name]
    half = packed[: len(packed) // 2]
    head = f"Content-Encoding: {encoding}\r\nContent-Length: {len(half)}\r\n\r\n"
    server = answer(OK + head.encode() + half)

    with pytest.raises(CutOffError, match=f"in the middle of its {encoding}") as got:
        get(server.url)

    assert got.value.unknown_outcome
    assert got.value.body
    assert ROWS.startswith(got.value.body)


@pytest.mark.parametrize(
    "behind", [b"\0", b"\0" * 600, b"no stream", b"\x1f\x8b of none"]
)
def test_what_is_behind_a_whole_stream_is_of_no_interest(
    answer: Answering, behind: bytes
) -> None:
    packed = gzip.compress(b"[1]") + behind
    head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)

    assert get(answer(OK + head + packed).url).body == b"[1]"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_of_nothing_has_nothing_to_undo(
    answer: Answering, encoding: str
) -> None:
    head = f"Content-Encoding: {encoding}\r\nContent-Length: 0\r\n\r\n"

    assert get(answer(OK + head.encode()).url).body == b""
