"""Threads beside a stage's mailbox, for what blocks: fetching and processing."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from functools import partial
from itertools import islice, repeat, starmap
from typing import TYPE_CHECKING, Any

from actors.host import forks
from actors.host.native import Signal, SimpleQueue, allocate_lock, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Run: TypeAlias = Callable[[], Iterator[Any]]
    Failed: TypeAlias = Callable[[BaseException], Iterator[Any]]
    Call: TypeAlias = tuple[Run, Failed]


class NoThreadError(ValueError):
    """No thread can be started; the user has as many as are allowed."""


class Permits:
    """Holds a worker's call until its stage lets it go on."""

    def __init__(self, hand_over: Callable[[], object] = bool) -> None:
        """Begin without any pass.

        Args:
            hand_over: Called before a wait: what was said before it may end it.
        """
        self._passes = 0
        self._lock = allocate_lock()
        self._more = Signal()
        self._hand_over = hand_over

    def release(self, count: int = 1) -> None:
        """Let the call pass ``count`` times."""
        with self._lock:
            self._passes += count
        self._more.give()

    def passed(self, count: int = 1) -> Iterator[Any]:
        """Wait for ``count`` passes; an iterator, so that a wait can be a yield."""
        # Also where there are enough: whoever goes on may be long.
        self._hand_over()
        # What is counted is never lost, where an exception out of nowhere ends a wait.
        while not self._pass(count):
            self._more.wait()
        yield from ()

    def _pass(self, count: int) -> bool:
        with self._lock:
            if self._passes < count:
                return False
            self._passes -= count
            return True


class WakingQueue:
    """Takes values from any thread, and wakes the one stage that is to have them.

    The stage watches ``fd``; when it can be read, ``take`` returns everything
    that was put since. Between two looks any number of values costs one wake-up.

    Attributes:
        turn: Has the stage take what is here, in the thread that calls it; returns
            whether it did. None where only the mailbox's own thread may.
    """

    turn: Callable[[int], bool] | None = None
    _unsaid = False

    def __init__(self) -> None:
        self.fd, self._wake = map(forks.keep, os.pipe())
        os.set_blocking(self.fd, False)
        self._yielded: deque[Any] = deque()
        self._lock = allocate_lock()
        self._woken = False

    def take(self) -> list[Any]:
        """What was put since the last call, in order; never blocks."""
        # First the wake-up is taken back, then the values are: one that comes in
        # between is here twice over, never forgotten.
        with self._lock:
            if self._woken:
                self._woken = False
                os.read(self.fd, 1)
        # In one step of C: an exception out of nowhere loses none of them.
        yielded = self._yielded
        return [*starmap(yielded.popleft, repeat((), len(yielded)))]

    def put(self, value: Any) -> None:
        """Leave a value where ``take`` finds it; from any thread."""
        # The lock is for the wake-up: a deque takes care of itself.
        self._yielded.append(value)
        if not self._woken:
            self._wake_up()

    def hand_over(self) -> None:
        """Have the stage take what is here: in this thread, if it waits for anything.

        Else it is woken, where it was not.
        """
        # Who was woken already has it soon; and to take in a page would keep the
        # mailbox from all others for long.
        if self.turn is None or not self._unsaid:
            return
        self._unsaid = not self.turn(self.fd) or bool(self._yielded)
        self.speak()

    def speak(self) -> None:
        """Wake the stage, if there is a value that it was not woken for."""
        if self._unsaid:
            self._unsaid = False
            if not self._woken:
                self._wake_up()

    def _wake_up(self) -> None:
        with self._lock:
            if not self._woken:
                self._woken = True
                os.write(self._wake, b"\0")


class Worker(WakingQueue):
    """Runs calls, and puts their yields where a stage finds them.

    With one thread they run one after another, with several as many at a time.
    """

    _waits_next = False

    def __init__(self, name: str, threads: int = 1) -> None:
        super().__init__()
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._name = name
        self._threads = threads
        self._start()

    def _start(self) -> None:
        run = partial(self._run, self._calls, self._yielded)
        for number in range(self._threads):
            name = f"{self._name}.{number}" if number else self._name
            try:
                start(run, name)
            except RuntimeError as error:
                several = f" of {self._threads}" if self._threads > 1 else ""
                raise NoThreadError(f"{error}{several}; see ulimit -u") from error

    def call(self, run: Run, failed: Failed) -> None:
        """Run what was given, after the calls before.

        Args:
            run: What can go wrong is among what it yields.
            failed: What is yielded where it raises all the same. The user's code
                has many ways into ours (a class that its values have, an exception
                that a library raises in this thread from another), and the stage
                waits for a word of each call.
        """
        self._calls.put((run, failed))

    def finish(self, run: Run, failed: Failed, within_s: float) -> None:
        """Run a last call, and wait for its end."""
        done = Signal()

        def last() -> Iterator[Any]:
            try:
                yield from run()
            finally:
                done.give()

        self._calls.put((last, failed))
        done.wait(within_s)

    def permits(self) -> Permits:
        """Permits for this worker's calls."""
        return Permits(self.hand_over)

    def waits_next(self) -> None:
        """Note that behind what a call yields next it ends, or waits for permits.

        The stage is then not woken for it, but has it in this thread, where that is
        the only one.
        """
        self._waits_next = self.turn is not None and self._threads == 1

    def stop(self) -> None:
        """Take no further call; those that run are left to themselves."""
        for _ in range(self._threads):
            self._calls.put(None)

    def abandon(self) -> None:
        """Leave the calls that run to themselves, whatever they yield; go on without.

        A thread cannot be ended: it ends when the call does.

        Raises:
            NoThreadError: There is no thread to go on with.
        """
        self.stop()
        self._calls, self._yielded = SimpleQueue(), deque(self._yielded)
        self._start()

    def _tell(self) -> None:
        if self._waits_next:
            self._waits_next, self._unsaid = False, True
        elif not self._woken:
            self._wake_up()

    def _run(self, calls: SimpleQueue[Call | None], yielded: deque[Any]) -> None:
        # A library of the user's may raise in this thread from another at any moment,
        # also when the call that it means has ended: that is nobody's, and the thread
        # goes on. A call that was taken stands here until it is done.
        taken: list[Call | None] = []
        done = False
        while not done:
            with contextlib.suppress(BaseException):
                self._run_calls(calls, yielded, taken)
                done = True

    def _run_calls(
        self,
        calls: SimpleQueue[Call | None],
        yielded: deque[Any],
        taken: list[Call | None],
    ) -> None:
        while True:
            if not taken:
                self.speak()
                # In one step of the interpreter: between two of them, what is raised
                # would have the call neither in the queue nor here.
                taken.extend(islice(iter(calls.get, calls), 1))
            if (call := taken[0]) is None:
                return
            run, failed = call
            try:
                if not self._say_all(calls, yielded, run):
                    return
                taken.clear()
                self.hand_over()
            except BaseException as error:  # noqa: BLE001 - the last guard
                # It may have come before the stage was woken for what was said.
                self._unsaid = True
                if taken:
                    # Itself a run, for the same may happen to it.
                    taken[0] = partial(failed, error), failed

    def _say_all(
        self, calls: SimpleQueue[Call | None], yielded: deque[Any], run: Run
    ) -> bool:
        """Say what a call yields; returns False where others go on without it."""
        for each in run():
            # First of all, for the same reason; of a call that others go on without,
            # nobody looks here.
            yielded.append(each)
            forks.end_fork()
            if calls is not self._calls:
                return False
            self._tell()
        forks.end_fork()
        return calls is self._calls
