"""Who holds a lock on a file.

A lock of flock(2) belongs to the open file, which every fork has as well. The kernel
tells only who took it (/proc/locks), and that one may be gone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from actors.host.descendants import running


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
