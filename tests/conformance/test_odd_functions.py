"""What a user's functions may do to what they are given, or to their thread.

The harness hands values over as threads do, so each of these fails on both bases or
on none.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.testing.world import SystemEndedError
from tests.conformance.bases import OnProcesses, Pipeline, account

if TYPE_CHECKING:
    from actors.testing.processes import System

Start = Callable[..., Pipeline]

PROCESSOR = """
[[processor]]
name = "last"
process = "spooled:{process}"
count = 1
{more}
"""
STEP = """
[[processor]]
name = "first"
process = "spooled:{process}"
count = 1

[[processor]]
name = "last"
process = "spooled:answer_in_one"
from = ["first"]
count = 1
max_demand = 16
"""
PARTITIONED = """dispatcher = "partition"
partition_by = "spooled:{by}"
[[processor]]
name = "last"
process = "spooled:double"
count = 2
"""
CHOSEN = """dispatcher = "broadcast"
[[processor]]
name = "all"
process = "spooled:double"
count = 1

[[processor]]
name = "odd"
process = "spooled:double"
selector = "spooled:choose_oddly"
count = 1
"""
CHOSEN_STEP = """
[[processor]]
name = "first"
process = "spooled:passed"
dispatcher = "broadcast"
count = 1
""" + CHOSEN.partition("\n")[2].replace("count = 1", "count = 1\nfrom = ['first']")


def processor(process: str, more: str = "max_demand = 16") -> str:
    return PROCESSOR.format(process=process, more=more)


def results(pipeline: Pipeline) -> dict[Any, Any]:
    done = pipeline.events("job.done")
    return {each["job"]["id"]: each["result"] for each in done}


def test_a_fetch_may_yield_one_dict_filled_anew(pipeline_of: Start) -> None:
    pipeline = pipeline_of(processor("passed"), own_fetch="fetch_into_one")

    pipeline.push(*range(1, 51))
    pipeline.reach(account(done=50), "all are done")

    expected = {n: {"id": n, "lines": [n]} for n in range(1, 51)}
    pipeline.reach(lambda _: results(pipeline) == expected, "each as it was")


@pytest.mark.parametrize(
    ("process", "more"),
    [
        ("answer_in_one", "max_demand = 16"),
        (
            "answer_batch_in_one",
            "max_demand = 16\nbatch_size = 5\nbatch_timeout_s = 0.1",
        ),
    ],
    ids=["single", "batch"],
)
def test_a_process_may_return_one_dict_filled_anew(
    process: str, more: str, pipeline_of: Start
) -> None:
    pipeline = pipeline_of(processor(process, more))

    pipeline.push(*range(1, 51))
    pipeline.reach(account(done=50), "all are done")

    expected = {n: {"id": n, "lines": None} for n in range(1, 51)}
    pipeline.reach(lambda _: results(pipeline) == expected, "each as it was")


def test_a_step_may_return_one_dict_filled_anew(pipeline_of: Start) -> None:
    pipeline = pipeline_of(STEP.format(process="answer_in_one"))

    pipeline.push(*range(1, 21))
    pipeline.reach(account(done=20), "all are done")

    expected = {n: {"id": n, "lines": None} for n in range(1, 21)}
    pipeline.reach(lambda _: results(pipeline) == expected, "each as it was")


def test_a_process_may_ruin_its_job(pipeline_of: Start) -> None:
    pipeline = pipeline_of(processor("fail_and_ruin"))

    pipeline.push(1, 2, 3)
    pipeline.reach(account(done=3), "all are done, at the second attempt")

    expected = {n: 2 * n for n in (1, 2, 3)}
    pipeline.reach(lambda _: results(pipeline) == expected, "each as it was")


def test_58_59_whatever_a_process_does_is_its_jobs_failure(pipeline_of: Start) -> None:
    pipeline = pipeline_of(processor("odd"), retries="1")

    pipeline.push(*range(1, 10))
    pipeline.reach(account(done=1, quarantined=8), "all have ended")

    failed = pipeline.reach(
        lambda _: (events := pipeline.events("job.quarantined"))[7:] and events,
        "each is told",
    )
    errors = {each["job"]["id"]: each["error"] for each in failed}
    assert errors[1].startswith("SyntaxError: ")
    assert errors[2] == "MuteError: its text cannot be had"
    assert errors[3] == "KeyboardInterrupt: "
    assert errors[4].startswith("ValueError: xxx")
    assert len(errors[4]) < 10_000
    assert errors[5].startswith(
        "ResultError: process must return a JSON value, got _Trap"
    )
    assert errors[6].startswith(
        "ResultError: process must return a JSON value, got _Mask"
    )
    assert errors[7] == "SystemExit: 7"
    assert errors[8].endswith('two of its keys are "1" in JSON')


def test_59_whatever_is_in_a_batch_is_one_jobs_failure(pipeline_of: Start) -> None:
    more = "max_demand = 9\nbatch_size = 9\nbatch_timeout_s = 0.1"
    pipeline = pipeline_of(processor("odd_batch", more), retries="1")

    pipeline.push(*range(1, 10))

    pipeline.reach(account(done=1, quarantined=8), "all have ended")


def test_whatever_a_fetch_does_is_a_poll_that_failed(pipeline_of: Start) -> None:
    pipeline = pipeline_of(processor("double"), own_fetch="fetch_oddly")

    pipeline.push(9)

    pipeline.reach(
        lambda _: results(pipeline) == {9: 18}, "the next poll is a good one"
    )


def quarantined(pipeline: Pipeline, count: int) -> dict[Any, str]:
    def told(_: Any) -> list[dict[str, Any]]:
        events = pipeline.events("job.quarantined")
        return events if len(events) >= count else []

    events = pipeline.reach(told, f"{count} are told")
    return {each["job"]["id"]: each["error"] for each in events}


def test_39_whatever_partition_by_does_is_its_jobs_failure(pipeline_of: Start) -> None:
    pipeline = pipeline_of(PARTITIONED.format(by="place_oddly"))

    pipeline.push(*range(1, 12))
    pipeline.reach(account(done=3, quarantined=8), "all have ended")

    errors = quarantined(pipeline, 8)
    assert results(pipeline) == {9: 18, 10: 20, 11: 22}
    assert errors[1] == "SystemExit: no place (where it goes)"
    assert errors[2] == "MuteError: its text cannot be had (where it goes)"
    refused = "RouteError: partition_by must return a"
    assert all(errors[n].startswith(refused) for n in (3, 4, 5, 6, 8))
    assert "got object: its text is an address" in errors[3]
    assert "job's key, got a coroutine" in errors[4]
    assert "got list: its text is an address" in errors[5]
    assert "got set: its text is in no certain order" in errors[6]
    assert errors[7] == "KeyError: 'none' (where it goes)"


def test_34_what_a_selector_does_is_the_failure_of_its_kinds_job(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(CHOSEN)

    pipeline.push(*range(1, 8))

    # Six go to all, and of those the odd kind takes two; what it failed to choose
    # is a job of its own that nobody loses.
    pipeline.reach(account(fetched=13, done=9, quarantined=4), "all have ended")
    errors = quarantined(pipeline, 4)
    assert errors[1] == "SystemExit: no place (where it goes)"
    assert errors[3].startswith("SyntaxError: unexpected token")
    assert errors[4].startswith("RouteError: a selector must return True or False")
    assert all(each["done"] for each in pipeline.status()["processors"])


def test_what_a_selector_does_behind_a_step_is_the_jobs_failure(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(CHOSEN_STEP)

    pipeline.push(*range(1, 8))

    pipeline.reach(account(fetched=7, done=3, quarantined=4), "all have ended")


@pytest.mark.parametrize(
    "config",
    [
        PARTITIONED.format(by="double_later"),
        CHOSEN.replace("choose_oddly", "double_later"),
        CHOSEN_STEP.replace("choose_oddly", "double_later"),
    ],
    ids=["partition_by", "selector", "selector of a step"],
)
def test_an_async_function_is_refused_at_the_start(
    config: str, pipeline_of: Start
) -> None:
    refused = "'spooled:double_later' is an async function: it must be an ordinary"

    with pytest.raises((SystemEndedError, AssertionError), match=refused):
        pipeline_of(config)


@pytest.mark.system
def test_a_partition_by_that_never_returns_fails_its_job_only(
    start_system: Callable[..., System], tmp_path: Path
) -> None:
    # Real threads only: in the harness a function that hangs hangs the test.
    config = PARTITIONED.format(by="place_never")
    pipeline = OnProcesses(config, {"job_timeout_s": "10"}, start_system, tmp_path)
    pid = pipeline.status()["fetchers"][0]["pid"]

    pipeline.push(1, 2, 3)
    pipeline.reach(lambda status: status["fetchers"][0]["unrouted"], "it hangs")
    pipeline.reach(account(done=2, quarantined=1), "the others are done")

    assert quarantined(pipeline, 1) == {
        1: "JobTimeoutError: partition_by took longer than 10 s"
    }
    [fetcher] = pipeline.status()["fetchers"]
    assert (fetcher["pid"], fetcher["restarts"]) == (pid, 0)
