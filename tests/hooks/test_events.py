"""What hooks are told of an event."""

from __future__ import annotations

from typing import get_args

import pytest

from actors.demand.job import Failure, Job, Process
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
    StateMoved,
)
from actors.hooks.events import (
    JOB_EVENTS,
    NAMES,
    event_of,
    event_of_line,
    wanted_by,
)

JOB = Job(key=3, id=7, payload={"id": 7}, fetched_at=0.0)
PROCESS = Process(name="sort-1", pid=42, run="r", host="h")
FAILURE = Failure("ValueError: no", trace="Traceback ...")
ABOUT = {"fetcher": "desk", "at": 5.0, "key": 3, "job_id": 7, "job": {"id": 7}}
BY = {"processor": "sort-1", "pid": 42}
ERROR = {"error": "ValueError: no", "trace": "Traceback ..."}


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (JobFetched(JOB), {"event": "fetched"}),
        (JobReleased(JOB), {"event": "released"}),
        (JobLeased(JOB, PROCESS), {"event": "leased", **BY}),
        (JobDropped(JOB, "full"), {"event": "dropped", "reason": "full"}),
        (
            JobReturned(JOB, PROCESS, "exit"),
            {"event": "returned", "reason": "exit", **BY},
        ),
        (
            JobDone(JOB, 1, PROCESS, [1], 0.5),
            {"event": "done", "result": [1], "duration_s": 0.5, **BY},
        ),
        (
            JobFailed(JOB, PROCESS, FAILURE, 4.0),
            {"event": "failed", "retry_in_s": 4.0, **BY, **ERROR},
        ),
        (JobQuarantined(JOB, None, FAILURE), {"event": "quarantined", **ERROR}),
    ],
)
def test_an_event_is_plain_values(event: JobEvent, told: dict[str, object]) -> None:
    assert event_of("desk", event, 5.0) == ABOUT | told


def test_what_is_only_the_journals_is_told_to_nobody() -> None:
    assert event_of("desk", StateMoved("{}"), 5.0) is None


def test_every_event_of_a_job_has_a_name_or_is_the_journals() -> None:
    unnamed = {each.__name__ for each in get_args(JobEvent)} - {
        each.__name__ for each in JOB_EVENTS.values()
    }

    assert unnamed == {"JobRouted", "StateMoved", "JobsSent", "OutcomeIgnored"}


def test_all_means_every_event() -> None:
    assert wanted_by({"all": ("m:f",)}) == set(NAMES) - {"all"}
    assert wanted_by({"done": ("m:f",)}) == {"done"}
    assert wanted_by({}) == set()


def test_lines_of_the_log_that_are_events() -> None:
    faulted = {"event": "fetcher.polled", "outcome": "faulted", "fetcher": "desk"}

    assert event_of_line(faulted | {"error": "401"}, 1.0) == {
        "event": "faulted",
        "at": 1.0,
        "fetcher": "desk",
        "error": "401",
    }
    assert event_of_line({"event": "stage.fatal", "stage": "sort-1"}, 1.0) == {
        "event": "fatal",
        "at": 1.0,
        "stage": "sort-1",
        "error": None,
    }
    assert event_of_line({"event": "job.done"}, 1.0) is None
