"""Calls of the user's function, over one job or over a list, and the threads for it.

A runner is given jobs and hands over what they came to; how many at a time is up to
the processor. What decides when a job is over its time is not here.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from contextvars import ContextVar
from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actors.demand.job import as_json, pending
from actors.demand.job_routing import ANYWHERE
from actors.demand.messages import Outcome
from actors.hooks import spans
from actors.host.texts import class_name, text_of
from actors.processor.progress import read_progress
from actors.processor.set_up import TEAR_DOWN_S
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from actors.actor_system.worker import Worker
    from actors.demand.consumer import Task
    from actors.demand.job import Failure
    from actors.demand.job_routing import Routes
    from actors.processor.progress import Progress
    from actors.processor.set_up import IsSetUp, SetUp


class JobRun:
    """One run of a job, or of a list of jobs, as its function and its stage see it.

    The stage writes ``cancelled`` and the function reads it, in another thread; with
    ``told`` and ``alive_at`` it is the other way round.

    Attributes:
        alive_at: When it began, or last told something new; in monotonic seconds.
        cancelled: Whether the result is not wanted any more.
        told: How far it is, if it has said so.
    """

    __slots__ = ("_now", "alive_at", "cancelled", "told")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.alive_at = now()
        self.cancelled = False
        self.told: Progress | None = None

    def tell(self, told: Progress) -> None:
        """Note how far it is; what it has said before is no sign of life."""
        if told != self.told:
            self.told, self.alive_at = told, self._now()


#: A context variable: each thread has its own value, and each task of a loop; what
#: ``asyncio.to_thread`` calls has that of its task.
_current: ContextVar[JobRun | None] = ContextVar("lowtide_job", default=None)


def cancelled() -> bool:
    """Whether the job that calls this should end: its result is not wanted any more.

    That is so once it is over ``--job-timeout``. A job in a thread, which nobody can
    stop, may look now and then, and return. Outside a job it is false.
    """
    run = _current.get()
    return run is not None and run.cancelled


def progress(fraction: float | None, text: str = "") -> None:
    """Say how far the job that calls this is, for ``status``, ``top`` and the page.

    What is new counts as a sign of life: ``--job-timeout`` counts from it anew. Of a
    list of jobs it is said of all of them. Outside a job, as in a test of the
    function, it only looks at what it is given.

    Args:
        fraction: From 0 to 1. What is below or above becomes that; none, or what is
            no number (nan), is not known.
        text: What is done now; 200 characters of it are shown.

    Raises:
        TypeError: It is no number, or no text.
    """
    told = read_progress(fraction, text)
    if (run := _current.get()) is not None:
        run.tell(told)


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
        run = JobRun(self._now)
        for task in tasks:
            self.runs[task.ticket] = run
        _current.set(run)

    def end_of(self, task: Task, outcome: Outcome) -> Ended:
        """What a job came to, and where that goes."""
        if task.assignment.trace:
            spans.tell_step(task, outcome)
        routes = ANYWHERE
        if self._find is not None and outcome.failure is None:
            result = outcome.result
            routes = ANYWHERE if result is None else self._find(result)
        return Ended(task.ticket, outcome, routes)

    def failed(self, task: Task, failure: Failure) -> Ended:
        """A job that was not run to its end."""
        _, key, attempt, *_ = task.assignment
        outcome = Outcome(key, attempt, None, failure)
        if task.assignment.trace:
            spans.tell_step(task, outcome)
        return Ended(task.ticket, outcome, ANYWHERE)


class JobCalls:
    """Calls ``process`` for each job; whatever it raises becomes a failed outcome.

    What is taken out of ``waiting`` meanwhile is not begun; several threads may take
    from it.
    """

    def __init__(
        self,
        calling: Calling,
        waiting: deque[Task],
        speak: Callable[[], object] = bool,
        waits_next: Callable[[], object] = bool,
    ) -> None:
        """Take from what waits.

        Args:
            calling: How the function is called.
            waiting: Jobs that are not begun.
            speak: Called before a job is begun, which may take long: what those
                before it came to is to be heard.
            waits_next: Called before a job's end is yielded behind which there is
                nothing to do.
        """
        self._calling = calling
        self._waiting = waiting
        self._speak = speak
        self._waits_next = waits_next
        self._running: list[Task] = []

    def run(self) -> Iterator[Ended]:
        """Yield what each came to, one after another."""
        while True:
            try:
                # In one step of C, and let go of right before its end is yielded:
                # an exception out of nowhere comes between two steps of Python's.
                self._running = [*starmap(self._waiting.popleft, _ONCE)]
            except IndexError:
                return
            [task] = self._running
            self._speak()
            self._calling.begin((task,))
            outcome = _run_one(self._calling.process, task)
            end = self._calling.end_of(task, outcome)
            if not self._waiting:
                self._waits_next()
            self._running = []
            yield end

    def failed(self, error: BaseException) -> Iterator[Ended]:
        """Fail the job whose call ended in none of the ways it should; go on."""
        for task in self._running:
            end = self._calling.failed(task, describe(error))
            self._running = []
            yield end
        yield from self.run()


#: Has `starmap` call once, with nothing.
_ONCE = ((),)


class BatchCall:
    """Calls ``process`` once with all jobs; each has an outcome of its own.

    It returns a list with a result for each job, in their order; one that is an
    exception is that job's failure. What it raises fails all of them.
    """

    def __init__(
        self,
        calling: Calling,
        tasks: Sequence[Task],
        waits_next: Callable[[], object] = bool,
    ) -> None:
        """Take all of them; ``waits_next`` is called before the last end is yielded."""
        self._calling = calling
        self._tasks = tasks
        self._waits_next = waits_next
        self._yielded = 0

    def run(self) -> Iterator[Ended]:
        """Yield what all came to, as for single jobs."""
        began = time.perf_counter()
        self._calling.begin(self._tasks)
        results: list[Any]
        try:
            with within_span(self._tasks[0]):
                answer = self._calling.process(payloads_of(self._tasks))
            results = checked_batch(answer, len(self._tasks))
        except BaseException as error:  # noqa: BLE001 - as for a single job
            results = [error] * len(self._tasks)
        # All of them before the first is handed over: that is the moment.
        for task, outcome in zip(
            self._tasks, outcomes_of(self._tasks, results, began), strict=True
        ):
            end = self._calling.end_of(task, outcome)
            if task is self._tasks[-1]:
                self._waits_next()
            self._yielded += 1
            yield end

    def failed(self, error: BaseException) -> Iterator[Ended]:
        """Fail the jobs that have no outcome yet."""
        failure = describe(error)
        for task in self._tasks[self._yielded :]:
            end = self._calling.failed(task, failure)
            self._yielded += 1
            yield end


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

    def take(self) -> list[Any]:
        """What has ended since the last call, and the end of `set_up`."""

    def set_up(self, setup: SetUp) -> None:
        """Make what is kept over jobs, before the first of them."""

    def take_back(self, count: int) -> int:
        """Take back jobs that are not begun, the last ones first; returns how many."""

    def withdraw(self, task: Task) -> bool:
        """Take back a job, if it is not begun; returns whether it was not."""

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
        self._setup: SetUp | None = None

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
            calls = JobCalls(
                *(self.calling, self._waiting),
                *(self._worker.speak, self._worker.waits_next),
            )
            self._worker.call(calls.run, calls.failed)

    def begin_batch(self, tasks: Sequence[Task]) -> None:
        """Run jobs in one call."""
        batch = BatchCall(self.calling, tasks, self._worker.waits_next)
        self._worker.call(batch.run, batch.failed)

    def take(self) -> list[Ended | IsSetUp]:
        """What has ended since the last call."""
        return self._worker.take()

    def set_up(self, setup: SetUp) -> None:
        """Make what is kept over jobs."""
        self._setup = setup
        self._worker.call(setup.run, setup.failed)

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

    def withdraw(self, task: Task) -> bool:
        """Take back a job, if no thread has taken it."""
        # A thread may take it between any two lines.
        with contextlib.suppress(ValueError):
            self._waiting.remove(task)
            return True
        return False

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
        if self._setup is not None:
            self._worker.finish(self._setup.tear_down, self._setup.failed, TEAR_DOWN_S)
        self._worker.stop()


def payloads_of(tasks: Sequence[Task]) -> list[Any]:
    """What the jobs hold."""
    return [task.assignment.payload for task in tasks]


def outcomes_of(
    tasks: Sequence[Task], results: Sequence[Any], began: float
) -> list[Outcome]:
    """What a call over several jobs came to, by the results or errors of each."""
    duration_s = max(0.0, time.perf_counter() - began) / len(tasks)
    ends = [_settle(value) for value in results]
    return [
        Outcome(each.assignment.key, each.assignment.attempt, *end, duration_s)
        for each, end in zip(tasks, ends, strict=True)
    ]


def _settle(value: Any) -> tuple[Any, Failure | None]:
    if issubclass(type(value), BaseException):
        return None, describe(value)
    try:
        return checked(value), None
    except ResultError as error:
        return None, describe(error)


def checked_batch(results: Any, count: int) -> list[Any]:
    """What ``process`` returned for a list of jobs.

    Raises:
        BatchError: It is not a list with a result for each.
    """
    # Not ``isinstance``, which asks a value for its ``__class__``.
    is_list = issubclass(type(results), list)
    own = [*results] if is_list else []
    if not is_list or len(own) != count:
        found = len(own) if is_list else pending(results) or class_name(results)
        raise BatchError(f"process must return a list of {count} results, got {found}")
    return own


def within_span(task: Task) -> contextlib.AbstractContextManager[None]:
    """What a job's function runs in: where traces are made, the span of its attempt.

    A list of jobs runs in that of its first: a span has one parent.
    """
    if spans.seed is None and spans.leaders is None:
        return _NO_SPAN
    return spans.Within(task)


_NO_SPAN = contextlib.nullcontext()


def _run_one(process: Callable[[Any], Any], task: Task) -> Outcome:
    began = time.perf_counter()
    result, failure = None, None
    try:
        with within_span(task):
            result = checked(process(task.assignment.payload))
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a job is a failure
        result, failure = None, describe(error)
    # Not below nothing: the user's code may set the clock, as freezegun does.
    duration_s = max(0.0, time.perf_counter() - began)
    _, key, attempt, *_ = task.assignment
    return Outcome(key, attempt, result, failure, duration_s)


def checked(result: Any) -> Any:
    """A copy of what ``process`` returned, as JSON.

    Raises:
        ResultError: It is not a JSON value.
    """
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
