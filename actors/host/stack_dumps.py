"""Where every process of a system stands, written to a file on SIGUSR1.

The interpreter itself writes the stacks (``faulthandler``), so that a process
which hangs in a lock or in a library's C code is seen as well. All processes
share one file, opened before the first of them was started.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from pathlib import Path

from actors.host import forks

#: How long a process may take to write its stacks, in seconds.
WITHIN_S = 1.0

_fd: int | None = None


def prepare(path: Path) -> None:
    """Open the file; to be called before any other process is started."""
    global _fd  # noqa: PLW0603 - as the log pipe: one for all processes
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC
    _fd = forks.keep(os.open(path, flags, 0o600))


def register() -> None:
    """Have SIGUSR1 write this process's stacks to the file."""
    if _fd is not None:
        # A forked process believes itself registered as its parent was, while
        # Thespian has put a handler of its own in place since.
        faulthandler.unregister(signal.SIGUSR1)
        faulthandler.register(signal.SIGUSR1, _fd, all_threads=True, chain=False)


def write(text: str) -> None:
    """Add a text to the file."""
    if _fd is not None:
        os.write(_fd, text.encode())


def start_anew() -> None:
    """Empty the file."""
    if _fd is not None:
        os.ftruncate(_fd, 0)


def write_own_stacks() -> None:
    """Add the stacks of this process."""
    if _fd is not None:
        faulthandler.dump_traceback(_fd, all_threads=True)


def write_stacks(pid: int) -> bool:
    """Have a process that has called ``register`` add its stacks.

    Returns:
        Whether it did, in time. One that is stopped does so once it goes on.
    """
    before = _size()
    try:
        os.kill(pid, signal.SIGUSR1)
    except ProcessLookupError:
        return False
    end = time.monotonic() + WITHIN_S
    seen = before
    while time.monotonic() < end:
        time.sleep(0.01)
        if (size := _size()) == seen > before:
            return True
        seen = size
    return seen > before


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = path.read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(path.parent.name))
    return sorted(found)


def _size() -> int:
    return 0 if _fd is None else os.fstat(_fd).st_size
