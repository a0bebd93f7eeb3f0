"""The window that follows the measured time of a job."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.windows import LATE_S, MOST, WORK_S, AutoWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def after(*durations: float) -> int:
    pace = AutoWindow()
    for each in durations:
        pace.measured(each)
    return pace.window.max_demand


def test_it_begins_with_one_job() -> None:
    assert (AutoWindow().window.max_demand, AutoWindow().share) == (1, 1)


def test_it_doubles_once_two_windows_of_jobs_were_short_up_to_the_most() -> None:
    windows = [after(*[1e-6] * count) for count in (1, 2, 6, 14, 2 * MOST, 9 * MOST)]

    assert windows == [1, 2, 4, 8, MOST, MOST]


@pytest.mark.parametrize("duration_s", [0.05, 0.051, 1.0, 3600.0])
def test_jobs_that_take_long_travel_alone(duration_s: float) -> None:
    assert after(*[1e-6] * 3000, duration_s, duration_s) == 1


def test_a_window_holds_about_its_work_in_powers_of_two() -> None:
    assert after(*[0.004] * 40) == 8
    assert after(*[0.012] * 40) == 4


def test_it_grows_again_little_by_little_after_long_jobs() -> None:
    long = [*[1e-6] * 3000, 0.05, 0.05]
    windows = [after(*long, *[1e-6] * count) for count in (1, 2, 6, 14, 3000)]

    assert windows == [1, 2, 4, 8, MOST]


def test_a_long_job_among_many_short_ones_leaves_it_as_it_is() -> None:
    assert after(*[1e-6] * 3000, 0.05, 1e-6) == MOST


def test_it_is_halved_until_long_jobs_among_others_fit() -> None:
    few_long = [*[1e-6] * 9, 0.05] * 40

    assert after(*[1e-6] * 3000, *few_long) <= 16


SHORT_S, LONGER_S, LONG_S = 10e-6, 1e-3, 50e-3


def evenly() -> Iterator[float]:
    for number in range(20_000):
        place = number * 37 % 100
        yield SHORT_S if place < 90 else LONGER_S if place < 99 else LONG_S


def by_chance() -> Iterator[float]:
    random = Random(18)
    return iter(random.choices((SHORT_S, LONGER_S, LONG_S), (90, 9, 1), k=20_000))


@pytest.mark.parametrize("mix", [evenly, by_chance])
def test_jobs_of_a_mix_are_seldom_given_back_and_travel_together(
    mix: Callable[[], Iterator[float]],
) -> None:
    # Without processes and time: a message for each half of a window that is done, and
    # three quarters of it are here when a long job is found to be one.
    pace = AutoWindow()
    messages = given_back = 0.0
    for duration_s in mix():
        most = pace.window.max_demand
        messages += 2 / most
        given_back += pace.excess(most * 3 // 4, duration_s)
        pace.measured(duration_s)

    assert given_back / 20_000 < 0.7
    assert messages / 20_000 < 0.1


def test_a_part_of_the_window_is_begun_together() -> None:
    pace = AutoWindow()

    for _ in range(2 * MOST):
        pace.measured(1e-6)

    assert pace.share == 256


def test_it_says_when_the_window_has_changed() -> None:
    pace = AutoWindow()

    changes = [pace.measured(duration_s) for duration_s in (0.02, 0.02, 0.06, 0.06)]

    assert changes == [False, True, False, True]


@given(st.lists(st.floats(0, 1e4), max_size=60))
def test_no_times_lead_out_of_bounds_or_hold_back_long_jobs(times: list[float]) -> None:
    most = after(*times)

    assert 1 <= most <= MOST
    assert most & (most - 1) == 0
    assert len(times) < 2 or most == 1 or min(times[-2:]) * most <= WORK_S * (1 + 1e-9)


def test_nothing_waits_behind_a_job_that_takes_long() -> None:
    pace = AutoWindow()
    for _ in range(2 * MOST):
        pace.measured(1e-6)

    assert [pace.excess(500, s) for s in (0.0, LATE_S - 1e-3, LATE_S)] == [0, 0, 500]


def test_no_more_wait_than_the_window_holds() -> None:
    pace = AutoWindow()
    for duration_s in (*[1e-6] * 20, 1e-3, 1e-3):
        pace.measured(duration_s)

    assert pace.excess(500, 0.0) == 500 - pace.window.max_demand
