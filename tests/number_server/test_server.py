from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import number_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.number_server.conftest import Run, Running


def said(server: Running, request: bytes) -> bytes:
    """Send raw bytes, and return the whole answer up to the end."""
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            return stream.read()


def test_it_says_where_it_listens(run: Run) -> None:
    server = run()

    host, port = server.address
    assert server.greeting == f"number_server: listening on http://{host}:{port}\n"
    assert host == "127.0.0.1"
    assert port > 0


def test_numbers_are_served_once_and_accounted_for(run: Run) -> None:
    server = run("--preload", "1", "--seed", "1")
    status, first = server.ask("GET", "/number")

    answers = [
        server.ask("POST", "/numbers", b"[1764, 2.5]"),
        server.ask("GET", "/number?x=y"),
        server.ask("GET", "/account"),
        server.ask("GET", "/number"),
        server.ask("GET", "/number"),
    ]

    assert (status, first["id"]) == (200, 1)
    assert answers == [
        (201, {"ids": [2, 3]}),
        (200, {"id": 2, "number": 1764}),
        (200, {"generated": 3, "waiting": 1, "served": [1, 2]}),
        (200, {"id": 3, "number": 2.5}),
        (204, None),
    ]


def test_numbers_come_by_themselves(run: Run) -> None:
    server = run("--every", "0.01")
    deadline = time.monotonic() + 30

    while server.ask("GET", "/account")[1]["waiting"] < 3:
        assert time.monotonic() < deadline

    assert server.ask("GET", "/number")[1]["id"] == 1


def test_a_seed_gives_the_same_numbers_in_another_process(run: Run) -> None:
    servers = [run("--preload", "5", "--seed", "7") for _ in range(2)]

    one, other = (
        [server.ask("GET", "/number") for _ in range(5)] for server in servers
    )

    assert one == other


def test_many_clients_at_once_get_each_number_once(run: Run) -> None:
    server = run("--preload", "200")

    def take(_: int) -> list[int]:
        connection = http.client.HTTPConnection(*server.address, timeout=30)
        ids: list[int] = []
        while True:
            connection.request("GET", "/number")
            response = connection.getresponse()
            if response.status == 204:
                connection.close()
                return ids
            ids.append(json.load(response)["id"])

    with ThreadPoolExecutor(4) as pool:
        taken = [number_id for ids in pool.map(take, range(4)) for number_id in ids]

    account = server.ask("GET", "/account")[1]
    assert sorted(taken) == list(range(1, 201))
    assert account == {"generated": 200, "waiting": 0, "served": list(range(1, 201))}


@pytest.mark.alone
def test_answers_do_not_wait_for_acknowledgements(run: Run) -> None:
    server = run("--preload", "200")
    began = time.monotonic()

    for _ in range(200):
        server.ask("GET", "/number")

    # Each would take 40 ms.
    assert time.monotonic() - began < 200 * 0.03


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/numberx", 404, None),
        ("DELETE", "/nowhere", 404, None),
        ("POST", "/number", 405, "GET"),
        ("DELETE", "/number", 405, "GET"),
        ("GET", "/numbers", 405, "POST"),
        ("PUT", "/account", 405, "GET"),
        ("BREW", "/number", 501, None),
    ],
)
def test_a_wrong_path_or_method_is_refused_with_a_reason(
    refusing: Running, method: str, path: str, status: int, allow: str | None
) -> None:
    got, payload = refusing.ask(method, path)

    assert got == status
    assert list(payload) == ["error"]
    assert refusing.last_headers["Allow"] == allow
    assert refusing.last_headers["Content-Type"] == "application/json"


def test_an_answer_to_head_has_no_body(refusing: Running) -> None:
    answer = said(refusing, b"HEAD /number HTTP/1.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 411),
        (b"Transfer-Encoding: chunked\r\n", 411),
        (b"Content-Length: x\r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", 400),
        (b"Content-Length: 1048577\r\n", 413),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", 413),
        (b"Content-Length: 1048577\r\nExpect: 100-continue\r\n", 413),
        (b"X: " + b"y" * 70_000 + b"\r\n", 431),
        (b"X: y\r\n" * 200, 431),
    ],
)
def test_a_body_of_no_good_length_is_refused(
    refusing: Running, head: bytes, status: int
) -> None:
    answer = said(refusing, b"POST /numbers HTTP/1.1\r\n" + head + b"\r\n[1]")

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b'\r\n\r\n{"error": "' in answer


@pytest.mark.parametrize("line", [b"garbage", b"GET /number HTTP/x", b"a b c d"])
def test_a_broken_request_is_refused_in_json(refusing: Running, line: bytes) -> None:
    answer = said(refusing, line + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'\r\n\r\n{"error": "' in answer


def test_the_refusal_of_a_large_body_reaches_its_sender(refusing: Running) -> None:
    status, payload = refusing.ask("POST", "/numbers", b"1" * 3_000_000)

    assert status == 413
    assert payload == {"error": "expected a body of at most 1048576 bytes"}


def test_a_body_is_asked_for_if_it_is_welcome(run: Run) -> None:
    server = run()
    head = b"POST /numbers HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n"

    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
        first = connection.recv(1024)
        connection.sendall(b"[4]")
        with connection.makefile("rb") as stream:
            rest = stream.read()

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert rest.endswith(b'{"ids": [1]}')


def test_a_body_that_breaks_off_adds_nothing(run: Run) -> None:
    server = run()

    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(b"POST /numbers HTTP/1.1\r\nContent-Length: 9\r\n\r\n[1]")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            answer = stream.read()

    assert b"the body ended after 3 of 9 bytes" in answer
    assert server.ask("GET", "/account")[1]["generated"] == 0


def test_a_number_counts_as_served_though_its_client_hung_up(run: Run) -> None:
    server = run("--preload", "1", "--delay", "0.1")
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(b"GET /number HTTP/1.1\r\n\r\n")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1] + [0] * 7))
    deadline = time.monotonic() + 30

    while server.ask("GET", "/account")[1]["served"] != [1]:
        assert time.monotonic() < deadline

    assert server.stop() == (0, "")


def test_a_slow_answer_is_taken_from_the_queue_after_the_delay(run: Run) -> None:
    server = run("--delay", "1")
    began = time.monotonic()
    waiting = http.client.HTTPConnection(*server.address, timeout=30)
    waiting.request("GET", "/number")

    server.ask("POST", "/numbers", b"[4]")
    answer = json.load(waiting.getresponse())

    waiting.close()
    assert answer == {"id": 1, "number": 4}
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_once_when_told_to(run: Run, sign: signal.Signals) -> None:
    server = run("--delay", "60", "--preload", "1")
    server.ask("GET", "/account")
    waiting = http.client.HTTPConnection(*server.address, timeout=30)
    waiting.request("GET", "/number")
    server.ask("GET", "/account")

    # Long before the answer would be due.
    server.process.send_signal(sign)
    server.process.wait(timeout=30)

    waiting.close()
    assert server.stop() == (0, "")


def test_each_request_has_a_line_in_the_access_log(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = run("--preload", "1", "--access-log", str(log))

    for method, path in ("GET", "/number"), ("GET", "/number"), ("PUT", "/x?y"):
        server.ask(method, path)
    said(server, b"garbage\r\n\r\n")

    lines: list[dict[str, Any]] = [*map(json.loads, log.read_text().splitlines())]
    assert all(line.pop("timestamp").endswith("+00:00") for line in lines)
    assert lines == [
        {"method": "GET", "path": "/number", "status": 200, "id": 1},
        {"method": "GET", "path": "/number", "status": 204},
        {"method": "PUT", "path": "/x?y", "status": 404},
        {"method": None, "path": None, "status": 400},
    ]


def test_a_port_in_use_is_one_line_of_error(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    _, port = run().address

    code = number_server.main(["--port", str(port)])

    where = f"127.0.0.1 port {port}"
    expected = f"number_server: cannot start: {where}: Address already in use\n"
    assert (code, *capsys.readouterr()) == (1, "", expected)


def test_a_log_that_cannot_be_opened_is_one_line_of_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = number_server.main(["--port", "0", "--access-log", str(tmp_path)])

    said = capsys.readouterr().err
    assert code == 1
    assert said.startswith("number_server: cannot start: [Errno 21] Is a directory")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--every=-1", "--every: expected a number from 0 to 86400, got -1"),
        ("--every=nan", "--every: expected a number from 0 to 86400, got nan"),
        ("--every=1e-9", "--every: expected 0, or 0.001 and more, got 1e-9"),
        ("--preload=-1", "--preload: expected a whole number from 0 to"),
        ("--preload=1.5", "--preload: expected a whole number from 0 to"),
        ("--delay=-0.1", "--delay: expected a number from 0 to 86400, got -0.1"),
        ("--port=65536", "--port: expected a whole number from 0 to 65535"),
        ("--seed=x", "--seed: invalid int value"),
        ("--fault=x", "--fault: expected one of refuse, hang, "),
    ],
)
def test_a_bad_option_is_refused_with_a_reason(
    capsys: pytest.CaptureFixture[str], options: str, reason: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        number_server.main([options])

    assert caught.value.code == 2
    assert reason in capsys.readouterr().err


def test_it_needs_nothing_but_the_standard_library() -> None:
    # -S: no site-packages.
    command = [sys.executable, "-S", number_server.__file__, "--help"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("usage: number_server")
