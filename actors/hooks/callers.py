"""Each hook's function, called in a thread of its own, behind a bounded queue."""

from __future__ import annotations

import threading
import time
import traceback
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from actors.hooks.events import ALL
from actors.host.texts import line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Event = dict[str, Any]
    Hook = Callable[[Event], object]

#: Events that wait for one function; what comes beyond them is left out.
MOST = 10_000
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
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._failures = _Told()
        self._missed = _Told()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_this_thread(self) -> bool:
        """Whether it is the function that asks."""
        return threading.current_thread() is self._thread

    def put(self, event: Event) -> None:
        """Have the function called with this, unless too much waits already."""
        if self._queue.qsize() < MOST:
            self._queue.put(event)
        elif count := self._missed.due(time.monotonic()):
            self._log.warning("hook.missed", hook=self._name, count=count)

    def end(self) -> None:
        """Have the thread end after the calls that are due."""
        self._queue.put(None)

    def close(self, until: float) -> None:
        """Wait for the calls that are due, at most until then (monotonic)."""
        self.end()
        self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            try:
                self._hook(event)
            except BaseException as error:  # noqa: BLE001 - the user's function
                self._failed(error)

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
        callers: dict[str, Caller] = {}
        self._by_event: dict[str, list[Caller]] = {}
        for event, names in hooks.items():
            for name in names:
                if name not in callers:
                    callers[name] = Caller(name, load(name), log)
                self._by_event.setdefault(event, []).append(callers[name])
        self._callers = callers

    def put(self, event: Event) -> None:
        """Give an event to each function that is for it, once."""
        by_event = self._by_event
        for_it = [*by_event.get(event["event"], ()), *by_event.get(ALL, ())]
        for caller in dict.fromkeys(for_it):
            caller.put(event)

    def close(self, within_s: float) -> None:
        """Wait for the calls that are due, and let functions finish."""
        until = time.monotonic() + within_s
        for caller in self._callers.values():
            caller.close(until)


class _Told:
    """How often something has happened since it was told last."""

    def __init__(self) -> None:
        self._count = 0
        self._next = 0.0

    def due(self, now: float) -> int:
        self._count += 1
        if now < self._next:
            return 0
        count, self._count, self._next = self._count, 0, now + TOLD_EVERY_S
        return count
