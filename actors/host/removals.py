"""When to look whether a file of ours is still where others look for it.

What is removed from a directory, the kernel tells (inotify(7)), where it does: then
nobody looks again and again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.host import forks
from actors.host.linux import libc

if TYPE_CHECKING:
    from pathlib import Path

#: How often to look, in seconds: who has no word of removals always, others where they
#: are awake for something else.
LOOK_S = 5.0
#: How often to look where nothing was told. Of a directory further up nothing is.
LOOK_ANYWAY_S = 60.0
#: How long after a removal, in seconds: what removes a directory with all that is in
#: it is to come to its end first.
SETTLE_S = 1.0

#: An entry was moved away, replaced, or removed; the directory was removed, or moved.
_CHANGES = 0x40 | 0x80 | 0x200 | 0x400 | 0x800
_DIRECTORY_ONLY = 0x01000000
#: Bytes of events that are read at once; one takes 272 at most.
_READ = 4096


class Removals:
    """Says when to look after a file in one directory.

    Attributes:
        fd: Can be read once something was removed; below 0 where nothing tells.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.fd = -1
        self._look_at = 0.0
        self._at_the_latest = 0.0
        self._is_told = False

    def due(self, now: float) -> bool:
        """Whether to look now; to be asked whenever one is awake.

        From then on it is told what is removed: watch first, then look.
        """
        if now < self._look_at:
            return False
        self._watch()
        self._is_told = False
        self._look_at = now + LOOK_S
        self._at_the_latest = now + (LOOK_S if self.fd < 0 else LOOK_ANYWAY_S)
        return True

    def next_look(self) -> float:
        """When to be awake for a look, in monotonic seconds."""
        return self._at_the_latest

    def told(self, now: float) -> None:
        """Take the word that something was removed."""
        with suppress(OSError):
            while os.read(self.fd, _READ):
                pass
        if not self._is_told:  # else what goes on and on would put it off for ever
            self._is_told = True
            self._look_at = self._at_the_latest = now + SETTLE_S

    def close(self) -> None:
        """Watch no longer."""
        if self.fd >= 0:
            forks.give_up(self.fd)
            os.close(self.fd)
            self.fd = -1

    def _watch(self) -> None:
        # What has this path now: it may be another directory.
        if self.fd < 0:
            self.fd = _opened()
        path, mask = os.fsencode(self._directory), _CHANGES | _DIRECTORY_ONLY
        if self.fd >= 0 and libc().inotify_add_watch(self.fd, path, mask) < 0:
            self.close()


def _opened() -> int:
    # All that a user may have may be taken, and not every system has them.
    try:
        fd: int = libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    except AttributeError:
        return -1
    return forks.keep(fd) if fd >= 0 else -1
