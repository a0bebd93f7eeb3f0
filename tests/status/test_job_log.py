"""The log's account of many jobs: the same lines as one by one, put together once."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.demand.job import SHORT_TEXT, Failure, Job, Process
from actors.demand.job_events import (
    JobDone,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
)
from actors.host import logs
from actors.status.job_log import log_events

PROCESSES = [Process(name=f"sqrt-{n}", run=f"r{n}", pid=n, host="h") for n in (7, 8)]
ODD: tuple[Any, ...] = (
    {"number": 4.5},
    {"id": 7, "token": "hidden-1"},
    {"auth": {"kind": "bearer", "value": "hidden-2"}, "deep": [{"password": "p"}]},
    "x" * SHORT_TEXT,
    "x" * (SHORT_TEXT - 2),
    ["é\n\x1b[2J", "https://user:hunter22@host/?token=abcdef"],
    {"text": ["y" * 90] * 30},
    {"who": "Zoë", "odd": "\u202e\x9b\x7f\ud800", "\\u00eb": "ë"},
    "語" * SHORT_TEXT,
    ["語" * 300] * 2,
    {"text": ["ë" * 90] * 30},
    [1.0] * 400,
    None,
)


@contextlib.contextmanager
def a_log(level: str) -> Iterator[tuple[Any, logs.LogPipe]]:
    pipe = logs.open_pipe()
    try:
        yield logs.configure(level, fetcher="numbers"), pipe
    finally:
        logs.give_back()
        structlog.reset_defaults()
        os.close(pipe.reader)
        os.close(pipe.writer)


def told(pipe: logs.LogPipe) -> list[str]:
    os.set_blocking(pipe.reader, False)
    try:
        text = os.read(pipe.reader, 1 << 21).decode()
    except BlockingIOError:
        return []
    return re.sub(r'"timestamp": "[^"]*"', '"timestamp": ""', text).splitlines()


def events_of(
    payloads: list[Any], results: list[Any], took_s: float = 0.1
) -> list[JobEvent]:
    jobs = [
        Job(key, f"Zoë{key}" if key % 2 else key, payload, 0.0)
        for key, payload in enumerate(payloads)
    ]
    fetched: list[JobEvent] = [JobFetched(job) for job in jobs]
    done = [
        JobDone(job, 1, PROCESSES[job.key % 3 // 2], result, took_s * job.key)
        for job, result in zip(jobs, results, strict=True)
    ]
    return [*fetched, *(JobLeased(job, PROCESSES[0]) for job in jobs), *done]


def one_by_one(log: Any, events: list[JobEvent]) -> None:
    for event in events:
        match event:
            case JobFetched(job):
                log.info("job.fetched", job_id=job.id, job=job.payload)
            case JobDone(job, attempt, process, result, duration_s):
                log.info(
                    "job.done",
                    job_id=job.id,
                    attempt=attempt,
                    processor=process.name,
                    pid=process.pid,
                    job=job.payload,
                    result=result,
                    duration_s=round(duration_s, 6),
                )
            case _:
                pass


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda some: (
        st.lists(some, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "key", "token", "né", "text"]), some)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(JSON, JSON), min_size=1, max_size=4),
    st.floats(0, 1e-5) | st.floats(0, 1e12) | st.sampled_from([1, 5e-7, 1e-4, 2e-4]),
)
def test_many_are_told_as_one_by_one(
    pairs: list[tuple[Any, Any]], took_s: float
) -> None:
    payloads, results = zip(*pairs, strict=True)
    events = events_of(list(payloads), list(results), took_s)
    with a_log("info") as (log, pipe):
        one_by_one(log, events)
        expected, recent = told(pipe), logs.recent()[-2 * len(pairs) :]

        log_events(log, events)

        assert told(pipe) == expected
        again = logs.recent()[-2 * len(pairs) :]
    assert [each["text"] for each in again] == [each["text"] for each in recent]


@pytest.mark.parametrize("journaled", [False, True])
def test_long_and_secret_ones_are_cut_and_masked_as_one_by_one(
    *, journaled: bool
) -> None:
    events = events_of(list(ODD), list(reversed(ODD)))
    with a_log("info") as (log, pipe):
        one_by_one(log, events)
        expected = told(pipe)
        for event in events if journaled else ():
            if isinstance(event, JobFetched):
                assert event.job.written() == json.dumps(event.job.payload)

        log_events(log, events)

        lines = told(pipe)
    assert lines == expected
    assert len(lines) == 2 * len(ODD)
    assert not [line for line in lines if "hidden" in line or "hunter22" in line]


def a_list_in_itself() -> list[Any]:
    own: list[Any] = [1]
    own.append(own)
    return own


@pytest.mark.parametrize("value", [{1: "key"}, a_list_in_itself(), float("nan"), {1}])
def test_what_is_no_json_is_told_as_the_log_tells_it(value: Any) -> None:
    events = events_of([None], [value])
    with a_log("info") as (log, pipe):
        one_by_one(log, events)
        expected = told(pipe)

        log_events(log, events)

        assert told(pipe) == expected


@pytest.mark.parametrize("bound", [{"machine": "m"}, {"odd": 1.5}])
def test_what_somebody_has_bound_is_on_each_line(bound: dict[str, Any]) -> None:
    events = events_of([{"number": 1}], [1.0])
    with a_log("info") as (log, pipe):
        with structlog.contextvars.bound_contextvars(**bound):
            log_events(log, events)
        log_events(log.bind(**bound), events)

        lines = [json.loads(line) for line in told(pipe)]
    assert len(lines) == 4
    assert all(line.items() >= bound.items() for line in lines)
    assert [line["pid"] for line in lines] == [os.getpid(), 7] * 2


def test_each_kind_of_event_is_told_in_its_turn() -> None:
    fetched, _, done = events_of([{"number": 1}], [1.0])
    assert isinstance(fetched, JobFetched)
    failed = JobFailed(fetched.job, PROCESSES[0], Failure("E: e"), 1.0)
    with a_log("info") as (log, pipe):
        log_events(log, [fetched, failed, done, fetched])

        os.set_blocking(pipe.reader, False)
        lines = [json.loads(line) for line in os.read(pipe.reader, 9999).splitlines()]
        recent = logs.recent()[-4:]
    names = ["job.fetched", "job.failed", "job.done", "job.fetched"]
    assert [line["event"] for line in lines] == names
    assert [line["event"] for line in recent] == names
    times = [datetime.fromisoformat(line["timestamp"]) for line in lines]
    assert times == sorted(times)


def test_what_a_level_says_nothing_of_is_not_put_together() -> None:
    events = events_of([{"number": 1}], [1.0])
    with a_log("warning") as (log, pipe):
        log_events(log, events)

        assert told(pipe) == []
        assert not any(event.job.text for event in events if type(event) is JobDone)


def test_at_debug_the_leases_are_told_too() -> None:
    events = events_of([{"number": 1}], [1.0])
    with a_log("debug") as (log, pipe):
        log_events(log, events)

        names = [json.loads(line)["event"] for line in told(pipe)]
    assert names == ["job.fetched", "job.leased", "job.done"]


def test_a_short_payload_is_written_once_and_a_long_one_not_held() -> None:
    short, long = (Job(1, 1, {"a": "x" * n}, 0.0) for n in (10, SHORT_TEXT))

    assert short.written() is short.written()
    assert long.written() == json.dumps(long.payload)
    assert long.text == ""
