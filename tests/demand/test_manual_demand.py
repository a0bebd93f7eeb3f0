"""Manual demand: exactly what was granted comes, whoever comes and goes."""

from __future__ import annotations

import pytest

from actors.demand.consumer import Consumer
from actors.demand.manual_demand import ManualDemand, UnknownNameError
from actors.demand.messages import Assignment, Cancel, Done, Jobs, Outcome
from tests.conformance.line import process
from tests.support.consuming import next_of


def consumer(*names: str) -> Consumer:
    return Consumer(process("a"), manual_demand=ManualDemand(names))


def asked(consumer: Consumer) -> dict[str, int]:
    return {
        subscription.source: subscription.total
        for subscription in consumer.subscriptions
    }


def test_each_name_is_asked_for_all_of_it() -> None:
    manual = consumer("north", "south")
    for source in ("north", "south"):
        manual.open(source, 1.0)

    manual.grant(5)
    manual.grant(2, "south")

    assert asked(manual) == {"north": 5, "south": 7}


def test_what_is_granted_before_a_fetcher_is_there_waits_for_it() -> None:
    manual = consumer("north", "south")
    manual.open("north", 1.0)

    manual.grant(5)
    before = asked(manual), manual.demand
    manual.open("south", 1.0)

    assert before == ({"north": 5}, 10)
    assert (asked(manual), manual.demand) == ({"north": 5, "south": 5}, 10)


def test_a_producer_that_comes_back_is_asked_for_what_is_still_to_come() -> None:
    manual = consumer("source")
    manual.open("source", 1.0)
    manual.grant(3)
    [first] = manual.subscriptions
    jobs = Jobs(subscription=first.id, first=0, upto=2, jobs=())
    manual.received(jobs, 1.0)
    left_out = manual.demand

    manual.received(Cancel(subscription=first.id, reason="lease ended"), 2.0)

    # The two that the producer had taken back never came: they are still to come.
    assert (left_out, manual.demand, asked(manual)) == (3, 3, {"source": 3})


def test_a_grant_of_none_asks_for_nothing() -> None:
    manual = consumer("source")
    manual.open("source", 1.0)

    assert manual.grant(0) == []


def test_a_step_asks_for_what_is_allowed_as_far_as_it_is_needed() -> None:
    manual = consumer("source")
    manual.need = 2
    manual.open("source", 1.0)

    manual.grant(5)
    at_first = asked(manual)
    manual.need = 10
    manual.ask()

    assert (at_first, asked(manual)) == ({"source": 2}, {"source": 5})


def test_a_finished_job_asks_for_no_other() -> None:
    manual = consumer("source")
    manual.open("source", 1.0)
    manual.grant(1)
    [subscription] = manual.subscriptions
    subscription.unfinished, subscription.received = 1, 1

    manual.record_outcomes("source", [Outcome(1, 1, "done")], 1.0)

    assert asked(manual) == {"source": 1}


def two_of_a_step() -> Consumer:
    manual = consumer("step")
    for source in ("step-1", "step-2"):
        manual.open(source, 1.0, "step")
    return manual


def deliver(consumer: Consumer, source: str) -> None:
    """Let a process of a step send all that it was asked for, and see it done."""
    [subscription] = [each for each in consumer.subscriptions if each.source == source]
    jobs = tuple(
        Assignment(n, n, 1, n, None)
        for n in range(subscription.received, subscription.total)
    )
    message = Jobs(
        subscription=subscription.id,
        first=subscription.received,
        upto=subscription.total,
        jobs=jobs,
    )
    consumer.received(message, 2.0)
    while task := next_of(consumer):
        job = task.assignment
        consumer.finished(Outcome(job.key, job.attempt, "done"), 2.0)


def test_the_processes_of_a_step_share_what_is_granted() -> None:
    manual = two_of_a_step()

    manual.grant(10)
    at_first = asked(manual), manual.demand
    deliver(manual, "step-2")
    after = asked(manual)

    # Each is asked for half of an even part of what is left.
    assert at_first == ({"step-1": 3, "step-2": 2}, 10)
    assert after == {"step-1": 3, "step-2": 4}


def test_exactly_what_was_granted_comes_from_a_step_in_the_end() -> None:
    manual = two_of_a_step()
    manual.grant(10)

    while manual.demand:
        deliver(manual, "step-1")
        deliver(manual, "step-2")

    assert sum(asked(manual).values()) == 10


def test_what_one_process_of_a_step_leaves_undone_is_asked_of_another() -> None:
    manual = two_of_a_step()
    manual.grant(1)
    before = asked(manual)

    [send] = manual.close("step-1")

    assert before == {"step-1": 1, "step-2": 0}
    assert (send.source, asked(manual)) == ("step-2", {"step-2": 1})


def test_one_that_comes_late_is_asked_for_its_share() -> None:
    manual = consumer("step")
    manual.open("step-1", 1.0, "step")
    manual.grant(8)

    manual.open("step-2", 1.0, "step")

    assert asked(manual) == {"step-1": 4, "step-2": 1}


def test_what_is_given_back_by_one_that_leaves_is_still_to_come() -> None:
    manual = consumer("source")
    manual.open("source", 1.0)
    manual.grant(3)
    jobs = tuple(Assignment(n, n, 1, n, None) for n in range(3))
    [subscription] = manual.subscriptions
    manual.received(Jobs(subscription=subscription.id, first=0, upto=3, jobs=jobs), 1.0)
    next_of(manual)
    stays = manual.hand_back(0, 1.0)
    manual.drain(1.0)

    [send] = manual.hand_back(0, 1.0)

    assert stays == []
    assert isinstance(send.message, Done)
    assert [each.begun for each in send.message.outcomes] == [False, False]
    assert (manual.demand, manual.held) == (2, 1)


@pytest.mark.parametrize("count", [-1, True, 1.5, "3"])
def test_a_count_that_is_none_is_refused(count: object) -> None:
    text = f"^count must be a whole number from 0, got {count!r}$"
    with pytest.raises(ValueError, match=text):
        ManualDemand(["a"]).grant(count)  # type: ignore[arg-type]


def test_a_name_that_nothing_is_taken_from_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="expected one of a, b, got 'c'"):
        ManualDemand(["a", "b"]).grant(1, "c")


def test_one_that_asks_by_itself_is_granted_nothing() -> None:
    with pytest.raises(ValueError, match="it asks by itself"):
        Consumer(process("a")).grant(1)
