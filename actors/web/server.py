"""The HTTP side: who may ask, how much, and what goes with each answer.

Only requests that name this machine as their host are answered, so that no
other site can lead a browser here under a name of its own (DNS rebinding); and
actions only where they come from the page itself.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from actors.web.admission import ASKED_WITHIN_S, Admission, kind_of
from actors.web.answers import Answer, as_json, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from actors.web.answers import Answers
    from actors.web.sampler import Sampler

#: Bytes of a request's body.
MAX_BODY = 1 << 16
#: A connection that takes or says nothing for this many seconds is dropped.
SILENT_S = 5.0
#: Bytes of a request that is refused that are waited for.
_UNREAD = 1 << 22
#: A live page hears something at least this often, in seconds.
BEAT_S = 10.0

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Answers a bounded number of requests at a time, each in a thread."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, port: int, answers: Answers, sampler: Sampler, log: FilteringBoundLogger
    ) -> None:
        self.answers = answers
        self.sampler = sampler
        self.places = Admission()
        #: Called with the seconds for which an answer waits.
        self.hold: Callable[[float], None] = time.sleep
        self._log = log
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, in place of one that is silent."""
        goes = self.places.comes(request, time.monotonic())
        if goes is not None:
            self._hang_up(goes)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.goes(request)

    def service_actions(self) -> None:
        """Hang up on those whose time is over; called twice a second or so."""
        for each in self.places.late(time.monotonic()):
            self._hang_up(each)

    def _hang_up(self, request: socket.socket) -> None:
        # Its thread notices, and closes it.
        self.places.goes(request)
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: socket.socket | Any, client_address: Any) -> None:
        """A browser that goes away is no news; the rest is a bug of ours."""
        del request, client_address
        if not isinstance(sys.exception(), OSError):
            self._log.exception("web.failed")


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "lowtide"
    sys_version = ""
    timeout = SILENT_S
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"
    command = ""  # until there is a request
    _has_read_body = False

    def finish(self) -> None:
        """End the connection, once what comes with a refused request has come.

        One that is closed before takes its answer back: the kernel resets it.
        """
        super().finish()
        if self.command in ("", None, "GET", "HEAD") or self._has_read_body:
            return
        left, end = _UNREAD, time.monotonic() + SILENT_S
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and (left_s := end - time.monotonic()) > 0:
                self.connection.settimeout(left_s)
                if not (part := self.connection.recv(min(left, MAX_BODY))):
                    break
                left -= len(part)

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_GET  # noqa: N815 - the standard library's names

    def _answer(self) -> None:
        # One request a connection: none is kept for what may never come, and no body
        # that was not read is taken for the next one.
        self.close_connection = True
        try:
            url = urlsplit(self.path)
            query = dict(parse_qsl(url.query))
            length = _length_of(self.headers.get_all("Content-Length") or [])
        except ValueError:
            self._send(text(400, "this is no request\n"))
            return
        kind = kind_of(self.command, url.path)
        refused = self._refused(url.path)
        if refused is None and kind == "action":
            # Before it takes a place, which is not for those who guess.
            refused = self._unacted(url.path, length)
        if refused is None and not self.server.places.asks(
            self.connection, kind, time.monotonic()
        ):
            refused = text(503, "as many ask for that as may\n")
        if refused is not None:
            self._send(refused)
        elif kind == "action":
            self._send(self._act(length or 0))
        elif kind == "live" and self.command == "GET":
            self._stream()
        else:
            self._send(self.server.answers.get(url.path, query))

    def _unacted(self, path: str, length: int | None) -> Answer | None:
        if path != "/act":
            return text(404, "there is nothing here\n")
        if self.headers.get_content_type() != "application/json":
            return as_json(415, {"error": "expected application/json"})
        if length is None or length > MAX_BODY:
            return as_json(413, {"error": f"expected up to {MAX_BODY} bytes"})
        # Before its body is read, which may take as long as it is let.
        token, address = self.headers.get("X-Lowtide-Token"), self.client_address[0]
        refused = self.server.answers.refused(token, address)
        if refused is None:
            return None
        answer, wait_s = refused
        places = self.server.places
        if wait_s and places.asks(self.connection, "guess", time.monotonic()):
            self.server.hold(wait_s)
        return answer

    def _act(self, length: int) -> Answer:
        try:
            command = json.loads(self._body(length))
        except (ValueError, RecursionError):
            return as_json(400, {"error": "expected JSON"})
        return self.server.answers.act(command)

    def log_message(self, *_: Any) -> None:
        """Requests are no news."""

    def _refused(self, path: str) -> Answer | None:
        host = self.headers.get("Host", "")
        name, _, port = host.rpartition(":")
        if (name if port.isdigit() else host) not in LOCAL_NAMES:
            return text(421, "this is served to this machine only, by its name\n")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return text(403, "another site may not ask\n")
        # A browser says so of an image or a script as well, which has no Origin. A
        # link that leads here may be anywhere.
        site = self.headers.get("Sec-Fetch-Site", "none")
        is_link = self.headers.get("Sec-Fetch-Dest") == "document" and path == "/"
        if site not in ("same-origin", "none") and not is_link:
            return text(403, "another site may not ask\n")
        return None

    def _body(self, length: int) -> bytes:
        body = b""
        end = time.monotonic() + ASKED_WITHIN_S
        while len(body) < length and time.monotonic() < end:
            if not (part := self.rfile.read1(length - len(body))):
                break
            body += part
        self._has_read_body = len(body) == length
        return body

    def _send(self, answer: Answer) -> None:
        try:
            self.send_response(answer.status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
        except OSError:
            self.close_connection = True

    def _stream(self) -> None:
        try:
            self.send_response(200)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for sample in self.server.sampler.samples(BEAT_S):
                body = b": still here\n\n"
                if sample is not None:
                    body = b"data: " + as_json(200, sample).body + b"\n\n"
                self.wfile.write(body)
        except OSError:
            return


def _length_of(told: list[str]) -> int | None:
    if not told:
        return None
    [length] = told
    if not (length.isascii() and length.isdigit() and len(length) < _LONGEST_NUMBER):
        raise ValueError("no length")
    return int(length)


#: Digits; a longer length is none.
_LONGEST_NUMBER = 20
