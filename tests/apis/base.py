"""A small server that behaves like an API: the standard library, and knobs."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, time
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=monotonic)

    @property
    def form(self) -> dict[str, str]:
        return {name: each[-1] for name, each in parse_qs(self.body.decode()).items()}


@dataclass
class Said:
    """One answer."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()


class Api:
    """What all of them have in common.

    Attributes:
        asked: Each request, in order.
        faults: Statuses to answer the next requests with, None for as ever.
        cut: How many of the next answers to end in the middle.
        before: Called before each answer: to add or change something meanwhile.
        budget: Requests in a window at the most, None for any number.
        window_s: The window.
        exceeded: How often more were asked.
        useful: How many answers had something that none before had.
        idle: How many had nothing of that kind: to a GET that was not refused.
        walks: Whether a poll has to ask for each page in any case.
    """

    walks = False

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults: deque[int | None] = deque()
        self.cut = 0
        self.before: Callable[[Asked], None] = lambda _: None
        self.budget: int | None = None
        self.window_s = 1.0
        self.exceeded = 0
        self.useful = 0
        self.idle = 0
        self._shown: set[str] = set()
        self.url = ""
        self.lock = threading.RLock()
        self._window: deque[float] = deque()

    def answer(self, asked: Asked) -> Said:
        """What the API says."""
        raise NotImplementedError

    def limited(self, reset_s: float) -> Said:
        """What it says to one request too many."""
        return Said(None, 429, {"Retry-After": f"{reset_s:.3f}"})

    def told(self, left: int | None, reset_s: float) -> dict[str, str]:
        """What it says of its limits with each answer."""
        return {}

    def handle(self, asked: Asked) -> Said:
        with self.lock:
            self.asked.append(asked)
            self.before(asked)
            if self.faults and (status := self.faults.popleft()) is not None:
                return Said(b"trouble", status)
            left, reset_s = self._spent(asked)
            if left is not None and left < 0:
                self.exceeded += 1
                return self.limited(reset_s)
            said = self.answer(asked)
            if asked.method == "GET" and said.status in (200, 304) and not self.cut:
                self._count(asked, said)
            said.headers |= self.told(left, reset_s)
            return said

    def _count(self, asked: Asked, said: Said) -> None:
        shown = set(_elements(said.body))
        is_next = self.walks and {"page", "page_info"} & asked.query.keys()
        if shown - self._shown or is_next:
            self.useful += 1
        else:
            self.idle += 1
        self._shown |= shown

    def _spent(self, asked: Asked) -> tuple[int | None, float]:
        if self.budget is None:
            return None, 0.0
        while self._window and self._window[0] <= asked.at - self.window_s:
            self._window.popleft()
        left = self.budget - len(self._window) - 1
        if left >= 0:
            self._window.append(asked.at)
        return left, self._window[0] + self.window_s - asked.at


def _elements(body: Any) -> list[str]:
    if isinstance(body, bytes):
        return body.decode().split("<entry>")[1:]
    if isinstance(body, dict):
        body = next((each for each in body.values() if isinstance(each, list)), [])
    return [json.dumps(each) for each in body or ()]


Kind = TypeVar("Kind", bound=Api)


@contextmanager
def served(api: Kind) -> Iterator[Kind]:
    """Serve an API on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

        def answer(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, keep_blank_values=True)
            asked = Asked(
                self.command,
                parts.path,
                {name: each[-1] for name, each in query.items()},
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("Content-Length", 0))),
            )
            said = api.handle(asked)
            body = said.encoded()
            lines = [f"HTTP/1.1 {said.status} Said"]
            headers = {"Date": formatdate(time(), usegmt=True)} | said.headers
            if said.status not in (204, 304):
                headers["Content-Length"] = str(len(body))
            lines += [f"{name}: {value}" for name, value in headers.items()]
            head = "\r\n".join([*lines, "", ""]).encode()
            if api.cut and body:
                api.cut -= 1
                body = body[: len(body) // 2]
                self.close_connection = True
            self.wfile.write(head + body)

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
