"""Each hook's function, called in a thread of its own, behind a bounded queue."""

from __future__ import annotations

import time
import traceback
from _thread import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from actors.hooks.events import ALL, KINDS, STEP
from actors.hooks.spans import TRACER
from actors.host import native
from actors.host.texts import line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from actors.hooks.event_queue import Message

    Event = dict[str, Any]
    Hook = Callable[[Event], object]

#: Events that wait for one function, and the bytes of the messages that they come in;
#: what comes beyond that is left out.
MOST, MOST_BYTES = 10_000, 64 << 20
#: What goes wrong with one function is told so often, in seconds, with a count.
TOLD_EVERY_S = 60.0


class Log(Protocol):
    """Where it is told what goes wrong."""

    def warning(self, event: str, **fields: Any) -> object:
        """Write a line."""


class Caller:
    """One function: its queue, its thread, and what it has missed."""

    def __init__(self, name: str, hook: Hook, log: Log) -> None:
        self._name = name
        self._hook = hook
        self._log = log
        # Bounded below: a queue that bounds itself costs thirty times as much.
        self._queue: native.SimpleQueue[tuple[Iterable[Event], int, int] | None]
        self._queue = native.SimpleQueue()
        # Each is counted up by one thread only: who puts, and the function's.
        self._put = self._called = self._put_bytes = self._called_bytes = 0
        self._failures = _Told()
        self._missed = _Told()
        self._ident: int | None = None
        self._ended = native.start(self._run, name)

    @property
    def is_this_thread(self) -> bool:
        """Whether it is the function that asks."""
        return get_ident() == self._ident

    def put(self, events: Iterable[Event], count: int, size: int = 0) -> None:
        """Have the function called with these, unless too much waits already.

        Args:
            events: Iterated over in the function's thread.
            count: How many.
            size: What they take, in bytes.
        """
        waits = self._put - self._called + count
        waits_bytes = self._put_bytes - self._called_bytes + size
        if waits <= MOST and waits_bytes <= MOST_BYTES:
            self._put += count
            self._put_bytes += size
            self._queue.put((events, count, size))
        elif count := self._missed.due(time.monotonic(), count):
            self._log.warning("hook.missed", hook=self._name, count=count)

    def end(self) -> None:
        """Have the thread end after the calls that are due."""
        self._queue.put(None)

    def close(self, until: float) -> None:
        """Wait for the calls that are due, at most until then (monotonic)."""
        self.end()
        self._ended.wait(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        self._ident = get_ident()
        while (together := self._queue.get()) is not None:
            events, count, size = together
            called = self._called
            for event in events:
                try:
                    self._hook(event)
                except BaseException as error:  # noqa: BLE001 - the user's function
                    self._failed(error)
                self._called += 1
            self._called = called + count
            self._called_bytes += size

    def _failed(self, error: BaseException) -> None:
        if count := self._failures.due(time.monotonic()):
            self._log.warning(
                "hook.failed",
                hook=self._name,
                error=line_of(error),
                count=count,
                trace="".join(traceback.format_exception(error)),
            )


class Callers:
    """All functions, by the events that they are for."""

    def __init__(
        self,
        hooks: Mapping[str, Iterable[str]],
        load: Callable[[str], Hook],
        log: Log,
    ) -> None:
        events_of: dict[str, set[str]] = {}
        for event, names in hooks.items():
            for name in names:
                events_of.setdefault(name, set()).update(
                    KINDS if event == ALL else (event,)
                )
        if TRACER in events_of:
            events_of[TRACER].add(STEP)
        self._callers = [
            (Caller(name, load(name), log), frozenset(kinds))
            for name, kinds in events_of.items()
        ]

    def put(self, message: Message) -> None:
        """Give each function those events that it is for, each of them once."""
        for caller, kinds in self._callers:
            if count := message.count(kinds):
                caller.put(message.events(kinds), count, len(message))

    def close(self, within_s: float) -> None:
        """Wait for the calls that are due, and let functions finish."""
        until = time.monotonic() + within_s
        for caller, _ in self._callers:
            caller.close(until)


class _Told:
    """How often something has happened since it was told last."""

    def __init__(self) -> None:
        self._count = 0
        self._next = 0.0

    def due(self, now: float, count: int = 1) -> int:
        self._count += count
        if now < self._next:
            return 0
        count, self._count, self._next = self._count, 0, now + TOLD_EVERY_S
        return count
