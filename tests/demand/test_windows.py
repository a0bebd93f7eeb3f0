"""The window that follows the measured time of a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.windows import LATE_S, MOST, WORK_S, AutoWindow


def after(*durations: float) -> int:
    pace = AutoWindow()
    for each in durations:
        pace.measured(each)
    return pace.window.max_demand


def test_it_begins_with_one_job() -> None:
    assert (AutoWindow().window.max_demand, AutoWindow().share) == (1, 1)


def test_it_doubles_with_each_short_job_up_to_the_most() -> None:
    windows = [after(*[1e-6] * count) for count in (1, 2, 5, 10, 30)]

    assert windows == [2, 4, 32, 1024, MOST]


@pytest.mark.parametrize("duration_s", [0.05, 0.051, 1.0, 3600.0])
def test_a_job_that_takes_long_travels_alone(duration_s: float) -> None:
    assert after(*[1e-6] * 20, duration_s) == 1


def test_a_window_holds_about_its_work_in_powers_of_two() -> None:
    assert after(*[0.004] * 20) == 8
    assert after(*[0.012] * 20) == 4


def test_it_grows_again_little_by_little_after_a_long_job() -> None:
    windows = [after(*[1e-6] * 20, 0.05, *[1e-6] * count) for count in (1, 4, 8, 40)]

    assert windows == sorted(windows)
    assert windows[0] == 1
    assert windows[-1] == MOST


def test_each_short_job_after_a_long_one_doubles_the_window() -> None:
    windows = [after(*[1e-6] * 20, 0.05, *[1e-6] * count) for count in range(1, 5)]

    assert windows == [1, 2, 4, 8]


def test_a_part_of_the_window_is_begun_together() -> None:
    pace = AutoWindow()

    for _ in range(10):
        pace.measured(1e-6)

    assert pace.share == 256


def test_it_says_when_the_window_has_changed() -> None:
    pace = AutoWindow()

    changes = [pace.measured(duration_s) for duration_s in (0.02, 0.02, 0.06)]

    assert changes == [True, False, True]


@given(st.lists(st.floats(0, 1e4), max_size=60))
def test_no_times_lead_out_of_bounds_or_hold_back_long_jobs(times: list[float]) -> None:
    most = after(*times)

    assert 1 <= most <= MOST
    assert most & (most - 1) == 0
    assert not times or most == 1 or times[-1] * most <= WORK_S * (1 + 1e-9)


def test_nothing_waits_behind_a_job_that_takes_long() -> None:
    pace = AutoWindow()
    for _ in range(20):
        pace.measured(1e-6)

    assert [pace.excess(500, s) for s in (0.0, LATE_S - 1e-3, LATE_S)] == [0, 0, 500]


def test_no_more_wait_than_the_window_holds() -> None:
    pace = AutoWindow()
    for duration_s in (*[1e-6] * 20, 1e-3):
        pace.measured(duration_s)

    assert pace.excess(500, 0.0) == 500 - 32
