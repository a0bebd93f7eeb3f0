"""What becomes of jobs, and who is told, over all bases."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.conformance.bases import Pipeline, account, done_in, stage

if TYPE_CHECKING:
    import pytest

    from actors.status.model import SystemStatus

Start = Callable[..., Pipeline]

PAIRS = """
[[processor]]
name = "last"
process = "spooled:sizes"
count = 2
max_demand = 2
batch_size = 2
batch_timeout_s = 600
"""
PLAIN = """
[[processor]]
name = "last"
process = "spooled:{process}"
count = 1
max_demand = 5
"""
NAMES = ("last-1", "last-2")


def holder(status: SystemStatus) -> str:
    """Who has a job in its hands; nobody else has."""
    [name] = [each for each in NAMES if stage(status, each).get("in_flight")] or [""]
    return name


def test_46_53_64_one_that_dies_takes_its_own_jobs_along_and_others_get_them(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(PAIRS)
    pipeline.push(1)
    killed = pipeline.reach(holder, "one waits for company")
    pipeline.push(2)
    pipeline.reach(account(in_flight=2), "another waits, in other hands")

    pipeline.kill(killed)

    pipeline.reach(account(done=2), "both are done")
    done = {each["job_id"]: each for each in done_in(pipeline, 2)}
    [returned] = pipeline.events("job.returned")
    assert {number: each["attempt"] for number, each in done.items()} == {1: 2, 2: 1}
    assert returned["job_id"] == 1
    assert returned["processor"].removeprefix("far/") == killed
    assert returned["reason"] == "exited"


def test_52_the_second_job_begins_only_after_the_first_has_ended(
    pipeline_of: Start, pytestconfig: pytest.Config
) -> None:
    places = int(pytestconfig.getoption("--concurrency") or 1)
    pipeline = pipeline_of(PLAIN.format(process="alone"))

    pipeline.push(*range(1, 7))

    pipeline.reach(account(done=6), "all are done")
    assert max(each["result"] for each in done_in(pipeline, 6)) <= places


def test_58_60_70_each_jobs_way_is_told_in_order_and_no_failure_harms_another(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(PLAIN.format(process="hesitate"), retries="2")

    pipeline.push(7001, 7002, 7003)

    # One is done at once, one at the second attempt, and one never.
    pipeline.reach(account(done=2, quarantined=1), "all have ended")
    pipeline.reach(lambda _: pipeline.events("job.quarantined"), "that is told")
    assert pipeline.story(7001) == ["job.fetched", "job.failed", "job.done"]
    assert pipeline.story(7002) == ["job.fetched", "job.failed", "job.quarantined"]
    assert pipeline.story(7003) == ["job.fetched", "job.done"]
    errors = [
        each["error"]
        for name in ("job.failed", "job.quarantined")
        for each in pipeline.events(name)
        if each["job_id"] == 7002
    ]
    assert errors == ["ValueError: 7002"] * 2


def test_68_69_a_source_is_told_of_each_job_once_in_the_order_of_their_ends(
    pipeline_of: Start,
) -> None:
    settled = 'settle = "spooled:settle"\n'
    pipeline = pipeline_of(settled + PLAIN.format(process="double"))

    pipeline.push(*range(1, 7))

    pipeline.reach(lambda _: len(pipeline.told()) == 6, "all are told")
    done = [each["job_id"] for each in done_in(pipeline, 6)]
    assert [number for number, _ in pipeline.told()] == done
    assert sorted(done) == [*range(1, 7)]
