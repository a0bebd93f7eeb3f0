"""When to poll, beyond the plain interval: jitter, idle, held, faulted."""

from __future__ import annotations

import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.polling import Poller, PollPolicy, PollState, may_take

NOW = 100.0


def poller(**policy: float) -> Poller:
    poller = Poller(PollPolicy(every_s=2.0, **policy))  # type: ignore[arg-type]
    poller.start(NOW)
    return poller


def wait_after(
    poller: Poller, now: float = NOW, *, jobs: int = 0, took_s: float = 0.0
) -> float:
    poller.fetching(now)
    poller.empty(now, jobs=jobs, took_s=took_s)
    assert poller.next_poll is not None
    return poller.next_poll - now


@pytest.mark.parametrize(
    ("room", "demand", "waiting", "taken"),
    [(9, 0, 0, 0), (9, 2, 0, 2), (1, 2, 0, 1), (9, 3, 2, 1), (9, 1, 4, 0)],
)
def test_on_demand_no_more_is_taken_than_was_asked_for_and_is_not_here(
    room: int, demand: int, waiting: int, taken: int
) -> None:
    take = partial(may_take, room=room, demand=demand, waiting=waiting)

    assert take(on_demand=True) == taken
    assert take() == room


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 1.8), (0.5, 2.0), (1.0, 2.2)])
def test_the_interval_has_a_little_jitter(chance: float, wait: float) -> None:
    assert PollPolicy().empty_delay_s(1, chance) == pytest.approx(wait)


def test_without_a_cap_an_idle_source_is_asked_as_often_as_ever() -> None:
    steady = poller()

    assert {wait_after(steady) for _ in range(100)} == {2.0}


def test_after_five_empty_polls_the_interval_doubles_up_to_the_cap() -> None:
    idle = poller(idle_cap_s=30.0)

    waits = [wait_after(idle) for _ in range(11)]

    assert waits == [2, 2, 2, 2, 2, 4, 8, 16, 30, 30, 30]


def test_a_cap_below_the_interval_changes_nothing() -> None:
    idle = poller(idle_cap_s=1.0)

    assert {wait_after(idle) for _ in range(20)} == {2.0}


def test_a_hit_ends_the_idle_back_off() -> None:
    idle = poller(idle_cap_s=30.0)
    for _ in range(9):
        wait_after(idle)

    assert [wait_after(idle, jobs=1), wait_after(idle)] == [2.0, 2.0]


def test_fresh_demand_ends_the_idle_back_off_and_brings_the_poll_forward() -> None:
    idle = poller(idle_cap_s=30.0)
    for _ in range(9):
        wait_after(idle)

    idle.demanded(NOW + 1.0)
    soon = idle.next_poll
    idle.demanded(NOW + 9.0)

    assert (soon, idle.next_poll) == (NOW + 2.0, NOW + 2.0)
    assert wait_after(idle) == 2.0


def test_demand_long_after_the_last_poll_is_served_at_once() -> None:
    idle = poller(idle_cap_s=30.0)
    for _ in range(9):
        wait_after(idle)

    idle.demanded(NOW + 15.0)

    assert idle.next_poll == NOW + 15.0


def test_demand_however_often_starts_no_second_fetch_and_no_second_timer() -> None:
    one = poller(idle_cap_s=30.0)
    one.fetching(NOW)

    for at in range(100):
        one.demanded(NOW + at)

    assert not one.due(NOW + 100.0, room=1)
    assert one.state is PollState.FETCHING


def test_demand_does_not_shorten_the_wait_after_an_error() -> None:
    failing = poller(idle_cap_s=30.0)
    failing.fetching(NOW)
    failing.failed(NOW, 1.0, retry_after_s=60.0)

    failing.demanded(NOW + 5.0)

    assert failing.next_poll == NOW + 60.0


@pytest.mark.parametrize(
    ("asked_for_s", "wait_s"),
    [(None, 300.0), (60.0, 300.0), (900.0, 900.0), (1e9, 3600.0), (math.nan, 300.0)],
)
def test_a_source_that_refuses_us_may_ask_for_a_longer_wait(
    asked_for_s: float | None, wait_s: float
) -> None:
    refused = poller()
    refused.fetching(NOW)

    assert refused.faulted(NOW, asked_for_s) == wait_s
    assert refused.next_poll == NOW + wait_s


def test_demand_does_not_shorten_the_wait_after_a_fault() -> None:
    faulted = poller(idle_cap_s=30.0)
    faulted.fetching(NOW)
    faulted.faulted(NOW)

    faulted.demanded(NOW + 5.0)

    assert faulted.next_poll == NOW + 300.0


def test_demand_does_not_wake_a_poller_that_is_stopped() -> None:
    stopped = poller()
    wait_after(stopped)
    stopped.stop()

    stopped.demanded(NOW + 5.0)

    assert stopped.next_poll is None


def test_a_request_that_was_held_open_is_followed_by_the_next_at_once() -> None:
    held = poller(wait_s=20.0, idle_cap_s=60.0)

    assert {wait_after(held, took_s=20.0) for _ in range(20)} == {0.0}


def test_a_source_that_does_not_hold_requests_is_not_polled_without_pause() -> None:
    ignoring = poller(wait_s=20.0)

    assert wait_after(ignoring, took_s=0.01) == 2.0


def test_the_shortest_hold_still_leaves_the_interval() -> None:
    tiny = poller(wait_s=0.001)

    assert wait_after(tiny, took_s=0.001) == pytest.approx(1.999)


def test_a_source_that_refuses_us_is_asked_again_after_five_minutes() -> None:
    faulted = poller()
    faulted.fetching(NOW)

    wait = faulted.faulted(NOW)

    assert (wait, faulted.state, faulted.next_poll) == (
        300.0,
        PollState.FAULTED,
        NOW + 300.0,
    )
    assert [faulted.due(NOW + at, room=1) for at in (299.0, 300.0)] == [False, True]


def test_a_fault_that_is_mended_is_forgotten() -> None:
    mended = poller()
    mended.fetching(NOW)
    mended.faulted(NOW)

    wait = wait_after(mended, NOW + 300.0)

    assert (wait, mended.state, mended.errors) == (2.0, PollState.IDLE, 0)


def test_a_fault_after_the_stop_is_the_last_of_it() -> None:
    stopped = poller()
    stopped.fetching(NOW)
    stopped.stop()

    stopped.faulted(NOW)

    assert (stopped.state, stopped.next_poll) == (PollState.STOPPED, None)


@given(empties=st.integers(1, 10**9), chance=st.floats(0.0, 1.0))
def test_any_number_of_empty_polls_has_a_wait_in_bounds(
    empties: int, chance: float
) -> None:
    wait = PollPolicy(idle_cap_s=60.0).empty_delay_s(empties, chance)

    assert 1.8 <= wait <= 66.0
    assert math.isfinite(wait)
