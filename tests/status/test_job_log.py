"""The log's account of many jobs: the same lines as one by one, put together once."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.demand.job import SHORT_TEXT, Job, Process
from actors.demand.job_events import JobDone, JobEvent, JobFetched, JobLeased
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


def events_of(payloads: list[Any], results: list[Any]) -> list[JobEvent]:
    jobs = [
        Job(key, f"Zoë{key}" if key % 2 else key, payload, 0.0)
        for key, payload in enumerate(payloads)
    ]
    fetched: list[JobEvent] = [JobFetched(job) for job in jobs]
    done = [
        JobDone(job, 1, PROCESSES[job.key % 3 // 2], result, 0.1 * job.key)
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
@given(st.lists(st.tuples(JSON, JSON), min_size=1, max_size=4))
def test_many_are_told_as_one_by_one(pairs: list[tuple[Any, Any]]) -> None:
    events = events_of([job for job, _ in pairs], [result for _, result in pairs])
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
