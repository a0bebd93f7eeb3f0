"""Several jobs at a time in one processor: the same rules for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import actors
from actors.config.errors import ConfigError
from actors.demand.messages import Confirm, Done
from actors.processor.actor import TOGETHER
from actors.testing import Harness


async def later(job: Any) -> Any:
    await asyncio.sleep(1.0)
    return job


def at_once(job: Any) -> Any:
    return job


def timed(process: Callable[[Any], Any]) -> float:
    """How long it takes, where the function itself does not say so."""
    return 0.0 if process is later else 1.0


BOTH = pytest.mark.parametrize("process", [at_once, later], ids=["threads", "tasks"])


@BOTH
@pytest.mark.parametrize("concurrency", [1, 8])
def test_as_many_jobs_run_at_the_same_time_as_there_are_places(
    process: Callable[[Any], Any], concurrency: int
) -> None:
    with Harness(
        process=process,
        process_s=timed(process),
        processors=1,
        concurrency=concurrency,
    ) as pipeline:
        pipeline.push(range(24))
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == list(range(24))
        assert pipeline.done[-1].at == pytest.approx(24 / concurrency, abs=0.1)


def test_one_slow_job_holds_back_no_other() -> None:
    async def process(job: Any) -> Any:
        await asyncio.sleep(60.0 if job == 0 else 1.0)
        return job

    with Harness(process=process, processors=1, concurrency=4) as pipeline:
        pipeline.push(range(16))
        pipeline.run_until_idle()

        assert [each.job for each in pipeline.done][-1] == 0
        assert pipeline.done[-2].at < 6.0


@pytest.mark.parametrize("max_demand", ["1", "5", "8", "20", "auto"])
@BOTH
def test_no_more_is_asked_for_than_the_window_says(
    process: Callable[[Any], Any], max_demand: str
) -> None:
    with Harness(
        process=process,
        process_s=timed(process),
        processors=1,
        concurrency=8,
        max_demand=max_demand,
    ) as pipeline:
        pipeline.push(range(60))
        pipeline.run_until_idle()
        most = max(
            each.content.total - each.content.ended
            for each in pipeline.messages
            if type(each.content).__name__ in ("Demand", "Done")
        )

    assert sorted(pipeline.results) == list(range(60))
    assert most <= (1024 if max_demand == "auto" else int(max_demand))


@BOTH
def test_a_failure_is_its_jobs_alone(process: Callable[[Any], Any]) -> None:
    async def fails_later(job: Any) -> Any:
        await asyncio.sleep(1.0)
        return 1 / job

    def fails(job: Any) -> Any:
        return 1 / job

    with Harness(
        process=fails_later if process is later else fails,
        process_s=timed(process),
        processors=1,
        concurrency=8,
        retries=2,
    ) as pipeline:
        pipeline.push(range(-3, 5))
        pipeline.run_until_idle()

        assert len(pipeline.done) == 7
        [quarantined] = pipeline.quarantined
        assert (quarantined.job, quarantined.attempt) == (0, 2)


@BOTH
def test_jobs_of_one_key_are_in_order_and_one_at_a_time(
    process: Callable[[Any], Any],
) -> None:
    running: dict[str, int] = {}

    async def noted_later(job: Any) -> Any:
        running[job["key"]] = running.get(job["key"], 0) + 1
        assert running[job["key"]] == 1
        # The first ones take longest.
        await asyncio.sleep(3.0 / job["n"])
        running[job["key"]] -= 1
        return job["n"]

    with Harness(
        process=noted_later if process is later else at_once,
        process_s=timed(process),
        processors=2,
        concurrency=8,
        dispatcher="partition",
        partition_by="key",
    ) as pipeline:
        pipeline.push({"key": "abc"[n % 3], "n": n} for n in range(1, 25))
        pipeline.run_until_idle()

        for key in "abc":
            ended = [each.job["n"] for each in pipeline.done if each.job["key"] == key]
            assert ended == sorted(ended)
            assert len(ended) == 8


@BOTH
def test_a_processor_that_dies_costs_second_runs_of_what_it_held(
    process: Callable[[Any], Any],
) -> None:
    with Harness(
        process=process, process_s=timed(process), processors=2, concurrency=8
    ) as pipeline:
        pipeline.push(range(40))
        pipeline.advance(0.5)
        pipeline.crash("processor-1")
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == list(range(40))
        again = [each.job for each in pipeline.done if each.attempt > 1]
        assert len(again) <= 8


@BOTH
def test_blame_finds_the_one_that_kills(process: Callable[[Any], Any]) -> None:
    pipelines: list[Harness] = []

    async def kills_later(job: Any) -> Any:
        await asyncio.sleep(1.0)
        return kills(job)

    def kills(job: Any) -> Any:
        if job == 5:
            pipelines[0]._world.kill_running()  # noqa: SLF001 - as a job does it
        return job

    with Harness(
        process=kills_later if process is later else kills,
        process_s=timed(process),
        processors=2,
        concurrency=8,
        retries=20,
    ) as pipeline:
        pipelines.append(pipeline)
        pipeline.push(range(20))
        pipeline.run_until_idle()

        assert [each.job for each in pipeline.quarantined] == [5]
        assert sorted(pipeline.results) == [n for n in range(20) if n != 5]


@BOTH
def test_a_drain_finishes_all_that_runs(process: Callable[[Any], Any]) -> None:
    with Harness(
        process=process, process_s=timed(process), processors=1, concurrency=8
    ) as pipeline:
        pipeline.push(range(20))
        pipeline.advance(1.5)
        accounting = pipeline.stop()

        assert accounting["in_flight"] == accounting["retrying"] == 0
        assert accounting["done"] + accounting["buffered"] == 20
        assert accounting["done"] >= 16


@BOTH
def test_one_that_is_detached_finishes_what_it_has(
    process: Callable[[Any], Any],
) -> None:
    with Harness(
        process=process, process_s=timed(process), processors=2, concurrency=8
    ) as pipeline:
        pipeline.push(range(40))
        pipeline.advance(0.5)
        pipeline.detach("processor-1")
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == list(range(40))
        assert {each.attempt for each in pipeline.done} == {1}
        names = [each["name"] for each in pipeline.status()["processors"]]
        assert names == ["processor-2"]


@pytest.mark.parametrize("is_async", [False, True], ids=["threads", "tasks"])
def test_several_batches_run_at_the_same_time(is_async: bool) -> None:  # noqa: FBT001
    sizes: list[int] = []

    async def batch_later(jobs: list[Any]) -> list[Any]:
        await asyncio.sleep(1.0)
        return batch(jobs)

    def batch(jobs: list[Any]) -> list[Any]:
        sizes.append(len(jobs))
        return [ValueError("seven") if each == 7 else each for each in jobs]

    with Harness(
        config={
            "fetcher": [{"name": "numbers", "fetch": at_once}],
            "processor": [
                {
                    "name": "batch",
                    "process": batch_later if is_async else batch,
                    "count": 1,
                    "concurrency": 3,
                    "batch_size": 5,
                    "max_demand": 15,
                }
            ],
            "retries": 1,
        },
    ) as pipeline:
        pipeline.push(range(30))
        pipeline.run_until_idle()

        assert sorted(sizes) == [5] * 6
        assert sorted(pipeline.results) == [n for n in range(30) if n != 7]
        assert [each.job for each in pipeline.quarantined] == [7]
        if is_async:
            assert pipeline.done[-1].at < 2.5


@BOTH
def test_steps_run_several_at_a_time(process: Callable[[Any], Any]) -> None:
    with Harness(
        config={
            "fetcher": [{"name": "numbers", "fetch": at_once}],
            "processor": [
                {"name": "first", "process": process, "concurrency": 4, "count": 1},
                {
                    "name": "last",
                    "process": process,
                    "concurrency": 4,
                    "count": 1,
                    "from": ["first"],
                },
            ],
        },
        process_s=timed(process),
    ) as pipeline:
        pipeline.push(range(16))
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == list(range(16))
        assert pipeline.done[-1].at < 12.0


@BOTH
def test_a_rate_holds_for_all_places_together(process: Callable[[Any], Any]) -> None:
    with Harness(
        process=process,
        process_s=timed(process),
        processors=1,
        concurrency=8,
        rate_limit=2,
    ) as pipeline:
        pipeline.push(range(20))
        pipeline.run_until_idle()

        assert pipeline.done[-1].at >= 9.0


def test_two_fetchers_may_give_their_jobs_the_same_key() -> None:
    with Harness(
        config={
            "fetcher": [
                {"name": "north", "fetch": at_once},
                {"name": "south", "fetch": at_once},
            ],
            "processor": [
                {"name": "both", "process": later, "concurrency": 8, "count": 1}
            ],
        },
    ) as pipeline:
        pipeline.push(range(12), fetcher="north")
        pipeline.push(range(100, 112), fetcher="south")
        pipeline.run_until_idle()

        expected = [*range(12), *range(100, 112)]
        assert sorted(pipeline.results) == expected
        assert all(each.job == each.result for each in pipeline.done)


def test_a_task_that_takes_too_long_is_cancelled_and_its_process_goes_on() -> None:
    ended: list[str] = []

    async def process(job: Any) -> Any:
        try:
            await asyncio.sleep(60.0 if job == 3 else 1.0)
        except asyncio.CancelledError:
            ended.append("cancelled" if actors.cancelled() else "?")
            raise
        return job

    with Harness(
        process=process, processors=1, concurrency=4, job_timeout_s=5, retries=2
    ) as pipeline:
        pid = pipeline.status()["processors"][0]["pid"]
        pipeline.push(range(8))
        pipeline.run_until_idle()

        assert ended == ["cancelled", "cancelled"]
        [quarantined] = pipeline.quarantined
        assert quarantined.error == "JobTimeoutError: took longer than 5 s"
        assert sorted(pipeline.results) == [0, 1, 2, 4, 5, 6, 7]
        assert pipeline.status()["processors"][0]["pid"] == pid


def test_a_task_that_goes_on_though_it_is_cancelled_costs_its_process() -> None:
    async def process(job: Any) -> Any:
        while job == 3:
            try:
                await asyncio.sleep(600.0)
            except asyncio.CancelledError:
                continue
        await asyncio.sleep(1.0)
        return job

    with Harness(
        process=process, processors=1, concurrency=4, job_timeout_s=5, retries=1
    ) as pipeline:
        pipeline.push(range(12))
        pipeline.run_until_idle()
        pipeline.advance(10.0)

        [quarantined] = pipeline.quarantined
        assert quarantined.job == 3
        assert sorted(pipeline.results) == [n for n in range(12) if n != 3]
        assert {each.attempt for each in pipeline.done} == {1}
        late = [each for each in pipeline.events if each["event"] == "stage.overdue"]
        assert len(late) == 1


def test_a_result_that_comes_as_the_task_is_cancelled_counts() -> None:
    async def process(job: Any) -> Any:
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            return [job]

    with Harness(process=process, processors=1, job_timeout_s=5) as pipeline:
        pipeline.push([1])
        pipeline.run_until_idle()

        assert pipeline.results == [[1]]


def test_outside_a_job_nothing_is_cancelled() -> None:
    assert actors.cancelled() is False


def test_a_place_for_no_job_is_refused() -> None:
    with pytest.raises(ConfigError, match="concurrency"):
        Harness(concurrency=0)


@BOTH
def test_what_ends_in_one_moment_goes_in_few_messages(
    process: Callable[[Any], Any],
) -> None:
    with Harness(
        process=process,
        process_s=timed(process),
        processors=1,
        concurrency=64,
    ) as pipeline:
        pipeline.push(range(640))
        pipeline.run_until_idle()

        sent = [each.content for each in pipeline.messages]
        done = [each for each in sent if isinstance(each, Done)]
        confirms = [each for each in sent if isinstance(each, Confirm)]
        assert sorted(pipeline.results) == list(range(640))
        assert max(len(each.outcomes) for each in done) <= TOGETHER
        assert len(done) <= 640 / TOGETHER * 1.5
        assert len(confirms) <= 640 / TOGETHER * 1.5


def test_a_task_that_cancels_all_as_it_returns_is_done_once() -> None:
    async def process(job: Any) -> Any:
        await asyncio.sleep(1.0)
        if job == 3 and not seen:
            seen.append(job)
            for task in asyncio.all_tasks():
                task.cancel()
        return job

    seen: list[int] = []
    with Harness(
        process=process, processors=1, concurrency=4, job_timeout_s=30
    ) as pipeline:
        pipeline.push(range(8))
        pipeline.run_until_idle()

        assert sorted(pipeline.results) == list(range(8))
        assert not any(each["event"] == "stage.error" for each in pipeline.events)
