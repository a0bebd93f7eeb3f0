"""Lists that a fetch returns where jobs were meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from actors.fetcher.fetch_call import Fetched, Page, RunEnded, Signals, fetch_run
from actors.fetcher.page_call import page_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


class Left:
    """A fetcher that has left something with each answer."""

    def __init__(self, *, does: bool = True, fails: bool = False) -> None:
        self.happened: list[str] = []
        self._does = does
        self._fails = fails
        self.signals = Signals(
            while_waiting=self.while_waiting,
            finish=lambda: self.happened.append("finished"),
            has_left=True,
        )

    def while_waiting(self, work: Callable[[], None]) -> None:
        self.happened.append("given")
        if self._fails:
            raise RuntimeError("not now")
        self._work = work

    def fetch(self) -> int | None:
        self.happened.append("called")
        if self._does:
            self._work()
        self.happened.append("answered")
        return None


def test_what_is_left_is_done_while_the_source_is_waited_for() -> None:
    left = Left()

    assert _run(left.fetch, left.signals) == ([], "none")

    assert left.happened == ["given", "called", "finished", "answered"]
    assert not left.signals.has_left


def test_what_is_left_is_done_after_a_call_that_waited_for_nobody() -> None:
    left = Left(does=False)

    _run(left.fetch, left.signals)

    assert left.happened == ["given", "called", "answered", "finished"]


def test_what_is_left_is_done_where_it_cannot_be_given() -> None:
    left = Left(fails=True)

    assert _run(left.fetch, left.signals) == ([], "error")

    assert left.happened == ["given", "finished"]


def test_an_iterator_is_resumed_with_what_is_left() -> None:
    left = Left()
    left.signals.kept.release(ROOM)

    def pages() -> Iterator[Any]:
        for number in range(2):
            left.happened.append(f"page {number}")
            yield [{"id": number}], number

    for step in page_run(lambda state: pages(), {}, "null", ROOM, left.signals):
        left.signals.has_left = type(step) is Page

    once = ["given", "finished"]
    first, second = [*once, "page 0"], ["given", "page 1", "finished"]
    assert left.happened == [*first, *second, *once]
