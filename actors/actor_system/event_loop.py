"""An event loop in a thread beside a stage's mailbox, for async functions."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.actor_system.worker import NoThreadError, WakingQueue
from actors.host import forks, native

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    Make = Callable[[], Coroutine[Any, Any, Iterable[Any]]]
    Failed = Callable[[BaseException], Iterable[Any]]


class _NotBegunError(Exception):
    """No task could be made, and nothing of its coroutine was run."""


class LoopWorker(WakingQueue):
    """Runs coroutines at the same time, and puts what they return where a stage looks.

    The loop is made once and closed once, so what belongs to it (clients, pools of
    connections) can be kept from one to the next.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._asked: set[int] = set()
        with forks.keeping():
            self._loop = asyncio.new_event_loop()
        self._closing = False
        self._last: Make | None = None
        try:
            self._ended = native.start(self._run, name)
        except RuntimeError as error:
            raise NoThreadError(f"{error}; see ulimit -u") from error

    def spawn(self, key: int, make: Make, failed: Failed) -> None:
        """Run a coroutine beside the others; what it returns is put one by one.

        Args:
            key: Names it, for `cancel`.
            make: Called in the loop's thread. What can go wrong is among what it
                returns.
            failed: What is put where it raises all the same, or never began.
        """
        self._loop.call_soon_threadsafe(self._begin, key, make, failed)

    def cancel(self, key: int) -> None:
        """Ask a coroutine to end, by ``asyncio.CancelledError``."""
        self._asked.add(key)
        self._loop.call_soon_threadsafe(self._cancel, key)

    @property
    def is_blocked(self) -> bool:
        """Whether it has not yet come to do what it was asked: one step takes long."""
        return bool(self._asked)

    def running(self) -> int | None:
        """The coroutine whose step runs at this moment, if one does."""
        with contextlib.suppress(RuntimeError):
            current = asyncio.current_task(self._loop)
            for key, task in list(self._tasks.items()):
                if task is current:
                    return key
        return None

    def close(self, within_s: float, last: Make | None = None) -> None:
        """Cancel what runs, and close the loop, as ``asyncio.run`` does at its end.

        Args:
            within_s: How long all of it may take.
            last: Makes a coroutine that is run when the others have ended.
        """
        self._last = last
        self._closing = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._ended.wait(within_s)

    def _begin(self, key: int, make: Make, failed: Failed) -> None:
        try:
            self._task_of(self._loop.create_task, key, make, failed)
        except _NotBegunError:
            # The loop is the user's as well: a factory of theirs that is broken is no
            # reason to fail what others ask for.
            plain = partial(asyncio.Task, loop=self._loop)
            self._task_of(plain, key, make, failed)
        except BaseException as error:  # noqa: BLE001 - likewise
            for each in failed(error):
                self.put(each)

    def _task_of(
        self,
        create: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        key: int,
        make: Make,
        failed: Failed,
    ) -> None:
        answer: list[Any] = []
        running = self._carry_out(make, answer)
        try:
            task = self._tasks[key] = create(running)
            task.add_done_callback(partial(self._task_ended, key, failed, answer))
        except BaseException as error:
            self._tasks.pop(key, None)
            has_begun = inspect.getcoroutinestate(running) != inspect.CORO_CREATED
            running.close()
            if not has_begun:
                raise _NotBegunError from error
            if not answer:  # else it has ended already
                raise

    def _cancel(self, key: int) -> None:
        self._asked.discard(key)
        if (task := self._tasks.get(key)) is not None:
            task.cancel()

    async def _carry_out(self, make: Make, answer: list[Any]) -> None:
        answer += [*await make()]  # all of it, or nothing
        forks.end_fork()
        for each in answer:
            self.put(each)

    def _task_ended(
        self, key: int, failed: Failed, answer: list[Any], task: asyncio.Task[None]
    ) -> None:
        self._tasks.pop(key, None)
        if answer:
            # One that was cancelled in its last step counts as cancelled for the loop,
            # whatever it has returned.
            return
        error: BaseException | None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            for each in failed(error):
                self.put(each)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._closing:
            # What a task of the user's own raises may end the loop's run: SystemExit.
            with contextlib.suppress(BaseException):
                self._loop.run_forever()
            forks.end_fork()
        for step in (self._end_tasks, self._end_last, self._end_loop):
            with contextlib.suppress(BaseException):
                step()

    def _end_tasks(self) -> None:
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def _end_last(self) -> None:
        if self._last is not None:
            self._loop.run_until_complete(self._last())

    def _end_loop(self) -> None:
        try:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
