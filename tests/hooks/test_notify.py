"""Messages to people: grouped, few, and to wherever apprise sends."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from actors.hooks import notify
from actors.hooks.notify import BETWEEN_S, GATHER_S, LINES, Groups, line_of
from actors.host import redaction

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
