"""A function called in a process of its own, for what it may do to its process."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.host import linux

if TYPE_CHECKING:
    from collections.abc import Callable


class Call:
    """A function that is being called in a process of its own."""

    def __init__(self, function: Callable[[], str], within_s: float) -> None:
        """Begin the call.

        Args:
            function: Whatever it starts, ends or leaves behind, it does so there.
            within_s: After this many seconds that process is killed.

        Raises:
            OSError: No process more is allowed, or there is no memory for one.
        """
        self.ends_at = time.monotonic() + within_s
        self._said = b""
        self._reader, writer = os.pipe()
        parent = os.getpid()
        try:
            child = os.fork()
        except OSError:
            os.close(self._reader)
            os.close(writer)
            raise
        if child == 0:
            with suppress(BaseException):
                linux.die_with_parent(parent)
                answer = function()
                with open(writer, "w") as file:  # noqa: PTH123 - a descriptor
                    file.write(answer)
            os._exit(0)
        os.close(writer)
        self._child = child
        self._ended = os.pidfd_open(child)
        self.fds = [self._reader, self._ended]

    def wait(self, within_s: float) -> str | None:
        """Wait for its end; to be called until there is an answer, or ``close``.

        Returns:
            What the function returned; empty if it raised, ended its process, or was
            killed; None if it goes on.
        """
        end = time.monotonic() + within_s
        # Until it ends, not until the pipe does: what it left may hold that open.
        while True:
            now = time.monotonic()
            left = max(0.0, min(end, self.ends_at) - now)
            ready, _, _ = select.select(self.fds, [], [], left)
            if self._reader in ready:
                more = os.read(self._reader, 1 << 16)
                self._said += more
                if not more:
                    self.fds = [self._ended]
            elif ready:
                said = self._said
                self.close()
                return said.decode()
            elif time.monotonic() >= self.ends_at:
                self.close()
                return ""
            elif time.monotonic() >= end:
                return None

    def close(self) -> None:
        """End it, if it goes on."""
        if self._child:
            linux.kill(self._child)
            os.waitpid(self._child, 0)
            os.close(self._reader)
            os.close(self._ended)
        self._child, self.fds = 0, []
