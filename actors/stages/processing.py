"""One call of a processor's worker: run the user's function over jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from actors.flow.json_values import as_json
from actors.flow.messages import Assignment, Outcome
from actors.stages.fetching import describe

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator, Sequence

    from actors.flow.messages import Failure


class ResultError(TypeError):
    """What ``process`` returned is not a JSON value."""

    permanent = True


class BatchError(TypeError):
    """What ``process`` returned is not a list with a result for each job."""

    permanent = True


def process_run(
    process: Callable[[Any], Any], waiting: deque[Assignment]
) -> Iterator[Outcome]:
    """Call ``process`` for each; whatever it raises becomes a failed outcome.

    What is taken out of ``waiting`` meanwhile is not begun.
    """
    while True:
        try:
            assignment = waiting.popleft()
        except IndexError:
            return
        yield _run_one(process, assignment)


def batch_run(
    process: Callable[[list[Any]], Any], assignments: Sequence[Assignment]
) -> Iterator[Outcome]:
    """Call ``process`` once with all jobs; each has an outcome of its own.

    It returns a list with a result for each job, in their order; one that is an
    exception is that job's failure. What it raises fails all of them.
    """
    began = time.perf_counter()
    results: list[Any]
    try:
        results = process([each.payload for each in assignments])
        _check_batch(results, len(assignments))
    except BaseException as error:  # noqa: BLE001 - as for a single job
        results = [error] * len(assignments)
    duration_s = (time.perf_counter() - began) / len(assignments)
    for assignment, value in zip(assignments, results, strict=True):
        result, failure = _settle(value)
        yield Outcome(assignment.key, assignment.attempt, result, failure, duration_s)


def _settle(value: Any) -> tuple[Any, Failure | None]:
    if isinstance(value, BaseException):
        return None, describe(value)
    try:
        return _checked(value), None
    except ResultError as error:
        return None, describe(error)


def _check_batch(results: Any, count: int) -> None:
    if not isinstance(results, list) or len(results) != count:
        found = len(results) if isinstance(results, list) else type(results).__name__
        raise BatchError(f"process must return a list of {count} results, got {found}")


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
    except (TypeError, ValueError) as error:
        raise ResultError(
            f"process must return a JSON value, got {type(result).__name__}: {error}"
        ) from error
