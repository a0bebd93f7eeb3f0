"""What a hostile program or site sends to the page, over a socket."""

from __future__ import annotations

import contextlib
import json
import logging
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from actors.web.admission import FREE_GUESSES, MOST_AT_ONCE, MOST_SILENT
from actors.web.answers import Answers
from actors.web.server import Server

TOKEN = "a token of the tests"  # noqa: S105 - their own


class System:
    """Stands for the root behind the page: it answers at once."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.over = threading.Event()

    points: tuple[float, ...] = ()

    def journal(self) -> dict[str, Any]:
        return {"journal": None}

    def ask(self, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        self.asked.append(command)
        return {"paused": []}

    def samples(self, within_s: float) -> Iterator[None]:
        yield None
        self.over.wait(60)


class Page:
    """A server, and how one speaks to it."""

    def __init__(self) -> None:
        self.system = System()
        self.told: list[dict[str, Any]] = []
        system: Any = self.system
        log = structlog.wrap_logger(
            None,
            processors=[self._note],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )
        self.server = Server(0, Answers(system, TOKEN, log), system, log)
        self.port = self.server.server_address[1]
        self.lines = contextlib.ExitStack()
        thread = threading.Thread(
            target=self.server.serve_forever, args=(0.02,), daemon=True
        )
        thread.start()

    def _note(self, _: Any, __: str, fields: Any) -> Any:
        self.told.append(dict(fields))
        raise structlog.DropEvent

    def dial(self) -> socket.socket:
        address = ("127.0.0.1", self.port)
        line = self.lines.enter_context(socket.create_connection(address, 30))
        line.settimeout(30)
        return line

    def send(self, request: str, *, encoding: str = "latin-1") -> str:
        """All that is answered until the other side hangs up."""
        line = self.dial()
        line.sendall(request.encode(encoding))
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := line.recv(1 << 16):
                answer += part
        return answer.decode()

    def send_all(self, request: bytes) -> bytes:
        """What is answered to who sends all of it before it reads; no reset."""
        line = self.dial()
        line.sendall(request[:1000])
        assert select.select([line], [], [], 30)[0]
        for at in range(1000, len(request), 1 << 14):
            line.sendall(request[at : at + (1 << 14)])
        answer = b""
        while part := line.recv(1 << 16):
            answer += part
        return answer

    def ask(self, path: str, *headers: str, method: str = "GET", body: str = "") -> str:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers]
        return self.send("\r\n".join([*lines, "", body]))

    def act(self, token: str) -> int:
        body = json.dumps({"verb": "pause"})
        headers = (
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"X-Lowtide-Token: {token}",
        )
        answer = self.ask("/act", *headers, method="POST", body=body)
        return int(answer.split()[1])

    def close(self) -> None:
        self.system.over.set()
        self.lines.close()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page()
    yield page
    page.close()


def is_healthy(page: Page) -> bool:
    return "200 OK" in page.ask("/healthz")


def test_idle_connections_keep_nobody_out(page: Page) -> None:
    for _ in range(2 * MOST_SILENT):
        page.dial()

    assert is_healthy(page)


def test_requests_that_never_end_keep_nobody_out(page: Page) -> None:
    for _ in range(2 * MOST_SILENT):
        page.dial().sendall(b"GET / HTTP/1.1\r\nX-Slow: ")

    assert is_healthy(page)


def test_live_pages_are_few_and_keep_no_probe_out(page: Page) -> None:
    head = f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode()
    lines = [page.dial() for _ in range(MOST_AT_ONCE["live"])]
    for line in lines:
        line.sendall(head)
        assert b"200 OK" in line.recv(1 << 16)

    assert "503" in page.ask("/events").split("\r\n", 1)[0]
    assert is_healthy(page)


def test_bodies_that_never_come_keep_no_action_out(page: Page) -> None:
    head = (
        f"POST /act HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"
        "Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"
    )
    for _ in range(2 * MOST_AT_ONCE["action"]):
        page.dial().sendall(head.encode())

    assert page.act(TOKEN) == 200


def test_a_connection_is_for_one_request_and_its_body_is_none(page: Page) -> None:
    hidden = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    answer = page.ask("/x", f"Content-Length: {len(hidden)}", body=hidden)

    assert answer.count("HTTP/1.1") == 1
    assert "404" in answer
    assert "Connection: close" in answer


@pytest.mark.parametrize(
    "length", ["\xb2", "-1", "+5", "1e3", "5, 6", "0x10", "9" * 5000]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_length_that_is_none_is_refused(page: Page, method: str, length: str) -> None:
    answer = page.ask("/act", f"Content-Length: {length}", method=method)

    assert answer.startswith("HTTP/1.1 400 ")
    assert page.told == []


def test_two_lengths_are_refused(page: Page) -> None:
    lengths = ("Content-Length: 0", "Content-Length: 5")

    assert page.ask("/healthz", *lengths).startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["http://[", "//[/", "http://]/healthz"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_an_address_that_is_none_is_refused(page: Page, method: str, path: str) -> None:
    answer = page.ask(path, method=method)

    assert answer.split()[1] in ("400", "404", "415")
    assert page.told == []


@pytest.mark.parametrize("path", ["/events", "/status.json", "/act", "/page.js"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_gets_nothing_by_an_image_or_a_script(
    page: Page, path: str, site: str
) -> None:
    fetched = (f"Sec-Fetch-Site: {site}", "Sec-Fetch-Mode: no-cors")

    assert page.ask(path, *fetched, "Sec-Fetch-Dest: image").split()[1] == "403"
    assert page.ask(path, *fetched, "Sec-Fetch-Dest: document").split()[1] == "403"


def test_a_link_from_another_site_leads_to_the_page(page: Page) -> None:
    link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: document")

    assert page.ask("/", *link).split()[1] == "200"
    assert page.ask("/healthz", "Sec-Fetch-Site: none").split()[1] == "200"


def test_guesses_are_slowed_and_told_and_the_right_one_passes(page: Page) -> None:
    held: list[float] = []
    page.server.hold = held.append

    statuses = [page.act(f"guess {n}") for n in range(FREE_GUESSES + 3)]

    assert statuses == [403] * FREE_GUESSES + [429] * 3
    assert len(held) == 3
    assert held == sorted(held)
    assert page.system.asked == []
    assert page.act(TOKEN) == 200
    assert page.act("guess again") == 429
    told = [each for each in page.told if each["event"] == "web.token_refused"]
    assert len(told) == FREE_GUESSES + 1
    assert told[0] | {"address": "127.0.0.1", "count": 1, "wait_s": 0.0} == told[0]
    assert is_healthy(page)


def test_guesses_that_are_held_keep_no_action_out(page: Page) -> None:
    held, over = threading.Semaphore(0), threading.Event()

    def hold(_: float) -> None:
        held.release()
        over.wait(60)

    page.server.hold = hold
    for n in range(FREE_GUESSES):
        page.act(f"guess {n}")
    guessing = [
        threading.Thread(target=page.act, args=(f"held {n}",), daemon=True)
        for n in range(MOST_AT_ONCE["guess"])
    ]
    for each in guessing:
        each.start()
        assert held.acquire(timeout=30)

    # One more is not held, for there is no place for it: it is wrong all the same.
    assert page.act("one more") == 429
    assert page.act(TOKEN) == 200
    over.set()
    for each in guessing:
        each.join(30)


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("POST /act", "", b"413"),
        ("POST /act", "Content-Type: text/plain\r\n", b"415"),
        ("POST /elsewhere", "", b"404"),
        ("POST /act", "Origin: http://other.example\r\n", b"403"),
        ("PUT /act", "", b"501"),
    ],
)
def test_who_is_refused_reads_why_whatever_it_sent(
    page: Page, line: str, headers: str, status: bytes
) -> None:
    body = b"x" * (1 << 20)
    kind = "" if "Content-Type" in headers else "Content-Type: application/json\r\n"
    head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n{headers}{kind}"
    head += f"Content-Length: {len(body)}\r\n\r\n"

    answer = page.send_all(head.encode() + body)

    assert answer.split()[1] == status


def test_who_goes_on_sending_is_hung_up_on(page: Page) -> None:
    line = page.dial()
    head = f"POST /elsewhere HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n"
    line.sendall(head.encode())

    with pytest.raises(ConnectionError):
        line.sendall(b"x" * (1 << 26))
