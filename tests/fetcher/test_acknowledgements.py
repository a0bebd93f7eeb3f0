from __future__ import annotations

import pytest

from actors.demand.copies import Copies, Ended
from actors.demand.job import Failure, Job, Process
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobQuarantined,
)
from actors.fetcher.acknowledgements import (
    Acknowledgement,
    AcknowledgementPolicy,
    Acknowledgements,
)

NOW = 100.0
DOWN = Failure("UnreachableError: down")
PROCESS = Process(name="p", run="1", pid=1, host="")
JOB = Job(1, "a", {"id": "a"}, 0.0)
ONE, TWO, THREE = (Acknowledgement(n, {"id": n}, {"state": "done"}) for n in (1, 2, 3))


@pytest.fixture
def settlements() -> Acknowledgements:
    return Acknowledgements(AcknowledgementPolicy(tries=3, capacity=2))


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (JobDone(JOB, 1, PROCESS, 4.0, 0.1), {"state": "done", "result": 4.0}),
        (
            JobQuarantined(JOB, PROCESS, DOWN),
            {"state": "quarantined", "error": DOWN.error},
        ),
        (JobDropped(JOB, "by hand"), {"state": "dropped", "error": "by hand"}),
        (JobFetched(JOB), None),
        (JobFailed(JOB, PROCESS, DOWN, 1.0), None),
    ],
)
def test_a_source_is_told_of_ends_only(
    event: JobEvent, outcome: dict[str, object] | None
) -> None:
    told = Ended(JOB, outcome) if outcome else None

    assert Copies().ended(event) == told


def test_one_is_told_at_a_time_and_in_order(settlements: Acknowledgements) -> None:
    settlements.add(ONE, NOW)
    settlements.add(TWO, NOW)

    told = [settlements.next(NOW), settlements.next(NOW)]
    done = settlements.succeeded()

    assert (told, done) == ([ONE, None], ONE)
    assert (settlements.next(NOW), len(settlements)) == (TWO, 1)


def test_one_that_failed_lets_others_go_first(settlements: Acknowledgements) -> None:
    settlements.add(ONE, NOW)
    settlements.add(TWO, NOW)
    settlements.next(NOW)

    failed = settlements.failed(DOWN, NOW, chance=1.0)

    assert failed == (ONE, 1.0)
    assert settlements.failing
    assert settlements.next(NOW) == TWO
    settlements.succeeded()
    assert (settlements.next(NOW + 0.9), settlements.next_tick()) == (None, NOW + 1.0)
    assert settlements.next(NOW + 1.0) == ONE
    assert not settlements.failing


def test_one_is_given_up_after_so_many_tries(settlements: Acknowledgements) -> None:
    settlements.add(ONE, NOW)
    delays = []
    for _ in range(3):
        settlements.next(NOW + 9.0)
        delays.append(settlements.failed(DOWN, NOW, chance=1.0)[1])

    assert delays == [1.0, 2.0, None]
    assert (len(settlements), settlements.next_tick()) == (0, None)


def test_what_the_source_will_never_take_is_given_up_at_once(
    settlements: Acknowledgements,
) -> None:
    settlements.add(ONE, NOW)
    settlements.next(NOW)

    failed = settlements.failed(Failure("gone", permanent=True), NOW, 1.0)

    assert failed == (ONE, None)


@pytest.mark.parametrize(("asked", "delay"), [(7.0, 7.0), (1e9, 3600.0)])
def test_the_source_may_ask_for_a_pause_within_bounds(
    settlements: Acknowledgements, asked: float, delay: float
) -> None:
    settlements.add(ONE, NOW)
    settlements.next(NOW)

    failed = settlements.failed(Failure("busy", retry_after_s=asked), NOW, 1.0)

    assert failed == (ONE, delay)


def test_beyond_the_capacity_the_oldest_is_given_up(
    settlements: Acknowledgements,
) -> None:
    given_up = [settlements.add(each, NOW) for each in (ONE, TWO, THREE)]

    assert given_up == [None, None, ONE]
    assert settlements.next(NOW) == TWO
    assert len(settlements) == 2


def test_waits_stay_below_the_cap_however_often_it_fails() -> None:
    policy = AcknowledgementPolicy(tries=10**6)

    assert policy.delay_s(10**5, DOWN, 1.0) == 60.0


def test_one_that_is_to_wait_is_not_given_up_for_it() -> None:
    rules = Acknowledgements(AcknowledgementPolicy(tries=2))
    rules.add(Acknowledgement(1, {"id": 1}, {"state": "done"}), 0.0)

    delays = []
    for at in range(20):
        assert rules.next(at * 10.0) is not None
        wait = Failure("ThrottledError: wait", retry_after_s=5.0)
        delays.append(rules.failed(wait, at * 10.0, 0.5, throttled=True)[1])

    assert delays == [5.0] * 20
    assert not rules.failing
    assert len(rules) == 1
