"""The hook that hands events on to the program whose callbacks they are for."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from actors.host import native

_way: native.Socket | None = None


def configure(fd: int) -> None:
    """Say over which socket, before the first event."""
    global _way  # noqa: PLW0603
    _way = native.Socket(fileno=fd)


def tell(event: dict[str, Any]) -> None:
    """Send an event on; it waits for a program that reads slowly."""
    if _way is not None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is gone
            _way.send(json.dumps(event).encode())
