"""The HTTP side: who may ask, how much, and what goes with each answer.

Only requests that name this machine as their host are answered, so that no
other site can lead a browser here under a name of its own (DNS rebinding); and
actions only where they come from the page itself.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from actors.web.answers import Answer, as_json, text

if TYPE_CHECKING:
    import socket

    from structlog.typing import FilteringBoundLogger

    from actors.web.answers import Answers
    from actors.web.sampler import Sampler

#: Bytes of a request's body.
MAX_BODY = 1 << 16
#: Requests that are answered at the same time, live pages among them.
MAX_AT_ONCE = 32
#: A request that says nothing for so many seconds is dropped.
SILENT_S = 15.0
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
    request_queue_size = 16

    def __init__(
        self, port: int, answers: Answers, sampler: Sampler, log: FilteringBoundLogger
    ) -> None:
        self.answers = answers
        self.sampler = sampler
        self._log = log
        self._free = threading.BoundedSemaphore(MAX_AT_ONCE)
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a request, or hang up where too many run."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: socket.socket | Any, client_address: Any) -> None:
        """A browser that goes away is no news; the rest is a bug of ours."""
        del request, client_address
        self._log.exception("web.failed")


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "lowtide"
    sys_version = ""
    timeout = SILENT_S

    def do_GET(self) -> None:
        if refused := self._refused():
            self._send(refused)
            return
        url = urlsplit(self.path)
        if url.path == "/events" and self.command == "GET":
            self._stream()
            return
        self._send(self.server.answers.get(url.path, dict(parse_qsl(url.query))))

    do_HEAD = do_GET  # noqa: N815 - the standard library's name

    def do_POST(self) -> None:
        # The body may be left unread.
        self.close_connection = True
        if refused := self._refused():
            self._send(refused)
            return
        if urlsplit(self.path).path != "/act":
            self._send(text(404, "there is nothing here\n"))
            return
        command = self._body()
        if isinstance(command, Answer):
            self._send(command)
            return
        token = self.headers.get("X-Lowtide-Token")
        self._send(self.server.answers.act(token, command))

    def log_message(self, *_: Any) -> None:
        """Requests are no news."""

    def _refused(self) -> Answer | None:
        host = self.headers.get("Host", "")
        name, _, port = host.rpartition(":")
        if (name if port.isdigit() else host) not in LOCAL_NAMES:
            return text(421, "this is served to this machine only, by its name\n")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return text(403, "another site may not ask\n")
        return None

    def _body(self) -> Any:
        if self.headers.get_content_type() != "application/json":
            return as_json(415, {"error": "expected application/json"})
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            return as_json(413, {"error": f"expected up to {MAX_BODY} bytes"})
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            return as_json(400, {"error": "expected JSON"})

    def _send(self, answer: Answer) -> None:
        try:
            self.send_response(answer.status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
        except OSError:
            self.close_connection = True

    def _stream(self) -> None:
        self.close_connection = True
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
