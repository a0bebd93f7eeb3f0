"""Messages to people: grouped, few, and to wherever apprise sends."""

from __future__ import annotations

import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from actors.hooks import notify
from actors.hooks.notify import (
    AGAIN_S,
    BETWEEN_S,
    GATHER_S,
    LINES,
    WAITING,
    Groups,
    line_of,
)
from actors.host import redaction
from actors.testing.processes import wait_until

#: Its modules import what is on its way out of Python.
IMPORTS = pytest.mark.filterwarnings("ignore::DeprecationWarning")

QUARANTINED = {
    "event": "quarantined",
    "fetcher": "desk",
    "job_id": 1,
    "error": "KeyError: 'coffee'",
}


def test_no_message_holds_a_secret_that_is_known() -> None:
    redaction.install(["hunter2-and-more"])
    try:
        line = line_of(QUARANTINED | {"error": "Refused: hunter2-and-more\nat once"})
    finally:
        redaction.install(())

    assert line == "desk: a job was set aside: Refused: *** at once"


def test_what_happens_together_is_one_message() -> None:
    groups = Groups()
    for _ in range(500):
        groups.add(line_of(QUARANTINED), 0.0)
    groups.add(line_of({"event": "faulted", "fetcher": "desk", "error": "401"}), 3.0)

    assert groups.take(GATHER_S - 0.1) is None
    assert groups.take(GATHER_S) == (
        "desk: a job was set aside: KeyError: 'coffee' (500 times)\n"
        "desk: its source refuses it: 401"
    )
    assert groups.take(GATHER_S) is None


def test_the_next_message_comes_a_minute_later() -> None:
    groups = Groups()
    groups.add("a", 0.0)
    assert groups.take(GATHER_S) == "a"
    groups.add("b", GATHER_S + 1)

    assert groups.due == GATHER_S + BETWEEN_S
    assert groups.take(GATHER_S + BETWEEN_S) == "b"


def test_a_message_has_so_many_lines_at_most() -> None:
    groups = Groups()
    for number in range(100):
        groups.add(f"line {number}", 0.0)

    text = groups.take(GATHER_S)

    assert text is not None
    lines = text.splitlines()
    assert len(lines) == LINES
    assert lines[-1] == "... and 91 more"


def test_what_could_not_be_delivered_is_told_again_with_what_came_meanwhile() -> None:
    groups = Groups()
    groups.add("a", 0.0)
    assert groups.take(GATHER_S) == "a"
    groups.add("a", GATHER_S + 1)
    groups.add("b", GATHER_S + 1)

    assert groups.failed() == BETWEEN_S

    now = GATHER_S + BETWEEN_S
    assert groups.due == now
    assert groups.take(now) == "a (2 times)\nb"
    # The pause grows until one is delivered.
    assert [groups.failed(), groups.due] == [2 * BETWEEN_S, now + 2 * BETWEEN_S]
    assert groups.take(now + AGAIN_S) == "a (2 times)\nb"
    groups.delivered()
    groups.add("c", now + AGAIN_S)
    assert groups.due == now + AGAIN_S + BETWEEN_S


def test_an_outage_without_an_end_is_bounded() -> None:
    groups = Groups()
    now, pauses = 0.0, []
    for number in range(3 * WAITING):
        groups.add(f"line {number}", now)
        if number % 100 == 0:
            assert groups.due is not None
            now = groups.due
            groups.take(now)
            pauses.append(groups.failed())

    assert max(pauses) == AGAIN_S
    text = groups.take(float("inf"))
    assert text is not None
    assert text.splitlines()[-1] == f"... and {WAITING + 1 - LINES + 1} more"


def test_a_message_that_is_not_delivered_ends_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "GATHER_S", 0.0)
    sent: queue.SimpleQueue[str] = queue.SimpleQueue()

    def send(text: str) -> None:
        sent.put(text)
        if text == "desk: a job was set aside: 1":
            raise RuntimeError("json://hunter2@host")

    notifier = notify.Notifier(send)
    notifier.tell(QUARANTINED | {"error": "1"})
    assert sent.get(timeout=30) == "desk: a job was set aside: 1"
    notifier.tell(QUARANTINED | {"error": "2"})
    wait_until(lambda: bool(caplog.messages), "its failure")
    notifier.flush()

    assert set(sent.get(timeout=30).splitlines()) == {
        "desk: a job was set aside: 1",
        "desk: a job was set aside: 2",
    }
    assert caplog.messages == [
        "notify: a message was not delivered (RuntimeError); again in 60 s"
    ]


@IMPORTS
def test_apprise_sends_it() -> None:
    pytest.importorskip("apprise")
    got: list[dict[str, Any]] = []
    came = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(json.loads(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            came.set()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        send = notify.sender_to([f"json://127.0.0.1:{server.server_port}/"])
        send("desk: a job was set aside")
        assert came.wait(30)
    finally:
        server.shutdown()
        server.server_close()

    assert (got[0]["title"], got[0]["message"]) == (
        "lowtide",
        "desk: a job was set aside",
    )


@IMPORTS
def test_a_url_that_is_none_is_refused_without_its_secret() -> None:
    pytest.importorskip("apprise")

    with pytest.raises(
        ValueError, match=r"cannot use a URL like nonsense:\.\.\."
    ) as raised:
        notify.sender_to(["nonsense://token@host"])

    assert "token" not in str(raised.value)


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(ValueError, match=r"pip install 'lowtide\[notify\]'"):
        notify.sender_to(["json://localhost"])
