"""The way of events out of a fetcher: written and sent at once, where there is room.

That is done in the mailbox's own thread: the fetcher has one core at the most, and a
second thread that works makes the first wait for it, milliseconds at a time. The one
here only sends what found no room. What comes by the thousand is written as rows of
plain values, which takes a tenth of what JSON takes; who reads makes events of them.
A message begins with how many events it has of each kind, so that who hands it on need
not read it.
"""

from __future__ import annotations

import atexit
import contextlib
import marshal
import socket
import struct
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from actors.demand.job_events import JobDone, JobFetched, JobLeased
from actors.hooks.events import JOB_EVENTS, KINDS, LOST, STEP, event_of
from actors.host import forks, native

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from actors.demand.job_events import JobEvent

#: Events that wait at a fetcher, and their bytes; what comes beyond that is left out,
#: and counted.
MOST, MOST_BYTES = 10_000, 16 << 20
#: Events in one message.
_TOGETHER = 500
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
#: Events that follow one another and are alike: their name, and a row for each.
Group: TypeAlias = "tuple[str, Sequence[Row]]"

_PLACE = {name: place for place, name in enumerate((*KINDS, STEP))}
_HEAD = struct.Struct(f"<{len(_PLACE)}H")

_writer: native.Socket | None = None


def open_way(wanted: Iterable[str]) -> native.Socket:
    """Make the way to the process of hooks, before any other process is started.

    Returns:
        The end to read from.
    """
    global _writer, _wanted  # noqa: PLW0603 - what is forked from here finds it
    reader, _writer = native.message_pair()
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


def wants(kind: str) -> bool:
    """Whether somebody wants to hear of this, from here."""
    return _writer is not None and kind in _wanted


def tell(event: dict[str, Any]) -> None:
    """Send one event from here, if there is room at once."""
    if _writer is not None and wants(event["event"]):
        with contextlib.suppress(OSError):
            content = message_of({}, [(event["event"], [event])])
            _writer.send(content, socket.MSG_DONTWAIT)


def event_queue_of(fetcher: str, wall: Callable[[], float]) -> EventQueue | None:
    """A fetcher's; None where nobody wants to hear of a job."""
    if _writer is None or _wanted.isdisjoint(JOB_EVENTS):
        return None
    return EventQueue(_writer, fetcher, _wanted, wall)


class Waiting(NamedTuple):
    """A message that found no room, and how many events it has."""

    content: bytes
    events: int


class EventQueue:
    """Takes events from the mailbox at once; what finds no room waits for a thread."""

    def __init__(
        self,
        way: native.Socket,
        fetcher: str,
        wanted: Iterable[str],
        wall: Callable[[], float],
    ) -> None:
        self._way = way
        self._fetcher = fetcher
        self._kinds = {JOB_EVENTS[name] for name in wanted if name in JOB_EVENTS}
        self._wall = wall
        self._queue: native.SimpleQueue[Waiting | None] = native.SimpleQueue()
        # Each is counted up by one thread only: the mailbox's, and the sender's.
        self._lost = self._taken = self._taken_bytes = 0
        self._sent = self._sent_bytes = 0
        # The sender's, and the mailbox's where nothing waits for the sender.
        self._told_lost = 0
        self._ended: native.Signal | None = None

    def note(self, events: Sequence[JobEvent]) -> None:
        """Take what was kept; it never blocks, nor raises."""
        kinds = self._kinds
        if not kinds.issuperset(map(type, events)):
            events = [each for each in events if type(each) in kinds]
        for begin in range(0, len(events), _TOGETHER):
            self._take(events[begin : begin + _TOGETHER])

    def close(self) -> None:
        """Send what waits still, as far as that is possible soon."""
        ended, self._ended = self._ended, None
        if ended is not None:
            self._queue.put(None)
            ended.wait(_LAST_S)

    def _take(self, events: Sequence[Any]) -> None:
        count = len(events)
        if (
            self._taken - self._sent >= MOST
            or self._taken_bytes - self._sent_bytes >= MOST_BYTES
        ):
            self._lost += count
            return
        # Together only what is short together: long jobs are not put together twice.
        size = sum([event.job.size for event in events])
        content = b""
        if count == 1 or size <= _LONGEST:
            content = message_of(self._about(), _groups_of(events))
        if 0 < len(content) <= _LONGEST:
            self._send(content, count)
        elif count > 1:
            self._take(events[: count // 2])
            self._take(events[count // 2 :])
        else:
            [(name, [row])] = _groups_of(events)
            self._send(message_of(self._about(), [(name, [_short(row)])]), 1)

    def _send(self, content: bytes, count: int) -> None:
        if self._sent == self._taken:
            try:
                self._way.send(content, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            except OSError:  # nobody is there
                return
            else:
                with contextlib.suppress(OSError):  # there is no room for that
                    self._tell_lost(socket.MSG_DONTWAIT)
                return
        self._taken += count
        self._taken_bytes += len(content)
        self._queue.put(Waiting(content, count))
        if self._ended is None:
            self._ended = native.start(self._run, "hooks")
            atexit.register(self.close)

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            with contextlib.suppress(OSError):  # nobody is there
                self._way.send(message.content)
                self._tell_lost()
            self._sent_bytes += len(message.content)
            # From here on the mailbox may send.
            self._sent += message.events

    def _about(self) -> dict[str, Any]:
        return {"at": self._wall(), "fetcher": self._fetcher}

    def _tell_lost(self, flags: int = 0) -> None:
        if lost := self._lost - self._told_lost:
            told = {"event": LOST, "count": lost}
            self._way.send(message_of(self._about(), [(LOST, [told])]), flags)
            self._told_lost += lost


def _fetched(events: Iterable[JobFetched]) -> list[Row]:
    return [(job.key, job.id, job.payload, job.attempt) for job, _ in events]


def _leased(events: Iterable[JobLeased]) -> list[Row]:
    return [
        (job.key, job.id, job.payload, job.attempt, by.name, by.pid)
        for job, by in events
    ]


def _done(events: Iterable[JobDone]) -> list[Row]:
    return [
        (job.key, job.id, job.payload, attempt, by.name, by.pid, result, duration_s)
        for job, attempt, by, result, duration_s in events
    ]


def _odd(events: Iterable[Any]) -> list[Row]:
    rows: list[Row] = []
    for event in events:
        told = event_of("", event, 0.0) or {}
        del told["fetcher"], told["at"]  # it comes with all of a message
        rows.append(told | {"attempt": event.job.attempt})
    return rows


_ROWS: dict[type, Callable[[Iterable[Any]], list[Row]]]
_ROWS = {JobFetched: _fetched, JobLeased: _leased, JobDone: _done}
_NAME_OF = {kind: name for name, kind in JOB_EVENTS.items()}
_NAMES = (
    *("key", "job_id", "job", "attempt"),
    *("processor", "pid", "result", "duration_s"),
)


def _groups_of(events: Iterable[Any]) -> list[Group]:
    return [
        (_NAME_OF[kind], _ROWS.get(kind, _odd)(alike))
        for kind, alike in groupby(events, type)
    ]


def message_of(about: dict[str, Any], groups: list[Group]) -> bytes:
    """Write events; nothing if they cannot be.

    Args:
        about: What all of them have.
        groups: In order.
    """
    counts = [0] * len(_PLACE)
    for name, rows in groups:
        counts[_PLACE[name]] += len(rows)
    try:
        return _HEAD.pack(*counts) + marshal.dumps((about, groups), _PLAIN)
    except ValueError:  # a job is nested deeper than that can be
        return b""


class Message:
    """Events as they have come from a fetcher, or from the main process."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._counts = _HEAD.unpack_from(content)

    def __len__(self) -> int:
        """How many bytes it takes."""
        return len(self._content)

    def count(self, kinds: Iterable[str]) -> int:
        """How many events there are of these kinds."""
        return sum([self._counts[_PLACE[kind]] for kind in kinds])

    def events(
        self, kinds: Collection[str] = (*KINDS, STEP)
    ) -> Iterator[dict[str, Any]]:
        """Those events, each made anew, as a hook gets it."""
        body = memoryview(self._content)[_HEAD.size :]
        about, groups = marshal.loads(body)  # noqa: S302 - of a process of ours
        for name, rows in cast("list[Group]", groups):
            if name in kinds:
                begun = {"event": name, **about}
                for row in rows:
                    yield begun | _named(row)


def _named(row: Row) -> dict[str, Any]:
    return row if isinstance(row, dict) else dict(zip(_NAMES, row, strict=False))


def _short(row: Row) -> dict[str, Any]:
    event = _named(row)
    cut = {key: None for key in ("job", "result", "trace") if key in event}
    error = str(event.get("error") or "")[:1000] or None
    return event | cut | {"too_long": True} | ({"error": error} if error else {})
