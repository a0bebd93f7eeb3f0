"""One call of a processor's worker: run the user's function over jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job import as_json, pending
from actors.demand.job_routing import ANYWHERE
from actors.demand.messages import Assignment, Outcome
from actors.host.texts import class_name, text_of
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator, Sequence

    from actors.demand.job import Failure
    from actors.demand.job_routing import Routes


class ResultError(TypeError):
    """What ``process`` returned is not a JSON value."""

    permanent = True


class BatchError(TypeError):
    """What ``process`` returned is not a list with a result for each job."""

    permanent = True


class Passed(NamedTuple):
    """A step's outcome, and where its result goes from there."""

    outcome: Outcome
    routes: Routes


class JobCalls:
    """Calls ``process`` for each job; whatever it raises becomes a failed outcome.

    What is taken out of ``waiting`` meanwhile is not begun. In a step ``find``
    says where a result goes, in the same thread: it may ask the user's functions.
    """

    def __init__(
        self,
        process: Callable[[Any], Any],
        waiting: deque[Assignment],
        find: Callable[[Any], Routes] | None = None,
    ) -> None:
        self._process = process
        self._waiting = waiting
        self._find = find
        self._running: Assignment | None = None

    def run(self) -> Iterator[Any]:
        """Yield the `Outcome` of each, one after another; in a step, `Passed`."""
        while True:
            try:
                self._running = self._waiting.popleft()
            except IndexError:
                return
            outcome = _end_of(_run_one(self._process, self._running), self._find)
            self._running = None
            yield outcome

    def failed(self, error: BaseException) -> Iterator[Any]:
        """Fail the job whose call ended in none of the ways it should; go on."""
        if (assignment := self._running) is not None:
            self._running = None
            yield _end_of(_failed(assignment, describe(error)), self._find)
        yield from self.run()


class BatchCall:
    """Calls ``process`` once with all jobs; each has an outcome of its own.

    It returns a list with a result for each job, in their order; one that is an
    exception is that job's failure. What it raises fails all of them.
    """

    def __init__(
        self,
        process: Callable[[list[Any]], Any],
        assignments: Sequence[Assignment],
        find: Callable[[Any], Routes] | None = None,
    ) -> None:
        self._process = process
        self._assignments = assignments
        self._find = find
        self._yielded = 0

    def run(self) -> Iterator[Any]:
        """Yield the outcomes of all, as for single jobs."""
        began = time.perf_counter()
        count = len(self._assignments)
        results: list[Any]
        try:
            answer = self._process([each.payload for each in self._assignments])
            results = _checked_batch(answer, count)
        except BaseException as error:  # noqa: BLE001 - as for a single job
            results = [error] * count
        duration_s = (time.perf_counter() - began) / count
        # All of them before the first is handed over: that is the moment.
        ends = [_settle(value) for value in results]
        outcomes = [
            Outcome(key, attempt, result, failure, duration_s)
            for (_, key, attempt, *_), (result, failure) in zip(
                self._assignments, ends, strict=True
            )
        ]
        for outcome in outcomes:
            end = _end_of(outcome, self._find)
            self._yielded += 1
            yield end

    def failed(self, error: BaseException) -> Iterator[Any]:
        """Fail the jobs that have no outcome yet."""
        failure = describe(error)
        for assignment in self._assignments[self._yielded :]:
            self._yielded += 1
            yield _end_of(_failed(assignment, failure), self._find)


def _end_of(outcome: Outcome, find: Callable[[Any], Routes] | None) -> Outcome | Passed:
    if find is None:
        return outcome
    if outcome.failure is not None or outcome.result is None:
        return Passed(outcome, ANYWHERE)
    return Passed(outcome, find(outcome.result))


def _failed(assignment: Assignment, failure: Failure) -> Outcome:
    return Outcome(assignment.key, assignment.attempt, None, failure)


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


def _run_one(process: Callable[[Any], Any], assignment: Assignment) -> Outcome:
    began = time.perf_counter()
    result, failure = None, None
    try:
        result = _checked(process(assignment.payload))
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a job is a failure
        result, failure = None, describe(error)
    duration_s = time.perf_counter() - began
    _, key, attempt, *_ = assignment
    return Outcome(key, attempt, result, failure, duration_s)


def _checked(result: Any) -> Any:
    try:
        return as_json(result)
    except BaseException as error:
        if what := pending(result):
            raise ResultError(
                f"process must return a JSON value, got {what}, which nobody runs: "
                "it must be an ordinary function that returns when its work is done"
            ) from None
        raise ResultError(
            f"process must return a JSON value, got {class_name(result)}: "
            f"{text_of(error)}"
        ) from error
