"""The program that a main process works for, where it is not somebody at a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.host import native
    from actors.host.state_dir import SystemFiles


@dataclass(frozen=True, slots=True)
class Owner:
    """What a main process tells its owner, and hears of it.

    Attributes:
        started: Called once the system runs.
        fd: Can be read once the owner is gone; below 0 where it is this process.
        events: The socket to its callbacks, if it has some.
    """

    started: Callable[[SystemFiles], None]
    fd: int = -1
    events: native.Socket | None = None
