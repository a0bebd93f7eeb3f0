"""What is forgotten by time, where the clock may be ahead as a run begins."""

from __future__ import annotations

import math

import pytest

from actors.journal.seen_time import DOUBT_S, SeenTime

LATEST = 1_795_000_000.0
YEARS_S = 400_000_000.0


def test_a_run_begins_where_the_last_one_ended() -> None:
    seen = SeenTime(LATEST, 500.0, LATEST + YEARS_S)

    assert seen.now(LATEST + YEARS_S, 500.0) == LATEST
    assert seen.now(LATEST + YEARS_S, 530.0) == LATEST + 30.0


def test_after_an_hour_the_clock_is_believed() -> None:
    seen = SeenTime(LATEST, 500.0, LATEST + YEARS_S)

    wall = LATEST + YEARS_S
    assert seen.now(wall, 500.0 + DOUBT_S - 0.1) < LATEST + DOUBT_S
    assert seen.now(wall, 500.0 + DOUBT_S) == wall


@pytest.mark.parametrize("wall", [LATEST - 5.0, LATEST + 5.0])
def test_it_is_never_later_than_the_clock_says(wall: float) -> None:
    assert SeenTime(LATEST, 500.0, LATEST + YEARS_S).now(wall, 510.0) == wall


@pytest.mark.parametrize(("up_s", "days"), [(DOUBT_S, 30), (400_000.0, 7)])
def test_an_absence_of_days_is_believed_of_a_machine_that_has_run(
    up_s: float, days: int
) -> None:
    wall = LATEST + days * 86400.0

    assert SeenTime(LATEST, up_s, wall).now(wall, up_s) == wall
    assert SeenTime(LATEST, 60.0, wall).now(wall, 60.0) == LATEST


def test_an_absence_of_years_is_doubted_of_every_machine() -> None:
    wall = LATEST + YEARS_S

    assert SeenTime(LATEST, 400_000.0, wall).now(wall, 400_030.0) == LATEST + 30.0


def test_the_first_run_believes_its_clock() -> None:
    assert SeenTime(None, 500.0, LATEST).now(LATEST, 500.0) == LATEST


def test_what_was_kept_by_the_right_clock_does_not_go_along_with_the_wrong_one() -> (
    None
):
    seen = SeenTime(LATEST, 500.0, LATEST + YEARS_S)

    assert seen.to_move(LATEST + 60.0, -YEARS_S, 510.0) == (LATEST, math.inf)


@pytest.mark.parametrize(
    ("wall", "by_s", "elapsed"),
    [
        pytest.param(LATEST - 60.0, -YEARS_S, 510.0, id="before what was kept"),
        pytest.param(LATEST + 60.0, -YEARS_S, 500.0 + DOUBT_S, id="after an hour"),
    ],
)
def test_otherwise_it_does(wall: float, by_s: float, elapsed: float) -> None:
    seen = SeenTime(LATEST, 500.0, LATEST + YEARS_S)

    assert seen.to_move(wall, by_s, elapsed) == (-math.inf, math.inf)


def test_a_clock_that_was_behind_at_a_start_takes_along_what_was_written_since() -> (
    None
):
    began = LATEST + 60.0
    seen = SeenTime(LATEST, 500.0, began)

    after, until = seen.to_move(began + 5010.0, 5000.0, 510.0)
    assert after == began - 500.0
    assert until == pytest.approx(began + 10.0, abs=2.0)
    seen.moved(5000.0)
    after, until = seen.to_move(began + 6020.0, 1000.0, 520.0)
    assert after == began + 4500.0
    assert until == pytest.approx(began + 5020.0, abs=2.0)


def test_a_clock_that_is_set_forward_later_takes_along_all_that_is_past_by_it() -> None:
    seen = SeenTime(LATEST, 500.0, LATEST + 60.0)

    after, until = seen.to_move(LATEST + 9000.0, 5000.0, 500.0 + DOUBT_S)

    assert after == -math.inf
    assert until == pytest.approx(LATEST + 4000.0, abs=2.0)
