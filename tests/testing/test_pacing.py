"""A source that says when it wants to be asked, over the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing.harness import Harness


class ThrottledError(Exception):
    throttled = True

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("0 of 60 requests left")
        self.retry_after_s = retry_after_s


def test_a_throttled_fetcher_is_told_as_that_and_not_as_an_error() -> None:
    asked: list[float] = []

    def fetch() -> Any:
        asked.append(pipeline.now)
        raise ThrottledError(100)

    pipeline = Harness(fetch, every_s=1)
    with pipeline:
        pipeline.advance(950)
        [fetcher] = pipeline.status()["fetchers"]

        assert [round(each / 10) for each in asked] == [*range(0, 100, 10)]
        assert fetcher["waiting_for"] == "throttled"
        assert fetcher["state"] == "running"
        assert 0 < (fetcher["throttled_s"] or 0) <= 100
        assert "0 of 60 requests left" in str(fetcher["throttled_by"])
        assert fetcher["last_error"] is None
        assert "0 of 60 requests left" in pipeline.status()["why"]
        told = [e for e in pipeline.events if e.get("outcome") == "throttled"]
        assert "error" not in told[0]
        assert told[0]["next_poll_s"] == 100
        pipeline.command({"verb": "pause"})
        pipeline.command({"verb": "resume"})
        pipeline.advance(10)
        assert len(asked) == 10


def test_pages_before_a_throttle_are_kept_and_the_next_poll_goes_on_there() -> None:
    def fetch(state: Any = None) -> Any:
        for number in range(state or 0, 6):
            yield [{"id": number}], number + 1
            if number % 2:
                raise ThrottledError(30)

    with Harness(fetch) as pipeline:
        pipeline.advance(10)
        assert pipeline.state == 2
        pipeline.advance(30)
        assert pipeline.state == 4
        pipeline.run_until_idle()
        assert sorted(each.job["id"] for each in pipeline.done) == [*range(6)]


@pytest.mark.parametrize("answer", [None, {"id": 7}])
def test_a_fetch_is_called_again_when_it_said(answer: Any) -> None:
    asked: list[float] = []

    def fetch(next_poll: Callable[[float], None]) -> Any:
        asked.append(pipeline.now)
        next_poll(100)
        return answer

    pipeline = Harness(fetch, every_s=1)
    with pipeline:
        pipeline.advance(250)
        [fetcher] = pipeline.status()["fetchers"]

        assert [round(each) for each in asked] == [0, 100, 200]
        assert fetcher["throttled_s"] is None
        assert fetcher["next_poll_s"] == pytest.approx(50, abs=1)


class OverloadedError(Exception):
    status = 503

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("0 of 60 requests left")
        self.retry_after_s = retry_after_s


@pytest.mark.parametrize("error", [ThrottledError, OverloadedError])
@pytest.mark.parametrize("journal", ["lowtide.db", "none"])
def test_a_source_is_left_alone_whoever_dies(
    error: Callable[[float], Exception], journal: str
) -> None:
    asked_at: list[float] = []

    def fetch() -> None:
        asked_at.append(pipeline.now)
        if len(asked_at) == 1:
            raise error(600.0)

    with Harness(process=abs, fetch=fetch, journal=journal) as pipeline:
        pipeline.advance(5.0)
        assert len(asked_at) == 1
        for _ in range(5):
            pipeline.crash("source")
            pipeline.advance(60.0)

        [fetcher] = pipeline.status()["fetchers"]
        assert len(asked_at) == 1
        assert fetcher["waiting_for"] == "throttled"
        assert "0 of 60 requests left" in str(fetcher["throttled_by"])
        pipeline.advance(400.0)
        assert len(asked_at) > 1
        assert asked_at[1] - asked_at[0] >= 600.0
        [fetcher] = pipeline.status()["fetchers"]
        assert fetcher["throttled_by"] is None


@pytest.mark.parametrize("journal", ["lowtide.db", "none"])
def test_a_wait_that_somebody_ended_is_over_for_the_next_fetcher(journal: str) -> None:
    asked_at: list[float] = []

    def fetch() -> None:
        asked_at.append(pipeline.now)
        if len(asked_at) == 1:
            raise OverloadedError(600.0)

    with Harness(process=abs, fetch=fetch, journal=journal) as pipeline:
        pipeline.advance(5.0)
        pipeline.command({"verb": "pause"})
        pipeline.command({"verb": "resume"})
        pipeline.advance(10.0)
        answered = len(asked_at)
        assert answered > 1

        pipeline.crash("source")
        pipeline.advance(60.0)

        [fetcher] = pipeline.status()["fetchers"]
        assert len(asked_at) > answered
        assert fetcher["throttled_by"] is None
