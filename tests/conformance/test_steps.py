"""Behaviours 41 to 44: a processor that is the source of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.consumer import Consumer
from actors.demand.dispatchers import DemandDispatcher
from actors.demand.job import Failure
from actors.demand.job_events import JobDone, JobQuarantined, JobReturned
from actors.demand.job_store import JobStore
from actors.demand.messages import Outcome
from actors.demand.producer import Producer
from actors.demand.step import Step
from actors.demand.windows import Window
from tests.conformance.line import Line, hand, process
from tests.support.consuming import next_of


class Steps:
    """A source, a step, and a last step; a test says when each works."""

    def __init__(self, window: Window | None = None) -> None:
        self.now = 100.0
        self.line = Line()
        first = self.line.join("first", window, need=0)
        store = JobStore(
            Buffer(10), RetryPolicy(attempts=2, jitter=0.0), first_key=1000
        )
        self.middle = Step(first, Producer(store, DemandDispatcher()))
        self.last = Consumer(process("last"), window)

    def open(self) -> None:
        self._up(self.last.open("first", self.now))

    def step(self, result: Callable[[Any], Any]) -> Any:
        """Run one job of the first step, if it may; returns its payload."""
        for task in self.middle.take(1):
            job = task.assignment
            outcome = Outcome(job.key, job.attempt, result(job.payload))
            turn = self.middle.finished(outcome, self.now)
            self.line.send("first", turn.sends)
            self._down(turn.decision.sends)
            return job.payload
        return None

    def end(self, failure: Failure | None = None) -> Any:
        """Run one job of the last step, if it has one; returns its payload."""
        task = next_of(self.last)
        if task is None:
            return None
        job = task.assignment
        result = f"ended {job.payload}"
        outcome = Outcome(job.key, job.attempt, result, failure)
        self._up(self.last.finished(outcome, self.now))
        return job.payload

    def lose_last(self) -> None:
        """The last step's process dies, and is noticed."""
        gone = self.last.process
        self._turn(self.middle.producer.gone(gone, "killed", self.now))

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self._turn(self.middle.producer.tick(self.now))

    def _up(self, sends: list[Any]) -> None:
        for _, message in sends:
            self._turn(hand(self.middle.producer, message, self.now))

    def _turn(self, decision: Any) -> None:
        self.line.send("first", self.middle.decided(decision, self.now))
        self._down(decision.sends)

    def _down(self, messages: list[Any]) -> None:
        for message in messages:
            self._up(self.last.received(message, self.now))


def double(payload: int) -> int:
    return payload * 2


def test_41_a_step_asks_for_nothing_while_nothing_is_asked_of_it() -> None:
    steps = Steps(Window(max_demand=4, min_demand=0))
    steps.line.fetch(*range(10))

    before = list(steps.line.asks["first"])
    steps.open()
    for _ in range(6):
        steps.step(double)

    assert before == []
    assert steps.line.asks["first"] == [4]
    assert steps.line.store.accounting().buffered == 6


def test_41_a_slow_last_step_stops_the_first_at_one_job_each() -> None:
    steps = Steps()
    steps.open()
    steps.line.fetch(*range(10))

    first = [steps.step(double), steps.step(double)]
    ended = steps.end()
    second = [steps.step(double), steps.step(double)]

    assert (first, ended, second) == ([0, None], 0, [1, None])
    assert steps.line.store.accounting().in_flight == 1


def test_42_a_step_that_filters_everything_out_goes_on() -> None:
    steps = Steps()
    steps.open()
    steps.line.fetch(*range(5))

    seen = [steps.step(lambda _: None) for _ in range(5)]

    assert seen == [0, 1, 2, 3, 4]
    assert steps.line.store.accounting().done == 5
    assert steps.end() is None


def test_43_one_job_is_one_result_and_the_order_is_kept() -> None:
    steps = Steps(Window(max_demand=3, min_demand=0))
    steps.open()
    steps.line.fetch(1, 2, 3)
    for _ in range(3):
        steps.step(lambda payload: [payload, payload])

    assert [steps.end() for _ in range(4)] == [[1, 1], [2, 2], [3, 3], None]


def test_44_what_came_from_a_source_that_came_back_is_not_run_twice() -> None:
    line = Line()
    consumer = line.join("a", Window(max_demand=3))
    line.fetch(1, 2, 3)
    running = next_of(consumer)

    line.send("a", consumer.open("source", line.now))

    assert running is not None
    assert (running.assignment.payload, consumer.queued) == (1, 0)


def test_a_job_is_done_when_its_last_step_is() -> None:
    steps = Steps()
    steps.open()
    steps.line.fetch(7)

    steps.step(double)
    between = steps.line.store.accounting()
    steps.end()

    [done] = [event for event in steps.line.events if isinstance(event, JobDone)]
    assert (between.done, between.in_flight) == (0, 1)
    assert (done.job.payload, done.result) == (7, "ended 14")
    assert steps.middle.passed_on == 0


def test_a_failure_is_tried_again_where_it_was_and_then_fails_the_job_for_good() -> (
    None
):
    steps = Steps()
    steps.open()
    steps.line.fetch(7)
    steps.step(double)

    steps.end(Failure("E: no"))
    steps.tick(10.0)
    again = steps.end(Failure("E: still no"))

    [event] = [each for each in steps.line.events if isinstance(each, JobQuarantined)]
    assert again == 14
    assert event.failure == Failure("E: still no (at last)", permanent=True)
    assert event.job.payload == 7


def test_a_last_step_that_dies_gives_its_job_to_the_next() -> None:
    steps = Steps()
    steps.open()
    steps.line.fetch(7)
    steps.step(double)

    steps.lose_last()
    steps.last = Consumer(process("other"))
    steps.open()

    assert steps.end() == 14
    assert steps.line.store.accounting().done == 1


def test_a_middle_step_that_dies_starts_its_jobs_over() -> None:
    steps = Steps()
    steps.open()
    steps.line.fetch(7)
    steps.step(double)

    steps.line.gone("first")
    steps.line.join("second")

    [returned] = [each for each in steps.line.events if isinstance(each, JobReturned)]
    assert returned.job.payload == 7
    assert steps.line.work("second") == [7]


def test_results_that_wait_for_a_retry_stop_a_step_when_there_is_no_room() -> None:
    steps = Steps()
    steps.open()
    steps.line.fetch(*range(30))

    for _ in range(10):
        steps.step(double)
        steps.end(Failure("E: later", retry_after_s=3000.0))
    stopped = steps.step(double)

    assert stopped is None
    assert steps.middle.consumer.need == 0
