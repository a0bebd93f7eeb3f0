"""Lines between machines: TCP connections that never block.

What is not taken at once by the kernel waits here, and is offered again when
``flush`` is called. Messages travel as on one machine: pickled, signed, and made
from admitted classes only.
"""

from __future__ import annotations

import contextlib
import pickle
import secrets
import socket
from dataclasses import dataclass, field
from typing import Any

from actors.cluster.handshake import Handshake
from actors.host import forks, unpickling
from actors.host.frames import MAX_FRAME

#: Bytes that may wait for a line that takes none; then it is given up.
MAX_WAITING = 16 << 20
#: How soon to offer again what the kernel did not take, in seconds.
FLUSH_S = 0.02
_CHUNK = 1 << 16


class LineEndedError(Exception):
    """The line is over; the text says why."""


@dataclass(slots=True, eq=False)
class Line:
    """One connection, seen from one end."""

    _socket: socket.socket
    _handshake: Handshake
    about: str
    _waiting: bytearray = field(default_factory=bytearray)
    _unsealed: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Keep it from what a user's code forks."""
        forks.keep_open(self._socket)

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
        return bool(self._waiting or self._handshake.outgoing)

    def send(self, message: Any) -> None:
        """Send a message, when the line is open.

        Raises:
            LineEndedError: It is over, or the message cannot be sent.
        """
        payload = pickle.dumps(message)
        if len(payload) > MAX_FRAME:
            raise LineEndedError(f"a message of {len(payload)} bytes is too long")
        self._unsealed.append(payload)
        self.flush()

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
        messages = [unpickling.loads(each) for each in self._handshake.feed(received)]
        self.flush()
        return messages

    def flush(self) -> None:
        """Offer the kernel what waits.

        Raises:
            LineEndedError: The line is over.
        """
        self._waiting += self._handshake.outgoing
        self._handshake.outgoing = b""
        if self.is_open:
            for payload in self._unsealed:
                self._waiting += self._handshake.seal(payload)
            self._unsealed.clear()
        if len(self._waiting) + sum(map(len, self._unsealed)) > MAX_WAITING:
            raise LineEndedError("the other side does not read")
        try:
            while self._waiting:
                del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            return
        except OSError as error:
            raise LineEndedError(str(error)) from error

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
    # What is sent and not acknowledged for so long ends the connection, where
    # the kernel would try for a quarter of an hour.
    timeout_ms = int(limit_s * 1000)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
