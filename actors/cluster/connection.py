"""Lines between machines: TCP connections that never block.

What is not taken at once by the kernel waits here, and is offered again when
``flush`` is called; in which order, and what of it is not sent twice, ``lanes`` has.
Messages travel as on one machine: pickled, signed, and made from admitted classes
only.
"""

from __future__ import annotations

import contextlib
import pickle
import secrets
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.cluster.handshake import Handshake
from actors.cluster.lanes import Incoming, Outgoing, receipt
from actors.host import forks, unpickling

if TYPE_CHECKING:
    from actors.demand.messages import SubscriptionId

#: How soon to offer again what the kernel did not take, in seconds.
FLUSH_S = 0.02
_CHUNK = 1 << 16
#: Bytes that are given to the kernel beyond what it has sent: what is there can be
#: overtaken by nothing.
_AHEAD = 1 << 14


class LineEndedError(Exception):
    """The line is over; the text says why."""


@dataclass(slots=True, eq=False)
class Line:
    """One connection, seen from one end."""

    _socket: socket.socket
    _handshake: Handshake
    about: str
    _waiting: bytearray = field(default_factory=bytearray)
    _outgoing: Outgoing = field(default_factory=lambda: Outgoing(pickle.dumps))
    _incoming: Incoming = field(init=False)
    _told: int = 0

    def __post_init__(self) -> None:
        """Keep it from what a user's code forks."""
        forks.keep_open(self._socket)
        self._incoming = Incoming(self._outgoing)

    @property
    def fd(self) -> int:
        """The descriptor to watch."""
        return self._socket.fileno()

    @property
    def is_open(self) -> bool:
        """Whether the other side has shown that it has the key."""
        return self._handshake.is_open

    @property
    def is_waiting(self) -> bool:
        """Whether there is something that ``flush`` would send."""
        if self._waiting or self._handshake.outgoing:
            return True
        untold = self._told < self._incoming.arrived
        return self.is_open and (untold or self._outgoing.is_waiting)

    def is_crossing(self, subscription: SubscriptionId) -> bool:
        """Whether jobs of a subscription are in the line, and have not arrived."""
        return self._outgoing.is_crossing(subscription)

    def send(self, message: Any) -> bool:
        """Send a message, when the line is open.

        Returns:
            Whether there was room for it; if not, it is lost.

        Raises:
            LineEndedError: It is over, or the message cannot be sent.
        """
        try:
            taken = self._outgoing.put(message)
        except ValueError as error:
            raise LineEndedError(str(error)) from error
        self._write()
        return taken

    def send_what_is_left_of(self, former: Line) -> None:
        """Send first what another line did not deliver before it ended.

        Raises:
            LineEndedError: This one is over as well.
        """
        self._outgoing.put_back(former._outgoing)
        self._write()

    def receive(self) -> list[Any]:
        """What has arrived.

        Raises:
            LineEndedError: The other side hung up.
            FrameError: What arrived is not to be trusted.
        """
        try:
            received = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError as error:
            raise LineEndedError(str(error)) from error
        if not received:
            raise LineEndedError("the other side hung up")
        frames = self._handshake.feed(received)
        payloads = [self._incoming.take(each) for each in frames]
        messages = [unpickling.loads(each) for each in payloads if each is not None]
        self._write()
        return messages

    def flush(self) -> None:
        """Offer the kernel what waits, and tell the other side what has arrived.

        Raises:
            LineEndedError: The line is over.
        """
        self._write()
        # Only what nothing else has told: most messages are answered at once.
        if self.is_open and self._told < self._incoming.arrived and not self._waiting:
            self._told = self._incoming.arrived
            self._waiting += self._handshake.seal(receipt(self._told))
            self._write()

    def _write(self) -> None:
        self._waiting += self._handshake.outgoing
        self._handshake.outgoing = b""
        try:
            while self._fill():
                del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            return
        except OSError as error:
            raise LineEndedError(str(error)) from error

    def _fill(self) -> bool:
        while self.is_open and len(self._waiting) < _AHEAD:
            frame = self._outgoing.next_frame(self._incoming.arrived)
            if frame is None:
                break
            self._told = self._incoming.arrived
            self._waiting += self._handshake.seal(frame)
        return bool(self._waiting)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class GateListener:
    """Where other machines dial in."""

    def __init__(self, host: str, port: int, key: bytes, limit_s: float) -> None:
        family = _family(host)
        self._key = key
        self._limit_s = limit_s
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(64)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)  # noqa: FBT003
        forks.keep_open(self._socket)

    @property
    def fd(self) -> int:
        """The descriptor to watch."""
        return self._socket.fileno()

    def accept(self) -> Line | None:
        """Take a call, if there is one."""
        with contextlib.suppress(OSError):
            connection, address = self._socket.accept()
            _prepare(connection, self._limit_s)
            nonce = secrets.token_bytes(32)
            handshake = Handshake(self._key, nonce, dials=False)
            return Line(connection, handshake, f"{address[0]}:{address[1]}")
        return None


def dial(host: str, port: int, key: bytes, limit_s: float) -> Line:
    """Call another machine; the line opens later, or ends.

    Raises:
        LineEndedError: It cannot be called.
    """
    connection = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        _prepare(connection, limit_s)
        connection.connect((host, port))
    except BlockingIOError:
        pass
    except OSError as error:
        connection.close()
        raise LineEndedError(str(error)) from error
    handshake = Handshake(key, secrets.token_bytes(32), dials=True)
    return Line(connection, handshake, f"{host}:{port}")


def resolve(host: str) -> str:
    """The address of a machine.

    Raises:
        OSError: It has none.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _prepare(connection: socket.socket, limit_s: float) -> None:
    connection.setblocking(False)  # noqa: FBT003
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _AHEAD)
    # What is sent and not acknowledged for so long ends the connection, where
    # the kernel would try for a quarter of an hour.
    timeout_ms = int(limit_s * 1000)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
