from __future__ import annotations

import argparse
import http.client
import json
import math
import socket
import time
import zlib
from typing import TYPE_CHECKING

import pytest

from number_server import Fault, parse_fault

if TYPE_CHECKING:
    from tests.number_server.conftest import Run, Running

JOB = b'{"id": 1, "number": 4}'


def number(server: Running) -> tuple[http.client.HTTPResponse, bytes]:
    """Ask for a number by a connection of its own, and read what can be read."""
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    connection.request("GET", "/number")
    response = connection.getresponse()
    try:
        return response, response.read()
    except http.client.IncompleteRead as error:
        return response, error.partial
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("html", Fault("html", "", math.inf)),
        ("hang", Fault("hang", "60", math.inf)),
        ("hang:0.5*3", Fault("hang", "0.5", 3)),
        ("503*2", Fault("503", "", 2)),
        (
            "429:Wed, 21 Oct 2026 07:28:00 GMT",
            Fault("429", "Wed, 21 Oct 2026 07:28:00 GMT", math.inf),
        ),
        ("301:http://elsewhere/*1", Fault("301", "http://elsewhere/", 1)),
    ],
)
def test_a_fault_is_read_from_its_name_argument_and_count(
    text: str, fault: Fault
) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected one of refuse, hang"),
        ("200", "or a 4xx or 5xx, got '200'"),
        ("hang:x", "expected a number from 0 to 86400, got x"),
        ("hang:-1", "expected a number from 0 to 86400, got -1"),
        ("html:3", "expected nothing after html:, got '3'"),
        ("429:a\r\nb", "expected the Retry-After after 429:"),
        ("html*0", "expected a whole number from 1"),
        ("html*", "expected a whole number from 1"),
    ],
)
def test_what_is_no_fault_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        parse_fault(text)

    assert reason in str(caught.value)


@pytest.mark.parametrize("body", [b"{}", b'["nonsense"]', b"[1]", b"x"])
def test_faults_that_are_none_change_nothing(run: Run, body: bytes) -> None:
    server = run("--preload", "1", "--fault", "500")

    status, answer = server.ask("POST", "/fault", body)

    assert (status, list(answer)) == (400, ["error"])
    assert server.ask("GET", "/number")[0] == 500


def test_faults_come_in_turn_and_are_taken_back(run: Run) -> None:
    server = run("--preload", "9", "--fault", "500*2", "--fault", "404")

    first = [server.ask("GET", "/number")[0] for _ in range(4)]
    answer = server.ask("POST", "/fault", b"[]")
    last = server.ask("GET", "/number")

    assert first == [500, 500, 404, 404]
    assert answer == (200, {"faults": []})
    assert (last[0], last[1]["id"]) == (200, 1)


@pytest.mark.parametrize(
    ("text", "header", "value"),
    [
        ("429:7", "Retry-After", "7"),
        ("500", "Retry-After", None),
        ("301", "Location", "/number"),
        ("301:http://elsewhere/x", "Location", "http://elsewhere/x"),
    ],
)
def test_an_answer_without_a_number_takes_none(
    run: Run, text: str, header: str, value: str | None
) -> None:
    server = run("--preload", "1", "--fault", text)

    status, _ = server.ask("GET", "/number")

    assert (status, server.last_headers[header]) == (int(text[:3]), value)
    assert server.ask("GET", "/account")[1]["served"] == []


def test_the_faults_of_a_body_spare_answers_that_hold_no_number(run: Run) -> None:
    server = run("--fault", "html*1")
    before = server.ask("GET", "/number")
    server.ask("POST", "/numbers", b"[4]")

    response, body = number(server)

    assert before == (204, None)
    assert response.headers["Content-Type"] == "text/html"
    assert body == b"<!DOCTYPE html><title>Down for maintenance</title><p>" + JOB


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("cut", JOB[:12]),
        ("cut:0", b""),
        ("nan", JOB[:-1] + b', "weight": NaN}'),
        ("deep:3", b"[[[" + JOB + b"]]]"),
        ("huge:100000", JOB[:-1] + b', "padding": "' + b"x" * 100_000 + b'"}'),
        ("drip:0.01", JOB),
        ("hang:0.1", JOB),
    ],
)
def test_a_number_is_served_in_a_body_that_is_spoiled(
    run: Run, text: str, body: bytes
) -> None:
    server = run("--fault", f"{text}*1")
    server.ask("POST", "/numbers", b"[4, 9]")

    _, spoiled = number(server)

    assert spoiled == body
    assert server.ask("GET", "/account")[1]["served"] == [1]
    assert server.ask("GET", "/number") == (200, {"id": 2, "number": 9})


def test_a_bomb_is_small_until_it_is_unpacked(run: Run) -> None:
    server = run("--fault", "bomb:10000000*1")
    server.ask("POST", "/numbers", b"[4]")

    response, body = number(server)

    assert response.headers["Content-Encoding"] == "gzip"
    assert len(body) < 20_000
    assert json.loads(zlib.decompress(body, 31))["padding"] == "x" * 10_000_000


def test_a_number_comes_again_when_it_is_replayed(run: Run) -> None:
    server = run("--preload", "2", "--fault", "replay*2")

    ids = [server.ask("GET", "/number")[1]["id"] for _ in range(4)]

    assert ids == [1, 1, 1, 2]
    assert server.ask("GET", "/account")[1]["served"] == [1, 2]


def test_a_server_that_refuses_does_not_listen_for_a_while(run: Run) -> None:
    server = run("--preload", "1")
    began = time.monotonic()
    server.ask("POST", "/fault", b'["refuse:2"]')

    # The answer to the last request is not cut off, the connection is.
    while is_listening(server):
        assert time.monotonic() < began + 30
    while not is_listening(server):
        assert time.monotonic() < began + 30

    assert time.monotonic() - began >= 2
    _, body = number(server)
    assert json.loads(body)["id"] == 1


def is_listening(server: Running) -> bool:
    try:
        socket.create_connection(server.address, timeout=30).close()
    except ConnectionError:
        return False
    return True


def test_a_server_that_spoils_an_answer_stops_at_once_when_told_to(run: Run) -> None:
    server = run("--preload", "3", "--fault", "hang:60*1", "--fault", "drip:60")
    open_ones = []
    for _ in range(2):
        connection = http.client.HTTPConnection(*server.address, timeout=30)
        connection.request("GET", "/number")
        open_ones.append(connection)
    deadline = time.monotonic() + 30
    while server.ask("GET", "/account")[1]["served"] != [1, 2]:
        assert time.monotonic() < deadline
    began = time.monotonic()

    ended = server.stop()

    for connection in open_ones:
        connection.close()
    assert ended == (0, "")
    assert time.monotonic() - began < 20
