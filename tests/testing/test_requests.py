"""How often a source is asked, and how often it has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from actors.testing.harness import Harness
from tests.support.repetitions import times


class Events:
    """An API with a list that grows, which counts how often it is asked."""

    def __init__(self, page: int) -> None:
        self.events: list[int] = []
        self.page = page
        self.asked = 0
        self.shown = 0

    def after(self, last: int) -> list[dict[str, int]]:
        self.asked += 1
        found = [each for each in self.events if each > last][: self.page]
        return [{"id": each} for each in found]

    def returned(self, state: Any = None) -> Any:
        jobs = self.after(state or 0)
        return jobs, jobs[-1]["id"] if jobs else state

    def yielded(self, state: Any = None) -> Iterator[Any]:
        last, size = state or 0, self.page
        while size == self.page:
            jobs = self.after(last)
            last, size = jobs[-1]["id"] if jobs else last, len(jobs)
            yield jobs, last

    def listed(self) -> Iterator[Any]:
        self.asked += 1
        yield from [{"id": each} for each in self.events]

    def handed_out(self) -> Iterator[Any]:
        jobs = self.after(self.shown)
        self.shown += len(jobs)
        yield from jobs


def feed(pipeline: Harness, source: Events, draw: Random, polls: int) -> int:
    """Let jobs come for so many polls; returns the requests that took at the least."""
    least = 0
    for _ in range(polls):
        new = draw.choice([0, 0, 0, 1, 1, 2, 3, 25])
        size = len(source.events)
        source.events += range(size + 1, size + 1 + new)
        before = len(pipeline.events)
        pipeline.advance(2.5)
        told = [each["event"] for each in pipeline.events[before:]]
        # One for each poll, and one more for each page that was full.
        least += told.count("fetcher.polled") + new // source.page
    return least


@pytest.mark.parametrize("form", ["returned", "yielded", "listed", "handed_out"])
@pytest.mark.parametrize("seed", range(times(1, 2)))
def test_a_poll_costs_one_request_and_one_for_each_page_more(
    form: str, seed: int
) -> None:
    source = Events(10_000 if form == "listed" else 10)
    fetch: Callable[..., Any] = getattr(source, form)
    with Harness(fetch, every_s=2.0) as pipeline:
        least = feed(pipeline, source, Random(seed), 50)
        pipeline.advance(1)

        assert {each.job["id"] for each in pipeline.done} == set(source.events)
        assert len(pipeline.done) == len(source.events)
        assert least <= source.asked <= 1.2 * least


def test_a_pile_of_jobs_behind_quiet_days_is_taken_at_once() -> None:
    source = Events(10)
    with Harness(source.returned, every_s=60.0) as pipeline:
        for n in range(1, 21):
            source.events.append(n)
            pipeline.advance(60)
        source.events += range(21, 521)
        pipeline.advance(70)

        assert len(pipeline.done) == 520


def test_a_list_with_one_item_that_cannot_be_used_is_asked_in_its_time() -> None:
    asked = 0

    def fetch() -> Iterator[Any]:
        nonlocal asked
        asked += 1
        yield {"id": 1}
        yield {1, 2}  # no JSON value
        yield {"id": 2}

    with Harness(fetch, every_s=2.0) as pipeline:
        pipeline.advance(100.0)

        # No sooner, and no later, as it would be if the source had failed.
        assert 45 <= asked <= 55
        status = pipeline.status()["accounting"]
        assert (status["done"], status["quarantined"]) == (2, 1)
