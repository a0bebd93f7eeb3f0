"""What is forgotten by time, where the clock may be ahead as a run begins."""

from __future__ import annotations

import pytest

from actors.journal.seen_time import DOUBT_S, SeenTime

LATEST = 1_795_000_000.0
YEARS_S = 400_000_000.0


def test_a_run_begins_where_the_last_one_ended() -> None:
    seen = SeenTime(LATEST, 500.0)

    assert seen.now(LATEST + YEARS_S, 500.0) == LATEST
    assert seen.now(LATEST + YEARS_S, 530.0) == LATEST + 30.0


def test_after_an_hour_the_clock_is_believed() -> None:
    seen = SeenTime(LATEST, 500.0)

    wall = LATEST + YEARS_S
    assert seen.now(wall, 500.0 + DOUBT_S - 0.1) < LATEST + DOUBT_S
    assert seen.now(wall, 500.0 + DOUBT_S) == wall


@pytest.mark.parametrize("wall", [LATEST - 5.0, LATEST + 5.0])
def test_it_is_never_later_than_the_clock_says(wall: float) -> None:
    assert SeenTime(LATEST, 500.0).now(wall, 510.0) == wall


def test_the_first_run_believes_its_clock() -> None:
    assert SeenTime(None, 500.0).now(LATEST, 500.0) == LATEST


def test_what_was_kept_by_the_right_clock_does_not_go_along_with_the_wrong_one() -> (
    None
):
    seen = SeenTime(LATEST, 500.0)

    assert seen.right_until(LATEST + 60.0, -YEARS_S, 510.0) == LATEST


@pytest.mark.parametrize(
    ("wall", "by_s", "elapsed"),
    [
        pytest.param(LATEST - 60.0, -YEARS_S, 510.0, id="before what was kept"),
        pytest.param(LATEST + 60.0, 3000.0, 510.0, id="forward"),
        pytest.param(LATEST + 60.0, -YEARS_S, 500.0 + DOUBT_S, id="after an hour"),
    ],
)
def test_otherwise_it_does(wall: float, by_s: float, elapsed: float) -> None:
    assert SeenTime(LATEST, 500.0).right_until(wall, by_s, elapsed) is None
