"""Messages to people, over whatever the library apprise speaks to: grouped, and few."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.host import native
from actors.host.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: How long a message waits for others after the first, in seconds.
GATHER_S = 10.0
#: The least time between two messages, in seconds.
BETWEEN_S = 60.0
#: The most that this grows to while no message can be delivered.
AGAIN_S = 3600.0
#: Lines of one message.
LINES = 10
#: Lines that wait; what is unlike all of them is counted as one more.
WAITING = 1000
_log = logging.getLogger(__name__)
_HINT = "notify needs apprise, which is not installed: pip install 'lowtide[notify]'"


@dataclass(slots=True)
class Groups:
    """What is to be told: gathered for a while, then one message, then a pause."""

    _lines: dict[str, int] = field(default_factory=dict)
    _due: float | None = None
    _sent: float = float("-inf")
    _taken: dict[str, int] = field(default_factory=dict)
    _pause_s: float = BETWEEN_S

    def add(self, line: str, now: float) -> None:
        """Add what has happened; the same again is only counted."""
        self._count(line, 1)
        if self._due is None:
            self._due = max(now + GATHER_S, self._sent + self._pause_s)

    def _count(self, line: str, count: int) -> None:
        if line not in self._lines and len(self._lines) >= WAITING:
            line = "other things that went wrong"
        self._lines[line] = self._lines.get(line, 0) + count

    def delivered(self) -> None:
        """What was taken has arrived."""
        self._taken, self._pause_s = {}, BETWEEN_S

    def failed(self) -> float:
        """Tell what was taken once more, after a longer pause each time.

        Returns:
            The pause, in seconds.
        """
        later, self._lines, self._taken = self._lines, self._taken, {}
        for line, count in later.items():
            self._count(line, count)
        self._due = self._sent + self._pause_s
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, AGAIN_S)
        return pause_s

    @property
    def due(self) -> float | None:
        """When a message is to be sent, in monotonic seconds."""
        return self._due

    def take(self, now: float) -> str | None:
        """The message, once it is due."""
        if self._due is None or now < self._due:
            return None
        lines = [
            line if count == 1 else f"{line} ({count} times)"
            for line, count in self._lines.items()
        ]
        if len(lines) > LINES:
            lines[LINES - 1 :] = [f"... and {len(lines) - LINES + 1} more"]
        self._taken, self._lines = self._lines, {}
        self._due, self._sent = None, now
        return "\n".join(lines)


def line_of(event: dict[str, Any]) -> str:
    """What a message says of an event; alike for what is alike."""
    error = " ".join(redact(str(event.get("error") or "")).split())[:200]
    match event["event"]:
        case "quarantined":
            return f"{event['fetcher']}: a job was set aside: {error}"
        case "faulted":
            return f"{event['fetcher']}: its source refuses it: {error}"
        case _:
            return f"{event.get('stage') or event.get('fetcher')} was given up: {error}"


class Notifier:
    """Sends what is due, in a thread of its own: a server may take its time."""

    def __init__(self, send: Callable[[str], object]) -> None:
        self._send = send
        self._groups = Groups()
        self._lock = native.allocate_lock()
        self._changed = native.Signal()
        native.start(self._run, "notify")

    def tell(self, event: dict[str, Any]) -> None:
        """Have a person told of an event."""
        with self._lock:
            self._groups.add(line_of(event), time.monotonic())
        self._changed.give()

    def flush(self) -> None:
        """Send what waits, since this process ends."""
        with self._lock:
            text = self._groups.take(float("inf"))
        if text:
            self._deliver(text)

    def _deliver(self, text: str) -> None:
        try:
            self._send(text)
        except Exception as error:  # noqa: BLE001 - a server's, or a library's
            with self._lock:
                pause_s = self._groups.failed()
            # Of an error nothing more is told: it may have the URL, with a password.
            _log.warning(
                "notify: a message was not delivered (%s); again in %g s",
                type(error).__name__,
                pause_s,
            )
        else:
            with self._lock:
                self._groups.delivered()

    def _run(self) -> None:
        while True:
            with self._lock:
                due = self._groups.due
                now = time.monotonic()
                text = self._groups.take(now)
            if text:
                self._deliver(text)
            elif text is None:
                self._changed.wait(None if due is None else max(0.0, due - now))


#: One for each URL, so that one that fails has no other told twice.
_notifiers: list[Notifier] = []


def configure(urls: Sequence[str]) -> None:
    """Say where messages go, before the first event."""
    _notifiers[:] = [Notifier(sender_to([url])) for url in urls]


def sender_to(urls: Sequence[str]) -> Callable[[str], object]:
    """What sends a message to each of these.

    Raises:
        ValueError: One of them is none of apprise's; it may be a secret, so only its
            beginning is told.
    """
    try:
        import apprise  # noqa: PLC0415 - an extra
    except ImportError:
        raise ValueError(_HINT) from None
    to = apprise.Apprise()
    for url in urls:
        with _unsaid():
            taken = to.add(url)
        if not taken:
            scheme = url.partition(":")[0]
            raise ValueError(f"notify: apprise cannot use a URL like {scheme}:...")

    def send(text: str) -> None:
        if not to.notify(title="lowtide", body=text):
            raise OSError("notify: a message could not be delivered")

    return send


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """Keep apprise from logging the whole of a URL that it cannot use."""
    log = logging.getLogger("apprise")
    was, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was


def tell(event: dict[str, Any]) -> None:
    """The hook: tell a person, if anybody is to be told."""
    for notifier in _notifiers:
        notifier.tell(event)


def flush() -> None:
    """Send what waits, at the end."""
    for notifier in _notifiers:
        notifier.flush()
