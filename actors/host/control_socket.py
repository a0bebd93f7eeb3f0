"""The control socket: how another terminal speaks to a running system.

A Unix socket in the state directory, which only its owner may enter. A request
is one JSON object on one line, and so is the answer; then the connection ends.

The main process gives its orders over a socket that has no name: a file may be
removed while the system runs, and whoever stops it is to be heard all the same.
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

from actors.host import forks
from actors.host.redaction import redact
from actors.host.removals import Removals
from actors.host.state_dir import StateDirError, make_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: Bytes; a request above it is refused. The largest state is a quarter of it.
MAX_REQUEST = 1 << 18


class ControlError(Exception):
    """The running system could not be asked."""


class NotRunningError(ControlError):
    """No system answers at this port."""


class NoAnswerError(ControlError):
    """The system is there and did not answer in time."""


class NoProcError(ControlError):
    """Linux's own view of its processes is not to be seen here."""


@dataclass(slots=True, eq=False)
class Request:
    """One command, to be answered once."""

    command: dict[str, Any]
    _connection: socket.socket | None = None

    def answer(self, answer: Mapping[str, Any]) -> None:
        """Send the answer; one who has hung up goes without, as does an order."""
        if self._connection is None:
            return
        with contextlib.suppress(OSError), self._connection:
            self._connection.settimeout(1.0)
            line = redact(json.dumps(answer, default=str))
            self._connection.sendall(line.encode() + b"\n")


class Orders:
    """The main process's end of its own line to the root.

    It is made before any other process, all of which inherit the root's end. What
    one root has not read, the next one does.
    """

    def __init__(self) -> None:
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._here, self._there = pair
        for each in pair:
            each.setblocking(False)  # noqa: FBT003
            forks.keep_open(each)

    @property
    def fd(self) -> int:
        """The root's end."""
        return self._there.fileno()

    def send(self, command: dict[str, Any]) -> None:
        """Send a command; there is no answer.

        Raises:
            NoAnswerError: The root takes in no more commands now.
        """
        try:
            self._here.send(json.dumps(command).encode())
        except OSError as error:
            raise NoAnswerError("the root takes in no more orders") from error

    def close(self) -> None:
        """Close both ends."""
        self._here.close()
        self._there.close()


@dataclass(slots=True)
class ControlServer:
    """The listening side; the owner watches the descriptors.

    Attributes:
        path: Where others find it.
        orders: Descriptor of the root's end of ``Orders``; below 0 for none.
        problem: Why nobody can reach it by its path; None while that works.
    """

    path: Path
    orders: int = -1
    problem: str | None = None
    _listener: socket.socket | None = None
    _inode: int = 0
    # The state directory may lie where old files are removed.
    _removals: Removals = field(init=False)
    _partial: dict[int, tuple[socket.socket, bytearray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._removals = Removals(self.path.parent)

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors to watch now."""
        orders = () if self.orders < 0 else (self.orders,)
        listener = () if self._listener is None else (self._listener.fileno(),)
        removals = () if self._removals.fd < 0 else (self._removals.fd,)
        return (*orders, *listener, *removals, *self._partial)

    def tick(self, now: float) -> None:
        """Listen where others look, if that is not so; the descriptors may change."""
        if not self._removals.due(now):
            return
        if self._listener is not None and _inode_of(self.path) == self._inode:
            return
        try:
            self._listen()
        except (OSError, ControlError, StateDirError) as error:
            self.problem = f"no control socket at {self.path}: {error}"
        else:
            self.problem = None

    def next_tick(self) -> float | None:
        """When to look again, in monotonic seconds."""
        return self._removals.next_look()

    def _listen(self) -> None:
        # In place of one who listened here before.
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        make_private(self.path.parent)
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _reachable(self.path) as address:
                listener.bind(address)
            self.path.chmod(0o600)
            listener.listen(16)
        except BaseException:
            listener.close()
            raise
        listener.setblocking(False)  # noqa: FBT003
        forks.keep_open(listener)
        self._listener, self._inode = listener, _inode_of(self.path)

    def ready(self, fd: int) -> Request | None:
        """Read from a descriptor; returns a request once it is whole."""
        if fd == self.orders:
            return self._order()
        if fd == self._removals.fd:
            self._removals.told(time.monotonic())
            return None
        if self._listener is not None and fd == self._listener.fileno():
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                connection.setblocking(False)  # noqa: FBT003
                forks.keep_open(connection)
                self._partial[connection.fileno()] = (connection, bytearray())
            return None
        return self._read(fd) if fd in self._partial else None

    def _order(self) -> Request | None:
        try:
            order = os.read(self.orders, MAX_REQUEST)
        except BlockingIOError:
            return None
        if not order:  # the main process is gone, and all is about to be
            self.orders = -1
            return None
        return Request(json.loads(order))

    def close(self) -> None:
        """Listen no longer."""
        self._removals.close()
        if self._listener is not None:
            self._listener.close()
        with contextlib.suppress(OSError):
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


_ENDED = "the system ended, or its root was replaced, before it answered"


def ask(path: Path, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send a command to the system that listens at ``path``, and wait.

    Raises:
        NotRunningError: Nobody listens there.
        NoAnswerError: There was no answer within ``timeout_s`` seconds, or the system
            ended before there was one.
    """
    with _connect(path, timeout_s) as connection:
        try:
            connection.sendall(json.dumps(command).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
        except TimeoutError as error:
            raise NoAnswerError(f"no answer within {timeout_s:g} s") from error
        except OSError as error:
            raise NoAnswerError(_ENDED) from error
    if not line.endswith(b"\n"):
        raise NoAnswerError(_ENDED)
    answer: dict[str, Any] = json.loads(line)
    return answer


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


def check_proc() -> None:
    """Make sure that ``/proc`` is there.

    Raises:
        NoProcError: It is not, as in a bare chroot.
    """
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - no object for a look
        raise NoProcError("/proc is not mounted, and lowtide needs it")


def _inode_of(path: Path) -> int:
    try:
        return path.lstat().st_ino
    except OSError:
        return 0


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    # An address is at most 107 bytes long (unix(7)); the directory's descriptor
    # makes any path short.
    check_proc()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
