"""Where a processor's jobs run: in threads, or as tasks on an event loop.

A runner is given jobs and hands over what they came to; how many at a time is up to
the processor. What decides when a job is over its time is not here.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol

from actors.processor.process_call import (
    BatchCall,
    JobCalls,
    await_batch,
    await_one,
)
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from actors.actor_system.event_loop import LoopWorker
    from actors.actor_system.worker import Worker
    from actors.demand.consumer import Task
    from actors.processor.process_call import Calling, Ended

#: How long an event loop may take to be closed, in seconds.
CLOSE_S = 1.0


class Runner(Protocol):
    """Runs jobs beside the mailbox.

    Attributes:
        calling: How the user's function is called, and which of the jobs run.
        holds_more: Whether it may be given more jobs than it runs at a time.
    """

    calling: Calling
    holds_more: bool

    @property
    def fd(self) -> int:
        """Can be read when a job has ended."""

    @property
    def waiting(self) -> int:
        """How many of the jobs it was given are not begun."""

    def begin(self, tasks: Sequence[Task]) -> None:
        """Run jobs, each by itself."""

    def begin_batch(self, tasks: Sequence[Task]) -> None:
        """Run jobs in one call."""

    def take(self) -> list[Ended]:
        """What has ended since the last call."""

    def take_back(self, count: int) -> int:
        """Take back jobs that are not begun, the last ones first; returns how many."""

    def cancel(self, ticket: int) -> bool:
        """Ask a job to end; returns whether it can be made to, without its process."""

    def blocked_by(self) -> int | None:
        """The job that keeps all others from going on, if one does."""

    def close(self) -> None:
        """End it: its process ends."""


class ThreadRunner:
    """Runs jobs in the threads of a worker, as many at a time as it has."""

    holds_more = True

    def __init__(self, worker: Worker, calling: Calling, threads: int) -> None:
        self.calling = calling
        self._worker = worker
        self._threads = threads
        self._waiting: deque[Task] = deque()

    @property
    def fd(self) -> int:
        """Can be read when a job has ended."""
        return self._worker.fd

    @property
    def waiting(self) -> int:
        """How many of the jobs it was given are not begun."""
        return len(self._waiting)

    def begin(self, tasks: Sequence[Task]) -> None:
        """Run jobs; each thread takes the next one when it is free."""
        self._waiting.extend(tasks)
        for _ in range(min(len(tasks), self._threads)):
            calls = JobCalls(self.calling, self._waiting)
            self._worker.call(calls.run, calls.failed)

    def begin_batch(self, tasks: Sequence[Task]) -> None:
        """Run jobs in one call."""
        batch = BatchCall(self.calling, tasks)
        self._worker.call(batch.run, batch.failed)

    def take(self) -> list[Ended]:
        """What has ended since the last call."""
        return self._worker.take()

    def take_back(self, count: int) -> int:
        """Take back jobs that are not begun, the last ones first."""
        taken = 0
        while taken < count and self._waiting:
            # The threads take from the other end.
            try:
                self._waiting.pop()
            except IndexError:
                break
            taken += 1
        return taken

    def cancel(self, ticket: int) -> bool:
        """Tell a job that it should end; nothing can make its thread."""
        if (run := self.calling.runs.get(ticket)) is not None:
            run.cancelled = True
        return False

    def blocked_by(self) -> int | None:
        """None: each has a thread of its own."""
        return None

    def close(self) -> None:
        """Begin no more; what runs ends with the process."""
        self._worker.stop()


class LoopRunner:
    """Runs jobs as tasks on an event loop."""

    holds_more = False

    def __init__(self, worker: LoopWorker, calling: Calling) -> None:
        self.calling = calling
        self._worker = worker

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

    def take(self) -> list[Ended]:
        """What has ended since the last call."""
        return self._worker.take()

    def take_back(self, count: int) -> int:  # noqa: ARG002 - all are begun
        """Take nothing back."""
        return 0

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
        """Cancel what runs, and close the loop."""
        self._worker.close(CLOSE_S)

    def _failed(self, tasks: Sequence[Task], error: BaseException) -> Iterable[Ended]:
        failure = describe(error)
        return [self.calling.failed(task, failure) for task in tasks]
