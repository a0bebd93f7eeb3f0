"""The control socket: how another terminal speaks to a running system.

A Unix socket in the state directory, which only its owner may enter. A request
is one JSON object on one line, and so is the answer; then the connection ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.runtime.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Bytes; a request above it is refused. The largest state is a quarter of it.
MAX_REQUEST = 1 << 18


class ControlError(Exception):
    """The running system could not be asked."""


class NotRunningError(ControlError):
    """No system answers at this port."""


class NoAnswerError(ControlError):
    """The system is there and did not answer in time."""


@dataclass(slots=True, eq=False)
class Request:
    """One command, to be answered once."""

    command: dict[str, Any]
    _connection: socket.socket

    def answer(self, answer: dict[str, Any]) -> None:
        """Send the answer; one who has hung up goes without."""
        with contextlib.suppress(OSError), self._connection:
            self._connection.settimeout(1.0)
            line = redact(json.dumps(answer, default=str))
            self._connection.sendall(line.encode() + b"\n")


@dataclass(slots=True)
class ControlServer:
    """The listening side; the owner watches the descriptors."""

    path: Path
    _listener: socket.socket = field(init=False)
    _partial: dict[int, tuple[socket.socket, bytearray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Listen, in place of one who listened here before."""
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _reachable(self.path) as address:
            self._listener.bind(address)
        self.path.chmod(0o600)
        self._listener.listen(16)
        self._listener.setblocking(False)  # noqa: FBT003

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors to watch now."""
        return (self._listener.fileno(), *self._partial)

    def ready(self, fd: int) -> Request | None:
        """Read from a descriptor; returns a request once it is whole."""
        if fd == self._listener.fileno():
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                connection.setblocking(False)  # noqa: FBT003
                self._partial[connection.fileno()] = (connection, bytearray())
            return None
        return self._read(fd)

    def close(self) -> None:
        """Listen no longer."""
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _read(self, fd: int) -> Request | None:
        connection, received = self._partial[fd]
        try:
            chunk = connection.recv(MAX_REQUEST)
        except BlockingIOError:
            return None
        except OSError:
            chunk = b""
        received += chunk
        if chunk and b"\n" not in received and len(received) < MAX_REQUEST:
            return None
        del self._partial[fd]
        return _parse(connection, bytes(received))


def _parse(connection: socket.socket, received: bytes) -> Request | None:
    request = Request({}, connection)
    if not received:
        connection.close()
        return None
    try:
        command = json.loads(received)
    except ValueError:
        command = None
    if not isinstance(command, dict):
        request.answer({"error": "expected one JSON object on one line"})
        return None
    request.command = command
    return request


def ask(path: Path, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send a command to the system that listens at ``path``, and wait.

    Raises:
        NotRunningError: Nobody listens there.
        NoAnswerError: There was no answer within ``timeout_s`` seconds.
    """
    with _connect(path, timeout_s) as connection:
        try:
            connection.sendall(json.dumps(command).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
        except OSError as error:
            raise NoAnswerError(f"no answer within {timeout_s:g} s") from error
    if not line.endswith(b"\n"):
        raise NoAnswerError("the system ended before it answered")
    answer: dict[str, Any] = json.loads(line)
    return answer


def send(path: Path, command: dict[str, Any]) -> None:
    """Send a command, and do not wait for the answer.

    Raises:
        NotRunningError: Nobody listens there.
        NoAnswerError: It takes in no more commands now.
    """
    with _connect(path, 1.0) as connection:
        connection.sendall(json.dumps(command).encode() + b"\n")


def _connect(path: Path, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    deadline = time.monotonic() + timeout_s
    try:
        # Here a blocking connect waits, up to SO_SNDTIMEO, for a place in the
        # queue of one who hangs; without blocking it would fail at once.
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *_split(timeout_s))
        )
        with _reachable(path) as address:
            connection.connect(address)
    except BlockingIOError as error:
        connection.close()
        raise NoAnswerError(f"no answer within {timeout_s:g} s") from error
    except OSError as error:
        connection.close()
        raise NotRunningError(str(error)) from error
    connection.settimeout(max(0.1, deadline - time.monotonic()))
    return connection


def _split(seconds: float) -> tuple[int, int]:
    return int(seconds), int(seconds % 1 * 1e6)


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    # An address is at most 107 bytes long (unix(7)); the directory's descriptor
    # makes any path short.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
