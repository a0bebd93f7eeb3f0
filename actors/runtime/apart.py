"""A function called in a process of its own, for what it may do to its process."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.runtime import processes

if TYPE_CHECKING:
    from collections.abc import Callable


def answer_of(function: Callable[[], str], within_s: float) -> str:
    """Call a function in a forked process.

    Args:
        function: Whatever it starts, ends or leaves behind, it does so there.
        within_s: After so many seconds that process is killed.

    Returns:
        What the function returned; empty if it raised, ended its process, or did
        not return in time.

    Raises:
        OSError: No process more is allowed, or there is no memory for one.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    try:
        child = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if child == 0:
        with suppress(BaseException):
            processes.die_with_parent(parent)
            answer = function()
            with open(writer, "w") as file:  # noqa: PTH123 - a descriptor
                file.write(answer)
        os._exit(0)
    os.close(writer)
    try:
        return _said_by(child, reader, within_s).decode()
    finally:
        os.close(reader)
        os.waitpid(child, 0)


def _said_by(child: int, reader: int, within_s: float) -> bytes:
    # Until it ends, not until the pipe does: what it left behind may hold that open.
    said = b""
    end = time.monotonic() + within_s
    ended = os.pidfd_open(child)
    watched = [reader, ended]
    while True:
        left = max(0.0, end - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if reader in ready:
            more = os.read(reader, 1 << 16)
            said += more
            if not more:
                watched = [ended]
        elif ready:
            break
        else:
            processes.kill(child)
            said = b""
            break
    os.close(ended)
    return said
