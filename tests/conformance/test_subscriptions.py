"""Behaviours 45 to 57: how subscriptions begin and end, and who outlives whom."""

from __future__ import annotations

from typing import Any

import pytest

from actors.demand.consumer import Consumer
from actors.demand.job import Failure
from actors.demand.job_events import JobReturned
from actors.demand.messages import (
    Cancel,
    Demand,
    Done,
    Jobs,
    Outcome,
    Subscribe,
    SubscriptionId,
)
from actors.demand.windows import Window
from actors.supervision.children import Restarts
from tests.conformance.line import Line, process
from tests.support.consuming import next_of


@pytest.mark.parametrize("reason", ["normal", "lease ended", "unknown_subscription"])
def test_45_a_consumer_outlives_its_subscription_and_opens_another(
    reason: str,
) -> None:
    consumer = Consumer(process("a"))
    consumer.open("source", 1.0)
    [first] = consumer.subscriptions

    cancel = Cancel(subscription=first.id, reason=reason)
    sends = consumer.received(cancel, 2.0)

    [second] = consumer.subscriptions
    assert first.id != second.id
    assert [type(send.message) for send in sends] == [Subscribe, Demand]
    assert {send.message.subscription for send in sends} == {second.id}


def test_46_a_producer_tells_who_is_gone_and_why_with_each_job() -> None:
    line = Line()
    line.join("a", Window(max_demand=2))
    line.fetch(1, 2)

    line.gone("a")

    returned = [event for event in line.events if isinstance(event, JobReturned)]
    assert [
        (event.job.payload, event.process.name, event.reason) for event in returned
    ] == [
        (1, "a", "killed"),
        (2, "a", "killed"),
    ]


def test_47_a_producer_that_is_not_there_is_asked_again_each_second() -> None:
    consumer = Consumer(process("a"))
    first = consumer.open("nobody", 10.0)

    again = [consumer.tick(10.0 + seconds) for seconds in (0.5, 1.0, 2.0)]

    assert again == [[], first, first]


@pytest.mark.parametrize(
    "message",
    [
        Demand(subscription="x/1", total=1, received=0),
        Done(subscription="x/1", outcomes=(), total=1, received=0),
        Cancel(subscription="x/1", reason="drain"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_48_what_is_for_no_subscription_is_answered_with_cancel(
    message: Demand | Done | Cancel,
) -> None:
    line = Line()
    line._routes["x/1"] = "x"  # noqa: SLF001 - a consumer that nobody knows

    line.send("x", [_to_source(message)])

    unknown = Cancel(subscription="x/1", reason="unknown_subscription")
    assert line.answers == [("x", unknown)]


def _to_source(message: Demand | Done | Cancel) -> Any:
    return "source", message


def test_48_jobs_for_a_subscription_that_has_ended_are_disowned() -> None:
    consumer = Consumer(process("a"))
    consumer.open("source", 1.0)
    former: SubscriptionId = consumer.subscriptions[0].id
    consumer.open("source", 2.0)

    late = Jobs(subscription=former, first=0, upto=0, jobs=())
    [(source, answer)] = consumer.received(late, 3.0)

    cancel = Cancel(subscription=former, reason="unknown_subscription")
    assert (source, answer, consumer.held) == ("source", cancel, 0)


def test_49_a_new_subscription_takes_over_with_new_options() -> None:
    line = Line()
    consumer = line.join("a", Window(max_demand=2))
    line.fetch(*range(6))

    consumer.window = Window(max_demand=4)
    line.send("a", consumer.open("source", line.now))
    held = consumer.held
    line.tick(6.0)

    assert held == 4
    assert sorted(line.work("a", 6)) == [*range(6)]


def test_52_a_second_job_begins_only_when_the_first_has_ended() -> None:
    line = Line()
    consumer = line.join("a", Window(max_demand=5))
    line.fetch(1, 2)

    first, too_early = next_of(consumer), next_of(consumer)

    assert first is not None
    assert too_early is None


def test_53_a_job_that_took_its_processor_down_keeps_its_count() -> None:
    line = Line()
    for name in ("a", "b"):
        line.join(name)
        line.fetch("poison") if name == "a" else None
        line.gone(name)

    line.join("c")
    task = next_of(line.consumers["c"])

    assert task is not None
    assert task.assignment.attempt == 3


def test_54_it_asks_at_the_threshold_and_never_before() -> None:
    line = Line()
    line.join("a", Window(max_demand=6, min_demand=2))
    line.fetch(*range(20))

    asks = []
    for _ in range(5):
        line.work("a")
        asks.append(len(line.asks["a"]))

    assert asks == [1, 1, 1, 2, 2]


def test_55_a_running_job_survives_its_producer_and_is_delivered_after() -> None:
    line = Line()
    consumer = line.join("a")
    line.fetch("long")
    task = next_of(consumer)
    assert task is not None

    line.send("a", consumer.open("source", line.now))
    job = task.assignment
    sends = consumer.finished(Outcome(job.key, job.attempt, "result"), line.now)
    line.send("a", sends)

    assert line.store.accounting().done == 1


def test_56_a_stage_that_dies_too_often_is_given_up() -> None:
    restarts = Restarts(intensity=3, period_s=5.0)

    delays = [restarts.exited(at) for at in (0.0, 0.1, 0.2, 0.3)]

    assert delays[:3] == [0.0, 0.2, 0.4]
    assert delays[3] is None


def test_64_only_what_a_dead_processor_held_is_given_to_others() -> None:
    line = Line()
    for name in ("a", "b"):
        line.join(name, Window(max_demand=2))
    line.fetch(*range(4))
    of_b = [task.payload for task in _held(line, "b")]

    line.gone("a")
    line.work("b", 2)
    line.work("b", 2)

    assert [payload for _, payload in line.ran][:2] == of_b
    assert sorted(payload for _, payload in line.ran) == [0, 1, 2, 3]


def _held(line: Line, name: str) -> list[Any]:
    answers = [each for to, each in line.answers if to == name]
    return [job for each in answers if isinstance(each, Jobs) for job in each.jobs]


def test_a_failure_of_a_lease_that_was_taken_back_does_not_count() -> None:
    line = Line()
    consumer = line.join("a")
    line.fetch("job")
    task = next_of(consumer)
    assert task is not None
    line.gone("a")
    line.join("b")

    late = Outcome(task.assignment.key, 1, failure=Failure("E: late"))
    line.store.settle(late, process("a"), line.now, 0.5)

    assert line.work("b") == ["job"]
