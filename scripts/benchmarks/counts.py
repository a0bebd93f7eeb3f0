"""Jobs that were done, counted by the processes that do them, at next to no cost.

Each process has a file of its own in ``BENCH_COUNTS``, mapped into its memory.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from pathlib import Path

_COUNT = struct.Struct("<q")


class Counter:
    """This process's count."""

    def __init__(self, directory: Path) -> None:
        self._pid = os.getpid()
        path = directory / str(self._pid)
        path.write_bytes(_COUNT.pack(0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _COUNT.size)
        self._count = 0

    @property
    def is_ours(self) -> bool:
        """False in a process that was forked after it was made."""
        return self._pid == os.getpid()

    def add(self, count: int) -> None:
        """So many more."""
        self._count += count
        _COUNT.pack_into(self._memory, 0, self._count)


_counter: Counter | None = None
#: Of two threads that make the file, one would cut it under the other.
_lock = threading.Lock()


def add(count: int = 1) -> None:
    """So many more jobs are done in this process."""
    global _counter  # noqa: PLW0603 - one for each process
    with _lock:
        if _counter is None or not _counter.is_ours:
            _counter = Counter(Path(os.environ["BENCH_COUNTS"]))
        _counter.add(count)


def total(directory: Path) -> int:
    """How many are done by all processes."""
    found = (path.read_bytes() for path in directory.iterdir())
    return sum(_COUNT.unpack(each)[0] for each in found if len(each) == _COUNT.size)
