"""Requests that are held open, and how they end before their time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from domain import http, numbers
from domain.errors import CutOffError, TimedOutError
from domain.exchange import Held, Limits

if TYPE_CHECKING:
    from tests.domain.conftest import Serve

JOB = b'{"id": 1, "number": 4}'
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(JOB) + JOB


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    # What hurries stays hurried for the rest of its process.
    monkeypatch.setattr(http, "HELD", Held())


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline


def half_closed(connection: socket.socket) -> bool:
    connection.settimeout(30)
    return connection.recv(1) == b""


def test_a_held_request_may_be_silent_for_as_long_as_it_said(serve: Serve) -> None:
    def late(connection: socket.socket, stopping: threading.Event) -> None:
        stopping.wait(0.5)
        connection.sendall(WHOLE)

    request = http.Request(url=serve(late).url, wait_s=2.0)

    answer = http.send(request, limits=Limits(read_s=0.2, total_s=0.3))

    assert answer.body == JOB


def test_a_held_request_ends_all_the_same(serve: Serve) -> None:
    url = serve(lambda _, stopping: stopping.wait(10)).url
    request = http.Request(url=url, wait_s=0.2)

    with pytest.raises(TimedOutError):
        http.send(request, limits=Limits(read_s=0.1, total_s=0.2))


def test_hurrying_tells_the_server_that_nobody_waits(
    serve: Serve, pool: ThreadPoolExecutor
) -> None:
    told = threading.Event()

    def answer_then(connection: socket.socket, _: threading.Event) -> None:
        if half_closed(connection):
            told.set()
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    server = serve(answer_then)
    job = pool.submit(numbers.fetch, server.url, wait_s=20)
    until(lambda: server.requests)

    http.hurry()

    assert job.result(30) is None
    assert told.is_set()
    assert server.requests[0].startswith(b"GET /number?wait_s=20 HTTP/1.1\r\n")


def test_what_the_server_hands_out_at_that_moment_is_read(
    serve: Serve, pool: ThreadPoolExecutor
) -> None:
    def answer_then(connection: socket.socket, stopping: threading.Event) -> None:
        half_closed(connection)
        stopping.wait(0.2)
        connection.sendall(WHOLE)

    server = serve(answer_then)
    job = pool.submit(numbers.fetch, server.url, wait_s=20)
    until(lambda: server.requests)

    http.hurry()

    assert job.result(30) == {"id": 1, "number": 4}


def test_a_server_that_hangs_up_when_told_is_an_error_like_any_other(
    serve: Serve, pool: ThreadPoolExecutor
) -> None:
    server = serve(lambda connection, _: half_closed(connection))
    job = pool.submit(numbers.fetch, server.url, wait_s=20)
    until(lambda: server.requests)

    http.hurry()

    with pytest.raises(CutOffError):
        job.result(30)


def test_what_begins_after_the_hurry_is_not_held(serve: Serve) -> None:
    def answer_then(connection: socket.socket, _: threading.Event) -> None:
        half_closed(connection)
        connection.sendall(WHOLE)

    http.hurry()

    assert numbers.fetch(serve(answer_then).url, wait_s=20) is not None


def test_a_request_that_is_not_held_is_left_alone_by_the_hurry(
    serve: Serve, pool: ThreadPoolExecutor
) -> None:
    go = threading.Event()
    state: list[bytes | None] = []

    def answer_then(connection: socket.socket, _: threading.Event) -> None:
        go.wait(30)
        connection.setblocking(False)  # noqa: FBT003
        try:
            state.append(connection.recv(1))
        except BlockingIOError:
            state.append(None)
        connection.sendall(WHOLE)

    server = serve(answer_then)
    job = pool.submit(numbers.fetch, server.url)
    until(lambda: server.requests)

    http.hurry()
    go.set()

    assert job.result(30) is not None
    assert state == [None]


def test_no_number_is_lost_between_the_hurry_and_the_answer(
    number_server: str, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    while numbers.fetch(number_server) is not None:
        pass
    got = []
    for _ in range(30):
        monkeypatch.setattr(http, "HELD", Held())
        job = pool.submit(numbers.fetch, number_server, wait_s=20)
        adding = threading.Thread(
            target=requests.post,
            args=(f"{number_server}/numbers",),
            kwargs={"json": [4], "timeout": 30},
        )
        adding.start()
        http.hurry()
        got.append(job.result(30))
        adding.join()
        got.append(numbers.fetch(number_server))

    ids = [each["id"] for each in got if each is not None]
    assert ids == list(range(4, 34))
