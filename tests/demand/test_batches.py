"""Batches with their neighbours: what fills them, and what lets them go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.consumer import Consumer
from actors.demand.dispatchers import DemandDispatcher
from actors.demand.job import Process
from actors.demand.job_store import JobStore
from actors.demand.messages import Assignment, Jobs, Outcome
from actors.demand.producer import Producer
from actors.demand.step import Step
from actors.demand.windows import FLUSH_S, FLUSHING_S, Batching, Window
from tests.conformance.line import Line, process

NOW = 100.0


def batching(line: Line, name: str, window: Window, size: int) -> Consumer:
    consumer = line.join(name, window)
    consumer.batch_size = size
    return consumer


def work_off(line: Line, name: str, count: int, together: int) -> None:
    """Run a batch, and tell so many outcomes at a time, as a worker does."""
    consumer = line.consumers[name]
    outcomes = [
        Outcome(each.assignment.key, each.assignment.attempt, "done")
        for each in consumer.take(count)
    ]
    while outcomes:
        line.send(name, consumer.all_finished(outcomes[:together], line.now))
        outcomes = outcomes[together:]


@given(
    size=st.integers(2, 9),
    more=st.integers(0, 9),
    least=st.none() | st.integers(0, 8),
    together=st.integers(1, 9),
)
def test_a_batch_fills_while_there_are_jobs(
    size: int, more: int, least: int | None, together: int
) -> None:
    most = size + more
    window = Window(max_demand=most, min_demand=min(least or 0, most - 1))
    line = Line()
    consumer = batching(line, "last", window, size)
    line.fetch(*range(10 * size))
    taken = 0

    while taken < 10 * size:
        # Nothing but what was asked for at the end of the last batch has come.
        assert consumer.queued >= size
        assert consumer.queued <= most
        work_off(line, "last", size, together)
        taken += size

    assert line.store.accounting().done == 10 * size


def test_what_a_batch_lacks_is_asked_of_every_source() -> None:
    window = Window(max_demand=4, min_demand=0)
    consumer = Consumer(process("last"), window, batch_size=4)
    consumer.open("north", NOW)
    consumer.open("south", NOW)
    for number, subscription in enumerate(("last.1/1", "last.1/2")):
        jobs = tuple(Assignment(n, 10 * number + n, 1, f"{n}", n) for n in range(2))
        message = Jobs(subscription=subscription, first=0, upto=2, jobs=jobs)
        consumer.received(message, NOW)
    taken = consumer.take(4)

    sends = [
        send
        for each in taken
        for send in consumer.finished(Outcome(each.assignment.key, 1, "done"), NOW)
    ]

    # Two of each were still asked for: at the end two more are, above the floor.
    totals = {send.source: getattr(send.message, "total", None) for send in sends}
    assert totals == {"north": 6, "south": 6}


def test_a_step_that_batches_asks_for_a_batch_where_one_result_is_wanted() -> None:
    store = JobStore(Buffer(100), RetryPolicy())
    producer = Producer(store, DemandDispatcher())
    consumer = Consumer(process("first"), Window(max_demand=8), batch_size=5)
    step = Step(consumer, producer)
    assert consumer.need == 0
    assert not consumer.may_begin
    last = Consumer(process("last"))

    for _, message in last.open("first", NOW):
        step.decided(producer.receive(message, NOW, lambda: 0.5), NOW)

    assert consumer.need == 5
    assert consumer.may_begin


def test_a_step_with_little_room_asks_for_no_more_than_fits() -> None:
    store = JobStore(Buffer(3), RetryPolicy())
    producer = Producer(store, DemandDispatcher())
    consumer = Consumer(process("first"), Window(max_demand=8), batch_size=5)
    step = Step(consumer, producer)

    for _, message in Consumer(process("last")).open("first", NOW):
        step.decided(producer.receive(message, NOW, lambda: 0.5), NOW)

    assert consumer.need == 3


def test_a_suspect_that_comes_alone_waits_for_no_company() -> None:
    line = Line()
    consumer = batching(line, "last-1", Window(max_demand=5), 5)
    line.join("last-2", Window(max_demand=5))
    line.gone("last-2")
    line.fetch(1, 2, 3)
    assert (consumer.queued, consumer.is_whole) == (3, False)
    dying = line.join("last-3", Window(max_demand=5))
    line.fetch(4, 5, 6, 7)
    assert dying.queued

    line.gone("last-3")

    # The suspects wait for a processor that holds nothing: this one is to be it.
    assert consumer.is_whole
    work_off(line, "last-1", 5, 5)
    assert (consumer.queued, consumer.is_whole) == (1, True)


@pytest.mark.parametrize("flush_first", [True, False])
def test_what_is_flushed_waits_for_a_moment_only(
    flush_first: bool,  # noqa: FBT001
) -> None:
    rules = Batching(5, 60.0)
    if flush_first:
        rules.flush(NOW)
    assert rules.due(3, NOW) == 0
    if not flush_first:
        rules.flush(NOW)

    assert rules.due_at == pytest.approx(NOW + FLUSH_S)
    assert rules.due(3, NOW + FLUSH_S) == 3


def test_a_flush_is_over_after_a_while() -> None:
    rules = Batching(5, 60.0)
    rules.flush(NOW)

    rules.due(3, NOW + FLUSHING_S)

    assert rules.due_at == NOW + FLUSHING_S + 60.0


def test_a_timeout_that_is_shorter_than_a_flush_stands() -> None:
    rules = Batching(5, 0.01)
    rules.flush(NOW)

    rules.due(3, NOW)

    assert rules.due_at == pytest.approx(NOW + 0.01)


def test_nothing_is_begun_while_results_of_it_would_be_wanted_by_nobody() -> None:
    consumer = Consumer(Process(name="first-1", run="1", pid=1, host="h"), batch_size=2)
    consumer.need = 0

    assert not consumer.may_begin
    assert consumer.take(2) == ()
