"""A fetcher with a state that dies between any two of its instructions."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from actors.testing.harness import Harness
from tests.support.repetitions import times

PAGES, PAGE = 3, 2
COUNT = PAGES * PAGE
#: What a page goes through, from the source to the journal and back.
WAY = (
    *("page_call", "poll_worker", "intake", "actor", "commit_queue"),
    *("sqlite", "event_rows", "source_state", "producer", "job_store"),
)
#: So many runs together crash at every so many-th instruction.
PARTS, EACH = 4, times(10, 40)


class Feed:
    """Jobs without ids: nothing but the state tells which came before."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def _page(self, at: int) -> list[Any]:
        self.asked.append(at)
        return [{"number": each} for each in range(at, min(at + PAGE, COUNT))]

    def returning(self, state: Any = None) -> Any:
        jobs = self._page(state or 0)
        return jobs, (state or 0) + len(jobs)

    def yielding(self, state: Any = None) -> Iterator[Any]:
        at = state or 0
        while jobs := self._page(at):
            at += len(jobs)
            yield jobs, at


def crash(form: str, at: int | None) -> int:
    """Run it with a crash; returns how many instructions there were."""
    feed, runs = Feed(), Counter[int]()

    def process(job: Any) -> Any:
        runs[job["number"]] += 1

    with Harness(getattr(feed, form), process, every_s=9, retries=9) as pipeline:
        steps = pipeline.crash_at(at, "source", WAY)
        pipeline.run_until_idle()
        count = steps.count
        pipeline.advance(20)  # if it died in the end, its successor is there

        account = pipeline.accounting
        assert steps.struck == (at is not None)
        # None skipped, and none fetched twice.
        assert sorted(runs) == list(range(COUNT))
        assert account["fetched"] == account["done"] == COUNT
        assert pipeline.state == COUNT
        # A job that was out may be run again; a page is asked for once more at most.
        assert sum(runs.values()) <= COUNT + 2 * (at is not None)
        asked = [each for each in feed.asked if each < COUNT]
        assert len(asked) <= PAGES + (at is not None)
    return count


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("form", ["returning", "yielding"])
def test_nothing_is_skipped_and_nothing_fetched_twice(form: str, part: int) -> None:
    count = crash(form, None)
    each = max(1, count // (PARTS * EACH))
    for at in itertools.islice(range(part * each, count, PARTS * each), EACH):
        crash(form, at)


def test_a_process_that_dies_within_a_transaction_leaves_nothing_of_it() -> None:
    feed = Feed()
    with Harness(feed.returning, every_s=1) as pipeline:
        total = pipeline.crash_at(None, "source", ("event_rows",))
        pipeline.run_until_idle()
    assert total.count > 0

    points = range(0, total.count, times(120, 40))
    strikes = 0
    for at in points:
        feed = Feed()
        with Harness(feed.returning, every_s=1) as pipeline:
            steps = pipeline.crash_at(at, "source", ("event_rows",))
            restarted = False
            while not restarted and pipeline.now < 60:
                pipeline.advance(0.01)
                query = pipeline.journal.execute("SELECT fetched FROM fetcher")
                assert query.fetchone() == (pipeline.state or 0,)
                told = [each["event"] for each in pipeline.events]
                restarted = "stage.restarted" in told
            assert restarted == steps.struck
            strikes += steps.struck
    assert strikes == len(points)
