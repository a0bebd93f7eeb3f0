"""What is counted of polls, jobs and times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.demand.job import Failure, Job, Process
from actors.demand.job_events import (
    NOT_BEGUN,
    JobDone,
    JobDropped,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReturned,
    OutcomeIgnored,
)
from actors.status.counters import Histogram, Tally

PROCESS = Process(name="p-1", run="r", pid=1, host="h")
FAILURE = Failure("E: x")


def test_each_fact_is_counted_where_it_belongs() -> None:
    job = Job(1, 1, None, fetched_at=10.0, attempt=1)
    again = Job(2, 2, None, fetched_at=10.0, attempt=2)
    tally = Tally()

    tally.note(
        [
            *(JobFetched(job), JobLeased(job, PROCESS), JobLeased(again, PROCESS)),
            JobDone(job, 1, PROCESS, 1.0, 0.2),
            JobFailed(job, PROCESS, FAILURE, 1.0),
            JobQuarantined(job, PROCESS, FAILURE),
            JobDropped(job, "by hand"),
            JobReturned(job, PROCESS, "lease ended"),
            JobReturned(job, PROCESS, "exited"),
            JobReturned(job, PROCESS, NOT_BEGUN),
            OutcomeIgnored(1, 1, "late"),
        ],
        10.05,
    )

    counted = tally.as_dict()
    assert counted["finished"] == {
        "ok": 1,
        "failed": 1,
        "quarantined": 1,
        "discarded": 1,
    }
    assert counted["redelivered"] == {
        "nack": 1,
        "lease": 1,
        "exit": 1,
        "not_begun": 1,
        "recovered": 0,
    }
    assert (counted["fetched"], counted["dispatched"], counted["stale"]) == (1, 2, 1)
    assert counted["job_s"] == {
        "counts": [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1],
        "sum_s": 0.2,
    }
    assert counted["wait_s"]["counts"][2:4] == [1, 1]


def test_polls_are_counted_by_how_they_ended() -> None:
    tally = Tally()

    tally.polled("empty", 3, 0.1)
    tally.polled("empty", 0, 0.1)
    tally.polled("full", 1, 0.1)
    tally.polled("error", 1, 0.1)
    tally.polled("throttled", 0, 0.1)

    assert tally.as_dict()["polls"] == {
        "item": 2,
        "empty": 1,
        "error": 1,
        "throttled": 1,
    }


def test_a_poll_that_is_put_off_counts_once_for_each_time_it_was_due() -> None:
    tally = Tally()

    for due_at in (1.0, 1.0, 2.0):
        tally.skipped("paused", due_at)
    tally.skipped("buffer_full", 2.0)

    assert tally.as_dict()["skipped"] == {
        "paused": 2,
        "buffer_full": 1,
        "no_demand": 0,
    }


@given(st.lists(st.floats(-1, 1e4), max_size=30))
def test_times_that_come_together_count_as_they_do_one_by_one(
    times: list[float],
) -> None:
    together, one_by_one = Histogram(), Histogram()

    together.observe_all(times)

    for each in times:
        one_by_one.observe(each)
    assert together.as_dict()["counts"] == one_by_one.as_dict()["counts"]
    sums = [each.as_dict()["sum_s"] for each in (together, one_by_one)]
    assert sums[0] == pytest.approx(sums[1], abs=1e-5)
