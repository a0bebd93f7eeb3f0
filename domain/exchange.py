"""One request and its answer: what it may take, and what it has taken so far."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from math import isfinite

__all__ = [
    "DEFAULT_LIMITS",
    "HELD",
    "Exchange",
    "Held",
    "Limits",
    "current",
    "opened",
]

#: Wire bytes allowed for each byte of body: one-byte chunks take six.
WIRE_FACTOR = 8

#: Wire bytes allowed on top, for the headers.
WIRE_HEADROOM = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one exchange may take.

    Args:
        connect_s: For connecting to each address, and for the TLS handshake.
        read_s: For each piece of the answer.
        total_s: For all of it, however many pieces and addresses.
        max_bytes: Size of the body once decompressed.

    Raises:
        ValueError: A limit is not a finite number above 0.
    """

    connect_s: float = 3.0
    read_s: float = 5.0
    total_s: float = 10.0
    max_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ValueError(f"{name} must be above 0, got {value}")

    def longer(self, wait_s: float) -> "Limits":
        """The same for a request that is held open for up to ``wait_s``."""
        return replace(self, read_s=self.read_s + wait_s, total_s=self.total_s + wait_s)


#: Generous: an answer has a few hundred bytes and takes milliseconds.
DEFAULT_LIMITS = Limits()


class Exchange:
    """One request and its answer, as its sockets see it.

    Attributes:
        sent: Whether the server may have got the request.
        leaving: Whether the server was told, or is to be told, that nobody
            wants to wait any longer.
        ended: Whether the server has closed its side.
        body: What was read of the answer's body.
        packed: The same before its compression was undone, up to
            `KEPT_BODY_BYTES`, where it has one.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sent = False
        self.ended = False
        self.leaving = False
        self.body = bytearray()
        self.packed = bytearray()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._ends_at = time.monotonic() + limits.total_s
        self._wire_left = WIRE_FACTOR * limits.max_bytes + WIRE_HEADROOM

    @property
    def flooded(self) -> bool:
        """Whether more came over the wire than a body within the limits takes."""
        return self._wire_left < 0

    def left(self, at_most: float) -> float:
        """Seconds the next blocking call may take.

        Raises:
            TimeoutError: The exchange is out of time.
        """
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out in total")
        return min(left, at_most)

    def sent_all(self, sock: socket.socket) -> None:
        """Note that the whole request is out; the answer is all that is missing."""
        with self._lock:
            self._socket = sock
            if self.leaving:
                _close_half(sock)

    def leave(self) -> None:
        """Tell the server that nothing more comes, and go on reading.

        May be called from another thread, at any time.
        """
        with self._lock:
            self.leaving = True
            if self._socket is not None:
                _close_half(self._socket)

    def received(self, count: int) -> None:
        """Count bytes off the wire, 0 for its end.

        Raises:
            ConnectionAbortedError: There were too many.
        """
        self.ended = count == 0
        self._wire_left -= count
        if self.flooded:
            raise ConnectionAbortedError("too many bytes on the wire")


def _close_half(sock: socket.socket) -> None:
    # TLS has no such thing: there the answer is waited for.
    if not isinstance(sock, ssl.SSLSocket):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)


class Held:
    """The requests of this process that a server may hold open for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Exchange] = set()
        self._ended = False

    def end(self) -> None:
        """Have them answered soon, now and for the rest of this process's life.

        Nothing is aborted, since a server that has taken a job for its answer may
        have forgotten it. Instead the server is told, by half a close, that
        nobody wants to wait; and what it answers is read to the end. A server
        that does not look is waited for, up to the limits, as one over TLS is.
        """
        with self._lock:
            self._ended = True
            for exchange in self._open:
                exchange.leave()

    @contextmanager
    def holding(self, exchange: Exchange) -> Iterator[None]:
        """Count an exchange among them while it lasts."""
        with self._lock:
            self._open.add(exchange)
            if self._ended:
                exchange.leave()
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(exchange)


#: Those of this process.
HELD = Held()

# urllib3 has no way to hand a deadline to a socket.
_current: ContextVar[Exchange] = ContextVar("_current")


def current() -> Exchange:
    """Return the exchange this thread is in.

    Outside of one, as when a session is used by hand, each call on a socket is
    an exchange of its own.
    """
    return _current.get(None) or Exchange(DEFAULT_LIMITS)


@contextmanager
def opened(limits: Limits) -> Iterator[Exchange]:
    """Make an exchange the current one; its time starts now."""
    exchange = Exchange(limits)
    token = _current.set(exchange)
    try:
        yield exchange
    finally:
        _current.reset(token)
