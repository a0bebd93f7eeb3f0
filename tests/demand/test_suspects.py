"""Jobs that were there when a processor crashed are sent again alone."""

from __future__ import annotations

import pytest

from actors.demand.backoff import RetryPolicy
from actors.demand.buffer import Buffer
from actors.demand.dispatchers import DemandDispatcher
from actors.demand.job import Process
from actors.demand.job_events import JobQuarantined, JobReturned
from actors.demand.job_store import JobStore
from actors.demand.messages import Cancel, Demand, Done, Jobs, Outcome, Subscribe
from actors.demand.producer import Decision, Producer

NOW = 100.0


@pytest.fixture
def producer() -> Producer:
    policy = RetryPolicy(attempts=9, crashes=3, jitter=0.0)
    producer = Producer(JobStore(Buffer(99), policy), DemandDispatcher())
    producer.fetched([(f"id{key}", None) for key in range(1, 10)], NOW)
    return producer


def process(name: str) -> Process:
    return Process(name=name, run=name, pid=1, host="here")


def join(producer: Producer, name: str, total: int = 2) -> Decision:
    producer.subscribe(Subscribe(subscription=name, process=process(name)), NOW)
    return ask(producer, name, total)


def ask(producer: Producer, name: str, total: int) -> Decision:
    return producer.demanded(Demand(subscription=name, total=total, received=0), NOW)


def finish(producer: Producer, name: str, *leases: tuple[int, int]) -> Decision:
    outcomes = tuple(Outcome(key, attempt) for key, attempt in leases)
    done = Done(subscription=name, outcomes=outcomes, total=0, received=0)
    return producer.done(done, NOW, 0.5)


def crash(producer: Producer, name: str) -> Decision:
    return producer.gone(process(name), "killed", NOW)


def sent(decision: Decision) -> dict[str, list[int]]:
    keys: dict[str, list[int]] = {}
    for message in decision.sends:
        if isinstance(message, Jobs):
            some = keys.setdefault(message.subscription, [])
            some += [each.key for each in message.jobs]
    return keys


def isolated(producer: Producer) -> list[str]:
    return [each.id for each in producer.subscriptions if producer.isolates(each)]


def test_each_goes_to_a_consumer_that_holds_nothing_else(producer: Producer) -> None:
    join(producer, "a")
    crash(producer, "a")

    first, second = join(producer, "b"), join(producer, "c")

    assert (sent(first), sent(second)) == ({"b": [1]}, {"c": [2]})
    assert isolated(producer) == ["b", "c"]


def test_a_consumer_with_a_suspect_gets_nothing_else(producer: Producer) -> None:
    join(producer, "a")
    crash(producer, "a")
    join(producer, "b")

    decision = ask(producer, "b", 5)

    assert (sent(decision), producer.demand) == ({}, 0)


def test_suspects_follow_one_another_and_then_the_others(producer: Producer) -> None:
    join(producer, "a")
    crash(producer, "a")
    join(producer, "b", 4)

    steps = [finish(producer, "b", (1, 2)), finish(producer, "b", (2, 2))]

    assert [sent(each) for each in steps] == [{"b": [2]}, {"b": [3, 4]}]
    assert isolated(producer) == []


def test_a_busy_consumer_is_held_back_until_it_has_finished(
    producer: Producer,
) -> None:
    join(producer, "a")
    join(producer, "b")
    crash(producer, "a")
    ask(producer, "b", 4)

    steps = [finish(producer, "b", (3, 1)), finish(producer, "b", (4, 1))]

    assert [sent(each) for each in steps] == [{}, {"b": [1]}]
    assert isolated(producer) == ["b"]


def test_only_one_busy_consumer_is_held_back(producer: Producer) -> None:
    for name in ("a", "b", "c"):
        join(producer, name)
    crash(producer, "a")
    ask(producer, "b", 4)

    decision = ask(producer, "c", 4)

    assert (isolated(producer), sent(decision)) == (["b"], {"c": [7, 8]})


def test_the_job_that_crashes_alone_is_the_one_to_blame(producer: Producer) -> None:
    join(producer, "a")
    crash(producer, "a")
    join(producer, "b", 1)
    events = crash(producer, "b").events
    join(producer, "c", 1)
    finish(producer, "c", (2, 2))
    ask(producer, "c", 2)

    events += crash(producer, "c").events

    blamed = [
        (event.job.key, event.job.crashes, type(event))
        for event in events
        if isinstance(event, JobReturned | JobQuarantined)
    ]
    assert blamed == [(1, 3, JobReturned), (1, 3, JobQuarantined)]
    assert producer.store.accounting().quarantined == 1


def test_a_consumer_that_drains_while_it_is_held_back_is_let_go(
    producer: Producer,
) -> None:
    join(producer, "a")
    join(producer, "b")
    crash(producer, "a")

    producer.cancelled(Cancel(subscription="b", reason="drain"), NOW)

    assert isolated(producer) == []
    assert sent(join(producer, "c")) == {"c": [1]}


def test_a_consumer_that_goes_while_it_is_held_back_is_forgotten(
    producer: Producer,
) -> None:
    join(producer, "a")
    crash(producer, "a")
    join(producer, "b", 1)

    crash(producer, "b")

    assert isolated(producer) == []
    assert sent(join(producer, "c", 1)) == {"c": [2]}


def test_a_closed_gate_holds_suspects_as_well(producer: Producer) -> None:
    join(producer, "a")
    crash(producer, "a")
    producer.gate_open = False

    decision = join(producer, "b")

    assert (sent(decision), isolated(producer)) == ({}, [])
