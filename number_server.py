"""A demo API of random numbers, which forgets each number it has served.

Run it as ``python number_server.py``, and ask it::

    GET  /number    200 {"id": 17, "number": 1764}, or 204 when none waits
    POST /numbers   [9, 16.5] adds numbers: 201 {"ids": [18, 19]}
    GET  /account   200 {"generated": 19, "waiting": 2, "served": [1, 2, ...]}
    POST /fault     ["hang:3*1"] says what goes wrong from now on, [] nothing

A number counts as served once it is taken from the queue, even if the client has
hung up: whoever loses an answer has lost a number, and the account shows which.
Each 4xx says why in ``{"error": "..."}``.

``GET /number?wait_s=20`` is held open until there is a number, for 20 s at most.
A client that closes its sending side meanwhile is answered 204 at once: so it
can leave, and read to the end, and no number is lost on the way.

With ``--mode lease`` nothing is forgotten before it is acknowledged::

    POST /claim     as GET /number, for --lease seconds; then it waits again
    POST /ack/17    200: number 17 is done and comes no more; 404 if it never came
    GET  /account   beside that, "leased" and "acked": lists of ids
"""

import argparse
import json
import math
import os
import random
import re
import select
import signal
import socket
import socketserver
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TextIO
from urllib.parse import parse_qs

#: Largest body of a POST, in bytes.
MAX_BODY_BYTES = 1024 * 1024

#: Seconds after which a silent connection is closed.
IDLE_TIMEOUT_S = 30.0

#: Seconds a refused client gets to read the refusal before the connection closes.
LINGER_S = 1.0

#: Seconds between numbers, at least: looking after a quiet hour generates all
#: that came due in it.
MIN_EVERY_S = 0.001

#: Limits of the options: a day, and what fits in memory with ease.
MAX_SECONDS = 24 * 60 * 60
MAX_PRELOAD = 1_000_000

#: Seconds between two looks at a request that is held open, for a number or the
#: client's leaving.
LOOK_S = 0.02

#: Seconds a request is held open, at most.
MAX_WAIT_S = 60.0

Number = int | float
Action = Callable[["Request"], "Reply"]


class NumberSource:
    """Numbers that come at random times and wait in a queue until taken.

    The rules only: time comes as an argument, in seconds on any clock that does
    not go back, and what was due since the last look is generated at the next.

    The k-th number depends on ``rng`` alone, however many were preloaded or
    however far apart they come.

    Args:
        rng: Source of all chance; it belongs to this object from now on.
        every: Mean seconds between two numbers; 0 for none.
        preload: Numbers that wait from the start.
        now: When the first gap begins.
        first_id: The first number's id; the others follow on.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        every: float,
        preload: int = 0,
        now: float = 0.0,
        first_id: int = 1,
    ) -> None:
        # Gaps have a generator of their own, or else the numbers would depend on
        # how many gaps were drawn between them.
        self._gaps = random.Random(rng.getrandbits(64))  # noqa: S311
        self._numbers = rng
        self._every = every
        self._waiting: deque[tuple[int, Number]] = deque()
        self._served: list[int] = []
        self._first_id = first_id
        self._generated = 0
        for _ in range(preload):
            self._append(self._draw())
        self._next_at = now + self._gap()

    def take(self, now: float) -> tuple[int, Number] | None:
        """Serve and forget the oldest number, as (id, number)."""
        self._catch_up(now)
        if not self._waiting:
            return None
        taken = self._waiting.popleft()
        self._served.append(taken[0])
        return taken

    def add(self, numbers: Sequence[Number], now: float) -> list[int]:
        """Queue numbers from outside and return their ids."""
        self._catch_up(now)
        return [self._append(number) for number in numbers]

    def account(self, now: float) -> dict[str, Any]:
        """Tell lost from waiting: generated == waiting + len(served), always."""
        self._catch_up(now)
        return {
            "generated": self._generated,
            "waiting": len(self._waiting),
            "served": list(self._served),
        }

    def _catch_up(self, now: float) -> None:
        while self._next_at <= now:
            self._append(self._draw())
            self._next_at += self._gap()

    def _append(self, number: Number) -> int:
        number_id = self._first_id + self._generated
        self._generated += 1
        self._waiting.append((number_id, number))
        return number_id

    def _draw(self) -> int:
        # Half of them perfect squares, whose roots are easy to check by eye.
        if self._numbers.random() < 0.5:  # noqa: PLR2004
            return self._numbers.randrange(100) ** 2
        return self._numbers.randrange(10_000)

    def _gap(self) -> float:
        return self._gaps.expovariate(1 / self._every) if self._every else math.inf


class LeasingSource(NumberSource):
    """Numbers that are lent, and wait again unless they are acknowledged in time.

    ``served`` tells each handing out, so a number that was lent twice is in it
    twice; generated == waiting + len(leased) + len(acked), always.

    Args:
        rng: See `NumberSource`.
        lease_s: Seconds that a number stays with whoever took it.
        options: Of `NumberSource`.
    """

    def __init__(self, rng: random.Random, *, lease_s: float, **options: Any) -> None:
        super().__init__(rng, **options)
        self._lease_s = lease_s
        # In the order of their ends, since all are lent for the same time.
        self._leased: dict[int, tuple[float, Number]] = {}
        self._acked: dict[int, None] = {}

    def take(self, now: float) -> tuple[int, Number] | None:
        """Lend the oldest number, as (id, number)."""
        self._take_back(now)
        taken = super().take(now)
        if taken is not None:
            self._leased[taken[0]] = now + self._lease_s, taken[1]
        return taken

    def ack(self, number_id: int, now: float) -> bool:
        """Let a number go for good, at the first time or again.

        Returns:
            False when it was never lent.
        """
        self._take_back(now)
        if number_id in self._acked:
            return True
        if self._leased.pop(number_id, None) is None:
            # Late, but done: it need not be lent a second time.
            back = [each for each in self._waiting if each[0] == number_id]
            if not back or number_id not in self._served:
                return False
            self._waiting.remove(back[0])
        self._acked[number_id] = None
        return True

    def account(self, now: float) -> dict[str, Any]:
        """Tell lost from waiting, lent and done."""
        self._take_back(now)
        account = super().account(now)
        return account | {"leased": list(self._leased), "acked": list(self._acked)}

    def _take_back(self, now: float) -> None:
        over = [each for each, (end, _) in self._leased.items() if end <= now]
        back = [(each, self._leased.pop(each)[1]) for each in over]
        self._waiting.extendleft(reversed(back))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer: no payload means no body."""

    status: HTTPStatus
    payload: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    served_id: int | None = None
    fault: "Fault | None" = None


class Request(NamedTuple):
    """What an action may want to know of a request.

    Attributes:
        path: Without the query.
        body: Read already.
        wait_s: How long it may be held open.
        wait: Waits so many seconds; returns False if the client is leaving or
            the server ends, so that an answer is due now.
    """

    path: str
    body: bytes
    wait_s: float
    wait: Callable[[float], bool]


class RefusedError(Exception):
    """A request gets a 4xx or 5xx, and its connection is closed."""

    def __init__(self, status: HTTPStatus, reason: str, **headers: str) -> None:
        super().__init__(reason)
        payload = {"error": reason}
        self.reply = Reply(status=status, payload=payload, headers=headers)


class Api:
    """What each request does to the source, one request at a time."""

    def __init__(
        self,
        source: NumberSource,
        clock: Callable[[], float],
        faults: Sequence["Fault"] = (),
    ) -> None:
        self.faults = Faults(faults)
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._last: tuple[int, Number] | None = None
        self._routes: dict[str, dict[str, Action]] = {
            "/numbers": {"POST": self._add},
            "/account": {"GET": self._account},
            "/fault": {"POST": self._fault},
        }
        if isinstance(source, LeasingSource):
            self._routes["/claim"] = {"POST": self._serve}
            self._routes["/ack/ID"] = {"POST": self._ack}
        else:
            self._routes["/number"] = {"GET": self._serve}

    def find(self, method: str, path: str) -> Action:
        """Return what to call, with the request's body.

        Raises:
            RefusedError: There is no such path, or not with this method.
        """
        actions = self._routes.get(re.sub(r"^/ack/[0-9]{1,18}$", "/ack/ID", path))
        if actions is None or path == "/ack/ID":
            known = ", ".join(self._routes)
            raise RefusedError(HTTPStatus.NOT_FOUND, f"expected one of {known}")
        if method not in actions:
            allowed = ", ".join(actions)
            reason = f"{path} takes {allowed} only"
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, reason, Allow=allowed)
        return actions[method]

    def _serve(self, request: Request) -> Reply:
        ends_at = self._clock() + request.wait_s
        while True:
            with self._lock:
                reply = self._take()
            left = ends_at - self._clock()
            if reply is not None or left <= 0 or not request.wait(min(LOOK_S, left)):
                return reply or Reply(status=HTTPStatus.NO_CONTENT)

    def _take(self) -> Reply | None:
        if fault := self.faults.spend(*EMPTY_HANDED):
            return _refusal(fault)
        taken = self._last if self._last and self.faults.spend("replay") else None
        taken = taken or self._source.take(self._clock())
        if taken is None:
            return None
        self._last = taken
        payload = {"id": taken[0], "number": taken[1]}
        fault = self.faults.spend(*SPOILERS)
        return Reply(
            status=HTTPStatus.OK, payload=payload, served_id=taken[0], fault=fault
        )

    def _ack(self, request: Request) -> Reply:
        assert isinstance(self._source, LeasingSource)  # noqa: S101 - has the route
        number_id = int(request.path.rpartition("/")[2])
        with self._lock:
            known = self._source.ack(number_id, self._clock())
        if not known:
            reason = f"number {number_id} was never handed out"
            raise RefusedError(HTTPStatus.NOT_FOUND, reason)
        return Reply(status=HTTPStatus.OK, payload={"acked": number_id})

    def _add(self, request: Request) -> Reply:
        numbers = parse_numbers(request.body)
        with self._lock:
            ids = self._source.add(numbers, self._clock())
        return Reply(status=HTTPStatus.CREATED, payload={"ids": ids})

    def _account(self, _: Request) -> Reply:
        with self._lock:
            account = self._source.account(self._clock())
        return Reply(status=HTTPStatus.OK, payload=account)

    def _fault(self, request: Request) -> Reply:
        texts = _parse_array(request.body, "faults, as in hang:3*1")
        try:
            faults = [parse_fault(text) for text in texts]
        except argparse.ArgumentTypeError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error
        self.faults.replace(faults)
        return Reply(status=HTTPStatus.OK, payload={"faults": texts})


def _refusal(fault: "Fault") -> Reply:
    status = HTTPStatus(int(fault.name))
    if status < HTTPStatus.BAD_REQUEST:
        # A body beside a Location might be taken for a number.
        return Reply(status=status, headers={"Location": fault.arg})
    headers = {"Retry-After": fault.arg} if fault.arg else {}
    return Reply(status=status, payload={"error": status.phrase}, headers=headers)


def parse_numbers(body: bytes) -> list[Number]:
    """Read a JSON array of finite numbers, negative ones included.

    Raises:
        RefusedError: It is anything else; then no number of it counts.
    """
    values = _parse_array(body, "numbers")
    for index, value in enumerate(values):
        # 1e999 is JSON, but reads as infinity.
        if type(value) not in {int, float} or value in {math.inf, -math.inf}:
            reason = f"expected a finite number at index {index}, got "
            raise RefusedError(HTTPStatus.BAD_REQUEST, reason + _json_name(value))
    return values


def _parse_array(body: bytes, of_what: str) -> list[Any]:
    try:
        values = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"not JSON: {error}") from error
    if not isinstance(values, list):
        reason = f"expected a JSON array of {of_what}, got {_json_name(values)}"
        raise RefusedError(HTTPStatus.BAD_REQUEST, reason)
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _json_name(value: object) -> str:
    if value in (math.inf, -math.inf):
        return "infinity"
    names = {bool: "true or false", str: "a string", list: "an array"}
    names |= {dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")


@dataclass(frozen=True, slots=True)
class Knob:
    """One kind of fault.

    Attributes:
        arg: What stands behind its colon, for messages; nothing if nothing may.
        default: The argument where none is given.
        most: Of an argument that is a number, from 0; None where it is text.
    """

    arg: str = ""
    default: str = ""
    most: float | None = None


#: Largest body that a fault can make, in bytes.
MAX_SPOILED_BYTES = 1024**3

KNOBS = {
    "refuse": Knob("seconds without listening", "5", MAX_SECONDS),
    "hang": Knob("seconds before the answer", "60", MAX_SECONDS),
    "drip": Knob("seconds before each byte of the body", "1", MAX_SECONDS),
    "cut": Knob("bytes of the body before the end", "12", MAX_SPOILED_BYTES),
    "html": Knob(),
    "huge": Knob("bytes of the body", str(100 * 1024**2), MAX_SPOILED_BYTES),
    "bomb": Knob(
        "bytes of the body once decompressed", str(100 * 1024**2), MAX_SPOILED_BYTES
    ),
    "nan": Knob(),
    "deep": Knob("brackets around the job", "100000", 1_000_000),
    "replay": Knob(),
    "301": Knob("the Location", "/number"),
}

_STATUS = Knob("the Retry-After")

#: Faults under which no number is taken.
EMPTY_HANDED = ("301", *map(str, filter(lambda code: code >= 400, HTTPStatus)))  # noqa: PLR2004


@dataclass(slots=True)
class Fault:
    """What is to go wrong with the next ``left`` answers that hold a number."""

    name: str
    arg: str
    left: float = math.inf

    @property
    def value(self) -> float:
        """The argument, of a knob that takes a number."""
        return float(self.arg)


def parse_fault(text: Any) -> Fault:
    """Read ``NAME[:ARG][*COUNT]``.

    Raises:
        argparse.ArgumentTypeError: It is no fault there is.
    """
    head, star, count = str(text).rpartition("*")
    name, _, arg = (head if star else count).partition(":")
    knob = KNOBS.get(name, _STATUS if name in EMPTY_HANDED else None)
    if knob is None:
        names = ", ".join(KNOBS)
        reason = f"expected one of {names}, or a 4xx or 5xx, got {text!r}"
        raise argparse.ArgumentTypeError(reason)
    arg = arg or knob.default
    if knob.most is not None:
        _between(float, 0, knob.most)(arg)
    elif not (arg.isascii() and arg.isprintable()) or (arg and not knob.arg):
        reason = f"expected {knob.arg or 'nothing'} after {name}:, got {arg!r}"
        raise argparse.ArgumentTypeError(reason)
    return Fault(name, arg, _between(int, 1, 10**9)(count) if star else math.inf)


class Faults:
    """What is to go wrong, in order: the next begins when the first is spent."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._faults = deque(faults)

    def replace(self, faults: Sequence[Fault]) -> None:
        """Forget those there are for others."""
        with self._lock:
            self._faults = deque(faults)

    def spend(self, *names: str) -> Fault | None:
        """Count and return the first fault, if it is one of these."""
        with self._lock:
            if not self._faults or self._faults[0].name not in names:
                return None
            fault = self._faults[0]
            fault.left -= 1
            # Once it listens again, nothing is left of a refusal.
            if fault.left < 1 or fault.name == "refuse":
                self._faults.popleft()
            return fault


def _hang(handler: "Handler", body: bytes, fault: Fault) -> None:
    if not handler.server.stopping.wait(fault.value):
        handler.send_spoiled([body])


def _drip(handler: "Handler", body: bytes, fault: Fault) -> None:
    def bytes_one_by_one() -> Iterator[bytes]:
        for byte in body:
            yield bytes([byte])
            if handler.server.stopping.wait(fault.value):
                return

    handler.send_spoiled(bytes_one_by_one(), length=len(body))


def _cut(handler: "Handler", body: bytes, fault: Fault) -> None:
    handler.send_spoiled([body[: int(fault.value)]], length=len(body) + 1)


def _html(handler: "Handler", body: bytes, _: Fault) -> None:
    page = b"<!DOCTYPE html><title>Down for maintenance</title><p>" + body
    handler.send_spoiled([page], content_type="text/html")


def _huge(handler: "Handler", body: bytes, fault: Fault) -> None:
    handler.send_spoiled(_padded(body, int(fault.value)))


def _bomb(handler: "Handler", body: bytes, fault: Fault) -> None:
    packer = zlib.compressobj(9, wbits=31)

    def packed() -> Iterator[bytes]:
        yield from map(packer.compress, _padded(body, int(fault.value)))
        yield packer.flush()

    handler.send_spoiled(packed(), encoding="gzip")


def _padded(body: bytes, size: int) -> Iterator[bytes]:
    yield body[:-1] + b', "padding": "'
    chunk = b"x" * 65536
    for start in range(0, size, len(chunk)):
        yield chunk[: size - start]
    yield b'"}'


def _nan(handler: "Handler", body: bytes, _: Fault) -> None:
    handler.send_spoiled([body[:-1] + b', "weight": NaN}'])


def _deep(handler: "Handler", body: bytes, fault: Fault) -> None:
    levels = int(fault.value)
    handler.send_spoiled([b"[" * levels, body, b"]" * levels])


#: Faults of an answer that holds a number, and what each does to it.
SPOILERS: dict[str, Callable[["Handler", bytes, Fault], None]] = {
    "hang": _hang,
    "drip": _drip,
    "cut": _cut,
    "html": _html,
    "huge": _huge,
    "bomb": _bomb,
    "nan": _nan,
    "deep": _deep,
}


class AccessLog:
    """One JSON object a line for each request, written through at once."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, **fields: Any) -> None:
        """Add a line, unless there is no log or it is closed."""
        with self._lock:
            if self._stream is not None:
                now = datetime.now(UTC).isoformat(timespec="milliseconds")
                line = json.dumps({"timestamp": now, **fields})
                self._stream.write(f"{line}\n")
                self._stream.flush()

    def close(self) -> None:
        """Close the file; writing on does nothing."""
        with self._lock:
            if self._stream is not None:
                self._stream.close()
            self._stream = None


class NumberServer(ThreadingHTTPServer):
    """The API on a socket, one thread for each connection.

    Raises:
        OSError: The address cannot be listened on.
    """

    daemon_threads = True
    request_queue_size = 128
    # On by default in newer Pythons, and two servers on a port would share the
    # requests between them.
    allow_reuse_port = False

    def __init__(
        self, address: tuple[str, int], api: Api, log: AccessLog, *, delay: float = 0.0
    ) -> None:
        self.api = api
        self.log = log
        self.delay = delay
        self.stopping = threading.Event()
        self._connections: set[Any] = set()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    @property
    def url(self) -> str:
        """Where it listens, with the port that it got."""
        host, port = self.server_name, self.server_port
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def server_bind(self) -> None:
        """Bind without the base class's name lookup, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)

    def service_actions(self) -> None:
        """Refuse connections for a while, if that is the fault in turn."""
        if fault := self.api.faults.spend("refuse"):
            # Under the same descriptor, which serve_forever goes on to watch, a
            # socket that has the port and does not listen.
            with socket.socket(self.address_family, self.socket_type) as deaf:
                os.dup2(deaf.fileno(), self.fileno())
            self.server_bind()
            for connection in tuple(self._connections):
                # Its answer, if one is on its way, may still be sent.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)
            self.stopping.wait(fault.value)
            self.socket.listen(self.request_queue_size)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection while it is open."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what a handler raised, except that its client went away."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Reads a request, has the API answer it, and writes the answer."""

    protocol_version = "HTTP/1.1"
    # What a broken request line counts as: 0.9 would get an answer without status.
    default_request_version = protocol_version
    timeout = IDLE_TIMEOUT_S
    # Together: one packet for each answer, sent without waiting for another.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: NumberServer

    def _handle(self) -> None:
        try:
            action = self.server.api.find(self.command, self._route)
            body = self._read_body()
            self._wait()
            reply = action(Request(self._route, body, self._wait_s(), self._hold))
        except RefusedError as refused:
            self._refuse(refused.reply)
        else:
            self._write(reply)

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815
    do_PATCH = do_DELETE = do_OPTIONS = _handle  # noqa: N815

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Answer what the base class refuses, in JSON rather than HTML."""
        reason = message or explain or HTTPStatus(code).phrase
        self._refuse(Reply(status=HTTPStatus(code), payload={"error": reason}))

    def handle_expect_100(self) -> bool:
        """Ask for the body only if it will be read."""
        try:
            self.server.api.find(self.command, self._route)
            self._body_length()
        except RefusedError as refused:
            self._refuse(refused.reply)
            return False
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def version_string(self) -> str:
        """Name the server, without the version of Python."""
        return "number_server"

    def log_message(self, *_: Any, **__: Any) -> None:
        """Keep standard error for what goes wrong; requests have their own log."""

    @property
    def _route(self) -> str:
        return self.path.partition("?")[0]

    def _wait(self) -> None:
        handing_out = self._route in {"/number", "/claim"}
        if handing_out and self.server.stopping.wait(self.server.delay):
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "shutting down")

    def _wait_s(self) -> float:
        asked = parse_qs(self.path.partition("?")[2]).get("wait_s", ["0"])
        try:
            return _between(float, 0, MAX_WAIT_S)(asked[-1])
        except argparse.ArgumentTypeError as error:
            reason = f"wait_s: {error}"
            raise RefusedError(HTTPStatus.BAD_REQUEST, reason) from error

    def _hold(self, seconds: float) -> bool:
        if self.server.stopping.is_set():
            return False
        readable, _, _ = select.select([self.connection], [], [], seconds)
        return not readable or bool(self.connection.recv(1, socket.MSG_PEEK))

    def _read_body(self) -> bytes:
        length = self._body_length()
        body = self.rfile.read(length)
        if len(body) < length:
            reason = f"the body ended after {len(body)} of {length} bytes"
            raise RefusedError(HTTPStatus.BAD_REQUEST, reason)
        return body

    def _body_length(self) -> int:
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or (
            self.command == "POST" and not lengths
        ):
            reason = "expected a Content-Length and no Transfer-Encoding"
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, reason)
        text = lengths[0].strip() if lengths else "0"
        if len(lengths) > 1 or not (text.isascii() and text.isdigit()):
            reason = "expected one Content-Length of digits only"
            raise RefusedError(HTTPStatus.BAD_REQUEST, reason)
        # Unlike int, float takes any number of digits.
        if float(text) > MAX_BODY_BYTES:
            reason = f"expected a body of at most {MAX_BODY_BYTES} bytes"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
        return int(text)

    def _refuse(self, reply: Reply) -> None:
        # There may be a body left unread, which must not pass for a request.
        self.close_connection = True
        self._write(reply)
        self._linger()

    def _linger(self) -> None:
        # Closing with input unread resets the connection, and the reset can
        # overtake the refusal.
        ends_at = time.monotonic() + LINGER_S
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while (left := ends_at - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(64 * 1024):
                    return

    def send_spoiled(
        self,
        body: Iterator[bytes] | list[bytes],
        *,
        length: int | None = None,
        content_type: str = "application/json",
        encoding: str | None = None,
    ) -> None:
        """Answer 200 with a body that goes out piece by piece, and close.

        Args:
            body: Its pieces.
            length: The Content-Length, true or not; None for no such header.
            content_type: True or not.
            encoding: The Content-Encoding, if there is one.
        """
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Connection", "close")
        if length is not None:
            self.send_header("Content-Length", str(length))
        if encoding is not None:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        for piece in body:
            self.wfile.write(piece)
            self.wfile.flush()

    def _write(self, reply: Reply) -> None:
        self._log(reply)
        body = b"" if reply.payload is None else json.dumps(reply.payload).encode()
        if reply.fault is not None:
            SPOILERS[reply.fault.name](self, body, reply.fault)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if reply.payload is not None:
            self.send_header("Content-Type", "application/json")
        if reply.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _log(self, reply: Reply) -> None:
        # Before the answer goes out: who has the answer finds it in the log.
        served = {} if reply.served_id is None else {"id": reply.served_id}
        self.server.log.write(
            method=self.command,
            path=self.path if self.command else None,
            status=reply.status.value,
            **served,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        argv: Command line, by default the process's own.

    Returns:
        Exit code: 0 when told to stop, 1 when it could not start.
    """
    options = _parser().parse_args(argv)
    signals = {signal.SIGINT, signal.SIGTERM}
    # Blocked before the first thread starts, so that all inherit it and sigwait
    # gets them: a handler could run inside a lock that stopping needs.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        log = AccessLog(options.access_log and options.access_log.open("a"))
        server = _server(options, log)
    except OSError as error:
        print(f"number_server: cannot start: {error}", file=sys.stderr)
        return 1
    else:
        _serve_until(signals, server)
        return 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _server(options: argparse.Namespace, log: AccessLog) -> NumberServer:
    rng = random.Random(options.seed)  # noqa: S311
    common = {
        "every": options.every,
        "preload": options.preload,
        "now": time.monotonic(),
        "first_id": options.first_id,
    }
    if options.mode == "lease":
        source: NumberSource = LeasingSource(rng, lease_s=options.lease, **common)
    else:
        source = NumberSource(rng, **common)
    address = (options.host, options.port)
    api = Api(source, time.monotonic, options.fault or ())
    try:
        return NumberServer(address, api, log, delay=options.delay)
    except OSError as error:
        log.close()
        where = f"{options.host} port {options.port}"
        raise OSError(f"{where}: {error.strerror or error}") from error


def _serve_until(signals: set[signal.Signals], server: NumberServer) -> None:
    with server:
        print(f"number_server: listening on {server.url}", flush=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        signal.sigwait(signals)
        server.stopping.set()
        server.shutdown()
        thread.join()
    server.log.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="number_server",
        description="A demo API of random numbers, which forgets what it has served.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="default: %(default)s")
    free = "0 for a free one; default: %(default)s"
    add("--port", type=_between(int, 0, 65535), default=4567, help=free)
    mean = "mean time between numbers, 0 for none; default: %(default)s"
    add("--every", type=_every, default=2.0, metavar="SECONDS", help=mean)
    count = _between(int, 0, MAX_PRELOAD)
    first = "numbers that wait from the start"
    add("--preload", type=count, default=0, metavar="N", help=first)
    other = "the first number's id, for a source that goes on; default: %(default)s"
    add("--first-id", type=_between(int, 1, 2**53), default=1, metavar="N", help=other)
    add("--seed", type=int, metavar="N", help="the same seed gives the same numbers")
    seconds = _between(float, 0, MAX_SECONDS)
    slow = "answer GET /number only after this"
    add("--delay", type=seconds, default=0.0, metavar="SECONDS", help=slow)
    mode = "what becomes of a number that is taken; default: %(default)s"
    add("--mode", choices=("forget", "lease"), default="forget", help=mode)
    lent = "with --mode lease, how long a number is lent; default: %(default)s"
    add("--lease", type=seconds, default=60.0, metavar="SECONDS", help=lent)
    knobs = (f"{name} ({each.arg})".replace(" ()", "") for name, each in KNOBS.items())
    fault = (
        "what goes wrong with the next COUNT answers, or with all; may be given more "
        "than once, then in turn. NAME is a status from 400 (ARG: the Retry-After), "
        f"or one of these (ARG): {', '.join(knobs)}"
    )
    shape = "NAME[:ARG][*COUNT]"
    add("--fault", type=parse_fault, action="append", metavar=shape, help=fault)
    log = "file to add a line of JSON to for each request"
    add("--access-log", type=Path, metavar="FILE", help=log)
    return parser


def _every(text: str) -> float:
    value = float(_between(float, 0, MAX_SECONDS)(text))
    if 0 < value < MIN_EVERY_S:
        reason = f"expected 0, or {MIN_EVERY_S} and more, got {text}"
        raise argparse.ArgumentTypeError(reason)
    return value


def _between(
    kind: type[int] | type[float], low: float, high: float
) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        with suppress(ValueError):
            value = kind(text)
            if low <= value <= high:
                return value
        name = "a whole number" if kind is int else "a number"
        reason = f"expected {name} from {low} to {high}, got {text}"
        raise argparse.ArgumentTypeError(reason)

    return parse


if __name__ == "__main__":
    sys.exit(main())
