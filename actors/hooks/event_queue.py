"""The way of events out of a fetcher: written at once, and sent by a thread.

They are written in the mailbox's own thread: the fetcher has one core at the most, and
a second thread that works makes the first wait for it, milliseconds at a time. The one
here only waits for room in the socket. What comes by the thousand is written as rows of
plain values, which takes a tenth of what JSON takes; who reads makes events of them.
"""

from __future__ import annotations

import atexit
import contextlib
import marshal
import socket
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from actors.demand.job_events import JobDone, JobFetched, JobLeased
from actors.hooks.events import JOB_EVENTS, LOST, event_of
from actors.host import forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from actors.demand.job_events import JobEvent

#: Events that wait at a fetcher, and their bytes; what comes beyond that is left out,
#: and counted.
MOST, MOST_BYTES = 10_000, 16 << 20
#: Events in one message.
_TOGETHER = 50
#: The version of marshal's format that looks for nothing that is there twice.
_PLAIN = 2
#: Bytes that the kernel is asked to hold.
_BUFFER = 4 << 20
#: Bytes of a message; a longer event goes without its job and result.
_LONGEST = 100_000
#: How long the end of a process may take for what waits still, in seconds.
_LAST_S = 1.0

#: What is sent of an event: the values of one that comes often, or all of it.
Row: TypeAlias = "tuple[Any, ...] | dict[str, Any]"

_writer: socket.socket | None = None


def open_way(wanted: Iterable[str]) -> socket.socket:
    """Make the way to the process of hooks, before any other process is started.

    Returns:
        The end to read from.
    """
    global _writer, _wanted  # noqa: PLW0603 - what is forked from here finds it
    reader, _writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The reader is for a program of ours; stages take it from what they fork.
    forks.keep(_writer.fileno())
    _writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    _wanted = frozenset(wanted)
    return reader


_wanted: frozenset[str] = frozenset()


def close_way() -> None:
    """Close this process's end; the reader's ends with the last."""
    global _writer  # noqa: PLW0603
    if _writer is not None:
        forks.give_up(_writer.fileno())
        _writer.close()
    _writer = None


def tell(event: dict[str, Any]) -> None:
    """Send one event from here, if there is room at once."""
    if _writer is not None and event["event"] in _wanted:
        with contextlib.suppress(OSError):
            _writer.send(_written({}, [event]), socket.MSG_DONTWAIT)


def event_queue_of(fetcher: str, wall: Callable[[], float]) -> EventQueue | None:
    """A fetcher's; None where nobody wants to hear of a job."""
    if _writer is None or _wanted.isdisjoint(JOB_EVENTS):
        return None
    return EventQueue(_writer, fetcher, _wanted, wall)


class Message(NamedTuple):
    """Events as bytes, and how many there are."""

    content: bytes
    events: int


class EventQueue:
    """Takes events from the mailbox at once, and sends them from a thread."""

    def __init__(
        self,
        way: socket.socket,
        fetcher: str,
        wanted: Iterable[str],
        wall: Callable[[], float],
    ) -> None:
        self._way = way
        self._fetcher = fetcher
        self._kinds = {JOB_EVENTS[name] for name in wanted if name in JOB_EVENTS}
        self._wall = wall
        self._queue: SimpleQueue[Message | None] = SimpleQueue()
        # Each is counted up by one thread only: the mailbox's, and the sender's.
        self._lost = self._taken = self._taken_bytes = 0
        self._told_lost = self._sent = self._sent_bytes = 0
        self._thread: threading.Thread | None = None

    def note(self, events: Iterable[JobEvent]) -> None:
        """Take what was kept; it never blocks, nor raises."""
        kinds = self._kinds
        wanted = [each for each in events if type(each) in kinds]
        for begin in range(0, len(wanted), _TOGETHER):
            self._take(wanted[begin : begin + _TOGETHER])

    def _take(self, events: list[Any]) -> None:
        size = sum([event.job.size for event in events])
        if (
            self._taken - self._sent >= MOST
            or self._taken_bytes - self._sent_bytes >= MOST_BYTES
        ):
            self._lost += len(events)
            return
        about = {"at": self._wall(), "fetcher": self._fetcher}
        rows = [_ROWS.get(type(event), _odd_row)(event) for event in events]
        self._put(about, rows, size)

    def close(self) -> None:
        """Send what waits still, as far as that is possible soon."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(_LAST_S)

    def _put(self, about: dict[str, Any], rows: list[Row], size: int) -> None:
        # Together only what is short together: long jobs are not put together twice.
        is_short = len(rows) == 1 or size <= _LONGEST
        content = _written(about, rows) if is_short else b""
        if not 0 < len(content) <= _LONGEST:
            if len(rows) > 1:
                for row in rows:
                    self._put(about, [row], 0)
                return
            content = _written(about, [*map(_short, rows)])
        self._taken += len(rows)
        self._taken_bytes += len(content)
        self._queue.put(Message(content, len(rows)))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # nobody is there, nor will be
            while (message := self._queue.get()) is not None:
                self._way.send(message.content)
                self._sent += message.events
                self._sent_bytes += len(message.content)
                if lost := self._lost - self._told_lost:
                    self._told_lost += lost
                    about = {"at": time.time(), "fetcher": self._fetcher}
                    told = {"event": LOST, "count": lost}
                    self._way.send(_written(about, [told]))


def _fetched_row(event: Any) -> Row:
    job = event.job
    return ("fetched", job.key, job.id, job.payload, job.attempt)


def _leased_row(event: Any) -> Row:
    job, by = event
    return ("leased", job.key, job.id, job.payload, job.attempt, by.name, by.pid)


def _done_row(event: Any) -> Row:
    job, attempt, by, *end = event
    return ("done", job.key, job.id, job.payload, attempt, by.name, by.pid, *end)


def _odd_row(event: Any) -> Row:
    told = event_of("", event, 0.0) or {}
    del told["fetcher"], told["at"]  # it comes with all of a message
    return told | {"attempt": event.job.attempt}


_ROWS = {JobFetched: _fetched_row, JobLeased: _leased_row, JobDone: _done_row}
_NAMES = (
    *("event", "key", "job_id", "job", "attempt"),
    *("processor", "pid", "result", "duration_s"),
)


def _written(about: dict[str, Any], rows: list[Row]) -> bytes:
    try:
        return marshal.dumps((about, rows), _PLAIN)
    except ValueError:  # a job is nested deeper than that can be
        return b""


def read(message: bytes) -> Iterator[dict[str, Any]]:
    """The events of a message, as hooks get them."""
    about, rows = marshal.loads(message)  # noqa: S302 - of a process of ours
    for row in rows:
        yield about | _named(row)


def _named(row: Row) -> dict[str, Any]:
    return row if isinstance(row, dict) else dict(zip(_NAMES, row, strict=False))


def _short(row: Row) -> dict[str, Any]:
    event = _named(row)
    cut = {key: None for key in ("job", "result", "trace") if key in event}
    error = str(event.get("error") or "")[:1000] or None
    return event | cut | {"too_long": True} | ({"error": error} if error else {})
