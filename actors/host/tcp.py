"""Connections to other machines: names resolved, sockets that never block."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, NamedTuple, Protocol

from actors.host import forks
from actors.host.listening import with_holder

#: Bytes that the kernel takes beyond what it has sent: what it has can be overtaken
#: by nothing.
AHEAD = 1 << 14

_TCP_RTO_MAX_MS = 44  # Python has no name for it
_RETRY_MS = 3000


class Endpoint(NamedTuple):
    """One address of a machine, as the kernel wants it."""

    family: int
    address: tuple[Any, ...]

    def __str__(self) -> str:
        host, port = self.address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Connection(Protocol):
    """What is used of a connected socket."""

    def fileno(self) -> int:
        """The descriptor to watch."""

    def send(self, data: bytes | bytearray, /) -> int:
        """Take some of it, at once; ``BlockingIOError`` where that is none."""

    def recv(self, size: int, /) -> bytes:
        """What has arrived; ``BlockingIOError`` where that is nothing."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """Set one of its options."""

    def close(self) -> None:
        """Hang up."""


class Listener(Protocol):
    """What is used of a listening socket."""

    def fileno(self) -> int:
        """The descriptor to watch."""

    def accept(self) -> tuple[Connection, Any]:
        """The next who called, and from where; ``BlockingIOError`` for nobody."""


def endpoints(host: str, port: int) -> list[Endpoint]:
    """Every address that a name has now, in the order of the resolver; may block.

    Raises:
        OSError: It has none, or nobody can say.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(Endpoint(int(each[0]), each[4]) for each in found))


def is_address(host: str) -> bool:
    """Whether a host is an address itself, which nothing has to resolve."""
    with contextlib.suppress(OSError):
        flags = socket.AI_NUMERICHOST
        return bool(socket.getaddrinfo(host, None, flags=flags))
    return False


def connect(endpoint: Endpoint) -> socket.socket:
    """Begin to connect; whether that works is seen when it is used.

    Raises:
        OSError: It does not.
    """
    connection = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        _prepare(connection)
        connection.connect(endpoint.address)
    except BlockingIOError:
        pass
    except OSError:
        connection.close()
        raise
    return connection


def listen(host: str, port: int) -> list[Listener]:
    """Listen at every address that a name has here.

    Raises:
        OSError: None can be listened at.
    """
    listeners: list[Listener] = []
    problem = OSError(f"{host} has no address")
    for endpoint in endpoints(host, port):
        try:
            listeners.append(_Listener(endpoint))
        except OSError as error:
            problem = OSError(error.errno, with_holder(error, port))
    if not listeners:
        raise problem
    return listeners


def give_up_after(connection: Connection, limit_s: float) -> None:
    """End it when what was sent is not acknowledged for so long.

    The kernel by itself would try for a quarter of an hour.
    """
    timeout_ms = int(limit_s * 1000)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
    # A line that was cut for long is tried again within seconds of its return. Kernels
    # before 6.15 wait as long again as the cut has taken.
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, _RETRY_MS)


class _Listener:
    def __init__(self, endpoint: Endpoint) -> None:
        self._socket = socket.socket(endpoint.family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(endpoint.address)
            self._socket.listen(64)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)  # noqa: FBT003
        forks.keep_open(self._socket)

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> tuple[Connection, Any]:
        connection, address = self._socket.accept()
        _prepare(connection)
        return connection, Endpoint(self._socket.family, address)


def _prepare(connection: socket.socket) -> None:
    connection.setblocking(False)  # noqa: FBT003
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, AHEAD)
    forks.keep_open(connection)
