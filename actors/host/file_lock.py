"""Locks on files: held until the last process is gone that has inherited the file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: How long the processes of a killed system may take to be gone, in seconds: one
#: that syncs to a busy disk ends after that.
GONE_WITHIN_S = 2.0


def opened(path: Path, *, follow: bool = False) -> IO[str]:
    """Open a file to be locked, which only its owner may read, and make it if need be.

    Args:
        path: Where it is.
        follow: Whether it may be a symbolic link: else somebody else's choice of a
            file is refused.

    Raises:
        OSError: It cannot be opened, or made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    file = os.fdopen(os.open(path, flags, 0o600), "r+")
    if not follow:
        # One of an earlier version may be there.
        with contextlib.suppress(OSError):
            os.fchmod(file.fileno(), 0o600)
    return file


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
