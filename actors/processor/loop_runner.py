"""Jobs of an async function: tasks on an event loop."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.demand.messages import Outcome
from actors.processor.process_call import (
    checked,
    checked_batch,
    outcomes_of,
    payloads_of,
    within_span,
)
from actors.processor.set_up import TEAR_DOWN_S
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence

    from actors.actor_system.event_loop import LoopWorker
    from actors.demand.consumer import Task
    from actors.processor.process_call import Calling, Ended
    from actors.processor.set_up import IsSetUp, SetUp


class LoopRunner:
    """Runs jobs as tasks on an event loop."""

    holds_more = False

    def __init__(self, worker: LoopWorker, calling: Calling) -> None:
        self.calling = calling
        self._worker = worker
        self._setup: SetUp | None = None

    @property
    def fd(self) -> int:
        """Can be read when a job has ended."""
        return self._worker.fd

    @property
    def waiting(self) -> int:
        """None: all are begun."""
        return 0

    def begin(self, tasks: Sequence[Task]) -> None:
        """Run jobs, each as a task."""
        for task in tasks:
            make = partial(await_one, self.calling, task)
            failed = partial(self._failed, (task,))
            self._worker.spawn(task.ticket, make, failed)

    def begin_batch(self, tasks: Sequence[Task]) -> None:
        """Run jobs in one task."""
        make = partial(await_batch, self.calling, tasks)
        self._worker.spawn(tasks[0].ticket, make, partial(self._failed, tasks))

    def take(self) -> list[Ended | IsSetUp]:
        """What has ended since the last call."""
        return self._worker.take()

    def set_up(self, setup: SetUp) -> None:
        """Make what is kept over jobs, on the loop."""
        self._setup = setup
        self._worker.spawn(0, setup.run_later, setup.failed)

    def take_back(self, count: int) -> int:  # noqa: ARG002 - all are begun
        """Take nothing back."""
        return 0

    def withdraw(self, task: Task) -> bool:  # noqa: ARG002 - all are begun
        """Take nothing back."""
        return False

    def cancel(self, ticket: int) -> bool:
        """Cancel a job's task; of a list, the first job's is that of all."""
        if (run := self.calling.runs.get(ticket)) is not None:
            run.cancelled = True
        self._worker.cancel(ticket)
        return True

    def blocked_by(self) -> int | None:
        """The job whose step takes so long that the loop comes to nothing else."""
        return self._worker.running() if self._worker.is_blocked else None

    def close(self) -> None:
        """Cancel what runs, give back what was set up, and close the loop."""
        last = None if self._setup is None else self._setup.tear_down_later
        self._worker.close(TEAR_DOWN_S, last)

    def _failed(self, tasks: Sequence[Task], error: BaseException) -> Iterable[Ended]:
        failure = describe(error)
        return [self.calling.failed(task, failure) for task in tasks]


async def await_one(calling: Calling, task: Task) -> list[Ended]:
    """Run a job on the event loop; whatever it raises becomes a failed outcome."""
    began = time.perf_counter()
    calling.begin((task,))
    result, failure = None, None
    try:
        with within_span(task):
            awaited: Awaitable[Any] = calling.process(task.assignment.payload)
            result = checked(await awaited)
    except BaseException as error:  # noqa: BLE001 - a cancelled one is a failure too
        result, failure = None, describe(error)
    duration_s = time.perf_counter() - began
    _, key, attempt, *_ = task.assignment
    return [calling.end_of(task, Outcome(key, attempt, result, failure, duration_s))]


async def await_batch(calling: Calling, tasks: Sequence[Task]) -> list[Ended]:
    """Run a list of jobs on the event loop."""
    began = time.perf_counter()
    calling.begin(tasks)
    results: list[Any]
    try:
        with within_span(tasks[0]):
            awaited: Awaitable[Any] = calling.process(payloads_of(tasks))
            answer = await awaited
        results = checked_batch(answer, len(tasks))
    except BaseException as error:  # noqa: BLE001 - as for a single job
        results = [error] * len(tasks)
    outcomes = outcomes_of(tasks, results, began)
    return [calling.end_of(*each) for each in zip(tasks, outcomes, strict=True)]
