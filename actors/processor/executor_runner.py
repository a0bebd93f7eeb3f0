"""Jobs in an executor of the user's: a pool of processes, or somebody else's cluster.

The executor runs ``process``, and nothing else is left to it: attempts, deadlines and
outcomes are counted here, each by its job's lease.
"""

from __future__ import annotations

import time
from concurrent.futures import BrokenExecutor, CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.hooks import spans
from actors.processor.process_call import checked, checked_batch, outcomes_of
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    from actors.actor_system.worker import Worker
    from actors.demand.consumer import Task
    from actors.demand.job import Failure
    from actors.processor.process_call import Calling, Ended
    from actors.processor.set_up import IsSetUp, SetUp


class Broken(NamedTuple):
    """The executor runs nothing any more.

    Attributes:
        failure: Why.
        by_a_job: Whether a job may have broken it.
    """

    failure: Failure
    by_a_job: bool


class NoExecutorError(TypeError):
    """What the function returned has no ``submit``."""


class ExecutorRunner:
    """Runs jobs as futures of an executor."""

    holds_more = False

    def __init__(
        self, worker: Worker, calling: Calling, make: Callable[[], Executor]
    ) -> None:
        self.calling = calling
        self._worker = worker
        self._make = make
        self._executor: Executor | None = None
        self._futures: dict[int, Future[Any]] = {}
        self._asked: set[int] = set()
        self._may_trace = True

    @property
    def fd(self) -> int:
        """Can be read when a job has ended."""
        return self._worker.fd

    @property
    def waiting(self) -> int:
        """None: all are the executor's."""
        return 0

    def set_up(self, setup: SetUp) -> None:
        """Make the executor, and what else is kept over jobs."""

        def run() -> Iterator[IsSetUp]:
            executor = self._make()
            if not callable(getattr(executor, "submit", None)):
                given = type(executor).__name__
                raise NoExecutorError(f"expected an Executor, got {given}")
            self._executor = executor
            yield from setup.run()

        self._worker.call(run, setup.failed)

    def begin(self, tasks: Sequence[Task]) -> None:
        """Run jobs, each by itself."""
        for task in tasks:
            self._submit((task,), task.assignment.payload, together=False)

    def begin_batch(self, tasks: Sequence[Task]) -> None:
        """Run jobs in one call."""
        payloads = [task.assignment.payload for task in tasks]
        self._submit(tasks, payloads, together=True)

    def take(self) -> list[Any]:
        """What has ended since the last call."""
        return self._worker.take()

    def take_back(self, count: int) -> int:  # noqa: ARG002 - all are begun
        """Take nothing back."""
        return 0

    def withdraw(self, task: Task) -> bool:  # noqa: ARG002 - all are begun
        """Take nothing back."""
        return False

    def cancel(self, ticket: int) -> bool:
        """Call a future off; one that runs in a pool cannot be."""
        self._asked.add(ticket)
        future = self._futures.get(ticket)
        return future is not None and (future.cancel() or future.done())

    def blocked_by(self) -> int | None:
        """None: what one does harms no other."""
        return None

    def close(self) -> None:
        """Take no further job; what runs is left to the executor."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._worker.stop()

    def _submit(self, tasks: Sequence[Task], given: Any, *, together: bool) -> None:
        # In the thread: a pool may start its processes now, a cluster may be far.
        def run() -> Iterator[Any]:
            assert self._executor is not None  # noqa: S101 - made at the start
            self.calling.begin(tasks)
            began = time.perf_counter()
            process = self._function_for(tasks[0])
            future = self._executor.submit(process, given)
            self._futures[tasks[0].ticket] = future
            again = None
            if process is not self.calling.process:
                again = partial(self._submit, tasks, given, together=together)
            over = partial(self._over, tasks, began, again, together=together)
            future.add_done_callback(over)
            yield from ()

        def failed(error: BaseException) -> Iterator[Any]:
            yield Broken(describe(error), isinstance(error, BrokenExecutor))

        self._worker.call(run, failed)

    def _function_for(self, task: Task) -> Callable[[Any], Any]:
        process = self.calling.process
        if self._may_trace and (traceparent := spans.parent_of(task)):
            return spans.Traced(process, traceparent)
        return process

    def _over(
        self,
        tasks: Sequence[Task],
        began: float,
        again: Callable[[], None] | None,
        future: Future[Any],
        *,
        together: bool,
    ) -> None:
        ticket = tasks[0].ticket
        self._futures.pop(ticket, None)
        results: list[Any]
        try:
            answer = future.result()
            results = checked_batch(answer, len(tasks)) if together else [answer]
            if not together:
                checked(answer)
        except BaseException as error:  # noqa: BLE001 - as where it runs here
            asked = ticket in self._asked
            if again is not None and _lacks_us(error):
                # It was not begun: there it goes without a span.
                self._may_trace = False
                again()
                return
            lost = isinstance(error, CancelledError) and not asked
            if lost or isinstance(error, BrokenExecutor):
                self._worker.put(Broken(describe(error), not lost))
                return
            results = [error] * len(tasks)
        self._asked.discard(ticket)
        outcomes = outcomes_of(tasks, results, began)
        for each in zip(tasks, outcomes, strict=True):
            self._worker.put(self._end_of(*each))

    def _end_of(self, task: Task, outcome: Any) -> Ended:
        try:
            return self.calling.end_of(task, outcome)
        except BaseException as error:  # noqa: BLE001 - a function that finds routes
            return self.calling.failed(task, describe(error))


def _lacks_us(error: BaseException | None) -> bool:
    """Whether what runs there has no lowtide, and so could not take the function."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            return (error.name or "").partition(".")[0] == __name__.partition(".")[0]
        error = error.__cause__
    return False
