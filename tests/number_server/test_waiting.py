"""Requests that the server holds open until there is a number."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.number_server.conftest import Run, Running


def hold(server: Running, wait_s: str = "20") -> http.client.HTTPConnection:
    """Ask for a number that is not there, and leave the request open."""
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    connection.request("GET", f"/number?wait_s={wait_s}")
    return connection


def test_a_number_that_is_there_is_served_at_once(run: Run) -> None:
    server = run("--preload", "1")
    began = time.monotonic()

    status, payload = server.ask("GET", "/number?wait_s=20")

    assert (status, payload["id"]) == (200, 1)
    assert time.monotonic() - began < 10


def test_a_request_is_held_until_a_number_comes(run: Run) -> None:
    server = run()
    held = hold(server)

    server.ask("POST", "/numbers", b"[4]")

    assert json.load(held.getresponse()) == {"id": 1, "number": 4}
    held.close()


def test_no_number_in_time_is_the_answer_of_an_empty_queue(run: Run) -> None:
    server = run()
    began = time.monotonic()

    answer = server.ask("GET", "/number?wait_s=0.3")

    assert answer == (204, None)
    assert time.monotonic() - began >= 0.3


def test_a_client_that_leaves_is_answered_and_costs_no_number(run: Run) -> None:
    server = run()
    held = hold(server)
    assert held.sock is not None

    held.sock.shutdown(socket.SHUT_WR)
    status = held.getresponse().status
    server.ask("POST", "/numbers", b"[4]")

    held.close()
    assert status == 204
    assert server.ask("GET", "/account")[1]["waiting"] == 1


def test_a_number_that_meets_a_leaving_client_still_reaches_it(run: Run) -> None:
    # Whichever is first, the number is in the answer or it still waits.
    server = run()
    outcomes = []
    for _ in range(20):
        held = hold(server)
        assert held.sock is not None
        server.ask("POST", "/numbers", b"[4]")
        held.sock.shutdown(socket.SHUT_WR)
        response = held.getresponse()
        if response.status == 200:
            outcomes.append(json.load(response)["id"])
        else:
            outcomes.append(server.ask("GET", "/number")[1]["id"])
        held.close()

    assert outcomes == list(range(1, 21))


def test_a_server_stops_at_once_while_it_holds_a_request(run: Run) -> None:
    server = run()
    held = hold(server)
    server.ask("GET", "/account")
    began = time.monotonic()

    server.process.send_signal(signal.SIGTERM)
    server.process.wait(timeout=30)

    held.close()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("wait_s", ["-1", "61", "x", "nan"])
def test_a_wait_that_is_none_is_refused(refusing: Running, wait_s: str) -> None:
    status, payload = refusing.ask("GET", f"/number?wait_s={wait_s}")

    assert status == 400
    assert payload == {
        "error": f"wait_s: expected a number from 0 to 60.0, got {wait_s}"
    }
