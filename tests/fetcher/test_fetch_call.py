"""Lists that a fetch returns where jobs were meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from actors.fetcher.fetch_call import Fetched, RunEnded, Signals, fetch_run

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = 50


def _run(fetch: Callable[[], Any], signals: Signals) -> tuple[list[Any], str]:
    signals.kept.release(ROOM)
    *jobs, end = fetch_run(fetch, {}, ROOM, signals)
    assert isinstance(end, RunEnded)
    return [job.payload for job in jobs if isinstance(job, Fetched)], end.outcome


@pytest.mark.parametrize("page", [[], [1, 2], [{"id": 1}, {"id": 2}]])
def test_a_list_that_is_shown_again_ends_the_run(page: list[Any]) -> None:
    signals = Signals()
    assert _run(lambda: page, signals) == ([page, page], "none")
    # It may be another job that is the same: it is taken, one a poll.
    assert _run(lambda: page, signals) == ([page], "none")


def test_a_list_that_is_filled_anew_is_another() -> None:
    page: list[int] = []

    def fetch() -> list[int]:
        page.append(len(page))
        return page

    jobs, outcome = _run(fetch, Signals())
    assert outcome == "full"
    assert jobs[:2] == [[0], [0, 1]]
    assert len(jobs) == ROOM


def test_lists_that_differ_and_lists_that_are_yielded_are_no_end() -> None:
    answers = iter([[1], [2], [1], None])
    assert _run(lambda: next(answers), Signals()) == ([[1], [2], [1]], "none")
    pages = iter([iter([[1], [1]]), iter([[1]]), None])
    assert _run(lambda: next(pages), Signals()) == ([[1], [1], [1]], "none")
