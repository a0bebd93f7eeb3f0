"""What a broadcast's copies of a job come to, told once."""

from __future__ import annotations

from typing import Any

import pytest

from actors.demand.copies import Copies, Copy
from actors.demand.job import Failure, Job, JobState, Process
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobEvent,
    JobFetched,
    JobQuarantined,
    JobRouted,
)

PROCESS = Process(name="p", run="1", pid=1, host="")


def job(key: int, route: str, job_id: str = "a") -> Job:
    return Job(key, job_id, {"id": job_id}, 0.0, route=route)


def done(key: int, route: str, result: Any = 1) -> JobEvent:
    return JobDone(job(key, route), 1, PROCESS, result, 0.1)


def refused(key: int, route: str) -> JobEvent:
    return JobQuarantined(job(key, route), PROCESS, Failure("E: no"))


@pytest.fixture(params=["at once", "later"])
def copies(request: pytest.FixtureRequest) -> Copies:
    """Of a job for two kinds; its routes were known at once, or found out later."""
    copies = Copies()
    first = JobFetched(job(1, "mail"))
    if request.param == "later":
        copies.made([first])
        copies.made(
            [JobRouted(job(1, "mail")), JobFetched(job(2, "archive"), first=False)]
        )
    else:
        copies.made([first, JobFetched(job(2, "archive"), first=False)])
    return copies


def test_the_last_end_tells_of_all_copies(copies: Copies) -> None:
    first, last = copies.ended(done(2, "archive", 4)), copies.ended(done(1, "mail", 3))

    assert first is None
    assert last is not None
    assert last.outcome == {
        "state": "done",
        "kinds": {
            "archive": {"state": "done", "result": 4},
            "mail": {"state": "done", "result": 3},
        },
        "result": {"archive": 4, "mail": 3},
    }


@pytest.mark.parametrize("is_last", [True, False])
def test_the_worst_state_is_that_of_the_whole(
    is_last: bool,  # noqa: FBT001
    copies: Copies,
) -> None:
    events = [done(1, "mail"), refused(2, "archive")]
    _, told = map(copies.ended, events if is_last else reversed(events))

    assert told is not None
    assert (told.outcome["state"], told.outcome["error"]) == (
        "quarantined",
        "archive: E: no",
    )
    assert "result" not in told.outcome


def test_a_copy_that_was_dropped_is_worse_than_one_that_is_done(
    copies: Copies,
) -> None:
    copies.ended(JobDropped(job(1, "mail"), "by hand"))
    told = copies.ended(done(2, "archive"))

    assert told is not None
    assert (told.outcome["state"], told.outcome["error"]) == (
        "dropped",
        "mail: by hand",
    )


def test_one_that_is_released_and_done_is_told_again_as_a_whole(
    copies: Copies,
) -> None:
    copies.ended(done(1, "mail"))
    copies.ended(refused(2, "archive"))

    told = copies.ended(done(2, "archive"))

    assert told is not None
    assert told.outcome["state"] == "done"


def test_a_job_is_open_until_the_last_of_its_copies_has_ended(copies: Copies) -> None:
    is_open = [copies.is_open("a")]
    for event in (done(1, "mail"), refused(2, "archive")):
        copies.ended(event)
        is_open.append(copies.is_open("a"))

    assert is_open == [True, True, False]


def test_a_job_of_which_no_copy_was_made_is_told_as_it_is() -> None:
    copies = Copies()
    copies.made([JobFetched(job(1, "mail"))])

    told = copies.ended(done(1, "mail", 3))

    assert told is not None
    assert told.outcome == {"state": "done", "result": 3}


def test_after_a_restart_the_journal_says_which_copies_are_left() -> None:
    copies, first = Copies(), job(1, "mail")
    left = [
        Copy(1, "mail", JobState.READY),
        Copy(2, "archive", JobState.QUARANTINED),
        Copy(3, "index", JobState.RETRYING),
    ]
    copies.taken_up(first, left)
    copies.taken_up(job(3, "index"), left)

    early = copies.ended(done(3, "index"))
    told = copies.ended(done(1, "mail"))

    assert early is None
    assert told is not None
    assert told.outcome["error"] == "archive: no more is known"
    assert told.outcome["kinds"]["archive"] == {"state": "quarantined"}


def test_the_last_copy_that_a_journal_has_is_told_as_it_is() -> None:
    copies = Copies()
    copies.taken_up(job(3, "index"), [Copy(3, "index", JobState.READY)])

    told = copies.ended(done(3, "index", 7))

    assert told is not None
    assert told.outcome == {"state": "done", "result": 7}
