"""The way of events out of a fetcher: a bounded queue, and a thread that sends."""

from __future__ import annotations

import atexit
import contextlib
import json
import socket
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job_events import JobDone
from actors.hooks.events import JOB_EVENTS, LOST, event_of
from actors.host import forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actors.demand.job_events import JobEvent

#: Events that wait at a fetcher, and the bytes of their jobs; what comes beyond that is
#: left out, and counted.
MOST, MOST_BYTES = 10_000, 16 << 20
#: Events in one message.
_TOGETHER = 50
#: Bytes that the kernel is asked to hold.
_BUFFER = 4 << 20
#: Bytes of a message; a longer event goes without its job and result.
_LONGEST = 100_000
#: How long the end of a process may take for what waits still, in seconds.
_LAST_S = 1.0

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
            _writer.send(json.dumps([event]).encode(), socket.MSG_DONTWAIT)


def event_queue_of(fetcher: str, wall: Callable[[], float]) -> EventQueue | None:
    """A fetcher's; None where nobody wants to hear of a job."""
    if _writer is None or _wanted.isdisjoint(JOB_EVENTS):
        return None
    return EventQueue(_writer, fetcher, _wanted, wall)


class Noted(NamedTuple):
    """An event, when it was kept, and what its job's attempt was then."""

    at: float
    event: JobEvent
    attempt: int


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
        self._queue: SimpleQueue[Noted | None] = SimpleQueue()
        # Each is counted up by one thread only: the mailbox's, and the sender's.
        self._lost = self._taken_bytes = 0
        self._told_lost = self._sent_bytes = 0
        self._thread: threading.Thread | None = None

    def note(self, events: Iterable[JobEvent]) -> None:
        """Take what was kept; it never blocks, nor raises."""
        for event in events:
            if type(event) not in self._kinds:
                continue
            held = self._taken_bytes - self._sent_bytes
            if self._queue.qsize() >= MOST or held >= MOST_BYTES:
                self._lost += 1
            else:
                self._taken_bytes += _size(event)
                self._queue.put(Noted(self._wall(), event, _attempt(event)))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def close(self) -> None:
        """Send what waits still, as far as that is possible soon."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(_LAST_S)

    def _run(self) -> None:
        while True:
            batch, ended = self._next()
            told = [self._told(each) for each in batch]
            if lost := self._lost - self._told_lost:
                self._told_lost += lost
                told.append(self._system(LOST, count=lost))
            try:
                self._send([each for each in told if each is not None])
            except OSError:
                return  # nobody is there, nor will be
            self._sent_bytes += sum(_size(each.event) for each in batch)
            if ended:
                return

    def _next(self) -> tuple[Sequence[Noted], bool]:
        first = self._queue.get()
        batch = []
        while first is not None:
            batch.append(first)
            if len(batch) == _TOGETHER:
                return batch, False
            try:
                first = self._queue.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _told(self, noted: Noted) -> dict[str, Any] | None:
        told = event_of(self._fetcher, noted.event, noted.at)
        return told and told | {"attempt": noted.attempt}

    def _system(self, name: str, **more: Any) -> dict[str, Any]:
        return {"event": name, "at": time.time(), "fetcher": self._fetcher} | more

    def _send(self, told: list[dict[str, Any]]) -> None:
        line = json.dumps(told).encode()
        if len(line) <= _LONGEST:
            if told:
                self._way.send(line)
            return
        for each in told:
            line = json.dumps([each]).encode()
            if len(line) > _LONGEST:
                line = json.dumps([_short(each)]).encode()
            self._way.send(line)


def _attempt(event: JobEvent) -> int:
    if isinstance(event, JobDone):
        return event.attempt
    job = getattr(event, "job", None)
    return 0 if job is None else job.attempt


def _size(event: JobEvent) -> int:
    job = getattr(event, "job", None)
    return 0 if job is None else job.size


def _short(event: dict[str, Any]) -> dict[str, Any]:
    cut = {key: None for key in ("job", "result", "trace") if key in event}
    error = str(event.get("error") or "")[:1000] or None
    return event | cut | {"too_long": True} | ({"error": error} if error else {})
