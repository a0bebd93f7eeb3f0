"""One run over a source with a state, step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.fetcher.fetch_call import (
    MOST,
    Fetched,
    FetchStep,
    Page,
    RunEnded,
    Signals,
    Unusable,
)
from actors.fetcher.page_call import page_run


def run(
    fetch: Callable[..., Any],
    state: str = "null",
    room: int = 10,
    signals: Signals | None = None,
    **options: Any,
) -> list[FetchStep]:
    """The steps of one run, each page of which is kept at once."""
    signals = signals or Signals()
    steps = []
    for step in page_run(fetch, options, state, room, signals):
        steps.append(step)
        if isinstance(step, Page):
            signals.kept.release(len(step.jobs) + 1)
        elif isinstance(step, Unusable):
            signals.kept.release()
    return steps


def outcomes(steps: list[FetchStep]) -> list[str]:
    return [
        step.outcome if isinstance(step, RunEnded) else type(step).__name__
        for step in steps
    ]


def error_of(steps: list[FetchStep]) -> str:
    end = steps[-1]
    assert isinstance(end, RunEnded)
    assert end.failure is not None
    return end.failure.error


def numbered(*pages: list[Any]) -> Callable[..., Any]:
    def fetch(state: Any = None) -> Any:
        at = state or 0
        return (pages[at], at + 1) if at < len(pages) else ([], at)

    return fetch


def test_pages_follow_one_another_each_from_the_state_before() -> None:
    steps = run(numbered([{"id": 1}], ["two", None, 3]))

    assert steps[:2] == [
        Page((Fetched({"id": 1}, 1),), "null", "1"),
        Page((Fetched("two"), Fetched(3)), "1", "2"),
    ]
    assert outcomes(steps[2:]) == ["Page", "none"]


def test_the_run_ends_where_there_is_no_more_room() -> None:
    assert outcomes(run(numbered([1], [2], [3]), room=2)) == ["Page", "Page", "full"]


def test_a_page_that_is_more_than_there_is_room_for_is_taken_whole() -> None:
    [page, end] = run(numbered([*range(50)]), room=2)

    assert isinstance(page, Page)
    assert len(page.jobs) == 50
    assert outcomes([end]) == ["full"]


def test_options_and_state_are_the_arguments() -> None:
    def fetch(url: str, *, state: Any) -> Any:
        return ([], [url, state])

    [page, _] = run(fetch, state='{"at":1}', url="x")

    assert isinstance(page, Page)
    assert page.told == '["x",{"at":1}]'


def test_no_call_begins_after_the_stop_and_no_page_is_asked_for() -> None:
    signals = Signals()
    signals.stop = True
    assert outcomes(run(numbered([1]), signals=signals)) == ["stopped"]
    signals.stop = False

    def fetch(state: Any) -> Iterator[Any]:
        yield [1], 1
        signals.stop = True
        yield [2], 2
        pytest.fail("it went on")

    assert outcomes(run(fetch, signals=signals)) == ["Page", "Page", "stopped"]


def test_an_iterator_that_is_left_is_closed() -> None:
    closed = []

    def fetch(state: Any) -> Iterator[Any]:
        try:
            for number in range(9):
                yield [number], number
        finally:
            closed.append(state)

    assert outcomes(run(fetch, room=2)) == ["Page", "Page", "full"]
    assert closed == [None]


def test_one_that_does_not_let_itself_be_closed_is_left_all_the_same() -> None:
    def fetch(state: Any) -> Iterator[Any]:
        for number in range(9):
            try:
                yield [number], number
            except GeneratorExit:
                yield [], "still here"

    assert outcomes(run(fetch, room=1)) == ["Page", "full"]


def test_an_iterator_may_have_pages_without_jobs_and_say_none_in_between() -> None:
    def fetch(state: Any) -> Iterator[Any]:
        yield [], 1
        yield None
        yield [7], 1
        yield [], 2

    assert outcomes(run(fetch)) == ["Page"] * 3 + ["none"]


def test_an_iterator_that_shows_the_same_page_again_is_left() -> None:
    def fetch(state: Any) -> Iterator[Any]:
        number = 0
        while True:
            number += 1
            yield [{"id": 1}], number

    assert outcomes(run(fetch, room=1000)) == ["Page", "Page", "none"]


def test_a_page_of_the_same_ids_as_before_ends_the_run() -> None:
    def fetch(state: Any) -> Any:
        return [{"id": 1}], (state or 0) + 1

    assert outcomes(run(fetch)) == ["Page", "Page", "none"]


def test_new_ids_are_new_jobs_though_the_state_stands() -> None:
    ids = iter(range(3))

    def fetch(state: Any) -> Any:
        found = next(ids, None)
        return ([] if found is None else [{"id": found}]), "token"

    assert outcomes(run(fetch)) == ["Page"] * 4 + ["none"]


def test_a_state_that_somebody_set_ends_the_run() -> None:
    signals = Signals()
    signals.moved = True

    assert outcomes(run(numbered([1], [2]), signals=signals)) == ["Page", "none"]


def test_an_error_between_pages_keeps_those_before() -> None:
    def fetch(state: Any) -> Iterator[Any]:
        yield [1], 1
        raise OSError("gone")

    steps = run(fetch)

    assert outcomes(steps) == ["Page", "error"]
    assert "gone" in error_of(steps)


def test_a_page_of_nothing_but_unusable_jobs_is_an_error() -> None:
    steps = run(lambda state: ([object(), {1}], "on"))

    assert outcomes(steps) == ["Page", "error"]
    assert "fetch must return a JSON value" in error_of(steps)


def test_a_page_of_too_many_jobs_is_refused() -> None:
    steps = run(lambda state: ([0] * (MOST + 1), 1))

    assert outcomes(steps) == ["error"]
    assert f"at most {MOST} jobs, got {MOST + 1}" in error_of(steps)


class OddError(BaseException):
    pass


class Odd(dict[str, Any]):
    """A state that raises when it is looked at."""

    def items(self) -> Any:
        raise OddError

    def __iter__(self) -> Any:
        raise OddError


class Faceless:
    """One that raises when it is asked for its class."""

    def __getattribute__(self, name: str) -> Any:
        raise OddError


@pytest.mark.parametrize(
    "make",
    [lambda: ([], Odd(a=1)), Faceless, lambda: (Faceless(), 1)],
    ids=["state", "answer", "jobs"],
)
@pytest.mark.parametrize("form", ["returned", "yielded"])
def test_odd_classes_are_an_error_and_no_more(
    make: Callable[[], Any], form: str
) -> None:
    def yielded(state: Any) -> Iterator[Any]:
        yield make()

    steps = run((lambda state: make()) if form == "returned" else yielded)

    assert outcomes(steps) == ["error"]


def test_a_run_waits_for_its_page_and_for_nothing_after_it() -> None:
    signals = Signals()
    steps: list[FetchStep] = []
    came = threading.Event()

    def go() -> None:
        for step in page_run(numbered([1], []), {}, "null", 9, signals):
            steps.append(step)
            came.set()

    thread = threading.Thread(target=go)
    thread.start()
    assert came.wait(10)
    assert outcomes(steps) == ["Page"]
    signals.kept.release(2)
    signals.kept.release(1)
    thread.join(10)
    assert outcomes(steps) == ["Page", "Page", "none"]
