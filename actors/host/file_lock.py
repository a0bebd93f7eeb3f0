"""Locks on files: held until the last process is gone that has inherited the file.

A lock of flock(2) belongs to the open file, which every fork has as well. The kernel
tells only who took it (/proc/locks), and that one may be gone.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path
from typing import IO

from actors.host.descendants import running

with contextlib.suppress(ModuleNotFoundError):
    # Not on Windows; only a process of ours needs it.
    import fcntl

#: How long the processes of a killed system may take to be gone, in seconds: one
#: that syncs to a busy disk ends after that.
GONE_WITHIN_S = 2.0


class NotOursError(OSError):
    """What is there is a link, no file, or somebody else's; the text says which."""


def opened(path: Path) -> IO[str]:
    """Open a file to be locked, which only its owner may read, and make it if need be.

    Whoever may read a file may lock it, and so keep its owner from it; one of an
    earlier version, or that was made by hand, is closed to others here.

    Args:
        path: Where it is. A symbolic link is somebody's choice of another file.

    Raises:
        NotOursError: It is a symbolic link, no regular file, or somebody else's.
        OSError: It cannot be opened, or made.
    """
    check_ours(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    try:
        status = os.fstat(descriptor)
        _refuse(status)
        if stat.S_IMODE(status.st_mode) & 0o077:
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "r+")
    except BaseException:
        os.close(descriptor)
        raise


def check_ours(path: Path) -> None:
    """Refuse what is there, if it is not a regular file of this user's.

    Raises:
        NotOursError: It is a symbolic link, no regular file, or somebody else's.
    """
    try:
        status = path.lstat()
    except OSError:
        return
    _refuse(status)


def _refuse(status: os.stat_result) -> None:
    if problem := _not_ours(status):
        raise NotOursError(problem)


def _not_ours(status: os.stat_result) -> str | None:
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link: name the file itself"
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if status.st_uid != os.geteuid():
        return f"it belongs to the user with id {status.st_uid}, not to {os.geteuid()}"
    return None


def take(file: IO[str], within_s: float = GONE_WITHIN_S) -> bool:
    """Lock a file; whoever is on its way out is waited for.

    Args:
        file: To be kept open for as long as it is to be locked.
        within_s: How long to wait, in seconds.

    Returns:
        Whether it was locked; if not, somebody holds it still.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def holder_of(file: IO[str]) -> int | None:
    """The process that holds the lock on a file; None if it cannot be seen.

    Where it has passed the lock on to what it forked, it is that one, not those.
    """
    status = os.fstat(file.fileno())
    processes = running()
    holders = {
        pid for pid in processes if _has_locked(pid, status.st_dev, status.st_ino)
    }
    first = (pid for pid in sorted(holders) if processes[pid].parent not in holders)
    return next(first, None)


def described(pid: int) -> str:
    """A process by its pid and its command, for a person."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return f"pid {pid}"
    words = command.decode(errors="replace").replace("\0", " ").strip()
    return f"pid {pid}: {words[:200]}" if words else f"pid {pid}"


def _has_locked(pid: int, device: int, inode: int) -> bool:
    try:
        for path in Path(f"/proc/{pid}/fd").iterdir():
            status = path.stat()
            if (status.st_dev, status.st_ino) == (device, inode) and (
                "FLOCK" in Path(f"/proc/{pid}/fdinfo/{path.name}").read_text()
            ):
                return True
    except OSError:
        return False  # it has ended, or is another user's
    return False
