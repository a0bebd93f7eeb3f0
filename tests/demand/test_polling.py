from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.demand.backoff import MAX_RETRY_AFTER_S
from actors.demand.polling import Poller, PollPolicy, PollState

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 100.0


@pytest.fixture
def poller() -> Poller:
    poller = Poller(PollPolicy(every_s=2.0, error_base_s=1.0, error_cap_s=10.0))
    poller.start(NOW)
    return poller


def facts(poller: Poller) -> tuple[PollState, int, float | None, float | None]:
    return poller.state, poller.errors, poller.next_poll, poller.last_poll


def test_nothing_is_due_before_the_start() -> None:
    poller = Poller(PollPolicy())

    assert not poller.due(NOW, room=1)


def test_the_first_poll_is_due_at_once(poller: Poller) -> None:
    assert poller.due(NOW, room=1)


def test_no_second_fetch_starts_while_one_runs(poller: Poller) -> None:
    poller.fetching(NOW)

    assert not poller.due(NOW + 999.0, room=1)
    assert facts(poller) == (PollState.FETCHING, 0, NOW, NOW)


def test_an_empty_source_is_asked_again_after_the_interval(poller: Poller) -> None:
    poller.fetching(NOW)

    poller.empty(NOW + 1.0)

    assert facts(poller) == (PollState.IDLE, 0, NOW + 3.0, NOW + 1.0)
    assert [poller.due(NOW + at, room=1) for at in (2.9, 3.0)] == [False, True]


def test_a_fetch_that_ran_out_of_room_goes_on_as_soon_as_there_is_some(
    poller: Poller,
) -> None:
    poller.fetching(NOW)

    poller.full(NOW + 1.0)

    assert facts(poller) == (PollState.IDLE, 0, NOW + 1.0, NOW + 1.0)
    assert [poller.due(NOW + 1.0, room) for room in (0, 1)] == [False, True]


def test_a_paused_poller_starts_nothing(poller: Poller) -> None:
    poller.paused = True

    assert not poller.due(NOW, room=1)


def test_errors_in_a_row_wait_longer_each_time(poller: Poller) -> None:
    delays = []
    for _ in range(6):
        poller.fetching(NOW)
        delays.append(poller.failed(NOW, chance=1.0))

    assert delays == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert facts(poller) == (PollState.BACKOFF, 6, NOW + 10.0, NOW)


def test_a_poller_in_backoff_polls_when_its_time_has_come(poller: Poller) -> None:
    poller.fetching(NOW)
    poller.failed(NOW, chance=1.0)

    assert [poller.due(NOW + at, room=1) for at in (0.9, 1.0)] == [False, True]


@pytest.mark.parametrize("end", [Poller.empty, Poller.full])
def test_a_fetch_without_an_error_ends_the_row(
    poller: Poller, end: Callable[[Poller, float], None]
) -> None:
    poller.fetching(NOW)
    poller.failed(NOW, chance=1.0)
    poller.failed(NOW, chance=1.0)

    end(poller, NOW)

    assert (poller.errors, poller.failed(NOW, chance=1.0)) == (0, 1.0)


def test_a_source_is_failing_until_it_brings_a_job_or_has_none(
    poller: Poller,
) -> None:
    seen = [poller.failing]
    poller.failed(0.0, 0.5)
    seen.append(poller.failing)
    poller.fetching(5.0)
    seen.append(poller.failing)
    poller.brought()
    seen.append(poller.failing)

    assert seen == [False, True, True, False]


@pytest.mark.parametrize("end", ["empty", "full"])
def test_a_fetch_that_ends_well_is_the_end_of_failing(end: str, poller: Poller) -> None:
    poller.faulted(0.0)

    getattr(poller, end)(1.0)

    assert not poller.failing


def test_chance_never_brings_the_wait_under_the_least(poller: Poller) -> None:
    assert [poller.failed(NOW, chance=0.0) for _ in range(3)] == [1.0, 1.0, 1.0]


def test_a_short_interval_is_the_least_wait() -> None:
    policy = PollPolicy(every_s=0.25, error_base_s=1.0)

    assert policy.error_delay_s(1, 0.0) == 0.25


@pytest.mark.parametrize(
    ("asked_for", "delay"),
    [
        (7.0, 7.0),
        (0.5, 1.0),
        (-1.0, 1.0),
        (1e9, MAX_RETRY_AFTER_S),
        (math.inf, MAX_RETRY_AFTER_S),
        (math.nan, 1.0),
    ],
)
def test_a_source_may_ask_for_a_longer_wait_within_bounds(
    poller: Poller, asked_for: float, delay: float
) -> None:
    assert poller.failed(NOW, 1.0, retry_after_s=asked_for) == delay


def test_a_stopped_poller_starts_nothing(poller: Poller) -> None:
    poller.stop()

    assert facts(poller) == (PollState.STOPPED, 0, None, None)
    assert not poller.due(NOW, room=1)


@pytest.mark.parametrize("end", ["empty", "full", "failed"])
def test_a_fetch_that_runs_at_the_stop_is_the_last(poller: Poller, end: str) -> None:
    poller.fetching(NOW)
    poller.stop()
    state = poller.state

    match end:
        case "empty":
            poller.empty(NOW + 1.0)
        case "full":
            poller.full(NOW + 1.0)
        case _:
            poller.failed(NOW + 1.0, chance=0.5)

    assert (state, poller.state) == (PollState.FETCHING, PollState.STOPPED)
    assert (poller.next_poll, poller.due(NOW + 99.0, room=1)) == (None, False)


@pytest.mark.parametrize("every_s", [0.0, -1.0, math.nan])
def test_an_interval_that_would_spin_is_refused(every_s: float) -> None:
    with pytest.raises(ValueError, match="every_s must be above 0"):
        PollPolicy(every_s=every_s)


@settings(deadline=None)
@given(errors=st.integers(1, 10**9), chance=st.floats(0.0, 1.0))
def test_any_number_of_errors_has_a_wait_in_bounds(errors: int, chance: float) -> None:
    assert 1.0 <= PollPolicy().error_delay_s(errors, chance) <= 300.0


def test_a_source_that_asks_to_be_left_alone_is_and_that_is_no_error(
    poller: Poller,
) -> None:
    poller.start(0.0)
    poller.fetching(0.0)

    assert poller.throttled(1.0, 600.0) == 600.0

    assert (poller.failing, poller.errors) == (False, 0)
    poller.demanded(2.0)
    poller.retime(0.1)
    poller.start(3.0)  # somebody has paused it and goes on
    assert not poller.due(600.9, room=1)
    assert poller.due(601.0, room=1)


def test_a_wait_that_nobody_can_mean_is_a_day_and_none_is_the_interval(
    poller: Poller,
) -> None:
    poller.start(0.0)

    assert poller.throttled(0.0, 1e9) == 86_400.0
    assert poller.throttled(0.0, None) == poller.policy.every_s


def test_a_fetch_that_paces_itself_is_called_when_it_says(poller: Poller) -> None:
    poller.start(0.0)
    poller.fetching(0.0)
    poller.empty(1.0)
    poller.paced(1.0, 60.0)

    poller.demanded(2.0)
    poller.retime(0.1)
    assert not poller.due(60.9, room=1)
    assert poller.due(61.0, room=1)
    poller.start(3.0)
    assert poller.due(3.0, room=1)


def test_one_that_was_stopped_meanwhile_is_not_called_again(poller: Poller) -> None:
    poller.start(0.0)
    poller.fetching(0.0)
    poller.stop()
    poller.empty(1.0)
    poller.paced(1.0, 0.0)

    assert poller.state is PollState.STOPPED


def test_errors_are_counted_since_the_last_job_that_came() -> None:
    poller = Poller(PollPolicy(every_s=2.0))
    poller.start(0.0)
    delays = []
    for turn in range(8):
        poller.fetching(turn * 1000.0)
        poller.brought()
        delays.append(poller.failed(turn * 1000.0, 1.0))

    assert delays == [1.0] * 8


def test_errors_with_nothing_between_them_put_the_next_poll_off_further() -> None:
    poller = Poller(PollPolicy(every_s=2.0))
    poller.start(0.0)
    delays = []
    for turn in range(4):
        poller.fetching(turn * 1000.0)
        delays.append(poller.failed(turn * 1000.0, 1.0))

    assert delays == [1.0, 2.0, 4.0, 8.0]
