"""Calls of the user's function: over one job, or over a list of them.

In a thread a call is a run of a worker, which yields what the jobs came to; on an event
loop it is a coroutine, which hands it over.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job import as_json, pending
from actors.demand.job_routing import ANYWHERE
from actors.demand.messages import Outcome
from actors.host.texts import class_name, text_of
from actors.user_code.current_job import JobRun, begin
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from actors.demand.consumer import Task
    from actors.demand.job import Failure
    from actors.demand.job_routing import Routes


class ResultError(TypeError):
    """What ``process`` returned is not a JSON value."""

    permanent = True


class BatchError(TypeError):
    """What ``process`` returned is not a list with a result for each job."""

    permanent = True


class Ended(NamedTuple):
    """A job that was run: its outcome, and in a step where its result goes."""

    ticket: int
    outcome: Outcome
    routes: Routes


class Calling:
    """How the function is called, and which of the jobs run, by their tickets.

    A job is noted in the thread that runs it. In a step ``find`` says where a result
    goes, in the same thread: it may ask the user's functions.
    """

    def __init__(
        self,
        process: Callable[[Any], Any],
        find: Callable[[Any], Routes] | None,
        now: Callable[[], float],
    ) -> None:
        self.process = process
        self.runs: dict[int, JobRun] = {}
        self._find = find
        self._now = now

    def begin(self, tasks: Sequence[Task]) -> None:
        """Note that jobs are begun, together if there are several."""
        run = JobRun(self._now())
        for task in tasks:
            self.runs[task.ticket] = run
        begin(run)

    def end_of(self, task: Task, outcome: Outcome) -> Ended:
        """What a job came to, and where that goes."""
        routes = ANYWHERE
        if self._find is not None and outcome.failure is None:
            result = outcome.result
            routes = ANYWHERE if result is None else self._find(result)
        return Ended(task.ticket, outcome, routes)

    def failed(self, task: Task, failure: Failure) -> Ended:
        """A job that was not run to its end."""
        _, key, attempt, *_ = task.assignment
        return Ended(task.ticket, Outcome(key, attempt, None, failure), ANYWHERE)


class JobCalls:
    """Calls ``process`` for each job; whatever it raises becomes a failed outcome.

    What is taken out of ``waiting`` meanwhile is not begun; several threads may take
    from it.
    """

    def __init__(self, calling: Calling, waiting: deque[Task]) -> None:
        self._calling = calling
        self._waiting = waiting
        self._running: Task | None = None

    def run(self) -> Iterator[Ended]:
        """Yield what each came to, one after another."""
        while True:
            try:
                task = self._running = self._waiting.popleft()
            except IndexError:
                return
            self._calling.begin((task,))
            outcome = _run_one(self._calling.process, task)
            end = self._calling.end_of(task, outcome)
            self._running = None
            yield end

    def failed(self, error: BaseException) -> Iterator[Ended]:
        """Fail the job whose call ended in none of the ways it should; go on."""
        if (task := self._running) is not None:
            self._running = None
            yield self._calling.failed(task, describe(error))
        yield from self.run()


class BatchCall:
    """Calls ``process`` once with all jobs; each has an outcome of its own.

    It returns a list with a result for each job, in their order; one that is an
    exception is that job's failure. What it raises fails all of them.
    """

    def __init__(self, calling: Calling, tasks: Sequence[Task]) -> None:
        self._calling = calling
        self._tasks = tasks
        self._yielded = 0

    def run(self) -> Iterator[Ended]:
        """Yield what all came to, as for single jobs."""
        began = time.perf_counter()
        self._calling.begin(self._tasks)
        results: list[Any]
        try:
            answer = self._calling.process(_payloads(self._tasks))
            results = _checked_batch(answer, len(self._tasks))
        except BaseException as error:  # noqa: BLE001 - as for a single job
            results = [error] * len(self._tasks)
        # All of them before the first is handed over: that is the moment.
        for task, outcome in zip(
            self._tasks, _outcomes(self._tasks, results, began), strict=True
        ):
            end = self._calling.end_of(task, outcome)
            self._yielded += 1
            yield end

    def failed(self, error: BaseException) -> Iterator[Ended]:
        """Fail the jobs that have no outcome yet."""
        failure = describe(error)
        for task in self._tasks[self._yielded :]:
            self._yielded += 1
            yield self._calling.failed(task, failure)


async def await_one(calling: Calling, task: Task) -> list[Ended]:
    """Run a job on the event loop; whatever it raises becomes a failed outcome."""
    began = time.perf_counter()
    calling.begin((task,))
    result, failure = None, None
    try:
        awaited: Awaitable[Any] = calling.process(task.assignment.payload)
        result = _checked(await awaited)
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
        awaited: Awaitable[Any] = calling.process(_payloads(tasks))
        results = _checked_batch(await awaited, len(tasks))
    except BaseException as error:  # noqa: BLE001 - as for a single job
        results = [error] * len(tasks)
    outcomes = _outcomes(tasks, results, began)
    return [calling.end_of(*each) for each in zip(tasks, outcomes, strict=True)]


def _payloads(tasks: Sequence[Task]) -> list[Any]:
    return [task.assignment.payload for task in tasks]


def _outcomes(
    tasks: Sequence[Task], results: Sequence[Any], began: float
) -> list[Outcome]:
    duration_s = (time.perf_counter() - began) / len(tasks)
    ends = [_settle(value) for value in results]
    return [
        Outcome(each.assignment.key, each.assignment.attempt, *end, duration_s)
        for each, end in zip(tasks, ends, strict=True)
    ]


def _settle(value: Any) -> tuple[Any, Failure | None]:
    if issubclass(type(value), BaseException):
        return None, describe(value)
    try:
        return _checked(value), None
    except ResultError as error:
        return None, describe(error)


def _checked_batch(results: Any, count: int) -> list[Any]:
    # Not ``isinstance``, which asks a value for its ``__class__``.
    is_list = issubclass(type(results), list)
    own = [*results] if is_list else []
    if not is_list or len(own) != count:
        found = len(own) if is_list else pending(results) or class_name(results)
        raise BatchError(f"process must return a list of {count} results, got {found}")
    return own


def _run_one(process: Callable[[Any], Any], task: Task) -> Outcome:
    began = time.perf_counter()
    result, failure = None, None
    try:
        result = _checked(process(task.assignment.payload))
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a job is a failure
        result, failure = None, describe(error)
    duration_s = time.perf_counter() - began
    _, key, attempt, *_ = task.assignment
    return Outcome(key, attempt, result, failure, duration_s)


def _checked(result: Any) -> Any:
    try:
        return as_json(result)
    except BaseException as error:
        if what := pending(result):
            raise ResultError(
                f"process must return a JSON value, got {what}, which nobody runs: "
                "it must be an async def, or return when its work is done"
            ) from None
        raise ResultError(
            f"process must return a JSON value, got {class_name(result)}: "
            f"{text_of(error)}"
        ) from error
