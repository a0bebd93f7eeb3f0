"""A job that a person cancels: it ends, wherever it is, and is not run again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import actors
from actors.demand.messages import CallOff
from actors.testing import Harness

ENDED: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_ended() -> None:
    ENDED.clear()


async def long(job: Any) -> Any:
    try:
        await asyncio.sleep(60.0)
    except asyncio.CancelledError:
        ENDED.append((job, actors.cancelled()))
        raise
    return job


async def stubborn(job: Any) -> Any:
    while True:
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            if job == 1:
                continue
            raise
        return job


def at_once(job: Any) -> Any:
    return job


def cancel(pipeline: Harness, *keys: int, fetcher: str = "source") -> int:
    command = {"verb": "jobs", "action": "cancel", "keys": {fetcher: list(keys)}}
    count: int = pipeline.command(command)["count"]
    return count


def test_one_that_runs_is_cancelled_and_set_aside() -> None:
    with Harness(process=long, processors=1, concurrency=4) as pipeline:
        pipeline.push(range(4))
        pipeline.advance(5.0)

        assert cancel(pipeline, 2) == 1
        pipeline.run_until_idle()

        assert ENDED == [(1, True)]
        [quarantined] = pipeline.quarantined
        assert quarantined.error == "JobCancelledError: cancelled by hand"
        assert sorted(pipeline.results) == [0, 2, 3]
        assert pipeline.accounting["quarantined"] == 1
        assert pipeline.status()["processors"][0]["failed"] == 1


@pytest.mark.parametrize("process", [long, at_once], ids=["tasks", "threads"])
def test_one_that_waits_never_runs(process: Any) -> None:
    with Harness(
        process=process,
        process_s=60.0 if process is at_once else 0.0,
        processors=1,
        concurrency=2,
        max_demand=4,
    ) as pipeline:
        pipeline.push(range(8))
        pipeline.advance(5.0)

        # One is in the processor, not begun, the other in the fetcher's buffer.
        assert cancel(pipeline, 4, 7) == 2
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == [0, 1, 2, 4, 5, 7]
        assert sorted(each.job for each in pipeline.quarantined) == [3, 6]
        assert {each.attempt for each in pipeline.done} == {1}


def test_one_that_waits_for_a_retry_is_set_aside() -> None:
    def fails(job: Any) -> Any:
        raise ValueError(job)

    with Harness(process=fails) as pipeline:
        pipeline.push([1])
        pipeline.advance(0.5)
        assert pipeline.accounting["retrying"] == 1

        assert cancel(pipeline, 1) == 1

        assert pipeline.accounting["quarantined"] == 1
        pipeline.run_until_idle()
        assert len(pipeline.failed) == 1


def test_one_that_does_not_end_costs_its_process_and_no_other_job() -> None:
    with Harness(process=stubborn, processors=1, concurrency=4) as pipeline:
        pid = pipeline.status()["processors"][0]["pid"]
        pipeline.push(range(8))
        pipeline.advance(5.0)

        assert cancel(pipeline, 2) == 1
        pipeline.run_until_idle()
        pipeline.advance(200.0)

        assert sorted(pipeline.results) == [0, 2, 3, 4, 5, 6, 7]
        assert [each.job for each in pipeline.quarantined] == [1]
        assert pipeline.status()["processors"][0]["pid"] != pid


def test_the_word_may_be_lost() -> None:
    with Harness(process=long, processors=1, concurrency=4) as pipeline:
        pipeline.push(range(2))
        pipeline.advance(5.0)
        pipeline.lose(CallOff, 2)

        assert cancel(pipeline, 2) == 1
        pipeline.advance(10.0)

        assert ENDED == [(1, True)]


def test_one_that_has_ended_is_passed_over() -> None:
    with Harness(process=at_once) as pipeline:
        pipeline.push(range(2))
        pipeline.run_until_idle()

        assert cancel(pipeline, 1, 77) == 0
        assert pipeline.accounting["done"] == 2


def test_one_that_was_cancelled_runs_again_when_it_is_retried() -> None:
    with Harness(process=long, processors=1, concurrency=2) as pipeline:
        pipeline.push(range(2))
        pipeline.advance(5.0)
        cancel(pipeline, 2)
        pipeline.advance(5.0)

        retry = {"verb": "jobs", "action": "retry", "keys": {"source": [2]}}
        assert pipeline.command(retry)["count"] == 1
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == [0, 1]


def test_one_at_a_later_step_is_cancelled_there() -> None:
    with Harness(
        config={
            "fetcher": [{"name": "numbers", "fetch": at_once}],
            "processor": [
                {"name": "first", "process": at_once, "count": 1, "concurrency": 4},
                {
                    "name": "last",
                    "process": long,
                    "count": 1,
                    "concurrency": 4,
                    "from": ["first"],
                },
            ],
        },
    ) as pipeline:
        pipeline.push(range(4))
        pipeline.advance(5.0)

        assert cancel(pipeline, 3, fetcher="numbers") == 1
        pipeline.run_until_idle()

        assert ENDED == [(2, True)]
        assert sorted(pipeline.results) == [0, 1, 3]
        assert pipeline.accounting["quarantined"] == 1
