"""The directory that holds a system's sockets, and who may connect to them.

The kernel closes it twice over: only its owner may enter the directory, and each
end of a connection is told whose process the other one is, before a byte is read.
A name in it is given once and never again, so what was meant for a process that
has died reaches nobody.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

#: Bytes that an address may have; unix(7), ``sun_path`` without its last zero.
MAX_ADDRESS = 107
#: Characters of the longest name.
MAX_NAME = 40
#: Connections that may wait to be accepted; the kernel's own limit is often lower.
_BACKLOG = 4096
#: pid, uid and gid of the other side; unix(7), SO_PEERCRED.
_CREDENTIALS = struct.Struct("3i")
_SELF = "/proc/self/fd"
#: Users whose processes may always connect: root could do anything anyway.
_ALWAYS = frozenset({0})


class DirectoryError(OSError):
    """There is no place for the sockets."""


def new_name(what: str) -> str:
    """A name that no socket has had before; ``what`` is for people."""
    return f"{what[: MAX_NAME - 17]}-{secrets.token_hex(8)}"


@dataclass(slots=True)
class Directory:
    """Where the processes of one system listen.

    Attributes:
        fd: A descriptor of it, which every process of the system inherits.
    """

    path: Path
    fd: int

    def listen(self, name: str) -> socket.socket:
        """Listen under a name.

        Raises:
            OSError: It cannot be done.
        """
        listener = _socket()
        try:
            listener.bind(self._address(name))
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

    def dial(self, name: str) -> socket.socket:
        """Connect to the process that listens under a name.

        Raises:
            BlockingIOError: It has not accepted those before; try again.
            OSError: It is not there, or it is not ours.
        """
        connection = _socket()
        try:
            connection.connect(self._address(name))
            if not is_ours(connection):
                raise PermissionError(errno.EACCES, "another user listens")
        except OSError:
            connection.close()
            raise
        return connection

    def has(self, name: str) -> bool:
        """Whether the socket of a name is still there to be found."""
        try:
            (self.path / name).stat()
        except OSError:
            # Removed, or behind a directory that was closed to us.
            return False
        return True

    def renew(self) -> None:
        """Make the directory again where somebody has removed it.

        Raises:
            OSError: It cannot be made.
        """
        fd = _opened(self.path)
        os.close(self.fd)
        self.fd = fd

    def forget(self, name: str) -> None:
        """Remove the name of a process that has ended."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.fd)

    def _address(self, name: str) -> bytes:
        address = os.fsencode(self.path / name)
        if len(address) <= MAX_ADDRESS:
            return address
        return os.fsencode(f"{_SELF}/{self.fd}/{name}")


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made.setblocking(False)
    return made


def is_ours(connection: socket.socket) -> bool:
    """Whether a process of this user's, or root's, is at the other end."""
    told = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
    )
    _, uid, _ = _CREDENTIALS.unpack(told)
    return uid == os.geteuid() or uid in _ALWAYS


def make(path: Path) -> Directory:
    """Make the directory, empty; who calls this has claimed its system's number.

    Raises:
        DirectoryError: It cannot be made, or no socket in it could be named.
    """
    remove(path)
    try:
        directory = Directory(path.absolute(), _opened(path))
    except OSError as error:
        raise DirectoryError(
            f"cannot make the directory {path} for sockets: {error.strerror}"
        ) from error
    short = len(os.fsencode(directory.path)) + 1 + MAX_NAME <= MAX_ADDRESS
    if not short and not Path(_SELF, str(directory.fd)).exists():
        raise DirectoryError(
            f"{path} is too long for the names of sockets where there is no /proc; "
            "set LOWTIDE_STATE_DIR to a shorter one"
        )
    return directory


def _opened(path: Path) -> int:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    if os.fstat(fd).st_uid != os.geteuid():
        os.close(fd)
        raise PermissionError(errno.EACCES, "it belongs to somebody else")
    path.chmod(0o700)
    return fd


def remove(path: Path) -> None:
    """Remove the directory of a system that has ended; only sockets go with it."""
    with contextlib.suppress(OSError):
        if path.is_symlink():
            return
        with os.scandir(path) as entries:
            for each in entries:
                if stat.S_ISSOCK(each.stat(follow_symlinks=False).st_mode):
                    Path(each).unlink(missing_ok=True)
        path.rmdir()
