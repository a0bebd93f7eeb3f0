"""What a supervisor decides: what is to be done, and news of what has come about.

Its actor carries them out in order. What is done is the same for every root; news
are for others, and each root knows whom they concern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from actors.supervision.children import Child, Fate
    from actors.supervision.messages import ProcessGone


class Start(NamedTuple):
    """Create a process for a child, and send it its first message."""

    child: Child[Any]
    message: Any


class Tell(NamedTuple):
    """Send a message to a child, if it has a process."""

    name: str
    message: Any


class End(NamedTuple):
    """Ask a process to end once it has handled what it was sent."""

    address: Any


class Kill(NamedTuple):
    """End a process at once."""

    pid: int


class Log(NamedTuple):
    """Write a line to the log."""

    level: str
    event: str
    fields: dict[str, Any]


class Fatal(NamedTuple):
    """Tell the main process that there is nothing left to go on with."""

    reason: str


class Unstartable(NamedTuple):
    """Tell the main process that the system cannot be started."""

    error: str


class Ready(NamedTuple):
    """News: a child is ready."""

    child: Child[Any]


class Gone(NamedTuple):
    """News: processors are no more; what becomes of them is the same for all."""

    message: ProcessGone
    fate: Fate


class SourceEnded(NamedTuple):
    """News: a stage that others take from has ended."""

    kind: str
    name: str
    fate: Fate


class Failed(NamedTuple):
    """News: a child is given up, or cannot be started."""

    name: str
    error: str


class Heard(NamedTuple):
    """News: a stage on another machine says this."""

    message: Any


Effect: TypeAlias = (
    Start
    | Tell
    | End
    | Kill
    | Log
    | Fatal
    | Unstartable
    | Ready
    | Gone
    | SourceEnded
    | Failed
    | Heard
)
