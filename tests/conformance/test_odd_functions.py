"""What a user's functions may do to what they are given, or to their thread.

The harness hands values over as threads do, so each of these fails on both bases or
on none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.bases import Pipeline, account

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


def test_whatever_a_process_does_is_its_jobs_failure(pipeline_of: Start) -> None:
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


def test_whatever_is_in_a_batch_is_one_jobs_failure(pipeline_of: Start) -> None:
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
