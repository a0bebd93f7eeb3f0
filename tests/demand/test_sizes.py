"""What is sent, and what is held, is bounded by its size as well as by its number."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.consumer import Consumer
from actors.demand.consumer_subscription import REPEAT_S
from actors.demand.dispatchers import DemandDispatcher, PartitionDispatcher
from actors.demand.job import Failure, Job, Process, size_of
from actors.demand.job_events import JobDropped
from actors.demand.job_routing import Incoming, Routes
from actors.demand.job_store import JobStore
from actors.demand.messages import (
    MESSAGE_BYTES,
    Assignment,
    Confirm,
    Demand,
    Done,
    Jobs,
    Outcome,
    Subscribe,
    Subscribed,
    in_parts,
)
from actors.demand.producer import Decision, Producer
from actors.demand.producer_subscription import Coalescing
from actors.demand.windows import MIB, WINDOW_BYTES, Window

NOW = 100.0
A, B = "r1/1", "r2/1"
FIRST = Process(name="sqrt-1", run="r1", pid=7, host="here")
SECOND = Process(name="sqrt-2", run="r2", pid=8, host="here")
LARGE = "x" * 100_000

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def producer_of(count: int, payload: Any = LARGE, dispatcher: Any = None) -> Producer:
    """One that was asked for a thousand jobs by one consumer and then another."""
    store = JobStore(Buffer(9999), RetryPolicy())
    producer = Producer(store, dispatcher or DemandDispatcher())
    for subscription, process in ((A, FIRST), (B, SECOND)):
        producer.subscribe(Subscribe(subscription=subscription, process=process), NOW)
    producer.fetched([(n, payload) for n in range(count)], NOW)
    return producer


def ask(
    producer: Producer, subscription: str, *, received: int = 0, resend: bool = False
) -> Decision:
    demand = Demand(
        subscription=subscription, total=1000, received=received, resend=resend
    )
    return producer.demanded(demand, NOW)


def sent(decision: Decision, subscription: str = A) -> list[Jobs]:
    return [
        each
        for each in decision.sends
        if isinstance(each, Jobs) and each.subscription == subscription
    ]


def finish(producer: Producer, messages: list[Jobs]) -> Decision:
    jobs = [job for message in messages for job in message.jobs]
    done = Done(
        subscription=messages[0].subscription,
        outcomes=tuple(Outcome(job.key, job.attempt) for job in jobs),
        total=1000,
        received=messages[-1].upto,
    )
    return producer.done(done, NOW, 0.5)


def whole(messages: list[Jobs]) -> list[int]:
    """The numbers of all jobs, where the messages follow one another."""
    assert all(a.upto == b.first for a, b in pairwise(messages))
    return [job.number for message in messages for job in message.jobs]


@given(JSON)
def test_a_size_is_about_what_a_value_takes(value: Any) -> None:
    assert size_of(value) >= len(pickle.dumps(value)) / 4
    assert size_of(pickle.loads(pickle.dumps(value))) == size_of(value)  # noqa: S301


@given(st.lists(st.integers(0, 30)))
def test_parts_are_no_longer_than_they_may_be_unless_they_cannot_be_cut(
    sizes: list[int],
) -> None:
    parts = list(in_parts(sizes, int, 20))

    assert [each for part, _ in parts for each in part] == sizes
    assert [sum(part) for part, _ in parts] == [size for _, size in parts]
    assert all(size <= 20 or len(part) == 1 for part, size in parts)


def test_jobs_are_cut_into_messages_before_they_are_pickled() -> None:
    decision = ask(producer_of(30), A)

    messages = sent(decision)
    assert whole(messages) == list(range(30))
    assert [len(each.jobs) for each in messages] == [10, 10, 10]
    assert all(len(pickle.dumps(each)) <= MESSAGE_BYTES for each in messages)


def test_small_jobs_are_one_message() -> None:
    [message] = sent(ask(producer_of(900, "x"), A))

    assert len(message.jobs) == 900


def test_a_job_as_large_as_a_frame_travels_alone() -> None:
    messages = sent(ask(producer_of(3, "x" * (4 * MIB - 9000)), A))

    # What it holds may come to more by one job: else none might fit.
    assert [len(each.jobs) for each in messages] == [1, 1]


def test_a_consumer_holds_no_more_than_so_many_bytes() -> None:
    producer = producer_of(200)

    first, second = ask(producer, A), ask(producer, B)

    for held in (sent(first, A), sent(second, B)):
        size = sum(each.size for each in held)
        assert WINDOW_BYTES <= size < WINDOW_BYTES + 2 * len(LARGE)
    assert producer.demand == 0
    assert all(map(producer.is_full, producer.subscriptions))
    assert len(producer.store.buffer) > 100
    assert producer.tick(NOW).sends == []


def test_what_a_full_consumer_asked_for_is_sent_as_it_gets_room() -> None:
    producer = producer_of(100)
    going = sent(ask(producer, A))
    numbers = whole(going)

    while going:
        going = sent(finish(producer, going))
        numbers += whole(going)

    assert numbers == list(range(100))
    assert producer.store.accounting().done == 100
    assert producer.demand == 900


def test_jobs_that_do_not_fit_one_consumer_go_to_another_in_order() -> None:
    producer = producer_of(0)
    ask(producer, A)
    ask(producer, B)

    decision = producer.fetched([(n, LARGE) for n in range(200)], NOW)

    keys = [job.key for each in sent(decision, A) for job in each.jobs]
    more = [job.key for each in sent(decision, B) for job in each.jobs]
    left = [job.key for job in producer.store.buffer.take(999)]
    assert keys + more + left == list(range(1, 201))
    assert len(keys) == len(more) == 42


def test_jobs_of_one_route_keep_their_order_where_they_do_not_fit() -> None:
    producer = producer_of(0, dispatcher=PartitionDispatcher())
    ask(producer, A)
    jobs = [Incoming(n, LARGE, Routes((f"key {n % 7}",))) for n in range(200)]
    going = sent(producer.fetched(jobs, NOW))
    routes: dict[str, list[int]] = {}

    while going:
        for job in (job for each in going for job in each.jobs):
            routes.setdefault(f"key {(job.key - 1) % 7}", []).append(job.key)
        going = sent(finish(producer, going))

    assert routes
    assert all(keys == sorted(keys) for keys in routes.values())


def test_what_is_missing_is_sent_again_in_parts() -> None:
    producer = producer_of(35)
    first, *rest = sent(ask(producer, A))

    again = sent(ask(producer, A, received=len(first.jobs), resend=True))

    assert again == rest
    assert len(again) == 3


def test_a_gap_is_told_once_not_with_each_message_behind_it() -> None:
    consumer = Consumer(FIRST, Window(max_demand=100))
    consumer.open("p", NOW)
    consumer.received(Subscribed(subscription=A), NOW)
    behind = [
        Jobs(subscription=A, first=n, upto=n + 1, jobs=(Assignment(n, n, 1, n, n),))
        for n in range(1, 9)
    ]

    told = [consumer.received(each, NOW) for each in behind]
    later = consumer.received(behind[0], NOW + 1.0)

    assert [len(each) for each in told] == [1] + [0] * 7
    assert len(later) == 1


def working(count: int) -> Consumer:
    """A consumer that holds so many jobs."""
    consumer = Consumer(FIRST, Window(max_demand=count))
    consumer.open("p", NOW)
    jobs = tuple(Assignment(n, n, 1, n, n) for n in range(count))
    consumer.received(Jobs(subscription=A, first=0, upto=count, jobs=jobs), NOW)
    return consumer


def test_outcomes_are_cut_into_messages_and_so_they_are_repeated() -> None:
    consumer = working(30)
    tasks = consumer.take(30)

    outcomes = [Outcome(each.assignment.key, 1, LARGE) for each in tasks]
    sends = consumer.all_finished(outcomes, NOW)
    repeated = consumer.tick(NOW + REPEAT_S)

    for each in (sends, repeated):
        messages = [send.message for send in each if isinstance(send.message, Done)]
        assert [len(message.outcomes) for message in messages] == [10, 10, 10]


def test_no_job_is_begun_while_the_results_that_are_owed_are_too_large() -> None:
    consumer = working(3)
    [task] = consumer.take(1)
    consumer.finished(Outcome(task.assignment.key, 1, "x" * WINDOW_BYTES), NOW)

    waits = consumer.take(1)
    consumer.received(Confirm(subscription=A, outcomes=((0, 1),)), NOW)

    assert waits == ()
    assert len(consumer.take(1)) == 1


def test_jobs_that_wait_for_company_make_no_message_that_is_too_long() -> None:
    coalescing = Coalescing()

    def jobs(first: int, size: int) -> Jobs:
        each = (Assignment(first, first, 1, first, first),)
        return Jobs(subscription="a", first=first, upto=first + 1, jobs=each, size=size)

    coalescing.put([jobs(0, 10)], NOW)
    held = coalescing.put([jobs(1, 400_000)], NOW)
    both = coalescing.put([jobs(2, 400_000)], NOW)
    third = coalescing.put([jobs(3, 400_000)], NOW)
    large = coalescing.put([jobs(4, MESSAGE_BYTES)], NOW)

    going = (*held, *both, *third, *large, *coalescing.due(NOW + 9))
    sizes = [each.size for each in going if isinstance(each, Jobs)]
    assert max(sizes) <= MESSAGE_BYTES
    assert sum(sizes) == 1_200_000 + MESSAGE_BYTES


def test_a_buffer_is_full_by_its_bytes() -> None:
    buffer: Buffer[str] = Buffer(100, 1000, len)

    buffer.store(["x" * 400] * 2)
    rooms = [buffer.room]
    buffer.store(["x" * 400])
    rooms.append(buffer.room)
    buffer.take(1)
    rooms.append(buffer.room)
    buffer.take(1)

    assert rooms == [98, 0, 0]
    assert (buffer.room, buffer.bytes, buffer.is_over) == (99, 400, False)


def test_a_buffer_that_may_hold_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="most_bytes must be at least 1, got 0"):
        Buffer(1, 0)


def test_jobs_that_wait_for_a_retry_take_room_by_their_bytes() -> None:
    buffer: Buffer[Job] = Buffer(100, 3 * len(LARGE), lambda job: job.size)
    store = JobStore(buffer, RetryPolicy(attempts=3))
    store.fetched([(n, LARGE) for n in range(2)], NOW)
    rooms = [store.room]
    jobs = store.buffer.take(2)
    store.leased(jobs, FIRST)
    rooms.append(store.room)

    for job in jobs:
        failure = Outcome(job.key, 1, None, Failure("ValueError: no"))
        store.settle(failure, FIRST, NOW, 0.5)
    store.fetched([(9, LARGE)], NOW)

    assert rooms == [98, 100]
    assert store.room == 0


def test_a_buffer_that_drops_does_so_by_its_bytes() -> None:
    buffer: Buffer[Job] = Buffer(100, 3 * len(LARGE), lambda job: job.size)
    store = JobStore(buffer, RetryPolicy(), keep="last")

    events = store.fetched([(n, LARGE) for n in range(5)], NOW)

    assert [each.job.id for each in events if isinstance(each, JobDropped)] == [0, 1, 2]
    assert store.accounting().balanced
