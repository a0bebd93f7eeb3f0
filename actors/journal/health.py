"""Whether a journal can be written, as far as another process can see."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes; a disk with less is full in a moment.
LEAST_FREE = 1 << 20


def journal_problem(path: Path) -> str | None:
    """What will keep its fetchers from writing; None where nothing is seen.

    A fetcher notices by itself when a commit fails; a quiet one may have none for
    hours. Where the file was moved away, commits go on and are lost.
    """
    try:
        path.stat()
        disk = os.statvfs(path)
    except OSError as error:
        return f"the journal {path} is gone: {error.strerror}"
    if disk.f_bavail * disk.f_frsize < LEAST_FREE:
        return f"the disk of the journal {path} is full"
    if not os.access(path, os.W_OK):
        return f"the journal {path} may not be written"
    return None
