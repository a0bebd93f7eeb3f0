"""Locks on files: held until the last process is gone that has inherited the file."""

from __future__ import annotations

import fcntl
import time
from typing import IO

#: How long the processes of a killed system may take to be gone, in seconds: one
#: that syncs to a busy disk ends after that.
GONE_WITHIN_S = 2.0


def take(file: IO[str]) -> bool:
    """Lock a file; whoever is on its way out is waited for.

    Returns:
        Whether it was locked; if not, somebody holds it still.
    """
    deadline = time.monotonic() + GONE_WITHIN_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True
