from __future__ import annotations

from actors.supervision.restarts import Restarts


def exits(restarts: Restarts, *times: float) -> list[float | None]:
    return [restarts.exited(at) for at in times]


def test_a_first_exit_is_made_good_at_once() -> None:
    assert exits(Restarts(), 100.0) == [0.0]


def test_each_further_exit_waits_twice_as_long() -> None:
    restarts = Restarts(intensity=5, period_s=60.0)

    delays = exits(restarts, 0.0, 1.0, 2.0, 3.0, 4.0)

    assert delays == [0.0, 0.2, 0.4, 0.8, 1.6]


def test_the_wait_grows_no_longer_than_the_cap() -> None:
    restarts = Restarts(intensity=9, period_s=60.0, base_s=8.0, cap_s=10.0)

    delays = exits(restarts, 0.0, 1.0, 2.0, 3.0)

    assert delays == [0.0, 8.0, 10.0, 10.0]


def test_it_gives_up_when_the_intensity_is_exceeded() -> None:
    delays = exits(Restarts(intensity=3, period_s=5.0), 0.0, 1.0, 2.0, 3.0)

    assert delays == [0.0, 0.2, 0.4, None]


def test_exits_that_are_a_period_ago_count_no_more() -> None:
    delays = exits(Restarts(intensity=3, period_s=5.0), 0.0, 1.0, 2.0, 5.0, 6.0)

    assert delays == [0.0, 0.2, 0.4, 0.4, 0.4]


def test_after_a_quiet_period_a_restart_is_immediate_again() -> None:
    restarts = Restarts(intensity=3, period_s=5.0)

    delays = exits(restarts, 0.0, 1.0, 2.0, 3.0, 9.0)

    assert delays == [0.0, 0.2, 0.4, None, 0.0]


def test_an_intensity_of_none_at_all_gives_up_at_the_first_exit() -> None:
    assert exits(Restarts(intensity=0), 0.0) == [None]
