"""Jobs that say how far they are: what is told, what is shown, what it is a sign of."""

from __future__ import annotations

import asyncio
import decimal
import math
import threading
from typing import Any

import pytest

import actors
from actors.demand.consumer import Task
from actors.demand.messages import Assignment
from actors.processor.process_call import JobRun
from actors.processor.progress import (
    MOST_CHARACTERS,
    MOST_JOBS,
    Progress,
    in_words,
    read_progress,
    shown,
)
from actors.processor.time_limit import TimeLimit
from actors.testing import Harness


class Odd:
    """Nothing can be had of it."""

    def __float__(self) -> float:
        raise ValueError("no")

    def __str__(self) -> str:
        raise SystemExit("no")

    __repr__ = __str__


class Text(str):
    """A text that is another one, depending on who asks."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("no")

    def __getitem__(self, _: Any) -> Any:
        raise ValueError("no")


class Clock:
    """Time that stands still."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def task(ticket: int, job_id: Any = None) -> Task:
    job_id = ticket if job_id is None else job_id
    return Task("north", Assignment(ticket, ticket, 1, job_id, None), ticket)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (0.4, 0.4),
        (1, 1.0),
        (True, 1.0),
        (decimal.Decimal("0.25"), 0.25),
        (None, None),
        (math.nan, None),
        (decimal.Decimal("nan"), None),
        (-3, 0.0),
        (1.0000001, 1.0),
        (math.inf, 1.0),
        (-math.inf, 0.0),
        (10**400, 1.0),
    ],
)
def test_a_fraction_is_held_between_0_and_1(given: Any, taken: float | None) -> None:
    read = read_progress(given, "")

    assert read == Progress(taken, "")
    assert type(read.fraction) is type(taken)


@pytest.mark.parametrize("given", ["0.4", b"1", bytearray(b"1"), [], 1j, Odd()])
def test_what_is_no_number_is_refused(given: Any) -> None:
    with pytest.raises(TypeError) as error:
        actors.progress(given)

    assert str(error.value) == (
        "progress: fraction must be a number from 0 to 1, or None, "
        f"got {type(given).__name__}"
    )


@pytest.mark.parametrize("given", [None, 4, b"page", Odd()])
def test_what_is_no_text_is_refused(given: Any) -> None:
    with pytest.raises(TypeError) as error:
        actors.progress(0.4, given)

    expected = f"progress: text must be a str, got {type(given).__name__}"
    assert str(error.value) == expected


def test_a_text_is_cut_whatever_its_class_makes_of_it() -> None:
    assert read_progress(0.4, "a" * 999).text == "a" * MOST_CHARACTERS
    assert read_progress(0.4, Text("page 4")).text == "page 4"
    assert type(read_progress(0.4, Text("page 4")).text) is str


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Progress(0.4, "page 4 of 10"), "40% page 4 of 10"),
        (Progress(0.999, ""), "99%"),
        (Progress(1.0, ""), "100%"),
        (Progress(None, "page 4"), "page 4"),
        (Progress(None, ""), "?"),
    ],
)
def test_it_is_said_in_words(told: Progress, words: str) -> None:
    assert in_words(told) == words


def test_jobs_that_have_told_are_shown_those_of_one_call_together() -> None:
    clock = Clock()
    alone, together, silent = JobRun(clock), JobRun(clock), JobRun(clock)
    alone.tell(Progress(0.4, "page 4 \ud800"))
    together.tell(Progress(None, "writes"))
    clock.at += 3.0
    runs = {1: silent, 2: alone, 3: together, 4: together, 5: alone}
    tasks = {each: task(each) for each in (1, 2, 3, 4)}

    assert shown(runs, tasks, clock.at) == [
        {
            "taken_from": "north",
            "id": 2,
            "jobs": 1,
            "fraction": 0.4,
            "text": "page 4 \\ud800",
            "age_s": 3.0,
        },
        {
            "taken_from": "north",
            "id": 3,
            "jobs": 2,
            "fraction": None,
            "text": "writes",
            "age_s": 3.0,
        },
    ]


def test_of_many_jobs_the_first_are_shown_and_of_long_ids_the_beginning() -> None:
    clock = Clock()
    runs = {each: JobRun(clock) for each in range(1000)}
    for run in runs.values():
        run.tell(Progress(0.5, ""))

    found = shown(runs, {each: task(each, "i" * 9999) for each in runs}, clock.at)

    assert len(found) == MOST_JOBS
    assert {each["id"] for each in found} == {"i" * MOST_CHARACTERS}


def test_only_what_is_new_gives_a_job_its_time_anew() -> None:
    clock = Clock()
    run, limit = JobRun(clock), TimeLimit(5.0)
    runs = {7: run}
    clock.at = 104.0
    run.tell(Progress(0.4, "page 4"))
    assert limit.over(runs, 106.0) == []
    assert limit.next_at(runs, 106.0) == 109.0
    clock.at = 108.0
    run.tell(Progress(0.4, "page 4"))

    assert limit.over(runs, 109.0) == [(7,)]
    assert limit.failure_of(7).error == (
        "JobTimeoutError: told nothing new for 5 s, at 40% page 4"
    )
    # What it says then comes too late.
    run.tell(Progress(0.5, "page 5"))
    assert limit.stubborn(111.0) == [7]


def test_outside_a_job_it_does_nothing() -> None:
    actors.progress(0.4, "page 4 of 10")
    actors.progress(None)


def unused() -> list[Any]:
    return []


def told(pipeline: Harness) -> list[Any]:
    return [each for row in pipeline.status()["processors"] for each in row["progress"]]


def test_status_shows_how_far_each_job_is() -> None:
    async def process(job: Any) -> Any:
        for page in range(job):
            # However often it is told, the last is what counts.
            for _ in range(100):
                actors.progress(page / job, "...")
            actors.progress(page / job, f"page {page} of {job}")
            await asyncio.sleep(10.0)
        return job

    with Harness(process=process, processors=1, concurrency=3) as pipeline:
        pipeline.push([4, 0, 2])
        pipeline.advance(15.0)

        first, last = told(pipeline)
        assert (first["taken_from"], first["id"], first["jobs"]) == ("source", "#1", 1)
        assert (first["fraction"], first["text"]) == (0.25, "page 1 of 4")
        assert 0.0 < first["age_s"] < 10.0
        assert (last["id"], last["fraction"], last["text"]) == (
            "#3",
            0.5,
            "page 1 of 2",
        )

        pipeline.run_until_idle()
        assert told(pipeline) == []
        assert sorted(pipeline.results) == [0, 2, 4]


def test_a_list_of_jobs_has_one_progress() -> None:
    async def process(jobs: list[Any]) -> Any:
        actors.progress(0.5, "half")
        await asyncio.sleep(10.0)
        return jobs

    with Harness(
        config={
            "fetcher": [{"name": "source", "fetch": unused}],
            "processor": [
                {
                    "name": "p",
                    "process": process,
                    "count": 1,
                    "batch_size": 3,
                    "max_demand": 3,
                }
            ],
        },
    ) as pipeline:
        pipeline.push([1, 2, 3])
        pipeline.advance(5.0)

        [line] = told(pipeline)
        assert (line["jobs"], line["text"]) == (3, "half")


def test_a_job_that_tells_of_itself_may_take_longer_than_its_time() -> None:
    async def process(job: Any) -> Any:
        for step in range(10):
            actors.progress(step / 10 if job == "goes on" else 0.3)
            await asyncio.sleep(3.0)
        return job

    with Harness(
        process=process, processors=1, concurrency=2, job_timeout_s=5, retries=1
    ) as pipeline:
        pipeline.push(["goes on", "stands"])
        pipeline.run_until_idle()

        assert pipeline.results == ["goes on"]
        [late] = pipeline.quarantined
        assert late.error == "JobTimeoutError: told nothing new for 5 s, at 30%"


def test_a_wrong_call_fails_its_job_and_names_what_was_wrong() -> None:
    def process(job: Any) -> Any:
        actors.progress("half")  # type: ignore[arg-type]
        return job

    with Harness(process=process, retries=1) as pipeline:
        pipeline.push([1])
        pipeline.run_until_idle()

        [wrong] = pipeline.quarantined
        assert wrong.error is not None
        assert wrong.error.startswith("TypeError: progress: fraction must be a number")


def test_what_goes_on_after_its_job_tells_nobody() -> None:
    left: list[Any] = []

    async def process(job: Any) -> Any:
        async def goes_on() -> None:
            await asyncio.sleep(5.0)
            actors.progress(0.9, "still here")
            left.append(threading.current_thread())

        left.append(asyncio.ensure_future(goes_on()))
        return job

    with Harness(process=process, processors=1) as pipeline:
        pipeline.push([1])
        pipeline.run_until_idle()
        pipeline.advance(10.0)

        assert pipeline.results == [1]
        assert told(pipeline) == []
