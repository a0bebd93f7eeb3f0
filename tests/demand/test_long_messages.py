"""Messages that are too long, in halves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.demand.consumer_subscription import ConsumerSubscription
from actors.demand.job import Failure
from actors.demand.messages import (
    Assignment,
    CallOff,
    Confirm,
    Done,
    Jobs,
    Outcome,
    halves_of,
    shorter,
    undeliverable,
)


def jobs(*numbers: int, upto: int) -> Jobs:
    each = tuple(Assignment(n, n + 100, 1, n, "x") for n in numbers)
    return Jobs(subscription="s", first=2, upto=upto, jobs=each, confirmed=((7, 1),))


def test_halves_have_the_same_numbers_between_them() -> None:
    # Numbers 4 and 6 were taken back, and still count.
    halves = halves_of(jobs(2, 3, 5, 7, upto=9))

    left, right = halves
    assert isinstance(left, Jobs)
    assert isinstance(right, Jobs)
    assert (left.first, left.upto, right.first, right.upto) == (2, 5, 5, 9)
    assert [each.number for each in (*left.jobs, *right.jobs)] == [2, 3, 5, 7]
    assert (left.confirmed, right.confirmed) == (((7, 1),), ())


def test_who_receives_both_halves_misses_nothing() -> None:
    whole, subscription = (
        jobs(0, 1, 3, upto=5),
        ConsumerSubscription("numbers", "s", 0.0),
    )
    halves = halves_of(Jobs(subscription="s", first=0, upto=5, jobs=whole.jobs))

    arrivals = [subscription.receive(each) for each in halves if isinstance(each, Jobs)]

    assert [each.gap for each in arrivals] == [False, False]
    assert subscription.received == 5


def test_one_job_is_not_halved_but_goes_without_what_rides_along() -> None:
    confirm, alone = halves_of(jobs(2, upto=3))

    assert confirm == Confirm(subscription="s", outcomes=((7, 1),))
    assert alone == replace(jobs(2, upto=3), confirmed=())
    assert isinstance(alone, Jobs)
    assert halves_of(alone) == ()


@pytest.mark.parametrize(
    ("make", "name"), [(Confirm, "outcomes"), (CallOff, "jobs")], ids=["confirm", "off"]
)
def test_what_is_said_of_many_jobs_is_said_in_halves(make: Any, name: str) -> None:
    said = ((1, 1), (2, 1), (3, 2))

    left, right = halves_of(make(subscription="s", **{name: said}))

    assert getattr(left, name) + getattr(right, name) == said
    assert halves_of(left) == ()


def test_a_job_that_cannot_be_sent_has_failed_for_good() -> None:
    [job] = jobs(2, upto=3).jobs

    done = undeliverable("s", job, 5000, 4000)

    [outcome] = done.outcomes
    assert (done.total, done.received) == (0, 0)
    assert (outcome.key, outcome.attempt) == (102, 1)
    assert outcome.failure == Failure(
        "MessageTooLongError: the job takes 5000 bytes, at most 4000 are sent",
        permanent=True,
    )


def test_outcomes_are_halved_and_a_single_one_fails() -> None:
    outcomes = tuple(Outcome(key, 1, "x" * 9) for key in range(3))
    done = Done(subscription="s", outcomes=outcomes, total=5, received=4)

    parts = shorter(done, 27, 10)
    [last] = shorter(parts[0], 12, 10)

    assert [len(each.outcomes) for each in parts] == [1, 2]
    assert {(each.total, each.received) for each in parts} == {(5, 4)}
    assert last.outcomes[0].result is None
    assert last.outcomes[0].failure is not None
    assert last.outcomes[0].failure.permanent
