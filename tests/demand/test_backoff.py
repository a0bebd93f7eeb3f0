from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.demand.backoff import MAX_RETRY_AFTER_S, RetryPolicy
from actors.demand.job import Failure

ERROR = Failure("ValueError: no")
EVEN = RetryPolicy(attempts=9, jitter=0.0)


def test_each_delay_is_four_times_the_one_before_up_to_the_cap() -> None:
    delays = [EVEN.delay_s(attempt, ERROR, 0.5) for attempt in range(1, 9)]

    assert delays == [1.0, 4.0, 16.0, 64.0, 256.0, 300.0, 300.0, 300.0]


def test_the_last_attempt_is_not_followed_by_another() -> None:
    policy = RetryPolicy(attempts=2, jitter=0.0)

    delays = [policy.delay_s(attempt, ERROR, 0.5) for attempt in (1, 2, 3)]

    assert delays == [1.0, None, None]


def test_a_permanent_failure_is_not_tried_again() -> None:
    failure = Failure("ValueError: no", permanent=True, retry_after_s=1.0)

    assert EVEN.delay_s(1, failure, 0.5) is None


def test_chance_moves_a_delay_by_a_quarter_either_way() -> None:
    policy = RetryPolicy()

    delays = [policy.delay_s(2, ERROR, chance) for chance in (0.0, 0.5, 1.0)]

    assert delays == [3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("asked_for", "delay"),
    [
        (7.5, 7.5),
        (0.0, 0.0),
        (-3.0, 0.0),
        (1e9, MAX_RETRY_AFTER_S),
        (math.inf, MAX_RETRY_AFTER_S),
        (math.nan, 0.0),
    ],
)
def test_an_error_sets_its_own_delay_within_bounds(
    asked_for: float, delay: float
) -> None:
    failure = Failure("Busy: later", retry_after_s=asked_for)

    assert EVEN.delay_s(1, failure, 0.5) == delay


def test_an_error_that_sets_its_delay_gets_no_further_attempt_by_that() -> None:
    failure = Failure("Busy: later", retry_after_s=1.0)

    assert EVEN.delay_s(9, failure, 0.5) is None


@pytest.mark.parametrize("attempts", [0, -1])
def test_a_policy_under_which_no_job_could_run_is_refused(attempts: int) -> None:
    with pytest.raises(ValueError, match="attempts must be at least 1"):
        RetryPolicy(attempts=attempts)


@settings(deadline=None)
@given(attempt=st.integers(1, 10**9), chance=st.floats(0.0, 1.0))
def test_any_attempt_has_a_delay_in_bounds(attempt: int, chance: float) -> None:
    policy = RetryPolicy(attempts=10**9 + 1)

    delay = policy.delay_s(attempt, ERROR, chance)

    assert delay is not None
    assert 0.75 <= delay <= 375.0
