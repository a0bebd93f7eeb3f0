"""Who listens at a port that was to be ours, for a person.

Source: proc(5), /proc/net/tcp; 0A is TCP_LISTEN.
"""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from typing import TYPE_CHECKING

from actors.host.descendants import running
from actors.host.file_lock import described

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTENS = "0A"


def with_holder(error: OSError, port: int) -> str:
    """What an error of a bind says, and who has the port, where that can be seen."""
    problem = error.strerror or str(error)
    if error.errno != errno.EADDRINUSE:
        return problem
    for inode, user in _listeners(port):
        pid = next((pid for pid in sorted(running()) if _has(pid, inode)), None)
        by = f"user {_name(user)}" if pid is None else described(pid)
        return f"{problem} ({by})"
    return problem


def _listeners(port: int) -> Iterator[tuple[str, int]]:
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, address, _, state, _, _, _, user, _, inode, *_ = line.split()
                if state == _LISTENS and int(address.rpartition(":")[2], 16) == port:
                    yield inode, int(user)


def _has(pid: int, inode: str) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        for path in Path(f"/proc/{pid}/fd").iterdir():
            if str(path.readlink()) == f"socket:[{inode}]":
                return True
    return False


def _name(user: int) -> str:
    import pwd  # noqa: PLC0415 - not on Windows

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
