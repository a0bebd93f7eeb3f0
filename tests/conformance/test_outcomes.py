"""Behaviours 58 to 70: what becomes of jobs, alone and in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from actors.demand.consumer import Task
from actors.demand.dispatchers import PartitionDispatcher
from actors.demand.job import Failure
from actors.demand.job_events import (
    JobDone,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
)
from actors.demand.messages import Assignment, Confirm, Outcome
from actors.demand.rate_limit import Rate
from actors.demand.windows import Batching, Window
from actors.processor.process_call import BatchCall, Calling, JobCalls
from tests.conformance.line import Line
from tests.support.consuming import next_of


def tasks(*payloads: Any) -> list[Task]:
    return [
        Task("p", Assignment(n, n, 1, n, payload), n)
        for n, payload in enumerate(payloads)
    ]


def called(process: Callable[[Any], Any], *payloads: Any) -> list[Outcome]:
    calling = Calling(process, None, lambda: 0.0)
    return [each.outcome for each in JobCalls(calling, deque(tasks(*payloads))).run()]


def called_together(process: Callable[[Any], Any], *payloads: Any) -> list[Outcome]:
    calling = Calling(process, None, lambda: 0.0)
    return [each.outcome for each in BatchCall(calling, tasks(*payloads)).run()]


@pytest.mark.parametrize("together", [False, True])
def test_an_exception_out_of_nowhere_behind_a_call_loses_no_outcome(
    *, together: bool
) -> None:
    """As of a library that ends what takes long, when it has just ended."""

    def late() -> None:
        raise SystemExit(3)

    calling = Calling(lambda _: [0], None, lambda: 0.0)
    call: JobCalls | BatchCall = JobCalls(calling, deque(tasks(5)), waits_next=late)
    if together:
        call = BatchCall(calling, tasks(5), waits_next=late)
    with pytest.raises(SystemExit) as raised:
        next(call.run())

    assert errors([each.outcome for each in call.failed(raised.value)]) == [
        "SystemExit: 3"
    ]


def errors(outcomes: list[Outcome]) -> list[str | None]:
    return [each.failure.error if each.failure else None for each in outcomes]


def half(job: int) -> float:
    if job % 2:
        raise ValueError(f"{job} is odd")
    return job / 2


def test_58_a_job_that_raises_harms_no_other() -> None:
    outcomes = called(half, 2, 3, 4)

    assert errors(outcomes) == [None, "ValueError: 3 is odd", None]
    assert [each.result for each in outcomes] == [1.0, None, 2.0]
    assert outcomes[1].failure is not None
    assert "in half" in outcomes[1].failure.trace


@pytest.mark.parametrize(
    ("process", "error"),
    [
        (lambda _: object(), "ResultError: process must return a JSON value"),
        (lambda _: exit(3), "SystemExit: 3"),  # noqa: PLR1722
        (lambda job: [][job], "IndexError: list index out of range"),
    ],
    ids=["no JSON", "exit", "index"],
)
def test_59_whatever_a_function_does_is_an_outcome(
    process: Callable[[Any], Any], error: str
) -> None:
    [outcome] = called(process, 1)

    assert outcome.failure is not None
    assert outcome.failure.error.startswith(error)


def test_59_a_batch_without_a_result_for_each_job_fails_as_a_whole() -> None:
    outcomes = called_together(lambda jobs: jobs[1:], 1, 2)

    text = "BatchError: process must return a list of 2 results, got 1"
    assert errors(outcomes) == [text, text]


def test_60_a_job_that_cannot_be_done_is_kept_with_its_errors() -> None:
    line = Line()
    line.join("a")
    line.fetch("job")

    line.work("a", failure=Failure("E: once"))
    line.tick(3.0)
    line.work("a", failure=Failure("E: for good", permanent=True))

    told = [
        each.failure.error
        for each in line.events
        if isinstance(each, JobFailed | JobQuarantined)
    ]
    assert told == ["E: once", "E: for good"]


def test_61_a_batch_goes_out_by_size_by_time_or_at_the_end() -> None:
    batching = Batching(size=4, timeout_s=1.0)

    by_size = [batching.due(2, 10.0), batching.due(6, 10.5)]
    by_time = [batching.due(3, 20.0), batching.due(3, 20.9), batching.due(3, 21.0)]
    at_the_end = [batching.due(1, 30.0), batching.due(1, 30.1, flush=True)]

    assert (by_size, by_time, at_the_end) == ([0, 4], [0, 0, 3], [0, 1])


def test_61_the_wait_begins_with_the_first_job_of_each_batch() -> None:
    batching = Batching(size=4, timeout_s=1.0)

    assert batching.due(1, 10.0) == 0
    assert batching.due(1, 11.0) == 1
    assert batching.due(0, 11.5) == 0
    assert (batching.due(1, 12.0), batching.due_at) == (0, 13.0)


def test_62_a_partition_is_with_one_processor_in_order() -> None:
    line = Line(dispatcher=PartitionDispatcher())
    for name in ("a", "b", "c"):
        line.join(name, Window(max_demand=2))
    line.route(*(((key, n), key) for n in range(9) for key in "xyz"))

    while max(len(line.work(name)) for name in line.consumers):
        continue

    for key in "xyz":
        of_key = [(name, job[1]) for name, job in line.ran if job[0] == key]
        assert len({name for name, _ in of_key}) == 1
        assert [n for _, n in of_key] == [*range(9)]


def test_67_no_more_jobs_go_out_than_the_limit_and_demand_is_remembered() -> None:
    line = Line()
    line.producer.rate = Rate(2, 1.0)
    consumer = line.join("a", Window(max_demand=10))
    line.fetch(*range(5))

    held = [consumer.held]
    for _ in range(4):
        line.tick(0.5)
        held.append(consumer.held)

    assert held == [2, 2, 4, 4, 5]
    assert line.asks["a"] == [10]


def test_67_another_limit_counts_from_the_moment_it_is_set() -> None:
    line = Line()
    rate = line.producer.rate = Rate(1, 60.0)
    consumer = line.join("a", Window(max_demand=10))
    line.fetch(*range(5))

    rate.change(3, 1.0)
    line.tick(0.1)
    raised = consumer.held
    line.tick(1.0)

    assert (raised, consumer.held) == (3, 5)


def test_67_a_limit_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        Rate(0, 1.0)
    with pytest.raises(ValueError, match="interval_s must be above 0, got 0"):
        Rate(1, 0)


def test_68_outcomes_that_travel_together_keep_their_order() -> None:
    line = Line()
    consumer = line.join("a", Window(max_demand=100, min_demand=0))
    line.fetch(*range(3))

    line.work("a", 3)
    line.send("a", consumer.tick(line.now + 1.0))

    [confirm] = [each for _, each in line.answers if isinstance(each, Confirm)]
    assert confirm.outcomes == ((1, 1), (2, 1), (3, 1))


def test_69_an_outcome_counts_once_however_often_it_comes() -> None:
    line = Line()
    consumer = line.join("a")
    line.fetch("job")
    task = next_of(consumer)
    assert task is not None
    job = task.assignment
    sends = consumer.finished(Outcome(job.key, job.attempt, 1), line.now)

    line.send("a", [*sends, *sends])

    assert len([each for each in line.events if isinstance(each, JobDone)]) == 1
    assert line.store.accounting().done == 1


def test_70_the_facts_tell_each_job_s_way_in_order() -> None:
    line = Line()
    line.join("a")
    line.fetch("job")

    line.work("a", failure=Failure("E: once"))
    line.tick(3.0)
    line.work("a")

    kinds: list[type[JobEvent]] = [JobFetched, JobLeased, JobFailed, JobLeased, JobDone]
    assert [type(event) for event in line.events] == kinds
    done = line.events[-1]
    assert isinstance(done, JobDone)
    assert (done.attempt, done.process.name, done.result) == (2, "a", "done")
